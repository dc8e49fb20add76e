# %% [markdown]
# ## 2.5 Cross-validation that does not leak
#
# This evaluation, in circulating style, finds an accuracy of over 0.9 for 50 samples with 2,000 features and **labels drawn by a coin**. Find four mistakes:
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
# - Features are selected **with the labels of all samples**: test labels decide what the classifier looks at. By far the worst.
# - The scaler has seen the test samples, without labels: mostly mild.
# - `KFold` does not shuffle unless told to. In data sorted by class, a whole class may be missing from the training samples.
# - The best of five noisy numbers is reported instead of the mean.
# </details>
#
# **Cross-validation** lets every sample take a turn as test data. Cut the samples into $k$ folds $F_1, \dots, F_k$, and let $A$ be the procedure that turns data into
# a classifier. Then
#
# $$\mathrm{CV} = \frac{1}{k} \sum_{j=1}^{k} \mathrm{accuracy}\big(\underbrace{A(\text{all samples outside } F_j)}_{\text{a new classifier each time}},\; F_j\big)$$
#
# $A$ is **everything that looks at data**: scaling, selecting features, choosing hyperparameters, deciding when to stop. What
# happens before the folds are cut has seen the test samples: a **leak**. The $k$ classifiers are thrown away: cross-validation cures no overfitting, it rates procedures.

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
def draw_selection(n_samples=50):
    """Cross-validated accuracy on random labels, with features selected before the folds or within them."""
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    n_features = [20, 60, 200, 600, 2000]
    accuracies = {"selected before the folds": [], "selected within the folds": []}
    for p in n_features:
        for curve, rows in accuracies.items():
            rows.append([])
            for repetition in range(8):
                x, y = no_signal(n_samples, p, repetition)
                folds = StratifiedKFold(5, shuffle=True, random_state=repetition)
                if curve == "selected before the folds":
                    leaky = SelectKBest(k=20).fit_transform(x, y)
                    rows[-1].append(cross_val_score(GaussianNB(), leaky, y, cv=folds).mean())
                else:
                    rows[-1].append(cross_val_score(make_pipeline(SelectKBest(k=20), GaussianNB()), x, y, cv=folds).mean())

    fig, ax = plt.subplots(figsize=(7.5, 3.3))
    for colour, marker, (name, rows) in zip(("C5", "C0"), ("X", "o"), accuracies.items(), strict=True):
        ax.plot(n_features, np.mean(rows, 1), color=colour, marker=marker, ms=7, label=name)
        ax.fill_between(n_features, np.min(rows, 1), np.max(rows, 1), color=colour, alpha=0.15, lw=0)
    ax.axhline(0.5, color="0.4", ls=":", lw=1.2)
    ax.set(title="Labels are random: mean and range of 8 data sets", xlabel="features to select 20 from", ylabel="cross-validated accuracy", xscale="log", ylim=(0.2, 1.02))
    ax.set_xticks(n_features, labels=[f"{p:,}" for p in n_features])
    ax.minorticks_off()
    ax.legend(loc="upper left", fontsize=9)
    plt.show()

    fitted, scores = [], []
    for repetition in range(8):
        x, y = no_signal(n_samples, 2000, repetition)
        pipeline = make_pipeline(SelectKBest(k=20), GaussianNB()).fit(x, y)
        fitted.append(pipeline.score(x, y))
        scores.append(pipeline.score(*no_signal(2000, 2000, seed=99)))
    print(f"2,000 features, fitted to all {n_samples} samples: accuracy {np.mean(fitted):.2f} on these, {np.mean(scores):.2f} on 2,000 new samples (means of 8)")


draw_selection()

# %% [markdown]
# With 20 features nothing is selected, and the curves meet. Of 2,000, some agree with the labels by chance: with *all* labels, those of the test folds included. The experiment is
# adapted from *The Elements of Statistical Learning* (section 7.10.2). Ambroise and McLachlan (PNAS 99, 2002)
# found the mistake in published work on gene expression; Kapoor and Narayanan (arXiv:2207.07048) list papers from 17 fields with leaks.
#
# ### Which samples make a fold?
#
# **Stratified** folds give each fold its share of each class, also of a rare one. Where
# samples come in **groups**, as images of one patient do, a classifier may recognise the patient instead of the
# disease. Then each group has to be in one fold.

# %% tags=["demo"]
def draw_folds():
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    classes = np.repeat([0, 1, 2], [24, 14, 6])
    patients = np.concatenate([np.repeat(np.arange(6), 4), 6 + np.repeat(np.arange(7), 2), 13 + np.repeat(np.arange(3), 2)])
    ways = {
        "cut in order": KFold(4).split(classes),
        "stratified, shuffled": StratifiedKFold(4, shuffle=True, random_state=0).split(classes, classes),
        "grouped": GroupKFold(4).split(classes, groups=patients),
    }
    fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.9), sharey=True)
    for ax, (name, splits) in zip(axes, ways.items(), strict=True):
        for fold, (_, test) in enumerate(splits):
            ax.barh(fold, 44, left=-0.5, height=0.7, color="0.92")
            ax.bar(test, 0.7, bottom=fold - 0.35, width=1, color=[f"C{c}" for c in classes[test]], edgecolor="white", lw=0.6)
        ax.bar(np.arange(44), 0.45, bottom=4.1, width=1, color=[f"C{c}" for c in classes], edgecolor="white", lw=0.6)
        if name == "grouped":
            for edge in np.flatnonzero(np.diff(patients)):
                ax.plot([edge + 0.5] * 2, [3.95, 4.65], color="black", lw=1.2, clip_on=False)
        ax.set(title=name, xlabel="patients, between the black lines" if name == "grouped" else "sample, sorted by class", xticks=[], ylim=(4.7, -0.5))
        ax.set_yticks([0, 1, 2, 3, 4.32], labels=["fold 1", "fold 2", "fold 3", "fold 4", "class"])
        ax.grid(False)
    plt.show()


draw_folds()

# %% [markdown]
# Test samples are coloured. Cut in order, folds 1 and 2 have the first class alone. Grouped, no patient is torn apart, and the classes fall as they may.
#
# Kohavi (IJCAI 1995) recommended ten stratified folds after many experiments. As their training data overlap, the accuracies of the folds are not independent:
# their spread divided by $\sqrt{k}$ is no honest error bar (Bengio and Grandvalet, JMLR 5, 2004).
#
# ### Choosing is fitting, too
#
# Cross-validate thirty settings and report the best: a maximum of thirty noisy numbers, too high on average. The
# choice belongs to $A$. In **nested** cross-validation, an inner cross-validation *of the outer training
# samples alone* chooses a setting, which is fitted to all of them and meets the outer test fold once (Varma and Simon, BMC Bioinformatics 7:91, 2006).

# %% [markdown]
# ### Exercise 2.5 · Cross-validation that does not leak
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **11 points** · Python, NumPy and estimators of scikit-learn
#
# **Write** two functions that make folds, one that runs a procedure in them, and one that chooses among
# procedures. Splits are what scikit-learn's `cv=` takes: a list of pairs `(train, test)` of index arrays.
#
# A procedure is a list of **steps**: functions without arguments that make a new, unfitted object; classes will do. For example,
# `[StandardScaler, lambda: SelectKBest(k=20), GaussianNB]` scales, selects and classifies. Transformers have
# `fit(x, y)`, `transform(x)` and `fit_transform(x, y)`, classifiers `fit(x, y)` and `predict(x)`; `fit` returns the object itself.
#
# The hidden checks refuse the functions of `sklearn.model_selection`. `sklearn.pipeline` is allowed.
#
# <details><summary>Hint 1: equal shares without bookkeeping</summary>
#
# Deal the samples out like cards: to fold 0, 1, ..., k - 1, 0, 1, ... Those of a class lie together, in random order. Do not start at fold 0 anew with every class: it would get the odd ones of all.
# </details>
#
# <details><summary>Hint 2: large groups first</summary>
#
# `np.unique(groups, return_inverse=True, return_counts=True)` numbers and counts them.
# </details>
#
# <details><summary>Hint 3: nesting</summary>
#
# Inside an outer fold, there is only `x[train]` and `y[train]`: `make_splits(y[train])` returns
# indices into *these*.
# </details>

# %% nbgrader={"grade": false, "grade_id": "cross_validation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def stratified_splits(
    labels: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples at random into folds in which each class has its share.

    Args:
        labels: (n,) the class of each sample, integers or strings, in any order; not modified.
        n_folds: from 2 to n. A class may have fewer samples than that.
        seed: the same seed gives the same folds, a different seed usually different ones. Global
            random generators are neither used nor changed.

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
            fold or in several, `train` need not be all the others, and an index that is repeated, as
            in a bootstrap, counts as often.

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


# %% nbgrader={"grade": true, "grade_id": "test_cross_validation", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)
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


@check(points=1, hint="The training samples of an outer split choose, by their inner splits; its test samples measure what was chosen.")
def chooses_without_the_test_samples():
    """Of "always 0" and "always 1", the one is chosen that is correct on most training samples, though it is wrong on most test samples."""
    def run(x, y, splits):
        class Always(ClassifierMixin, BaseEstimator):
            def __init__(self, answer=0):
                self.answer = answer

            def fit(self, x, y):
                self.classes_ = np.unique(y)
                return self

            def predict(self, x):
                return np.full(len(x), self.answer)

        halves = lambda labels: [(np.arange(i, len(labels), 2), np.arange(1 - i, len(labels), 2)) for i in (0, 1)]
        accuracies, choices = nested_accuracies([[lambda: Always(0)], [lambda: Always(1)]], x, y, splits, halves)
        return [float(accuracy) for accuracy in accuracies], [int(choice) for choice in choices]

    y, first, second = np.array([0, 0, 0, 1, 1, 1, 1, 0]), np.arange(4), np.arange(4, 8)
    accuracies, choices = probe(run, np.zeros((8, 1)), y, [(first, second), (second, first)])
    assert choices == [0, 1], f"training labels 0 0 0 1, then 1 1 1 0: the chosen candidates are {choices} instead of [0, 1]"
    assert np.allclose(accuracies, [0.25, 0.25]), f"the chosen candidates are correct on one of four test samples; your accuracies are {accuracies}"


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
    splits.append(tuple(np.append(part, part[:4]) for part in random_split(n, 18, 7)))  # some twice
    accuracies, fits, predictions = probe(run, x, y, splits)
    ids = lambda rows: rows[:, 0].round().astype(int)
    marks_of = {}
    for kind, number, rows, labels in fits:
        if not any(sorted(ids(rows)) == sorted(train) for train, _ in splits):
            fail(f"A {kind} was fitted to other samples than the training samples of a split.")
        if labels != y[ids(rows)].tolist():
            fail(f"A {kind} was fitted without the labels of its samples, or with other ones.")
    for kind, number, *_ in fits:  # only now: who fits to test samples as well has fitted the same object twice, too
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
    many, almost = np.zeros(3000, int), np.eye(1, 3000, dtype=int)[0]  # candidate 1 is better by one sample of 1,500
    large = np.column_stack([np.arange(3000), many]), many, [(np.arange(3000), np.arange(9))]
    if probe(run, *large, [almost, many], [])[1] != [1]:
        fail("A candidate that is slightly better in the inner folds, by more than rounding errors, is not chosen.")
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
    splits = [random_split(n, *sizes) for sizes in [(24, 12), (20, 9), (26, 10), (24, 9)]]
    log, asked = probe(run_spies, x, y, splits)
    if not all(any(np.array_equal(labels, y[train]) for train, _ in splits) for labels in asked):
        fail("make_splits is called with other labels than those of an outer split's training samples.")
    if not all(any(np.array_equal(labels, y[train]) for labels in asked) for train, _ in splits):
        fail("make_splits is not asked about the training labels of each outer split.")
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
# Labels are random, so one half is the truth. Your functions evaluate, leaky and
# honest: selected features; twenty patients with five similar images each; and twelve
# procedures of which the best is reported.

# %% tags=["demo", "raises-exception"]
def draw_leaks(n_candidates=12, n_samples=40):
    from sklearn.random_projection import GaussianRandomProjection

    found = {"selection": ([], []), "patients": ([], []), "best": ([], [])}
    for repetition in range(8):
        x, y = no_signal(50, 2000, repetition)
        splits = stratified_splits(y, 5, seed=repetition)
        chosen = SelectKBest(k=20).fit_transform(x, y)
        found["selection"][0].append(np.mean(fold_accuracies([GaussianNB], chosen, y, splits)))
        found["selection"][1].append(np.mean(fold_accuracies([lambda: SelectKBest(k=20), GaussianNB], x, y, splits)))

        faces, illness = no_signal(20, 30, repetition)
        patient = np.repeat(np.arange(20), 5)
        images, ill = faces[patient] + 0.5 * np.random.default_rng(repetition).normal(size=(100, 30)), illness[patient]
        for list_, splits in zip(found["patients"], (stratified_splits(ill, 5, seed=repetition), group_splits(patient, 5)), strict=True):
            list_.append(np.mean(fold_accuracies([lambda: KNeighborsClassifier(3)], images, ill, splits)))

        x, y = no_signal(n_samples, 10, 100 + repetition)
        splits = stratified_splits(y, 4, seed=repetition)
        candidates = [[lambda s=s: GaussianRandomProjection(2, random_state=s), GaussianNB] for s in range(n_candidates)]
        found["best"][0].append(max(np.mean(fold_accuracies(steps, x, y, splits)) for steps in candidates))
        nested, _ = nested_accuracies(candidates, x, y, splits, lambda labels: stratified_splits(labels, 3, seed=0))
        found["best"][1].append(np.mean(nested))

    fig, ax = plt.subplots(figsize=(8, 3.3))
    for place, pair in enumerate(found.values()):
        for shift, colour, label, values in [(-0.19, "C5", "leaky", pair[0]), (0.19, "C0", "honest", pair[1])]:
            ax.bar(place + shift, np.mean(values), width=0.34, color=colour, alpha=0.85, label=label if place == 0 else None)
            ax.plot(place + shift + np.linspace(-0.1, 0.1, len(values)), values, "o", color="black", ms=3.5, alpha=0.7)
            ax.text(place + shift, 0.03, f"{np.mean(values):.2f}", ha="center", color="white", fontsize=9)
    ax.axhline(0.5, color="0.3", ls=":", lw=1.2)
    ax.set(title="Cross-validated accuracy on random labels: mean (bar), eight data sets (dots)", ylabel="accuracy", ylim=(0, 1.05))
    ax.set_xticks(range(3), labels=["features selected\nbefore / in the folds", "patients torn apart /\nkept together", f"best of {n_candidates} /\nnested"])
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    ax.grid(axis="x")
    plt.show()


try:
    draw_leaks()
except NotImplementedError:
    print("This figure needs your four functions of exercise 2.5.")

# %% [markdown]
# The first two leaks let test samples into the training: through the choice of features, and through other
# images of the same patient. The third one is smaller. Each fold is honest, but the best of twelve scores is a maximum. Nested cross-validation measures what choosing yields.
#
# **Change, predict, run.** Which bar of the third pair will `draw_leaks(n_samples=400)` change?
#
# <details><summary>Answer</summary>
#
# The leaky one, from 0.65 to 0.54: accuracies on 400 samples are less noisy, so the largest of twelve is nearer to the mean.
# </details>
