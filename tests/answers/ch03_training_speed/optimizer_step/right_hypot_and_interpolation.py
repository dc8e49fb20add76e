# Right: log_softmax and gather, the norm by hypot, the rate by interpolation
def lr_at(step, warmup, total, peak, floor=0.0):
    if step >= total:
        return float(floor)
    if step < warmup:
        return peak * step / warmup
    share = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * math.cos(math.pi * share / 2) ** 2


@torch.no_grad()
def clip_(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    grads = [g for g in grads if g.numel()]
    if not grads:
        return 0.0
    norm = math.hypot(*(torch.linalg.vector_norm(g.double()).item() for g in grads))
    if max_norm < norm < math.inf:
        for g in grads:
            g.mul_(max_norm / norm)
    return norm


def accumulate_step(model, optimizer, micro_batches, max_norm):
    n = sum(int((targets != IGNORE).sum()) for _, targets in micro_batches)
    if n == 0:
        raise ValueError("no valid token")
    model.zero_grad(set_to_none=True)
    total = 0.0
    for tokens, targets in micro_batches:
        if not (targets != IGNORE).any():
            continue
        valid = targets != IGNORE
        logs = model(tokens).log_softmax(-1)[valid]
        loss = -logs.gather(1, targets[valid][:, None]).sum() / n
        del logs
        loss.backward()
        total += loss.item()
        del loss
    norm = clip_(model.parameters(), max_norm)
    if math.isfinite(norm):
        optimizer.step()
    return total, norm
