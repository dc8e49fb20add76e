# Right: f by a hook, g by detach; einsum; attention written out; parameters in bare modules
def copy_to_ranks(x):
    def sum_up(gradient):
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total

    y = x.view_as(x)
    if y.requires_grad:
        y.register_hook(sum_up)
    return y


def sum_over_ranks(x):
    total = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return x + (total - x.detach())


def _pair(weight, bias):
    pair = nn.Module()
    pair.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    pair.bias = nn.Parameter(bias.detach().clone())
    return pair


class ParallelMLP(nn.Module):
    def __init__(self, dense):
        super().__init__()
        size, rest = divmod(dense.up.out_features, dist.get_world_size())
        if rest:
            raise ValueError("cannot be cut")
        own = slice(dist.get_rank() * size, (dist.get_rank() + 1) * size)
        self.up = _pair(dense.up.weight[own], dense.up.bias[own])
        self.down = _pair(dense.down.weight[:, own], dense.down.bias)
        self.keep, self.hidden, self.own = 1 - dense.dropout.p, dense.up.out_features, own

    def forward(self, x):
        x = copy_to_ranks(x)
        hidden = F.gelu(torch.einsum("...i,hi->...h", x, self.up.weight) + self.up.bias)
        if self.training:
            coins = torch.rand(*hidden.shape[:-1], self.hidden, dtype=hidden.dtype)[..., self.own]
            hidden = hidden * (coins < self.keep) / self.keep
        part = torch.einsum("...h,oh->...o", hidden, self.down.weight)
        return sum_over_ranks(part) + self.down.bias


class ParallelAttention(nn.Module):
    def __init__(self, dense):
        super().__init__()
        n, rank, width = dist.get_world_size(), dist.get_rank(), dense.out.in_features
        if dense.heads % n:
            raise ValueError("cannot be cut")
        own = torch.arange(width).view(n, -1)[rank]
        rows = torch.cat([own, own + width, own + 2 * width])
        self.qkv = _pair(dense.qkv.weight[rows], dense.qkv.bias[rows])
        self.out = _pair(dense.out.weight[:, own], dense.out.bias)
        self.head_width = width // dense.heads

    def forward(self, x):
        all_three = copy_to_ranks(x) @ self.qkv.weight.mT + self.qkv.bias
        query, key, value = all_three.unflatten(-1, (3, -1, self.head_width)).unbind(-3)
        scores = torch.einsum("bihw,bjhw->bhij", query, key) / math.sqrt(self.head_width)
        allowed = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
        mixed = torch.einsum("bhij,bjhw->bihw", weights, value).flatten(-2)
        return sum_over_ranks(mixed @ self.out.weight.mT) + self.out.bias
