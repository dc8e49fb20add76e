# Right: Sidak's level for each look, as if they were independent, and a formula in one line
def sample_size(p, q, alpha=0.05, power=0.8):
    from scipy.stats import norm

    if not (0 < p < 1) or not (0 < q < 1) or abs(p - q) == 0:
        raise ValueError("shares")
    return int(np.ceil(((norm.isf(alpha / 2) - norm.ppf(1 - power)) / abs(p - q)) ** 2 * sum(x - x**2 for x in (p, q))))


def z_test(a, n_a, b, n_b):
    from scipy.special import ndtr

    a, n_a, b, n_b = int(a), int(n_a), int(b), int(n_b)
    if n_a <= 0 or n_b <= 0:
        raise ValueError("a group has no users")
    pooled = (a + b) / (n_a + n_b)
    if pooled in (0, 1):
        return 0.0, 1.0
    z = (b / n_b - a / n_a) / math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return z, float(2 * ndtr(-abs(z)))


def first_stop(z, boundary):
    z = np.array(z, dtype=float, ndmin=2)
    stops = np.full(len(z), -1)
    heights = np.full(z.shape[1], boundary)
    for look in reversed(range(z.shape[1])):
        stops[np.abs(z[:, look]) >= heights[look]] = look
    return stops


def boundary(looks, alpha=0.05):
    from scipy.stats import norm

    each = 1 - (1 - alpha) ** (1 / looks)
    return norm.isf(each / 2) * np.ones(looks)
