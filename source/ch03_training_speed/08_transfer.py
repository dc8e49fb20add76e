# %% [markdown]
# ## 3.8 Transfer
#
# A network has learnt the digits 0 to 4. Now it is to learn 5 to 9 from 50 images. One keeps its **body**, all but the last layer, **frozen**, and trains
# a new last layer, the **head**.
#
# `body.requires_grad_(False)` freezes all parameters. Then the 50 images pass through the body, in training mode, as in every training loop. But somebody forgot to
# divide their pixels by 16. There is no optimizer. **Predict:** what becomes of the accuracy on the *old* digits?

# %% nbgrader={"grade": false, "grade_id": "setup_transfer", "locked": true, "schema_version": 3, "solution": false, "task": false}
def small_body() -> nn.Sequential:
    """A body for digits: (n, 1, 8, 8) images to (n, 128) features."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip


def digits_for_transfer(seed: int):
    """Images (n, 1, 8, 8) from 0 to 1, and labels 0 to 4: of the digits 0 to 4, and of 5 to 9; each as (training, test)."""
    from sklearn.datasets import load_digits

    pixels, digits = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = (pixels.float() / 16).view(-1, 1, 8, 8)
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    halves = []
    for rows in (order[digits[order] < 5], order[digits[order] >= 5]):
        x, y = images[rows], digits[rows] % 5
        halves.append(((x[:500], y[:500]), (x[500:], y[500:])))
    return halves


def fit(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int, lr: float, batch: int) -> None:
    """Trains all that requires gradients by AdamW on random batches, and leaves the model in evaluation mode."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    model.train()
    for _ in range(steps):
        rows = torch.randperm(len(images))[:batch]
        optimizer.zero_grad()
        F.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimizer.step()
    model.eval()


@torch.no_grad()
def share_right(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the images whose largest logit is their label's; the model's mode stays as it is."""
    return (model(images).argmax(-1) == labels).float().mean().item()


# %% tags=["demo"]
def draw_frozen_and_yet(seeds=(0, 1, 2), n_passes=10):
    _, ax = plt.subplots(figsize=(7, 3.1))
    passes = [0, 1, 2, 3, 5, 7, n_passes]
    for title, factor, style in [("pixels from 0 to 1", 1, "C0o-"), ("pixels from 0 to 4", 4, "C2^-"), ("pixels from 0 to 16", 16, "C1s-")]:
        runs = []
        for seed in seeds:
            torch.manual_seed(seed)
            ((x, y), old_test), ((new, _), _) = digits_for_transfer(seed)
            body, old_head = small_body(), nn.Linear(128, 5)
            model = nn.Sequential(body, old_head)
            fit(model, x, y, steps=150, lr=3e-3, batch=64)
            body.requires_grad_(False)
            scores = [share_right(model, *old_test)]
            for done in range(1, n_passes + 1):
                model.train()
                model(factor * new[:50])
                if done in passes:
                    scores.append(share_right(model.eval(), *old_test))
            runs.append(scores)
        ax.fill_between(passes, np.min(runs, 0), np.max(runs, 0), color=style[:2], alpha=0.15, lw=0)
        ax.plot(passes, np.mean(runs, 0), style, ms=4, label=title)
    ax.set(xlabel="forward passes of 50 images of 5 to 9, in training mode", ylabel="accuracy on old digits", ylim=(0, 1.03), title="Parameters frozen, no optimizer")
    ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(0.21, 0.45))
    plt.show()


draw_frozen_and_yet()

# %% [markdown]
# With pixels up to 16, most is forgotten after one pass, and soon chance is left, 0.2; with pixels up to 4, it takes longer. (Lines: means of three seeds; areas: smallest to largest.) Batch norm's running mean and variance are **buffers**, not parameters: each pass in training mode moves them,
# whatever `requires_grad` says (PyTorch's manual, `BatchNorm2d`). With proper pixels they move, too, but nobody notices.
#
# So a body is frozen if it is in evaluation mode, too, **and stays there**, although training loops call `model.train()`. (In Keras, `trainable = False` includes this for batch norm: guide
# *Transfer learning & fine-tuning*.) Gradients set to zero freeze nothing: the decay of `AdamW(lr=1e-3)` shrinks weights to 0.99 in 1,000 steps.
#
# ### What frozen buys
#
# A frozen body gives the same features in each epoch: compute them **once**, and train the head on them. Only what is fixed may be cached: of a random augmentation, a cache would keep the first
# draw for ever.
#
# ### Exercise 3.8 · A new head
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · PyTorch
#
# **Write** `freeze`, `features` and `fit_head`, with anything from PyTorch.
#
# <details><summary>Hint 1: staying in evaluation mode</summary>
#
# `model.train(mode)` calls `train(mode)` of each part. A small module that contains the body may have a `train` of its own.
# </details>
#
# <details><summary>Hint 2: the mode before</summary>
#
# Parts of one model can be in different modes. Remember `module.training` for each of `body.modules()`.
# </details>
#
# <details><summary>Hint 3: tensors without a graph</summary>
#
# `torch.no_grad()` makes ordinary tensors. Those of `torch.inference_mode()` cannot be used in training later.
# </details>

# %% nbgrader={"grade": false, "grade_id": "transfer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def freeze(body: nn.Module) -> nn.Module:
    """A module that computes what body computes in evaluation mode, and that training leaves as it is.

    None of its parameters requires gradients, and each part of body is in evaluation mode and stays there, also if
    `.train()` is called on the module or on a model that contains it (nobody calls it on body itself, if that is a different object):
    batch norm uses its running statistics and does not move them, dropout does nothing. Gradients still flow through the module to its input.

    Args:
        body: any module with one tensor as input, in any mode. Its flags and modes may be changed; its parameters and buffers keep
            their values.

    Returns:
        body itself or a module around it. Its `parameters()` and `buffers()` are body's own tensors, no copies.

    >>> model = nn.Sequential(freeze(body), nn.Linear(128, 5)).train()  # trains the last layer only
    """
    ### BEGIN SOLUTION
    class Frozen(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def train(self, mode=True):
            return super().train(False)

        def forward(self, x):
            return self.body(x)

    return Frozen(body.requires_grad_(False)).eval()
    ### END SOLUTION


def features(body: nn.Module, images: torch.Tensor, batch_size: int) -> torch.Tensor:
    """What body makes of the images in evaluation mode, computed in batches.

    Nothing about body changes, buffers included, and afterwards each part of it has the mode (training or evaluation) that it had before; parts
    may differ. Gradients are recorded afterwards if they were before.

    Args:
        body: from (m, ...) to (m, ...) for any m from 1 on; in any mode, frozen or not; it does not modify its input.
        images: (n, ...), n at least 1; not modified.
        batch_size: body is given at most this many images at a time, and each image once; 1 or more.

    Returns:
        (n, ...), in the order of the images. It does not require gradients, and is an ordinary tensor: a head can be trained
        on it.

    >>> features(small_body(), torch.zeros(70, 1, 8, 8), batch_size=32).shape
    torch.Size([70, 128])
    """
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in body.modules()]
    body.eval()
    with torch.no_grad():
        found = torch.cat([body(batch) for batch in images.split(batch_size)])
    for module, mode in modes:
        module.training = mode
    return found
    ### END SOLUTION


def fit_head(body: nn.Module, head: nn.Module, images: torch.Tensor, labels: torch.Tensor, steps: int, lr: float) -> list[float]:
    """Trains a head on the features of body, and leaves body as it is.

    Makes `steps` steps of AdamW (learning rate lr, torch's defaults otherwise) on the mean cross-entropy of head(features of all images), in
    place. body is given each image once in all, however many steps there are, in evaluation mode, in batches of any size.

    The head is in training mode during the steps, and in evaluation mode afterwards. Gradients that head's
    parameters have from earlier do not count. Nothing about body changes: neither parameters nor
    buffers, modes, `requires_grad` flags or what is in its `.grad`.

    Args:
        body: (m, ...) images to features, as for `features`; frozen or not.
        head: features to (m, C) logits; all its parameters require gradients, and it does not modify its input.
        images: (n, ...), n at least 1; not modified.
        labels: (n,) int64, from 0 to C - 1.
        steps: 1 or more.

    Returns:
        The loss before each step, `steps` floats.

    >>> losses = fit_head(body, nn.Linear(128, 5), images, labels, steps=200, lr=1e-2)
    """
    ### BEGIN SOLUTION
    known = features(body, images, batch_size=256)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr)
    head.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(known), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    head.eval()
    return losses
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_transfer", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def body_with_modes(width: int = 5) -> nn.Sequential:
    """A body in which the mode matters: linear, batch norm whose statistics are no batch's, dropout, ReLU."""
    body = nn.Sequential(nn.Linear(width, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Dropout(0.5), nn.ReLU()))
    with torch.no_grad():
        body[1].running_mean.copy_(torch.tensor([1.0, -1.0, 0.5, 0.0]))
        body[1].running_var.copy_(torch.tensor([4.0, 0.5, 1.0, 2.0]))
        body[1].bias.copy_(torch.tensor([0.3, 0.2, -0.1, 0.4]))
    return body


def evaluated(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """What `body_with_modes` computes in evaluation mode, from its state, written out in 64 bits."""
    w = {name: tensor.double() for name, tensor in state.items()}
    hidden = x.double() @ w["0.weight"].T + w["0.bias"]
    scaled = (hidden - w["1.running_mean"]) / (w["1.running_var"] + 1e-5).sqrt() * w["1.weight"] + w["1.bias"]
    return scaled.clamp(min=0)


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def what_changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> list[str]:
    return [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]


@check(points=0.75, hint="requires_grad_(False) for the parameters, evaluation mode for batch norm and dropout, and a train() that does not undo it.")
def freezes_a_small_body():
    """freeze gives a module whose parameters and batch-norm statistics stay as they are when a model around it is trained."""
    def run(x, y):
        body = body_with_modes()
        before = state_of(body)
        frozen = freeze(body)
        if frozen is None:
            return None
        flags = [p.requires_grad for p in frozen.parameters()]
        fit(nn.Sequential(frozen, nn.Linear(4, 2)), x, y, steps=3, lr=0.1, batch=8)
        return before, state_of(body), flags

    found = probe(run, torch.randn(8, 5) + 3, torch.arange(8) % 2)
    assert found is not None, "freeze returns None: is the return missing?"
    before, after, flags = found
    assert len(flags) == 4, f"the module has {len(flags)} parameters; the body has 4"
    assert not any(flags), "a parameter still requires gradients"
    changed = what_changed(before, after)
    assert not changed, f"three training steps of a head changed {', '.join(changed)} of the body" + (": model.train() woke batch norm up" if "1.running_mean" in changed else "")


@check(points=0.75, hint="Evaluation mode, no graph, batches from images.split(batch_size), and torch.cat.")
def features_of_a_small_body():
    """features are what body gives in evaluation mode, for all images in order, without a graph."""
    def run(x):
        body = body_with_modes()
        found = features(body, x, 3)
        return None if found is None else (found.detach().clone(), found.requires_grad, state_of(body))

    x = torch.randn(7, 5)
    result = probe(run, x)
    assert result is not None, "features returns None: is the return missing?"
    found, has_graph, state = result
    assert found.shape == (7, 4), f"7 images with 4 features each, in batches of 3, gave a tensor of shape {tuple(found.shape)}"
    assert not has_graph, "the features require gradients: a graph of the body hangs on them"
    assert torch.allclose(found.double(), evaluated(state, x), atol=1e-4), "the features are not what body gives in evaluation mode: is batch norm or dropout in training mode?"


@check(points=1, hint="Features once, then a loop: zero_grad, cross_entropy(head(features), labels), backward, step.")
def fits_a_small_head():
    """fit_head lowers the loss, returns one number a step, changes the head and leaves the body alone."""
    def run(x, y):
        body, head = body_with_modes(), nn.Linear(4, 2)
        before = state_of(body), state_of(head)
        losses = fit_head(body, head, x, y, 5, 0.1)
        return losses, before, (state_of(body), state_of(head))

    losses, before, after = probe(run, torch.randn(12, 5), torch.arange(12) % 2)
    assert losses is not None, "fit_head returns None: is the return missing?"
    assert len(losses) == 5, f"5 steps were asked for, {len(losses)} losses came back"
    assert not any(isinstance(loss, torch.Tensor) for loss in losses), "the losses are tensors; floats are asked for"
    assert len(what_changed(before[1], after[1])) == 2, "the head's weight and bias should both have changed"
    changed = what_changed(before[0], after[0])
    assert not changed, f"fitting the head changed {', '.join(changed)} of the body"
    assert losses[-1] < losses[0], f"over five steps the loss went from {losses[0]:.3f} to {losses[-1]:.3f}; it should fall"


### BEGIN HIDDEN TESTS
@check(points=1.5, hint="The module's own train() must not wake up any part; requires_grad_(False) keeps optimizers away, zero gradients do not: AdamW decays.")
def survives_training():
    """After training around it, however often .train() is called, the frozen module's parameters, buffers and outputs are the same, bit by bit."""
    def run(x, y, calls):
        results = []
        for training, call in calls:
            body = body_with_modes().train(training)
            before = state_of(body)
            frozen = freeze(body)
            if call == "module":
                frozen.train()
            early = [module.training for module in body.modules()]  # before any forward pass
            first = frozen(x).detach().clone()
            head = nn.Linear(4, 2)
            model = nn.Sequential(nn.Sequential(frozen), head)
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
            for _ in range(3):
                {"model": model, "module": frozen, "none": nn.Identity()}[call].train()
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
            second = frozen(x).detach().clone()
            results.append((before, state_of(body), first, second, [p.requires_grad for p in body.parameters()], early + [module.training for module in body.modules()]))
        return results

    x = 2 * torch.randn(9, 5) + 3
    calls = [(True, "model"), (False, "model"), (True, "module"), (True, "none")]
    for before, after, first, second, flags, modes in probe(run, x, torch.arange(9) % 2, calls):
        changed = what_changed(before, after)
        if any("running" in name or "num_batches" in name for name in changed):
            fail("The batch-norm statistics of the frozen module moved.")
        if changed:
            fail("Parameters of the frozen module changed while a model around it was trained by AdamW.")
        if any(flags):
            fail("A parameter of the frozen module requires gradients.")
        if any(modes):
            fail("A part of the frozen module is in training mode.")
        truth = evaluated(before, x)
        if not (torch.allclose(first.double(), truth, atol=1e-4) and torch.equal(first, second)):
            fail("The frozen module does not compute what the body computes in evaluation mode, or not the same each time.")


@check(points=1, hint="No torch.no_grad in forward, no detach, no copy: only the parameters' flags and the mode.")
def is_transparent():
    """Gradients flow through the frozen module to its input, and its parameters and buffers are the body's own tensors."""
    def run(x):
        body = body_with_modes()
        own = {id(tensor) for tensor in (*body.parameters(), *body.buffers())}
        frozen = freeze(body)
        shared = {id(tensor) for tensor in (*frozen.parameters(), *frozen.buffers())} == own
        x = x.clone().requires_grad_()
        y = frozen(x)
        if y.requires_grad:
            y.sum().backward()
        return state_of(body), x.grad, shared

    x = torch.randn(6, 5)
    state, gradient, shared = probe(run, x)
    if not shared:
        fail("The parameters and buffers of what freeze returns are not the body's own tensors, all of them.")
    if gradient is None:
        fail("No gradient reaches the input of the frozen module, so nothing before it could be trained.")
    again = x.double().requires_grad_()
    evaluated(state, again).sum().backward()
    if not torch.allclose(gradient.double(), again.grad, atol=1e-4):
        fail("The gradient with respect to the frozen module's input is wrong.")


class Notes(list):
    """A list that a deep copy of its owner writes into, too."""

    def __deepcopy__(self, memo):
        return self


class Counter(nn.Module):
    """Passes its input on; notes how many images came, which ones (their first number), and in which mode."""

    def __init__(self):
        super().__init__()
        self.seen = Notes()

    def forward(self, x):
        self.seen.append((x.reshape(len(x), -1)[:, 0].tolist(), self.training, torch.is_grad_enabled()))
        return x


@check(points=1.5, hint="images.split(batch_size): the last batch may be smaller, and there may be one only.")
def features_batch_by_batch():
    """Each image is seen once, in order, in batches of at most batch_size and in evaluation mode, for any n and batch size."""
    cases = [(7, 3), (6, 3), (2, 5), (1, 1), (4, 1), (9, 8)]
    inputs = [torch.randn(n, 5) for n, _ in cases]

    def run(cases, inputs):
        results = []
        for (_, size), x in zip(cases, inputs, strict=True):
            counter, body = Counter(), body_with_modes()
            given = x.clone()
            found = features(nn.Sequential(counter, body), given, size)
            results.append((found.detach().clone(), state_of(body), list(counter.seen), torch.equal(given, x)))
        shaped = features(nn.Conv2d(1, 2, 3, bias=False), torch.ones(5, 1, 4, 4), 2)
        return results, list(shaped.shape)

    results, shape = probe(run, cases, inputs)
    for (found, state, seen, untouched), (n, size), x in zip(results, cases, inputs, strict=True):
        case = f"With {n} images and a batch size of {size}, "
        if not untouched:
            fail("The images were modified.")
        if max(len(rows) for rows, *_ in seen) > size:
            fail(case + "body was given more images at a time.")
        if sorted(first for rows, *_ in seen for first in rows) != sorted(x[:, 0].tolist()):
            fail(case + "body was not given each image exactly once.")
        if found.shape != (n, 4) or not torch.allclose(found.double(), evaluated(state, x), atol=1e-4):
            fail(case + "the features are not those of the images in evaluation mode, in order.")
    if shape != [5, 2, 2, 2]:
        fail("Features with several axes do not keep their shape.")


@check(points=1, hint="Note the mode of each part before body.eval(), and put it back. body.train(was) sets all parts alike. torch.inference_mode makes tensors that cannot be trained on.")
def features_leave_no_trace():
    """Afterwards each part has its own mode again, no value of body changed, gradients are recorded as before, and a head can be trained on the result."""
    def run(x, modes):
        results = []
        for outer, norm, inner, gradients in modes:
            body = body_with_modes()
            body.train(outer)
            body[1].train(norm)
            body[2].train(inner)
            before, was = state_of(body), [module.training for module in body.modules()]
            flags = [p.requires_grad for p in body.parameters()]
            with torch.set_grad_enabled(gradients):
                found = features(body, x, 4)
                recorded = torch.is_grad_enabled()
            with torch.no_grad():
                body[0].weight.neg_()
            later = features(body, x, 4).clone(), state_of(body)
            with torch.no_grad():
                body[0].weight.neg_()
            kept = [p.requires_grad for p in body.parameters()] == flags
            results.append((before, state_of(body), was == [module.training for module in body.modules()], recorded == gradients, kept, found.requires_grad, found.is_inference(), later))
        return results

    modes = [(True, True, True, True), (False, False, False, True), (True, False, True, True), (True, True, False, False), (False, True, False, True)]
    x = torch.randn(6, 5)
    for before, after, same_modes, same_recording, kept, has_graph, is_inference, (found, state) in probe(run, x, modes):
        if what_changed(before, after):
            fail("Computing features changed the body's parameters or buffers.")
        if not same_modes:
            fail("Afterwards, a part of body is in a different mode than before.")
        if not same_recording:
            fail("Afterwards, torch records gradients although it did not before, or the other way round.")
        if not kept:
            fail("Afterwards, a parameter's requires_grad is not what it was.")
        if has_graph:
            fail("The features require gradients.")
        if is_inference:
            fail("The result is an inference tensor: a head cannot be trained on it.")
        if not torch.allclose(found.double(), evaluated(state, x), atol=1e-4):
            fail("Computed again after body's weights changed, the features are wrong: are they those of before?")


def adamw_on_a_linear_head(weight, bias, x, y, steps, lr):
    """Losses, and weight and bias afterwards, of AdamW with torch's defaults on softmax regression: gradients in closed form, 64 bits."""
    values = [np.float64(weight), np.float64(bias)]
    moments = [[np.zeros_like(value) for value in values] for _ in range(2)]
    losses, targets = [], np.eye(len(bias))[y]
    for t in range(1, steps + 1):
        logits = x @ values[0].T + values[1]
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        losses.append(-np.log((shares * targets).sum(1)).mean())
        error = (shares - targets) / len(x)
        for i, gradient in enumerate((error.T @ x, error.sum(0))):
            for moment, decay, power in zip(moments, (0.9, 0.999), (1, 2), strict=True):
                moment[i] = decay * moment[i] + (1 - decay) * gradient**power
            mean, square = moments[0][i] / (1 - 0.9**t), moments[1][i] / (1 - 0.999**t)
            values[i] = values[i] * (1 - 0.01 * lr) - lr * mean / (np.sqrt(square) + 1e-8)
    return losses, values


@check(points=1.5, hint="One AdamW over head.parameters() for all steps; gradients of before set to None or zero; the loss is taken before the step.")
def fits_by_the_recipe():
    """The losses and the head's weights are those of AdamW on all features at once, computed in closed form, whatever was in head's .grad."""
    def run(x, y, steps, lr, stale):
        body, head = body_with_modes(), nn.Linear(4, 3)
        for p in head.parameters():
            p.grad = torch.full_like(p, 5.0) if stale else None
        start = state_of(head)
        losses = fit_head(body, head, x, y, steps, lr)
        return [float(loss) for loss in losses], start, state_of(head), state_of(body)

    for n, steps, lr, stale in [(11, 6, 0.3, False), (300, 2, 0.1, True), (1, 1, 0.5, False)]:
        x, y = torch.randn(n, 5), torch.randint(3, (n,))
        losses, start, after, body = probe(run, x, y, steps, lr, stale)
        truth, (weight, bias) = adamw_on_a_linear_head(start["weight"], start["bias"], evaluated(body, x).numpy(), y.numpy(), steps, lr)
        if len(losses) != steps or not np.allclose(losses, truth, atol=1e-4):
            fail(f"With {n} images and {steps} steps, what is returned is not the mean cross-entropy before each step.")
        if not (np.allclose(after["weight"], weight, atol=2e-3) and np.allclose(after["bias"], bias, atol=2e-3)):
            fail(f"With {n} images and {steps} steps, the head is not where AdamW leads" + (": gradients from earlier count." if stale else "."))


class ModeSpy(nn.Module):
    """Passes its input on and notes its mode."""

    def __init__(self):
        super().__init__()
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return x


@check(points=1, hint="Compute the features once, before the loop. The optimizer gets head.parameters() and nothing else. Train the head, not the body.")
def uses_the_body_once():
    """body sees each image once, in evaluation mode, and nothing about it changes, even if gradients lie in its .grad; the head trains in training mode and ends in evaluation mode."""
    def run(x, y, trainable):
        results = []
        for flags in trainable:
            counter, body, spy = Counter(), body_with_modes(), ModeSpy()
            whole = nn.Sequential(counter, body).train()
            body[2].eval()
            body.requires_grad_(flags)
            for p in body.parameters():
                p.grad = torch.ones_like(p)
            head = nn.Sequential(spy, nn.Linear(4, 2)).eval()
            before, modes = state_of(body), [module.training for module in whole.modules()]
            fit_head(whole, head, x, y, 4, 0.1)
            kept = [p.requires_grad is flags and p.grad is not None and bool((p.grad == 1).all()) for p in body.parameters()]
            results.append((before, state_of(body), list(counter.seen), modes == [module.training for module in whole.modules()], all(kept), spy.modes, [module.training for module in head.modules()]))
        return results

    x = torch.randn(10, 5)
    for before, after, seen, same_modes, kept, spied, at_the_end in probe(run, x, torch.arange(10) % 2, [True, False]):
        if what_changed(before, after):
            fail("Fitting the head changed parameters or buffers of body.")
        if sorted(first for rows, *_ in seen for first in rows) != sorted(x[:, 0].tolist()):
            fail("body was not given each image exactly once: compute the features before the loop.")
        if any(training for _, training, _ in seen):
            fail("body was used in training mode.")
        if not same_modes:
            fail("Afterwards, a part of body is in a different mode than before.")
        if not kept:
            fail("The requires_grad flags or the .grad of body's parameters are not what they were.")
        if len(spied) < 4 or not all(spied[:4]):
            fail("The head was not in training mode during the steps.")
        if any(at_the_end):
            fail("Afterwards, the head is not in evaluation mode.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What did transfer buy here?
#
# Fifty labels of 5 to 9, four ways to learn them. To the right: the multiplications spent on training, on a logarithmic axis. **Predict:** which way ends highest, and by how much?

# %% tags=["demo", "raises-exception"]
def draw_what_transfer_buys(n_labels=50, seeds=(0, 1, 2, 3)):
    steps = [1, 3, 10, 30, 100]
    through_body, through_head = 16 * 9 * 64 + 32 * 16 * 9 * 16, 128 * 5  # multiplications an image
    ways = {
        "everything, from scratch": ([3 * (through_body + through_head) * n_labels * s for s in steps], "C1s-"),
        "everything, from the old body": ([3 * (through_body + through_head) * n_labels * s for s in steps], "C2^-"),
        "your head on frozen features": ([n_labels * (through_body + 2 * through_head * s) for s in steps], "C0o-"),
        "your head on the pixels": ([2 * 64 * 5 * n_labels * s for s in steps], "C5v--"),
    }
    scores = {name: [] for name in ways}
    for seed in seeds:
        torch.manual_seed(seed)
        (old, _), ((images, labels), test) = digits_for_transfer(seed)
        images, labels = images[:n_labels], labels[:n_labels]
        body = small_body()
        fit(nn.Sequential(body, nn.Linear(128, 5)), *old, steps=150, lr=3e-3, batch=64)
        for name in ways:
            start, width = {"everything, from scratch": (small_body(), 128), "your head on the pixels": (nn.Flatten(), 64)}.get(name, (body, 128))
            head, found = nn.Linear(width, 5), []
            for s in steps:
                torch.manual_seed(seed)
                part, last = copy.deepcopy(start), copy.deepcopy(head)
                if name.startswith("your"):
                    fit_head(freeze(part), last, images, labels, s, 1e-2)
                else:
                    fit(nn.Sequential(part, last), images, labels, s, 3e-3, n_labels)
                found.append(share_right(nn.Sequential(part, last).eval(), *test))
            scores[name].append(found)
    _, ax = plt.subplots(figsize=(7.6, 3.6))
    for name, (costs, style) in ways.items():
        ax.plot(costs, np.mean(scores[name], 0), style, ms=5, label=name)
        ax.fill_between(costs, np.min(scores[name], 0), np.max(scores[name], 0), color=style[:2], alpha=0.12, lw=0)
    ax.set(xscale="log", xlabel="multiplications spent on training", ylabel="accuracy on unseen 5 to 9", ylim=(0, 1), title=f"{n_labels} labels, 1 to {steps[-1]} steps")
    ax.legend(fontsize=8.5, loc="lower right")
    plt.show()


try:
    draw_what_transfer_buys()
except NotImplementedError:
    print("This figure needs your functions of exercise 3.8.")

# %% [markdown]
# (Lines: means of four seeds; areas: smallest to largest. Training of the old body, $2 \cdot 10^9$ multiplications, is not counted.)
#
# Not accuracy: your head ends at 0.92, everything from scratch at 0.94. From the old body, training starts faster and ends at the same height, as He et al. found for object detection (*Rethinking ImageNet Pre-training*,
# arXiv:1811.08883). What freezing buys is **speed**: a hundredth of the multiplications. And a linear model of the *pixels*, without any body, is nearly as good for a third of that. Try the
# simple way first; it tells you what the body adds.
#
# **Change, predict, run.** Transfer should help most where labels are few. `draw_what_transfer_buys(n_labels=10)`: what will be the order of the four ends?
#
# <details><summary>What you should see</summary>
#
# All end between 0.75 and 0.82, from scratch at the top, your head at the bottom, and the areas overlap. A body that has seen five
# digits only is no treasure. With 500 labels (a minute), your head reaches 0.98, from scratch 0.99, and the pixels stay behind at 0.95.
# </details>
