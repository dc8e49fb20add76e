# %% [markdown]
# ## 7.5 Stealing the last layer
#
# You ask a language model 300 questions over an API, and get one number for every token of the vocabulary. The weights stay with the provider, encrypted. **Predict:** what can you say about them?
#
# The last step of a language model is a matrix: the logits are $\ell = W h$, with $h$ of a few thousand numbers (the *width* of the model) and $W$ of one row for each of maybe 100,000 tokens. So all answers lie in the space of the columns of $W$: a matrix of 300 answers of the course's GPT, 300 × 512 numbers, has at most the width as its rank. **Predict:** where do the singular values drop?

# %% tags=["demo", "nbval-ignore-output"]
def ask_gpt(language_model, n, seed=0):
    """The logits of the course's GPT after n passages of 64 tokens from the validation text."""
    ids = torch.tensor(language_model.tokenizer.encode(lesson.corpus()[1]))
    starts = torch.tensor(np.random.default_rng(seed).choice(len(ids) - 64, n, replace=False))
    with torch.no_grad():
        return language_model.model(ids[starts[:, None] + torch.arange(64)])[:, -1].numpy()


def draw_spectrum(language_model, n=300):
    gpt_logits = ask_gpt(language_model, n).astype(float)
    log_probs = gpt_logits - np.logaddexp.reduce(gpt_logits, axis=1, keepdims=True)
    noisy = log_probs + np.random.default_rng(0).normal(0, 0.1, log_probs.shape)
    _, axes = plt.subplots(figsize=(7.5, 3.3))
    rows = {
        "logits": (gpt_logits, "o", "C0"),
        "log-probabilities": (log_probs, "s", "C1"),
        "… rounded to 0.01": (np.round(log_probs, 2), "^", "C2"),
        "… with noise of 0.1": (noisy, "x", "C3"),
    }
    for name, (matrix, marker, color) in rows.items():
        sizes = np.linalg.svd(matrix, compute_uv=False)
        axes.semilogy(np.arange(50, 81), sizes[49:80], marker, ms=5, mfc="none", color=color, label=name)
    axes.axvline(64.5, color="0.6", lw=1, zorder=0)
    axes.set(xlabel="number of the singular value", ylabel="singular value", title=f"{n} answers of the course's GPT")
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.02, 0.5))
    plt.show()


thread_gpt = lesson.gpt()
draw_spectrum(thread_gpt)

# %% [markdown]
# The logits drop after the 64th value, by a factor of more than 10,000: the width is 64, and what follows is rounding in 32 bits. This is the attack of Carlini et al. (arXiv:2403.06634). For less than 20 dollars they took the last layers of OpenAI's ada and babbage (widths 1,024 and 2,048), as far as answers show them (see below), and found the width of gpt-3.5-turbo.
#
# - **Log-probabilities drop one later.** They are the logits minus one number for each answer. That adds one direction, $(1, \dots, 1)$. Subtract from each row its mean, and logits and log-probabilities become the same.
# - **There is no fixed threshold.** Look at *ratios* between neighbours: they stay if all logits are multiplied by 1,000.
# - **Noise, rounding, or fewer answers than the width can close the gap.** Then the largest ratio may be anywhere.
#
# ### From the width to the layer
#
# Let the rows of $L$ be the centred answers, $L = U S V^{\top}$, and $k$ the width. Subtract from each column of $W$ its mean, too: centred answers cannot show it. The first $k$ columns of $V$ span the columns of this $W$. So there is a $k \times k$ matrix $G$ with $W = V_k G$. Nobody can find $G$ from answers alone: $(W G^{-1})(G h)$ are the same logits for each invertible $G$. To see how good a theft is, the *owner* takes the best $G$, by least squares:
#
# $$\text{error} = \min_G \frac{\lVert V_k G - W \rVert}{\lVert W \rVert} .$$
#
# Real services return the log-probabilities of a few likely tokens at most; in the paper it was five. The paper got the rest with a `logit_bias`: raise a token by a known amount, and it is among the five.
#
# ### Exercise 7.5 · Stealing the last layer
#
# > **Difficulty** ★★★☆ · **50 minutes** · **10 points** · NumPy
#
# **Write** three functions of the attack, and a defence.
#
# <details><summary>Hint 1: the width</summary>
#
# `np.unique(outputs, axis=0)` drops repeated rows, `np.linalg.svd(centred, compute_uv=False)` returns the singular values, largest first. With `np.maximum`, tiny ones become $10^{-9} s_1$.
# </details>
#
# <details><summary>Hint 2: the best G</summary>
#
# Centre the columns, and divide each by its length: $G$ can make up for that. Then `np.linalg.lstsq(stolen, layer)` finds the best $G$, also where columns depend on each other. Without the division, it drops short columns or is imprecise.
# </details>
#
# <details><summary>Hint 3: large logits</summary>
#
# `np.exp(1000)` overflows. Subtract each row's largest logit first.
# </details>

# %% nbgrader={"grade": false, "grade_id": "stealing", "locked": false, "schema_version": 3, "solution": true, "task": false}
def hidden_width(outputs: np.ndarray, drop: float = 20.0) -> int:
    """The width of a model's last layer, from what its API returned.

    Rows of `outputs` that are equal count once. Then each row is centred: its mean is subtracted. Let s1 >= s2 >= ... be the singular
    values of these rows, computed in 64 bits; those below 1e-9 s1 count as 1e-9 s1. The width is the i
    with the largest ratio s_i / s_(i+1).

    Args:
        outputs: (n, V) logits or log-probabilities for n queries, n less than V; in 32 or 64 bits. Not
            modified.
        drop: how large that ratio has to be at least.

    Raises:
        ValueError: no ratio reaches `drop` (too few queries, or noise), or `outputs` has no two
            different rows, or all centred rows are exactly 0.

    >>> hidden_width(np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 0.0, 5.0]))
    1
    """
    ### BEGIN SOLUTION
    rows = np.unique(np.asarray(outputs, dtype=float), axis=0)
    sizes = np.linalg.svd(rows - rows.mean(1, keepdims=True), compute_uv=False)
    if len(sizes) < 2 or sizes[0] == 0:
        raise ValueError("two different answers are needed")
    sizes = np.maximum(sizes, 1e-9 * sizes[0])
    ratios = sizes[:-1] / sizes[1:]
    if ratios.max() < drop:
        raise ValueError(f"the largest drop is only {ratios.max():.3g}")
    return int(ratios.argmax()) + 1
    ### END SOLUTION


def output_space(outputs: np.ndarray, width: int) -> np.ndarray:
    """A basis of the space that the centred outputs lie in, or, with noise, nearly lie in.

    Each row is centred: its mean is subtracted. Of all spaces of `width` dimensions, it is the one with the
    smallest sum of squared distances to these rows, repeated ones included. Computed in 64 bits.

    Args:
        outputs: (n, V) logits or log-probabilities, in 32 or 64 bits. Not modified.
        width: from 1 to n, and less than V.

    Returns:
        (V, width): orthonormal columns, any such basis.

    Raises:
        ValueError: width is less than 1, or more than n.
    """
    ### BEGIN SOLUTION
    if not 1 <= width <= len(outputs):
        raise ValueError(f"{len(outputs)} answers span no space of {width} dimensions")
    rows = np.asarray(outputs, dtype=float)
    return np.linalg.svd(rows - rows.mean(1, keepdims=True), full_matrices=False)[2][:width].T
    ### END SOLUTION


def recovery_error(stolen: np.ndarray, layer: np.ndarray) -> float:
    """How much of a layer is missing in what was stolen, as a share.

    Both are centred: from each column its mean is subtracted. The error is the smallest
    norm(stolen G - layer) / norm(layer) over all (k, h) matrices G, with Frobenius norms.

    Args:
        stolen: (V, k), in 64 bits. Once centred, each column has a length from 1e-6 to 1e6. A column may
            be a combination of others, up to rounding. A short column counts as much as a long one. Not modified.
        layer: (V, h), in 64 bits, not constant. Not modified.

    Returns:
        From 0 (all of the layer) to 1 (nothing).

    >>> layer = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> recovery_error(5 * layer[:, ::-1], layer) < 1e-9
    True
    """
    ### BEGIN SOLUTION
    stolen, layer = (matrix - matrix.mean(axis=0) for matrix in (stolen, layer))
    # Columns of equal length first: what counts as dependent must not depend on lengths.
    stolen = stolen / np.linalg.norm(stolen, axis=0)
    best = np.linalg.lstsq(stolen, layer, rcond=1e-10)[0]
    return float(np.linalg.norm(stolen @ best - layer) / np.linalg.norm(layer))
    ### END SOLUTION


def rounded_api(model, step: float):
    """An API in front of a model, which returns rounded log-probabilities.

    Args:
        model: from queries, whatever they are, to an (n, V) array of finite logits, up to 1e5 in absolute value,
            in 32 or 64 bits.
        step: 0 or more.

    Returns:
        A function `api`. api(queries) calls model(queries), once, and returns the natural logarithms of
        the softmax over the vocabulary, (n, V), computed in 64 bits, each rounded to the nearest
        multiple of `step`; with step 0 they are not rounded. What the model returned is not modified.

    >>> rounded_api(lambda queries: np.zeros((1, 4)), step=0.5)("Hello")
    array([[-1.5, -1.5, -1.5, -1.5]])
    """
    ### BEGIN SOLUTION
    def api(queries):
        logits = np.asarray(model(queries), dtype=float)
        shifted = logits - logits.max(1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return np.round(log_probs / step) * step if step else log_probs

    return api
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_stealing", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def orthonormal(generator, n, k, centred=False):
    """(n, k) with orthonormal columns; centred: each with the sum 0."""
    columns = generator.normal(size=(n, k))
    return np.linalg.qr(columns - columns.mean(0) if centred else columns)[0]


def answers(generator, n, vocabulary, sizes):
    """Rows whose singular values, once they are centred, are exactly these; before, each row has a number added."""
    left, right = orthonormal(generator, n, len(sizes)), orthonormal(generator, vocabulary, len(sizes), centred=True)
    return (left * sizes) @ right.T + generator.normal(size=(n, 1)) * 3 * max(sizes), right


@check(points=0.5, hint="Centre the rows. The ratio at index 0 means width 1.")
def width_by_hand():
    """20 answers of a model of width 4, as log-probabilities, have width 4."""
    outputs, _ = answers(np.random.default_rng(0), 20, 30, np.array([5.0, 3.0, 2.0, 1.0]))
    found = hidden_width(outputs)
    assert found == 4, f"{found} instead of 4"


@check(points=0.5, hint="Centred rows; the first rows of what NumPy calls Vh, transposed.")
def space_by_hand():
    """All centred answers of a model of width 2 lie in the space, whose basis is orthonormal."""
    outputs, _ = answers(np.random.default_rng(1), 6, 9, np.array([4.0, 1.0]))
    basis = np.asarray(output_space(outputs, 2))
    assert basis.shape == (9, 2), f"shape {basis.shape} instead of (9, 2)"
    assert np.allclose(basis.T @ basis, np.eye(2), atol=1e-9), "the columns are not orthonormal"
    rows = outputs - outputs.mean(1, keepdims=True)
    assert np.allclose(rows @ basis @ basis.T, rows, atol=1e-9), "the centred answers do not lie in the space"


@check(points=0.75, hint="Centre both, find the best G by least squares, then compare norms.")
def error_by_hand():
    """Of a layer with columns of the lengths 3 and 4 at a right angle, whoever has the first only misses 4/5."""
    layer = np.array([[3.0, 0, 0, -3.0], [0, 4.0, -4.0, 0]]).T
    found = recovery_error(7 * layer[:, :1] + 2, layer)
    assert abs(found - 0.8) < 1e-9, f"{found:.4f} instead of 0.8"
    found = recovery_error(layer @ np.array([[1.0, 2.0], [3.0, 4.0]]), layer)
    assert found < 1e-9, f"another basis of the same layer: {found:.4f} instead of 0"


@check(points=0.75, hint="log(1/2) is -0.693, log(1/4) is -1.386; their nearest multiples of 0.2 are -0.6 and -1.4.")
def api_by_hand():
    """For logits with the probabilities 1/2, 1/4, 1/4, the API returns -0.6, -1.4, -1.4 with a step of 0.2."""
    found = probe(lambda: np.asarray(rounded_api(lambda queries: np.log([[4.0, 2.0, 2.0]]), 0.2)("?")))
    assert found.shape == (1, 3), f"shape {found.shape} instead of (1, 3)"
    assert np.allclose(found, [[-0.6, -1.4, -1.4]], atol=1e-9), f"{np.round(found, 3).tolist()} instead of [[-0.6, -1.4, -1.4]]"


### BEGIN HIDDEN TESTS
from scipy.linalg import subspace_angles
from scipy.special import log_softmax


def fresh():
    """A generator that depends on the check and the run's seed."""
    return np.random.default_rng(np.random.randint(2**31))


def widths(cases, drops=None):
    """hidden_width for many matrices: a number, or None for a ValueError; and whether any matrix was changed."""
    def run(cases, drops):
        found, changed = [], False
        for outputs, drop in zip(cases, drops, strict=True):
            before = outputs.copy()
            try:
                found.append(hidden_width(outputs) if drop is None else hidden_width(outputs, drop))
            except ValueError:
                found.append(None)
            changed = changed or not np.array_equal(before, outputs)
        return found, changed

    found, changed = probe(run, cases, drops or [None] * len(cases))
    if changed:
        fail("The outputs were modified.")
    return found


@check(points=1, hint="Ratios between neighbours, not sizes or differences; the numbers in a row may all have something added.")
def finds_the_largest_ratio():
    """The width is found at any scale of the logits, with one small direction, and before a noise that is not small in itself."""
    generator = fresh()
    spectra = [
        [9.0, 8.0, 7.0, 6.0], [900.0, 100.0, 30.0, 8.0, 1.0], [1000.0, 40.0, 38.0, 35.0, 1.5], [5.0], [3.0, 2.9],
        # After the gap comes noise: 1/100 of the last size, but larger than a fixed threshold would allow.
        [500.0, 400.0, 300.0, *np.linspace(3.0, 1.8, 11)], [60.0, 50.0, 40.0, 2.0, *np.linspace(0.01, 0.005, 10)],
        # Two ratios with the same whole part, of which the second is larger.
        [1000.0, 40.2, 1.57, *np.linspace(1.5, 1.0, 11)],
    ]
    truth = [4, 5, 5, 1, 2, 3, 4, 2]
    cases, expected = [], []
    for scale in (1.0, 1e3, 1e-3, 1e-8):
        for spectrum, width in zip(spectra, truth, strict=True):
            cases.append(answers(generator, 14, 25, scale * np.array(spectrum))[0])
            expected.append(width)
    # Two different answers: one direction, of which one answer may have nothing.
    pair = generator.normal(size=(1, 9))
    for two in (np.vstack([pair, 3 * pair + 1]), np.vstack([np.full((1, 9), 2.0), pair])):
        cases.append(two)
        expected.append(1)
    for i, (found, width) in enumerate(zip(widths(cases), expected, strict=True)):
        if found != width:
            if i >= len(cases) - 2:
                fail("The width is wrong for two different answers that show one direction.")
            fail("The width is wrong" + (" where the logits are very large or small." if i >= len(truth) else f": off by {found - width}." if found else ": ValueError instead."))


@check(points=1, hint="Nothing in n rows of full rank shows where they end: refuse unless a ratio reaches `drop`.")
def refuses_what_shows_no_width():
    """Too few queries, noise, equal rows and zeros are refused; `drop` says from which ratio on there is an answer."""
    generator = fresh()
    sizes = np.linspace(9.0, 3.0, 12)
    full, _ = answers(generator, 12, 30, sizes)
    cases = [
        full, full[:1], full[:7], np.repeat(full[:1], 5, axis=0), np.zeros((4, 9)), np.ones((4, 9)) * np.arange(4)[:, None],
        orthonormal(generator, 40, 20).T * 5,
    ]
    names = ["as many queries as the width", "one query", "fewer queries than the width", "one query, repeated", "zeros", "rows that are constant", "noise"]
    for name, found in zip(names, widths(cases), strict=True):
        if found is not None:
            fail(f"A width is reported for {name}.")
    spectrum = np.array([60.0, 40.0, 2.5, *np.linspace(2.4, 1.0, 11)])  # the largest ratio is 16, after the second
    noisy, _ = answers(generator, 14, 30, spectrum)
    between, _ = answers(generator, 14, 30, np.array([60.0, 40.0, 2.4, *np.linspace(2.3, 1.0, 11)]))  # 16.7
    if widths([noisy] * 4 + [between] * 2, [None, 17.0, 15.0, 2.0, 16.4, 16.9]) != [None, None, 2, 2, 2, None]:
        fail("`drop` is not what decides whether a width is reported, or 20 is not what holds without it.")


@check(points=1, hint="Unique rows first. Values below 1e-9 s1 count as 1e-9 s1. Convert to 64 bits before the singular values.")
def looks_at_different_rows_in_64_bits():
    """Equal rows count once, rounding below 1e-9 hides nothing, and 32-bit outputs are computed with in 64 bits."""
    generator = fresh()
    # With noise in all rows, a repeated row would make the last singular value 0, and the last ratio the largest.
    noisy, _ = answers(generator, 14, 30, np.array([500.0, 400.0, 300.0, *np.linspace(2.9, 1.8, 11)]))
    repeated = noisy[[*range(14), 3, 3, 0, 9]]
    # Below 1e-9 of the largest there are steps by thousands, which are to be overlooked.
    tiny, _ = answers(generator, 14, 30, np.array([1.0, 0.9, 0.8, 3e-10, 1e-14]))
    tiny_second, _ = answers(generator, 14, 30, np.array([1.0, 0.9, 1e-5, 9e-10]))
    # What lies below 1e-9 of the largest counts as this: not as twice as much, nor as a share of another value.
    counted, _ = answers(generator, 14, 30, np.array([1.0, 1 / 30, 30**-2.0, 30**-3.0, 30**-4.0, 30**-5.0, 1e-13]))  # 30, …, 30, 41
    share, _ = answers(generator, 14, 30, np.array([1.0, 1e-2, 5e-5, 5e-7, 5e-9, 1e-13]))  # 100, 200, 100, 100, 5
    tiny, tiny_second, counted, share = (matrix - matrix.mean(1, keepdims=True) for matrix in (tiny, tiny_second, counted, share))
    # Whole numbers below 2**23, exact in 32 bits. The third direction is 40 to 700 times smaller than the second, and at least 1,000 times that
    # larger than the floor (20,000 draws). Means in 32 bits are wrong by about a fifth of its size, so that it seems to go on after it.
    def exact():
        directions = generator.integers(-3, 4, (3, 20))
        directions[:, -1] -= directions.sum(1)
        rows = generator.integers(-500, 501, (14, 2)) @ directions[:2] + generator.integers(-2, 3, (14, 1)) @ directions[2:]
        return (rows + generator.integers(2**22, 2**23, (14, 1))).astype(np.float32)

    for (name, width), found in zip((("an answer comes twice", 3), ("tiny singular values follow", 3), ("a small direction is followed by tiny ones", 2), ("the outputs have 32 bits", 3), ("the outputs have 32 bits", 3), ("the last drop is to 1e-9 of the largest", 6), ("values are a little above 1e-9 of the largest", 2)), widths([repeated, tiny, tiny_second, exact(), exact(), counted, share]), strict=True):
        if found != width:
            fail(f"The width is wrong where {name}.")


@check(points=1.25, hint="The right singular vectors of the centred rows that belong to the largest singular values.")
def space_is_the_nearest():
    """The space is that of the largest singular values, also with noise, with n above and below V, for log-probabilities, and for outputs of 32 bits."""
    generator = fresh()
    cases, expected = [], []
    for n, vocabulary, width in ((12, 30, 4), (30, 12, 4), (20, 20, 7), (5, 40, 5), (9, 10, 1)):
        rest = min(n, vocabulary - 1) - width
        sizes = np.concatenate([generator.permutation(np.linspace(9, 5, width)), np.full(rest, 1e-2)])
        outputs, right = answers(generator, n, vocabulary, sizes)
        cases.append((outputs, width))
        expected.append(right[:, :width])
    # Exact in 32 bits; computed in 32 bits, the space would be wrong by about 1e-6.
    short = (generator.integers(-50, 51, (9, 3)) @ generator.integers(-50, 51, (3, 16)) + generator.integers(2**19, 2**20, (9, 1))).astype(np.float32)
    cases.append((short, 3))
    centred = short.astype(float) - short.mean(1, keepdims=True, dtype=float)
    expected.append(np.linalg.eigh(centred.T @ centred)[1][:, -3:])
    # A row that comes four times counts four times: its direction is the first, although the other row is longer.
    pair = orthonormal(generator, 9, 2, centred=True)
    cases.append(((pair * [3.0, 2.0]).T[[0, 1, 1, 1, 1]], 1))
    expected.append(pair[:, 1:])

    def run(cases):
        return [(np.asarray(output_space(outputs, width)), outputs) for outputs, width in cases]

    for (outputs, width), (basis, after), right in zip(cases, probe(run, cases), expected, strict=True):
        if basis.shape != right.shape:
            fail("The shape is wrong: (V, width).")
        if not np.allclose(basis.T @ basis, np.eye(width), atol=1e-8):
            fail("The columns are not orthonormal.")
        if not np.allclose(basis @ basis.T, right @ right.T, atol=1e-8):
            fail("The space is not the nearest to the centred rows.")
        if not np.array_equal(outputs, after):
            fail("The outputs were modified.")


@check(points=0.5, hint="A slice of five rows to the seventh has five, without any error: look at width first.")
def space_needs_answers():
    """A width below 1, or above the number of answers, is refused."""
    def refused(outputs, width):
        try:
            output_space(outputs, width)
        except ValueError:
            return True
        return False

    outputs, _ = answers(fresh(), 5, 12, np.array([3.0, 2.0, 1.0]))
    for width, truth in ((0, True), (-1, True), (6, True), (11, True), (5, False), (1, False)):
        if probe(refused, outputs, width) != truth:
            fail(f"A width of {width} with 5 answers has to {'raise ValueError' if truth else 'be accepted'}.")


@check(points=1.5, hint="Least squares for any G, not a rotation only; columns of all lengths, and those that depend on each other.")
def error_is_an_angle():
    """For an orthonormal layer, the squared error is the mean squared sine of the angles between the two spaces, whatever the basis."""
    generator = fresh()
    cases, expected = [], []
    for vocabulary, k, h in ((30, 4, 4), (25, 2, 5), (25, 7, 3), (12, 11, 4), (40, 1, 1)):
        layer = orthonormal(generator, vocabulary, h, centred=True)
        stolen = 0.3 * generator.normal(size=(vocabulary, k))
        stolen[:, : min(h, k)] += layer[:, : min(h, k)]
        sines = np.sin(subspace_angles(stolen - stolen.mean(0), layer))
        truth = math.sqrt((np.sum(sines**2) + max(0, h - k)) / h)
        mixed = stolen @ (generator.normal(size=(k, k)) + 2 * np.eye(k))
        lengths = 10.0 ** np.linspace(-6, 6, k)
        for one in (stolen, mixed, stolen * lengths, np.hstack([stolen, stolen[:, :1], 2 * stolen[:, -1:] - stolen[:, :1]])):
            cases.append((one + generator.normal(size=one.shape[1]) * np.abs(one).max(0), 1e3 * layer + generator.normal(size=h)))
            expected.append(truth)
        cases.append((cases[-4][0], 1e-4 * layer))
        expected.append(truth)

    def run(cases):
        return [(float(recovery_error(stolen, layer)), stolen, layer) for stolen, layer in cases]

    for i, ((stolen, layer), (found, stolen_after, layer_after), truth) in enumerate(zip(cases, probe(run, cases), expected, strict=True)):
        if not abs(found - truth) < 1e-6:
            fail("The error is wrong" + ("." if i % 5 == 0 else (" in another basis.", " where columns have very different lengths.", " where columns depend on each other.", " for a layer of small numbers.")[i % 5 - 1]))
        if not (np.array_equal(stolen, stolen_after) and np.array_equal(layer, layer_after)):
            fail("An argument was modified.")


@check(points=1.25, hint="First the logarithm of the softmax, then divide by the step, round, multiply. Subtract a row's largest logit before exp.")
def api_rounds_log_probabilities():
    """The API agrees with SciPy's log_softmax within half a step, in multiples of the step, and asks the model once for each call."""
    generator = fresh()
    arrays = [generator.normal(size=(3, 7)), 1e4 * generator.normal(size=(2, 5)), generator.normal(size=(4, 4)) - 900, generator.integers(0, 9, (2, 6)), generator.normal(size=(1, 9)).astype(np.float32)]

    def run(arrays, steps):
        results = []
        for logits in arrays:
            for step in steps:
                calls = []

                def model(queries, calls=calls, logits=logits):
                    calls.append(queries)
                    return logits

                before = logits.copy()
                api = rounded_api(model, step)
                early = len(calls)
                first = np.asarray(api(["a", "b"]))
                second = np.asarray(api("c"))
                results.append((first, second, early, list(calls), bool(np.array_equal(before, logits))))
        return results

    steps = [0, 0.25, 0.3, 1.0, 3.0]
    cases = [(logits, step) for logits in arrays for step in steps]
    for (logits, step), (first, second, early, calls, same) in zip(cases, probe(run, arrays, steps), strict=True):
        if early or calls != [["a", "b"], "c"]:
            fail("The model has to be called once for each call of the API, with its queries, and not before.")
        if not same:
            fail("What the model returned was modified.")
        truth = log_softmax(logits.astype(float), axis=1)
        # In 32 bits a sum of exponentials is precise to about 1e-7 of the largest number here.
        if first.shape != truth.shape or not np.isfinite(first).all() or not np.allclose(first, second):
            fail("The API returns another shape, numbers that are not finite, or something else at the second call.")
        tolerance = 1e-5 if logits.dtype == np.float32 else 1e-9 * max(1.0, np.abs(truth).max())
        if not (np.abs(first - truth) <= step / 2 + tolerance).all():
            fail("The answer is farther from the log-probabilities than half a step." if step else "With step 0, these are not the log-probabilities.")
        if step and not (np.abs(first / step - np.round(first / step)) < 1e-6).all():
            fail("The answers are not multiples of the step.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# The attack on the GPT, through your API. **Predict:** which step of rounding protects the layer, and which hides the width?

# %% tags=["demo", "nbval-ignore-output"]
def draw_theft(language_model, numbers=(40, 64, 100, 200, 500, 1000), steps=(0, 0.01, 0.1, 1.0)):
    own_layer = language_model.model.tokens.weight.detach().numpy().astype(float)
    all_logits = ask_gpt(language_model, max(numbers), seed=1)
    _, axes = plt.subplots(figsize=(7.5, 3.4))
    for step, marker in zip(steps, "os^xD*", strict=False):
        returned = rounded_api(lambda n: all_logits[:n], step)
        errors = [recovery_error(output_space(returned(n), min(n, 64)), own_layer) for n in numbers]
        try:
            found = f"width found: {hidden_width(returned(300))}"
        except ValueError:
            found = "width not found"
        axes.loglog(numbers, errors, marker + "-", ms=5, lw=1, mfc="none", label=f"{f'step {step:g}' if step else 'not rounded'}: {found}")
    axes.set(xlabel="queries", ylabel="error", title="The layer, as far as 64 directions show it", xticks=numbers, xticklabels=numbers)
    axes.minorticks_off()
    axes.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.02, 0.5), title="(with 300 queries)")
    plt.show()


try:
    draw_theft(thread_gpt)
except NotImplementedError:
    print("This figure needs your functions of exercise 7.5.")

# %% [markdown]
# With exact log-probabilities, 64 queries, as many as the width, are enough for the whole layer. Rounding to 0.01 hides the *width* (the drop is less than 20) but not the layer: with 200 queries, who guesses 64 misses less than 0.3 % of it. With a step of 0.1 it is about 2 %, and with more queries the error falls on: rounding errors average out, as noise does.
#
# The last layer can be taken because it is linear; this attack says nothing about those below. Encrypting the weights is no defence: the attack asks questions only. What helps is to return less (no log-probabilities, or no free `logit_bias`), noise, and limits on the number of queries.
#
# **Change, predict, run.** `draw_theft(thread_gpt, numbers=(65, 300, 1000, 3000), steps=(0.1, 1.0))`. By what factor does the error fall with ten times as many queries?
#
# <details><summary>What you should see</summary>
#
# With a step of 0.1, from 300 to 3,000 queries by a factor of about three, √10: the signal grows with the number of queries, rounding errors with its square root. With a step of 1 only by two: the weakest direction (the 64th in the first figure) stays hidden among the rounding errors. So rounding sets a price for the attack; it does not stop it.
# </details>
