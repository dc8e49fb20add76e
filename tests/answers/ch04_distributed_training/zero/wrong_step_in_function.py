# Wrong: the steps are counted in an attribute of the function, which all trainings share
# Fails: any_ranks_train_like_adamw
def shard_step(parameters, decays, state, lr, max_norm, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    rank, n = dist.get_rank(), dist.get_world_size()
    total = sum(p.numel() for p in parameters)
    size = -(-total // n)
    pad = n * size - total
    with torch.no_grad():
        join = lambda parts: F.pad(torch.cat([part.reshape(-1) for part in parts]), (0, pad))
        grads = join([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
        g = torch.empty(size, dtype=grads.dtype)
        dist.reduce_scatter_single(g, grads)
        g /= n
        square = (g * g).sum().reshape(1)
        dist.all_reduce(square)
        norm = square.sqrt().item()
        if norm > max_norm:
            g *= max_norm / norm
        own = slice(rank * size, (rank + 1) * size)
        w = join(parameters)[own].clone()
        flags = join([torch.full_like(p, float(d)) for p, d in zip(parameters, decays, strict=True)])[own]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(g), exp_avg_sq=torch.zeros_like(g))
        shard_step.t = 1 if state["step"] == 0 else shard_step.t + 1
        t = state["step"] = shard_step.t
        m, v = state["exp_avg"], state["exp_avg_sq"]
        m.mul_(betas[0]).add_(g, alpha=1 - betas[0])
        v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        w *= 1 - lr * weight_decay * flags
        w -= lr * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
        whole = torch.empty(n * size, dtype=w.dtype)
        dist.all_gather_single(whole, w)
        for p, new in zip(parameters, whole[:total].split([p.numel() for p in parameters]), strict=True):
            p.copy_(new.view(p.shape))
    return norm


def gather_state(parameters, state):
    n = dist.get_world_size()
    sizes = [p.numel() for p in parameters]
    found = [{} for _ in parameters]
    for name in ("exp_avg", "exp_avg_sq"):
        whole = torch.empty(n * len(state[name]), dtype=state[name].dtype)
        dist.all_gather_single(whole, state[name])
        for entry, part, p in zip(found, whole[: sum(sizes)].split(sizes), parameters, strict=True):
            entry[name] = part.view(p.shape).clone()
    return found


def zero_bytes(n_parameters, n_ranks, stage):
    shard = -(-n_parameters // n_ranks)
    held = lambda first: shard if stage >= first else n_parameters
    return {
        "parameters": 2 * held(3), "gradients": 2 * held(2), "optimizer": 12 * held(1),
        "sent": 2 * (n_ranks - 1) * shard * (3 if stage == 3 else 2),
    }
