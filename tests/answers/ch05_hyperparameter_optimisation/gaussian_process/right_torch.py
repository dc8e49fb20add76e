# Right: PyTorch in 64 bits inside, its logarithms of erfc, NumPy outside
def posterior(kernel, X, y, Z, noise, prior_mean=0.0):
    K = torch.as_tensor(kernel(X, X)) + noise * torch.eye(len(X), dtype=torch.float64)
    L = torch.linalg.cholesky(K)
    right = torch.cat([torch.as_tensor(y - prior_mean)[:, None], torch.as_tensor(kernel(X, Z))], dim=1)
    solved = torch.linalg.solve_triangular(L, right, upper=False)
    mean = prior_mean + solved[:, 1:].T @ solved[:, 0]
    prior = torch.tensor([float(kernel(Z[i : i + 1], Z[i : i + 1]).item()) for i in range(len(Z))], dtype=torch.float64)
    variance = prior - solved[:, 1:].square().sum(0)
    return mean.numpy(), variance.clamp(min=0).sqrt().numpy()


def log_of_h(u):
    # Two branches, each fed with what it can bear.
    far = torch.clamp(u, max=-1.0)
    tail = -far.square() / 2 - 0.5 * math.log(2 * math.pi) + torch.log(1 + far * math.sqrt(math.pi / 2) * torch.special.erfcx(-far / math.sqrt(2)))
    near = torch.clamp(u, min=-1.0)
    body = torch.log(near * torch.special.ndtr(near) + torch.exp(-near.square() / 2) / math.sqrt(2 * math.pi))
    return torch.where(u < -1, tail, body)


def expected_improvement(mean, std, best):
    certain = np.maximum(best - mean, 0)
    safe = np.where(std == 0, 1.0, std)
    value = safe * torch.exp(log_of_h(torch.as_tensor((best - mean) / safe))).numpy()
    return np.where(std == 0, certain, value)


def log_ei(mean, std, best):
    safe = np.where(std == 0, 1.0, std)
    value = np.log(safe) + log_of_h(torch.as_tensor((best - mean) / safe)).numpy()
    with np.errstate(divide="ignore"):
        return np.where(std == 0, np.log(np.maximum(best - mean, 0)), value)


def ucb(mean, std, t, delta=0.1):
    rounds = 6 / (math.pi**2 * t**2)
    return math.sqrt(2 * math.log(mean.size / (delta * rounds))) * std - mean
