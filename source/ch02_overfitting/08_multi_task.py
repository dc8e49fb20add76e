# %% [markdown]
# ## 2.8 A trunk for several tasks
#
# A network whose first layers, the **trunk**, serve several tasks costs less than a network for each, and has less freedom to memorise the noise of one (Caruana, Machine Learning 28, 1997). Hence the claim: *learning several tasks together improves each*. Where it is false, one speaks of **negative transfer**.
#
# In **hard parameter sharing**, task $t$ has a small head $h_t$ of its own on top of the trunk $f$: $\hat y_t(x) = h_t\big(f(x)\big)$.
#
# The figure has two tasks, $y_t = \tanh(2\, u_t \cdot x)$ plus noise, with directions $u_1$ and $u_2$ among six inputs. Their cosine $\rho$ says how related the tasks are: with $\rho = 1$ they are the
# same but for the noise, with $\rho = 0$ they have nothing in common. Each has 20 labelled samples. Trunks are
# a layer of tanh units, as are the networks for single tasks. **Predict:** where does sharing hurt?

# %% tags=["demo"]
def related_tasks(relatedness, n_runs, n_samples, seed=0):
    """Samples of n_runs pairs of tasks: inputs, noisy labels to train on, inputs and labels to test on."""
    generator = torch.Generator().manual_seed(seed)
    pair = torch.linalg.qr(torch.randn(n_runs, 6, 2, generator=generator))[0]
    second = relatedness * pair[..., :1] + math.sqrt(1 - relatedness**2) * pair[..., 1:]
    directions = torch.cat([pair[..., :1], second], -1)
    x, x_test = (torch.randn(n_runs, n, 6, generator=generator) for n in (n_samples, 200))
    y, y_test = (torch.tanh(2 * inputs @ directions) for inputs in (x, x_test))
    return x, y + 0.3 * torch.randn(y.shape, generator=generator), x_test, y_test


def errors_side_by_side(x, y, x_test, y_test, width, n_steps=200):
    """Test error of each run, mean of its tasks, for networks with one layer that are trained side by side."""
    generator = torch.Generator().manual_seed(1)
    into = (torch.randn(len(x), 6, width, generator=generator) / 6**0.5).requires_grad_()
    out = (torch.randn(len(x), width, y.shape[-1], generator=generator) / width**0.5).requires_grad_()
    biases = [torch.zeros(len(x), 1, n, requires_grad=True) for n in (width, y.shape[-1])]
    optimizer = torch.optim.Adam([into, out, *biases], lr=0.05, fused=True)
    network = lambda inputs: torch.tanh(inputs @ into + biases[0]) @ out + biases[1]
    for _ in range(n_steps):
        optimizer.zero_grad()
        ((network(x) - y) ** 2).mean((1, 2)).sum().backward()
        optimizer.step()
    return ((network(x_test) - y_test) ** 2).mean((1, 2)).detach()


def draw_relatedness(widths=(1, 4), n_runs=15):
    relatedness = [0.0, 0.25, 0.5, 0.75, 0.9, 1.0]
    x, y, x_test, y_test = (torch.cat(parts) for parts in zip(*(related_tasks(rho, n_runs, 20) for rho in relatedness), strict=True))
    split = lambda labels: torch.cat([labels[..., :1], labels[..., 1:]])
    fig, axes = plt.subplots(1, len(widths), figsize=(9.3, 3.2), sharey=True)
    for ax, width in zip(axes, widths, strict=True):
        shared = errors_side_by_side(x, y, x_test, y_test, width)
        single = errors_side_by_side(torch.cat([x, x]), split(y), torch.cat([x_test, x_test]), split(y_test), width)
        for errors, name, style in [((single[: len(x)] + single[len(x) :]) / 2, "a network for each", "s--C1"), (shared, "one trunk for both", "o-C0")]:
            low, middle, high = errors.reshape(len(relatedness), n_runs).quantile(torch.tensor([0.25, 0.5, 0.75]), dim=1)
            ax.errorbar(relatedness, middle, [middle - low, high - middle], fmt=style, ms=5, capsize=2, label=name)
        ax.set(title=f"{width} hidden unit{'s' * (width > 1)}", xlabel=r"relatedness $\rho$ (cosine)", yscale="log", ylim=(0.015, 0.8))
        ax.set_yticks([0.03, 0.1, 0.3], labels=["0.03", "0.1", "0.3"])
        ax.minorticks_off()
    axes[0].set_ylabel("test MSE (median, quartiles)")
    axes[0].legend(loc="lower left")
    plt.show()


draw_relatedness()

# %% [markdown]
# With one hidden unit, transfer goes both ways. At $\rho = 1$ the trunk sees twice as many labels and
# roughly halves the error. At $\rho = 0$ it has to choose one direction for two tasks, and its error is about four times that of
# separate networks. With four units there is room for both directions, and sharing changes little. (Shared or not, they overfit their twenty labels: errors are between 0.2 and 0.3; one unit for each task has about 0.1.) So the
# harm took two things: tasks that do not fit together, **and** a trunk too small for both.
#
# ### Weights, and labels that are missing
#
# Training minimises a weighted sum $\mathcal L = \sum_t w_t \mathcal L_t$. The trunk's parameters $\theta$ get the gradient $\sum_t w_t g_t$ with $g_t = \nabla_\theta \mathcal L_t$, and head $t$ gets that of its own loss, times $w_t$.
#
# The loudest task wins: measure a length in millimetres instead of metres and
# its squared errors grow by $10^6$. So targets are standardised, and the $w_t$ are hyperparameters, or learnt
# (Kendall, Gal and Cipolla, arXiv:1705.07115).
#
# A missing label is marked by NaN. Each loss is the mean over the
# $n_t$ samples that have the label, **not** over the batch:
#
# $$\mathcal L_t = \frac{1}{n_t} \sum_{i:\ y_{it} \text{ is known}} (\hat y_{it} - y_{it})^2, \qquad \mathcal L_t = 0 \ \text{ if } n_t = 0 .$$
#
# The obvious code has a mistake. **Predict:** what will the gradient be?

# %% tags=["demo", "shown"]
def lose_the_gradient():
    guess = torch.tensor([1.0, 2.0], requires_grad=True)
    label = torch.tensor([0.5, torch.nan])
    loss = torch.where(label.isnan(), 0.0, (guess - label) ** 2).sum()
    loss.backward()
    print(f"loss {loss.item():.2f}, gradient {guess.grad.tolist()}")


lose_the_gradient()

# %% [markdown]
# `where` hands a gradient of 0 to the branch that it did not take, and the
# square's derivative multiplies it by $2 (\hat y - \text{NaN})$: zero times NaN is NaN.
#
# ### Optional: gradients that fight
#
# (`project_conflicts` and `surgery=True`, five of the points.) Two tasks **conflict** where $g_1 \cdot g_2 < 0$. PCGrad (Yu et al., arXiv:2001.06782, algorithm 1) then removes from each gradient its component
# along the other, and adds up what is left:
#
# $$g_1' = g_1 - \frac{g_1 \cdot g_2}{\lVert g_2 \rVert^2}\, g_2, \qquad
# g_2' = g_2 - \frac{g_2 \cdot g_1}{\lVert g_1 \rVert^2}\, g_1 .$$

# %% tags=["demo"]
def draw_surgery():
    fig, axes = plt.subplots(1, 3, figsize=(9.4, 2.7))
    first, second, friendly = np.array([1.0, 0.35]), np.array([-1.7, 0.6]), np.array([0.3, 0.8])
    cut = lambda g, other: g - min(g @ other, 0) / (other @ other) * other
    panels = [
        ("In conflict: the plain sum", first, second, [first, second]),
        ("In conflict: PCGrad", first, second, [cut(first, second), cut(second, first)]),
        ("No conflict: nothing changes", first, friendly, [first, friendly]),
    ]
    arrow = dict(angles="xy", scale_units="xy", scale=1)
    for ax, (title, one, two, parts) in zip(axes, panels, strict=True):
        for g, colour, name in [(one, "C0", "$g_1$"), (two, "C1", "$g_2$")]:
            ax.quiver(0, 0, *g, color=colour, width=0.014, **arrow)
            ax.annotate(name, g, textcoords="offset points", xytext=(7 * np.sign(g[0]), 5), color=colour, ha="center")
        if "PCGrad" in title:
            for g, part, colour, name, place in [(one, parts[0], "C0", "$g_1'$", (9, 0)), (two, parts[1], "C1", "$g_2'$", (-10, 0))]:
                ax.quiver(0, 0, *part, color=colour, width=0.008, alpha=0.6, **arrow)
                ax.plot(*zip(g, part, strict=True), color=colour, ls=":", lw=1)
                ax.annotate(name, part, textcoords="offset points", xytext=place, color=colour, ha="center")
        ax.quiver(0, 0, *sum(parts), color="black", width=0.011, **arrow)
        ax.annotate("sum", sum(parts), textcoords="offset points", xytext=(-3, 6), ha="center")
        side = np.array([-one[1], one[0]]) / np.linalg.norm(one)
        ax.plot(*zip(-1.2 * side, 2.2 * side, strict=True), color="C0", lw=0.8, ls="--")
        ax.set(title=title, xlim=(-2.1, 1.6), ylim=(-0.5, 2.15), aspect="equal", xlabel=r"$\theta_1$")
    axes[0].set_ylabel(r"$\theta_2$")
    plt.show()


draw_surgery()

# %% [markdown]
# A small step against the sum raises the first task's loss if the sum lies to the left of the dashed line. In the first panel, the large $g_2$ drags it there. In the second, neither task suffers.
#
# With more tasks, each gradient meets the others, **as they were
# originally**, in random order. A later cut can bring back an earlier conflict.
#
# Kurin et al. (arXiv:2201.04122) found the plain sum, with
# the usual regularisation, to do as well as PCGrad and its relatives, or better.
#
# Tasks that build on each other can be placed at different depths, a simple one at a lower layer. "First the low task, then the high one" leaves out what that needs: training on the second makes the network forget the first.
# Hashimoto et al. (arXiv:1611.01587) add a penalty against it, Sanh et al. (arXiv:1811.06031) go on training all tasks in turn.

# %% [markdown]
# ### Exercise 2.8 · A trunk for several tasks
#
# > **Difficulty** ★★☆☆ · **45 minutes**, and 15 for the optional part · **12 points** · PyTorch
#
# **Write** the network, `SharedTrunkNet`; its losses, `masked_task_losses`; the gradient of each task,
# `task_gradients`; and `multitask_backward`, which takes the place of
# `loss.backward()` in a training loop. *Optional:* `project_conflicts`, and `multitask_backward` with surgery. All work for any number of tasks, one included.
#
# <details><summary>Hint 1: NaN</summary>
#
# Replace NaN *before*
# you subtract: the prediction itself (detached) makes the difference 0. Dividing by `count.clamp(min=1)` is safe.
# </details>
#
# <details><summary>Hint 2: gradients without touching .grad</summary>
#
# `torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)` returns a tuple of tensors, zeros
# for a parameter that the loss does not depend on.
# </details>
#
# <details><summary>Hint 3: surgery</summary>
#
# Get the trunk's weighted gradients, clear `.grad`, call `backward` on the weighted sum. Then overwrite the trunk's: `vector.split([p.numel() for p in parameters])` cuts the long vector.
# </details>

# %% nbgrader={"grade": false, "grade_id": "multitask", "locked": false, "schema_version": 3, "solution": true, "task": false}
class SharedTrunkNet(nn.Module):
    """One trunk for all tasks, and on top of it a linear head for each (hard parameter sharing).

    Args:
        trunk: maps a batch of inputs to features, of shape (batch, n_features).
        n_features: the number of features.
        n_tasks: the number of tasks.

    Attributes:
        trunk: the module that was given, not a copy.
        heads: an nn.ModuleList with one nn.Linear(n_features, 1) for each task.
    """

    def __init__(self, trunk: nn.Module, n_features: int, n_tasks: int):
        super().__init__()
        ### BEGIN SOLUTION
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (batch, n_tasks): column t is what head t makes of the features. The
        trunk runs only once."""
        ### BEGIN SOLUTION
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads], dim=1)
        ### END SOLUTION


def masked_task_losses(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each task over the samples that have its label.

    Args:
        predictions: shape (batch, n_tasks), finite, but perhaps huge.
        targets: of the same shape, NaN where the label is missing; not modified.

    Returns:
        A tensor of shape (n_tasks,). The loss of a task without labels in the batch is exactly 0.

    The gradient with respect to predictions is exactly 0 where the label is missing. Calling
    backward() on a sum of the losses works in any case, also if the whole batch has no label.

    >>> masked_task_losses(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, torch.nan], [1.0, torch.nan]]))
    tensor([2.5000, 0.0000])
    """
    ### BEGIN SOLUTION
    missing = targets.isnan()
    known = torch.where(missing, predictions.detach(), targets)
    return ((predictions - known) ** 2).sum(0) / (~missing).sum(0).clamp(min=1)
    ### END SOLUTION


def task_gradients(losses: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    """The gradient of each task's loss with respect to the same parameters.

    Args:
        losses: shape (n_tasks,), computed from the parameters, as autograd knows.
        parameters: tensors of any shapes.

    Returns:
        A tensor with a row for each task: the gradients with respect to the parameters, in the
        order given, each flattened (as by reshape(-1)), side by side. A parameter that no loss
        depends on has zeros.

    No tensor's .grad is changed, be it among the parameters or not. The graph is kept: the losses can be differentiated again
    afterwards.
    """
    ### BEGIN SOLUTION
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    return torch.stack(rows)
    ### END SOLUTION


def project_conflicts(gradients: torch.Tensor) -> torch.Tensor:
    """PCGrad (Yu et al., arXiv:2001.06782, algorithm 1), up to the sum at its end.

    Row i of the result starts as row i of the gradients and meets each other row j of the gradients
    once. Where its dot product with row j, as given, is negative at that moment, its component
    along row j is removed.

    The order in which row i meets the others is random: all orders are equally likely, anew in each
    call. All rows may share one order of the tasks. It comes from a global generator: Python's,
    NumPy's or torch's.

    Args:
        gradients: shape (n_tasks, n_parameters); not modified. Rows may be zero, or as short
            as 1e-8.

    Returns:
        A tensor of the same shape. A row that meets no conflict is as it was.
    """
    ### BEGIN SOLUTION
    projected = gradients.clone()
    for i in range(len(gradients)):
        row = projected[i]  # a view: changing it in place changes projected
        for j in torch.randperm(len(gradients)).tolist():
            dot = row @ gradients[j]
            if j != i and dot < 0:
                row -= dot / (gradients[j] @ gradients[j]) * gradients[j]
    return projected
    ### END SOLUTION


def multitask_backward(
    model: nn.Module, losses: torch.Tensor, weights: list[float], surgery: bool = False
) -> None:
    """Sets .grad of all parameters of the model's trunk and heads; what was in .grad before is
    replaced. Where no loss depends on a parameter, its .grad is zero or None.

    Without surgery, they are the gradients of the sum over t of weights[t] * losses[t]. With
    surgery, the heads get the same; the trunk gets the sum of the rows of project_conflicts,
    applied to the gradients of weights[t] * losses[t] with respect to all parameters of the trunk,
    laid side by side as one vector.

    Args:
        model: a module with a trunk and heads like those of SharedTrunkNet, and no other
            parameters. All of the trunk's require gradients.
        losses: shape (n_tasks,), computed with the model.
        weights: a positive number for each task.
        surgery: whether to project.
    """
    ### BEGIN SOLUTION
    weighted = losses * torch.tensor(weights)
    parameters = list(model.trunk.parameters())
    model.zero_grad()
    weighted.sum().backward(retain_graph=surgery)
    if surgery:
        direction = project_conflicts(task_gradients(weighted, parameters)).sum(0)
        for p, piece in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
            p.grad = piece.view_as(p)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_multitask", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=1, hint="Register the heads with nn.ModuleList, and make a new nn.Linear for each.")
def has_one_trunk_and_heads():
    """The network has one trunk, a head of its own for each task, and predicts for all tasks at once."""
    def run(x):
        trunk = nn.Linear(3, 2)
        net = SharedTrunkNet(trunk, 2, 4)
        by_hand = torch.cat([head(trunk(x)) for head in net.heads], 1)
        return net(x).detach(), by_hand.detach(), sum(p.numel() for p in net.parameters())

    found, by_hand, n_parameters = probe(run, torch.randn(5, 3))
    assert found.shape == (5, 4), f"5 samples and 4 tasks give predictions of shape {tuple(found.shape)}"
    assert n_parameters == 20, f"a trunk with 8 parameters and 4 heads with 3 each have {n_parameters} in all, and not 20"
    assert torch.allclose(found, by_hand, atol=1e-5), "the predictions are not those of the heads, in their order"


@check(points=1, hint="Divide each task's sum by the number of its own labels.")
def averages_over_labels():
    """The loss of each task is the mean over the samples that have its label."""
    def run(predictions, targets):
        return masked_task_losses(predictions, targets).detach()

    predictions = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    targets = torch.tensor([[0.0, 4.0], [math.nan, math.nan], [2.0, math.nan]])
    found = probe(run, predictions, targets)
    assert found.shape == (2,), f"the losses of two tasks have shape {tuple(found.shape)}"
    assert torch.allclose(found, torch.tensor([2.5, 1.0]), atol=1e-5), f"squared errors of 1 and 4 in task 0, and of 1 in task 1, give losses of {[round(v, 3) for v in found.tolist()]}"


@check(points=1, hint="Subtract (dot product / squared length) times the other gradient, if the dot product is negative.")
def projects_a_small_conflict():
    """Optional: two gradients in conflict are projected; two that are not stay as they are."""
    def run(gradients):
        return project_conflicts(gradients).detach()

    found = probe(run, torch.tensor([[2.0, 0.0], [-3.0, 3.0]]))
    assert torch.allclose(found, torch.tensor([[1.0, 1.0], [0.0, 3.0]]), atol=1e-5), f"(2, 0) and (-3, 3) become {[tuple(round(v, 3) for v in row) for row in found.tolist()]}"
    agreeing = torch.tensor([[2.0, 0.0], [3.0, 3.0]])
    assert torch.allclose(probe(run, agreeing), agreeing), "(2, 0) and (3, 3) are not in conflict, but they change"


def is_near(found, truth, tolerance=1e-4):
    """Whether two arrays agree in shape and, up to a share of the largest entry, in their numbers."""
    found, truth = np.asarray(found, "float64"), np.asarray(truth, "float64")
    return found.shape == truth.shape and bool(np.all(np.abs(found - truth) <= tolerance * (1e-3 + np.abs(truth).max(initial=0))))


@check(points=1, hint="One call of torch.autograd.grad for each task, with retain_graph=True, also for the last.")
def separates_the_gradients():
    """The gradient of each task is a row, and neither .grad nor the graph suffers."""
    def run(matrix, vector, factors, others):
        matrix, vector = (p.clone().requires_grad_() for p in (matrix, vector))
        unused, unlisted = (torch.ones(2, 1, requires_grad=True) for _ in range(2))
        matrix.grad = torch.full_like(matrix, 7.0)
        losses = torch.stack([(a * matrix**2).sum() + (b * vector**3).sum() + unlisted.sum() for a, b in zip(factors, others, strict=True)])
        rows = task_gradients(losses, [vector, unused, matrix]).detach()
        untouched = vector.grad is None and unused.grad is None and matrix.grad is not None and bool((matrix.grad == 7).all())
        try:
            again = torch.autograd.grad(losses.sum(), vector)[0]
        except RuntimeError:
            again = None
        return rows, untouched, unlisted.grad is None, again is not None

    for n_tasks in (3, 1):
        matrix, vector = torch.randn(2, 3), torch.randn(4)
        factors, others = torch.randn(n_tasks, 2, 3), torch.randn(n_tasks, 4)
        rows, untouched, spared, kept = probe(run, matrix, vector, factors, others)
        truth = torch.cat([3 * others * vector**2, torch.zeros(n_tasks, 2), (2 * factors * matrix).flatten(1)], 1)
        if rows.shape != truth.shape:
            fail("There should be one row for each task, with an entry for each entry of each parameter.")
        if n_tasks > 1 and is_near(rows, truth.sum(0).expand(3, -1)):
            fail("Each row is the gradient of the sum of all losses.")
        if not is_near(rows, truth):
            fail("A row is not the gradient of its task's loss, flattened in the order of the parameters.")
        if not untouched:
            fail("The .grad of a parameter has changed.")
        if not spared:
            fail("The .grad of a tensor that is not among the parameters has changed.")
        if not kept:
            fail("The losses cannot be differentiated again: the graph is gone.")


@check(points=1, hint="Clear .grad, then go backward from the sum of weights[t] * losses[t], over all tasks there are.")
def weighs_three_losses():
    """Without surgery, three losses weighted 1, 10 and 100 give their weighted sum to the trunk, and to each head its own."""
    def run():
        model = nn.Module()
        model.trunk, model.heads = nn.Linear(1, 1, bias=False), nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(1.0)
                p.grad = torch.ones_like(p)
        features = model.trunk(torch.ones(1, 1))
        multitask_backward(model, torch.cat([head(features)[0] for head in model.heads]), [1.0, 10.0, 100.0])
        return model.trunk.weight.grad.item(), [head.weight.grad.item() for head in model.heads]

    trunk, heads = probe(run)
    told = "losses with gradient 1 each, weighted 1, 10 and 100, and .grad of 1 from an earlier step"
    assert abs(trunk - 111) < 1e-3, f"{told}: the trunk's gradient is {trunk:g} instead of 111"
    assert np.allclose(heads, [1, 10, 100]), f"{told}: the heads' gradients are {heads} instead of 1, 10 and 100"


### BEGIN HIDDEN TESTS
from itertools import permutations, product


@check(points=1, hint="Run the trunk once, keep its output, and give it to each head. The trunk is the module that was given.")
def heads_are_separate():
    """Each prediction depends on the trunk that was given and on its own head, and the trunk runs once."""
    def run(x, n_tasks):
        trunk, runs = nn.Sequential(nn.Linear(3, 5), nn.Tanh()), []
        trunk.register_forward_hook(lambda *_: runs.append(1))
        net = SharedTrunkNet(trunk, 5, n_tasks)
        y = net(x)
        n_runs = len(runs)
        slopes = torch.zeros(n_tasks, n_tasks + 1)
        for t in range(n_tasks):
            for s, module in enumerate([*net.heads, trunk]):
                for slope in torch.autograd.grad(y[:, t].sum(), list(module.parameters()), retain_graph=True, allow_unused=True):
                    slopes[t, s] += 0.0 if slope is None else slope.abs().sum()
        return list(y.shape), n_runs, slopes, net.trunk is trunk

    for n_samples, n_tasks in [(6, 3), (1, 4), (4, 1)]:
        shape, n_runs, slopes, is_given = probe(run, torch.randn(n_samples, 3), n_tasks)
        if shape != [n_samples, n_tasks]:
            fail(f"The predictions have the wrong shape for a batch of {n_samples} and {n_tasks} task(s).")
        if not is_given or not (slopes[:, -1] > 0).all():
            fail("The predictions should depend on the very trunk that was given.")
        if not torch.equal(slopes[:, :-1] > 0, torch.eye(n_tasks, dtype=torch.bool)):
            fail("Each prediction should depend on its own head and on no other.")
        if n_runs != 1:
            fail("The trunk should run once for a batch, not once for each task.")


@check(points=1, hint="Replace NaN before you subtract: a gradient of zero times NaN is NaN. And what is the mean of no labels?")
def missing_labels_contribute_nothing():
    """Where labels are missing, losses and gradients are right, and exactly zero where they should be."""
    def run(cases):
        results = []
        for predictions, targets, weights in cases:
            p, y = predictions.clone().requires_grad_(), targets.clone()
            losses = masked_task_losses(p, y)
            (losses * weights).sum().backward()
            results.append((losses.detach(), p.grad, y))
        return results

    cases = []
    for share, empty in [(0.0, []), (0.4, [2]), (0.6, [0, 3]), (1.0, [0, 1, 2, 3])]:
        targets = torch.randn(9, 4)
        missing = torch.rand(9, 4) < share
        missing[0], missing[:, empty] = share == 1, True
        cases.append((torch.randn(9, 4), targets.masked_fill(missing, math.nan), 0.5 + torch.rand(4)))
    cases += [(p[:1], y[:1], weights) for p, y, weights in cases]
    huge = torch.where(cases[1][1].isnan(), torch.finfo(cases[1][0].dtype).max ** 0.75, cases[1][0])  # their squares overflow
    cases.append((huge, *cases[1][1:]))
    for (predictions, targets, weights), (losses, slopes, after) in zip(cases, probe(run, cases), strict=True):
        known = ~targets.isnan()
        if not torch.equal(torch.nan_to_num(after, nan=1e9), torch.nan_to_num(targets, nan=1e9)):
            fail("The targets were modified.")
        if losses.shape != (4,) or losses.isnan().any():
            fail("There should be one loss for each task, and none of them NaN.")
        if slopes is None or slopes.isnan().any():
            fail("The gradient is NaN, or there is none.")
        if (losses[~known.any(0)] != 0).any():
            fail("The loss of a task without labels should be exactly zero.")
        if (slopes[~known] != 0).any():
            fail("Where a label is missing, the gradient should be exactly zero.")
        for t in range(4):
            chosen = known[:, t]
            if not chosen.any():
                continue
            p, y = predictions[chosen, t], targets[chosen, t]
            if not is_near(losses[t], F.mse_loss(p, y)):
                fail("A loss is not the mean squared error over the samples that have the label.")
            if not is_near(slopes[chosen, t], weights[t] * 2 * (p - y) / len(p)):
                fail("The gradient of a loss is not that of the mean squared error over the samples that have the label.")


def projected_by_student(batches):
    """For each batch the result of the student's function, and the batch afterwards."""
    results = []
    for batch in batches:
        given = batch.clone()
        results.append((project_conflicts(given).detach().clone(), given))
    return results


def residual(g, other):
    """What least squares cannot explain of g by a multiple of the other."""
    return g - other * np.linalg.lstsq(other[:, None], g, rcond=None)[0]


@check(points=1, hint="Cut only where the dot product is negative, and use both gradients as they were given. A zero gradient conflicts with nothing.")
def projects_two_gradients():
    """Optional: for two tasks, the result is the closed form; without conflict nothing changes; zeros do no harm."""
    pairs = [torch.randn(2, n) * (0.2 + 3 * torch.rand(2, 1)) for n in (2, 3, 5, 20) for _ in range(6)]
    pairs += [torch.stack([pair[0], -pair[1]]) for pair in pairs]
    special = [torch.tensor(rows) for rows in ([[1.0, 0.0], [0.0, 2.0]], [[0.0, 0.0], [1.0, -2.0]], [[3.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]])]
    special.append(torch.randn(1, 4))
    batches = pairs + special
    batches += [1e-7 * pair / pair.norm(dim=1, keepdim=True) for pair in pairs]
    for given, (answer, after) in zip(batches, probe(projected_by_student, batches), strict=True):
        if not torch.equal(given, after):
            fail("The gradients that were given were modified.")
        scale = 1e7 if 0 < given.abs().max() < 1e-6 else 1.0
        batch, found = scale * given, scale * answer
        if found.shape != batch.shape:
            fail("The result does not have the shape of the gradients.")
        if found.isnan().any():
            fail("The result has NaNs, with a gradient of zeros." if not batch.any(1).all() else "The result has NaNs.")
        rows = batch.double().numpy()
        if len(rows) < 2 or rows[0] @ rows[1] >= 0:
            if not is_near(found, rows, 1e-6):
                fail("Without a conflict, the gradients should not change.")
        else:
            for i in (0, 1):
                if not is_near(found[i], residual(rows[i], rows[1 - i])):
                    fail("In a conflict of two tasks, " + ("the first" if i == 0 else "the second") + " gradient is not the part of it that is perpendicular to the other gradient, as given.")


def possible_rows(rows, i):
    """What can become of row i, for each order in which it meets the others."""
    outcomes = []
    for order in permutations([j for j in range(len(rows)) if j != i]):
        row = rows[i]
        for j in order:
            row = residual(row, rows[j]) if row @ rows[j] < 0 else row
        outcomes.append(row)
    return np.array(outcomes)


@check(points=1, hint="Two tensors: one to read from (as given) and one to write to. For each task, a new random order of the others.")
def meets_the_others_in_random_order():
    """Optional: with more tasks, each meets the original gradients of the others, one after the other, in any order equally likely."""
    rng = np.random.default_rng(19)  # fixed: all are in conflict, and the outcomes of all orders are far apart
    spread = np.pad(np.eye(4) - 0.3, ((0, 0), (0, 2))) + 0.1 * rng.normal(size=(4, 6))
    n_calls = 150
    same = [torch.tensor(spread).to(torch.get_default_dtype())] * n_calls
    others = [torch.randn(n, 4) for n in (3, 3, 3, 3, 3, 3, 3, 3, 5, 5)]
    results = [found.double().numpy() for found, _ in probe(projected_by_student, same + others)]
    truths = [possible_rows(same[0].double().numpy(), i) for i in range(4)]
    counts = np.zeros((4, 6), int)
    for batch, found in zip(same + others, results, strict=True):
        rows = batch.double().numpy()
        for i in range(len(rows)):
            outcomes = truths[i] if batch is same[0] else possible_rows(rows, i)
            distances = np.abs(outcomes - found[i]).max(1)
            if not distances.min() < 1e-4 * (1 + np.abs(rows).max()):
                fail("With three tasks or more, there is no order of the others for which a row would come out as it does.")
            if batch is same[0]:
                counts[i, distances.argmin()] += 1
    if counts.min() < 3 or counts.max() > 60:
        fail("Over many calls, not all orders of the others are about equally frequent.")


def linear_case(weights, conflicting=None):
    """A linear trunk with a head for each weight, data, and the weighted gradients in closed form.

    Returns:
        Inputs, targets, parameters of the trunk and the heads; for each task the vector of the trunk's gradients; those of the heads.
    """
    while True:
        n_tasks = len(weights)
        x, y = np.random.normal(size=(7, 3)), np.random.normal(size=(7, n_tasks))
        matrix, offset = np.random.normal(size=(4, 3)), np.random.normal(size=4)
        heads, shifts = np.random.normal(size=(n_tasks, 4)), np.random.normal(size=n_tasks)
        features = x @ matrix.T + offset
        slopes = 2 / 7 * (features @ heads.T + shifts - y) * weights
        rows = np.array([np.concatenate([np.outer(h, s @ x).ravel(), h * s.sum()]) for h, s in zip(heads, slopes.T, strict=True)])
        lengths = np.linalg.norm(rows, axis=1)
        cosine = rows[0] @ rows[-1] / lengths[[0, -1]].prod()
        of_matrix = rows[0, :12] @ rows[-1, :12] / lengths[[0, -1]].prod()
        if conflicting is None or ((-0.9 < cosine < -0.3 and abs(cosine - of_matrix) > 0.1) if conflicting else cosine > 0.2):
            given = [torch.tensor(a).to(torch.get_default_dtype()) for a in (x, y, matrix, offset, heads, shifts)]
            return given, rows, np.concatenate([slopes.T @ features, slopes.sum(0)[:, None]], 1)


def filled_by_student(given, weights, surgery):
    """The gradients of the trunk, as one vector, and for each task those of its head, as multitask_backward leaves them."""
    x, y, matrix, offset, heads, shifts = given
    model = nn.Module()
    model.trunk = nn.Linear(3, 4)
    model.heads = nn.ModuleList(nn.Linear(4, 1) for _ in heads)
    with torch.no_grad():
        model.trunk.weight.copy_(matrix)
        model.trunk.bias.copy_(offset)
        for head, row, shift in zip(model.heads, heads, shifts, strict=True):
            head.weight.copy_(row[None])
            head.bias.copy_(shift[None])
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.7)
    features = model.trunk(x)
    losses = ((torch.cat([head(features) for head in model.heads], 1) - y) ** 2).mean(0)
    multitask_backward(model, losses, weights, surgery)
    flat = lambda module: torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.detach().reshape(-1) for p in module.parameters()])
    return flat(model.trunk), torch.stack([flat(head) for head in model.heads])


def is_left_over(surgery):
    """Whether parameters that no loss depends on keep something of their .grad."""
    def run(surgery):
        model = nn.Module()
        model.trunk, model.heads = nn.ModuleList(nn.Linear(2, 2) for _ in range(2)), nn.ModuleList(nn.Linear(2, 1) for _ in range(2))
        for p in model.parameters():
            p.grad = torch.full_like(p, 0.7)
        features = model.trunk[0](torch.ones(3, 2))
        multitask_backward(model, torch.stack([model.heads[0](features).sum(), (features**2).sum()]), [1.0, 2.0], surgery)
        unused = [*model.trunk[1].parameters(), *model.heads[1].parameters()]
        return [0.0 if p.grad is None else p.grad.abs().sum().item() for p in unused]

    return any(probe(run, surgery))


@check(points=1, hint="The weighted sum is not divided by anything, and gradients of an earlier step must not stay.")
def trunk_gets_the_weighted_sum():
    """Without surgery, the trunk gets the weighted sum of the tasks' gradients, and each head its own, by its weight."""
    for weights, conflicting in [([1.0, 1.0], True), ([0.5, 3.0], True), ([2.5, 0.25], False), ([0.5, 2.0, 3.0, 0.2], None), ([3.0], None)]:
        given, rows, of_heads = linear_case(weights, conflicting)
        trunk, heads = probe(filled_by_student, given, weights, False)
        if is_near(trunk - 0.7, rows.sum(0)):
            fail("The gradients were added to those of an earlier step.")
        if not is_near(trunk, rows.sum(0)):
            fail("The trunk's gradient is not the weighted sum of the tasks' gradients" + ("." if weights[0] != 1 else ", with all weights 1."))
        if not is_near(heads, of_heads):
            fail("The gradient of a head is not that of its task's loss, times the weight.")
    if is_left_over(False):
        fail("A parameter that no loss depends on keeps the gradient of an earlier step.")


@check(points=1, hint="One vector for all parameters of the trunk, of each task's weighted loss; project; add up; cut into pieces. The heads are left out of it.")
def surgery_is_on_the_trunk():
    """Optional: with surgery, the trunk gets the sum of the projected gradients; the heads get what they get without."""
    for weights, conflicting in [([1.0, 1.0], True), ([0.5, 3.0], True), ([2.5, 0.25], False)]:
        given, rows, of_heads = linear_case(weights, conflicting)
        trunk, heads = probe(filled_by_student, given, weights, True)
        truth = residual(rows[0], rows[1]) + residual(rows[1], rows[0]) if conflicting else rows.sum(0)
        if is_near(trunk - 0.7, truth):
            fail("The gradients were added to those of an earlier step.")
        if conflicting and is_near(trunk, rows.sum(0)):
            fail("Two tasks are in conflict, but the trunk gets the plain sum.")
        if not is_near(trunk, truth):
            fail("The trunk's gradient is not the sum of the projected gradients" + (" of two tasks in conflict." if conflicting else ", although there is no conflict: it should be the plain sum."))
        if not is_near(heads, of_heads):
            fail("With surgery, the gradients of the heads should be as without.")
    if is_left_over(True):
        fail("With surgery, a parameter that no loss depends on keeps the gradient of an earlier step.")


@check(points=1, hint="Nothing in multitask_backward may count on two tasks.")
def surgery_for_any_number():
    """Optional: with surgery, three tasks and one give the trunk the sum of the projected gradients, for some order of the others."""
    for weights in ([0.5, 2.0, 1.5], [1.0, 3.0, 0.3], [3.0]):
        given, rows, of_heads = linear_case(weights)
        trunk, heads = probe(filled_by_student, given, weights, True)
        sums = [sum(parts) for parts in product(*(possible_rows(rows, i) for i in range(len(rows))))]
        if not any(is_near(trunk, truth) for truth in sums):
            fail(f"With surgery and {len(rows)} task(s), no order of the tasks would give the trunk such a gradient.")
        if not is_near(heads, of_heads):
            fail(f"With surgery and {len(rows)} task(s), the gradients of the heads should be as without.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What a rich task can do for a poor one
#
# Your functions, on these tasks. **Left:** the first task has 100 labels, the second only a few. **Right:** the worst case, one unit and two unrelated tasks.

# %% tags=["demo", "raises-exception"]
def fit_tasks(data, width, seed, surgery=False, n_steps=100, every=0):
    """Trains a SharedTrunkNet; returns the test error of each task at the end, or along the way."""
    x, y, x_test, y_test = data
    torch.manual_seed(seed)
    net = SharedTrunkNet(nn.Sequential(nn.Linear(6, width), nn.Tanh()), width, y.shape[1])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05, fused=True)
    path = []
    for step in range(n_steps):
        multitask_backward(net, masked_task_losses(net(x), y), [1.0] * y.shape[1], surgery)
        optimizer.step()
        if (every and step % every == 0) or step == n_steps - 1:
            with torch.no_grad():
                path.append(((net(x_test) - y_test) ** 2).mean(0))
    return torch.stack(path) if every else path[-1]


def draw_transfer(width=1):
    fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.3))
    label_counts = [6, 12, 25, 50]
    for columns, name, style in [(slice(1, 2), "alone", "s--C1"), (slice(0, 2), r"with a related task ($\rho$ = 0.95)", "o-C0")]:
        medians = []
        for n_labels in label_counts:
            errors = []
            for seed in range(3):
                x, y, x_test, y_test = (a[0] for a in related_tasks(0.95, 1, 100, seed))
                y[n_labels:, 1] = torch.nan
                errors.append(fit_tasks((x, y[:, columns], x_test, y_test[:, columns]), 1, seed)[-1])
            medians.append(torch.stack(errors).median())
        axes[0].plot(label_counts, medians, style, ms=5, label=name)
    axes[0].set(title="The poor task, one hidden unit", xlabel="labels of the poor task", ylabel="its test MSE (median of 3 runs)", xscale="log", ylim=(0, None))
    axes[0].set_xticks(label_counts, labels=[str(n) for n in label_counts])
    axes[0].minorticks_off()
    axes[0].legend(fontsize=9)
    x, y, x_test, y_test = data = tuple(a[0] for a in related_tasks(0.0, 1, 100, 3))
    for surgery, name, style in [(False, "plain sum", "-C0"), (True, "PCGrad", "--C2")]:
        try:
            path = fit_tasks(data, width, 0, surgery, n_steps=200, every=10)
        except NotImplementedError:
            print(f"The curve of one trunk with the {name} needs more of exercise 2.8.")
            continue
        axes[1].plot(np.arange(len(path)) * 10, path.mean(1), style, label=f"one trunk, {name}")
    alone = [fit_tasks((x, y[:, t : t + 1], x_test, y_test[:, t : t + 1]), width, 0, n_steps=200, every=10) for t in (0, 1)]
    axes[1].plot(np.arange(len(alone[0])) * 10, torch.cat(alone, 1).mean(1), ":C1", lw=2, label="a network for each")
    axes[1].set(title=f"Unrelated tasks, {width} hidden unit{'s' * (width > 1)}", xlabel="step", ylabel="test MSE, mean of both tasks", ylim=(0, None))
    axes[1].legend(fontsize=9)
    plt.show()


try:
    draw_transfer()
except NotImplementedError:
    print("This figure needs your network, losses and multitask_backward of exercise 2.8.")

# %% [markdown]
# With a dozen labels, the poor task gains much: the trunk
# has learnt from the other's labels. With 50 there is nothing left to gain. On the right, surgery or not, the error stays far
# above that of separate networks: the trunk is too small. PCGrad even ends above the plain sum (0.38 against 0.33).
#
# **Change, predict, run.** Call `draw_transfer(width=2)`. Which of the three curves on the right will change most?
#
# <details><summary>Answer</summary>
#
# Both curves of one trunk: two units have room for two directions. They fall from over 0.3 to about 0.01, even below the separate networks (0.02).
# </details>
