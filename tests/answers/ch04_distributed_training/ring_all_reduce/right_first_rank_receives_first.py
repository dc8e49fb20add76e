# Right: recursive, one rank breaks the ring of waiting, and the chunk that a rank completes is its own
def ring_all_reduce(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    chunks = [c.clone() for c in torch.tensor_split(tensor.flatten(), n)]

    def exchange(send, receive):
        got = torch.zeros_like(chunks[receive % n])
        if rank == 0:
            dist.recv(got, n - 1)
        dist.send(chunks[send % n], (rank + 1) % n)
        if rank != 0:
            dist.recv(got, rank - 1)
        return got

    def reduce(step):
        if step < n:
            got = exchange(rank - step, rank - step - 1)
            chunks[(rank - step - 1) % n] = chunks[(rank - step - 1) % n] + got
            reduce(step + 1)

    def gather(step):
        if step < n - 1:
            chunks[(rank - step - 1) % n] = exchange(rank - step, rank - step - 1)
            gather(step + 1)

    reduce(1)
    gather(0)
    return torch.cat(chunks).reshape(tensor.shape)
