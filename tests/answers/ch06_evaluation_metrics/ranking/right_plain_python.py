# Right: sorted, groupby and counters, without NumPy
def roc_auc(labels, scores):
    points, p, n = steps(labels, scores)
    area = 0
    for (t0, f0), (t1, f1) in zip(points, points[1:], strict=False):
        area += (f1 - f0) * (t0 + t1)
    return area / (2 * p * n)


def average_precision(labels, scores):
    points, p, _ = steps(labels, scores, both=False)
    return math.fsum((t1 - t0) * t1 / (t1 + f1) for (t0, _), (t1, f1) in zip(points, points[1:], strict=False)) / p


def precision_at_prevalence(labels, scores, recall, prevalence):
    points, p, n = steps(labels, scores)
    for t, f in points[1:]:
        if t / p >= recall:
            return prevalence * (t / p) / (prevalence * t / p + (1 - prevalence) * f / n)


def steps(labels, scores, both=True):
    from itertools import groupby

    pairs = sorted(((float(s), bool(l)) for s, l in zip(scores, labels, strict=True)), reverse=True)
    total = {True: 0, False: 0}
    for score, label in pairs:
        total[label] += 1
        if math.isnan(score):
            raise ValueError("NaN cannot be ranked")
    if not total[True] or (both and not total[False]):
        raise ValueError("no positive" if not total[True] else "no negative")
    seen = {True: 0, False: 0}
    points = [(0, 0)]
    for _, group in groupby(pairs, key=lambda pair: pair[0]):
        for _, label in group:
            seen[label] += 1
        points.append((seen[True], seen[False]))
    return points, total[True], total[False]
