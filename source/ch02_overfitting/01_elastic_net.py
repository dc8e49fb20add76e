# %% [markdown]
# ## 2.1 Elastic net
#
# **Regularisation** makes the fit pay for large weights. Which penalties switch weights **off**, and which algorithms do it?
#
# ### Squares and absolute values
#
# For a linear model with weights $w \in \mathbb R^p$ and an intercept $b$, the **elastic net** (Zou and Hastie, JRSS B 67(2), 2005) mixes two penalties. As scikit-learn scales the terms,
#
# $$F(w, b) = \frac{1}{2n} \sum_{i=1}^n (y_i - x_i^\top w - b)^2
#   + \alpha \Big( \rho\, \|w\|_1 + \frac{1 - \rho}{2}\, \|w\|_2^2 \Big).$$
#
# $\alpha$ is the penalty's strength and $\rho$ (`l1_ratio`) the share of absolute values: $\rho = 0$ is **ridge** regression, $\rho = 1$ the **lasso** (Tibshirani, JRSS B 58(1), 1996). The intercept is **not penalised**: 100 added to every $y_i$ should add 100 to every prediction, and do nothing else.
#
# This minimises the loss while the penalty stays within some budget. The figure (after *The Elements of Statistical Learning*, figure 3.11) shows in blue what the budget allows, in orange
# lines of equal loss, and a dot where they touch. **Predict:** in which panels will a weight be exactly zero?

# %% tags=["demo"]
def draw_budgets(best=(0.3, 1.5), shares=(0.0, 0.5, 1.0)):
    """For each share of absolute values: the weights within the budget, and the one of least loss among them."""
    hessian = np.array([[1.0, 0.45], [0.45, 0.9]])
    w1, w2 = np.meshgrid(np.linspace(-1.3, 2.1, 200), np.linspace(-1.3, 2.1, 200))

    def quadratic_loss(w1, w2):
        d1, d2 = w1 - best[0], w2 - best[1]
        return 0.5 * (hessian[0, 0] * d1**2 + 2 * hessian[0, 1] * d1 * d2 + hessian[1, 1] * d2**2)

    angles = np.linspace(0, 2 * np.pi, 7201)
    direction = np.stack([np.cos(angles), np.sin(angles)])
    _, axes = plt.subplots(1, len(shares), figsize=(3.1 * len(shares), 3.6))
    for ax, share in zip(axes, shares, strict=True):
        # Along a ray, the penalty at distance r is a r² + c r; the budget is what it is at (0.8, 0).
        a, c = (1 - share) / 2, share * np.abs(direction).sum(0)
        budget = a * 0.8**2 + share * 0.8
        radius = (-c + np.sqrt(c**2 + 4 * a * budget)) / (2 * a) if share < 1 else budget / c
        edge = radius * direction
        losses = quadratic_loss(*edge)
        touch = edge[:, losses.argmin()]
        ax.contour(w1, w2, quadratic_loss(w1, w2), levels=sorted({0.06, losses.min(), 0.9, 2.0}), colors="C1", linewidths=1.1)
        ax.fill(*edge, color="C0", alpha=0.25, lw=0)
        ax.plot(*edge, color="C0", lw=1.5)
        ax.plot(*best, "+", color="C1", ms=9, mew=2)
        ax.plot(*touch, "o", color="black", ms=6)
        ax.axhline(0, color="0.5", lw=0.8)
        ax.axvline(0, color="0.5", lw=0.8)
        ax.set(title=f"$\\rho = {share:g}$", xlabel="$w_1$", aspect="equal", xlim=(-1.3, 2.1), ylim=(-1.3, 2.1))
        ax.text(0.97, 0.03, f"dot: ({touch[0] + 0:.2f}, {touch[1] + 0:.2f})", transform=ax.transAxes, ha="right", va="bottom", fontsize=9)
    axes[0].set_ylabel("$w_2$")
    axes[0].text(best[0] + 0.12, best[1], "least squares", fontsize=8, color="0.2", va="center")
    plt.show()


draw_budgets()

# %% [markdown]
# Here only with $\rho = 1$. Absolute values make **corners** on the axes, and a sharp corner is easily touched first. With $\rho = 0.5$ there are corners, too, but blunter ones; the dot lies beside one.
#
# ### Why a gradient does not find zeros
#
# "Add `alpha * w.abs().sum()` to the loss, and SGD makes unimportant weights zero." It makes them *small*. Take one weight and
#
# $$\tfrac12 (w - a)^2 + \lambda |w| \qquad\text{with } 0 < |a| < \lambda .$$
#
# The minimum is exactly at $w = 0$. But $|w|$ pulls with $\pm\lambda$ however small $w$ is. So a step down the
# **subgradient** $w - a + \lambda\,\mathrm{sign}(w)$ jumps across zero, and back.
#
# The minimum itself is the **soft threshold**:
#
# $$\arg\min_w\; \tfrac12 (w - a)^2 + \lambda |w| = S(a, \lambda) = \begin{cases} a - \lambda & a > \lambda \\ 0 & |a| \le \lambda \\ a + \lambda & a < -\lambda \end{cases}$$

# %% tags=["demo"]
def draw_soft_threshold(a=0.4, lam=0.7, step=0.3, start=1.2):
    fixed, slowing, proximal = [start], [start], [start]
    for k in range(1, 25):
        fixed.append(fixed[-1] - step * (fixed[-1] - a + lam * np.sign(fixed[-1])))
        slowing.append(slowing[-1] - step / math.sqrt(k) * (slowing[-1] - a + lam * np.sign(slowing[-1])))
        moved = proximal[-1] - step * (proximal[-1] - a)
        proximal.append(max(abs(moved) - step * lam, 0) * np.sign(moved))
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
    line = np.linspace(-2, 2, 401)
    axes[0].plot(line, line, ":", color="0.5", label="no penalty")
    axes[0].plot(line, line / (1 + lam), "--", color="C1", label="squares: $a / (1 + \\lambda)$")
    axes[0].plot(line, np.sign(line) * np.maximum(np.abs(line) - lam, 0), color="C0", label="absolute value: $S(a, \\lambda)$")
    axes[0].set(xlabel="$a$, the best weight without a penalty", ylabel="best weight with the penalty", title=f"One weight, $\\lambda = {lam}$")
    axes[0].legend(fontsize=8.5)
    for values, label, marker, colour in [
        (fixed, "subgradient, fixed step", "s", "C1"),
        (slowing, "subgradient, step $\\propto 1/\\sqrt{k}$", "^", "C3"),
        (proximal, "gradient, then $S$", "o", "C0"),
    ]:
        axes[1].plot(values, marker + "-", ms=4, lw=1.2, color=colour, label=label)
    axes[1].axhline(0, color="0.4", lw=0.8)
    axes[1].set(xlabel="step $k$", ylabel="$w$", title=f"Three ways to go, for $a = {a}$")
    axes[1].legend(fontsize=8.5)
    plt.show()
    print(f"after 24 steps: {fixed[-1]:.3f} (fixed), {slowing[-1]:.3f} (slowing down), {proximal[-1]:g} (soft threshold)")


draw_soft_threshold()

# %% [markdown]
# ### Proximal gradient
#
# The best intercept is $b = \bar y - \bar x^\top w$, with the means
# $\bar y$ of the targets and $\bar x$ of the columns of $X$. With it, $F$ is
#
# $$F(w) = \underbrace{\frac{1}{2n} \big\|(y - \bar y) - (X - \mathbf 1 \bar x^\top)\, w\big\|_2^2 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2}_{f(w),\ \text{smooth}}
#   + \alpha \rho\, \|w\|_1 .$$
#
# The gradient of $f$ is Lipschitz: $\|\nabla f(v) - \nabla f(w)\| \le L\, \|v - w\|$. So $F$ lies below a parabola plus the penalty:
#
# $$F(v) \le f(w) + \nabla f(w)^\top (v - w) + \frac L2 \|v - w\|_2^2 + \alpha \rho\, \|v\|_1 .$$
#
# On the right-hand side, nothing couples the weights, and the minimum is a soft threshold for each:
#
# $$w_{k+1} = S\Big( w_k - \tfrac1L \nabla f(w_k),\ \tfrac{\alpha \rho}{L} \Big).$$
#
# This is **ISTA**
# (iterative shrinkage-thresholding; Daubechies, Defrise and De Mol, arXiv:math/0307152). No step increases $F$, and after $k$ steps at most $L \|w_0 - w^*\|^2 / 2k$ is missing (Beck and
# Teboulle, 2009, theorem 3.1).
#
# At a minimum, zero is a subgradient of $F$ (the Karush-Kuhn-Tucker, KKT, conditions):
#
# $$-\frac{\partial f}{\partial w_j} = \alpha \rho\, \mathrm{sign}(w_j) \ \text{ where } w_j \neq 0, \qquad
#   \Big|\frac{\partial f}{\partial w_j}\Big| \le \alpha \rho \ \text{ where } w_j = 0.$$
#
# So all weights are zero as soon as $\alpha\rho \ge \max_j |\partial f/\partial w_j|$ at $w = 0$.

# %% [markdown]
# ### Exercise 2.1 · Elastic net by proximal gradient
#
# > **Difficulty** ★★☆☆ · **45 minutes** · **10 points** · PyTorch
#
# **Write** four functions: the soft threshold, the objective $F(w, b)$, the constant $L$, and ISTA.
#
# The hidden checks refuse torch's own soft threshold, `F.softshrink`, also if imported under a different name. All
# tensors of one call, and its results, have the same type, 32 or 64 bits.
#
# <details><summary>Hint 1: three cases without an if</summary>
#
# The sign of an entry, times what is left of its absolute value: `clamp`.
# </details>
#
# <details><summary>Hint 2: the intercept</summary>
#
# Centre copies of `X` and `y` (`X -= X.mean(0)` would change the caller's data), and compute the intercept at the end.
# </details>
#
# <details><summary>Hint 3: the constant</summary>
#
# The smallest $L$ is the largest eigenvalue of the Hessian of $f$. The eigenvalues of $A^\top A$ are the squares of the singular values
# of $A$, and `torch.linalg.matrix_norm(A, 2)` is the largest singular value.
# </details>

# %% nbgrader={"grade": false, "grade_id": "elastic_net", "locked": false, "schema_version": 3, "solution": true, "task": false}
def soft_threshold(x: torch.Tensor, threshold: float) -> torch.Tensor:
    """Moves every entry of x towards zero by the threshold; what is no further than that from zero
    becomes exactly zero.

    Args:
        x: of any shape; not modified.
        threshold: at least 0.

    Returns:
        A new tensor of the shape and type of x.

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
        A tensor without axes. Autograd can differentiate it with respect to w and b, also where
        weights are zero; there, any subgradient of the absolute value will do.

    >>> elastic_net_objective(torch.eye(2), torch.zeros(2), torch.tensor([1.0, -2.0]), torch.tensor(0.0), 1.0, 1.0)
    tensor(4.2500)
    """
    ### BEGIN SOLUTION
    residual = y - X @ w - b
    penalty = l1_ratio * w.abs().sum() + (1 - l1_ratio) / 2 * w.square().sum()
    return residual.square().mean() / 2 + alpha * penalty
    ### END SOLUTION


def lipschitz_constant(X: torch.Tensor, alpha: float, l1_ratio: float) -> float:
    """The smallest L for which the gradient of the smooth part f is Lipschitz.

    It is exact but for rounding: to six digits in 64 bits, to four in 32, also where the two
    largest eigenvalues are close together.

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


@check(points=0.5, hint="Centre a copy of X. Squares are averaged over the samples, and the penalty on squares has a curvature of its own.")
def finds_the_constant_by_hand():
    """For two columns that are uncorrelated, L is the larger variance, plus what the squares' penalty adds."""
    X = torch.tensor([[6.0, 5.0], [6.0, 3.0], [2.0, 5.0], [2.0, 3.0]], dtype=torch.float64)  # the variances are 4 and 1
    for alpha, l1_ratio, truth in [(0.0, 0.5, 4.0), (2.0, 1.0, 4.0), (2.0, 0.25, 5.5)]:
        L = float(lipschitz_constant(X.clone(), alpha, l1_ratio))
        assert math.isclose(L, truth, rel_tol=1e-6), f"with alpha={alpha}, l1_ratio={l1_ratio}: L is {L:g} instead of {truth:g}"


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


def with_outlier(dtype):
    """A column whose mean is so large that subtracting and adding it changes small entries."""
    return torch.tensor([[0.1, 1.0], [0.3, 2.0], [300.0, 4.0]], dtype=dtype)


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
            for threshold in (0.0, 0.7, 5.0):  # 0.7 has no exact float32
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

    def slopes_at(X, y, weights):
        found = []
        for w in weights:
            w.requires_grad_()
            value = elastic_net_objective(X, y, w, torch.zeros((), dtype=torch.float64), 0.7, 0.4)
            value.backward()
            found.append((float(value.detach()), w.grad))
        return found

    X, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    weights = [torch.zeros(3, dtype=torch.float64), torch.tensor([1.5, 0.0, -2.0], dtype=torch.float64)]
    for w, (value, slope) in zip(weights, probe(slopes_at, X, y, [w.clone() for w in weights]), strict=True):
        truth = float((y - X @ w).square().mean() / 2 + 0.7 * (0.4 * w.abs().sum() + 0.3 * w.square().sum()))
        if not math.isclose(value, truth, rel_tol=1e-9):
            fail("The value is wrong where weights are zero.")
        rest = (slope - X.T @ (X @ w - y) / 6 - 0.7 * 0.6 * w) / (0.7 * 0.4)
        if not rest.abs().max() <= 1 + 1e-7:
            fail("Where a weight is zero, the gradient is none of the objective's subgradients, or NaN.")


@check(points=0.5, hint="The largest eigenvalue of the Hessian of f: centred columns, squares averaged, and the penalty's own curvature.")
def finds_the_smallest_constant():
    """L is the largest eigenvalue of the columns' covariance matrix, plus the curvature of the penalty on squares."""
    def run(X, alpha, l1_ratio):
        return float(lipschitz_constant(X, alpha, l1_ratio)), X

    def with_variances(*sizes, equal_signs=False):
        """Columns whose covariance matrix has these eigenvalues; the first eigenvector is random, or sums to zero."""
        p = len(sizes)
        centred = torch.randn(p + 6, p, dtype=torch.float64)
        left = torch.linalg.qr(centred - centred.mean(0))[0] * (p + 6) ** 0.5
        first = torch.tensor([1.0, -1.0] + [0.0] * (p - 2)) if equal_signs else torch.randn(p)
        right = torch.linalg.qr(torch.column_stack([first.double(), torch.randn(p, p - 1, dtype=torch.float64)]))[0]
        return left * torch.tensor(sizes, dtype=torch.float64).sqrt() @ right.T + 2

    shapes = [(9, 4), (9, 4), (5, 8), (6, 1), (40, 3)]
    inputs = [torch.randn(n, p, dtype=torch.float64) * torch.linspace(0.5, 2, p, dtype=torch.float64) + 3 for n, p in shapes]
    inputs += [with_variances(3.0, 3.0 * (1 - gap), 1.0) for gap in (0.1, 0.01, 1e-3, 1e-4, 1e-5)]
    inputs += [with_variances(3.0, 1.0, equal_signs=True), with_variances(3.0, 1.0, 0.5, equal_signs=True), with_outlier(torch.float64)]
    for X in inputs:
        n, p = X.shape
        curvature = np.linalg.eigvalsh(np.atleast_2d(np.cov(X.T.numpy(), bias=True))).max()
        for alpha, l1_ratio in [(0.0, 0.5), (2.0, 1.0), (2.0, 0.25)]:
            found, after = probe(run, X.clone(), alpha, l1_ratio)
            if not torch.equal(after, X):
                fail("X was modified.")
            truth = curvature + alpha * (1 - l1_ratio)
            if not math.isclose(found, truth, rel_tol=1e-6):
                reason = "larger than necessary: steps of 1/L are too short" if found > truth else "too small: steps of 1/L may diverge"
                fail(f"L is {reason} ({n} samples, {p} columns, " + (f"alpha={alpha:g}, l1_ratio={l1_ratio:g})." if alpha else "no penalty)."))
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    found, _ = probe(run, (3000 + signs * torch.tensor([0.5, 0.25])).float(), 0.0, 0.5)  # variances 1/4 and 1/16, all exact in 32 bits
    if not math.isclose(found, 0.25, rel_tol=1e-4):
        fail("In 32 bits, L is wrong for columns of large means: subtract them first, and square afterwards.")


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
    tiny = 2.0**-30  # without squares in the penalty, everything scales with the targets
    ((w, _), *_), _ = fitted(X, y, (0.3, 1.0, 3))
    ((v, _), *_), _ = fitted(X, tiny * y, (tiny * 0.3, 1.0, 3))
    if not torch.allclose(v / tiny, w, rtol=1e-5, atol=1e-7):
        fail("With tiny targets, other steps are taken than with large ones: is there an absolute bound somewhere?")


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
        outlier = with_outlier(dtype), with_outlier(dtype)[:, 1]
        _, also = fitted(*outlier, (0.4, 0.5, 1))
        if any(not torch.equal(a, b) for a, b in zip([*after, *also], [*shifted, *outlier], strict=True)):
            fail("X or y was modified. (Adding the means again does not restore it: there are rounding errors.)")
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
# The data (Efron et al., arXiv:math/0406456): ten measurements of 442 patients (`s1` to
# `s6` are blood values) and a score of how the disease went on.

# %% tags=["demo", "raises-exception"]
def scaled_diabetes():
    """Columns of mean zero and variance one, scores, names, and the smallest alpha for which the lasso uses nothing."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    X, y = torch.tensor(data.data), torch.tensor(data.target)
    X = (X - X.mean(0)) / X.std(0, correction=0)
    return X, y, data.feature_names, float((X.T @ (y - y.mean())).abs().max()) / len(y)


def draw_paths(ratios=(1.0, 0.5)):
    X, y, names, alpha_max = scaled_diabetes()
    paths = {}
    for l1_ratio in ratios:
        alphas = alpha_max / l1_ratio * np.logspace(0, -2.1, 18)
        paths[l1_ratio] = alphas, torch.stack([fit_elastic_net(X, y, alpha, l1_ratio, steps=300)[0] for alpha in alphas])
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
    for ax, (l1_ratio, (alphas, path)) in zip(axes, paths.items(), strict=True):
        for j, name in enumerate(names):
            ax.plot(alphas, path[:, j], color=f"C{j % 6}", ls="-" if j < 6 else "--", lw=1.4, label=name)
        ax.axhline(0, color="0.5", lw=0.8)
        ax.set(xscale="log", xlabel="strength $\\alpha$ of the penalty", title=f"$\\rho = {l1_ratio:g}$", ylim=(-20, 33))
        ax.invert_xaxis()
        for place in (3, 7, 11, 15):
            ax.text(alphas[place], 0.99, f"{(path[place] != 0).sum()} used", transform=ax.get_xaxis_transform(), fontsize=8, ha="center", va="top", color="0.35")
    axes[0].set_ylabel("weight (score per standard deviation)")
    axes[1].legend(fontsize=8.5, ncols=1, loc="center left", bbox_to_anchor=(1, 0.5))
    plt.show()
    print(f"correlation of s1 and s2: {np.corrcoef(X.T)[4, 5]:.2f}")


try:
    draw_paths()
except NotImplementedError:
    print("This figure needs your functions of exercise 2.1.")

# %% [markdown]
# From left to right, the penalty gets weaker. The blood
# values `s1` and `s2` say much the same, and the lasso uses `s1` alone. With squares in the penalty, both are used.
#
# ### Who finds the zeros?
#
# Three methods start from the same random weights: SGD and Adam on your lasso objective, with the gradient of all patients, and
# your soft threshold after each gradient step.

# %% tags=["demo", "raises-exception"]
def draw_zeros(share=0.1, rounds=300):
    """The lasso at this share of the largest alpha that matters."""
    X, y, names, alpha_max = scaled_diabetes()
    alpha = share * alpha_max
    step = 1 / lipschitz_constant(X, alpha, 1.0)
    start = 10 * torch.randn(10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    histories = {}
    for name in ("SGD", "Adam"):
        w, b = start.clone().requires_grad_(), y.mean()
        optimizer = torch.optim.SGD([w], lr=step) if name == "SGD" else torch.optim.Adam([w], lr=0.3)
        history = []
        for _ in range(rounds):
            optimizer.zero_grad()
            elastic_net_objective(X, y, w, b, alpha, 1.0).backward()
            optimizer.step()
            history.append(w.detach().clone())
        histories[name] = torch.stack(history)
    w, history = start.clone(), []
    for _ in range(rounds):
        w = soft_threshold(w - step * X.T @ (X @ w - y) / len(y), step * alpha)
        history.append(w)
    histories["soft threshold"] = torch.stack(history)
    solution, _ = fit_elastic_net(X, y, alpha, 1.0, steps=500)
    unused = int((solution == 0).nonzero()[0])

    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.3))
    for (name, history), style in zip(histories.items(), ("C1-", "C3--", "C0-"), strict=True):
        axes[0].plot(range(1, rounds + 1), (history == 0).sum(1), style, label=name, lw=2 if name != "Adam" else 1.5)
        axes[1].plot(range(1, rounds + 1), history[:, unused].abs().clamp(min=1e-9), style, lw=0.7)
    axes[0].axhline((solution == 0).sum(), color="0.4", ls=":", lw=1)
    axes[0].text(rounds, float((solution == 0).sum()) + 0.12, "at the minimum", fontsize=8, ha="right", color="0.3")
    axes[0].set(xlabel="step", ylabel="weights that are exactly 0", title="Zeros", ylim=(-0.3, 6.5))
    axes[0].legend(fontsize=8.5, loc="center right")
    axes[1].text(20, 3e-5, "soft threshold: exactly 0", fontsize=8.5, color="C0")
    axes[1].set(xlabel="step", ylabel="absolute value", yscale="log", title=f"A weight to switch off ({names[unused]})", ylim=(1e-5, 100))
    slope = X.T @ (X @ solution - y + y.mean()) / len(y)
    axes[2].plot([-30, 0, 0, 30], [-1, -1, 1, 1], color="C0", lw=5, alpha=0.3)
    axes[2].plot(solution, -slope / alpha, "o", color="black", ms=4.5)
    axes[2].set(xlabel="weight $w_j$", ylabel="$-\\partial f / \\partial w_j$, in units of $\\alpha\\rho$", title="Ten KKT conditions")
    plt.show()
    for name, history in histories.items():
        print(f"{name}: {int((history[-1] == 0).sum())} weights of 10 are exactly zero")


try:
    draw_zeros()
except NotImplementedError:
    print("This figure needs your functions of exercise 2.1.")

# %% [markdown]
# Neither optimizer has a zero; the soft threshold has all five. Each black dot on the right has to lie on the blue curve, the subgradients of $\alpha\rho|w|$.
#
# So "L1 regularisation makes weights zero" is true of the *minimum*. After SGD or Adam, somebody has to cut small weights off.
#
# **Change, predict, run.** What will `draw_zeros(share=0.01)` show: more zeros at the minimum, or fewer? Does Adam find one?
#
# <details><summary>What you should see</summary>
#
# Fewer: two. A weaker penalty switches less off. Adam and SGD have none again.
# </details>
