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
# Here is a model at work. Run the cells below.

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
torch.set_num_threads(1)  # the models here are small; more threads would cost more than they save

# %% tags=["demo", "shown"]
for prompt, seed in [("The meaning of life is", 1), ("Love is", 3), ("To be or not to be", 0)]:
    print(lesson.gpt(own=False).write(prompt, n_tokens=30, temperature=0.5, seed=seed), "\n" + "-" * 80)

# %% [markdown]
# It was given the first words. Nobody wrote the rest; the model drew it, token by token (a **token** is a short piece of text).
# All the English that it knows is from Python's own manual, and it shows. (Each is the best of seven seeds.) It has 187,000 numbers
# and was trained for a minute or two. Large models work in the same way.
#
# **By the end of section 1.5 you will have made all of it.** Later chapters train your model faster, measure it, attack it and look inside.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [1.1](#1.1-Tokens) | learn a byte-level tokenizer from a text | 50 |
# | [1.2](#1.2-Attention) | write multi-head attention with masks | 50 |
# | [1.3](#1.3-A-language-model-against-a-known-entropy) | judge a language model by a known entropy | 60 |
# | [1.4](#1.4-Sampling) | draw text from predictions | 40 |
# | [1.5](#1.5-A-model-of-your-own) | let your four parts write (no points) | 15 |
# | [1.6](#1.6-A-transformer,-repaired) | repair a transformer that translates | 65 |
# | [1.7](#1.7-A-BERT-classifier,-repaired) | repair a text classifier | 50 |
# | [1.8](#1.8-A-convolutional-network,-repaired) | repair an image classifier | 30 |
# | [1.9](#1.9-A-GAN,-repaired) | turn half a GAN into a whole one | 55 |
# | [1.10](#1.10-Recurrence-and-convolution) | write an LSTM and a causal convolution | 50 |
# | [1.11](#1.11-What-does-a-model-cost?) | compute memory, FLOPs and GPU-hours | 40 |
# | [W1.1](#W1.1-Six-claims-about-large-models) | correct six claims | 50 |
# | [W1.2](#W1.2-Three-scenarios) | choose models for three tasks | 45 |
# | [W1.3](#W1.3-Due-diligence) | check a business plan | 55 |
#
# Times include reading; W is in writing. You need Python, a little PyTorch (Keras in 1.8 and 1.9) and matrix multiplication. Nothing is downloaded.
#
# **How an exercise works.** Replace `raise NotImplementedError` with your answer, run the cell, then run the test cell below it. A table shows
# which properties hold. Hidden checks test further properties, so follow the
# docstring. In a class they run when you hand in; if you study alone, `%check` runs them at once.

# %% [markdown]
# ## 1.0 What makes a model "large"?
#
# There is no threshold. BERT-large had 340 million parameters and was large in 2018; PaLM, in 2022, had sixteen hundred times as many.
# What *large* models share is how they are made: one network is **pretrained** on a broad mass of data with an objective that needs no labels,
# such as *predict the next token*, and then adapted to many tasks.
#
# Two numbers describe such a run: the **parameters** $N$ that are learnt, and the **tokens** $D$ that they are learnt from. Training a
# dense transformer (it uses all parameters for every token) costs about six floating-point operations (FLOPs) per parameter and token (Kaplan et al.,
# arXiv:2001.08361); section 1.11 shows why:
#
# $$C \approx 6\,N\,D .$$
#
# In the figure, models on the same grey line cost the same to train. The dotted line says how Hoffmann et al. (arXiv:2203.15556) would spend a given
# budget: about 20 tokens per parameter, so that size and data grow **together**. Before you look: which of the six models had too few tokens by that rule?
# Why would anyone train on a hundred times as many?

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
# GPT-3 and PaLM lie well below the line; smaller models on more tokens would have done better for the same price. Llama 3 8B lies far above
# it on purpose, at almost 2,000 tokens per parameter: a small model costs less each time it is used. And 20 is no constant: Meta's own scaling law put the optimum for the budget of Llama 3.1 405B at about 40 (arXiv:2407.21783, section 3.2.1).
