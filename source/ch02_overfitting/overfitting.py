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

# %% [markdown]
# ## 2.1 Elastic net
#
# A model that fits its training data perfectly may have learnt the noise in it. An old cure is
# **regularisation**: make the fit pay for large weights. As weight decay, it is still part of how large
# models are trained (exercise 2.2). This exercise is about what the payment buys, and about a detail that is
# easily got wrong: which penalties switch weights **off**, and which algorithms notice.
#
# ### What a penalty buys
#
# Section 2.0 moved from bias to variance by raising the degree. A penalty does the same without changing the model, and in steps as
# small as one likes. Below, polynomials of degree 12 are fitted to twenty noisy points of a sine. With hardly any penalty on the
# squares of their coefficients, each fit chases its own noise: no bias, much variance. With a heavy penalty,
# all fits agree, and all are wrong. The best strength lies in between, where the *sum* is smallest.

# %% tags=["demo"]
generator = np.random.default_rng(0)
grid = np.linspace(-1, 1, 101)


def legendre(x, degree=12):
    """Legendre polynomials of degrees 1 to 12, side by side."""
    return np.polynomial.legendre.legvander(x, degree)[:, 1:]


x = np.linspace(-1, 1, 20)
features = legendre(x)
centre = features.mean(0)
left, sizes, right = np.linalg.svd(features - centre, full_matrices=False)
y = np.sin(np.pi * x) + generator.normal(0, 0.3, (300, 20))  # 300 data sets
strengths = np.logspace(-6, 1, 29)
fits = np.empty((len(strengths), len(y), len(grid)))
for index, strength in enumerate(strengths):
    weights = (y - y.mean(1, keepdims=True)) @ left * (sizes / (sizes**2 + 20 * strength)) @ right
    fits[index] = weights @ (legendre(grid) - centre).T + y.mean(1, keepdims=True)
truth = np.sin(np.pi * grid)
bias2 = ((fits.mean(1) - truth) ** 2).mean(1)
variance = fits.var(1).mean(1)

fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), width_ratios=(1, 1, 1.25))
chosen = {"A": 4, "B": 23}
for ax, (name, index) in zip(axes, chosen.items(), strict=False):
    ax.plot(grid, fits[index, :20].T, color="C0", lw=0.7, alpha=0.5)
    ax.plot(grid, truth, color="black", lw=2, label="truth")
    ax.plot(grid, fits[index].mean(0), color="C5", lw=2, ls="--", label="mean of all fits")
    ax.set(ylim=(-2, 2), xlabel="$x$", title=f"{name}: {'weak' if name == 'A' else 'strong'} penalty")
axes[0].set_ylabel("prediction")
axes[1].legend(fontsize=8.5, loc="upper left")
for values, label, style in [(bias2, "bias²", "C5--"), (variance, "variance", "C0-"), (bias2 + variance, "sum", "k:")]:
    axes[2].plot(strengths, values, style, label=label)
for name, index in chosen.items():
    axes[2].axvline(strengths[index], color="0.6", ls=":", lw=1)
    axes[2].text(strengths[index], 1.0, name, fontsize=10, ha="center", va="bottom", backgroundcolor="white")
axes[2].set(xscale="log", yscale="log", ylim=(3e-4, 1.5), xlabel="strength of the penalty", ylabel="squared error", title="Average over $x$")
axes[2].legend(fontsize=8.5, loc="lower left")
plt.show()

# %% [markdown]
# ### Squares and absolute values
#
# For a linear model with weights $w \in \mathbb R^p$ and an intercept $b$, the **elastic net** (Zou and
# Hastie, *Regularization and variable selection via the elastic net*, Journal of the Royal Statistical
# Society B 67(2), 2005) mixes two penalties. In the normalisation of scikit-learn, which this exercise uses,
#
# $$F(w, b) = \frac{1}{2n} \sum_{i=1}^n (y_i - x_i^\top w - b)^2
#   + \alpha \Big( \rho\, \|w\|_1 + \frac{1 - \rho}{2}\, \|w\|_2^2 \Big),
#   \qquad \|w\|_1 = \sum_j |w_j|,\quad \|w\|_2^2 = \sum_j w_j^2 .$$
#
# $\alpha$ is the strength of the penalty, and $\rho$ (`l1_ratio`) the share of the absolute values.
# $\rho = 0$ is **ridge** regression, $\rho = 1$ the **lasso** (Tibshirani, *Regression shrinkage and
# selection via the lasso*, JRSS B 58(1), 1996). The intercept is **not penalised**: how far the data lies
# from the origin is no sign of complexity. If you add 100 to every $y_i$, the predictions should rise by 100,
# and nothing else should change.
#
# Papers and libraries scale the three terms in different ways. An $\alpha$ means nothing until you know
# whether the squares are summed or averaged, and halved or not.
#
# To minimise the loss plus a penalty is to minimise the loss among the weights whose penalty stays below some
# budget. Loosen the contours of the loss until they touch the budget's region. A disc is touched somewhere on
# its smooth edge, where both weights are at work. The region of $|w_1| + |w_2|$ has **corners** on the axes,
# and a corner is easily hit first: there, a weight is zero.

# %% tags=["demo"]
hessian, best = np.array([[1.0, 0.45], [0.45, 0.9]]), np.array([0.3, 1.5])
w1, w2 = np.meshgrid(np.linspace(-1.3, 2.1, 200), np.linspace(-1.3, 2.1, 200))


def quadratic_loss(w1, w2):
    d1, d2 = w1 - best[0], w2 - best[1]
    return 0.5 * (hessian[0, 0] * d1**2 + 2 * hessian[0, 1] * d1 * d2 + hessian[1, 1] * d2**2)


angles = np.linspace(0, 2 * np.pi, 7201)
direction = np.stack([np.cos(angles), np.sin(angles)])
fig, axes = plt.subplots(1, 3, figsize=(9.3, 3.6))
for ax, share, title in zip(axes, (0.0, 0.5, 1.0), ("ridge: squares", "elastic net: half and half", "lasso: absolute values"), strict=True):
    # Along a ray, the penalty at distance r is a r² + c r; the budget is what it is at (0.8, 0).
    a, c = (1 - share) / 2, share * np.abs(direction).sum(0)
    budget = a * 0.8**2 + share * 0.8
    radius = (-c + np.sqrt(c**2 + 4 * a * budget)) / (2 * a) if share < 1 else budget / c
    edge = radius * direction
    losses = quadratic_loss(*edge)
    touch = edge[:, losses.argmin()]
    ax.contour(w1, w2, quadratic_loss(w1, w2), levels=sorted([0.06, losses.min(), 0.9, 2.0]), colors="C1", linewidths=1.1)
    ax.fill(*edge, color="C0", alpha=0.25, lw=0)
    ax.plot(*edge, color="C0", lw=1.5)
    ax.plot(*best, "+", color="C1", ms=9, mew=2)
    ax.plot(*touch, "o", color="black", ms=6)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.axvline(0, color="0.5", lw=0.8)
    ax.set(title=title, xlabel="$w_1$", aspect="equal", xlim=(-1.3, 2.1), ylim=(-1.3, 2.1))
    ax.text(0.97, 0.03, f"({touch[0] + 0:.2f}, {touch[1] + 0:.2f})", transform=ax.transAxes, ha="right", va="bottom", fontsize=9)
axes[0].set_ylabel("$w_2$")
axes[0].text(best[0], best[1] + 0.05, "least squares", fontsize=7.5, color="0.2", va="bottom", ha="center").set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.3})
plt.show()

# %% [markdown]
# ### Why a gradient does not find zeros
#
# "Add `alpha * w.abs().sum()` to the loss, train with SGD, and unimportant weights become zero." This is half
# true: they become *small*. Take a single weight and the function
#
# $$\tfrac12 (w - a)^2 + \lambda |w| \qquad\text{with } |a| < \lambda,$$
#
# whose minimum is exactly at $w = 0$: the pull $\lambda$ of the absolute value is stronger than the pull $a$
# of the data. The pull of $|w|$ is $\pm\lambda$ however small $w$ is, so a step of length $t$ down the
# **subgradient** $w - a + \lambda\,\mathrm{sign}(w)$ does not slow down near zero. It jumps across, and back,
# for ever. Smaller steps make the jumps smaller. No step makes them end at zero, except by an accident of
# rounding. (A penalty on squares does not help: its pull $\lambda w$ fades as $w \to 0$, so its minimum is
# not at zero in the first place, unless $a = 0$.)
#
# The way out is not to step along $|w|$ at all but to **solve** for it. For one weight, the minimum has a
# closed form, the **soft threshold**:
#
# $$\arg\min_w\; \tfrac12 (w - a)^2 + \lambda |w| \;=\; S(a, \lambda) \;=\; \begin{cases} a - \lambda & a > \lambda \\ 0 & |a| \le \lambda \\ a + \lambda & a < -\lambda \end{cases}$$
#
# It moves $a$ towards zero by $\lambda$, and what would cross zero stays **at** zero, exactly.

# %% tags=["demo"]
a, lam, step, start = 0.4, 0.7, 0.3, 1.2
paths = {"subgradient, fixed step": [start], "subgradient, step $\\propto 1/\\sqrt{k}$": [start], "gradient, then $S$": [start]}
fixed, slowing, proximal = paths.values()
for k in range(1, 25):
    fixed.append(fixed[-1] - step * (fixed[-1] - a + lam * np.sign(fixed[-1])))
    slowing.append(slowing[-1] - step / math.sqrt(k) * (slowing[-1] - a + lam * np.sign(slowing[-1])))
    moved = proximal[-1] - step * (proximal[-1] - a)
    proximal.append(max(abs(moved) - step * lam, 0) * np.sign(moved))
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
line = np.linspace(-2, 2, 401)
for values, label, style in [
    (line, "no penalty", ":"),
    (line / 1.7, "squares: $a / (1 + \\lambda)$", "--"),
    (np.sign(line) * np.maximum(np.abs(line) - lam, 0), "absolute value: $S(a, \\lambda)$", "-"),
]:
    axes[0].plot(line, values, style, label=label, color={":": "0.5", "--": "C1", "-": "C0"}[style])
axes[0].set(xlabel="$a$, the best weight without a penalty", ylabel="best weight with the penalty", title="One weight, $\\lambda = 0.7$")
axes[0].legend(fontsize=8.5)
for (label, values), marker, colour in zip(paths.items(), ("s", "^", "o"), ("C1", "C3", "C0"), strict=True):
    axes[1].plot(values, marker + "-", ms=4, lw=1.2, color=colour, label=label)
axes[1].axhline(0, color="0.4", lw=0.8)
axes[1].set(xlabel="step $k$", ylabel="$w$", title="On the way to the minimum at 0, for $a = 0.4$")
axes[1].legend(fontsize=8.5)
plt.show()
print(f"after 24 steps: {fixed[-1]:.2f} (fixed), {slowing[-1]:.2f} (slowing down), {proximal[-1]:g} (soft threshold)")

# %% [markdown]
# ### Proximal gradient
#
# With many weights there is no closed form, because the loss couples them. Split $F$ into a smooth part and
# the rest. For given weights the best intercept is known, $b = \bar y - \bar x^\top w$ with the means
# $\bar y$ of the targets and $\bar x$ of the columns of $X$. With it in place, what remains is a function of
# $w$ alone,
#
# $$F(w) = \underbrace{\frac{1}{2n} \big\|(y - \bar y) - (X - \mathbf 1 \bar x^\top)\, w\big\|_2^2 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2}_{f(w),\ \text{smooth}}
#   \;+\; \alpha \rho\, \|w\|_1 .$$
#
# The gradient of $f$ is Lipschitz: $\|\nabla f(v) - \nabla f(w)\| \le L\, \|v - w\|$ for all $v, w$.
# Therefore $f$ lies below a parabola of curvature $L$ in every direction, wherever you attach it:
#
# $$F(v) \;\le\; f(w) + \nabla f(w)^\top (v - w) + \frac L2 \|v - w\|_2^2 + \alpha \rho\, \|v\|_1 .$$
#
# On the right, nothing couples the weights any more, so the minimum over $v$ is $p$ soft thresholds side by
# side:
#
# $$w_{k+1} \;=\; S\Big( w_k - \tfrac1L \nabla f(w_k),\ \tfrac{\alpha \rho}{L} \Big).$$
#
# Walk down the gradient of the smooth part, **then** threshold. Mind the $1/L$ in both places: the threshold
# is a penalty *times a step length*. This is **ISTA**, the iterative shrinkage-thresholding algorithm
# (Daubechies, Defrise and De Mol, *An iterative thresholding algorithm for linear inverse problems with a
# sparsity constraint*, arXiv:math/0307152). As the right-hand side equals $F(w_k)$ at $v = w_k$, a step never
# increases $F$, and $F(w_k) - F(w^*) \le L \|w_0 - w^*\|^2 / 2k$ for every minimiser $w^*$ (Beck and
# Teboulle, *A fast iterative shrinkage-thresholding algorithm for linear inverse problems*, SIAM Journal on
# Imaging Sciences 2(1), 2009, theorem 3.1). No learning rate has to be tuned: $L$ says it.
#
# **How do you know that you have arrived?** At a minimum, zero is among the subgradients of $F$. Coordinate
# by coordinate, these are the Karush-Kuhn-Tucker conditions:
#
# $$-\frac{\partial f}{\partial w_j} = \alpha \rho\, \mathrm{sign}(w_j) \ \text{ where } w_j \neq 0, \qquad
#   \Big|\frac{\partial f}{\partial w_j}\Big| \le \alpha \rho \ \text{ where } w_j = 0.$$
#
# A weight stays at zero as long as the data pulls at it with less than $\alpha \rho$. In particular, all
# weights are zero as soon as
# $\alpha \ge \alpha_{\max} = \max_j |(x_j - \bar x_j)^\top (y - \bar y)| / (n \rho)$, where $x_j$ is the
# $j$-th column of $X$.

# %% [markdown]
# ### Exercise 2.1 · Elastic net by proximal gradient
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · PyTorch
#
# **Write** four functions: the soft threshold, the objective $F(w, b)$, the constant $L$, and ISTA.
#
# The soft threshold is the heart of the matter, so write it yourself: `F.softshrink` and `nn.Softshrink`
# (which torch has for activations) fail in the hidden checks. Everything else in torch is yours to use. All
# tensors of one call have the same type, 32 or 64 bits, and results have it, too; data is not centred for
# you, and must not be changed.
#
# <details><summary>Hint 1: three cases without an if</summary>
#
# The sign of an entry, times what is left of its absolute value. What is left is never negative: `clamp`.
# </details>
#
# <details><summary>Hint 2: the intercept</summary>
#
# Work with centred copies of `X` and `y`, in which the intercept has disappeared, and compute it once at the
# end from the formula above. `X -= X.mean(0)` would change the caller's data.
# </details>
#
# <details><summary>Hint 3: the constant</summary>
#
# $f$ is quadratic: $\nabla f(v) - \nabla f(w) = H (v - w)$ with the same matrix $H$ everywhere. The smallest
# $L$ is the largest eigenvalue of $H$. The eigenvalues of $A^\top A$ are the squares of the singular values
# of $A$, and `torch.linalg.matrix_norm(A, 2)` is the largest of these.
# </details>

# %% nbgrader={"grade": false, "grade_id": "elastic_net", "locked": false, "schema_version": 3, "solution": true, "task": false}
def soft_threshold(x: torch.Tensor, threshold: float) -> torch.Tensor:
    """Moves every entry of x towards zero by the threshold; what is no further than that from zero
    becomes exactly zero.

    Args:
        x: of any shape; not modified.
        threshold: at least 0.

    Returns:
        A tensor of the shape and type of x.

    >>> soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), 1.0)
    tensor([-2.,  0.,  1.])
    """
    ### BEGIN SOLUTION
    return x.sign() * (x.abs() - threshold).clamp(min=0)
    ### END SOLUTION


def elastic_net_objective(
    X: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor,
    alpha: float,
    l1_ratio: float,
) -> torch.Tensor:
    """F(w, b): half the mean squared residual plus the penalty, as in the first formula of this
    section.

    Args:
        X: (n, p), one sample in each row.
        y: (n,), the targets.
        w: (p,), the weights.
        b: the intercept, a tensor without axes.
        alpha: strength of the penalty, at least 0.
        l1_ratio: the share rho of the absolute values, from 0 to 1.

    Returns:
        A tensor without axes. Autograd can differentiate it with respect to w and b.

    >>> elastic_net_objective(torch.eye(2), torch.zeros(2), torch.tensor([1.0, -2.0]), torch.tensor(0.0), 1.0, 1.0)
    tensor(4.2500)
    """
    ### BEGIN SOLUTION
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum()
    return residual.square().mean() / 2 + alpha * penalty
    ### END SOLUTION


def lipschitz_constant(X: torch.Tensor, alpha: float, l1_ratio: float) -> float:
    """The smallest L for which the gradient of the smooth part f is Lipschitz, to six digits or so
    in 64 bits.

    Args:
        X: (n, p), not centred, with at least one column that is not constant; not modified. p may
            exceed n.
        alpha, l1_ratio: as above.
    """
    ### BEGIN SOLUTION
    centred = X - X.mean(0)
    return float(torch.linalg.matrix_norm(centred, 2)) ** 2 / len(X) + alpha * (1 - l1_ratio)
    ### END SOLUTION


def fit_elastic_net(
    X: torch.Tensor, y: torch.Tensor, alpha: float, l1_ratio: float, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimises the elastic net's objective by ISTA.

    Starts from weights of zero and takes exactly that many steps: down the gradient of f by 1/L
    with the smallest L, then the soft threshold. No momentum, and no other way of splitting F than
    the one above: weights are compared after one, two and three steps.

    Args:
        X: (n, p), not centred, with at least one column that is not constant; not modified. p may
            exceed n.
        y: (n,); not modified.
        alpha, l1_ratio: as above.
        steps: 0 or more.

    Returns:
        The weights (p,) and the best intercept for them, a tensor without axes.
    """
    ### BEGIN SOLUTION
    centre, level = X.mean(0), y.mean()
    A, target = X - centre, y - level
    step = 1 / lipschitz_constant(X, alpha, l1_ratio)
    w = torch.zeros_like(centre)
    for _ in range(steps):
        gradient = A.T @ (A @ w - target) / len(X) + alpha * (1 - l1_ratio) * w
        w = soft_threshold(w - step * gradient, step * alpha * l1_ratio)
    return w, level - centre @ w
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_elastic_net", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


@check(points=1, hint="Three cases: above the threshold, below its negative, and in between.")
def thresholds_softly():
    """The soft threshold moves numbers towards zero, and stops there."""
    x = torch.tensor([[-3.0, -1.0, -0.25], [0.0, 0.5, 2.0]])
    answer = soft_threshold(x.clone(), 1.0)
    assert answer.shape == x.shape, f"shape {tuple(answer.shape)} instead of {tuple(x.shape)}"
    assert answer.tolist() == [[-2, 0, 0], [0, 0, 1]], f"S({x.tolist()}, 1) is {[[-2, 0, 0], [0, 0, 1]]}, not {answer.tolist()}"


@check(points=1, hint="Half the mean of the squares; the squares of the weights are halved, too, and the intercept is in the residual only.")
def computes_the_objective():
    """On two samples, the objective is the number that you get by hand."""
    X, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([3.0, 0.0])
    w, b = torch.tensor([1.0, -2.0]), torch.tensor(1.0)
    # The residuals are 1 and 3: half their mean square is 2.5. The absolute values sum to 3, the squares to 5.
    for alpha, l1_ratio, truth in [(0.0, 0.5, 2.5), (2.0, 1.0, 8.5), (2.0, 0.0, 7.5), (2.0, 0.2, 7.7)]:
        value = float(elastic_net_objective(X, y, w, b, alpha, l1_ratio))
        assert math.isclose(value, truth, rel_tol=1e-5), f"with alpha={alpha}, l1_ratio={l1_ratio}: {value:g} instead of {truth:g}"


@check(points=1, hint="Gradient step with the squares' penalty in it, then a threshold of alpha * l1_ratio / L; weights of the data's type.")
def solves_a_design_without_correlation():
    """Where columns are uncorrelated and of variance one, the minimum is a soft threshold, in 32 and 64 bits."""
    columns = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    for dtype in (torch.float32, torch.float64):
        X, y = columns.to(dtype), torch.tensor([16.0, 4.0, 6.0, 2.0], dtype=dtype)  # 7, and 3, 4 and 2 times the columns
        for alpha, l1_ratio, truth in [(0.0, 1.0, [3, 4, 2]), (2.5, 1.0, [0.5, 1.5, 0]), (1.0, 0.0, [1.5, 2, 1]), (5.0, 0.6, [0, 1 / 3, 0])]:
            w, b = fit_elastic_net(X.clone(), y.clone(), alpha, l1_ratio, steps=20)
            assert w.dtype == dtype and b.dtype == dtype, f"data of {dtype} gives weights of {w.dtype} and an intercept of {b.dtype}"
            assert w.shape == (3,) and b.shape == (), f"weights of shape {tuple(w.shape)} and an intercept of shape {tuple(b.shape)} instead of (3,) and ()"
            shown = [round(value, 3) for value in w.tolist()]
            assert torch.allclose(w, torch.tensor(truth, dtype=dtype), atol=1e-5), f"with alpha={alpha}, l1_ratio={l1_ratio}: weights {shown} instead of {truth}"
            assert abs(float(b) - 7) < 1e-4, f"with alpha={alpha}, l1_ratio={l1_ratio}: intercept {float(b):g} instead of 7, the mean of y"


### BEGIN HIDDEN TESTS
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge

SHRINKERS = ("torch.nn.functional.softshrink", "torch.nn.Softshrink.forward")


def fitted(X, y, *settings):
    """fit_elastic_net's weights and intercept for each (alpha, l1_ratio, steps), and X and y afterwards."""
    def run(X, y, settings):
        results = []
        with forbidden(*SHRINKERS):
            for alpha, l1_ratio, steps in settings:
                w, b = fit_elastic_net(X, y, alpha, l1_ratio, steps)
                results.append((w.detach(), float(b)))
        return results, X, y

    results, *after = probe(run, X.clone(), y.clone(), settings)
    if any(w.shape != X.shape[1:] for w, _ in results):
        fail("The weights have another shape than (p,).")
    if any(w.dtype != X.dtype for w, _ in results):
        fail(f"The weights have another type than the data, {X.dtype}.")
    return results, after


def centred_data(n, p, relevant=4):
    """Columns of different sizes, correlated, of mean zero, and targets of mean zero, in 64 bits."""
    X = torch.randn(n, p, dtype=torch.float64) + 0.3 * torch.randn(n, 1, dtype=torch.float64)
    X = (X - X.mean(0)) * torch.linspace(0.7, 1.6, p, dtype=torch.float64)
    w = torch.zeros(p, dtype=torch.float64)
    w[:relevant] = torch.tensor([3.0, -2.0, 1.5, -1.0], dtype=torch.float64)[:relevant]
    y = X @ w + torch.randn(n, dtype=torch.float64)
    return X, y - y.mean()


def smooth_gradient(X, y, w, alpha, l1_ratio):
    """Of f at w, by autograd, each time with the best intercept."""
    w = w.clone().requires_grad_()
    residual = y - X @ w
    f = residual.var(correction=0) / 2 + alpha * (1 - l1_ratio) / 2 * (w * w).sum()
    return torch.autograd.grad(f, w)[0]


@check(points=1, hint="An entry at the very threshold becomes zero; a threshold of zero changes nothing; x stays as it is.")
def thresholds_like_softshrink():
    """The soft threshold agrees with torch's softshrink, zeros included, for all shapes, in 32 and 64 bits."""
    def run(x, threshold):
        with forbidden(*SHRINKERS):
            return soft_threshold(x, threshold), x

    for dtype in (torch.float32, torch.float64):
        for shape in [(), (7,), (4, 5), (2, 3, 4)]:
            for threshold in (0.0, 0.75, 5.0):
                x = torch.randn(shape, dtype=dtype) * 2
                if x.dim():
                    x[..., 0], x[..., 1], x[..., 2] = 0, threshold, -threshold
                answer, after = probe(run, x.clone(), threshold)
                truth = F.softshrink(x, threshold)
                if not torch.equal(after, x):
                    fail("The tensor passed in was modified.")
                if answer.shape != x.shape or answer.dtype != dtype:
                    fail("The result has another shape or type than x.")
                if not torch.allclose(answer, truth, atol=1e-6, rtol=1e-6):
                    fail(f"Wrong for a tensor with {x.dim()} axes and threshold {threshold:g}.")
                if ((answer == 0) != (truth == 0)).any():
                    fail("Entries within the threshold have to be exactly zero, and no others.")


@check(points=1, hint="Compare each term with the formula. Nothing may be detached, and no float returned.")
def objective_is_the_formula():
    """The objective and its gradients in w and b are those of the formula, for random data."""
    for n, p in [(7, 3), (4, 9), (5, 1)]:
        X, y, w = (torch.randn(shape, dtype=torch.float64) + 0.5 for shape in ((n, p), (n,), (p,)))
        b = torch.randn((), dtype=torch.float64)
        for alpha, l1_ratio in [(0.0, 0.3), (0.7, 1.0), (0.7, 0.0), (1.3, 0.35)]:
            def run(X, y, w, b, alpha, l1_ratio):
                inputs = [w.requires_grad_(), b.requires_grad_()]
                value = elastic_net_objective(X, y, *inputs, alpha, l1_ratio)
                value.backward()
                return value.detach(), w.grad, b.grad

            value, slope_w, slope_b = probe(run, X, y, w.clone(), b.clone(), alpha, l1_ratio)
            errors = [float(y[i] - b - sum(X[i, j] * w[j] for j in range(p))) for i in range(n)]
            loss = sum(error**2 for error in errors) / n / 2
            penalty = sum(l1_ratio * abs(v) + (1 - l1_ratio) * v**2 / 2 for v in w.tolist())
            case = f"for {n} samples, {p} weights" + (f" and l1_ratio={l1_ratio}." if alpha else " and no penalty.")
            if value.shape != ():
                fail(f"The result has the shape {tuple(value.shape)}, not ().")
            if value.dtype != torch.float64:
                fail(f"The data has 64 bits, the result is {value.dtype}.")
            if not math.isclose(value, loss + alpha * penalty, rel_tol=1e-9):
                fail(f"The value is wrong {case}")
            best = sum(errors) / n
            truth_w = alpha * (l1_ratio * w.sign() + (1 - l1_ratio) * w) - torch.tensor(errors, dtype=torch.float64) @ X / n
            if slope_w is None or slope_b is None or not torch.allclose(slope_w, truth_w, rtol=1e-7, atol=1e-9):
                fail(f"The gradient with respect to w is wrong {case}")
            if not math.isclose(slope_b, -best, rel_tol=1e-7, abs_tol=1e-9):
                fail(f"The gradient with respect to b is wrong {case}")


@check(points=1, hint="The largest eigenvalue of the Hessian of f: centred columns, squares averaged, and the penalty's own curvature.")
def finds_the_smallest_constant():
    """L is the largest eigenvalue of the columns' covariance matrix, plus the curvature of the penalty on squares."""
    def run(X, alpha, l1_ratio):
        return float(lipschitz_constant(X, alpha, l1_ratio)), X

    for n, p in [(9, 4), (5, 8), (6, 1), (40, 3)]:
        X = torch.randn(n, p, dtype=torch.float64) * torch.linspace(0.5, 2, p, dtype=torch.float64) + 3
        curvature = np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T.numpy(), bias=True))).max()
        for alpha, l1_ratio in [(0.0, 0.5), (2.0, 1.0), (2.0, 0.25)]:
            found, after = probe(run, X.clone(), alpha, l1_ratio)
            if not torch.equal(after, X):
                fail("X was modified.")
            truth = curvature + alpha * (1 - l1_ratio)
            if not math.isclose(found, truth, rel_tol=1e-5):
                reason = "larger than necessary: steps of 1/L are too short" if found > truth else "too small: steps of 1/L may diverge"
                fail(f"L is {reason} ({n} samples, {p} columns, " + (f"alpha={alpha:g}, l1_ratio={l1_ratio:g})." if alpha else "no penalty)."))


@check(points=1, hint="From zero; a gradient step of length 1/L on squares and ridge; then the soft threshold, of alpha * l1_ratio / L.")
def takes_proximal_steps():
    """Each of the first steps minimises the parabola above F, and the number of steps is the one asked for."""
    X, y = centred_data(30, 6)
    L0 = float(np.linalg.eigvalsh(np.cov(X.T.numpy(), bias=True)).max())
    for alpha, l1_ratio in [(0.3, 1.0), (0.4, 0.5), (0.6, 0.1)]:
        ((w, _), *later), _ = fitted(X, y, *((alpha, l1_ratio, steps) for steps in range(4)))
        if w.abs().max() > 0:
            fail("After zero steps, the weights are not zero.")
        L, bound = L0 + alpha * (1 - l1_ratio), alpha * l1_ratio
        for number, (v, _) in enumerate(later, 1):
            # At the parabola's minimum v, this is bound * sign(v), or within the bound where v is zero.
            pull = L * (w - v) - smooth_gradient(X, y, w, alpha, l1_ratio)
            if not torch.allclose(pull[v != 0], bound * v[v != 0].sign(), atol=1e-4) or pull[v == 0].abs().gt(bound + 1e-4).any():
                fail(f"Step {number} does not lead from the weights before it to the minimum of the parabola, with l1_ratio={l1_ratio}.")
            w = v


@check(points=1, hint="In scikit-learn's normalisation, Ridge's alpha is n times ours. Does every part of the penalty enter the step?")
def agrees_with_sklearn():
    """After many steps, the weights are those of ElasticNet, Lasso, Ridge and LinearRegression, also for p > n."""
    exactly = dict(tol=1e-12, max_iter=100_000)
    for n, p, steps, cases in [(60, 6, 300, [(0.0, 0.5), (0.3, 0.0), (0.3, 1.0), (0.4, 0.5)]), (10, 14, 500, [(0.8, 0.3)])]:
        X, y = centred_data(n, p)
        X[:, -1] = 0  # a constant column
        results, _ = fitted(X, y, *((*case, steps) for case in cases))
        for (alpha, l1_ratio), (w, _) in zip(cases, results, strict=True):
            if alpha == 0:
                model = LinearRegression()
            elif l1_ratio == 0:
                model = Ridge(alpha=n * alpha)
            elif l1_ratio == 1:
                model = Lasso(alpha=alpha, **exactly)
            else:
                model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, **exactly)
            truth = model.fit(X.numpy(), y.numpy()).coef_
            if not np.allclose(w.numpy(), truth, atol=1e-5):
                fail(f"The weights are not those of {type(model).__name__} for {n} samples, {p} columns, alpha={alpha:g}, l1_ratio={l1_ratio:g}.")


@check(points=1, hint="Small is not zero. Weights become exactly zero by the soft threshold, as the last thing that happens in a step.")
def sets_weights_to_exactly_zero():
    """The weights that are zero at the minimum are exactly zero, all of them where alpha is large, and the KKT conditions hold."""
    alpha, l1_ratio = 0.5, 0.8
    while True:  # a case in which no weight can hardly make up its mind
        X, y = centred_data(50, 12)
        truth = torch.tensor(ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000).fit(X.numpy(), y.numpy()).coef_)
        pull = smooth_gradient(X, y, truth, alpha, l1_ratio).abs() / (alpha * l1_ratio)
        if 4 <= (truth == 0).sum() <= 10 and pull[truth == 0].max() < 0.97 and truth[truth != 0].abs().min() > 0.02:
            break
    largest = float((X.T @ y).abs().max()) / len(y)  # where the lasso has switched everything off
    ((w, _), (none, _), (half, _), (one, _)), _ = fitted(
        X, y, (alpha, l1_ratio, 400), (1.001 * largest, 1.0, 20), (2.002 * largest, 0.5, 20), (0.999 * largest, 1.0, 20)
    )
    if (w != 0).all():
        fail("No weight is exactly zero, though most should be.")
    if ((w == 0) != (truth == 0)).any():
        fail("Other weights than those that should be are exactly zero.")
    slope = smooth_gradient(X, y, w, alpha, l1_ratio)
    violated = torch.where(w == 0, slope.abs() - alpha * l1_ratio, (slope + alpha * l1_ratio * w.sign()).abs())
    if violated.max() > 1e-4:
        fail("The right weights are zero, but the others are not at the minimum: a KKT condition is violated.")
    if none.any() or half.any():
        fail("With alpha a little above the largest that matters, some weight is not exactly zero.")
    if not one.any():
        fail("With alpha a little below the largest that matters, all weights are zero.")


@check(points=1, hint="Only copies may be centred; the penalty sees the weights alone; the intercept is the mean of y - X @ w.")
def leaves_the_intercept_alone():
    """Adding constants to targets and columns changes nothing but the intercept, which no penalty shrinks, and the data stays as it was."""
    for dtype, tolerance in [(torch.float64, 1e-8), (torch.float32, 1e-3)]:
        X, y = centred_data(25, 4)
        settings = [(0.4, 0.5, 0), (0.4, 0.5, 6), (0.0, 1.0, 6), (1e3, 0.5, 6), (0.2, 1.0, 50)]
        shifted = (X + torch.tensor([5.0, -3.0, 0.0, 8.0])).to(dtype), (y + 10).to(dtype)
        results, after = fitted(*shifted, *settings)
        if not (torch.equal(after[0], shifted[0]) and torch.equal(after[1], shifted[1])):
            fail("X or y was modified.")
        references, _ = fitted(X.to(dtype), y.to(dtype), *settings)
        for (alpha, _, steps), (w, b), (reference, _) in zip(settings, results, references, strict=True):
            if not torch.allclose(w, reference, atol=tolerance):
                fail("Adding constants to targets and columns changed the weights.")
            if not math.isclose(b, (shifted[1].double() - shifted[0].double() @ w.double()).mean(), rel_tol=tolerance, abs_tol=10 * tolerance):
                fail(f"After {steps} steps with alpha={alpha:g}, the intercept is not the best one for the weights.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### The path of a diabetes model
#
# The diabetes data that comes with scikit-learn (Efron, Hastie, Johnstone and Tibshirani, *Least angle
# regression*, arXiv:math/0406456) has ten measurements of 442 patients, among them six blood values `s1` to
# `s6`, and a score of how the disease went on a year later. The columns are scaled to variance one here, so
# that a penalty means the same for each. Read the figure from left to right, as the penalty gets weaker: your
# fit, at 18 strengths.

# %% tags=["demo", "raises-exception"]
from sklearn.datasets import load_diabetes

diabetes = load_diabetes(scaled=False)
patients = torch.tensor(diabetes.data)
patients = (patients - patients.mean(0)) / patients.std(0, correction=0)
scores = torch.tensor(diabetes.target)
alpha_max = float((patients.T @ (scores - scores.mean())).abs().max()) / len(scores)
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
for ax, l1_ratio, title in zip(axes, (1.0, 0.5), ("lasso", "elastic net, $\\rho = 0.5$"), strict=True):
    alphas = alpha_max / l1_ratio * np.logspace(0, -2.1, 18)
    path = torch.stack([fit_elastic_net(patients, scores, alpha, l1_ratio, steps=300)[0] for alpha in alphas])
    for j, name in enumerate(diabetes.feature_names):
        ax.plot(alphas, path[:, j], color=f"C{j % 6}", ls="-" if j < 6 else "--", lw=1.4, label=name)
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(xscale="log", xlabel="strength $\\alpha$ of the penalty", title=title)
    ax.invert_xaxis()
    used = (path != 0).sum(1)
    for place in (3, 7, 11, 15):
        ax.text(alphas[place], 1.0, f"{used[place]} used", transform=ax.get_xaxis_transform(), fontsize=8, ha="center", va="top", color="0.35")
axes[0].set_ylabel("weight (score per standard deviation)")
axes[1].legend(fontsize=8.5, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
print(f"correlation of s1 and s2: {np.corrcoef(diabetes.data.T)[4, 5]:.2f}")

# %% [markdown]
# In the lasso, measurements enter one by one: body mass index and `s5` first, then blood pressure. The blood
# values `s1` and `s2` say much the same (the last line gives their correlation), and the lasso uses one of
# them. Squares pull the weights of such columns towards each other, which Zou and Hastie call the grouping
# effect; at the strengths shown here the pull is weak, and for much of its path the elastic net also gets by
# with one of the two.
#
# ### Who finds the zeros?
#
# Now the comparison that this section started from. We minimise the same lasso objective, yours, from the
# same random weights in three ways: with gradients by autograd and `torch.optim.SGD`, likewise with Adam, and
# with your soft threshold after each gradient step.

# %% tags=["demo", "raises-exception"]
alpha, rounds = 0.1 * alpha_max, 300
step = 1 / lipschitz_constant(patients, alpha, 1.0)
start = 10 * torch.randn(10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
histories = {}
for name in ("SGD", "Adam"):
    w, b = start.clone().requires_grad_(), scores.mean()
    optimizer = torch.optim.SGD([w], lr=step) if name == "SGD" else torch.optim.Adam([w], lr=0.3)
    history = []
    for _ in range(rounds):
        optimizer.zero_grad()
        elastic_net_objective(patients, scores, w, b, alpha, 1.0).backward()
        optimizer.step()
        history.append(w.detach().clone())
    histories[name] = torch.stack(history)
w, history = start.clone(), []
for _ in range(rounds):
    gradient = patients.T @ (patients @ w - scores) / len(scores)
    w = soft_threshold(w - step * gradient, step * alpha)
    history.append(w)
histories["soft threshold"] = torch.stack(history)

solution, _ = fit_elastic_net(patients, scores, alpha, 1.0, steps=500)
unused = int((solution == 0).nonzero()[0])
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3))
for (name, history), style in zip(histories.items(), ("C1-", "C3--", "C0-"), strict=True):
    axes[0].plot(range(1, rounds + 1), (history == 0).sum(1), style, label=name, lw=2 if name != "Adam" else 1.5)
    axes[1].plot(range(1, rounds + 1), history[:, unused].abs().clamp(min=1e-9), style, lw=0.7)
axes[0].axhline((solution == 0).sum(), color="0.4", ls=":", lw=1)
axes[0].text(rounds, float((solution == 0).sum()) + 0.12, "at the minimum", fontsize=8, ha="right", color="0.3")
axes[0].set(xlabel="step", ylabel="weights that are exactly 0", title="Zeros", ylim=(-0.3, 6.5))
axes[0].legend(fontsize=8.5, loc="center right")
axes[1].text(20, 3e-5, "soft threshold: exactly 0", fontsize=8.5, color="C0")
axes[1].set(xlabel="step", ylabel="absolute value", yscale="log", title=f"A weight to switch off ({diabetes.feature_names[unused]})", ylim=(1e-5, 100))
slope = patients.T @ (patients @ solution - scores + scores.mean()) / len(scores)
axes[2].plot([-30, 0, 0, 30], [-1, -1, 1, 1], color="C0", lw=5, alpha=0.3)
axes[2].plot(solution, -slope / alpha, "o", color="black", ms=4.5)
axes[2].set(xlabel="weight $w_j$", ylabel="$-\\partial f / \\partial w_j$, in units of $\\alpha\\rho$", title="Ten KKT conditions")
plt.show()
for name, history in histories.items():
    print(f"{name}: {int((history[-1] == 0).sum())} weights of 10 are exactly zero")

# %% [markdown]
# Neither optimiser has a single zero. Under SGD the weight that ought to be off jumps about zero, at
# distances of the order of the learning rate times $\alpha$; under Adam it comes closer, and never arrives
# either. Autograd's derivative of $|w|$ at $w = 0$ is $0$, one of the subgradients; it would keep a weight at
# zero only if no other gradient moved it. The soft threshold puts the weights to zero that belong there, and
# the picture on the right shows it without any other solver: each black dot has to lie on the blue curve, the
# subgradients of $\alpha\rho|w|$.
#
# So "L1 regularisation makes weights zero" is true of the *minimum*. Whether you get there depends on the
# algorithm: with SGD or Adam, weights that are small have to be cut off afterwards, by a threshold of your
# choice. The penalty on squares makes no zeros at all, and neither penalty reduces the *number* of weights
# that are stored. What "L2 regularisation" means under Adam is a question of its own, for exercise 2.2.

# %% [markdown]
# ## 2.2 Weight decay, and Adam
#
# The oldest remedy against overfitting is to keep the weights small. There are two ways to write it down. One
# adds a penalty to the **loss**, whose gradient pulls every weight towards zero:
#
# $$\mathcal L(\theta) + \tfrac{\lambda}{2} \lVert\theta\rVert^2 \quad\Rightarrow\quad g = \nabla \mathcal L(\theta) + \lambda\theta .$$
#
# The other shrinks the **weights** themselves by a fixed share per step, and leaves the gradient alone:
#
# $$\theta \leftarrow (1 - \eta\lambda)\,\theta - \eta \cdot (\text{step of the optimizer}).$$
#
# For plain gradient descent, whose step is the gradient, the two are the same formula. Hence a claim that
# interview guides repeat: *weight decay is L2 regularisation*. With momentum it is no longer exact, since a penalty then
# passes through the running mean. For Adam it is wrong, and the difference has a
# name, **AdamW** (Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, arXiv:1711.05101).
#
# ### What Adam does to a penalty
#
# Adam (Kingma and Ba, *Adam: A Method for Stochastic Optimization*, arXiv:1412.6980, algorithm 1) keeps two
# running means for each weight, of the gradient and of its square, both starting at zero:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 .$$
#
# At first both are too small, because of the zeros they started from. At step $t$ they hold a share of
# $1 - \beta^t$ of what they should, so they are divided by it, and the weight moves by their quotient:
#
# $$\hat m_t = \frac{m_t}{1 - \beta_1^t}, \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t}, \qquad
# \theta_t = \theta_{t-1} - \eta\, \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} .$$
#
# The division by $\sqrt{\hat v_t}$ makes the size of the gradient disappear: a weight whose gradients are a
# hundred times larger takes steps of the same length. Now put $\lambda\theta$ into $g_t$. It is divided, too.
# Where the gradient's noise has standard deviation $s$ and dominates, $\sqrt{\hat v_t} \approx s$, and the
# weight decays by about $\eta\lambda\theta / s$ per step:
# **the larger a weight's gradients, the less it is regularised**. Nobody asked for that.
#
# The figure isolates the effect. The gradients are pure noise, so that decay is all that happens on average,
# and both methods have the same $\eta$ and $\lambda$. On the left, two weights start at 1. On the right, many
# do, each with a noise of its own size.

# %% tags=["demo"]
generator = torch.Generator().manual_seed(0)
rate, decay, n_steps = 0.01, 0.1, 1500
noise = torch.logspace(-3, 2, 11)  # standard deviation of each weight's gradient
methods = {
    "L2 in the loss": (torch.optim.Adam, "C5", "s"),  # Adam's weight_decay is just that
    "decoupled decay": (torch.optim.AdamW, "C0", "o"),
}
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.4), width_ratios=(1, 1.25))
for name, (method, colour, marker) in methods.items():
    weights = torch.ones(400, len(noise), requires_grad=True)  # 400 runs at once
    optimizer = method([weights], lr=rate, weight_decay=decay)
    path = [torch.ones(len(noise))]
    for _ in range(n_steps):
        weights.grad = noise * torch.randn(weights.shape, generator=generator)
        optimizer.step()
        path.append(weights.detach().mean(0))
    path = torch.stack(path)
    axes[0].plot(path[::50, 2], path[::50, 8], marker=marker, ms=3.5, color=colour, label=name)
    axes[1].plot(noise, path[-1], marker=marker, ms=5, color=colour, label=name)
axes[0].plot(0, 0, "x", color="0.4", ms=7)
axes[0].annotate("start", (1, 1), (0.86, 1.03), fontsize=8.5, color="0.35")
axes[0].set(title="Path of two weights", xlabel="weight with gradients of size 0.01", ylabel="weight with gradients of size 10")
axes[0].set(xlim=(-0.06, 1.08), ylim=(-0.06, 1.12))
axes[1].axhline(math.exp(-rate * decay * n_steps), color="0.5", ls=":", lw=1)
axes[1].text(1.3e-3, math.exp(-rate * decay * n_steps) + 0.03, "$(1 - \\eta\\lambda)^{1500}$", fontsize=9, color="0.35")
axes[1].set(title="What is left of each weight after 1500 steps", xscale="log", xlabel="standard deviation of the weight's gradient", ylabel="share of its start", ylim=(-0.06, 1.12))
axes[1].legend(loc="upper left")
plt.show()

# %% [markdown]
# Decoupled decay goes straight for the origin: each weight loses the same share per step, whatever its
# gradients. With L2 in the loss, the weight with small gradients is at zero before the other has noticed that
# there is a penalty.
#
# So AdamW computes $m_t$ and $v_t$ from the gradient of the loss alone, and decays beside them:
#
# $$\theta_t = \theta_{t-1} - \eta\,\Big(\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} + \lambda\,\theta_{t-1}\Big).$$
#
# Both terms act on the **old** weight. Shrinking first and stepping afterwards,
# $(1 - \eta\lambda)\,\theta_{t-1} - \eta\,(\cdot)$, is the same; shrinking the result of the step is not. A
# note on units: algorithm 2 of the paper multiplies the decay by the schedule, but not by the learning rate
# $\alpha$. PyTorch does multiply by it, as we do here, so our $\eta\lambda$ plays the part of the paper's
# $\lambda$.
#
# ### Not every parameter should decay
#
# Decay says "small is simple". That makes sense for weights that multiply the layer's inputs. A **bias**
# multiplies nothing, needs little data to be fitted, and contributes little to overfitting (Goodfellow,
# Bengio and Courville, *Deep Learning*, section 7.1). The gain of a **normalisation layer** starts at 1,
# where it does nothing, and not at 0, where it switches the layer off. It is common practice to leave both
# alone (He et al., *Bag of Tricks for Image Classification with Convolutional Neural Networks*,
# arXiv:1812.01187, section 3.1, "no bias decay").
#
# PyTorch's optimizers take **parameter groups** for this: a list of dicts, each with its own parameters and
# settings. What a group does not set comes from the optimizer's defaults.
#
# ```python
# torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}], lr=1e-3)
# ```
#
# How does code know which is which? By shape ("one axis: no decay") or by name ("norm" in it: no decay) are
# popular shortcuts, and both go wrong: a `LayerNorm` over two axes has a gain with two axes, and nothing
# keeps people from calling a norm `ln_1`, or a linear layer `normaliser`. What a parameter *is* depends on
# the module that owns it. So ask the module.

# %% [markdown]
# ### Exercise 2.2 · AdamW with parameter groups
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **11 points** · PyTorch
#
# **Given** `NORM_LAYERS`, the normalisation layers of PyTorch, and the class `DecoupledAdam` up to its
# constructor. Its base class, `torch.optim.Optimizer`, sorts parameters and settings into
# `self.param_groups`, a list of dicts with the keys `"params"`, `"lr"`, `"betas"`, `"eps"` and
# `"weight_decay"`. It also offers `self.state`, a dict of dicts: `self.state[p]` is yours to fill for the
# parameter `p`, and empty at first. What lies there is what `state_dict()` saves.
#
# **Write** `DecoupledAdam.step`, which does one step of AdamW for every parameter, and `decay_groups`, which
# sorts a model's parameters into those that decay and those that do not. The optimizers `Adam` and `AdamW` of
# `torch.optim`, and the functions that they are made of, are what you are building: do without them; the
# hidden checks make them fail.
#
# <details><summary>Hint 1: where does the state come from?</summary>
#
# `state = self.state[p]` is an ordinary dict. If it is empty, this is the parameter's first step: put in two
# tensors of zeros with the shape and type of `p`, and a count. The count belongs to the parameter, not to the
# optimizer: a layer that got no gradient for a while is younger than the others, and its bias correction has
# to know.
# </details>
#
# <details><summary>Hint 2: close to torch's AdamW, but not close enough?</summary>
#
# Compute $1 - \beta^t$ with Python's numbers. In a `float32` tensor, $0.999^t$ has seven digits, of which the
# subtraction leaves four. And `torch.zeros(p.shape)` is `float32` although `p` may be `float64`;
# `torch.zeros_like(p)` is not.
# </details>
#
# <details><summary>Hint 3: which module owns a parameter?</summary>
#
# `model.modules()` goes through the model and everything in it, each module once, and
# `module.named_parameters(recurse=False)` gives the parameters of that module alone, with their own names.
# Tensors cannot be looked up in a list with `in` (it compares elements), but their `id` can, and in a set, so
# can they.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_adamw", "locked": true, "schema_version": 3, "solution": false, "task": false}
NORM_LAYERS = (
    *(nn.LayerNorm, nn.RMSNorm, nn.GroupNorm),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


# %% nbgrader={"grade": false, "grade_id": "adamw", "locked": false, "schema_version": 3, "solution": true, "task": false}
class DecoupledAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as in
    torch.optim.AdamW.

    Args:
        params: parameters, or dicts as described above; what a dict does not set is taken from the
            other arguments.
        lr: the learning rate.
        betas: of the running means of the gradient and of its square.
        eps: added to the square root of the corrected mean of squares.
        weight_decay: lambda in the formula above.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self) -> None:
        """Moves each parameter p one step along p.grad, by the formula of AdamW above, with both
        bias corrections.

        Each group has its own settings, which may change from step to step: a schedule writes to
        group["lr"]. A parameter whose gradient is None is skipped altogether: neither the parameter
        nor anything kept for it changes, and t counts only the steps that the parameter itself has
        taken. A gradient of zeros is a gradient.

        Parameters are dense, real and of any shape. They are changed in place (what shares their
        memory sees it) and computed in their own precision; gradients are not modified. All that is
        needed to continue after state_dict and load_state_dict is kept in self.state or
        self.param_groups.
        """
        ### BEGIN SOLUTION
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(t=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
                state["t"] += 1
                beta1, beta2 = group["betas"]
                state["mean"].lerp_(p.grad, 1 - beta1)
                state["square"].lerp_(p.grad**2, 1 - beta2)
                mean = state["mean"] / (1 - beta1 ** state["t"])
                square = state["square"] / (1 - beta2 ** state["t"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * mean / (square.sqrt() + group["eps"]))
        ### END SOLUTION


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Sorts the model's parameters into two groups for an optimizer: with weight decay, and
    without.

    Not decayed are: all parameters of normalisation layers (instances of NORM_LAYERS), whatever
    their names and shapes, and all parameters with "bias" in their own name, the part after the
    last dot: bias, in_proj_bias, bias_hh_l0. All others are decayed, whatever their shapes.

    Each parameter is listed once, also if it is tied (used in several places). Frozen ones
    (requires_grad is False) are left out. The model is not modified.

    Returns:
        [{"params": [...], "weight_decay": weight_decay}, {"params": [...], "weight_decay": 0.0}],
        always both, each list of parameters in the order of model.parameters(); it may be empty.

    >>> [len(group["params"]) for group in decay_groups(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), 0.1)]
    [1, 3]
    """
    ### BEGIN SOLUTION
    exempt = set()
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if isinstance(module, NORM_LAYERS) or "bias" in name:
                exempt.add(p)
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p not in exempt], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p in exempt], "weight_decay": 0.0},
    ]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_adamw", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


def travel(make, starts, gradients, groups, settings):
    """Parameters after each step of an optimizer that is fed given gradients.

    Args:
        make: the optimizer's class.
        starts: one tensor for each parameter.
        gradients: for each step and parameter a tensor or None.
        groups: for each group the indices of its parameters and a dict of its own settings.
        settings: for groups that have none of their own.

    Returns:
        For each parameter a tensor with one row more than there are steps.
    """
    parameters = [start.clone().requires_grad_() for start in starts]
    optimizer = make([{"params": [parameters[i] for i in members], **own} for members, own in groups], **settings)
    rows = [[p.detach().clone() for p in parameters]]
    for step in gradients:
        for p, gradient in zip(parameters, step, strict=True):
            if p.grad is None or gradient is None:
                p.grad = None if gradient is None else gradient.clone()
            else:
                p.grad.copy_(gradient)  # the same tensor again, as zero_grad(set_to_none=False) leaves it
        optimizer.step()
        rows.append([p.detach().clone() for p in parameters])
    return [torch.stack(path) for path in zip(*rows, strict=True)]


@check(points=1, hint="Both corrections with the same t, which is 1 at the first step; the decay acts on the weight, not on the gradient.")
def three_steps_agree_with_torch():
    """The first three steps are those of torch.optim.AdamW."""
    start = [torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)]
    slopes = torch.tensor([[1.0, -0.1, 10.0], [3.0, -0.1, -20.0], [-1.0, -0.1, 10.0]], dtype=torch.float64)
    case = start, [[slope] for slope in slopes], [([0], {})], dict(lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    path = travel(torch.optim.AdamW, *case)[0]
    other = travel(torch.optim.Adam, *case)[0]
    found = probe(travel, DecoupledAdam, *case)[0]
    if torch.allclose(found, other, atol=1e-5):
        fail("This is Adam with L2 in the loss: the decay went into the gradient, and through the running means.")
    for t in (1, 2, 3):
        numbers = [[round(value, 4) for value in row[t].tolist()] for row in (found, path)]
        assert torch.allclose(found[t], path[t], atol=1e-5), f"after step {t} the parameter is {numbers[0]}, and with torch.optim.AdamW {numbers[1]}"


@check(points=1, hint="Go through the modules. What belongs to a norm layer does not decay, nor does a bias.")
def sorts_a_small_model():
    """In a small model, the weights of linear layers decay; biases and the LayerNorm do not."""
    def run():
        model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
        names = {id(p): name for name, p in model.named_parameters()}
        return [(sorted(names[id(p)] for p in group["params"]), float(group["weight_decay"])) for group in decay_groups(model, 0.1)]

    found = probe(run)
    assert len(found) == 2, f"{len(found)} groups instead of two"
    (decayed, some), (spared, none) = found
    assert (some, none) == (0.1, 0), f"asked for a decay of 0.1, the groups have {some:g} and {none:g}"
    assert decayed == ["0.weight", "2.weight"], f"decayed: {decayed}"
    assert spared == ["0.bias", "1.bias", "1.weight", "2.bias"], f"not decayed: {spared}"


### BEGIN HIDDEN TESTS
from copy import deepcopy

TORCHS_ADAM = (
    "torch.optim.Adam.__init__",
    "torch.optim.Adam.step",
    "torch.optim.adam.adam",
    "torch.optim.adamw.adamw",
    "torch.optim.adam._single_tensor_adam",
    "torch.optim.adam._multi_tensor_adam",
    "torch._fused_adam_",
    "torch._fused_adamw_",
)


def journeys(*cases):
    """Paths taken by the student's optimizer, for several cases (arguments of travel), with torch's own Adam out of reach."""
    def run(cases):
        with forbidden(*TORCHS_ADAM):
            return [travel(DecoupledAdam, *case) for case in cases]

    return probe(run, cases)


def random_gradients(n_steps, shapes, dtype=torch.float64, spread=2.0):
    """Gradients of size 10 ** -spread to 10 ** spread, each entry's size the same at every step."""
    sizes = [10 ** (spread * (2 * torch.rand(shape, dtype=torch.float64) - 1)) for shape in shapes]
    return [[(size * torch.randn(size.shape, dtype=torch.float64)).to(dtype) for size in sizes] for _ in range(n_steps)]


def random_starts(shapes, dtype=torch.float64):
    return [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes]


def furthest(found, truth):
    """Largest distance between two sets of paths; NaN counts as far."""
    return max(torch.nan_to_num((a - b).abs(), nan=math.inf).max().item() for a, b in zip(found, truth, strict=True))


TINY = 1e-30  # an epsilon that does not matter


@check(points=2, hint="Write down m, v, both corrections and the update, line by line, and compare with the formula. Where is the epsilon, and what does the decay act on?")
def follows_torch_for_many_steps():
    """Over many steps and settings, parameters of float64 and float32 follow torch.optim.AdamW."""
    shapes = [(2, 3), (), (5,)]
    everything = [([0, 1, 2], {})]
    cases = []
    for settings in [
        dict(lr=0.05, betas=(0.9, 0.999), eps=TINY, weight_decay=0.0),
        dict(lr=0.1, betas=(0.8, 0.95), eps=TINY, weight_decay=0.7),
        dict(lr=0.02, betas=(0.0, 0.5), eps=TINY, weight_decay=3.0),
    ]:
        cases.append((random_starts(shapes), random_gradients(40, shapes), everything, settings))
    coarse = dict(lr=0.1, betas=(0.9, 0.99), eps=0.3, weight_decay=0.2)
    cases.append((random_starts(shapes), random_gradients(20, shapes, spread=1.0), everything, coarse))
    single = dict(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.2)
    cases.append((random_starts(shapes, torch.float32), random_gradients(20, shapes, torch.float32), everything, single))
    *double, epsilons, singles = (furthest(found, travel(torch.optim.AdamW, *case)) for found, case in zip(journeys(*cases), cases, strict=True))
    if max(double) > 1e-3:
        fail("The path is not that of AdamW " + ("without weight decay." if double[0] > 1e-3 else "with weight decay; without it, it is."))
    if max(double) > 1e-9:
        fail("The path is near that of AdamW, but less precise than float64: something was computed in float32.")
    if epsilons > 1e-9:
        fail("With a large epsilon, the path is not that of AdamW; with a tiny one, it is. Epsilon is added to the root of the corrected mean.")
    if singles > 1e-4:
        fail("In float32, the path is not that of AdamW; in float64, it is.")


@check(points=1, hint="The running means see the gradient of the loss and nothing else. One step takes the share lr * weight_decay off the old weight.")
def decay_is_decoupled():
    """Each step takes the share lr * weight_decay off the old weight, whatever the size of its gradients."""
    shapes = [(3, 4)]
    start, gradients = random_starts(shapes), random_gradients(12, shapes)
    powers = 2.0 ** torch.arange(-12, 12, 2, dtype=torch.float64).reshape(3, 4)
    rescaled = [[gradient * powers for gradient in step] for step in gradients]
    nothing = [[torch.zeros_like(gradient) for gradient in step] for step in gradients]
    settings = dict(lr=0.125, betas=(0.9, 0.99), eps=TINY, weight_decay=0.5)
    whole = [([0], {})]
    (path,), (other,), (shrinking,), (free,) = journeys(
        (start, gradients, whole, settings),
        (start, rescaled, whole, settings),
        (start, nothing, whole, settings),
        (start, gradients[:1], whole, settings | {"weight_decay": 0.0}),
    )
    if furthest([path], [other]) > 1e-9:
        fail("Where the gradient of a weight is larger by a constant factor at all steps, its path should be the same (epsilon is tiny here).")
    times = torch.arange(13, dtype=torch.float64)[:, None, None]
    if furthest([shrinking], [start[0] * (1 - 0.125 * 0.5) ** times]) > 1e-9:
        fail("With gradients of zeros, each step should take the share lr * weight_decay off the weight.")
    if furthest([path[1] - free[1]], [-0.125 * 0.5 * start[0]]) > 1e-9:
        fail("The decay should act on the weight before the step, not on the result of the step.")


@check(points=1, hint="Read lr, betas, eps and weight_decay from the group, in every step. What you keep for a parameter is its own.")
def groups_are_independent():
    """Each group follows its own settings, also where they change on the way."""
    shapes = [(2, 3), (2, 3), (2, 3), (2, 3)]
    start, gradients = random_starts(shapes), random_gradients(6, shapes)
    groups = [
        ([0], dict(lr=0.1, betas=(0.9, 0.99), eps=0.5, weight_decay=0.5)),
        ([1, 2], dict(lr=0.3, betas=(0.5, 0.6), eps=TINY, weight_decay=0.0)),
        ([3], dict(eps=0.01, betas=(0.2, 0.9))),  # the rest by default
    ]
    defaults = dict(lr=0.02, betas=(0.7, 0.8), eps=0.1, weight_decay=2.0)
    alone = []
    for members, own in groups:
        some = [[step[i] for i in members] for step in gradients]
        alone.append(([start[i] for i in members], some, [(range(len(members)), {})], defaults | own))
    together, *apart = journeys((start, gradients, groups, defaults), *alone)
    if furthest(together, [path for paths in apart for path in paths]) > 1e-12:
        fail("In one optimizer with several groups, the parameters do not go where they go in optimizers of their own.")

    def run(start, gradients, changes):
        """Two steps, the second one with other settings in the first group."""
        with forbidden(*TORCHS_ADAM):
            first, second = parameters = [tensor.clone().requires_grad_() for tensor in start[:2]]
            optimizer = DecoupledAdam([{"params": [first]}, {"params": [second]}], lr=0.1, weight_decay=0.5)
            for step in gradients[:2]:
                before = [p.detach().clone() for p in parameters]
                for p, gradient in zip(parameters, step[:2], strict=True):
                    p.grad = gradient.clone()
                optimizer.step()
                optimizer.param_groups[0].update(changes)
            return before, [p.detach() for p in parameters]

    def compare(start, gradients):
        return [run(start, gradients, changes) for changes in ({}, {"lr": 0.2}, {"weight_decay": 0.0})]

    (before, same), (_, faster), (_, free) = probe(compare, start, gradients)
    if furthest([faster[0] - before[0]], [2 * (same[0] - before[0])]) > 1e-9:
        fail("Twice the learning rate, set between two steps, does not make the next step twice as long.")
    if furthest([free[0]], [same[0] + 0.1 * 0.5 * before[0]]) > 1e-9:
        fail("A weight decay that is set to zero between two steps still acts.")
    if furthest([faster[1], free[1]], [same[1], same[1]]) > 1e-9:
        fail("A change of one group's settings changes the path of another group.")


@check(points=1, hint="Skip the parameter before anything of it is touched, and count steps for each parameter.")
def skips_without_gradient():
    """A parameter without gradient stays as it is, and counts only the steps that it takes."""
    shapes = [(3,), (3,), (2,)]
    start, gradients = random_starts(shapes), random_gradients(7, shapes)
    sometimes = [[step[0], step[1] if t in (2, 3, 6) else None, None] for t, step in enumerate(gradients)]
    settings = dict(lr=0.1, betas=(0.8, 0.9), eps=TINY, weight_decay=0.4)
    only = [[step[1]] for t, step in enumerate(gradients) if t in (2, 3, 6)]
    everything = [([1, 0, 2], {})]
    found, (always,), (alone,) = journeys(
        (start, [[None, None, None], *sometimes, [None, None, None]], everything, settings),
        (start[:1], [step[:1] for step in gradients], [([0], {})], settings),
        (start[1:2], only, [([0], {})], settings),
    )
    moved = [path[1:].ne(path[:-1]).any(1) for path in found]
    if moved[2].any() or moved[1][[0, 1, 2, 5, 6, 8]].any() or moved[0][[0, 8]].any():
        fail("A parameter whose gradient is None was changed: by its decay, or by what is left of older gradients.")
    if furthest([found[1][[0, 4, 5, 8]]], [alone]) > 1e-12:
        fail("A parameter that is without gradient in some steps takes other steps than one that never met them: do its running means or its count go on?")
    if furthest([found[0][1:9]], [always]) > 1e-12:
        fail("A parameter's path changes when other parameters are without gradient.")


@check(points=1, hint="What you keep has to be in self.state (or the groups): that is what state_dict() saves.")
def continues_from_a_state_dict():
    """An optimizer that loads the state_dict of another one goes on as that one would have."""
    def run(start, gradients):
        with forbidden(*TORCHS_ADAM):
            def begin(tensors, lr, weight_decay):
                parameters = [tensor.detach().clone().requires_grad_() for tensor in tensors]
                groups = [{"params": parameters[:2]}, {"params": parameters[2:], "betas": (0.5, 0.75)}]
                return parameters, DecoupledAdam(groups, lr=lr, weight_decay=weight_decay)

            def go(parameters, optimizer, steps):
                for step in steps:
                    for p, gradient in zip(parameters, step, strict=True):
                        p.grad = None if gradient is None else gradient.clone()
                    optimizer.step()
                return [p.detach().clone() for p in parameters]

            parameters, optimizer = begin(start, 0.1, 0.4)
            middle = go(parameters, optimizer, gradients[:4])
            saved = deepcopy(optimizer.state_dict())
            others, fresh = begin(middle, 0.7, 0.0)  # these settings are overwritten
            fresh.load_state_dict(saved)
            return go(parameters, optimizer, gradients[4:]), go(others, fresh, gradients[4:])

    shapes = [(2, 3), (3,), (2,)]
    gradients = random_gradients(8, shapes)
    gradients[1][1] = gradients[5][1] = None
    uninterrupted, resumed = probe(run, random_starts(shapes), gradients)
    if furthest(resumed, uninterrupted) > 1e-12:
        fail("After load_state_dict, the parameters take other steps than without the interruption.")


@check(points=1, hint="Operations that end in an underscore change their tensor: never use one on p.grad, and always one on p.")
def only_parameters_change():
    """A step changes the parameters in place, and neither the gradients nor torch's gradient mode."""
    def run(start, gradients):
        with forbidden(*TORCHS_ADAM):
            parameters = [tensor.clone().requires_grad_() for tensor in start]
            shared = [p.detach() for p in parameters]  # the same memory
            optimizer = DecoupledAdam([{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.0}], lr=0.1, weight_decay=0.5)
            after, kept = [], []
            for step in gradients:
                given = [gradient.clone() for gradient in step]
                for p, gradient in zip(parameters, given, strict=True):
                    p.grad = gradient
                optimizer.step()
                after.append([gradient.clone() for gradient in given])
                kept.append(all(p.grad is gradient for p, gradient in zip(parameters, given, strict=True)))
                if not torch.is_grad_enabled():
                    torch.set_grad_enabled(True)
                    return after, None, None, False
            in_place = [(p.detach() - other).abs().max().item() for p, other in zip(parameters, shared, strict=True)]
            return after, max(in_place), all(kept), all(p.requires_grad and p.is_leaf for p in parameters)

    shapes = [(2, 3), (4,)]
    gradients = random_gradients(3, shapes)
    after, distance, kept, clean = probe(run, random_starts(shapes), gradients)
    if any(not torch.equal(a, b) for step, truth in zip(after, gradients, strict=True) for a, b in zip(step, truth, strict=True)):
        fail("The gradients were modified: whoever logs or clips them next gets something else.")
    if not clean:
        fail("After a step, the parameters no longer require gradients, or torch's gradient mode was left switched off.")
    if not kept:
        fail("After a step, p.grad is another tensor or None.")
    if distance > 0:
        fail("The parameters got new memory: tensors that shared it with them still have the old values.")


class Oddities(nn.Module):
    """Names and shapes that mislead."""

    def __init__(self):
        super().__init__()
        self.normaliser = nn.Linear(3, 2)
        self.bias_net = nn.ModuleDict({"bias": nn.Linear(2, 2, bias=False), "layernorm": nn.Linear(2, 1)})
        self.ln_1 = nn.LayerNorm((4, 5))
        self.last = type("OwnNorm", (nn.RMSNorm,), {})(6)
        self.scale = nn.Parameter(torch.ones(7))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.words = nn.Embedding(9, 2)


MODELS = {  # name: how to build it, and what decays
    "linear": (lambda: nn.Linear(3, 2), {"weight"}),
    "images": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.Conv1d(4, 2, 1, bias=False), nn.BatchNorm1d(2)),
        {"0.weight", "4.weight"},
    ),
    "attention": (lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True), {"in_proj_weight", "out_proj.weight"}),
    "transformer": (lambda: nn.TransformerEncoderLayer(4, 2, 8), {"self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight"}),
    "recurrent": (lambda: nn.LSTM(2, 3, num_layers=2), {"weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"}),
    "oddities": (Oddities, {"normaliser.weight", "bias_net.bias.weight", "bias_net.layernorm.weight", "scale", "temperature", "words.weight"}),
}


def sorted_by_student(build, weight_decay):
    """What decay_groups makes of a model, parameters by the names that named_parameters gives them."""
    model = build()
    names = {id(p): name for name, p in model.named_parameters()}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    groups = [([names.get(id(p), "") for p in group["params"]], float(group["weight_decay"])) for group in decay_groups(model, weight_decay)]
    unchanged = all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    unchanged &= frozen == {name for name, p in model.named_parameters() if not p.requires_grad}
    return groups, unchanged, list(names.values()), frozen


@check(points=1, hint="Ask the module that owns the parameter whether it is a norm layer, and look for 'bias' in the parameter's own name only.")
def sorts_by_role():
    """Biases and the parameters of all norm layers are spared, all others decayed, whatever their names and shapes."""
    def run(builders):
        return [sorted_by_student(build, 0.25) for build in builders]

    found = probe(run, [build for build, _ in MODELS.values()])
    for (groups, *_, names, _), (_, decaying) in zip(found, MODELS.values(), strict=True):
        if [weight_decay for _, weight_decay in groups] != [0.25, 0]:
            fail("There should be two groups: the first with the weight decay that was asked for, the second with none.")
        (decayed, _), (spared, _) = groups
        if any(name not in decayed and name not in spared for name in names):
            fail("A parameter is in neither group.")
        wrongly = [name.rpartition(".")[2] for name in decayed if name not in decaying]
        if any("bias" in name for name in wrongly):
            fail("A bias is decayed. Some layers call it in_proj_bias or bias_hh_l0.")
        if wrongly:
            fail("The weight of a norm layer is decayed. It may have any name and several axes, and its class may be derived from one of NORM_LAYERS.")
        if any(name in decaying for name in spared):
            fail("A parameter is spared that is neither a bias nor part of a norm layer. Its number of axes does not matter, and neither do the names of modules around it.")


def tied_model():
    """An embedding tied to the output layer, a layer that is used twice, and a bias that two layers share."""
    model = nn.Module()
    model.words = nn.Embedding(5, 3)
    model.body = nn.Linear(3, 3)
    model.again = model.body
    model.norm = nn.LayerNorm(3)
    model.head = nn.Linear(3, 5)
    model.head.weight = model.words.weight
    model.other = nn.Linear(3, 5)
    model.other.bias = model.head.bias
    return model


def frozen_model():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    model[1].weight.requires_grad_(False)
    model[4].bias.requires_grad_(False)
    return model


@check(points=1, hint="model.parameters() gives each parameter once, in a fixed order. Leave out those that do not require gradients.")
def each_trainable_parameter_once():
    """Tied parameters are listed once, frozen ones not at all, in the model's order, and the model stays as it is."""
    cases = [
        (tied_model, ["words.weight", "body.weight", "other.weight"], ["body.bias", "norm.weight", "norm.bias", "head.bias"]),
        (frozen_model, ["2.weight", "4.weight"], ["1.bias", "2.bias", "3.weight", "3.bias"]),
        (lambda: nn.Linear(2, 2, bias=False), ["weight"], []),
        (lambda: nn.BatchNorm1d(2), [], ["weight", "bias"]),
        (lambda: nn.Linear(2, 2).requires_grad_(False), [], []),
        (lambda: nn.Sequential(*(nn.Linear(2, 2) for _ in range(12))), [f"{i}.weight" for i in range(12)], [f"{i}.bias" for i in range(12)]),
    ]

    def run(builders):
        return [sorted_by_student(build, 0.0) for build in builders]

    found = probe(run, [build for build, *_ in cases])
    for (groups, unchanged, order, frozen), (_, *truth) in zip(found, cases, strict=True):
        if len(groups) != 2:
            fail("There should always be two groups, also if one of them is empty.")
        lists = [names for names, _ in groups]
        everything = [name for names in lists for name in names]
        if not unchanged:
            fail("The model was modified.")
        if len(set(everything)) < len(everything):
            fail("A parameter is listed twice: it may be used in several places.")
        if frozen & set(everything):
            fail("A frozen parameter is listed.")
        if sorted(everything) != sorted(name for names in truth for name in names):
            fail("A parameter that can be trained is missing.")
        if any(sorted(names, key=order.index) != names for names in lists):
            fail("The parameters are not in the order of model.parameters(). A state_dict numbers them, so the order must not depend on chance.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What decoupling buys
#
# Does it matter whether a loss is the mean over the batch or the sum? To plain Adam it does not: it divides
# by the size of the gradients. Nor does it to AdamW. To Adam with L2 it does, since the penalty is weighed
# against the loss.
#
# Below, your optimizer and Adam with L2 train the same small network on 150 digits, three times each: with
# the loss as it is, with a hundredth of it, and with a hundred times as much. Both have $\lambda = 1$, and
# both leave biases and norms alone, thanks to your `decay_groups`.

# %% tags=["demo", "raises-exception"]
from sklearn.datasets import load_digits

pixels, numerals = (torch.tensor(array) for array in load_digits(return_X_y=True))
pixels = pixels.float() / 16


def digit_losses(method, factor, n_steps=300):
    """Loss on the other digits after each step, and the length of all decayed weights at the end."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))
    groups = decay_groups(model, 1.0)
    optimizer = method(groups, lr=3e-3)
    losses = []
    for _ in range(n_steps):
        with torch.no_grad():
            losses.append(F.cross_entropy(model(pixels[150:650]), numerals[150:650]).item())
        optimizer.zero_grad()
        (factor * F.cross_entropy(model(pixels[:150]), numerals[:150])).backward()
        optimizer.step()
    return losses, math.sqrt(sum((p**2).sum().item() for p in groups[0]["params"]))


fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.3), sharey=True)
for ax, title, method in [(axes[0], "Your AdamW", DecoupledAdam), (axes[1], "Adam, L2 in the loss", torch.optim.Adam)]:
    for factor, colour, style, width in [(0.01, "C0", "-", 5), (1, "C1", "-", 2.5), (100, "black", ":", 1.5)]:
        losses, length = digit_losses(method, factor)
        ax.plot(losses, color=colour, ls=style, lw=width, label=f"{factor:g} × loss (weights: {length:.1f})")
    ax.set(title=title, xlabel="step", ylim=(0, 2.6))
    ax.legend(fontsize=8.5, title="trained on (length of the weights)", title_fontsize=8.5, loc="center right", bbox_to_anchor=(1, 0.68))
axes[0].set_ylabel("cross-entropy on unseen digits (nats)")
plt.show()

# %% [markdown]
# On the left, three curves lie on top of each other: AdamW is **scale-free**. Multiply the gradient of any
# weight by a constant, and nothing changes, as long as $\epsilon$ is small (Zhuang et al., *Understanding
# AdamW through Proximal Methods and Scale-Freeness*, arXiv:2202.00089). (If the lengths differ in the last
# digit, $\epsilon$ was not quite small enough for a hundredth of the loss.) On the right, the same $\lambda$
# wipes out the network, holds it back, or suits it, depending on a factor that should not matter. In deep
# networks, gradients differ by orders of magnitude from layer to layer, so a single $\lambda$ in the loss is
# all of this at once.
#
# What remains coupled: PyTorch's decay is $\eta\lambda$ per step. Halve the learning rate, and you halve the
# decay; and a schedule that ends at zero ends the decay, too.

# %% [markdown]
# ## 2.3 Dropout
#
# Dropout is the simplest regulariser to describe: while training, set each unit of a layer to zero with
# probability $p$, at random and anew for every sample and step; when the network is used, leave everything as
# it is (Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 15,
# 2014).
#
# Interview guides explain it by saying that it *makes the model depend less on particular training samples*.
# But no sample is left out. What dropout removes are **units**, and what it prevents is, in the words of the
# paper's abstract, that units **co-adapt** too much. Without it, a unit may learn to correct the mistakes of
# another one, in a way that fits the training data and nothing else. A unit whose partners vanish half of the
# time has to be useful on its own.
#
# ### Keeping the scale
#
# If half of the units vanish, the next layer receives half of the sum that it gets when none do. Training and
# use have to agree, so either the weights are scaled down afterwards, or what is kept is scaled up at once.
# The second way, **inverted dropout**, is what PyTorch and Keras do (section 10 of the paper mentions it),
# because it leaves nothing to do later:
#
# $$y_i = \frac{m_i\, x_i}{1 - p}, \qquad m_i = \begin{cases} 0 & \text{with probability } p \\ 1 & \text{with probability } 1 - p \end{cases}
# \qquad\Rightarrow\qquad \mathbb E[y_i] = x_i, \qquad \mathrm{Var}[y_i] = \frac{p}{1 - p}\, x_i^2 .$$
#
# Mind the letter: in the paper, $p$ is the probability that a unit is *kept*. In PyTorch's `nn.Dropout(p)`
# and Keras' `Dropout(rate)`, it is the probability that it is *dropped*, as it is here.
#
# The figure shows what a layer sees whose input is a picture. Each draw has lost a share $p$ of its pixels,
# and the others are darker than they were (the grey scale ends at black). On average, the picture is there.

# %% nbgrader={"grade": false, "grade_id": "setup_keras", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped
from sklearn.datasets import load_digits

# %% tags=["demo"]
picture = load_digits().images[0]
chance = np.random.default_rng(1)
fig, axes = plt.subplots(2, 6, figsize=(9.3, 3.5))
for row, (ax_row, p) in enumerate(zip(axes, (0.5, 0.8), strict=True)):
    draws = picture * (chance.random((1000, 8, 8)) >= p) / (1 - p)
    panels = {"input": picture, "draw 1": draws[0], "draw 2": draws[1], "draw 3": draws[2], "mean of 20": draws[:20].mean(0), "mean of 1000": draws.mean(0)}
    for ax, (title, values) in zip(ax_row, panels.items(), strict=True):
        ax.imshow(values, cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set(visible=True, color="0.8")
        if row == 0:
            ax.set_title(title, fontsize=10, loc="center")
    ax_row[0].set_ylabel(f"$p = {p}$")
plt.show()

# %% [markdown]
# The price of dropout is noise. On the left, what a unit of the next layer receives from 100 units: with the
# factor $1/(1-p)$, its mean is where it will be when nothing is dropped; without the factor, training and use
# disagree. On the right, the variance: harmless at $p = 0.2$, and at $p = 0.9$ nine times the square of the
# input.

# %% tags=["demo"]
chance = np.random.default_rng(2)
units, incoming = chance.random(100), chance.normal(0.1, 0.1, 100)
masks = chance.random((20_000, 100)) >= 0.5
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.2), width_ratios=(1.3, 1))
bins = np.linspace(0, 9, 70)
axes[0].hist((masks * units) @ incoming, bins, color="C1", alpha=0.75, label="training, without the factor")
axes[0].hist((masks * units) @ incoming / 0.5, bins, color="C0", alpha=0.75, label="training, inverted dropout")
axes[0].axvline(units @ incoming, color="black", ls="--", lw=1.5, label="nothing dropped")
axes[0].set(title="Sum over 100 units, $p = 0.5$", xlabel="input of a unit in the next layer", ylabel="draws of 20,000")
axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.45)
axes[0].legend(fontsize=8.5, loc="upper right")
rates = np.linspace(0, 0.92, 100)
axes[1].plot(rates, rates / (1 - rates), color="C0", label="$p\\,/\\,(1-p)$")
some_rates = np.arange(0.1, 0.95, 0.1)
axes[1].plot(some_rates, [np.var((chance.random(100_000) >= p) / (1 - p)) for p in some_rates], "o", color="C5", ms=5, label="of 100,000 draws")
axes[1].set(title="Variance of the output for an input of 1", xlabel="probability of dropping, $p$", ylabel="variance")
axes[1].legend()
plt.show()

# %% [markdown]
# ### Two frameworks, two ways to know the mode
#
# A layer has to know whether it is training. **PyTorch** keeps it in the module: `model.train()` and
# `model.eval()` set `self.training` in every part of the model. It has nothing to do with gradients:
# `torch.no_grad()` does not switch dropout off. **Keras** passes it along with each call:
# `layer(x, training=True)`, and a model passes its own mode on to its layers; `fit` sets it.
#
# They differ in their random numbers, too. PyTorch draws from one generator with a state, so each call gives
# new numbers. Keras' random functions are **stateless**: `keras.random.uniform(shape, seed=7)` gives the same
# numbers every time. New ones come from a `keras.random.SeedGenerator`, which moves on each time that it is
# passed as the `seed`. And since Keras compiles `call` in `fit`, whatever Python or NumPy computes in it is
# computed **once**, while the function is traced: a mask drawn with NumPy would stay the same for the rest of
# the training.

# %% [markdown]
# ### Exercise 2.3 · Dropout in both frameworks
#
# > **Difficulty** ★☆☆☆ · **30 minutes** · **10 points** · PyTorch and Keras 3 on TensorFlow
#
# **Given** the constructors of two layers.
#
# **Write** `TorchDropout.forward` and `KerasDropout.call`: inverted dropout, element by element. The
# frameworks' own dropout (`nn.Dropout`, `F.dropout`, `torch.dropout`, `keras.layers.Dropout`,
# `keras.random.dropout`, `tf.nn.dropout`) is what you are building; the hidden checks make it fail.
#
# <details><summary>Hint 1: from uniform numbers to a mask</summary>
#
# A number that is uniform between 0 and 1 is below $p$ with probability $p$. Draw one for each element, not
# one for each sample or each feature.
# </details>
#
# <details><summary>Hint 2: p = 1</summary>
#
# Everything is dropped, and $1/(1-p)$ does not exist. It is not enough to replace infinities in the result:
# in the gradient, $0 \cdot \infty$ is NaN. Choose the factor so that no division by zero takes place.
# </details>
#
# <details><summary>Hint 3: shapes and types in Keras</summary>
#
# In a compiled model the size of the batch is not known in advance: `inputs.shape` has a `None` there, and
# `keras.ops.shape(inputs)` does not. `keras.ops.cast(mask, inputs.dtype)` makes numbers of a Boolean mask.
# </details>

# %% nbgrader={"grade": false, "grade_id": "dropout", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TorchDropout(nn.Module):
    """Inverted dropout for PyTorch.

    Args:
        p: probability with which an element is dropped, from 0 to 1, both included.
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drops elements of x in training mode; in evaluation mode, the result is equal to x bit by
        bit.

        In training mode, each element is set to zero with probability p, independently of all
        others and anew in each call, and is divided by 1 - p otherwise. The gradient goes through
        the same elements by the same factor. With p = 0, nothing changes; with p = 1, result and
        gradient are zero.

        Args:
            x: finite numbers of any shape and any floating type; not modified.

        Returns:
            A tensor of the shape and type of x. Random numbers come from torch: torch.manual_seed
            repeats them.
        """
        ### BEGIN SOLUTION
        if not self.training:
            return x
        kept = torch.rand(x.shape, device=x.device) >= self.p
        return x * kept * (1 / (1 - self.p) if self.p < 1 else 0.0)
        ### END SOLUTION


class KerasDropout(keras.layers.Layer):
    """Inverted dropout for Keras.

    Args:
        rate: probability with which an element is dropped, from 0 to 1, both included.
        kwargs: as for every layer of Keras, such as name and dtype.
    """

    def __init__(self, rate: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training: bool = False):
        """Drops elements of the inputs if training is true; otherwise the result is equal to them
        bit by bit.

        What training does is said in TorchDropout.forward, with rate in place of p. It holds for
        eager calls as well as for compiled ones (tf.function, as used by fit): there, too, the mask
        is a new one in each call, and the batch may have any size.

        Args:
            inputs: finite numbers of any shape and of the type that the layer computes in.

        Returns:
            A tensor of the shape and type of inputs.
        """
        ### BEGIN SOLUTION
        if not training:
            return inputs
        kept = keras.random.uniform(keras.ops.shape(inputs), seed=self.seed_generator) >= self.rate
        return inputs * keras.ops.cast(kept, inputs.dtype) * (1 / (1 - self.rate) if self.rate < 1 else 0.0)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_dropout", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def compare_with_ones(trained, evaluated):
    """Asserts that ones were dropped with p = 0.25 while training, and not at all otherwise."""
    assert trained.shape == (40, 50), f"ones of shape (40, 50) went in, {tuple(trained.shape)} came out"
    values = sorted({round(float(value), 3) for value in trained.flat})
    assert len(values) == 2 and values[0] == 0, f"in training, there should be two values, 0 and 1 / (1 - p); there are: {values[:5]}"
    assert values[1] == 1.333, f"what is kept is {values[1]:g} instead of 1 / 0.75 = 1.333"
    share = float((trained == 0).mean())
    assert 0.15 < share < 0.35, f"{share:.0%} of the ones were dropped instead of about 25 %"
    assert evaluated.shape == (40, 50) and (evaluated == 1).all(), "without training, the ones did not stay as they were"


@check(points=1, hint="self.training says whether the layer is training.")
def torch_drops_ones():
    """In PyTorch, ones become 0 or 1 / (1 - p) while training, and stay as they are otherwise."""
    def run(x):
        layer = TorchDropout(0.25)
        return [layer.train(mode)(x) for mode in (True, False)]

    compare_with_ones(*(np.asarray(y) for y in probe(run, torch.ones(40, 50))))


@check(points=1, hint="The argument training says whether the layer is training.")
def keras_drops_ones():
    """In Keras, ones become 0 or 1 / (1 - rate) while training, and stay as they are otherwise."""
    def run(x):
        layer = KerasDropout(0.25)
        return [np.asarray(layer(x, training=mode)) for mode in (True, False)]

    compare_with_ones(*probe(run, np.ones((40, 50), "float32")))


### BEGIN HIDDEN TESTS
LIBRARY_DROPOUT = (
    "torch.nn.functional.dropout",
    "torch.dropout",
    "torch.dropout_",
    "torch.native_dropout",
    "keras.random.dropout",
    "keras.layers.Dropout.call",
    "tensorflow.nn.dropout",
    "tensorflow.nn.experimental.general_dropout",
    "tensorflow.nn.experimental.stateless_dropout",
)
Z = 4.9  # a normal number is further out with a probability of one in a million


def in_torch(cases):
    """Outputs while training, for pairs of p and a list of inputs (arrays); one layer per pair."""
    with forbidden(*LIBRARY_DROPOUT):
        layers = [TorchDropout(p).train() for p, _ in cases]
        return [[layer(torch.tensor(x)).numpy() for x in inputs] for layer, (_, inputs) in zip(layers, cases, strict=True)]


def in_keras(cases):
    """The same in Keras."""
    with forbidden(*LIBRARY_DROPOUT):
        layers = [KerasDropout(p) for p, _ in cases]
        return [[np.asarray(layer(x, training=True)) for x in inputs] for layer, (_, inputs) in zip(layers, cases, strict=True)]


def nonzero(*shape, dtype="float32"):
    """Numbers of both signs, none of them near zero."""
    return (np.random.uniform(0.5, 2, shape) * np.random.choice([-1, 1], shape)).astype(dtype)


def share_is(found, probability, n):
    """Whether a share of n draws is compatible with a probability."""
    return abs(found - probability) < Z * math.sqrt(probability * (1 - probability) / n)


def compare_law(run):
    """Share, mean, variance and values of the outputs for 100,000 elements each."""
    cases = [(p, [nonzero(1, 100_000)]) for p in (0.1, 0.37, 0.8)]
    for (p, (x,)), (y,) in zip(cases, probe(run, cases), strict=True):
        if y.shape != x.shape:
            fail(f"An input of shape {x.shape} gave an output of shape {y.shape}.")
        ratio, n = np.float64(y) / x, x.size
        if not share_is(np.mean(y == 0), p, n):
            fail(f"The share of dropped elements is not compatible with the probability of {p:g}" + (": they are kept with that probability." if share_is(np.mean(y != 0), p, n) else "."))
        variance = p / (1 - p)
        if abs(ratio.mean() - 1) > Z * math.sqrt(variance / n):
            fail("On average, the output is not the input: what is kept has to be scaled.")
        fourth = p * (1 - p) * (1 - 3 * p * (1 - p)) / (1 - p) ** 4
        if abs(ratio.var() - variance) > Z * math.sqrt((fourth - variance**2) / n) + 1e-4:
            fail("The mean of the outputs is right, their variance is not.")
        if not np.allclose(ratio[y != 0], 1 / (1 - p), rtol=1e-5):
            fail("Elements that are kept are not all scaled by 1 / (1 - p).")


@check(points=1, hint="Drop with probability p, keep with probability 1 - p, divide what is kept by 1 - p.")
def torch_law():
    """In PyTorch, the dropped share, mean and variance agree with theory for several p (z-tests on 100,000 elements)."""
    compare_law(in_torch)


@check(points=1, hint="Drop with probability rate, keep with probability 1 - rate, divide what is kept by 1 - rate.")
def keras_law():
    """In Keras, the dropped share, mean and variance agree with theory for several rates (z-tests on 100,000 elements)."""
    compare_law(in_keras)


def compare_masks(run):
    """Independence between calls, and between neighbours along each axis."""
    p, x = 0.3, np.ones((24, 26, 12, 14), "float32")
    agreement = p**2 + (1 - p) ** 2
    cases = [(p, [x, x]), (p, [x]), (p, [np.ones((16, 4), "float32")] * 100)]
    (first, second), (other,), many = probe(run, cases)
    for name, y in [("Two calls of a layer", second), ("Two layers", other)]:
        if not share_is(np.mean((first == 0) == (y == 0)), agreement, x.size):
            fail(f"{name} do not have independent masks.")
    for axis, name in enumerate(("samples of a batch", "rows", "columns", "channels")):
        even, odd = (np.take(first == 0, range(start, x.shape[axis], 2), axis) for start in (0, 1))
        if not share_is(np.mean(even == odd), agreement, even.size):
            fail(f"In an input with four axes (samples, rows, columns, channels), different {name} do not have independent masks.")
    counts = np.array([np.count_nonzero(y) for y in many])
    if not 0.4 < counts.var(ddof=1) / (64 * p * (1 - p)) < 2:
        fail("How many elements are dropped varies too little or too much from call to call: each element decides for itself.")
    return counts


@check(points=1, hint="One random number for each element, in each call. PyTorch's generator does the rest.")
def torch_masks_are_fresh():
    """In PyTorch, each element of each call is dropped independently of all others, and torch.manual_seed repeats it."""
    compare_masks(in_torch)

    def repeat(x):
        outputs = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            outputs.append(TorchDropout(0.5).train()(x))
        return outputs

    one, again, other = probe(repeat, torch.ones(10, 10))
    if not torch.equal(one, again):
        fail("torch.manual_seed does not repeat the mask: where do the random numbers come from?")
    if torch.equal(one, other):
        fail("The mask is the same, whatever torch's seed.")


@check(points=1, hint="An int as seed gives the same numbers each time, and what Python or NumPy draws is drawn once, while the function is traced. Pass the SeedGenerator.")
def keras_masks_are_fresh():
    """In Keras, each element of each call is dropped independently of all others, also if the call is compiled."""
    compare_masks(in_keras)

    def compiled(batches):
        import tensorflow

        with forbidden(*LIBRARY_DROPOUT):
            layer = KerasDropout(0.3)
            train = tensorflow.function(lambda x: layer(x, training=True), input_signature=[tensorflow.TensorSpec([None, 40])])
            return [train(tensorflow.constant(batch)).numpy() for batch in batches]

    x = np.ones((250, 40), "float32")
    first, second, small = probe(compiled, [x, x, x[:3]])
    if first.shape != x.shape or small.shape != (3, 40):
        fail("In a compiled function, the output does not have the shape of the input.")
    if not share_is(np.mean((first == 0) == (second == 0)), 0.3**2 + 0.7**2, x.size):
        fail("In a compiled function, two calls do not have independent masks.")
    if not share_is(np.mean((first[::2] == 0) == (first[1::2] == 0)), 0.3**2 + 0.7**2, x.size / 2):
        fail("In a compiled function, the samples of a batch do not have independent masks.")


def same_bits(a, b):
    """Whether two arrays are of the same shape and type, and equal bit by bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def is_dropped(y, x):
    """Whether y may be dropout of x with p = 0.5."""
    return y.shape == x.shape and y.dtype == x.dtype and bool(((y == 0) | (y == 2 * x)).all() and (y == 0).any() and (y != 0).any())


def with_extremes(dtype):
    """Numbers in which rounding, or adding and taking away again, would show."""
    x = nonzero(6, 30, dtype=dtype)
    x[0, :4] = [np.finfo(dtype).tiny, -0.0, np.finfo(dtype).max, 1 / 3]
    return x


@check(points=1, hint="The mode is self.training, whatever happens to gradients. Types: a mask of float32 makes float32 of float16. p = 1 must not divide by zero.")
def torch_modes_and_types():
    """In PyTorch, the mode decides (not the gradients), p = 0 and p = 1 work, shape and type are kept, and the input is not modified."""
    def run(x, p, mode, gradients):
        with forbidden(*LIBRARY_DROPOUT), torch.set_grad_enabled(gradients):
            model = nn.Sequential(nn.Sequential(TorchDropout(p))).train(mode)
            given = x.clone()
            return model(given).detach(), given

    def all_of(cases):
        return [run(*case) for case in cases]

    inputs = [torch.tensor(with_extremes(kind)) for kind in ("float16", "float32", "float64")] + [torch.tensor(nonzero(40)).bfloat16()]
    plain = [torch.tensor(nonzero(*shape)) for shape in [(50,), (3, 4, 5, 6)]] + [x.abs().clamp(0.5, 2) for x in inputs]
    cases = [(x, p, False, gradients) for x in inputs for p in (0.5, 1.0) for gradients in (False, True)]
    still = len(cases)
    cases += [(x, 0.0, True, True) for x in inputs]
    unchanged = len(cases)
    cases += [(x, 1.0, True, True) for x in inputs]
    emptied = len(cases)
    cases += [(x, 0.5, True, gradients) for x in plain for gradients in (False, True)]
    bits = lambda x: (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    for i, ((y, after), (x, *_)) in enumerate(zip(probe(all_of, cases), cases, strict=True)):
        if not same_bits(bits(after), bits(x)):
            fail("The input was modified.")
        if y.dtype != x.dtype or y.shape != x.shape:
            fail(f"An input of {x.dtype} with {x.dim()} axes gave an output of {y.dtype} with {y.dim()}.")
        if i < still and not same_bits(bits(y), bits(x)):
            fail("In evaluation mode, the output is not equal to the input, bit by bit.")
        if still <= i < unchanged and not same_bits(bits(y), bits(x)):
            fail("With p = 0, the output is not equal to the input, bit by bit.")
        if unchanged <= i < emptied and not (y == 0).all():
            fail("With p = 1, the output is not zero throughout.")
        if i >= emptied and not is_dropped(bits(y), bits(x)):
            fail(f"In training mode, the output is wrong for {x.dtype}, {'with' if cases[i][3] else 'without'} gradients being recorded.")


@check(points=1, hint="Only the argument training decides. Cast the mask to inputs.dtype. rate = 1 must not divide by zero.")
def keras_modes_and_types():
    """In Keras, the training argument decides, also through a model, rates 0 and 1 work, and shape and type are kept."""
    def run(extreme, plain, types):
        with forbidden(*LIBRARY_DROPOUT):
            layers = {rate: KerasDropout(rate) for rate in (0.0, 0.5, 1.0)}
            model = keras.Sequential([keras.Input((30,)), layers[0.5]])
            still = [layers[1.0](extreme), layers[0.5](extreme, training=False), model(extreme), model(extreme, training=False), layers[0.0](extreme, training=True)]
            emptied = [layers[1.0](extreme, training=True)]
            dropped = [layers[0.5](x, training=True) for x in plain] + [model(plain[-1], training=True)]
            typed = [KerasDropout(0.5, dtype=x.dtype.name)(x, training=mode) for x in types for mode in (False, True)]
            return [[np.asarray(y) for y in group] for group in (still, emptied, dropped, typed)]

    extreme = with_extremes("float32")
    plain = [nonzero(*shape) for shape in [(50,), (3, 4, 5, 6), (6, 30)]]
    types = [nonzero(60, dtype=kind) for kind in ("float16", "float64")]
    still, (emptied,), dropped, typed = probe(run, extreme, plain, types)
    *not_training, without_rate = still
    if not all(same_bits(y, extreme) for y in not_training):
        fail("If training is false or not given, the output is not equal to the input, bit by bit.")
    if not same_bits(without_rate, extreme):
        fail("With a rate of 0, the output is not equal to the input, bit by bit.")
    if emptied.shape != extreme.shape or not (emptied == 0).all():
        fail("With a rate of 1, the output is not zero throughout.")
    if not all(is_dropped(y, x) for y, x in zip(dropped, [*plain, plain[-1]], strict=True)):
        fail("With training=True, passed to the layer or to a model that contains it, the output is wrong.")
    for x, same, y in zip(types, typed[::2], typed[1::2], strict=True):
        if not (same_bits(same, x) and is_dropped(y, x)):
            fail(f"In a layer that computes in {x.dtype}, the output is wrong or of another type.")


def compare_gradients(cases, outputs):
    """Gradients of sum(y * direction) with the factors that the outputs show."""
    for (p, training, x, direction), (y, slope) in zip(cases, outputs, strict=True):
        if slope is None and p < 1:
            fail("No gradient gets through the layer.")
        gradient = np.zeros_like(x) if slope is None else slope  # a result of zeros need not depend on x
        if not np.isfinite(gradient).all():
            fail(f"The gradient has NaNs or infinities at a probability of {p:g}.")
        if not np.allclose(gradient * x, y * direction, rtol=1e-4, atol=1e-6):
            fail(f"The gradient does not go through the elements that were kept, by their factor, at a probability of {p:g}" + ("." if training else ", without training."))


def gradient_cases():
    return [(p, training, *(nonzero(20, 30) for _ in range(2))) for p, training in [(0.3, True), (0.8, True), (0.0, True), (1.0, True), (0.5, False)]]


@check(points=1, hint="Multiply by the mask, and let autograd do the rest: no detach, no .data, no NumPy, and no division by zero.")
def torch_gradient_uses_the_mask():
    """In PyTorch, the gradient is multiplied by the mask and the factor of the forward pass."""
    def run(cases):
        results = []
        for p, training, values, direction in cases:
            x = torch.tensor(values, requires_grad=True)
            with forbidden(*LIBRARY_DROPOUT):
                y = TorchDropout(p).train(training)(x)
                if y.requires_grad:
                    (y * torch.tensor(direction)).sum().backward()
            results.append((y.detach().numpy(), None if x.grad is None else x.grad.numpy()))
        return results

    cases = gradient_cases()
    compare_gradients(cases, probe(run, cases))


@check(points=1, hint="Multiply by the mask, and let the tape do the rest: no stop_gradient, no NumPy, and no division by zero.")
def keras_gradient_uses_the_mask():
    """In Keras, the gradient is multiplied by the mask and the factor of the forward pass."""
    def run(cases):
        import tensorflow

        results = []
        for p, training, values, direction in cases:
            x = tensorflow.constant(values)
            with forbidden(*LIBRARY_DROPOUT), tensorflow.GradientTape() as tape:
                tape.watch(x)
                y = KerasDropout(p)(x, training=training)
                total = tensorflow.reduce_sum(y * direction)
            gradient = tape.gradient(total, x)
            results.append((np.asarray(y), None if gradient is None else np.asarray(gradient)))
        return results

    cases = gradient_cases()
    compare_gradients(cases, probe(run, cases))


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What the network without dropout is an average of
#
# A layer of $n$ units has $2^n$ masks, so training with dropout trains $2^n$ **subnetworks** that share their
# weights, each of them a little. Used without dropout, the network should act like an average of them all. In
# which sense? Suppose dropout comes right before the last layer, with $p = 1/2$, so that all masks are
# equally likely. That layer is linear, so the mean of the logits over all masks is exactly what evaluation
# mode computes. For the probabilities, this means: evaluation mode gives the **geometric** mean of the
# subnetworks' predictions, rescaled to sum to one (Hinton et al., *Improving neural networks by preventing
# co-adaptation of feature detectors*, arXiv:1207.0580). For the arithmetic mean, and for dropout in deeper
# places, it is an approximation.
#
# Your layer shows it. **Left:** a network with ten hidden units, all of its 1024 subnetworks, and what they
# say about one digit. **Middle:** the average of the probabilities of $k$ subnetworks, drawn by leaving a
# wider network in training mode, against the same network in evaluation mode. **Right:** two networks, trained with
# and without dropout, from which more and more units are removed at random for each digit (with the others scaled up).

# %% tags=["demo", "raises-exception"]
from itertools import product

digit_pixels, digit_classes = (torch.tensor(array) for array in load_digits(return_X_y=True))
digit_pixels = (digit_pixels / 16).float()
unseen = slice(300, 1000)


def net_with_dropout(width, p, n_steps=250):
    """A network with one hidden layer, trained on 300 digits with dropout after that layer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), TorchDropout(p), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(n_steps):
        optimizer.zero_grad()
        F.cross_entropy(net(digit_pixels[:300]), digit_classes[:300]).backward()
        optimizer.step()
    return net


fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3))
with torch.no_grad():
    with torch.enable_grad():
        narrow, wide, plain = net_with_dropout(10, 0.5), net_with_dropout(100, 0.5), net_with_dropout(100, 0.0)
    all_masks = torch.tensor(list(product((0.0, 2.0), repeat=10)))
    usual = narrow.eval()(digit_pixels[unseen]).softmax(-1)
    chosen = (usual.max(-1).values - 0.6).abs().argmin()  # a digit that the network is not sure of
    label = usual[chosen].argmax()
    logits = narrow[3](narrow[1](narrow[0](digit_pixels[unseen][chosen])) * all_masks)
    voices = logits.softmax(-1)
    geometric = logits.log_softmax(-1).mean(0).softmax(-1)
    axes[0].hist(voices[:, label], 25, color="0.75")
    axes[0].axvline(voices.mean(0)[label], ymax=0.66, color="C1", lw=2, label="arithmetic mean")
    axes[0].axvline(geometric[label], ymax=0.66, color="C0", lw=4.5, label="geometric mean")
    axes[0].axvline(usual[chosen, label], ymax=0.66, color="black", ls=":", lw=1.8, label="evaluation mode")
    axes[0].set(title="All subnetworks", xlabel=f"probability of class {int(label)}", ylabel="subnetworks of 1024")
    axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.5)
    axes[0].legend(fontsize=8, loc="upper right")

    wide.train()
    draws = torch.stack([wide(digit_pixels[unseen]).softmax(-1) for _ in range(256)])
    sizes = [1, 2, 4, 8, 16, 32, 64]
    averaged = [[F.nll_loss(group.mean(0).log(), digit_classes[unseen]).item() for group in draws.split(k)] for k in sizes]
    axes[1].plot(sizes, [np.mean(losses) for losses in averaged], "o-", ms=4, color="C1", label="average of $k$ subnetworks")
    axes[1].axhline(F.cross_entropy(wide.eval()(digit_pixels[unseen]), digit_classes[unseen]).item(), color="black", ls=":", lw=1.8, label="evaluation mode")
    axes[1].set(title="Averages of some", xscale="log", xlabel="$k$", ylabel="loss on unseen digits (nats)")
    axes[1].set_xticks(sizes, labels=[str(k) for k in sizes])
    axes[1].minorticks_off()
    axes[1].legend(fontsize=8)

    removed = [0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9]
    for name, net, colour, style in [("trained with dropout", wide, "C0", "o-"), ("trained without", plain, "C5", "s--")]:
        net.train()
        scores = []
        for share in removed:
            net[2].p = share
            guesses = torch.stack([net(digit_pixels[unseen]).argmax(-1) for _ in range(20)])
            scores.append((guesses == digit_classes[unseen]).float().mean())
        axes[2].plot(removed, scores, style, ms=4, color=colour, label=name)
    axes[2].set(title="Units removed", xlabel="share of hidden units removed", ylabel="accuracy on unseen digits", ylim=(0, 1.02))
    axes[2].legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# On the left, the dotted line lies on the geometric mean, whatever the weights are. The arithmetic mean is
# less sure of itself. In the middle the loss falls as more subnetworks are averaged: the loss of an average of probabilities is never
# above the average of the losses, because $-\log$ is convex. That a handful of them also beats evaluation mode is no law; this wide network
# is too sure of itself, and the arithmetic mean is not. They cost $k$ passes instead of one, though, and in the share of right answers there is
# little to gain: in the paper's section 7.5, it takes about 50 of them to draw level. On the right, both
# networks are about equally good as long as they are whole. The one that never had to do without a unit falls
# apart sooner: its units rely on others that are now missing. That is what is meant by co-adaptation, and no sample was left out to prevent it.

# %% [markdown]
# ## 2.4 Early stopping
#
# The cheapest regulariser of all is to stop. A network that starts from small random weights first picks up
# what many examples have in common. Only later, when that is used up, does it bend itself around single
# examples, and around their mistakes. Arpit et al., *A Closer Look at Memorization in Deep Networks*
# (arXiv:1706.05394), watched networks do so: simple patterns first, noise last.
#
# Here is the same on digits. Of 600 training images, two in five get a label drawn at random, and so do the
# validation images, as in any data set that was labelled by tired people. Only the test labels are clean.

# %% nbgrader={"grade": false, "grade_id": "setup_early_stopping", "locked": true, "schema_version": 3, "solution": false, "task": false}
import copy

from sklearn.datasets import load_digits


# %% tags=["demo"]
def noisy_digits(seed):
    """600 digits to train on and 400 to validate on, two in five relabelled at random, and clean ones to test on."""
    rng = np.random.default_rng(seed)
    images, true = load_digits(return_X_y=True)
    order = rng.permutation(len(images))
    x, true = torch.tensor(images[order] / 16, dtype=torch.float32), torch.tensor(true[order])
    given = torch.where(torch.tensor(rng.random(len(x)) < 0.4), torch.tensor(rng.integers(0, 10, len(x))), true)
    return (x[:600], given[:600], true[:600]), (x[600:1000], given[600:1000]), (x[1000:], true[1000:])


def digit_net(seed):
    """A network with one hidden layer, and Adam to train it."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    return net, torch.optim.Adam(net.parameters(), lr=3e-3)


def one_epoch(net, optimizer, x, y):
    """Trains for one epoch and returns the mean loss."""
    total = 0.0
    for batch in torch.randperm(len(x)).split(50):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(x)


@torch.no_grad()
def share_right(net, x, y):
    return (net(x).argmax(1) == y).float().mean().item()


@torch.no_grad()
def mean_loss(net, x, y):
    return F.cross_entropy(net(x), y).item()


(x_noisy, y_noisy, y_clean), noisy_validation, clean_test = noisy_digits(seed=0)
mislabelled = y_noisy != y_clean
net, optimizer = digit_net(seed=0)
curves = {"training loss": [], "validation loss": [], "true": [], "given": []}
for _ in range(80):
    one_epoch(net, optimizer, x_noisy, y_noisy)
    curves["training loss"].append(mean_loss(net, x_noisy, y_noisy))
    curves["validation loss"].append(mean_loss(net, *noisy_validation))
    for name, labels in [("true", y_clean), ("given", y_noisy)]:
        curves[name].append(share_right(net, x_noisy[mislabelled], labels[mislabelled]))

lowest = int(np.argmin(curves["validation loss"]))
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3))
for name in ("training loss", "validation loss"):
    axes[0].plot(curves[name], label=name)
axes[0].set(title="The two losses part", xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
axes[0].legend(loc="lower left")
axes[1].plot(curves["true"], color="C2", label="what the image really shows")
axes[1].plot(curves["given"], color="C5", ls="--", label="the wrong label it was given")
axes[1].set(title="Mislabelled training images: what the network says", xlabel="epoch", ylabel="share of these images", ylim=(0, 1))
axes[1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=9, ncols=2)
for ax in axes:
    ax.axvline(lowest, color="0.4", ls=":", lw=1.2)
axes[0].text(lowest + 1, 0.97, "lowest validation loss", transform=axes[0].get_xaxis_transform(), fontsize=8.5, va="top", color="0.35")
plt.show()

# %% [markdown]
# Look at the right-hand panel. Around the dotted line the network names the *true* digit in most images
# that it has been told something else about: it has learnt what an 8 looks like, and outvotes the wrong labels.
# Sixty epochs later it repeats many of the mistakes. The training loss, on the left, calls
# that progress. The validation loss does not.
#
# ### Why stopping regularises
#
# For a linear model the effect can be computed. Let $\frac{1}{2n}\lVert Xw - y\rVert^2$ be the loss and $s_1, s_2, \dots$
# the eigenvalues of $X^\top X / n$, none of them zero. In the direction of the $i$-th eigenvector, gradient descent from $w = 0$ with
# step size $\eta < 1 / \max_i s_i$ has come, after $t$ steps, this share of the way to the least-squares solution:
#
# $$\underbrace{1 - (1 - \eta s_i)^t}_{\text{stopped after } t \text{ steps}} \qquad\text{compare}\qquad
# \underbrace{\frac{s_i}{s_i + \lambda}}_{\text{ridge, penalty } \frac{\lambda}{2}\lVert w\rVert^2}$$
#
# Both let directions pass in which the data varies a lot and hold back the others, where the fit is mostly noise. With
# $\lambda = 1/(\eta t)$ they agree for small $\eta t s_i$, and are alike elsewhere: **few steps act like a strong penalty** (Goodfellow, Bengio and
# Courville, *Deep Learning*, section 7.8). For infinitesimal steps there is even a
# guarantee: the risk of the stopped solution is at most 1.69 times that of its ridge twin (Ali, Kolter and
# Tibshirani, *A Continuous-Time View of Early Stopping for Least Squares*, arXiv:1810.10082).

# %% tags=["demo"]
rng = np.random.default_rng(1)
n_rows, n_columns = 120, 80
features = rng.normal(size=(n_rows, n_columns)) * np.geomspace(2, 0.05, n_columns)
coefficients = rng.normal(size=n_columns)
response = features @ coefficients + 4 * rng.normal(size=n_rows)
eigenvalues, directions = np.linalg.eigh(features.T @ features / n_rows)
least_squares = directions.T @ np.linalg.solve(features.T @ features, features.T @ response)
step = 0.9 / eigenvalues.max()
times = np.unique(np.geomspace(1, 1e5, 60).astype(int))
stopped = [1 - (1 - step * eigenvalues) ** t for t in times]
ridge = [eigenvalues / (eigenvalues + 1 / (step * t)) for t in times]


def error_of(shares):
    """Expected squared error of the predictions, noise apart, for a new sample."""
    difference = directions @ (shares * least_squares) - coefficients
    return np.sum((difference * np.geomspace(2, 0.05, n_columns)) ** 2)


fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.2))
scale = np.geomspace(1e-4, 1, 200)
for colour, t in zip(("C0", "C1", "C2"), (10, 100, 1000), strict=True):
    axes[0].plot(scale, 1 - (1 - 0.9 * scale) ** t, color=colour, label=f"$t$ = {t}")
    axes[0].plot(scale, scale / (scale + 1 / (0.9 * t)), color=colour, ls="--", lw=1.2)
axes[0].set(title="Stopped (solid) and ridge (dashed)", xlabel="eigenvalue, relative to the largest", ylabel="share let through", xscale="log")
axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.02), fontsize=9)
axes[1].plot(times, [error_of(s) for s in stopped], label="gradient descent, $t$ steps")
axes[1].plot(times, [error_of(s) for s in ridge], "C1--", label=r"ridge, $\lambda = 1/(\eta t)$")
axes[1].set(title="Error on new data, noise apart", xlabel="steps $t$", ylabel="squared error", xscale="log", ylim=(0, None))
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# ### When to stop
#
# "When the validation loss rises" will not do: measured on a few hundred images, it goes up and down all the time, and
# the first rise is seldom the last. So one waits. Three numbers say how:
#
# - An epoch is an **improvement** if its value beats the best one so far by *more than* `min_delta`. The first
#   epoch is one, too. A tie is none. NaN is none: training has blown up, or the validation set was empty.
# - The **best value** is that of the last improvement. A creep of many tiny steps, each below `min_delta`, still counts in the
#   end: it is measured against the last improvement and not against the epoch before.
# - **Patience** $p$: training stops as soon as $p$ epochs *in a row* were no improvements.

# %% tags=["demo"]
values = [1.00, 0.72, 0.76, 0.58, 0.57, 0.49, 0.55, 0.44, 0.48, 0.44, 0.47]
labels = ["first", "better", "1", "better", "1", "better", "1", "better", "1", "2 (a tie)", "3: stop"]
fig, ax = plt.subplots(figsize=(9, 3.1))
ax.plot(values, color="0.7", lw=1.2, zorder=1)
for epoch, (value, label) in enumerate(zip(values, labels, strict=True)):
    improves = not label[0].isdigit()
    ax.scatter(epoch, value, s=70, marker="o" if improves else "X", color="C0" if improves else "C5", zorder=2)
    ax.text(epoch, value + 0.05, label, ha="center", fontsize=9, color="C0" if improves else "C5")
ax.annotate("too little: 0.01 better", (4, 0.57), (4.2, 0.78), fontsize=8.5, color="0.35", arrowprops=dict(arrowstyle="->", color="0.5"))
ax.annotate("best epoch: 7", (7, 0.44), (7, 0.27), fontsize=9, ha="center", arrowprops=dict(arrowstyle="->", color="0.3"))
ax.set(title="Patience 3, min_delta 0.02: improvements (dots), and how long they are waited for (crosses)", xlabel="epoch", ylabel="validation loss", ylim=(0.2, 1.15))
ax.set_xticks(range(11))
plt.show()

# %% [markdown]
# Mind the off-by-one: libraries do not agree on it. `keras.callbacks.EarlyStopping(patience=3)` stops as in the
# figure, and treats patience 0 like 1. `torch.optim.lr_scheduler.ReduceLROnPlateau(patience=3)`, which waits
# in the same way before it lowers the learning rate, allows three bad epochs and acts on the fourth; and its default threshold is
# relative, not absolute (PyTorch's manual).
#
# How patient to be is a matter of price. Over 1,296 training runs of small networks, slower criteria generalised about 4 % better
# and trained about four times as long (Prechelt, *Early Stopping, But When?*, in *Neural Networks: Tricks of the Trade*,
# Springer 1998). And sometimes the validation loss rises for long before it falls again: Nakkiran et al.
# (arXiv:1912.02292) found such a *double descent* over epochs where labels were noisy. Exercise 2.7 is about its better-known sibling.
#
# ### Which weights to keep
#
# When patience runs out, the best epoch is $p$ epochs ago, and the network has been getting worse since. So the
# best weights have to be kept. Here is how circulating code does it. Before you read on, find what is wrong:
#
# ```python
# if val_loss < best_loss:
#     best_loss = val_loss
#     best_weights = model.state_dict()
#     ...
# model.load_state_dict(best_weights)
# ```
#
# <details><summary>Compare your diagnosis</summary>
#
# `state_dict()` returns a new dictionary, but its tensors *are* the model's: they share its memory. The next `optimizer.step()`
# changes both. Loading `best_weights` at the end copies the last weights onto themselves. Nothing fails, nothing is
# restored, and the network is as overfitted as without early stopping. `dict(...)` and `.copy()` do not help: they copy the dictionary and
# not the tensors. The next cell tries all of them.
# </details>

# %% tags=["demo"]
net, optimizer = digit_net(seed=0)
snapshots = {
    "state_dict()": net.state_dict(),
    "state_dict().copy()": net.state_dict().copy(),
    "{k: v.detach() for ...}": {name: tensor.detach() for name, tensor in net.state_dict().items()},
    "{k: v.clone() for ...}": {name: tensor.clone() for name, tensor in net.state_dict().items()},
    "copy.deepcopy(state_dict())": copy.deepcopy(net.state_dict()),
}
before = net[0].weight.detach().clone()
one_epoch(net, optimizer, x_noisy, y_noisy)
for name, snapshot in snapshots.items():
    print(f"{name:30s}", "still the old weights" if torch.equal(snapshot["0.weight"], before) else "has changed with the model")

# %% [markdown]
# ### What early stopping is not
#
# - **Not free of charge.** The validation data has chosen the epoch, so its best value is a minimum over many noisy
#   numbers, and looks better than the network is. What you report comes from data that had no say: a test set.
# - **Not a shorter schedule.** With a learning rate that decays to zero by the last epoch, a run of 100 epochs stopped at 50 is
#   not the run that was planned for 50: its learning rate is still high.
# - **Not about the training loss.** That one falls as long as there is anything to memorise. Watching it, one hardly ever stops.

# %% [markdown]
# ### Exercise 2.4 · Early stopping
#
# > **Difficulty** ★☆☆☆ · **25 minutes** · **10 points** · Python and PyTorch
#
# **Given**: nothing but the rules above.
#
# **Write** a class, `EarlyStopping`, that follows the rules, and a loop, `fit_with_early_stopping`, that uses it.
# The class knows no framework: it is told a number and the current weights after each epoch, and says whether to stop.
# Weights come as torch hands them out (`model.state_dict()`: a dictionary of tensors) or as Keras does
# (`model.get_weights()`: a list of NumPy arrays), and may change in place afterwards.
#
# The loop is PyTorch. It has to watch the right number, at the right moment, and leave the right weights behind **however
# it ends**: also when all epochs are used up. (Keras' own callback stops without restoring anything unless told
# `restore_best_weights=True`.)
#
# Your class may have more attributes than those listed. It is not asked anything after it has said stop.
#
# <details><summary>Hint 1: what to remember</summary>
#
# Besides the best value, epoch and weights: how many epochs there were, and how many since the last improvement.
# An improvement sets the second count to zero, so it never stops training by itself.
# </details>
#
# <details><summary>Hint 2: NaN</summary>
#
# Every comparison with NaN is false. `value < best - min_delta` therefore does the right thing for a NaN now, but if `best` itself
# became NaN, nothing would ever beat it. `math.isnan` tells.
# </details>
#
# <details><summary>Hint 3: one rule for both modes</summary>
#
# A gain is `best - value` in mode "min" and `value - best` in mode "max". An improvement is a gain above `min_delta`. What
# is the gain of the first epoch? Infinity, if you like.
# </details>

# %% nbgrader={"grade": false, "grade_id": "early_stopping", "locked": false, "schema_version": 3, "solution": true, "task": false}
class EarlyStopping:
    """Says after each epoch whether to stop, and keeps the weights of the best epoch.

    An epoch is an improvement if its value is not NaN and is better than `best_value` by more than
    `min_delta`, or if there was no improvement before it. Training stops as soon as `patience`
    epochs in a row were no improvements.

    Args:
        patience: 0 or more; 0 means the same as 1.
        min_delta: 0 or more.
        mode: "min" if smaller values are better, "max" if larger ones are.

    Attributes:
        best_value, best_epoch, best_weights: of the last improvement, whose epoch counts from 0;
            all None as long as there was none.

    Raises:
        ValueError: when it is made, if the mode is neither of the two.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, mode: str = "min"):
        ### BEGIN SOLUTION
        if mode not in ("min", "max"):
            raise ValueError(f'mode is "min" or "max", not {mode!r}')
        self.patience, self.min_delta, self.mode = patience, min_delta, mode
        self.best_value = self.best_epoch = self.best_weights = None
        self.epochs = 0
        self.waited = 0
        ### END SOLUTION

    def update(self, value: float, weights: dict[str, torch.Tensor] | list[np.ndarray]) -> bool:
        """To be called once after each epoch.

        Args:
            value: what is monitored, after this epoch; a finite float or NaN.
            weights: those that gave this value, as a dict of tensors of any type or a list of
                arrays. They are not modified here. They may change in place later, and
                `best_weights` must not change with them.

        Returns:
            True if training is to stop now, otherwise False.
        """
        ### BEGIN SOLUTION
        if self.best_value is None:
            gain = math.inf
        else:
            gain = self.best_value - value if self.mode == "min" else value - self.best_value
        if gain > self.min_delta and not math.isnan(value):
            self.best_value, self.best_epoch = value, self.epochs
            self.best_weights = copy.deepcopy(weights)
            self.waited = 0
        else:
            self.waited += 1
        self.epochs += 1
        return self.waited >= max(self.patience, 1)
        ### END SOLUTION


def fit_with_early_stopping(
    model: nn.Module, train_epoch, validate, stopper: EarlyStopping, max_epochs: int
) -> list[float]:
    """Trains until the stopper says stop or `max_epochs` are over; then the model gets the best
    epoch's weights.

    Each epoch calls `train_epoch(model)` once with the model in training mode, then
    `validate(model)` once with the model in evaluation mode, then the stopper's `update` once with
    the value from `validate` and the model's `state_dict()`.

    Args:
        model: all of its state is restored, buffers such as those of batch normalisation included.
        train_epoch: trains the model for one epoch, in place, and returns the mean training loss.
        validate: returns the value to monitor; switching gradients off is its own business.
        stopper: a new EarlyStopping, or any other object with its `update` and its `best_weights`
            (which may be None in the end: then the model stays as the last epoch left it).
        max_epochs: 1 or more.

    Returns:
        The values from `validate`, one for each epoch that was run.
    """
    ### BEGIN SOLUTION
    history = []
    for _ in range(max_epochs):
        model.train()
        train_epoch(model)
        model.eval()
        history.append(validate(model))
        if stopper.update(history[-1], model.state_dict()):
            break
    if stopper.best_weights is not None:
        model.load_state_dict(stopper.best_weights)
    return history
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_early_stopping", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def monitored(cases):
    """What EarlyStopping makes of each list of values: the epoch that it stops at, and what is best by then."""
    def run(cases):
        found = []
        for values, settings in cases:
            stopper, stop = EarlyStopping(**settings), None
            for epoch, value in enumerate(values):
                if stopper.update(value, {"epoch": torch.tensor([epoch])}):
                    stop = epoch
                    break
            value, epoch, weights = stopper.best_value, stopper.best_epoch, stopper.best_weights
            found.append([
                stop,
                None if epoch is None else int(epoch),
                None if value is None else float(value),
                None if weights is None else int(weights["epoch"][0]),
            ])
        return found

    return probe(run, cases)


@check(points=1, hint="Count the epochs since the last improvement. An improvement sets the count back to zero.")
def waits_for_an_improvement():
    """With patience 3, training stops at the third epoch in a row that is no improvement."""
    for values, settings, stop, best in [
        ([0.5, 0.4, 0.6, 0.5, 0.7, 0.3], dict(patience=3), 4, 1),
        ([0.5, 0.6, 0.7, 0.4, 0.5, 0.6, 0.7, 0.3], dict(patience=3), 6, 3),
        ([0.5, 0.4, 0.3, 0.2, 0.1], dict(patience=3), None, 4),
        ([0.5, 0.6, 0.7, 0.8], dict(patience=3, mode="max"), None, 3),
    ]:
        (stopped, best_epoch, best_value, _), = monitored([(values, settings)])
        told = f"{', '.join(f'{k}={v!r}' for k, v in settings.items())}, values {values}"
        assert stopped == stop, f"{told}: it stopped at epoch {stopped} instead of {stop} (None: not at all)"
        assert best_epoch == best, f"{told}: best_epoch is {best_epoch} instead of {best}"
        assert best_value == values[best], f"{told}: best_value is {best_value} instead of {values[best]}"


@check(points=1, hint="The optimizer changes the model's tensors in place. A copy of the dictionary still holds the same tensors.")
def keeps_a_copy():
    """The best weights stay what they were when the model's tensors change in place."""
    def run():
        weights = {"w": torch.zeros(3)}
        stopper = EarlyStopping(patience=5)
        for value in (0.3, 0.2, 0.4, 0.5):
            weights["w"] += 1
            stopper.update(value, weights)
        return stopper.best_weights["w"]

    kept = probe(run).tolist()
    assert kept == [2, 2, 2], f"epoch 1 was the best, with weights [2, 2, 2]; best_weights are {kept}"


@check(points=1, hint="Monitor what validate returns, after train_epoch, and load the best weights when the loop is over.")
def fits_and_restores():
    """The loop returns the validation values and leaves the best epoch's weights behind."""
    def run():
        model = nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            model.weight.zero_()

        def train_epoch(model):
            with torch.no_grad():
                model.weight += 1
            return -model.weight.item()

        history = fit_with_early_stopping(
            model, train_epoch, lambda model: (model.weight.item() - 3) ** 2, EarlyStopping(patience=2), max_epochs=20
        )
        return [float(value) for value in history], model.weight.item()

    history, weight = probe(run)
    assert history == [4, 1, 0, 1, 4], f"each epoch adds 1 to a weight that starts at 0; the value is (weight - 3)², so with patience 2 it is 4, 1, 0, 1, 4. The loop returned {history}"
    assert weight == 3, f"the best value was that of weight 3; the loop left weight {weight:g} behind"


### BEGIN HIDDEN TESTS
def rulebook(values, patience=5, min_delta=0.0, mode="min"):
    """The rules as they stand, applied to the whole list: the epoch that stops, the best one up to then and its value."""
    sign = {"min": 1, "max": -1}[mode]
    improvements = set()
    for epoch, value in enumerate(values):
        best = max(improvements, default=None)
        if not math.isnan(value) and (best is None or sign * (values[best] - value) > min_delta):
            improvements.add(epoch)
    row = max(patience, 1)
    stops = [last for last in range(row - 1, len(values)) if not improvements & set(range(last - row + 1, last + 1))]
    stop = min(stops, default=None)
    best = max((epoch for epoch in improvements if stop is None or epoch <= stop), default=None)
    return [stop, best, None if best is None else values[best], best]


def follows_the_rules(cases, what):
    """Fails if an answer to one of the cases is not the rulebook's."""
    for (values, settings), found in zip(cases, monitored(cases), strict=True):
        stop, best, value, _ = rulebook(values, **settings)
        if found[0] != stop:
            when = "not at all" if found[0] is None else "too late" if stop is not None and found[0] > stop else "too early"
            fail(f"{what}, training is stopped {when}.")
        if found[1] != best:
            fail(f"{what}, training stops when it should, but best_epoch is wrong.")
        if found[2] != value:
            fail(f"{what}, best_epoch is right, best_value is not.")
        if found[3] != best:
            fail(f"{what}, best_epoch is right, best_weights are those of another epoch.")


def some_cases(number, draw, **settings):
    """Random lists of 1 to 16 values; settings hold the choices to draw from."""
    choose = np.random.randint
    return [
        ([float(value) for value in draw(choose(1, 17))], {key: choices[choose(len(choices))] for key, choices in settings.items()})
        for _ in range(number)
    ]


@check(points=1, hint="Stop at the patience-th epoch in a row without an improvement. Patience 0 means the same as 1.")
def stops_by_the_rules():
    """On 500 random lists of values, training stops when it should, for every patience from 0 on."""
    # Values without ties, around very different levels: no first guess of the best value fits all.
    level = lambda: np.random.choice([0.0, 1e9, -1e9])
    follows_the_rules(some_cases(250, lambda n: np.random.permutation(n) + level(), patience=[1, 2, 3, 4]), "With distinct values")
    follows_the_rules(some_cases(150, lambda n: np.random.permutation(n) - 0.28 * np.arange(n), patience=[2, 3, 5]), "With distinct values that tend to fall")
    follows_the_rules(some_cases(60, np.random.permutation, patience=[0]), "With patience 0")
    follows_the_rules(some_cases(40, lambda n: np.abs(np.arange(n) - 4.25)), "With the default settings")


@check(points=1, hint="Better by more than min_delta than best_value, the value of the last improvement. A tie is no improvement.")
def ignores_small_gains():
    """Ties, and gains of min_delta or less, are no improvements; small gains that add up to more are."""
    # All numbers are multiples of 1/8, so that every way to write the comparison is exact.
    follows_the_rules(some_cases(120, lambda n: np.random.randint(0, 4, n) / 8, patience=[2, 3], min_delta=[0.0]), "With ties")
    follows_the_rules(some_cases(150, lambda n: np.random.randint(-8, 8, n) / 8, patience=[2, 3], min_delta=[0.25, 0.5]), "With min_delta")
    creeping = lambda n: -np.cumsum(np.random.randint(0, 3, n)) / 8
    follows_the_rules(some_cases(80, creeping, patience=[4], min_delta=[0.25]), "With values that creep by less than min_delta")


@check(points=1, hint='Mode "max" is mode "min" for minus the values; the sign of min_delta turns with it. Negative values occur, too.')
def maximises():
    """Mode "max" looks for large values, negative ones too; other modes are refused."""
    follows_the_rules(some_cases(120, lambda n: np.random.permutation(n) - 20, patience=[2, 3], mode=["max"]), 'In mode "max" with negative values')
    quarters = lambda n: np.random.randint(-8, 8, n) / 8
    follows_the_rules(some_cases(120, quarters, patience=[2, 3], mode=["max"], min_delta=[0.25, 0.5]), 'In mode "max" with min_delta')

    def run(modes):
        outcomes = []
        for mode in modes:
            try:
                EarlyStopping(3, 0.0, mode)
                outcomes.append("made")
            except ValueError:
                outcomes.append("refused")
        return outcomes

    if probe(run, ["min", "max"]) != ["made", "made"]:
        fail('Mode "min" or "max" is refused.')
    if "made" in probe(run, ["auto", "maximum", "m", ""]):
        fail("A mode that is neither of the two is accepted without a ValueError.")


@check(points=1, hint="NaN beats nothing, and must not become the best value, not even in the first epoch: nothing would beat it later.")
def nan_is_no_improvement():
    """An epoch whose value is NaN counts as one without improvement, wherever it stands."""
    def with_gaps(n):
        values = np.random.permutation(n).astype(float)
        values[np.random.random(n) < 0.4] = np.nan
        return values

    def late(n):
        values = np.random.permutation(n + 2).astype(float)
        values[:2] = np.nan
        return values

    for letters in ("min", "max"):
        mode = "".join(letters)  # equal to the answer's "min", not the same object
        settings = dict(patience=[2, 3], mode=[mode])
        follows_the_rules(some_cases(80, with_gaps, **settings), "Where some values are NaN")
        follows_the_rules(some_cases(60, late, patience=[3, 4], mode=[mode]), "Where the first values are NaN")
        follows_the_rules(some_cases(10, lambda n: np.full(n, np.nan), **settings), "Where all values are NaN")


@check(points=1, hint="copy.deepcopy copies dictionaries and lists with everything in them, whatever its type.")
def copies_all_that_it_keeps():
    """State dicts of real models and lists of NumPy arrays are copied with their types, and not modified."""
    def run_torch():
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1).double())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        stopper, states = EarlyStopping(patience=5), []
        for value in (0.5, 0.4, 0.6, 0.7):
            model[2](model[1](model[0](torch.randn(8, 2))).double()).square().sum().backward()
            optimizer.step()
            weights = model.state_dict()
            states.append(copy.deepcopy(dict(weights)))
            stopper.update(value, weights)
            after = dict(weights)
        return states, after, dict(stopper.best_weights)

    def run_numpy():
        weights = [np.zeros((2, 3), "float32"), np.zeros(3, "int64"), np.zeros((), "float64")]
        stopper = EarlyStopping(patience=5, mode="max")
        for value in (0.5, 0.7, 0.6, 0.4):
            for array in weights:
                array[...] += 1
            stopper.update(value, weights)
        return weights, list(stopper.best_weights)

    states, after, kept = probe(run_torch)
    same = lambda some, others: some.keys() == others.keys() and all(
        some[name].dtype == others[name].dtype and torch.equal(some[name], others[name]) for name in others
    )
    if not same(after, states[3]):
        fail("update() changes the weights that it is given.")
    if same(kept, states[3]):
        fail("After training on, best_weights are those of the last epoch: they share memory with the model.")
    if not same(kept, states[1]):
        fail("best_weights are not the whole state dict of the best epoch, with its names and types.")
    given, kept = probe(run_numpy)
    if not all(isinstance(array, np.ndarray) and (array == 4).all() for array in given):
        fail("update() changes the list of arrays that it is given.")
    if len(kept) != 3 or not all(isinstance(array, (np.ndarray, np.generic)) and array.dtype == like.dtype and array.shape == like.shape for array, like in zip(kept, given, strict=True)):
        fail("Given a list of NumPy arrays, best_weights are not arrays of the same types and shapes.")
    if not all((array == 2).all() for array in kept):
        fail("Given a list of NumPy arrays, best_weights are not those of the best epoch.")


def looped(values, stop_at, best, max_epochs):
    """Runs the loop with a stopper that stops after epoch `stop_at` and keeps the weights of epoch `best`.

    Returns:
        What was called and in which mode; the history; what the stopper was told; the model's states after each epoch; its last state.
    """
    def run(values, stop_at, best, max_epochs):
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).eval()
        log, told, states = [], [], []
        plain = lambda state: {name: tensor.detach().clone() for name, tensor in state.items()}

        class Stopper:
            best_weights = None

            def update(self, value, weights):
                told.append([float(value), plain(weights)])
                if len(told) - 1 == best:
                    self.best_weights = plain(weights)
                return len(told) - 1 == stop_at

        def train_epoch(model):
            log.append(["train_epoch", [module.training for module in model.modules()]])
            with torch.no_grad():
                model(torch.randn(4, 2))
                for parameter in model.parameters():
                    parameter.add_(1)
            return -float(len(states))

        def validate(model):
            log.append(["validate", [module.training for module in model.modules()]])
            states.append(plain(model.state_dict()))
            return values[len(states) - 1] if len(states) <= len(values) else 0.0

        history = fit_with_early_stopping(model, train_epoch, validate, Stopper(), max_epochs)
        return log, [float(value) for value in history], told, states, plain(model.state_dict())

    return probe(run, values, stop_at, best, max_epochs)


def same_state(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in others)


@check(points=1, hint="train(), train_epoch, eval(), validate, update: in this order, in each epoch, until the stopper says stop or the epochs are over.")
def monitors_validation():
    """Each epoch trains, validates in evaluation mode and tells the stopper the validation value; no epoch too many."""
    for stop_at, epochs, max_epochs in [(2, 3, 9), (0, 1, 4), (7, 4, 4), (3, 4, 4), (5, 1, 1)]:
        values = np.random.random(12).tolist()
        log, history, told, states, _ = looped(values, stop_at, 0, max_epochs)
        if len(told) != epochs:
            fail(f"The stopper was asked {len(told)} times where {epochs} epochs were to be run" + ("." if len(told) < epochs else ": stop when it says so, or when max_epochs are over."))
        if [name for name, _ in log] != ["train_epoch", "validate"] * epochs:
            fail("train_epoch and validate are not called once per epoch, in this order.")
        if not all(all(modes) if name == "train_epoch" else not any(modes) for name, modes in log):
            fail("The model is in the wrong mode in train_epoch or in validate, in the first epoch or in a later one.")
        if [value for value, _ in told] != values[:epochs]:
            fail("The stopper is not told what validate returned. Is it the training loss?")
        if not all(same_state(weights, state) for (_, weights), state in zip(told, states, strict=True)):
            fail("The stopper is not given the model's state_dict() as it was when validate measured it.")
        if history != values[:epochs]:
            fail("What the loop returns is not the list of all validation values.")


@check(points=1, hint="Load best_weights after the loop, not where it breaks; and not if they are None.")
def restores_however_it_ends():
    """The best weights and buffers are restored after a stop and after the last epoch; without a best epoch the last state stays."""
    for how, stop_at, best, max_epochs in [
        ("it was stopped", 4, 1, 9),
        ("it was stopped in the last epoch", 4, 2, 5),
        ("all epochs were used up", 99, 1, 5),
        ("all epochs were used up, the last being the best", 99, 4, 5),
        ("it was stopped without any best epoch", 2, None, 5),
        ("all epochs were used up without any best epoch", 99, None, 3),
    ]:
        *_, states, final = looped([0.5] * 9, stop_at, best, max_epochs)
        if not same_state(final, states[-1 if best is None else best]):
            wrong = "the last epoch's state is not left alone" if best is None else "the best epoch's state, buffers included, is not restored"
            fail(f"After training, when {how}, {wrong}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### How patient should one be?
#
# Your class and your loop, on the mislabelled digits. The same training run (same seed) is watched with
# different patience, and once, wrongly, by its training loss. Test images have had no say in anything.

# %% tags=["demo", "raises-exception"]
ways = {"patience 1": 1, "patience 3": 3, "patience 10": 10, "training loss": 10}
results, stops = {}, {}
for way, patience in ways.items():
    net, optimizer = digit_net(seed=0)
    stopper, last_test = EarlyStopping(patience), []
    watch = (lambda net: mean_loss(net, x_noisy, y_noisy)) if way == "training loss" else (lambda net: mean_loss(net, *noisy_validation))

    def learn(net, optimizer=optimizer):
        return one_epoch(net, optimizer, x_noisy, y_noisy)

    def measure(net, watch=watch, last_test=last_test):
        last_test.append(share_right(net, *clean_test))
        return watch(net)

    history = fit_with_early_stopping(net, learn, measure, stopper, max_epochs=80)
    results[way] = (last_test[-1], share_right(net, *clean_test))
    stops[way] = (stopper.best_epoch, len(history) - 1)

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), width_ratios=(1.25, 1))
axes[0].plot(curves["validation loss"], color="0.6", label="validation loss")
for colour, (way, (best, last)) in zip(("C0", "C1", "C2"), stops.items(), strict=False):
    loss = curves["validation loss"]
    axes[0].plot([best], [loss[best]], "o", color=colour, ms=8, label=f"{way}: best epoch")
    axes[0].plot([last], [loss[last]], "X", color=colour, ms=9, label=f"{way}: stopped")
axes[0].set(title="Where it stopped, and where it went back to", xlabel="epoch", ylabel="cross-entropy (nats)")
axes[0].legend(fontsize=8, loc="upper center")
rows = np.arange(len(ways))
axes[1].barh(rows - 0.2, [100 * last for last, _ in results.values()], height=0.38, color="C1", label="last weights")
axes[1].barh(rows + 0.2, [100 * best for _, best in results.values()], height=0.38, color="C0", label="best weights, restored")
axes[1].set(title="Clean test images", xlabel="right (%)", xlim=(50, 100), ylim=(3.6, -0.6))
axes[1].set_yticks(rows, labels=list(ways))
axes[1].legend(fontsize=8.5, loc="lower right")
axes[1].grid(axis="y")
plt.show()

# %% [markdown]
# Too little patience mistakes a bump for the end. More patience costs epochs and, as long as the best weights are given back, little else:
# patience 3 and 10 return the same epoch. Without the restoring, patience 10 would have handed over ten epochs of learnt errors. And who watches
# the training loss waits forever: it is lowest at the end, when many of the wrong labels have been learnt.
#
# The validation set pays for this. It chose the epoch, so its loss there is a little too good; the test images, which chose nothing, give the number to report.

# %% [markdown]
# ## 2.5 Cross-validation that does not leak
#
# Early stopping took 400 of 1,000 labelled images for validation alone. With 50 patients, nobody can afford that. **Cross-validation**
# lets every sample take a turn as test data. Cut the samples into $k$ folds $F_1, \dots, F_k$ and let $A$ be the procedure that turns data into
# a classifier. Then
#
# $$\mathrm{CV} = \frac{1}{k} \sum_{j=1}^{k} \mathrm{accuracy}\big(\underbrace{A(\text{all samples outside } F_j)}_{\text{a new classifier each time}},\; F_j\big)$$
#
# Two things in this formula are easy to overlook.
#
# **It rates a procedure, not a model.** There are $k$ classifiers, and all are thrown away. So cross-validation is **no cure for overfitting**,
# though lists of cures often name it: it changes no weight. It can *tell* that a procedure overfits, and *choose* among procedures.
#
# **$A$ is everything that looks at data**: scaling, imputing, selecting features, choosing hyperparameters, deciding when to stop. What
# happens before the folds are cut has seen the test samples. That is a **leak**. Here is one in circulating style. Before you read
# on, find four mistakes:
#
# ```python
# x = StandardScaler().fit_transform(x)
# x = SelectKBest(k=20).fit_transform(x, y)      # the 20 features that differ most between the classes
# scores = []
# for train, test in KFold(5).split(x):
#     model.fit(x[train], y[train])
#     scores.append(model.score(x[test], y[test]))
# print("accuracy:", max(scores))
# ```
#
# <details><summary>Compare your list</summary>
#
# | what | how bad it is |
# |---|---|
# | Features are selected on all samples, **with their labels**. | Very: see below. Test labels have decided what the classifier looks at. |
# | The scaler has seen the test samples, but no labels. | Mostly mild. Wrong all the same, and costs nothing to do right. |
# | `KFold` does not shuffle unless told to. | On data sorted by class, a whole class may be missing from the training data. |
# | The maximum is reported. | The best of five noisy numbers is not what to expect next time. Report the mean. |
#
# (And if `model` were a torch module, `fit` would go on from the last fold's weights, which have seen the test fold. scikit-learn's `fit` starts anew.)
# </details>
#
# ### How much can a leak pretend?
#
# The honest answer is known where labels are drawn at random: one half. The figure takes 50 such samples, keeps
# the 20 features that look best and classifies with them. The only difference between the two curves is whether features are selected
# before the folds are cut or within them.

# %% nbgrader={"grade": false, "grade_id": "setup_cross_validation", "locked": true, "schema_version": 3, "solution": false, "task": false}
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler


def no_signal(n_samples, n_features, seed):
    """Features and labels that have nothing to do with each other; half the labels are 1."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, n_features)), rng.permutation(np.arange(n_samples) % 2)


# %% tags=["demo"]
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

n_features = [20, 60, 200, 600, 2000]
accuracies = {"selected before the folds": [], "selected within the folds": []}
for p in n_features:
    for curve, rows in accuracies.items():
        rows.append([])
        for repetition in range(8):
            x_random, y_random = no_signal(50, p, repetition)
            folds = StratifiedKFold(5, shuffle=True, random_state=repetition)
            if curve == "selected before the folds":
                leaky = SelectKBest(k=20).fit_transform(x_random, y_random)
                rows[-1].append(cross_val_score(GaussianNB(), leaky, y_random, cv=folds).mean())
            else:
                pipeline = make_pipeline(SelectKBest(k=20), GaussianNB())
                rows[-1].append(cross_val_score(pipeline, x_random, y_random, cv=folds).mean())

fig, ax = plt.subplots(figsize=(7.5, 3.3))
for colour, marker, (name, rows) in zip(("C5", "C0"), ("X", "o"), accuracies.items(), strict=True):
    ax.plot(n_features, np.mean(rows, 1), color=colour, marker=marker, ms=7, label=name)
    ax.fill_between(n_features, np.min(rows, 1), np.max(rows, 1), color=colour, alpha=0.15, lw=0)
ax.axhline(0.5, color="0.4", ls=":", lw=1.2)
ax.text(2000, 0.485, "the truth: labels are random", fontsize=8.5, ha="right", va="top", color="0.35")
ax.set(title="Cross-validated accuracy, mean and range of 8 data sets", xlabel="features to select 20 from", ylabel="accuracy", xscale="log", ylim=(0.2, 1.02))
ax.set_xticks(n_features, labels=[f"{p:,}" for p in n_features])
ax.minorticks_off()
ax.legend(loc="upper left", fontsize=9)
plt.show()

pipeline.fit(x_random, y_random)
x_new, y_new = no_signal(2000, 2000, seed=99)
print(f"2,000 features, last data set, fitted to all 50 samples: right on these {pipeline.score(x_random, y_random):.2f}, on 2,000 new samples {pipeline.score(x_new, y_new):.1f}")

# %% [markdown]
# With many features to choose from, some agree with the labels by chance: with *all* labels, those of the test folds included. Whoever
# chooses them first and cross-validates later finds what was planted there. Hastie, Tibshirani and Friedman report 3 % error
# in such an experiment where the truth is 50 % (*The Elements of Statistical Learning*, section 7.10.2). Ambroise and McLachlan (PNAS 99, 2002)
# found the mistake in published work on gene expression; Kapoor and Narayanan (*Leakage and the Reproducibility Crisis in
# ML-based Science*, arXiv:2207.07048) count leaks of several kinds in hundreds of papers from 17 fields of science.
#
# The printed line is about the other claim. The procedure learns its training data and nothing else, and honest cross-validation has said so. But it
# has not made the classifier any better.
#
# ### Which samples make a fold?
#
# Shuffling is not always enough. With a rare class, a fold may get none of it: **stratified** folds give each fold its share of each class. And where
# samples come in **groups**, as several images of one patient do, a classifier may recognise the patient instead of the
# disease. Then a group must be as a whole in one fold.

# %% tags=["demo"]
rng = np.random.default_rng(4)
classes_sorted = np.repeat([0, 1, 2], [24, 14, 6])
patients = np.concatenate([np.repeat(np.arange(6), 4), 6 + np.repeat(np.arange(7), 2), 13 + np.repeat(np.arange(3), 2)])
ways = {
    "cut in order": KFold(4).split(classes_sorted),
    "stratified, shuffled": StratifiedKFold(4, shuffle=True, random_state=0).split(classes_sorted, classes_sorted),
    "grouped": GroupKFold(4).split(classes_sorted, groups=patients),
}
fig, axes = plt.subplots(1, 3, figsize=(9.5, 2.9), sharey=True)
for ax, (name, splits) in zip(axes, ways.items(), strict=True):
    for fold, (_, test) in enumerate(splits):
        ax.barh(fold, 44, left=-0.5, height=0.7, color="0.92")
        ax.bar(test, 0.7, bottom=fold - 0.35, width=1, color=[f"C{c}" for c in classes_sorted[test]], edgecolor="white", lw=0.6)
    ax.bar(np.arange(44), 0.45, bottom=4.1, width=1, color=[f"C{c}" for c in classes_sorted], edgecolor="white", lw=0.6)
    if name == "grouped":
        for edge in np.flatnonzero(np.diff(patients)):
            ax.plot([edge + 0.5] * 2, [3.95, 4.65], color="black", lw=1.2, clip_on=False)
    ax.set(title=name, xlabel="patients, between the black lines" if name == "grouped" else "sample, sorted by class", xticks=[], ylim=(4.7, -0.5))
    ax.set_yticks([0, 1, 2, 3, 4.32], labels=["fold 1", "fold 2", "fold 3", "fold 4", "class"])
    ax.grid(False)
plt.show()

# %% [markdown]
# Coloured cells are the test samples of a fold, grey ones its training samples. Cut in order, fold 1 tests on nothing
# but the first class. Stratified, every fold tests on 6, 3 or 4, and 1 or 2 of the classes. Grouped, no patient is
# torn apart, and the classes fall as they may. (`StratifiedGroupKFold` of scikit-learn tries to have both.)
#
# How many folds? Kohavi (IJCAI 1995) recommended ten, stratified, after many experiments; five are common where training is slow.
# Mind that the $k$ numbers are not independent, as their training data overlap: no unbiased estimate of the
# variance of CV exists (Bengio and Grandvalet, JMLR 5, 2004), so their spread divided by $\sqrt{k}$ is no honest error bar.
#
# ### Choosing is fitting, too
#
# Try thirty settings, cross-validate each and report the best: that number is the maximum of thirty noisy ones, and too good. The
# choice belongs to $A$. **Nested** cross-validation puts it there: for each outer fold, an inner cross-validation *of the outer training
# samples alone* chooses the setting, which is then fitted to all of them and meets the outer test fold once (Varma and Simon, BMC
# Bioinformatics 7:91, 2006; Cawley and Talbot, JMLR 11, 2010).
#
# ```text
# all samples ── outer folds ──▶ train ── inner folds ──▶ which candidate? ──▶ fit it to train ──▶ accuracy on test
#                                test  ─────────────────── not looked at ────────────────────────────────────▲
# ```

# %% [markdown]
# ### Exercise 2.5 · Cross-validation that does not leak
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · Python, NumPy and estimators of scikit-learn
#
# **Write** two functions that make folds, one that runs a procedure in them, and one that chooses among
# procedures without cheating. All four speak of splits in the same way: a list of pairs `(train, test)` of index arrays, as scikit-learn's `cv=` takes them, too.
#
# A procedure is a list of **steps**. Each step is a function that takes no arguments and makes a new, unfitted object; classes will do. For example,
# `[StandardScaler, lambda: SelectKBest(k=20), GaussianNB]` scales, selects and classifies. As everywhere in scikit-learn, transformers have
# `fit(x, y)`, `transform(x)` and `fit_transform(x, y)`, and classifiers have `fit(x, y)` and `predict(x)`.
#
# Do without `sklearn.model_selection` (the hidden checks put its functions out of reach). `sklearn.pipeline` is allowed.
#
# <details><summary>Hint 1: equal shares without bookkeeping</summary>
#
# Deal the samples out like cards: sample after sample to fold 0, 1, ..., k - 1, 0, 1, ... If all samples of a class lie next to each
# other in the pack, each fold gets its share of them. Do not start at fold 0 anew with every class: then fold 0 gets the odd ones of all classes.
# What has to be shuffled, and when, so that chance decides which samples of a class meet?
# </details>
#
# <details><summary>Hint 2: large groups first</summary>
#
# `np.unique(groups, return_inverse=True, return_counts=True)` numbers the groups and counts their samples. Go through
# them from the largest to the smallest, and keep a count of samples for each fold.
# </details>
#
# <details><summary>Hint 3: nesting</summary>
#
# Inside an outer fold, take `x[train]` and `y[train]` and forget that there is anything else: `make_splits(y[train])` returns
# indices into *these*. For the choice and for the final measurement you have a function already. What are the splits of the final measurement?
# </details>

# %% nbgrader={"grade": false, "grade_id": "cross_validation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def stratified_splits(
    labels: np.ndarray, n_folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples at random into folds in which each class has its share.

    Args:
        labels: (n,) the class of each sample, integers or strings, in any order; not modified.
        n_folds: from 2 to n. A class may have fewer samples than that.
        seed: the same seed gives the same folds, another seed other ones. Global random generators
            are neither used nor changed.

    Returns:
        For each fold the pair (train, test) of index arrays. Each sample is in `test` of exactly
        one fold and in `train` of all others. The sizes of any two test folds differ by one at
        most, and so do, for each class, the numbers of its samples in them. Which samples of a
        class meet in a fold is left to chance. The indices may be in any order.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, at random within each
    fold = np.empty(len(labels), dtype=int)
    fold[order] = np.arange(len(labels)) % n_folds
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(n_folds)]
    ### END SOLUTION


def group_splits(groups: np.ndarray, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts samples into folds of similar size that tear no group apart.

    Groups are dealt out from the one with most samples to the one with fewest, each to a fold that
    has fewest samples so far. Ties may be broken in any way.

    Args:
        groups: (n,) the group of each sample, integers or strings, in any order; not modified.
        n_folds: from 2 to the number of groups.

    Returns:
        For each fold the pair (train, test) of index arrays, as above: each sample is in `test` of
        exactly one fold and in `train` of all others.
    """
    ### BEGIN SOLUTION
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    fold = np.empty(len(groups), dtype=int)
    filled = np.zeros(n_folds)
    for number in np.argsort(-sizes):
        smallest = filled.argmin()
        fold[group == number] = smallest
        filled[smallest] += sizes[number]
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(n_folds)]
    ### END SOLUTION


def fold_accuracies(
    steps: list, x: np.ndarray, y: np.ndarray, splits: list[tuple[np.ndarray, np.ndarray]]
) -> list[float]:
    """Fits a procedure to the training samples of each split and measures it on the test samples.

    For each split, new objects are made from all steps. Whatever is fitted, is fitted to training
    samples and their labels alone; test samples pass through the fitted transformers.

    Args:
        steps: functions that make the transformers, in the order in which they are applied (there
            may be none), and last the classifier.
        x: (n, n_features); not modified.
        y: (n,) labels; not modified.
        splits: pairs (train, test) of index arrays, of any kind: some samples may be in no test
            fold or in several, and `train` need not be all the others.

    Returns:
        For each split the share of test samples, from 0 to 1, whose label is predicted.
    """
    ### BEGIN SOLUTION
    accuracies = []
    for train, test in splits:
        *transformers, classifier = [make() for make in steps]
        x_train, x_test = x[train], x[test]
        for transformer in transformers:
            x_train = transformer.fit(x_train, y[train]).transform(x_train)
            x_test = transformer.transform(x_test)
        classifier.fit(x_train, y[train])
        accuracies.append(float(np.mean(classifier.predict(x_test) == y[test])))
    return accuracies
    ### END SOLUTION


def nested_accuracies(
    candidates: list[list],
    x: np.ndarray,
    y: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
    make_splits,
) -> tuple[list[float], list[int]]:
    """Measures, for each split, the candidate that cross-validation of the split's training samples
    chooses.

    Args:
        candidates: the procedures to choose from, each a list of steps.
        x, y: as above.
        splits: the outer splits, of any kind.
        make_splits: called with the labels of some samples, it returns splits of these samples:
            pairs of indices into these labels. The same labels give the same splits.

    Returns:
        For each outer split the accuracy, on its test samples, of the chosen candidate after
        fitting it to all of its training samples; and for each outer split the chosen candidate's
        index. Chosen is the one whose accuracies in the inner splits have the highest mean, the
        first of them if there are several (means that differ by rounding errors are equal, and
        either may be chosen). Test samples of an outer split have no part in the choice.
    """
    ### BEGIN SOLUTION
    accuracies, choices = [], []
    for train, test in splits:
        inner = make_splits(y[train])
        means = [np.mean(fold_accuracies(steps, x[train], y[train], inner)) for steps in candidates]
        choices.append(int(np.argmax(means)))
        accuracies += fold_accuracies(candidates[choices[-1]], x, y, [(train, test)])
    return accuracies, choices
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_cross_validation", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)
LIBRARY_CALLS = tuple(
    f"sklearn.model_selection.{name}"
    for name in (
        *("cross_val_score", "cross_val_predict", "cross_validate", "GridSearchCV.fit", "StratifiedKFold.split"),
        *("GroupKFold.split", "StratifiedGroupKFold.split", "KFold.split", "ShuffleSplit.split"),
    )
)


def splits_made(name, labels, *settings):
    """The splits that the student's function of that name makes, and the labels afterwards."""
    def run(name, labels, settings):
        with forbidden(*LIBRARY_CALLS):
            splits = {"stratified": stratified_splits, "group": group_splits}[name](labels, *settings)
        return [[np.asarray(part) for part in split] for split in splits], labels

    splits, after = probe(run, name, labels.copy(), settings)
    if not np.array_equal(after, labels):
        fail("The array passed in was modified.")
    return splits


def complaint(splits, n, n_folds):
    """What is wrong with splits of n samples, whatever their labels; None if nothing is."""
    if len(splits) != n_folds or any(len(split) != 2 for split in splits):
        return f"The result is not a list of {n_folds} pairs (train, test)."
    for part in (part for split in splits for part in split):
        if part.ndim != 1 or part.dtype.kind not in "iu":
            return "train and test are not one-dimensional arrays of whole numbers."
        if len(part) and (part.min() < 0 or part.max() >= n or len(np.unique(part)) < len(part)):
            return "Some train or test has an index twice, or one that no sample has."
    tested = np.bincount(np.concatenate([test for _, test in splits]), minlength=n)
    if (tested != 1).any():
        return "Not every sample is in the test part of exactly one fold."
    if any(sorted([*train, *test]) != list(range(n)) for train, test in splits):
        return "In some fold, train does not hold exactly the samples that are not in test."
    return None


def spread(numbers):
    return max(numbers) - min(numbers)


@check(points=1, hint="Shuffle, bring the samples of each class together, deal them out like cards, and go on dealing where the last class ended.")
def cuts_fair_folds():
    """Four stratified folds of 43 samples: each tests 10 or 11 of them, with its share of each class."""
    labels = np.random.permutation(np.repeat([0, 1, 2], [22, 15, 6]))
    splits = splits_made("stratified", labels, 4, 0)
    assert complaint(splits, 43, 4) is None, complaint(splits, 43, 4)
    sizes = [len(test) for _, test in splits]
    assert spread(sizes) <= 1, f"the test folds have {sizes} samples"
    for label in range(3):
        counts = [int(np.sum(labels[test] == label)) for _, test in splits]
        assert spread(counts) <= 1, f"the test folds have {counts} samples of class {label}"


@check(points=1, hint="All samples of a group get the same fold: the one that has fewest samples when the group's turn comes.")
def keeps_groups_together():
    """Three folds of seven groups: no group is in train and test of the same fold."""
    groups = np.random.permutation(np.repeat([10, 20, 30, 40, 50, 60, 70], [6, 5, 4, 4, 2, 2, 1]))
    splits = splits_made("group", groups, 3)
    assert complaint(splits, 24, 3) is None, complaint(splits, 24, 3)
    for number, (train, test) in enumerate(splits):
        torn = sorted(set(groups[train].tolist()) & set(groups[test].tolist()))
        assert not torn, f"in fold {number}, groups {torn} are in train and in test"
    sizes = sorted(len(test) for _, test in splits)
    assert sizes == [8, 8, 8], f"the folds have {sizes} samples; dealt from the largest group to the smallest, they have 8 each"


@check(points=1, hint="Make new objects for each split and fit all of them, the feature selection too, to x[train] and y[train].")
def is_honest_about_random_labels():
    """Where 2,000 features have nothing to do with the labels, the accuracy is about one half (a leak makes it 0.9)."""
    def run(data):
        found = []
        for x, y in data:
            steps = [StandardScaler, lambda: SelectKBest(k=20), GaussianNB]
            found += fold_accuracies(steps, x, y, stratified_splits(y, 5, 0))
        return [float(accuracy) for accuracy in found]

    data = [(np.random.normal(size=(50, 2000)), np.random.permutation(50) % 2) for _ in range(4)]
    found = probe(run, data)
    assert len(found) == 20, f"{len(found) / 4:g} accuracies instead of one for each of the five splits"
    assert 0.25 < np.mean(found) < 0.72, f"the mean accuracy on four data sets is {np.mean(found):.2f}"


### BEGIN HIDDEN TESTS
@check(points=1, hint="Counts per class differ by one at most, and so do the sizes of the folds: the odd samples of all classes must not land in the same fold.")
def shares_out_every_class():
    """Any number of samples, folds and classes, named in any way: each fold has its share of each class and of the whole."""
    draw = np.random.randint
    cases = [(draw(0, 3, n), n_folds) for n in (17, 40, 41) for n_folds in (2, 3, 7)]
    cases += [(np.repeat(np.arange(12), 5), 4), (np.repeat([3, -7, 100, 5], [7, 7, 7, 7]), 3)]  # odd ones everywhere
    cases += [(np.arange(10), 3), (draw(0, 2, 9), 9), (np.zeros(11, int), 4)]  # single samples, single folds, a single class
    cases += [(np.array(["cat", "ant", "elephant"])[draw(0, 3, 25)], 4), (np.repeat([0, 1], [60, 3]), 5)]
    for in_order, n_folds in cases:
        labels = np.random.permutation(in_order)
        splits = splits_made("stratified", labels, n_folds, int(draw(1000)))
        if (wrong := complaint(splits, len(labels), n_folds)) is not None:
            fail(wrong)
        if any(spread([np.sum(labels[test] == label) for _, test in splits]) > 1 for label in np.unique(labels)):
            fail("Two test folds differ by more than one in the number of samples of some class.")
        if spread([len(test) for _, test in splits]) > 1:
            fail("Each class is shared out well, but two test folds differ by more than one in size.")


@check(points=1, hint="One generator, np.random.default_rng(seed), shuffles everything. Which samples of different classes meet is up to chance, too.")
def leaves_the_rest_to_chance():
    """The seed alone decides; over many seeds any two samples meet as often as chance has it; global generators are left alone."""
    def run(labels, first):
        import random

        def folds_of(seeds):
            found = np.full((len(seeds), len(labels)), -1)
            with forbidden(*LIBRARY_CALLS):
                for fold, seed in zip(found, seeds, strict=True):
                    for number, (_, test) in enumerate(stratified_splits(labels, 3, seed)):
                        fold[test] = number
            return found

        np.random.seed(1)
        random.seed(1)
        states = lambda: [np.random.get_state()[1].tolist(), np.random.get_state()[2], random.getstate(), torch.get_rng_state().tolist()]
        before = states()
        folds = folds_of(range(first, first + 400))
        untouched = states() == before
        np.random.seed(2)
        random.seed(2)
        torch.manual_seed(2)
        return folds, folds_of(range(first, first + 20)), untouched

    labels = np.repeat([0, 1], 6)
    folds, again, untouched = probe(run, labels, int(np.random.randint(1000)))
    if not np.array_equal(folds[:20], again):
        fail("The same seed gave two different splits: something else than the seed has a say.")
    if len(np.unique(folds[:20], axis=0)) < 15:
        fail("Different seeds gave the same folds.")
    if not untouched:
        fail("A global random generator was used or seeded.")
    together = (folds[:, :, None] == folds[:, None, :]).mean(0)
    same_class = labels[:, None] == labels[None, :]
    # Two of six in each of three folds: a sample meets each of its five classmates with probability 1/5, each other one with 1/3.
    for pairs, probability, who in [(same_class & ~np.eye(12, dtype=bool), 1 / 5, "the same class"), (~same_class, 1 / 3, "different classes")]:
        deviation = np.abs(together[pairs] - probability) / math.sqrt(probability * (1 - probability) / 400)
        if deviation.max() > 6:
            fail(f"Over 400 seeds, some samples of {who} meet much more often, or less often, than by chance.")


@check(points=1, hint="From the largest group to the smallest, each to the fold that has fewest samples (not fewest groups) so far.")
def fills_the_smallest_fold():
    """For groups of any sizes and names, no group is torn apart, and folds are as large as GroupKFold's."""
    from sklearn.model_selection import GroupKFold

    cases = [(np.repeat(np.arange(9), np.random.randint(1, 12, 9)), n_folds) for n_folds in (2, 3, 4, 9) for _ in range(3)]
    cases += [(np.repeat([5, -2, 8, 1, 0, 12], [1, 1, 1, 1, 9, 9]), 3), (np.repeat(["bo", "al", "eve", "dan"], [2, 7, 4, 5]), 3)]
    for in_order, n_folds in cases:
        groups = np.random.permutation(in_order)
        splits = splits_made("group", groups, n_folds)
        if (wrong := complaint(splits, len(groups), n_folds)) is not None:
            fail(wrong)
        if any(set(groups[train]) & set(groups[test]) for train, test in splits):
            fail("A group has samples in train and in test of the same fold.")
        library = GroupKFold(n_folds).split(groups, groups=groups)
        if sorted(len(test) for _, test in splits) != sorted(len(test) for _, test in library):
            fail("The folds have other sizes than if the groups are dealt out from the largest to the smallest, each to a smallest fold.")


def procedure(name):
    """Steps that need fitting, by name."""
    neighbours = lambda: KNeighborsClassifier(5)
    return {
        "classifier": [neighbours],
        "scaler": [StandardScaler, neighbours],
        "scaler, pca": [StandardScaler, lambda: PCA(3), neighbours],
        "pca, scaler": [lambda: PCA(3), StandardScaler, neighbours],
        "selection": [lambda: SelectKBest(k=3), StandardScaler, GaussianNB],
    }[name]


def overlapping_classes(n):
    """n samples of three classes with names; eight features of very different scales, the last ones useless."""
    y = np.random.randint(0, 3, n)
    x = np.random.normal(size=(n, 8)) * 1.5
    x[:, 0] += y
    x[:, 1] -= 2 * (y == 1)
    return x * np.array([1, 3, 10, 0.2, 1, 30, 5, 1]), np.array(["ash", "birch", "oak"])[y]


def random_split(n, n_train, n_test):
    order = np.random.permutation(n)
    return order[:n_train], order[n_train : n_train + n_test]


@check(points=1, hint="Transformers in their order, classifier last; accuracies from the splits as they are, which may be of any kind.")
def agrees_with_scikit_learn():
    """With and without transformers, and for splits of any kind, accuracies are those of a Pipeline in cross_val_score."""
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    def run(name, x, y, splits):
        with forbidden(*LIBRARY_CALLS):
            found = fold_accuracies(procedure(name), x, y, splits)
        return [float(accuracy) for accuracy in found], x, y

    for name in ("classifier", "scaler", "scaler, pca", "pca, scaler", "selection"):
        x, y = overlapping_classes(70)
        splits = [random_split(70, *sizes) for sizes in [(56, 14), (30, 7), (15, 40), (40, 11)]]
        truth = cross_val_score(make_pipeline(*(make() for make in procedure(name))), x, y, cv=splits)
        found, *after = probe(run, name, x.copy(), y.copy(), splits)
        if not (np.array_equal(after[0], x) and np.array_equal(after[1], y)):
            fail("The arrays passed in were modified.")
        if len(found) != len(splits):
            fail("There is not one accuracy for each split.")
        if not np.allclose(found, truth, atol=1e-9):
            what = "a classifier alone" if name == "classifier" else f"{len(procedure(name)) - 1} transformer(s) and a classifier"
            fail(f"For {what}, the accuracies are not those of a pipeline fitted to the training samples of each split.")


@check(points=1, hint="Log what you pass to fit: x[train] and y[train], nothing else. The test samples are transformed by what was fitted to the training samples.")
def fits_to_training_samples_alone():
    """Spies in place of the steps: new objects in each split, fitted to training samples and labels, then applied to test samples."""
    def run(x, y, splits):
        fits, predictions, made = [], [], []

        class Spy(BaseEstimator):
            def __init__(self):
                made.append(self)
                self.number = len(made)

            def fit(self, x, y=None):
                if not hasattr(self, "mark_"):
                    self.mark_ = 0.0
                self.mark_ += float(x[:, 0].sum())
                fits.append([self.kind, self.number, x.copy(), [] if y is None else list(np.asarray(y).tolist())])
                self.classes_ = np.unique(y)
                return self

        class Transformer(TransformerMixin, Spy):
            kind = "transformer"

            def transform(self, x):
                return np.column_stack([x, np.full(len(x), self.mark_)])

        class Classifier(ClassifierMixin, Spy):
            kind = "classifier"

            def predict(self, x):
                predictions.append([self.number, x.copy()])
                return x[:, 0].astype(int) % 3

        with forbidden(*LIBRARY_CALLS):
            accuracies = fold_accuracies([Transformer, Transformer, Classifier], x, y, splits)
        return [float(accuracy) for accuracy in accuracies], fits, predictions

    n = 30
    x = np.column_stack([np.arange(n), np.random.normal(size=n)])  # the first column says which sample it is
    y = np.random.randint(0, 3, n)
    splits = [random_split(n, *sizes) for sizes in [(20, 10), (14, 9), (22, 8)]]
    accuracies, fits, predictions = probe(run, x, y, splits)
    ids = lambda rows: rows[:, 0].round().astype(int)
    marks_of = {}
    for kind, number, rows, labels in fits:
        if not any(sorted(ids(rows)) == sorted(train) for train, _ in splits):
            fail(f"A {kind} was fitted to other samples than the training samples of a split.")
        if labels != y[ids(rows)].tolist():
            fail(f"A {kind} was fitted without the labels of its samples, or with other ones.")
        if len({tuple(sorted(ids(other))) for _, same, other, _ in fits if same == number}) > 1:
            fail(f"The same {kind} was fitted in several splits: it may remember what it has seen. Make a new one each time.")
        marks_of.setdefault(kind, []).append(number)
    for train, test in splits:
        fitted = {number: rows for kind, number, rows, _ in fits if kind == "classifier" and sorted(ids(rows)) == sorted(train)}
        tested = [(number, rows) for number, rows in predictions if number in fitted]
        if not set(test) <= {sample for _, rows in tested for sample in ids(rows)}:
            fail("In some split, no classifier that was fitted to the training samples predicts the test samples.")
        marks = lambda rows: {tuple(row) for row in rows[:, 2:].tolist()}  # what the transformers appended: it tells what they were fitted to
        if any(rows.shape[1] != 4 or fitted[number].shape[1] != 4 or marks(rows) != marks(fitted[number]) for number, rows in tested):
            fail("The test samples did not pass through the same fitted transformers as the training samples.")
        if sum(kind == "transformer" and sorted(ids(rows)) == sorted(train) for kind, _, rows, _ in fits) < 2:
            fail("In some split, not all transformers were fitted to its training samples.")
    if not np.allclose(accuracies, [np.mean(test % 3 == y[test]) for _, test in splits], atol=1e-9):
        fail("The accuracies are not the shares of test samples whose label was predicted.")


def inner_splits(labels):
    """Three inner splits of unequal sizes, which depend on the labels' number alone."""
    order = np.arange(len(labels)) * 7 % len(labels) if len(labels) % 7 else np.arange(len(labels))
    cuts = np.split(order, [len(order) // 2, 5 * len(order) // 6])
    return [(np.setdiff1d(order, cut), np.sort(cut)) for cut in cuts]


def expected_choices(right, splits):
    """Which candidate wins in each outer split; None if that is a near tie somewhere, or if another rule would choose the same.

    right: (candidates, samples), which samples each candidate gets right, however it is fitted.
    """
    by_rule = {}
    for train, test in splits:
        inner = [right[:, train][:, fold] for _, fold in inner_splits(train)]
        shares = np.array([fold.mean(1) for fold in inner])
        second, first = np.sort(shares.mean(0))[-2:]
        if first - second < 1e-6:
            return None
        pooled = np.concatenate(inner, axis=1).mean(1)
        rules = dict(mean=shares.mean(0), first=shares[0], last=shares[-1], max=shares.max(0), min=shares.min(0), pooled=pooled, test=right[:, test].mean(1))
        for rule, numbers in {**rules, "all": right.mean(1), "worst": -shares.mean(0), "rows": right[:, np.arange(len(train))].mean(1)}.items():
            by_rule.setdefault(rule, []).append(int(numbers.argmax()))
    winners = by_rule.pop("mean")
    return None if winners in by_rule.values() or len(set(winners)) == 1 else winners


@check(points=1, hint="Mean over the inner folds of x[train] and y[train]; the highest mean wins, and the first of equals.")
def chooses_by_the_inner_folds():
    """In each outer split, the candidate with the best mean over the inner folds is chosen and measured on the outer test samples."""
    def run(x, y, splits, tables, equal):
        class Table(ClassifierMixin, BaseEstimator):
            """Predicts what a table says about each sample."""

            def __init__(self, number=0):
                self.number = number

            def fit(self, x, y):
                self.classes_ = np.unique(y)
                return self

            def predict(self, x):
                return tables[self.number][x[:, 0].astype(int)]

        make = lambda number: [lambda: Table(number)]
        with forbidden(*LIBRARY_CALLS):
            free = nested_accuracies([make(number) for number in range(len(tables))], x, y, splits, inner_splits)
            tied = [nested_accuracies([make(number) for number in numbers], x, y, splits, inner_splits)[1] for numbers in equal]
        return [float(value) for value in free[0]], [int(value) for value in free[1]], [[int(value) for value in row] for row in tied]

    n = 40
    x, y = np.column_stack([np.arange(n), np.zeros(n)]), np.random.randint(0, 2, n)
    winners = None
    while winners is None:  # until the inner folds choose clearly, and otherwise than test samples, pooled folds and so on
        splits = [random_split(n, *sizes) for sizes in [(29, 11), (24, 8), (31, 9), (27, 13)]]
        tables = [np.where(np.random.random(n) < 0.35, 1 - y, y) for _ in range(5)]
        right = np.array([table == y for table in tables])
        winners = expected_choices(right, splits)
    best, worst = winners[0], int(right[:, splits[0][0]].mean(1).argmin())
    accuracies, choices, tied = probe(run, x, y, splits, tables, [[best, best, best], [worst, best, best]])
    if choices != winners:
        fail("Some choice is not the candidate whose accuracies in the inner folds have the highest mean.")
    if not np.allclose(accuracies, [right[winner, test].mean() for winner, (_, test) in zip(winners, splits, strict=True)], atol=1e-9):
        fail("The choices are right, but the accuracies are not those of the chosen candidates on the outer test samples.")
    if tied[0] != [0] * 4 or tied[1][0] not in (0, 1) or (best != worst and tied[1][0] != 1):
        fail("Of several candidates with the same mean, not the first is chosen.")


@check(points=1, hint="Inside the loop, only x[train] and y[train] exist until the choice is made; then the chosen candidate is fitted to all of them.")
def keeps_the_outer_test_apart():
    """Candidates are chosen without the outer test samples, then fitted to all outer training samples, as GridSearchCV does."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline, make_pipeline

    def run_spies(x, y, splits):
        log, asked, made = [], [], []

        class Spy(ClassifierMixin, BaseEstimator):
            def __init__(self):
                made.append(self)
                self.number = len(made)

            def fit(self, x, y):
                log.append(["fit", self.number, x[:, 0].astype(int), np.asarray(y)])
                self.classes_ = np.unique(y)
                return self

            def predict(self, x):
                log.append(["predict", self.number, x[:, 0].astype(int), None])
                return np.zeros(len(x), int)

        def make_splits(labels):
            asked.append(np.asarray(labels))
            return inner_splits(labels)

        with forbidden(*LIBRARY_CALLS):
            nested_accuracies([[Spy], [Spy]], x, y, splits, make_splits)
        return log, asked

    n = 36
    x, y = np.column_stack([np.arange(n), np.zeros(n)]), np.random.randint(0, 2, n)
    splits = [random_split(n, *sizes) for sizes in [(24, 12), (20, 9), (26, 10)]]
    log, asked = probe(run_spies, x, y, splits)
    if not all(any(np.array_equal(labels, y[train]) for train, _ in splits) for labels in asked):
        fail("make_splits is called with other labels than those of an outer split's training samples.")
    key = lambda samples: tuple(sorted(int(sample) for sample in samples))
    outer = {key(train): {*train, *test} for train, test in splits}
    inner = {key(train[fold]): set(train) for train, _ in splits for fold, _ in inner_splits(train)}
    allowed, fitted = outer | inner, {}
    for what, number, samples, labels in log:
        if what == "fit":
            fitted[number] = key(samples)
            if fitted[number] not in allowed:
                fail("A candidate was fitted to samples that are neither the training samples of an outer split nor those of one of its inner splits.")
            if not np.array_equal(labels, y[samples]):
                fail("A candidate was fitted to samples with the labels of others.")
        elif not set(samples) <= allowed[fitted[number]]:
            fail("A candidate that was fitted in an inner split predicts outer test samples.")
    if not set(inner) <= set(fitted.values()):
        fail("Candidates are not fitted in all of the inner splits.")
    if not set(outer) <= set(fitted.values()):
        fail("In some outer split, no candidate was fitted to all of its training samples after the choice.")

    def run(x, y, splits, names):
        with forbidden(*LIBRARY_CALLS):
            accuracies, choices = nested_accuracies([procedure(name) for name in names], x, y, splits, inner_splits)
        return [float(value) for value in accuracies], [int(value) for value in choices]

    x, y = overlapping_classes(60)
    splits, names = [random_split(60, *sizes) for sizes in [(45, 15), (38, 22)]], ["classifier", "scaler", "selection"]
    accuracies, choices = probe(run, x, y, splits, names)
    pipelines = [make_pipeline(*(make() for make in procedure(name))) for name in names]
    for (train, test), accuracy, choice in zip(splits, accuracies, choices, strict=True):
        search = GridSearchCV(Pipeline([("all", "passthrough")]), {"all": pipelines}, scoring="accuracy", cv=inner_splits(train)).fit(x[train], y[train])
        first, second = np.sort(search.cv_results_["mean_test_score"])[:-3:-1]
        if first - second > 1e-6 and not (choice == search.best_index_ and math.isclose(accuracy, search.score(x[test], y[test]), abs_tol=1e-9)):
            fail("On data with a scaler and feature selection among the candidates, the result is not that of GridSearchCV.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Three leaks, and what stops them
#
# In all three experiments labels are random, so 0.5 is the truth. Your functions do both: the leaky evaluation and the
# honest one. *Selection*: 20 of 2,000 features chosen before the folds, or in them. *Patients*: twenty patients with five images
# each, which look alike; torn apart by stratified folds, or kept together. *Best of twelve*: twelve
# procedures, of which the best cross-validated accuracy is reported, or nested cross-validation.

# %% tags=["demo", "raises-exception"]
from sklearn.random_projection import GaussianRandomProjection

found = {"selection": ([], []), "patients": ([], []), "best of twelve": ([], [])}
for repetition in range(8):
    x_random, y_random = no_signal(50, 2000, repetition)
    splits = stratified_splits(y_random, 5, seed=repetition)
    chosen = SelectKBest(k=20).fit_transform(x_random, y_random)
    found["selection"][0].append(np.mean(fold_accuracies([GaussianNB], chosen, y_random, splits)))
    found["selection"][1].append(np.mean(fold_accuracies([lambda: SelectKBest(k=20), GaussianNB], x_random, y_random, splits)))

    faces, illness = no_signal(20, 30, repetition)
    patient = np.repeat(np.arange(20), 5)
    images, ill = faces[patient] + 0.5 * np.random.default_rng(repetition).normal(size=(100, 30)), illness[patient]
    for list_, splits in zip(found["patients"], (stratified_splits(ill, 5, seed=repetition), group_splits(patient, 5)), strict=True):
        list_.append(np.mean(fold_accuracies([lambda: KNeighborsClassifier(3)], images, ill, splits)))

    x_random, y_random = no_signal(40, 10, 100 + repetition)
    splits = stratified_splits(y_random, 4, seed=repetition)
    candidates = [[lambda s=s: GaussianRandomProjection(2, random_state=s), GaussianNB] for s in range(12)]
    found["best of twelve"][0].append(max(np.mean(fold_accuracies(steps, x_random, y_random, splits)) for steps in candidates))
    nested, _ = nested_accuracies(candidates, x_random, y_random, splits, lambda labels: stratified_splits(labels, 3, seed=0))
    found["best of twelve"][1].append(np.mean(nested))

fig, ax = plt.subplots(figsize=(8, 3.3))
for place, (name, pair) in enumerate(found.items()):
    for shift, colour, label, values in [(-0.19, "C5", "leaky", pair[0]), (0.19, "C0", "honest", pair[1])]:
        ax.bar(place + shift, np.mean(values), width=0.34, color=colour, alpha=0.85, label=label if place == 0 else None)
        ax.plot(place + shift + np.linspace(-0.1, 0.1, len(values)), values, "o", color="black", ms=3.5, alpha=0.7)
ax.axhline(0.5, color="0.3", ls=":", lw=1.2)
ax.set(title="Cross-validated accuracy on random labels: mean (bar), eight data sets (dots)", ylabel="accuracy", ylim=(0, 1.05))
ax.set_xticks(range(3), labels=["features selected\nbefore / in the folds", "patients torn apart /\nkept together", "best of twelve /\nnested"])
ax.legend(loc="upper right", bbox_to_anchor=(1.14, 1))
ax.grid(axis="x")
plt.show()

# %% [markdown]
# Each leak alone turns a coin into a discovery. The first two let test samples into the training: through the choice of features, and through other
# images of the same patient. The third is more polite: no fold has seen anything that it should not, but the best of twelve scores is a maximum, and a
# maximum of noisy numbers is too high on average. Nested cross-validation chooses inside, and measures what the choosing yields.
#
# So "cross-validation prevents overfitting" is half a truth. It prevents nothing; it *estimates*, and it does so honestly only if every
# step that looks at labels or at other samples is inside the loop.

# %% [markdown]
# ## 2.6 Augmentation and mixup
#
# The best cure for overfitting is more data. **Augmentation** makes some from what there is: an image of a 4, moved
# by one pixel, is another image of a 4, and nobody has to label it. The network is told something that the data
# alone would not tell it: *these differences do not matter*.
#
# So an augmentation is a claim about the world, and the claim can be false. "Flip and rotate for robustness" is advice
# that circulates without its condition. Here are two digits with some popular changes.

# %% tags=["demo"]
from scipy import ndimage
from sklearn.datasets import load_digits


def draw_image(ax, image, caption, color="black"):
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    ax.spines[:].set(visible=True, color="0.8")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.set_xlabel(caption, fontsize=9, color=color)


changes = {
    "as it is": lambda image: image,
    "shifted": lambda image: ndimage.shift(image, (0, 1), order=0),
    "np.roll": lambda image: np.roll(image, (2, 3), axis=(0, 1)),
    "rotated 15°": lambda image: ndimage.rotate(image, 15, reshape=False, order=1, mode="grid-constant"),
    "noise": lambda image: image + np.random.default_rng(0).normal(0, 0.15, image.shape),
    "rotated 180°": lambda image: image[::-1, ::-1],
    "mirrored": lambda image: image[:, ::-1],
}
verdicts = [["label 6"] * 2 + ["torn: no digit"] + ["label 6"] * 2 + ["now a 9", "no digit"]]
verdicts.append(["label 4"] * 2 + ["torn: no digit"] + ["label 4"] * 2 + ["no digit"] * 2)
samples, names = load_digits(return_X_y=True)
fig, axes = plt.subplots(2, len(changes), figsize=(9.5, 3.3))
for row, number in enumerate((6, 4)):
    image = samples[names == number][1].reshape(8, 8) / 16
    for ax, (change, apply), verdict in zip(axes[row], changes.items(), verdicts[row], strict=True):
        draw_image(ax, apply(image), verdict, color="C0" if verdict.startswith("label") else "C5")
        if row == 0:
            ax.set_title(change, loc="center", fontsize=10)
plt.show()

# %% [markdown]
# Every change needs a **label policy**, one of four:
#
# | policy | when | examples |
# |---|---|---|
# | keep the label | the change does not touch what the label says | digits: small shifts and rotations, a little noise |
# | change the label | the new image belongs to a known class | mirrored arrows: *left* becomes *right*; a 6 turned by 180° |
# | refuse | the new image belongs to no class, or to an unknown one | digits: flips, rotations of the others by 180° |
# | mix the labels | the new image is made of several | mixup, below |
#
# A flip is harmless for cats and wrong for text. Goodfellow, Bengio and Courville (*Deep Learning*, section 7.4)
# warn of exactly these cases, b and d, 6 and 9. And the robustness is to what was shown, not in general. At the end of
# the section, you will measure both.
#
# Only **training** images are augmented. Validation and test images stand for the data to come, and are left
# alone; nor may changed copies of one image be spread over training and validation, so split first and augment afterwards.
#
# ### Moving pixels
#
# `np.roll` and `torch.roll` shift in a circle: what leaves at the bottom comes back at the top. In an 8 × 8 image, that tears digits
# apart. What comes in from outside has to be background, here 0.
#
# For a rotation, think backwards. To fill the pixel at $(x, y)$, measured from the centre of the image with $x$ to
# the right and $y$ **down**, ask where its content was before the image turned counter-clockwise by $\varphi$:
#
# $$x_s = x\cos\varphi - y\sin\varphi, \qquad y_s = x\sin\varphi + y\cos\varphi .$$
#
# That is seldom the centre of a pixel, so one takes the mean of the four around it, weighted by
# how near they are (**bilinear** interpolation), with zeros for those outside. `F.grid_sample` does so for
# any grid of source points, and `F.affine_grid` makes the grid from a 2 × 3 matrix. Mind their coordinates: both measure in
# half widths and half heights of the image, so that a rotation of an oblong image needs a factor; and whether $\pm1$ is the
# edge or the centre of the outermost pixels is up to `align_corners`, which both have to be told alike.
#
# ### Mixing images
#
# Zhang et al., *mixup: Beyond Empirical Risk Minimization* (arXiv:1710.09412), mix two images and their labels, the latter
# written as one-hot vectors, with a weight drawn at random:
#
# $$\tilde x = \lambda x_i + (1 - \lambda) x_j, \qquad \tilde y = \lambda y_i + (1 - \lambda) y_j, \qquad
# \lambda \sim \mathrm{Beta}(\alpha, \alpha).$$
#
# Nobody takes the result for a real image. It asks the network to pass evenly from one class to the next, rather than
# to be sure of itself everywhere. Small $\alpha$ hardly mixes: most $\lambda$ are near 0 or 1. For ImageNet, the paper found $\alpha$ of 0.1 to
# 0.4 to help, and large ones to underfit (section 3.1).

# %% tags=["demo"]
from scipy.stats import beta

one, other = (samples[names == number][1].reshape(8, 8) / 16 for number in (3, 7))
fig, axes = plt.subplots(1, 5, figsize=(9.5, 2.6), width_ratios=(2.3, 1, 1, 1, 1))
grid = np.linspace(0.005, 0.995, 199)
for alpha, style in ((0.2, "-"), (1, "--"), (4, "-.")):
    axes[0].plot(grid, beta(alpha, alpha).pdf(grid), style, label=rf"$\alpha$ = {alpha}")
axes[0].set(title=r"Density of $\lambda$", xlabel=r"$\lambda$", ylim=(0, 3.6))
axes[0].legend(fontsize=9, loc="upper center")
pictures = {
    "a 3": one,
    "a 7": other,
    "mixup:\n0.6 · 3 + 0.4 · 7": 0.6 * one + 0.4 * other,
    "a λ per pixel:\nno known label": other + np.random.default_rng(1).beta(0.2, 0.2, one.shape) * (one - other),
}
for ax, (caption, image) in zip(axes[1:], pictures.items(), strict=True):
    draw_image(ax, image, caption)
plt.show()

# %% [markdown]
# **One $\lambda$ for what?** In the formula, each pair has its own. The authors' published code (`train.py` of
# facebookresearch/mixup-cifar10) draws one per batch, and the partners by shuffling that batch. Both are mixup;
# **here, each image of the batch gets its own**. One for each pixel is not mixup: two images shuffled into each other pixel by pixel are
# not at $\lambda$ of the way between their labels, whatever $\lambda$ one then writes down.
#
# **What about the loss?** The cross-entropy of a prediction $p$ against soft labels $\tilde y$ is
# $-\sum_c \tilde y_c \log p_c$. It is linear in $\tilde y$, so it can be had from two ordinary ones, with integer labels:
#
# $$\ell(p, \tilde y) = \lambda\,\ell(p, y_i) + (1 - \lambda)\,\ell(p, y_j). $$
#
# This mixes losses. Mixing the *integers* is nonsense: $0.5 \cdot 3 + 0.5 \cdot 7$ is a 5. And this listing, the batch version
# with a vector of $\lambda$ put in, runs without complaint. What is wrong with it?
#
# ```python
# loss = (lam * F.cross_entropy(logits, labels) + (1 - lam) * F.cross_entropy(logits, partners)).mean()
# ```
#
# <details><summary>Compare your diagnosis</summary>
#
# `F.cross_entropy` returns the mean over the batch, one number. So every $\lambda_i$ multiplies the same mean, and only the mean of the
# $\lambda_i$ is left: an image that is nine tenths a 3 is trained as if it were half of each. With one $\lambda$ per batch, it was right.
# </details>

# %% [markdown]
# ### Exercise 2.6 · Augmentation and mixup
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **11 points** · PyTorch
#
# **Given** `DIGIT_MIRROR`, which says which digit the mirror image of a digit is, for those where it is one.
#
# **Write** the five functions and the method below. `scipy.ndimage` is what your results are compared with, so do
# without it; the hidden checks make `shift`, `rotate` and `affine_transform` fail.
# Take random numbers from torch's or NumPy's global generator, and do not seed it: every call has to draw anew.
#
# <details><summary>Hint 1: shifting each image by its own amount</summary>
#
# A loop over the images is fine: roll, then set to zero what came round. Or without a loop: row $r$ of the result was row `r - down`
# before. Index with these numbers, and put zeros where they are out of range. Shifts may be larger than the image.
# </details>
#
# <details><summary>Hint 2: the matrix for affine_grid</summary>
#
# In half widths and half heights, $x = u\,w/2$ and $y = v\,h/2$ (with `align_corners=False`). Put this into the formula for $x_s$ and $y_s$, and
# $\sin\varphi$ gets a factor $h/w$ in the first row and $w/h$ in the second. `grid_sample` wants a channel axis: `images[:, None]`.
# </details>
#
# <details><summary>Hint 3: one number for each image</summary>
#
# `lam * images` aligns $\lambda$ with the *last* axis, and if the batch is as large as the image is wide, nobody complains. Give `lam` the shape
# `(n, 1, 1)`, or whatever the number of axes demands. `F.cross_entropy(..., reduction="none")` returns one loss for each image.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_augmentation", "locked": true, "schema_version": 3, "solution": false, "task": false}
DIGIT_MIRROR = {0: 0, 8: 8}  # the mirror images of all others are no digits


# %% nbgrader={"grade": false, "grade_id": "augmentation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Shifts each image by its own whole number of pixels; what comes in from outside is 0.

    Args:
        images: (n, height, width), floating point; not modified.
        down, right: (n,), integers of any size; negative ones shift up and to the left.

    Returns:
        The shifted images, of the same shape and dtype.

    >>> shift_images(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([0]), torch.tensor([1]))
    tensor([[[0., 1., 2.]]])
    """
    ### BEGIN SOLUTION
    n, height, width = images.shape
    rows = torch.arange(height) - down[:, None]  # where each row of the result comes from
    columns = torch.arange(width) - right[:, None]
    seen = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    moved = images[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved * seen
    ### END SOLUTION


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotates each image by its own angle about its centre, counter-clockwise as displayed with row
    0 at the top.

    Bilinear interpolation; pixels outside the image count as 0, also in the interpolation
    (scipy.ndimage.rotate with reshape=False, order=1, mode="grid-constant").

    Args:
        images: (n, height, width), floating point, with height and width above 1; not modified.
        degrees: (n,), of the same dtype as the images, any angles.

    Returns:
        The rotated images, of the same shape and dtype.
    """
    ### BEGIN SOLUTION
    n, height, width = images.shape
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix, (n, 1, height, width), align_corners=False)
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    ### END SOLUTION


def mirror_images(
    images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flips images left to right and gives them the labels of their mirror images.

    Args:
        images: (n, height, width); not modified.
        labels: (n,), int64; not modified.
        mirror: says for a class which class its mirror image belongs to. If a class is missing, its
            mirror image belongs to none.

    Returns:
        The flipped images and their labels, int64.

    Raises:
        ValueError: if the mirror image of any of the images belongs to no class.
    """
    ### BEGIN SOLUTION
    if not set(labels.tolist()) <= set(mirror):
        raise ValueError("an image of this batch has no label in the mirror")
    return images.flip(-1), torch.tensor([mirror[label] for label in labels.tolist()])
    ### END SOLUTION


class ImageAugmenter(nn.Module):
    """Rotates images, shifts them and adds noise, at random and in training mode only. Labels are
    kept.

    Args:
        max_shift: in whole pixels, 0 or more.
        max_degrees: 0 or more.
        noise: standard deviation of the noise, 0 or more.
    """

    def __init__(self, max_shift: int = 1, max_degrees: float = 10.0, noise: float = 0.05):
        super().__init__()
        self.max_shift, self.max_degrees, self.noise = max_shift, max_degrees, noise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns images of the same shape (n, height, width) and dtype; the argument is not
        modified.

        In evaluation mode, they are the images as they came. In training mode, each image is first
        rotated, then shifted, and then gets noise. Drawn independently for each image, and anew in
        each call, are the angle, uniform between -max_degrees and max_degrees; the shift down and
        the shift to the right, each uniform on the whole numbers from -max_shift to max_shift, both
        included; and for each pixel its noise, normal with mean 0. Values may leave the range of
        the images: nothing is clipped.
        """
        ### BEGIN SOLUTION
        if not self.training:
            return images
        n = len(images)
        degrees = self.max_degrees * (2 * torch.rand(n, dtype=images.dtype) - 1)
        down, right = torch.randint(-self.max_shift, self.max_shift + 1, (2, n))
        moved = shift_images(rotate_images(images, degrees), down, right)
        return moved + self.noise * torch.randn_like(images)
        ### END SOLUTION


def mixup(
    images: torch.Tensor, labels: torch.Tensor, alpha: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mixes each image with a partner from the same batch (Zhang et al., arXiv:1710.09412), with a
    weight of its own.

    Row i of the result is lam[i] * images[i] + (1 - lam[i]) * images[order[i]], where `order` is a
    random permutation of the batch, each as likely as any other, and lam[i] is drawn from
    Beta(alpha, alpha), independently for each i.

    Args:
        images: (n, ...) with one or more axes after the first, floating point; not modified.
        labels: (n,), int64; not modified.
        alpha: 0, which means that every lam[i] is 1, or 0.05 and more.

    Returns:
        The mixed images, the partners' labels (labels[order]) and lam (n,), the first and the last
        of the images' dtype.
    """
    ### BEGIN SOLUTION
    n = len(images)
    order = torch.randperm(n)
    lam = torch.distributions.Beta(alpha, alpha).sample((n,)) if alpha > 0 else torch.ones(n)
    lam = lam.to(images.dtype)
    weight = lam.view(n, *[1] * (images.dim() - 1))
    return weight * images + (1 - weight) * images[order], labels[order], lam
    ### END SOLUTION


def mixup_loss(
    logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor
) -> torch.Tensor:
    """Mean over the batch of the cross-entropy against the soft labels lam * onehot(labels) + (1 -
    lam) * onehot(partners).

    Args:
        logits: (n, n_classes), up to 1e30 in size; gradients flow back to them.
        labels, partners: (n,), int64.
        lam: (n,), between 0 and 1, of the same dtype as the logits.

    Returns:
        A scalar tensor.
    """
    ### BEGIN SOLUTION
    own = F.cross_entropy(logits, labels, reduction="none")
    other = F.cross_entropy(logits, partners, reduction="none")
    return (lam * own + (1 - lam) * other).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_augmentation", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=1, hint="np.roll and torch.roll shift in a circle. What comes in from outside is 0.")
def shifts_without_wraparound():
    """Shifted by one pixel, an image loses a row or a column and gets zeros on the other side."""
    def run(image):
        image = torch.tensor([image])
        return [
            shift_images(image, torch.tensor([down]), torch.tensor([right]))[0] for down, right in [(1, 0), (-1, 0), (0, 1), (0, -1)]
        ]

    shifted = probe(run, [[1.0, 2.0], [3.0, 4.0]])
    for where, found, rows in zip(
        ("down", "up", "right", "left"), shifted, ([[0, 0], [1, 2]], [[3, 4], [0, 0]], [[0, 1], [0, 3]], [[2, 0], [4, 0]]), strict=True
    ):
        assert found.tolist() == rows, f"[[1, 2], [3, 4]] shifted by one pixel, {where}, is {rows}; yours is {found.tolist()}"


@check(points=1, hint="Look up every label before anything is flipped. A class that is not in the dict cannot be flipped.")
def refuses_mirrored_digits():
    """Mirrored arrows change their labels, and digits other than 0 and 8 are refused."""
    def run(images, labels, mirror):
        given, mirror = (images.clone(), labels.clone()), dict(mirror)
        try:
            flipped = mirror_images(images, labels, mirror)
        except ValueError:
            return None
        return *flipped, torch.equal(images, given[0]) and torch.equal(labels, given[1])

    images = torch.randn(5, 3, 4)
    for labels in ([0, 8, 3, 0, 8], [2, 2, 2, 2, 2], [0, 0, 8, 8, 6]):
        if probe(run, images, torch.tensor(labels), DIGIT_MIRROR) is not None:
            fail(f"Labels {labels} with DIGIT_MIRROR = {DIGIT_MIRROR}: no ValueError, although some mirror images are no digits.")
    for labels, mirror in [([0, 8, 8, 0, 8], DIGIT_MIRROR), ([0, 1, 2, 1, 1], {0: 1, 1: 0, 2: 2, 9: 9}), ([1, 2, 3, 3, 0], {0: 0, 1: 2, 2: 3, 3: 1})]:
        found = probe(run, images, torch.tensor(labels), mirror)
        assert found is not None, f"labels {labels}, mirror = {mirror}: a ValueError although all mirror images have a class"
        assert found[0].shape == images.shape and torch.equal(found[0], images[:, :, range(3, -1, -1)]), "the images are not flipped left to right"
        told = [mirror[label] for label in labels]
        assert found[1].tolist() == told, f"labels {labels}, mirror = {mirror}: the new labels are {told}, yours {found[1].tolist()}"
        assert found[1].dtype == torch.int64, f"the labels are {found[1].dtype} instead of torch.int64"
        assert found[2], "the images or labels that were given have been modified"


@check(points=1, hint="lam has the shape (n,): give it axes of length 1 so that it multiplies whole images. The same permutation for images and labels.")
def mixes_pairs():
    """Each mixed image is lam times itself and (1 - lam) times the image whose label is returned."""
    images = torch.rand(6, 6, 6)
    mixed, partners, lam = probe(lambda x: mixup(x, torch.arange(6), 1.0), images)
    assert mixed.shape == images.shape, f"six 6 × 6 images became a tensor of shape {tuple(mixed.shape)}"
    assert lam.shape == (6,), f"lam has the shape {tuple(lam.shape)}; for six images it has six numbers, (6,)"
    assert sorted(partners.tolist()) == list(range(6)), f"the labels were 0, ..., 5; the partners' labels are {partners.tolist()}, which is no permutation of them"
    for i, (j, weight) in enumerate(zip(partners.tolist(), lam.tolist(), strict=True)):
        if not torch.allclose(mixed[i], weight * images[i] + (1 - weight) * images[j], atol=1e-5):
            swapped = torch.allclose(mixed[i], weight * images[j] + (1 - weight) * images[i], atol=1e-5)
            fail(f"Image {i}, with lam = {weight:.3f} and the label of image {j} as partner's label, is not that mixture{': lam and 1 - lam are exchanged' if swapped else ''}.")


### BEGIN HIDDEN TESTS
from scipy import ndimage, special, stats

NDIMAGE = ("scipy.ndimage.shift", "scipy.ndimage.rotate", "scipy.ndimage.affine_transform")
TINY = 1e-8  # a right answer fails a test of a distribution with this probability


def moved_by_student(cases):
    """Results of shift_images or rotate_images, and whether their arguments are still what they were."""
    found = []
    for name, *arguments in cases:
        given = [argument.clone() for argument in arguments]
        with forbidden(*NDIMAGE):
            result = (shift_images if name == "shift" else rotate_images)(*arguments)
        found.append((result.detach(), all(torch.equal(*pair) for pair in zip(given, arguments, strict=True))))
    return found


def compare_with_scipy(cases, oracle, what):
    for (_, images, *amounts), (found, untouched) in zip(cases, probe(moved_by_student, cases), strict=True):
        if not untouched:
            fail("An argument is modified.")
        if found.shape != images.shape or found.dtype != images.dtype:
            fail("The result has not the images' shape and dtype.")
        truth = np.stack([oracle(image.double().numpy(), *(amount[i].item() for amount in amounts)) for i, image in enumerate(images)])
        if not np.allclose(found.numpy(), truth, atol=1e-4):
            first = np.allclose(found.numpy()[0], truth[0], atol=1e-4)
            fail(f"{what} differ from scipy's{', though not the first of the batch' if first else ''}.")


@check(points=1, hint="Each image has its own shift, in rows (down) and columns (right). Shifts may be larger than the image.")
def shifts_agree_with_scipy():
    """Shifts of any size agree with scipy.ndimage.shift, for batches of oblong images."""
    cases = []
    for n, height, width, dtype in [(30, 4, 6, torch.float32), (30, 5, 3, torch.float64), (4, 4, 4, torch.float32), (1, 1, 5, torch.float32)]:
        down, right = torch.randint(-7, 8, (2, n))
        if n == 30:
            down[:4], right[:4] = torch.tensor([1, -2, 100, 0]), torch.tensor([-1, 1, 0, -100])
        cases.append(("shift", 1 + torch.rand(n, height, width, dtype=dtype), down, right))
    compare_with_scipy(cases, lambda image, down, right: ndimage.shift(image, (down, right), order=0, mode="constant"), "Shifted images")


@check(points=1, hint="Oblong images need factors h / w and w / h; align_corners has to be the same in both calls; y points down.")
def rotations_agree_with_scipy():
    """Rotations by any angle agree with scipy.ndimage.rotate, for square and oblong images."""
    cases = []
    for n, height, width, dtype in [(20, 6, 6, torch.float32), (20, 5, 9, torch.float32), (20, 8, 3, torch.float64), (1, 7, 7, torch.float32)]:
        degrees = 30 + 300 * torch.rand(n, dtype=dtype)
        if n == 20:
            degrees[:6] = torch.tensor([90.0, 0.0, 180.0, -90.0, 20.0, -400.0])
        cases.append(("rotate", 1 + torch.rand(n, height, width, dtype=dtype), degrees))
    compare_with_scipy(
        cases, lambda image, angle: ndimage.rotate(image, angle, reshape=False, order=1, mode="grid-constant", cval=0.0), "Rotated images"
    )


@check(points=1, hint="self.training says whether this is training. It is set by train() and eval(), also of a model that the augmenter is part of.")
def augments_training_images_only():
    """In evaluation mode, images come back as they are; in training mode, they change, with and without gradients."""
    def run(images, settings):
        found = []
        for setting in settings:
            augmenter = ImageAugmenter(*setting)
            model = nn.Sequential(augmenter, nn.Flatten())
            given = images.clone()
            model.eval()
            validation = [augmenter(images).clone(), model(images).view(images.shape).clone()]
            model.train()
            training = [augmenter(images).clone()]
            with torch.no_grad():
                training.append(augmenter(images).clone())
                validation.append(model.eval()[0](images).clone())
            found.append((validation, training, torch.equal(given, images), model.training or augmenter.training))
        return found

    images = torch.rand(20, 5, 6, dtype=torch.float64)
    for validation, training, untouched, mode in probe(run, images, [(2, 0.0, 0.0), (0, 30.0, 0.0), (0, 0.0, 0.3), (1, 20.0, 0.1)]):
        if not all(torch.equal(image, images) for image in validation):
            fail("In evaluation mode, the images have changed: validation and test data would be augmented.")
        if any(image.shape != images.shape or torch.allclose(image, images) for image in training):
            fail("In training mode, the images have not changed, or have another shape.")
        if any(image.dtype != images.dtype for image in training):
            fail("The dtype of the images is not kept.")
        if not untouched or mode:
            fail("The images that were given have been modified, or the module's mode has.")


@check(points=2, hint="One angle and two shifts for each image; randint excludes its upper end; first the rotation, then the shift, then the noise.")
def draws_for_each_image():
    """Angles, shifts and noise have the promised distributions, independently for each image and call, in the promised order."""
    def run(cases):
        found = []
        for setting, images in cases:
            augmenter = ImageAugmenter(*setting)
            found.append([augmenter(images).detach(), augmenter(images).detach()])
        return found

    dot = torch.zeros(1, 9, 9)
    dot[0, 4, 4] = 1
    ramp = (torch.arange(9.0) - 4)[None, :, None].expand(1, 9, 9)
    small, large = dot.expand(600, 9, 9).clone(), ramp.expand(600, 9, 9).clone()
    dark = torch.zeros(250, 5, 5)
    shifted, turned, both, noisy = probe(run, [((2, 0.0, 0.0), small), ((0, 40.0, 0.0), large), ((2, 40.0, 0.0), small[:100]), ((3, 30.0, 0.3), dark)])
    if any(torch.equal(*pair) for pair in (shifted, turned, both, noisy)):
        fail("Two calls give the same images: nothing is drawn anew.")

    shifted = torch.cat(shifted)
    if not torch.allclose(shifted[:, 2:7, 2:7].amax((1, 2)), torch.ones(1), atol=1e-3):
        fail("A shift alone is no shift by whole pixels up to max_shift in each direction.")
    counts = np.bincount(shifted[:, 2:7, 2:7].flatten(1).argmax(1).numpy(), minlength=25)
    if stats.chisquare(counts).pvalue < TINY:
        fail("The shifts down and right are not independent for each image and uniform from -max_shift to max_shift, both included.")

    angles = np.degrees(np.arcsin(torch.cat(turned)[:, 4, 5].double().clamp(-1, 1).numpy()))  # the ramp's value one pixel beside the centre
    if stats.kstest(angles, stats.uniform(-40, 80).cdf).pvalue < TINY or np.abs(angles).max() > 40.01:
        fail("The angles are not uniform between -max_degrees and max_degrees, one for each image.")

    if not torch.allclose(torch.cat(both).amax((1, 2)), torch.ones(1), atol=1e-3):
        fail("A dot in the centre is smeared: the rotation comes first, when the dot is still in the centre, and the shift afterwards.")

    noisy = torch.cat(noisy).double().numpy()
    if stats.kstest(noisy.ravel(), stats.norm(0, 0.3).cdf).pvalue < TINY:
        fail("On black images, the result is not normal noise of the given standard deviation: added last, in every pixel, not clipped?")
    if stats.kstest(noisy.mean((1, 2)), stats.norm(0, 0.3 / 5).cdf).pvalue < TINY:
        fail("The noise is not independent for each pixel.")


@check(points=1, hint="The weights are Beta(alpha, alpha) as drawn, one for each image; not only the larger half, and not one for the batch.")
def weights_are_beta():
    """Weights follow Beta(alpha, alpha), independently for each image, and every permutation is as likely."""
    def run(alphas):
        found = [[mixup(torch.zeros(1000, 2), torch.zeros(1000, dtype=torch.int64), alpha)[2].detach() for _ in range(2)] for alpha in alphas]
        return found, [mixup(torch.zeros(3, 2), torch.arange(3), 1.0)[1].tolist() for _ in range(400)]

    alphas = (0.4, 1.0, 3.0)
    weights, orders = probe(run, alphas)
    for alpha, pair in zip(alphas, weights, strict=True):
        if torch.equal(*pair):
            fail("Two calls draw the same weights.")
        drawn = torch.cat(pair).double().numpy()
        if drawn.shape != (2000,):
            fail("There is not one weight for each image.")
        if stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue < TINY:
            fail("The weights do not follow Beta(alpha, alpha), independently for each image.")
    counts = [orders.count(order) for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])]
    if sum(counts) != len(orders) or stats.chisquare(counts).pvalue < TINY:
        fail("The partners are not a random permutation of the batch, each as likely as any other.")


@check(points=1, hint="The number of axes after the first may be any. alpha = 0 means weights of 1; Beta(0, 0) does not exist.")
def mixes_any_batch():
    """Mixing works for batches of any shape and dtype, for alpha = 0 and for one image, and modifies nothing."""
    def run(cases):
        found = []
        for images, labels, alpha in cases:
            given = images.clone(), labels.clone()
            mixed, partners, lam = mixup(images, labels, alpha)
            found.append((mixed.detach(), partners, lam.detach(), torch.equal(images, given[0]) and torch.equal(labels, given[1])))
        return found

    cases = [
        (torch.randn(*shape, dtype=dtype), 10 + torch.randperm(shape[0]), alpha)
        for shape, dtype, alpha in [
            ((5, 3, 4, 2), torch.float32, 0.5), ((7, 6), torch.float32, 1.0), ((4, 4, 4), torch.float64, 2.0),
            ((1, 3, 3), torch.float32, 1.0), ((6, 2, 3), torch.float32, 0.0), ((5, 3), torch.float64, 0.0),
        ]
    ]
    for (images, labels, alpha), (mixed, partners, lam, untouched) in zip(cases, probe(run, cases), strict=True):
        if not untouched:
            fail("The images or labels that were given have been modified.")
        if mixed.shape != images.shape or lam.shape != labels.shape or sorted(partners.tolist()) != sorted(labels.tolist()):
            fail("The results have the wrong shapes, or the partners' labels are no permutation of the labels.")
        if mixed.dtype != images.dtype or lam.dtype != images.dtype or partners.dtype != torch.int64:
            fail("The mixed images and lam have to have the images' dtype, the partners' labels int64.")
        if alpha == 0 and not (torch.equal(lam, torch.ones_like(lam)) and torch.equal(mixed, images)):
            fail("With alpha = 0, the images have to stay as they are, with weights of 1.")
        order = [labels.tolist().index(label) for label in partners.tolist()]
        truth = np.stack([lam[i].item() * images[i].double().numpy() + (1 - lam[i].item()) * images[j].double().numpy() for i, j in enumerate(order)])
        if not np.allclose(mixed.numpy(), truth, atol=1e-5):
            fail("For some shape of the batch, the mixed images are not those of lam and the partners.")


@check(points=1, hint="One loss for each image before lam weighs it (reduction='none'), then the mean.")
def loss_is_soft_cross_entropy():
    """Loss and gradient are those of the cross-entropy against soft labels."""
    def run(cases):
        found = []
        for given, *rest in cases:
            logits = given.clone().requires_grad_()
            loss = mixup_loss(logits, *rest)
            loss.backward()
            found.append((loss.detach(), logits.grad))
        return found

    cases = []
    for n, n_classes, scale in [(7, 4, 2.0), (1, 10, 1.0), (12, 12, 3.0), (6, 5, 1000.0)]:
        labels, partners = torch.randint(0, n_classes - 1, (2, n))  # the last class does not occur
        lam = torch.rand(n)
        if n > 1:
            lam[:2], partners[2] = torch.tensor([0.0, 1.0]), labels[2]
        cases.append((scale * torch.randn(n, n_classes), labels, partners, lam))
    for (logits, labels, partners, lam), (loss, gradient) in zip(cases, probe(run, cases), strict=True):
        onehot, weight = np.eye(logits.shape[1]), lam.double().numpy()[:, None]
        soft = weight * onehot[labels.numpy()] + (1 - weight) * onehot[partners.numpy()]
        truth = -(soft * special.log_softmax(logits.double().numpy(), axis=1)).sum(1).mean()
        if loss.shape != () or not math.isfinite(loss.item()):
            fail("The loss is not one finite number.")
        if not math.isclose(loss.item(), truth, rel_tol=1e-4, abs_tol=1e-5):
            fail("The loss is not the mean cross-entropy against the soft labels.")
        slope = (special.softmax(logits.double().numpy(), axis=1) - soft) / len(labels)
        if gradient is None or not np.allclose(gradient.numpy(), slope, atol=1e-5):
            fail("The gradient is not that of the cross-entropy against the soft labels.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What your functions make
#
# Above, eight digits; in the middle, the same after `ImageAugmenter`; below, mixed with each other by `mixup`.

# %% tags=["demo", "raises-exception"]
torch.manual_seed(4)
every_image, every_label = torch.tensor(samples / 16).float().view(-1, 8, 8), torch.tensor(names)
batch, batch_labels = every_image[10:18], every_label[10:18]
mixed, partners, lam = mixup(batch, batch_labels, alpha=1.0)
fig, axes = plt.subplots(3, 8, figsize=(9.5, 3.6))
rows = [batch, ImageAugmenter(max_shift=1, max_degrees=15, noise=0.1)(batch), mixed]
for i in range(8):
    captions = [f"{batch_labels[i]}", f"{batch_labels[i]}", f"{lam[i]:.1f} · {batch_labels[i]} + {1 - lam[i]:.1f} · {partners[i]}"]
    for ax, row, caption in zip(axes[:, i], rows, captions, strict=True):
        draw_image(ax, row[i], caption)
plt.show()

# %% [markdown]
# ### Robust to what?
#
# Five networks with one hidden layer learn from the same 200 digits: as they are, augmented, mixed up, with half of the images
# mirrored *and the labels kept*, and with any rotation up to 180°. They are then tested on other digits: unchanged, and changed in
# four ways. One run each, so differences of two hundredths mean nothing.

# %% tags=["demo", "raises-exception"]
x_few, y_few, x_rest, y_rest = every_image[:200], every_label[:200], every_image[797:], every_label[797:]


def digits_learnt(seed, augmenter=None, alpha=0.0, p_mirror=0.0):
    """A network trained on 200 digits, with what is done to its training images."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(200):
        images = torch.where(torch.rand(200, 1, 1) < p_mirror, x_few.flip(-1), x_few)  # flipped digits: a mistake, see above
        images = images if augmenter is None else augmenter(images)
        images, partners, lam = mixup(images, y_few, alpha)
        optimizer.zero_grad()
        mixup_loss(net(images), y_few, partners, lam).backward()
        optimizer.step()
    return net


recipes = {
    "nothing": {},
    "shift, rotate ≤ 15°, noise": dict(augmenter=ImageAugmenter(1, 15.0, 0.1)),
    "mixup, α = 0.4": dict(alpha=0.4),
    "flips, labels kept": dict(p_mirror=0.5),
    "rotate ≤ 180°": dict(augmenter=ImageAugmenter(0, 180.0, 0.0)),
}
torch.manual_seed(0)
n_rest = len(x_rest)
sign = torch.randint(0, 2, (n_rest,)) * 2 - 1
tests = {
    "unchanged": x_rest,
    "shifted by 1": shift_images(x_rest, 0 * sign, sign),
    "rotated by 20°": rotate_images(x_rest, 20.0 * sign),
    "noise 0.25": x_rest + 0.25 * torch.randn(x_rest.shape),
    "turned over": rotate_images(x_rest, torch.full((n_rest,), 180.0)),
}
fig, ax = plt.subplots(figsize=(9.5, 3.4))
hatches = ["", "", "//", "..", "xx"]
for place, (name, recipe) in enumerate(recipes.items()):
    net = digits_learnt(seed=0, **recipe)
    with torch.no_grad():
        shares = [(net(images).argmax(1) == y_rest).float().mean().item() for images in tests.values()]
    print(f"{name:28s}", "  ".join(f"{test}: {share:.2f}" for test, share in zip(tests, shares, strict=True)))
    ax.bar(np.arange(5) + 0.16 * (place - 2), shares, width=0.15, label=name, hatch=hatches[place], edgecolor="white", lw=0.5)
ax.set(ylabel="accuracy", ylim=(0, 1), title="Test accuracy after training with different augmentations")
ax.set_xticks(range(5), labels=list(tests))
ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1), title="training images")
ax.grid(axis="x")
plt.show()

# %% [markdown]
# On images like those it has seen, the plain network is the best, or nearly so. Moved by one pixel, they are another world to it: it
# gets more than half of them wrong. Training with shifts repairs that at little cost. Rotations by any angle make the network
# better on digits that are turned over, and worse on upright ones: a small network has to spread what it can do over all angles (that 6 and 9 become alike adds to it). Flips with
# their labels kept teach shapes that do not occur, and cost some accuracy on those that do. Noise of 0.1 in training was no
# protection against noise of 0.25, on the contrary, and mixup made matters somewhat worse here. The gains that its authors report are for
# larger networks and data sets.
#
# So the claim is repaired like this: *augment the training set with changes that keep the label and that you expect at test time,
# and let validation data decide how strong they should be*. For what nobody expected there is no promise.

# %% [markdown]
# ## 2.7 Double descent
#
# "Large models overfit more easily." The picture of bias and variance in section 2.1 seems to say so: more
# freedom, more variance. Yet networks with many more parameters than training samples work well, although
# they could fit labels drawn at random (Zhang et al., *Understanding deep learning requires rethinking
# generalization*, arXiv:1611.03530).
#
# Belkin, Hsu, Ma and Mandal (*Reconciling modern machine learning practice and the bias-variance trade-off*,
# arXiv:1812.11118) looked at what happens on the way from small to large. As a model grows, its test error
# first falls, then rises, just as the textbooks say, up to the size at which the training data can be fitted
# exactly: the **interpolation threshold**. And beyond it, it falls *again*, often below the first minimum.
# Nakkiran et al. (*Deep double descent: where bigger models and more data hurt*, arXiv:1912.02292) found this
# second descent in convolutional networks and transformers, along the width, and along the epochs as well.
#
# It takes no deep network to see this. A linear model of adjustable size will do.
#
# ### One layer at random
#
# Take a network with one hidden layer of width $p$. Draw its first layer at random and leave it alone; train
# the second only. What the hidden layer computes are **random features** (Rahimi and Recht, *Random features
# for large-scale kernel machines*, NIPS 2007),
#
# $$\phi(x) = \frac{1}{\sqrt p}\, \max(D x, 0) \in \mathbb R^p, \qquad D \in \mathbb R^{p \times d} \text{ with independent standard normal entries},$$
#
# and what remains is a linear model with $p$ weights for each output. Its size is a dial: $p$ is whatever we
# like. The factor $1/\sqrt p$ keeps the length of $\phi(x)$ about the same for all $p$.
#
# With the features of $n$ samples in the rows of $A \in \mathbb R^{n \times p}$ and their targets in the rows
# of $Y \in \mathbb R^{n \times k}$, least squares looks for $W \in \mathbb R^{p \times k}$ with the smallest
# $\|A W - Y\|^2$.
#
# - $p < n$: there is one solution (if the columns of $A$ are independent), and usually it does not fit exactly.
# - $p > n$: there are infinitely many, and (if the rows of $A$ are independent) all of them fit **exactly**.
#   Which one? Gradient descent from $W = 0$ only ever adds combinations of the rows of $A$, and so ends at
#   the solution with the **smallest norm** $\|W\|$.
#
# Among all functions of this form that go through the data, least norm picks a tame one, and the more
# features there are to choose from, the tamer. At $p = n$ there is no choice: one function goes through all
# points, whatever it costs. (In the picture, the features are cosines of random frequency and phase, the
# other kind in Rahimi and Recht: in one dimension, curves show this better than corners.)

# %% tags=["demo"]
generator = np.random.default_rng(4)
points = np.sort(generator.uniform(-1, 1, 14))
values = np.sin(np.pi * points) + generator.normal(0, 0.25, 14)
grid = np.linspace(-1, 1, 301)


def waves(x, width, seed):
    """Random features of another kind: cosines of random frequencies and phases."""
    draw = np.random.default_rng(seed)
    return np.cos(np.outer(x, 2 * draw.standard_cauchy(width)) + draw.uniform(0, 2 * np.pi, width)) / math.sqrt(width)


fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.1), sharey=True)
for ax, width, name in zip(axes, (4, 14, 2000), ("too few to fit", "just enough", "plenty"), strict=True):
    for seed, style in zip((1, 2, 3), ("-", "--", ":"), strict=True):
        weights = np.linalg.lstsq(waves(points, width, seed), values)[0]
        ax.plot(grid, waves(grid, width, seed) @ weights, style, color="C0", lw=1.4, label="fits, three draws" if seed == 1 else None)
    ax.plot(grid, np.sin(np.pi * grid), color="0.6", lw=1, label="truth")
    ax.plot(points, values, "o", color="black", ms=4.5, label="data")
    ax.set(ylim=(-2.6, 2.6), xlabel="$x$", title=f"$p = {width}$: {name}")
axes[0].set_ylabel("prediction")
axes[0].legend(fontsize=8, loc="upper left")
plt.show()

# %% [markdown]
# ### Where the peak comes from
#
# Let $A = U S V^\top$ be the singular value decomposition, with singular values $s_1 \ge s_2 \ge \dots$ on
# the diagonal of $S$, and $u_i$, $v_i$ the columns of $U$ and $V$. The least-squares solution of least norm
# is
#
# $$W = A^+ Y = \sum_{i:\, s_i > 0} \frac{1}{s_i}\, v_i\, u_i^\top Y .$$
#
# $A^+$ is the **pseudo-inverse**. Noise in $Y$ along $u_i$ comes out multiplied by $1 / s_i$. So everything
# depends on the smallest singular values that are not zero. For a matrix of independent entries of variance
# $1/p$ they lie near $|1 - \sqrt{n/p}|$ (the edge of the Marchenko-Pastur distribution): they come closest to
# zero where $p = n$. Our features are not independent, but they behave alike:

# %% tags=["demo"]
from sklearn.datasets import load_digits

images = load_digits().data[:100] / 16
images -= images.mean(0)
directions = np.random.default_rng(0).standard_normal((1000, 64))
widths = [10, 20, 40, 60, 80, 90, 100, 110, 125, 160, 250, 500, 1000]
spectra = [np.linalg.svd(np.maximum(images @ directions[:p].T, 0) / math.sqrt(p), compute_uv=False) for p in widths]
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.1))
for p, style in zip((40, 100, 1000), ("--", "-", ":"), strict=True):
    spectrum = spectra[widths.index(p)]
    axes[0].plot(range(1, len(spectrum) + 1), spectrum, style, color={40: "C1", 100: "C5", 1000: "C0"}[p], label=f"$p = {p}$")
axes[0].set(yscale="log", xlabel="rank $i$", ylabel="singular value $s_i$", title="Features of 100 digits")
axes[0].legend(fontsize=9)
axes[1].plot(widths, [1 / spectrum[-1] for spectrum in spectra], "o-", ms=4)
axes[1].axvline(100, color="0.5", ls=":", lw=1)
axes[1].text(108, 1.5, "$p = n$", fontsize=9, color="0.3")
axes[1].set(xscale="log", yscale="log", xlabel="width $p$", ylabel="$1 / s_{\\min}$", title="How much noise is magnified")
axes[1].set_xticks([10, 20, 40, 100, 250, 500, 1000], labels=["10", "20", "40", "100", "250", "500", "1000"])
axes[1].minorticks_off()
plt.show()

# %% [markdown]
# ### Two ways not to compute it
#
# **The normal equations**, $A^\top A\, W = A^\top Y$, are in many textbooks, and the wrong tool here. The
# singular values of $A^\top A$ are the $s_i^2$: what was small becomes tiny, and half of the digits are lost.
# For $p > n$ the matrix has no inverse at all, and rounding decides whether the solver stops with an error or
# returns something without one.
#
# **A little ridge** "for stability", as in $(A^\top A + 10^{-3} I)^{-1} A^\top Y$, is another model.
# **Ridge** regression minimises $\|A W - Y\|^2 + \lambda \|W\|^2$, and in terms of the singular values
#
# $$W_\lambda = \sum_i \frac{s_i}{s_i^2 + \lambda}\, v_i\, u_i^\top Y .$$
#
# Directions with $s_i^2 \gg \lambda$ are hardly touched, those with $s_i^2 \ll \lambda$ are switched off. It
# tames exactly what makes the peak. That may be what you *want*, as we shall see. But if it happens without
# your knowing, in a solver or by a cut-off that is too generous, then the peak is gone and you wonder why
# others see one. For $\lambda \to 0$, $W_\lambda$ tends to $A^+ Y$.

# %% [markdown]
# ### Exercise 2.7 · Double descent
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **9 points** · NumPy
#
# **Given** the handwritten digits of chapter 1 (1,797 images of 8 × 8 pixels): 100 to train on, 600 to
# validate, the rest to test, and targets $Y$ of ten columns, 1 for the image's class and 0 elsewhere.
#
# **Write** the random features, the least-squares solution of least norm, ridge regression, and a function
# that measures errors and norms at many widths.
#
# Build the two solvers on `np.linalg.svd`. Ready-made ones (`np.linalg.lstsq`, `np.linalg.pinv` and their
# relatives in SciPy, torch and scikit-learn) fail in the hidden checks. Everything is in 64 bits, and arrays
# passed in stay as they are.
#
# <details><summary>Hint 1: the shapes of an SVD</summary>
#
# With `full_matrices=False`, `np.linalg.svd(A)` returns $U$ of shape `(n, m)`, the singular values of shape
# `(m,)`, and $V^\top$ (not $V$) of shape `(m, p)`, where `m = min(n, p)`. Multiply from right to left:
# `U.T @ Y` first, which is small. A diagonal matrix need not be built: scale rows.
# </details>
#
# <details><summary>Hint 2: singular values of zero</summary>
#
# Rounding turns zeros into numbers such as $10^{-17}$, and $1/s_i$ turns these into garbage. The docstring
# says below which size a singular value counts as zero. Such terms are left out of the sum.
# </details>
#
# <details><summary>Hint 3: which averages</summary>
#
# An image is misclassified if the largest of its ten outputs is not that of its class: one verdict per image.
# Measure the errors for each seed, then average the *errors*. The error of averaged predictions is something
# else: a committee of several networks, which has less variance than each of them.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_double_descent", "locked": true, "schema_version": 3, "solution": false, "task": false}
from sklearn.datasets import load_digits


def digit_splits() -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs (m, 64) and targets (m, 10) of 100 digits to train on, 600 to validate, and the other 1,097 to test."""
    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    parts = np.split(order, [100, 700])
    centre = pixels[parts[0]].mean(0)
    return [((pixels[part] - centre) / 16, np.eye(10)[classes[part]]) for part in parts]


# %% nbgrader={"grade": false, "grade_id": "double_descent", "locked": false, "schema_version": 3, "solution": true, "task": false}
def random_features(X: np.ndarray, width: int, seed: int) -> np.ndarray:
    """max(D x, 0) / sqrt(width) for every row x of X.

    D is what `np.random.default_rng(seed).standard_normal((width, d))` draws, so that the same seed
    gives the same features wherever it is used.

    Args:
        X: (n, d), one sample in each row.

    Returns:
        (n, width).
    """
    ### BEGIN SOLUTION
    directions = np.random.default_rng(seed).standard_normal((width, X.shape[1]))
    return np.maximum(X @ directions.T, 0) / np.sqrt(width)
    ### END SOLUTION


def minimum_norm(A: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Of all W for which the sum of the squares of A W - Y is smallest, the one with the smallest
    sum of squares.

    Works for any number of rows and columns, and for matrices of any rank but zero. Singular values
    below 1e-10 times the largest count as zero, and no others.

    Args:
        A: (n, p).
        Y: (n, k).

    Returns:
        W (p, k), as precise as a singular value decomposition of A allows (the normal equations are
        not).

    >>> minimum_norm(np.array([[1.0, 1.0]]), np.array([[2.0]]))
    array([[1.],
           [1.]])
    """
    ### BEGIN SOLUTION
    left, sizes, right = np.linalg.svd(A, full_matrices=False)
    keep = sizes >= 1e-10 * sizes.max()
    return right[keep].T @ ((left[:, keep].T @ Y) / sizes[keep, None])
    ### END SOLUTION


def ridge_regression(A: np.ndarray, Y: np.ndarray, strength: float) -> np.ndarray:
    """The W for which the sum of the squares of A W - Y plus strength times that of W is smallest.

    Args:
        A: (n, p), of any rank.
        Y: (n, k).
        strength: greater than 0, and possibly tiny.

    Returns:
        W (p, k), as precise as a singular value decomposition of A allows.

    >>> ridge_regression(np.array([[1.0, 1.0]]), np.array([[2.0]]), strength=2.0)
    array([[0.5],
           [0.5]])
    """
    ### BEGIN SOLUTION
    left, sizes, right = np.linalg.svd(A, full_matrices=False)
    return right.T @ ((sizes / (sizes**2 + strength))[:, None] * (left.T @ Y))
    ### END SOLUTION


def width_curve(
    training: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    widths: list[int],
    strength: float,
    seeds: list[int],
) -> dict[str, list[float]]:
    """Trains on random features of several widths, and measures.

    For each width and each seed: fits W on the features of the training data, by `minimum_norm` if
    strength is 0, by `ridge_regression` otherwise, and measures three numbers. What is returned are
    their means over the seeds.

    Args:
        training: X (n, d) and Y (n, k), where Y has a 1 in the column of the sample's class, 0
            elsewhere.
        held_out: likewise, for any number of samples.
        widths: numbers of features.
        strength: of the ridge penalty, or 0.
        seeds: for `random_features`.

    Returns:
        "training_error" and "held_out_error": share of the samples, from 0 to 1, whose largest
        output is not that of their class; "norm": square root of the sum of the squares of W. Each
        is a list with one number for each width.
    """
    ### BEGIN SOLUTION
    curve = {"training_error": [], "held_out_error": [], "norm": []}
    for width in widths:
        measured = []
        for seed in seeds:
            A = random_features(training[0], width, seed)
            W = ridge_regression(A, training[1], strength) if strength > 0 else minimum_norm(A, training[1])
            errors = []
            for X, Y in (training, held_out):
                outputs = random_features(X, width, seed) @ W
                errors.append(np.mean(outputs.argmax(1) != Y.argmax(1)))
            measured.append([*errors, np.linalg.norm(W)])
        for name, mean in zip(curve, np.mean(measured, axis=0), strict=True):
            curve[name].append(float(mean))
    return curve
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_double_descent", "locked": true, "points": 9, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=9)


@check(points=1, hint="One row of features per sample; negative products become zero; one generator, made from the seed, in every call.")
def draws_features():
    """Features are as many as asked for, and the same seed gives the same ones for other samples."""
    X = np.random.normal(0, 1, (7, 3))
    features = random_features(X.copy(), 2000, 5)
    assert features.shape == (7, 2000), f"shape {features.shape} instead of (7, 2000)"
    assert features.min() >= 0, "a feature is negative"
    again = random_features(X[2:4].copy(), 2000, 5)
    assert again.shape == (2, 2000) and np.allclose(features[2:4], again), "two calls with the same seed gave the same samples different features"
    assert not np.allclose(features, random_features(X.copy(), 2000, 6)), "two seeds gave the same features"
    # D x has variance |x|², and half of it is on the side that counts.
    share = (features**2).sum() / (X**2).sum()
    assert 0.35 < share < 0.65, f"the features' squares sum to {share:.2f} of the samples'; with a factor of 1/sqrt(width) it is about one half"


@check(points=1, hint="Write down the sum over singular values for a matrix with a single row or column: it has one term.")
def solves_by_hand():
    """For matrices with one row or one column, both solutions are the ones that you get by hand."""
    column, row = np.array([[1.0], [1.0]]), np.array([[1.0, 1.0]])
    for name, answer, truth in [
        ("minimum_norm of a column", minimum_norm(column, np.array([[1.0], [3.0]])), [[2]]),
        ("minimum_norm of a row", minimum_norm(row, np.array([[2.0, -4.0]])), [[1, -2], [1, -2]]),
        ("ridge_regression of a column", ridge_regression(column, np.array([[1.0], [3.0]]), 2.0), [[1]]),
        ("ridge_regression of a row", ridge_regression(row, np.array([[2.0, -4.0]]), 2.0), [[0.5, -1], [0.5, -1]]),
    ]:
        assert np.shape(answer) == np.shape(truth), f"{name}: shape {np.shape(answer)} instead of {np.shape(truth)}"
        assert np.allclose(answer, truth, atol=1e-9), f"{name}: {np.round(answer, 3).tolist()} instead of {truth}"


@check(points=1, hint="Use minimum_norm for strength 0. Features of held-out samples are made with the same seed, and their errors are counted on them.")
def measures_a_curve():
    """On digits, wide networks make no training error, and errors and norms come as one number per width."""
    training, validation, _ = digit_splits()
    curve = width_curve(training, validation, [20, 300], 0.0, [0, 1])
    for name in ("training_error", "held_out_error", "norm"):
        assert name in curve and len(curve[name]) == 2, f'"{name}" is not a list with one number for each of two widths'
    assert 0.03 < curve["training_error"][0] < 0.3, f"training error {curve['training_error'][0]:.2f} with 20 features, where about 0.1 is to be expected"
    assert curve["training_error"][1] == 0, f"training error {curve['training_error'][1]:.2f} with 300 features, which can fit 100 samples exactly"
    assert 0.05 < curve["held_out_error"][1] < 0.25, f"held-out error {curve['held_out_error'][1]:.2f} with 300 features, where about 0.1 is to be expected"


### BEGIN HIDDEN TESTS
from functools import cache

from sklearn.linear_model import Ridge

READY_MADE = (
    "numpy.linalg.lstsq",
    "numpy.linalg.pinv",
    "scipy.linalg.lstsq",
    "scipy.linalg.pinv",
    "torch.linalg.lstsq",
    "torch.linalg.pinv",
    "torch.pinverse",
    "sklearn.linear_model.Ridge.fit",
    "sklearn.linear_model.LinearRegression.fit",
)


def solved(function, A, Y, *strength):
    """minimum_norm or ridge_regression, in the student's process."""
    def run(function, A, Y, strength):
        with forbidden(*READY_MADE):
            W = {"minimum_norm": minimum_norm, "ridge_regression": ridge_regression}[function](A, Y, *strength)
        return np.asarray(W), A, Y

    W, *after = probe(run, function, A.copy(), Y.copy(), strength)
    if not (np.array_equal(after[0], A) and np.array_equal(after[1], Y)):
        fail("A or Y was modified.")
    if W.shape != (A.shape[1], Y.shape[1]):
        fail(f"W has the shape {W.shape}, not (columns of A, columns of Y).")
    return W


def factors(n, p, rank):
    """Random singular vectors, in columns, for a matrix of n rows and p columns."""
    return [np.linalg.qr(np.random.normal(0, 1, (length, rank)))[0] for length in (n, p)]


def of_spectrum(n, p, sizes):
    """A matrix with these singular values and random singular vectors."""
    left, right = factors(n, p, len(sizes))
    return left * sizes @ right.T


def close(W, truth, tolerance):
    return np.isfinite(W).all() and np.linalg.norm(W - truth) <= tolerance * np.linalg.norm(truth)


@check(points=1, hint="D has one row per feature, drawn from a normal distribution by default_rng(seed); the global generator plays no part.")
def features_are_the_documented_ones():
    """The features are those of the formula, for any sizes, and nothing but the seed decides on them."""
    def run(X, width, seed):
        before = np.random.get_state()[1].tolist(), np.random.get_state()[2]
        features = np.asarray(random_features(X, width, seed))
        return features, X, before == (np.random.get_state()[1].tolist(), np.random.get_state()[2])

    for n, d, width, seed in [(5, 3, 4, 1), (2, 6, 1, 8), (1, 1, 9, 123), (4, 4, 4, 0)]:
        X = np.random.normal(0, 1, (n, d))
        features, after, untouched = probe(run, X.copy(), width, seed)
        rows = np.random.default_rng(seed).standard_normal((width, d))
        truth = np.array([[max(sum(a * b for a, b in zip(x, row, strict=True)), 0) for row in rows] for x in X])
        if features.shape != truth.shape:
            fail(f"The features of {n} samples have the shape {features.shape} for width {width}.")
        if not np.allclose(features, truth / math.sqrt(width), rtol=1e-9, atol=1e-12):
            fail(f"The features are wrong for {n} samples of {d} numbers and width {width}.")
        if not np.array_equal(after, X):
            fail("X was modified.")
        if not untouched:
            fail("NumPy's global generator was used or seeded.")


@check(points=1, hint="Work with the singular values of A. Those of A.T @ A are their squares, which costs half of the digits.")
def is_precise_where_normal_equations_are_not():
    """With more rows than columns, minimum_norm agrees with lstsq, also for badly conditioned matrices."""
    for n, p, k in [(9, 4, 2), (5, 5, 1), (30, 7, 3)]:
        A, Y = np.random.normal(0, 1, (n, p)), np.random.normal(0, 1, (n, k))
        if not close(solved("minimum_norm", A, Y), np.linalg.lstsq(A, Y, rcond=None)[0], 1e-7):
            fail(f"Wrong for {n} rows and {p} columns.")
    for smallest in (1e-6, 1e-8):
        truth = np.random.normal(0, 1, (6, 2))
        A = of_spectrum(20, 6, np.geomspace(1, smallest, 6))
        if not close(solved("minimum_norm", A, A @ truth), truth, 1e-4):
            fail(f"The solution loses its digits where the smallest singular value is {smallest:g} of the largest.")


@check(points=1, hint="The sum has min(n, p) terms, and lies in the space that A's rows span. What rounding left of a zero is no singular value.")
def has_the_least_norm():
    """Where many solutions fit equally well (wide matrices, deficient rank), minimum_norm returns the shortest."""
    wide = [np.random.normal(0, 1, (n, p)) for n, p in ((4, 9), (1, 5), (20, 60))]
    repeated = np.random.normal(0, 1, (8, 3))
    deficient = [np.hstack([repeated, repeated]), np.vstack([repeated, repeated]), 1e-12 * of_spectrum(10, 7, np.array([1.0, 0.4, 0.2])), 1e8 * of_spectrum(5, 12, np.array([1.0, 0.5]))]
    for A in wide + deficient:
        rank = np.linalg.matrix_rank(A)
        Y = np.random.normal(0, 1, (len(A), 2))
        W, truth = solved("minimum_norm", A, Y), np.linalg.pinv(A, rcond=1e-10) @ Y
        case = f"for {A.shape[0]} rows and {A.shape[1]} columns of rank {rank}."
        if not np.isfinite(W).all() or np.linalg.norm(A @ (W - truth)) > 1e-7 * np.linalg.norm(Y):
            fail(f"W does not fit as well as possible {case}")
        if not close(W, truth, 1e-7):
            fail(f"W fits as well as possible, but is not the shortest solution {case}")
    Y = np.random.normal(0, 1, (6, 1))
    for sizes in ([1, 1e-3, 1.5e-10, 1e-14], [1, 1e-3, 6e-11]):
        A = of_spectrum(6, 12, np.array(sizes))
        if close(solved("minimum_norm", A, Y), np.linalg.pinv(A, rcond=1e-10) @ Y, 1e-3):
            continue
        fail("Singular values of more than 1e-10 of the largest have to be used, smaller ones not.")


@check(points=1, hint="s / (s² + strength), for each singular value; the strength is not multiplied by the number of samples.")
def ridge_agrees_with_sklearn():
    """ridge_regression agrees with scikit-learn's Ridge without intercept, and tends to the shortest solution."""
    for n, p in [(9, 4), (4, 9), (6, 6), (1, 3)]:
        A, Y = np.random.normal(0, 1, (n, p)), np.random.normal(0, 1, (n, 2))
        for strength in (0.3, 20.0):
            truth = Ridge(alpha=strength, fit_intercept=False, solver="svd").fit(A, Y).coef_.T
            if not close(solved("ridge_regression", A, Y, strength), truth, 1e-8):
                fail(f"Wrong for {n} rows and {p} columns.")
    for n, p in [(20, 6), (6, 20)]:
        left, right = factors(n, p, 6)
        Y = np.random.normal(0, 1, (n, 2))
        sizes = np.geomspace(1, 0.1, 6)
        if not close(solved("ridge_regression", left * sizes @ right.T, Y, 1e-12), right / sizes @ left.T @ Y, 1e-7):
            fail(f"With a strength of almost zero, W is not the shortest least-squares solution ({n} rows, {p} columns).")
        sizes = np.geomspace(1, 1e-7, 6)
        truth = right * (sizes / (sizes**2 + 1e-14)) @ left.T @ Y
        if not close(solved("ridge_regression", left * sizes @ right.T, Y, 1e-14), truth, 1e-4):
            fail(f"With a tiny strength and small singular values, the solution loses its digits ({n} rows, {p} columns).")


@cache
def true_curve(name, widths, strength, seeds):
    """Errors on both parts and norms by another way: kernels and the pseudo-inverse."""
    (X, Y), (Z, labels) = small_digits(name)
    numbers = []
    for width in widths:
        for seed in seeds:
            rows = np.random.default_rng(seed).standard_normal((width, X.shape[1])).T / math.sqrt(width)
            A, B = np.clip(X @ rows, 0, None), np.clip(Z @ rows, 0, None)
            W = A.T @ np.linalg.inv(A @ A.T + strength * np.eye(len(A))) @ Y if strength else np.linalg.pinv(A, rcond=1e-10) @ Y
            wrong = [sum(row.argmax() != one.argmax() for row, one in zip(C @ W, T, strict=True)) / len(C) for C, T in ((A, Y), (B, labels))]
            numbers.append([*wrong, math.sqrt((W * W).sum())])
    return np.array(numbers).reshape(len(widths), len(seeds), 3).mean(1)


def small_digits(name):
    """40 digits to train on, and 150 others; under another name, the training data has wrong labels, or is 15 digits thrice, one label in three wrong."""
    training, validation, _ = digit_splits()
    X, Y = training[0][:40], training[1][:40]
    if name == "shuffled":
        Y = Y[np.random.default_rng(1).permutation(40)]
    if name == "thrice":
        X, Y = np.tile(X[:15], (3, 1)), np.vstack([Y[:15], Y[:15], Y[15:30]])
    return (X, Y), (validation[0][:150], validation[1][:150])


def curve_of(name, widths, strength, seeds):
    def run(training, held_out, widths, strength, seeds):
        with forbidden(*READY_MADE):
            curve = width_curve(training, held_out, widths, strength, seeds)
        return {key: [float(value) for value in curve[key]] for key in ("training_error", "held_out_error", "norm")}, training, held_out

    data = small_digits(name)
    curve, *after = probe(run, *[tuple(x.copy() for x in part) for part in data], list(widths), strength, list(seeds))
    if not all(np.array_equal(a, b) for one, other in zip(data, after, strict=True) for a, b in zip(one, other, strict=True)):
        fail("The data was modified.")
    if any(len(values) != len(widths) for values in curve.values()):
        fail("There is not one number for each width.")
    return curve


@check(points=1, hint="Same features for both parts; one verdict per sample; mean of the errors over the seeds, not error of the mean.")
def curve_has_the_right_numbers():
    """Errors and norms are those of the least-squares and ridge solutions, averaged over the seeds."""
    for name, widths, strength, seeds in [
        ("digits", (8, 25, 120), 0.0, (0,)),
        ("digits", (30, 55), 0.0, (3, 4, 5)),
        ("shuffled", (12, 90), 0.05, (1, 2)),
        ("thrice", (9, 70), 0.0, (6, 7)),
    ]:
        truth = true_curve(name, widths, strength, seeds)
        curve = curve_of(name, widths, strength, seeds)
        case = ("without" if strength == 0 else "with") + " a ridge penalty, " + ("for one seed." if len(seeds) == 1 else f"for {len(seeds)} seeds.")
        for column, (key, unit) in enumerate([("training_error", 1 / 40), ("held_out_error", 1 / 150), ("norm", 0)]):
            # One image on the fence may fall to either side.
            if not np.allclose(curve[key], truth[:, column], rtol=1e-5, atol=1.01 * unit / len(seeds)):
                fail(f'"{key}" is wrong {case}')


@check(points=1, hint="Is something hidden in your solver that tames the peak: a little ridge, a generous cut-off, an average of predictions?")
def shows_double_descent():
    """Around p = n, error and norm peak; beyond, training error is zero and the error falls again; the right penalty removes the peak."""
    narrow, threshold, wide = 0, 1, 2
    curve = curve_of("digits", (20, 40, 400), 0.0, tuple(range(4)))
    error, norm = curve["held_out_error"], curve["norm"]
    if curve["training_error"][threshold] > 0 or curve["training_error"][wide] > 0:
        fail("With as many features as samples, or more, the training data is not fitted exactly.")
    if error[threshold] < max(error[narrow], error[wide]) + 0.1:
        fail("Where there are as many features as samples, the held-out error does not peak.")
    if error[wide] > error[narrow]:
        fail("With many more features than samples, the held-out error does not fall below that of few features.")
    if norm[threshold] < 5 * max(norm[narrow], norm[wide]):
        fail("Where there are as many features as samples, the norm of the weights does not peak.")
    tamed = curve_of("digits", (20, 40, 400), 0.03, tuple(range(4)))["held_out_error"]
    if tamed[threshold] > error[threshold] - 0.1:
        fail("A ridge penalty does not remove the peak.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### The whole curve
#
# Your functions, on 100 digits, at 13 widths. In blue, the solution of least norm. In orange, ridge
# regression, where the strength was chosen anew for each width: the one with the smallest error on the
# validation images. Both are then measured on the test images, which had no part in the choice.

# %% tags=["demo", "raises-exception"]
training, validation, test = digit_splits()
widths = [8, 15, 25, 40, 60, 80, 92, 100, 110, 130, 200, 400, 1000]
seeds = [0, 1, 2]
plain = width_curve(training, test, widths, 0.0, seeds)
strengths = [0.01, 0.1, 1.0]
on_validation = [width_curve(training, validation, widths, strength, seeds[:1])["held_out_error"] for strength in strengths]
chosen = np.argmin(on_validation, axis=0)
tuned = [width_curve(training, test, [width], strengths[index], seeds) for width, index in zip(widths, chosen, strict=True)]
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.4))
for ax, key, title in zip(axes, ("held_out_error", "training_error", "norm"), ("Test error", "Training error", "Norm of the weights"), strict=True):
    ax.plot(widths, plain[key], "o-", ms=4, color="C0", label="least norm")
    ax.plot(widths, [curve[key][0] for curve in tuned], "s--", ms=4, color="C1", label="ridge, tuned")
    ax.axvline(100, color="0.5", ls=":", lw=1)
    ax.set(xscale="log", xlabel="width $p$", title=title)
    ax.set_xticks([10, 30, 100, 300, 1000], labels=["10", "30", "100", "300", "1000"])
    ax.minorticks_off()
for ax in axes[:2]:
    ax.set_ylim(0, 0.85)
    ax.set_ylabel("share misclassified")
axes[0].text(106, 0.82, "$p = n$", fontsize=9, color="0.3", va="top")
axes[1].legend(fontsize=9)
axes[2].set(yscale="log", ylabel="$\\|W\\|$")
plt.show()
for width in (40, 100, 1000):
    place = widths.index(width)
    print(f"p = {width:4}: test error {plain['held_out_error'][place]:.2f}, with tuned ridge {tuned[place]['held_out_error'][0]:.2f}")

# %% [markdown]
# From left to right in blue: the textbook's U, with its minimum near 40 features; the peak at 100 features
# for 100 images, where three test images in four are wrong although not one training image is; and the second
# descent, to less than half of the error at the bottom of the U. The training error has nothing to say about
# all this: it is zero for the worst model and for the best. The norm tells them apart.
#
# In orange there is no peak at all. This, too, is known: for linear regression with isotropic data, ridge
# with the best $\lambda$ provably never gets worse with more features, and for networks, experiments point
# the same way (Nakkiran, Venkat, Kakade and Ma, *Optimal regularization can mitigate double descent*,
# arXiv:2003.01897). The peak belongs to models that are *just* able to fit their data and are given nothing
# else to choose by. Nor does any of this refute the sum of bias and variance: beyond the threshold, the
# variance falls again (Yang, Yu, You, Steinhardt and Ma, *Rethinking bias-variance trade-off for
# generalization of neural networks*, arXiv:2002.11328).
#
# So what of "large models overfit more easily"? As it stands, it is too simple. What counts is size
# **relative to the data**, and what picks one among the many solutions that fit. Most at risk are models near
# the threshold. But it is not false in general, either. A large model that sees the same samples many times
# can memorise them at the expense of everything else: when 0.1 % of the training data was repeated a hundred
# times, a language model with 800 million parameters became as bad as one of half the size, and its test loss
# rose midway through training (Hernandez et al., *Scaling laws and interpretability of learning from repeated
# data*, arXiv:2205.10487). Size alone neither causes overfitting nor prevents it: hold data back, and
# measure.

# %% [markdown]
# ## 2.8 A trunk for several tasks
#
# One network, several outputs: a photograph gives the age of a patient and the finding, a sentence its
# topic and its tone. Sharing the lower layers costs less than a network for each task, and may regularise: a
# trunk that has to serve several tasks has less freedom to memorise the noise of one. Caruana (*Multitask
# Learning*, Machine Learning 28, 1997) called the other tasks' labels a source of **inductive bias**.
#
# From there it is one step to a claim that interview guides make: *learning several tasks together improves
# each*. It does where the tasks need the same features and the data is scarce. Otherwise it can do harm, which
# is called **negative transfer**. Before you read on: what else would have to hold for harm to come about?
#
# ### One trunk, a head for each task
#
# In **hard parameter sharing**, task $t$ has a small head $h_t$ of its own on top of one trunk $f$:
#
# $$\hat y_t(x) = h_t\big(f(x)\big), \qquad t = 1, \dots, T .$$
#
# Here is an experiment with two tasks, $y_t = \tanh(2\, u_t \cdot x)$ plus noise, where $u_1$ and $u_2$ are
# directions among six inputs. Their cosine $\rho$ says how related the tasks are: with $\rho = 1$ they are the
# same but for the noise, with $\rho = 0$ they have nothing in common. Each has 20 labelled samples. The trunk is
# a layer of tanh units, and the networks for single tasks have a layer of the same width each.

# %% tags=["demo"]
def related_tasks(relatedness, n_runs, n_samples, seed=0):
    """Samples of n_runs pairs of tasks: inputs, noisy labels to train on, inputs and labels to test on."""
    generator = torch.Generator().manual_seed(seed)
    pair = torch.linalg.qr(torch.randn(n_runs, 6, 2, generator=generator))[0]
    second = relatedness * pair[..., :1] + math.sqrt(1 - relatedness**2) * pair[..., 1:]
    directions = torch.cat([pair[..., :1], second], -1)
    x, x_test = (torch.randn(n_runs, n, 6, generator=generator) for n in (n_samples, 200))
    y, y_test = (torch.tanh(2 * inputs @ directions) for inputs in (x, x_test))
    return x, y + 0.3 * torch.randn(y.shape, generator=generator), x_test, y_test


def errors_side_by_side(x, y, x_test, y_test, width, n_steps=200):
    """Test error of each run, mean of its tasks, for networks with one layer that are trained side by side."""
    generator = torch.Generator().manual_seed(1)
    into = (torch.randn(len(x), 6, width, generator=generator) / 6**0.5).requires_grad_()
    out = (torch.randn(len(x), width, y.shape[-1], generator=generator) / width**0.5).requires_grad_()
    biases = [torch.zeros(len(x), 1, n, requires_grad=True) for n in (width, y.shape[-1])]
    optimizer = torch.optim.Adam([into, out, *biases], lr=0.05, fused=True)
    network = lambda inputs: torch.tanh(inputs @ into + biases[0]) @ out + biases[1]
    for _ in range(n_steps):
        optimizer.zero_grad()
        ((network(x) - y) ** 2).mean((1, 2)).sum().backward()
        optimizer.step()
    return ((network(x_test) - y_test) ** 2).mean((1, 2)).detach()


relatedness, n_runs = [0.0, 0.25, 0.5, 0.75, 0.9, 1.0], 15
batches = [torch.cat(parts) for parts in zip(*(related_tasks(rho, n_runs, 20) for rho in relatedness), strict=True)]
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.2), sharey=True)
for ax, width in zip(axes, (1, 4), strict=True):
    shared = errors_side_by_side(*batches, width)
    x, y, x_test, y_test = batches
    split = lambda labels: torch.cat([labels[..., :1], labels[..., 1:]])
    single = errors_side_by_side(torch.cat([x, x]), split(y), torch.cat([x_test, x_test]), split(y_test), width)
    for errors, name, style in [((single[: len(x)] + single[len(x) :]) / 2, "a network for each", "s--C1"), (shared, "one trunk for both", "o-C0")]:
        low, middle, high = errors.reshape(len(relatedness), n_runs).quantile(torch.tensor([0.25, 0.5, 0.75]), dim=1)
        ax.errorbar(relatedness, middle, [middle - low, high - middle], fmt=style, ms=5, capsize=2, label=name)
    ax.set(title=f"{width} hidden unit{'s' * (width > 1)}", xlabel=r"relatedness $\rho$ (cosine)", yscale="log", ylim=(0.015, 0.8))
    ax.set_yticks([0.03, 0.1, 0.3], labels=["0.03", "0.1", "0.3"])
    ax.minorticks_off()
axes[0].set_ylabel("test MSE (median, quartiles)")
axes[0].legend(loc="lower left")
plt.show()

# %% [markdown]
# With one hidden unit, transfer goes both ways. At $\rho = 1$ the trunk sees twice as many labels and
# roughly halves the error. At $\rho = 0$ it has to choose one direction for two tasks, and does several times worse than
# separate networks. With four units there is room for both directions, and sharing changes much less (these
# networks overfit their twenty labels, which dominates the picture: all of their errors are larger). So the
# harm took two things: tasks that do not fit together, **and** a trunk too small for all of them. A network that is
# trained on several tasks should be compared, task by task, with networks that are not.
#
# ### Weights, and labels that are missing
#
# Training minimises a weighted sum. With parameters $\theta$ in the trunk and $\varphi_t$ in head $t$,
#
# $$\mathcal L(\theta, \varphi) = \sum_{t=1}^T w_t\, \mathcal L_t(\theta, \varphi_t), \qquad
# \nabla_\theta \mathcal L = \sum_t w_t\, g_t \ \text{ with } g_t = \nabla_\theta \mathcal L_t, \qquad
# \nabla_{\varphi_t} \mathcal L = w_t \nabla_{\varphi_t} \mathcal L_t .$$
#
# The trunk hears the sum of all tasks, and the loudest wins: measure a length in millimetres instead of metres and
# its squared errors grow by a factor of $10^6$. So targets are standardised, and the $w_t$ are hyperparameters, or learnt
# (Kendall, Gal and Cipolla, *Multi-Task Learning Using Uncertainty to Weigh Losses*, arXiv:1705.07115).
#
# Seldom does every sample have every label. A missing one is marked by NaN here, and each loss is the mean over the
# $n_t$ samples that do have the label, **not** over the batch:
#
# $$\mathcal L_t = \frac{1}{n_t} \sum_{i:\ y_{it} \text{ is known}} (\hat y_{it} - y_{it})^2, \qquad \mathcal L_t = 0 \ \text{ if } n_t = 0 .$$
#
# Division by anything else, such as the batch size or the number of all labels, is a weight that nobody chose and
# that changes from batch to batch. A more treacherous mistake looks like this:

# %% tags=["demo"]
guess = torch.tensor([1.0, 2.0], requires_grad=True)
label = torch.tensor([0.5, torch.nan])
loss = torch.where(label.isnan(), 0.0, (guess - label) ** 2).sum()
loss.backward()
print(f"loss {loss.item():.2f}, gradient {guess.grad.tolist()}")

# %% [markdown]
# The loss is right, the gradient is not. `where` hands a gradient of 0 to the branch that it did not take, and the
# square's derivative multiplies it by $2 (\hat y - \text{NaN})$: zero times NaN is NaN. After one step of the
# optimizer, so is the whole trunk.
#
# ### Gradients that fight
#
# Two tasks **conflict** where $g_1 \cdot g_2 < 0$: a step that helps one hurts the other. PCGrad (Yu et al., *Gradient
# Surgery for Multi-Task Learning*, arXiv:2001.06782, algorithm 1) then removes from each gradient its component
# along the other, and adds up what is left:
#
# $$g_1' = g_1 - \frac{g_1 \cdot g_2}{\lVert g_2 \rVert^2}\, g_2, \qquad
# g_2' = g_2 - \frac{g_2 \cdot g_1}{\lVert g_1 \rVert^2}\, g_1 .$$

# %% tags=["demo"]
fig, axes = plt.subplots(1, 3, figsize=(9.4, 2.7))
first, second = np.array([1.0, 0.35]), np.array([-1.7, 0.6])
cut = lambda g, other: g - min(g @ other, 0) / (other @ other) * other
panels = [
    ("In conflict: the plain sum", first, second, [first, second]),
    ("In conflict: PCGrad", first, second, [cut(first, second), cut(second, first)]),
    ("No conflict: nothing changes", first, np.array([0.3, 0.8]), [first, np.array([0.3, 0.8])]),
]
arrow = dict(angles="xy", scale_units="xy", scale=1)
for ax, (title, one, two, parts) in zip(axes, panels, strict=True):
    for g, colour, name in [(one, "C0", "$g_1$"), (two, "C1", "$g_2$")]:
        ax.quiver(0, 0, *g, color=colour, width=0.014, **arrow)
        ax.annotate(name, g, textcoords="offset points", xytext=(7 * np.sign(g[0]), 5), color=colour, ha="center")
    if "PCGrad" in title:
        for g, part, colour, name, place in [(one, parts[0], "C0", "$g_1'$", (9, 0)), (two, parts[1], "C1", "$g_2'$", (-10, 0))]:
            ax.quiver(0, 0, *part, color=colour, width=0.008, alpha=0.6, **arrow)
            ax.plot(*zip(g, part, strict=True), color=colour, ls=":", lw=1)
            ax.annotate(name, part, textcoords="offset points", xytext=place, color=colour, ha="center")
    ax.quiver(0, 0, *sum(parts), color="black", width=0.011, **arrow)
    ax.annotate("sum", sum(parts), textcoords="offset points", xytext=(-3, 6), ha="center")
    side = np.array([-one[1], one[0]]) / np.linalg.norm(one)
    ax.plot(*zip(-1.2 * side, 2.2 * side, strict=True), color="C0", lw=0.8, ls="--")
    ax.set(title=title, xlim=(-2.1, 1.6), ylim=(-0.5, 2.15), aspect="equal", xlabel=r"$\theta_1$")
axes[0].set_ylabel(r"$\theta_2$")
plt.show()

# %% [markdown]
# A small step against the sum raises the first task's loss if the sum lies to the left of the dashed line, which is
# at a right angle to $g_1$. In the first panel, the large $g_2$ drags it there. In the second, neither task suffers:
# $g_2'$ is perpendicular to $g_1$, so $(g_1' + g_2') \cdot g_1 = g_1' \cdot g_1 = \lVert g_1 \rVert^2 \sin^2 \alpha \ge 0$,
# where $\alpha$ is the angle between $g_1$ and $g_2$; likewise for $g_2$.
#
# With more tasks, each gradient meets the others one after the other. What has been cut already is carried
# along, and whether there is a conflict is decided anew each time, but the others take part **as they were
# originally**. The result depends on the order, and a later cut can bring back a conflict with an earlier task, so
# there is no such guarantee; to favour nobody, the order is random.
#
# Nor is it a cure for negative transfer: the path changes, while the capacity of the trunk does not. Kurin et al. (*In
# Defense of the Unitary Scalarization for Deep Multi-Task Learning*, arXiv:2201.04122) found the plain sum, with
# the usual regularisation, to do as well as PCGrad and its relatives, or better. Measure before you operate.
#
# One more recipe in circulation: *train low-level tasks first, then high-level ones*. Hashimoto et al. (*A Joint
# Many-Task Model*, arXiv:1611.01587) do stack their tasks that way, but with a penalty that keeps later tasks
# from undoing the earlier ones. Without it, or some mixing of the tasks, the first ones are forgotten.

# %% [markdown]
# ### Exercise 2.8 · A trunk for several tasks
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · PyTorch
#
# **Given**: nothing but the formulas above.
#
# **Write** the network, `SharedTrunkNet`; its losses, `masked_task_losses`; the gradient of each task,
# `task_gradients`; PCGrad, `project_conflicts`; and `multitask_backward`, which puts them together and takes the place of
# `loss.backward()` in a training loop. All work for any number of tasks, one included. Each is graded by itself.
#
# <details><summary>Hint 1: NaN</summary>
#
# NaN must not get into any computation that a gradient flows through. Put something harmless in its place *before*
# you subtract: where the label is missing, the prediction itself (detached) makes the difference 0. And
# dividing by `count.clamp(min=1)` is safe.
# </details>
#
# <details><summary>Hint 2: gradients without touching .grad</summary>
#
# `torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)` returns a tuple of tensors, or None
# for a parameter that the loss does not depend on. With `materialize_grads=True` you get zeros in place of None.
# </details>
#
# <details><summary>Hint 3: filling .grad with surgery</summary>
#
# First get the weighted gradients of the trunk, then clear `.grad`, then call `backward` on the weighted sum, which is right for the
# heads already. Now overwrite the trunk's: `vector.split([p.numel() for p in parameters])` cuts the long vector into
# pieces, which `view_as` brings into shape.
# </details>

# %% nbgrader={"grade": false, "grade_id": "multitask", "locked": false, "schema_version": 3, "solution": true, "task": false}
class SharedTrunkNet(nn.Module):
    """One trunk for all tasks, and on top of it a linear head for each (hard parameter sharing).

    Args:
        trunk: maps a batch of inputs to features, of shape (batch, n_features).
        n_features: the number of features.
        n_tasks: the number of tasks.

    Attributes:
        trunk: the module that was given, not a copy.
        heads: an nn.ModuleList with one nn.Linear(n_features, 1) for each task.
    """

    def __init__(self, trunk: nn.Module, n_features: int, n_tasks: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (batch, n_tasks): column t is what head t makes of the features. The
        trunk runs only once."""
        ### BEGIN SOLUTION
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads], dim=1)
        ### END SOLUTION


def masked_task_losses(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each task over the samples that have its label.

    Args:
        predictions: shape (batch, n_tasks).
        targets: of the same shape, NaN where the label is missing; not modified.

    Returns:
        A tensor of shape (n_tasks,). The loss of a task without labels in the batch is exactly 0.

    The gradient with respect to predictions is exactly 0 where the label is missing. Calling
    backward() on a sum of the losses works in any case, also if the whole batch has no label.

    >>> masked_task_losses(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, torch.nan], [1.0, torch.nan]]))
    tensor([2.5000, 0.0000])
    """
    ### BEGIN SOLUTION
    missing = targets.isnan()
    known = torch.where(missing, predictions.detach(), targets)
    return ((predictions - known) ** 2).sum(0) / (~missing).sum(0).clamp(min=1)
    ### END SOLUTION


def task_gradients(losses: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    """The gradient of each task's loss with respect to the same parameters.

    Args:
        losses: shape (n_tasks,), computed from the parameters, as autograd knows.
        parameters: tensors of any shapes.

    Returns:
        A tensor with a row for each task: the gradients with respect to the parameters, in the
        order given, each flattened (as by reshape(-1)), side by side. A parameter that no loss
        depends on has zeros.

    No tensor's .grad is changed. The graph is kept: the losses can be differentiated again
    afterwards.
    """
    ### BEGIN SOLUTION
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    return torch.stack(rows)
    ### END SOLUTION


def project_conflicts(gradients: torch.Tensor) -> torch.Tensor:
    """PCGrad (Yu et al., arXiv:2001.06782, algorithm 1), up to the sum at its end.

    Row i of the result starts as row i of the gradients and meets each other row j of the gradients
    once. Where its dot product with row j, as given, is negative at that moment, its component
    along row j is removed.

    The order in which row i meets the others is random: all orders are equally likely, anew in each
    call. It comes from a global generator: Python's, NumPy's or torch's.

    Args:
        gradients: shape (n_tasks, n_parameters); not modified. Rows may be zero.

    Returns:
        A tensor of the same shape. A row that meets no conflict is as it was.
    """
    ### BEGIN SOLUTION
    projected = gradients.clone()
    for i in range(len(gradients)):
        row = projected[i]  # a view: changing it in place changes projected
        for j in torch.randperm(len(gradients)).tolist():
            dot = row @ gradients[j]
            if j != i and dot < 0:
                row -= dot / (gradients[j] @ gradients[j]) * gradients[j]
    return projected
    ### END SOLUTION


def multitask_backward(
    model: nn.Module, losses: torch.Tensor, weights: list[float], surgery: bool = False
) -> None:
    """Sets .grad of all parameters of the model's trunk and heads; what was in .grad before is
    replaced.

    Without surgery, they are the gradients of the sum over t of weights[t] * losses[t]. With
    surgery, so are those of the heads, and the trunk gets the sum of the rows of project_conflicts,
    applied to the gradients of weights[t] * losses[t] with respect to all parameters of the trunk,
    laid side by side as one vector.

    Args:
        model: a module with a trunk and heads like those of SharedTrunkNet, and no other
            parameters. All of the trunk's require gradients.
        losses: shape (n_tasks,), computed with the model.
        weights: a positive number for each task.
        surgery: whether to project.
    """
    ### BEGIN SOLUTION
    weighted = losses * torch.tensor(weights)
    parameters = list(model.trunk.parameters())
    model.zero_grad()
    weighted.sum().backward(retain_graph=surgery)
    if surgery:
        direction = project_conflicts(task_gradients(weighted, parameters)).sum(0)
        for p, piece in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
            p.grad = piece.view_as(p)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_multitask", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


@check(points=1, hint="Register the heads with nn.ModuleList, and make a new nn.Linear for each.")
def has_one_trunk_and_heads():
    """The network has one trunk, a head of its own for each task, and predicts for all tasks at once."""
    def run(x):
        trunk = nn.Linear(3, 2)
        net = SharedTrunkNet(trunk, 2, 4)
        by_hand = torch.cat([head(trunk(x)) for head in net.heads], 1)
        return net(x).detach(), by_hand.detach(), sum(p.numel() for p in net.parameters())

    found, by_hand, n_parameters = probe(run, torch.randn(5, 3))
    assert found.shape == (5, 4), f"5 samples and 4 tasks give predictions of shape {tuple(found.shape)}"
    assert n_parameters == 20, f"a trunk with 8 parameters and 4 heads with 3 each have {n_parameters} in all, and not 20"
    assert torch.allclose(found, by_hand, atol=1e-5), "the predictions are not those of the heads, in their order"


@check(points=1, hint="Divide each task's sum by the number of its own labels.")
def averages_over_labels():
    """The loss of each task is the mean over the samples that have its label."""
    def run(predictions, targets):
        return masked_task_losses(predictions, targets).detach()

    predictions = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    targets = torch.tensor([[0.0, 4.0], [math.nan, math.nan], [2.0, math.nan]])
    found = probe(run, predictions, targets)
    assert found.shape == (2,), f"the losses of two tasks have shape {tuple(found.shape)}"
    assert torch.allclose(found, torch.tensor([2.5, 1.0]), atol=1e-5), f"squared errors of 1 and 4 in task 0, and of 1 in task 1, give losses of {[round(v, 3) for v in found.tolist()]}"


@check(points=1, hint="Subtract (dot product / squared length) times the other gradient, if the dot product is negative.")
def projects_a_small_conflict():
    """Two gradients in conflict are projected; two that are not stay as they are."""
    def run(gradients):
        return project_conflicts(gradients).detach()

    found = probe(run, torch.tensor([[2.0, 0.0], [-3.0, 3.0]]))
    assert torch.allclose(found, torch.tensor([[1.0, 1.0], [0.0, 3.0]]), atol=1e-5), f"(2, 0) and (-3, 3) become {[tuple(round(v, 3) for v in row) for row in found.tolist()]}"
    agreeing = torch.tensor([[2.0, 0.0], [3.0, 3.0]])
    assert torch.allclose(probe(run, agreeing), agreeing), "(2, 0) and (3, 3) are not in conflict, but they change"


def is_near(found, truth, tolerance=1e-4):
    """Whether two arrays agree in shape and, up to a share of the largest entry, in their numbers."""
    found, truth = np.asarray(found, "float64"), np.asarray(truth, "float64")
    return found.shape == truth.shape and bool(np.all(np.abs(found - truth) <= tolerance * (1e-3 + np.abs(truth).max(initial=0))))


@check(points=1, hint="One call of torch.autograd.grad for each task, with retain_graph=True, also for the last.")
def separates_the_gradients():
    """The gradient of each task is a row, and neither .grad nor the graph suffers."""
    def run(matrix, vector, factors, others):
        matrix, vector = (p.clone().requires_grad_() for p in (matrix, vector))
        unused = torch.ones(2, 1, requires_grad=True)
        matrix.grad = torch.full_like(matrix, 7.0)
        losses = torch.stack([(a * matrix**2).sum() + (b * vector**3).sum() for a, b in zip(factors, others, strict=True)])
        rows = task_gradients(losses, [vector, unused, matrix]).detach()
        untouched = vector.grad is None and unused.grad is None and matrix.grad is not None and bool((matrix.grad == 7).all())
        try:
            again = torch.autograd.grad(losses.sum(), vector)[0]
        except RuntimeError:
            again = None
        return rows, untouched, again is not None

    for n_tasks in (3, 1):
        matrix, vector = torch.randn(2, 3), torch.randn(4)
        factors, others = torch.randn(n_tasks, 2, 3), torch.randn(n_tasks, 4)
        rows, untouched, kept = probe(run, matrix, vector, factors, others)
        truth = torch.cat([3 * others * vector**2, torch.zeros(n_tasks, 2), (2 * factors * matrix).flatten(1)], 1)
        if rows.shape != truth.shape:
            fail("There should be one row for each task, with an entry for each entry of each parameter.")
        if n_tasks > 1 and is_near(rows, truth.sum(0).expand(3, -1)):
            fail("Each row is the gradient of the sum of all losses.")
        if not is_near(rows, truth):
            fail("A row is not the gradient of its task's loss, flattened in the order of the parameters.")
        if not untouched:
            fail("The .grad of a parameter has changed.")
        if not kept:
            fail("The losses cannot be differentiated again: the graph is gone.")


### BEGIN HIDDEN TESTS
from itertools import permutations


@check(points=1, hint="Run the trunk once, keep its output, and give it to each head. The trunk is the module that was given.")
def heads_are_separate():
    """Each prediction depends on the trunk that was given and on its own head, and the trunk runs once."""
    def run(x, n_tasks):
        trunk, runs = nn.Sequential(nn.Linear(3, 5), nn.Tanh()), []
        trunk.register_forward_hook(lambda *_: runs.append(1))
        net = SharedTrunkNet(trunk, 5, n_tasks)
        y = net(x)
        n_runs = len(runs)
        slopes = torch.zeros(n_tasks, n_tasks + 1)
        for t in range(n_tasks):
            for s, module in enumerate([*net.heads, trunk]):
                for slope in torch.autograd.grad(y[:, t].sum(), list(module.parameters()), retain_graph=True, allow_unused=True):
                    slopes[t, s] += 0.0 if slope is None else slope.abs().sum()
        return list(y.shape), n_runs, slopes, net.trunk is trunk

    for n_samples, n_tasks in [(6, 3), (1, 4), (4, 1)]:
        shape, n_runs, slopes, is_given = probe(run, torch.randn(n_samples, 3), n_tasks)
        if shape != [n_samples, n_tasks]:
            fail(f"The predictions have the wrong shape for a batch of {n_samples} and {n_tasks} task(s).")
        if not is_given or not (slopes[:, -1] > 0).all():
            fail("The predictions should depend on the very trunk that was given.")
        if not torch.equal(slopes[:, :-1] > 0, torch.eye(n_tasks, dtype=torch.bool)):
            fail("Each prediction should depend on its own head and on no other.")
        if n_runs != 1:
            fail("The trunk should run once for a batch, not once for each task.")


@check(points=1, hint="Replace NaN before you subtract: a gradient of zero times NaN is NaN. And what is the mean of no labels?")
def missing_labels_contribute_nothing():
    """Where labels are missing, losses and gradients are right, and exactly zero where they should be."""
    def run(cases):
        results = []
        for predictions, targets, weights in cases:
            p, y = predictions.clone().requires_grad_(), targets.clone()
            losses = masked_task_losses(p, y)
            (losses * weights).sum().backward()
            results.append((losses.detach(), p.grad, y))
        return results

    cases = []
    for share, empty in [(0.0, []), (0.4, [2]), (0.6, [0, 3]), (1.0, [0, 1, 2, 3])]:
        targets = torch.randn(9, 4)
        missing = torch.rand(9, 4) < share
        missing[0], missing[:, empty] = share == 1, True
        cases.append((torch.randn(9, 4), targets.masked_fill(missing, math.nan), 0.5 + torch.rand(4)))
    cases += [(p[:1], y[:1], weights) for p, y, weights in cases]
    for (predictions, targets, weights), (losses, slopes, after) in zip(cases, probe(run, cases), strict=True):
        known = ~targets.isnan()
        if not torch.equal(torch.nan_to_num(after, nan=1e9), torch.nan_to_num(targets, nan=1e9)):
            fail("The targets were modified.")
        if losses.shape != (4,) or losses.isnan().any():
            fail("There should be one loss for each task, and none of them NaN.")
        if slopes is None or slopes.isnan().any():
            fail("The gradient is NaN, or there is none.")
        if (losses[~known.any(0)] != 0).any():
            fail("The loss of a task without labels should be exactly zero.")
        if (slopes[~known] != 0).any():
            fail("Where a label is missing, the gradient should be exactly zero.")
        for t in range(4):
            chosen = known[:, t]
            if not chosen.any():
                continue
            p, y = predictions[chosen, t], targets[chosen, t]
            if not is_near(losses[t], F.mse_loss(p, y)):
                fail("A loss is not the mean squared error over the samples that have the label.")
            if not is_near(slopes[chosen, t], weights[t] * 2 * (p - y) / len(p)):
                fail("The gradient of a loss is not that of the mean squared error over the samples that have the label.")


def projected_by_student(batches):
    """For each batch the result of the student's function, and the batch afterwards."""
    results = []
    for batch in batches:
        given = batch.clone()
        results.append((project_conflicts(given).detach().clone(), given))
    return results


def residual(g, other):
    """What least squares cannot explain of g by a multiple of the other."""
    return g - other * np.linalg.lstsq(other[:, None], g, rcond=None)[0]


@check(points=1, hint="Cut only where the dot product is negative, and use both gradients as they were given. A zero gradient conflicts with nothing.")
def projects_two_gradients():
    """For two tasks, the result is the closed form; without conflict nothing changes; zeros do no harm."""
    pairs = [torch.randn(2, n) * (0.2 + 3 * torch.rand(2, 1)) for n in (2, 3, 5, 20) for _ in range(6)]
    pairs += [torch.stack([pair[0], -pair[1]]) for pair in pairs]
    special = [torch.tensor(rows) for rows in ([[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [1.0, -2.0]], [[3.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])]
    special.append(torch.randn(1, 4))
    results = probe(projected_by_student, pairs + special)
    for batch, (found, after) in zip(pairs + special, results, strict=True):
        if not torch.equal(batch, after):
            fail("The gradients that were given were modified.")
        if found.shape != batch.shape:
            fail("The result does not have the shape of the gradients.")
        if found.isnan().any():
            fail("The result has NaNs, with a gradient of zeros." if not batch.any(1).all() else "The result has NaNs.")
        rows = batch.double().numpy()
        if len(rows) < 2 or rows[0] @ rows[1] >= 0:
            if not is_near(found, rows, 1e-6):
                fail("Without a conflict, the gradients should not change.")
        else:
            for i in (0, 1):
                if not is_near(found[i], residual(rows[i], rows[1 - i])):
                    fail("In a conflict of two tasks, " + ("the first" if i == 0 else "the second") + " gradient is not the part of it that is perpendicular to the other gradient, as given.")


def possible_rows(rows, i):
    """What can become of row i, for each order in which it meets the others."""
    outcomes = []
    for order in permutations([j for j in range(len(rows)) if j != i]):
        row = rows[i]
        for j in order:
            row = residual(row, rows[j]) if row @ rows[j] < 0 else row
        outcomes.append(row)
    return np.array(outcomes)


@check(points=1, hint="Two tensors: one to read from (as given) and one to write to. For each task, a new random order of the others.")
def meets_the_others_in_random_order():
    """With more tasks, each meets the original gradients of the others, one after the other, in any order equally likely."""
    rng = np.random.default_rng(19)  # fixed: all are in conflict, and the outcomes of all orders are far apart
    spread = np.pad(np.eye(4) - 0.3, ((0, 0), (0, 2))) + 0.1 * rng.normal(size=(4, 6))
    n_calls = 150
    same = [torch.tensor(spread).to(torch.get_default_dtype())] * n_calls
    others = [torch.randn(n, 4) for n in (3, 3, 3, 3, 3, 3, 3, 3, 5, 5)]
    results = [found.double().numpy() for found, _ in probe(projected_by_student, same + others)]
    truths = [possible_rows(same[0].double().numpy(), i) for i in range(4)]
    counts = np.zeros((4, 6), int)
    for batch, found in zip(same + others, results, strict=True):
        rows = batch.double().numpy()
        for i in range(len(rows)):
            outcomes = truths[i] if batch is same[0] else possible_rows(rows, i)
            distances = np.abs(outcomes - found[i]).max(1)
            if not distances.min() < 1e-4 * (1 + np.abs(rows).max()):
                fail("With three tasks or more, there is no order of the others for which a row would come out as it does.")
            if batch is same[0]:
                counts[i, distances.argmin()] += 1
    if counts.min() < 3 or counts.max() > 60:
        fail("Over many calls, not all orders of the others are about equally frequent.")


def linear_case(weights, conflicting):
    """A linear trunk with heads for two tasks, data, and the weighted gradients in closed form.

    Returns:
        Inputs, targets, parameters of the trunk and the heads; for each task the vector of the trunk's gradients; those of the heads.
    """
    while True:
        x, y = np.random.normal(size=(7, 3)), np.random.normal(size=(7, 2))
        matrix, offset = np.random.normal(size=(4, 3)), np.random.normal(size=4)
        heads, shifts = np.random.normal(size=(2, 4)), np.random.normal(size=2)
        features = x @ matrix.T + offset
        slopes = 2 / 7 * (features @ heads.T + shifts - y) * weights
        rows = np.array([np.concatenate([np.outer(h, s @ x).ravel(), h * s.sum()]) for h, s in zip(heads, slopes.T, strict=True)])
        lengths = np.linalg.norm(rows, axis=1)
        cosine = rows[0] @ rows[1] / lengths.prod()
        of_matrix = rows[0, :12] @ rows[1, :12] / lengths.prod()
        if (-0.9 < cosine < -0.3 and abs(cosine - of_matrix) > 0.1) if conflicting else cosine > 0.2:
            given = [torch.tensor(a).to(torch.get_default_dtype()) for a in (x, y, matrix, offset, heads, shifts)]
            return given, rows, np.concatenate([slopes.T @ features, slopes.sum(0)[:, None]], 1)


def filled_by_student(given, weights, surgery):
    """The gradients of the trunk, as one vector, and for each task those of its head, as multitask_backward leaves them."""
    x, y, matrix, offset, heads, shifts = given
    model = nn.Module()
    model.trunk = nn.Linear(3, 4)
    model.heads = nn.ModuleList(nn.Linear(4, 1) for _ in heads)
    with torch.no_grad():
        model.trunk.weight.copy_(matrix)
        model.trunk.bias.copy_(offset)
        for head, row, shift in zip(model.heads, heads, shifts, strict=True):
            head.weight.copy_(row[None])
            head.bias.copy_(shift[None])
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.7)
    features = model.trunk(x)
    losses = ((torch.cat([head(features) for head in model.heads], 1) - y) ** 2).mean(0)
    multitask_backward(model, losses, weights, surgery)
    flat = lambda module: torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.detach().reshape(-1) for p in module.parameters()])
    return flat(model.trunk), torch.stack([flat(head) for head in model.heads])


@check(points=1, hint="The weighted sum is not divided by anything, and gradients of an earlier step must not stay.")
def trunk_gets_the_weighted_sum():
    """Without surgery, the trunk gets the weighted sum of the tasks' gradients, and each head its own, by its weight."""
    for weights, conflicting in [([1.0, 1.0], True), ([0.5, 3.0], True), ([2.5, 0.25], False)]:
        given, rows, of_heads = linear_case(weights, conflicting)
        trunk, heads = probe(filled_by_student, given, weights, False)
        if is_near(trunk - 0.7, rows.sum(0)):
            fail("The gradients were added to those of an earlier step.")
        if not is_near(trunk, rows.sum(0)):
            fail("The trunk's gradient is not the weighted sum of the tasks' gradients" + ("." if weights[0] != 1 else ", with all weights 1."))
        if not is_near(heads, of_heads):
            fail("The gradient of a head is not that of its task's loss, times the weight.")


@check(points=1, hint="One vector for all parameters of the trunk, of each task's weighted loss; project; add up; cut into pieces. The heads are left out of it.")
def surgery_is_on_the_trunk():
    """With surgery, the trunk gets the sum of the projected gradients; the heads get what they get without."""
    for weights, conflicting in [([1.0, 1.0], True), ([0.5, 3.0], True), ([2.5, 0.25], False)]:
        given, rows, of_heads = linear_case(weights, conflicting)
        trunk, heads = probe(filled_by_student, given, weights, True)
        truth = residual(rows[0], rows[1]) + residual(rows[1], rows[0]) if conflicting else rows.sum(0)
        if is_near(trunk - 0.7, truth):
            fail("The gradients were added to those of an earlier step.")
        if conflicting and is_near(trunk, rows.sum(0)):
            fail("Two tasks are in conflict, but the trunk gets the plain sum.")
        if not is_near(trunk, truth):
            fail("The trunk's gradient is not the sum of the projected gradients" + (" of two tasks in conflict." if conflicting else ", although there is no conflict: it should be the plain sum."))
        if not is_near(heads, of_heads):
            fail("With surgery, the gradients of the heads should be as without.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What a rich task can do for a poor one
#
# Your functions at work, on the tasks from above. **Left:** the first task has 100 labels, the second only a few, NaN elsewhere. Does
# the poor one gain from the company? **Right:** the worst case from above, one unit and two unrelated tasks, with the plain sum and
# with PCGrad.

# %% tags=["demo", "raises-exception"]
def fit_tasks(data, width, seed, surgery=False, n_steps=100, every=0):
    """Trains a SharedTrunkNet; returns the test error of each task at the end, or along the way."""
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    net = SharedTrunkNet(nn.Sequential(nn.Linear(6, width), nn.Tanh()), width, y.shape[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05, fused=True)
    path = []
    for step in range(n_steps):
        multitask_backward(net, masked_task_losses(net(x), y), [1.0] * y.shape[1], surgery)
        optimizer.step()
        if (every and step % every == 0) or step == n_steps - 1:
            with torch.no_grad():
                path.append(((net(x_test) - y_test) ** 2).mean(0))
    return torch.stack(path) if every else path[-1]


fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
label_counts, n_repeats = [6, 12, 25, 50], 3
for columns, name, style in [(slice(1, 2), "alone", "s--C1"), (slice(0, 2), r"with a related task ($\rho$ = 0.95)", "o-C0")]:
    medians = []
    for n_labels in label_counts:
        errors = []
        for seed in range(n_repeats):
            x, y, x_test, y_test = (a[0] for a in related_tasks(0.95, 1, 100, seed))
            y[n_labels:, 1] = torch.nan
            errors.append(fit_tasks((x, y[:, columns], x_test, y_test[:, columns]), 1, seed)[-1])
        medians.append(torch.stack(errors).median())
    axes[0].plot(label_counts, medians, style, ms=5, label=name)
axes[0].set(title="The poor task, one hidden unit", xlabel="labels of the poor task", ylabel="its test MSE (median of 3 runs)", xscale="log", ylim=(0, None))
axes[0].set_xticks(label_counts, labels=[str(n) for n in label_counts])
axes[0].minorticks_off()
axes[0].legend(fontsize=9)
data = tuple(a[0] for a in related_tasks(0.0, 1, 100, 3))
for surgery, name, style in [(False, "plain sum", "-C0"), (True, "PCGrad", "--C2")]:
    path = fit_tasks(data, 1, 0, surgery, n_steps=200, every=10)
    axes[1].plot(np.arange(len(path)) * 10, path.mean(1), style, label=f"one trunk, {name}")
x, y, x_test, y_test = data
alone = [fit_tasks((x, y[:, t : t + 1], x_test, y_test[:, t : t + 1]), 1, 0, n_steps=200, every=10) for t in (0, 1)]
axes[1].plot(np.arange(len(path)) * 10, torch.cat(alone, 1).mean(1), ":C1", lw=2, label="a network for each")
axes[1].set(title="Unrelated tasks, one hidden unit", xlabel="step", ylabel="test MSE, mean of both tasks", ylim=(0, None))
axes[1].legend(fontsize=9)
plt.show()

# %% [markdown]
# With a dozen labels, the poor task gains much from the company of a related one: most of what it needs, the trunk
# has learnt from the other's labels. With 50 there is nothing left to gain. On the right, surgery or not (it does a little worse here), the error stays far
# above that of separate networks: the gradients are not at fault, the trunk is too small. So the claim of the
# beginning has conditions: tasks that share features, few labels, and room in the trunk. Whether they hold is seen
# in the test error of each task, next to that of a network of its own.

# %% [markdown]
# ## 2.9 Ensembles: what averaging removes
#
# "If it overfits, use an ensemble: random forests and gradient boosting solve overfitting." You will find
# this on many lists of remedies. Half of it is true, and the formula below says which half.
#
# Train one model on many training sets of the same size. Its prediction at a point varies from set to set,
# with a variance of $s^2$; and even its mean misses the truth, by a bias $b$. If $M$ such models are
# averaged, and any two of them have predictions of correlation $\rho$, the expected squared distance from
# the truth becomes
#
# $$\underbrace{b^2}_{\text{stays}} + \underbrace{\rho\, s^2}_{\text{stays, too}} + \underbrace{\frac{1 - \rho}{M}\, s^2}_{\text{goes away}}$$
#
# The two terms on the right are the variance of the average (Hastie, Tibshirani and Friedman, *The Elements
# of Statistical Learning*, 2nd edition, eq. 15.1). So averaging removes **variance, never bias**, and of
# the variance only what the members do not share. That is why ensembles are made of large, nervous models
# that differ. *Bagging* (Breiman, *Bagging predictors*, Machine Learning 24, 1996) makes them differ by
# giving each a **bootstrap sample**: $n$ rows drawn from the $n$ training rows with replacement. A *random
# forest* (Breiman, *Random forests*, Machine Learning 45, 2001) lets each split choose among a few random
# columns as well, to lower $\rho$ further.

# %% nbgrader={"grade": false, "grade_id": "setup_ensembles", "locked": true, "schema_version": 3, "solution": false, "task": false}
from sklearn.tree import DecisionTreeRegressor


def noisy_wave(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n points between 0 and 1, as a column, and a wave at these points, with noise of standard deviation 0.3."""
    x = rng.random((n, 1))
    return x, np.sin(2 * np.pi * x[:, 0]) + 0.3 * rng.normal(size=n)


# %% tags=["demo"]
wave_grid = np.linspace(0.01, 0.99, 60)[:, None]
wave_truth = np.sin(2 * np.pi * wave_grid[:, 0])
rng = np.random.default_rng(0)
wave_predictions = {"deep tree": [], "stump": []}  # for each: 30 training sets, 20 members, 60 points
for _ in range(30):
    x_wave, y_wave = noisy_wave(60, rng)
    samples = rng.integers(60, size=(20, 60))
    for name, depth in [("deep tree", None), ("stump", 1)]:
        trees = [DecisionTreeRegressor(max_depth=depth).fit(x_wave[rows], y_wave[rows]) for rows in samples]
        wave_predictions[name].append([tree.predict(wave_grid) for tree in trees])
wave_predictions = {name: np.array(values) for name, values in wave_predictions.items()}

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), width_ratios=(1.25, 1))
for number in range(4):
    axes[0].plot(wave_grid, wave_predictions["deep tree"][-1, number], color="0.7", lw=0.9, label="four of 20 deep trees" if number == 0 else None)
axes[0].plot(wave_grid, wave_predictions["deep tree"][-1].mean(0), color="C0", lw=2, label="average of all 20")
axes[0].plot(wave_grid, wave_truth, color="black", ls="--", lw=1.3, label="truth")
axes[0].plot(x_wave, y_wave, ".", color="C1", ms=5, label="training data")
axes[0].set(title="One training set, many bootstrap samples", xlabel="x", ylabel="y", ylim=(-1.9, 2.8))
axes[0].legend(fontsize=8.5, loc="upper right", ncols=2)
bars = [("one\ndeep tree", "deep tree", 1), ("average of 20\ndeep trees", "deep tree", 20), ("one\nstump", "stump", 1), ("average of\n20 stumps", "stump", 20)]
for place, (_, name, size) in enumerate(bars):
    averages = wave_predictions[name][:, :size].mean(1)
    squared_bias, variance = np.mean((wave_predictions[name].mean((0, 1)) - wave_truth) ** 2), np.mean(averages.var(0, ddof=1))
    for bottom, height, colour, hatch, label in [(0, squared_bias, "C5", "", "squared bias"), (squared_bias, variance, "C0", "//", "variance")]:
        axes[1].bar(place, height, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", width=0.65, label=label if place == 0 else None)
axes[1].set(title="Error against the truth", ylabel="squared error")
axes[1].set_xticks(range(4), labels=[bar[0] for bar in bars], fontsize=8.5)
axes[1].legend(fontsize=9)
axes[1].grid(axis="x")
plt.show()

# %% [markdown]
# A deep tree is nearly all variance, and the average is a much better model. A stump, a tree with one
# split, has a large bias, and its average has all of it, since the mean of an average is the mean of its members (so the bars of each pair are equal by
# calculation): **no number of stumps, averaged, makes a wave.**
#
# ### Averages of classifiers
#
# What is averaged of classifiers are their **probabilities**: $\bar p = \frac1M\sum_m p_m$. As the
# logarithm is concave, Jensen's inequality gives
#
# $$-\log \bar p_y \;\le\; -\frac1M\sum_m \log p_{m,y}$$
#
# at every single example: the ensemble's negative log-likelihood (NLL) is at most the *mean* NLL of its
# members. (It can be worse than that of the best member.) Two things that look alike are not the same:
#
# - **Averaged logits**, softmaxed, are the members' normalised *geometric* mean. The same inequality
#   holds, as the cross-entropy is convex in the logits, but it is another prediction: one member that is
#   sure it is not class 3 can veto all the others. In an arithmetic mean, a member has $1/M$ of a say and
#   no more.
# - **Votes**, that is averaged argmaxes, throw confidence away. Where nobody voted for the true class,
#   the NLL is infinite.
#
# Accuracy has no such guarantee. Give the true class of two 0.51, 0.51 and 0.1: two of three members are
# right, and their average, 0.37, is wrong.
#
# Networks hardly need the bootstrap to differ: random initialisation and shuffling suffice in practice
# (Lakshminarayanan, Pritzel and Blundell, *Simple and Scalable Predictive Uncertainty Estimation using Deep
# Ensembles*, arXiv:1612.01474). The price is $M$ times the compute, in use as well as in training. And a
# forest next to an overfitted network does nothing for the network.
#
# ### A test set for free
#
# A bootstrap sample misses a given row with probability $(1 - 1/n)^n \approx e^{-1} \approx 0.37$. For
# these members the row is new. So let **only the members that have not seen a row** predict it: the error
# of these *out-of-bag* predictions estimates the test error without a test set, that of an ensemble
# with about $0.37\,M$ members, to be exact. If members that saw the row may vote, it is the training error in disguise.
#
# ### Boosting does not average
#
# Boosting adds up. For squared error it starts from the mean of $y$ and lets each new member predict what
# is *left* (Friedman, *Greedy function approximation: a gradient boosting machine*, Annals of Statistics
# 29, 2001):
#
# $$F_0 = \bar y, \qquad F_t = F_{t-1} + \nu\, h_t, \qquad h_t \text{ fitted to the residuals } y - F_{t-1}$$
#
# with a *shrinkage* $\nu$ of, say, 0.1. Members depend on those before them, so the formula above does not
# apply. Sums of stumps *can* make a wave: boosting lowers **bias**. If it goes on, the residuals are mostly
# noise, and it fits that as well. In the next figure, about a fifth of 250 tumours got the wrong label. The test
# labels are right.

# %% tags=["demo"]
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

x_tumour, y_tumour = load_breast_cancer(return_X_y=True)
rng = np.random.default_rng(1)
order = rng.permutation(len(x_tumour))
x_tumour, y_tumour = x_tumour[order], y_tumour[order]
given_label = np.where(rng.random(250) < 0.2, 1 - y_tumour[:250], y_tumour[:250])
forest = RandomForestClassifier(100, random_state=0).fit(x_tumour[:250], given_label)
booster = GradientBoostingClassifier(n_estimators=100, learning_rate=0.2, random_state=0).fit(x_tumour[:250], given_label)
tumour_errors = {}
for part, labels, rows in [("test, true labels", y_tumour[250:], slice(250, None)), ("training, given labels", given_label, slice(250))]:
    of_trees = np.cumsum([tree.predict_proba(x_tumour[rows])[:, 1] for tree in forest.estimators_], axis=0) / np.arange(1, 101)[:, None]
    tumour_errors["random forest", part] = ((of_trees > 0.5) != labels).mean(1)
    tumour_errors["gradient boosting", part] = [(classes != labels).mean() for classes in booster.staged_predict(x_tumour[rows])]

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.1), sharey=True)
for ax, name in zip(axes, ("random forest", "gradient boosting"), strict=True):
    for part, colour, style in [("test, true labels", "C0", "-"), ("training, given labels", "C1", "--")]:
        ax.plot(range(1, 101), tumour_errors[name, part], color=colour, ls=style, label=part)
    ax.set(title=name.capitalize(), xlabel="number of trees", xscale="log", ylim=(0, 0.36))
axes[0].set(ylabel="share of errors")
axes[1].legend()
plt.show()
curve = np.array(tumour_errors["gradient boosting", "test, true labels"])
print(f"Gradient boosting: test error {curve.min():.2f} at its lowest, {curve[-1]:.2f} with 100 trees")
print(f"Random forest: test error {tumour_errors['random forest', 'test, true labels'][-1]:.2f} with 100 trees")

# %% [markdown]
# Both end up with hardly an error on the wrong labels that they were given. The forest's test error
# **levels off**: more trees only bring it closer to the average of infinitely many (Breiman 2001, theorem
# 1.2). The error of boosting **rises again**, and the number of its trees is something to choose on
# validation data, like the epoch in 2.4.
#
# Nor is a forest immune. More trees do not make it overfit, but the limit itself may, where its trees are
# too rich for the data (*Elements*, section 15.3.4). The depth of the trees is a matter for validation data
# as well.

# %% [markdown]
# ### Exercise 2.9 · Ensembles
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **10 points** · NumPy and estimators of scikit-learn
#
# **Given**: `make_member`, a function that returns a new, unfitted regressor with scikit-learn's
# `fit(X, y)`, which returns the regressor, and `predict(X)`; for example `DecisionTreeRegressor` itself, or
# `lambda: DecisionTreeRegressor(max_depth=1)`.
#
# **Write** four functions: the average of classifiers, the variance of an average of regressors, bagging
# with out-of-bag predictions, and boosting. Do without scikit-learn's ensembles. Inputs are never modified.
#
# In `fit_bagged`, member 0 is fitted to the rows `rng.integers(n, size=n)`, member 1 to those of the next such
# call, and so on; nothing else is drawn from the generator. That makes the answer determined.
#
# <details><summary>Hint 1: logarithms of tiny probabilities</summary>
#
# $\log\sum_k e^{z_k} = c + \log\sum_k e^{z_k - c}$ for every $c$. With $c = \max_k z_k$ nothing overflows,
# and one term is 1. Do it twice: over classes to get log-probabilities, over members to average.
# `np.logaddexp.reduce(z, axis=...)` does it, too.
# </details>
#
# <details><summary>Hint 2: all covariances at once</summary>
#
# `np.cov(predictions, rowvar=False)` has the members' variances on its diagonal and their covariances
# everywhere else.
# </details>
#
# <details><summary>Hint 3: who has not seen the row?</summary>
#
# `np.isin(np.arange(n), rows)` is true for the rows in a sample. Add up the predictions for the others, and
# count how many there were.
# </details>

# %% nbgrader={"grade": false, "grade_id": "ensembles", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the average of the probabilities that several classifiers predict.

    Args:
        logits: (M, n, K), floats of 64 bits: the scores of M classifiers (1 or more) for n examples
            and K classes. The softmax over classes makes them probabilities. Scores are finite but
            may be large, such as 2000 or -2000: results are finite and right even where a
            probability is too small for a float.

    Returns:
        (n, K): log of the mean over the classifiers.

    >>> mean_log_probabilities(np.log([[[0.5, 0.5]], [[0.9, 0.1]]])).round(4)  # logs of 0.7 and 0.3
    array([[-0.3567, -1.204 ]])
    """
    ### BEGIN SOLUTION
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    return np.logaddexp.reduce(log_probabilities, axis=0) - np.log(len(logits))
    ### END SOLUTION


def forecast_variance(predictions: np.ndarray, n_members: int) -> tuple[float, float, float]:
    """Variance of an average of n_members members, from the predictions of a few.

    Args:
        predictions: (R, M), both 2 or more: what M members predict at one point after each of R
            trainings. At least one member varies.
        n_members: how many members the forecast is for, 1 or more; may differ from M.

    Returns:
        s2: the mean of the M members' variances.
        rho: the mean of the covariances of all pairs of different members, divided by s2. Variances
            and covariances are over the R trainings, with R - 1 in the denominator.
        variance: rho * s2 + (1 - rho) / n_members * s2.

    >>> forecast_variance(np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]]), 10)  # variances 1 and 3, covariance 0
    (2.0, 0.0, 0.2)
    """
    ### BEGIN SOLUTION
    covariances = np.cov(predictions, rowvar=False)
    n_given = len(covariances)
    s2 = np.trace(covariances) / n_given
    rho = (covariances.sum() - np.trace(covariances)) / (n_given * (n_given - 1)) / s2
    return float(s2), float(rho), float(rho * s2 + (1 - rho) / n_members * s2)
    ### END SOLUTION


def fit_bagged(
    make_member, X: np.ndarray, y: np.ndarray, n_members: int, rng: np.random.Generator
) -> tuple[list, np.ndarray]:
    """Fits each member to a bootstrap sample and makes out-of-bag predictions.

    Args:
        make_member: as given; each member is a regressor of its own.
        X, y: (n, p) and (n,), the training data; n is large enough for every sample to miss a row.
        n_members: 1 or more.
        rng: gives each member its rows, by rng.integers(n, size=n), in the order of the members.

    Returns:
        members: the fitted regressors, in order.
        oob: (n,), for each row the mean prediction of those members whose sample does not contain
            it; NaN where there is no such member.
    """
    ### BEGIN SOLUTION
    members, predictions, seen = [], [], []
    for _ in range(n_members):
        rows = rng.integers(len(X), size=len(X))
        member = make_member().fit(X[rows], y[rows])
        members.append(member)
        predictions.append(member.predict(X))
        seen.append(np.isin(np.arange(len(X)), rows))
    return members, np.ma.array(predictions, mask=seen).mean(axis=0).filled(np.nan)
    ### END SOLUTION


def boosted_stages(
    make_member, X: np.ndarray, y: np.ndarray, X_new: np.ndarray, n_members: int, shrinkage: float
) -> np.ndarray:
    """Boosting for squared error: predictions for new rows after every stage.

    Args:
        make_member: as given.
        X, y: (n, p) and (n,), the training data. Every member is fitted to all of its rows. y may
            hold whole numbers.
        X_new: (k, p), the rows to predict.
        n_members: 0 or more.
        shrinkage: the factor nu of every member, above 0 and at most 1.

    Returns:
        (n_members + 1, k) floats: row t holds the predictions F_t with t members; row 0 is the mean
        of y.
    """
    ### BEGIN SOLUTION
    fitted = np.full(len(X), y.mean())
    stages = [np.full(len(X_new), y.mean())]
    for _ in range(n_members):
        member = make_member().fit(X, y - fitted)
        fitted = fitted + shrinkage * member.predict(X)
        stages.append(stages[-1] + shrinkage * member.predict(X_new))
    return np.array(stages)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_ensembles", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


@check(points=1, hint="Softmax over the classes first, then the mean over the classifiers, then the logarithm.")
def averages_probabilities():
    """Two classifiers are averaged as you would by hand."""
    members = np.array([[[0.9, 0.1], [0.5, 0.5]], [[0.3, 0.7], [0.02, 0.98]]])
    answer = np.asarray(mean_log_probabilities(np.log(members) + 1))
    assert answer.shape == (2, 2), f"shape {answer.shape} instead of (2, 2)"
    for row, truth in enumerate([[0.6, 0.4], [0.26, 0.74]]):
        found = np.exp(answer[row])
        told = f"probabilities {members[0, row].tolist()} and {members[1, row].tolist()}"
        assert np.allclose(found, truth, atol=1e-6), f"{told}: exp of your result is {found.round(3).tolist()} instead of {truth}"


@check(points=1, hint="A row's prediction is the mean over the members that have not seen it, not over all; NaN if all have.")
def votes_out_of_bag():
    """Where members predict the mean of their sample, the out-of-bag predictions are those of a count by hand."""
    def run(n_members):
        from sklearn.dummy import DummyRegressor

        members, oob = fit_bagged(DummyRegressor, np.zeros((10, 1)), np.arange(10.0), n_members, np.random.default_rng(3))
        return len(members), np.asarray(oob, dtype=float)

    for n_members in (1, 3):
        rows = np.random.default_rng(3).integers(10, size=(n_members, 10))
        found, oob = probe(run, n_members)
        assert found == n_members, f"{found} members instead of {n_members}"
        assert oob.shape == (10,), f"out-of-bag predictions of shape {oob.shape} instead of (10,)"
        for row in range(10):
            votes = [float(sample.mean()) for sample in rows if row not in sample]
            told = f"{n_members} member(s), samples {rows.tolist()}, y equal to the row's number: row {row}"
            if votes:
                truth = sum(votes) / len(votes)
                assert abs(oob[row] - truth) < 1e-9, f"{told} gets {oob[row]:.3f} instead of {truth:.3f}"
            else:
                assert np.isnan(oob[row]), f"{told} is in every sample, but gets {oob[row]:.3f} instead of NaN"


@check(points=1, hint="Start at the mean; fit the residuals of the stage before; add shrinkage times the prediction, on both X and X_new.")
def boosts_two_levels():
    """Where every member fits perfectly, the residuals shrink by the factor 1 - shrinkage in each stage."""
    def run():
        X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 0.0, 8.0, 8.0])
        return np.asarray(boosted_stages(lambda: DecisionTreeRegressor(max_depth=1), X, y, np.array([[0.4], [2.6]]), 3, 0.5))

    stages = probe(run)
    truth = [[4, 4], [2, 6], [1, 7], [0.5, 7.5]]
    assert stages.shape == (4, 2), f"shape {stages.shape} instead of (4, 2): one row for the start and one for each of 3 members"
    assert np.allclose(stages, truth), f"y is 0, 0, 8, 8, shrinkage 0.5, new rows left and right of the step: stages {stages.round(3).tolist()} instead of {truth}"


### BEGIN HIDDEN TESTS
import statistics
from decimal import Decimal, localcontext
from itertools import combinations

from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

LIBRARY_ENSEMBLES = tuple(
    f"sklearn.ensemble.{name}.fit"
    for name in ("BaggingRegressor", "RandomForestRegressor", "ExtraTreesRegressor", "GradientBoostingRegressor", "AdaBoostRegressor")
)


def exact_log_mean(logits):
    """By decimal numbers of 60 digits, whose exponents do not overflow."""
    answer = np.empty(logits.shape[1:])
    with localcontext() as context:
        context.prec = 60
        for row in range(logits.shape[1]):
            powers = [[Decimal(float(score)).exp() for score in member] for member in logits[:, row]]
            for column in range(logits.shape[2]):
                share = sum(member[column] / sum(member) for member in powers) / len(powers)
                answer[row, column] = float(share.ln())
    return answer


def averaged(logits):
    """The answer, its shape and the input checked."""
    def run(logits):
        return np.asarray(mean_log_probabilities(logits)), logits

    answer, after = probe(run, logits.copy())
    if not np.array_equal(after, logits):
        fail("The logits passed in were modified.")
    if answer.shape != logits.shape[1:]:
        fail("The result has another shape than (n, K).")
    return answer


@check(points=1, hint="The mean of probabilities: neither of logits, nor of their logarithms, nor of votes; the softmax runs over the last axis.")
def averages_exactly():
    """For random classifiers, the result is that of exact arithmetic, and its NLL at most the mean of theirs."""
    for shape in [(3, 4, 5), (5, 3, 2), (1, 4, 3), (4, 1, 6), (2, 5, 1)]:
        logits = np.random.normal(size=shape) * 2 + np.random.normal(size=(*shape[:2], 1))
        answer = averaged(logits)
        if not np.allclose(np.exp(answer).sum(1), 1, atol=1e-8):
            fail("The probabilities of an example do not sum to one.")
        single = np.log(np.exp(logits) / np.exp(logits).sum(2, keepdims=True))
        if (answer < single.mean(0) - 1e-9).any():
            fail("For some label, the NLL of the average is above the mean NLL of the members: Jensen's inequality is violated.")
        if not np.allclose(answer, exact_log_mean(logits), atol=1e-9):
            fail(f"The log-probabilities are wrong for {shape[0]} classifiers, {shape[1]} examples and {shape[2]} classes.")


@check(points=1, hint="Subtract each example's maximum before the exponential, per classifier; average by the same trick, over classifiers.")
def survives_large_scores():
    """With scores in the thousands, results are finite and those of exact arithmetic."""
    for shape in [(3, 4, 3), (2, 3, 4), (1, 3, 3)]:
        signs = np.random.choice([-1.0, 1.0], size=shape)
        signs[:, 0, :2] = -1, 1  # no classifier gives the first class of the first example anything
        levels = np.random.permutation(shape[0])[:, None, None] * 1500.0 - 1500
        for logits, what in [
            (np.random.normal(size=shape) + levels, "where classifiers have very different levels"),
            (np.random.normal(size=shape) + 1900 * signs, "where some probabilities are too small for a float"),
        ]:
            answer = averaged(logits)
            if not np.isfinite(answer).all():
                fail(f"The result is not finite {what}.")
            if not np.allclose(answer, exact_log_mean(logits), rtol=1e-9, atol=1e-9):
                fail(f"The result is finite but wrong {what}.")


@check(points=1, hint="s2: mean of the variances. rho * s2: mean of the covariances of different members. Both have R - 1 in the denominator.")
def splits_the_variance():
    """s2 and rho are those of all pairs counted one by one, and the forecast for M members is the variance of their average."""
    def run(predictions, n_members):
        return [float(number) for number in forecast_variance(predictions, n_members)], predictions

    for n_trainings, n_given in [(6, 4), (3, 7), (2, 2), (25, 3)]:
        common, own = np.random.normal(size=(n_trainings, 1)), np.random.normal(size=(n_trainings, n_given))
        for predictions, what in [
            ((common + own) * np.linspace(0.5, 3, n_given) + 10 * np.random.normal(size=n_given), "members of different means and variances"),
            (own - 0.9 * own.mean(1, keepdims=True), "members that are anticorrelated"),
            (np.where(np.arange(n_given) == 0, 3.0, common + own), "members of which one does not vary"),
        ]:
            for n_members in (1, n_given, 50):
                (s2, rho, variance), after = probe(run, predictions.copy(), n_members)
                if not np.array_equal(after, predictions):
                    fail("The predictions passed in were modified.")
                members = predictions.T.tolist()
                mean_variance = statistics.fmean(statistics.variance(member) for member in members)
                mean_covariance = statistics.fmean(statistics.covariance(*pair) for pair in combinations(members, 2))
                if not math.isclose(s2, mean_variance, rel_tol=1e-8):
                    fail(f"s2 is wrong for {what}.")
                if not math.isclose(rho, mean_covariance / mean_variance, rel_tol=1e-7, abs_tol=1e-9):
                    fail(f"rho is wrong for {what}.")
                if n_members == n_given and not math.isclose(variance, statistics.variance(predictions.mean(1).tolist()), rel_tol=1e-6, abs_tol=1e-9):
                    fail(f"For as many members as there are, the forecast is not the variance of their average, for {what}.")
                if n_members == 1 and not math.isclose(variance, mean_variance, rel_tol=1e-8):
                    fail("The variance of an average of one member is not s2.")
                if n_members == 50 and not math.isclose(variance, mean_covariance + (mean_variance - mean_covariance) / 50, rel_tol=1e-6, abs_tol=1e-9):
                    fail("The forecast for another number of members is wrong.")


@check(points=1, hint="Each member is a new one, fitted to X[rows] and y[rows] with the same rows, which come from the generator that was passed in.")
def fits_bootstrap_samples():
    """Each member is fitted to its own bootstrap sample, drawn from the given generator as described, and nothing else is drawn."""
    def run(X, y, n_members, seed):
        log = []

        class Recorder:
            def __init__(self):
                self.number = len(log)
                log.append([])

            def fit(self, X, y):
                log[self.number].append((np.array(X), np.array(y)))
                return self

            def predict(self, X):
                return np.zeros(len(X))

        rng = np.random.default_rng(seed)
        with forbidden(*LIBRARY_ENSEMBLES):
            members, _ = fit_bagged(Recorder, X, y, n_members, rng)
        return [member.number for member in members], log, rng.random(), X, y

    for n, n_members in [(16, 5), (25, 1), (20, 8)]:
        X, y, seed = np.random.normal(size=(n, 2)), np.random.normal(size=n), int(np.random.randint(1, 10**6))
        numbers, log, after, X_after, y_after = probe(run, X.copy(), y.copy(), n_members, seed)
        if not (np.array_equal(X, X_after) and np.array_equal(y, y_after)):
            fail("X or y was modified.")
        if len(numbers) != n_members or len(set(numbers)) != n_members:
            fail("The result does not hold n_members different members.")
        rng = np.random.default_rng(seed)
        for number in numbers:
            rows = rng.integers(n, size=n)
            if len(log[number]) != 1:
                fail("A member was not fitted exactly once.")
            (x_fitted, y_fitted), = log[number]
            if len(x_fitted) != n or len(y_fitted) != n:
                fail("A bootstrap sample does not have n rows.")
            if {*x_fitted[:, 0]} == {*X[:, 0]}:
                fail("A member was fitted to a sample that misses no row: it is drawn with replacement.")
            if not np.array_equal(x_fitted, X[rows]):
                fail("A member was fitted to other rows than those that the generator gives.")
            if not np.array_equal(y_fitted, y[rows]):
                fail("A member was fitted to the right rows of X with targets of other rows.")
        if after != rng.random():
            fail("More or less was drawn from the generator than n numbers for each member.")


@check(points=1, hint="For each row: sum over the members whose sample misses it, divided by their number, and NaN if that is zero.")
def predicts_out_of_bag():
    """Out-of-bag predictions are those of weighted least squares, each row's weight being its count in the sample."""
    def run(X, y, n_members, seed):
        with forbidden(*LIBRARY_ENSEMBLES):
            members, oob = fit_bagged(LinearRegression, X, y, n_members, np.random.default_rng(seed))
        return np.asarray(oob, dtype=float), [member.predict(X) for member in members]

    for n, n_members in [(18, 1), (18, 3), (24, 12)]:
        X, y, seed = np.random.normal(size=(n, 2)), np.random.normal(size=n) + 3, int(np.random.randint(1, 10**6))
        oob, fitted = probe(run, X, y, n_members, seed)
        rng = np.random.default_rng(seed)
        counts = np.array([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(n_members)])
        truth = np.array([LinearRegression().fit(X, y, sample_weight=count).predict(X) for count in counts])
        if len(fitted) != n_members or not np.allclose(fitted, truth, atol=1e-7):
            fail("The members' predictions are not those of models fitted to the bootstrap samples.")
        if oob.shape != (n,):
            fail("The out-of-bag predictions have another shape than (n,).")
        voters = (counts == 0).sum(0)
        if not np.array_equal(np.isnan(oob), voters == 0):
            fail("NaN has to stand where every member has seen the row, and nowhere else.")
        share = np.where(counts == 0, truth, 0).sum(0)[voters > 0] / voters[voters > 0]
        if not np.allclose(oob[voters > 0], share, atol=1e-7):
            fail("Some out-of-bag prediction is not the mean over the members that have not seen the row.")


def staged(kind, settings, X, y, X_new, n_members, shrinkage):
    """boosted_stages' result with trees of these settings or linear models, and X and y afterwards."""
    def run(kind, settings, X, y, X_new, n_members, shrinkage):
        make = {"tree": lambda: DecisionTreeRegressor(**settings), "linear": lambda: LinearRegression(fit_intercept=False)}[kind]
        with forbidden(*LIBRARY_ENSEMBLES):
            return np.asarray(boosted_stages(make, X, y, X_new, n_members, shrinkage)), X, y, X_new

    stages, *after = probe(run, kind, settings, X.copy(), y.copy(), X_new.copy(), n_members, shrinkage)
    if not all(np.array_equal(*pair) for pair in zip(after, (X, y, X_new), strict=True)):
        fail("X, y or X_new was modified.")
    if stages.shape != (n_members + 1, len(X_new)):
        fail("The result has another shape than (n_members + 1, k).")
    return stages


@check(points=1, hint="scikit-learn does the same: F_0 is the mean, each tree is fitted to y - F, and F grows by learning_rate times its prediction.")
def boosts_like_sklearn():
    """With trees, all stages are those of GradientBoostingRegressor.staged_predict."""
    for depth, n_members, shrinkage in [(1, 12, 0.1), (2, 6, 0.5), (1, 5, 1.0)]:
        settings = dict(max_depth=depth, min_samples_leaf=8)  # small leaves could be cut off by either column
        X, X_new = np.random.normal(size=(60, 2)), np.random.normal(size=(9, 2))
        y = 2 * np.sin(2 * X[:, 0]) + X[:, 1] + 5 + 0.3 * np.random.normal(size=60)
        stages = staged("tree", settings, X, y, X_new, n_members, shrinkage)
        model = GradientBoostingRegressor(n_estimators=n_members, learning_rate=shrinkage, criterion="squared_error", **settings).fit(X, y)
        if not np.allclose(stages[0], y.mean()):
            fail("Row 0 is not the mean of y.")
        if not np.allclose(stages[1], next(iter(model.staged_predict(X_new))), atol=1e-7):
            fail("The first member's stage is wrong.")
        if not np.allclose(stages[1:], list(model.staged_predict(X_new)), atol=1e-7):
            fail(f"The first stage is right, but a later one is not, with shrinkage {shrinkage}.")


@check(points=1, hint="The residuals are those of what is predicted so far, shrinkage included. Whole numbers in y must not make whole predictions.")
def shrinks_residuals():
    """With linear members, stage t has gone the share 1 - (1 - shrinkage)^t of the way from the mean to least squares."""
    for n_members, shrinkage, whole in [(8, 0.3, False), (5, 0.1, True), (3, 1.0, False), (0, 0.5, True)]:
        X, X_new = np.random.normal(size=(20, 3)), np.random.normal(size=(7, 3))
        y = np.random.randint(-20, 30, 20) if whole else X @ [3.0, -2.0, 1.0] + np.random.normal(size=20) - 4
        if whole:
            y[0] += 1 - y.sum() % 2  # the mean of 20 numbers with an odd sum is no whole number
        stages = staged("linear", {}, X, y, X_new, n_members, shrinkage)
        start = y.mean()
        end = X_new @ np.linalg.lstsq(X, y - start, rcond=None)[0]
        truth = start + (1 - (1 - shrinkage) ** np.arange(n_members + 1))[:, None] * end
        if not np.allclose(stages, truth, atol=1e-7):
            fail("Stages are wrong where y holds whole numbers." if whole else f"Stages are wrong with shrinkage {shrinkage}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Floors, bags and stages
#
# Now with your functions, on the wave. On the left, $s^2$ and $\rho$ come from **five** members of each of
# the 30 ensembles above, point by point, and forecast the variance of averages of up to 20. In the middle,
# one bagged ensemble; on the right, boosted stumps.

# %% tags=["demo", "raises-exception"]
sizes = np.arange(1, 21)
fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.2))
for name, colour in [("deep tree", "C0"), ("stump", "C1")]:
    known = wave_predictions[name]
    measured = [known[:, :size].mean(1).var(0, ddof=1).mean() for size in sizes]
    forecasts = np.array([[forecast_variance(known[:, :5, point], size) for size in sizes] for point in range(0, 60, 3)])
    axes[0].plot(sizes, measured, "o", ms=3.5, color=colour, label=f"{name}s, measured")
    axes[0].plot(sizes, forecasts[:, :, 2].mean(0), "--", color=colour, lw=1.3, label="forecast from 5")
    axes[0].axhline((forecasts[:, 0, 0] * forecasts[:, 0, 1]).mean(), color=colour, ls=":", lw=1)
axes[0].set(title="Variance has a floor (dotted)", xlabel="number of members", ylabel="variance", ylim=(0, 0.2))
axes[0].legend(fontsize=8)

rng = np.random.default_rng(5)
x_wave, y_wave = noisy_wave(200, rng)
x_fresh, y_fresh = noisy_wave(1000, rng)
bagged, _ = fit_bagged(DecisionTreeRegressor, x_wave, y_wave, 60, np.random.default_rng(0))
bagged_sizes = [8, 12, 16, 24, 32, 45, 60]
curves = {"out of bag": [], "test": [], "all vote": []}
for size in bagged_sizes:
    _, oob = fit_bagged(DecisionTreeRegressor, x_wave, y_wave, size, np.random.default_rng(0))
    curves["out of bag"].append(np.nanmean((oob - y_wave) ** 2))
    for name, x_part, y_part in [("test", x_fresh, y_fresh), ("all vote", x_wave, y_wave)]:
        curves[name].append(np.mean((np.mean([member.predict(x_part) for member in bagged[:size]], axis=0) - y_part) ** 2))
for (name, values), style in zip(curves.items(), ("C0-o", "C2-s", "C5--^"), strict=True):
    axes[1].plot(bagged_sizes, values, style, ms=4, lw=1.3, label=name)
axes[1].axhline(0.09, color="0.4", ls=":", lw=1)
axes[1].set(title="Bagging: three estimates", xlabel="number of members", ylabel="mean squared error", ylim=(0, 0.27))
axes[1].legend(fontsize=8, loc="upper right", ncols=2)

x_small, y_small = noisy_wave(60, np.random.default_rng(6))
for shrinkage, colour in [(1.0, "C5"), (0.1, "C0")]:
    stages = boosted_stages(lambda: DecisionTreeRegressor(max_depth=1), x_small, y_small, np.vstack([x_small, x_fresh]), 250, shrinkage)
    axes[2].plot(np.arange(1, 252), np.mean((stages[:, 60:] - y_fresh) ** 2, axis=1), color=colour, label=f"shrinkage {shrinkage}, test")
    axes[2].plot(np.arange(1, 252), np.mean((stages[:, :60] - y_small) ** 2, axis=1), color=colour, ls="--", lw=1.2, label="training")
axes[2].axhline(0.09, color="0.4", ls=":", lw=1)
axes[2].set(title="Boosted stumps", xlabel="1 + number of members", ylabel="mean squared error", xscale="log", ylim=(0, 0.95))
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown]
# And classifiers: eight small networks, trained on the same 200 digits from different random weights. For
# each size, the figure shows the test NLL averaged over eight groups of that many networks.

# %% tags=["demo", "raises-exception"]
from sklearn.datasets import load_digits

pixels, digit = load_digits(return_X_y=True)
order = np.random.default_rng(2).permutation(len(pixels))
pixels, digit = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(digit[order])
torch.manual_seed(0)
weights = [(torch.randn(8, 64, 64) / 8).requires_grad_(), (torch.randn(8, 64, 10) / 8).requires_grad_()]  # eight networks side by side
optimizer = torch.optim.Adam(weights, lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    scores = (pixels[:200] @ weights[0]).relu() @ weights[1]
    F.cross_entropy(scores.flatten(0, 1), digit[:200].repeat(8), reduction="sum").backward()
    optimizer.step()
with torch.no_grad():
    logits = ((pixels[200:] @ weights[0]).relu() @ weights[1]).double().numpy()
true_digit = digit[200:].numpy()


def test_nll(log_probabilities):
    return -log_probabilities[np.arange(len(true_digit)), true_digit].mean()


one_by_one = [test_nll(mean_log_probabilities(logits[[member]])) for member in range(8)]
by_size = {"probabilities averaged": [], "logits averaged": []}
for size in range(1, 9):
    groups = [(first + np.arange(size)) % 8 for first in range(8)]
    by_size["probabilities averaged"].append(np.mean([test_nll(mean_log_probabilities(logits[group])) for group in groups]))
    by_size["logits averaged"].append(np.mean([test_nll(mean_log_probabilities(logits[group].mean(0, keepdims=True))) for group in groups]))
fig, ax = plt.subplots(figsize=(6.5, 3))
ax.plot([1] * 8, one_by_one, "_", color="0.4", ms=12, label="the eight networks")
ax.axhline(np.mean(one_by_one), color="0.4", ls=":", lw=1.2, label="their mean")
for (name, values), style in zip(by_size.items(), ("C0-o", "C1--s"), strict=True):
    ax.plot(range(1, 9), values, style, ms=4, lw=1.3, label=name)
ax.set(title="Test NLL of networks averaged", xlabel="number of networks", ylabel="NLL (nats)")
ax.legend(fontsize=8.5)
plt.show()
votes = logits.argmax(2)
print(f"Test digits that none of the eight names rightly: {np.mean((votes != true_digit).all(0)):.1%}. With votes, the NLL is infinite.")

# %% [markdown]
# Read the left panel first. Five members forecast what twenty do. The members have learnt from the same
# 60 points and share what is wrong with these, so there is a floor, $\rho s^2$, and twenty come near it.
#
# In the middle, the out-of-bag error comes near the test error without a single row to test on. If members
# vote that saw the row, the error seems to be far below the dotted line: the noise, which nobody can predict.
#
# On the right, the very stumps whose average kept its bias **add up** to a wave. With full steps, the
# training error falls fastest, and the test error rises in the end. With shrinkage 0.1 it takes more
# members, and the lowest test error is a little lower.
#
# And the networks: each average beats the mean of its members, as Jensen promised. Here, averaged
# probabilities do better than averaged logits; nothing promises that. So when you read "ensembles solve
# overfitting", ask **which error** is meant. Variance that the members do not share: yes, averaging removes
# it. Shared variance, and bias: no. And a boosted sum needs early stopping itself.

# %% [markdown] nbgrader={"grade": false, "grade_id": "claims_overfitting", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W2.1 Claims about overfitting
#
# > **Difficulty** ★★☆☆ · **40 minutes** · **12 points** · in writing, marked by a person
#
# Each of these sentences circulates in interview guides, and none is right as it stands. Choose **six**. For each, write two or three sentences: what is wrong, what holds instead, and
# **a number or a source** that shows it. Exercises of this chapter supply several of the numbers.
#
# 1. "Large models overfit more easily."
# 2. "Dropout reduces the model's dependence on particular training samples."
# 3. "Regularisation reduces the weight of the parameters, and L2 regularisation is the same as weight decay."
# 4. "L1 regularisation makes weights exactly zero."
# 5. "Cross-validation prevents overfitting."
# 6. "Compressing a model by pruning or quantisation reduces its number of parameters, and so its overfitting."
# 7. "Ensembles such as random forests or gradient boosting solve the overfitting of large models."
# 8. "Flipping and rotating the training images makes a model more robust."
# 9. "Learning several tasks at once improves each of them."
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Two points per claim, six claims. For each claim: 1 point for what is wrong and what holds instead, 1 point for evidence: a number with its meaning, or a source that says it. A seventh claim is not marked.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "claims_overfitting_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# Start each answer with the number of its claim, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, size.** Not in general: test error can fall again beyond the point where the training data is fitted exactly (Belkin et al., arXiv:1812.11118; Nakkiran et al., arXiv:1912.02292). In exercise 2.7 the worst model is the one with
# about as many features as training points, and the largest is among the best. The claim holds for fine-tuning on little data and for many passes.
#
# **2, dropout.** Every sample is still seen by every weight in the long run. What is dropped are units, so that no unit can rely on particular others: it prevents co-adaptation (Srivastava et al., JMLR 15, 2014, abstract).
#
# **3, L2 and decay.** A penalty added to the loss is scaled by Adam's denominator like any gradient, so weights with large gradients are decayed less; decoupled decay shrinks all by the same factor (Loshchilov and Hutter, arXiv:1711.05101). For
# plain SGD the two are the same up to a factor. And the penalty pulls on values; "the weight of parameters" means nothing.
#
# **4, exact zeros.** The *minimiser* has zeros. Gradient descent on $|w|$ steps across zero and back and does not stop there; proximal steps do. In exercise 2.1 the subgradient method has no exact zero where ISTA has several.
#
# **5, cross-validation.** It estimates the error of a procedure, and helps to choose between procedures. The model is as overfitted as before. It even misleads if a step that has seen the labels happens outside the folds: with 2,000 random
# features and random labels, exercise 2.5 shows an accuracy far above one half that is not there.
#
# **6, compression.** Pruning removes parameters (if structure is removed and not only masked). Quantising keeps their number and stores each in fewer bits: `weight_bytes` of chapter 1 has the count as a factor. Either may act as a restraint; it is not what
# they are for.
#
# **7, ensembles.** Averaging reduces variance and leaves the bias of its members; exercise 2.9 measures both. Trees on tables do not cure a deep network on text, and boosting goes on fitting its training data and can overfit; it is stopped early for that.
#
# **8, flips.** Only if the label survives. A 6 turned by 180 degrees is a 9; a mirrored 2 is no digit; swapping words changes a sentence's meaning. An augmentation says "these two inputs have the same label", and must be true.
#
# **9, several tasks.** If the tasks are related, sharing helps; if not, they compete for the shared part. Exercise 2.8 shows both: with one shared unit, related tasks gain over separate models, and unrelated ones lose several times over.
# ### END SOLUTION

# %% [markdown] nbgrader={"grade": false, "grade_id": "four_runs", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W2.2 Four runs
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **12 points** · in writing, marked by a person
#
# The figure below shows four real training runs on digits, A to D, as recorded (the code that made them would give the answers away; it stands in the solved notebook). One learns its training data by heart, one is too small or trained too little, one is trained with too large a step, and in one the validation set is not what its
# owner thinks it is. **For each run**, say which it is and what in the curves shows it; name **two measures in the order in which you would try them**, cheapest first, with what each costs; and say which further number or plot would
# confirm your diagnosis before you spend that.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Three points per run: 1 diagnosis with the evidence in the curves; 1 two measures that fit, ordered by cost with a reason; 1 a confirmation that could also refute the diagnosis.
# ### END MARK SCHEME

# %% tags=["demo"]
epochs = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 36, 40, 44, 48, 52, 56, 60]
recorded = {  # training and validation loss after some of 60 epochs
    "A": (
        [2, 1.4, 0.989, 0.86, 0.795, 0.75, 0.655, 0.575, 0.532, 0.473, 0.449, 0.406, 0.357, 0.294, 0.244, 0.223, 0.169, 0.169, 0.119, 0.093, 0.0707, 0.0577, 0.0511, 0.0441],
        [2.18, 1.59, 1.29, 1.28, 1.27, 1.32, 1.32, 1.27, 1.26, 1.27, 1.31, 1.33, 1.36, 1.41, 1.48, 1.55, 1.59, 1.74, 1.76, 1.78, 1.86, 1.91, 1.96, 2.01],
    ),
    "B": (
        [2.33, 2.32, 2.3, 2.28, 2.27, 2.25, 2.2, 2.16, 2.11, 2.05, 1.99, 1.94, 1.89, 1.82, 1.76, 1.71, 1.67, 1.62, 1.57, 1.52, 1.48, 1.45, 1.41, 1.38],
        [2.32, 2.31, 2.29, 2.28, 2.26, 2.24, 2.2, 2.15, 2.1, 2.04, 1.99, 1.93, 1.89, 1.82, 1.77, 1.72, 1.67, 1.62, 1.58, 1.53, 1.49, 1.46, 1.42, 1.39],
    ),
    "C": (
        [1.97, 1.41, 0.997, 0.87, 0.865, 0.765, 0.622, 0.551, 0.504, 0.46, 0.409, 0.397, 0.347, 0.265, 0.229, 0.183, 0.157, 0.118, 0.0916, 0.0728, 0.064, 0.0484, 0.0427, 0.0373],
        [1.97, 1.41, 0.999, 0.872, 0.868, 0.768, 0.625, 0.553, 0.506, 0.461, 0.411, 0.399, 0.35, 0.267, 0.231, 0.187, 0.159, 0.121, 0.0946, 0.0753, 0.0674, 0.0515, 0.0451, 0.0402],
    ),
    "D": (
        [0.889, 0.691, 0.963, 0.577, 0.85, 0.943, 0.627, 0.745, 0.954, 0.737, 0.7, 0.744, 0.763, 0.62, 0.659, 0.624, 0.701, 0.732, 0.7, 0.973, 1.15, 1.14, 1.11, 1.12],
        [0.851, 0.857, 0.967, 0.687, 0.894, 1.02, 0.741, 0.946, 1.14, 0.888, 0.892, 1.05, 1.1, 0.835, 0.814, 0.787, 0.845, 0.941, 0.941, 1.17, 1.46, 1.41, 1.29, 1.32],
    ),
}
fig, axes = plt.subplots(1, 4, figsize=(9.6, 2.6), sharey=True)
for ax, (name, (training, validation)) in zip(axes, recorded.items(), strict=True):
    ax.plot(epochs, training, label="training")
    ax.plot(epochs, validation, "--", label="validation")
    ax.set(title=f"run {name}", xlabel="epoch", yscale="log", ylim=(5e-3, 6))
axes[0].set_ylabel("cross-entropy (nats)")
axes[0].legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown] nbgrader={"grade": true, "grade_id": "four_runs_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **A** is overfitted: the training loss goes towards zero while the validation loss turns and rises. First stop earlier, at the minimum of the validation loss: free, one more number to store. Then weight decay or dropout: a few runs. Then more data or
# augmentation, which costs labels or care. *Confirm*: train on half of the data; if A is right, the gap grows. Also read some training images with large early loss: wrong labels are learnt by heart, too.
#
# **B** is underfitted, too small and trained too little: both losses are high, close together, and still falling. First train longer or with a larger rate: one run. Then a wider network: some runs. Regularisation would make it worse. *Confirm*: can it fit 50 images? If not even that, the network or
# the code is at fault, not the time.
#
# **C** looks too good: the validation loss follows the training loss down, although the training loss of run A's kind of network cannot fall that far by generalising, with labels that are partly wrong. The validation images are near-copies of training
# images: a leak. First look for the nearest training image of each validation image: minutes. Then split again by source and repeat the run. *Confirm*: the loss on data from elsewhere, or on a new split. No regularisation will help, for the measurement is broken.
#
# **D** has too large a step: losses jump and stay on a high level, on training data, too, so it is not overfitting. First divide the rate by ten, or warm up and decay it: one run. Then clip gradients. *Confirm*: the same run with a smaller rate falls smoothly; the norm
# of the gradient jumps where the loss does.
#
# The runs were made by
#
# ```python
# from sklearn.datasets import load_digits
#
#
# def run_digits(n_train, width, rate, epochs, seed, copies=False, noise=0.0):
#     """Losses per epoch on training and validation data of a small network on digits."""
#     torch.manual_seed(seed)
#     pixels, digits = load_digits(return_X_y=True)
#     order = torch.randperm(len(pixels))
#     x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(digits)[order]
#     wrong = torch.rand(len(y)) < noise  # labels that somebody got wrong
#     y[wrong] = torch.randint(10, (int(wrong.sum()),))
#     x_train, y_train, x_val, y_val = x[:n_train], y[:n_train], x[-500:], y[-500:]
#     if copies:  # near-duplicates on both sides of the split
#         x_val, y_val = x[:300] + 0.02 * torch.randn(300, 64), y[:300]
#     net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
#     optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
#     losses = [], []
#     for _ in range(epochs):
#         for batch in torch.randperm(n_train).split(50):
#             optimizer.zero_grad()
#             F.cross_entropy(net(x_train[batch]), y_train[batch]).backward()
#             optimizer.step()
#         with torch.no_grad():
#             losses[0].append(F.cross_entropy(net(x_train), y_train).item())
#             losses[1].append(F.cross_entropy(net(x_val), y_val).item())
#     return losses
#
#
# runs = {
#     "A": run_digits(300, 512, 0.1, 60, seed=0, noise=0.15),
#     "B": run_digits(1200, 5, 0.003, 60, seed=1),
#     "C": run_digits(300, 512, 0.1, 60, seed=2, copies=True, noise=0.15),
#     "D": run_digits(1200, 64, 0.9, 60, seed=0),
# }
# ```
# ### END SOLUTION

# %% [markdown]
# ## What you can do now
#
# - Say what overfitting is and is not, and read bias and variance off a set of fits.
# - Fit an elastic net with proximal steps, and explain why plain gradient steps find no exact zeros.
# - Write AdamW with parameter groups, and say where it differs from Adam with an L2 penalty.
# - Write dropout in two frameworks and test it by its statistics.
# - Stop training at the right epoch and give back the right weights.
# - Cross-validate without leaks, and recognise a leak by a result that is too good.
# - Augment without changing labels; mix inputs and labels.
# - Produce double descent, and remove its peak with a ridge.
# - Share a trunk between tasks, and tell transfer from interference.
# - Say what an ensemble averages away, and what it does not.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_overfitting", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook.
#
# 1. The training loss falls, the validation loss rises. Which three things do you try, in which order, and why?
# 2. Why does L1 give exact zeros, and why does your framework's optimiser not find them?
# 3. L2 regularisation and weight decay: the same? With which optimiser does it matter?
# 4. Why is dropout scaled by $1/(1-p)$ during training, and what changes at test time?
# 5. Early stopping restored the wrong weights. What is the likeliest bug?
# 6. A colleague selects the 50 best of 20,000 genes and then cross-validates a classifier: 95 %. What do you ask?
# 7. Which augmentations would you refuse for digits, for X-ray images, for text?
# 8. The test error has a peak where features equal samples. Explain it without the word overfitting.
# 9. Does averaging ten networks cure overfitting?
# 10. Two tasks share a trunk and one gets worse. How do you find out why, and what can be done?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. Check for leaks and a wrong split; stop at the minimum (free); more or augmented data; then decay or dropout; a smaller model last. Order by cost, and change one thing at a time.
# 2. The penalty has a kink at zero, so zero is a minimiser as long as the slope of the loss there is smaller than the penalty's. Subgradient steps overshoot the kink; a proximal step lands on it.
# 3. The same for plain SGD, up to a factor. With Adam a penalty's gradient is divided by the root of the second moment, so weights with large gradients are hardly decayed; AdamW decays all alike.
# 4. So that the expected activation is the same with and without dropout; then nothing has to change at test time, where every unit is kept.
# 5. A state dict holds references: the "best" weights went on training. Copy the tensors.
# 6. Whether the selection saw the labels of the test folds. On random labels the same procedure gives far more than chance; selection belongs into each fold.
# 7. Those that change the label: turning digits by 180 degrees, mirroring an X-ray (the heart is on the left), exchanging or dropping words such as "not".
# 8. There, exactly one function of the family fits all the training points, and its coefficients are huge because the smallest singular value of the design is near zero; noise is divided by it. With more parameters many functions fit, and
#    least squares picks the smallest.
# 9. It reduces the variance part of the error, most if the members disagree. What all of them get wrong stays.
# 10. Train each alone as the baseline; compare the angle between the tasks' gradients on the trunk. Then weight the losses, give each task more of its own layers, project conflicting gradients, or separate the tasks.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# What is said, what is true, and where it was shown: the table stands in the solved notebook, because it answers W2.1.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "Large models overfit more easily." | Test error can fall again beyond the interpolation point. It can hold close to that point, and for many passes over the same data. | 2.0, 2.7 |
# | "Dropout reduces dependence on training samples." | It prevents co-adaptation of units. | 2.3 |
# | "L2 regularisation is weight decay." | Only for plain gradient descent. | 2.2 |
# | "L1 makes weights zero." | Its minimiser has zeros if the penalty is large enough; gradient steps do not get there. | 2.1 |
# | "Cross-validation prevents overfitting." | It estimates and selects, and leaks if preprocessing stands outside the folds. | 2.5 |
# | "Quantisation reduces parameters." | It keeps the count and lowers the bits. | W2.1 |
# | "Ensembles solve overfitting." | Averages reduce variance, not bias; boosting can overfit. | 2.9 |
# | "Flip and rotate for robustness." | Only what keeps the label. | 2.6 |
# | "Learning tasks together improves each." | Related ones, given a trunk with room for what they do not share; others interfere. | 2.8 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Hastie, Tibshirani, Friedman, *The Elements of Statistical Learning*, 2nd edition, Springer 2009: chapters 3, 7 and 15.
# - Beck and Teboulle, *A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems*, SIAM J. Imaging Sciences 2, 2009.
# - Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, arXiv:1711.05101.
# - Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 15, 2014.
# - Zhang et al., *mixup: Beyond Empirical Risk Minimization*, arXiv:1710.09412.
# - Belkin et al., *Reconciling modern machine-learning practice and the classical bias-variance trade-off*, arXiv:1812.11118; Nakkiran et al., *Deep Double
#   Descent: Where Bigger Models and More Data Hurt*, arXiv:1912.02292.
# - Yu et al., *Gradient Surgery for Multi-Task Learning*, arXiv:2001.06782.
# - Lakshminarayanan et al., *Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles*, arXiv:1612.01474.
