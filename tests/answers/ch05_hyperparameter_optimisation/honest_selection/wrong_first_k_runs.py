# Wrong: the best of the first k runs
# Fails: averages_over_pairs, agrees_with_enumeration, works_for_thousands
def best_of_k(scores, k):
    if not 1 <= k <= len(scores):
        raise ValueError(k)
    return float(max(scores[:k]))


def expected_optimism(n, noise, spread):
    from scipy.integrate import quad
    from scipy.special import ndtr

    if noise == 0:
        return 0.0
    highest, _ = quad(lambda x: 1 - ndtr(x) ** n - ndtr(-x) ** n, 0, 10, limit=200)
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
