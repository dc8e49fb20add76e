# Wrong: scikit-learn's logistic regression
# Fails: agrees_with_logistic_regression, corrects_biases
def bradley_terry(first, second, outcome, n_models, covariates=None, prior_std=1.0):
    from sklearn.linear_model import LogisticRegression

    if not 0 < prior_std < math.inf:
        raise ValueError(prior_std)
    k = 0 if covariates is None else covariates.shape[1]
    if len(first) == 0:
        return np.zeros(n_models), np.zeros(k)
    X = np.eye(n_models)[first] - np.eye(n_models)[second]
    X = X if covariates is None else np.hstack([X, covariates])
    y = np.repeat([1, 0], len(X))
    model = LogisticRegression(C=prior_std**2, fit_intercept=False, tol=1e-9, max_iter=5000)
    w = model.fit(np.vstack([X, X]), y, sample_weight=np.concatenate([outcome, 1 - outcome])).coef_[0]
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
