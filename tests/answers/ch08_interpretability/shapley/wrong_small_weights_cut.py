# Wrong: lstsq drops directions that have little weight (rcond of 1e-2)
# Fails: regression_on_some_coalitions
def value_function(predict, x: np.ndarray, background: np.ndarray, coalitions: np.ndarray) -> np.ndarray:
    rows = np.where(coalitions[:, None], x, background)
    return predict(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape[:2]).mean(axis=1)


def shapley(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    d = len(values).bit_length() - 1
    if d < 1 or len(values) != 2**d:
        raise ValueError("the number of values has to be a power of two, from 2 on")
    numbers, sizes = np.arange(2**d), all_coalitions(d).sum(axis=1)
    share = np.array([1 / (d * math.comb(d - 1, size)) for size in range(d)])
    found = np.zeros(d)
    for j in range(d):
        without = numbers[numbers >> j & 1 == 0]
        found[j] = share[sizes[without]] @ (values[without + 2**j] - values[without])
    return found


def kernel_weights(d: int) -> np.ndarray:
    inner = [(d - 1) / (math.comb(d, s) * s * (d - s)) for s in range(1, d)]
    return np.array([math.inf, *inner, math.inf])


def kernel_shap(coalitions: np.ndarray, values: np.ndarray, weights: np.ndarray, base: float, total: float) -> np.ndarray:
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
    first = np.linalg.lstsq(A, target, rcond=1e-2)[0]
    return np.append(first, delta - first.sum())
