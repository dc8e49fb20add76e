# Right: normal equations with an unpenalised column of ones, a Cholesky factor, a list of points
def sample_around(x, scale, n, generator):
    root = np.linalg.cholesky(np.diag(np.asarray(scale, dtype=float) ** 2))
    return np.array([x + root @ generator.standard_normal(len(x)) for _ in range(n)])


def proximity(Z, x, scale, width):
    precision = np.diag(1 / np.asarray(scale, dtype=float) ** 2)
    differences = Z - x
    return np.exp(-np.einsum("ni,ij,nj->n", differences, precision, differences) / (width * width))


def weighted_ridge(U, y, weights, penalty):
    rows = np.column_stack([np.ones(len(U)), U])
    pull = np.diag([0.0] + [penalty] * U.shape[1])
    found = np.linalg.solve(rows.T @ (weights[:, None] * rows) + pull, rows.T @ (weights * y))
    return found[1:], found[0]


def local_model(predict, x, scale, width, n, generator, penalty=0.0):
    Z = sample_around(x, scale, n, generator)
    y = np.asarray(predict(Z), dtype=float)
    weights = proximity(Z, x, scale, width)
    U = (Z - x) / scale
    b, c = weighted_ridge(U, y, weights, penalty)
    if (y == y[0]).all():
        return b, c, 1.0
    average = (weights * y).sum() / weights.sum()
    return b, c, 1 - (weights * (y - c - U @ b) ** 2).sum() / (weights * (y - average) ** 2).sum()
