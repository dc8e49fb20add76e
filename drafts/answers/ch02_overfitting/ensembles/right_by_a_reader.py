# Right: by a reader who saw the release alone
def mean_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the average of the probabilities that several classifiers predict."""
    log_p = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return np.logaddexp.reduce(log_p, axis=0) - np.log(len(logits))


def forecast_variance(predictions: np.ndarray, n_members: int) -> tuple[float, float, float]:
    """Variance of an average of n_members members, from the predictions of a few."""
    M = predictions.shape[1]
    cov = np.cov(predictions, rowvar=False)
    s2 = float(np.trace(cov) / M)
    rho = float((cov.sum() - np.trace(cov)) / (M * (M - 1)) / s2)
    return s2, rho, rho * s2 + (1 - rho) / n_members * s2


def fit_bagged(make_member, X: np.ndarray, y: np.ndarray, n_members: int, rng: np.random.Generator) -> tuple[list, np.ndarray]:
    """Fits each member to a bootstrap sample and makes out-of-bag predictions."""
    n = len(X)
    members, total, count = [], np.zeros(n), np.zeros(n)
    for _ in range(n_members):
        rows = rng.integers(n, size=n)
        member = make_member().fit(X[rows], y[rows])
        members.append(member)
        unseen = ~np.isin(np.arange(n), rows)
        total[unseen] += member.predict(X[unseen])
        count[unseen] += 1
    oob = np.full(n, np.nan)
    voted = count > 0
    oob[voted] = total[voted] / count[voted]
    return members, oob


def boosted_stages(make_member, X: np.ndarray, y: np.ndarray, X_new: np.ndarray, n_members: int, shrinkage: float) -> np.ndarray:
    """Boosting for squared error: predictions for new rows after every stage."""
    fitted = np.full(len(y), y.mean())
    stages = [np.full(len(X_new), y.mean())]
    for _ in range(n_members):
        member = make_member().fit(X, y - fitted)
        fitted = fitted + shrinkage * member.predict(X)
        stages.append(stages[-1] + shrinkage * member.predict(X_new))
    return np.array(stages)
