# Wrong: a row that every member has seen gets zero
# Fails: votes_out_of_bag, predicts_out_of_bag
def mean_log_probabilities(logits):
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return np.logaddexp.reduce(log_probabilities, axis=0) - np.log(len(logits))


def forecast_variance(predictions, n_members):
    covariances = np.cov(predictions, rowvar=False)
    n_given = len(covariances)
    s2 = np.trace(covariances) / n_given
    rho = (covariances.sum() - np.trace(covariances)) / (n_given * (n_given - 1)) / s2
    return float(s2), float(rho), float(rho * s2 + (1 - rho) / n_members * s2)


def fit_bagged(make_member, X, y, n_members, rng):
    n, members = len(X), []
    total, votes = np.zeros(n), np.zeros(n)
    for _ in range(n_members):
        rows = rng.integers(n, size=n)
        member = make_member().fit(X[rows], y[rows])
        unseen = ~np.isin(np.arange(n), rows)
        total[unseen] += member.predict(X[unseen])
        votes[unseen] += 1
        members.append(member)
    return members, total / np.maximum(votes, 1)


def boosted_stages(make_member, X, y, X_new, n_members, shrinkage):
    fitted = np.full(len(X), y.mean())
    stages = [np.full(len(X_new), y.mean())]
    for _ in range(n_members):
        member = make_member().fit(X, y - fitted)
        fitted = fitted + shrinkage * member.predict(X)
        stages.append(stages[-1] + shrinkage * member.predict(X_new))
    return np.array(stages)
