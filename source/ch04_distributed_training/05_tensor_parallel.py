# %% [markdown]
# ## 4.5 Tensor parallelism
#
# **Tensor parallelism** cuts the matrices of each layer, and every device computes a part of every layer. Those of a Transformer's small network, $\mathrm{GELU}(x W_1) W_2$, can be cut by columns or by rows:
#
# $$x \begin{bmatrix} A & B \end{bmatrix} = \begin{bmatrix} xA & xB \end{bmatrix} \qquad\qquad \begin{bmatrix} x & y \end{bmatrix} \begin{bmatrix} A \\ B \end{bmatrix} = xA + yB$$
#
# Columns give parts of the result, rows terms of a sum. **Predict:** you cut $W_1$ one way and $W_2$ the other. Which order gives the result of the uncut layer?

# %% tags=["demo", "shown"]
def cut_in_two() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w1, w2 = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (4, 8), (8, 4)))
    whole = F.gelu(x @ w1) @ w2
    columns_first = sum(F.gelu(x @ a) @ b for a, b in zip(w1.chunk(2, 1), w2.chunk(2, 0), strict=True))
    rows_first = torch.cat([sum(F.gelu(part @ a) for part, a in zip(x.chunk(2, 1), w1.chunk(2, 0), strict=True)) @ b for b in w2.chunk(2, 1)], 1)
    print(f"columns, then rows: off by {(columns_first - whole).abs().max():.4f}")
    print(f"rows, then columns: off by {(rows_first - whole).abs().max():.4f}")


cut_in_two()

# %% [markdown]
# Columns first. A column of $W_1$ makes one whole hidden unit, and GELU needs no other. Rows would give every rank a term of *every* unit, and $\mathrm{GELU}(a) + \mathrm{GELU}(b) \neq \mathrm{GELU}(a + b)$. In attention, the unit is
# a head: each rank has some heads, with the columns that make their queries, keys and values, and the rows of the output matrix that read them. (`nn.Linear` keeps $W^\top$: columns are rows of `weight`.)
#
# ### Two operators for autograd
#
# Shoeybi et al. (*Megatron-LM*, arXiv:1909.08053, section 3) put all the traffic into two operators:
#
# | | forward | backward | where |
# |---|---|---|---|
# | $f$ | nothing | sum over ranks | $x$ enters the parts |
# | $g$ | sum over ranks | nothing | the parts' results are put together |
#
# With $y = \sum_r y_r$, each $y_r$ gets the gradient of $y$. And $x$ went into all parts, so its gradient is the sum of what comes back; a rank knows one term. **Predict:** you forget $f$. Which are wrong: the output, the gradients of the layer's
# parameters, the gradient of $x$? (The answer follows the exercise.)
#
# Three common mistakes:
#
# - **The last bias** added on every rank before the sum counts $N$ times. It belongs behind the sum.
# - **A fused matrix** for queries, keys and values, cut as one, gives rank 0 of 2 all queries and half of the keys.
# - **Dropout** with the same random state on all ranks drops the same units of each part.

# %% nbgrader={"grade": false, "grade_id": "setup_tensor_parallel", "locked": true, "schema_version": 3, "solution": false, "task": false}
class DenseMLP(nn.Module):
    """The small network of a Transformer block, uncut."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) to (..., width)."""
        return self.down(self.dropout(F.gelu(self.up(x))))


class DenseAttention(nn.Module):
    """Causal self-attention in several heads, uncut. One matrix makes queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width)."""
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(attended.transpose(1, 2).flatten(2))


# %% [markdown]
# ### Exercise 4.5 · A network and attention in parts
#
# > **Difficulty** ★★★★ · **60 minutes** · **13 points** · PyTorch
#
# **Write** $f$ and $g$, and then the two modules. All collectives but `dist.all_reduce` are blocked during grading, and what is sent is counted.
#
# <details><summary>Hint 1: an operator with its own backward pass</summary>
#
# A `torch.autograd.Function`, called by `.apply(x)`. `dist.all_reduce` changes its tensor: give it a copy, `tensor.clone(memory_format=torch.contiguous_format)`.
# </details>
#
# <details><summary>Hint 2: which slices?</summary>
#
# `weight.chunk(n)[rank]` for what a rank makes, `weight.chunk(n, 1)[rank]` for what it reads. For the fused matrix first `chunk(3)`, then each by rank, then `torch.cat`. Clone, or the whole matrix stays in memory.
# </details>
#
# <details><summary>Hint 3: dropout</summary>
#
# If all ranks draw a mask for all $N$ parts, and each uses one part of it, masks differ and the generators' states stay equal.
# </details>

# %% nbgrader={"grade": false, "grade_id": "tensor_parallel", "locked": false, "schema_version": 3, "solution": true, "task": false}
def copy_to_ranks(x: torch.Tensor) -> torch.Tensor:
    """Forward: the values of x. Backward: the gradient is the sum of all ranks' gradients. ("f")

    It goes where a tensor that all ranks hold enters parts that differ by rank.

    Args:
        x: floating point, of any shape and type, the same on all ranks. Not modified; nor is the
            gradient that arrives.

    Returns:
        A tensor that may share x's memory. In the backward pass, one all-reduce, if x needs a gradient;
        nothing is sent otherwise.

    >>> def work(rank, world_size):
    ...     x = torch.ones(1, requires_grad=True)
    ...     (copy_to_ranks(x) * 10**rank).sum().backward()
    ...     return x.grad
    >>> run_ranks(work, 2)
    [tensor([11.]), tensor([11.])]
    """
    ### BEGIN SOLUTION
    return _CopyToRanks.apply(x)


def _summed(tensor):
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class _CopyToRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return _summed(gradient)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return _summed(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient
    ### END SOLUTION


def sum_over_ranks(x: torch.Tensor) -> torch.Tensor:
    """Forward: the sum of all ranks' x. Backward: the gradient itself. ("g")

    It goes where parts that differ by rank are put together. What follows is the same on all ranks,
    and so is the gradient that comes back: nothing is left to sum up.

    Args:
        x: floating point, of the same shape and type on all ranks. Not modified.

    Returns:
        A new tensor. One all-reduce in the forward pass, nothing is sent in the backward pass.

    >>> def work(rank, world_size):
    ...     x = torch.full((1,), 10.0**rank, requires_grad=True)
    ...     total = sum_over_ranks(x)
    ...     (2 * total).sum().backward()
    ...     return total.item(), x.grad.item()
    >>> run_ranks(work, 2)
    [(11.0, 2.0), (11.0, 2.0)]
    """
    ### BEGIN SOLUTION
    return _SumOverRanks.apply(x)
    ### END SOLUTION


class ParallelMLP(nn.Module):
    """What `DenseMLP` computes, with a part of its hidden units on each rank. All ranks call it.

    Rank r holds the r-th of N equal blocks of hidden units. The parameters are `up.weight`
    (hidden / N, width), `up.bias` (hidden / N), `down.weight` (width, hidden / N) and `down.bias`
    (width), and no others. Their memory is their own, and the dense module is not kept.

    The output, the gradient of x and that of the parameters are those of the dense module, or this
    rank's part of them. The forward pass needs one all-reduce of x's size, the backward pass one
    more if x needs a gradient, and nothing else is sent.

    In training mode each hidden unit of each token is dropped with the dense module's probability,
    independently of all others, on this rank and on the others; what is kept is divided by
    1 - p, as in `F.dropout`. Torch's default generators are in the same state on all ranks
    before the call, and after it.
    """

    def __init__(self, dense: DenseMLP):
        """Takes this rank's part of a module in training mode, without frozen parameters, equal on all ranks. It is not modified.

        Raises:
            ValueError: the number of ranks does not divide the number of hidden units.

        >>> run_ranks(lambda rank, world_size: tuple(ParallelMLP(DenseMLP(4, 10)).up.weight.shape), 2)
        [(5, 4), (5, 4)]
        """
        super().__init__()
        ### BEGIN SOLUTION
        rank, n = dist.get_rank(), dist.get_world_size()
        if dense.up.out_features % n:
            raise ValueError(f"{n} ranks cannot share {dense.up.out_features} hidden units")
        self.dropout = dense.dropout.p
        self.up = _linear(dense.up.weight.chunk(n, 0)[rank], dense.up.bias.chunk(n)[rank])
        self.down = _linear(dense.down.weight.chunk(n, 1)[rank], dense.down.bias)
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width), the same on all ranks, to (..., width), the same on all ranks."""
        ### BEGIN SOLUTION
        hidden = F.gelu(self.up(copy_to_ranks(x)))
        rank, n = dist.get_rank(), dist.get_world_size()
        everybody = hidden.new_ones(*hidden.shape[:-1], n, hidden.shape[-1])
        hidden = hidden * F.dropout(everybody, self.dropout, self.training)[..., rank, :]
        return sum_over_ranks(hidden @ self.down.weight.T) + self.down.bias


def _linear(weight, bias):
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear
    ### END SOLUTION


class ParallelAttention(nn.Module):
    """What `DenseAttention` computes, with a part of its heads on each rank. All ranks call it.

    Rank r holds the r-th of N equal blocks of heads. The parameters are `qkv.weight`
    (3 width / N, width) and `qkv.bias`, with the queries, then the keys, then the values of its heads,
    `out.weight` (width, width / N) and `out.bias` (width), and no others. All else is as for `ParallelMLP`;
    there is no dropout.
    """

    def __init__(self, dense: DenseAttention):
        """Takes this rank's part of a module in training mode, without frozen parameters, equal on all ranks. It is not modified.

        Raises:
            ValueError: the number of ranks does not divide the number of heads.

        >>> run_ranks(lambda rank, world_size: tuple(ParallelAttention(DenseAttention(8, heads=4)).qkv.weight.shape), 2)
        [(12, 8), (12, 8)]
        """
        super().__init__()
        ### BEGIN SOLUTION
        rank, n = dist.get_rank(), dist.get_world_size()
        if dense.heads % n:
            raise ValueError(f"{n} ranks cannot share {dense.heads} heads")
        self.heads = dense.heads // n
        own = [torch.cat([part.chunk(n)[rank] for part in whole.chunk(3)]) for whole in (dense.qkv.weight, dense.qkv.bias)]
        self.qkv = _linear(*own)
        self.out = _linear(dense.out.weight.chunk(n, 1)[rank], dense.out.bias)
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width), the same on all ranks, to (B, T, width), the same on all ranks."""
        ### BEGIN SOLUTION
        parts = self.qkv(copy_to_ranks(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return sum_over_ranks(attended.transpose(1, 2).flatten(2) @ self.out.weight.T) + self.out.bias
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_tensor_parallel", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
import gc
import weakref

check = Checks(points=13)


@cache_with_errors
def on_ranks(work, world_size, *args):
    """What `run_ranks` returns. All checks use it, so that an answer pays for two deadlocks at most."""
    return probe(lambda *args: run_ranks(work, world_size, *args), *args)


def random_weights(dense, seed):
    """Weights, and biases, too, for which all outputs and gradients are of size 1 or so."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in dense.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * (1.5 if p.dim() == 1 else 1.5 / p.shape[1] ** 0.5))
    return dense


def make_dense(kind, seed=0, dtype=torch.float64):
    """Widths and hidden units that 1, 2 and 3 ranks divide."""
    return random_weights((DenseMLP(5, 12) if kind == "mlp" else DenseAttention(12, 6)).to(dtype), seed)


def make_inputs(kind, seed=0):
    """Pairs of x and the gradient that comes from above."""
    generator = torch.Generator().manual_seed(seed)
    width = 5 if kind == "mlp" else 12
    shapes = [(2, 4, width), (1, 7, width)] + [(4, width), (width,), (2, 0, width)] * (kind == "mlp")
    pairs = [tuple(torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2)) for shape in shapes]
    pairs.append((pairs[0][0].transpose(0, 1), pairs[0][1].transpose(0, 1)))  # not contiguous
    return pairs


def one_pass(module, x, pull, needs_gradient=True):
    """Output, gradients by name, the names and sizes of what is sent, and whether x is unchanged."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_(needs_gradient)
    given = x.detach().clone()
    module.zero_grad()
    with count_traffic(allowed=("all_reduce",)) as forward:
        y = module(x)
    if y is None:
        return None
    with count_traffic(allowed=("all_reduce",)) as backward:
        (y * pull).sum().backward()
    gradients = {"x": x.grad} | {name: p.grad for name, p in module.named_parameters()}
    return y.detach(), gradients, (forward.calls, backward.calls), torch.equal(given, x.detach())


def own_part(name, whole, rank, n):
    """What a rank should have of a dense parameter, or of its gradient."""
    if name in ("up.weight", "up.bias"):
        return whole.unflatten(0, (n, -1))[rank]
    if name in ("qkv.weight", "qkv.bias"):
        return whole.unflatten(0, (3, n, -1))[:, rank].flatten(0, 1)
    if name in ("down.weight", "out.weight"):
        return whole.unflatten(1, (n, -1))[:, rank]
    return whole


def same(found, truth, atol=1e-9):
    return torch.is_tensor(found) and found.shape == truth.shape and found.dtype == truth.dtype and torch.allclose(found, truth, atol=atol, rtol=0)


@check(points=0.5, hint="An autograd.Function. Which of the two directions communicates?")
def f_copies_and_sums_back():
    """copy_to_ranks gives x, and sums up the gradients of all ranks."""
    def work(rank, world_size):
        x = torch.tensor([2.0, 3.0, 5.0], requires_grad=True)
        y = copy_to_ranks(x)
        if y is None:
            return None
        (y * torch.tensor([1.0, 2.0, 3.0]) * 10**rank).sum().backward()
        return y.detach(), x.grad

    for rank, found in enumerate(on_ranks(work, 2)):
        assert found is not None, "copy_to_ranks returns None: is the return missing?"
        y, gradient = found
        assert torch.equal(y, torch.tensor([2.0, 3.0, 5.0])), f"on rank {rank}, copy_to_ranks([2, 3, 5]) is {y.tolist()}"
        assert gradient is not None and gradient.tolist() == [11, 22, 33], f"rank 0 has the gradient [1, 2, 3], rank 1 has [10, 20, 30]; on rank {rank}, x gets {None if gradient is None else gradient.tolist()} instead of the sum"


@check(points=0.5, hint="The mirror image of f: all-reduce a copy in forward, return the gradient as it is in backward.")
def g_sums_and_copies_back():
    """sum_over_ranks gives the sum of all ranks' x, and passes the gradient on as it is."""
    def work(rank, world_size):
        x = torch.tensor([1.0, 2.0, 3.0]).mul(10**rank).requires_grad_()
        y = sum_over_ranks(x)
        if y is None:
            return None
        (y * torch.tensor([2.0, 3.0, 5.0])).sum().backward()
        return y.detach(), x.grad

    for rank, found in enumerate(on_ranks(work, 2)):
        assert found is not None, "sum_over_ranks returns None: is the return missing?"
        y, gradient = found
        assert y.tolist() == [11, 22, 33], f"rank 0 has [1, 2, 3], rank 1 has [10, 20, 30]; on rank {rank} the result is {y.tolist()}"
        assert gradient is not None and gradient.tolist() == [2, 3, 5], f"on both ranks the gradient [2, 3, 5] arrives; on rank {rank}, x gets {None if gradient is None else gradient.tolist()}"


def parallel(kind, dense):
    return ParallelMLP(dense) if kind == "mlp" else ParallelAttention(dense)


def see_first_pass(kind, name):
    """For a visible check: two ranks, 32 bits; output and gradient of x."""
    dense, (x, pull) = make_dense(kind, dtype=torch.float32), make_inputs(kind)[0]
    x, pull = x.float(), pull.float()
    truth, gradients, *_ = one_pass(dense, x, pull)
    last = list(dense.parameters())[-1].detach()

    def work(rank, world_size, x, pull):
        return one_pass(parallel(kind, make_dense(kind, dtype=torch.float32)), x, pull)

    for rank, found in enumerate(on_ranks(work, 2, x, pull)):
        assert found is not None, f"the forward method of {name} returns None: is the return missing?"
        y, own, *_ = found
        assert y.shape == truth.shape, f"on rank {rank} the output has the shape {tuple(y.shape)} instead of {tuple(truth.shape)}"
        assert not same(y - truth, last.expand(truth.shape), 1e-3), f"on rank {rank} the output is off by the last bias, once: is it added on every rank before the sum?"
        assert not same(truth - y, last.expand(truth.shape), 1e-3), f"on rank {rank} the last bias is missing"
        assert same(y, truth, 1e-4), f"on rank {rank} the output is off by up to {(y - truth).abs().max():.3g}; outputs have the size {truth.abs().mean():.2g}"
        assert own["x"] is not None, f"on rank {rank}, x gets no gradient"
        assert same(own["x"], gradients["x"], 1e-3), f"on rank {rank} the output is right, and the gradient of x is off by up to {(own['x'] - gradients['x']).abs().max():.3g}: does x go through copy_to_ranks, and the result through sum_over_ranks?"


@check(points=1, hint="Hidden units: rows of up.weight with their biases, columns of down.weight. The last bias comes after the sum.")
def mlp_on_two_ranks():
    """ParallelMLP gives on two ranks the output of DenseMLP, and its gradient of x."""
    see_first_pass("mlp", "ParallelMLP")


@check(points=1, hint="qkv has the rows of all queries, then of all keys, then of all values: cut each of the three.")
def attention_on_two_ranks():
    """ParallelAttention gives on two ranks the output of DenseAttention, and its gradient of x."""
    see_first_pass("attention", "ParallelAttention")


### BEGIN HIDDEN TESTS
@cache_with_errors
def passes(kind, world_size):
    """For each rank: what `one_pass` says of each input, then of the first without a gradient of x; memory; whether the dense module is unchanged; how much of it lives on."""
    def work(rank, world_size, *inputs):
        gc.freeze()  # what is older need not be looked at below
        dense = make_dense(kind)
        module = parallel(kind, dense)
        found = [one_pass(module, x, pull) for x, pull in inputs] + [one_pass(module, *inputs[0], needs_gradient=False)]
        before = [p.detach().clone() for p in make_dense(kind).parameters()]
        memory = {name: (tuple(p.shape), p.untyped_storage().nbytes() // p.element_size()) for name, p in module.named_parameters()}
        buffers = sum(buffer.numel() for buffer in module.buffers())
        unchanged = all(torch.equal(a, b) for a, b in zip(before, dense.parameters(), strict=True)) and all(p.grad is None and p.requires_grad for p in dense.parameters())
        watched = [weakref.ref(p) for p in dense.parameters()]
        del dense
        if any(ref() is not None for ref in watched):
            gc.collect()
        return found, memory, buffers, unchanged, sum(ref() is not None for ref in watched)

    return on_ranks(work, world_size, *make_inputs(kind))


@cache_with_errors
def truths(kind):
    dense, inputs = make_dense(kind), make_inputs(kind)
    return [one_pass(dense, x, pull) for x, pull in [*inputs, inputs[0]]]


def compare(kind, world_size, name):
    """Fails where an output ("y"), the gradient of x ("x") or one of the parameters' ("parameters") is not the dense module's."""
    for rank, (found, *_) in enumerate(passes(kind, world_size)):
        for i, (own, truth) in enumerate(zip(found, truths(kind), strict=True)):
            (y, gradients), (true_y, true_gradients) = own[:2], truth[:2]
            needs = i + 1 < len(found)
            if name == "y" and not same(y, true_y):
                fail(f"An output is wrong on {world_size} ranks, for x with the shape {tuple(true_y.shape)}.")
            if name == "x" and needs and not same(gradients["x"], true_gradients["x"]):
                fail(f"A gradient of x is wrong on {world_size} ranks, for x with the shape {tuple(true_y.shape)}.")
            if name == "parameters":
                for parameter, whole in true_gradients.items():
                    if parameter != "x" and not same(gradients.get(parameter), own_part(parameter, whole, rank, world_size)):
                        fail(f"The gradient of {parameter} is wrong on {world_size} ranks" + ("." if needs else ", where x needs no gradient."))


@check(points=1, hint="The memory of x and of the gradient is not yours, and a gradient may be expanded, so that several elements share memory: all-reduce a copy.")
def f_and_g_for_any_tensor():
    """f and g work for any shape, type, memory layout and number of ranks, and change neither x nor the gradient."""
    def work(rank, world_size, *inputs):
        found = []
        for f in (copy_to_ranks, sum_over_ranks):
            for values in inputs:
                x = (values * (rank + 1 if f is sum_over_ranks else 1)).requires_grad_()
                before, other = x.detach().clone(), (values * 0).requires_grad_()
                aside = other * 3
                y = f(x)
                shares = f is sum_over_ranks and y.numel() > 0 and y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
                sign = 10 ** (rank if f is copy_to_ranks else 0)
                ((y + aside) * values * sign).sum().backward()  # both terms get the same gradient, in the same memory
                found.append((y.detach(), x.grad, other.grad, torch.equal(x.detach(), before), shares))
                z = torch.ones_like(values).requires_grad_()
                f(z).sum().backward()  # an expanded gradient
                found.append((f(z).detach(), z.grad, None, True, False))
        return found

    generator = torch.Generator().manual_seed(3)
    inputs = [torch.randint(-4, 5, shape, generator=generator).to(dtype) + (2**25 + 1 if dtype == torch.float64 else 0) for shape, dtype in (((), torch.float64), ((0,), torch.float32), ((2, 3), torch.float32), ((3, 1, 4), torch.float64), ((5,), torch.bfloat16))]
    inputs.append(torch.arange(12.0).view(3, 4).T)
    for world_size in (1, 3):
        total, powers = world_size * (world_size + 1) // 2, sum(10**rank for rank in range(world_size))
        for rank, found in enumerate(on_ranks(work, world_size, *inputs)):
            for i, values in enumerate([*inputs, *inputs]):
                is_f = i < len(inputs)
                (y, gradient, other, unchanged, shares), (_, expanded, *_) = found[2 * i : 2 * i + 2]
                name = "copy_to_ranks" if is_f else "sum_over_ranks"
                where = f"for {name} on {world_size} rank{'s' * (world_size > 1)}, with the shape {tuple(values.shape)} and {values.dtype}"
                atol = 1e-9 if values.dtype != torch.bfloat16 else 16
                if not same(y, values if is_f else values * total, atol):
                    fail(f"The result is wrong {where}.")
                if not same(gradient, values * (powers if is_f else 1), atol) or not same(expanded, torch.ones_like(values) * (world_size if is_f else 1), 1e-9):
                    fail(f"The gradient is wrong {where}.")
                if not same(other, values * 3 * (10**rank if is_f else 1), atol):
                    fail(f"The gradient that arrived was changed, and others needed it, {where}.")
                if not unchanged or shares:
                    fail(f"x was changed, or the result shares its memory, {where}.")


@check(points=1, hint="Cut into as many parts as there are ranks, and add the last bias once.")
def outputs_on_any_number_of_ranks():
    """The outputs are the dense modules' on one, two and three ranks, in float64, for any shape that is allowed."""
    for kind in ("mlp", "attention"):
        for world_size in (1, 2, 3):
            compare(kind, world_size, "y")


@check(points=1.5, hint="On each rank, the gradient of x comes from its own part only: the all-reduce in the backward pass adds the others.")
def gradients_of_x():
    """The gradient of x is the dense modules' on each of one, two and three ranks."""
    for kind in ("mlp", "attention"):
        for world_size in (1, 2, 3):
            compare(kind, world_size, "x")


@check(points=1.5, hint="The gradient that reaches g is complete on every rank. Summed up once more, it is N times too large; and so is all before it.")
def gradients_of_parameters():
    """All parameters get their part of the dense gradient, and the last bias gets all of it on every rank, also where x needs no gradient."""
    for kind in ("mlp", "attention"):
        for world_size in (1, 2, 3):
            compare(kind, world_size, "parameters")


@check(points=1.5, hint="One all-reduce at the end of the forward pass, one at the end of the backward pass. Gradients of parameters need none, and no activations are gathered.")
def sends_two_tensors():
    """Forward and backward each need one all-reduce of x's size; without a gradient of x, backward needs none."""
    for kind in ("mlp", "attention"):
        for found, *_ in passes(kind, 3):
            for i, (own, truth) in enumerate(zip(found, truths(kind), strict=True)):
                calls, y = own[2], truth[0]
                for way, made, most in (("forward", calls[0], 1), ("backward", calls[1], int(i + 1 < len(found)))):
                    if [call[1] for call in made] != [y.numel()] * most:
                        fail(f"The {way} pass makes {len(made)} all-reduces where {most} of x's size is due" + (", for x without a gradient." if i + 1 == len(found) else "."))


@check(points=1, hint="Clone the slices: a view keeps the whole matrix in memory.")
def holds_a_part_only():
    """Each rank holds 1/N of each matrix, in memory of its own; the dense module is neither kept nor changed, and x is not changed."""
    for kind in ("mlp", "attention"):
        for world_size in (2, 3):
            whole = dict(make_dense(kind).named_parameters())
            for rank, (found, memory, buffers, unchanged, alive) in enumerate(passes(kind, world_size)):
                if memory.keys() != whole.keys():
                    fail("The names of the parameters are not those of the docstring.")
                for name, (shape, held) in memory.items():
                    wanted = own_part(name, whole[name], rank, world_size)
                    if shape != tuple(wanted.shape):
                        fail(f"{name} has a wrong shape on {world_size} ranks.")
                    if held > wanted.numel():
                        fail(f"The memory of {name} is larger than {name} itself: is it a view of the dense matrix?")
                if buffers > 20 or alive:
                    fail("The module keeps the dense module's parameters, or copies of them.")
                if not unchanged:
                    fail("The dense module was changed.")
                if not all(is_unchanged for *_, is_unchanged in found):
                    fail("x was changed.")


@check(points=0.5, hint="Compare with the remainder of the division, before anything is cut.")
def refuses_what_cannot_be_cut():
    """ValueError, if the number of ranks does not divide hidden units or heads."""
    def work(rank, world_size):
        found = []
        for make, dense in ((ParallelMLP, DenseMLP(6, 10)), (ParallelMLP, DenseMLP(6, 2)), (ParallelAttention, DenseAttention(12, 4)), (ParallelAttention, DenseAttention(12, 2))):
            try:
                make(dense)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    if not all(all(refused) for refused in on_ranks(work, 3)):
        fail("On three ranks, 10 or 2 hidden units, or 4 or 2 heads, are not refused by a ValueError.")


@check(points=1, hint="All ranks have the same random state. Draw for the hidden units of all ranks and take your own, or seed a generator with the rank for a moment.")
def dropout_differs_by_rank():
    """Hidden units are dropped independently on all ranks, with the right probability, in training only; the outputs and the random state stay equal."""
    def work(rank, world_size):
        dense = DenseMLP(8, 8, dropout=0.25)
        with torch.no_grad():  # the output shows each hidden unit
            dense.up.weight.zero_()
            dense.up.bias.fill_(1)
            dense.down.weight.copy_(torch.eye(8))
            dense.down.bias.zero_()
        module = ParallelMLP(dense)
        with torch.no_grad(), count_traffic(allowed=("all_reduce",)) as traffic:
            seen = [module(torch.zeros(4, 100, 8)) for _ in range(2)]
        return seen, module.eval()(torch.zeros(2, 8)).detach(), torch.rand(3), traffic.calls

    by_rank = on_ranks(work, 2)
    value = F.gelu(torch.tensor(1.0))
    for seen, evaluated, state, calls in by_rank:
        if len(calls) != 2:
            fail("Two calls with dropout do not make two all-reduces.")
        if not all(same(a, b, 1e-6) for a, b in zip(seen, by_rank[0][0], strict=True)):
            fail("Two ranks return different outputs.")
        if not same(state, by_rank[0][2]):
            fail("After the call, the ranks' generators are in different states.")
        if not same(evaluated, value.expand(2, 8), 1e-5):
            fail("Something is dropped in evaluation mode.")
    first, second = by_rank[0][0]
    kept = first.abs() > 1e-6
    if not same(first, kept * value / 0.75, 1e-5):
        fail("What is kept is not divided by 1 - p.")
    if abs(float(kept.float().mean()) - 0.75) > 0.06:
        fail("The share of dropped units is not p, or one mask serves several tokens.")
    # Where two masks are independent, they agree in 0.75^2 + 0.25^2 = 62.5 % of their places.
    units = kept.flatten(0, 1)
    pairs = [(units[:, i], units[:, j]) for i in range(8) for j in range(i)] + [(units[:-1].flatten(), units[1:].flatten()), (kept[:-1].flatten(), kept[1:].flatten()), (kept, second.abs() > 1e-6)]
    if max(float((a == b).float().mean()) for a, b in pairs) > 0.8:
        fail("Of two hidden units, tokens or calls, both are dropped or none, too often: they are not independent.")


@check(points=1, hint="Each module by itself: x goes in through f, and the sum comes out of g. Nothing of one call may be needed by the next.")
def a_block_of_both():
    """Attention and network in a residual block, gone through twice, give the dense outputs and gradients."""
    def run(attention, mlp, x, pull):
        def forward(y):
            for _ in range(2):
                y = y + attention(y)
                y = y + mlp(y) / 2
            return y

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.attention, self.mlp = attention, mlp

            def forward(self, y):
                return forward(y)

        return one_pass(Block(), x, pull)[:2]

    def dense_parts():
        return make_dense("attention", 5), random_weights(DenseMLP(12, 6).double(), 6)

    def work(rank, world_size, x, pull):
        attention, mlp = dense_parts()
        return run(ParallelAttention(attention), ParallelMLP(mlp), x, pull)

    x, pull = make_inputs("attention", 5)[0]
    truth, gradients = run(*dense_parts(), x, pull)
    for rank, (y, own) in enumerate(on_ranks(work, 2, x, pull)):
        if not same(y, truth, 1e-7):
            fail("The output is wrong.")
        for name, whole in gradients.items():
            if not same(own.get(name), own_part(name.partition(".")[2], whole, rank, 2), 1e-6):
                fail(f"The gradient of {name} is wrong.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Without f
#
# Four blocks of attention and network on two ranks, with your $f$, and without it.

# %% tags=["demo", "raises-exception"]
def compare_without_f() -> None:
    n_blocks = 4

    def work(rank: int, world_size: int) -> list[float]:
        found = []
        for forget in (False, True):
            torch.manual_seed(0)
            dense = [layer.double() for _ in range(n_blocks) for layer in (DenseAttention(32, 4), DenseMLP(32, 128))]
            parts = [ParallelAttention(layer) if isinstance(layer, DenseAttention) else ParallelMLP(layer) for layer in dense]
            if forget:
                globals()["copy_to_ranks"] = lambda x: x  # in this process only
            gradients = []
            for layers in (dense, parts):
                x = torch.randn(2, 16, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
                y = x
                for layer in layers:
                    y = y + layer(y)
                y.square().sum().backward()
                gradients.append([y.detach(), x.grad, *(layer.down.bias.grad if hasattr(layer, "down") else layer.out.bias.grad for layer in layers)])
            found.append([float((a - b).norm() / a.norm()) for a, b in zip(*gradients, strict=True)])
        return found

    try:
        right, wrong = run_ranks(work, 2)[0]
    except NotImplementedError:
        print("This figure is made by your functions and modules. Write them first.")
        return
    _, ax = plt.subplots(figsize=(6, 3))
    layers = np.arange(1, 2 * n_blocks + 1)
    ax.plot(layers, right[2:], "o-", label="with $f$")
    ax.plot(layers, wrong[2:], "s-", color="C5", label="without $f$")
    ax.set(title="Gradient of each layer's last bias", xlabel="layer", ylabel="relative error", xticks=layers, ylim=(-0.05, None))
    ax.legend()
    plt.show()
    print(f"relative error with f:    output {right[0]:.2f}, gradient of x {right[1]:.2f}")
    print(f"relative error without f: output {wrong[0]:.2f}, gradient of x {wrong[1]:.2f}")


compare_without_f()

# %% [markdown]
# Without $f$, the output is exact, and so is the last layer's gradient: **a test of one layer that does not look at the gradient of $x$ passes**. But $x$ gets a part of its gradient only, and so do all layers before: in this run, the error grows to almost half of the gradient.
#
# *"Model parallelism reduces communication, and the parts are trained separately."* No part computes an output or a gradient alone. And communication is added: in each step, a block all-reduces four tensors of $T d$ numbers for $T$ tokens, twice forward and
# twice backward. Data parallelism all-reduces the gradients of about $12 d^2$ parameters. **Predict:** from how many tokens on does tensor parallelism send more?

# %% tags=["demo", "raises-exception"]
def draw_traffic(width: int = 64) -> None:
    tokens = [32, 64, 128, 256, 512]

    def work(rank: int, world_size: int) -> list[float]:
        layers = [ParallelAttention(DenseAttention(width, 4)), ParallelMLP(DenseMLP(width, 4 * width))]
        sent = []
        for n in tokens:
            y = torch.randn(1, n, width, requires_grad=True)
            with count_traffic() as traffic:
                for layer in layers:
                    y = y + layer(y)
                y.sum().backward()
            sent.append(traffic.bytes_sent / 1e3)
        return sent

    try:
        tensor_parallel = run_ranks(work, 2)[0]
    except NotImplementedError:
        print("This figure is made by your functions and modules. Write them first.")
        return
    parameters = sum(p.numel() for module in (DenseAttention(width, 4), DenseMLP(width, 4 * width)) for p in module.parameters())
    _, ax = plt.subplots(figsize=(6, 3.2))
    ax.plot(tokens, tensor_parallel, "o-", label="tensor parallel: activations and their gradients")
    ax.axhline(4 * parameters / 1e3, color="C5", ls="--", label="data parallel: gradients of parameters")
    ax.set(title=f"All-reduced in a step by each rank, one block of width {width}", xlabel="tokens that a rank reads in a step", ylabel="KB", ylim=(0, None))
    ax.legend(fontsize=8.5)
    plt.show()
    print("tensor parallel, KB:", ", ".join(f"{n} tokens: {kb:.0f}" for n, kb in zip(tokens, tensor_parallel, strict=True)), f"; data parallel: {4 * parameters / 1e3:.0f}")


draw_traffic()

# %% [markdown]
# From about $T = 3d$ on: here from 194 tokens. The next layer has to wait for the sum, while data parallelism sends gradients during the backward pass. So tensor parallelism is for fast links, usually those inside one server
# (Narayanan et al., arXiv:2104.04473). What it reduces is **memory**: a rank holds $1/N$ of each matrix, of its gradient and of the optimizer's state.
#
# **Your turn.** Change the last line to `draw_traffic(128)`. Where do the lines cross now, and how many KB is that?
#
# <details><summary>Answer</summary>
#
# At 386 tokens, again about $3d$, and at 791 KB: twice the activations for each token, four times the parameters.
# </details>
