# Wrong: the gain is not divided by gain + loss
# Fails: power_by_enumeration
def bootstrap_interval(rows, statistic, draws, level=0.95):
    if not 0 < level < 1:
        raise ValueError("level is not between 0 and 1")
    rows = np.asarray(rows)
    values = [statistic(rows[draw]) for draw in np.asarray(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def clustered_se(scores, clusters):
    names, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    if len(scores) != len(numbers) or len(names) < 2:
        raise ValueError("a cluster is needed for each score, and at least two different ones")
    scores = np.asarray(scores, dtype=float)
    sums = np.bincount(numbers, weights=scores - scores.mean())
    return float(np.sqrt(len(names) / (len(names) - 1) * np.sum(sums**2)) / len(scores))


def mcnemar(a, b):
    from scipy.stats import binom

    if len(a) != len(b):
        raise ValueError("different lengths")
    a, b = np.asarray(a) != 0, np.asarray(b) != 0
    only_a, only_b = np.sum(a & ~b), np.sum(b & ~a)
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def paired_power(n, gain, loss, alpha=0.05):
    from scipy.stats import binom

    if min(gain, loss) < 0 or gain + loss > 1 + 1e-9:
        raise ValueError("no probabilities of different outcomes")
    if gain + loss == 0:
        return 0.0
    differ = np.arange(n + 1)
    most = binom.ppf(alpha / 2, differ, 0.5) - 1
    share = gain
    rejected = binom.cdf(most, differ, share) + binom.sf(differ - most - 1, differ, share)
    return float(binom.pmf(differ, n, min(1.0, gain + loss)) @ rejected)
