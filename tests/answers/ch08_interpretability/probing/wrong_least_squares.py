# Wrong: least squares instead of log losses
# Fails: probe_by_hand, agrees_with_the_library
def fit_probe(hidden, labels, penalty=1.0):
    x, y = np.asarray(hidden, dtype=float), 2 * np.asarray(labels, dtype=float) - 1
    if y.min() == y.max():
        raise ValueError("one class")
    z = x - x.mean(0)
    weight = np.linalg.solve(z.T @ z + penalty * np.eye(x.shape[1]), z.T @ (y - y.mean()))
    return weight, float(y.mean() - x.mean(0) @ weight)


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
