# Right: by a reader who saw the release alone
def _splits_from(fold_of, n_folds):
    return [(np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(n_folds)]


def stratified_splits(labels: np.ndarray, n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples at random into folds in which each class has its share."""
    n = len(labels)
    shuffled = np.random.default_rng(seed).permutation(n)
    pack = shuffled[np.argsort(labels[shuffled], kind="stable")]  # class by class, in random order within each
    fold_of = np.empty(n, dtype=int)
    fold_of[pack] = np.arange(n) % n_folds
    return _splits_from(fold_of, n_folds)


def group_splits(groups: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples into folds of similar size that tear no group apart."""
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    sizes = np.zeros(n_folds, dtype=int)
    fold_of_group = np.empty(len(counts), dtype=int)
    for group in np.argsort(-counts):
        fold = sizes.argmin()
        fold_of_group[group] = fold
        sizes[fold] += counts[group]
    return _splits_from(fold_of_group[number], n_folds)


def fold_accuracies(steps: list, x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Fits a procedure to the training samples of each split and measures it on the test samples."""
    from sklearn.pipeline import make_pipeline

    accuracies = []
    for train, test in splits:
        procedure = make_pipeline(*(step() for step in steps))
        procedure.fit(x[train], y[train])
        accuracies.append(float(np.mean(procedure.predict(x[test]) == y[test])))
    return accuracies


def nested_accuracies(candidates: list[list], x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]], make_splits) -> tuple[list[float], list[int]]:
    """Measures, for each split, the candidate that cross-validation of the split's training samples chooses."""
    accuracies, choices = [], []
    for train, test in splits:
        inner = make_splits(y[train])
        means = [np.mean(fold_accuracies(steps, x[train], y[train], inner)) for steps in candidates]
        best = int(np.argmax(means))
        choices.append(best)
        accuracies += fold_accuracies(candidates[best], x, y, [(train, test)])
    return accuracies, choices
