# Right: no function calls another one; powers of the chain by squaring; starts from multinomial; losses in double precision
def entropy_rate(transition):
    v = len(transition)
    chain = torch.einsum("abc,bd->abdc", transition, torch.eye(v, dtype=torch.float64)).reshape(v * v, v * v)
    pairs = torch.linalg.matrix_power(chain, 2**16).mean(0)
    pairs = pairs / pairs.sum()
    entropies = torch.distributions.Categorical(probs=transition.reshape(v * v, v)).entropy()
    return float(pairs @ entropies)


def draw_windows(stream, n_windows, length, generator):
    weights = torch.ones(len(stream) - length)
    starts = torch.multinomial(weights, n_windows, replacement=True, generator=generator)
    at = starts.unsqueeze(1) + torch.arange(length).unsqueeze(0)
    return stream.take(at), stream.take(at + 1)


def evaluate_lm(model, stream, length):
    mode = model.training
    model.eval()
    losses = []
    with torch.no_grad():
        for x, y in zip(stream[:-1].split(length), stream[1:].split(length)):
            losses.append(F.cross_entropy(model(x.unsqueeze(0))[0], y, reduction="none"))
    model.train(mode)
    return torch.cat(losses).mean().item()


def train_lm(model, optimizer, training, validation, generator, steps, every, n_windows, length):
    def validate():
        model.eval()
        with torch.no_grad():
            pieces = [(model(x[None])[0], y) for x, y in zip(validation[:-1].split(length), validation[1:].split(length))]
        return sum(F.cross_entropy(a, b, reduction="sum").item() for a, b in pieces) / (len(validation) - 1)

    history = [validate()]
    for step in range(steps):
        model.train()
        runs = training.unfold(0, length + 1, 1)
        run = runs[torch.randint(runs.shape[0], (n_windows,), generator=generator)]
        model.zero_grad(set_to_none=False)
        F.cross_entropy(model(run[:, :-1]).flatten(0, 1), run[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1)
        optimizer.step()
        if step % every == every - 1:
            history.append(validate())
    return history
