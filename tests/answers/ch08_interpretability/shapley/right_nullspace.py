# Right: a basis of what keeps the sum, marginal contributions by reshaping, weights by a recurrence
def value_function(predict, x, background, coalitions):
    m, n = len(coalitions), len(background)
    known = np.repeat(np.asarray(coalitions, dtype=float), n, axis=0)
    rows = known * np.asarray(x) + (1 - known) * np.tile(background, (m, 1))
    return np.asarray(predict(rows)).reshape(m, n).sum(axis=1) / n


def shapley(values):
    values = np.asarray(values, dtype=float)
    d = next((d for d in range(1, 13) if 2**d == values.size), None)
    if d is None:
        raise ValueError("the number of values is not 2, 4, 8, ...")
    cube = values.reshape((2,) * d)
    found = []
    for j in range(d):
        gain = np.diff(cube, axis=d - 1 - j).ravel()  # the first axis is the highest bit
        size = all_coalitions(d - 1).sum(axis=1) if d > 1 else np.zeros(1, dtype=int)
        by_size = np.bincount(size, gain, minlength=d) / np.bincount(size, minlength=d)
        found.append(by_size.mean())
    return np.array(found)


def kernel_weights(d):
    inner = [1 / d][: d - 1]
    for s in range(2, d):
        inner.append(inner[-1] * (s - 1) / (d - s))
    return np.array([math.inf, *inner, math.inf])


def kernel_shap(coalitions, values, weights, base, total):
    coalitions = np.asarray(coalitions)
    d = coalitions.shape[1]
    keep = ~(coalitions == coalitions[:, :1]).all(axis=1)
    even = np.full(d, (total - base) / d)
    if not keep.any():
        return even
    # The differences from an even share add up to 0; an orthonormal basis of such vectors.
    basis = np.linalg.svd(np.ones((1, d)))[2][1:].T
    Z, root = coalitions[keep] * 1.0, np.sqrt(weights[keep] / weights[keep].max())
    rest = (values[keep] - base - Z @ even) * root
    return even + basis @ np.linalg.pinv((Z @ basis) * root[:, None]) @ rest
