# Wrong: the order is kept, whatever the epoch
# Fails: together_each_sample_once
KEPT = {}


def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if rank not in range(world_size):
        raise ValueError("rank")
    if consumed not in range(n + 1):
        raise ValueError("consumed")
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    if n not in KEPT:
        KEPT[n] = torch.randperm(n, generator=generator)
    order = KEPT[n]
    rest = order[consumed:].tolist()
    if pad and rest:
        missing = -len(rest) % world_size
        rest = rest + (rest * missing)[:missing]
    return rest[rank::world_size]
