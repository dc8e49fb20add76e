# Right: an LU decomposition; Mills' ratio by a series far out; the complementary error function; one loop over points
def posterior(kernel, X, y, Z, noise, prior_mean=0.0):
    K = kernel(X, X)
    K[np.diag_indices(len(X))] += noise
    across = kernel(X, Z)
    weights = np.linalg.solve(K, across)
    mean = prior_mean + weights.T @ (y - prior_mean)
    variance = [kernel(z[None], z[None])[0, 0] - a @ w for z, a, w in zip(Z, across.T, weights.T)]
    return mean, np.sqrt(np.clip(variance, 0, None))


def expected_improvement(mean, std, best):
    values = []
    for m, s in zip(mean, std):
        if s == 0:
            values.append(max(best - m, 0.0))
        else:
            u = (best - m) / s
            values.append(s * (u * 0.5 * math.erfc(-u / math.sqrt(2)) + math.exp(-u * u / 2) / math.sqrt(2 * math.pi)))
    return np.array(values)


def log_ei(mean, std, best):
    values = []
    for m, s, plain in zip(mean, std, expected_improvement(mean, std, best)):
        u = (best - m) / s if s > 0 else 0.0
        if u < -20:
            v = 1 / u**2
            series = math.log(v) + math.log1p(-v * (3 - v * (15 - v * (105 - v * (945 - v * 10395)))))
            values.append(math.log(s) - u * u / 2 - math.log(2 * math.pi) / 2 + series)
        else:
            values.append(math.log(plain) if plain > 0 else -math.inf)
    return np.array(values)


def ucb(mean, std, t, delta=0.1):
    share = 6 * delta / (math.pi * t) ** 2 / len(mean)
    return -(mean - np.sqrt(-2 * np.log(share)) * std)
