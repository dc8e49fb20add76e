# Right: one image after the other, in Python; only images that still stand are attacked
def fgsm(model, images, labels, eps):
    point = images.detach().clone()
    point.requires_grad = True
    loss = torch.logsumexp(model(point), 1) - model(point).gather(1, labels.unsqueeze(1)).squeeze(1)
    gradient = torch.autograd.grad(loss, point, torch.ones_like(loss))[0]
    moved = torch.where(gradient > 0, images + eps, torch.where(gradient < 0, images - eps, images))
    return moved.clamp(min=0.0, max=1.0).detach()


def keras_fgsm(model, images, labels, eps):
    images, labels = tf.constant(images), tf.constant(labels)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=False)))
    return tf.clip_by_value(images + eps * tf.sign(tape.gradient(loss, images)), 0.0, 1.0).numpy()


def pgd(model, images, labels, eps, step, n_steps, loss=ce_loss, start=None):
    results = []
    for i in range(len(images)):
        image, label = images[i : i + 1].detach(), labels[i : i + 1]
        path = [image if start is None else start[i : i + 1].detach()]
        keys = []
        while True:
            point = path[-1].clone().requires_grad_(True)
            logits = model(point)
            value = loss(logits, label)
            keys.append((bool(margin_loss(logits, label) >= 0), value.item()))
            if len(path) > n_steps:
                break
            gradient = torch.autograd.grad(value.sum(), point)[0]
            change = (point.detach() + step * torch.sign(gradient) - image).clamp(-eps, eps)
            path.append((image + change).clamp(0, 1))
        results.append(path[max(range(len(path)), key=lambda t: keys[t])].clone())
    return torch.cat(results)


def robust_accuracy(model, images, labels, eps, step, n_steps, n_restarts, losses=(ce_loss, margin_loss)):
    before = model.training
    model.train(False)
    left = torch.arange(len(images))
    for loss in [None, *[loss for loss in losses for _ in range(n_restarts)]]:
        attacked = images[left]
        if loss is not None and len(left):
            start = torch.empty_like(attacked).uniform_(-eps, eps).add(attacked).clamp(0, 1)
            attacked = pgd(model, attacked, labels[left], eps, step, n_steps, loss, start)
        if len(left):
            left = left[margin_loss(model(attacked), labels[left]).detach() < 0]
    model.train(before)
    return len(left) / len(images)


def adversarial_epoch(model, optimizer, batches, eps, step, n_steps):
    sums = []
    for images, labels in batches:
        optimizer.zero_grad(set_to_none=False)
        start = torch.empty_like(images).uniform_(-1, 1).mul(eps).add(images).clamp(0, 1)
        attacked = pgd(model.eval(), images, labels, eps, step, n_steps, start=start)
        loss = F.cross_entropy(model.train()(attacked), labels)
        loss.backward()
        optimizer.step()
        sums.append((float(loss) * len(labels), len(labels)))
    return sum(total for total, _ in sums) / sum(n for _, n in sums)
