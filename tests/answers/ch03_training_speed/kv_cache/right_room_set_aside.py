# Right: room for the cache is set aside and grows by doubling; keys and values are views of it
def roomy(old, new, n_old):
    n = n_old + new.shape[2]
    room = getattr(old, "room", None)
    if room is None or room.shape[2] < n:
        room = new.new_empty(*new.shape[:2], 2 * n, new.shape[3])
        if n_old:
            room[:, :, :n_old] = old
    room[:, :, n_old:n] = new
    view = room[:, :, :n]
    view.room = room
    return view


def cached_attention(attention, x, past=None):
    q, k, v = (p(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
    n_old = 0 if past is None else past[0].shape[2]
    old_k, old_v = past or (None, None)
    k, v = roomy(old_k, k, n_old), roomy(old_v, v, n_old)
    reach = torch.full((q.shape[2], k.shape[2]), -math.inf, dtype=x.dtype).triu(n_old + 1)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=reach)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2)), (k, v)


def extend(model, ids, cache=None):
    begin = 0 if cache is None else cache[0][0].shape[2]
    end = begin + ids.shape[1]
    if end > len(model.positions.weight):
        raise ValueError("too many tokens")
    hidden = model.tokens(ids) + model.positions.weight[begin:end]
    new_cache = []
    for i, block in enumerate(model.blocks):
        past = None if cache is None else cache[i]
        attended, pair = cached_attention(block.attention, block.before_attention(hidden), past)
        hidden = hidden + attended
        hidden = hidden + block.network(block.before_network(hidden))
        new_cache.append(pair)
    logits = model.norm(hidden[:, -1]) @ model.tokens.weight.T
    return logits, new_cache


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
