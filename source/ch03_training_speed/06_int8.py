# %% [markdown]
# ## 3.6 Int8
#
# The course's small GPT has 187,000 weights of 32 bits. With 8 bits each, it is a quarter as large. Its loss on new text is 1.7 bits per byte. **Predict** the loss with 8 bits, with 4, with 2.
#
# Store a number $x$ as a whole number $q$ of $b$ bits, and keep two numbers for all of them, a **scale** $s$ and a **zero point** $z$:
#
# $$q = \mathrm{clamp}\big(\mathrm{round}(x / s) + z,\; -2^{b-1},\; 2^{b-1} - 1\big), \qquad x \approx s\,(q - z) .$$
#
# This is **quantisation** (Jacob et al., arXiv:1712.05877). The number of parameters stays (claim 6 of W2.1).
#
# | | scale | zero point |
# |---|---|---|
# | **affine** | (largest − smallest) / (number of levels − 1) | the level of $x = 0$ |
# | **symmetric** | largest magnitude / $(2^{b-1} - 1)$ | 0 |
#
# Zero has to be exact: padding, ReLU and pruning (3.5) make many zeros. So the affine range is widened until it contains 0.
#
# A product of matrices of symmetric numbers needs no corrections for zero points (Jacob et al., section 2.3); after a ReLU, the symmetric range wastes one bit.
#
# There is one scale for a tensor, or one **per channel**, such as a row of a matrix. **Predict:** of 64 random rows one is a hundred times larger. With one scale, how many of the 8 bits are left for the other 63?
#
# **A gradient for rounding.** The derivative of rounding is zero nearly everywhere. The **straight-through** estimator (Bengio et al., arXiv:1308.3432) pretends that it is 1, where nothing was clamped, and 0 elsewhere. There and back at once, with this gradient, is **fake quantisation**: a network trains with its later errors.
#
# ### Exercise 3.6 · Int8
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **9 points** · PyTorch
#
# **Write** four functions. PyTorch's own (`torch.fake_quantize_...`) are out of reach in the hidden checks.
#
# <details><summary>Hint 1: one scale per channel</summary>
#
# `x.movedim(axis, 0).flatten(1)` has one row a channel. Scales broadcast in a shape of ones with −1 at `axis`.
# </details>
#
# <details><summary>Hint 2: whole numbers that overflow</summary>
#
# `int8` minus `int8` is `int8`: 127 − (−128) is −1. A zero point without axes does not change the type. And what is cast before it is clamped may become anything.
# </details>
#
# <details><summary>Hint 3: the gradient</summary>
#
# `x * mask` has the gradient that you want, and `(value - x * mask).detach()` has none. Or write a `torch.autograd.Function`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "int8", "locked": false, "schema_version": 3, "solution": true, "task": false}
def quant_params(x: torch.Tensor, bits: int = 8, symmetric: bool = False, axis: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point for storing x in whole numbers from -2**(bits-1) to 2**(bits-1) - 1.

    Affine: the range goes from the smallest to the largest entry of x, and is widened to contain 0.
    The scale is its length divided by 2**bits - 1, and the zero point the whole number nearest to
    -2**(bits-1) - (lower end) / scale.

    Symmetric: the scale is the largest magnitude divided by 2**(bits-1) - 1; the zero point is 0.

    Where all entries are 0, the scale is 1 and the zero point 0.

    Args:
        x: float32, at least one entry, contiguous in memory or not; entries are 0 or of a size from 1e-20 to 1e20. Not modified.
        bits: 2 to 8.
        axis: None: one scale for the whole tensor. Otherwise one for each index along this axis,
            which may be negative: for axis 0 of a matrix one for each row. x then has two or more axes.

    Returns:
        The scales, float32, and the zero points, int32: tensors of shape () or (x.shape[axis],),
        without a graph.

    >>> quant_params(torch.tensor([-0.5, 0.0, 2.05]))
    (tensor(0.0100), tensor(-78, dtype=torch.int32))
    """
    ### BEGIN SOLUTION
    rows = x.detach().reshape(1, -1) if axis is None else x.detach().movedim(axis, 0).flatten(1)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if symmetric:
        length = rows.abs().amax(1)
        scale = length / highest
        zero_point = torch.zeros_like(scale)
    else:
        low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
        length = high - low
        scale = length / (highest - lowest)
        zero_point = torch.round(lowest - low / scale)
    scale = torch.where(length > 0, scale, 1.0)
    zero_point = torch.where(length > 0, zero_point, 0.0).to(torch.int32)
    return (scale[0], zero_point[0]) if axis is None else (scale, zero_point)
    ### END SOLUTION


def quantise(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, bits: int = 8, axis: int | None = None) -> torch.Tensor:
    """round(x / scale) + zero_point, and what lies outside of the range at its nearer end.

    Rounds to the nearest whole number, halves to the even one, before the zero point is added.

    Args:
        x: float32, finite, of any size. Not modified.
        scale, zero_point: as `quant_params` returns them for this `axis`; with an axis, each index
            along it has its own.
        bits: 2 to 8; the range goes from -2**(bits-1) to 2**(bits-1) - 1.

    Returns:
        int8, of the shape of x.

    >>> quantise(torch.tensor([0.25, 0.75, 100.0]), torch.tensor(0.5), torch.tensor(3, dtype=torch.int32))
    tensor([  3,   5, 127], dtype=torch.int8)
    """
    ### BEGIN SOLUTION
    if axis is not None:
        shape = [1] * x.dim()
        shape[axis] = -1
        scale, zero_point = scale.view(shape), zero_point.view(shape)
    levels = torch.round(x.detach() / scale) + zero_point
    return levels.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)
    ### END SOLUTION


def dequantise(q: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, axis: int | None = None) -> torch.Tensor:
    """The numbers scale * (q - zero_point) that whole numbers stand for.

    Args:
        q: int8. Not modified.
        scale, zero_point, axis: as for `quantise`.

    Returns:
        float32, of the shape of q.

    >>> dequantise(torch.tensor([127], dtype=torch.int8), torch.tensor(0.5), torch.tensor(-128, dtype=torch.int32))
    tensor([127.5000])
    """
    ### BEGIN SOLUTION
    if axis is not None:
        shape = [1] * q.dim()
        shape[axis] = -1
        scale, zero_point = scale.view(shape), zero_point.view(shape)
    return (q.float() - zero_point) * scale
    ### END SOLUTION


def fake_quantise(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, bits: int = 8, axis: int | None = None) -> torch.Tensor:
    """Quantises and goes back at once, with the straight-through gradient.

    The value is that of `dequantise` after `quantise`. The gradient with respect to x is handed on
    where round(x / scale) + zero_point lies in the range, its ends included, and is 0 elsewhere. Scale and
    zero point get no gradient.

    Args:
        x: float32, finite, below 1e6 scales in size. Not modified.
        scale, zero_point, bits, axis: as for `quantise`.

    Returns:
        float32, of the shape of x. Rounding errors of float32 do not matter.

    >>> fake_quantise(torch.tensor([0.3, 0.75]), torch.tensor(0.5), torch.tensor(0, dtype=torch.int32))
    tensor([0.5000, 1.0000])
    """
    ### BEGIN SOLUTION
    if axis is not None:
        shape = [1] * x.dim()
        shape[axis] = -1
        scale, zero_point = scale.view(shape), zero_point.view(shape)
    levels = torch.round(x.detach() / scale.detach()) + zero_point
    clamped = levels.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    passed = x * (levels == clamped)
    return passed + ((clamped - zero_point) * scale - passed).detach()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_int8", "locked": true, "points": 9, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=9)


def whole(number):
    """A zero point."""
    return torch.tensor(number, dtype=torch.int32)


@check(points=0.5, hint="Affine: widen the range to contain 0, divide its length by 255. Symmetric: largest magnitude divided by 127.")
def ranges_of_small_tensors():
    """quant_params finds the scale and zero point of small tensors, affine and symmetric."""
    for values, symmetric, truth in [
        ([-0.5, 0.0, 2.05], False, (0.01, -78)),
        ([0.75, 2.55], False, (0.01, -128)),
        ([0.5, -1.27], True, (0.01, 0)),
    ]:
        found = quant_params(torch.tensor(values), symmetric=symmetric)
        assert found is not None, "quant_params returns None: is the return missing?"
        scale, zero_point = found
        kind = "symmetric" if symmetric else "affine"
        assert abs(scale.item() - truth[0]) < 1e-6, f"{kind}, the scale of {values} is {scale.item():.5f} instead of {truth[0]}"
        assert zero_point.item() == truth[1], f"{kind}, the zero point of {values} is {zero_point.item()} instead of {truth[1]}"


@check(points=0.5, hint="torch.round rounds halves to the even number. Clamp before the cast to int8.")
def rounds_and_clamps():
    """quantise rounds to the nearest whole number, halves to the even one, and clamps."""
    x = [0.25, 0.75, -0.25, 1.2, 100.0, -100.0]
    found = quantise(torch.tensor(x), torch.tensor(0.5), whole(3))
    assert found is not None, "quantise returns None: is the return missing?"
    assert found.tolist() == [3, 5, 3, 5, 127, -128], f"with scale 0.5 and zero point 3, {x} become {found.tolist()} instead of [3, 5, 3, 5, 127, -128]"


@check(points=0.5, hint="Subtract in a type in which 127 + 128 has room.")
def goes_back():
    """dequantise subtracts the zero point and multiplies by the scale."""
    found = dequantise(torch.tensor([-128, 0, 127], dtype=torch.int8), torch.tensor(0.5), whole(-128))
    assert found is not None, "dequantise returns None: is the return missing?"
    assert found.tolist() == [0.0, 64.0, 127.5], f"with scale 0.5 and zero point -128, the whole numbers [-128, 0, 127] stand for {found.tolist()} instead of [0.0, 64.0, 127.5]"


@check(points=0.5, hint="Value: there and back. Gradient: 1 where nothing was clamped, and 0 elsewhere.")
def gradient_goes_straight_through():
    """fake_quantise rounds forwards, and hands the gradient on where nothing is clamped."""
    def run():
        x = torch.tensor([0.3, -0.8, 5.0], requires_grad=True)
        y = fake_quantise(x, torch.tensor(0.5), whole(0), bits=4)
        if y is None:
            return None, None
        if y.requires_grad:
            (y * torch.tensor([2.0, 3.0, 4.0])).sum().backward()
        return y.detach(), x.grad

    value, gradient = probe(run)
    assert value is not None, "fake_quantise returns None: is the return missing?"
    assert torch.allclose(value, torch.tensor([0.5, -1.0, 3.5]), atol=1e-4), f"with 4 bits and scale 0.5, [0.3, -0.8, 5] become {value.tolist()} instead of [0.5, -1, 3.5]"
    assert gradient is not None, "no gradient reaches x"
    assert torch.allclose(gradient, torch.tensor([2.0, 3.0, 0.0])), f"of the gradients [2, 3, 4], {gradient.tolist()} reach x instead of [2, 3, 0]"


### BEGIN HIDDEN TESTS
OUT_OF_REACH = (
    "torch.fake_quantize_per_tensor_affine",
    "torch.fake_quantize_per_channel_affine",
    "torch.quantize_per_tensor",
    "torch.quantize_per_channel",
)


def library_range(entries, bits, symmetric):
    """Scale and zero point (not rounded) of a list of numbers, in Python's own arithmetic."""
    if not any(entries):
        return 1.0, 0.0
    if symmetric:
        return max(abs(entry) for entry in entries) / (2 ** (bits - 1) - 1), 0.0
    low, high = min(0.0, *entries, 0.0), max(0.0, *entries, 0.0)
    scale = (high - low) / (2**bits - 1)
    return scale, -(2 ** (bits - 1)) - low / scale


def compare_ranges(cases):
    """Fails if quant_params differs from Python's arithmetic for one of the cases (x, bits, symmetric, axis)."""
    def run(cases):
        found = []
        for x, bits, symmetric, axis in cases:
            before = x.clone()
            scale, zero_point = quant_params(x.requires_grad_(), bits, symmetric, axis)
            found.append((scale.detach(), zero_point.detach(), scale.requires_grad, torch.equal(x.detach(), before)))
        return found

    for (x, bits, symmetric, axis), (scale, zero_point, graph, same) in zip(cases, probe(run, cases), strict=True):
        values = x.detach()
        groups = [values.flatten()] if axis is None else [values.select(axis, i).flatten() for i in range(x.shape[axis])]
        wanted = () if axis is None else (len(groups),)
        if tuple(scale.shape) != wanted or tuple(zero_point.shape) != wanted:
            fail("Scale or zero point has a different shape than the docstring says.")
        if scale.dtype != torch.float32 or zero_point.dtype != torch.int32 or graph:
            fail("Scale or zero point has a different type than the docstring says, or belongs to a graph.")
        if not same:
            fail("The input was modified.")
        for group, s, z in zip(groups, scale.reshape(-1).tolist(), zero_point.reshape(-1).tolist(), strict=True):
            true_scale, true_zero = library_range(group.tolist(), bits, symmetric)
            where = "constant zero" if not group.any() else "of one sign" if group.min() >= 0 or group.max() <= 0 else "of both signs"
            if not abs(s - true_scale) <= 1e-5 * true_scale:
                fail(f"The scale is wrong: {bits} bits, {'symmetric' if symmetric else 'affine'}, entries {where}.")
            if abs(z - true_zero) > 0.5 + 1e-3:
                fail(f"The zero point is wrong: {bits} bits, {'symmetric' if symmetric else 'affine'}, entries {where}.")


def assorted():
    """Tensors of both signs, of one sign, constant, zero, tiny and huge."""
    return [
        torch.randn(3, 4),
        torch.rand(5) + 2,
        -torch.rand(2, 2, 2) - 3,
        torch.tensor([0.7]),
        torch.tensor([[-5.0, -5.0]]),
        torch.zeros(3),
        torch.tensor(2.5),
        torch.tensor([1e-20, -3e-20, 0.0]),
        torch.tensor([1e20, -0.5e20]),
        torch.tensor([-1.0, 0.0]),
        torch.tensor([0.0, 1.0, 0.25]),
    ]


@check(points=1, hint="min(smallest, 0) and max(largest, 0). A tensor of zeros has no length to divide.")
def affine_ranges():
    """Affine scales and zero points are correct, whatever the signs, sizes and bits."""
    transposed = torch.randn(4, 3).T  # not contiguous in memory
    compare_ranges([(x.clone(), bits, False, None) for x in (*assorted(), transposed) for bits in (2, 3, 5, 8)])


@check(points=1, hint="Largest magnitude, also where the smallest entry has it; divided by 2**(bits-1) - 1.")
def symmetric_ranges():
    """Symmetric scales are correct, whatever the signs, sizes and bits."""
    compare_ranges([(x.clone(), bits, True, None) for x in assorted() for bits in (2, 3, 5, 8)])


@check(points=1, hint="Reduce over all axes but this one.")
def ranges_per_channel():
    """With an axis, each index along it has its own scale and zero point."""
    sizes = torch.tensor([1.0, 100.0, 0.01])
    matrix = torch.randn(3, 5) * sizes[:, None]
    matrix[2] = matrix[2].abs() + 1
    block = torch.randn(2, 3, 4) * sizes[:, None] * torch.tensor([1.0, 7.0])[:, None, None]
    block[:, 1] = 0
    square = torch.randn(3, 3) * sizes
    cases = [(matrix, 0), (matrix, 1), (matrix, -1), (matrix, -2), (block, 0), (block, 1), (block, 2), (block, -2), (square, 0), (square, 1)]
    compare_ranges([(x.clone(), bits, symmetric, axis) for x, axis in cases for symmetric in (False, True) for bits in (3, 8)])


def library(x, scale, zero_point, bits, axis):
    """torch's own fake quantisation. With powers of two as scales it rounds as the exercise does."""
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, lowest, highest)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis % x.dim(), lowest, highest)


def grids():
    """Cases x, scale, zero point, bits, axis, with exact halves, and values beyond both ends."""
    line = torch.arange(-640, 640) / 8
    cases = []
    for bits in (2, 4, 8):
        for zero_point in (0, 1, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1):
            cases.append((line, torch.tensor(0.25), whole(zero_point), bits, None))
    rows = torch.stack([line, line + 0.0625, -line]).reshape(3, 40, 32)
    scales, zeros = torch.tensor([0.125, 1.0, 4.0]), torch.tensor([-5, 0, 7], dtype=torch.int32)
    for axis, x in [(0, rows), (1, rows.movedim(0, 1)), (2, rows.movedim(0, 2)), (-1, rows.movedim(0, 2))]:
        cases.append((x, scales, zeros, 8, axis))
    cases.append((line[:9].reshape(3, 3) + torch.tensor([[20.0], [70.0], [90.0]]), scales, zeros, 8, 0))
    cases.append((line[:9].reshape(3, 3) + 77, scales, zeros, 5, 1))
    cases.append((torch.tensor(0.375), torch.tensor(0.25), whole(1), 8, None))
    cases.append((torch.zeros(0, 3), scales, zeros, 8, 1))
    return cases


@check(points=1.5, hint="Round, halves to even; add the zero point; clamp to the range of these bits; cast last.")
def whole_numbers_agree_with_torch():
    """Whole numbers are those of torch's fake quantisation, per tensor and per channel, halves and ends included."""
    def run(cases):
        with forbidden(*OUT_OF_REACH):
            found = []
            for x, scale, zero_point, bits, axis in cases:
                copies = [tensor.clone() for tensor in (x, scale, zero_point)]
                found.append((quantise(*copies, bits, axis), [torch.equal(a, b) for a, b in zip(copies, (x, scale, zero_point), strict=True)]))
            return found

    huge = torch.tensor([3e9, -3e9, 1e20, -1e20, 200.0, -200.0])
    cases = [*grids(), (huge, torch.tensor(1.0), whole(5), 8, None), (huge, torch.tensor(1.0), whole(-2), 3, None)]
    for (x, scale, zero_point, bits, axis), (found, same) in zip(cases, probe(run, cases), strict=True):
        if found.dtype != torch.int8 or found.shape != x.shape:
            fail("The result should be int8, of the shape of x.")
        if not all(same):
            fail("An argument was modified.")
        shape = [1] * x.dim()
        if axis is not None:
            shape[axis] = -1
        truth = library(x.clamp(-1e6, 1e6), scale, zero_point, bits, axis) / scale.view(shape) + zero_point.view(shape)
        wrong = found.float() != truth
        ends = (truth == -(2 ** (bits - 1))) | (truth == 2 ** (bits - 1) - 1)
        if (wrong & ends).any():
            fail(f"At an end of the range, a whole number is wrong ({bits} bits).")
        if wrong.any():
            fail(f"Inside the range, a whole number is wrong ({'one scale' if axis is None else 'a scale per channel'}).")


@check(points=0.5, hint="The zero point of each channel, and its scale, along the axis; in float32.")
def numbers_come_back():
    """All 256 whole numbers come back as scale * (q - zero_point), per tensor and per channel."""
    def run(cases):
        found = []
        for q, scale, zero_point, axis in cases:
            copy = q.clone()
            found.append((dequantise(copy, scale, zero_point, axis), torch.equal(copy, q)))
        return found

    every = torch.arange(-128, 128, dtype=torch.int16).to(torch.int8)
    scales, zeros = torch.tensor([0.125, 1.0, 3.0]), torch.tensor([-128, 127, 7], dtype=torch.int32)
    stack = torch.stack([every, every.flip(0), every.roll(9)])
    cases = [(every, torch.tensor(0.75), whole(zero_point), None) for zero_point in (-128, 0, 127)]
    cases += [(every.reshape(4, 64), torch.tensor(0.75), whole(3), None), (stack, scales, zeros, 0), (stack.T, scales, zeros, 1), (stack.T, scales, zeros, -1), (stack[:, :3], scales, zeros, 0), (stack[:, :3], scales, zeros, 1), (stack.reshape(3, 8, 32), scales, zeros, -3)]
    for (q, scale, zero_point, axis), (found, same) in zip(cases, probe(run, cases), strict=True):
        shape = [1] * q.dim()
        if axis is not None:
            shape[axis] = -1
        truth = (q.double() - zero_point.double().view(shape)) * scale.double().view(shape)
        if found.dtype != torch.float32 or found.shape != q.shape:
            fail("The result should be float32, of the shape of q.")
        if not same:
            fail("The whole numbers were modified.")
        if not torch.allclose(found.double(), truth, atol=1e-5):
            fail("A number comes back wrong " + ("with one scale." if axis is None else "with a scale per channel."))


@check(points=1.5, hint="The mask is about the whole number before it is clamped. It multiplies the gradient that arrives.")
def gradients_agree_with_torch():
    """Values and gradients are those of torch's fake quantisation, per tensor and per channel."""
    def run(cases):
        with forbidden(*OUT_OF_REACH):
            found = []
            for x, scale, zero_point, bits, axis, weights in cases:
                leaf, steps = x.clone().requires_grad_(), scale.clone().requires_grad_()
                y = fake_quantise(leaf, steps, zero_point, bits, axis)
                gradient, of_scale = torch.autograd.grad((y * weights).sum(), (leaf, steps), allow_unused=True)
                found.append((y.detach(), gradient, of_scale is not None and bool((of_scale != 0).any()), torch.equal(leaf.detach(), x)))
            return found

    cases = [(*case, torch.randn(case[0].shape)) for case in grids()]
    for (x, scale, zero_point, bits, axis, weights), (value, gradient, of_scale, same) in zip(cases, probe(run, cases), strict=True):
        leaf = x.clone().requires_grad_()
        truth = library(leaf, scale, zero_point, bits, axis)
        (true_gradient,) = torch.autograd.grad((truth * weights).sum(), leaf)
        if not same:
            fail("The input was modified.")
        if value.shape != x.shape or value.dtype != torch.float32:
            fail("The result should be float32, of the shape of x.")
        if not torch.allclose(value, truth.detach(), atol=1e-5 * scale.max().item() * 2**bits):
            fail("A value is not that of quantise and dequantise.")
        if gradient is None:
            fail("No gradient reaches x.")
        if of_scale:
            fail("The scale gets a gradient.")
        if not torch.allclose(gradient, true_gradient):
            outside = (true_gradient == 0) & (weights != 0)
            if gradient[outside].any():
                fail("A gradient passes where the whole number was clamped.")
            fail("A gradient that should pass does not arrive, or arrives changed.")


@check(points=0.5, hint="Zero has to become the zero point itself, and come back as zero.")
def round_trip_is_near():
    """There and back, zero is exact, and no entry moves further than rounding explains."""
    def run(cases):
        found = []
        for x, bits, symmetric, axis in cases:
            scale, zero_point = quant_params(x, bits, symmetric, axis)
            q = quantise(x, scale, zero_point, bits, axis)
            found.append((scale, dequantise(q, scale, zero_point, axis), fake_quantise(x, scale, zero_point, bits, axis)))
        return found

    x = torch.randn(6, 50) * 10 ** torch.linspace(-3, 3, 6)[:, None]
    x[:, ::7] = 0
    x[3] = x[3].abs() + 10
    x[3, 0] = 0
    cases = [(x, bits, symmetric, axis) for bits in (2, 4, 8) for symmetric in (False, True) for axis in (None, 0)]
    for (x, bits, symmetric, axis), (scale, back, fake) in zip(cases, probe(run, cases), strict=True):
        limit = scale if axis is None else scale[:, None]
        # The zero point is rounded, too, so that an affine range may move by half a step.
        if ((back - x).abs() > limit * (0.5 if symmetric else 1.0) * (1 + 1e-3)).any():
            fail("After a round trip, an entry is further away than rounding explains.")
        if (back[x == 0] != 0).any():
            fail("Zero does not come back as zero.")
        if not torch.allclose(back, fake, atol=1e-3 * scale.max().item()):
            fail("fake_quantise gives other values than quantise and dequantise.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### How many bits are enough?

# %% tags=["demo", "raises-exception"]
def draw_bits(factor=100.0, all_bits=(8, 6, 5, 4, 3, 2)):
    def rounded(weights, bits, axis):
        return fake_quantise(weights, *quant_params(weights, bits, symmetric=True, axis=axis), bits, axis)

    def decibels(x, y):
        return 10 * math.log10(((x**2).sum() / ((x - y) ** 2).sum()).item())

    _, axes = plt.subplots(1, 2, figsize=(9.2, 3.5), width_ratios=(1, 1.35))
    weights = torch.randn(64, 256, generator=torch.Generator().manual_seed(0))
    weights[0] *= factor
    kinds = {
        "int8, one\nscale": rounded(weights, 8, None),
        "int8, per\nrow": rounded(weights, 8, 0),
        "float8\n(e4m3)": weights.to(torch.float8_e4m3fn).float(),
    }
    ratios = [decibels(weights[1:], y[1:]) for y in kinds.values()]
    bars = axes[0].bar(list(kinds), ratios, color=["C5", "C0", "C1"], width=0.65)
    axes[0].bar_label(bars, fmt="%.1f", fontsize=9)
    axes[0].set(title="The other 63 rows", ylabel="signal to noise (dB)", ylim=(0, 50))
    axes[0].tick_params(axis="x", labelsize=8.5)

    language_model = lesson.gpt(own=False)
    text = lesson.corpus()[1][:10_000]
    matrices = [p for p in language_model.model.parameters() if p.dim() == 2]
    originals = [p.detach().clone() for p in matrices]
    axes[1].axhline(language_model.bits_per_byte(text), color="0.4", ls=":", lw=1.2, label="float32")
    for axis, colour, marker, label in [(None, "C5", "s", "one scale a matrix"), (0, "C0", "o", "one scale a row")]:
        losses = []
        for bits in all_bits:
            with torch.no_grad():
                for p, original in zip(matrices, originals, strict=True):
                    p.copy_(rounded(original, bits, axis))
            losses.append(language_model.bits_per_byte(text))
        axes[1].plot(all_bits, losses, color=colour, marker=marker, ms=5, label=label)
    axes[1].set(title="Small GPT", xlabel="bits a weight", ylabel="bits per byte, unseen text", ylim=(1.5, 5.5))
    axes[1].legend(fontsize=8.5, loc="upper left")
    axes[1].set_xticks(all_bits)
    axes[1].invert_xaxis()
    plt.show()


try:
    draw_bits()
except NotImplementedError:
    print("This figure needs your functions of exercise 3.6.")

# %% [markdown]
# On the left, one scale leaves 2.6 to 4.1 decibels (five seeds), a scale per row 43. Six decibels are a factor of two in the error, **one bit**, so about half a bit is left. In `float8` *each* number has an exponent, so no row disturbs another.
#
# On the right, 8 bits cost nothing. At 4 bits, one scale a matrix costs 1 bit per byte, one a row 0.1. With 2, both are broken. One scale a matrix gets better again: 96 % of its weights are 0, and guessing evenly costs only 4.2.
#
# Can a network learn to live with few bits? A small one for digits is trained; then its weights are rounded per row, at once, or after 300 more steps through your `fake_quantise`.

# %% tags=["demo", "raises-exception"]
def draw_training(all_bits=(8, 4, 3, 2), n_steps=300):
    from sklearn.datasets import load_digits

    def rounded(weights, bits):
        return fake_quantise(weights, *quant_params(weights, bits, symmetric=True, axis=0), bits, 0)

    images, digits = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = images.float() / 16

    def train(model, run, n_steps):
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(n_steps):
            chosen = torch.randint(1000, (64,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(run(model, images[chosen]), digits[chosen]).backward()
            optimizer.step()

    def with_bits(bits):
        def run(model, x):
            first, second = model[0], model[2]
            hidden = F.relu(F.linear(x, rounded(first.weight, bits), first.bias))
            return F.linear(hidden, rounded(second.weight, bits), second.bias)

        return run

    def accuracy(model, run):
        with torch.no_grad():
            return (run(model, images[1000:]).argmax(1) == digits[1000:]).float().mean().item()

    at_once, trained = [], []
    for seed in range(3):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        train(model, lambda model, x: model(x), 600)
        at_once.append([accuracy(model, with_bits(bits)) for bits in all_bits])
        trained.append([])
        for bits in all_bits:
            tuned = copy.deepcopy(model)
            train(tuned, with_bits(bits), n_steps)
            trained[-1].append(accuracy(tuned, with_bits(bits)))
    _, ax = plt.subplots(figsize=(5.6, 3.5))
    for rows, colour, marker, label in [(at_once, "C5", "s", "rounded at once"), (trained, "C0", "o", "trained with rounding")]:
        ax.plot(all_bits, np.transpose(rows), color=colour, lw=0.7, alpha=0.6)
        ax.plot(all_bits, np.mean(rows, 0), color=colour, marker=marker, ms=5, label=label)
    ax.set(title="Digits (3 seeds, and mean)", xlabel="bits a weight", ylabel="accuracy, unseen digits")
    ax.legend(fontsize=8.5, loc="lower left")
    ax.set_xticks(all_bits)
    ax.invert_xaxis()
    plt.show()


try:
    draw_training()
except NotImplementedError:
    print("This figure needs your functions of exercise 3.6.")

# %% [markdown]
# At 8 and 4 bits there is nothing to win. With 2, rounding at once leaves 0.65 to 0.80 (three seeds), training with rounding 0.88 to 0.93.
#
# None of this is fast: fake quantisation computes in `float32`, and speed needs kernels for `int8`, or a limit in reading bytes (3.1).
#
# **Change, predict, run.** Does one scale beat `float8` with `draw_bits(factor=3.0)`?
#
# <details><summary>What you should see</summary>
#
# Yes. The decibels of `float8` do not depend on the factor. Those of one scale fall by 20 for each factor of ten: above `float8` at 3, below it at 10.
# </details>
