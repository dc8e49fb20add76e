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
# # Chapter 8 · Interpretability
#
# Why did the model say this? A doctor, a bank's customer and an engineer who looks for a bug all ask it, and each of them needs a different answer. You write the methods that give such answers, and you test each of them on models
# of which you know the truth, because a wrong explanation looks as good as a correct one.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [8.1](#8.1-A-fair-share-for-each-feature) | share a prediction out among its features | 60 |
# | [8.2](#8.2-Features-in-superposition) | find more features in activations than these have dimensions | 55 |
# | [8.3](#8.3-A-simple-model-nearby) | explain one prediction by a linear model that holds nearby | 40 |
# | [8.4](#8.4-What-the-gradient-shows) | attribute a prediction to pixels, along a path | 45 |
# | [8.5](#8.5-Where-a-network-looks) | draw a map of where a convolutional network looks | 50 |
# | [8.6](#8.6-Testing-explanations) | test explanations, and catch one that ignores the model | 50 |
# | [8.7](#8.7-What-a-probe-proves) | find out whether the model knows something or the probe has learnt it | 55 |
# | [8.8](#8.8-Replacing-activations) | find the part of a language model that does the work, by replacing it | 60 |
# | [8.9](#8.9-Pictures-of-a-model) | look at weights, activations and the loss (no points) | 20 |
# | [W8.1](#W8.1-A-credit-refused) | write to a customer what an explanation allows to say | 40 |
# | [W8.2](#W8.2-Claims-about-explanations) | correct claims, and choose a method for its audience | 35 |
# | [W8.3](#W8.3-A-start-up-examined) | the capstone: judge a start-up | 150 |
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
