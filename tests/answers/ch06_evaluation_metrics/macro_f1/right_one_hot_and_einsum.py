# Right: one-hot matrices everywhere; micro averages through membership; a flat state of numbered pairs
def confusion(y_true, y_pred, labels=None, sample_weight=None):
    truth, guess = np.asarray(y_true), np.asarray(y_pred)
    labels = np.array(sorted(set(truth.tolist()) | set(guess.tolist())) if labels is None else list(labels))
    rows, columns = (values[:, None] == labels[None, :] if len(values) else np.zeros((0, len(labels)), bool) for values in (truth, guess))
    if not (rows.any(1).all() and columns.any(1).all()):
        raise ValueError("not a label")
    weight = np.ones(len(rows)) if sample_weight is None else np.array(sample_weight, "float64")
    return np.einsum("n,ni,nj->ij", weight, rows.astype(float), columns.astype(float))


def precision_recall_f(matrix, beta=1.0, zero_division=0.0):
    matrix = np.asarray(matrix).astype("float64")
    hits = np.einsum("ii->i", matrix)
    upper = np.stack([hits, hits, (1 + beta**2) * hits])
    lower = np.stack([matrix.sum(0), matrix.sum(1), matrix.sum(0) + beta**2 * matrix.sum(1)])
    empty = lower == 0
    return tuple(np.where(empty, zero_division, upper / np.where(empty, 1, lower)))


def average(matrix, kind, beta=1.0, zero_division=0.0, classes=None):
    matrix = np.asarray(matrix).astype("float64")
    member = np.zeros(len(matrix))
    member[list(range(len(matrix))) if classes is None else classes] = 1
    if kind == "micro":
        hits = member @ np.diag(matrix)
        predicted, true = member @ matrix.sum(0), member @ matrix.sum(1)
        upper, lower = [hits, hits, (1 + beta**2) * hits], [predicted, true, beta**2 * true + predicted]
        return tuple(float(a / b) if b > 0 else float(zero_division) for a, b in zip(upper, lower, strict=True))
    weight = {"macro": member, "weighted": member * matrix.sum(1)}.get(kind)
    if weight is None:
        raise ValueError(kind)
    means = []
    for values in precision_recall_f(matrix, beta, zero_division):
        total = weight @ ~np.isnan(values)
        means.append(float(np.nansum(weight * values) / total) if total else float(zero_division))
    return means


class MacroF1(keras.Metric):
    def __init__(self, n_classes, name="macro_f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.pairs = self.add_weight(shape=(n_classes * n_classes,), initializer="zeros", dtype="float64", name="pairs")

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = keras.ops.cast(keras.ops.reshape(y_true, [-1]), "int32")
        number = truth * self.n_classes + keras.ops.cast(keras.ops.argmax(y_pred, -1), "int32")
        hot = keras.ops.cast(number[:, None] == keras.ops.arange(self.n_classes**2)[None, :], "float64")
        if sample_weight is not None:
            hot = hot * keras.ops.cast(keras.ops.reshape(sample_weight, [-1, 1]), "float64")
        self.pairs.assign_add(keras.ops.sum(hot, axis=0))

    def result(self):
        table = keras.ops.reshape(self.pairs, (self.n_classes, self.n_classes))
        hits = keras.ops.sum(table * keras.ops.eye(self.n_classes, dtype="float64"), axis=0)
        lower = keras.ops.sum(table + keras.ops.transpose(table), axis=0)
        return keras.ops.sum(keras.ops.where(lower > 0, 2 * hits / keras.ops.where(lower > 0, lower, 1.0), 0.0)) / self.n_classes
