# Right: numbered pairs and bincount; F as a harmonic mean; TensorFlow's confusion matrix; a reset of its own
import tensorflow as tf


def confusion(y_true, y_pred, labels=None, sample_weight=None):
    if labels is None:
        labels = np.unique(np.concatenate([np.asarray(y_true), np.asarray(y_pred)]))
    labels = np.asarray(labels)
    n = len(labels)
    if len(y_true) == 0:
        return np.zeros((n, n))
    order = np.argsort(labels)
    numbers = []
    for values in (np.asarray(y_true), np.asarray(y_pred)):
        if not np.isin(values, labels).all():
            raise ValueError("a class that is not among the labels")
        numbers.append(order[np.searchsorted(labels, values, sorter=order)])
    return np.bincount(numbers[0] * n + numbers[1], weights=sample_weight, minlength=n * n).reshape(n, n)


def precision_recall_f(matrix, beta=1.0, zero_division=0.0):
    matrix = np.array(matrix, "float64")
    tp = matrix.diagonal()
    fp, fn = matrix.sum(axis=0) - tp, matrix.sum(axis=1) - tp
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(matrix.any(axis=0), tp / (tp + fp), zero_division)
        recall = np.where(matrix.any(axis=1), tp / (tp + fn), zero_division)
        f = np.where(tp > 0, (1 + beta**2) / (1 / precision + beta**2 / recall), 0)
    undefined = ~matrix.any(axis=0) & (~matrix.any(axis=1) | (beta == 0))
    return precision, recall, np.where(undefined, zero_division, f)


def average(matrix, kind, beta=1.0, zero_division=0.0, classes=None):
    matrix = np.array(matrix, "float64")
    classes = np.arange(len(matrix)) if classes is None else np.array(classes)
    if kind == "micro":
        one_class = np.zeros((2, 2))
        for c in classes:
            one_class += [[matrix[c, c], matrix[c].sum() - matrix[c, c]], [matrix[:, c].sum() - matrix[c, c], 0]]
        values, weights = [[v[0]] for v in precision_recall_f(one_class, beta, zero_division)], np.ones(1)
    elif kind in ("macro", "weighted"):
        values = [v[classes] for v in precision_recall_f(matrix, beta, zero_division)]
        weights = np.ones(len(classes)) if kind == "macro" else matrix[classes].sum(axis=1)
    else:
        raise ValueError(kind)
    means = []
    for v in values:
        masked = np.ma.masked_invalid(v)
        mean = np.ma.average(masked, weights=weights) if weights[~np.ma.getmaskarray(masked)].sum() else zero_division
        means.append(float(mean))
    return tuple(means)


class MacroF1(keras.metrics.Metric):
    def __init__(self, n_classes, name="macro_f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.table = self.add_variable((n_classes, n_classes), "zeros", name="table")

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = tf.reshape(tf.cast(y_true, tf.int64), [-1])
        if sample_weight is not None:
            sample_weight = tf.reshape(tf.cast(sample_weight, tf.float32), [-1])
        self.table.assign(self.table + tf.math.confusion_matrix(truth, tf.argmax(y_pred, axis=1), self.n_classes, sample_weight, tf.float32))

    def result(self):
        tp = tf.linalg.diag_part(tf.convert_to_tensor(self.table))
        errors = tf.reduce_sum(self.table, 0) + tf.reduce_sum(self.table, 1) - 2 * tp
        return tf.reduce_mean(tf.where(tp > 0, tp / (tp + errors / 2), 0.0))

    def reset_state(self):
        self.table.assign(tf.zeros_like(self.table))
