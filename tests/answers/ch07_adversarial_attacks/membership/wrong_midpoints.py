# Wrong: thresholds half-way between two scores
# Fails: counts_on_the_other_half
def scaled_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    from scipy.special import logsumexp

    own = np.arange(logits.shape[-1]) == np.asarray(labels)[:, None]
    return np.where(own, logits, 0).sum(-1) - logsumexp(np.where(own, -np.inf, logits), axis=-1)


def lira(confidences: np.ndarray, inside: np.ndarray, target: int) -> np.ndarray:
    from scipy.stats import norm

    shadows, member = np.delete(confidences, target, axis=0), np.delete(inside, target, axis=0)
    terms, known = [], True
    for side in (member, ~member):
        counts = side.sum(0)
        means = (shadows * side).sum(0) / np.maximum(counts, 1)
        variance = ((shadows - means) ** 2)[side].mean()
        terms.append(norm.logpdf(confidences[target], means, math.sqrt(variance)))
        known = known & (counts > 0)
    return np.where(known, terms[0] - terms[1], 0.0)


def tpr_at_fpr(scores: np.ndarray, member: np.ndarray, fpr: float) -> float:
    best = 0.0
    for threshold in np.unique(scores):
        called = scores >= threshold
        if called[~member].mean() <= fpr:
            best = max(best, called[member].mean())
    return float(best)


def epsilon_lower_bound(present: np.ndarray, absent: np.ndarray, delta: float, confidence: float) -> float:
    from scipy.special import betaincinv

    error = (1 - confidence) / 2

    def bound(present, absent, threshold):
        hits, alarms = np.sum(present >= threshold), np.sum(absent >= threshold)
        tpr = betaincinv(hits, len(present) - hits + 1, error) if hits else 0.0
        fpr = betaincinv(alarms + 1, len(absent) - alarms, 1 - error) if alarms < len(absent) else 1.0
        return math.log((tpr - delta) / fpr) if tpr > delta else -math.inf

    scores = np.unique(np.concatenate([present[::2], absent[::2]]))
    thresholds = np.append((scores[1:] + scores[:-1]) / 2, scores[0])
    bounds = [bound(present[::2], absent[::2], threshold) for threshold in thresholds]
    if max(bounds) <= 0:
        return 0.0
    return max(0.0, bound(present[1::2], absent[1::2], thresholds[np.argmax(bounds)]))
