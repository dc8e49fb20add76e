# Right: one pass over sorted scores; shifted exponentials; densities from statistics
def scaled_confidence(logits, labels):
    others = np.array(logits, dtype=float)
    index = np.asarray(labels)[:, None] if others.ndim == 2 else np.broadcast_to(np.asarray(labels)[None, :, None], (*others.shape[:2], 1))
    own = np.take_along_axis(others, index, -1)[..., 0]
    np.put_along_axis(others, index, -np.inf, -1)
    top = others.max(-1)
    return own - top - np.log(np.exp(others - top[..., None]).sum(-1))


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


def tpr_at_fpr(scores, member, fpr):
    order = np.argsort(-scores, kind="stable")
    s, m = scores[order], member[order]
    last = np.append(s[1:] != s[:-1], True)  # the end of each group of equal scores
    alarms, hits = np.cumsum(~m)[last] / np.sum(~m), np.cumsum(m)[last] / np.sum(m)
    return float(np.max(hits[alarms <= fpr], initial=0.0))


def epsilon_lower_bound(present: np.ndarray, absent: np.ndarray, delta: float, confidence: float) -> float:
    from scipy.special import betaincinv

    error = (1 - confidence) / 2

    def bound(present, absent, threshold):
        hits, alarms = np.sum(present >= threshold), np.sum(absent >= threshold)
        tpr = betaincinv(hits, len(present) - hits + 1, error) if hits else 0.0
        fpr = betaincinv(alarms + 1, len(absent) - alarms, 1 - error) if alarms < len(absent) else 1.0
        return math.log((tpr - delta) / fpr) if tpr > delta else -math.inf

    thresholds = np.concatenate([present[::2], absent[::2]])
    bounds = [bound(present[::2], absent[::2], threshold) for threshold in thresholds]
    if max(bounds) <= 0:
        return 0.0
    return max(0.0, bound(present[1::2], absent[1::2], thresholds[np.argmax(bounds)]))
