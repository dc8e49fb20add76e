# Wrong: Adam on the objective, then a cut
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
    A, target = X - X.mean(0), y - y.mean()
    w = torch.zeros_like(X[0]).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        elastic_net_objective(A, target, w, torch.zeros_like(y[0]), alpha, l1_ratio).backward()
        optimizer.step()
    w = torch.where(w.detach().abs() < 0.01, torch.zeros_like(w), w.detach())
    return w, y.mean() - X.mean(0) @ w
