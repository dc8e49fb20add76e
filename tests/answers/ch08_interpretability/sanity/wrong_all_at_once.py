# Wrong: every step redraws all layers
# Fails: cascade_by_hand, cascade_follows_the_names
def similarity(a, b):
    from scipy.stats import rankdata

    r, s = rankdata(a), rankdata(b)
    r, s = r - r.mean(), s - s.mean()
    size = math.sqrt((r @ r) * (s @ s))
    return float(r @ s / size) if size > 0 else 0.0


def cascade(model, layers, redraw, explain, x):
    import copy

    model = copy.deepcopy(model)
    found = [explain(model, x)]
    for name in reversed(layers):
        [redraw(model.get_submodule(one)) for one in layers]
        found.append(explain(model, x))
    return found


def perturbation_curve(predict, x, attribution, baseline, insert=False):
    x = np.asarray(x, dtype=float)
    start, end = x.ravel(), np.broadcast_to(np.asarray(baseline, dtype=float), x.shape).ravel()
    if insert:
        start, end = end, start
    order = np.argsort(-np.asarray(attribution, dtype=float).ravel(), kind="stable")
    rows = np.tile(start, (x.size + 1, 1))
    for i, pixel in enumerate(order, 1):
        rows[i:, pixel] = end[pixel]
    return np.asarray(predict(rows.reshape(-1, *x.shape)), dtype=float)


def caught(explainers, model, layers, redraw, x, limit=0.5):
    found = []
    for name, explain in explainers.items():
        maps = cascade(model, layers, redraw, explain, x)
        if np.mean([similarity(before, after) for before, after in zip(maps[0], maps[-1], strict=True)]) > limit:
            found.append(name)
    return found
