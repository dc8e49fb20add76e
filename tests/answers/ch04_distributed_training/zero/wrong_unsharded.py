# Wrong: DDP: gradients are all-reduced, and each rank keeps and updates everything
# Fails: holds_one_shard, sends_as_little_as_ddp
def shard_step(parameters, decays, state, lr, max_norm, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    with torch.no_grad():
        gradient = torch.cat([torch.zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.reshape(-1) for p in parameters])
        dist.all_reduce(gradient)
        gradient /= dist.get_world_size()
        norm = gradient.norm()
        if norm > max_norm:
            gradient *= max_norm / norm
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
        state["step"] += 1
        state["exp_avg"].mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
        state["exp_avg_sq"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        mean = state["exp_avg"] / (1 - betas[0] ** state["step"])
        square_mean = state["exp_avg_sq"] / (1 - betas[1] ** state["step"])
        decay = torch.cat([torch.full((p.numel(),), float(flag), dtype=p.dtype) for p, flag in zip(parameters, decays, strict=True)])
        vector = torch.cat([p.reshape(-1) for p in parameters])
        vector = vector * (1 - lr * weight_decay * decay) - lr * mean / (square_mean.sqrt() + eps)
        start = 0
        for p in parameters:
            p.copy_(vector[start : start + p.numel()].view(p.shape))
            start += p.numel()
    return norm.item()


def gather_state(parameters, state):
    found, start = [], 0
    for p in parameters:
        found.append({name: state[name][start : start + p.numel()].view(p.shape) for name in ("exp_avg", "exp_avg_sq")})
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
