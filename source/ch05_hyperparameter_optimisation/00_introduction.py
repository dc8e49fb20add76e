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
# # Chapter 5 · Hyperparameter optimisation
#
# A **hyperparameter** is a number or a choice that training does not learn: the learning rate, the width, the amount of weight decay. In this chapter you write the methods that choose them, find out what each of them
# can and cannot do, and learn how much of a good result was luck.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [5.1](#5.1-Where-to-look) | describe a space of settings, and draw from it | 40 |
# | [5.2](#5.2-A-learning-rate-for-every-width) | choose a learning rate on a narrow network and use it on a wide one | 50 |
# | [5.3](#5.3-A-Gaussian-process) | say what is known about a function after a few measurements | 60 |
# | [5.4](#5.4-Bayesian-optimisation) | measure next where it promises most | 35 |
# | [5.5](#5.5-An-evolution-strategy) | search with a population | 40 |
# | [5.6](#5.6-Stopping-the-bad-ones-early) | spend little on settings that turn out badly | 50 |
# | [5.7](#5.7-Honest-selection) | say how good the chosen one really is | 40 |
# | [5.8](#5.8-The-real-thing) | use a library, in several processes (no points) | 25 |
# | [W5.1](#W5.1-Claims-about-hyperparameters) | correct claims, with numbers | 30 |
# | [W5.2](#W5.2-A-hundred-GPU-hours) | plan a search | 60 |
#
# The times include reading. Chapter 1 explains **how an exercise works**. Nothing is downloaded.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder import lesson
from autograder.checks import Checks, fail, forbidden, probe

lesson.use_style()
torch.set_num_threads(1)  # the models here are small; more threads would cost more than they save
