# Wrong: the points of the precision-recall curve are joined by straight lines, from precision 1 at recall 0
# Fails: steps_by_hand, ap_agrees_with_sklearn, order_does_not_matter
def roc_auc(labels, scores):
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    for name, present in (("positive", labels), ("negative", ~labels)):
        if not present.any():
            raise ValueError(f"among the {len(labels)} cases is no {name} one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    positives, negatives = scores[labels], np.sort(scores[~labels])
    lower = np.searchsorted(negatives, positives, side="left")
    not_higher = np.searchsorted(negatives, positives, side="right")
    return float((lower + not_higher).mean() / (2 * len(negatives)))


def average_precision(labels, scores):
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    if not labels.any():
        raise ValueError(f"among the {len(labels)} cases is no positive one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    _, threshold = np.unique(-scores, return_inverse=True)
    positives = np.bincount(threshold, weights=labels)
    precision = np.cumsum(positives) / np.cumsum(np.bincount(threshold))
    recall = np.cumsum(positives) / labels.sum()
    return float(np.trapezoid(np.insert(precision, 0, 1.0), np.insert(recall, 0, 0.0)))


def precision_at_prevalence(labels, scores, recall, prevalence):
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    for name, present in (("positive", labels), ("negative", ~labels)):
        if not present.any():
            raise ValueError(f"among the {len(labels)} cases is no {name} one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    positives, negatives = np.sort(scores[labels])[::-1], scores[~labels]
    enough = np.arange(1, len(positives) + 1) / len(positives) >= recall
    threshold = positives[enough.argmax()]
    true = prevalence * (positives >= threshold).mean()
    false = (1 - prevalence) * (negatives >= threshold).mean()
    return float(true / (true + false))
