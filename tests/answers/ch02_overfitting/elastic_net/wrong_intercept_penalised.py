# Wrong: the intercept is a weight of a column of ones, and shrunk like the others
# Fails: leaves_the_intercept_alone
def soft_threshold(x, threshold):
    return x.sign() * (x.abs() - threshold).clamp(min=0)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum()
    return residual.square().mean() / 2 + alpha * penalty


def lipschitz_constant(X, alpha, l1_ratio):
    centred = X - X.mean(0)
    return float(torch.linalg.matrix_norm(centred, 2)) ** 2 / len(X) + alpha * (1 - l1_ratio)


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    A = torch.cat([X, torch.ones_like(X[:, :1])], 1)
    L = float(torch.linalg.matrix_norm(A, 2)) ** 2 / len(X) + alpha * (1 - l1_ratio)
    w = torch.zeros_like(A[0])
    for _ in range(steps):
        gradient = A.T @ (A @ w - y) / len(X) + alpha * (1 - l1_ratio) * w
        w = soft_threshold(w - gradient / L, alpha * l1_ratio / L)
    return w[:-1], w[-1]
