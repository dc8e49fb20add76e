# Right: divides before it sends, and a callback of the request's future writes the gradients
class DDP(nn.Module):
    def __init__(self, module, bucket_bytes=25 * 2**20):
        super().__init__()
        self.module, self.enabled, self.n = module, True, dist.get_world_size()
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor, 0)
        trained = [p for p in module.parameters() if p.requires_grad][::-1]
        self.buckets, current = [], []
        for p in trained:
            if current and (p.dtype != current[0].dtype or sum(q.nbytes for q in [*current, p]) > bucket_bytes):
                self.buckets.append(current)
                current = []
            current.append(p)
        if current:
            self.buckets.append(current)
        self.waiting, self.next, self.futures = [set(b) for b in self.buckets], 0, []
        for bucket, waiting in zip(self.buckets, self.waiting):
            for p in bucket:
                p.register_post_accumulate_grad_hook(lambda p, waiting=waiting: self.mark(p, waiting))

    def mark(self, p, waiting):
        if not self.enabled:
            return
        waiting.discard(p)
        while self.next < len(self.buckets) and not self.waiting[self.next]:
            self.send_next()

    def send_next(self):
        bucket = self.buckets[self.next]
        pieces = []
        for p in bucket:
            gradient = p.grad if p.grad is not None else torch.zeros(p.shape, dtype=p.dtype)
            pieces.append(gradient.contiguous().view(-1) / self.n)
        flat = torch.cat(pieces)
        future = dist.all_reduce(flat, async_op=True).get_future()
        self.futures.append((future, flat, bucket))
        self.next += 1

    def forward(self, *args, **kwargs):
        if self.module.training and self.enabled:
            for buffer in self.module.buffers():
                dist.broadcast(buffer, 0)
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self):
        self.enabled = False
        try:
            yield
        finally:
            self.enabled = True

    def finish(self):
        while self.next < len(self.buckets):
            self.send_next()
        for future, flat, bucket in self.futures:
            future.wait()
            offset = 0
            for p in bucket:
                mean = flat[offset : offset + p.numel()].reshape(p.shape)
                if p.grad is None:
                    p.grad = mean.clone()
                else:
                    p.grad.copy_(mean)
                offset += p.numel()
        self.futures, self.next = [], 0
        for bucket, waiting in zip(self.buckets, self.waiting):
            waiting.update(bucket)


def global_mean(losses):
    n = torch.tensor([losses.shape[0]])
    dist.all_reduce(n)
    share = losses.shape[0] / n.item() * dist.get_world_size()
    return losses.mean() * share if losses.shape[0] else losses.sum()
