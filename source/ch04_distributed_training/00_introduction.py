# ---
# jupyter:
#   autograder:
#     cell_seconds: 25
#     check_seconds: 60
#     float64: []
#     loopback: true
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
# # Chapter 4 · Distributed training
#
# A large model is trained on many processors at once. Each holds a part of the data, of the weights, of the layers or of the sequence, and each must tell the others what they lack. In this
# chapter you write that traffic yourself, with real processes on your own machine, and count every byte.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [4.1](#4.1-All-reduce-in-a-ring) | add up what all processes hold, and send as little as possible | 50 |
# | [4.2](#4.2-DDP-from-scratch) | train one model on all of them, and communicate while you compute | 75 |
# | [4.3](#4.3-Who-reads-what) | deal out the data, and resume on fewer machines | 20 |
# | [4.4](#4.4-Stale-and-local-updates) | find out what happens if nobody waits | 45 |
# | [4.5](#4.5-Tensor-parallelism) | cut a layer into parts | 60 |
# | [4.6](#4.6-Pipeline) | cut a network into stages, and schedule them | 40 |
# | [4.7](#4.7-ZeRO:-nobody-needs-a-whole-optimizer) | share out the optimizer's memory | 50 |
# | [4.8](#4.8-One-loss-over-all-replicas) | scale a loss in TensorFlow | 40 |
# | [4.9](#4.9-Ring-attention) | compute attention over more tokens than one process holds | 60 |
# | [4.10](#4.10-The-real-thing) | use torch's own, on two hosts (no points) | 20 |
# | [4.11](#4.11-One-model,-cut-in-different-ways) | read, and predict figures (no points) | 15 |
# | [W4.1](#W4.1-Where-to-put-it?) | plan where two models go, with numbers | 70 |
# | [W4.2](#W4.2-Claims-about-distributed-training) | correct claims, with numbers | 35 |
#
# The times include reading. Chapter 1 explains **how an exercise works**. Nothing is downloaded. The processes talk to each other through the loopback device of your machine; nothing leaves it. The chapter
# needs Linux (on Windows: the Windows Subsystem for Linux). On macOS it should work, and has not been tried.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from autograder import lesson
from autograder.checks import Checks, fail, forbidden, probe
from autograder.ranks import Deadlock, cache_with_errors, run_ranks
from autograder.traffic import count_traffic

lesson.use_style()
torch.set_num_threads(1)  # the models here are small; more threads would cost more than they save

# %% [markdown]
# ## 4.0 Processes that compute together
#
# A **rank** is one process of a training run, and its number, from 0 to $N - 1$; $N$ is the **world size**. All ranks run the same program. They differ in their number, and so in what they do. On a cluster, `torchrun` starts the ranks,
# usually one for each GPU. Here `run_ranks` does that: it copies the process of your notebook $N$ times (`fork`), calls your function in each copy, and
# brings back what each returned. The copies have all names of the notebook; what they change, they change for themselves.

# %% tags=["demo", "shown"]
def hello(rank, world_size):
    print("I am here")
    return f"rank {rank} of {world_size}"


run_ranks(hello, 4)

# %% [markdown]
# Ranks share no memory. What one needs of another has to be sent. `torch.distributed` has two kinds of operations for that. **Point to point**: one rank calls `dist.send(tensor, 2)`, and rank 2 calls `dist.recv(tensor, 0)`
# to receive from rank 0. **Collective**: all ranks call the same function, each with its own tensor. The most important one is **all-reduce**: afterwards, each rank holds the sum. **Predict**, before you run the cell: what
# does each rank return, and how many bytes does `count_traffic` say that it handed over?

# %% tags=["demo", "shown"]
def add_up(rank, world_size):
    tensor = torch.tensor([1.0, 10.0]) * (rank + 1)
    with count_traffic() as traffic:
        dist.all_reduce(tensor)  # changes the tensor in place
    return tensor.tolist(), traffic.calls


run_ranks(add_up, 3)

# %% [markdown]
# A collective that one rank does not call never ends for the others. This is called a **deadlock**, and it is the most common mistake in distributed programs. On a cluster the run then stands still until a timeout ends it: by default after 10 minutes with NCCL, after 30 with other backends (manual of `init_process_group`). Here
# `run_ranks` watches, ends all ranks after two seconds without any activity, and names the line where each of them waits:

# %% tags=["demo", "shown"]
def forgets(rank, world_size):
    if rank != 1:
        dist.all_reduce(torch.ones(1))


try:
    run_ranks(forgets, 3)
except Deadlock as deadlock:
    print(deadlock)

# %% [markdown]
# **Change and try:** let rank 1 raise an exception instead. Let it call `dist.all_reduce` with two elements, with one element of type `torch.float64`, and with one of `torch.int32`, and return the tensor. Which mistakes are reported, and which one gives a wrong number without a word?
#
# <details><summary>What you should see</summary>
#
# Two elements: the others return, and rank 1 waits for more than they have sent. `float64`: a rank is sent 8 bytes where it expects 4, and dies. `int32` has as many bytes as `float32`, so gloo adds up the bits of different types: ranks 0 and 2 return 2 instead of 3, and rank 1 returns 1073741824.
# </details>
