# %% [markdown]
# ## 2.9 Ensembles: what averaging removes
#
# "If it overfits, use an ensemble: random forests and gradient boosting solve overfitting." You will find
# this on many lists of remedies. Half of it is true, and the formula below says which half.
#
# Train one model on many training sets of the same size. Its prediction at a point varies from set to set,
# with a variance of $s^2$; and even its mean misses the truth, by a bias $b$. If $M$ such models are
# averaged, and any two of them have predictions of correlation $\rho$, the expected squared distance from
# the truth becomes
#
# $$\underbrace{b^2}_{\text{stays}} + \underbrace{\rho\, s^2}_{\text{stays, too}} + \underbrace{\frac{1 - \rho}{M}\, s^2}_{\text{goes away}}$$
#
# The two terms on the right are the variance of the average (Hastie, Tibshirani and Friedman, *The Elements
# of Statistical Learning*, 2nd edition, eq. 15.1). So averaging removes **variance, never bias**, and of
# the variance only what the members do not share. That is why ensembles are made of large, nervous models
# that differ. *Bagging* (Breiman, *Bagging predictors*, Machine Learning 24, 1996) makes them differ by
# giving each a **bootstrap sample**: $n$ rows drawn from the $n$ training rows with replacement. A *random
# forest* (Breiman, *Random forests*, Machine Learning 45, 2001) lets each split choose among a few random
# columns as well, to lower $\rho$ further.

# %% nbgrader={"grade": false, "grade_id": "setup_ensembles", "locked": true, "schema_version": 3, "solution": false, "task": false}
from sklearn.tree import DecisionTreeRegressor


def noisy_wave(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points between 0 and 1, as a column, and a wave at these points, with noise of standard deviation 0.3."""
    x = rng.random((n, 1))
    return x, np.sin(2 * np.pi * x[:, 0]) + 0.3 * rng.normal(size=n)


# %% tags=["demo"]
wave_grid = np.linspace(0.01, 0.99, 60)[:, None]
wave_truth = np.sin(2 * np.pi * wave_grid[:, 0])
rng = np.random.default_rng(0)
wave_predictions = {"deep tree": [], "stump": []}  # for each: 30 training sets, 20 members, 60 points
for _ in range(30):
    x_wave, y_wave = noisy_wave(60, rng)
    samples = rng.integers(60, size=(20, 60))
    for name, depth in [("deep tree", None), ("stump", 1)]:
        trees = [DecisionTreeRegressor(max_depth=depth).fit(x_wave[rows], y_wave[rows]) for rows in samples]
        wave_predictions[name].append([tree.predict(wave_grid) for tree in trees])
wave_predictions = {name: np.array(values) for name, values in wave_predictions.items()}

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), width_ratios=(1.25, 1))
for number in range(4):
    axes[0].plot(wave_grid, wave_predictions["deep tree"][-1, number], color="0.7", lw=0.9, label="four of 20 deep trees" if number == 0 else None)
axes[0].plot(wave_grid, wave_predictions["deep tree"][-1].mean(0), color="C0", lw=2, label="average of all 20")
axes[0].plot(wave_grid, wave_truth, color="black", ls="--", lw=1.3, label="truth")
axes[0].plot(x_wave, y_wave, ".", color="C1", ms=5, label="training data")
axes[0].set(title="One training set, many bootstrap samples", xlabel="x", ylabel="y", ylim=(-1.9, 2.8))
axes[0].legend(fontsize=8.5, loc="upper right", ncols=2)
bars = [("one\ndeep tree", "deep tree", 1), ("average of 20\ndeep trees", "deep tree", 20), ("one\nstump", "stump", 1), ("average of\n20 stumps", "stump", 20)]
for place, (_, name, size) in enumerate(bars):
    averages = wave_predictions[name][:, :size].mean(1)
    squared_bias, variance = np.mean((wave_predictions[name].mean((0, 1)) - wave_truth) ** 2), np.mean(averages.var(0, ddof=1))
    for bottom, height, colour, hatch, label in [(0, squared_bias, "C5", "", "squared bias"), (squared_bias, variance, "C0", "//", "variance")]:
        axes[1].bar(place, height, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", width=0.65, label=label if place == 0 else None)
axes[1].set(title="Error against the truth", ylabel="squared error")
axes[1].set_xticks(range(4), labels=[bar[0] for bar in bars], fontsize=8.5)
axes[1].legend(fontsize=9)
axes[1].grid(axis="x")
plt.show()

# %% [markdown]
# A deep tree is nearly all variance, and the average is a much better model. A stump, a tree with one
# split, has a large bias, and its average has all of it, since the mean of an average is the mean of its members (so the bars of each pair are equal by
# calculation): **no number of stumps, averaged, makes a wave.**
#
# ### Averages of classifiers
#
# What is averaged of classifiers are their **probabilities**: $\bar p = \frac1M\sum_m p_m$. As the
# logarithm is concave, Jensen's inequality gives
#
# $$-\log \bar p_y \;\le\; -\frac1M\sum_m \log p_{m,y}$$
#
# at every single example: the ensemble's negative log-likelihood (NLL) is at most the *mean* NLL of its
# members. (It can be worse than that of the best member.) Two things that look alike are not the same:
#
# - **Averaged logits**, softmaxed, are the members' normalised *geometric* mean. The same inequality
#   holds, as the cross-entropy is convex in the logits, but it is another prediction: one member that is
#   sure it is not class 3 can veto all the others. In an arithmetic mean, a member has $1/M$ of a say and
#   no more.
# - **Votes**, that is averaged argmaxes, throw confidence away. Where nobody voted for the true class,
#   the NLL is infinite.
#
# Accuracy has no such guarantee. Give the true class of two 0.51, 0.51 and 0.1: two of three members are
# right, and their average, 0.37, is wrong.
#
# Networks hardly need the bootstrap to differ: random initialisation and shuffling suffice in practice
# (Lakshminarayanan, Pritzel and Blundell, *Simple and Scalable Predictive Uncertainty Estimation using Deep
# Ensembles*, arXiv:1612.01474). The price is $M$ times the compute, in use as well as in training. And a
# forest next to an overfitted network does nothing for the network.
#
# ### A test set for free
#
# A bootstrap sample misses a given row with probability $(1 - 1/n)^n \approx e^{-1} \approx 0.37$. For
# these members the row is new. So let **only the members that have not seen a row** predict it: the error
# of these *out-of-bag* predictions estimates the test error without a test set, that of an ensemble
# with about $0.37\,M$ members, to be exact. If members that saw the row may vote, it is the training error in disguise.
#
# ### Boosting does not average
#
# Boosting adds up. For squared error it starts from the mean of $y$ and lets each new member predict what
# is *left* (Friedman, *Greedy function approximation: a gradient boosting machine*, Annals of Statistics
# 29, 2001):
#
# $$F_0 = \bar y, \qquad F_t = F_{t-1} + \nu\, h_t, \qquad h_t \text{ fitted to the residuals } y - F_{t-1}$$
#
# with a *shrinkage* $\nu$ of, say, 0.1. Members depend on those before them, so the formula above does not
# apply. Sums of stumps *can* make a wave: boosting lowers **bias**. If it goes on, the residuals are mostly
# noise, and it fits that as well. In the next figure, about a fifth of 250 tumours got the wrong label. The test
# labels are right.

# %% tags=["demo"]
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

x_tumour, y_tumour = load_breast_cancer(return_X_y=True)
rng = np.random.default_rng(1)
order = rng.permutation(len(x_tumour))
x_tumour, y_tumour = x_tumour[order], y_tumour[order]
given_label = np.where(rng.random(250) < 0.2, 1 - y_tumour[:250], y_tumour[:250])
forest = RandomForestClassifier(100, random_state=0).fit(x_tumour[:250], given_label)
booster = GradientBoostingClassifier(n_estimators=100, learning_rate=0.2, random_state=0).fit(x_tumour[:250], given_label)
tumour_errors = {}
for part, labels, rows in [("test, true labels", y_tumour[250:], slice(250, None)), ("training, given labels", given_label, slice(250))]:
    of_trees = np.cumsum([tree.predict_proba(x_tumour[rows])[:, 1] for tree in forest.estimators_], axis=0) / np.arange(1, 101)[:, None]
    tumour_errors["random forest", part] = ((of_trees > 0.5) != labels).mean(1)
    tumour_errors["gradient boosting", part] = [(classes != labels).mean() for classes in booster.staged_predict(x_tumour[rows])]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.1), sharey=True)
for ax, name in zip(axes, ("random forest", "gradient boosting"), strict=True):
    for part, colour, style in [("test, true labels", "C0", "-"), ("training, given labels", "C1", "--")]:
        ax.plot(range(1, 101), tumour_errors[name, part], color=colour, ls=style, label=part)
    ax.set(title=name.capitalize(), xlabel="number of trees", xscale="log", ylim=(0, 0.36))
axes[0].set(ylabel="share of errors")
axes[1].legend()
plt.show()
curve = np.array(tumour_errors["gradient boosting", "test, true labels"])
print(f"Gradient boosting: test error {curve.min():.2f} at its lowest, {curve[-1]:.2f} with 100 trees")
print(f"Random forest: test error {tumour_errors['random forest', 'test, true labels'][-1]:.2f} with 100 trees")

# %% [markdown]
# Both end up with hardly an error on the wrong labels that they were given. The forest's test error
# **levels off**: more trees only bring it closer to the average of infinitely many (Breiman 2001, theorem
# 1.2). The error of boosting **rises again**, and the number of its trees is something to choose on
# validation data, like the epoch in 2.4.
#
# Nor is a forest immune. More trees do not make it overfit, but the limit itself may, where its trees are
# too rich for the data (*Elements*, section 15.3.4). The depth of the trees is a matter for validation data
# as well.

# %% [markdown]
# ### Exercise 2.9 · Ensembles
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **10 points** · NumPy and estimators of scikit-learn
#
# **Given**: `make_member`, a function that returns a new, unfitted regressor with scikit-learn's
# `fit(X, y)`, which returns the regressor, and `predict(X)`; for example `DecisionTreeRegressor` itself, or
# `lambda: DecisionTreeRegressor(max_depth=1)`.
#
# **Write** four functions: the average of classifiers, the variance of an average of regressors, bagging
# with out-of-bag predictions, and boosting. Do without scikit-learn's ensembles. Inputs are never modified.
#
# In `fit_bagged`, member 0 is fitted to the rows `rng.integers(n, size=n)`, member 1 to those of the next such
# call, and so on; nothing else is drawn from the generator. That makes the answer determined.
#
# <details><summary>Hint 1: logarithms of tiny probabilities</summary>
#
# $\log\sum_k e^{z_k} = c + \log\sum_k e^{z_k - c}$ for every $c$. With $c = \max_k z_k$ nothing overflows,
# and one term is 1. Do it twice: over classes to get log-probabilities, over members to average.
# `np.logaddexp.reduce(z, axis=...)` does it, too.
# </details>
#
# <details><summary>Hint 2: all covariances at once</summary>
#
# `np.cov(predictions, rowvar=False)` has the members' variances on its diagonal and their covariances
# everywhere else.
# </details>
#
# <details><summary>Hint 3: who has not seen the row?</summary>
#
# `np.isin(np.arange(n), rows)` is true for the rows in a sample. Add up the predictions for the others, and
# count how many there were.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ensembles", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the average of the probabilities that several classifiers predict.

    Args:
        logits: (M, n, K), floats of 64 bits: the scores of M classifiers (1 or more) for n examples
            and K classes. The softmax over classes makes them probabilities. Scores are finite but
            may be large, such as 2000 or -2000: results are finite and right even where a
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
        rho: the mean of the covariances of all pairs of different members, divided by s2. Variances
            and covariances are over the R trainings, with R - 1 in the denominator.
        variance: rho * s2 + (1 - rho) / n_members * s2.

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
        make_member: as given; each member is a regressor of its own.
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
        X, y: (n, p) and (n,), the training data. Every member is fitted to all of its rows. y may
            hold whole numbers.
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


# %% nbgrader={"grade": true, "grade_id": "test_ensembles", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


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

    for n, n_members in [(18, 1), (18, 3), (24, 12)]:
        X, y, seed = np.random.normal(size=(n, 2)), np.random.normal(size=n) + 3, int(np.random.randint(1, 10**6))
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
        model = GradientBoostingRegressor(n_estimators=n_members, learning_rate=shrinkage, criterion="squared_error", **settings).fit(X, y)
        if not np.allclose(stages[0], y.mean()):
            fail("Row 0 is not the mean of y.")
        if not np.allclose(stages[1], next(iter(model.staged_predict(X_new))), atol=1e-7):
            fail("The first member's stage is wrong.")
        if not np.allclose(stages[1:], list(model.staged_predict(X_new)), atol=1e-7):
            fail(f"The first stage is right, but a later one is not, with shrinkage {shrinkage}.")


@check(points=1, hint="The residuals are those of what is predicted so far, shrinkage included. Whole numbers in y must not make whole predictions.")
def shrinks_residuals():
    """With linear members, stage t has gone the share 1 - (1 - shrinkage)^t of the way from the mean to least squares."""
    for n_members, shrinkage, whole in [(8, 0.3, False), (5, 0.1, True), (3, 1.0, False), (0, 0.5, True)]:
        X, X_new = np.random.normal(size=(20, 3)), np.random.normal(size=(7, 3))
        y = np.random.randint(-20, 30, 20) if whole else X @ [3.0, -2.0, 1.0] + np.random.normal(size=20) - 4
        if whole:
            y[0] += 1 - y.sum() % 2  # the mean of 20 numbers with an odd sum is no whole number
        stages = staged("linear", {}, X, y, X_new, n_members, shrinkage)
        start = y.mean()
        end = X_new @ np.linalg.lstsq(X, y - start, rcond=None)[0]
        truth = start + (1 - (1 - shrinkage) ** np.arange(n_members + 1))[:, None] * end
        if not np.allclose(stages, truth, atol=1e-7):
            fail("Stages are wrong where y holds whole numbers." if whole else f"Stages are wrong with shrinkage {shrinkage}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Floors, bags and stages
#
# Now with your functions, on the wave. On the left, $s^2$ and $\rho$ come from **five** members of each of
# the 30 ensembles above, point by point, and forecast the variance of averages of up to 20. In the middle,
# one bagged ensemble; on the right, boosted stumps.

# %% tags=["demo", "raises-exception"]
sizes = np.arange(1, 21)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2))
for name, colour in [("deep tree", "C0"), ("stump", "C1")]:
    known = wave_predictions[name]
    measured = [known[:, :size].mean(1).var(0, ddof=1).mean() for size in sizes]
    forecasts = np.array([[forecast_variance(known[:, :5, point], size) for size in sizes] for point in range(0, 60, 3)])
    axes[0].plot(sizes, measured, "o", ms=3.5, color=colour, label=f"{name}s, measured")
    axes[0].plot(sizes, forecasts[:, :, 2].mean(0), "--", color=colour, lw=1.3, label="forecast from 5")
    axes[0].axhline((forecasts[:, 0, 0] * forecasts[:, 0, 1]).mean(), color=colour, ls=":", lw=1)
axes[0].set(title="Variance has a floor (dotted)", xlabel="number of members", ylabel="variance", ylim=(0, 0.2))
axes[0].legend(fontsize=8)

rng = np.random.default_rng(5)
x_wave, y_wave = noisy_wave(200, rng)
x_fresh, y_fresh = noisy_wave(1000, rng)
bagged, _ = fit_bagged(DecisionTreeRegressor, x_wave, y_wave, 60, np.random.default_rng(0))
bagged_sizes = [8, 12, 16, 24, 32, 45, 60]
curves = {"out of bag": [], "test": [], "all vote": []}
for size in bagged_sizes:
    _, oob = fit_bagged(DecisionTreeRegressor, x_wave, y_wave, size, np.random.default_rng(0))
    curves["out of bag"].append(np.nanmean((oob - y_wave) ** 2))
    for name, x_part, y_part in [("test", x_fresh, y_fresh), ("all vote", x_wave, y_wave)]:
        curves[name].append(np.mean((np.mean([member.predict(x_part) for member in bagged[:size]], axis=0) - y_part) ** 2))
for (name, values), style in zip(curves.items(), ("C0-o", "C2-s", "C5--^"), strict=True):
    axes[1].plot(bagged_sizes, values, style, ms=4, lw=1.3, label=name)
axes[1].axhline(0.09, color="0.4", ls=":", lw=1)
axes[1].set(title="Bagging: three estimates", xlabel="number of members", ylabel="mean squared error", ylim=(0, 0.27))
axes[1].legend(fontsize=8, loc="upper right", ncols=2)

x_small, y_small = noisy_wave(60, np.random.default_rng(6))
for shrinkage, colour in [(1.0, "C5"), (0.1, "C0")]:
    stages = boosted_stages(lambda: DecisionTreeRegressor(max_depth=1), x_small, y_small, np.vstack([x_small, x_fresh]), 250, shrinkage)
    axes[2].plot(np.arange(1, 252), np.mean((stages[:, 60:] - y_fresh) ** 2, axis=1), color=colour, label=f"shrinkage {shrinkage}, test")
    axes[2].plot(np.arange(1, 252), np.mean((stages[:, :60] - y_small) ** 2, axis=1), color=colour, ls="--", lw=1.2, label="training")
axes[2].axhline(0.09, color="0.4", ls=":", lw=1)
axes[2].set(title="Boosted stumps", xlabel="1 + number of members", ylabel="mean squared error", xscale="log", ylim=(0, 0.95))
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown]
# And classifiers: eight small networks, trained on the same 200 digits from different random weights. For
# each size, the figure shows the test NLL averaged over eight groups of that many networks.

# %% tags=["demo", "raises-exception"]
from sklearn.datasets import load_digits

pixels, digit = load_digits(return_X_y=True)
order = np.random.default_rng(2).permutation(len(pixels))
pixels, digit = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(digit[order])
torch.manual_seed(0)
weights = [(torch.randn(8, 64, 64) / 8).requires_grad_(), (torch.randn(8, 64, 10) / 8).requires_grad_()]  # eight networks side by side
optimizer = torch.optim.Adam(weights, lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    scores = (pixels[:200] @ weights[0]).relu() @ weights[1]
    F.cross_entropy(scores.flatten(0, 1), digit[:200].repeat(8), reduction="sum").backward()
    optimizer.step()
with torch.no_grad():
    logits = ((pixels[200:] @ weights[0]).relu() @ weights[1]).double().numpy()
true_digit = digit[200:].numpy()


def test_nll(log_probabilities):
    return -log_probabilities[np.arange(len(true_digit)), true_digit].mean()


one_by_one = [test_nll(mean_log_probabilities(logits[[member]])) for member in range(8)]
by_size = {"probabilities averaged": [], "logits averaged": []}
for size in range(1, 9):
    groups = [(first + np.arange(size)) % 8 for first in range(8)]
    by_size["probabilities averaged"].append(np.mean([test_nll(mean_log_probabilities(logits[group])) for group in groups]))
    by_size["logits averaged"].append(np.mean([test_nll(mean_log_probabilities(logits[group].mean(0, keepdims=True))) for group in groups]))
fig, ax = plt.subplots(figsize=(6.5, 3))
ax.plot([1] * 8, one_by_one, "_", color="0.4", ms=12, label="the eight networks")
ax.axhline(np.mean(one_by_one), color="0.4", ls=":", lw=1.2, label="their mean")
for (name, values), style in zip(by_size.items(), ("C0-o", "C1--s"), strict=True):
    ax.plot(range(1, 9), values, style, ms=4, lw=1.3, label=name)
ax.set(title="Test NLL of networks averaged", xlabel="number of networks", ylabel="NLL (nats)")
ax.legend(fontsize=8.5)
plt.show()
votes = logits.argmax(2)
print(f"Test digits that none of the eight names rightly: {np.mean((votes != true_digit).all(0)):.1%}. With votes, the NLL is infinite.")

# %% [markdown]
# Read the left panel first. Five members forecast what twenty do. The members have learnt from the same
# 60 points and share what is wrong with these, so there is a floor, $\rho s^2$, and twenty come near it.
#
# In the middle, the out-of-bag error comes near the test error without a single row to test on. If members
# vote that saw the row, the error seems to be far below the dotted line: the noise, which nobody can predict.
#
# On the right, the very stumps whose average kept its bias **add up** to a wave. With full steps, the
# training error falls fastest, and the test error rises in the end. With shrinkage 0.1 it takes more
# members, and the lowest test error is a little lower.
#
# And the networks: each average beats the mean of its members, as Jensen promised. Here, averaged
# probabilities do better than averaged logits; nothing promises that. So when you read "ensembles solve
# overfitting", ask **which error** is meant. Variance that the members do not share: yes, averaging removes
# it. Shared variance, and bias: no. And a boosted sum needs early stopping itself.

