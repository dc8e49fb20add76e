# Right: trapezoids with one point more than steps, and numbers counted by numpy
def saliency(model, images, classes):
    given = images.detach().clone().requires_grad_(True)
    chosen = [int(c) for c in classes]
    with torch.enable_grad():
        return torch.autograd.grad(model(given)[range(len(chosen)), chosen].sum(), [given])[0].detach()


def smooth_grad(model, images, classes, level=0.15, n_samples=30):
    images = images.detach()
    spread = torch.tensor(np.ptp(images.numpy().reshape(len(images), -1), axis=1) * level, dtype=images.dtype)
    spread = spread.reshape([len(images)] + [1] * (images.ndim - 1)).expand_as(images)
    total = 0
    for _ in range(n_samples):
        total = total + saliency(model, images + torch.normal(torch.zeros_like(images), torch.ones_like(images)) * spread, classes)
    return total / n_samples


def integrated_gradients(model, images, baselines, classes, steps=32):
    images, baselines = images.detach(), baselines.detach()
    found = []
    for t in np.linspace(0, 1, steps + 1):
        found.append(saliency(model, baselines + float(t) * (images - baselines), classes))
    return torch.trapezoid(torch.stack(found), dx=1 / steps, dim=0) * (images - baselines)


def completeness_gap(model, images, baselines, classes, attributions):
    classes = [int(c) for c in classes]
    rows = range(len(classes))
    rise = model(images.detach())[rows, classes] - model(baselines.detach().expand_as(images))[rows, classes]
    return (rise - attributions.sum(tuple(range(1, images.ndim)))).detach()
