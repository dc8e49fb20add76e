# Right: made once, cloned for each fold; random numbers of torch
def stratified_splits(labels, n_folds, seed):
    generator = torch.Generator().manual_seed(seed)
    _, codes = np.unique(labels, return_inverse=True)
    key = codes + torch.rand(len(labels), generator=generator, dtype=torch.float64).numpy()
    rank = np.argsort(np.argsort(key))
    return [(np.flatnonzero(rank % n_folds != k), np.flatnonzero(rank % n_folds == k)) for k in range(n_folds)]


def group_splits(groups, n_folds):
    left = {name: np.flatnonzero(groups == name) for name in np.unique(groups)}
    folds = [np.array([], dtype=int) for _ in range(n_folds)]
    while left:
        largest = max(left, key=lambda name: len(left[name]))
        smallest = min(range(n_folds), key=lambda k: len(folds[k]))
        folds[smallest] = np.concatenate([folds[smallest], left.pop(largest)])
    return [(np.delete(np.arange(len(groups)), fold), fold) for fold in folds]


def fold_accuracies(steps, x, y, splits):
    from sklearn.base import clone
    from sklearn.metrics import accuracy_score

    originals = [make() for make in steps]
    result = []
    for train, test in splits:
        objects = [clone(original) for original in originals]
        a, b = np.take(x, train, axis=0), np.take(x, test, axis=0)
        for step in objects[:-1]:
            step.fit(a, y[train])
            a, b = step.transform(a), step.transform(b)
        objects[-1].fit(a, y[train])
        result.append(accuracy_score(y[test], objects[-1].predict(b)))
    return result


def nested_accuracies(candidates, x, y, splits, make_splits):
    accuracies, choices = [], []
    for train, test in splits:
        inner = make_splits(y[train])
        best, best_mean = None, -1.0
        for index, steps in enumerate(candidates):
            mean = np.mean(fold_accuracies(steps, x[train], y[train], inner))
            if mean > best_mean:
                best, best_mean = index, mean
        accuracy, = fold_accuracies(candidates[best], x, y, [(train, test)])
        accuracies.append(accuracy)
        choices.append(best)
    return accuracies, choices
