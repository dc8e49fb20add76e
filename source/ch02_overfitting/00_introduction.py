# ---
# jupyter:
#   autograder:
#     cell_seconds: 25
#     check_seconds: 60
#     float64: [elastic_net, adamw, dropout, double_descent, multitask]
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
# | exercise | you will | framework | difficulty | time |
# |---|---|---|---|---|
# | [2.1](#2.1-Elastic-net) | fit a sparse linear model by proximal steps | PyTorch | ★★☆☆ | 35 min |
# | [2.2](#2.2-Weight-decay,-and-Adam) | write the optimiser, and say what decays | PyTorch | ★★☆☆ | 40 min |
# | [2.3](#2.3-Dropout) | write dropout twice and test it by its statistics | PyTorch and Keras 3 on TensorFlow | ★☆☆☆ | 30 min |
# | [2.4](#2.4-Early-stopping) | stop at the right epoch and give back the right weights | Python and PyTorch | ★☆☆☆ | 25 min |
# | [2.5](#2.5-Cross-validation-that-does-not-leak) | estimate errors without leaks | Python, NumPy and estimators of scikit-learn | ★★☆☆ | 35 min |
# | [2.6](#2.6-Augmentation-and-mixup) | change inputs without changing labels; mix both | PyTorch | ★★☆☆ | 35 min |
# | [2.7](#2.7-Double-descent) | fit beyond the point of interpolation | NumPy | ★★☆☆ | 30 min |
# | [2.8](#2.8-A-trunk-for-several-tasks) | share a trunk between tasks, for better or worse | PyTorch | ★★☆☆ | 35 min |
# | [2.9](#2.9-Ensembles:-what-averaging-removes) | average, and measure what that removes | NumPy and estimators of scikit-learn | ★★☆☆ | 30 min |
# | [W2.1](#W2.1-Claims-about-overfitting) | correct claims about overfitting, with numbers | in writing | ★★☆☆ | 40 min |
# | [W2.2](#W2.2-Four-runs) | read four training runs and order the measures | in writing | ★★☆☆ | 30 min |
#
# Data comes with scikit-learn or is generated; nothing is downloaded. **How an exercise works** is explained at the beginning of chapter 1: replace
# `raise NotImplementedError`, run the cell, then the test cell below it. Hidden checks test further properties when you hand in, so a
# right answer is one that follows the docstring.

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

# %% [markdown]
# ## 2.0 What overfitting is
#
# A model is trained on a sample and used on the rest of the world. Its error on the sample, the **training error**, is what training makes small. Its expected error on new data from the
# same source is the **generalisation error**, and the difference between the two is the **gap**. We call a model *overfitted* if another one, with more restraint, would
# have a larger training error and a smaller generalisation error. A gap alone is not a fault: on average, every model that learns from its data has one.
#
# For squared errors there is a classical account. Draw many training sets, fit the same kind of model to each, and look at a new point $x$ with $y = f(x) + \varepsilon$, where
# $\varepsilon$ has mean zero and variance $\sigma^2$ and knows nothing of the training set. The mean squared error of the predictions $\hat f(x)$ splits into three (Hastie, Tibshirani and
# Friedman, *The Elements of Statistical Learning*, section 7.3):
#
# $$\mathbb{E}\big[(y - \hat f(x))^2\big] = \underbrace{\sigma^2}_{\text{noise}} + \underbrace{\big(\mathbb{E}[\hat f(x)] - f(x)\big)^2}_{\text{bias}^2} + \underbrace{\mathrm{Var}[\hat f(x)]}_{\text{variance}}$$
#
# A stiff model is wrong in the same way on every training set: bias. A flexible one is wrong in another way on each: variance. The figure fits polynomials to 2,000 training sets. All
# have the same 20 points $x$; the noise differs. On the right are the averages over $0.05 \le x \le 0.95$, and the error measured on new data, which the sum has to meet.

# %% tags=["demo"]
places = (np.arange(20) + 0.5) / 20
inner = np.linspace(0.05, 0.95, 91)  # at the ends, polynomials of high degree run away
noise = 0.3


def truth_at(x):
    return np.sin(2 * np.pi * x)


def polynomial_fits(degree, x, sets=2000):
    """Predictions (sets, len(x)) of least-squares polynomials, one for each training set of 20 points."""
    rng = np.random.default_rng(0)
    y = truth_at(places) + noise * rng.normal(size=(sets, 20))
    design, wanted = (np.polynomial.legendre.legvander(2 * where - 1, degree) for where in (places, x))
    return y @ np.linalg.pinv(design).T @ wanted.T


fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), width_ratios=(1, 1, 1, 1.25))
everywhere = np.linspace(0, 1, 101)
for ax, degree, kind in zip(axes, (1, 3, 15), ("too stiff", "about right", "too flexible"), strict=False):
    fits = polynomial_fits(degree, everywhere)
    ax.plot(everywhere, fits[:25].T, color="C4", lw=0.6, alpha=0.6)
    ax.plot(everywhere, fits.mean(0), color="C0", label="mean of all fits")
    ax.plot(everywhere, truth_at(everywhere), "--", color="black", lw=1.2, label="truth")
    ax.set(title=f"degree {degree}: {kind}", ylim=(-2.2, 2.2), xlabel="$x$")
axes[0].legend(fontsize=7.5, loc="lower left")
degrees = np.arange(1, 16)
bias, variance, measured = [], [], []
for degree in degrees:
    fits = polynomial_fits(degree, inner)
    new = truth_at(inner) + noise * np.random.default_rng(1).normal(size=fits.shape)
    bias.append(((fits.mean(0) - truth_at(inner)) ** 2).mean())
    variance.append(fits.var(0).mean())
    measured.append(((new - fits) ** 2).mean())
axes[3].plot(degrees, bias, "o-", ms=3, label="bias²")
axes[3].plot(degrees, variance, "s-", ms=3, label="variance")
axes[3].plot(degrees, np.add(bias, variance) + noise**2, color="black", lw=1.2, label="sum with noise")
axes[3].plot(degrees, measured, "^", ms=4, color="C5", label="error on new data")
axes[3].axhline(noise**2, color="0.6", ls=":", lw=1)
axes[3].text(15, 0.078, "noise", fontsize=8, va="top", ha="right", color="0.35")
axes[3].set(yscale="log", xlabel="degree", title="mean squared error", ylim=(1e-3, 9))
axes[3].legend(fontsize=7, loc="upper center", ncols=2, columnspacing=1, handlelength=1.2)
plt.show()

# %% [markdown]
# Two warnings before the tools. First, the U-shaped curve is a fact about this family of models, not a law: in exercise 2.7 the test error falls *again* beyond the point where the training data
# are fitted exactly. So "large models overfit more easily" is no rule. It can hold close to that point, and where the same data is seen many times. Second, every tool below restrains the
# model in some direction. It helps if the truth is simple in that direction, too, and harms if it is not. None is free.

