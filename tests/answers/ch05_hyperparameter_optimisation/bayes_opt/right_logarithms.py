# Right: the logarithm of EI, which orders alike; a posterior of its own, by Cholesky; candidates that are left in a set, from the last to the first
def propose(X, y, candidates, length, noise=1e-6):
    y = (y - y.mean()) / (y.std() or 1.0)
    kernel = rbf(length)
    lower = np.linalg.cholesky(kernel(X, X) + noise * np.eye(len(X)))
    V = scipy.linalg.solve_triangular(lower, kernel(X, candidates), lower=True)
    mean = V.T @ scipy.linalg.solve_triangular(lower, y, lower=True)
    std = np.sqrt(np.maximum(1 - (V**2).sum(0), 1e-18))
    u = (y.min() - mean) / std
    h = np.empty(len(u))
    low = u < -1
    h[~low] = np.log(u[~low] * scipy.special.ndtr(u[~low]) + np.exp(-u[~low] ** 2 / 2) / np.sqrt(2 * np.pi))
    h[low] = -u[low] ** 2 / 2 - np.log(2 * np.pi) / 2 + np.log1p(u[low] * np.sqrt(np.pi / 2) * scipy.special.erfcx(-u[low] / np.sqrt(2)))
    return int(np.argmax(np.log(std) + h))


def bayes_opt(objective, candidates, start, n_evaluations, length, noise=1e-6):
    left = set(range(len(candidates))) - set(start)
    numbers, values = tuple(start), tuple(objective(candidates[i]) for i in start)
    while len(numbers) < n_evaluations:
        order = sorted(left, reverse=True)
        number = order[propose(candidates[list(numbers)], np.array(values), candidates[order], length, noise)]
        left.remove(number)
        numbers += (number,)
        values += (objective(candidates[number]),)
    return list(numbers), list(values)


def incumbent_curve(measured, truth):
    curve, best = [], 0
    for k in range(len(measured)):
        if measured[k] < measured[best]:
            best = k
        curve.append(truth[best])
    return np.array(curve)
