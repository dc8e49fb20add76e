# Right: gradients live in one long-lived tensor for each bucket; the library divides
class DDP(nn.Module):
    def __init__(self, module, bucket_bytes=25 * 2**20):
        super().__init__()
        self.module = module
        self.quiet = False
        for state in [*module.parameters(), *module.buffers()]:
            dist.broadcast(state.data, src=0)
        groups, room = [], 0
        for p in list(module.parameters())[::-1]:
            if not p.requires_grad:
                continue
            if not groups or p.nbytes > room or groups[-1][-1].dtype is not p.dtype:
                groups.append([])
                room = bucket_bytes
            groups[-1].append(p)
            room -= p.nbytes
        self.groups = groups
        self.joined = [torch.zeros(sum(p.numel() for p in g), dtype=g[0].dtype) for g in groups]
        self.place = {p: i for i, g in enumerate(groups) for p in g}
        for p in self.place:
            p.register_post_accumulate_grad_hook(self.on_gradient)
        self.reset()

    def reset(self):
        self.arrived, self.requests = set(), []

    def on_gradient(self, p):
        if self.quiet:
            return
        self.arrived.add(p)
        while len(self.requests) < len(self.groups) and self.arrived.issuperset(self.groups[len(self.requests)]):
            self.launch()

    def launch(self):
        i = len(self.requests)
        parts = self.joined[i].split([p.numel() for p in self.groups[i]])
        for p, part in zip(self.groups[i], parts):
            if p.grad is None:
                part.zero_()
            elif p.grad.data_ptr() != part.data_ptr():
                part.copy_(p.grad.flatten())
            p.grad = part.view(p.shape)
        self.requests.append(dist.all_reduce(self.joined[i], dist.ReduceOp.AVG, async_op=True))

    def forward(self, *args, **kwargs):
        if self.training and not self.quiet:
            requests = [dist.broadcast(b, 0, async_op=True) for b in self.module.buffers()]
            for request in requests:
                request.wait()
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self):
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    def finish(self):
        while len(self.requests) < len(self.groups):
            self.launch()
        for request in self.requests:
            request.wait()
        self.reset()


def global_mean(losses):
    rows = torch.full((), float(losses.numel()), dtype=torch.float64)
    dist.all_reduce(rows, dist.ReduceOp.AVG)
    return (losses / float(rows)).sum()
