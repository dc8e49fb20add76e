# Right: log-probabilities gathered by hand; gradients divided once at the end
def lr_at(step, warmup, total, peak, floor=0.0):
    rates = {True: lambda: floor}
    if step < warmup and step < total:
        rates[True] = lambda: peak * (step / warmup)
    elif step < total:
        angle = np.pi * (step - warmup) / (total - warmup)
        rates[True] = lambda: float((peak + floor) / 2 + (peak - floor) / 2 * np.cos(angle))
    return rates[True]()


def clip_(parameters, max_norm):
    squares, grads = 0.0, []
    for p in parameters:
        if p.grad is not None:
            grads.append(p.grad)
            squares += float(p.grad.to(torch.float32 if p.grad.dtype != torch.float64 else torch.float64).pow(2).sum())
    norm = squares**0.5
    if not math.isfinite(norm):
        return norm
    for g in grads:
        if norm > max_norm:
            g.copy_(g * (max_norm / norm))
    return norm


def accumulate_step(model, optimizer, micro_batches, max_norm):
    optimizer.zero_grad(set_to_none=False)
    n, total = 0, 0.0
    if all((y == IGNORE).all() for _, y in micro_batches):
        raise ValueError("all targets are to be ignored")
    for x, y in micro_batches:
        valid = y != IGNORE
        logp = model(x).log_softmax(-1)
        picked = logp.gather(-1, y.clamp(min=0)[..., None])[..., 0]
        loss = -picked[valid].sum()
        loss.backward()
        n += valid.sum().item()
        total += loss.item()
    for p in model.parameters():
        if p.grad is not None:
            p.grad.div_(n)
    norm = clip_(model.parameters(), max_norm)
    if norm != norm or norm == math.inf:
        return total / n, norm
    optimizer.step()
    return total / n, norm
