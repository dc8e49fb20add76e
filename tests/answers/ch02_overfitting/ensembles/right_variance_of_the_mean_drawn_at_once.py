# Right: covariances follow from the variance of the mean of the members; all bootstrap rows are drawn in one call; out-of-bag by nanmean, with its warning.
def mean_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the average of the probabilities that several classifiers predict.

    Args:
        logits: (M, n, K), floats of 64 bits: the scores of M classifiers (1 or more) for n examples
            and K classes. The softmax over classes makes them probabilities. Scores are finite but
            may be large, such as 2000 or -2000: results are finite and correct even where a
            probability is too small for a float.

    Returns:
        (n, K): log of the mean over the classifiers.

    >>> mean_log_probabilities(np.log([[[0.5, 0.5]], [[0.9, 0.1]]])).round(4)  # logs of 0.7 and 0.3
    array([[-0.3567, -1.204 ]])
    """
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return np.logaddexp.reduce(logs, axis=0) - np.log(len(logits))


def forecast_variance(predictions: np.ndarray, n_members: int) -> tuple[float, float, float]:
    """Variance of an average of n_members members, from the predictions of a few.

    Args:
        predictions: (R, M), both 2 or more: what M members predict at one point after each of R
            trainings. At least one member varies.
        n_members: how many members the forecast is for, 1 or more; may differ from M.

    Returns:
        s2: the mean of the M members' variances.
        rho: the mean of the covariances of all pairs of different members, divided by s2. Variances
            and covariances are over the R trainings, with R - 1 in the denominator.
        variance: rho * s2 + (1 - rho) / n_members * s2.

    >>> forecast_variance(np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]]), 10)  # variances 1 and 3, covariance 0
    (2.0, 0.0, 0.2)
    """
    M = predictions.shape[1]
    s2 = predictions.var(axis=0, ddof=1).mean()
    between = (M * predictions.mean(axis=1).var(ddof=1) - s2) / (M - 1)
    rho = between / s2
    return s2, rho, between + (s2 - between) / n_members


def fit_bagged(
    make_member, X: np.ndarray, y: np.ndarray, n_members: int, rng: np.random.Generator
) -> tuple[list, np.ndarray]:
    """Fits each member to a bootstrap sample and makes out-of-bag predictions.

    Args:
        make_member: as given; each member is a regressor of its own.
        X, y: (n, p) and (n,), the training data; n is large enough for every sample to miss a row.
        n_members: 1 or more.
        rng: gives each member its rows, by rng.integers(n, size=n), in the order of the members.

    Returns:
        members: the fitted regressors, in order.
        oob: (n,), for each row the mean prediction of those members whose sample does not contain
            it; NaN where there is no such member.
    """
    n = len(X)
    samples = rng.integers(n, size=(n_members, n))
    members = [make_member().fit(X[rows], y[rows]) for rows in samples]
    votes = np.array([member.predict(X) for member in members], dtype=float)
    for vote, rows in zip(votes, samples):
        vote[rows] = np.nan
    return members, np.nanmean(votes, axis=0)


def boosted_stages(
    make_member, X: np.ndarray, y: np.ndarray, X_new: np.ndarray, n_members: int, shrinkage: float
) -> np.ndarray:
    """Boosting for squared error: predictions for new rows after every stage.

    Args:
        make_member: as given.
        X, y: (n, p) and (n,), the training data. Every member is fitted to all of its rows. y may
            hold whole numbers.
        X_new: (k, p), the rows to predict.
        n_members: 0 or more.
        shrinkage: the factor nu of every member, above 0 and at most 1.

    Returns:
        (n_members + 1, k) floats: row t holds the predictions F_t with t members; row 0 is the mean
        of y.
    """
    F = np.full(len(X) + len(X_new), np.mean(y), dtype=float)
    both = np.concatenate([X, X_new])
    stages = [F]
    for _ in range(n_members):
        F = F + shrinkage * make_member().fit(X, y - F[: len(X)]).predict(both)
        stages.append(F)
    return np.array(stages)[:, len(X):]
