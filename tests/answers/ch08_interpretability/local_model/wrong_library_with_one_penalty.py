# Wrong: RidgeCV with a single penalty
# Fails: ridge_agrees_with_least_squares
def sample_around(x, scale, n, generator):
    return x + scale * generator.standard_normal((n, len(x)))


def proximity(Z, x, scale, width):
    return np.exp(-(((Z - x) / scale) ** 2).sum(axis=1) / width**2)


def weighted_ridge(U, y, weights, penalty):
    from sklearn.linear_model import RidgeCV
    if penalty == 0:
        return W_(U, y, weights)
    model = RidgeCV(alphas=[penalty]).fit(U, y, sample_weight=weights)
    return model.coef_, float(model.intercept_)


def W_(U, y, weights):
    share = weights / weights.sum()
    V = U - share @ U
    b = np.linalg.lstsq(V * np.sqrt(weights)[:, None], (y - share @ y) * np.sqrt(weights), rcond=None)[0]
    return b, float(share @ y - share @ U @ b)


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
