# Right: loops, dictionaries and the standard library; three vectors as state, scatter by segments
def confusion(y_true, y_pred, labels=None, sample_weight=None):
    classes = list(labels) if labels is not None else sorted({*y_true, *y_pred})
    place = {str(name): i for i, name in enumerate(classes)}
    cells = [[0.0] * len(classes) for _ in classes]
    for i, (a, b) in enumerate(zip(y_true, y_pred, strict=True)):
        if str(a) not in place or str(b) not in place:
            raise ValueError("unknown class")
        cells[place[str(a)]][place[str(b)]] += 1 if sample_weight is None else float(sample_weight[i])
    return np.array(cells).reshape(len(classes), len(classes))


def precision_recall_f(matrix, beta=1.0, zero_division=0.0):
    rows = [[float(x) for x in row] for row in matrix]
    found = []
    for c in range(len(rows)):
        hits = rows[c][c]
        missed = sum(x for i, x in enumerate(rows[c]) if i != c)
        false = sum(row[c] for i, row in enumerate(rows) if i != c)
        upper = hits * (1 + beta * beta)
        pairs = (hits, hits + false), (hits, hits + missed), (upper, upper + beta * beta * missed + false)
        found.append([a / b if b else zero_division for a, b in pairs])
    return tuple(np.array(values, float) for values in zip(*found, strict=True))


def average(matrix, kind, beta=1.0, zero_division=0.0, classes=None):
    if kind not in {"macro", "micro", "weighted"}:
        raise ValueError(kind)
    matrix = np.array(matrix, float)
    classes = range(len(matrix)) if classes is None else classes
    if kind == "micro":
        hits = sum(matrix[c, c] for c in classes)
        predicted = sum(matrix[:, c].sum() for c in classes)
        true = sum(matrix[c].sum() for c in classes)
        pairs = (hits, predicted), (hits, true), ((1 + beta**2) * hits, predicted + beta**2 * true)
        return tuple(float(a / b) if b else float(zero_division) for a, b in pairs)
    result = []
    for values in precision_recall_f(matrix, beta, zero_division):
        pairs = [(values[c], matrix[c].sum() if kind == "weighted" else 1.0) for c in classes if not math.isnan(values[c])]
        total = sum(weight for _, weight in pairs)
        result.append(float(sum(v * weight for v, weight in pairs) / total) if total else float(zero_division))
    return tuple(result)


class MacroF1(keras.Metric):
    def __init__(self, n_classes, name="macro_f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.hits, self.true, self.predicted = (self.add_weight(shape=(n_classes,), initializer="zeros", name=part) for part in ("hits", "true", "predicted"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = keras.ops.cast(keras.ops.ravel(y_true), "int32")
        guess = keras.ops.cast(keras.ops.argmax(y_pred, axis=1), "int32")
        weight = keras.ops.ones_like(truth, dtype=self.dtype) if sample_weight is None else keras.ops.cast(keras.ops.ravel(sample_weight), self.dtype)
        correct = weight * keras.ops.cast(truth == guess, self.dtype)
        for state, value, where in ((self.hits, correct, truth), (self.true, weight, truth), (self.predicted, weight, guess)):
            state.assign(state + keras.ops.segment_sum(value, where, self.n_classes))

    def result(self):
        return sum(keras.ops.divide_no_nan(2 * self.hits[c], self.true[c] + self.predicted[c]) for c in range(self.n_classes)) / self.n_classes
