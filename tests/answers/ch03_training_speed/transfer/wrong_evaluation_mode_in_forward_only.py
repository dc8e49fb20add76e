# Wrong: parts are in evaluation mode during forward only
# Fails: survives_training
class Frozen(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body
        self.train()

    def forward(self, x):
        self.body.eval()
        return self.body(x)


def freeze(body: nn.Module) -> nn.Module:
    body.requires_grad_(False)
    return Frozen(body)


def features(body: nn.Module, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    with torch.no_grad():
        found = torch.cat([body(part) for part in images.split(batch_size)])
    for module, mode in modes:
        module.training = mode
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
