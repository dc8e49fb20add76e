# %% [markdown]
# ## 5.2 A learning rate for every width
#
# The largest model can be trained once, so its learning rate is not searched for. It is found on a narrower model, and one hopes. **Predict first:** if a network gets four times as wide, is its best learning rate larger, smaller or the same?
#
# ### Why the best rate moves
#
# Adam moves each weight by about the learning rate $\eta$, however large the gradient is (exercise 2.2). A unit with $n$ inputs adds up $n$ products. *At the start* their signs are random: with weights of size $1/\sqrt n$ the sum has size 1, for any $n$. But the *changes* of the weights have the signs of the gradient, which comes from these same inputs. They do not cancel: the sum changes by about $n\,\eta$. A network of four times the width takes steps of four times the size.
#
# The **maximal update parametrization**, muP, keeps the steps of all layers equal (Yang et al., arXiv:2203.03466, table 3). It looks at each tensor's **fan-in**, the number of inputs of one unit, and **fan-out**, the number of units. From a base model to a wider one, the fan-in grows by a factor $r$, or not at all:
#
# | tensor | fan-in | fan-out | initial standard deviation | Adam's rate |
# |---|---|---|---|---|
# | input: first layer, embeddings, biases, gains | stays | grows or stays | $\times\, 1$ | $\times\, 1$ |
# | hidden | grows | grows | $\times\, 1/\sqrt r$ | $\times\, 1/r$ |
# | output | grows | stays | $\times\, 1/r$ | $\times\, 1/r$ |
#
# The **standard** parametrization has $1/\sqrt r$ for the output, too, and one rate for all. In muP the output starts smaller, because training aligns it with what reaches it: then these terms do not cancel, either.
#
# A fan-in or fan-out *grows* if it is larger in the wider model than in the base. A vector has a fan-in of 1 in both, so it is an input in every layer, also in the last one.
#
# A shape alone does not say which row applies. `nn.Linear(w, V)` has a weight of shape $(V, w)$ and a fan-in of $w$. `nn.Embedding(V, w)` has the same shape; but looking up a row is a product with a vector of $V$ numbers, all 0 except one. Its fan-in is $V$.
#
# ### Two measurements
#
# The **coordinate check** (from the authors' package, github.com/microsoft/mup) trains several widths for a few steps and measures by how much the outputs of each layer have changed. On a logarithmic scale on both axes, the slope against the width should be 0.
#
# The **transfer penalty**: train the wide network with the best rate of the narrow one. How far is the loss above that with its own best rate?

# %% [markdown]
# ### Exercise 5.2 · muP
#
# > **Difficulty** ★★★☆ · **50 minutes** · **10 points** · PyTorch
#
# **Given** is a network of any width. **Write** four functions.
#
# <details><summary>Hint 1: fan-in and fan-out</summary>
#
# `model.named_modules()` gives each layer with its name, `layer.named_parameters(prefix=name, recurse=False)` its own tensors under their full names. `isinstance(layer, nn.Embedding)` tells what the shape does not.
# </details>
#
# <details><summary>Hint 2: changing weights in place</summary>
#
# Under `torch.no_grad()`, `tensor.mul_(number)`. The parameters stay the same objects, so an optimizer finds them.
# </details>
#
# <details><summary>Hint 3: runs that diverge</summary>
#
# `np.argmin` returns the place of a NaN if there is one. `np.nanmean` forgets the runs that went wrong. Make them infinite first.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_widths", "locked": true, "schema_version": 3, "solution": false, "task": false}
def perceptron(width: int) -> nn.Sequential:
    """A network from (B, 64) numbers to (B, 10) logits with two hidden layers."""
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


# %% nbgrader={"grade": false, "grade_id": "widths", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mup_table(model: nn.Module, base: nn.Module) -> dict[str, tuple[float, float]]:
    """By what muP multiplies each tensor's initial standard deviation and its learning rate, from a base model to a wider one.

    Both have the same layers, with the same names, and no two layers share a matrix. Matrices belong to nn.Linear (weight:
    fan-out × fan-in) or nn.Embedding (weight: fan-in × fan-out); any other parameter, a bias or a gain, is a vector, with a
    fan-in of 1. A fan-in or fan-out grows if it is larger in `model` than in `base`, not everywhere by the same factor: r is a
    tensor's own fan-in in `model`, divided by that in `base`.

    Returns:
        For each name of `model.named_parameters()` two numbers, (for the standard deviation, for Adam's rate), by the table of the text.

    >>> mup_table(perceptron(256), perceptron(64))["2.weight"]
    (0.5, 0.25)
    """
    ### BEGIN SOLUTION
    def fans(network):
        found = {}
        for prefix, layer in network.named_modules():
            for name, tensor in layer.named_parameters(prefix=prefix, recurse=False):
                if tensor.dim() == 1:
                    found[name] = 1, len(tensor)
                else:
                    found[name] = tuple(tensor.shape) if isinstance(layer, nn.Embedding) else tuple(tensor.shape[::-1])
        return found

    table, narrow = {}, fans(base)
    for name, (fan_in, fan_out) in fans(model).items():
        r = fan_in / narrow[name][0]
        is_output = fan_out == narrow[name][1]
        table[name] = (1 / r if is_output else r**-0.5), 1 / r
    return table
    ### END SOLUTION


def apply_mup(model: nn.Module, base: nn.Module, table: dict[str, tuple[float, float]], lr: float) -> list[dict]:
    """Scales a model's initial weights in place, and makes the parameter groups for torch.optim.Adam.

    Each parameter of two or more dimensions is multiplied by one number. Afterwards the root of the mean of its squares is that of
    the parameter in `base` times the first number of its entry in the table. The number is positive, or 0 if the parameter
    is all zeros in `base`. Vectors keep their values. `base` is not changed.

    Args:
        model: with initial values; no matrix is all zeros, and no two layers share one. Its parameters stay the same objects,
            and can be trained.
        base: with initial values, and the same names.
        table: such as `mup_table` returns it; any positive numbers.
        lr: the learning rate of the base model.

    Returns:
        Groups {"params": [...], "lr": ...}, as many as you like, with each parameter of `model` in exactly one; its
        rate is lr times the second number of its entry.

    >>> optimizer = torch.optim.Adam(apply_mup(model, base, mup_table(model, base), lr=0.01))
    """
    ### BEGIN SOLUTION
    initial, groups = dict(base.named_parameters()), []
    for name, tensor in model.named_parameters():
        std, rate = table[name]
        if tensor.dim() > 1:
            with torch.no_grad():
                tensor.mul_(std * initial[name].square().mean().sqrt() / tensor.square().mean().sqrt())
        groups.append({"params": [tensor], "lr": lr * rate})
    return groups
    ### END SOLUTION


def coordinate_slopes(widths: list[int], changes: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """How the changes of each layer grow with the width: as its power of what exponent?

    For each seed, a least-squares line through the logarithms of the changes, against the logarithms of the widths, has a slope.

    Args:
        widths: n different ones, at least two, in any order and at any distances.
        changes: for each layer (S, n), positive: a row for each of at least two seeds.

    Returns:
        For each layer the mean of the S slopes and its standard error: their standard deviation, with S - 1 in the
        denominator, divided by the root of S.

    >>> coordinate_slopes([10, 20], {"out": np.array([[1.0, 2.0], [1.0, 1.0]])})
    {'out': (0.5, 0.5)}
    """
    ### BEGIN SOLUTION
    x = np.log(widths)
    x = x - x.mean()
    found = {}
    for layer, values in changes.items():
        slopes = np.log(values) @ x / (x @ x)
        found[layer] = float(slopes.mean()), float(slopes.std(ddof=1) / math.sqrt(len(slopes)))
    return found
    ### END SOLUTION


def transfer_penalty(narrow: np.ndarray, wide: np.ndarray) -> float:
    """How much the wide network loses with the narrow network's best learning rate.

    The best rate of a network has the smallest mean loss over the seeds; of equal ones, the first. A rate at which any
    run diverged has an infinite mean.

    Args:
        narrow, wide: (S, R) and (S', R) final losses, a row for each seed and a column for each of R rates, the same in both; a run that
            diverged has NaN or infinity. Each network has a rate at which no run diverged. Not changed.

    Returns:
        The wide network's mean loss at the narrow one's best rate, minus that at its own best rate: 0 or more, perhaps infinity.

    >>> transfer_penalty(np.array([[3.0, 2.5, 2.75]]), np.array([[2.0, 2.25, np.nan]]))
    0.25
    """
    ### BEGIN SOLUTION
    small, large = (np.where(np.isnan(losses), np.inf, losses).mean(axis=0) for losses in (narrow, wide))
    return float(large[small.argmin()] - large.min())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_widths", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import functools

check = Checks(points=10)


def pair_is(found, wanted):
    """Whether two numbers are those, up to rounding."""
    return len(found) == 2 and all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in zip(found, wanted, strict=True))


@check(points=1, hint="The first layer's fan-in is 64 in both, so it is an input; the last layer's fan-out stays. A bias has a fan-in of 1.")
def tables_a_perceptron():
    """For a perceptron four times as wide, the table has the numbers that you get by hand."""
    found = probe(lambda: dict(mup_table(perceptron(256), perceptron(64))))
    wanted = {"0.weight": (1, 1), "0.bias": (1, 1), "2.weight": (0.5, 0.25), "2.bias": (1, 1), "4.weight": (0.25, 0.25), "4.bias": (1, 1)}
    if set(found) != set(wanted):
        fail(f"The names are {sorted(found)} instead of {sorted(wanted)}.")
    for name, pair in wanted.items():
        if not pair_is(found[name], pair):
            fail(f"{name} has {tuple(found[name])} instead of {pair}.")


@check(points=1, hint="Measure the root mean square of both matrices; multiply by the wanted one over the one that is there.")
def prepares_a_layer():
    """For a single layer, size and learning rate are those of a table with the numbers 3 and 5."""
    def run():
        model, base = nn.Linear(6, 2), nn.Linear(3, 2)
        groups = apply_mup(model, base, {"weight": (3.0, 5.0), "bias": (1.0, 1.0)}, 0.5)
        rates = [[group["lr"] for group in groups for p in group["params"] if p is tensor] for tensor in (model.weight, model.bias)]
        return model.weight.detach(), base.weight.detach(), rates

    weight, base, rates = probe(run)
    times = (weight.square().mean() / base.square().mean()).sqrt().item()
    if not math.isclose(times, 3, rel_tol=1e-4):
        fail(f"Its weights are {times:.3f} times as large as the base's, where 3 is asked for.")
    for name, found, wanted in (("weight", rates[0], 2.5), ("bias", rates[1], 0.5)):
        if len(found) != 1:
            fail(f"The {name} is in {len(found)} groups.")
        if not math.isclose(found[0], wanted):
            fail(f"The rate of the {name} is {found[0]} instead of {wanted}.")


@check(points=0.5, hint="Logarithms on both axes. The standard error has S - 1 in the denominator, then the root of S.")
def finds_slopes_by_hand():
    """Changes that grow like the width, and like its root, have slopes 1 and 0.5; for two seeds the error is half of their distance."""
    found = coordinate_slopes([16, 64, 256], {"a": np.array([[1.0, 4.0, 16.0], [3.0, 6.0, 12.0]])})
    if set(found) != {"a"} or not pair_is(found["a"], (0.75, 0.25)):
        fail(f"It gives {found} instead of {{'a': (0.75, 0.25)}}.")


@check(points=0.5, hint="Choose the rate by the narrow network's means; read both losses in the wide network's.")
def finds_a_penalty_by_hand():
    """For two seeds and three rates, the penalty is the one that you get by hand."""
    found = transfer_penalty(np.array([[3.0, 2.0, 2.5], [3.0, 2.5, 2.25]]), np.array([[2.0, 2.5, 3.0], [1.5, 2.25, 4.0]]))
    if not math.isclose(found, 0.625):
        fail(f"It is {found} instead of 2.375 - 1.75 = 0.625.")


### BEGIN HIDDEN TESTS
class Tiny(nn.Module):
    """The layers of a language model in which matrices are not square; it is never run."""

    def __init__(self, width, inner, vocabulary):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(5, width)
        self.norm = nn.LayerNorm(width)
        self.block = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width, bias=False))
        self.middle = nn.ModuleDict({"square": nn.Linear(width, width), "heads": nn.Linear(width, 3 * width, bias=False)})
        self.extra = nn.Linear(7, width)
        self.output = nn.Linear(width, vocabulary)
        self.score = nn.Linear(inner, 1)


KINDS = {
    "input": ["tokens.weight", "positions.weight", "extra.weight"],
    "vector": ["norm.weight", "norm.bias", "block.0.bias", "middle.square.bias", "extra.bias", "output.bias", "score.bias"],
    "hidden": ["block.0.weight", "block.2.weight", "middle.square.weight", "middle.heads.weight"],
    "output": ["output.weight", "score.weight"],
}
INNER = ("block.2.weight", "score.weight")  # their fan-in is the inner width


@functools.cache
def tiny_tables():
    """What mup_table says for several pairs of sizes: [(ratio of the width, of the inner width, table)]."""
    # In some, the vocabulary is as large as one of the widths, so that sizes alone mislead.
    pairs = [((8, 32, 11), (24, 96, 11)), ((8, 24, 20), (20, 60, 20)), ((16, 64, 16), (32, 128, 16)), ((6, 10, 9), (12, 50, 9)), ((4, 16, 4), (64, 256, 4)), ((8, 16, 300), (12, 24, 300))]

    def run(pairs):
        return [dict(mup_table(Tiny(*wide), Tiny(*narrow))) for narrow, wide in pairs]

    return [(wide[0] / narrow[0], wide[1] / narrow[1], table) for (narrow, wide), table in zip(pairs, probe(run, pairs), strict=True)]


def entries(*kinds):
    """For each tensor of these kinds: its name, its ratio of the fan-in, and what was returned."""
    for outer, inner, table in tiny_tables():
        if set(table) != {name for names in KINDS.values() for name in names}:
            fail("The table does not have the names of the parameters.")
        for kind in kinds:
            for name in KINDS[kind]:
                yield name, inner if name in INNER else outer, table[name]


@check(points=1, hint="nn.Linear has (fan-out, fan-in). r is the ratio of the fan-ins, whatever the shape of the matrix.")
def hidden_matrices_are_right():
    """Hidden matrices start smaller by the root of r and learn slower by r, whether they are square or not."""
    for name, r, found in entries("hidden"):
        if not pair_is(found, (1 / math.sqrt(r), 1 / r)):
            fail(f"The numbers of {name} are wrong, where its fan-in grows by {r:g}.")


@check(points=1, hint="nn.Embedding(V, w) and nn.Linear(w, V) have weights of the same shape. The fan-in of an embedding is V, which does not grow.")
def inputs_and_outputs_are_told_apart():
    """Embeddings and first layers keep their size and rate; output matrices start smaller and learn slower, both by r."""
    for name, _, found in entries("input"):
        if not pair_is(found, (1, 1)):
            fail(f"{name} is an input, and does not keep its size and rate.")
    for name, r, found in entries("output"):
        if not pair_is(found, (1 / r, 1 / r)):
            fail(f"The numbers of {name} are wrong, an output whose fan-in grows by {r:g}.")


@check(points=0.5, hint="A vector's fan-in is 1 in both models, wherever the vector stands.")
def vectors_keep_their_rates():
    """Biases and gains keep size and rate: inside, too, where the vector grows with the width."""
    for name, _, found in entries("vector"):
        if not pair_is(found, (1, 1)):
            fail(f"{name} is a vector, and does not keep its size and rate.")


PAIRS = {name: (0.5 + i / 7, 2.0 / (3 + i)) for i, name in enumerate(sorted(name for names in KINDS.values() for name in names))}


@functools.cache
def prepared():
    """Both models before and after apply_mup, what one step of Adam moves, and how often each parameter is in a group."""
    def run(pairs, lr):
        def values(network):
            return {name: p.detach().clone() for name, p in network.named_parameters()}

        base, model = Tiny(4, 12, 9), Tiny(10, 36, 9)
        with torch.no_grad():
            base.output.weight.zero_()  # often recommended
            for network in (base, model):
                for p in network.parameters():
                    p.add_(0.05)  # a mean that is not zero, and norms that are not one
            base.output.weight.zero_()
        before, base_before, own = values(model), values(base), dict(model.named_parameters())
        groups = apply_mup(model, base, dict(pairs), lr)
        after, base_after = values(model), values(base)
        listed = [id(p) for group in groups for p in group["params"]]
        counts = {name: listed.count(id(p)) for name, p in own.items()}
        same = all(p is own[name] and p.requires_grad and p.is_leaf for name, p in model.named_parameters())
        for p in own.values():
            p.grad = torch.ones_like(p)
        torch.optim.Adam(groups).step()  # its first step is the learning rate, for any gradient
        steps = {name: (after[name] - p.detach()).mean().item() for name, p in own.items()}
        return before, base_before, after, base_after, counts, len(listed), same, steps

    return probe(run, PAIRS, 0.02)


@check(points=1, hint="tensor.mul_(number) with number = first entry × root mean square in the base / root mean square here; only for matrices.")
def weights_are_scaled():
    """Each matrix is multiplied by one number and gets the size that table and base ask for; vectors and the base stay as they are."""
    before, base_before, after, base_after, *_ = prepared()
    if any(not torch.equal(base_before[name], base_after[name]) for name in base_before):
        fail("The base model was changed.")
    for name, tensor in before.items():
        if tensor.dim() == 1:
            if not torch.equal(after[name], tensor):
                fail("A vector was changed.")
            continue
        size = PAIRS[name][0] * base_before[name].double().square().mean().sqrt()
        wanted = tensor.double() * size / tensor.double().square().mean().sqrt()
        if not torch.allclose(after[name].double(), wanted, rtol=1e-4, atol=1e-7):
            fail("A matrix of zeros in the base is not one of zeros afterwards." if size == 0 else "A matrix does not have the size that is asked for, or was not multiplied by one positive number.")


@check(points=1, hint="The second number of the tensor's own entry, times lr. Every parameter belongs to a group, vectors too.")
def adam_takes_the_right_steps():
    """Each parameter is in exactly one group, can be trained, and Adam moves it by lr times its number."""
    *_, counts, n_listed, same, steps = prepared()
    if not same:
        fail("The parameters of the model are not the same objects as before, or cannot be trained.")
    if set(counts.values()) != {1} or n_listed != len(counts):
        fail("A parameter is in no group, or in several.")
    for name, step in steps.items():
        if not math.isclose(step, 0.02 * PAIRS[name][1], rel_tol=1e-3):
            fail("Adam's first step with these groups is not lr times the table's second number.")


@check(points=1, hint="One line for each seed, then the mean of the slopes. Subtract the mean of log(width) before you divide.")
def slopes_are_regressions():
    """Slopes and errors agree with scipy's regression, for any widths, layers and numbers of seeds."""
    from scipy.stats import linregress, sem

    for widths, n_seeds in [([64, 128, 256, 512], 4), ([100, 30, 7], 2), ([1024, 8], 5), ([10, 11, 500, 40, 3], 3)]:
        changes = {layer: np.exp(np.random.normal(2, 1, (n_seeds, len(widths)))) for layer in ("first", "second", "third")}
        found = probe(lambda widths, changes: dict(coordinate_slopes(widths, changes)), widths, changes)
        if set(found) != set(changes):
            fail("There is not one entry for each layer.")
        for layer, values in changes.items():
            slopes = [linregress(np.log(widths), np.log(row)).slope for row in values]
            if not math.isclose(found[layer][0], np.mean(slopes), rel_tol=1e-6, abs_tol=1e-9):
                fail(f"A slope is wrong for {len(widths)} widths.")
            if not math.isclose(found[layer][1], sem(slopes), rel_tol=1e-6, abs_tol=1e-9):
                fail(f"A standard error is wrong for {n_seeds} seeds.")


def penalty_by_hand(narrow, wide):
    """The definition, in plain Python."""
    def means(losses):
        columns = [[row[j] for row in losses.tolist()] for j in range(losses.shape[1])]
        return [math.inf if any(not math.isfinite(loss) for loss in column) else math.fsum(column) / len(column) for column in columns]

    small, large = means(narrow), means(wide)
    return large[small.index(min(small))] - min(large)


@check(points=1.5, hint="Means over the seeds first; NaN and infinity make a mean infinite, and neither is ever the best. The rate is chosen by the narrow network alone.")
def penalties_are_right():
    """The penalty is that of the definition: where seeds disagree, where runs diverged, where means are equal."""
    nan, inf = np.nan, np.inf
    cases = {
        "seeds that disagree": [(np.random.normal(2.5, 0.3, (s, 7)), np.random.normal(2.5, 0.3, (t, 7))) for s, t in ((3, 3), (2, 5), (1, 4)) for _ in range(5)],
        "runs that diverged": [
            (np.array([[2.0, nan, 1.0], [2.5, 1.0, nan]]), np.array([[2.0, 1.5, 1.0], [2.0, 1.5, 1.75]])),
            (np.array([[2.0, 3.0, 4.0]]), np.array([[nan, 2.5, 2.25], [1.0, 2.0, 2.5]])),
            (np.array([[2.0, 1.0, inf], [2.0, 1.5, 0.1]]), np.array([[inf, 2.0, 3.0], [1.0, 2.5, 1.0]])),
            (np.array([[3.0, 1.0, 2.0]]), np.array([[2.0, 4.0, 3.0], [0.5, inf, 3.0]])),
        ],
        "equal means": [(np.array([[2.0, 1.0, 1.0, 3.0]]), np.array([[2.0, 3.0, 1.5, 1.0]])), (np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([[4.0, 3.0]]))],
    }
    for what, pairs in cases.items():
        for narrow, wide in pairs:
            found, *after = probe(lambda narrow, wide: (float(transfer_penalty(narrow, wide)), narrow, wide), narrow.copy(), wide.copy())
            if not (np.array_equal(after[0], narrow, equal_nan=True) and np.array_equal(after[1], wide, equal_nan=True)):
                fail("The losses were changed.")
            wanted = penalty_by_hand(narrow, wide)
            if not (found == wanted or abs(found - wanted) < 1e-9):
                fail(f"It is wrong with {what}.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### The coordinate check
#
# Your functions, on five steps of Adam with the rate 0.001, at widths from 64 to 1,024, with four seeds. **Predict:** in the standard parametrization, which lines rise? By the argument above, how fast?

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def draw_coordinate_check(widths=(64, 128, 256, 512, 1024), seeds=4, rate=0.001, steps=5):
    def changes(width, how, seed):
        torch.manual_seed(seed)
        x, y = torch.randn(32, 64), torch.randint(10, (32,))
        model, base = perceptron(width), perceptron(widths[0])
        if how == "muP":
            optimizer = torch.optim.Adam(apply_mup(model, base, mup_table(model, base), rate))
        else:
            optimizer = torch.optim.Adam(model.parameters(), rate)

        def outputs():
            with torch.no_grad():
                return [model[: end + 1](x) for end in (0, 2, 4)]

        before = outputs()
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        return [(a - b).abs().mean().item() for a, b in zip(outputs(), before, strict=True)]

    layers = ("first layer", "hidden layer", "output")
    try:
        measured = {how: np.array([[changes(width, how, seed) for width in widths] for seed in range(seeds)]) for how in ("standard", "muP")}
        slopes = {how: coordinate_slopes(list(widths), {layer: values[:, :, i] for i, layer in enumerate(layers)}) for how, values in measured.items()}
    except NotImplementedError:
        print("This figure needs mup_table, apply_mup and coordinate_slopes. Write them first.")
        return
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), sharey=True)
    for ax, (how, values) in zip(axes, measured.items(), strict=True):
        for i, layer in enumerate(layers):
            slope, error = slopes[how][layer]
            ax.plot(widths, values[:, :, i].mean(0), ["o-", "s--", "^:"][i], color=f"C{i}", label=f"{layer}: slope {slope:+.2f} ± {error:.2f}")
        ax.set(xscale="log", yscale="log", xlabel="width", title=how)
        ax.set_xticks(widths, labels=[str(width) for width in widths])
        ax.minorticks_off()
        ax.legend(fontsize=8.5, loc="upper left")
        ax.set_ylim(top=3 * max(v.max() for v in measured.values()))
    axes[0].set_ylabel("mean change of an output")
    plt.show()


draw_coordinate_check()

# %% [markdown]
# In the standard parametrization, the changes of the hidden layer grow like the width to the power .70, those of the output like 1.07. (After one step only: .87 and 1.20.) The hidden layer's falls short of 1 as not all terms have the same sign. The output's exceeds 1 for another reason: its inputs have changed as well, and along its own weights. With muP, all slopes are within .05 of 0.
#
# ### Your GPT at two widths
#
# Now the GPT of chapter 1 in small: two blocks, on the bytes of its text, for 80 steps. It gets an output matrix of its own, so that all rows of the table occur, and its embeddings start at .3. (Heads stay 8 wide: a wider network has more of them. Wider heads would also need scores divided by their width instead of its root.) In muP, width 32 is the base.
#
# The figure takes about a minute. **Predict:** in which panel do the stars, the lowest losses, stand above each other? Does muP also make the lowest loss lower?

# %% tags=["demo", "raises-exception", "nbval-ignore-output"]
def draw_transfer(widths=(32, 128), exponents=range(-9, -3), seeds=(0,), steps=80, embedding=0.3):
    from autograder import gpt

    training, validation = (torch.tensor(list(text.encode())) for text in lesson.corpus())
    validation = validation[:8193]

    class OwnOutput(gpt.GPT):
        def __init__(self, width):
            super().__init__(256, context=32, width=width, layers=2, heads=width // 8)
            self.output = nn.Linear(width, 256, bias=False)
            for table in (self.tokens, self.positions):
                nn.init.normal_(table.weight, std=embedding)

        def forward(self, x):
            hidden = self.tokens(x) + self.positions.weight[: x.shape[1]]
            for block in self.blocks:
                hidden = block(hidden)
            return self.output(self.norm(hidden))

    def final_loss(width, how, rate, seed):
        torch.manual_seed(seed)
        model, base = OwnOutput(width), OwnOutput(widths[0])
        groups = apply_mup(model, base, mup_table(model, base), rate) if how == "muP" else [{"params": model.parameters(), "lr": rate}]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 10, 1 - step / steps))
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        return gpt.train(model, optimizer, training, validation, steps, steps, context=32, seed=seed)[-1]

    rates = [2.0**exponent for exponent in exponents]
    try:
        apply_mup(perceptron(2), perceptron(1), mup_table(perceptron(2), perceptron(1)), 1.0)
        transfer_penalty(np.ones((1, 2)), np.ones((1, 2)))
        losses = {
            (how, width): np.array([[final_loss(width, how, rate, seed) for rate in rates] for seed in seeds])
            for how in ("standard", "muP") for width in widths if how == "standard" or width != widths[0]
        }
        losses["muP", widths[0]] = losses["standard", widths[0]]  # at the base width nothing changes
        penalties = {how: transfer_penalty(losses[how, widths[0]], losses[how, widths[-1]]) for how in ("standard", "muP")}
    except NotImplementedError:
        print("This figure needs mup_table, apply_mup and transfer_penalty. Write them first.")
        return
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
    for ax, (how, penalty) in zip(axes, penalties.items(), strict=True):
        for i, width in enumerate(widths):
            mean = losses[how, width].mean(0)
            best = int(mean.argmin())
            ax.plot(rates, mean, ["o-", "s--", "^:"][i], color=f"C{i}", label=f"width {width}")
            ax.plot(rates[best], mean[best], "*", color=f"C{i}", ms=17, mec="black", zorder=3)
        ax.set_xscale("log", base=2)
        ax.set(xlabel="learning rate", title=f"{how}: penalty {penalty:.2f}")
        ax.legend(fontsize=9, loc="upper center")
    lowest = min(values.mean(0).min() for values in losses.values())
    axes[0].set(ylabel="validation loss (nats per byte)", ylim=(lowest - 0.05, lowest + 0.6))
    axes[1].set_xlabel("learning rate of the base")
    plt.show()


draw_transfer()

# %% [markdown]
# **The standard minimum walks to the left, muP's stands still.** In the figure (one seed), the best rate goes from $2^{-6}$ to $2^{-7}$ in the standard parametrization, and stays at $2^{-6}$ in muP. With the rate of width 32, width 128 loses .09 nats in the one and nothing in the other. In three earlier runs of a network like this one, each with a seed of its own, the best rate went from $2^{-5}$ to $2^{-7}$, $2^{-5}$ to $2^{-8}$ and $2^{-6}$ to $2^{-7}$; in muP, from $2^{-5}$ to $2^{-5}$, $2^{-5}$ to $2^{-6}$ and $2^{-6}$ to $2^{-5}$, and there the neighbours were nearly equal; width 128 lost .07 to .26 nats in the standard parametrization, and .00 to .01 in muP.
#
# **It does not make the network better.** The *lowest* losses of width 128 were equal within .004 in the three runs, and in the figure muP's is .03 *higher* (2.59 against 2.56). Whoever can afford to search at the full width gains nothing; muP saves the search. With embeddings that start at .02, as in chapter 1, it is .08 higher (2.77 against 2.69, one seed).
#
# **It is no law.** Rates can transfer in other parametrizations, too, with a rate for each layer, and one of those did better than muP (Everett et al., arXiv:2407.05872). Under AdamW, most of the gain seems to come from the embedding's rate, which the standard parametrization keeps too small (Kalra and Barkeshli, arXiv:2605.21486). And the assumptions about signs hold only early in training; later, it is weight decay that keeps the changes equal across widths (Kosson et al., arXiv:2510.19093). What this section shows is early: 80 steps. And only the width grows: depth, batch and length of training are further questions.
#
# **Change, predict, run.** `draw_transfer(widths=(32, 256))` takes a few minutes. With the best rate of width 32, will the network of width 256 be better than that of width 32, in the standard parametrization? And in muP?
#
# <details><summary>Answer</summary>
#
# In an earlier run of a network like this one (one seed), width 256 was *worse* than width 32 in the standard parametrization, 2.74 against 2.64 nats, although it has far more parameters. In muP it was better, 2.45. In yours the numbers will be different: which of the two answers stays the same?
# </details>
