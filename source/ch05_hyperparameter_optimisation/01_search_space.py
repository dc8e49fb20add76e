# %% [markdown]
# ## 5.1 Where to look
#
# "Try learning rates from 0.0001 to 1." So you draw a hundred, uniformly from this range. **Predict first:** how many of them are below 0.01?
#
# About one. Yet the range has four powers of ten, and two of them lie below 0.01. What a learning rate does depends on its *ratio* to the best one, so it is drawn evenly on a **logarithmic** scale: fifty below, fifty above.
#
# A **search space** says which values each hyperparameter may take, and on which scale. A rate is a number, the number of layers is whole, the optimizer is a choice. The momentum exists only if the optimizer is SGD: it is **conditional**.
#
# ### One cube for all methods
#
# All methods of this chapter propose points $u$ of the **unit cube** $[0, 1]^d$, and one function translates them. For a value with the distribution function $F$ it is the inverse, $x = F^{-1}(u)$: if $u$ is uniform, $x$ has the distribution $F$. On a logarithmic scale from $a$ to $b$,
#
# $$x = a \, (b / a)^u .$$
#
# For *whole* numbers on a logarithmic scale there are several conventions, and they differ. From 1 to 8, how often is it a 1?
#
# | convention | share of 1 |
# |---|---|
# | draw from $[1, 8]$, round | .195 |
# | draw from $[1, 9)$, round down (here) | .315 |
# | draw from $[0.5, 8.5]$, round (Optuna) | .388 |
#
# Here, $k$ belongs to the interval from $k$ to $k+1$, so its share is proportional to $\log\frac{k+1}{k}$.
#
# ### Grid or random?
#
# A **grid** of $k$ values on each axis needs $k^d$ trials, and sees $k$ values of each hyperparameter. Often only a few hyperparameters matter, and *which* ones differs from data set to data set (Bergstra and Bengio, JMLR 13:281-305, 2012). Then a grid repeats itself.
#
# Suppose that only the learning rate matters, and that the good ones are 5 % of its axis, somewhere. A grid with five rates hits them with probability .25, whether it has 25 points or 125. A single random trial hits a region of share $q$ with probability $q$, so $n$ independent ones hit it with
#
# $$P = 1 - (1 - q)^n ,$$
#
# here .72 for 25 trials and .998 for 125. The number of hyperparameters does not occur in this formula.
#
# Random points also leave gaps. **Quasi-random** points, such as scrambled Sobol points (Owen, 1998), leave smaller ones: of the first $2^m$, each axis has exactly one in each of $2^m$ equal parts.

# %% [markdown]
# ### Exercise 5.1 · A search space
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **10 points** · Python
#
# **Given** is an example of a space. **Write** four functions.
#
# <details><summary>Hint 1: whole numbers</summary>
#
# Eight equal shares of $[0, 1)$: `math.floor(8 * u)` is 0 to 7. Only $u = 1$ needs care. On a logarithmic scale, draw from $a$ to $b + 1$ first.
# </details>
#
# <details><summary>Hint 2: what is active?</summary>
#
# Whether a name is active depends on the value of another one, and on whether *that* one is active. Translate all coordinates first, and leave out afterwards. A small recursive function follows a chain of conditions, whatever the order of the names.
# </details>
#
# <details><summary>Hint 3: gaps</summary>
#
# `np.sort(points, axis=0)`, with a row of zeros above and a row of ones below.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_search_space", "locked": true, "schema_version": 3, "solution": false, "task": false}
import itertools

SPACE = {
    "rate": {"type": "log", "low": 1e-4, "high": 1.0},
    "optimizer": {"type": "choice", "options": ["sgd", "adam"]},
    "momentum": {"type": "uniform", "low": 0.0, "high": 0.99, "when": ("optimizer", "sgd")},
    "layers": {"type": "int", "low": 1, "high": 4},
    "width": {"type": "int-log", "low": 16, "high": 512},
}

# %% nbgrader={"grade": false, "grade_id": "search_space", "locked": false, "schema_version": 3, "solution": true, "task": false}
def from_unit(u: np.ndarray, space: dict[str, dict]) -> dict:
    """The setting that belongs to a point of the unit cube.

    Args:
        u: d floats from 0 to 1, both included, in a list or an array. The j-th one belongs to the j-th name of the space, whether that is
            active or not.
        space: for each of d names a description, with "type" and

            "uniform": "low" and "high", of any sign; low + u (high - low).
            "log": "low", above 0, and "high"; evenly on a logarithmic scale, from low at u = 0 to high at u = 1.
            "int": "low" and "high", whole numbers of any sign; all from low to high, both included, have equal shares of the u.
            "int-log": "low", at least 1, and "high", whole numbers; from low to high, both included, and
                the share of k is proportional to log((k + 1) / k).
            "choice": "options", a list of strings or numbers, no two of them equal (1 and 1.0 are); equal shares, in the order
                of the list.

            Whole numbers ascend with u. Where two shares meet, the upper one counts; where rounding decides (at u = 1/3, or
            with "int-log"), either one may. u = 1 belongs to the last.
            With "when": (name, option), it is active only if `name`, a "choice", is active and has that value. Without, it
            is always active. `name` may come later in the space, and may have a "when" of its own.

    Returns:
        {name: value} of the active names, and no others: a float ("uniform", "log"), an int ("int", "int-log") or the option.

    >>> from_unit([0.5, 0.9, 0.3, 0.5, 0.0], SPACE)  # Adam has no momentum
    {'rate': 0.01, 'optimizer': 'adam', 'layers': 3, 'width': 16}
    """
    ### BEGIN SOLUTION
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

    return {name: value for name, value in values.items() if is_active(name)}
    ### END SOLUTION


def grid(space: dict[str, dict], levels: dict[str, int]) -> list[dict]:
    """The settings of all points of a grid, each setting once.

    On the axis of a name with n levels, the points are u = (i + 1/2) / n for i = 0, 1, ..., n - 1.

    Args:
        space: as in `from_unit`.
        levels: for each name of the space, in any order of the names, how many.

    Returns:
        What `from_unit` gives for all combinations, in any order. Two points may give the same setting, where they
        differ in a name that is not active, or where two levels give the same whole number: it is listed once.

    >>> grid({"layers": {"type": "int", "low": 1, "high": 2}}, {"layers": 4})
    [{'layers': 1}, {'layers': 2}]
    """
    ### BEGIN SOLUTION
    axes = [[(i + 0.5) / levels[name] for i in range(levels[name])] for name in space]
    settings = []
    for u in itertools.product(*axes):
        setting = from_unit(u, space)
        if setting not in settings:
            settings.append(setting)
    return settings
    ### END SOLUTION


def hit_probability(share: float, trials: int) -> float:
    """The probability that at least one of independent trials hits a region that each of them hits with probability `share`.

    Args:
        share: from 0 to 1, both included. It may be as small as 1e-15: the result is right to nine digits.
        trials: from 0 on.

    >>> round(hit_probability(0.05, 25), 2)
    0.72
    """
    ### BEGIN SOLUTION
    if share == 1:
        return float(trials > 0)
    return -math.expm1(trials * math.log1p(-share))
    ### END SOLUTION


def largest_gaps(points: np.ndarray) -> np.ndarray:
    """How wide the widest stretch is, on each axis, that has no point.

    The points are projected on the axis. A stretch lies between two neighbours, or between a border, 0 or 1, and the
    nearest point.

    Args:
        points: (n, d) in the unit cube, n at least 1, in any order; not changed.

    Returns:
        (d,) widths, one for each axis.

    >>> largest_gaps(np.array([[0.5, 0.9], [0.5, 0.1]]))
    array([0.5, 0.8])
    """
    ### BEGIN SOLUTION
    borders = np.zeros((1, points.shape[1])), np.ones((1, points.shape[1]))
    return np.diff(np.sort(np.vstack([borders[0], points, borders[1]]), axis=0), axis=0).max(axis=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_search_space", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def same(found, wanted):
    """Whether two settings are equal: types, too, and numbers up to rounding."""
    if not isinstance(found, dict) or set(found) != set(wanted):
        return False
    for name, value in wanted.items():
        other = found[name]
        if isinstance(value, float):
            if not isinstance(other, float) or not math.isclose(other, value, rel_tol=1e-9, abs_tol=1e-12):
                return False
        elif isinstance(value, int):
            if not isinstance(other, (int, np.integer)) or other != value:
                return False
        elif other != value:
            return False
    return True


@check(points=1, hint="The formula of the text for log; floor for whole numbers and choices; a float stays a float.")
def translates_by_hand():
    """Points of the unit cube give the values that you get by hand, one type at a time."""
    for kind, wanted in [
        ({"type": "uniform", "low": -1, "high": 3}, {0.0: -1.0, 0.25: 0.0, 1.0: 3.0}),
        ({"type": "log", "low": 1e-3, "high": 10.0}, {0.0: 1e-3, 0.25: 1e-2, 0.75: 1.0, 1.0: 10.0}),
        ({"type": "int", "low": 2, "high": 4}, {0.0: 2, 0.3: 2, 0.4: 3, 0.7: 4, 1.0: 4}),
        ({"type": "int-log", "low": 1, "high": 3}, {0.0: 1, 0.49: 1, 0.51: 2, 0.78: 2, 0.8: 3, 1.0: 3}),
        ({"type": "choice", "options": ["relu", "gelu"]}, {0.0: "relu", 0.49: "relu", 0.5: "gelu", 1.0: "gelu"}),
    ]:
        for x, value in wanted.items():
            found = from_unit(np.array([x]), {"a": kind})
            if not same(found, {"a": value}):
                fail(f"{kind} at u = {x} gives {found} instead of {{'a': {value!r}}}.")


@check(points=0.5, hint="Every name has its own coordinate, also where it is not active. Leave it out of the result afterwards.")
def leaves_out_what_is_not_active():
    """Momentum comes with SGD and not with Adam; the other values stay where they are."""
    for x, optimizer in ((0.1, "sgd"), (0.9, "adam")):
        found = from_unit(np.array([0.5, x, 0.5, 0.99, 0.0]), SPACE)
        wanted = {"rate": 0.01, "optimizer": optimizer, "layers": 4, "width": 16}
        if optimizer == "sgd":
            wanted["momentum"] = 0.495
        if not same(found, wanted):
            fail(f"With {optimizer}, it gives {found} instead of {wanted}.")


def same_settings(found, wanted):
    """Whether two lists have the same settings, each equally often, in any order."""
    left = list(wanted)
    for setting in found:
        match = next((other for other in left if same(setting, other)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


@check(points=1, hint="itertools.product of the axes, from_unit for each point; where a setting is in the list already, it is not added again.")
def makes_a_small_grid():
    """Two rates with Adam, and two rates times two momenta with SGD, are six settings."""
    space = {name: SPACE[name] for name in ("rate", "optimizer", "momentum")}
    found = grid(space, {"rate": 2, "optimizer": 2, "momentum": 2})
    wanted = [{"rate": rate, "optimizer": "sgd", "momentum": momentum} for rate in (0.001, 0.1) for momentum in (0.2475, 0.7425)]
    wanted += [{"rate": rate, "optimizer": "adam"} for rate in (0.001, 0.1)]
    if not same_settings(found, wanted):
        fail(f"It gives {found} instead of {wanted}.")


@check(points=0.5, hint="Each trial misses with probability 1 - q; all of them miss with the product.")
def hits_by_hand():
    """The probabilities of the text: .72 for 25 trials and .998 for 125."""
    for trials, wanted in ((25, 0.7226), (125, 0.9984)):
        found = hit_probability(0.05, trials)
        if not abs(found - wanted) < 1e-4:
            fail(f"For {trials} trials it is {found}, where {wanted} is right.")


@check(points=0.5, hint="Sort each column by itself; the first stretch begins at 0, the last one ends at 1.")
def finds_gaps_by_hand():
    """Three points in the plane leave gaps of .4 and of .6."""
    found = np.asarray(largest_gaps(np.array([[0.5, 0.9], [0.3, 0.8], [0.9, 0.6]])))
    if found.shape != (2,) or not np.allclose(found, [0.4, 0.6]):
        fail(f"It gives {found.tolist()} instead of [0.4, 0.6].")


### BEGIN HIDDEN TESTS
JUST_BELOW = math.nextafter(1.0, 0.0)


def fresh(value):
    """An equal value; if it is a string, not the same object."""
    return "".join([*value]) if isinstance(value, str) else value


def translate(points, space):
    """from_unit of many points."""
    space = {name: {key: tuple(map(fresh, value)) if key == "when" else fresh(value) for key, value in axis.items()} for name, axis in space.items()}
    return probe(lambda points, space: [from_unit(np.array(u), space) for u in points], points, space)


@check(points=0.5, hint="On a logarithmic scale the logarithm is uniform: x = low * (high / low) ** u.")
def scales_are_right():
    """Numbers are spread evenly, or evenly on a logarithmic scale, and reach both bounds."""
    us = [0.0, 1.0, JUST_BELOW, 0.5, *np.random.random(200).tolist()]
    for kind, low, high in [("uniform", -2.5, 4), ("uniform", 3, 1e6), ("log", 1e-8, 1e-2), ("log", 3, 1e5), ("log", 0.2, 0.3)]:
        settings = translate([[u] for u in us], {"x": {"type": kind, "low": low, "high": high}})
        for u, found in zip(us, settings, strict=True):
            wanted = (1 - u) * low + u * high if kind == "uniform" else math.exp((1 - u) * math.log(low) + u * math.log(high))
            if set(found) != {"x"} or not isinstance(found["x"], float):
                fail(f'A "{kind}" value is no float.')
            if not math.isclose(found["x"], wanted, rel_tol=1e-9, abs_tol=1e-9 * (kind == "uniform")):
                fail(f'The values of type "{kind}" are not where they should be.')


def shares_of(axis):
    """What from_unit makes of 4,000 evenly placed u: the values in their order, and the share of each."""
    values = [found["x"] for found in translate([[(i + 0.5) / 4_000] for i in range(4_000)], {"x": axis})]
    runs = [(value, len(list(run))) for value, run in itertools.groupby(values)]
    return [value for value, _ in runs], [length / 4_000 for _, length in runs]


@check(points=1, hint='Both bounds are included, so there are high - low + 1 whole numbers. For "int-log", k has the interval from k to k + 1.')
def shares_are_right():
    """Whole numbers and options have the shares of the docstring, in ascending order, and nothing else occurs."""
    axes = [{"type": "int", "low": low, "high": high} for low, high in ((0, 6), (-3, 2), (5, 5))]
    axes += [{"type": "int-log", "low": low, "high": high} for low, high in ((1, 8), (3, 40), (7, 7))]
    axes += [{"type": "choice", "options": options} for options in (["c", "a", "b"], [64, 16, 32, 128, 8], ["only"])]
    for axis in axes:
        wanted = axis["options"] if axis["type"] == "choice" else list(range(axis["low"], axis["high"] + 1))
        values, shares = shares_of(axis)
        if not all(isinstance(value, (str, int, np.integer)) for value in values):
            fail(f'A value of type "{axis["type"]}" is no int, or not the option.')
        if values != wanted:
            fail(f'The values of type "{axis["type"]}" are not all of them, each in its place.')
        truth = [math.log1p(1 / k) / math.log((wanted[-1] + 1) / wanted[0]) for k in wanted] if axis["type"] == "int-log" else [1 / len(wanted)] * len(wanted)
        # A border between two shares lies up to half a step from where it is seen.
        if max(abs(a - b) for a, b in zip(shares, truth, strict=True)) > 1.5 / 4_000:
            fail(f'The shares of type "{axis["type"]}" are wrong.')


@check(points=1, hint="u = 1, and a u just below it, belong to the last value. The rounding of a sum or of a power can reach the next one.")
def stays_within_the_bounds():
    """At u = 0 and u = 1, and next to them, the first and the last value come out and nothing beyond."""
    for low, high in [(1, 2), (1, 8), (3, 11), (1000, 1004), (1, 10**6), (10**9, 10**9 + 2)]:
        for kind in ("int", "int-log"):
            found = [setting["x"] for setting in translate([[0.0], [JUST_BELOW], [1.0]], {"x": {"type": kind, "low": low, "high": high}})]
            if found != [low, high, high]:
                fail(f'The bounds of type "{kind}" are not kept, or not reached.')
    for n in (1, 2, 3, 7, 49):
        found = [setting["x"] for setting in translate([[0.0], [JUST_BELOW], [1.0]], {"x": {"type": "choice", "options": list(range(n))}})]
        if found != [0, n - 1, n - 1]:
            fail("The first or the last option is not reached.")


CHAIN = {  # each condition stands before what it asks for
    "nesterov": {"type": "choice", "options": ["yes", "no"], "when": ("kind", "momentum")},
    "damping": {"type": "uniform", "low": 0, "high": 1, "when": ("nesterov", "no")},
    "kind": {"type": "choice", "options": ["plain", "momentum", "other"], "when": ("optimizer", "sgd")},
    "rate": {"type": "uniform", "low": 0, "high": 2},
    "optimizer": {"type": "choice", "options": ["sgd", "adam"]},
    "layers": {"type": "choice", "options": [1, 2]},
    "second": {"type": "uniform", "low": 0, "high": 4, "when": ("layers", 2)},
}


@check(points=2, hint="A condition counts only if what it asks for is active itself. The names may come in any order, and the j-th coordinate always belongs to the j-th name.")
def conditions_hold_in_chains():
    """Conditions on conditions hold, whatever the order of the names, and what is inactive shifts no coordinate."""
    truth, cases = [], [(a, b, c, d) for a in (0.2, 0.7) for b in (0.1, 0.5, 0.9) for c in (0.3, 0.8) for d in (0.4, 0.6)]
    for optimizer, kind, nesterov, layers in cases:
        wanted = {"optimizer": "sgd" if optimizer < 0.5 else "adam", "rate": 0.7, "layers": 1 if layers < 0.5 else 2}
        if optimizer < 0.5:
            wanted["kind"] = {0.1: "plain", 0.5: "momentum", 0.9: "other"}[kind]
            if kind == 0.5:
                wanted["nesterov"] = "yes" if nesterov < 0.5 else "no"
                if nesterov > 0.5:
                    wanted["damping"] = 0.65
        if layers > 0.5:
            wanted["second"] = 3.4
        truth.append(wanted)
    for order in (list(CHAIN), list(CHAIN)[::-1], sorted(CHAIN)):
        space = {name: CHAIN[name] for name in order}
        points = []
        for optimizer, kind, nesterov, layers in cases:
            u = {"optimizer": optimizer, "kind": kind, "nesterov": nesterov, "damping": 0.65, "rate": 0.35, "layers": layers, "second": 0.85}
            points.append([u[name] for name in order])
        for found, wanted in zip(translate(points, space), truth, strict=True):
            if set(found) != set(wanted):
                fail("A name that is not active is there, or one that is active is missing.")
            if not same(found, wanted):
                fail("With conditions in the space, a value is wrong: does it come from a coordinate of another name?")


@check(points=1, hint="One axis of points for each name, by its own number of levels. Compare whole settings, after from_unit.")
def grids_are_complete():
    """A grid has all combinations, each setting once: with conditions, with more levels than values, with levels in any order."""
    def run(space, levels):
        return grid(space, levels)

    plain = {"a": {"type": "uniform", "low": 0, "high": 1}, "b": {"type": "int", "low": 1, "high": 3}, "c": {"type": "choice", "options": ["x", "y"]}}
    found = probe(run, plain, {"c": 2, "b": 6, "a": 5})
    wanted = [{"a": a, "b": b, "c": c} for a in (0.1, 0.3, 0.5, 0.7, 0.9) for b in (1, 2, 3) for c in ("x", "y")]
    if not same_settings(found, wanted):
        fail("Without conditions, the settings are not all combinations, each once.")
    found = probe(run, CHAIN, {"nesterov": 2, "damping": 3, "kind": 3, "rate": 1, "optimizer": 2, "layers": 2, "second": 2})
    rest = [{"rate": 1.0, "layers": 1}, *({"rate": 1.0, "layers": 2, "second": x} for x in (1.0, 3.0))]
    tops = [{"optimizer": "adam"}, *({"optimizer": "sgd", "kind": kind} for kind in ("plain", "other"))]
    tops += [{"optimizer": "sgd", "kind": "momentum", "nesterov": "yes"}]
    tops += [{"optimizer": "sgd", "kind": "momentum", "nesterov": "no", "damping": d} for d in (1 / 6, 1 / 2, 5 / 6)]
    if not same_settings(found, [top | other for top in tops for other in rest]):
        fail("With conditions, the settings are not all combinations, each once.")


@check(points=0.5, hint="1 - (1 - q) ** n loses all digits of a tiny q: 1 - 1e-17 is 1. math.log1p and math.expm1 keep them.")
def hits_are_precise():
    """The probability is right for shares of 0, of 1, and for tiny ones, and for no trials at all."""
    cases = [(q, n) for q in (0.0, 1e-15, 1e-9, 3e-4, 0.2, 0.999, 1.0) for n in (0, 1, 2, 60, 10**6)]
    from fractions import Fraction

    for (q, n), found in zip(cases, probe(lambda cases: [hit_probability(*case) for case in cases], cases), strict=True):
        if n <= 60:  # exact, as a fraction
            wanted = float(1 - (1 - Fraction(q)) ** n)
        else:  # the first terms of the binomial series, where n q is tiny; certainty where it is large
            wanted = n * q * (1 - (n - 1) * q / 2 + (n - 1) * (n - 2) * q * q / 6) if n * q < 0.01 else 1.0
        if not math.isclose(found, wanted, rel_tol=1e-9):
            fail(f"It is wrong for {'a tiny share' if 0 < q < 1e-6 else 'a share of 0 or 1' if q in (0, 1) else 'an ordinary share'} and {'no trials' if n == 0 else 'some trials'}.")


@check(points=0.5, hint="Each axis by itself, in sorted order, with the borders 0 and 1.")
def gaps_are_right():
    """Gaps are those of brute force: for one point, for many, for equal ones; and the points stay as they are."""
    def run(points):
        return [float(gap) for gap in largest_gaps(points)], points

    for points in [np.random.random((40, 3)), np.full((1, 2), 0.3), np.random.random((6, 1)) ** 6, 1 - np.random.random((6, 2)) ** 6, np.array([[0.0, 0.4], [1.0, 0.4], [0.4, 0.4]])]:
        found, after = probe(run, points.copy())
        wanted = []
        for column in points.T.tolist():
            ends = [*column, 1.0]
            wanted.append(max(min(end for end in ends if end > start) - start for start in (0.0, *column) if start < 1))
        if not np.array_equal(after, points):
            fail("The points were changed.")
        if len(found) != len(wanted) or not np.allclose(found, wanted):
            fail(f"A gap is wrong for {len(points)} points on {points.shape[1]} axes.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Sixteen trials on a real surface
#
# A small network learns 400 digits; in the background is its validation error by learning rate and weight decay, measured at 9 × 4 places. On it lie 16 points of each kind, translated by your `from_unit`; the ticks below and at the left are their projections.
# **Predict:** along which axis does the colour change? How many different learning rates does each method try?

# %% tags=["demo", "raises-exception"]
def draw_three_searches(n: int = 16, seed: int = 0) -> None:
    from scipy.stats import qmc
    from sklearn.datasets import load_digits

    space = {"rate": {"type": "log", "low": 1e-4, "high": 1.0}, "decay": {"type": "log", "low": 1e-6, "high": 1e-1}}
    pixels, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    pixels = pixels.float() / 16
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    training, validation = order[:400], order[400:1000]

    def error(setting):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimizer = torch.optim.AdamW(network.parameters(), lr=setting["rate"], weight_decay=setting["decay"], fused=True)
        for _ in range(12):
            for batch in training[torch.randperm(400)].split(100):
                loss = F.cross_entropy(network(pixels[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            return (network(pixels[validation]).argmax(1) != labels[validation]).float().mean().item()

    side = math.isqrt(n)
    centres = [(i + 0.5) / side for i in range(side)]
    kinds = {
        "grid": np.array([(a, b) for a in centres for b in centres]),
        "random": np.random.default_rng(seed).random((n, 2)),
        "Sobol": qmc.Sobol(2, rng=seed).random(n),
    }
    try:
        translated = {name: [list(from_unit(u, space).values()) for u in points] for name, points in kinds.items()}
        gaps = {name: largest_gaps(points) for name, points in kinds.items()}
        rates, decays = ([from_unit([u, u], space)[name] for u in np.linspace(0, 1, m)] for name, m in (("rate", 9), ("decay", 4)))
    except NotImplementedError:
        print("This figure needs from_unit and largest_gaps. Write them first.")
        return
    surface = np.array([[error({"rate": rate, "decay": decay}) for rate in rates] for decay in decays])
    fig, axes = plt.subplots(1, 3, figsize=(9.7, 3.3), sharey=True, layout="constrained")
    for ax, (name, points) in zip(axes, translated.items(), strict=True):
        image = ax.pcolormesh(rates, decays, surface, cmap="Blues", shading="gouraud", norm="log", vmax=0.9)
        x, y = np.array(points).T
        ax.plot(x, y, "o", color="C1", mec="black", ms=6, clip_on=False, zorder=3)
        ax.plot(x, np.full(n, 0.03), "|", color="C3", ms=11, mew=1.8, transform=ax.get_xaxis_transform())
        ax.plot(np.full(n, 0.03), y, "_", color="C3", ms=11, mew=1.8, transform=ax.get_yaxis_transform())
        ax.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(1e-6, 1e-1), xlabel="learning rate", title=f"{name}: gaps {gaps[name][0]:.2f}, {gaps[name][1]:.2f}")
        ax.grid(visible=False)
    axes[0].set_ylabel("weight decay")
    bar = fig.colorbar(image, ax=axes, label="validation error", ticks=[0.1, 0.2, 0.5, 0.9], format="%g")
    bar.ax.minorticks_off()
    plt.show()


draw_three_searches()

# %% [markdown]
# The colour changes with the learning rate and hardly with the weight decay: for 48 steps, decays up to 0.1 make no difference. (AdamW's decay is multiplied by the rate, section 2.2.) So the grid tries four rates, each four times; the others try sixteen. Sobol's gaps are below 2/16 by construction. The random points leave a gap as wide as the grid's: with 16 points the widest stretch is .20 on average, $\frac{1}{17}(1 + \frac12 + \dots + \frac1{17})$.
#
# **And does it matter?** Here, no. The good rates, within .01 of the lowest error, fill 20 % of the axis, and one of the grid's four lies among them. On the mean curve of three seeds, the best of the grid has the error .064, that of 16 random points .063 (mean of 2,000 draws), of 16 Sobol points .062. What you choose matters where the good region is narrow, and where there are many hyperparameters.
#
# **Change, predict, run.** `draw_three_searches(n=64)`: four times as many points. By how much does each kind's gap shrink?
#
# <details><summary>Answer</summary>
#
# The grid's only by half, to .125: it has 8 values on an axis. Sobol's is below 2/64; .03 on both axes here. The random points leave .05 and .05, where .07 is the average.
# </details>
