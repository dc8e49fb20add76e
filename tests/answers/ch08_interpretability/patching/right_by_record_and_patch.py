# Right: attribution_patch begins with record, and multiplies by the differences along a line: torch.func.jvp
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
    stacked = torch.stack([patched, clean, corrupt]).double()
    rows = torch.arange(len(right))
    patched, clean, corrupt = (stacked[:, rows, right] - stacked[:, rows, wrong]).mean(dim=1).tolist()
    if clean - corrupt == 0:
        raise ValueError("clean and corrupt are the same")
    return 1 - (clean - patched) / (clean - corrupt)


def attribution_patch(model, ids, name, values, score):
    vectors = record(model, ids, [name])[1][name]
    place = vectors.clone().requires_grad_()
    with torch.enable_grad():
        handle = model.get_submodule(name).register_forward_hook(lambda part, inputs, output: place * 1)
        try:
            total = score(model(ids)).sum()
        finally:
            handle.remove()
        total.backward(inputs=[place])
    return (values * place.grad).sum(-1) - (vectors * place.grad).sum(-1)
