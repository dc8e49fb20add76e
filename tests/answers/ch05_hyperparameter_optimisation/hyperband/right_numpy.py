# Right: lexsort in NumPy, rungs trained from the best down, lists for pairs
def brackets(R, eta):
    s_max = max(s for s in range(70) if eta**s <= R)
    return [
        [[((s_max + 1) * eta**s + s) // (s + 1) // eta**i, R // eta ** (s - i)] for i in range(s + 1)]
        for s in range(s_max, -1, -1)
    ]


def best_first(losses):
    numbers = np.array(sorted(losses), dtype=int)
    values = np.array([losses[number] for number in numbers.tolist()], dtype=float)
    return numbers[np.argsort(values, kind="stable")].tolist()


def successive_halving(configs, rungs, train):
    state, results, epochs = {}, [], {}
    todo = list(range(len(configs)))
    for n, r in rungs:
        results.append({})
        for t in todo[:n]:
            further = r - epochs.get(t, 0)
            state[t], training_loss, results[-1][t] = train(configs[t], state.get(t), further)
            epochs[t] = r
        todo = best_first(results[-1])
    return todo[0], results


def asha_next_job(finished, started, eta):
    k = len(finished) - 2
    while k >= 0:
        promotable = [t for t in best_first(finished[k])[: len(finished[k]) // eta] if t not in started[k + 1]]
        if promotable:
            return [promotable[0], k + 1]
        k -= 1


def swap(model, saved=None):
    variables = list(model.optimizer.variables) + list(model.variables)
    before = [np.copy(variable.numpy()) for variable in variables]
    for place in range(len(variables) if saved is not None else 0):
        variables[place].assign(saved[place])
    return before
