# Right: modes put back by recursion, requires_grad filtered, losses collected as tensors
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
    before = []

    def visit(module):
        before.append((module, module.training))
        module.training = False
        for child in module.children():
            visit(child)

    visit(body)
    out = None
    with torch.set_grad_enabled(False):
        for i, part in enumerate(torch.split(images, batch_size)):
            y = body(part)
            if out is None:
                out = y.new_empty((len(images), *y.shape[1:]))
            out[i * batch_size : i * batch_size + len(part)] = y
    for module, mode in reversed(before):
        module.training = mode
    return out


def fit_head(body, head, images, labels, steps, lr):
    known = features(body, images, 64)
    trainable = [p for p in head.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=lr)
    head.train()
    losses = torch.zeros(steps)
    for step in range(steps):
        optimizer.zero_grad(set_to_none=True)
        logits = head(known)
        loss = (logits.logsumexp(1) - logits.gather(1, labels[:, None]).squeeze(1)).mean()
        loss.backward()
        optimizer.step()
        losses[step] = loss.detach()
    head.eval()
    return losses.tolist()
