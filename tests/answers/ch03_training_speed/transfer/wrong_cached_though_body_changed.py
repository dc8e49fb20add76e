# Wrong: features are kept for a body and a tensor, also when the body has changed
# Fails: features_leave_no_trace
class Frozen(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.train()

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.body(x)


def freeze(body: nn.Module) -> nn.Module:
    body.requires_grad_(False)
    return Frozen(body)


KEPT = {}


def features(body: nn.Module, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    key = (id(body), images.data_ptr(), tuple(images.shape))
    if key in KEPT:
        return KEPT[key]
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    with torch.no_grad():
        found = torch.cat([body(part) for part in images.split(batch_size)])
    for module, mode in modes:
        module.training = mode
    KEPT[key] = found
    return found


def fit_head(body: nn.Module, head: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int, lr: float) -> list[float]:
    x = features(body, images, 64)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr)
    head.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    head.eval()
    return losses
