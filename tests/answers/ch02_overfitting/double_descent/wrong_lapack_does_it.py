# Wrong: LAPACK's least squares out of SciPy
# Fails: has_the_least_norm
def random_features(X, width, seed):
    directions = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    return np.maximum(X @ directions.T, 0) / np.sqrt(width)


def minimum_norm(A, Y):
    from scipy.linalg import lapack

    rows = max(A.shape)
    B = np.zeros((rows, Y.shape[1]))
    B[: len(Y)] = Y
    work, _ = lapack.dgelss_lwork(*A.shape, Y.shape[1])
    return lapack.dgelss(A, B, cond=1e-10, lwork=int(work))[1][: A.shape[1]]


def ridge_regression(A, Y, strength):
    left, sizes, right = np.linalg.svd(A, full_matrices=False)
    return right.T @ ((sizes / (sizes**2 + strength))[:, None] * (left.T @ Y))


def width_curve(training, held_out, widths, strength, seeds):
    curve = {"training_error": [], "held_out_error": [], "norm": []}
    for width in widths:
        measured = []
        for seed in seeds:
            A = random_features(training[0], width, seed)
            W = ridge_regression(A, training[1], strength) if strength > 0 else minimum_norm(A, training[1])
            errors = []
            for X, Y in (training, held_out):
                outputs = random_features(X, width, seed) @ W
                errors.append(np.mean(outputs.argmax(1) != Y.argmax(1)))
            measured.append([*errors, np.linalg.norm(W)])
        for name, mean in zip(curve, np.mean(measured, axis=0), strict=True):
            curve[name].append(float(mean))
    return curve
