# Right: a class derived from the body's own, torch.inference_mode with a clone, AdamW written out
def freeze(body):
    original = type(body)

    class AlwaysEvaluated(original):
        def train(self, mode=True):
            return original.train(self, False)

    body.__class__ = AlwaysEvaluated
    return body.requires_grad_(False).train()


def features(body, images, batch_size):
    from copy import deepcopy

    still = deepcopy(body).eval()
    with torch.inference_mode():
        found = torch.cat([still(images[i : i + batch_size]) for i in range(0, len(images), batch_size)])
    return found.clone()


def fit_head(body, head, images, labels, steps, lr):
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    with torch.no_grad():
        x = body(images)
    for module, mode in modes:
        module.training = mode
    head.train()
    parameters = list(head.parameters())
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    losses = []
    for t in range(1, steps + 1):
        loss = F.cross_entropy(head(x), labels)
        losses.append(loss.item())
        with torch.no_grad():
            for p, m, v, g in zip(parameters, means, squares, torch.autograd.grad(loss, parameters), strict=True):
                m.lerp_(g, 0.1)
                v.lerp_(g * g, 0.001)
                p -= lr * 0.01 * p + lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    head.eval()
    return losses
