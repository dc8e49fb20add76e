# ---
# jupyter:
#   autograder:
#     cell_seconds: 25
#     check_seconds: 60
#     float64: [attention, seq2seq, sequence_layers]
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Chapter 1 · What large models are made of
#
# A large model is easy to use without knowing what is inside it. This chapter opens it up. You
# will work out what a model costs before anyone trains it, and write the layers that almost all of
# them are built from. Four exercises begin with broken code of the kind that circulates in tutorials:
# a transformer, a text classifier, an image classifier and a GAN. You find out what is wrong, and
# write the one that works.
#
# | exercise | you will | framework | difficulty | time |
# |---|---|---|---|---|
# | [1.1](#1.1-What-does-a-model-cost?) | compute parameters, memory, FLOPs and GPU-hours from a list of sizes | plain Python | ★★☆☆ | 40 min |
# | [1.2](#1.2-A-transformer,-repaired) | diagnose two broken transformers and build one that translates | PyTorch | ★★★☆ | 40 min |
# | [1.3](#1.3-Attention) | write multi-head attention with masks from matrix products alone | PyTorch | ★★★☆ | 40 min |
# | [1.4](#1.4-A-language-model-against-a-known-entropy) | judge a language model against an entropy that is known exactly | PyTorch | ★★☆☆ | 35 min |
# | [1.5](#1.5-Recurrence-and-convolution) | write an LSTM step and a causal convolution, and compare their reach | PyTorch | ★★☆☆ | 35 min |
# | [1.6](#1.6-A-BERT-classifier,-repaired) | repair a text classifier and test what it sees | PyTorch, Hugging Face Transformers | ★★☆☆ | 35 min |
# | [1.7](#1.7-A-convolutional-network,-repaired) | find what is wrong with a Keras classifier, and make it learn | Keras 3 on TensorFlow | ★☆☆☆ | 30 min |
# | [1.8](#1.8-A-GAN,-repaired) | turn half a GAN into a whole one | Keras 3 on TensorFlow | ★★★☆ | 40 min |
# | [W1.1](#W1.1-Six-claims-about-large-models) | correct claims about large models, with numbers | in writing | ★★☆☆ | 40 min |
# | [W1.2](#W1.2-Three-scenarios) | choose a model for three tasks | in writing | ★★☆☆ | 35 min |
# | [W1.3](#W1.3-Due-diligence) | check a business plan with your calculator | in writing | ★★★☆ | 40 min |
#
# You need Python, a little PyTorch and matrix multiplication. Nothing is downloaded: data is
# generated here or comes with scikit-learn.
#
# **How an exercise works.** Replace `raise NotImplementedError` with your answer, run the cell, then
# run the test cell below it. A table shows which properties hold. When you hand in the notebook,
# hidden checks test further properties, so a right answer is one that follows the docstring, not
# one that happens to pass the visible rows. Cells that use your answers to draw something stop with
# `NotImplementedError` until you have written them; that is no mistake of yours.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder import lesson
from autograder.checks import Checks, fail, forbidden, probe

lesson.use_style()

# %% [markdown]
# ## 1.0 What makes a model "large"?
#
# There is no threshold. BERT-large had 340 million parameters and was large in 2018; PaLM, less than four
# years later, had sixteen hundred times as many. What the models called *large* have in common is
# how they are made: one network is **pretrained** on a broad mass of data with a
# self-supervised objective such as *predict the next token*, and is then adapted to many tasks.
#
# Two numbers describe such a run: the **parameters** $N$ that are learnt, and the **tokens** $D$
# that they are learnt from. Training a dense transformer costs about six floating-point operations
# (FLOPs) per parameter and token (Kaplan et al., *Scaling Laws for Neural Language Models*,
# arXiv:2001.08361):
#
# $$C \approx 6\,N\,D .$$
#
# You will see in exercise 1.1 where the six comes from, and what it leaves out.
#
# The figure places six published models on these two axes. Read it diagonally: models on the same
# grey line cost the same to train. The dotted line is the answer of Hoffmann et al. (*Training
# Compute-Optimal Large Language Models*, arXiv:2203.15556) to the question how to spend a given
# budget: about 20 tokens per parameter, so that size and data grow **together**. GPT-3 and
# PaLM lie well below that line; smaller models on more tokens would have done better for the same price. Llama 3 8B lies far above
# it on purpose, at almost 2,000 tokens per parameter: a small model trained for longer costs less each
# time it is used. The best ratio is no constant of nature, either: Meta's own scaling law put the
# optimum for its largest budget at 402 billion parameters and 16.55 trillion tokens, about 40 tokens per
# parameter (arXiv:2407.21783, section 3.2.1), and Llama 3.1 405B is close to that.

# %% tags=["demo"]
# name: (parameters, training tokens), from the paper named
published = {
    "GPT-3": (175e9, 300e9),  # arXiv:2005.14165
    "PaLM": (540e9, 780e9),  # arXiv:2204.02311
    "Chinchilla": (70e9, 1.4e12),  # arXiv:2203.15556
    "Llama 2 70B": (70e9, 2e12),  # arXiv:2307.09288
    "Llama 3 8B": (8e9, 15e12),  # Meta's model card: more than 15T tokens
    "Llama 3.1 405B": (405e9, 15.6e12),  # arXiv:2407.21783
}
right, left = dict(xytext=(10, 0), va="center"), dict(xytext=(-10, 0), va="center", ha="right")
fig, ax = plt.subplots(figsize=(7.5, 4.4))
sizes = np.logspace(9.4, 12.4, 50)
plain = dict(facecolor="white", edgecolor="none", pad=1)
for exponent, x in [(22, 1.6e10), (23, 6e9), (24, 6e9), (25, 3.5e10), (26, 2.5e11)]:
    ax.plot(sizes, 10**exponent / (6 * sizes), color="0.78", lw=1)
    ax.text(x, 10**exponent / (6 * x), f"$10^{{{exponent}}}$ FLOPs", color="0.45", fontsize=8.5, ha="center", va="center", bbox=plain)
ax.plot(sizes, 20 * sizes, ":", color="black", lw=1.2)
ax.text(2.2e11, 20 * 2.2e11, "$D = 20 N$", fontsize=9, rotation=28, ha="center", va="center", bbox=plain)
for name, (n, d) in published.items():
    ax.plot(n, d, "o", ms=8, color="C5" if d < 15 * n else "C0" if d < 60 * n else "C2")
    mantissa, power = f"{6 * n * d:.1e}".split("e+")
    ax.annotate(f"{name}: {mantissa}$\\times10^{{{power}}}$", (n, d), textcoords="offset points", fontsize=8.5, bbox=plain,
                **(left if "70B" in name or "405B" in name else right))
for color, label in [("C5", "few tokens"), ("C0", "20 to 40 tokens per parameter"), ("C2", "many tokens")]:
    ax.plot([], [], "o", color=color, label=label)
ax.legend(loc="lower left", fontsize=8.5)
ax.set(xscale="log", yscale="log", xlim=(2.5e9, 4e12), ylim=(2e10, 1.2e14),
       xlabel="parameters $N$", ylabel="training tokens $D$", title="Six large models and the FLOPs that trained them, $C = 6ND$")
plt.show()

# %% [markdown]
# Some words are used loosely. A **transformer** is an architecture; **GPT** and **BERT** are
# families of transformers (a causal decoder and a bidirectional encoder). A **GAN** is a way
# of training, not an architecture. **Inception**, **YOLO** and **Faster R-CNN** are vision
# networks with a few million to some hundred million parameters, each trained for one kind of task:
# important, but not large models in the sense above.

# %% [markdown]
# ## 1.1 What does a model cost?
#
# Somebody proposes to train a model of a given shape. Is that a weekend on one card or a
# power station? Four things can be computed from the list of sizes and a few numbers about the run, before a
# line of the model is written: parameters, memory, operations and time.
#
# ### Where the parameters are
#
# A decoder-only transformer is an embedding table, $L$ identical blocks and an output layer.

# %% tags=["demo"]
def box(x, y, width, text, color="0.92", height=0.55):
    """A labelled box, centred at (x, y)."""
    ax.add_patch(plt.Rectangle((x - width / 2, y - height / 2), width, height, facecolor=color, edgecolor="0.3", lw=1, zorder=2))
    ax.text(x, y, text, ha="center", va="center", fontsize=8.5)


def arrow(x, y, to_x, to_y):
    """An arrow between two points."""
    ax.annotate("", (to_x, to_y), (x, y), arrowprops=dict(arrowstyle="->", color="0.3"))


fig, ax = plt.subplots(figsize=(9.5, 3.6))
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

# %% [markdown]
# With width $d$, feed-forward width $f$, vocabulary $V$, $h$ query heads and $h_{kv}$ key-value heads
# of width $d_h = d/h$, the weight matrices are:
#
# | part | matrices | numbers |
# |---|---|---|
# | token embedding | one row per token | $V d$ |
# | position embedding | one row per position, if positions are learnt | $P d$ |
# | attention: queries and output | $d \times d$ each | $2 d^2$ per block |
# | attention: keys and values | $d \times h_{kv} d_h$ each | $2 d\,h_{kv} d_h$ per block |
# | feed-forward network | up and down; a third matrix if gated | $2 d f$ or $3 d f$ per block |
# | norms | two per block and one at the end: RMSNorm has a weight, LayerNorm a weight and a bias | $d$ or $2d$ each |
# | biases, if any | one number per *output* of each matrix in a block | $d$, $h_{kv} d_h$ or $f$ each |
# | output layer | none if **tied**, that is, shared with the embedding | $V d$ or $0$ |
#
# Three design choices move these numbers. **Tying** stores one $V \times d$ table instead of two.
# **Grouped-query attention** (Ainslie et al., arXiv:2305.13245) lets several query heads share a
# key-value head, $h_{kv} < h$, which mostly saves cache. A **gated** feed-forward network
# (Shazeer, arXiv:2002.05202) multiplies two projections before the last one, hence a third
# matrix. More heads alone do *not* mean more parameters: heads cut the same $d \times d$ matrix into
# strips. What counts is the ratio $h_{kv}/h$, since keys and values take $d\,h_{kv} d_h = d^2 h_{kv}/h$ each.
#
# **By hand.** Take $V=10$, $d=4$, one block, $h=2$, $h_{kv}=1$ (so $d_h=2$), $f=6$, gated, RMSNorm, no biases,
# not tied. Embedding 40; queries and output $2 \cdot 16 = 32$; keys and values $2 \cdot 4 \cdot 2 = 16$; feed-forward
# $3 \cdot 24 = 72$; norms $3 \cdot 4 = 12$; output layer 40. Together 212.
#
# ### Where the memory goes
#
# Training in mixed precision with Adam keeps, for each parameter, a 16-bit weight and a 16-bit
# gradient, and in 32 bits a master copy of the weight and Adam's two moments (Rajbhandari et
# al., *ZeRO*, arXiv:1910.02054, section 3.1). Activations come on top; they depend on the batch.
#
# Generating text needs the weights and a **KV cache**: the key and the value of every past token,
# in every block and key-value head, so that they need not be computed again: for $B$ sequences of length
# $T$, that is $2 \cdot L \cdot h_{kv} \cdot d_h \cdot B \cdot T$ numbers.
#
# ### Where the operations go
#
# Multiplying an $m \times k$ by a $k \times n$ matrix takes $2mkn$ FLOPs (a multiplication and an
# addition per term). A weight matrix is applied to every token, so a forward pass costs
# **two FLOPs per matrix weight and token**. The backward pass needs two products of the same
# size, one for the gradient of the weights and one for the gradient of the inputs: twice the forward
# pass. Two plus four is the six in $6ND$.
#
# $6ND$ is an estimate, in two ways. It leaves out attention itself: the products $QK^\top$ and $AV$ involve no
# weights, and their cost per token grows with the length $T$ of the sequence. (A causal model needs only half
# of the square, and good kernels skip the other half; we count the full square, as FLOP counters do.)
# And it counts parameters that multiply nothing: looking up a token's embedding is no product. Kaplan et al.
# leave embeddings out of $N$ for this reason. The figure shows when the first point begins to matter.

# %% tags=["demo"]
def flops_per_token_and_block(d, f, length):
    """FLOPs of one forward pass through one block, per token: weight matrices, attention products."""
    return 2 * (4 * d * d + 2 * d * f), 4 * length * d


lengths = np.logspace(2, 5.5, 60)
fig, ax = plt.subplots(figsize=(7, 3.4))
for d, name in [(768, "$d=768$, as in GPT-2 small"), (4096, "$d=4096$"), (12288, "$d=12288$, as in GPT-3")]:
    weights, products = flops_per_token_and_block(d, 4 * d, lengths)
    ax.plot(lengths, products / (weights + products), label=name)
    ax.plot(6 * d, 0.5, "o", color=ax.lines[-1].get_color())
ax.axhline(0.5, color="0.6", lw=1, ls=":")
ax.set(xscale="log", xlabel="length of the sequence $T$ (tokens)", ylabel="share of a block's FLOPs", ylim=(0, 1),
       title="For $f = 4d$, $QK^\\top$ and $AV$ cost half of a block's operations at $T = 6d$")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# ### Exercise 1.1 · Model budget calculator
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **10 points** · plain Python
#
# **Given** is `DecoderConfig`, which lists the sizes of a decoder-only transformer, and two
# published models written in it. **Write** seven short functions that turn it into
# parameters, bytes, FLOPs and hours. Do it by arithmetic: building a model with 400 billion
# parameters in order to count them is not an option. Whole numbers and floats are both fine as results.
#
# <details><summary>Hint 1: my parameter count is a little off</summary>
#
# Look at the difference between your number and the right one and divide it by $d$. Whole multiples
# of $d$ per block point to biases or norms: a linear layer with a bias has one number per *output*,
# LayerNorm has $2d$ numbers, RMSNorm has $d$. A difference of $Vd$ is the output layer.
# </details>
#
# <details><summary>Hint 2: which matrices count in the forward pass?</summary>
#
# The ones that are multiplied with something. Looking up a row of the embedding table is no
# product. The output layer is one, and it is computed for every token even if it is tied.
# </details>
#
# <details><summary>Hint 3: the FLOPs of attention</summary>
#
# For one sequence and one head, $Q$ is $T \times d_h$ and $K^\top$ is $d_h \times T$. How many
# heads are there, and does it matter that some of them share keys and values?
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
    """Bytes that the weights take when each is stored in `bits` bits; whole bytes will do, too.

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
    """Bytes of the keys and values of `batch` sequences of `length` tokens; whole bytes will do,
    too.

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
    not be a multiple of `length`: the cost per token is what counts.
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


@check(points=1, hint="Compare part by part with the table above; whole multiples of d point to biases and norms.")
def counts_gpt2_small():
    """GPT-2 small has 124,439,808 parameters."""
    count = parameter_count(GPT2_SMALL)
    if count != 124_439_808:
        fail(f"You counted {count:,}, which is {count - 124_439_808:+,} off, or {(count - 124_439_808) / 768:+,.1f} times d.")


@check(points=1, hint="Keys and values, every block, every key-value head; 16 bits are two bytes.")
def caches_llama3_8b():
    """The KV cache of Llama 3 8B for one sequence of 8,192 tokens takes 1 GiB in 16 bits."""
    size = kv_cache_bytes(LLAMA3_8B, batch=1, length=8192)
    if not math.isclose(size, 2**30):
        fail(f"You computed {size / 2**30:g} GiB.")


@check(points=1, hint="Work the toy model of the text out by hand: 212 parameters, of which 160 are in matrices that multiply something.")
def costs_of_the_toy():
    """The toy model of the text has the costs that one finds by hand."""
    toy = DecoderConfig(vocab_size=10, d_model=4, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=6)
    for what, answer, by_hand in [
        ("parameter_count", parameter_count(toy), 212),
        ("weight_bytes in 8 bits", weight_bytes(toy, bits=8), 212),
        ("training_bytes", training_bytes(toy), 212 * 16),
        ("forward_flops of 1 x 3 tokens", forward_flops(toy, 1, 3), 3 * (2 * 160 + 2 * 2 * 3 * 4)),
        ("training_flops of 3 tokens", training_flops(toy, 3, 3), 3 * 3 * (2 * 160 + 2 * 2 * 3 * 4)),
        ("gpu_hours of 3.6e21 FLOPs", gpu_hours(3.6e21, peak=1e15, utilisation=0.5), 2000),
    ]:
        if not math.isclose(answer, by_hand):
            fail(f"{what}: {answer:g} instead of {by_hand:g}.")


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


@check(points=1, hint="A linear layer costs 2 FLOPs per weight and token. Are attention's two products in it, and the output layer?")
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
        for tokens in (measured, measured + 1, measured * 10**9):
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
# The cell below uses your functions. In GPT-2 small the embedding tables are almost a third of the
# model; in Llama 3 8B the feed-forward network is most of it. The row for the cache is why
# grouped-query attention exists: with 32 key-value heads instead of 8, Llama's cache would be four times
# as large.

# %% tags=["demo", "raises-exception"]
def breakdown(config):
    """Parameters by part, from differences of your own count."""
    from dataclasses import replace

    total = parameter_count(config)
    blocks = total - parameter_count(replace(config, n_layers=0))
    feed_forward = blocks - (parameter_count(replace(config, d_ff=0)) - parameter_count(replace(config, d_ff=0, n_layers=0)))
    return {"embedding and output": total - blocks, "attention and norms": blocks - feed_forward, "feed-forward": feed_forward}


fig, ax = plt.subplots(figsize=(7, 2.3))
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

H100 = 989e12  # dense bf16 FLOPs per second, NVIDIA's data sheet for the SXM module
runs = {"GPT-2 small": (GPT2_SMALL, 1024, 10e9), "Llama 3 8B": (LLAMA3_8B, 8192, 15e12)}
flops = {name: training_flops(config, tokens, length) for name, (config, length, tokens) in runs.items()}
rows = {
    "parameters": lambda name, c, length, tokens: f"{parameter_count(c) / 1e9:.3f} billion",
    "weights in 16 bits": lambda name, c, length, tokens: f"{weight_bytes(c) / 2**30:.2f} GiB",
    "state while training": lambda name, c, length, tokens: f"{training_bytes(c) / 2**30:.1f} GiB",
    "cache of one full context": lambda name, c, length, tokens: f"{kv_cache_bytes(c, 1, length) / 2**30:.2f} GiB",
    "training on": lambda name, c, length, tokens: f"{tokens / 1e9:,.0f} billion tokens",
    "training FLOPs": lambda name, c, length, tokens: f"{flops[name]:.1e}",
    "  as a share of 6ND": lambda name, c, length, tokens: f"{flops[name] / (6 * parameter_count(c) * tokens):.0%}",
    "H100-hours at 40 %": lambda name, c, length, tokens: f"{gpu_hours(flops[name], H100, 0.4):,.0f}",
}
print(f"{'':28}" + "".join(f"{name:>24}" for name in runs))
for label, value in rows.items():
    print(f"{label:28}" + "".join(f"{value(name, *run):>24}" for name, run in runs.items()))
reported = 1.3e6  # H100-hours for Llama 3 8B, Meta's model card
print(f"\nMeta reports {reported:,.0f} H100-hours for Llama 3 8B: {flops['Llama 3 8B'] / (reported * 3600 * H100):.0%} of the peak.")

# %% [markdown]
# The estimate at 40 % utilisation and the reported hours differ by a factor of two: the report counts
# all hours of the GPUs, the estimate useful operations. Within a factor of two or three is what
# such a calculator is good for: it tells a weekend from a power station.

# %% [markdown]
# ## 1.2 A transformer, repaired
#
# A translation, a summary and a transcript have something in common: one sequence goes in, and another of
# another length comes out. The transformer was invented for this (Vaswani et al., *Attention Is All You Need*,
# arXiv:1706.03762). It is also the model that listings get wrong most often, because almost every mistake in it
# runs. In this exercise you take two broken ones apart, and write one that works.
#
# ### Three families
#
# Transformers are made of layers in which positions look at each other. The families differ in **who may look at
# whom**; each row of the figure is a position that looks, each column one that is looked at.
#
# - **Encoder only**, as in BERT (Devlin et al., arXiv:1810.04805). Every position sees all others, left and right. Good
#   for understanding a text that is all there; it is trained to fill gaps, not to write on.
# - **Decoder only**, as in GPT. Each position sees itself and what came before, so the model can be asked for the next token
#   again and again. Question and answer are one sequence.
# - **Encoder-decoder**, the original. The encoder reads the **source** in both directions. The decoder writes the **target**
#   from left to right, and looks at the whole source while it does. T5 (Raffel et al., arXiv:1910.10683) and the speech
#   recogniser Whisper (Radford et al., arXiv:2212.04356) are built like this.
#
# So "a transformer is a sequence-to-sequence model made of self-attention" is wrong twice. Only the third family is
# sequence-to-sequence, and self-attention is not enough for it: the lower left block of the third picture is attention from
# one sequence to another.

# %% tags=["demo"]
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

families = {  # 0: may not look, 1: bidirectional, 2: from target to source, 3: causal
    "encoder only (BERT)": (["the", "cat", "[MASK]", "down"], np.ones((4, 4), int)),
    "decoder only (GPT)": (["the", "cat", "sat", "down"], 3 * np.tri(4, dtype=int)),
    "encoder-decoder": (
        ["die", "Katze", "PAD", "BOS", "the", "cat"],
        np.block([[np.ones((3, 3), int), np.zeros((3, 3), int)], [2 * np.ones((3, 3), int), 3 * np.tri(3, dtype=int)]]),
    ),
}
families["encoder-decoder"][1][:, 2] = 0  # nobody looks at padding
fig, axes = plt.subplots(1, 3, figsize=(9.3, 3.5), width_ratios=(4, 4, 5.4))
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

# %% [markdown]
# ### The original architecture
#
# The colours are those of the masks above. Follow the two rows from left to right.

# %% tags=["demo"]
def draw_box(ax, x, y, text, color="0.93", width=1.5, height=0.8, white=False):
    """A box with its centre at (x, y)."""
    ax.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, fc=color, ec="0.3", lw=1, zorder=2))
    ax.text(x, y, text, ha="center", va="center", fontsize=8.5, color="white" if white else "black", zorder=3, weight="bold" if white else None)


def draw_arrow(ax, start, end, **style):
    """An arrow from one point to another."""
    ax.annotate("", end, start, arrowprops=dict(arrowstyle="-|>", color="0.25", lw=1.2, shrinkA=0, shrinkB=0, **style), zorder=1)


fig, ax = plt.subplots(figsize=(9.3, 3.5))
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

# %% [markdown]
# Around each coloured or feed-forward box, its input is added to its output and the sum is normalised (residual connection and
# layer norm); the picture leaves this out. What attention computes inside is exercise 1.3. Here you need five facts about it:
#
# 1. **It has no sense of order.** Without positions and without a mask, a sentence with its words in another order gives the same vectors in
#    another order. The original adds sines and cosines of many wavelengths to the embeddings (section 3.5 of the paper).
# 2. **It sees everything that is not masked**, the future of the target and the padding of a batch included.
# 3. **Padding needs two masks.** One keeps the encoder from looking at it, one keeps the cross-attention from looking at it.
#    The second is the one that people forget. Padding at the end of the *target* needs none: under the causal mask, no real position comes after it.
# 4. **It mixes along one axis.** PyTorch's layers expect `(length, batch, width)` unless they are told `batch_first=True`, and a
#    tensor does not say which axis is which.
# 5. **It maps width to width.** Scores for the vocabulary take one more linear layer.
#
# ### Two listings
#
# Here are two transformers of the kind that interview guides print, in our words, with their mistakes. Read them before you run them. What
# stops them? And once that is fixed, what is still wrong? Ask of each: where does the target go? which axis is the batch? how many
# layers are there? what is missing from the picture above?

# %% tags=["demo"]
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
torch.manual_seed(0)
sentences, answers = torch.randn(2, 3, 6, 16)  # three sentences of six words of width 16 each, and as many answers
for listing in (ListingA, ListingB):
    try:
        listing(d_model=16, n_heads=4, n_layers=2)(sentences, answers)
    except TypeError as error:
        print(f"{listing.__name__}: {error}")

# %% [markdown]
# Suppose that somebody makes the messages go away, the quick way: listing A loses the arguments that its layers do not know, and
# listing B gets the missing one, `self.encoder(src, src)`. Now both run, and return numbers. So we ask them questions that a
# transformer must answer rightly. (All are put to the models in evaluation mode, so that dropout plays no part.)

# %% tags=["demo"]
class SilencedA(ListingA):
    def forward(self, src, tgt):
        for layer in self.layers:
            src = layer(src)
        return src


class SilencedB(ListingB):
    def forward(self, src, tgt):
        return self.fc(self.decoder(tgt, self.encoder(src, src)))


def first_output_notices(model, src, tgt):
    """Whether the output at the first position of the first sentence is another one for these inputs."""
    with torch.no_grad():
        before, after = model(sentences, answers), model(src, tgt)
    return "yes" if (before[0, 0] - after[0, 0]).abs().max() > 1e-4 else "no"


def with_new(values, sentence, word):
    """A copy in which one word, or several, are others."""
    values = values.clone()
    values[sentence, word] += torch.randn_like(values[sentence, word])
    return values


silenced = [SilencedA(16, 4, 2).eval(), SilencedB(16, 4, 2).eval()]
questions = {
    "notices another answer": ((sentences, with_new(answers, 0, slice(0, 6))), "yes"),
    "notices another sentence in the batch": ((with_new(sentences, 1, slice(0, 6)), answers), "no"),
    "notices another word in its sentence": ((with_new(sentences, 0, 3), answers), "yes"),
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

# %% [markdown]
# <details><summary>Compare your diagnosis</summary>
#
# | listing | what | what it does | repair |
# |---|---|---|---|
# | A | no decoder | The target is an argument that nothing uses. Encoder layers know no `tgt_mask`. | encoder *and* decoder layers, the latter with cross-attention |
# | B | two transformers | `nn.Transformer` is an encoder **and** a decoder. `self.decoder(tgt, memory)` encodes the target, and decodes the memory. | one of them; use its `encoder` and `decoder` |
# | B | third argument | `nn.Transformer(d, h, L)` sets the encoder's layers only; the decoder keeps 6. | give both numbers |
# | B | no causal mask | Each target position may see those after it: the answer. | a mask from `torch.triu` |
# | A, B | `batch_first` | Word 0 of a sentence looks at words 0 of the other sentences, and never at the other words of its own. | `batch_first=True` |
# | A, B | `dim_feedforward` | It stays at 2,048, whatever `d_model` is: at width 16, most parameters are there. | `4 * d_model` |
# | A, B | no embedding, no positions | They cannot be given tokens, and do not know the order. | `nn.Embedding`, positions |
# | A, B | no padding masks | Padding is read like words. | two of them |
# | A, B | no way back to words | The outputs are vectors of width `d_model`. | a linear layer to the vocabulary |
#
# The two "no" in the last row of answers are luck. A does not look at the answer at all, and B misses the causal mask, but
# looks along the wrong axis: **one mistake hides another**. With `batch_first=True`, B would say "yes" there.
#
# With feed-forward networks of width $4d$, an encoder layer has $12 d^2 + 13 d$ parameters: $4 d^2 + 4 d$ in the attention's four linear maps,
# $8 d^2 + 5 d$ in the feed-forward network, $4 d$ in two norms. A decoder layer has one more attention and one more norm, $16 d^2 + 19 d$.
# </details>
#
# ### Teaching the decoder
#
# The model gives each token of the target $y$ a probability, in view of the source $x$ and the tokens before. The loss is the mean
# surprise:
#
# $$p(y \mid x) = \prod_{t=1}^{T} p(y_t \mid y_{<t}, x), \qquad \text{loss} = -\frac{1}{T} \sum_{t=1}^{T} \log p(y_t \mid y_{<t}, x).$$
#
# In training, the true $y_{<t}$ are at hand, so all factors come out of one pass: **teacher forcing** (Williams and Zipser, *A Learning
# Algorithm for Continually Running Fully Recurrent Neural Networks*, Neural Computation 1, 1989). The decoder reads the target **shifted right by one**,
# behind a token BOS ("begin of sequence"), and EOS ("end of sequence") is the last token that it has to predict:
#
# ```text
# source         a    b    c   PAD
# decoder reads  BOS  c    b    a   EOS          (what it reads in the columns of PAD does not matter)
# it predicts    c    b    a   EOS  PAD          (PAD is not counted in the loss)
# ```
#
# Shift and causal mask belong together. Position $t$ may see its own input, $y_{t-1}$, but neither $y_t$ nor what follows. If the shift is missing, it
# reads the very token that it is asked for; if the mask is, the next column shows it. Either way the loss falls to
# almost 0, and the model has learnt to copy. You will see that after the exercise.
#
# ### Writing without a teacher
#
# When the model is used, there is no target. **Greedy decoding** starts with BOS, takes the most likely token at the last position, appends it to the
# decoder's input, and repeats until EOS. The source stays the same, so it is encoded once; the decoder runs once per token.

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
words, backwards = reversal_batch(4, torch.Generator().manual_seed(1))
alphabet = [".", "BOS", "EOS", *"abcdefghij"]
for word, reverse in zip(words, backwards, strict=True):
    print(" ".join(alphabet[token] for token in word), "  ->  ", " ".join(alphabet[token] for token in reverse))

# %% [markdown]
# Each position has its own pattern, neighbours have similar ones, and the likeness depends on the distance only: that is what attention
# can use. Below the figure, the data of the last cell of this section: words, and the same words backwards (a dot is padding).

# %% [markdown]
# ### Exercise 1.2 · A transformer, repaired
#
# > **Difficulty** ★★★☆ · **40 minutes** · **12 points** · PyTorch
#
# **Given:** `sinusoidal_positions` from the cell above, and the method `forward`, which puts your two methods together.
#
# **Write**
#
# 1. the class `Seq2SeqTransformer`: its layers, `encode` and `decode`;
# 2. `teacher_forcing_loss`, which shifts the target;
# 3. `greedy_decode`, which has no target.
#
# PyTorch's `nn.Transformer`, `nn.TransformerEncoder`, `nn.TransformerDecoder`, their layers and `nn.MultiheadAttention` are allowed, and so are layers
# of your own. The docstrings fix what goes in and what comes out. They leave open whether source and target share an embedding, whether embeddings
# are scaled, where the layer norms stand and whether one more follows the last layer, which activation the feed-forward networks have,
# and whether the output layer has a bias or weights of its own.
#
# The two functions are tested with other models, too, that have the same three methods. So they work, or fail, on their own.
#
# <details><summary>Hint 1: True means the opposite</summary>
#
# In the masks of `nn.Transformer` and `nn.MultiheadAttention`, a Boolean `True` means "may **not** look" (in
# `F.scaled_dot_product_attention`, and in exercise 1.3, it means "may look"). `nn.Transformer` has `encoder` and `decoder` as attributes; look up
# which masks each of them takes.
# </details>
#
# <details><summary>Hint 2: the loss</summary>
#
# The decoder's input has the shape of the target: one column of BOS, and all columns of the target but the last.
# `F.cross_entropy` wants the classes in its second axis, or (positions, classes) and (positions,), and has an argument for a label that does not count.
# </details>
#
# <details><summary>Hint 3: rows that end at different times</summary>
#
# Keep a Boolean vector of the rows that have ended. The loop goes on until all have; a row that has ended gets PAD, whatever the model would like to say.
# </details>

# %% nbgrader={"grade": false, "grade_id": "seq2seq", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Seq2SeqTransformer(nn.Module):
    """An encoder-decoder transformer. Source and target have the same vocabulary, tokens 0 to
    n_tokens - 1.

    It consists of token embeddings of width d_model, to which `sinusoidal_positions` are added,
    n_layers encoder layers, n_layers decoder layers and a linear layer to the vocabulary. The
    linear maps in the layers have biases; the feed-forward networks are 4 * d_model wide. There is
    no dropout, and except for layer norms there are no other parameters.

    A batch is padded with the token `pad` at the ends of its rows. Each row of a source has a token
    that is not padding, and each row of a target begins with one. What is computed for one row
    depends neither on the other rows nor on how much padding it has.

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
            memory: (batch, S, d_model), from `encode`.
            src: (batch, S), the source that the memory was made from; it tells where the padding
                is.

        Returns:
            Logits (batch, T, n_tokens). Those at position t depend on the memory at all positions
            that are not padding and on tgt[:, : t + 1], and on nothing else. At padding positions
            of tgt they do not matter.
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
            `decode`. It stays in its mode, training or evaluation.
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
    at the last position. A row ends with `eos`. Writing stops when all rows have ended, or after
    max_length tokens.

    Args:
        model: a `Seq2SeqTransformer`, or another module with its methods `forward`, `encode` and
            `decode`. It runs in evaluation mode and without gradients, and is then put back into
            the mode that it came in.
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


@check(points=1, hint="The memory is as long as the source and d_model wide, the logits are as long as the target and n_tokens wide.")
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


@check(points=1, hint="Logits at position t depend on tgt up to and including t. A causal mask is True, or minus infinity, above the diagonal.")
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


@check(points=1, hint="The decoder reads BOS and the target without its last token. Labels are the target as it is.")
def loss_shifts_the_target():
    """A model that repeats what the decoder reads gets a high loss, not one near zero."""
    target = torch.stack([3 + torch.randperm(8) for _ in range(4)])  # no token twice, so the one before is always wrong

    def run(src, target):
        copying = PlainModel(20 * torch.eye(11), torch.zeros(11, 11), torch.eye(9)[0])
        return teacher_forcing_loss(copying, src, target, 1, 0).item()

    loss = probe(run, torch.randint(3, 11, (4, 5)), target)
    assert loss > 1, f"a model whose logits point to the token just read has a loss of {loss:.2f}: it reads the token that it has to predict"
    assert abs(loss - 20) < 0.01, f"a model that gives 20 to the token just read and 0 to the others has a loss of {loss:.2f} instead of 20.00"


### BEGIN HIDDEN TESTS
def logits_from_memories(src, tgt, changes, pad=0):
    """Logits of one model with large weights for its memory of src, and for that memory with each change added."""
    def run(src, tgt, changes, pad):
        model = with_large_weights(Seq2SeqTransformer(n_tokens=11, d_model=16, n_heads=4, n_layers=2, pad=pad))
        with torch.no_grad():
            memory = model.encode(src)
            return [model.decode(tgt, memory + change, src) for change in (torch.zeros_like(memory), *changes)]

    return probe(run, src, tgt, changes, pad)


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


@check(points=1, hint="Positions belong to the source and to the target: row t of sinusoidal_positions is added to token t.")
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
        now, then = logits_from_memories(padded, tgt, [torch.randn(2, 9, 16) * (padded == pad)[..., None]], pad)
        if largest(now - then) > SAME:
            fail("decode was given another memory at padding positions, and the logits changed.")


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


@check(points=2, hint="Mean over all tokens that are not padding, EOS included. Labels of padding count neither in the sum nor in the number.")
def loss_agrees_with_a_loop():
    """On padded batches, value and gradient of the loss agree with sums over single tokens."""
    bos, eos = 1, 2
    for pad, lengths, width in [(0, (5, 1, 3), 6), (8, (2, 7), 8), (5, (0,), 1)]:
        tables = plain_tables()
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
    """Greedy decoding of each row on its own."""
    rows = []
    for source in src.tolist():
        written = [bos]
        while len(written) <= max_length and written[-1] != eos:
            written.append(int(plain_scores(tables, written, source).argmax()))
        rows.append(written[1:])
    longest = max(map(len, rows))
    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows])


def task_of_writing(bos, eos, pad, batch, max_length, ends):
    """Tables of a PlainModel that never writes BOS or PAD, sources, and what is to be written.

    All rows end before max_length and, where there are several, at different times; or none ends.
    """
    while True:
        by_token, by_source, ages = plain_tables(longest=20)
        by_token[:, [bos, pad]] = by_source[:, [bos, pad]] = -50
        by_source[:, eos] += 0.5 if ends else -50
        tables, src = (3 * by_token, by_source, ages), torch.randint(0, 9, (batch, 5))
        truth = written_by_hand(tables, src, bos, eos, pad, max_length)
        lengths = (truth != pad).sum(1)
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
# Your model learns to write words backwards, twice: once with your loss, and once with a loss in which the decoder reads
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


threads = torch.get_num_threads()
torch.set_num_threads(1)  # for matrices as small as these, more threads cost more than they save
test_words, test_answers = reversal_batch(500, torch.Generator().manual_seed(1))
shifted = torch.cat([torch.ones(500, 1, dtype=torch.long), test_answers[:, :-1]], dim=1)
runs = {"shifted": (teacher_forcing_loss, shifted, "C0", "o"), "not shifted (wrong)": (loss_without_shift, test_answers, "C5", "s")}
reversers, scores = {}, {}
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), width_ratios=(1.25, 1, 1.05))
for name, (loss_function, decoder_reads, color, marker) in runs.items():
    reverser, curve = learn_to_reverse(loss_function, steps=200)
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
axes[1].set_xticks([0, 1], ["tokens right,\nteacher forced", "words right,\ngreedy decoding"], fontsize=8.5)
axes[1].set(ylim=(0, 1.12), title="500 new words")
axes[1].grid(axis="x", visible=False)
row = int((test_words != 0).all(1).nonzero()[0, 0])  # a word of six letters
word, answer = test_words[row : row + 1], test_answers[row : row + 1]
memory = reversers["shifted"].encode(word).detach().requires_grad_()
chosen = reversers["shifted"].decode(shifted[row : row + 1], memory, word).gather(2, answer[..., None])[0, :, 0]
influence = torch.stack([torch.autograd.grad(logit, memory, retain_graph=True)[0][0].norm(dim=-1) for logit in chosen])
axes[2].imshow(influence / influence.sum(1, keepdim=True), cmap="Blues", vmin=0)
axes[2].set_xticks(range(6), [alphabet[token] for token in word[0]])
axes[2].set_yticks(range(7), [alphabet[token] for token in answer[0]])
axes[2].set(xlabel="memory at source token", ylabel="token written", title="Where each logit looks")
axes[2].grid(False)
plt.show()
print("what the wrongly trained model writes for the first words:")
for source, tokens in zip(test_words[:3], greedy_decode(reversers["not shifted (wrong)"], test_words[:3], 1, 2, 0, 7), strict=True):
    print(" ".join(alphabet[token] for token in source), "  ->  ", " ".join(alphabet[token] for token in tokens))

# %% [markdown]
# Judged by its loss, the wrong model is the better one, and its teacher-forced accuracy is perfect. It has learnt to copy its input to its output,
# and when nobody shows it the answer, it has nothing to copy. **Only decoding tells.** The same is true of the mask, and of every
# evaluation in which the model is shown what it is asked for: if a loss is too good, look for the leak.
#
# (Does your shifted model write few words rightly? If it multiplies its embeddings by $\sqrt d$, as the original transformer does, start them with a standard
# deviation of $1/\sqrt d$: from PyTorch's standard deviation of 1 they drown the positions, whose entries are at most 1, and 200 steps are too few.)
#
# The third picture shows how strongly each written token's logit depends on the memory at each source token (the length of the
# gradient, each row divided by its sum). The dark cells run against the diagonal: nobody told the model that the last letter comes first;
# the cross-attention has found out.
#
# | what is said | what is true |
# |---|---|
# | "A transformer is a sequence-to-sequence model made of self-attention." | That describes one of three families, without its cross-attention, positions, feed-forward networks, residual connections and norms. |
# | "GPT and BERT are used for translation like the original." | GPT can continue "English: … German:", being a decoder. BERT alone cannot write: it has no decoder. |

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

# %% [markdown]
# ## 1.5 Recurrence and convolution
#
# Attention is the youngest of three ways to let the positions of a sequence exchange information. The other
# two are older, cheaper on long sequences, and in use: a **recurrent** layer carries a state along the
# sequence; a **causal convolution** looks through a window at the recent past. In this section you write both
# from matrix products, and then measure how far back each of them can look and how much of a gradient comes
# back from there.
#
# The figure shows how the first input (left) reaches the last output (right). The blue lines are all
# connections that the last output has; the orange ones are a path from the first input, and each of its
# arrows is one operation on the way.

# %% tags=["demo"]
def three_ways(n=8):
    """How an input reaches the output n - 1 positions later, in three kinds of layers."""
    def line(ax, start, end, on_path):
        color, width = ("C5", 2.2) if on_path else ("C4", 1.0)
        style = dict(arrowstyle="-|>", color=color, lw=width, shrinkA=5, shrinkB=5, mutation_scale=9, zorder=2 + on_path)
        ax.add_patch(plt.matplotlib.patches.FancyArrowPatch(start, end, **style))

    _, axes = plt.subplots(1, 3, figsize=(9.5, 2.9))
    last = n - 1
    for t in range(n):  # recurrent: up into the state, and along it
        line(axes[0], (t, 0), (t, 1.5), t == 0)
        if t:
            line(axes[0], (t - 1, 1.5), (t, 1.5), True)
    line(axes[0], (last, 1.5), (last, 3), True)
    needed, path = {last}, last  # convolutions of kernel 2: from the top down
    for level, dilation in [(2, 4), (1, 2), (0, 1)]:
        for t in needed:
            line(axes[1], (t, level), (t, level + 1), False)
            line(axes[1], (t - dilation, level), (t, level + 1), t == path)
        needed |= {t - dilation for t in needed}
        path -= dilation
    for t in range(n):
        line(axes[2], (t, 0), (last, 3), t == 0)
    steps = math.ceil(math.log2(n))
    titles = [f"Recurrent: {last} steps along the state", f"Dilated convolutions: {steps} layers", "Attention: 1 step"]
    for ax, levels, title in zip(axes, ([0, 1.5, 3], [0, 1, 2, 3], [0, 3]), titles, strict=True):
        for level in levels:
            ax.plot(range(n), [level] * n, "o", ms=7, color="white", markeredgecolor="0.35", zorder=4)
        ax.set(xticks=range(n), yticks=levels, xlim=(-0.5, last + 0.5), ylim=(-0.35, 3.35), xlabel="position", title=title)
        ax.grid(False)
        ax.tick_params(length=0)
        ax.spines[["left", "bottom"]].set_visible(False)
    axes[0].set_yticklabels(["inputs", "states", "outputs"])
    axes[1].set_yticklabels(["inputs", "dilation 1", "dilation 2", "dilation 4"], fontsize=8.5)
    axes[2].set_yticklabels(["inputs", "outputs"])
    plt.show()


three_ways()

# %% [markdown]
# ### A state that is passed on
#
# A recurrent network reads one position at a time and updates a state $h_t$ with the same weights at every
# step:
#
# $$h_t = \tanh(W x_t + U h_{t-1} + b).$$
#
# RNN stands for *recurrent* network (in Chinese 循环). A *recursive* network (递归) is something else: it applies
# the same weights upwards along a tree, such as a parse tree (Socher et al., *Parsing Natural Scenes and
# Natural Language with Recursive Neural Networks*, ICML 2011). Interview guides mix the two up.
#
# All that the network knows about the past has to fit into $h_{t-1}$, and has to come through one matrix
# after the other. By the chain rule, the influence of a state on one $k$ steps later is a product of $k$
# Jacobians:
#
# $$\frac{\partial h_t}{\partial h_{t-k}} = \prod_{s=t-k+1}^{t} \mathrm{diag}(1 - h_s^2)\, U ,$$
#
# with the latest step leftmost. No factor has a larger norm than $U$, so if the largest singular value
# $\lambda$ of $U$ is below 1, the influence falls at least as fast as $\lambda^k$: it **vanishes**, and what
# happened long ago cannot be learnt from. With $\lambda > 1$ it may explode (Bengio et al., *Learning
# Long-Term Dependencies with Gradient Descent is Difficult*, IEEE Transactions on Neural Networks 5(2), 1994;
# Pascanu et al., *On the difficulty of training Recurrent Neural Networks*, arXiv:1211.5063).
#
# The **LSTM** (Hochreiter and Schmidhuber, *Long Short-Term Memory*, Neural Computation 9(8), 1997) keeps a
# second state, the **cell** $c_t$. No matrix multiplies it. Three **gates**, numbers between 0 and 1, decide
# entry by entry what is written, kept and shown ($\sigma$ is the sigmoid, $\odot$ the product of entries):
#
# $$
# \begin{aligned}
# i_t &= \sigma(W_i x_t + a_i + U_i h_{t-1} + b_i) && \text{input gate: write?} \\
# f_t &= \sigma(W_f x_t + a_f + U_f h_{t-1} + b_f) && \text{forget gate: keep?} \\
# g_t &= \tanh(W_g x_t + a_g + U_g h_{t-1} + b_g) && \text{candidate: write what?} \\
# o_t &= \sigma(W_o x_t + a_o + U_o h_{t-1} + b_o) && \text{output gate: show?} \\
# c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
# h_t &= o_t \odot \tanh(c_t)
# \end{aligned}
# $$

# %% tags=["demo"]
def lstm_picture():
    """The inside of an LSTM cell."""
    _, ax = plt.subplots(figsize=(8.2, 3.1))
    ax.add_patch(plt.Rectangle((0.75, 0.5), 8.1, 3.75, facecolor="0.97", edgecolor="0.6", ls="--"))

    def arrow(*points):
        ax.plot(*zip(*points[:-1], strict=True), color="0.3", lw=1.2, zorder=1)
        ax.annotate("", points[-1], points[-2], arrowprops=dict(arrowstyle="->", color="0.3", lw=1.2))

    def node(x, y, text, color, width=0.8):
        ax.add_patch(plt.Rectangle((x - width / 2, y - 0.27), width, 0.54, facecolor=color, edgecolor="0.3", zorder=2))
        ax.text(x, y, text, ha="center", va="center", fontsize=9.5, zorder=3)

    def joint(x, y, text):
        ax.plot(x, y, "o", ms=17, color="white", markeredgecolor="0.3", zorder=5)
        ax.text(x, y - 0.02, text, ha="center", va="center", fontsize=12, zorder=6)

    ax.annotate("", (9.6, 3.7), (0, 3.7), arrowprops=dict(arrowstyle="->", color="C5", lw=3))  # the cell
    gate, squash = "#cfe3f2", "#fbe3b5"
    ax.plot([0.2, 6.4], [0.95, 0.95], color="0.3", lw=1.2)  # h and x, on their way to the gates
    for x, text, color in [(2, "$f$   σ", gate), (3.4, "$i$   σ", gate), (4.8, "$g$  tanh", squash), (6.4, "$o$   σ", gate)]:
        arrow((x, 0.95), (x, 1.45))
        node(x, 1.75, text, color, 1.05)
    arrow((2, 2.05), (2, 3.42))
    arrow((3.4, 2.05), (3.4, 2.7), (3.82, 2.7))
    arrow((4.8, 2.05), (4.8, 2.7), (4.38, 2.7))
    arrow((4.1, 2.95), (4.1, 3.42))
    arrow((7.7, 3.7), (7.7, 3.2))
    node(7.7, 2.9, "tanh", squash)
    arrow((7.7, 2.6), (7.7, 2.04))
    arrow((6.95, 1.75), (7.42, 1.75))
    arrow((7.98, 1.75), (9.6, 1.75))
    for x, y, text in [(2, 3.7, "×"), (4.1, 2.7, "×"), (4.1, 3.7, "+"), (7.7, 1.75, "×")]:
        joint(x, y, text)
    for x, y, text, side in [(-0.1, 3.7, "$c_{t-1}$", "right"), (9.7, 3.7, "$c_t$", "left"), (0.1, 0.95, "$h_{t-1},\\ x_t$", "right"),
                             (9.7, 1.75, "$h_t$", "left")]:
        ax.text(x, y, text, fontsize=12, ha=side, va="center")
    ax.text(5.9, 3.93, "no matrix on this way", fontsize=8.5, color="C5", ha="center")
    ax.set(xlim=(-1.3, 10.4), ylim=(0.4, 4.35), aspect="equal")
    ax.axis("off")
    plt.show()


lstm_picture()

# %% [markdown]
# Along the orange way, $\partial c_t / \partial c_{t-1}$ is $\mathrm{diag}(f_t)$: an open forget gate lets a
# gradient pass unchanged for as long as it stays open. (Further ways lead through the gates.) That is a
# possibility, not a promise: a gate at 0.5 halves the gradient at each step. The cell of 1997 had no forget
# gate at all, as if $f = 1$; it was added so that a network can also empty its memory (Gers et al., *Learning
# to Forget*, Neural Computation 12(10), 2000).
#
# **How torch packs the weights.** One matrix `weight_ih` of shape $(4m, d)$ holds $W_i, W_f, W_g, W_o$ one
# below the other, in this order; `weight_hh`, $(4m, m)$, holds the four $U$, and `bias_ih` and `bias_hh`,
# $(4m)$ each, the $a$ and the $b$. ($m$ is the width of the state.) One bias would do, since only their sum
# matters; torch keeps both because cuDNN does (pytorch/pytorch issue 750). The order is a convention: Keras
# has the same, ONNX stores $i, o, f, c$ with $c$ for our $g$ (operator LSTM). Weights that are copied without
# heeding it fit in shape, run, and compute something else.
#
# ### A window that grows
#
# A **causal convolution** with kernel size $k$ and **dilation** $\delta$ computes each output from $k$
# inputs, $\delta$ steps apart, none of them in the future:
#
# $$y_t = b + \sum_{j=0}^{k-1} W_j\, x_{t - (k-1-j)\,\delta}, \qquad x_s = 0 \text{ for } s < 0 .$$
#
# The last tap $W_{k-1}$ meets the present. (A mathematician's convolution would turn the kernel round; deep
# learning libraries do not.) In other words: a sum of $k$ linear layers, each applied to the sequence shifted
# by another multiple of $\delta$. Padding with $(k-1)\,\delta$ zeros **on the left** keeps the length. The
# usual padding of half of that on both sides shows each output the inputs that come next, the same leak as a
# missing causal mask.
#
# One layer sees little. The **receptive field** is how many positions an output can see, from the oldest
# input that it depends on to the present, both included. Each layer with stride 1 reaches $(k-1)\,\delta$
# steps further back than the one before:
#
# $$R = 1 + (k-1) \sum_{\ell} \delta_\ell .$$
#
# Ten layers with $k=2$ see 11 positions if $\delta = 1$ throughout, and 1,024 if it doubles from 1 to 512, at
# the same price. That is the pattern that WaveNet repeats to generate speech (van den Oord et al., *WaveNet:
# A Generative Model for Raw Audio*, arXiv:1609.03499, section 2.1). So the claim that "CNNs can hardly
# process sequences" is wrong: Kim classified sentences with one convolutional layer (*Convolutional Neural
# Networks for Sentence Classification*, arXiv:1408.5882), and Bai et al. found that dilated causal
# convolutions outperformed LSTMs on a broad range of sequence tasks (*An Empirical Evaluation of Generic
# Convolutional and Recurrent Networks for Sequence Modeling*, arXiv:1803.01271). What a stack cannot do is
# see beyond $R$.
#
# ### What each of them costs
#
# For a sequence of length $n$ and width $d$, Vaswani et al. (arXiv:1706.03762, section 4 and table 1) compare
#
# | layer | operations of one layer | steps one after the other | longest path between two positions |
# |---|---|---|---|
# | self-attention | $O(n^2 d)$ | $O(1)$ | $O(1)$ |
# | recurrent | $O(n\, d^2)$ | $O(n)$ | $O(n)$ |
# | convolution, kernel $k$ | $O(k\, n\, d^2)$ | $O(1)$ | $O(\log_k n)$ in a stack of dilated layers, $O(n/k)$ without dilation |
#
# Attention is the only one whose price grows with the **square** of the length, which "transformers are well
# suited to long texts" leaves out. It is also the only one where any two positions are one step apart. The
# figure puts constants in: four gates with two $d \times d$ matrices each for the LSTM, $k$ matrices for the
# convolution, and for attention, besides $QK^\top$ and $AV$, the four projections that the table omits. With
# them, attention is cheaper than an LSTM up to $n = 2d$, not $n = d$.

# %% tags=["demo"]
def layer_flops(n, d, k=3):
    """FLOPs of one forward pass through one layer, by kind; two for each multiplication with a weight, as in 1.1."""
    return {
        "LSTM": 2 * 8 * n * d**2,
        f"convolution, $k={k}$": 2 * k * n * d**2,
        "self-attention": 2 * 4 * n * d**2 + 4 * n**2 * d,
    }


lengths_compared, width_compared = np.logspace(2, 5, 40), 1024
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
for (name, flops), color in zip(layer_flops(lengths_compared, width_compared).items(), ("C0", "C1", "C2"), strict=True):
    axes[0].plot(lengths_compared, flops, color=color, label=name)
crossing = 2 * width_compared
axes[0].plot(crossing, layer_flops(crossing, width_compared)["LSTM"], "o", color="black", ms=5)
axes[0].annotate("$n = 2d$", (crossing, layer_flops(crossing, width_compared)["LSTM"]), xytext=(-6, 7), textcoords="offset points", ha="right")
axes[0].set(xscale="log", yscale="log", xlabel="length $n$ (positions)", ylabel="FLOPs of one layer", title=f"Operations at width $d={width_compared}$")
for name, steps, color in [
    ("recurrent: $n - 1$ steps along the state", lengths_compared - 1, "C0"),
    ("convolutions, $k=3$, without dilation: layers", np.ceil((lengths_compared - 1) / 2), "C5"),
    ("convolutions, $k=3$, dilations 1, 3, 9, …: layers", np.ceil(np.log(lengths_compared) / np.log(3)), "C1"),
    ("self-attention", np.ones_like(lengths_compared), "C2"),
]:
    axes[1].plot(lengths_compared, steps, color=color, label=name, ls="--" if color == "C5" else "-")
axes[1].set(xscale="log", yscale="log", ylim=(0.6, 1e8), xlabel="length $n$ (positions)", ylabel="steps", title="From the first input to the last output")
for ax in axes:
    ax.legend(loc="upper left", fontsize=8.5, frameon=True, facecolor="white", edgecolor="none", framealpha=1)
plt.show()
ratios = {name: flops / layer_flops(1000, width_compared)[name] for name, flops in layer_flops(100_000, width_compared).items()}
print("100 times the length costs", ", ".join(f"{name.split(',')[0]}: {ratio:.0f} times" for name, ratio in ratios.items()))

# %% [markdown]
# "Steps one after the other" is what a GPU cannot parallelise. In training, all positions are known, so
# convolution and attention compute them at once, and a recurrent layer has to wait for each state. (A
# recurrence that is *linear* in its state can be computed by a parallel scan: Martin and Cundy,
# *Parallelizing Linear Recurrent Neural Nets Over Sequence Length*, arXiv:1709.04057. Newer recurrent models
# such as Mamba, arXiv:2312.00752, are built that way.) In generation all three go token by token, and then
# memory tells them apart: a recurrent layer keeps one state, a convolution the last $(k-1)\,\delta$ inputs,
# and attention the keys and values of everything so far, the KV cache of section 1.1.

# %% [markdown]
# ### Exercise 1.5 · Two layers for sequences
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **11 points** · PyTorch
#
# **Write** six short functions; thirty lines do for all of them. Sequences have the shape `(batch, T, width)`
# throughout.
#
# - `lstm_step` and `lstm`: one step, and a whole sequence. Weights come in torch's layout, so
#   `list(nn.LSTM(d, m).parameters())` is a valid argument.
# - `causal_conv` and `causal_stack`: one layer, and several with ReLU **between** them. Weights come in the
#   layout of `nn.Conv1d`, `(width_out, width_in, kernel)`.
# - `receptive_field`: the formula above.
# - `gradient_by_distance`: the measuring instrument for the last figure. For $T$ inputs, entry $k$ of the
#   result is the Frobenius norm of the matrix $\partial y_{T-1} / \partial x_{T-1-k}$, counting positions
#   from 0: how much the last output notices of an input $k$ steps back.
#
# `nn.LSTM`, `nn.LSTMCell` and torch's convolutions (`F.conv1d`, `nn.Conv1d` and their relatives) are what you
# are building, so do without them: the hidden checks make them fail, and compare your answers with theirs.
# `F.linear`, `F.pad` and all of `torch.autograd` are fine. All functions work in `float32` and `float64`,
# return what they compute in the dtype of their inputs, do not change their arguments, and the layers pass
# gradients on to all of them.
#
# <details><summary>Hint 1: four gates at once</summary>
#
# One product `x @ weight_ih.T` computes the input's part of all four gates, a row of $4m$ numbers for each
# sequence in the batch. `chunk(4, dim=-1)` cuts it into four pieces.
# </details>
#
# <details><summary>Hint 2: shifting without losing the length</summary>
#
# Pad once, on the left: `F.pad(x, (0, 0, zeros, 0))` adds rows to the second axis from the end. Then tap $j$
# needs the $T$ rows from $j\,\delta$ on. Slices that count from the end, such as `x[:, :-s]`, go wrong for
# `s = 0` and for sequences shorter than `s`.
# </details>
#
# <details><summary>Hint 3: a Jacobian</summary>
#
# `torch.autograd.functional.jacobian(function, x)` returns the derivatives of all outputs of `function` with
# respect to all entries of `x`, in the shape of the output followed by that of `x`. Which function of `x` do
# you want the derivatives of? One gradient of the *sum* of the last output's features is not enough:
# derivatives of opposite sign cancel in it.
# </details>

# %% nbgrader={"grade": false, "grade_id": "sequence_layers", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lstm_step(
    x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of an LSTM, for a batch.

    Args:
        x: the inputs at this position, (batch, d).
        h, c: the state and the cell before the step, (batch, m) each.
        weights: weight_ih (4m, d), weight_hh (4m, m), bias_ih (4m,) and bias_hh (4m,), a list or a
            tuple. Each consists of four blocks of m rows: input gate, forget gate, candidate,
            output gate.

    Returns:
        The state and the cell after the step, (batch, m) each.
    """
    ### BEGIN SOLUTION
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    sums = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh
    i, f, g, o = sums.chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
    ### END SOLUTION


def lstm(
    x: torch.Tensor,
    weights: list[torch.Tensor],
    state: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """An LSTM over whole sequences.

    Args:
        x: (batch, T, d) with T of at least 1.
        weights: as in lstm_step.
        state: h and c before the first position, (batch, m) each; None: both are zero.

    Returns:
        All states h, (batch, T, m), and a pair: h and c after the last position, (batch, m) each.
        (A call with the next part of the sequences and this pair goes on where this call ended.)
    """
    ### BEGIN SOLUTION
    if state is None:
        zeros = x.new_zeros(x.shape[0], weights[1].shape[1])
        state = (zeros, zeros)
    h, c = state
    outputs = []
    for x_t in x.unbind(dim=1):
        h, c = lstm_step(x_t, h, c, weights)
        outputs.append(h)
    return torch.stack(outputs, dim=1), (h, c)
    ### END SOLUTION


def causal_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int = 1
) -> torch.Tensor:
    """A causal convolution: output t is computed from the inputs t, t - dilation, t - 2 dilation,
    ...

    Args:
        x: (batch, T, d) with T of at least 1; inputs before the first count as zero.
        weight: (d_out, d, kernel); the last tap, weight[:, :, -1], belongs to input t.
        bias: (d_out,).
        dilation: the distance of two taps, at least 1.

    Returns:
        (batch, T, d_out): as long as the input, also where T is smaller than the window.
    """
    ### BEGIN SOLUTION
    length, kernel = x.shape[1], weight.shape[2]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    taps = [padded[:, j * dilation : j * dilation + length] @ weight[:, :, j].T for j in range(kernel)]
    return sum(taps) + bias
    ### END SOLUTION


def causal_stack(
    x: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor, int]]
) -> torch.Tensor:
    """Causal convolutions one after the other, with ReLU between them and none after the last.

    Args:
        x: (batch, T, d).
        layers: at least one; for each, its weight, bias and dilation, as in causal_conv. For each
            layer anew, what lies before its first input counts as zero.

    Returns:
        (batch, T, d_out of the last layer).
    """
    ### BEGIN SOLUTION
    for index, (weight, bias, dilation) in enumerate(layers):
        x = causal_conv(F.relu(x) if index > 0 else x, weight, bias, dilation)
    return x
    ### END SOLUTION


def receptive_field(kernel: int, dilations: list[int]) -> int:
    """Positions from the oldest input that an output of a causal stack depends on to the present,
    both included.

    Args:
        kernel: the kernel size of all layers, at least 1.
        dilations: one per layer, in any order; without any layers, an output sees its own position
            only.

    >>> receptive_field(3, [1, 2])
    7
    """
    ### BEGIN SOLUTION
    return 1 + (kernel - 1) * sum(dilations)
    ### END SOLUTION


def gradient_by_distance(model, x: torch.Tensor) -> torch.Tensor:
    """How strongly the last output depends on each input.

    Args:
        model: a function from (batch, T, d) to (batch, T, d_out) that torch can differentiate; the
            sequences of a batch do not influence each other.
        x: one sequence, (1, T, d). It does not require gradients, also not after the call.

    No tensor's grad is changed, neither that of x nor those of the weights that the model uses.

    Returns:
        (T,), without gradients of its own: entry k is the Frobenius norm of the d_out x d matrix of
        derivatives of the last output with respect to the input k positions before it.

    >>> gradient_by_distance(lambda x: x.cumsum(dim=1) * 3, torch.randn(1, 4, 1))
    tensor([3., 3., 3., 3.])
    """
    ### BEGIN SOLUTION
    jacobian = torch.autograd.functional.jacobian(lambda inputs: model(inputs)[0, -1], x)
    return jacobian[:, 0].norm(dim=(0, 2)).flip(0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_sequence_layers", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=1, hint="The four blocks are input gate, forget gate, candidate, output gate. The new state takes the tanh of the new cell.")
def gates_open_and_shut():
    """Gates that are open or shut keep, overwrite, add to, erase or hide the cell."""
    no_weights, nothing, half = torch.zeros(4, 1), torch.zeros(1, 1), torch.full((1, 1), 0.5)
    opened, shut, candidate = 20.0, -20.0, 1.0
    for case, i, f, o, new_cell in [
        ("forget gate open, input gate shut: the cell is kept", shut, opened, opened, 0.5),
        ("forget gate shut, input gate open: the cell is overwritten", opened, shut, opened, math.tanh(1)),
        ("forget and input gate open: the cell is added to", opened, opened, opened, 0.5 + math.tanh(1)),
        ("forget and input gate shut: the cell is erased", shut, shut, opened, 0.0),
        ("output gate shut: the state is zero, the cell is not", shut, opened, shut, 0.5),
    ]:
        new_state = math.tanh(new_cell) if o > 0 else 0.0
        bias = torch.tensor([i, f, candidate, o])
        h, c = lstm_step(nothing, nothing, half, [no_weights, no_weights, bias, torch.zeros(4)])
        assert h.shape == c.shape == (1, 1), f"shapes {tuple(h.shape)} and {tuple(c.shape)} instead of (1, 1)"
        assert abs(float(c) - new_cell) < 1e-4, f"{case}; from 0.5 and the candidate tanh(1), it becomes {new_cell:.3f}, yours {float(c):.3f}"
        assert abs(float(h) - new_state) < 1e-4, f"{case}; the state is {new_state:.3f}, yours {float(h):.3f}"


@check(points=1, hint="(kernel - 1) * dilation zeros on the left, none on the right. The last tap meets the present.")
def answers_an_impulse():
    """A layer answers an impulse with its taps, the last one first, and never before it comes."""
    impulse = torch.zeros(1, 7, 1)
    impulse[0, 1] = 1
    for dilation, answer in [(1, [0, 3, 2, 1, 0, 0, 0]), (2, [0, 3, 0, 2, 0, 1, 0])]:
        output = causal_conv(impulse, torch.tensor([[[1.0, 2.0, 3.0]]]), torch.zeros(1), dilation)
        assert output.shape == (1, 7, 1), f"output of shape {tuple(output.shape)} instead of (1, 7, 1)"
        found = [round(y, 3) for y in output.flatten().tolist()]
        assert found == answer, f"kernel [1, 2, 3], dilation {dilation}, impulse at position 1: {answer}, yours {found}"


### BEGIN HIDDEN TESTS
LIBRARY_LAYERS = (
    *(f"torch.nn.{name}.{method}" for name in ("LSTM", "LSTMCell") for method in ("__init__", "forward")),
    *(f"torch.{name}" for name in ("lstm", "lstm_cell", "convolution", "conv1d", "conv2d", "conv3d")),
    *(f"torch.nn.functional.{name}" for name in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d")),
)


def agrees(answer, truth):
    """Same shape and dtype, and equal within what rounding can explain."""
    tolerance = 1e-9 if truth.dtype == torch.float64 else 1e-5
    return answer.shape == truth.shape and answer.dtype == truth.dtype and torch.allclose(answer, truth, rtol=tolerance, atol=tolerance)


def unchanged(before, after):
    """Fails if an argument was changed; `before` and `after` are lists of tensors."""
    if not all(torch.equal(x, y) for x, y in zip(before, after, strict=True)):
        fail("The tensors passed in were modified: the caller may still need them.")


def redrawn(layer):
    """A layer of torch with larger weights, all biases different from each other, and these weights as a list."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.7)
    return layer, [parameter.detach().clone() for parameter in layer.parameters()]


@check(points=1, hint="sigmoid for the three gates, tanh for the candidate and for the cell that is shown; both biases are added.")
def step_agrees_with_lstm_cell():
    """One step agrees with nn.LSTMCell for any batch and widths, in float32 and float64."""
    def run(x, h, c, weights):
        with forbidden(*LIBRARY_LAYERS):
            new_h, new_c = lstm_step(x, h, c, weights)
        return new_h.detach(), new_c.detach(), [x, h, c, *weights]

    for dtype in (torch.float32, torch.float64):
        for batch, d, m in [(1, 1, 1), (2, 3, 5), (4, 8, 2), (3, 4, 4), (8, 2, 2)]:
            cell, weights = redrawn(nn.LSTMCell(d, m, dtype=dtype))
            x, h, c = (torch.randn(batch, width, dtype=dtype) for width in (d, m, m))
            with torch.no_grad():
                true_h, true_c = cell(x, (h, c))
            new_h, new_c, after = probe(run, x.clone(), h.clone(), c.clone(), [w.clone() for w in weights])
            unchanged([x, h, c, *weights], after)
            where = f"for a batch of {batch}, inputs of width {d}, a state of width {m} and {dtype}"
            if not agrees(new_c, true_c):
                fail(f"The new cell is wrong {where}.")
            if not agrees(new_h, true_h):
                fail(f"The new cell is right, the new state is not, {where}.")


@check(points=2, hint="Positions are the second axis. Each step starts from the state and the cell of the step before; zeros need the dtype of x.")
def sequence_agrees_with_lstm():
    """Over a sequence, all states and the final pair agree with nn.LSTM, from a given state or from zeros."""
    def run(x, weights, state):
        with forbidden(*LIBRARY_LAYERS):
            output, (h, c) = lstm(x, weights) if state is None else lstm(x, weights, state)
        return output.detach(), h.detach(), c.detach(), [x, *weights, *(state or ())]

    for dtype in (torch.float32, torch.float64):
        for batch, length, d, m in [(2, 5, 3, 4), (5, 2, 3, 4), (4, 4, 4, 4), (1, 1, 2, 3), (3, 8, 1, 2)]:
            layer, weights = redrawn(nn.LSTM(d, m, batch_first=True, dtype=dtype))
            x = torch.randn(batch, length, d, dtype=dtype)
            given = (torch.randn(batch, m, dtype=dtype), torch.randn(batch, m, dtype=dtype))
            for state in (given, None):
                with torch.no_grad():
                    truth, true_pair = layer(x, state and tuple(part[None] for part in state))
                copies = [part.clone() for part in state or ()]
                output, h, c, after = probe(run, x.clone(), [w.clone() for w in weights], tuple(copies) or None)
                unchanged([x, *weights, *(state or ())], after)
                where = f"for {batch} sequences of length {length}, {dtype}, from " + ("zeros." if state is None else "a given state.")
                if not agrees(output, truth):
                    fail(f"The states are wrong {where}")
                if not (agrees(h, true_pair[0][0]) and agrees(c, true_pair[1][0])):
                    fail(f"All states are right, the final pair is not, {where}")


def torch_stack(x, layers):
    """What causal_stack computes, by F.conv1d: padded on both sides, and the right end cut off."""
    for index, (weight, bias, dilation) in enumerate(layers):
        padding = (weight.shape[2] - 1) * dilation
        x = x.relu() if index else x
        x = F.conv1d(x.mT, weight, bias, padding=padding, dilation=dilation)[..., : x.shape[1]].mT
    return x


def random_layers(kernel, dilations, widths, dtype=torch.float64):
    """Weight, bias and dilation of each layer."""
    draw = lambda *shape: torch.randn(*shape, dtype=dtype)
    return [(draw(b, a, kernel) * 0.5, draw(b), dilation) for a, b, dilation in zip(widths[:-1], widths[1:], dilations, strict=True)]


def copied(layers):
    return [(weight.clone(), bias.clone(), dilation) for weight, bias, dilation in layers]


def tensors_of(layers):
    return [part for weight, bias, _ in layers for part in (weight, bias)]


@check(points=1, hint="Each tap is a linear layer on a shifted sequence. Is the length kept when T is smaller than the window?")
def layer_agrees_with_conv1d():
    """A layer agrees with F.conv1d for kernels 1, 2, 3 and 5 and several dilations, and keeps any length."""
    def run(x, weight, bias, dilation):
        with forbidden(*LIBRARY_LAYERS):
            output = causal_conv(x, weight, bias) if dilation == 1 else causal_conv(x, weight, bias, dilation)
        return output.detach(), [x, weight, bias]

    for dtype in (torch.float32, torch.float64):
        for kernel, dilation, length, d, d_out in [
            *((1, 1, 5, 3, 2), (1, 4, 3, 2, 4), (2, 1, 6, 3, 3), (2, 3, 9, 2, 5), (3, 1, 7, 4, 2), (3, 2, 11, 3, 3), (5, 2, 13, 2, 2)),
            *((2, 4, 3, 2, 3), (3, 3, 4, 3, 2), (3, 5, 1, 2, 2), (5, 1, 2, 3, 3)),  # shorter than the window
        ]:
            [(weight, bias, _)] = layers = random_layers(kernel, [dilation], [d, d_out], dtype)
            x = torch.randn(3, length, d, dtype=dtype)
            output, after = probe(run, x.clone(), weight.clone(), bias.clone(), dilation)
            unchanged([x, weight, bias], after)
            if not agrees(output, torch_stack(x, layers)):
                fail(f"Wrong for kernel {kernel}, dilation {dilation}, {length} positions, widths {d} to {d_out} and {dtype}.")


def stacked(x, layers):
    """causal_stack() in the student's process, where torch's own layers are out of reach."""
    def run(x, layers):
        with forbidden(*LIBRARY_LAYERS):
            output = causal_stack(x, layers)
        return output.detach(), [x, *(part for weight, bias, _ in layers for part in (weight, bias))]

    output, after = probe(run, x.clone(), copied(layers))
    unchanged([x, *tensors_of(layers)], after)
    return output


@check(points=1, hint="ReLU between the layers, none before the first or after the last. Each layer pads its own input with zeros and has its own dilation.")
def stack_agrees_with_conv1d():
    """A stack agrees with F.conv1d and ReLU, layer by layer, also on sequences shorter than its receptive field."""
    for dtype in (torch.float32, torch.float64):
        for kernel, dilations, widths, length in [
            *((2, [1, 2, 4], [3, 4, 5, 2], 15), (3, [1, 2], [2, 6, 3], 12), (1, [1, 1, 1], [3, 5, 5, 3], 4), (3, [4], [2, 3], 10)),
            *((2, [3, 1], [3, 3, 3], 8), (2, [1, 2, 4], [2, 4, 4, 2], 5), (3, [1, 3], [3, 4, 2], 2), (2, [4, 1, 2], [2, 3, 3, 2], 1)),
        ]:
            layers = random_layers(kernel, dilations, widths, dtype)
            x = torch.randn(2, length, widths[0], dtype=dtype)
            if not agrees(stacked(x, layers), torch_stack(x, layers)):
                fail(f"Wrong for kernel {kernel}, dilations {dilations}, {length} positions and {dtype}.")


def reachable(kernel, dilations):
    """All distances from which an output can see an input, by trying all ways."""
    distances = {0}
    for dilation in dilations:
        distances = {distance + tap * dilation for distance in distances for tap in range(kernel)}
    return distances


@check(points=1, hint="The last tap sees the present, the one before it dilation steps back, and so on. Nothing comes from the right, nothing wraps around.")
def stack_sees_its_window():
    """A change of one input changes the stack's outputs at the distances that its taps reach, and nowhere else."""
    for kernel, dilations, at in [(2, [1, 2, 4], 3), (3, [1, 2], 4), (1, [1, 3], 2), (3, [2], 0), (2, [1, 1, 5], 5), (2, [1, 2, 4, 8], 1)]:
        # With positive numbers throughout, ReLU changes nothing and nothing cancels.
        widths = [2] * (len(dilations) + 1)
        layers = [(weight.abs() + 0.1, bias.abs(), dilation) for weight, bias, dilation in random_layers(kernel, dilations, widths)]
        distances = reachable(kernel, dilations)
        length = at + max(distances) + 4
        x = torch.rand(1, length, 2, dtype=torch.float64)
        before = stacked(x, layers)
        if before.shape != x.shape:
            fail(f"{length} positions have become {before.shape[1]}.")
        for place in (at, length - 1):
            changed = x.clone()
            changed[0, place] += 1
            difference = (stacked(changed, layers) - before)[0].abs().amax(-1)
            found = {t - place for t in range(length) if difference[t] > 1e-7}
            expected = {distance for distance in distances if place + distance < length}
            where = f"with kernel {kernel} and dilations {dilations}."
            if min(found, default=0) < 0:
                fail(f"An input changes outputs before its time: the stack looks into the future, {where}")
            if max(found, default=-1) != max(expected):
                fail(f"The last output that an input changes comes {'later' if max(found, default=-1) > max(expected) else 'earlier'} than it should, {where}")
            if found != expected:
                fail(f"The stack looks back as far as it should, but not at the right positions on the way, {where}")


@check(points=1, hint="Each layer adds (kernel - 1) times its own dilation, and the present counts as one.")
def window_is_counted():
    """The receptive field is that found by following all connections, for any kernel and dilations."""
    cases = [(2, [2**i for i in range(8)]), (2, [1] * 9), (1, [1, 2, 4]), (3, []), (4, [3]), (3, [5, 1, 2]), (2, [7, 7])]
    cases += [(kernel, np.random.randint(1, 10, size=kernel).tolist()) for kernel in (2, 3, 4, 5)]
    found = probe(lambda cases: [receptive_field(kernel, list(dilations)) for kernel, dilations in cases], cases)
    for (kernel, dilations), answer in zip(cases, found, strict=True):
        if answer != max(reachable(kernel, dilations)) + 1:
            fail(f"Wrong for kernel {kernel} and dilations {dilations}.")


@check(points=1, hint="Something on the way is detached, converted to NumPy, copied into a new tensor or computed under no_grad.")
def gradients_agree_with_torch():
    """Gradients reach inputs, first state, weights and biases of both layers, and agree with torch's."""
    def run_lstm(x, weights, state, direction, final):
        leaves = [part.clone().requires_grad_() for part in (x, *weights, *state)]
        with forbidden(*LIBRARY_LAYERS):
            output, (h, c) = lstm(leaves[0], leaves[1:5], tuple(leaves[5:]))
            ((output * direction).sum() + (h * final[0]).sum() + (c * final[1]).sum()).backward()
        return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    def run_stack(x, layers, direction):
        leaves = [part.clone().requires_grad_() for part in (x, *(p for w, b, _ in layers for p in (w, b)))]
        with forbidden(*LIBRARY_LAYERS):
            rebuilt = [(leaves[2 * i + 1], leaves[2 * i + 2], dilation) for i, (_, _, dilation) in enumerate(layers)]
            (causal_stack(leaves[0], rebuilt) * direction).sum().backward()
        return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    layer, weights = redrawn(nn.LSTM(3, 4, batch_first=True, dtype=torch.float64))
    x, direction = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    state, final = torch.randn(2, 2, 4, dtype=torch.float64), torch.randn(2, 2, 4, dtype=torch.float64)
    leaves = [x.clone().requires_grad_(), *layer.parameters(), *(part.clone().requires_grad_() for part in state)]
    output, (h, c) = layer(leaves[0], tuple(part[None] for part in leaves[5:]))
    ((output * direction).sum() + (h[0] * final[0]).sum() + (c[0] * final[1]).sum()).backward()
    names = ("x", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "h", "c")
    for name, answer, leaf in zip(names, probe(run_lstm, x, weights, tuple(state), direction, final), leaves, strict=True):
        if not agrees(answer, leaf.grad):
            fail(f"The gradient of the LSTM's {name} is wrong.")

    layers = random_layers(3, [1, 2], [3, 4, 2])
    direction = torch.randn(2, 5, 2, dtype=torch.float64)
    answers = probe(run_stack, x, layers, direction)
    leaves = [x.clone().requires_grad_(), *(part.requires_grad_() for part in tensors_of(copied(layers)))]
    (torch_stack(leaves[0], [(*leaves[1:3], 1), (*leaves[3:5], 2)]) * direction).sum().backward()
    for name, answer, leaf in zip(("x", "first weight", "first bias", "last weight", "last bias"), answers, leaves, strict=True):
        if not agrees(answer, leaf.grad):
            fail(f"The gradient of the stack's {name} is wrong.")


@check(points=1, hint="Distance 0 comes first. The norm is over all pairs of an output's and an input's features; the sum of the outputs has another gradient.")
def distances_are_measured():
    """Norms by distance agree with those of a recurrence whose derivatives are known; nobody's grad changes."""
    def run(x, a, b, delay):
        a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
        a.grad = torch.ones_like(a)

        def model(inputs):
            if delay:  # y_t = B x_{t - delay}
                return F.pad(inputs, (0, 0, delay, 0))[:, : inputs.shape[1]] @ b.mT
            state, outputs = 0, []  # s_t = A s_{t-1} + B x_t,  y_t = tanh(s_t)
            for x_t in inputs.unbind(1):
                state = x_t @ b.mT if not outputs else state @ a.mT + x_t @ b.mT
                outputs.append(torch.tanh(state))
            return torch.stack(outputs, dim=1)

        kept = x.clone()
        norms = gradient_by_distance(model, x)
        clean = x.grad is None and b.grad is None and torch.equal(a.grad, torch.ones_like(a))
        return norms.detach(), norms.requires_grad, x.requires_grad, clean and torch.equal(x, kept)

    for dtype in (torch.float32, torch.float64):
        for length, d, d_out, delay in [(6, 2, 3, 0), (5, 3, 3, 0), (4, 1, 2, 0), (1, 2, 2, 0), (5, 3, 2, 3)]:
            x, a, b = (torch.randn(*shape, dtype=dtype) * 0.6 for shape in [(1, length, d), (d_out, d_out), (d_out, d)])
            if delay:
                jacobians = [b if distance == delay else torch.zeros_like(b) for distance in range(length)]
            else:
                powers = [torch.linalg.matrix_power(a, distance) for distance in range(length)]
                last = torch.tanh(sum(powers[length - 1 - t] @ b @ x[0, t] for t in range(length)))
                jacobians = [(1 - last**2)[:, None] * (power @ b) for power in powers]
            norms, has_gradient, x_requires, clean = probe(run, x.clone(), a, b, delay)
            where = f"for {length} positions, {d} features in and {d_out} out, and {dtype}."
            if not agrees(norms, torch.stack([torch.linalg.matrix_norm(jacobian) for jacobian in jacobians])):
                fail(f"The norms are wrong {where}")
            if has_gradient or x_requires:
                fail("The result still requires gradients." if has_gradient else "x requires gradients after the call, and did not before.")
            if not clean:
                fail("x or the grad of x or of a weight was changed: backward() adds to the grad of everything it meets.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### How far it sees
#
# One input of your stack is changed, at position 4, and everything that follows from it is marked, layer by
# layer. Both stacks have four layers with kernel size 2 and as many weights as each other.

# %% tags=["demo", "raises-exception"]
def footprint(dilations, length=26, at=4):
    """Rows: the input and each layer's output. True: this number depends on the input at that position."""
    ones = [(torch.ones(1, 1, 2), torch.zeros(1), dilation) for dilation in dilations]
    impulse = F.one_hot(torch.tensor([at]), length)[..., None] * 1.0
    return torch.stack([impulse[0, :, 0] > 0, *(causal_stack(impulse, ones[: n + 1])[0, :, 0] > 0 for n in range(len(ones)))])


fig, axes = plt.subplots(1, 2, figsize=(9.5, 2.5), sharey=True)
for ax, dilations in zip(axes, ([1, 1, 1, 1], [1, 2, 4, 8]), strict=True):
    marks = footprint(dilations)
    seen = receptive_field(2, dilations)
    ax.imshow(marks, cmap="Blues", vmin=0, vmax=1.4, aspect="auto", origin="lower")
    ax.axvline(4 + seen - 0.5, color="C5", ls="--", lw=1.5)
    ax.text(4 + seen - 0.2, 0.5, f"$R = {seen}$", color="C5", va="center")
    ax.set(title=f"Dilations {', '.join(map(str, dilations))}", xlabel="position", yticks=range(5))
    ax.set_xticks(np.arange(-0.5, 26), minor=True)
    ax.set_yticks(np.arange(-0.5, 5), minor=True)
    ax.grid(False)
    ax.grid(True, which="minor", color="white", lw=1.2, alpha=1)
    ax.tick_params(which="minor", length=0)
axes[0].set_yticklabels(["input", "layer 1", "layer 2", "layer 3", "layer 4"])
plt.show()
print("WaveNet's block, kernel 2 and dilations 1 to 512:", receptive_field(2, [2**i for i in range(10)]), "positions")

# %% [markdown]
# The dashed line is your formula. Nothing happens left of position 4: the stack is causal. Since each
# dilation is the sum of all smaller ones plus one, the positions in the right panel fill up without gaps, and
# each is reached in exactly one way.
#
# ### How much comes back
#
# To see an input is one thing, to learn from it another: training needs a gradient. Here is your instrument,
# applied to five untrained layers of width 16 and sequences of 96 random inputs. The plain RNN and the first
# LSTM start as torch initialises them. The second LSTM has the same weights, and 4 added to the biases of its
# forget gates.

# %% tags=["demo", "raises-exception"]
def untrained_layers(width):
    """Functions from (batch, T, width) to the same shape."""
    rnn = nn.RNN(width, width, batch_first=True)
    plain = [p.detach() for p in nn.LSTM(width, width).parameters()]
    remembering = [p.clone() for p in plain]
    remembering[2][width : 2 * width] += 4
    scale = 1 / math.sqrt(width)  # two taps after a ReLU that lets about half through: the variance is kept
    convolutions = [(torch.randn(width, width, 2) * scale, torch.zeros(width), 2**i) for i in range(6)]
    projections = torch.randn(3, width, width) * scale
    return {
        "plain RNN": lambda x: rnn(x)[0],
        "LSTM": lambda x: lstm(x, plain)[0],
        "LSTM, forget gates open": lambda x: lstm(x, remembering)[0],
        "six dilated convolutions": lambda x: causal_stack(x, convolutions),
        "causal attention": lambda x: F.scaled_dot_product_attention(*(x @ p for p in projections), is_causal=True),
    }


torch.manual_seed(0)
norms_by_layer = {}
for _ in range(3):
    sequence = torch.randn(1, 96, 16)
    for name, model in untrained_layers(16).items():
        norms_by_layer.setdefault(name, []).append(gradient_by_distance(model, sequence))
fig, ax = plt.subplots(figsize=(8.8, 3.6))
for (name, runs), color, style in zip(norms_by_layer.items(), ("C5", "C0", "C0", "C1", "C2"), ("-", "--", "-", "-", "-"), strict=True):
    norms = torch.stack(runs).mean(0)
    shown = norms > 1e-12
    ax.plot(torch.arange(96)[shown], norms[shown], style, color=color, label=name)
window = receptive_field(2, [2**i for i in range(6)])
ax.axvline(window - 0.5, color="C1", ls=":", lw=1.2)
ax.text(window + 0.3, 3e-9, f"beyond the window of {window}:\nexactly zero", color="0.3", fontsize=8.5)
ax.set(yscale="log", ylim=(1e-10, 30), xlabel="distance from the input to the last output (positions)", ylabel="norm of the derivatives",
       title="How much the last output notices of an input")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()
beyond = float(norms_by_layer["six dilated convolutions"][0][window:].max())
rate = float(torch.sigmoid(torch.tensor(4.0)))
print(f"convolutions beyond distance {window - 1}: {beyond:g}   a forget gate at sigmoid(4) = {rate:.3f} keeps {rate**90:.2f} after 90 steps, one at 0.5 {0.5**90:.0e}")

# %% [markdown]
# On the logarithmic axis, the straight lines of the plain RNN and of the LSTM as torch starts it are
# exponential decay: inputs thirty steps back might as well not be there. The LSTM is no better at first,
# since its forget gates start near 0.5. **With the gates open it remembers**: its curve is roughly level. The cell alone
# would decay slowly, by the printed factor per step; what comes through the other gates adds to that. This is why implementations start forget gates with a
# positive bias (1 in Keras by default, after Jozefowicz et al., *An Empirical Exploration of Recurrent
# Network Architectures*, ICML 2015), and torch does not.
#
# The convolutions show no trend over their window and exactly nothing behind it; attention scatters about a level
# over the whole sequence, of the order of one part in $T$ of its value matrix, because an untrained softmax spreads over all positions. Each
# picture is the path length of the table above seen from the other end: the fewer steps on the way, the less
# is lost. None of the three wins everywhere. Attention buys its level line with a price that grows with the
# square of $T$; the convolution keeps the price linear and gives up what lies beyond the window; the LSTM
# needs one state of fixed size, however long the text, and has to learn what to keep.

# %% [markdown]
# ## 1.6 A BERT classifier, repaired
#
# GPT reads from left to right: no token sees what follows it, or it could not be trained to predict that.
# Whoever wants to *judge* a sentence has all of it already, and the mask only hides half the evidence.
# **BERT** (Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*,
# arXiv:1810.04805) is a transformer **encoder**: every token looks at every token, in both directions. It is
# pretrained by guessing tokens that were masked out, and by telling whether one sentence follows another. Then it is fine-tuned
# with one linear layer on top:
#
# $$h_0, \dots, h_{T-1} = \mathrm{encoder}(\texttt{[CLS]}, w_1, \dots, w_n, \texttt{[SEP]}), \qquad
# p = \tanh(W_p h_0 + b_p), \qquad z = W\,\mathrm{dropout}(p) + b .$$
#
# The token `[CLS]` in front stands for no word. Its output $h_0$ is where the encoder may collect what it finds out about
# the sentence; $p$ is called the **pooled output**, and $z$ are the logits of the classes.
#
# Two corrections of what interview guides say. The "Transformer library" is called **Hugging Face
# Transformers** (Wolf et al., *HuggingFace's Transformers: State-of-the-art Natural Language Processing*,
# arXiv:1910.03771); *the* transformer is the architecture, of which that library holds many.
# And BERT alone does not translate. It gives one vector per input token; to write a sentence of another length in another
# language takes a decoder. BERT's weights can be the start of a translation model's encoder, and even of its
# decoder, once cross-attention is added (Rothe et al., *Leveraging Pre-trained Checkpoints for Sequence Generation
# Tasks*, arXiv:1907.12461).
#
# ### Two listings to diagnose
#
# Here are two listings of the kind that circulates. Make a list for each before you open the answers: which line stops it?
# And what would still be wrong if all lines ran?
#
# ```python
# class ReviewClassifier(nn.Module):                                       # listing A
#     def __init__(self, n_classes=2):
#         super().__init__()
#         self.encoder = BertModel.from_pretrained("bert-base-uncased")
#         self.drop = nn.Dropout(0.1)
#         self.head = nn.Linear(self.encoder.config.hidden_size, n_classes)
#
#     def forward(self, ids, mask):
#         _, pooled = self.encoder(input_ids=ids, attention_mask=mask)
#         return self.head(self.drop(pooled))
# ```
#
# ```python
# from torch.nn import CrossEntropyLoss                                    # listing B
# from torch.utils.data import DataLoader
# from transformers import BertForSequenceClassification, BertTokenizer
#
# tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
# model = BertForSequenceClassification.from_pretrained("bert-base-uncased")
# inputs = tokenizer("the film was not bad", return_tensors="pt")
# labels = tf.constant([1]).unsqueeze(0)
# outputs = model(**inputs, labels=labels)
# print("loss:", outputs.loss, "class:", outputs.logits.argmax(-1))
# ```
#
# <details><summary>Compare your list for A</summary>
#
# | what | why |
# |---|---|
# | `_, pooled = ...` unpacks **names**. | The encoder returns a `ModelOutput`, an ordered dictionary, and iterating over one gives its keys. `pooled` is the text `"pooler_output"`, and the error comes a line later: `dropout(): argument 'input' must be Tensor, not str`. Up to version 3 of the library, models returned tuples and the line was right (huggingface/transformers, issue 8879). Write `.pooler_output`. |
# | Nothing computes a loss, nothing is trained. | The head's weights are random: its opinion is a coin's. |
# | It needs a download. | Not wrong, but without a network it stops. `BertModel(config)` makes the same architecture with random weights. |
# </details>
#
# <details><summary>Compare your list for B</summary>
#
# | what | why |
# |---|---|
# | `tf` is never imported. | `NameError`. With the import, TensorFlow's tensor has no `unsqueeze`; and a PyTorch model wants PyTorch labels: `torch.tensor([1])`. |
# | The labels are meant to have shape `(1, 1)`. | One class per sentence is a shape of `(batch,)`. The extra axis happens to be harmless, because this class flattens its labels; `F.cross_entropy` does not. |
# | The head is random here, too. | The file holds an encoder; the classifier on top is new. The loss is about $\log 2$ and the "class" is noise. |
# | `CrossEntropyLoss` and `DataLoader` are imported and never used. | They are what is missing: a loss, batches, an optimizer, a loop. |
# | Neither `eval()` nor `no_grad()`. | `from_pretrained` returns a model in evaluation mode, so it works by luck. After one epoch of training, or for a model made from a `BertConfig`, dropout is on and the prediction is random; and each forward pass stores a graph that nobody uses. |
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_bert_classifier", "locked": true, "schema_version": 3, "solution": false, "task": false}
from itertools import product

from torch.utils.data import DataLoader

with lesson.quiet():
    from transformers import BertConfig, BertForSequenceClassification, BertModel

OPENINGS = ["", "honestly", "i thought", "after all"]
SUBJECTS = ["the film", "the plot", "the music", "the cast", "the ending"]
ADVERBS = ["", "really", "quite", "very"]
CLOSINGS = ["", "to me", "this time round"]
ADJECTIVES = {1: ["good", "great", "lovely", "brilliant"], 0: ["bad", "poor", "dull", "awful"]}  # by class
REVIEW_WORDS = ["[PAD]", "[CLS]", "[SEP]", "was", "not"]
for _phrase in [*OPENINGS, *SUBJECTS, *ADVERBS, *CLOSINGS, *ADJECTIVES[0], *ADJECTIVES[1]]:
    REVIEW_WORDS += [word for word in _phrase.split() if word not in REVIEW_WORDS]


def review_ids(sentence: str) -> list[int]:
    """The sentence's token ids, with [CLS] in front and [SEP] at the end."""
    return [REVIEW_WORDS.index(word) for word in ["[CLS]", *sentence.split(), "[SEP]"]]


def make_reviews(seed: int) -> tuple[list[str], list[int]]:
    """960 sentences and their classes, 1 for praise: each frame with and without praise, with and without "not"."""
    generator = np.random.default_rng(seed)
    frames = list(product(OPENINGS, SUBJECTS, ADVERBS, CLOSINGS))
    sentences, classes = [], []
    for index in generator.permutation(len(frames)):
        opening, subject, adverb, closing = frames[index]
        for praise in (1, 0):
            adjective = generator.choice(ADJECTIVES[praise])
            for negation in ("", "not"):
                words = f"{opening} {subject} was {negation} {adverb} {adjective} {closing}"
                sentences.append(" ".join(words.split()))
                classes.append(praise if negation == "" else 1 - praise)
    return sentences, classes


def tiny_bert_config() -> BertConfig:
    """A BERT of two layers for these sentences."""
    return BertConfig(
        vocab_size=len(REVIEW_WORDS), hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=32, initializer_range=0.1,
        hidden_dropout_prob=0.05, attention_probs_dropout_prob=0.0,
    )  # fmt: skip


review_sentences, review_classes = make_reviews(seed=0)
_examples = [(review_ids(sentence), label) for sentence, label in zip(review_sentences, review_classes, strict=True)]
training_reviews, test_reviews = _examples[:720], _examples[720:]  # a frame's four sentences stay together

# %% [markdown]
# The next cell needs no network. It makes a small BERT with random weights and shows both surprises: what unpacking gives, and
# that a label of shape `(1, 1)` passes unnoticed.

# %% tags=["demo"]
torch.manual_seed(0)
ids = torch.tensor([review_ids("the film was not bad")])
_, pooled = BertModel(tiny_bert_config())(input_ids=ids, attention_mask=torch.ones_like(ids))
print(f"pooled = {pooled!r}: a {type(pooled).__name__}")

bert = BertForSequenceClassification(tiny_bert_config()).eval()
print("parameters:", f"{bert.num_parameters():,}", "  BERT-base has about 110 million")
for labels in (torch.tensor([1]), torch.tensor([[1]])):
    print(f"loss with labels of shape {tuple(labels.shape)!s:6}: {bert(ids, labels=labels).loss:.2f}")

# %% [markdown]
# ### Padding, and why nobody notices a missing mask
#
# A batch is a rectangle and sentences are not. Short ones are filled up with the token `[PAD]`, and an **attention
# mask** tells the encoder which columns are real: 1 for tokens, 0 for padding. Inside, the zeros do what the mask of section 1.3 does.

# %% tags=["demo"]
shown = ["the plot was dull", "honestly the cast was not very good", "the film was not bad to me"]
rows = [["[CLS]", *sentence.split(), "[SEP]"] for sentence in shown]
longest = max(map(len, rows))
fig, axes = plt.subplots(1, 2, figsize=(9.5, 1.9), width_ratios=(2.1, 1))
mask = np.array([[column < len(row) for column in range(longest)] for row in rows])
for ax, title in zip(axes, ("input_ids (here as words)", "attention_mask"), strict=True):
    ax.imshow(mask, cmap="Blues", vmin=0, vmax=3.5, aspect="auto")
    ax.set_xticks(np.arange(longest + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(4) - 0.5, labels=[])
    ax.tick_params(length=0)
    ax.grid(color="white", lw=2, alpha=1)
    ax.set_axisbelow(False)
    ax.spines[:].set_visible(False)
    ax.set_title(title)
for row, column in np.ndindex(mask.shape):
    word = rows[row][column] if mask[row, column] else "[PAD]"
    axes[0].text(column, row, word, ha="center", va="center", fontsize=8.5, color="black" if mask[row, column] else "0.5")
    axes[1].text(column, row, int(mask[row, column]), ha="center", va="center", fontsize=8.5, color="black" if mask[row, column] else "0.5")
plt.show()

# %% [markdown]
# Without a mask the padding is attended to like words, and a sentence's logits depend on its neighbours in
# the batch. You would think that this shows. In a freshly made model it hardly does: BERT's weights start with a standard
# deviation of 0.02, and with such weights the outputs hardly depend on *anything*. The figure pads one sentence to
# twice its length and asks how far its logits move, for weights of growing size. At 0.02 the shift is about as small as
# a tolerance of $10^{-4}$, so a test may well pass a model that ignores the mask; at 0.2 it is some thousand times larger.
# **Test with weights as large as those of a trained model**: the hidden checks do.

# %% tags=["demo"]
ids = torch.tensor([review_ids("the film was not bad")])
padded = F.pad(ids, (0, ids.shape[1]))
masks = {"without a mask": torch.ones_like(padded), "with the mask": (padded != 0).long()}
deviations = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
moved = {name: np.zeros((3, len(deviations))) for name in masks}
for seed in range(3):
    torch.manual_seed(seed)
    bert = BertForSequenceClassification(tiny_bert_config()).eval()
    matrices = [parameter for parameter in bert.parameters() if parameter.dim() == 2]
    before = bert.config.initializer_range
    for index, deviation in enumerate(deviations):
        with torch.no_grad():
            for matrix in matrices:
                matrix.mul_(deviation / before)
            before = deviation
            alone = bert(ids).logits
            for name, mask in masks.items():
                moved[name][seed, index] = (bert(padded, attention_mask=mask).logits - alone).abs().max()
fig, ax = plt.subplots(figsize=(6.4, 3))
for (name, values), marker, color in zip(moved.items(), "os", ("C5", "C0"), strict=True):
    ax.plot(deviations, np.maximum(np.median(values, axis=0), 1e-9), marker + "-", ms=5, color=color, label=name)
ax.axhline(1e-4, color="0.5", ls=":", lw=1)
ax.text(0.4, 7e-5, "a tolerance of $10^{-4}$", fontsize=8.5, ha="right", va="top", color="0.35")
ax.axvline(0.02, color="0.8", lw=1)
ax.text(0.0205, 3e-9, "BERT's start", fontsize=8.5, color="0.35")
ax.set(xscale="log", yscale="log", ylim=(1e-9, 10), xlabel="standard deviation of the weights", ylabel="largest shift of a logit",
       title="Padding one sentence to twice its length")
ax.set_xticks(deviations, labels=[f"{deviation:g}" for deviation in deviations])
ax.minorticks_off()
ax.legend(loc="center right", bbox_to_anchor=(1, 0.32), fontsize=8.5)
plt.show()

# %% [markdown]
# ### Reviews that cannot be judged word by word
#
# The data are short reviews from a small grammar. Each frame, such as "the film was … to me", comes four times:
#
# | | praise | blame |
# |---|---|---|
# | plain | the film was **good** to me → 1 | the film was **dull** to me → 0 |
# | with *not* | the film was **not good** to me → 0 | the film was **not dull** to me → 1 |
#
# A linear classifier on word counts gives each word a weight and adds them up: $s = w \cdot x + b$. The two
# sentences of class 1 contain, taken together, the same words as the two of class 0, so
# $s(\text{good}) + s(\text{not dull}) = s(\text{not good}) + s(\text{dull})$. But the left side should be positive and the right side negative:
# at most three of the four can be right. Fitted by maximum likelihood, it does worse still. Each word occurs equally often
# in both classes, so zero weights are the optimum, and the classifier is at chance, whatever the amount of data.
# What is needed is an interaction of two words at different places, which is what attention is for.
#
# The training set has 720 sentences, the test set 240 with other frames: no test sentence occurs in training.

# %% tags=["demo"]
from sklearn.linear_model import LogisticRegression


def word_counts(examples):
    """One row per sentence: how often each word occurs."""
    return np.array([np.bincount(ids, minlength=len(REVIEW_WORDS)) for ids, _ in examples])


def review_labels(examples):
    return np.array([label for _, label in examples])


for sentence, label in zip(review_sentences[:4], review_classes[:4], strict=True):
    print(label, sentence)
baseline = LogisticRegression().fit(word_counts(training_reviews), review_labels(training_reviews))
baseline_share = baseline.score(word_counts(test_reviews), review_labels(test_reviews))
print(f"\nlogistic regression on word counts: {baseline_share:.0%} of the test sentences, largest weight {np.abs(baseline.coef_).max():.2f}")

# %% [markdown]
# ### Exercise 1.6 · The BERT classifier, repaired
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · PyTorch, Hugging Face Transformers
#
# **Given** are `tiny_bert_config()`, the vocabulary, and `training_reviews` and `test_reviews`: lists of pairs (token ids, class), as
# `[(review_ids("the film was not bad"), 1), ...]`.
#
# **Write** what the two listings lack, in four parts: `collate_reviews` makes a batch of unequal sentences,
# `BertClassifier` is the model, `train_bert_epoch` trains it for one epoch, and `predict_reviews` uses it.
#
# Build the model from `BertModel` and `nn.Linear`. `BertForSequenceClassification` is what you are building, so do without it, and do without
# `from_pretrained`: the hidden checks make both fail. (Afterwards, compare: that is how your answer is graded.)
#
# The functions do not know whose model they get. `train_bert_epoch` and `predict_reviews` call it with the ids
# and the mask, `model(input_ids, attention_mask)` (by position or by name), and get logits; the checks also use
# a small linear model whose every step is known by hand.
#
# <details><summary>Hint 1: passing three tensors to the encoder</summary>
#
# Tokenizers list `input_ids, token_type_ids, attention_mask`; `BertModel.forward` takes `input_ids, attention_mask, token_type_ids`. All
# three have the same shape and type, so no error tells you when two are exchanged. Pass them by name.
# </details>
#
# <details><summary>Hint 2: where is the softmax?</summary>
#
# Nowhere. `F.cross_entropy` takes logits and applies a log-softmax itself; the largest logit is also the largest
# probability. With a softmax in front, the loss of two classes cannot fall below $\log(1 + e^{-1}) = 0.31$, and there is no error message.
# </details>
#
# <details><summary>Hint 3: the mean over an epoch</summary>
#
# `F.cross_entropy` returns the mean over its batch. The last batch may be smaller, so the mean of these means is not the mean over the
# examples: add up loss × batch size and divide by the number of examples. `.item()` keeps the number without the graph.
# </details>
#
# <details><summary>Hint 4: two switches</summary>
#
# `model.eval()` turns dropout off, `torch.no_grad()` stops the recording of gradients. Neither does the other's work. Whoever evaluates
# after each epoch and forgets to restore the mode trains without dropout from then on: `model.training` tells what it was.
# </details>

# %% nbgrader={"grade": false, "grade_id": "bert_classifier", "locked": false, "schema_version": 3, "solution": true, "task": false}
def collate_reviews(examples: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    """Makes one batch of examples of unequal length.

    Args:
        examples: one or more pairs (token ids, class); no id is 0. Not modified.

    Returns:
        A dict of three int64 tensors, rows in the order of the examples: "input_ids" (batch,
        longest), filled up on the right with 0, the id of [PAD], to the length of the longest
        example; "attention_mask" (batch, longest), 1 for tokens and 0 for padding; "labels"
        (batch,), the classes.

    >>> collate_reviews([([1, 7, 2], 0), ([1, 2], 1)])["attention_mask"]
    tensor([[1, 1, 1],
            [1, 1, 0]])
    """
    ### BEGIN SOLUTION
    longest = max(len(ids) for ids, _ in examples)
    return {
        "input_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in examples]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in examples]),
        "labels": torch.tensor([label for _, label in examples]),
    }
    ### END SOLUTION


class BertClassifier(nn.Module):
    """A BERT encoder with a linear classifier on its pooled [CLS] output.

    It has the attributes `bert`, a BertModel, and `classifier`, an nn.Linear from
    config.hidden_size to config.num_labels, and no parameters but theirs. Dropout with probability
    config.hidden_dropout_prob acts on the pooled output, in training mode only.

    Args:
        config: sizes and probabilities. All weights start at random; nothing is downloaded.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        ### BEGIN SOLUTION
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        ### END SOLUTION

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """From token ids to logits.

        Args:
            input_ids: (batch, T), int64, with [CLS] in the first column.
            attention_mask: (batch, T), int64: 1: may be looked at, 0: may not, whatever the id is.
            token_type_ids: (batch, T), int64: 0 for tokens of a first sentence, 1 for those of a
                second one, for tasks with pairs of sentences. None: all 0.

        Returns:
            Logits (batch, config.num_labels).
        """
        ### BEGIN SOLUTION
        output = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return self.classifier(self.dropout(output.pooler_output))
        ### END SOLUTION


def train_bert_epoch(
    model: nn.Module,
    batches: list[dict[str, torch.Tensor]] | DataLoader,
    optimizer: torch.optim.Optimizer,
) -> float:
    """Trains the model for one epoch: for each batch, in the order given, one step of the
    optimizer.

    Each step uses the gradient of the mean cross-entropy of its own batch, and nothing that was in
    .grad before. The model is in training mode during all steps, whatever its mode was.

    Args:
        model: `BertClassifier` or another that turns ids and mask into logits.
        batches: one or more, as `collate_reviews` makes them, not necessarily of equal size. Not
            modified.
        optimizer: of the model's parameters.

    Returns:
        The mean cross-entropy over all examples of the epoch, as computed for the steps, that is,
        before each step.
    """
    ### BEGIN SOLUTION
    model.train()
    total, count = 0.0, 0
    for batch in batches:
        logits = model(batch["input_ids"], batch["attention_mask"])
        loss = F.cross_entropy(logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(logits)
        count += len(logits)
    return total / count
    ### END SOLUTION


def predict_reviews(
    model: nn.Module, batches: list[dict[str, torch.Tensor]] | DataLoader
) -> torch.Tensor:
    """For each example, the class with the largest logit.

    Runs the model in evaluation mode and does not record gradients. Afterwards the model is in the
    mode (`model.training`) in which it came.

    Args:
        model: `BertClassifier` or another that turns ids and mask into logits.
        batches: one or more, as `collate_reviews` makes them, but "labels" may be missing. Not
            modified.

    Returns:
        The classes, (n,), int64, of all n examples in all batches, in order.
    """
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = [model(batch["input_ids"], batch["attention_mask"]) for batch in batches]
    model.train(was_training)
    return torch.cat(logits).argmax(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_bert_classifier", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)

LIBRARY_SHORTCUTS = (
    "transformers.models.bert.modeling_bert.BertForSequenceClassification.forward",
    "transformers.modeling_utils.PreTrainedModel.from_pretrained",
)


def small_config(**changes):
    return BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, **changes,
    )  # fmt: skip


class WordCounts(nn.Module):
    """A model whose logits are linear in the counts of the words that the mask admits; it notes how it is called."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.calls = []

    def forward(self, input_ids, attention_mask, token_type_ids=None):
        self.calls.append((self.training, torch.is_grad_enabled()))
        words = F.one_hot(input_ids, len(self.weight)) * attention_mask[..., None]
        return words.sum(1).to(self.weight.dtype) @ self.weight


def random_batch(n, n_words=10, n_classes=4):
    """n sentences of 3 to 7 words with at least one [PAD], and n labels."""
    mask = (torch.arange(8) < torch.randint(3, 8, (n, 1))).long()
    return {"input_ids": torch.randint(1, n_words, (n, 8)) * mask, "attention_mask": mask, "labels": torch.randint(0, n_classes, (n,))}


def by_hand(weight, batches, rate=0.0, momentum=0.0):
    """One step of gradient descent with momentum per batch on `WordCounts`, in closed form.

    Returns:
        The weights after the last step, and each example's cross-entropy before its step.
    """
    weight, velocity, losses = weight.double().numpy(), 0.0, []
    for batch in batches:
        ids, mask, labels = (batch[key].numpy() for key in ("input_ids", "attention_mask", "labels"))
        counts = np.stack([np.bincount(row[kept == 1], minlength=len(weight)) for row, kept in zip(ids, mask, strict=True)])
        logits = counts @ weight
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        losses += [-math.log(row[label]) for row, label in zip(shares, labels, strict=True)]
        velocity = momentum * velocity + counts.T @ (shares - np.eye(weight.shape[1])[labels]) / len(labels)
        weight = weight - rate * velocity
    return weight, losses


def copied(batches):
    return [{key: value.clone() for key, value in batch.items()} for batch in batches]


def unchanged(batches, after):
    """Whether the batches still hold what they held."""
    return all(some.keys() == others.keys() and all(torch.equal(some[key], others[key]) for key in some) for some, others in zip(batches, after, strict=True))


@check(points=1, hint="Fill up with zeros on the right, up to the longest sentence of this batch; the mask is 1 where there is a token.")
def collates_unequal_sentences():
    """A batch is filled up on the right with 0, and its mask marks the tokens."""
    for examples in ([([1, 9, 4, 2], 1), ([1, 2], 0), ([1, 5, 7, 3, 6, 2], 1)], [([1, 8, 2], 3)]):
        def run(examples):
            examples = [(list(ids), label) for ids, label in examples]
            batch = collate_reviews(examples)
            return dict(batch), [ids for ids, _ in examples]

        batch, after = probe(run, examples)
        rows = [torch.tensor(ids) for ids, _ in examples]
        truth = {
            "input_ids": nn.utils.rnn.pad_sequence(rows, batch_first=True),
            "attention_mask": nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
            "labels": torch.tensor([example[1] for example in examples]),
        }
        for key, right in truth.items():
            assert key in batch, f'the batch has no "{key}"'
            assert isinstance(batch[key], torch.Tensor), f'"{key}" is a {type(batch[key]).__name__}, not a torch tensor'
            assert batch[key].dtype == torch.int64, f'"{key}" is of type {batch[key].dtype} instead of int64'
            assert batch[key].tolist() == right.tolist(), f'"{key}" of {examples} is {batch[key].tolist()}'
        assert after == [ids for ids, _ in examples], "the lists of token ids that were passed in have changed"


@check(points=1, hint="Take pooler_output from what the encoder returns. The attributes are called bert and classifier.")
def gives_one_row_of_logits_per_sentence():
    """The model maps ids and mask to (batch, num_labels) numbers; its parameters are those of `bert` and `classifier`."""
    def run():
        with forbidden(*LIBRARY_SHORTCUTS):
            model = BertClassifier(small_config(num_labels=3)).eval()
            ids = torch.tensor([[1, 5, 2, 0], [1, 6, 7, 2]])
            logits = model(ids, (ids != 0).long())
        return logits.detach(), {name: list(parameter.shape) for name, parameter in model.named_parameters()}

    logits, names = probe(run)
    assert logits.shape == (2, 3), f"logits of shape {tuple(logits.shape)} for 2 sentences and num_labels=3"
    truth = {name: list(parameter.shape) for name, parameter in BertForSequenceClassification(small_config(num_labels=3)).named_parameters()}
    missing, extra = truth.keys() - names.keys(), names.keys() - truth.keys()
    assert not missing, f"{len(missing)} parameters are missing, for instance {min(missing)}"
    assert not extra, f"{len(extra)} parameters are too many, for instance {min(extra)}"
    assert names == truth, f"{[name for name in truth if names[name] != truth[name]]} have the wrong shape"


@check(points=1, hint="Cross-entropy of the logits, without a softmax in front; the second batch has fewer examples than the first.")
def reports_the_mean_loss():
    """Where nothing is learnt, the number returned is the mean cross-entropy over all examples."""
    weight, batches = torch.randn(10, 4), [random_batch(5), random_batch(1)]

    def run(weight, batches):
        model = WordCounts(weight)
        return float(train_bert_epoch(model, batches, torch.optim.SGD(model.parameters(), lr=0.0)))

    loss, (_, losses) = probe(run, weight, copied(batches)), by_hand(weight, batches)
    means = np.mean(losses[:5]), losses[5]
    assert math.isclose(loss, np.mean(losses), rel_tol=1e-4), (
        f"the mean over 6 examples is {np.mean(losses):.4f}, returned was {loss:.4f}; (a batch of 5 has mean {means[0]:.4f}, one of 1 has {means[1]:.4f})"
    )


### BEGIN HIDDEN TESTS
def library_model(**changes):
    """The library's own classifier, with weights as large as those of a trained model."""
    model = BertForSequenceClassification(small_config(**changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(float("LayerNorm.weight" in name), 0.3)
    return model


def classify(state, changes, *inputs):
    """The student's logits with these weights, in evaluation mode; one result for each tuple of inputs."""
    def run(state, changes, inputs):
        with forbidden(*LIBRARY_SHORTCUTS), torch.no_grad():
            model = BertClassifier(small_config(**changes))
            model.load_state_dict(state)
            model.eval()
            return [model(*tensors) for tensors in inputs]

    return probe(run, state, changes, list(inputs))


def is_near(answer, truth, tolerance=1e-5):
    return answer.shape == truth.shape and torch.allclose(answer.double(), truth.double(), rtol=tolerance, atol=tolerance)


def random_ids(n, length):
    ids = torch.randint(3, 12, (n, length))
    ids[:, 0] = 1
    return ids


@check(points=1, hint="Encoder, pooler_output (of the first token), dropout, linear layer; no softmax and no other activation.")
def agrees_with_the_library():
    """With the same weights, the logits of sentences of one length are those of BertForSequenceClassification."""
    for n_classes, n, length in [(2, 5, 7), (5, 3, 4), (3, 1, 9)]:
        library, ids = library_model(num_labels=n_classes), random_ids(n, length)
        mask = torch.ones_like(ids)
        with torch.no_grad():
            truth = library(ids, attention_mask=mask).logits
        (logits,) = classify(library.state_dict(), dict(num_labels=n_classes), (ids, mask))
        if logits.shape != truth.shape:
            fail(f"For {n} sentences and {n_classes} classes, the logits have shape {tuple(logits.shape)}.")
        if is_near(logits, truth.softmax(-1)):
            fail("The outputs are probabilities: the model should end in logits, without a softmax.")
        if not is_near(logits, truth):
            fail("In evaluation mode, with the same weights, the logits are not those of the library's classifier.")


@check(points=1, hint="Pass the attention mask on to the encoder, by name. It alone decides, whatever ids there are below its zeros.")
def ignores_the_padding():
    """A sentence has the same logits alone and in a batch with longer ones, whatever the padding consists of."""
    library = library_model()
    lengths, longest = [4, 9, 6], 12
    sentences = [random_ids(1, length) for length in lengths]
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    padded = torch.cat([F.pad(ids, (0, longest - ids.shape[1])) for ids in sentences])
    noise = torch.where(mask == 1, padded, torch.randint(3, 12, padded.shape))
    *alone, with_zeros, with_noise = classify(
        library.state_dict(), {}, *[(ids, torch.ones_like(ids)) for ids in sentences], (padded, mask), (noise, mask)
    )
    if not is_near(with_zeros, torch.cat(alone), 1e-4):
        fail("Logits depend on how much padding there is: the mask does not reach the encoder, or not as it should.")
    if not is_near(with_noise, torch.cat(alone), 1e-4):
        fail("Logits depend on the ids at places that the mask forbids: use the mask that is passed in, not one made from the ids.")


@check(points=1, hint="Are token_type_ids passed on, and under their own name? Their order in BertModel.forward is not the tokenizer's.")
def passes_token_types_on():
    """Types reach the encoder as types: exchanging both types' embeddings undoes exchanging 0 and 1; None means all 0."""
    library, ids = library_model(), random_ids(4, 8)
    types = (torch.arange(8) >= torch.tensor([[3], [4], [5], [6]])).long()
    mask, state = torch.ones_like(ids), library.state_dict()
    name = "bert.embeddings.token_type_embeddings.weight"
    swapped = {**state, name: state[name].flip(0)}
    usual, zeros, none = classify(state, {}, (ids, mask, types), (ids, mask, torch.zeros_like(ids)), (ids, mask))
    exchanged, ones = classify(swapped, {}, (ids, mask, 1 - types), (ids, mask, torch.ones_like(ids)))
    if is_near(usual, none, 1e-3):
        fail("The logits do not depend on token_type_ids.")
    if not (is_near(zeros, none) and is_near(ones, none)):
        fail("Without token_type_ids, the logits are not those of types that are all 0.")
    if not is_near(usual, exchanged):
        fail("The types are not used as types: were they exchanged with the mask?")


@check(points=1, hint="nn.Dropout(config.hidden_dropout_prob) between the pooled output and the classifier; it follows the model's mode.")
def drops_out_while_training():
    """In training mode, the classifier sees the pooled output with the configured share of zeros; in evaluation mode, all of it."""
    share, changes = 0.3, dict(num_labels=16, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.05)
    state = library_model(**changes).state_dict()
    state["classifier.weight"] = torch.linalg.qr(torch.randn(16, 16)).Q  # orthogonal, so that it can be undone
    ids = random_ids(8, 6)

    def run(state, changes, ids):
        mask = torch.ones_like(ids)
        with forbidden(*LIBRARY_SHORTCUTS), torch.no_grad():
            model = BertClassifier(small_config(**changes))
            model.load_state_dict(state)
            model.train()
            model.bert.eval()  # so that no other dropout is at work
            pooled = model.bert(ids, attention_mask=mask).pooler_output
            noisy = torch.stack([model(ids, mask) for _ in range(20)])
            model.eval()
            return pooled, noisy, torch.stack([model(ids, mask) for _ in range(2)])

    pooled, noisy, calm = probe(run, state, changes, ids)
    seen, seen_calm = ((logits - state["classifier.bias"]) @ state["classifier.weight"] for logits in (noisy, calm))
    if not is_near(seen_calm, pooled.expand_as(seen_calm), 1e-4):
        fail("In evaluation mode, the classifier does not see exactly the pooled output: is dropout still at work?")
    clear = pooled.abs().expand_as(seen) > 0.02
    dropped, kept = seen.abs() < 1e-4, (seen - pooled / (1 - share)).abs() < 1e-4
    if not (dropped | kept)[clear].all():
        fail("In training mode, the classifier's inputs are not those of the pooled output that were kept, divided by the probability of keeping them, and zeros.")
    found = dropped[clear].double().mean().item()
    if abs(found - share) > 5 * math.sqrt(share * (1 - share) / clear.sum().item()):
        fail(f"{found:.0%} of the pooled output were dropped in training mode; hidden_dropout_prob says otherwise.")


@check(points=1, hint="For each batch: zero_grad, forward, loss, backward, step, in this order, with the model in training mode.")
def takes_one_step_per_batch():
    """Each batch moves the weights once, in order, along its own gradient; the model is in training mode."""
    weight, batches = torch.randn(10, 4), [random_batch(n) for n in (4, 2, 5, 1)]

    def run(weight, batches, stale):
        model = WordCounts(weight).eval()
        if stale:
            model.weight.grad = torch.ones_like(weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)
        train_bert_epoch(model, batches, optimizer)
        return model.weight.detach(), model.calls, batches

    after, calls, _ = probe(run, weight, copied(batches[:1]), False)
    if not all(training for training, _ in calls):
        fail("The model is not in training mode: the function has to switch it on, whatever the mode was.")
    if not is_near(after, torch.tensor(by_hand(weight, batches[:1], 0.2)[0]), 1e-4):
        fail("Even one step on one batch does not follow the gradient of the mean cross-entropy of its logits.")
    after, calls, kept = probe(run, weight, copied(batches), False)
    if not unchanged(batches, kept):
        fail("The batches that were passed in have changed: a second epoch would not find them as they were.")
    if not is_near(after, torch.tensor(by_hand(weight, batches, 0.2, 0.5)[0]), 1e-4):
        fail("One step is right, several are not: is each step taken along the gradient of its own batch alone, once, and in the order given?")
    after, _, _ = probe(run, weight, copied(batches), True)
    if not is_near(after, torch.tensor(by_hand(weight, batches, 0.2, 0.5)[0]), 1e-4):
        fail("A gradient that was there before the call takes part in the first step.")


@check(points=1, hint="Gradients have to reach the whole encoder, so no no_grad or detach on the way; the mask counts in training, too.")
def trains_the_encoder_like_the_library():
    """Two steps change all parameters, those of the encoder included, as they do in the library's classifier."""
    changes = dict(num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    library, batches = library_model(**changes).train(), [random_batch(4, 12, 3), random_batch(4, 12, 3)]
    state = {name: value.clone() for name, value in library.state_dict().items()}

    def run(state, changes, batches):
        with forbidden(*LIBRARY_SHORTCUTS):
            model = BertClassifier(small_config(**changes))
            model.load_state_dict(state)
            loss = train_bert_epoch(model, batches, torch.optim.SGD(model.parameters(), lr=0.1))
        return {name: parameter.detach() for name, parameter in model.named_parameters()}, float(loss)

    after, loss = probe(run, state, changes, copied(batches))
    optimizer, losses = torch.optim.SGD(library.parameters(), lr=0.1), []
    for batch in batches:
        optimizer.zero_grad()
        losses.append(library(**batch).loss)
        losses[-1].backward()
        optimizer.step()
    if all(torch.equal(after[name], state[name]) for name in state if name.startswith("bert.")):
        fail("Only the classifier learns: the encoder's weights are what they were.")
    for name, parameter in library.named_parameters():
        if not is_near(after[name], parameter.detach(), 1e-4):
            fail(f"After two steps, {name} is not what it is in the library's classifier.")
    if not math.isclose(loss, sum(value.item() for value in losses) / 2, rel_tol=1e-4):
        fail("The loss returned is not that of the logits from which the steps were computed.")


@check(points=1, hint="Remember model.training, call eval(), predict under no_grad, set the mode back. Collect all batches, in order.")
def predicts_without_traces():
    """The class with the largest logit, in evaluation mode, without gradients; afterwards the mode is what it was."""
    weight, batches = torch.randn(10, 4), [random_batch(n) for n in (4, 1, 3)]
    for training, labelled in [(True, True), (False, False)]:
        given = [{key: value for key, value in batch.items() if labelled or key != "labels"} for batch in batches]

        def run(weight, batches, training):
            model = WordCounts(weight).train(training)
            classes = predict_reviews(model, batches)
            return torch.as_tensor(classes), model.calls, model.training, batches, model.weight.detach()

        classes, calls, mode, kept, after = probe(run, weight, copied(given), training)
        truth = torch.cat([WordCounts(weight)(batch["input_ids"], batch["attention_mask"]) for batch in batches]).argmax(1)
        if classes.shape != truth.shape:
            fail(f"The classes of 8 sentences in 3 batches have shape {tuple(classes.shape)}.")
        if not torch.equal(classes.long(), truth):
            fail("The predictions are not the classes with the largest logit, in the order of the examples.")
        if any(seen for seen, _ in calls):
            fail("The model predicts in training mode, where dropout makes the result random.")
        if any(recorded for _, recorded in calls):
            fail("Gradients are recorded while the model predicts: eval() does not stop that.")
        if mode != training:
            fail(f"The model came in {'training' if training else 'evaluation'} mode and leaves in the other one.")
        if not (unchanged(given, kept) and torch.equal(weight, after)):
            fail("The batches or the model's weights have changed.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn to negate?
#
# Your functions at three learning rates. The three models start from the same weights and see the same batches.

# %% tags=["demo", "raises-exception"]
def test_share(model):
    """Share of the test reviews that the model gets right."""
    return float(np.mean(predict_reviews(model, [collate_reviews(test_reviews)]).numpy() == review_labels(test_reviews)))


threads = torch.get_num_threads()
torch.set_num_threads(1)  # for matrices as small as these, more threads cost more than they save
curves, reviewers = {}, {}
for rate in (1e-4, 1e-3, 2e-2):
    torch.manual_seed(0)
    reviewer = BertClassifier(tiny_bert_config())
    optimizer = torch.optim.AdamW(reviewer.parameters(), lr=rate)
    loader = DataLoader(training_reviews, batch_size=48, shuffle=True, collate_fn=collate_reviews)
    reviewers[rate], curves[rate] = reviewer, [test_share(reviewer)]
    for _ in range(9):
        train_bert_epoch(reviewer, loader, optimizer)
        curves[rate].append(test_share(reviewer))
torch.set_num_threads(threads)

fig, ax = plt.subplots(figsize=(6.4, 3))
for (rate, curve), marker in zip(curves.items(), "sov", strict=True):
    ax.plot(curve, marker + "-", ms=5, label=f"learning rate {rate:g}")
ax.axhline(baseline_share, color="black", ls=":", lw=1.2, label="logistic regression on word counts")
ax.set(xlabel="epoch", ylabel="share right", ylim=(0.35, 1.03), title="Test reviews judged rightly")
ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(0, 0.97))
plt.show()

# %% [markdown]
# Counting words cannot do better than a coin here: each word stands in as much praise as blame. So a score above one half comes
# from words read *together*. In the middle run the model guesses for several epochs, and then finds the rule at once. A rate ten times
# smaller has not got there after nine epochs, and one twenty times larger never leaves the coin's line. "It does not learn" is often a
# statement about the learning rate.
#
# What does the trained model look at? The mask is an instrument: hide one word at a time from the attention, and see how the answer moves.

# %% tags=["demo", "raises-exception"]
looked_at = [test_reviews[index][0] for index in (1, 7, 8)]
reviewer = reviewers[1e-3].eval()
fig, axes = plt.subplots(3, 1, figsize=(9.5, 3.1), sharex=True)
for ax, ids in zip(axes, looked_at, strict=True):
    n = len(ids)
    repeated = torch.tensor([ids] * (n - 1))
    hidden = torch.ones_like(repeated)
    for row in range(1, n - 1):
        hidden[row, row] = 0  # row 0 hides nothing, row i the word at place i
    with torch.no_grad():
        praise = reviewer(repeated, hidden).softmax(1)[:, 1]
    ax.imshow(praise[None], vmin=0, vmax=1, cmap="PuOr", alpha=0.6, aspect="auto")
    for place, value in enumerate(praise):
        word = REVIEW_WORDS[ids[place]] if place else "(nothing)"
        ax.text(place, 0, f"{word}\n{value:.2f}", ha="center", va="center", fontsize=8.5)
    ax.axvline(0.5, color="white", lw=6)
    ax.set(yticks=[], xticks=[], xlim=(-0.5, max(map(len, looked_at)) - 1.5))
    ax.spines[:].set_visible(False)
    ax.grid(False)
axes[0].set_title("Probability of praise when the mask hides one word")
plt.show()

# %% [markdown]
# Hiding "not" turns the answer over, hiding a word without meaning leaves it alone: the rule that the model found is the one that made the data. Now look at the
# adjectives. Without them, "not lovely" and "not dull" are the same input, so hiding the adjective *must* turn one of the two answers over and cannot
# turn the other. Nothing is left to judge there; such a sentence never occurred in training, and yet the model answers with a number close to 0 or 1.
# A confident number is no sign of knowledge. Chapter 8 takes up such explanations and their tests.

# %% [markdown]
# ## 1.7 A convolutional network, repaired
#
# Here is the kind of listing that circulates in interview guides. It looks complete. It is not:
#
# ```python
# model = tf.keras.models.Sequential([
#     tf.keras.layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
#     tf.keras.layers.MaxPooling2D((2, 2)),
#     tf.keras.layers.Flatten(),
#     tf.keras.layers.Dense(10, activation="softmax"),
# ])
# model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
# model.fit(x_train, y_train, epochs=5)
# ```
#
# Before you read on, make a list: what is wrong or missing? Suppose that somebody fixes the first error, a
# `NameError`, by importing TensorFlow and loading the images.
#
# <details><summary>Compare your list</summary>
#
# | what | why it matters |
# |---|---|
# | Pixels are not scaled. | Inputs up to 255 make the first logits and losses huge. Adam hides some of the damage, plain gradient descent none. |
# | No channel axis. | Images of shape `(n, 28, 28)` do not match `(28, 28, 1)`. Keras 3 adds the axis silently here, so a mistake in the data goes unnoticed until another layer meets it. |
# | No validation or test data. | The one number it prints, training accuracy, says nothing about new images. |
# | A softmax in the model, the loss by its name. | Here the two fit. If they did not, nothing would tell you. See below. |
# | `input_shape=` on a layer. | Keras 3 warns; `keras.Input` is the way. |
# </details>
#
# ### Logits and the loss
#
# The network ends in $z \in \mathbb{R}^{10}$, the **logits**. The loss of a sample with class $y$ is
#
# $$\ell(z, y) = -\log \mathrm{softmax}(z)_y = -z_y + \log \sum_c e^{z_c}.$$
#
# A loss function must know whether it gets logits $z$ or probabilities $\mathrm{softmax}(z)$. There are two ways to get
# that wrong, and **neither is an error message**:
#
# - **Logits where probabilities are expected.** This is Keras' default: `loss="sparse_categorical_crossentropy"` means
#   `from_logits=False`. The logits are clipped to $[0, 1]$ and normalised as if they were probabilities; the clipping
#   cuts the gradient, and training gets stuck. The figure shows it.
# - **Probabilities where logits are expected.** The softmax is applied twice. PyTorch's `CrossEntropyLoss` does so
#   without a word: the "logits" differ by 1 at most, so the loss cannot fall below $-\log\frac{e}{e + 9} = 1.46$. Keras on
#   TensorFlow notices a softmax at the end of the model, warns, and uses the logits before it.
#
# The rule that avoids both: the model ends in logits, and the loss is told so.

# %% nbgrader={"grade": false, "grade_id": "setup_keras", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped
from sklearn.datasets import load_digits


# %% tags=["demo"]
def classifier():
    """A small network that ends in logits."""
    return keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])


pixels, classes = load_digits(return_X_y=True)
losses = {
    "loss is told that it gets logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    'loss="sparse_categorical_crossentropy"': "sparse_categorical_crossentropy",
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.1))
for label, loss in losses.items():
    keras.utils.set_random_seed(0)
    model = classifier()
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
    curves = model.fit(pixels / 16, classes, epochs=8, batch_size=64, verbose=0).history
    for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
        ax.plot(range(1, 9), curves[key], "o-", ms=4, label=label)
axes[0].axhline(math.log(10), color="0.5", ls=":", lw=1)
axes[0].text(8, math.log(10) + 0.06, "guessing: $\\log 10$", fontsize=8.5, ha="right", va="bottom", color="0.35")
axes[0].set(title="Loss reported while training", xlabel="epoch", ylabel="nats", ylim=(0, None))
axes[1].set(title="Training accuracy", xlabel="epoch", ylim=(0, 1))
axes[1].legend(loc="center right", fontsize=8.5)
plt.show()

# %% [markdown]
# ### The data
#
# scikit-learn carries 1,797 handwritten digits of 8 × 8 pixels with values from 0 to 16 (Alpaydin and
# Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, CC BY 4.0).

# %% tags=["demo"]
digits = load_digits()
fig, axes = plt.subplots(2, 10, figsize=(9, 2))
for index, ax in enumerate(axes.flat):
    ax.imshow(digits.images[index], cmap="gray_r", vmin=0, vmax=16)
    ax.set_title(str(digits.target[index]), fontsize=9, loc="center")
    ax.axis("off")
plt.show()

# %% [markdown]
# ### Exercise 1.7 · The classifier, repaired
#
# > **Difficulty** ★☆☆☆ · **30 minutes** · **10 points** · Keras 3 on TensorFlow
#
# **Write** four functions: one that prepares the data honestly, one that builds the network, one
# that trains it, and one that measures it on data of your choice. Together they do what the
# listing above only seems to do.
#
# The network, layer by layer, for images of shape `(8, 8, 1)`:
#
# 1. convolution with 16 filters of 3 × 3, `same` padding, ReLU; max-pooling by 2
# 2. convolution with 32 filters of 3 × 3, `same` padding, ReLU; max-pooling by 2
# 3. flatten, then a dense layer with 10 outputs: **logits**
#
# Training takes a few seconds on two cores. Use `verbose=0` in `fit`: a progress bar fills the notebook.
#
# <details><summary>Hint 1: how many parameters should it have?</summary>
#
# A convolution has (height × width × input channels + 1) × filters. Two rounds of pooling leave 2 × 2 × 32
# numbers for the dense layer. Compare your total with `model.count_params()`.
# </details>
#
# <details><summary>Hint 2: splitting without leaks</summary>
#
# Shuffle the indices once, with a generator made from the seed (`np.random.default_rng(seed)`),
# then cut the shuffled list in three. Each image keeps its label, and lands in exactly one part.
# </details>
#
# <details><summary>Hint 3: the loss</summary>
#
# `keras.losses.SparseCategoricalCrossentropy` takes integer labels; one of its arguments says that the
# outputs are logits.
# </details>

# %% nbgrader={"grade": false, "grade_id": "digits_cnn", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_digits(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Scales and shuffles the images and splits them into training, validation and test data.

    Args:
        images: (n, 8, 8), values from 0 to 16, for any n from 50 on; not modified.
        labels: (n,) integers.
        seed: the same seed gives the same split, another seed another one.

    Returns:
        ((x_train, y_train), (x_validation, y_validation), (x_test, y_test)) with 60 %, 20 % and
        20 % of the images, each within two images of that. Each x is float32 of shape (m, 8, 8, 1)
        with values from 0 to 1, each y holds the m labels.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(images))
    x = (images[order, :, :, None] / 16).astype("float32")
    y = labels[order]
    cuts = [round(0.6 * len(x)), round(0.8 * len(x))]
    return tuple(zip(np.split(x, cuts), np.split(y, cuts), strict=True))
    ### END SOLUTION


def build_cnn() -> keras.Model:
    """The network described above: (m, 8, 8, 1) images to (m, 10) logits. It need not be compiled.

    >>> build_cnn()(np.zeros((2, 8, 8, 1), "float32")).shape
    TensorShape([2, 10])
    """
    ### BEGIN SOLUTION
    return keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ])
    ### END SOLUTION


def train(
    model: keras.Model,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    epochs: int,
) -> dict[str, list[float]]:
    """Trains the model on the training data for exactly `epochs` epochs.

    Uses Adam (Keras' defaults, but learning rate 3e-3), shuffled batches of 32 and cross-entropy
    from logits. The loss on the validation data is measured after each epoch; the validation data
    must not influence the weights.

    Args:
        model: (m, 8, 8, 1) images to (m, 10) logits, as `build_cnn` makes it or another; not
            compiled.
        training: images, scaled, and their labels, for any number of images.
        validation: likewise.

    Returns:
        A dict with (at least) the keys "loss" and "val_loss", each a list with one mean
        cross-entropy per epoch: "loss" on the training data, during or after the epoch, "val_loss"
        on the validation data after it.
    """
    ### BEGIN SOLUTION
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(*training, validation_data=validation, epochs=epochs, batch_size=32, verbose=0)
    return history.history
    ### END SOLUTION


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images, from 0 to 1, whose largest logit is the one of their label.

    Args:
        model: (m, 8, 8, 1) images to (m, 10) logits, as `build_cnn` makes it or another; compiled
            or not. It is not compiled and not changed here.
        images: (m, 8, 8, 1), scaled.
        labels: (m,) integers.
    """
    ### BEGIN SOLUTION
    return float(np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_digits_cnn", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)
digit_images, digit_labels = load_digits(return_X_y=True)
digit_images = digit_images.reshape(-1, 8, 8)


@check(points=1, hint="Divide by the largest possible value, 16; add the channel axis; cut at 60 % and 80 %.")
def splits_and_scales():
    """The split has three parts of 60, 20 and 20 %, scaled to 0..1, with a channel axis."""
    parts = split_digits(digit_images, digit_labels, seed=0)
    assert len(parts) == 3, f"{len(parts)} parts instead of three pairs (x, y)"
    for (x, y), share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(x) - share * 1797) <= 2 and len(y) == len(x), f"{len(x)} images and {len(y)} labels where {share:.0%} of 1,797 belong"
        assert x.shape[1:] == (8, 8, 1), f"images of shape {x.shape[1:]} instead of (8, 8, 1)"
        assert x.dtype == np.float32, f"images of type {x.dtype} instead of float32"
        assert x.min() == 0 and x.max() == 1, f"values from {x.min():g} to {x.max():g} instead of 0 to 1"


@check(points=1, hint="Compare model.summary() with the list above, layer by layer.")
def has_the_right_size():
    """The network maps (m, 8, 8, 1) images to (m, 10) numbers and has 6,090 parameters."""
    def describe():
        model = build_cnn()
        return list(model(np.zeros((3, 8, 8, 1), "float32")).shape), model.count_params()

    shape, count = probe(describe)
    assert shape == [3, 10], f"output of shape {shape} instead of [3, 10]"
    assert count == 6090, f"{count:,} parameters instead of 6,090"


### BEGIN HIDDEN TESTS
from functools import cache


def numbered_images(n):
    """n images that can be told apart after scaling: image i spells i in base 17."""
    pixels = np.zeros((n, 64))
    number = np.arange(n)
    for place in range(3):
        pixels[:, place] = number // 17**place % 17
    pixels[:, 10:] = 8
    pixels[0, 20] = 16  # so that dividing by images.max() is right, too
    return pixels.reshape(n, 8, 8), number % 10


def numbers_of(x):
    """Which of the numbered images these are."""
    digits = np.rint(np.asarray(x, float).reshape(len(x), 64)[:, :3] * 16).astype(int)
    return digits @ 17 ** np.arange(3)


@check(points=1, hint="Cut one shuffled list of indices in three; index images and labels with the same list.")
def splits_without_leaks():
    """Each image lands in exactly one part, with its own label, and the inputs stay as they were."""
    for n in (100, 217):
        images, labels = numbered_images(n)

        def run(images, labels):
            parts = split_digits(images, labels, 3)
            return [(np.asarray(x), np.asarray(y)) for x, y in parts], images, labels

        parts, *after = probe(run, images.copy(), labels.copy())
        if not (np.array_equal(after[0], images) and np.array_equal(after[1], labels)):
            fail("The arrays passed in were modified: scale a copy.")
        if any(x.shape[1:] != (8, 8, 1) for x, _ in parts):
            fail("The images do not have shape (8, 8, 1).")
        found = np.concatenate([numbers_of(x) for x, _ in parts])
        if len(np.unique(found)) != len(found):
            fail("Some images are in the split twice.")
        if sorted(found) != list(range(n)):
            fail("Some images are missing from the split, or their pixels were changed by more than scaling.")
        if not np.array_equal(np.concatenate([y for _, y in parts]), found % 10):
            fail("Images and labels no longer belong together.")
        if any(abs(len(x) - share * n) > 2 for (x, _), share in zip(parts, (0.6, 0.2, 0.2), strict=True)):
            fail("The parts do not have 60, 20 and 20 % of the images.")


@check(points=1, hint="Data often comes sorted by class. Shuffle with np.random.default_rng(seed), not with the global generator.")
def shuffles_by_seed():
    """The same seed gives the same split, other seeds other ones; sorted data ends up mixed."""
    images, labels = numbered_images(400)
    order = np.argsort(labels, kind="stable")
    images, labels = images[order], labels[order]
    splits = []
    for seed in (0, 0, 1, 2):
        parts = split_digits(images.copy(), labels.copy(), seed)
        splits.append([numbers_of(x) for x, _ in parts])
        if any(len(np.unique(y)) < 8 for _, y in parts):
            fail("Given data sorted by class, a part misses several classes: shuffle before you cut.")
    if not all(np.array_equal(a, b) for a, b in zip(splits[0], splits[1], strict=True)):
        fail("Two calls with the same seed gave two different splits.")
    if any(np.array_equal(np.sort(splits[0][2]), np.sort(other[2])) for other in splits[2:]):
        fail("Another seed gave the same test set.")


@check(points=1, hint="The last layer has no activation.")
def ends_in_logits():
    """The network computes what the list of layers says, and its outputs are logits."""
    def run(wild, images):
        model = build_cnn()
        first = np.asarray(model(wild))
        model.set_weights([np.random.normal(0, 0.3, w.shape) for w in model.get_weights()])
        # A model that was written as a class need not declare a shape.
        declared = list(getattr(model, "input_shape", (None, 8, 8, 1)))
        while_training = np.asarray(model(images, training=True))
        return first, model.get_weights(), np.asarray(model(images, training=False)), while_training, len(model.losses), declared[1:]

    wild, images = (np.random.normal(0, spread, (m, 8, 8, 1)).astype("float32") for spread, m in ((5, 64), (1, 16)))
    first, weights, outputs, while_training, penalties, declared = probe(run, wild, images)
    if np.allclose(first.sum(1), 1, atol=1e-3):
        fail("Each row of outputs sums to one: there is a softmax in the network.")
    if first.min() >= 0:
        fail("No output is negative: there is an activation after the last layer.")
    if penalties or not np.allclose(outputs, while_training, rtol=1e-4, atol=1e-4):
        fail("While it is trained, the network does something that is not on the list: dropout, noise or a penalty.")
    if declared != [8, 8, 1]:
        fail(f"The network is declared for inputs of shape {tuple(declared)} instead of (8, 8, 1).")
    by_shape = {tuple(w.shape): torch.tensor(w) for w in weights}
    hidden = torch.tensor(images).permute(0, 3, 1, 2)
    for channels, filters in [(1, 16), (16, 32)]:
        kernel = by_shape[3, 3, channels, filters].permute(3, 2, 0, 1)
        hidden = F.max_pool2d(F.conv2d(hidden, kernel, by_shape[filters,], padding=1).relu(), 2)
    logits = hidden.permute(0, 2, 3, 1).flatten(1) @ by_shape[128, 10] + by_shape[10,]
    if not np.allclose(outputs, logits, rtol=1e-3, atol=1e-3):
        fail("With the same weights, the layers on the list give other outputs: compare activations, pooling and scaling with the list.")


def cross_entropy(logits, labels):
    """Mean of -z_y + log sum exp z over the rows of logits."""
    logits = np.asarray(logits, np.float64)
    top = logits.max(1)
    return float(np.mean(top + np.log(np.exp(logits - top[:, None]).sum(1)) - logits[np.arange(len(logits)), labels]))


def gradients(weights, biases, x, y):
    """Of the mean cross-entropy of a linear classifier, in closed form."""
    flat, logits = x.reshape(len(x), 64), logits_of(weights, biases, x)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    error = shares / shares.sum(1, keepdims=True) - np.eye(10)[y]
    return flat.T @ error / len(x), error.mean(0)


def logits_of(weights, biases, x):
    return x.reshape(len(x), 64) @ np.float64(weights) + biases


def adam(weights, biases, batches, rate=3e-3, decays=(0.9, 0.999), epsilon=1e-7):
    """One step per batch (Kingma and Ba, arXiv:1412.6980, the form with bias correction in the rate)."""
    values = [np.float64(weights), np.float64(biases)]
    moments = [[np.zeros_like(value) for value in values] for _ in decays]
    for step, (x, y) in enumerate(batches, 1):
        for index, slope in enumerate(gradients(*values, x, y)):
            for moment, decay, power in zip(moments, decays, (1, 2), strict=True):
                moment[index] = decay * moment[index] + (1 - decay) * slope**power
            scale = rate * math.sqrt(1 - decays[1] ** step) / (1 - decays[0] ** step)
            values[index] = values[index] - scale * moments[0][index] / (np.sqrt(moments[1][index]) + epsilon)
    return values


def digits_without_zero(n):
    """n images of the other classes, drawn at random and scaled."""
    order = np.random.permutation(np.flatnonzero(digit_labels))[:n]
    return (digit_images[order, :, :, None] / 16).astype("float32"), digit_labels[order]


def step_by_step(run, *args):
    """Runs TensorFlow's functions without compiling them, which pays for a few steps."""
    import tensorflow

    tensorflow.config.run_functions_eagerly(True)
    try:
        return run(*args)
    finally:
        tensorflow.config.run_functions_eagerly(False)


START = np.random.default_rng(5).normal(0, 0.02, (64, 10)).astype("float32"), np.array([-1] + 9 * [0], "float32")
START[0][0] = 100  # of a pixel that is always 0: only a decay of the weights can change these


def trained(training, validation, epochs, start=START, factor=1):
    """Has the student's function train a linear classifier of factor * images, with gradients known in closed form.

    Returns:
        Its weights (64, 10) and biases (10,), and the lists loss and val_loss.
    """
    def run(start, training, validation, epochs, factor):
        layers = [keras.layers.Rescaling(factor), keras.layers.Flatten(), keras.layers.Dense(10)]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        model.set_weights(start)
        history = train(model, training, validation, epochs)
        return *model.get_weights(), *([float(value) for value in history[key]] for key in ("loss", "val_loss"))

    *after, loss, val_loss = probe(step_by_step, run, list(start), training, validation, epochs, factor)
    if len(loss) != epochs or len(val_loss) != epochs:
        fail(f"{epochs} epochs were asked for, the history has {len(loss)} losses and {len(val_loss)} validation losses.")
    return after, loss, val_loss


def same_weights(some, others):
    return all(np.mean(np.abs(a - b) < 2e-5) > 0.99 for a, b in zip(some, others, strict=True))


@cache
def one_batch():
    """32 images to train on, and the same to validate, all labelled 0: their loss can only rise."""
    x, y = digits_without_zero(32)
    return (x, y), (x, np.zeros_like(y))


@cache
def four_steps():
    """Steps on a network of 10 * images, between which the gradient changes: Adam's decays matter."""
    return trained(*one_batch(), 4, factor=10)


def adams_four_steps():
    x, y = one_batch()[0]
    return adam(*START, [(10 * x, y)] * 4)


@cache
def one_epoch():
    """An epoch on 65 images, half of which are classified well and half badly, and so in validation.

    Each image is one bright pixel, taken for one of the classes 1 to 9, in rising order, and for class 0 with the same
    probability in all.

    Returns:
        (x, y), and the network's weights before and after; the list loss, and what should be in it; likewise val_loss.
    """
    start = 4 * np.eye(64, 10, dtype="float32"), np.zeros(10, "float32")
    seen_as = 1 + np.arange(65) * 9 // 65
    x = np.eye(64, dtype="float32")[seen_as].reshape(65, 8, 8, 1)
    badly = np.arange(65) % 2
    y, opposite = (np.where(chosen, 1 + seen_as % 9, seen_as) for chosen in (badly, 1 - badly))
    after, loss, val_loss = trained((x, y), (x, opposite), 1, start)
    means = [cross_entropy(logits_of(*weights, x), labels) for weights, labels in ((start, y), (after, opposite))]
    return (x, y), start, after, (loss[0], means[0]), (val_loss[0], means[1])


@check(points=2, hint="SparseCategoricalCrossentropy has to know that it gets logits.")
def minimises_cross_entropy():
    """Training moves the weights down the gradient of the cross-entropy of logits, and "loss" is that cross-entropy."""
    (x, y), _ = one_batch()
    after, loss, _ = four_steps()
    slope, _ = gradients(*START, 10 * x, y)
    steep = np.abs(slope) > 0.2 * np.abs(slope).max()
    downhill = np.sign(START[0] - after[0]) == np.sign(slope)
    if np.mean(downhill[steep]) < 0.95:
        fail("Over a few steps, many weights moved the other way than down the gradient of the cross-entropy.")
    # The loss may be measured during the epoch or after it.
    highest, lowest = (cross_entropy(logits_of(*weights, 10 * x), y) for weights in (START, after))
    if not all(0.999 * lowest <= value <= 1.001 * highest for value in loss):
        fail('The numbers under "loss" are not the cross-entropy of the logits on the training data.')
    reported, mean = one_epoch()[3]
    if not math.isclose(reported, mean, rel_tol=0.15):
        fail('"loss" is not the mean over all images: the last batch may be smaller than the others.')


@check(points=1, hint="Adam with learning rate 3e-3, shuffled batches of 32, every epoch once. How many steps are that, and how far does each go?")
def trains_by_the_recipe():
    """Adam takes one step of 3e-3 per shuffled batch of 32, for as many epochs as were asked for."""
    (x, y), start, after, *_ = one_epoch()
    # Class 0 never occurs, so its bias has the same gradient in each batch: Adam moves it by the learning rate.
    steps = (start[1][0] - after[1][0]) / 3e-3
    if not 2.8 < steps < 3.1:
        fail(f"An epoch of 65 images is three steps; the network moved as far as in {steps:.1f} steps of 3e-3.")
    if same_weights(after, adam(*start, [(x[:32], y[:32]), (x[32:64], y[32:64]), (x[64:], y[64:])])):
        fail("The batches were cut in the order of the data: shuffle the training data.")
    if not same_weights(four_steps()[0], adams_four_steps()):
        fail("Four epochs of 32 images do not end where four steps of Adam (learning rate 3e-3, Keras' defaults otherwise) lead.")


@check(points=1, hint="fit learns from its first two arguments only. Is the validation data among them?")
def keeps_validation_apart():
    """The validation data does not influence the weights, and val_loss is the cross-entropy there."""
    batch, (x, y) = one_batch()
    after, _, val_loss = four_steps()
    if not same_weights(after, adams_four_steps()):  # perhaps only the recipe is another one
        other, _, _ = trained(batch, batch, 4, factor=10)
        if not same_weights(after, other):
            fail("Trained twice on the same data, with other validation data, the network has other weights.")
    if not math.isclose(val_loss[-1], cross_entropy(logits_of(*after, 10 * x), y), rel_tol=1e-3):
        fail("The last val_loss is not the cross-entropy of the trained network's logits on the validation data.")
    if min(np.diff(val_loss)) <= 0:
        fail("The list under val_loss does not follow the epochs: on this validation data it has to rise.")
    reported, mean = one_epoch()[4]
    if not math.isclose(reported, mean, rel_tol=1e-3):
        fail("val_loss is not the mean over all images: the last batch may be smaller than the others.")


@check(points=1, hint="Compare the position of the largest logit with the label that was passed in, for all images.")
def measures_accuracy():
    """accuracy() is the share of right answers on the data passed in, for an uncompiled model, too."""
    def run(weights, images, labels):
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        model.set_weights(weights)
        return float(accuracy(model, images, labels)), model.get_weights(), model.compiled

    weights = [np.eye(64, 10, dtype="float32"), np.zeros(10, "float32")]  # the logits are the first ten pixels
    images = np.random.normal(0, 1, (45, 8, 8, 1)).astype("float32")
    *_, second, best = images.reshape(45, 64)[:, :10].argsort(1).T
    right = np.random.default_rng(1).random(45) < 0.3
    share, after, compiled = probe(step_by_step, run, weights, images, np.where(right, best, second))
    if compiled or not all(np.array_equal(a, b) for a, b in zip(weights, after, strict=True)):
        fail("accuracy() compiled the model or changed its weights; it should only measure.")
    if share > 1.5:
        fail("The accuracy is a share from 0 to 1, not a percentage.")
    if not math.isclose(share, right.mean(), abs_tol=1e-4):
        fail("The number is not the share of images whose largest logit belongs to the label passed in.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn?
#
# Train your network and look at both curves. The validation loss is the one that counts; where
# it stops falling while the training loss goes on, as around epoch 10 here, the network has begun to memorise. That
# is the subject of chapter 2. The test set is used once, at the very end.

# %% tags=["demo", "raises-exception"]
keras.utils.set_random_seed(0)
training, validation, test = split_digits(digits.images, digits.target, seed=0)
cnn = build_cnn()
history = train(cnn, training, validation, epochs=8)
fig, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1.2, 1))
axes[0].plot(range(1, 9), history["loss"], label="training")
axes[0].plot(range(1, 9), history["val_loss"], label="validation")
axes[0].set(xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log", title="Loss")
axes[0].legend()
predicted = cnn.predict(test[0], verbose=0).argmax(1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (test[1], predicted), 1)
mistakes = np.ma.masked_array(confusion, np.eye(10, dtype=bool))
axes[1].imshow(mistakes, cmap="Oranges", vmin=0, vmax=6)
for row, column in zip(*np.nonzero(confusion), strict=True):
    axes[1].text(column, row, confusion[row, column], ha="center", va="center", fontsize=8, color="0.5" if row == column else "black")
axes[1].set(xticks=range(10), yticks=range(10), xlabel="predicted", ylabel="true", title="Test digits: right (grey), confused")
axes[1].grid(False)
plt.show()
print(f"test accuracy: {accuracy(cnn, *test):.2f}   on shuffled labels: {accuracy(cnn, test[0], np.random.default_rng(0).permutation(test[1])):.1f}")

# %% [markdown]
# The second number is a check worth making in every project: on labels that have been shuffled, an honest
# evaluation falls to chance, here one in ten. If it does not, the evaluation is broken.

# %% [markdown]
# ## 1.8 A GAN, repaired
#
# Lists of "large models" often name GANs, next to BERT and GPT. That mixes two kinds of things. A **generative adversarial
# network** is a way to *train*: one network makes samples, another one judges them. Both can have any size. Those of this
# section have fewer than 30,000 parameters, as printed at its end; GigaGAN (Kang et al., *Scaling up GANs for Text-to-Image Synthesis*,
# arXiv:2303.05511) has a billion.
#
# The listings that come with such lists often look like this one:
#
# ```python
# def gan():
#     layers = keras.layers
#     model = keras.Sequential([
#         layers.Dense(7 * 7 * 64, input_shape=(100,)), layers.BatchNormalization(), layers.LeakyReLU(),
#         layers.Reshape((7, 7, 64)),
#         layers.Conv2DTranspose(64, 5, strides=1, padding="same"), layers.BatchNormalization(), layers.LeakyReLU(),
#         layers.Conv2DTranspose(32, 5, strides=2, padding="same"), layers.BatchNormalization(), layers.LeakyReLU(),
#         layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh"),
#     ])
#     assert model.output_shape == (None, 128, 128, 1)
#     return model
#
# picture = gan()(keras.random.normal((1, 100)))
# ```
#
# Before you read on, make a list: which line raises an error, and what is missing once that line is gone?
#
# <details><summary>Compare your list</summary>
#
# | what | why it matters |
# |---|---|
# | The assertion fails. | The strides 1, 2, 2 take 7 to 7, 14 and 28. And no number of doublings takes 7 to 128, because 128/7 is not a power of two. |
# | There is no GAN. | One network, no opponent, no loss, no training step. The picture is what random weights make of random numbers. |
# | It is called without `training=`. | Batch normalisation then uses its moving averages, and never updates them. See below. |
# | `tanh` at the end. | Its values lie between −1 and 1. That is right for images scaled to that range, and wrong for images in $[0, 1]$: one negative pixel gives a fake away. |
# | `LeakyReLU()` | DCGAN, which such listings follow, has ReLU in the generator and leaky ReLU with slope 0.2 in the discriminator (Radford, Metz and Chintala, *Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*, arXiv:1511.06434). And Keras' *layer* has 0.3 by default; Keras' *function* `keras.activations.leaky_relu` has 0.2. |
# | Kernel 5 with stride 2. | Neighbouring pixels get unequal shares: a checkerboard. See below. |
# | `input_shape=` on a layer. | Keras 3 warns; `keras.Input` is the way. |
# </details>
#
# ### Sizes
#
# A generator begins with a small square of features and enlarges it. A **transposed convolution** with stride 2 and `same`
# padding doubles the side, so $k$ of them lead from a start $s$ to $s \cdot 2^k$. The start has to fit the size that is wanted:
# 28 is $7 \cdot 2^2$, and 128 is $4 \cdot 2^5$ or $8 \cdot 2^4$.
#
# The kernel has to fit as well. Each input pixel paints a square as wide as the kernel onto the output, two pixels further each time.
# If the stride divides the kernel's width, all output pixels away from the border get equally many coats of paint. If it does not,
# neighbours differ, and pictures come out with a checkerboard (Odena, Dumoulin and Olah, *Deconvolution and Checkerboard Artifacts*,
# Distill, 2016). So: stride 2, kernel 4.

# %% tags=["demo"]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), width_ratios=(1.25, 1))
wanted = [8, 28, 128]
for row, start in enumerate((4, 5, 6, 7)):
    sides = [start * 2**k for k in range(7) if start * 2**k <= 256]
    axes[0].plot(sides, [row] * len(sides), "o-", color="0.75", ms=5, lw=1.2, zorder=1)
    for side in sides:
        if side in wanted:
            axes[0].plot(side, row, "o", color="C0", ms=8)
        axes[0].annotate(str(side), (side, row), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8.5, color="C0" if side in wanted else "0.4")
for side in wanted:
    axes[0].axvline(side, color="C0", ls=":", lw=1, zorder=0)
for label in axes[0].texts:
    label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
axes[0].set_xscale("log", base=2)
axes[0].set_xticks(wanted, labels=[str(side) for side in wanted])
axes[0].set_yticks(range(4), labels=["4", "5", "6", "7"])
axes[0].set(ylim=(-0.4, 3.6), xlim=(3.4, 300), xlabel="side of the image (pixels)", ylabel="side of the start", title="Where doublings lead")
axes[0].grid(False)
for place, (kernel, colour) in enumerate({3: "C1", 5: "C5", 4: "C0"}.items()):
    coats = F.conv_transpose1d(torch.ones(1, 1, 9), torch.ones(1, 1, kernel), stride=2)[0, 0]
    inner = coats[kernel : 2 * 9 - kernel]
    axes[1].plot(range(len(inner)), inner, "o-" if kernel == 4 else "o--", ms=4, color=colour, label=f"kernel {kernel}")
axes[1].set(ylim=(0, 3.4), xlabel="output pixel, away from the border", ylabel="contributions", title="Stride 2: coats of paint per pixel")
axes[1].legend(ncols=3, loc="lower center")
plt.show()

# %% [markdown]
# ### Two networks, one game
#
# The **generator** $G$ turns noise $z \sim \mathcal N(0, I)$ into an image. The **discriminator** maps an image to a logit $\ell(x)$, and
# $D(x) = \sigma(\ell(x))$ with the sigmoid $\sigma$ is its probability that $x$ is real. It learns to tell the two apart, and the
# generator learns to prevent that (Goodfellow et al., *Generative Adversarial Networks*, arXiv:1406.2661, equation 1):
#
# $$\min_G \max_D \; \mathbb E_x \log D(x) + \mathbb E_z \log\big(1 - D(G(z))\big).$$
#
# The discriminator's loss is this with the opposite sign. With $\mathrm{softplus}(t) = \log(1 + e^t)$, one has
# $-\log\sigma(\ell) = \mathrm{softplus}(-\ell)$ and $-\log(1 - \sigma(\ell)) = \mathrm{softplus}(\ell)$, so in terms of logits
#
# $$L_D = \underbrace{\mathbb E_x\, \mathrm{softplus}(-\ell(x))}_{\text{real: label 1}} + \underbrace{\mathbb E_z\, \mathrm{softplus}(\ell(G(z)))}_{\text{made: label 0}}.$$
#
# If real and generated images have densities $p$ and $q$, the best discriminator is $D^* = p / (p + q)$ (their proposition 1). Once
# $q = p$, it can only guess: $D = \frac12$, and the loss is $\log 2$ for each half, $2 \log 2$ in all. **A falling
# loss is not the aim here.** Where one of the two losses goes to zero, the game is lost for the other side.
#
# ### A gradient when it is needed most
#
# Early on, a discriminator that has learnt a little recognises the generator's noise: $\ell(G(z)) \ll 0$. In the formula above, the generator would minimise
# $\log(1 - D) = -\mathrm{softplus}(\ell)$, whose derivative with respect to the logit is $-\sigma(\ell) = -D$. It vanishes just when the
# generator has everything to learn. The same paper's remedy (section 3): minimise
#
# $$L_G = -\mathbb E_z \log D(G(z)) = \mathbb E_z\,\mathrm{softplus}(-\ell(G(z))), \qquad \frac{\partial}{\partial \ell}\,\mathrm{softplus}(-\ell) = -(1 - D).$$
#
# Both fall as the logit rises, but this one's derivative is close to −1 while the generator is bad. It is called the
# **non-saturating** loss, and it is the one that you will write.

# %% tags=["demo"]
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.1))
points = np.linspace(-4, 5, 300)
p, q = (np.exp(-((points - centre) ** 2) / 2 / width**2) / width / math.sqrt(2 * math.pi) for centre, width in ((0, 1.0), (1.8, 0.8)))
axes[0].fill_between(points, p, color="C0", alpha=0.35, label="real: $p$")
axes[0].fill_between(points, q, color="C1", alpha=0.45, label="generated: $q$")
axes[0].plot(points, p / (p + q), color="black", label="$D^* = p/(p+q)$")
axes[0].axhline(0.5, color="0.5", ls=":", lw=1)
axes[0].set(title="The best discriminator", xlabel="$x$", ylabel="density; probability", ylim=(0, 1.45))
axes[0].legend(fontsize=8.5, loc="upper right")
logits = np.linspace(-8, 8, 200)
d = 1 / (1 + np.exp(-logits))
axes[1].plot(logits, np.log1p(-d), color="C1", ls="--", label="minimax: $\\log(1 - D)$")
axes[1].plot(logits, -np.log(d), color="C0", label="non-saturating: $-\\log D$")
axes[1].set(title="The generator's loss", xlabel="logit of a generated image", ylabel="nats", ylim=(-9, 13))
axes[1].legend(fontsize=8.5, loc="upper right")
axes[2].plot(logits, d, color="C1", ls="--")
axes[2].plot(logits, 1 - d, color="C0")
axes[2].annotate("$1 - D$", (-6, 0.93), color="C0", va="top")
axes[2].annotate("$D$", (-6, 0.05), color="C1")
axes[2].set(title="How strongly it pulls", xlabel="logit of a generated image", ylabel="|derivative|", ylim=(-0.03, 1.05))
plt.show()

# %% [markdown]
# ### One network, two modes
#
# Batch normalisation subtracts a mean and divides by a standard deviation, per channel. Which ones depends on the mode. Called
# with `training=True`, it takes those of the batch at hand, and moves its moving averages a little towards them. With
# `training=False`, the default in a plain call, it uses the moving averages and leaves them alone; each image then depends on its own
# noise only. So: `training=True` in the training step, `training=False` to look at pictures.
#
# ### Exercise 1.8 · The GAN, repaired
#
# > **Difficulty** ★★★☆ · **40 minutes** · **12 points** · Keras 3 on TensorFlow
#
# **Write** six functions: the arithmetic of sizes, the two networks, their two losses, and one training step.
#
# With `start, doublings = upsampling_plan(size)`, the **generator** for images of `size` × `size` pixels with values from 0 to 1 is
#
# 1. a dense layer with `start * start * width` outputs, reshaped to `(start, start, width)`; batch normalisation; ReLU
# 2. `doublings` times: a transposed convolution with `width` filters of 4 × 4, stride 2, `same` padding; batch normalisation; ReLU
# 3. a convolution with one filter of 3 × 3, `same` padding, and a sigmoid.
#
# The **discriminator** goes the other way, without batch normalisation (with it, what is said about one image would depend on the
# others in its batch):
#
# 1. `doublings` times: a convolution with `width` filters of 4 × 4, stride 2, `same` padding; leaky ReLU with slope 0.2
# 2. flatten, then a dense layer with one output: a **logit**.
#
# The **training step** has two halves, in this order:
#
# 1. *Discriminator.* Draw noise, make as many images from it as there are real ones, compute $L_D$, and update the
#    discriminator with its optimizer.
# 2. *Generator.* Draw **new** noise, compute $L_G$ with the discriminator as it is **now**, and update the generator with its optimizer.
#
# All calls are with `training=True`. The step has to work inside `tf.function`, too, which the demonstration below uses to make it fast.
#
# <details><summary>Hint 1: the start</summary>
#
# Walk backwards from the size: halve it as long as it is even and the half is at least 4.
# </details>
#
# <details><summary>Hint 2: losses of large logits</summary>
#
# `log(sigmoid(-200))` is the logarithm of 0 in `float32`. TensorFlow and Keras have a `softplus` that is exact for any argument (`tf.nn.softplus`,
# `keras.ops.softplus`), and `keras.losses.BinaryCrossentropy` takes labels and, if you tell it so, logits.
# </details>
#
# <details><summary>Hint 3: a step of one network only</summary>
#
# ```python
# with tf.GradientTape() as tape:
#     loss = ...  # may use both networks
# gradients = tape.gradient(loss, one_network.trainable_variables)
# optimizer.apply(gradients, one_network.trainable_variables)
# ```
#
# Which variables move is decided by the list, not by the loss. Do you need a second tape? Ask which discriminator $L_G$ is to see. (Moving averages of
# batch normalisation are no trainable variables: they follow whenever a network is called with `training=True`.)
# </details>
#
# <details><summary>Hint 4: noise that stays fresh</summary>
#
# `tf.function` runs your Python code once, to record TensorFlow's operations, and replays those. Numbers from `np.random` are drawn while it
# records, and then never again. `tf.random.normal` and `keras.random.normal` (without a seed) are recorded as operations.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_gan", "locked": true, "schema_version": 3, "solution": false, "task": false}
import tensorflow as tf


# %% nbgrader={"grade": false, "grade_id": "gan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def upsampling_plan(size: int) -> tuple[int, int]:
    """How a generator reaches a size by doublings.

    Args:
        size: at least 4.

    Returns:
        (start, doublings), two whole numbers: the smallest start that is at least 4 and satisfies
        start * 2**doublings == size. It may be the size itself, with no doubling at all.

    >>> upsampling_plan(28), upsampling_plan(128), upsampling_plan(30)
    ((7, 2), (4, 5), (15, 1))
    """
    ### BEGIN SOLUTION
    start, doublings = size, 0
    while start % 2 == 0 and start // 2 >= 4:
        start, doublings = start // 2, doublings + 1
    return start, doublings
    ### END SOLUTION


def build_generator(size: int, latent: int = 16, width: int = 32) -> keras.Model:
    """The generator described above: (m, latent) noise to (m, size, size, 1) images.

    Batch normalisation has Keras' defaults and follows the `training` argument of the call. The
    initial weights are up to you, and so is whether layers in front of a batch normalisation have a
    bias.
    """
    ### BEGIN SOLUTION
    start, doublings = upsampling_plan(size)
    layers = [
        keras.Input((latent,)),
        keras.layers.Dense(start * start * width),
        keras.layers.Reshape((start, start, width)),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    for _ in range(doublings):
        layers += [
            keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    layers.append(keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    return keras.Sequential(layers)
    ### END SOLUTION


def build_discriminator(size: int, width: int = 32) -> keras.Model:
    """The discriminator described above: (m, size, size, 1) images to (m, 1) logits."""
    ### BEGIN SOLUTION
    _, doublings = upsampling_plan(size)
    layers = [keras.Input((size, size, 1))]
    for _ in range(doublings):
        layers += [
            keras.layers.Conv2D(width, 4, strides=2, padding="same"),
            keras.layers.LeakyReLU(negative_slope=0.2),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(1)])
    ### END SOLUTION


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The mean of -log D over the real images plus the mean of -log(1 - D) over the generated ones.

    If D(x) = 1/2 everywhere, this is 2 log 2. Value and gradient are right for logits of any
    size, 10,000 included.

    Args:
        real_logits: (m, 1), float32.
        fake_logits: (n, 1), float32; n need not be m.

    Returns:
        A tensor without axes.
    """
    ### BEGIN SOLUTION
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))
    ### END SOLUTION


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """The non-saturating loss: the mean of -log D over the generated images; otherwise as above."""
    ### BEGIN SOLUTION
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))
    ### END SOLUTION


def gan_step(
    generator: keras.Model,
    discriminator: keras.Model,
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    images: tf.Tensor,
    latent: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of the discriminator, then one of the generator, as described above.

    Each half updates the trainable variables of its own network. Those of the other network, and
    frozen ones, keep their values. All noise is standard normal, and drawn anew in each half of
    each call, inside `tf.function`, too.

    Args:
        generator: any network from (m, latent) noise to images.
        discriminator: any network from images to (m, 1) logits.
        generator_optimizer, discriminator_optimizer: one for each network.
        images: m real images, float32, for any m.
        latent: width of the noise.

    Returns:
        The losses that the two halves minimised, (L_D, L_G), each computed before the update of
        its half: two tensors without axes.
    """
    ### BEGIN SOLUTION
    shape = (images.shape[0], latent)
    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal(shape), training=True)
        loss_d = discriminator_loss(discriminator(images, training=True), discriminator(fakes, training=True))
    variables = discriminator.trainable_variables
    discriminator_optimizer.apply(tape.gradient(loss_d, variables), variables)

    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal(shape), training=True)
        loss_g = generator_loss(discriminator(fakes, training=True))
    variables = generator.trainable_variables
    generator_optimizer.apply(tape.gradient(loss_g, variables), variables)
    return loss_d, loss_g
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_gan", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=1, hint="Halve the size while it is even and the half is at least 4; as many stride-2 layers as halvings lead back.")
def reaches_the_sizes():
    """The plans for 8, 28 and 128 pixels are right; the generator makes images of 28 pixels a side, with values from 0 to 1."""
    for size, plan in {8: (4, 1), 28: (7, 2), 128: (4, 5)}.items():
        found = upsampling_plan(size)
        assert tuple(found) == plan, f"upsampling_plan({size}) is {tuple(found)} instead of {plan}"

    def run(noise):
        return np.asarray(build_generator(28, latent=5, width=3)(noise))

    images = probe(run, 100 * np.random.normal(size=(4, 5)).astype("float32"))
    assert images.shape == (4, 28, 28, 1), f"images of shape {images.shape} instead of {(4, 28, 28, 1)}"
    lowest, highest = images.min(), images.max()
    assert lowest >= 0 and highest <= 1, f"pixels from {lowest:.3g} to {highest:.3g} instead of from 0 to 1"


@check(points=1, hint="A logit of 0 is a probability of 1/2. Means, not sums, over the images; the two means are added.")
def loses_log_two_when_guessing():
    """A discriminator that guesses, D(x) = 1/2, has loss 2 log 2, and the generator loss log 2."""
    guesses = tf.zeros((6, 1))
    found = float(discriminator_loss(guesses, guesses))
    assert math.isclose(found, 2 * math.log(2), rel_tol=1e-5), f"the discriminator's loss is {found:.4f} instead of 2 log 2 = 1.3863"
    found = float(generator_loss(guesses))
    assert math.isclose(found, math.log(2), rel_tol=1e-5), f"the generator's loss is {found:.4f} instead of log 2 = 0.6931"


@check(points=1, hint="Two halves, each with a tape of its own: the discriminator's loss first, then the generator's. optimizer.apply(gradients, variables) takes the step.")
def a_step_moves_both_networks():
    """A step returns the two losses and changes the variables of both networks."""
    def run(images):
        generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Reshape((2, 2, 1))])
        discriminator = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
        before = [network.get_weights() for network in (generator, discriminator)]
        losses = gan_step(generator, discriminator, keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), tf.constant(images), 3)
        after = [network.get_weights() for network in (generator, discriminator)]
        moved = [all(not np.array_equal(a, b) for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
        return [np.array(loss) for loss in losses], moved

    losses, moved = probe(run, np.random.uniform(0, 1, (5, 2, 2, 1)).astype("float32"))
    assert len(losses) == 2, f"{len(losses)} losses instead of two, (L_D, L_G)"
    for name, loss in zip(("L_D", "L_G"), losses, strict=True):
        assert loss.shape == () and loss > 0, f"{name} is {loss} instead of a single positive number"
    for name, has_moved in zip(("generator", "discriminator"), moved, strict=True):
        assert has_moved, f"after a step with learning rate 0.1, some weights of the {name} are as they were"


### BEGIN HIDDEN TESTS
from functools import cache


def brute_force_plan(size):
    """All ways to write the size, and of those the one with the smallest start."""
    return min((size // 2**k, k) for k in range(10) if size % 2**k == 0 and size // 2**k >= 4)


def drawn(name, shape):
    """Values for a variable. Equal names and shapes get equal values, so the order of layers is nobody's concern."""
    values = np.random.default_rng([len(name), *shape]).normal(0, 1, shape)
    if name == "kernel":
        values *= 2 / math.sqrt(math.prod(shape[:-1]))
    if name == "gamma":
        values = 1 + values / 4
    if name == "moving_variance":
        values = np.exp(values / 2)
    return values.astype("float32")


def with_drawn_weights(network, inputs):
    """Gives the network weights that both sides know, and lists them."""
    network(inputs)  # a network that was written as a class makes its weights now
    for variable in network.variables:
        if "seed" not in variable.name:
            variable.assign(drawn(variable.name, tuple(variable.shape)))
    return [(variable.name, tuple(variable.shape)) for variable in network.variables if "seed" not in variable.name]


def networks_of_size(sizes, latent, width):
    """Shapes of the outputs, and of the kernels, of both networks for each size."""
    def run(sizes, latent, width):
        found = []
        for size in sizes:
            for network, shape in ((build_generator(size, latent, width), (2, latent)), (build_discriminator(size, width), (2, size, size, 1))):
                outputs = network(np.zeros(shape, "float32"))
                found.append((tuple(outputs.shape), [tuple(v.shape) for v in network.variables if len(v.shape) > 1]))
        return found

    return probe(run, sizes, latent, width)


@check(points=1, hint="The start is the smallest number from 4 on, and may be odd. Both networks have as many stride-2 layers as the plan has doublings.")
def plans_every_size():
    """For every size from 4 on, the start is the smallest possible; both networks follow the plan."""
    sizes = list(range(4, 401))

    def run(sizes):
        return [tuple(upsampling_plan(size)) for size in sizes]

    for size, plan in zip(sizes, probe(run, sizes), strict=True):
        if len(plan) != 2 or plan[0] * 2 ** plan[1] != size:
            fail("For some size, start * 2**doublings is not the size.")
        if plan[0] < 4:
            fail("For some size, the start is smaller than 4.")
        if plan != brute_force_plan(size):
            fail("For some size, a smaller start of at least 4 would do.")
    sizes, latent, width = [5, 96], 3, 2
    found = networks_of_size(sizes, latent, width)
    for size, (images, made), (logits, judged) in zip(sizes, found[::2], found[1::2], strict=True):
        start, doublings = brute_force_plan(size)
        if images != (2, size, size, 1) or logits != (2, 1):
            fail("For some size, the generator's images or the discriminator's logits have the wrong shape.")
        if (latent, start * start * width) not in made or sum(len(shape) == 4 for shape in made) != doublings + 1:
            fail("For some size, the generator does not begin with the plan's start, or has not one layer per doubling (and one more at the end).")
        channels = width if doublings else 1
        if (start * start * channels, 1) not in judged or sum(len(shape) == 4 for shape in judged) != doublings:
            fail("For some size, the discriminator does not come down to the plan's start, with one convolution per doubling.")


def listed_value(listed, name, *shape):
    """The value of that variable, zeros where the network has none: a bias may be left out."""
    values = drawn(name, shape) if (name, shape) in listed else np.zeros(shape)
    return torch.tensor(values, dtype=torch.float64)


def images_by_torch(noise, size, width, listed, training):
    """What the list of layers makes of the noise, and the batch's means in front of the first batch normalisation."""
    value = lambda name, *shape: listed_value(listed, name, *shape)
    doublings = 2 if size == 20 else 1
    start, latent = size // 2**doublings, noise.shape[1]

    def normalised(hidden):
        statistics = [value(name, width) for name in ("moving_mean", "moving_variance", "gamma", "beta")]
        return F.batch_norm(hidden, *statistics, training=training, eps=1e-3).relu()

    hidden = torch.tensor(noise, dtype=torch.float64) @ value("kernel", latent, start * start * width) + value("bias", start * start * width)
    hidden = hidden.reshape(-1, start, start, width).permute(0, 3, 1, 2)
    means = hidden.mean((0, 2, 3)).numpy()
    hidden = normalised(hidden)
    for _ in range(doublings):
        kernel = value("kernel", 4, 4, width, width).permute(3, 2, 0, 1)
        hidden = normalised(F.conv_transpose2d(hidden, kernel, value("bias", width), stride=2, padding=1))
    hidden = F.conv2d(hidden, value("kernel", 3, 3, width, 1).permute(3, 2, 0, 1), value("bias", 1), padding=1)
    return hidden.sigmoid().permute(0, 2, 3, 1).numpy(), means


@cache
def generated():
    """Images of 20 x 20 pixels in both modes, made with known weights, and what became of the variables.

    Returns:
        noise, listed variables, and a dict of results.
    """
    noise = np.random.normal(0, 1, (6, 5)).astype("float32")

    def run(noise, size, width):
        network = build_generator(size, noise.shape[1], width)
        listed = with_drawn_weights(network, noise)
        values = lambda: [np.array(variable) for variable in network.variables]
        before = values()
        results = {"alone": np.array(network(noise[:2], training=False)), "looking": np.array(network(noise, training=False))}
        results["untold"] = np.array(network(noise))
        results["kept"] = all(np.array_equal(a, b) for a, b in zip(before, values(), strict=True))
        results["training"] = np.array(network(noise, training=True))
        moved = [(variable.name, np.array(variable)) for variable in network.variables if variable.name.startswith("moving")]
        return listed, results, moved

    return noise, *probe(run, noise, 20, 3)


@check(points=1, hint="Compare generator.summary() with the list, layer by layer: kernels, strides, padding, activations.")
def generator_follows_the_list():
    """The generator computes what the list of layers says, up to the sigmoid at the end."""
    noise, listed, results, _ = generated()
    kernels = sorted(shape for _, shape in listed if len(shape) > 1)
    if kernels != sorted([(5, 75), (4, 4, 3, 3), (4, 4, 3, 3), (3, 3, 3, 1)]):
        fail("For 20 pixels a side, the shapes of the generator's kernels are not those of the list.")
    images = results["looking"]
    if images.min() < 0 or images.max() > 1:
        fail("There are pixels outside the range from 0 to 1.")
    truth, _ = images_by_torch(noise, 20, 3, listed, training=False)
    if not np.allclose(images, truth, atol=1e-4):
        fail("With the same weights, the layers on the list make other images: compare order, strides, padding and activations.")


@check(points=1, hint="Give training= at the call of the network, not inside it. One batch normalisation after the reshape, one after each transposed convolution.")
def batch_norm_obeys_the_flag():
    """Batch normalisation uses the batch with training=True, and its moving averages otherwise."""
    noise, listed, results, moved = generated()
    gammas = [shape for name, shape in listed if name == "gamma"]
    if gammas != [(3,)] * 3:
        fail("For 20 pixels a side and 3 channels, there should be three batch normalisations over 3 channels each.")
    if not np.allclose(results["alone"], results["looking"][:2], atol=1e-5):
        fail("With training=False, an image depends on the other noise in its batch.")
    if not results["kept"]:
        fail("A call with training=False changed the network's variables.")
    if not np.allclose(results["looking"], results["untold"], atol=1e-5):
        fail("Called without training=, the network does not behave as with training=False.")
    if np.allclose(results["looking"], results["training"], atol=1e-3):
        fail("With training=True, the network makes the same images as with training=False.")
    truth, means = images_by_torch(noise, 20, 3, listed, training=True)
    if np.allclose(results["looking"], images_by_torch(noise, 20, 3, listed, training=False)[0], atol=1e-4) and not np.allclose(results["training"], truth, atol=1e-4):
        fail("With training=True, the images are not those of a normalisation by the batch's own means and variances.")
    expected = 0.99 * drawn("moving_mean", (3,)) + 0.01 * means
    if not any(name == "moving_mean" and np.allclose(value, expected, atol=1e-5) for name, value in moved):
        fail("A call with training=True did not move the moving averages by one per cent (Keras' default) towards the batch's.")


@check(points=1, hint="The slope of Keras' LeakyReLU layer is not 0.2 by default. The last layer has one output and no activation.")
def discriminator_ends_in_a_logit():
    """The discriminator computes what the list of layers says, and its output is a logit."""
    images = np.random.uniform(0, 1, (6, 20, 20, 1)).astype("float32")

    def run(images, width):
        network = build_discriminator(images.shape[1], width)
        listed = with_drawn_weights(network, images)
        return listed, np.array(network(images)), np.array(network(images, training=True)), np.array(network(images[:1]))

    listed, logits, in_training, alone = probe(run, images, 3)
    if logits.shape != (6, 1):
        fail("The discriminator's outputs do not have shape (m, 1).")
    kernels = sorted(shape for _, shape in listed if len(shape) > 1)
    if kernels != sorted([(4, 4, 1, 3), (4, 4, 3, 3), (75, 1)]):
        fail("For 20 pixels a side, the shapes of the discriminator's kernels are not those of the list.")
    if not (np.allclose(logits, in_training, atol=1e-5) and np.allclose(logits[:1], alone, atol=1e-5)):
        fail("What the discriminator says about an image depends on the mode or on the other images: there is a dropout or normalisation layer.")
    hidden = torch.tensor(images, dtype=torch.float64).permute(0, 3, 1, 2)
    for channels in (1, 3):
        kernel = listed_value(listed, "kernel", 4, 4, channels, 3).permute(3, 2, 0, 1)
        hidden = F.leaky_relu(F.conv2d(hidden, kernel, listed_value(listed, "bias", 3), stride=2, padding=1), 0.2)
    flat = hidden.permute(0, 2, 3, 1).flatten(1)
    truth = (flat @ listed_value(listed, "kernel", 75, 1) + listed_value(listed, "bias", 1)).numpy()
    if not np.allclose(logits, truth, atol=1e-4):
        if logits.min() >= 0 and logits.max() <= 1:
            fail("The outputs lie between 0 and 1: the network should end in a logit, without a sigmoid.")
        fail("With the same weights, the layers on the list give other logits: compare strides, padding, slope and the last layer.")


def losses_and_slopes(cases):
    """Both losses and their gradients, for pairs of real and fake logits."""
    def run(cases):
        found = []
        for pair in cases:
            real, fake = (tf.constant(logits) for logits in pair)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch([real, fake])
                losses = discriminator_loss(real, fake), generator_loss(fake)
            slopes = tape.gradient(losses[0], real), tape.gradient(losses[0], fake), tape.gradient(losses[1], fake)
            found.append(([np.array(loss) for loss in losses], [None if slope is None else np.array(slope) for slope in slopes]))
        return found

    return probe(run, cases)


@check(points=2, hint="Compute with logits throughout: a probability in float32 is exactly 0 or 1 long before the logits are large, and clipping it cuts the gradient.")
def losses_are_those_of_logits():
    """Losses and gradients agree with the formulas for unequal batches and for logits of any size."""
    softplus = lambda logits: np.logaddexp(0, np.float64(logits))
    sigmoid = lambda logits: np.exp(-np.logaddexp(0, -np.float64(logits)))
    column = lambda *logits: np.float32(logits)[:, None]
    normal = lambda m: np.random.normal(0, 2, (m, 1)).astype("float32")
    cases = {
        "logits of moderate size": [(normal(5), normal(8)), (normal(7), normal(2)), (normal(1), normal(1))],
        "a discriminator that is nearly sure": [(column(17, 20, 30), column(-17, -20)), (column(-17, -20), column(17, 20, 30))],
        "logits of hundreds or thousands": [(column(-200, -1e4), column(-1e4, 1)), (column(300, 1e4), column(150, 1e4)), (column(-1e4, 1e4), column(1e4, -150))],
    }
    for case, pairs in cases.items():
        for (real, fake), (losses, slopes) in zip(pairs, losses_and_slopes(pairs), strict=True):
            if any(loss.shape != () for loss in losses):
                fail("A loss is not a single number without axes.")
            truths = softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()
            for name, loss, truth in zip(("discriminator's", "generator's"), losses, truths, strict=True):
                if not math.isclose(loss, truth, rel_tol=1e-4, abs_tol=1e-12):
                    fail(f"The {name} loss is wrong for {case}" + ("." if len(real) == len(fake) else ", in batches of unequal size."))
            truths = -sigmoid(-real) / len(real), sigmoid(fake) / len(fake), -sigmoid(-fake) / len(fake)
            for name, slope, truth in zip(("discriminator's", "discriminator's", "generator's"), slopes, truths, strict=True):
                if slope is None or not np.allclose(slope, truth, rtol=1e-3, atol=1e-12):
                    fail(f"The {name} loss is right, its gradient is not, for {case}.")


def linear_pair(seed):
    """Weights of a generator that is linear up to a frozen layer, and of a discriminator likewise."""
    draw = lambda *shape: np.random.default_rng(seed).normal(0, 0.7, shape).astype("float32")
    return [draw(3, 3), draw(3, 4), draw(4)], [draw(4, 4), draw(4, 1), draw(1)]


def play(*games):
    """Has the student's step train two nearly linear networks, and reports all that happened.

    Args:
        games: each with the learning rates of the generator and the discriminator, by plain gradient descent, the number of
            steps, that of images m, and whether the step is compiled. All begin with the same weights.

    Returns:
        For each game images, (m, 4); weights of both networks before the first and after each step; per step the two
        losses and the noise that the generator got; the modes that each network was called in; and how often
        each optimizer was used.
    """
    def run(weights, games):
        noise, modes = [], ([], [])

        class Listener(keras.layers.Layer):
            def __init__(self, modes, heard=None):
                super().__init__()
                self.note = lambda training, inputs: (modes.append(training), heard and tf.numpy_function(heard, [inputs], []))

            def call(self, inputs, training=None):
                self.note(training, inputs)
                return tf.identity(inputs)

        dense = keras.layers.Dense
        networks = [
            keras.Sequential([keras.Input((3,)), Listener(modes[0], noise.append), dense(3, use_bias=False, trainable=False), dense(4), keras.layers.Reshape((2, 2, 1))]),
            keras.Sequential([keras.Input((2, 2, 1)), Listener(modes[1]), keras.layers.Flatten(), dense(4, use_bias=False, trainable=False), dense(1)]),
        ]

        def game(step, images, rates, steps):
            optimizers = [keras.optimizers.SGD(rate) for rate in rates]
            for network, given, optimizer, heard in zip(networks, weights, optimizers, modes, strict=True):
                network.set_weights(given)
                optimizer.build(network.trainable_variables)
                heard.clear()
            states, losses, noises = [weights], [], []
            for _ in range(steps):
                noise.clear()
                losses.append([np.array(loss) for loss in step(*networks, *optimizers, tf.constant(images), 3)])
                noises.append([np.array(z) for z in noise])
                states.append([network.get_weights() for network in networks])
            return states, losses, noises, [list(heard) for heard in modes], [int(optimizer.iterations) for optimizer in optimizers]

        def compiled(*arguments):
            try:
                return game(tf.function(gan_step, autograph=False), *arguments)  # the quickest
            except Exception:  # len(images), say, or an `if` on a tensor
                return game(tf.function(gan_step), *arguments)

        found = []
        for *arguments, compiling in games:
            tf.config.run_functions_eagerly(not compiling)
            try:
                found.append(compiled(*arguments) if compiling else game(gan_step, *arguments))
            finally:
                tf.config.run_functions_eagerly(False)
        return found

    played = [(np.random.uniform(0, 1, (m, 2, 2, 1)).astype("float32"), rates, steps, compiling) for rates, steps, m, compiling in games]
    found = probe(run, linear_pair(3), played)
    if any(len(noise) == 0 for _, _, noises, *_ in found for noise in noises):
        fail("In a training step, the generator was not asked for images.")
    return [(images.reshape(len(images), 4), *results) for (images, *_), results in zip(played, found, strict=True)]


def discriminator_by_hand(images, noise, states, rate):
    """Loss and weights after the first half, in closed form."""
    (frozen, kernel, bias), (features, slope, offset) = ([np.float64(value) for value in network] for network in states)
    parts = [images @ features, (noise @ frozen @ kernel + bias) @ features]
    loss, steps = 0, [0, 0]
    for inputs, label in zip(parts, (1, 0), strict=True):
        logits = inputs @ slope + offset
        loss += np.logaddexp(0, (1 - 2 * label) * logits).mean()
        error = (1 / (1 + np.exp(-logits)) - label) / len(inputs)
        steps = [steps[0] + inputs.T @ error, steps[1] + error.sum(0)]
    return loss, (slope - rate * steps[0], offset - rate * steps[1])


def generator_by_hand(noise, states, rate):
    """Loss and weights after the second half, in closed form."""
    (frozen, kernel, bias), (features, slope, offset) = ([np.float64(value) for value in network] for network in states)
    logits = (noise @ frozen @ kernel + bias) @ features @ slope + offset
    error = -1 / (1 + np.exp(logits)) / len(noise) @ (features @ slope).T
    return np.logaddexp(0, -logits).mean(), (kernel - rate * (noise @ frozen).T @ error, bias - rate * error.sum(0))


def all_close(found, truth):
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(found, truth, strict=True))


def all_equal(found, truth):
    return all(np.array_equal(a, b) for a, b in zip(found, truth, strict=True))


@check(points=1, hint="Real images have label 1, generated ones 0. tape.gradient takes the discriminator's trainable variables, and its optimizer applies the result.")
def discriminator_takes_its_step():
    """The first half moves the discriminator down the gradient of its loss, and nothing else."""
    [(images, states, losses, noise, _, used)] = play(((0.0, 0.5), 2, 6, False))
    for before, after, loss, seen in zip(states, states[1:], losses, noise, strict=False):
        truth, moved = discriminator_by_hand(images, seen[0], before, 0.5)
        if not all_equal(after[0], before[0]):
            fail("The generator's optimizer has learning rate 0, and the generator moved: another optimizer changes it.")
        if not all_equal(after[1][:1], before[1][:1]):
            fail("A frozen layer of the discriminator was changed: update its trainable variables only.")
        if all_equal(after[1], before[1]):
            fail("In some step, the discriminator did not move.")
        if not all_close(after[1][1:], moved):
            fail("The discriminator did not take one step down the gradient of its loss on the real images and as many generated ones.")
        if np.shape(loss[0]) != () or not math.isclose(loss[0], truth, rel_tol=1e-3):
            fail("The first number returned is not the discriminator's loss before its update.")
    if used[1] != 2:
        fail("The discriminator's optimizer should be used once in each step.")


@check(points=1, hint="The second half: new tape, loss through the updated discriminator, gradient for the generator's trainable variables, the generator's optimizer.")
def generator_takes_its_step():
    """The second half moves the generator down the gradient of its loss through the updated discriminator, and nothing else."""
    both_rates = (0.5, 0.0), (0.5, 4.0)
    for rates, (_, states, losses, noise, _, used) in zip(both_rates, play(*((rates, 2, 6, False) for rates in both_rates)), strict=True):
        for before, after, loss, seen in zip(states, states[1:], losses, noise, strict=False):
            if rates[1] == 0 and not all_equal(after[1], before[1]):
                fail("The discriminator's optimizer has learning rate 0, and the discriminator moved: another optimizer changes it.")
            if not all_equal(after[0][:1], before[0][:1]):
                fail("A frozen layer of the generator was changed: update its trainable variables only.")
            if all_equal(after[0], before[0]):
                fail("In some step, the generator did not move.")
            truth, moved = generator_by_hand(seen[-1], (before[0], after[1]), 0.5)
            if not all_close(after[0][1:], moved):
                if rates[1] and all_close(after[0][1:], generator_by_hand(seen[-1], before, 0.5)[1]):
                    fail("The generator's gradient was computed through the discriminator as it was before its update.")
                fail("The generator did not take one step down the gradient of its loss.")
            if np.shape(loss[1]) != () or not math.isclose(loss[1], truth, rel_tol=1e-3):
                fail("The second number returned is not the generator's loss before its update, with the updated discriminator.")
        if used[0] != 2:
            fail("The generator's optimizer should be used once in each step.")


@check(points=1, hint="Call the networks with training=True. Draw (m, latent) numbers in each half with tf.random.normal or keras.random.normal, without a seed.")
def trains_on_fresh_noise():
    """Each half draws new standard normal noise, in tf.function, too; all calls are in training mode."""
    (_, _, _, noise, modes, _), (_, _, _, compiled_noise, *_) = play(((0.1, 0.1), 2, 1000, False), ((0.1, 0.1), 2, 6, True))
    if not all(modes[0]) or not all(modes[1]):
        fail("A network was called without training=True.")
    if any(z.shape != (1000, 3) for seen in noise for z in seen):
        fail("The noise does not have shape (m, latent) with as many rows as there are real images.")
    for seen in (noise, compiled_noise):
        draws = [z for step in seen for z in step]
        where = "" if seen is noise else "Inside tf.function: "
        if any(len(step) < 2 for step in seen) or any(np.array_equal(step[0], step[-1]) for step in seen):
            fail(where + "Both halves of a step used the same noise.")
        if len({z.tobytes() for z in draws}) < len(draws):
            fail(where + "The same noise was used in several steps.")
    numbers = np.stack([z for seen in noise for z in (seen[0], seen[-1])])
    if len(np.unique(numbers)) < 0.99 * numbers.size:
        fail("Many numbers in the noise are equal: each image needs noise of its own, and each of its entries, too.")
    if abs(numbers.mean()) > 0.05 or abs(numbers.std() - 1) > 0.04 or abs(np.mean(np.abs(numbers) > 2) - 0.0455) > 0.01:
        fail("The noise is not standard normal: mean 0, standard deviation 1, and 4.6 per cent beyond two standard deviations.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn to draw?
#
# Your step, compiled, 600 times on the digits of 1.7. Both networks use Adam with $\beta_1 = 0.5$, as in DCGAN; the discriminator's rate is four times
# the generator's, so that it keeps up. The same twelve noise vectors are drawn after 0, 50, 150 and 600 steps.

# %% tags=["demo", "raises-exception"]
keras.utils.set_random_seed(0)
real_digits = (load_digits().images[..., None] / 16).astype("float32")
seen_digits, unseen_digits = real_digits[:1500], real_digits[1500:]
maker, opponent = build_generator(8), build_discriminator(8, width=64)
print(f"parameters: generator {maker.count_params():,}, discriminator {opponent.count_params():,}")
maker_optimizer, opponent_optimizer = (keras.optimizers.Adam(rate, beta_1=0.5) for rate in (2e-3, 8e-3))
compiled_step = tf.function(gan_step)
fixed_noise = keras.random.normal((300, 16))
order = np.random.default_rng(0)
gan_losses, snapshots = [], {}
with lesson.quiet():  # TensorFlow's compiler reports an optimisation that it could not make
    for count in range(601):
        if count in (0, 50, 150, 600):
            snapshots[count] = np.asarray(maker(fixed_noise, training=False))
        batch = tf.constant(seen_digits[order.integers(len(seen_digits), size=32)])
        gan_losses.append([float(loss) for loss in compiled_step(maker, opponent, maker_optimizer, opponent_optimizer, batch, 16)])


def nearest(images, others):
    """For each image, the distance to the nearest of the others, and which one that is."""
    gaps = images.reshape(len(images), 1, -1) - others.reshape(1, len(others), -1)
    distances = np.sqrt((gaps**2).sum(-1))
    return distances.min(1), distances.argmin(1)


final = snapshots[600]
rows = {f"step {count}": images for count, images in snapshots.items()}
rows["nearest real"] = seen_digits[nearest(final[:12], seen_digits)[1]]
fig, axes = plt.subplots(len(rows), 12, figsize=(9.5, 4.1))
for line, (label, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images, strict=False):
        ax.imshow(image[:, :, 0], cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
    line[0].set_ylabel(label, rotation=0, ha="right", va="center")
plt.show()

# %% tags=["demo", "raises-exception"]
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2))
smooth = np.stack([np.convolve(curve, np.ones(15) / 15, mode="valid") for curve in np.transpose(gan_losses)])
axes[0].plot(range(7, 7 + smooth.shape[1]), smooth[0] / 2, color="C0", label="discriminator, half of $L_D$")
axes[0].plot(range(7, 7 + smooth.shape[1]), smooth[1], color="C1", label="generator, $L_G$")
axes[0].axhline(math.log(2), color="0.4", ls=":", lw=1.2)
axes[0].text(600, math.log(2) - 0.15, "guessing: log 2", ha="right", va="top", fontsize=8.5, color="0.35")
axes[0].set(title="Losses, mean of 15 steps", xlabel="step", ylabel="nats", ylim=(0, None))
axes[0].legend(fontsize=8.5)
bins = np.linspace(0, 5, 41)
for label, images, colour in [("real, not seen in training", unseen_digits, "C2"), ("generated, step 600", final, "C0"), ("generated, step 0", snapshots[0], "C1")]:
    axes[1].hist(nearest(images, seen_digits)[0], bins, density=True, histtype="stepfilled", alpha=0.45, color=colour, label=label)
axes[1].set(title="How far from the nearest real digit?", xlabel="distance in the space of 64 pixels", ylabel="density")
axes[1].legend(fontsize=8.5)
plt.show()

# %% [markdown]
# The losses say little about the pictures: the discriminator's half stays near $\log 2$, where it can only guess, while the
# images improve all the time. What helps is looking at images from fixed noise, and asking how far they are from the data. If the generator
# copied training digits, the distances would be zero. They are not: generated digits are even *farther* from their nearest real neighbour than
# real digits that were not used. So it does not copy. Whether what is far away is new or just badly drawn, this distance cannot say; chapter 6 has
# measures for either.

# %% [markdown]
# ## 1.9 The rest of the map
#
# Eight exercises cannot cover everything that goes by the name of a large model. This section places what is left: how other
# kinds of data become sequences and grids, what data and hardware a model takes, and what rules apply. The frame is always
# the same. Ask **what goes in, what comes out, which loss compares the two, and who judges the result**.
#
# | task | in → out | usual model | loss | judged by |
# |---|---|---|---|---|
# | topic, sentiment | text → class | encoder (1.6), or a prompt to a decoder | cross-entropy | F1 per class on texts from a later month |
# | translation | text → text | encoder-decoder (1.2), or a decoder | cross-entropy per token | people; BLEU (Papineni et al., ACL 2002) as a cheap stand-in |
# | question answering | question, passage → span, or text | encoder with two pointers; decoder | cross-entropy of start and end; per token | exact match, and whether the source says so |
# | search | query, 10 million documents → ranking | two encoders, one vector each | contrastive | recall at 10, clicks |
# | customer service | conversation → reply | decoder with retrieval | cross-entropy per token, then preferences | resolved cases, complaints, cost per case |
# | image recognition | pixels → class | CNN (1.7), vision transformer | cross-entropy | error per class, also on other cameras |
# | detection | pixels → boxes with classes | YOLO, Faster R-CNN, DETR | class and box losses | average precision over overlaps |
# | face or plate recognition | two images → same or not | CNN or transformer to a vector | contrastive, margin | false accepts at a fixed rate of false rejects |
# | image generation | noise (and text) → pixels | diffusion model; GAN (1.8) | squared error of the noise; adversarial | people; distances between distributions |
# | speech recognition | waveform → text | encoder-decoder, or encoder with CTC | cross-entropy; CTC | word error rate, by accent and noise |
#
# In translation, BERT alone will not do: it fills gaps in a text that it sees whole, and has no decoder to write another text with.
# Question answering comes in two kinds. *Extractive* models point at the answer: the classifier of 1.6 with two outputs per token, one for the
# start and one for the end (Devlin et al., arXiv:1810.04805, section 4.2). *Generative* models write it, and may write what
# no source says; retrieving passages first and showing them to the model (Lewis et al., *Retrieval-Augmented
# Generation*, arXiv:2005.11401) makes answers checkable, since a reader can open the passage.

# %% [markdown]
# ### Vision: more than one label per image
#
# **Inception** (Szegedy et al., *Going Deeper with Convolutions*, arXiv:1409.4842) asks which kernel size a layer should have, and
# answers: several at once. A block runs $1\times1$, $3\times3$ and $5\times5$ convolutions side by side and concatenates their channels; cheap
# $1\times1$ convolutions first reduce the channels that the large kernels see. Its third version has fewer than 25 million parameters
# (arXiv:1512.00567).
#
# A **detector** says what is where. **Faster R-CNN** (Ren et al., arXiv:1506.01497) works in two stages: a small network slides over the feature map
# and proposes regions; a second head classifies each region and corrects its box. **YOLO** (Redmon et al., arXiv:1506.02640) needs
# one stage: the image is cut into a grid, and each cell predicts boxes and classes in a single pass. On the same
# GPU that made 45 images a second against 7, at a mean average precision of 63.4 against 73.2 (the YOLO paper, table 1).
#
# Both report an object several times, so both end in **non-maximum suppression**: take the box with the highest score, drop the boxes of its class that
# overlap it by more than a limit, often one half, repeat. Overlap is *intersection over union*, the shared area divided by the area that both cover together. DETR (Carion et
# al., arXiv:2005.12872) makes do without: a transformer decoder predicts a set of boxes, and in training a matching assigns each object to one of them.
#
# A **vision transformer** (Dosovitskiy et al., *An Image is Worth 16x16 Words*, arXiv:2010.11929) cuts the image into patches, projects each to a vector and treats
# these as tokens. It knows nothing of neighbourhoods beforehand, and does best where data is plentiful.

# %% tags=["demo"]
def overlap(a, b):
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return shared / (area(a) + area(b) - shared)


def suppress(boxes, scores, limit=0.5):
    """Indices of the boxes that non-maximum suppression keeps."""
    kept = []
    for index in np.argsort(scores)[::-1]:
        if all(overlap(boxes[index], boxes[other]) < limit for other in kept):
            kept.append(int(index))
    return kept


from sklearn.datasets import load_sample_image

flower = load_sample_image("flower.jpg")  # by danielbuechele, CC BY 2.0; comes with scikit-learn
rng = np.random.default_rng(1)
petals = np.array([180, 90, 448, 355])
boxes = np.vstack([petals + rng.normal(0, 14, (5, 4)), [[350, 330, 560, 425], [20, 240, 150, 380]]])
scores = np.array([0.94, 0.88, 0.81, 0.75, 0.66, 0.31, 0.24])
kept = suppress(boxes, scores)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.7))
axes[0].set_title("Vision transformer: patches as tokens")
for x in range(0, 640, 64):
    axes[0].axvline(x, color="white", lw=1)
for y in range(0, 427, 64):
    axes[0].axhline(y, color="white", lw=1)
for ax, chosen, title in [(axes[1], range(len(boxes)), f"A detector's {len(boxes)} boxes"), (axes[2], kept, f"{len(kept)} remain after suppression")]:
    ax.set_title(title)
    for index in chosen:
        left, top, right, bottom = boxes[index]
        ax.add_patch(plt.Rectangle((left, top), right - left, bottom - top, fill=False, lw=1.6, color="white" if scores[index] > 0.5 else "C4"))
        if chosen is kept:
            ax.text(left + 4, top + 6, f"{scores[index]:.2f}", color="black", fontsize=8, va="top", bbox=dict(facecolor="white", edgecolor="none", pad=1))
for ax in axes:
    ax.imshow(flower)
    ax.axis("off")
plt.show()

# %% [markdown]
# Suppression removes *duplicates*, not *mistakes*: two boxes with low scores are still there. A threshold on the score decides about those, and with it
# how many objects are missed. Chapter 6 is about such trade-offs.
#
# ### Speech: a picture of sound
#
# A second of speech, sampled at 16 kHz, is 16,000 numbers, too many for tokens. A **spectrogram** cuts the wave into short overlapping windows and measures how much of
# each frequency is in each: a picture with time on one axis. Whisper (Radford et al., *Robust Speech Recognition via Large-Scale Weak
# Supervision*, arXiv:2212.04356) takes windows of 25 ms every 10 ms, so 30 seconds are 3,000 columns; a convolution with stride two
# halves them to 1,500 positions of an encoder-decoder transformer, the one of exercise 1.2. Its 680,000 hours of training
# data are transcripts found on the web. An alternative without a decoder is CTC (Graves et al., ICML 2006): the
# encoder emits a letter or a blank per frame, and the loss sums over all alignments.

# %% tags=["demo"]
rate = 16_000
seconds = np.arange(int(1.5 * rate)) / rate
rise = np.sin(2 * np.pi * (300 * seconds + 500 * seconds**2)) * (seconds < 0.7)
vowel = sum(np.sin(2 * np.pi * 140 * k * seconds) / k for k in range(1, 12)) * (seconds > 0.8)
wave = 0.8 * rise + 0.5 * vowel + 0.02 * np.random.default_rng(0).normal(size=len(seconds))
fig, axes = plt.subplots(1, 2, figsize=(9, 2.7))
axes[0].plot(seconds, wave, lw=0.3)
axes[0].set(xlabel="time (s)", ylabel="amplitude", title=f"{len(wave):,} samples")
power, *_ = axes[1].specgram(wave, NFFT=400, Fs=rate, noverlap=240, cmap="magma", vmin=-120)
axes[1].set(xlabel="time (s)", ylabel="frequency (Hz)", ylim=(0, 3000), title=f"{power.shape[1]} windows of 25 ms, one every 10 ms")
axes[1].grid(False)
plt.show()

# %% [markdown]
# The first sound is a whistle that rises, one line; the second has the harmonics of a voice, many lines. What was a fine oscillation on the left is a shape on the right, and
# shapes are what convolutions and patches are good at.
#
# ### Choosing an architecture
#
# | if | then start with | because |
# |---|---|---|
# | few hundred labels, text | a pretrained encoder, fine-tuned; a linear model on its vectors as a baseline | pretraining brings what the labels cannot teach |
# | text has to be written | a pretrained decoder | it predicts the next token, which is the task |
# | input and output are different sequences, and the input is known in full before writing | an encoder-decoder | the encoder sees the whole input in both directions |
# | images, small data or small device | a CNN | its built-in locality saves data; quantises well |
# | images, large pretraining set | a vision transformer | fewer built-in assumptions, more to learn from |
# | long streams, a fixed memory, one step at a time | a recurrent or state-space model | constant memory per step; attention's cache grows |
# | a table of a few thousand rows | gradient boosting (chapter 2) | no large model at all |
#
# Latency, memory and the cost of a mistake come before the leaderboard. A model of ten million parameters that answers in 20 ms on the
# phone beats one of ten billion that needs a connection, if the task is reading a meter.

# %% [markdown]
# ### Data
#
# What a model learns, it learns from its data. Most of the work is throwing data away. For GPT-3, 45 TB of compressed
# text from Common Crawl were filtered down to 570 GB (Brown et al., arXiv:2005.14165, section 2.2). The usual steps:
#
# 1. **Extract** text from pages; find its language.
# 2. **Deduplicate.** Copies waste compute and are memorised; without them models emit memorised text ten times less often
#    (Lee et al., *Deduplicating Training Data Makes Language Models Better*, arXiv:2107.06499, abstract).
# 3. **Filter** by quality, and remove personal data. What stays can come out again: Carlini et al. (*Extracting Training Data from Large Language Models*,
#    arXiv:2012.07805) got names, phone numbers and e-mail addresses out of GPT-2.
# 4. **Decontaminate**: take out the test sets on which the model will be judged.
# 5. **Mix** sources, and decide how often each is seen.
#
# More devices that send more telemetry do not help a language model: it needs text that is worth predicting. The public stock of that is finite. Villalobos
# et al. (*Will we run out of data?*, arXiv:2211.04325) expect that models will be trained on about all of it between 2026 and 2032.
#
# ### Hardware and time
#
# Training is bound by matrix products, so it runs on chips that are made of multipliers: GPUs and TPUs. A CPU feeds them. How long does it take?
# Operations, divided by what the machines really do:
#
# $$\text{days} = \frac{C}{86{,}400 \cdot n_\text{GPU} \cdot \text{peak} \cdot \text{utilisation}}$$
#
# The figure uses your calculator from 1.1 and an H100, whose peak for dense products in 16 bits is 989 TFLOP/s (NVIDIA's data sheet), at a utilisation of 40 %.

# %% tags=["demo", "raises-exception"]
gpus = np.logspace(0, 4.3, 50)
sizes = {
    "GPT-2 small, 10 B tokens": (GPT2_SMALL, 10e9, 1024),
    "Llama 3 8B, 15 T tokens": (LLAMA3_8B, 15e12, 8192),
}
fig, ax = plt.subplots(figsize=(7.5, 3.4))
for name, (config, tokens, length) in sizes.items():
    hours = gpu_hours(training_flops(config, int(tokens), length), peak=989e12, utilisation=0.4)
    ax.plot(gpus, hours / 24 / gpus, label=name)
hours = gpu_hours(3.8e25, peak=989e12, utilisation=0.4)  # FLOPs as reported in arXiv:2407.21783
ax.plot(gpus, hours / 24 / gpus, label="Llama 3.1 405B")
for days, name in [(1, "a day"), (30, "a month"), (365, "a year")]:
    ax.axhline(days, color="0.6", lw=1, ls=":")
    ax.text(1.15, days * 1.15, name, fontsize=8.5, color="0.35")
ax.set(xscale="log", yscale="log", xlabel="number of GPUs", ylabel="days", ylim=(0.05, 2e6),
       title="Time to train, if adding GPUs cost nothing in utilisation")
ax.legend(loc="upper right", fontsize=8.5)
plt.show()

# %% [markdown]
# On one machine, hours to days is right for GPT-2 small, and wrong by orders of magnitude for the others. The straight lines are optimistic: utilisation
# falls as GPUs are added, and beyond a certain batch size more of them do not reduce the number of steps (chapter 4).
#
# ### What is hard, and where this course takes it up
#
# | challenge | why | chapter |
# |---|---|---|
# | compute | a run costs as much as it says in 1.1, and the first one is rarely the last | 3, 4 |
# | data | rights, quality, and an end of the supply | 2, 3 |
# | memorising instead of learning | small data, many passes | 2 |
# | settings | each trial is expensive | 5 |
# | judging | one number such as accuracy says little about a text | 6 |
# | attacks and privacy | inputs can be hostile, outputs can leak | 7 |
# | explaining | medicine and finance have to give reasons | 8 |
#
# ### Open weights, open source, and the law
#
# A model whose weights can be downloaded is **open-weight**. Whether it is **open source** is another question: the Open Source AI Definition 1.0 of the Open
# Source Initiative (2024) also asks for the code, for detailed information about the training data, and for the freedom to use the model for any purpose. Many
# well-known licences fail that: read yours before you build on it.
#
# In the European Union, Regulation (EU) 2024/1689, the AI Act, obliges providers of general-purpose models to document them, to respect copyright and to publish a summary
# of the training content (article 53; these duties apply since 2 August 2025, article 113). A model trained with more than $10^{25}$ FLOPs is presumed to have systemic risk (article 51), which adds evaluations,
# incident reports and security (article 55). You can check that yourself: Llama 3.1 405B, at $3.8 \times 10^{25}$, is above the line; Llama 3 8B, at $6ND \approx 7 \times 10^{23}$, is
# not. In China, the Interim Measures for the Management of Generative AI Services (in force since 15 August 2023) ask for training data from lawful sources
# and for consent where it contains personal information (article 7). What applies to a product depends on what it is used for and where; ask a lawyer, and bring numbers.

# %% [markdown] nbgrader={"grade": false, "grade_id": "claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W1.1 Six claims about large models
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences can be found in interview guides. None of them is right as it stands. Choose **six**. For
# each, write two or three sentences: what is wrong, what is true instead, and **a number or a source**
# that shows it. Each claim is worth two points, one for the correction and one for the evidence. Your calculator and the
# figures above supply some of the numbers; for the others, the further reading below names the papers.
#
# 1. "Large models have higher compute efficiency."
# 2. "A model generalises better because it has more parameters."
# 3. "Large models overfit more easily than small ones."
# 4. "The number of parameters of a large model can easily be adjusted to the task."
# 5. "Training a large model takes hours to days."
# 6. "A large model is one with more than a billion parameters."
# 7. "Inception, YOLO and GANs are examples of large models."
# 8. "A transformer is a sequence-to-sequence model made of self-attention."
# 9. "Transformers are well suited to very long texts."
# 10. "Convolutional networks can hardly process sequences."
# 11. "GPT is bad at tasks that depend on word order."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim, six claims, 12 points in all. For each claim: 1 point for a correct statement of what is wrong and what
# holds instead, 1 point for evidence: a number that supports it, with its unit, or a source that says it.
# No evidence point for a number that is off by more than a factor of three. A seventh claim is not marked.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, compute efficiency.** A larger dense model costs *more* per token: training takes about $6N$ FLOPs a token, so ten times the
# parameters cost ten times the compute. What improves is *sample* efficiency: larger language models reach a given loss
# after fewer tokens (Kaplan et al., arXiv:2001.08361).
#
# **2, generalisation from parameters.** Parameters alone do not generalise. At a fixed budget, $N$ and $D$ should grow together: Chinchilla
# (70B, 1.4T tokens) beats the four times larger Gopher (280B, 300B tokens) at about the same training compute (Hoffmann et al.,
# arXiv:2203.15556). And networks with enough parameters fit random labels perfectly (Zhang et al., arXiv:1611.03530).
#
# **3, overfitting.** Not in general. Test error can fall again beyond the point where training data is fitted exactly
# (double descent: Belkin et al., arXiv:1812.11118). The claim holds for fine-tuning on small data and for many passes over the same data.
#
# **4, adjusting the size.** Another size means another training run, or distilling or pruning the model and training it further. By
# the calculator, Llama 3 8B has 8.03 billion parameters; halving its layers leaves a model that has to be trained again.
#
# **5, hours to days.** BERT-base took 4 days on 4 Cloud TPUs (arXiv:1810.04805). Llama 3.1 405B took 30.84 million H100-hours (model
# card); on its up to 16,384 GPUs that is at least 78 days.
#
# **6, a billion.** There is no threshold. BERT-large had 340 million parameters and was large in 2018. The word stands for broad
# pretraining and adaptation to many tasks.
#
# **7, examples.** Inception-v3 has about 24 million parameters; YOLO is a detector of the same order; neither is pretrained for many tasks. A GAN is a way of
# training two networks against each other and can have any size.
#
# **8, definition.** The original transformer is an encoder-decoder with self-attention, cross-attention, positions, feed-forward networks,
# residual connections and norms (arXiv:1706.03762). BERT is an encoder alone, GPT a decoder alone; neither is sequence-to-sequence. In Llama 3 8B,
# 70 % of the parameters are in feed-forward networks.
#
# **9, long texts.** Attention compares all pairs: twice the length costs four times the operations in $QK^\top$ and $AV$. The KV cache of Llama 3 8B
# takes 1 GiB per 8,192 tokens, so 16 GiB at 131,072. Context is bounded by what the model was trained on.
#
# **10, convolutions.** Causal dilated convolutions beat recurrent networks on many sequence benchmarks (Bai et al., arXiv:1803.01271). With
# kernel 2 and dilations 1, 2, 4, …, ten layers see 1,024 steps.
#
# **11, word order.** GPT is a causal decoder with positions: it models order by construction, each token given those before it. Its limits are
# elsewhere: no context from the right, and errors that add up over long exact computations.
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": false, "grade_id": "scenarios", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W1.2 Three scenarios
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **12 points** · in writing, marked by a person
#
# Choose a model for each of these. Say which family and about which size, how it gets trained or adapted, and **what you give up**. Support the choice with a number that
# you computed from the sizes, with the assumptions that it needs: memory, operations, time or cost. One number per scenario is enough. Five to eight sentences each.
#
# 1. **A meter-reading app.** Photographs of water meters, cropped to the counter of five digits; 20,000 of them with the reading. It runs on a mid-range phone without a connection, at most 50 ms
#    per image; assume 5 GFLOP/s that you really get, and 10 MB for the weights.
# 2. **Medical letters.** 500 letters, each with any of eight diagnoses or none. They must not leave the hospital, which has one GPU with 24 GB. A missed diagnosis costs far more than a false alarm.
# 3. **A support desk.** Customers ask about 10 million documents that change daily. Answers have to name their source and begin within two seconds.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Four points per scenario: 1 the choice fits task and constraints; 1 a computed number with its unit supports it; 1 what is given up is named (a cost, a failure, an alternative that was rejected and why);
# 1 how success is judged, on data that is like the real ones (other meters and phones; later letters, recall at a fixed rate of false alarms; new documents, whether the source says what the answer says).
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "scenarios_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** A small CNN, trained from scratch on the 20,000 photographs with shifts, blur and brightness as augmentation, but no flips. 50 ms at 5 GFLOP/s are 0.25 GFLOPs in all. A convolution with $3 \times 3$ kernels
# from $c$ to $c$ channels on an $h \times w$ map takes $2 \cdot 9 c^2 h w$ operations: at 32 channels on $32 \times 128$ that is 0.075 GFLOPs, so there is room for three such layers, or more if the map is halved
# early. Some hundred thousand parameters at 8 bits are far below 10 MB. Given up: reading meters of an unknown make; a vision transformer would need pretraining and more operations. Judged by the share of meters that are read
# without any error, on makes and phones that are not in the training data, with a threshold below which the app asks for another photograph.
#
# **2.** A pretrained encoder of about 110 million parameters, fine-tuned inside the hospital. By the calculator's rule, training takes 16 bytes per parameter, 1.8 GB, plus activations: it fits. With 500 letters the variance is
# large, so: a linear model on TF-IDF as the baseline, cross-validation by patient, and few epochs. The loss or the threshold is weighted so that recall is fixed first, and the rate of false alarms reported at that recall. Given up: a decoder of
# 8 billion parameters would know more medicine, but in 16 bits its weights alone take 16 GB of the 24, and full fine-tuning would take 128 GB. Judged on letters of later months, by recall per diagnosis with an interval; with 60 cases
# per class the interval is wide, which the report must say.
#
# **3.** Retrieval and a decoder of about 8 billion parameters. Two encoders map questions and passages to vectors; 10 million documents at 768 numbers of 16 bits are 15 GB, which fits in memory. The index is updated daily; the model is
# not, which is the point: training cannot follow documents that change daily. The best five passages are put into the prompt. 3,000 tokens of prompt at $2N$ operations each are $4.8 \times 10^{13}$, so about 0.1 s at
# 400 TFLOP/s: the first word comes in time. Given up: questions whose answer is spread over many documents; and errors of the retrieval cannot be repaired by the model. Judged by recall of the right passage among five,
# by people who check whether the cited passage supports the answer, and by how often the system rightly says that it does not know.
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": false, "grade_id": "due_diligence", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W1.3 Due diligence
#
# > **Difficulty** ★★★☆ · **40 minutes** · **12 points** · in writing, marked by a person
#
# A fund asks you whether it should invest in *Lumen*, a fictional start-up. This is its plan:
#
# > We will pretrain our own model of 70 billion parameters on 2 trillion tokens, in sequences of 8,192. With 256 H100 this takes **six weeks**; at 2.50 dollars per GPU-hour the compute is **under one million dollars**. Our data are
# > web pages and messages of 40 million smart-home devices, so supply grows with 5G. Quantised to 4 bits, the model has **a quarter of the parameters**. We will serve **10,000 users at once**, each with a
# > context of 32,768 tokens, on 16 GPUs with 80 GB each. Our moat: nobody else has an open-source model as a basis, as we do with Llama. As we only sell in Europe by API, no regulation applies before 2030.
#
# The shape is `LUMEN` in the cell below: Llama 3 70B's, with its own vocabulary. **Write a memo of about one page.** Check the budget with your calculator from 1.1 (the code cell is for that; it is not marked), at 40 % utilisation of 989 TFLOP/s. Say
# which claims are wrong and by what factor, what you would ask for before investing, and your advice. Team, data rights, market and what keeps competitors away belong in it, too.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Four criteria, 3 points each. *Claims correct*: training time, cost and memory checked, each off by the right factor; parameters do not shrink with bits. *Quantitative evidence*: numbers with units that follow from the calculator, assumptions stated.
# *Trade-offs named*: fewer tokens or a smaller model or more GPUs; shorter contexts, fewer users or quantised caches; fine-tuning an open-weight model instead. *Limits stated*: what the numbers leave out (failed runs, experiments,
# staff, evaluation), data rights and consent of device owners, telemetry is not language, licence conditions of the basis, obligations under the AI Act that hold already.
# ### END MARK SCHEME

# %% nbgrader={"grade": false, "grade_id": "lumen", "locked": true, "schema_version": 3, "solution": false, "task": false}
LUMEN = DecoderConfig(vocab_size=64_000, d_model=8192, n_layers=80, n_heads=64, n_kv_heads=8, d_ff=28_672)

# %% nbgrader={"grade": false, "grade_id": "plan_numbers", "locked": false, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
training = training_flops(LUMEN, tokens=2_000_000_000_000, length=8192)
hours = gpu_hours(training, peak=989e12, utilisation=0.4)
cache = kv_cache_bytes(LUMEN, batch=1, length=32_768)
print(f"parameters                 {parameter_count(LUMEN) / 1e9:.1f} billion")
print(f"training                   {training:.1e} FLOPs, {hours:,.0f} GPU-hours, {hours / 256 / 24:.0f} days on 256 GPUs, {hours * 2.5 / 1e6:.1f} million dollars")
print(f"weights in 16, 4 bits      {weight_bytes(LUMEN) / 1e9:.0f}, {weight_bytes(LUMEN, bits=4) / 1e9:.0f} GB")
print(f"cache of one user          {cache / 1e9:.1f} GB; of 10,000 users {cache * 10_000 / 1e12:.0f} TB; 16 GPUs have {16 * 80 / 1000:.2f} TB")
### END SOLUTION

# %% [markdown] nbgrader={"grade": true, "grade_id": "due_diligence_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Advice.** Do not invest in this plan; a plan that adapts an open-weight model and serves shorter contexts could be worth a second look.
#
# **Training.** The cell above gives $9.6 \times 10^{23}$ operations, 15 % over $6ND$ because attention is counted, too. At 40 % of the peak this is 109 days on 256 GPUs, not six weeks: off by a factor of 2.6. At 2.50 dollars
# the single, clean run costs 1.7 million dollars, not under one, and no run is clean: restarts, failed attempts, smaller experiments and the evaluation are not in the plan. Six weeks would take about 670 GPUs, or 0.77 trillion tokens.
# 2 trillion tokens are 29 per parameter, reasonable for training, but a model that is served a lot is better off smaller and trained longer.
#
# **Serving.** Quantising leaves the number of parameters as it is and takes the weights from 139 to 35 GB. The cache is the obstacle: 10.7 GB per user, 107 TB for 10,000 of them, against 1.28 TB in all 16 GPUs: off by more than eighty times, before
# any weights. With caches in 8 bits and contexts of 4,096 tokens, a user takes 0.67 GB, and the 16 GPUs hold some 1,800. Not all users write at once, so ask for the real rate of requests.
#
# **Data.** 40 million devices do not yield language: readings and commands are short and repetitive, and "grows with 5G" is about bytes. Messages are personal data; consent and purpose have to be shown. Web pages are what everybody has. Ask for
# the number of tokens after deduplication, and for the licences.
#
# **Moat and licence.** An own model and "we have Llama" exclude each other. Open weights are available to every competitor, and their licence is not an open-source one; read it. What could keep others away are the devices, contracts and evaluation on
# the customers' tasks.
#
# **Regulation.** The AI Act applies to providers who place models on the EU's market, by API, too; the duties of providers of general-purpose models (article 53) apply since August 2025. At $9.6 \times 10^{23}$ FLOPs the model is below the
# $10^{25}$ of article 51. Data protection law applies to the messages whatever the model.
#
# **Ask for.** A run at one hundredth of the scale with its loss curve; names of those who have trained at this scale; rights to the data; a customer who pays. **Limits of this memo:** utilisation of 40 % is good practice, not known here; prices move; nothing was
# measured on their system.
# ### END SOLUTION

# %% [markdown]
# ## What you can do now
#
# - State what a transformer of any shape costs in parameters, bytes, FLOPs and hours, and say which terms $6ND$ leaves out.
# - Assemble an encoder-decoder from its parts, shift its targets, mask its padding, and tell a model that translates from one that copies.
# - Write attention that handles masks, queries that may look at nothing, large scores and heads, and say what goes wrong without each precaution.
# - Judge a language model against the entropy of its source, and recognise a leak by a loss that is too good.
# - Compare recurrence, convolution and attention by operations, path length and receptive field.
# - Repair a text classifier, an image classifier and a GAN, and read a training script for what is missing: scaling, splits, masks,
#   logits, modes, an honest measurement.
# - Place a task on the map, choose a model for it, and check a business plan with a calculator.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_concepts", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook.
#
# 1. What makes a model "large", and why is the number of parameters not enough of an answer?
# 2. Where does the six in $6ND$ come from, and when is it wrong?
# 3. Why divide by $\sqrt{d_k}$ in attention, and what would dividing by $d_k$ do?
# 4. What exactly does a mask do, and what is wrong with multiplying the weights by it after the softmax?
# 5. Your language model has a validation loss of 0.1 nats per token on text whose entropy is about 2. What now?
# 6. BERT, GPT, T5: which would you take for sentiment, for chat, for translation, and why?
# 7. When is a recurrent network or a convolution the better choice than attention?
# 8. Training accuracy stays at 17 %, the loss says `from_logits=False`, and the model ends in `Dense(10)`. You mend it and read 99 %. What do you check?
# 9. The discriminator's loss of a GAN goes to zero. Is that good?
# 10. A model of 8 billion parameters is to serve 200 users with 32,768 tokens of context each. What limits you, and what are the options?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. There is no threshold. What is meant is broad self-supervised pretraining and adaptation to many tasks. Parameters say nothing about the data: a model of 70 billion parameters with 1.4 trillion tokens beat one of 280 billion with 300 billion tokens
#    (arXiv:2203.15556).
# 2. Two FLOPs per matrix weight and token in the forward pass, twice that in the backward pass. It leaves out attention's products, which dominate beyond $T \approx 6d$ per block, and counts embeddings, which multiply nothing.
# 3. Scores of independent unit-variance entries have standard deviation $\sqrt{d_k}$; unscaled, the softmax saturates and its gradient vanishes. Dividing by $d_k$ drives scores to zero: uniform weights.
# 4. It takes scores out before the softmax, so that the rest sums to one. Afterwards rows sum to less than one, and the forbidden scores still shrink the others.
# 5. A loss below the entropy is a leak: missing causal mask, unshifted target, or validation text seen in training. Test by changing future tokens and watching earlier logits.
# 6. An encoder for sentiment (sees both sides, one vector); a decoder for chat (writes left to right); an encoder-decoder for translation (reads all of the source, then writes). A large decoder does all three at a higher cost.
# 7. Streaming with constant memory and one step at a time: recurrence. Local structure, little data, small devices: convolution. Attention costs $O(T^2)$ and its cache grows with $T$.
# 8. `Dense(10)` ends in logits, the loss expects probabilities: clipped and normalised nonsense, so set `from_logits=True`. And 99 % on training data says nothing: ask for validation data, split by source.
# 9. No. It tells real from generated without error; with the minimax loss the generator's gradient vanishes, with the non-saturating one it is large but may chase. At the equilibrium the discriminator is undecided: $\ln 2$ per sample.
# 10. The cache: for Llama 3 8B, 131,072 bytes per token, so 4.3 GB per user and 860 GB in all, against 16 GB of weights. Fewer key-value heads, caches in 8 bits, shorter or shared contexts, paging, more cards.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# What is said, what is true, and where it was shown: the table stands in the solved notebook, because it answers W1.1.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Large models compute more efficiently." | They cost more per token, about $6N$ FLOPs in training; they need fewer tokens to reach a loss (arXiv:2001.08361). | 1.1, W1.1 |
# | "More parameters generalise better." | Parameters and data have to grow together. | 1.0, W1.1 |
# | "Large models overfit more easily." | Not in general: double descent. It can be true of small data that is seen many times. | W1.1, chapter 2 |
# | "The size can easily be adjusted." | Another size is another training run, or distillation, or pruning and more training. | W1.1 |
# | "Training takes hours to days." | For small models. Llama 3.1 405B took 30.84 million GPU-hours (model card): at least 78 days on its up to 16,384 GPUs. | 1.9, W1.1 |
# | "Large means more than a billion." | There is no threshold. | 1.0, W1.1 |
# | "Inception, YOLO, GANs are large models." | Vision networks of moderate size, and a way of training. | 1.0, 1.8, 1.9 |
# | "A transformer is seq2seq self-attention." | It also has cross-attention, positions, feed-forward layers, residuals and norms; BERT is an encoder, GPT a decoder. | 1.2 |
# | "Transformers suit very long texts." | Attention's operations grow with the square of the length, the cache with the length. | 1.5, W1.1 |
# | "Convolutions can hardly process sequences." | Causal dilated stacks compete with recurrent networks, and see as far as you build them. | 1.5 |
# | "GPT is bad at word order." | It models order by construction: each token given those before it. | 1.4, W1.1 |
# | "More heads, more parameters." | Heads cut the same matrices into strips. Only the ratio of key-value heads to heads changes the count. | 1.1 |
# | "Quantising reduces the number of parameters." | It reduces the bits of each. | 1.1, W1.3 |
# | "A mask sets weights to zero." | It takes scores out before the softmax. | 1.3 |
# | "It runs without an error, so it is right." | A loss that takes logits for probabilities runs, and so does a split with leaks. | 1.2, 1.6, 1.7 |
# | "The Transformer library." | The library is called *Transformers*, by Hugging Face; a transformer is an architecture. | 1.6 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Vaswani et al., *Attention Is All You Need*, arXiv:1706.03762.
# - Kaplan et al., *Scaling Laws for Neural Language Models*, arXiv:2001.08361.
# - Hoffmann et al., *Training Compute-Optimal Large Language Models*, arXiv:2203.15556.
# - Rajbhandari et al., *ZeRO: Memory Optimizations Toward Training Trillion Parameter Models*, arXiv:1910.02054.
# - Ainslie et al., *GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints*, arXiv:2305.13245.
# - Zhang et al., *Understanding deep learning requires rethinking generalization*, arXiv:1611.03530; Belkin et al., *Reconciling modern
#   machine-learning practice and the classical bias-variance trade-off*, arXiv:1812.11118: on parameters and overfitting.
# - Bai et al., *An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling*, arXiv:1803.01271.
# - Devlin et al., *BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, arXiv:1810.04805, and Llama Team, *The Llama 3
#   Herd of Models*, arXiv:2407.21783: what training took.
# - Goodfellow et al., *Generative Adversarial Networks*, arXiv:1406.2661; Radford et al., *Unsupervised Representation Learning with Deep Convolutional
#   Generative Adversarial Networks*, arXiv:1511.06434.
# - Dao et al., *FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness*, arXiv:2205.14135.
