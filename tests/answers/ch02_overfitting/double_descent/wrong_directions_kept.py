# Wrong: keeps the directions of a width and a seed, whatever the length of the samples
# Fails: features_are_the_documented_ones
DIRECTIONS = {}


def random_features(X, width, seed):
    if (width, seed) not in DIRECTIONS:
        DIRECTIONS[width, seed] = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    directions = DIRECTIONS[width, seed]
    return np.maximum(X @ directions.T, 0) / np.sqrt(width)


def minimum_norm(A, Y):
    left, sizes, right = np.linalg.svd(A, full_matrices=False)
    keep = sizes > 1e-10 * sizes.max()
    return right[keep].T @ ((left[:, keep].T @ Y) / sizes[keep, None])


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
