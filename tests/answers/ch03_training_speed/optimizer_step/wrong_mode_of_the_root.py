# Wrong: sets the mode of the whole model back to that of its root
# Fails: one_micro_batch_at_a_time
def lr_at(step, warmup, total, peak, floor=0.0):
    if step >= total:
        return float(floor)
    if step < warmup:
        return peak * step / warmup
    share = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * share)) / 2


@torch.no_grad()
def clip_(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    grads = [g for g in grads if g.numel()]
    if not grads:
        return 0.0
    largest = max(g.double().abs().max().item() for g in grads)
    if any(not torch.isfinite(g).all() for g in grads):
        return math.nan if any(g.isnan().any() for g in grads) else math.inf
    if largest == 0:
        return 0.0
    norm = largest * math.sqrt(sum((g.double() / largest).square().sum().item() for g in grads))
    if max_norm < norm < math.inf:
        for g in grads:
            g.mul_(max_norm / norm)
    return norm


def accumulate_step(model, optimizer, micro_batches, max_norm):
    n = sum(int((targets != IGNORE).sum()) for _, targets in micro_batches)
    if n == 0:
        raise ValueError("no valid token")
    model.zero_grad(set_to_none=True)
    mode = model.training
    total = 0.0
    for tokens, targets in micro_batches:
        if not (targets != IGNORE).any():
            continue
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORE) / n
        loss.backward()
        total += loss.item()
        del loss
    model.train(mode)
    norm = clip_(model.parameters(), max_norm)
    if math.isfinite(norm):
        optimizer.step()
    return total, norm
