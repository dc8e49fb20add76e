# Wrong: bins with equally many cases
# Fails: ece_agrees_with_loops, edges_belong_to_the_lower_bin
def ece(probabilities, labels, n_bins=8):
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    k = np.argsort(np.argsort(confidence)) * n_bins // len(labels)
    gaps = np.bincount(k, weights=correct) - np.bincount(k, weights=confidence)
    return float(np.abs(gaps).sum() / len(labels))


def brier(probabilities, labels):
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(1).mean())


def fit_temperature(logits, labels):
    from scipy.optimize import brentq
    from scipy.special import softmax

    of_labels = logits[np.arange(len(labels)), labels]
    if (of_labels == logits.max(1)).all() or of_labels.mean() <= logits.mean():
        raise ValueError("the loss has no minimum: it falls towards T = 0 or T = infinity")

    def slope(log_beta):
        p = softmax(np.exp(log_beta) * logits, axis=1)
        return (p * logits).sum(1).mean() - of_labels.mean()

    return float(np.exp(-brentq(slope, -9, 9)))


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
