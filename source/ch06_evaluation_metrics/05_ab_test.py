# %% [markdown]
# ## 6.5 A test with users
#
# In an **A/B test** chance decides for each user whether model A or model B answers, and one counts what users do: a thumbs-up, a purchase. Two identical models are tested on 7,678 users. Every 768 users somebody looks at the p-value, and would stop if it were below .05. **Predict:** how often do they announce a winner?
#
# ### How many users?
#
# Let 10 % of users **convert** (do what is counted), and let 12 % be an improvement that matters. A test at the level $\alpha = .05$ (its probability of a false alarm) is to find it with a power of 80 %. That takes
#
# $$n = \frac{(z_{1 - \alpha/2} + z_{\text{power}})^2 \, \big(p (1 - p) + q (1 - q)\big)}{(p - q)^2}$$
#
# users **in each group**, 3,839 here. ($z_q$ is the $q$-quantile of the standard normal distribution: $z_{.975} = 1.96$. Its distribution function is $\Phi$.) Some authors take the standard error that the test uses, from both groups together. With $m = (p + q) / 2$ that gives 3,841:
#
# $$n = \frac{\big(z_{1 - \alpha/2} \sqrt{2 m (1 - m)} + z_{\text{power}} \sqrt{p (1 - p) + q (1 - q)}\big)^2}{(p - q)^2} .$$
#
# ### The test
#
# With $a$ of $n_a$ and $b$ of $n_b$ users converted, and the pooled share $\hat p = (a + b) / (n_a + n_b)$,
#
# $$z = \frac{b / n_b - a / n_a}{\sqrt{\hat p (1 - \hat p) (1 / n_a + 1 / n_b)}}, \qquad p\text{-value} = 2\, \Phi(-|z|) .$$
#
# ### Peeking
#
# A p-value below .05 has a probability of 5 % *at one look that was fixed before*. Who looks ten times and stops at the first success has ten chances (Armitage et al., 1969). The remedy is a **boundary** $b_1, \dots, b_K$ for $K$ looks at equal distances. One stops at the first look with $|z_k| \ge b_k$, and without a difference the probability that this ever happens is at most $\alpha$:
#
# * **Bonferroni**: $b_k = z_{1 - \alpha / (2K)}$. Always right, and too careful: the looks share their users.
# * **Pocock** (1977): all $b_k$ are equal, and as low as possible; 2.555 for ten looks.
# * **O'Brien and Fleming** (1979): $b_k = c \sqrt{K / k}$, with $c = 2.087$ for ten looks. The last look needs hardly more than 1.96.
#
# `crossing_probability` below computes this probability. Without a difference, $z_k$ is about $(x_1 + \dots + x_k) / \sqrt k$, with independent standard normal $x$.

# %% nbgrader={"grade": false, "grade_id": "setup_ab_test", "locked": true, "schema_version": 3, "solution": false, "task": false}
import functools


@functools.cache
def gauss_legendre(n):
    """Nodes and weights of a quadrature on [-1, 1]."""
    return np.polynomial.legendre.leggauss(n)


def crossing_probability(boundary) -> float:
    """The probability that |z| reaches the boundary at one look at least, if there is no difference.

    Args:
        boundary: one positive number for each look; the looks are at equal distances.

    From look to look it follows the density of the sum x_1 + ... + x_k of those who have not stopped (Armitage, McPherson and Rowe,
    1969); its error is below 1e-9.

    >>> round(crossing_probability([1.96] * 10), 4)
    0.1933
    """
    before, mass = np.zeros(1), np.ones(1)
    for k, height in enumerate(boundary, 1):
        limit = min(float(height), 9.0) * math.sqrt(k)  # beyond 9 standard deviations there is nothing
        nodes, weights = gauss_legendre(24 + 4 * math.ceil(limit))
        sums, weights = nodes * limit, weights * limit
        density = np.exp(-((sums[:, None] - before) ** 2) / 2) @ mass / math.sqrt(2 * math.pi)
        before, mass = sums, density * weights
    return float(1 - mass.sum())


# %% [markdown]
# ### Exercise 6.5 · A test with users
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **11 points** · NumPy
#
# **Write** four functions. `scipy.special.ndtr` is $\Phi$, and `scipy.special.ndtri` gives its quantiles. `scipy.stats.chi2_contingency` fails in the hidden checks.
#
# <details><summary>Hint 1: the first look</summary>
#
# `argmax` of an array of bool is the place of the first True, and 0 if there is none: ask `any` as well. Comparisons with NaN are false.
# </details>
#
# <details><summary>Hint 2: a boundary</summary>
#
# Bonferroni's is one line. For Pocock's, find the height at which `crossing_probability` is $\alpha$: it falls with the height, so `scipy.optimize.brentq` finds it between 1 and 5.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ab_test", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample_size(p: float, q: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """How many users each group needs, so that a two-sided test finds the difference between p and q.

    By one of the two formulas above (both are accepted), rounded up to a whole number.

    Args:
        p, q: the shares of users who convert, in either order.
        alpha: the level of the test.
        power: the probability to find the difference; from 0.5 on.

    Raises:
        ValueError: p equals q, or one of them is not above 0 and below 1.

    >>> sample_size(0.3, 0.5)  # or 93
    91
    """
    ### BEGIN SOLUTION
    from scipy.special import ndtri

    if p == q or not (0 < p < 1 and 0 < q < 1):
        raise ValueError("two different shares between 0 and 1 are needed")
    variance = p * (1 - p) + q * (1 - q)
    return math.ceil((ndtri(1 - alpha / 2) + ndtri(power)) ** 2 * variance / (p - q) ** 2)
    ### END SOLUTION


def z_test(a: int, n_a: int, b: int, n_b: int) -> tuple[float, float]:
    """The two-sided test of two shares, with the pooled standard error.

    Args:
        a, b: how many users converted in each group. Whole numbers of Python or NumPy, also np.int32.
        n_a, n_b: how many users each group has; the groups may differ in size, and have billions of users.

    Returns:
        (z, p-value). z is positive if B converts better. If nobody has converted, or everybody, there is no sign of a
        difference: (0.0, 1.0). The p-value's relative error is at most 1e-6 down to 1e-250.

    Raises:
        ValueError: a group has no users.

    >>> z, p = z_test(100, 1000, 130, 1000)  # z = 2.103, p = 0.0355
    """
    ### BEGIN SOLUTION
    from scipy.special import ndtr

    a, n_a, b, n_b = int(a), int(n_a), int(b), int(n_b)
    if n_a <= 0 or n_b <= 0:
        raise ValueError("a group has no users")
    pooled = (a + b) / (n_a + n_b)
    if pooled in (0, 1):
        return 0.0, 1.0
    z = (b / n_b - a / n_a) / math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return z, float(2 * ndtr(-abs(z)))
    ### END SOLUTION


def first_stop(z: np.ndarray, boundary: np.ndarray | float) -> np.ndarray:
    """At which look each experiment stops.

    Args:
        z: (experiments, looks), the z of each experiment at each look; maybe a list of lists, or an array of shape (0, looks). NaN where a look had no
            users yet: it does not stop there.
        boundary: (looks,), or one number for all looks; maybe a list. An experiment stops where |z| is at least this.

    Returns:
        (experiments,), whole numbers: the index of the first look at which the experiment stops, from 0, or -1 if it never does.

    >>> first_stop([[0.3, -2.5, 2.6], [1.0, 1.2, 1.9]], [3.0, 2.5, 2.0])
    array([ 1, -1])
    """
    ### BEGIN SOLUTION
    crossed = np.abs(np.asarray(z, dtype=float)) >= np.asarray(boundary)
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1), -1)
    ### END SOLUTION


def boundary(looks: int, alpha: float = 0.05) -> np.ndarray:
    """A boundary for |z| that keeps its promise, for looks at equal distances.

    Without a difference, the probability that |z| reaches it at one look or more is at most alpha. There are many such
    boundaries, among them Bonferroni's, Pocock's and O'Brien and Fleming's. All are accepted for which this probability is between alpha / 4
    (a lower one stops too rarely) and alpha + 0.0025 (room for tables with three decimals, or for your own simulation with 400,000 experiments or more).

    Args:
        looks: from 1 to 20.
        alpha: from 0.01 to 0.1.

    Returns:
        (looks,), positive numbers.

    >>> boundary(1)
    array([1.95996398])
    """
    ### BEGIN SOLUTION
    from scipy.optimize import brentq

    height = brentq(lambda height: crossing_probability([height] * looks) - alpha, 1, 5)
    return np.full(looks, height)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ab_test", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=0.75, hint="z is 1.96 for alpha (two-sided) and 0.84 for the power; round up; n is for one group.")
def size_by_hand():
    """From 10 to 12 % takes 3,839 users in each group, or 3,841 with the other formula."""
    found = sample_size(0.10, 0.12)
    assert found in (3839, 3841), f"sample_size(0.10, 0.12) is {found}, not 3839 or 3841"


@check(points=0.75, hint="The pooled share of 10 and 30 of 200 users is .2, and its standard error √(.2 · .8 · 2/100).")
def test_by_hand():
    """By hand: 10 against 30 of 100 users gives z = 3.5355 and p = 0.00041; nobody against nobody gives 0 and 1."""
    z, p = z_test(10, 100, 30, 100)
    assert abs(z - 0.2 / math.sqrt(0.0032)) < 1e-9, f"z is {z:.4f} instead of 3.5355"
    assert abs(p - math.erfc(2.5)) < 1e-9, f"p is {p:.6f} instead of {math.erfc(2.5):.6f}"
    z, p = z_test(0, 50, 0, 70)
    assert (z, p) == (0, 1), f"z and p are {z} and {p} where nobody has converted"


@check(points=0.75, hint="|z| counts, and the first look that reaches the boundary. -1 means never.")
def stops_by_hand():
    """By hand: four experiments with a boundary that falls stop at looks 1, -1 (never), 0 and 2."""
    z = [[0.3, -2.5, 2.6], [1.0, 1.2, 1.9], [3.0, 0.0, 4.0], [2.9, 2.4, -2.0]]
    found = np.asarray(first_stop(np.array(z), np.array([3.0, 2.5, 2.0]))).tolist()
    assert found == [1, -1, 0, 2], f"{found} instead of [1, -1, 0, 2]"


@check(points=0.75, hint="1.96 is crossed at one of two looks with a probability of 8.3 %. crossing_probability tells you for your boundary.")
def keeps_its_promise_at_two_looks():
    """With two looks, the boundary is crossed with a probability of at most 5 %, if there is no difference."""
    found = np.asarray(boundary(2), dtype=float)
    assert found.shape == (2,), f"shape {found.shape} instead of (2,)"
    chance = crossing_probability(found)
    assert 0.0125 <= chance <= 0.0525, f"{np.round(found, 3).tolist()} is crossed with a probability of {chance:.4f}"


### BEGIN HIDDEN TESTS
import copy
from statistics import NormalDist

from scipy import stats

LIBRARY = ("scipy.stats.chi2_contingency",)


@check(points=1, hint="Both groups' variances; alpha is for both sides; alpha and power are arguments; the order of p and q does not matter.")
def agrees_with_a_formula():
    """For any shares, levels and powers, the number is that of one of the two formulas, rounded up."""
    # None of these is within .001 of a whole number before rounding, so rounding errors cannot matter.
    cases = [(0.12, 0.10), (0.3, 0.5), (0.5, 0.55, 0.01, 0.9), (0.02, 0.03, 0.1, 0.5), (0.97, 0.98, 0.05, 0.95), (0.5, 0.6, 0.05, 0.99), (0.1, 0.101), (0.9, 0.2), (0.4, 0.7, 0.001), (0.05, 0.04, 0.05, 0.85)]
    for case, found in zip(cases, probe(lambda cases: [float(sample_size(*one)) for one in cases], cases), strict=True):
        p, q, alpha, power = case + (0.05, 0.8)[len(case) - 2 :]
        of_alpha, of_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
        m, variance = (p + q) / 2, p * (1 - p) + q * (1 - q)
        roots = [(of_alpha + of_power) * math.sqrt(variance), of_alpha * math.sqrt(2 * m * (1 - m)) + of_power * math.sqrt(variance)]
        if found not in [math.ceil((root / (p - q)) ** 2) for root in roots]:
            fail(f"Wrong for {p} and {q}{' at another level or power' if len(case) > 2 else ''}.")


@check(points=0.5, hint="Without a difference, no number of users is enough: raise ValueError, also for shares of 0, 1 or more.")
def refuses_impossible_shares():
    """Equal shares, and shares that are not between 0 and 1, raise ValueError."""
    def refused(cases):
        found = []
        for case in cases:
            try:
                sample_size(*case)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    if not all(probe(refused, [(0.1, float("0.1")), (0.5, 0.5, 0.01, 0.9)])):
        fail("Equal shares have to raise ValueError.")
    if not all(probe(refused, [(0.0, 0.1), (0.3, 1.0), (1.2, 0.1), (0.1, -0.1), (0.5, 12), (1.0, 0.5), (0.1, 0.0), (-0.2, 0.5)])):
        fail("A share that is not above 0 and below 1 has to raise ValueError.")


def tested(cases):
    """z_test's answers."""
    def run(cases):
        with forbidden(*LIBRARY):
            return [tuple(map(float, z_test(*case))) for case in cases]

    return zip(cases, probe(run, cases), strict=True)


@check(points=1, hint="One share for both groups in the standard error; two-sided; z has the sign of b / n_b - a / n_a.")
def agrees_with_chi_squared():
    """z² and p are those of the chi-squared test without correction, for groups of any sizes, and z has its sign."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [(1, 2, 1, 3), (3, 10, 5, 7), (5, 7, 3, 10), (0, 10, 4, 12), (9, 9, 20, 30), (40, 100, 4, 10)]
    for n_a, n_b in ((50, 50), (1000, 100), (30, 4000), (7, 5)):
        for share in (0.1, 0.5, 0.9):
            cases.append((int(generator.binomial(n_a, share)) % n_a or 1, n_a, int(generator.binomial(n_b, share)) % n_b or 1, n_b))
    for (a, n_a, b, n_b), (z, p) in tested(cases):
        statistic, truth, *_ = stats.chi2_contingency([[a, n_a - a], [b, n_b - b]], correction=False)
        if not math.isclose(abs(z), math.sqrt(statistic), rel_tol=1e-7, abs_tol=1e-9):
            fail("z is wrong where the groups differ in size." if n_a != n_b else "z is wrong.")
        if a * n_b != b * n_a and (z > 0) != (b * n_a > a * n_b):
            fail("z has to be positive if B converts better, and negative if A does.")
        if not math.isclose(p, truth, rel_tol=1e-6):
            fail("The p-value is wrong.")


@check(points=0.75, hint="Nobody or everybody converted: no sign of a difference. A tail is Φ(-|z|), not 1 - Φ(|z|). int() of NumPy's numbers does not overflow.")
def test_at_the_edges():
    """Nobody or everybody converted, tiny p-values, billions of users and NumPy's small integers give right answers."""
    for _, found in tested([(0, 10, 0, 10), (0, 1, 0, 500), (10, 10, 30, 30), (1, 1, 1, 1)]):
        if found != (0, 1):
            fail("If nobody has converted, or everybody, z is 0 and p is 1.")
    for (a, n_a, b, n_b), (z, p) in tested([(100, 1000, 400, 1000), (900, 1000, 100, 1100), (0, 800, 800, 800), (3 * 10**9, 10**10, 3 * 10**9 + 10**6, 10**10)]):
        statistic, truth, *_ = stats.chi2_contingency([[a, n_a - a], [b, n_b - b]], correction=False)
        if not (math.isclose(abs(z), math.sqrt(statistic), rel_tol=1e-7) and math.isclose(p, truth, rel_tol=1e-6)):
            fail("Wrong for a tiny p-value or billions of users.")
    large = (1_500_000_000, 2_000_000_000, 1_499_900_000, 2_000_000_000)
    answers = probe(lambda case: [tuple(map(float, z_test(*map(kind, case)))) for kind in (int, np.int32, np.int64)], large)
    statistic, truth, *_ = stats.chi2_contingency([[large[0], large[1] - large[0]], [large[2], large[3] - large[2]]], correction=False)
    for z, p in answers:
        if not (math.isclose(z, -math.sqrt(statistic), rel_tol=1e-6) and math.isclose(p, truth, rel_tol=1e-5)):
            fail("Wrong for np.int32 or np.int64.")


@check(points=0.25, hint="Raise ValueError before you divide.")
def refuses_empty_groups():
    """A group without users raises ValueError."""
    def refused(cases):
        found = []
        for case in cases:
            try:
                z_test(*case)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    if not all(probe(refused, [(0, 0, 3, 10), (3, 10, 0, 0), (0, 0, 0, 0), (0, np.int64(0), 3, np.int64(5))])):
        fail("A group without users has to raise ValueError.")


def stopped(cases):
    """first_stop's answers, after a look at whether its arguments are as they were."""
    def run(cases):
        return [(np.asarray(first_stop(z, boundary)), z, boundary) for z, boundary in cases]

    for (z, boundary), (found, *after) in zip(cases, probe(run, copy.deepcopy(cases)), strict=True):
        if not (np.array_equal(np.asarray(after[0], dtype=float), np.asarray(z, dtype=float), equal_nan=True) and np.array_equal(after[1], boundary)):
            fail("An argument was modified.")
        yield z, boundary, found


@check(points=1, hint="The first look, not the largest |z| and not the last one; at least the boundary, on either side.")
def agrees_with_a_loop():
    """For many experiments, each look has its own boundary, |z| equal to it stops, and so does a negative z."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for experiments, looks in ((6, 6), (40, 3), (3, 40), (25, 1), (1, 5)):
        # Quarters are exact, so that many |z| equal the boundary.
        z = generator.integers(-9, 10, (experiments, looks)) / 4
        heights = generator.integers(5, 10, looks) / 4
        cases += [(z, heights), (z.tolist(), heights.tolist()), (np.asfortranarray(z), 1.75), (z, np.full(looks, 9.0)), (z, np.r_[np.full(looks - 1, np.inf), 0.5])]
    for z, given, found in stopped(cases):
        heights = np.broadcast_to(np.asarray(given), len(z[0]))
        truth = [next((k for k, (value, height) in enumerate(zip(row, heights, strict=True)) if abs(value) >= height), -1) for row in z]
        if found.shape != (len(z),):
            fail(f"The answer for {len(z)} experiments has the shape {found.shape}.")
        if found.tolist() != truth:
            fail(f"Wrong for {len(z)} experiments and {len(z[0])} looks.")


@check(points=0.5, hint="Ask whether |z| is at least the boundary: for NaN that is false. `not below` is true.")
def stops_at_the_edges():
    """A look without users (NaN) does not stop an experiment, and no experiments have no answer."""
    nan = math.nan
    cases = [([[nan, nan, 3.0], [nan, 1.0, 0.0], [nan, nan, nan], [2.5, nan, nan]], [2.0, 2.0, 2.0]), (np.zeros((0, 4)), np.full(4, 2.0)), ([[nan, -2.0]], 2.0)]
    for (_, _, found), truth in zip(stopped(cases), ([2, -1, -1, 0], [], [1]), strict=True):
        if found.tolist() != truth:
            fail("Wrong where z is NaN." if truth else "Wrong for no experiments.")


@check(points=2, hint="It is crossed too often, or needlessly high: `crossing_probability` tells. Looks and alpha are arguments.")
def keeps_its_promise():
    """For 1 to 20 looks and several levels, the boundary is crossed with a probability of at most alpha + 0.0025 and at least alpha / 4."""
    # The probability is computed, not simulated, so an exact boundary never fails: Bonferroni's lowest here is 0.373 alpha (20 looks), and a
    # table's three decimals change the probability by at most .0001. A height from 400,000 simulated experiments has a crossing
    # probability with standard deviation sqrt(alpha (1 - alpha) / 400,000): .0025 are 5.3 of them for alpha = .1 and 7.2 for .05. So such an
    # answer fails with a probability of 7e-8 in each of two cases, and far less in the others: below 1e-6 in all.
    cases = [(1, 0.05), (1, 0.1), (2, 0.05), (3, 0.01), (5, 0.05), (10, 0.05), (10, 0.1), (20, 0.05), (20, 0.01)]
    default, *found = probe(lambda cases: [np.asarray(boundary(4), dtype=float), *(np.asarray(boundary(*case), dtype=float) for case in cases)], cases)
    for (looks, alpha), heights in zip([(4, 0.05), *cases], [default, *found], strict=True):
        if heights.shape != (looks,):
            fail(f"The answer for {looks} looks has the shape {heights.shape}.")
        if not (heights > 0).all():
            fail("A boundary has positive numbers.")
        chance = crossing_probability(heights)
        if chance > alpha + 0.0025:
            fail(f"For {looks} looks and alpha {alpha}, the boundary is crossed too often if there is no difference.")
        if chance < alpha / 4:
            fail(f"For {looks} looks and alpha {alpha}, the boundary is needlessly high.")


@check(points=1, hint="Try your boundary with your first_stop on simulated experiments: random walks, divided by √k.")
def stops_rarely_without_a_difference():
    """Together, first_stop and boundary stop at most 6.6 % of 5,000 given experiments without a difference, in which 1.96 stops 20 %."""
    # The paths are the same for everybody: no luck. Pocock's, O'Brien and Fleming's and Bonferroni's boundaries stop 247, 255 and 128 of them, and 1.96 stops 1,001.
    # The limit, 6.6 %, is 5.2 standard deviations above 5 % for 5,000 experiments, so paths that are this unlucky have a probability of 1e-7.
    steps = np.random.default_rng(6).normal(size=(5000, 10))
    z = steps.cumsum(axis=1) / np.sqrt(np.arange(1, 11))
    careful, naive = probe(lambda z: [np.asarray(first_stop(z, boundary(10))), np.asarray(first_stop(z, 1.96))], z)
    if not ((naive >= 0).sum() == (np.abs(z) >= 1.96).any(axis=1).sum() and (careful >= 0).mean() <= 0.066):
        fail("More than 6.6 % of 5,000 experiments without a difference were stopped.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# **Left:** ten experiments with two equal models; a circle is where 1.96 stops. **Middle:** the points are 20,000 simulated experiments. **Right:** a real difference, with 3,839 users in each group: how many experiments have been stopped by each look. **Predict:** how much of a single look's 80 % do you lose with Pocock, and with O'Brien and Fleming?

# %% tags=["demo"]
def draw_peeking(looks=10, effect=2.8, n_experiments=20_000):
    """Ten paths, false alarms by number of looks, and stops under an effect (the expected z at the end)."""
    from scipy.optimize import brentq

    def z_of(generator, number, looks, effect):
        k = np.arange(1, looks + 1)
        return generator.normal(size=(number, looks)).cumsum(axis=1) / np.sqrt(k) + effect * np.sqrt(k / looks)

    def heights(rule, looks, alpha=0.05):
        shape = np.sqrt(looks / np.arange(1, looks + 1)) if rule == "O'Brien-Fleming" else np.ones(looks)
        if rule == "1.96":
            return np.full(looks, 1.96)
        return shape * brentq(lambda c: crossing_probability(c * shape) - alpha, 1, 5, xtol=1e-6)

    own, rules = boundary(looks), {"1.96": ("C5", "-"), "Pocock": ("C0", "--"), "O'Brien-Fleming": ("C2", "-.")}
    generator, steps = np.random.default_rng(10), np.arange(1, looks + 1)
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.5))
    paths = z_of(generator, 10, looks, 0)
    left.plot(steps, paths.T, "o-", ms=2, lw=0.7, color="0.6")
    for path, stop in zip(paths, first_stop(paths, 1.96), strict=True):
        if stop >= 0:
            left.plot(steps[stop], path[stop], "o", ms=8, mfc="none", color="C5")
    for rule, (color, style) in rules.items():
        for sign in (1, -1):
            left.plot(steps, sign * heights(rule, looks), style, color=color, lw=1.6, label=rule if sign == 1 else None)
    left.set(xlabel="look", ylabel="$z$", ylim=(-7, 7), title="Ten experiments, no difference", xticks=steps[:: max(1, looks // 10)])
    left.legend(fontsize=8, loc="upper right")

    numbers = [1, 2, 3, 5, 10, 15, 20]
    for rule, (color, style) in rules.items():
        middle.plot(numbers, [100 * crossing_probability(heights(rule, number)) for number in numbers], style, color=color, label=rule)
        stops = [(first_stop(z_of(generator, n_experiments, number, 0), heights(rule, number)) >= 0).mean() for number in numbers]
        middle.plot(numbers, 100 * np.array(stops), "o", ms=3.5, color=color)
    middle.plot(numbers, [100 * crossing_probability(boundary(number)) for number in numbers], "x", color="black", label="yours")
    middle.set(xlabel="looks", ylabel="false alarms, in %", ylim=(0, 27), title="Stopped without a difference")
    middle.legend(fontsize=8, loc="upper left")

    z = z_of(generator, n_experiments, looks, effect)
    for rule, height in {"Pocock": heights("Pocock", looks), "O'Brien-Fleming": heights("O'Brien-Fleming", looks), "yours": own}.items():
        color, style = rules.get(rule, ("black", ":"))
        stops = first_stop(z, height)
        right.plot(steps, [100 * ((stops >= 0) & (stops < step)).mean() for step in steps], style, color=color, label=rule)
    single = 100 * (np.abs(z[:, -1]) >= 1.96).mean()
    right.plot(looks, single, "s", ms=6, color="C5", label="one look, at the end")
    right.set(xlabel="look", ylabel="stopped, in %", ylim=(0, 100), title="10 % against 12 %", xticks=steps[:: max(1, looks // 10)])
    right.legend(fontsize=8, loc="upper left")
    plt.show()


try:
    draw_peeking()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.5.")

# %% [markdown]
# **Middle.** Ten looks at 1.96 announce a winner in 19.3 % of all tests of equal models, twenty in 24.8 %. **Right.** Pocock's finds the difference in 68 %, O'Brien and Fleming's in 78 % of all experiments.
# Who stops early also exaggerates: where Pocock's boundary stops, the difference that is found is 1.6 times the true one on average (1.1 times with one look at the end). That is 5.7's winner's curse.
#
# **Without a plan for the looks**, *e-values* allow one to stop at any time: without a difference, one ever reaches $1 / \alpha$ with a probability of at most $\alpha$ (Grünwald et al., arXiv:1906.07801). The price is a higher boundary.
#
# **What else goes wrong?** Users try whatever is new, so look at the effect by day. And of twenty independent metrics, at least one has a p-value below .05 with a probability of 64 %: name the one that decides beforehand.
#
# **Change, predict, run.** `draw_peeking(looks=20)`: which of the two boundaries suffers more from looking more often?
#
# <details><summary>What you should see</summary>
#
# Pocock's: its height rises from 2.56 to 2.67, and the power falls from 68 to about 66 %. O'Brien and Fleming's keeps its 78 %: more looks cost little if early ones ask for much.
# </details>
