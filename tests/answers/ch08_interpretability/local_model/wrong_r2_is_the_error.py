# Wrong: the weighted mean squared error instead of R²
# Fails: linear_model_by_hand, fidelity_and_units
def sample_around(x: np.ndarray, scale: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    return x + scale * generator.standard_normal((n, len(x)))


def proximity(Z: np.ndarray, x: np.ndarray, scale: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-((((Z - x) / scale) ** 2).sum(axis=1)) / width**2)


def weighted_ridge(U: np.ndarray, y: np.ndarray, weights: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    middle, mean = np.average(U, axis=0, weights=weights), np.average(y, weights=weights)
    centred = U - middle
    b = np.linalg.solve((centred.T * weights) @ centred + penalty * np.eye(U.shape[1]), (centred.T * weights) @ (y - mean))
    return b, float(mean - middle @ b)


def local_model(predict, x: np.ndarray, scale: np.ndarray, width: float, n: int, generator: np.random.Generator, penalty: float = 0.0) -> tuple[np.ndarray, float, float]:
    Z = sample_around(x, scale, n, generator)
    y, weights, U = predict(Z), proximity(Z, x, scale, width), (Z - x) / scale
    b, c = weighted_ridge(U, y, weights, penalty)
    if y.min() == y.max():
        return b, c, 1.0
    residual, spread = y - c - U @ b, y - np.average(y, weights=weights)
    return b, c, float(weights @ residual**2 / weights.sum())
