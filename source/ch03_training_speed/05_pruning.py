# %% [markdown]
# ## 3.5 Pruning
#
# "Pruning reduces the number of parameters and speeds up training." Here, a small network loses 90 % of its weights, the smallest ones, to `torch.nn.utils.prune`. **Predict:** what is left of
# the operations of a forward pass, and of the bytes of the saved model?

# %% tags=["demo"]
def count_after_pruning(share=0.9):
    import warnings

    from torch.nn.utils import prune
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]

    def show(name):
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 64))
        size = sum(tensor.nbytes for tensor in model.state_dict().values())
        zeros = sum(int((layer.weight == 0).sum()) for layer in layers) / sum(layer.weight.numel() for layer in layers)
        print(f"{name:37s} {counter.get_total_flops():10,d} {size:8,d} {zeros:7.0%}")

    print(f"{'':37s} {'operations':>10s} {'bytes':>8s} {'zeros':>7s}")
    show("as it was")
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=share)
    show("pruned by torch.nn.utils.prune")
    for layer in layers:
        prune.remove(layer, "weight")
    show("and made permanent, by prune.remove")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this format a beta version
        sparse = [layer.weight.detach().to_sparse_csr() for layer in layers]
    size = sum(part.nbytes for matrix in sparse for part in (matrix.values(), matrix.col_indices(), matrix.crow_indices()))
    print(f"{'the weights as sparse matrices':37s} {'':10s} {size + sum(layer.bias.nbytes for layer in layers):8,d}")


count_after_pruning()

# %% [markdown]
# No operation is saved: a zero is multiplied like any other number. The bytes **double**, as torch keeps the old weights beside a mask. ("Pruning doesn't affect speed nor memory usage", says PyTorch's
# issue 36214; the functions' author answers: "Correct, it doesn't.") Sparse matrices are smaller, but not a tenth: each weight left has an index of 8 bytes beside its own 4.
#
# To save operations, zeros have to form a pattern that the hardware knows, such as two in each group of four (Mishra et al., arXiv:2104.08378), or **whole units** have to go, so that the matrices get smaller.
#
# Nor is training faster: usually one trains, prunes, and trains again (Han et al., arXiv:1506.02626).
#
# ### What to remove, and how it stays away
#
# Remove the weights of smallest magnitude: ranking all layers together (**global**), or each by itself.
#
# Then train on, and removed weights come back. Setting their gradients to zero is not enough: momentum, $v \leftarrow \beta v + 0$, goes on moving them; so does Adam's running mean. A mask $m$ **after** the step has the last word:
#
# $$\theta \leftarrow m \odot \text{step}(\theta), \qquad m_i \in \{0, 1\}.$$
#
# ### Taking a unit out
#
# In $y = W_2\, \phi(W_1 x + b_1) + b_2$, a unit is superfluous in two cases. If its column of $W_2$ is zero, nobody hears it. If its row of $W_1$ is zero, it says the same for every $x$,
# and what it says can move into $b_2$.

# %% [markdown]
# ### Exercise 3.5 · Prune, train on, shrink
#
# > **Difficulty** ★★★☆ · **45 minutes** · **12 points** · PyTorch
#
# **Write** `global_mask` (without `torch.nn.utils.prune`, which fails in the hidden checks), `masked_step` and `shrink_units`.
#
# <details><summary>Hint 1: exactly that many</summary>
#
# A threshold takes all of several equal weights, or none. Join all magnitudes (`torch.cat`), and find the *places* of the smallest (`argsort`, `topk`). `torch.split` undoes the joining.
# </details>
#
# <details><summary>Hint 2: what a silent unit says</summary>
#
# Unit $j$ says $\phi(b_{1,j})$, and the next layer multiplies that by column $j$ of $W_2$. Without a bias: what is $\phi(0)$ for the sigmoid?
# </details>

# %% nbgrader={"grade": false, "grade_id": "pruning", "locked": false, "schema_version": 3, "solution": true, "task": false}
def global_mask(weights: list[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Says which weights stay if a share of all of them, the smallest in magnitude, is removed.

    Of the n entries of all tensors together, exactly round(share * n) are removed (Python's round).
    No removed entry has a larger magnitude than one that stays, wherever the two stand. Which one
    of several equal magnitudes is removed is up to you.

    Args:
        weights: one tensor or more, each with an entry or more, of any shapes, all of float32 or
            all of float64, finite. They may be parameters. Not modified.
        share: from 0 to 1, both included.

    Returns:
        For each tensor a tensor of Booleans (torch.bool) of its shape: True where an entry stays.

    >>> global_mask([torch.tensor([3.0, -2.0]), torch.tensor([[1.0, -5.0]])], 0.5)
    [tensor([ True, False]), tensor([[False,  True]])]
    """
    ### BEGIN SOLUTION
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    stays = torch.ones_like(magnitudes, dtype=torch.bool)
    stays[magnitudes.argsort()[: round(share * len(magnitudes))]] = False
    parts = stays.split([weight.numel() for weight in weights])
    return list(map(torch.Tensor.view_as, parts, weights))
    ### END SOLUTION


def masked_step(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], masks: list[torch.Tensor]) -> None:
    """Takes one step of the optimizer after which removed weights are zero.

    Afterwards each entry whose mask is False is exactly zero, whatever it was before, and whatever
    the optimizer does: momentum, weight decay. Every other entry, and every parameter that is not
    in weights, is where optimizer.step() would have taken it. A weight without gradient (None),
    which optimizers skip, obeys its mask all the same.

    Weights are changed in place: what shares their memory sees it. Gradients are neither deleted
    nor changed, except where a mask is False: there, they and the optimizer's state are up to you.

    Args:
        optimizer: treats each entry by itself, as SGD and AdamW do. Its step() is called once.
        weights: parameters of the optimizer, each once, contiguous in memory or not; finite before
            the step and after it.
        masks: for each weight a tensor of Booleans of its shape, False where it is removed. Not
            modified.

    >>> w = nn.Parameter(torch.tensor([1.0, 2.0])); w.grad = torch.ones(2)
    >>> masked_step(torch.optim.SGD([w], lr=0.5), [w], [torch.tensor([True, False])])  # w is now [0.5, 0]
    """
    ### BEGIN SOLUTION
    optimizer.step()
    with torch.no_grad():
        for i, weight in enumerate(weights):
            weight.masked_fill_(~masks[i], 0)
    ### END SOLUTION


def shrink_units(first: nn.Linear, activation, second: nn.Linear) -> tuple[nn.Linear, nn.Linear]:
    """Removes the superfluous units between two layers; what they compute together stays the same.

    A unit is superfluous if all its incoming weights (its row of first.weight) are exactly zero, or
    if all its outgoing weights (its column of second.weight) are; its bias does not matter for
    this. Exactly these units are removed, perhaps none, perhaps all. The others keep their order.
    For every input x, new_second(activation(new_first(x))) equals second(activation(first(x))) up
    to rounding.

    Args:
        first: with or without bias, float32 or float64, as second.
        activation: takes and returns a tensor of any shape, each number by itself, such as
            nn.ReLU() or torch.sigmoid. It may work in place.
        second: with or without bias.

    Returns:
        Two new layers, (new_first, new_second), of the same type as the given ones. Their
        in_features and out_features are those of their matrices, and their parameters can be
        trained if the given ones can. The first one has a bias if the given one has, the second one
        always has. The given layers are not modified, and the new ones have memory of their own.

    >>> first, second = nn.Linear(3, 4), nn.Linear(4, 2)
    >>> with torch.no_grad(): first.weight[1] = 0
    >>> shrink_units(first, torch.relu, second)[0].weight.shape
    torch.Size([3, 3])
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        varies = (first.weight != 0).any(dim=1)
        stays = varies & (second.weight != 0).any(dim=0)
        before = first.weight.new_zeros(first.out_features) if first.bias is None else first.bias.clone()
        shift = second.weight[:, ~varies] @ activation(before)[~varies]
        new_first = nn.Linear(first.in_features, int(stays.sum()), bias=first.bias is not None)
        new_first.weight = nn.Parameter(first.weight[stays])
        if first.bias is not None:
            new_first.bias = nn.Parameter(first.bias[stays])
        new_second = nn.Linear(int(stays.sum()), second.out_features)
        new_second.weight = nn.Parameter(second.weight[:, stays])
        new_second.bias = nn.Parameter(shift if second.bias is None else shift + second.bias)
    return new_first, new_second
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_pruning", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=1, hint="One ranking of the magnitudes of all tensors together. A mask says what stays.")
def prunes_two_small_tensors():
    """Of two tensors, the smaller half of all magnitudes is removed."""
    weights = [torch.tensor([3.0, -4.0, 2.0]), torch.tensor([[1.0], [-0.5], [0.1]])]

    def run(weights):
        return global_mask(weights, 0.5)

    found = probe(run, weights)
    assert found is not None, "global_mask returned nothing: is there a return?"
    assert len(found) == 2, f"{len(found)} masks for two tensors"
    rows = [mask.flatten().tolist() for mask in found]
    assert rows not in ([[True, False, False], [False, False, True]], [[True, True, False], [True, False, False]]), "each tensor was pruned by itself, instead of both by one ranking"
    assert rows != [[False] * 3, [True] * 3], "the large weights were removed: True means that a weight stays"
    assert rows[0] != [True, False, True], "-4 is the largest of all in magnitude, and was removed: a small magnitude counts, not a small value"
    assert rows == [[True] * 3, [False] * 3], f"of the magnitudes 3, 4, 2 and 1, 0.5, 0.1, the masks keep {rows}"


@check(points=1, hint="Momentum and weight decay move a weight whose gradient is zero. What is done after the step has the last word.")
def removed_weights_do_not_come_back():
    """With SGD and momentum, removed weights are zero after each step, and others move as usual."""
    def run():
        weight = nn.Parameter(torch.tensor([1.0, 2.0, -3.0, 0.5]))
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
        mask, path = torch.tensor([True, False, True, False]), []
        for number in range(4):
            weight.grad = torch.tensor([1.0, 1.0, -2.0, 1.0])
            if number < 2:
                optimizer.step()
            else:
                masked_step(optimizer, [weight], [mask])
            path.append(weight.tolist())
        return path

    path = probe(run)
    for number, row in enumerate(path[2:], 1):
        removed, others = [row[1], row[3]], [row[0], row[2]]
        assert removed == [0, 0], f"after masked step {number}, the two removed weights are {[round(value, 3) for value in removed]} instead of zero"
        truth = [[1 - 0.561, -3 + 1.122], [1 - 0.9049, -3 + 1.8098]][number - 1]
        assert all(abs(a - b) < 1e-4 for a, b in zip(others, truth, strict=True)), f"after masked step {number}, the other weights are {[round(value, 4) for value in others]}, and with optimizer.step() alone {truth}"


@check(points=1, hint="A unit with incoming weights of zero still says activation(bias), and the next layer hears it.")
def shrinks_a_small_network():
    """Two of three units are superfluous: they are removed, and the outputs stay the same."""
    def run(x):
        first, second = nn.Linear(2, 3), nn.Linear(3, 1)
        with torch.no_grad():
            first.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, -1.0], [2.0, 1.0]]))
            first.bias.copy_(torch.tensor([1.0, 0.5, -1.0]))
            second.weight.copy_(torch.tensor([[2.0, 3.0, 0.0]]))
            second.bias.copy_(torch.tensor([0.25]))
        layers = shrink_units(first, torch.relu, second)
        if layers is None:
            return None
        return list(layers[0].weight.shape), list(layers[1].weight.shape), layers[1](torch.relu(layers[0](x))).detach()

    found = probe(run, torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]))
    assert found is not None, "shrink_units returned nothing: is there a return?"
    assert found[:2] == ([1, 2], [1, 1]), f"one of three units should be left: matrices of shapes (1, 2) and (1, 1), not {tuple(found[0])} and {tuple(found[1])}"
    off = (found[2].flatten() - torch.tensor([3.75, 9.75, 2.25])).tolist()
    assert max(map(abs, off)) < 1e-5, f"the outputs are off by {[round(value, 3) for value in off]}" + (": that is what the unit with a bias of 1 said, times its outgoing weight of 2" if max(abs(value + 2) for value in off) < 1e-5 else "")


### BEGIN HIDDEN TESTS
PRUNE = (
    *("torch.nn.utils.prune.global_unstructured", "torch.nn.utils.prune.l1_unstructured", "torch.nn.utils.prune.random_unstructured"),
    *("torch.nn.utils.prune.ln_structured", "torch.nn.utils.prune.custom_from_mask"),
    *("torch.nn.utils.prune.L1Unstructured.compute_mask", "torch.nn.utils.prune.LnStructured.compute_mask"),
)


def masks_of(cases):
    """The student's masks for pairs of weights and a share, and what becomes of the weights."""
    def run(cases):
        results = []
        with forbidden(*PRUNE):
            for weights, share in cases:
                found = global_mask(weights, share)
                results.append((found, [weight.detach() for weight in weights]))
        return results

    return probe(run, cases)


def expect_masks(found, weights):
    """Fails unless there is a mask of the right shape and type for each tensor."""
    if found is None or len(found) != len(weights):
        fail("There is not one mask for each tensor.")
    for mask, weight in zip(found, weights, strict=True):
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            fail("A mask is not a tensor of Booleans.")
        if mask.shape != weight.shape:
            fail("A mask does not have the shape of its tensor.")


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def masks_by_torch(weights, share):
    """What torch.nn.utils.prune keeps."""
    from torch.nn.utils import prune

    modules = []
    for weight in weights:
        module = nn.Module()
        module.weight = nn.Parameter(weight.clone().contiguous())
        modules.append(module)
    prune.global_unstructured([(module, "weight") for module in modules], prune.L1Unstructured, amount=share)
    return [module.weight_mask.bool() for module in modules]


@check(points=1, hint="abs, cat, one argsort. Magnitudes must not be rounded or squared, nor compared with the mean of their layer.")
def ranks_all_tensors_together():
    """Without ties, the masks are those of torch.nn.utils.prune, for tensors of different sizes, scales, shapes and types."""
    cases = []
    for dtype, spread in [(torch.float64, 1.0), (torch.float32, 1.0), (torch.float32, 30.0), (torch.float64, 200.0)]:
        count = 24 + 5 + 36 + 1 + 12
        magnitudes = 10.0 ** (spread * (torch.randperm(count, dtype=torch.float64) / count * 2 - 1))
        values = (magnitudes * (torch.randint(2, (count,)) * 2 - 1)).to(dtype)
        shapes = [(4, 6), (5,), (2, 3, 3, 2), (), (3, 4)]
        weights = [part.reshape(shape) for part, shape in zip(values.split([24, 5, 36, 1, 12]), shapes, strict=True)]
        weights[4] = weights[4].T  # another order in memory
        weights[0] = weights[0] * 1e-3  # a layer of small weights
        cases += [(weights, share) for share in (0.25, 0.5, 0.9)]
    cases.append(([torch.tensor([[1.0, -2.0, 3.0]])], 1 / 3))
    for (weights, share), (found, _) in zip(cases, masks_of(cases), strict=True):
        expect_masks(found, weights)
        truth = masks_by_torch(weights, share)
        removed, magnitudes = ~flat(found), flat(weights).abs()
        if all(torch.equal(a, b) for a, b in zip(found, truth, strict=True)):
            continue
        if torch.equal(flat(found), ~flat(truth)):
            fail("The masks are True where a weight is removed.")
        if removed.any() and not removed.all() and magnitudes[removed].max() > magnitudes[~removed].min():
            fail("A weight was removed that is larger in magnitude than one that stays.")
        fail("The smallest weights are removed, but more or fewer of them than round(share * n).")


@check(points=1, hint="Remove the first k places of a ranking. A threshold takes all of several equal weights, or none. What is zero already counts as a weight.")
def counts_exactly():
    """Exactly round(share * n) weights are removed, also with ties, with zeros, and at the ends 0 and 1."""
    tied = torch.tensor([1.0, -1, 1, -1, 1, 2, -3, 4, 5, 6])
    zeros = torch.tensor([0.0, 0, 0, 0, -0.0, 1, 2, 3, 4, 5])
    numbers = torch.rand(100, dtype=torch.float64) + 1
    cases = [([tied[:6].reshape(2, 3), tied[6:]], share) for share in (0.1, 0.3, 0.5, 0.7)]
    cases += [([torch.full((3, 4), -0.5), torch.full((8,), 0.5)], share) for share in (0.0, 0.05, 0.4, 0.9, 1.0)]
    cases += [([zeros[3:], zeros[:3]], share) for share in (0.2, 0.5, 0.6, 0.8)]
    cases += [([numbers[:40], numbers[40:]], share) for share in (0.0, 0.29, 0.57, 0.999, 1.0)]
    cases += [([numbers[:5]], share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]  # halves: rounded to even
    cases += [([numbers[:1], numbers[1:3]], share) for share in (0.3, 0.6)]
    for (weights, share), (found, _) in zip(cases, masks_of(cases), strict=True):
        expect_masks(found, weights)
        removed, magnitudes = ~flat(found), flat(weights).abs()
        if int(removed.sum()) != round(share * len(removed)):
            where = "where weights are equal in magnitude" if len(set(magnitudes.tolist())) < len(magnitudes) else f"with a share of {share:g}" if share in (0, 1) else "where share * n is no whole number"
            fail(f"{'More' if removed.sum() > round(share * len(removed)) else 'Fewer'} than round(share * n) weights were removed, {where}.")
        if removed.any() and not removed.all() and magnitudes[removed].max() > magnitudes[~removed].min():
            fail("A weight was removed that is larger in magnitude than one that stays.")


@check(points=1, hint="A mask is a new tensor of Booleans. Multiplying by it is a later step.")
def masks_leave_weights_alone():
    """Weights may be parameters, and are not modified; the same weights give masks of equal shape again."""
    def run(weights):
        with forbidden(*PRUNE):
            parameters = [nn.Parameter(weight.clone()) for weight in weights]
            for parameter in parameters:
                parameter.grad = torch.ones_like(parameter)
            first = global_mask(parameters, 0.5)
            second = global_mask(parameters, 0.25)
            clean = all(p.requires_grad and p.is_leaf and bool((p.grad == 1).all()) for p in parameters) and torch.is_grad_enabled()
            return first, second, [p.detach() for p in parameters], clean

    weights = [torch.randn(3, 4), torch.randn(4), torch.randn(2, 2, 2)]
    first, second, after, clean = probe(run, weights)
    for found, share in ((first, 0.5), (second, 0.25)):
        expect_masks(found, weights)
        if int((~flat(found)).sum()) != share * 24:  # whole numbers: how they are rounded does not matter here
            fail("A first call does not remove its share." if share == 0.5 else "A second call, with a different share, does not remove its own share: does something stay from the call before?")
    if not all(torch.equal(a, b) for a, b in zip(after, weights, strict=True)):
        fail("The weights were modified.")
    if not clean:
        fail("The weights do not require gradients any more, or have other gradients.")


class SignMomentum(torch.optim.Optimizer):
    """An optimizer that torch does not have: steps of equal length, by the sign of a running mean."""

    def __init__(self, params):
        super().__init__(params, dict(lr=0.0625))

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.grad is not None:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.mul_(0.75).add_(p.grad)
                p.sub_(self.param_groups[0]["lr"] * (mean.sign() + 0.125 * p))


OPTIMIZERS = {
    "SGD": lambda ps: torch.optim.SGD(ps, lr=0.1),
    "SGD with momentum": lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    "SGD with weight decay": lambda ps: torch.optim.SGD(ps, lr=0.1, weight_decay=0.5),
    "AdamW": lambda ps: torch.optim.AdamW(ps, lr=0.1, weight_decay=0.3),
    "RMSprop": lambda ps: torch.optim.RMSprop(ps, lr=0.01, momentum=0.5),
    "an optimizer of its own": SignMomentum,
}
SHAPES = [(3, 4), (5,), (2, 2, 3), (4,)]


def masked_journey(make, starts, gradients, masks, dense):
    """Parameters after each step; the first steps are the optimizer's own, the others masked_step's. The last parameter has no mask."""
    parameters = [start.clone().requires_grad_() for start in starts]
    optimizer, path = make(parameters), []
    for number, step in enumerate(gradients):
        for p, gradient in zip(parameters, step, strict=True):
            p.grad = None if gradient is None else gradient.clone()
        if number < dense:
            optimizer.step()
        else:
            masked_step(optimizer, parameters[:3], masks)
        path.append([p.detach().clone() for p in parameters])
    return path


def free_journey(make, starts, gradients, masks, dense):
    """The same, of entries that are what they are: after the step, zeros are put where a mask is False, by indices."""
    parameters = [start.clone().requires_grad_() for start in starts]
    optimizer, path = make(parameters), []
    for number, step in enumerate(gradients):
        for p, gradient in zip(parameters, step, strict=True):
            p.grad = None if gradient is None else gradient.clone()
        optimizer.step()
        path.append([p.detach().clone() for p in parameters])
    return path


def journeys(dense=3, steps=8, seldom=False):
    """Starts, gradients and masks, and the student's path with each optimizer."""
    starts = [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]
    gradients = [[torch.randn(shape, dtype=torch.float64) for shape in SHAPES] for _ in range(steps)]
    masks = [torch.rand(shape) < 0.5 for shape in SHAPES[:3]]
    for mask, start in zip(masks, starts, strict=False):
        mask.view(-1)[:2] = torch.tensor([True, False])
        start.view(-1)[0] = 0.0  # a weight that stays and begins at zero
    starts[0] = starts[0].T.contiguous().T  # the same, not contiguous in memory
    if seldom:
        for step in gradients:
            step[1] = None
    cases = [(make, starts, gradients, masks, dense) for make in OPTIMIZERS.values()]

    def run(cases):
        return [masked_journey(*case) for case in cases]

    return cases, probe(run, cases)


@check(points=1, hint="Let the optimizer make its step first, then put zeros. Before the step, nothing is safe: momentum and decay move weights without gradients.")
def removed_weights_stay_zero():
    """With six optimizers, after dense steps and at once, removed weights are exactly zero after each masked step."""
    for dense, seldom in [(3, False), (0, False), (2, True)]:
        cases, paths = journeys(dense, 6, seldom)
        for name, (_, _, _, masks, _), path in zip(OPTIMIZERS, cases, paths, strict=True):
            for row in path[dense:]:
                wrong = [i for i, mask in enumerate(masks) if not torch.isfinite(row[i]).all() or (row[i][~mask] != 0).any()]
                if wrong == [0]:
                    fail("A removed weight is not zero where a parameter is not contiguous in memory: there, reshape(-1) is a copy.")
                if seldom and wrong == [1]:
                    fail("A removed weight without gradient (None) is not zero.")
                if wrong:
                    fail(f"With {name}, a removed weight is not zero after a masked step.")


@check(points=1, hint="Other entries: exactly what optimizer.step() does with them, with its state. Do not decide by weight == 0 what was removed: the mask says it.")
def other_weights_move_as_usual():
    """With six optimizers, weights that stay and parameters without mask go where optimizer.step() takes them. Training a masked layer equals training a smaller one."""
    for dense in (3, 0):
        cases, paths = journeys(dense)
        for (name, case), path in zip(zip(OPTIMIZERS, cases, strict=True), paths, strict=True):
            truth = free_journey(*case)
            for found, right in zip(path, truth, strict=True):
                if not torch.allclose(found[3], right[3], rtol=0, atol=1e-9):
                    fail(f"With {name}, a parameter that has no mask does not go where optimizer.step() takes it.")
                for a, b, mask, start in zip(found, right, case[3], case[1], strict=False):
                    if not torch.allclose(a[mask], b[mask], rtol=0, atol=1e-9):
                        at_zero = torch.allclose(a[mask & (start != 0)], b[mask & (start != 0)], rtol=0, atol=1e-9)
                        fail(f"With {name}, a weight that stays does not go where optimizer.step() takes it" + (": it was zero at first." if at_zero else "."))

    x, y, begin = torch.randn(20, 6, dtype=torch.float64), torch.randn(20, 3, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    columns = torch.tensor([0, 2, 3, 5])
    allowed = torch.zeros(3, 6, dtype=torch.bool)
    allowed[:, columns] = True

    def masked(x, y, begin, allowed):
        weight = nn.Parameter(begin * allowed)
        optimizer = torch.optim.AdamW([weight], lr=0.05, weight_decay=0.1)
        for _ in range(6):
            optimizer.zero_grad()
            F.mse_loss(x @ weight.T, y).backward()
            masked_step(optimizer, [weight], [allowed])
        return weight.detach()

    def small(x, y, begin):
        weight = nn.Parameter(begin.clone())
        optimizer = torch.optim.AdamW([weight], lr=0.05, weight_decay=0.1)
        for _ in range(6):
            optimizer.zero_grad()
            F.mse_loss(x @ weight.T, y).backward()
            optimizer.step()
        return weight.detach()

    if not torch.allclose(probe(masked, x, y, begin, allowed)[:, columns], small(x[:, columns], y, begin[:, columns]), atol=1e-8):
        fail("Training a layer in which some inputs are masked does not give the weights of a layer that never had these inputs.")


@check(points=1, hint="One call of optimizer.step(). Change parameters inside torch.no_grad(), by operations that end in an underscore, and leave gradients and masks as they are.")
def steps_once_and_in_place():
    """The optimizer steps once, weights keep their memory, gradients of the weights that stay, and masks, are as before, and nothing of a call stays for the next."""
    def run(start, gradient, mask):
        weight, other = (nn.Parameter(start.clone()) for _ in range(2))
        optimizer = torch.optim.SGD([weight, other], lr=0.1, momentum=0.5)
        calls = []
        optimizer.register_step_post_hook(lambda *_: calls.append(1))
        shared, given = weight.detach(), mask.clone()
        weight.grad, other.grad = gradient.clone(), gradient.clone()
        masked_step(optimizer, [weight], [given])
        clean = torch.is_grad_enabled() and weight.requires_grad and weight.is_leaf
        torch.set_grad_enabled(True)
        found = len(calls), weight.detach().clone(), shared.clone(), given, weight.grad.clone() if weight.grad is not None else None, other.grad, clean
        weight.grad = gradient.clone()
        masked_step(optimizer, [weight], [~mask])
        return *found, weight.detach() == 0

    start, gradient = torch.randn(3, 5), torch.randn(3, 5)
    mask = torch.tensor([[True, False, True, True, False]] * 3)
    calls, weight, shared, after, own, other, clean, zero_later = probe(run, start, gradient, mask)
    if calls != 1:
        fail(f"optimizer.step() was called {calls} times instead of once.")
    if not torch.equal(weight, shared):
        fail("The weight got new memory: a tensor that shared it still has the old values.")
    if not torch.equal(after, mask):
        fail("The mask was modified.")
    if own is None or other is None:
        fail("Gradients were deleted.")
    if not (torch.equal(other, gradient) and torch.equal(own[mask], gradient[mask])):
        fail("A gradient was changed where nothing is removed.")
    if not clean:
        fail("Afterwards a weight does not require gradients, or torch's gradient mode is switched off.")
    if not torch.equal(zero_later, mask):
        fail("A second step, with a different mask, does not obey its own mask alone: does something stay from the call before?")


ACTIVATIONS = {
    "ReLU": torch.relu,
    "ReLU in place": nn.ReLU(inplace=True),
    "the sigmoid": nn.Sigmoid(),
    "GELU": F.gelu,
    "the cosine": torch.cos,
}


def layer_tensors(n_in, units, n_out, biases=(True, True), silent=(), unheard=(), dtype=torch.float64):
    """Weights and biases of two layers: [W1, b1 or None, W2, b2 or None]."""
    tensors = [torch.randn(units, n_in), torch.randn(units) if biases[0] else None, torch.randn(n_out, units), torch.randn(n_out) if biases[1] else None]
    tensors = [tensor if tensor is None else tensor.to(dtype) for tensor in tensors]
    tensors[0][list(silent)] = 0
    tensors[2][:, list(unheard)] = 0
    return tensors


def make_layers(tensors):
    layers = []
    for weight, bias in (tensors[:2], tensors[2:]):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
        with torch.no_grad():
            layer.weight.copy_(weight)
            if bias is not None:
                layer.bias.copy_(bias)
        layers.append(layer)
    return layers


def shrunk(cases):
    """For tensors, an activation and inputs: weights and biases of the student's layers, their outputs, counted operations, the given layers afterwards, and the sizes that the new ones state."""
    def run(cases):
        from torch.utils.flop_counter import FlopCounterMode

        results = []
        for tensors, activation, x in cases:
            first, second = make_layers(tensors)
            new = shrink_units(first, activation, second)
            if not isinstance(new, (tuple, list)) or len(new) != 2 or not all(isinstance(layer, nn.Linear) for layer in new):
                results.append(None)
                continue
            if any(part.dtype != x.dtype for layer in new for part in layer.parameters()):
                results.append("type")
                continue
            with FlopCounterMode(display=False) as counter:
                y = new[1](activation(new[0](x))).detach()
            parts = [None if part is None else part.detach().clone() for layer in new for part in (layer.weight, layer.bias)]
            given = [None if part is None else part.detach().clone() for layer in (first, second) for part in (layer.weight, layer.bias)]
            results.append((parts, y, counter.get_total_flops(), given, [[layer.in_features, layer.out_features] for layer in new]))
        return results

    results = probe(run, cases)
    if any(result is None for result in results):
        fail("What comes back is not a pair of layers of the class nn.Linear.")
    if "type" in results:
        fail("The new layers are of a different type (float32, float64) than the given ones.")
    return results


def output_of(tensors, activation, x):
    return F.linear(activation(F.linear(x, tensors[0], tensors[1])), tensors[2], tensors[3])


@check(points=1, hint="What moves into the next bias is the outgoing weight times activation(bias of the removed unit), and activation(0) if there is no bias.")
def outputs_stay_the_same():
    """For five activations, with and without biases, with units that are silent, unheard or both, the outputs are the same."""
    cases, x = [], 3 * torch.randn(7, 3, dtype=torch.float64)
    names = []
    for name, activation in ACTIVATIONS.items():
        for biases in [(True, True), (False, True), (True, False), (False, False)]:
            cases.append((layer_tensors(3, 8, 5, biases, silent=(1, 4, 6), unheard=(2, 6)), activation, x))
            names.append((name, biases))
    cases.append((layer_tensors(3, 6, 2), torch.sigmoid, x))
    names.append(("the sigmoid", (True, True)))
    for (name, biases), case, (_, y, *_) in zip(names, cases, shrunk(cases), strict=True):
        truth = output_of(*case)
        if y.shape != truth.shape or not torch.allclose(y, truth, rtol=0, atol=1e-9):
            which = {(True, True): "", (False, True): ", where the first layer has no bias", (True, False): ", where the second layer has no bias", (False, False): ", where the layers have no biases"}[biases]
            fail(f"With {name}, the outputs are not the same{which}.")


@check(points=1, hint="Zero means exactly zero, and all of them: weights may cancel in a sum, and a small weight is a weight. A bias is no incoming weight. Either side is enough.")
def removes_exactly_the_superfluous():
    """Units without incoming or without outgoing weights are removed, and no others; the operations that are left are counted."""
    x = torch.randn(4, 3, dtype=torch.float64)
    cancelling = layer_tensors(3, 5, 2)
    cancelling[0][1] = torch.tensor([1.0, -1.0, 0.0])
    cancelling[2][:, 2] = torch.tensor([0.5, -0.5])
    tiny = layer_tensors(3, 4, 2)
    tiny[0][0] = torch.tensor([0.0, 0.0, 1e-20])
    tiny[2][:, 3] = torch.tensor([-1e-20, 0.0])
    negative = layer_tensors(3, 4, 2, silent=(2,))
    negative[0][0] = torch.tensor([-0.0, 0.0, -0.0])
    no_bias = layer_tensors(3, 4, 2)
    no_bias[1][:2] = 0.0  # a bias of zero makes no unit superfluous
    cases = [
        ("Units with no incoming weights are", layer_tensors(3, 7, 2, silent=(0, 3, 5)), [1, 2, 4, 6]),
        ("Units with no outgoing weights are", layer_tensors(3, 7, 2, unheard=(1, 6)), [0, 2, 3, 4, 5]),
        ("Where some units have no incoming and others no outgoing weights, they are", layer_tensors(3, 7, 2, silent=(0,), unheard=(0, 4)), [1, 2, 3, 5, 6]),
        ("Units whose weights sum to zero, or are partly zero, are not", cancelling, [0, 1, 2, 3, 4]),
        ("Units with very small weights are not", tiny, [0, 1, 2, 3]),
        ("Units with incoming weights of 0 and -0 are", negative, [1, 3]),
        ("Units with a bias of zero are not", no_bias, [0, 1, 2, 3]),
        ("Where no layer has a bias, units without incoming weights are", layer_tensors(3, 5, 2, (False, False), silent=(4,)), [0, 1, 2, 3]),
        ("All units are", layer_tensors(3, 3, 2, silent=(0, 2), unheard=(1,)), []),
    ]
    results = shrunk([(tensors, torch.sigmoid, x) for _, tensors, _ in cases])
    for (what, tensors, stay), (parts, y, operations, _, sizes) in zip(cases, results, strict=True):
        if parts[0].shape != (len(stay), 3) or parts[2].shape != (2, len(stay)):
            fail(f"{what} superfluous, and the new layers have a different number of units." if stay else "All units are superfluous here, so none should be left.")
        if not (torch.equal(parts[0], tensors[0][stay]) and torch.equal(parts[2], tensors[2][:, stay])):
            fail("The units that stay have other weights than before, or a different order.")
        if sizes != [[3, len(stay)], [len(stay), 2]]:
            fail("The new layers have other in_features or out_features than their matrices.")
        if operations != 2 * 4 * len(stay) * (3 + 2):
            fail("The new layers need more or fewer operations than two multiplications by their smaller matrices.")
        if not torch.allclose(y, output_of(tensors, torch.sigmoid, x), rtol=0, atol=1e-9):
            fail(f"{what} superfluous, and the outputs are not the same.")


def trained_apart(cases):
    """Whether the new parameters can be trained, and what adding 1 to each of them does to the given layers."""
    results = []
    for tensors in cases:
        first, second = make_layers(tensors)
        new = shrink_units(first, torch.relu, second)
        parameters = [part for layer in new for part in layer.parameters()]
        old = [part for layer in (first, second) for part in layer.parameters()]
        before = [part.detach().clone() for part in old]
        trainable = all(isinstance(part, nn.Parameter) and part.requires_grad and part.is_leaf for part in parameters)
        clean = torch.is_grad_enabled() and all(part.requires_grad for part in old)
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(1)
        results.append((trainable, clean, before, [part.detach() for part in old]))
    return results


def expect_apart(cases):
    """Fails unless the new layers can be trained without a change of the given ones."""
    for trainable, clean, before, after in probe(trained_apart, cases):
        if not trainable:
            fail("A parameter of the new layers cannot be trained.")
        if not clean:
            fail("Afterwards, the given layers do not require gradients, or torch's gradient mode is switched off.")
        if not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)):
            fail("The new layers share memory with the given ones: training them changes the old network.")


@check(points=1, hint="Make new layers, also if nothing is removed; copy what you take out of the old ones. An activation may work in place: never give it a bias itself.")
def layers_are_new():
    """The layers are new ones of the same type, with the biases that are promised, and the given ones stay as they are."""
    cases, x = [], torch.randn(4, 3)
    for dtype in (torch.float32, torch.float64):
        for biases in [(True, True), (False, True), (True, False), (False, False)]:
            for silent in ((), (1, 3)):
                cases.append((layer_tensors(3, 5, 2, biases, silent, (0,) if silent else (), dtype), nn.ReLU(inplace=True), x.to(dtype)))
    for (tensors, *_), (parts, y, _, given, _) in zip(cases, shrunk(cases), strict=True):
        for before, after in zip(tensors, given, strict=True):
            if (before is None) != (after is None) or (before is not None and not torch.equal(before, after)):
                fail("A given layer was modified.")
        if (parts[1] is None) != (tensors[1] is None):
            fail("The new first layer should have a bias if the given one has, and none otherwise.")
        if parts[3] is None:
            fail("The new second layer should always have a bias.")
    expect_apart([layer_tensors(3, 5, 2), layer_tensors(3, 5, 2, silent=(2,)), layer_tensors(3, 5, 2, (False, False))])


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What is left
#
# Networks that read digits now lose single weights, and are trained on for 100 steps with your `masked_step` (left). Your `shrink_units` removes superfluous units (right). A second group loses whole units.
# A third one is as small from the start, and trained for as many steps. **Predict:** with 90 % of the weights gone, how many operations go?

# %% tags=["demo", "raises-exception"]
def draw_pruned(one_ranking=False, seeds=3, hidden=(128, 64), extra=100):  # noqa: PLR0915
    from itertools import pairwise

    from sklearn.datasets import load_digits
    from torch.utils.flop_counter import FlopCounterMode

    images, digits = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = images.float() / 16

    def linear(model):
        return [layer for layer in model if isinstance(layer, nn.Linear)]

    def chain(layers):
        return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]

    def make(sizes):
        return chain([nn.Linear(a, b) for a, b in zip((64, *sizes), (*sizes, 10), strict=True)])

    def train(model, steps, masks=None):
        weights = [layer.weight for layer in linear(model)]
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        generator = torch.Generator().manual_seed(0)
        for _ in range(steps):
            rows = torch.randint(1000, (64,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(images[rows]), digits[rows]).backward()
            masked_step(optimizer, weights if masks else [], masks or [])
        return model

    def pruned(model, masks):
        model = copy.deepcopy(model)
        with torch.no_grad():
            for layer, mask in zip(linear(model), masks, strict=True):
                layer.weight.mul_(mask)
        return model

    def accuracy(model):
        with torch.no_grad():
            return (model(images[1000:]).argmax(1) == digits[1000:]).float().mean().item()

    def shrink(model):
        layers = linear(model)
        for i in (*range(len(layers) - 2, -1, -1), *range(len(layers) - 1)):
            layers[i : i + 2] = shrink_units(layers[i], torch.relu, layers[i + 1])
        return chain(layers)

    def unit_masks(model, share):
        """Whole units: those with the smallest weights, in and out, go. The same share of each hidden layer, or of all together."""
        layers = linear(model)
        sizes = [before.weight.norm(dim=1) * after.weight.norm(dim=0) for before, after in pairwise(layers)]
        stay = global_mask(sizes, share) if one_ranking else [global_mask([size], share)[0] for size in sizes]
        units = [torch.ones(64, dtype=torch.bool), *stay, torch.ones(10, dtype=torch.bool)]
        return [rows[:, None] & columns for columns, rows in pairwise(units)]

    def operations(model):
        with FlopCounterMode(display=False) as counter:
            model(images[:1])
        return counter.get_total_flops()

    shares, results = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98], {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        dense = train(make(hidden), 400)
        results.setdefault("dense", []).append((1.0, accuracy(dense)))
        weights = [layer.weight for layer in linear(dense)]
        for share in shares:
            for name, masks in [("global", global_mask(weights, share)), ("layer by layer", [global_mask([w], share)[0] for w in weights])]:
                once = pruned(dense, masks)
                results.setdefault((name, "once"), []).append((share, accuracy(once)))
                tuned = train(once, extra, masks)
                results.setdefault((name, "tuned"), []).append((share, accuracy(tuned)))
                if name == "global":
                    small = shrink(tuned)
                    results.setdefault("weights", []).append((operations(small) / operations(dense), accuracy(small)))
        for share in (0.3, 0.5, 0.7, 0.85, 0.95):
            masks = unit_masks(dense, share)
            small = shrink(train(pruned(dense, masks), extra, masks))
            results.setdefault("units", []).append((operations(small) / operations(dense), accuracy(small)))
            torch.manual_seed(100 + seed)
            own = train(make([layer.out_features for layer in linear(small)[:-1]]), 400 + extra)
            results.setdefault("small", []).append((operations(own) / operations(dense), accuracy(own)))

    def mean(pairs, axis):
        return np.array(pairs).reshape(seeds, -1, 2).mean(0)[:, axis]

    level = mean(results["dense"], 1)[0]
    _, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), sharey=True)
    for name, colour, marker in [("global", "C0", "o"), ("layer by layer", "C1", "s")]:
        for state, style, what in [("tuned", "-", "trained on"), ("once", "--", "at once")]:
            pairs = results[name, state]
            left.plot(range(len(shares)), mean(pairs, 1), style, color=colour, marker=marker, ms=4, label=f"{name}, {what}")
    left.set_xticks(range(len(shares)), labels=[f"{share:.0%}" for share in shares])
    left.set(title="Single weights", xlabel="weights removed", ylabel="accuracy on unseen digits", ylim=(0, 1.02))
    left.legend(fontsize=8.5, loc="lower left")
    lines = [("units", "whole units removed", "C2o-"), ("weights", "single weights removed (global)", "C0^-"), ("small", "as small from the start", "k:")]
    for name, label, style in lines:
        right.plot(mean(results[name], 0), mean(results[name], 1), style, ms=4.5, label=label)
    x, y = (mean(results["weights"], axis)[shares.index(0.9)] for axis in (0, 1))
    right.annotate("90 % of the\nweights removed", (x, y), (x, y - 0.22), ha="center", va="center", fontsize=8.5, color="0.35", arrowprops=dict(arrowstyle="-", color="0.6"))
    for ax in (left, right):
        ax.axhline(level, color="0.5", lw=1)
    right.set(title="What shrink_units leaves", xlabel="operations left", xlim=(-0.02, 1.02))
    right.xaxis.set_major_formatter("{x:.0%}")
    right.legend(fontsize=8.5, loc="lower right")
    plt.show()


try:
    draw_pruned()
except NotImplementedError:
    print("This figure needs your functions of exercise 3.5.")

# %% [markdown]
# Means of three seeds; the grey line is the whole network. At once, half of the weights can go. After 100 more steps, 80 % cost less than 0.01 of accuracy, and 90 % cost 0.03. At 95 %, global pruning keeps 0.82, layer by layer 0.63 (global is ahead in these three seeds, but behind in a different one).
#
# With 90 % of the weights gone, 70 to 77 % of the operations are left: few units have lost all of their weights. By whole units, 40 to 60 % can go without loss of accuracy.
#
# But networks that were small from the start are as good within 0.03, and better at the far left. Liu et al. (arXiv:1810.05270) saw this in large networks, too: the size that pruning arrives at mattered, not the weights that it keeps.
#
# **Change, predict, run.** Global was better, so rank the *units* of both hidden layers together, too: `draw_pruned(one_ranking=True)`. What becomes of the green curve?
#
# <details><summary>What you should see</summary>
#
# It falls to chance. The second layer's units have smaller weights and go first; without any, the network says the same about each digit. This is **layer collapse** (Tanaka et al., arXiv:2006.05467): a ranking needs magnitudes that can be compared.
# </details>
