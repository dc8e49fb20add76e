# %% [markdown]
# ## 5.7 Honest selection
#
# 64 small networks for digits, almost equally good, are compared on 60 validation images. The best of them classifies 92 % correctly. **Predict:** how many new images will it classify correctly: 95, 92 or 88 %?
#
# Every score is a true value plus luck. Who takes the *highest* score prefers good settings, and also lucky ones. So the winner's score is too high on average, although each score by itself is right on average: the **winner's curse**. It grows with the length of the search, and hides in "the best of five
# seeds", in leaderboards, and in test sets that were looked at twice.
#
# ### How much is luck
#
# Let the true values of $n$ settings be normal with standard deviation $\tau$, and each score have an independent normal error with standard deviation $\sigma$. Given its score $y$, a setting's true value is on average $m + \frac{\tau^2}{\tau^2 + \sigma^2}(y - m)$, where $m$ is the mean of all. The rest of
# $y - m$ is luck. The scores have the standard deviation $\sqrt{\sigma^2 + \tau^2}$, so the highest lies $e_n \sqrt{\sigma^2 + \tau^2}$ above $m$, and is too high by
#
# $$\frac{\sigma^2}{\sqrt{\sigma^2 + \tau^2}}\; e_n, \qquad e_n = \mathbb E \max(z_1, \dots, z_n) = \int_{-\infty}^{\infty} x \; n\, \varphi(x)\, \Phi(x)^{n-1}\, dx ,$$
#
# with the density $\varphi$ and the distribution function $\Phi$ of the standard normal distribution ($n \varphi \Phi^{n-1}$ is the density of the maximum). $e_{20}$ is 1.87. Decision theory knows this as the *optimizer's curse* (Smith and Winkler,
# *Management Science* 52, 2006).
#
# The same formula is the cure: estimate $\tau$ from the scores, and pull each towards the mean. Where errors differ, this can change *which* setting wins: a score from one seed is pulled farther than a mean over ten.
#
# ### The best of how many?
#
# A method that was tuned in 200 trials has an advantage over one that was tuned in 10. What would the best of $k$ have been for both? From $n$ scores, average the maximum over all subsets of $k$. With the scores in ascending order, $v_{(1)} \le \dots \le v_{(n)}$, the $i$-th is the maximum of $\binom{i-1}{k-1}$ subsets:
#
# $$\frac{1}{\binom nk} \sum_{i=k}^{n} \binom{i-1}{k-1}\, v_{(i)} .$$
#
# Its expectation is exactly that of the best of $k$ runs. (Chapter 6 counts in the same way for pass@k.) Dodge et al. (arXiv:1909.03004) proposed such curves instead of one best number, but drew *with* replacement. That is biased (Tang et al., arXiv:2004.13705): from 20 uniform numbers, the best of 5 comes out as .816 on average, and is .833.
#
# ### A protocol
#
# 1. Choose on validation data, by the mean over seeds; give all settings the **same** seeds.
# 2. Say how sure the choice is, from the differences seed by seed: what a seed does to all settings cancels.
# 3. Train the chosen one from **new** seeds, and test it **once**. Report the mean of these, not the best.

# %% [markdown]
# ### Exercise 5.7 · Honest selection
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **13 points** · NumPy
#
# **Write** four functions. In all of them, a higher score is better. Arguments are not to be modified.
#
# <details><summary>Hint 1: large binomials</summary>
#
# The largest score has the weight $\binom{n-1}{k-1} / \binom nk = k / n$. From one score to the next smaller one, $\binom{i-1}{k-1} / \binom{i}{k-1} = \frac{i-k+1}{i}$. So no binomial is needed. (`math.comb` works, too: its whole numbers have no limit.)
# </details>
#
# <details><summary>Hint 2: the integral</summary>
#
# `scipy.integrate.quad` integrates a function, also from `-np.inf` to `np.inf`; $\Phi$ is `scipy.special.ndtr`, and $\varphi(x) = e^{-x^2/2} / \sqrt{2 \pi}$. Integrating by parts gives $e_n = \int_0^\infty (1 - \Phi(x)^n - \Phi(-x)^n)\, dx$.
# </details>
#
# <details><summary>Hint 3: errors of means and of differences</summary>
#
# `np.std(values, ddof=1) / np.sqrt(len(values))`. For the lead, the values are the differences between the two settings, one for each seed.
# </details>

# %% nbgrader={"grade": false, "grade_id": "honest_selection", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_of_k(scores: list[float] | np.ndarray, k: int) -> float:
    """What the best of k runs scores on average, estimated from n runs without bias.

    That is the mean, over all ways to take k of the n runs, of the largest score among the k. It is not
    sampled, and is as precise for thousands of runs.

    Args:
        scores: (n,), in any order, maybe with ties.
        k: how many runs.

    Raises:
        ValueError: k is less than 1, or more than n: then no estimate is free of bias.

    >>> round(best_of_k([1.0, 4.0, 2.0], 2), 4)  # the largest of the three pairs are 4, 2 and 4
    3.3333
    """
    ### BEGIN SOLUTION
    n = len(scores)
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}, not from 1 to {n}")
    weight, mean = k / n, 0.0
    for i, score in zip(range(n, k - 1, -1), sorted(scores, reverse=True), strict=False):
        mean += weight * score
        weight *= (i - k) / (i - 1) if i > 1 else 0.0
    return float(mean)
    ### END SOLUTION


def expected_optimism(n: int, noise: float, spread: float) -> float:
    """By how much the score of the best of n settings is too high, on average.

    The true values are independent, normal, with standard deviation `spread`. Each setting is scored
    once, with an independent normal error of mean 0 and standard deviation `noise`. The one with the
    highest score is chosen.

    Args:
        n: from 1 to 100,000.
        noise, spread: 0 or more, also both 0.

    Returns:
        The expectation of score minus true value of the chosen setting; its error is at most 1e-6
        times `noise`.

    >>> round(expected_optimism(2, 1.0, 0.0), 4)
    0.5642
    """
    ### BEGIN SOLUTION
    from scipy.integrate import quad
    from scipy.special import ndtr

    if noise == 0:
        return 0.0
    highest, _ = quad(lambda x: 1 - ndtr(x) ** n - ndtr(-x) ** n, 0, 10, limit=200)
    return float(noise**2 / math.hypot(noise, spread) * highest)
    ### END SOLUTION


def shrink(scores: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Estimates the settings' true values, by pulling each score towards the mean of all.

    The spread is estimated: spread² is the variance of the scores (with n - 1), minus the mean of
    noise², or 0 if that is negative. With m, the plain mean of the scores, an estimate is

        m + w (score - m),  w = spread² / (spread² + noise²)

    with the noise of that score. Where the noise is 0, it is the score itself, also if spread² is 0.

    Args:
        scores: (n,), n at least 2.
        noise: (n,), the standard error of each score, 0 or more.

    Returns:
        (n,), in the order of the scores.

    >>> shrink(np.array([1.0, 3.0, 5.0]), np.array([1.0, 1.0, 1.0]))
    array([1.5, 3. , 4.5])
    """
    ### BEGIN SOLUTION
    mean = scores.mean()
    spread2 = max(0.0, scores.var(ddof=1) - (noise**2).mean())
    weights = np.ones(len(scores))
    np.divide(spread2, spread2 + noise**2, out=weights, where=noise > 0)
    return mean + weights * (scores - mean)
    ### END SOLUTION


def select_then_test(settings: list, score, seeds: list[int], final_seeds: list[int]) -> dict[str, float]:
    """Chooses a setting on validation data, and measures that one on test data.

    Each setting is scored on "validation" once with each seed of `seeds`. The one with the highest mean is
    chosen, of equal ones the earliest. (Where the means of two settings differ by rounding alone,
    either may be chosen.) Then it alone is scored on "test", once with each seed of
    `final_seeds`. `score` is called for nothing else.

    Args:
        settings: at least two.
        score: score(setting, seed, split) trains with the setting from the seed, and returns a number;
            split is "validation" or "test".
        seeds, final_seeds: at least two each.

    Returns:
        "chosen": the index of the chosen setting.
        "test": the mean of its test scores, and "test_error": the standard error of that mean.
        "lead": the chosen setting's mean validation score minus that of the runner-up, the best of the
            others (of equal ones the earliest), and "lead_error": the standard error of that
            difference, from the differences seed by seed.
        A standard error is the standard deviation (with n - 1) divided by the square root of n.

    >>> result = select_then_test([{"lr": 0.1}, {"lr": 0.3}], train_and_score, seeds=[0, 1, 2], final_seeds=[3, 4])
    """
    ### BEGIN SOLUTION
    validation = np.array([[score(setting, seed, "validation") for seed in seeds] for setting in settings])
    chosen, second = np.argsort(-validation.mean(1), kind="stable")[:2]
    test = np.array([score(settings[chosen], seed, "test") for seed in final_seeds])
    lead = validation[chosen] - validation[second]

    def error(values):
        return float(values.std(ddof=1) / math.sqrt(len(values)))

    return {"chosen": int(chosen), "test": float(test.mean()), "test_error": error(test), "lead": float(lead.mean()), "lead_error": error(lead)}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_honest_selection", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=13)


@check(points=1, hint="Take different runs, not the same one twice: the pairs of [1, 4, 2] are (1, 4), (1, 2) and (4, 2).")
def averages_over_pairs():
    """By hand, best_of_k([1, 4, 2], 2) is 10/3, the best of one is the mean, and that of all is the maximum."""
    for k, truth in ((1, 7 / 3), (2, 10 / 3), (3, 4)):
        found = best_of_k([1.0, 4.0, 2.0], k)
        assert abs(found - truth) < 1e-9, f"best_of_k([1, 4, 2], {k}) is {found:.4f} instead of {truth:.4f}"


@check(points=1, hint="The maximum of two standard normal numbers is 1/√π on average. Then multiply by noise² / √(noise² + spread²).")
def optimism_by_hand():
    """For two settings, the optimism is 0.5642 times noise² / √(noise² + spread²)."""
    for noise, spread, factor in ((1.0, 0.0, 1.0), (2.0, 0.0, 2.0), (3.0, 4.0, 9 / 5)):
        found = expected_optimism(2, noise, spread)
        truth = factor / math.sqrt(math.pi)
        assert abs(found - truth) < 1e-5, f"expected_optimism(2, {noise:g}, {spread:g}) is {found:.5f} instead of {truth:.5f}"


@check(points=1, hint="The variance is 4 (divide by n - 1), the mean of noise² is 1, so spread² is 3; each score has a weight of its own.")
def shrinks_by_hand():
    """By hand: [1, 3, 5] with noise [1, 0, √2] becomes [1.5, 3, 4.2]."""
    found = np.asarray(shrink(np.array([1.0, 3.0, 5.0]), np.array([1.0, 0.0, math.sqrt(2)])))
    assert found.shape == (3,), f"shape {found.shape} instead of (3,)"
    assert np.allclose(found, [1.5, 3, 4.2], atol=1e-9), f"{np.round(found, 3).tolist()} instead of [1.5, 3.0, 4.2]"


@check(points=1, hint="Means over the seeds decide. The chosen one alone is tested, with the final seeds.")
def selects_by_hand():
    """Of three settings, that with the best mean on validation is chosen, though another one has the best seed, and the best test score."""
    validation = {"a": [0.5, 1.0], "b": [0.9, 0.8], "c": [0.25, 0.25]}

    def score(setting, seed, split):
        return validation[setting][seed] if split == "validation" else {"a": 0.9, "b": 0.5, "c": 1.0}[setting] + 0.25 * (seed == 7)

    found = probe(lambda: dict(select_then_test(["a", "b", "c"], score, [0, 1], [7, 8])))
    truth = {"chosen": 1, "test": 0.625, "test_error": 0.125, "lead": 0.1, "lead_error": 0.3}
    for name, value in truth.items():
        assert name in found, f'"{name}" is missing'
        assert abs(found[name] - value) < 1e-9, f'"{name}" is {found[name]:.4g} instead of {value}'


### BEGIN HIDDEN TESTS
import itertools
import statistics

from scipy.integrate import quad
from scipy.special import log_ndtr


@check(points=1, hint="Sort; with ties, each run still counts for itself. Negative scores are scores, too.")
def agrees_with_enumeration():
    """best_of_k agrees with going through all subsets, also with ties and negative scores, and leaves the scores as they are."""
    def run(cases):
        return [(float(best_of_k(scores, k)), scores) for scores, k in cases]

    generator = np.random.default_rng(np.random.randint(2**31))
    lists = [[0.5], [2.0, -3.0], [1.0, 1.0, 0.0, 1.0], generator.normal(-2, 1, 7).tolist(), generator.integers(0, 3, 8).astype(float).tolist()]
    cases = [(kind(scores), k) for scores in lists for k in range(1, len(scores) + 1) for kind in (list, np.array)]
    for (scores, k), (found, after) in zip(cases, probe(run, [(scores.copy(), k) for scores, k in cases]), strict=True):
        truth = statistics.fmean(max(subset) for subset in itertools.combinations(scores, k))
        if not abs(found - truth) < 1e-9:
            fail(f"Wrong for the best of {k} of {len(scores)} runs{', some of them equal' if len(set(scores)) < len(scores) else ''}.")
        if list(after) != list(scores):
            fail("The scores were modified.")


@check(points=1, hint="Binomials of thousands do not fit into a float: use whole numbers of Python, or go from one weight to the next.")
def works_for_thousands():
    """best_of_k is as precise for 2,000 scores."""
    n = 2_000
    order = np.random.permutation(n) + 1.0
    # The largest of k of the numbers 1 to n, M, is k (n + 1) / (k + 1) on average, and M (M + 1) is k (n + 1) (n + 2) / (k + 2).
    truths = {k: (k * (n + 1) / (k + 1), k * (n + 1) * (n + 2) / (k + 2)) for k in (1, 2, 40, 1_000, 2_000)}
    found = probe(lambda order, ks: [(float(best_of_k(order, k)), float(best_of_k(order * (order + 1), k))) for k in ks], order, list(truths))
    for (k, truth), answer in zip(truths.items(), found, strict=True):
        if not np.allclose(answer, truth, rtol=1e-8):
            fail(f"Wrong for the best of {k} of 2,000 runs.")


@check(points=0.5, hint="Raise ValueError unless 1 <= k <= n.")
def refuses_more_than_there_are():
    """best_of_k refuses k = 0, and more runs than there are."""
    def refused(scores, k):
        try:
            best_of_k(scores, k)
        except ValueError:
            return True
        return False

    for scores, k in (([0.1, 0.2, 0.3], 4), ([0.1, 0.2], 0), ([0.1, 0.2], -1), ([0.1], 1_000)):
        if not probe(refused, scores, k):
            fail(f"The best of {k} of {len(scores)} runs has to raise ValueError.")


@check(points=1.5, hint="Integrate: neither √(2 ln n), nor the median of the maximum, nor a simulation is precise to 1e-6.")
def integrates_the_maximum():
    """Without spread, the optimism is the noise times the expected maximum of n standard normal numbers, within 1e-6."""
    root = math.sqrt(math.pi)
    # Closed forms up to five (for example David and Nagaraja, Order Statistics); then quadrature in another form, with logarithms.
    expected = {1: 0.0, 2: 1 / root, 3: 1.5 / root, 4: 6 / math.pi**1.5 * math.atan(math.sqrt(2)), 5: 2.5 / root * (0.5 + 3 / math.pi * math.asin(1 / 3))}
    for n in (20, 1_000, 100_000):
        upper = quad(lambda x, n=n: -math.expm1(n * log_ndtr(x)), 0, 12, epsabs=1e-12, limit=400)[0]
        lower = quad(lambda x, n=n: math.exp(n * log_ndtr(x)), -12, 0, epsabs=1e-12, limit=400)[0]
        expected[n] = upper - lower
    cases = [(n, noise) for n in expected for noise in (1.0, 0.03)]
    found = probe(lambda cases: [float(expected_optimism(n, noise, 0.0)) for n, noise in cases], cases)
    for (n, noise), answer in zip(cases, found, strict=True):
        if not abs(answer - noise * expected[n]) < 1e-6 * noise:
            fail(f"Wrong for {n:,} settings without spread (noise {noise:g}): off by {answer / noise - expected[n]:+.2g} times the noise.")


@check(points=1, hint="Luck's share of the highest score's distance from the mean is noise² / (noise² + spread²); that distance grows with √(noise² + spread²).")
def spread_reduces_optimism():
    """With spread, the optimism is smaller, as in the formula; it is 0 without noise."""
    cases = [(20, 1.0, 0.5), (20, 1.0, 2.0), (7, 0.2, 0.1), (20, 0.01, 1.0), (5, 0.0, 1.0), (5, 0.0, 0.0), (1, 1.0, 1.0)]
    found = probe(lambda cases: [float(expected_optimism(*case)) for case in cases], cases)
    for (n, noise, spread), answer in zip(cases, found, strict=True):
        maximum = quad(lambda x, n=n: -math.expm1(n * log_ndtr(x)), 0, 12)[0] - quad(lambda x, n=n: math.exp(n * log_ndtr(x)), -12, 0)[0]
        truth = noise * maximum * math.sin(math.atan2(noise, spread)) if noise else 0.0
        if not abs(answer - truth) <= 1e-6 * max(noise, 1e-6):
            fail(f"Wrong for {n} settings, noise {noise:g} and spread {spread:g}.")


def shrunk(cases):
    """shrink's answers, and what its arguments are afterwards."""
    def run(cases):
        return [(np.asarray(shrink(scores, noise)), scores, noise) for scores, noise in cases]

    answers = probe(run, [(scores.copy(), noise.copy()) for scores, noise in cases])
    for (scores, noise), (found, *after) in zip(cases, answers, strict=True):
        if not (np.array_equal(after[0], scores) and np.array_equal(after[1], noise)):
            fail("An argument was modified.")
        if found.shape != scores.shape:
            fail(f"The answer for {len(scores)} scores has the shape {found.shape}.")
        yield scores, noise, found


@check(points=1, hint="Variances are subtracted and added, not standard deviations; the weight of each score has its own noise.")
def shrinks_as_the_model_says():
    """Each score is pulled to the mean by its own noise, with the spread estimated from all."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n in (2, 5, 30):
        scores = 10 + 3 * np.linspace(-1, 1, n) + generator.uniform(-0.2, 0.2, n)
        cases += [(generator.permutation(scores), generator.uniform(0.2, 1.2, n)), (0.01 * scores - 1, np.full(n, 0.01))]
    for scores, noise, found in shrunk(cases):
        prior = 1 / (statistics.variance(scores.tolist()) - statistics.fmean((noise**2).tolist()))
        data = 1 / noise**2
        truth = (prior * statistics.fmean(scores.tolist()) + data * scores) / (prior + data)
        if not np.allclose(found, truth, rtol=1e-9, atol=1e-12):
            fail(f"Wrong for {len(scores)} scores{' with unequal noise' if np.ptp(noise) else ''}.")


@check(points=1, hint="A negative spread² is 0: then all estimates are the mean, but a score without noise is known. Do not divide 0 by 0.")
def shrinks_at_the_edges():
    """Where all differences are luck, all estimates are the mean; what has no noise stays as it is."""
    for scores, noise, found in shrunk([
        (np.array([0.8, 0.9, 0.7]), np.array([0.3, 0.3, 0.3])),
        (np.array([0.8, 0.9, 0.7, 0.6]), np.array([0.0, 0.5, 0.5, 0.5])),
        (np.array([0.5, 0.5]), np.array([0.1, 0.0])),
        (np.array([1.0, 2.0, 4.0]), np.zeros(3)),
        (np.array([3.0, 3.0, 3.0]), np.zeros(3)),
        (np.array([1.0, 2.0, 6.0]), np.array([0.0, 1.0, 0.5])),
    ]):
        spread2 = max(0.0, statistics.variance(scores.tolist()) - statistics.fmean((noise**2).tolist()))
        mean = statistics.fmean(scores.tolist())
        truth = [x if not s else mean if not spread2 else mean + (x - mean) / (1 + s**2 / spread2) for x, s in zip(scores.tolist(), noise.tolist(), strict=True)]
        if not np.allclose(found, truth, atol=1e-9):
            fail("Wrong where a noise is 0." if 0 in noise else "Wrong where the scores vary less than their noise explains.")


def selected(validation, test, seeds, final_seeds):
    """What select_then_test returns for tables of scores, and the calls of `score`."""
    def run(validation, test, seeds, final_seeds):
        calls = []

        def score(setting, seed, split):
            calls.append((setting["number"], int(seed), str(split)))
            if split == "validation":
                return validation[setting["number"]][seeds.index(seed) if seed in seeds else 0]
            return test[setting["number"]][final_seeds.index(seed) if seed in final_seeds else 0]

        result = select_then_test([{"number": i} for i in range(len(validation))], score, list(seeds), list(final_seeds))
        return {name: float(value) for name, value in dict(result).items()}, calls

    return probe(run, validation, test, seeds, final_seeds)


# The second and the last have the best mean, the third the best median, the fourth the best seed and the best test score.
VALIDATION = [[0.25, 0.5, 0.75, 0.5], [0.375, 0.5, 0.875, 0.75], [0.0, 0.75, 0.75, 0.75], [0.0, 0.25, 1.0, 0.25], [0.375, 0.5, 0.875, 0.75]]
TEST = [[0.75, 0.875, 1.0], [0.5, 0.25, 0.375], [0.875, 0.75, 0.75], [1.0, 1.0, 1.0], [0.625, 0.5, 0.5]]


@check(points=1, hint="The same seeds for all settings on validation; on test, the chosen setting and the final seeds only; nothing twice.")
def tests_only_the_chosen():
    """Each setting is validated once with each seed, and only the chosen one is tested, once with each final seed."""
    _, calls = selected(VALIDATION, TEST, [11, 5, 8, 2], [30, 31, 32])
    on_test = [call for call in calls if call[2] == "test"]
    if any(number != 1 for number, _, _ in on_test):
        fail("A setting was tested that was not chosen.")
    if sorted(on_test) != [(1, seed, "test") for seed in (30, 31, 32)]:
        fail("The chosen setting has to be tested once with each final seed, and with no others.")
    if sorted(call for call in calls if call[2] != "test") != sorted((i, seed, "validation") for i in range(5) for seed in (11, 5, 8, 2)):
        fail("Each setting has to be scored on validation once with each seed of `seeds`, and with no others.")


@check(points=1, hint="Argmax of means, the earliest of equal ones; standard errors with n - 1, divided by √n; the lead's from differences seed by seed.")
def reports_means_and_errors():
    """Choice, test result, lead and both standard errors are as the protocol says, with ties, too."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [(VALIDATION, TEST, [11, 5, 8, 2], [30, 31, 32])]
    for n in (2, 4, 7):
        shared = generator.integers(0, 64, 5) / 16
        cases.append(((shared + generator.integers(0, 8, (n, 5)) / 32).tolist(), (generator.integers(0, 64, (n, 2)) / 64).tolist(), [3, 1, 4, 15, 9], [20, 21]))
    # Many settings share the best mean: a sort that is not stable finds others than the first two of them.
    for _ in range(4):
        validation = [generator.permutation([0.0, 0.25, 0.5, 1.0]).tolist() if best else [0.25] * 4 for best in generator.random(300) < 0.2]
        cases.append((validation, generator.integers(0, 64, (300, 2)).tolist(), [3, 1, 4, 15], [20, 21]))
    for validation, test, seeds, final_seeds in cases:
        found, _ = selected(validation, test, seeds, final_seeds)
        first, second = sorted(range(len(validation)), key=lambda i: (-sum(validation[i]), i))[:2]
        differences = [a - b for a, b in zip(validation[first], validation[second], strict=True)]
        truth = {"chosen": first, "test": statistics.fmean(test[first]), "lead": statistics.fmean(differences)}
        truth |= {f"{name}_error": statistics.stdev(values) / math.sqrt(len(values)) for name, values in (("test", test[first]), ("lead", differences))}
        for name, value in truth.items():
            if name not in found:
                fail(f'"{name}" is missing.')
            if not abs(found[name] - value) < 1e-9:
                fail(f'"{name}" is wrong for {len(validation)} settings, {len(seeds)} seeds and {len(final_seeds)} final seeds.')


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# On the left, the formula against simulated searches whose truth is known. In the middle, real ones: networks of random features (2.7), trained on 100 digits, of 150 to 300 features and a penalty from 0.01 to 1, compared on 60 images, and tested on 500 others. All its numbers are means over 20 searches. On the right, your `best_of_k`, for two ways to search.
# **Predict:** which line of the middle panel rises, and which does not?

# %% tags=["demo", "nbval-ignore-output"]
def digit_search(n_networks, seed, widths, penalties, n_validation=60):
    """Which images each of several random networks gets right, on validation and on test."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(pixels))[: 600 + n_validation]
    images, classes = (pixels[order] - pixels[order[:100]].mean(0)) / 16, classes[order]
    correct = []
    for _ in range(n_networks):
        width, penalty = np.exp(generator.uniform(*np.log([widths, penalties]).T))
        features = np.maximum(images @ generator.standard_normal((64, int(width))), 0) / math.sqrt(int(width))
        A = features[:100]
        W = A.T @ np.linalg.solve(A @ A.T + penalty * np.eye(100), np.eye(10)[classes[:100]])
        correct.append((features[100:] @ W).argmax(1) == classes[100:])
    return np.split(np.array(correct), [n_validation], axis=1)


def draw_selection(widths=(150, 300), penalties=(0.01, 1.0), n_searches=20):
    expected_optimism(2, 1.0, 0.0)  # the quickest way to find out whether there is an answer
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.4))

    generator = np.random.default_rng(0)
    numbers = [1, 2, 3, 5, 10, 20, 50, 100]
    for color, spread in zip(("C0", "C1", "C2", "C3"), (0, 0.5, 1, 2), strict=True):
        truth = spread * generator.normal(size=(4000, 100))
        scores = truth + generator.normal(size=(4000, 100))
        best = [scores[:, :n].argmax(1) for n in numbers]
        left.plot(numbers, [(scores - truth)[np.arange(4000), i].mean() for i in best], "o", ms=4, color=color)
        left.plot(numbers, [expected_optimism(n, 1.0, spread) for n in numbers], lw=1.2, color=color, label=f"spread {spread:g}")
    left.set(xlabel="settings", ylabel="score minus true value", title="Optimism; noise 1", ylim=(-0.15, 3.3))
    left.legend(fontsize=8, ncols=2, loc="upper left")

    numbers = [2, 4, 8, 16, 32, 64]
    curves = {"score on validation": [], "estimated by shrink": [], "on test": []}
    for seed in range(n_searches):
        on_validation, on_test = digit_search(64, seed, widths, penalties)
        scores = on_validation.mean(1)
        # All networks see the same images, so only what distinguishes a network from the others is noise of the comparison.
        noise = (on_validation - on_validation.mean(0)).std(1, ddof=1) / math.sqrt(on_validation.shape[1])
        best = [scores[:n].argmax() for n in numbers]
        curves["score on validation"].append(scores[best])
        curves["estimated by shrink"].append([shrink(scores[:n], noise[:n])[i] for n, i in zip(numbers, best, strict=True)])
        curves["on test"].append(on_test.mean(1)[best])
    for (name, values), style in zip(curves.items(), ("o-", "s--", "^-"), strict=True):
        middle.plot(numbers, 100 * np.mean(values, axis=0), style, ms=4, label=name)
    middle.set(xlabel="networks compared", ylabel="correct, in %", title="The best on 60 images", xticks=[2, 8, 16, 32, 64])
    middle.legend(fontsize=8)

    searches = {"few features, strong penalty": ((30, 60), (0.3, 3.0)), "anything": ((10, 600), (1e-4, 100.0))}
    ks = np.arange(1, 41)
    for (name, space), color in zip(searches.items(), ("C4", "C5"), strict=True):
        scores = [digit_search(60, seed, *space, n_validation=500)[0].mean(1) for seed in range(3)]
        right.plot(ks, [100 * np.mean([best_of_k(search, int(k)) for search in scores]) for k in ks], color=color, label=name)
    right.set(xlabel="runs, $k$", ylabel="expected best, in %", title="Which search is better?")
    right.legend(fontsize=8, loc="lower right")
    plt.show()


try:
    draw_selection()
except NotImplementedError:
    print("This figure needs your functions of exercise 5.7.")

# %% [markdown]
# **Left.** The formula is exact here, and optimism grows slowly but without end. **Middle.** From 2 to 64 networks, the best score rises from 88.2 to 92.1 %, the same networks' test results from 88.0 to 88.6 %: nearly all of the gain is luck. `shrink` says so, from validation scores alone. It is about one point too low: these validation images were a little harder, which
# all networks share, and no comparison among them can tell. That is also why the noise is taken from differences between networks (2.5 points), not from the number of images ($\sqrt{0.13 \cdot 0.87 / 60}$, 4.3 points): with that, `shrink` would find no differences at all.
#
# **Right.** Who can afford one run takes few features with a strong penalty (80 against 76 %); from two runs on the wide search is better, and with 40 by 6 points. "Which is better?" has no answer without a budget.
#
# **Change, predict, run.** `draw_selection(widths=(10, 600), penalties=(1e-4, 100.0))` searches a wide space. How do the three lines of the middle panel change, and is `shrink` still right?
#
# <details><summary>What you should see</summary>
#
# Now most of the gain is real: on test from 79 to 89 %. The best score is 2.6 points too high, not 3.5. But `shrink` now says 90 %, too much: the many bad networks make the spread large, so the top is hardly pulled. Its model is a normal distribution; among the best few, networks differ less than it believes. Shrinking is no substitute for a test.
# </details>
