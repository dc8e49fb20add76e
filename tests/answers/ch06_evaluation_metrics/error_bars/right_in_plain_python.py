# Right: loops, whole numbers of Python and a dictionary; no library for the statistics
def bootstrap_interval(rows, statistic, draws, level=0.95):
    if level <= 0 or level >= 1:
        raise ValueError("level")
    values = []
    for draw in draws:
        values.append(float(statistic(np.array([rows[i] for i in draw]))))
    if any(math.isnan(value) for value in values):
        return math.nan, math.nan
    values.sort()
    ends = []
    for q in ((1 - level) / 2, 1 - (1 - level) / 2):
        place = q * (len(values) - 1)
        i = min(int(place), len(values) - 1)
        j = min(i + 1, len(values) - 1)
        ends.append(values[i] * (1 - (place - i)) + values[j] * (place - i))
    return tuple(ends)


def clustered_se(scores, clusters):
    scores, clusters = [float(score) for score in scores], list(clusters)
    sums = {}
    if len(scores) != len(clusters):
        raise ValueError("lengths")
    if len(set(clusters)) < 2:
        raise ValueError("one cluster")
    mean = sum(scores) / len(scores)
    for score, cluster in zip(scores, clusters):
        sums[cluster] = sums.get(cluster, 0.0) + score - mean
    variance = sum(value * value for value in sums.values()) / len(scores) ** 2
    return math.sqrt(variance * len(sums) / (len(sums) - 1))


def mcnemar(a, b):
    only_a = only_b = 0
    for right_a, right_b in zip(a, b, strict=True):
        only_a += bool(right_a) and not right_b
        only_b += bool(right_b) and not right_a
    n = only_a + only_b
    ways = sum(math.comb(n, i) for i in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * ways / 2**n)


def paired_power(n, gain, loss, alpha=0.05):
    if gain < 0 or loss < 0 or gain + loss > 1 + 1e-9:
        raise ValueError("probabilities")
    same = max(0.0, 1 - gain - loss)
    power = 0.0
    for differ in range(n + 1):
        ways, most = 0, -1
        for i in range(differ // 2 + 1):
            ways += math.comb(differ, i)
            if 2 * ways / 2**differ > alpha:
                break
            most = i
        for losses in range(differ + 1):
            if min(losses, differ - losses) <= most:
                power += math.comb(n, differ) * math.comb(differ, losses) * gain ** (differ - losses) * loss**losses * same ** (n - differ)
    return power
