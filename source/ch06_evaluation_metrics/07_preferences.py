# %% [markdown]
# ## 6.7 Preferences and judges
#
# People, or a strong model, read two chatbots' answers to one prompt and say which they prefer. Thousands of such *games* make a leaderboard. **Predict:** how many different leaderboards can come out of one record of 2,000 games of six models?
#
# ### Strength
#
# Bradley and Terry (*Biometrika* 39, 1952) give each model a strength $\theta$. The model shown first, $i$, wins against the one shown second, $j$, with probability
#
# $$P(i \text{ wins}) = \sigma(\theta_i - \theta_j + \beta^\top c), \qquad \sigma(x) = \frac{1}{1 + e^{-x}},$$
#
# where $c$ describes the game, and $\beta$ is 0 for a fair judge. This is logistic regression: a game is a row with $+1$ at $i$, $-1$ at $j$, and then $c$.
#
# - **A win rate is no strength.** Who plays only weak models wins often.
# - **Only differences count.** Something has to fix the level.
# - **A model that always wins** has no finite best strength: what comes out depends on when the optimiser stops. We take independent normal priors with mean 0 and standard deviation $s$ for all $\theta$ and $\beta$, and maximise
#
# $$\sum_{\text{games}} \big[ y \log p + (1 - y) \log(1 - p) \big] - \frac{1}{2 s^2} \Big( \sum_i \theta_i^2 + \sum_k \beta_k^2 \Big).$$
#
# Here $y$ is 1 if the first wins, ½ for a tie, and 0 if it loses. There is exactly one maximum, whatever the games.
#
# **Elo** ratings, from chess, take one game after another, with steps of size $k$: with $e = 1 / (1 + 10^{(R_j - R_i) / 400})$,
#
# $$R_i \leftarrow R_i + k (y - e), \qquad R_j \leftarrow R_j - k (y - e).$$
#
# That is stochastic gradient ascent on the same log-likelihood (without the prior), a step for each game. So old games are slowly forgotten.
#
# ### Judges have tastes
#
# Zheng et al. (arXiv:2306.05685) describe three biases of models as judges. As columns of $c$:
#
# - **position**: 1 in every game; then $\beta > 0$ favours the first.
# - **length**: log-length of the first answer minus that of the second.
# - **itself**: +1 if the first answer is the judge's own, −1 if the second is, else 0.
#
# The games of the figure are synthetic.

# %% nbgrader={"grade": false, "grade_id": "setup_preferences", "locked": true, "schema_version": 3, "solution": false, "task": false}
TRUE_STRENGTHS = np.array([1.0, 0.6, 0.2, -0.2, -0.6, -1.0])  # of the models A to F
VERBOSITY = np.array([0.0, -0.4, -0.4, 0.6, 0.4, -0.2])  # mean log-length of their answers, minus a constant


def judged_games(n_games: int, seed: int, position: float = 0.0, length: float = 0.0, own: float = 0.0, taste: float = 0.0, placed: float = 0.0) -> dict[str, np.ndarray]:
    """Synthetic games of six models on 100 prompts, judged with given biases.

    Args:
        position, length, own: the judge's biases for the answer shown first, for each unit of log-length, and for
            answers of model F, which is the judge.
        taste: by how much (a standard deviation) a model is better or worse than usual on one prompt.
        placed: how much more often stronger models are shown first; 0: not at all.

    Returns:
        "first", "second" (the models), "outcome" (1, 0.5 or 0, for the first), "prompt", and "longer" (the difference of the
        log-lengths), (n_games,) each.
    """
    generator = np.random.default_rng(seed)
    pair = np.argsort(generator.random((n_games, 6)), axis=1)[:, :2]
    swap = generator.random(n_games) < 1 / (1 + np.exp(placed * (TRUE_STRENGTHS[pair[:, 0]] - TRUE_STRENGTHS[pair[:, 1]])))
    if placed:
        pair[swap] = pair[swap][:, ::-1]
    first, second = pair.T.copy()
    prompt = generator.integers(0, 100, n_games)
    on_prompt = TRUE_STRENGTHS + taste * generator.normal(size=(100, 6))
    longer = VERBOSITY[first] - VERBOSITY[second] + 0.5 * generator.normal(size=n_games)
    p = 1 / (1 + np.exp(-(on_prompt[prompt, first] - on_prompt[prompt, second] + position + length * longer + own * (1.0 * (first == 5) - (second == 5)))))
    tie = 0.3 * np.minimum(p, 1 - p)  # the probability of a tie; half of it comes from each side
    u = generator.random(n_games)
    outcome = np.where(u < p - tie / 2, 1.0, np.where(u < p + tie / 2, 0.5, 0.0))
    return {"first": first, "second": second, "outcome": outcome, "prompt": prompt, "longer": longer}


# %% tags=["demo"]
def draw_biases():
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    gaps = np.array([-2, -1.6, -1.2, -0.8, -0.4, 0.4, 0.8, 1.2, 1.6, 2])

    def draw(axis, games, chosen, style, color, label):
        gap = np.round(TRUE_STRENGTHS[games["first"]] - TRUE_STRENGTHS[games["second"]], 1)
        axis.plot(gaps, [100 * games["outcome"][chosen & (gap == value)].mean() for value in gaps], style, ms=4, color=color, label=label)

    fair, by_position, by_length = judged_games(20_000, 0), judged_games(20_000, 1, position=0.8), judged_games(20_000, 2, length=0.8)
    draw(left, by_position, True, "s--", "C0", "judge prefers the first")
    draw(right, by_length, by_length["longer"] > 0.5, "s--", "C0", "prefers long; first much longer")
    draw(right, by_length, by_length["longer"] < -0.5, "^:", "C1", "prefers long; first much shorter")
    for axis, title in ((left, "Position"), (right, "Length")):
        draw(axis, fair, True, "o-", "0.45", "fair judge")
        axis.axhline(50, color="0.8", lw=0.8, zorder=0)
        axis.set(title=title, xlabel="strength of the first minus that of the second")
        axis.legend(fontsize=8, loc="upper left")
    left.set(ylabel="won by the first, in %", ylim=(0, 109))
    plt.show()


draw_biases()

# %% [markdown]
# A bias moves the whole curve: between equals, the judge on the left takes the first answer in 69 % of the games, $\sigma(0.8)$. If each pair is shown equally often in both orders, this mostly cancels; if not, it is counted as strength.
#
# So show each pair in both orders, and count how often the verdict **flips**. And resample **prompts** with all their games: games on one prompt are not independent (6.4).

# %% [markdown]
# ### Exercise 6.7 · Preferences and judges
#
# > **Difficulty** ★★☆☆ · **60 minutes** · **12 points** · NumPy
#
# **Write** four functions. Arguments are not to be modified. scikit-learn's `LogisticRegression` fails in the hidden checks; optimisers of SciPy or torch are allowed.
#
# <details><summary>Hint 1: the rows</summary>
#
# From zeros of shape `(n_games, n_models)`: `X[rows, first] += 1`, then `X[rows, second] -= 1`, with `rows = np.arange(n_games)`. Then the columns of the covariates. The probabilities are $p = \sigma(X w)$.
# </details>
#
# <details><summary>Hint 2: Newton's method</summary>
#
# The gradient is $g = X^\top (y - p) - w / s^2$, the negative Hessian matrix $H = X^\top \mathrm{diag}(p (1 - p)) X + I / s^2$. From $w = 0$, repeat $w \leftarrow w + H^{-1} g$ until the steps are tiny.
# </details>

# %% nbgrader={"grade": false, "grade_id": "preferences", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bradley_terry(
    first: np.ndarray,
    second: np.ndarray,
    outcome: np.ndarray,
    n_models: int,
    covariates: np.ndarray | None = None,
    prior_std: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The strengths and biases that are most probable after the games.

    They maximise the objective of section 6.7: the log-likelihood, a tie being half a win for each side,
    minus the sum of the squares of all strengths and biases divided by 2 prior_std². That fixes the
    level (the strengths have mean 0), and gives a finite strength also to a model that always wins. A
    model without games has strength 0. The order of the games plays no part, nor which of the two is
    called the first, if outcome and covariates change with it.

    Args:
        first, second: (n,), which model, from 0 to n_models - 1, was shown first, which second. A model may
            meet itself: such a game tells about biases only. n may be 0.
        outcome: (n,), 1, 0.5 or 0, for the first.
        covariates: (n, k), one row for each game, for biases; None: there are none.
        prior_std: the standard deviation of the prior, of strengths and biases alike. The precision below is asked for up to 5.

    Returns:
        strengths (n_models,) and biases (k,), within 1e-4 of the exact maximum.

    Raises:
        ValueError: prior_std is not a finite number above 0.

    >>> strengths, _ = bradley_terry(np.array([0, 1]), np.array([1, 0]), np.array([1.0, 0.0]), n_models=2)
    >>> strengths.round(4)  # model 0 won both games
    array([ 0.5213, -0.5213])
    """
    ### BEGIN SOLUTION
    if not 0 < prior_std < math.inf:
        raise ValueError(f"prior_std is {prior_std}")
    n = len(first)
    rows = np.arange(n)
    X = np.zeros((n, n_models))
    X[rows, first] += 1
    X[rows, second] -= 1
    if covariates is not None:
        X = np.hstack([X, covariates])
    w = np.zeros(X.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-X @ w))
        gradient = X.T @ (outcome - p) - w / prior_std**2
        hessian = (X.T * (p * (1 - p))) @ X + np.eye(len(w)) / prior_std**2
        step = np.linalg.solve(hessian, gradient)
        w = w + step
        if np.abs(step).max() < 1e-9:
            break
    return w[:n_models], w[n_models:]
    ### END SOLUTION


def elo(first: np.ndarray, second: np.ndarray, outcome: np.ndarray, n_models: int, k: float = 32.0) -> np.ndarray:
    """Elo's ratings after the games, taken in the given order.

    All start at 1500. In each game, both ratings change by k times the difference between the outcome and
    its expectation, which is computed from both ratings before the game: one rises by what the other
    falls. A model that meets itself keeps its rating.

    Args:
        first, second, outcome: as in `bradley_terry`; n may be 0.
        k: the size of a step, above 0.

    Returns:
        (n_models,), the last ratings.

    >>> elo(np.array([0]), np.array([1]), np.array([1.0]), n_models=3)
    array([1516., 1484., 1500.])
    """
    ### BEGIN SOLUTION
    ratings = [1500.0] * n_models
    for i, j, y in zip(first, second, outcome, strict=True):
        change = k * (y - 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400)))
        ratings[i] += change
        ratings[j] -= change
    return np.array(ratings)
    ### END SOLUTION


def position_flip_rate(one_way: np.ndarray, other_way: np.ndarray) -> dict[str, float]:
    """How often a judge's verdict changes when the two answers change places, and in whose favour.

    Pairs of answers, A and B, were judged twice. A verdict is the outcome for the answer shown first. A
    pair is flipped unless the same answer wins both times, or both are ties. A flipped pair
    favours the first position if the sum of its two verdicts is above 1, and else the second.

    Args:
        one_way: (n,), 1, 0.5 or 0, the verdicts with A shown first.
        other_way: (n,), those on the same pairs with B shown first. In both, NaN where the judge gave no
            verdict: such a pair is left out.

    Returns:
        "flip_rate", "to_first" and "to_second": shares of the pairs that were judged twice.

    Raises:
        ValueError: no pair was judged twice.

    >>> position_flip_rate(np.array([1.0, 1.0, 0.0, 0.5]), np.array([0.0, 1.0, 0.0, 1.0]))
    {'flip_rate': 0.75, 'to_first': 0.5, 'to_second': 0.25}
    """
    ### BEGIN SOLUTION
    points = one_way + other_way
    points = points[~np.isnan(points)]
    if len(points) == 0:
        raise ValueError("no pair was judged twice")
    return {"flip_rate": float(np.mean(points != 1)), "to_first": float(np.mean(points > 1)), "to_second": float(np.mean(points < 1))}
    ### END SOLUTION


def prompt_bootstrap(prompt: np.ndarray, statistic, draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile intervals for statistics of games, with prompts resampled and not games.

    For each row of `draws`, all games of each of its prompts are taken, as often as the prompt is in the
    row, and `statistic` is computed of them. It is called for nothing else.

    Args:
        prompt: (n,), whole numbers, the prompt of each game; in any order, prompts may have different
            numbers of games.
        statistic: statistic(games) takes a one-dimensional array of whole numbers, the indices of games (in
            any order), and returns m numbers.
        draws: (B, P), prompts that were drawn with replacement: values that `prompt` has.
        level: of the interval.

    Returns:
        low and high, (m,) each: for each of the m numbers, `np.quantile` of its B values at (1 - level) / 2 and
        (1 + level) / 2.

    >>> values = np.array([1.0, 2.0, 9.0])  # of three games, two of them on prompt 5
    >>> low, high = prompt_bootstrap(np.array([5, 5, 7]), lambda games: [values[games].mean()], np.array([[5, 5], [7, 5]]), level=1.0)
    >>> low, high
    (array([1.5]), array([4.]))
    """
    ### BEGIN SOLUTION
    games_of = {p: np.flatnonzero(prompt == p) for p in np.unique(prompt)}
    values = np.array([statistic(np.concatenate([games_of[p] for p in row])) for row in draws])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_preferences", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def as_arrays(fit, n_models, k):
    """What bradley_terry returned, as two arrays of the right shapes."""
    strengths, biases = (np.asarray(part, dtype=float) for part in fit)
    assert strengths.shape == (n_models,), f"the strengths have the shape {strengths.shape} instead of {(n_models,)}"
    assert biases.shape == (k,), f"the biases have the shape {biases.shape} instead of {(k,)}"
    return strengths, biases


@check(points=1, hint="Set the gradient of the objective to zero. A tie adds half a win; the prior's share of the gradient is -strength / prior_std².")
def wins_are_explained():
    """At the maximum, a model has won as often as expected, up to its strength / prior_std²: with three models, a tie, and a column for the position."""
    first, second, outcome = np.array([0, 0, 1, 2, 2, 0]), np.array([1, 2, 0, 1, 0, 1]), np.array([1, 1, 1, 0.5, 1, 0.0])
    strengths, biases = as_arrays(bradley_terry(first, second, outcome, 3, np.ones((6, 1)), prior_std=2.0), 3, 1)
    expected = 1 / (1 + np.exp(-(strengths[first] - strengths[second] + biases[0])))
    for model in range(3):
        more = sum(outcome[first == model] - expected[first == model]) - sum(outcome[second == model] - expected[second == model])
        assert abs(more - strengths[model] / 4) < 1e-3, f"model {model} has won {more:+.4f} more games than expected; its strength / prior_std² is {strengths[model] / 4:+.4f}"
    more = sum(outcome - expected)
    assert abs(more - biases[0] / 4) < 1e-3, f"the first answers have won {more:+.4f} more games than expected; the bias / prior_std² is {biases[0] / 4:+.4f}"


@check(points=0.5, hint="The expectation is 1 / (1 + 10 ** ((other - own) / 400)). In the second game, 1516 meets 1484.")
def rates_two_games():
    """By hand: after two wins of model 0 over model 1, the ratings are 1530.53 and 1469.47."""
    found = np.asarray(elo(np.array([0, 1]), np.array([1, 0]), np.array([1.0, 0.0]), 2))
    assert found.shape == (2,), f"shape {found.shape} instead of (2,)"
    assert np.allclose(found, [1530.5305, 1469.4695], atol=1e-3), f"{found.round(2).tolist()} instead of [1530.53, 1469.47]"


@check(points=0.5, hint="The second array is about the answer B: a 0 there is a win of A.")
def counts_flips_by_hand():
    """By hand: of six pairs, three are judged alike in both orders, two favour the first position and one the second."""
    found = dict(position_flip_rate(np.array([1.0, 0.0, 0.5, 1.0, 0.5, 0.0]), np.array([0.0, 1.0, 0.5, 1.0, 1.0, 0.5])))
    for name, truth in (("flip_rate", 1 / 2), ("to_first", 1 / 3), ("to_second", 1 / 6)):
        assert name in found, f'"{name}" is missing'
        assert abs(found[name] - truth) < 1e-9, f'"{name}" is {found[name]:.3f} instead of {truth:.3f}'


@check(points=1, hint="A row [4, 4] takes the games of prompt 4 twice. The quantiles are of the statistics of the rows.")
def resamples_by_hand():
    """By hand: with two prompts, of one and of three games, all games of a drawn prompt are taken, as often as it is drawn."""
    def run(prompt, values, draws):
        seen = []

        def statistic(games):
            seen.append(sorted(int(game) for game in games))
            return [values[games].mean(), float(len(games))]

        low, high = prompt_bootstrap(prompt, statistic, draws, 1.0)
        return seen, np.asarray(low), np.asarray(high)

    seen, low, high = probe(run, np.array([9, 4, 9, 9]), np.array([1.0, 5.0, 2.0, 3.0]), np.array([[4, 4], [4, 9], [9, 9]]))
    assert seen == [[1, 1], [0, 1, 2, 3], [0, 0, 2, 2, 3, 3]], f"the statistic was computed of the games {seen}"
    assert np.allclose(low, [2, 2]) and np.allclose(high, [5, 6]), f"low is {low.tolist()} instead of [2, 2], high {high.tolist()} instead of [5, 6]"


### BEGIN HIDDEN TESTS
from functools import cache

from sklearn.linear_model import LogisticRegression


def most_probable(first, second, outcome, n_models, covariates, prior_std):
    """Strengths and biases by scikit-learn: a game is seen from both sides, as a win and as a loss, each with its weight."""
    X = np.zeros((len(first), n_models))
    for row, i, j in zip(X, first, second, strict=True):
        row[i] += 1
        row[j] -= 1
    X = X if covariates is None else np.hstack([X, covariates])
    rows, labels = np.vstack([X, -X, X, -X]), np.repeat([1, 0, 0, 1], len(X))
    weights = np.concatenate([outcome, outcome, 1 - outcome, 1 - outcome]) / 2
    model = LogisticRegression(C=prior_std**2, fit_intercept=False, solver="newton-cholesky", tol=1e-9, max_iter=1000)
    w = model.fit(rows, labels, sample_weight=weights).coef_[0]
    return w[:n_models], w[n_models:]


def fitted(cases):
    """What bradley_terry returns for each case, with scikit-learn's out of reach, after a look at its arguments."""
    def run(cases):
        with forbidden("sklearn.linear_model.LogisticRegression.fit", "sklearn.linear_model.LogisticRegressionCV.fit"):
            return [([np.asarray(part, dtype=float) for part in bradley_terry(*case)], case) for case in cases]

    for case, (fit, after) in zip(cases, probe(run, [[x.copy() if isinstance(x, np.ndarray) else x for x in case] for case in cases]), strict=True):
        if not all(np.array_equal(a, b) for a, b in zip(case[:3], after[:3], strict=True)) or (case[4] is not None and not np.array_equal(case[4], after[4])):
            fail("An argument was modified.")
        k = 0 if case[4] is None else case[4].shape[1]
        if [part.shape for part in fit] != [(case[3],), (k,)]:
            fail(f"Strengths and biases have the shapes {[part.shape for part in fit]} for {case[3]} models and {k} columns.")
        yield case, fit


def draw_games(generator, n_games, strengths, favourite=None):
    """Games in which some models meet weak opponents more often than others do, with ties."""
    n = len(strengths)
    first = generator.integers(0, n, n_games)
    second = (first + 1 + np.minimum(generator.integers(0, n - 1, n_games), generator.integers(0, n - 1, n_games))) % n
    p = 1 / (1 + np.exp(strengths[second] - strengths[first]))
    outcome = np.where(generator.random(n_games) < 0.2, 0.5, (generator.random(n_games) < p).astype(float))
    return first, second, outcome


def compare_fit(case, fit, where):
    for name, part, truth in zip(("strengths", "biases"), fit, most_probable(*case), strict=True):
        if not np.allclose(part, truth, rtol=0, atol=1.5e-4):  # scikit-learn is within 1e-6
            fail(f"The {name} are wrong {where}")


@check(points=1.5, hint="Strengths, not win rates: opponents differ. A tie is half a win for each. The prior is w² / (2 prior_std²), not multiplied by the number of games.")
def agrees_with_logistic_regression():
    """Without covariates, strengths agree with logistic regression on games seen from both sides: with ties, unequal opponents, several priors."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n_models, n_games, prior_std in ((2, 9, 1.0), (6, 400, 1.0), (6, 90, 3.0), (5, 60, 0.3)):
        cases.append((*draw_games(generator, n_games, np.linspace(-1.5, 1.5, n_models)), n_models, None, prior_std))
    for case, fit in fitted(cases):
        compare_fit(case, fit, f"for {case[3]} models, {len(case[0])} games and a prior_std of {case[5]:g}.")


@check(points=1.5, hint="A column of ones, for the position, is a column of the regression, with this sign: positive if the first wins too often. The prior holds for biases, too.")
def corrects_biases():
    """With columns for position and length, strengths and biases agree with logistic regression, where stronger models are shown first more often."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n_models, n_games, bias, prior_std in ((6, 500, (0.8, 0.6), 2.0), (4, 60, (-1.2, 0.0), 1.0), (3, 40, (0.5, -2.0), 0.5)):
        strengths = np.linspace(1, -1, n_models)
        pair = np.array([generator.choice(n_models, 2, replace=False) for _ in range(n_games)])
        pair[: n_games // 2].sort(axis=1)  # the stronger one is shown first
        columns = np.column_stack([np.ones(n_games), generator.normal(0.3, 1, n_games)])
        p = 1 / (1 + np.exp(strengths[pair[:, 1]] - strengths[pair[:, 0]] - columns @ np.array(bias)))
        outcome = np.where(generator.random(n_games) < 0.1, 0.5, (generator.random(n_games) < p).astype(float))
        cases.append((pair[:, 0].copy(), pair[:, 1].copy(), outcome, n_models, columns, prior_std))
    # The position alone, the length alone.
    cases += [(*cases[0][:4], cases[0][4][:, i : i + 1].copy(), 1.0) for i in range(2)]
    for case, fit in fitted(cases):
        compare_fit(case, fit, f"with {case[4].shape[1]} column{'s' * (case[4].shape[1] > 1)} of covariates.")


@check(points=1, hint="Run until nothing changes any more: with a wide prior, a hundred steps of gradient descent are not enough. Newton's method needs about ten.")
def a_winner_gets_what_the_prior_says():
    """A model that always wins, or always loses, gets the finite strength that the prior allows; a model without games gets 0."""
    always = np.array([0, 0, 0, 1, 1, 2, 2, 1]), np.array([1, 2, 1, 2, 0, 1, 0, 2]), np.array([1, 1, 1, 1, 0, 0, 0, 0.5])
    many = tuple(np.concatenate([part] * 60) for part in always)
    chain = np.repeat(np.arange(5), 30), np.repeat(np.arange(1, 6), 30), np.ones(150)
    cases = [(*games, n_models, None, prior_std) for games, n_models in ((always, 3), (always, 5), (many, 3), (chain, 6)) for prior_std in (0.5, 5.0)]
    cases.append((*chain, 7, np.ones((150, 1)), 3.0))  # the first always wins: strength, or position?
    for case, fit in fitted(cases):
        if not all(np.isfinite(part).all() for part in fit):
            fail("The answer is not finite.")
        compare_fit(case, fit, f"where models always win or lose, with {len(case[0])} games and a prior_std of {case[5]:g}.")


@check(points=1, hint="Counts of games decide, not their order. Both X[rows, first] += 1 and X[rows, second] -= 1: a model that meets itself has a row of zeros.")
def games_have_no_order():
    """The games' order, and the two names' order with outcome and covariates turned round, change nothing; whole numbers, no games at all, and a model that meets itself, are possible."""
    generator = np.random.default_rng(np.random.randint(2**31))
    first, second, outcome = draw_games(generator, 80, np.linspace(-1, 1, 4))
    columns = generator.normal(0.2, 1, (80, 2))
    truth = most_probable(first, second, outcome, 4, columns, 1.5)
    order, turn = generator.permutation(80), generator.random(80) < 0.5
    shuffled = first[order], second[order], outcome[order], 4, columns[order], 1.5
    turned = np.where(turn, second, first), np.where(turn, first, second), np.where(turn, 1 - outcome, outcome), 4, columns * np.where(turn, -1, 1)[:, None], 1.5
    for (_, fit), name in zip(fitted([shuffled, turned]), ("The order of the games", "Which model is called the first"), strict=True):
        if not all(np.allclose(part, true, atol=1.5e-4) for part, true in zip(fit, truth, strict=True)):
            fail(f"{name} changes the answer.")
    meets_itself = np.array([0, 1, 1, 2, 0, 1]), np.array([0, 1, 0, 1, 2, 1]), np.array([1, 1, 0, 1, 1, 0]), 3, np.ones((6, 1)), 1.0
    nothing = np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0), 3, None, 1.0
    only_itself = np.array([0, 1, 1]), np.array([0, 1, 1]), np.array([0, 0, 0.5]), 2, np.ones((3, 1)), 3.0
    for case, fit in fitted([meets_itself, only_itself, nothing, (*nothing[:4], np.zeros((0, 2)), 1.0)]):
        if len(case[0]):
            compare_fit(case, fit, "where a model meets itself.")
        elif np.abs(np.concatenate(fit)).max() > 1e-6:
            fail("Without games, all numbers have to be 0.")


@check(points=0.5, hint="if not 0 < prior_std < math.inf: raise ValueError(...). A comparison with NaN is false.")
def refuses_an_improper_prior():
    """bradley_terry refuses a prior_std of 0, below 0, infinite or NaN."""
    def refused(prior_std):
        try:
            bradley_terry(np.array([0, 1]), np.array([1, 0]), np.array([1.0, 0.5]), 2, None, prior_std)
        except ValueError as error:
            return not isinstance(error, np.linalg.LinAlgError)
        return False

    for prior_std in (0.0, -1.0, math.inf, math.nan):
        if not probe(refused, prior_std):
            fail(f"A prior_std of {prior_std} has to raise ValueError.")


@cache
def some_games():
    generator = np.random.default_rng(np.random.randint(2**31))
    return draw_games(generator, 300, np.linspace(-1, 1, 5))


def rated(cases):
    def run(cases):
        return [(np.asarray(elo(*case)), case) for case in cases]

    for case, (found, after) in zip(cases, probe(run, [[x.copy() if isinstance(x, np.ndarray) else x for x in case] for case in cases]), strict=True):
        if not all(np.array_equal(a, b) for a, b in zip(case[:3], after[:3], strict=True)):
            fail("An argument was modified.")
        if found.shape != (case[3],):
            fail(f"The ratings have the shape {found.shape} for {case[3]} models.")
        yield case, found


def play_by_book(first, second, outcome, n_models, k=32.0):
    """Elo in units of nats, with a table of ratings made anew for each game."""
    scale = 400 / math.log(10)
    table = dict.fromkeys(range(n_models), 1500 / scale)
    for i, j, y in zip(first.tolist(), second.tolist(), outcome.tolist(), strict=True):
        surprise = k / scale * (y - (1 + math.tanh((table[i] - table[j]) / 2)) / 2)
        table = {model: value + surprise * ((model == i) - (model == j)) for model, value in table.items()}
    return np.array([scale * table[model] for model in range(n_models)])


@check(points=1, hint="One pass, in the given order; both changes from the ratings before the game; 0.5 for a tie; no rounding.")
def rates_game_by_game():
    """elo agrees with the rule, game by game, with ties and any k, in the given order and in the reverse one."""
    first, second, outcome = some_games()
    cases = [(first, second, outcome, 5), (first[::-1], second[::-1], outcome[::-1], 5), (first, second, outcome, 5, 4.0), (first, second, outcome, 7, 100.0)]
    for case, found in rated(cases):
        if not np.allclose(found, play_by_book(*case), rtol=0, atol=1e-6):
            fail(f"Wrong for 300 games{f' and k = {case[4]:g}' if len(case) > 4 else ''}.")


@check(points=0.5, hint="A rating is not a whole number, also if outcomes are. If a model meets itself, rise and fall cancel.")
def rates_at_the_edges():
    """elo takes whole numbers as outcomes, no games, and a model that meets itself."""
    whole = np.array([0, 1, 2, 0]), np.array([1, 2, 0, 1]), np.array([1, 0, 1, 1]), 3
    itself = np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0]), np.array([1.0, 1.0, 0.0, 0.5]), 2
    nothing = np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0), 3
    for (case, found), name in zip(rated([whole, itself, nothing, whole]), ("outcomes that are whole numbers", "a model that meets itself", "no games", "games that were rated before"), strict=True):
        if not np.allclose(found, play_by_book(*case), rtol=0, atol=1e-6):
            fail(f"Wrong for {name}.")


@check(points=1, hint="Add the outcomes of a pair: 1 is no flip, more favours the first position. Divide by the pairs with two verdicts.")
def counts_flips():
    """Flips and their direction are right for all nine kinds of pairs, in any numbers, without the pairs that lack a verdict."""
    def run(cases):
        return [({name: float(value) for name, value in dict(position_flip_rate(*case)).items()}, case) for case in cases]

    def refused(one_way, other_way):
        try:
            position_flip_rate(one_way, other_way)
        except ValueError:
            return True
        return False

    # Verdict with A first, verdict with B first: who is favoured.
    kinds = {(1, 0): "", (0, 1): "", (0.5, 0.5): "", (1, 1): "to_first", (1, 0.5): "to_first", (0.5, 1): "to_first", (0, 0): "to_second", (0, 0.5): "to_second", (0.5, 0): "to_second"}
    generator = np.random.default_rng(np.random.randint(2**31))
    lists = [[kind] for kind in kinds] + [[list(kinds)[i] for i in generator.integers(0, 9, n)] for n in (7, 50)] + [[(1, 0), (0, 0), (1, 1), (1, 0), (0, 1)]]
    cases, truths = [], []
    for pairs in lists:
        gaps = [(math.nan, 1.0), (0.0, math.nan), (math.nan, math.nan)] if len(pairs) > 6 else []
        one_way, other_way = np.array(gaps + pairs).T.copy()
        cases.append((one_way, other_way) if gaps else (one_way.astype(int), other_way.astype(int)) if not (np.mod(pairs, 1)).any() else (one_way, other_way))
        favoured = [kinds[pair] for pair in pairs]
        truths.append({"flip_rate": sum(map(bool, favoured)) / len(pairs)} | {name: favoured.count(name) / len(pairs) for name in ("to_first", "to_second")})
    for case, (found, after), truth in zip(cases, probe(run, [[part.copy() for part in case] for case in cases]), truths, strict=True):
        if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(case, after, strict=True)):
            fail("An argument was modified.")
        for name, value in truth.items():
            if name not in found:
                fail(f'"{name}" is missing.')
            if not abs(found[name] - value) < 1e-9:
                fail(f'"{name}" is wrong for {len(case[0])} pair{"s" * (len(case[0]) > 1)}{", some without a verdict" if np.isnan(case[0]).any() else ""}.')
    if not all(probe(refused, np.array(one_way), np.array(other_way)) for one_way, other_way in (([math.nan, 1.0], [0.0, math.nan]), ([], []))):
        fail("Without a pair that was judged twice, ValueError has to be raised.")


@check(points=1, hint="For each row, the games of its prompts, repeated as the prompts are; then np.quantile over the rows, for each number of the statistic.")
def resamples_prompts():
    """The intervals are the quantiles over the rows of `draws`, of statistics of all games of the drawn prompts."""
    def run(prompt, values, draws, level):
        calls = []

        def statistic(games):
            games = np.asarray(games)
            assert games.ndim == 1, f"the games have {games.ndim} dimensions"
            calls.append(len(games))
            return [*(values[games].sum(0) / len(games)).tolist(), len(games)]

        before = prompt.copy(), draws.copy()
        found = prompt_bootstrap(prompt, statistic, draws, level) if level else prompt_bootstrap(prompt, statistic, draws)
        return [np.asarray(part, dtype=float) for part in found], calls, np.array_equal(before[0], prompt) and np.array_equal(before[1], draws)

    generator = np.random.default_rng(np.random.randint(2**31))
    for sizes, n_draws, level in (([1, 2, 3, 40], 300, 0.9), ([5, 5, 1, 1, 30, 2, 2], 500, None), ([3, 3, 3], 1, 0.5), ([4], 7, 0.8)):
        names = generator.choice(np.arange(-5, 1000), len(sizes), replace=False)
        prompt = generator.permutation(np.repeat(names, sizes))
        values = names.searchsorted(prompt, sorter=np.argsort(names))[:, None] + generator.normal(size=(len(prompt), 2))
        draws = names[generator.integers(0, len(sizes), (n_draws, len(sizes)))]
        (low, high), calls, untouched = probe(run, prompt, values, draws, level)
        if not untouched:
            fail("An argument was modified.")
        # As weights: how often each prompt is in a row, times the sums over its games.
        times = (draws[:, :, None] == names).sum(1)
        sums = np.array([[*values[prompt == name].sum(0), (prompt == name).sum()] for name in names])
        totals = times @ sums
        if sorted(calls) != sorted(totals[:, 2].astype(int).tolist()):
            fail("The statistic has to be computed once for each row of `draws`, of all games of its prompts.")
        numbers = np.column_stack([totals[:, :2] / totals[:, 2:], totals[:, 2]])
        tail = (1 - (level or 0.95)) / 2
        for name, part, share in (("low", low, tail), ("high", high, 1 - tail)):
            if part.shape != (3,) or not np.allclose(part, np.quantile(numbers, share, axis=0), atol=1e-9):
                fail(f"`{name}` is wrong for {len(sizes)} prompts and {n_draws} draw{'s' * (n_draws > 1)}.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# Above, Elo, for 200 random orders of the same games: each column is one leaderboard. Below, Bradley-Terry on these games with two kinds of intervals, and on games of a biased judge, who was shown the stronger answer first more often. **Predict:** which of the two intervals is wider, and which models does the biased judge help?

# %% tags=["demo", "nbval-ignore-output"]
def draw_leaderboards(k=32.0, n_orders=200, seed=0):
    elo(np.array([0]), np.array([1]), np.array([1.0]), 2)  # the quickest way to find out whether there is an answer
    games = judged_games(2000, seed, taste=0.6)
    arguments = games["first"], games["second"], games["outcome"]
    _, axes = plt.subplot_mosaic("TT;LR", figsize=(9.5, 6.2), height_ratios=[1, 1.05], layout="constrained")
    top, left, right = axes["T"], axes["L"], axes["R"]

    generator = np.random.default_rng(0)
    orders = [generator.permutation(2000) for _ in range(n_orders)]
    ratings = np.array([elo(*(part[order] for part in arguments), 6, k) for order in orders])
    boards, counts = np.unique(np.argsort(-ratings, axis=1), axis=0, return_counts=True)
    by_count = np.argsort(-counts, kind="stable")
    boards, counts = boards[by_count], counts[by_count]
    top.imshow(boards.T, cmap="cividis", aspect="auto", vmin=0, vmax=5)
    for x, board in enumerate(boards):
        for y, model in enumerate(board):
            top.text(x, y, "ABCDEF"[model], ha="center", va="center", fontsize=8, color="white" if model < 3 else "black")
    top.set_xticks(range(len(boards)), labels=counts, fontsize=7)
    top.set_yticks(range(6), labels=range(1, 7))
    top.grid(False)
    top.set(xlabel=f"number of orders, out of {n_orders}, that give this leaderboard", ylabel="rank", title=f"Elo, $k$ = {k:g}: {len(boards)} leaderboard{'s' * (len(boards) > 1)} out of the same 2,000 games")

    strengths, _ = bradley_terry(*arguments, 6)
    for shift, unit, style, color, label in ((-0.15, games["prompt"], "o", "C0", "prompts resampled"), (0.15, np.arange(2000), "s", "C1", "games resampled")):
        draws = generator.choice(np.unique(unit), (200, len(np.unique(unit))))
        low, high = prompt_bootstrap(unit, lambda chosen: bradley_terry(*(part[chosen] for part in arguments), 6)[0], draws)
        left.errorbar(strengths, np.arange(6) + shift, xerr=[strengths - low, high - strengths], fmt=style, ms=4, capsize=3, color=color, label=label)
        print(f"{label}: the intervals have a mean width of {np.mean(high - low):.2f}.")
    biased = judged_games(2000, seed + 100, position=0.8, length=0.8, placed=1.0)
    columns = np.column_stack([np.ones(2000), biased["longer"]])
    for width, style, color, label in ((0, "s", "C1", "no terms"), (1, "v", "0.5", "term for position"), (2, "o", "C0", "position and length")):
        found, biases = bradley_terry(biased["first"], biased["second"], biased["outcome"], 6, columns[:, :width])
        right.plot(found, range(6), style, ms=5, color=color, label=label)
        print(f"{label}: strengths are off by up to {np.abs(found - TRUE_STRENGTHS).max():.2f}; biases {np.round(biases, 2).tolist()}")
    right.plot(TRUE_STRENGTHS, range(6), "kx", ms=7, label="truth")
    for axis, title in ((left, "Fair judge, Bradley-Terry, 95 % intervals"), (right, "Judge with biases of 0.8")):
        axis.set_yticks(range(6), labels="ABCDEF")
        axis.invert_yaxis()
        axis.set(xlabel="strength", title=title)
        axis.legend(fontsize=8, loc="upper left")
    plt.show()
    print(f"Elo: from the lowest to the highest rating of one model it is {np.ptp(ratings, axis=0).min():.0f} to {np.ptp(ratings, axis=0).max():.0f} points.")
    gap = TRUE_STRENGTHS[games["first"]] - TRUE_STRENGTHS[games["second"]]
    for position in (0.0, 0.8):
        both = [(generator.random(2000) < 1 / (1 + np.exp(-sign * gap - position))).astype(float) for sign in (1, -1)]
        rates = {name: round(rate, 2) for name, rate in position_flip_rate(*both).items()}
        print(f"Each pair in both orders, bias for the first {position:g}: {rates}")


def judge_itself(own=1.0, prior_std=5.0):
    games = judged_games(2000, 0, own=own)
    column = (1.0 * (games["first"] == 5) - (games["second"] == 5))[:, None]
    strengths, biases = bradley_terry(games["first"], games["second"], games["outcome"], 6, column, prior_std)
    print("strengths", strengths.round(2), "bias for itself", biases.round(2))


try:
    draw_leaderboards()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.7.")

# %% [markdown]
# **Above.** 30 leaderboards out of one record (26 to 39 in seven other records), and four different winners. Each model's rating varies by more than 200 points: at $k = 32$, it mostly reflects the last hundred or two of the 2,000 games. Bradley-Terry gives one leaderboard, whatever the order.
#
# **Below, left.** In these games, each model is better or worse than usual on each prompt. Intervals by prompts are 0.32 wide on average; those by games, 0.25, are too narrow.
#
# **Below, right.** Without terms, A and F are too far apart: position was counted as strength. D and E, with their long answers, are too high: D stands above C, and a term for the position leaves this mistake. With both terms, strengths are off by 0.13 at most. In seven other records, too, the order is right only with both.
#
# **Printed.** A judge without bias flips, too, where it is unsure: in 39 % of the pairs, half of them to each side. With a bias, the sides differ: .38 and .07.
#
# But is it a *bias*? If users want longer answers, length is a quality. Report both.
#
# **Change, predict, run.** `judge_itself()` fits games that model F judges, with a bias of 1 for its own answers, and with a column for "itself". Does the fit find F's true strength, −1?
#
# <details><summary>What you should see</summary>
#
# No: strength and bias both come out as −0.08. The column for "itself" is F's own column of `X`, so only their sum can be estimated, and more games do not help. A second judge does.
# </details>
