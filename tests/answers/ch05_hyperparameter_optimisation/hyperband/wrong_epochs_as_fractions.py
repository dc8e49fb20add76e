# Wrong: epochs are not rounded down
# Fails: brackets_of_any_size
def brackets(R, eta):
    s_max = 0
    while eta ** (s_max + 1) <= R:
        s_max += 1
    table = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        table.append([(n // eta**i, R / eta ** (s - i)) for i in range(s + 1)])
    return table


def successive_halving(configs, rungs, train):
    states, done, results = [None] * len(configs), 0, []
    chosen = list(range(len(configs)))
    for n, r in rungs:
        losses = {}
        for number in chosen[:n]:
            states[number], _, losses[number] = train(configs[number], states[number], r - done)
        done = r
        results.append(losses)
        chosen = sorted(losses, key=lambda t: (math.isnan(losses[t]), 0 if math.isnan(losses[t]) else losses[t], t))
    return chosen[0], results


def asha_next_job(finished, started, eta):
    for k in range(len(finished) - 2, -1, -1):
        losses = finished[k]
        best_first = sorted(losses, key=lambda t: (math.isnan(losses[t]), 0 if math.isnan(losses[t]) else losses[t], t))
        for trial in best_first[: len(losses) // eta]:
            if trial not in started[k + 1]:
                return trial, k + 1
    return None


def swap(model, saved=None):
    variables = [*model.variables, *model.optimizer.variables]
    held = [variable.numpy().copy() for variable in variables]
    if saved is not None:
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
    return held
