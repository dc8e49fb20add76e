# Right: walks over positions and takes them modulo what remains
def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if rank < 0 or rank >= world_size:
        raise ValueError(f"{rank=}")
    if consumed < 0 or consumed > n:
        raise ValueError(f"{consumed=}")
    g = torch.Generator().manual_seed(seed + epoch)
    order = torch.randperm(n, generator=g)
    left = n - consumed
    if left == 0:
        return []
    end = left + (-left) % world_size if pad else left
    return [int(order[consumed + position % left]) for position in range(rank, end, world_size)]
