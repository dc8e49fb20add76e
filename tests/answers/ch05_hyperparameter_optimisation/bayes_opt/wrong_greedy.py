# Wrong: greedy: the lowest mean
# Fails: proposes_on_any_scale, finds_the_deep_well, proposal_has_the_largest_improvement
def propose(X, y, candidates, length, noise=1e-6):
    spread = np.std(y)
    scaled = (y - np.mean(y)) / (spread if spread > 0 else 1)
    mean, std = surrogate(X, scaled, candidates, length, noise)
    gain = scaled.min() - mean
    u = gain / std
    return int(np.argmax(-mean))


def bayes_opt(objective, candidates, start, n_evaluations, length, noise=1e-6):
    numbers, values = [], []
    while len(numbers) < n_evaluations:
        if len(numbers) < len(start):
            number = start[len(numbers)]
        else:
            left = [i for i in range(len(candidates)) if i not in numbers]
            number = left[propose(candidates[numbers], np.array(values), candidates[left], length, noise)]
        numbers.append(number)
        values.append(objective(candidates[number]))
    return numbers, values


def incumbent_curve(measured, truth):
    return np.array([truth[np.argmin(measured[:k])] for k in range(1, len(measured) + 1)])
