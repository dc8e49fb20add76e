# Right: torch.unique with counts, in 64 bits; AUC as one minus the chance of the reverse
def roc_auc(labels, scores):
    negative, positive = table(labels, scores)
    for name, group in (("positive", positive), ("negative", negative)):
        if group.sum() == 0:
            raise ValueError("no " + name)
    lost = positive * (negative.flip(0).cumsum(0).flip(0) - negative / 2)
    return float(1 - lost.sum() / (positive.sum() * negative.sum()))


def average_precision(labels, scores):
    negative, positive = table(labels, scores).flip(1)
    if positive.sum() == 0:
        raise ValueError("no positive")
    return float((positive * positive.cumsum(0) / (positive + negative).cumsum(0)).sum() / positive.sum())


def precision_at_prevalence(labels, scores, recall, prevalence):
    negative, positive = table(labels, scores).flip(1)
    for name, group in (("positive", positive), ("negative", negative)):
        if group.sum() == 0:
            raise ValueError("no " + name)
    R, F = positive.cumsum(0) / positive.sum(), negative.cumsum(0) / negative.sum()
    first = int((R < recall).sum())
    return float(1 / (1 + (1 - prevalence) * F[first] / (prevalence * R[first])))


def table(labels, scores):
    labels = torch.tensor(np.array(labels).astype(np.int64))
    scores = torch.tensor(np.array(scores).astype(np.float64))
    if torch.isnan(scores).any():
        raise ValueError("NaN")
    values, index = torch.unique(scores, sorted=True, return_inverse=True)
    counts = torch.zeros(2, len(values), dtype=torch.float64)
    counts.index_put_((labels, index), torch.ones(len(labels), dtype=torch.float64), accumulate=True)
    return counts
