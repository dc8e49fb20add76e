# Wrong: shares are cut off at 0 and 1
# Fails: shares_of_any_size
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
    def difference(logits):
        return float((logits.gather(1, right[:, None]) - logits.gather(1, wrong[:, None])).mean())

    if difference(clean) == difference(corrupt):
        raise ValueError("nothing to recover")
    return min(1.0, max(0.0, (difference(patched) - difference(corrupt)) / (difference(clean) - difference(corrupt))))


def attribution_patch(model, ids, name, values, score):
    leaf = None

    def cut(part, inputs, output):
        nonlocal leaf
        leaf = output.detach().clone().requires_grad_()
        return leaf.clone()

    with torch.enable_grad(), model.get_submodule(name).register_forward_hook(cut):
        (gradient,) = torch.autograd.grad(score(model(ids)), leaf)
    return ((values - leaf.detach()) * gradient).sum(-1)
