# %% [markdown]
# ## 8.2 Features in superposition
#
# One neuron of a network may answer to several things that have nothing in common. Why? A layer may represent more features than it has dimensions. Each **feature** $f_i$ is then a *direction*, and an activation is a sum of those that are present, $x = \sum_i s_i f_i$ with strengths $s_i \ge 0$. There is no room for right angles between all of them. But if few are present at a time, they disturb each other little. This is **superposition** (Elhage et al., arXiv:2209.10652).
#
# **Predict:** in which of these two clouds can one find the five directions, without knowing them?

# %% nbgrader={"grade": false, "grade_id": "setup_autoencoder", "locked": true, "schema_version": 3, "solution": false, "task": false}
def superposed(n: int, directions: torch.Tensor, chance: float = 0.05, seed: int = 0) -> torch.Tensor:
    """n activations (n, d) in which each of the given features (rows, of length 1) is present with this probability, with a strength from 0.5 to 1.5."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(n, len(directions), generator=generator) < chance
    strengths = 0.5 + torch.rand(n, len(directions), generator=generator)
    return (present * strengths) @ directions


def random_directions(n: int, d: int) -> torch.Tensor:
    """n random directions in d dimensions, the same ones at each call; all 40 in 16 dimensions are at least 35 degrees apart."""
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(7)), dim=1)


# %% tags=["demo"]
def draw_superposition(chances=(0.1, 0.7), n=1500):
    """Clouds of points made of five directions in the plane, for two probabilities of a feature."""
    angles = 2 * math.pi * torch.arange(5) / 5 + 0.3
    pentagon = torch.stack([angles.cos(), angles.sin()], dim=1)
    _, axes = plt.subplots(1, len(chances), figsize=(8, 3.7))
    for ax, chance in zip(axes, chances, strict=True):
        cloud = superposed(n, pentagon, chance)
        ax.plot(*cloud.T, ".", ms=3, color="0.55")
        for direction in pentagon:
            ax.annotate("", 1.9 * direction.numpy(), (0, 0), arrowprops={"arrowstyle": "->", "color": "C5", "lw": 1.2})
        ax.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", xlabel="neuron 1", ylabel="neuron 2", title=f"Each feature is present in {100 * chance:.0f} %")
    plt.show()


draw_superposition()

# %% [markdown]
# In the left one: most points that are not 0 lie on a ray, with a single feature. In the right one, hardly any point shows a feature alone. Sparsity makes features findable.
#
# ### An autoencoder for it
#
# A **sparse autoencoder** has one **latent** $z_j$ for each feature that it may find, and more of them than $x$ has dimensions (Cunningham et al., arXiv:2309.08600):
#
# $$z = \text{sparse}\big(W_{\text{enc}} (x - b_{\text{dec}}) + b_{\text{enc}}\big), \qquad \hat x = \sum_j z_j\, w_j + b_{\text{dec}} .$$
#
# The rows $w_j$ of the decoder's weights are the directions that it proposes. Two ways to make $z$ sparse:
#
# * **TopK** (Gao et al., arXiv:2406.04093): keep the $k$ largest entries of each row, set the others to 0. Here, a ReLU follows.
# * **An L1 penalty**: ReLU alone, and a loss of $\|x - \hat x\|^2 + \lambda \sum_j |z_j|$.
#
# The penalty has a way out: with $z / 10$ and decoder rows ten times as long, $\hat x$ is the same, and the penalty a tenth. So after each step of the optimizer, the rows are divided by their length, to **length 1**. And before it, the part of the gradient *along* the row is taken out, $g \leftarrow g - (g \cdot u)\, u$ with $u = w / \|w\|$: it would only change the length, and disturb Adam's averages (Bricken et al., *Towards monosemanticity*, 2023).
#
# ### Did it work?
#
# One can always measure what is **unexplained**, $\sum \|x - \hat x\|^2 / \sum \|x - \bar x\|^2$ over all rows, with the mean row $\bar x$. Here you also know the true features: which of them were found?
#
# ### Exercise 8.2 · A sparse autoencoder
#
# > **Difficulty** ★★★☆ · **55 minutes** · **11 points** · PyTorch
#
# **Write** four functions.
#
# <details><summary>Hint 1: keep k of m</summary>
#
# `values, indices = t.topk(k, dim=1)`, then `torch.zeros_like(t).scatter(1, indices, values)`.
# </details>
#
# <details><summary>Hint 2: changing a parameter</summary>
#
# Inside `torch.no_grad()`, use operations in place: `w_dec.div_(...)`, `w_dec.grad.sub_(...)`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "autoencoder", "locked": false, "schema_version": 3, "solution": true, "task": false}
def encode_topk(x: torch.Tensor, w_enc: torch.Tensor, b_enc: torch.Tensor, b_dec: torch.Tensor, k: int) -> torch.Tensor:
    """The latents: in each row, the k largest pre-activations keep their value, and all others become 0.

    The pre-activations are (x - b_dec) @ w_enc.T + b_enc. The k largest, not the k largest absolute values, are kept; those below 0
    among them become 0, too.

    Args:
        x: (n, d), n from 0 on.
        w_enc: (m, d).
        b_enc: (m,).
        b_dec: (d,).
        k: from 1 to m. Where equal values compete for the last places, any of them are kept, but never more than k in all.

    Returns:
        (n, m), of the type of x. Gradients flow to x and to all weights, through the latents above 0. No argument is modified.

    >>> encode_topk(torch.tensor([[1.0, -3.0]]), torch.eye(2), torch.zeros(2), torch.zeros(2), k=1)
    tensor([[1., 0.]])
    """
    ### BEGIN SOLUTION
    before = (x - b_dec) @ w_enc.T + b_enc
    values, indices = before.topk(k, dim=1)
    return torch.zeros_like(before).scatter(1, indices, values.relu())
    ### END SOLUTION


def sae_loss(x: torch.Tensor, latents: torch.Tensor, w_dec: torch.Tensor, b_dec: torch.Tensor, l1: float) -> tuple[torch.Tensor, float]:
    """The loss of the autoencoder, and the share of the activations' variation that its reconstruction leaves unexplained.

    The reconstruction is latents @ w_dec + b_dec.

    Args:
        x: (n, d), at least two different rows. Its mean may be 1,000 times as large as its deviations from it, also in float32.
        latents: (n, m). Some may be below 0.
        w_dec: (m, d), rows of any length.
        b_dec: (d,).
        l1: the factor of the penalty, 0 or more.

    Returns:
        (loss, unexplained). The loss, a tensor of shape (): the mean over rows of the squared length of the error, plus l1 times the mean
        over rows of the sum of the absolute latents; gradients flow to latents, w_dec and b_dec. `unexplained`, a Python float: the sum of the squared lengths of
        the errors of all rows, over the sum of the squared distances of all rows of x from their mean row. In float32, a relative error of 1e-3 is allowed in both.
        No argument is modified.

    >>> loss, unexplained = sae_loss(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), torch.ones(2, 1), torch.tensor([[1.0, 1.0]]), torch.zeros(2), l1=0.5)
    >>> loss.item(), unexplained
    (2.5, 1.0)
    """
    ### BEGIN SOLUTION
    squares = (x - latents @ w_dec - b_dec).square().sum(dim=1)
    loss = squares.mean() + l1 * latents.abs().sum(dim=1).mean()
    return loss, (squares.sum() / (x - x.mean(dim=0)).square().sum()).item()
    ### END SOLUTION


def normalise_decoder(w_dec: torch.Tensor) -> None:
    """Makes each row of the decoder's weights a direction, and takes the part of the gradient along it away; both in place.

    Each row is divided by its length. From each row of w_dec.grad, if there is a gradient, the part that is parallel to that row is
    subtracted (dividing does not turn it). A row of zeros, and its gradient, stay as they are.

    Args:
        w_dec: (m, d), a leaf that requires a gradient. Its rows are 0, or their lengths are between 1e-6 and 1e6. Afterwards it is the
            same tensor in the same memory, and still requires a gradient. Its .grad may be a new tensor.

    >>> w = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    >>> normalise_decoder(w); w.tolist()  # about
    [[0.6, 0.8], [0.0, 0.0]]
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        length = w_dec.norm(dim=1, keepdim=True)
        w_dec.div_(torch.where(length == 0, 1, length))
        if w_dec.grad is not None:
            w_dec.grad -= (w_dec.grad * w_dec).sum(dim=1, keepdim=True) * w_dec
    ### END SOLUTION


def recovered(w_dec: torch.Tensor, latents: torch.Tensor, truth: torch.Tensor, threshold: float = 0.9) -> float:
    """The share of the true features that the autoencoder has found.

    A true feature is found if the row of w_dec of some latent that is alive has a cosine similarity of at least `threshold`
    with it. The opposite direction does not count, because latents are never below 0. One latent may find several features.

    Args:
        w_dec: (m, d). Rows are 0, or their lengths are between 1e-6 and 1e6. A row of zeros finds nothing.
        latents: (n, m), 0 or more, the latents of some activations; n from 0 on. A latent that is 0 in all rows is dead, and finds nothing.
        truth: (F, d), F from 1 on; the lengths of its rows are in this range, too.
        threshold: above 0 and below 1. No similarity in the checks is equal to it up to rounding.

    Returns:
        A Python float, from 0 to 1. No argument is modified.

    >>> recovered(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.eye(2))
    0.5
    """
    ### BEGIN SOLUTION
    alive = w_dec[(latents > 0).any(dim=0)]
    if len(alive) == 0:
        return 0.0
    similarities = F.normalize(truth, dim=1) @ F.normalize(alive, dim=1).T
    return (similarities.amax(dim=1) >= threshold).double().mean().item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_autoencoder", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=0.75, hint="Subtract b_dec, multiply by the transposed weights, add b_enc; keep the k largest of each row; what is below 0 becomes 0.")
def encodes_by_hand():
    """By hand: pre-activations 3, -5, 1, 2 become 3, 0, 0, 2 with k = 2, and -4, -1, -2, -9 become zeros."""
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    b_dec = torch.tensor([1.0, -1.0])
    first = encode_topk(torch.tensor([[3.0, -6.0]]), weights, torch.tensor([1.0, 0.0, 4.0, 4.0]), b_dec, 2)
    assert first.shape == (1, 4), f"shape {tuple(first.shape)} instead of (1, 4)"
    assert first.tolist() == [[3.0, 0.0, 0.0, 2.0]], f"{first.tolist()} instead of [[3, 0, 0, 2]]"
    second = encode_topk(torch.tensor([[1.0, -1.0]]), weights, torch.tensor([-4.0, -1.0, -2.0, -9.0]), b_dec, 2)
    assert (second == 0).all(), f"{second.tolist()} instead of zeros"


@check(points=0.75, hint="Sum over dimensions and latents, mean over rows. The denominator is the sum of squares around the mean row.")
def loss_by_hand():
    """By hand: errors (0, 3), (0, 0), (3, 0) and latents of 4 in all, without signs, give a loss of 18/3 + 0.3 · 4/3, and 18 of 24 are unexplained."""
    x = torch.tensor([[0.0, 6.0], [3.0, 0.0], [3.0, 3.0]])
    latents, w_dec, b_dec = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -2.0]]), torch.tensor([[-2.0, 2.0], [1.0, -1.0]]), torch.tensor([2.0, 1.0])
    loss, unexplained = sae_loss(x, latents, w_dec, b_dec, 0.3)
    assert abs(float(loss) - 6.4) < 1e-5, f"the loss is {float(loss):.4f} instead of 6.4"
    assert abs(unexplained - 0.75) < 1e-5, f"unexplained is {unexplained:.4f} instead of 0.75"


@check(points=0.75, hint="Divide each row by its length, in place. Subtract (g · u) u from its gradient; u has length 1.")
def normalises_by_hand():
    """By hand: the row (3, 4) with the gradient (1, 2) becomes (0.6, 0.8), with (-0.32, 0.24)."""
    def run():
        weights = torch.tensor([[3.0, 4.0], [0.0, -2.0]], requires_grad=True)
        weights.grad = torch.tensor([[1.0, 2.0], [5.0, 7.0]])
        normalise_decoder(weights)
        return weights.detach(), weights.grad

    weights, gradient = probe(run)
    assert torch.allclose(weights, torch.tensor([[0.6, 0.8], [0.0, -1.0]])), f"the rows are {weights.tolist()} instead of [[0.6, 0.8], [0, -1]]"
    assert torch.allclose(gradient, torch.tensor([[-0.32, 0.24], [5.0, 0.0]]), atol=1e-6), f"the gradients are {gradient.tolist()} instead of [[-0.32, 0.24], [5, 0]]"


@check(points=0.75, hint="For each true feature, the largest cosine similarity with a latent; count how many reach the threshold.")
def recovers_by_hand():
    """By hand: two latents that are both (5, 1) have found one of the two features (1, 0) and (0, 1)."""
    found = recovered(torch.tensor([[5.0, 1.0], [5.0, 1.0]]), torch.ones(3, 2), torch.eye(2))
    assert found == 0.5, f"{found} instead of 0.5"


### BEGIN HIDDEN TESTS
def numbers(*shape, dtype=torch.float64):
    """Random numbers, other ones under each seed."""
    return torch.randn(*shape, dtype=torch.float64).to(dtype)


def near(found, truth, tolerance=1e-9):
    """Whether two tensors agree in shape, and up to the tolerance times the largest number."""
    found, truth = torch.as_tensor(found), torch.as_tensor(truth)
    return found.shape == truth.shape and bool((found.double() - truth.double()).abs().le(tolerance * (1 + truth.double().abs().max() if truth.numel() else 1)).all())


@check(points=1.25, hint="Rows are independent. Compare values, not absolute values. Where fewer than k are above 0, fewer than k are kept.")
def encodes_any_shape():
    """For any sizes and k, and with many negative pre-activations, the latents are the k largest, none below 0, and of the type of x."""
    cases = [(numbers(n, d, dtype=dtype), numbers(m, d, dtype=dtype), shift + numbers(m, dtype=dtype), numbers(d, dtype=dtype), k)
             for n, d, m, k, shift, dtype in ((5, 3, 7, 2, 0, torch.float64), (4, 4, 4, 1, 0, torch.float64), (3, 6, 5, 5, 0, torch.float64), (6, 2, 9, 4, -2, torch.float64),
                                              (1, 1, 1, 1, 0, torch.float64), (0, 3, 4, 2, 0, torch.float64), (2, 3, 8, 3, -9, torch.float64), (8, 8, 8, 3, 0, torch.float32))]
    # Pre-activations that are near each other, and some that are too large for 16 bits.
    cases += [(torch.zeros(2, 3, dtype=torch.float64), numbers(9, 3), 5 + 1e-4 * (torch.arange(9).double() - 4).abs(), torch.zeros(3, dtype=torch.float64), 4), (1e6 * numbers(4, 3), numbers(9, 3), numbers(9), numbers(3), 3)]

    def run(cases):
        found = []
        for case in cases:
            kept = [argument.clone() for argument in case[:4]]
            latents = encode_topk(*case)
            found.append((latents, all(torch.equal(a, b) for a, b in zip(kept, case[:4], strict=True))))
        return found

    for (x, w_enc, b_enc, b_dec, k), (latents, unmodified) in zip(cases, probe(run, cases), strict=True):
        truth = np.zeros((len(x), len(w_enc)))
        for row, one in enumerate(x.double().numpy()):
            before = [float(np.dot(w, one - b_dec.double().numpy())) + float(b) for w, b in zip(w_enc.double().numpy(), b_enc, strict=True)]
            for j in sorted(range(len(before)), key=lambda j: -before[j])[:k]:
                truth[row, j] = max(before[j], 0)
        if not near(latents, truth, 1e-9 if x.dtype == torch.float64 else 1e-5):
            fail("Wrong for no rows." if not len(x) else "Wrong where most pre-activations are below 0." if (truth == 0).mean() > 0.6 else "The latents are wrong.")
        if latents.dtype != x.dtype:
            fail("The latents' type is not that of x.")
        if not unmodified:
            fail("An argument has been modified.")


@check(points=0.5, hint="With a threshold at the k-th value, all that are equal to it are kept. topk gives exactly k.")
def never_more_than_k():
    """Where pre-activations are equal, exactly k of them are kept."""
    for k in (1, 2, 4):
        x = torch.cat([torch.full((3, 1), 2.0), torch.ones(3, 1)], dim=1)
        w_enc = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, -2.0], [0.0, 2.0]])
        latents = encode_topk(x, w_enc, torch.zeros(6), torch.zeros(2), k)
        if latents.shape != (3, 6) or ((latents > 0).sum(dim=1) != k).any():
            fail("Where pre-activations are equal, the number of latents above 0 is not k.")
        if any(sorted(row[row > 0].tolist(), reverse=True) != [3.0, 2.0, 2.0, 2.0][:k] for row in latents):
            fail("Not the largest ones are kept.")


@check(points=1, hint="Multiply by a mask or scatter the values; don't detach them, and don't compute under no_grad.")
def passes_gradients():
    """Gradients reach the weights, both biases and x through the latents above 0, and no others."""
    arguments = [numbers(6, 3), numbers(5, 3), numbers(5), numbers(3)]
    factors = numbers(6, 5)

    def run(arguments, factors):
        leaves = [argument.clone().requires_grad_() for argument in arguments]
        latents = encode_topk(*leaves, 2)
        (latents * factors).sum().backward()
        return latents.detach(), [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    latents, gradients = probe(run, arguments, factors)
    x, w_enc, b_enc, b_dec = arguments
    before = (x - b_dec) @ w_enc.T + b_enc
    kept = torch.zeros(6, 5, dtype=torch.float64)
    for row in range(6):
        for j in before[row].argsort(descending=True)[:2]:
            kept[row, j] = before[row, j] > 0
    through = factors * kept
    truth = [through @ w_enc, through.T @ (x - b_dec), through.sum(dim=0), -(through @ w_enc).sum(dim=0)]
    for name, found, wanted in zip(("x", "w_enc", "b_enc", "b_dec"), gradients, truth, strict=True):
        if not near(found, wanted):
            fail(f"The gradient of {name} is wrong.")


@check(points=1.25, hint="The error is x - latents @ w_dec - b_dec. Mean over rows only; |latent|, also below 0; all rows' sums in one ratio, without the penalty.")
def losses_of_any_shape():
    """The loss and the unexplained share are those of a loop, for any sizes, penalties and negative latents, and with large means."""
    cases = []
    for n, d, m, l1, mean, dtype in ((4, 3, 6, 0.3, 0, torch.float64), (5, 5, 5, 0.0, 1, torch.float64), (2, 1, 3, 2.0, 0, torch.float64), (7, 2, 1, 0.05, -3, torch.float64), (40, 3, 4, 0.1, 1000, torch.float32)):
        scale = torch.linspace(1, 4, d, dtype=dtype)
        cases.append((mean + scale * numbers(n, d, dtype=dtype), numbers(n, m, dtype=dtype), numbers(m, d, dtype=dtype), mean + numbers(d, dtype=dtype), l1))

    def run(cases):
        found = []
        for case in cases:
            kept = [argument.clone() for argument in case[:4]]
            loss, unexplained = sae_loss(*case)
            found.append((loss, tuple(loss.shape), unexplained, type(unexplained) is float, all(torch.equal(a, b) for a, b in zip(kept, case[:4], strict=True))))
        return found

    for (x, latents, w_dec, b_dec, l1), (loss, shape, unexplained, is_float, unmodified) in zip(cases, probe(run, cases), strict=True):
        if shape != ():
            fail("The loss is not a tensor of shape ().")
        a, z, w, b = (one.double().numpy() for one in (x, latents, w_dec, b_dec))
        n, d = a.shape
        errors = sum((a[i, c] - sum(z[i, j] * w[j, c] for j in range(z.shape[1])) - b[c]) ** 2 for i in range(n) for c in range(d))
        penalty = sum(abs(float(one)) for one in z.ravel())
        variation = sum((a[i, c] - a[:, c].mean()) ** 2 for i in range(n) for c in range(d))
        tolerance = 1e-9 if x.dtype == torch.float64 else 1e-3
        if not math.isclose(float(loss), (errors + l1 * penalty) / n, rel_tol=tolerance):
            fail("The loss is wrong with a penalty." if l1 else "The loss is wrong without a penalty.")
        if not math.isclose(float(unexplained), errors / variation, rel_tol=tolerance):
            fail("The unexplained share is wrong where the mean is large." if x.dtype == torch.float32 else "The unexplained share is wrong.")
        if not is_float:
            fail("The unexplained share is not a float of Python.")
        if not unmodified:
            fail("An argument has been modified.")


@check(points=0.75, hint="Both terms are part of the graph: no detach, no item, no no_grad in the loss.")
def loss_has_gradients():
    """The loss passes gradients to the latents, the decoder and its bias."""
    x, latents, w_dec, b_dec = numbers(5, 3), numbers(5, 4), numbers(4, 3), numbers(3)

    def run(x, *others):
        leaves = [one.clone().requires_grad_() for one in others]
        loss, _ = sae_loss(x, *leaves, 0.7)
        loss.backward()
        return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]

    error = latents @ w_dec + b_dec - x
    truth = [(2 * error @ w_dec.T + 0.7 * latents.sign()) / 5, 2 * latents.T @ error / 5, 2 * error.mean(dim=0)]
    for name, found, wanted in zip(("the latents", "w_dec", "b_dec"), probe(run, x, latents, w_dec, b_dec), truth, strict=True):
        if not near(found, wanted):
            fail(f"The loss's gradient with respect to {name} is wrong.")


@check(points=1.5, hint="Lengths of rows, not of columns or of all; the part along the *unit* row; zeros and a missing gradient need care; in place, under no_grad.")
def normalises_in_place():
    """For rows of any lengths, zeros among them, with or without a gradient: unit rows in the same tensor, and gradients without the part along them."""
    cases = []
    for m, d, dtype in ((5, 3, torch.float64), (3, 5, torch.float64), (4, 4, torch.float64), (6, 2, torch.float32), (1, 1, torch.float64), (1, 3, torch.float64)):
        weights = numbers(m, d, dtype=dtype) * torch.logspace(-5, 5, m, dtype=dtype)[:, None]
        if m > 2:
            weights[1] = 0
        cases += [(weights, numbers(m, d, dtype=dtype)), (weights, None)]
    cases.append((F.normalize(numbers(4, 3), dim=1), numbers(4, 3)))  # as after a step

    def run(cases):
        found = []
        for weights, gradient in cases:
            leaf = nn.Parameter(weights.clone())
            leaf.grad = None if gradient is None else gradient.clone()
            address = leaf.data_ptr()
            normalise_decoder(leaf)
            found.append((leaf.detach(), leaf.grad, leaf.data_ptr() == address and leaf.is_leaf and leaf.requires_grad))
        return found

    for (weights, gradient), (found, left, same) in zip(cases, probe(run, cases), strict=True):
        tolerance = 1e-9 if weights.dtype == torch.float64 else 1e-5
        if not same:
            fail("The weights are not in the same memory any more, or do not require a gradient.")
        rows, lengths = weights.double(), [math.sqrt(sum(float(one) ** 2 for one in row)) for row in weights]
        for i, length in enumerate(lengths):
            unit = rows[i] / (length or 1)
            if not near(found[i], unit, tolerance):
                fail("A row does not have length 1, or another direction." if length else "A row of zeros has changed.")
            if gradient is not None:
                wanted = gradient[i].double() - sum(float(g) * float(u) for g, u in zip(gradient[i], unit, strict=True)) * unit
                if left is None or not near(left[i], wanted, tolerance):
                    fail("A gradient is wrong." if length else "The gradient of a row of zeros has changed.")
        if gradient is None and left is not None and (left != 0).any():
            fail("There is a gradient where there was none.")


def shares(cases):
    """recovered's answers, and whether all arguments are as before."""
    def run(cases):
        found = []
        for case in cases:
            kept = [argument.clone() for argument in case[:3]]
            share = recovered(*case)
            found.append((float(share), type(share) is float, all(torch.equal(a, b) for a, b in zip(kept, case[:3], strict=True))))
        return found

    return zip(cases, probe(run, cases), strict=True)


@check(points=1, hint="From truth to latents: for each true feature the best latent. Cosine similarity divides by both lengths.")
def recovers_like_brute_force():
    """For any sizes, lengths and thresholds, the share is that of a loop over true features, also where latents are copies of each other or opposite to a feature."""
    cases = []
    while len(cases) < 14:
        n_truth, m, d = ((4, 6, 3), (6, 4, 3), (5, 5, 2), (3, 9, 4), (4, 4, 4))[len(cases) % 5]
        truth = numbers(n_truth, d) * torch.linspace(0.2, 9, n_truth, dtype=torch.float64)[:, None]
        w_dec = truth[torch.randint(n_truth, (m,))] * (0.1 + 5 * torch.rand(m, 1, dtype=torch.float64)) + numbers(m, d) * torch.rand(m, 1, dtype=torch.float64)
        w_dec[0] = -truth[0]
        threshold = (0.9, 0.5, 0.98)[len(cases) % 3]
        similarities = (F.cosine_similarity(truth[:, None], w_dec[None], dim=2) - threshold).abs()
        if similarities.min() > 1e-6:  # rounding does not decide
            cases.append((w_dec, torch.rand(3, m, dtype=torch.float64) + 0.1, truth, threshold))
    # The default threshold: of these similarities, 0.908 reaches it and 0.894 does not.
    default = (torch.tensor([[5.0, 2.3, 0.0], [0.0, 2.0, 1.0]]), torch.ones(1, 2), torch.eye(3))
    for case, (share, is_float, unmodified) in shares([*cases, default]):
        w_dec, _, truth, threshold = (*case, 0.9)[:4]
        hits = [any(float(t @ w) / math.sqrt(float(t @ t) * float(w @ w)) >= threshold for w in w_dec) for t in truth]
        if not abs(share - sum(hits) / len(hits)) < 1e-6:
            fail("The share is wrong.")
        if not is_float:
            fail("The share is not a float of Python.")
        if not unmodified:
            fail("An argument has been modified.")


@check(points=0.75, hint="A latent is alive if it is above 0 in at least one row, whatever its weights are. No latents alive: the share is 0.")
def the_dead_find_nothing():
    """Latents that are 0 in all rows and decoder rows of zeros find nothing, and one activation brings a latent to life."""
    truth = torch.eye(4)
    once = torch.zeros(300, 4)
    once[3, 2], once[0, 0] = 1e-3, 2.0
    tiny = torch.diag(torch.tensor([1e-4, 1.0, 0.0, 3.0]))
    cases = [(torch.eye(4), once, truth), (torch.eye(4), torch.zeros(5, 4), truth), (torch.eye(4), torch.zeros(0, 4), truth), (tiny, torch.ones(2, 4), truth), (torch.zeros(4, 4), torch.ones(2, 4), truth),
             (torch.eye(4)[[0, 0, 1, 1]], once, truth)]
    for (_, (share, *_)), wanted in zip(shares(cases), (0.5, 0, 0, 0.75, 0, 0.5), strict=True):
        if not abs(share - wanted) < 1e-6:
            fail("Wrong where latents are dead, or where rows are zero.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# 8,000 activations with 16 dimensions, made of 40 features, each present with a probability (`chance`) of 5 %: two at a time, on average. Five ways to find 50 directions (PCA: 16 axes, with both signs). **Predict:** which one reconstructs best, and which one finds most?

# %% tags=["demo", "shown"]
def train_autoencoder(x, m=50, k=None, l1=0.0, unit=True, steps=1200, batch=256, seed=0):
    """A sparse autoencoder with your functions: the decoder's rows, the latents of all x, and what is unexplained. k=None keeps all above 0."""
    generator = torch.Generator().manual_seed(seed)
    w_dec = F.normalize(torch.randn(m, x.shape[1], generator=generator), dim=1).requires_grad_()
    w_enc = w_dec.detach().clone().requires_grad_()  # an encoder that begins as the decoder, transposed
    b_enc, b_dec = torch.zeros(m, requires_grad=True), torch.zeros(x.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([w_enc, b_enc, w_dec, b_dec], lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, steps)
    for _ in range(steps):
        rows = x[torch.randint(len(x), (batch,), generator=generator)]
        loss, _ = sae_loss(rows, encode_topk(rows, w_enc, b_enc, b_dec, k or m), w_dec, b_dec, l1)
        optimizer.zero_grad()
        loss.backward()
        if unit:
            normalise_decoder(w_dec)  # for the gradient
        optimizer.step()
        schedule.step()
        if unit:
            normalise_decoder(w_dec)  # for the rows
    with torch.no_grad():
        latents = encode_topk(x, w_enc, b_enc, b_dec, k or m)
        return w_dec.detach(), latents, sae_loss(x, latents, w_dec, b_dec, l1)[1]


# %% tags=["demo", "nbval-ignore-output"]
def draw_autoencoders(chance=0.05, n_features=40, d=16, seed=0):
    """Five ways: unexplained against found, and the best cosine similarity of each true feature."""
    directions = random_directions(n_features, d)
    cloud = superposed(8000, directions, chance, seed)
    ways = {"TopK, k = 3": {"k": 3}, "L1, $\\lambda$ = 0.5": {"l1": 0.5}, "L1, free lengths": {"l1": 0.5, "unit": False}, "not sparse": {}}
    found = {way: train_autoencoder(cloud, seed=seed, **options) for way, options in ways.items()}
    axes_of_pca = torch.linalg.svd(cloud - cloud.mean(dim=0), full_matrices=False)[2]
    found["PCA"] = (torch.cat([axes_of_pca, -axes_of_pca]), torch.ones(1, 2 * len(axes_of_pca)), 0.0)  # 16 dimensions explain all
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.9))
    markers, styles = "osD^v", ["-", "--", "-.", ":", (0, (1, 3))]
    for i, (way, (w_dec, latents, unexplained)) in enumerate(found.items()):
        share = recovered(w_dec, latents, directions)
        left.plot(100 * unexplained, 100 * share, markers[i], ms=9, mfc="none" if i % 2 else None, label=f"{way}: {100 * unexplained:.0f}, {100 * share:.0f}")
        alive = w_dec[(latents > 0).any(dim=0)]
        best = (directions @ F.normalize(alive, dim=1).T).amax(dim=1).sort(descending=True).values
        right.plot(range(1, n_features + 1), best, linestyle=styles[i], label=way)
    left.set(xlabel="unexplained, in %", ylabel="features found, in %", xlim=(-1.5, 30), ylim=(-5, 108), title="Reconstruction is not recovery")
    left.legend(fontsize=8, loc="center right", title="unexplained, found", title_fontsize=8)
    right.axhline(0.9, color="0.5", lw=1)
    right.set(xlabel="true feature, best found first", ylabel="cosine similarity with the best latent", ylim=(0.3, 1.03), title="How well each feature is found")
    right.legend(fontsize=8, loc="lower left")
    plt.show()


try:
    draw_autoencoders()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.2.")

# %% [markdown]
# **Left.** Without sparsity the reconstruction is perfect, and not one of the 40 features is found. So it is with PCA: each of its 16 axes is a mixture. TopK leaves 12 % unexplained and finds 95 to 100 % (five seeds). The L1 penalty with rows of length 1 is close. With free lengths it loses its force: 4 to 5 % are unexplained, and 10 to 25 % are found. So a low reconstruction error says little.
#
# For a language model, nobody can draw this figure. One reads the texts on which a latent is active, removes it and sees what the model does (8.8), or trains a second autoencoder and sees which latents return.
#
# ### With a library
#
# *Dictionary learning* (Olshausen and Field, 1996) in scikit-learn needs no encoder; it solves an optimisation problem for each row.

# %% tags=["demo", "shown", "nbval-ignore-output"]
def sklearn_dictionary(seed=0):
    """The share of features that scikit-learn's dictionary learning finds, without regard to the sign of a direction."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    directions = random_directions(40, 16)
    model = MiniBatchDictionaryLearning(50, alpha=0.5, batch_size=256, max_iter=3, random_state=seed)
    rows = torch.tensor(model.fit(superposed(8000, directions, seed=seed).double().numpy()).components_).float()
    rows = torch.cat([rows, -rows])
    return recovered(rows, torch.ones(1, len(rows)), directions)


try:
    print(f"scikit-learn finds {100 * sklearn_dictionary():.0f} %")
except NotImplementedError:
    print("This needs your function `recovered`.")

# %% [markdown]
# It finds as much as TopK. But an encoder costs only a product of matrices: one reason to use it on billions of activations.
#
# **Change, predict, run.** `draw_autoencoders(chance=0.15)`: now six features are present at a time, on average. How many does TopK find?
#
# <details><summary>What you should see</summary>
#
# Five in forty, and the L1 penalty six. Other seeds differ: TopK found 12 to 40 % in five trainings. Hardly any activation shows a feature alone: you are on the way to the right cloud of the first figure. An autoencoder always returns directions; whether they are the model's features is a different question.
# </details>
