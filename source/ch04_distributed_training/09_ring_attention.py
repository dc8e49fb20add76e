# %% [markdown]
# ## 4.9 Ring attention
#
# In a sequence of a million tokens, one head of one layer has $10^{12}$ scores: 2 TB in 16 bits. Models read such sequences, and never hold those scores. Nor does a device hold all keys and values: the sequence itself is cut over the ranks (**context parallelism**).
#
# But the softmax of a query runs over *all* keys. **Predict:** a query's attention to the first half of the keys is 1.0, to the second half 5.0. What more must you know to tell its attention to all of them?
#
# ### Attention in pieces
#
# How much each half weighs. For a set $A$ of keys with scores $s_j$ and values $v_j$, keep
#
# $$\mathrm{lse}_A = \log \sum_{j \in A} e^{s_j}, \qquad o_A = \sum_{j \in A} e^{s_j - \mathrm{lse}_A}\, v_j .$$
#
# Two sets that have no key in common are then put together exactly:
#
# $$\mathrm{lse} = \log\big(e^{\mathrm{lse}_A} + e^{\mathrm{lse}_B}\big), \qquad o = e^{\mathrm{lse}_A - \mathrm{lse}}\, o_A + e^{\mathrm{lse}_B - \mathrm{lse}}\, o_B .$$
#
# The order of the sets does not matter. So keys can be taken block by block, and the scores of one block forgotten before the next (Rabe and Staats, *Self-attention Does Not Need $O(n^2)$ Memory*, arXiv:2112.05682). FlashAttention does so in the fast memory of a GPU
# (Dao et al., arXiv:2205.14135). The blocks may lie on different devices, too. In **ring attention** (Liu et al., arXiv:2310.01889) queries stay, and keys and values travel around the ring of section 4.1. While a rank computes with one block, the next one arrives.
#
# Four common mistakes:
#
# - **The mean** of two outputs. On random keys both lse are nearly equal, and it looks almost right.
# - **Too large exponentials.** $e^{\mathrm{lse}}$ overflows in 32 bits from 89 on. `torch.logaddexp` and `torch.logsumexp` avoid that; so does subtracting the maximum, if it is the maximum of *all* blocks so far.
# - **Nothing allowed.** A query that may look at no key of a block has the lse $-\infty$, and $e^{-\infty - (-\infty)}$ is NaN.
# - **Local positions.** A causal mask compares positions in the whole sequence, not in the piece.
#
# ### Exercise 4.9 · Attention around a ring
#
# > **Difficulty** ★★★☆ · **60 minutes** · **13 points** · PyTorch
#
# **Write** three functions. PyTorch's own attention and all collectives are blocked during grading. What is sent, the largest tensor and the operations of matrix products are counted. Gradients are not asked for.
#
# <details><summary>Hint 1: minus infinity</summary>
#
# `torch.logaddexp` of $-\infty$ and $-\infty$ is $-\infty$. Before you subtract it, replace it: `lse.masked_fill(lse == -math.inf, 0)`.
# </details>
#
# <details><summary>Hint 2: one block</summary>
#
# Begin with an output of 0 and an lse of $-\infty$. For each block: `scores.logsumexp(-1)`, `exp(scores - lse)`, the product with the values, `merge`.
# </details>
#
# <details><summary>Hint 3: the ring</summary>
#
# Whose keys does rank $r$ hold after $s$ steps? The distance of their positions from those of your queries is the `offset` of `blockwise`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ring_attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
Attended = tuple[torch.Tensor, torch.Tensor]


def merge(output: torch.Tensor, lse: torch.Tensor, other_output: torch.Tensor, other_lse: torch.Tensor) -> Attended:
    """Attention to two sets of keys together, from attention to each of them.

    Args:
        output: (..., T, e), the softmax-weighted mean of the values of the first set.
        lse: (..., T), the log of the sum of the exponentials of its scores; finite, of any size, or
            -inf: this query may look at none of these keys, and its output is 0.
        other_output, other_lse: the same for the second set. Nothing is modified.

    Returns:
        Output and lse for both sets together, of the same shapes and type. Where both lse are -inf,
        the output is 0 and lse is -inf.

    >>> merge(torch.tensor([[1.0]]), torch.tensor([0.0]), torch.tensor([[5.0]]), torch.tensor([math.log(3)]))
    (tensor([[4.]]), tensor([1.3863]))
    """
    ### BEGIN SOLUTION
    both = torch.logaddexp(lse, other_lse)
    safe = both.masked_fill(both == -math.inf, 0)
    shares = [(part - safe).exp().unsqueeze(-1) for part in (lse, other_lse)]
    return shares[0] * output + shares[1] * other_output, both
    ### END SOLUTION


def blockwise(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, block_size: int, causal: bool = False, offset: int = 0
) -> Attended:
    """Softmax attention, with the keys taken in blocks, so that no large matrix of scores is made.

    Scores are divided by the root of d. With `causal`, query i may look at key j where
    j <= i + offset, counted from 0. A query that may look at nothing gets 0.

    No tensor of more than B h Tq max(block_size, d, e) elements is made, apart from views of the arguments;
    the tests accept twice as many. Blocks that no query may look at are not computed.

    Args:
        query: (B, h, Tq, d), float32 or float64. None of the three is modified; they need not be contiguous.
        key: (B, h, Tk, d), of the same type.
        value: (B, h, Tk, e), of the same type.
        block_size: number of keys in a block, at least 1; the last block may be shorter.
        causal: whether there is a mask.
        offset: the position of the first query minus that of the first key; may be negative. Without `causal` it means nothing.

    Returns:
        The output (B, h, Tq, e), and lse (B, h, Tq), the log of the sum of the exponentials of the
        scores of all keys that the query may look at; -inf where there are none.

    >>> output, lse = blockwise(torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 6, 2), torch.ones(1, 1, 6, 2), block_size=4)
    >>> output.shape, lse[0, 0, 0]  # six scores of 0: the log of 6
    (torch.Size([1, 1, 3, 2]), tensor(1.7918))
    """
    ### BEGIN SOLUTION
    output = query.new_zeros(*query.shape[:-1], value.shape[-1])
    lse = query.new_full(query.shape[:-1], -math.inf)
    last = torch.arange(query.shape[2]).unsqueeze(-1) + offset  # that each query may look at
    for start in range(0, key.shape[2], block_size):
        if causal and start > last[-1]:
            break
        keys, values = key[:, :, start : start + block_size], value[:, :, start : start + block_size]
        scores = query @ keys.mT / math.sqrt(query.shape[-1])
        if causal:
            scores = scores.masked_fill(torch.arange(start, start + keys.shape[2]) > last, -math.inf)
        block_lse = scores.logsumexp(-1)
        safe = block_lse.masked_fill(block_lse == -math.inf, 0)
        weights = (scores - safe.unsqueeze(-1)).exp()
        output, lse = merge(output, lse, weights @ values, block_lse)
    return output, lse
    ### END SOLUTION


def ring_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool = False) -> torch.Tensor:
    """Attention over a sequence that is cut into N equal pieces, one on each rank. All ranks call it.

    Rank r holds queries, keys and values at the positions r T to (r + 1) T - 1. Keys and values
    travel around the ring; queries stay. A rank sends to the next rank only, and at most (N - 1) times as many
    elements as its key and value have. It makes no tensor of more than B h T max(T, d + e)
    elements, whatever N is; the tests accept twice as many. With `causal`, a rank does not compute scores
    for keys that come from later ranks.

    Args:
        query: (B, h, T, d), this rank's piece; the same shape and type on all ranks, float32 or float64.
            None of the three is modified; they need not be contiguous.
        key: (B, h, T, d).
        value: (B, h, T, e).
        causal: whether each position looks at itself and at earlier ones only, in the whole sequence.

    Returns:
        (B, h, T, e): this rank's piece of the attention over all N T positions.

    >>> def work(rank, world_size):
    ...     query = key = torch.zeros(1, 1, 2, 4)
    ...     return ring_attention(query, key, torch.full((1, 1, 2, 1), float(rank))).flatten()
    >>> run_ranks(work, 3)  # all scores are equal: the mean of 0, 1 and 2
    [tensor([1., 1.]), tensor([1., 1.]), tensor([1., 1.])]
    """
    ### BEGIN SOLUTION
    rank, n = dist.get_rank(), dist.get_world_size()
    length, width = key.shape[2], key.shape[3]
    held = torch.cat([key, value], dim=-1)
    output, lse = torch.zeros_like(value), value.new_full(value.shape[:-1], -math.inf)
    for step in range(n):
        requests, received = [], torch.empty_like(held)
        if step < n - 1:  # travels while the rank computes
            requests = [dist.isend(held, (rank + 1) % n), dist.irecv(received, (rank - 1) % n)]
        source = (rank - step) % n
        keys, values = held[..., :width], held[..., width:]
        part = blockwise(query, keys, values, length, causal, offset=(rank - source) * length)
        output, lse = merge(output, lse, *part)
        for request in requests:
            request.wait()
        held = received
    return output
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ring_attention", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=13)


@cache_with_errors
def on_ranks(work, world_size, *args):
    """What `run_ranks` returns. All checks use it, so that an answer pays for two deadlocks at most."""
    return probe(lambda *args: run_ranks(work, world_size, *args), *args)


def draw(seed, *shapes, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).mul(scale).to(dtype) for shape in shapes]


def dense_attention(query, key, value, allowed=None):
    """Output and lse, all at once in 64 bits; 0 and -inf where nothing is allowed."""
    query, key, value = query.double(), key.double(), value.double()
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    return torch.nan_to_num(scores.softmax(-1), nan=0.0) @ value, scores.logsumexp(-1)


def causal_mask(n_queries, n_keys, offset=0):
    return torch.ones(n_queries, n_keys, dtype=torch.bool).tril(offset)


def close(found, truth, like, atol=1e-10):
    """Whether it is a tensor of that shape, of the type of `like`, with these values; -inf agrees with -inf only."""
    if not torch.is_tensor(found) or found.shape != truth.shape or found.dtype != like.dtype:
        return False
    found, finite = found.double(), truth.isfinite()
    return torch.equal(found.isfinite(), finite) and torch.equal(found[~finite], truth[~finite]) and torch.allclose(found[finite], truth[finite], atol=atol, rtol=atol)


LIBRARY = ("*scaled_dot_product*", "*flash_attention*", "*efficient_attention*")


def guarded(function, *args):
    with forbidden("torch.nn.functional.scaled_dot_product_attention", operations=LIBRARY):
        return function(*args)


@check(points=1, hint="Each set's share of the whole is exp(its lse - lse of both); lse of both is torch.logaddexp.")
def merges_two_sets():
    """merge puts attention to 2 keys and to 4 other keys together."""
    query, key, value = draw(0, (1, 1, 3, 4), (1, 1, 6, 4), (1, 1, 6, 2), dtype=torch.float32)
    first, second = (dense_attention(query, key[:, :, part], value[:, :, part]) for part in (slice(0, 2), slice(2, 6)))
    truth, true_lse = dense_attention(query, key, value)
    found = merge(*(tensor.float() for tensor in (*first, *second)))
    assert found is not None, "merge returns None: is the return missing?"
    output, lse = found
    assert output.shape == truth.shape, f"the output has the shape {tuple(output.shape)} instead of {tuple(truth.shape)}"
    mean = (first[0] + second[0]) / 2
    assert not torch.allclose(output.double(), mean, atol=1e-4), "the output is the mean of the two outputs; but the sets have different weights"
    assert torch.allclose(output.double(), truth, atol=1e-4), f"the output is off by up to {(output - truth).abs().max():.3g}"
    assert lse.shape == true_lse.shape and torch.allclose(lse.double(), true_lse, atol=1e-4), "the output is right, and lse is wrong"


@check(points=1, hint="For each block: scores, their logsumexp, weights exp(score - lse), output; then merge.")
def five_keys_in_blocks_of_two():
    """blockwise gives what attention gives, for 4 queries and 5 keys in blocks of 2, with and without a causal mask."""
    query, key, value = draw(1, (1, 2, 4, 3), (1, 2, 5, 3), (1, 2, 5, 6), dtype=torch.float32)
    for causal in (False, True):
        found = probe(lambda *args: guarded(blockwise, *args), query, key, value, 2, causal, 1)
        assert found is not None, "blockwise returns None: is the return missing?"
        truth, true_lse = dense_attention(query, key, value, causal_mask(4, 5, 1) if causal else None)
        case = "with causal=True and offset=1" if causal else "without a mask"
        assert found[0].shape == truth.shape, f"the output has the shape {tuple(found[0].shape)} instead of {tuple(truth.shape)}"
        assert not found[0].isnan().any(), f"there are NaNs {case}"
        assert torch.allclose(found[0].double(), truth, atol=1e-4), f"{case} the output is off by up to {(found[0] - truth).abs().max():.3g}"
        assert found[1].shape == true_lse.shape and torch.allclose(found[1].double(), true_lse, atol=1e-4), f"{case} the output is right, and lse is wrong"


def ring_once(rank, world_size, query, key, value, causal):
    pieces = [tensor.chunk(world_size, dim=2)[rank] for tensor in (query, key, value)]
    return guarded(ring_attention, *pieces, causal)


@check(points=1, hint="Positions count in the whole sequence: what comes from rank s begins at s T, and your queries begin at rank T.")
def two_ranks_share_a_sequence():
    """On two ranks, ring_attention gives each its piece of the attention over six positions."""
    query, key, value = draw(2, (1, 1, 6, 4), (1, 1, 6, 4), (1, 1, 6, 2), dtype=torch.float32)
    for causal in (False, True):
        found = on_ranks(ring_once, 2, query, key, value, causal)
        truth, _ = dense_attention(query, key, value, causal_mask(6, 6) if causal else None)
        for rank, (output, wanted) in enumerate(zip(found, truth.chunk(2, dim=2), strict=True)):
            assert output is not None, "ring_attention returns None: is the return missing?"
            assert output.shape == wanted.shape, f"rank {rank} returns the shape {tuple(output.shape)} instead of {tuple(wanted.shape)}"
            assert torch.allclose(output.double(), wanted, atol=1e-4), f"rank {rank} is off by up to {(output - wanted).abs().max():.3g}, causal={causal}"


### BEGIN HIDDEN TESTS
def watched(function, *args):
    """The result, the elements of the largest tensor that was made, and operations of matrix products."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    largest = [0]
    storages = {arg.untyped_storage().data_ptr() for arg in args if torch.is_tensor(arg)}

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (list, tuple)) else [result]:
                if torch.is_tensor(tensor) and tensor.untyped_storage().data_ptr() not in storages:
                    largest[0] = max(largest[0], tensor.untyped_storage().nbytes() // tensor.element_size())
            return result

    with FlopCounterMode(display=False) as counter, Largest():
        result = guarded(function, *args)
    return result, largest[0], counter.get_total_flops()


@check(points=1, hint="exp(lse) overflows, and exp(-inf - (-inf)) is NaN. Subtract the larger lse, or 0 where both are -inf.")
def merges_any_lse():
    """merge is right for huge lse, for -inf on one side or on both, for any shape, keeps the type, and modifies nothing."""
    def run(cases):
        found = []
        for case in cases:
            given = [tensor.clone() for tensor in case]
            found.append((merge(*case), all(torch.equal(a, b) for a, b in zip(given, case, strict=True))))
        return found

    cases, truths = [], []
    for dtype, largest in ((torch.float64, 1e5), (torch.float32, 400.0)):
        sizes = torch.tensor([0.0, 3.0, 120.0, -120.0, largest, -largest])
        first, second = draw(3, (36, 2), (36, 2), dtype=dtype)
        lse, other = (grid.flatten().to(dtype) for grid in torch.meshgrid(sizes, sizes + 0.5, indexing="ij"))
        lse, other = lse.clone(), other.clone()
        share = torch.sigmoid(lse.double() - other.double()).unsqueeze(-1)
        cases.append((first, lse, second, other))
        truths.append((share * first.double() + (1 - share) * second.double(), torch.logaddexp(lse.double(), other.double())))
        nothing, zero = torch.full((36,), -math.inf, dtype=dtype), torch.zeros(36, 2, dtype=dtype)
        cases += [(first, lse, zero, nothing), (zero, nothing, second, other), (zero, nothing, zero.clone(), nothing.clone())]
        truths += [(first.double(), lse.double()), (second.double(), other.double()), (zero.double(), nothing.double())]
        deep = draw(4, (2, 3, 5, 4), (2, 3, 5), (2, 3, 5, 4), (2, 3, 5), dtype=dtype)
        cases.append(tuple(deep))
        share = torch.sigmoid(deep[1].double() - deep[3].double()).unsqueeze(-1)
        truths.append((share * deep[0].double() + (1 - share) * deep[2].double(), torch.logaddexp(deep[1].double(), deep[3].double())))
    for case, truth, (found, unchanged) in zip(cases, truths, probe(run, cases), strict=True):
        atol = 1e-9 if case[0].dtype == torch.float64 else 1e-3  # 400 has 3e-5 of rounding
        which = "where an lse is -inf" if any(tensor.isinf().any() for tensor in case) else "where an lse is large" if case[1].abs().max() > 100 else "for a tensor with more axes"
        if not close(found[0], truth[0], case[0], atol) or not close(found[1], truth[1], case[0], atol):
            fail(f"Output or lse is wrong {which}.")
        if not unchanged:
            fail("An argument was changed.")


def blockwise_everywhere(cases):
    found = []
    for query, key, value, *rest in cases:
        given = [tensor.clone() for tensor in (query, key, value)]
        result = guarded(blockwise, query, key, value, *rest)
        found.append((result, all(torch.equal(a, b) for a, b in zip(given, (query, key, value), strict=True))))
    return found


def check_blockwise(cases, atol=1e-10):
    for (query, key, value, block_size, causal, offset), (result, unchanged) in zip(cases, probe(blockwise_everywhere, cases), strict=True):
        truth = dense_attention(query, key, value, causal_mask(query.shape[2], key.shape[2], offset) if causal else None)
        where = f"for {query.shape[2]} queries and {key.shape[2]} keys in blocks of {block_size}" + (f", causal, with the offset {offset}" if causal else "")
        for name, a, b in zip(("output", "lse"), result, truth, strict=True):
            if torch.is_tensor(a) and a.isnan().any():
                fail(f"There are NaNs in the {name} {where}.")
            if not close(a, b, query, atol):
                fail(f"The {name} is wrong {where}.")
        if not unchanged:
            fail("An argument was changed.")


@check(points=1.5, hint="The last block may be shorter than the others, and the first one longer than all keys.")
def any_sizes_in_blocks():
    """Without a mask, blockwise agrees in float64 with attention, for any sizes, blocks and memory layouts."""
    cases = []
    for i, (n_queries, n_keys, block_size) in enumerate([(4, 7, 1), (7, 4, 2), (3, 12, 5), (5, 5, 5), (1, 9, 4), (6, 3, 100), (2, 1, 1)]):
        query, key, value = draw(10 + i, (2, 3, n_queries, 4), (2, 3, n_keys, 4), (2, 3, n_keys, 1 + i % 5), scale=2)
        cases.append((query, key, value, block_size, False, -3))
    query, key, value = (tensor.transpose(1, 2) for tensor in draw(20, (2, 6, 3, 4), (2, 8, 3, 4), (2, 8, 3, 4)))
    cases.append((query, key, value, 3, False, 0))
    check_blockwise(cases)
    check_blockwise([tuple(t.float() if torch.is_tensor(t) else t for t in case) for case in cases[:2]], atol=1e-4)


@check(points=1.5, hint="Query i has the position i + offset. Where a block is forbidden throughout, its lse is -inf: exp(-inf - (-inf)) is NaN.")
def any_offset():
    """With a causal mask, blockwise is right for any offset; a query that may look at nothing gets 0 and -inf."""
    cases = []
    for i, (n_queries, n_keys, block_size, offset) in enumerate([(6, 6, 2, 0), (6, 6, 4, 0), (5, 9, 3, 4), (5, 9, 2, 2), (4, 7, 3, -2), (7, 7, 2, -4), (3, 5, 2, -3), (3, 5, 2, -9), (4, 6, 1, 40), (3, 8, 3, 0), (5, 5, 7, -1)]):
        query, key, value = draw(30 + i, (2, 2, n_queries, 4), (2, 2, n_keys, 4), (2, 2, n_keys, 3), scale=2)
        cases.append((query, key, value, block_size, True, offset))
    check_blockwise(cases)


@check(points=1, hint="The largest score may come in any block: what was summed up before it has to be scaled down. merge does that, in logarithms.")
def scores_that_rise_and_fall():
    """In float32, scores that rise or fall over the keys, up to some thousands, give finite and right results."""
    cases = []
    for sign in (1, -1):
        for size in (30, 1000):
            query, value = torch.ones(1, 2, 5, 4), draw(50, (1, 2, 12, 3), dtype=torch.float32)[0]
            key = sign * size * torch.arange(-6.0, 6.0).view(1, 1, 12, 1).expand(1, 2, 12, 4) / 4
            cases += [(query, key.contiguous(), value, 2, False, 0), (query, key.contiguous(), value, 3, True, 4)]
    check_blockwise(cases, atol=1e-3)


@check(points=1, hint="Scores of all queries with one block of keys at a time.")
def makes_no_large_tensor():
    """blockwise makes no tensor that is much larger than the scores of one block."""
    query, key, value = draw(60, (1, 2, 256, 8), (1, 2, 256, 8), (1, 2, 256, 8), dtype=torch.float32)
    for causal in (False, True):
        (output, _), largest, _ = probe(lambda *args: watched(blockwise, *args), query, key, value, 16, causal, 0)
        truth, _ = dense_attention(query, key, value, causal_mask(256, 256) if causal else None)
        if not close(output, truth, query, 1e-4):
            fail("The output is wrong for 256 keys in blocks of 16.")
        most = 2 * 256 * 16
        if largest > 2 * most:
            fail(f"A tensor of {largest:,} elements is made, more than twice B h Tq max(block_size, d, e) = {most:,}.")


@check(points=1, hint="Compare the first key of a block with the last key that the last query may look at, before you compute scores.")
def leaves_out_forbidden_blocks():
    """Blocks that no query may look at cost no operations."""
    query, key, value = draw(61, (1, 2, 32, 8), (1, 2, 64, 8), (1, 2, 64, 4), dtype=torch.float32)
    one = 2 * 2 * 32 * 16 * (8 + 4)  # both products, for a block of 16 keys
    for offset, blocks in ((0, 2), (-16, 1), (-17, 1), (-31, 1), (-32, 0), (1, 3), (32, 4)):
        (output, _), _, flops = probe(lambda *args: watched(blockwise, *args), query, key, value, 16, True, offset)
        truth, _ = dense_attention(query, key, value, causal_mask(32, 64, offset))
        if not close(output, truth, query, 1e-4):
            fail("The output is wrong.")
        if flops > one * blocks:
            fail("Blocks are computed that no query may look at.")


def ring_everywhere(rank, world_size, *cases):
    """For each case: result, calls, whether the arguments are unchanged, the largest tensor, operations."""
    found = []
    for *tensors, causal in cases:
        pieces = [tensor.chunk(world_size, dim=2)[rank] for tensor in tensors]
        pieces = [piece.clone(memory_format=torch.preserve_format) for piece in pieces]
        given = [piece.clone() for piece in pieces]
        with count_traffic(allowed=("send", "recv")) as traffic:
            result, largest, flops = watched(ring_attention, *pieces, causal)
        found.append((result, traffic.calls, all(torch.equal(a, b) for a, b in zip(given, pieces, strict=True)), largest, flops))
    return found


@cache_with_errors
def rings(world_size):
    """Cases (query, key, value, causal), with what each rank reports of each."""
    cases = []
    for causal in (False, True):
        for seed, (batch, heads, length, d, e) in enumerate([(2, 3, 5, 4, 4), (1, 2, 1, 3, 5), (1, 1, 48, 4, 2), (1, 2, 4, 8, 8)]):
            query, key, value = draw(70 + seed, (batch, heads, length * world_size, d), (batch, heads, length * world_size, d), (batch, heads, length * world_size, e), scale=2)
            cases.append((query, key, value, causal))
    # Not contiguous, as heads are; and scores that rise along the sequence, in 32 bits.
    cases.append((*(tensor.transpose(1, 2) for tensor in draw(80, *[(2, 3 * world_size, 2, 4)] * 3)), True))
    total = 4 * world_size
    rising = torch.arange(float(total)).view(1, 1, -1, 1).expand(1, 1, total, 2) * 30
    cases.append((torch.ones(1, 1, total, 2), rising.contiguous(), draw(81, (1, 1, total, 3), dtype=torch.float32)[0], False))
    reports = on_ranks(ring_everywhere, world_size, *cases)
    return [(case, [report[i] for report in reports]) for i, case in enumerate(cases)]


@check(points=1.5, hint="After s steps around the ring, rank r holds what rank r - s (modulo N) began with.")
def any_number_of_ranks():
    """On one, two, three and four ranks, all pieces agree with the attention over the whole sequence, and the arguments are not changed."""
    for world_size in (1, 2, 3, 4):
        for (query, key, value, causal), reports in rings(world_size):
            total = query.shape[2]
            truth, _ = dense_attention(query, key, value, causal_mask(total, total) if causal else None)
            for (result, _, unchanged, *_), wanted in zip(reports, truth.chunk(world_size, dim=2), strict=True):
                if torch.is_tensor(result) and result.isnan().any():
                    fail(f"There are NaNs on {world_size} rank{'s' * (world_size > 1)}, causal={causal}.")
                if not close(result, wanted, query, 1e-10 if query.dtype == torch.float64 else 1e-3):
                    fail(f"A piece is wrong on {world_size} rank{'s' * (world_size > 1)}, causal={causal}.")
                if not unchanged:
                    fail("An argument was changed.")


@check(points=1, hint="N - 1 steps: after the last one, keys and values need not go home. Queries and outputs stay.")
def sends_keys_and_values_once_around():
    """Each rank sends to the next one only, and at most N - 1 times the elements of its keys and values."""
    for world_size in (1, 2, 3, 4):
        for (_, key, value, _), reports in rings(world_size):
            most = (world_size - 1) * (key.numel() + value.numel()) // world_size
            for rank, (_, calls, *_) in enumerate(reports):
                if (sent := sum(call[1] for call in calls)) > most:
                    fail(f"On {world_size} rank{'s' * (world_size > 1)}, one of them sends {sent:,} elements, and {most:,} are enough.")
                if any(call[0] == "send" and call[3] != (rank + 1) % world_size for call in calls):
                    fail("A rank sends to a different rank than the next one.")


@check(points=0.5, hint="Use each piece when it arrives, and let go of it: pieces that you collect or join grow with N. Later ranks' keys are forbidden throughout.")
def computes_in_pieces():
    """No rank makes a tensor much larger than one piece or the scores of two, and under a causal mask rank r computes r + 1 such blocks."""
    for world_size in (2, 3, 4):
        for (query, _, value, causal), reports in rings(world_size):
            batch, heads, total, d = query.shape
            length, e = total // world_size, value.shape[-1]
            for rank, (_, _, _, largest, flops) in enumerate(reports):
                most = batch * heads * length * max(length, d + e)
                if largest > 2 * most:
                    fail(f"On {world_size} ranks, a tensor of {largest:,} elements is made, more than twice B h T max(T, d + e) = {most:,}.")
                blocks = rank + 1 if causal else world_size
                if flops > blocks * 2 * batch * heads * length * length * (d + e):
                    fail("A rank computes blocks that its queries may not look at, or some of them twice.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Memory, and who works
#
# Left: the largest tensor that attention makes, with your `blockwise` and with all scores at once. Right: matrix products of each of four ranks under a causal mask, counted in your `ring_attention`. **Predict:** how do the four bars differ?

# %% tags=["demo", "raises-exception"]
def draw_attention_costs(n: int = 4) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Largest(TorchDispatchMode):
        elements = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if torch.is_tensor(result):
                self.elements = max(self.elements, result.numel())
            return result

    def count(function, *args) -> float:
        with FlopCounterMode(display=False) as counter:
            function(*args)
        return counter.get_total_flops()

    def work(rank: int, world_size: int) -> float:
        piece = torch.ones(1, 1, 64, 8)
        return count(ring_attention, piece, piece, piece, True)

    lengths, made = [128, 256, 512, 1024], [[], []]
    try:
        for length in lengths:
            x = torch.ones(1, 1, length, 8)
            for way, function in enumerate((lambda x: (x @ x.mT / 8**0.5).softmax(-1) @ x, lambda x: blockwise(x, x, x, 64))):
                with Largest() as largest:
                    function(x)
                made[way].append(largest.elements)
        whole = run_ranks(work, n)
        x, half = torch.ones(1, 1, 64 * n, 8), torch.ones(1, 1, 32, 8)
        zigzag = [sum(count(blockwise, half, x, x, 32, True, 32 * chunk) for chunk in (rank, 2 * n - 1 - rank)) for rank in range(n)]
    except NotImplementedError:
        print("This figure is made by your functions. Write them first.")
        return
    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.3))
    left.plot(lengths, made[0], "s--", color="C5", label="all scores at once")
    left.plot(lengths, made[1], "o-", label="blocks of 64 keys")
    left.set(title="Largest tensor", xlabel="length of the sequence", ylabel="elements", xscale="log", yscale="log")
    left.set_xticks(lengths, labels=[str(length) for length in lengths])
    left.minorticks_off()
    left.legend()
    ranks, unit = np.arange(n), whole[0]
    right.bar(ranks - 0.2, np.array(whole) / unit, 0.4, color="C5", label="one piece each")
    right.bar(ranks + 0.2, np.array(zigzag) / unit, 0.4, color="C0", label="zigzag")
    right.set(title="Causal attention: work of each rank", xlabel="rank", ylabel="blocks of T queries and T keys", xticks=ranks)
    right.legend(loc="upper left")
    plt.show()
    print("largest tensor at 1,024:", f"{made[1][-1]:,} against {made[0][-1]:,} elements")
    print("work:", ", ".join(f"{w / unit:g}" for w in whole), "; zigzag:", ", ".join(f"{w / unit:g}" for w in zigzag))


draw_attention_costs()

# %% [markdown]
# With blocks, the largest tensor grows with the length, not with its square: 16 times less at 1,024.
#
# Under a causal mask, rank 0 looks at its own piece only, and the last rank at all four. The others wait for it, so the mask saves operations, and no time. The remedy: cut the sequence into $2N$ chunks, and give rank $r$ an early and a late one,
# $r$ and $2N - 1 - r$ (**zigzag**; Llama 3 was trained with these chunks, arXiv:2407.21783, section 3.3.2, though it gathers keys and values). Now each rank computes 2.25 blocks. (The sum is smaller, too: small chunks waste less along the diagonal.)
#
# *"A ring must be slower: everything travels."* In a step without a mask, a rank sends $T (d + e)$ numbers a head and computes $2 T^2 (d + e)$ operations, $2T$ for each number. So long pieces hide the traffic, whatever the number of ranks.
#
# **Your turn.** Eight ranks: `draw_attention_costs(8)`. How many blocks does the slowest rank compute, in pieces and in zigzag? And with many ranks?
#
# <details><summary>Answer</summary>
#
# 8 and 4.25. In general $N$ and $(2N + 1) / 4$: almost twice the work.
# </details>
