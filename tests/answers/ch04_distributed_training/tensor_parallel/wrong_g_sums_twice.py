# Wrong: g sums up the gradients, too
# Fails: g_sums_and_copies_back, gradients_of_parameters, sends_two_tensors
class Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient


class Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, gradient):
        return Enter.backward(ctx, gradient)


def copy_to_ranks(x):
    return Enter.apply(x)


def sum_over_ranks(x):
    return Leave.apply(x)


def mine(tensor, axis=0):
    n = dist.get_world_size()
    return tensor.detach().tensor_split(n, axis)[dist.get_rank()].clone()


def layer(weight, bias):
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    linear.weight = nn.Parameter(weight)
    linear.bias = nn.Parameter(bias)
    return linear


class ParallelMLP(nn.Module):
    def __init__(self, dense):
        super().__init__()
        n = dist.get_world_size()
        if dense.up.out_features % n != 0:
            raise ValueError("hidden units")
        self.up = layer(mine(dense.up.weight), mine(dense.up.bias))
        self.down = layer(mine(dense.down.weight, 1), dense.down.bias.detach().clone())
        self.p = dense.dropout.p

    def forward(self, x):
        hidden = F.gelu(self.up(copy_to_ranks(x)))
        n, rank = dist.get_world_size(), dist.get_rank()
        masks = F.dropout(hidden.new_ones(n, *hidden.shape), self.p, self.training)
        hidden = hidden * masks[rank]
        return sum_over_ranks(F.linear(hidden, self.down.weight)) + self.down.bias


class ParallelAttention(nn.Module):
    def __init__(self, dense):
        super().__init__()
        n = dist.get_world_size()
        if dense.heads % n != 0:
            raise ValueError("heads")
        self.heads = dense.heads // n
        weight = torch.cat([mine(part) for part in dense.qkv.weight.chunk(3)])
        bias = torch.cat([mine(part) for part in dense.qkv.bias.chunk(3)])
        self.qkv = layer(weight, bias)
        self.out = layer(mine(dense.out.weight, 1), dense.out.bias.detach().clone())

    def forward(self, x):
        B, T, _ = x.shape
        q, k, v = (
            part.view(B, T, self.heads, -1).transpose(1, 2)
            for part in self.qkv(copy_to_ranks(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(B, T, -1)
        return sum_over_ranks(F.linear(mixed, self.out.weight)) + self.out.bias
