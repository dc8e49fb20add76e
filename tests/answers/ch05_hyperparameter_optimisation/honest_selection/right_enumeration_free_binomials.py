# Right: math.comb with whole numbers; quad of the textbook's integrand from -10 to 10; loops
def best_of_k(scores, k):
    v = sorted(float(x) for x in scores)
    n = len(v)
    if k < 1 or k > n:
        raise ValueError("k")
    total = math.comb(n, k)
    ways, mean = 1, 0.0  # comb(i - 1, k - 1) for i = k
    for i in range(k, n + 1):
        mean += v[i - 1] * (ways / total)
        ways = ways * i // (i - k + 1)
    return mean


def expected_optimism(n, noise, spread):
    from scipy import integrate, stats

    if noise == 0.0:
        return 0.0

    def integrand(x):
        return x * n * stats.norm.pdf(x) * stats.norm.cdf(x) ** (n - 1)

    first, _ = integrate.quad(integrand, -10, 0, epsabs=1e-10, limit=500)
    second, _ = integrate.quad(integrand, 0, 10, epsabs=1e-10, limit=500, points=[1, 2, 3, 4, 5, 6])
    return noise * noise / (noise * noise + spread * spread) ** 0.5 * (first + second)


def shrink(scores, noise):
    n = len(scores)
    m = sum(scores) / n
    spread2 = sum((x - m) ** 2 for x in scores) / (n - 1) - sum(s * s for s in noise) / n
    spread2 = spread2 if spread2 > 0 else 0.0
    out = []
    for x, s in zip(scores, noise, strict=True):
        out.append(x if s == 0 else m + spread2 / (spread2 + s * s) * (x - m))
    return np.array(out)


def select_then_test(settings, score, seeds, final_seeds):
    table = []
    for setting in settings:
        table.append([score(setting, seed, "validation") for seed in seeds])
    means = [sum(row) / len(row) for row in table]
    best = means.index(max(means))
    rest = [(m, -i) for i, m in enumerate(means) if i != best]
    second = -max(rest)[1]
    tests = [score(settings[best], seed, "test") for seed in final_seeds]

    def mean_and_error(values):
        n = len(values)
        mean = sum(values) / n
        return mean, (sum((v - mean) ** 2 for v in values) / (n - 1) / n) ** 0.5

    test, test_error = mean_and_error(tests)
    lead, lead_error = mean_and_error([a - b for a, b in zip(table[best], table[second], strict=True)])
    return {"chosen": best, "test": test, "test_error": test_error, "lead": lead, "lead_error": lead_error}
