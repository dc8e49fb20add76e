# Right: whole numbers by bisection among the borders of their shares; exact fractions; recursion over the grid
from fractions import Fraction


def from_unit(u, space):
    def value(name):
        axis, x = space[name], float(u[list(space).index(name)])
        kind = axis["type"]
        if kind == "choice":
            n = len(axis["options"])
            return axis["options"][n - 1 if x == 1.0 else int(Fraction(x) * n)]
        low, high = axis["low"], axis["high"]
        if kind == "uniform":
            return low * 1.0 + (high - low) * x
        if kind == "log":
            return low * 1.0 * math.exp(x * math.log(high / low))
        if kind == "int":
            return low + min(int(Fraction(x) * (high - low + 1)), high - low)
        first, last = low, high
        while first < last:  # the largest k whose share begins at or below x
            middle = (first + last + 1) // 2
            if math.log1p((middle - low) / low) <= x * math.log1p((high + 1 - low) / low):
                first = middle
            else:
                last = middle - 1
        return first

    def active(name):
        when = space[name].get("when")
        return when is None or (active(when[0]) and value(when[0]) == when[1])

    return {name: value(name) for name in reversed(space) if active(name)}


def grid(space, levels):
    names = list(space)

    def extend(u):
        if len(u) == len(names):
            yield from_unit(np.array(u), space)
            return
        n = levels[names[len(u)]]
        for i in reversed(range(n)):
            yield from extend([*u, (i + 0.5) / n])

    found = []
    for setting in extend([]):
        if all(setting != other for other in found):
            found.append(setting)
    return found


def hit_probability(share, trials):
    if trials > 10**4:
        return 1.0 if share == 1 else -math.expm1(trials * math.log1p(-share))
    return float(1 - (1 - Fraction(share)) ** trials)


def largest_gaps(points):
    n, d = points.shape
    widest = np.zeros(d)
    for j in range(d):
        last = 0.0
        for x in np.unique(points[:, j]):
            widest[j] = max(widest[j], x - last)
            last = x
        widest[j] = max(widest[j], 1 - last)
    return widest
