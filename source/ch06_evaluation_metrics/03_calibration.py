# %% [markdown]
# ## 6.3 Calibration
#
# A small network learns digits from 60 images, all of them without an error. Of new images it gets 86 % right. **Predict:** how sure is it, on average, of its answers: 76, 86 or 95 %?
#
# A classifier's **confidence** is the probability of the class it predicts. It is **calibrated** if, of the cases with confidence $c$, the share $c$ is correct, for each $c$.
#
# ### Three numbers
#
# **ECE**, the expected calibration error, sorts the $n$ cases into bins by their confidence. In each bin it takes the distance between the mean confidence and the share that is correct, and averages it over the cases (Naeini et al., *AAAI* 2015). Its picture is the **reliability diagram**: correct against confidence, bin by bin. But a model that always answers the most frequent class, with its share as confidence, has an ECE of about 0, and is useless.
#
# **Brier score** (Brier, 1950): the squared distance between the probabilities and the truth (1 for the true class $y$, 0 for the others), *summed* over the classes and averaged over the cases.
#
# **Cross-entropy**, $-\frac1n \sum_i \log p_{i y_i}$. These two are *proper*: on average, nobody does better than by stating the true probabilities. So models can be compared by them, and fitted.
#
# ### One parameter
#
# **Temperature scaling** divides all logits by the same number, $p = \mathrm{softmax}(z / T)$ (Guo et al., arXiv:1706.04599). The order of the logits stays, so **no prediction changes**. $T$ is chosen by cross-entropy on *validation* data: on training data the network is never wrong, and on test data, the result would look better than it is.
#
# With $\beta = 1 / T$, the loss is a convex function of $\beta$, with the slope
#
# $$\frac{d}{d\beta}\left[ -\frac1n \sum_i \log p_{i y_i} \right] = \frac1n \sum_i \Big( \sum_c p_{ic}\, z_{ic} - z_{i y_i} \Big) .$$
#
# It is negative for small $\beta$ and positive for large ones, so there is exactly one minimum, unless all cases are right (then the loss falls as $T \to 0$), or the labels' logits are not above their rows' means, on average (then it falls as $T \to \infty$).
#
# ### Exercise 6.3 · Calibration
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **12 points** · NumPy and SciPy
#
# **Write** four functions. Hidden checks refuse scikit-learn's `brier_score_loss`, `calibration_curve` and `CalibratedClassifierCV`.
#
# <details><summary>Hint 1: the number of a bin</summary>
#
# `np.ceil(confidence * n_bins)` is it, counted from 1: the bins are closed on the right.
# </details>
#
# <details><summary>Hint 2: finding T</summary>
#
# Search for $\log \beta$, which may have either sign: `scipy.optimize.brentq` finds where the slope changes its sign, `minimize_scalar` where the loss is lowest. `scipy.special.softmax` and `log_softmax` take large logits, too.
# </details>

# %% nbgrader={"grade": false, "grade_id": "calibration", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ece(probabilities: np.ndarray, labels: np.ndarray, n_bins: int = 8) -> float:
    """The expected calibration error of the predicted classes.

    The predicted class is the one with the highest probability (of equal ones the first); this
    probability is the confidence. Bin k, from 1 to n_bins, has the cases with

        (k - 1) / n_bins < confidence <= k / n_bins

    ECE is the sum over the bins of (cases in the bin / n) * |share of them that is predicted
    correctly - mean of their confidences|. Empty bins add nothing.

    Args:
        probabilities: (n, C), n at least 1, C at least 2; rows sum to 1. Not modified.
        labels: (n,), the true classes, whole numbers from 0 to C - 1; some may not occur. Not modified.
        n_bins: a power of two, so that all edges are exact.

    >>> round(ece(np.array([[0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]), np.array([0, 0, 1])), 4)  # 2/3 * |1/2 - 3/4|
    0.1667
    """
    ### BEGIN SOLUTION
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    k = np.ceil(confidence * n_bins).astype(int)
    gaps = np.bincount(k, weights=correct) - np.bincount(k, weights=confidence)
    return float(np.abs(gaps).sum() / len(labels))
    ### END SOLUTION


def brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The Brier score for several classes: from 0, certain and right, to 2, certain and wrong.

    It is the mean over the cases of the *sum* over all C classes of (probability - truth) ** 2, where the truth
    is 1 for the true class and 0 for the others. (So for two classes it is twice the score that
    looks at one of the two probabilities only.) Arguments are as in `ece`.

    >>> round(brier(np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0])), 4)  # (1/8 + 9/8) / 2
    0.625
    """
    ### BEGIN SOLUTION
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(1).mean())
    ### END SOLUTION


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T > 0 for which softmax(logits / T) has the smallest mean cross-entropy.

    Args:
        logits: (n, C); the numbers may be in the thousands. Not modified.
        labels: (n,), the true classes, whole numbers from 0 to C - 1. Not modified.

    Returns:
        T, with a relative error of at most 1e-3, if it lies between 0.001 and 1,000.

    Raises:
        ValueError: no T is the best, because
            - each label has the highest logit of its row, alone or with others, or
            - the mean of the labels' logits is not above the mean of all logits.

    >>> round(fit_temperature(np.array([[6.0, 0.0]] * 4), np.array([0, 0, 0, 1])), 2)  # 6 / log(3)
    5.46
    """
    ### BEGIN SOLUTION
    from scipy.optimize import brentq
    from scipy.special import softmax

    of_labels = logits[np.arange(len(labels)), labels]
    if (of_labels == logits.max(1)).all() or of_labels.mean() <= logits.mean():
        raise ValueError("the loss has no minimum: it falls towards T = 0 or T = infinity")

    def slope(log_beta):
        p = softmax(np.exp(log_beta) * logits, axis=1)
        return (p * logits).sum(1).mean() - of_labels.mean()

    return float(np.exp(-brentq(slope, -9, 9)))
    ### END SOLUTION


def calibrate(validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Fits a temperature on validation data, and measures on test data what it changes.

    Args:
        validation, test: (logits, labels) each, as in `fit_temperature`, with the same number of classes.

    Returns:
        "temperature": fitted on the validation data alone.
        "accuracy": the share of the test cases predicted correctly; the same before and after.
        "ece_before", "brier_before": of softmax(logits) on the test data, ECE with 8 bins.
        "ece_after", "brier_after": the same of softmax(logits / temperature).

    >>> result = calibrate((validation_logits, validation_labels), (test_logits, test_labels))
    """
    ### BEGIN SOLUTION
    from scipy.special import softmax

    logits, labels = test
    temperature = fit_temperature(*validation)
    before, after = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    return {
        "temperature": temperature,
        "accuracy": float((logits.argmax(1) == labels).mean()),
        "ece_before": ece(before, labels),
        "ece_after": ece(after, labels),
        "brier_before": brier(before, labels),
        "brier_after": brier(after, labels),
    }
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_calibration", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=1, hint="The bin of the confidence 0.75 has four cases, two of them correct; that of 1.0 has two, one of them correct. The others are empty.")
def ece_by_hand():
    """By hand: four cases with confidence 3/4, half of them correct, and two with 1, half of them correct, have an ECE of 4/6 · 1/4 + 2/6 · 1/2."""
    probabilities = np.array([[0.75, 0.25], [0.0, 1.0], [0.25, 0.75], [0.75, 0.25], [0.25, 0.75], [1.0, 0.0]])
    found = ece(probabilities, np.array([0, 1, 0, 1, 1, 1]))
    assert abs(found - 1 / 3) < 1e-9, f"{found:.4f} instead of {1 / 3:.4f}"


@check(points=0.5, hint="Sum over the three classes, then the mean of the two cases: (1/4 + 1/16 + 1/16 and 1/4 + 9/16 + 1/16) / 2.")
def brier_by_hand():
    """By hand: (1/2, 1/4, 1/4), where the first class is true, and then the second, has a Brier score of (6/16 + 14/16) / 2."""
    found = brier(np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]), np.array([0, 1]))
    assert abs(found - 0.625) < 1e-9, f"{found:.4f} instead of 0.6250"


@check(points=1, hint="softmax([z, 0] / T) should be (3/4, 1/4): z / T = log 3.")
def temperature_by_hand():
    """By hand: where the logits are 6 and 0, and three of four predictions are correct, T is 6 / log 3."""
    found = fit_temperature(np.array([[6.0, 0.0], [0.0, 6.0], [6.0, 0.0], [6.0, 0.0]]), np.array([0, 1, 1, 0]))
    assert abs(found / (6 / math.log(3)) - 1) < 1e-3, f"{found:.4f} instead of {6 / math.log(3):.4f}"


@check(points=0.5, hint="T comes from the validation data: 4 log 3 / log 3. On the test data, softmax(logits / 4) has the confidence 3/4 everywhere.")
def calibrates_by_hand():
    """By hand: logits 4 log 3 and 0, correct in 3 of 4 cases on validation and in 1 of 2 on test, are divided by 4; the ECE becomes 1/4."""
    z = 4 * math.log(3)
    test = np.array([[z, 0.0], [0.0, z]]), np.array([0, 0])
    found = calibrate((np.array([[z, 0.0]] * 4), np.array([0, 0, 1, 0])), test)
    for name, truth in {"temperature": 4, "accuracy": 0.5, "ece_before": 81 / 82 - 0.5, "ece_after": 0.25, "brier_before": (1 + 81**2) / 82**2, "brier_after": 0.625}.items():
        assert name in found, f'"{name}" is missing'
        assert abs(found[name] - truth) < 2e-3 * truth, f'"{name}" is {found[name]:.4f} instead of {truth:.4f}'


### BEGIN HIDDEN TESTS
from scipy.special import softmax
from sklearn.metrics import brier_score_loss

READY_MADE = ("sklearn.metrics.brier_score_loss", "sklearn.calibration.calibration_curve", "sklearn.calibration.CalibratedClassifierCV.fit", "sklearn.calibration._TemperatureScaling.fit")


def calibrated(name, cases):
    """What the student's function returns for each case; a case is a tuple of arguments."""
    def run(name, ready_made, cases):
        function = {"ece": ece, "brier": brier, "fit_temperature": fit_temperature}[name]
        with forbidden(*ready_made):
            return [(float(function(*case)), *case[:2]) for case in cases]

    answers = probe(run, name, READY_MADE, [(case[0].copy(), case[1].copy(), *case[2:]) for case in cases])
    for case, (found, *after) in zip(cases, answers, strict=True):
        if not (np.array_equal(after[0], case[0]) and np.array_equal(after[1], case[1])):
            fail(f"{name} modifies an argument.")
        yield case, found


def random_probabilities():
    """Probabilities and labels with many sizes; the labels follow the probabilities loosely, and some classes have none."""
    generator = np.random.default_rng(np.random.randint(2**31))
    for n, C, sharpness in ((1, 2, 1.0), (2, 5, 0.3), (7, 7, 1.0), (40, 3, 0.2), (300, 10, 0.1), (500, 4, 2.0)):
        probabilities = generator.dirichlet(np.full(C, sharpness), n)
        labels = np.where(generator.random(n) < 0.6, probabilities.argmax(1), generator.integers(0, max(1, C - 1), n))
        yield probabilities, labels


@check(points=1.5, hint="Confidence is the highest probability, not that of the true class; each bin compares two means, and its weight is its share of the cases.")
def ece_agrees_with_loops():
    """ece agrees with going through all bins, for any number of classes, cases and bins (powers of two), in 32 bits, too."""
    cases = [(probabilities, labels, n_bins) for probabilities, labels in random_probabilities() for n_bins in (1, 2, 8, 16, 64)]
    cases += [(probabilities.astype(np.float32), labels.astype(np.uint8), 4) for probabilities, labels in random_probabilities()]
    for (probabilities, labels, n_bins), found in calibrated("ece", cases):
        rows = [(max(row), row.index(max(row)) == label) for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)]
        bins = [[row for row in rows if k / n_bins < row[0] <= (k + 1) / n_bins] for k in range(n_bins)]
        truth = math.fsum(abs(math.fsum(correct - confidence for confidence, correct in cell)) for cell in bins) / len(rows)
        if not abs(found - truth) < (1e-9 if probabilities.dtype == np.float64 else 1e-5):
            fail(f"Wrong for {len(labels)} cases, {probabilities.shape[1]} classes and {n_bins} bins.")


def two_columns(confidences, correct):
    """Probabilities of two classes, and labels, with these confidences above one half."""
    confidences, predicted = np.array(confidences), np.arange(len(confidences)) % 2
    probabilities = np.where(predicted[:, None] == [0, 1], confidences[:, None], 1 - confidences[:, None])
    return probabilities, np.where(correct, predicted, 1 - predicted)


@check(points=1, hint="k / n_bins belongs to bin k, and a confidence of 1 to the last one. Of two equal probabilities, the first is predicted.")
def edges_belong_to_the_lower_bin():
    """A confidence on an edge belongs to the bin below it; 1 belongs to the last bin; of equal probabilities the first class is predicted."""
    # In each pair, the bins would mix a case that is too sure with one that is not sure enough, if they were closed on the left.
    up, down = two_columns([0.75, 0.8125], [True, False]), two_columns([0.625, 0.6875], [True, False])
    last, tied = two_columns([1.0, 0.9375], [False, True]), (np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]), np.array([0, 1, 1]))
    thirds = np.array([[0.25, 0.375, 0.375], [0.375, 0.25, 0.375]]), np.array([2, 2])
    truths = ((0.25 + 0.8125) / 2, (0.375 + 0.6875) / 2, 0.9375 / 2, 1 / 6, 0.375)
    for (_, found), truth, what in zip(calibrated("ece", [up, down, last, tied, thirds]), truths, ("0.75", "0.625", "1", "0.5, with ties", "0.375, with ties"), strict=True):
        if not abs(found - truth) < 1e-9:
            fail(f"Wrong where a confidence is {what}.")


@check(points=0.5, hint="Compare with the mean of the confidences in a bin, not with its centre; and add up absolute values.")
def zero_only_if_the_counts_agree():
    """ECE is 0 where in each bin exactly the stated share is correct, and not where errors of different bins cancel out."""
    confidences = np.repeat([0.6875, 0.75, 0.875, 1.0, 0.5625], [16, 4, 8, 3, 16])
    correct = np.concatenate([np.arange(n) < k for n, k in ((16, 11), (4, 3), (8, 7), (3, 3), (16, 9))])
    order = np.random.permutation(len(correct))
    # 0.6875 and 0.75 share a bin: 14 of 20, and the confidences add up to 14.
    cases = [two_columns(confidences[order], correct[order]), two_columns([0.5625] * 16 + [0.9375] * 16, [True] * 12 + [False] * 4 + [True] * 12 + [False] * 4)]
    for (_, found), truth in zip(calibrated("ece", cases), (0, 0.1875), strict=True):
        if not abs(found - truth) < 1e-9:
            fail("Not 0 where all counts agree." if truth == 0 else "Wrong where one bin is too sure, and the other not sure enough.")


@check(points=1, hint="Sum over all classes, also those without a case, then the mean over the cases: no factor of one half, no mean over classes, no root.")
def brier_agrees_with_sklearn():
    """brier agrees with scikit-learn's sum over classes, also where classes do not occur; certain and wrong is 2."""
    certain = np.eye(4)[[3, 1, 2]], np.array([0, 0, 0])
    for (probabilities, labels), found in calibrated("brier", [*random_probabilities(), certain, (np.eye(3), np.arange(3))]):
        truth = brier_score_loss(labels, probabilities, labels=range(probabilities.shape[1]), scale_by_half=False)
        if not abs(found - truth) < 1e-9:
            fail(f"Wrong for {len(labels)} cases and {probabilities.shape[1]} classes.")


def slopes(logits, labels, temperature):
    """The slope of the loss in 1 / T, by automatic differentiation, slightly below and above a temperature."""
    result = []
    for factor in (1 - 1.02e-3, 1 + 1.02e-3):
        beta = torch.tensor(1 / (temperature * factor), dtype=torch.float64, requires_grad=True)
        F.cross_entropy(beta * torch.tensor(logits), torch.tensor(labels)).backward()
        result.append(beta.grad.item())
    return result


def check_minimum(cases, what):
    for (logits, labels), found in calibrated("fit_temperature", cases):
        if not (math.isfinite(found) and found > 0):
            fail(f"T is not a number above 0 {what}.")
        smaller, larger = slopes(logits, labels, found)  # the loss is convex in 1 / T
        if not smaller > 0 > larger:
            fail(f"The loss is not lowest at T, within 0.1 %, {what}.")


def random_logits(n, C, scale, skill=2.0):
    """Logits that are too large or too small by a factor, with some wrong predictions, and labels."""
    generator = np.random.default_rng(np.random.randint(2**31))
    labels = generator.integers(0, C, n)
    logits = generator.normal(0, 1, (n, C)) + generator.normal(0, 1, (n, 1))
    logits[np.arange(n), labels] += skill
    labels[:2], logits[:2, 0], logits[:2, -1] = C - 1, 2.0, 1.0  # two that are surely wrong, so that there is a minimum
    logits[2:6, 0], labels[2:6] = 5.0, 0
    return (logits - 10) * scale, labels  # negative, as logarithms of probabilities are


@check(points=2, hint="Divide the logits, not the probabilities, and minimise the mean cross-entropy, not ECE, the Brier score or the number of errors.")
def minimises_cross_entropy():
    """fit_temperature finds the minimum of the cross-entropy within 0.1 %, for any number of classes and cases."""
    check_minimum([random_logits(n, C, scale) for n, C, scale in ((20, 2, 1.0), (50, 3, 3.0), (400, 10, 0.4), (200, 5, 1.0), (30, 40, 2.0))], "for logits of an ordinary size")


@check(points=1, hint="Search on a logarithmic scale, between bounds that are wide enough; subtract the maximum before the exponential.")
def any_temperature():
    """Temperatures below 0.01, and in the hundreds, for logits in the thousands, are found as precisely."""
    for scale, what in ((0.005, "for tiny logits"), (0.05, "for small logits"), (30.0, "for large logits"), (400.0, "for logits in the thousands")):
        check_minimum([random_logits(60, 4, scale), random_logits(25, 2, scale)], what)


@check(points=1, hint="Look at the two conditions before any search. A search stops at its bounds, and its answer means nothing.")
def refuses_without_a_minimum():
    """Where all is right, also by a tie, or where the labels' logits are not above the average, ValueError is raised; where only nearly so, it is not."""
    def run(logits, labels):
        try:
            return float(fit_temperature(logits, labels))
        except ValueError:
            return None

    rows = np.array([[3.0, 1.0, 0.0, 0.0], [0.0, 2.0, 1.0, 1.0], [1.0, 0.0, 4.0, 3.0], [2.0, 0.0, 0.0, 2.0]])
    for labels, what in (
        ([0, 1, 2, 0], "each label has the highest logit, once together with another"),
        ([0, 1, 2, 3], "each label has the highest logit, once together with another"),
        ([1, 0, 1, 2], "the labels' logits are below the average"),
        ([0, 0, 1, 3], "the labels' logits are as high as the average"),
    ):
        if probe(run, rows, np.array(labels)) is not None:
            fail(f"No ValueError where {what}.")
    if probe(run, rows, np.array([0, 1, 3, 0])) is None or probe(run, rows, np.array([0, 1, 1, 0])) is None:
        fail("A ValueError where only one label has not the highest logit.")


@check(points=1, hint="T from the validation data only, all else from the test data only; softmax of the divided logits; keys as in the docstring.")
def measures_on_test():
    """calibrate fits on validation, measures on test, agrees with your other functions, and copes with logits in the thousands."""
    def run(validation, test):
        from scipy.special import softmax

        result = {name: float(value) for name, value in calibrate(validation, test).items()}
        logits, labels = test
        T = float(fit_temperature(*validation))
        own = {"temperature": T}
        for when, p in (("before", softmax(logits, axis=1)), ("after", softmax(logits / T, axis=1))):
            own |= {f"ece_{when}": float(ece(p, labels)), f"brier_{when}": float(brier(p, labels))}
        return result, own, [*validation, *test]

    for C, scale in ((3, 4.0), (10, 1.0), (4, 900.0)):
        validation, test = random_logits(80, C, scale), random_logits(120, C, 0.6 * scale, skill=1.0)
        found, own, after = probe(run, tuple(a.copy() for a in validation), tuple(a.copy() for a in test))
        if not all(np.array_equal(a, b) for a, b in zip(after, (*validation, *test), strict=True)):
            fail("calibrate modifies an argument.")
        own["accuracy"] = np.mean([row.index(max(row)) == label for row, label in zip(test[0].tolist(), test[1].tolist(), strict=True)])
        for name, value in own.items():
            if name not in found:
                fail(f'"{name}" is missing.')
            if not abs(found[name] - value) < 1e-9 * max(1, value):
                fail(f'"{name}" is wrong{" for logits in the thousands" if scale > 100 else ""}.')


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# Left and middle: the network of the beginning on 1,437 images; $T$ was fitted on 300 others. A mark's area shows the number of cases in its bin, a line the gap, and dashes the means of all. Right: a model that *is* calibrated (confidences spread evenly from .5 to 1), measured on $n$ cases. **Predict:** what is the ECE of a perfect model on 100 cases?

# %% tags=["demo", "nbval-ignore-output"]
def digit_logits(n_train=60, n_validation=300, seed=0):
    """Logits and labels on validation and test images, of a network trained until it makes no error on its few images."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(pixels))
    images, classes = torch.tensor((pixels[order] - 8) / 8).float(), torch.tensor(classes[order])
    last = n_train + n_validation
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(500):
        optimizer.zero_grad()
        F.cross_entropy(network(images[:n_train]), classes[:n_train]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = network(images).double().numpy()
    return tuple((logits[part], classes[part].numpy()) for part in (slice(n_train, last), slice(last, None)))


def draw_reliability(axis, probabilities, truth, title):
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == truth
    cells = [(confidence > k / 8) & (confidence <= (k + 1) / 8) for k in range(8)]
    means = np.array([(confidence[cell].mean(), correct[cell].mean(), cell.sum()) for cell in cells if cell.any()])
    axis.plot([0, 1], [0, 1], ":", color="0.4", lw=1.2)
    axis.vlines(means[:, 0], means[:, 1], means[:, 0], color="C5", lw=1.5)
    axis.scatter(means[:, 0], means[:, 1], s=400 * means[:, 2] / len(truth), color="C0", alpha=0.8, zorder=3)
    axis.axhline(correct.mean(), color="0.6", lw=1, ls="--")
    axis.axvline(confidence.mean(), color="0.6", lw=1, ls="--")
    axis.set(xlim=(0, 1.04), ylim=(0, 1.04), xlabel=f"confidence (mean: {100 * confidence.mean():.0f} %)", ylabel=f"correct (all: {100 * correct.mean():.0f} %)", title=title)


def draw_calibration(seed=0, n_samples=100):
    from scipy.special import softmax

    validation, test = digit_logits(seed=seed)
    result = calibrate(validation, test)
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.8))
    draw_reliability(left, softmax(test[0], axis=1), test[1], f"T = 1: ECE {result['ece_before']:.3f}, Brier {result['brier_before']:.3f}")
    divided = softmax(test[0] / result["temperature"], axis=1)
    draw_reliability(middle, divided, test[1], f"T = {result['temperature']:.2f}: ECE {result['ece_after']:.3f}, Brier {result['brier_after']:.3f}")
    generator = np.random.default_rng(seed)
    numbers = [30, 100, 300, 1_000, 3_000, 10_000]
    for lead, color, marker, label in ((0.0, "C0", "o", "calibrated"), (0.05, "C5", "s", "5 points too sure")):
        drawn = []
        for n in numbers:
            confidence = generator.uniform(0.5, 1, (n_samples, n))
            wrong = (generator.random(confidence.shape) > confidence - lead).astype(int)
            drawn.append([ece(np.stack([c, 1 - c], axis=1), w) for c, w in zip(confidence, wrong, strict=True)])
        right.fill_between(numbers, *np.quantile(drawn, (0.05, 0.95), axis=1), color=color, alpha=0.2, lw=0)
        right.plot(numbers, np.mean(drawn, axis=1), marker, color=color, ms=5, ls="-", lw=1.2, label=label)
    right.set(xscale="log", yscale="log", xlabel="cases, $n$", title="ECE, 8 bins: mean, and 5 to 95 %")
    right.set_yticks([0.005, 0.01, 0.02, 0.05, 0.1, 0.2], ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"])
    right.legend(fontsize=8.5, loc="lower left")
    plt.show()


try:
    draw_calibration()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.3.")

# %% [markdown]
# **Left.** The network is 95 % sure and 86 % right. **Middle.** $T = 3.0$ brings the ECE from .092 to .027, and the Brier score from .225 to .196. (With other seeds, 0 to 11 without 7: ECE .07 to .14 before, .015 to .045 after.) The packaged copy of chapter 1's GPT needs a $T$ of 1.05.
#
# **Right.** A perfect model's ECE is not 0: in each bin, the share that is correct differs from the confidence by chance, and absolute values do not cancel out. About $0.64 / \sqrt n$ is left here, .064 for 100 cases (.09 with 15 bins). With 100 cases, the model that is 5 points too sure looks much the same. So compare an ECE with that of a calibrated model, at the same $n$ and number of bins.
#
# **Change, predict, run.** `draw_calibration(seed=7)`: by chance, there is no 8 among these 60 images. Does a temperature help?
#
# <details><summary>What you should see</summary>
#
# No: $T$ is 6.4, and the ECE *rises*, from .16 to .22. The network never says 8, and where it sees one, it is 82 % sure of its wrong answer. Cross-entropy punishes sure errors so much that $T$ grows until the others are not sure enough: on average 58 %, and 78 % are correct. One number cannot tell *which* cases the model knows nothing about: look at groups, too.
# </details>
