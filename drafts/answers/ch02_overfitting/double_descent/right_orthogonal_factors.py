# Right: complete orthogonal factorisation by two pivoted QRs, ridge as least squares on a taller matrix
import scipy.linalg


def random_features(X, width, seed):
    D = np.random.default_rng(seed).normal(size=(width, X.shape[1]))
    outputs = X @ D.T
    outputs[outputs < 0] = 0
    return outputs / np.sqrt(width)


def minimum_norm(A, Y):
    Q, R, order = scipy.linalg.qr(A, mode="economic", pivoting=True)
    sizes = np.linalg.svd(A, compute_uv=False)
    rank = int((sizes > 1e-10 * sizes[0]).sum())
    Z, T = np.linalg.qr(R[:rank].T)
    W = np.empty((A.shape[1], Y.shape[1]))
    W[order] = Z @ scipy.linalg.solve_triangular(T.T, Q[:, :rank].T @ Y, lower=True)
    return W


def ridge_regression(A, Y, strength):
    # In the coordinates of the singular vectors, each one is a problem of one unknown.
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    root = np.sqrt(strength)
    length = np.hypot(s, root)
    return Vt.T @ ((s / length)[:, np.newaxis] * (U.T @ Y) / length[:, np.newaxis])


def width_curve(training, held_out, widths, strength, seeds):
    def one(width, seed):
        A, B = (random_features(part[0], width, seed) for part in (training, held_out))
        W = ridge_regression(A, training[1], strength) if strength > 0 else minimum_norm(A, training[1])
        wrong = [(C @ W).argmax(1) != part[1].argmax(1) for C, part in ((A, training), (B, held_out))]
        return wrong[0].mean(), wrong[1].mean(), np.linalg.norm(W)

    table = [np.mean([one(width, seed) for seed in seeds], axis=0) for width in widths]
    training_error, held_out_error, norm = np.transpose(table).tolist()
    return {"training_error": training_error, "held_out_error": held_out_error, "norm": norm}
