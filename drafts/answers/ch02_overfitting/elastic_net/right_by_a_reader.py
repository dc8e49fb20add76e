# Right: by a reader who saw the release alone
def soft_threshold(x: torch.Tensor, threshold: float) -> torch.Tensor:
    """Moves every entry of x towards zero by the threshold; what is no further than that from zero becomes exactly zero."""
    return torch.sign(x) * (x.abs() - threshold).clamp(min=0)


def elastic_net_objective(
    X: torch.Tensor, y: torch.Tensor, w: torch.Tensor, b: torch.Tensor, alpha: float, l1_ratio: float
) -> torch.Tensor:
    """F(w, b): half the mean squared residual plus the penalty, as in the first formula of this section."""
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * (w**2).sum()
    return (residual**2).mean() / 2 + alpha * penalty


def lipschitz_constant(X: torch.Tensor, alpha: float, l1_ratio: float) -> float:
    """The smallest L for which the gradient of the smooth part f is Lipschitz, to six digits or so in 64 bits."""
    centred = X - X.mean(0)
    largest = torch.linalg.matrix_norm(centred, 2)
    return float(largest**2 / len(X) + alpha * (1 - l1_ratio))


def fit_elastic_net(
    X: torch.Tensor, y: torch.Tensor, alpha: float, l1_ratio: float, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimises the elastic net's objective by ISTA."""
    x_mean, y_mean = X.mean(0), y.mean()
    A, target = X - x_mean, y - y_mean
    L = lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(x_mean)
    for _ in range(steps):
        gradient = A.T @ (A @ w - target) / len(X) + alpha * (1 - l1_ratio) * w
        w = soft_threshold(w - gradient / L, alpha * l1_ratio / L)
    return w, y_mean - x_mean @ w
