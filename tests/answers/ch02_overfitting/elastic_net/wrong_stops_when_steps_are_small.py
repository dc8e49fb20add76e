# Wrong: ends as soon as no weight moves by more than 1e-6
# Fails: takes_proximal_steps
def soft_threshold(x: torch.Tensor, threshold: float) -> torch.Tensor:
    """Moves every entry of x towards zero by the threshold; what is no further than that from zero
    becomes exactly zero.

    Args:
        x: of any shape; not modified.
        threshold: at least 0.

    Returns:
        A new tensor of the shape and type of x.

    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    return x.sign() * (x.abs() - threshold).clamp(min=0)


def elastic_net_objective(
    X: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor,
    alpha: float,
    l1_ratio: float,
) -> torch.Tensor:
    """F(w, b): half the mean squared residual plus the penalty, as in the first formula of this
    section.

    Args:
        X: (n, p), one sample in each row.
        y: (n,), the targets.
        w: (p,), the weights.
        b: the intercept, a tensor without axes.
        alpha: strength of the penalty, at least 0.
        l1_ratio: the share rho of the absolute values, from 0 to 1.

    Returns:
        A tensor without axes. Autograd can differentiate it with respect to w and b, also where
        weights are zero; there, any subgradient of the absolute value will do.

    >>> elastic_net_objective(torch.eye(2), torch.zeros(2), torch.tensor([1.0, -2.0]), torch.tensor(0.0), 1.0, 1.0)
    tensor(4.2500)
    """
    residual = y - X @ w - b
    return 0.5 * residual.square().mean() + alpha * (l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum())


def lipschitz_constant(X: torch.Tensor, alpha: float, l1_ratio: float) -> float:
    """The smallest L for which the gradient of the smooth part f is Lipschitz.

    It is exact but for rounding: to six digits in 64 bits, to four in 32, also where the two
    largest eigenvalues are close together.

    Args:
        X: (n, p), not centred, with at least one column that is not constant; not modified. p may
            exceed n.
        alpha, l1_ratio: as above.
    """
    centred = X - X.mean(0)
    return float(torch.linalg.matrix_norm(centred, 2)) ** 2 / len(X) + alpha * (1 - l1_ratio)


def fit_elastic_net(
    X: torch.Tensor, y: torch.Tensor, alpha: float, l1_ratio: float, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimises the elastic net's objective by ISTA.

    Starts from weights of zero and takes exactly that many steps: down the gradient of f by 1/L
    with the smallest L, then the soft threshold. No momentum, and no other way of splitting F than
    the one above: weights are compared after one, two and three steps.

    Args:
        X: (n, p), not centred, with at least one column that is not constant; not modified. p may
            exceed n.
        y: (n,); not modified.
        alpha, l1_ratio: as above.
        steps: 0 or more.

    Returns:
        The weights (p,) and the best intercept for them, a tensor without axes.
    """
    X_mean, y_mean = X.mean(0), y.mean()
    centred, targets = X - X_mean, y - y_mean
    L = lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(X_mean)
    for _ in range(steps):
        gradient = centred.T @ (centred @ w - targets) / len(X) + alpha * (1 - l1_ratio) * w
        new = soft_threshold(w - gradient / L, alpha * l1_ratio / L)
        moved = (new - w).abs().max()
        w = new
        if moved < 1e-6:
            break
    return w, y_mean - X_mean @ w
