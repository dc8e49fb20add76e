# Wrong: a hundred steps of gradient descent
# Fails: a_winner_gets_what_the_prior_says
def bradley_terry(first, second, outcome, n_models, covariates=None, prior_std=1.0):
    if not 0 < prior_std < math.inf:
        raise ValueError(f"prior_std is {prior_std}")
    n = len(first)
    rows = np.arange(n)
    X = np.zeros((n, n_models))
    X[rows, first] += 1
    X[rows, second] -= 1
    if covariates is not None:
        X = np.hstack([X, covariates])
    w = np.zeros(X.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-X @ w))
        gradient = X.T @ (outcome - p) - w / prior_std**2
        hessian = (X.T * (p * (1 - p))) @ X + np.eye(len(w)) / prior_std**2
        step = gradient / (len(first) / 2 + 1 / prior_std**2)
        w = w + step
        if np.abs(step).max() < 1e-9:
            break
    return w[:n_models], w[n_models:]


def elo(first, second, outcome, n_models, k=32.0):
    ratings = [1500.0] * n_models
    for i, j, y in zip(first, second, outcome, strict=True):
        change = k * (y - 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400)))
        ratings[i] += change
        ratings[j] -= change
    return np.array(ratings)


def position_flip_rate(one_way, other_way):
    points = one_way + other_way
    points = points[~np.isnan(points)]
    if len(points) == 0:
        raise ValueError("no pair was judged twice")
    return {"flip_rate": float(np.mean(points != 1)), "to_first": float(np.mean(points > 1)), "to_second": float(np.mean(points < 1))}


def prompt_bootstrap(prompt, statistic, draws, level=0.95):
    games_of = {p: np.flatnonzero(prompt == p) for p in np.unique(prompt)}
    values = np.array([statistic(np.concatenate([games_of[p] for p in row])) for row in draws])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
