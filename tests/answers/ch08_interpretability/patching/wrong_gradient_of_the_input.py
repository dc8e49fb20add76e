# Wrong: where the part returns the tensor that it was given, the gradient is that of this tensor, and a road around the part counts
# Fails: what_is_recorded_stays
def record(model, ids, names):
    parts = {name: model.get_submodule(name) for name in names}
    kept, handles = {}, []

    def keeper(name):
        def hook(part, inputs, output):
            kept[name] = output.detach().clone()

        return hook

    try:
        for name, part in parts.items():
            handles.append(part.register_forward_hook(keeper(name)))
        with torch.no_grad():
            return model(ids), kept
    finally:
        for handle in handles:
            handle.remove()


def patch(model, ids, name, values, where=...):
    def hook(part, inputs, output):
        output = output.clone()
        output[where] = values[where].to(output)
        return output

    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        with torch.no_grad():
            return model(ids)
    finally:
        handle.remove()


def recovered_share(patched, clean, corrupt, right, wrong):
    def mean(logits):
        rows = torch.arange(len(logits))
        return (logits[rows, right].double() - logits[rows, wrong].double()).mean().item()

    top, bottom = mean(clean), mean(corrupt)
    if top == bottom:
        raise ValueError("clean and corrupt have the same mean difference")
    return (mean(patched) - bottom) / (top - bottom)


def attribution_patch(model, ids, name, values, score):
    leaves, shared = [], []

    def hook(part, inputs, output):
        if output.dim() > 2 and inputs[0] is output and output.requires_grad:
            leaves.append(output)
            return None
        leaves.append(output.detach().clone().requires_grad_())
        return leaves[-1].clone()

    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        with torch.enable_grad():
            result = score(model(ids))
            (gradient,) = torch.autograd.grad(result, leaves)
    finally:
        handle.remove()
    return ((values - leaves[0]) * gradient).sum(-1).detach()
