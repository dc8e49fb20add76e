# Right: Newton steps, each one a least-squares problem with a row for each prior; games counted by kind first
def bradley_terry(first, second, outcome, n_models, covariates=None, prior_std=1.0):
    if prior_std in (math.inf, -math.inf) or not prior_std > 0:
        raise ValueError("prior_std")
    k = 0 if covariates is None else np.shape(covariates)[1]
    c = np.zeros((len(first), 0)) if covariates is None else covariates
    kinds = {}
    for i, j, y, row in zip(first, second, outcome, c, strict=True):
        wins_games = kinds.setdefault((int(i), int(j), *map(float, row)), [0.0, 0])
        wins_games[0] += float(y)
        wins_games[1] += 1
    X = np.zeros((len(kinds), n_models + k))
    for row, (i, j, *rest) in zip(X, kinds, strict=True):
        row[i] += 1
        row[j] -= 1
        row[n_models:] = rest
    wins, games = np.array(list(kinds.values())).reshape(-1, 2).T
    prior = np.eye(n_models + k) / prior_std
    w = np.zeros(n_models + k)
    for _ in range(60):
        p = 1 / (1 + np.exp(-X @ w))
        scale = np.sqrt(games * p * (1 - p))
        rows = np.vstack([X * scale[:, None], prior])
        # The step goes to where the quadratic model of the objective has its maximum.
        target = np.concatenate([scale * (X @ w) + (wins - games * p) / np.maximum(scale, 1e-300), np.zeros(n_models + k)])
        w = np.linalg.lstsq(rows, target, rcond=None)[0]
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
