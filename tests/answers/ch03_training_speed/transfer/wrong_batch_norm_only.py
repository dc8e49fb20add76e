# Wrong: evaluation mode stays for batch norm only: dropout wakes up
# Fails: survives_training
def freeze(body):
    body.requires_grad_(False).eval()
    for module in body.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train = lambda mode=True, module=module: module
    return body


def features(body, images, batch_size):
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    with torch.no_grad():
        found = torch.cat([body(batch) for batch in images.split(batch_size)])
    for module, mode in modes:
        module.training = mode
    return found


def fit_head(body, head, images, labels, steps, lr):
    known = features(body, images, batch_size=256)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr)
    head.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(known), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    head.eval()
    return losses
