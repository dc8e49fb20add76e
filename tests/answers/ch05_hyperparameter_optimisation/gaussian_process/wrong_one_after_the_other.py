# Wrong: one measurement after the other, as section 5.4's surrogate does: not precise enough
# Fails: keeps_its_digits
def posterior(kernel, X, y, Z, noise, prior_mean=0.0):
    n = len(X)
    covariance = kernel(np.concatenate([X, Z]), X)
    mean = np.full(n + len(Z), float(prior_mean))
    variance = np.diag(kernel(np.concatenate([X, Z]), np.concatenate([X, Z])))
    for i in range(n):
        gain = covariance[:, i] / (covariance[i, i] + noise)
        mean = mean + gain * (y[i] - mean[i])
        variance = variance - gain * covariance[:, i]
        covariance = covariance - np.outer(gain, covariance[i])
    return mean[n:], np.sqrt(np.maximum(variance[n:], 0))


def expected_improvement(mean, std, best):
    gain = best - mean
    u = gain / np.where(std > 0, std, 1)
    uncertain = gain * scipy.special.ndtr(u) + std * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return np.where(std > 0, uncertain, np.maximum(gain, 0))


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
