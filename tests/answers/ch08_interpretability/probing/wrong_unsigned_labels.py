# Wrong: 2 y - 1 wraps round for unsigned labels
# Fails: agrees_with_the_library
from scipy.optimize import minimize
from scipy.special import expit


def fit_probe(hidden, labels, penalty=1.0):
    y = np.asarray(labels) * 1
    y = (2 * y - 1).astype(float) / 2 + 0.5
    if y.min() == y.max():
        raise ValueError("all labels are equal")
    h = np.asarray(hidden, dtype=np.float64)
    centre, scale = h.mean(0), h.std() or 1.0
    h = (h - centre) / scale

    def loss(v):
        z = h @ v[:-1] + v[-1]
        p = expit(z)
        value = np.logaddexp(0, z).sum() - y @ z + penalty / 2 / scale**2 * (v[:-1] @ v[:-1])
        return value, np.append(h.T @ (p - y) + penalty / scale**2 * v[:-1], (p - y).sum())

    v = minimize(loss, np.zeros(h.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 20000, "maxfun": 40000, "ftol": 1e-14, "gtol": 1e-9}).x
    return v[:-1] / scale, float(v[-1] - centre @ v[:-1] / scale)


def control_labels(ids, vocabulary, share, seed):
    table = (np.random.default_rng(seed).random(vocabulary) < share).astype(int)
    return table[ids]


def selectivity(hidden, labels, controls, is_test, penalty=1.0):
    train, test = hidden[~is_test].reshape(-1, hidden.shape[-1]), hidden[is_test].reshape(-1, hidden.shape[-1])

    def accuracy(targets):
        weights, bias = fit_probe(train, targets[~is_test].ravel(), penalty)
        return float(((test @ weights + bias > 0) == targets[is_test].ravel()).mean())

    common = labels[~is_test].mean() > 0.5
    first, base, second = accuracy(labels), float((labels[is_test] == common).mean()), accuracy(controls)
    return first, base, second, first - second


@torch.no_grad()
def logit_lens(model, ids):
    streams = [model.tokens(ids) + model.positions.weight[: ids.shape[1]]]
    for block in model.blocks:
        streams.append(block(streams[-1]))
    return model.norm(torch.stack(streams)) @ model.tokens.weight.T
