# Right: objects that count themselves out in __del__; storages known by the address of their C++ object
class Entry:
    def __init__(self, tensor, book):
        self.tensor, self.book = tensor.detach(), book
        self.key = tensor.untyped_storage()._cdata
        self.size = tensor.untyped_storage().nbytes()
        book.enter(self)

    def __del__(self):
        self.book.leave(self)


class Book:
    def __init__(self, parameters):
        self.parameters = [p.untyped_storage() for p in parameters]
        self.ignored = {s._cdata for s in self.parameters}
        self.count, self.curve = {}, [0]

    def enter(self, entry):
        n = self.count.get(entry.key, 0)
        self.count[entry.key] = n + 1
        new = n == 0 and entry.key not in self.ignored
        self.curve.append(self.curve[-1] + (entry.size if new else 0))

    def leave(self, entry):
        self.count[entry.key] -= 1
        if self.count[entry.key] == 0:
            del self.count[entry.key]
            if entry.key not in self.ignored:
                self.curve.append(self.curve[-1] - entry.size)


def saved_bytes(run, parameters=()):
    book = Book(parameters)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: Entry(tensor, book), lambda entry: entry.tensor):
        result = run()
    curve = tuple(book.curve)
    return list(curve)


class _Segment(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, token, function):
        ctx.function, ctx.x, ctx.needs = function, x.detach(), x.requires_grad
        ctx.rng = torch.random.get_rng_state()
        with torch.no_grad():
            return function(x.detach())

    @staticmethod
    def backward(ctx, dy):
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(ctx.rng)
            leaf = ctx.x.clone().requires_grad_(ctx.needs)
            with torch.enable_grad():
                (ctx.function(leaf) * dy).sum().backward()
        ctx.x = None
        return leaf.grad, None, None


def checkpoint(function, x):
    return _Segment.apply(x, torch.ones(1).requires_grad_(), function)


def chunked_loss(hidden, weight, targets, n_chunks):
    size = math.ceil(len(hidden) / n_chunks)
    total = 0.0
    for begin in range(0, len(hidden), size):
        wanted = targets[begin : begin + size]
        part = lambda rows, wanted=wanted: F.cross_entropy(rows @ weight.T, wanted, reduction="sum")
        total = total + checkpoint(part, hidden[begin : begin + size])
    return total / (targets != -100).sum()
