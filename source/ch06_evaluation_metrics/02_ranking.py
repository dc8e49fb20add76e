# %% [markdown]
# ## 6.2 Ranking
#
# A filter gives each prompt a score, and flags those with high scores. On as many harmful prompts as harmless ones, its ROC AUC is .92. It is set to find 90 % of the harmful prompts. In use, one prompt in a thousand is harmful.
# **Predict:** of 1,000 flagged prompts, how many are harmful: 920, 90 or 4?
#
# A decision takes a **threshold**: a case is flagged if its score is at or above it. It flags a share $R$ of the $P$ positive cases, the recall, and a share $F$ of the $N$ negative ones, the **false positive rate**. As the threshold falls, $(F, R)$ walks from $(0, 0)$ to $(1, 1)$. That is the **ROC curve**, and the area under it is the **AUC**.
#
# ### What AUC means
#
# AUC is the share of all $P \cdot N$ pairs of a positive and a negative case in which the positive one has the higher score; a tie counts one half (Hanley and McNeil, *Radiology* 1982). In the figure, each cell is a pair, and the ROC curve is the border of those that are in order (it halves a tie).
# So AUC needs no threshold and no calibrated probability (6.3). A random ranking has .5.

# %% tags=["demo"]
def draw_pairs(positive=(9, 7, 6, 4, 2), negative=(8, 6, 5, 3, 2, 1, 1, 0)):
    positive, negative = np.sort(positive)[::-1], np.sort(negative)[::-1]
    worth = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1, 1.15))
    for height, group, marker, color in ((1, positive, "^", "C1"), (0, negative, "o", "C0")):
        seen = [np.sum(group[:i] == score) for i, score in enumerate(group)]
        left.plot(group, height + 0.14 * np.array(seen), marker, ms=9, color=color)
    left.set(yticks=[0, 1], yticklabels=["negative", "positive"], ylim=(-0.5, 1.5), xlabel="score", title="Thirteen cases")
    right.imshow(worth, cmap="Greys", vmin=-0.1, vmax=2.2, origin="lower", aspect="auto", extent=(0, len(negative), 0, len(positive)))
    for (i, j), value in np.ndenumerate(worth):
        aside = 0.24 if value == 0.5 else 0  # the curve crosses the middle of a tie
        right.text(j + 0.5 + aside, i + 0.5 - aside, {0: "0", 0.5: "½", 1: "1"}[value], ha="center", va="center", fontsize=9)
    steps = [(0, 0)] + [((negative >= t).sum(), (positive >= t).sum()) for t in np.unique([*positive, *negative])[::-1]]
    right.plot(*zip(*steps, strict=True), "-", color="C5", lw=2.5, clip_on=False)
    right.set(xlabel="negatives, highest score first", ylabel="positives, highest first", title=f"Pairs, and the ROC curve: AUC = {worth.sum():g} / {worth.size}")
    right.set(xticks=np.arange(len(negative)) + 0.5, xticklabels=negative, yticks=np.arange(len(positive)) + 0.5, yticklabels=positive)
    right.grid(False)
    plt.show()


draw_pairs()

# %% [markdown]
# ### What AUC does not say
#
# $R$ looks only at positives, $F$ only at negatives. So neither they nor the ROC curve depend on the **prevalence** $\pi$, the share of positives. Precision does. By Bayes' theorem,
#
# $$\text{precision} = \frac{\pi R}{\pi R + (1 - \pi) F} .$$
#
# To a use *with another prevalence*, $R$ and $F$ of a test set carry over (if positives, and negatives, are still of the same kind); its precision does not.
#
# The **precision-recall curve** shows both, and **average precision** summarises it: over the thresholds $t_1 > t_2 > \dots$ (the distinct scores),
#
# $$\mathrm{AP} = \sum_k (R_k - R_{k-1}) \cdot \text{precision}_k, \qquad R_0 = 0 .$$
#
# A random ranking has an AP of about $\pi$: so **compare APs only at the same prevalence**.
#
# ### Exercise 6.2 · Ranking
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **11 points** · NumPy
#
# **Write** three functions. Hidden checks refuse scikit-learn's metrics and SciPy's `mannwhitneyu`.
#
# <details><summary>Hint 1: counting pairs without making them</summary>
#
# Sort the negatives' scores. For each positive, `np.searchsorted` finds by bisection how many of them are lower (`side="left"`), and how many are not higher (`side="right"`). The mean of the two counts a tie as one half.
# </details>
#
# <details><summary>Hint 2: one threshold for equal scores</summary>
#
# `np.unique(values, return_inverse=True)` numbers the distinct values in ascending order. With these numbers, `np.bincount` counts the cases at each threshold, and with `weights` the positives. Then use cumulative sums.
# </details>
#
# <details><summary>Hint 3: the threshold for a recall</summary>
#
# Only a positive's score can be it. In descending order, flagging the $k$-th positive gives a recall of at least $k / P$. After the threshold is found, count again with `>=`: ties may flag more.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ranking", "locked": false, "schema_version": 3, "solution": true, "task": false}
def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve: the chance that a positive case scores above a negative one.

    Ties count one half; only scores that are exactly equal are tied. The order of the cases does not
    matter. Takes O(n log n) operations and O(n) memory, so that a million scores are no problem.

    Args:
        labels: (n,), 1 for a positive case and 0 for a negative one: a list or an array, of whole
            numbers, floats or booleans. Not modified.
        scores: (n,), higher for "more probably positive": a list or an array, of whole numbers (also
            unsigned ones) or floats, in any order. inf and -inf are scores as others. Not modified.

    Raises:
        ValueError: there is no positive case, or no negative one; the message contains "no positive" or
            "no negative", whichever it is. Or a score is NaN.

    >>> roc_auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    ### BEGIN SOLUTION
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    for name, present in (("positive", labels), ("negative", ~labels)):
        if not present.any():
            raise ValueError(f"among the {len(labels)} cases is no {name} one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    positives, negatives = scores[labels], np.sort(scores[~labels])
    lower = np.searchsorted(negatives, positives, side="left")
    not_higher = np.searchsorted(negatives, positives, side="right")
    return float((lower + not_higher).mean() / (2 * len(negatives)))
    ### END SOLUTION


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """The average precision: the sum, over the thresholds, of the gain in recall times the precision.

    The thresholds are the distinct scores, from the highest to the lowest; at each, all cases with a score
    at or above it are flagged. Nothing is interpolated. Without any negative case, it is 1. Arguments,
    number of operations and memory are as in `roc_auc`.

    Raises:
        ValueError: there is no positive case; the message contains "no positive". Or a score is NaN.

    >>> round(average_precision([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8]), 4)  # 1/2 * 1 + 1/2 * 2/3
    0.8333
    """
    ### BEGIN SOLUTION
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    if not labels.any():
        raise ValueError(f"among the {len(labels)} cases is no positive one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    _, threshold = np.unique(-scores, return_inverse=True)
    positives = np.bincount(threshold, weights=labels)
    precision = np.cumsum(positives) / np.cumsum(np.bincount(threshold))
    return float((positives * precision).sum() / labels.sum())
    ### END SOLUTION


def precision_at_prevalence(labels: np.ndarray, scores: np.ndarray, recall: float, prevalence: float) -> float:
    """The precision to expect at a given recall, where the share of positives is another than in the data.

    The threshold is the highest score at which the recall on these data is at least `recall`. The
    recall and the false positive rate that this threshold has on these data are taken as those in use,
    where the share of positives is `prevalence`. Labels, scores, number of operations and memory are as
    in `roc_auc`.

    Args:
        recall: above 0, at most 1.
        prevalence: above 0, below 1.

    Raises:
        ValueError: as in `roc_auc`.

    >>> round(precision_at_prevalence([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8], recall=1.0, prevalence=0.1), 4)
    0.1818
    """
    ### BEGIN SOLUTION
    labels, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=float)
    for name, present in (("positive", labels), ("negative", ~labels)):
        if not present.any():
            raise ValueError(f"among the {len(labels)} cases is no {name} one")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    positives, negatives = np.sort(scores[labels])[::-1], scores[~labels]
    enough = np.arange(1, len(positives) + 1) / len(positives) >= recall
    threshold = positives[enough.argmax()]
    true = prevalence * (positives >= threshold).mean()
    false = (1 - prevalence) * (negatives >= threshold).mean()
    return float(true / (true + false))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ranking", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=1, hint="Of the nine pairs of a positive and a negative case, five are in order and four are tied.")
def pairs_by_hand():
    """By hand: positives with scores 2, 1, 1 and negatives with 1, 1, 0 have an AUC of 7/9."""
    found = roc_auc(np.array([1, 1, 0, 0, 1, 0]), np.array([1, 1, 1, 0, 2, 1]))
    assert abs(found - 7 / 9) < 1e-9, f"{found:.4f} instead of {7 / 9:.4f}"


@check(points=1, hint="Two thresholds: at 2, one case is flagged; at 1, five, three of them positive.")
def steps_by_hand():
    """By hand: the same cases have an average precision of 1/3 · 1 + 2/3 · 3/5."""
    found = average_precision(np.array([1, 1, 0, 0, 1, 0]), np.array([1, 1, 1, 0, 2, 1]))
    assert abs(found - 11 / 15) < 1e-9, f"{found:.4f} instead of {11 / 15:.4f}"


@check(points=1, hint="Two of three positives are needed, so the threshold is 6: R = 2/3, F = 1/7. Then put π = 0.1 into the formula.")
def precision_by_hand():
    """By hand: positives 9, 6, 4 among seven negatives, recall 0.6, prevalence 0.1: the precision is 14/41."""
    labels = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0, 0])
    found = precision_at_prevalence(labels, np.array([9, 8, 5, 6, 3, 3, 2, 4, 1, 0]), 0.6, 0.1)
    assert abs(found - 14 / 41) < 1e-9, f"{found:.4f} instead of {14 / 41:.4f}"


### BEGIN HIDDEN TESTS
from fractions import Fraction

from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

LIBRARY = tuple(f"sklearn.metrics.{name}" for name in ("roc_auc_score", "average_precision_score", "roc_curve", "precision_recall_curve", "auc", "det_curve"))


def ranked(name, cases, *args):
    """What the student's function returns for each (labels, scores, further arguments)."""
    def run(name, library, cases):
        function = {"roc_auc": roc_auc, "average_precision": average_precision, "precision_at_prevalence": precision_at_prevalence}[name]
        with forbidden(*library, "scipy.stats.mannwhitneyu"):
            return [(float(function(*case)), *case[:2]) for case in cases]

    copies = [(labels.copy(), scores.copy(), *rest) for labels, scores, *rest in cases]
    for (labels, scores, *rest), (found, *after) in zip(cases, probe(run, name, LIBRARY, copies), strict=True):
        if not (np.array_equal(after[0], labels) and np.array_equal(after[1], scores)):
            fail("The labels or the scores were modified.")
        yield labels, scores, *rest, found


def ranking_cases():
    """Labels and scores of many sizes and prevalences, with both classes, with and without ties."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [(np.array([0, 1]), np.array([0.25, 0.5])), (np.array([0, 1]), np.array([0.5, 0.25])), (np.array([1, 0, 1]), np.array([1.0, 1.0, 1.0]))]
    for n, share in ((5, 0.5), (12, 0.3), (40, 0.8), (41, 0.05), (300, 0.1), (300, 0.5)):
        for levels in (3, 11, None):
            labels = generator.permutation(np.arange(n) < max(1, round(share * n))).astype(int)
            scores = generator.normal(labels, 1.0) if levels is None else np.clip(generator.integers(0, levels, n) + labels, 0, levels) / 16 - 0.25
            cases.append((labels, scores))
    return cases


@check(points=1.5, hint="Every pair counts: 1 if the positive case is higher, one half for a tie. High scores mean positive.")
def auc_agrees_with_sklearn():
    """roc_auc agrees with scikit-learn, with and without ties, at any prevalence, and modifies nothing."""
    for labels, scores, found in ranked("roc_auc", ranking_cases()):
        if not abs(found - roc_auc_score(labels, scores)) < 1e-9:
            fail(f"Wrong for {len(labels)} cases{', with ties' if len(set(scores)) < len(scores) else ', without ties'}.")


@check(points=1.5, hint="One threshold for each distinct score; the precision at a threshold times what the recall gained there. No interpolation.")
def ap_agrees_with_sklearn():
    """average_precision agrees with scikit-learn, with and without ties, at any prevalence, and modifies nothing; without negatives it is 1."""
    for labels, scores, found in ranked("average_precision", [*ranking_cases(), (np.ones(3, int), np.array([0.5, 0.25, 0.5])), (np.ones(1, int), np.zeros(1))]):
        if not abs(found - average_precision_score(labels, scores)) < 1e-9:
            fail(f"Wrong for {len(labels)} cases{', with ties' if len(set(scores)) < len(scores) else ', without ties'}{'' if labels.min() == 0 else ', all positive'}.")


@check(points=1, hint="Recall and false positive rate are measured on the data, at the threshold. Only they and the new prevalence enter the formula; the precision on the data does not.")
def precision_agrees_with_weights():
    """precision_at_prevalence is the precision that scikit-learn finds if cases are weighted so that positives have the share `prevalence`."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for labels, scores in ranking_cases():
        n_positive = labels.sum()
        for prevalence in (0.001, 0.3, 0.97):
            # Between two recalls that are possible, so that rounding does not decide; 1 is exact.
            cases += [(labels, scores, (generator.integers(n_positive) + 0.5) / n_positive, prevalence), (labels, scores, 1.0, prevalence)]
    for labels, scores, recall, prevalence, found in ranked("precision_at_prevalence", cases):
        weights = np.where(labels == 1, 1.0, labels.sum() / (1 - labels).sum() * (1 - prevalence) / prevalence)
        precisions, recalls, _ = precision_recall_curve(labels, scores, sample_weight=weights)
        truth = precisions[np.nonzero(recalls >= recall)[0][-1]]
        if not abs(found - truth) < 1e-9 + 1e-9 * truth:
            fail(f"Wrong for {len(labels)} cases, a recall of {recall:.3f} and a prevalence of {prevalence:g}.")


@check(points=0.5, hint="A recall that is reached exactly is enough: >=, not >. And the threshold itself is flagged, too.")
def recall_reached_exactly():
    """Where half of the positives are exactly a recall of 0.5, the threshold is the highest such score."""
    labels, scores = np.array([1, 0, 1, 0, 0, 1, 0, 1]), np.array([8.0, 7, 6, 5, 5, 4, 3, 2])
    cases = [(labels, scores, recall, 0.25) for recall in (0.25, 0.5, 0.75)]
    for (*_, recall, _, found), false in zip(ranked("precision_at_prevalence", cases), (0, 1, 3), strict=True):
        truth = Fraction(1, 4) * Fraction(recall) / (Fraction(1, 4) * Fraction(recall) + Fraction(3, 4) * Fraction(false, 4))
        if not abs(found - float(truth)) < 1e-9:
            fail(f"Wrong where {round(4 * recall)} of 4 positives are wanted: recall = {recall}.")


@check(points=0.5, hint="Equal scores belong together, in whatever order a sort leaves them. Between them, nobody is first.")
def order_does_not_matter():
    """Cases with equal scores may come in any order: the three answers stay the same."""
    labels, scores = np.repeat([1, 0, 1, 0, 1, 0], [2, 3, 4, 40, 3, 8]), np.repeat([3, 3, 2, 2, 1, 1], [2, 3, 4, 40, 3, 8])
    keys = [(labels, scores), (-labels, scores), (labels, -scores), (-labels, -scores), (np.random.permutation(60),)]
    cases = [(labels[order], scores[order]) for order in map(np.lexsort, keys)]
    cases += [(np.array(labels), np.full(4, 0.5)) for labels in ([1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 1])]
    answers = (ranked("roc_auc", cases), ranked("average_precision", cases), ranked("precision_at_prevalence", [(*case, 0.5, 0.25) for case in cases]))
    for (labels, scores, auc), (*_, ap), (*_, precision) in zip(*answers, strict=True):
        pairs = [Fraction(int(a > b) + int(a >= b), 2) for a in scores[labels == 1] for b in scores[labels == 0]]
        # Six of nine positives and 43 of 51 negatives have a score of 2 or 3; where all scores are equal, all cases are flagged.
        truth = 1 / (1 + 3 * (43 / 51) / (6 / 9)) if len(labels) == 60 else 0.25
        if not max(abs(auc - float(sum(pairs) / len(pairs))), abs(ap - average_precision_score(labels, scores)), abs(precision - truth)) < 1e-9:
            fail("Wrong where many scores are equal." if len(labels) == 60 else "Wrong where all scores are equal.")


@check(points=1, hint="No table of all pairs, and no pass over all cases for each threshold: sort once. Add up in 64 bits.")
def a_million_scores():
    """Memory grows with n, not with its square; for up to a million scores, tied in pairs, the answers come, and are as precise."""
    def run(seed, n, names, counted):
        import tracemalloc

        functions = {"roc_auc": roc_auc, "average_precision": average_precision, "precision_at_prevalence": lambda *cases: precision_at_prevalence(*cases, 0.5, 0.01)}
        order = np.random.default_rng(seed).permutation(n)
        labels, scores, answers = (order % 4 == 3).astype(int), order // 2 * 0.5, []
        for name in names:
            if counted:
                functions[name](labels[:40], scores[:40])  # so that what is imported by the first call does not count
                tracemalloc.start()
                try:
                    functions[name](labels, scores)
                    answers.append(tracemalloc.get_traced_memory()[1])
                finally:
                    tracemalloc.stop()
            else:
                answers.append(float(functions[name](labels, scores)))
        return answers

    names = ("roc_auc", "average_precision", "precision_at_prevalence")
    # A table of all pairs has at least 2,250 bytes for each of 12,000 cases. Lists of pairs of Python's need 150.
    for name, peak in zip(names, probe(run, np.random.randint(2**31), 12_000, names, True), strict=True):
        if peak > 1_500 * 12_000:
            fail(f"{name} takes {peak / 2**20:.0f} MiB for 12,000 scores: memory must not grow with the square of their number.")
    for n, asked in ((1_000_000, names[:1]), (200_000, names[1:])):
        p, k = n // 4, np.arange(1, n // 4 + 1)
        # From the top, the k-th positive is tied with one negative, and 3(p - k) + 2 of the 3p negatives are below both.
        truths = dict(zip(names, (((3 * (p - k) + 2.5) / (3 * p)).mean(), (k / (4 * k - 2)).mean(), 1 / (1 + 99 * (3 * (p // 2) - 2) / (3 * p) / 0.5)), strict=True))
        for name, found in zip(asked, probe(run, np.random.randint(2**31), n, asked, False), strict=True):
            if not abs(found - truths[name]) < 1e-9 * truths[name]:
                fail(f"{name} is wrong for {n:,} scores.")


@check(points=0.5, hint="Compare scores with == and <, not with differences: unsigned numbers have no negative, inf - inf is NaN, and a small difference is no tie.")
def takes_any_numbers():
    """Labels and scores may be lists, booleans, floats, unsigned, 32-bit, infinite, huge, nearly equal, or read-only views."""
    def run(labels, kinds):
        results = {}
        for kind, scores in kinds.items():
            if kind in ("list", "infinite"):
                given = [bool(label) for label in labels], list(scores)
            elif kind in ("uint8", "float32"):
                given = labels.astype(kind), np.array(scores).astype(kind)
            elif kind == "view":
                given = np.repeat(labels, 2)[::2], np.repeat(scores, 3)[::-3][::-1]
                given[0].flags.writeable = given[1].flags.writeable = False
            else:
                given = labels.astype(bool), np.array(scores)
            results[kind] = [float(roc_auc(*given)), float(average_precision(*given)), float(precision_at_prevalence(*given, 0.75, 0.5))]
        return results

    labels = np.array([1, 0, 0, 1, 0, 1, 0, 0, 1, 0])
    near, inf = 0.5, math.inf
    up = [near := math.nextafter(near, 1) for _ in range(4)]
    kinds = {
        "list": [3, 2, 3, 1, 0, 2, 1, 1, 5, 0],
        "infinite": [1.5, -inf, -inf, inf, -inf, inf, -1.0, inf, -inf, 1.5],
        "uint8": [3, 0, 3, 1, 0, 255, 1, 1, 5, 200],
        "float32": [0.5, 0.25, 0.5, 0.125, 0, 0.75, 0.125, 0.25, 0.0, 0.5],
        "view": [3, 2, 3, 1, 0, 2, 1, 1, 5, 0],
        "nearly equal": [up[1], up[0], up[2], up[3], 0.5, up[3], up[1], 0.5, up[2], up[0]],
        "huge": [1e308, -1e308, 1e300, 1e-300, -1e-300, 1e-320, 0.0, 1e308, -1e300, 1e-310],
    }
    for kind, found in probe(run, labels, kinds).items():
        pairs = list(zip(labels.tolist(), kinds[kind], strict=True))
        positives, negatives = ([score for label, score in pairs if label == wanted] for wanted in (1, 0))

        def flagged(group, threshold):
            return sum(score >= threshold for score in group)

        auc = sum((a > b) + 0.5 * (a == b) for a in positives for b in negatives) / 24
        ap = sum(flagged(positives, a) / flagged(kinds[kind], a) for a in positives) / 4  # each positive gains 1/4 at its threshold
        threshold = sorted(positives)[1]
        R, F = flagged(positives, threshold) / 4, flagged(negatives, threshold) / 6
        if not np.allclose(found, (auc, ap, R / (R + F)), rtol=1e-9, atol=1e-12):
            fail(f"Wrong for scores that are {kind}." if kind in ("infinite", "nearly equal", "huge") else f"Wrong for labels and scores given as {kind}.")


def refused(labels, scores):
    """For each function, what its ValueError says, or None."""
    def run(labels, scores):
        messages = {}
        for name, call in (("roc_auc", roc_auc), ("average_precision", average_precision), ("precision_at_prevalence", lambda *given: precision_at_prevalence(*given, 0.5, 0.1))):
            try:
                call(labels, scores)
                messages[name] = None
            except ValueError as error:
                messages[name] = str(error)
        return messages

    return probe(run, labels, scores)


@check(points=1, hint="raise ValueError(...), with the words of the docstring in its message. Neither 0.5, nor NaN, nor a division by zero.")
def refuses_one_class():
    """Without a positive case, or without a negative one, a ValueError says which is missing."""
    for n in (1, 3):
        for label, missing, there, names in ((0, "positive", "negative", ("roc_auc", "average_precision", "precision_at_prevalence")), (1, "negative", "positive", ("roc_auc", "precision_at_prevalence"))):
            messages = refused(np.full(n, label), np.arange(n) / 4)
            for name in names:
                if messages[name] is None:
                    fail(f"{name} has to raise ValueError where no case is {missing}.")
                if f"no {missing}" not in messages[name].lower() or f"no {there}" in messages[name].lower():
                    fail(f"The message of {name} does not say which class is missing.")


@check(points=0.5, hint="A sort puts NaN at one end, as if it were the highest score. np.isnan finds it.")
def refuses_nan():
    """A score that is NaN raises ValueError: it cannot be ranked."""
    for position in range(4):
        for name, message in refused(np.array([1, 0, 1, 0]), np.where(np.arange(4) == position, np.nan, [0.1, 0.2, 0.3, 0.4])).items():
            if message is None:
                fail(f"{name} accepts a score that is NaN.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# Scores are normal with standard deviation 1, and mean 0 for negatives and 2 for positives. There are 1,000 positives, and more and more negatives. **Predict:** which numbers in the legend change, and does any curve stay as it is?

# %% tags=["demo"]
def draw_ranking(distance=2.0, n_positive=1_000, seed=0):
    from scipy.stats import norm

    for function, more in ((roc_auc, ()), (average_precision, ()), (precision_at_prevalence, (0.5, 0.5))):
        function([0, 1], [0.0, 1.0], *more)  # the quickest way to find out whether there are answers
    generator = np.random.default_rng(seed)
    positive = generator.normal(distance, 1, n_positive)
    thresholds = np.linspace(-4, distance + 4, 400)
    F, R = norm.sf(thresholds), norm.sf(thresholds - distance)
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.5))
    left.plot(F, R, color="black", lw=1.2)
    left.plot([0, 1], [0, 1], ":", color="0.5", lw=1.2)
    left.set(xlabel="false positive rate", ylabel="recall", title="ROC: one curve for all")
    middle.set(xlabel="recall", ylabel="precision", title="Precision-recall", ylim=(-0.03, 1.42), yticks=np.arange(0, 1.1, 0.2))
    measured, shares = {}, (0.5, 0.1, 0.01, 0.001)
    for share, color, style, marker in zip(shares, ("C0", "C1", "C2", "C5"), ("-", "--", "-.", ":"), ("s", "o", "^", "x"), strict=True):
        name = f"{100 * share:g} %"
        negative = generator.normal(0, 1, round(n_positive * (1 - share) / share))
        cases = np.repeat([1, 0], [n_positive, len(negative)]), np.concatenate([positive, negative])
        measured[share] = average_precision(*cases), precision_at_prevalence(*cases, 0.9, share)
        if share == shares[0]:
            balanced = cases
        places = np.array([[(group >= t).mean() for t in (-0.5, 0.2, 1, 1.5, 2.3)] for group in (negative, positive)])
        left.plot(*places, marker, mfc="none", ms=5 + 2 * len(measured), color=color, label=f"{name}: AUC {roc_auc(*cases):.2f}")
        middle.plot(R, share * R / (share * R + (1 - share) * F), style, color=color, label=f"{name}: AP {measured[share][0]:.2f}")
    left.legend(fontsize=8.5, loc="lower right", title="positives")
    middle.legend(fontsize=8.5, loc="upper center", ncols=2, title="positives")
    many = np.geomspace(0.0007, 0.6, 40)
    right.plot(many, [precision_at_prevalence(*balanced, 0.9, share) for share in many], color="0.4", label="predicted from the 50 % sample")
    right.plot(shares, [precision for _, precision in measured.values()], "o", color="C5", label="measured on each sample")
    right.plot(shares, [ap for ap, _ in measured.values()], "s", mfc="none", color="C0", label="AP")
    right.set(xscale="log", yscale="log", xlabel="prevalence", title="Precision at 90 % recall")
    right.legend(fontsize=8.5, loc="lower right")
    plt.show()


try:
    draw_ranking()
except NotImplementedError:
    print("This figure needs your functions of exercise 6.2.")

# %% [markdown]
# **Left.** AUC is .92 throughout. **Middle.** AP falls to .65, .24 and .05 (over 12 seeds: .64 to .68, .23 to .29, .05 to .07), only because there are more negatives to be confused with.
# **Right.** At 90 % recall, 4 of 1,000 flagged prompts are harmful.
#
# **A trap:** `roc_auc_score(labels, scores > 1)` gives no error, but .84 instead of .92 (50 % positives): decisions are no scores.
#
# **Change, predict, run.** `draw_ranking(distance=4)` is a filter with an AUC of .998 (1.00 in the legend). At 0.1 % prevalence and 90 % recall, are most of the flagged prompts harmful now? And how well does the line on the right predict it?
#
# <details><summary>What you should see</summary>
#
# Still not: precision is about .2 (over 12 seeds: .18 to .25). The prediction is unreliable (.18 to .47): only one to four of the 50 % sample's 1,000 negatives are above the threshold. To predict for rare positives, collect *negatives*.
# </details>
