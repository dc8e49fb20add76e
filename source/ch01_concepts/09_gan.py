# %% [markdown]
# ## 1.9 A GAN, repaired
#
# In a **generative adversarial network**, one network makes samples and a different one judges them. A GAN can have any size: GigaGAN has a billion parameters (arXiv:2303.05511).
#
# This listing, adapted from TensorFlow's DCGAN tutorial, is to make pictures of 128 × 128 pixels, values from 0 to 1. Which line raises an error? What else is wrong?
#
# ```python
# def gan():
#     layers = keras.layers
#     model = keras.Sequential([
#         keras.Input((100,)),
#         layers.Dense(7 * 7 * 64), layers.BatchNormalization(), layers.LeakyReLU(),
#         layers.Reshape((7, 7, 64)),
#         layers.Conv2DTranspose(64, 5, strides=1, padding="same"), layers.BatchNormalization(), layers.LeakyReLU(),
#         layers.Conv2DTranspose(32, 5, strides=2, padding="same"), layers.BatchNormalization(), layers.LeakyReLU(),
#         layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh"),
#     ])
#     assert model.output_shape == (None, 128, 128, 1)
#     return model
#
# picture = gan()(keras.random.normal((1, 100)))
# ```
#
# <details><summary>Compare your list</summary>
#
# - The assertion fails: a transposed convolution with stride 2 doubles the side, and no doublings take 7 to 128.
# - There is no GAN: no opponent, no training.
# - `tanh` is for images from −1 to 1. Here one negative pixel gives a fake away.
# - Kernel 5 with stride 2 gives neighbouring pixels unequal shares, a checkerboard (Odena et al., Distill, 2016). Kernel 4 has none.
# </details>

# %% tags=["demo"]
def where_doublings_lead():
    """Sizes that doublings reach from a start, and how often a transposed convolution paints each pixel."""
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.2), width_ratios=(1.25, 1))
    wanted = [8, 28, 128]
    plain = dict(facecolor="white", edgecolor="none", pad=0.5)
    for side in wanted:
        axes[0].axvline(side, color="C0", ls=":", lw=1, zorder=0)
    for row, start in enumerate((4, 5, 6, 7)):
        sides = [start * 2**k for k in range(7) if start * 2**k <= 256]
        axes[0].plot(sides, [row] * len(sides), "o-", color="0.75", ms=5, lw=1.2, zorder=1)
        for side in sides:
            hit = side in wanted
            if hit:
                axes[0].plot(side, row, "o", color="C0", ms=8)
            axes[0].annotate(str(side), (side, row), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8.5,
                             color="C0" if hit else "0.4", bbox=plain)
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks(wanted, labels=[str(side) for side in wanted])
    axes[0].set_yticks(range(4), labels=["4", "5", "6", "7"])
    axes[0].set(ylim=(-0.4, 3.6), xlim=(3.4, 300), xlabel="side of the image (pixels)", ylabel="side of the start", title="Where doublings lead")
    axes[0].grid(False)
    for kernel, color in {3: "C1", 5: "C5", 4: "C0"}.items():
        coats = F.conv_transpose1d(torch.ones(1, 1, 9), torch.ones(1, 1, kernel), stride=2)[0, 0]
        inner = coats[kernel : 2 * 9 - kernel]
        axes[1].plot(range(len(inner)), inner, "o-" if kernel == 4 else "o--", ms=4, color=color, label=f"kernel {kernel}")
    axes[1].set(ylim=(0, 3.4), xlabel="output pixel, away from the border", ylabel="contributions", title="Stride 2: coats of paint per pixel")
    axes[1].legend(ncols=3, loc="lower center")
    plt.show()


where_doublings_lead()

# %% [markdown]
# ### Two networks, one game
#
# The **generator** $G$ turns noise $z$ into an image. The **discriminator** maps an image to a logit $\ell(x)$;
# $D(x) = \sigma(\ell(x))$ is its probability that $x$ is real. It minimises what the generator tries to raise (Goodfellow et al., arXiv:1406.2661, equation 1):
#
# $$\begin{aligned} L_D &= -\mathbb{E}_x \log D(x) - \mathbb{E}_z \log\big(1 - D(G(z))\big) \\
# &= \mathbb{E}_x\,\mathrm{softplus}(-\ell(x)) + \mathbb{E}_z\,\mathrm{softplus}(\ell(G(z))), \quad \mathrm{softplus}(t) = \log(1 + e^t). \end{aligned}$$
#
# For densities $p$ of real and $q$ of generated images, the best discriminator is $D^* = p / (p + q)$ (proposition 1). When
# $q = p$, it can only guess, and $L_D = 2 \log 2$: a falling loss is not the aim.
#
# Early on, the discriminator recognises what the generator makes: $\ell(G(z)) \ll 0$. The derivative of $\log(1 - D)$ by the logit, $-D$,
# vanishes just when the generator has everything to learn. The remedy (section 3) is the **non-saturating** loss
#
# $$L_G = -\mathbb{E}_z \log D(G(z)) = \mathbb{E}_z\,\mathrm{softplus}(-\ell(G(z))), \quad \frac{\partial}{\partial \ell}\,\mathrm{softplus}(-\ell) = -(1 - D).$$

# %% tags=["demo"]
def losses_of_the_game():
    """The best discriminator for two densities, and both losses of the generator with their derivatives."""
    _, axes = plt.subplots(1, 3, figsize=(9.5, 3.1))
    points = np.linspace(-4, 5, 300)
    p, q = (np.exp(-((points - centre) ** 2) / 2 / width**2) / width / math.sqrt(2 * math.pi) for centre, width in ((0, 1.0), (1.8, 0.8)))
    axes[0].fill_between(points, p, color="C0", alpha=0.35, label="real: $p$")
    axes[0].fill_between(points, q, color="C1", alpha=0.45, label="generated: $q$")
    axes[0].plot(points, p / (p + q), color="black", label="$D^* = p/(p+q)$")
    axes[0].axhline(0.5, color="0.5", ls=":", lw=1)
    axes[0].set(title="The best discriminator", xlabel="$x$", ylabel="density; probability", ylim=(0, 1.45))
    axes[0].legend(fontsize=8.5, loc="upper right")
    logits = np.linspace(-8, 8, 200)
    d = 1 / (1 + np.exp(-logits))
    axes[1].plot(logits, np.log1p(-d), color="C1", ls="--", label="minimax: $\\log(1 - D)$")
    axes[1].plot(logits, -np.log(d), color="C0", label="non-saturating: $-\\log D$")
    axes[1].set(title="The generator's loss", xlabel="logit of a generated image", ylabel="nats", ylim=(-9, 13))
    axes[1].legend(fontsize=8.5, loc="upper right")
    axes[2].plot(logits, d, color="C1", ls="--")
    axes[2].plot(logits, 1 - d, color="C0")
    axes[2].annotate("$1 - D$", (-6, 0.93), color="C0", va="top")
    axes[2].annotate("$D$", (-6, 0.05), color="C1")
    axes[2].set(title="How strongly it pulls", xlabel="logit of a generated image", ylabel="|derivative|", ylim=(-0.03, 1.05))
    plt.show()


losses_of_the_game()

# %% [markdown]
# ### Exercise 1.9 · The GAN, repaired
#
# > **Difficulty** ★★★☆ · **55 minutes** · **12 points** · Keras 3 on TensorFlow
#
# **Given**: `upsampling_plan` and `build_discriminator`. **Write** the generator, two losses and a training step.
#
# With `start, doublings = upsampling_plan(size)`, the **generator** is
#
# 1. a dense layer with `start * start * width` outputs, reshaped to `(start, start, width)`; batch normalisation; ReLU
# 2. `doublings` times: a transposed convolution with `width` filters of 4 × 4, stride 2, `same` padding; batch normalisation; ReLU
# 3. a convolution with one filter of 3 × 3, `same` padding, and a sigmoid.
#
# The **training step** has two halves. All calls are with `training=True`.
#
# 1. *Discriminator.* Make as many images from noise as there are real ones, compute $L_D$, update the discriminator.
# 2. *Generator.* Draw **new** noise, compute $L_G$ with the discriminator as it is **now**, update the generator.
#
# <details><summary>Hint 1: a step of one network only</summary>
#
# ```python
# with tf.GradientTape() as tape:
#     loss = ...
# gradients = tape.gradient(loss, one_network.trainable_variables)
# optimizer.apply(gradients, one_network.trainable_variables)
# ```
# </details>
#
# <details><summary>Hint 2: fresh noise</summary>
#
# `tf.function` records TensorFlow's operations once and replays them. `np.random` draws only while it records; `tf.random.normal` is an operation.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_gan", "locked": true, "schema_version": 3, "solution": false, "task": false}
import tensorflow as tf


def upsampling_plan(size: int) -> tuple[int, int]:
    """How a generator reaches a size by doublings.

    Args:
        size: at least 4.

    Returns:
        (start, doublings), two whole numbers: the smallest start that is at least 4 and satisfies
        start * 2**doublings == size. It may be the size itself, with no doubling at all.

    >>> upsampling_plan(28), upsampling_plan(128), upsampling_plan(30)
    ((7, 2), (4, 5), (15, 1))
    """
    start, doublings = size, 0
    while start % 2 == 0 and start // 2 >= 4:
        start, doublings = start // 2, doublings + 1
    return start, doublings


def build_discriminator(size: int, width: int = 32) -> keras.Model:
    """A discriminator: (m, size, size, 1) images to (m, 1) logits.

    It has as many stride-2 convolutions as the generator has doublings, and no batch normalisation:
    with it, what is said about one image would depend on the others in its batch.
    """
    _, doublings = upsampling_plan(size)
    layers = [keras.Input((size, size, 1))]
    for _ in range(doublings):
        layers += [
            keras.layers.Conv2D(width, 4, strides=2, padding="same"),
            keras.layers.LeakyReLU(negative_slope=0.2),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(1)])

# %% nbgrader={"grade": false, "grade_id": "gan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def build_generator(size: int, latent: int = 16, width: int = 32) -> keras.Model:
    """The generator described above: (m, latent) noise to (m, size, size, 1) images.

    Batch normalisation has Keras' defaults and follows the `training` argument of the call. The
    initial weights are up to you, and so is whether layers in front of a batch normalisation have a
    bias.
    """
    ### BEGIN SOLUTION
    start, doublings = upsampling_plan(size)
    layers = [
        keras.Input((latent,)),
        keras.layers.Dense(start * start * width),
        keras.layers.Reshape((start, start, width)),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    for _ in range(doublings):
        layers += [
            keras.layers.Conv2DTranspose(width, 4, strides=2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    layers.append(keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid"))
    return keras.Sequential(layers)
    ### END SOLUTION


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The mean of -log D over the real images plus the mean of -log(1 - D) over the generated ones.

    If D(x) = 1/2 everywhere, this is 2 log 2. Value and gradient are correct for logits of any
    size, 0 and 10,000 included.

    Args:
        real_logits: (m, 1), float32.
        fake_logits: (n, 1), float32; n need not be m.

    Returns:
        A tensor without axes.
    """
    ### BEGIN SOLUTION
    return tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))
    ### END SOLUTION


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """The mean of -log D over the generated images, the non-saturating loss.

    If D(x) = 1/2 everywhere, this is log 2. Logits and result are as in `discriminator_loss`.
    """
    ### BEGIN SOLUTION
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))
    ### END SOLUTION


def gan_step(
    generator: keras.Model,
    discriminator: keras.Model,
    generator_optimizer: keras.optimizers.Optimizer,
    discriminator_optimizer: keras.optimizers.Optimizer,
    images: tf.Tensor,
    latent: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One update of the discriminator, then one of the generator, as described above.

    Each half updates the trainable variables of its own network. Those of the other network, and
    frozen ones, keep their values. All noise is standard normal, and drawn anew in each half of
    each call, inside `tf.function`, too.

    Args:
        generator: any network from (m, latent) noise to images.
        discriminator: any network from images to (m, 1) logits that judges each image by itself, so
            real and generated ones may be judged in one call or in two.
        generator_optimizer, discriminator_optimizer: one for each network.
        images: m real images, float32, for any m; their shape is known, inside `tf.function`, too.
        latent: width of the noise.

    Returns:
        The losses that the two halves minimised, (L_D, L_G), each computed before the update of
        its half: two tensors without axes.
    """
    ### BEGIN SOLUTION
    shape = (images.shape[0], latent)
    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal(shape), training=True)
        loss_d = discriminator_loss(discriminator(images, training=True), discriminator(fakes, training=True))
    variables = discriminator.trainable_variables
    discriminator_optimizer.apply(tape.gradient(loss_d, variables), variables)

    with tf.GradientTape() as tape:
        fakes = generator(tf.random.normal(shape), training=True)
        loss_g = generator_loss(discriminator(fakes, training=True))
    variables = generator.trainable_variables
    generator_optimizer.apply(tape.gradient(loss_g, variables), variables)
    return loss_d, loss_g
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test_gan", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=12)


@check(points=1, hint="Compare with the list: the start from upsampling_plan, one transposed convolution for each doubling, a sigmoid at the end.")
def makes_images():
    """The generator makes images of 28 and of 8 pixels a side, with values from 0 to 1, whatever the noise."""
    for size in (28, 8):
        def run(noise, size):
            network = build_generator(size, latent=5, width=3)
            return network if network is None else np.asarray(network(noise))

        images = probe(run, 100 * np.random.normal(size=(4, 5)).astype("float32"), size)
        assert images is not None, "build_generator returns None: is the return missing?"
        assert images.shape == (4, size, size, 1), f"images of shape {images.shape} instead of {(4, size, size, 1)}"
        lowest, highest = images.min(), images.max()
        assert lowest >= 0 and highest <= 1, f"pixels from {lowest:.3g} to {highest:.3g} instead of from 0 to 1"


@check(points=0.5, hint="The mean of softplus(-logit) over the real images plus the mean of softplus(logit) over the generated ones.")
def discriminator_pays_for_its_mistakes():
    """discriminator_loss is 2 log 2 for a discriminator that guesses, and correct for one that is often wrong."""
    for real, fake, truth in [((0, 0), (0, 0), 1.3863), ((2,), (-1, 3), 1.8078), ((-3, 1, 0), (0,), 2.0448)]:
        found = discriminator_loss(*(tf.constant(logits, tf.float32)[:, None] for logits in (real, fake)))
        assert found is not None, "discriminator_loss returns None: is the return missing?"
        assert math.isclose(float(found), truth, rel_tol=1e-3), f"for real logits {real} and generated ones {fake} it is {truth}, yours {float(found):.4f}"


@check(points=0.5, hint="The mean of softplus(-logit) over the generated images: small where the discriminator takes them for real.")
def generator_pays_for_being_found_out():
    """generator_loss is log 2 if the discriminator guesses, small if it is deceived and large if it is not."""
    for logits, truth in [((0, 0), 0.6931), ((5,), 0.0067), ((-5,), 5.0067), ((1, -2, 0), 1.0444)]:
        found = generator_loss(tf.constant(logits, tf.float32)[:, None])
        assert found is not None, "generator_loss returns None: is the return missing?"
        assert math.isclose(float(found), truth, rel_tol=1e-2), f"for logits {logits} it is {truth}, yours {float(found):.4f}"


@check(points=1, hint="Two halves, each with a tape of its own: the discriminator's loss first, then the generator's. optimizer.apply(gradients, variables) takes the step.")
def a_step_moves_both_networks():
    """A step returns the two losses and changes the variables of both networks."""
    def run(images):
        generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Reshape((2, 2, 1))])
        discriminator = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
        before = [network.get_weights() for network in (generator, discriminator)]
        losses = gan_step(generator, discriminator, keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), tf.constant(images), 3)
        if losses is None:
            return [], []
        after = [network.get_weights() for network in (generator, discriminator)]
        moved = [all(not np.array_equal(a, b) for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
        return [np.array(loss) for loss in losses], moved

    losses, moved = probe(run, np.random.uniform(0, 1, (5, 2, 2, 1)).astype("float32"))
    assert losses, "gan_step returns None: is the return missing?"
    assert len(losses) == 2, f"{len(losses)} losses instead of two, (L_D, L_G)"
    for name, loss in zip(("L_D", "L_G"), losses, strict=True):
        assert loss.shape == () and loss > 0, f"{name} is {loss} instead of a single positive number"
    for name, has_moved in zip(("generator", "discriminator"), moved, strict=True):
        assert has_moved, f"after a step with learning rate 0.1, some weights of the {name} are as they were"


### BEGIN HIDDEN TESTS
from functools import cache


def brute_force_plan(size):
    """All ways to write the size, and of those the one with the smallest start."""
    return min((size // 2**k, k) for k in range(10) if size % 2**k == 0 and size // 2**k >= 4)


def drawn(name, shape):
    """Values for a variable. Equal names and shapes get equal values, so the order of layers is nobody's concern."""
    values = np.random.default_rng([len(name), *shape]).normal(0, 1, shape)
    if name == "kernel":
        values *= 2 / math.sqrt(math.prod(shape[:-1]))
    if name == "gamma":
        values = 1 + values / 4
    if name == "moving_variance":
        values = np.exp(values / 2)
    return values.astype("float32")


def with_drawn_weights(network, inputs):
    """Gives the network weights that both sides know, and lists them."""
    network(inputs)  # a network that was written as a class makes its weights now
    for variable in network.variables:
        if "seed" not in variable.name:
            variable.assign(drawn(variable.name, tuple(variable.shape)))
    return [(variable.name, tuple(variable.shape)) for variable in network.variables if "seed" not in variable.name]


@check(points=1, hint="The start and the number of transposed convolutions come from upsampling_plan(size), for any size. There may be no doubling at all.")
def generator_follows_the_plan():
    """For any size, the generator begins with the plan's start and doubles as often as the plan says."""
    def run(sizes, latent, width):
        found = []
        for size in sizes:
            network = build_generator(size, latent, width)
            images = network(np.zeros((2, latent), "float32"))
            found.append((tuple(images.shape), [tuple(v.shape) for v in network.variables if len(v.shape) > 1]))
        return found, build_generator(sizes[-1], latent, width) is network

    sizes, latent, width = [5, 12, 96], 3, 2
    found, is_the_same = probe(run, sizes, latent, width)
    if is_the_same:
        fail("A second call returns the network of the first one, trained or not.")
    for size, (images, kernels) in zip(sizes, found, strict=True):
        start, doublings = brute_force_plan(size)
        if images != (2, size, size, 1):
            fail("For some size, the generator's images have the wrong shape.")
        if (latent, start * start * width) not in kernels or sum(len(shape) == 4 for shape in kernels) != doublings + 1:
            fail("For some size, the generator does not begin with the plan's start, or has not one layer per doubling (and one more at the end).")


def listed_value(listed, name, *shape):
    """The value of that variable, zeros where the network has none: a bias may be left out."""
    values = drawn(name, shape) if (name, shape) in listed else np.zeros(shape)
    return torch.tensor(values, dtype=torch.float64)


def images_by_torch(noise, size, width, listed, training):
    """What the list of layers makes of the noise, and the batch's means in front of the first batch normalisation."""
    value = lambda name, *shape: listed_value(listed, name, *shape)
    doublings = 2 if size == 20 else 1
    start, latent = size // 2**doublings, noise.shape[1]

    def normalised(hidden):
        statistics = [value(name, width) for name in ("moving_mean", "moving_variance", "gamma", "beta")]
        return F.batch_norm(hidden, *statistics, training=training, eps=1e-3).relu()

    hidden = torch.tensor(noise, dtype=torch.float64) @ value("kernel", latent, start * start * width) + value("bias", start * start * width)
    hidden = hidden.reshape(-1, start, start, width).permute(0, 3, 1, 2)
    means = hidden.mean((0, 2, 3)).numpy()
    hidden = normalised(hidden)
    for _ in range(doublings):
        kernel = value("kernel", 4, 4, width, width).permute(3, 2, 0, 1)
        hidden = normalised(F.conv_transpose2d(hidden, kernel, value("bias", width), stride=2, padding=1))
    hidden = F.conv2d(hidden, value("kernel", 3, 3, width, 1).permute(3, 2, 0, 1), value("bias", 1), padding=1)
    return hidden.sigmoid().permute(0, 2, 3, 1).numpy(), means


@cache
def generated():
    """Images of 20 x 20 pixels in both modes, made with known weights, and what became of the variables.

    Returns:
        noise, listed variables, and a dict of results.
    """
    noise = np.random.normal(0, 1, (6, 5)).astype("float32")

    def run(noise, size, width):
        network = build_generator(size, noise.shape[1], width)
        listed = with_drawn_weights(network, noise)
        values = lambda: [np.array(variable) for variable in network.variables]
        before = values()
        results = {"alone": np.array(network(noise[:2], training=False)), "looking": np.array(network(noise, training=False))}
        results["untold"] = np.array(network(noise))
        results["kept"] = all(np.array_equal(a, b) for a, b in zip(before, values(), strict=True))
        results["training"] = np.array(network(noise, training=True))
        moved = [(variable.name, np.array(variable)) for variable in network.variables if variable.name.startswith("moving")]
        return listed, results, moved

    return noise, *probe(run, noise, 20, 3)


@check(points=2, hint="Compare generator.summary() with the list, layer by layer: kernels, strides, padding, activations.")
def generator_follows_the_list():
    """The generator computes what the list of layers says, up to the sigmoid at the end."""
    noise, listed, results, _ = generated()
    kernels = sorted(shape for _, shape in listed if len(shape) > 1)
    if kernels != sorted([(5, 75), (4, 4, 3, 3), (4, 4, 3, 3), (3, 3, 3, 1)]):
        fail("For 20 pixels a side, the shapes of the generator's kernels are not those of the list.")
    images = results["looking"]
    if images.min() < 0 or images.max() > 1:
        fail("There are pixels outside the range from 0 to 1.")
    truth, _ = images_by_torch(noise, 20, 3, listed, training=False)
    if not np.allclose(images, truth, atol=1e-4):
        fail("With the same weights, the layers on the list make other images: compare order, strides, padding and activations.")


@check(points=1, hint="Give training= at the call of the network, not inside it. One batch normalisation after the reshape, one after each transposed convolution.")
def batch_norm_obeys_the_flag():
    """Batch normalisation uses the batch with training=True, and its moving averages otherwise."""
    noise, listed, results, moved = generated()
    gammas = [shape for name, shape in listed if name == "gamma"]
    if gammas != [(3,)] * 3:
        fail("For 20 pixels a side and 3 channels, there should be three batch normalisations over 3 channels each.")
    if not np.allclose(results["alone"], results["looking"][:2], atol=1e-5):
        fail("With training=False, an image depends on the other noise in its batch.")
    if not results["kept"]:
        fail("A call with training=False changed the network's variables.")
    if not np.allclose(results["looking"], results["untold"], atol=1e-5):
        fail("Called without training=, the network does not behave as with training=False.")
    if np.allclose(results["looking"], results["training"], atol=1e-3):
        fail("With training=True, the network makes the same images as with training=False.")
    truth, means = images_by_torch(noise, 20, 3, listed, training=True)
    if np.allclose(results["looking"], images_by_torch(noise, 20, 3, listed, training=False)[0], atol=1e-4) and not np.allclose(results["training"], truth, atol=1e-4):
        fail("With training=True, the images are not those of a normalisation by the batch's own means and variances.")
    expected = 0.99 * drawn("moving_mean", (3,)) + 0.01 * means
    if not any(name == "moving_mean" and np.allclose(value, expected, atol=1e-5) for name, value in moved):
        fail("A call with training=True did not move the moving averages by one per cent (Keras' default) towards the batch's.")


def losses_and_slopes(cases):
    """Both losses and their gradients, for pairs of real and fake logits."""
    def run(cases):
        found = []
        for pair in cases:
            real, fake = (tf.constant(logits) for logits in pair)
            with tf.GradientTape(persistent=True) as tape:
                tape.watch([real, fake])
                losses = discriminator_loss(real, fake), generator_loss(fake)
            slopes = tape.gradient(losses[0], real), tape.gradient(losses[0], fake), tape.gradient(losses[1], fake)
            found.append(([np.array(loss) for loss in losses], [None if slope is None else np.array(slope) for slope in slopes]))
        return found

    return probe(run, cases)


@check(points=2, hint="Compute with logits throughout: a probability in float32 is exactly 0 or 1 long before the logits are large, and clipping it cuts the gradient.")
def losses_are_those_of_logits():
    """Losses and gradients agree with the formulas for unequal batches and for logits of any size."""
    softplus = lambda logits: np.logaddexp(0, np.float64(logits))
    sigmoid = lambda logits: np.exp(-np.logaddexp(0, -np.float64(logits)))
    column = lambda *logits: np.float32(logits)[:, None]
    normal = lambda m: np.random.normal(0, 2, (m, 1)).astype("float32")
    cases = {
        "logits of moderate size": [(normal(5), normal(8)), (normal(7), normal(2)), (normal(1), normal(1))],
        "a discriminator that is nearly sure": [(column(17, 20, 30), column(-17, -20)), (column(-17, -20), column(17, 20, 30))],
        "logits of zero": [(column(0, 0), column(0, 1, 0)), (column(0), column(0))],
        "logits of hundreds or thousands": [(column(-200, -1e4), column(-1e4, 1)), (column(300, 1e4), column(150, 1e4)), (column(-1e4, 1e4), column(1e4, -150))],
    }
    for case, pairs in cases.items():
        for (real, fake), (losses, slopes) in zip(pairs, losses_and_slopes(pairs), strict=True):
            if any(loss.shape != () for loss in losses):
                fail("A loss is not a single number without axes.")
            truths = softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()
            for name, loss, truth in zip(("discriminator's", "generator's"), losses, truths, strict=True):
                if not math.isclose(loss, truth, rel_tol=1e-4, abs_tol=1e-12):
                    fail(f"The {name} loss is wrong for {case}" + ("." if len(real) == len(fake) else ", in batches of unequal size."))
            truths = -sigmoid(-real) / len(real), sigmoid(fake) / len(fake), -sigmoid(-fake) / len(fake)
            for name, slope, truth in zip(("discriminator's", "discriminator's", "generator's"), slopes, truths, strict=True):
                if slope is None or not np.allclose(slope, truth, rtol=1e-3, atol=1e-12):
                    fail(f"The {name} loss is right, its gradient is not, for {case}.")


def linear_pair(seed):
    """Weights of a generator that is linear up to a frozen layer, and of a discriminator likewise."""
    draw = lambda *shape: np.random.default_rng(seed).normal(0, 0.7, shape).astype("float32")
    return [draw(3, 3), draw(3, 4), draw(4)], [draw(4, 4), draw(4, 1), draw(1)]


def play(*games):
    """Has the student's step train two nearly linear networks, and reports all that happened.

    Args:
        games: each with the learning rates of the generator and the discriminator, by plain gradient descent, the number of
            steps, that of images m, and whether the step is compiled. All begin with the same weights.

    Returns:
        For each game images, (m, 4); weights of both networks before the first and after each step; per step the two
        losses and the noise that the generator got; the modes that each network was called in; and how often
        each optimizer was used.
    """
    def run(weights, games):
        noise, modes = [], ([], [])

        class Listener(keras.layers.Layer):
            def __init__(self, modes, heard=None):
                super().__init__()
                self.note = lambda training, inputs: (modes.append(training), heard and tf.numpy_function(heard, [inputs], []))

            def call(self, inputs, training=None):
                self.note(training, inputs)
                return tf.identity(inputs)

        dense = keras.layers.Dense
        networks = [
            keras.Sequential([keras.Input((3,)), Listener(modes[0], noise.append), dense(3, use_bias=False, trainable=False), dense(4), keras.layers.Reshape((2, 2, 1))]),
            keras.Sequential([keras.Input((2, 2, 1)), Listener(modes[1]), keras.layers.Flatten(), dense(4, use_bias=False, trainable=False), dense(1)]),
        ]

        def game(step, images, rates, steps):
            optimizers = [keras.optimizers.SGD(rate) for rate in rates]
            for network, given, optimizer, heard in zip(networks, weights, optimizers, modes, strict=True):
                network.set_weights(given)
                optimizer.build(network.trainable_variables)
                heard.clear()
            states, losses, noises = [weights], [], []
            for _ in range(steps):
                noise.clear()
                losses.append([np.array(loss) for loss in step(*networks, *optimizers, tf.constant(images), 3)])
                noises.append([np.array(z) for z in noise])
                states.append([network.get_weights() for network in networks])
            return states, losses, noises, [list(heard) for heard in modes], [int(optimizer.iterations) for optimizer in optimizers]

        def compiled(*arguments):
            try:
                return game(tf.function(gan_step, autograph=False), *arguments)  # the quickest
            except Exception:  # len(images), say, or an `if` on a tensor
                return game(tf.function(gan_step), *arguments)

        found = []
        for *arguments, compiling in games:
            tf.config.run_functions_eagerly(not compiling)
            try:
                found.append(compiled(*arguments) if compiling else game(gan_step, *arguments))
            finally:
                tf.config.run_functions_eagerly(False)
        return found

    played = [(np.random.uniform(0, 1, (m, 2, 2, 1)).astype("float32"), rates, steps, compiling) for rates, steps, m, compiling in games]
    found = probe(run, linear_pair(3), played)
    if any(len(noise) == 0 for _, _, noises, *_ in found for noise in noises):
        fail("In a training step, the generator was not asked for images.")
    return [(images.reshape(len(images), 4), *results) for (images, *_), results in zip(played, found, strict=True)]


def discriminator_by_hand(images, noise, states, rate):
    """Loss and weights after the first half, in closed form."""
    (frozen, kernel, bias), (features, slope, offset) = ([np.float64(value) for value in network] for network in states)
    parts = [images @ features, (noise @ frozen @ kernel + bias) @ features]
    loss, steps = 0, [0, 0]
    for inputs, label in zip(parts, (1, 0), strict=True):
        logits = inputs @ slope + offset
        loss += np.logaddexp(0, (1 - 2 * label) * logits).mean()
        error = (1 / (1 + np.exp(-logits)) - label) / len(inputs)
        steps = [steps[0] + inputs.T @ error, steps[1] + error.sum(0)]
    return loss, (slope - rate * steps[0], offset - rate * steps[1])


def generator_by_hand(noise, states, rate):
    """Loss and weights after the second half, in closed form."""
    (frozen, kernel, bias), (features, slope, offset) = ([np.float64(value) for value in network] for network in states)
    logits = (noise @ frozen @ kernel + bias) @ features @ slope + offset
    error = -1 / (1 + np.exp(logits)) / len(noise) @ (features @ slope).T
    return np.logaddexp(0, -logits).mean(), (kernel - rate * (noise @ frozen).T @ error, bias - rate * error.sum(0))


def all_close(found, truth):
    return all(np.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(found, truth, strict=True))


def all_equal(found, truth):
    return all(np.array_equal(a, b) for a, b in zip(found, truth, strict=True))


@check(points=1, hint="Real images have label 1, generated ones 0. tape.gradient takes the discriminator's trainable variables, and its optimizer applies the result.")
def discriminator_takes_its_step():
    """The first half moves the discriminator down the gradient of its loss, and nothing else."""
    [(images, states, losses, noise, _, used)] = play(((0.0, 0.5), 2, 6, False))
    for before, after, loss, seen in zip(states, states[1:], losses, noise, strict=False):
        truth, moved = discriminator_by_hand(images, seen[0], before, 0.5)
        if not all_equal(after[0], before[0]):
            fail("The generator's optimizer has learning rate 0, and the generator moved: another optimizer changes it.")
        if not all_equal(after[1][:1], before[1][:1]):
            fail("A frozen layer of the discriminator was changed: update its trainable variables only.")
        if all_equal(after[1], before[1]):
            fail("In some step, the discriminator did not move.")
        if not all_close(after[1][1:], moved):
            fail("The discriminator did not take one step down the gradient of its loss on the real images and as many generated ones.")
        if np.shape(loss[0]) != () or not math.isclose(loss[0], truth, rel_tol=1e-3):
            fail("The first number returned is not the discriminator's loss before its update.")
    if used[1] != 2:
        fail("The discriminator's optimizer should be used once in each step.")


@check(points=1, hint="The second half: new tape, loss through the updated discriminator, gradient for the generator's trainable variables, the generator's optimizer.")
def generator_takes_its_step():
    """The second half moves the generator down the gradient of its loss through the updated discriminator, and nothing else."""
    both_rates = (0.5, 0.0), (0.5, 4.0)
    for rates, (_, states, losses, noise, _, used) in zip(both_rates, play(*((rates, 2, 6, False) for rates in both_rates)), strict=True):
        for before, after, loss, seen in zip(states, states[1:], losses, noise, strict=False):
            if rates[1] == 0 and not all_equal(after[1], before[1]):
                fail("The discriminator's optimizer has learning rate 0, and the discriminator moved: another optimizer changes it.")
            if not all_equal(after[0][:1], before[0][:1]):
                fail("A frozen layer of the generator was changed: update its trainable variables only.")
            if all_equal(after[0], before[0]):
                fail("In some step, the generator did not move.")
            truth, moved = generator_by_hand(seen[-1], (before[0], after[1]), 0.5)
            if not all_close(after[0][1:], moved):
                if rates[1] and all_close(after[0][1:], generator_by_hand(seen[-1], before, 0.5)[1]):
                    fail("The generator's gradient was computed through the discriminator as it was before its update.")
                fail("The generator did not take one step down the gradient of its loss.")
            if np.shape(loss[1]) != () or not math.isclose(loss[1], truth, rel_tol=1e-3):
                fail("The second number returned is not the generator's loss before its update, with the updated discriminator.")
        if used[0] != 2:
            fail("The generator's optimizer should be used once in each step.")


@check(points=1, hint="Call the networks with training=True. Draw (m, latent) numbers in each half with tf.random.normal or keras.random.normal, without a seed.")
def trains_on_fresh_noise():
    """Each half draws new standard normal noise, in tf.function, too; all calls are in training mode."""
    (_, _, _, noise, modes, _), (_, _, _, compiled_noise, *_) = play(((0.1, 0.1), 2, 1000, False), ((0.1, 0.1), 2, 6, True))
    if not all(modes[0]) or not all(modes[1]):
        fail("A network was called without training=True.")
    if any(z.shape != (1000, 3) for seen in noise for z in seen):
        fail("The noise does not have shape (m, latent) with as many rows as there are real images.")
    for seen in (noise, compiled_noise):
        draws = [z for step in seen for z in step]
        where = "" if seen is noise else "Inside tf.function: "
        if any(len(step) < 2 for step in seen) or any(np.array_equal(step[0], step[-1]) for step in seen):
            fail(where + "Both halves of a step used the same noise.")
        if len({z.tobytes() for z in draws}) < len(draws):
            fail(where + "The same noise was used in several steps.")
    numbers = np.stack([z for seen in noise for z in (seen[0], seen[-1])])
    if len(np.unique(numbers)) < 0.99 * numbers.size:
        fail("Many numbers in the noise are equal: each image needs noise of its own, and each of its entries, too.")
    if abs(numbers.mean()) > 0.05 or abs(numbers.std() - 1) > 0.04 or abs(np.mean(np.abs(numbers) > 2) - 0.0455) > 0.01:
        fail("The noise is not standard normal: mean 0, standard deviation 1, and 4.6 per cent beyond two standard deviations.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn to draw?
#
# Your step, 600 times on the digits of 1.8. Adam has $\beta_1 = 0.5$, as in DCGAN (Radford et al., arXiv:1511.06434); the discriminator's rate is four times the generator's (after Heusel et al., arXiv:1706.08500). **Predict first:** will the losses fall while the pictures improve?

# %% tags=["demo", "nbval-ignore-output"]
def learn_to_draw(generator_rate=2e-3, discriminator_rate=8e-3, steps=600, seed=0):
    """Trains the learner's GAN on digits; draws samples from fixed noise, both losses, distances to real digits."""
    keras.utils.set_random_seed(seed)
    real = (load_digits().images[..., None] / 16).astype("float32")
    seen, unseen = real[:1500], real[1500:]
    moments = (0, 50, 150, steps)
    order, losses, snapshots = np.random.default_rng(seed), [], {}
    try:
        maker, opponent = build_generator(8), build_discriminator(8, width=64)
        print(f"parameters: generator {maker.count_params():,}, discriminator {opponent.count_params():,}")
        optimizers = [keras.optimizers.Adam(rate, beta_1=0.5) for rate in (generator_rate, discriminator_rate)]
        step, noise = tf.function(gan_step), keras.random.normal((300, 16))
        with lesson.quiet():  # TensorFlow's compiler reports an optimisation that it could not make
            for count in range(steps + 1):
                if count in moments:
                    snapshots[count] = np.asarray(maker(noise, training=False))
                batch = tf.constant(seen[order.integers(len(seen), size=32)])
                losses.append([float(loss) for loss in step(maker, opponent, *optimizers, batch, 16)])
    except NotImplementedError:
        print("These figures are made by your four functions. Write them first.")
        return

    def nearest(images, others):
        """For each image, the distance to the nearest of the others, and which one that is."""
        gaps = images.reshape(len(images), 1, -1) - others.reshape(1, len(others), -1)
        distances = np.sqrt((gaps**2).sum(-1))
        return distances.min(1), distances.argmin(1)

    final = snapshots[steps]
    rows = {f"step {count}": images for count, images in snapshots.items()}
    rows["nearest real"] = seen[nearest(final[:12], seen)[1]]
    _, axes = plt.subplots(len(rows), 12, figsize=(9.5, 4.1))
    for line, (label, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, images, strict=False):
            ax.imshow(image[:, :, 0], cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    plt.show()
    _, axes = plt.subplots(1, 2, figsize=(9.5, 3.2))
    smooth = np.stack([np.convolve(curve, np.ones(15) / 15, mode="valid") for curve in np.transpose(losses)])
    places = 7 + np.arange(smooth.shape[1])
    axes[0].plot(places, smooth[0] / 2, color="C0", label="discriminator, half of $L_D$")
    axes[0].plot(places, smooth[1], color="C1", label="generator, $L_G$")
    axes[0].axhline(math.log(2), color="0.4", ls=":", lw=1.2, label="guessing: log 2")
    axes[0].set(title="Losses, mean of 15 steps", xlabel="step", ylabel="nats", ylim=(0, None))
    axes[0].legend(fontsize=8.5)
    bins = np.linspace(0, 3.5, 36)
    for label, images, color in [("real, not seen in training", unseen, "C2"), (f"generated, step {steps}", final, "C0"), ("generated, step 150", snapshots[150], "C1")]:
        axes[1].hist(nearest(images, seen)[0], bins, density=True, histtype="stepfilled", alpha=0.45, color=color, label=label)
    axes[1].set(title="How far from the nearest real digit?", xlabel="distance in the space of 64 pixels", ylabel="density", ylim=(0, 3))
    axes[1].legend(fontsize=8.5, loc="upper right")
    plt.show()
    print("mean distances: " + ", ".join(f"step {count} {nearest(images, seen)[0].mean():.2f}" for count, images in snapshots.items()))


learn_to_draw()

# %% [markdown]
# The discriminator's half stays near $\log 2$, where it can only guess. The generator's loss is about level from step 300 on, while the pictures
# still improve: the losses say only that the two are a match for each other. On average, generated digits are *farther* from their nearest real neighbour than unseen real digits: nothing
# is copied. Whether they are new or badly drawn, this distance cannot say.
#
# **Your turn.** Which has more parameters: the generator for 30 pixels a side or the one for 128? Decide, then print `build_generator(size).count_params()` for both.
#
# <details><summary>Answer</summary>
#
# The one for 30: 139,361 against 91,841, with biases everywhere. Its dense layer makes a start of 15 × 15, that for 128 one of 4 × 4.
# </details>
