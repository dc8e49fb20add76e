# Wrong: the intercept takes gradient steps, too, from zero: not the best one for the weights
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
    step = 1 / lipschitz_constant(X, alpha, l1_ratio)
    w, b = torch.zeros_like(X[0]), torch.zeros_like(y[0])
    for _ in range(steps):
        residual = X @ w + b - y
        w = soft_threshold(w - step * (X.T @ residual / len(X) + alpha * (1 - l1_ratio) * w), step * alpha * l1_ratio)
        b = b - step * residual.mean()
    return w, b
