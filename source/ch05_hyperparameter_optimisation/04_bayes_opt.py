# %% [markdown]
# ## 5.4 Bayesian optimisation
#
# *"Bayesian optimisation quickly finds the optimum."* It is a loop: say what is known about the loss (section 5.3), choose the setting with the largest expected improvement, train there, repeat. Nothing in that loop promises an optimum.
#
# Do we need the expected improvement at all? The **greedy** loop measures where the predicted mean is lowest. **Predict:** on a usual test function, Branin's, with 25 measurements, which of the two ends closer to the minimum?
# And on a function with a broad valley, in which all first measurements lie, and a narrow well elsewhere that is deeper?
#
# ### Three things that go wrong on the way
#
# **The scale.** Our prior says mean 0 and variance 1. Losses between 2.30 and 2.32 look to it like one and the same number. So $y$ is **standardised**, each time with *all* measurements so far: the first few may be nothing like the later ones.
#
# **The best so far.** With noise, the lowest measurement was also lucky. Some take the lowest posterior mean instead; we take the lowest measurement.
#
# **The curve.** A plot of the lowest measurement against the number of trainings can only fall, even if nothing gets better. An honest curve *chooses* by what was measured and *shows* what the chosen setting is worth: it may rise. (How far the two lie apart, section 5.7 says.)
#
# ### Exercise 5.4 · The loop
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **9 points** · NumPy and SciPy
#
# **Given** a finite set of candidates in the unit cube (section 5.1 turns them into settings), and `surrogate`, a posterior, so that this exercise does not need your answer to 5.3. It takes one measurement after the other.
#
# **Write** three functions. Do not modify arguments.
#
# <details><summary>Hint 1: the expected improvement</summary>
#
# Section 5.3 has the formula. `scipy.special.ndtr` is the normal distribution function. Mean, standard deviation and best value must be on one scale.
# </details>
#
# <details><summary>Hint 2: two kinds of numbers</summary>
#
# `propose` numbers the candidates that it was given. If you give it only those that are left, its number is not the candidate's: keep a list of the numbers that are left.
# </details>
#
# <details><summary>Hint 3: the incumbent</summary>
#
# `np.argmin(measured[:k])` is the first lowest of the first $k$.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_bayes_opt", "locked": true, "schema_version": 3, "solution": false, "task": false}
def surrogate(X: np.ndarray, y: np.ndarray, Z: np.ndarray, length: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (m,) of f at Z (m, d), after measuring y (n,) at X (n, d).

    The prior is rbf(length) with mean 0 and variance 1; noise is a variance. One measurement after the other moves all
    that it is correlated with. That is simple, but for tiny noise less precise than exercise 5.3 asks for.
    """
    n = len(X)
    covariance = rbf(length)(np.concatenate([X, Z]), X)
    mean, variance = np.zeros(n + len(Z)), np.ones(n + len(Z))
    for i in range(n):
        gain = covariance[:, i] / (covariance[i, i] + noise)
        mean = mean + gain * (y[i] - mean[i])
        variance = variance - gain * covariance[:, i]
        covariance = covariance - np.outer(gain, covariance[i])
    return mean[n:], np.sqrt(np.maximum(variance[n:], 1e-18))


# %% nbgrader={"grade": false, "grade_id": "bayes_opt", "locked": false, "schema_version": 3, "solution": true, "task": false}
def propose(X: np.ndarray, y: np.ndarray, candidates: np.ndarray, length: float, noise: float = 1e-6) -> int:
    """Which candidate to measure next: the one with the largest expected improvement (we minimise).

    The measurements are standardised: their mean is subtracted, and they are divided by their standard deviation
    (with 1/n, as np.std has it), or by 1 if that is 0. (For equal measurements, np.std may give 1e-17 instead of 0: then
    divide by either.) All else happens on that scale: the posterior is `surrogate`'s, with this length and noise, and the best
    value so far is the lowest standardised measurement.

    Args:
        X: (n, d), the measured points, n from 1 on.
        y: (n,), the measurements, in any unit: their spread may be 1e-4 or 1e4, and their mean far from 0.
        candidates: (m, d), m from 1 on.
        length, noise: for `surrogate`; noise is the variance on the standardised scale.

    Returns:
        Number of the candidate, from 0 on; any one of those that are equally good. Improvements that are too small for a
        float may count as equal: no logarithm is needed.

    >>> propose(np.array([[0.2], [0.8]]), np.array([2.31, 2.30]), np.array([[0.0], [0.5], [0.75]]), length=0.2)
    2
    """
    ### BEGIN SOLUTION
    spread = np.std(y)
    scaled = (y - np.mean(y)) / (spread if spread > 0 else 1)
    mean, std = surrogate(X, scaled, candidates, length, noise)
    gain = scaled.min() - mean
    u = gain / std
    return int(np.argmax(gain * scipy.special.ndtr(u) + std * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)))
    ### END SOLUTION


def bayes_opt(objective, candidates: np.ndarray, start: list[int], n_evaluations: int, length: float, noise: float = 1e-6) -> tuple[list[int], list[float]]:
    """Minimises over a finite set of candidates. Each is measured at most once.

    First measures the candidates with the numbers in `start`, in that order. Then, until there are n_evaluations
    measurements in all, chooses the next by `propose` among the candidates that are not yet measured, from all
    measurements so far.

    Args:
        objective: takes a candidate, of shape (d,), and returns a number. It is expensive, and may be noisy: it is
            called exactly n_evaluations times, once for each measurement.
        candidates: (m, d).
        start: numbers of at least one candidate, all different.
        n_evaluations: at least len(start), at most m.
        length, noise: for `propose`.

    Returns:
        Numbers of the measured candidates and the measurements, both of length n_evaluations, in the order in which
        they were made.

    >>> bayes_opt(lambda x: abs(float(x[0]) - 0.75), np.array([[0.0], [0.5], [0.75], [1.0]]), [0, 3], 3, length=0.5)
    ([0, 3, 2], [0.75, 0.25, 0.0])
    """
    ### BEGIN SOLUTION
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
    ### END SOLUTION


def incumbent_curve(measured: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What the best so far is really worth, after each measurement.

    After k measurements the incumbent is the one with the lowest measured value of these k; of equal ones, the first.

    Args:
        measured: (n,), what was measured, in order.
        truth: (n,), the values without noise of the same n settings.

    Returns:
        (n,): the incumbent's truth after 1, 2, ..., n measurements.

    >>> incumbent_curve(np.array([0.5, 0.2, 0.3]), np.array([0.3, 0.4, 0.1]))
    array([0.3, 0.4, 0.4])
    """
    ### BEGIN SOLUTION
    return np.array([truth[np.argmin(measured[:k])] for k in range(1, len(measured) + 1)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_bayes_opt", "locked": true, "points": 9, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=9)


def two_wells(x):
    """A broad valley, 0.6 deep at 0.25, and a narrow well, 1 deep at 0.85."""
    return float(-0.6 * np.exp(-(((x[0] - 0.25) / 0.25) ** 2)) - np.exp(-(((x[0] - 0.85) / 0.06) ** 2)))


@check(points=1, hint="The largest expected improvement, not the lowest mean and not the largest uncertainty; standardise y before anything else.")
def proposes_on_any_scale():
    """propose weighs a low mean against a large uncertainty, and its answer does not depend on the unit of y."""
    X, y, candidates = np.array([[0.1], [0.3], [0.5]]), np.array([1.0, 0.0, 0.6]), np.array([[0.5], [0.31], [0.35], [0.42], [0.95]])
    for unit, zero in ((1.0, 0.0), (1000.0, 0.0), (0.001, 2.3)):
        found = propose(X.copy(), zero + unit * y, candidates.copy(), 0.1)
        assert found is not None, "propose returns None: is the return missing?"
        names = {0: "a measured point", 1: "the lowest mean", 3: "neither low nor uncertain enough", 4: "the largest uncertainty"}
        assert found == 2, f"with y = {zero:g} + {unit:g} * {y.tolist()}, candidate {found} ({names.get(int(found), '?')}) instead of 2"


@check(points=1.5, hint="bayes_opt measures start first, then what propose says, until there are n_evaluations in all; propose numbers what it is given.")
def finds_the_deep_well():
    """From three measurements in a broad valley, twelve in all find the narrow well that is deeper, and every one counts."""
    def run():
        calls = []

        def objective(x):
            calls.append(np.array(x).tolist())
            if len(calls) > 200:
                raise RuntimeError("objective was called more than 200 times: does the loop end?")
            return two_wells(x)

        numbers, values = bayes_opt(objective, np.linspace(0, 1, 101)[:, None], [5, 20, 35], 12, 0.08)
        return [int(i) for i in numbers], [float(v) for v in values], calls

    numbers, values, calls = probe(run)
    assert len(calls) == 12, f"objective was called {len(calls)} times, and not 12 times"
    assert len(numbers) == 12 and len(values) == 12, f"{len(numbers)} numbers and {len(values)} values came back, and not 12"
    assert numbers[:3] == [5, 20, 35], f"the first three candidates are {numbers[:3]}, and not those of start"
    assert np.allclose(calls, np.array(numbers)[:, None] / 100), "the numbers that came back are not those of the candidates that were measured"
    assert len(set(numbers)) == 12, f"a candidate was measured twice: {numbers}"
    # Deterministic. Nothing near 0.85 is measured by the greedy loop; the well's edge, half of its depth, is at 0.80 and 0.90.
    assert min(values) < -0.9, f"the lowest value found is {min(values):.2f}, the valley's, at candidates {numbers}"


@check(points=1, hint="Choose by what was measured, report the truth. Of equal measurements the first stays.")
def curve_by_hand():
    """The incumbent is chosen by what was measured, and worth what it truly is."""
    found = incumbent_curve(np.array([3.0, 1.0, 2.0, 0.5, 0.5]), np.array([2.0, 1.5, 0.0, 1.8, 1.0]))
    assert found is not None and np.shape(found) == (5,), f"incumbent_curve does not return five numbers, but {found}"
    assert np.allclose(found, [2.0, 1.5, 1.5, 1.8, 1.8]), f"{np.round(found, 3).tolist()} instead of [2.0, 1.5, 1.5, 1.8, 1.8]"


### BEGIN HIDDEN TESTS
from scipy.special import log_ndtr


def log_improvements(X, y, candidates, length, noise):
    """The logarithm of the expected improvement of each candidate, by linear algebra and in another form: EI = std ∫ Φ below u."""
    deviation = math.sqrt(((y - y.mean()) ** 2).mean())
    scaled = (y - y.mean()) / (deviation or 1.0)

    def k(A, B):
        return np.exp(-((A[:, None] - B[None]) ** 2).sum(-1) / (2 * length**2))

    solved = np.linalg.solve(k(X, X) + noise * np.eye(len(X)), np.column_stack([scaled, k(X, candidates)]))
    mean = k(candidates, X) @ solved[:, 0]
    std = np.sqrt(np.maximum(1 - (k(X, candidates) * solved[:, 1:]).sum(0), 1e-18))
    u = (scaled.min() - mean) / std
    # ∫ Φ(v) dv from minus infinity to u, with v = u - e^w: the integrand is smooth in w and falls off at both ends.
    w = np.linspace(-16, 3, 200)
    terms = log_ndtr(u[:, None] - np.exp(w)) + w
    top = terms.max(1)
    return np.log(std) + top + np.log(np.exp(terms - top[:, None]).sum(1) * (w[1] - w[0]))


def is_best(number, *case):
    values = log_improvements(*case)
    return 0 <= number < len(values) and values[number] >= values.max() - 1e-4


@check(points=2, hint="Subtract the mean of all measurements and divide by np.std, or by 1 if that is 0. The best is the lowest standardised measurement, on the posterior's own scale.")
def proposal_has_the_largest_improvement():
    """In one to three dimensions, with little and much noise and y on any scale, propose chooses the largest expected improvement."""
    rng = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for i in range(120):
        n, d, m = (2, 3, 4, 6, 9, 1)[i % 6], 1 + i % 3, 80 if i < 90 else 7 if i < 110 else 1
        X, candidates = rng.random((n, d)), rng.random((m, d))
        y = rng.normal(0, 1, n) * 10.0 ** rng.integers(-4, 5) + rng.normal(0, 1) * 10.0 ** rng.integers(-2, 4)
        cases.append((X, y, candidates, (0.1, 0.25, 0.5)[i // 2 % 3], (0.3, 0.01, 0.1)[i // 4 % 3]))
    equal = (np.array([[0.3], [0.4]]), np.array([2.5, 2.5]), np.array([[0.35], [0.31], [0.9], [0.45]]), 0.2, 1e-6)

    def run(cases):
        found, kept = [], True
        for case in cases:
            copies = [part.copy() for part in case[:3]]
            found.append(int(propose(*copies, *case[3:])))
            kept = kept and all(np.array_equal(a, b) for a, b in zip(copies, case[:3], strict=True))
        return found, kept

    found, kept = probe(run, [*cases, equal])
    if not kept:
        fail("X, y or candidates was modified.")
    for number, case in zip(found, cases, strict=False):
        if not is_best(number, *case):
            fail(f"A different candidate has a larger expected improvement, with {len(case[0])} measurements in {case[0].shape[1]} dimensions, length {case[3]:g} and noise {case[4]:g}.")
    if found[-1] != 2:
        fail("Wrong where all measurements are equal.")


def loops():
    """What bayes_opt is given: values of the candidates, candidates, start, evaluations, length, noise."""
    rng = np.random.default_rng(7)
    jump = np.where(np.arange(30) < 4, rng.random(30), 1000 * rng.random(30))
    return [
        (rng.normal(0, 1, 40), rng.random((40, 2)), [7, 0, 31], 14, 0.2, 0.1),
        (jump, rng.random((30, 1)), [3, 1, 0, 2], 12, 0.15, 0.05),  # later measurements are nothing like the first
        (rng.normal(5, 0.01, 6), rng.random((6, 3)), [5], 6, 0.4, 0.1),  # all candidates
        (rng.normal(0, 1, 9), rng.random((9, 1)), [8, 2, 4], 3, 0.2, 0.1),  # nothing but start
    ]


def followed(cases):
    """For each case, what bayes_opt returns and did, and what the student's propose says before each measurement."""
    def run(cases):
        reports = []
        for values, candidates, start, n, length, noise in cases:
            rows, calls, given, first = candidates.tolist(), [], candidates.copy(), list(start)

            def objective(x, rows=rows, calls=calls, values=values):
                calls.append(rows.index(np.asarray(x).tolist()) if np.shape(x) == np.shape(rows[0]) else -1)
                if len(calls) > 200:
                    raise RuntimeError("objective was called more than 200 times: does the loop end?")
                return float(values[calls[-1]]) + 1e-9 * len(calls)  # each call gives another number, as training does

            numbers, found = bayes_opt(objective, given, first, n, length, noise)
            numbers, proposals = [int(i) for i in numbers], []
            for k in range(len(start), n):
                left = [i for i in range(len(rows)) if i not in calls[:k]]
                proposals.append(left[int(propose(candidates[calls[:k]], values[calls[:k]], candidates[left], length, noise))])
            kept = np.array_equal(given, candidates) and first == list(start)
            reports.append([numbers, [float(v) for v in found], calls, proposals, kept])
        return reports

    return probe(run, cases)


@check(points=1.5, hint="n_evaluations counts all measurements, those of start as well. Call objective once for each, with candidates[number], and keep what it returned.")
def budget_is_kept():
    """objective is called once for each measurement, n_evaluations times in all, with different candidates; what it returned comes back in order."""
    for (values, candidates, start, n, _, _), (numbers, found, calls, _, kept) in zip(loops(), followed(loops()), strict=True):
        case = f"with {len(start)} candidates in start, {n} evaluations and {len(candidates)} candidates"
        if -1 in calls:
            fail("objective is given something else than a candidate of shape (d,).")
        if len(calls) != n or len(numbers) != n or len(found) != n:
            fail(f"The number of evaluations, or of what comes back, is wrong {case}.")
        if numbers != calls or numbers[: len(start)] != start or len(set(numbers)) != n:
            fail(f"What comes back is not what was measured, or start does not come first, or a candidate was measured twice, {case}.")
        if not np.allclose(found, values[calls] + 1e-9 * np.arange(1, n + 1), rtol=0, atol=2e-10):
            fail(f"The values that come back are not those that objective returned, {case}.")
        if not kept:
            fail("candidates or start was modified.")


@check(points=1, hint="All measurements so far go into propose, each time, and all candidates that are not measured.")
def loop_follows_propose():
    """Each measurement after start is the best of the candidates that are left, given all before it, also when later values are a thousand times the first."""
    for (values, candidates, start, n, length, noise), (_, _, calls, proposals, _) in zip(loops(), followed(loops()), strict=True):
        if len(calls) < n or -1 in calls or len(set(calls)) < len(calls):
            fail("The evaluations are not n_evaluations different candidates.")
        for k in range(len(start), n):
            left = [i for i in range(len(candidates)) if i not in calls[:k]]
            # What the own propose says counts, too: a mistake in there costs its own check.
            if calls[k] != proposals[k - len(start)] and not is_best(left.index(calls[k]), candidates[calls[:k]], values[calls[:k]], candidates[left], length, noise):
                fail(f"Measurement {k + 1} is not the best of the candidates that are left.")


@check(points=1, hint="Choose the first lowest of the first k measurements, for each k, and look its truth up.")
def curve_of_any_run():
    """incumbent_curve follows the lowest measurement, through ties and noise, and changes no argument."""
    def run(cases):
        return [(np.asarray(incumbent_curve(measured, truth)), measured, truth) for measured, truth in cases]

    rng = np.random.default_rng(np.random.randint(2**31))
    cases = [(rng.integers(0, 6, n).astype(float), rng.normal(0, 1, n)) for n in (1, 2, 5, 12, 40, 40)]
    for (measured, truth), (found, *after) in zip(cases, probe(run, [(a.copy(), b.copy()) for a, b in cases]), strict=True):
        if not (np.array_equal(after[0], measured) and np.array_equal(after[1], truth)):
            fail("measured or truth was modified.")
        wanted, lowest = [], math.inf
        for value, worth in zip(measured, truth, strict=True):
            if value < lowest:
                lowest, incumbent = value, worth
            wanted.append(incumbent)
        if found.shape != measured.shape or not np.allclose(found, wanted, rtol=0, atol=1e-12):
            fail(f"Wrong for {len(measured)} measurements.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### A test that tells nothing, and one that does
#
# Left: where your loop and the greedy one measure. Middle: the same two and random search on Branin's function, the median over 20 seeds of how far the incumbent is above the best of 300 candidates. Right: your loop on the left function
# with noise of standard deviation 0.3: the mean over 20 seeds of the lowest measurement, and your `incumbent_curve`.

# %% tags=["demo", "raises-exception"]
def draw_loops(length: float = 0.08, seeds: int = 20) -> None:
    def well(x):
        return -0.6 * np.exp(-(((x[0] - 0.25) / 0.25) ** 2)) - np.exp(-(((x[0] - 0.85) / 0.06) ** 2))

    def branin(x):
        a, b = 15 * x[0] - 5, 15 * x[1]
        return (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10

    def greedy(objective, candidates, start, n_evaluations, length):
        numbers = list(start)
        values = [objective(candidates[i]) for i in numbers]
        while len(numbers) < n_evaluations:
            y = np.array(values)
            mean, _ = surrogate(candidates[numbers], (y - y.mean()) / y.std(), candidates, length, 1e-6)
            mean[numbers] = math.inf
            numbers.append(int(mean.argmin()))
            values.append(objective(candidates[numbers[-1]]))
        return numbers, values

    grid = np.linspace(0, 1, 101)[:, None]
    try:
        runs = {"EI": bayes_opt(well, grid, [5, 20, 35], 12, length), "greedy": greedy(well, grid, [5, 20, 35], 12, length)}
        regrets = {"EI": [], "greedy": [], "random": []}
        for seed in range(seeds):
            candidates = np.random.default_rng(seed).random((300, 2))
            truth = np.array([branin(x) for x in candidates])
            tried = {"EI": bayes_opt(branin, candidates, list(range(5)), 25, 0.2), "greedy": greedy(branin, candidates, range(5), 25, 0.2), "random": (list(range(25)), truth[:25])}
            for name, (numbers, values) in tried.items():
                regrets[name].append(incumbent_curve(np.array(values), truth[numbers]) - truth.min())
        noisy = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            numbers, values = bayes_opt(lambda x, rng=rng: well(x) + 0.3 * rng.standard_normal(), grid, [5, 20, 35], 40, 0.08, 0.3)
            noisy.append([np.minimum.accumulate(values), incumbent_curve(np.array(values), np.array([well(x) for x in grid[numbers]]))])
    except NotImplementedError:
        print("This figure needs the three functions of exercise 5.4. Write them first.")
        return
    _, axes = plt.subplots(1, 3, figsize=(9.9, 3.3))
    axes[0].plot(grid, [well(x) for x in grid], color="0.6", lw=1.3)
    colours = {"EI": "C0", "greedy": "C1", "random": "0.5"}
    for (name, (numbers, values)), marker in zip(runs.items(), ("o", "x"), strict=True):
        axes[0].plot(grid[numbers[3:]], values[3:], marker, color=colours[name], ms=6, mew=1.6, label=name)
    axes[0].plot(grid[[5, 20, 35]], runs["EI"][1][:3], "s", color="black", ms=5, label="start")
    axes[0].set(xlabel="$x$", title=f"12 measurements, length {length:g}", ylim=(-1.1, 0.5))
    axes[0].legend(fontsize=8.5, ncols=3, loc="upper center", columnspacing=1, handletextpad=0.3)
    rounds = np.arange(1, 26)
    for (name, curves), style in zip(regrets.items(), ("-", "--", ":"), strict=True):
        axes[1].plot(rounds, np.median(curves, axis=0), style, color=colours[name], label=name)
        axes[1].fill_between(rounds, *np.quantile(curves, [0.25, 0.75], axis=0), color=colours[name], alpha=0.13, lw=0)
    axes[1].set(xlabel="measurements", title="Branin: above the best")
    axes[1].set_yscale("symlog", linthresh=0.1)
    axes[1].legend(fontsize=8.5)
    for curve, label, style in zip(np.mean(noisy, axis=0), ("lowest measurement", "incumbent_curve"), ("--", "-"), strict=True):
        axes[2].plot(np.arange(1, 41), curve, style, color="C5" if style == "--" else "C2", label=label)
    axes[2].axhline(well([0.85]), color="0.5", lw=1, ls=":")
    axes[2].set(xlabel="measurements", title="With noise: seen, and true")
    axes[2].legend(fontsize=8.5)
    plt.show()


draw_loops()

# %% [markdown]
# On Branin's function the greedy loop is ahead for most of the way; after 25 measurements the medians are 0.03 for both and 1.25 for random search. So a wrong program passes the test "better than random search on Branin". On the
# left function the greedy loop never leaves the valley. That is what EI is for: it also pays for not knowing.
#
# On the right, the lowest measurement ends at $-1.4$, although the minimum is $-1.0$. The setting that it chose is worth $-0.9$.
#
# ### What is true of the claim, and what is not
#
# *"Quickly finds the optimum."* Theorems exist: with the bound of section 5.3, the average regret tends to zero with high probability, *if* $f$ was drawn from the very prior that you assume (Srinivas et al., arXiv:0912.3995). Nobody tells you that it was.
#
# *"Not above 20 dimensions."* A rule of thumb: most successful applications have at most 20 (Frazier, arXiv:1807.02811). Since then, standard Gaussian processes have done well in higher dimensions; a badly chosen first length was often at fault (Xu et al., arXiv:2402.02746).
#
# *"Needs smooth, exact measurements."* It needs a model of the noise. A few trainings that differ only in their seed tell you how large it is.
#
# **Change, predict, run.** `draw_loops(length=0.4)`, then `draw_loops(length=0.02)`. Where does EI measure on the left, and does it find the well?
#
# <details><summary>Answer</summary>
#
# Neither finds it. With 0.4, the three first measurements seem to say nearly everything about the right side: one look at the edge, the rest in the valley and at the other edge. With 0.02, nothing is known anywhere but in the valley, and beside its lowest points
# improvements are a little more likely than elsewhere. A library fits the length to the measurements; from three points, that is a guess, too.
# </details>
