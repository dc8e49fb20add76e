# %% [markdown]
# ## 5.5 An evolution strategy
#
# Train ten networks. Keep the best two, change their settings a little at random, train those, and go on. This is an **evolution strategy**: no surrogate, no gradient, and ten trainings at a time can run side by side.
#
# It looks at losses only to sort them. With the logarithm of the loss, or any other increasing function of it, it tries exactly the *same* points. The Gaussian process of section 5.3
# does not.
#
# Three decisions are to be made. **Who survives?** Here the best $\mu$ of parents *and* children, written $(\mu + \lambda)$: what was found is never lost.
#
# **What is a child?** In the unit cube of section 5.1, a parent $x$ with noise, cut off at the walls:
#
# $$x' = \mathrm{clip}(x + \sigma z,\ 0,\ 1), \qquad z \sim \mathcal N(0, I).$$
#
# **How large is $\sigma$?** If most children are better than their parents, the steps are too careful; if hardly any is, they are too wild. Rechenberg's **one-fifth rule** (*Evolutionsstrategie*, 1973) makes steps larger if
# more than a fifth of the children succeed, and smaller otherwise. With $s$ the share of the $\lambda$ children that are better than their own parents, in $d$ dimensions:
#
# $$\sigma \leftarrow \sigma \exp\left(\frac{1}{1 + d/(2\lambda)} \cdot \frac{s - 1/5}{1 - 1/5}\right)$$
#
# (adapted from Igel, Hansen and Roth, *Evolutionary Computation* 15, 2007, who smooth $s$ over generations and aim a little below one fifth; more in Hansen, Arnold and Auger's overview *Evolution Strategies*, 2015). The first factor is a damping: few children tell little.
#
# Some trainings diverge. Their loss is NaN, and every comparison with it is false. **Here, NaN is worse than every number.**
#
# ### Exercise 5.5 · An evolution strategy
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **10 points** · NumPy
#
# **Write** four functions; `es` uses the others. Do not modify arguments. Random numbers come from the given generator only, and in the given order.
#
# <details><summary>Hint 1: sorting</summary>
#
# `np.argsort(losses, kind="stable")` keeps equal losses in their order, and puts NaN at the end.
# </details>
#
# <details><summary>Hint 2: who is whose parent</summary>
#
# `parents[np.arange(n_children) % len(parents)]` has a row for each child: its parent. `one_fifth` needs the losses of the same rows.
# </details>
#
# <details><summary>Hint 3: NaN</summary>
#
# Replace NaN by infinity before you compare. Then a child with a number beats a parent with NaN, and no child with NaN beats anything.
# </details>

# %% nbgrader={"grade": false, "grade_id": "evolution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def select(losses: np.ndarray, n_best: int) -> list[int]:
    """The places of the smallest losses, the best first.

    Of equal losses the earlier one is better. Infinity counts as a number, the largest. NaN is worse than every number, so
    also than infinity; of several NaN the earlier one is better.

    Args:
        losses: (n,), n from 1 on.
        n_best: from 1 to n.

    Returns:
        n_best different whole numbers from 0 to n - 1.

    >>> select(np.array([3.0, 1.0, 2.0, 5.0]), 2)
    [1, 2]
    """
    ### BEGIN SOLUTION
    return np.argsort(losses, kind="stable")[:n_best].tolist()
    ### END SOLUTION


def mutate(parents: np.ndarray, sigma: float, n_children: int, generator: np.random.Generator) -> np.ndarray:
    """Children of the parents in turn: child i is parent i mod mu, plus sigma · z, clipped to [0, 1].

    The numbers z are those of one call `generator.standard_normal((n_children, d))`: row i for child i. (Calls for one
    row after another draw the same numbers.) Nothing else is drawn.

    Args:
        parents: (mu, d), in [0, 1].
        sigma: standard deviation of each coordinate, above 0.
        n_children: from 1 on; less than mu, equal or more.

    Returns:
        (n_children, d).
    """
    ### BEGIN SOLUTION
    noise = generator.standard_normal((n_children, parents.shape[1]))
    return np.clip(parents[np.arange(n_children) % len(parents)] + sigma * noise, 0, 1)
    ### END SOLUTION


def one_fifth(sigma: float, parent_losses: np.ndarray, child_losses: np.ndarray, d: int) -> float:
    """The new sigma, by the formula above.

    A child succeeds if its loss is smaller than that of its own parent; an equal one is no success. Any finite number
    succeeds against infinity and against NaN; NaN never succeeds.

    Args:
        parent_losses, child_losses: (n,), n from 1 on: for each child the loss of its own parent, and its own. Both may have
            infinity and NaN, but no child has infinity where its parent has NaN.
        d: the number of dimensions, from 1 on.

    >>> one_fifth(0.1, np.array([2.0, 2.0, 2.0, 2.0, 2.0]), np.array([1.0, 3.0, 3.0, 3.0, 3.0]), 10)
    0.1
    """
    ### BEGIN SOLUTION
    before, after = (np.where(np.isnan(losses), np.inf, losses) for losses in (parent_losses, child_losses))
    share = np.mean(after < before)
    return sigma * math.exp((share - 0.2) / 0.8 / (1 + d / (2 * len(child_losses))))
    ### END SOLUTION


def es(f, start: np.ndarray, sigma: float, n_children: int, budget: int, seed: int) -> dict:
    """Minimises f over [0, 1]^d by a (mu + lambda) evolution strategy, mu = len(start), lambda = n_children.

    It measures the starting points in their order. Then, in each generation, the parents are the mu best of all points measured so far:
    starting points and children of all earlier generations, in the order of their measurement, as `select` sorts them, the best
    first. (In the first generation these are the starting points, sorted.) `mutate` makes the children, which are measured in
    their order; `one_fifth` gives the sigma of the next generation. f is called once for each point, `budget` times in all; so the
    last generation may have fewer children.

    Args:
        f: takes one point, an array (d,), and returns its loss: a float, perhaps NaN, never infinite.
        start: (mu, d), in [0, 1].
        sigma: of the first generation.
        n_children: children in a generation, from 1 on; perhaps fewer than mu.
        budget: more than mu.
        seed: `np.random.default_rng(seed)`, made once, is the generator for all calls of `mutate`.

    Returns:
        "points" (budget, d) and "losses" (budget,), arrays in the order of the calls, and "sigmas", a list of floats, the
        sigma that each generation was made with.

    >>> es(lambda x: float(((x - 0.3) ** 2).sum()), np.full((1, 2), 0.5), 0.1, 5, 200, seed=0)["losses"].min()  # nearly 0
    """
    ### BEGIN SOLUTION
    generator = np.random.default_rng(seed)
    points, losses, sigmas = list(start), [f(x) for x in start], []
    parents, parent_losses = start, np.array(losses)
    while len(losses) < budget:
        best = select(parent_losses, len(start))
        parents, parent_losses = parents[best], parent_losses[best]
        children = mutate(parents, sigma, min(n_children, budget - len(losses)), generator)
        child_losses = np.array([f(x) for x in children])
        points += list(children)
        losses += child_losses.tolist()
        sigmas.append(sigma)
        own_parent = np.arange(len(children)) % len(parents)
        sigma = one_fifth(sigma, parent_losses[own_parent], child_losses, start.shape[1])
        parents, parent_losses = np.vstack([parents, children]), np.concatenate([parent_losses, child_losses])
    return {"points": np.array(points), "losses": np.array(losses), "sigmas": sigmas}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_evolution", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def children_of(parents, sigma, n_children, seed):
    """What mutate returns, the parents afterwards, and the generator's next number."""
    def run(parents, sigma, n_children, seed):
        generator = np.random.default_rng(seed)
        return mutate(parents, sigma, n_children, generator), parents, generator.random()

    return probe(run, parents.copy(), sigma, n_children, seed)


def searched(name, start, sigma, n_children, budget, seed):
    """What es returns for the function of that name, and each point and loss that f was called with, in order; f refuses to be called too often."""
    def run(name, start, sigma, n_children, budget, seed):
        def sphere(x):
            return float(((x - 0.3) ** 2).sum())

        functions = {
            "sphere": sphere,
            "cube of it": lambda x: sphere(x) ** 3,
            "exponential of it": lambda x: math.exp(sphere(x)),
            "corner": lambda x: float(x.sum()),
            "steps": lambda x: float(np.floor(4 * x).sum()),
            "NaN in places": lambda x: math.nan if x[0] > 0.5 else sphere(x),
        }
        calls = []

        def f(x):
            if len(calls) >= budget + 200:
                raise RuntimeError("f is called far more often than the budget allows")
            calls.append((np.array(x, dtype=float), functions[name](x)))
            return calls[-1][1]

        found = es(f, start, sigma, n_children, budget, seed)
        return {key: found[key] for key in ("points", "losses", "sigmas")}, [x for x, _ in calls], [loss for _, loss in calls], start

    return probe(run, name, start.copy(), sigma, n_children, budget, seed)


@check(points=0.5, hint="np.argsort sorts from the smallest; the first n_best of its numbers are the answer.")
def selects_the_smallest():
    """select gives the places of the smallest losses, the best first."""
    for losses, wanted in [([3.0, 1.0, 2.0, 5.0], [1, 2]), ([0.5, -2.0, 0.0, -3.0, 9.0], [3, 1, 2])]:
        found = select(np.array(losses), len(wanted))
        assert list(found) == wanted, f"of the losses {losses} the {len(wanted)} smallest are, best first, at {wanted}; select gives {found}"


@check(points=1, hint="sigma multiplies standard normal numbers, a different one for each coordinate of each child. Then clip.")
def children_are_near_their_parents():
    """Child i is parent i mod mu plus sigma times its row of the generator's numbers, clipped to [0, 1]."""
    parents = np.array([[0.5, 0.5, 0.5], [0.2, 0.6, 1.0]])
    children, _, _ = children_of(parents, 0.05, 5, 7)
    noise = np.random.default_rng(7).standard_normal((5, 3))
    assert np.shape(children) == (5, 3), f"two parents with three coordinates, five children: the shape is {np.shape(children)} instead of (5, 3)"
    assert children.min() >= 0 and children.max() <= 1, "a child is outside of [0, 1]"
    for child in (0, 1, 2):
        found, wanted = children[child, :2], parents[child % 2, :2] + 0.05 * noise[child, :2]  # far from the walls
        assert np.allclose(found, wanted, rtol=0, atol=1e-9), f"the first two coordinates of child {child} are {np.round(found, 4)}; its parent, {parents[child % 2, :2]}, plus 0.05 times {np.round(noise[child, :2], 3)} gives {np.round(wanted, 4)}"


@check(points=1, hint="The share of successes, minus 1/5, divided by 4/5 and by 1 + d / (2 n), is the exponent.")
def keeps_the_step_at_one_fifth():
    """One success in five leaves sigma as it is; more make it larger by the formula, fewer smaller."""
    for n_successes, wanted in [(1, 0.1), (5, 0.1 * math.e ** (1 / 2)), (0, 0.1 * math.e ** (-1 / 8))]:
        found = one_fifth(0.1, np.full(5, 2.0), np.array([1.0] * n_successes + [3.0] * (5 - n_successes)), 10)
        assert found is not None, "one_fifth returns None: is the return missing?"
        assert math.isclose(found, wanted, rel_tol=1e-9), f"sigma 0.1, {n_successes} of 5 children better than their parents, 10 dimensions: {found:.5f} instead of {wanted:.5f}"


@check(points=1, hint="Parents stay among the candidates, sigma follows one_fifth, and the best of all points come first.")
def comes_near_a_minimum():
    """With 400 evaluations, es comes near the minimum of a bowl in ten dimensions, and it uses no more."""
    found, calls, _, _ = searched("sphere", np.full((1, 10), 0.7), 0.2, 5, 400, 0)
    assert len(calls) == 400, f"the budget is 400 evaluations; f was called {len(calls)} times"
    assert np.shape(found["points"]) == (400, 10) and np.shape(found["losses"]) == (400,), f"points have the shape {np.shape(found['points'])} and losses {np.shape(found['losses'])} instead of (400, 10) and (400,)"
    best = float(np.min(found["losses"]))
    assert best < 1e-2, f"the loss at the start is 1.6, its minimum 0; the best found is {best:.2g}, where right answers come below 0.001"


### BEGIN HIDDEN TESTS
from functools import cache


def ranked(losses, n_best):
    """The places of the n best losses, by the docstring's rules."""
    return sorted(range(len(losses)), key=lambda i: (math.isnan(losses[i]), 0 if math.isnan(losses[i]) else losses[i], i))[:n_best]


@check(points=1, hint="A stable sort keeps equal losses in their order, and NaN belongs at the end.")
def selects_among_ties_and_nan():
    """Of equal losses the earlier comes first; NaN comes last, after infinity; any number may be selected, and the losses stay as they are."""
    random = np.random.default_rng(0)
    cases = [np.array([math.nan, 2.0, math.inf, 1.0, 2.0, math.nan, 1.0]), np.full(40, 3.0), np.array([math.nan, math.nan, 0.0]), np.array([math.inf, math.nan, math.inf]), np.array([5.0])]
    cases += [np.where(random.random(50) < 0.3, math.nan, random.integers(0, 6, 50)) for _ in range(3)]
    run = lambda cases: [([list(map(int, select(losses, n))) for n in range(1, len(losses) + 1)], losses) for losses in cases]
    for losses, (found, after) in zip(cases, probe(run, [losses.copy() for losses in cases]), strict=True):
        if not np.array_equal(losses, after, equal_nan=True):
            fail("The losses were modified.")
        kind = "with NaN" if np.isnan(losses).any() else "with equal losses" if len(losses) > 1 else "for a single loss"
        for n, places in enumerate(found, 1):
            if len(places) != n:
                fail("The number of places is wrong.")
            if places != ranked(losses.tolist(), n):
                fail(f"The selection is wrong {kind}.")


@check(points=1, hint="One row of numbers a child, whichever parent it has; fewer children than parents means children of the first parents.")
def children_of_any_number():
    """For any numbers of parents and children, children are as the docstring says, at the walls, too; parents stay, and nothing else is drawn."""
    random = np.random.default_rng(1)
    for mu, d, n_children, sigma in [(1, 1, 1, 0.1), (3, 4, 2, 0.02), (3, 4, 3, 0.02), (3, 2, 10, 0.5), (5, 7, 12, 3.0), (4, 3, 8, 1e-6)]:
        parents = random.random((mu, d))
        children, after, following = children_of(parents, sigma, n_children, mu)
        generator = np.random.default_rng(mu)
        noise = generator.standard_normal((n_children, d))
        case = f"for {mu} parents, {n_children} children and sigma {sigma:g}."
        if np.shape(children) != (n_children, d):
            fail(f"The shape is wrong {case}")
        wanted = np.array([[min(max(parents[i % mu, j] + sigma * noise[i, j], 0.0), 1.0) for j in range(d)] for i in range(n_children)])
        if not np.allclose(children, wanted, rtol=0, atol=1e-7 * min(sigma, 1)):
            fail(f"The children are wrong {case}")
        if not np.array_equal(parents, after):
            fail("The parents were modified.")
        if following != generator.random():
            fail("More or fewer numbers were drawn from the generator than standard_normal((n_children, d)) draws.")


@check(points=1, hint="Strictly smaller than the own parent's loss. Where the parent's is NaN, any number is smaller.")
def one_fifth_of_anything():
    """sigma is right for any number of children and dimensions, with ties, with parents of unequal losses, and with NaN on either side."""
    random = np.random.default_rng(2)
    cases = [(0.3, [2.0], [1.0], 1), (1e-5, [2.0], [2.0], 40), (0.3, [math.nan, 1.0, math.nan, 1.0], [1.0, math.nan, math.nan, 2.0], 3), (0.2, [math.inf, 0.0], [0.0, math.inf], 2)]
    for n, d in [(3, 1), (10, 10), (64, 5), (7, 100)]:
        cases.append((0.1, random.integers(0, 3, n).astype(float), random.integers(0, 3, n).astype(float), d))
    arrays = [(sigma, np.array(before), np.array(after), d) for sigma, before, after, d in cases]
    for (sigma, before, after, d), found in zip(cases, probe(lambda cases: [float(one_fifth(*case)) for case in cases], arrays), strict=True):
        n = len(before)
        successes = sum((not math.isnan(y)) and (math.isnan(x) or y < x) for x, y in zip(before, after, strict=True))
        # (share - 1/5) / (4/5) = (5 successes - n) / (4 n), and 1 / (1 + d / 2n) = 2n / (2n + d)
        wanted = sigma * math.exp((5 * successes - n) / (2 * (2 * n + d)))
        if not math.isclose(found, wanted, rel_tol=1e-9):
            kind = "with NaN" if np.isnan([*before, *after]).any() else "with ties" if any(x == y for x, y in zip(before, after, strict=True)) else "without ties or NaN"
            fail(f"sigma is wrong for {n} children in {d} dimensions, {kind}.")


SEARCHES = [
    ("sphere", 1, 3, 0.2, 4, 41),
    ("sphere", 4, 2, 0.1, 10, 60),
    ("corner", 3, 4, 0.3, 6, 123),
    ("steps", 3, 3, 0.2, 7, 90),
    ("NaN in places", 4, 2, 0.3, 5, 80),
    ("sphere", 5, 3, 0.1, 3, 21),
    ("sphere", 2, 2, 0.1, 8, 6),
]
KINDS = {"sphere": "a bowl", "corner": "a minimum in a corner", "steps": "many equal losses", "NaN in places": "losses of NaN"}


@cache
def search(number):
    name, mu, d, sigma, n_children, budget = SEARCHES[number]
    start = np.random.default_rng(number).random((mu, d))
    return start, *searched(name, start, sigma, n_children, budget, number)


@check(points=1, hint="Starting points count. The last generation has as many children as are left. Parents have been measured already.")
def measures_each_point_once():
    """f is called exactly `budget` times, with the starting points first; the results list its calls in order, and no argument is modified."""
    for number, (_, mu, _, _, _, budget) in enumerate(SEARCHES):
        start, found, calls, losses, after = search(number)
        if len(calls) != budget:
            fail(f"f is called {'more' if len(calls) > budget else 'less'} often than the budget says, for {mu} parents.")
        if not np.array_equal(calls[:mu], start):
            fail("The first points that are measured are not the starting points in their order.")
        if np.shape(found["points"]) != np.shape(calls) or not np.array_equal(found["points"], calls):
            fail('"points" are not the points that f was called with, in the order of the calls.')
        if np.shape(found["losses"]) != np.shape(losses) or not np.array_equal(found["losses"], losses, equal_nan=True):
            fail('"losses" are not what f returned, in the order of the calls.')
        if not np.array_equal(start, after):
            fail("The starting points were modified.")


def generations(number):
    """For each generation: its place among the calls, its number of children, and the places of its parents."""
    _, mu, _, _, n_children, budget = SEARCHES[number]
    losses = search(number)[3]
    for first in range(mu, min(budget, len(losses)), n_children):
        yield first, min(n_children, budget - first), ranked(losses[:first], mu)


@check(points=1.5, hint="Parents compete with their children, and may live for ever. One generator for the whole search; the best parent has the first child.")
def children_of_the_best_so_far():
    """In each generation the children are those of the mu best points measured so far, the best first."""
    for number, (name, mu, d, *_) in enumerate(SEARCHES):
        _, found, calls, _, _ = search(number)
        generator = np.random.default_rng(number)
        for generation, (first, n, parents) in enumerate(generations(number)):
            noise = generator.standard_normal((n, d))
            if generation >= len(found["sigmas"]):
                fail('"sigmas" has too few numbers.')
            wanted = [np.clip(calls[parents[i % mu]] + found["sigmas"][generation] * noise[i], 0, 1) for i in range(n)]
            if len(calls) < first + n or not np.allclose(calls[first : first + n], wanted, rtol=0, atol=1e-9):
                fail(f"The children of generation {generation + 1} are wrong, with {mu} parent{'s' if mu > 1 else ''} and {KINDS[name]}.")


@check(points=0.5, hint="Append sigma before it is changed; compare each child with its own parent, not with the best.")
def steps_follow_the_rule():
    """The sigma of the first generation is the given one; from one generation to the next it follows the one-fifth rule."""
    for number, (name, mu, d, sigma, *_) in enumerate(SEARCHES):
        _, found, _, losses, _ = search(number)
        wanted = [sigma]
        for first, n, parents in generations(number):
            better = 0
            for i in range(n):
                before, after = losses[parents[i % mu]], losses[first + i]
                better += not math.isnan(after) and (math.isnan(before) or after < before)
            wanted.append(wanted[-1] * math.exp((5 * better - n) / (2 * (2 * n + d))))
        if len(found["sigmas"]) != len(wanted) - 1:
            fail('"sigmas" does not have one number for each generation.')
        if not np.allclose(found["sigmas"], wanted[:-1], rtol=1e-9, atol=0):
            fail(f"The sigmas are wrong, with {mu} parent{'s' if mu > 1 else ''} and {KINDS[name]}.")


@check(points=0.5, hint="Use losses only to sort and to compare.")
def only_ranks_matter():
    """An increasing function of the losses does not change a single point, bit for bit."""
    start = np.random.default_rng(5).random((3, 4))
    plain, cubed, exponential = (searched(name, start, 0.2, 6, 80, 3)[0]["points"] for name in ("sphere", "cube of it", "exponential of it"))
    if len(plain) < 80 or not np.array_equal(plain, cubed) or not np.array_equal(plain, exponential):
        fail("The cube or the exponential of the losses leads to different points.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### A population at work
#
# On the left, your search in a narrow valley, as two settings make one that can partly replace each other. On the right, a bowl in ten dimensions: your search, the same with a $\sigma$ that stays, and random
# search. **Predict:** where will the search with the fixed $\sigma$ get stuck?

# %% tags=["demo", "raises-exception"]
def draw_population(sigma=0.2, n_parents=2, n_children=10, seeds=range(10)):
    def valley(x):
        along, across = (x[0] + x[1] - 1.1) / math.sqrt(2), (x[0] - x[1] - 0.1) / math.sqrt(2)
        return float((along / 0.5) ** 2 + (across / 0.06) ** 2)

    def bowl(x):
        return float(((x - 0.3) ** 2).sum())

    def with_fixed_step(f, start, budget, seed):
        generator, parents = np.random.default_rng(seed), start
        losses = found = np.array([f(x) for x in start])
        while len(found) < budget:
            best = select(losses, len(start))
            children = mutate(parents[best], sigma, n_children, generator)
            after = np.array([f(x) for x in children])
            parents, losses, found = np.vstack([parents[best], children]), np.concatenate([losses[best], after]), np.concatenate([found, after])
        return found[:budget]

    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.7), width_ratios=(1, 1.35))
    start = np.random.default_rng(3).uniform(0, 0.3, (n_parents, 2))
    search = es(valley, start, sigma, n_children, 182, seed=1)
    grid = np.linspace(0, 1, 101)
    heights = [[math.sqrt(valley((x, y))) for x in grid] for y in grid]
    axes[0].contour(grid, grid, heights, levels=[0.3, 1, 2, 4, 6, 8, 10], colors="0.8", linewidths=0.8)
    for number, generation in enumerate((0, 2, 5, 17)):
        first = n_parents + n_children * generation
        axes[0].plot(*search["points"][first : first + n_children].T, "o", ms=5, color=f"C{number}", alpha=0.85, label=f"{generation + 1}: {search['sigmas'][generation]:.2g}")
    axes[0].plot(*start.T, "x", color="black", ms=7, label="start")
    axes[0].set(aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="first setting", ylabel="second setting", title="Children of four generations")
    axes[0].legend(title="generation: σ", fontsize=8.5, title_fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    curves = {"your search": [], "σ stays": [], "random": []}
    for seed in seeds:
        start = np.random.default_rng(1000 + seed).random((n_parents, 10))
        curves["your search"].append(es(bowl, start, sigma, n_children, 600, seed)["losses"])
        curves["σ stays"].append(with_fixed_step(bowl, start, 600, seed))
        curves["random"].append([bowl(x) for x in np.random.default_rng(seed).random((600, 10))])
    for (name, runs), colour in zip(curves.items(), ("C0", "C1", "0.5"), strict=True):
        best = np.minimum.accumulate(runs, axis=1)
        axes[1].plot(np.arange(1, 601), np.median(best, axis=0), color=colour, label=name)
        axes[1].fill_between(np.arange(1, 601), best.min(0), best.max(0), color=colour, alpha=0.2, lw=0)
    axes[1].set(yscale="log", xlabel="evaluations", title=f"A bowl: best loss (median, range of {len(seeds)})")
    axes[1].legend(fontsize=9, loc="lower left")
    plt.show()


try:
    draw_population()
except NotImplementedError:
    print("This figure needs your functions of exercise 5.5.")

# %% [markdown]
# On the left, $\sigma$ first grows and then shrinks as the children close in on $(0.6, 0.5)$. On the right, the loss of your search falls by a similar factor in every hundred evaluations, in all ten
# searches. With the fixed $\sigma$ it is as good at first, and then stops near 0.08, at a distance of 0.28: a step of $\sigma = 0.2$ in ten coordinates has a length of about 0.6, and hardly ever ends
# nearer to the minimum.
#
# The clouds of children are round, the valley is not. **CMA-ES** also learns its direction (see the overview).
#
# ### Does it find the global optimum?
#
# It is often said that evolutionary methods do. Here are two wells: a wide one of depth 0.6, and a narrow one of depth 1. **Predict:** in how many of 50 searches does yours end in the deep one; and random search?

# %% tags=["demo", "raises-exception"]
def draw_two_wells(n_parents=2, n_children=10, sigma=0.2, budget=300, n_runs=50):
    shallow, deep = np.array([0.3, 0.3]), np.array([0.75, 0.75])

    def wells(x):
        return -0.6 * np.exp(-((x - shallow) ** 2).sum(-1) / 0.08) - np.exp(-((x - deep) ** 2).sum(-1) / 0.0032)

    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.5), width_ratios=(1, 1.5))
    curves = {"your search": [], "random": []}
    for seed in range(n_runs):
        start = np.random.default_rng(1000 + seed).random((n_parents, 2))
        search = es(wells, start, sigma, n_children, budget, seed)
        curves["your search"].append(search["losses"])
        curves["random"].append([wells(x) for x in np.random.default_rng(seed).random((budget, 2))])
        x, y = search["points"][search["losses"].argmin()]
        axes[0].plot([start[0, 0], x], [start[0, 1], y], color="C0" if search["losses"].min() < -0.6 else "C1", lw=0.7, marker="o", ms=4, markevery=[1])
    grid = np.linspace(0, 1, 201)
    axes[0].contour(grid, grid, wells(np.stack(np.meshgrid(grid, grid), axis=-1)), levels=[-0.55, -0.4, -0.25, -0.1], colors="0.75", linewidths=0.8, linestyles="-")
    for centre, name in (((0.3, 0.08), "wide"), ((0.75, 0.88), "deep, narrow")):
        axes[0].text(*centre, name, ha="center", fontsize=9, zorder=5, bbox=dict(facecolor="white", edgecolor="none", pad=1.5))
    axes[0].set(aspect="equal", xlim=(0, 1), ylim=(0, 1), title="From a start to the best point")
    for (name, runs), colour in zip(curves.items(), ("C0", "0.5"), strict=True):
        axes[1].plot(np.arange(1, budget + 1), np.mean(np.minimum.accumulate(runs, axis=1) < -0.6, axis=0), color=colour, label=name)
    axes[1].set(xlabel="evaluations", ylim=(0, 1), title="Share of searches that have seen the deep well")
    axes[1].legend(fontsize=9, loc="upper left")
    plt.show()


try:
    draw_two_wells()
except NotImplementedError:
    print("This figure needs your functions of exercise 5.5.")

# %% [markdown]
# Lines are coloured by where they end. Your search finds the deep well in 6 of 50 cases, random search in 37. It follows what it has seen, and its steps shrink. Random search learns nothing, and so it cannot be trapped.
#
# "It finds the global optimum" is true in one sense only. If $\sigma$ never falls below a fixed size, a child may land anywhere, so in *unlimited* time every region is visited. Random search keeps that promise, too. For a finite budget there is none, unless
# something is known about $f$. And where steps adapt themselves, a search may stay in the wrong well *for ever*, with a probability above zero (Rudolph, *IEEE Transactions on Evolutionary Computation* 5, 2001).
#
# One more trap: losses of trainings are noisy. A parent that was lucky once is never measured again, and stays (section 5.7).
#
# ### How many generations does the budget buy?
#
# Libraries hide the population. In optuna, `NSGAIISampler` is a genetic algorithm for one loss or several. **Predict:** in a study of 40 trials, how many differ from those of random search with the same seed?

# %% tags=["demo", "shown"]
def compare_samplers(population_size=50, n_trials=60, seed=0):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def tried(sampler):
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: sum((trial.suggest_float(f"x{i}", 0, 1) - 0.3) ** 2 for i in range(3)), n_trials=n_trials)
        return [trial.params for trial in study.trials]

    genetic = tried(optuna.samplers.NSGAIISampler(seed=seed, population_size=population_size))
    random = tried(optuna.samplers.RandomSampler(seed=seed))
    print("the first trial that differs:", next(i for i in range(n_trials) if genetic[i] != random[i]))


compare_samplers()

# %% [markdown]
# The population is 50 by default (`population_size`, still so in optuna 5.0), and the first one is drawn at random. So 40 trials of this "evolution" *are* random search, number for number. With `population_size=10` they part after the first ten or eleven (two seeds). Ask it of every
# evolutionary tool: how many generations is my budget?
#
# **Change, predict, run.** `draw_two_wells(n_parents=20)` begins with twenty points instead of two. Will it catch up with random search?
#
# <details><summary>What you should see</summary>
#
# No: 12 of 50 instead of 6. In the first hundred evaluations it is about as good as random search, or better. Then, in the other searches, only parents in the wide well are left.
# </details>
