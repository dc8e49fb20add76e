# Right: torch: bucketize, one_hot, Newton's method with halved steps on log beta
def ece(probabilities, labels, n_bins=8):
    p, y = torch.tensor(probabilities, dtype=torch.float64), torch.tensor(np.asarray(labels, dtype=np.int64))
    confidence = p.amax(1)
    predicted = (p == confidence[:, None]).to(torch.uint8).argmax(1)
    edges = torch.arange(1, n_bins, dtype=torch.float64) / n_bins
    index = torch.bucketize(confidence, edges)
    signed = torch.zeros(n_bins, dtype=torch.float64).index_add(0, index, (predicted == y).double() - confidence)
    return signed.abs().sum().item() / len(y)


def brier(probabilities, labels):
    p = torch.tensor(probabilities, dtype=torch.float64)
    truth = F.one_hot(torch.tensor(labels).long(), p.shape[1])
    return float(torch.linalg.vector_norm(p - truth, dim=1).square().mean())


def fit_temperature(logits, labels):
    z, y = torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)
    chosen = z.gather(1, y[:, None])[:, 0]
    if bool((chosen >= z.amax(1)).all()) or float(chosen.mean() - z.mean()) <= 0:
        raise ValueError("no interior minimum")
    z = z - z.amax(1, keepdim=True)
    chosen = z.gather(1, y[:, None])[:, 0]
    low, high = -10.0, 10.0
    x = 0.0
    for _ in range(200):
        p = torch.softmax(math.exp(x) * z, 1)
        mean = (p * z).sum(1)
        slope = float((mean - chosen).mean())
        low, high = (x, high) if slope < 0 else (low, x)
        curvature = float((p * (z - mean[:, None]) ** 2).sum(1).mean()) * math.exp(x)
        step = x - slope / curvature if curvature > 0 else math.inf
        new = step if low < step < high else (low + high) / 2
        if abs(new - x) < 1e-12:
            break
        x = new
    return math.exp(-x)


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
