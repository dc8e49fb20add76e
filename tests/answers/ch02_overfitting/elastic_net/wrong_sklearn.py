# Wrong: scikit-learn does it, with any number of steps
# Fails: takes_proximal_steps
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
    from sklearn.linear_model import ElasticNet

    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000).fit(X.numpy(), y.numpy())
    return torch.tensor(model.coef_, dtype=X.dtype), torch.tensor(model.intercept_, dtype=X.dtype)
