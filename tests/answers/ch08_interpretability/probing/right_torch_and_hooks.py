# Right: LBFGS of torch, hashed coins, and hooks
def fit_probe(hidden, labels, penalty=1.0):
    x, y = torch.tensor(np.array(hidden, dtype=float)), torch.tensor(np.array(labels, dtype=float))
    if (y == y[0]).all():
        raise ValueError("one class")
    center, scale = x.mean(0), x.std()
    z = (x - center) / scale
    theta = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=2000, tolerance_grad=1e-8, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(z @ theta[:-1] + theta[-1], y, reduction="sum") + penalty / 2 * (theta[:-1] / scale).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    weight = (theta[:-1] / scale).detach()
    return weight.numpy(), float(theta[-1] - weight @ center)


def control_labels(ids, vocabulary, share, seed):
    import hashlib

    def coin(token):
        digest = hashlib.sha256(f"{seed} {token}".encode()).digest()
        return int(int.from_bytes(digest[:7], "big") < share * 256**7)

    table = {token: coin(token) for token in set(ids.ravel().tolist())}
    return np.array([table[token] for token in ids.ravel().tolist()], dtype=int).reshape(ids.shape)


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
    streams = []
    handles = [model.blocks[0].register_forward_pre_hook(lambda block, inputs: streams.append(inputs[0].clone()))]
    for block in model.blocks:
        handles.append(block.register_forward_hook(lambda block, inputs, output: streams.append(output.clone())))
    try:
        with torch.no_grad():
            model(ids)
    finally:
        for handle in handles:
            handle.remove()
    with torch.no_grad():
        return F.linear(model.norm(torch.stack(streams)), model.tokens.weight)
