# ---
# jupyter:
#   autograder:
#     cell_seconds: 25
#     check_seconds: 60
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
# # Chapter 2 · Overfitting, and what to do about it
#
# A model that has learnt its examples by heart knows nothing. This chapter is about telling learning from memorising, and about the
# tools against the latter: what each of them does, exactly, and when it does nothing at all. You will write them yourself.
#
# TABLE
#
# Data comes with scikit-learn or is generated; nothing is downloaded. **How an exercise works** is explained at the beginning of chapter 1: replace
# `raise NotImplementedError`, run the cell, then the test cell below it. Hidden checks test further properties when you hand in, so a
# right answer is one that follows the docstring.

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
# ## 2.0 What overfitting is
#
# A model is trained on a sample and used on the rest of the world. Its error on the sample, the **training error**, is what training makes small. Its expected error on new data from the
# same source is the **generalisation error**, and the difference between the two is the **gap**. We call a model *overfitted* if another one, with more restraint, would
# have a larger training error and a smaller generalisation error. A gap alone is not a fault: every model that learns from its data has one.
#
# For squared errors there is a classical account. Draw many training sets, fit the same kind of model to each, and look at a new point $x$ with $y = f(x) + \varepsilon$, where
# $\varepsilon$ has variance $\sigma^2$. The mean squared error of the predictions $\hat f(x)$ splits into three (Hastie, Tibshirani and
# Friedman, *The Elements of Statistical Learning*, section 7.3):
#
# $$\mathbb{E}\big[(y - \hat f(x))^2\big] = \underbrace{\sigma^2}_{\text{noise}} + \underbrace{\big(\mathbb{E}[\hat f(x)] - f(x)\big)^2}_{\text{bias}^2} + \underbrace{\mathrm{Var}[\hat f(x)]}_{\text{variance}}$$
#
# A stiff model is wrong in the same way on every training set: bias. A flexible one is wrong in another way on each: variance. The figure fits polynomials to 300 training sets of 20 points each.

# %% tags=["demo"]
def polynomial_fits(degree, sets=300, points=20, noise=0.3):
    """Predictions (sets, 100) on a grid of least-squares polynomials, one for each training set."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 100)
    found = []
    for _ in range(sets):
        x = rng.uniform(0, 1, points)
        y = np.sin(2 * np.pi * x) + noise * rng.normal(size=points)
        fit = np.polynomial.Polynomial.fit(x, y, degree, domain=[0, 1])
        found.append(np.clip(fit(grid), -4, 4))
    return grid, np.array(found)


fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), width_ratios=(1, 1, 1, 1.25))
for ax, degree, kind in zip(axes, (1, 4, 11), ("too stiff", "about right", "too flexible"), strict=False):
    grid, fits = polynomial_fits(degree)
    ax.plot(grid, fits[:25].T, color="C4", lw=0.6, alpha=0.6)
    ax.plot(grid, fits.mean(0), color="C0", label="mean of all fits")
    ax.plot(grid, np.sin(2 * np.pi * grid), "--", color="black", lw=1.2, label="truth")
    ax.set(title=f"degree {degree}: {kind}", ylim=(-2.2, 2.2), xlabel="$x$")
axes[0].legend(fontsize=7.5, loc="lower left")
degrees = range(1, 11)
bias, variance = [], []
for degree in degrees:
    grid, fits = polynomial_fits(degree)
    inner = slice(5, 95)  # at the ends, polynomials of high degree run away
    bias.append(((fits.mean(0) - np.sin(2 * np.pi * grid))[inner] ** 2).mean())
    variance.append(fits.var(0)[inner].mean())
axes[3].plot(degrees, bias, "o-", ms=3, label="bias²")
axes[3].plot(degrees, variance, "s-", ms=3, label="variance")
axes[3].plot(degrees, np.add(bias, variance) + 0.09, "^-", ms=3, color="black", label="test error")
axes[3].axhline(0.09, color="0.6", ls=":", lw=1)
axes[3].text(10, 0.078, "noise", fontsize=8, va="top", ha="right", color="0.35")
axes[3].set(yscale="log", xlabel="degree", title="mean squared error", ylim=(1e-3, 8))
axes[3].legend(fontsize=7.5, loc="upper left")
plt.show()

# %% [markdown]
# Two warnings before the tools. First, the U-shaped curve is a fact about this family of models, not a law: in exercise 2.7 the test error falls *again* beyond the point where the training data
# are fitted exactly. So "large models overfit more easily" is no rule. It does hold where large models meet small data, as in fine-tuning, or see the same data many times. Second, every tool below restrains the
# model in some direction, and helps to the extent that the truth lies in the other. None is free.
