# Right: PyTorch inside, NumPy outside
def random_features(X, width, seed):
    D = torch.from_numpy(np.random.default_rng(seed).standard_normal((width, X.shape[1])))
    return (F.relu(torch.tensor(X) @ D.T) / width**0.5).numpy()


def minimum_norm(A, Y):
    U, s, Vh = torch.linalg.svd(torch.tensor(A), full_matrices=False)
    inverse = torch.where(s > 1e-10 * s.max(), 1 / s, 0.0)
    return (Vh.mT @ (inverse[:, None] * (U.mT @ torch.tensor(Y)))).numpy()


def ridge_regression(A, Y, strength):
    U, s, Vh = torch.linalg.svd(torch.tensor(A), full_matrices=False)
    return (Vh.mT @ (torch.diag(s / (s.square() + strength)) @ U.mT @ torch.tensor(Y))).numpy()


def width_curve(training, held_out, widths, strength, seeds):
    curve = {"training_error": [], "held_out_error": [], "norm": [], "width": list(widths)}
    for width in widths:
        rows = []
        for seed in seeds:
            A = random_features(training[0], width, seed)
            W = minimum_norm(A, training[1]) if strength == 0 else ridge_regression(A, training[1], strength)
            held_out_outputs = random_features(held_out[0], width, seed) @ W
            rows.append((
                np.mean(np.argmax(A @ W, 1) != np.argmax(training[1], 1)),
                np.mean(np.argmax(held_out_outputs, 1) != np.argmax(held_out[1], 1)),
                np.linalg.norm(W.ravel()),
            ))
        train, test, norm = np.mean(rows, 0)
        curve["training_error"].append(train)
        curve["held_out_error"].append(test)
        curve["norm"].append(norm)
    return curve
