# %% [markdown]
# ## 8.1 A fair share for each feature
#
# A model says 1 if a customer has a steady job *and* no debt, and 0 otherwise. Ana has both, so it says 1. What does each contribute? Take one away, and the prediction falls by 1: so each is worth 1, and both 2. Give one to somebody who has neither, and nothing happens: so each is worth 0. **Predict:** which numbers would you publish?
#
# Shapley (1953) lets the players of a game come in one after the other, asks what each one adds, and takes the mean over all orders: one half each, here. With $v(S)$ for the value of a **coalition** $S$, a set of some of the $d$ features, this is
#
# $$\phi_j = \sum_{S \not\ni j} \frac{|S|!\,(d - 1 - |S|)!}{d!}\,\big(v(S \cup \{j\}) - v(S)\big).$$
#
# No other rule keeps all four of these promises. *Efficiency*: the shares add up to $v(\text{all}) - v(\emptyset)$. *Symmetry*: two features that add the same to every coalition get the same. *Dummy*: a feature that adds nothing to any coalition gets 0. *Additivity*: the shares of $u + v$ are those of $u$ plus those of $v$.
#
# ### What is the value of a few features?
#
# The model needs all its inputs. So the others are taken from the rows $b_1, \dots, b_n$ of a **background**, and the predictions averaged (Lundberg and Lee, arXiv:1705.07874):
#
# $$v(S) = \frac1n \sum_{i=1}^n f(x_S,\; b_{i, \text{not } S}).$$
#
# Then $v(\text{all}) = f(x)$, and $v(\emptyset)$ is the mean prediction of the background, $\mathbb E f$. **SHAP values share out $f(x) - \mathbb E f$ among the features.**
#
# For a linear model, the mean of the predictions is the prediction at the background's mean. For a curved one, in general it is not.
#
# ### By regression
#
# There are $2^d$ coalitions: with 30 features, a billion. But $\phi$ also solves a regression: minimise
#
# $$\sum_S w(|S|)\,\Big(v(S) - v(\emptyset) - \sum_{j \in S} \phi_j\Big)^2 \quad\text{with}\quad \sum_j \phi_j = v(\text{all}) - v(\emptyset), \qquad w(s) = \frac{d - 1}{\binom{d}{s}\, s\, (d - s)},$$
#
# over all $S$ but the empty and the full one, whose weight would be infinite: the constraint stands for them. This is KernelSHAP. A few hundred coalitions do, too, if they are *drawn* with probabilities in proportion to their weights, and then all count the same.

# %% nbgrader={"grade": false, "grade_id": "setup_shapley", "locked": true, "schema_version": 3, "solution": false, "task": false}
def all_coalitions(d: int) -> np.ndarray:
    """All 2^d sets of d features, as rows of bool: row k holds feature j if bit j of the number k is 1.

    >>> all_coalitions(2)
    array([[False, False],
           [ True, False],
           [False,  True],
           [ True,  True]])
    """
    return (np.arange(2**d)[:, None] >> np.arange(d)) % 2 == 1

# %% [markdown]
# ### Exercise 8.1 · A fair share for each feature
#
# > **Difficulty** ★★★☆ · **60 minutes** · **11 points** · NumPy
#
# **Write** four functions.
#
# <details><summary>Hint 1: all rows at once</summary>
#
# `np.where(coalitions[:, None], x, background)` has the shape (m, n, d).
# </details>
#
# <details><summary>Hint 2: coalitions are numbers</summary>
#
# Adding feature j to coalition number k, which does not have it, gives number k + 2**j.
# </details>
#
# <details><summary>Hint 3: the constraint</summary>
#
# Replace $\phi_d$ by total - base - (the other φ) in each row. A least-squares problem without a constraint is left; multiply its rows and targets by the *root* of their weight, then `np.linalg.lstsq`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "shapley", "locked": false, "schema_version": 3, "solution": true, "task": false}
def value_function(predict, x: np.ndarray, background: np.ndarray, coalitions: np.ndarray) -> np.ndarray:
    """The mean prediction if only the features of a coalition are those of x, and the others are the background's.

    Args:
        predict: a function of an array (rows, d) that returns an array (rows,) of finite numbers, and leaves its rows as they are. In one
            call or in many, it may be asked for at most len(coalitions) * len(background) rows in all.
        x: (d,), what is explained.
        background: (n, d), n from 1 on; rows may be equal. Either of the two may have whole numbers as its type, and the other not.
        coalitions: (m, d), bool, m from 1 on: which features are in each coalition. In any order; not always all of them.

    Returns:
        (m,), float: for each coalition, the mean over all n rows of the background. No argument is modified.

    >>> value_function(lambda rows: rows[:, 0] * rows[:, 1], np.array([3, 5]), np.array([[1, 2], [2, 0]]), all_coalitions(2))
    array([ 1. ,  3. ,  7.5, 15. ])
    """
    ### BEGIN SOLUTION
    rows = np.where(coalitions[:, None], x, background)
    return predict(rows.reshape(-1, rows.shape[-1])).reshape(rows.shape[:2]).mean(axis=1)
    ### END SOLUTION


def shapley(values: np.ndarray) -> np.ndarray:
    """The Shapley values, exactly.

    Args:
        values: (2^d,), the value of each coalition in the order of `all_coalitions(d)`. d is from 1 to 12, and 12 features
            must not take more than two seconds. Maybe a list, or of whole numbers.

    Returns:
        (d,), float; the error is at most 1e-10 times the largest of |values|. The argument is not modified.

    Raises:
        ValueError: the number of values is not 2, 4, 8, ...

    >>> shapley([0, 0, 0, 1])
    array([0.5, 0.5])
    """
    ### BEGIN SOLUTION
    values = np.asarray(values, dtype=float)
    d = len(values).bit_length() - 1
    if d < 1 or len(values) != 2**d:
        raise ValueError("the number of values has to be a power of two, from 2 on")
    numbers, sizes = np.arange(2**d), all_coalitions(d).sum(axis=1)
    share = np.array([1 / (d * math.comb(d - 1, size)) for size in range(d)])
    found = np.zeros(d)
    for j in range(d):
        without = numbers[numbers >> j & 1 == 0]
        found[j] = share[sizes[without]] @ (values[without + 2**j] - values[without])
    return found
    ### END SOLUTION


def kernel_weights(d: int) -> np.ndarray:
    """The weight of one coalition in the regression, by its size.

    Args:
        d: the number of features, from 1 to 100.

    Returns:
        (d + 1,), float: entry s is the weight of a coalition with s features, with a relative error of at most 1e-9. The first
        and the last are infinite.

    >>> kernel_weights(3)
    array([       inf, 0.33333333, 0.33333333,        inf])
    >>> kernel_weights(1)
    array([inf, inf])
    """
    ### BEGIN SOLUTION
    inner = [(d - 1) / (math.comb(d, s) * s * (d - s)) for s in range(1, d)]
    return np.array([math.inf, *inner, math.inf])
    ### END SOLUTION


def kernel_shap(coalitions: np.ndarray, values: np.ndarray, weights: np.ndarray, base: float, total: float) -> np.ndarray:
    """The φ with the smallest weighted sum of squares Σ w (v - base - Σ_{j in S} φ_j)², among those with Σ φ_j = total - base.

    Args:
        coalitions: (m, d), bool; a coalition may occur several times, and counts each time. If there is one without features or
            with all of them, its row has no influence, whatever its value and its weight are (also inf or NaN). For two
            features or more, the other coalitions with a weight above 0 determine φ. For one, φ is [total - base].
        values: (m,), float, the value v of each coalition.
        weights: (m,), float, its weight w, 0 or more; a row of weight 0 does not count. Multiplying all weights by a positive number does not change φ.
        base, total: the values of no features and of all features.

    Returns:
        (d,), float; the error, and that of their sum, is at most 1e-9 plus 1e-6 times the largest |φ_j|.
        No argument is modified.

    >>> kernel_shap(np.array([[True, False], [False, True]]), np.array([0.0, 0.0]), np.array([1.0, 1.0]), base=0.0, total=1.0)
    array([0.5, 0.5])
    """
    ### BEGIN SOLUTION
    inner = coalitions.any(axis=1) & ~coalitions.all(axis=1)
    Z, roots = coalitions[inner].astype(float), np.sqrt(weights[inner])
    # The last feature gets what the others leave, so the constraint holds whatever they get.
    design = (Z[:, :-1] - Z[:, -1:]) * roots[:, None]
    target = (values[inner] - base - Z[:, -1] * (total - base)) * roots
    others = np.linalg.lstsq(design, target)[0]
    return np.append(others, total - base - others.sum())
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test_shapley", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=0.75, hint="A feature in the coalition has x's value in every row, any other feature the value of each background row in turn. Then the mean of the predictions.")
def value_by_hand():
    """By hand: for a product of two features, x = (3, 5) and a background of (1, 2) and (2, 0), the values are 1, 3, 7.5 and 15."""
    product = lambda rows: rows[:, 0] * rows[:, 1]
    found = probe(lambda: np.asarray(value_function(product, np.array([3, 5]), np.array([[1, 2], [2, 0]]), all_coalitions(2))))
    assert found.shape == (4,), f"shape {found.shape} instead of (4,)"
    assert np.allclose(found, [1, 3, 7.5, 15], atol=1e-9), f"{found.tolist()} instead of [1, 3, 7.5, 15]"


@check(points=0.75, hint="In which of the six orders does a feature add something, and how much? φ is the mean.")
def shapley_by_hand():
    """By hand: of three features, the first two together are worth 12, alone nothing; the third adds 5; and all three together are worth 6 more."""
    found = np.asarray(shapley([0, 0, 0, 12, 5, 5, 5, 23]), dtype=float)
    assert found.shape == (3,), f"shape {found.shape} instead of (3,)"
    assert np.allclose(found, [8, 8, 7], atol=1e-9), f"{found.tolist()} instead of [8, 8, 7]"


@check(points=0.5, hint="(d - 1) divided by the number of coalitions of this size, by s and by d - s.")
def weights_by_hand():
    """By hand: with five features, a coalition of two or three counts a third of one of one or four."""
    found = np.asarray(kernel_weights(5), dtype=float)
    assert found.shape == (6,), f"shape {found.shape} instead of (6,)"
    assert np.allclose(found[1:5], [1 / 5, 1 / 15, 1 / 15, 1 / 5]), f"{found[1:5].tolist()} instead of [1/5, 1/15, 1/15, 1/5]"
    assert np.isposinf(found[[0, 5]]).all(), "the first and the last weight have to be infinite"


@check(points=0.75, hint="Without the constraint the sum would be wrong. Put φ_d = total - base - (the others) into the sum of squares, and rearrange.")
def regression_by_hand():
    """By hand: two features, each worth as much as none, with the weights 1 and 3. Both together add 4: φ = [3, 1] minimises φ₁² + 3 φ₂²."""
    found = np.asarray(kernel_shap(np.eye(2, dtype=bool), np.array([2.0, 2.0]), np.array([1.0, 3.0]), base=2.0, total=6.0), dtype=float)
    assert found.shape == (2,), f"shape {found.shape} instead of (2,)"
    assert np.allclose(found, [3, 1], atol=1e-4), f"{np.round(found, 4).tolist()} instead of [3, 1]"


### BEGIN HIDDEN TESTS
import copy
import itertools
from fractions import Fraction


def random_net(generator, d, width=7):
    """A network with tanh, as plain data: no two coalitions of its inputs add up."""
    return generator.normal(size=(width, d)) * 1.3, generator.normal(size=width), generator.normal(size=width)


def net_predict(net, rows):
    inner, shift, outer = net
    return np.tanh(np.asarray(rows, dtype=float) @ inner.T + shift) @ outer


def valued(cases):
    """value_function's answers for (net, x, background, coalitions), the rows that it asked for, and its arguments afterwards."""
    def run(cases):
        answers = []
        for net, x, background, coalitions in cases:
            asked = []

            def predict(rows, net=net, asked=asked):
                asked.append(np.array(rows, dtype=float))
                return np.tanh(np.asarray(rows, dtype=float) @ net[0].T + net[1]) @ net[2]

            found = np.asarray(value_function(predict, x, background, coalitions))
            answers.append((found, sum(map(len, asked)), [x, background, coalitions]))
        return answers

    copies = [tuple(np.array(one) if isinstance(one, np.ndarray) else one for one in case) for case in cases]
    return zip(cases, probe(run, copies), strict=True)


def value_oracle(net, x, background, coalition):
    """One row at a time, one feature at a time."""
    rows = [[float(x[j]) if coalition[j] else float(row[j]) for j in range(len(x))] for row in background]
    return sum(net_predict(net, [row])[0] for row in rows) / len(rows)


@check(points=1.25, hint="The mean of the predictions, not the prediction of the mean. Each coalition meets every row of the background.")
def values_agree_with_a_loop():
    """On a network with tanh, each value is the mean prediction over all rows of the background, for coalitions in any order."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for d, n, m in ((3, 4, None), (4, 1, None), (5, 9, 6), (2, 150, None), (6, 5, 1), (4, 4, 4), (1, 3, None)):
        every = all_coalitions(d)
        chosen = every if m is None else every[generator.choice(np.arange(1, 2**d - 1), m)]
        background = generator.normal(size=(n, d)) - 0.5
        background[n // 2 :] = background[n // 2]  # equal rows count, too
        cases.append((random_net(generator, d), generator.normal(size=d) + 1, background, chosen))
    for (net, x, background, coalitions), (found, _, _) in valued(cases):
        if found.shape != (len(coalitions),):
            fail(f"The answer for {len(coalitions)} coalitions has the shape {found.shape}.")
        if not np.allclose(found, [value_oracle(net, x, background, one) for one in coalitions], atol=1e-6):
            fail(f"Wrong for {len(coalitions)} coalitions of {len(x)} features and a background of {len(background)} rows.")


@check(points=0.75, hint="Features outside the coalition come from the same row of the background together, and do not depend on x.")
def ignores_what_the_model_ignores():
    """A feature that the model does not use changes no value, though it is equal to another one in the whole background."""
    generator = np.random.default_rng(np.random.randint(2**31))
    inner, shift, outer = random_net(generator, 4)
    inner[:, 3] = 0
    background = generator.normal(size=(30, 4))
    background[:, 3] = background[:, 0]
    x = np.r_[background[3, :3] + 0.3, background[3, 0] + 0.3]
    ((_, _, _, coalitions), (found, _, _)), = valued([((inner, shift, outer), x, background, all_coalitions(4))])
    if found.shape == (16,) and not np.allclose(found[8:], found[:8], atol=1e-9):
        fail("Adding a feature that the model never reads has changed a value.")
    if not np.allclose(found, [value_oracle((inner, shift, outer), x, background, one) for one in coalitions], atol=1e-6):
        fail("Wrong where two features are equal in the background.")


@check(points=0.5, hint="An array of whole numbers cuts off the decimals of what is written into it. Ask predict for each combination once.")
def values_at_the_edges():
    """Whole numbers and decimals may be mixed, predict is not asked for too many rows, and no argument is modified."""
    generator = np.random.default_rng(np.random.randint(2**31))
    net, whole, broken = random_net(generator, 3), generator.integers(-2, 3, (6, 3)), generator.normal(size=(6, 3))
    cases = [(net, broken[0], whole, all_coalitions(3)), (net, whole[0], broken, all_coalitions(3)), (net, whole[1], whole[2:], all_coalitions(3)[::-1])]
    cases.append((net, broken[0], broken * 1e13, all_coalitions(3)))  # x + (b - x) is not b here
    for case, (found, rows, after) in valued(cases):
        if not np.allclose(found, [value_oracle(*case[:3], one) for one in case[3]], atol=1e-6):
            fail("Wrong where the background's numbers are large." if np.abs(case[2]).max() > 1e6 else "Wrong where x or the background has whole numbers.")
        if rows > len(case[2]) * len(case[3]):
            fail("predict was asked for more than one row per coalition and row of the background.")
        if not all(np.array_equal(one, other) for one, other in zip(case[1:], after, strict=True)):
            fail("An argument was modified.")


def shapley_oracle(values):
    """Every order of the features, in fractions: what each adds to those before it."""
    values = [Fraction(value) for value in values]
    d = len(values).bit_length() - 1
    found = [Fraction(0)] * d
    for order in itertools.permutations(range(d)):
        before = 0
        for j in order:
            found[j] += values[before | 1 << j] - values[before]
            before |= 1 << j
    return [float(one / math.factorial(d)) for one in found]


@check(points=1.5, hint="A coalition S of s of the other features has the weight s! (d - 1 - s)! / d!. Unsigned numbers have no differences below 0.")
def shapley_agrees_with_every_order():
    """For random values of one to six features, φ is the mean over all orders of what a feature adds."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [generator.integers(-20, 21, 2**d) / 4 for d in (1, 2, 3, 4, 5, 6)]
    cases += [[0.25, -1.5, 3, 7], [3, 10], list(range(8)), generator.integers(0, 200, 16).astype(np.uint8), np.full(8, 2.5), np.r_[generator.integers(0, 9, 8) + 1e6], generator.normal(size=16) * 1e-6]
    for case, (found, after) in zip(cases, probe(lambda cases: [(np.asarray(shapley(one), dtype=float), one) for one in cases], copy.deepcopy(cases)), strict=True):
        if not np.array_equal(case, after):
            fail("The argument was modified.")
        truth = shapley_oracle(np.asarray(case).tolist())
        if found.shape != (len(truth),):
            fail(f"The answer for {len(case)} values has the shape {found.shape}.")
        if not np.allclose(found, truth, rtol=0, atol=1e-10 * np.abs(case).max()):
            fail(f"Wrong for {len(truth)} feature{'s' * (len(truth) > 1)}.")


@check(points=0.75, hint="12 features have 479 million orders, but only 4,096 coalitions. Ask for the power of two before you compute.")
def shapley_of_twelve():
    """Twelve features take at most two seconds of processor time, and a number of values that is no power of two raises ValueError."""
    import time

    # A sum of games in each of which only one set T counts, with all of its features: each game shares its weight out evenly in T.
    generator = np.random.default_rng(np.random.randint(2**31))
    numbers, truth, values = np.arange(2**12), np.zeros(12), np.zeros(2**12)
    for _ in range(40):
        members, weight = generator.integers(1, 2**12), generator.normal()
        values += weight * (numbers & members == members)
        truth += weight * (members >> np.arange(12) & 1) / int(members).bit_count()

    def run(values):
        start = time.process_time()
        found = np.asarray(shapley(values), dtype=float)
        refused = []
        for length in (0, 1, 3, 6, 12, 15):
            try:
                shapley([1.0] * length)
                refused.append(False)
            except ValueError:
                refused.append(True)
        return found, time.process_time() - start, refused

    found, seconds, refused = probe(run, values)
    if found.shape != (12,) or not np.allclose(found, truth, rtol=0, atol=1e-9):
        fail("Wrong for twelve features.")
    if seconds > 2.5:
        fail("Twelve features took more than two seconds.")
    if not all(refused):
        fail("A number of values that is not 2, 4, 8, ... has to raise ValueError.")


@check(points=1, hint="Whole numbers of NumPy overflow at large d; Python's do not. For d = 1 there are only the two ends.")
def weights_agree_with_fractions():
    """For up to 100 features, the weights are those of the formula, and infinite at both ends."""
    cases = [1, 2, 3, 5, 8, 20, 33, 64, 71, 100]
    for d, found in zip(cases, probe(lambda cases: [np.asarray(kernel_weights(case), dtype=float) for case in cases], cases), strict=True):
        truth = [float(Fraction(d - 1, s * (d - s)) * Fraction(math.factorial(s) * math.factorial(d - s), math.factorial(d))) for s in range(1, d)]
        if found.shape != (d + 1,):
            fail(f"The answer for d = {d} has the shape {found.shape}.")
        if not np.isposinf(found[[0, -1]]).all():
            fail("The first and the last weight have to be infinite.")
        if not np.allclose(found[1:-1], truth, rtol=1e-8, atol=0):
            fail(f"Wrong for d = {d}.")


def regressed(cases):
    """kernel_shap's answers, after a look at whether its arguments are as they were."""
    def run(cases):
        return [(np.asarray(kernel_shap(*case), dtype=float), case) for case in cases]

    copies = [tuple(np.array(one) if isinstance(one, np.ndarray) else one for one in case) for case in cases]
    for case, (found, after) in zip(cases, probe(run, copies), strict=True):
        if not all(np.array_equal(one, other, equal_nan=np.asarray(one).dtype.kind == "f") for one, other in zip(case, after, strict=True)):
            fail("An argument was modified.")
        if found.shape != case[0].shape[1:]:
            fail(f"The answer for {case[0].shape[1]} features has the shape {found.shape}.")
        yield case, found


def lagrange(coalitions, values, weights, base, total):
    """The same minimum from its conditions: a square system with a multiplier for the constraint."""
    inner = (coalitions.sum(axis=1) % coalitions.shape[1]) > 0
    Z, w = coalitions[inner].astype(float), weights[inner] / weights[inner].sum()
    d = Z.shape[1]
    system = np.ones((d + 1, d + 1))
    system[:d, :d], system[d, d] = (Z.T * w) @ Z, 0
    return np.linalg.solve(system, np.r_[(Z.T * w) @ (values[inner] - base), total - base])[:d]


@check(points=1.25, hint="Weights, constraint and base: the weight multiplies the squared error, so its root multiplies row and target.")
def regression_on_all_coalitions():
    """With the Shapley kernel and all coalitions, the regression gives the mean over all orders, for games that do not add up."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for d in (2, 3, 4, 5, 6):
        values, every = generator.integers(-20, 21, 2**d) / 4 + 3.0, all_coalitions(d)
        weights = np.array([0 if s in (0, d) else (d - 1) / (math.comb(d, s) * s * (d - s)) for s in every.sum(axis=1)])
        order = generator.permutation(np.arange(1, 2**d - 1))
        cases.append((every[order], values[order], weights[order], values[0], values[-1]))
    for case, found in regressed(cases):
        values = np.r_[case[3], np.zeros(2 ** len(found) - 2), case[4]]
        values[case[0] @ 2 ** np.arange(len(found))] = case[1]
        truth = np.array(shapley_oracle(values.tolist()))
        if abs(found.sum() - (case[4] - case[3])) > 1e-6 * (1 + np.abs(truth).max()):
            fail("The sum is not total - base.")
        if not np.allclose(found, truth, rtol=0, atol=1e-6 * (1 + np.abs(truth).max())):
            fail(f"Wrong for all coalitions of {len(found)} features.")


@check(points=1.25, hint="Leave out the rows without features and with all of them before you multiply. Try one feature, and weights of 1e-9 and 1e9.")
def regression_on_some_coalitions():
    """Drawn coalitions count as often as they occur, rows at the two ends not at all, the scale of the weights does not matter, and d may be 1."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for d, m, scale in ((4, 30, 1.0), (5, 60, 1e-9), (6, 60, 1e9), (3, 25, 1.0), (9, 200, 1.0)):
        numbers = generator.integers(1, 2**d - 1, m)
        coalitions = np.r_[all_coalitions(d)[numbers], all_coalitions(d)[numbers[:5]], all_coalitions(d)[1 : 2**d - 1 : 3], np.eye(d, dtype=bool)]
        weights = scale * generator.uniform(0.2, 2, len(coalitions))
        weights[:2] = 0
        cases.append((coalitions, generator.normal(size=len(coalitions)) * 3 + 10, weights, 10.5, 12.0))
    # The first two features differ in one row only, whose weight is small: it alone decides between them.
    together = all_coalitions(4)[[1, 4, 5, 8, 9, 12]][:, [0, 0, 2, 3]]
    cases.append((np.r_[together, [[True, False, False, True]]], generator.normal(size=7) + 1000, np.r_[generator.uniform(0.5, 1, 6), 1e-5], 1000.5, 1002.0))
    for value, weight in ((1e3, 7.0), (math.nan, math.inf), (-4.0, math.nan), (math.inf, 1.0)):
        coalitions, values, weights, base, total = cases[len(cases) % 4]
        ends = np.stack([np.zeros(coalitions.shape[1], bool), np.ones(coalitions.shape[1], bool)])
        cases.append((np.r_[ends[:1], coalitions, ends[1:]], np.r_[value, values, value], np.r_[weight, weights, weight], base, total))
    for case, found in regressed(cases):
        truth = lagrange(*case)
        if not np.allclose(found, truth, rtol=0, atol=1e-6 * np.abs(truth).max()):
            fail("Wrong where coalitions without features, or with all of them, are among the rows." if case[0].all(axis=1).any() else "Wrong for coalitions with other weights than the Shapley kernel's.")
    one = (np.array([[False], [True]]), np.array([1.5, 4.0]), np.array([math.inf, math.inf]), 1.5, 4.0)
    for _, found in regressed([one]):
        if not np.allclose(found, [2.5], rtol=0, atol=1e-6):
            fail("Wrong for one feature.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# A model for credit, written by hand: income, debt, late payments and years in a job count, and the district does not. But rich people live in rich districts. **Middle:** one customer against two backgrounds, and with another $v$: the *conditional* mean $\mathbb E[f \mid x_S]$, which fills in only what goes together with $x_S$. **Right:** the error of KernelSHAP, the median of 20 networks. **Predict:** which feature gets a share although the model never reads it?

# %% tags=["demo"]
CUSTOMER_FEATURES = ["income", "debt", "late payments", "years in job", "district"]
CUSTOMER = np.array([-0.8, 1.0, 1.2, 0.6, -1.5])


def customer_covariance():
    """Of five features in standard deviations: district (the mean income where somebody lives) goes with income, late payments go with debt."""
    covariance = np.eye(5)
    for i, j, value in ((0, 4, 0.9), (1, 2, 0.5), (0, 3, 0.3), (3, 4, 0.25)):
        covariance[i, j] = covariance[j, i] = value
    return covariance


def credit_model(rows):
    """The probability that a credit is repaid. The district is not used."""
    income, debt, late, years, _ = rows.T
    return 1 / (1 + np.exp(-(1.0 + 1.2 * income - 0.8 * debt - 0.9 * late + 0.5 * years - 0.8 * np.maximum(debt, 0) * np.maximum(late, 0))))


def customers(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal(np.zeros(5), customer_covariance(), n)


def conditional_values(x, n=4000):
    """E[f | the features of a coalition are x's], for jointly normal features, instead of value_function."""
    draws, covariance = customers(n, seed=1), customer_covariance()
    found = []
    for known in all_coalitions(5):
        rows = draws.copy()
        if known.any():
            gain = np.linalg.solve(covariance[np.ix_(known, known)], covariance[known])
            rows += (x[known] - draws[:, known]) @ gain
        found.append(credit_model(rows).mean())
    return np.array(found)


def sampled_errors(numbers, seed, d=10):
    """The largest error of KernelSHAP on drawn coalitions, in % of the largest share, for a random network with tanh: {pairs: errors}."""
    generator = np.random.default_rng(seed)
    inner, outer = generator.normal(size=(20, d)), generator.normal(size=20)
    x, background = generator.normal(size=d) + 1, generator.normal(size=(20, d))
    values = value_function(lambda rows: np.tanh(rows @ inner.T) @ outer, x, background, all_coalitions(d))
    truth, sizes = shapley(values), np.arange(1, d)
    chance = kernel_weights(d)[1:-1] * [math.comb(d, size) for size in sizes]

    def error(n_coalitions, pairs):
        drawn = generator.choice(sizes, n_coalitions // 2 if pairs else n_coalitions, p=chance / chance.sum())
        coalitions = generator.random((len(drawn), d)).argsort(axis=1) < drawn[:, None]
        if pairs:
            coalitions = np.concatenate([coalitions, ~coalitions])
        found = kernel_shap(coalitions, values[coalitions @ 2 ** np.arange(d)], np.ones(len(coalitions)), values[0], values[-1])
        return 100 * np.abs(found - truth).max() / np.abs(truth).max()

    return {pairs: [error(number, pairs) for number in numbers] for pairs in (False, True)}


def draw_shares(x=CUSTOMER, seeds=20):
    everybody = customers(400)
    repaying = everybody[credit_model(everybody) > 0.8]
    names, every = CUSTOMER_FEATURES, all_coalitions(5)
    values = {
        "all customers": value_function(credit_model, x, everybody, every),
        "customers above 80 %": value_function(credit_model, x, repaying, every),
        "conditional": conditional_values(x),
    }
    shares = {name: shapley(one) for name, one in values.items()}
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), width_ratios=[1, 1.1, 1])
    level = values["all customers"][0]
    for row, (name, share) in enumerate(zip(names, shares["all customers"], strict=True)):
        left.barh(row, share, left=level, color="C0" if share > 0 else "C5", height=0.6)
        left.text(max(level, level + share) + 0.01, row, f"{share:+.3f}", va="center", fontsize=8)
        left.plot([level + share] * 2, [row - 0.3, min(row + 1.3, 4.3)], color="0.5", lw=0.8)
        level += share
    left.axvline(values["all customers"][0], color="black", lw=0.8, ls=":")
    left.set(yticks=range(5), yticklabels=names, xlim=(0, 0.85), xlabel="probability of repaying", title="From the mean to this customer")
    left.invert_yaxis()
    for k, (name, share) in enumerate(shares.items()):
        middle.barh(np.arange(5) + 0.26 * (k - 1), share, height=0.24, color=f"C{(0, 1, 2)[k]}", hatch=("", "//", "..")[k], edgecolor="white", label=name)
    middle.axvline(0, color="black", lw=0.8)
    middle.set(yticks=range(5), yticklabels=names, xlabel="share", title="Three questions, three answers")
    middle.invert_yaxis()
    middle.legend(fontsize=7.5, loc="lower left")
    numbers = [20, 40, 80, 160, 320, 640]
    errors = [sampled_errors(numbers, seed) for seed in range(seeds)]
    for pairs, style, label in ((False, "o-", "single"), (True, "s--", "in pairs: each with its complement")):
        right.plot(numbers, np.median([one[pairs] for one in errors], axis=0), style, ms=4, color="C3" if pairs else "C0", label=label)
    right.set(xscale="log", yscale="log", xlabel="coalitions drawn, of 1,022", ylabel="error, % of the largest share", title="KernelSHAP, a network of 10 inputs")
    right.set_xticks(numbers, [str(number) for number in numbers])
    right.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    right.minorticks_off()
    right.legend(fontsize=7.5)
    plt.show()


try:
    draw_shares()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.1.")

# %% [markdown]
# **Left.** From the mean of all customers, 65 %, to this one's 8 %. **Middle.** The conditional mean gives the *district* a larger share than income, because who knows the district can guess the income. **Right.** From 40 coalitions on, pairs do better. With 160 of 1,022, their error is about 5 % here.
#
# **What a share does not say.**
#
# * *Nothing without its background.* Publish it with the shares.
# * *Not which v is right.* The background puts rich people into poor districts, whom nobody has met, and asks the model about them. The conditional mean avoids that, and pays features that the model does not use. The first is true to the model, the second to the data (Janzing et al., arXiv:1910.13413, argue for the first; Chen et al., arXiv:2006.16234, for choosing by purpose).
# * *Nothing causal.* "Late payments: -.26" is about the model. Paying on time from now on need not make this customer repay.
#
# **The library.** `shap.KernelExplainer` does your regression. `shap.TreeExplainer` is exact for trees without trying all coalitions.

# %% tags=["demo", "shown", "raises-exception"]
def compare_with_shap():
    import shap

    rows = customers(100)
    library = shap.KernelExplainer(credit_model, rows).shap_values(CUSTOMER, silent=True)
    own = shapley(value_function(credit_model, CUSTOMER, rows, all_coalitions(5)))
    for name, theirs, yours in zip(CUSTOMER_FEATURES, library, own, strict=True):
        print(f"{name:14} shap {theirs:+.3f}   yours {yours + 0.0:+.3f}")


compare_with_shap()

# %% [markdown]
# **Change, predict, run.** Let the customer move to a rich district: `draw_shares(CUSTOMER * [1, 1, 1, 1, -1])`. Which of the 15 bars in the middle change?
#
# <details><summary>What you should see</summary>
#
# None of the ten that use a background: no prediction changes. Of the conditional ones, the district's changes its sign, to +.11, and income's falls from -.06 to -.3: a low income in a rich district is lower than one expects. A reader would think that moving house helps. It does not.
# </details>
