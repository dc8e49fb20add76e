# Right: loops and math.log for the entropy, log-sum-exp by hand for the loss, clipping by hand
def entropy_rate(transition):
    table = transition.tolist()
    tokens = range(len(table))
    pairs = {(a, b): 1 / len(table) ** 2 for a in tokens for b in tokens}
    change = 1
    while change > 1e-14:
        new = {(b, c): sum(pairs[a, b] * table[a][b][c] for a in tokens) for b in tokens for c in tokens}
        change = max(abs(new[pair] - pairs[pair]) for pair in new)
        pairs = new
    rate = 0.0
    for (a, b), share in pairs.items():
        for p in table[a][b]:
            if p > 0:
                rate -= share * p * math.log(p)
    return rate


def draw_windows(stream, n_windows, length, generator):
    x = torch.empty(n_windows, length, dtype=torch.int64)
    y = torch.empty(n_windows, length, dtype=torch.int64)
    for row in range(n_windows):
        start = int(torch.randint(len(stream) - length, (), generator=generator))
        x[row] = stream[start : start + length]
        y[row] = stream[start + 1 : start + length + 1]
    return x, y


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
    losses = []
    for step in range(steps + 1):
        if step % every == 0:
            losses.append(evaluate_lm(model, validation, length))
        if step == steps:
            return losses
        model.train()
        for parameter in model.parameters():
            parameter.grad = None
        x, y = draw_windows(training, n_windows, length, generator)
        lm_loss(model(x), y).backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in model.parameters()))
        if norm > 1:
            for parameter in model.parameters():
                parameter.grad /= norm
        optimizer.step()
