# Right: boosting by recursion, probabilities by pairwise logaddexp, centred matrix products, one member refitted stage by stage
from functools import reduce


def mean_log_probabilities(logits):
    normalised = [member - reduce(np.logaddexp, member.T)[:, None] for member in logits]
    return reduce(np.logaddexp, normalised) - math.log(len(normalised))


def forecast_variance(predictions, n_members):
    centred = predictions - predictions.mean(0)
    R, M = centred.shape
    squares = (centred**2).sum() / (R - 1)
    everything = (centred.sum(1) ** 2).sum() / (R - 1)
    s2, rho = squares / M, (everything - squares) / (M - 1) / squares
    return s2, rho, s2 * (rho + (1 - rho) / n_members)


def fit_bagged(make_member, X, y, n_members, rng):
    every = set(range(len(X)))
    pairs = []
    for rows in (rng.integers(low=0, high=len(X), size=len(X)) for _ in range(n_members)):
        member = make_member()
        member.fit(X.take(rows, axis=0), y.take(rows))
        pairs.append((member, sorted(every.difference(rows.tolist()))))
    oob = np.full(len(X), np.nan)
    for row in every:
        heard = [member for member, unseen in pairs if row in unseen]
        if heard:
            oob[row] = np.mean([member.predict(X[[row]])[0] for member in heard])
    return [member for member, _ in pairs], oob


def boosted_stages(make_member, X, y, X_new, n_members, shrinkage):
    member = make_member()

    def further(residual, now, left):
        if left == 0:
            return [now]
        member.fit(X, residual)
        old, new = member.predict(X), member.predict(X_new)
        return [now, *further(residual - shrinkage * old, now + shrinkage * new, left - 1)]

    return np.vstack(further(y - np.average(y), np.repeat(np.average(y), len(X_new)), n_members))
