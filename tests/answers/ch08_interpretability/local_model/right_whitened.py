# Right: an SVD of the centred rows, the proximities normalised, a regression in the units of x
def sample_around(x, scale, n, generator):
    Z = generator.standard_normal((len(x), n)).T
    Z = Z * np.asarray(scale)
    return Z + np.asarray(x)


def proximity(Z, x, scale, width):
    weights = np.ones(len(Z))
    for column, middle, unit in zip(np.asarray(Z).T, x, scale):
        weights = weights * np.exp(-(((column - middle) / (unit * width)) ** 2))
    return weights


def weighted_ridge(U, y, weights, penalty):
    total = weights.sum()
    middle, mean = weights @ U / total, weights @ y / total
    left, singular, right = np.linalg.svd(np.sqrt(weights)[:, None] * (U - middle), full_matrices=False)
    shrink = np.divide(singular, singular**2 + penalty, out=np.zeros_like(singular), where=singular > 0)
    b = right.T @ (shrink * (left.T @ (np.sqrt(weights) * (y - mean))))
    return b, mean - middle @ b


def local_model(predict, x, scale, width, n, generator, penalty=0.0):
    points = sample_around(x, scale, n, generator)
    labels = predict(points)
    weights = proximity(points, x, scale, width)
    weights, penalty = weights / weights.sum(), penalty / weights.sum()
    U = (points - x) / scale
    b, c = weighted_ridge(U, labels, weights, penalty)
    spread = weights @ labels**2 - (weights @ labels) ** 2
    if np.allclose(labels, labels[0], rtol=1e-12, atol=0):
        return b, c, 1.0
    return b, c, 1 - weights @ (labels - c - U @ b) ** 2 / spread
