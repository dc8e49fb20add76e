# Wrong: scikit-learn does it
# Fails: agrees_with_sklearn, is_bayesian_linear_regression, keeps_its_digits
def posterior(kernel, X, y, Z, noise, prior_mean=0.0):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Kernel

    class Wrapped(Kernel):
        def __init__(self):
            pass

        def __call__(self, A, B=None, eval_gradient=False):
            return kernel(np.asarray(A), np.asarray(A if B is None else B))

        def diag(self, A):
            return np.diag(kernel(A, A)).copy()

        def is_stationary(self):
            return False

    model = GaussianProcessRegressor(Wrapped(), alpha=noise, optimizer=None).fit(X, y - prior_mean)
    mean, std = model.predict(Z, return_std=True)
    return prior_mean + mean, std


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
