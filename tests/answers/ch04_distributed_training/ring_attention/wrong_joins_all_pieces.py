# Wrong: all pieces are collected and joined, and only the scores are made in blocks
# Fails: computes_in_pieces
def merge(output, lse, other_output, other_lse):
    both = torch.logaddexp(lse, other_lse)
    safe = both.masked_fill(both == -math.inf, 0)
    return (lse - safe).exp()[..., None] * output + (other_lse - safe).exp()[..., None] * other_output, both


def blockwise(query, key, value, block_size, causal=False, offset=0):
    (*batch, n, d), m = query.shape, key.shape[2]
    output = query.new_zeros(*batch, n, value.shape[-1])
    lse = query.new_full((*batch, n), -math.inf)
    for start in range(0, m, block_size):
        if causal and start > n - 1 + offset:
            break
        k, v = key[:, :, start : start + block_size], value[:, :, start : start + block_size]
        scores = query @ k.transpose(-1, -2) / math.sqrt(d)
        if causal:
            allowed = torch.arange(start, start + k.shape[2]) <= torch.arange(n)[:, None] + offset
            scores = scores.masked_fill(~allowed, -math.inf)
        block_lse = scores.logsumexp(-1)
        safe = block_lse.masked_fill(block_lse == -math.inf, 0)
        output, lse = merge(output, lse, (scores - safe[..., None]).exp() @ v, block_lse)
    return output, lse


def ring_attention(query, key, value, causal=False):
    rank, n, length, d = dist.get_rank(), dist.get_world_size(), query.shape[2], query.shape[3]
    held = torch.cat([key, value], -1)
    output = query.new_zeros(*query.shape[:3], value.shape[-1])
    pieces = {}
    for step in range(n):
        source = (rank - step) % n
        requests = []
        if step < n - 1:
            arriving = torch.empty_like(held)
            requests = [dist.isend(held, (rank + 1) % n), dist.irecv(arriving, (rank - 1) % n)]
        pieces[source] = held
        for request in requests:
            request.wait()
        if requests:
            held = arriving
    whole = torch.cat([pieces[i] for i in range(rank + 1 if causal else n)], 2)
    return blockwise(query, whole[..., :d], whole[..., d:], length, causal, rank * length)[0]
