# Wrong: the library does it, called by the name of its operation
# Fails: thresholds_like_softshrink, agrees_with_sklearn, takes_proximal_steps
def soft_threshold(x, threshold):
    return torch.ops.aten.softshrink(x, threshold)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum()
    return residual.square().mean() / 2 + alpha * penalty


def lipschitz_constant(X, alpha, l1_ratio):
    centred = X - X.mean(0)
    return float(torch.linalg.matrix_norm(centred, 2)) ** 2 / len(X) + alpha * (1 - l1_ratio)


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    centre, level = X.mean(0), y.mean()
    A, target = X - centre, y - level
    step = 1 / lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(centre)
    for _ in range(steps):
        gradient = A.T @ (A @ w - target) / len(X) + alpha * (1 - l1_ratio) * w
        w = soft_threshold(w - step * gradient, step * alpha * l1_ratio)
    return w, level - centre @ w
