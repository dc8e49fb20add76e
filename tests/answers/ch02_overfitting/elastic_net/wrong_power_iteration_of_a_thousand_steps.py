# Wrong: a thousand steps of the power method, too few where two eigenvalues are close together
# Fails: finds_the_smallest_constant
def soft_threshold(x, threshold):
    return x.sign() * (x.abs() - threshold).clamp(min=0)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum()
    return residual.square().mean() / 2 + alpha * penalty


def lipschitz_constant(X, alpha, l1_ratio):
    A = X - X.mean(0)
    v = torch.randn(X.shape[1], dtype=X.dtype)
    for _ in range(1000):
        v = A.T @ (A @ v)
        v = v / v.norm()
    return float((A @ v) @ (A @ v)) / len(X) + alpha * (1 - l1_ratio)


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    centre, level = X.mean(0), y.mean()
    A, target = X - centre, y - level
    step = 1 / lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(centre)
    for _ in range(steps):
        gradient = A.T @ (A @ w - target) / len(X) + alpha * (1 - l1_ratio) * w
        w = soft_threshold(w - step * gradient, step * alpha * l1_ratio)
    return w, level - centre @ w
