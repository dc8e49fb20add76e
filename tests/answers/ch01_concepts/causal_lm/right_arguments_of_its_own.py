# Right: lm_loss and evaluate_lm take further arguments that have defaults; batches of windows; inference mode
def entropy_rate(transition):
    pairs = torch.full_like(transition[0], 1 / transition[0].numel())
    while True:
        following = torch.einsum("ab,abc->bc", pairs, transition)
        if torch.allclose(following, pairs, rtol=0, atol=1e-13):
            break
        pairs = following
    return -torch.einsum("ab,abc->", pairs, torch.xlogy(transition, transition)).item()


def split_stream(stream, validation_share):
    cut = len(stream) - int(validation_share * len(stream))
    return stream[:cut], stream[cut:]


def draw_windows(stream, n_windows, length, generator):
    starts = torch.randint(0, len(stream) - length, (n_windows,), generator=generator)
    windows = torch.stack([stream[s : s + length + 1] for s in starts])
    return windows[:, :-1], windows[:, 1:]


def lm_loss(logits, targets, reduction="mean"):
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction=reduction)


def bits_and_perplexity(nats):
    return nats / math.log(2), math.exp(nats)


@torch.inference_mode()
def evaluate_lm(model, stream, length, batch_size=2):
    mode = model.training
    model.train(False)
    x, y = stream[:-1], stream[1:]
    full = len(x) // length
    batches = list(zip(x[: full * length].view(full, length).split(batch_size), y[: full * length].view(full, length).split(batch_size)))
    if len(x) % length:
        batches.append((x[None, full * length :], y[None, full * length :]))
    total = sum(lm_loss(model(a), b, "sum").item() for a, b in batches if len(a))
    model.train(mode)
    return total / len(y)


def train_lm(model, optimizer, training, validation, generator, steps, every, n_windows, length):
    losses = [evaluate_lm(model, validation, length)]
    for step in range(steps):
        model.train()
        x, y = draw_windows(training, n_windows, length, generator)
        optimizer.zero_grad()
        loss = lm_loss(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % every == 0:
            losses.append(evaluate_lm(model, validation, length))
    return losses
