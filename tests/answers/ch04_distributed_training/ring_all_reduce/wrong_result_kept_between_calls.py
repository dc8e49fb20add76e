# Wrong: the result of an earlier call with the same shape and type is overwritten
# Fails: leaves_the_argument_alone
def ring_all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    rank, n = dist.get_rank(), dist.get_world_size()
    buffers = ring_all_reduce.__dict__.setdefault("buffers", {})
    key = (tuple(tensor.shape), tensor.dtype)
    if key not in buffers:
        buffers[key] = torch.empty(tensor.shape, dtype=tensor.dtype)
    result = buffers[key]
    result.copy_(tensor)
    if n == 1:
        return result
    chunks = list(result.view(-1).tensor_split(n))
    after, before = (rank + 1) % n, (rank - 1) % n
    for step in range(n - 1):
        send = chunks[(rank - step) % n]
        mine = chunks[(rank - step - 1) % n]
        received = torch.empty_like(mine)
        requests = [dist.isend(send, after), dist.irecv(received, before)]
        for request in requests:
            request.wait()
        mine += received
    for step in range(n - 1):
        requests = [
            dist.isend(chunks[(rank + 1 - step) % n], after),
            dist.irecv(chunks[(rank - step) % n], before),
        ]
        for request in requests:
            request.wait()
    return result
