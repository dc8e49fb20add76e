# %% [markdown]
# ## 7.7 Who was in the data
#
# A model was trained on the records of a clinic for addiction. Who has your record and can tell that it was in the training data knows that you were a patient: **membership inference** (Shokri et al., arXiv:1610.05820).
#
# The first idea: call everybody with a small loss a member. **Predict:** does that find members, or easy samples?

# %% tags=["demo", "nbval-ignore-output"]
def train_shadows(n_models=129, n_samples=500, hidden=64, steps=80, seed=0):
    """Networks trained on random halves of the same digits, all at once: logits (models, samples, 10), labels, and who was inside."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pixels), generator=generator)[:n_samples]
    images, digits = torch.tensor(pixels / 16, dtype=torch.float32)[order], torch.tensor(digits)[order]
    inside = torch.rand(n_models, n_samples, generator=generator) < 0.5
    layers = [(torch.randn(n_models, i, o, generator=generator) / math.sqrt(i)).requires_grad_() for i, o in ((64, hidden), (hidden, 10))]
    optimizer = torch.optim.Adam(layers, lr=0.01)
    for step in range(steps + 1):
        logits = torch.tanh(images @ layers[0]) @ layers[1]
        if step < steps:
            losses = F.cross_entropy(logits.flatten(0, 1), digits.repeat(n_models), reduction="none").reshape(n_models, n_samples)
            optimizer.zero_grad()
            ((losses * inside).sum(1) / inside.sum(1)).sum().backward()
            optimizer.step()
    return logits.detach().double().numpy(), digits.numpy(), inside.numpy()


def draw_shadows(logits, digits, inside):
    own = np.take_along_axis(logits, digits[None, :, None], 2)[..., 0]
    others = np.where(np.eye(10, dtype=bool)[digits], -np.inf, logits)
    margins = own - np.log(np.exp(others - others.max(2, keepdims=True)).sum(2)) - others.max(2)
    _, axes = plt.subplots(1, 3, figsize=(10.5, 2.9))
    panels = [("one network, all samples", margins[0], inside[0])]
    order = np.argsort(margins.mean(0))
    panels += [(name, margins[:, i], inside[:, i]) for name, i in (("129 networks, a hard sample", order[10]), ("129 networks, an easy sample", order[-10]))]
    for ax, (title, values, member) in zip(axes, panels, strict=True):
        edges = np.linspace(values.min(), values.max(), 22)
        ax.hist(values[~member], edges, color="0.6", label="not in the training data")
        ax.hist(values[member], edges, histtype="step", lw=1.8, color="C0", label="in the training data")
        ax.set(title=title, xlabel="confidence $\\ln\\, p\\,/\\,(1 - p)$")
    axes[0].set_ylabel("number")
    axes[0].legend(fontsize=7.5)
    plt.show()


shadow_networks = train_shadows()
draw_shadows(*shadow_networks)

# %% [markdown]
# Left: among the high confidences there are about as many others as members, because samples differ far more from each other than members do from others. Middle and right: for **one** sample, over many networks, the comparison is fair. A hard sample moves far when it is trained on; an easy one hardly does.
#
# ### LiRA
#
# The likelihood-ratio attack (Carlini et al., arXiv:2112.03570) trains **shadow models** on random halves of similar data. It looks at a model's confidence in the sample's true class $y$, on a scale on which it is roughly normal:
#
# $$\phi = \ln \frac{p_y}{1 - p_y} = z_y - \ln \sum_{j \ne y} e^{z_j} .$$
#
# For each sample, one normal distribution is fitted to the $\phi$ of the shadows that were trained on it, and one to those of the others. The score is the logarithm of the ratio of the two densities, at the $\phi$ of the model under attack. With few shadows, all samples share two variances.
#
# The same authors say what to report: not the average accuracy, but **how many members are found with almost no false alarms**, such as the true-positive rate (TPR) at a false-positive rate (FPR) of 1 %. An attack that is sure of ten patients is a breach.
#
# ### Auditing a guarantee
#
# Differential privacy (7.6) limits *every* attack: its TPR is at most $e^\varepsilon$ times its FPR, plus $\delta$. So an attack that works is a **proof** that
#
# $$\varepsilon \;\ge\; \ln \frac{\mathrm{TPR} - \delta}{\mathrm{FPR}} .$$
#
# So train many times with a **canary**, a sample made to be noticed, and many times without it, and attack. Take the lower confidence limit of the one rate and the upper limit of the other (Clopper and Pearson, *Biometrika* 26, 1934), each with half of the permitted error. And choose the threshold on other runs than those that are counted (compare Jagielski et al., arXiv:2006.07709; Nasr et al., arXiv:2101.04535).
#
# An audit finds a *lower* bound, the accountant of 7.6 an *upper* one. If they cross, the program is wrong, with the audit's confidence. If they do not, nothing is proved.

# %% [markdown]
# ### Exercise 7.7 · Who was in the data
#
# > **Difficulty** ★★★☆ · **60 minutes** · **11 points** · NumPy
#
# **Write** four functions. Arguments are arrays, and are not to be modified.
#
# <details><summary>Hint 1: why not ln(p / (1 - p))</summary>
#
# With logits 50 apart, $p$ rounds to 1, and you divide by 0. Set the true class's logit to $-\infty$ and use `scipy.special.logsumexp`.
# </details>
#
# <details><summary>Hint 2: Clopper and Pearson</summary>
#
# For $h$ of $m$ and error $a$, the lower limit is `beta.ppf(a, h, m - h + 1)` of `scipy.stats` (0 if $h = 0$), the upper one `beta.ppf(1 - a, h + 1, m - h)` (1 if $h = m$).
# </details>

# %% nbgrader={"grade": false, "grade_id": "membership", "locked": false, "schema_version": 3, "solution": true, "task": false}
def scaled_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """ln(p / (1 - p)) for the softmax probability p of each sample's true class.

    Args:
        logits: (n, k) or (models, n, k), k at least 2, of any size up to 1e5: the result is finite.
        labels: (n,), whole numbers from 0 to k - 1, the same for all models.

    Returns:
        (n,) or (models, n), with an error of at most 1e-4 where no logit is above 100 in absolute value,
        whether they have 32 or 64 bits.

    >>> scaled_confidence(np.array([[0.0, 0.0], [900.0, 0.0]]), np.array([1, 0]))
    array([  0., 900.])
    """
    ### BEGIN SOLUTION
    from scipy.special import logsumexp

    own = np.arange(logits.shape[-1]) == np.asarray(labels)[:, None]
    return np.where(own, logits, 0).sum(-1) - logsumexp(np.where(own, -np.inf, logits), axis=-1)
    ### END SOLUTION


def lira(confidences: np.ndarray, inside: np.ndarray, target: int) -> np.ndarray:
    """For each sample, the evidence that the model `target` was trained on it.

    All other models are shadows. For a sample, mean_in is the mean of its confidences in the
    shadows that were trained on it, mean_out in those that were not. var_in is one number for all samples: the
    mean, over all pairs of a shadow and a sample that was in its training data, of the squared deviation
    from that sample's mean_in. Likewise var_out. The score is

        ln N(c; mean_in, var_in) - ln N(c; mean_out, var_out)

    with c the target's confidence and N the normal density. If all shadows or none were trained on
    a sample, its score is 0, but its pairs still count for the variance.

    Args:
        confidences: (models, n), so that both variances have pairs, and are above 0.
        inside: (models, n), bool: was the sample in the model's training data? The target's row is not used.
        target: index of the model under attack, from 0.

    Returns:
        (n,).

    >>> lira(np.array([[3.0], [3.0], [5.0], [0.0], [2.0]]), np.array([[False], [True], [True], [False], [False]]), target=0)
    array([1.5])
    """
    ### BEGIN SOLUTION
    from scipy.stats import norm

    shadows, member = np.delete(confidences, target, axis=0), np.delete(inside, target, axis=0)
    terms, known = [], True
    for side in (member, ~member):
        counts = side.sum(0)
        means = (shadows * side).sum(0) / np.maximum(counts, 1)
        variance = ((shadows - means) ** 2)[side].mean()
        terms.append(norm.logpdf(confidences[target], means, math.sqrt(variance)))
        known = known & (counts > 0)
    return np.where(known, terms[0] - terms[1], 0.0)
    ### END SOLUTION


def tpr_at_fpr(scores: np.ndarray, member: np.ndarray, fpr: float) -> float:
    """The largest share of members that a threshold finds with few false alarms.

    A threshold t calls every sample with score >= t a member, equal scores alike. t may be any number, or
    infinity, which calls nobody. Of all t that call at most the share `fpr` of the non-members members, take the
    one that finds most members.

    Args:
        scores: (n,), finite, in any order, maybe with ties.
        member: (n,), bool; at least one True and one False.
        fpr: from 0 to 1.

    Returns:
        The share of the members that it finds.

    >>> tpr_at_fpr(np.array([4.0, 3.0, 3.0, 1.0]), np.array([True, True, False, False]), fpr=0.1)
    0.5
    """
    ### BEGIN SOLUTION
    best = 0.0
    for threshold in np.unique(scores):
        called = scores >= threshold
        if called[~member].mean() <= fpr:
            best = max(best, called[member].mean())
    return float(best)
    ### END SOLUTION


def epsilon_lower_bound(present: np.ndarray, absent: np.ndarray, delta: float, confidence: float) -> float:
    """A lower bound on a program's epsilon, proved by an attack on it.

    The program ran many times with the canary and many times without. The attack says "with" where the score is
    at least t. With the lower limit of its true-positive rate and the upper limit of its false-positive rate (both Clopper-Pearson, each
    with half of the permitted error, (1 - confidence) / 2), the bound of t is

        ln((lower TPR - delta) / upper FPR),  minus infinity if lower TPR <= delta.

    The runs at even positions (0, 2, ...) choose: t is the one of their scores, of both kinds, whose
    bound on these runs is largest (of equal ones, any). The runs at odd positions count: the result is the bound of that t on them.

    Args:
        present, absent: scores of the runs with and without the canary, finite, at least two each; their
            numbers may differ.
        delta: 0 or more, below 1.
        confidence: such as 0.95, from 0.5 to 1 - 1e-9.

    Returns:
        The bound; 0, which proves nothing, if it is negative, or if no t has a bound above 0 on the runs that choose.

    >>> round(epsilon_lower_bound(np.ones(1000), np.zeros(1000), delta=1e-5, confidence=0.95), 2)
    4.91
    """
    ### BEGIN SOLUTION
    from scipy.special import betaincinv

    error = (1 - confidence) / 2

    def bound(present, absent, threshold):
        hits, alarms = np.sum(present >= threshold), np.sum(absent >= threshold)
        tpr = betaincinv(hits, len(present) - hits + 1, error) if hits else 0.0
        fpr = betaincinv(alarms + 1, len(absent) - alarms, 1 - error) if alarms < len(absent) else 1.0
        return math.log((tpr - delta) / fpr) if tpr > delta else -math.inf

    thresholds = np.concatenate([present[::2], absent[::2]])
    bounds = [bound(present[::2], absent[::2], threshold) for threshold in thresholds]
    if max(bounds) <= 0:
        return 0.0
    return max(0.0, bound(present[1::2], absent[1::2], thresholds[np.argmax(bounds)]))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_membership", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=0.75, hint="The true class's logit minus the logarithm of the sum of e^z over the *other* classes.")
def confidence_by_hand():
    """By hand: three equal logits give -ln 2, logits 2 and 0 give 2 or -2, and logits 900 and 0 give 900."""
    for logits, label, truth in (([0.0, 0.0, 0.0], 1, -math.log(2)), ([2.0, 0.0], 0, 2), ([2.0, 0.0], 1, -2), ([900.0, 0.0], 0, 900)):
        found = np.asarray(scaled_confidence(np.array([logits]), np.array([label])))
        assert found.shape == (1,), f"shape {found.shape} instead of (1,)"
        assert abs(found[0] - truth) < 1e-6, f"logits {logits} and label {label} give {found[0]:.4g} instead of {truth:.4g}"


@check(points=0.75, hint="For the second sample, the shadows with it have the mean 4 and those without it the mean 1; both variances are 1. The target's own row of `inside` plays no part.")
def lira_by_hand():
    """By hand: with means 4 and 1 and variances 1, a confidence of 3 scores 1.5, and one of 2 scores -1.5."""
    confidences = np.array([[3.0, 5.0], [5.0, 3.0], [2.0, 3.0], [0.0, 0.0], [2.0, 2.0]])
    inside = np.array([[True, True], [True, True], [True, False], [False, False], [False, False]])
    for target, truth in ((2, [-1.5, 1.5]),):
        found = np.asarray(lira(confidences.copy(), inside.copy(), target))
        assert found.shape == (2,), f"shape {found.shape} instead of (2,)"
        assert np.allclose(found, truth, atol=1e-9), f"{np.round(found, 4).tolist()} instead of {truth}"


@check(points=0.75, hint="At threshold 4, two samples are called at once, one of them a false alarm out of three non-members.")
def rate_by_hand():
    """By hand, for six samples with a tie: 1/3 of the members without a false alarm, and still 1/3 if 30 % are permitted."""
    samples = np.array([4.0, 1.0, 5.0, 3.0, 4.0, 2.0]), np.array([True, False, True, True, False, False])
    for fpr, truth in ((0.0, 1 / 3), (0.3, 1 / 3), (0.5, 1.0)):
        found = tpr_at_fpr(*samples, fpr)
        assert abs(found - truth) < 1e-9, f"{found:.4f} instead of {truth:.4f} at a false-positive rate of {fpr}"


@check(points=0.75, hint="100 of the 200 runs count on each side. The lower limit of 100 hits in 100 is (error)^(1/100), the upper limit of no alarm is 1 minus that; the error is (1 - confidence) / 2.")
def bound_by_hand():
    """An attack that never errs in 200 runs on each side proves what it should, and an attack that guesses proves nothing."""
    limit = 0.025**0.01
    found, truth = epsilon_lower_bound(np.ones(200), np.zeros(200), 0.0, 0.95), math.log(limit / (1 - limit))
    assert abs(found - truth) < 1e-6, f"{found:.4f} instead of {truth:.4f}"
    found = epsilon_lower_bound(np.ones(200), np.ones(200), 0.0, 0.95)
    assert found == 0, f"{found:.4f} instead of 0 where all scores are equal"


### BEGIN HIDDEN TESTS
import decimal
import functools
import statistics

from scipy.special import bdtr


def confidences_of(cases):
    """scaled_confidence's answers, and whether the arguments are as before."""
    def run(cases):
        answers = []
        for logits, labels in cases:
            before = logits.copy(), labels.copy()
            found = np.asarray(scaled_confidence(logits, labels))
            answers.append((found, np.array_equal(before[0], logits) and np.array_equal(before[1], labels)))
        return answers

    for (logits, labels), (found, untouched) in zip(cases, probe(run, cases), strict=True):
        if found.shape != logits.shape[:-1]:
            fail(f"Logits of shape {logits.shape} give a result of shape {found.shape}.")
        if not untouched:
            fail("An argument was modified.")
        yield logits, labels, found.astype(float)


def exact_confidence(logits, label):
    with decimal.localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**9), 10**9
        own, others = decimal.Decimal(float(logits[label])), [decimal.Decimal(float(z)) for j, z in enumerate(logits) if j != label]
        return float(own - sum(z.exp() for z in others).ln())


@check(points=1, hint="Leave the true class out of the sum, for one model and for many; subtract the largest of the others before taking exponentials.")
def confidence_is_precise():
    """The confidences agree with 60-digit arithmetic, for one model and for several, in 32 and in 64 bits."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for shape, scale in (((6, 4), 3.0), ((3, 3, 3), 20.0), ((2, 5, 10), 1.0), ((4, 2), 30.0), ((1, 7, 3), 8.0)):
        logits = np.clip(generator.normal(0, scale, shape), -99, 99)
        labels = generator.integers(0, shape[-1], shape[-2])
        cases += [(logits, labels), (logits.astype(np.float32), labels)]
    for logits, labels, found in confidences_of(cases):
        rows, answers = logits.reshape(-1, *logits.shape[-2:]), found.reshape(-1, logits.shape[-2])
        for model, answer in zip(rows, answers, strict=True):
            truth = [exact_confidence(row, label) for row, label in zip(model, labels, strict=True)]
            if not np.allclose(answer, truth, rtol=0, atol=1e-4):
                fail(f"Wrong for logits of shape {logits.shape} and {logits.dtype.itemsize * 8} bits.")


@check(points=0.5, hint="Never compute p itself: it rounds to 1 or 0. Neither e^z nor ln 0 may occur.")
def confidence_is_finite():
    """Logits up to 1e5 give finite, correct confidences, whichever class is the true one, and finite ones in 32 bits."""
    base = np.array([[1e5, 0.0, -1e5], [50.0, 0.0, 0.0], [-800.0, -900.0, -1000.0], [700.0, 710.0, 690.0]])
    cases = [(base, np.full(4, label)) for label in range(3)]
    for logits, labels, found in confidences_of(cases):
        truth = [exact_confidence(row, label) for row, label in zip(logits, labels, strict=True)]
        if not np.allclose(found, truth, rtol=1e-9, atol=1e-6):
            fail("Wrong, or not finite, for large logits.")
    for _, _, found in confidences_of([(logits.astype(np.float32), labels) for logits, labels in cases]):
        if not np.isfinite(found).all():
            fail("Not finite for large logits in 32 bits.")


def lira_of(cases):
    def run(cases):
        answers = []
        for confidences, inside, target in cases:
            before = confidences.copy(), inside.copy()
            found = np.asarray(lira(confidences, inside, target), dtype=float)
            answers.append((found, np.array_equal(before[0], confidences) and np.array_equal(before[1], inside)))
        return answers

    found = probe(run, cases)
    for (confidences, _, _), (answer, untouched) in zip(cases, found, strict=True):
        if answer.shape != (confidences.shape[1],):
            fail(f"The result has the shape {answer.shape} for {confidences.shape[1]} samples.")
        if not untouched:
            fail("An argument was modified.")
    return [answer for answer, _ in found]


def shadow_table(models, n):
    """Confidences and membership at random, in which samples differ, and members differ from others; each sample is on both sides, whichever model is left out, the first with only one member if that is model 0."""
    generator = np.random.default_rng(np.random.randint(2**31))
    inside = np.array([generator.permutation(np.arange(models) < generator.integers(3, models - 2)) for _ in range(n)]).T
    if n > 1:
        inside[:, 0] = np.arange(models) < 2
    # Equal distances, in random order: so no spread is near 0, and rounding errors stay far below the tolerance, whatever is drawn.
    deviations = np.array([generator.permutation(np.linspace(-1.5, 1.5, models)) for _ in range(n)]).T
    return generator.normal(0, 3, n) + inside * generator.uniform(0, 3, n) + deviations * np.where(inside, 0.5, 1.5), inside


def lira_by_loops(confidences, inside, target):
    models, n = confidences.shape
    groups = [[[float(confidences[m, i]) for m in range(models) if m != target and bool(inside[m, i]) == side] for i in range(n)] for side in (True, False)]
    variances = [statistics.fmean([(value - statistics.fmean(group)) ** 2 for group in groups_of_side for value in group]) for groups_of_side in groups]
    scores = []
    for i, c in enumerate(confidences[target].tolist()):
        known = groups[0][i] and groups[1][i]
        logs = [-((c - statistics.fmean(side[i])) ** 2) / (2 * variance) - math.log(variance) / 2 for side, variance in zip(groups, variances, strict=True)] if known else [0.0, 0.0]
        scores.append(logs[0] - logs[1])
    return scores


@check(points=1.25, hint="Means for each sample, from its own shadows; two variances, each over all pairs of its side around the samples' means; then a difference of logarithms of densities.")
def lira_agrees_with_loops():
    """The scores agree with loops over models and samples, for tables of any shape and any target."""
    cases = []
    for models, n in ((8, 5), (7, 7), (20, 3), (9, 1)):
        table = shadow_table(models, n)
        cases += [(*table, target) for target in (0, models - 1, 3)]
    for (confidences, inside, target), found in zip(cases, lira_of(cases), strict=True):
        if not np.allclose(found, lira_by_loops(confidences, inside, target), rtol=1e-6, atol=1e-8):
            fail(f"Wrong for {confidences.shape[0]} models and {confidences.shape[1]} samples.")


@check(points=1, hint="Remove the target from the shadows: an attacker does not know what it was trained on.")
def target_is_no_shadow():
    """What the target was trained on changes nothing, and a changed confidence of the target changes that sample's score only."""
    confidences, inside = shadow_table(9, 6)
    flipped = inside.copy()
    flipped[4] = ~flipped[4]
    moved = confidences.copy()
    moved[4, 2] += 1.0
    first, second, third = lira_of([(confidences, inside, 4), (confidences, flipped, 4), (moved, inside, 4)])
    if not np.allclose(first, second, rtol=1e-9):
        fail("The scores depend on the target's own membership.")
    if not np.allclose(np.delete(first, 2), np.delete(third, 2), rtol=1e-9):
        fail("The target's confidence is among those of the shadows.")


@check(points=0.5, hint="Where one of the two means has no values, nothing can be compared: the score is 0. The mean that exists still gives squared deviations, and they count for its variance.")
def unknown_samples_score_zero():
    """Samples that all shadows or none were trained on score 0, and the scores of the others are right, with variances over all pairs."""
    confidences, inside = shadow_table(8, 4)
    inside[:, 1], inside[:, 2] = True, False
    inside[5, 1], inside[5, 2] = False, True  # the target's own row does not count
    found = lira_of([(confidences, inside, 5)])[0]
    if not (found[1] == 0 and found[2] == 0):
        fail("A sample that only one kind of shadow exists for does not score 0.")
    if not np.isfinite(found).all() or 0 in (found[0], found[3]):
        fail("A sample that both kinds of shadow exist for has no score.")
    if not np.allclose(found, lira_by_loops(confidences, inside, 5), rtol=1e-6, atol=1e-8):
        fail("The scores of the other samples are wrong where some samples score 0.")


@check(points=1.25, hint="Try every score as a threshold; all samples with that score are called. If even the highest score has too many false alarms, the answer is 0.")
def rate_agrees_with_enumeration():
    """The rate agrees with trying all thresholds, with ties, unequal groups, and permitted rates from 0 to 1."""
    def run(cases):
        return [(float(tpr_at_fpr(scores, member, fpr)), scores, member) for scores, member, fpr in cases]

    generator = np.random.default_rng(np.random.randint(2**31))
    tables = [(np.zeros(5), np.array([True, False, True, False, False])), (np.array([-1.0, -2.0]), np.array([False, True])), (np.array([3, 3, 2, 1]), np.array([False, True, True, False])), (np.repeat(np.arange(4.0), 2), np.arange(8) % 2 == 0)]
    for n, ties in ((12, 4), (60, 9), (60, 1000), (33, 2)):
        member = generator.permutation(np.arange(n) < n // 3)
        tables.append(((generator.integers(0, ties, n) - ties // 2 + member).astype(float), member))
    cases = [(scores, member, fpr) for scores, member in tables for fpr in (0.0, 0.013, 0.125, 0.25, 0.47, 0.5, 1.0)]
    for (scores, member, fpr), (found, *after) in zip(cases, probe(run, cases), strict=True):
        truth = 0.0
        for threshold in set(scores.tolist()):
            alarms = sum(1 for s, m in zip(scores, member, strict=True) if s >= threshold and not m)
            hits = sum(1 for s, m in zip(scores, member, strict=True) if s >= threshold and m)
            if alarms <= fpr * (len(member) - int(member.sum())) + 1e-9:
                truth = max(truth, hits / int(member.sum()))
        if not abs(found - truth) < 1e-9:
            fail(f"Wrong at a permitted rate of {fpr:g}{', where scores are equal' if len(set(scores.tolist())) < len(scores) else ''}.")
        if not (np.array_equal(after[0], scores) and np.array_equal(after[1], member)):
            fail("An argument was modified.")


@functools.cache
def upper_limit(count, runs, error):
    """The largest p for which at most `count` of `runs` still have the probability `error`, by bisection: Clopper and Pearson's own definition."""
    low, high = 0.0, 1.0
    if count == runs:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if bdtr(count, runs, middle) > error else (low, middle)
    return low


def proved(present, absent, delta, confidence):
    error = (1 - confidence) / 2

    def bound(first, second, threshold):
        misses, alarms = sum(s < threshold for s in first), sum(s >= threshold for s in second)
        rate = 1 - upper_limit(misses, len(first), error)
        return math.log((rate - delta) / upper_limit(alarms, len(second), error)) if rate > delta else -math.inf

    halves = [[runs[start::2].tolist() for runs in (present, absent)] for start in (0, 1)]
    chosen = max(sorted({*halves[0][0], *halves[0][1]}), key=lambda threshold: bound(*halves[0], threshold))
    return max(0.0, bound(*halves[1], chosen)) if bound(*halves[0], chosen) > 0 else 0.0


def bounds_of(cases):
    def run(cases):
        return [(float(epsilon_lower_bound(*case)), case[0], case[1]) for case in cases]

    found = probe(run, cases)
    for (present, absent, *_), (_, *after) in zip(cases, found, strict=True):
        if not (np.array_equal(after[0], present) and np.array_equal(after[1], absent)):
            fail("An argument was modified.")
    return [answer for answer, *_ in found]


@check(points=1.25, hint="Even positions choose t by the largest bound, odd ones count. Lower limit for hits, upper limit for alarms, each with (1 - confidence) / 2, and delta subtracted from the first.")
def bound_agrees_with_bisection():
    """The bound agrees with limits found by bisection, for scores that overlap, unequal numbers of runs, any delta and confidence."""
    # Given the scores, the answer is determined: on these numbers of runs, all bounds above 0 that a threshold can have are at least 1e-7 apart.
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for runs, other, gap, delta, confidence in ((120, 120, 2.0, 0.0, 0.95), (161, 80, 2.5, 0.1, 0.9), (90, 201, 3.0, 1e-5, 0.999), (100, 100, 1.5, 0.3, 0.5), (240, 239, 2.0, 0.01, 1 - 1e-6)):
        cases.append((generator.normal(gap, 1, runs), generator.normal(0, 1, other), delta, confidence))
    for case, found in zip(cases, bounds_of(cases), strict=True):
        if not abs(found - proved(*case)) < 1e-5:
            fail(f"Wrong for {len(case[0])} and {len(case[1])} runs, delta {case[2]:g} and confidence {case[3]:g}.")


@check(points=0.75, hint="The runs that chose the threshold must not count again: on them, luck looks like skill.")
def counts_on_the_other_half():
    """The runs at even positions choose one of their own scores, and do not count; where those at odd positions show nothing, the bound is 0."""
    apart, mixed = np.arange(200) % 2 == 0, np.random.default_rng(np.random.randint(2**31)).permutation(100) / 100
    present, absent = np.where(apart, 2.0, 0.0), np.where(apart, -1.0, 0.0)
    present[1::2], absent[1::2] = mixed, mixed[::-1]
    # Here the even positions show nothing, and the odd ones do: no threshold was found, so nothing is proved.
    swapped = np.roll(present, 1), np.roll(absent, 1)
    # On the even positions, 0.5 would be as good a threshold as 1, but only runs at odd positions have this score.
    third = np.r_[-1.0, np.ones(199)], np.zeros(200)
    third[0][1:100:2] = 0.5
    found = bounds_of([(present, absent, 0.0, 0.95), (*swapped, 0.0, 0.95), (*third, 0.0, 0.95)])
    if found[0] != 0:
        fail("Runs that chose the threshold were counted.")
    if found[1] != 0:
        fail("Other runs than those at even positions chose the threshold.")
    if not abs(found[2] - proved(*third, 0.0, 0.95)) < 1e-6:
        fail("The threshold is not a score of a run at an even position.")


@check(points=0.5, hint="Two runs are one that chooses and one that counts. A bound below 0 is 0, also where delta is larger than the lower limit.")
def bound_at_the_edges():
    """Perfect attacks prove what the number of runs permits, wrong-way-round and tiny ones prove 0, never less."""
    cases = [(np.ones(n), np.zeros(m), delta, c) for n, m, delta, c in ((1000, 1000, 1e-5, 0.95), (61, 40, 0.0, 0.99), (400, 10, 0.2, 0.8))]
    cases += [(np.zeros(100), np.ones(100), 0.0, 0.95), (np.ones(2), np.zeros(2), 0.0, 0.95), (np.ones(10), np.zeros(10), 0.9, 0.95), (np.ones(50, dtype=int), np.zeros(50, dtype=int), 0.0, 0.5), (np.ones(300), np.zeros(300), 0.0, 1 - 1e-9)]
    for case, found in zip(cases, bounds_of(cases), strict=True):
        present, absent, delta, confidence = case
        error, hits, quiet_runs = (1 - confidence) / 2, len(present) // 2, len(absent) // 2
        rate, alarms = error ** (1 / hits), 1 - error ** (1 / quiet_runs)
        truth = max(0.0, math.log((rate - delta) / alarms)) if present[0] > absent[0] and rate > delta else 0.0
        if not abs(found - truth) < 1e-6:
            fail(f"Wrong for {len(present)} runs and {len(absent)}, delta {delta:g} and confidence {confidence:g}.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### Three programs
#
# Left: your `lira` against the loss, on ten of the networks above, each with all others as shadows. The other panels: three programs that claim DP-SGD with $\sigma = 2$, $q = 0.1$, 50 steps and $\delta = 10^{-5}$, so $\varepsilon = 1.85$ by the bound of 7.6. Each trains a linear classifier on 800 digits, 500 times with a canary and 500 times without. The canary has a bright pixel that no other image has; the score is the weight that this pixel got. **Two of the three are wrong by one line.** (`B` is the expected batch size, 80.)
#
# ```python
# gradient = (clip_each(gradients, C).sum(0) + normal(sigma * C)) / B         # A
# gradient = (clip_each(gradients, C).sum(0) + normal(sigma * C / B)) / B     # B
# gradient = clip(gradients.sum(0) / B, C) + normal(sigma * C / B)            # C
# ```
#
# **Predict:** which is the most accurate, and which would you have shipped?

# %% tags=["demo", "nbval-ignore-output"]
def run_programs(program, canary, runs=500, seed=0, n=800, rate=0.1, steps=50, sigma=2.0, clip=1.0, pixel=100.0):
    """Trains a linear classifier `runs` times at once: the canary's weight and the test accuracy of each."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    images = torch.cat([torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.zeros(len(pixels), 1)], 1)
    digits = torch.tensor(digits[order])
    odd_one = torch.zeros(1, 65)
    odd_one[0, 64] = pixel
    samples, wanted = torch.cat([images[:n], odd_one]), torch.eye(10)[torch.cat([digits[:n], torch.tensor([0])])]
    generator, size = torch.Generator().manual_seed(seed), rate * n
    weights = torch.zeros(runs, 65, 10)
    for _ in range(steps):
        batch = torch.rand(runs, n + 1, generator=generator) < rate
        batch[:, n] &= canary
        rows = torch.argsort(batch.to(torch.uint8), dim=1, descending=True, stable=True)[:, : int(batch.sum(1).max())]
        x = samples[rows]
        error = (torch.softmax(x @ weights, -1) - wanted[rows]) * torch.gather(batch, 1, rows)[..., None]
        noise = torch.randn(weights.shape, generator=generator)
        if program in "AB":  # a sample's gradient is the outer product of x and error, so its norm is the product of theirs
            norms = x.norm(dim=-1) * error.norm(dim=-1)
            error = error * (clip / norms.clamp(min=1e-12)).clamp(max=1)[..., None]
            gradient = (x.transpose(1, 2) @ error + noise * sigma * clip / (1 if program == "A" else size)) / size
        else:
            mean = x.transpose(1, 2) @ error / size
            norms = mean.flatten(1).norm(dim=1).clamp(min=1e-12)
            gradient = mean * (clip / norms).clamp(max=1)[:, None, None] + noise * sigma * clip / size
        weights -= gradient
    accuracy = ((images[n:] @ weights).argmax(-1) == digits[n:]).double().mean().item()
    return (weights[:, 64, 0] - weights[:, 64, 1:].mean(1)).double().numpy(), 100 * accuracy


def draw_audit(claim=1.85, n_targets=10, **settings):
    epsilon_lower_bound(np.ones(2), np.zeros(2), 0.0, 0.95)  # the quickest way to find out whether there is an answer
    _, axes = plt.subplots(1, 4, figsize=(13, 3.1))
    logits, digits, inside = shadow_networks
    confidences = scaled_confidence(logits, digits)
    rates = np.geomspace(0.002, 1, 40)
    attacks = {"LiRA": np.array([lira(confidences, inside, t) for t in range(n_targets)]), "loss": confidences[:n_targets]}
    for (name, attack), style in zip(attacks.items(), ("-", "--"), strict=True):
        curve = [np.mean([tpr_at_fpr(attack[t], inside[t], rate) for t in range(n_targets)]) for rate in rates]
        axes[0].plot(rates, np.maximum(curve, 1e-4), style, label=name)
        print(f"{name}: {100 * np.mean([tpr_at_fpr(attack[t], inside[t], 0.01) for t in range(n_targets)]):.1f} % of the members at 1 % false alarms")
    axes[0].plot(rates, rates, ":", color="0.5", label="guessing")
    axes[0].set(xscale="log", yscale="log", ylim=(1e-3, 1.2), xlabel="false-positive rate", ylabel="true-positive rate", title="Who was in the data")
    axes[0].legend(fontsize=8)
    for ax, program in zip(axes[1:], "ABC", strict=True):
        (present, accuracy), (absent, _) = (run_programs(program, canary, seed=seed, **settings) for canary, seed in ((True, 1), (False, 2)))
        proof = epsilon_lower_bound(present, absent, 1e-5, 0.95)
        edges = np.linspace(min(present.min(), absent.min()), max(present.max(), absent.max()), 36)
        ax.hist(absent, edges, color="0.6", label="without the canary")
        ax.hist(present, edges, histtype="step", lw=1.6, color="C3" if proof > claim else "C0", label="with it")
        ax.set(title=f"{program}: claims {claim}, proved ≥ {proof:.1f}\n{accuracy:.0f} % accurate", xlabel="score of a run")
    axes[1].set_ylabel("runs")
    axes[1].legend(fontsize=7.5, loc="upper left")
    plt.show()


try:
    draw_audit()
except NotImplementedError:
    print("This figure needs your functions of exercise 7.7.")

# %% [markdown]
# At 1 % false alarms, the loss finds 1 to 2 % of the members, hardly more than guessing; LiRA finds 12 to 14 % (six seeds).
#
# **A is right**: in 20 repetitions, its audits proved 0.1 at most. It is also the least accurate. **B** divides the noise by the batch size twice, so that each number of batches with the canary makes a peak of its own. **C** clips the mean of the batch: the canary alone can make its norm 1, which is 80 times what A lets one sample do. The audits proved 3.8 to 4.2 for B and 3.3 to 4.1 for C, always more than the claim.
#
# No test of accuracy finds such a mistake, which looks like an improvement.
#
# **Change, predict, run.** `draw_audit(claim=round(epsilon_upper_bound(0.5, 0.1, 50, 1e-5), 1), sigma=0.5)` claims 31.6, with your function of 7.6. What is the most that the audit could prove about any of the three programs?
#
# <details><summary>What you should see</summary>
#
# 4.2. Of 500 runs on each side, 250 count, and $\ln\,((0.9853 - 10^{-5}) / 0.0147)$ is 4.2, even if the attack never errs. Choose claims below what the number of runs can prove.
# </details>
