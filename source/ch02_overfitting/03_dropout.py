# %% [markdown]
# ## 2.3 Dropout
#
# Dropout is the simplest regulariser to describe: while training, set each unit of a layer to zero with
# probability $p$, at random and anew for every sample and step; when the network is used, leave everything as
# it is (Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 15,
# 2014).
#
# Interview guides explain it by saying that it *makes the model depend less on particular training samples*.
# But no sample is left out. What dropout removes are **units**, and what it prevents is, in the words of the
# paper's abstract, that units **co-adapt** too much. Without it, a unit may learn to correct the mistakes of
# another one, in a way that fits the training data and nothing else. A unit whose partners vanish half of the
# time has to be useful on its own.
#
# ### Keeping the scale
#
# If half of the units vanish, the next layer receives half of the sum that it gets when none do. Training and
# use have to agree, so either the weights are scaled down afterwards, or what is kept is scaled up at once.
# The second way, **inverted dropout**, is what PyTorch and Keras do (section 10 of the paper mentions it),
# because it leaves nothing to do later:
#
# $$y_i = \frac{m_i\, x_i}{1 - p}, \qquad m_i = \begin{cases} 0 & \text{with probability } p \\ 1 & \text{with probability } 1 - p \end{cases}
# \qquad\Rightarrow\qquad \mathbb E[y_i] = x_i, \qquad \mathrm{Var}[y_i] = \frac{p}{1 - p}\, x_i^2 .$$
#
# Mind the letter: in the paper, $p$ is the probability that a unit is *kept*. In PyTorch's `nn.Dropout(p)`
# and Keras' `Dropout(rate)`, it is the probability that it is *dropped*, as it is here.
#
# The figure shows what a layer sees whose input is a picture. Each draw has lost a share $p$ of its pixels,
# and the others are darker than they were (the grey scale ends at black). On average, the picture is there.

# %% nbgrader={"grade": false, "grade_id": "setup_keras", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped
from sklearn.datasets import load_digits

# %% tags=["demo"]
picture = load_digits().images[0]
chance = np.random.default_rng(1)
fig, axes = plt.subplots(2, 6, figsize=(9.3, 3.5))
for row, (ax_row, p) in enumerate(zip(axes, (0.5, 0.8), strict=True)):
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

# %% [markdown]
# The price of dropout is noise. On the left, what a unit of the next layer receives from 100 units: with the
# factor $1/(1-p)$, its mean is where it will be when nothing is dropped; without the factor, training and use
# disagree. On the right, the variance: harmless at $p = 0.2$, and at $p = 0.9$ nine times the square of the
# input.

# %% tags=["demo"]
chance = np.random.default_rng(2)
units, incoming = chance.random(100), chance.normal(0.1, 0.1, 100)
masks = chance.random((20_000, 100)) >= 0.5
fig, axes = plt.subplots(1, 2, figsize=(9.3, 3.2), width_ratios=(1.3, 1))
bins = np.linspace(0, 9, 70)
axes[0].hist((masks * units) @ incoming, bins, color="C1", alpha=0.75, label="training, without the factor")
axes[0].hist((masks * units) @ incoming / 0.5, bins, color="C0", alpha=0.75, label="training, inverted dropout")
axes[0].axvline(units @ incoming, color="black", ls="--", lw=1.5, label="nothing dropped")
axes[0].set(title="Sum over 100 units, $p = 0.5$", xlabel="input of a unit in the next layer", ylabel="draws of 20,000")
axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.45)
axes[0].legend(fontsize=8.5, loc="upper right")
rates = np.linspace(0, 0.92, 100)
axes[1].plot(rates, rates / (1 - rates), color="C0", label="$p\\,/\\,(1-p)$")
some_rates = np.arange(0.1, 0.95, 0.1)
axes[1].plot(some_rates, [np.var((chance.random(100_000) >= p) / (1 - p)) for p in some_rates], "o", color="C5", ms=5, label="of 100,000 draws")
axes[1].set(title="Variance of the output for an input of 1", xlabel="probability of dropping, $p$", ylabel="variance")
axes[1].legend()
plt.show()

# %% [markdown]
# ### Two frameworks, two ways to know the mode
#
# A layer has to know whether it is training. **PyTorch** keeps it in the module: `model.train()` and
# `model.eval()` set `self.training` in every part of the model. It has nothing to do with gradients:
# `torch.no_grad()` does not switch dropout off. **Keras** passes it along with each call:
# `layer(x, training=True)`, and a model passes its own mode on to its layers; `fit` sets it.
#
# They differ in their random numbers, too. PyTorch draws from one generator with a state, so each call gives
# new numbers. Keras' random functions are **stateless**: `keras.random.uniform(shape, seed=7)` gives the same
# numbers every time. New ones come from a `keras.random.SeedGenerator`, which moves on each time that it is
# passed as the `seed`. And since Keras compiles `call` in `fit`, whatever Python or NumPy computes in it is
# computed **once**, while the function is traced: a mask drawn with NumPy would stay the same for the rest of
# the training.

# %% [markdown]
# ### Exercise 2.3 · Dropout in both frameworks
#
# > **Difficulty** ★☆☆☆ · **30 minutes** · **10 points** · PyTorch and Keras 3 on TensorFlow
#
# **Given** the constructors of two layers.
#
# **Write** `TorchDropout.forward` and `KerasDropout.call`: inverted dropout, element by element. The
# frameworks' own dropout (`nn.Dropout`, `F.dropout`, `torch.dropout`, `keras.layers.Dropout`,
# `keras.random.dropout`, `tf.nn.dropout`) is what you are building; the hidden checks make it fail.
#
# <details><summary>Hint 1: from uniform numbers to a mask</summary>
#
# A number that is uniform between 0 and 1 is below $p$ with probability $p$. Draw one for each element, not
# one for each sample or each feature.
# </details>
#
# <details><summary>Hint 2: p = 1</summary>
#
# Everything is dropped, and $1/(1-p)$ does not exist. It is not enough to replace infinities in the result:
# in the gradient, $0 \cdot \infty$ is NaN. Choose the factor so that no division by zero takes place.
# </details>
#
# <details><summary>Hint 3: shapes and types in Keras</summary>
#
# In a compiled model the size of the batch is not known in advance: `inputs.shape` has a `None` there, and
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

        In training mode, each element is set to zero with probability p, independently of all
        others and anew in each call, and is divided by 1 - p otherwise. The gradient goes through
        the same elements by the same factor. With p = 0, nothing changes; with p = 1, result and
        gradient are zero.

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
        is a new one in each call, and the batch may have any size.

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
    assert len(values) == 2 and values[0] == 0, f"in training, there should be two values, 0 and 1 / (1 - p); there are: {values[:5]}"
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
            train = tensorflow.function(lambda x: layer(x, training=True), input_signature=[tensorflow.TensorSpec([None, 40])])
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


def is_dropped(y, x):
    """Whether y may be dropout of x with p = 0.5."""
    return y.shape == x.shape and y.dtype == x.dtype and bool(((y == 0) | (y == 2 * x)).all() and (y == 0).any() and (y != 0).any())


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
            fail("With p = 1, the output is not zero throughout.")
        if i >= emptied and not is_dropped(bits(y), bits(x)):
            fail(f"In training mode, the output is wrong for {x.dtype}, {'with' if cases[i][3] else 'without'} gradients being recorded.")


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
    plain = [nonzero(*shape) for shape in [(50,), (3, 4, 5, 6), (6, 30)]]
    types = [nonzero(60, dtype=kind) for kind in ("float16", "float64")]
    still, (emptied,), dropped, typed = probe(run, extreme, plain, types)
    *not_training, without_rate = still
    if not all(same_bits(y, extreme) for y in not_training):
        fail("If training is false or not given, the output is not equal to the input, bit by bit.")
    if not same_bits(without_rate, extreme):
        fail("With a rate of 0, the output is not equal to the input, bit by bit.")
    if emptied.shape != extreme.shape or not (emptied == 0).all():
        fail("With a rate of 1, the output is not zero throughout.")
    if not all(is_dropped(y, x) for y, x in zip(dropped, [*plain, plain[-1]], strict=True)):
        fail("With training=True, passed to the layer or to a model that contains it, the output is wrong.")
    for x, same, y in zip(types, typed[::2], typed[1::2], strict=True):
        if not (same_bits(same, x) and is_dropped(y, x)):
            fail(f"In a layer that computes in {x.dtype}, the output is wrong or of another type.")


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
# A layer of $n$ units has $2^n$ masks, so training with dropout trains $2^n$ **subnetworks** that share their
# weights, each of them a little. Used without dropout, the network should act like an average of them all. In
# which sense? Suppose dropout comes right before the last layer, with $p = 1/2$, so that all masks are
# equally likely. That layer is linear, so the mean of the logits over all masks is exactly what evaluation
# mode computes. For the probabilities, this means: evaluation mode gives the **geometric** mean of the
# subnetworks' predictions, rescaled to sum to one (Hinton et al., *Improving neural networks by preventing
# co-adaptation of feature detectors*, arXiv:1207.0580). For the arithmetic mean, and for dropout in deeper
# places, it is an approximation.
#
# Your layer shows it. **Left:** a network with ten hidden units, all of its 1024 subnetworks, and what they
# say about one digit. **Middle:** the average of the probabilities of $k$ subnetworks, drawn by leaving a
# wider network in training mode, against the same network in evaluation mode. **Right:** two networks, trained with
# and without dropout, from which more and more units are removed at random for each digit (with the others scaled up).

# %% tags=["demo", "raises-exception"]
from itertools import product

digit_pixels, digit_classes = (torch.tensor(array) for array in load_digits(return_X_y=True))
digit_pixels = (digit_pixels / 16).float()
unseen = slice(300, 1000)


def net_with_dropout(width, p, n_steps=250):
    """A network with one hidden layer, trained on 300 digits with dropout after that layer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), TorchDropout(p), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(n_steps):
        optimizer.zero_grad()
        F.cross_entropy(net(digit_pixels[:300]), digit_classes[:300]).backward()
        optimizer.step()
    return net


fig, axes = plt.subplots(1, 3, figsize=(9.5, 3.3))
with torch.no_grad():
    with torch.enable_grad():
        narrow, wide, plain = net_with_dropout(10, 0.5), net_with_dropout(100, 0.5), net_with_dropout(100, 0.0)
    all_masks = torch.tensor(list(product((0.0, 2.0), repeat=10)))
    usual = narrow.eval()(digit_pixels[unseen]).softmax(-1)
    chosen = (usual.max(-1).values - 0.6).abs().argmin()  # a digit that the network is not sure of
    label = usual[chosen].argmax()
    logits = narrow[3](narrow[1](narrow[0](digit_pixels[unseen][chosen])) * all_masks)
    voices = logits.softmax(-1)
    geometric = logits.log_softmax(-1).mean(0).softmax(-1)
    axes[0].hist(voices[:, label], 25, color="0.75")
    axes[0].axvline(voices.mean(0)[label], ymax=0.66, color="C1", lw=2, label="arithmetic mean")
    axes[0].axvline(geometric[label], ymax=0.66, color="C0", lw=4.5, label="geometric mean")
    axes[0].axvline(usual[chosen, label], ymax=0.66, color="black", ls=":", lw=1.8, label="evaluation mode")
    axes[0].set(title="All subnetworks", xlabel=f"probability of class {int(label)}", ylabel="subnetworks of 1024")
    axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.5)
    axes[0].legend(fontsize=8, loc="upper right")

    wide.train()
    draws = torch.stack([wide(digit_pixels[unseen]).softmax(-1) for _ in range(256)])
    sizes = [1, 2, 4, 8, 16, 32, 64]
    averaged = [[F.nll_loss(group.mean(0).log(), digit_classes[unseen]).item() for group in draws.split(k)] for k in sizes]
    axes[1].plot(sizes, [np.mean(losses) for losses in averaged], "o-", ms=4, color="C1", label="average of $k$ subnetworks")
    axes[1].axhline(F.cross_entropy(wide.eval()(digit_pixels[unseen]), digit_classes[unseen]).item(), color="black", ls=":", lw=1.8, label="evaluation mode")
    axes[1].set(title="Averages of some", xscale="log", xlabel="$k$", ylabel="loss on unseen digits (nats)")
    axes[1].set_xticks(sizes, labels=[str(k) for k in sizes])
    axes[1].minorticks_off()
    axes[1].legend(fontsize=8)

    removed = [0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9]
    for name, net, colour, style in [("trained with dropout", wide, "C0", "o-"), ("trained without", plain, "C5", "s--")]:
        net.train()
        scores = []
        for share in removed:
            net[2].p = share
            guesses = torch.stack([net(digit_pixels[unseen]).argmax(-1) for _ in range(20)])
            scores.append((guesses == digit_classes[unseen]).float().mean())
        axes[2].plot(removed, scores, style, ms=4, color=colour, label=name)
    axes[2].set(title="Units removed", xlabel="share of hidden units removed", ylabel="accuracy on unseen digits", ylim=(0, 1.02))
    axes[2].legend(fontsize=8, loc="lower left")
plt.show()

# %% [markdown]
# On the left, the dotted line lies on the geometric mean, whatever the weights are. The arithmetic mean is
# less sure of itself. In the middle the loss falls as more subnetworks are averaged: the loss of an average of probabilities is never
# above the average of the losses, because $-\log$ is convex. That a handful of them also beats evaluation mode is no law; this wide network
# is too sure of itself, and the arithmetic mean is not. They cost $k$ passes instead of one, though, and in the share of right answers there is
# little to gain: in the paper's section 7.5, it takes about 50 of them to draw level. On the right, both
# networks are about equally good as long as they are whole. The one that never had to do without a unit falls
# apart sooner: its units rely on others that are now missing. That is what is meant by co-adaptation, and no sample was left out to prevent it.

