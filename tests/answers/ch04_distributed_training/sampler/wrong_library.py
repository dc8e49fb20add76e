# Wrong: wraps torch's sampler
# Fails: agrees_with_torch, none_lost_and_none_twice
def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if rank not in range(world_size):
        raise ValueError("rank")
    if consumed not in range(n + 1):
        raise ValueError("consumed")
    if consumed == 0 and pad and n:
        sampler = torch.utils.data.distributed.DistributedSampler(range(n), world_size, rank, seed=seed)
        sampler.set_epoch(epoch)
        return list(sampler)
    generator = torch.Generator()
    generator.manual_seed(seed + epoch)
    order = torch.randperm(n, generator=generator)
    rest = order[consumed:].tolist()
    if pad and rest:
        missing = -len(rest) % world_size
        rest = rest + (rest * missing)[:missing]
    return rest[rank::world_size]
