# Right: the sum over singular values as a loop, written once for both; arrays returned
def random_features(X, width, seed):
    D = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    return (X @ D.T).clip(min=0) / math.sqrt(width)


def filtered(A, Y, factor):
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    W = np.zeros((A.shape[1], Y.shape[1]))
    for i, size in enumerate(s):
        W += factor(size, s[0]) * np.outer(Vt[i], U[:, i] @ Y)
    return W


def minimum_norm(A, Y):
    return filtered(A, Y, lambda size, largest: 1 / size if size > 1e-10 * largest else 0)


def ridge_regression(A, Y, strength):
    return filtered(A, Y, lambda size, largest: size / (size**2 + strength))


def width_curve(training, held_out, widths, strength, seeds):
    numbers = np.zeros((3, len(widths), len(seeds)))
    for i, width in enumerate(widths):
        for j, seed in enumerate(seeds):
            A = random_features(training[0], width, seed)
            W = ridge_regression(A, training[1], strength) if strength else minimum_norm(A, training[1])
            for k, (X, Y) in enumerate([training, held_out]):
                predicted = (random_features(X, width, seed) @ W).argmax(-1)
                numbers[k, i, j] = 1 - (predicted == Y.argmax(-1)).mean()
            numbers[2, i, j] = np.linalg.norm(W, "fro")
    return dict(zip(["training_error", "held_out_error", "norm"], numbers.mean(-1)))
