# Wrong: a state_dict that is loaded again lacks the buffers with persistent=False
# Fails: cascade_leaves_the_model
def similarity(a, b):
    a, b = np.asarray(a, dtype=float).flatten(), np.asarray(b, dtype=float).flatten()

    def ranks(values):
        return (values[:, None] > values).sum(axis=1) + 0.5 * (values[:, None] == values).sum(axis=1)

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def cascade(model, layers, redraw, explain, x):
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    try:
        found.append(explain(model, x))
        for i in range(1, len(layers) + 1):
            redraw(dict(model.named_modules())[layers[-i]])
            found.append(explain(model, x))
    finally:
        model.load_state_dict(kept)
    return found


def perturbation_curve(predict, x, attribution, baseline, insert=False):
    base = np.full(np.shape(x), baseline, dtype=float)
    original = np.array(x, dtype=float)
    current, other = (base, original) if insert else (original, base)
    current = current.copy()
    order = sorted(np.ndindex(*original.shape), key=lambda index: -float(attribution[index]))
    curve = [predict(current[None])[0]]
    for index in order:
        current[index] = other[index]
        curve.append(predict(current[None])[0])
    return np.array(curve, dtype=float)


def caught(explainers, model, layers, redraw, x, limit=0.5):
    def mean_similarity(explain):
        first, *_, last = cascade(model, layers, redraw, explain, x)
        return sum(similarity(first[i], last[i]) for i in range(len(x))) / len(x)

    return [name for name in explainers if mean_similarity(explainers[name]) > limit]
