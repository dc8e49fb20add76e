# %% [markdown]
# ## 3.2 One optimizer step
#
# Four texts have 2, 3, 17 and 30 tokens, and memory has room for one at a time. So a trainer takes the mean loss of each, adds up the four gradients, divides by four, and makes
# one step. This is **gradient accumulation**, and Hugging Face's trainer did it like this until October 2024 (huggingface.co/blog/gradient_accumulation).
# It should be the same as one batch of four. **Predict:** which tokens count more, and by how much?

# %% nbgrader={"grade": false, "grade_id": "setup_optimizer_step", "locked": true, "schema_version": 3, "solution": false, "task": false}
from collections.abc import Iterable

IGNORE = -100  # the target of a position that does not count, as in F.cross_entropy


# %% tags=["demo"]
def draw_token_weights(lengths=(2, 3, 17, 30), n_batches=40):
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
    places = np.arange(len(lengths))
    for shift, colour, label, weights in [
        (-0.2, "C0", "one batch", [1 / sum(lengths)] * len(lengths)),
        (0.2, "C5", "mean of four means", [1 / len(lengths) / n for n in lengths]),
    ]:
        bars = axes[0].bar(places + shift, np.array(weights) * 100, 0.38, color=colour, label=label)
        axes[0].bar_label(bars, fmt="%.1f", fontsize=8.5)
    axes[0].set(title="Weight of one token in the update", ylabel="%", xlabel="tokens in its text", ylim=(0, 15))
    axes[0].set_xticks(places, [str(n) for n in lengths])
    axes[0].grid(axis="x", visible=False)
    axes[0].legend()

    from autograder.gpt import GPT

    text, _ = lesson.corpus()
    tokenizer = lesson.gpt(own=False).tokenizer
    rows = [tokenizer.encode(paragraph)[:65] for paragraph in text.split("\n\n")]
    rows = [torch.tensor(row) for row in rows if len(row) > 2]
    torch.manual_seed(0)
    model = GPT()

    def gradient(row):
        loss = F.cross_entropy(model(row[None, :-1])[0], row[1:])
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])

    generator = torch.Generator().manual_seed(0)
    distances, spreads = [], []
    for _ in range(n_batches):
        batch = [rows[i] for i in torch.randint(len(rows), (4,), generator=generator)]
        n_tokens = torch.tensor([len(row) - 1.0 for row in batch])
        gradients = torch.stack([gradient(row) for row in batch])
        right = (n_tokens / n_tokens.sum()) @ gradients
        distances.append(((gradients.mean(0) - right).norm() / right.norm()).item())
        spreads.append((n_tokens.max() / n_tokens.min()).item())
    axes[1].plot(spreads, np.array(distances) * 100, "o", color="C5", ms=5, alpha=0.8)
    axes[1].set(title=f"Error of the mean of means, {n_batches} batches", xlabel="longest text of the batch / shortest", ylabel="% of the gradient's length", xscale="log", ylim=(0, None))
    axes[1].set_xticks([1, 3, 10, 30], ["1", "3", "10", "30"])
    axes[1].minorticks_off()
    plt.show()


draw_token_weights()

# %% [markdown]
# A token of the shortest text counts fifteen times as much as one of the longest. On the right, four paragraphs of our text at a time went through an untrained GPT. The cure is to count first: divide each **sum** by the number $N$ of
# valid tokens in all micro-batches together,
#
# $$\mathcal L = \frac 1 N \sum_m \sum_{i \text{ valid in } m} \ell_{m,i} .$$
#
# Two more parts belong to a step.
#
# **Clipping** shortens the gradient, as one long vector $g$ of all parameters, if it is longer than $c$ (Pascanu, Mikolov and Bengio, *On the difficulty of training recurrent neural networks*, arXiv:1211.5063):
#
# $$g \leftarrow g \cdot \min\left(1, \frac{c}{\lVert g \rVert}\right).$$
#
# It does so once, when all of $g$ is there; each parameter or each micro-batch clipped by itself gives a different direction. What if $g$ has an infinite entry? `clip_grad_norm_` turns $[\infty, 1]$ into [nan, 0], and a step with
# that ruins every weight it reaches. Here such a gradient stays as it is, and the **step is left out**.
#
# **A schedule** lets the learning rate rise along a line to its peak (*warm-up*; Goyal et al., *Accurate, Large Minibatch SGD*, arXiv:1706.02677) and fall along half a cosine (Loshchilov and Hutter, *SGDR*, arXiv:1608.03983).

# %% [markdown]
# ### Exercise 3.2 · One optimizer step
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **12 points** · PyTorch
#
# **Write** `lr_at`, `clip_` and `accumulate_step`. In the hidden checks, `torch.nn.utils.clip_grad_norm_` and its relatives fail.
#
# <details><summary>Hint 1: which case comes first?</summary>
#
# In `lr_at`, `total` first, then `warmup`: nothing is left to divide by zero.
# </details>
#
# <details><summary>Hint 2: a norm of many types</summary>
#
# `p.grad.float()` of a `float64` loses digits, and a `float16` overflows when it is squared. `p.grad.double()` is precise for all.
# Parameters may come from a generator, which can be walked through once: make a list first.
# </details>
#
# <details><summary>Hint 3: the order of a step</summary>
#
# Count valid targets; `zero_grad`; for each micro-batch: forward, `F.cross_entropy(..., reduction="sum") / n`, backward; then clip, then step. `ignore_index` is -100 by default.
# </details>

# %% nbgrader={"grade": false, "grade_id": "optimizer_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lr_at(step: int, warmup: int, total: int, peak: float, floor: float = 0.0) -> float:
    """The learning rate of a step: along a line from 0 to the peak, then along half a cosine down
    to the floor, where it stays.

    | step                     | learning rate                                                 |
    |--------------------------|---------------------------------------------------------------|
    | 0 <= step < warmup       | peak * step / warmup                                          |
    | warmup <= step < total   | floor + (peak - floor) * (1 + cos(pi * share)) / 2, where     |
    |                          | share = (step - warmup) / (total - warmup)                    |
    | total <= step            | floor                                                         |

    Args:
        step: 0 or more.
        warmup: from 0 to total, both included.
        total: 1 or more.
        peak: above 0.
        floor: from 0 to peak.

    >>> [lr_at(step, warmup=2, total=6, peak=1.0) for step in (0, 1, 2, 4, 6, 9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    ### BEGIN SOLUTION
    if step >= total:
        return floor
    if step < warmup:
        return peak * step / warmup
    share = (step - warmup) / (total - warmup)
    return floor + (peak - floor) * (1 + math.cos(math.pi * share)) / 2
    ### END SOLUTION


def clip_(parameters: Iterable[nn.Parameter], max_norm: float) -> float:
    """Scales gradients, so that their global norm is at most max_norm.

    The global norm is the Euclidean length of all gradients together, as one long vector. If it is
    above max_norm, each gradient is multiplied by max_norm / norm, give or take one part in 100,000
    (or 1e-6 in the norm, as in torch); factor and result may be rounded to its type. If it is lower,
    by more than that, no bit changes; nor if it is infinite or NaN because a gradient has such an
    entry: whoever calls sees it from the norm.

    Args:
        parameters: also a generator of them; may be empty. Those whose grad is None are skipped.
            Gradients are of float16, bfloat16, float32 or float64 (finite entries below 1e150), not
            necessarily of the same type. They are changed in place, in the same memory.
        max_norm: above 0.

    Returns:
        The norm before clipping, a float, precise to one part in 100,000 whatever the types; 0.0
        without gradients.

    >>> p = nn.Parameter(torch.zeros(2))
    >>> p.grad = torch.tensor([3.0, 4.0])
    >>> clip_([p], max_norm=1.0), p.grad
    (5.0, tensor([0.6000, 0.8000]))
    """
    ### BEGIN SOLUTION
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(gradient.double().square().sum().item() for gradient in gradients))
    if max_norm < norm < math.inf:
        for gradient in gradients:
            gradient.mul_(max_norm / norm)
    return norm
    ### END SOLUTION


def accumulate_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    micro_batches: list[tuple[torch.Tensor, torch.Tensor]],
    max_norm: float,
) -> tuple[float, float]:
    """One optimizer step on several micro-batches, as if they were one batch.

    The loss is the cross-entropy of the model's logits (nats), averaged over all valid tokens of
    all micro-batches together: each counts the same. Each micro-batch goes through the model once,
    by itself, and its backward pass comes before the forward pass of the next, so that memory holds
    the activations of one. A micro-batch without a single valid token contributes nothing; it may
    go through the model or not.

    Then the gradient of all the model's parameters is clipped as by clip_, once, and the optimizer
    takes one step, with the settings that it has. If the norm is infinite or NaN, it takes none:
    parameters and the optimizer's state stay as they are.

    Gradients from before do not count. Afterwards, step or not, p.grad is the gradient of this step,
    clipped. All parts of the model stay in their modes.

    Args:
        model: from (B, T) tokens to (B, T, V) logits, by all of its parameters.
        optimizer: of the model's parameters.
        micro_batches: pairs of tokens and targets, each (B, T), int64; B and T may differ from pair
            to pair. A target of IGNORE is not valid. Not modified.
        max_norm: as for clip_.

    Returns:
        The loss, and the norm before clipping: numbers, without a graph attached.

    Raises:
        ValueError: if no token at all is valid; parameters and the optimizer's state are as before.
    """
    ### BEGIN SOLUTION
    n_valid = sum((targets != IGNORE).sum().item() for _, targets in micro_batches)
    if n_valid == 0:
        raise ValueError("no token is valid")
    optimizer.zero_grad()
    total = 0.0
    for tokens, targets in micro_batches:
        logits = model(tokens)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum") / n_valid
        loss.backward()
        total += loss.item()
    norm = clip_(model.parameters(), max_norm)
    if math.isfinite(norm):
        optimizer.step()
    return total, norm
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_optimizer_step", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def build(table):
    """A model that looks up the logits after each token: its only parameter is a table (V, V)."""
    model = nn.Embedding(*table.shape, dtype=table.dtype)
    with torch.no_grad():
        model.weight.copy_(table)
    return model


@check(points=0.75, hint="Three cases: the line, the cosine between warmup and total, the floor. At step = warmup the cosine begins.")
def follows_a_small_schedule():
    """lr_at follows a line, half a cosine and the floor."""
    for step, truth in [(0, 0.0), (5, 0.5), (10, 1.0), (20, 0.1 + 0.45 * (1 + math.cos(math.pi / 4))), (30, 0.55), (50, 0.1), (60, 0.1)]:
        found = lr_at(step, warmup=10, total=50, peak=1.0, floor=0.1)
        assert found is not None, "lr_at returns None: is the return missing?"
        assert abs(float(found) - truth) < 1e-6, f"with warmup 10, total 50, peak 1 and floor 0.1, step {step} has {float(found):.4g} instead of {truth:.4g}"


@check(points=0.75, hint="One norm for all gradients: the root of the sum of all squares. Then multiply each gradient in place.")
def clips_two_gradients_together():
    """clip_ scales two gradients by the same factor and returns the norm from before."""
    def run(max_norm):
        parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
        parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
        norm = clip_(parameters, max_norm)
        return norm, [x for p in parameters for x in p.grad.tolist()]

    norm, found = probe(run, 2.5)
    assert norm is not None, "clip_ returns None: is the return missing?"
    assert abs(float(norm) - 5) < 1e-4, f"the gradients [3, 0] and [4] have the norm 5 before clipping, but {float(norm):g} is returned"
    rounded = [round(x, 4) for x in found]
    assert rounded != [2.5, 0.0, 2.5], "each gradient was clipped by its own norm: the direction has changed"
    assert np.allclose(found, [1.5, 0, 2], atol=1e-4), f"the gradients [3, 0] and [4], clipped to 2.5, become {rounded} instead of [1.5, 0, 2]"
    norm, found = probe(run, 10.0)
    assert found == [3.0, 0.0, 4.0], "gradients with a norm below max_norm were changed"


@check(points=1, hint="First count the valid targets of all micro-batches; divide each sum of losses by that number.")
def equals_one_batch():
    """Two micro-batches with one and with three valid tokens give the gradient of one batch."""
    tokens, targets = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([[1, IGNORE, IGNORE], [2, 0, 2]])
    table = torch.tensor([[0.0, 1.0, 2.0], [1.0, -1.0, 0.0], [0.5, 0.0, -1.0]])

    def run(table, tokens, targets):
        model = build(table)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        result = accumulate_step(model, optimizer, [(tokens[:1], targets[:1]), (tokens[1:], targets[1:])], 100.0)
        return result, model.weight.detach()

    result, weight = probe(run, table, tokens, targets)
    assert result is not None, "accumulate_step returns None: is the return missing?"
    whole = table.clone().requires_grad_()
    loss = F.cross_entropy(whole[tokens].flatten(0, 1), targets.flatten())
    (gradient,) = torch.autograd.grad(loss, whole)
    moved = table - weight
    means = table.clone().requires_grad_()
    two = sum(F.cross_entropy(means[tokens[i]], targets[i]) for i in (0, 1)) / 2
    (other,) = torch.autograd.grad(two, means)
    assert moved.abs().max() > 0, "the parameters did not move: is optimizer.step() missing?"
    assert not torch.allclose(moved, other, atol=1e-5), "this is the gradient of the mean of two means: the only valid token of the first micro-batch counts three times as much as each of the others"
    assert torch.allclose(moved, gradient, atol=1e-5), "the step is not along the gradient of the mean loss over the four valid tokens"
    assert abs(float(result[0]) - loss.item()) < 1e-5, f"the mean loss of the four tokens is {loss.item():.4f}, but {float(result[0]):.4f} is returned"
    assert abs(float(result[1]) - gradient.norm().item()) < 1e-4, f"the gradient's norm is {gradient.norm().item():.4f}, but {float(result[1]):.4f} is returned"


### BEGIN HIDDEN TESTS
CLIPPING = (
    "torch.nn.utils.clip_grad_norm_",
    "torch.nn.utils.clip_grad_value_",
    "torch.nn.utils.get_total_norm",
    "torch.nn.utils.clip_grads_with_norm_",
)


@check(points=1, hint="The line up to warmup; then the share of the way from warmup to total; half a cosine from peak to floor.")
def agrees_with_torchs_cosine():
    """From step to step, the rate follows a line and torch's CosineAnnealingLR, whatever the sizes."""
    cases = [(4, 11, 0.3, 0.0), (1, 9, 2.0, 0.5), (7, 8, 1e-3, 1e-4), (6, 26, 1.0, 0.25)]
    for warmup, total, peak, floor in cases:
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total - warmup, eta_min=floor)
        for step in range(total):
            truth = np.interp(step, [0, warmup], [0, peak])
            if step >= warmup:
                truth = optimizer.param_groups[0]["lr"]
                optimizer.step()
                schedule.step()
            if not math.isclose(lr_at(step, warmup, total, peak, floor), truth, rel_tol=1e-6, abs_tol=1e-9 * peak):
                fail("A rate is wrong during the " + ("warm-up." if step < warmup else "cosine."))


@check(points=1, hint="After total, the cosine would rise again. Without a warm-up, and with one that lasts until total, something is zero.")
def schedule_has_its_edges():
    """After the end the floor remains; a schedule may have no warm-up, no cosine, or no slope."""
    found = {
        "after the end": ([lr_at(step, 5, 20, 1.0, 0.125) for step in (20, 21, 33, 35, 50, 1000)], [0.125] * 6),
        "after the end, without a floor": ([lr_at(step, 5, 20, 1.0) for step in (20, 21, 35, 1000)], [0.0] * 4),
        "without a warm-up": ([lr_at(step, 0, 4, 2.0, 1.0) for step in (0, 2, 4)], [2.0, 1.5, 1.0]),
        "without a cosine": ([lr_at(step, 4, 4, 2.0, 0.5) for step in (0, 1, 3, 4, 5)], [0.0, 0.5, 1.5, 0.5, 0.5]),
        "with one step": ([lr_at(step, 0, 1, 2.0, 0.5) for step in (0, 1, 2)], [2.0, 0.5, 0.5]),
        "with a floor at the peak": ([lr_at(step, 2, 6, 3.0, 3.0) for step in (1, 2, 4, 7)], [1.5, 3.0, 3.0, 3.0]),
    }
    for name, (rates, truth) in found.items():
        if not np.allclose(np.array(rates, dtype=float), truth, rtol=1e-6, atol=1e-9):
            fail(f"The rates are wrong {name}.")


def clipped(cases):
    """For each case (gradients, max_norm): the norm that clip_ returns, the gradients after it, and whether they are the same tensors."""
    found = []
    with forbidden(*CLIPPING):
        for gradients, max_norm in cases:
            parameters = []
            for gradient in gradients:
                parameters.append(nn.Parameter(torch.zeros(2) if gradient is None else torch.zeros_like(gradient)))
                if gradient is not None:  # one of two dimensions lies transposed in memory
                    parameters[-1].grad = gradient.T.contiguous().T if gradient.dim() == 2 else gradient.clone()
            before = [p.grad for p in parameters]
            places = [None if g is None else g.data_ptr() for g in before]
            norm = float(clip_((p for p in parameters), max_norm))
            same = all(p.grad is g and (g is None or g.data_ptr() == place) for p, g, place in zip(parameters, before, places, strict=True))
            found.append((norm, [None if g is None else g.clone() for g in before], same))
    return found


def joined(gradients):
    return torch.cat([g.double().flatten() for g in gradients if g is not None])


@check(points=1.25, hint="None is skipped; the parameters may come from a generator; p.grad.mul_ works in place.")
def clips_like_one_long_vector():
    """Whatever the shapes, all gradients are scaled by one factor, in place, and only if they have to be."""
    def draw(*shapes):
        return [None if shape is None else torch.randn(shape) * 10 ** (2 * torch.rand(1).item() - 1) for shape in shapes]

    cases = [
        (draw((3, 4), None, (5,), (), (2, 1, 3)), 0.5),
        (draw(None, (40,)), 0.01),
        (draw((6,), (2, 2)), 1e4),
        (draw((6,), None), 1e3),
        ([torch.tensor([3.0]), torch.tensor([4.0])], 5.5),
        ([torch.zeros(3), torch.zeros(2)], 1.0),
    ]
    for (norm, after, same), (gradients, max_norm) in zip(probe(clipped, cases), cases, strict=True):
        truth = torch.linalg.vector_norm(joined(gradients)).item()
        if not math.isclose(norm, truth, rel_tol=1e-5, abs_tol=1e-9):
            fail("The norm that is returned is not that of all gradients together, before clipping.")
        if not same:
            fail("p.grad is a different tensor afterwards, or its numbers lie in different memory.")
        if any((a is None) != (g is None) for a, g in zip(after, gradients, strict=True)):
            fail("A gradient that was None is none any more, or the other way round.")
        if truth <= max_norm and not torch.equal(joined(after), joined(gradients)):
            fail("The norm was not above max_norm, and gradients were changed.")
        if truth > max_norm and not torch.allclose(joined(after), joined(gradients) * (max_norm / truth), rtol=2e-5, atol=0):
            fail("The norm was above max_norm, and the gradients were not all multiplied by max_norm / norm.")


@check(points=0.75, hint="inf / inf is NaN. Compute the norm, see whether it is finite, and only then multiply.")
def leaves_infinite_gradients_alone():
    """With an infinite or NaN entry, no gradient changes and the norm tells; without gradients it is 0."""
    cases = [
        ([torch.tensor([math.inf, 1.0]), torch.tensor([2.0])], 1.0),
        ([torch.tensor([30.0]), torch.tensor([-math.inf, 5.0])], 2.0),
        ([torch.tensor([3.0, 4.0]), torch.tensor([math.nan])], 1.0),
        ([None, None], 1.0),
        ([], 1.0),
    ]
    for (norm, after, _), (gradients, _) in zip(probe(clipped, cases), cases, strict=True):
        if not any(g is not None for g in gradients):
            if norm != 0:
                fail("Without gradients, the norm is not 0.")
        elif math.isfinite(norm):
            fail("An entry is infinite or NaN, and the norm that is returned is finite.")
        elif not torch.equal(joined(after).nan_to_num(nan=-7.0), joined(gradients).nan_to_num(nan=-7.0)):
            fail("An entry is infinite or NaN, and gradients were changed.")


@check(points=0.5, hint="Square and add in 64 bits: in float16 everything above 65504 is infinite, and bfloat16 has three digits.")
def norm_is_precise_in_all_types():
    """The norm of gradients in 16 bits, in 64, or of several types is precise, and they keep their types."""
    half, brain, double = torch.float16, torch.bfloat16, torch.float64
    cases = [
        ([torch.full((4,), 300.0, dtype=half)], 1e4),
        ([torch.full((3,), 4e4, dtype=half), torch.full((5,), 5e4, dtype=half)], 2e4),
        ([torch.full((100,), 1e-4, dtype=half)], 1.0),
        ([torch.tensor([3e25, -4e25], dtype=double)], 1e30),
        ([torch.linspace(0.3, 1.7, 1000).to(brain), torch.linspace(2, 3, 77)], 20.0),
        ([torch.tensor([1e-3], dtype=brain), torch.tensor([0.1, 0.7], dtype=double), torch.ones(3, dtype=half)], 0.5),
    ]
    for (norm, after, _), (gradients, max_norm) in zip(probe(clipped, cases), cases, strict=True):
        truth = torch.linalg.vector_norm(joined(gradients)).item()
        if not math.isclose(norm, truth, rel_tol=1e-5):
            fail("The norm of gradients in 16 bits, or of large ones in 64, is wrong or imprecise: in which type is it computed, and is it the one before clipping?")
        if [g.dtype for g in after] != [g.dtype for g in gradients]:
            fail("The gradients have other types than before.")
        if not torch.allclose(joined(after), joined(gradients) * min(1, max_norm / truth), rtol=1e-2, atol=0):
            fail("Gradients in 16 bits are not scaled correctly.")
    precise = [torch.tensor([1.0, 1e-5, 0.3], dtype=double)], 0.1
    ((_, after, _),) = probe(clipped, [precise])
    if len({round(ratio, 9) for ratio in (joined(after) / joined(precise[0])).tolist()}) > 1:
        fail("Gradients of float64 lost digits.")


V = 7  # tokens in the vocabulary


def random_batch(n_rows, length, valid):
    """Tokens and targets (n_rows, length), of which the given share is valid."""
    tokens, targets = torch.randint(V, (2, n_rows, length))
    return tokens, targets.masked_fill(torch.rand(n_rows, length) >= valid, IGNORE)


def stepped(table, steps, method, settings, max_norm, stale=None):
    """What the student's function does to build(table).

    Args:
        steps: for each step its micro-batches.
        method: the optimizer's class; settings: its arguments.
        stale: a gradient that is there at the beginning.

    Returns:
        For each step: the loss, the norm, whether either has a graph, and copies of parameter and gradient; ValueError
        gives (nan, nan, False).
    """
    with forbidden(*CLIPPING):
        model = build(table)
        optimizer = method(model.parameters(), **settings)
        model.weight.grad = stale
        rows = []
        for micro_batches in steps:
            try:
                loss, norm = accumulate_step(model, optimizer, micro_batches, max_norm)
            except ValueError:
                loss = norm = math.nan
            graph = any(getattr(x, "requires_grad", False) for x in (loss, norm))
            gradient = model.weight.grad
            rows.append((float(loss), float(norm), graph, model.weight.detach().clone(), None if gradient is None else gradient.clone()))
        return rows


def planned(table, steps, method, settings, max_norm):
    """The same by one batch, with torch's clipping: loss, norm, parameter and gradient of each step."""
    weight = table.clone().requires_grad_()
    optimizer = method([weight], **settings)
    rows = []
    for micro_batches in steps:
        tokens, targets = (torch.cat([x.flatten() for x in side]) for side in zip(*micro_batches, strict=True))
        optimizer.zero_grad()
        loss = F.cross_entropy(weight[tokens], targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([weight], max_norm)
        optimizer.step()
        rows.append((loss.item(), norm.item(), weight.detach().clone(), weight.grad.clone()))
    return rows


def far(a, b, tolerance=1e-9):
    return not torch.allclose(torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64), rtol=tolerance, atol=tolerance)


FREE = 1e9  # a max_norm that clips nothing


def compare_steps(found, truth, clip=False):
    tolerance = 3e-6 if clip else 1e-9  # torch adds 1e-6 to the norm
    for (loss, norm, graph, weight, gradient), (true_loss, true_norm, true_weight, true_gradient) in zip(found, truth, strict=True):
        if gradient is None:
            fail("The gradient is gone afterwards: p.grad should be the gradient of this step.")
        if far(gradient, true_gradient, tolerance):
            fail("The gradient is not that of one batch with all valid tokens.")
        if far(weight, true_weight, tolerance):
            fail("The gradient is right, but the parameters are not those after one step of the optimizer.")
        if far(loss, true_loss, tolerance):
            fail("The loss that is returned is not the mean over all valid tokens.")
        if far(norm, true_norm, 1e-5):
            fail("The norm that is returned is not that of the gradient before clipping.")
        if graph:
            fail("Loss or norm comes with a graph attached, which keeps the activations in memory.")


@check(points=1.5, hint="One number of valid tokens for all micro-batches; the sum of each divided by it. Gradients from before are cleared first, and only then.")
def equals_one_batch_of_ragged_rows():
    """With ragged micro-batches, several steps are those of one batch, with SGD and with AdamW, whatever gradients were there before."""
    for method, settings in [(torch.optim.SGD, dict(lr=0.7, momentum=0.5)), (torch.optim.AdamW, dict(lr=0.1))]:
        table = torch.randn(V, V, dtype=torch.float64)
        steps = [
            [random_batch(4, 6, 0.9), random_batch(1, 3, 1.1), random_batch(4, 6, 0.2)],
            [random_batch(3, 5, 0.5)],
            [random_batch(1, 9, 0.9), random_batch(5, 2, 0.8)],
        ]
        for micro_batches in steps:
            micro_batches[0][1][0, 0] = 3  # at least one is valid
        case = table, steps, method, settings, FREE
        compare_steps(probe(stepped, *case, torch.ones_like(table)), planned(*case))
    one = torch.ones(1, 1, dtype=torch.float64), [[(torch.zeros(1, 2, dtype=torch.int64),) * 2]], torch.optim.AdamW, dict(lr=0.1), FREE  # one token: the gradient is 0
    compare_steps(probe(stepped, *one), planned(*one))


@check(points=1, hint="0 / 0 is NaN: F.cross_entropy's own mean over no token. A sum is 0 there.")
def survives_micro_batches_without_tokens():
    """A micro-batch without valid tokens contributes nothing; if there is no valid token at all, that is a ValueError."""
    table = torch.randn(V, V, dtype=torch.float64)
    nothing, some = random_batch(2, 3, 0.0), random_batch(3, 4, 1.1)
    case = [[nothing, some, nothing], [some, nothing]], torch.optim.SGD, dict(lr=0.5), FREE
    found = probe(stepped, table, *case)
    if any(not math.isfinite(loss) for loss, *_ in found):
        fail("With a micro-batch that has no valid token, the loss is not a number.")
    compare_steps(found, planned(table, [[some], [some]], *case[1:]))
    adam = torch.optim.AdamW, dict(lr=0.1, weight_decay=0.5), FREE
    first, refused, last = probe(stepped, table, [[some], [nothing, nothing], [some]], *adam)
    if not math.isnan(refused[0]) or not math.isnan(refused[1]):
        fail("Without a single valid token, there is no ValueError.")
    if far(refused[3], first[3]):
        fail("Without a single valid token, the parameters were changed.")
    if far(last[3], planned(table, [[some], [some]], *adam)[1][2]):
        fail("Without a single valid token, the optimizer's state was changed.")


@check(points=1, hint="Accumulate first, without clipping; then clip once, all parameters together, and step.")
def clips_the_sum_once():
    """One micro-batch with a large gradient: the accumulated gradient is clipped, once."""
    table = torch.randn(V, V, dtype=torch.float64) * 0.1
    table[0, 1] = 30.0  # token 0 says 1 with certainty
    wrong = torch.zeros(2, 8, dtype=torch.int64), torch.full((2, 8), 5)
    steps = [[wrong, random_batch(2, 8, 1.1)], [random_batch(1, 4, 1.1), wrong]]
    for max_norm in (0.05, 0.3):
        case = table, steps, torch.optim.SGD, dict(lr=0.5), max_norm
        compare_steps(probe(stepped, *case), planned(*case), clip=True)

    def run(table, steps):
        """A model of two parameters, of which one has a small gradient, and one is frozen."""
        with forbidden(*CLIPPING):
            model = nn.Sequential(build(table), nn.Linear(V, V, dtype=torch.float64), nn.Linear(V, V, dtype=torch.float64).requires_grad_(False))
            state = {name: p.detach().clone() for name, p in model.named_parameters()}
            optimizer = torch.optim.SGD([dict(params=part.parameters()) for part in model], lr=1.0)
            for group in optimizer.param_groups:
                group["lr"] = 0.5  # as a schedule does
            accumulate_step(model, optimizer, steps[0], 0.01)
            return state, [p.detach() for p in model.parameters()]

    state, after = probe(run, table, steps)
    weights = [p.clone().requires_grad_() for p in state.values()]
    loss = sum(F.cross_entropy(F.linear(F.linear(weights[0][x], *weights[1:3]), *weights[3:]).flatten(0, 1), y.flatten(), reduction="sum") for x, y in steps[0])
    gradients = [*torch.autograd.grad(loss, weights[:3]), torch.zeros(V, V), torch.zeros(V)]
    factor = 0.5 * 0.01 / joined(gradients).norm()
    if any(far(a, p - factor * g, 1e-6) for a, p, g in zip(after, state.values(), gradients, strict=True)):
        fail("With several parameters in several groups of the optimizer, they are not clipped by one norm of all together, or do not move by the groups' learning rates, or a frozen one moves.")


@check(points=0.75, hint="In one loop: forward, loss, backward. Neither join the micro-batches nor add up losses for a single backward pass.")
def one_micro_batch_at_a_time():
    """Each micro-batch goes forward and backward, once and alone, before the next; modes and arguments stay."""
    def run(table, cases):
        found = []
        for training, micro_batches in zip((True, False), cases, strict=True):
            table_alone, log = build(table), []
            model = nn.Sequential(table_alone, nn.Dropout(0.5)).train(training)
            model[1].train(not training)  # a part in the other mode

            def watch(module, inputs, output, log=log):
                log.append(("forward", tuple(inputs[0].shape), module.training))
                output.register_hook(lambda gradient, shape=tuple(inputs[0].shape): log.append(("backward", shape)))

            table_alone.register_forward_hook(watch)
            kept = [tensor.clone() for pair in micro_batches for tensor in pair]
            accumulate_step(model, torch.optim.SGD(model.parameters(), lr=1.0), micro_batches, 1.0)
            untouched = all(torch.equal(a, b) for a, b in zip(kept, [tensor for pair in micro_batches for tensor in pair], strict=True))
            found.append((log, (model.training, table_alone.training, not model[1].training), untouched))
        return found

    both = [(2, 5), (3, 4), (1, 6)], [(2, 4), (2, 4)]
    cases = [[random_batch(*shape, 1.1) for shape in shapes] for shapes in both]
    for tokens, targets in (*cases[0], *cases[1]):
        tokens[0, 1], targets[0, 1] = 1, IGNORE
    for (log, modes, untouched), training, shapes in zip(probe(run, torch.randn(V, V), cases), (True, False), both, strict=True):
        if set(modes) != {training} or any(entry[0] == "forward" and entry[2] != training for entry in log):
            fail("The mode of the model, or of a part of it, was changed.")
        if not untouched:
            fail("Tokens or targets were changed.")
        if sorted(tuple(entry[1]) for entry in log if entry[0] == "forward") != sorted(shapes):
            fail("Not each micro-batch goes through the model once and by itself.")
        if [entry[0] for entry in log] != ["forward", "backward"] * len(shapes):
            fail("A micro-batch goes forward before the one before it went backward: memory holds the activations of several.")


@check(points=0.75, hint="Look at the norm that clip_ returns: step only if it is finite.")
def leaves_out_a_step_that_is_not_finite():
    """If the norm is infinite or NaN, parameters and the optimizer's state stay, and the next step is as if nothing had been."""
    table = torch.randn(V, V, dtype=torch.float64)
    good = [torch.randint(V - 1, (2, 3, 4)).unbind() for _ in range(3)]  # without the last token
    table[V - 1, 0] = math.inf
    bad = torch.full((1, 2), V - 1), torch.tensor([[1, 2]])
    steps = [good[:1], [good[1], bad], good[2:]]
    case = torch.optim.AdamW, dict(lr=0.1, weight_decay=0.0), 0.5
    first, skipped, last = probe(stepped, table, steps, *case)
    truth = planned(table, [good[:1], good[2:]], *case)
    if math.isfinite(skipped[1]):
        fail("The gradient is not finite, and the norm that is returned is.")
    if not torch.equal(skipped[3].nan_to_num(nan=-7.0), first[3].nan_to_num(nan=-7.0)):
        fail("The gradient is not finite, and the parameters were changed.")
    if skipped[4] is None or skipped[4].isfinite().all():
        fail("After a step that was left out, p.grad is not the gradient of this step.")
    if far(last[3][: V - 1], truth[1][2][: V - 1], 1e-5):
        fail("After a step that was left out, the next one is not what it would have been: the optimizer's state was changed.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### A schedule that ends, and one that does not
#
# Here is your schedule beside Hugging Face's. What happens to a run that goes on after its planned end?

# %% tags=["demo", "raises-exception"]
def draw_schedules(warmup=20, total=100):
    with lesson.quiet():
        from transformers import get_cosine_schedule_with_warmup
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, total)
    theirs = []
    for _ in range(2 * total):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    _, ax = plt.subplots(figsize=(6, 2.8))
    ax.plot(theirs, color="C5", ls="--", label="Hugging Face's cosine")
    ax.plot([lr_at(step, warmup, total, 1.0) for step in range(2 * total)], color="C0", label="yours")
    ax.axvline(total, ymax=0.7, color="0.5", lw=1, ls=":")
    ax.set(xlabel="step", ylabel="learning rate / peak", title=f"{warmup} steps of warm-up, {total} planned")
    ax.legend()
    plt.show()


try:
    draw_schedules()
except NotImplementedError:
    print("This figure needs your functions of exercise 3.2.")

# %% [markdown]
# Hugging Face's cosine rises again; yours stays at the floor. (In both, step 0 has a rate of 0 and changes nothing; other schedules begin at 1 / warmup.)
#
# ### Does a larger batch learn faster?
#
# "Spreading training over more machines speeds up convergence", one reads. More machines make a larger batch in the same time. A larger batch on one machine takes the same steps. A small network learns digits
# by plain SGD, each batch size with the best of seven learning rates (medians over three seeds). **Predict:** four times the batch, how many steps?

# %% tags=["demo"]
def draw_batches(target=0.25, batches=(1, 4, 16, 64, 256, 1024), seeds=3, limit=6000):
    from sklearn.datasets import load_digits

    images, digits = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = images.float() / 16
    rates = torch.tensor([2.0**k for k in range(-5, 2)])
    n_runs = len(rates) * seeds
    rate = rates.repeat_interleave(seeds)[:, None, None]

    def steps_needed(batch):
        """Steps until the loss is at the target, the median over the seeds, with the best of all rates; all runs go side by side."""
        generator = torch.Generator().manual_seed(0)
        shapes = [(64, 32), (1, 32), (32, 10), (1, 10)]
        starts = [torch.randn(seeds, *shape, generator=generator) / math.sqrt(shape[0]) * (shape[0] > 1) for shape in shapes]
        weights = [start.repeat(len(rates), 1, 1).requires_grad_() for start in starts]
        reached = torch.full((n_runs,), math.inf)

        def losses(x, y):
            hidden = torch.baddbmm(weights[1], x, weights[0]).relu()
            logits = torch.baddbmm(weights[3], hidden, weights[2])
            return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape)

        due = 1  # the next step at which the loss is measured: every five per cent
        for step in range(1, limit + 1):
            chosen = torch.randint(len(images), (n_runs, batch), generator=generator)
            loss = losses(images[chosen], digits[chosen]).mean(1).sum()
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.sub_(rate * gradient)
                if step < due:
                    continue
                due = max(step + 1, int(step * 1.05))
                found = losses(images[:400].expand(n_runs, -1, -1), digits[:400].expand(n_runs, -1)).mean(1)
                reached[(found <= target) & reached.isinf()] = step
                best = reached.view(-1, seeds).median(1).values.min().item()
                if step > 1.3 * best:
                    break
        return best

    steps = [steps_needed(batch) for batch in batches]
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
    axes[0].plot(batches, steps, "o-", color="C0", label="measured")
    axes[0].plot(batches, steps[0] / np.array(batches), ":", color="0.4", label="a quarter of the steps for four times the batch")
    axes[0].set(title=f"Steps until the loss is {target:g}", ylabel="steps", ylim=(min(steps) / 4, 2 * max(steps)))
    critical = (steps[0] - steps[-1]) / (steps[-1] / batches[0] - steps[0] / batches[-1])  # from the two end points
    fewest = steps[0] / (1 + critical / batches[0])
    sizes = np.geomspace(batches[0], batches[-1], 100)
    axes[0].plot(sizes, fewest * (1 + critical / sizes), "--", color="C5", lw=1.2, label=f"fewest steps × (1 + {critical:.0f} / batch)")
    axes[0].legend(fontsize=8.5)
    axes[1].plot(batches, np.array(steps) * batches, "o-", color="C1")
    axes[1].set(title="Images seen until then", ylabel="steps × batch")
    for ax in axes:
        ax.set(xscale="log", yscale="log", xlabel="batch")
        ax.set_xticks(batches, [str(batch) for batch in batches])
        ax.minorticks_off()
    plt.show()


draw_batches()

# %% [markdown]
# From 1 to 16 images, steps fall to about a seventh. From 64 to 1024, again sixteen times as many, they do not even fall to half. The dashed curve has this form (McCandlish et al., *An Empirical Model of Large-Batch
# Training*, arXiv:1812.06162): two numbers come from its end points, and the four points between lie near it, or up to a third above. One of the two is the **critical batch size**. Far beyond it, the gradient is more precise than a step can
# use. More machines raise the throughput; they save steps only up to there. (Roughly: 20 here, 21 to 23 with four other sets of seeds.)
#
# **Change, predict, run.** `draw_batches(target=0.1)` trains further. Will the critical batch be smaller or larger?
#
# <details><summary>What you should see</summary>
#
# Larger: about 34 instead of about 20. As the loss falls, gradients of different images agree less and less, so averaging more of them pays.
# </details>
