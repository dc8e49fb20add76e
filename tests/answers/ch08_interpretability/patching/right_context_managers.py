# Right: an ExitStack of handles, a mask, log-probabilities, and a leaf of zeros that is added
def record(model, ids, names):
    from contextlib import ExitStack

    kept = {}
    with ExitStack() as stack, torch.no_grad():
        for name in names:
            def keep(part, inputs, output, name=name):
                kept[name] = output.detach().clone()

            stack.enter_context(model.get_submodule(name).register_forward_hook(keep))
        return model(ids), kept


def patch(model, ids, name, values, where=...):
    def replace(part, inputs, output):
        inside = torch.zeros_like(output, dtype=torch.bool)
        inside[where] = True
        return torch.where(inside, values, output)

    with torch.no_grad(), model.get_submodule(name).register_forward_hook(replace):
        return model(ids)


def recovered_share(patched, clean, corrupt, right, wrong):
    rows = range(len(right))
    means = []
    for logits in (patched, clean, corrupt):
        means.append(sum(float(logits[i, right[i]]) - float(logits[i, wrong[i]]) for i in rows) / len(right))
    if means[1] == means[2]:
        raise ValueError("the corruption has no effect")
    return (means[0] - means[2]) / (means[1] - means[2])


def attribution_patch(model, ids, name, values, score):
    seen, added = [], []

    def add(part, inputs, output):
        seen.append(output.detach().clone())
        added.append(torch.zeros_like(output, requires_grad=True))
        return output.detach() + added[0]

    with torch.enable_grad(), model.get_submodule(name).register_forward_hook(add):
        result = score(model(ids))
    (gradient,) = torch.autograd.grad(result, added)
    return torch.einsum("...d,...d->...", values - seen[0], gradient)
