# Right: logaddexp, loops over samples, scipy.stats.beta, sorted thresholds
def scaled_confidence(logits, labels):
    logits = np.asarray(logits, dtype=float)
    if logits.ndim == 3:
        return np.array([scaled_confidence(one, labels) for one in logits])
    found = []
    for row, label in zip(logits, labels):
        others = np.delete(row, label)
        found.append(row[label] - np.logaddexp.reduce(others))
    return np.array(found)


def lira(confidences, inside, target):
    models, n = confidences.shape
    rows = [m for m in range(models) if m != target]
    groups = {side: [[confidences[m, i] for m in rows if inside[m, i] == side] for i in range(n)] for side in (True, False)}
    variance = {}
    for side, per_sample in groups.items():
        squares = [(v - np.mean(g)) ** 2 for g in per_sample if g for v in g]
        variance[side] = sum(squares) / len(squares)
    scores = np.zeros(n)
    for i in range(n):
        if groups[True][i] and groups[False][i]:
            a, b = np.mean(groups[True][i]), np.mean(groups[False][i])
            c = confidences[target, i]
            scores[i] = (c - b) ** 2 / (2 * variance[False]) - (c - a) ** 2 / (2 * variance[True]) + 0.5 * math.log(variance[False] / variance[True])
    return scores


def tpr_at_fpr(scores, member, fpr):
    members, others = scores[member], scores[~member]
    best = 0.0
    for t in set(scores.tolist()):
        if np.sum(others >= t) / len(others) <= fpr:
            best = max(best, np.sum(members >= t) / len(members))
    return best


def epsilon_lower_bound(present, absent, delta, confidence):
    from scipy.stats import beta

    a = (1 - confidence) / 2

    def bound(p, q, t):
        h, m = int((p >= t).sum()), len(p)
        f, k = int((q >= t).sum()), len(q)
        low = beta.ppf(a, h, m - h + 1) if h > 0 else 0
        high = beta.isf(a, f + 1, k - f) if f < k else 1
        return math.log((low - delta) / high) if low > delta else -math.inf

    best, threshold = 0.0, None
    for t in sorted(set(present[0::2]) | set(absent[0::2])):
        value = bound(present[0::2], absent[0::2], t)
        if value > best:
            best, threshold = value, t
    return 0.0 if threshold is None else max(bound(present[1::2], absent[1::2], threshold), 0.0)
