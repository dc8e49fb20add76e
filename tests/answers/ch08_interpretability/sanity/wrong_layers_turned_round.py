# Wrong: layers.reverse() turns the list of whoever calls
# Fails: cascade_follows_the_names
import copy

from scipy.stats import rankdata


def similarity(a, b):
    r, s = rankdata(np.asarray(a).ravel()), rankdata(np.asarray(b).ravel())
    r, s = r - r.mean(), s - s.mean()
    if not r.any() or not s.any():
        return 0.0
    return float((r * s).sum() / math.sqrt((r * r).sum() * (s * s).sum()))


def cascade(model, layers, redraw, explain, x):
    layers.reverse()
    model = copy.deepcopy(model)
    maps = [np.array(explain(model, x))]
    for name in layers:
        redraw(model.get_submodule(name))
        maps.append(np.array(explain(model, x)))
    return maps


def perturbation_curve(predict, x, attribution, baseline, insert=False):
    x, attribution = np.asarray(x), np.asarray(attribution)
    other = np.broadcast_to(np.asarray(baseline), x.shape)
    kind = np.result_type(x, other)
    start, end = (other, x) if insert else (x, other)
    n = x.size
    flat = attribution.ravel()
    order = n - 1 - np.argsort(flat[::-1], kind="stable")[::-1]
    rows = np.repeat(start.astype(kind).reshape(1, n), n + 1, axis=0)
    for i in range(1, n + 1):
        rows[i:, order[i - 1]] = end.ravel()[order[i - 1]]
    return np.asarray(predict(rows.reshape(n + 1, *x.shape)), dtype=float)


def caught(explainers, model, layers, redraw, x, limit=0.5):
    found = []
    for name, explain in explainers.items():
        maps = cascade(model, layers, redraw, explain, x)
        if np.mean([similarity(a, b) for a, b in zip(maps[0], maps[-1])]) > limit:
            found.append(name)
    return found
