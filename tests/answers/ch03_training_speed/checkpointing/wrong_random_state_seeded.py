# Wrong: seeds both calls alike, and so all segments
# Fails: draws_the_same_numbers
def saved_bytes(run, parameters=()):
    free = {p.untyped_storage().data_ptr() for p in parameters}
    living = {}
    totals = [0]

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor.detach()

    def release(address, size):
        living[address] -= 1
        if living[address] == 0:
            totals.append(totals[-1] - size)

    def pack(tensor):
        held = Held(tensor)
        storage = tensor.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if address not in free:
            if living.get(address, 0) == 0:
                totals.append(totals[-1] + size)
            living[address] = living.get(address, 0) + 1
            weakref.finalize(held, release, address, size)
        return held

    with saved_tensors_hooks(pack, lambda held: held.tensor):
        result = run()
        measured = list(totals)
    return measured


class Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, x, dummy):
        ctx.function = function
        torch.manual_seed(0)
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
    size = math.ceil(len(hidden) / n_chunks)
    total = 0.0
    for begin in range(0, len(hidden), size):
        wanted = targets[begin : begin + size]
        part = lambda rows, wanted=wanted: F.cross_entropy(rows @ weight.T, wanted, reduction="sum")
        total = total + checkpoint(part, hidden[begin : begin + size])
    return total / (targets != -100).sum()
