# Wrong: the same objects are fitted in every fold
# Fails: fits_to_training_samples_alone
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


def fold_accuracies(steps, x, y, splits):
    accuracies = []
    objects = [make() for make in steps]
    for train, test in splits:
        inputs, held_out = x[train], x[test]
        for transformer in objects[:-1]:
            inputs = transformer.fit_transform(inputs, y[train])
            held_out = transformer.transform(held_out)
        classifier = objects[-1]
        classifier.fit(inputs, y[train])
        predicted = classifier.predict(held_out)
        accuracies.append((predicted == y[test]).mean())
    return accuracies


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
