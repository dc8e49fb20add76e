# Right: the keys are halved until a block is small, and halves are merged; blocking calls in the ring
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
    if m == 0 or (causal and n - 1 + offset < 0):
        shape = query.shape[:-1]
        return query.new_zeros(*shape, value.shape[-1]), query.new_full(shape, -math.inf)
    if m > block_size:
        cut = block_size * ((m + block_size - 1) // block_size // 2)
        first = blockwise(query, key[:, :, :cut], value[:, :, :cut], block_size, causal, offset)
        rest = (key[:, :, cut:], value[:, :, cut:])
        return merge(*first, *blockwise(query, *rest, block_size, causal, offset - cut))
    scores = torch.matmul(query, key.mT).div_(math.sqrt(query.shape[-1]))
    if causal:
        scores.masked_fill_(~torch.ones(n, m, dtype=torch.bool).tril_(offset), -math.inf)
    return scores.softmax(-1).nan_to_num_(0.0) @ value, scores.logsumexp(-1)


def ring_attention(query, key, value, causal=False):
    rank, n = dist.get_rank(), dist.get_world_size()
    T, d = key.shape[2:]
    travelling = torch.cat((key, value), -1)
    parts = []
    for step in range(n):
        source = (rank - step) % n
        k, v = travelling[..., :d], travelling[..., d:]
        parts.append(blockwise(query, k, v, T, causal, (rank - source) * T))
        if step == n - 1:
            break
        arriving = torch.empty_like(travelling)
        if rank == 0:
            dist.recv(arriving, n - 1)
            dist.send(travelling, 1 % n)
        else:
            dist.send(travelling, (rank + 1) % n)
            dist.recv(arriving, rank - 1)
        travelling = arriving
    while len(parts) > 1:
        parts.append(merge(*parts.pop(), *parts.pop()))
    return parts[0][0]
