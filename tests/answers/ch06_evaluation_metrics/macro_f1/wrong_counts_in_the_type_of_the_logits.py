# Wrong: MacroF1 counts a batch in the type of y_pred, and 16 bits have few digits
# Fails: any_batching_is_the_same
def confusion(y_true, y_pred, labels=None, sample_weight=None) -> np.ndarray:
    """The confusion matrix: how many samples of each true class were predicted as each class.

    Args:
        y_true, y_pred: n labels each, in a list or an array; all are whole numbers or all are strings. n may be 0 if `labels` are given.
        labels: the C classes, in the order of rows and columns; classes that do not occur may be among them. None: all
            classes that occur in y_true *or* in y_pred, in ascending order.
        sample_weight: n numbers, 0 or more, in a list or an array of any type. None: each sample counts 1.

    Returns:
        (C, C) array. Entry [i, j] is the number of samples whose true class is labels[i] and whose
        predicted class is labels[j]; with weights, the sum of their weights, added up in 64 bits.

    Raises:
        ValueError: a class occurs that is not among the labels.

    >>> confusion(["cat", "dog", "dog"], ["dog", "dog", "cat"], labels=["dog", "cat"])
    array([[1, 1],
           [1, 0]])
    """
    truth, guess = np.asarray(y_true).ravel().tolist(), np.asarray(y_pred).ravel().tolist()
    names = sorted(set(truth) | set(guess)) if labels is None else np.asarray(labels).tolist()
    index = {name: i for i, name in enumerate(names)}
    if any(name not in index for name in [*truth, *guess]):
        raise ValueError("a class is not among the labels")
    rows = np.array([index[name] for name in truth], dtype=int)
    columns = np.array([index[name] for name in guess], dtype=int)
    if sample_weight is None:
        matrix, weight = np.zeros((len(names), len(names)), dtype=np.int64), 1
    else:
        matrix, weight = np.zeros((len(names), len(names))), np.asarray(sample_weight, dtype=np.float64)
    np.add.at(matrix, (rows, columns), weight)
    return matrix


def precision_recall_f(matrix, beta: float = 1.0, zero_division: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F_beta of each class.

    Each of the three is a fraction of counts, as in the text above. Where its own denominator is 0, it is `zero_division`. (So a class
    that occurs, but is never predicted, has an F of 0, for a beta above 0, whatever `zero_division` is.)

    Args:
        matrix: (C, C) array, a confusion matrix with true classes as rows; counts, or sums of weights.
        beta: 0 or more.
        zero_division: any number, or NaN.

    Returns:
        Three (C,) arrays of floats.

    >>> precision_recall_f(np.array([[3, 1], [0, 0]]))
    (array([1., 0.]), array([0.75, 0.  ]), array([0.85714286, 0.        ]))
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    tp, row, column = np.diag(matrix), matrix.sum(1), matrix.sum(0)

    def divide(a, b):
        return np.divide(a, b, out=np.full(len(a), float(zero_division)), where=b > 0)

    return divide(tp, column), divide(tp, row), divide((1 + beta**2) * tp, beta**2 * row + column)


def average(matrix, kind: str, beta: float = 1.0, zero_division: float = 0.0, classes: list[int] | None = None) -> tuple[float, float, float]:
    """Precision, recall and F_beta, averaged over classes.

    Args:
        matrix, beta, zero_division: as for precision_recall_f.
        kind: "macro": the mean of the classes' values, for precision, for recall and for F.
            "weighted": the same, with each class weighted by its true samples (its row's sum). For both, a value that is NaN is left
            out, with its weight; if none is left, or none with a weight above 0, the result is `zero_division`.
            "micro": TP, FP and FN are added up over the classes, and precision, recall and F computed from these sums.
        classes: the indices of the classes to average over, in any order, each once, at least one. None: all. Samples of the other
            classes still count as errors where they are predicted as one of these, and predictions of the others where the truth
            is one of these.

    Returns:
        Three floats: precision, recall and F.

    Raises:
        ValueError: `kind` is another one.

    >>> average(np.array([[3, 1], [0, 4]]), "micro")
    (0.875, 0.875, 0.875)
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    chosen = np.arange(len(matrix)) if classes is None else np.asarray(classes, dtype=int)
    if kind == "micro":
        tp = np.diag(matrix)[chosen].sum()
        fn, fp = matrix.sum(1)[chosen].sum() - tp, matrix.sum(0)[chosen].sum() - tp
        return tuple(float(values[0]) for values in precision_recall_f([[tp, fn], [fp, 0]], beta, zero_division))
    if kind not in ("macro", "weighted"):
        raise ValueError(f"unknown kind {kind!r}")
    weights = matrix.sum(1)[chosen] if kind == "weighted" else np.ones(len(chosen))
    result = []
    for values in precision_recall_f(matrix, beta, zero_division):
        values = values[chosen]
        keep = ~np.isnan(values) & (weights > 0)
        result.append(float(np.average(values[keep], weights=weights[keep])) if keep.any() else float(zero_division))
    return tuple(result)


class MacroF1(keras.Metric):
    """Macro-F1 of everything seen since the start or the last reset, in whatever batches it came.

    It is the mean of the F1 of all classes 0 ... n_classes - 1; a class that was neither seen nor predicted counts 0. It works
    eagerly, inside a `tf.function` and in `compile` with `fit`, where the size of a batch is not known in advance.

    Args:
        n_classes: how many.
        name, kwargs: as for every metric of Keras.
    """

    def __init__(self, n_classes: int, name: str = "macro_f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.counts = self.add_weight(shape=(n_classes, n_classes), initializer="zeros", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch of any size, 0 included.

        Args:
            y_true: (b,) or (b, 1), classes as whole numbers, of any integer or floating type.
            y_pred: (b, n_classes) logits or probabilities, of any floating type. The class with the highest is
                predicted, of equal ones the first.
            sample_weight: (b,) or (b, 1) numbers, 0 or more, of any floating type, whichever shape y_true has. None: each sample counts 1.
        """
        ops = keras.ops
        dtype = ops.convert_to_tensor(y_pred).dtype
        truth = ops.cast(ops.reshape(ops.convert_to_tensor(y_true), (-1,)), "int32")
        guess = ops.argmax(ops.convert_to_tensor(y_pred), axis=-1)
        t, p = ops.one_hot(truth, self.n_classes, dtype=dtype), ops.one_hot(guess, self.n_classes, dtype=dtype)
        if sample_weight is not None:
            weight = ops.cast(ops.reshape(ops.convert_to_tensor(sample_weight), (-1,)), dtype)
            t = t * weight[:, None]
        self.counts.assign_add(ops.cast(ops.sum(t[:, :, None] * p[:, None, :], axis=0), self.counts.dtype))

    def result(self):
        """Macro-F1 as a scalar tensor; 0 before the first batch. Does not change the state.

        `reset_state` is inherited: it sets all variables that were made by `self.add_weight` to 0.
        """
        ops = keras.ops
        counts = ops.convert_to_tensor(self.counts)
        return ops.mean(ops.divide_no_nan(2 * ops.diagonal(counts), ops.sum(counts, axis=0) + ops.sum(counts, axis=1)))