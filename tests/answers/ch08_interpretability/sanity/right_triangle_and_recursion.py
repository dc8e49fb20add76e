# Right: np.unique for the ranks, a recursive cascade, a triangular mask, a single redraw for all methods
def similarity(a, b):
    def ranks(values):
        _, inverse, counts = np.unique(np.ravel(values), return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse.ravel()]

    r, s = ranks(a), ranks(b)
    if r.std() == 0 or s.std() == 0:
        return 0.0
    return float(np.cov(r, s, bias=True)[0, 1] / (r.std() * s.std()))


def cascade(model, layers, redraw, explain, x):
    from copy import deepcopy

    if not layers:
        return [explain(model, x)]
    first = explain(model, x)
    other = deepcopy(model)
    redraw(other.get_submodule(layers[-1]))
    return [first, *cascade(other, layers[:-1], redraw, explain, x)]


def perturbation_curve(predict, x, attribution, baseline, insert=False):
    n = np.size(x)
    order = np.lexsort((np.arange(n), -np.asarray(attribution, dtype=float).flatten()))
    place = np.empty(n, dtype=int)
    place[order] = np.arange(n)
    changed = (place < np.arange(n + 1)[:, None]).reshape(n + 1, *np.shape(x))
    rows = np.where(changed, x, baseline) if insert else np.where(changed, baseline, x)
    return predict(rows) * 1.0


def caught(explainers, model, layers, redraw, x, limit=0.5):
    import copy

    other = copy.deepcopy(model)
    for name in reversed(layers):
        redraw(other.get_submodule(name))
    names = []
    for name in explainers:
        pairs = zip(explainers[name](model, x), explainers[name](other, x), strict=True)
        if np.mean([similarity(a, b) for a, b in pairs]) > limit:
            names.append(name)
    return names
