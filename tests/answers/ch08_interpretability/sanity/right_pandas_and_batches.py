# Right: Pearson's correlation of pandas' ranks, parameters copied back by hand, predictions in two batches
def similarity(a, b):
    import pandas as pd

    r, s = pd.Series(np.ravel(a)).rank().to_numpy(), pd.Series(np.ravel(b)).rank().to_numpy()
    value = np.corrcoef(r, s)[0, 1] if len(set(r)) > 1 and len(set(s)) > 1 else 0.0
    return float(np.clip(value, -1, 1))


def cascade(model, layers, redraw, explain, x):
    tensors = [*model.parameters(), *model.buffers()]
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        maps = [np.array(explain(model, x))]
        for name in layers[::-1]:
            redraw(model.get_submodule(name))
            maps.append(np.array(explain(model, x)))
        return maps
    finally:
        with torch.no_grad():
            for tensor, old in zip(tensors, kept):
                tensor.copy_(old)


def perturbation_curve(predict, x, attribution, baseline, insert=False):
    shape = np.shape(x)
    order = np.asarray(attribution).reshape(-1)
    order = sorted(range(order.size), key=lambda i: order[i], reverse=True)
    flat, base = np.array(x, dtype=float).reshape(-1), (np.zeros(shape) + baseline).reshape(-1)
    rows = []
    for i in range(len(order) + 1):
        row = base.copy() if insert else flat.copy()
        for pixel in order[:i]:
            row[pixel] = flat[pixel] if insert else base[pixel]
        rows.append(row.reshape(shape))
    half = len(rows) // 2
    return np.concatenate([predict(np.stack(rows[:half])), predict(np.stack(rows[half:]))]) + 0.0


def caught(explainers, model, layers, redraw, x, limit=0.5):
    found = []
    for name, explain in explainers.items():
        maps = cascade(model, layers, redraw, explain, x)
        if np.mean([similarity(before, after) for before, after in zip(maps[0], maps[-1], strict=True)]) > limit:
            found.append(name)
    return found
