# Right: the SVD is that of the transposed matrix, with full matrices; shares are counted from the largest output of the class; the curve holds NumPy numbers.
def random_features(X: np.ndarray, width: int, seed: int) -> np.ndarray:
    """max(D x, 0) / sqrt(width) for every row x of X.

    D is what `np.random.default_rng(seed).standard_normal((width, d))` draws, so that the same seed
    gives the same features wherever it is used.

    Args:
        X: (n, d), one sample in each row.

    Returns:
        (n, width).
    """
    D = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    return np.maximum(X @ D.T, 0) / np.sqrt(width)


def minimum_norm(A: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Of all W for which the sum of the squares of A W - Y is smallest, the one with the smallest
    sum of squares.

    Works for any number of rows and columns, and for matrices of any rank but zero. Singular values
    below 1e-10 times the largest count as zero, and no others.

    Args:
        A: (n, p).
        Y: (n, k).

    Returns:
        W (p, k), as precise as a singular value decomposition of A allows (the normal equations are
        not).

    >>> minimum_norm(np.array([[1.0, 1.0]]), np.array([[2.0]]))
    array([[1.],
           [1.]])
    """
    m = min(A.shape)
    V, s, Ut = np.linalg.svd(A.T, full_matrices=True)
    factors = np.zeros(m)
    np.divide(1.0, s, out=factors, where=~(s < 1e-10 * s.max()))
    return (V[:, :m] * factors) @ (Ut[:m] @ Y)


def ridge_regression(A: np.ndarray, Y: np.ndarray, strength: float) -> np.ndarray:
    """The W for which the sum of the squares of A W - Y plus strength times that of W is smallest.

    Args:
        A: (n, p).
        Y: (n, k).
        strength: greater than 0. No cut-off is needed: it is at least 1e-6 times the square of A's
            largest singular value, or A's smallest singular value is at least 1e-8 times the
            largest and the strength may be tiny.

    Returns:
        W (p, k), as precise as a singular value decomposition of A allows.

    >>> ridge_regression(np.array([[1.0, 1.0]]), np.array([[2.0]]), strength=2.0)
    array([[0.5],
           [0.5]])
    """
    m = min(A.shape)
    V, s, Ut = np.linalg.svd(A.T)
    with np.errstate(divide="ignore"):
        return (V[:, :m] / (s + strength / s)) @ (Ut[:m] @ Y)


def width_curve(
    training: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    widths: list[int],
    strength: float,
    seeds: list[int],
) -> dict[str, list[float]]:
    """Trains on random features of several widths, and measures.

    For each width and each seed: fits W on the features of the training data, by `minimum_norm` if
    strength is 0, by `ridge_regression` otherwise, and measures three numbers. What is returned are
    their means over the seeds.

    Args:
        training: X (n, d) and Y (n, k), where Y has a 1 in the column of the sample's class, 0
            elsewhere.
        held_out: likewise, for any number of samples.
        widths: numbers of features.
        strength: of the ridge penalty, or 0.
        seeds: for `random_features`.

    Returns:
        "training_error" and "held_out_error": share of the samples, from 0 to 1, whose largest
        output is not that of their class; "norm": square root of the sum of the squares of W. Each
        is a list with one number for each width.
    """
    (X, Y), (X_new, Y_new) = training, held_out
    result = {"training_error": [], "held_out_error": [], "norm": []}
    for width in widths:
        rows = []
        for seed in seeds:
            A, A_new = random_features(X, width, seed), random_features(X_new, width, seed)
            W = minimum_norm(A, Y) if strength == 0 else ridge_regression(A, Y, strength)
            wrong = [np.mean((a @ W).argmax(1) != y.argmax(1)) for a, y in ((A, Y), (A_new, Y_new))]
            rows.append([*wrong, np.sqrt((W**2).sum())])
        for name, value in zip(result, np.mean(rows, axis=0), strict=True):
            result[name].append(value)
    return result
