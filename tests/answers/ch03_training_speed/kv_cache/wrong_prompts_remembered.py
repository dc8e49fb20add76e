# Wrong: the continuation of a prompt is kept, also when the weights change
# Fails: caches_are_independent
Pair = tuple[torch.Tensor, torch.Tensor]


def cached_attention(attention: CausalAttention, x: torch.Tensor, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
    query, key, value = (
        project(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if past is not None:
        key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
    n, total = query.shape[2], key.shape[2]
    mask = torch.ones(n, total, dtype=torch.bool, device=x.device).tril(total - n)
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return attention.out_proj(attended.transpose(1, 2).flatten(2)), (key, value)


def extend(model: CachelessGPT, ids: torch.Tensor, cache: list[Pair] | None = None) -> tuple[torch.Tensor, list[Pair]]:
    m = 0 if cache is None else cache[0][0].shape[2]
    n = ids.shape[1]
    if m + n > len(model.positions.weight):
        raise ValueError(f"{m + n} tokens do not fit into a context of {len(model.positions.weight)}")
    hidden = model.tokens(ids) + model.positions.weight[m : m + n]
    new = []
    for i, block in enumerate(model.blocks):
        attended, pair = cached_attention(block.attention, block.before_attention(hidden), None if cache is None else cache[i])
        new.append(pair)
        hidden = hidden + attended
        hidden = hidden + block.network(block.before_network(hidden))
    return model.norm(hidden[:, -1]) @ model.tokens.weight.T, new


def write_cached(model: CachelessGPT, ids: torch.Tensor, n_new: int) -> torch.Tensor:
    if n_new == 0:
        return ids.clone()
    if ids.shape[1] + n_new - 1 > len(model.positions.weight):
        raise ValueError("too many tokens for the context")
    rows, piece, cache = [ids], ids, None
    known = write_cached.__dict__.setdefault('known', {})
    key = (id(model), tuple(map(tuple, ids.tolist())))
    if key in known and known[key].shape[1] >= ids.shape[1] + n_new:
        return known[key][:, : ids.shape[1] + n_new].clone()
    with torch.no_grad():
        for _ in range(n_new):
            logits, cache = extend(model, piece, cache)
            piece = logits.argmax(-1, keepdim=True)
            rows.append(piece)
    known[key] = torch.cat(rows, dim=1)
    return known[key].clone()
