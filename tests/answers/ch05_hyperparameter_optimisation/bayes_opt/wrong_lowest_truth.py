# Wrong: chosen by the truth
# Fails: curve_by_hand, curve_of_any_run
def propose(X, y, candidates, length, noise=1e-6):
    spread = np.std(y)
    scaled = (y - np.mean(y)) / (spread if spread > 0 else 1)
    mean, std = surrogate(X, scaled, candidates, length, noise)
    gain = scaled.min() - mean
    u = gain / std
    return int(np.argmax(gain * scipy.special.ndtr(u) + std * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)))


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
    return np.minimum.accumulate(truth)
