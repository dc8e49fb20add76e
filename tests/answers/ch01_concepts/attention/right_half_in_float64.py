# Right: computes in 64 bits what has 16
def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention (Vaswani et al., arXiv:1706.03762, eq. 1).

    Args:
        query: (..., T_q, d_k).
        key: (..., T_k, d_k).
        value: (..., T_k, d_v).
        mask: Boolean, of a shape that broadcasts to (..., T_q, T_k) and adds no dimensions to it;
            True: this query may look at this key. None: every query may look at every key.

    The arguments are not modified.

    Returns:
        The output (..., T_q, d_v) and the weights (..., T_q, T_k). Weights sum to one over
        the keys; for a query that may look at nothing, weights and output are zero.

    >>> attention(torch.zeros(1, 4), torch.randn(3, 4), torch.tensor([[0.0], [3.0], [6.0]]))[0]
    tensor([[3.]])
    """
    dtype = query.dtype
    if dtype in (torch.float16, torch.bfloat16):  # compute in float32, return the inputs' type
        query, key, value = query.double(), key.double(), value.double()
    scores = (query / math.sqrt(query.shape[-1])) @ key.mT
    if mask is None:
        weights = F.softmax(scores, dim=-1)
    else:
        some = mask.any(-1, keepdim=True)  # queries that may look somewhere; the others keep finite scores, so that there is no 0/0
        weights = F.softmax(scores.masked_fill(~mask & some, -math.inf), dim=-1).masked_fill(~some, 0.0)
    return (torch.einsum('...qk,...kv->...qv', weights, value)).to(dtype), weights.to(dtype)


class MultiHeadAttention(nn.Module):
    """Multi-head attention over inputs of shape (batch, length, d_model).

    Args:
        d_model: width of inputs and outputs.
        n_heads: number of heads; divides d_model.
        bias: whether the four projections have biases.
    """

    def __init__(self, d_model: int, n_heads: int, bias: bool = True):
        super().__init__()
        self.n_heads = n_heads
        self.q_proj = nn.Linear(d_model, d_model, bias=bias)
        self.k_proj = nn.Linear(d_model, d_model, bias=bias)
        self.v_proj = nn.Linear(d_model, d_model, bias=bias)
        self.out_proj = nn.Linear(d_model, d_model, bias=bias)

    def split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, T, d_model) to (batch, n_heads, T, d_model / n_heads); head 0 has the first
        columns."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def merge_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n_heads, T, d_model / n_heads) back to (batch, T, d_model)."""
        return x.transpose(1, 2).flatten(2)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Projects, attends in every head, merges and mixes.

        Args:
            query: (batch, T_q, d_model).
            key, value: (batch, T_k, d_model).
            mask: Boolean, (T_q, T_k) or (batch, T_q, T_k), the same for all heads; True: may look.

        Returns:
            The output (batch, T_q, d_model) and each head's weights (batch, n_heads, T_q, T_k).
        """
        if mask is not None and mask.dim() == 3:
            mask = mask[:, None]
        q, k, v = (self.split_heads(p(x)) for p, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value)))
        output, weights = attention(q, k, v, mask)
        return self.out_proj(self.merge_heads(output)), weights
