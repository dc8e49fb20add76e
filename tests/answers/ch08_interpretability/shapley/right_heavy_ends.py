# Right: a large finite weight on the two ends, a loop over the background, and recursion
def value_function(predict, x, background, coalitions):
    total = np.zeros(len(coalitions))
    for row in np.asarray(background, dtype=float):
        total += predict(np.where(coalitions, np.asarray(x, dtype=float), row))
    return total / len(background)


def shapley(values):
    values = [float(value) for value in values]
    if len(values) < 2 or len(values) & (len(values) - 1):
        raise ValueError("not a power of two")
    d = int(math.log2(len(values)))
    factorials = [math.factorial(k) for k in range(d + 1)]
    found = [0.0] * d
    for number in range(2**d):
        size = bin(number).count("1")
        for j in range(d):
            # Each coalition counts for its members, and against the others.
            if number >> j & 1:
                found[j] += factorials[size - 1] * factorials[d - size] / factorials[d] * values[number]
            else:
                found[j] -= factorials[size] * factorials[d - size - 1] / factorials[d] * values[number]
    return np.array(found)


def kernel_weights(d):
    weights = np.full(d + 1, np.inf)
    for s in range(1, d):
        weights[s] = (d - 1) / math.comb(d, s) / s / (d - s)
    return weights


def kernel_shap(coalitions, values, weights, base, total):
    d = coalitions.shape[1]
    inner = np.array([0 < row.sum() < d for row in coalitions], dtype=bool)
    Z, v, w = coalitions[inner].astype(float), values[inner] - base, weights[inner]
    w = w / w.sum() if inner.any() else w
    rows = np.vstack([np.sqrt(w)[:, None] * Z, 1e4 * np.ones(d)])
    return np.linalg.lstsq(rows, np.append(np.sqrt(w) * v, 1e4 * (total - base)), rcond=None)[0]
