# Right: log-gamma for the binomials, a fine grid for the integral, torch for the rest; seeds outside, settings inside
def best_of_k(scores, k):
    from scipy.special import gammaln

    v = np.sort(np.array(scores, dtype=float))
    n = len(v)
    if k not in range(1, n + 1):
        raise ValueError("no such k")
    i = np.arange(k, n + 1)
    logs = gammaln(i) - gammaln(i - k + 1) - gammaln(k) - gammaln(n + 1) + gammaln(k + 1) + gammaln(n - k + 1)
    weights = np.exp(logs)
    return float(weights @ v[k - 1 :] / weights.sum())


def expected_optimism(n, noise, spread):
    from scipy.special import log_ndtr

    if noise == 0:
        return 0.0
    x = np.linspace(-12, 12, 40_001)
    below = np.exp(n * log_ndtr(x))
    highest = 12 - np.trapezoid(below, x)
    return float(noise * noise / np.sqrt(noise**2 + spread**2) * highest)


def shrink(scores, noise):
    x, s2 = torch.tensor(scores), torch.tensor(noise) ** 2
    spread2 = torch.clamp(x.var() - s2.mean(), min=0)
    w = torch.where(s2 > 0, spread2 / (spread2 + s2), torch.ones_like(s2))
    return ((1 - w) * x.mean() + w * x).numpy()


def select_then_test(settings, score, seeds, final_seeds):
    by_seed = np.array([[score(setting, seed, "validation") for setting in settings] for seed in seeds])
    means = by_seed.mean(0)
    chosen = int(means.argmax())
    others = means.copy()
    others[chosen] = -np.inf
    runner_up = int(others.argmax())
    from scipy.stats import sem

    test = [score(settings[chosen], seed, "test") for seed in final_seeds]
    return dict(
        chosen=chosen, test=np.mean(test), test_error=sem(test), lead=means[chosen] - means[runner_up], lead_error=sem(by_seed[:, chosen] - by_seed[:, runner_up])
    )
