# Right: batch_isend_irecv, on a tensor that is padded to a multiple of the number of ranks
def ring_all_reduce(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    flat = tensor.reshape(-1)
    size = -(-flat.numel() // n)
    padded = torch.zeros(n, size, dtype=tensor.dtype)
    padded.view(-1)[: flat.numel()] = flat

    def shift(chunk):
        received = torch.empty_like(chunk)
        operations = [
            dist.P2POp(dist.isend, chunk, (rank + 1) % n),
            dist.P2POp(dist.irecv, received, (rank - 1) % n),
        ]
        for request in dist.batch_isend_irecv(operations):
            request.wait()
        return received

    moving = padded[rank].clone()
    for step in range(1, n):
        moving = shift(moving) + padded[(rank - step) % n]
    padded[(rank + 1) % n] = moving
    for step in range(n - 1):
        moving = shift(moving)
        padded[(rank - step) % n] = moving
    return padded.view(-1)[: flat.numel()].clone().reshape(tensor.shape)
