# Right: gradients by autograd of the objective, with the best intercept in it; x minus its clamped self
def soft_threshold(x, threshold):
    return x - x.clamp(-threshold, threshold)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    loss = F.mse_loss(X @ w + b, y) / 2
    return loss + alpha * (l1_ratio * w.abs().sum() + (1 - l1_ratio) * (w**2).sum() / 2)


def lipschitz_constant(X, alpha, l1_ratio):
    singular = torch.linalg.svdvals(X - X.mean(0))
    return (singular.max() ** 2 / len(X) + alpha * (1 - l1_ratio)).item()


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    t = 1 / lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros(X.shape[1], dtype=X.dtype, requires_grad=True)
    for _ in range(steps):
        b = (y - X @ w).mean()
        # The smooth part is the objective with a smaller alpha and without absolute values.
        smooth = elastic_net_objective(X, y, w, b, alpha * (1 - l1_ratio), 0.0)
        (gradient,) = torch.autograd.grad(smooth, w)
        with torch.no_grad():
            w = soft_threshold(w - t * gradient, t * alpha * l1_ratio)
        w.requires_grad_()
    w = w.detach()
    return w, (y - X @ w).mean()
