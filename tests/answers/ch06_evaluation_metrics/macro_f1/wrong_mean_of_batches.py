# Wrong: the mean of the batches' macro-F1
# Fails: streams_by_hand, any_batching_is_the_same, works_in_a_graph, works_in_fit
def confusion(y_true, y_pred, labels=None, sample_weight=None):
    y_true, y_pred = np.asarray(y_true).tolist(), np.asarray(y_pred).tolist()
    occurring = set(y_true) | set(y_pred)
    index = {label: i for i, label in enumerate(sorted(occurring) if labels is None else labels)}
    if not occurring <= set(index):
        raise ValueError(f"{occurring - set(index)} not among the labels")
    weights = 1 if sample_weight is None else np.asarray(sample_weight, float)
    matrix = np.zeros((len(index), len(index)), int if sample_weight is None else float)
    np.add.at(matrix, ([index[label] for label in y_true], [index[label] for label in y_pred]), weights)
    return matrix


def precision_recall_f(matrix, beta=1.0, zero_division=0.0):
    matrix = np.asarray(matrix, float)
    hits, predicted, true = np.diag(matrix), matrix.sum(0), matrix.sum(1)

    def ratio(a, b):
        return np.divide(a, b, out=np.full(len(a), float(zero_division)), where=b > 0)

    return ratio(hits, predicted), ratio(hits, true), ratio((1 + beta**2) * hits, beta**2 * true + predicted)


def average(matrix, kind, beta=1.0, zero_division=0.0, classes=None):
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


class MacroF1(keras.Metric):
    def __init__(self, n_classes, name="macro_f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.total, self.batches = (self.add_weight(shape=(), initializer="zeros", name=part) for part in ("total", "batches"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        rows = keras.ops.one_hot(keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,)), self.n_classes, dtype=self.dtype)
        columns = keras.ops.one_hot(keras.ops.argmax(y_pred, axis=-1), self.n_classes, dtype=self.dtype)
        if sample_weight is not None:
            rows = rows * keras.ops.reshape(keras.ops.cast(sample_weight, self.dtype), (-1, 1))
        counts = keras.ops.matmul(keras.ops.transpose(rows), columns)
        seen = keras.ops.sum(counts, axis=0) + keras.ops.sum(counts, axis=1)
        self.total.assign_add(keras.ops.mean(keras.ops.divide_no_nan(2 * keras.ops.diagonal(counts), seen)))
        self.batches.assign_add(1.0)

    def result(self):
        return keras.ops.divide_no_nan(self.total, self.batches)
