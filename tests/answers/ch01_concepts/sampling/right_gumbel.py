# Right: draws by the largest logit plus Gumbel noise, and ranks instead of a threshold for top-p

def keep_top_k(logits, k):
    if not k >= 1:
        raise ValueError("k")
    larger = (logits[..., None, :] > logits[..., :, None]).sum(-1)  # how many are larger than each
    return torch.where(larger < k, logits, torch.full_like(logits, float("-inf")))


def keep_top_p(logits, p):
    if not 0 < p <= 1:
        raise ValueError("p")
    if p == 1:
        return logits * 1
    order = logits.argsort(dim=-1, descending=True, stable=True)
    share = F.softmax(logits.to(torch.float64), -1).gather(-1, order)
    before = F.pad(share.cumsum(-1), (1, 0))[..., :-1]
    rank = order.argsort(-1)
    return logits.masked_fill((before >= p).gather(-1, rank), float("-inf"))


def next_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature < 0:
        raise ValueError("temperature")
    kind = logits.dtype if logits.dtype == torch.float64 else torch.float32
    logits = logits.to(kind)
    logits = logits - logits.amax(-1, keepdim=True)
    logits = logits / temperature if temperature else torch.log((logits == 0).to(kind))
    if top_k:
        logits = keep_top_k(logits, top_k)
    elif top_k == 0:
        raise ValueError("top_k")
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    weights = logits.exp()
    return weights / weights.sum(-1, keepdim=True)


def generate(model, ids, n_new, context, temperature=1.0, top_k=None, top_p=None, generator=None):
    training = model.training
    model.eval()
    result = torch.empty(ids.shape[0], ids.shape[1] + n_new, dtype=torch.int64)
    result[:, : ids.shape[1]] = ids
    with torch.inference_mode():
        for end in range(ids.shape[1], result.shape[1]):
            logits = model(result[:, max(0, end - context) : end])[:, -1]
            p = next_distribution(logits, temperature, top_k, top_p)
            noise = torch.empty_like(p).exponential_(generator=generator)
            result[:, end] = (p / noise).argmax(-1)
    model.train(training)
    return result
