# Wrong: the gradients of the optimizer's first group are clipped, by their own norm
# Fails: trains_step_by_step
def entropy_rate(transition: torch.Tensor) -> float:
    """Entropy rate of a second-order Markov source, in nats per token, exact to 1e-6.

    Args:
        transition: (V, V, V), float64; entry [a, b, c] is the probability that c follows after a,
            b, where b is the last token. Entries may be zero. Whatever the first two tokens, the
            shares of the pairs tend to the same limit, though perhaps slowly. Not modified.

    >>> round(entropy_rate(torch.full((2, 2, 2), 0.5, dtype=torch.float64)), 4)
    0.6931
    """
    n = transition.shape[0]
    step = torch.zeros(n, n, n, n, dtype=torch.float64)  # [b, c, a, b]
    for b in range(n):
        step[b, :, :, b] = transition[:, b, :].T
    system = step.reshape(n * n, n * n) - torch.eye(n * n, dtype=torch.float64)
    system[-1] = 1.0  # one equation follows from the others: the sum takes its place
    right = torch.zeros(n * n, dtype=torch.float64)
    right[-1] = 1.0
    pairs = torch.linalg.solve(system, right).reshape(n, n)
    return float((pairs * torch.special.entr(transition).sum(-1)).sum())


def draw_windows(
    stream: torch.Tensor, n_windows: int, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws random windows of a stream, with the token that follows each of their tokens.

    Args:
        stream: (n,) tokens, int64; n is at least length + 1. Not modified.
        n_windows: any number; the same window may come out more than once.
        generator: the only source of chance: from the same state of it, the same windows follow.

    Returns:
        Inputs x and targets y, both (n_windows, length), int64. Each row of x is a run of tokens of
        the stream; y[i, t] is the token that follows x[i, t] there. Rows are independent of each
        other, and all places at which a window and its last target fit into the stream are equally
        likely. Both may be views that share memory: whoever changes one makes a copy first.
    """
    starts = torch.randint(len(stream) - length, (n_windows,), generator=generator)
    windows = stream[starts[:, None] + torch.arange(length + 1)]
    return windows[:, :-1], windows[:, 1:]


def evaluate_lm(model: nn.Module, stream: torch.Tensor, length: int) -> float:
    """Mean cross-entropy of a language model on a whole stream, in nats per token.

    The stream is cut into windows: the first takes the tokens 0 to length - 1 as inputs, the next
    one goes on with token `length`, and so on; the last one may be shorter. A stream of `length`
    tokens or fewer is one short window. So each token but the first is predicted exactly once, from
    those before it in its window, and each prediction counts the same.

    Meanwhile the model is in evaluation mode and no gradients are recorded; afterwards its mode,
    its parameters and their gradients (`.grad`) are as before.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for any B and for T up to `length`.
        stream: (n,) tokens, int64; n is at least 2. Not modified.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    total, n = 0.0, len(stream) - 1
    whole = n // length * length
    try:
        with torch.no_grad():
            batches = []
            if whole:
                xs, ys = stream[:whole].view(-1, length), stream[1 : whole + 1].view(-1, length)
                batches = list(zip(xs.split(128), ys.split(128)))
            if whole < n:
                batches.append((stream[whole:-1][None], stream[whole + 1 :][None]))
            for x, y in batches:
                total += F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
    finally:
        for module, mode in modes:
            module.training = mode
    return total / n


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
    """Trains a language model on random windows, and measures its loss on the validation stream on
    the way.

    Each step draws `n_windows` new windows of the training stream with the generator, computes the
    mean cross-entropy in nats, with the model in training mode, and its gradient, with nothing left
    over from earlier steps or from before the call. If the norm of the gradient (of all the model's
    parameters together) is larger than 1, the gradient is scaled down to norm 1. Then the optimizer
    takes one step. Afterwards the model may be in either mode.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for T up to `length`; in either mode.
        optimizer: of the model's parameters.
        training, validation: tokens, int64. The validation tokens do not influence the weights.

    Returns:
        The loss on the whole validation stream in windows of `length`, as `evaluate_lm` defines it:
        first before any training, then each time that `every` further steps are done. That makes 1
        + steps // every numbers.
    """
    losses = [evaluate_lm(model, validation, length)]
    for step in range(1, steps + 1):
        model.train()
        x, y = draw_windows(training, n_windows, length, generator)
        model.zero_grad()
        lm_loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()
        if step % every == 0:
            losses.append(evaluate_lm(model, validation, length))
    return losses
