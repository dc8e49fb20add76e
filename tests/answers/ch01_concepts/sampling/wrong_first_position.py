# Wrong: the logits of the first position are used
# Fails: continues_a_count, looks_at_the_last_tokens

def keep_top_k(logits, k):
    if k < 1:
        raise ValueError("k must be positive")
    kth = torch.topk(logits, min(k, logits.size(-1)), dim=-1).values[..., -1, None]
    return torch.where(logits < kth, -torch.inf, logits)


def keep_top_p(logits, p):
    if p <= 0 or p > 1:
        raise ValueError("p must be in (0, 1]")
    if p == 1:
        return logits.clone()
    wide = logits if logits.dtype == torch.float64 else logits.float()
    ordered, order = torch.sort(wide, dim=-1, descending=True, stable=True)
    probabilities = torch.softmax(ordered, dim=-1)
    dropped_sorted = torch.cumsum(probabilities, dim=-1) - probabilities >= p
    dropped = torch.zeros_like(dropped_sorted).scatter(-1, order, dropped_sorted)
    return logits.masked_fill(dropped, -torch.inf)


def next_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature < 0:
        raise ValueError("temperature must not be negative")
    if logits.dtype != torch.float64:
        logits = logits.float()
    logits = logits - logits.max(dim=-1, keepdim=True).values
    if temperature == 0:
        logits = torch.where(logits == 0, 0.0, -torch.inf).to(logits.dtype)
    else:
        logits = logits / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return torch.softmax(logits, dim=-1)


def generate(model, ids, n_new, context, temperature=1.0, top_k=None, top_p=None, generator=None):
    mode = model.training
    model.eval()
    with torch.no_grad():
        for step in range(n_new):
            logits = model(ids[:, -context:])[:, 0, :]
            probabilities = next_distribution(logits, temperature, top_k, top_p)
            token = torch.multinomial(probabilities, num_samples=1, generator=generator)
            ids = torch.cat((ids, token), dim=1)
    model.train(mode)
    return ids
