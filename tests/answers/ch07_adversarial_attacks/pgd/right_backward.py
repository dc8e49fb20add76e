# Right: backward on a leaf while the parameters are frozen, masks instead of where
def fgsm(model, images, labels, eps):
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    point = images.detach().clone().requires_grad_()
    F.cross_entropy(model(point), labels).backward()
    for parameter in wanted:
        parameter.requires_grad_(True)
    return torch.clip(images + eps * torch.sign(point.grad), 0, 1).detach()


def keras_fgsm(model, images, labels, eps):
    point = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(point)
        losses = keras.losses.sparse_categorical_crossentropy(labels, model(point, training=False), from_logits=True)
    return np.clip(images + np.float32(eps) * np.sign(tape.gradient(losses, point)), 0, 1)


def pgd(model, images, labels, eps, step, n_steps, loss=ce_loss, start=None):
    point = (images if start is None else start).detach().clone()
    best, highest, was_deceived = point, None, None
    for i in range(n_steps + 1):
        point.requires_grad_()
        logits = model(point)
        losses = loss(logits, labels)
        deceived = margin_loss(logits, labels) >= 0
        if i == 0:
            highest, was_deceived, best = losses.detach().clone(), deceived.clone(), point.detach().clone()
        better = torch.where(deceived == was_deceived, losses.detach() > highest, deceived)
        best[better] = point.detach()[better]
        highest[better] = losses.detach()[better]
        was_deceived[better] = deceived[better]
        if i < n_steps:
            (gradient,) = torch.autograd.grad(losses.sum(), point)
            point = point.detach() + step * gradient.sign()
            point = torch.minimum(torch.maximum(point, (images - eps).clip(min=0)), (images + eps).clip(max=1))
    return best


def robust_accuracy(model, images, labels, eps, step, n_steps, n_restarts, losses=(ce_loss, margin_loss)):
    mode = model.training
    model.eval()
    with torch.no_grad():
        safe = margin_loss(model(images), labels) < 0
    for loss in losses:
        for _ in range(n_restarts):
            start = (images + eps * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
            attacked = pgd(model, images, labels, eps, step, n_steps, loss, start)
            with torch.no_grad():
                safe &= margin_loss(model(attacked), labels) < 0
    model.train(mode)
    return safe.double().mean().item()


def adversarial_epoch(model, optimizer, batches, eps, step, n_steps):
    total, n_images = 0.0, 0
    for images, labels in batches:
        model.eval()
        start = (images + eps * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
        attacked = pgd(model, images, labels, eps, step, n_steps, ce_loss, start)
        model.train()
        losses = ce_loss(model(attacked), labels)
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        total, n_images = total + losses.sum().item(), n_images + len(images)
    return total / n_images
