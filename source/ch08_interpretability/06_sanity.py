# %% [markdown]
# ## 8.6 Testing explanations
#
# A map along the outline of a dog looks right to everybody. But an edge detector, which has never seen the model, draws it, too. Adebayo et al. (arXiv:1810.03292) gave a network random weights: the maps of some methods hardly changed. They cannot explain what it has learnt.
#
# Below are three methods for maps of digits; the third never uses the model.

# %% nbgrader={"grade": false, "grade_id": "setup_sanity", "locked": true, "schema_version": 3, "solution": false, "task": false}
def gradient_map(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    """The gradient of each picture's largest logit with respect to its pixels. x: (n, 1, height, width); the maps have the same shape."""
    x = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).amax(dim=1).sum(), x)
    return gradient.numpy()


def gradient_times_input(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    """The gradient, times the pixels."""
    return gradient_map(model, x) * x.detach().numpy()


def edge_map(model: nn.Module, x: torch.Tensor) -> np.ndarray:
    """How much a pixel's right and left neighbours differ, and those below and above. The model is not used."""
    padded = F.pad(x.detach(), (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return torch.hypot(across, down).numpy()


# %% [markdown]
# ### Test 1: random parameters
#
# Redraw the parameters of the last layer and compute the map again; then those of the layer before it as well; and so on. In this **cascade**, what has been redrawn stays redrawn.
#
# Two maps are compared by **Spearman's rank correlation**: replace each number by its rank, equal numbers by the mean of their ranks, and take Pearson's correlation of the ranks,
#
# $$\rho = \frac{\sum_i (r_i - \bar r)(s_i - \bar s)}{\sqrt{\sum_i (r_i - \bar r)^2 \sum_i (s_i - \bar s)^2}} .$$
#
# For a constant map it is 0/0; we say 0. Maps from a random network that are still similar to those before show the picture rather than the model.
#
# ### Test 2: deletion and insertion
#
# If a map names the pixels that matter, deleting them in its order should destroy the prediction quickly. **Deletion** (Petsiuk et al., arXiv:1806.07421) replaces the pixels by a **baseline**, the largest attribution first, and records the prediction after each. **Insertion** begins with the baseline and puts the pixels back in the same order.
# The area under the first curve should be small, that under the second large. The order keeps the sign: a large *negative* attribution speaks against the prediction.
#
# **Predict:** can a method pass one of the two tests and fail the other?
#
# ### Exercise 8.6 · Tests for explanations
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **11 points** · NumPy and PyTorch
#
# **Write** four functions. `scipy.stats.rankdata` may be used; `scipy.stats.spearmanr` may not: the hidden checks let it raise an error.
#
# <details><summary>Hint 1: leave the model alone</summary>
#
# Work on `copy.deepcopy(model)`; `get_submodule(name)` finds a layer in it.
# </details>
#
# <details><summary>Hint 2: all steps at once</summary>
#
# Make an array of n + 1 copies of x, flat. With `order` for the pixels, row i gets the baseline at `order[:i]`.
# Insertion is deletion with x and the baseline exchanged.
# </details>

# %% nbgrader={"grade": false, "grade_id": "sanity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two maps.

    Args:
        a, b: of the same shape, any one, with two numbers or more and no NaN; maybe of whole numbers, maybe not contiguous. Equal numbers get the mean of
            their ranks.

    Returns:
        A Python float, from -1 to 1 up to rounding; 0.0 if all numbers of a, or all of b, are equal.

    >>> similarity(np.array([1, 2, 3]), np.array([10, 10, 50]))  # ranks 1, 2, 3 and 1.5, 1.5, 3
    0.8660254037844387
    """
    ### BEGIN SOLUTION
    from scipy.stats import rankdata

    r, s = rankdata(a), rankdata(b)
    r, s = r - r.mean(), s - s.mean()
    size = math.sqrt((r @ r) * (s @ s))
    return float(r @ s / size) if size > 0 else 0.0
    ### END SOLUTION


def cascade(model: nn.Module, layers: list[str], redraw, explain, x: torch.Tensor) -> list[np.ndarray]:
    """The maps while the layers are redrawn, from the last to the first; each stays redrawn.

    Args:
        model: left as it is; `redraw` and `explain` may get it or a copy. After the call it has the same parameters with the same values, the same buffers and the same mode, also if
            `redraw` or `explain` raises an error, which is passed on.
        layers: names of modules inside the model, as get_submodule takes them, from the input to the output. Maybe empty. Not modified.
        redraw: redraw(module) gives new values to the module's parameters and buffers, in place. It is called once for each layer.
        explain: explain(model, x) returns the maps of the pictures x, a new array (n, ...). It is called len(layers) + 1 times.

    Returns:
        len(layers) + 1 arrays: the maps of the model itself, then with the last layer redrawn, with the last two, ...

    >>> model, x = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)), torch.rand(5, 1, 8, 8)
    >>> [maps.shape for maps in cascade(model, ["0", "2"], lambda layer: layer.reset_parameters(), gradient_map, x)]
    [(5, 1, 8, 8), (5, 1, 8, 8), (5, 1, 8, 8)]
    """
    ### BEGIN SOLUTION
    import copy

    model = copy.deepcopy(model)
    found = [explain(model, x)]
    for name in reversed(layers):
        redraw(model.get_submodule(name))
        found.append(explain(model, x))
    return found
    ### END SOLUTION


def perturbation_curve(predict, x: np.ndarray, attribution: np.ndarray, baseline, insert: bool = False) -> np.ndarray:
    """The predictions while pixels are deleted, or inserted, in the order of their attribution.

    The pixel with the largest attribution comes first; negative ones come last; equal ones in the order of the flattened picture.

    Args:
        predict: a function of an array (rows, *shape) of any type that returns an array (rows,), maybe of whole numbers. It may be asked for n + 1 rows in all, in one call
            or several, and not for more.
        x: the picture, with one axis or more, and n pixels, n from 1 on; maybe of whole numbers, while the baseline is not.
        attribution: of x's shape; maybe of whole numbers below 2^53, also unsigned ones.
        baseline: of x's shape, or one number: what stands for a deleted pixel.
        insert: if False, begin with x, and replace pixels by the baseline's. If True, begin with the baseline, and replace
            pixels by those of x.

    Returns:
        (n + 1,), float: the prediction after 0, 1, ..., n pixels. No argument is modified.

    >>> perturbation_curve(lambda rows: rows.sum(axis=1), np.array([1, 2, 4]), np.array([0.5, -0.1, 0.3]), 0.0)
    array([7., 6., 2., 0.])
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=float)
    start, end = x.ravel(), np.broadcast_to(np.asarray(baseline, dtype=float), x.shape).ravel()
    if insert:
        start, end = end, start
    order = np.argsort(-np.asarray(attribution, dtype=float).ravel(), kind="stable")
    rows = np.tile(start, (x.size + 1, 1))
    for i, pixel in enumerate(order, 1):
        rows[i:, pixel] = end[pixel]
    return np.asarray(predict(rows.reshape(-1, *x.shape)), dtype=float)
    ### END SOLUTION


def caught(explainers: dict, model: nn.Module, layers: list[str], redraw, x: torch.Tensor, limit: float = 0.5) -> list[str]:
    """The names of the methods whose maps are still similar when all layers have been redrawn.

    Args:
        explainers: for each name a function explain(model, x), as `cascade` takes it.
        model, layers, redraw, x: as for `cascade`, with at least one layer and one picture. The model is left as it is.
        limit: a method is caught if the similarity between a picture's first map and its last, with all layers redrawn, is above this in
            the mean over the pictures.

    Returns:
        A list of names, in the order of `explainers`.

    >>> caught({"gradient": gradient_map, "edges": edge_map}, model, ["0", "2"], lambda layer: layer.reset_parameters(), x)
    ['edges']
    """
    ### BEGIN SOLUTION
    found = []
    for name, explain in explainers.items():
        maps = cascade(model, layers, redraw, explain, x)
        if np.mean([similarity(before, after) for before, after in zip(maps[0], maps[-1], strict=True)]) > limit:
            found.append(name)
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_sanity", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


def scalar_chain(*weights):
    """A chain of layers with one weight each; its names are "0", "1", ..."""
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in weights))
    with torch.no_grad():
        for layer, weight in zip(model, weights, strict=True):
            layer.weight.fill_(weight)
    return model


def times(factor):
    """A redraw that multiplies all parameters of a layer."""
    def redraw(layer):
        with torch.no_grad():
            for p in layer.parameters():
                p.mul_(factor)

    return redraw


def weights_of(model, x):
    """An "explanation" that shows which weights the model has."""
    return np.array([[p.detach().flatten()[0].item() for p in model.parameters()]] * len(x))


@check(points=0.75, hint="Ranks first, equal numbers with the mean of their ranks; then Pearson's correlation. The sign stays.")
def similarity_by_hand():
    """By hand: 1, 2, 3, 4 and 1, 2, 2, 100 have 0.949; the opposite order has -1; a constant map has 0."""
    found = similarity(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 2.0, 100.0]))
    assert abs(found - 4.5 / math.sqrt(22.5)) < 1e-9, f"{found:.4f} instead of 0.9487"
    found = similarity(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[4.0, 3.0], [2.0, 0.0]]))
    assert abs(found + 1) < 1e-9, f"{found:.4f} instead of -1 for opposite orders"
    found = similarity(np.array([0.0, 0.0, 0.0]), np.array([1.0, 2.0, 3.0]))
    assert found == 0, f"{found} instead of 0 for a constant map"


@check(points=0.75, hint="From the last layer to the first, and what has been redrawn stays so.")
def cascade_by_hand():
    """By hand: weights 2, 3, 5 and a redraw that multiplies by 10 give 2, 3, 50; then 2, 30, 50; then 20, 30, 50."""
    maps = probe(lambda: [np.asarray(one) for one in cascade(scalar_chain(2, 3, 5), ["0", "1", "2"], times(10), weights_of, torch.zeros(1))])
    found = [one[0].tolist() for one in maps]
    assert found == [[2, 3, 5], [2, 3, 50], [2, 30, 50], [20, 30, 50]], f"{found} instead of [[2, 3, 5], [2, 3, 50], [2, 30, 50], [20, 30, 50]]"


@check(points=0.75, hint="Largest attribution first, with its sign; the first entry is before anything has changed.")
def curves_by_hand():
    """By hand: deleting from the sum of 1, 2, 4 in the order of 0.2, -9, 0.3 gives 7, 3, 2, 0, and inserting 0, 4, 5, 7."""
    found = [np.asarray(probe(lambda insert: perturbation_curve(lambda rows: rows.sum(axis=1), np.array([1.0, 2.0, 4.0]), np.array([0.2, -9.0, 0.3]), 0.0, insert), insert)).tolist() for insert in (False, True)]
    assert found[0] == [7, 3, 2, 0], f"deletion gives {found[0]} instead of [7, 3, 2, 0]"
    assert found[1] == [0, 4, 5, 7], f"insertion gives {found[1]} instead of [0, 4, 5, 7]"


@check(points=0.75, hint="Compare each picture's first map with its last, in which every layer is redrawn.")
def catches_a_planted_method():
    """A method that shows the picture is caught; one whose map is turned round by the redraw is not."""
    def run():
        pictures = torch.tensor([[1.0, 5.0, 2.0], [3.0, 2.0, 1.0]])
        methods = {"planted": lambda model, x: x.numpy(), "honest": lambda model, x: (x * model[0].weight.item()).numpy()}
        return caught(methods, scalar_chain(4), ["0"], times(-1), pictures)

    found = probe(run)
    assert found == ["planted"], f"{found} instead of ['planted']"


### BEGIN HIDDEN TESTS
from fractions import Fraction


def exact_rank_correlation(a, b):
    """Spearman's correlation from counts: a rank is the number of smaller ones, and half of that of equal ones."""
    ranks = [[Fraction(2 * sum(other < one for other in values) + sum(other == one for other in values), 2) for one in values] for values in (a, b)]
    r, s = [[one - sum(values) / len(values) for one in values] for values in ranks]
    square = sum(one * one for one in r) * sum(one * one for one in s)
    return float(sum(one * other for one, other in zip(r, s, strict=True))) / math.sqrt(square) if square else 0.0


@check(points=1.25, hint="Mean ranks for ties, ranks and not values, both of any shape; 0 where one of them is constant, also for whole numbers.")
def agrees_with_exact_ranks():
    """For any shapes, many ties, huge and tiny numbers, whole numbers and views, it is Spearman's correlation, and 0 for a constant map."""
    cases = []
    for shape in ((2,), (7,), (3, 4), (1, 5, 5), (2, 3, 2), (9, 2)):
        a, b = np.random.normal(size=shape), np.random.normal(size=shape)
        cases += [(a, b), (a, a + b), (np.round(a), np.round(b)), (np.exp(30 * a), -b), (1e-9 * a, 1e9 + b), (np.maximum(a, 0), np.maximum(-b, 0)), (a, np.full(shape, 3.7)), (np.zeros(shape), b)]
        cases.append((np.random.randint(0, 3, shape), np.random.randint(-100, 100, shape).astype(np.int8)))
        cases.append((a.T, np.asfortranarray(np.round(b)).T))
        cases.append((np.full(shape, 0.1), np.full(shape, -1)))

    def run(cases):
        with forbidden("scipy.stats.spearmanr"):
            found = []
            for a, b in cases:
                kept = a.copy(), b.copy()
                value = similarity(a, b)
                found.append((float(value), type(value) is float, bool((kept[0] == a).all() and (kept[1] == b).all())))
            return found

    for (a, b), (value, is_float, unmodified) in zip(cases, probe(run, cases), strict=True):
        if not abs(value - exact_rank_correlation(a.flatten().tolist(), b.flatten().tolist())) < 1e-9:
            constant = a.min() == a.max() or b.min() == b.max()
            fail("A constant map has to give 0." if constant else "Wrong where numbers are equal." if len(np.unique(a)) < a.size or len(np.unique(b)) < b.size else "The correlation is wrong.")
        if not is_float:
            fail("The result is not a float of Python.")
        if not unmodified:
            fail("A map has been modified.")


@check(points=1.25, hint="reversed(layers); redraw each named layer once; don't go back to the original in between; the names decide, not the model's order.")
def cascade_follows_the_names():
    """For nested modules, in the order given, some layers only or none, each layer is redrawn once, and there is one map for each step."""
    def run():
        found = []
        for layers in (["first", "body.a", "body.b", "head"], ["head", "body.b", "first"], ["body.a"], ["body"], []):
            model = nn.ModuleDict({"first": scalar_chain(2), "body": nn.ModuleDict({"a": scalar_chain(3), "b": scalar_chain(5)}), "head": scalar_chain(7)})
            redrawn, seen = [], []

            def redraw(module, redrawn=redrawn):
                redrawn.append([p.item() for p in module.parameters()])
                times(10 + len(redrawn))(module)

            def explain(model, x, seen=seen):
                seen.append(x.tolist())
                return weights_of(model, x)

            given = list(layers)
            maps = cascade(model, given, redraw, explain, torch.tensor([3.0, 4.0]))
            found.append(([np.asarray(one).tolist() for one in maps], redrawn, seen, given))
        return found

    weight = {"first": [2], "body.a": [3], "body.b": [5], "head": [7], "body": [3, 5]}
    start = [2, 3, 5, 7]
    cases = (["first", "body.a", "body.b", "head"], ["head", "body.b", "first"], ["body.a"], ["body"], [])
    for layers, (maps, redrawn, seen, given) in zip(cases, probe(run), strict=True):
        if given != layers:
            fail("The list of layers has been modified.")
        wanted = [start]
        for i, name in enumerate(layers[::-1], 1):
            wanted.append([value * (10 + i) if value in weight[name] else value for value in wanted[-1]])
        if redrawn != [weight[name] for name in layers[::-1]]:
            fail("Not each of the named layers is redrawn once, from the last to the first.")
        if maps != [[one, one] for one in wanted]:
            fail("The maps are not those of a model whose last layers have been redrawn, one more in each step." if layers else "Without layers, there is one map.")
        if seen != [[3.0, 4.0]] * (len(layers) + 1):
            fail("The method is not asked once for each step, with the pictures.")


@check(points=1.25, hint="Work on a deep copy, or restore values *and* buffers in a `finally`; a state_dict shares its memory with the model, and lacks buffers with persistent=False.")
def cascade_leaves_the_model():
    """The model's parameters, buffers and mode are as before, also after an error, which is passed on."""
    def run(broken, kind):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).train(kind == "train")
        model[1].running_mean.fill_(4.0)
        model[1].register_buffer("apart", torch.ones(2), persistent=False)  # not in a state_dict
        model[2].weight.requires_grad_(False)
        ids = [id(p) for p in model.parameters()]

        def values():
            return dict(model.named_parameters()) | dict(model.named_buffers())

        before = {name: value.detach().clone() for name, value in values().items()}
        calls = []

        def redraw(layer):
            layer.reset_parameters()
            if hasattr(layer, "apart"):
                layer.apart.add_(1)

        def explain(model, x):
            calls.append(1)
            if len(calls) == broken:
                raise ArithmeticError("planted")
            return np.ones((2, 4)) * len(calls)

        raised = False
        try:
            cascade(model, ["0", "1", "2"], redraw, explain, torch.zeros(2, 3))
        except ArithmeticError:
            raised = True
        same = list(values()) == list(before) and all(torch.equal(value, before[name]) for name, value in values().items())
        flags = [p.requires_grad for p in model.parameters()] == [True] * 4 + [False, True]
        return raised, same, flags and ids == [id(p) for p in model.parameters()], model.training == model[1].training == (kind == "train")

    for broken in (0, 1, 3, 4):
        for kind in ("train", "eval"):
            raised, same, parameters, mode = probe(run, broken, kind)
            if raised != (broken > 0):
                fail("An error of the method is not passed on.")
            if not same:
                fail("Parameters or buffers have other values afterwards" + (", after an error." if broken else "."))
            if not (parameters and mode):
                fail("The parameters are not the same tensors, or the mode has changed.")


@check(points=1.5, hint="argsort(-attribution, kind='stable'); floats; the baseline may be an array; n + 1 rows in all; insertion exchanges x and baseline.")
def curves_of_any_picture():
    """For any shapes, ties, baselines and whole numbers, each prediction is that of a picture made pixel by pixel, with at most n + 1 rows in all."""
    cases = []
    for shape in ((1,), (5,), (3, 4), (2, 2, 3), (4, 4)):
        pictures = (np.random.normal(size=shape), np.random.randint(0, 9, shape), np.random.normal(size=shape[::-1]).T)
        attributions = (np.random.normal(size=shape), np.random.randint(-2, 3, shape), np.random.randint(0, 3, shape).astype(np.uint8), np.round(np.random.normal(size=shape)))
        for i, (baseline, insert) in enumerate([(0.5, False), (np.random.normal(size=shape), False), (-0.25, True), (np.random.normal(size=shape), True), (0, False), (1, True)]):
            cases.append((pictures[i % 3], attributions[(i + len(shape)) % 4], baseline, insert, np.random.normal(size=shape)))
    # A long one with many ties: sorts that are not stable are only seen with more than 16 numbers.
    cases += [(np.random.normal(size=(12, 10)), np.random.randint(-2, 3, (12, 10)), 0.5, insert, np.random.normal(size=(12, 10))) for insert in (False, True)]

    def run(cases):
        found = []
        for picture, attribution, baseline, insert, weights in cases:
            shapes = []

            def predict(rows, weights=weights, shapes=shapes):
                shapes.append(np.shape(rows))
                return np.tanh(np.asarray(rows, dtype=float).reshape(len(rows), -1) @ weights.ravel() / 3)

            kept = [np.array(one) for one in (picture, attribution, baseline)]
            curve = np.asarray(perturbation_curve(predict, picture, attribution, baseline, insert) if insert else perturbation_curve(predict, picture, attribution, baseline))
            unmodified = all((a == np.asarray(b)).all() for a, b in zip(kept, (picture, attribution, baseline), strict=True))
            found.append((curve, shapes, bool(unmodified)))
        return found

    for (picture, attribution, baseline, insert, weights), (curve, shapes, unmodified) in zip(cases, probe(run, cases), strict=True):
        flat, base = picture.flatten().astype(float), np.broadcast_to(np.asarray(baseline, dtype=float), picture.shape).flatten()
        values = attribution.flatten().tolist()
        current, target = (base.copy(), flat) if insert else (flat.copy(), base)
        truth = [math.tanh(float(current @ weights.flatten()) / 3)]
        for pixel in sorted(range(len(values)), key=lambda i: (-values[i], i)):
            current[pixel] = target[pixel]
            truth.append(math.tanh(float(current @ weights.flatten()) / 3))
        if curve.shape != (picture.size + 1,):
            fail("The curve does not have n + 1 values.")
        if not np.abs(curve - truth).max() < 1e-9:
            fail("The curve is wrong" + (" for insertion." if insert else " for deletion."))
        if any(shape[1:] != picture.shape for shape in shapes) or sum(shape[0] for shape in shapes) > picture.size + 1:
            fail("The model is asked for other shapes than (rows, *shape), or for more than n + 1 rows in all.")
        if not unmodified:
            fail("An argument has been modified.")
    whole = probe(lambda: np.asarray(perturbation_curve(lambda rows: rows.sum(axis=1).astype(int), np.array([4, 2, 1]), np.zeros(3), 0)))
    if whole.tolist() != [7, 3, 1, 0] or whole.dtype.kind != "f":
        fail("The curve is wrong, or not of floats, where the model returns whole numbers.")


@check(points=1.5, hint="The first map against the last of the cascade; picture by picture; the mean of signed similarities against the limit.")
def catches_by_the_mean():
    """A method is caught by the mean of its pictures' similarities, signed and picture by picture, with all layers redrawn; the names keep their order."""
    def run():
        base = torch.tensor([1.0, 4.0, 2.0, 8.0])
        x = torch.stack([base + 100 * i for i in range(5)])

        def sign_of(model, name):
            return math.copysign(1.0, model.get_submodule(name).weight.item())

        def turned(first):
            """Pictures from `first` on are turned round if the sign of layer 0 has changed."""
            return lambda model, x: np.array([(one * (sign_of(model, "0") if i >= first else 1)).numpy() for i, one in enumerate(x)])

        methods = {
            "z_edges": lambda model, x: x.numpy() ** 2,
            "only_layer_0": lambda model, x: sign_of(model, "0") * x.numpy(),
            "only_layer_1": lambda model, x: sign_of(model, "1") * x.numpy(),
            "four_of_five": turned(4),  # a mean of .6
            "three_of_five": turned(3),  # .2
            "constant": lambda model, x: np.ones(x.shape),
            "larger_pictures": lambda model, x: np.array([100 * i + sign_of(model, "0") * base.numpy() for i in range(len(x))]),  # alike as a batch only
            "a_edges": lambda model, x: x.numpy() + 3,
            "twice_turned": lambda model, x: np.stack([sign_of(model, "0") * sign_of(model, "1") * one.numpy() for one in x]),  # as before at the end, not in between
        }
        model = scalar_chain(3, 4)
        found = [caught(methods, model, ["0", "1"], times(-1), x), caught(methods, model, ["0", "1"], times(-1), x, 0.1), caught(methods, model, ["0", "1"], times(-1), x, limit=0.7)]
        found.append(caught({"constant": methods["constant"]}, model, ["0", "1"], times(-1), x, limit=0.0))  # 0 is not above 0
        found.append(caught({}, model, ["0", "1"], times(-1), x))
        found.append(caught({"negative": lambda model, x: sign_of(model, "0") * x.numpy(), "constant": methods["constant"]}, model, ["0"], times(-1), x[:1], limit=-0.5))
        return [list(one) for one in found], [p.item() for p in model.parameters()]

    found, weights = probe(run)
    always = ["z_edges", "a_edges", "twice_turned"]
    if found[2] != always:
        fail("At a limit of 0.7, not those methods are caught whose maps stay as they are, in their order.")
    if found[0] != ["z_edges", "four_of_five", "a_edges", "twice_turned"] or found[1] != ["z_edges", "four_of_five", "three_of_five", "a_edges", "twice_turned"]:
        fail("It is wrong where some pictures' maps change and others do not.")
    if found[3] != [] or found[4] != [] or found[5] != ["constant"]:
        fail("It is wrong for no methods, or where the limit is 0 or below.")
    if weights != [3, 4]:
        fail("The model has changed.")


@check(points=1.25, hint="With your functions together: is each picture compared with itself, and is the whole model redrawn?")
def catches_the_edge_detector():
    """On a small convolutional network, the edge detector is caught, and the gradient is not."""
    def run():
        generator = torch.Generator().manual_seed(3)
        model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 36, 4))

        def redraw(layer):
            with torch.no_grad():
                for p in layer.parameters():
                    p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / math.sqrt(p[0].numel()))

        for layer in (model[0], model[3]):
            redraw(layer)
        pictures = torch.rand(12, 1, 8, 8, generator=generator, dtype=torch.float64).to(model[0].weight.dtype)
        return list(caught({"gradient": gradient_map, "edges": edge_map}, model, ["0", "3"], redraw, pictures, 0.8))

    # All random numbers are given, so this is the same for everybody whose redraws come in the same order; gradients of two independent random networks
    # have similarities around 0.
    if probe(run) != ["edges"]:
        fail("Not the edge detector alone is caught.")


### END HIDDEN TESTS

check.score()

# %% [markdown]
# ### What your functions show
#
# A small convolutional network has learnt the digits. A fourth method is the *absolute value* of gradient times input, as many pictures show it. The second figure has a random order to compare with.

# %% tags=["demo", "nbval-ignore-output"]
def trained_on_digits(seed=0, epochs=8):
    """A small network, the names of its layers, and digits that it has not seen, as (n, 1, 8, 8)."""
    from sklearn.datasets import load_digits

    pictures, digits = load_digits(return_X_y=True)
    pictures, digits = torch.tensor(pictures / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(digits)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 24, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 16, 48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for_training = torch.arange(len(pictures)) % 5 > 0
    for _ in range(epochs):
        for rows in torch.nonzero(for_training).flatten()[torch.randperm(int(for_training.sum()))].split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(pictures[rows]), digits[rows]).backward()
            optimizer.step()
    return model.eval(), ["0", "2", "5", "7"], pictures[~for_training]


digit_methods = {
    "gradient": gradient_map,
    "gradient · input": gradient_times_input,
    "|gradient · input|": lambda model, x: np.abs(gradient_times_input(model, x)),
    "edges": edge_map,
}


def draw_cascade(which=3, seed=0):
    """One digit and the maps of each method, by the number of layers that were redrawn."""
    model, layers, pictures = trained_on_digits(seed)
    _, axes = plt.subplots(len(digit_methods), len(layers) + 2, figsize=(9.5, 6.2))
    for row, (method, explain) in zip(axes, digit_methods.items(), strict=True):
        torch.manual_seed(100 + seed)
        maps = cascade(model, layers, lambda layer: layer.reset_parameters(), explain, pictures)
        row[0].imshow(pictures[which, 0], cmap="gray")
        row[0].set_ylabel(method, fontsize=9)
        for i, (ax, one) in enumerate(zip(row[1:], maps, strict=True)):
            size = np.abs(one[which, 0]).max()
            ax.imshow(one[which, 0], cmap="PuOr", vmin=-size, vmax=size)
            ax.set_title(f"{i} redrawn: {np.mean([similarity(a, b) for a, b in zip(maps[0], one, strict=True)]):.2f}", fontsize=9)
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
    axes[0, 0].set_title("digit", fontsize=9)
    plt.show()
    print("Caught:", caught(digit_methods, model, layers, lambda layer: layer.reset_parameters(), pictures))


try:
    draw_cascade()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.6.")


# %% tags=["demo", "nbval-ignore-output"]
def draw_curves(seed=0, baseline=0.0, n=60):
    """Deletion and insertion for each method, in the mean over n digits, and similarity against redrawn layers."""
    model, layers, pictures = trained_on_digits(seed)
    pictures = pictures[:n]
    chosen = model(pictures).argmax(dim=1)
    generator = np.random.default_rng(seed)
    maps = {method: explain(model, pictures) for method, explain in digit_methods.items()} | {"random order": generator.random(pictures.shape)}
    _, axes = plt.subplots(1, 3, figsize=(11.5, 3.7))
    styles = dict(zip(maps, ("-", "--", "-.", ":", (0, (1, 4))), strict=True))

    def probability(digit):
        def predict(rows):
            with torch.no_grad():
                return model(torch.tensor(rows, dtype=torch.float32)).softmax(dim=1)[:, digit].numpy()

        return predict

    for ax, insert in zip(axes, (False, True), strict=False):
        for method, of_all in maps.items():
            curves = [perturbation_curve(probability(digit), picture.numpy(), one, baseline, insert) for digit, picture, one in zip(chosen, pictures, of_all, strict=True)]
            curve = np.mean(curves, axis=0)
            ax.plot(np.linspace(0, 100, len(curve)), curve, linestyle=styles[method], label=f"{method}: {np.trapezoid(curve) / (len(curve) - 1):.2f}")
        ax.set(xlabel=f"pixels {'inserted' if insert else 'deleted'}, in %", ylabel="probability of the digit", ylim=(-0.03, 1.03), title="Insertion" if insert else "Deletion")
        ax.legend(fontsize=7.5, loc="lower right" if insert else "upper right", title="area", title_fontsize=8)
    for method, explain in digit_methods.items():
        torch.manual_seed(100 + seed)
        steps = cascade(model, layers, lambda layer: layer.reset_parameters(), explain, pictures)
        axes[2].plot([np.mean([similarity(a, b) for a, b in zip(steps[0], step, strict=True)]) for step in steps], "o", ms=4, linestyle=styles[method], label=method)
    axes[2].set(xlabel="layers redrawn, from the last", ylabel="similarity", ylim=(-0.25, 1.05), xticks=range(5), title="Random parameters")
    axes[2].legend(fontsize=7.5, loc="center right")
    plt.show()


try:
    draw_curves()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.6.")

# %% [markdown]
# **First figure.** The numbers are similarities with the first map, in the mean over 360 digits. With all four layers redrawn, those of the gradient are near 0, with and without the input. The edges stay. And so do the absolute values, at about 0.9, though they do come from the model: half of the pixels are black, so the product is 0 with any model, and the rest follows the brightness.
#
# **Second figure.** Deletion and insertion say something else about the same method: its area under deletion is 0.17, that of a random order 0.55. It finds the bright pixels, and these matter. So a method can pass the second test and fail the first. Over five trainings, its similarities were 0.90 to 0.91 and its areas under deletion 0.11 to 0.17.
#
# Neither test proves an explanation. A method may depend on all weights and mislead. Deletion makes pictures that the model has never seen, and may work by their strangeness, not by what is missing; Hooker et al. (arXiv:1806.10758) therefore train again without the deleted pixels.
#
# ### With a library
#
# Captum's **infidelity** (Yeh et al., arXiv:1901.09392) takes random noise $u$ from the picture: the mean squared difference between the change of the logit and $u \cdot \text{map}$ is small for a good map.

# %% tags=["demo", "shown", "nbval-ignore-output"]
def captum_infidelity(n=60):
    """Captum's infidelity of each method's maps, for small noise."""
    from captum.metrics import infidelity

    model, _, pictures = trained_on_digits()
    chosen = model(pictures[:n]).argmax(dim=1)

    def perturb(inputs):
        noise = 0.1 * torch.randn_like(inputs)
        return noise, inputs - noise

    for method, explain in digit_methods.items():
        maps = torch.tensor(explain(model, pictures[:n]))
        values = infidelity(model, perturb, pictures[:n], maps, target=chosen, n_perturb_samples=200, normalize=True)
        print(f"{method:20} {values.mean():.2f}")


captum_infidelity()

# %% [markdown]
# The gradient is best here, gradient times input was best above. No contradiction: noise asks what a small change does, deletion what a whole pixel does. Choose the question before you look at the answers.
#
# **Change, predict, run.** `draw_curves(baseline=1.0)`: a deleted pixel is now white instead of black. Which method had the best deletion curve, and which has it now?
#
# <details><summary>What you should see</summary>
#
# Gradient times input had it (0.06), and now the random order has (0.53). The gradient's area rises from 0.10 to 0.94: a positive gradient says that *brighter* is better, and "deleting" now makes the pixel brighter. Report the baseline with every such curve.
# </details>
