# Wrong: x stays on ctx after the backward pass
# Fails: inner_tensors_are_not_kept
class Held:
    def __init__(self, tensor):
        self.tensor = tensor


def saved_bytes(run, parameters=()):
    parameters = list(parameters)
    own = {p.untyped_storage().data_ptr() for p in parameters}
    totals, counts = [0], {}

    def release(place, size):
        counts[place] -= 1
        if counts[place] == 0:
            del counts[place]
            totals.append(totals[-1] - size)

    def pack(tensor):
        held = Held(tensor.detach())
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in own:
            counts[place] = counts.get(place, 0) + 1
            if counts[place] == 1:
                totals.append(totals[-1] + size)
            weakref.finalize(held, release, place, size)
        return held

    with saved_tensors_hooks(pack, lambda held: held.tensor):
        result = run()
        answer = list(totals)
    del result
    return answer


class Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, x, dummy):
        ctx.function, ctx.state = function, torch.get_rng_state()
        ctx.x = x
        return function(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.x
        x = x.detach().requires_grad_(ctx.needs_input_grad[1])
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(ctx.state)
            y = ctx.function(x)
            torch.autograd.backward(y, gradient)
        return None, x.grad, None


def checkpoint(function, x):
    return Again.apply(function, x, torch.zeros(0, requires_grad=True))


def chunked_loss(hidden, weight, targets, n_chunks):
    rows = math.ceil(len(hidden) / n_chunks)
    n = (targets != -100).sum()
    total = 0.0
    for h, t in zip(hidden.split(rows), targets.split(rows), strict=True):
        total = total + checkpoint(lambda h, t=t: F.cross_entropy(h @ weight.T, t, reduction="sum"), h)
    return total / n
