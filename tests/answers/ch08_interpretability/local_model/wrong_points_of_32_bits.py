# Wrong: the points are of 32 bits
# Fails: samples_are_normal
def sample_around(x, scale, n, generator):
    return (x + scale * generator.standard_normal((n, len(x)))).astype(np.float32)


def proximity(Z, x, scale, width):
    return np.exp(-(((Z - x) / scale) ** 2).sum(axis=1) / width**2)


def weighted_ridge(U, y, weights, penalty):
    share = weights / weights.sum()
    mean_u, mean_y = share @ U, share @ y
    V, t = U - mean_u, y - mean_y
    b = np.linalg.solve((V * weights[:, None]).T @ V + penalty * np.eye(U.shape[1]), V.T @ (weights * t))
    return b, float(mean_y - mean_u @ b)


def local_model(predict, x, scale, width, n, generator, penalty=0.0):
    Z = sample_around(x, scale, n, generator)
    y = np.asarray(predict(Z), dtype=float)
    weights = proximity(Z, x, scale, width)
    U = (Z - x) / scale
    b, c = weighted_ridge(U, y, weights, penalty)
    if y.max() == y.min():
        return b, c, 1.0
    mean = weights @ y / weights.sum()
    r2 = 1 - weights @ (y - c - U @ b) ** 2 / (weights @ (y - mean) ** 2)
    return b, c, float(r2)
