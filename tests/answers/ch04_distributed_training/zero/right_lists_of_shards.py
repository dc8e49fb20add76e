# Right: the collectives that take lists; torch's fused formulas; a loop over stages
def shard_step(parameters, decays, state, lr, max_norm, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    rank, n = dist.get_rank(), dist.get_world_size()
    beta1, beta2 = betas
    total = sum(p.numel() for p in parameters)
    size = (total + n - 1) // n
    kind = parameters[0].dtype
    vector = torch.zeros(n * size, dtype=kind)
    place = 0
    for p in parameters:
        if p.grad is not None:
            vector[place : place + p.numel()] = p.grad.flatten()
        place += p.numel()
    mine = torch.zeros(size, dtype=kind)
    dist.reduce_scatter(mine, list(vector.chunk(n)))
    mine.div_(n)
    norm = mine.dot(mine).reshape(1)
    dist.all_reduce(norm)
    norm = norm.sqrt().item()
    mine.mul_(min(1.0, max_norm / norm) if norm else 1.0)
    state["step"] = state.get("step", 0) + 1
    m = state.setdefault("exp_avg", torch.zeros(size, dtype=kind))
    v = state.setdefault("exp_avg_sq", torch.zeros(size, dtype=kind))
    m.lerp_(mine, 1 - beta1)
    v.lerp_(mine.square(), 1 - beta2)
    rate = lr / (1 - beta1 ** state["step"])
    denominator = (v.sqrt() / math.sqrt(1 - beta2 ** state["step"])).add_(eps)
    place = 0
    for p, decay in zip(parameters, decays, strict=True):
        values = p.detach().flatten().clone()
        vector[place : place + p.numel()] = values * (1 - lr * weight_decay) if decay else values
        place += p.numel()
    updated = vector[rank * size : (rank + 1) * size].addcdiv(m, denominator, value=-rate)
    shards = [torch.empty_like(updated) for _ in range(n)]
    dist.all_gather(shards, updated)
    with torch.no_grad():
        for p, values in zip(parameters, torch.cat(shards)[:total].split([p.numel() for p in parameters]), strict=True):
            p.copy_(values.view_as(p))
    return norm


def gather_state(parameters, state):
    averages = {}
    for name in ("exp_avg", "exp_avg_sq"):
        shards = [torch.empty_like(state[name]) for _ in range(dist.get_world_size())]
        dist.all_gather(shards, state[name])
        averages[name] = torch.cat(shards)
    found, start = [], 0
    for p in parameters:
        end = start + p.numel()
        found.append({name: whole[start:end].reshape(p.shape).clone() for name, whole in averages.items()})
        start = end
    return found


def zero_bytes(n_parameters, n_ranks, stage):
    shard = (n_parameters + n_ranks - 1) // n_ranks
    sizes = {"optimizer": 12, "gradients": 2, "parameters": 2}
    result = {}
    for place, (kind, each) in enumerate(sizes.items(), 1):
        result[kind] = each * (shard if stage >= place else n_parameters)
    result["sent"] = (4 + 2 * (stage == 3)) * (n_ranks - 1) * shard
    return result
