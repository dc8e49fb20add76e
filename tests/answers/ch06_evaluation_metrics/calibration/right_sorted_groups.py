# Right: dictionaries and plain Python sums; golden section by hand
def ece(probabilities, labels, n_bins=8):
    sums = {}
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        confidence = max(row)
        k = math.ceil(confidence * n_bins)
        n, correct, total = sums.get(k, (0, 0, 0.0))
        sums[k] = (n + 1, correct + (row.index(confidence) == label), total + confidence)
    return sum(n * abs(correct / n - total / n) for n, correct, total in sums.values()) / len(labels)


def brier(probabilities, labels):
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        for c, p in enumerate(row):
            total += (float(p) - (c == label)) ** 2
    return total / len(labels)


def fit_temperature(logits, labels):
    logits = np.array(logits, dtype=float)
    rows = np.arange(len(labels))
    if not (logits[rows, labels] < logits.max(axis=1)).any():
        raise ValueError("all is right")
    if np.sum(logits[rows, labels]) / len(labels) - np.sum(logits) / logits.size <= 1e-12:
        raise ValueError("no better than chance")
    shifted = logits - logits.max(axis=1, keepdims=True)

    def loss(log_beta):
        scaled = shifted * math.exp(log_beta)
        return np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels])

    a, b = -8.0, 8.0
    ratio = (math.sqrt(5) - 1) / 2
    while b - a > 1e-7:
        c, d = b - ratio * (b - a), a + ratio * (b - a)
        if loss(c) < loss(d):
            b = d
        else:
            a = c
    return math.exp(-(a + b) / 2)


def calibrate(validation, test):
    from scipy.special import softmax

    logits, labels = test
    temperature = fit_temperature(*validation)
    before, after = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    return {
        "temperature": temperature,
        "accuracy": float((logits.argmax(1) == labels).mean()),
        "ece_before": ece(before, labels),
        "ece_after": ece(after, labels),
        "brier_before": brier(before, labels),
        "brier_after": brier(after, labels),
    }
