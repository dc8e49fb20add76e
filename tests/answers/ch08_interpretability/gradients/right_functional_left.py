# Right: torch.func and the left ends of the steps
def saliency(model, images, classes):
    from torch.func import grad

    mask = F.one_hot(torch.as_tensor(classes), model(images.detach()[:1]).shape[1]).to(images.dtype)
    with torch.enable_grad():
        return grad(lambda points: (model(points) * mask).sum())(images.detach().clone()).detach()


def smooth_grad(model, images, classes, level=0.15, n_samples=30):
    images = images.detach()
    axes = tuple(range(1, images.dim()))
    spread = level * (images.amax(axes, keepdim=True) - images.amin(axes, keepdim=True))
    return torch.stack([saliency(model, torch.randn(images.shape, dtype=images.dtype) * spread + images, classes) for _ in range(n_samples)]).mean(0)


def integrated_gradients(model, images, baselines, classes, steps=32):
    images, baselines = images.detach(), baselines.detach()
    way = images - baselines
    return way * sum(saliency(model, baselines + way * (k / steps), classes) for k in range(steps)) / steps


def completeness_gap(model, images, baselines, classes, attributions):
    pick = torch.as_tensor(classes)[:, None]
    with torch.no_grad():
        start = model(torch.broadcast_to(baselines, images.shape)).gather(1, pick)[:, 0]
        return model(images).gather(1, pick)[:, 0] - start - attributions.reshape(len(images), -1).sum(1)
