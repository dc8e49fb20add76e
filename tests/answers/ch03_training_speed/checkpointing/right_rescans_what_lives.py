# Right: keeps weak references to the objects and adds up anew after each change; the loss without cross_entropy
class Box:
    pass


def saved_bytes(run, parameters=()):
    owned = {p.untyped_storage().data_ptr() for p in parameters}
    boxes, curve = [], [0]

    def total():
        storages = {}
        for box in [ref() for ref in boxes]:
            if box is not None:
                s = box.content.untyped_storage()
                storages[s.data_ptr()] = s.nbytes()
        return sum(size for place, size in storages.items() if place not in owned)

    def changed(ref):
        boxes.remove(ref)
        curve.append(total())

    def wrap(tensor):
        box = Box()
        box.content = tensor.detach()
        boxes.append(weakref.ref(box, changed))
        curve.append(total())
        return box

    with saved_tensors_hooks(wrap, lambda box: box.content):
        answer = run()
        curve.append(total())
        final = curve[:]
    return final


class Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, x, dummy):
        ctx.function = function
        ctx.state = torch.get_rng_state()
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.saved_tensors[0].detach()
        x.requires_grad_(ctx.needs_input_grad[1])
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.state)
        with torch.enable_grad():
            y = ctx.function(x)
        torch.set_rng_state(now)
        torch.autograd.backward(y, gradient)
        return None, x.grad, None


def checkpoint(function, x):
    return Again.apply(function, x, torch.zeros((), requires_grad=True))


def chunked_loss(hidden, weight, targets, n_chunks):
    rows = (len(hidden) + n_chunks - 1) // n_chunks
    sums = []
    for h, t in zip(torch.split(hidden, rows), torch.split(targets, rows)):
        def one(h, t=t):
            logits = torch.einsum("nd,vd->nv", h, weight)
            chosen = logits.gather(1, t.clamp_min(0).unsqueeze(1)).squeeze(1)
            return ((logits.logsumexp(1) - chosen) * t.ne(-100)).sum()

        sums.append(checkpoint(one, h))
    return torch.stack(sums).sum() / targets.ne(-100).sum()
