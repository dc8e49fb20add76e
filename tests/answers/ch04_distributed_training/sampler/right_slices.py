# Right: the whole order is repeated often enough, then cut
def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if rank not in range(world_size):
        raise ValueError("rank")
    if consumed not in range(n + 1):
        raise ValueError("consumed")
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator)
    rest = order[consumed:].tolist()
    if pad and rest:
        wanted = math.ceil(len(rest) / world_size) * world_size
        rest = (rest * math.ceil(wanted / len(rest)))[:wanted]
    return rest[rank::world_size]
