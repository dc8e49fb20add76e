# Wrong: whole numbers are added in float64
# Fails: any_shape_and_type
def ring_all_reduce(tensor: torch.Tensor) -> torch.Tensor:
    rank, n = dist.get_rank(), dist.get_world_size()
    result = tensor.detach().clone(memory_format=torch.contiguous_format)
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
        mine.copy_(mine.double() + received.double())
    for step in range(n - 1):
        requests = [
            dist.isend(chunks[(rank + 1 - step) % n], after),
            dist.irecv(chunks[(rank - step) % n], before),
        ]
        for request in requests:
            request.wait()
    return result
