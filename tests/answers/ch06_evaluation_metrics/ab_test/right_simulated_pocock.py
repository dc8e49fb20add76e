# Right: Pocock's boundary from 400,000 simulated experiments
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
    crossed = np.abs(np.asarray(z, dtype=float)) >= np.asarray(boundary)
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), -1)


def boundary(looks, alpha=0.05):
    k = np.arange(1, looks + 1)
    generator = np.random.default_rng()
    largest, total = np.zeros(400_000), np.zeros(400_000)
    for k in range(1, looks + 1):
        total += generator.normal(size=400_000)
        np.maximum(largest, np.abs(total) / math.sqrt(k), out=largest)
    return np.full(looks, np.quantile(largest, 1 - alpha))
