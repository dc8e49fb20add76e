# Right: a matrix of pairs for the clusters, survival functions for the p-value, and a loop over the numbers that differ
def bootstrap_interval(rows, statistic, draws, level=0.95):
    if not 0 < level < 1:
        raise ValueError("level is not between 0 and 1")
    rows = np.asarray(rows)
    values = [statistic(rows[draw]) for draw in np.asarray(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def clustered_se(scores, clusters):
    e = np.asarray(scores, dtype=np.float64)
    clusters = np.asarray(clusters)
    if e.shape != clusters.shape:
        raise ValueError("lengths")
    n_clusters = len(set(clusters.tolist()))
    if n_clusters < 2:
        raise ValueError("one cluster")
    e = e - np.mean(e)
    same = clusters.reshape(-1, 1) == clusters.reshape(1, -1)
    return math.sqrt(max(0.0, e @ same @ e) / len(e) ** 2 * n_clusters / (n_clusters - 1))


def mcnemar(a, b):
    from scipy.stats import binom

    a, b = np.array(a, dtype=int), np.array(b, dtype=int)
    if a.shape != b.shape:
        raise ValueError("lengths")
    wins, losses = int((a > b).sum()), int((a < b).sum())
    if wins == losses:
        return 1.0
    return float(2 * binom.sf(max(wins, losses) - 1, wins + losses, 0.5))


def paired_power(n, gain, loss, alpha=0.05):
    from scipy.stats import binom

    if gain < 0 or loss < 0 or gain + loss > 1 + 1e-9:
        raise ValueError("probabilities")
    if gain + loss == 0:
        return 0.0
    share, total = gain / (gain + loss), 0.0
    for differ in range(n + 1):
        wins = np.arange(differ + 1)
        p = np.minimum(1, 2 * binom.cdf(np.minimum(wins, differ - wins), differ, 0.5))
        total += binom.pmf(differ, n, min(gain + loss, 1)) * binom.pmf(wins, differ, share)[p <= alpha].sum()
    return total
