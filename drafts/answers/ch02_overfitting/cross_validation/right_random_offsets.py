# Right: each class is dealt out from a random fold, where the class before has ended
def stratified_splits(labels, n_folds, seed):
    rng = np.random.default_rng([seed, 17])
    classes = rng.permutation(np.unique(labels))
    fold = np.zeros(len(labels), dtype=np.int32)
    turn = rng.permutation(n_folds)
    dealt = 0
    for label in classes:
        members = rng.permutation(np.nonzero(labels == label)[0])
        fold[members] = turn[(dealt + np.arange(len(members))) % n_folds]
        dealt += len(members)
    return [tuple(np.nonzero(mask)[0] for mask in (fold != k, fold == k)) for k in range(n_folds)]


def group_splits(groups, n_folds):
    import heapq

    _, first, which, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    heap = [(0, k) for k in range(n_folds)]
    home = np.zeros(len(counts), int)
    for group in np.argsort(counts, kind="stable")[::-1]:
        size, k = heapq.heappop(heap)
        home[group] = k
        heapq.heappush(heap, (size + counts[group], k))
    fold = home[which]
    return [(np.argwhere(fold != k).ravel(), np.argwhere(fold == k).ravel()) for k in range(n_folds)]


def fit_steps(steps, x, y):
    fitted = []
    for make in steps[:-1]:
        transformer = make()
        transformer.fit(x, y)
        x = transformer.transform(x)
        fitted.append(transformer)
    classifier = steps[-1]()
    classifier.fit(x, y)
    return fitted, classifier


def share_right(model, x, y):
    for transformer in model[0]:
        x = transformer.transform(x)
    return sum(int(a == b) for a, b in zip(model[1].predict(x), y)) / len(y)


def fold_accuracies(steps, x, y, splits):
    return [share_right(fit_steps(steps, x[train], y[train]), x[test], y[test]) for train, test in splits]


def nested_accuracies(candidates, x, y, splits, make_splits):
    accuracies, chosen = [], []
    for train, test in splits:
        table = []
        for steps in candidates:
            row = []
            for a, b in make_splits(y[train]):
                row.append(share_right(fit_steps(steps, x[train[a]], y[train[a]]), x[train[b]], y[train[b]]))
            table.append(np.mean(row))
        chosen.append(np.argmax(table))
        accuracies.append(share_right(fit_steps(candidates[chosen[-1]], x[train], y[train]), x[test], y[test]))
    return np.array(accuracies), chosen
