# %% [markdown]
# ## 2.9 Ensembles: what averaging removes
#
# "Random forests and gradient boosting solve overfitting." Half of it is true.
# If predictions of $M$ models are averaged, each with bias $b$ and variance $s^2$, any two of them with correlation $\rho$, the expected squared distance from
# the truth is
#
# $$\underbrace{b^2}_{\text{stays}} + \underbrace{\rho\, s^2}_{\text{stays, too}} + \underbrace{\frac{1 - \rho}{M}\, s^2}_{\text{goes away}}$$
#
# (*The Elements
# of Statistical Learning*, eq. 15.1, has the variance). Averaging removes **variance, never bias**, and of
# that only what the members do not share. *Bagging* (Breiman, Machine Learning 24, 1996) makes members differ by
# giving each a **bootstrap sample**: $n$ rows drawn with replacement. A *random
# forest* (Breiman, Machine Learning 45, 2001) also lets each split choose among a few random
# columns, to lower $\rho$. **Predict:** what is left of the error if 20 deep trees, or 20 stumps with one split, are averaged?

# %% nbgrader={"grade": false, "grade_id": "setup_ensembles", "locked": true, "schema_version": 3, "solution": false, "task": false}
from sklearn.tree import DecisionTreeRegressor


def noisy_wave(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points between 0 and 1, as a column, and a wave at these points, with noise of standard deviation 0.3."""
    x = rng.random((n, 1))
    return x, np.sin(2 * np.pi * x[:, 0]) + 0.3 * rng.normal(size=n)


# %% tags=["demo"]
def wave_forecasts(depth, n_sets=30, n_members=20):
    """A grid, the truth there, and the predictions of trees: (training sets, members, places); the last set, too."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0.01, 0.99, 60)[:, None]
    predictions = []
    for _ in range(n_sets):
        x, y = noisy_wave(60, rng)
        rows = rng.integers(60, size=(n_members, 60))
        predictions.append([DecisionTreeRegressor(max_depth=depth).fit(x[sample], y[sample]).predict(grid) for sample in rows])
    return grid, np.sin(2 * np.pi * grid[:, 0]), np.array(predictions), x, y


def draw_averages():
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), width_ratios=(1.25, 1))
    for number, (name, depth) in enumerate([("deep tree", None), ("stump", 1)]):
        grid, truth, predictions, x, y = wave_forecasts(depth)
        for place, size in [(2 * number, 1), (2 * number + 1, 20)]:
            bias, variance = np.mean((predictions.mean((0, 1)) - truth) ** 2), np.mean(predictions[:, :size].mean(1).var(0, ddof=1))
            for bottom, height, colour, hatch, label in [(0, bias, "C5", "", "squared bias"), (bias, variance, "C0", "//", "variance")]:
                axes[1].bar(place, height, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", width=0.65, label=label if place == 0 else None)
        if depth is None:
            axes[0].plot(grid, predictions[-1, :4].T, color="0.7", lw=0.9, label=["four of 20 deep trees", *[None] * 3])
            axes[0].plot(grid, predictions[-1].mean(0), color="C0", lw=2, label="average of all 20")
            axes[0].plot(grid, truth, color="black", ls="--", lw=1.3, label="truth")
            axes[0].plot(x, y, ".", color="C1", ms=5, label="training data")
    axes[0].set(title="One training set, many bootstrap samples", xlabel="x", ylabel="y", ylim=(-1.9, 2.8))
    axes[0].legend(fontsize=8.5, loc="upper right", ncols=2)
    axes[1].set(title="Error against the truth", ylabel="squared error")
    axes[1].set_xticks(range(4), labels=["one\ndeep tree", "average of 20\ndeep trees", "one\nstump", "average of\n20 stumps"], fontsize=8.5)
    axes[1].legend(fontsize=9)
    axes[1].grid(axis="x")
    plt.show()


draw_averages()

# %% [markdown]
# A deep tree is nearly all variance, and averaging halves its error. A stump has a large bias, and so has the average: **no number of stumps, averaged, makes a wave.**
#
# ### Averages of classifiers
#
# Of classifiers, one averages the **probabilities**: $\bar p = \frac1M\sum_m p_m$. Jensen's inequality gives
#
# $$-\log \bar p_y \;\le\; -\frac1M\sum_m \log p_{m,y}$$
#
# at every example: the ensemble's negative log-likelihood (NLL) is at most the *mean* NLL of its
# members. **Averaged logits** give the normalised *geometric* mean, where one member that is
# sure it is not class 3 can veto all the others. With **votes**, the NLL is infinite where nobody voted for the true class.
#
# Accuracy has no such guarantee: of two classes, three members give the true one 0.51, 0.51 and 0.1. Two are
# correct, and their average, 0.37, is wrong.
#
# Networks hardly need the bootstrap: random initialisation and shuffling suffice
# (Lakshminarayanan et al., arXiv:1612.01474).
#
# ### A test set for free
#
# A bootstrap sample misses a given row with probability $(1 - 1/n)^n \approx 0.37$. Let **only members that have not seen a row** predict it: the error
# of these *out-of-bag* predictions estimates the test error of an ensemble
# of about $0.37\,M$ members.
#
# ### Boosting does not average
#
# It adds up: each new member predicts what
# is *left* (Friedman, Annals of Statistics 29, 2001):
#
# $$F_0 = \bar y, \qquad F_t = F_{t-1} + \nu\, h_t, \qquad h_t \text{ fitted to the residuals } y - F_{t-1}$$
#
# with a *shrinkage* $\nu$. Sums of stumps *can* make a wave: boosting lowers **bias**. Later, it fits the noise, too. In the next figure, a fifth of the training labels of 250 tumours are wrong. **Predict:** which test error rises again?

# %% tags=["demo"]
def draw_wrong_labels(seeds=3):
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    x, y = load_breast_cancer(return_X_y=True)
    errors = {(name, part): [] for name in ("random forest", "gradient boosting") for part in ("test, true labels", "training, given labels")}
    for seed in range(1, seeds + 1):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(x))
        train, test = order[:250], order[250:]
        given = np.where(rng.random(250) < 0.2, 1 - y[train], y[train])
        forest = RandomForestClassifier(100, random_state=0).fit(x[train], given)
        booster = GradientBoostingClassifier(n_estimators=100, learning_rate=0.2, random_state=0).fit(x[train], given)
        for part, labels, rows in [("test, true labels", y[test], test), ("training, given labels", given, train)]:
            of_trees = np.cumsum([tree.predict_proba(x[rows])[:, 1] for tree in forest.estimators_], axis=0) / np.arange(1, 101)[:, None]
            errors["random forest", part].append(((of_trees > 0.5) != labels).mean(1))
            errors["gradient boosting", part].append([(classes != labels).mean() for classes in booster.staged_predict(x[rows])])
    fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.1), sharey=True)
    for ax, name in zip(axes, ("random forest", "gradient boosting"), strict=True):
        for part, colour, style in [("test, true labels", "C0", "-"), ("training, given labels", "C1", "--")]:
            ax.plot(range(1, 101), np.mean(errors[name, part], 0), color=colour, ls=style, label=part)
        curve = np.mean(errors[name, "test, true labels"], 0)
        print(f"{name}: mean test error {curve.min():.3f} at its lowest, {curve[-1]:.3f} with 100 trees")
        ax.set(title=name.capitalize(), xlabel="number of trees", xscale="log", ylim=(0, 0.42))
    axes[0].set(ylabel=f"share of errors, mean of {seeds} splits")
    axes[1].legend()
    plt.show()


draw_wrong_labels()

# %% [markdown]
# Both end with hardly an error on the given labels. The forest's test error
# **levels off**: more trees only bring it closer to the average of infinitely many (Breiman 2001, theorem
# 1.2), which may itself overfit (*Elements*, section 15.3.4). The error of boosting **rises again**: choose the number of trees on
# validation data, like the epoch in 2.4.

# %% [markdown]
# ### Exercise 2.9 · Ensembles
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **11 points** · NumPy and estimators of scikit-learn
#
# **Write** the average of classifiers, the variance of an average of regressors, bagging
# with out-of-bag predictions, and boosting. scikit-learn's ensembles are refused. Inputs are never modified. `make_member` returns a new, unfitted regressor with scikit-learn's
# `fit(X, y)`, which returns the regressor, and `predict(X)`; for example `DecisionTreeRegressor` itself.
#
# <details><summary>Hint 1: logarithms of tiny probabilities</summary>
#
# `np.logaddexp.reduce(z, axis=...)` is $\log\sum_k e^{z_k}$ without overflow. Use it over classes, then over members.
# </details>
#
# <details><summary>Hint 2: all covariances at once</summary>
#
# `np.cov(predictions, rowvar=False)` has the variances on its diagonal.
# </details>
#
# <details><summary>Hint 3: who has not seen the row?</summary>
#
# `np.isin(np.arange(n), rows)` is true for the rows in a sample.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ensembles", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the average of the probabilities that several classifiers predict.

    Args:
        logits: (M, n, K), floats of 64 bits: the scores of M classifiers (1 or more) for n examples
            and K classes. The softmax over classes makes them probabilities. Scores are finite but
            may be large, such as 2000 or -2000: results are finite and correct even where a
            probability is too small for a float.

    Returns:
        (n, K): log of the mean over the classifiers.

    >>> mean_log_probabilities(np.log([[[0.5, 0.5]], [[0.9, 0.1]]])).round(4)  # logs of 0.7 and 0.3
    array([[-0.3567, -1.204 ]])
    """
    ### BEGIN SOLUTION
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return np.logaddexp.reduce(log_probabilities, axis=0) - np.log(len(logits))
    ### END SOLUTION


def forecast_variance(predictions: np.ndarray, n_members: int) -> tuple[float, float, float]:
    """Variance of an average of n_members members, from the predictions of a few.

    Args:
        predictions: (R, M), both 2 or more: what M members predict at one point after each of R
            trainings. At least one member varies.
        n_members: how many members the forecast is for, 1 or more; may differ from M.

    Returns:
        s2: the mean of the M members' variances.
        rho: the mean of the covariances of all pairs of different members, divided by s2 (a
            correlation only if all variances are equal). Variances and covariances are over the R trainings, with R - 1 in the denominator.
        variance: rho * s2 + (1 - rho) / n_members * s2; negative if it comes out so.

    >>> forecast_variance(np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]]), 10)  # variances 1 and 3, covariance 0
    (2.0, 0.0, 0.2)
    """
    ### BEGIN SOLUTION
    covariances = np.cov(predictions, rowvar=False)
    n_given = len(covariances)
    s2 = np.trace(covariances) / n_given
    rho = (covariances.sum() - np.trace(covariances)) / (n_given * (n_given - 1)) / s2
    return float(s2), float(rho), float(rho * s2 + (1 - rho) / n_members * s2)
    ### END SOLUTION


def fit_bagged(
    make_member, X: np.ndarray, y: np.ndarray, n_members: int, rng: np.random.Generator
) -> tuple[list, np.ndarray]:
    """Fits each member to a bootstrap sample and makes out-of-bag predictions.

    Args:
        make_member: as given; called once for each member.
        X, y: (n, p) and (n,), the training data; n is large enough for every sample to miss a row.
        n_members: 1 or more.
        rng: gives each member its rows, by rng.integers(n, size=n), in the order of the members.

    Returns:
        members: the fitted regressors, in order.
        oob: (n,), for each row the mean prediction of those members whose sample does not contain
            it; NaN where there is no such member.
    """
    ### BEGIN SOLUTION
    members, predictions, seen = [], [], []
    for _ in range(n_members):
        rows = rng.integers(len(X), size=len(X))
        member = make_member().fit(X[rows], y[rows])
        members.append(member)
        predictions.append(member.predict(X))
        seen.append(np.isin(np.arange(len(X)), rows))
    return members, np.ma.array(predictions, mask=seen).mean(axis=0).filled(np.nan)
    ### END SOLUTION


def boosted_stages(
    make_member, X: np.ndarray, y: np.ndarray, X_new: np.ndarray, n_members: int, shrinkage: float
) -> np.ndarray:
    """Boosting for squared error: predictions for new rows after every stage.

    Args:
        make_member: as given.
        X, y: (n, p) and (n,), the training data. Every member is fitted to all of its rows.
            Any of X, y and X_new may hold integers.
        X_new: (k, p), the rows to predict.
        n_members: 0 or more.
        shrinkage: the factor nu of every member, above 0 and at most 1.

    Returns:
        (n_members + 1, k) floats: row t holds the predictions F_t with t members; row 0 is the mean
        of y.
    """
    ### BEGIN SOLUTION
    fitted = np.full(len(X), y.mean())
    stages = [np.full(len(X_new), y.mean())]
    for _ in range(n_members):
        member = make_member().fit(X, y - fitted)
        fitted = fitted + shrinkage * member.predict(X)
        stages.append(stages[-1] + shrinkage * member.predict(X_new))
    return np.array(stages)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ensembles", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=1, hint="Softmax over the classes first, then the mean over the classifiers, then the logarithm.")
def averages_probabilities():
    """Two classifiers are averaged as you would by hand."""
    members = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.3, 0.7], [0.02, 0.98]]])
    answer = np.asarray(mean_log_probabilities(np.log(members) + 1))
    assert answer.shape == (2, 2), f"shape {answer.shape} instead of (2, 2)"
    for row, truth in enumerate([[0.6, 0.4], [0.26, 0.74]]):
        found = np.exp(answer[row])
        told = f"probabilities {members[0, row].tolist()} and {members[1, row].tolist()}"
        assert np.allclose(found, truth, atol=1e-6), f"{told}: exp of your result is {found.round(3).tolist()} instead of {truth}"


@check(points=1, hint="s2: mean of the members' variances. rho * s2: mean covariance of different members. Both have R - 1 in the denominator.")
def forecasts_by_hand():
    """Two members with variances 1 and 3 and covariance 0, and two that always agree, are forecast as by hand."""
    for predictions, n_members, truth, told in [
        ([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]], 10, [2, 0, 0.2], "variances 1 and 3, covariance 0, ten members"),
        ([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], 5, [1, 1, 1], "two members that always agree, variance 1, five members"),
    ]:
        found = [float(number) for number in forecast_variance(np.array(predictions), n_members)]
        assert np.allclose(found, truth), f"{told}: s2, rho and the variance are {[round(number, 4) for number in found]} instead of {truth}"


@check(points=1, hint="A row's prediction is the mean over the members that have not seen it, not over all; NaN if all have.")
def votes_out_of_bag():
    """Where members predict the mean of their sample, the out-of-bag predictions are those of a count by hand."""
    def run(n_members):
        from sklearn.dummy import DummyRegressor

        members, oob = fit_bagged(DummyRegressor, np.zeros((10, 1)), np.arange(10.0), n_members, np.random.default_rng(3))
        return len(members), np.asarray(oob, dtype=float)

    for n_members in (1, 3):
        rows = np.random.default_rng(3).integers(10, size=(n_members, 10))
        found, oob = probe(run, n_members)
        assert found == n_members, f"{found} members instead of {n_members}"
        assert oob.shape == (10,), f"out-of-bag predictions of shape {oob.shape} instead of (10,)"
        for row in range(10):
            votes = [float(sample.mean()) for sample in rows if row not in sample]
            told = f"{n_members} member(s), samples {rows.tolist()}, y equal to the row's number: row {row}"
            if votes:
                truth = sum(votes) / len(votes)
                assert abs(oob[row] - truth) < 1e-9, f"{told} gets {oob[row]:.3f} instead of {truth:.3f}"
            else:
                assert np.isnan(oob[row]), f"{told} is in every sample, but gets {oob[row]:.3f} instead of NaN"


@check(points=1, hint="Start at the mean; fit the residuals of the stage before; add shrinkage times the prediction, on both X and X_new.")
def boosts_two_levels():
    """Where every member fits perfectly, the residuals shrink by the factor 1 - shrinkage in each stage."""
    def run():
        X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 0.0, 8.0, 8.0])
        return np.asarray(boosted_stages(lambda: DecisionTreeRegressor(max_depth=1), X, y, np.array([[0.4], [2.6]]), 3, 0.5))

    stages = probe(run)
    truth = [[4, 4], [2, 6], [1, 7], [0.5, 7.5]]
    assert stages.shape == (4, 2), f"shape {stages.shape} instead of (4, 2): one row for the start and one for each of 3 members"
    assert np.allclose(stages, truth), f"y is 0, 0, 8, 8, shrinkage 0.5, new rows left and right of the step: stages {stages.round(3).tolist()} instead of {truth}"


### BEGIN HIDDEN TESTS
import statistics
from decimal import Decimal, localcontext
from itertools import combinations

from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

LIBRARY_ENSEMBLES = tuple(
    f"sklearn.ensemble.{name}.fit"
    for name in ("BaggingRegressor", "RandomForestRegressor", "ExtraTreesRegressor", "GradientBoostingRegressor", "AdaBoostRegressor")
)


def exact_log_mean(logits):
    """By decimal numbers of 60 digits, whose exponents do not overflow."""
    answer = np.empty(logits.shape[1:])
    with localcontext() as context:
        context.prec = 60
        for row in range(logits.shape[1]):
            powers = [[Decimal(float(score)).exp() for score in member] for member in logits[:, row]]
            for column in range(logits.shape[2]):
                share = sum(member[column] / sum(member) for member in powers) / len(powers)
                answer[row, column] = float(share.ln())
    return answer


def averaged(logits):
    """The answer, its shape and the input checked."""
    def run(logits):
        return np.asarray(mean_log_probabilities(logits)), logits

    answer, after = probe(run, logits.copy())
    if not np.array_equal(after, logits):
        fail("The logits passed in were modified.")
    if answer.shape != logits.shape[1:]:
        fail("The result has another shape than (n, K).")
    return answer


@check(points=1, hint="The mean of probabilities: neither of logits, nor of their logarithms, nor of votes; the softmax runs over the last axis.")
def averages_exactly():
    """For random classifiers, the result is that of exact arithmetic, and its NLL at most the mean of theirs."""
    for shape in [(3, 4, 5), (5, 3, 2), (1, 4, 3), (4, 1, 6), (2, 5, 1)]:
        logits = np.random.normal(size=shape) * 2 + np.random.normal(size=(*shape[:2], 1))
        answer = averaged(logits)
        if not np.allclose(np.exp(answer).sum(1), 1, atol=1e-8):
            fail("The probabilities of an example do not sum to one.")
        single = np.log(np.exp(logits) / np.exp(logits).sum(2, keepdims=True))
        if (answer < single.mean(0) - 1e-9).any():
            fail("For some label, the NLL of the average is above the mean NLL of the members: Jensen's inequality is violated.")
        if not np.allclose(answer, exact_log_mean(logits), atol=1e-9):
            fail(f"The log-probabilities are wrong for {shape[0]} classifiers, {shape[1]} examples and {shape[2]} classes.")


@check(points=1, hint="Subtract each example's maximum before the exponential, per classifier; average by the same trick, over classifiers.")
def survives_large_scores():
    """With scores in the thousands, results are finite and those of exact arithmetic."""
    for shape in [(3, 4, 3), (2, 3, 4), (1, 3, 3)]:
        signs = np.random.choice([-1.0, 1.0], size=shape)
        signs[:, 0, :2] = -1, 1  # no classifier gives the first class of the first example anything
        levels = np.random.permutation(shape[0])[:, None, None] * 1500.0 - 1500
        for logits, what in [
            (np.random.normal(size=shape) + levels, "where classifiers have very different levels"),
            (np.random.normal(size=shape) + 1900 * signs, "where some probabilities are too small for a float"),
        ]:
            answer = averaged(logits)
            if not np.isfinite(answer).all():
                fail(f"The result is not finite {what}.")
            if not np.allclose(answer, exact_log_mean(logits), rtol=1e-9, atol=1e-9):
                fail(f"The result is finite but wrong {what}.")


@check(points=1, hint="s2: mean of the variances. rho * s2: mean of the covariances of different members. Both have R - 1 in the denominator.")
def splits_the_variance():
    """s2 and rho are those of all pairs counted one by one, and the forecast for M members is the variance of their average."""
    def run(predictions, n_members):
        return [float(number) for number in forecast_variance(predictions, n_members)], predictions

    for n_trainings, n_given in [(6, 4), (3, 7), (2, 2), (25, 3)]:
        common, own = np.random.normal(size=(n_trainings, 1)), np.random.normal(size=(n_trainings, n_given))
        for predictions, what in [
            ((common + own) * np.linspace(0.5, 3, n_given) + 10 * np.random.normal(size=n_given), "members of different means and variances"),
            (own - 0.9 * own.mean(1, keepdims=True), "members that are anticorrelated"),
            (np.where(np.arange(n_given) == 0, 3.0, common + own), "members of which one does not vary"),
            (common + own + 1e5, "members with a large mean"),
        ]:
            for n_members in (1, n_given, 50):
                (s2, rho, variance), after = probe(run, predictions.copy(), n_members)
                if not np.array_equal(after, predictions):
                    fail("The predictions passed in were modified.")
                members = predictions.T.tolist()
                mean_variance = statistics.fmean(statistics.variance(member) for member in members)
                mean_covariance = statistics.fmean(statistics.covariance(*pair) for pair in combinations(members, 2))
                if not math.isclose(s2, mean_variance, rel_tol=1e-8):
                    fail(f"s2 is wrong for {what}.")
                if not math.isclose(rho, mean_covariance / mean_variance, rel_tol=1e-7, abs_tol=1e-9):
                    fail(f"rho is wrong for {what}.")
                if n_members == n_given and not math.isclose(variance, statistics.variance(predictions.mean(1).tolist()), rel_tol=1e-6, abs_tol=1e-9):
                    fail(f"For as many members as there are, the forecast is not the variance of their average, for {what}.")
                if n_members == 1 and not math.isclose(variance, mean_variance, rel_tol=1e-8):
                    fail("The variance of an average of one member is not s2.")
                if n_members == 50 and not math.isclose(variance, mean_covariance + (mean_variance - mean_covariance) / 50, rel_tol=1e-6, abs_tol=1e-9):
                    fail("The forecast for another number of members is wrong.")


@check(points=1, hint="Each member is a new one, fitted to X[rows] and y[rows] with the same rows, which come from the generator that was passed in.")
def fits_bootstrap_samples():
    """Each member is fitted to its own bootstrap sample, drawn from the given generator as described, and nothing else is drawn."""
    def run(X, y, n_members, seed):
        log = []

        class Recorder:
            def __init__(self):
                self.number = len(log)
                log.append([])

            def fit(self, X, y):
                log[self.number].append((np.array(X), np.array(y)))
                return self

            def predict(self, X):
                return np.zeros(len(X))

        rng = np.random.default_rng(seed)
        with forbidden(*LIBRARY_ENSEMBLES):
            members, _ = fit_bagged(Recorder, X, y, n_members, rng)
        return [member.number for member in members], log, rng.random(), X, y

    for n, n_members in [(16, 5), (25, 1), (20, 8)]:
        X, y, seed = np.random.normal(size=(n, 2)), np.random.normal(size=n), int(np.random.randint(1, 10**6))
        numbers, log, after, X_after, y_after = probe(run, X.copy(), y.copy(), n_members, seed)
        if not (np.array_equal(X, X_after) and np.array_equal(y, y_after)):
            fail("X or y was modified.")
        if len(numbers) != n_members or len(set(numbers)) != n_members:
            fail("The result does not hold n_members different members.")
        rng = np.random.default_rng(seed)
        for number in numbers:
            rows = rng.integers(n, size=n)
            if len(log[number]) != 1:
                fail("A member was not fitted exactly once.")
            (x_fitted, y_fitted), = log[number]
            if len(x_fitted) != n or len(y_fitted) != n:
                fail("A bootstrap sample does not have n rows.")
            if {*x_fitted[:, 0]} == {*X[:, 0]}:
                fail("A member was fitted to a sample that misses no row: it is drawn with replacement.")
            if not np.array_equal(x_fitted, X[rows]):
                fail("A member was fitted to other rows than those that the generator gives.")
            if not np.array_equal(y_fitted, y[rows]):
                fail("A member was fitted to the right rows of X with targets of other rows.")
        if after != rng.random():
            fail("More or less was drawn from the generator than n numbers for each member.")


@check(points=1, hint="For each row: sum over the members whose sample misses it, divided by their number, and NaN if that is zero.")
def predicts_out_of_bag():
    """Out-of-bag predictions are those of weighted least squares, each row's weight being its count in the sample."""
    def run(X, y, n_members, seed):
        with forbidden(*LIBRARY_ENSEMBLES):
            members, oob = fit_bagged(LinearRegression, X, y, n_members, np.random.default_rng(seed))
        return np.asarray(oob, dtype=float), [member.predict(X) for member in members]

    for n, n_members, level in [(18, 1, 3), (18, 3, 3), (24, 12, 3), (18, 4, 0)]:
        X, seed = np.random.normal(size=(n, 2)), int(np.random.randint(1, 10**6))
        y = np.random.normal(size=n) + level if level else np.zeros(n)
        oob, fitted = probe(run, X, y, n_members, seed)
        rng = np.random.default_rng(seed)
        counts = np.array([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(n_members)])
        truth = np.array([LinearRegression().fit(X, y, sample_weight=count).predict(X) for count in counts])
        if len(fitted) != n_members or not np.allclose(fitted, truth, atol=1e-7):
            fail("The members' predictions are not those of models fitted to the bootstrap samples.")
        if oob.shape != (n,):
            fail("The out-of-bag predictions have another shape than (n,).")
        voters = (counts == 0).sum(0)
        if not np.array_equal(np.isnan(oob), voters == 0):
            fail("NaN has to stand where every member has seen the row, and nowhere else.")
        share = np.where(counts == 0, truth, 0).sum(0)[voters > 0] / voters[voters > 0]
        if not np.allclose(oob[voters > 0], share, atol=1e-7):
            fail("Some out-of-bag prediction is not the mean over the members that have not seen the row.")


def staged(kind, settings, X, y, X_new, n_members, shrinkage):
    """boosted_stages' result with trees of these settings or linear models, and X and y afterwards."""
    def run(kind, settings, X, y, X_new, n_members, shrinkage):
        make = {"tree": lambda: DecisionTreeRegressor(**settings), "linear": lambda: LinearRegression(fit_intercept=False)}[kind]
        with forbidden(*LIBRARY_ENSEMBLES):
            return np.asarray(boosted_stages(make, X, y, X_new, n_members, shrinkage)), X, y, X_new

    stages, *after = probe(run, kind, settings, X.copy(), y.copy(), X_new.copy(), n_members, shrinkage)
    if not all(np.array_equal(*pair) for pair in zip(after, (X, y, X_new), strict=True)):
        fail("X, y or X_new was modified.")
    if stages.shape != (n_members + 1, len(X_new)):
        fail("The result has another shape than (n_members + 1, k).")
    return stages


@check(points=1, hint="scikit-learn does the same: F_0 is the mean, each tree is fitted to y - F, and F grows by learning_rate times its prediction.")
def boosts_like_sklearn():
    """With trees, all stages are those of GradientBoostingRegressor.staged_predict."""
    for depth, n_members, shrinkage in [(1, 12, 0.1), (2, 6, 0.5), (1, 5, 1.0)]:
        settings = dict(max_depth=depth, min_samples_leaf=8)  # small leaves could be cut off by either column
        X, X_new = np.random.normal(size=(60, 2)), np.random.normal(size=(9, 2))
        y = 2 * np.sin(2 * X[:, 0]) + X[:, 1] + 5 + 0.3 * np.random.normal(size=60)
        stages = staged("tree", settings, X, y, X_new, n_members, shrinkage)
        model = GradientBoostingRegressor(n_estimators=n_members, learning_rate=shrinkage, **settings).fit(X, y)
        if not np.allclose(stages[0], y.mean()):
            fail("Row 0 is not the mean of y.")
        if not np.allclose(stages[1], next(iter(model.staged_predict(X_new))), atol=1e-7):
            fail("The first member's stage is wrong.")
        if not np.allclose(stages[1:], list(model.staged_predict(X_new)), atol=1e-7):
            fail(f"The first stage is right, but a later one is not, with shrinkage {shrinkage}.")


@check(points=1, hint="The residuals are those of what is predicted so far, shrinkage included. Whole numbers in y must not make whole predictions.")
def shrinks_residuals():
    """With linear members, stage t has gone the share 1 - (1 - shrinkage)^t of the way from the mean to least squares."""
    for n_members, shrinkage, whole, scale in [(8, 0.3, False, 1), (5, 0.1, True, 1), (3, 1.0, False, 1), (0, 0.5, True, 1), (4, 0.3, False, 1e-10)]:
        X, X_new = np.random.normal(size=(20, 3)), np.random.normal(size=(7, 3))
        y = np.random.randint(-20, 30, 20) if whole else X @ [3.0, -2.0, 1.0] + np.random.normal(size=20) - 4
        if whole:
            y[0] += 1 - y.sum() % 2  # the mean of 20 numbers with an odd sum is no whole number
            X_new = np.random.randint(-3, 4, X_new.shape)
        stages = staged("linear", {}, X, y * scale, X_new, n_members, shrinkage) / scale
        start = y.mean()
        end = X_new @ np.linalg.lstsq(X, y - start, rcond=None)[0]
        truth = start + (1 - (1 - shrinkage) ** np.arange(n_members + 1))[:, None] * end
        if not np.allclose(stages, truth, atol=1e-7):
            fail("Stages are wrong where y and X_new hold whole numbers." if whole else "Stages are wrong where y is tiny." if scale < 1 else f"Stages are wrong with shrinkage {shrinkage}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Floors, bags and stages
#
# Your functions, on the wave. Left: **five** members forecast the variance of averages of up to 20.

# %% tags=["demo", "raises-exception"]
def draw_floor(ax):
    sizes = np.arange(1, 21)
    for name, depth, colour in [("deep tree", None, "C0"), ("stump", 1, "C1")]:
        _, _, known, _, _ = wave_forecasts(depth)
        measured = [known[:, :size].mean(1).var(0, ddof=1).mean() for size in sizes]
        forecasts = np.array([[forecast_variance(known[:, :5, point], size) for size in sizes] for point in range(0, 60, 3)])
        ax.plot(sizes, measured, "o", ms=3.5, color=colour, label=f"{name}s, measured")
        ax.plot(sizes, forecasts[:, :, 2].mean(0), "--", color=colour, lw=1.3, label="forecast from 5")
        ax.axhline((forecasts[:, 0, 0] * forecasts[:, 0, 1]).mean(), color=colour, ls=":", lw=1)
    ax.set(title="Variance has a floor (dotted)", xlabel="number of members", ylabel="variance", ylim=(0, 0.2))
    ax.legend(fontsize=8)


def draw_bags(ax):
    rng = np.random.default_rng(5)
    x, y = noisy_wave(200, rng)
    x_new, y_new = noisy_wave(1000, rng)
    sizes = [8, 12, 16, 24, 32, 45, 60]
    curves = {"out of bag": [], "test": [], "all vote": []}
    for size in sizes:
        members, oob = fit_bagged(DecisionTreeRegressor, x, y, size, np.random.default_rng(0))
        curves["out of bag"].append(np.nanmean((oob - y) ** 2))
        for name, inputs, outputs in [("test", x_new, y_new), ("all vote", x, y)]:
            curves[name].append(np.mean((np.mean([member.predict(inputs) for member in members], axis=0) - outputs) ** 2))
    for (name, values), style in zip(curves.items(), ("C0-o", "C2-s", "C5--^"), strict=True):
        ax.plot(sizes, values, style, ms=4, lw=1.3, label=name)
    ax.axhline(0.09, color="0.4", ls=":", lw=1)
    ax.set(title="Bagging: three estimates", xlabel="number of members", ylabel="mean squared error", ylim=(0, 0.27))
    ax.legend(fontsize=8, loc="upper right", ncols=2)


def draw_stages(ax, shrinkages):
    x, y = noisy_wave(60, np.random.default_rng(6))
    x_new, y_new = noisy_wave(1000, np.random.default_rng(5))
    for number, shrinkage in enumerate(shrinkages):
        stages = boosted_stages(lambda: DecisionTreeRegressor(max_depth=1), x, y, np.vstack([x, x_new]), 250, shrinkage)
        for part, target, style, label in [(stages[:, 60:], y_new, "-", f"shrinkage {shrinkage}, test"), (stages[:, :60], y, "--", "training")]:
            ax.plot(np.arange(1, 252), np.mean((part - target) ** 2, axis=1), color=("C5", "C0", "C2")[number % 3], ls=style, lw=1.4, label=label)
    ax.axhline(0.09, color="0.4", ls=":", lw=1)
    ax.set(title="Boosted stumps", xlabel="1 + number of members", ylabel="mean squared error", xscale="log", ylim=(0, 0.95))
    ax.legend(fontsize=8)


def draw_your_ensembles(shrinkages=(1.0, 0.1)):
    fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2))
    for ax, (draw, needed, *settings) in zip(axes, [(draw_floor, "forecast_variance"), (draw_bags, "fit_bagged"), (draw_stages, "boosted_stages", shrinkages)], strict=True):
        try:
            draw(ax, *settings)
        except NotImplementedError:
            ax.set_axis_off()
            print(f"One panel needs your {needed}.")
    plt.show()


draw_your_ensembles()

# %% [markdown]
# On the left, members that learn from the same
# 60 points share errors: the floor is $\rho s^2$. In the middle, the out-of-bag error comes near the test error without a row to test on. If members
# that saw the row vote, the error seems to be far below the noise (dotted), and nobody can predict noise.
# On the right, stumps **add up** to a wave. With full steps, the test error rises in the end; shrinkage 0.1 takes more
# members, and gets a little lower.
#
# And classifiers: eight small networks, trained on the same 200 digits from different random weights.

# %% tags=["demo", "raises-exception"]
def draw_committees():
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(2).permutation(len(pixels))
    x, y = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(digits[order])
    torch.manual_seed(0)
    weights = [(torch.randn(8, 64, 64) / 8).requires_grad_(), (torch.randn(8, 64, 10) / 8).requires_grad_()]  # eight networks side by side
    optimizer = torch.optim.Adam(weights, lr=0.01)
    for _ in range(100):
        optimizer.zero_grad()
        scores = (x[:200] @ weights[0]).relu() @ weights[1]
        F.cross_entropy(scores.flatten(0, 1), y[:200].repeat(8), reduction="sum").backward()
        optimizer.step()
    with torch.no_grad():
        logits = ((x[200:] @ weights[0]).relu() @ weights[1]).double().numpy()
    truth = y[200:].numpy()
    nll = lambda members: -mean_log_probabilities(members)[np.arange(len(truth)), truth].mean()
    alone = [nll(logits[[member]]) for member in range(8)]
    by_size = {"probabilities averaged": [], "logits averaged": []}
    for size in range(1, 9):
        groups = [(first + np.arange(size)) % 8 for first in range(8)]
        by_size["probabilities averaged"].append(np.mean([nll(logits[group]) for group in groups]))
        by_size["logits averaged"].append(np.mean([nll(logits[group].mean(0, keepdims=True)) for group in groups]))
    fig, ax = plt.subplots(figsize=(6.5, 3))
    ax.plot([1] * 8, alone, "_", color="0.4", ms=12, label="the eight networks")
    ax.axhline(np.mean(alone), color="0.4", ls=":", lw=1.2, label="their mean")
    for (name, values), style in zip(by_size.items(), ("C0-o", "C1--s"), strict=True):
        ax.plot(range(1, 9), values, style, ms=4, lw=1.3, label=name)
    ax.set(title="Test NLL of networks averaged", xlabel="number of networks", ylabel="NLL (nats)")
    ax.legend(fontsize=8.5)
    plt.show()
    print(f"Test digits that none of the eight names rightly: {np.mean((logits.argmax(2) != truth).all(0)):.1%}. With votes, the NLL is infinite.")


try:
    draw_committees()
except NotImplementedError:
    print("This figure needs your mean_log_probabilities.")

# %% [markdown]
# Each average beats the mean of its members, as Jensen promised. Averaged
# probabilities do better than averaged logits here; nothing promises that.
#
# **Change, predict, run.** Call `draw_your_ensembles(shrinkages=(1.0, 0.1, 0.01))`. Where will the third test curve end after 250 stumps?
#
# <details><summary>Answer</summary>
#
# Above both others, at 0.17 against 0.14 and 0.12, and still falling: a smaller shrinkage needs more members.
# </details>
