# Right: steps peeled off one by one, inner folds measured lazily
def stratified_splits(labels, n_folds, seed):
    rng = np.random.default_rng(seed)
    order = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rng.shuffle(members)
        order.extend(members)
    folds = [order[number::n_folds] for number in range(n_folds)]
    everything = np.arange(len(labels))
    return [(np.setdiff1d(everything, fold), np.array(fold)) for fold in folds]


def group_splits(groups, n_folds):
    names, counts = np.unique(groups, return_counts=True)
    members = [[] for _ in range(n_folds)]
    sizes = [0] * n_folds
    for index in sorted(range(len(names)), key=lambda i: counts[i], reverse=True):
        fold = sizes.index(min(sizes))
        members[fold].append(names[index])
        sizes[fold] += counts[index]
    splits = []
    for held_out in members:
        inside = np.isin(groups, held_out)
        splits.append((np.where(~inside)[0], np.where(inside)[0]))
    return splits


def fitted(steps, x, y):
    make, *rest = steps
    step = make()
    if not rest:
        step.fit(x, y)
        return step.predict
    inside = fitted(rest, step.fit(x, y).transform(x), y)
    return lambda new: inside(step.transform(new))


def fold_accuracies(steps, x, y, splits):
    return [float(np.count_nonzero(fitted(steps, x[train], y[train])(x[test]) == y[test]) / len(test)) for train, test in splits]


def nested_accuracies(candidates, x, y, splits, make_splits):
    def choose(train):
        inner = list(make_splits(y[train]))
        return max(range(len(candidates)), key=lambda c: np.mean(fold_accuracies(candidates[c], x[train], y[train], inner)))

    choices = [choose(train) for train, _ in splits]
    return [fold_accuracies(candidates[c], x, y, [split])[0] for c, split in zip(choices, splits)], choices
