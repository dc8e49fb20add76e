# Wrong: exponentials without a maximum
# Fails: scores_that_rise_and_fall
def merge(output, lse, other_output, other_lse):
    top = torch.maximum(lse, other_lse)
    top = torch.where(top == -math.inf, torch.zeros_like(top), top)
    a, b = torch.exp(lse - top), torch.exp(other_lse - top)
    total = a + b
    divisor = torch.where(total == 0, torch.ones_like(total), total)
    merged = (a[..., None] * output + b[..., None] * other_output) / divisor[..., None]
    return merged, top + torch.log(total)


def blockwise(query, key, value, block_size, causal=False, offset=0):
    n, d = query.shape[-2:]
    output = torch.zeros(*query.shape[:-1], value.shape[-1], dtype=query.dtype)
    lse = torch.full(query.shape[:-1], -math.inf, dtype=query.dtype)
    positions = torch.arange(n)[:, None] + offset
    for start in range(0, key.shape[2], block_size):
        if causal and start > n - 1 + offset:
            continue
        k, v = (t[:, :, start : start + block_size] for t in (key, value))
        scores = query @ k.transpose(-1, -2) / d**0.5
        if causal:
            hidden = torch.arange(start, start + k.shape[2])[None] > positions
            scores = scores.masked_fill(hidden, -math.inf)
        top = torch.zeros_like(scores[..., :1])
        top = torch.where(top == -math.inf, torch.zeros_like(top), top)
        weights = torch.exp(scores - top)
        total = weights.sum(-1, keepdim=True)
        mean = weights @ v / torch.where(total == 0, torch.ones_like(total), total)
        output, lse = merge(output, lse, mean, (torch.log(total) + top)[..., 0])
    return output, lse


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
