# %% [markdown]
# ## 8.8 Replacing activations
#
# A language model reads `K D W M T B Q H K D W`, random letters, and predicts `M`. It has never seen this sequence, so it must find the earlier `W`, and copy what came after it. Two layers of attention learn this; **predict:** can one layer?
#
# To find the parts that do the work, we intervene.
#
# **Activation patching** needs two runs. The *clean* run answers correctly. In the *corrupt* run one token is different, and the answer is lost. Repeat the corrupt run with one vector replaced by its counterpart from the clean run. If the answer returns, this vector carries what the corruption destroyed (Vig et al., arXiv:2004.12265; Meng et al., arXiv:2202.05262).
#
# Success is measured by $d = z_{\text{right}} - z_{\text{wrong}}$, a difference of logits, with its mean $\bar d$ over the rows of a batch:
#
# $$\text{recovered share} = \frac{\bar d_{\text{patched}} - \bar d_{\text{corrupt}}}{\bar d_{\text{clean}} - \bar d_{\text{corrupt}}} .$$
#
# Each patch takes a run. **Attribution patching** (Nanda, 2023; Syed et al., arXiv:2310.10348) estimates all of them from two runs and one backward pass: to first order, a vector $a$ that becomes $a'$ changes a score $s$ by
#
# $$(a' - a) \cdot \frac{\partial s}{\partial a}\;,$$
#
# with the gradient of the run that is patched, the corrupt one.
#
# ### A model in which nothing is hidden
#
# In the model below, only heads add to the **stream**: what a head writes at a position is one vector, and the sum of these vectors and the embeddings gives the logits. `nn.Identity` marks the places where you look and replace (`pattern` and `written` in the class below). PyTorch calls a **forward hook** after a part has run, with (part, inputs, output); what the hook returns, if it is not None, takes the output's place.

# %% nbgrader={"grade": false, "grade_id": "setup_patching", "locked": true, "schema_version": 3, "solution": false, "task": false}
from collections.abc import Callable


class HeadsApart(nn.Module):
    """Causal attention in which one can see what each head looks at, and what it writes.

    `pattern` and `written` compute nothing: they are places to put a hook at. `pattern` returns the attention weights,
    (B, heads, T, T), and `written` the vector that each head adds to the stream at each position, (B, T, heads, width).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.pattern, self.written = nn.Identity(), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, width) to (B, T, width), the sum over the heads."""
        query, key, value = (project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for project in (self.query, self.key, self.value))
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        pattern = self.pattern(scores.masked_fill(later, -math.inf).softmax(-1))
        by_head = self.output.weight.unflatten(1, (self.heads, -1))
        return self.written(torch.einsum("bhtd,whd->bthw", pattern @ value, by_head)).sum(2)


class AttentionOnly(nn.Module):
    """A transformer of attention alone: no norm and no network at each position, so all that it does, its heads do."""

    def __init__(self, vocabulary: int = 32, context: int = 32, width: int = 64, layers: int = 2, heads: int = 4):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(HeadsApart(width, heads) for _ in range(layers))
        self.unembed = nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T) tokens to (B, T, V) logits for the token after each."""
        stream = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            stream = stream + block(stream)
        return self.unembed(stream)


# %% [markdown]
# ### Exercise 8.8 · Replacing activations
#
# > **Difficulty** ★★★☆ · **60 minutes** · **12 points** · PyTorch
#
# **Write** four functions for any model, not only the one above.
#
# <details><summary>Hint 1: a hook that goes away</summary>
#
# `handle = part.register_forward_hook(function)`, and `handle.remove()` in a `finally`.
# </details>
#
# <details><summary>Hint 2: whose tensor is it?</summary>
#
# `nn.Identity` returns the tensor that it was given, and others may use that, too. Clone before you change something, and clone what you keep.
# </details>
#
# <details><summary>Hint 3: a gradient with respect to something inside</summary>
#
# Let the hook make a leaf, `output.detach().clone().requires_grad_()`, keep it, and return a clone of it. After the run, `torch.autograd.grad(score(...), leaf)`. All of this inside `torch.enable_grad()`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "patching", "locked": false, "schema_version": 3, "solution": true, "task": false}
def record(model: nn.Module, ids: torch.Tensor, names: list[str]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Runs a model, and keeps what some of its parts return.

    Args:
        model: returns a tensor for `ids`. Hooks that it has already change no outputs. After the call it has the hooks that it had before, and no others, also if there was an error. Its mode and the recording of gradients are as before, too.
        ids: what the model is called with. Not modified.
        names: the parts, as `model.get_submodule` takes them: "blocks.0.written". Each runs once, and returns a tensor. Maybe no names.

    Returns:
        What the model returns, and for each name what that part returned, as a copy: it stays as it is when the model or you change the
        original in place. No gradients are recorded.

    Raises:
        AttributeError: the model has no such part.

    >>> logits, kept = record(model, ids, ["blocks.0.written", "blocks.1.pattern"])
    """
    ### BEGIN SOLUTION
    kept = {}

    def keeper(name):
        def keep(part, inputs, output):
            kept[name] = output.detach().clone()

        return keep

    handles = []
    try:
        for name in names:
            handles.append(model.get_submodule(name).register_forward_hook(keeper(name)))
        with torch.no_grad():
            return model(ids), kept
    finally:
        for handle in handles:
            handle.remove()
    ### END SOLUTION


def patch(model: nn.Module, ids: torch.Tensor, name: str, values: torch.Tensor, where=...) -> torch.Tensor:
    """Runs a model, with some of the numbers that one of its parts returns replaced.

    Args:
        model, ids, name: as for `record`, and with the same care for hooks.
        values: of the shape of what the part returns. Not modified. What is outside `where` is not used; it may be NaN.
        where: an index as torch takes it: a number, a slice, ... (all), a list of numbers, a tensor of bool for the first axes or all, or a tuple of these. (slice(None), 3, 1) of
            what `written` returns is the vector of head 1 at position 3, in each row.

    Returns:
        What the model returns when, at `where`, the part returns `values`. What the part was *given* stays as it is, even where the part
        returns that same tensor, as nn.Identity and others do. No gradients are recorded.

    Raises:
        AttributeError: the model has no such part.
    """
    ### BEGIN SOLUTION
    def replace(part, inputs, output):
        output = output.clone()
        output[where] = values[where]
        return output

    handle = model.get_submodule(name).register_forward_hook(replace)
    try:
        with torch.no_grad():
            return model(ids)
    finally:
        handle.remove()
    ### END SOLUTION


def recovered_share(patched: torch.Tensor, clean: torch.Tensor, corrupt: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor) -> float:
    """The share of a corruption's effect that a patch undoes: 0 for none of it, 1 for all.

    It is the formula above: means over the rows first, then one share. It may be below 0 or above 1.

    Args:
        patched, clean, corrupt: (B, V), the logits in three runs, at the position that counts. Not modified.
        right, wrong: (B,), int64: in each row the correct token, and the one that it is compared with.

    Returns:
        A Python float.

    Raises:
        ValueError: clean and corrupt have exactly the same mean difference, so there is nothing to undo. A small difference (0.001, say) is one.

    >>> logits = torch.tensor([[4.0, 0.0]]), torch.tensor([[6.0, 0.0]]), torch.tensor([[1.0, 3.0]])
    >>> recovered_share(*logits, torch.tensor([0]), torch.tensor([1]))  # (4 - (-2)) / (6 - (-2))
    0.75
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(right))
    of_patched, of_clean, of_corrupt = (float((logits[rows, right] - logits[rows, wrong]).mean()) for logits in (patched, clean, corrupt))
    if of_clean == of_corrupt:
        raise ValueError("the corruption has no effect")
    return (of_patched - of_corrupt) / (of_clean - of_corrupt)
    ### END SOLUTION


def attribution_patch(model: nn.Module, ids: torch.Tensor, name: str, values: torch.Tensor, score: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """How much each patch would change a score, to first order: all patches of one part by a single backward pass.

    For each vector that the part returns (along its last axis), the scalar product of (values - vector) with the gradient of the
    score. Vector and gradient are those of the run on `ids`, without a patch.

    Args:
        model, ids, name: as for `record`, and with the same care for hooks.
        values: of the shape of what the part returns. Not modified.
        score: from what the model returns to a tensor with one number that depends on the part, such as a mean difference of logits.

    Returns:
        Of the shape of what the part returns, without the last axis: (B, T, heads) for `written`. It records no gradients.
        The parameters' `grad` and `requires_grad` are as before. It also works if all parameters are frozen, and inside torch.no_grad().

    Raises:
        AttributeError: the model has no such part.
    """
    ### BEGIN SOLUTION
    kept = []

    def cut(part, inputs, output):
        kept.append(output.detach().clone().requires_grad_())
        return kept[0].clone()  # the model may change this in place

    handle = model.get_submodule(name).register_forward_hook(cut)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(model(ids)).sum(), kept[0])
    finally:
        handle.remove()
    return ((values - kept[0].detach()) * gradient).sum(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_patching", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


def random_model(seed: int, **sizes) -> AttentionOnly:
    """A model with random weights, in 64 bits, in which every head and token matters."""
    generator = torch.Generator().manual_seed(seed)
    model = AttentionOnly(**({"vocabulary": 9, "context": 8, "width": 12, "layers": 2, "heads": 3} | sizes)).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 1.0 if name in ("tokens.weight", "positions.weight") else 1.2 / p.shape[1] ** 0.5
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale)
    return model


class TwoRoads(nn.Module):
    """x to 3 (x + 1) + x: the mark and the road around it share a tensor."""

    def __init__(self):
        super().__init__()
        self.mark, self.triple = nn.Identity(), nn.Linear(2, 2)
        with torch.no_grad():
            self.triple.weight.copy_(3 * torch.eye(2))
            self.triple.bias.fill_(3.0)

    def forward(self, x):
        return self.triple(self.mark(x)) + x


@check(points=0.75, hint="A forward hook is called with (module, inputs, output). Each name needs its own entry: a function made in a loop sees the loop's last value.")
def records_by_name():
    """record returns the logits, and under two names what these two parts returned."""
    def run(seed, ids):
        return record(random_model(seed), ids, ["tokens", "blocks.0"])

    ids = torch.tensor([[3, 1, 4], [1, 5, 2]])
    found, model = probe(run, 1, ids), random_model(1)
    assert isinstance(found, (tuple, list)) and len(found) == 2, "record does not return a pair: the logits, and a dict"
    logits, kept = found
    assert sorted(kept) == ["blocks.0", "tokens"], f"the names are {sorted(kept)} instead of ['blocks.0', 'tokens']"
    assert torch.allclose(logits, model(ids)), "the logits are not those of the model"
    assert torch.allclose(kept["tokens"], model.tokens.weight[ids]), "under 'tokens', there is something else than the embeddings"
    wanted = model.blocks[0](model.tokens.weight[ids] + model.positions.weight[:3])
    assert kept["blocks.0"].shape == wanted.shape and torch.allclose(kept["blocks.0"], wanted), "under 'blocks.0', there is something else than what the first block adds"


@check(points=0.75, hint="What a forward hook returns takes the place of the output. Change a copy: here the output is the input, and that goes around the mark, too.")
def patches_by_hand():
    """By hand: where x = (1, 2) goes to 3 (x + 1) + x = (7, 11), and a mark before the 3 returns 5 in place of the 2, the result is (7, 20)."""
    def run(x, values):
        return patch(TwoRoads(), x, "mark", values, (slice(None), 1))

    found = probe(run, torch.tensor([[1.0, 2.0]]), torch.tensor([[9.0, 5.0]]))
    assert tuple(found.shape) == (1, 2), f"shape {tuple(found.shape)} instead of (1, 2)"
    assert found.tolist() != [[7.0, 23.0]], "(7, 23) instead of (7, 20): the tensor was changed in place, and x with it"
    assert found.tolist() == [[7.0, 20.0]], f"{found.tolist()[0]} instead of [7, 20]"


@check(points=0.75, hint="Difference of the two logits in each row; mean over the rows; then (patched - corrupt) / (clean - corrupt).")
def share_by_hand():
    """By hand: mean differences of 5 (clean), 1 (corrupt) and 2 (patched) are a share of 1/4."""
    clean, corrupt, patched = torch.tensor([[8.0, 2.0, 0.0], [1.0, 0.0, 5.0]]), torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]), torch.tensor([[2.0, 1.0, 9.0], [1.0, 0.0, 4.0]])
    found = recovered_share(patched, clean, corrupt, torch.tensor([0, 2]), torch.tensor([1, 0]))
    assert abs(float(found) - (2 - 1) / (5 - 1)) < 1e-6, f"{float(found):.4f} instead of 0.25"


@check(points=0.75, hint="(values - output) times the gradient of the score, summed along the last axis. Output and gradient: from the run on ids.")
def linear_is_exact():
    """Where everything after the part is linear, attribution_patch gives the change of the score exactly: -18 in one row, and 9 in the other."""
    def run(x, values):
        return attribution_patch(TwoRoads(), x, "mark", values, lambda output: output.sum())

    x, values = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, -4.0], [1.0, 2.0]])
    found = probe(run, x, values)
    assert tuple(found.shape) == (2,), f"shape {tuple(found.shape)} instead of (2,): one number for each vector"
    assert torch.allclose(found, torch.tensor([-18.0, 9.0])), f"{[round(value, 3) for value in found.tolist()]} instead of [-18, 9]"


### BEGIN HIDDEN TESTS
class InPlace(nn.Module):
    """x to 4 (x + 1), the last step in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Identity()
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(2))
            self.first.bias.fill_(1.0)

    def forward(self, x):
        return self.second(self.first(x)).mul_(4)


def by_hand(model, ids, changes=None):
    """The logits of an AttentionOnly, and its parts' outputs, computed without hooks; `changes` maps a name to a function of the output."""
    changes, kept = changes or {}, {}

    def passed(name, output):
        kept[name] = changes[name](output) if name in changes else output
        return kept[name]

    stream = passed("tokens", model.tokens.weight[ids]) + model.positions.weight[: ids.shape[1]]
    for i, block in enumerate(model.blocks):
        q, k, v = (F.linear(stream, getattr(block, name).weight).unflatten(-1, (block.heads, -1)) for name in ("query", "key", "value"))
        scores = torch.einsum("bthd,bshd->bhts", q, k) * q.shape[-1] ** -0.5
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        weights = passed(f"blocks.{i}.pattern", torch.where(allowed, scores, -1e30).softmax(-1))
        mixed = torch.einsum("bhts,bshd->bthd", weights, v)
        by_head = [F.linear(mixed[:, :, h], part) for h, part in enumerate(block.output.weight.chunk(block.heads, dim=1))]
        written = passed(f"blocks.{i}.written", torch.stack(by_head, dim=2))
        stream = stream + passed(f"blocks.{i}", written.sum(2))
    return passed("unembed", stream @ model.unembed.weight.T), kept


def copier(vocabulary=7, context=12) -> AttentionOnly:
    """A model set by hand: head 1 of layer 0 notes at each position the token before it, and head 0 of layer 1 looks where the
    present token is noted, and predicts the token there. The other heads write nothing.
    """
    V, T = vocabulary, context
    width = 2 * (V + T)  # tokens, positions, notes and predictions; each of two heads has half of it
    model = AttentionOnly(V, T, width, layers=2, heads=2).double()
    token, position, note, prediction = range(V), range(V, V + T), range(V + T, 2 * V + T), range(2 * V + T, 3 * V + T)
    half = V + T
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        for i in range(V):
            model.tokens.weight[i, token[i]] = 1
            model.unembed.weight[i, prediction[i]] = 10
        for t in range(T):
            model.positions.weight[t, position[t]] = 1
        first, second = model.blocks
        for t in range(T):
            first.query.weight[half + t, position[t]] = 500
            if t < T - 1:
                first.key.weight[half + t + 1, position[t]] = 1
        for i in range(V):
            first.value.weight[half + i, token[i]] = 1
            first.output.weight[note[i], half + i] = 1
            second.query.weight[i, token[i]] = 500
            second.key.weight[i, note[i]] = 1
            second.value.weight[i, token[i]] = 1
            second.output.weight[prediction[i], i] = 1
    return model


def agree(a, b, tolerance=1e-9) -> bool:
    """Same shape, and equal but for rounding."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance)


@check(points=1, hint="What the part returns, not what it is given; nn.Identity has a hook, too. Names may have several dots.")
def agrees_without_hooks():
    """For every part and several models, what is recorded agrees with a computation that uses no hooks."""
    def run(cases):
        answers = []
        for seed, sizes, ids, names in cases:
            given = ids.clone()
            answers.append((*record(random_model(seed, **sizes), given, names), torch.equal(given, ids)))
        return answers

    layers = [f"blocks.{i}{part}" for i in range(2) for part in ("", ".pattern", ".written")]
    cases = [(3, {}, torch.randint(9, (2, 5)), ["tokens", *layers, "unembed"]), (4, {"heads": 4, "layers": 3}, torch.randint(9, (1, 8)), layers[::-1]), (5, {}, torch.randint(9, (3, 1)), layers[2:3]), (6, {}, torch.randint(9, (4, 3)), [])]
    for (seed, sizes, ids, names), (logits, kept, unchanged) in zip(cases, probe(run, cases), strict=True):
        with torch.no_grad():
            truth, parts = by_hand(random_model(seed, **sizes), ids)
        if not agree(logits, truth):
            fail("The logits are not those of the model.")
        if set(kept) != set(names):
            fail("There is not one entry for each name.")
        for name in names:
            if not agree(kept[name], parts[name]):
                fail(f"What is recorded of {name} is wrong.")
        if not unchanged:
            fail("The tokens are modified.")


@check(points=1, hint="Keep a copy (`clone`), without its graph (`detach`, or torch.no_grad() around the run).")
def what_is_recorded_stays():
    """A model may change in place what a part returns, or return what it was given: what is recorded, given, and the values of a patch stay as they are. No gradients are recorded."""
    def run(x):
        model = InPlace()
        output, kept = record(model, x, ["first", "second"])
        before = {name: value.detach().clone() for name, value in kept.items()}
        record(model, 10 * x, ["first", "second"])
        output_before = output.detach().clone()
        output.detach().mul_(0)
        later = {name: value.detach().clone() for name, value in kept.items()}
        graph = output.requires_grad or any(value.requires_grad for value in kept.values())
        logits, kept = record(model, x, ["second"])
        kept["second"].detach().zero_()
        values = -x
        patched = patch(model, x, "first", values)
        attributed = attribution_patch(model, x, "second", values, lambda output: output.sum())
        return output_before, before, later, graph or patched.requires_grad, logits.detach(), patched.detach(), attributed.detach(), values

    x = torch.tensor([[1.0, 2.0]])
    output, before, later, graph, logits, patched, attributed, values = probe(run, x)
    if not agree(output, 4 * (x + 1)):
        fail("The model's result is wrong where its last step is in place.")
    for kept, when in ((before, "that the model changes in place afterwards"), (later, "after the next run, or after a change of the model's result")):
        if not all(agree(kept[name], x + 1) for name in ("first", "second")):
            fail(f"Wrong for an output {when}.")
    if not agree(logits, 4 * (x + 1)):
        fail("Changing what is recorded changes the model's result.")
    if graph:
        fail("Gradients are recorded.")
    if not agree(patched, -4 * x) or not agree(attributed, torch.tensor([4 * (-3.0 - 5.0)])):
        fail("patch or attribution_patch is wrong where the model changes in place what the part returns.")
    if not torch.equal(values, -x):
        fail("The values are changed where the model changes in place what the part returns.")

    def roads(x, values):
        answers = []
        for mark in (nn.Identity(), nn.Dropout(), nn.Flatten(-1)):
            model = nn.Sequential(TwoRoads(), TwoRoads())  # what reaches the second one is 4 x + 3
            model[1].mark = mark.eval()
            given = x.clone()
            answers.append((patch(model, given, "1.mark", values, (slice(None), 1)), attribution_patch(model, given, "1.mark", values, lambda output: output.sum()).detach(), torch.equal(given, x)))
        return answers

    x, values = torch.arange(12.0).reshape(2, 3, 2), torch.arange(12.0).reshape(2, 3, 2).flip(0, 1) ** 2
    second = 4 * x + 3
    given = second.clone()
    given[:, 1] = values[:, 1]
    for patched, attributed, unchanged in probe(roads, x, values):
        if not agree(patched, 3 * (given + 1) + second) or not unchanged:
            fail("patch changes what the part was given, where the part returns that tensor.")
        if not agree(attributed, 3 * (values - second).sum(-1), 1e-5):
            fail("attribution_patch is wrong where the part returns the tensor that it was given.")


@check(points=1.25, hint="Remove exactly your own hooks, in a `finally`. A name that does not exist may come after one that does.")
def hooks_are_gone():
    """After record, patch and attribution_patch, also after errors, the model has its earlier hooks and no others."""
    def run(seed, ids):
        def attempt(function, *arguments):
            try:
                function(*arguments)
            except Exception as error:
                return type(error).__name__
            return "none"

        answers = []
        good, bad = ids, ids + 100  # there are no such tokens
        for recording in (True, False):
            model, calls = random_model(seed), []
            for name in ("tokens", "blocks.0.written", "blocks.1"):
                model.get_submodule(name).register_forward_hook(lambda *_, name=name, calls=calls: calls.append(name))
            values = torch.zeros(2, 3, 3, 12, dtype=torch.float64)

            def fails(logits):
                raise ArithmeticError

            def total(logits):
                return logits.sum()

            with torch.set_grad_enabled(recording):
                for i, arguments in enumerate((
                    (record, model, good, ["tokens", "blocks.0.written"]), (record, model, bad, ["tokens", "blocks.0.written", "blocks.1"]), (record, model, good, ["blocks.1", "blocks.7"]),
                    (patch, model, good, "blocks.0.written", values), (patch, model, bad, "blocks.0.written", values), (patch, model, good, "blocks.0.written", values, (0, 0, 0, 77)), (patch, model, good, "blocks.0.nothing", values),
                    (attribution_patch, model, good, "blocks.0.written", values, total), (attribution_patch, model, bad, "blocks.0.written", values, total), (attribution_patch, model, good, "blocks.0.written", values, fails), (attribution_patch, model, good, "blocks.7", values, total),
                )):
                    error = attempt(*arguments)
                    calls.clear()
                    left = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks) + len(module._backward_pre_hooks) for module in model.modules())
                    with torch.no_grad():
                        logits = model(good)
                    answers.append((i, error, left, list(calls), logits, torch.is_grad_enabled() == recording, model.training))
        return answers

    names, truth = [*["record"] * 3, *["patch"] * 4, *["attribution_patch"] * 4], None
    ids = torch.tensor([[3, 1, 4], [1, 5, 2]])
    with torch.no_grad():
        truth, _ = by_hand(random_model(1), ids)
    for i, error, left, calls, logits, restored, training in probe(run, 1, ids):
        if i in (2, 6, 10) and error != "AttributeError":
            fail(f"A part that does not exist is not refused by an AttributeError, in {names[i]}.")
        if i in (0, 3, 7) and error != "none":
            fail(f"There is an error in {names[i]} if the model has hooks of its own, or inside torch.no_grad().")
        if i in (1, 4, 5, 8, 9) and error == "none":
            fail(f"{names[i]} hides an error.")
        after = f"after {names[i]}" + ("" if error == "none" else " and an error")
        if left > 3:
            fail(f"A hook is left behind {after}.")
        if calls != ["tokens", "blocks.0.written", "blocks.1"]:
            fail(f"Hooks that were there before are gone {after}.")
        if not agree(logits, truth):
            fail(f"The model gives other logits {after}.")
        if not restored or not training:
            fail(f"The recording of gradients or the model's mode is changed {after}.")


PLACES = [(..., "tokens"), ((slice(None), 3, 1), "blocks.0.written"), ((slice(None), slice(None), 2), "blocks.1.written"), ((1, 2), "blocks.0.written"), ((..., slice(2, 7)), "blocks.0"), (0, "blocks.1"), ((slice(None), 1), "blocks.0.pattern"), ((slice(None), -1, [0, 2]), "blocks.0.written"), (slice(1, None), "unembed")]


@check(points=1.5, hint="output[where] = values[where], in a copy: each row gets its own values, and everything else stays.")
def patches_agree_without_hooks():
    """Patches of rows, positions, heads, slices and masks agree with a computation that uses no hooks, and use nothing outside `where`."""
    def run(cases):
        answers = []
        for seed, ids, name, values, where in cases:
            given, used = ids.clone(), values.clone()
            arguments = () if where is ... and name == "tokens" else (where,)
            answers.append((patch(random_model(seed), given, name, used, *arguments), torch.equal(given, ids) and torch.equal(used.nan_to_num(7), values.nan_to_num(7))))
        return answers

    cases = []
    with torch.no_grad():
        for i, (place, name) in enumerate([*PLACES, ("mask", "blocks.0.written")]):
            ids = torch.randint(9, (3 if i < 4 else (2, 3, 5)[i % 3], 6))
            other = by_hand(random_model(20 + i), torch.randint(9, ids.shape))[1][name]
            where = torch.rand(other.shape[:3]) < 0.3 if place == "mask" else place
            values = torch.full_like(other, math.nan)
            values[where] = other[where]
            cases.append((30 + i, ids, name, values, where))
    for (seed, ids, name, values, where), (found, unchanged) in zip(cases, probe(run, cases), strict=True):
        def change(output, values=values, where=where):
            output = output.clone()
            output[where] = values[where]
            return output

        with torch.no_grad():
            truth, _ = by_hand(random_model(seed), ids, {name: change})
        if not agree(found, truth):
            fail(f"Wrong for a patch of {name}" + (" outside of which the values are NaN." if found.isnan().any() else "."))
        if not unchanged:
            fail("The tokens or the values are modified.")


@check(points=0.75, hint="A patch of a run with its own values is no patch. A patch of everything that the later layers see makes the other run.")
def itself_and_everything():
    """With record, a patch by the run's own values changes no bit, and a patch of all embeddings gives the other run, bit by bit."""
    def run(seed, clean, corrupt):
        model, names = random_model(seed), ["tokens", "blocks.0.written", "blocks.1.pattern", "unembed"]
        with torch.no_grad():
            own, other = model(corrupt), model(clean)
        _, kept = record(model, corrupt, names)
        same = [(patch(model, corrupt, name, kept[name]), own) for name in names]
        _, kept = record(model, clean, names)
        return same + [(patch(model, corrupt, name, kept[name]), other) for name in ("tokens", "unembed")]

    for i, (found, wanted) in enumerate(probe(run, 8, torch.randint(9, (3, 5)), torch.randint(9, (3, 5)))):
        if not torch.equal(found, wanted):
            fail("A patch by the run's own values changes the logits." if i < 4 else "A patch of everything does not give the other run.")


@check(points=1, hint="All four logits matter; the mean over the rows comes before the division; nothing is cut off at 0 or 1.")
def shares_of_any_size():
    """Shares of any size and sign agree with the definition, rows weigh by their differences, and a corruption without effect raises ValueError."""
    def run(cases):
        found = [recovered_share(*case) for case in cases]
        return [float(share) for share in found], all(isinstance(share, float) for share in found)

    def refused(cases):
        answers = []
        for case in cases:
            try:
                recovered_share(*case)
                answers.append(False)
            except ValueError:
                answers.append(True)
        return answers

    cases = []
    for rows, V in ((1, 2), (3, 5), (8, 8), (4, 6)):
        order = torch.rand(rows, V).argsort(1)
        patched, clean, corrupt = torch.randn(3, rows, V).double() * torch.tensor([5.0, 3.0, 1.0])[:, None, None]
        clean[torch.arange(rows), order[:, 0]] += 8.0
        cases += [(patched, clean, corrupt, order[:, 0], order[:, 1]), (clean.float(), clean.float(), corrupt.float(), order[:, 0], order[:, 1]), (corrupt, clean, corrupt, order[:, 0], order[:, 1]), (3 * clean, clean, corrupt, order[:, 0], order[:, 1]), (patched, clean, corrupt, order[:, 1], order[:, 0])]
        little = clean.clone()
        little[torch.arange(rows), order[:, 0]] -= 0.001
        cases.append((patched, clean, little, order[:, 0], order[:, 1]))
    shares, floats = probe(run, cases)
    if not floats:
        fail("A share is not a float.")
    for (patched, clean, corrupt, right, wrong), found in zip(cases, shares, strict=True):
        means = [sum(row[r] - row[w] for row, r, w in zip(logits.tolist(), right.tolist(), wrong.tolist(), strict=True)) / len(right) for logits in (patched, clean, corrupt)]
        if not math.isclose(found, (means[0] - means[2]) / (means[1] - means[2]), rel_tol=1e-5, abs_tol=1e-5):
            fail("Wrong for one row." if len(right) == 1 else "Wrong for several rows.")
    same, right, wrong = torch.tensor([[3.0, 1.0, 0.0], [0.0, 2.0, 5.0]]), torch.tensor([0, 2]), torch.tensor([1, 0])
    if not all(probe(refused, [(2 * same, same, same.clone(), right, wrong), (same, same, torch.tensor([[6.0, 1.0, 0.0], [0.0, 2.0, 2.0]]), right, wrong)])):
        fail("A corruption that does not change the mean difference has to raise ValueError.")


@check(points=0.5, hint="Run on the corrupt tokens, and put in values of the clean run, one head at one position at a time, in all rows.")
def finds_what_was_set_by_hand():
    """In a model set by hand, your functions find that exactly two of 44 vectors bring the answer back, and that each brings back all of it."""
    def run(clean, corrupt, right, wrong):
        model, found = copier(), {}
        names = ["blocks.0.written", "blocks.1.written"]
        logits, kept = record(model, clean, names)
        broken, _ = record(model, corrupt, [])
        for layer, name in enumerate(names):
            for t in range(clean.shape[1]):
                for head in range(2):
                    patched = patch(model, corrupt, name, kept[name], (slice(None), t, head))
                    found[layer, t, head] = float(recovered_share(patched[:, -1], logits[:, -1], broken[:, -1], right, wrong))
        return found

    clean = torch.tensor([[5, 0, 1, 2, 3, 4, 5, 5, 0, 5, 1], [5, 4, 3, 0, 1, 2, 5, 5, 4, 5, 3]])
    corrupt = clean.clone()
    corrupt[:, 2] = 6
    found = probe(run, clean, corrupt, clean[:, 3], clean[:, 4])
    for place, share in found.items():
        wanted = 1.0 if place in ((0, 3, 1), (1, 10, 0)) else 0.0
        if abs(share - wanted) > 1e-6:
            fail("A vector that brings the answer back is not found." if wanted else "A vector that does nothing for the answer has a share.")


@check(points=1.25, hint="The gradient is that of the run on ids (the corrupt one), and the difference is values - output, vector by vector.")
def attributes_like_small_patches():
    """attribution_patch agrees with the effect of a very small patch, computed without hooks, for curved models and scores, in 64 and 32 bits."""
    def run(cases):
        answers = []
        for seed, single, ids, name, values, power in cases:
            def score(logits, power=power):
                return (logits[:, -1].log_softmax(-1)[:, 2] ** power).mean()

            model, given, used = random_model(seed), ids.clone(), values.clone()
            if single:
                model.float()
                used = used.float()
            kept = used.clone()
            answers.append((attribution_patch(model, given, name, used, score), torch.equal(given, ids) and torch.equal(used, kept)))
        return answers

    cases = []
    with torch.no_grad():
        for i, name in enumerate(["blocks.0.written", "blocks.1.written", "blocks.0.pattern", "tokens", "blocks.0.written"]):
            ids = torch.randint(9, ((2, 3, 1)[i % 3], 4))
            values = by_hand(random_model(50 + i), torch.randint(9, ids.shape))[1][name].clone()
            cases.append((50 + i, i == 4, ids, name, values, 1 + i % 2))
    for (seed, single, ids, name, values, power), (found, unchanged) in zip(cases, probe(run, cases), strict=True):
        model, effects, step = random_model(seed), [], 1e-5
        n_vectors = values[..., 0].numel()
        with torch.no_grad():
            for i in range(n_vectors):
                only = (torch.arange(n_vectors) == i).reshape(values.shape[:-1])[..., None]
                scores = [(by_hand(model, ids, {name: lambda output, e=e, only=only, values=values: output + e * only * (values - output)})[0][:, -1].log_softmax(-1)[:, 2] ** power).mean() for e in (step, -step)]
                effects.append((scores[0] - scores[1]) / (2 * step))
        if found.shape != values.shape[:-1]:
            fail(f"The result does not have one number for each vector of {name}.")
        if not agree(found, torch.stack(effects).reshape(found.shape), 1e-3 if single else 1e-6):
            fail(f"Wrong for {name}" + (" in 32 bits." if single else "."))
        if not unchanged:
            fail("The tokens or the values are modified.")


@check(points=0.75, hint="torch.autograd.grad fills no parameter's grad. A leaf of your own in the part's place needs no parameter's gradient; torch.enable_grad().")
def leaves_the_parameters_alone():
    """attribution_patch fills no parameter's grad, changes no requires_grad, and works with frozen parameters and inside torch.no_grad()."""
    def run(seed, ids, values):
        answers = []
        for frozen in (False, True):
            for recording in (True, False):
                model = random_model(seed).requires_grad_(not frozen)
                model.unembed.weight.grad = torch.ones_like(model.unembed.weight)
                with torch.set_grad_enabled(recording):
                    found = attribution_patch(model, ids, "blocks.0.written", values, lambda logits: logits[:, -1, 0].sum())
                clean = all(p.requires_grad is not frozen for p in model.parameters()) and bool((model.unembed.weight.grad == 1).all())
                clean = clean and all(p.grad is None for name, p in model.named_parameters() if name != "unembed.weight")
                answers.append((found.detach(), clean, found.requires_grad))
        return answers

    values = torch.randn(2, 4, 3, 12, dtype=torch.float64)
    found = probe(run, 9, torch.randint(9, (2, 4)), values)
    for value, clean, graph in found:
        if not clean:
            fail("A parameter's grad or requires_grad is changed.")
        if graph:
            fail("The result records gradients.")
        if value.shape != (2, 4, 3) or not agree(value, found[0][0]):
            fail("With frozen parameters or inside torch.no_grad(), the result is not the same.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# The model (seed 14, the clearest of 17 trainings) is trained on sequences of 4 to 16 different letters, each of them twice; the loss counts the second copy only. **Left:** the loss. **Middle and right:** what one head of each layer looks at. In layer 0, it is the one that looks most at the token before; in layer 1, at the token that came after the earlier copy of the present one: an **induction head** (Olsson et al., arXiv:2209.11895).

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"  # one for each token


def train_to_copy(layers=2, seed=0, steps=600):
    """A model trained on repeated sequences, and its losses."""
    torch.manual_seed(seed)
    model = AttentionOnly(layers=layers)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 50, (steps - step) / (0.3 * steps)))
    for _ in range(steps):
        period = int(torch.randint(4, 17, ()))
        ids = torch.rand(32, 32).argsort(1)[:, :period].repeat(1, 2)
        loss = F.cross_entropy(model(ids)[:, period:-1].flatten(0, 1), ids[:, period + 1 :].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return model.eval(), losses


def head_scores(pattern, period):
    """How much each head looks at the token before, and at the one after the earlier copy: (heads,) each."""
    previous = pattern.diagonal(-1, dim1=-2, dim2=-1)
    induction = pattern.diagonal(1 - period, dim1=-2, dim2=-1)[..., 1:]
    return previous.mean((0, 2)), induction.mean((0, 2))


def draw_heads(model, losses, losses_of_one):
    ids = torch.rand(64, 32, generator=torch.Generator().manual_seed(1)).argsort(1)[:, :8].repeat(1, 2)
    _, kept = record(model, ids, ["blocks.0.pattern", "blocks.1.pattern"])
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.6), gridspec_kw={"width_ratios": (1, 1.1, 1.1)})
    for values, color, style, label in ((losses_of_one, "C1", "--", "one layer"), (losses, "C0", "-", "two layers")):
        left.plot(np.convolve(values, np.ones(10) / 10, "valid"), style, color=color, label=label)
    left.set(xlabel="step", ylabel="loss, in nats", title="Training", ylim=(0, None))
    left.legend()
    word = [LETTERS[i] for i in ids[0]]
    for ax, layer, which, name in ((middle, 0, 0, "the token before"), (right, 1, 1, "what came after")):
        scores = head_scores(kept[f"blocks.{layer}.pattern"], 8)[which]
        head = int(scores.argmax())
        ax.imshow(kept[f"blocks.{layer}.pattern"][0, head], cmap="Greys", vmin=0, vmax=1)
        ax.set_xticks(range(16), word, fontsize=8)
        ax.set_yticks(range(16), word, fontsize=8)
        ax.set(xlabel="looked at", ylabel="position that looks", title=f"Head {layer}.{head} looks at {name}\n(mean weight there: {scores[head]:.2f})")
        ax.title.set_fontsize(9)
        ax.grid(visible=False)
        ax.axvline(7.5, color="C5", lw=0.8)
        ax.axhline(7.5, color="C5", lw=0.8)
    plt.show()


copying_model, copying_losses = train_to_copy(seed=14)
try:
    draw_heads(copying_model, copying_losses, train_to_copy(layers=1)[1])
except NotImplementedError:
    print("This figure needs record of exercise 8.8.")

# %% [markdown]
# **One layer cannot.** With two, the loss falls to almost nothing in some 350 steps; with one, it is still near 1.7 at the end (four seeds). The induction head finds `M` because the stream at its place says "`W` was before me". The embeddings say `M` and the position only. So a head of layer 0 has to note the token before; then one of layer 1 can look for the note.
#
# That is a guess from pictures of attention. We test it with $2 \times 4 \times 11 = 88$ patches (layers, heads, positions) for each of two corruptions, in 64 random sequences at once. **Predict:** if the first `M` is replaced by `X`, which vectors bring `M` back? And if the `W` before it is? (The wrong letter in $d$ is `X` in the first case, and `Q` in the second.)

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def draw_patches(model, n_rows=64, seed=9):
    names, heads, period, length = ["blocks.0.written", "blocks.1.written"], 4, 8, 11
    order = torch.rand(n_rows, 32, generator=torch.Generator().manual_seed(seed)).argsort(1)
    order[0] = torch.tensor([LETTERS.index(letter) for letter in "KDWMTBQHX"] + [i for i in range(32) if LETTERS[i] not in "KDWMTBQHX"])
    clean, new, answer = order[:, :period].repeat(1, 2)[:, :length], order[:, period], order[:, 3]
    logits, kept = record(model, clean, names)
    panels = []
    for place, wrong in ((3, new), (2, order[:, 6])):
        corrupt = clean.clone()
        corrupt[:, place] = new
        broken, _ = record(model, corrupt, [])
        shares = torch.zeros(2 * heads, length)
        for layer, name in enumerate(names):
            for t in range(length):
                for head in range(heads):
                    patched = patch(model, corrupt, name, kept[name], (slice(None), t, head))
                    shares[heads * layer + head, t] = recovered_share(patched[:, -1], logits[:, -1], broken[:, -1], answer, wrong)

        def difference(output, wrong=wrong):
            rows = torch.arange(n_rows)
            return (output[rows, -1, answer] - output[rows, -1, wrong]).mean()

        effect = difference(logits) - difference(broken)
        estimates = torch.cat([attribution_patch(model, corrupt, name, kept[name], difference).sum(0).T for name in names]) / effect
        panels.append((place, corrupt, shares, estimates))

    figure, axes = plt.subplots(2, 2, figsize=(10.5, 6.6), sharex=True, gridspec_kw={"height_ratios": (1, 3.4)})
    for (top, bottom), (place, corrupt, shares, _), title in zip(axes.T, panels, ("The answer is replaced", "The token before the answer is replaced"), strict=True):
        image = bottom.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        bottom.axhline(heads - 0.5, color="black", lw=1)
        bottom.axvline(period - 0.5, color="0.4", lw=0.8, ls=":")
        for row, column in (shares.abs() >= 0.05).nonzero().tolist():
            share = float(shares[row, column])
            bottom.text(column, row, f"{share:.2f}", ha="center", va="center", fontsize=9, color="white" if share > 0.5 else "black", fontweight="bold" if share > 0.5 else "normal")
        bottom.set_xticks(range(length), range(length))
        bottom.set_yticks(range(2 * heads), [f"{row // heads}.{row % heads}" for row in range(2 * heads)])
        bottom.set(xlabel="position", ylabel="layer.head")
        bottom.set_xticks(np.arange(length - 1) + 0.5, minor=True)
        bottom.set_yticks(np.arange(2 * heads - 1) + 0.5, minor=True)
        bottom.grid(visible=False)
        bottom.grid(which="minor", color="0.85", lw=0.6, alpha=1)
        bottom.tick_params(which="minor", length=0)
        top.set(ylim=(-0.75, 2.6), title=title)
        top.axis("off")
        for t in range(length):
            changed = t == place
            top.text(t, 0.25, LETTERS[clean[0, t]], ha="center", va="center", fontsize=13, family="monospace", color="0.6" if changed else "black")
            if changed:
                top.plot([t - 0.3, t + 0.3], [0.25, 0.25], color="C5", lw=1.5)
                top.text(t, -0.45, LETTERS[corrupt[0, t]], ha="center", va="center", fontsize=13, family="monospace", color="C5", fontweight="bold")
        for start, end, bend, color, style in ((2, 3, -1.1, "C2", "-"), (3, 10, -0.2, "C0", "-")):
            top.annotate("", (end, 0.6), (start, 0.6), arrowprops={"arrowstyle": "-|>", "color": color, "ls": style, "lw": 1.6, "connectionstyle": f"arc3,rad={bend}"})
        top.text(2.25, 1.15, "layer 0 notes W", ha="right", va="bottom", fontsize=8.5, color="C2")
        top.text(6.8, 1.72, "layer 1 looks for the note, and copies M", ha="center", va="bottom", fontsize=8.5, color="C0")
        top.text(length - 0.3, 0.25, f"→ {LETTERS[answer[0]]}?", ha="left", va="center", fontsize=13, family="monospace", clip_on=False)
    figure.colorbar(image, ax=axes[1], label="recovered share", shrink=0.9)
    plt.show()
    for place, _, shares, estimates in panels:
        largest = int(shares.argmax())
        both = np.corrcoef(shares.flatten(), estimates.flatten())[0, 1]
        print(f"position {place} corrupted: the largest share is {shares.max():.2f} (head {largest // length // heads}.{largest // length % heads} at position {largest % length}); "
              f"attribution patching correlates {both:.3f}, and says {estimates.flatten()[largest]:.2f} there")


try:
    draw_patches(copying_model)
except NotImplementedError:
    print("This figure needs your functions of exercise 8.8.")

# %% [markdown]
# **Left: the answer is replaced.** Almost only what layer 1 writes at the last position brings `M` back, shared among its four heads. These heads copy.
#
# **Right: the token before it is replaced.** `M` still stands there, but not its note. One vector of 88, written by head 0.3 at position 3, brings back .90 of the answer. The shares of layer 1's four heads add up to 1, too: the two layers lie on one path, so all shares together may exceed 1. This is a **circuit** of two steps.
#
# Over the 17 trainings, the head changes, and the largest share of a head of layer 0 was between .33 and .90, .61 in the median.
#
# **Attribution patching** is almost exact on the left. On the right it says .28 where the patch gives .90: in the corrupt run the heads of layer 1 hardly look at `M`, and a small change of the note hardly changes that, but a whole one does. Search thousands of places with it, and test by patches what it finds.
#
# **What a patch does not prove.** It finds what carries the difference between *these two runs*: the two panels differ, for one model at one task. A part that another can replace stays hidden. Zeros put a model into states that it never has; prefer values from an ordinary input (Zhang and Nanda, arXiv:2309.16042). And choose the part on some pairs of runs, but report its share on new pairs.
#
# ### In the library
#
# TransformerLens and nnsight are made for this. captum has no patching, but its gradient times activation of a layer is, with the sign reversed, your attribution of a patch by zeros:

# %% tags=["demo", "shown", "raises-exception", "nbval-ignore-output"]
def compare_with_captum():
    from captum.attr import LayerGradientXActivation

    corrupt, answer = torch.tensor([[LETTERS.index(letter) for letter in "KDXMTBQHKDW"]]), LETTERS.index("M")

    def score(logits):
        return logits[:, -1, answer].sum()

    zeros = torch.zeros(1, 11, 4, 64)
    mine = attribution_patch(copying_model, corrupt, "blocks.0.written", zeros, score)
    captums = LayerGradientXActivation(lambda ids: score(copying_model(ids))[None], copying_model.blocks[0].written)
    theirs = -captums.attribute(corrupt).sum(-1)
    print(f"largest difference: {(mine - theirs).abs().max():.1e}, of effects up to {mine.abs().max():.1f}")


try:
    compare_with_captum()
except NotImplementedError:
    print("This comparison needs attribution_patch of exercise 8.8.")

# %% [markdown]
# **Change, predict, run.** `draw_patches(train_to_copy(seed=1)[0])`. Will one head of layer 0 do the work again, and attribution patching be nearer to the truth?
#
# <details><summary>What you should see</summary>
#
# Four heads share it: .14, .34, .24 and .29. Attribution patching is nearer, .24 for the .34: each of these patches is a smaller change. So a circuit need not have *one* head for a step.
# </details>
