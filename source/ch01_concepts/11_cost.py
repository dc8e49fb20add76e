# %% [markdown]
# ## 1.11 What does a model cost?
#
# Somebody proposes to train a model of a given shape. Is that a weekend on one card or a
# power station?
#
# ### Where the parameters are

# %% tags=["demo"]
def draw_blocks():
    def box(x, y, width, text, color="0.92", height=0.55):
        """A labelled box, centred at (x, y)."""
        ax.add_patch(plt.Rectangle((x - width / 2, y - height / 2), width, height, facecolor=color, edgecolor="0.3", lw=1, zorder=2))
        ax.text(x, y, text, ha="center", va="center", fontsize=8.5)

    def arrow(x, y, to_x, to_y):
        """An arrow between two points."""
        ax.annotate("", (to_x, to_y), (x, y), arrowprops=dict(arrowstyle="->", color="0.3"))

    _, ax = plt.subplots(figsize=(9.5, 3.6))
    blue, orange, green = "#cfe3f2", "#fbe3b5", "#c6e8dc"
    ax.add_patch(plt.Rectangle((2.05, -0.75), 10.2, 3.6, facecolor="0.97", edgecolor="0.6", ls="--", zorder=1))
    ax.text(12.15, 2.62, "one of $L$ blocks", ha="right", va="center", fontsize=9)
    box(0.9, 0, 1.5, "embedding\n$V \\times d$", blue, 0.8)
    ax.plot([1.65, 12.9], [0, 0], color="0.3", lw=1.2, zorder=1.5)
    ax.text(2.25, -0.3, "residual stream, width $d$", fontsize=8.5, color="0.35", va="center")
    for x, name in [(2.9, "norm"), (8.2, "norm")]:
        arrow(x, 0, x, 0.45)
        box(x, 0.72, 1.0, f"{name}  $d$")
    for y, name in [(2.2, "query  $d \\times d$"), (1.46, "key  $d \\times h_{kv}d_h$"), (0.72, "value  $d \\times h_{kv}d_h$")]:
        arrow(3.4, 0.72, 3.85, y)
        box(4.8, y, 1.85, name, orange)
        arrow(5.75, y, 6.05, 1.46)
    ax.text(6.1, 1.72, "attention", fontsize=8.5, va="center")
    box(6.55, 0.72, 1.25, "output\n$d \\times d$", orange, 0.7)
    arrow(6.55, 1.55, 6.55, 1.1)
    arrow(6.55, 0.37, 6.55, 0.03)
    arrow(8.7, 0.72, 8.98, 0.72)
    box(9.75, 0.72, 1.5, "up  $d \\times f$", green)
    box(9.75, 1.46, 1.5, "gate  $d \\times f$", green)
    arrow(8.7, 0.78, 8.98, 1.4)
    arrow(10.5, 0.72, 10.8, 0.72)
    arrow(10.5, 1.46, 10.85, 1.0)
    box(11.5, 0.72, 1.35, "down  $f \\times d$", green)
    arrow(11.5, 0.44, 11.5, 0.03)
    box(13.7, 0, 1.6, "norm, output\n$d \\times V$", blue, 0.8)
    ax.set(xlim=(0, 14.6), ylim=(-0.85, 2.95), aspect="equal", title="The weight matrices of a decoder-only transformer (the gate only if it is gated)")
    ax.axis("off")
    plt.show()


draw_blocks()

# %% [markdown]
# With width $d$, feed-forward width $f$, vocabulary $V$, $h$ query heads and $h_{kv}$ key-value heads
# of width $d_h = d/h$:
#
# | part | numbers |
# |---|---|
# | token embedding; position embedding, if positions are learnt | $V d$; $P d$ |
# | attention: queries and output | $2 d^2$ per block |
# | attention: keys and values | $2 d\,h_{kv} d_h$ per block |
# | feed-forward network: up and down; a third matrix if gated | $2 d f$ or $3 d f$ per block |
# | norms: two per block and one at the end | $d$ each (RMSNorm), $2d$ each (LayerNorm) |
# | biases, if any, of each matrix in a block: one per *output* | $d$, $h_{kv} d_h$ or $f$ each |
# | output layer | $V d$, or 0 if **tied**: shared with the embedding |
#
# In **grouped-query attention** (Ainslie et al., arXiv:2305.13245), several query heads share a
# key-value head. A **gated** feed-forward network
# (Shazeer, arXiv:2002.05202) multiplies two projections before the last one. More heads alone do *not* mean more parameters: they cut the same matrix into
# strips. Only the ratio $h_{kv}/h$ counts.
#
# **By hand.** Take $V=10$, $d=4$, one block, $h=2$, $h_{kv}=1$ (so $d_h=2$), $f=6$, gated, RMSNorm, no biases,
# not tied. Embedding 40, queries and output 32, keys and values 16, feed-forward 72, norms 12, output layer 40. Together 212.
#
# ### Where the memory goes
#
# Training in mixed precision with Adam keeps, for each parameter, a 16-bit weight and a 16-bit
# gradient, and in 32 bits a copy of the weight and Adam's two moments (Rajbhandari et
# al., *ZeRO*, arXiv:1910.02054, section 3.1). Activations come on top.
#
# Generating text needs the weights and a **KV cache**: the key and the value of every past token,
# in every block and key-value head. For $B$ sequences of length
# $T$, that is $2 \cdot L \cdot h_{kv} \cdot d_h \cdot B \cdot T$ numbers.
#
# ### Where the operations go
#
# Multiplying an $m \times k$ by a $k \times n$ matrix takes $2mkn$ FLOPs: a multiplication and an
# addition per term. So a forward pass costs
# **two FLOPs per matrix weight and token**. The backward pass needs two such products, for the gradients of the weights and of the inputs. Two plus four is the six in $6ND$.
#
# $6ND$ is an estimate. It leaves out the products $QK^\top$ and $AV$, which involve no
# weights, and whose cost per token grows with the length $T$. (We count them in full; a causal model needs half.)
# And it counts the embedding table, although looking up a row is no product. From which length on is attention the larger part?

# %% tags=["demo"]
def flops_per_token_and_block(d, f, length):
    """FLOPs of one forward pass through one block, per token: weight matrices, attention products."""
    return 2 * (4 * d * d + 2 * d * f), 4 * length * d


def draw_share_of_attention():
    lengths = np.logspace(2, 5.5, 60)
    _, ax = plt.subplots(figsize=(7, 3.4))
    for d, name in [(768, "$d=768$, as in GPT-2 small"), (4096, "$d=4096$"), (12288, "$d=12288$, as in GPT-3")]:
        weights, products = flops_per_token_and_block(d, 4 * d, lengths)
        ax.plot(lengths, products / (weights + products), label=name)
        ax.plot(6 * d, 0.5, "o", color=ax.lines[-1].get_color())
    ax.axhline(0.5, color="0.6", lw=1, ls=":")
    ax.set(xscale="log", xlabel="length of the sequence $T$ (tokens)", ylabel="share of a block's FLOPs", ylim=(0, 1),
           title="For $f = 4d$, $QK^\\top$ and $AV$ cost half of a block's operations at $T = 6d$")
    ax.legend(loc="upper left")
    plt.show()


draw_share_of_attention()

# %% [markdown]
# ### Exercise 1.11 · Model budget calculator
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **10 points** · plain Python
#
# **Given** are `DecoderConfig` and two published models. **Write** seven functions of a few lines that turn a configuration into
# parameters, bytes, FLOPs and hours, as whole numbers or floats.
#
# <details><summary>Hint 1: the FLOPs of attention</summary>
#
# For one sequence and one head, $Q$ is $T \times d_h$ and $K^\top$ is $d_h \times T$. How many
# heads are there, and does it matter that some of them share keys and values?
# </details>
#
# <details><summary>Hint 2: tied or not</summary>
#
# Tying saves parameters, not operations.
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder_config", "locked": true, "schema_version": 3, "solution": false, "task": false}
@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a decoder-only transformer."""

    vocab_size: int  # V, rows of the token embedding
    d_model: int  # d, width of the residual stream
    n_layers: int  # L, number of blocks
    n_heads: int  # h, query heads; divides d_model
    n_kv_heads: int  # key-value heads; divides n_heads
    d_ff: int  # f, width of the feed-forward network
    n_positions: int = 0  # P, rows of a learnt position table; 0: rotary positions, nothing learnt
    bias: bool = False  # do the linear layers inside the blocks have biases? (the output layer never has)
    gated: bool = True  # feed-forward network of three matrices (gate, up, down) or two (up, down)?
    layer_norm: bool = False  # LayerNorm (weight and bias) or RMSNorm (weight)?
    tied: bool = False  # does the output layer share the token embedding?

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_heads


GPT2_SMALL = DecoderConfig(
    vocab_size=50257, d_model=768, n_layers=12, n_heads=12, n_kv_heads=12, d_ff=3072,
    n_positions=1024, bias=True, gated=False, layer_norm=True, tied=True,
)
LLAMA3_8B = DecoderConfig(vocab_size=128256, d_model=4096, n_layers=32, n_heads=32, n_kv_heads=8, d_ff=14336)

# %% nbgrader={"grade": false, "grade_id": "budget", "locked": false, "schema_version": 3, "solution": true, "task": false}
def parameter_count(config: DecoderConfig) -> int:
    """Number of learnt parameters, each shared matrix counted once.

    >>> parameter_count(GPT2_SMALL)
    124439808
    """
    ### BEGIN SOLUTION
    d, f = config.d_model, config.d_ff
    kv = config.n_kv_heads * config.head_dim
    attention = 2 * d * d + 2 * d * kv
    feed_forward = (3 if config.gated else 2) * d * f
    norm = 2 * d if config.layer_norm else d
    biases = 0
    if config.bias:
        biases = (2 * d + 2 * kv) + ((2 if config.gated else 1) * f + d)
    block = attention + feed_forward + biases + 2 * norm
    embeddings = (config.vocab_size + config.n_positions) * d
    output = 0 if config.tied else config.vocab_size * d
    return embeddings + config.n_layers * block + norm + output
    ### END SOLUTION


def weight_bytes(config: DecoderConfig, bits: int = 16) -> float:
    """Bytes that the weights take when each is stored in `bits` bits. A fraction of a byte may be
    kept or rounded, up or down.

    >>> weight_bytes(GPT2_SMALL) / 2**20  # MiB
    237.35009765625
    """
    ### BEGIN SOLUTION
    return parameter_count(config) * bits / 8
    ### END SOLUTION


def training_bytes(config: DecoderConfig) -> int:
    """Bytes of weights, gradients and optimizer state for mixed-precision training with Adam.

    Per parameter: weight and gradient in 16 bits; master weight and two moments in 32 bits.
    Activations are not counted.
    """
    ### BEGIN SOLUTION
    return parameter_count(config) * (2 + 2 + 4 + 4 + 4)
    ### END SOLUTION


def kv_cache_bytes(config: DecoderConfig, batch: int, length: int, bits: int = 16) -> float:
    """Bytes of the keys and values of `batch` sequences of `length` tokens (at most n_positions,
    where those are learnt), when each number is stored in `bits` bits. A fraction of a byte may be
    kept or rounded, up or down.

    >>> kv_cache_bytes(LLAMA3_8B, batch=1, length=8192) / 2**30  # GiB
    1.0
    """
    ### BEGIN SOLUTION
    numbers = 2 * config.n_layers * config.n_kv_heads * config.head_dim * batch * length
    return numbers * bits / 8
    ### END SOLUTION


def forward_flops(config: DecoderConfig, batch: int, length: int) -> int:
    """FLOPs of the matrix products in one forward pass over (batch, length) tokens.

    An (m, k) by (k, n) product counts 2*m*k*n. Counted are the linear layers, the output layer
    (for every token) and attention's two products over the full length x length square;
    biases, norms, activations and embedding look-ups are not.
    """
    ### BEGIN SOLUTION
    d, kv = config.d_model, config.n_kv_heads * config.head_dim
    block = 2 * d * d + 2 * d * kv + (3 if config.gated else 2) * d * config.d_ff
    weights = config.n_layers * block + d * config.vocab_size
    products = config.n_layers * 2 * length * d
    return 2 * batch * length * (weights + products)
    ### END SOLUTION


def training_flops(config: DecoderConfig, tokens: float, length: int) -> float:
    """FLOPs of forward and backward passes over `tokens` tokens in sequences of `length`.

    Counted as in `forward_flops`; the backward pass costs twice the forward pass. `tokens` need
    not be a multiple of `length`, and may be fewer: the cost per token is what counts.
    """
    ### BEGIN SOLUTION
    return 3 * forward_flops(config, 1, length) * tokens / length
    ### END SOLUTION


def gpu_hours(flops: float, peak: float, utilisation: float) -> float:
    """Hours that one GPU works on `flops` operations.

    Args:
        flops: operations to do.
        peak: the GPU's peak rate in FLOPs per second.
        utilisation: share of the peak that is reached, between 0 and 1.

    >>> gpu_hours(3.6e21, peak=1e15, utilisation=0.5)
    2000.0
    """
    ### BEGIN SOLUTION
    return flops / (peak * utilisation) / 3600
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_budget", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


@check(points=0.5, hint="Compare part by part with the table above; whole multiples of d point to biases and norms.")
def counts_gpt2_small():
    """GPT-2 small has 124,439,808 parameters."""
    count = parameter_count(GPT2_SMALL)
    if count != 124_439_808:
        fail(f"You counted {count:,}, which is {count - 124_439_808:+,} off, or {(count - 124_439_808) / 768:+,.1f} times d.")


@check(points=0.5, hint="Keys and values, every block, every key-value head; 16 bits are two bytes.")
def caches_llama3_8b():
    """The KV cache of Llama 3 8B for one sequence of 8,192 tokens takes 1 GiB in 16 bits."""
    size = kv_cache_bytes(LLAMA3_8B, batch=1, length=8192)
    if not math.isclose(size, 2**30):
        fail(f"You computed {size / 2**30:g} GiB.")


TOY = DecoderConfig(vocab_size=10, d_model=4, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=6)  # the model of "By hand"


def is_by_hand(answer, by_hand, unit):
    if not math.isclose(answer, by_hand):
        fail(f"{answer:g} {unit} instead of {by_hand:g}.")


@check(points=0.25, hint="Add up the parts of the table: 40 + 32 + 16 + 72 + 12 + 40.")
def counts_the_toy():
    """The toy model of the text has 212 parameters."""
    is_by_hand(parameter_count(TOY), 212, "parameters")


@check(points=0.25, hint="Eight bits are a byte.")
def weighs_the_toy():
    """Its weights take 212 bytes in 8 bits and 106 in 4 bits."""
    is_by_hand(weight_bytes(TOY, bits=8), 212, "bytes in 8 bits")
    is_by_hand(weight_bytes(TOY, bits=4), 106, "bytes in 4 bits")


@check(points=0.25, hint="Two bytes for weight and gradient each, four for the master weight and each of two moments.")
def trains_the_toy_in_memory():
    """Training it takes 3,392 bytes, 16 for each parameter."""
    is_by_hand(training_bytes(TOY), 212 * 16, "bytes")


@check(points=0.25, hint="160 weights are in matrices that multiply something, two FLOPs each and token; attention's two products add 2 * 2 * 3 * 4 a token.")
def multiplies_in_the_toy():
    """A forward pass over three tokens takes 1,104 FLOPs."""
    is_by_hand(forward_flops(TOY, 1, 3), 3 * (2 * 160 + 2 * 2 * 3 * 4), "FLOPs")


@check(points=0.25, hint="The backward pass costs twice the forward pass.")
def trains_the_toy():
    """Training on three tokens takes 3,312 FLOPs."""
    is_by_hand(training_flops(TOY, 3, 3), 3 * 3 * (2 * 160 + 2 * 2 * 3 * 4), "FLOPs")


@check(points=0.25, hint="Divide by the rate that is reached, and seconds by 3,600.")
def takes_its_hours():
    """At half of a peak of 1e15 FLOPs per second, 3.6e21 FLOPs take 2,000 hours."""
    is_by_hand(gpu_hours(3.6e21, peak=1e15, utilisation=0.5), 2000, "hours")


### BEGIN HIDDEN TESTS
from dataclasses import replace
from functools import cache


def random_configs():
    """Two GPT-2-like, two Llama-like and one StarCoder2-like shape, drawn anew for each seed."""
    rng = np.random.default_rng(np.random.randint(2**31))
    configs = []
    for number in range(5):
        heads = int(rng.choice([4, 6, 8]))
        width = heads * 2 * int(rng.integers(3, 9))
        sizes = dict(
            vocab_size=int(rng.integers(50, 400)), d_model=width, n_layers=int(rng.integers(1, 4)),
            n_heads=heads, d_ff=int(rng.integers(20, 300)), tied=number % 2 == 0,
        )
        if number < 2:
            configs.append(DecoderConfig(**sizes, n_kv_heads=heads, n_positions=int(rng.integers(30, 90)), bias=True, gated=False, layer_norm=True))
        elif number < 4:
            configs.append(DecoderConfig(**sizes, n_kv_heads=heads // (number - 1), bias=number == 3))
        else:  # LayerNorm and a plain feed-forward network, but no biases and no learnt positions
            configs.append(DecoderConfig(**sizes, n_kv_heads=heads // 2, gated=False, layer_norm=True))
    return configs


def transformers_model(config):
    """The same shape in Hugging Face Transformers, with random weights: the independent count."""
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Starcoder2Config,
        Starcoder2ForCausalLM,
    )

    if config.layer_norm and not config.n_positions:
        return Starcoder2ForCausalLM(Starcoder2Config(
            vocab_size=config.vocab_size, hidden_size=config.d_model, num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads, num_key_value_heads=config.n_kv_heads, intermediate_size=config.d_ff,
            tie_word_embeddings=config.tied, use_bias=config.bias, bos_token_id=None, eos_token_id=None, attn_implementation="eager",
        ))
    if config.layer_norm:
        return GPT2LMHeadModel(GPT2Config(
            vocab_size=config.vocab_size, n_embd=config.d_model, n_layer=config.n_layers, n_head=config.n_heads,
            n_inner=config.d_ff, n_positions=config.n_positions, tie_word_embeddings=config.tied, attn_implementation="eager",
            bos_token_id=None, eos_token_id=None,
        ))
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=config.vocab_size, hidden_size=config.d_model, num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads, num_key_value_heads=config.n_kv_heads, intermediate_size=config.d_ff,
        tie_word_embeddings=config.tied, attention_bias=config.bias, mlp_bias=config.bias, attn_implementation="eager",
        bos_token_id=None, eos_token_id=None,
    ))


def in_words(config):
    return ", ".join([
        f"{config.n_layers} blocks", f"{config.n_heads} heads", f"{config.n_kv_heads} key-value heads",
        "biases" if config.bias else "no biases", "LayerNorm" if config.layer_norm else "RMSNorm",
        "a gated feed-forward network" if config.gated else "a plain feed-forward network",
        "learnt positions" if config.n_positions else "rotary positions", "a tied output layer" if config.tied else "an output layer of its own",
    ])


def compare(quantity, config, answer, truth, abs_tol=0):
    if not math.isclose(answer, truth, rel_tol=1e-9, abs_tol=abs_tol):
        fail(f"{quantity} is wrong for a model with {in_words(config)}: {answer / truth:.4g} times the right value.")


@dataclass
class Measured:
    """What one model has and does, counted while it runs."""

    config: DecoderConfig
    parameters: int
    batch: int
    length: int
    cached: int  # numbers in the KV cache
    forward: int  # FLOPs
    backward: int


@cache
def measured_models():
    from torch.utils.flop_counter import FlopCounterMode

    found = []
    for config in random_configs():
        batch, length = np.random.randint(1, 4), np.random.randint(5, 13)
        model = transformers_model(config)
        with FlopCounterMode(display=False) as forward:
            output = model(torch.randint(config.vocab_size, (batch, length)), use_cache=True)
        with FlopCounterMode(display=False) as backward:
            output.logits.sum().backward()
        cached = sum(layer.keys.numel() + layer.values.numel() for layer in output.past_key_values.layers)
        found.append(Measured(
            config, model.num_parameters(), batch, length, cached, forward.get_total_flops(), backward.get_total_flops(),
        ))
    return found


@check(points=2, hint="Biases, norms, positions, tying, grouped-query attention and gating each change the count; heads do not.")
def counts_like_transformers():
    """The parameter count agrees with five models built in Hugging Face Transformers."""
    for model in measured_models():
        config = model.config
        compare("The count", config, parameter_count(config), model.parameters)
        plain, gated = (parameter_count(replace(config, gated=gated)) for gated in (False, True))
        if gated - plain != config.n_layers * config.d_ff * (config.d_model + config.bias):
            fail("A gated feed-forward network has one more matrix (and bias) than a plain one, whatever the norms are.")


@check(points=1.5, hint="A linear layer costs 2 FLOPs per weight and token. Are attention's two products in it, and the output layer?")
def forward_flops_are_counted():
    """The forward FLOPs agree with those counted while five real models run."""
    for model in measured_models():
        config, tokens = model.config, model.batch * model.length
        compare("The number of FLOPs", config, forward_flops(config, model.batch, model.length), model.forward)
        plain, gated = (forward_flops(replace(config, gated=gated), model.batch, model.length) for gated in (False, True))
        if not math.isclose(gated - plain, 2 * tokens * config.n_layers * config.d_model * config.d_ff):
            fail("A gated feed-forward network multiplies with one more matrix than a plain one, whatever the norms are.")


@check(points=1, hint="What does the backward pass cost compared with the forward pass? What does 6ND leave out?")
def training_flops_are_counted():
    """The training FLOPs agree with those counted in a forward and a backward pass."""
    for model in measured_models():
        measured, both = model.batch * model.length, model.forward + model.backward
        for tokens in (1, measured, measured + 1, measured * 10**9):
            answer = training_flops(model.config, tokens=tokens, length=model.length)
            compare("The number of FLOPs", model.config, answer, both / measured * tokens)


@check(points=1, hint="Quantising changes the bits of a weight, not how many weights there are. Adam keeps two numbers per parameter.")
def bytes_per_parameter():
    """Weights take bits/8 bytes each; training takes 16 bytes per parameter."""
    for model in measured_models():
        config, count = model.config, model.parameters
        for bits in (4, 8, 16, 32):
            compare(f"The size in {bits} bits", config, weight_bytes(config, bits), count * bits / 8, abs_tol=1)  # whole bytes are right, too
        compare("The size in 16 bits, the default,", config, weight_bytes(config), count * 2)
        compare("The memory of training", config, training_bytes(config), count * (2 * 2 + 3 * 4))


@check(points=1, hint="Only key-value heads are cached, not query heads.")
def cache_like_transformers():
    """The KV cache is as large as the one that a real model fills."""
    for model in measured_models():
        config, batch, length = model.config, model.batch, model.length
        compare("The size of the cache", config, kv_cache_bytes(config, batch, length), model.cached * 2)
        for bits in (4, 8, 32):
            compare(f"The size of the cache in {bits} bits", config, kv_cache_bytes(config, batch, length, bits), model.cached * bits / 8)


@check(points=1, hint="Seconds are operations divided by the rate that is really reached.")
def hours_of_work():
    """GPU-hours follow from the rate that is really reached."""
    for flops, peak, utilisation, hours in [(3.6e21, 1e15, 0.5, 2000), (3.6e15, 1e12, 1.0, 1), (4.5e11, 4e14, 0.25, 1.25e-6)]:
        if not math.isclose(gpu_hours(flops, peak, utilisation), hours):
            fail(f"{flops:g} FLOPs at {utilisation:.0%} of {peak:g} FLOPs per second: the number of hours is wrong.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What your calculator says
#
# Guess: what share do the embedding tables have in GPT-2 small, and what share in Llama 3 8B?

# %% tags=["demo", "raises-exception"]
def breakdown(config):
    """Parameters by part, from differences of your own count."""
    from dataclasses import replace

    total = parameter_count(config)
    blocks = total - parameter_count(replace(config, n_layers=0))
    feed_forward = blocks - (parameter_count(replace(config, d_ff=0)) - parameter_count(replace(config, d_ff=0, n_layers=0)))
    return {"embedding and output": total - blocks, "attention and norms": blocks - feed_forward, "feed-forward": feed_forward}


def draw_breakdown():
    _, ax = plt.subplots(figsize=(7, 2.3))
    for row, (name, config) in enumerate([("Llama 3 8B", LLAMA3_8B), ("GPT-2 small", GPT2_SMALL)]):
        left = 0
        for color, (part, count) in enumerate(breakdown(config).items()):
            share = count / parameter_count(config)
            ax.barh(row, share, left=left, color=f"C{color}", label=part if row == 0 else None)
            ax.text(left + share / 2, row, f"{share:.0%}", ha="center", va="center", color="white" if color != 1 else "black")
            left += share
    ax.set(yticks=[0, 1], yticklabels=["Llama 3 8B", "GPT-2 small"], xlabel="share of all parameters", xlim=(0, 1))
    ax.grid(False)
    ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    plt.show()


H100_PEAK = 989e12  # dense bf16 FLOPs per second, NVIDIA's data sheet for the SXM module


def print_costs(**runs):
    """A column for each run: a configuration, the length of its sequences, and the tokens it is trained on."""
    flops = {name: training_flops(config, tokens, length) for name, (config, length, tokens) in runs.items()}
    rows = {
        "parameters": lambda name, c, length, tokens: f"{parameter_count(c) / 1e9:.3f} billion",
        "weights in 16 bits": lambda name, c, length, tokens: f"{weight_bytes(c) / 2**30:.2f} GiB",
        "state while training": lambda name, c, length, tokens: f"{training_bytes(c) / 2**30:.1f} GiB",
        "cache of one full context": lambda name, c, length, tokens: f"{kv_cache_bytes(c, 1, length) / 2**30:.2f} GiB",
        "training on": lambda name, c, length, tokens: f"{tokens / 1e9:,.0f} billion tokens",
        "training FLOPs": lambda name, c, length, tokens: f"{flops[name]:.1e}",
        "  as a share of 6ND": lambda name, c, length, tokens: f"{flops[name] / (6 * parameter_count(c) * tokens):.0%}",
        "H100-hours at 40 %": lambda name, c, length, tokens: f"{gpu_hours(flops[name], H100_PEAK, 0.4):,.0f}",
    }
    print(f"{'':28}" + "".join(f"{name:>24}" for name in runs))
    for label, value in rows.items():
        print(f"{label:28}" + "".join(f"{value(name, *run):>24}" for name, run in runs.items()))


draw_breakdown()
print_costs(GPT2_SMALL=(GPT2_SMALL, 1024, 10e9), LLAMA3_8B=(LLAMA3_8B, 8192, 15e12))
print(f"\nMeta's model card reports 1,300,000 H100-hours for Llama 3 8B: {training_flops(LLAMA3_8B, 15e12, 8192) / (1.3e6 * 3600 * H100_PEAK):.0%} of the peak.")

# %% [markdown]
# The estimate at 40 % utilisation and the reported hours differ by a factor of two: such a
# calculator tells a weekend from a power station, not more.
#
# **Change, predict, run.** Which rows change, and about how much, if every head of Llama 3 8B has keys and values of its own? Then run
#
# ```python
# from dataclasses import replace
# print_costs(shared=(LLAMA3_8B, 8192, 15e12), own=(replace(LLAMA3_8B, n_kv_heads=32), 8192, 15e12))
# ```
#
# <details><summary>What you should see</summary>
#
# The cache becomes four times as large: 4 GiB instead of 1. Parameters, the bytes for them, FLOPs and hours grow by about a tenth or less, as $W_k$ and $W_v$ are a small part of a block.
# </details>

