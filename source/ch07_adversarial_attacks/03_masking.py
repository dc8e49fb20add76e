# %% [markdown]
# ## 7.3 Defences that hide the gradient
#
# PGD leaves an ordinary network for digits almost nothing at $\epsilon = 0.2$. Now all pixels are rounded to multiples of 1/4 first, and PGD leaves nearly all images right. **Predict:** is the network robust now?
#
# The figure moves one test image in the direction of FGSM for the network without a defence.

# %% nbgrader={"grade": false, "grade_id": "setup_masking", "locked": true, "schema_version": 3, "solution": false, "task": false}
import functools


# The next four are those of section 7.1, for those who begin here.
def digit_data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """scikit-learn's digits: 1,200 images and labels for training, 597 for testing; (n, 64) pixels from 0 to 1."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(pixels))
    images, labels = torch.tensor(pixels[order] / 16, dtype=torch.float32), torch.tensor(classes[order])
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


def digit_network(seed: int) -> nn.Sequential:
    """A network from (n, 64) pixels to (n, 10) logits, not yet trained."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def ce_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The cross-entropy of each image, (n,)."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The highest logit of another class minus the label's, (n,). An image is **deceived** where it is 0 or more."""
    own = F.one_hot(labels, logits.shape[1]).bool()
    return logits.masked_fill(own, -math.inf).amax(1) - logits.gather(1, labels[:, None])[:, 0]


def round_pixels(images: torch.Tensor, levels: int = 5) -> torch.Tensor:
    """Each pixel becomes the nearest of `levels` grey values from 0 to 1."""
    return torch.round(images * (levels - 1)) / (levels - 1)


def add_noise(images: torch.Tensor, sigma: float = 0.2) -> torch.Tensor:
    """Gaussian noise on each pixel, anew at each call."""
    return images + sigma * torch.randn_like(images)


def keep_some(images: torch.Tensor, share: float = 0.3) -> torch.Tensor:
    """Keeps each pixel with probability `share` and makes the others 0, anew at each call."""
    return images * (torch.rand_like(images) < share)


def trained_digits(front=None, seed: int = 0, n_epochs: int = 30) -> nn.Sequential:
    """A network that was trained on the digits (behind `front`, if given)."""
    images, labels, _, _ = digit_data()
    network = digit_network(seed)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(n_epochs):
            for chosen in torch.randperm(len(images)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(network(front(images[chosen]) if front else images[chosen]), labels[chosen]).backward()
                optimizer.step()
    return network.eval().requires_grad_(False)


# %% tags=["demo"]
def draw_masks(image: int = 0) -> None:
    _, _, images, labels = digit_data()
    x, y = images[image : image + 1], labels[image : image + 1]
    network, masked = trained_digits(), trained_digits(keep_some)
    point = x.clone().requires_grad_()
    margin_loss(network(point), y).sum().backward()
    sizes = torch.linspace(0, 0.3, 301)
    line = (x + sizes[:, None] * point.grad.sign()).clamp(0, 1)
    many = y.expand(len(sizes))
    torch.manual_seed(0)
    with torch.no_grad():
        plain = ce_loss(network(line), many)
        draws = torch.stack([ce_loss(masked(keep_some(line)), many) for _ in range(200)])
        curves = {
            "rounded to 5 grey values": ce_loss(network(round_pixels(line)), many),
            "logits × 1,000": ce_loss(1000 * network(line), many),
            "30 % of the pixels kept": draws[0],
        }
    _, axes = plt.subplots(1, 3, figsize=(10.4, 2.9))
    for axis, (name, curve) in zip(axes, curves.items(), strict=True):
        random = "kept" in name
        axis.plot(sizes, curve, color="C5" if random else "C0", lw=0.6 if random else 1.8, label="one draw each" if random else "with the defence")
        if random:
            axis.plot(sizes, draws.mean(0), color="C0", label="mean of 200 draws")
        else:
            axis.plot(sizes, plain, "--", color="0.5", lw=1.2, label="without")
        axis.set(xlabel="distance in each pixel", title=name)
        axis.legend(fontsize=8, loc="lower right" if "logits" in name else "upper left")
    axes[0].set_ylabel("cross-entropy")
    axes[1].set_ylim(-0.5, 12)
    plt.show()


draw_masks()

# %% [markdown]
# In all three panels the loss rises: images that deceive the network are still there. But behind **rounding**, its slope is 0 on each stair, and PGD does not take a step. Behind **scaled logits**, the softmax of a sure network is exactly 1 in `float32`, and the gradient of the cross-entropy exactly 0, until the label has nearly lost. Behind a **random** mask, a gradient is that of one draw.
#
# Such defences take away what one attack needs, not the weakness: **gradient masking** (Papernot et al., arXiv:1602.02697). Of nine defences of ICLR 2018, Athalye, Carlini and Wagner (arXiv:1802.00420) found that seven relied on it.
#
# ### The attack that fits
#
# **The gradient is 0, or there is none** (rounding, JPEG, thresholds). *Backward pass differentiable approximation* (BPDA) computes $f(g(x))$ with the true defence $g$, but differentiates as if $g$ were a substitute $h \approx g$, often the identity ($J_h$: the derivatives of $h$):
#
# $$\nabla_x\, \ell\big(f(g(x))\big) \;\approx\; J_h(x)^{\top}\; \nabla_z\, \ell\big(f(z)\big)\Big|_{z = g(x)} .$$
#
# **The gradient is one draw of many.** *Expectation over transformation* (EOT; Athalye et al., arXiv:1707.07397) attacks the mean loss. The mean is of gradients, not of their signs: one large gradient may outweigh many small ones.
#
# $$\nabla_x\, \mathbb E_t\, \ell\big(f(t(x))\big) \;\approx\; \frac 1n \sum_{i=1}^n \nabla_x\, \ell\big(f(t_i(x))\big), \qquad t_i \text{ independent} .$$
#
# **The softmax is saturated.** Take a loss without one, such as the *difference of logits ratio* (Croce and Hein, arXiv:2003.01690). With the logits in descending order $z_{(1)} \ge z_{(2)} \ge z_{(3)} \ge \dots$, it does not change if all logits are multiplied by 1,000, or all raised by 5:
#
# $$\text{DLR}(z, y) = \frac{\max_{i \ne y} z_i - z_y}{z_{(1)} - z_{(3)}} .$$
#
# ### What proves nothing
#
# - **An attack that failed.** Let somebody attack who wants the defence to fall.
# - **An image that one draw gets wrong.** A random defence makes mistakes anyway. Take the mean over fresh draws.
# - **An image out of bounds.** Check the distance at the end.
#
# Signs of masking (Athalye et al., section 3.1): one step does better than many; attacks made for a *different* network do better; random search finds what the gradient does not; a larger $\epsilon$ does not help.

# %% [markdown]
# ### Exercise 7.3 · Break them
#
# > **Difficulty** ★★★☆ · **45 minutes** · **10 points** · PyTorch
#
# **Given** three defences and `trained_digits`, above. **Write** four functions.
#
# <details><summary>Hint 1: a value from here, a gradient from there</summary>
#
# `a.detach()` has the value of `a` and no gradient; `b - b.detach()` is 0 with the gradient of `b`.
# </details>
#
# <details><summary>Hint 2: the distance</summary>
#
# A comparison with NaN is false. `if not (distance <= eps + 1e-6).all()` catches it; `if (distance > eps + 1e-6).any()` does not.
# </details>

# %% nbgrader={"grade": false, "grade_id": "masking", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dlr_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The difference of logits ratio of each image: at least 0 where it is deceived.

    It is the highest logit of another class minus the label's, divided by the difference between the highest and the
    third highest of all logits. Gradients pass through both.

    Args:
        logits: (n, C) of float32 or float64, C at least 3. In no row are the three highest equal.
        labels: (n,) int64.

    Returns:
        (n,), not changed by multiplying all logits of an image by a positive number, or adding a number to all.

    >>> dlr_loss(torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([0]))
    tensor([-0.2500])
    """
    ### BEGIN SOLUTION
    own = F.one_hot(labels, logits.shape[1]).bool()
    others = logits.masked_fill(own, -math.inf).amax(1)
    highest = logits.topk(3, dim=1).values
    return (others - logits.gather(1, labels[:, None])[:, 0]) / (highest[:, 0] - highest[:, 2])
    ### END SOLUTION


def bpda(images: torch.Tensor, defence, substitute=None) -> torch.Tensor:
    """The defended images, with the gradient of a substitute.

    Args:
        images: (n, ...), which may require a gradient, or come from something that does.
        defence: from images to defended images, both tensors of one type; it modifies nothing. It may be random, may
            have parameters, and may compute with NumPy inside, so give it images that do not require a gradient.
            No gradient goes back through it, nor to its parameters. Call it once.
        substitute: a differentiable function from images to a result of the same shape as the defence's;
            None: the identity.

    Returns:
        The values of defence(images), up to rounding, whose gradient with respect to `images` is that of
        substitute(images).

    >>> x = torch.tensor([0.3, 0.8], requires_grad=True)
    >>> (bpda(x, torch.round) * torch.tensor([5.0, 7.0])).sum().backward()
    >>> x.grad
    tensor([5., 7.])
    """
    ### BEGIN SOLUTION
    value = defence(images.detach())
    smooth = images if substitute is None else substitute(images)
    return value.detach() + (smooth - smooth.detach())
    ### END SOLUTION


def eot_gradient(loss, images: torch.Tensor, n_draws: int) -> torch.Tensor:
    """Estimates the gradient of each image's expected loss: the mean of the gradients of n_draws random losses.

    Args:
        loss: from (n, ...) images to (n,) losses, one for each image by itself. It is random: each call is one
            independent draw. Call it n_draws times, and do not seed torch's generator.
        images: (n, ...), float32 or float64.
        n_draws: at least 1.

    Returns:
        A tensor like `images`, without a graph. `images` and the `.grad` of whatever `loss` depends on are as they were.
    """
    ### BEGIN SOLUTION
    total = torch.zeros_like(images)
    for _ in range(n_draws):
        point = images.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point).sum(), point)
        total += gradient
    return total / n_draws
    ### END SOLUTION


def accuracy_under_attack(classify, images: torch.Tensor, attacked: torch.Tensor, labels: torch.Tensor, eps: float, n_draws: int) -> float:
    """How often a random defence is right about attacked images, on average over fresh draws.

    Args:
        classify: from images to (n, C) logits. It may be random, and is called n_draws times, with all attacked images.
        images: the originals, (n, ...), float32 or float64; n is at least 1.
        attacked: of the same shape and type.
        labels: (n,) int64. An image is right in a draw if its label's logit is higher than all others.
        n_draws: at least 1.

    Returns:
        The mean over the draws of the share of images that are right, a number from 0 to 1.

    Raises:
        ValueError: a pixel of `attacked` is NaN, or farther than eps from the original, or outside [0, 1]. (For both bounds,
            up to 1e-6 too far is rounding and is accepted.) Then `classify` is not called.
    """
    ### BEGIN SOLUTION
    if not ((attacked - images).abs() <= eps + 1e-6).all():
        raise ValueError(f"a pixel is farther than {eps} from the original")
    if not ((attacked >= -1e-6) & (attacked <= 1 + 1e-6)).all():
        raise ValueError("a pixel is outside [0, 1]")
    with torch.no_grad():
        right = [(margin_loss(classify(attacked), labels) < 0).double().mean() for _ in range(n_draws)]
    return torch.stack(right).mean().item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_masking", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


@check(points=0.5, hint="Of [4, 1, 2, -1], the highest is 4 and the third highest is 1.")
def loss_by_hand():
    """For the logits 4, 1, 2, -1, the loss of label 0 is -2/3, that of label 2 is 2/3, and that of label 1 is 1."""
    found = probe(lambda: dlr_loss(torch.tensor([[4.0, 1.0, 2.0, -1.0]] * 3), torch.tensor([0, 2, 1])))
    assert found is not None, "dlr_loss returns None: is the return missing?"
    assert found.shape == (3,), f"the result has the shape {tuple(found.shape)} instead of (3,)"
    assert torch.allclose(found, torch.tensor([-2 / 3, 2 / 3, 1.0]), atol=1e-5), f"{[round(value, 4) for value in found.tolist()]} instead of [-0.6667, 0.6667, 1]"


@check(points=0.5, hint="The value of the defence, detached; the gradient of the substitute.")
def bpda_by_hand():
    """Behind rounding, .3 and .8 become 0 and 1, and the gradient of the squared result is 0 and 2."""
    def run():
        pixels = torch.tensor([[0.3, 0.8]], requires_grad=True)
        result = bpda(pixels, torch.round)
        (result**2).sum().backward()
        return result.detach(), pixels.grad

    found, gradient = probe(run)
    assert torch.allclose(found, torch.tensor([[0.0, 1.0]]), atol=1e-6), f".3 and .8 became {found.flatten().tolist()}"
    assert gradient is not None, "no gradient arrives at the images"
    assert torch.allclose(gradient, torch.tensor([[0.0, 2.0]]), atol=1e-5), f"the gradient is {[round(value, 4) for value in gradient.flatten().tolist()]} instead of [0, 2]"


@check(points=0.5, hint="The mean of the gradients, each from a call of its own.")
def eot_by_hand():
    """From three draws with the gradients 1, 1 and -5, the mean is -1."""
    def run():
        slopes = iter([1.0, 1.0, -5.0])
        return eot_gradient(lambda images: next(slopes) * images[:, 0], torch.tensor([[0.5]]), 3)

    found = probe(run)
    assert found is not None, "eot_gradient returns None: is the return missing?"
    assert abs(found.item() + 1) < 1e-5, f"the gradient is {found.item():.4g} instead of -1"


@check(points=0.5, hint="A mean over draws: an image that is wrong in one of four draws counts three quarters.")
def accuracy_by_hand():
    """Of two images, one is always right and one in a quarter of the draws: the accuracy is 0.625."""
    def run():
        draws = iter([-1.0, 1.0, -1.0, -1.0])
        classify = lambda images: torch.tensor([[1.0, 0.0], [next(draws), 0.0]])
        return float(accuracy_under_attack(classify, torch.tensor([[0.5], [0.5]]), torch.tensor([[0.6], [0.4]]), torch.tensor([0, 0]), 0.1, 4))

    found = probe(run)
    assert abs(found - 0.625) < 1e-6, f"{found:.4g} instead of 0.625"


### BEGIN HIDDEN TESTS
@check(points=1.5, hint="Numerator: the best other class minus the label. Denominator: first minus third of all logits, the label's among them; it has a gradient, too.")
def loss_is_free_of_scale():
    """The loss and its gradient are right for labels of any rank, and the loss does not change with the scale or the level of the logits."""
    generator = np.random.default_rng(np.random.randint(2**31))
    cases = [(generator.normal(size=(60, C)), generator.integers(0, C, 60)) for C in (3, 4, 10)]

    def run(cases):
        found = []
        for values, classes in cases:
            logits, labels = torch.tensor(values, requires_grad=True), torch.tensor(classes)
            losses = dlr_loss(logits, labels)
            (gradient,) = torch.autograd.grad(losses.sum(), logits)
            short = logits.detach().float()
            found.append((losses.detach(), gradient, dlr_loss(1000 * short, labels), dlr_loss(short / 1000, labels), dlr_loss(short - 20, labels)))
        return found

    for (logits, labels), (losses, gradient, *others) in zip(cases, probe(run, cases), strict=True):
        ranks = [sorted(range(logits.shape[1]), key=lambda i, row=row: -row[i]) for row in logits]
        rivals = [order[1] if order[0] == label else order[0] for order, label in zip(ranks, labels, strict=True)]
        truth, slope = [], np.zeros_like(logits)
        for row, (z, label, rival, order) in enumerate(zip(logits, labels, rivals, ranks, strict=True)):
            above, below = z[rival] - z[label], z[order[0]] - z[order[2]]
            truth.append(above / below)
            for i, sign in ((rival, 1), (label, -1)):
                slope[row, i] += sign / below
            for i, sign in ((order[0], -1), (order[2], 1)):
                slope[row, i] += sign * above / below**2
        if losses.shape != (60,):
            fail(f"For 60 images, the result has the shape {tuple(losses.shape)}.")
        if not np.allclose(losses, truth, atol=1e-9):
            fail(f"Wrong for {logits.shape[1]} classes.")
        if not np.allclose(gradient, slope, atol=1e-7):
            fail(f"The gradient is wrong for {logits.shape[1]} classes.")
        # In 32 bits, the difference of two close logits may lose digits; the denominator is what it is divided by.
        spread = np.array([z[order[0]] - z[order[2]] for z, order in zip(logits, ranks, strict=True)])
        for other, change in zip(others, ("are multiplied by 1,000", "are divided by 1,000", "fall by 20"), strict=True):
            if not np.all(np.abs(np.asarray(other) - truth) < 1e-4 * (1 + np.abs(truth)) / spread):
                fail(f"The loss changes if all logits {change}.")


def scaled_by_numpy(images):
    """A defence that leaves torch."""
    pixels = np.asarray(images.numpy())
    return torch.from_numpy(np.floor(pixels * 7) / 7 + 0.01 * np.sin(40 * pixels))


DEFENCES = {
    "rounding": lambda images: torch.round(images * 3) / 3,
    "a defence in NumPy": scaled_by_numpy,
    "a defence with a gradient of its own": lambda images: images**2,
    "a defence that joins the axes": lambda images: torch.round(images.flatten(1)),
    "a random defence": lambda images: images + torch.rand_like(images),
}
SUBSTITUTES = {
    "rounding": (None, np.ones_like),
    "a defence in NumPy": (lambda images: images**3, lambda x: 3 * x**2),
    "a defence with a gradient of its own": (None, np.ones_like),
    "a defence that joins the axes": (lambda images: torch.sin(images).flatten(1), np.cos),
    "a random defence": (lambda images: 2 * images, lambda x: np.full_like(x, 2)),
}


@functools.cache
def through_bpda():
    """For each defence: pixels, what the defence returned, what bpda returned, the gradient of the sum of cubes behind it, the calls, and whether the defence met a gradient."""
    pixels = np.random.uniform(0.05, 0.95, (4, 2, 3))

    def run(pixels):
        found = {}
        for name, defence in DEFENCES.items():
            seen = []

            def watched(images, defence=defence, seen=seen):
                seen.append([images.requires_grad, None])
                seen[-1][1] = defence(images)
                return seen[-1][1]

            leaf = torch.tensor(pixels, requires_grad=True)
            result = bpda(1.0 * leaf, watched, SUBSTITUTES[name][0])
            (gradient,) = torch.autograd.grad((result**3).sum(), leaf)
            found[name] = (seen[0][1].detach(), result.detach(), gradient, len(seen), any(met for met, _ in seen))
        return found

    return pixels, probe(run, pixels)


@functools.cache
def with_a_parameter():
    """Behind a defence with a parameter of its own: pixels, their gradient, and whether the parameter got one; then the values for images that require no gradient."""
    pixels = np.random.uniform(0.05, 0.95, (4, 2, 3))

    def run(pixels):
        weight = torch.full((2, 3), 0.5, dtype=torch.float64, requires_grad=True)
        leaf = torch.tensor(pixels, requires_grad=True)
        (bpda(leaf, lambda images: images * weight) ** 3).sum().backward()
        return leaf.grad, weight.grad is not None, bpda(torch.tensor(pixels), lambda images: torch.round(images * 3) / 3).detach()

    return pixels, *probe(run, pixels)


@check(points=1, hint="The forward pass goes through the true defence: do not replace or skip it. Call it once; a second call of a random one gives other values.")
def forward_is_the_defence():
    """The values are those of the defence, which is called once, on images that require no gradient."""
    _, found = through_bpda()
    for name, (value, result, _, calls, met) in found.items():
        if calls != 1:
            fail(f"{name.capitalize()} was called {calls} times instead of once.")
        if met:
            fail(f"{name.capitalize()} got images that require a gradient.")
        if result.shape != value.shape or not torch.allclose(result, value, atol=1e-9):
            fail(f"The values are not those of {name}.")
    pixels, _, _, still = with_a_parameter()
    if not np.allclose(still, np.round(pixels * 3) / 3, atol=1e-9):
        fail("The values are not those of the defence where the images require no gradient.")


@check(points=1.5, hint="The gradient behind the defence is taken at the defended images, then goes backwards through the substitute alone.")
def backward_is_the_substitute():
    """The gradient is that of the substitute, taken where the defence has led; the defence gets and gives none."""
    pixels, found = through_bpda()
    for name, (value, _, gradient, *_) in found.items():
        truth = 3 * value.numpy().reshape(pixels.shape) ** 2 * SUBSTITUTES[name][1](pixels)
        if gradient.shape != pixels.shape or not np.allclose(gradient, truth, atol=1e-9):
            fail(f"The gradient is wrong with {name}{' and a substitute' if SUBSTITUTES[name][0] else ''}.")
    pixels, gradient, reached, _ = with_a_parameter()
    if reached:
        fail("A gradient arrives at a parameter of the defence.")
    if gradient is None or not np.allclose(gradient, 3 * (pixels / 2) ** 2, atol=1e-9):
        fail("The gradient is wrong with a defence that has a parameter.")


@check(points=1.5, hint="Sum over the images, differentiate, and take the mean over the draws: not of signs, and each draw with a call of its own.")
def eot_in_closed_form():
    """The mean gradient is exact for given draws, also where a few large ones outweigh the others, for any number of images and draws."""
    cases = []
    for n, shape, n_draws in [(1, (3,), 1), (5, (2, 3), 7), (4, (6,), 30), (3, (1, 2, 2), 4)]:
        images = np.random.uniform(0, 1, (n, *shape))
        slopes, bends = np.random.normal(size=(n_draws, n, *shape)) + 0.3, np.random.normal(size=(n_draws, n, *shape))
        slopes[0] -= 1.2 * n_draws  # one draw decides
        cases.append((images, slopes, bends))

    def run(cases):
        found = []
        for images, slopes, bends in cases:
            for dtype in (torch.float64, torch.float32):
                calls = []

                def loss(x, slopes=slopes, bends=bends, calls=calls, dtype=dtype):
                    i = len(calls)
                    calls.append(tuple(x.shape))
                    i = min(i, len(slopes) - 1)
                    return (torch.tensor(slopes[i], dtype=dtype) * x + torch.tensor(bends[i], dtype=dtype) * x**2).flatten(1).sum(1)

                result = eot_gradient(loss, torch.tensor(images, dtype=dtype), len(slopes))
                found.append((result.detach(), result.requires_grad, str(result.dtype), len(calls)))
        return found

    answers = probe(run, cases)
    for (images, slopes, bends), pair in zip(cases, zip(answers[::2], answers[1::2], strict=True), strict=True):
        truth = (slopes + 2 * bends * images).mean(0)
        for bits, (result, attached, dtype, calls) in zip((64, 32), pair, strict=True):
            if calls != len(slopes):
                fail(f"For {len(slopes)} draws, the loss was called {calls} times.")
            if result.shape != images.shape or dtype != f"torch.float{bits}" or attached:
                fail("A tensor like the images, without a graph, is asked for.")
            if not np.allclose(result, truth, atol=1e-9 if bits == 64 else 1e-4):
                fail(f"Wrong for {len(images)} images of shape {images.shape[1:]} and {len(slopes)} draws.")


@check(points=0.5, hint="torch.autograd.grad on a copy of the images. Do not seed anything: equal draws are one draw.")
def eot_leaves_no_trace():
    """Draws differ, images and all .grad stay as they are, and the images may require a gradient or not."""
    def run():
        weight = torch.ones(2, 3, requires_grad=True)
        drawn, reports = [], []

        def loss(x):
            drawn.append(torch.rand(2, 3))
            return (drawn[-1] * weight * x).sum(1)

        for wanted in (False, True):
            images = torch.full((2, 3), 0.5, requires_grad=wanted)
            for _ in range(2):
                eot_gradient(loss, images, 3)
            reports.append(weight.grad is None and images.grad is None and images.requires_grad is wanted and bool((images == 0.5).all()))
        return torch.stack(drawn), reports

    drawn, reports = probe(run)
    if not all(reports):
        fail("The images, their requires_grad or a .grad were changed.")
    if len({tuple(draw.flatten().tolist()) for draw in drawn}) < len(drawn):
        fail("Some draws are the same: a generator was seeded.")


def measure_draws(logits, labels, n_draws):
    """accuracy_under_attack for given logits of each draw, and the calls."""
    calls = []

    def classify(images):
        calls.append(images.flatten().tolist())
        return torch.tensor(logits[min(len(calls), len(logits)) - 1])

    n = len(labels)
    attacked = torch.linspace(0.1, 0.9, n, dtype=torch.float64)[:, None]
    found = accuracy_under_attack(classify, attacked + 0.05, attacked, torch.tensor(labels), 0.1, n_draws)
    return float(found), calls


@check(points=1, hint="For each draw the share of right images, then the mean over the draws. Neither one wrong draw nor a vote decides; a tie is not right.")
def accuracy_over_fresh_draws():
    """The accuracy is the mean over all draws: one wrong draw does not make an image wrong, nor does the majority."""
    cases = []
    for n, C, n_draws in [(6, 3, 5), (1, 2, 9), (20, 4, 1), (7, 3, 40)]:
        logits = np.random.normal(size=(n_draws, n, C))
        logits[:, :, 0] += 0.8
        logits[0, 0] = 1.0  # a tie
        cases.append((logits, np.zeros(n, dtype=int) if n > 1 else np.array([1])))
    answers = probe(lambda cases: [measure_draws(*case, len(case[0])) for case in cases], cases)
    for (logits, labels), (found, calls) in zip(cases, answers, strict=True):
        if len(calls) != len(logits):
            fail(f"For {len(logits)} draws, the classifier was called {len(calls)} times.")
        if any(not np.allclose(call, np.linspace(0.1, 0.9, len(labels))) for call in calls):
            fail("The classifier has to see the attacked images, all of them.")
        right = [[all(z[label] > z[i] for i in range(len(z)) if i != label) for z, label in zip(draw, labels, strict=True)] for draw in logits]
        if not abs(found - sum(map(sum, right)) / (len(logits) * len(labels))) < 1e-6:
            fail(f"Wrong for {len(labels)} images and {len(logits)} draws.")


@check(points=1, hint="Compare each pixel with the original, in both directions, with eps + 1e-6; then with 0 and 1. Let NaN fail: `not (distance <= bound).all()`.")
def refuses_what_is_out_of_bounds():
    """Images beyond eps, outside [0, 1] or with NaN are refused before the classifier is called; rounding is not."""
    def run(cases):
        found = []
        for original, attacked, eps in cases:
            calls = []
            classify = lambda images, calls=calls: calls.append(1) or torch.tensor([[1.0, 0.0]] * len(images))
            try:
                found.append((float(accuracy_under_attack(classify, torch.tensor(original), torch.tensor(attacked), torch.tensor([0, 0]), eps, 1)), len(calls)))
            except ValueError:
                found.append((None, len(calls)))
        return found

    fine = [[0.5, 0.02], [0.97, 0.5]]
    accepted = [(fine, [[0.6, 0.0], [1.0, 0.4]], 0.1), (fine, fine, 0.0), (fine, [[0.5 + 0.3, 0.02], [0.97 - 0.3, 0.5]], 0.3), (fine, [[0.6000005, -5e-7], [1.0000005, 0.4]], 0.1), ([[[0.5, 0.5]], [[0.5, 0.9]]], [[[0.5, 0.6]], [[0.5, 1.0]]], 0.1)]
    refused = [
        (fine, [[0.5, 0.02], [0.97, 0.61]], 0.1),
        (fine, [[0.39, 0.02], [0.97, 0.5]], 0.1),
        (fine, [[0.5, -0.001], [0.97, 0.5]], 0.1),
        (fine, [[0.5, 0.02], [1.001, 0.5]], 0.1),
        (fine, [[0.5, math.nan], [0.97, 0.5]], 0.1),
        (fine, [[0.50001, 0.02], [0.97, 0.5]], 0.0),
        # In 32 bits, the steps between numbers near 1 are 6e-8: 1.8e-6 is not taken for 1e-6.
        (fine, [[0.6000018, 0.02], [0.97, 0.5]], 0.1),
        (fine, [[0.5, -1.8e-6], [0.97, 0.5]], 0.1),
        (fine, [[0.5, 0.02], [1.0000018, 0.5]], 0.1),
        ([[[0.5, 0.5]], [[0.5, 0.5]]], [[[0.5, 0.5]], [[0.5, 0.7]]], 0.1),
        ([[0.5, 1.2], [0.5, 0.5]], [[0.5, 1.15], [0.5, 0.5]], 0.1),
    ]
    answers = probe(run, accepted + refused)
    for found, _ in answers[: len(accepted)]:
        if found != 1:
            fail("Images within the bounds, or up to rounding so, were refused.")
    for found, calls in answers[len(accepted) :]:
        if found is not None:
            fail("Images beyond eps, outside [0, 1] or with NaN were accepted.")
        if calls:
            fail("The classifier was called although the images are out of bounds.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# Each defence is attacked by PGD on the cross-entropy; with images made for an *undefended* network of another seed (a *transfer* attack); and by the attack that fits. Behind the random defences the network was trained with them. **Predict:** where does the attack that fits gain nothing?

# %% tags=["demo", "nbval-ignore-output"]
def climb(gradient, images: torch.Tensor, eps: float, n_steps: int) -> torch.Tensor:
    """The last point of PGD's path from a random start, with any estimate of the gradient."""
    point = (images + eps * (2 * torch.rand_like(images) - 1)).clamp(0, 1)
    for _ in range(n_steps):
        point = (point + eps / 8 * gradient(point).sign()).clamp(images - eps, images + eps).clamp(0, 1)
    return point


def break_defences(eps: float = 0.2, levels: int = 5, n_steps: int = 40, seed: int = 0) -> dict:
    """For each defence: accuracy without attack, under PGD, under transfer, under the attack that fits."""
    _, _, images, labels = digit_data()
    images, labels = images[:300], labels[:300]
    torch.manual_seed(seed)
    plain, foreign, noisy, masked = trained_digits(seed=seed), trained_digits(seed=seed + 1), trained_digits(add_noise, seed), trained_digits(keep_some, seed)
    rounding = lambda x: round_pixels(x, levels)
    defences = {  # name: the classifier, the loss that fits, draws for a gradient
        "none": (plain, lambda x: dlr_loss(plain(x), labels), 1),
        f"rounding,\n{levels} values": (lambda x: plain(rounding(x)), lambda x: dlr_loss(plain(bpda(x, rounding)), labels), 1),
        "logits\n× 1,000": (lambda x: 1000 * plain(x), lambda x: dlr_loss(1000 * plain(x), labels), 1),
        "noise,\nσ = 0.2": (lambda x: noisy(add_noise(x)), lambda x: ce_loss(noisy(add_noise(x)), labels), 20),
        "30 % of\npixels": (lambda x: masked(keep_some(x)), lambda x: ce_loss(masked(keep_some(x)), labels), 20),
    }
    transferred = climb(lambda x: eot_gradient(lambda z: dlr_loss(foreign(z), labels), x, 1), images, eps, 40)
    table = {}
    for name, (classify, fitting, n_draws) in defences.items():
        naive = climb(lambda x, classify=classify: eot_gradient(lambda z: ce_loss(classify(z), labels), x, 1), images, eps, n_steps)
        fit = climb(lambda x, fitting=fitting, n_draws=n_draws: eot_gradient(fitting, x, n_draws), images, eps, n_steps)
        table[name] = [100 * accuracy_under_attack(classify, images, points, labels, eps, 20) for points in (images, naive, transferred, fit)]
    return table


def certified_radii(sigma: float, n_images: int = 200, n_draws: int = 1000, alpha: float = 0.001) -> np.ndarray:
    """The radius in which the smoothed network provably does not change its mind, for each image; 0 where it abstains or is wrong."""
    from scipy.stats import beta, norm

    _, _, images, labels = digit_data()
    network = trained_digits(lambda x: add_noise(x, sigma))
    torch.manual_seed(0)
    radii = []
    with torch.no_grad():
        for x, y in zip(images[:n_images], labels[:n_images], strict=True):
            guess = network(add_noise(x.expand(100, -1), sigma)).argmax(1).mode().values  # from draws of its own
            hits = (network(add_noise(x.expand(n_draws, -1), sigma)).argmax(1) == guess).sum().item()
            p = beta.ppf(alpha, hits, n_draws - hits + 1) if hits else 0.0  # Clopper and Pearson's lower bound
            radii.append(sigma * norm.ppf(p) if p > 0.5 and guess == y else 0.0)
    return np.array(radii)


def draw_broken(eps: float = 0.2, levels: int = 5, n_steps: int = 40, seed: int = 0, sigmas: tuple = (0.1, 0.25, 0.5)) -> None:
    table = break_defences(eps, levels, n_steps, seed)
    _, (left, right) = plt.subplots(1, 2, figsize=(10.6, 3.4), width_ratios=(1.9, 1))
    names = ["no attack", "PGD", "transfer", "attack that fits"]
    for i, (name, color, hatch) in enumerate(zip(names, ("0.8", "C4", "C1", "C0"), ("", "", "///", ""), strict=True)):
        places = np.arange(len(table)) + 0.2 * (i - 1.5)
        heights = [row[i] for row in table.values()]
        left.bar(places, heights, 0.19, color=color, hatch=hatch, edgecolor="white", lw=0, label=name)
        for place, height in zip(places, heights, strict=True):
            left.text(place, height + 1.5, f"{height:.0f}", ha="center", fontsize=8)
    left.set_xticks(range(len(table)), table)
    left.set(ylabel="correct, in %", ylim=(0, 125), title=f"Networks under attack, ε = {eps:g}")
    left.legend(fontsize=8, ncols=4, loc="upper center")
    radii = np.linspace(0, 1.2, 121)
    for sigma, style in zip(sigmas, ("-", "--", ":"), strict=False):
        found = certified_radii(sigma)
        right.plot(radii, [100 * np.mean((found > 0) & (found >= r)) for r in radii], style, label=f"σ = {sigma:g}")
    right.set(xlabel="radius ($L_2$)", ylabel="certified, in %", ylim=(0, 104), title="Randomised smoothing: proved")
    right.legend(fontsize=8)
    plt.show()


try:
    draw_broken()
except NotImplementedError:
    print("This figure needs your functions of exercise 7.3.")

# %% [markdown]
# **Rounding and scaling** look perfect under PGD (94 to 96 % for four seeds), and are worth nothing: the attack that fits leaves 1 % or less. The transfer attack, which never looked at them, leaves 3 % or less: a cheap test for masking.
#
# **The random ones** fall to PGD with single draws nearly as far as to EOT: over forty steps the draws average out by themselves. And the mask alone, without any attack, makes the network wrong about 41 % of the images.
#
# ### What a proof looks like (no points)
#
# Two things are called "smoothed prediction". *Label smoothing* trains on softer labels, and promises nothing. **Randomised smoothing** (Cohen et al., arXiv:1902.02918; right panel) classifies many noisy copies of an image and takes a vote. If the winner's share of all possible copies is at least $p > \frac12$, no change shorter than
#
# $$r = \sigma\, \Phi^{-1}(p) \qquad \text{(in } L_2)$$
#
# can alter the vote, whatever the attack ($\Phi$: the normal distribution function). The share is estimated, so $p$ is a lower bound (with probability 99.9 % for each image). With 1,000 copies, $r$ is at most $2.46\,\sigma$: a larger $\sigma$ reaches farther, but fewer images get a certificate at all.
#
# A certificate is about the vote and about its own norm. It may certify a wrong answer, so only right ones are drawn.
#
# **Change, predict, run.** `draw_broken(n_steps=10)` gives all attacks but the transfer a quarter of the steps. Where does EOT matter now?
#
# <details><summary>What you should see</summary>
#
# With ten steps and the mask, PGD leaves 25 to 27 % and EOT 6 %; with noise, 19 or 20 and 15 to 17 % (three seeds). Single draws through a mask point in very different directions.
# </details>
