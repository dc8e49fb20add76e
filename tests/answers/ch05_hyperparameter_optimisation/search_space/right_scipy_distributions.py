# Right: inverse distribution functions of scipy; the hit as a geometric distribution; torch for the gaps
from scipy import stats


def from_unit(u, space):
    values = {}
    for x, name in zip(np.asarray(u, dtype=float), space, strict=True):
        axis = space[name]
        low, high = axis.get("low"), axis.get("high")
        if axis["type"] == "uniform":
            values[name] = float(stats.uniform.ppf(x, low, high - low))
        elif axis["type"] == "log":
            values[name] = float(stats.loguniform.ppf(x, low, high))
        elif axis["type"] == "int":
            values[name] = max(low, min(high, math.floor((high + 1 - low) * x) + low))
        elif axis["type"] == "int-log":
            values[name] = int(max(low, min(high, stats.loguniform.ppf(x, low, high + 1) // 1)))
        else:
            n = len(axis["options"])
            values[name] = axis["options"][n - 1 if x >= 1 else int(x * n)]
    inactive = set()
    for _ in space:
        for name, axis in space.items():
            if "when" in axis and (axis["when"][0] in inactive or values[axis["when"][0]] != axis["when"][1]):
                inactive.add(name)
    return {name: values[name] for name in space if name not in inactive}


def grid(space, levels):
    axes = np.meshgrid(*[(np.arange(levels[name]) + 0.5) / levels[name] for name in space], indexing="ij")
    points = np.stack([axis.ravel() for axis in axes], axis=1)
    unique = {repr(setting): setting for setting in (from_unit(u, space) for u in points)}
    return [*unique.values()]


def hit_probability(share, trials):
    if share in (0, 1) or trials == 0:
        return float(share == 1 and trials > 0)
    return float(stats.geom(share).cdf(trials)) if share > 1e-3 and trials < 100 else float(-np.expm1(trials * np.log1p(-share)))


def largest_gaps(points):
    x = torch.as_tensor(points.copy())
    x = torch.cat([torch.zeros(1, x.shape[1]), x, torch.ones(1, x.shape[1])]).sort(dim=0).values
    return x.diff(dim=0).amax(dim=0).numpy()
