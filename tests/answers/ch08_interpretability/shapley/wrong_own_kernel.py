# Wrong: uses the Shapley kernel instead of the weights it is given
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
    inner = coalitions.any(axis=1) & ~coalitions.all(axis=1)
    Z = coalitions[inner].astype(float)
    roots = np.sqrt(kernel_weights(coalitions.shape[1])[Z.sum(axis=1).astype(int)])
    # The last feature gets what the others leave, so the constraint holds whatever they get.
    design = (Z[:, :-1] - Z[:, -1:]) * roots[:, None]
    target = (values[inner] - base - Z[:, -1] * (total - base)) * roots
    others = np.linalg.lstsq(design, target)[0]
    return np.append(others, total - base - others.sum())
