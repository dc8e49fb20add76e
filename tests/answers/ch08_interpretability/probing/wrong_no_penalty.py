# Wrong: no penalty
# Fails: probe_by_hand, agrees_with_the_library
def fit_probe(hidden, labels, penalty=1.0):
    from scipy.special import expit

    x, y = np.asarray(hidden, dtype=float), np.asarray(labels, dtype=float)
    if len(set(y.tolist())) < 2:
        raise ValueError("one class")
    scale = np.abs(x).max()
    center = x.mean(axis=0)
    z = np.column_stack([(x - center) / scale, np.ones(len(x))])
    penalties = np.append(np.full(x.shape[1], 1e-9), 0.0)

    def value(theta):
        logits = z @ theta
        return np.logaddexp(0, logits).sum() - y @ logits + penalties @ theta**2 / 2

    theta = np.zeros(z.shape[1])
    for _ in range(100):  # Newton's method, with shorter steps where a full one does not help
        p = expit(z @ theta)
        step = np.linalg.solve(z.T @ (z * (p * (1 - p))[:, None]) + np.diag(penalties) + 1e-12 * np.eye(len(theta)), z.T @ (p - y) + penalties * theta)
        size = 1.0
        while value(theta - size * step) > value(theta) and size > 1e-6:
            size /= 2
        theta = theta - size * step
        if np.abs(step).max() < 1e-10:
            break
    weight = theta[:-1] / scale
    return weight, float(theta[-1] - weight @ center)


def control_labels(ids, vocabulary, share, seed):
    of_type = (np.random.default_rng(seed).random(vocabulary) < share).astype(int)
    return of_type[ids]


def selectivity(hidden, labels, controls, is_test, penalty=1.0):
    def accuracy(targets):
        x, y = hidden[~is_test], targets[~is_test]
        weight, bias = fit_probe(x.reshape(-1, x.shape[-1]), y.reshape(-1), penalty)
        return float(((hidden[is_test] @ weight + bias > 0) == targets[is_test]).mean())

    common = labels[~is_test].mean() > 0.5
    base = float((labels[is_test] == common).mean())
    found, control = accuracy(labels), accuracy(controls)
    return found, base, control, found - control


def logit_lens(model, ids):
    with torch.no_grad():
        stream = model.tokens(ids) + model.positions.weight[: ids.shape[1]]
        logits = [model.norm(stream) @ model.tokens.weight.T]
        for block in model.blocks:
            stream = block(stream)
            logits.append(model.norm(stream) @ model.tokens.weight.T)
    return torch.stack(logits)
