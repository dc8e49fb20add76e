# ---
# jupyter:
#   autograder:
#     cell_seconds: 25
#     check_seconds: 60
#     float64: []
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
# # Chapter 3 · Training speed
#
# Training a model costs operations, memory and waiting. In this chapter you write the tools that save each of them, and count what they save. Seconds differ from machine to machine;
# operations and bytes do not, so that is what we count.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [3.1](#3.1-An-honest-benchmark) | time a program, and say what limits it | 25 |
# | [3.2](#3.2-One-optimizer-step) | write schedule, clipping and accumulation | 50 |
# | [3.3](#3.3-Activation-memory-and-checkpointing) | trade operations for memory | 90 |
# | [3.4](#3.4-Mixed-precision-by-hand) | train with 16 bits, and lose nothing | 60 |
# | [3.5](#3.5-Pruning) | remove weights, and find out what that saves | 45 |
# | [3.6](#3.6-Int8) | store a weight in one byte | 35 |
# | [3.7](#3.7-Distillation) | teach a small network by a large one | 45 |
# | [3.8](#3.8-Transfer) | reuse a network for a new task | 35 |
# | [3.9](#3.9-A-KV-cache) | generate without computing the past again | 55 |
# | [3.10](#3.10-The-same-training,-made-faster) | read, and predict figures (no points) | 15 |
# | [W3.1](#W3.1-Smaller,-and-not-faster) | explain why a smaller model is not faster | 30 |
# | [W3.2](#W3.2-How-long-will-it-take?) | estimate a training run | 45 |
# | [W3.3](#W3.3-Claims-about-training-speed) | correct claims, with numbers | 40 |
#
# The times include reading. Chapter 1 explains **how an exercise works**. Nothing is downloaded.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import copy
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

# %% [markdown]
# ## 3.0 Where the time goes
#
# Training a dense transformer with $N$ parameters on $D$ tokens takes about $C = 6ND$ operations (section 1.11). A processor has a **peak**, the operations per second that its
# data sheet promises. The share of the peak that a training run reaches with these operations is the **model FLOPs utilisation**, MFU (Chowdhery et al., *PaLM*, arXiv:2204.02311, section 4.1, who add those of attention's products):
#
# $$\text{seconds} = \frac{6ND}{\text{processors} \cdot \text{peak} \cdot \text{MFU}} .$$
#
# The same paper puts PaLM's MFU at 46 % and GPT-3's at 21 %: one half to four fifths of the machine stood idle, or computed something that does not count. So there are three ways to be faster:
#
# | way | sections |
# |---|---|
# | fewer operations: a smaller model, fewer steps, nothing computed twice | 3.2, 3.5, 3.7, 3.8, 3.9 |
# | cheaper operations: fewer bits each | 3.4, 3.6 |
# | less waiting: for memory, for data | 3.1, 3.10 |
#
# Each has a price that is seldom named. (3.3 pays operations for memory.) **Predict**, before you read on: what does pruning 90 % of all weights save, by itself: memory, time, both or neither? Section 3.5 has the answer.
