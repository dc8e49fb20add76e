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
# # Chapter 7 · Adversarial attacks and privacy
#
# Somebody may want your model to fail, to do what it should not, or to give away its weights or its training data. You attack models of your own, write the defences, and measure what each costs. A defence counts for as much as the best attack that was tried on it, so the attacks come first.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [7.1](#7.1-Small-changes-that-deceive) | deceive a classifier of images, and train one that resists | 60 |
# | [7.2](#7.2-A-suffix-that-survives-being-typed) | get past a text filter with a few added words | 55 |
# | [7.3](#7.3-Defences-that-hide-the-gradient) | break defences that only look strong | 45 |
# | [7.4](#7.4-Prompt-injection) | build an assistant that is safe although its model obeys anybody | 50 |
# | [7.5](#7.5-Stealing-the-last-layer) | take a layer out of a model by asking it questions | 50 |
# | [7.6](#7.6-Differential-privacy) | train with a guarantee about every single person in the data | 65 |
# | [7.7](#7.7-Who-was-in-the-data) | find out who was in the training data, and audit a guarantee | 60 |
# | [7.8](#7.8-What-a-model-has-learnt-by-heart) | get a secret out of a language model, and make it forget | 60 |
# | [7.9](#7.9-Poisoned-data) | poison a language model (no points) | 20 |
# | [W7.1](#W7.1-Claims-about-attacks) | correct claims, with numbers | 30 |
# | [W7.2](#W7.2-A-medical-model-for-the-public) | decide whether a model may be released | 45 |
#
# The times include reading. Chapter 1 explains **how an exercise works**. To attack others' systems without permission is a crime in most countries.

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
