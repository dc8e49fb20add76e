# Wrong: inner splits are made once for each number of training samples
# Fails: keeps_the_outer_test_apart
def stratified_splits(
    labels: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples at random into folds in which each class has its share.

    Args:
        labels: (n,) the class of each sample, integers or strings, in any order; not modified.
        n_folds: from 2 to n. A class may have fewer samples than that.
        seed: the same seed gives the same folds, a different seed different ones. Global random generators
            are neither used nor changed.

    Returns:
        For each fold the pair (train, test) of index arrays. Each sample is in `test` of exactly
        one fold and in `train` of all others. The sizes of any two test folds differ by one at
        most, and so do, for each class, the numbers of its samples in them. Which samples of a
        class meet in a fold is left to chance. The indices may be in any order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return [
        (np.concatenate([order[j::n_folds] for j in range(n_folds) if j != fold]), order[fold::n_folds])
        for fold in range(n_folds)
    ]


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
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    fold_of = np.zeros(len(counts), dtype=int)
    sizes = np.zeros(n_folds, dtype=int)
    for group in np.argsort(-counts, kind="stable"):
        fold_of[group] = sizes.argmin()
        sizes[fold_of[group]] += counts[group]
    folds = fold_of[number]
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(n_folds)]


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
    accuracies = []
    for train, test in splits:
        *transformers, classifier = [make() for make in steps]
        x_train, x_test = x[train], x[test]
        for transformer in transformers:
            transformer.fit(x_train, y[train])
            x_train, x_test = transformer.transform(x_train), transformer.transform(x_test)
        classifier.fit(x_train, y[train])
        accuracies.append(float(np.mean(classifier.predict(x_test) == y[test])))
    return accuracies


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
    accuracies, choices, known = [], [], {}
    for train, test in splits:
        if len(train) not in known:
            known[len(train)] = make_splits(y[train])
        inner = known[len(train)]
        means = [np.mean(fold_accuracies(steps, x[train], y[train], inner)) for steps in candidates]
        choices.append(int(np.argmax(means)))
        accuracies += fold_accuracies(candidates[choices[-1]], x, y, [(train, test)])
    return accuracies, choices
