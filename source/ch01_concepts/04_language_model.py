# %% [markdown]
# ## 1.4 A language model against a known entropy
#
# A language model reports a loss of 1.95 nats per token. Is that good? For real text nobody can say, because nobody
# knows the best possible value. It can only be guessed from the curves of ever larger models: Hoffmann et al.
# (*Training Compute-Optimal Large Language Models*, arXiv:2203.15556) fit
# $L(N, D) = E + A/N^\alpha + B/D^\beta$ to theirs, and put the loss that would remain with infinitely many parameters $N$ and tokens $D$
# at $E = 1.69$ nats. That is an extrapolation, for their data and their tokens, and a fragile one: a fit to the same runs, read off their
# figure, gives other values (Besiroglu et al., *Chinchilla Scaling: A replication attempt*, arXiv:2404.10102).
#
# A physicist who doubts an instrument measures something that is known. So shall we: we invent a language whose best
# possible loss can be computed, and hold the model, the training loop and the evaluation against it. A model that stays far above that
# number has not learnt enough. **One that falls below it is cheating**, and most often it is the program around it that cheats.
#
# ### Why there is a floor
#
# A source emits tokens $x_1, x_2, \dots$, each with probability $p(x_t \mid x_{<t})$ given all before it. A language model
# predicts each token with a distribution $q(\cdot \mid x_{<t})$, and its loss is the cross-entropy. Insert $p/p$ into the logarithm:
#
# $$\underbrace{\mathbb{E}\big[-\log q(x_t \mid x_{<t})\big]}_{\text{loss}}
#   = \underbrace{\mathbb{E}\big[-\log p(x_t \mid x_{<t})\big]}_{\text{entropy of the source}}
#   + \underbrace{\mathbb{E}\big[\mathrm{KL}\big(p(\cdot \mid x_{<t}) \,\|\, q(\cdot \mid x_{<t})\big)\big]}_{\ge\, 0}$$
#
# The first term belongs to the source and no model can lower it; the second is what is left to learn. The only assumptions are
# that $q$ was fixed without knowledge of $x_t$ or anything after it, and that the average is taken over
# fresh data. When a reported loss lies below the floor by more than chance, one of these two is violated.
#
# The loss comes in three units. With the natural logarithm it is in **nats**; divided by $\log 2$ it is in **bits**; its
# exponential is the **perplexity**, the number of equally likely tokens that would be as hard to guess. A fair die has
# $\log 6 \approx 1.79$ nats, 2.58 bits, and perplexity 6.
#
# ### A language of six letters
#
# Our source is a **Markov chain of second order**: the next token depends on the last two, and on nothing before them. Shannon used such chains to imitate
# English (*A Mathematical Theory of Communication*, Bell System Technical Journal 27, 1948, section 3). It is described by a table of $6 \times 6 \times 6$
# probabilities $P(c \mid a, b)$, where $b$ is the last token and $a$ the one before it. Ours is drawn at random once.

# %% nbgrader={"grade": false, "grade_id": "markov_source", "locked": true, "schema_version": 3, "solution": false, "task": false}
def random_source(n_tokens: int, seed: int) -> torch.Tensor:
    """A second-order Markov source: entry [a, b, c] is the probability that c follows after a, b."""
    rows = np.random.default_rng(seed).dirichlet(np.full(n_tokens, 0.3), size=(n_tokens, n_tokens))
    return torch.tensor(rows)


def sample_stream(transition: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """n tokens (int64) that the source emits, after a start that is thrown away."""
    limits = transition.cumsum(-1).tolist()
    last = len(limits) - 1
    a = b = 0
    stream = []
    for u in np.random.default_rng(seed).random(n + 100).tolist():
        row = limits[a][b]
        c = 0
        while c < last and u >= row[c]:
            c += 1
        stream.append(c)
        a, b = b, c
    return torch.tensor(stream[100:])


# %% tags=["demo"]
letters = "abcdef"
source = random_source(6, seed=2)
stream = sample_stream(source, 50_000, seed=1)
print("It reads:", "".join(letters[token] for token in stream[:90]))

fig, ax = plt.subplots(figsize=(9.5, 2.1))
image = ax.imshow(source.reshape(36, 6).T, vmin=0, vmax=1, cmap="Blues", aspect="auto")
pairs = [a + b for a in letters for b in letters]
ax.set(xticks=range(36), xticklabels=pairs, yticks=range(6), yticklabels=letters, xlabel="last two tokens", ylabel="next token")
ax.tick_params(axis="x", labelsize=8)
ax.grid(False)
for edge in range(6, 36, 6):
    ax.axvline(edge - 0.5, color="0.6", lw=0.8)
fig.colorbar(image, label="probability", pad=0.01)
plt.show()

# %% [markdown]
# After `ab` and after `ba` entirely different letters follow: order matters in this language. To see what the floor does, take the simplest language
# model there is: count what followed each context of $k$ letters in the training text, and predict with these frequencies (a tenth of a count is
# added everywhere, so that nothing is impossible). Its size grows with $k$: there are $6^k$ contexts.

# %% tags=["demo"]
def coded_contexts(tokens: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A number for each run of k tokens, and the token that follows it."""
    codes = torch.zeros(len(tokens) - k, dtype=torch.int64)
    for i in range(k):
        codes += tokens[i : len(tokens) - k + i] * 6**i
    return codes, tokens[k:]


def count_model(tokens: torch.Tensor, k: int) -> torch.Tensor:
    """Log-probabilities (6**k, 6) of the next token by counting."""
    codes, following = coded_contexts(tokens, k)
    counts = torch.bincount(codes * 6 + following, minlength=6 ** (k + 1)).view(-1, 6) + 0.1
    return (counts / counts.sum(1, keepdim=True)).log()


def count_loss(log_probabilities: torch.Tensor, tokens: torch.Tensor, k: int) -> float:
    return -float(log_probabilities[coded_contexts(tokens, k)].mean())


text, fresh_text = stream[:5_000], stream[5_000:30_000]
context_lengths = range(8)
models = [count_model(text, k) for k in context_lengths]
codes, following = coded_contexts(stream, 2)
own_loss = -float(source.transpose(0, 1).reshape(36, 6)[codes, following].log().mean())  # the source, scored on its own text
fig, ax = plt.subplots(figsize=(6.6, 3.2))
ax.plot(context_lengths, [count_loss(m, fresh_text, k) for k, m in enumerate(models)], "o-", ms=4, label="fresh text")
ax.plot(context_lengths, [count_loss(m, text, k) for k, m in enumerate(models)], "s--", ms=4, label="the text it has counted")
ax.axhline(own_loss, color="0.3", ls=":", lw=1.2)
ax.text(7, own_loss + 0.02, "the source itself", fontsize=8.5, ha="right", va="bottom", color="0.3")
ax.set(xlabel="letters of context $k$", ylabel="loss (nats per token)", ylim=(0, 2), title="Counting models after 5,000 letters")
ax.legend(loc="lower left")
plt.show()

# %% [markdown]
# On fresh text the loss falls to the floor at $k = 2$, where the model knows all there is to know, and rises again:
# longer contexts have nothing to add, and their frequencies are counted from ever fewer examples. On the text it was made from, the model goes straight **through** the floor.
# It has not understood more; it has memorised, and its loss there says nothing about the next letter of a new text.
#
# So a loss below the floor is a diagnosis. These are the usual findings:
#
# | what is wrong | what you see |
# |---|---|
# | attention looks at later tokens | far below the floor: the answer is in the input |
# | target not shifted, `y = x` | falls to zero even in a causal model: it copies |
# | loss of the training text reported, or validation text that overlaps with it | below the floor, as soon as the model can memorise |
# | model in bits, floor in nats, or the reverse | off by a factor of 1.44, upwards or downwards |
# | dropout left on in the evaluation | too high |
# | mean of unequal batches' means, or a last piece left out | slightly wrong, in either direction; the most durable of all, since nobody notices |
#
# ### What the source's entropy is
#
# Let $\pi(a, b)$ be the share of positions in a long text at which the last two tokens are $a, b$. The entropy **rate** averages
# the entropy of the next token over them (Shannon 1948, section 7):
#
# $$H = \sum_{a, b} \pi(a, b) \sum_c -P(c \mid a, b) \log P(c \mid a, b), \qquad 0 \log 0 = 0.$$
#
# The shares $\pi$ follow from $P$: one step later, $b, c$ are the last two tokens, and their share must be the same,
#
# $$\pi(b, c) = \sum_a \pi(a, b)\, P(c \mid a, b), \qquad \sum_{a, b} \pi(a, b) = 1.$$
#
# ### Windows
#
# A transformer learns all positions of a window at once: for the inputs $x_s, \dots, x_{s+L-1}$ the targets are $x_{s+1}, \dots, x_{s+L}$. One
# window is $L$ exercises in prediction, with contexts of 1 to $L$ tokens; the causal mask keeps each of them honest.
#
# ```text
# stream    d  a  f  b  b  e  c ...
# inputs    d  a  f  b
# targets      a  f  b  b          one token later
# ```

# %% [markdown]
# ### Exercise 1.4 · Language model and floor
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · PyTorch
#
# **Given:** `TinyGPT`, a small causal transformer. (With `causal=False` it looks at the whole window, which will serve as a bad example.)
#
# **Write** seven short functions: `entropy_rate` computes the floor; `split_stream` and `draw_windows` supply the data; `lm_loss` and `bits_and_perplexity` measure;
# `evaluate_lm` scores a whole text; `train_lm` trains and reports the loss on **validation** data. Functions of PyTorch such
# as `F.cross_entropy` are welcome. Your functions may call each other; where one is wrong only because another one is, it keeps its points.
#
# <details><summary>Hint 1: the shares π</summary>
#
# Either start from any `pairs[a, b]` that sums to one, and replace it by `torch.einsum("ab,abc->bc", pairs, transition)` until it does not change any
# more, however long that takes. Or write the equations for $\pi$ as a linear system with $V^2$ unknowns; together with the one that says that they sum to one, it has exactly one solution.
# For $0 \log 0$ there are `torch.special.entr` and `torch.xlogy`.
# </details>
#
# <details><summary>Hint 2: how many windows are there?</summary>
#
# A window and its last target take `length + 1` tokens. In a stream of exactly that many tokens there is one place for it. And what does `torch.randint` do with its upper limit?
# Adding a column of starts to a row `torch.arange(length)` gives all positions at once.
# </details>
#
# <details><summary>Hint 3: a mean over unequal pieces</summary>
#
# Add up the loss of all tokens, and divide once, at the end. `n` tokens have `n - 1` predictions: where does the last window end?
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_causal_lm", "locked": true, "schema_version": 3, "solution": false, "task": false}
class Block(nn.Module):
    """One transformer layer: attention, then a small network at each position, both added to their input."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor, causal: bool) -> torch.Tensor:
        parts = self.qkv(self.before_attention(x)).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, heads, width / heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
        x = x + self.mix(attended.transpose(1, 2).flatten(2))
        return x + self.network(self.before_network(x))


class TinyGPT(nn.Module):
    """A transformer from (B, T) tokens to (B, T, V) logits for the token that follows each of them.

    Args:
        vocabulary: number of different tokens, V.
        max_length: the largest T.
        causal: whether a position looks only at itself and what comes before it.
    """

    def __init__(self, vocabulary: int, max_length: int, width: int = 32, heads: int = 2, layers: int = 1, causal: bool = True):
        super().__init__()
        self.causal = causal
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(max_length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.tokens(x) + self.positions.weight[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden, self.causal)
        return self.output(self.norm(hidden))


# %% nbgrader={"grade": false, "grade_id": "causal_lm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def entropy_rate(transition: torch.Tensor) -> float:
    """Entropy rate of a second-order Markov source, in nats per token, exact to 1e-6.

    Args:
        transition: (V, V, V), float64; entry [a, b, c] is the probability that c follows after a,
            b, where b is the last token. Entries may be zero. Whatever the first two tokens, the
            shares of the pairs tend to the same limit, though perhaps slowly. Not modified.

    >>> round(entropy_rate(torch.full((2, 2, 2), 0.5, dtype=torch.float64)), 4)
    0.6931
    """
    ### BEGIN SOLUTION
    n = len(transition)
    chain = torch.zeros(n, n, n, n, dtype=transition.dtype)  # from the pair (a, b) to the pair (b, c)
    for b in range(n):
        chain[:, b, b] = transition[:, b]
    equations = chain.view(n * n, n * n).T - torch.eye(n * n)
    equations[0] = 1  # any one of them follows from the others, and makes room for the sum
    right_side = torch.eye(n * n, dtype=transition.dtype)[0]
    pairs = torch.linalg.solve(equations, right_side).view(n, n, 1)
    return float((pairs * torch.special.entr(transition)).sum())
    ### END SOLUTION


def split_stream(
    stream: torch.Tensor, validation_share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cuts a stream in two: training tokens first, validation tokens after them.

    Args:
        stream: (n,) tokens.
        validation_share: from 0 to 1; the validation part has this share of the tokens, to within
            one token.

    Returns:
        Training and validation part. Each token is in exactly one of them, and they are in the
        order of the stream.
    """
    ### BEGIN SOLUTION
    cut = len(stream) - round(validation_share * len(stream))
    return stream[:cut], stream[cut:]
    ### END SOLUTION


def draw_windows(
    stream: torch.Tensor, n_windows: int, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws random windows of a stream, with the token that follows each of their tokens.

    Args:
        stream: (n,) tokens, int64; n is at least length + 1. Not modified.
        n_windows: any number; the same window may come out more than once.
        generator: the only source of chance: from the same state of it, the same windows follow.

    Returns:
        Inputs x and targets y, both (n_windows, length), int64. Each row of x is a run of tokens of
        the stream; y[i, t] is the token that follows x[i, t] there. Rows are independent of each
        other, and all places at which a window and its last target fit into the stream are equally
        likely.
    """
    ### BEGIN SOLUTION
    starts = torch.randint(len(stream) - length, (n_windows, 1), generator=generator)
    places = starts + torch.arange(length)
    return stream[places], stream[places + 1]
    ### END SOLUTION


def lm_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy per token in nats, as a scalar through which gradients flow.

    Args:
        logits: (B, T, V), finite, up to 1e4 in size.
        targets: (B, T), int64. Either tensor may be a slice of a larger one, so that its memory is
            not contiguous.
    """
    ### BEGIN SOLUTION
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    ### END SOLUTION


def bits_and_perplexity(nats: float) -> tuple[float, float]:
    """A loss in nats per token, as bits per token and as perplexity.

    >>> [round(value, 3) for value in bits_and_perplexity(math.log(6))]
    [2.585, 6.0]
    """
    ### BEGIN SOLUTION
    return nats / math.log(2), math.exp(nats)
    ### END SOLUTION


def evaluate_lm(model: nn.Module, stream: torch.Tensor, length: int) -> float:
    """Mean cross-entropy of a language model on a whole stream, in nats per token.

    The stream is cut into windows: the first takes the tokens 0 to length - 1 as inputs, the next
    one goes on with token `length`, and so on; the last one may be shorter. So each token but the
    first is predicted exactly once, from those before it in its window, and each prediction counts
    the same.

    Meanwhile the model is in evaluation mode and no gradients are recorded; afterwards its mode,
    its parameters and their gradients (`.grad`) are as before.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for any B and for T up to `length`.
        stream: (n,) tokens, int64; n is at least 2. Not modified.
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    full = (len(stream) - 1) // length * length
    total = 0.0
    with torch.no_grad():
        for begin, end in [(0, full), (full, len(stream) - 1)]:  # all full windows at once, then what is left
            if begin < end:
                shape = (-1, min(length, end - begin))
                x, y = stream[begin:end].reshape(shape), stream[begin + 1 : end + 1].reshape(shape)
                total += float(lm_loss(model(x), y)) * (end - begin)
    model.train(was_training)
    return total / (len(stream) - 1)
    ### END SOLUTION


def train_lm(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: torch.Tensor,
    validation: torch.Tensor,
    generator: torch.Generator,
    steps: int,
    every: int,
    n_windows: int,
    length: int,
) -> list[float]:
    """Trains a language model on random windows, and measures its loss on the validation stream on
    the way.

    Each step draws `n_windows` new windows of the training stream with the generator, computes the
    mean cross-entropy in nats, with the model in training mode, and its gradient, with nothing left
    over from earlier steps or from before the call. If the norm of the gradient (of all the model's
    parameters together) is larger than 1, the gradient is scaled down to norm 1. Then the optimizer
    takes one step.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for T up to `length`; in either mode.
        optimizer: of the model's parameters.
        training, validation: tokens, int64. The validation tokens do not influence the weights.

    Returns:
        The loss on the whole validation stream in windows of `length`, as `evaluate_lm` defines it:
        first before any training, then each time that another `every` steps are done. That makes 1
        + steps // every numbers.
    """
    ### BEGIN SOLUTION
    losses = [evaluate_lm(model, validation, length)]
    for step in range(1, steps + 1):
        model.train()
        x, y = draw_windows(training, n_windows, length, generator)
        loss = lm_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            losses.append(evaluate_lm(model, validation, length))
    return losses
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_causal_lm", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def two_way_entropy(p):
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


@check(points=0.5, hint="Which share of the time is spent after each pair of tokens? Averaging over all pairs alike is right for the first source only.")
def knows_simple_sources():
    """The entropy rate is right for a fair die and for a chain of two states."""
    die = torch.full((6, 6, 6), 1 / 6, dtype=torch.float64)
    found = float(entropy_rate(die))
    assert math.isclose(found, math.log(6), abs_tol=1e-6), f"a fair die: {found:.6f} instead of log 6 = {math.log(6):.6f} nats"
    leave = torch.tensor([0.1, 0.4], dtype=torch.float64)  # after token b, the other token follows with probability leave[b]
    rows = torch.stack([torch.stack([1 - leave[0], leave[0]]), torch.stack([leave[1], 1 - leave[1]])])
    found = float(entropy_rate(rows.expand(2, 2, 2).clone()))
    truth = (0.4 * two_way_entropy(0.1) + 0.1 * two_way_entropy(0.4)) / 0.5  # four fifths of the tokens are 0
    assert math.isclose(found, truth, abs_tol=1e-6), f"a chain of two states: {found:.6f} instead of {truth:.6f} nats"


@check(points=1, hint="The target of an input is the token one place later in the stream.")
def windows_are_shifted():
    """Windows are runs of the stream, and each target is the token after its input."""
    def run(stream):
        return draw_windows(stream, 5, 4, torch.Generator().manual_seed(0))

    x, y = probe(run, torch.arange(100, 130))
    for name, part in [("x", x), ("y", y)]:
        assert part.shape == (5, 4), f"{name} has shape {tuple(part.shape)} instead of (5, 4)"
        assert part.dtype == torch.int64, f"{name} is {part.dtype} instead of torch.int64"
    assert (x.diff() == 1).all(), f"in the stream 100, 101, 102, ... this is no run of four tokens: {x[(x.diff() != 1).any(1)][0].tolist()}"
    assert torch.equal(y, x + 1), f"in the stream 100, 101, 102, ... the inputs {x[0].tolist()} have the targets {y[0].tolist()}"


@check(points=0.5, hint="math.log and F.cross_entropy use the natural logarithm. Bits are fewer per unit: divide by log 2.")
def measures_in_three_units():
    """A model that finds V tokens equally likely has log V nats, log2 V bits and perplexity V."""
    for v in (6, 50):
        nats = float(lm_loss(torch.zeros(2, 3, v), torch.randint(v, (2, 3))))
        assert math.isclose(nats, math.log(v), rel_tol=1e-5), f"V = {v}: {nats:.4f} instead of {math.log(v):.4f} nats"
        bits, perplexity = (float(value) for value in bits_and_perplexity(math.log(v)))
        assert math.isclose(bits, math.log2(v), rel_tol=1e-5), f"V = {v}: {bits:.4f} instead of {math.log2(v):.4f} bits"
        assert math.isclose(perplexity, v, rel_tol=1e-5), f"V = {v}: perplexity {perplexity:.4f} instead of {v}"


### BEGIN HIDDEN TESTS
def log_softmax(logits):
    """In NumPy."""
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


def mean_cross_entropy(logits, targets):
    return -float(np.mean(np.take_along_axis(log_softmax(logits), targets[..., None], -1)))


def source_of(word):
    """The source whose triples are those of a word written on a ring, and its entropy rate by counting.

    On a ring each pair of tokens begins as many triples as it ends, so the shares of the pairs in the word are the
    stationary ones, and the mean over its places is the mean over the source.
    """
    v = max(word) + 1
    counts = np.zeros((v, v, v))
    triples = [(word[i - 2], word[i - 1], word[i]) for i in range(len(word))]
    for triple in triples:
        counts[triple] += 1
    seen = counts.sum(-1, keepdims=True)
    transition = np.where(seen > 0, counts / np.maximum(seen, 1), 1 / v)  # what follows a pair that never comes makes no difference
    return torch.tensor(transition), -sum(math.log(transition[triple]) for triple in triples) / len(word)


@check(points=1, hint="The shares of the pairs follow from the table, also where they settle slowly; where a probability is zero, 0 log 0 is 0.")
def knows_any_source():
    """The entropy rate is right for sources of second order, with zeros in the table, and for one that settles slowly."""
    words = [[*np.random.randint(0, v, n).tolist(), *range(v), 0, 0, 0] for v, n in [(2, 20), (3, 30), (3, 200), (5, 300)]]
    sources = [source_of(word) for word in words]
    stay = torch.tensor([[0.996, 0.004], [0.012, 0.988]], dtype=torch.float64)
    slow = stay[:, None].expand(2, 2, 2).clone()  # the token before the last one decides
    sources.append((slow, (0.012 * two_way_entropy(0.004) + 0.004 * two_way_entropy(0.012)) / 0.016))

    def run(tables):
        return [float(entropy_rate(table)) for table in tables], tables

    tables = [table for table, _ in sources]
    found, after = probe(run, [table.clone() for table in tables])
    if not all(map(torch.equal, tables, after)):
        fail("The table passed in was modified.")
    right = [math.isclose(value, truth, abs_tol=1e-6) for value, (_, truth) in zip(found, sources, strict=True)]
    if any(math.isnan(value) for value in found):
        fail("The result is not a number for a table with zeros.")
    if not all(right[:-1]):
        fail("The rate is wrong for a source whose next token depends on the last two in their order.")
    if not right[-1]:
        fail("The rate is wrong for a source whose shares settle slowly: iterate until nothing changes any more.")


@check(points=1, hint="Cut once. The later part is the one to validate on.")
def splits_without_overlap():
    """Training and validation part hold each token once, in order, and the validation part comes last."""
    for n, share in [(10, 0.5), (101, 0.25), (1000, 0.1), (64, 0.9), (8, 0.0), (8, 1.0)]:
        stream = torch.arange(n) * 3
        training, validation = split_stream(stream, share)
        if len(training) + len(validation) > n:
            fail("Some tokens are in both parts: what the model was trained on cannot validate it.")
        if not torch.equal(torch.cat([training, validation]), stream):
            fail("Training part and validation part, one after the other, are not the stream.")
        if abs(len(validation) - share * n) > 1:
            fail(f"A share of {share:.0%} was asked for, and {len(validation) / n:.0%} of the tokens are in the validation part.")


@check(points=1, hint="There are n - length places, and torch.randint(high) stops before `high`. Draw each start by itself, with the generator passed in.")
def windows_are_uniform():
    """Starts are independent and uniform over all places where a window and its last target fit, and come from the generator."""
    def run(stream, n_windows, length, seeds):
        drawn = []
        for seed in seeds:
            torch.manual_seed(len(drawn))  # chance from elsewhere would show
            np.random.seed(len(drawn))
            drawn.append(draw_windows(stream, n_windows, length, torch.Generator().manual_seed(seed)))
        return drawn, stream

    for n, length in [(2, 1), (9, 8)]:
        (x, y), = probe(run, torch.arange(n) * 7 + 1, 3, length, [0])[0]
        if not (torch.equal(x, (torch.arange(length) * 7 + 1).expand(3, -1)) and torch.equal(y, x + 7)):
            fail("In a stream of length + 1 tokens there is one window, and it was not found.")
    n, length, n_windows = 11, 4, 7000
    stream = torch.randperm(n) + 50
    place = {int(token): i for i, token in enumerate(stream)}
    drawn, after = probe(run, stream.clone(), n_windows, length, [1, 2, 1])
    if not torch.equal(stream, after):
        fail("The stream passed in was modified.")
    if not torch.equal(drawn[0][0], drawn[2][0]):
        fail("Two generators in the same state gave different windows: there is another source of chance.")
    if torch.equal(drawn[0][0], drawn[1][0]):
        fail("Two generators in different states gave the same windows.")
    for x, y in drawn[:2]:
        starts = torch.tensor([place[int(token)] for token in x[:, 0]])
        if starts.max() > n - length - 1:
            fail("A window began where its last target does not fit into the stream.")
        if not (torch.equal(x, stream[starts[:, None] + torch.arange(length)]) and torch.equal(y, stream[starts[:, None] + torch.arange(length) + 1])):
            fail("A window is no run of the stream, or its targets are not the tokens that follow.")
        if len(starts.unique()) < n - length:
            fail("Some windows never come up. Are the first and the last place among those drawn from?")
        # 49 kinds of neighbours, equally likely: a chi-square variable of 48 degrees of freedom leaves 8 to 135 less often than once in 1e9 draws.
        kinds = torch.bincount(starts[0::2] * 7 + starts[1::2], minlength=49)
        spread = float(((kinds - n_windows / 98) ** 2).sum() / (n_windows / 98))
        if spread > 135:
            fail("Not all windows are equally likely, or one window says something about the next.")
        if spread < 8:
            fail("The windows come up too evenly for independent draws: the same one may be drawn twice.")


@check(points=1, hint="Flatten batch and time, so that each row of V logits meets its target; .flatten() and .reshape() work where .view() does not.")
def loss_is_cross_entropy():
    """The loss is the mean of -log softmax at the target over all tokens, with its gradient, for any sizes."""
    def run(logits, wide, shift):
        logits = logits.clone().requires_grad_()
        loss = lm_loss(logits.transpose(0, 1), wide[:, shift : shift + logits.shape[0]])
        slope, = torch.autograd.grad(loss, logits)
        return loss, slope

    for batch, length, v in [(2, 3, 5), (4, 4, 4), (5, 3, 3), (3, 5, 3), (1, 1, 7)]:
        for scale in (1.0, 5e3):
            logits = (torch.randn(length, batch, v, dtype=torch.float64) * scale).clamp(-1e4, 1e4)
            wide = torch.randint(0, v, (batch, length + 2))
            targets = wide[:, 1 : length + 1].numpy()
            loss, slope = probe(run, logits, wide, 1)
            rows = logits.transpose(0, 1).numpy()
            if loss.shape != ():
                fail(f"The loss is no scalar, its shape is {tuple(loss.shape)}.")
            if not math.isclose(float(loss), mean_cross_entropy(rows, targets), rel_tol=1e-6, abs_tol=1e-9):
                fail("The loss is not the mean cross-entropy of the tokens" + (" where logits are large." if scale > 1 else "."))
            truth = (np.exp(log_softmax(rows)) - np.eye(v)[targets]) / targets.size
            if not np.allclose(slope.transpose(0, 1).numpy(), truth, atol=1e-6 / targets.size):
                fail("The gradient is not (softmax - one-hot target) / number of tokens.")


def replaced(names):
    """A context in which these of the student's functions are plain ones, so that a mistake counts once."""
    import sys
    from unittest import mock

    def loss_of(logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def windows_of(stream, n_windows, length, generator):
        runs = stream.unfold(0, length + 1, 1)[torch.randint(len(stream) - length, (n_windows,), generator=generator)]
        return runs[:, :-1], runs[:, 1:]

    def score_of(model, stream, length):
        mode = model.training
        model.eval()
        with torch.no_grad():
            runs = [stream[None, i : i + length + 1] for i in range(0, len(stream) - 1, length)]
            total = sum(float(loss_of(model(run[:, :-1]), run[:, 1:])) * (run.shape[1] - 1) for run in runs)
        model.train(mode)
        return total / (len(stream) - 1)

    plain = {"lm_loss": loss_of, "draw_windows": windows_of, "evaluate_lm": score_of}
    return mock.patch.dict(vars(sys.modules["__main__"]), {name: plain[name] for name in names})


def with_and_without_help(names, examine):
    """Runs examine(names) with the student's own functions, and if that goes wrong with plain ones of these names."""
    try:
        examine([])
    except Exception:
        examine(names)


class Prefixes(nn.Module):
    """A model whose logits depend on all tokens of the window so far, and on how many there are."""

    def __init__(self, table):
        super().__init__()
        self.table, self.longest = nn.Parameter(table), 0

    def forward(self, x):
        self.longest = max(self.longest, x.shape[1])
        return self.table[(x * x + x + 1).cumsum(1) % len(self.table)]


@check(points=1, hint="Targets 1 to n - 1, each once, each predicted from its own window. Add up, then divide by n - 1.")
def evaluates_each_token_once():
    """The result is the mean over all tokens but the first, each predicted once from the window before it, however long the last window."""
    def examine(help_with):
        def run(cases, table, help_with):
            found = []
            for stream, length in cases:
                model = Prefixes(table.clone())
                with replaced(help_with):
                    found.append((float(evaluate_lm(model, stream, length)), model.longest, stream))
            return found

        table = torch.randn(89, 7, dtype=torch.float64) * 3
        cases = [(torch.randint(0, 7, (n,)), length) for n, length in [(41, 8), (44, 8), (6, 8), (2, 8), (10, 8), (5, 1), (300, 23), (301, 20)]]
        found = probe(run, [(stream.clone(), length) for stream, length in cases], table, help_with)
        for (stream, length), (value, longest, after) in zip(cases, found, strict=True):
            tokens = stream.numpy()
            keys = [(tokens[(t - 1) // length * length : t] * (tokens[(t - 1) // length * length : t] + 1) + 1).sum() % 89 for t in range(1, len(tokens))]
            losses = -log_softmax(table.numpy()[keys])[np.arange(len(keys)), tokens[1:]]
            if not torch.equal(stream, after):
                fail("The stream passed in was modified.")
            if longest > length:
                fail("The model was given more tokens at once than `length`.")
            if math.isclose(value, losses.mean(), rel_tol=1e-5):
                continue
            if (len(tokens) - 1) % length:
                fail("The result is wrong where the last window is shorter than the others: all tokens but the first count, and all of them alike.")
            fail("The result is wrong: each window goes on where the one before ended, and its last target is the next one's first input.")

    with_and_without_help(["lm_loss"], examine)


class Observed(nn.Module):
    """A model that notes in which mode it is called, and whether gradients are recorded."""

    def __init__(self, training):
        super().__init__()
        self.table = nn.Parameter(torch.randn(5, 5))
        self.inner = nn.Dropout(0.5)
        self.table.grad = torch.full((5, 5), 7.0)
        self.calls = []
        self.train(training)

    def forward(self, x):
        logits = self.inner(self.table[x])
        self.calls.append((self.training or self.inner.training, logits.requires_grad))
        return logits


@check(points=1, hint="model.eval() and torch.no_grad() for the evaluation; note model.training first, and restore it at the end.")
def leaves_the_model_alone():
    """evaluate_lm runs the model in evaluation mode without gradients, and leaves mode, weights and gradients as they were."""
    def examine(help_with):
        def run(stream, help_with):
            found = []
            for training in (True, False):
                model = Observed(training)
                before = model.table.detach().clone()
                with replaced(help_with):
                    evaluate_lm(model, stream, 6)
                same = torch.equal(before, model.table) and model.table.grad is not None and bool((model.table.grad == 7).all())
                found.append((model.calls, model.training == model.inner.training == training, same and model.table.requires_grad))
            return found

        for calls, mode_is_back, same in probe(run, torch.randint(0, 5, (21,)), help_with):
            if any(training for training, _ in calls):
                fail("The model was in training mode while it was evaluated: with dropout, the loss is another one.")
            if any(recorded for _, recorded in calls):
                fail("Gradients were recorded during the evaluation, which costs memory and serves nothing.")
            if not mode_is_back:
                fail("After the evaluation, the model is not in the mode in which it was before.")
            if not same:
                fail("The evaluation changed the weights or their gradients.")

    with_and_without_help(["lm_loss"], examine)


class Watched(nn.Module):
    """Logits from a token and, in evaluation mode, its place in the window; remembers inputs and weights of calls that can learn."""

    def __init__(self, table, bias, factor):
        super().__init__()
        self.table, self.bias, self.factor = nn.Parameter(table), nn.Parameter(bias), factor
        self.steps = []

    def forward(self, x):
        if torch.is_grad_enabled():
            self.steps.append((x.clone(), self.training, self.table.detach().clone(), self.bias.detach().clone()))
        if self.training:
            return self.factor * (self.table[x] + self.bias)
        return self.table[x] + self.bias * torch.arange(x.shape[1])[:, None]


def trained(training, validation, factor, seed, help_with, steps=6, every=2):
    """train_lm on a watched model with SGD with momentum, and with gradients left over: its steps, its losses and its weights."""
    def run(training, validation, factor, seed, help_with, steps, every):
        weights = torch.Generator().manual_seed(9)
        draw = lambda *shape: torch.randn(*shape, generator=weights, dtype=torch.float64) * 0.1
        model = Watched(draw(36, 36), draw(36), factor).eval()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 50.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        with replaced(help_with):
            losses = train_lm(model, optimizer, training, validation, torch.Generator().manual_seed(seed), steps, every, 4, 5)
        return model.steps, [float(loss) for loss in losses], model.table.detach(), model.bias.detach()

    return probe(run, training, validation, factor, seed, help_with, steps, every)


def two_texts():
    """Training and validation tokens, all of them different, so that each says where it comes from."""
    return torch.randperm(24), torch.randperm(12) + 24


def replay(steps, follows, factor):
    """Where SGD leads on these inputs, with the gradients in closed form and scaled down to norm 1."""
    values = [steps[0][2].numpy(), steps[0][3].numpy()]
    speeds = [0, 0]
    norms = []
    for step in steps:
        x = step[0].numpy()
        error = (np.exp(log_softmax(factor * (values[0][x] + values[1]))) - np.eye(36)[follows[x]]) * factor / x.size
        slopes = [np.zeros((36, 36)), error.sum((0, 1))]
        np.add.at(slopes[0], x, error)
        norms.append(math.sqrt(sum((slope**2).sum() for slope in slopes)))
        speeds = [0.9 * speed + slope / max(1, norms[-1]) for speed, slope in zip(speeds, slopes, strict=True)]
        values = [value - 0.5 * speed for value, speed in zip(values, speeds, strict=True)]
    return values, norms


@check(points=1, hint="Per step: model.train(), new windows, loss, zero_grad, backward, clip_grad_norm_(..., 1.0), step. In which order?")
def trains_step_by_step():
    """Each step takes new windows of the training stream, forgets old gradients, clips at norm 1 and updates once, in training mode."""
    def examine(help_with):
        training, validation = two_texts()
        follows = np.full(36, -1)
        follows[training[:-1].numpy()] = training[1:].numpy()
        seen = []
        for factor, seed in [(0.5, 1), (40.0, 1), (0.5, 2)]:
            steps, _, *after = trained(training, validation, factor, seed, help_with)
            if len(steps) != 6:
                fail(f"Six steps were asked for, and the model was called {len(steps)} times with gradients switched on.")
            if not all(in_training for _, in_training, *_ in steps):
                fail("The model was not in training mode in every step.")
            if any(x.shape != (4, 5) for x, *_ in steps):
                fail("The inputs of a step do not have the shape (n_windows, length).")
            xs = torch.stack([x for x, *_ in steps])
            if (xs >= 24).any():
                fail("A step was taken on tokens of the validation stream.")
            if not np.array_equal(follows[xs[..., :-1].numpy()], xs[..., 1:].numpy()) or (follows[xs.numpy()] < 0).any():
                fail("The inputs of a step are no windows of the training stream.")
            if len(xs.unique(dim=0)) < 3:
                fail("The same windows came again and again: draw new ones for each step.")
            seen.append(xs)
            weights, norms = replay(steps, follows, factor)
            assert (max(norms) < 1) == (factor < 1)
            if not all(np.allclose(a.numpy(), b, rtol=1e-4, atol=1e-6) for a, b in zip(after, weights, strict=True)):
                small = "" if factor < 1 else ", where gradients are longer than 1 and have to be scaled down"
                fail(f"Six steps of the optimizer do not lead to these weights{small}. Whatever was in .grad before must not count, either.")
        if not torch.equal(seen[0], seen[1]):
            fail("The same state of the generator led to other windows: there is another source of chance.")
        if torch.equal(seen[0], seen[2]):
            fail("Another state of the generator led to the same windows.")

    with_and_without_help(["lm_loss", "draw_windows", "evaluate_lm"], examine)


@check(points=1, hint="Evaluate before the first step, then whenever `step % every == 0`, on the validation stream.")
def reports_validation_loss():
    """The list has the loss on the whole validation stream before training and after every `every` steps."""
    def examine(help_with):
        training, validation = two_texts()
        tokens = validation.numpy()
        for steps, every in [(6, 2), (5, 2), (3, 1), (2, 5)]:
            called, losses, table, bias = trained(training, validation, 3.0, 0, help_with, steps, every)
            if len(losses) != 1 + steps // every:
                fail(f"With {steps} steps and every = {every} there are {1 + steps // every} numbers to report, not {len(losses)}.")
            if len(called) != steps:
                fail(f"{steps} steps were asked for, and the model was called {len(called)} times with gradients switched on.")
            weights = [(table, bias) for _, _, table, bias in called] + [(table, bias)]  # before each step, and at the end
            for loss, (table, bias) in zip(losses, weights[::every], strict=True):
                logits = table[tokens[:-1]] + bias * (torch.arange(11) % 5)[:, None]
                if not math.isclose(loss, mean_cross_entropy(logits.numpy(), tokens[1:]), rel_tol=1e-5):
                    fail("A number is not the model's loss on the validation stream at that time.")

    with_and_without_help(["lm_loss", "draw_windows", "evaluate_lm"], examine)


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it reach the floor, and who falls through it?
#
# Two models, trained by your functions on the same text, evaluated by your function on the same validation text. The only difference is one argument,
# `is_causal`, of one function call.

# %% tags=["demo", "raises-exception"]
def counted_entropy(codes, following):
    """Entropy of the next token, given a number for what is known about the past, by counting."""
    counts = torch.bincount(codes * 6 + following, minlength=216).view(36, 6).double()
    return float(torch.special.entr(counts / counts.sum(1, keepdim=True).clamp(min=1)).sum(1) @ counts.sum(1) / counts.sum())


length = 16
floor = entropy_rate(source)
training, validation = split_stream(stream, 0.1)
trained_models, curves = {}, {}
for name, causal in [("causal", True), ("looks ahead", False)]:
    torch.manual_seed(0)
    trained_models[name] = model = TinyGPT(6, length, causal=causal)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    curves[name] = train_lm(model, optimizer, training, validation, generator, steps=300, every=25, n_windows=32, length=length)

before, last, following = stream[:-2], stream[1:-1], stream[2:]
known = {
    "nothing": counted_entropy(0 * last, following),
    "the last letter": counted_entropy(last, following),
    "the last two, not their order": counted_entropy(torch.minimum(before, last) * 6 + torch.maximum(before, last), following),
}
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.5), width_ratios=(1.5, 1))
for (name, curve), style in zip(curves.items(), ("o-", "s--"), strict=True):
    axes[0].plot(range(0, 301, 25), curve, style, ms=4, label=name)
for what, entropy in known.items():
    axes[0].axhline(entropy, color="0.6", ls=":", lw=1)
    axes[0].text(300, entropy + 0.015, f"best possible, knowing {what}", fontsize=8, ha="right", va="bottom", color="0.35")
axes[0].text(300, floor - 0.02, "entropy rate: the floor", fontsize=8.5, ha="right", va="top", weight="bold")
axes[0].set(xlabel="step", ylabel="validation loss (nats per token)", ylim=(0, 2.1), title="Two models, one floor")
axes[0].legend(loc="center right", bbox_to_anchor=(1, 0.3))

fresh = sample_stream(source, 2000 * length + 1, seed=7)
x, y = fresh[:-1].view(-1, length), fresh[1:].view(-1, length)
with torch.no_grad():
    logits = trained_models["causal"].eval()(x)
by_position = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(-1, length).mean(0)
axes[1].plot(range(1, length + 1), by_position, "o-", ms=4)
axes[1].axhline(known["the last letter"], color="0.6", ls=":", lw=1)
axes[1].text(length, known["the last letter"] + 0.01, "knowing the last letter", fontsize=8, ha="right", va="bottom", color="0.35")
axes[1].set(xlabel="letters that the model has seen", ylim=(0.9, 1.75), title="Causal model, by position", xticks=[1, 4, 8, 12, 16])
for ax in axes:
    ax.axhline(floor, color="black", lw=1.2)
plt.show()
for name, nats in {"floor": floor, **{name: curve[-1] for name, curve in curves.items()}}.items():
    bits, perplexity = bits_and_perplexity(nats)
    print(f"{name:12} {nats:.2f} nats = {bits:.2f} bits, perplexity {perplexity:.2f}")

# %% [markdown]
# The causal model comes down past one line after the other and levels off a little above the floor. Part of that little is no fault of its own: at the
# first position of each window it has seen a single letter, and there no model can do better than the dotted line on the right. In windows of 16 this alone
# makes about 0.03 nats on average. The rest is what it has not learnt yet.
#
# The other model is no better; it is worthless. It reads the answer from its input at every position but the last of a window, and to write a text, where there is no later token to look
# at, it cannot be used. On real text, where nobody knows the floor, its curve would look like a breakthrough.
#
# **Order.** "GPT, other than the transformer, is weak where order matters": such lists circulate. But a GPT *is* a transformer, the decoder half with a
# causal mask (Radford et al., *Improving Language Understanding by Generative Pre-Training*, 2018, section 3.1), and it models order by construction: each token is
# predicted from an ordered prefix. Here this can be measured. A predictor that knows the last two letters but not their order cannot get below the
# lowest dotted line. The model is well below it. What it truly lacks is context from the right, and a way to revise what it has already said.
#
# ### Parameters need data to fill them
#
# With a known floor $E$, the other claim from the start can be tested as well: large models generalise better *because* they have many
# parameters. We take the excess over the floor, $L - E$, of the counting models, for growing amounts of text. A model with $K$ free
# probabilities that could represent the source has an excess of about $K / 2D$ after $D$ tokens (expand the KL divergence to second order around the truth, where
# each estimated probability contributes its variance): a power law with slope $-1$ on logarithmic axes.

# %% tags=["demo", "raises-exception"]
amounts = np.geomspace(300, 150_000, 10).astype(int)
long_text, fresh_text = sample_stream(source, int(amounts[-1]), seed=3), sample_stream(source, 150_000, seed=4)
codes, following = coded_contexts(fresh_text, 2)
own_loss = -float(source.transpose(0, 1).reshape(36, 6)[codes, following].log().mean())
fig, ax = plt.subplots(figsize=(7.2, 3.5))
for k, marker in zip(range(5), "v^osD", strict=True):
    excess = [count_loss(count_model(long_text[:n], k), fresh_text, k) - own_loss for n in amounts]
    ax.plot(amounts, excess, marker + "-", ms=4.5, label=f"$k = {k}$: {5 * 6**k:,} probabilities")
    if k == 2:
        ax.plot(amounts, 5 * 6**k / 2 / amounts, color="black", ls=":", lw=1.5, zorder=3, label="$K / 2D$ for $k = 2$")
        slope = np.polyfit(np.log(amounts), np.log(excess), 1)[0]
ax.set(xscale="log", yscale="log", xlabel="letters of training text $D$", ylabel="loss above the floor (nats)")
ax.set_title(f"Counting models; the floor is at {entropy_rate(source):.2f} nats")
ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
print(f"slope for k = 2: {slope:.1f}")

# %% [markdown]
# Which model is best depends on the amount of data. Small ones learn fast and get stuck above the floor, as they cannot represent the source; large ones can, and need
# more text for it, here about four times as much for each further letter of context. "More parameters generalise better" holds where there is data to fill them,
# and compute to pass it through them: Hoffmann et al. found that both should grow together. That real text gives much
# flatter curves than slope $-1$ ($D^{-0.28}$ in their fit) has been explained by its long tail of ever rarer things to learn (Hutter, *Learning
# Curve Theory*, arXiv:2102.04074).

