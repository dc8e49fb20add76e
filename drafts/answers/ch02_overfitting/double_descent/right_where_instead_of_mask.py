# Right: full SVD, reciprocal singular values with where, einsum; lists filled by hand
def random_features(X: np.ndarray, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    D = rng.standard_normal((width, X.shape[1]))
    products = np.einsum("nd,pd->np", X, D)
    return np.where(products > 0, products, 0.0) * width**-0.5


def pseudo_inverse(A, filtered):
    U, s, Vt = np.linalg.svd(A, full_matrices=True)
    m = len(s)
    return (Vt[:m].T * filtered(s)) @ U[:, :m].T


def minimum_norm(A, Y):
    def filtered(s):
        return np.divide(1, s, out=np.zeros_like(s), where=s >= 1e-10 * s[0])

    return pseudo_inverse(A, filtered) @ Y


def ridge_regression(A, Y, strength):
    return pseudo_inverse(A, lambda s: s / (s * s + strength)) @ Y


def width_curve(training, held_out, widths, strength, seeds):
    X, Y = training
    Z, labels = held_out
    result = dict(training_error=[], held_out_error=[], norm=[])
    for p in widths:
        a = b = c = 0.0
        for seed in seeds:
            A, B = random_features(X, p, seed), random_features(Z, p, seed)
            W = minimum_norm(A, Y) if strength == 0 else ridge_regression(A, Y, strength)
            a += (np.argmax(A @ W, axis=1) != np.argmax(Y, axis=1)).sum() / len(X)
            b += (np.argmax(B @ W, axis=1) != np.argmax(labels, axis=1)).sum() / len(Z)
            c += np.sqrt((W**2).sum())
        result["training_error"].append(a / len(seeds))
        result["held_out_error"].append(b / len(seeds))
        result["norm"].append(c / len(seeds))
    return result
