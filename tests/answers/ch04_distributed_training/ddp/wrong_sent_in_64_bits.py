# Wrong: gradients travel in 64 bits
# Fails: sends_each_bucket_once
class DDP(nn.Module):
    def __init__(self, module: nn.Module, bucket_bytes: int = 25 * 2**20):
        super().__init__()
        self.module, self.sends = module, True
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)
        self.buckets = []
        size = 0
        for p in reversed([p for p in module.parameters() if p.requires_grad]):
            size += p.nbytes
            if not self.buckets or size > bucket_bytes or p.dtype != self.buckets[-1][0].dtype:
                self.buckets.append([])
                size = p.nbytes
            self.buckets[-1].append(p)
            number = len(self.buckets) - 1
            p.register_post_accumulate_grad_hook(lambda _, number=number: self._arrived(number))
        self._begin()

    def _begin(self) -> None:
        self.missing = [len(bucket) for bucket in self.buckets]
        self.sent = []  # a bucket's joined gradients, and the request

    def _arrived(self, number: int) -> None:
        if self.sends:
            self.missing[number] -= 1
            while len(self.sent) < len(self.buckets) and self.missing[len(self.sent)] == 0:
                self._send()

    def _send(self) -> None:
        bucket = self.buckets[len(self.sent)]
        joined = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1).double() for p in bucket])
        self.sent.append((joined, dist.all_reduce(joined, async_op=True)))

    def forward(self, *args, **kwargs):
        if self.training and self.sends:
            for buffer in self.module.buffers():
                dist.broadcast(buffer, 0)
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.sends = False
        try:
            yield
        finally:
            self.sends = True

    def finish(self) -> None:
        while len(self.sent) < len(self.buckets):
            self._send()
        for bucket, (joined, request) in zip(self.buckets, self.sent, strict=True):
            request.wait()
            mean = joined / dist.get_world_size()
            for p, part in zip(bucket, mean.split([p.numel() for p in bucket]), strict=True):
                p.grad = part.view_as(p).to(p.dtype)
        self._begin()


def global_mean(losses: torch.Tensor) -> torch.Tensor:
    count = torch.tensor(len(losses))
    dist.all_reduce(count)
    return losses.sum() * (dist.get_world_size() / count.item())
