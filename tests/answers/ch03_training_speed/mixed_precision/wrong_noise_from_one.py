# Wrong: random numbers from 1 to 65536: what can be represented may move
# Fails: draws_neighbours_with_their_probabilities
def apply_policy(op, args, kwargs, low):
    name = op.__name__
    if name in LOW:
        dtype = low
    elif name in FULL:
        dtype = torch.float32
    else:
        return op(*args, **kwargs)

    def cast(value):
        if isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16, torch.float32):
            return value.to(dtype)
        return value

    return op(*(cast(a) for a in args), **{key: cast(value) for key, value in kwargs.items()})


class LossScaler:
    def __init__(self, scale: float = 2.0**16, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000):
        self.scale, self.growth, self.backoff, self.interval = scale, growth, backoff, interval
        self.good_steps = 0

    def update(self, overflow):
        if overflow:
            self.scale *= self.backoff
            self.good_steps = 0
            return
        self.good_steps += 1
        if self.good_steps >= self.interval:
            self.good_steps = 0
            grown = self.scale * self.growth
            if grown <= torch.finfo(torch.float32).max:
                self.scale = grown


def mixed_step(model, batches, loss_fn, optimizer, scaler, precision, max_norm=math.inf, schedule=None):
    parameters = list(model.parameters())
    for p in parameters:
        p.grad = None
    scale, total = scaler.scale, 0.0
    for x, y in batches:
        with precision:
            loss = loss_fn(model(x), y)
        total += loss.item() / len(batches)
        (loss / len(batches) * scale).backward()
        del loss
    grads = [p.grad for p in parameters if p.grad is not None]
    for g in grads:
        g.div_(scale)
    bad = any(not bool(torch.isfinite(g).all()) for g in grads)
    norm = math.sqrt(sum(g.double().square().sum().item() for g in grads))
    if not bad:
        if norm > max_norm:
            for g in grads:
                g.mul_(max_norm / (norm + 1e-6))
        optimizer.step()
        if schedule is not None:
            schedule.step()
    scaler.update(bad)
    for p in parameters:
        p.grad = None
    return {"loss": total, "norm": norm, "skipped": bad}


def stochastic_round(x, generator=None):
    x = x.detach()
    bits = x.view(torch.int32)
    noise = torch.randint(1, 65537, x.shape, generator=generator, dtype=torch.int32)
    rounded = ((bits + noise) & -65536).view(torch.float32)
    return torch.where(torch.isfinite(x), rounded, x).bfloat16()
