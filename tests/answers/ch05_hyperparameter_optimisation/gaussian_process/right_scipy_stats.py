# Right: cho_solve, scipy.stats, and the logarithm as log_ndtr's slope: log h(u) = log φ(u) + log(1 + u Φ/φ) with log_ndtr
from scipy.stats import norm


def posterior(kernel, X, y, Z, noise, prior_mean=0.0):
    factor = scipy.linalg.cho_factor(kernel(X, X) + np.diag([noise] * len(y)))
    across = kernel(Z, X)
    mean = across @ scipy.linalg.cho_solve(factor, y - prior_mean) + prior_mean
    variance = np.diagonal(kernel(Z, Z) - across @ scipy.linalg.cho_solve(factor, across.T))
    return [mean, np.sqrt(np.where(variance > 0, variance, 0))]


def expected_improvement(mean, std, best):
    result = np.maximum(best - mean, 0)
    some = std > 0
    u = (best - mean[some]) / std[some]
    result[some] = std[some] * (u * norm.cdf(u) + norm.pdf(u))
    return result


def log_ei(mean, std, best):
    result = np.full(len(mean), -np.inf)
    for i in range(len(mean)):
        if std[i] == 0:
            if mean[i] < best:
                result[i] = np.log(best - mean[i])
            continue
        u = (best - mean[i]) / std[i]
        if u > -3:
            result[i] = np.log(std[i]) + np.log(u * norm.cdf(u) + norm.pdf(u))
        else:
            ratio = np.exp(scipy.special.log_ndtr(u) - norm.logpdf(u)) if u > -30 else scipy.special.erfcx(-u / 2**0.5) * (np.pi / 2) ** 0.5
            result[i] = np.log(std[i]) + norm.logpdf(u) + np.log(1 + u * ratio)
    return result


def ucb(mean, std, t, delta=0.1):
    beta = 2 * (np.log(len(mean)) + 2 * np.log(t) + np.log(np.pi**2 / 6) - np.log(delta))
    return beta**0.5 * std - mean
