# Wrong: keeps the last four positions only
# Fails: attends_in_pieces, any_pieces_give_the_same, logits_agree_everywhere
def cached_attention(attention, x, past=None):
    def split(y):
        batch, length, width = y.shape
        return y.view(batch, length, attention.heads, width // attention.heads).transpose(1, 2)

    query, key, value = split(attention.q_proj(x)), split(attention.k_proj(x)), split(attention.v_proj(x))
    if past is not None:
        key = torch.cat([past[0], key], dim=2)
        value = torch.cat([past[1], value], dim=2)
    new, together = query.shape[2], key.shape[2]
    mask = torch.ones(new, together, dtype=torch.bool).tril(together - new)
    heads = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention.out_proj(heads.transpose(1, 2).flatten(2)), (key[:, :, -4:], value[:, :, -4:])


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
