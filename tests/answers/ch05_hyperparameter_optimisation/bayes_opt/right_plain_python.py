# Right: the improvement candidate by candidate with math.erf; the candidates that are left in a list of pairs
def propose(X, y, candidates, length, noise=1e-6):
    middle = sum(y) / len(y)
    spread = math.sqrt(sum((value - middle) ** 2 for value in y) / len(y))
    scaled = np.array([(value - middle) / (spread if spread else 1.0) for value in y])
    best, choice = -1.0, 0
    for i, (mean, std) in enumerate(zip(*surrogate(X, scaled, candidates, length, noise))):
        u = (min(scaled) - mean) / std
        improvement = std * (u * (1 + math.erf(u / math.sqrt(2))) / 2 + math.exp(-u * u / 2) / math.sqrt(2 * math.pi))
        if improvement > best:
            best, choice = improvement, i
    return choice


def bayes_opt(objective, candidates, start, n_evaluations, length, noise=1e-6):
    history = []
    for number in start:
        history.append((number, objective(candidates[number])))
    remaining = [(i, x) for i, x in enumerate(candidates) if i not in start]
    while len(history) < n_evaluations:
        X = np.stack([candidates[i] for i, _ in history])
        y = np.array([value for _, value in history])
        i, x = remaining.pop(propose(X, y, np.stack([x for _, x in remaining]), length, noise))
        history.append((i, objective(x)))
    return [i for i, _ in history], [value for _, value in history]


def incumbent_curve(measured, truth):
    pairs = list(zip(measured, truth))
    return np.array([min(pairs[: k + 1], key=lambda pair: pair[0])[1] for k in range(len(pairs))])
