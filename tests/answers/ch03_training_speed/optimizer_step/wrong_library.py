# Wrong: torch's clip_grad_norm_ if all is finite
# Fails: clips_like_one_long_vector, norm_is_precise_in_all_types
def lr_at(step, warmup, total, peak, floor=0.0):
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * progress))


def clip_(parameters, max_norm):
    parameters = [p for p in parameters if p.grad is not None]
    if not all(p.grad.isfinite().all() for p in parameters):
        return math.inf
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm).item()


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
        total += loss.item()
    norm = clip_(model.parameters(), max_norm)
    if math.isfinite(norm):
        optimizer.step()
    return total, norm
