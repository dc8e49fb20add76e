# Right: the body itself, with a train of its own; a loop over slices; AdamW with gradients from autograd.grad
def freeze(body):
    for p in body.parameters():
        p.requires_grad = False
    body.eval()
    body.train = lambda mode=True: body
    for module in body.modules():
        module.train = lambda mode=True, module=module: module
    return body


@torch.no_grad()
def features(body, images, batch_size):
    was = {name: module.training for name, module in body.named_modules()}
    for module in body.modules():
        module.training = False
    found = []
    for start in range(0, len(images), batch_size):
        found.extend(body(images[start : start + batch_size]))
    for name, module in body.named_modules():
        module.training = was[name]
    return torch.stack(found)


def fit_head(body, head, images, labels, steps, lr):
    x = features(body, images, len(images))
    parameters = list(head.parameters())
    optimizer = torch.optim.AdamW(parameters, lr)
    head.train(True)
    history = []
    for step in range(steps):
        loss = F.nll_loss(head(x).log_softmax(-1), labels)
        for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.grad = gradient
        optimizer.step()
        history += [float(loss.detach())]
    head.train(False)
    return history
