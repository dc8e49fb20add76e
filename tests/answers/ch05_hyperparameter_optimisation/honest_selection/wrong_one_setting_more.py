# Wrong: the power n in the density instead of n - 1
# Fails: optimism_by_hand, integrates_the_maximum
def best_of_k(scores, k):
    n = len(scores)
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}, not from 1 to {n}")
    weight, mean = k / n, 0.0
    for i, score in zip(range(n, k - 1, -1), sorted(scores, reverse=True), strict=False):
        mean += weight * score
        weight *= (i - k) / (i - 1) if i > 1 else 0.0
    return float(mean)


def expected_optimism(n, noise, spread):
    from scipy.integrate import quad
    from scipy.special import ndtr

    if noise == 0:
        return 0.0
    highest, _ = quad(lambda x: 1 - ndtr(x) ** (n + 1) - ndtr(-x) ** (n + 1), 0, 10, limit=200)
    return float(noise**2 / math.hypot(noise, spread) * highest)


def shrink(scores, noise):
    mean = scores.mean()
    spread2 = max(0.0, scores.var(ddof=1) - (noise**2).mean())
    weights = np.ones(len(scores))
    np.divide(spread2, spread2 + noise**2, out=weights, where=noise > 0)
    return mean + weights * (scores - mean)


def select_then_test(settings, score, seeds, final_seeds):
    validation = np.array([[score(setting, seed, "validation") for seed in seeds] for setting in settings])
    chosen, second = np.argsort(-validation.mean(1), kind="stable")[:2]
    test = np.array([score(settings[chosen], seed, "test") for seed in final_seeds])
    lead = validation[chosen] - validation[second]

    def error(values):
        return float(values.std(ddof=1) / math.sqrt(len(values)))

    return {"chosen": int(chosen), "test": float(test.mean()), "test_error": error(test), "lead": float(lead.mean()), "lead_error": error(lead)}
