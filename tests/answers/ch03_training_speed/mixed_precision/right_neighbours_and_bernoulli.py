# Right: explicit neighbours and a Bernoulli draw; a loop over arguments; the gradient by autograd.grad
def apply_policy(op, args, kwargs, low):
    wanted = {**dict.fromkeys(FULL, torch.float32), **dict.fromkeys(LOW, low)}.get(op.__name__)
    short = {torch.half, torch.bfloat16, torch.float}
    new_args = list(args)
    new_kwargs = dict(kwargs)
    for holder, keys in ((new_args, range(len(args))), (new_kwargs, kwargs)):
        for key in keys:
            if wanted and torch.is_tensor(holder[key]) and holder[key].dtype in short:
                holder[key] = holder[key].to(wanted, copy=True)
    return op(*new_args, **new_kwargs)


class LossScaler:
    def __init__(self, scale=2.0**16, growth=2.0, backoff=0.5, interval=2000):
        self.scale, self.growth, self.backoff, self.interval = scale, growth, backoff, interval
        self.good_steps = 0

    def update(self, overflow):
        self.good_steps = 0 if overflow else (self.good_steps + 1) % self.interval
        factor = self.backoff if overflow else 1.0 if self.good_steps else self.growth
        new = torch.tensor(self.scale * factor, dtype=torch.float32)
        if new.isfinite():
            self.scale = new.item()


def mixed_step(model, batches, loss_fn, optimizer, scaler, precision, max_norm=math.inf, schedule=None):
    parameters = [p for p in model.parameters() if p.requires_grad]
    sums = [None] * len(parameters)
    losses = []
    for x, y in batches:
        with precision:
            loss = loss_fn(model(x), y)
        losses.append(loss.detach())
        gradients = torch.autograd.grad(loss * scaler.scale, parameters, allow_unused=True)
        sums = [b if a is None else a if b is None else a + b for a, b in zip(sums, gradients)]
    scale = scaler.scale * len(batches)
    bad = False
    for p, total in zip(parameters, sums):
        p.grad = None if total is None else total.float() / scale
        bad = bad or (total is not None and bool((~torch.isfinite(total)).any()))
    norm = math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in parameters if p.grad is not None))
    if not bad:
        for p in parameters:
            if p.grad is not None and norm > max_norm:
                p.grad *= max_norm / norm
        optimizer.step()
        if schedule is not None:
            schedule.step()
    for p in parameters:
        p.grad = None
    scaler.update(bad)
    return dict(loss=torch.stack(losses).mean().item(), norm=norm, skipped=bad)


def stochastic_round(x, generator=None):
    x = x.detach().contiguous()
    nearest = x.to(torch.bfloat16).float()
    finite = x.isfinite()
    towards_zero = (x.view(torch.int32) & -65536).view(torch.float32)
    away = ((x.view(torch.int32) & -65536) + 65536).view(torch.float32)
    share = torch.where(finite & (x != 0), (x.double() - towards_zero.double()) / (away.double() - towards_zero.double()), 0.0)
    up = torch.bernoulli(share.nan_to_num(0.0), generator=generator).bool()
    return torch.where(finite, torch.where(up, away, towards_zero), nearest).bfloat16()
