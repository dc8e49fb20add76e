# Right: no hooks: the part's forward is exchanged during the run, and torch.func makes the gradient
from contextlib import contextmanager


@contextmanager
def exchanged(model, name, change):
    part = model.get_submodule(name)
    original = part.forward
    part.forward = lambda *arguments: change(original(*arguments))
    try:
        yield
    finally:
        del part.forward


def record(model, ids, names):
    if not names:
        with torch.no_grad():
            return model(ids), {}
    first, *rest = names
    kept = {}

    def keep(output):
        kept[first] = output.detach().clone()
        return output

    with exchanged(model, first, keep):
        output, others = record(model, ids, rest)
    return output, others | kept


def patch(model, ids, name, values, where=...):
    def change(output):
        output = output + 0
        output[where] = values[where]
        return output

    with exchanged(model, name, change), torch.no_grad():
        return model(ids)


def recovered_share(patched, clean, corrupt, right, wrong):
    def difference(logits):
        return float((logits.gather(1, right[:, None]) - logits.gather(1, wrong[:, None])).mean())

    if difference(clean) == difference(corrupt):
        raise ValueError("nothing to recover")
    return (difference(patched) - difference(corrupt)) / (difference(clean) - difference(corrupt))


def attribution_patch(model, ids, name, values, score):
    _, kept = record(model, ids, [name])

    def shifted(delta):
        with exchanged(model, name, lambda output: output.detach() + delta):
            return score(model(ids)).sum()

    with torch.enable_grad():
        gradient = torch.func.grad(shifted)(torch.zeros_like(kept[name]))
    return ((values - kept[name]) * gradient).detach().sum(dim=-1)
