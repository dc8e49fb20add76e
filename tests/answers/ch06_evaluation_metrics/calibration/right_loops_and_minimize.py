# Right: loops over bins with masks; minimize_scalar over log T; Brier score without a one-hot matrix
def ece(probabilities, labels, n_bins=8):
    predicted = np.argmax(probabilities, axis=1)
    confidence = probabilities[np.arange(len(labels)), predicted].astype(float)
    total = 0.0
    for k in range(1, n_bins + 1):
        inside = (confidence > (k - 1) / n_bins) & (confidence <= k / n_bins)
        if inside.sum() == 0:
            continue
        accuracy = np.mean(predicted[inside] == labels[inside])
        total += inside.sum() / len(labels) * abs(accuracy - confidence[inside].mean())
    return total


def brier(probabilities, labels):
    p = np.asarray(probabilities, dtype=float)
    return np.mean((p**2).sum(axis=1) - 2 * p[np.arange(len(p)), labels] + 1)


def fit_temperature(logits, labels):
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows = np.arange(len(labels))
    of_labels = logits[np.arange(len(labels)), labels]
    if (of_labels == logits.max(1)).all() or of_labels.mean() <= logits.mean():
        raise ValueError("no minimum")

    def loss(log_t):
        return -log_softmax(logits / np.exp(log_t), axis=1)[rows, labels].mean()

    found = minimize_scalar(loss, bounds=(math.log(1e-4), math.log(1e4)), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def calibrate(validation, test):
    z, y = test
    T = fit_temperature(validation[0], validation[1])
    result = {"temperature": T}
    for when, t in (("before", 1.0), ("after", T)):
        shifted = z / t - (z / t).max(axis=1, keepdims=True)
        p = np.exp(shifted)
        p /= p.sum(axis=1, keepdims=True)
        result["ece_" + when] = ece(p, y)
        result["brier_" + when] = brier(p, y)
        result["accuracy"] = (z.argmax(axis=1) == y).mean()
    return result
