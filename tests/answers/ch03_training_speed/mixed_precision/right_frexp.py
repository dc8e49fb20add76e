# Right: the gap by frexp, floor, and a uniform number; the norm of a stack of norms
def apply_policy(op, args, kwargs, low):
    if op.__name__ in LOW:
        dtype = low
    elif op.__name__ in FULL:
        dtype = torch.float32
    else:
        return op(*args, **kwargs)

    def cast(value):
        if isinstance(value, torch.Tensor) and value.dtype in (torch.float16, torch.bfloat16, torch.float32):
            return value.to(dtype)
        return value

    return op(*[cast(value) for value in args], **{name: cast(value) for name, value in kwargs.items()})


class LossScaler:
    def __init__(self, scale=2.0**16, growth=2.0, backoff=0.5, interval=2000):
        self.scale, self.growth, self.backoff, self.interval = scale, growth, backoff, interval
        self.good_steps = 0

    def update(self, overflow):
        if overflow:
            self.scale *= self.backoff
            self.good_steps = 0
        else:
            self.good_steps += 1
            if self.good_steps == self.interval:
                if self.scale * self.growth <= torch.finfo(torch.float32).max:
                    self.scale *= self.growth
                self.good_steps = 0


def mixed_step(model, batches, loss_fn, optimizer, scaler, precision, max_norm=math.inf, schedule=None):
    model.zero_grad(set_to_none=True)
    scale = scaler.scale
    mean = 0
    for x, y in batches:
        with precision:
            output = model(x)
            loss = loss_fn(output, y)
        loss = loss.float()
        (loss * (scale / len(batches))).backward()
        mean = mean + loss.detach() / len(batches)
    inverse = 1 / scale
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p.grad = p.grad * inverse
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack([g.norm() for g in grads]).norm()
    skipped = not torch.stack([torch.isfinite(g).all() for g in grads]).all().item()
    if not skipped:
        if norm > max_norm:
            for g in grads:
                g.mul_(max_norm / (norm + 1e-6))
        optimizer.step()
        if schedule:
            schedule.step()
    scaler.update(skipped)
    model.zero_grad(set_to_none=True)
    return {"loss": float(mean), "norm": float(norm), "skipped": skipped}


def stochastic_round(x, generator=None):
    x = x.detach().double()
    usual = torch.where(x.isfinite(), x, 1.0)
    _, exponent = torch.frexp(usual)
    gap = torch.ldexp(torch.ones_like(usual), exponent - 8)
    places = usual / gap
    chance = torch.rand(x.shape, generator=generator)
    rounded = (places.floor() + (chance < places - places.floor())) * gap
    return torch.where(x.isfinite(), rounded, x).to(torch.bfloat16)
