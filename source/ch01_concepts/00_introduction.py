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

