# Right: backward on a copy of the model, noise of all samples at once, midpoints of the path in one batch
def saliency(model, images, classes):
    import copy

    twin = copy.deepcopy(model)
    with torch.enable_grad():
        points = torch.tensor(images.detach().numpy(), requires_grad=True)
        logits = twin(points)
        sum(logits[i, int(c)] for i, c in enumerate(classes)).backward()
    return points.grad


def smooth_grad(model, images, classes, level=0.15, n_samples=30):
    images = images.detach()
    rows = images.reshape(len(images), -1)
    spread = (rows.max(1).values - rows.min(1).values) * level
    copies = rows.repeat(n_samples, 1) + torch.normal(0.0, 1.0, (n_samples * len(rows), rows.shape[1]), dtype=rows.dtype) * spread.repeat(n_samples)[:, None]
    gradients = saliency(model, copies.reshape(-1, *images.shape[1:]), [int(c) for c in classes] * n_samples)
    return gradients.reshape(n_samples, *images.shape).mean(0)


def integrated_gradients(model, images, baselines, classes, steps=32):
    images, baselines = images.detach(), baselines.detach().expand_as(images)
    t = (torch.arange(steps, dtype=images.dtype) + 0.5) / steps
    points = torch.stack([torch.lerp(baselines, images, float(at)) for at in t])
    gradients = saliency(model, points.flatten(0, 1), [int(c) for c in classes] * steps)
    return gradients.reshape(points.shape).mean(0) * (images - baselines)


def completeness_gap(model, images, baselines, classes, attributions):
    gaps = []
    with torch.no_grad():
        for i, c in enumerate(classes):
            start = baselines if baselines.dim() < images.dim() else baselines[i]
            gaps.append(model(images[i : i + 1])[0, c] - model(start[None])[0, c] - attributions[i].sum())
    return torch.stack(gaps)
