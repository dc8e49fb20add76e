# Wrong: returns a tensor
# Fails: together_each_sample_once, deals_ten_to_four
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
        missing = -len(rest) % world_size
        rest = rest + (rest * missing)[:missing]
    return torch.tensor(rest[rank::world_size])
