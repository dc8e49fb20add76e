# Wrong: the logarithm of a number that is 0
# Fails: logarithms_by_hand, logarithms_of_the_smallest
def posterior(kernel, X, y, Z, noise, prior_mean=0.0):
    lower = np.linalg.cholesky(kernel(X, X) + noise * np.eye(len(X)))
    V = scipy.linalg.solve_triangular(lower, kernel(X, Z), lower=True)
    mean = prior_mean + V.T @ scipy.linalg.solve_triangular(lower, y - prior_mean, lower=True)
    variance = np.diag(kernel(Z, Z)) - (V**2).sum(0)
    return mean, np.sqrt(np.maximum(variance, 0))


def expected_improvement(mean, std, best):
    gain = best - mean
    u = gain / np.where(std > 0, std, 1)
    uncertain = gain * scipy.special.ndtr(u) + std * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return np.where(std > 0, uncertain, np.maximum(gain, 0))


def log_ei(mean, std, best):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(expected_improvement(mean, std, best))


def ucb(mean, std, t, delta=0.1):
    beta = 2 * math.log(len(mean) * t**2 * math.pi**2 / (6 * delta))
    return math.sqrt(beta) * std - mean
