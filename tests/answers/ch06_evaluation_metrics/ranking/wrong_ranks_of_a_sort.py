# Wrong: ranks of a sort, which gives equal scores different ranks
# Fails: pairs_by_hand, auc_agrees_with_sklearn, order_does_not_matter
def roc_auc(labels, scores):
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    for name, present in (("positive", labels), ("negative", ~labels)):
        if not present.any():
            raise ValueError(f"among the {len(labels)} cases is no {name} one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    p = labels.sum()
    return float((ranks[labels].sum() - p * (p + 1) / 2) / (p * (len(labels) - p)))


def average_precision(labels, scores):
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    if not labels.any():
        raise ValueError(f"among the {len(labels)} cases is no positive one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    _, threshold = np.unique(-scores, return_inverse=True)
    positives = np.bincount(threshold, weights=labels)
    precision = np.cumsum(positives) / np.cumsum(np.bincount(threshold))
    return float((positives * precision).sum() / labels.sum())


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
