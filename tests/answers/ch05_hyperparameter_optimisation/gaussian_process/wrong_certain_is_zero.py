# Wrong: where nothing is uncertain, no improvement is expected
# Fails: improvement_by_hand, improvement_is_the_integral
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
    return np.where(std > 0, uncertain, 0.0)


def log_ei(mean, std, best):
    gain = best - mean
    u = gain / np.where(std > 0, std, 1)
    below = np.minimum(u, 0)
    tail = -(below**2) / 2 - math.log(2 * math.pi) / 2
    tail = tail + np.log1p(below * math.sqrt(math.pi / 2) * scipy.special.erfcx(-below / math.sqrt(2)))
    with np.errstate(divide="ignore"):
        plain = np.log(expected_improvement(mean, std, best))
        return np.where((std > 0) & (u < 0), np.log(std) + tail, plain)


def ucb(mean, std, t, delta=0.1):
    beta = 2 * math.log(len(mean) * t**2 * math.pi**2 / (6 * delta))
    return math.sqrt(beta) * std - mean
