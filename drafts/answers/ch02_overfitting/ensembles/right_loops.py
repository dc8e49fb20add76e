# Right: loops over single numbers, dictionaries of votes, covariances from their definition
def mean_log_probabilities(logits):
    M, n, K = logits.shape
    answer = np.zeros((n, K))
    for i in range(n):
        of_members = []
        for scores in logits[:, i].tolist():
            top = max(scores)
            log_sum = top + math.log(sum(math.exp(score - top) for score in scores))
            of_members.append([score - log_sum for score in scores])
        for k in range(K):
            column = [member[k] for member in of_members]
            top = max(column)
            answer[i, k] = top + math.log(math.fsum(math.exp(value - top) for value in column) / M)
    return answer


def forecast_variance(predictions, n_members):
    R, M = predictions.shape
    means = [sum(predictions[r][m] for r in range(R)) / R for m in range(M)]

    def covariance(a, b):
        return sum((predictions[r][a] - means[a]) * (predictions[r][b] - means[b]) for r in range(R)) / (R - 1)

    s2 = sum(covariance(m, m) for m in range(M)) / M
    pairs = [(a, b) for a in range(M) for b in range(a)]
    shared = sum(covariance(a, b) for a, b in pairs) / len(pairs)
    return s2, shared / s2, shared + (s2 - shared) / n_members


def fit_bagged(make_member, X, y, n_members, rng):
    members, votes = [], {row: [] for row in range(len(y))}
    for _ in range(n_members):
        sample = [int(row) for row in rng.integers(0, len(y), len(y))]
        member = make_member()
        member.fit(np.array([X[row] for row in sample]), np.array([y[row] for row in sample]))
        members.append(member)
        for row in sorted(set(votes) - set(sample)):
            votes[row].append(float(member.predict(X[row : row + 1])[0]))
    return members, [sum(heard) / len(heard) if heard else math.nan for heard in votes.values()]


def boosted_stages(make_member, X, y, X_new, n_members, shrinkage):
    chain = []

    def predict(rows, upto):
        total = np.zeros(len(rows)) + sum(y) / len(y)
        for member in chain[:upto]:
            total += shrinkage * member.predict(rows)
        return total

    for stage in range(n_members):
        chain.append(make_member().fit(X, y - predict(X, stage)))
    return [predict(X_new, stage) for stage in range(n_members + 1)]
