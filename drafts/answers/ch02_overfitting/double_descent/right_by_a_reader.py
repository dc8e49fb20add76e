# Right: by a reader who saw the release alone
def random_features(X: np.ndarray, width: int, seed: int) -> np.ndarray:
    """max(D x, 0) / sqrt(width) for every row x of X."""
    D = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    return np.maximum(X @ D.T, 0) / np.sqrt(width)


def minimum_norm(A: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Least squares, and of all solutions the one with the smallest norm."""
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    kept = s >= 1e-10 * s[0]
    projected = U[:, kept].T @ Y
    return Vt[kept].T @ (projected / s[kept][:, None])


def ridge_regression(A: np.ndarray, Y: np.ndarray, strength: float) -> np.ndarray:
    """Minimises the sum of squares of A W - Y plus strength times that of W."""
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    factors = s / (s**2 + strength)
    return Vt.T @ (factors[:, None] * (U.T @ Y))


def width_curve(
    training: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    widths: list[int],
    strength: float,
    seeds: list[int],
) -> dict[str, list[float]]:
    """Trains on random features of several widths, and measures."""
    X, Y = training

    def share_wrong(inputs, targets, W, width, seed):
        outputs = random_features(inputs, width, seed) @ W
        return np.mean(outputs.argmax(1) != targets.argmax(1))

    result = {"training_error": [], "held_out_error": [], "norm": []}
    for width in widths:
        measured = []
        for seed in seeds:
            A = random_features(X, width, seed)
            W = minimum_norm(A, Y) if strength == 0 else ridge_regression(A, Y, strength)
            measured.append((share_wrong(X, Y, W, width, seed), share_wrong(*held_out, W, width, seed), np.sqrt((W**2).sum())))
        for name, value in zip(result, np.mean(measured, axis=0)):
            result[name].append(float(value))
    return result
