# Right: by a reader who saw the release alone
def entropy_rate(transition: torch.Tensor) -> float:
    """Entropy rate of a second-order Markov source, in nats per token, exact to 1e-6."""
    v = len(transition)
    # pair (a, b) is followed by pair (b, c) with probability P(c | a, b)
    steps = torch.einsum("abc,bd->abdc", transition, torch.eye(v, dtype=transition.dtype)).reshape(v * v, v * v)
    system = steps.T - torch.eye(v * v, dtype=transition.dtype)
    system[-1] = 1  # one of the equations follows from the others; instead, the shares sum to one
    right = torch.zeros(v * v, dtype=transition.dtype)
    right[-1] = 1
    shares = torch.linalg.solve(system, right)
    return float(shares @ torch.special.entr(transition).sum(-1).flatten())


def draw_windows(
    stream: torch.Tensor, n_windows: int, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws random windows of a stream, with the token that follows each of their tokens."""
    starts = torch.randint(len(stream) - length, (n_windows, 1), generator=generator)
    places = starts + torch.arange(length)
    return stream[places], stream[places + 1]


def evaluate_lm(model: nn.Module, stream: torch.Tensor, length: int) -> float:
    """Mean cross-entropy of a language model on a whole stream, in nats per token."""
    was_training = model.training
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in zip(stream[:-1].split(length), stream[1:].split(length)):
            total += float(lm_loss(model(x[None]), y[None])) * len(y)
    model.train(was_training)
    return total / (len(stream) - 1)


def train_lm(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: torch.Tensor,
    validation: torch.Tensor,
    generator: torch.Generator,
    steps: int,
    every: int,
    n_windows: int,
    length: int,
) -> list[float]:
    """Trains a language model on random windows, and measures its loss on the validation stream on the way."""
    losses = [evaluate_lm(model, validation, length)]
    for step in range(1, steps + 1):
        model.train()
        x, y = draw_windows(training, n_windows, length, generator)
        optimizer.zero_grad()
        lm_loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            losses.append(evaluate_lm(model, validation, length))
    return losses
