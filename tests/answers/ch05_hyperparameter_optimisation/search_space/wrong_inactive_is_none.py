# Wrong: an inactive name is there, with None
# Fails: leaves_out_what_is_not_active, conditions_hold_in_chains
def from_unit(u, space):
    values = {}
    for x, (name, axis) in zip(u, space.items(), strict=True):
        if axis["type"] == "choice":
            last = len(axis["options"]) - 1
            values[name] = axis["options"][min(math.floor(x * (last + 1)), last)]
            continue
        low, high = axis["low"], axis["high"]
        if axis["type"] == "uniform":
            values[name] = float(low + x * (high - low))
        elif axis["type"] == "log":
            values[name] = float(low * (high / low) ** x)
        elif axis["type"] == "int":
            values[name] = min(low + math.floor(x * (high - low + 1)), high)
        else:
            values[name] = min(math.floor(low * ((high + 1) / low) ** x), high)

    def is_active(name):
        if "when" not in space[name]:
            return True
        other, option = space[name]["when"]
        return is_active(other) and values[other] == option

    return {name: value if is_active(name) else None for name, value in values.items()}


def grid(space, levels):
    axes = [[(i + 0.5) / levels[name] for i in range(levels[name])] for name in space]
    settings = []
    for u in itertools.product(*axes):
        setting = from_unit(u, space)
        if setting not in settings:
            settings.append(setting)
    return settings


def hit_probability(share, trials):
    if share == 1:
        return float(trials > 0)
    return -math.expm1(trials * math.log1p(-share))


def largest_gaps(points):
    borders = np.zeros((1, points.shape[1])), np.ones((1, points.shape[1]))
    return np.diff(np.sort(np.vstack([borders[0], points, borders[1]]), axis=0), axis=0).max(axis=0)
