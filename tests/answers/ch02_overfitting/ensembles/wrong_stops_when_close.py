# Wrong: boosting stops once np.allclose(residuals, 0), which is absolute: small targets are never fitted.
# Fails: shrinks_residuals
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
    covariance = np.cov(predictions, rowvar=False)
    M = len(covariance)
    trace = np.trace(covariance)
    s2 = trace / M
    rho = (covariance.sum() - trace) / (M * (M - 1)) / s2
    return float(s2), float(rho), float(rho * s2 + (1 - rho) / n_members * s2)


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
    members, total, votes = [], np.zeros(n), np.zeros(n, dtype=int)
    for _ in range(n_members):
        rows = rng.integers(n, size=n)
        member = make_member().fit(X[rows], y[rows])
        unseen = ~np.isin(np.arange(n), rows)
        total[unseen] += member.predict(X[unseen])
        votes += unseen
        members.append(member)
    return members, np.where(votes > 0, total / np.maximum(votes, 1), np.nan)


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
    known, new = np.full(len(X), np.mean(y)), np.full(len(X_new), np.mean(y))
    stages = [new]
    for _ in range(n_members):
        if np.allclose(y - known, 0):
            stages.append(new)
            continue
        member = make_member().fit(X, y - known)
        known = known + shrinkage * member.predict(X)
        new = new + shrinkage * member.predict(X_new)
        stages.append(new)
    return np.array(stages, dtype=float)
