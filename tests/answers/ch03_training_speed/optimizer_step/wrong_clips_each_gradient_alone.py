# Wrong: clips the gradient of each micro-batch and adds up
# Fails: clips_the_sum_once
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
    n_tokens = sum(int((targets != IGNORE).sum()) for _, targets in micro_batches)
    if not n_tokens:
        raise ValueError("nothing to learn from")
    parameters = list(model.parameters())
    sums, total, squares = [None for p in parameters], 0.0, 0.0
    for ids, targets in micro_batches:
        model.zero_grad()
        loss = F.cross_entropy(model(ids).transpose(1, 2), targets, reduction="sum") / n_tokens
        loss.backward()
        total += loss.item()
        squares += clip_(parameters, max_norm) ** 2
        sums = [p.grad if s is None else s + p.grad if p.grad is not None else s for s, p in zip(sums, parameters)]
    for p, s in zip(parameters, sums):
        p.grad = s
    norm = math.sqrt(squares)
    if math.isfinite(norm):
        optimizer.step()
    return total, norm
