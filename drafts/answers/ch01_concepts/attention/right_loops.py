# Right: one query at a time, only the keys that it may look at, and one head at a time
def attend_once(query, key, value, mask):
    """The matrices of one sequence and head, query by query."""
    rows, outputs = [], []
    for i in range(query.shape[0]):
        row = torch.zeros(key.shape[0], dtype=query.dtype) * (query[i].sum() + key.sum())
        allowed = mask[i].nonzero()[:, 0]
        if len(allowed):
            scores = torch.stack([query[i].dot(key[j]) for j in allowed]) / math.sqrt(query.shape[1])
            row = row.index_put((allowed,), F.softmax(scores, dim=0))
        rows.append(row)
        outputs.append(row @ value)
    return torch.stack(outputs), torch.stack(rows)


def attention(query, key, value, mask=None):
    lead, t_q, t_k = query.shape[:-2], query.shape[-2], key.shape[-2]
    if mask is None:
        mask = torch.ones(t_q, t_k, dtype=torch.bool)
    mask = mask.expand(*lead, t_q, t_k).reshape(-1, t_q, t_k)
    flat = [x.reshape(-1, *x.shape[-2:]) for x in (query, key, value)]
    results = [attend_once(*sequence) for sequence in zip(*flat, mask)]
    output = torch.stack([o for o, _ in results]).reshape(*lead, t_q, value.shape[-1])
    weights = torch.stack([w for _, w in results]).reshape(*lead, t_q, t_k)
    return output, weights


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True):
        super().__init__()
        self.n_heads = n_heads
        self.head_width = d_model // n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def split_heads(self, x):
        return torch.stack(x.split(self.head_width, dim=-1), dim=1)

    def merge_heads(self, x):
        return torch.cat([x[:, head] for head in range(self.n_heads)], dim=-1)

    def forward(self, query, key, value, mask=None):
        q = self.split_heads(self.q_proj(query))
        k = self.split_heads(self.k_proj(key))
        v = self.split_heads(self.v_proj(value))
        heads, weights = [], []
        for head in range(self.n_heads):
            output, weight = attention(q[:, head], k[:, head], v[:, head], mask)
            heads.append(output)
            weights.append(weight)
        return self.out_proj(self.merge_heads(torch.stack(heads, 1))), torch.stack(weights, 1)
