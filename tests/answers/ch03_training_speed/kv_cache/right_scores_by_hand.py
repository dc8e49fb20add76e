# Right: scores, mask and softmax written out; positions by the layer; decorated with no_grad
def cached_attention(attention, x, past=None):
    batch, n, width = x.shape
    h = attention.heads
    q = attention.q_proj(x).reshape(batch, n, h, width // h)
    k = attention.k_proj(x).reshape(batch, n, h, width // h).permute(0, 2, 1, 3)
    v = attention.v_proj(x).reshape(batch, n, h, width // h).permute(0, 2, 1, 3)
    if past:
        k, v = (torch.cat(two, dim=-2) for two in zip(past, (k, v)))
    m = k.shape[-2] - n
    scores = torch.einsum("bihd,bhjd->bhij", q, k) / math.sqrt(width // h)
    later = torch.arange(m + n)[None, :] > torch.arange(m, m + n)[:, None]
    weights = scores.masked_fill(later, -math.inf).softmax(-1)
    mixed = torch.einsum("bhij,bhjd->bihd", weights, v).reshape(batch, n, width)
    return attention.out_proj(mixed), (k, v)


def extend(model, ids, cache=None):
    begin = 0 if cache is None else cache[0][0].shape[2]
    end = begin + ids.shape[1]
    if end > len(model.positions.weight):
        raise ValueError("too many tokens")
    hidden = model.tokens(ids) + model.positions(torch.arange(begin, end))
    new_cache = []
    for i, block in enumerate(model.blocks):
        past = None if cache is None else cache[i]
        attended, pair = cached_attention(block.attention, block.before_attention(hidden), past)
        hidden = hidden + attended
        hidden = hidden + block.network(block.before_network(hidden))
        new_cache.append(pair)
    logits = F.linear(model.norm(hidden[:, -1:]), model.tokens.weight).squeeze(1)
    return logits, new_cache


@torch.no_grad()
def write_cached(model, ids, n_new):
    if n_new == 0:
        return ids
    if ids.shape[1] + n_new - 1 > model.positions.num_embeddings:
        raise ValueError
    logits, cache = extend(model, ids)
    written = [logits.argmax(-1)]
    while len(written) < n_new:
        logits, cache = extend(model, written[-1][:, None], cache)
        written.append(logits.argmax(-1))
    return torch.hstack([ids, torch.stack(written, 1)])
