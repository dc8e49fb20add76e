# Wrong: whole parameters are dealt out, so that one rank holds the largest
# Fails: holds_one_shard, sends_as_little_as_ddp
def shard_step(parameters, decays, state, lr, max_norm, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    rank, n = dist.get_rank(), dist.get_world_size()
    with torch.no_grad():
        gradients = []
        for p in parameters:
            gradient = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            dist.all_reduce(gradient)
            gradients.append(gradient / n)
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        state["step"] = state.get("step", 0) + 1
        own = range(rank, len(parameters), n)
        for name in ("exp_avg", "exp_avg_sq"):
            state.setdefault(name, torch.zeros(sum(parameters[i].numel() for i in own), dtype=parameters[0].dtype))
        start = 0
        for i in own:
            p, gradient = parameters[i], gradients[i].flatten() * min(1, max_norm / norm)
            m, v = (state[name][start : start + p.numel()] for name in ("exp_avg", "exp_avg_sq"))
            start += p.numel()
            m.lerp_(gradient, 1 - betas[0])
            v.lerp_(gradient**2, 1 - betas[1])
            p.mul_(1 - lr * weight_decay * decays[i])
            root = (v / (1 - betas[1] ** state["step"])).sqrt() + eps
            p -= (lr * m / (1 - betas[0] ** state["step"]) / root).view(p.shape)
        for i, p in enumerate(parameters):
            dist.broadcast(p, i % n)
    return norm.item()


def gather_state(parameters, state):
    rank, n = dist.get_rank(), dist.get_world_size()
    found = [{} for _ in parameters]
    for name in ("exp_avg", "exp_avg_sq"):
        start = 0
        for i, p in enumerate(parameters):
            found[i][name] = torch.zeros_like(p).detach()
            if i % n == rank:
                found[i][name] = state[name][start : start + p.numel()].view(p.shape).clone()
                start += p.numel()
            parts = [torch.empty_like(found[i][name]) for _ in range(n)]
            dist.all_gather(parts, found[i][name])
            found[i][name] = parts[i % n]
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
