# Right: blockwise keeps maximum, sum and weighted sum, as FlashAttention does; small blocks inside the ring
def merge(output, lse, other_output, other_lse):
    top = torch.maximum(lse, other_lse)
    top = torch.where(top == -math.inf, torch.zeros_like(top), top)
    a, b = torch.exp(lse - top), torch.exp(other_lse - top)
    total = a + b
    divisor = torch.where(total == 0, torch.ones_like(total), total)
    merged = (a[..., None] * output + b[..., None] * other_output) / divisor[..., None]
    return merged, top + torch.log(total)


def blockwise(query, key, value, block_size, causal=False, offset=0):
    query = query * query.shape[-1] ** -0.5
    n = query.shape[2]
    top = query.new_full((*query.shape[:-1], 1), -math.inf)
    total = torch.zeros_like(top)
    weighted = query.new_zeros(*query.shape[:-1], value.shape[-1])
    ends = key.shape[2] if not causal else max(0, min(key.shape[2], n + offset))
    for start in range(0, ends, block_size):
        k = key[:, :, start : start + block_size]
        scores = torch.einsum("bhid,bhjd->bhij", query, k)
        if causal:
            allowed = torch.ones(n, k.shape[2], dtype=torch.bool).tril(offset - start)
            scores = torch.where(allowed, scores, -math.inf)
        new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
        safe = torch.where(new_top == -math.inf, 0.0, new_top)
        correction = torch.exp(top - safe)
        weights = torch.exp(scores - safe)
        total = total * correction + weights.sum(-1, keepdim=True)
        weighted = weighted * correction + torch.einsum(
            "bhij,bhje->bhie", weights, value[:, :, start : start + block_size]
        )
        top = new_top
    empty = total == 0
    lse = torch.where(empty, -math.inf, torch.log(total) + torch.where(empty, 0.0, top))
    return weighted / torch.where(empty, 1.0, total), lse[..., 0]


def ring_attention(query, key, value, causal=False):
    rank, n = dist.get_rank(), dist.get_world_size()
    T = key.shape[2]
    key, value = key.contiguous(), value.contiguous()
    output, lse = blockwise(query, key, value, max(1, T // 2), causal)
    for step in range(1, n):
        next_key, next_value = torch.empty_like(key), torch.empty_like(value)
        requests = [
            dist.isend(key, (rank + 1) % n),
            dist.isend(value, (rank + 1) % n, tag=1),
            dist.irecv(next_key, (rank - 1) % n),
            dist.irecv(next_value, (rank - 1) % n, tag=1),
        ]
        for request in requests:
            request.wait()
        key, value = next_key, next_value
        source = (rank - step) % n
        if causal and source > rank:
            continue
        other = blockwise(query, key, value, max(1, T // 2), causal, (rank - source) * T)
        output, lse = merge(output, lse, *other)
    return output
