# Wrong: the loss decides, not the gradients
# Fails: skips_the_whole_step
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
    bad = not math.isfinite(total)
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
    noise = torch.randint(0, 2**16, x.shape, generator=generator, dtype=torch.int32)
    bits = (x.view(torch.int32) + noise) & -65536
    return torch.where(x.isfinite(), bits.view(torch.float32), x).to(torch.bfloat16)
