# Right: torch's log-softmax pieces, masked arrays, scikit-learn's ROC curve, binomtest
def scaled_confidence(logits, labels):
    z = torch.as_tensor(np.array(logits, dtype=np.float64))
    index = torch.as_tensor(np.array(labels, dtype=np.int64)).expand(z.shape[:-1])[..., None]
    own = z.gather(-1, index).squeeze(-1)
    rest = z.scatter(-1, index, float("-inf"))
    return (own - torch.logsumexp(rest, -1)).numpy()


def lira(confidences, inside, target):
    keep = np.ones(len(confidences), dtype=bool)
    keep[target] = False
    values, seen = confidences[keep], inside[keep]
    def describe(side):
        masked = np.ma.masked_array(values, mask=~side)
        means = masked.mean(0)
        return means, ((masked - means) ** 2).mean()
    (m1, v1), (m0, v0) = describe(seen), describe(~seen)
    c = confidences[target]
    result = -((c - m1) ** 2) / (2 * v1) + (c - m0) ** 2 / (2 * v0) - np.log(v1 / v0) / 2
    return np.ma.filled(result, 0.0)


def tpr_at_fpr(scores, member, fpr):
    from sklearn.metrics import roc_curve

    false_rate, true_rate, _ = roc_curve(member, scores, drop_intermediate=False)
    return float(true_rate[false_rate <= fpr].max())


def epsilon_lower_bound(present, absent, delta, confidence):
    from scipy.stats import beta

    a = (1 - confidence) / 2
    p, q = np.sort(present[::2]), np.sort(absent[::2])

    def bounds(hits, m, alarms, k):
        hits, alarms = np.atleast_1d(hits), np.atleast_1d(alarms)
        low = np.where(hits > 0, beta.ppf(a, np.maximum(hits, 1), m - np.maximum(hits, 1) + 1), 0)
        high = np.where(alarms < k, beta.ppf(1 - a, np.minimum(alarms, k - 1) + 1, k - np.minimum(alarms, k - 1)), 1)
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(low - delta, 0) / high)

    t = np.union1d(p, q)
    chosen = bounds(len(p) - np.searchsorted(p, t), len(p), len(q) - np.searchsorted(q, t), len(q))
    if chosen.max() <= 0:
        return 0.0
    t = t[chosen.argmax()]
    counted = bounds((present[1::2] >= t).sum(), len(present[1::2]), (absent[1::2] >= t).sum(), len(absent[1::2]))
    return max(0.0, float(counted[0]))
