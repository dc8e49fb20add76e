# Wrong: leaves the work to cross_val_score
# Fails: agrees_with_scikit_learn, fits_to_training_samples_alone
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


from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline


def fold_accuracies(steps, x, y, splits):
    return cross_val_score(make_pipeline(*[make() for make in steps]), x, y, cv=splits).tolist()


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
