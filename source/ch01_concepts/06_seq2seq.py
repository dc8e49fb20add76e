# %% [markdown]
# ## 1.6 A transformer, repaired
#
# The transformer was invented for translation (Vaswani et al.). Almost every mistake in one runs without an error.
#
# ### Three families
#
# They differ in **who may look at whom**.
#
# - **Encoder only** (BERT): every position sees all others. It fills gaps and classifies.
# - **Decoder only** (GPT): each position sees itself and what came before, so the model can write. It translates, too:
#   source and translation are then one sequence.
# - **Encoder-decoder**, the original; T5 (arXiv:1910.10683) and the speech recogniser Whisper (arXiv:2212.04356) are built like this. The encoder reads the
#   **source** in both directions. The decoder writes the **target** from left to right, and looks at the whole source by **cross-attention**.

# %% tags=["demo"]
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle


def draw_families():
    families = {  # 0: may not look, 1: bidirectional, 2: from target to source, 3: causal
        "encoder only (BERT)": (["the", "cat", "[MASK]", "down"], np.ones((4, 4), int)),
        "decoder only (GPT)": (["the", "cat", "sat", "down"], 3 * np.tri(4, dtype=int)),
        "encoder-decoder": (
            ["die", "Katze", "PAD", "BOS", "the", "cat"],
            np.block([[np.ones((3, 3), int), np.zeros((3, 3), int)], [2 * np.ones((3, 3), int), 3 * np.tri(3, dtype=int)]]),
        ),
    }
    families["encoder-decoder"][1][:, 2] = 0  # nobody looks at padding
    _, axes = plt.subplots(1, 3, figsize=(9.3, 3.5), width_ratios=(4, 4, 5.4))
    may_look = ListedColormap(["white", "C0", "C1", "C2"])
    for ax, (family, (names, look)) in zip(axes, families.items(), strict=True):
        ax.imshow(look, cmap=may_look, vmin=0, vmax=3)
        ax.set_xticks(range(len(names)), names, rotation=45)
        ax.set_yticks(range(len(names)), names)
        ax.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
        ax.grid(False)
        ax.grid(which="minor", color="0.8", lw=0.8)
        ax.tick_params(which="minor", length=0)
        ax.set(title=family, xlabel="is looked at")
        ax.add_patch(Rectangle((-0.5, -0.5), len(names), len(names), fill=False, ec="0.4", lw=1))
    axes[0].set_ylabel("looks")
    bold = dict(color="white", weight="bold", ha="center", va="center", fontsize=9)
    axes[0].text(1.5, 1.5, "self-attention,\nboth ways", **bold)
    axes[1].text(1, 2.5, "causal\nself-attention", **bold)
    axes[2].text(0.5, 0.5, "encoder", **bold)
    axes[2].text(0.5, 4, "cross-\nattention", **bold)
    axes[2].text(3.5, 4.5, "causal", **bold)
    axes[2].axhline(2.5, color="black", lw=1.5)
    axes[2].axvline(2.5, color="black", lw=1.5)
    plt.show()


draw_families()

# %% [markdown]
# ### The original architecture, in the same colours

# %% tags=["demo"]
def draw_box(ax, x, y, text, color="0.93", width=1.5, height=0.8, white=False):
    """A box with its centre at (x, y)."""
    ax.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, fc=color, ec="0.3", lw=1, zorder=2))
    ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color="white" if white else "black", zorder=3, weight="bold" if white else None)


def draw_arrow(ax, start, end, **style):
    """An arrow from one point to another."""
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="-|>", color="0.25", lw=1.2, shrinkA=0, shrinkB=0, **style), zorder=1)


def draw_architecture():
    _, ax = plt.subplots(figsize=(9.3, 3.5))
    upper, lower = 2.75, 0.75
    for y, label in [(upper, "source\ntokens"), (lower, "BOS and\ntarget so far")]:
        ax.text(0, y, label, ha="center", va="center", fontsize=8.5)
        draw_arrow(ax, (0.55, y), (0.95, y))
        draw_box(ax, 1.7, y, "embedding\n+ position")
        draw_arrow(ax, (2.45, y), (3.05, y))
    draw_box(ax, 3.8, upper, "self-\nattention", "C0", white=True)
    draw_arrow(ax, (4.55, upper), (5.05, upper))
    draw_box(ax, 5.8, upper, "feed-\nforward")
    draw_arrow(ax, (6.55, upper), (7.15, upper))
    draw_box(ax, 7.75, upper, "memory", width=1.2)
    draw_box(ax, 3.8, lower, "causal self-\nattention", "C2", white=True)
    draw_arrow(ax, (4.55, lower), (5.05, lower))
    draw_box(ax, 5.8, lower, "cross-\nattention", "C1", white=True)
    draw_arrow(ax, (6.55, lower), (7.0, lower))
    draw_box(ax, 7.75, lower, "feed-\nforward")
    draw_arrow(ax, (8.5, lower), (9.1, lower))
    draw_box(ax, 9.75, lower, "linear", width=1.3)
    draw_arrow(ax, (10.4, lower), (10.8, lower))
    ax.text(11.35, lower, "logits over\nvocabulary", ha="center", va="center", fontsize=8.5)
    ax.plot([7.75, 7.75, 5.8], [upper - 0.4, 1.75, 1.75], color="0.25", lw=1.2)
    draw_arrow(ax, (5.8, 1.75), (5.8, lower + 0.4))
    ax.text(5.9, 1.8, "keys and values", fontsize=8.5, ha="left", va="bottom", color="0.25")
    for (x, width), y, label in [((2.8, 4.0), upper, "encoder layer, $L$ times"), ((2.8, 5.95), lower, "decoder layer, $L$ times")]:
        ax.add_patch(Rectangle((x, y - 0.55), width, 1.1, fill=False, ec="0.45", ls="--", lw=1))
        top = y == upper
        ax.text(x, y + (0.6 if top else -0.6), label, fontsize=8.5, va="bottom" if top else "top", color="0.25")
    ax.set(xlim=(-0.7, 12), ylim=(-0.25, 3.75))
    ax.axis("off")
    plt.show()


draw_architecture()

# %% [markdown]
# Around each coloured or feed-forward box, the input is added to the output and the sum is normalised. Facts about attention that matter here:
#
# 1. **It has no sense of order**, so sines and cosines of the position are added (section 3.5 of the paper).
# 2. **It sees everything that is not masked**, the future of the target and the padding included.
# 3. **Padding needs two masks**, one in the encoder and one in the cross-attention.
#    Padding at the end of the *target* needs none: no real position comes after it.
# 4. **It mixes along one axis.** PyTorch's layers expect `(length, batch, width)` unless they are told `batch_first=True`.
#
# ### Two listings
#
# Two transformers of the kind that circulates on the web, in our words. What stops them? And once that is fixed, what is still wrong?

# %% tags=["demo", "shown"]
import warnings


class ListingA(nn.Module):
    def __init__(self, d_model, n_heads, n_layers):
        super().__init__()
        self.d_model, self.n_heads, self.n_layers = d_model, n_heads, n_layers
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(d_model, n_heads) for _ in range(n_layers))

    def forward(self, src, tgt, src_mask=None, tgt_mask=None, memory_mask=None):
        output = src
        for layer in self.layers:
            output = layer(output, src_mask=src_mask, tgt_mask=tgt_mask, memory_mask=memory_mask)
        return output


class ListingB(nn.Module):
    def __init__(self, d_model, n_heads, n_layers):
        super().__init__()
        self.encoder = nn.Transformer(d_model, n_heads, n_layers)
        self.decoder = nn.Transformer(d_model, n_heads, n_layers)
        self.fc = nn.Linear(d_model, d_model)

    def forward(self, src, tgt):
        memory = self.encoder(src)
        output = self.decoder(tgt, memory)
        return self.fc(output)


warnings.filterwarnings("ignore", message="enable_nested_tensor is True")  # a remark about speed


def run_listings():
    sentences, answers = torch.randn(2, 3, 6, 16)  # three sentences of six words of width 16 each, and as many answers
    for listing in (ListingA, ListingB):
        try:
            listing(d_model=16, n_heads=4, n_layers=2)(sentences, answers)
        except TypeError as error:
            print(f"{listing.__name__}: {error}")


run_listings()

# %% [markdown]
# Somebody makes the messages go away: listing A loses the arguments that its layers do not know, and listing B gets the missing one, `self.encoder(src, src)`. Now both run.
# Which changes does the first output notice, in A, in B, and if all is right?
#
# 1. its answer is another one
# 2. so is the next sentence of the batch
# 3. a word of its own sentence changes
# 4. the words after the first come in another order
# 5. later words of its answer change

# %% tags=["demo"]
class SilencedA(ListingA):
    def forward(self, src, tgt):
        for layer in self.layers:
            src = layer(src)
        return src


class SilencedB(ListingB):
    def forward(self, src, tgt):
        return self.fc(self.decoder(tgt, self.encoder(src, src)))


def question_listings():
    torch.manual_seed(0)
    sentences, answers = torch.randn(2, 3, 6, 16)

    def first_output_notices(model, src, tgt):
        """Whether the output at the first position of the first sentence changes with these inputs."""
        with torch.no_grad():
            before, after = model(sentences, answers), model(src, tgt)
        return "yes" if (before[0, 0] - after[0, 0]).abs().max() > 1e-4 else "no"

    def with_new(values, sentence, word):
        """A copy in which one word, or several, are different."""
        values = values.clone()
        values[sentence, word] += torch.randn_like(values[sentence, word])
        return values

    silenced = [SilencedA(16, 4, 2).eval(), SilencedB(16, 4, 2).eval()]
    questions = {
        "notices a change of its answer": ((sentences, with_new(answers, 0, slice(0, 6))), "yes"),
        "notices a change of the next sentence": ((with_new(sentences, 1, slice(0, 6)), answers), "no"),
        "notices a change in its own sentence": ((with_new(sentences, 0, 3), answers), "yes"),
        "notices the order of the words after it": ((sentences[:, [0, 5, 4, 3, 2, 1]], answers), "yes"),
        "notices later words of its answer": ((sentences, with_new(answers, 0, slice(1, 6))), "no"),
    }
    print(f"{'The first output ...':42}{'A':>10}{'B':>12}{'should be':>12}")
    for question, (inputs, wanted) in questions.items():
        print(f"{question:42}{first_output_notices(silenced[0], *inputs):>10}{first_output_notices(silenced[1], *inputs):>12}{wanted:>12}")
    layers_of = [[sum(isinstance(m, kind) for m in model.modules()) for kind in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)] for model in silenced]
    print(f"{'encoder and decoder layers':42}{'{} and {}'.format(*layers_of[0]):>10}{'{} and {}'.format(*layers_of[1]):>12}{'2 and 2':>12}")
    sizes = [sum(p.numel() for p in model.parameters()) for model in silenced]
    sizes.append(2 * (12 * 16**2 + 13 * 16) + 2 * (16 * 16**2 + 19 * 16))  # encoder layers and decoder layers, see below
    print(f"{'parameters (should be: of the layers)':42}{sizes[0]:>10,}{sizes[1]:>12,}{sizes[2]:>12,}")


question_listings()

# %% [markdown]
# <details><summary>Compare your diagnosis</summary>
#
# - **A** has no decoder: nothing uses the target.
# - **B** has two transformers. Each `nn.Transformer` is an encoder *and* a decoder; one is enough.
# - **B**: the third argument sets the encoder's layers only; the decoder keeps 6.
# - **B** has no causal mask: each target position may see those after it.
# - **Both** lack `batch_first=True`: word 0 of a sentence looks at words 0 of the other sentences.
# - **Both** leave `dim_feedforward` at 2,048 instead of 64: most parameters are there.
# - **Both** lack embeddings, positions, padding masks and scores for a vocabulary.
#
# Both answer the question about later words correctly by luck: A ignores the answer, and B looks along the
# wrong axis. With `batch_first=True`, B would say "yes": **one mistake hides another**.
#
# With feed-forward networks of width $4d$, an encoder layer has $12 d^2 + 13 d$ parameters, and a decoder layer $16 d^2 + 19 d$.
# </details>
#
# ### Teaching the decoder
#
# The loss is the mean surprise at each token of the target, in view of the source and the tokens before it. In training these are known, so one pass gives the
# surprise at all tokens: **teacher forcing** (Williams and Zipser, *Neural Computation* 1, 1989).
# The decoder reads the target **shifted by one**, behind a token BOS ("begin of sequence"). Last, it has to predict EOS ("end of sequence"):
#
# ```text
# source         a    b    c   PAD
# decoder reads  BOS  c    b    a   EOS
# it predicts    c    b    a   EOS  PAD          (not counted in the loss)
# ```
#
# ### Writing without a teacher
#
# **Greedy decoding** starts with BOS, takes the most likely token at the last position, appends it to the
# decoder's input, and repeats until EOS.

# %% nbgrader={"grade": false, "grade_id": "setup_seq2seq", "locked": true, "schema_version": 3, "solution": false, "task": false}
import warnings

warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")  # nn.TransformerEncoder uses them when padding is masked


def sinusoidal_positions(length: int, d_model: int) -> torch.Tensor:
    """The position vectors of the original transformer (arXiv:1706.03762, section 3.5), for an even width.

    Returns:
        (length, d_model), on the CPU: row t has sin(t w) in its even and cos(t w) in its odd columns, for frequencies w
        from 1 down to almost 1/10000. Nothing in it is learnt.
    """
    frequencies = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def reversal_batch(n: int, generator: torch.Generator, longest: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """n words of three letters or more, out of ten, and each of them backwards.

    Token 0 is PAD, 1 is BOS, 2 is EOS; the letters are 3 to 12.

    Returns:
        The words (n, longest), padded, and the same words backwards with EOS (n, longest + 1), padded.
    """
    lengths = torch.randint(3, longest + 1, (n, 1), generator=generator)
    letters = torch.randint(3, 13, (n, longest), generator=generator)
    place = torch.arange(longest + 1)
    backwards = letters.gather(1, (lengths - 1 - place).clamp(min=0))
    backwards = backwards.masked_fill(place == lengths, 2).masked_fill(place > lengths, 0)
    return letters.masked_fill(place[:-1] >= lengths, 0), backwards


# %% tags=["demo"]
ALPHABET = [".", "BOS", "EOS", *"abcdefghij"]


def draw_positions():
    places = sinusoidal_positions(60, 32)
    likeness = places @ places.T / 16  # each row has length sqrt(32 / 2) = 4
    fig, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1.5, 1))
    picture = axes[0].imshow(places.T, aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
    axes[0].set(title="Position vectors, $d = 32$", xlabel="position", ylabel="column")
    axes[0].grid(False)
    fig.colorbar(picture, ax=axes[0])
    for position in (10, 30, 50):
        axes[1].plot(likeness[position], label=f"position {position}")
    axes[1].set(title="Cosine with all positions", xlabel="position", ylim=(None, 1.45))
    axes[1].legend(ncols=3, fontsize=8, loc="upper center", columnspacing=1, handlelength=1.2)
    plt.show()
    for word, reverse in zip(*reversal_batch(4, torch.Generator().manual_seed(1)), strict=True):
        print(" ".join(ALPHABET[token] for token in word), "  ->  ", " ".join(ALPHABET[token] for token in reverse))


draw_positions()

# %% [markdown]
# The similarity of two positions depends on their distance only. Below the figure is what your model will learn: words backwards (a dot is padding).

# %% [markdown]
# ### Exercise 1.6 · A transformer, repaired
#
# > **Difficulty** ★★★☆ · **65 minutes** · **12 points** · PyTorch
#
# **Write** the layers, `encode` and `decode` of `Seq2SeqTransformer`, and the
# functions `teacher_forcing_loss` and `greedy_decode`.
#
# `nn.Transformer`, its parts and `nn.MultiheadAttention` are allowed. You choose whether source and target share embeddings, whether these are multiplied by $\sqrt{d}$, where layer norms stand (one more may follow the last layer), the activation, and whether the output layer has a bias or weights of its own.
#
# <details><summary>Hint 1: True means the opposite</summary>
#
# In the masks of `nn.Transformer` and `nn.MultiheadAttention`, `True` means "may **not** look". Look up which masks the attributes `encoder` and `decoder` of `nn.Transformer` take.
# </details>
#
# <details><summary>Hint 2: rows that have ended</summary>
#
# Keep a Boolean for each row. Where it is true, replace the next token by `pad`; stop when all are true.
# </details>

# %% nbgrader={"grade": false, "grade_id": "seq2seq", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Seq2SeqTransformer(nn.Module):
    """An encoder-decoder transformer. Source and target have the same vocabulary, tokens 0 to
    n_tokens - 1.

    It consists of token embeddings of width d_model, to which `sinusoidal_positions` are added as
    they are, n_layers encoder layers, n_layers decoder layers and a linear layer to the vocabulary.
    The linear maps in the layers have biases; the feed-forward networks are 4 * d_model wide. There
    is no dropout, and except for layer norms there are no other parameters.

    A batch is padded with the token `pad` at the ends of its rows. Each row of a source has a token
    that is not padding, and each row of a target begins with such a token. What is computed for one
    row depends neither on the other rows nor on how much padding it has, nor on earlier calls.

    Args:
        n_tokens: size of the vocabulary.
        d_model: width, an even number.
        n_heads: heads of each attention; divides d_model.
        n_layers: number of encoder layers, and number of decoder layers.
        pad: the padding token, one of 0 to n_tokens - 1.
    """

    def __init__(self, n_tokens: int, d_model: int, n_heads: int, n_layers: int, pad: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.pad = pad
        self.embedding = nn.Embedding(n_tokens, d_model)
        self.transformer = nn.Transformer(d_model, n_heads, n_layers, n_layers, 4 * d_model, dropout=0.0, batch_first=True)
        self.output = nn.Linear(d_model, n_tokens)
        ### END SOLUTION

    def encode(self, src: torch.Tensor) -> torch.Tensor:
        """Reads the source in both directions.

        Args:
            src: (batch, S) tokens, for any S up to 512.

        Returns:
            The memory (batch, S, d_model). Its values at padding positions do not matter.
        """
        ### BEGIN SOLUTION
        x = self.embedding(src)
        x = x + sinusoidal_positions(*x.shape[1:]).to(x)
        return self.transformer.encoder(x, src_key_padding_mask=src == self.pad)
        ### END SOLUTION

    def decode(self, tgt: torch.Tensor, memory: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
        """Scores for the next token at each position of the decoder's input.

        Args:
            tgt: (batch, T) tokens that the decoder reads, for any T up to 512. They are not shifted
                here.
            memory: (batch, S, d_model), from `encode`, perhaps from a call before the last one.
            src: (batch, S), the source that the memory was made from; it tells where the padding
                is.

        Returns:
            Logits (batch, T, n_tokens). Those at position t depend on the memory at all positions
            that are not padding and on tgt[:, : t + 1], and on nothing else, however large the
            weights are. At padding positions of tgt they do not matter.
        """
        ### BEGIN SOLUTION
        x = self.embedding(tgt)
        x = x + sinusoidal_positions(*x.shape[1:]).to(x)
        length = tgt.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=tgt.device).triu(1)
        x = self.transformer.decoder(x, memory, tgt_mask=future, memory_key_padding_mask=src == self.pad)
        return self.output(x)
        ### END SOLUTION

    def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
        """Logits (batch, T, n_tokens) for a source (batch, S) and a decoder's input (batch, T)."""
        return self.decode(tgt, self.encode(src), src)


def teacher_forcing_loss(
    model: nn.Module, src: torch.Tensor, target: torch.Tensor, bos: int, pad: int
) -> torch.Tensor:
    """Mean cross-entropy, in nats, of all tokens of the target (EOS counts, padding does not), each
    predicted from those before it.

    Args:
        model: a `Seq2SeqTransformer`, or another module with its methods `forward`, `encode` and
            `decode`. It stays in its mode, training or evaluation. Logits may be up to 1e3 in size.
        src: (batch, S), padded.
        target: (batch, T), each row with EOS as its last token and padded after that; without BOS.
        bos: the token that the decoder reads before the target.
        pad: the padding token.

    Both tensors stay as they are.

    Returns:
        A scalar with a gradient. It is the mean over the tokens of the whole batch: a long row
        weighs more than a short one.
    """
    ### BEGIN SOLUTION
    decoder_input = torch.cat([torch.full_like(target[:, :1], bos), target[:, :-1]], dim=1)
    logits = model(src, decoder_input)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=pad)
    ### END SOLUTION


def greedy_decode(
    model: nn.Module, src: torch.Tensor, bos: int, eos: int, pad: int, max_length: int
) -> torch.Tensor:
    """Writes a target for each source, token by token, always the most likely one.

    The decoder reads `bos` and then what it has written; the next token is the argmax of the logits
    at the last position, which may be `bos` or `pad`, too. A row ends with `eos` only. Writing
    stops when all rows have ended, or after max_length tokens. Rows that have ended may leave the
    batch that the decoder gets.

    Args:
        model: a `Seq2SeqTransformer`, or another module with its methods `forward`, `encode` and
            `decode`. It runs in evaluation mode and without gradients, and is then put back into
            the mode that it came in, which is that of all its parts.
        src: (batch, S), padded; not modified, and encoded once.
        bos, eos, pad: three different tokens.
        max_length: the greatest number of tokens to write, at least 1.

    Returns:
        The tokens written, (batch, n), of type int64, without `bos` and with `eos`; n is the length
        of the longest row, at most max_length. After its `eos`, a row has only `pad`.
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        memory = model.encode(src)
        tokens = torch.full_like(src[:, :1], bos)
        ended = torch.zeros(len(src), dtype=torch.bool, device=src.device)
        for _ in range(max_length):
            best = model.decode(tokens, memory, src)[:, -1].argmax(-1).masked_fill(ended, pad)
            tokens = torch.cat([tokens, best[:, None]], dim=1)
            ended = ended | (best == eos)
            if ended.all():
                break
    model.train(was_training)
    return tokens[:, 1:]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_seq2seq", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def with_large_weights(model):
    """The model with random weights so large that each input shows in the outputs, in evaluation mode."""
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, 1 / math.sqrt(p.shape[-1]))
            else:
                p.add_(torch.randn_like(p) * 0.2)
    return model.eval()


def answers_for(batches, n_tokens=11, d_model=16, n_heads=4, n_layers=2, pad=0):
    """Memory and logits of one model with large weights for each (src, tgt), with and without gradients."""
    def run(batches, sizes):
        model = with_large_weights(Seq2SeqTransformer(**sizes))
        found = []
        for src, tgt in batches:
            memory = model.encode(src)
            logits = model.decode(tgt, memory, src)
            with torch.no_grad():
                again = model(src, tgt)
            found.append((memory.detach(), logits.detach(), again))
        return found

    return probe(run, batches, dict(n_tokens=n_tokens, d_model=d_model, n_heads=n_heads, n_layers=n_layers, pad=pad))


def largest(differences):
    """The largest absolute value."""
    return float(differences.abs().max())


SAME, ANOTHER = 2e-4, 1e-3  # a difference below the first is rounding, one above the second is an effect


@check(points=0.5, hint="PyTorch's layers take the first axis for the length of the sequence, unless they are told batch_first=True.")
def first_axis_is_the_batch():
    """A change of the second sentence of a batch does not change what is computed for the first."""
    src, tgt = torch.randint(1, 10, (2, 4)), torch.randint(1, 10, (2, 4))
    change = torch.tensor([[0], [1]])
    (memory, logits, _), (other_memory, _, _), (_, other_logits, _) = answers_for([(src, tgt), (src + change, tgt), (src, tgt + change)])
    for name, before, after in [("encode", memory, other_memory), ("decode", logits, other_logits)]:
        effect = largest(before[0] - after[0])
        assert effect < SAME, f"{name}: the second sentence was changed, and the result for the first changed by {effect:.2g}. Which axis is the batch?"


@check(points=0.5, hint="The memory is as long as the source and d_model wide, the logits are as long as the target and n_tokens wide.")
def has_the_right_shapes():
    """encode gives (batch, S, d_model), decode and forward give logits (batch, T, n_tokens)."""
    for batch, s, t, n_layers in [(3, 7, 5, 2), (1, 4, 6, 3), (2, 1, 1, 1), (1, 512, 3, 1), (1, 2, 512, 1)]:
        src, tgt = torch.randint(1, 11, (batch, s)), torch.randint(1, 11, (batch, t))
        [(memory, logits, again)] = answers_for([(src, tgt)], n_layers=n_layers)
        assert memory.shape == (batch, s, 16), f"memory of shape {tuple(memory.shape)} instead of {(batch, s, 16)}"
        for found in (logits, again):
            assert found.shape == (batch, t, 11), f"logits of shape {tuple(found.shape)} instead of {(batch, t, 11)}"
            assert torch.isfinite(found).all(), "there are infinities or NaNs among the logits"
            assert found.min() < 0 or largest(found.sum(-1) - 1) > 0.01, "these are probabilities, not logits"


@check(points=0.5, hint="Logits at position t depend on tgt up to and including t. A causal mask is True, or minus infinity, above the diagonal.")
def decoder_sees_no_future():
    """A token of tgt changes the logits at its own position and after, and none before."""
    src, tgt = torch.randint(1, 11, (8, 3)), torch.randint(1, 10, (8, 5))
    changed = []
    for position in range(5):
        other = tgt.clone()
        other[:, position] += 1
        changed.append((src, other))
    (_, logits, again), *others = answers_for([(src, tgt), *changed])
    for position, other in enumerate(others):
        for now, then in ((logits, other[1]), (again, other[2])):
            effect = (now - then).abs().amax((0, 2))
            early, late = effect[:position], effect[position:]
            assert (early < SAME).all(), f"tgt[:, {position}] was changed, and the logits before it changed by {early.max():.2g}"
            assert (late > ANOTHER).all(), f"tgt[:, {position}] was changed, and of the logits from there on, some did not notice"


@check(points=0.5, hint="Both the encoder and the cross-attention need the mask src == self.pad, in which True means: may not look.")
def padding_makes_no_difference():
    """Two PAD behind a source of three tokens change neither the memory of the three nor the logits."""
    src, tgt = torch.randint(1, 11, (2, 3)), torch.randint(1, 11, (2, 4))
    (memory, logits, _), (padded_memory, padded_logits, _) = answers_for([(src, tgt), (F.pad(src, (0, 2)), tgt)])
    effect = largest(memory - padded_memory[:, :3])
    assert effect < SAME, f"the memory of the three tokens changed by {effect:.2g}: the encoder looks at padding, or not at words"
    effect = largest(logits - padded_logits)
    assert effect < SAME, f"the memory is right, and the logits changed by {effect:.2g}: the decoder's cross-attention looks at padding, or not at words"


class PlainModel(nn.Module):
    """Stands in for the transformer: its logits are a sum of table entries for the tokens read so far, and for the source."""

    def __init__(self, read, source, ages):
        super().__init__()
        self.read, self.source, self.ages = nn.Parameter(read), source, ages
        self.bias = nn.Parameter(torch.zeros_like(read[0]))
        self.log = []  # what was called, with how many columns, in which mode, and whether gradients were on

    def encode(self, src):
        self.log.append(("encode", src.shape[1], self.training, torch.is_grad_enabled()))
        return self.source[src]

    def decode(self, tgt, memory, src):
        self.log.append(("decode", tgt.shape[1], self.training, torch.is_grad_enabled()))
        length = tgt.shape[1]
        age = torch.arange(length)[:, None] - torch.arange(length)
        weights = self.ages[age.clamp(min=0)].masked_fill(age < 0, 0)
        return weights @ self.read[tgt] + memory.sum(1, keepdim=True) + self.bias

    def forward(self, src, tgt):
        return self.decode(tgt, self.encode(src), src)


@check(points=0.5, hint="The decoder reads BOS and the target without its last token. Labels are the target as it is.")
def loss_shifts_the_target():
    """A model that repeats what the decoder reads gets a high loss, not one near zero."""
    target = torch.stack([3 + torch.randperm(8) for _ in range(4)])  # no token twice, so the one before is always wrong

    def run(src, target):
        copying = PlainModel(20 * torch.eye(11), torch.zeros(11, 11), torch.eye(9)[0])
        return teacher_forcing_loss(copying, src, target, 1, 0).item()

    loss = probe(run, torch.randint(3, 11, (4, 5)), target)
    assert loss > 1, f"a model whose logits point to the token just read has a loss of {loss:.2f}: it reads the token that it has to predict"
    assert abs(loss - 20) < 0.01, f"a model that gives 20 to the token just read and 0 to the others has a loss of {loss:.2f} instead of 20.00"


@check(points=0.5, hint="Start with BOS; append the argmax at the last position; a row that has ended with EOS gets only PAD.")
def greedy_counts_down():
    """With a model that begins at its source and counts down to EOS, greedy_decode writes 4 3 EOS and 3 EOS PAD."""
    def run(src, max_length):
        steps = torch.zeros(6, 6)
        for token in range(3, 6):
            steps[token, token - 1] = 20.0
        return greedy_decode(PlainModel(steps, 10 * torch.eye(6), torch.eye(12)[0]), src, 1, 2, 0, max_length)

    for max_length, truth in [(9, [[4, 3, 2], [3, 2, 0]]), (2, [[4, 3], [3, 2]])]:
        written = probe(run, torch.tensor([[4], [3]]), max_length)
        assert written is not None, "greedy_decode returned None"
        assert written.tolist() == truth, f"with max_length={max_length}: {written.tolist()} instead of {truth} (BOS is 1, EOS 2, PAD 0)"


### BEGIN HIDDEN TESTS
def logits_from_memories(src, tgt, changes, pad=0):
    """Logits of one model with large weights for its memory of src, and for that memory with each change added."""
    def run(src, tgt, changes, pad):
        model = with_large_weights(Seq2SeqTransformer(n_tokens=11, d_model=16, n_heads=4, n_layers=2, pad=pad))
        with torch.no_grad():
            memory = model.encode(src)
            return [model.decode(tgt, memory + change, src) for change in (torch.zeros_like(memory), *changes)]

    return probe(run, src, tgt, changes, pad)


def decoded_late(src, other, tgt, pad):
    """Logits for the memory of src, right away and after another source of the same shape has been encoded and decoded."""
    def run(src, other, tgt, pad):
        model = with_large_weights(Seq2SeqTransformer(n_tokens=11, d_model=16, n_heads=4, n_layers=2, pad=pad))
        with torch.no_grad():
            memory = model.encode(src)
            early = model.decode(tgt, memory, src)
            model.encode(other)
            return early, model.decode(tgt, memory, src)

    return probe(run, src, other, tgt, pad)


@check(points=1, hint="The encoder has no causal mask; the decoder's cross-attention gets what the encoder has made of the source.")
def encoder_reads_both_ways():
    """Each source token changes the memory at all positions, before and after it, and each position of the memory all logits."""
    src, tgt = torch.randint(1, 10, (8, 4)), torch.randint(1, 11, (8, 3))
    changed = []
    for position in range(4):
        other = src.clone()
        other[:, position] += 1
        changed.append((other, tgt))
    (memory, logits, _), *others = answers_for([(src, tgt), *changed])
    for other_memory, other_logits, _ in others:
        if ((memory - other_memory).abs().amax((0, 2)) < ANOTHER).any():
            fail("A token of the source was changed, and the memory did not notice at some positions.")
        if ((logits - other_logits).abs().amax((0, 2)) < ANOTHER).any():
            fail("A token of the source was changed, and the logits did not notice at some positions.")
    changes = [torch.zeros(8, 4, 16) for _ in range(4)]
    for position, change in enumerate(changes):
        change[:, position] = torch.randn(8, 16)
    for pad in (0, 10):
        now, *then = logits_from_memories(src, tgt.clamp(max=9), changes, pad)
        if any(((now - other).abs().amax((0, 2)) < ANOTHER).any() for other in then):
            fail("decode was given another memory for one position, and the logits did not notice everywhere.")


def without_embeddings(src, tgt):
    """Memory, and logits for it and for another memory, of a model whose tokens all have the embedding zero."""
    def run(src, tgt, sizes):
        net = with_large_weights(Seq2SeqTransformer(**sizes))
        with torch.no_grad():
            for module in net.modules():
                for p in module.parameters(recurse=False):
                    if p.dim() == 2 and len(p) == sizes["n_tokens"] and not isinstance(module, nn.Linear):
                        p.zero_()
            memory = net.encode(src)
            return memory, net.decode(tgt, memory, src), net.decode(tgt, torch.randn_like(memory), src)

    return probe(run, src, tgt, dict(n_tokens=11, d_model=16, n_heads=4, n_layers=2, pad=0))


@check(points=0.5, hint="Positions belong to the source and to the target: row t of sinusoidal_positions is added to token t.")
def knows_the_order():
    """Exchanging two source tokens, or two earlier target tokens, changes the logits."""
    for n_layers in (1, 2):
        src = torch.stack([1 + torch.randperm(10)[:6] for _ in range(3)])
        tgt = torch.stack([1 + torch.randperm(10)[:5] for _ in range(3)])
        swapped_src, swapped_tgt = src[:, [0, 4, 2, 3, 1, 5]], tgt[:, [2, 1, 0, 3, 4]]
        (_, logits, _), (_, by_src, _), (_, by_tgt, _) = answers_for([(src, tgt), (swapped_src, tgt), (src, swapped_tgt)], n_layers=n_layers)
        if ((logits - by_src).abs().amax((0, 2)) < ANOTHER).any():
            fail("Two tokens of the source were exchanged, and the logits stayed the same.")
        # With one layer and a causal mask, nothing but positions tells the last token in which order the others came.
        if largest(logits[:, -1] - by_tgt[:, -1]) < ANOTHER:
            fail("Two earlier tokens of the target were exchanged, and the last logits stayed the same.")
    memory, logits, by_memory = without_embeddings(src, tgt)
    sides = [("source", memory)]
    if largest(logits - by_memory) > ANOTHER:  # else the output layer shares the embeddings
        sides.append(("target", logits))
    for side, found in sides:
        if (found[:, 1:] - found[:, :-1]).abs().amax((0, 2)).min() < ANOTHER:
            fail(f"When all embeddings are zero, the model cannot tell positions of the {side} apart. Positions are added to the embeddings.")


@check(points=0.5, hint="Add sinusoidal_positions as they are, not scaled, to the embeddings (which may be multiplied by the root of d_model).")
def adds_these_positions():
    """Embeddings that make up for the position vectors, by subtracting them, make all positions alike."""
    def run(positions, base, sizes):
        found = []
        for scale in (1, math.sqrt(sizes["d_model"])):
            net = with_large_weights(Seq2SeqTransformer(**sizes))
            with torch.no_grad():
                for module in net.modules():
                    for p in module.parameters(recurse=False):
                        if p.dim() == 2 and len(p) == sizes["n_tokens"] and not isinstance(module, nn.Linear):
                            p[1:] = ((base - positions) / scale).to(p)
                tokens = torch.arange(1, sizes["n_tokens"])[None]
                memory = net.encode(tokens)
                found.append((memory, net.decode(tokens, memory, tokens)))
        return found

    d, length = 16, 10
    angles = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, d, 2) / d)
    positions = torch.tensor(np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, d))
    found = probe(run, positions, torch.randn(d, dtype=torch.float64), dict(n_tokens=length + 1, d_model=d, n_heads=4, n_layers=2, pad=0))
    spread = [[largest(x - x[:, :1]) for x in pair] for pair in found]
    for side, effects in zip(("source", "target"), zip(*spread, strict=True), strict=True):
        if min(effects) > 2 * SAME:
            fail(f"The vectors that are added to the embeddings of the {side} are not those of sinusoidal_positions.")


@check(points=1, hint="Both the encoder's self-attention and the decoder's cross-attention need the mask src == self.pad; True means: may not look.")
def ignores_source_padding():
    """Padding behind a source changes neither memory nor logits, whichever token it is, also in a batch of unequal rows."""
    for pad in (0, 7):
        tokens = torch.tensor([token for token in range(11) if token != pad])
        src, tgt = tokens[torch.randint(0, 10, (2, 6))], tokens[torch.randint(0, 10, (2, 4))]
        lengths = (6, 2)
        padded = F.pad(src, (0, 3), value=pad)
        for row, length in enumerate(lengths):
            padded[row, length:] = pad
        alone = [(src[row : row + 1, :length], tgt[row : row + 1]) for row, length in enumerate(lengths)]
        behind = [(F.pad(row, (0, 4), value=pad), wish) for row, wish in alone]
        (memory, logits, again), *rest = answers_for([(padded, tgt), *alone, *behind], pad=pad)
        for row, length in enumerate(lengths):
            truth_memory, truth, _ = rest[row]
            wide_memory, wide, wide_again = rest[2 + row]
            if largest(wide_memory[:, :length] - truth_memory) > SAME:
                fail("With padding behind the source, the memory of its tokens is another one.")
            if largest(wide - truth) > SAME or largest(wide_again - truth) > SAME:
                fail("With padding behind the source, the memory of its tokens is the same, but the logits are not: the decoder looks at padding.")
            if largest(memory[row, :length] - truth_memory[0]) > SAME or max(largest(found[row] - truth[0]) for found in (logits, again)) > SAME:
                fail("In a batch of rows of unequal length, a row's results are not those that it has alone.")
        early, late = decoded_late(padded, torch.where(padded == pad, tokens[0], padded), tgt, pad)
        if largest(early - late) > SAME:
            fail("decode gave other logits after encode had read another source: it has to take the padding from its own src.")
        now, then = logits_from_memories(padded, tgt, [torch.randn(2, 9, 16) * (padded == pad)[..., None]], pad)
        if largest(now - then) > SAME:
            fail("decode was given another memory at padding positions, and the logits changed.")


@check(points=0.5, hint="A finite number such as -50 or -1e4 is not below every score. Use a Boolean mask, or minus infinity.")
def masks_hold_at_large_scores():
    """With very large weights, too, the logits do not notice later tokens, or the memory at padding."""
    def run(src, tgt, changed, noise):
        model = with_large_weights(Seq2SeqTransformer(n_tokens=11, d_model=16, n_heads=4, n_layers=2, pad=0))
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(30 if p.dim() > 1 else 1)
            memory = model.encode(src)
            return model.decode(tgt, memory, src), model.decode(changed, memory, src), model.decode(tgt, memory + noise, src)

    src, tgt = F.pad(torch.randint(1, 11, (16, 3)), (0, 2)), torch.randint(1, 6, (16, 5))
    changed = tgt.clone()
    changed[:, 2:] += 5
    logits, future, padding = probe(run, src, tgt, changed, torch.randn(16, 5, 16) * (src == 0)[..., None])
    if largest(logits[:, :2] - future[:, :2]) > ANOTHER * largest(logits):
        fail("The logits depend on later tokens where their scores are large.")
    if largest(logits - padding) > ANOTHER * largest(logits):
        fail("The logits depend on the memory at padding positions where its scores are large.")


@check(points=1, hint="PyTorch's layers take the first axis for the length unless they are told batch_first=True.")
def keeps_rows_apart():
    """What is computed for a row does not depend on the other rows of its batch."""
    src, tgt = torch.randint(1, 10, (4, 4)), torch.randint(1, 10, (4, 4))
    other_src, other_tgt = src + 1, tgt + 1
    other_src[1], other_tgt[1] = src[1], tgt[1]
    order = [2, 1, 3, 0]
    (memory, logits, again), *others, mixed = answers_for([(src, tgt), (other_src, tgt), (src, other_tgt), (src[order], tgt[order])])
    for other_memory, other_logits, other_again in others:
        if largest(memory[1] - other_memory[1]) > SAME:
            fail("A row's memory changes with the other rows.")
        if max(largest(logits[1] - other_logits[1]), largest(again[1] - other_again[1])) > SAME:
            fail("A row's logits change with the other rows.")
    if largest(logits[order] - mixed[1]) > SAME:
        fail("With its rows in another order, a batch gets other results.")


@check(points=1, hint="nn.Transformer takes the number of encoder layers and that of decoder layers, and has its own idea of width and dropout.")
def is_built_as_described():
    """It has n_layers encoder and n_layers decoder layers of the right width, n_heads heads and no dropout, and uses all its weights."""
    n_tokens, d = 101, 20

    def run(n_tokens, d, src, tgt):
        counts = [sum(p.numel() for p in Seq2SeqTransformer(n_tokens, d, 4, n, 0).parameters()) for n in (1, 2, 3)]
        by_heads = []
        for n_heads in (1, 4):
            torch.manual_seed(0)
            model = with_large_weights(Seq2SeqTransformer(n_tokens, d, n_heads, 2, 0))
            by_heads.append(model(src, tgt).detach())
        model.train()
        twice = [model(src, tgt) for _ in range(2)]
        (twice[0] * torch.randn_like(twice[0])).sum().backward()
        idle = [name for name, p in model.named_parameters() if p.dim() > 1 and (p.grad is None or p.grad.abs().max() < 1e-6)]
        tables = [module.weight.grad for module in model.modules() if isinstance(module, nn.Embedding)]
        taught = sum(table.abs().amax(1) > 1e-6 for table in tables if table is not None)
        deaf = [bool(tables) and not (taught[words].all() if torch.is_tensor(taught) else taught) for words in (src, tgt)]
        return counts, by_heads, [logits.detach() for logits in twice], len(idle), deaf

    src, tgt = torch.randint(1, 50, (3, 5)), torch.randint(50, 100, (3, 6))
    counts, by_heads, twice, idle, deaf = probe(run, n_tokens, d, src, tgt)
    encoder_layer = 12 * d**2 + 13 * d  # attention 4 d^2 + 4 d, feed-forward 8 d^2 + 5 d, two norms of 2 d
    decoder_layer = 16 * d**2 + 19 * d  # another attention and another norm
    more = {counts[1] - counts[0], counts[2] - counts[1]}
    if more in ({encoder_layer}, {decoder_layer}):
        fail("With n_layers, only one of encoder and decoder grows.")
    if more != {encoder_layer + decoder_layer}:
        fail("With each step of n_layers, the number of parameters does not grow by one encoder layer and one decoder layer with feed-forward networks 4 * d_model wide.")
    tables = {tables * n_tokens * d + bias * n_tokens + norms * 2 * d for tables in (1, 2, 3) for bias in (0, 1) for norms in range(4)}
    if counts[0] - encoder_layer - decoder_layer not in tables:
        fail("Besides n_layers layers of each kind, there is something other than embeddings, an output layer and perhaps a last layer norm, or there is a layer too many or too few.")
    if largest(twice[0] - twice[1]) > 1e-6:
        fail("In training mode, the same input gives other logits each time: there is dropout.")
    if largest(by_heads[0] - by_heads[1]) < ANOTHER:
        fail("With the same weights, one head and four heads give the same logits: n_heads is not used.")
    if idle:
        fail("Some weights have no influence on the logits.")
    for who, nothing in zip(("source", "target"), deaf, strict=True):
        if nothing:
            fail(f"No gradient reaches the embeddings of the {who}'s tokens: they cannot learn.")


def plain_tables(n_tokens=9, longest=12):
    """Tables of a PlainModel: for the tokens read, for the source, and for how long ago a token was read."""
    return torch.randn(n_tokens, n_tokens), torch.randn(n_tokens, n_tokens), 0.8 ** torch.arange(longest)


def plain_scores(tables, read, source):
    """The logits of a PlainModel after it has read these tokens, by hand."""
    by_token, by_source, ages = (table.double().numpy() for table in tables)
    return sum(ages[age] * by_token[token] for age, token in enumerate(reversed(read))) + sum(by_source[token] for token in source)


@check(points=1.5, hint="Mean over all tokens that are not padding, EOS included. Labels of padding count neither in the sum nor in the number.")
def loss_agrees_with_a_loop():
    """On padded batches, value and gradient of the loss agree with sums over single tokens."""
    bos, eos = 1, 2
    for pad, lengths, width, size in [(0, (5, 1, 3), 6, 1), (8, (2, 7), 8, 1), (5, (0,), 1, 1), (0, (9, 8, 6), 10, 30)]:
        by_token, *others = plain_tables()
        tables = (size * by_token, *others)  # the last logits are so large that some probabilities vanish in 32 bits
        letters = torch.tensor([token for token in range(9) if token not in (bos, eos, pad)])
        src = letters[torch.randint(0, 6, (len(lengths), 4))]
        target = torch.full((len(lengths), width), pad)
        surprises, slope = [], np.zeros(9)
        for row, length in enumerate(lengths):
            target[row, :length] = letters[torch.randint(0, 6, (length,))]
            target[row, length] = eos
            written = target[row, : length + 1].tolist()
            for t, token in enumerate(written):
                scores = plain_scores(tables, [bos, *written[:t]], src[row].tolist())
                probabilities = np.exp(scores - scores.max())
                probabilities /= probabilities.sum()
                surprises.append(-np.log(probabilities[token]))
                slope += probabilities - np.eye(9)[token]

        def run(tables, src, target, pad, training):
            model = PlainModel(*tables).train(training)
            loss = teacher_forcing_loss(model, src, target, 1, pad)
            if isinstance(loss, torch.Tensor) and loss.requires_grad:
                loss.backward()
            modes = {mode for _, _, mode, _ in model.log} | {model.training}
            return float(loss), model.bias.grad, src, target, modes

        for training in (True, False):
            value, gradient, *after, modes = probe(run, tables, src.clone(), target.clone(), pad, training)
            if not (torch.equal(after[0], src) and torch.equal(after[1], target)):
                fail("The tensors passed in were modified.")
            if not math.isclose(value, np.mean(surprises), rel_tol=1e-4):
                fail("The loss of a batch" + (" of one row" if len(lengths) == 1 else " of unequal rows") + " is not the mean surprise of its tokens.")
            if gradient is None:
                fail("The loss has no gradient with respect to the model's parameters.")
            if not np.allclose(gradient, slope / len(surprises), atol=1e-4):
                fail("The loss is right, its gradient is not.")
            if modes != {training}:
                fail("The loss changes the model's mode, training or evaluation.")


def written_by_hand(tables, src, bos, eos, pad, max_length):
    """Greedy decoding of each row on its own: the tokens, and how many there are in each row."""
    rows = []
    for source in src.tolist():
        written = [bos]
        while len(written) <= max_length and written[-1] != eos:
            written.append(int(plain_scores(tables, written, source).argmax()))
        rows.append(written[1:])
    lengths = torch.tensor([len(row) for row in rows])
    return torch.tensor([row + [pad] * (max(lengths) - len(row)) for row in rows]), lengths


def task_of_writing(bos, eos, pad, batch, max_length, ends):
    """Tables of a PlainModel that never writes BOS or PAD, sources, and what is to be written.

    All rows end before max_length and, where there are several, at different times; or none ends.
    """
    while True:
        by_token, by_source, ages = plain_tables(longest=20)
        by_token[:, [bos, pad]] = by_source[:, [bos, pad]] = -50
        by_source[:, eos] += 0.5 if ends else -50
        tables, src = (3 * by_token, by_source, ages), torch.randint(0, 9, (batch, 5))
        truth, lengths = written_by_hand(tables, src, bos, eos, pad, max_length)
        if not ends or (3 <= lengths.max() < max_length and (truth == eos).any(1).all() and (batch == 1 or lengths.min() < lengths.max())):
            return tables, src, truth


def decoded(tables, src, bos, eos, pad, max_length, training=False):
    """What the student's greedy_decode writes, and what it does to model and source."""
    def run(tables, src, bos, eos, pad, max_length, training):
        model = PlainModel(*tables).train(training)
        written = greedy_decode(model, src, bos, eos, pad, max_length)
        return written, model.log, model.training, src

    return probe(run, tables, src, bos, eos, pad, max_length, training)


@check(points=1, hint="Start with BOS, append the argmax at the last position, read all of it again. A row that has ended gets only PAD.")
def greedy_follows_the_argmax():
    """greedy_decode writes the argmax after each prefix, row by row, up to EOS or max_length, and PAD after EOS."""
    for bos, eos, pad in [(1, 8, 0), (4, 0, 7)]:  # tokens below and above EOS
        for batch, max_length, ends in [(5, 15, True), (1, 15, True), (4, 3, False), (3, 1, False)]:
            tables, src, truth = task_of_writing(bos, eos, pad, batch, max_length, ends)
            written, *_ = decoded(tables, src.clone(), bos, eos, pad, max_length)
            if written.dtype != torch.int64 or written.dim() != 2 or len(written) != batch:
                fail("The result is not an int64 tensor of shape (batch, n).")
            if written.shape != truth.shape:
                fail("The number of columns is not the length of the longest row, with EOS and without BOS.")
            if not torch.equal(written, truth):
                fail("What is written is not, step by step, the argmax after BOS and what was written before, with PAD after EOS.")
        steps, source = torch.zeros(9, 9), torch.zeros(9, 9)
        for token, following in [(bos, 3), (3, pad), (pad, bos)]:  # a row that goes round in a circle, and one that ends at once
            steps[token, following] = 20.0
        source[5, eos] = 50.0
        written, *_ = decoded((steps, source, torch.eye(12)[0]), torch.tensor([[3], [5]]), bos, eos, pad, 7)
        if written.tolist() != [[3, pad, bos, 3, pad, bos, 3], [eos, pad, pad, pad, pad, pad, pad]]:
            fail("A row goes on after PAD or BOS, if these are the argmax: only EOS ends it.")


@check(points=1, hint="model.eval() and torch.no_grad() before, model.train(...) after; encode before the loop; leave the loop when all rows have ended.")
def greedy_is_tidy():
    """greedy_decode encodes once, stops in time, works in evaluation mode without gradients, and restores the mode."""
    for training in (True, False):
        tables, src, truth = task_of_writing(1, 2, 0, 4, 15, ends=True)
        _, log, training_after, src_after = decoded(tables, src.clone(), 1, 2, 0, 15, training)
        if training_after != training:
            fail("The model is not put back into the mode that it came in.")
        if any(mode for _, _, mode, _ in log):
            fail("The model runs in training mode.")
        if any(grad for _, _, _, grad in log):
            fail("The model runs with gradients switched on.")
        if sum(name == "encode" for name, *_ in log) != 1:
            fail("The source is not encoded exactly once.")
        if max(columns for name, columns, *_ in log if name == "decode") > truth.shape[1]:
            fail("The decoder runs on after all rows have ended.")
        if not torch.equal(src_after, src):
            fail("The source was modified.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn, and what?
#
# Your model learns to write words backwards, twice: with your loss, and with a loss in which the decoder reads
# the target **unshifted**. Which of the two would you choose by its loss?

# %% tags=["demo", "raises-exception"]
def loss_without_shift(model, src, target, bos, pad):
    """Wrong on purpose: the decoder reads the tokens that it is asked for."""
    return F.cross_entropy(model(src, target).flatten(0, 1), target.flatten(), ignore_index=pad)


def learn_to_reverse(loss_function, steps):
    """A small transformer, trained on words and the same words backwards, and its losses."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = Seq2SeqTransformer(n_tokens=13, d_model=32, n_heads=4, n_layers=1, pad=0)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps, pct_start=0.15)
    curve = []
    for _ in range(steps):
        loss = loss_function(model, *reversal_batch(64, generator), bos=1, pad=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        curve.append(loss.item())
    return model.eval(), curve


def compare_losses(steps):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for matrices as small as these, more threads cost more than they save
    test_words, test_answers = reversal_batch(500, torch.Generator().manual_seed(1))
    shifted = torch.cat([torch.ones(500, 1, dtype=torch.long), test_answers[:, :-1]], dim=1)
    runs = {"shifted": (teacher_forcing_loss, shifted, "C0", "o"), "not shifted (wrong)": (loss_without_shift, test_answers, "C5", "s")}
    reversers, scores = {}, {}
    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), width_ratios=(1.25, 1, 1.05))
    for name, (loss_function, decoder_reads, color, marker) in runs.items():
        reverser, curve = learn_to_reverse(loss_function, steps=steps)
        axes[0].plot(curve, color=color, ls="-" if name == "shifted" else "--", label=name)
        with torch.no_grad():
            guesses = reverser(test_words, decoder_reads).argmax(-1)
        written = greedy_decode(reverser, test_words, bos=1, eos=2, pad=0, max_length=7)
        written = F.pad(written, (0, 7 - written.shape[1]))
        reversers[name] = reverser
        scores[name] = [float((guesses == test_answers)[test_answers != 0].float().mean()), float((written == test_answers).all(1).float().mean())]
    torch.set_num_threads(threads)
    axes[0].set(yscale="log", xlabel="step", ylabel="nats per token", title="Training loss")
    axes[0].legend(fontsize=8.5)
    for offset, (name, pair), color, hatch in zip((-0.2, 0.2), scores.items(), ("C0", "C5"), ("", "///"), strict=True):
        bars = axes[1].bar(np.arange(2) + offset, pair, width=0.38, color=color, hatch=hatch, edgecolor="white")
        axes[1].bar_label(bars, [f"{score:.2f}" for score in pair], fontsize=8.5)
    axes[1].set_xticks([0, 1], ["tokens correct,\nteacher forced", "words correct,\ngreedy decoding"], fontsize=8.5)
    axes[1].set(ylim=(0, 1.12), title="500 new words")
    axes[1].grid(axis="x", visible=False)
    row = int((test_words != 0).all(1).nonzero()[0, 0])  # a word of six letters
    word, answer = test_words[row : row + 1], test_answers[row : row + 1]
    memory = reversers["shifted"].encode(word).detach().requires_grad_()
    chosen = reversers["shifted"].decode(shifted[row : row + 1], memory, word).gather(2, answer[..., None])[0, :, 0]
    influence = torch.stack([torch.autograd.grad(logit, memory, retain_graph=True)[0][0].norm(dim=-1) for logit in chosen])
    axes[2].imshow(influence / influence.sum(1, keepdim=True), cmap="Blues", vmin=0)
    axes[2].set_xticks(range(6), [ALPHABET[token] for token in word[0]])
    axes[2].set_yticks(range(7), [ALPHABET[token] for token in answer[0]])
    axes[2].set(xlabel="memory at source token", ylabel="token written", title="Where each logit looks")
    axes[2].grid(False)
    plt.show()
    print("what the wrongly trained model writes for the first words:")
    for source, tokens in zip(test_words[:3], greedy_decode(reversers["not shifted (wrong)"], test_words[:3], 1, 2, 0, 7), strict=True):
        print(" ".join(ALPHABET[token] for token in source), "  ->  ", " ".join(ALPHABET[token] for token in tokens))


compare_losses(steps=200)

# %% [markdown]
# Judged by its loss, the wrong model is the better one. It has learnt to copy its input,
# and when nobody shows it the answer, it has nothing to copy. **Only decoding tells.**
#
# (If your model multiplies its embeddings by $\sqrt d$, start them with a standard
# deviation of $1/\sqrt d$, or they drown the positions.)
#
# The third picture shows how strongly each written token depends on each source token (by the gradient's length). Nobody told the model that the last letter comes first.
#
# **Change, predict, run.** Train for a tenth of the time: `compare_losses(steps=20)`. Which model will have the lower loss, and which will write more words correctly?
#
# <details><summary>What you should see</summary>
#
# Copying is learnt first, so expect the lower loss from the unshifted model again. The shifted one needs more steps before it writes words correctly; the other one never will.
# </details>

