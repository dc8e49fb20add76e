# Wrong: one hundred steps of gradient descent, which is not enough
# Fails: agrees_with_the_library
def fit_probe(hidden, labels, penalty=1.0):
    from scipy.special import expit

    x, y = np.asarray(hidden, dtype=float), np.asarray(labels, dtype=float)
    if y.min() == y.max():
        raise ValueError("one class")
    weight, bias = np.zeros(x.shape[1]), 0.0
    for _ in range(100):
        error = expit(x @ weight + bias) - y
        weight = weight - 0.1 / len(x) * (x.T @ error + penalty * weight)
        bias = bias - 0.1 / len(x) * error.sum()
    return weight, float(bias)


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
