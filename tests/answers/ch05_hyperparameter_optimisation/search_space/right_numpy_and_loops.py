# Right: NumPy and loops; conditions are followed until nothing changes
def from_unit(u, space):
    kinds = {
        "uniform": lambda x, low, high: float((1 - x) * low + x * high),
        "log": lambda x, low, high: float(np.exp((1 - x) * np.log(low) + x * np.log(high))),
        "int": lambda x, low, high: int(np.clip(low + np.floor(x * (high + 1 - low)), low, high)),
        "int-log": lambda x, low, high: int(np.clip(np.floor(np.exp(np.log(low) + x * np.log((high + 1) / low))), low, high)),
    }
    names, values = list(space), {}
    for j in range(len(names)):
        axis, x = space[names[j]], float(u[j])
        if axis["type"] == "choice":
            borders = np.arange(1, len(axis["options"])) / len(axis["options"])
            values[names[j]] = axis["options"][int(np.searchsorted(borders, x, side="right"))]
        else:
            values[names[j]] = kinds[axis["type"]](x, axis["low"], axis["high"])
    changed = True
    while changed:
        changed = False
        for name in list(values):
            if "when" in space[name]:
                other, option = space[name]["when"]
                if other not in values or values[other] != option:
                    del values[name]
                    changed = True
    return values


def grid(space, levels):
    settings = [{}]
    points = [()]
    for name in space:
        points = [(*u, (2 * i + 1) / (2 * levels[name])) for u in points for i in range(levels[name])]
    settings = {}
    for u in points:
        setting = from_unit(u, space)
        settings[tuple(sorted(setting.items()))] = setting
    return list(settings.values())


def hit_probability(share, trials):
    if trials == 0:
        return 0.0
    with np.errstate(divide="ignore"):
        return float(-np.expm1(trials * np.log1p(-share)))


def largest_gaps(points):
    gaps = []
    for column in np.asarray(points).T:
        x = sorted(column.tolist())
        gaps.append(max(b - a for a, b in zip([0.0, *x], [*x, 1.0], strict=True)))
    return gaps
