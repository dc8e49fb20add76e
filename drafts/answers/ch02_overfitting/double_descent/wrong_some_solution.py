# Wrong: a solution with zeros where there are more columns than the rank, as pivoted QR finds it: it fits, but is not the shortest
# Fails: has_the_least_norm, solves_by_hand, curve_has_the_right_numbers
def random_features(X, width, seed):
    directions = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    return np.maximum(X @ directions.T, 0) / np.sqrt(width)


def minimum_norm(A, Y):
    import scipy.linalg

    Q, R, order = scipy.linalg.qr(A, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(R))
    rank = int((diagonal > 1e-10 * diagonal[0]).sum())
    W = np.zeros((A.shape[1], Y.shape[1]))
    W[order[:rank]] = scipy.linalg.solve_triangular(R[:rank, :rank], Q[:, :rank].T @ Y)
    return W


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
