# Right: NumPy inside, torch outside, in 64 bits throughout
def soft_threshold(x, threshold):
    a = x.numpy()
    return torch.as_tensor(np.sign(a) * np.maximum(np.abs(a) - threshold, 0), dtype=x.dtype).reshape(x.shape)


def elastic_net_objective(X, y, w, b, alpha, l1_ratio):
    total = 0.0
    for row, target in zip(X, y):
        total = total + (target - (row * w).sum() - b) ** 2
    penalty = 0.0
    for weight in w:
        penalty = penalty + l1_ratio * weight.abs() + (1 - l1_ratio) * weight * weight / 2
    return total / (2 * len(y)) + alpha * penalty


def lipschitz_constant(X, alpha, l1_ratio):
    X = X.numpy().astype(float)
    centred = X - X.mean(axis=0)
    return np.linalg.norm(centred, ord=2) ** 2 / len(X) + alpha * (1 - l1_ratio)


def fit_elastic_net(X, y, alpha, l1_ratio, steps):
    L = lipschitz_constant(X, alpha, l1_ratio)
    data, targets = X.numpy().astype(float), y.numpy().astype(float)
    centre, level = data.mean(axis=0), targets.mean()
    data, targets = data - centre, targets - level
    w = np.zeros(data.shape[1])
    for _ in range(steps):
        z = w - (data.T @ (data @ w - targets) / len(targets) + alpha * (1 - l1_ratio) * w) / L
        w = np.sign(z) * np.maximum(np.abs(z) - alpha * l1_ratio / L, 0)
    return torch.tensor(w, dtype=X.dtype), torch.tensor(level - centre @ w, dtype=X.dtype)
