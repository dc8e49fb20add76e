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
# # Chapter 6 · Evaluation metrics
#
# A **metric** turns what a model does into a number, and the number decides. You write the metrics that papers and companies report, and find where each of them misleads.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [6.1](#6.1-Counting-errors) | count errors, batch by batch | 55 |
# | [6.2](#6.2-Ranking) | judge a ranking, and see what rare positives change | 40 |
# | [6.3](#6.3-Calibration) | find out whether 80 % means 80 % | 40 |
# | [6.4](#6.4-Error-bars) | put an error bar on a benchmark, and compare two models | 50 |
# | [6.5](#6.5-A-test-with-users) | plan an experiment, and look at it early | 50 |
# | [6.6](#6.6-Numbers-for-language-models) | compute perplexity, bits per byte and pass@k | 60 |
# | [6.7](#6.7-Preferences-and-judges) | make a leaderboard of votes, and correct a judge's bias | 60 |
# | [6.8](#6.8-Contamination) | find out whether a model has seen the test | 40 |
# | [6.9](#6.9-One-text-under-five-tokenizers) | perplexity rises, the model improves (no points) | 15 |
# | [W6.1](#W6.1-Metrics-for-fraud) | choose metrics where errors cost money | 45 |
# | [W6.2](#W6.2-Asking-people) | plan an evaluation by people | 50 |
# | [W6.3](#W6.3-Claims-about-metrics) | correct claims, with numbers | 30 |
#
# The times include reading. Chapter 1 explains **how an exercise works**. Nothing is downloaded.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from autograder import lesson
from autograder.checks import Checks, fail, forbidden, probe

lesson.use_style()
torch.set_num_threads(1)  # the models here are small; more threads would cost more than they save
