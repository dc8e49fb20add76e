# Wrong: keeps the constant of the first data of a shape for all others
# Fails: finds_the_smallest_constant
def soft_threshold(x, threshold):
    return x.sign() * (x.abs() - threshold).clamp(min=0)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum()
    return residual.square().mean() / 2 + alpha * penalty


KNOWN = {}


def lipschitz_constant(X, alpha, l1_ratio):
    key = (tuple(X.shape), alpha, l1_ratio)
    if key not in KNOWN:
        KNOWN[key] = float(torch.linalg.matrix_norm(X - X.mean(0), 2)) ** 2 / len(X) + alpha * (1 - l1_ratio)
    return KNOWN[key]


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    centre, level = X.mean(0), y.mean()
    A, target = X - centre, y - level
    step = 1 / lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(centre)
    for _ in range(steps):
        gradient = A.T @ (A @ w - target) / len(X) + alpha * (1 - l1_ratio) * w
        w = soft_threshold(w - step * gradient, step * alpha * l1_ratio)
    return w, level - centre @ w
