# Wrong: parameters and buffers are those of state_dict, which leaves out buffers that are not persistent
# Fails: all_ranks_start_as_rank_0
class DDP(nn.Module):
    def __init__(self, module: nn.Module, bucket_bytes: int = 25 * 2**20):
        super().__init__()
        self.module = module
        self.sync = True
        with torch.no_grad():
            for t in module.state_dict().values():
                self.from_rank_0(t)
        self.buckets, size = [], 0
        for p in reversed([p for p in module.parameters() if p.requires_grad]):
            if self.buckets and self.buckets[-1][0].dtype == p.dtype and size + p.nbytes <= bucket_bytes:
                self.buckets[-1].append(p)
                size += p.nbytes
            else:
                self.buckets.append([p])
                size = p.nbytes
        self.bucket_of = {p: i for i, bucket in enumerate(self.buckets) for p in bucket}
        for p in self.bucket_of:
            p.register_post_accumulate_grad_hook(self.hook)
        self.reset()

    @staticmethod
    def from_rank_0(t):
        values = t.detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(values, 0)
        t.data.copy_(values)

    def reset(self):
        self.missing = [len(bucket) for bucket in self.buckets]
        self.sent = []

    def hook(self, p):
        if not self.sync:
            return
        self.missing[self.bucket_of[p]] -= 1
        while len(self.sent) < len(self.buckets) and self.missing[len(self.sent)] == 0:
            self.send()

    def send(self):
        bucket = self.buckets[len(self.sent)]
        joined = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten() for p in bucket])
        self.sent.append((joined, dist.all_reduce(joined, async_op=True)))

    def forward(self, *args, **kwargs):
        if self.training and self.sync:
            with torch.no_grad():
                for b in [b for name, b in self.module.named_buffers() if name in self.module.state_dict()]:
                    self.from_rank_0(b)
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        before, self.sync = self.sync, False
        try:
            yield
        finally:
            self.sync = before

    @torch.no_grad()
    def finish(self) -> None:
        while len(self.sent) < len(self.buckets):
            self.send()
        n = dist.get_world_size()
        for bucket, (joined, request) in zip(self.buckets, self.sent, strict=True):
            request.wait()
            for p, mean in zip(bucket, (joined / n).split([p.numel() for p in bucket]), strict=True):
                if p.grad is None:
                    p.grad = torch.empty_like(p)
                p.grad.copy_(mean.view(p.shape))
        self.reset()


def global_mean(losses: torch.Tensor) -> torch.Tensor:
    count = torch.tensor(len(losses))
    dist.all_reduce(count)
    return losses.sum() * (dist.get_world_size() / count.item())
