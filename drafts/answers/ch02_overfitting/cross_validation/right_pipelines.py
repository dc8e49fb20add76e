# Right: a Pipeline of scikit-learn in each fold, folds as lists of numbers
import random


def stratified_splits(labels, n_folds, seed):
    generator = random.Random(seed)
    numbers = list(range(len(labels)))
    generator.shuffle(numbers)
    numbers.sort(key=lambda i: labels[i])
    tests = [numbers[k::n_folds] for k in range(n_folds)]
    return [(sorted(set(numbers) - set(test)), sorted(test)) for test in tests]


def group_splits(groups, n_folds):
    from collections import Counter

    load = Counter({k: 0 for k in range(n_folds)})
    home = {}
    for name, count in Counter(groups.tolist()).most_common():
        k = min(load, key=load.get)
        home[name] = k
        load[k] += count
    where = [home[name] for name in groups.tolist()]
    return [
        ([i for i, k in enumerate(where) if k != fold], [i for i, k in enumerate(where) if k == fold])
        for fold in range(n_folds)
    ]


from sklearn.pipeline import make_pipeline


def fold_accuracies(steps, x, y, splits):
    scores = []
    for train, test in splits:
        pipeline = make_pipeline(*[step() for step in steps])
        scores.append(pipeline.fit(x[train], y[train]).score(x[test], y[test]))
    return scores


def nested_accuracies(candidates, x, y, splits, make_splits):
    result = [], []
    for train, test in splits:
        x_outer, y_outer = x[train].copy(), y[train].copy()
        means = []
        for steps in candidates:
            means.append(sum(fold_accuracies(steps, x_outer, y_outer, make_splits(y_outer))) / len(make_splits(y_outer)))
        winner = means.index(max(means))
        result[0].append(fold_accuracies(candidates[winner], x, y, [(train, test)])[0])
        result[1].append(winner)
    return result
