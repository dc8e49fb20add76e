# %% [markdown]
# ## 2.3 Dropout
#
# While training, set each unit of a layer to zero with
# probability $p$, anew for every sample and step. When the network is used, leave everything as
# it is (Srivastava et al., JMLR 15, 2014).
#
# Does this make a model "depend less on particular training samples"? No sample is left out. What is removed are **units**. The
# paper's abstract says that this keeps them from **co-adapting** too much: from correcting each other's mistakes
# in a way that fits the training data only.
#
# ### Keeping the scale
#
# If half of the units vanish, the next layer receives on average half of its usual sum. **Inverted dropout**, as in PyTorch and Keras, scales up what is kept, at once:
#
# $$y_i = \frac{m_i\, x_i}{1 - p}, \qquad m_i = \begin{cases} 0 & \text{with probability } p \\ 1 & \text{with probability } 1 - p \end{cases}
# \qquad\Rightarrow\qquad \mathbb E[y_i] = x_i, \qquad \mathrm{Var}[y_i] = \frac{p}{1 - p}\, x_i^2 .$$
#
# Mind the letter: in the paper, $p$ is the probability that a unit is *kept*; in PyTorch, Keras and here, that it is *dropped*.
#
# Here is what a layer sees whose input is a picture.

# %% nbgrader={"grade": false, "grade_id": "setup_keras", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped
from sklearn.datasets import load_digits


# %% tags=["demo"]
def draw_dropped_pictures(rates=(0.5, 0.8)):
    picture = load_digits().images[0]
    chance = np.random.default_rng(1)
    _, axes = plt.subplots(len(rates), 6, figsize=(9.3, 1.75 * len(rates)), squeeze=False)
    for row, (ax_row, p) in enumerate(zip(axes, rates, strict=True)):
        draws = picture * (chance.random((1000, 8, 8)) >= p) / (1 - p)
        panels = {"input": picture, "draw 1": draws[0], "draw 2": draws[1], "draw 3": draws[2], "mean of 20": draws[:20].mean(0), "mean of 1000": draws.mean(0)}
        for ax, (title, values) in zip(ax_row, panels.items(), strict=True):
            ax.imshow(values, cmap="gray_r", vmin=0, vmax=16)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set(visible=True, color="0.8")
            if row == 0:
                ax.set_title(title, fontsize=10, loc="center")
        ax_row[0].set_ylabel(f"$p = {p}$")
    plt.show()


draw_dropped_pictures()

# %% [markdown]
# On average the picture is there. The price is noise: at $p = 0.9$ its variance is nine times the square of the input.
#
# ### Two frameworks, two ways to know the mode
#
# **PyTorch** keeps the mode in the module: `model.train()` and
# `model.eval()` set `self.training` in every part of the model. `torch.no_grad()` does not switch dropout off. **Keras** passes the mode with each call,
# `layer(x, training=True)`; a model hands it on to its layers, and `fit` sets it.
#
# PyTorch's random generator has a state, so each call gives
# new numbers. Keras' random functions are **stateless**: `keras.random.uniform(shape, seed=7)` gives the same
# numbers every time. New ones come from a `keras.random.SeedGenerator` passed as the `seed`. And since `fit` compiles `call`, whatever Python or NumPy computes in it is
# computed **once**: a mask drawn with NumPy would stay the same to the end of training.

# %% [markdown]
# ### Exercise 2.3 · Dropout in both frameworks
#
# > **Difficulty** ★☆☆☆ · **30 minutes** · **10 points** · PyTorch and Keras 3 on TensorFlow
#
# **Write** `TorchDropout.forward` and `KerasDropout.call`: inverted dropout, element by element. Dropout functions of torch, Keras and TensorFlow (`F.dropout`,
# `keras.random.dropout`, `tf.nn.dropout` and the layers made of them) fail in the hidden checks.
#
# <details><summary>Hint 1: from uniform numbers to a mask</summary>
#
# A number that is uniform between 0 and 1 is below $p$ with probability $p$. Draw one for each element, in 32 bits:
# `bfloat16` draws only 256 different ones, too few for a small $p$.
# </details>
#
# <details><summary>Hint 2: p = 1</summary>
#
# $1/(1-p)$ does not exist, and it is not enough to replace infinities in the result:
# in the gradient, $0 \cdot \infty$ is NaN. Choose a factor without dividing by zero.
# </details>
#
# <details><summary>Hint 3: shapes and types in Keras</summary>
#
# In a compiled model the size of the batch, or of another axis, may not be known in advance: `inputs.shape` has a `None` there, and
# `keras.ops.shape(inputs)` does not. `keras.ops.cast(mask, inputs.dtype)` makes numbers of a Boolean mask.
# </details>

# %% nbgrader={"grade": false, "grade_id": "dropout", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TorchDropout(nn.Module):
    """Inverted dropout for PyTorch.

    Args:
        p: probability with which an element is dropped, from 0 to 1, both included.
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drops elements of x in training mode; in evaluation mode, the result is equal to x bit by
        bit.

        In training mode, each element, however large, is set to zero with probability p, whatever
        the type of x (a small p stays small in bfloat16), independently of all others and anew in
        each call, and is divided by 1 - p otherwise. The gradient goes through the same elements by
        the same factor. With p = 0, nothing changes; with p = 1, result and gradient are zero.

        Args:
            x: finite numbers of any shape and any floating type; not modified.

        Returns:
            A tensor of the shape and type of x. Random numbers come from torch: torch.manual_seed
            repeats them.
        """
        ### BEGIN SOLUTION
        if not self.training:
            return x
        kept = torch.rand(x.shape, device=x.device) >= self.p
        return x * kept * (1 / (1 - self.p) if self.p < 1 else 0.0)
        ### END SOLUTION


class KerasDropout(keras.layers.Layer):
    """Inverted dropout for Keras.

    Args:
        rate: probability with which an element is dropped, from 0 to 1, both included.
        kwargs: as for every layer of Keras, such as name and dtype.
    """

    def __init__(self, rate: float = 0.5, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs, training: bool = False):
        """Drops elements of the inputs if training is true; otherwise the result is equal to them
        bit by bit.

        What training does is said in TorchDropout.forward, with rate in place of p. It holds for
        eager calls as well as for compiled ones (tf.function, as used by fit): there, too, the mask
        is a new one in each call, and each axis may have any size. Random numbers may come from
        Keras (self.seed_generator is there for this) or from TensorFlow.

        Args:
            inputs: finite numbers of any shape and of the type that the layer computes in.

        Returns:
            A tensor of the shape and type of inputs.
        """
        ### BEGIN SOLUTION
        if not training:
            return inputs
        kept = keras.random.uniform(keras.ops.shape(inputs), seed=self.seed_generator) >= self.rate
        return inputs * keras.ops.cast(kept, inputs.dtype) * (1 / (1 - self.rate) if self.rate < 1 else 0.0)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_dropout", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)


def compare_with_ones(trained, evaluated):
    """Asserts that ones were dropped with p = 0.25 while training, and not at all otherwise."""
    assert trained.shape == (40, 50), f"ones of shape (40, 50) went in, {tuple(trained.shape)} came out"
    values = sorted({round(float(value), 3) for value in trained.flat})
    assert values != [0], "in training, everything was dropped"
    assert 0 in values, f"in training, nothing was dropped: all ones became {values[:5]}"
    assert len(values) == 2, f"in training, what is kept has {len(values) - 1} different values ({values[1:5]}) instead of one, 1 / (1 - p)"
    assert values[1] == 1.333, f"what is kept is {values[1]:g} instead of 1 / 0.75 = 1.333"
    share = float((trained == 0).mean())
    assert 0.15 < share < 0.35, f"{share:.0%} of the ones were dropped instead of about 25 %"
    assert evaluated.shape == (40, 50) and (evaluated == 1).all(), "without training, the ones did not stay as they were"


@check(points=1, hint="self.training says whether the layer is training.")
def torch_drops_ones():
    """In PyTorch, ones become 0 or 1 / (1 - p) while training, and stay as they are otherwise."""
    def run(x):
        layer = TorchDropout(0.25)
        return [layer.train(mode)(x) for mode in (True, False)]

    compare_with_ones(*(np.asarray(y) for y in probe(run, torch.ones(40, 50))))


@check(points=1, hint="The argument training says whether the layer is training.")
def keras_drops_ones():
    """In Keras, ones become 0 or 1 / (1 - rate) while training, and stay as they are otherwise."""
    def run(x):
        layer = KerasDropout(0.25)
        return [np.asarray(layer(x, training=mode)) for mode in (True, False)]

    compare_with_ones(*probe(run, np.ones((40, 50), "float32")))


### BEGIN HIDDEN TESTS
LIBRARY_DROPOUT = (
    "torch.nn.functional.dropout",
    "torch.dropout",
    "torch.dropout_",
    "torch.native_dropout",
    "keras.random.dropout",
    "keras.layers.Dropout.call",
    "tensorflow.nn.dropout",
    "tensorflow.nn.experimental.general_dropout",
    "tensorflow.nn.experimental.stateless_dropout",
)
Z = 4.9  # a normal number is further out with a probability of one in a million


def in_torch(cases):
    """Outputs while training, for pairs of p and a list of inputs (arrays); one layer per pair."""
    with forbidden(*LIBRARY_DROPOUT):
        layers = [TorchDropout(p).train() for p, _ in cases]
        return [[layer(torch.tensor(x)).numpy() for x in inputs] for layer, (_, inputs) in zip(layers, cases, strict=True)]


def in_keras(cases):
    """The same in Keras."""
    with forbidden(*LIBRARY_DROPOUT):
        layers = [KerasDropout(p) for p, _ in cases]
        return [[np.asarray(layer(x, training=True)) for x in inputs] for layer, (_, inputs) in zip(layers, cases, strict=True)]


def nonzero(*shape, dtype="float32"):
    """Numbers of both signs, none of them near zero."""
    return (np.random.uniform(0.5, 2, shape) * np.random.choice([-1, 1], shape)).astype(dtype)


def share_is(found, probability, n):
    """Whether a share of n draws is compatible with a probability."""
    return abs(found - probability) < Z * math.sqrt(probability * (1 - probability) / n)


def compare_law(run):
    """Share, mean, variance and values of the outputs for 100,000 elements each."""
    cases = [(p, [nonzero(1, 100_000)]) for p in (0.1, 0.37, 0.8)]
    for (p, (x,)), (y,) in zip(cases, probe(run, cases), strict=True):
        if y.shape != x.shape:
            fail(f"An input of shape {x.shape} gave an output of shape {y.shape}.")
        ratio, n = np.float64(y) / x, x.size
        if not share_is(np.mean(y == 0), p, n):
            fail(f"The share of dropped elements is not compatible with the probability of {p:g}" + (": they are kept with that probability." if share_is(np.mean(y != 0), p, n) else "."))
        variance = p / (1 - p)
        if abs(ratio.mean() - 1) > Z * math.sqrt(variance / n):
            fail("On average, the output is not the input: what is kept has to be scaled.")
        fourth = p * (1 - p) * (1 - 3 * p * (1 - p)) / (1 - p) ** 4
        if abs(ratio.var() - variance) > Z * math.sqrt((fourth - variance**2) / n) + 1e-4:
            fail("The mean of the outputs is right, their variance is not.")
        if not np.allclose(ratio[y != 0], 1 / (1 - p), rtol=1e-5):
            fail("Elements that are kept are not all scaled by 1 / (1 - p).")


@check(points=1, hint="Drop with probability p, keep with probability 1 - p, divide what is kept by 1 - p.")
def torch_law():
    """In PyTorch, the dropped share, mean and variance agree with theory for several p (z-tests on 100,000 elements)."""
    compare_law(in_torch)


@check(points=1, hint="Drop with probability rate, keep with probability 1 - rate, divide what is kept by 1 - rate.")
def keras_law():
    """In Keras, the dropped share, mean and variance agree with theory for several rates (z-tests on 100,000 elements)."""
    compare_law(in_keras)


def compare_masks(run):
    """Independence between calls, and between neighbours along each axis."""
    p, x = 0.3, np.ones((24, 26, 12, 14), "float32")
    agreement = p**2 + (1 - p) ** 2
    cases = [(p, [x, x]), (p, [x]), (p, [np.ones((16, 4), "float32")] * 100)]
    (first, second), (other,), many = probe(run, cases)
    for name, y in [("Two calls of a layer", second), ("Two layers", other)]:
        if not share_is(np.mean((first == 0) == (y == 0)), agreement, x.size):
            fail(f"{name} do not have independent masks.")
    for axis, name in enumerate(("samples of a batch", "rows", "columns", "channels")):
        even, odd = (np.take(first == 0, range(start, x.shape[axis], 2), axis) for start in (0, 1))
        if not share_is(np.mean(even == odd), agreement, even.size):
            fail(f"In an input with four axes (samples, rows, columns, channels), different {name} do not have independent masks.")
    counts = np.array([np.count_nonzero(y) for y in many])
    if not 0.4 < counts.var(ddof=1) / (64 * p * (1 - p)) < 2:
        fail("How many elements are dropped varies too little or too much from call to call: each element decides for itself.")
    return counts


@check(points=1, hint="One random number for each element, in each call. PyTorch's generator does the rest.")
def torch_masks_are_fresh():
    """In PyTorch, each element of each call is dropped independently of all others, and torch.manual_seed repeats it."""
    compare_masks(in_torch)

    def repeat(x):
        outputs = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            outputs.append(TorchDropout(0.5).train()(x))
        return outputs

    one, again, other = probe(repeat, torch.ones(10, 10))
    if not torch.equal(one, again):
        fail("torch.manual_seed does not repeat the mask: where do the random numbers come from?")
    if torch.equal(one, other):
        fail("The mask is the same, whatever torch's seed.")


@check(points=1, hint="An int as seed gives the same numbers each time, and what Python or NumPy draws is drawn once, while the function is traced. Pass the SeedGenerator.")
def keras_masks_are_fresh():
    """In Keras, each element of each call is dropped independently of all others, also if the call is compiled."""
    compare_masks(in_keras)

    def compiled(batches):
        import tensorflow

        with forbidden(*LIBRARY_DROPOUT):
            layer = KerasDropout(0.3)
            train = tensorflow.function(lambda x: layer(x, training=True), input_signature=[tensorflow.TensorSpec([None, None])])
            return [train(tensorflow.constant(batch)).numpy() for batch in batches]

    x = np.ones((250, 40), "float32")
    first, second, small = probe(compiled, [x, x, x[:3]])
    if first.shape != x.shape or small.shape != (3, 40):
        fail("In a compiled function, the output does not have the shape of the input.")
    if not share_is(np.mean((first == 0) == (second == 0)), 0.3**2 + 0.7**2, x.size):
        fail("In a compiled function, two calls do not have independent masks.")
    if not share_is(np.mean((first[::2] == 0) == (first[1::2] == 0)), 0.3**2 + 0.7**2, x.size / 2):
        fail("In a compiled function, the samples of a batch do not have independent masks.")


def same_bits(a, b):
    """Whether two arrays are of the same shape and type, and equal bit by bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def expect_dropped(y, x, case):
    """Fails unless y may be dropout of x with p = 0.5."""
    if y.shape != x.shape or y.dtype != x.dtype:
        fail(f"{case}, the output has another shape or type than the input.")
    if not (y == 0).any():
        fail(f"{case}, nothing is dropped.")
    if not (y != 0).any():
        fail(f"{case}, everything is dropped.")
    with np.errstate(over="ignore"):
        twice = 2 * x
    if not ((y == 0) | (y == twice)).all():
        fail(f"{case}, an element is neither zero nor the input's divided by 1 - p.")


def with_extremes(dtype):
    """Numbers in which rounding, or adding and taking away again, would show."""
    x = nonzero(6, 30, dtype=dtype)
    x[0, :4] = [np.finfo(dtype).tiny, -0.0, np.finfo(dtype).max, 1 / 3]
    return x


@check(points=1, hint="The mode is self.training, whatever happens to gradients. Types: a mask of float32 makes float32 of float16. p = 1 must not divide by zero.")
def torch_modes_and_types():
    """In PyTorch, the mode decides (not the gradients), p = 0 and p = 1 work, shape and type are kept, and the input is not modified."""
    def run(x, p, mode, gradients):
        with forbidden(*LIBRARY_DROPOUT), torch.set_grad_enabled(gradients):
            model = nn.Sequential(nn.Sequential(TorchDropout(p))).train(mode)
            given = x.clone()
            return model(given).detach(), given

    def all_of(cases):
        return [run(*case) for case in cases]

    inputs = [torch.tensor(with_extremes(kind)) for kind in ("float16", "float32", "float64")] + [torch.tensor(nonzero(40)).bfloat16()]
    plain = [torch.tensor(nonzero(*shape)) for shape in [(50,), (3, 4, 5, 6)]] + [x.abs().clamp(0.5, 2) for x in inputs]
    plain += [torch.full((40,), 60000.0, dtype=torch.float16)]  # twice as much is infinite, and that times zero NaN
    cases = [(x, p, False, gradients) for x in inputs for p in (0.5, 1.0) for gradients in (False, True)]
    still = len(cases)
    cases += [(x, 0.0, True, True) for x in inputs]
    unchanged = len(cases)
    cases += [(x, 1.0, True, True) for x in inputs]
    emptied = len(cases)
    cases += [(x, 0.5, True, gradients) for x in plain for gradients in (False, True)]
    bits = lambda x: (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    for i, ((y, after), (x, *_)) in enumerate(zip(probe(all_of, cases), cases, strict=True)):
        if not same_bits(bits(after), bits(x)):
            fail("The input was modified.")
        if y.dtype != x.dtype or y.shape != x.shape:
            fail(f"An input of {x.dtype} with {x.dim()} axes gave an output of {y.dtype} with {y.dim()}.")
        if i < still and not same_bits(bits(y), bits(x)):
            fail("In evaluation mode, the output is not equal to the input, bit by bit.")
        if still <= i < unchanged and not same_bits(bits(y), bits(x)):
            fail("With p = 0, the output is not equal to the input, bit by bit.")
        if unchanged <= i < emptied and not (y == 0).all():
            fail("With p = 1, the output " + ("has NaNs." if y.isnan().any() else "is not zero throughout."))
        if i >= emptied:
            expect_dropped(bits(y), bits(x), f"In training mode, for {x.dtype} and {'with' if cases[i][3] else 'without'} gradients being recorded")

    kinds = [torch.bfloat16, torch.float16]

    def shares(cases):
        return [[float((TorchDropout(p).train()(torch.ones(200_000, dtype=kind)) == 0).double().mean()) for p in (0.001, 0.999)] for kind in cases]

    for kind, (few, most) in zip(kinds, probe(shares, kinds), strict=True):
        if not (share_is(few, 0.001, 200_000) and share_is(most, 0.999, 200_000)):
            fail(f"In {kind}, an element is not dropped with probability p where p is near 0 or 1. Are the random numbers of that type, too?")


@check(points=1, hint="Only the argument training decides. Cast the mask to inputs.dtype. rate = 1 must not divide by zero.")
def keras_modes_and_types():
    """In Keras, the training argument decides, also through a model, rates 0 and 1 work, and shape and type are kept."""
    def run(extreme, plain, types):
        with forbidden(*LIBRARY_DROPOUT):
            layers = {rate: KerasDropout(rate) for rate in (0.0, 0.5, 1.0)}
            model = keras.Sequential([keras.Input((30,)), layers[0.5]])
            still = [layers[1.0](extreme), layers[0.5](extreme, training=False), model(extreme), model(extreme, training=False), layers[0.0](extreme, training=True)]
            emptied = [layers[1.0](extreme, training=True)]
            dropped = [layers[0.5](x, training=True) for x in plain] + [model(plain[-1], training=True)]
            typed = [KerasDropout(0.5, dtype=x.dtype.name)(x, training=mode) for x in types for mode in (False, True)]
            return [[np.asarray(y) for y in group] for group in (still, emptied, dropped, typed)]

    extreme = with_extremes("float32")
    plain = [nonzero(*shape) for shape in [(50,), (3, 4, 5, 6)]] + [np.full(40, 3e38, "float32"), nonzero(6, 30)]  # 6e38 is infinite
    types = [nonzero(60, dtype=kind) for kind in ("float16", "float64")]
    still, (emptied,), dropped, typed = probe(run, extreme, plain, types)
    *not_training, without_rate = still
    if not all(same_bits(y, extreme) for y in not_training):
        fail("If training is false or not given, the output is not equal to the input, bit by bit.")
    if not same_bits(without_rate, extreme):
        fail("With a rate of 0, the output is not equal to the input, bit by bit.")
    if emptied.shape != extreme.shape or not (emptied == 0).all():
        fail("With a rate of 1, the output " + ("has NaNs." if np.isnan(emptied).any() else "is not zero throughout."))
    for y, x, how in zip(dropped, [*plain, plain[-1]], [*["the layer"] * len(plain), "a model that contains it"], strict=True):
        expect_dropped(y, x, f"With training=True, passed to {how}")
    for x, same, y in zip(types, typed[::2], typed[1::2], strict=True):
        if not same_bits(same, x):
            fail(f"In a layer that computes in {x.dtype}, the output without training is not the input, bit by bit.")
        expect_dropped(y, x, f"In a layer that computes in {x.dtype}, while training")

    def shares():
        ones = np.ones((400, 500), "float16")
        return [float((np.asarray(KerasDropout(rate, dtype="float16")(ones, training=True)) == 0).mean()) for rate in (0.001, 0.999)]

    few, most = probe(shares)
    if not (share_is(few, 0.001, 200_000) and share_is(most, 0.999, 200_000)):
        fail("In float16, an element is not dropped with the given probability where that is near 0 or 1. Are the random numbers of that type, too?")


def compare_gradients(cases, outputs):
    """Gradients of sum(y * direction) with the factors that the outputs show."""
    for (p, training, x, direction), (y, slope) in zip(cases, outputs, strict=True):
        if slope is None and p < 1:
            fail("No gradient gets through the layer.")
        gradient = np.zeros_like(x) if slope is None else slope  # a result of zeros need not depend on x
        if not np.isfinite(gradient).all():
            fail(f"The gradient has NaNs or infinities at a probability of {p:g}.")
        if not np.allclose(gradient * x, y * direction, rtol=1e-4, atol=1e-6):
            fail(f"The gradient does not go through the elements that were kept, by their factor, at a probability of {p:g}" + ("." if training else ", without training."))


def gradient_cases():
    return [(p, training, *(nonzero(20, 30) for _ in range(2))) for p, training in [(0.3, True), (0.8, True), (0.0, True), (1.0, True), (0.5, False)]]


@check(points=1, hint="Multiply by the mask, and let autograd do the rest: no detach, no .data, no NumPy, and no division by zero.")
def torch_gradient_uses_the_mask():
    """In PyTorch, the gradient is multiplied by the mask and the factor of the forward pass."""
    def run(cases):
        results = []
        for p, training, values, direction in cases:
            x = torch.tensor(values, requires_grad=True)
            with forbidden(*LIBRARY_DROPOUT):
                y = TorchDropout(p).train(training)(x)
                if y.requires_grad:
                    (y * torch.tensor(direction)).sum().backward()
            results.append((y.detach().numpy(), None if x.grad is None else x.grad.numpy()))
        return results

    cases = gradient_cases()
    compare_gradients(cases, probe(run, cases))


@check(points=1, hint="Multiply by the mask, and let the tape do the rest: no stop_gradient, no NumPy, and no division by zero.")
def keras_gradient_uses_the_mask():
    """In Keras, the gradient is multiplied by the mask and the factor of the forward pass."""
    def run(cases):
        import tensorflow

        results = []
        for p, training, values, direction in cases:
            x = tensorflow.constant(values)
            with forbidden(*LIBRARY_DROPOUT), tensorflow.GradientTape() as tape:
                tape.watch(x)
                y = KerasDropout(p)(x, training=training)
                total = tensorflow.reduce_sum(y * direction)
            gradient = tape.gradient(total, x)
            results.append((np.asarray(y), None if gradient is None else np.asarray(gradient)))
        return results

    cases = gradient_cases()
    compare_gradients(cases, probe(run, cases))


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What the network without dropout is an average of
#
# A layer of $n$ units has $2^n$ masks, so dropout trains $2^n$ **subnetworks** that share their
# weights. If it comes right before the last layer, with $p = 1/2$, evaluation mode computes exactly the mean of their logits, since that layer is linear. Its probabilities are then the **geometric** mean of the
# subnetworks', rescaled to sum to one (Hinton et al., arXiv:1207.0580). In deeper places, this is an approximation.
#
# **Left:** your layer in a network with ten hidden units, and what its 1024 subnetworks
# say about one digit. **Middle:** the probabilities of $k$ subnetworks of a
# wider network, averaged. **Right:** two networks, trained with
# and without dropout, from which more and more units are removed (with the others scaled up). **Predict:** which one suffers more?

# %% tags=["demo", "raises-exception"]
def draw_subnetworks(p=0.5):
    from itertools import product

    images, digits = (torch.tensor(array) for array in load_digits(return_X_y=True))
    images = (images / 16).float()
    new_images, new_digits = images[300:1000], digits[300:1000]

    def trained(width, p, n_steps=250):
        """A network with one hidden layer, trained on 300 digits with dropout after that layer."""
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), TorchDropout(p), nn.Linear(width, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        for _ in range(n_steps):
            optimizer.zero_grad()
            F.cross_entropy(net(images[:300]), digits[:300]).backward()
            optimizer.step()
        return net.requires_grad_(False)

    narrow, wide, plain = trained(10, 0.5), trained(100, p), trained(100, 0.0)
    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.3))
    all_masks = torch.tensor(list(product((0.0, 2.0), repeat=10)))
    usual = narrow.eval()(new_images).softmax(-1)
    unsure = (usual.max(-1).values - 0.6).abs().argmin()  # a digit that the network is not sure of
    label = usual[unsure].argmax()
    logits = narrow[3](narrow[1](narrow[0](new_images[unsure])) * all_masks)
    voices = logits.softmax(-1)
    geometric = logits.log_softmax(-1).mean(0).softmax(-1)
    axes[0].hist(voices[:, label], 25, color="0.75")
    axes[0].axvline(voices.mean(0)[label], ymax=0.66, color="C1", lw=2, label="arithmetic mean")
    axes[0].axvline(geometric[label], ymax=0.66, color="C0", lw=4.5, label="geometric mean")
    axes[0].axvline(usual[unsure, label], ymax=0.66, color="black", ls=":", lw=1.8, label="evaluation mode")
    axes[0].set(title="All subnetworks", xlabel=f"probability of class {int(label)}", ylabel="subnetworks of 1024")
    axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.5)
    axes[0].legend(fontsize=8, loc="upper right")

    wide.train()
    draws = torch.stack([wide(new_images).softmax(-1) for _ in range(256)])
    sizes = [1, 2, 4, 8, 16, 32, 64]
    averaged = [[F.nll_loss(group.mean(0).log(), new_digits).item() for group in draws.split(k)] for k in sizes]
    axes[1].plot(sizes, [np.mean(losses) for losses in averaged], "o-", ms=4, color="C1", label="average of $k$ subnetworks' probabilities")
    axes[1].axhline(F.cross_entropy(wide.eval()(new_images), new_digits).item(), color="black", ls=":", lw=1.8, label="evaluation mode")
    axes[1].set(title="Averages of some", xscale="log", xlabel="$k$", ylabel="loss on unseen digits (nats)", ylim=(None, 0.98))
    axes[1].set_xticks(sizes, labels=[str(k) for k in sizes])
    axes[1].minorticks_off()
    axes[1].legend(fontsize=8)

    removed = [0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9]
    for name, net, style in [(f"trained with $p = {p}$", wide, "C0o-"), ("trained without", plain, "C5s--")]:
        net.train()
        scores = []
        for share in removed:
            net[2].p = share
            guesses = torch.stack([net(new_images).argmax(-1) for _ in range(20)])
            scores.append((guesses == new_digits).float().mean())
        axes[2].plot(removed, scores, style, ms=4, label=name)
    axes[2].set(title="Units removed", xlabel="share of hidden units removed", ylabel="accuracy on unseen digits", ylim=(0, 1.02))
    axes[2].legend(fontsize=8, loc="lower left")
    plt.show()


try:
    draw_subnetworks()
except NotImplementedError:
    print("This figure needs your TorchDropout of exercise 2.3.")

# %% [markdown]
# On the left, evaluation mode is the geometric mean, whatever the weights are. In the middle, the loss falls as more subnetworks are averaged, as it must on average: $-\log$ is convex.
# That four of them beat evaluation mode is no law. On the right, both
# networks are about equally good as long as they are whole; the one trained without dropout falls
# apart sooner.
#
# **Change, predict, run.** Train the wide network with much more dropout, `draw_subnetworks(p=0.9)`. What will happen to the blue curve on the right, at both ends?
#
# <details><summary>What you should see</summary>
#
# It starts a little lower, at 0.81 instead of 0.83: so much noise costs accuracy. It stays level for longer, and ends a little higher. In the middle, the averages are now worse than evaluation mode. (One seed.)
# </details>
