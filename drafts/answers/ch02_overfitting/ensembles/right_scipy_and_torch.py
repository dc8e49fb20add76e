# Right: scipy and torch for the averages, all samples drawn at once, nanmean, both sets of rows stacked
from scipy.special import log_softmax, logsumexp


def mean_log_probabilities(logits):
    return logsumexp(log_softmax(logits, axis=-1), axis=0, b=1 / logits.shape[0])


def forecast_variance(predictions, n_members):
    c = torch.cov(torch.tensor(predictions).T)
    M = len(c)
    s2 = c.diagonal().mean()
    shared = c[~torch.eye(M, dtype=torch.bool)].mean()
    return s2.item(), (shared / s2).item(), (shared + (s2 - shared) / n_members).item()


def fit_bagged(make_member, X, y, n_members, rng):
    samples = rng.integers(len(X), size=(n_members, len(X)))
    members = [make_member().fit(X[rows], y[rows]) for rows in samples]
    votes = np.stack([member.predict(X) for member in members]).astype(float)
    votes[np.arange(n_members)[:, None], samples] = np.nan
    return members, np.nanmean(votes, axis=0)


def boosted_stages(make_member, X, y, X_new, n_members, shrinkage):
    both = np.concatenate([X, X_new])
    stages = np.empty((n_members + 1, len(both)))
    stages[0] = np.mean(y)
    for t in range(n_members):
        stages[t + 1] = stages[t] + shrinkage * make_member().fit(X, y - stages[t, : len(X)]).predict(both)
    return stages[:, len(X) :]
