# %% [markdown]
# ## 2.7 Double descent
#
# "Large models overfit more easily." Section 2.0 seems to say so. Yet networks work well that
# could fit labels drawn at random (Zhang et al., arXiv:1611.03530).
#
# Belkin, Hsu, Ma and Mandal (arXiv:1812.11118) found that, as a model grows, its test error
# first falls, then rises, up to about the size at which it can fit the training data
# exactly: the **interpolation threshold**. Beyond it, the error falls *again*, often below the first minimum, also
# in convolutional networks and transformers (Nakkiran et al., arXiv:1912.02292).
#
# ### One layer at random
#
# Take a network with one hidden layer of width $p$, draw its first layer at random, and train
# only the second. The hidden layer computes **random features** (Rahimi and Recht, NIPS 2007),
#
# $$\phi(x) = \frac{1}{\sqrt p}\, \max(D x, 0), \qquad D \in \mathbb R^{p \times d} \text{ with independent standard normal entries},$$
#
# which leaves a linear model of any size $p$. With the features of $n$ samples in the rows of $A$, of shape $(n, p)$, and their targets in the rows
# of $Y$, least squares looks for the $W$ with the smallest
# $\|A W - Y\|^2$.
#
# For $p < n$ there is one solution (if the columns of $A$ are independent), usually not an exact fit.
# For $p \ge n$ there are **exact** fits (if the rows are independent); for $p > n$, infinitely many.
# Gradient descent from $W = 0$ ends at the one with the **smallest norm** $\|W\|$.
#
# **Predict:** how will fits with 4, 14 and 2,000 features go through 14 noisy points? (Here, features are cosines of random frequency.)

# %% tags=["demo"]
def draw_three_widths(widths=(4, 14, 2000)):
    generator = np.random.default_rng(4)
    points = np.sort(generator.uniform(-1, 1, 14))
    values = np.sin(np.pi * points) + generator.normal(0, 0.25, 14)
    grid = np.linspace(-1, 1, 301)

    def waves(x, width, seed):
        draw = np.random.default_rng(seed)
        return np.cos(np.outer(x, 2 * draw.standard_cauchy(width)) + draw.uniform(0, 2 * np.pi, width)) / math.sqrt(width)

    fig, axes = plt.subplots(1, len(widths), figsize=(9.5, 3.1), sharey=True)
    for ax, width in zip(axes, widths, strict=True):
        for seed, style in zip((1, 2, 3), ("-", "--", ":"), strict=True):
            weights = np.linalg.lstsq(waves(points, width, seed), values)[0]
            ax.plot(grid, waves(grid, width, seed) @ weights, style, color="C0", lw=1.4, label="fits, three draws" if seed == 1 else None)
        ax.plot(grid, np.sin(np.pi * grid), color="0.6", lw=1, label="truth")
        ax.plot(points, values, "o", color="black", ms=4.5, label="data")
        ax.set(ylim=(-2.6, 2.6), xlabel="$x$", title=f"$p = {width}$")
    axes[0].set_ylabel("prediction")
    fig.legend(*axes[0].get_legend_handles_labels(), fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
    plt.show()


draw_three_widths()

# %% [markdown]
# At $p = n$ only one function goes through all points, however wild. Where there are many, least norm picks a tame one.
#
# ### Where the peak comes from
#
# Let $A = U S V^\top$ be the singular value decomposition, with singular values $s_1 \ge s_2 \ge \dots$ and $u_i$, $v_i$ the columns of $U$ and $V$. The least-squares solution of least norm is
#
# $$W = A^+ Y = \sum_{i:\, s_i > 0} \frac{1}{s_i}\, v_i\, u_i^\top Y ,$$
#
# with the **pseudo-inverse** $A^+$. Noise in $Y$ along $u_i$ comes out multiplied by $1 / s_i$, so the smallest singular values decide. For a matrix of independent entries of variance
# $1/p$ they lie near $|1 - \sqrt{n/p}|$ (the edge of the Marchenko-Pastur distribution): closest to zero where $p = n$. Our features behave alike:

# %% tags=["demo"]
def draw_spectra(n=100):
    from sklearn.datasets import load_digits

    images = load_digits().data[:n] / 16
    images -= images.mean(0)
    directions = np.random.default_rng(0).standard_normal((1000, 64))
    widths = [10, 20, 40, 60, 80, 90, 100, 110, 125, 160, 250, 500, 1000]
    smallest = [np.linalg.svd(np.maximum(images @ directions[:p].T, 0) / math.sqrt(p), compute_uv=False)[-1] for p in widths]
    _, ax = plt.subplots(figsize=(6.5, 3))
    ax.plot(widths, 1 / np.array(smallest), "o-", ms=4)
    ax.axvline(n, color="0.5", ls=":", lw=1)
    ax.text(n * 1.08, 1.5, "$p = n$", fontsize=9, color="0.3")
    ax.set(xscale="log", yscale="log", xlabel="width $p$", ylabel="$1 / s_{\\min}$", title=f"Features of {n} digits: how much noise is magnified")
    ax.set_xticks([10, 20, 40, 100, 250, 500, 1000], labels=["10", "20", "40", "100", "250", "500", "1000"])
    ax.minorticks_off()
    plt.show()


draw_spectra()

# %% [markdown]
# ### Two ways not to compute it
#
# **The normal equations**, $A^\top A\, W = A^\top Y$: the
# singular values of $A^\top A$ are the $s_i^2$, so half of the digits are lost.
#
# **A little ridge** "for stability" is a different model. **Ridge** regression minimises $\|A W - Y\|^2 + \lambda \|W\|^2$:
#
# $$W_\lambda = \sum_i \frac{s_i}{s_i^2 + \lambda}\, v_i\, u_i^\top Y .$$
#
# Directions with $s_i^2 \ll \lambda$ are switched off. That
# tames exactly what makes the peak, as does a generous cut-off.

# %% [markdown]
# ### Exercise 2.7 · Double descent
#
# > **Difficulty** ★★☆☆ · **30 minutes** · **9 points** · NumPy
#
# **Given** handwritten digits: 100 to train on, 600 to
# validate, the rest to test, and targets $Y$ of ten columns, 1 for the image's class and 0 elsewhere.
#
# **Write** four functions. Build the two solvers on `np.linalg.svd`. Ready-made solvers (`lstsq` and `pinv` of any library, LAPACK's `gels` family,
# scikit-learn's `Ridge` and `LinearRegression`) fail in the hidden checks, by whatever name. All arrays are float64; do not modify arguments.
#
# <details><summary>Hint 1: the shapes of an SVD</summary>
#
# With `full_matrices=False`, `np.linalg.svd(A)` returns $U$ of shape `(n, m)`, the singular values of shape
# `(m,)`, and $V^\top$ (not $V$) of shape `(m, p)`, where `m = min(n, p)`. Scale rows instead of building a diagonal matrix.
# </details>
#
# <details><summary>Hint 2: singular values of zero</summary>
#
# Rounding turns them into numbers such as $10^{-17}$, whose reciprocal is garbage.
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
        A: (n, p).
        Y: (n, k).
        strength: greater than 0. No cut-off is needed: it is at least 1e-6 times the square of A's
            largest singular value, or A's smallest singular value is at least 1e-8 times the
            largest and the strength may be tiny.

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
        output is not that of their class (of equal ones, take any); "norm": square root of the sum
        of the squares of W. Each is a list with one number for each width.
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


def compare_by_hand(cases):
    for name, answer, truth in cases:
        assert np.shape(answer) == np.shape(truth), f"{name}: shape {np.shape(answer)} instead of {np.shape(truth)}"
        assert np.allclose(answer, truth, atol=1e-9), f"{name}: {np.round(answer, 3).tolist()} instead of {truth}"


@check(points=0.5, hint="Write down the sum over singular values for a matrix with a single row or column: it has one term. A zero among them is left out.")
def solves_by_hand():
    """For matrices of rank one, the shortest least-squares solution is the one that you get by hand."""
    compare_by_hand([
        ("minimum_norm of a column", minimum_norm(np.array([[1.0], [1.0]]), np.array([[1.0], [3.0]])), [[2]]),
        ("minimum_norm of a row", minimum_norm(np.array([[1.0, 1.0]]), np.array([[2.0, -4.0]])), [[1, -2], [1, -2]]),
        ("minimum_norm of four ones", minimum_norm(np.ones((2, 2)), np.array([[2.0], [6.0]])), [[2], [2]]),
    ])


@check(points=0.5, hint="s / (s² + strength) takes the place of 1 / s; nothing else changes.")
def shrinks_by_hand():
    """For matrices with one row or one column, the ridge solution is the one that you get by hand."""
    compare_by_hand([
        ("ridge_regression of a column", ridge_regression(np.array([[1.0], [1.0]]), np.array([[1.0], [3.0]]), 2.0), [[1]]),
        ("ridge_regression of a row", ridge_regression(np.array([[1.0, 1.0]]), np.array([[2.0, -4.0]]), 2.0), [[0.5, -1], [0.5, -1]]),
    ])


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
    "numpy.linalg._umath_linalg.lstsq",
    "scipy.linalg.lstsq",
    "scipy.linalg.pinv",
    "scipy.linalg.pinvh",
    "scipy.linalg.lapack.?gels*",
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

    # The first two differ in the samples' length only: what is kept for a width and a seed does not fit.
    for n, d, width, seed in [(5, 3, 4, 1), (5, 2, 4, 1), (2, 6, 1, 8), (1, 1, 9, 123), (4, 4, 4, 0)]:
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
    for sizes in ([1, 1e-3, 1.5e-10, 1e-14], [1, 1e-3, 6e-11], [1, 1, 1, 1, 1, 1.5e-10]):
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
    repeated = np.random.normal(0, 1, (8, 3))
    for A in (np.hstack([repeated, repeated]), np.vstack([repeated, repeated])):
        Y = np.random.normal(0, 1, (len(A), 2))
        truth = np.linalg.solve(A.T @ A + 0.3 * np.eye(A.shape[1]), A.T @ Y)
        if not close(solved("ridge_regression", A, Y, 0.3), truth, 1e-8):
            fail("Wrong where the rank is smaller than the number of rows and that of columns.")
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
    if not close(solved("ridge_regression", np.diag([1.0, 1e-8]), np.eye(2), 1e-30), np.diag([1.0, 1e8]), 1e-6):
        fail("With a tiny strength, singular values of 1e-8 of the largest have to be used.")


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
        ("shuffled", (90, 12, 90), 0.05, (1, 2)),
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
    """Around p = n, error and norm peak; beyond, training error is zero and the error falls again; a suitable penalty removes the peak."""
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
# Your functions, on 100 digits. In blue, least norm; in orange, ridge
# with the strength, for each width, that does best on the validation images.

# %% tags=["demo", "raises-exception"]
def draw_double_descent(seeds=(0, 1, 2), wrong_labels=0.0):
    """The share of wrong labels is that of training digits whose label is drawn anew."""
    (X, Y), validation, test = digit_splits()
    rng = np.random.default_rng(0)
    training = X, np.where(rng.random((len(Y), 1)) < wrong_labels, np.eye(10)[rng.integers(0, 10, len(Y))], Y)
    widths = [8, 15, 25, 40, 60, 80, 92, 100, 110, 130, 200, 400, 1000]
    strengths = [0.01, 0.1, 1.0]
    plain = width_curve(training, test, widths, 0.0, list(seeds))
    on_validation = [width_curve(training, validation, widths, strength, list(seeds)[:1])["held_out_error"] for strength in strengths]
    best = np.argmin(on_validation, axis=0)
    tuned = [width_curve(training, test, [width], strengths[index], list(seeds)) for width, index in zip(widths, best, strict=True)]
    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.4))
    for ax, key, title in zip(axes, ("held_out_error", "training_error", "norm"), ("Test error", "Training error", "Norm of the weights"), strict=True):
        ax.plot(widths, plain[key], "o-", ms=4, color="C0", label="least norm")
        ax.plot(widths, [curve[key][0] for curve in tuned], "s--", ms=4, color="C1", label="ridge, tuned")
        ax.axvline(100, color="0.5", ls=":", lw=1)
        ax.set(xscale="log", xlabel="width $p$", title=title)
        ax.set_xticks([10, 30, 100, 300, 1000], labels=["10", "30", "100", "300", "1000"])
        ax.minorticks_off()
    for ax in axes[:2]:
        ax.set_ylim(-0.02, 0.95)
        ax.set_ylabel("share misclassified")
    axes[0].text(106, 0.93, "$p = n$", fontsize=9, color="0.3", va="top")
    axes[1].legend(fontsize=9)
    axes[2].set(yscale="log", ylabel="$\\|W\\|$")
    plt.show()
    for width in (25, 40, 100, 1000):
        place = widths.index(width)
        print(f"p = {width:4}: training error {plain['training_error'][place]:.2f}, test error {plain['held_out_error'][place]:.2f}, with tuned ridge {tuned[place]['held_out_error'][0]:.2f}")


try:
    draw_double_descent()
except NotImplementedError:
    print("This figure needs your functions of exercise 2.7.")

# %% [markdown]
# In blue: the textbook's U; the peak at 100 features for 100 images, where three test images in four are wrong; the second
# descent. Hardly any training image is wrong from $p$ of about 40 on. (To fit the targets themselves takes $p = 100$.) The norm tells the models apart.
#
# In orange there is no peak: the best penalty removes it (proved for linear regression with isotropic data: Nakkiran, Venkat, Kakade and Ma, arXiv:2003.01897). Bias and variance are not refuted: beyond the threshold, the
# variance falls again (Yang et al., arXiv:2002.11328).
#
# So "large models overfit more easily" is too simple. What counts is size
# **relative to the data**, and what picks one among the solutions that fit. It is not always false, either: when 0.1 % of its training data was repeated a hundred
# times, a language model of 800 million parameters became as bad as one of half the size (Hernandez et al., arXiv:2205.10487).
#
# **Change, predict, run.** What do wrong labels do to the blue curve, `draw_double_descent(wrong_labels=0.3)`: where does it suffer most, and is the largest model still the best?
#
# <details><summary>What you should see</summary>
#
# The test error rises by 0.13 to 0.16 at 40 and at 1,000 features, and by more beside the peak: at 80 features it is above one half. The
# largest model is still the best in blue, although it has learnt every wrong label.
# </details>
