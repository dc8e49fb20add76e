# Wrong: the margin, not divided by anything
# Fails: loss_by_hand, loss_is_free_of_scale
def dlr_loss(logits, labels):
    own = F.one_hot(labels, logits.shape[1]).bool()
    others = logits.masked_fill(own, -math.inf).amax(1)
    highest = logits.topk(3, dim=1).values
    return (others - logits.gather(1, labels[:, None])[:, 0])


def bpda(images, defence, substitute=None):
    with torch.no_grad():
        value = defence(images.detach())
    smooth = images if substitute is None else substitute(images)
    return value.detach() + (smooth - smooth.detach())


def eot_gradient(loss, images, n_draws):
    total = torch.zeros_like(images)
    for _ in range(n_draws):
        point = images.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point).sum(), point)
        total += gradient
    return total / n_draws


def accuracy_under_attack(classify, images, attacked, labels, eps, n_draws):
    if not ((attacked - images).abs() <= eps + 1e-6).all():
        raise ValueError(f"a pixel is farther than {eps} from the original")
    if not ((attacked >= -1e-6) & (attacked <= 1 + 1e-6)).all():
        raise ValueError("a pixel is outside [0, 1]")
    with torch.no_grad():
        right = [(margin_loss(classify(attacked), labels) < 0).double().mean() for _ in range(n_draws)]
    return torch.stack(right).mean().item()
