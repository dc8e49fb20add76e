# Wrong: torch's own attention
# Fails: five_keys_in_blocks_of_two, any_sizes_in_blocks, any_number_of_ranks
def merge(output, lse, other_output, other_lse):
    top = torch.maximum(lse, other_lse)
    top = torch.where(top == -math.inf, torch.zeros_like(top), top)
    a, b = torch.exp(lse - top), torch.exp(other_lse - top)
    total = a + b
    divisor = torch.where(total == 0, torch.ones_like(total), total)
    merged = (a[..., None] * output + b[..., None] * other_output) / divisor[..., None]
    return merged, top + torch.log(total)


def blockwise(query, key, value, block_size, causal=False, offset=0):
    n, m = query.shape[2], key.shape[2]
    allowed = torch.ones(n, m, dtype=torch.bool).tril(offset) if causal else None
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    scores = scores if allowed is None else scores.masked_fill(~allowed, -math.inf)
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return output.nan_to_num(0.0), scores.logsumexp(-1)


def ring_attention(query, key, value, causal=False):
    rank, n = dist.get_rank(), dist.get_world_size()
    T = key.shape[2]
    key, value = key.contiguous(), value.contiguous()
    output, lse = blockwise(query, key, value, T, causal)
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
        other = blockwise(query, key, value, T, causal, (rank - source) * T)
        output, lse = merge(output, lse, *other)
    return output
