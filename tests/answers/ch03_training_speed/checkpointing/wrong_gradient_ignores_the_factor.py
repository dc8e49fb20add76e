# Wrong: gradients from the forward pass, whatever the loss is multiplied by
# Fails: loss_in_chunks_is_the_loss
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


class Fixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, n_chunks):
        size = math.ceil(len(hidden) / n_chunks)
        h, w = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
        n, total = (targets != -100).sum(), 0.0
        for begin in range(0, len(hidden), size):
            with torch.enable_grad():
                part = F.cross_entropy(h[begin : begin + size] @ w.T, targets[begin : begin + size], reduction="sum") / n
            part.backward()
            total = total + part.detach()
        ctx.save_for_backward(h.grad, w.grad)
        return total

    @staticmethod
    def backward(ctx, gradient):
        needs = ctx.needs_input_grad
        return *(g if need else None for g, need in zip(ctx.saved_tensors, needs)), None, None


def chunked_loss(hidden, weight, targets, n_chunks):
    return Fixed.apply(hidden, weight, targets, n_chunks)
