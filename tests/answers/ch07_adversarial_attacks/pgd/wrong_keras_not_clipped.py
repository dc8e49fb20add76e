# Wrong: the Keras images are not clipped
# Fails: keras_fgsm_by_hand, keras_follows_the_gradient
def fgsm(model, images, labels, eps):
    point = images.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(ce_loss(model(point), labels).sum(), point)
    return (point.detach() + eps * gradient.sign()).clamp(0, 1)


def keras_fgsm(model, images, labels, eps):
    point = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(point)
        losses = keras.losses.sparse_categorical_crossentropy(labels, model(point, training=False), from_logits=True)
    return images + np.float32(eps) * np.sign(tape.gradient(losses, point))


def pgd(model, images, labels, eps, step, n_steps, loss=ce_loss, start=None):
    point = (images if start is None else start).detach().clone()
    best, highest, was_deceived = point, None, None
    for i in range(n_steps + 1):
        point.requires_grad_()
        logits = model(point)
        losses = loss(logits, labels)
        deceived = margin_loss(logits, labels) >= 0
        if i == 0:
            highest, was_deceived = losses.detach(), deceived
        better = (deceived & ~was_deceived) | ((deceived == was_deceived) & (losses > highest))
        best = torch.where(better.reshape(-1, *[1] * (images.ndim - 1)), point, best).detach()
        highest = torch.where(better, losses, highest).detach()
        was_deceived = was_deceived | deceived
        if i < n_steps:
            (gradient,) = torch.autograd.grad(losses.sum(), point)
            point = point.detach() + step * gradient.sign()
            point = point.clamp(images - eps, images + eps).clamp(0, 1).detach()
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
