# Right: one helper for the curve; the ROC curve by trapezoids, the rest from its points
def roc_auc(labels, scores):
    tp, fp, _ = curve(labels, scores)
    return np.trapezoid(np.insert(tp, 0, 0) / tp[-1], np.insert(fp, 0, 0) / fp[-1])


def average_precision(labels, scores):
    tp, fp, _ = curve(labels, scores, both=False)
    return np.sum(np.diff(tp / tp[-1], prepend=0.0) * tp / (tp + fp))


def precision_at_prevalence(labels, scores, recall, prevalence):
    tp, fp, _ = curve(labels, scores)
    at = np.flatnonzero(tp / tp[-1] >= recall)[0]
    odds = prevalence / (1 - prevalence) * (tp[at] / tp[-1]) / max(fp[at] / fp[-1], 1e-300)
    return odds / (1 + odds) if fp[at] else 1.0


def curve(labels, scores, both=True):
    """Flagged positives and negatives at each threshold, from the highest score down."""
    labels = np.array([bool(label) for label in labels])
    scores = np.array(scores, dtype=float)
    if labels.sum() == 0:
        raise ValueError("No positive cases!")
    if both and labels.sum() == len(labels):
        raise ValueError("No negative cases!")
    if not np.array_equal(scores, scores):
        raise ValueError("NaN")
    order = np.argsort(scores, kind="stable")[::-1]
    last = np.append(scores[order][1:] != scores[order][:-1], True)
    tp = np.cumsum(labels[order])[last]
    fp = np.cumsum(~labels[order])[last]
    return tp, fp, scores[order][last]
