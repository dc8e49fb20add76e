# Right: each new position alone, without any mask; the past in a tuple of lists
def cached_attention(attention, x, past=None):
    heads = lambda y: y.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
    keys = heads(attention.k_proj(x))
    values = heads(attention.v_proj(x))
    queries = heads(attention.q_proj(x))
    m = 0
    if past is not None:
        m = past[0].size(2)
        keys, values = torch.cat((past[0], keys), 2), torch.cat((past[1], values), 2)
    rows = []
    for i in range(x.shape[1]):
        k, v, q = keys[:, :, : m + i + 1], values[:, :, : m + i + 1], queries[:, :, i : i + 1]
        w = torch.softmax(q @ k.mT * k.shape[-1] ** -0.5, -1)
        rows.append((w @ v).transpose(1, 2).flatten(2))
    return attention.out_proj(torch.cat(rows, 1)), (keys, values)


def extend(model, ids, cache=None):
    pairs = cache or [None for _ in model.blocks]
    m = 0 if cache is None else pairs[0][0].size(2)
    places = range(m, m + ids.size(1))
    if places[-1] >= model.positions.num_embeddings:
        raise ValueError("beyond the context")
    x = model.tokens(ids) + model.positions(torch.tensor(places))
    kept = []
    for block, pair in zip(model.blocks, pairs, strict=True):
        y, pair = cached_attention(block.attention, block.before_attention(x), pair)
        x = x + y
        x = x + block.network(block.before_network(x))
        kept += [pair]
    return F.linear(model.norm(x)[:, -1], model.tokens.weight), kept


def write_cached(model, ids, n_new):
    if n_new > 0 and ids.shape[1] + n_new - 1 > len(model.positions.weight):
        raise ValueError("too many tokens")
    cache = None
    new = ids
    with torch.no_grad():
        for _ in range(n_new):
            logits, cache = extend(model, new, cache)
            new = logits.argmax(-1, keepdim=True)
            ids = torch.cat([ids, new], dim=1)
    return ids
