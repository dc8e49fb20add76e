# Wrong: z is positive if A converts better
# Fails: test_by_hand, agrees_with_chi_squared
def sample_size(p, q, alpha=0.05, power=0.8):
    from scipy.special import ndtri

    if p == q or not (0 < p < 1 and 0 < q < 1):
        raise ValueError("not two different shares between 0 and 1")
    variance = p * (1 - p) + q * (1 - q)
    return math.ceil((ndtri(1 - alpha / 2) + ndtri(power)) ** 2 * variance / (p - q) ** 2)


def z_test(a, n_a, b, n_b):
    from scipy.special import ndtr

    a, n_a, b, n_b = int(a), int(n_a), int(b), int(n_b)
    if n_a <= 0 or n_b <= 0:
        raise ValueError("a group has no users")
    pooled = (a + b) / (n_a + n_b)
    if pooled in (0, 1):
        return 0.0, 1.0
    z = (a / n_a - b / n_b) / math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return z, float(2 * ndtr(-abs(z)))


def first_stop(z, boundary):
    crossed = np.abs(np.asarray(z, dtype=float)) >= np.asarray(boundary)
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), -1)


def boundary(looks, alpha=0.05):
    from scipy.optimize import brentq

    height = brentq(lambda height: crossing_probability([height] * looks) - alpha, 1, 5)
    return np.full(looks, height)
