# Right: rows for the penalty, least squares, one column of the sample after the other
def sample_around(x, scale, n, generator):
    return np.stack([generator.normal(x[j], scale[j], n) for j in range(len(x))], axis=1)


def proximity(Z, x, scale, width):
    distance = np.linalg.norm((Z - x) / scale, axis=1)
    return np.exp(-((distance / width) ** 2))


def weighted_ridge(U, y, weights, penalty):
    n, d = U.shape
    rows = np.zeros((n + d, d + 1))
    rows[:n] = np.c_[U, np.ones(n)] * np.sqrt(weights)[:, None]
    rows[n:, :d] = math.sqrt(penalty) * np.eye(d)
    found = np.linalg.lstsq(rows, np.r_[y * np.sqrt(weights), np.zeros(d)], rcond=None)[0]
    return found[:d], found[d]


def local_model(predict, x, scale, width, n, generator, penalty=0.0):
    Z = sample_around(x, scale, n, generator)
    y = np.concatenate([np.asarray(predict(part)) for part in np.array_split(Z, 4)])
    weights = proximity(Z, x, scale, width)
    b, c = weighted_ridge((Z - x) / scale, y, weights, penalty)
    error = np.average((y - c - (Z - x) / scale @ b) ** 2, weights=weights)
    variance = np.cov(y, aweights=weights, ddof=0)
    return b, c, 1.0 if np.ptp(y) == 0 else 1 - error / variance
