# %% [markdown]
# ## 1.3 A language model against a known entropy
#
# A language model has a loss of 1.95 nats per token. Is that good? For real text, the best possible value can only be extrapolated (Hoffmann et al., arXiv:2203.15556).
#
# So we invent a language whose best loss can be computed. A model far above it has not learnt enough.
# **One that falls below it is cheating**, and most often it is the program around it that cheats.
#
# ### Why there is a floor
#
# A source emits each token with probability $p(x_t \mid x_{<t})$. A model
# predicts it with $q(\cdot \mid x_{<t})$. Its loss is the cross-entropy; insert $p/p$ into the logarithm:
#
# $$\underbrace{\mathbb{E}\big[-\log q(x_t \mid x_{<t})\big]}_{\text{loss}}
#   = \underbrace{\mathbb{E}\big[-\log p(x_t \mid x_{<t})\big]}_{\text{entropy of the source}}
#   + \underbrace{\mathbb{E}\big[\mathrm{KL}\big(p(\cdot \mid x_{<t}) \,\|\, q(\cdot \mid x_{<t})\big)\big]}_{\ge\, 0}$$
#
# No model can get below the first term on average, as long as $q$ was fixed without knowledge of $x_t$ and what follows.
#
# With the natural logarithm, the loss is in **nats**; divided by $\log 2$, in **bits**; its
# exponential is the **perplexity**, the number of equally likely tokens that would be as hard to guess.
#
# ### A language of six letters
#
# Our source is a **Markov chain of second order** (as in Shannon, *A Mathematical Theory of Communication*, 1948, section 3): the next token $c$
# depends on the last, $b$, and the one before it, $a$. A table of $6 \times 6 \times 6$ probabilities $P(c \mid a, b)$ describes it.

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
LETTERS = "abcdef"
SOURCE = random_source(6, seed=2)
STREAM = sample_stream(SOURCE, 50_000, seed=1)


def draw_source():
    print("It reads:", "".join(LETTERS[token] for token in STREAM[:90]))
    fig, ax = plt.subplots(figsize=(9.5, 2.1))
    image = ax.imshow(SOURCE.reshape(36, 6).T, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    pairs = [a + b for a in LETTERS for b in LETTERS]
    ax.set(xticks=range(36), xticklabels=pairs, yticks=range(6), yticklabels=LETTERS, xlabel="last two tokens", ylabel="next token")
    ax.tick_params(axis="x", labelsize=8)
    ax.grid(False)
    for edge in range(6, 36, 6):
        ax.axvline(edge - 0.5, color="0.6", lw=0.8)
    fig.colorbar(image, label="probability", pad=0.01)
    plt.show()


draw_source()

# %% [markdown]
# The simplest language model counts what followed each context of $k$ letters, and predicts with these frequencies (plus a tenth of a count).
# For which $k$ will it be best on fresh text? And on the text that it has counted?

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


def draw_counting_models():
    counted, fresh = STREAM[:5_000], STREAM[5_000:30_000]
    lengths = range(8)
    models = [count_model(counted, k) for k in lengths]
    codes, following = coded_contexts(STREAM, 2)
    own_loss = -float(SOURCE.transpose(0, 1).reshape(36, 6)[codes, following].log().mean())  # the source, scored on its own text
    _, ax = plt.subplots(figsize=(6.6, 3.2))
    ax.plot(lengths, [count_loss(m, fresh, k) for k, m in enumerate(models)], "o-", ms=4, label="fresh text")
    ax.plot(lengths, [count_loss(m, counted, k) for k, m in enumerate(models)], "s--", ms=4, label="the text it has counted")
    ax.axhline(own_loss, color="0.3", ls=":", lw=1.2)
    ax.text(7, own_loss + 0.02, "the source itself", fontsize=8.5, ha="right", va="bottom", color="0.3")
    ax.set(xlabel="letters of context $k$", ylabel="loss (nats per token)", ylim=(0, 2), title="Counting models after 5,000 letters")
    ax.legend(loc="lower left")
    plt.show()


draw_counting_models()

# %% [markdown]
# On fresh text the loss comes down almost to the floor at $k = 2$, and rises again: longer contexts add nothing, and have fewer
# examples. On the text that it has counted, the model goes **through** the floor: it has memorised.
#
# So the loss is a diagnosis:
#
# | what is wrong | what you see |
# |---|---|
# | attention looks ahead | far below the floor |
# | target not shifted, `y = x` | falls to zero even in a causal model: it copies |
# | validation text was trained on | below the floor |
# | bits compared with nats | off by a factor of 1.44 |
# | dropout left on | too high |
# | mean of unequal batches' means | a little wrong; nobody notices |
#
# ### What the source's entropy is
#
# Let $\pi(a, b)$ be the share of positions at which the last two tokens are $a, b$. The entropy **rate** averages
# the entropy of the next token over them (Shannon, section 7):
#
# $$H = \sum_{a, b} \pi(a, b) \sum_c -P(c \mid a, b) \log P(c \mid a, b), \qquad 0 \log 0 = 0.$$
#
# One step later, $b, c$ are the last two tokens, and their share must be the same:
#
# $$\pi(b, c) = \sum_a \pi(a, b)\, P(c \mid a, b), \qquad \sum_{a, b} \pi(a, b) = 1.$$

# %% [markdown]
# ### Exercise 1.3 · Language model and floor
#
# > **Difficulty** ★★☆☆ · **60 minutes** · **10 points** · PyTorch
#
# **Given:** `TinyGPT`, a small causal transformer (as a bad example, `causal=False` looks ahead), `split_stream`,
# `lm_loss` and `bits_and_perplexity`.
#
# **Write** `entropy_rate`, `draw_windows`, `evaluate_lm` and `train_lm`.
#
# <details><summary>Hint 1: the shares π</summary>
#
# The equations for $\pi$ are linear; with the sum, they have exactly one solution.
# Or repeat `pairs = torch.einsum("ab,abc->bc", pairs, transition)` until nothing changes; a small change per step does not mean
# that the end is near. For $0 \log 0$ there is `torch.special.entr`.
# </details>
#
# <details><summary>Hint 2: how many windows are there?</summary>
#
# A window and its last target take `length + 1` tokens, and `torch.randint` stops before its upper limit.
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
    cut = len(stream) - round(validation_share * len(stream))
    return stream[:cut], stream[cut:]


def lm_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy per token in nats, as a scalar through which gradients flow.

    Args:
        logits: (B, T, V), finite, up to 1e4 in size.
        targets: (B, T), int64. Either tensor may be a slice of a larger one, so that its memory is
            not contiguous.
    """
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def bits_and_perplexity(nats: float) -> tuple[float, float]:
    """A loss in nats per token, as bits per token and as perplexity.

    >>> [round(value, 3) for value in bits_and_perplexity(math.log(6))]
    [2.585, 6.0]
    """
    return nats / math.log(2), math.exp(nats)

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
        likely. Both may be views that share memory: whoever changes one makes a copy first.
    """
    ### BEGIN SOLUTION
    starts = torch.randint(len(stream) - length, (n_windows, 1), generator=generator)
    places = starts + torch.arange(length)
    return stream[places], stream[places + 1]
    ### END SOLUTION


def evaluate_lm(model: nn.Module, stream: torch.Tensor, length: int) -> float:
    """Mean cross-entropy of a language model on a whole stream, in nats per token.

    The stream is cut into windows: the first takes the tokens 0 to length - 1 as inputs, the next
    one goes on with token `length`, and so on; the last one may be shorter. A stream of `length`
    tokens or fewer is one short window. So each token but the first is predicted exactly once, from
    the inputs of its window up to the token before it, and each prediction counts the same.

    Meanwhile the model is in evaluation mode and no gradients are recorded; afterwards its mode,
    its parameters and their gradients (`.grad`) are as before.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for any B and for T up to `length`; in
            either mode, which is that of all its parts.
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
    takes one step. Afterwards the model may be in either mode.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, for T up to `length`; in either mode,
            which is that of all its parts.
        optimizer: of all the model's parameters, perhaps in several groups.
        training, validation: tokens, int64. The validation tokens do not influence the weights.

    Returns:
        The loss on the whole validation stream in windows of `length`, as `evaluate_lm` defines it:
        first before any training, then each time that `every` further steps are done. That makes 1
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


@check(points=0.5, hint="Which share of the time is spent after each pair of tokens? Averaging over all pairs alike is correct for the first source only.")
def knows_simple_sources():
    """The entropy rate is correct for a fair die and for a chain of two states."""
    die = torch.full((6, 6, 6), 1 / 6, dtype=torch.float64)
    found = float(entropy_rate(die))
    assert math.isclose(found, math.log(6), abs_tol=1e-6), f"a fair die: {found:.6f} instead of log 6 = {math.log(6):.6f} nats"
    leave = torch.tensor([0.1, 0.4], dtype=torch.float64)  # after token b, the other token follows with probability leave[b]
    rows = torch.stack([torch.stack([1 - leave[0], leave[0]]), torch.stack([leave[1], 1 - leave[1]])])
    found = float(entropy_rate(rows.expand(2, 2, 2).clone()))
    truth = (0.4 * two_way_entropy(0.1) + 0.1 * two_way_entropy(0.4)) / 0.5  # four fifths of the tokens are 0
    assert math.isclose(found, truth, abs_tol=1e-6), f"a chain of two states: {found:.6f} instead of {truth:.6f} nats"


@check(points=0.5, hint="The target of an input is the token one place later in the stream.")
def windows_are_shifted():
    """Windows are runs of the stream, and each target is the token after its input."""
    def run(stream):
        return draw_windows(stream, 5, 4, torch.Generator().manual_seed(0))

    x, y = probe(run, torch.arange(100, 130))
    for name, part in [("x", x), ("y", y)]:
        assert part.shape == (5, 4), f"{name} has shape {tuple(part.shape)} instead of (5, 4)"
        assert part.dtype == torch.int64, f"{name} is {part.dtype} instead of torch.int64"
    assert (x.diff() == 1).all(), f"in the stream 100, 101, 102, ... this is not a run of four tokens: {x[(x.diff() != 1).any(1)][0].tolist()}"
    assert torch.equal(y, x + 1), f"in the stream 100, 101, 102, ... the inputs {x[0].tolist()} have the targets {y[0].tolist()}"


class Table(nn.Module):
    """Logits of the next token from the last one alone."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, x):
        return self.logits[x]


@check(points=0.5, hint="Add up the surprises of all predictions, and divide once. The last window may be shorter than the others.")
def evaluates_by_hand():
    """A model that gives token 0 one half, and tokens 1 and 2 a quarter each, has 8/6 bits on 0 0 1 0 2 0 0."""
    def run(stream, length):
        return evaluate_lm(Table(torch.tensor([[0.5, 0.25, 0.25]]).log().repeat(3, 1)), stream, length)

    stream = torch.tensor([0, 0, 1, 0, 2, 0, 0])  # six predictions, of 1, 2, 1, 2, 1 and 1 bits
    known = {1.5: ": the last, shorter window is missing", 1.25: ": that is the mean of the windows' means", round(8 / 7, 3): ": there are n - 1 predictions"}
    for length in (6, 4, 100):
        found = probe(run, stream, length) / math.log(2)
        assert math.isclose(found, 8 / 6, rel_tol=1e-5), f"in windows of {length}: {found:.3f} bits instead of {8 / 6:.3f}{known.get(round(found, 3), '')}"


@check(points=0.5, hint="One number before training and one after every `every` steps; new windows, zero_grad, backward, clip, step.")
def learns_a_circle():
    """A table learns that 0 1 2 3 4 5 goes round in circles, and 60 steps with every=25 report three falling losses."""
    def run(stream):
        model = Table(torch.zeros(6, 6))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
        return train_lm(model, optimizer, stream, stream[:31], torch.Generator().manual_seed(0), 60, 25, 4, 8)

    losses = probe(run, torch.arange(120) % 6)
    assert losses is not None, "train_lm returned None"
    assert len(losses) == 3, f"{len(losses)} losses instead of three"
    assert math.isclose(losses[0], math.log(6), rel_tol=1e-5), f"before training, the loss is {losses[0]:.4f} instead of log 6 = {math.log(6):.4f}"
    assert losses[2] < losses[1] < 0.5, f"after 25 and 50 steps, the losses are {losses[1]:.3f} and {losses[2]:.3f}; they should fall below 0.5 and go on falling"


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


@check(points=2, hint="The shares of the pairs follow from the table, also where they settle slowly; where a probability is zero, 0 log 0 is 0.")
def knows_any_source():
    """The entropy rate is correct for sources of second order, with zeros in the table, and for one that settles slowly."""
    words = [[*np.random.randint(0, v, n).tolist(), *range(v), 0, 0, 0] for v, n in [(2, 20), (3, 30), (3, 200), (5, 300)]]
    sources = [source_of(word) for word in words]
    # Tokens 0 and 1 are drawn at random, 2 and 3 take turns; the text hardly ever goes from one pair to the other.
    leave, turn = torch.tensor([1e-4, 3e-4], dtype=torch.float64), 0.9
    hats = torch.zeros(4, 4, dtype=torch.float64)
    hats[:2, :2], hats[:2, 2] = (1 - leave[0]) / 2, leave[0]
    hats[2:, 2:], hats[2:, 0] = (1 - leave[1]) * torch.tensor([[1 - turn, turn], [turn, 1 - turn]], dtype=torch.float64), leave[1]
    inside = [two_way_entropy(float(p)) + (1 - float(p)) * h for p, h in zip(leave, (math.log(2), two_way_entropy(turn)), strict=True)]
    sources.append((hats.expand(4, 4, 4).clone(), 0.75 * inside[0] + 0.25 * inside[1]))
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
    if not all(right[:-2]):
        fail("The rate is wrong for a source whose next token depends on the last two in their order.")
    if not all(right[-2:]):
        fail("The rate is wrong for a source whose shares settle slowly: iterate until nothing changes any more.")


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

    def pairs(stream):
        generator = torch.Generator().manual_seed(3)
        return torch.stack([draw_windows(stream, 2, 4, generator)[0][:, 0] for _ in range(100)])

    first, second = probe(pairs, torch.arange(7)).T  # two of three windows: never the same with a chance of (2/3)^100
    if not (first == second).any():
        fail("In a small batch, no window ever comes up twice: rows have to be independent of each other.")
    n, length, n_windows = 11, 4, 7000
    stream = torch.randperm(n) + 50
    place = {int(token): i for i, token in enumerate(stream)}
    drawn, after = probe(run, stream.clone(), n_windows, length, [1, 2, 1])
    if not torch.equal(stream, after):
        fail("The stream passed in was modified.")
    if not torch.equal(drawn[0][0], drawn[2][0]):
        fail("Two generators in the same state gave different windows: there is a second source of chance.")
    if torch.equal(drawn[0][0], drawn[1][0]):
        fail("Two generators in different states gave the same windows.")
    for x, y in drawn[:2]:
        starts = torch.tensor([place[int(token)] for token in x[:, 0]])
        if starts.max() > n - length - 1:
            fail("A window began where its last target does not fit into the stream.")
        if not (torch.equal(x, stream[starts[:, None] + torch.arange(length)]) and torch.equal(y, stream[starts[:, None] + torch.arange(length) + 1])):
            fail("A window is not a run of neighbours in the stream, or its targets are not the tokens that follow.")
        if len(starts.unique()) < n - length:
            fail("Some windows never come up. Are the first and the last place among those drawn from?")
        # 49 kinds of neighbours, equally likely: a chi-square variable of 48 degrees of freedom leaves 8 to 135 less often than once in 1e9 draws.
        kinds = torch.bincount(starts[0::2] * 7 + starts[1::2], minlength=49)
        spread = float(((kinds - n_windows / 98) ** 2).sum() / (n_windows / 98))
        if spread > 135:
            fail("Not all windows are equally likely, or one window says something about the next.")
        if spread < 8:
            fail("The windows come up too evenly for independent draws: the same one may be drawn twice.")


def replaced(names):
    """A context in which these of the student's functions are plain ones, so that a mistake counts once."""
    import sys
    from unittest import mock

    def windows_of(stream, n_windows, length, generator):
        runs = stream.unfold(0, length + 1, 1)[torch.randint(len(stream) - length, (n_windows,), generator=generator)]
        return runs[:, :-1], runs[:, 1:]

    def score_of(model, stream, length):
        mode = model.training
        model.eval()
        with torch.no_grad():
            runs = [stream[None, i : i + length + 1] for i in range(0, len(stream) - 1, length)]
            total = sum(float(lm_loss(model(run[:, :-1]), run[:, 1:])) * (run.shape[1] - 1) for run in runs)
        model.train(mode)
        return total / (len(stream) - 1)

    plain = {"draw_windows": windows_of, "evaluate_lm": score_of}
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


@check(points=1.5, hint="Targets 1 to n - 1, each once, each predicted from its own window. Add up, then divide by n - 1.")
def evaluates_each_token_once():
    """The result is the mean over all tokens but the first, each predicted once from the window before it, however long the last window."""
    def run(cases, table):
        found = []
        for stream, length in cases:
            model = Prefixes(table.clone())
            found.append((float(evaluate_lm(model, stream, length)), model.longest, stream))
        return found

    table = torch.randn(89, 7, dtype=torch.float64) * 3
    cases = [(torch.randint(0, 7, (n,)), length) for n, length in [(41, 8), (44, 8), (6, 8), (2, 8), (10, 8), (5, 1), (300, 23), (301, 20)]]
    # More than a thousand windows: the tokens after the first 1,060 surprise the model more (or less) than those.
    surprises = [-log_softmax(table.numpy()[(t * t + t + 1) % 89])[t] for t in range(7)]
    cases.append((torch.tensor([int(np.argmin(surprises))] * 1060 + [int(np.argmax(surprises))] * 40), 1))
    found = probe(run, [(stream.clone(), length) for stream, length in cases], table)
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
    def run(stream):
        found = []
        for training in (True, False):
            model = Observed(training)
            before = model.table.detach().clone()
            evaluate_lm(model, stream, 6)
            same = torch.equal(before, model.table) and model.table.grad is not None and bool((model.table.grad == 7).all())
            found.append((model.calls, model.training == model.inner.training == training, same and model.table.requires_grad))
        return found

    for calls, mode_is_back, same in probe(run, torch.randint(0, 5, (21,))):
        if any(training for training, _ in calls):
            fail("The model was in training mode while it was evaluated: with dropout, the loss is different.")
        if any(recorded for _, recorded in calls):
            fail("Gradients were recorded during the evaluation, which costs memory and serves nothing.")
        if not mode_is_back:
            fail("After the evaluation, the model is not in the mode in which it was before.")
        if not same:
            fail("The evaluation changed the weights or their gradients.")


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
        optimizer = torch.optim.SGD([{"params": [model.table]}, {"params": [model.bias]}], lr=0.5, momentum=0.9)
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


@check(points=1.5, hint="Per step: model.train(), new windows, loss, zero_grad, backward, clip_grad_norm_(..., 1.0), step. In which order?")
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
                fail("The inputs of a step are not windows of the training stream.")
            if len(xs.unique(dim=0)) < 3:
                fail("The same windows came again and again: draw new ones for each step.")
            seen.append(xs)
            weights, norms = replay(steps, follows, factor)
            assert (max(norms) < 1) == (factor < 1)
            if not all(np.allclose(a.numpy(), b, rtol=1e-4, atol=1e-6) for a, b in zip(after, weights, strict=True)):
                small = "" if factor < 1 else ", where gradients are longer than 1 and have to be scaled down"
                fail(f"Six steps of the optimizer do not lead to these weights{small}. Whatever was in .grad before must not count, either.")
        if not torch.equal(seen[0], seen[1]):
            fail("The same state of the generator led to other windows: there is a second source of chance.")
        if torch.equal(seen[0], seen[2]):
            fail("A different state of the generator led to the same windows.")

    with_and_without_help(["draw_windows", "evaluate_lm"], examine)


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

    with_and_without_help(["draw_windows", "evaluate_lm"], examine)


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it reach the floor, and who falls through it?
#
# Your functions train two models that differ in one argument of one call, `is_causal`. Which curve would you rather show?

# %% tags=["demo", "raises-exception"]
def counted_entropy(codes, following):
    """Entropy of the next token, given a number for what is known about the past, by counting."""
    counts = torch.bincount(codes * 6 + following, minlength=216).view(36, 6).double()
    return float(torch.special.entr(counts / counts.sum(1, keepdim=True).clamp(min=1)).sum(1) @ counts.sum(1) / counts.sum())


def draw_two_models():
    length = 16
    floor = entropy_rate(SOURCE)
    training, validation = split_stream(STREAM, 0.1)
    trained_models, curves = {}, {}
    for name, causal in [("causal", True), ("looks ahead", False)]:
        torch.manual_seed(0)
        trained_models[name] = model = TinyGPT(6, length, causal=causal)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        generator = torch.Generator().manual_seed(0)
        curves[name] = train_lm(model, optimizer, training, validation, generator, steps=300, every=25, n_windows=32, length=length)

    before, last, following = STREAM[:-2], STREAM[1:-1], STREAM[2:]
    known = {
        "nothing": counted_entropy(0 * last, following),
        "the last letter": counted_entropy(last, following),
        "the last two, not their order": counted_entropy(torch.minimum(before, last) * 6 + torch.maximum(before, last), following),
    }
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.5), width_ratios=(1.5, 1))
    for (name, curve), style in zip(curves.items(), ("o-", "s--"), strict=True):
        axes[0].plot(range(0, 301, 25), curve, style, ms=4, label=name)
    for what, entropy in known.items():
        axes[0].axhline(entropy, color="0.6", ls=":", lw=1)
        axes[0].text(300, entropy + 0.015, f"best possible, knowing {what}", fontsize=8, ha="right", va="bottom", color="0.35")
    axes[0].text(300, floor - 0.02, "entropy rate: the floor", fontsize=8.5, ha="right", va="top", weight="bold")
    axes[0].set(xlabel="step", ylabel="validation loss (nats per token)", ylim=(0, 2.1), title="Two models, one floor")
    axes[0].legend(loc="center right", bbox_to_anchor=(1, 0.3))

    fresh = sample_stream(SOURCE, 2000 * length + 1, seed=7)
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


draw_two_models()

# %% [markdown]
# The causal model levels off a little above the floor. Part of the gap is not its fault: at the first position of each window it has seen one
# letter, and can do no better than the dotted line on the right.
#
# The model that looks ahead reads the answer; when it writes, there is nothing ahead. On real text, where nobody knows the floor,
# its curve would look like a breakthrough.
#
# ### Parameters need data to fill them
#
# "Large models generalise better because they have many parameters." Is that so? In the next figure, the letters three and
# four places back have a weak influence (15 % and 10 %), so only $k = 4$ can represent the source. Its $K$ free
# probabilities cost about $K / 2D$ nats after $D$ letters. Where will the curves cross?

# %% tags=["demo", "raises-exception"]
def draw_growing_amounts(share_of_third=0.15, share_of_fourth=0.10):
    """Counting models of k letters on a source of order 4; the shares are those of the letters three and four places back."""
    far = np.random.default_rng(5).dirichlet(np.full(6, 0.3), size=(2, 6))
    table = (1 - share_of_third - share_of_fourth) * SOURCE.numpy() + share_of_third * far[0][:, None, None] + share_of_fourth * far[1][:, None, None, None]

    def sample(n, seed):
        limits, code, tokens = table.cumsum(-1).reshape(1296, 6).tolist(), 0, []
        for u in np.random.default_rng(seed).random(n + 100).tolist():
            tokens.append(sum(u >= limit for limit in limits[code][:5]))
            code = (code * 6 + tokens[-1]) % 1296
        return torch.tensor(tokens[100:])

    amounts = np.geomspace(60, 300_000, 12).astype(int)
    counted, fresh = sample(int(amounts[-1]), seed=3), sample(150_000, seed=4)
    own_loss = -float(np.log(table[tuple(fresh[i : len(fresh) - 4 + i].numpy() for i in range(5))]).mean())
    _, ax = plt.subplots(figsize=(7.4, 3.7))
    for k, marker in zip(range(5), "v^osD", strict=True):
        excess = [count_loss(count_model(counted[:n], k), fresh, k) - own_loss for n in amounts]
        ax.plot(amounts, excess, marker + "-", ms=4.5, label=f"$k = {k}$: {5 * 6**k:,} probabilities")
    if share_of_fourth:
        ax.plot(amounts[-3:], 5 * 6**4 / 2 / amounts[-3:], color="black", ls=":", lw=1.5, label="$K / 2D$ for $k = 4$")
    ax.set(xscale="log", yscale="log", xlabel="letters of training text $D$", ylabel="loss above the floor (nats)", title="Counting models and a source of longer memory")
    ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()


draw_growing_amounts()

# %% [markdown]
# Small models learn fast and get stuck, as they cannot represent the source. The best is $k = 2$ after a thousand letters,
# $k = 3$ from some 20,000 on, $k = 4$ from some 200,000 (two more runs agree). More parameters generalise better only if there is
# enough data.
#
# **Change, predict, run.** Call `draw_growing_amounts(share_of_third=0, share_of_fourth=0)`. Which models will reach the floor, and in which order?
#
# <details><summary>What you should see</summary>
#
# The source is now of order two, so $k = 2$ comes down first, then 3 and 4: each further letter of context
# needs about four times the text. $k = 0$ and 1 still get stuck.
# </details>

