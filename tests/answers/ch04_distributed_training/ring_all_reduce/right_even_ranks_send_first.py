# Right: blocking calls only: even ranks send first, odd ones receive first
def ring_all_reduce(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    flat = tensor.flatten().clone()
    edges = [flat.numel() * i // n for i in range(n + 1)]

    def piece(i):
        return flat[edges[i % n] : edges[i % n + 1]]

    def pass_on(out, size):
        into = torch.empty(size, dtype=flat.dtype)
        if rank % 2 == 0:
            dist.send(out, (rank + 1) % n)
            dist.recv(into, (rank - 1) % n)
        else:
            dist.recv(into, (rank - 1) % n)
            dist.send(out, (rank + 1) % n)
        return into

    for step in range(n - 1):
        target = piece(rank - step - 1)
        target.add_(pass_on(piece(rank - step), target.numel()))
    for step in range(n - 1):
        target = piece(rank - step)
        target.copy_(pass_on(piece(rank + 1 - step), target.numel()))
    return flat.view(tensor.shape)
