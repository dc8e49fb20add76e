# %% [markdown]
# ## 2.2 Weight decay, and Adam
#
# To keep weights small, one can add a penalty $\tfrac{\lambda}{2}\lVert\theta\rVert^2$ to the **loss**, so that the gradient becomes
#
# $$g = \nabla \mathcal L(\theta) + \lambda\theta ,$$
#
# or shrink the **weights** by a fixed share per step and leave the gradient alone:
#
# $$\theta \leftarrow (1 - \eta\lambda)\,\theta - \eta \cdot (\text{step of the optimizer}).$$
#
# For plain gradient descent, the two are the same. Hence a claim of many lists of interview questions: *weight decay is L2 regularisation*. For Adam it is wrong; Adam with decay of the weights is
# **AdamW** (Loshchilov and Hutter, arXiv:1711.05101).
#
# ### What Adam does to a penalty
#
# Adam (Kingma and Ba, arXiv:1412.6980, algorithm 1) keeps two
# running means for each weight, of the gradient and of its square, both starting at zero:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 .$$
#
# Both are too small at first, by a factor of $1 - \beta^t$. So they are divided by it:
#
# $$\hat m_t = \frac{m_t}{1 - \beta_1^t}, \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t}, \qquad
# \theta_t = \theta_{t-1} - \eta\, \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} .$$
#
# The size of the gradient disappears: gradients a
# hundred times larger make steps of the same length. Now put $\lambda\theta$ into $g_t$. It is divided, too. **Predict:** does a weight with large gradients then decay faster, or more slowly?
#
# In the figure, gradients are pure noise, so that on average only the decay acts. Both methods have the same $\eta$ and $\lambda$.

# %% tags=["demo"]
def draw_decay(rate=0.01, decay=0.1, n_steps=1500):
    generator = torch.Generator().manual_seed(0)
    noise = torch.logspace(-3, 2, 11)  # standard deviation of each weight's gradient
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.4), width_ratios=(1, 1.25))
    for name, method, colour, marker in [
        ("L2 in the loss", torch.optim.Adam, "C5", "s"),  # Adam's weight_decay is just that
        ("decoupled decay", torch.optim.AdamW, "C0", "o"),
    ]:
        weights = torch.ones(400, len(noise), requires_grad=True)  # 400 runs at once
        optimizer = method([weights], lr=rate, weight_decay=decay)
        path = [torch.ones(len(noise))]
        for _ in range(n_steps):
            weights.grad = noise * torch.randn(weights.shape, generator=generator)
            optimizer.step()
            path.append(weights.detach().mean(0))
        path = torch.stack(path)
        axes[0].plot(path[::50, 2], path[::50, 8], marker=marker, ms=3.5, color=colour, label=name)
        axes[1].plot(noise, path[-1], marker=marker, ms=5, color=colour, label=name)
    axes[0].plot(0, 0, "x", color="0.4", ms=7)
    axes[0].annotate("start", (1, 1), (0.86, 1.05), fontsize=8.5, color="0.35")
    axes[0].set(title="Path of two weights", xlabel="weight with gradients of size 0.01", ylabel="weight with gradients of size 10")
    axes[0].set(xlim=(-0.06, 1.08), ylim=(-0.06, 1.14))
    left = (1 - rate * decay) ** n_steps
    axes[1].axhline(left, color="0.5", ls=":", lw=1)
    axes[1].text(1.3e-3, left + 0.03, f"$(1 - \\eta\\lambda)^{{{n_steps}}}$", fontsize=9, color="0.35")
    axes[1].set(title=f"What is left of each weight after {n_steps} steps", xscale="log", xlabel="standard deviation of the weight's gradient", ylabel="share of its start", ylim=(-0.06, 1.12))
    axes[1].legend(loc="upper left")
    plt.show()


draw_decay()

# %% [markdown]
# With decoupled decay each weight loses the same share per step. With L2 in the loss, where noise of standard deviation $s$ dominates, it loses about $\eta\lambda / s$:
# **the larger a weight's gradients, the less it is regularised**.
#
# So AdamW computes $m_t$ and $v_t$ from the gradient of the loss alone, and decays beside them:
#
# $$\theta_t = \theta_{t-1} - \eta\,\Big(\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} + \lambda\,\theta_{t-1}\Big).$$
#
# Both terms act on the **old** weight. Shrinking first and stepping afterwards is the same; shrinking the result of the step is not. (In PyTorch and here, the decay is multiplied by the learning rate; in algorithm 2 of the paper, it is not.)
#
# ### Not every parameter should decay
#
# A **bias** contributes little to overfitting (Goodfellow,
# Bengio and Courville, *Deep Learning*, section 7.1). The gain of a **normalisation layer** starts at 1; at 0 it would switch the layer off. It is common to leave both
# alone (He et al., arXiv:1812.01187, section 3.1).
#
# PyTorch's optimizers take **parameter groups** for this:
#
# ```python
# torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}], lr=1e-3)
# ```
#
# Two popular rules go wrong. By shape ("one axis: no decay"): a `LayerNorm` over two axes has a gain with two axes. By name ("norm" in it: no decay): people call a norm `ln_1`, or a linear layer `normaliser`. So ask the module that owns the parameter.

# %% [markdown]
# ### Exercise 2.2 · AdamW with parameter groups
#
# > **Difficulty** ★★☆☆ · **45 minutes** · **11 points** · PyTorch
#
# **Given** `NORM_LAYERS`, the normalisation layers of PyTorch, and the class `DecoupledAdam` up to its
# constructor. Its base class offers
#
# - `self.param_groups`: a list of dicts with the keys `"params"`, `"lr"`, `"betas"`, `"eps"` and `"weight_decay"`;
# - `self.state`: a dict of dicts. `self.state[p]`, empty at first, is yours to fill for the parameter `p`. `state_dict()` saves it.
#
# **Write** `DecoupledAdam.step` and `decay_groups`. `Adam` and `AdamW` of `torch.optim`, and the functions behind them, fail in the hidden checks.
#
# <details><summary>Hint 1: where does the state come from?</summary>
#
# If `self.state[p]` is empty, this is the parameter's first step: put in two
# tensors of zeros like `p`, and a count of the steps of *this* parameter.
# </details>
#
# <details><summary>Hint 2: close to torch's AdamW, but not close enough?</summary>
#
# Compute $1 - \beta^t$ with Python's numbers. In a `float32` tensor, $0.999^t$ has seven digits, of which the
# subtraction leaves four. And `torch.zeros(p.shape)` has the default type, `torch.zeros_like(p)` that of `p`.
# </details>
#
# <details><summary>Hint 3: which module owns a parameter?</summary>
#
# `model.modules()` gives the model and everything in it, each module once, and
# `module.named_parameters(recurse=False)` the parameters of that module alone, with their own names.
# `p in a_list` compares elements; `p in a_set` and `id(p)` are safe.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_adamw", "locked": true, "schema_version": 3, "solution": false, "task": false}
NORM_LAYERS = (
    *(nn.LayerNorm, nn.RMSNorm, nn.GroupNorm),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


# %% nbgrader={"grade": false, "grade_id": "adamw", "locked": false, "schema_version": 3, "solution": true, "task": false}
class DecoupledAdam(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101), as in
    torch.optim.AdamW.

    Args:
        params: parameters, or dicts as described above; what a dict does not set is taken from the
            other arguments.
        lr: the learning rate.
        betas: of the running means of the gradient and of its square.
        eps: added to the square root of the corrected mean of squares.
        weight_decay: lambda in the formula above.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self) -> None:
        """Moves each parameter p one step along p.grad, by the formula of AdamW above, with both
        bias corrections.

        Each group has its own settings. lr and weight_decay may change from step to step: a
        schedule writes to group["lr"]. A parameter whose gradient is None is skipped altogether:
        neither the parameter nor anything kept for it changes, and t counts only the steps that the
        parameter itself has taken. A gradient of zeros is a gradient.

        Parameters are dense, of float32 or float64 and of any shape, contiguous or not. They are
        changed in place (what shares their memory sees it) and computed in their own type;
        gradients are not modified. All that is needed to continue after state_dict and
        load_state_dict is kept in self.state or self.param_groups.
        """
        ### BEGIN SOLUTION
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(t=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
                state["t"] += 1
                beta1, beta2 = group["betas"]
                state["mean"].lerp_(p.grad, 1 - beta1)
                state["square"].lerp_(p.grad**2, 1 - beta2)
                mean = state["mean"] / (1 - beta1 ** state["t"])
                square = state["square"] / (1 - beta2 ** state["t"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * mean / (square.sqrt() + group["eps"]))
        ### END SOLUTION


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Sorts the model's parameters into two groups for an optimizer: with weight decay, and
    without.

    Not decayed are: the parameters that a normalisation layer itself owns (an instance of one of
    NORM_LAYERS or of a class derived from it), whatever their names and shapes, and all parameters
    with "bias" in their own name, the part after the last dot: bias, in_proj_bias, bias_hh_l0. All
    others are decayed, whatever their shapes, also those of other modules inside such a layer.

    A tied parameter, used in several places, is listed once; you may assume that these places
    agree on whether it decays. Frozen ones (requires_grad is False) are left out. The model is not
    modified, not even by marks on its parameters.

    Returns:
        [{"params": [...], "weight_decay": weight_decay}, {"params": [...], "weight_decay": 0.0}],
        always both, each list of parameters in the order of model.parameters(); it may be empty.

    >>> [len(group["params"]) for group in decay_groups(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), 0.1)]
    [1, 3]
    """
    ### BEGIN SOLUTION
    exempt = set()
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            if isinstance(module, NORM_LAYERS) or "bias" in name:
                exempt.add(p)
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p not in exempt], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p in exempt], "weight_decay": 0.0},
    ]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_adamw", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


def travel(make, starts, gradients, groups, settings):
    """Parameters after each step of an optimizer that is fed given gradients.

    Args:
        make: the optimizer's class.
        starts: one tensor for each parameter.
        gradients: for each step and parameter a tensor or None.
        groups: for each group the indices of its parameters and a dict of its own settings.
        settings: for groups that have none of their own.

    Returns:
        For each parameter a tensor with one row more than there are steps.
    """
    parameters = [start.clone().requires_grad_() for start in starts]
    optimizer = make([{"params": [parameters[i] for i in members], **own} for members, own in groups], **settings)
    rows = [[p.detach().clone() for p in parameters]]
    for step in gradients:
        for p, gradient in zip(parameters, step, strict=True):
            if p.grad is None or gradient is None:
                p.grad = None if gradient is None else gradient.clone()
            else:
                p.grad.copy_(gradient)  # the same tensor again, as zero_grad(set_to_none=False) leaves it
        optimizer.step()
        rows.append([p.detach().clone() for p in parameters])
    return [torch.stack(path) for path in zip(*rows, strict=True)]


@check(points=1, hint="Both corrections with the same t, which is 1 at the first step; the decay acts on the weight, not on the gradient.")
def three_steps_agree_with_torch():
    """The first three steps are those of torch.optim.AdamW."""
    start = [torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)]
    slopes = torch.tensor([[1.0, -0.1, 10.0], [3.0, -0.1, -20.0], [-1.0, -0.1, 10.0]], dtype=torch.float64)
    case = start, [[slope] for slope in slopes], [([0], {})], dict(lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    path = travel(torch.optim.AdamW, *case)[0]
    other = travel(torch.optim.Adam, *case)[0]
    found = probe(travel, DecoupledAdam, *case)[0]
    if torch.allclose(found, other, atol=1e-5):
        fail("This is Adam with L2 in the loss: the decay went into the gradient, and through the running means.")
    for t in (1, 2, 3):
        numbers = [[round(value, 4) for value in row[t].tolist()] for row in (found, path)]
        assert torch.allclose(found[t], path[t], atol=1e-5), f"after step {t} the parameter is {numbers[0]}, and with torch.optim.AdamW {numbers[1]}"


@check(points=0.5, hint="Skip it before anything of it is touched.")
def leaves_out_what_has_no_gradient():
    """A parameter whose gradient is None stays as it is, and the next one is stepped."""
    start, gradients = [torch.tensor([2.0]), torch.tensor([3.0])], [[None, torch.tensor([1.0])]]
    idle, moving = probe(travel, DecoupledAdam, start, gradients, [([0, 1], {})], dict(lr=0.1, weight_decay=0.5))
    assert idle[1].tolist() == [2], f"a parameter of 2 without gradient became {idle[1].item():g}"
    assert moving[1].item() < 3, f"the parameter after it, 3 with a gradient of 1, became {moving[1].item():g}"


@check(points=1, hint="Go through the modules. What belongs to a norm layer does not decay, nor does a bias.")
def sorts_a_small_model():
    """In a small model, the weights of linear layers decay; biases and the LayerNorm do not."""
    def run():
        model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
        names = {id(p): name for name, p in model.named_parameters()}
        return [(sorted(names[id(p)] for p in group["params"]), float(group["weight_decay"])) for group in decay_groups(model, 0.1)]

    found = probe(run)
    assert len(found) == 2, f"{len(found)} groups instead of two"
    (decayed, some), (spared, none) = found
    assert (some, none) == (0.1, 0), f"asked for a decay of 0.1, the groups have {some:g} and {none:g}"
    assert decayed == ["0.weight", "2.weight"], f"decayed: {decayed}"
    assert spared == ["0.bias", "1.bias", "1.weight", "2.bias"], f"not decayed: {spared}"


### BEGIN HIDDEN TESTS
from copy import deepcopy

TORCHS_ADAM = (
    "torch.optim.Adam.__init__",
    "torch.optim.Adam.step",
    "torch.optim.adam.adam",
    "torch.optim.adamw.adamw",
    "torch.optim.adam._single_tensor_adam",
    "torch.optim.adam._multi_tensor_adam",
    "torch._fused_adam_",
    "torch._fused_adamw_",
)


def journeys(*cases):
    """Paths taken by the student's optimizer, for several cases (arguments of travel), with torch's own Adam out of reach."""
    def run(cases):
        with forbidden(*TORCHS_ADAM):
            return [travel(DecoupledAdam, *case) for case in cases]

    return probe(run, cases)


def random_gradients(n_steps, shapes, dtype=torch.float64, spread=2.0):
    """Gradients of size 10 ** -spread to 10 ** spread, each entry's size the same at every step."""
    sizes = [10 ** (spread * (2 * torch.rand(shape, dtype=torch.float64) - 1)) for shape in shapes]
    return [[(size * torch.randn(size.shape, dtype=torch.float64)).to(dtype) for size in sizes] for _ in range(n_steps)]


def random_starts(shapes, dtype=torch.float64):
    return [torch.randn(shape, dtype=torch.float64).to(dtype) for shape in shapes]


def furthest(found, truth):
    """Largest distance between two sets of paths; NaN counts as far."""
    return max(torch.nan_to_num((a - b).abs(), nan=math.inf).max().item() for a, b in zip(found, truth, strict=True))


TINY = 1e-30  # an epsilon that does not matter


@check(points=2, hint="Write down m, v, both corrections and the update, line by line, and compare with the formula. Where is the epsilon, and what does the decay act on?")
def follows_torch_for_many_steps():
    """Over many steps and settings, parameters of float64 and float32 follow torch.optim.AdamW."""
    shapes = [(2, 3), (), (5,)]
    everything = [([0, 1, 2], {})]
    cases = []
    for settings in [
        dict(lr=0.05, betas=(0.9, 0.999), eps=TINY, weight_decay=0.0),
        dict(lr=0.1, betas=(0.8, 0.95), eps=TINY, weight_decay=0.7),
        dict(lr=0.02, betas=(0.0, 0.5), eps=TINY, weight_decay=3.0),
    ]:
        cases.append((random_starts(shapes), random_gradients(40, shapes), everything, settings))
    coarse = dict(lr=0.1, betas=(0.9, 0.99), eps=0.3, weight_decay=0.2)
    cases.append((random_starts(shapes), random_gradients(20, shapes, spread=1.0), everything, coarse))
    single = dict(lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.2)
    cases.append((random_starts(shapes, torch.float32), random_gradients(20, shapes, torch.float32), everything, single))
    *double, epsilons, singles = (furthest(found, travel(torch.optim.AdamW, *case)) for found, case in zip(journeys(*cases), cases, strict=True))
    if max(double) > 1e-3:
        fail("The path is not that of AdamW " + ("without weight decay." if double[0] > 1e-3 else "with weight decay; without it, it is."))
    if max(double) > 1e-9:
        fail("The path is near that of AdamW, but less precise than float64: something was computed in float32.")
    if epsilons > 1e-9:
        fail("With a large epsilon, the path is not that of AdamW; with a tiny one, it is. Epsilon is added to the root of the corrected mean.")
    if singles > 1e-4:
        fail("In float32, the path is not that of AdamW; in float64, it is.")


@check(points=1, hint="The running means see the gradient of the loss and nothing else. One step takes the share lr * weight_decay off the old weight.")
def decay_is_decoupled():
    """Each step takes the share lr * weight_decay off the old weight, whatever the size of its gradients."""
    shapes = [(3, 4)]
    start, gradients = random_starts(shapes), random_gradients(12, shapes)
    powers = 2.0 ** torch.arange(-12, 12, 2, dtype=torch.float64).reshape(3, 4)
    rescaled = [[gradient * powers for gradient in step] for step in gradients]
    nothing = [[torch.zeros_like(gradient) for gradient in step] for step in gradients]
    settings = dict(lr=0.125, betas=(0.9, 0.99), eps=TINY, weight_decay=0.5)
    whole = [([0], {})]
    (path,), (other,), (shrinking,), (free,) = journeys(
        (start, gradients, whole, settings),
        (start, rescaled, whole, settings),
        (start, nothing, whole, settings),
        (start, gradients[:1], whole, settings | {"weight_decay": 0.0}),
    )
    if furthest([path], [other]) > 1e-9:
        fail("Where the gradient of a weight is larger by a constant factor at all steps, its path should be the same (epsilon is tiny here).")
    times = torch.arange(13, dtype=torch.float64)[:, None, None]
    if furthest([shrinking], [start[0] * (1 - 0.125 * 0.5) ** times]) > 1e-9:
        fail("With gradients of zeros, each step should take the share lr * weight_decay off the weight.")
    if furthest([path[1] - free[1]], [-0.125 * 0.5 * start[0]]) > 1e-9:
        fail("The decay should act on the weight before the step, not on the result of the step.")


@check(points=1, hint="Read lr, betas, eps and weight_decay from the group, in every step. What you keep for a parameter is its own.")
def groups_are_independent():
    """Each group follows its own settings, also where they change on the way."""
    shapes = [(2, 3), (2, 3), (2, 3), (2, 3)]
    start, gradients = random_starts(shapes), random_gradients(6, shapes)
    groups = [
        ([0], dict(lr=0.1, betas=(0.9, 0.99), eps=0.5, weight_decay=0.5)),
        ([1, 2], dict(lr=0.3, betas=(0.5, 0.6), eps=TINY, weight_decay=0.0)),
        ([3], dict(eps=0.01, betas=(0.2, 0.9))),  # the rest by default
    ]
    defaults = dict(lr=0.02, betas=(0.7, 0.8), eps=0.1, weight_decay=2.0)
    alone = []
    for members, own in groups:
        some = [[step[i] for i in members] for step in gradients]
        alone.append(([start[i] for i in members], some, [(range(len(members)), {})], defaults | own))
    together, *apart = journeys((start, gradients, groups, defaults), *alone)
    if furthest(together, [path for paths in apart for path in paths]) > 1e-12:
        fail("In one optimizer with several groups, the parameters do not go where they go in optimizers of their own.")

    def run(start, gradients, changes):
        """Two steps, the second one with other settings in the first group."""
        with forbidden(*TORCHS_ADAM):
            first, second = parameters = [tensor.clone().requires_grad_() for tensor in start[:2]]
            optimizer = DecoupledAdam([{"params": [first]}, {"params": [second]}], lr=0.1, weight_decay=0.5)
            for step in gradients[:2]:
                before = [p.detach().clone() for p in parameters]
                for p, gradient in zip(parameters, step[:2], strict=True):
                    p.grad = gradient.clone()
                optimizer.step()
                optimizer.param_groups[0].update(changes)
            return before, [p.detach() for p in parameters]

    def compare(start, gradients):
        return [run(start, gradients, changes) for changes in ({}, {"lr": 0.2}, {"weight_decay": 0.0})]

    (before, same), (_, faster), (_, free) = probe(compare, start, gradients)
    if furthest([faster[0] - before[0]], [2 * (same[0] - before[0])]) > 1e-9:
        fail("Twice the learning rate, set between two steps, does not make the next step twice as long.")
    if furthest([free[0]], [same[0] + 0.1 * 0.5 * before[0]]) > 1e-9:
        fail("A weight decay that is set to zero between two steps still acts.")
    if furthest([faster[1], free[1]], [same[1], same[1]]) > 1e-9:
        fail("A change of one group's settings changes the path of another group.")


@check(points=0.5, hint="Skip the parameter before anything of it is touched, and count steps for each parameter.")
def skips_without_gradient():
    """A parameter without gradient stays as it is, and counts only the steps that it takes."""
    shapes = [(3,), (3,), (2,)]
    start, gradients = random_starts(shapes), random_gradients(7, shapes)
    sometimes = [[step[0], step[1] if t in (2, 3, 6) else None, None] for t, step in enumerate(gradients)]
    settings = dict(lr=0.1, betas=(0.8, 0.9), eps=TINY, weight_decay=0.4)
    only = [[step[1]] for t, step in enumerate(gradients) if t in (2, 3, 6)]
    everything = [([1, 0, 2], {})]
    found, (always,), (alone,) = journeys(
        (start, [[None, None, None], *sometimes, [None, None, None]], everything, settings),
        (start[:1], [step[:1] for step in gradients], [([0], {})], settings),
        (start[1:2], only, [([0], {})], settings),
    )
    moved = [path[1:].ne(path[:-1]).any(1) for path in found]
    if moved[2].any() or moved[1][[0, 1, 2, 5, 6, 8]].any() or moved[0][[0, 8]].any():
        fail("A parameter whose gradient is None was changed: by its decay, or by what is left of older gradients.")
    if furthest([found[1][[0, 4, 5, 8]]], [alone]) > 1e-12:
        fail("A parameter that is without gradient in some steps takes other steps than one that never met them: do its running means or its count go on?")
    if furthest([found[0][1:9]], [always]) > 1e-12:
        fail("A parameter's path changes when other parameters are without gradient.")


@check(points=1, hint="What you keep has to be in self.state (or the groups): that is what state_dict() saves.")
def continues_from_a_state_dict():
    """An optimizer that loads the state_dict of another one goes on as that one would have."""
    def run(start, gradients):
        with forbidden(*TORCHS_ADAM):
            def begin(tensors, lr, weight_decay):
                parameters = [tensor.detach().clone().requires_grad_() for tensor in tensors]
                groups = [{"params": parameters[:2]}, {"params": parameters[2:], "betas": (0.5, 0.75)}]
                return parameters, DecoupledAdam(groups, lr=lr, weight_decay=weight_decay)

            def go(parameters, optimizer, steps):
                for step in steps:
                    for p, gradient in zip(parameters, step, strict=True):
                        p.grad = None if gradient is None else gradient.clone()
                    optimizer.step()
                return [p.detach().clone() for p in parameters]

            parameters, optimizer = begin(start, 0.1, 0.4)
            middle = go(parameters, optimizer, gradients[:4])
            saved = deepcopy(optimizer.state_dict())
            others, fresh = begin(middle, 0.7, 0.0)  # these settings are overwritten
            fresh.load_state_dict(saved)
            return go(parameters, optimizer, gradients[4:]), go(others, fresh, gradients[4:])

    shapes = [(2, 3), (3,), (2,)]
    gradients = random_gradients(8, shapes)
    gradients[1][1] = gradients[5][1] = None
    uninterrupted, resumed = probe(run, random_starts(shapes), gradients)
    if furthest(resumed, uninterrupted) > 1e-12:
        fail("After load_state_dict, the parameters take other steps than without the interruption.")


@check(points=1, hint="Operations that end in an underscore change their tensor: never use one on p.grad, and always one on p.")
def only_parameters_change():
    """A step changes the parameters in place, and neither the gradients nor torch's gradient mode."""
    def run(start, gradients):
        with forbidden(*TORCHS_ADAM):
            columns_first = [tensor.t().clone(memory_format=torch.contiguous_format).t() for tensor in start]  # not contiguous
            parameters = [tensor.requires_grad_() for tensor in columns_first]
            shared = [p.detach() for p in parameters]  # the same memory
            optimizer = DecoupledAdam([{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.0}], lr=0.1, weight_decay=0.5)
            after, kept = [], []
            for step in gradients:
                given = [gradient.clone() for gradient in step]
                for p, gradient in zip(parameters, given, strict=True):
                    p.grad = gradient
                optimizer.step()
                after.append([gradient.clone() for gradient in given])
                kept.append(all(p.grad is gradient for p, gradient in zip(parameters, given, strict=True)))
                if not torch.is_grad_enabled():
                    torch.set_grad_enabled(True)
                    return after, None, None, False, None
            in_place = [(p.detach() - other).abs().max().item() for p, other in zip(parameters, shared, strict=True)]
            clean = all(p.requires_grad and p.is_leaf for p in parameters)
            return after, max(in_place), all(kept), clean, [p.detach().clone() for p in parameters]

    shapes = [(2, 3), (4,)]
    start, gradients = random_starts(shapes), random_gradients(3, shapes)
    after, distance, kept, clean, final = probe(run, start, gradients)
    if any(not torch.equal(a, b) for step, truth in zip(after, gradients, strict=True) for a, b in zip(step, truth, strict=True)):
        fail("The gradients were modified: whoever logs or clips them next gets something else.")
    if not clean:
        fail("After a step, the parameters no longer require gradients, or torch's gradient mode was left switched off.")
    if not kept:
        fail("After a step, p.grad is another tensor or None.")
    if distance > 0:
        fail("The parameters got new memory: tensors that shared it with them still have the old values.")
    if all(torch.equal(there, begun) for there, begun in zip(final, start, strict=True)):
        fail("No parameter moves. `p = p - ...` gives the name p to a new tensor, and the optimizer's parameter stays: change it in place, as in `p -= ...`.")
    if torch.equal(final[0], start[0]):
        fail("A parameter that is not contiguous in memory, such as a transposed one, does not move: reshape makes a copy of it.")


class Oddities(nn.Module):
    """Names and shapes that mislead."""

    def __init__(self):
        super().__init__()
        self.normaliser = nn.Linear(3, 2)
        self.bias_net = nn.ModuleDict({"bias": nn.Linear(2, 2, bias=False), "layernorm": nn.Linear(2, 1)})
        self.ln_1 = nn.LayerNorm((4, 5))
        self.last = type("OwnNorm", (nn.RMSNorm,), {})(6)
        self.last.gate = nn.Linear(6, 6)  # inside a norm layer, but none itself
        self.scale = nn.Parameter(torch.ones(7))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.words = nn.Embedding(9, 2)


MODELS = {  # name: how to build it, and what decays
    "linear": (lambda: nn.Linear(3, 2), {"weight"}),
    "images": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.Conv1d(4, 2, 1, bias=False), nn.BatchNorm1d(2)),
        {"0.weight", "4.weight"},
    ),
    "attention": (lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True), {"in_proj_weight", "out_proj.weight"}),
    "transformer": (lambda: nn.TransformerEncoderLayer(4, 2, 8), {"self_attn.in_proj_weight", "self_attn.out_proj.weight", "linear1.weight", "linear2.weight"}),
    "recurrent": (lambda: nn.LSTM(2, 3, num_layers=2), {"weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"}),
    "oddities": (Oddities, {"normaliser.weight", "bias_net.bias.weight", "bias_net.layernorm.weight", "scale", "temperature", "words.weight", "last.gate.weight"}),
}


def sorted_by_student(build, weight_decay):
    """What decay_groups makes of a model, parameters by the names that named_parameters gives them."""
    model = build()
    names = {id(p): name for name, p in model.named_parameters()}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    attributes = lambda: [sorted(vars(owner)) for owner in [*model.modules(), *model.parameters()]]
    before = attributes()
    groups = [([names.get(id(p), "") for p in group["params"]], float(group["weight_decay"])) for group in decay_groups(model, weight_decay)]
    unchanged = all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    unchanged &= before == attributes() and frozen == {name for name, p in model.named_parameters() if not p.requires_grad}
    return groups, unchanged, list(names.values()), frozen


@check(points=1, hint="Ask the module that owns the parameter whether it is a norm layer, and look for 'bias' in the parameter's own name only.")
def sorts_by_role():
    """Biases and the parameters of all norm layers are spared, all others decayed, whatever their names and shapes."""
    def run(builders):
        return [sorted_by_student(build, 0.25) for build in builders]

    found = probe(run, [build for build, _ in MODELS.values()])
    for (groups, *_, names, _), (_, decaying) in zip(found, MODELS.values(), strict=True):
        if [weight_decay for _, weight_decay in groups] != [0.25, 0]:
            fail("There should be two groups: the first with the weight decay that was asked for, the second with none.")
        (decayed, _), (spared, _) = groups
        if any(name not in decayed and name not in spared for name in names):
            fail("A parameter is in neither group.")
        wrongly = [name.rpartition(".")[2] for name in decayed if name not in decaying]
        if any("bias" in name for name in wrongly):
            fail("A bias is decayed. Some layers call it in_proj_bias or bias_hh_l0.")
        if wrongly:
            fail("The weight of a norm layer is decayed. It may have any name and several axes, and its class may be derived from one of NORM_LAYERS.")
        if any(name in decaying for name in spared):
            fail("A parameter is spared that is neither a bias nor part of a norm layer. Its number of axes does not matter, and neither do the names of modules around it.")


def tied_model():
    """An embedding tied to the output layer, a layer that is used twice, and a bias that two layers share."""
    model = nn.Module()
    model.words = nn.Embedding(5, 3)
    model.body = nn.Linear(3, 3)
    model.again = model.body
    model.norm = nn.LayerNorm(3)
    model.head = nn.Linear(3, 5)
    model.head.weight = model.words.weight
    model.other = nn.Linear(3, 5)
    model.other.bias = model.head.bias
    return model


def frozen_model():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    model[1].weight.requires_grad_(False)
    model[4].bias.requires_grad_(False)
    return model


@check(points=1, hint="model.parameters() gives each parameter once, in a fixed order. Leave out those that do not require gradients.")
def each_trainable_parameter_once():
    """Tied parameters are listed once, frozen ones not at all, in the model's order, and the model stays as it is."""
    cases = [
        (tied_model, ["words.weight", "body.weight", "other.weight"], ["body.bias", "norm.weight", "norm.bias", "head.bias"]),
        (frozen_model, ["2.weight", "4.weight"], ["1.bias", "2.bias", "3.weight", "3.bias"]),
        (lambda: nn.Linear(2, 2, bias=False), ["weight"], []),
        (lambda: nn.BatchNorm1d(2), [], ["weight", "bias"]),
        (lambda: nn.Linear(2, 2).requires_grad_(False), [], []),
        (lambda: nn.ParameterDict({"a": torch.ones(0, 2), "b": torch.ones(0, 3)}), ["a", "b"], []),  # both empty, at the same address
        (lambda: nn.Sequential(*(nn.Linear(2, 2) for _ in range(12))), [f"{i}.weight" for i in range(12)], [f"{i}.bias" for i in range(12)]),
    ]

    def run(builders):
        return [sorted_by_student(build, 0.0) for build in builders]

    found = probe(run, [build for build, *_ in cases])
    for (groups, unchanged, order, frozen), (_, *truth) in zip(found, cases, strict=True):
        if len(groups) != 2:
            fail("There should always be two groups, also if one of them is empty.")
        lists = [names for names, _ in groups]
        everything = [name for names in lists for name in names]
        if not unchanged:
            fail("The model was modified.")
        if len(set(everything)) < len(everything):
            fail("A parameter is listed twice: it may be used in several places.")
        if frozen & set(everything):
            fail("A frozen parameter is listed.")
        if sorted(everything) != sorted(name for names in truth for name in names):
            fail("A parameter that can be trained is missing.")
        if [set(names) for names in lists] != [set(names) for names in truth]:
            fail("A parameter is in the wrong group.")
        if any(sorted(names, key=order.index) != names for names in lists):
            fail("The parameters are not in the order of model.parameters(). A state_dict numbers them, so the order must not depend on chance.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What decoupling buys
#
# Does it matter whether a loss is a mean or a sum? Your optimizer and Adam with L2 train the same small network on 150 digits with
# the loss as it is, with a hundredth of it, and with a hundred times as much. Both use $\lambda = 1$ and your `decay_groups`.

# %% tags=["demo", "raises-exception"]
def draw_scales(factors=(0.01, 1, 100), n_steps=300):
    from sklearn.datasets import load_digits

    images, digits = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = images.float() / 16

    def train(method, factor):
        """Loss on the other digits after each step, and the length of all decayed weights at the end."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))
        groups = decay_groups(model, 1.0)
        optimizer = method(groups, lr=3e-3)
        losses = []
        for _ in range(n_steps):
            with torch.no_grad():
                losses.append(F.cross_entropy(model(images[150:650]), digits[150:650]).item())
            optimizer.zero_grad()
            (factor * F.cross_entropy(model(images[:150]), digits[:150])).backward()
            optimizer.step()
        return losses, math.sqrt(sum((p**2).sum().item() for p in groups[0]["params"]))

    methods = [("Your AdamW", DecoupledAdam), ("Adam, L2 in the loss", torch.optim.Adam)]
    results = {title: [train(method, factor) for factor in factors] for title, method in methods}
    _, axes = plt.subplots(1, 2, figsize=(9.3, 3.3), sharey=True)
    for ax, (title, runs) in zip(axes, results.items(), strict=True):
        for factor, (losses, length), (colour, style, width) in zip(factors, runs, [("C0", "-", 5), ("C1", "-", 2.5), ("black", ":", 1.5)], strict=True):
            ax.plot(losses, color=colour, ls=style, lw=width, label=f"{factor:g} × loss (weights: {length:.1f})")
        ax.set(title=title, xlabel="step", ylim=(0, 3.9))
        ax.legend(fontsize=8.5, title="trained on (length of the weights)", title_fontsize=8.5, loc="upper right")
    axes[0].set_ylabel("cross-entropy on unseen digits (nats)")
    plt.show()


try:
    draw_scales()
except NotImplementedError:
    print("This figure needs your functions of exercise 2.2.")

# %% [markdown]
# On the left, three curves lie on top of each other: AdamW is **scale-free**, as long as $\epsilon$ is small (Zhuang et al., arXiv:2202.00089). On the right, the same $\lambda$
# wipes out the network, holds it back, or suits it.
#
# What remains coupled: the decay is $\eta\lambda$ per step, so a schedule that ends at zero ends the decay, too.
#
# **Change, predict, run.** In `draw_decay`, which part of the right-hand figure moves if you halve the rate and double the steps, `draw_decay(rate=0.005, n_steps=3000)`?
#
# <details><summary>What you should see</summary>
#
# Hardly anything: only the product of rate and steps counts, as $(1 - \eta\lambda)^t \approx e^{-\eta\lambda t}$. With L2 it is the same.
# </details>
