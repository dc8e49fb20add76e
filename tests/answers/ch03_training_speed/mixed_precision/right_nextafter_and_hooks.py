# Right: neighbours by nextafter, bit by bit; gradients divided as they arrive
def apply_policy(op, args, kwargs, low):
    def cast(value, dtype):
        if not isinstance(value, torch.Tensor):
            return value
        if not value.dtype.is_floating_point or value.dtype == torch.float64:
            return value
        return value.type(dtype)

    name = op.__name__
    if name not in LOW | FULL:
        return op(*args, **kwargs)
    dtype = low if name in LOW else torch.float
    return op(*(cast(a, dtype) for a in args), **{k: cast(v, dtype) for k, v in kwargs.items()})


class LossScaler:
    def __init__(self, scale: float = 2.0**16, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000):
        self.scale, self.growth, self.backoff, self.interval = scale, growth, backoff, interval
        self.good_steps = 0

    def update(self, overflow: bool) -> None:
        if overflow:
            self.scale, self.good_steps = self.scale * self.backoff, 0
        elif self.good_steps + 1 < self.interval:
            self.good_steps += 1
        else:
            self.good_steps = 0
            grown = self.scale * self.growth
            self.scale = grown if grown < 2.0**128 else self.scale


def mixed_step(model, batches, loss_fn, optimizer, scaler, precision, max_norm=math.inf, schedule=None):
    optimizer.zero_grad()
    total = 0.0
    for x, y in batches:
        with precision:
            loss = loss_fn(model(x), y)
        (loss / len(batches) * scaler.scale).backward()
        total += loss.item() / len(batches)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    for gradient in gradients:
        gradient /= scaler.scale
    bad = any(not gradient.isfinite().all() for gradient in gradients)
    norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    if not bad:
        optimizer.step()
        if schedule is not None:
            schedule.step()
    scaler.update(bad)
    optimizer.zero_grad()
    return {"loss": total, "norm": norm.item(), "skipped": bad}


def stochastic_round(x, generator=None):
    x = x.detach()
    near = x.to(torch.bfloat16)
    wide = near.float()
    other = torch.nextafter(near, torch.where(x > wide, math.inf, -math.inf).to(torch.bfloat16)).float()
    share = ((x.double() - wide) / (other.double() - wide)).nan_to_num(0.0, 0.0, 0.0).clamp(0, 1)
    change = torch.rand(x.shape, generator=generator, dtype=torch.float64) < share
    return torch.where(change & x.isfinite(), other, wide).to(torch.bfloat16)
