# Right: the formula as it stands, with Python's whole numbers; runner-up by removing the chosen one
def best_of_k(scores, k):
    n = len(scores)
    if k < 1 or k > n:
        raise ValueError("k must be from 1 to n")
    ordered = sorted(scores)
    return sum(math.comb(i - 1, k - 1) / math.comb(n, k) * ordered[i - 1] for i in range(k, n + 1))


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
    scores = {i: [] for i in range(len(settings))}
    for seed in seeds:
        for i, setting in enumerate(settings):
            scores[i].append(score(setting, seed, "validation"))
    chosen = max(scores, key=lambda i: np.mean(scores[i]))
    rest = [i for i in scores if i != chosen]
    second = max(rest, key=lambda i: np.mean(scores[i]))
    test = []
    for seed in final_seeds:
        test.append(score(settings[chosen], seed, "test"))
    gaps = np.subtract(scores[chosen], scores[second])
    return {
        "chosen": chosen,
        "test": np.mean(test),
        "test_error": np.sqrt(np.var(test, ddof=1) / len(test)),
        "lead": gaps.mean(),
        "lead_error": np.sqrt(gaps.var(ddof=1) / len(gaps)),
    }
