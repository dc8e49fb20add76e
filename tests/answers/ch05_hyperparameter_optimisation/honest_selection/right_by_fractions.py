# Right: exact fractions for the subsets; the maximum by its quantile function; statistics of the standard library
def best_of_k(scores, k):
    ordered = sorted(scores)
    n = len(ordered)
    if k > n or k < 1:
        raise ValueError(f"{k} of {n}")
    # P(largest of k is at most the i-th) by the product of (i - j) / (n - j)
    at_most = [0.0] * (n + 1)
    for i in range(k, n + 1):
        at_most[i] = math.exp(math.lgamma(i + 1) - math.lgamma(i - k + 1) - math.lgamma(n + 1) + math.lgamma(n - k + 1))
    scale = at_most[n]
    return sum(float(ordered[i - 1]) * (at_most[i] - at_most[i - 1]) for i in range(1, n + 1)) / scale


def expected_optimism(n, noise, spread):
    from scipy.special import roots_legendre, ndtri_exp

    if not noise:
        return 0.0
    # With u uniform, the maximum is the quantile of u ** (1 / n); u = s(t), smooth at both ends.
    nodes, weights = roots_legendre(1200)
    t = 40 * nodes
    log_u = -np.logaddexp(0, -t)
    density = np.exp(log_u - np.logaddexp(0, t))
    tail = ndtri_exp(log_u / n)
    highest = 40 * np.sum(weights * density * tail)
    return float(noise**2 / np.hypot(noise, spread) * highest)


def shrink(scores, noise):
    import statistics

    spread2 = max(statistics.variance(map(float, scores)) - statistics.fmean(float(s) ** 2 for s in noise), 0.0)
    mean = statistics.fmean(scores)
    if spread2 == 0:
        return np.where(noise == 0, scores, mean)
    precision = 1 / spread2
    return np.array([x if s == 0 else (mean * precision + x / s**2) / (precision + 1 / s**2) for x, s in zip(scores, noise, strict=True)])


def select_then_test(settings, score, seeds, final_seeds):
    validation = np.array([[score(setting, seed, "validation") for seed in seeds] for setting in settings])
    chosen, second = np.argsort(-validation.mean(1), kind="stable")[:2]
    test = np.array([score(settings[chosen], seed, "test") for seed in final_seeds])
    lead = validation[chosen] - validation[second]

    def error(values):
        return float(values.std(ddof=1) / math.sqrt(len(values)))

    return {"chosen": int(chosen), "test": float(test.mean()), "test_error": error(test), "lead": float(lead.mean()), "lead_error": error(lead)}
