# Wrong: the gradient arrives at the parameters of the defence
# Fails: backward_is_the_substitute
def dlr_loss(logits, labels):
    losses = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda i: -float(row[i].detach()))
        rival = next(i for i in order if i != label)
        losses.append((row[rival] - row[label]) / (row[order[0]] - row[order[2]]))
    return torch.stack(losses)


def bpda(images, defence, substitute=None):
    value = defence(images.detach())
    smooth = images if substitute is None else substitute(images)
    return value + (smooth - smooth.detach())


def eot_gradient(loss, images, n_draws):
    total = torch.zeros_like(images)
    for _ in range(n_draws):
        point = images.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point).sum(), point)
        total += gradient / n_draws
    return total


def accuracy_under_attack(classify, images, attacked, labels, eps, n_draws):
    if not ((attacked - images).abs() <= eps + 1e-6).all():
        raise ValueError(f"a pixel is farther than {eps} from the original")
    if not ((attacked >= -1e-6) & (attacked <= 1 + 1e-6)).all():
        raise ValueError("a pixel is outside [0, 1]")
    total = 0.0
    for _ in range(n_draws):
        logits = classify(attacked)
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
            total += all(row[label] > value for i, value in enumerate(row) if i != label)
    return total / n_draws / len(labels)
