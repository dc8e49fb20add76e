# Wrong: the norm is computed in 32 bits, whatever the parameters have
# Fails: clips_by_the_global_norm
def shard_step(parameters, decays, state, lr, max_norm, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    rank, n = dist.get_rank(), dist.get_world_size()
    size = math.ceil(sum(p.numel() for p in parameters) / n)

    def flat(tensors):
        joined = torch.cat([tensor.reshape(-1) for tensor in tensors])
        return F.pad(joined, (0, n * size - len(joined)))

    with torch.no_grad():
        gradients = flat([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
        gradient = gradients.new_empty(size)
        dist.reduce_scatter_single(gradient, gradients)
        gradient /= n
        square = gradient.float().square().sum()
        dist.all_reduce(square)
        norm = square.sqrt()
        if norm > max_norm:
            gradient *= max_norm / norm

        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
        state["step"] += 1
        state["exp_avg"].mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
        state["exp_avg_sq"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        mean = state["exp_avg"] / (1 - betas[0] ** state["step"])
        square_mean = state["exp_avg_sq"] / (1 - betas[1] ** state["step"])

        own = slice(rank * size, (rank + 1) * size)
        shard = flat(parameters)[own]
        decay = flat([torch.full_like(p, flag) for p, flag in zip(parameters, decays, strict=True)])[own]
        shard = shard * (1 - lr * weight_decay * decay) - lr * mean / (square_mean.sqrt() + eps)
        everything = shard.new_empty(n * size)
        dist.all_gather_single(everything, shard)
        start = 0
        for p in parameters:
            p.copy_(everything[start : start + p.numel()].view(p.shape))
            start += p.numel()
    return norm.item()


def gather_state(parameters, state):
    found = [{} for _ in parameters]
    for name in ("exp_avg", "exp_avg_sq"):
        everything = state[name].new_empty(dist.get_world_size() * len(state[name]))
        dist.all_gather_single(everything, state[name])
        start = 0
        for p, entry in zip(parameters, found, strict=True):
            entry[name] = everything[start : start + p.numel()].view(p.shape)
            start += p.numel()
    return found


def zero_bytes(n_parameters, n_ranks, stage):
    shard = -(-n_parameters // n_ranks)
    held = [n_parameters if stage < first else shard for first in (3, 2, 1)]
    collectives = 3 if stage == 3 else 2
    return {
        "parameters": 2 * held[0],
        "gradients": 2 * held[1],
        "optimizer": 12 * held[2],
        "sent": 2 * collectives * (n_ranks - 1) * shard,
    }
