# Wrong: the result is a tensor of inference mode
# Fails: leaves_the_model_as_it_was
def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """The k largest logits of each row; all others become -inf.

    Logits that equal the k-th largest are all kept, so more than k may be.

    Args:
        logits: (..., V), floating point, of any precision; entries may be -inf, at least one in a
            row is finite. Not modified.
        k: 1 or more; V or more keeps all.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        ValueError: if k is below 1.

    >>> keep_top_k(torch.tensor([1.0, 3.0, 2.0]), 2)
    tensor([-inf, 3., 2.])
    """
    if k < 1:
        raise ValueError("k must be at least 1")
    if k >= logits.shape[-1]:
        return logits.clone()
    limit = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < limit, -math.inf)


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """The smallest number of largest logits whose probabilities sum to p or more; all others become
    -inf.

    So the token with which the sum reaches p is kept. Of equal logits, those with smaller ids come
    first. Probabilities are the softmax of the row; they and their sums are computed in float32, or
    in float64 if the logits are.

    Args:
        logits: as for `keep_top_k`. Not modified.
        p: above 0, up to 1; 1 keeps all.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        ValueError: if p is not above 0, or is above 1.

    >>> keep_top_p(torch.tensor([0.1, 0.6, 0.3]).log(), 0.7).exp()
    tensor([0.0000, 0.6000, 0.3000])
    """
    if not 0 < p <= 1:
        raise ValueError("p must be above 0 and at most 1")
    if p == 1:
        return logits.clone()
    precise = logits if logits.dtype == torch.float64 else logits.float()
    ordered, places = precise.sort(dim=-1, descending=True, stable=True)
    before = F.pad(ordered.softmax(-1).cumsum(-1)[..., :-1], (1, 0))
    drop = before >= p
    drop[..., 0] = False
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, places, drop), -math.inf)


def next_distribution(
    logits: torch.Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> torch.Tensor:
    """Probabilities of the next token: temperature first, then top-k, then top-p.

    Args:
        logits: as for `keep_top_k`, finite ones up to 1e4 in size. Not modified.
        temperature: 0, or from 1e-4 to 1e4. At 0, its limit: the largest logit has all the probability;
            equal ones share it equally.
        top_k, top_p: as for `keep_top_k` and `keep_top_p`; None: left out.

    Returns:
        Probabilities (..., V) that sum to one over the last axis, float64 if the logits are,
        otherwise computed in float32; zero for what is not kept.

    Raises:
        ValueError: if the temperature is negative, or as `keep_top_k` and `keep_top_p` do.

    >>> next_distribution(torch.tensor([0.8, 0.2]).log(), temperature=0.5)
    tensor([0.9412, 0.0588])
    """
    if not temperature >= 0:
        raise ValueError("the temperature must not be negative")
    logits = logits if logits.dtype == torch.float64 else logits.float()
    logits = logits - logits.amax(-1, keepdim=True)
    if temperature == 0:
        logits = torch.zeros_like(logits).masked_fill(logits < 0, -math.inf)
    else:
        logits = logits / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return logits.softmax(-1)


def generate(
    model: nn.Module,
    ids: torch.Tensor,
    n_new: int,
    context: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Lets a language model continue each row of a batch.

    Each new token is drawn from `next_distribution` of the logits at the last position, when the
    model is given the last `context` tokens of the row so far, or all of them while there are
    fewer. Rows are drawn independently of each other.

    Meanwhile the model is in evaluation mode and no gradients are recorded; afterwards its mode is
    as before, and gradients are recorded again if they were.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for T up to `context`; in either mode.
        ids: (B, T), int64, T at least 1, and perhaps above `context`. Not modified.
        n_new: tokens to add to each row, 0 or more.
        temperature, top_k, top_p: as for `next_distribution`.
        generator: the only source of chance: from the same state of it, the same tokens follow.
            None: torch's default generator.

    Returns:
        (B, T + n_new), int64: the rows of `ids`, and behind them the new tokens.

    >>> generate(model, torch.tensor([[5, 7]]), 3, context=64).shape
    torch.Size([1, 5])
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    ids = ids.clone()
    try:
        with torch.inference_mode():
            for _ in range(n_new):
                logits = model(ids[:, -context:])[:, -1]
                probabilities = next_distribution(logits, temperature, top_k, top_p)
                ids = torch.cat([ids, torch.multinomial(probabilities, 1, generator=generator)], dim=1)
    finally:
        for module, mode in modes:
            module.training = mode
    return ids
