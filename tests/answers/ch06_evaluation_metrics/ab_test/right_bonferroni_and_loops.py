# Right: Bonferroni's boundary, the pooled number of users, loops, and the complementary error function
def sample_size(p, q, alpha=0.05, power=0.8):
    from statistics import NormalDist

    if p == q:
        raise ValueError("no difference")
    for share in (p, q):
        if share <= 0 or share >= 1:
            raise ValueError("a share has to be between 0 and 1")
    z_alpha, z_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    m = (p + q) / 2
    root = z_alpha * math.sqrt(2 * m * (1 - m)) + z_power * math.sqrt(p * (1 - p) + q * (1 - q))
    return int(np.ceil(root**2 / (p - q) ** 2))


def z_test(a, n_a, b, n_b):
    a, n_a, b, n_b = (int(number) for number in (a, n_a, b, n_b))
    if not n_a or not n_b:
        raise ValueError("no users")
    converted, total = a + b, n_a + n_b
    if converted == 0 or converted == total:
        return 0.0, 1.0
    z = (b * n_a - a * n_b) / math.sqrt(n_a * n_b) * math.sqrt(total) / math.sqrt(converted * (total - converted))
    return z, math.erfc(abs(z) / math.sqrt(2))


def first_stop(z, boundary):
    stops = []
    for path in np.asarray(z, dtype=float):
        heights = np.broadcast_to(boundary, path.shape)
        stop = -1
        for look in range(len(path)):
            if path[look] >= heights[look] or path[look] <= -heights[look]:
                stop = look
                break
        stops.append(stop)
    return np.array(stops, dtype=int)


def boundary(looks, alpha=0.05):
    from scipy.special import ndtri

    return np.full(looks, -ndtri(alpha / (2 * looks)))
