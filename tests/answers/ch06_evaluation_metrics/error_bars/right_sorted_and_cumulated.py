# Right: percentiles of all draws at once, sums by sorting, the incomplete beta function
def bootstrap_interval(rows, statistic, draws, level=0.95):
    if not 0.0 < level < 1.0:
        raise ValueError("level")
    resampled = np.asarray(rows)[np.asarray(draws)]
    values = np.fromiter((statistic(one) for one in resampled), dtype=float)
    return tuple(np.percentile(values, [50 * (1 - level), 50 * (1 + level)]))


def clustered_se(scores, clusters):
    clusters, scores = np.asarray(clusters), np.asarray(scores).astype(float)
    if len(clusters) != len(scores):
        raise ValueError("lengths")
    order = np.argsort(clusters, kind="stable")
    starts = np.flatnonzero(np.r_[True, clusters[order][1:] != clusters[order][:-1]][: len(order)])
    if len(starts) < 2:
        raise ValueError("one cluster")
    sums = np.add.reduceat((scores - scores.mean())[order], starts)
    return float(np.sqrt(len(sums)) * np.std(sums, ddof=1) / len(scores))


def mcnemar(a, b):
    from scipy.special import betainc

    if len(a) != len(b):
        raise ValueError("lengths")
    difference = np.asarray(a).astype(int) - np.asarray(b).astype(int)
    n, k = np.count_nonzero(difference), min(np.sum(difference == 1), np.sum(difference == -1))
    return 1.0 if 2 * k == n else float(2 * betainc(n - k, k + 1, 0.5))


def paired_power(n, gain, loss, alpha=0.05):
    from scipy.stats import binom

    if min(gain, loss) < 0 or gain + loss > 1 + 1e-9:
        raise ValueError("no probabilities of different outcomes")
    if gain + loss == 0:
        return 0.0
    differ = np.arange(n + 1)
    most = binom.ppf(alpha / 2, differ, 0.5) - 1
    share = gain / (gain + loss)
    rejected = binom.cdf(most, differ, share) + binom.sf(differ - most - 1, differ, share)
    return float(binom.pmf(differ, n, min(1.0, gain + loss)) @ rejected)
