# Wrong: rank world_size is read from the position of rank 0
# Fails: refuses_what_is_out_of_range
def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if consumed not in range(n + 1):
        raise ValueError("consumed")
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator)
    rest = order[consumed:].tolist()
    if pad and rest:
        missing = -len(rest) % world_size
        rest = rest + (rest * missing)[:missing]
    return rest[rank::world_size]
