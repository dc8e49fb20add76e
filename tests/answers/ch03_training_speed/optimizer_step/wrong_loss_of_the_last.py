# Wrong: the loss of the last micro-batch is returned
# Fails: equals_one_batch, equals_one_batch_of_ragged_rows
def lr_at(step, warmup, total, peak, floor=0.0):
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def clip_(parameters, max_norm):
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return 0.0
    norm = torch.stack([g.double().norm() for g in grads]).norm().item()
    if math.isfinite(norm) and norm > max_norm:
        for g in grads:
            g.mul_(max_norm / (norm + 1e-6))
    return norm


def accumulate_step(model, optimizer, micro_batches, max_norm):
    n_tokens = 0
    for _, targets in micro_batches:
        n_tokens += int((targets != IGNORE).sum())
    if not n_tokens:
        raise ValueError("nothing to learn from")
    optimizer.zero_grad()
    total = 0.0
    for ids, targets in micro_batches:
        logits = model(ids)
        loss = F.cross_entropy(logits.transpose(1, 2), targets, reduction="sum") / n_tokens
        loss.backward()
        total = loss.item()
    norm = clip_(model.parameters(), max_norm)
    if math.isfinite(norm):
        optimizer.step()
    return total, norm
