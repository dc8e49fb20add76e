# Right: rungs and halving by recursion; random states apart from weights
def brackets(R, eta):
    def largest(s):
        return largest(s + 1) if eta ** (s + 1) <= R else s

    s_max = largest(0)

    def rungs(n, s):
        return [(n, R // eta**s)] + (rungs(n // eta, s - 1) if s > 0 else [])

    def rest(s):
        quotient, remainder = divmod((s_max + 1) * eta**s, s + 1)
        return [rungs(quotient + (remainder > 0), s)] + (rest(s - 1) if s > 0 else [])

    return rest(s_max)


def successive_halving(configs, rungs, train):
    def score(pair):
        number, loss = pair
        return (1, 0.0, number) if math.isnan(loss) else (0, loss, number)

    def go(trials, rungs, done):
        (_, r), *further = rungs
        trained = [(number, train(configs[number], state, r - done)) for number, state in trials]
        losses = {number: loss for number, (_, _, loss) in trained}
        ranking = [number for number, _ in sorted(losses.items(), key=score)]
        if not further:
            return ranking[0], [losses]
        states = {number: state for number, (state, _, _) in trained}
        best, results = go([(number, states[number]) for number in ranking[: further[0][0]]], further, r)
        return best, [losses, *results]

    return go([(number, None) for number in range(len(configs))], rungs, 0)


def asha_next_job(finished, started, eta):
    for k in reversed(range(len(finished) - 1)):
        def better(a, b):
            x, y = finished[k][a], finished[k][b]
            if math.isnan(x) or math.isnan(y):
                return a < b if math.isnan(x) and math.isnan(y) else math.isnan(y)
            return x < y or (x == y and a < b)

        places = {t: sum(better(u, t) for u in finished[k] if u != t) for t in finished[k]}
        open_ones = [(place, t) for t, place in places.items() if place < len(places) // eta and t not in started[k + 1]]
        if open_ones:
            return min(open_ones)[1], k + 1


def swap(model, saved=None):
    states = [v for v in model.variables if not any(v is w for w in model.weights)]
    old = [*model.get_weights(), *[v.numpy().copy() for v in states], *[v.numpy().copy() for v in model.optimizer.variables]]
    if saved is not None:
        n = len(model.weights)
        model.set_weights(saved[:n])
        for v, value in zip([*states, *model.optimizer.variables], saved[n:], strict=True):
            v.assign(value)
    return old
