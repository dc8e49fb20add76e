# Right: scipy without derivatives of its own scaling, a permuted table, and models that end earlier
def fit_probe(hidden, labels, penalty=1.0):
    from scipy.optimize import minimize
    from scipy.special import expit

    x, y = np.asarray(hidden, dtype=float), np.asarray(labels, dtype=float)
    if y.all() or not y.any():
        raise ValueError("one class")
    scale = np.sqrt((x**2).mean())
    z = np.column_stack([x / scale, np.ones(len(x))])
    ridge = np.append(np.full(x.shape[1], penalty / scale**2), 0.0)

    def value(theta):
        logits = z @ theta
        return -(y * -np.logaddexp(0, -logits) + (1 - y) * -np.logaddexp(0, logits)).sum() + (ridge * theta**2).sum() / 2

    def slope(theta):
        return z.T @ (expit(z @ theta) - y) + ridge * theta

    def curve(theta):
        p = expit(z @ theta)
        return (z.T * (p * (1 - p))) @ z + np.diag(ridge)

    theta = minimize(value, np.zeros(z.shape[1]), jac=slope, hess=curve, method="trust-exact", options={"gtol": 1e-8, "maxiter": 500}).x
    return theta[:-1] / scale, float(theta[-1])


def control_labels(ids, vocabulary, share, seed):
    table = torch.rand(vocabulary, generator=torch.Generator().manual_seed(seed)).numpy() < share
    return np.take(table, ids).astype(np.int64)


def selectivity(hidden, labels, controls, is_test, penalty=1.0):
    hits = {}
    for name, targets in (("labels", labels), ("controls", controls)):
        train_x = np.concatenate([hidden[i] for i in range(len(hidden)) if not is_test[i]])
        train_y = np.concatenate([targets[i] for i in range(len(hidden)) if not is_test[i]])
        weight, bias = fit_probe(train_x, train_y, penalty)
        hits[name] = [bool(state @ weight + bias > 0) == bool(target) for i in range(len(hidden)) if is_test[i] for state, target in zip(hidden[i], targets[i])]
    ones = labels[np.logical_not(is_test)].mean()
    of_test = labels[is_test].mean()
    accuracy, control = np.mean(hits["labels"]), np.mean(hits["controls"])
    return accuracy, of_test if ones > 0.5 else 1 - of_test, control, accuracy - control


def logit_lens(model, ids):
    from copy import deepcopy

    shorter, logits = deepcopy(model), []
    while True:
        with torch.no_grad():
            logits.insert(0, shorter(ids))
        if not len(shorter.blocks):
            return torch.stack(logits)
        shorter.blocks = shorter.blocks[:-1]
