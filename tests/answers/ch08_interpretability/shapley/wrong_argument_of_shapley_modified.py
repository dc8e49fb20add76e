# Wrong: the argument of shapley is shifted in place
# Fails: shapley_agrees_with_every_order
def value_function(predict, x, background, coalitions):
    rows = np.where(coalitions[:, None], x, background)
    m, n, d = rows.shape
    return np.asarray(predict(rows.reshape(m * n, d)), dtype=float).reshape(m, n).mean(axis=1)


def shapley(values):
    values = np.asarray(values, dtype=float)
    if d0 := values[0]:
        values -= d0
    d = len(values).bit_length() - 1
    if d < 1 or len(values) != 2**d:
        raise ValueError(f"{len(values)} values are not 2, 4, 8, ...")
    numbers = np.arange(2**d)
    sizes = all_coalitions(d).sum(axis=1)
    weights = np.array([1 / (d * math.comb(d - 1, s)) for s in range(d)])
    shares = np.zeros(d)
    for j in range(d):
        without = numbers[(numbers >> j) % 2 == 0]
        shares[j] = weights[sizes[without]] @ (values[without + 2**j] - values[without])
    return shares


def kernel_weights(d):
    weights = np.full(d + 1, np.inf)
    for s in range(1, d):
        weights[s] = (d - 1) / (math.comb(d, s) * s * (d - s))
    return weights


def kernel_shap(coalitions, values, weights, base, total):
    d = coalitions.shape[1]
    sizes = coalitions.sum(axis=1)
    keep = (sizes > 0) & (sizes < d)
    Z = coalitions[keep].astype(float)
    root = np.sqrt(np.asarray(weights, dtype=float)[keep])
    y = np.asarray(values, dtype=float)[keep] - base
    delta = total - base
    if d == 1:
        return np.array([float(delta)])
    A = (Z[:, :-1] - Z[:, -1:]) * root[:, None]
    target = (y - Z[:, -1] * delta) * root
    first = np.linalg.lstsq(A, target, rcond=None)[0]
    return np.append(first, delta - first.sum())
