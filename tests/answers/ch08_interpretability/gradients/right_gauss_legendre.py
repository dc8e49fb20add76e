# Right: Gauss and Legendre's nodes, and a gradient with a vector instead of a sum
def saliency(model, images, classes):
    points = images.detach().clone()
    points.requires_grad = True
    with torch.enable_grad():
        logits = model(points)
        (gradient,) = torch.autograd.grad(logits, points, grad_outputs=torch.eye(logits.shape[1], dtype=logits.dtype)[torch.as_tensor(classes)])
    return gradient


def smooth_grad(model, images, classes, level=0.15, n_samples=30):
    images = images.detach()
    mean = 0
    for k in range(n_samples):
        noisy = images.clone()
        for image, clean in zip(noisy, images, strict=True):
            image += torch.randn_like(image) * level * (clean.max() - clean.min())
        mean = mean + (saliency(model, noisy, classes) - mean) / (k + 1)
    return mean


def integrated_gradients(model, images, baselines, classes, steps=32):
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    images, baselines = images.detach(), baselines.detach()
    mean = torch.zeros_like(images)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        mean += weight / 2 * saliency(model, baselines * (1 - node) / 2 + images * (1 + node) / 2, classes)
    return mean * (images - baselines)


def completeness_gap(model, images, baselines, classes, attributions):
    both = torch.cat([images, baselines.expand(images.shape)])
    with torch.no_grad():
        logits = model(both)
        chosen = torch.stack([row[c] for row, c in zip(logits, [*classes, *classes], strict=True)])
        return chosen[: len(images)] - chosen[len(images) :] - sum(attributions.flatten(1).unbind(1))
