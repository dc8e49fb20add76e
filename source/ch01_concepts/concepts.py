# ---
# jupyter:
#   autograder:
#     cell_seconds: 25
#     check_seconds: 60
#     float64: [attention]
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
# will work out what a model costs before anyone trains it, write the attention layer that almost
# all of them are built from, and repair a broken image classifier of the kind that circulates in
# tutorials.
#
# | exercise | you will | framework | difficulty | time |
# |---|---|---|---|---|
# | [1.1](#1.1-What-does-a-model-cost?) | compute parameters, memory, FLOPs and GPU-hours from a list of sizes | Python | ★★☆☆ | 40 min |
# | [1.3](#1.3-Attention) | write multi-head attention with masks from matrix products alone | PyTorch | ★★★☆ | 40 min |
# | [1.7](#1.7-A-convolutional-network,-repaired) | find what is wrong with a Keras classifier, and make it learn | Keras | ★☆☆☆ | 30 min |
# | [W1.1](#W1.1-Six-claims-about-large-models) | correct claims about large models, with numbers | in writing | ★★☆☆ | 40 min |
#
# You need Python, a little PyTorch and matrix multiplication. Nothing is downloaded: data is
# generated here or comes with scikit-learn. Numbers follow the full syllabus; exercises 1.2,
# 1.4 to 1.6 and 1.8 are still to come.
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
# PaLM lie well below that line; they were larger than their data could fill. Llama 3 8B lies far above
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
# networks with some ten to some hundred million parameters, each trained for one kind of task:
# important, but not large models in the sense above.

# %% [markdown]
# ## 1.1 What does a model cost?
#
# Somebody proposes to train a model of a given shape. Is that a weekend on one card or a
# power station? Four things can be computed from the list of sizes alone, before a line of the
# model is written: parameters, memory, operations and time.
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
    """Bytes of the keys and values of `batch` sequences of `length` tokens; whole bytes will do, too.

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
    """Three GPT-2-like, three Llama-like and one StarCoder2-like shape, drawn anew for each seed."""
    rng = np.random.default_rng(np.random.randint(2**31))
    configs = []
    for number in range(7):
        heads = int(rng.choice([4, 6, 8]))
        width = heads * 2 * int(rng.integers(3, 9))
        sizes = dict(
            vocab_size=int(rng.integers(50, 400)), d_model=width, n_layers=int(rng.integers(1, 4)),
            n_heads=heads, d_ff=int(rng.integers(20, 300)), tied=number % 2 == 0,
        )
        if number < 3:
            configs.append(DecoderConfig(**sizes, n_kv_heads=heads, n_positions=int(rng.integers(30, 90)), bias=True, gated=False, layer_norm=True))
        elif number < 6:
            configs.append(DecoderConfig(**sizes, n_kv_heads=heads if number == 3 else heads // 2, bias=number == 4))
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
    """The parameter count agrees with seven models built in Hugging Face Transformers."""
    for model in measured_models():
        config = model.config
        compare("The count", config, parameter_count(config), model.parameters)
        plain, gated = (parameter_count(replace(config, gated=gated)) for gated in (False, True))
        if gated - plain != config.n_layers * config.d_ff * (config.d_model + config.bias):
            fail("A gated feed-forward network has one more matrix (and bias) than a plain one, whatever the norms are.")


@check(points=1, hint="A linear layer costs 2 FLOPs per weight and token. Are attention's two products in it, and the output layer?")
def forward_flops_are_counted():
    """The forward FLOPs agree with those counted while seven real models run."""
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
# The estimate at 40 % utilisation and the reported hours differ by a factor of two: the report says
# what all hours of all GPUs came to, whatever they waited for. Within a factor of two or three is what
# such a calculator is good for: it tells a weekend from a power station.

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
# 4. **No NaN.** As long as the inputs are finite, so are the results. A query that may look at nothing gets weights and output of exactly zero, and
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
        mask: Boolean, of a shape that broadcasts to (..., T_q, T_k) and adds no dimensions to it; True: this
            query may look at this key. None: every query may look at every key.

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
        """(batch, T, d_model) to (batch, n_heads, T, d_model / n_heads); head 0 has the first columns."""
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
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
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
# `NameError` for `x_train`, by loading the images.
#
# <details><summary>Compare your list</summary>
#
# | what | why it matters |
# |---|---|
# | Pixels are not scaled. | Inputs up to 255 make the first logits and losses huge. Adam hides some of the damage, plain gradient descent none. |
# | No channel axis. | Images of shape `(n, 28, 28)` do not match `(28, 28, 1)`. Keras 3 adds the axis silently here, so a mistake in the data goes unnoticed until another layer meets it. |
# | No validation or test data. | The one number it prints, training accuracy, says nothing about new images. |
# | A softmax in the model, its name in the loss. | The two must fit together, and nothing checks that they do. See below. |
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
def split_digits(images: np.ndarray, labels: np.ndarray, seed: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
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

    Uses Adam (Keras' defaults, but learning rate 3e-3), shuffled batches of 32 and cross-entropy from
    logits. The loss on the validation data is measured after each epoch; the validation data must
    not influence the weights.

    Args:
        model: (m, 8, 8, 1) images to (m, 10) logits, as `build_cnn` makes it or another; not compiled.
        training: images, scaled, and their labels, for any number of images.
        validation: likewise.

    Returns:
        A dict with (at least) the keys "loss" and "val_loss", each a list with one mean cross-entropy per
        epoch: "loss" on the training data, during or after the epoch, "val_loss" on the validation data after it.
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
        model: (m, 8, 8, 1) images to (m, 10) logits, as `build_cnn` makes it or another; compiled or
            not. It is not compiled and not changed here.
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
    def run(images):
        return np.asarray(build_cnn()(images))

    outputs = probe(run, np.random.default_rng(0).normal(0, 5, (64, 8, 8, 1)).astype("float32"))
    if np.allclose(outputs.sum(1), 1, atol=1e-3):
        fail("Each row of outputs sums to one: there is a softmax in the network.")
    if outputs.min() >= 0:
        fail("No output is negative: there is an activation after the last layer.")

    def run_with_random_weights(images):
        model = build_cnn()
        model(images)
        model.set_weights([np.random.normal(0, 0.3, w.shape) for w in model.get_weights()])
        # A model that was written as a class need not declare a shape.
        declared = list(getattr(model, "input_shape", (None, 8, 8, 1)))
        while_training = np.asarray(model(images, training=True))
        return model.get_weights(), np.asarray(model(images, training=False)), while_training, len(model.losses), declared[1:]

    images = np.random.normal(0, 1, (16, 8, 8, 1)).astype("float32")
    weights, outputs, while_training, penalties, declared = probe(run_with_random_weights, images)
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
def unlike_losses():
    """An epoch on 33 images, half of which are classified well and half badly, and so in validation."""
    start = START[0] * 100, START[1]
    x, _ = digits_without_zero(33)
    order = logits_of(*start, x).argsort(1)
    badly = np.arange(33) % 2
    y, opposite = (np.where(chosen, order[:, 0], order[:, -1]) for chosen in (badly, 1 - badly))
    after, loss, val_loss = trained((x, y), (x, opposite), 1, start)
    return loss[0], cross_entropy(logits_of(*start, x), y), val_loss[0], cross_entropy(logits_of(*after, x), opposite)


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
    reported, mean, _, _ = unlike_losses()
    if not math.isclose(reported, mean, rel_tol=0.15):
        fail('"loss" is not the mean over all images: the last batch may be smaller than the others.')


@check(points=1, hint="Adam with learning rate 3e-3, shuffled batches of 32, every epoch once. How many steps are that, and how far does each go?")
def trains_by_the_recipe():
    """Adam takes one step of 3e-3 per shuffled batch of 32, for as many epochs as were asked for."""
    x, y = digits_without_zero(65)
    by_class = np.argsort(y, kind="stable")
    x, y = x[by_class], y[by_class]
    after, _, _ = trained((x, y), (x[:1], y[:1]), 1)
    # Class 0 never occurs, so its bias has the same gradient in each batch: Adam moves it by the learning rate.
    steps = (START[1][0] - after[1][0]) / 3e-3
    if not 2.8 < steps < 3.1:
        fail(f"An epoch of 65 images is three steps; the network moved as far as in {steps:.1f} steps of 3e-3.")
    if same_weights(after, adam(*START, [(x[:32], y[:32]), (x[32:64], y[32:64]), (x[64:], y[64:])])):
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
    _, _, reported, mean = unlike_losses()
    if not math.isclose(reported, mean, rel_tol=1e-3):
        fail("val_loss is not the mean over all images: the last batch may be smaller than the others.")


@check(points=1, hint="Compare the position of the largest logit with the label that was passed in, for all images.")
def measures_accuracy():
    """accuracy() is the share of right answers on the data passed in, for an uncompiled model, too."""
    def run(weights, images, labels):
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        model.set_weights(weights)
        return [float(accuracy(model, images, given)) for given in labels], model.get_weights(), model.compiled

    weights = [np.eye(64, 10, dtype="float32"), np.zeros(10, "float32")]  # the logits are the first ten pixels
    images = np.random.normal(0, 1, (45, 8, 8, 1)).astype("float32")
    *_, second, best = images.reshape(45, 64)[:, :10].argsort(1).T
    right = np.random.default_rng(1).random(45) < 0.3
    (all_right, some_right), after, compiled = probe(step_by_step, run, weights, images, [best, np.where(right, best, second)])
    if compiled or not all(np.array_equal(a, b) for a, b in zip(weights, after, strict=True)):
        fail("accuracy() compiled the model or changed its weights; it should only measure.")
    if all_right > 1.5:
        fail("The accuracy is a share from 0 to 1, not a percentage.")
    if not (math.isclose(all_right, 1, abs_tol=1e-4) and math.isclose(some_right, right.mean(), abs_tol=1e-4)):
        fail("The number is not the share of images whose largest logit belongs to the label passed in.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn?
#
# Train your network and look at both curves. The validation loss is the one that counts; where
# it stops falling while the training loss goes on, as after epoch 10 here, the network has begun to memorise. That
# is the subject of chapter 2. The test set is used once, at the very end.

# %% tags=["demo", "raises-exception"]
keras.utils.set_random_seed(0)
training, validation, test = split_digits(digits.images, digits.target, seed=0)
cnn = build_cnn()
history = train(cnn, training, validation, epochs=12)
fig, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1.2, 1))
axes[0].plot(range(1, 13), history["loss"], label="training")
axes[0].plot(range(1, 13), history["val_loss"], label="validation")
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
# Two points per claim, six claims, 12 points in all. For each claim: 1 point for a correct statement of what is wrong and what
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
# card); on its up to 16,384 GPUs that is about 78 days.
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

# %% [markdown]
# ## What you can do now
#
# - State what a transformer of any shape costs in parameters, bytes, FLOPs and hours, and say which terms $6ND$ leaves out.
# - Write attention that handles masks, blind queries, large scores and heads, and say what goes wrong without each precaution.
# - Read a training script and find what is missing: scaling, splits, logits, an honest measurement.
#
# ### Claims that this chapter corrected
#
# | what is said | what is true |
# |---|---|
# | "More heads, more parameters." | Heads cut the same matrices into strips. Only the ratio of key-value heads to heads changes the count. |
# | "Quantising reduces the number of parameters." | It reduces the bits of each: the count is an argument of `weight_bytes`, not a result. |
# | "$6ND$ is the cost of training." | It is an estimate without attention's products, and it counts embeddings that multiply nothing. |
# | "A mask sets weights to zero." | It takes scores out before the softmax, or the rest does not sum to one. |
# | "It runs without an error, so it is right." | A loss that takes logits for probabilities runs, and so does a split with leaks. |
#
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
# - Devlin et al., *BERT*, arXiv:1810.04805, and Llama Team, *The Llama 3 Herd of Models*, arXiv:2407.21783: what training took.
# - Dao et al., *FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness*, arXiv:2205.14135.
