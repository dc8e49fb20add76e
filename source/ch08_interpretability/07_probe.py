# %% [markdown]
# ## 8.7 What a probe proves
#
# Does your small GPT of chapter 1 know whether it is inside quotation marks? One trains a linear classifier, a **probe**, to read the answer from its hidden states (Alain and Bengio, arXiv:1610.01644). After the first block, the probe is right in 91 % of all tokens. **Predict:** what would you ask before you believe that the model knows?
#
# Three questions, each with a number:
#
# * **What does one get for nothing?** 89 % of the tokens are outside quotes. Always to say "outside" is the **base**.
# * **Is it the model's work?** Random weights pass the input on, too. So probe an *untrained* model of the same shape.
# * **Is it the probe's work?** A probe can learn by heart which tokens stand in quotes. Hewitt and Liang (arXiv:1909.03368) therefore train it on a **control task**, too: each *type* of token (each entry of the vocabulary) has a label by a coin, the same wherever it stands. Their **selectivity** is the accuracy at the property minus the accuracy at the control task.
#
# The probe here is logistic regression, on hidden states $h_i$ with labels $y_i \in \{0, 1\}$. With $z_i = w \cdot h_i + b$ it minimises
#
# $$\sum_i \big( \log(1 + e^{z_i}) - y_i z_i \big) + \frac{\lambda}{2} \lVert w \rVert^2 .$$
#
# Whole windows of text are for training or for testing: neighbouring tokens have almost the same label, so a split by tokens would let the probe copy.
#
# **A probe that is not trained.** Each block of a transformer adds to one *stream*, which a norm and the output layer read at the end. The **logit lens** (nostalgebraist, 2020) reads it earlier in the same way: what would the model say if it ended here?

# %% nbgrader={"grade": false, "grade_id": "setup_probing", "locked": true, "schema_version": 3, "solution": false, "task": false}
from autograder.gpt import GPT  # the course's small language model, built as in section 1.5

# %% [markdown]
# ### Exercise 8.7 · What a probe proves
#
# > **Difficulty** ★★☆☆ · **55 minutes** · **12 points** · NumPy, PyTorch
#
# **Write** four functions. `scipy.optimize` may be used; scikit-learn's `LogisticRegression` may not: the hidden checks let it raise an error.
#
# <details><summary>Hint 1: a probe by scipy</summary>
#
# `scipy.optimize.minimize(f, start, jac=True, options={"gtol": 1e-9})` with an `f` that returns the value and the gradient. With $p_i = 1 / (1 + e^{-z_i})$, which is `scipy.special.expit`, the gradient is $\sum_i (p_i - y_i) h_i + \lambda w$, and $\sum_i (p_i - y_i)$ for the bias. $\log(1 + e^z)$ is `np.logaddexp(0, z)`.
# </details>
#
# <details><summary>Hint 2: large entries</summary>
#
# For the search, subtract each column's mean (the bias takes it up), and divide by the standard deviation $s$ of all entries, one number. Their weights are then $s$ times as large, so the penalty is $\lambda / (2 s^2)$ times their squares. Divide them by $s$ at the end.
# </details>
#
# <details><summary>Hint 3: the lens</summary>
#
# `GPT.forward` is short: see `GPT.forward??`. Collect the stream before the blocks and after each; `model.norm` and `model.tokens.weight.T` for each of them.
# </details>

# %% nbgrader={"grade": false, "grade_id": "probing", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fit_probe(hidden: np.ndarray, labels: np.ndarray, penalty: float = 1.0) -> tuple[np.ndarray, float]:
    """Fits a linear probe: logistic regression with a penalty.

    It minimises the sum of the log losses over the rows, plus penalty / 2 times the sum of the squared weights. The bias is not penalised.

    Args:
        hidden: (n, d), floats of 16, 32 or 64 bits (compute in 64), maybe with entries of 100 and more, far from 0 in the mean. Not modified.
        labels: (n,), 0 and 1, as bool, whole numbers (maybe unsigned) or floats.
        penalty: 0.01 or more.

    Returns:
        The weights (d,), and the bias. A row has label 1 if its scalar product with the weights, plus the bias, is above 0. The value
        of what is minimised is at most 0.001 % above the lowest.

    Raises:
        ValueError: all labels are equal.
    """
    ### BEGIN SOLUTION
    from scipy.optimize import minimize
    from scipy.special import expit

    x, y = np.asarray(hidden, dtype=float), np.asarray(labels, dtype=float)
    if y.min() == y.max():
        raise ValueError("all labels are equal")
    center, scale = x.mean(0), x.std() + 1e-12  # of order one, the search takes fewer steps
    z = (x - center) / scale

    def loss(parameters):
        weight, bias = parameters[:-1], parameters[-1]
        logits = z @ weight + bias
        error = expit(logits) - y
        value = np.logaddexp(0, logits).sum() - y @ logits + penalty / 2 * (weight @ weight) / scale**2
        return value, np.append(z.T @ error + penalty * weight / scale**2, error.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-13, "gtol": 1e-9}).x
    weight = found[:-1] / scale
    return weight, float(found[-1] - weight @ center)
    ### END SOLUTION


def control_labels(ids: np.ndarray, vocabulary: int, share: float, seed: int) -> np.ndarray:
    """Labels of the control task: each *type* of token has a label by chance, once and for all.

    Args:
        ids: of any shape, whole numbers from 0 up to vocabulary - 1. Not modified.
        vocabulary: how many types there are.
        share: the probability of label 1, for each type independently.
        seed: of the draw. With the same seed (and vocabulary and share), a type has the same label everywhere: in each row, and in other arrays. With
            another seed, it is drawn anew. The state of NumPy's global generator stays as it is.

    Returns:
        Of the shape of ids: 0 and 1, whole numbers.
    """
    ### BEGIN SOLUTION
    of_type = np.random.default_rng(seed).random(vocabulary) < share
    return of_type[ids].astype(int)
    ### END SOLUTION


def selectivity(hidden: np.ndarray, labels: np.ndarray, controls: np.ndarray, is_test: np.ndarray, penalty: float = 1.0) -> tuple[float, float, float, float]:
    """What a probe achieves on windows that it has not seen, beside what it would achieve anyway.

    Args:
        hidden: (N, T, d), the hidden states at T positions of N windows of text. Not modified.
        labels: (N, T), 0 and 1: the property to be read.
        controls: (N, T), 0 and 1: the labels of a control task. In both, the training windows have zeros and ones.
        is_test: (N,) bool. Probes are fitted on all positions of the other windows, and tested on all positions of these.
        penalty: of both probes.

    Returns:
        (accuracy, base, control accuracy, selectivity): all of them on the test windows. The accuracy of the probe of the labels; the
        accuracy if one always answers the label that is more common in the *training* windows (never a tie here); the accuracy of a second
        probe, fitted on the controls; and the first minus the third.
    """
    ### BEGIN SOLUTION
    is_test = np.asarray(is_test, dtype=bool)
    train, test = (hidden[rows].reshape(-1, hidden.shape[-1]) for rows in (~is_test, is_test))

    def accuracy(targets):
        targets = np.asarray(targets)
        weight, bias = fit_probe(train, targets[~is_test].ravel(), penalty)
        return float(((test @ weight + bias > 0) == (targets[is_test].ravel() > 0)).mean())

    labels = np.asarray(labels)
    common = labels[~is_test].mean() > 0.5
    base = float(((labels[is_test] > 0) == common).mean())
    of_labels, of_controls = accuracy(labels), accuracy(controls)
    return of_labels, base, of_controls, of_labels - of_controls
    ### END SOLUTION


def logit_lens(model: GPT, ids: torch.Tensor) -> torch.Tensor:
    """What the model would predict if it ended earlier: the logits after the embeddings, and after each block.

    Args:
        model: the course's GPT, in evaluation mode: its parts are `tokens`, `positions`, `blocks` and `norm`; see `GPT.forward`. Not
            modified, and it keeps no hooks.
        ids: (B, T) tokens. Not modified.

    Returns:
        (L + 1, B, T, V) for L blocks. The first is made of the embeddings alone, the last is `model(ids)`. No gradients are recorded.
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        stream = model.tokens(ids) + model.positions.weight[: ids.shape[1]]
        streams = [stream]
        for block in model.blocks:
            stream = block(stream)
            streams.append(stream)
        return model.norm(torch.stack(streams)) @ model.tokens.weight.T
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_probing", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def random_gpt(seed: int, **sizes) -> GPT:
    """A GPT with random weights, in 64 bits; its norms have weights and biases that matter, and its stream is large."""
    generator = torch.Generator().manual_seed(seed)
    model = GPT(**({"vocabulary": 11, "context": 8, "width": 8, "layers": 3, "heads": 2} | sizes)).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 3.0 if name in ("tokens.weight", "positions.weight") else 1.0 / p.shape[-1] ** 0.5 if p.dim() > 1 else 0.5
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale + ("norm" in name and "weight" in name))
    return model


@check(points=0.75, hint="The sum of the log losses, not their mean; penalty / 2 times the squares of the weights; the bias is free.")
def probe_by_hand():
    """By hand: for labels 1, 1, 0, 0 at 11, 11, 9, 9 and a penalty of 4 / (1 + e) = 1.0758, the weight is 1 and the bias -10."""
    weight, bias = fit_probe(np.array([[11.0], [11.0], [9.0], [9.0]]), np.array([1, 1, 0, 0]), 4 / (1 + math.e))
    weight = np.asarray(weight)
    assert weight.shape == (1,), f"the weights have the shape {weight.shape} instead of (1,)"
    assert abs(weight[0] - 1) < 0.01, f"the weight is {weight[0]:.4f} instead of 1"
    assert abs(float(bias) + 10) < 0.1, f"the bias is {float(bias):.4f} instead of -10"


@check(points=0.75, hint="Draw one label for each of the vocabulary's types; then look up each token's.")
def one_label_for_a_type():
    """A type has the same label wherever it stands, also in another array, and both labels occur."""
    first = np.array([[5, 9, 5], [7, 9, 0]])
    found, again = np.asarray(control_labels(first, 40, 0.5, 3)), np.asarray(control_labels(np.arange(40), 40, 0.5, 3))
    assert found.shape == (2, 3), f"shape {found.shape} instead of (2, 3)"
    assert set(again.tolist()) == {0, 1}, "among 40 types, not both of the labels 0 and 1 occur"
    assert found[0, 0] == found[0, 2] and found[0, 1] == found[1, 1], "one type has two labels in one array"
    assert (found == again[first]).all(), "a type has another label in another array"


@check(points=0.75, hint="Fit on the windows that are not for testing. The base is the commoner label of the training windows, tried on the test windows.")
def selectivity_by_hand():
    """By hand: four of six test labels read correctly, one of six by the base, three of six controls, and a selectivity of 1/6."""
    hidden = np.array([[1, 1, -1], [1, 1, -1], [1, 1, -1], [-1, -1, 1]])[..., None] * 1.0
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
    controls = np.array([[0, 0, 1], [0, 0, 0], [0, 0, 1], [0, 1, 1]])
    found = selectivity(hidden, labels, controls, np.array([False, True, False, True]))
    assert len(found) == 4, f"{len(found)} numbers instead of 4"
    for name, value, wanted in zip(("accuracy", "base", "control accuracy", "selectivity"), found, (4 / 6, 1 / 6, 3 / 6, 1 / 6), strict=True):
        assert abs(float(value) - wanted) < 1e-6, f"the {name} is {float(value):.4f} instead of {wanted:.4f}"


@check(points=0.75, hint="After the embeddings and after each block: the final norm, then the product with the embeddings of all tokens.")
def lens_ends_with_the_model():
    """There are logits after the embeddings and after each of three blocks; the last are the model's, the first are made of the embeddings."""
    def run(seed, ids):
        return logit_lens(random_gpt(seed), ids).detach(), random_gpt(seed)(ids).detach()

    ids = torch.tensor([[3, 1, 4], [1, 5, 9]])
    found, last = probe(run, 1, ids)
    assert tuple(found.shape) == (4, 2, 3, 11), f"shape {tuple(found.shape)} instead of (4, 2, 3, 11)"
    assert torch.allclose(found[-1], last, atol=1e-8), "the last logits are not those of the model"
    model = random_gpt(1)
    first = model.tokens.weight[ids] + model.positions.weight[:3]
    centered = first - first.mean(-1, keepdim=True)
    normed = centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * model.norm.weight + model.norm.bias
    assert torch.allclose(found[0], normed @ model.tokens.weight.T, atol=1e-8), "the first logits are not made of the normed embeddings"


### BEGIN HIDDEN TESTS
LIBRARY = ("sklearn.linear_model.LogisticRegression.fit", "sklearn.linear_model.LogisticRegressionCV.fit", "sklearn.linear_model.SGDClassifier.fit")


def fitted(x, y, penalty):
    """The library's fit, and the value that is minimised as a function of weights and bias."""
    from sklearn.linear_model import LogisticRegression

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    center, scale = x.mean(0), x.std()
    library = LogisticRegression(C=scale**2 / penalty, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit((x - center) / scale, y)
    weight = library.coef_[0] / scale

    def value(weight, bias):
        logits = x @ weight + bias
        return float(np.logaddexp(0, logits).sum() - y @ logits + penalty / 2 * (weight @ weight))

    return weight, float(library.intercept_[0] - weight @ center), value


@check(points=2, hint="Compare with the library's LogisticRegression(C=1 / penalty). Compute in 64 bits; where entries are large, divide by their size first, and penalise accordingly.")
def agrees_with_the_library():
    """For several sizes, penalties, scales and types, what is minimised is as low as in the library's logistic regression."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = []
    for n, d, penalty, size, shift in ((60, 3, 1.0, 1.0, 0.0), (200, 10, 0.1, 1.0, 2.0), (80, 4, 30.0, 1.0, -3.0), (300, 8, 1.0, 100.0, 50.0), (50, 60, 2.0, 1.0, 0.0), (40, 2, 5.0, 0.1, 1.0), (100, 4, 1.0, 100.0, 200.0), (120, 6, 1.0, 1.0, 400.0), (20, 30, 0.01, 1.0, 0.0)):
        x = generator.normal(size=(n, d)) * size + shift
        logits = (x - shift) / size @ generator.normal(size=d) * 1.5 + 1.0 * (n != 50)
        y = logits + generator.logistic(size=n) > 0
        y[:2] = True, False
        x = x.astype(np.float16 if n == 100 else np.float32 if n == 60 else float)
        cases.append((x, (y, y.astype(int), y.astype(float), y.astype(np.uint8))[len(cases) % 4], penalty))

    def run(cases):
        with forbidden(*LIBRARY):
            found = []
            for i, case in enumerate(cases):
                for array in case[:2]:
                    array.flags.writeable = False
                weight, bias = fit_probe(*case[: 2 + (i > 0)])
                found.append((np.asarray(weight, dtype=float), float(bias)))
            return found

    for i, ((x, y, penalty), (weight, bias)) in enumerate(zip(cases, probe(run, [tuple(np.array(part) if k < 2 else part for k, part in enumerate(case)) for case in cases]), strict=True)):
        best, best_bias, value = fitted(x, y, penalty)
        where = ("in 32 bits", "with a penalty of 0.1", "with a penalty of 30", "with large entries", "with more weights than rows", "with small entries", "in 16 bits", "far from 0 in the mean", "where the labels can be separated")[i]
        if weight.shape != (x.shape[1],):
            fail("The weights do not have the shape (d,).")
        if not value(weight, bias) <= value(best, best_bias) * (1 + 1e-5) + 1e-9:
            fail(f"What is minimised is not as low as it can be, {where}.")


@check(points=0.5, hint="With one class, the bias runs away to infinity: raise ValueError before.")
def refuses_one_class():
    """Equal labels, all 0 or all 1, raise ValueError."""
    def run(cases):
        found = []
        for case in cases:
            try:
                fit_probe(*case)
                found.append(False)
            except ValueError:
                found.append(True)
        return found

    x = np.random.normal(size=(6, 2))
    if not all(probe(run, [(x, np.zeros(6, dtype=int)), (x, np.ones(6)), (x, np.ones(6, dtype=bool), 3.0)])):
        fail("Equal labels have to raise ValueError.")


@check(points=1, hint="The label must depend on the type, the seed and nothing else: not on its place, nor on which other tokens are in the array.")
def labels_depend_on_the_type_alone():
    """A type's label is the same in arrays of any shape with any other tokens, and NumPy's global generator is left alone."""
    def run(all_ids, seed):
        np.random.seed(4)
        before = np.random.get_state()[1].copy()
        found = [np.asarray(control_labels(ids, 300, 0.4, seed)) for ids in all_ids]
        return found, bool((np.random.get_state()[1] == before).all())

    everywhere = [np.arange(300), np.arange(300)[::-1].copy(), np.random.randint(300, size=(7, 5, 3)), np.array([299]), np.array([0, 0, 7]), np.random.randint(200, 300, size=(40,)), np.zeros((0, 4), dtype=int), np.arange(300)]
    given = [ids.copy() for ids in everywhere]
    found, alone = probe(run, given, 11)
    table = found[0]
    for ids, labels in zip(everywhere, found, strict=True):
        if labels.shape != ids.shape:
            fail("The labels do not have the shape of the tokens.")
        if not np.isin(labels, (0, 1)).all() or labels.dtype.kind not in "iu":
            fail("The labels are not 0 and 1, in whole numbers.")
        if not (labels == table[ids]).all():
            fail("A type has different labels in different arrays.")
    if not alone or not all((a == b).all() for a, b in zip(everywhere, given, strict=True)):
        fail("NumPy's global generator is used or seeded, or the tokens are modified.")


@check(points=1, hint="One independent draw for each type, 1 with the given probability; the seed decides on all of them.")
def labels_are_chance():
    """The share of ones is the one that is asked for; neighbouring types, and other seeds, are drawn independently."""
    # Each statistic is a sum of 20,000 independent terms, and allowed to be 5.5 of its standard deviations away: 4e-8 a test, 8 tests; 8 where two seeds are compared at all 20,000 distances.
    n = 20_000

    def run(n):
        small = [int(np.asarray(control_labels(np.arange(50), 50, 0.4, seed)).sum()) for seed in range(30)]
        return [np.asarray(control_labels(np.arange(n), n, share, seed)) for share, seed in ((0.2, 1), (0.2, 2), (0.7, 1), (0.7, 12))], small

    found, small = probe(run, n)
    if len(set(small)) == 1:
        fail("Among few types, the number of ones is the same for every seed: each type wants a draw of its own.")
    for labels, share in zip(found, (0.2, 0.2, 0.7, 0.7), strict=True):
        if abs(labels.mean() - share) > 5.5 * math.sqrt(share * (1 - share) / n):
            fail("The share of ones is not the one that is asked for.")
        off = labels - share
        if abs((off[1:] * off[:-1]).mean()) > 5.5 * share * (1 - share) / math.sqrt(n - 1):
            fail("Neighbouring types do not have independent labels.")
    for a, b, share in ((0, 1, 0.2), (2, 3, 0.7)):
        if abs(((found[a] - share) * (found[b] - share)).mean()) > 5.5 * share * (1 - share) / math.sqrt(n):
            fail("Two seeds do not give independent labels.")
        of_a, of_b = (np.fft.rfft(found[i] - share) for i in (a, b))
        if np.abs(np.fft.irfft(of_a * of_b.conj(), n) / n).max() > 8 * share * (1 - share) / math.sqrt(n):
            fail("Another seed only shifts the labels.")


@check(points=1.5, hint="Split by windows; fit only on training windows; the base is chosen on training windows and tried on test windows; both probes get the penalty.")
def measures_like_the_library():
    """All four numbers agree with the library's probes, for several splits, sizes and penalties, also where the test windows have another majority."""
    def run(cases):
        with forbidden(*LIBRARY):
            answers = []
            for i, case in enumerate(cases):
                for array in case[:4]:
                    array.flags.writeable = False
                answers.append(tuple(map(float, selectivity(*case[: 4 + (i > 0)]))))
            return answers

    # For testing: a third of the windows, or two. The majorities of training and test windows differ, but for the last case, where the base is above the control accuracy.
    generator, cases = np.random.default_rng(np.random.randint(2**31)), []
    for N, T, d, penalty, part, other in ((24, 6, 3, 1.0, 1, -2.5), (90, 5, 4, 5000.0, 1, -2.5), (20, 20, 2, 0.2, 1, -2.5), (60, 6, 3, 30.0, 2, -2.5), (30, 8, 2, 1.0, 1, 6)):
        is_test = generator.permutation(N) < part * N // 3
        hidden = generator.normal(size=(N, T, d))
        if part == 2:
            hidden = (hidden * [0.1, 1, 10]).astype(np.float32)
        shift = (-1) ** len(cases) * np.where(is_test, other, abs(other))[:, None]
        slopes = [4, 0.3, -0.3] if part == 2 else generator.normal(size=d) * 2  # under the penalty, a small column says little
        labels = (hidden / hidden.std((0, 1)) @ slopes + shift + generator.logistic(size=(N, T)) > 0).astype(int)
        if 2 * labels[~is_test].sum() == labels[~is_test].size:  # no tie
            labels[np.flatnonzero(~is_test)[0], 0] ^= 1
        slope, bias = (4, 1.5) if other < 0 else (1, 0)
        controls = (slope * hidden[..., 0] + bias + generator.logistic(size=(N, T)) > 0).astype(int)
        cases.append((hidden, labels, controls, is_test, penalty))
    sent = [(*(part.copy() for part in case[:4]), case[4]) for case in cases]
    for (hidden, labels, controls, is_test, penalty), found in zip(cases, probe(run, sent), strict=True):
        accuracies, room = [], []
        for targets in (labels, controls):
            weight, bias, _ = fitted(hidden[~is_test].reshape(-1, hidden.shape[-1]), targets[~is_test].ravel(), penalty)
            logits = hidden[is_test] @ weight + bias
            accuracies.append(((logits > 0) == targets[is_test]).mean())
            room.append((np.abs(logits) < 0.1).mean() + 1e-9)  # a fit within the tolerance may decide these otherwise
        common = labels[~is_test].mean() > 0.5
        if len(found) != 4:
            fail("There are not four numbers.")
        if abs(found[0] - accuracies[0]) > room[0]:
            fail("The accuracy is wrong.")
        if abs(found[1] - (labels[is_test] == common).mean()) > 1e-9:
            fail("The base is wrong.")
        if abs(found[2] - accuracies[1]) > room[1]:
            fail("The control accuracy is wrong.")
        if abs(found[3] - (found[0] - found[2])) > 1e-9:
            fail("The selectivity is not the difference of the two accuracies.")


@check(points=0.75, hint="If each type has a dimension of its own, a probe can learn any label by heart.")
def one_hot_reads_any_control():
    """Together, your functions find that from one-hot vectors any control task can be read: its accuracy is 1, and the selectivity below 0."""
    def run(ids, labels, is_test):
        return tuple(map(float, selectivity(np.eye(12)[ids], labels, control_labels(ids, 12, 0.5, 5), is_test, 0.01)))

    generator = np.random.default_rng(3)
    ids = np.stack([generator.permutation(12) for _ in range(16)])
    found = probe(run, ids, generator.integers(2, size=ids.shape), np.arange(16) % 4 == 1)
    if not (found[2] == 1.0 and found[3] < 0):
        fail("From one-hot vectors, the control labels are not read perfectly.")


@check(points=1.5, hint="norm, with its weights, then the product with model.tokens.weight; the embeddings are those of tokens and positions.")
def lens_is_a_shorter_model():
    """After k blocks, the logits are those of the same model without the blocks behind them, for several sizes, batches and lengths."""
    def run(cases):
        return [logit_lens(random_gpt(seed, **sizes), ids).detach() for seed, sizes, ids in cases]

    cases = [(21, {}, torch.randint(11, (2, 8))), (22, {"layers": 1, "heads": 1}, torch.randint(11, (3, 1))), (23, {"layers": 4, "width": 12, "heads": 3, "vocabulary": 12}, torch.randint(12, (1, 5)))]
    for (seed, sizes, ids), found in zip(cases, probe(run, cases), strict=True):
        model, logits = random_gpt(seed, **sizes), []
        with torch.no_grad():
            blocks = model.blocks
            for k in range(len(blocks) + 1):
                model.blocks = blocks[:k]
                logits.append(model(ids))
        if found.shape != (len(logits), *logits[0].shape):
            fail("The shape is not (L + 1, B, T, V).")
        for k, wanted in enumerate(logits):
            if not torch.allclose(found[k].double(), wanted, rtol=1e-7, atol=1e-7):
                fail("The logits after the embeddings are wrong." if k == 0 else "The logits after a block are wrong." if k < len(blocks) else "The last logits are not those of the model.")


@check(points=0.75, hint="torch.no_grad(); if you use hooks, remove them; change nothing in place.")
def lens_leaves_no_trace():
    """logit_lens records no gradients, and leaves the model, its hooks, the tokens and the recording of gradients as they were."""
    def run(seed, ids):
        answers = []
        for recording, rows in ((True, 2), (False, 2), (True, 1)):
            model, given = random_gpt(seed), ids[:rows].clone()
            state = {name: value.clone() for name, value in model.state_dict().items()}
            with torch.set_grad_enabled(recording):
                first = logit_lens(model, given)
                clean = torch.is_grad_enabled() is recording
            hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
            same = list(state) == list(model.state_dict()) and all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
            same = same and len(model.blocks) == 3 and not model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
            answers.append((first.requires_grad, clean and same and torch.equal(given, ids[:rows]), hooks))
        return answers

    for graph, same, hooks in probe(run, 31, torch.randint(11, (2, 4))):
        if graph:
            fail("Gradients are recorded.")
        if hooks:
            fail("A hook is left behind.")
        if not same:
            fail("The model, the tokens or the recording of gradients are changed.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# Probes of the stream after the embeddings (0) and after each block, fitted on 250 windows of 64 tokens and tested on 290 of the validation text: of your own GPT (or, if you have saved none, the packaged copy), and of an untrained one. **Predict:** in which block does the model begin to know about quotes?

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def quoted_windows(text, tokenizer, n_windows, context=64):
    """Windows of tokens, and whether the end of each token lies inside quotation marks: an odd number of them so far, in its paragraph."""
    ids = tokenizer.encode(text)
    lengths = np.array([len(tokenizer.decode([token])) if token < 128 or token > 255 else 0 for token in range(len(tokenizer))])
    inside, odd = [], 0
    for i, letter in enumerate(text):
        odd = 0 if text.startswith("\n\n", i) else odd ^ (letter == '"')
        inside.append(odd)
    ends = np.minimum(lengths[ids].cumsum(), len(text)) - 1
    n = min(n_windows, len(ids) // context)
    return np.array(ids)[: n * context].reshape(n, context), np.array(inside)[ends][: n * context].reshape(n, context)


def draw_probes(n_train=250, seed=0):
    own = lesson.gpt()
    training, validation = lesson.corpus()
    parts = [quoted_windows(text, own.tokenizer, n) for text, n in ((training, n_train), (validation, 290))]
    ids, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    is_test = np.arange(len(ids)) >= len(parts[0][0])
    controls = control_labels(ids, len(own.tokenizer), 0.5, seed)
    torch.manual_seed(seed)
    models = {"trained": (own.model, "C0", "o-"), "untrained": (GPT(len(own.tokenizer)).eval(), "C1", "s--")}
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.4))
    for name, (model, color, style) in models.items():
        with torch.no_grad():
            streams = [model.tokens(torch.tensor(ids)) + model.positions.weight[: ids.shape[1]]]
            for block in model.blocks:
                streams.append(block(streams[-1]))
        rows = [selectivity((stream / stream.std()).numpy(), labels, controls, is_test) for stream in streams]
        logits = logit_lens(model, torch.tensor(parts[1][0]))
        losses = [F.cross_entropy(one[:, :-1].flatten(0, 1), torch.tensor(parts[1][0])[:, 1:].flatten()).item() for one in logits]
        left.plot([row[0] for row in rows], style, color=color, label=name)
        middle.plot([row[2] for row in rows], style, color=color, label=name)
        right.plot(losses, style, color=color, label=name)
        print(f"{name:>9}: accuracy " + ", ".join(f"{row[0]:.3f}" for row in rows) + "; selectivity " + ", ".join(f"{row[3]:.3f}" for row in rows) + "; lens " + ", ".join(f"{loss:.1f}" for loss in losses))
    left.axhline(rows[0][1], color="black", ls=":", label="base")
    left.set(title="Inside quotes", ylabel="accuracy", ylim=(0.87, 1))
    middle.axhline(0.5, color="black", ls=":", label="a coin")
    middle.set(title="Control task", ylabel="accuracy", ylim=(0.45, 0.87))
    right.axhline(math.log(len(own.tokenizer)), color="black", ls=":", label="all tokens alike")
    right.set(title="Logit lens", ylabel="loss, in nats", ylim=(0, None))
    for ax in (left, middle, right):
        ax.set_xticks(range(len(rows)), ["0", *map(str, range(1, len(rows)))])
        ax.set_xlabel("after block")
        ax.legend(fontsize=8)
    plt.show()


try:
    draw_probes()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.7.")

# %% [markdown]
# (Numbers of the packaged copy and one draw of the coins; yours will be near.)
#
# **Left.** 91 % after block 1 is little: the base is 89 %, and the untrained model has 90 % everywhere. After block 2 it is 96 %, in the trained model alone: this is the model's work.
#
# **Middle.** From the embeddings, the probe reads 80 % of the coins: it has learnt frequent types by heart. In deeper streams, types are mixed with their context, and the coins are harder to read.
#
# **So selectivity alone misleads, too** (numbers above the figure). It grows to .24, and in the untrained model to .23, just because the control accuracy falls: by this number an untrained block 3 is better than a trained block 2.
#
# **Right.** At the embeddings the lens is far worse than all tokens alike, $\ln 512 = 6.2$: output layer and embeddings share their weights, so 96 % of its first guesses are the token that it has just read. An early block that looks bad may still know much: it may write in directions that only later blocks translate (Belrose et al., arXiv:2303.08112).
#
# **What a probe does not prove.** What *can* be read need not be *used* by the model; 8.8 tests that by intervening. Nor does a linear probe that fails prove that nothing is there.
#
# **In the library:** `sklearn.linear_model.LogisticRegression(C=1 / penalty)` is your `fit_probe`.
#
# **Change, predict, run.** `draw_probes(n_train=25)` fits the probes on a tenth of the windows. Which falls more, the accuracy at the property or at the control task?
#
# <details><summary>What you should see</summary>
#
# The control task: at the embeddings it falls from .80 to .77, the property after block 2 only from .962 to .958. What the model has computed is found from few examples; learning by heart needs examples of each type.
# </details>
