# Right: scipy.stats, a mask over all candidates, NumPy's numbers, arrays come back
from scipy.stats import norm


def propose(X, y, candidates, length, noise=1e-6):
    y = np.asarray(y, dtype=float) - np.mean(y)
    if y.std() > 0:
        y = y / y.std()
    mean, std = surrogate(X, y, candidates, length, noise)
    u = (y.min() - mean) / std
    return np.argmax(std * (u * norm.cdf(u) + norm.pdf(u)))


def bayes_opt(objective, candidates, start, n_evaluations, length, noise=1e-6):
    numbers = np.array(start)
    values = np.array([objective(candidates[i]) for i in start], dtype=float)
    for _ in range(n_evaluations - len(start)):
        left = np.setdiff1d(np.arange(len(candidates)), numbers)
        best = left[propose(candidates[numbers], values, candidates[left], length, noise)]
        numbers = np.append(numbers, best)
        values = np.append(values, objective(candidates[best]))
    return numbers, values


def incumbent_curve(measured, truth):
    lowest = np.minimum.accumulate(measured)
    new = np.concatenate([[True], measured[1:] < lowest[:-1]])
    return truth[np.maximum.accumulate(np.where(new, np.arange(len(measured)), 0))]
