# %% [markdown]
# ## 1.2 Attention
#
# **Attention** looks up what it needs in a sequence. Each position $i$ asks with a **query** $q_i$; each position $j$ offers a **key** $k_j$ and
# a **value** $v_j$. The answer is an average of the values, weighted by how well the keys match the query (Vaswani et al., arXiv:1706.03762, section 3.2):
#
# $$\mathrm{attention}(Q, K, V) = \underbrace{\mathrm{softmax}\!\Big(\frac{QK^\top}{\sqrt{d_k}}\Big)}_{\text{weights } A}\,V$$
#
# The $q_i \cdot k_j / \sqrt{d_k}$ are the **scores**. The softmax runs over the keys, so each row of $A$ sums to one.
#
# ### Why divide by $\sqrt{d_k}$?
#
# If the entries of $q$ and $k$ are independent with mean 0 and variance 1, then $q \cdot k$ is
# a sum of $d_k$ terms of variance 1. Its standard deviation is $\sqrt{d_k}$: 23 at $d_k = 512$.
# What does a softmax make of such numbers? And of $q \cdot k / d_k$?

# %% tags=["demo"]
def draw_scales(n_keys=16, trials=400):
    generator = torch.Generator().manual_seed(0)
    widths = [4, 8, 16, 32, 64, 128, 256, 512]
    _, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for name, power in [("no scale", 0.0), ("divided by $\\sqrt{d_k}$", 0.5), ("divided by $d_k$", 1.0)]:
        largest = []
        for d in widths:
            queries = torch.randn(trials, 1, d, generator=generator)
            keys = torch.randn(trials, n_keys, d, generator=generator)
            weights = F.softmax((queries @ keys.mT)[:, 0] / d**power, dim=-1)
            largest.append(weights.max(-1).values.mean())
        axes[0].plot(widths, largest, "o-", ms=4)
        axes[1].plot(range(1, n_keys + 1), weights.sort(descending=True).values.mean(0), "o-", ms=4, label=name)
    axes[0].axhline(1 / n_keys, color="0.5", ls=":", lw=1)
    axes[0].text(4, 1 / n_keys - 0.015, f"uniform over {n_keys} keys", fontsize=8, va="top", color="0.4")
    axes[0].set(title="Largest attention weight", xscale="log", xlabel="key width $d_k$", ylim=(0, 1))
    axes[0].set_xticks([4, 16, 64, 256], labels=["4", "16", "64", "256"])
    axes[0].minorticks_off()
    axes[1].set(title=f"All {n_keys} weights at $d_k = 512$, sorted", xlabel="rank of the key", ylim=(0, 1))
    axes[1].legend()
    plt.show()


draw_scales()

# %% [markdown]
# Without a scale, wide keys put nearly all weight on one key, and almost no gradient gets through: the softmax's Jacobian
# $\mathrm{diag}(a) - a a^\top$ vanishes where one weight is 1. Divided by $d_k$, wide keys all get nearly the same weight.
#
# ### Masks
#
# In a **causal** language model, a position may not see what comes later, or it would copy what it should predict.
# In a padded batch, nobody may look at the **padding**. A mask acts on the scores, **before** the softmax: a forbidden score becomes $-\infty$.
#
# Here a mask is Boolean, and **`True` means "may look"**, as in
# `F.scaled_dot_product_attention`. Before you look: what goes wrong if
# weights are set to zero *after* the softmax (third picture)?

# %% tags=["demo"]
six_words = ["the", "cat", "sat", "on", "the", "mat"]
six_vectors = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
six_vectors[4] = six_vectors[0]  # the same word, the same vector


def draw_masks():
    scores = six_vectors @ six_vectors.T / math.sqrt(8)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    maps = {
        "no mask": F.softmax(scores, -1),
        "causal mask": F.softmax(scores.masked_fill(~causal, -math.inf), -1),
        "zeroed after softmax (wrong)": F.softmax(scores, -1) * causal,
    }
    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.4))
    for ax, (title, weights) in zip(axes, maps.items(), strict=True):
        ax.imshow(weights, vmin=0, vmax=1, cmap="Blues")
        ax.set(xticks=range(6), yticks=range(6), xticklabels=six_words, yticklabels=six_words, title=title)
        ax.tick_params(axis="x", rotation=45)
        ax.grid(False)
        for row in range(6):
            total = float(weights[row].sum())
            wrong = total < 0.995
            ax.text(5.65, row, f"{total:.2f}", fontsize=8.5, va="center", color="C5" if wrong else "black", weight="bold" if wrong else None)
        ax.text(5.65, 5.85, "sum of\nthe row", fontsize=7.5, color="0.4", va="top")
        ax.set_xlabel("key")
    axes[0].set_ylabel("query")
    plt.show()


draw_masks()

# %% [markdown]
# Zeroed after the softmax, what is hidden still counts in the denominator: the future leaks through it, and rows no longer sum to one.
#
# ### Heads
#
# One softmax yields one average. To look at several places, attention runs in $h$ heads on narrower vectors, and a layer $W_o$ mixes the results:
#
# ```text
# (B, T, d) ──split──▶ (B, h, T, d/h) ──attention──▶ (B, h, T, d/h) ──merge──▶ (B, T, d) ──▶ W_o
# ```
#
# In memory, each token's heads lie side by side, so splitting takes two steps. For tokens `a` and `b` of width 4:
#
# | | head 0 | head 1 |
# |---|---|---|
# | correct: `view(B, T, h, 2).transpose(1, 2)` | `a0 a1`, `b0 b1` | `a2 a3`, `b2 b3` |
# | wrong, without an error: `view(B, h, T, 2)` | `a0 a1`, `a2 a3` | `b0 b1`, `b2 b3` |

# %% [markdown]
# ### Exercise 1.2 · Multi-head attention
#
# > **Difficulty** ★★★☆ · **50 minutes** · **13 points** · PyTorch
#
# **Write** `attention`, and the three methods of `MultiHeadAttention`, from matrix products (`@` or `einsum`),
# masking and a softmax (PyTorch's or your own). PyTorch's own attention, under any name, is blocked during grading.
#
# 1. **Any leading dimensions**, also none. (`key.mT`, not `key.T`.)
# 2. **Any floating-point type**, from `float16` and `bfloat16` to `float64`: the results have that type and are accurate to its
#    rounding. You may compute in a wider one.
# 3. **No overflow.** In `float32`, scores of $\pm 10^4$ give finite weights. A mask holds for scores up to a quarter of the
#    type's largest number in size.
# 4. **No NaN.** As long as inputs and products $q_i \cdot k_j$ are finite, so are results and gradients. A query that may look at nothing gets weights and output
#    of exactly zero.
#
# <details><summary>Hint 1: a row without any allowed key</summary>
#
# With $-\infty$ everywhere, the softmax is 0/0. A NaN that is replaced afterwards survives in the gradient.
# So put $-\infty$ only into rows that have an allowed key (`mask.any(-1, keepdim=True)`), and set the weights of the others to zero afterwards.
# </details>
#
# <details><summary>Hint 2: one mask for all heads</summary>
#
# A mask `(batch, T_q, T_k)` lacks an axis for the heads: `mask[:, None]` has it.
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
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
    ### BEGIN SOLUTION
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is None:
        weights = F.softmax(scores, dim=-1)
    else:
        somewhere = mask.any(-1, keepdim=True)
        scores = scores.masked_fill(~mask & somewhere, -math.inf)
        # Rows without an allowed key keep finite scores; the product makes their weights zero.
        weights = F.softmax(scores, dim=-1) * somewhere
    return weights @ value, weights
    ### END SOLUTION


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
        ### BEGIN SOLUTION
        batch, length, width = x.shape
        return x.view(batch, length, self.n_heads, width // self.n_heads).transpose(1, 2)
        ### END SOLUTION

    def merge_heads(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n_heads, T, d_model / n_heads) back to (batch, T, d_model)."""
        ### BEGIN SOLUTION
        return x.transpose(1, 2).flatten(2)
        ### END SOLUTION

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
        ### BEGIN SOLUTION
        if mask is not None and mask.dim() == 3:
            mask = mask[:, None]
        heads, weights = attention(
            self.split_heads(self.q_proj(query)),
            self.split_heads(self.k_proj(key)),
            self.split_heads(self.v_proj(value)),
            mask,
        )
        return self.out_proj(self.merge_heads(heads)), weights
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_attention", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=13)


@check(points=0.5, hint="One output row per query, as wide as the values; one weight per query and key.")
def has_the_right_shapes():
    """Outputs are (..., T_q, d_v) and weights (..., T_q, T_k), with any leading dimensions."""
    for lead in [(), (2,), (2, 3)]:
        output, weights = attention(torch.randn(*lead, 4, 6), torch.randn(*lead, 5, 6), torch.randn(*lead, 5, 7))
        assert output.shape == (*lead, 4, 7), f"output of shape {tuple(output.shape)} instead of {(*lead, 4, 7)}"
        assert weights.shape == (*lead, 4, 5), f"weights of shape {tuple(weights.shape)} instead of {(*lead, 4, 5)}"


def shown(tensor):
    return [round(value, 3) for value in tensor.flatten().tolist()]


@check(points=0.5, hint="Divide the scores by the square root of the key width, before the softmax over the keys.")
def scales_by_hand():
    """With keys of width 4, scores of 2 log 3 and 0 become weights of 3/4 and 1/4."""
    query, key, value = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[math.log(3), 0, 0, 0], [0.0, 1, 2, 3]]), torch.tensor([[4.0], [8.0]])
    output, weights = attention(query, key, value)
    known = {(0.9, 0.1): ": they have not been scaled", (0.634, 0.366): ": that is divided by the width, not by its square root"}
    assert torch.allclose(weights, torch.tensor([[0.75, 0.25]]), atol=1e-5), f"weights {shown(weights)} instead of [0.75, 0.25]{known.get(tuple(shown(weights)), '')}"
    assert torch.allclose(output, torch.tensor([[5.0]]), atol=1e-5), f"the weights are correct; the output is {shown(output)} instead of [5.0]"


@check(points=0.5, hint="True means: may look. The others become minus infinity before the softmax.")
def masks_by_hand():
    """A zero query averages the values that it may look at, and no others."""
    query, key, value = torch.zeros(1, 4), torch.randn(3, 4), torch.tensor([[0.0], [3.0], [6.0]])
    for mask, truth in [(None, [1 / 3] * 3), ([True, True, False], [0.5, 0.5, 0.0]), ([False, False, True], [0.0, 0.0, 1.0])]:
        output, weights = attention(query, key, value, mask if mask is None else torch.tensor([mask]))
        inverted = mask and torch.allclose(weights.flatten() > 1e-3, ~torch.tensor(mask))
        assert not inverted, f"with the mask {mask}, the weights are {shown(weights)}: the mask is read the wrong way round"
        assert torch.allclose(weights, torch.tensor([truth]), atol=1e-5), f"with the mask {mask}, the weights are {shown(weights)} instead of {shown(torch.tensor(truth))}"
        assert torch.allclose(output, weights @ value, atol=1e-5), f"with the mask {mask}, the output is {shown(output)} and not weights @ value"


@check(points=0.5, hint="View as (batch, T, heads, width), then swap the two middle axes; merge in the opposite order.")
def splits_by_hand():
    """Two tokens of width 4 are split into two heads and merged again, as in the table above."""
    tokens = torch.tensor([[[0, 1, 2, 3], [10, 11, 12, 13]]])
    heads = torch.tensor([[[[0, 1], [10, 11]], [[2, 3], [12, 13]]]])

    def run(tokens, heads):
        layer = MultiHeadAttention(4, 2)
        return layer.split_heads(tokens), layer.merge_heads(heads)

    split, merged = probe(run, tokens, heads)
    for name, answer, truth in [("split_heads", split, heads), ("merge_heads", merged, tokens)]:
        assert answer is not None, f"{name} returned None"
        assert answer.shape == truth.shape, f"{name}: shape {tuple(answer.shape)} instead of {tuple(truth.shape)}"
        assert torch.equal(answer, truth), f"{name}: {answer.tolist()} instead of {truth.tolist()}"


@check(points=1, hint="In a causal mask, row i has True up to column i. A mask of shape (T_q, T_k) is the same for all sequences and heads.")
def layer_is_causal():
    """In the layer, with a causal mask, later tokens change nothing in the outputs before them."""
    def run(x, changed, mask):
        torch.manual_seed(0)
        layer = MultiHeadAttention(8, 2)
        outputs = [layer(inputs, inputs, inputs, mask) for inputs in (x, changed)]
        return [(output.detach(), weights.detach()) for output, weights in outputs]

    x = torch.randn(3, 5, 8)
    changed = x.clone()
    changed[:, 3:] += 1
    (before, weights), (after, _) = probe(run, x, changed, torch.ones(5, 5, dtype=torch.bool).tril())
    assert before.shape == (3, 5, 8), f"output of shape {tuple(before.shape)} instead of (3, 5, 8)"
    assert weights.shape == (3, 2, 5, 5), f"weights of shape {tuple(weights.shape)} instead of (3, 2, 5, 5)"
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6), "tokens 3 and 4 were changed, and outputs 0 to 2 with them"
    assert not torch.allclose(before[:, 3:], after[:, 3:]), "tokens 3 and 4 were changed, and outputs 3 and 4 did not notice"


### BEGIN HIDDEN TESTS
LIBRARY_CALLS = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.MultiheadAttention.__init__",
)
OPERATORS = ("*scaled_dot_product*", "native_multi_head_attention", "transformer_encoder_layer_fwd")


def attend(query, key, value, mask=None):
    """attention() in the student's process, where torch's own attention is out of reach."""
    def run(*inputs):
        with forbidden(*LIBRARY_CALLS, operations=OPERATORS):
            output, weights = attention(*inputs)
        return output.detach(), weights.detach(), inputs

    inputs = (query, key, value, mask)
    output, weights, after = probe(run, *(x if x is None else x.clone() for x in inputs))
    if any(x is not None and not torch.equal(x, y) for x, y in zip(inputs, after, strict=True)):
        fail("The tensors passed in were modified: the caller may still need them.")
    return output, weights


def multi_head(state, n_heads, query, key, value, mask=None):
    """MultiHeadAttention with the given weights, run in the student's process."""
    def run(state, n_heads, query, key, value, mask):
        with forbidden(*LIBRARY_CALLS, operations=OPERATORS):
            layer = MultiHeadAttention(query.shape[-1], n_heads, bias="q_proj.bias" in state).to(query.dtype)
            layer.load_state_dict(state)
            output, weights = layer(query, key, value, mask)
        return output.detach(), weights.detach()

    return probe(run, state, n_heads, query, key, value, mask)


def torch_weights(query, key, mask=None):
    """The weights, by asking torch's attention about unit vectors instead of values."""
    units = torch.eye(key.shape[-2], dtype=query.dtype).expand(*key.shape[:-1], key.shape[-2])
    return F.scaled_dot_product_attention(query, key, units, attn_mask=mask)


def random_inputs(*lead, t_q=4, t_k=6, d_k=1, d_v=5, dtype=torch.float32, scale=1.5):
    """Query, key and value. At a key width of one the scores' scale is one: only checks about it choose another."""
    draw = lambda *shape: (torch.randn(*lead, *shape) * scale).to(dtype)
    return draw(t_q, d_k), draw(t_k, d_k), draw(t_k, d_v)


def is_close(answer, truth):
    """Same shape and dtype, and equal within what rounding can explain."""
    tolerance = 1e-9 if truth.dtype == torch.float64 else 1e-5
    return answer.shape == truth.shape and answer.dtype == truth.dtype and torch.allclose(answer, truth, rtol=tolerance, atol=tolerance)


@check(points=1, hint="Divide by the square root of the key width, before a softmax over the keys (the last axis).")
def agrees_with_torch():
    """Where all keys may be looked at, output and weights agree with torch's attention in float32 and float64."""
    for dtype in (torch.float32, torch.float64):
        for lead in [(), (3,), (2, 3)]:
            for sizes in [dict(d_k=8, d_v=8, t_q=6), dict(d_k=16, d_v=5, t_q=3), dict(d_k=2, d_v=9, t_q=9)]:
                query, key, value = random_inputs(*lead, dtype=dtype, **sizes)
                for mask in (None, torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool)):
                    output, weights = attend(query, key, value, mask)
                    case = f"{len(lead)} leading dimensions, {dtype}, {'no mask' if mask is None else 'a mask that is True throughout'}"
                    if not is_close(weights, torch_weights(query, key)):
                        fail(f"The weights are wrong for {query.shape[-2]} queries of width {query.shape[-1]}, {case}.")
                    if not is_close(output, F.scaled_dot_product_attention(query, key, value)):
                        fail(f"The weights are correct, the output is not, for values of width {value.shape[-1]}, {case}.")


@check(points=0.5, hint="A constant such as -1e9 does not fit every dtype; torch.finfo knows the limits. Cast back what you compute in a different dtype.")
def keeps_half_precision():
    """Inputs in float16 and bfloat16 give results of the same dtype, with and without a mask."""
    for dtype in (torch.float16, torch.bfloat16):
        query, key, value = random_inputs(2, dtype=dtype, scale=1.0)
        some = torch.rand(4, 6) < 0.5
        some[:, 0] = True
        for mask in (None, some):
            output, weights = attend(query, key, value, mask)
            if output.dtype != dtype or weights.dtype != dtype:
                fail(f"The inputs are {dtype}, the output is {output.dtype}, the weights are {weights.dtype}.")
            truth = torch_weights(query.float(), key.float(), mask)
            if not torch.allclose(weights.float(), truth, atol=0.05) or not torch.allclose(output.float(), truth @ value.float(), atol=0.2):
                fail(f"The result is wrong in {dtype} " + ("without a mask." if mask is None else "with a mask."))


@check(points=0.5, hint="A constant such as -1e4 or -1e9 is not below every score: torch.finfo knows each type's most negative number.")
def masks_hold_at_any_score():
    """A masked key gets no weight even where the allowed score is very low, in 16, 32 and 64 bits."""
    for dtype, size in [(torch.float16, 120.0), (torch.bfloat16, 1e9), (torch.float32, 1e9), (torch.float64, 1e9)]:
        query, key = torch.tensor([[-size]], dtype=dtype), torch.tensor([[size], [0.0], [0.5 * size]], dtype=dtype)
        value = torch.tensor([[1.0], [2.0], [3.0]], dtype=dtype)
        for allowed, best in [([True, False, False], 0), ([True, False, True], 2)]:  # scores of -size**2, 0 and -size**2 / 2
            output, weights = attend(query, key, value, torch.tensor([allowed]))
            if not is_close(weights, F.one_hot(torch.tensor([best]), 3).to(dtype)) or not is_close(output, value[best : best + 1]):
                fail(f"In {dtype}, with a score of {-size * size:.3g} allowed and a score of 0 masked, the weights are wrong.")


@check(points=1, hint="A forbidden score is minus infinity before the softmax, so that the remaining weights sum to one. True means: may look.")
def masks_like_torch():
    """With causal, random and broadcast masks, output and weights agree with torch's attention."""
    for dtype in (torch.float32, torch.float64):
        query, key, value = random_inputs(2, 3, t_q=6, t_k=6, dtype=dtype)
        at_random = torch.rand(2, 3, 6, 6) < 0.5
        at_random |= torch.eye(6, dtype=torch.bool)  # every query may look somewhere
        for name, mask in {
            "causal": torch.ones(6, 6, dtype=torch.bool).tril(),
            "random": at_random,
            "broadcast (batch, 1, T_q, T_k)": at_random[:, :1],
            "broadcast (1, T_k)": torch.tensor([[True, True, False, True, False, True]]),
        }.items():
            output, weights = attend(query, key, value, mask)
            if not is_close(weights, torch_weights(query, key, mask)):
                fail(f"The weights are wrong with a {name} mask.")
            if not is_close(output, F.scaled_dot_product_attention(query, key, value, attn_mask=mask)):
                fail(f"The weights are correct, the output is not, with a {name} mask.")


@check(points=1, hint="exp(10000) overflows. torch.softmax subtracts the largest score first; so must you, and before the mask's -inf can get in the way.")
def survives_large_scores():
    """Scores of plus and minus ten thousand give finite weights, with and without a mask."""
    query = torch.tensor([[1e4, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])  # a row of large scores above a row of zeros
    key = torch.tensor([[2.0, 0, 0, 0], [-2.0, 0, 0, 0], [1.0, 0, 0, 0]])
    value = torch.tensor([[1.0], [2.0], [3.0]])
    for mask, best in [(None, 0), (torch.tensor([[False, True, True]]), 2), (torch.tensor([[False, True, False]]), 1)]:
        allowed = torch.ones(1, 3) if mask is None else mask.to(query.dtype)
        output, weights = attend(query, key, value, mask)
        if not (torch.isfinite(output).all() and torch.isfinite(weights).all()):
            fail("There are infinities or NaNs " + ("without a mask." if mask is None else "with a mask."))
        truth = torch.cat([F.one_hot(torch.tensor([best]), 3).to(query.dtype), allowed / allowed.sum()])
        if not is_close(weights, truth):
            fail("All the weight belongs to the largest score that is allowed" + (": a masked key took some of it." if mask is not None else "."))


def gradients(query, key, value, mask, direction):
    """Gradients of sum(output * direction) with respect to query, key and value."""
    def run(query, key, value, mask, direction):
        inputs = [x.clone().requires_grad_() for x in (query, key, value)]
        with forbidden(*LIBRARY_CALLS, operations=OPERATORS):
            (attention(*inputs, mask)[0] * direction).sum().backward()
        return [torch.zeros_like(x) if x.grad is None else x.grad for x in inputs]

    return probe(run, query, key, value, mask, direction)


@check(points=1, hint="A softmax over nothing but -inf is 0/0. Repairing the NaN afterwards leaves it in the gradient.")
def a_blind_query_gets_zeros():
    """A query that may look at nothing gets zero weights and output, and no NaN in any gradient, in 16 bits as well."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        query, key, value = random_inputs(2, t_q=4, t_k=6, dtype=dtype)
        mask = torch.rand(2, 4, 6) < 0.6
        mask[0, 1] = mask[1, 3] = False
        mask[..., 0, :] = True
        output, weights = attend(query, key, value, mask)
        blind = ~mask.any(-1)
        if weights[blind].isnan().any() or output[blind].isnan().any():
            fail("Weights or output of a query that may look at nothing are NaN.")
        if weights[blind].abs().sum() != 0 or output[blind].abs().sum() != 0:
            fail("Weights or output of a query that may look at nothing are not zero.")
        if dtype.itemsize > 2 and not is_close(weights[~blind], torch_weights(query, key, mask)[~blind]):
            fail("The other queries' weights are wrong.")
        for name, gradient in zip(("query", "key", "value"), gradients(query, key, value, mask, torch.ones_like(output)), strict=True):
            if not torch.isfinite(gradient).all():
                fail(f"The gradient of the {name} has NaNs or infinities.")


@check(points=1, hint="Does the gradient flow through the scores, or was something detached, rounded or computed under no_grad?")
def gradients_agree_with_torch():
    """Gradients reach query, key and value, and agree with those of torch's attention."""
    query, key, value = random_inputs(2, 3, dtype=torch.float64)
    mask = torch.rand(4, 6) < 0.7
    mask[:, 0] = True
    direction = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for x in (query, key, value)]
    (F.scaled_dot_product_attention(*inputs, attn_mask=mask) * direction).sum().backward()
    for name, answer, x in zip(("query", "key", "value"), gradients(query, key, value, mask, direction), inputs, strict=True):
        if not is_close(answer, x.grad):
            fail(f"The gradient of the {name} is wrong.")


def torch_layer(d_model, n_heads, bias, dtype=torch.float64):
    """torch's own layer, and its weights under the names that the exercise uses."""
    layer = nn.MultiheadAttention(d_model, n_heads, bias=bias, batch_first=True, dtype=dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    names = ("q_proj", "k_proj", "v_proj")
    state = dict(zip((f"{name}.weight" for name in names), layer.in_proj_weight.detach().chunk(3), strict=True))
    state["out_proj.weight"] = layer.out_proj.weight.detach()
    if bias:
        state |= zip((f"{name}.bias" for name in names), layer.in_proj_bias.detach().chunk(3), strict=True)
        state["out_proj.bias"] = layer.out_proj.bias.detach()
    return layer, state


@check(points=1, hint="Each method does what its docstring says, also when it is called on its own: head i has columns i*w to (i+1)*w.")
def splits_and_merges_heads():
    """split_heads cuts the width into strips, one per head; merge_heads puts them back."""
    for n_heads, batch, length in [(1, 2, 5), (3, 2, 5), (4, 4, 4), (12, 1, 3)]:
        x = torch.randn(batch, length, 12)
        strips = torch.stack(x.chunk(n_heads, dim=-1), dim=1)

        def run(x, strips, n_heads):
            layer = MultiHeadAttention(12, n_heads)
            return layer.split_heads(x), layer.merge_heads(strips)

        split, merged = probe(run, x, strips, n_heads)
        if split.shape != strips.shape or not torch.equal(split, strips):
            fail(f"split_heads is wrong for {n_heads} heads" + (f": shape {tuple(split.shape)}, not {tuple(strips.shape)}." if split.shape != strips.shape else "."))
        if merged.shape != x.shape or not torch.equal(merged, x):
            fail(f"merge_heads is wrong for {n_heads} heads.")


@check(points=1, hint="Something on the way from the projections to the output is detached, converted to NumPy or computed under no_grad.")
def layer_passes_gradients_on():
    """Gradients reach all weights of the layer, and agree with those of nn.MultiheadAttention."""
    layer, state = torch_layer(3, 3, bias=True)
    x, direction = torch.randn(2, 2, 5, 3, dtype=torch.float64)
    (layer(x, x, x)[0] * direction).sum().backward()
    names = ("q_proj", "k_proj", "v_proj")
    truths = dict(zip((f"{name}.weight" for name in names), layer.in_proj_weight.grad.chunk(3), strict=True))
    truths |= zip((f"{name}.bias" for name in names), layer.in_proj_bias.grad.chunk(3), strict=True)
    truths |= {"out_proj.weight": layer.out_proj.weight.grad, "out_proj.bias": layer.out_proj.bias.grad}

    def run(state, x, direction):
        with forbidden(*LIBRARY_CALLS, operations=OPERATORS):
            layer = MultiHeadAttention(3, 3).to(x.dtype)
            layer.load_state_dict(state)
            (layer(x, x, x)[0] * direction).sum().backward()
        return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in layer.named_parameters()}

    found = probe(run, state, x, direction)
    for name, truth in truths.items():
        if not is_close(found[name], truth):
            fail(f"The gradient of {name} is wrong.")


@check(points=1, hint="View as (batch, T, heads, width) first, then swap the middle axes; merge in the opposite order. Key and value have their own length.")
def layer_agrees_with_torch():
    """With the same weights, the layer agrees with nn.MultiheadAttention, head by head."""
    for n_heads, bias, t_q, t_k in [(1, True, 5, 5), (4, True, 5, 5), (4, False, 3, 7), (2, True, 6, 4), (12, True, 2, 3)]:
        layer, state = torch_layer(12, n_heads, bias)
        query = torch.randn(3, t_q, 12, dtype=torch.float64)
        key, value = torch.randn(2, 3, t_k, 12, dtype=torch.float64)
        with torch.no_grad():
            truth, truth_weights = layer(query, key, value, average_attn_weights=False)
        output, weights = multi_head(state, n_heads, query, key, value)
        where = f"with n_heads={n_heads}, {t_q} queries and {t_k} keys"
        if not is_close(weights, truth_weights):
            fail(f"The weights are wrong {where}: look at split_heads and at what is projected.")
        if not is_close(output, truth):
            fail(f"The weights are correct, the output is not, {where}: look at merge_heads and out_proj.")


@check(points=1, hint="A (batch, T_q, T_k) mask needs an axis for the heads in second place.")
def layer_masks_each_sequence():
    """The layer applies each sequence's own mask in all heads, also when batch equals heads."""
    for batch, n_heads, t_k in [(3, 3, 5), (2, 4, 7), (4, 2, 5), (3, 1, 4)]:
        layer, state = torch_layer(n_heads, n_heads, bias=True)
        query = torch.randn(batch, 5, n_heads, dtype=torch.float64)
        key, value = torch.randn(2, batch, t_k, n_heads, dtype=torch.float64)
        mask = torch.rand(batch, 5, t_k) < 0.5
        mask[..., 0] = True
        for allowed in (mask, torch.ones(5, t_k, dtype=torch.bool).tril()):
            blocked = ~allowed if allowed.dim() == 2 else ~allowed.repeat_interleave(n_heads, 0)
            with torch.no_grad():
                truth, truth_weights = layer(query, key, value, attn_mask=blocked, average_attn_weights=False)
            output, weights = multi_head(state, n_heads, query, key, value, allowed)
            if not (is_close(weights, truth_weights) and is_close(output, truth)):
                fail(f"Wrong for a batch of {batch}, {n_heads} heads and a mask of shape {tuple(allowed.shape)}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What heads look at
#
# Your layer, untrained, on the six words from above:

# %% tags=["demo", "raises-exception"]
def draw_heads(sharpness):
    torch.manual_seed(1)
    layer = MultiHeadAttention(d_model=8, n_heads=4)
    with torch.no_grad():
        for projection in (layer.q_proj, layer.k_proj):
            projection.weight.mul_(sharpness)
        _, weights = layer(six_vectors[None], six_vectors[None], six_vectors[None], torch.ones(6, 6, dtype=torch.bool).tril())
    _, axes = plt.subplots(1, 4, figsize=(10, 2.9))
    for head, ax in enumerate(axes):
        ax.imshow(weights[0, head], vmin=0, vmax=1, cmap="Blues")
        ax.set(xticks=range(6), yticks=range(6) if head == 0 else [], xticklabels=six_words, title=f"head {head}")
        ax.tick_params(axis="x", rotation=60)
        ax.grid(False)
        ax.set_xlabel("key")
    axes[0].set_yticklabels(six_words)
    axes[0].set_ylabel("query")
    plt.show()


draw_heads(sharpness=3)

# %% [markdown]
# **Change, predict, run.** `sharpness` multiplies the weights of the query and key projections. What will
# `draw_heads(sharpness=0)` draw? Which cells are the same for every value?
#
# <details><summary>What you should see</summary>
#
# All keys are now the bias of `k_proj`. So in each head, the row of the $n$-th word has $n$ weights of $1/n$.
# The first row and the zeros above the diagonal are always the same.
# </details>

