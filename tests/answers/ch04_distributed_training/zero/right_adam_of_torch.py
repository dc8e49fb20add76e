# Right: torch.optim.AdamW updates the shard, and its state moves in and out
def shard_step(parameters, decays, state, lr, max_norm, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1):
    rank, n = dist.get_rank(), dist.get_world_size()
    total = sum(p.numel() for p in parameters)
    size = -(-total // n)
    pad = torch.zeros(n * size - total, dtype=parameters[0].dtype)
    own = slice(rank * size, rank * size + size)
    shard = torch.cat([*(p.detach().reshape(-1) for p in parameters), pad])[own].clone()
    wanted = torch.cat([*(torch.full((p.numel(),), float(d)) for p, d in zip(parameters, decays, strict=True)), torch.zeros(len(pad))])[own]
    shard *= (1 - lr * weight_decay * wanted).to(shard.dtype) if shard.dtype == torch.float32 else 1 - lr * weight_decay * wanted.double()
    shard.requires_grad_()
    gradient = torch.empty(size, dtype=shard.dtype)
    gradients = torch.cat([*((torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters), pad])
    dist.reduce_scatter_single(gradient, gradients / n)
    squares = (gradient**2).sum()
    dist.all_reduce(squares)
    norm = float(squares) ** 0.5
    shard.grad = gradient * min(1.0, max_norm / (norm + 1e-12))
    optimizer = torch.optim.AdamW([shard], lr, betas, eps, weight_decay=0.0)
    if state:
        optimizer.state[shard] = {"step": torch.tensor(float(state["step"])), "exp_avg": state["exp_avg"], "exp_avg_sq": state["exp_avg_sq"]}
    optimizer.step()
    after = optimizer.state[shard]
    state.update(step=int(after["step"]), exp_avg=after["exp_avg"], exp_avg_sq=after["exp_avg_sq"])
    everything = torch.empty(n * size, dtype=shard.dtype)
    dist.all_gather_single(everything, shard.detach())
    torch.nn.utils.vector_to_parameters(everything[:total], parameters)
    for p in parameters:  # not views of one vector
        p.data = p.data.clone()
    return norm


def gather_state(parameters, state):
    both = torch.stack([state["exp_avg"], state["exp_avg_sq"]])
    parts = [torch.empty_like(both) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, both)
    whole = torch.cat(parts, dim=1)
    ends = np.cumsum([p.numel() for p in parameters]).tolist()
    return [
        {"exp_avg": whole[0, end - p.numel() : end].reshape(p.shape), "exp_avg_sq": whole[1, end - p.numel() : end].reshape(p.shape)}
        for p, end in zip(parameters, ends, strict=True)
    ]


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
