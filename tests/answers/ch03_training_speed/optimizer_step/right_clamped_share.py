# Right: the share clamped to 0 and 1, a long vector of all gradients, means weighted by their tokens
def lr_at(step, warmup, total, peak, floor=0.0):
    line = step / warmup if warmup else 1.0
    share = min(max(step - warmup, 0) / max(total - warmup, 1), 1.0)
    curve = floor + (peak - floor) * math.cos(math.pi * share / 2) ** 2
    if step >= total:
        return floor
    return peak * line if step < warmup else curve


def clip_(parameters, max_norm):
    parameters = list(parameters)
    pieces = [p.grad.flatten().to(torch.float64) for p in parameters if p.grad is not None]
    norm = float(torch.cat(pieces).norm()) if pieces else 0.0
    factor = max_norm / norm if norm > max_norm and norm != math.inf else 1.0
    if factor < 1:
        for p in parameters:
            if p.grad is not None:
                p.grad *= factor
    return norm


def accumulate_step(model, optimizer, micro_batches, max_norm):
    counts = [int(targets.ne(IGNORE).sum()) for _, targets in micro_batches]
    if sum(counts) == 0:
        raise ValueError("no valid token")
    for p in model.parameters():
        p.grad = None
    mean = 0.0
    for (tokens, targets), count in zip(micro_batches, counts):
        if count == 0:
            continue
        share = count / sum(counts)
        loss = share * F.cross_entropy(model(tokens).flatten(end_dim=-2), targets.flatten())
        loss.backward()
        mean += float(loss.detach())
    norm = clip_(model.parameters(), max_norm)
    if norm < math.inf:
        optimizer.step()
    return mean, norm
