# Right: torch.bmm on one leading axis of batch times heads, masks repeated for the heads
def attention(query, key, value, mask=None):
    lead = query.shape[:-2]
    q = query.reshape(-1, *query.shape[-2:])
    k = key.reshape(-1, *key.shape[-2:])
    v = value.reshape(-1, *value.shape[-2:])
    scores = torch.bmm(q, k.transpose(1, 2)) / np.sqrt(q.shape[2])
    if mask is not None:
        m = mask.broadcast_to(*lead, q.shape[1], k.shape[1]).reshape(scores.shape)
        scores = torch.where(m, scores, scores.new_tensor(torch.finfo(scores.dtype).min))
        weights = torch.where(m, F.softmax(scores, 2), scores.new_zeros(()))
    else:
        weights = F.softmax(scores, 2)
    output = torch.bmm(weights, v)
    return output.reshape(*lead, *output.shape[1:]), weights.reshape(*lead, *weights.shape[1:])


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, bias: bool = True):
        super().__init__()
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def split_heads(self, x):
        return x.reshape(*x.shape[:2], self.n_heads, -1).movedim(2, 1)

    def merge_heads(self, x):
        return x.movedim(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def forward(self, query, key, value, mask=None):
        batch, t_q, _ = query.shape
        t_k = key.shape[1]
        if mask is not None:
            mask = mask.expand(batch, t_q, t_k).repeat_interleave(self.n_heads, dim=0)
            mask = mask.reshape(batch, self.n_heads, t_q, t_k)
        heads, weights = attention(
            query=self.split_heads(self.q_proj(query)),
            key=self.split_heads(self.k_proj(key)),
            value=self.split_heads(self.v_proj(value)),
            mask=mask,
        )
        # The last linear layer, head by head.
        columns = self.out_proj.weight.chunk(self.n_heads, dim=1)
        mixed = sum(heads[:, i] @ column.T for i, column in enumerate(columns))
        if self.out_proj.bias is not None:
            mixed = mixed + self.out_proj.bias
        return mixed, weights
