# Right: three cases with where, the Hessian and its eigenvalues once
def soft_threshold(x: torch.Tensor, threshold: float) -> torch.Tensor:
    zero = torch.zeros_like(x)
    return torch.where(x > threshold, x - threshold, torch.where(x < -threshold, x + threshold, zero))


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    n = X.shape[0]
    errors = X.matmul(w) + b - y
    l1 = torch.linalg.vector_norm(w, 1)
    return torch.dot(errors, errors) / (2 * n) + alpha * l1_ratio * l1 + 0.5 * alpha * (1 - l1_ratio) * torch.dot(w, w)


def hessian(X, alpha, l1_ratio):
    A = X - X.mean(dim=0, keepdim=True)
    return A.mT @ A / X.shape[0] + alpha * (1 - l1_ratio) * torch.eye(X.shape[1], dtype=X.dtype)


def lipschitz_constant(X, alpha, l1_ratio):
    return torch.linalg.eigvalsh(hessian(X, alpha, l1_ratio))[-1].item()


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    H = hessian(X, alpha, l1_ratio)
    pull = (X - X.mean(0)).T @ (y - y.mean()) / len(y)
    L = lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros(X.shape[1], dtype=X.dtype)
    while steps > 0:
        w = soft_threshold(w + (pull - H @ w) / L, alpha * l1_ratio / L)
        steps -= 1
    return w, (y - X @ w).mean()
