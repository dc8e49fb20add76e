# Right: squares of the penalty as additional rows of data: the lasso on a taller matrix
def soft_threshold(x, threshold):
    keep = x.abs() > threshold
    return torch.where(keep, x - threshold * torch.sign(x), 0.0)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    design, target = augmented(X, y - b, alpha, l1_ratio, torch.zeros_like(X[0]), torch.zeros_like(b))
    return (target - design @ w).square().sum() / (2 * len(X)) + alpha * l1_ratio * w.abs().sum()


def augmented(X, y, alpha, l1_ratio, centre, level):
    p = X.shape[1]
    rows = math.sqrt(len(X) * alpha * (1 - l1_ratio)) * torch.eye(p, dtype=X.dtype)
    return torch.cat([X - centre, rows]), torch.cat([y - level, torch.zeros(p, dtype=X.dtype)])


def lipschitz_constant(X, alpha, l1_ratio):
    design, _ = augmented(X, X[:, 0], alpha, l1_ratio, X.mean(0), 0)
    return float(torch.linalg.norm(design, ord=2).square() / len(X))


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    design, target = augmented(X, y, alpha, l1_ratio, X.mean(0), y.mean())
    L = lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(X[0])
    for _ in range(steps):
        slope = design.T @ (design @ w - target) / len(X)
        w = soft_threshold(w - slope / L, alpha * l1_ratio / L)
    return w, torch.mean(y - X @ w)
