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
# A model can fit all of its examples and still fail on new ones. You will write the tools against this, and find out what each of them does, and when it does nothing.
#
# | exercise | you will | minutes |
# |---|---|---|
# | [2.1](#2.1-Elastic-net) | fit a sparse linear model by proximal steps | 45 |
# | [2.2](#2.2-Weight-decay,-and-Adam) | write the optimizer, and say what decays | 45 |
# | [2.3](#2.3-Dropout) | write dropout twice, tested by its statistics | 30 |
# | [2.4](#2.4-Early-stopping) | stop in time, with the correct weights | 35 |
# | [2.5](#2.5-Cross-validation-that-does-not-leak) | estimate errors without leaks | 50 |
# | [2.6](#2.6-Augmentation-and-mixup) | change inputs without changing labels; mix both | 60 |
# | [2.7](#2.7-Double-descent) | fit more weights than data | 30 |
# | [2.8](#2.8-A-trunk-for-several-tasks) | share a trunk between tasks | 45 + 15 |
# | [2.9](#2.9-Ensembles:-what-averaging-removes) | average, and measure what that removes | 40 |
# | [2.10](#2.10-How-often-may-it-read-the-same-page?) | read, and predict figures (no points) | 10 |
# | [W2.1](#W2.1-Claims-about-overfitting) | correct claims, with numbers | 50 |
# | [W2.2](#W2.2-Four-runs) | diagnose four training runs | 35 |
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

# %% [markdown]
# ## 2.0 What overfitting is
#
# A model's error on the sample that it was trained on is the **training error**; its expected error on new data from the
# same source is the **generalisation error**; the difference is the **gap**. A model is **overfitted** if a different one has
# a larger training error and a smaller generalisation error (Mitchell, *Machine Learning*, 1997, section 3.7). A gap alone is no fault.
#
# For squared errors, draw many training sets, fit the same kind of model to each, and look at a new point $x$ with $y = f(x) + \varepsilon$. The noise
# $\varepsilon$ has mean zero and variance $\sigma^2$, and is independent of the training set. The mean squared error of the predictions $\hat f(x)$ is (Hastie, Tibshirani and
# Friedman, *The Elements of Statistical Learning*, section 7.3)
#
# $$\mathbb{E}\big[(y - \hat f(x))^2\big] = \underbrace{\sigma^2}_{\text{noise}} + \underbrace{\big(\mathbb{E}[\hat f(x)] - f(x)\big)^2}_{\text{bias}^2} + \underbrace{\mathrm{Var}[\hat f(x)]}_{\text{variance}}$$
#
# A stiff model makes the same mistake on every training set: bias. A flexible one makes a different mistake on each: variance. The figure (after Bishop, *Pattern Recognition and Machine Learning*, figures 3.5 and 3.6)
# fits polynomials to 2,000 training sets of 20 points, with the same $x$ and new noise. **Predict:** for which degree will the error on new data be smallest?

# %% tags=["demo"]
def draw_bias_and_variance(noise=0.3, n_points=20, n_sets=2000):
    places = (np.arange(n_points) + 0.5) / n_points
    inner = np.linspace(0.05, 0.95, 91)  # at the ends, polynomials of high degree run away
    everywhere = np.linspace(0, 1, 101)
    y = np.sin(2 * np.pi * places) + noise * np.random.default_rng(0).normal(size=(n_sets, n_points))

    def fit(degree, x):
        """Predictions (n_sets, len(x)) of least-squares polynomials, one for each training set."""
        design, wanted = (np.polynomial.legendre.legvander(2 * where - 1, degree) for where in (places, x))
        return y @ np.linalg.pinv(design).T @ wanted.T

    _, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), width_ratios=(1, 1, 1, 1.4))
    for ax, degree, kind in zip(axes, (1, 3, 15), ("too stiff", "about right", "too flexible"), strict=False):
        fits = fit(degree, everywhere)
        ax.plot(everywhere, fits[:25].T, color="C4", lw=0.6, alpha=0.6)
        ax.plot(everywhere, fits.mean(0), color="C0", label="mean of all fits")
        ax.plot(everywhere, np.sin(2 * np.pi * everywhere), "--", color="black", lw=1.2, label="truth")
        ax.set(title=f"degree {degree}: {kind}", ylim=(-2.2, 2.2), xlabel="$x$")
    axes[0].legend(fontsize=7.5, loc="lower left")
    degrees = np.arange(1, 16)
    bias, variance, measured = [], [], []
    for degree in degrees:
        fits = fit(degree, inner)
        new = np.sin(2 * np.pi * inner) + noise * np.random.default_rng(1).normal(size=fits.shape)
        bias.append(((fits.mean(0) - np.sin(2 * np.pi * inner)) ** 2).mean())
        variance.append(fits.var(0).mean())
        measured.append(((new - fits) ** 2).mean())
    axes[3].plot(degrees, bias, "o-", ms=3, label="bias²")
    axes[3].plot(degrees, variance, "s-", ms=3, label="variance")
    axes[3].plot(degrees, np.add(bias, variance) + noise**2, color="black", lw=1.2, label="sum with noise")
    axes[3].plot(degrees, measured, "^", ms=4, color="C5", label="error on new data")
    axes[3].axhline(noise**2, color="0.6", ls=":", lw=1)
    axes[3].text(15.3, noise**2 * 0.9, "noise", fontsize=8, va="top", ha="right", color="0.35")
    axes[3].set(yscale="log", xlabel="degree", title="mean squared error", ylim=(1e-3, 9))
    axes[3].legend(fontsize=7, loc="upper center", ncols=2, columnspacing=1, handlelength=1.2)
    plt.show()


draw_bias_and_variance()

# %% [markdown]
# On the right are averages over $0.05 \le x \le 0.95$. The triangles, measured on new data, lie on the sum. It is smallest at degree 3; beyond, the variance grows.
#
# The U-shape is no law: in exercise 2.7 the test error falls *again* once a model has more weights than it needs
# to fit its data. And every tool below restrains the model in some direction: it helps if the truth is simple in that direction, too.
#
# **Change, predict, run.** Which degree is best with four times the data, `draw_bias_and_variance(n_points=80)`? What happens to the variance?
#
# <details><summary>What you should see</summary>
#
# Degree 5: its bias is smaller, and 80 points determine two more coefficients well enough. (The noise hides most of the difference.) For degrees up to 5, a quarter of the variance is left, since the variance is about $\sigma^2 (\text{degree} + 1) / n$ here.
# At degree 15 less than a twentieth is left: 80 points hold such a polynomial, 20 hardly did.
# </details>
