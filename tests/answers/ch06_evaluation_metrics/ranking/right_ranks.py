# Right: mean ranks from SciPy; average precision as a mean over the positives; ceil for the number of positives
def roc_auc(labels, scores):
    from scipy.stats import rankdata

    positive, scores = positives_of(labels, scores)
    p, n = positive.sum(), (~positive).sum()
    return (rankdata(scores)[positive].sum() - p * (p + 1) / 2) / (p * n)


def average_precision(labels, scores):
    from scipy.stats import rankdata

    positive, scores = positives_of(labels, scores, needs_negative=False)
    flagged = rankdata(-scores, method="max")[positive]
    found = rankdata(-scores[positive], method="max")
    return (found / flagged).mean()


def precision_at_prevalence(labels, scores, recall, prevalence):
    positive, scores = positives_of(labels, scores)
    p = int(positive.sum())
    needed = next(k for k in range(1, p + 1) if k / p >= recall)
    threshold = np.partition(scores[positive], p - needed)[p - needed]
    flagged = scores >= threshold
    R, F = flagged[positive].mean(), flagged[~positive].mean()
    return prevalence * R / (prevalence * R + (1 - prevalence) * F)


def positives_of(labels, scores, needs_negative=True):
    labels = np.array(labels, dtype=int)
    scores = np.array(scores, dtype=np.float64)
    if 1 not in labels:
        raise ValueError("there are no positive labels")
    if needs_negative and 0 not in labels:
        raise ValueError("there are no negative labels")
    if np.any(np.isnan(scores)):
        raise ValueError("scores contain NaN")
    return labels == 1, scores
