# Right: O'Brien and Fleming's boundary, the chi-squared distribution, and cumulated stops
def sample_size(p, q, alpha=0.05, power=0.8):
    from scipy.special import ndtri

    if p == q or not (0 < p < 1 and 0 < q < 1):
        raise ValueError("not two different shares between 0 and 1")
    variance = p * (1 - p) + q * (1 - q)
    return math.ceil((ndtri(1 - alpha / 2) + ndtri(power)) ** 2 * variance / (p - q) ** 2)


def z_test(a, n_a, b, n_b):
    from scipy.stats import chi2

    a, n_a, b, n_b = float(a), float(n_a), float(b), float(n_b)
    if min(n_a, n_b) == 0:
        raise ValueError("no users")
    expected = (a + b) / (n_a + n_b)
    if a + b == 0 or a + b == n_a + n_b:
        return 0.0, 1.0
    difference = b / n_b - a / n_a
    statistic = difference**2 / (expected * (1 - expected)) / (1 / n_a + 1 / n_b)
    return math.copysign(math.sqrt(statistic), difference), chi2.sf(statistic, 1)


def first_stop(z, boundary):
    z = np.asarray(z, dtype=float)
    running = np.logical_and.accumulate(~(np.abs(z) >= boundary), axis=1)
    looks = running.sum(axis=1)
    return np.where(looks == z.shape[1], -1, looks)


def boundary(looks, alpha=0.05):
    from scipy.optimize import brentq

    shape = np.sqrt(looks / np.arange(1, looks + 1))
    return shape * brentq(lambda c: crossing_probability(c * shape) - alpha, 1.0, 5.0)
