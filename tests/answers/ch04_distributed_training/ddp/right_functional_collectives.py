# Right: functional collectives, which return a new tensor, and a class for the buckets
from torch.distributed import _functional_collectives as functional


class Bucket:
    def __init__(self, room, dtype):
        self.room, self.dtype, self.parameters = room, dtype, []
        self.reset()

    def reset(self):
        self.left, self.result = len(self.parameters), None

    def add(self, p):
        self.parameters.append(p)
        self.room -= p.nbytes
        self.left += 1

    def send(self):
        flat = torch.cat([torch.zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.ravel() for p in self.parameters])
        self.result = functional.all_reduce(flat, "sum", dist.group.WORLD)

    def receive(self):
        mean = functional.wait_tensor(self.result) / dist.get_world_size()
        start = 0
        for p in self.parameters:
            p.grad = mean[start : start + p.numel()].view(p.shape).clone()
            start += p.numel()
        self.reset()


class DDP(nn.Module):
    def __init__(self, module, bucket_bytes=25 * 2**20):
        super().__init__()
        self.module = module
        self.syncing = [True]
        for tensor in [*module.parameters(), *module.buffers()]:
            copy = tensor.detach().clone()
            dist.broadcast(copy, 0)
            tensor.data.copy_(copy)
        self.buckets = []
        for p in reversed(list(module.parameters())):
            if p.requires_grad:
                if not self.buckets or self.buckets[-1].room < p.nbytes or self.buckets[-1].dtype != p.dtype:
                    self.buckets.append(Bucket(bucket_bytes, p.dtype))
                self.buckets[-1].add(p)
                p.register_post_accumulate_grad_hook(self.hook(self.buckets[-1]))

    def hook(self, bucket):
        def arrived(_):
            if self.syncing[-1]:
                bucket.left -= 1
                self.send_complete()

        return arrived

    def send_complete(self):
        for bucket in self.buckets:
            if bucket.result is None:
                if bucket.left > 0:
                    break
                bucket.send()

    def forward(self, *args, **kwargs):
        if self.training and self.syncing[-1]:
            for buffer in self.module.buffers():
                dist.broadcast(buffer, 0)
        return self.module(*args, **kwargs)

    @contextmanager
    def no_sync(self):
        self.syncing.append(False)
        try:
            yield
        finally:
            self.syncing.pop()

    def finish(self):
        for bucket in self.buckets:
            bucket.left = 0
        self.send_complete()
        for bucket in self.buckets:
            bucket.receive()


def global_mean(losses):
    (rows,) = functional.all_reduce(torch.tensor([float(len(losses))]), "sum", dist.group.WORLD).tolist()
    return losses.sum() / rows * dist.get_world_size()
