# Wrong: scikit-learn does it
# Fails: agrees_with_the_library
def fit_probe(hidden, labels, penalty=1.0):
    from sklearn.linear_model import LogisticRegression

    found = LogisticRegression(C=1 / penalty, max_iter=10000, tol=1e-8).fit(hidden, np.asarray(labels, dtype=int))
    return found.coef_[0], float(found.intercept_[0])


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
