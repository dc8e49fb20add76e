# Wrong: seeds and uses torch's global generator
# Fails: uses_no_other_generator
def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if rank not in range(world_size):
        raise ValueError("rank")
    if consumed not in range(n + 1):
        raise ValueError("consumed")
    torch.manual_seed(seed + epoch)
    order = torch.randperm(n)
    rest = order[consumed:].tolist()
    if pad and rest:
        missing = -len(rest) % world_size
        rest = rest + (rest * missing)[:missing]
    return rest[rank::world_size]
