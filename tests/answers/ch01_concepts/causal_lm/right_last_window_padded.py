# Right: the last window is padded, and the padding left out of the sum by ignore_index
def entropy_rate(transition):
    pairs = torch.full_like(transition[0], 1 / transition[0].numel())
    while True:
        following = torch.einsum("ab,abc->bc", pairs, transition)
        if torch.allclose(following, pairs, rtol=0, atol=1e-13):
            break
        pairs = following
    return -torch.einsum("ab,abc->", pairs, torch.xlogy(transition, transition)).item()


def draw_windows(stream, n_windows, length, generator):
    starts = torch.randint(0, len(stream) - length, (n_windows,), generator=generator)
    windows = torch.stack([stream[s : s + length + 1] for s in starts])
    return windows[:, :-1], windows[:, 1:]


def evaluate_lm(model, stream, length):
    n = len(stream) - 1
    windows = -(-n // length)
    x = torch.zeros(windows * length, dtype=torch.int64)
    y = torch.full((windows * length,), -100)
    x[:n], y[:n] = stream[:-1], stream[1:]
    mode = model.training
    model.eval()
    with torch.no_grad():
        logits = model(x.view(windows, length))
    if mode:
        model.train()
    return F.cross_entropy(logits.flatten(0, 1), y, ignore_index=-100).item()


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
