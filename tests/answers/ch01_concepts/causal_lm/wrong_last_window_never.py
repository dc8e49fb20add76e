# Wrong: randint stops before its limit, and one was subtracted all the same
# Fails: windows_are_uniform
def entropy_rate(transition):
    pairs = torch.full_like(transition[0], 1 / transition[0].numel())
    while True:
        following = torch.einsum("ab,abc->bc", pairs, transition)
        if torch.allclose(following, pairs, rtol=0, atol=1e-13):
            break
        pairs = following
    return -torch.einsum("ab,abc->", pairs, torch.xlogy(transition, transition)).item()


def draw_windows(stream, n_windows, length, generator):
    starts = torch.randint(0, len(stream) - length - 1, (n_windows,), generator=generator)
    windows = torch.stack([stream[s : s + length + 1] for s in starts])
    return windows[:, :-1], windows[:, 1:]


def evaluate_lm(model, stream, length):
    was_training = model.training
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(stream) - 1, length):
            y = stream[start + 1 : start + 1 + length]
            x = stream[start : start + len(y)]
            total += lm_loss(model(x[None]), y[None]).item() * len(y)
            count += len(y)
    model.train(was_training)
    return total / count


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
