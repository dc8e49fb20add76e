# %% [markdown]
# ## 5.3 A Gaussian process
#
# You have trained with three learning rates. What would a fourth give? A curve through three points is one answer. A better one also says how far it may be wrong: that decides where to measure next.
#
# It needs no formula. Invent a hundred thousand functions, and keep those that agree with the measurements. **Predict:** where will the ones that are left differ most?

# %% nbgrader={"grade": false, "grade_id": "setup_gaussian_process", "locked": true, "schema_version": 3, "solution": false, "task": false}
import scipy.linalg
import scipy.special


def rbf(length: float, variance: float = 1.0):
    """The squared-exponential kernel: a function of points A (a, d) and B (b, d) that returns the covariances (a, b)."""
    def kernel(A: np.ndarray, B: np.ndarray) -> np.ndarray:
        squares = ((A[:, None] - B[None]) ** 2).sum(-1)
        return variance * np.exp(-squares / (2 * length**2))

    return kernel


# %% tags=["demo"]
def surviving_functions(X, y, noise, length=0.2, n_drawn=100_000):
    """A grid of 61 points, functions drawn on it, and which survive: f is kept with probability exp(-Σ (y - f(X))² / (2 noise))."""
    grid, rng = np.linspace(0, 1, 61), np.random.default_rng(0)
    covariance = rbf(length)(grid[:, None], grid[:, None])
    drawn = rng.standard_normal((n_drawn, 61)) @ np.linalg.cholesky(covariance + 1e-10 * np.eye(61)).T
    nearest = np.abs(grid - np.array(X)[:, None]).argmin(1)
    distance = ((drawn[:, nearest] - np.array(y)) ** 2).sum(1)
    return grid, drawn, rng.random(n_drawn) < np.exp(-distance / (2 * noise))


def draw_survivors(X=(0.15, 0.4, 0.85), y=(0.5, -0.6, 0.7), noise=0.15**2):
    grid, drawn, kept = surviving_functions(X, y, noise)
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.1), sharey=True)
    axes[0].plot(grid, drawn[:8].T, lw=1.2)
    axes[0].set(title="Eight of 100,000 functions", ylabel="$f(x)$")
    axes[1].plot(grid, drawn[kept].T, color="C0", lw=0.7, alpha=0.35)
    axes[1].errorbar(X, y, math.sqrt(noise), fmt="o", color="black", ms=5, capsize=3, zorder=3)
    axes[1].set(title=f"The {kept.sum()} that agree with three measurements")
    for ax in axes:
        ax.set(xlabel="$x$", ylim=(-3.2, 3.2))
    plt.show()


draw_survivors()

# %% [markdown]
# They agree near a measurement, and differ most at the edges and in the wide gap. That bundle is the **posterior**: its middle is the prediction, its width the uncertainty.
#
# ### The bundle in closed form
#
# The functions on the left are draws from a **Gaussian process**: their values at any points are jointly normal, with mean $m$ and covariances given by a **kernel**, here $k(x, x') = v \exp(-|x - x'|^2 / 2\ell^2)$. Points much closer than
# the **length** $\ell$ have nearly the same value, points much farther apart have nothing to do with each other. All that you assume about $f$ is in $m$ and in the kernel: its form, $v$ and $\ell$.
#
# Measure $y = f(X) + \varepsilon$ at $n$ points $X$, with independent normal noise of variance $\sigma^2$. With $K = k(X, X)$, $f(z)$ is normal again (Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, section 2.2):
#
# $$\mu(z) = m + k(z, X)\,(K + \sigma^2 I)^{-1}\,(y - m), \qquad s^2(z) = k(z, z) - k(z, X)\,(K + \sigma^2 I)^{-1}\,k(X, z).$$
#
# This is the uncertainty about $f$, not about the next measurement, which has noise as well.
#
# **Do not invert.** When points are crowded and $\sigma^2$ is small, $K + \sigma^2 I$ is nearly singular. For 60 points in $[0, 1]$ with $\ell = 0.2$ and $\sigma^2 = 10^{-8}$, `np.linalg.inv` gave *negative* variances, and standard deviations wrong by $10^{-4}$ where the true ones
# go down to $4 \cdot 10^{-5}$. With a Cholesky decomposition they were right to $3 \cdot 10^{-10}$. It takes $n^3/3$ operations.
#
# ### What would a measurement be worth?
#
# We minimise. If $f^*$ is the best so far, a point $z$ improves on it by $\max(f^* - f(z), 0)$. The mean of that over the posterior is the **expected improvement** (Jones, Schonlau and Welch, *Journal of Global Optimization*, 1998). With $u = (f^* - \mu) / s$ and the standard normal
# density $\varphi$ and distribution function $\Phi$,
#
# $$\mathrm{EI}(z) = s \, h(u), \qquad h(u) = u\,\Phi(u) + \varphi(u).$$
#
# It pays for a low $\mu$ and for a large $s$. But $h(u) \approx \varphi(u) / u^2$ for $u \ll 0$, and at $u = -39$ that is less than the smallest float: whoever searches for the maximum there sees a flat zero (Ament et al., arXiv:2310.20708). The
# logarithm is an ordinary number, $-769$, if it is not computed from EI.
#
# The **confidence bound** believes the best that is plausible, $\mu - \sqrt{\beta}\, s$ (for a maximum, an *upper* bound: UCB). The chance that $f(z)$ lies below it
# is at most $\frac12 e^{-\beta/2}$. With $\beta_t = 2 \log(c\, t^2 \pi^2 / 6\delta)$ for $c$ candidates in round $t$, these chances sum to less than $\delta$ over all candidates and *all* rounds, as $\sum 1/t^2 = \pi^2/6$ (Srinivas et al., arXiv:0912.3995, theorem 1).
#
# ### Exercise 5.3 · A Gaussian process
#
# > **Difficulty** ★★★☆ · **60 minutes** · **13 points** · NumPy and SciPy
#
# **Write** four functions, in float64. All but `ucb` have a bound for their error in the docstring. Hidden checks refuse scikit-learn's `GaussianProcessRegressor`. Do not modify arguments.
#
# <details><summary>Hint 1: two triangular systems</summary>
#
# With $K + \sigma^2 I = L L^\top$ and $V = L^{-1} k(X, Z)$, the variance is $k(z, z)$ minus the sum of squares of a column of $V$. `scipy.linalg.solve_triangular(L, B, lower=True)` gives $L^{-1} B$.
# </details>
#
# <details><summary>Hint 2: the logarithm of a tiny number</summary>
#
# $h(u) = \varphi(u)\,(1 + u\,r(u))$ with $r = \Phi/\varphi$. `scipy.special.erfcx(x)` is $e^{x^2}\,\mathrm{erfc}(x)$ without overflow or underflow for $x \ge 0$, and $r(u) = \sqrt{\pi/2}\;\mathrm{erfcx}(-u/\sqrt2)$. For $u > 0$ take the logarithm of $h$ itself.
# </details>
#
# <details><summary>Hint 3: nothing uncertain</summary>
#
# Where $s = 0$, $u$ does not exist, but the improvement is known: $\max(f^* - \mu, 0)$. `np.where` computes both sides, so divide by something that is not zero.
# </details>

# %% nbgrader={"grade": false, "grade_id": "gaussian_process", "locked": false, "schema_version": 3, "solution": true, "task": false}
def posterior(kernel, X: np.ndarray, y: np.ndarray, Z: np.ndarray, noise: float, prior_mean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """What is known about f at Z after measuring y at X.

    As precise as a Cholesky decomposition of K + noise I allows: with noise down to 1e-10, up to 60 points in the unit
    interval and an rbf kernel, mean and standard deviation are right to 1e-6.

    Args:
        kernel: a function of A (a, d) and B (b, d) that returns the prior covariances of f(A) and f(B), of shape (a, b).
            `rbf(length, variance)` is one; there are others, also some for which k(z, z) depends on z.
        X: (n, d), the measured points; a point may occur several times.
        y: (n,), the measurements.
        Z: (m, d), where to predict.
        noise: variance of the measurements' noise, above 0.
        prior_mean: mean of f before any measurement, the same everywhere.

    Returns:
        Mean and standard deviation of f, without the noise of a measurement, each of shape (m,). No NaN: a variance
        that rounding makes negative counts as 0.

    >>> posterior(rbf(1.0), np.array([[0.0]]), np.array([2.0]), np.array([[0.0]]), noise=1.0)
    (array([1.]), array([0.70710678]))
    """
    ### BEGIN SOLUTION
    lower = np.linalg.cholesky(kernel(X, X) + noise * np.eye(len(X)))
    V = scipy.linalg.solve_triangular(lower, kernel(X, Z), lower=True)
    mean = prior_mean + V.T @ scipy.linalg.solve_triangular(lower, y - prior_mean, lower=True)
    variance = np.diag(kernel(Z, Z)) - (V**2).sum(0)
    return mean, np.sqrt(np.maximum(variance, 0))
    ### END SOLUTION


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """The mean of max(best - f, 0), where f is normal: how far a measurement is expected to fall below `best`.

    Args:
        mean, std: (m,), of f at m points; std is 0 or more.
        best: the lowest value so far.

    Returns:
        (m,), right to 1e-10 for numbers of ordinary size; where std is 0, max(best - mean, 0).

    >>> expected_improvement(np.array([1.0, 0.0]), np.array([1.0, 0.0]), best=1.0)
    array([0.39894228, 1.        ])
    """
    ### BEGIN SOLUTION
    gain = best - mean
    u = gain / np.where(std > 0, std, 1)
    uncertain = gain * scipy.special.ndtr(u) + std * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return np.where(std > 0, uncertain, np.maximum(gain, 0))
    ### END SOLUTION


def log_ei(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """The natural logarithm of the expected improvement, also where that is too small for a float.

    The error is at most 1e-8 times the larger of 1 and |log EI|, for every (best - mean) / std from -1e6 to 1e6.

    Args:
        as for expected_improvement; where std is not 0, (best - mean) / std lies in that range.

    Returns:
        (m,). Minus infinity where std is 0 and mean is not below best.

    >>> log_ei(np.array([40.0]), np.array([1.0]), best=0.0)
    array([-808.29856836])
    """
    ### BEGIN SOLUTION
    gain = best - mean
    u = gain / np.where(std > 0, std, 1)
    below = np.minimum(u, 0)
    tail = -(below**2) / 2 - math.log(2 * math.pi) / 2
    tail = tail + np.log1p(below * math.sqrt(math.pi / 2) * scipy.special.erfcx(-below / math.sqrt(2)))
    with np.errstate(divide="ignore"):
        plain = np.log(expected_improvement(mean, std, best))
        return np.where(u < 0, np.log(std) + tail, plain)
    ### END SOLUTION


def ucb(mean: np.ndarray, std: np.ndarray, t: int, delta: float = 0.1) -> np.ndarray:
    """How promising each candidate is by its confidence bound; measure the one with the largest number next.

    We minimise, so it is the bound's negative: -(mean - sqrt(beta_t) std), with beta_t = 2 log(c t² π² / (6 delta)) for c
    candidates.

    Args:
        mean, std: (c,), of f at all c candidates.
        t: number of the round, from 1 on.
        delta: probability that some bound, in any round, is missed; between 0 and 1.

    Returns:
        (c,)

    >>> ucb(np.array([0.0, 0.0]), np.array([1.0, 2.0]), t=1, delta=0.5)
    array([1.94113094, 3.88226188])
    """
    ### BEGIN SOLUTION
    beta = 2 * math.log(len(mean) * t**2 * math.pi**2 / (6 * delta))
    return math.sqrt(beta) * std - mean
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_gaussian_process", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=13)


def compare_by_hand(name, found, wanted, tolerance=1e-6):
    assert found is not None, f"{name} returns None: is the return missing?"
    assert np.shape(found) == np.shape(wanted), f"{name}: shape {np.shape(found)} instead of {np.shape(wanted)}"
    assert np.allclose(found, wanted, rtol=0, atol=tolerance), f"{name}: {np.round(found, 4).tolist()} instead of {np.round(wanted, 4).tolist()}"


@check(points=1, hint="With one measurement, K + noise is one number. The mean starts from prior_mean and moves by a share of y - prior_mean. The noise is not part of f.")
def one_measurement_by_hand():
    """After one measurement, mean and standard deviation at three points are those that you get by hand."""
    def run(X, y, Z):
        return posterior(rbf(1.0, variance=2.0), X, y, Z, noise=0.5, prior_mean=1.0)

    found = probe(run, np.zeros((1, 1)), np.array([3.0]), np.array([[0.0], [1.0], [50.0]]))
    assert found is not None and len(found) == 2, "posterior does not return a mean and a standard deviation"
    # At distance 0 and 1 the covariances with the measured point are 2 and 2 exp(-1/2); far away there are none.
    near, next_to_it = 2.0, 2 * math.exp(-0.5)
    compare_by_hand("the mean, where prior_mean is 1 and 3 was measured", found[0], [1 + 2 * near / 2.5, 1 + 2 * next_to_it / 2.5, 1])
    compare_by_hand("the standard deviation", found[1], np.sqrt([2 - near**2 / 2.5, 2 - next_to_it**2 / 2.5, 2]))


@check(points=1, hint="We minimise: what counts is best - mean. Both terms, the distribution function and the density, take u = (best - mean) / std; the density is multiplied by std.")
def improvement_by_hand():
    """The expected improvement is right where half of f is below the best value, where nearly all is, and where nothing is uncertain."""
    found = expected_improvement(np.array([1.0, 1.0, -9.0, 0.0, 3.0, 1.0]), np.array([1.0, 2.0, 1.0, 0.0, 0.0, 0.0]), 1.0)
    half = 1 / math.sqrt(2 * math.pi)
    compare_by_hand("expected_improvement", found, [half, 2 * half, 10, 1, 0, 0])


@check(points=1, hint="The logarithm of std belongs to it. Where EI is too small for a float, work with logarithms from the start.")
def logarithms_by_hand():
    """log_ei is the logarithm where EI is a float, and a finite number where it is not."""
    found = log_ei(np.array([1.0, 1.0, -9.0]), np.array([1.0, 2.0, 1.0]), 1.0)
    half = 1 / math.sqrt(2 * math.pi)
    compare_by_hand("log_ei", found, np.log([half, 2 * half, 10]))
    far = log_ei(np.array([80.0]), np.array([2.0]), 0.0)
    # log φ(40) - 2 log 40 + log std; the next term, 3 / 40², is in the tolerance.
    compare_by_hand("log_ei, 40 standard deviations away", far, [-800 - math.log(2 * math.pi) / 2 - 2 * math.log(40) + math.log(2)], 3e-3)


@check(points=0.5, hint="Uncertain and low is promising: the larger, the better. It is the root of beta that multiplies std.")
def bounds_by_hand():
    """ucb is the negative of the lower confidence bound, with the beta of the formula."""
    found = ucb(np.array([0.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0]), 2, 0.5)
    width = math.sqrt(2 * math.log(3 * 4 * math.pi**2 / 3))
    compare_by_hand("ucb", found, [width, width - 1, 0])


### BEGIN HIDDEN TESTS
from functools import cache

import mpmath
from scipy import integrate, stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, Matern

READY_MADE = ("sklearn.gaussian_process.GaussianProcessRegressor.fit", "sklearn.gaussian_process.GaussianProcessRegressor.predict")


def learnt(kind, X, y, Z, noise, prior_mean):
    """The student's posterior; the kernel is made in the student's process. `kind` is a name and its numbers."""
    def run(kind, X, y, Z, noise, prior_mean):
        from sklearn.gaussian_process.kernels import Matern

        name, *numbers = kind
        if name == "rbf":
            kernel = rbf(*numbers)
        elif name == "matern":
            kernel = Matern(numbers[0], nu=1.5).__call__
        else:
            def kernel(A, B):
                return numbers[0] + A @ B.T

        with forbidden(*READY_MADE):
            mean, std = posterior(kernel, X, y, Z, noise, prior_mean)
        return np.asarray(mean), np.asarray(std), X, y, Z

    mean, std, *after = probe(run, kind, X.copy(), y.copy(), Z.copy(), noise, prior_mean)
    if not all(np.array_equal(a, b) for a, b in zip(after, (X, y, Z), strict=True)):
        fail("X, y or Z was modified.")
    if mean.shape != (len(Z),) or std.shape != (len(Z),):
        fail(f"For {len(Z)} points, the shapes are {mean.shape} and {std.shape}, not (m,) twice.")
    return mean, std


def agrees(found, mean, std, tolerance, case):
    if not np.allclose(found[0], mean, rtol=tolerance, atol=tolerance):
        fail(f"The mean is wrong {case}.")
    if not np.allclose(found[1], std, rtol=tolerance, atol=tolerance):
        fail(f"The standard deviation is wrong {case}.")


@check(points=2, hint="Take covariances from the kernel that is given, never from a formula of your own. The variance of f starts from k(z, z), without noise.")
def agrees_with_sklearn():
    """For two kernels, any numbers of points and dimensions, any noise and prior mean, the posterior agrees with scikit-learn's."""
    cases = [("rbf", 1, 1, 4, 0.01, 0.0), ("rbf", 7, 3, 1, 1.5, -2.0), ("matern", 12, 2, 9, 0.1, 5.0), ("rbf", 20, 4, 30, 1e-3, 0.7), ("matern", 5, 1, 6, 0.5, 0.0)]
    for name, n, d, m, noise, prior_mean in cases:
        X, Z = np.random.uniform(0, 1, (n, d)), np.random.uniform(-0.5, 1.5, (m, d))
        y = prior_mean + np.random.normal(0, 2, n)
        if n > 10:
            X[3], Z[0] = X[1], X[2]  # a point that was measured twice, and a prediction where it was measured
        kind, kernel = (("rbf", 0.4, 2.5), ConstantKernel(2.5) * RBF(0.4)) if name == "rbf" else (("matern", 0.6), Matern(0.6, nu=1.5))
        model = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(X, y - prior_mean)
        mean, std = model.predict(Z, return_std=True)
        agrees(learnt(kind, X, y, Z, noise, prior_mean), prior_mean + mean, std, 1e-6, f"with {n} measurements in {d} dimensions, noise {noise:g} and prior mean {prior_mean:g}")


@check(points=1.5, hint="k(z, z) is what the kernel says, point by point. It is not the same everywhere for each kernel.")
def is_bayesian_linear_regression():
    """With the kernel c + x·x', the posterior is that of linear regression with normal weights."""
    for n, d, offset, noise in [(6, 2, 0.5, 0.2), (3, 4, 2.0, 1.0), (30, 1, 1.0, 0.05)]:
        X, Z = np.random.normal(0, 1, (n, d)), np.random.normal(0, 2, (8, d))
        y = 1.5 + X.sum(1) + np.random.normal(0, 0.3, n)
        # f(x) = w·(1, x), weights independent of variances c, 1, ..., 1
        design, points = (np.hstack([np.ones((len(A), 1)), A]) for A in (X, Z))
        precision = design.T @ design / noise + np.diag([1 / offset] + [1.0] * d)
        weights = np.linalg.solve(precision, design.T @ (y - 0.3) / noise)
        std = np.sqrt(np.einsum("ij,ji->i", points, np.linalg.solve(precision, points.T)))
        agrees(learnt(("linear", offset), X, y, Z, noise, 0.3), 0.3 + points @ weights, std, 1e-6, f"with {n} measurements in {d} dimensions")


@cache
def exactly(n, length, noise, points):
    """The posterior with 40 digits, for sin(7 x) at n points in the unit interval."""
    with mpmath.workdps(40):
        X, y = np.linspace(0, 1, n), np.sin(7 * np.linspace(0, 1, n))

        def k(a, b):
            return mpmath.exp(-((mpmath.mpf(a) - mpmath.mpf(b)) ** 2) / (2 * mpmath.mpf(length) ** 2))

        lower = mpmath.cholesky(mpmath.matrix(n, n) + mpmath.matrix([[k(a, b) + (noise if a == b else 0) for b in X] for a in X]))

        def forward(b):
            v = []
            for i in range(n):
                v.append((b[i] - mpmath.fsum(lower[i, j] * v[j] for j in range(i))) / lower[i, i])
            return v

        weights, mean, std = forward([mpmath.mpf(value) for value in y]), [], []
        for z in points:
            v = forward([k(z, x) for x in X])
            mean.append(float(mpmath.fsum(a * b for a, b in zip(v, weights, strict=True))))
            std.append(float(mpmath.sqrt(1 - mpmath.fsum(a * a for a in v))))
    return np.array(mean), np.array(std)


@check(points=2, hint="No inverse, and nothing added to the diagonal but the noise: np.linalg.cholesky and two triangular systems. Round to zero only what is negative.")
def keeps_its_digits():
    """With crowded points and almost no noise, mean and standard deviation are right to 1e-6, and never NaN."""
    points = (-0.3, 0.0, 0.013, 0.5, 0.777, 1.05)
    for n, length, noise in [(30, 0.3, 1e-10), (30, 0.2, 1e-8)]:
        X, Z = np.linspace(0, 1, n)[:, None], np.array(points)[:, None]
        # A Cholesky decomposition is right to 1e-8 here; an inverse is off by 1e-4 and more.
        found = learnt(("rbf", length), X, np.sin(7 * X[:, 0]), Z, noise, 0.0)
        if not all(np.isfinite(part).all() for part in found):
            fail("A mean or a standard deviation is NaN.")
        mean, std = exactly(n, length, noise, points)
        if not np.allclose(found[0], mean, rtol=0, atol=1e-6):
            fail(f"The mean loses its digits with noise {noise:g}.")
        if not np.allclose(found[1], std, rtol=0, atol=1e-6):
            fail(f"The standard deviation loses its digits with noise {noise:g}, where true ones are as small as {std.min():.0e}.")
    def certain():  # a single measurement without noise to speak of: rounding decides on the variance's sign
        return [np.asarray(posterior(rbf(1.0, 0.1 * i), np.zeros((1, 1)), np.ones(1), np.zeros((1, 1)), 1e-20)[1]) for i in range(1, 60)]

    if not all(np.isfinite(std).all() for std in probe(certain)):
        fail("The standard deviation is NaN at a point that was measured without noise.")


def improvement_of(function, mean, std, best):
    def run(name, mean, std, best):
        found = {"expected_improvement": expected_improvement, "log_ei": log_ei}[name](mean, std, best)
        return np.asarray(found), mean, std

    found, *after = probe(run, function, mean.copy(), std.copy(), best)
    if not (np.array_equal(after[0], mean) and np.array_equal(after[1], std)):
        fail("mean or std was modified.")
    if found.shape != mean.shape:
        fail(f"For {len(mean)} points, {function} returns the shape {found.shape}.")
    return found


@check(points=1.5, hint="The improvement is best - f where f is below best, else 0; its mean has two terms. Where std is 0 there is nothing to average.")
def improvement_is_the_integral():
    """The expected improvement is the integral of the improvement over f's density, and max(best - mean, 0) where f is known."""
    mean, std = np.random.normal(0, 2, 40), np.exp(np.random.uniform(-4, 2, 40))
    best = float(np.random.normal(0, 1))
    wanted = []
    for m, s in zip(mean, std, strict=True):  # what lies beyond 10 standard deviations is below 1e-20
        scaled = integrate.quad(lambda v, m=m, s=s: max(best - m - s * v, 0) * math.exp(-v * v / 2), -10, min(max((best - m) / s, -10), 10), epsabs=1e-13, epsrel=1e-12)[0]
        wanted.append(scaled / math.sqrt(2 * math.pi))
    if not np.allclose(improvement_of("expected_improvement", mean, std, best), wanted, rtol=1e-8, atol=1e-10):
        fail("It is not the integral.")
    certain = np.concatenate([[best], mean])
    if not np.allclose(improvement_of("expected_improvement", certain, np.zeros(41), best), [max(best - m, 0) for m in certain], rtol=0, atol=1e-12):
        fail("Wrong where std is 0.")
    mixed = improvement_of("expected_improvement", np.array([0.0, 0.0, 5.0]), np.array([0.0, 1.0, 0.0]), 2.0)
    if not np.allclose(mixed, [2, stats.norm.expect(lambda f: max(2 - f, 0), lb=-12, ub=2), 0], atol=1e-7):
        fail("Wrong where std is 0 at some of the points.")


@check(points=2, hint="For u below 0 write h(u) = φ(u) (1 + u r(u)) and take logarithms one by one; r needs erfcx. Nothing is added inside the logarithm.")
def logarithms_of_the_smallest():
    """log_ei is right to eight digits from a million standard deviations above the best to a million below, and minus infinity where nothing is to be gained."""
    u = np.array([1e6, 300.0, 39.0, 8.0, 1.0, 0.1, 0.0, -0.1, -0.9, -1.0, -1.1, -3.0, -7.0, -10.0, -17.0, -26.0, -37.0, -38.0, -38.6, -40.0, -100.0, -1e3, -3e4, -1e6])
    with mpmath.workdps(60):  # 12 of the 60 digits cancel at -1e6
        h = [mpmath.log(value * mpmath.ncdf(value) + mpmath.npdf(value)) for value in map(mpmath.mpf, u.tolist())]
        for std, best in ((1.0, 0.5), (0.02, -40.0), (30.0, 3.0)):
            wanted = np.array([float(value + mpmath.log(std)) for value in h])
            found = improvement_of("log_ei", best - u * std, np.full(len(u), std), best)
            for value, a, b in zip(u, found, wanted, strict=True):
                if not abs(a - b) <= 2e-8 * max(1, abs(b)):
                    fail(f"Wrong where (best - mean) / std is {value:g}" + (", which is too small for EI as a float." if value < -37 else "."))
    found = improvement_of("log_ei", np.array([1.0, 2.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0]), 1.0)
    if not (found[0] == found[1] == -np.inf and abs(found[2]) < 1e-9 and abs(found[3] - math.log(1 / math.sqrt(2 * math.pi))) < 1e-9):
        fail("Wrong where std is 0 at some of the points.")


@check(points=0.5, hint="c is the number of candidates; t² and not t; natural logarithm.")
def bounds_of_the_theorem():
    """ucb has the beta of the theorem, for any number of candidates, round and delta."""
    for c, t, delta in [(1, 1, 0.1), (7, 3, 0.02), (500, 60, 0.9), (40, 1, 0.5)]:
        mean, std = np.random.normal(0, 3, c), np.random.uniform(0, 2, c)
        found = probe(lambda *case: np.asarray(ucb(*case)), mean, std, t, delta)
        # The share of delta that round t gets falls with 1/t², so it is what Zipf's law gives to t; all candidates share it.
        beta = -2 * math.log(delta * stats.zipf.pmf(t, 2) / c)
        if found.shape != (c,) or not np.allclose(found, -(mean - np.sqrt(beta) * std), rtol=1e-9, atol=1e-9):
            fail(f"Wrong with {c} candidates in round {t} and delta {delta:g}.")
    default = probe(lambda: np.asarray(ucb(np.zeros(2), np.ones(2), 1)))
    if not np.allclose(default, math.sqrt(2 * math.log(2 * math.pi**2 / 0.6))):
        fail("Wrong where delta is left out.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Your band, and where it sends you
#
# Left: your posterior over the bundle of survivors, and below it what a measurement promises. **Predict:** does the largest expected improvement lie beside the lowest point, or where least is known? Right: your `log_ei` for a bowl,
# $(x - 0.3)^2$, after 40 measurements.

# %% tags=["demo", "raises-exception"]
def draw_posterior(length: float = 0.2, noise: float = 0.15**2, X=(0.15, 0.4, 0.85), y=(0.5, -0.6, 0.7)) -> None:
    grid, drawn, kept = surviving_functions(X, y, noise, length)
    kernel, rng = rbf(0.3), np.random.default_rng(1)
    bowl, places = rng.random((40, 1)), np.linspace(0, 1, 401)
    depths = (bowl[:, 0] - 0.3) ** 2
    try:
        mean, std = posterior(rbf(length), np.array(X)[:, None], np.array(y), grid[:, None], noise)
        promise = {"EI": expected_improvement(mean, std, min(y)), "bound": ucb(mean, std, 1)}
        far = posterior(kernel, bowl, (depths - depths.mean()) / depths.std(), places[:, None], 1e-6)
        lowest = (depths.min() - depths.mean()) / depths.std()
        logs, plain = log_ei(*far, lowest), expected_improvement(*far, lowest)
    except NotImplementedError:
        print("This figure needs the four functions of exercise 5.3. Write them first.")
        return
    layout = [["band", "logs"], ["promise", "logs"]]
    _, axes = plt.subplot_mosaic(layout, figsize=(9.7, 4.2), height_ratios=(2.4, 1))
    axes["band"].plot(grid, drawn[kept][:150].T, color="0.7", lw=0.5)
    axes["band"].plot(grid, mean, color="C0", label="mean")
    axes["band"].plot(grid, mean + 2 * std, "--", color="C0", lw=1.3, label="mean ± 2 std")
    axes["band"].plot(grid, mean - 2 * std, "--", color="C0", lw=1.3)
    axes["band"].plot(X, y, "o", color="black", ms=5)
    axes["band"].set(ylim=(-3.2, 3.2), ylabel="$f(x)$", title="Your posterior, and the survivors")
    axes["band"].tick_params(labelbottom=False)
    axes["band"].legend(fontsize=8.5, ncols=2, loc="upper center")
    for (name, values), colour in zip(promise.items(), ("C5", "C2"), strict=True):
        share = (values - values.min()) / (values.max() - values.min())
        axes["promise"].plot(grid, share, color=colour, label=name)
        axes["promise"].plot(grid[share.argmax()], 1, "v", color=colour, ms=8)
    axes["promise"].set(xlabel="$x$", ylabel="promise\n(rescaled)", ylim=(-0.1, 1.9), yticks=[])
    axes["promise"].legend(fontsize=8.5, ncols=2, loc="upper left")
    axes["logs"].plot(places, -logs, color="C0", lw=1.3)
    bottom = 10 * np.max(-logs[np.isfinite(logs)])
    axes["logs"].axhspan(745, bottom, color="C1", alpha=0.2, lw=0, label="EI is 0")
    axes["logs"].plot(bowl, np.full(40, 2.0), "|", color="black", ms=8, label="measured")
    axes["logs"].set(yscale="log", xlabel="$x$", ylabel="$-$log EI", ylim=(bottom, 1.5), title=f"A bowl: EI is 0 at {(plain == 0).mean():.0%} of the points")
    axes["logs"].legend(fontsize=8.5, loc="lower left")
    plt.show()


draw_posterior()

# %% [markdown]
# The formula and the survivors agree. EI is largest at 0.52 and the bound at 0.60, between the lowest mean (at 0.45) and the largest uncertainty (at 0.63). On the right, EI is zero at nine points in ten,
# also a tenth away from the minimum; its logarithm still tells worse from much worse.
#
# *"Gaussian processes have a high complexity."* With 1,000 measurements a Cholesky takes $n^3/3 = 3 \cdot 10^8$ operations. One training step of chapter 1's GPT, 187,000 parameters and 1,024 tokens, takes about
# $6 \cdot 187{,}000 \cdot 1{,}024 = 10^9$. Even the hundreds of decompositions with which libraries choose $\ell$ and $v$ cost little beside 1,000 trainings.
#
# **Change, predict, run.** `draw_posterior(length=0.05)`, then `draw_posterior(length=0.6)`. In which one are you told more than the three measurements say?
#
# <details><summary>Answer</summary>
#
# With 0.05, a measurement says nothing about points 0.15 away. With 0.6, *not one* of the 100,000 functions agrees with the three points, yet the band is the narrowest: $s^2(z)$ does not contain $y$. The band is right if the prior is. No formula warns
# you when it is not.
# </details>
