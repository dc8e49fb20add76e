# Right: the norm by NumPy, foreach for the scaling, gradients by autograd.grad
def lr_at(step, warmup, total, peak, floor=0.0):
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * progress))


def clip_(parameters, max_norm):
    grads = [p.grad.detach() for p in parameters if p.grad is not None]
    with np.errstate(all="ignore"):
        norm = float(np.sqrt(sum(np.sum(g.double().numpy() ** 2) for g in grads)))
    if grads and max_norm < norm < float("inf"):
        torch._foreach_mul_(grads, max_norm / norm)
    return norm


def accumulate_step(model, optimizer, micro_batches, max_norm):
    valid = torch.cat([targets.flatten() for _, targets in micro_batches]) != IGNORE
    n = valid.sum()
    if n == 0:
        raise ValueError("no valid token")
    parameters = [p for p in model.parameters() if p.requires_grad]
    sums = [torch.zeros_like(p) for p in parameters]
    losses = []
    for tokens, targets in micro_batches:
        per_token = F.cross_entropy(model(tokens).movedim(-1, 1), targets, reduction="none")
        loss = per_token.sum() / n
        for total, part in zip(sums, torch.autograd.grad(loss, parameters)):
            total += part
        losses.append(loss.detach())
    for p, total in zip(parameters, sums):
        p.grad = total
    norm = clip_(parameters, max_norm)
    if np.isfinite(norm):
        optimizer.step()
    return torch.stack(losses).sum().item(), norm
