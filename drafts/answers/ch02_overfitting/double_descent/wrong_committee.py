# Wrong: the error of the mean of the predictions, not the mean of the errors
# Fails: curve_has_the_right_numbers
def random_features(X, width, seed):
    directions = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
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
        outputs, norms = [0, 0], []
        for seed in seeds:
            A = random_features(training[0], width, seed)
            W = ridge_regression(A, training[1], strength) if strength > 0 else minimum_norm(A, training[1])
            for part, (X, _) in enumerate((training, held_out)):
                outputs[part] = outputs[part] + random_features(X, width, seed) @ W / len(seeds)
            norms.append(np.linalg.norm(W))
        curve["training_error"].append(float(np.mean(outputs[0].argmax(1) != training[1].argmax(1))))
        curve["held_out_error"].append(float(np.mean(outputs[1].argmax(1) != held_out[1].argmax(1))))
        curve["norm"].append(float(np.mean(norms)))
    return curve
