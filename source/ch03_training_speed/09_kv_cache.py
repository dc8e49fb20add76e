# %% [markdown]
# ## 3.9 A KV cache
#
# To write 100 tokens, the loop of section 1.4 runs the model 100 times over all that there is. How much of this is new work? The
# course's GPT reads 20 tokens; then a 21st is added. **Predict first:** of the keys and values at the first 20 positions, in three
# layers, how many change?

# %% nbgrader={"grade": false, "grade_id": "setup_kv_cache", "locked": true, "schema_version": 3, "solution": false, "task": false}
class CausalAttention(nn.Module):
    """Self-attention in several heads: each position looks at itself and at those before it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width)."""
        query, key, value = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, width / heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class CachelessBlock(nn.Module):
    """Attention, then a small network at each position, both added to their input."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width)."""
        x = x + self.attention(self.before_attention(x))
        return x + self.network(self.before_network(x))


class CachelessGPT(nn.Module):
    """The course's GPT, built as in section 1.5: its weights fit, and its parts have the same names."""

    def __init__(self, vocabulary: int = 512, context: int = 64, width: int = 64, layers: int = 3, heads: int = 4):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(CachelessBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B, T, V) logits for the token after each; T is at most the context."""
        hidden = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden) @ self.tokens.weight.T


# %% tags=["demo"]
def count_changes() -> None:
    model = CachelessGPT()
    packaged = lesson.gpt(own=False)
    model.load_state_dict(packaged.model.state_dict())
    ids = torch.tensor([packaged.tokenizer.encode("The import statement finds a module, and then binds it to a name in the local scope. If")[:21]])
    seen = {}
    for i, block in enumerate(model.blocks):
        for name in ("k_proj", "v_proj"):
            block.attention.get_submodule(name).register_forward_hook(lambda module, inputs, output, key=(i, name): seen.update({key: output}))
    with torch.no_grad():
        model(ids[:, :20])
        before = dict(seen)
        model(ids)
    for i in range(3):
        changed = sum(int(((seen[i, name][:, :20] - before[i, name]).abs() > 1e-4).sum()) for name in ("k_proj", "v_proj"))
        print(f"layer {i + 1}: {changed} of {2 * before[i, 'k_proj'].numel()} keys and values change")


count_changes()

# %% [markdown]
# None. Causal attention only looks back, so position 7 computes the same whatever follows. All that later positions ever need of it are its **key** and its **value**,
# in each layer. Keep them, and each new token costs one position: that is the **KV cache**. (In a model that looks both ways, such as BERT, everything changes
# from the second layer on.)
#
# For a piece of $n$ new tokens behind $m$ cached ones, the queries are $n$ and the keys $m + n$:
#
# $$q_i \text{ attends to } k_j \text{ for } j \le m + i, \qquad i = 0, \dots, n - 1,\; j = 0, \dots, m + n - 1 .$$
#
# The cache has $2 L B T d$ numbers (section 1.11): a key and a value of width $d$ for each layer, row and token.
#
# ### Exercise 3.9 · Write with a memory
#
# > **Difficulty** ★★★☆ · **55 minutes** · **12 points** · PyTorch
#
# **Write** three functions for the model above. `F.scaled_dot_product_attention` may be used; in its Boolean `attn_mask`,
# `True` means: may look.
#
# <details><summary>Hint 1: which axis?</summary>
#
# Split the heads as the given attention does. In (B, heads, T, width / heads) tokens lie along axis 2: there, new keys and values go behind the old ones.
# </details>
#
# <details><summary>Hint 2: four common mistakes</summary>
#
# - **`is_causal=True`** in PyTorch means a mask from the *top left*: query $i$ sees keys up to $i$, not up to $m + i$
#   ([manual](https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html)). With one new token, it sees one key. So
#   `is_causal=n > 1` is right for a prompt and for single tokens, and wrong for a prompt in pieces.
# - **Positions** start at 0 again for every piece.
# - **Logits** are computed for the whole prompt; only those of its last token are needed.
# - **A default argument `cache=[]`** is made once, and shared by all calls.
# </details>
#
# <details><summary>Hint 3: the mask</summary>
#
# `torch.ones(n, m + n, dtype=torch.bool).tril(m)`: the diagonal moves to the right by what is cached. Try it with `m = 2, n = 3`.
# </details>
#
# <details><summary>Hint 4: how many tokens does the model read?</summary>
#
# The prompt in one piece, then each new token alone. Nobody asks what follows the last one: it need not be read.
# </details>

# %% nbgrader={"grade": false, "grade_id": "kv_cache", "locked": false, "schema_version": 3, "solution": true, "task": false}
Pair = tuple[torch.Tensor, torch.Tensor]


def cached_attention(attention: CausalAttention, x: torch.Tensor, past: Pair | None = None) -> tuple[torch.Tensor, Pair]:
    """What `attention` gives at new positions, when those before them are known by their keys and
    values alone.

    Args:
        attention: the given module, or one with the same parts. Not modified.
        x: (B, n, width), the inputs at the new positions only, n at least 1. Not modified.
        past: keys and values at the m positions before, as this function returned them; None: there
            are none, m = 0. Their memory may be reused: after the call, only what it
            returns is used.

    Returns:
        The output (B, n, width), and keys and values at all m + n positions, each
        (B, heads, m + n, width / heads), of x's type. (They may be views of
        larger tensors, if you set room aside.)

    >>> attention, x = CausalAttention(8, heads=2), torch.randn(1, 5, 8)
    >>> first, past = cached_attention(attention, x[:, :3])
    >>> rest, past = cached_attention(attention, x[:, 3:], past)
    >>> torch.allclose(torch.cat([first, rest], dim=1), attention(x), atol=1e-5), past[0].shape
    (True, torch.Size([1, 2, 5, 4]))
    """
    ### BEGIN SOLUTION
    query, key, value = (
        project(x).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    if past is not None:
        key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
    new, together = query.shape[2], key.shape[2]
    allowed = torch.ones(new, together, dtype=torch.bool).tril(together - new)
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    return attention.out_proj(attended.transpose(1, 2).flatten(2)), (key, value)
    ### END SOLUTION


def extend(model: CachelessGPT, ids: torch.Tensor, cache: list[Pair] | None = None) -> tuple[torch.Tensor, list[Pair]]:
    """Reads new tokens, and says what may follow the last of them.

    The logits are those that `model` gives at its last position for all tokens read so far, in
    whatever pieces they were read. Earlier tokens are not computed again. The output layer (the product with
    the embeddings) is only applied at the last position.

    Args:
        model: the given one, or one with the same parts, such as `lesson.gpt().model`. Nothing is
            kept in it. Its context is `len(model.positions.weight)`.
        ids: (B, n), int64, n at least 1. Not modified.
        cache: a pair for each block, as this function returned it for the tokens before; None:
            these are the first. After the call, only the cache that it returns is used.

    Returns:
        The logits (B, V), and a list of a pair (keys, values) for each block, in the blocks'
        order, each tensor (B, heads, m + n, width / heads): m tokens were read before.

    Raises:
        ValueError: m + n is larger than the model's context.

    >>> logits, cache = extend(model, torch.tensor([[5, 7]]))
    >>> logits, cache = extend(model, torch.tensor([[9]]), cache)  # logits: model(torch.tensor([[5, 7, 9]]))[:, -1]
    """
    ### BEGIN SOLUTION
    begin = 0 if cache is None else cache[0][0].shape[2]
    end = begin + ids.shape[1]
    if end > len(model.positions.weight):
        raise ValueError(f"{end} tokens are more than the model's context")
    hidden = model.tokens(ids) + model.positions.weight[begin:end]
    extended = []
    for i, block in enumerate(model.blocks):
        past = None if cache is None else cache[i]
        attended, pair = cached_attention(block.attention, block.before_attention(hidden), past)
        hidden = hidden + attended
        hidden = hidden + block.network(block.before_network(hidden))
        extended.append(pair)
    return model.norm(hidden[:, -1]) @ model.tokens.weight.T, extended
    ### END SOLUTION


def write_cached(model: CachelessGPT, ids: torch.Tensor, n_new: int) -> torch.Tensor:
    """Continues each row of a batch by the most probable token, again and again.

    The model reads each token of the prompt once, and each new token once, except the last, which
    it need not read. No gradients are recorded meanwhile; afterwards they are if they were before.

    Args:
        model: as for `extend`; in evaluation mode.
        ids: (B, T), int64, T at least 1. Not modified.
        n_new: tokens to add to each row, 0 or more. With 0, nothing is computed.

    Returns:
        (B, T + n_new), int64: the rows of `ids`, and behind them the new tokens. Of equal logits, any
        may be taken.

    Raises:
        ValueError: n_new is above 0, and T + n_new - 1 is larger than the model's context.

    >>> write_cached(model, torch.tensor([[5, 7]]), 3).shape
    torch.Size([1, 5])
    """
    ### BEGIN SOLUTION
    if n_new > 0 and ids.shape[1] + n_new - 1 > len(model.positions.weight):
        raise ValueError("there are more tokens to read than the model's context has places")
    cache, new = None, ids
    with torch.no_grad():
        for _ in range(n_new):
            logits, cache = extend(model, new, cache)
            new = logits.argmax(-1, keepdim=True)
            ids = torch.cat([ids, new], dim=1)
    return ids
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_kv_cache", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def some_gpt(seed: int, **sizes) -> CachelessGPT:
    """A GPT with random weights, large enough for every token to matter to those after it."""
    generator = torch.Generator().manual_seed(seed)
    model = CachelessGPT(**({"vocabulary": 50, "context": 24, "width": 12, "layers": 2, "heads": 3} | sizes)).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            gain = 0.5 * p.shape[-1] ** 0.5 if name in ("tokens.weight", "positions.weight") else 1.5 if "q_proj" in name or "k_proj" in name else 3.0
            scale = gain / p.shape[-1] ** 0.5 if p.dim() > 1 else 0.3
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale + ("weight" in name and p.dim() == 1))
    return model


@check(points=1, hint="New keys and values go behind the old ones along the axis of the tokens. A query at new position i sees the m cached keys and the new ones up to i.")
def attends_in_pieces():
    """cached_attention gives in pieces of 3, 1 and 2 positions what the attention gives at once."""
    def run(seed):
        attention, x = some_gpt(seed).blocks[0].attention, torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        outputs, past = [], None
        with torch.no_grad():
            for piece in x.split([3, 1, 2], dim=1):
                answer = cached_attention(attention, piece, past)
                if answer is None:
                    return None
                output, past = answer
                outputs.append(output)
        return outputs, [tuple(tensor.shape) for tensor in past]

    found = probe(run, 1)
    assert found is not None, "cached_attention returns None: is the return missing?"
    attention, x = some_gpt(1).blocks[0].attention, torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    outputs, shapes = found
    for output, wanted, name in zip(outputs, attention(x).split([3, 1, 2], dim=1), ("the first piece, of 3 positions", "the second piece, of 1 position", "the third piece, of 2 positions"), strict=True):
        assert output.shape == wanted.shape, f"for {name} the output has the shape {tuple(output.shape)} instead of {tuple(wanted.shape)}"
        assert torch.allclose(output, wanted, atol=1e-8), f"the output differs from the attention's for {name}" + ("; those before are correct: look at the mask" if "third" in name else "")
    assert shapes == [(2, 3, 6, 4)] * 2, f"after 6 positions, keys and values have the shapes {shapes} instead of (2, 3, 6, 4), that is (B, heads, T, width / heads)"


@check(points=1, hint="The positions of new tokens begin after those that are cached. Each block has a pair of its own.")
def extends_token_by_token():
    """extend gives, token by token, the logits that the model gives at the last position."""
    def run(seed, ids):
        model, cache, rows = some_gpt(seed), None, []
        with torch.no_grad():
            for t in range(ids.shape[1]):
                answer = extend(model, ids[:, t : t + 1], cache)
                if answer is None:
                    return None
                logits, cache = answer
                rows.append(logits)
        return rows, len(cache)

    ids = torch.tensor([[3, 14, 15, 9], [26, 5, 35, 8]])
    found = probe(run, 2, ids)
    assert found is not None, "extend returns None: is the return missing?"
    rows, n_pairs = found
    assert n_pairs == 2, f"the cache of a model with 2 blocks is a list of {n_pairs} pairs"
    wanted = some_gpt(2)(ids)
    for t, logits in enumerate(rows):
        assert logits.shape == (2, 50), f"the logits have the shape {tuple(logits.shape)} instead of (2, 50), that is (B, V)"
        assert torch.allclose(logits, wanted[:, t], atol=1e-7), f"after {t + 1} token{'s' * (t > 0)}, the logits differ from the model's"


@check(points=1, hint="Read the prompt in one piece; then, in each step, the one token that was added last.")
def writes_what_the_model_would():
    """write_cached adds the tokens that the model, run over everything again each time, finds most probable."""
    def run(seed, ids, n_new):
        return write_cached(some_gpt(seed), ids, n_new)

    ids = torch.tensor([[3, 1, 4], [7, 7, 2]])
    found = probe(run, 140, ids, 5)  # here the tokens differ, and wrong positions or masks change both rows
    assert found is not None, "write_cached returns None: is the return missing?"
    model, wanted = some_gpt(140), ids
    for _ in range(5):
        wanted = torch.cat([wanted, model(wanted)[:, -1:].argmax(-1)], dim=1)
    assert found.shape == wanted.shape, f"3 tokens and 5 new ones make rows of {tuple(found.shape)} instead of (2, 8)"
    assert found[:, :3].tolist() == ids.tolist(), "the prompt is not at the beginning"
    assert found.tolist() == wanted.tolist(), f"the new tokens are {found[:, 3:].tolist()} instead of {wanted[:, 3:].tolist()}"


### BEGIN HIDDEN TESTS
PIECES = ([7], [1] * 7, [4, 1, 2], [2, 5], [1, 6], [3, 3, 1])


@check(points=2, hint="Write out the mask for m = 2 cached and n = 3 new positions: the first new query sees 3 keys, the last one 5.")
def any_pieces_give_the_same():
    """cached_attention agrees in float64 with the attention over everything, for any pieces, batch, heads and width."""
    def run(cases):
        from copy import deepcopy

        answers = []
        for seed, sizes, x, pieces in cases:
            attention = some_gpt(seed, **sizes).blocks[0].attention
            state = deepcopy(attention.state_dict())
            outputs, past, given = [], None, x.clone()
            with torch.no_grad():
                for piece in x.split(pieces, dim=1):
                    output, past = cached_attention(attention, piece, past)
                    outputs.append(output.clone())
            unchanged = torch.equal(given, x) and all(torch.equal(a, b) for a, b in zip(state.values(), attention.state_dict().values(), strict=True))
            answers.append((torch.cat(outputs, dim=1), [tensor.clone() for tensor in past], unchanged))
        return answers

    cases = []
    for i, pieces in enumerate(PIECES):
        sizes = [{"width": 12, "heads": 3}, {"width": 8, "heads": 1}, {"width": 6, "heads": 6}][i % 3]
        cases.append((i, sizes, torch.randn([2, 1, 3, 7][i % 4], 7, sizes["width"], dtype=torch.float64), pieces))
    for (seed, sizes, x, pieces), (output, pair, unchanged) in zip(cases, probe(run, cases), strict=True):
        attention = some_gpt(seed, **sizes).blocks[0].attention
        where = f"with pieces of {', '.join(map(str, pieces))} positions, {sizes['heads']} head{'s' * (sizes['heads'] > 1)} and a batch of {len(x)}"
        with torch.no_grad():
            if output.shape != x.shape or output.dtype != x.dtype or not torch.allclose(output, attention(x), rtol=1e-9, atol=1e-9):
                fail(f"The output is wrong {where}.")
            truth = [project(x).unflatten(-1, (sizes["heads"], -1)).transpose(1, 2) for project in (attention.k_proj, attention.v_proj)]
        for name, a, b in zip(("keys", "values"), pair, truth, strict=True):
            if a.shape != b.shape or a.dtype != b.dtype or not torch.allclose(a, b, rtol=1e-9, atol=1e-9):
                fail(f"The {name} that are returned are wrong {where}.")
        if not unchanged:
            fail(f"The input or the module was changed {where}.")


@check(points=2, hint="Positions begin at the number of cached tokens; each block extends its own pair; the logits are those of the last new token.")
def logits_agree_everywhere():
    """extend agrees in float64 with the model over everything, after each piece, up to the full context, and in float32, too."""
    def run(cases):
        answers = []
        with torch.no_grad():
            for seed, sizes, ids, pieces, single in cases:
                model, cache, given = some_gpt(seed, **sizes), None, ids.clone()
                if single:
                    model.float()
                rows, lengths = [], []
                for piece in ids.split(pieces, dim=1):
                    logits, cache = extend(model, piece, cache)
                    rows.append(logits.clone())
                    lengths.append([tuple(tensor.shape) for pair in cache for tensor in pair])
                answers.append((rows, lengths, torch.equal(given, ids)))
        return answers

    cases = []
    for i, pieces in enumerate((*PIECES, [10, 10, 4], [23, 1])):
        sizes = [{}, {"layers": 1, "heads": 1}, {"layers": 3, "width": 8, "heads": 2}][i % 3]
        cases.append((10 + i, sizes, torch.randint(50, ([2, 1, 3][i % 3], sum(pieces))), pieces, i == 2))
    for (seed, sizes, ids, pieces, single), (rows, lengths, unchanged) in zip(cases, probe(run, cases), strict=True):
        model = some_gpt(seed, **sizes)
        wanted = model(ids)
        where = f"with pieces of {', '.join(map(str, pieces))} tokens and a batch of {len(ids)}" + (", in float32" if single else "")
        heads, width = model.blocks[0].attention.heads, model.norm.weight.shape[0]
        for end, logits, shapes in zip(np.cumsum(pieces).tolist(), rows, lengths, strict=True):
            if logits.shape != (len(ids), 50) or logits.dtype != (torch.float32 if single else torch.float64):
                fail(f"The logits have a different shape or type {where}.")
            close = dict(rtol=1e-3, atol=1e-3) if single else dict(rtol=1e-8, atol=1e-8)
            if not torch.allclose(logits.double(), wanted[:, end - 1], **close):
                fail(f"The logits are wrong after {end} tokens, {where}.")
            if shapes != [(len(ids), heads, end, width // heads)] * (2 * len(model.blocks)):
                fail(f"The cache does not have one key and one value for each block, row and token, {where}.")
        if not unchanged:
            fail("The tokens that extend is given were changed.")


def products(run):
    """Operations in matrix products while run() runs, attention included, by torch's own counter."""
    from torch import ops  # `torch.ops` by its full name could not be sent to the student's process
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def attention(query, key, value, *others, **named):
        return sdpa_flop_count(query, key, value)  # the counter hands over shapes

    fused = ops.aten._scaled_dot_product_flash_attention_for_cpu  # which the counter does not know by itself
    with FlopCounterMode(display=False, custom_mapping={fused: attention}) as counter:
        run()
    return counter.get_total_flops()


@check(points=1.5, hint="Only new tokens go through projections, networks and the output layer, and that only at the last position. The last token that is written need not be read.")
def earlier_tokens_are_not_computed_again():
    """By counted operations, extend computes the new positions alone and one row of logits; write_cached reads each token once."""
    def run(seed, sizes, prompt, n_new):
        model = some_gpt(seed, **sizes)
        with torch.no_grad():
            _, cache = extend(model, prompt)  # what happens only once in a process is not counted
            reading = products(lambda: extend(model, prompt))
            step = products(lambda: extend(model, prompt[:, :1], cache))
            writing = products(lambda: write_cached(model, prompt, n_new))
            nothing = products(lambda: write_cached(model, prompt, 0))
        return reading, step, writing, nothing

    sizes = dict(vocabulary=600, context=30, width=16, layers=2, heads=2)
    length, n_new = 20, 6
    reading, step, writing, nothing = probe(run, 5, sizes, torch.randint(600, (1, length)), n_new)
    position = 2 * 2 * 12 * 16**2  # in two blocks: four projections and a network of eight times their size
    looks = 2 * 4 * 16 * 30  # one query, in two blocks, at as many keys as there may be
    logits = 2 * 16 * 600
    one = position + looks + logits
    if step > one:
        fail("For one new token behind a cache, more is computed than for one position: is anything of the earlier ones computed again?")
    if reading > length * (position + looks) + logits:
        fail("For a prompt, more is computed than its positions and one row of logits.")
    if writing > (length + n_new - 1) * (position + looks) + n_new * logits:
        fail("While it writes, the model reads more than the prompt and each new token but the last, once.")
    if nothing:
        fail("With n_new = 0, something is computed.")


@check(points=1, hint="No default argument that is a list, no global, nothing kept in the model.")
def caches_are_independent():
    """Two texts that are read in turns, by one model or by two, do not meet; nothing is left in the model."""
    def run(seed, texts):
        models = [some_gpt(seed), some_gpt(seed + 1)]
        parts = [sorted(vars(module)) for module in models[0].modules()]
        keys = list(models[0].state_dict())
        caches, answers = [None] * 4, [[] for _ in range(4)]
        with torch.no_grad():
            for t in range(0, 6, 2):
                for i, text in enumerate(texts):
                    piece = text[:, t : t + 2]
                    logits, caches[i] = extend(models[i % 2], piece) if t == 0 else extend(models[i % 2], piece, caches[i])
                    answers[i].append(logits.clone())
            again, _ = extend(models[0], texts[0][:, :2])
            first = write_cached(models[0], texts[0], 3)
            write_cached(models[0], texts[2], 4)
            second = write_cached(models[0], texts[0], 3)
            models[0].norm.weight.neg_()
            changed = write_cached(models[0], texts[0], 3)
        clean = parts == [sorted(vars(module)) for module in models[0].modules()] and keys == list(models[0].state_dict())
        return answers, again, torch.equal(first, second), changed, clean

    texts = [torch.randint(50, (batch, 6)) for batch in (2, 2, 2, 1)]
    answers, again, repeats, changed, clean = probe(run, 7, texts)
    for i, (text, rows) in enumerate(zip(texts, answers, strict=True)):
        wanted = some_gpt(7 + i % 2)(text)
        if not all(a.shape == b.shape and torch.allclose(a, b, atol=1e-8) for a, b in zip(rows, wanted[:, 1::2].unbind(1), strict=True)):
            fail("When several texts are read in turns, the logits of one of them are wrong.")
    if not torch.allclose(again, answers[0][0], atol=1e-8):
        fail("A text that is begun anew, without a cache, has other logits than the first time.")
    if not repeats:
        fail("The same prompt is continued differently the second time.")
    model = some_gpt(7)
    with torch.no_grad():
        model.norm.weight.neg_()
    if changed.shape != (2, 9) or not torch.equal(changed[:, 6:], model(changed[:, :-1])[:, 5:].argmax(-1)):
        fail("After the model's weights changed, what is written is not what the model finds most probable now: is something kept from the calls before?")
    if not clean:
        fail("Something is kept in the model.")


@check(points=1, hint="The first argmax comes from the prompt; the tokens of each row are its own; prompt in front, whatever n_new is.")
def writes_every_row():
    """write_cached continues prompts of any length, in batches, up to the full context, by the model's most probable tokens."""
    def run(cases):
        answers = []
        for seed, ids, n_new in cases:
            given = ids.clone()
            answers.append((write_cached(some_gpt(seed), given, n_new), torch.equal(given, ids)))
        return answers

    cases = [(20 + i, torch.randint(50, (batch, length)), n_new) for i, (batch, length, n_new) in enumerate([(3, 1, 8), (1, 9, 6), (2, 4, 0), (4, 5, 1), (2, 20, 5), (1, 24, 1), (2, 30, 0), (2, 1, 24)])]
    for (seed, ids, n_new), (found, unchanged) in zip(cases, probe(run, cases), strict=True):
        where = f"with {ids.shape[1]} tokens, {n_new} new ones and a batch of {len(ids)}"
        if found.shape != (len(ids), ids.shape[1] + n_new) or found.dtype != torch.int64 or not torch.equal(found[:, : ids.shape[1]], ids):
            fail(f"The result is not the prompt and behind it the new tokens, in int64, {where}.")
        if n_new:
            logits = some_gpt(seed)(found[:, :-1])[:, ids.shape[1] - 1 :]
            taken = logits.gather(2, found[:, ids.shape[1] :, None])[..., 0]
            if (logits.amax(-1) - taken).max() > 1e-7:
                fail(f"Other tokens than the most probable ones {where}.")
        if not unchanged:
            fail(f"The prompt is changed {where}.")


@check(points=0.75, hint="torch.no_grad() around the loop, as a block or a decorator.")
def records_nothing():
    """write_cached records no gradients, and leaves their recording, the parameters and the model's mode as they were."""
    def run(seed, ids):
        answers = []
        for recording in (True, False):
            model, saved = some_gpt(seed), []
            with torch.set_grad_enabled(recording), torch.autograd.graph.saved_tensors_hooks(lambda tensor, saved=saved: saved.append(0) or tensor.detach(), lambda tensor: tensor):
                written = write_cached(model, ids, 3)
                after = torch.is_grad_enabled()
            same = all(p.requires_grad and p.grad is None for p in model.parameters()) and not model.training
            answers.append((len(saved), after == recording, same and not written.requires_grad))
        return answers

    for saved, restored, same in probe(run, 9, torch.randint(50, (2, 3))):
        if saved:
            fail("Gradients are recorded while the model writes: each step keeps its graph.")
        if not restored:
            fail("The recording of gradients is switched on or off afterwards.")
        if not same:
            fail("The parameters or the model's mode are not as they were.")


@check(points=0.75, hint="m + n tokens need m + n places. When writing, T + n_new - 1 tokens are read. Slices of the positions that are too short broadcast if one row is left.")
def the_context_has_an_end():
    """extend and write_cached raise ValueError where the context does not suffice, and not before."""
    def run(seed):
        model, answers = some_gpt(seed, context=6), []

        def attempt(function, *arguments):
            try:
                with torch.no_grad():
                    function(*arguments)
            except ValueError:
                return "refused"
            return "accepted"

        ids = torch.arange(16).view(2, 8)
        with torch.no_grad():
            make = lambda n: extend(model, ids[:, :n])[1]
            answers += [attempt(extend, model, ids[:, :n]) for n in (6, 7, 8)]
            answers += [attempt(extend, model, ids[:, :n], make(m)) for m, n in ((5, 1), (6, 1), (4, 2), (5, 2), (2, 6))]
        answers += [attempt(write_cached, model, ids[:, :length], n_new) for length, n_new in ((6, 1), (6, 2), (4, 3), (4, 4), (1, 6), (1, 7), (7, 1), (8, 0))]
        return answers

    found = probe(run, 11)
    wanted = [6, 7, 8, 6, 7, 6, 7, 8, 6, 7, 6, 7, 6, 7, 7, 0]
    for i, (answer, places) in enumerate(zip(found, wanted, strict=True)):
        name = "extend" if i < 8 else "write_cached"
        if answer != ("refused" if places > 6 else "accepted"):
            fail(f"{name} {'accepts more tokens than' if places > 6 else 'refuses what fits into'} the context.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What it costs
#
# Left, operations for one more token of the course's GPT. Right, arithmetic only: what a model of the size of Llama 3 8B, in 16 bits, reads from memory for each token that it writes. In a step, the rows of
# a batch share the weights, 16 GB; each row reads its own cache. **Predict first:** does a batch of 1,024 make a token a thousand times cheaper?

# %% tags=["demo", "raises-exception"]
def draw_costs(kv_heads: int = 8) -> None:
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    model = CachelessGPT()
    model.load_state_dict(lesson.gpt(own=False).model.state_dict())
    fused = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: sdpa_flop_count(query, key, value)}
    ids, cache, costs = torch.zeros(1, 64, dtype=torch.int64), None, [[], []]
    try:
        with torch.no_grad():
            for t in range(64):
                with FlopCounterMode(display=False, custom_mapping=fused) as counter:
                    model(ids[:, : t + 1])
                costs[0].append(counter.get_total_flops() / 1e6)
                with FlopCounterMode(display=False, custom_mapping=fused) as counter:
                    _, cache = extend(model, ids[:, t : t + 1], cache)
                costs[1].append(counter.get_total_flops() / 1e6)
    except NotImplementedError:
        print("This figure is made by your functions. Write them first.")
        return
    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4))
    left.plot(range(1, 65), costs[0], "--", color="C5", label="everything again")
    left.plot(range(1, 65), costs[1], color="C0", label="with a cache")
    left.set(title="The course's GPT: one more token", xlabel="position of the token", ylabel="million operations", xlim=(0, 65), ylim=(0, None))
    left.legend()
    batch = 2.0 ** np.arange(0, 11)
    for length, colour, marker in ((1024, "C0", "o"), (8192, "C1", "s"), (65536, "C2", "^")):
        weights, cached = 8.0e9 * 2, 2 * 32 * kv_heads * 128 * 2 * length
        right.plot(batch, (weights / batch + cached) / 1e9, marker=marker, ms=4, color=colour, label=f"{length:,} tokens behind")
    right.plot(batch, weights / batch / 1e9, ":", color="0.4", lw=1.2, label="weights alone")
    right.set(title=f"8 billion parameters, {kv_heads} key-value heads", xlabel="rows in the batch", ylabel="GB read for one token", xscale="log", yscale="log", ylim=(1e-2, 2000))
    right.set_xticks(batch[::2], labels=[f"{int(b)}" for b in batch[::2]])
    right.minorticks_off()
    right.legend(fontsize=8.5, ncols=2, loc="upper right")
    plt.show()
    print(f"64 tokens: {sum(costs[0]):.0f} million operations without a cache, {sum(costs[1]):.0f} million with it")


draw_costs()

# %% [markdown]
# Without a cache, the 64th token costs 73 times as much as the first; with it 1.13 times, because attention looks back further. The whole text costs a 33rd.
#
# **Operations are not time.** A cached step multiplies each weight by one vector: two operations for each weight read, one a byte in 16 bits. By the roofline of section 3.1, memory decides. A batch shares the weights, but nobody
# shares the cache: with 1,024 tokens behind, 1,024 rows make a token 108 times cheaper; with 8,192, 16 times, and from 15 rows on the caches cost more than the weights. Hence key-value heads that several query heads share
# (Shazeer, *Fast Transformer Decoding*, arXiv:1911.02150; Ainslie et al., arXiv:2305.13245).
#
# *"If the context is full, drop the oldest entries."* Not here: every token would need another position, and so another key. With relative positions
# it is possible, but models break when the very first tokens go (Xiao et al., *Efficient Streaming Language Models with Attention Sinks*, arXiv:2309.17453).
#
# **Your turn.** A model without shared heads has 32 key-value heads: `draw_costs(kv_heads=32)`. With 8,192 tokens behind, from how many rows on do the caches cost more?
#
# <details><summary>Answer</summary>
#
# Four: each cache has 4.3 GB now. Larger batches hardly help.
# </details>
