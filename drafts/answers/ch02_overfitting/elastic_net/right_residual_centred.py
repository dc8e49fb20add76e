# Right: the data stays as it is, each residual is centred; two ReLUs
def soft_threshold(x, threshold):
    return F.relu(x - threshold) - F.relu(-x - threshold)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    r = y - (X @ w + b)
    n = len(y)
    return (r @ r) / (2 * n) + alpha * (l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.pow(2).sum())


def lipschitz_constant(X, alpha, l1_ratio):
    if X.shape[1] == 1:
        return float(X.var(correction=0)) + alpha * (1 - l1_ratio)
    covariance = torch.cov(X.T, correction=0)
    return float(torch.linalg.eigvalsh(covariance).max()) + alpha * (1 - l1_ratio)


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    L = lipschitz_constant(X, alpha, l1_ratio)
    w = X.new_zeros(X.shape[1])
    for _ in range(steps):
        r = y - X @ w
        r = r - r.mean()
        down = X.T @ r / len(y) - alpha * (1 - l1_ratio) * w
        w = soft_threshold(w + down / L, alpha * l1_ratio / L)
    return w, y.mean() - X.mean(0).dot(w)
