# Right: loops over coalitions, Harsanyi dividends, a multiplier for the constraint
def value_function(predict, x, background, coalitions):
    found = []
    for coalition in coalitions:
        rows = background.astype(float)
        rows[:, coalition] = x[coalition]
        found.append(np.mean(predict(rows)))
    return np.array(found)


def shapley(values):
    # The value that a coalition has more than all of its parts is shared out evenly among its members.
    dividends = np.array(values, dtype=float)
    d = round(math.log2(len(dividends))) if len(dividends) else 0
    if d < 1 or 2**d != len(dividends):
        raise ValueError(len(dividends))
    members = all_coalitions(d)
    for j in range(d):
        dividends[members[:, j]] -= dividends[~members[:, j]]
    return (members[1:] * (dividends[1:] / members[1:].sum(axis=1))[:, None]).sum(axis=0)


def kernel_weights(d):
    from scipy.special import gammaln

    s = np.arange(1, d)
    logarithm = math.log(max(d - 1, 1)) - gammaln(d + 1) + gammaln(s + 1) + gammaln(d - s + 1) - np.log(s) - np.log(d - s)
    return np.concatenate([[np.inf], np.exp(logarithm), [np.inf]])


def kernel_shap(coalitions, values, weights, base, total):
    d = coalitions.shape[1]
    size = coalitions.sum(axis=1)
    inner = (size > 0) & (size < d)
    Z, v, w = coalitions[inner] * 1.0, values[inner] - base, weights[inner]
    w = w / w.sum() if len(w) else w
    # The conditions for a minimum, with a multiplier.
    system = np.zeros((d + 1, d + 1))
    system[:d, :d] = Z.T @ np.diag(w) @ Z
    system[:d, d] = system[d, :d] = 1
    return np.linalg.solve(system, np.append(Z.T @ (w * v), total - base))[:d]
