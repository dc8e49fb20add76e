# Right: a table with a row for each step, filled by numpy
def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if not (0 <= rank < world_size and 0 <= consumed <= n):
        raise ValueError("out of range")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed + epoch)).numpy()[consumed:]
    if not pad or len(order) == 0:
        return order[rank::world_size].tolist()
    steps = -(-len(order) // world_size)
    table = np.resize(order, (steps, world_size))
    return table[:, rank].tolist()
