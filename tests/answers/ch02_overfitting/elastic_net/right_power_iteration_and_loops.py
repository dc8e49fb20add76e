# Right: power iteration for L by repeated squaring, one weight after the other, a loop that ends once nothing moves
def soft_threshold(x, threshold):
    def one(value):
        if value > threshold:
            return value - threshold
        if value < -threshold:
            return value + threshold
        return 0.0

    return torch.tensor([one(v) for v in x.flatten().tolist()], dtype=x.dtype).reshape(x.shape)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    residual = torch.addmv(y - b, X, w, alpha=-1)
    lasso, ridge = torch.norm(w, p=1), torch.norm(w, p=2) ** 2
    return 0.5 * residual.pow(2).mean() + alpha * l1_ratio * lasso + alpha * (1 - l1_ratio) * 0.5 * ridge


def lipschitz_constant(X, alpha, l1_ratio):
    A = X - X.mean(0)
    H = A.T @ A
    for _ in range(60):  # the power method with 2 ** 60 steps
        H = H / H.norm()
        H = H @ H
    v = H @ torch.randn(X.shape[1], dtype=X.dtype)
    v = v / v.norm()
    return float((A @ v) @ (A @ v)) / len(X) + alpha * (1 - l1_ratio)


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    L = lipschitz_constant(X, alpha, l1_ratio)
    A, t = X - X.mean(0), y - y.mean()
    w = torch.zeros(X.size(1)).to(X)
    for _ in range(steps):
        new = soft_threshold(w - (A.T @ (A @ w - t) / len(t) + alpha * (1 - l1_ratio) * w) / L, alpha * l1_ratio / L)
        if torch.equal(new, w):
            break
        w = new
    return w, y.mean() - (X.mean(0) * w).sum()
