# %% [markdown]
# ## 6.4 Error bars
#
# Model A answers 80 % of a benchmark's 164 questions correctly, model B 83 %. **Predict:** if B really is better by three points, in how many of ten such comparisons would a test notice?
#
# With other questions of the same kind, both numbers would be different. An **error bar** says by how much (for language models: Miller, *Adding Error Bars to Evals*, arXiv:2411.00640). Ask three questions.
#
# ### 1. Does the method hold for few questions, and for scores near 0 or 1?
#
# The **bootstrap** draws $n$ of the $n$ questions with replacement, many times, and computes the statistic for each draw. From the 2.5 % to the 97.5 % quantile of these values goes the *percentile interval*. But if all answers were correct, it is $[1, 1]$: "no error", after 30 questions.
#
# For a share, **Wilson's interval** is better: all $p$ for which the observed share is at most 1.96 standard errors away, with the standard error that $p$ itself implies.
#
# ### 2. Are the questions independent?
#
# If several questions are about one passage of text, who misunderstands it fails in several. What is independent is the passage, the **cluster**. With $r_c$, the sum of $s_i - \bar s$ (score minus mean score) over the questions of cluster $c$, and $C$ clusters, the standard error of the mean of all $n$ scores is
#
# $$\mathrm{SE} = \frac1n \sqrt{\frac{C}{C - 1} \sum_c r_c^2} .$$
#
# That is Miller's formula, apart from the factor $C / (C-1)$, which corrects for few clusters.
#
# ### 3. Is it a comparison?
#
# If so, what counts is where the models differ: $b$ questions only A answers correctly, $c$ only B. If the models are equally good, each of these $b + c$ goes to either side like a fair coin. **McNemar's exact test** (after McNemar, 1947) gives the probability of a split at least as uneven:
#
# $$p = \min\Big(1,\; 2 \sum_{i=0}^{\min(b, c)} \binom{b + c}{i} \, 2^{-(b+c)}\Big) .$$
#
# The **power** is the probability to reject if the models do differ. A benchmark with a power of 20 % misses the difference four times out of five, and where it finds one, it exaggerates.

# %% [markdown]
# ### Exercise 6.4 · Error bars
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **12 points** · NumPy
#
# **Write** four functions. `scipy.stats.binom` has `cdf`, `sf`, `pmf` and `ppf`, for arrays, too. `scipy.stats.bootstrap` and `scipy.stats.binomtest` fail in the hidden checks. Arguments are not to be modified.
#
# <details><summary>Hint 1: bool and integers</summary>
#
# `-` does not work between arrays of `bool`, and `~1` is -2. `np.asarray(a) != 0` makes `bool` of both.
# </details>
#
# <details><summary>Hint 2: the power</summary>
#
# The number of questions that count, $d = b + c$, is binomial with the parameters $n$ and gain + loss. Given $d$, the number that only B answers is binomial with $d$ and gain / (gain + loss). Add up the probabilities of all outcomes that the test rejects. For each $d$, these are the two ends of
# $0, \dots, d$, so one number tells them: the largest $k$ with $2\, P(X \le k) \le \alpha$, $X$ for a fair coin.
# </details>

# %% nbgrader={"grade": false, "grade_id": "error_bars", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bootstrap_interval(rows: np.ndarray, statistic, draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of the bootstrap, for draws that are given.

    Args:
        rows: (n,) or (n, columns), a row for each question; maybe a list.
        statistic: statistic(drawn_rows) returns a number. Called once for each draw, and for nothing else, with an array of the
            rows that were drawn, in the order of the draw.
        draws: (number of draws, n), whole numbers from 0 to n - 1: each row is a draw; maybe a list of lists.
        level: the share of the draws' values that lies in the interval.

    Returns:
        (low, high): the quantiles at (1 - level) / 2 and (1 + level) / 2 of the statistic over the draws, interpolated linearly between
        neighbours, as np.quantile does. Both are NaN if the statistic is NaN for any draw.

    Raises:
        ValueError: level is not above 0 and below 1.

    >>> bootstrap_interval([1.0, 4.0, 10.0], np.mean, [[0, 1, 1], [2, 2, 2], [0, 0, 0], [1, 2, 2], [1, 1, 1]], level=0.5)
    (3.0, 8.0)
    """
    ### BEGIN SOLUTION
    if not 0 < level < 1:
        raise ValueError("the level has to be between 0 and 1")
    rows = np.asarray(rows)
    values = [statistic(rows[draw]) for draw in np.asarray(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
    ### END SOLUTION


def clustered_se(scores: np.ndarray, clusters: np.ndarray) -> float:
    """The standard error of the mean score, where questions of a cluster are not independent.

    See the formula above, with the factor C / (C - 1).

    Args:
        scores: (n,), numbers or bool; maybe a list.
        clusters: (n,), the cluster of each question: numbers or strings, in any order; maybe a list. Clusters may differ in size.

    Raises:
        ValueError: there are fewer than two clusters, or the lengths differ.

    >>> round(clustered_se([1, 1, 1, 0, 0], ["a", "a", "a", "b", "c"]), 4)
    0.36
    """
    ### BEGIN SOLUTION
    names, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    if len(scores) != len(numbers) or len(names) < 2:
        raise ValueError("a cluster is needed for each score, and at least two different ones")
    scores = np.asarray(scores, dtype=float)
    sums = np.bincount(numbers, weights=scores - scores.mean())
    return float(np.sqrt(len(names) / (len(names) - 1) * np.sum(sums**2)) / len(scores))
    ### END SOLUTION


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """McNemar's exact two-sided p-value: are two models equally good on the same questions?

    Args:
        a, b: (n,), whether each model answered each question correctly: bool, or 0 and 1; maybe lists.

    Returns:
        p, from 0 to 1; 1 if the models never differ. The relative error is at most 1e-6 down to 1e-250.

    Raises:
        ValueError: the lengths differ.

    >>> mcnemar([1, 1, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1, 1])  # 1 question only A, 5 only B
    0.21875
    """
    ### BEGIN SOLUTION
    from scipy.stats import binom

    if len(a) != len(b):
        raise ValueError("the models have to answer the same questions")
    a, b = np.asarray(a) != 0, np.asarray(b) != 0
    only_a, only_b = np.sum(a & ~b), np.sum(b & ~a)
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))
    ### END SOLUTION


def paired_power(n: int, gain: float, loss: float, alpha: float = 0.05) -> float:
    """The probability that McNemar's exact test rejects, with n questions: its p-value is at most alpha.

    Each question, independently of the others, is answered correctly by model B alone with probability `gain`,
    and by model A alone with probability `loss`. So B is better by gain - loss. It counts as a rejection, too, if the test rejects
    because A looks better. Exact: neither simulated nor by a normal approximation; its error is at most 1e-9.

    Args:
        n: 0 or more.
        gain, loss: 0 or more, also both 0.
        alpha: above 0 and below 1, and not a value that p can take, such as 1/16.

    Raises:
        ValueError: gain or loss is negative, or their sum is above 1 (by more than rounding, 1e-9).

    >>> round(paired_power(6, 0.75, 0.25), 4)  # it takes 6 to 0 for p = 0.031: 0.75**6 + 0.25**6
    0.1782
    """
    ### BEGIN SOLUTION
    from scipy.stats import binom

    if min(gain, loss) < 0 or gain + loss > 1 + 1e-9:
        raise ValueError("gain and loss are no probabilities of different outcomes")
    if gain + loss == 0:
        return 0.0
    differ = np.arange(n + 1)
    most = binom.ppf(alpha / 2, differ, 0.5) - 1  # as many on the losing side, and the test still rejects
    share = gain / (gain + loss)
    rejected = binom.cdf(most, differ, share) + binom.sf(differ - most - 1, differ, share)
    return float(binom.pmf(differ, n, min(1.0, gain + loss)) @ rejected)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_error_bars", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=0.75, hint="The means of the draws are 3, 10, 1, 8 and 4. The quantiles at .25 and .75 are the second and the fourth of them, in order.")
def interval_by_hand():
    """By hand: five draws whose means are 1, 3, 4, 8 and 10 have the 50 % interval (3, 8)."""
    draws = [[0, 1, 1], [2, 2, 2], [0, 0, 0], [1, 2, 2], [1, 1, 1]]
    found = probe(lambda rows, draws: tuple(map(float, bootstrap_interval(rows, np.mean, draws, level=0.5))), [1.0, 4.0, 10.0], draws)
    assert len(found) == 2 and np.allclose(found, (3, 8), atol=1e-9), f"{found} instead of (3.0, 8.0)"


@check(points=0.75, hint="The mean is 0.6, and the sums of the three clusters are 1.2, -0.6 and -0.6. Their squares make 2.16, times 3/2 is 3.24, and its root is 1.8.")
def clusters_by_hand():
    """By hand: scores [1, 1, 1, 0, 0] in clusters a, a, a, b, c have a standard error of 0.36."""
    found = clustered_se([1, 1, 1, 0, 0], ["a", "a", "a", "b", "c"])
    assert abs(found - 0.36) < 1e-9, f"{found:.4f} instead of 0.36"


@check(points=0.75, hint="1 and 5 questions differ: 2 (1 + 6) / 2^6. If both have as many, p is 1, not more.")
def mcnemar_by_hand():
    """By hand: 1 against 5 gives p = 14/64, and 2 against 2 gives 1."""
    for a, b, truth in (([1, 1, 0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1, 1, 0], 14 / 64), ([1, 1, 0, 0, 1], [0, 0, 1, 1, 1], 1)):
        found = mcnemar(a, b)
        assert abs(found - truth) < 1e-9, f"mcnemar({a}, {b}) is {found:.5f} instead of {truth:.5f}"


@check(points=0.75, hint="With six questions, only 6 to 0 and 0 to 6 have a p-value below .05 (2/64).")
def power_by_hand():
    """By hand: with six questions that all differ, the power is gain⁶ + loss⁶."""
    for gain, loss in ((0.75, 0.25), (0.5, 0.5)):
        found, truth = paired_power(6, gain, loss), gain**6 + loss**6
        assert abs(found - truth) < 1e-9, f"paired_power(6, {gain}, {loss}) is {found:.5f} instead of {truth:.5f}"


### BEGIN HIDDEN TESTS
import copy
import functools
import itertools
from fractions import Fraction

from scipy import stats

LIBRARY = ("scipy.stats.bootstrap", "scipy.stats.binomtest")


def interpolated(values, q):
    """A quantile between order statistics, by its definition."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * q
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@check(points=1, hint="The ends are the quantiles of the statistic over the draws themselves, half of what is outside on each side.")
def bootstrap_of_shares_is_binomial():
    """With all 5⁵ draws of five zeros and ones, the ends are those of the binomial distribution."""
    # With these levels no end lies between two different values, so interpolation does not matter.
    counts, levels = [0, 1, 3, 5], [0.8, 0.95]

    def run(draws, counts, levels):
        with forbidden(*LIBRARY):
            rows = [np.array([1.0] * k + [0.0] * (5 - k)) for k in counts]
            return [[tuple(map(float, bootstrap_interval(row, np.mean, draws, level))) for level in levels] for row in rows]

    draws = np.array(list(itertools.product(range(5), repeat=5)))
    for k, found in zip(counts, probe(run, draws, counts, levels), strict=True):
        for level, ends in zip(levels, found, strict=True):
            truth = stats.binom.ppf([(1 - level) / 2, (1 + level) / 2], 5, k / 5) / 5
            if len(ends) != 2 or not np.allclose(ends, truth, atol=1e-9):
                fail(f"Wrong for {k} of 5 correct and level {level}.")


def intervals(cases):
    """For rows, draws, level and a statistic's name: the interval, what the statistic was called with, and the arguments afterwards."""
    def run(cases):
        statistics = {
            "mean": lambda rows: rows.mean(),
            "median": np.median,
            "first": lambda rows: rows[0] - 2 * rows[-1],
            "difference": lambda rows: rows[:, 0].mean() - rows[:, 1].mean(),
            "ratio": lambda rows: np.divide((rows[:, 0] * rows[:, 1]).sum(), rows[:, 1].sum()),
        }
        found = []
        for rows, draws, level, name in cases:
            calls = []

            def statistic(drawn, calls=calls, name=name):
                calls.append(np.array(drawn))
                return statistics[name](drawn)

            with forbidden(*LIBRARY), np.errstate(all="ignore"):
                found.append((tuple(map(float, bootstrap_interval(rows, statistic, draws, *level))), calls, rows, draws))
        return found

    for (rows, draws, level, name), (ends, calls, *after) in zip(cases, probe(run, copy.deepcopy(cases)), strict=True):
        if not (np.array_equal(after[0], rows) and np.array_equal(after[1], draws)):
            fail("An argument was modified.")
        yield np.asarray(rows), np.asarray(draws), level[0] if level else 0.95, name, ends, calls


@check(points=0.75, hint="np.quantile of the statistic over the given draws. `level` is what lies inside; the order of the draws does not matter.")
def quantiles_of_the_given_draws():
    """For any numbers, statistic and draws, the ends are interpolated quantiles, and 95 % is the default."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n, number in ((1, 3), (2, 1), (4, 4), (7, 50), (30, 201)):
        rows, draws = generator.normal(-5, 2, n), generator.integers(0, n, (number, n))
        cases += [(rows, draws, level, name) for level in ((), (0.9,), (0.42,)) for name in ("mean", "median", "first")]
        cases.append((rows.tolist(), draws.tolist(), (0.8,), "mean"))
    for rows, draws, level, name, ends, _ in intervals(cases):
        of = {"mean": np.mean, "median": np.median, "first": lambda drawn: drawn[0] - 2 * drawn[-1]}[name]
        values = [float(of(rows[draw])) for draw in draws]
        truth = [interpolated(values, (1 - level) / 2), interpolated(values, (1 + level) / 2)]
        if len(ends) != 2 or not np.allclose(ends, truth, atol=1e-9):
            fail(f"Wrong for {len(draws)} draws of {len(rows)} numbers.")


@check(points=0.75, hint="Draw whole rows, once for each draw: rows[draw]. What one question has in several columns stays together.")
def rows_stay_together():
    """The statistic gets whole rows, once for each draw, in the order of the draw."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n in (3, 12):
        rows = np.stack([generator.normal(size=n), generator.integers(1, 4, n)], axis=1)
        cases += [(rows, generator.integers(0, n, (40, n)), (0.9,), name) for name in ("difference", "ratio")]
    cases.append((generator.normal(size=(4, 4)), generator.integers(0, 4, (9, 4)), (0.9,), "difference"))
    for rows, draws, level, name, ends, calls in intervals(cases):
        drawn = [np.stack([rows[i] for i in draw]) for draw in draws]
        if len(calls) != len(draws):
            fail("The statistic has to be called once for each draw, and for nothing else.")
        if sorted(call.tolist() for call in calls) != sorted(one.tolist() for one in drawn):
            fail("The statistic has to get the rows that were drawn, in the order of the draw.")
        values = [one[:, 0].mean() - one[:, 1].mean() if name == "difference" else (one[:, 0] * one[:, 1]).sum() / one[:, 1].sum() for one in drawn]
        if not np.allclose(ends, [interpolated(values, (1 - level) / 2), interpolated(values, (1 + level) / 2)], atol=1e-9):
            fail("Wrong for a statistic of two columns.")


@check(points=0.5, hint="Raise ValueError unless 0 < level < 1. A NaN must not vanish in a sort: np.quantile returns NaN.")
def refuses_and_admits():
    """A level outside of 0 to 1 raises ValueError, and a statistic that is NaN for one draw makes both ends NaN."""
    def refused(levels):
        found = []
        for level in levels:
            try:
                bootstrap_interval(np.array([1.0, 2.0]), np.mean, np.array([[0, 1], [1, 1]]), level)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    if not all(probe(refused, [0, 1, 1.5, -0.5, 95])):
        fail("A level that is not above 0 and below 1 has to raise ValueError.")
    rows = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    cases = [(rows, np.array([[1, 2, 1], [0, 0, 0], [2, 2, 1], [2, 2, 2], [1, 1, 1]])[order], (0.5,), "ratio") for order in ([0, 1, 2, 3, 4], [1, 0, 2, 3, 4], [0, 2, 3, 4, 1])]
    for *_, ends, _ in intervals(cases):
        if len(ends) != 2 or not all(math.isnan(end) for end in ends):
            fail("If one draw has no value, the interval has none: both ends are NaN.")


def standard_errors(cases):
    """clustered_se's answers, after a look at whether its arguments are as they were."""
    def run(cases):
        return [(float(clustered_se(scores, clusters)), scores, clusters) for scores, clusters in cases]

    for (scores, clusters), (found, *after) in zip(cases, probe(run, copy.deepcopy(cases)), strict=True):
        if not (np.array_equal(after[0], scores) and np.array_equal(after[1], clusters)):
            fail("An argument was modified.")
        yield np.asarray(scores, dtype=float), np.asarray(clusters), found


@check(points=0.75, hint="The factor is C / (C - 1), and at the end comes a division by n, the number of questions.")
def agrees_where_the_answer_is_known():
    """If each question is a cluster, it is the usual standard error; for clusters of one size, it is that of the cluster means."""
    generator = np.random.default_rng(np.random.randint(2**31))
    for n in (2, 3, 40):
        cases = [(generator.normal(3, 2, n), generator.permutation(n)), (generator.normal(size=n).astype(np.float32), generator.permutation(n) * 1000 - 7)]
        for scores, _, found in standard_errors(cases):
            if not math.isclose(found, stats.sem(scores), rel_tol=1e-6):
                fail("If each question is a cluster of its own, it is not the usual standard error.")
    for n, size in ((2, 2), (5, 3), (10, 10), (3, 40)):
        order = generator.permutation(n * size)
        cases = [(generator.normal(size=n * size), (np.arange(n * size) // size)[order]), (generator.integers(0, 5, n * size), np.repeat(np.arange(n) - 2.5, size)[order])]
        for scores, clusters, found in standard_errors(cases):
            if not math.isclose(found, stats.sem([scores[clusters == name].mean() for name in set(clusters.tolist())]), rel_tol=1e-9, abs_tol=1e-12):
                fail("If all clusters have the same size, it is not the standard error of the clusters' means.")


@check(points=1, hint="Each score counts the same, so clusters do not. Questions of one cluster need not stand next to each other.")
def agrees_with_pairs():
    """For clusters of any size and name, in any order, it agrees with the sum over all pairs in a cluster."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for sizes in ((1, 50), (1, 2, 3, 9), (30, 1, 1, 1, 7, 20)):
        names = generator.permutation(np.repeat([f"passage {i}" for i in range(len(sizes))], sizes))
        scores = generator.normal(size=sum(sizes)) + np.array([len(name) + int(name[-1]) for name in names])
        right = generator.random(sum(sizes)) < 0.7
        right[:2] = True, False
        cases += [(scores, names), (right, names), (right.tolist(), names.tolist()), (right.astype(int), np.array([int(name[-1]) * 10**9 for name in names])), (1e6 + scores, names)]
    cases.append((np.ones(6), np.array([1, 2, 2, 3, 3, 3])))
    for scores, clusters, found in standard_errors(cases):
        deviations = scores - scores.mean()
        together = clusters[:, None] == clusters[None, :]
        n_clusters = len(set(clusters.tolist()))
        truth = math.sqrt(max(0.0, (deviations[:, None] * deviations[None, :])[together].sum()) * n_clusters / (n_clusters - 1)) / len(scores)
        if not math.isclose(found, truth, rel_tol=1e-7, abs_tol=1e-12):
            fail(f"Wrong for {n_clusters} clusters of different sizes." if np.ptp(scores) else "Wrong where all scores are equal.")


@check(points=0.5, hint="From one cluster nobody can tell how much clusters differ: raise ValueError. Compare the lengths, too.")
def refuses_one_cluster():
    """A single cluster raises ValueError, and so do scores and clusters of different lengths."""
    def refused(cases):
        found = []
        for scores, clusters in cases:
            try:
                clustered_se(scores, clusters)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    found = probe(refused, [([1.0, 0.0, 1.0], ["a", "a", "a"]), ([1.0], [3]), ([], [])])
    if not all(found):
        fail("Fewer than two clusters have to raise ValueError.")
    if not all(probe(refused, [([1.0, 0.0, 1.0], ["a", "b"]), ([1.0], [1, 2]), ([1.0, 0.0, 1.0], [1, 2, 3, 4])])):
        fail("Different lengths have to raise ValueError.")


def answers_with(both, only_a, only_b, neither, kind):
    """Two models' answers with given counts, in a random order."""
    a = np.repeat([1, 1, 0, 0], [both, only_a, only_b, neither])
    b = np.repeat([1, 0, 1, 0], [both, only_a, only_b, neither])
    order = np.random.permutation(len(a))
    return (a[order].tolist(), b[order].tolist()) if kind is list else (a[order].astype(kind), b[order].astype(kind))


def p_values(counts, kinds=(np.int64,)):
    """mcnemar's answers for counts of questions, after a look at whether its arguments are as they were."""
    def run(cases):
        found = []
        with forbidden(*LIBRARY):
            for a, b in cases:
                found.append((float(mcnemar(a, b)), a, b))
        return found

    # Many p-values are wanted, so the answers of one case are few.
    cases = [answers_with(*count, kinds[i % len(kinds)]) for i, count in enumerate(counts)]
    for count, case, (p, *after) in zip(counts, cases, probe(run, copy.deepcopy(cases)), strict=True):
        if not (np.array_equal(after[0], case[0]) and np.array_equal(after[1], case[1])):
            fail("An argument was modified.")
        yield count, p


@check(points=1, hint="Only questions on which the models differ count. Twice the smaller tail, the split itself included, and at most 1.")
def agrees_with_the_binomial_test():
    """For all small counts, p is that of an exact binomial test on the questions that differ, for bool, whole numbers and lists."""
    counts = [(i % 4, b, c, (b + 2 * i) % 5) for i, (b, c) in enumerate(itertools.product(range(10), repeat=2))]
    for kinds in ((np.int64, bool, list), (bool, list, np.uint8, np.float64)):
        for (_, b, c, _), p in p_values(counts, kinds):
            truth = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
            if not math.isclose(p, truth, rel_tol=1e-6):
                fail("p is not 1 where as many questions speak for either side." if b == c else "The p-value is wrong.")


@check(points=0.5, hint="A tail that is computed as 1 minus something is lost in rounding: add up the small tail itself.")
def precise_for_small_p():
    """Tiny p-values are precise, and hundreds of questions make no overflow."""
    counts = [(5, 0, 100, 5), (2, 800, 0, 0), (0, 30, 300, 0), (7, 510, 690, 7), (100, 1000, 1000, 0), (0, 1000, 999, 0)]
    for (_, b, c, _), p in p_values(counts):
        truth = min(Fraction(1), Fraction(2 * sum(math.comb(b + c, i) for i in range(min(b, c) + 1)), 2 ** (b + c)))
        if not abs(Fraction(p) / truth - 1) < 1e-6:
            fail("A small p-value is wrong." if truth < 1e-6 else "Wrong for hundreds of questions.")


@check(points=0.25, hint="Compare the lengths first: NumPy stretches a single answer to any length.")
def refuses_other_lengths():
    """Answers to different numbers of questions raise ValueError."""
    def refused(cases):
        found = []
        for a, b in cases:
            try:
                mcnemar(a, b)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    if not all(probe(refused, [([1, 0, 1], [1, 0]), ([1], [1, 0, 0, 1]), (np.array([True, False]), np.array([True]))])):
        fail("Different lengths have to raise ValueError.")


def split_probability(n, b, c, gain, loss):
    """The probability that b of n questions are answered by A alone and c by B alone."""
    logs = math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(n - b - c + 1)
    for count, chance in ((b, loss), (c, gain), (n - b - c, 1 - gain - loss)):
        if count:
            logs += count * math.log(chance) if chance > 1e-15 else -math.inf
    return math.exp(logs)


@functools.cache
def rejects(b, c, alpha):
    return sum(math.comb(b + c, i) for i in range(min(b, c) + 1)) * 2 * Fraction(1, 2 ** (b + c)) <= alpha


@check(points=1.5, hint="How many questions differ is random, too: add up over all numbers. Both ends count as rejections.")
def power_by_enumeration():
    """The power is the sum of the probabilities of all outcomes that the test rejects."""
    cases = [(n, gain, loss, alpha) for n in (1, 5, 8, 13, 40) for gain, loss in ((0.5, 0.1), (0.125, 0.625), (0.7, 0.3), (0.4, 0.0), (0.0, 1.0)) for alpha in (0.05, 0.3, 0.01)]
    cases += [(120, 0.15, 0.05, 0.05), (90, 0.02, 0.03, 0.1)]
    for (n, gain, loss, alpha), found in zip(cases, probe(lambda cases: [float(paired_power(*case)) for case in cases], cases), strict=True):
        outcomes = [(b, c) for b in range(n + 1) for c in range(n + 1 - b) if rejects(b, c, alpha)]
        if not abs(found - sum(split_probability(n, b, c, gain, loss) for b, c in outcomes)) < 1e-9:
            fail(f"Wrong for {n} questions, gain {gain}, loss {loss} and alpha {alpha}.")


@check(points=0.5, hint="Nothing to compare is never significant. Negative probabilities and sums above 1 raise ValueError.")
def power_at_the_edges():
    """Without questions or differences the power is 0, alpha is .05 by default, and impossible probabilities raise ValueError."""
    def run(cases):
        found = []
        for case in cases:
            try:
                found.append(float(paired_power(*case)))
            except ValueError:
                found.append("refused")
        return found

    if not np.allclose(probe(run, [(50, 0.0, 0.0), (0, 0.5, 0.2), (5, 1.0, 0.0)]), 0, atol=1e-12):
        fail("The power is 0 where the test cannot reject.")
    if not np.allclose(probe(run, [(6, 1.0, 0.0), (9, 0.0, 1.0), (7, 0.3, 0.7 + 1e-11)]), [1, 1, 0.3**7 + 0.7**7], atol=1e-9):
        fail("Wrong where every question tells the models apart.")
    if probe(run, [(10, 0.8, 0.3), (10, -0.1, 0.5), (10, 0.5, -0.1), (0, 1.0, 1.0)]) != ["refused"] * 4:
        fail("Impossible probabilities have to raise ValueError.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# *Coverage* is how often a 95 % interval contains the truth. **Left:** 30 questions, exactly. **Middle:** 400 questions on 40 passages, against the correlation of two answers on one passage; each point is 400 simulated benchmarks. **Right:** your `paired_power`, for two models that are correct on 80 and 83 % of the questions and agree on 86 %; "unpaired" is a test as if each had had questions of its own. **Predict** the power at 164 questions, the size of HumanEval, a set of programming tasks.

# %% tags=["demo"]
def interval_coverage(n, accuracy):
    """How often the percentile and Wilson's interval contain the accuracy, exactly."""
    from scipy.stats import binom

    right, z = np.arange(n + 1), 1.96
    share = right / n
    middle, half = (share + z**2 / (2 * n)) / (1 + z**2 / n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    ends = {"percentile": (binom.ppf(0.025, n, share) / n, binom.ppf(0.975, n, share) / n), "Wilson": (middle - half, middle + half)}
    chance = binom.pmf(right, n, accuracy)
    return {name: chance[(low < accuracy + 1e-9) & (accuracy - 1e-9 < high)].sum() for name, (low, high) in ends.items()}


def cluster_coverage(passages, correlation, n_benchmarks, per_passage=10, accuracy=0.7):
    """How often 1.96 standard errors, naive and clustered, reach the true accuracy."""
    generator = np.random.default_rng(int(1000 * correlation))
    clusters, found = np.repeat(np.arange(passages), per_passage), []
    for _ in range(n_benchmarks):
        strength = 1 / correlation - 1 if correlation else 1e6
        easy = generator.beta(accuracy * strength, (1 - accuracy) * strength, passages)
        answers = (generator.random(passages * per_passage) < easy[clusters]).astype(float)
        errors = answers.std(ddof=1) / math.sqrt(len(answers)), clustered_se(answers, clusters)
        found.append([abs(answers.mean() - accuracy) <= 1.96 * error for error in errors])
    return np.mean(found, axis=0)


def draw_error_bars(n=30, passages=40, n_benchmarks=400):
    from scipy.stats import norm

    clustered_se([1, 0], [0, 1]), paired_power(1, 0.1, 0.1)  # the quickest way to find out whether there are answers
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.4))
    accuracies = np.linspace(0.5, 0.995, 199)
    covered = [interval_coverage(n, accuracy) for accuracy in accuracies]
    for name, style in (("percentile", "-"), ("Wilson", "--")):
        left.plot(accuracies, [one[name] for one in covered], style, lw=1.4, label=name)
    left.set(xlabel="true accuracy", ylabel="coverage", ylim=(0, 1.03), title=f"Intervals from {n} questions")
    correlations = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    covered = np.array([cluster_coverage(passages, correlation, n_benchmarks) for correlation in correlations])
    middle.plot(correlations, covered[:, 0], "o-", ms=4, label="naive")
    middle.plot(correlations, covered[:, 1], "s--", ms=4, label="clustered")
    middle.set(xlabel="correlation in a passage", ylim=(0, 1.03), title=f"{passages} passages, ten questions each")
    for panel in (left, middle):
        panel.axhline(0.95, color="0.4", lw=0.8, ls=":")
        panel.legend(fontsize=8, loc="lower left")

    gain, loss = 0.0835, 0.0535
    sizes = np.array([50, 100, 164, 250, 400, 600, 800, 1000, 1300, 1600, 2000])
    right.plot(sizes, [paired_power(int(size), gain, loss) for size in sizes], "o-", ms=4, label="paired (McNemar)")
    assumed, true = np.sqrt((0.8 * 0.2 + 0.83 * 0.17) / sizes), np.sqrt((gain + loss - (gain - loss) ** 2) / sizes)
    unpaired = norm.cdf((gain - loss - 1.96 * assumed) / true) + norm.cdf((loss - gain - 1.96 * assumed) / true)
    right.plot(sizes, unpaired, "s--", ms=4, label="unpaired")
    right.axhline(0.8, color="0.4", lw=0.8, ls=":")
    right.axvline(164, color="0.4", lw=0.8, ls=":")
    right.set(xlabel="questions", ylabel="power", ylim=(0, 1.03), title="80 % against 83 %")
    right.legend(fontsize=8, loc="upper left")
    plt.show()


try:
    draw_error_bars()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.4.")

# %% [markdown]
# **Left.** At an accuracy of .97 the percentile interval contains the truth in 59 % of all cases, Wilson's in 94 %. In 40 %, all 30 answers are correct, and the percentile interval is a point.
# **Middle.** With a correlation of .3, "95 %" means less than 70 % if the passages are ignored. With the clustered error, all points lie between 92 and 97 %.
# **Right.** At 164 questions the power is 13 %, and 3 % for the unpaired test. It takes about 1,250 questions for 80 %. So on HumanEval a lead of three points says little, and a test that finds no difference says little, too.
#
# Two more errors are in none of these bars: *sampled* answers vary from run to run, and the *wording* of a question changes the score (6.8).
#
# **Change, predict, run.** `draw_error_bars(n=300, passages=8)`: which line gets better, and which gets worse?
#
# <details><summary>What you should see</summary>
#
# With 300 questions the percentile interval is almost as good as Wilson's up to .97. But with 8 passages the clustered error covers only 88 to 92 %: it is estimated from 8 numbers. Then Student's t with 7 degrees of freedom, 2.36, has to replace 1.96.
# </details>
