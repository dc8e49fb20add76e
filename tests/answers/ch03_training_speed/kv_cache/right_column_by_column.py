# Right: reads a prompt column by column, one query at a time, without a mask
Pair = tuple[torch.Tensor, torch.Tensor]


def cached_attention(attention: CausalAttention, x: torch.Tensor, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
    split = lambda z: z.unflatten(-1, (attention.heads, -1)).transpose(1, 2)  # noqa: E731
    q, k, v = split(attention.q_proj(x)), split(attention.k_proj(x)), split(attention.v_proj(x))
    m = 0 if past is None else past[0].size(2)
    if m:
        k, v = torch.cat((past[0], k), -2), torch.cat((past[1], v), -2)
    rows = [F.scaled_dot_product_attention(q[:, :, i : i + 1], k[:, :, : m + i + 1], v[:, :, : m + i + 1]) for i in range(x.size(1))]
    return attention.out_proj(torch.cat(rows, 2).transpose(1, 2).flatten(2)), (k, v)


def _read(model, ids, cache):
    m, new = cache[-1][0].size(2) if cache else 0, []
    hidden = model.tokens(ids) + model.positions.weight[m]
    for i, block in enumerate(model.blocks):
        more, pair = cached_attention(block.attention, block.before_attention(hidden), cache[i] if cache else None)
        hidden = hidden + more
        hidden = hidden + block.network(block.before_network(hidden))
        new.append(pair)
    return hidden, new


def extend(model: CachelessGPT, ids: torch.Tensor, cache: list[Pair] | None = None) -> tuple[torch.Tensor, list[Pair]]:
    if (cache[-1][0].size(2) if cache else 0) + ids.size(1) > model.positions.num_embeddings:
        raise ValueError
    for column in ids.unbind(1):
        hidden, cache = _read(model, column[:, None], cache)
    return (model.norm(hidden) @ model.tokens.weight.T).squeeze(1), cache


def write_cached(model: CachelessGPT, ids: torch.Tensor, n_new: int) -> torch.Tensor:
    if n_new > 0 and ids.size(1) + n_new - 1 > model.positions.num_embeddings:
        raise ValueError("context")
    with torch.no_grad():
        cache, out = None, ids
        for _ in range(n_new):
            unread = out if cache is None else out[:, -1:]
            logits, cache = extend(model, unread, cache)
            out = torch.cat([out, logits.max(-1).indices[:, None]], 1)
    return out
