# %% [markdown]
# ## 6.1 Counting errors
#
# Two classifiers sort 1,000 letters to a bank: 900 questions, 80 complaints, 20 reports of fraud. **Predict:** A puts 915 into the correct class and B 902. Which of them would you use?

# %% nbgrader={"grade": false, "grade_id": "setup_macro_f1", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped

# Rows: the true class, columns: the predicted one.
LETTER_CLASSES = ["question", "complaint", "fraud"]
LETTERS_A = np.array([[895, 5, 0], [60, 20, 0], [17, 3, 0]])
LETTERS_B = np.array([[820, 60, 20], [10, 66, 4], [2, 2, 16]])


# %% tags=["demo"]
def draw_letters() -> None:
    _, axes = plt.subplots(1, 2, figsize=(9.4, 3.4))
    for ax, name, counts in zip(axes, "AB", (LETTERS_A, LETTERS_B), strict=True):
        share = counts / counts.sum(1, keepdims=True)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1.3)
        for i in range(3):
            for j in range(3):
                ax.text(j, i, counts[i, j], ha="center", va="center", color="white" if share[i, j] > 0.8 else "black", weight="bold" if i == j else "normal")
            ax.text(2.65, i, f"recall {share[i, i]:.2f}", va="center", fontsize=9)
            column = counts[:, i].sum()
            ax.text(i, 2.6, f"precision\n{counts[i, i] / column:.2f}" if column else "precision\n0/0", ha="center", va="top", fontsize=9)
        ax.set_xticks(range(3), LETTER_CLASSES)
        ax.xaxis.tick_top()
        ax.set_yticks(range(3), LETTER_CLASSES)
        ax.tick_params(length=0)
        ax.grid(False)
        ax.spines[:].set(visible=False)
        ax.set_ylabel("true class")
        ax.set_xlabel("predicted class", fontsize=10)
        ax.xaxis.set_label_position("top")
        ax.set_title(f"{name}: accuracy {np.trace(counts) / counts.sum():.3f}", pad=8)
    plt.show()


draw_letters()

# %% [markdown]
# A never says *fraud*, and accuracy hardly notices: 98 % of the letters are something else. The **confusion matrix** shows it: $n_{ij}$ counts the samples of true class $i$ that were predicted as $j$. For one class $c$, $TP = n_{cc}$. The rest of row $c$ was missed ($FN$), the rest of column $c$ are false alarms ($FP$), and all others are $TN$.
#
# $$\text{precision} = \frac{TP}{TP + FP}, \qquad \text{recall} = \frac{TP}{TP + FN}, \qquad
# F_\beta = \frac{(1 + \beta^2)\, TP}{(1 + \beta^2)\, TP + \beta^2 FN + FP} .$$
#
# Precision divides by a column's sum: *of what it calls fraud, how much is fraud?* Recall divides by a row's: *of all fraud, how much does it find?* $F_\beta$ (van Rijsbergen, 1979) joins both; $F_1$ is their harmonic mean, and $\beta = 2$ weighs recall more.
#
# *"Precision is the share of positives among the correctly predicted samples."* No: that is $TP / (TP + TN)$, in which no false alarm occurs: with $TP = 1$, $FP = 3$ and $TN = 15$ it is 0.06, and precision is 0.25.
#
# ### One number for several classes
#
# A **macro** average is the mean over classes: is each *class* treated well? A **weighted** one gives frequent classes more weight. For a **micro** average, add up $TP$, $FP$ and $FN$ of the classes, then divide once: is each *sample* treated well?
#
# **Macro-F1** is here the mean of the classes' $F_1$; in some papers it is the $F_1$ of mean precision and mean recall. They can differ by up to 0.5 (Opitz and Burst, arXiv:1911.03347).
#
# *"Micro-F1 is accuracy."* That is true where each sample has one class and all classes count: each error is one $FP$ and one $FN$. But often one class is left out, such as "no name" where names are looked for: without *question*, A's micro-F1 is 0.31.
#
# **0/0.** A class that is never predicted has no precision; one that never occurs has no recall. One chooses 0, 1, or NaN; averages leave out NaN. With 0, A's macro precision is 0.55 and B's 0.63; with *fraud* left out, A's is 0.82.
#
# ### Batch by batch
#
# The mean of the batches' macro-F1 is another number: a ratio of sums is no mean of ratios. So a Keras `Metric` keeps a **state** that can be added up, here the confusion matrix: `update_state` adds a batch, `result` computes from the state, `reset_state` starts again. `fit` compiles this to a graph, so the state has to be a variable of Keras, and NumPy cannot take part.
#
# ### Exercise 6.1 · From counts to a streaming metric
#
# > **Difficulty** ★☆☆☆ · **55 minutes** · **12 points** · NumPy, and Keras 3 on TensorFlow
#
# **Write** three functions and the class `MacroF1`. Finished metrics of scikit-learn and Keras fail in the hidden checks. Arguments are not to be modified.
#
# <details><summary>Hint 1: counting pairs</summary>
#
# `matrix[rows, columns] += 1` counts a pair that occurs twice only once; `np.add.at(matrix, (rows, columns), 1)` counts both. A dictionary from label to index finds rows and columns.
# </details>
#
# <details><summary>Hint 2: dividing where there may be a zero</summary>
#
# `np.divide(a, b, out=np.full(len(a), z), where=b > 0)` leaves `z` where `b` is 0; `z` has to be a float.
# </details>
#
# <details><summary>Hint 3: a confusion matrix without a loop, in Keras</summary>
#
# With one-hot rows $T$ for the true and $P$ for the predicted classes, $T^\top P$ counts the pairs. A weight multiplies a row of $T$. Bring labels and weights to a known shape first, with `keras.ops.reshape(x, (-1,))`, and labels to `"int32"`. `keras.ops.divide_no_nan(a, b)` is 0 where `b` is.
# </details>

# %% nbgrader={"grade": false, "grade_id": "macro_f1", "locked": false, "schema_version": 3, "solution": true, "task": false}
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
    ### BEGIN SOLUTION
    y_true, y_pred = np.asarray(y_true).tolist(), np.asarray(y_pred).tolist()
    occurring = set(y_true) | set(y_pred)
    index = {label: i for i, label in enumerate(sorted(occurring) if labels is None else labels)}
    if not occurring <= set(index):
        raise ValueError(f"{occurring - set(index)} not among the labels")
    weights = 1 if sample_weight is None else np.asarray(sample_weight, float)
    matrix = np.zeros((len(index), len(index)), int if sample_weight is None else float)
    np.add.at(matrix, ([index[label] for label in y_true], [index[label] for label in y_pred]), weights)
    return matrix
    ### END SOLUTION


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
    ### BEGIN SOLUTION
    matrix = np.asarray(matrix, float)
    hits, predicted, true = np.diag(matrix), matrix.sum(0), matrix.sum(1)

    def ratio(a, b):
        return np.divide(a, b, out=np.full(len(a), float(zero_division)), where=b > 0)

    return ratio(hits, predicted), ratio(hits, true), ratio((1 + beta**2) * hits, beta**2 * true + predicted)
    ### END SOLUTION


def average(matrix, kind: str, beta: float = 1.0, zero_division: float = 0.0, classes: list[int] | None = None) -> tuple[float, float, float]:
    """Precision, recall and F_beta, averaged over classes.

    Args:
        matrix, beta, zero_division: as for precision_recall_f.
        kind: "macro": the mean of the classes' values, for precision, for recall and for F.
            "weighted": the same, with each class weighted by its true samples (its row's sum). For both, classes whose
            value is NaN are left out, with their weights. If no class is left, or all that are left have the weight 0, the result is
            `zero_division`.
            "micro": TP, FP and FN are added up over the classes, and precision, recall and F computed from these sums.
        classes: the indices of the classes to average over, in any order, each once, at least one. None: all. The other
            classes are only left out of the average: their samples and predictions still count as errors of these classes.

    Returns:
        Three floats: precision, recall and F.

    Raises:
        ValueError: `kind` is another one.

    >>> average(np.array([[3, 1], [0, 4]]), "micro")
    (0.875, 0.875, 0.875)
    """
    ### BEGIN SOLUTION
    matrix = np.asarray(matrix, float)
    chosen = list(range(len(matrix)) if classes is None else classes)
    hits, predicted, true = np.diag(matrix)[chosen], matrix.sum(0)[chosen], matrix.sum(1)[chosen]
    if kind == "micro":
        sums = [[hits.sum(), (true - hits).sum()], [(predicted - hits).sum(), 0.0]]
        precision, recall, f = (float(values[0]) for values in precision_recall_f(sums, beta, zero_division))
        return precision, recall, f
    if kind not in ("macro", "weighted"):
        raise ValueError(f"no average is called {kind!r}")
    weights = true if kind == "weighted" else np.ones(len(chosen))

    def mean(values):
        known = ~np.isnan(values)
        total = weights[known].sum()
        return float((weights * values)[known].sum() / total) if total > 0 else float(zero_division)

    precision, recall, f = (mean(values[chosen]) for values in precision_recall_f(matrix, beta, zero_division))
    return precision, recall, f
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        self.counts = self.add_weight(shape=(n_classes, n_classes), initializer="zeros", name="counts")
        ### END SOLUTION

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch of any size, 0 included.

        Args:
            y_true: (b,) or (b, 1), classes as whole numbers, of any integer or floating type.
            y_pred: (b, n_classes) logits or probabilities, of any floating type. The class with the highest is
                predicted, of equal ones the first.
            sample_weight: (b,) or (b, 1) numbers, 0 or more, of any floating type, whichever shape y_true has. None: each sample counts 1.
        """
        ### BEGIN SOLUTION
        rows = keras.ops.one_hot(keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,)), self.n_classes, dtype=self.dtype)
        columns = keras.ops.one_hot(keras.ops.argmax(y_pred, axis=-1), self.n_classes, dtype=self.dtype)
        if sample_weight is not None:
            rows = rows * keras.ops.reshape(keras.ops.cast(sample_weight, self.dtype), (-1, 1))
        self.counts.assign_add(keras.ops.matmul(keras.ops.transpose(rows), columns))
        ### END SOLUTION

    def result(self):
        """Macro-F1 as a scalar tensor; 0 before the first batch. Does not change the state.

        `reset_state` is inherited: it sets all variables that were made by `self.add_weight` to 0.
        """
        ### BEGIN SOLUTION
        hits = keras.ops.diagonal(self.counts)
        seen = keras.ops.sum(self.counts, axis=0) + keras.ops.sum(self.counts, axis=1)
        return keras.ops.mean(keras.ops.divide_no_nan(2 * hits, seen))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_macro_f1", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=0.75, hint="Rows are true, columns predicted, both in the order of `labels`. A pair that occurs twice counts twice.")
def counts_by_hand():
    """Five letters, with labels in a given order, give the matrix that one counts by hand."""
    found = np.asarray(probe(lambda: confusion(["b", "a", "a", "c", "a"], ["c", "a", "b", "c", "a"], labels=["c", "a", "b"])))
    truth = [[1, 0, 0], [0, 2, 1], [1, 0, 0]]
    assert found.shape == (3, 3), f"shape {found.shape} instead of (3, 3)"
    assert np.array_equal(found, truth), f"true b, a, a, c, a and predicted c, a, b, c, a give {found.tolist()} instead of {truth} (labels c, a, b)"


@check(points=0.75, hint="Precision divides the diagonal by the sums of the columns, recall by those of the rows. The third class is never predicted.")
def ratios_by_hand():
    """Precision, recall and F1 of three classes, one of them never predicted, are as by hand."""
    found = [np.asarray(values, float) for values in probe(lambda: tuple(precision_recall_f(np.array([[6, 2, 0], [0, 3, 0], [2, 1, 0]]))))]
    for name, values, truth in zip(("precision", "recall", "F1"), found, ([0.75, 0.5, 0], [0.75, 1, 0], [0.75, 2 / 3, 0]), strict=True):
        assert values.shape == (3,), f"{name} has the shape {values.shape} instead of (3,)"
        assert np.allclose(values, truth), f"{name} of [[6, 2, 0], [0, 3, 0], [2, 1, 0]] is {values.round(3).tolist()} instead of {np.round(truth, 3).tolist()}"


@check(points=0.75, hint="Macro: the mean of the classes' F1. Weighted: by the rows' sums. Micro: the sums over classes first, then one division.")
def averages_by_hand():
    """Of [[6, 2], [0, 2]], macro, weighted and micro F are as by hand, and micro F without class 0, too."""
    run = lambda: [tuple(average(np.array([[6, 2], [0, 2]]), kind, classes=classes)) for kind, classes in (("macro", None), ("weighted", None), ("micro", None), ("micro", [1]))]
    for name, values, truth in zip(("macro", "weighted", "micro", "micro, classes=[1]"), probe(run), ((0.75, 0.875, 16 / 21), (0.9, 0.8, 86 / 105), (0.8, 0.8, 0.8), (0.5, 1, 2 / 3)), strict=True):
        assert len(values) == 3, f"{name}: {len(values)} numbers instead of 3"
        for what, value, right in zip(("precision", "recall", "F"), values, truth, strict=True):
            assert abs(value - right) < 1e-9, f"{name}: {what} is {value:.4f} instead of {right:.4f}"


@check(points=0.75, hint="update_state adds to the counts, result computes from the counts of all batches.")
def streams_by_hand():
    """MacroF1 of two batches is that of all their samples, and after reset_state that of the next batch alone."""
    def run(truth, logits):
        metric = MacroF1(2)
        found = []
        for part in (slice(0, 2), slice(2, 5)):
            metric.update_state(truth[part], logits[part])
            found.append(float(metric.result()))
        metric.reset_state()
        metric.update_state(truth[:2], logits[:2])
        return [*found, float(metric.result())]

    # Predicted: 0, 1 | 0, 0, 1.
    first, both, again = probe(run, np.array([0, 1, 0, 1, 0]), np.array([[2, 1], [0, 1], [0.5, 0.25], [-1, -2], [-1, 3]], "float32"))
    assert abs(first - 1) < 1e-6, f"after a first batch without an error, it is {first:.4f} instead of 1"
    assert abs(both - 7 / 12) < 1e-6, f"after true 0, 1 | 0, 1, 0 and predicted 0, 1 | 0, 0, 1, it is {both:.4f} instead of {7 / 12:.4f}"
    assert abs(again - 1) < 1e-6, f"after reset_state and one batch without an error, it is {again:.4f} instead of 1"


### BEGIN HIDDEN TESTS
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

LIBRARY = (
    *(f"sklearn.metrics.{name}" for name in ("confusion_matrix", "multilabel_confusion_matrix", "precision_recall_fscore_support", "precision_score", "recall_score")),
    *(f"sklearn.metrics.{name}" for name in ("f1_score", "fbeta_score", "classification_report", "jaccard_score", "accuracy_score")),
    "keras.metrics.F1Score.update_state",
    "keras.metrics.FBetaScore.update_state",
    "keras.metrics.Precision.update_state",
    "keras.metrics.Recall.update_state",
)


def matrices(cases):
    """What confusion returns for each case, and its arguments afterwards."""
    def run(cases):
        with forbidden(*LIBRARY):
            return [(np.asarray(confusion(*case)), case) for case in cases]

    return probe(run, cases)


def same(a, b):
    """Whether two arguments are equal, element by element, and of one kind."""
    return a is b if a is None or b is None else type(a) is type(b) and len(a) == len(b) and all(x == y for x, y in zip(a, b, strict=True))


@check(points=1.5, hint="Count every pair. Without labels, the classes are those of y_true and of y_pred together, sorted. With them, their order is that of rows and columns.")
def counts_like_sklearn():
    """The matrix agrees with scikit-learn's: strings and numbers, lists and arrays, any order of labels, classes that are absent, or only predicted, weights."""
    names = ["ox", "a", "horse", "cat", "zebra", "b"]
    cases = [([3, 3, 10], [3, 20, 3], None, None), ([7], [2], None, None), (["b", "b"], ["a", "b"], None, [0.0, 2.0]), ([5, 9], [9, 5], None, None)]
    for n in (1, 2, 7, 40, 300):
        for kind in ("numbers", "strings"):
            pool = names if kind == "strings" else [12, -1, 3, 100, 0, 7]
            truth, found = ([pool[i] for i in np.random.randint(low, high, n)] for low, high in ((0, 4), (1, 6)))
            labels = [pool[i] for i in np.random.permutation(6)]
            weight = np.random.randint(0, 9, n) / 4
            weight[0] = 1.5  # scikit-learn refuses weights that are all 0
            cases += [(truth, found, None, None), (np.array(truth), np.array(found), labels, weight.tolist()), (truth, np.array(found), np.array(labels), None), (np.array(truth), found, None, weight)]
    copies = [tuple(value.copy() if value is not None else None for value in case) for case in cases]
    for case, (found, after) in zip(cases, matrices(copies), strict=True):
        truth, predicted, labels, weight = case
        expected = confusion_matrix(truth, predicted, labels=labels, sample_weight=weight)
        what = f"for {len(truth)} {'strings' if isinstance(truth[0], str) else 'numbers'}, {'without' if labels is None else 'with'} labels and {'without' if weight is None else 'with'} weights"
        if found.shape != expected.shape:
            fail(f"The matrix has the shape {found.shape} {what}: another number of classes is right.")
        if not np.allclose(found, expected, atol=1e-12):
            fail(f"The matrix is {'transposed' if np.allclose(found.T, expected, atol=1e-12) else 'wrong'} {what}.")
        if not all(same(one, other) for one, other in zip(case, after, strict=True)):
            fail("An argument was modified.")


@check(points=0.5, hint="float64 for sums, whatever the weights' type. Fractions must not be cut off. Without samples, the matrix has zeros and the size of `labels`.")
def counts_at_the_edges():
    """No samples give zeros; sums of weights in 32 or 16 bits, or of whole numbers, lose nothing."""
    many = np.zeros(300, int)
    cases = [
        ([], [], ["b", "a", "c"], None),
        ([], [], [2, 5], []),
        (many, many, [0, 1], np.array([2.0**24] + [1.0] * 299, "float32")),
        (many, many, None, np.ones(300, "uint8")),
        (many, many, None, np.array([2048.0] + [1.0] * 299, "float16")),
        ([0, 1], [1, 1], None, [0.25, 1]),
        ([0, 1], [1, 1], None, [1, 0.25]),
    ]
    truths = [np.zeros((3, 3)), np.zeros((2, 2)), [[2**24 + 299, 0], [0, 0]], [[300]], [[2347]], [[0, 0.25], [0, 1]], [[0, 1], [0, 0.25]]]
    for i, ((found, _), truth) in enumerate(zip(matrices(cases), truths, strict=True)):
        if found.shape != np.shape(truth) or not np.array_equal(found, truth):
            fail("Wrong for no samples." if i < 2 else "Wrong for weights with fractions." if i > 4 else "Sums of weights of a small type are wrong.")


@check(points=0.5, hint="Look whether all classes of both lists are among the labels. An index of -1, or the place where a class would be inserted, exists for any class.")
def refuses_unknown_classes():
    """A class that is not among the labels raises a ValueError, in y_true as well as in y_pred."""
    def run(cases):
        raised = []
        for case in cases:
            try:
                confusion(*case)
                raised.append(False)
            except ValueError:
                raised.append(True)
        return raised

    cases = [([0, -1], [0, 1], [0, 1, 2]), ([0, 1], [-1, 1], [0, 1, 2]), ([0, 3], [1, 1], [0, 1, 2]), (["a", "b"], ["a", "aa"], ["a", "b"]), ([1], [2], [1, 3]), ([4], [3], [3, 1])]
    for case, raised in zip(cases, probe(run, cases), strict=True):
        if not raised:
            fail(f"No ValueError for {len(case[0])} samples whose classes are not all among the labels.")


def some_matrices():
    """Confusion matrices with everything that is awkward: absent classes, classes never predicted, nothing correct, nothing at all, weights."""
    rows = [
        [[5, 2, 0], [1, 3, 0], [4, 1, 0]],  # the last is never predicted
        [[5, 2, 3], [1, 3, 2], [0, 0, 0]],  # the last never occurs
        [[0, 2, 1], [3, 0, 4], [1, 1, 0]],  # nothing is correct
        [[7, 0, 0], [0, 0, 0], [0, 0, 2]],  # one class is absent
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 4, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 9], [0, 0]],
        [[8]],
        [[0]],
        [[1e-9, 3e-9], [2e-9, 1e-9]],
        [[10**12, 1], [2, 10**3]],
    ]
    made = [np.array(row, float if isinstance(row[0][0], float) else int) for row in rows]
    made += [np.random.randint(0, 9, (n, n)) * (np.random.random((n, n)) < 0.6) for n in (2, 3, 5, 8)]
    made += [np.random.randint(0, 64, (n, n)) / 16 for n in (2, 4)]
    return made


def by_sklearn(matrix, **options):
    """scikit-learn's precision, recall and F for a confusion matrix: one sample for each entry, weighted with it."""
    if not matrix.any():  # scikit-learn refuses weights that are all 0; every denominator is 0
        return [options["zero_division"] if options.get("average") else np.full(len(options["labels"]), options["zero_division"])] * 3
    truth, predicted = np.indices(matrix.shape).reshape(2, -1)
    return precision_recall_fscore_support(truth, predicted, sample_weight=matrix.ravel(), **options)[:3]


def close(found, truth):
    return np.allclose(found, truth, rtol=1e-9, atol=1e-12, equal_nan=True)


@check(points=1.5, hint="Each of the three has a denominator of its own, and is zero_division only where that is 0. From precision and recall, F would be 0/0 where nothing is correct.")
def ratios_like_sklearn():
    """Precision, recall and F agree with scikit-learn's: several beta, zero_division 0, 1 and NaN, counts and weights."""
    cases = [(matrix, beta, zero) for matrix in some_matrices() for beta, zero in ((1.0, 0.0), (2.0, 1.0), (0.5, math.nan), (0, 1), (3, 0.25))]

    def run(cases):
        with forbidden(*LIBRARY):
            return [([np.asarray(values, float) for values in precision_recall_f(*case)], case[0]) for case in cases]

    answers = probe(run, [(matrix.copy(), beta, zero) for matrix, beta, zero in cases])
    for (matrix, beta, zero), (found, after) in zip(cases, answers, strict=True):
        if not np.array_equal(matrix, after):
            fail("The matrix was modified.")
        # scikit-learn knows only 0, 1 and NaN; NaN shows where any other number belongs.
        known = zero if zero in (0, 1) else math.nan
        truth = [np.where(np.isnan(values), zero, values) for values in by_sklearn(matrix, labels=range(len(matrix)), beta=beta, zero_division=known)]
        for name, values, right in zip(("Precision", "Recall", "F"), found, truth, strict=True):
            if values.shape != right.shape:
                fail(f"{name} has the shape {values.shape} for {len(matrix)} classes.")
            if not close(values, right):
                fail(f"{name} is wrong for {len(matrix)} classes, beta = {beta:g} and zero_division = {zero:g}{'' if (matrix.sum(0) * matrix.sum(1)).all() else ', where a class is absent or never predicted'}.")


def averages(cases):
    """What average returns for each case."""
    def run(cases):
        with forbidden(*LIBRARY):
            return [([float(value) for value in average(*case)], case[0]) for case in cases]

    answers = probe(run, [(matrix.copy(), *rest) for matrix, *rest in cases])
    for (matrix, kind, beta, zero, *rest), (found, after) in zip(cases, answers, strict=True):
        if not np.array_equal(matrix, after):
            fail("The matrix was modified.")
        if len(found) != 3:
            fail(f"{len(found)} numbers instead of three.")
        yield matrix, kind, beta, zero, rest[0] if rest else None, found


def compare_averages(cases):
    for matrix, kind, beta, zero, classes, found in averages(cases):
        chosen = list(range(len(matrix))) if classes is None else classes
        truth = by_sklearn(matrix, labels=chosen, beta=beta, zero_division=zero, average=kind)
        if kind == "weighted":  # scikit-learn takes the plain mean where all weights left are 0; here that is zero_division
            values = by_sklearn(matrix, labels=chosen, beta=beta, zero_division=zero)
            truth = [mean if matrix.sum(1)[chosen][~np.isnan(value)].sum() else zero for mean, value in zip(truth, values, strict=True)]
        for name, value, right in zip(("Precision", "Recall", "F"), found, truth, strict=True):
            if not close(value, right):
                fail(f"{name} is wrong: {kind}, {len(matrix)} classes{'' if classes is None else f', {len(classes)} of them averaged'}, beta = {beta:g}, zero_division = {zero:g}{'' if (matrix.sum(0) * matrix.sum(1)).all() else ', where a class is absent or never predicted'}.")


@check(points=1.5, hint="F is averaged like the others, not computed from averaged precision and recall. A value of NaN is left out, together with its weight.")
def averages_like_sklearn():
    """Macro, weighted and micro averages over all classes agree with scikit-learn's, with zero_division 0, 1 and NaN."""
    compare_averages([(matrix, kind, beta, zero) for matrix in some_matrices() for kind in ("macro", "weighted", "micro") for beta, zero in ((1.0, 0.0), (2.0, 1.0), (0.5, math.nan))])


@check(points=1, hint="Take the classes' TP, row and column sums from the whole matrix. Whoever cuts out a smaller matrix loses the errors to and from the classes left out. Micro-F is then no longer the accuracy.")
def averages_over_some_classes():
    """With `classes`, in any order, the averages agree with scikit-learn's `labels`: errors with classes that are left out still count."""
    cases = []
    for matrix in some_matrices():
        n = len(matrix)
        chosen = np.random.permutation(n)[: max(1, n - 1 if n < 5 else n // 2)].tolist()
        cases += [(matrix, kind, 1.0, zero, chosen) for kind in ("macro", "weighted", "micro") for zero in (0.0, math.nan)]
    compare_averages([*cases, *((np.array([[90, 3, 2], [4, 5, 1], [2, 0, 3]]), kind, 2.0, 1.0, [2, 1]) for kind in ("macro", "weighted", "micro"))])


@check(points=0.25, hint="The three kinds are macro, weighted and micro. Any other one is a mistake of the caller.")
def refuses_other_averages():
    """Any other kind of average raises a ValueError."""
    def run(kinds):
        raised = []
        for kind in kinds:
            try:
                average(np.eye(3), kind)
                raised.append(False)
            except ValueError:
                raised.append(True)
        return raised

    if not all(probe(run, ["binary", "Macro", "samples", ""])):
        fail("No ValueError for an average of another name.")


def draw_batches(n, n_classes, occurring, predicted):
    """Labels, logits and weights of n samples; only some classes occur or are predicted. Half of the samples have a tie for the highest logit."""
    truth, guess = (np.random.choice(classes, n) for classes in (occurring, predicted))
    logits = np.random.uniform(-3, -1, (n, n_classes)).astype("float32")
    logits[np.arange(n), guess] = 0.5
    later = np.minimum(guess + 1, n_classes - 1)
    tied = np.random.random(n) < 0.5
    logits[tied, later[tied]] = 0.5
    return truth, logits, guess, (np.random.randint(0, 9, n) / 4).astype("float32")


@check(points=1, hint="Only the counts may be remembered, and all of them: no means of batches. Reshape labels and weights to (b,). The predicted class is the argmax of y_pred; the label is the class itself.")
def any_batching_is_the_same():
    """However the samples are cut into batches, the result is scikit-learn's for all, with and without weights, for all types and shapes; a reset forgets them."""
    shapes = [
        ([60], "int64", "float32", False, None),
        ([1] * 20 + [40], "uint8", "float16", True, True),
        ([0, 7, 3, 0, 50], "int32", "float32", True, False),
        ([31, 29], "float32", "float64", False, True),
    ]
    cases = []
    for split, label_type, logit_type, flat, flat_weight in shapes:
        truth, logits, guess, weight = draw_batches(60, 21, [0, 3, 4, 13, 20], [0, 3, 5, 13, 20])
        weight = 20_000 * weight  # two together are too large for 16 bits
        truth = truth.astype(label_type)
        cases.append((split, truth if flat else truth[:, None], logits.astype(logit_type), None if flat_weight is None else (weight if flat_weight else weight[:, None]).astype(logit_type), guess))

    def run(cases):
        found = []
        with forbidden(*LIBRARY):
            metric, other = MacroF1(21), MacroF1(21)
            other.update_state(np.array([1, 1]), np.eye(21, dtype="float32")[:2])
            for split, truth, logits, weight in cases:
                metric.reset_state()
                found.append([float(metric.result())])
                for end, size in zip(np.cumsum(split), split, strict=True):
                    part = slice(end - size, end)
                    if weight is None:
                        metric.update_state(truth[part], logits[part])
                    else:
                        metric.update_state(truth[part], logits[part], sample_weight=weight[part])
                    if size == 7:
                        metric.result()
                found[-1] += [float(metric.result()), float(metric.result())]
            return found, float(other.result()), str(metric.name)

    found, other, name = probe(run, [case[:4] for case in cases])
    for (split, truth, logits, weight, guess), (empty, result, again) in zip(cases, found, strict=True):
        right = f1_score(truth.ravel().astype(int), guess, labels=range(21), average="macro", zero_division=0.0, sample_weight=None if weight is None else weight.ravel().astype(float))
        if empty != 0:
            fail("Before the first batch, or after a reset, the result is not 0.")
        if not abs(result - right) < 1e-5:
            fail(f"Wrong for {len(split)} batches, with labels of shape {tuple(truth.shape)} and type {truth.dtype}, logits of {logits.dtype}, weights {'not given' if weight is None else f'of shape {tuple(weight.shape)}'}.")
        if result != again:
            fail("Asking for the result twice gives two results.")
    if not abs(other - 1 / 21 * 2 / 3) < 1e-6:
        fail("Two metrics get in each other's way.")
    if name != "macro_f1":
        fail("The metric's name is not the one that was given.")


@check(points=0.75, hint="In a graph, NumPy and Python compute once, while it is traced. The state has to be a variable made by self.add_weight, changed by assign or assign_add, and sizes of batches come from keras.ops.shape, if at all.")
def works_in_a_graph():
    """Inside a tf.function with batches of any size, state and result are the same as eagerly."""
    truth, logits, guess, weight = draw_batches(50, 4, [0, 1, 2], [0, 2, 3])

    def run(truth, logits, weight):
        import tensorflow

        with forbidden(*LIBRARY):
            metric = MacroF1(4)
            kinds = [tensorflow.TensorSpec((None,), "int64"), tensorflow.TensorSpec((None, 4), "float32"), tensorflow.TensorSpec((None,), "float32")]

            @tensorflow.function(input_signature=kinds)
            def step(*batch):
                metric.update_state(*batch)
                return metric.result()

            found = []
            for end, size in zip(np.cumsum([20, 1, 29]), [20, 1, 29], strict=True):
                part = slice(end - size, end)
                found.append(float(step(*(tensorflow.constant(values[part]) for values in (truth, logits, weight)))))
            metric.reset_state()
            return [*found, float(step(*(tensorflow.constant(values[:20]) for values in (truth, logits, weight))))]

    found = probe(run, truth.astype("int64"), logits, weight)
    for end, value in zip((20, 21, 50, 20), found, strict=True):
        right = f1_score(truth[:end], guess[:end], labels=range(4), average="macro", zero_division=0.0, sample_weight=weight[:end])
        if not abs(value - right) < 1e-5:
            fail("The result is wrong inside a tf.function.")


@check(points=0.5, hint="fit resets all metrics at the start of an epoch, and passes sample weights to weighted_metrics only. The state has to be variables made by self.add_weight.")
def works_in_fit():
    """In compile and fit, each epoch reports the macro-F1 of all its samples, with weights as weighted metric, and on validation data, too."""
    truth, logits, guess, weight = draw_batches(30, 4, [0, 1, 2], [0, 2, 3])

    def run(truth, logits, weight):
        with forbidden(*LIBRARY):
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "linear", False, "identity")])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.0), loss, metrics=[MacroF1(4)], weighted_metrics=[MacroF1(4, name="weighted")])
            history = model.fit(logits, truth, sample_weight=weight, batch_size=7, epochs=2, verbose=0, validation_data=(logits[:11], truth[:11], weight[:11]), validation_batch_size=4)
            return {name: [float(value) for value in values] for name, values in history.history.items()}

    history = probe(run, truth, logits, weight)
    for name, end, weights in (("macro_f1", 30, None), ("weighted", 30, weight), ("val_macro_f1", 11, None), ("val_weighted", 11, weight[:11])):
        right = f1_score(truth[:end], guess[:end], labels=range(4), average="macro", zero_division=0.0, sample_weight=weights)
        if name not in history or len(history[name]) != 2:
            fail(f"fit does not report {name} for each epoch.")
        if not np.allclose(history[name], right, atol=1e-5):
            fail(f"fit reports a wrong {name}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### One number a batch
#
# The letters come in random order. Beside your `MacroF1` stand two means of the batches' macro-F1: over all three classes, an absent one counting 0, and over the classes in the batch. **Predict:** which is too low, and which too high, when batches are small?

# %% tags=["demo", "raises-exception"]
def draw_batch_means(sizes=(5, 10, 20, 50, 100, 250, 1000), shuffled=True) -> None:
    _, axes = plt.subplots(1, 2, figsize=(9.4, 3.2), sharey=True)
    for ax, name, counts in zip(axes, "AB", (LETTERS_A, LETTERS_B), strict=True):
        pairs = np.repeat(np.indices((3, 3)).reshape(2, -1).T, counts.ravel(), axis=0)
        truth, guess = (np.random.default_rng(0).permutation(pairs) if shuffled else pairs).T
        metric = MacroF1(3)
        lines = {"MacroF1": [], "mean of batches, all classes": [], "mean of batches, classes in it": []}
        for size in sizes:
            batches = [slice(i, i + size) for i in range(0, 1000, size)]
            metric.reset_state()
            for part in batches:
                metric.update_state(truth[part], np.eye(3, dtype="float32")[guess[part]])
            lines["MacroF1"].append(float(metric.result()))
            for line, names in (("mean of batches, all classes", [0, 1, 2]), ("mean of batches, classes in it", None)):
                lines[line].append(np.mean([average(confusion(truth[part], guess[part], names), "macro")[2] for part in batches]))
        for (line, values), style in zip(lines.items(), ("C0o-", "C1s--", "C2^:"), strict=True):
            ax.plot(sizes, values, style, ms=5, label=line)
        ax.set(title=f"Classifier {name}", xscale="log", xlabel="batch size", ylim=(0.2, 1))
        ax.set_xticks(sizes, [str(size) for size in sizes], fontsize=9)
        ax.minorticks_off()
    axes[0].set_ylabel("macro-F1")
    axes[1].legend(fontsize=8.5, loc="lower right")
    plt.show()


try:
    draw_batch_means()
except NotImplementedError:
    print("This figure needs your functions and MacroF1 of exercise 6.1.")

# %% [markdown]
# "All classes" is too low for small batches: most of them hold no fraud, and its 0 counts. "Classes in it" is too high at 5 (with other random orders, too), since most batches hold questions only: 0.80 for both classifiers! For B it is too low at 50.
#
# **Change, predict, run.** `draw_batch_means(shuffled=False)` sorts the letters by true class and prediction. Where are the two lines of means at batch size 5?
#
# <details><summary>What you should see</summary>
#
# Nearly every batch holds one true class and one predicted, so its F1 is 1 or 0. The mean over "classes in it" is almost the accuracy, 0.915 and 0.90, and over all three a third of that, 0.30.
# </details>
