# Right: fractions, bisect and a table of all losses
from fractions import Fraction


def brackets(R, eta):
    powers = [1]
    while powers[-1] * eta <= R:
        powers.append(powers[-1] * eta)
    result = []
    for s in reversed(range(len(powers))):
        rung, n = [], math.ceil(Fraction(len(powers) * powers[s], s + 1))
        for i in range(s + 1):
            rung.append((n, R // powers[s - i]))
            n //= eta
        result.append(rung)
    return result


def rank(losses):
    losses = list(losses)
    return sorted(sorted(losses), key=lambda pair: (pair[1] != pair[1], pair[1] if pair[1] == pair[1] else 0))


def successive_halving(configs, rungs, train):
    alive, results, before = [(i, config, None) for i, config in enumerate(configs)], [], 0
    for n, r in rungs:
        if results:
            kept = {number for number, _ in rank((t, results[-1][t]) for t in sorted(results[-1]))[:n]}
            alive = [entry for entry in alive if entry[0] in kept]
        following, losses = [], {}
        for number, config, state in alive:
            state, _, loss = train(config, state, r - before)
            following.append((number, config, state))
            losses[number] = loss
        alive, before = following, r
        results.append(losses)
    return rank((t, results[-1][t]) for t in sorted(results[-1]))[0][0], results


def asha_next_job(finished, started, eta):
    jobs = []
    for k in range(len(finished) - 1):
        n = len(finished[k]) // eta
        for place, (trial, _) in enumerate(rank((t, finished[k][t]) for t in sorted(finished[k]))):
            if place < n and trial not in started[k + 1]:
                jobs.append((-k, place, trial))
    if not jobs:
        return None
    k, _, trial = min(jobs)
    return (trial, 1 - k)


def swap(model, saved=None):
    held = [keras.ops.convert_to_numpy(v).copy() for v in model.variables] + [v.numpy().copy() for v in model.optimizer.variables]
    if saved is not None:
        n = len(model.variables)
        for v, value in zip(model.variables, saved[:n]):
            v.assign(value)
        for v, value in zip(model.optimizer.variables, saved[n:]):
            v.assign(value)
    return held
