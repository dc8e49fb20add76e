# %% [markdown]
# ## 1.3 Attention
#
# A sequence model must let each position use information from others. A convolution reaches a
# fixed neighbourhood; a recurrent network passes everything through one state. **Attention** looks up
# what it needs, wherever that is.
#
# Think of a dictionary whose look-up is soft. Each position $i$ asks with a **query** $q_i$. Each
# position $j$ offers a **key** $k_j$ and a **value** $v_j$. The answer is an average of all values,
# weighted by how well the keys match the query (Vaswani et al., *Attention Is All You Need*,
# arXiv:1706.03762, section 3.2):
#
# $$\mathrm{attention}(Q, K, V) = \underbrace{\mathrm{softmax}\!\Big(\frac{QK^\top}{\sqrt{d_k}}\Big)}_{\text{weights } A}\,V$$
#
# The softmax runs over the keys, so each row of $A$ is a probability distribution: what
# position $i$ looks at. $Q$ is $T_q \times d_k$, $K$ is $T_k \times d_k$ and $V$ is $T_k \times d_v$; the two
# lengths differ when one sequence attends to another, and $d_v$ need not equal $d_k$.
#
# ### Why divide by $\sqrt{d_k}$?
#
# Suppose the entries of $q$ and $k$ are independent with mean 0 and variance 1. Then $q \cdot k$ is
# a sum of $d_k$ terms with variance 1: its standard deviation is $\sqrt{d_k}$. At $d_k = 512$ the
# scores spread by $\pm 23$, and the softmax of such numbers puts almost all weight on one key. The
# Jacobian of the softmax is $\mathrm{diag}(a) - a a^\top$, which vanishes where one weight is 1 and the others are
# 0: almost no gradient gets through, and little is learnt. Dividing by $\sqrt{d_k}$ brings the
# spread back to 1, whatever the width. Dividing by $d_k$ would overdo it: the scores shrink towards zero,
# and every key gets the same weight.

# %% tags=["demo"]
generator = torch.Generator().manual_seed(0)
widths = [4, 8, 16, 32, 64, 128, 256, 512]
n_keys, trials = 16, 400
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
for name, power in [("no scale", 0.0), ("divided by $\\sqrt{d_k}$", 0.5), ("divided by $d_k$", 1.0)]:
    largest = []
    for d in widths:
        q = torch.randn(trials, 1, d, generator=generator)
        k = torch.randn(trials, n_keys, d, generator=generator)
        weights = F.softmax((q @ k.mT)[:, 0] / d**power, dim=-1)
        largest.append(weights.max(-1).values.mean())
    axes[0].plot(widths, largest, "o-", ms=4, label=name)
    axes[1].plot(range(1, n_keys + 1), weights.sort(descending=True).values.mean(0), "o-", ms=4)
axes[0].axhline(1 / n_keys, color="0.5", ls=":", lw=1)
axes[0].text(4, 1 / n_keys - 0.015, "uniform over 16 keys", fontsize=8, va="top", color="0.4")
axes[0].set(title="Largest attention weight", xscale="log", xlabel="key width $d_k$", ylim=(0, 1))
axes[0].set_xticks([4, 16, 64, 256], labels=["4", "16", "64", "256"])
axes[0].minorticks_off()
axes[0].legend()
axes[1].set(title="All 16 weights at $d_k = 512$, sorted", xlabel="rank of the key", ylim=(0, 1))
plt.show()

# %% [markdown]
# ### Masks
#
# Some positions must not be looked at. In a **causal** language model, position $i$ may not see
# what comes after it, or it would predict the next token by copying it. In a batch of sentences
# of unequal length, nobody may look at the **padding**.
#
# A mask acts on the scores, **before** the softmax: a forbidden score becomes $-\infty$, and
# $e^{-\infty} = 0$ takes the position out of the sum in the denominator as well. Setting scores to $0$
# forbids nothing ($e^0 = 1$), and setting weights to zero after the softmax leaves rows that no
# longer sum to one.
#
# Here a mask is a Boolean tensor in which **`True` means "may look"**, as in
# `F.scaled_dot_product_attention`. Mind that `nn.MultiheadAttention` uses the opposite convention.

# %% tags=["demo"]
words = ["the", "cat", "sat", "on", "the", "mat"]
generator = torch.Generator().manual_seed(3)
x = torch.randn(len(words), 8, generator=generator)
x[4] = x[0]  # the same word, the same vector
scores = x @ x.T / math.sqrt(8)
causal = torch.ones(6, 6, dtype=torch.bool).tril()
maps = {
    "no mask": F.softmax(scores, -1),
    "causal mask": F.softmax(scores.masked_fill(~causal, -math.inf), -1),
    "zeroed after softmax (wrong)": F.softmax(scores, -1) * causal,
}
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4))
for ax, (title, weights) in zip(axes, maps.items(), strict=True):
    ax.imshow(weights, vmin=0, vmax=1, cmap="Blues")
    ax.set(xticks=range(6), yticks=range(6), xticklabels=words, yticklabels=words, title=title)
    ax.tick_params(axis="x", rotation=45)
    ax.grid(False)
    for row in range(6):
        total = float(weights[row].sum())
        ax.text(5.65, row, f"{total:.2f}", fontsize=8.5, va="center", color="black" if total > 0.995 else "C5", weight="bold" if total < 0.995 else None)
    ax.text(5.65, 5.85, "sum of\nthe row", fontsize=7.5, color="0.4", va="top")
    ax.set_xlabel("key")
axes[0].set_ylabel("query")
plt.show()

# %% [markdown]
# ### Heads
#
# One softmax yields one average. To look at several places for several reasons, attention runs
# $h$ times in parallel on narrower vectors. Project the input to queries, keys and values of
# width $d$, **split** the width into $h$ heads of $d/h$ each, attend in each head, **merge** the
# heads back to width $d$, and mix them with one more linear layer:
#
# ```text
# (B, T, d) ──split──▶ (B, h, T, d/h) ──attention──▶ (B, h, T, d/h) ──merge──▶ (B, T, d) ──▶ W_o
# ```
#
# Splitting is not one reshape. Memory holds, for each token, all heads side by side. A
# `view` to `(B, h, T, d/h)` would mix up tokens and heads without any error message: view
# as `(B, T, h, d/h)` first, **then** swap the two middle axes. Merging undoes this in the opposite order. For two
# tokens `a` and `b` of width 4 and two heads:
#
# | | head 0 | head 1 |
# |---|---|---|
# | right: `view(B, T, h, 2).transpose(1, 2)` | `a0 a1`, `b0 b1` | `a2 a3`, `b2 b3` |
# | wrong: `view(B, h, T, 2)` | `a0 a1`, `a2 a3` | `b0 b1`, `b2 b3` |
#
# In the second row each head sees one token twice, in halves, and the tokens never meet.

# %% [markdown]
# ### Exercise 1.3 · Multi-head attention
#
# > **Difficulty** ★★★☆ · **40 minutes** · **13 points** · PyTorch
#
# **Write** `attention`, and the three methods of `MultiHeadAttention`. Use matrix products (`@` or `einsum`),
# masking and a softmax (`torch.softmax`, `F.softmax` or your own). `F.scaled_dot_product_attention`,
# `F.multi_head_attention_forward` and `nn.MultiheadAttention` are what you are building, so do without
# them; the hidden checks make them fail. (Afterwards, compare: that is how your answer is graded.)
#
# Four properties decide whether an implementation survives in a real model:
#
# 1. **Any leading dimensions.** `(T, d)`, `(batch, T, d)` and `(batch, heads, T, d)` all work.
# 2. **Any dtype.** The result has the dtype of the inputs and its precision: `float16` and `bfloat16` work, `float64` is not rounded to `float32`.
# 3. **No overflow.** In `float32`, scores of $\pm 10^4$ give finite weights.
# 4. **No NaN.** As long as inputs and scores are finite, so are the results. A query that may look at nothing gets weights and output of exactly zero, and
#    gradients stay finite. (A naive softmax gives $0/0$ here, and one NaN spreads through the network.)
#
# <details><summary>Hint 1: transposing only the last two axes</summary>
#
# `key.transpose(-2, -1)` or `key.mT` work for any number of leading dimensions; `key.T` does not.
# </details>
#
# <details><summary>Hint 2: a row without any allowed key</summary>
#
# With $-\infty$ in every place, the softmax of that row is 0/0 = NaN. If you replace the NaN afterwards, look at the gradient,
# too: $0 \cdot \mathrm{NaN}$ is NaN, and one may survive there. A way around it: use the most negative *finite* number of
# the dtype (`torch.finfo`) instead of $-\infty$, and multiply the weights by the mask afterwards.
# Check that this changes nothing in rows that do have an allowed key.
# </details>
#
# <details><summary>Hint 3: the mask and the heads</summary>
#
# A mask of shape `(batch, T_q, T_k)` does not line up with scores of shape
# `(batch, heads, T_q, T_k)`. Where must the missing axis go, and what happens without an
# error when `batch == heads`?
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
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        # Rows without an allowed key come out uniform; the product makes them zero.
        weights = F.softmax(scores, dim=-1) * mask
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


@check(points=1, hint="One output row per query, as wide as the values; one weight per query and key.")
def has_the_right_shapes():
    """Outputs are (..., T_q, d_v) and weights (..., T_q, T_k), with any leading dimensions."""
    for lead in [(), (2,), (2, 3)]:
        output, weights = attention(torch.randn(*lead, 4, 6), torch.randn(*lead, 5, 6), torch.randn(*lead, 5, 7))
        assert output.shape == (*lead, 4, 7), f"output of shape {tuple(output.shape)} instead of {(*lead, 4, 7)}"
        assert weights.shape == (*lead, 4, 5), f"weights of shape {tuple(weights.shape)} instead of {(*lead, 4, 5)}"


@check(points=1, hint="A zero query matches all keys equally. A masked key gets no weight, and the others share it.")
def averages_three_values():
    """A zero query averages the values that it may look at."""
    query, key, value = torch.zeros(1, 4), torch.randn(3, 4), torch.tensor([[0.0], [3.0], [6.0]])
    torch.testing.assert_close(attention(query, key, value)[0], torch.tensor([[3.0]]))
    mask = torch.tensor([[True, True, False]])
    torch.testing.assert_close(attention(query, key, value, mask)[0], torch.tensor([[1.5]]))


@check(points=1, hint="In a causal mask, row i has True up to column i. A mask of shape (T_q, T_k) is the same for all sequences and heads.")
def layer_is_causal():
    """With a causal mask, what comes later changes nothing in the layer's outputs before."""
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


def attend(query, key, value, mask=None):
    """attention() in the student's process, where torch's own attention is out of reach."""
    def run(*inputs):
        with forbidden(*LIBRARY_CALLS):
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
        with forbidden(*LIBRARY_CALLS):
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
                        fail(f"The weights are right, the output is not, for values of width {value.shape[-1]}, {case}.")


@check(points=1, hint="A constant such as -1e9 does not fit every dtype; torch.finfo knows the limits. Cast back what you compute in another dtype.")
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
                fail(f"The weights are right, the output is not, with a {name} mask.")


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
        with forbidden(*LIBRARY_CALLS):
            (attention(*inputs, mask)[0] * direction).sum().backward()
        return [torch.zeros_like(x) if x.grad is None else x.grad for x in inputs]

    return probe(run, query, key, value, mask, direction)


@check(points=1, hint="A softmax over nothing but -inf is 0/0. Repairing the NaN afterwards leaves it in the gradient.")
def a_blind_query_gets_zeros():
    """A query that may look at nothing gets zero weights and output, and no NaN in any gradient."""
    for dtype in (torch.float32, torch.float64):
        query, key, value = random_inputs(2, t_q=4, t_k=6, dtype=dtype)
        mask = torch.rand(2, 4, 6) < 0.6
        mask[0, 1] = mask[1, 3] = False
        mask[..., 0, :] = True
        output, weights = attend(query, key, value, mask)
        blind = ~mask.any(-1)
        if weights[blind].abs().sum() != 0 or output[blind].abs().sum() != 0:
            fail("Weights or output of a query that may look at nothing are not zero.")
        if not is_close(weights[~blind], torch_weights(query, key, mask)[~blind]):
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
        with forbidden(*LIBRARY_CALLS):
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
            fail(f"The weights are right, the output is not, {where}: look at merge_heads and out_proj.")


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
# Your layer, with random weights, on the six words from above. Even untrained heads differ from
# each other, because each has its own projection; all of them respect the mask. In the last two rows, where both are
# allowed, the two columns for "the" are alike: the same vector at two positions. Without a mask, attention
# does not know the order of its inputs at all. That is why transformers add information about positions.

# %% tags=["demo", "raises-exception"]
torch.manual_seed(1)
layer = MultiHeadAttention(d_model=8, n_heads=4)
with torch.no_grad():
    for projection in (layer.q_proj, layer.k_proj):
        projection.weight.mul_(3)  # larger weights, clearer pictures
    _, head_weights = layer(x[None], x[None], x[None], causal)
fig, axes = plt.subplots(1, 4, figsize=(10, 2.9))
for head, ax in enumerate(axes):
    ax.imshow(head_weights[0, head], vmin=0, vmax=1, cmap="Blues")
    ax.set(xticks=range(6), yticks=range(6) if head == 0 else [], xticklabels=words, title=f"head {head}")
    ax.tick_params(axis="x", rotation=60)
    ax.grid(False)
    ax.set_xlabel("key")
axes[0].set_yticklabels(words)
axes[0].set_ylabel("query")
plt.show()

# %% [markdown]
# **What it costs.** The weights are a $T \times T$ matrix per head, so memory and time grow with
# the square of the length. This is why the claim "transformers suit long texts" needs a second half:
# attention *can* connect distant positions, and pays for it quadratically. Kernels such as
# FlashAttention (Dao et al., arXiv:2205.14135) avoid storing the matrix; the number of operations
# does not fall.

