# Right: rho from the variance of the average; count matrices; residuals that are updated; rng.choice, the same stream
def mean_log_probabilities(logits):
    z = logits - logits.max(2, keepdims=True)
    z = z - np.log(np.exp(z).sum(2, keepdims=True))
    top = z.max(0)
    return top + np.log(np.exp(z - top).mean(0))


def forecast_variance(predictions, n_members):
    M = predictions.shape[1]
    s2 = predictions.var(axis=0, ddof=1).mean()
    of_mean = predictions.mean(1).var(ddof=1)  # = floor + (s2 - floor) / M
    floor = (M * of_mean - s2) / (M - 1)
    return s2, floor / s2, floor + (s2 - floor) / n_members


def fit_bagged(make_member, X, y, n_members, rng):
    n, members, counts = X.shape[0], [], np.zeros((n_members, X.shape[0]), int)
    for m in range(n_members):
        rows = rng.choice(n, size=n)
        np.add.at(counts[m], rows, 1)
        members.append(make_member().fit(X[rows], y[rows]))
    free = counts == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return members, (np.array([m.predict(X) for m in members]) * free).sum(0) / free.sum(0)


def boosted_stages(make_member, X, y, X_new, n_members, shrinkage):
    residual = y - y.mean()
    steps = [np.full(X_new.shape[0], y.mean())]
    for _ in range(n_members):
        h = make_member().fit(X, residual)
        residual = residual - shrinkage * h.predict(X)
        steps.append(shrinkage * h.predict(X_new))
    return np.cumsum(steps, axis=0)
