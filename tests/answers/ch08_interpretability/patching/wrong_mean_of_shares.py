# Wrong: the share of each row, and then the mean
# Fails: share_by_hand, shares_of_any_size
def record(model, ids, names):
    kept, handles = {}, []
    try:
        for name in names:
            part = model.get_submodule(name)
            handles.append(part.register_forward_hook(lambda part, inputs, output, name=name: kept.update({name: output.clone()})))
        with torch.no_grad():
            return model(ids), kept
    finally:
        for handle in handles:
            handle.remove()


def patch(model, ids, name, values, where=...):
    def replace(part, inputs, output):
        output = output.clone()
        output[where] = values[where]
        return output

    with torch.no_grad(), model.get_submodule(name).register_forward_hook(replace):
        return model(ids)


def recovered_share(patched, clean, corrupt, right, wrong):
    rows = torch.arange(len(right))
    patched, clean, corrupt = (logits[rows, right] - logits[rows, wrong] for logits in (patched, clean, corrupt))
    if clean.mean() == corrupt.mean():
        raise ValueError
    return float(((patched - corrupt) / (clean - corrupt)).mean())


def attribution_patch(model, ids, name, values, score):
    leaf = None

    def cut(part, inputs, output):
        nonlocal leaf
        leaf = output.detach().clone().requires_grad_()
        return leaf.clone()

    with torch.enable_grad(), model.get_submodule(name).register_forward_hook(cut):
        (gradient,) = torch.autograd.grad(score(model(ids)), leaf)
    return ((values - leaf.detach()) * gradient).sum(-1)
