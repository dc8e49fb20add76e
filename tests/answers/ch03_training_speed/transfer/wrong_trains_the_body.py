# Wrong: one optimizer for everything
# Fails: fits_a_small_head, uses_the_body_once
class Frozen(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def train(self, mode=True):
        return super().train(False)

    def forward(self, x):
        return self.body(x)


def freeze(body):
    body.requires_grad_(False)
    return Frozen(body).eval()


def features(body, images, batch_size):
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    with torch.no_grad():
        found = torch.cat([body(batch) for batch in images.split(batch_size)])
    for module, mode in modes:
        module.training = mode
    return found


def fit_head(body, head, images, labels, steps, lr):
    model = nn.Sequential(body, head)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses
