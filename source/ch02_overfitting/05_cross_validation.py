# %% [markdown]
# ## 2.5 Cross-validation that does not leak
#
# Early stopping took 400 of 1,000 labelled images for validation alone. With 50 patients, nobody can afford that. **Cross-validation**
# lets every sample take a turn as test data. Cut the samples into $k$ folds $F_1, \dots, F_k$ and let $A$ be the procedure that turns data into
# a classifier. Then
#
# $$\mathrm{CV} = \frac{1}{k} \sum_{j=1}^{k} \mathrm{accuracy}\big(\underbrace{A(\text{all samples outside } F_j)}_{\text{a new classifier each time}},\; F_j\big)$$
#
# Two things in this formula are easy to overlook.
#
# **It rates a procedure, not a model.** There are $k$ classifiers, and all are thrown away. So cross-validation is **no cure for overfitting**,
# though lists of cures often name it: it changes no weight. It can *tell* that a procedure overfits, and *choose* among procedures.
#
# **$A$ is everything that looks at data**: scaling, imputing, selecting features, choosing hyperparameters, deciding when to stop. What
# happens before the folds are cut has seen the test samples. That is a **leak**. Here is one in circulating style. Before you read
# on, find four mistakes:
#
# ```python
# x = StandardScaler().fit_transform(x)
# x = SelectKBest(k=20).fit_transform(x, y)      # the 20 features that differ most between the classes
# scores = []
# for train, test in KFold(5).split(x):
#     model.fit(x[train], y[train])
#     scores.append(model.score(x[test], y[test]))
# print("accuracy:", max(scores))
# ```
#
# <details><summary>Compare your list</summary>
#
# | what | how bad it is |
# |---|---|
# | Features are selected on all samples, **with their labels**. | Very: see below. Test labels have decided what the classifier looks at. |
# | The scaler has seen the test samples, but no labels. | Mostly mild. Wrong all the same, and costs nothing to do right. |
# | `KFold` does not shuffle unless told to. | On data sorted by class, a whole class may be missing from the training data. |
# | The maximum is reported. | The best of five noisy numbers is not what to expect next time. Report the mean. |
#
# (And if `model` were a torch module, `fit` would go on from the last fold's weights, which have seen the test fold. scikit-learn's `fit` starts anew.)
# </details>
#
# ### How much can a leak pretend?
#
# The honest answer is known where labels are drawn at random: one half. The figure takes 50 such samples, keeps
# the 20 features that look best and classifies with them. The only difference between the two curves is whether features are selected
# before the folds are cut or within them.

# %% nbgrader={"grade": false, "grade_id": "setup_cross_validation", "locked": true, "schema_version": 3, "solution": false, "task": false}
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler


def no_signal(n_samples, n_features, seed):
    """Features and labels that have nothing to do with each other; half the labels are 1."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, n_features)), rng.permutation(np.arange(n_samples) % 2)


# %% tags=["demo"]
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

n_features = [20, 60, 200, 600, 2000]
accuracies = {"selected before the folds": [], "selected within the folds": []}
for p in n_features:
    for curve, rows in accuracies.items():
        rows.append([])
        for repetition in range(8):
            x_random, y_random = no_signal(50, p, repetition)
            folds = StratifiedKFold(5, shuffle=True, random_state=repetition)
            if curve == "selected before the folds":
                leaky = SelectKBest(k=20).fit_transform(x_random, y_random)
                rows[-1].append(cross_val_score(GaussianNB(), leaky, y_random, cv=folds).mean())
            else:
                pipeline = make_pipeline(SelectKBest(k=20), GaussianNB())
                rows[-1].append(cross_val_score(pipeline, x_random, y_random, cv=folds).mean())

fig, ax = plt.subplots(figsize=(7.5, 3.3))
for colour, marker, (name, rows) in zip(("C5", "C0"), ("X", "o"), accuracies.items(), strict=True):
    ax.plot(n_features, np.mean(rows, 1), color=colour, marker=marker, ms=7, label=name)
    ax.fill_between(n_features, np.min(rows, 1), np.max(rows, 1), color=colour, alpha=0.15, lw=0)
ax.axhline(0.5, color="0.4", ls=":", lw=1.2)
ax.text(2000, 0.485, "the truth: labels are random", fontsize=8.5, ha="right", va="top", color="0.35")
ax.set(title="Cross-validated accuracy, mean and range of 8 data sets", xlabel="features to select 20 from", ylabel="accuracy", xscale="log", ylim=(0.2, 1.02))
ax.set_xticks(n_features, labels=[f"{p:,}" for p in n_features])
ax.minorticks_off()
ax.legend(loc="upper left", fontsize=9)
plt.show()

pipeline.fit(x_random, y_random)
x_new, y_new = no_signal(2000, 2000, seed=99)
print(f"2,000 features, last data set, fitted to all 50 samples: right on these {pipeline.score(x_random, y_random):.2f}, on 2,000 new samples {pipeline.score(x_new, y_new):.1f}")

# %% [markdown]
# With many features to choose from, some agree with the labels by chance: with *all* labels, those of the test folds included. Whoever
# chooses them first and cross-validates later finds what was planted there. Hastie, Tibshirani and Friedman report 3 % error
# in such an experiment where the truth is 50 % (*The Elements of Statistical Learning*, section 7.10.2). Ambroise and McLachlan (PNAS 99, 2002)
# found the mistake in published work on gene expression; Kapoor and Narayanan (*Leakage and the Reproducibility Crisis in
# ML-based Science*, arXiv:2207.07048) count leaks of several kinds in hundreds of papers from 17 fields of science.
#
# The printed line is about the other claim. The procedure learns its training data and nothing else, and honest cross-validation has said so. But it
# has not made the classifier any better.
#
# ### Which samples make a fold?
#
# Shuffling is not always enough. With a rare class, a fold may get none of it: **stratified** folds give each fold its share of each class. And where
# samples come in **groups**, as several images of one patient do, a classifier may recognise the patient instead of the
# disease. Then a group must be as a whole in one fold.

# %% tags=["demo"]
rng = np.random.default_rng(4)
classes_sorted = np.repeat([0, 1, 2], [24, 14, 6])
patients = np.concatenate([np.repeat(np.arange(6), 4), 6 + np.repeat(np.arange(7), 2), 13 + np.repeat(np.arange(3), 2)])
ways = {
    "cut in order": KFold(4).split(classes_sorted),
    "stratified, shuffled": StratifiedKFold(4, shuffle=True, random_state=0).split(classes_sorted, classes_sorted),
    "grouped": GroupKFold(4).split(classes_sorted, groups=patients),
}
fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.9), sharey=True)
for ax, (name, splits) in zip(axes, ways.items(), strict=True):
    for fold, (_, test) in enumerate(splits):
        ax.barh(fold, 44, left=-0.5, height=0.7, color="0.92")
        ax.bar(test, 0.7, bottom=fold - 0.35, width=1, color=[f"C{c}" for c in classes_sorted[test]], edgecolor="white", lw=0.6)
    ax.bar(np.arange(44), 0.45, bottom=4.1, width=1, color=[f"C{c}" for c in classes_sorted], edgecolor="white", lw=0.6)
    if name == "grouped":
        for edge in np.flatnonzero(np.diff(patients)):
            ax.plot([edge + 0.5] * 2, [3.95, 4.65], color="black", lw=1.2, clip_on=False)
    ax.set(title=name, xlabel="patients, between the black lines" if name == "grouped" else "sample, sorted by class", xticks=[], ylim=(4.7, -0.5))
    ax.set_yticks([0, 1, 2, 3, 4.32], labels=["fold 1", "fold 2", "fold 3", "fold 4", "class"])
    ax.grid(False)
plt.show()

# %% [markdown]
# Coloured cells are the test samples of a fold, grey ones its training samples. Cut in order, fold 1 tests on nothing
# but the first class. Stratified, every fold tests on 6, 3 or 4, and 1 or 2 of the classes. Grouped, no patient is
# torn apart, and the classes fall as they may. (`StratifiedGroupKFold` of scikit-learn tries to have both.)
#
# How many folds? Kohavi (IJCAI 1995) recommended ten, stratified, after many experiments; five are common where training is slow.
# Mind that the $k$ numbers are not independent, as their training data overlap: no unbiased estimate of the
# variance of CV exists (Bengio and Grandvalet, JMLR 5, 2004), so their spread divided by $\sqrt{k}$ is no honest error bar.
#
# ### Choosing is fitting, too
#
# Try thirty settings, cross-validate each and report the best: that number is the maximum of thirty noisy ones, and too good. The
# choice belongs to $A$. **Nested** cross-validation puts it there: for each outer fold, an inner cross-validation *of the outer training
# samples alone* chooses the setting, which is then fitted to all of them and meets the outer test fold once (Varma and Simon, BMC
# Bioinformatics 7:91, 2006; Cawley and Talbot, JMLR 11, 2010).
#
# ```text
# all samples ── outer folds ──▶ train ── inner folds ──▶ which candidate? ──▶ fit it to train ──▶ accuracy on test
#                                test  ─────────────────── not looked at ────────────────────────────────────▲
# ```

# %% [markdown]
# ### Exercise 2.5 · Cross-validation that does not leak
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · Python, NumPy and estimators of scikit-learn
#
# **Write** two functions that make folds, one that runs a procedure in them, and one that chooses among
# procedures without cheating. All four speak of splits in the same way: a list of pairs `(train, test)` of index arrays, as scikit-learn's `cv=` takes them, too.
#
# A procedure is a list of **steps**. Each step is a function that takes no arguments and makes a new, unfitted object; classes will do. For example,
# `[StandardScaler, lambda: SelectKBest(k=20), GaussianNB]` scales, selects and classifies. As everywhere in scikit-learn, transformers have
# `fit(x, y)`, `transform(x)` and `fit_transform(x, y)`, and classifiers have `fit(x, y)` and `predict(x)`.
#
# Do without `sklearn.model_selection` (the hidden checks put its functions out of reach). `sklearn.pipeline` is allowed.
#
# <details><summary>Hint 1: equal shares without bookkeeping</summary>
#
# Deal the samples out like cards: sample after sample to fold 0, 1, ..., k - 1, 0, 1, ... If all samples of a class lie next to each
# other in the pack, each fold gets its share of them. Do not start at fold 0 anew with every class: then fold 0 gets the odd ones of all classes.
# What has to be shuffled, and when, so that chance decides which samples of a class meet?
# </details>
#
# <details><summary>Hint 2: large groups first</summary>
#
# `np.unique(groups, return_inverse=True, return_counts=True)` numbers the groups and counts their samples. Go through
# them from the largest to the smallest, and keep a count of samples for each fold.
# </details>
#
# <details><summary>Hint 3: nesting</summary>
#
# Inside an outer fold, take `x[train]` and `y[train]` and forget that there is anything else: `make_splits(y[train])` returns
# indices into *these*. For the choice and for the final measurement you have a function already. What are the splits of the final measurement?
# </details>

# %% nbgrader={"grade": false, "grade_id": "cross_validation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def stratified_splits(
    labels: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples at random into folds in which each class has its share.

    Args:
        labels: (n,) the class of each sample, integers or strings, in any order; not modified.
        n_folds: from 2 to n. A class may have fewer samples than that.
        seed: the same seed gives the same folds, another seed other ones. Global random generators
            are neither used nor changed.

    Returns:
        For each fold the pair (train, test) of index arrays. Each sample is in `test` of exactly
        one fold and in `train` of all others. The sizes of any two test folds differ by one at
        most, and so do, for each class, the numbers of its samples in them. Which samples of a
        class meet in a fold is left to chance. The indices may be in any order.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, at random within each
    fold = np.empty(len(labels), dtype=int)
    fold[order] = np.arange(len(labels)) % n_folds
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(n_folds)]
    ### END SOLUTION


def group_splits(groups: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples into folds of similar size that tear no group apart.

    Groups are dealt out from the one with most samples to the one with fewest, each to a fold that
    has fewest samples so far. Ties may be broken in any way.

    Args:
        groups: (n,) the group of each sample, integers or strings, in any order; not modified.
        n_folds: from 2 to the number of groups.

    Returns:
        For each fold the pair (train, test) of index arrays, as above: each sample is in `test` of
        exactly one fold and in `train` of all others.
    """
    ### BEGIN SOLUTION
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    fold = np.empty(len(groups), dtype=int)
    filled = np.zeros(n_folds)
    for number in np.argsort(-sizes):
        smallest = filled.argmin()
        fold[group == number] = smallest
        filled[smallest] += sizes[number]
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(n_folds)]
    ### END SOLUTION


def fold_accuracies(
    steps: list, x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]
) -> list[float]:
    """Fits a procedure to the training samples of each split and measures it on the test samples.

    For each split, new objects are made from all steps. Whatever is fitted, is fitted to training
    samples and their labels alone; test samples pass through the fitted transformers.

    Args:
        steps: functions that make the transformers, in the order in which they are applied (there
            may be none), and last the classifier.
        x: (n, n_features); not modified.
        y: (n,) labels; not modified.
        splits: pairs (train, test) of index arrays, of any kind: some samples may be in no test
            fold or in several, and `train` need not be all the others.

    Returns:
        For each split the share of test samples, from 0 to 1, whose label is predicted.
    """
    ### BEGIN SOLUTION
    accuracies = []
    for train, test in splits:
        *transformers, classifier = [make() for make in steps]
        x_train, x_test = x[train], x[test]
        for transformer in transformers:
            x_train = transformer.fit(x_train, y[train]).transform(x_train)
            x_test = transformer.transform(x_test)
        classifier.fit(x_train, y[train])
        accuracies.append(float(np.mean(classifier.predict(x_test) == y[test])))
    return accuracies
    ### END SOLUTION


def nested_accuracies(
    candidates: list[list],
    x: np.ndarray,
    y: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
    make_splits,
) -> tuple[list[float], list[int]]:
    """Measures, for each split, the candidate that cross-validation of the split's training samples
    chooses.

    Args:
        candidates: the procedures to choose from, each a list of steps.
        x, y: as above.
        splits: the outer splits, of any kind.
        make_splits: called with the labels of some samples, it returns splits of these samples:
            pairs of indices into these labels. The same labels give the same splits.

    Returns:
        For each outer split the accuracy, on its test samples, of the chosen candidate after
        fitting it to all of its training samples; and for each outer split the chosen candidate's
        index. Chosen is the one whose accuracies in the inner splits have the highest mean, the
        first of them if there are several (means that differ by rounding errors are equal, and
        either may be chosen). Test samples of an outer split have no part in the choice.
    """
    ### BEGIN SOLUTION
    accuracies, choices = [], []
    for train, test in splits:
        inner = make_splits(y[train])
        means = [np.mean(fold_accuracies(steps, x[train], y[train], inner)) for steps in candidates]
        choices.append(int(np.argmax(means)))
        accuracies += fold_accuracies(candidates[choices[-1]], x, y, [(train, test)])
    return accuracies, choices
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_cross_validation", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)
LIBRARY_CALLS = tuple(
    f"sklearn.model_selection.{name}"
    for name in (
        *("cross_val_score", "cross_val_predict", "cross_validate", "GridSearchCV.fit", "StratifiedKFold.split"),
        *("GroupKFold.split", "StratifiedGroupKFold.split", "KFold.split", "ShuffleSplit.split"),
    )
)


def splits_made(name, labels, *settings):
    """The splits that the student's function of that name makes, and the labels afterwards."""
    def run(name, labels, settings):
        with forbidden(*LIBRARY_CALLS):
            splits = {"stratified": stratified_splits, "group": group_splits}[name](labels, *settings)
        return [[np.asarray(part) for part in split] for split in splits], labels

    splits, after = probe(run, name, labels.copy(), settings)
    if not np.array_equal(after, labels):
        fail("The array passed in was modified.")
    return splits


def complaint(splits, n, n_folds):
    """What is wrong with splits of n samples, whatever their labels; None if nothing is."""
    if len(splits) != n_folds or any(len(split) != 2 for split in splits):
        return f"The result is not a list of {n_folds} pairs (train, test)."
    for part in (part for split in splits for part in split):
        if part.ndim != 1 or part.dtype.kind not in "iu":
            return "train and test are not one-dimensional arrays of whole numbers."
        if len(part) and (part.min() < 0 or part.max() >= n or len(np.unique(part)) < len(part)):
            return "Some train or test has an index twice, or one that no sample has."
    tested = np.bincount(np.concatenate([test for _, test in splits]), minlength=n)
    if (tested != 1).any():
        return "Not every sample is in the test part of exactly one fold."
    if any(sorted([*train, *test]) != list(range(n)) for train, test in splits):
        return "In some fold, train does not hold exactly the samples that are not in test."
    return None


def spread(numbers):
    return max(numbers) - min(numbers)


@check(points=1, hint="Shuffle, bring the samples of each class together, deal them out like cards, and go on dealing where the last class ended.")
def cuts_fair_folds():
    """Four stratified folds of 43 samples: each tests 10 or 11 of them, with its share of each class."""
    labels = np.random.permutation(np.repeat([0, 1, 2], [22, 15, 6]))
    splits = splits_made("stratified", labels, 4, 0)
    assert complaint(splits, 43, 4) is None, complaint(splits, 43, 4)
    sizes = [len(test) for _, test in splits]
    assert spread(sizes) <= 1, f"the test folds have {sizes} samples"
    for label in range(3):
        counts = [int(np.sum(labels[test] == label)) for _, test in splits]
        assert spread(counts) <= 1, f"the test folds have {counts} samples of class {label}"


@check(points=1, hint="All samples of a group get the same fold: the one that has fewest samples when the group's turn comes.")
def keeps_groups_together():
    """Three folds of seven groups: no group is in train and test of the same fold."""
    groups = np.random.permutation(np.repeat([10, 20, 30, 40, 50, 60, 70], [6, 5, 4, 4, 2, 2, 1]))
    splits = splits_made("group", groups, 3)
    assert complaint(splits, 24, 3) is None, complaint(splits, 24, 3)
    for number, (train, test) in enumerate(splits):
        torn = sorted(set(groups[train].tolist()) & set(groups[test].tolist()))
        assert not torn, f"in fold {number}, groups {torn} are in train and in test"
    sizes = sorted(len(test) for _, test in splits)
    assert sizes == [8, 8, 8], f"the folds have {sizes} samples; dealt from the largest group to the smallest, they have 8 each"


@check(points=1, hint="Make new objects for each split and fit all of them, the feature selection too, to x[train] and y[train].")
def is_honest_about_random_labels():
    """Where 2,000 features have nothing to do with the labels, the accuracy is about one half (a leak makes it 0.9)."""
    def run(data):
        found = []
        for x, y in data:
            steps = [StandardScaler, lambda: SelectKBest(k=20), GaussianNB]
            found += fold_accuracies(steps, x, y, stratified_splits(y, 5, 0))
        return [float(accuracy) for accuracy in found]

    data = [(np.random.normal(size=(50, 2000)), np.random.permutation(50) % 2) for _ in range(4)]
    found = probe(run, data)
    assert len(found) == 20, f"{len(found) / 4:g} accuracies instead of one for each of the five splits"
    assert 0.25 < np.mean(found) < 0.72, f"the mean accuracy on four data sets is {np.mean(found):.2f}"


### BEGIN HIDDEN TESTS
@check(points=1, hint="Counts per class differ by one at most, and so do the sizes of the folds: the odd samples of all classes must not land in the same fold.")
def shares_out_every_class():
    """Any number of samples, folds and classes, named in any way: each fold has its share of each class and of the whole."""
    draw = np.random.randint
    cases = [(draw(0, 3, n), n_folds) for n in (17, 40, 41) for n_folds in (2, 3, 7)]
    cases += [(np.repeat(np.arange(12), 5), 4), (np.repeat([3, -7, 100, 5], [7, 7, 7, 7]), 3)]  # odd ones everywhere
    cases += [(np.arange(10), 3), (draw(0, 2, 9), 9), (np.zeros(11, int), 4)]  # single samples, single folds, a single class
    cases += [(np.array(["cat", "ant", "elephant"])[draw(0, 3, 25)], 4), (np.repeat([0, 1], [60, 3]), 5)]
    for in_order, n_folds in cases:
        labels = np.random.permutation(in_order)
        splits = splits_made("stratified", labels, n_folds, int(draw(1000)))
        if (wrong := complaint(splits, len(labels), n_folds)) is not None:
            fail(wrong)
        if any(spread([np.sum(labels[test] == label) for _, test in splits]) > 1 for label in np.unique(labels)):
            fail("Two test folds differ by more than one in the number of samples of some class.")
        if spread([len(test) for _, test in splits]) > 1:
            fail("Each class is shared out well, but two test folds differ by more than one in size.")


@check(points=1, hint="One generator, np.random.default_rng(seed), shuffles everything. Which samples of different classes meet is up to chance, too.")
def leaves_the_rest_to_chance():
    """The seed alone decides; over many seeds any two samples meet as often as chance has it; global generators are left alone."""
    def run(labels, first):
        import random

        def folds_of(seeds):
            found = np.full((len(seeds), len(labels)), -1)
            with forbidden(*LIBRARY_CALLS):
                for fold, seed in zip(found, seeds, strict=True):
                    for number, (_, test) in enumerate(stratified_splits(labels, 3, seed)):
                        fold[test] = number
            return found

        np.random.seed(1)
        random.seed(1)
        states = lambda: [np.random.get_state()[1].tolist(), np.random.get_state()[2], random.getstate(), torch.get_rng_state().tolist()]
        before = states()
        folds = folds_of(range(first, first + 400))
        untouched = states() == before
        np.random.seed(2)
        random.seed(2)
        torch.manual_seed(2)
        return folds, folds_of(range(first, first + 20)), untouched

    labels = np.repeat([0, 1], 6)
    folds, again, untouched = probe(run, labels, int(np.random.randint(1000)))
    if not np.array_equal(folds[:20], again):
        fail("The same seed gave two different splits: something else than the seed has a say.")
    if len(np.unique(folds[:20], axis=0)) < 15:
        fail("Different seeds gave the same folds.")
    if not untouched:
        fail("A global random generator was used or seeded.")
    together = (folds[:, :, None] == folds[:, None, :]).mean(0)
    same_class = labels[:, None] == labels[None, :]
    # Two of six in each of three folds: a sample meets each of its five classmates with probability 1/5, each other one with 1/3.
    for pairs, probability, who in [(same_class & ~np.eye(12, dtype=bool), 1 / 5, "the same class"), (~same_class, 1 / 3, "different classes")]:
        deviation = np.abs(together[pairs] - probability) / math.sqrt(probability * (1 - probability) / 400)
        if deviation.max() > 6:
            fail(f"Over 400 seeds, some samples of {who} meet much more often, or less often, than by chance.")


@check(points=1, hint="From the largest group to the smallest, each to the fold that has fewest samples (not fewest groups) so far.")
def fills_the_smallest_fold():
    """For groups of any sizes and names, no group is torn apart, and folds are as large as GroupKFold's."""
    from sklearn.model_selection import GroupKFold

    cases = [(np.repeat(np.arange(9), np.random.randint(1, 12, 9)), n_folds) for n_folds in (2, 3, 4, 9) for _ in range(3)]
    cases += [(np.repeat([5, -2, 8, 1, 0, 12], [1, 1, 1, 1, 9, 9]), 3), (np.repeat(["bo", "al", "eve", "dan"], [2, 7, 4, 5]), 3)]
    for in_order, n_folds in cases:
        groups = np.random.permutation(in_order)
        splits = splits_made("group", groups, n_folds)
        if (wrong := complaint(splits, len(groups), n_folds)) is not None:
            fail(wrong)
        if any(set(groups[train]) & set(groups[test]) for train, test in splits):
            fail("A group has samples in train and in test of the same fold.")
        library = GroupKFold(n_folds).split(groups, groups=groups)
        if sorted(len(test) for _, test in splits) != sorted(len(test) for _, test in library):
            fail("The folds have other sizes than if the groups are dealt out from the largest to the smallest, each to a smallest fold.")


def procedure(name):
    """Steps that need fitting, by name."""
    neighbours = lambda: KNeighborsClassifier(5)
    return {
        "classifier": [neighbours],
        "scaler": [StandardScaler, neighbours],
        "scaler, pca": [StandardScaler, lambda: PCA(3), neighbours],
        "pca, scaler": [lambda: PCA(3), StandardScaler, neighbours],
        "selection": [lambda: SelectKBest(k=3), StandardScaler, GaussianNB],
    }[name]


def overlapping_classes(n):
    """n samples of three classes with names; eight features of very different scales, the last ones useless."""
    y = np.random.randint(0, 3, n)
    x = np.random.normal(size=(n, 8)) * 1.5
    x[:, 0] += y
    x[:, 1] -= 2 * (y == 1)
    return x * np.array([1, 3, 10, 0.2, 1, 30, 5, 1]), np.array(["ash", "birch", "oak"])[y]


def random_split(n, n_train, n_test):
    order = np.random.permutation(n)
    return order[:n_train], order[n_train : n_train + n_test]


@check(points=1, hint="Transformers in their order, classifier last; accuracies from the splits as they are, which may be of any kind.")
def agrees_with_scikit_learn():
    """With and without transformers, and for splits of any kind, accuracies are those of a Pipeline in cross_val_score."""
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    def run(name, x, y, splits):
        with forbidden(*LIBRARY_CALLS):
            found = fold_accuracies(procedure(name), x, y, splits)
        return [float(accuracy) for accuracy in found], x, y

    for name in ("classifier", "scaler", "scaler, pca", "pca, scaler", "selection"):
        x, y = overlapping_classes(70)
        splits = [random_split(70, *sizes) for sizes in [(56, 14), (30, 7), (15, 40), (40, 11)]]
        truth = cross_val_score(make_pipeline(*(make() for make in procedure(name))), x, y, cv=splits)
        found, *after = probe(run, name, x.copy(), y.copy(), splits)
        if not (np.array_equal(after[0], x) and np.array_equal(after[1], y)):
            fail("The arrays passed in were modified.")
        if len(found) != len(splits):
            fail("There is not one accuracy for each split.")
        if not np.allclose(found, truth, atol=1e-9):
            what = "a classifier alone" if name == "classifier" else f"{len(procedure(name)) - 1} transformer(s) and a classifier"
            fail(f"For {what}, the accuracies are not those of a pipeline fitted to the training samples of each split.")


@check(points=1, hint="Log what you pass to fit: x[train] and y[train], nothing else. The test samples are transformed by what was fitted to the training samples.")
def fits_to_training_samples_alone():
    """Spies in place of the steps: new objects in each split, fitted to training samples and labels, then applied to test samples."""
    def run(x, y, splits):
        fits, predictions, made = [], [], []

        class Spy(BaseEstimator):
            def __init__(self):
                made.append(self)
                self.number = len(made)

            def fit(self, x, y=None):
                if not hasattr(self, "mark_"):
                    self.mark_ = 0.0
                self.mark_ += float(x[:, 0].sum())
                fits.append([self.kind, self.number, x.copy(), [] if y is None else list(np.asarray(y).tolist())])
                self.classes_ = np.unique(y)
                return self

        class Transformer(TransformerMixin, Spy):
            kind = "transformer"

            def transform(self, x):
                return np.column_stack([x, np.full(len(x), self.mark_)])

        class Classifier(ClassifierMixin, Spy):
            kind = "classifier"

            def predict(self, x):
                predictions.append([self.number, x.copy()])
                return x[:, 0].astype(int) % 3

        with forbidden(*LIBRARY_CALLS):
            accuracies = fold_accuracies([Transformer, Transformer, Classifier], x, y, splits)
        return [float(accuracy) for accuracy in accuracies], fits, predictions

    n = 30
    x = np.column_stack([np.arange(n), np.random.normal(size=n)])  # the first column says which sample it is
    y = np.random.randint(0, 3, n)
    splits = [random_split(n, *sizes) for sizes in [(20, 10), (14, 9), (22, 8)]]
    accuracies, fits, predictions = probe(run, x, y, splits)
    ids = lambda rows: rows[:, 0].round().astype(int)
    marks_of = {}
    for kind, number, rows, labels in fits:
        if not any(sorted(ids(rows)) == sorted(train) for train, _ in splits):
            fail(f"A {kind} was fitted to other samples than the training samples of a split.")
        if labels != y[ids(rows)].tolist():
            fail(f"A {kind} was fitted without the labels of its samples, or with other ones.")
        if len({tuple(sorted(ids(other))) for _, same, other, _ in fits if same == number}) > 1:
            fail(f"The same {kind} was fitted in several splits: it may remember what it has seen. Make a new one each time.")
        marks_of.setdefault(kind, []).append(number)
    for train, test in splits:
        fitted = {number: rows for kind, number, rows, _ in fits if kind == "classifier" and sorted(ids(rows)) == sorted(train)}
        tested = [(number, rows) for number, rows in predictions if number in fitted]
        if not set(test) <= {sample for _, rows in tested for sample in ids(rows)}:
            fail("In some split, no classifier that was fitted to the training samples predicts the test samples.")
        marks = lambda rows: {tuple(row) for row in rows[:, 2:].tolist()}  # what the transformers appended: it tells what they were fitted to
        if any(rows.shape[1] != 4 or fitted[number].shape[1] != 4 or marks(rows) != marks(fitted[number]) for number, rows in tested):
            fail("The test samples did not pass through the same fitted transformers as the training samples.")
        if sum(kind == "transformer" and sorted(ids(rows)) == sorted(train) for kind, _, rows, _ in fits) < 2:
            fail("In some split, not all transformers were fitted to its training samples.")
    if not np.allclose(accuracies, [np.mean(test % 3 == y[test]) for _, test in splits], atol=1e-9):
        fail("The accuracies are not the shares of test samples whose label was predicted.")


def inner_splits(labels):
    """Three inner splits of unequal sizes, which depend on the labels' number alone."""
    order = np.arange(len(labels)) * 7 % len(labels) if len(labels) % 7 else np.arange(len(labels))
    cuts = np.split(order, [len(order) // 2, 5 * len(order) // 6])
    return [(np.setdiff1d(order, cut), np.sort(cut)) for cut in cuts]


def expected_choices(right, splits):
    """Which candidate wins in each outer split; None if that is a near tie somewhere, or if another rule would choose the same.

    right: (candidates, samples), which samples each candidate gets right, however it is fitted.
    """
    by_rule = {}
    for train, test in splits:
        inner = [right[:, train][:, fold] for _, fold in inner_splits(train)]
        shares = np.array([fold.mean(1) for fold in inner])
        second, first = np.sort(shares.mean(0))[-2:]
        if first - second < 1e-6:
            return None
        pooled = np.concatenate(inner, axis=1).mean(1)
        rules = dict(mean=shares.mean(0), first=shares[0], last=shares[-1], max=shares.max(0), min=shares.min(0), pooled=pooled, test=right[:, test].mean(1))
        for rule, numbers in {**rules, "all": right.mean(1), "worst": -shares.mean(0), "rows": right[:, np.arange(len(train))].mean(1)}.items():
            by_rule.setdefault(rule, []).append(int(numbers.argmax()))
    winners = by_rule.pop("mean")
    return None if winners in by_rule.values() or len(set(winners)) == 1 else winners


@check(points=1, hint="Mean over the inner folds of x[train] and y[train]; the highest mean wins, and the first of equals.")
def chooses_by_the_inner_folds():
    """In each outer split, the candidate with the best mean over the inner folds is chosen and measured on the outer test samples."""
    def run(x, y, splits, tables, equal):
        class Table(ClassifierMixin, BaseEstimator):
            """Predicts what a table says about each sample."""

            def __init__(self, number=0):
                self.number = number

            def fit(self, x, y):
                self.classes_ = np.unique(y)
                return self

            def predict(self, x):
                return tables[self.number][x[:, 0].astype(int)]

        make = lambda number: [lambda: Table(number)]
        with forbidden(*LIBRARY_CALLS):
            free = nested_accuracies([make(number) for number in range(len(tables))], x, y, splits, inner_splits)
            tied = [nested_accuracies([make(number) for number in numbers], x, y, splits, inner_splits)[1] for numbers in equal]
        return [float(value) for value in free[0]], [int(value) for value in free[1]], [[int(value) for value in row] for row in tied]

    n = 40
    x, y = np.column_stack([np.arange(n), np.zeros(n)]), np.random.randint(0, 2, n)
    winners = None
    while winners is None:  # until the inner folds choose clearly, and otherwise than test samples, pooled folds and so on
        splits = [random_split(n, *sizes) for sizes in [(29, 11), (24, 8), (31, 9), (27, 13)]]
        tables = [np.where(np.random.random(n) < 0.35, 1 - y, y) for _ in range(5)]
        right = np.array([table == y for table in tables])
        winners = expected_choices(right, splits)
    best, worst = winners[0], int(right[:, splits[0][0]].mean(1).argmin())
    accuracies, choices, tied = probe(run, x, y, splits, tables, [[best, best, best], [worst, best, best]])
    if choices != winners:
        fail("Some choice is not the candidate whose accuracies in the inner folds have the highest mean.")
    if not np.allclose(accuracies, [right[winner, test].mean() for winner, (_, test) in zip(winners, splits, strict=True)], atol=1e-9):
        fail("The choices are right, but the accuracies are not those of the chosen candidates on the outer test samples.")
    if tied[0] != [0] * 4 or tied[1][0] not in (0, 1) or (best != worst and tied[1][0] != 1):
        fail("Of several candidates with the same mean, not the first is chosen.")


@check(points=1, hint="Inside the loop, only x[train] and y[train] exist until the choice is made; then the chosen candidate is fitted to all of them.")
def keeps_the_outer_test_apart():
    """Candidates are chosen without the outer test samples, then fitted to all outer training samples, as GridSearchCV does."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline, make_pipeline

    def run_spies(x, y, splits):
        log, asked, made = [], [], []

        class Spy(ClassifierMixin, BaseEstimator):
            def __init__(self):
                made.append(self)
                self.number = len(made)

            def fit(self, x, y):
                log.append(["fit", self.number, x[:, 0].astype(int), np.asarray(y)])
                self.classes_ = np.unique(y)
                return self

            def predict(self, x):
                log.append(["predict", self.number, x[:, 0].astype(int), None])
                return np.zeros(len(x), int)

        def make_splits(labels):
            asked.append(np.asarray(labels))
            return inner_splits(labels)

        with forbidden(*LIBRARY_CALLS):
            nested_accuracies([[Spy], [Spy]], x, y, splits, make_splits)
        return log, asked

    n = 36
    x, y = np.column_stack([np.arange(n), np.zeros(n)]), np.random.randint(0, 2, n)
    splits = [random_split(n, *sizes) for sizes in [(24, 12), (20, 9), (26, 10)]]
    log, asked = probe(run_spies, x, y, splits)
    if not all(any(np.array_equal(labels, y[train]) for train, _ in splits) for labels in asked):
        fail("make_splits is called with other labels than those of an outer split's training samples.")
    key = lambda samples: tuple(sorted(int(sample) for sample in samples))
    outer = {key(train): {*train, *test} for train, test in splits}
    inner = {key(train[fold]): set(train) for train, _ in splits for fold, _ in inner_splits(train)}
    allowed, fitted = outer | inner, {}
    for what, number, samples, labels in log:
        if what == "fit":
            fitted[number] = key(samples)
            if fitted[number] not in allowed:
                fail("A candidate was fitted to samples that are neither the training samples of an outer split nor those of one of its inner splits.")
            if not np.array_equal(labels, y[samples]):
                fail("A candidate was fitted to samples with the labels of others.")
        elif not set(samples) <= allowed[fitted[number]]:
            fail("A candidate that was fitted in an inner split predicts outer test samples.")
    if not set(inner) <= set(fitted.values()):
        fail("Candidates are not fitted in all of the inner splits.")
    if not set(outer) <= set(fitted.values()):
        fail("In some outer split, no candidate was fitted to all of its training samples after the choice.")

    def run(x, y, splits, names):
        with forbidden(*LIBRARY_CALLS):
            accuracies, choices = nested_accuracies([procedure(name) for name in names], x, y, splits, inner_splits)
        return [float(value) for value in accuracies], [int(value) for value in choices]

    x, y = overlapping_classes(60)
    splits, names = [random_split(60, *sizes) for sizes in [(45, 15), (38, 22)]], ["classifier", "scaler", "selection"]
    accuracies, choices = probe(run, x, y, splits, names)
    pipelines = [make_pipeline(*(make() for make in procedure(name))) for name in names]
    for (train, test), accuracy, choice in zip(splits, accuracies, choices, strict=True):
        search = GridSearchCV(Pipeline([("all", "passthrough")]), {"all": pipelines}, scoring="accuracy", cv=inner_splits(train)).fit(x[train], y[train])
        first, second = np.sort(search.cv_results_["mean_test_score"])[:-3:-1]
        if first - second > 1e-6 and not (choice == search.best_index_ and math.isclose(accuracy, search.score(x[test], y[test]), abs_tol=1e-9)):
            fail("On data with a scaler and feature selection among the candidates, the result is not that of GridSearchCV.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Three leaks, and what stops them
#
# In all three experiments labels are random, so 0.5 is the truth. Your functions do both: the leaky evaluation and the
# honest one. *Selection*: 20 of 2,000 features chosen before the folds, or in them. *Patients*: twenty patients with five images
# each, which look alike; torn apart by stratified folds, or kept together. *Best of twelve*: twelve
# procedures, of which the best cross-validated accuracy is reported, or nested cross-validation.

# %% tags=["demo", "raises-exception"]
from sklearn.random_projection import GaussianRandomProjection

found = {"selection": ([], []), "patients": ([], []), "best of twelve": ([], [])}
for repetition in range(8):
    x_random, y_random = no_signal(50, 2000, repetition)
    splits = stratified_splits(y_random, 5, seed=repetition)
    chosen = SelectKBest(k=20).fit_transform(x_random, y_random)
    found["selection"][0].append(np.mean(fold_accuracies([GaussianNB], chosen, y_random, splits)))
    found["selection"][1].append(np.mean(fold_accuracies([lambda: SelectKBest(k=20), GaussianNB], x_random, y_random, splits)))

    faces, illness = no_signal(20, 30, repetition)
    patient = np.repeat(np.arange(20), 5)
    images, ill = faces[patient] + 0.5 * np.random.default_rng(repetition).normal(size=(100, 30)), illness[patient]
    for list_, splits in zip(found["patients"], (stratified_splits(ill, 5, seed=repetition), group_splits(patient, 5)), strict=True):
        list_.append(np.mean(fold_accuracies([lambda: KNeighborsClassifier(3)], images, ill, splits)))

    x_random, y_random = no_signal(40, 10, 100 + repetition)
    splits = stratified_splits(y_random, 4, seed=repetition)
    candidates = [[lambda s=s: GaussianRandomProjection(2, random_state=s), GaussianNB] for s in range(12)]
    found["best of twelve"][0].append(max(np.mean(fold_accuracies(steps, x_random, y_random, splits)) for steps in candidates))
    nested, _ = nested_accuracies(candidates, x_random, y_random, splits, lambda labels: stratified_splits(labels, 3, seed=0))
    found["best of twelve"][1].append(np.mean(nested))

fig, ax = plt.subplots(figsize=(8, 3.3))
for place, (name, pair) in enumerate(found.items()):
    for shift, colour, label, values in [(-0.19, "C5", "leaky", pair[0]), (0.19, "C0", "honest", pair[1])]:
        ax.bar(place + shift, np.mean(values), width=0.34, color=colour, alpha=0.85, label=label if place == 0 else None)
        ax.plot(place + shift + np.linspace(-0.1, 0.1, len(values)), values, "o", color="black", ms=3.5, alpha=0.7)
ax.axhline(0.5, color="0.3", ls=":", lw=1.2)
ax.set(title="Cross-validated accuracy on random labels: mean (bar), eight data sets (dots)", ylabel="accuracy", ylim=(0, 1.05))
ax.set_xticks(range(3), labels=["features selected\nbefore / in the folds", "patients torn apart /\nkept together", "best of twelve /\nnested"])
ax.legend(loc="upper right", bbox_to_anchor=(1.14, 1))
ax.grid(axis="x")
plt.show()

# %% [markdown]
# Each leak alone turns a coin into a discovery. The first two let test samples into the training: through the choice of features, and through other
# images of the same patient. The third is more polite: no fold has seen anything that it should not, but the best of twelve scores is a maximum, and a
# maximum of noisy numbers is too high on average. Nested cross-validation chooses inside, and measures what the choosing yields.
#
# So "cross-validation prevents overfitting" is half a truth. It prevents nothing; it *estimates*, and it does so honestly only if every
# step that looks at labels or at other samples is inside the loop.

