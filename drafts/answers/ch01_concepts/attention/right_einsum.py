# Right: Einstein sums for every product, and heads as named axes
def attention(query, key, value, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", query, key) * query.size(-1) ** -0.5
    if mask is None:
        mask = torch.ones((), dtype=torch.bool)
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(mask.logical_not(), lowest).softmax(-1).masked_fill(~mask, 0)
    return torch.einsum("...qk,...kv->...qv", weights, value), weights


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True):
        super().__init__()
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def split_heads(self, x):
        return torch.einsum("bthw->bhtw", x.unflatten(-1, (self.n_heads, -1)))

    def merge_heads(self, x):
        return torch.einsum("bhtw->bthw", x).flatten(-2)

    def forward(self, query, key, value, mask=None):
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if mask is not None:
            mask = mask.expand(query.shape[0], q.shape[1], k.shape[1])[:, None]
        heads, weights = attention(*map(self.split_heads, (q, k, v)), mask)
        return self.out_proj(self.merge_heads(heads)), weights
