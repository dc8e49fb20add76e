# %% [markdown]
# ## 1.8 A convolutional network, repaired
#
# This listing runs without an error or a warning. It is to learn digits; the images come from a folder for each class.
#
# ```python
# images, labels = load_folders("digits/")           # (1797, 8, 8), values from 0 to 16
# x = images / images.max()
# model = keras.Sequential([
#     keras.Input((8, 8, 1)),
#     keras.layers.Conv2D(16, 3, activation="relu"),
#     keras.layers.MaxPooling2D(),
#     keras.layers.Flatten(),
#     keras.layers.Dense(10),
# ])
# model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
# model.fit(x, labels, epochs=8, validation_split=0.2)
# print(model.evaluate(x, labels))
# ```
#
# Find five mistakes before you read on; two of them ruin the result.
#
# <details><summary>Compare your list</summary>
#
# - **The model ends in logits, and the loss, given by name, expects probabilities.** It clips logits to $[0, 1]$, which cuts the gradient.
# - **`validation_split` takes the last fifth, before anything is shuffled.** Folders come sorted: training never sees an 8 or a 9, and validation sees almost nothing else.
# - It is evaluated on its own training data.
# - It divides by the maximum of the data at hand: one bright image changes all others. The sensor's range is known: 16.
# - The channel axis is missing. Keras adds it silently here; another layer may not.
# </details>
#
# The loss of **logits** $z \in \mathbb{R}^{10}$ for class $y$ is
# $-\log \mathrm{softmax}(z)_y = -z_y + \log \sum_c e^{z_c}$. A loss function must know whether it gets $z$ or $\mathrm{softmax}(z)$; neither mistake
# gives an error message. The opposite mistake, a model that ends in a softmax before PyTorch's `CrossEntropyLoss`, applies it twice: then the loss cannot fall below $-\log\frac{e}{e + 9} = 1.46$. So let the model end in logits, and tell the loss.
#
# **Predict first:** in the figure, two of the mistakes are made one at a time. What will the validation accuracy be on sorted data?

# %% nbgrader={"grade": false, "grade_id": "setup_keras", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped
from sklearn.datasets import load_digits


# %% tags=["demo"]
def one_mistake_at_a_time():
    """A small network on digits, by the rules and with each of two mistakes."""
    pixels, classes = load_digits(return_X_y=True)
    mixed, in_order = np.random.default_rng(0).permutation(len(classes)), np.argsort(classes, kind="stable")
    told = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    _, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
    for label, loss, order, color in [
        ("no mistake", told, mixed, "C0"),
        ("loss by its name", "sparse_categorical_crossentropy", mixed, "C5"),
        ("sorted data, validation_split", told, in_order, "C1"),
    ]:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])
        model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss, metrics=["accuracy"])
        curves = model.fit(pixels[order] / 16, classes[order], epochs=8, batch_size=64, validation_split=0.2, verbose=0).history
        for ax, key in zip(axes, ("accuracy", "val_accuracy"), strict=True):
            ax.plot(range(1, 9), curves[key], "o-", ms=4, label=label, color=color, clip_on=False)
    axes[0].set(title="Training accuracy", xlabel="epoch", ylim=(0, 1))
    axes[1].set(title="Validation accuracy", xlabel="epoch")
    axes[0].legend(fontsize=8.5, loc="center right", bbox_to_anchor=(1, 0.62))
    plt.show()


one_mistake_at_a_time()

# %% [markdown]
# Training on sorted data looks perfect. **Look at the data that an evaluation uses before you believe the number.**
#
# ### Exercise 1.8 · The classifier, repaired
#
# > **Difficulty** ★☆☆☆ · **30 minutes** · **10 points** · Keras 3 on TensorFlow
#
# The data are scikit-learn's 1,797 handwritten digits of 8 × 8 pixels (Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, UCI, CC BY 4.0).
# **Write** four functions.
#
# The network, for images of shape `(8, 8, 1)`:
#
# 1. convolution with 16 filters of 3 × 3, `same` padding, ReLU; max-pooling by 2
# 2. convolution with 32 filters of 3 × 3, `same` padding, ReLU; max-pooling by 2
# 3. flatten, then a dense layer with 10 outputs: **logits**
#
# Use `verbose=0` in `fit`: a progress bar fills the notebook.

# %% nbgrader={"grade": false, "grade_id": "digits_cnn", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_digits(
    images: np.ndarray, labels: np.ndarray, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Scales and shuffles the images and splits them into training, validation and test data.

    Args:
        images: (n, 8, 8), values from 0 to 16, for any n from 50 on; not modified.
        labels: (n,) integers, each of them at least ten times.
        seed: the same seed gives the same split, a different seed a different one.

    Returns:
        ((x_train, y_train), (x_validation, y_validation), (x_test, y_test)) with 60 %, 20 % and
        20 % of the images, each within two images of that. Each x is float32 of shape (m, 8, 8, 1)
        and holds the pixels divided by 16, whatever the largest of them is; each y holds the m
        labels.
    """
    ### BEGIN SOLUTION
    order = np.random.default_rng(seed).permutation(len(images))
    x = (images[order, :, :, None] / 16).astype("float32")
    y = labels[order]
    cuts = [round(0.6 * len(x)), round(0.8 * len(x))]
    return tuple(zip(np.split(x, cuts), np.split(y, cuts), strict=True))
    ### END SOLUTION


def build_cnn() -> keras.Model:
    """The network described above: (m, 8, 8, 1) images to (m, 10) logits. It need not be compiled.

    >>> build_cnn()(np.zeros((2, 8, 8, 1), "float32")).shape
    TensorShape([2, 10])
    """
    ### BEGIN SOLUTION
    return keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10),
    ])
    ### END SOLUTION


def train(
    model: keras.Model,
    training: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    epochs: int,
) -> dict[str, list[float]]:
    """Trains the model on the training data for exactly `epochs` epochs.

    Uses Adam (Keras' defaults, but learning rate 3e-3), batches of 32, shuffled anew in each epoch,
    and cross-entropy from logits. The loss on the validation data is measured after each epoch; the validation data
    must not influence the weights.

    Args:
        model: (m, 8, 8, 1) images to (m, 10) logits, as `build_cnn` makes it or another; not
            compiled.
        training: images, scaled, and their labels, one or more.
        validation: likewise.

    Returns:
        A dict with (at least) the keys "loss" and "val_loss", each a list with one mean
        cross-entropy per epoch: "loss" on the training data, during or after the epoch, "val_loss"
        on the validation data after it.
    """
    ### BEGIN SOLUTION
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit(*training, validation_data=validation, epochs=epochs, batch_size=32, verbose=0)
    return history.history
    ### END SOLUTION


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of the images, from 0 to 1, whose largest logit, in inference mode, is the one of their
    label.

    Args:
        model: (m, 8, 8, 1) images to (m, 10) logits, as `build_cnn` makes it or another; compiled
            or not. It is not compiled and not changed here.
        images: (m, 8, 8, 1), scaled.
        labels: (m,) integers.
    """
    ### BEGIN SOLUTION
    return float(np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels))
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test_digits_cnn", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=10)
digit_images, digit_labels = load_digits(return_X_y=True)
digit_images = digit_images.reshape(-1, 8, 8)


@check(points=1, hint="Divide by the largest possible value, 16; add the channel axis; cut at 60 % and 80 %.")
def splits_and_scales():
    """The split has three parts of 60, 20 and 20 %, scaled to 0..1, with a channel axis."""
    parts = split_digits(digit_images, digit_labels, seed=0)
    assert len(parts) == 3, f"{len(parts)} parts instead of three pairs (x, y)"
    for (x, y), share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(x) - share * 1797) <= 2 and len(y) == len(x), f"{len(x)} images and {len(y)} labels where {share:.0%} of 1,797 belong"
        assert x.shape[1:] == (8, 8, 1), f"images of shape {x.shape[1:]} instead of (8, 8, 1)"
        assert x.dtype == np.float32, f"images of type {x.dtype} instead of float32"
        assert x.min() == 0 and x.max() == 1, f"values from {x.min():g} to {x.max():g} instead of 0 to 1"


@check(points=1, hint="Compare model.summary() with the list above, layer by layer.")
def has_the_right_size():
    """The network maps (m, 8, 8, 1) images to (m, 10) numbers and has 6,090 parameters."""
    def describe():
        model = build_cnn()
        return list(model(np.zeros((3, 8, 8, 1), "float32")).shape), model.count_params()

    shape, count = probe(describe)
    assert shape == [3, 10], f"output of shape {shape} instead of [3, 10]"
    assert count == 6090, f"{count:,} parameters instead of 6,090"


def step_by_step(run, *args):
    """Runs TensorFlow's functions without compiling them, which pays for a few steps."""
    import warnings

    import tensorflow

    tensorflow.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though")  # that pipelines are compiled all the same
            return run(*args)
    finally:
        tensorflow.config.run_functions_eagerly(False)


@check(points=0.5, hint='Compile with a loss that is told that it gets logits, fit with validation_data, and return what "history" of the result holds.')
def reports_two_losses():
    """train returns a loss and a validation loss for each epoch, both the cross-entropy of logits."""
    x = (digit_images[:32, :, :, None] / 16).astype("float32")
    labels = np.arange(32) % 2

    def run(x, labels):
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        model.set_weights([np.zeros((64, 10)), np.array([5] + 9 * [0])])
        history = train(model, (x, labels), (x, np.ones_like(labels)), 2)
        return history if history is None else {key: [float(value) for value in history[key]] for key in ("loss", "val_loss")}

    history = probe(step_by_step, run, x, labels)
    assert history is not None, "train returns None: is the return missing?"
    for key, values in history.items():
        assert len(values) == 2, f'2 epochs were asked for, "{key}" has {len(values)} numbers'
    surprise = math.log(math.exp(5) + 9)  # of class 1, where the logits are 5, 0, ..., 0; of class 0 it is 5 less
    for key, truth in (("loss", surprise - 2.5), ("val_loss", surprise)):
        assert abs(history[key][0] - truth) < 0.4, f'"{key}" begins with {history[key][0]:.2f}; the cross-entropy of the logits is about {truth:.2f}'


@check(points=0.5, hint="Where is the largest logit of each image? Compare with the labels, and take the mean.")
def counts_right_answers():
    """accuracy is the share of images whose largest logit belongs to their label."""
    def run(images, labels):
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        model.set_weights([np.eye(64, 10), np.zeros(10)])
        return accuracy(model, images, labels)

    bright = np.array([3, 1, 4, 1])
    share = probe(step_by_step, run, -1 + 3 * np.eye(64, dtype="float32")[bright].reshape(4, 8, 8, 1), np.array([3, 1, 4, 5]))
    assert share is not None, "accuracy returns None: is the return missing?"
    assert abs(float(share) - 0.75) < 1e-6, f"three of four images are classified correctly, accuracy says {float(share):g}"


### BEGIN HIDDEN TESTS
from functools import cache


def numbered_images(n, first=0):
    """n images that can be told apart after scaling: image i spells first + i in base 13. No pixel is brighter than 12."""
    pixels = np.zeros((n, 64))
    number = first + np.arange(n)
    for place in range(3):
        pixels[:, place] = number // 13**place % 13
    pixels[:, 10:] = 8.3
    return pixels.reshape(n, 8, 8), number % 10


def numbers_of(x):
    """Which of the numbered images these are."""
    digits = np.rint(np.asarray(x, float).reshape(len(x), 64)[:, :3] * 16).astype(int)
    return digits @ 13 ** np.arange(3)


@check(points=1, hint="Cut one shuffled list of indices in three; index images and labels with the same list.")
def splits_without_leaks():
    """Each image lands in exactly one part, with its own label, and the inputs stay as they were."""
    for n, first in ((100, 0), (217, 0), (217, 1000)):
        images, labels = numbered_images(n, first)

        def run(images, labels):
            parts = split_digits(images, labels, 3)
            return [(np.asarray(x), np.asarray(y)) for x, y in parts], images, labels

        parts, *after = probe(run, images.copy(), labels.copy())
        if not (np.array_equal(after[0], images) and np.array_equal(after[1], labels)):
            fail("The arrays passed in were modified: scale a copy.")
        if any(x.shape[1:] != (8, 8, 1) for x, _ in parts):
            fail("The images do not have shape (8, 8, 1).")
        if not all(np.allclose(16 * x[:, 2:], 8.3, rtol=1e-5) for x, _ in parts):
            fail("The pixels are not what they were, divided by 16. That number is fixed: it does not depend on the images at hand.")
        found = np.concatenate([numbers_of(x) for x, _ in parts])
        if len(np.unique(found)) != len(found):
            fail("Some images are in the split twice.")
        if sorted(found) != list(range(first, first + n)):
            fail("Some images are missing from the split, or their pixels were changed by more than scaling.")
        if not np.array_equal(np.concatenate([y for _, y in parts]), found % 10):
            fail("Images and labels no longer belong together.")
        if any(abs(len(x) - share * n) > 2 for (x, _), share in zip(parts, (0.6, 0.2, 0.2), strict=True)):
            fail("The parts do not have 60, 20 and 20 % of the images.")


@check(points=1, hint="Data often comes sorted by class. Shuffle with np.random.default_rng(seed), not with the global generator.")
def shuffles_by_seed():
    """The same seed gives the same split, other seeds other ones; sorted data ends up mixed."""
    images, labels = numbered_images(400)
    order = np.argsort(labels, kind="stable")
    images, labels = images[order], labels[order]
    splits = []
    for seed in (0, 0, 1, 2, 256, 1000, 65_536):
        parts = split_digits(images.copy(), labels.copy(), seed)
        splits.append([numbers_of(x) for x, _ in parts])
        if any(len(np.unique(y)) < 8 for _, y in parts):
            fail("Given data sorted by class, a part misses several classes: shuffle before you cut.")
    if not all(np.array_equal(a, b) for a, b in zip(splits[0], splits[1], strict=True)):
        fail("Two calls with the same seed gave two different splits.")
    if any(np.array_equal(np.sort(splits[0][2]), np.sort(other[2])) for other in splits[2:]):
        fail("Another seed gave the same test set.")


@check(points=1, hint="The last layer has no activation.")
def ends_in_logits():
    """The network computes what the list of layers says, and its outputs are logits."""
    def run(wild, images):
        model = build_cnn()
        first = np.asarray(model(wild))
        model.set_weights([np.random.normal(0, 0.3, w.shape) for w in model.get_weights()])
        # A model that was written as a class need not declare a shape.
        declared = list(getattr(model, "input_shape", (None, 8, 8, 1)))
        while_training = np.asarray(model(images, training=True))
        outputs = np.asarray(model(images, training=False))
        return first, model.get_weights(), outputs, while_training, len(model.losses), declared[1:], build_cnn() is model

    wild, images = (np.random.normal(0, spread, (m, 8, 8, 1)).astype("float32") for spread, m in ((5, 64), (1, 16)))
    first, weights, outputs, while_training, penalties, declared, is_the_same = probe(run, wild, images)
    if is_the_same:
        fail("A second call returns the network of the first one, trained or not.")
    if np.allclose(first.sum(1), 1, atol=1e-3):
        fail("Each row of outputs sums to one: there is a softmax in the network.")
    if first.min() >= 0:
        fail("No output is negative: there is an activation after the last layer.")
    if penalties or not np.allclose(outputs, while_training, rtol=1e-4, atol=1e-4):
        fail("While it is trained, the network does something that is not on the list: dropout, noise or a penalty.")
    if declared != [8, 8, 1]:
        fail(f"The network is declared for inputs of shape {tuple(declared)} instead of (8, 8, 1).")
    by_shape = {tuple(w.shape): torch.tensor(w) for w in weights}
    hidden = torch.tensor(images).permute(0, 3, 1, 2)
    for channels, filters in [(1, 16), (16, 32)]:
        kernel = by_shape[3, 3, channels, filters].permute(3, 2, 0, 1)
        hidden = F.max_pool2d(F.conv2d(hidden, kernel, by_shape[filters,], padding=1).relu(), 2)
    logits = hidden.permute(0, 2, 3, 1).flatten(1) @ by_shape[128, 10] + by_shape[10,]
    if not np.allclose(outputs, logits, rtol=1e-3, atol=1e-3):
        fail("With the same weights, the layers on the list give other outputs: compare activations, pooling and scaling with the list.")


def cross_entropy(logits, labels):
    """Mean of -z_y + log sum exp z over the rows of logits."""
    logits = np.asarray(logits, np.float64)
    top = logits.max(1)
    return float(np.mean(top + np.log(np.exp(logits - top[:, None]).sum(1)) - logits[np.arange(len(logits)), labels]))


def gradients(weights, biases, x, y):
    """Of the mean cross-entropy of a linear classifier, in closed form."""
    flat, logits = x.reshape(len(x), 64), logits_of(weights, biases, x)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    error = shares / shares.sum(1, keepdims=True) - np.eye(10)[y]
    return flat.T @ error / len(x), error.mean(0)


def logits_of(weights, biases, x):
    return x.reshape(len(x), 64) @ np.float64(weights) + biases


def adam(weights, biases, batches, rate=3e-3, decays=(0.9, 0.999), epsilon=1e-7):
    """One step per batch (Kingma and Ba, arXiv:1412.6980, the form with bias correction in the rate)."""
    values = [np.float64(weights), np.float64(biases)]
    moments = [[np.zeros_like(value) for value in values] for _ in decays]
    for step, (x, y) in enumerate(batches, 1):
        for index, slope in enumerate(gradients(*values, x, y)):
            for moment, decay, power in zip(moments, decays, (1, 2), strict=True):
                moment[index] = decay * moment[index] + (1 - decay) * slope**power
            scale = rate * math.sqrt(1 - decays[1] ** step) / (1 - decays[0] ** step)
            values[index] = values[index] - scale * moments[0][index] / (np.sqrt(moments[1][index]) + epsilon)
    return values


def digits_without_zero(n):
    """n images of the other classes, drawn at random and scaled."""
    order = np.random.permutation(np.flatnonzero(digit_labels))[:n]
    return (digit_images[order, :, :, None] / 16).astype("float32"), digit_labels[order]


START = np.random.default_rng(5).normal(0, 0.02, (64, 10)).astype("float32"), np.array([-1] + 9 * [0], "float32")
START[0][0] = 100  # of a pixel that is always 0: only a decay of the weights can change these


def without_a_seed(run, *args):
    """As `step_by_step`, with TensorFlow's seed taken away: with one, `fit` shuffles alike in every epoch, because
    tf.data makes its functions, and their generators, anew for each."""
    import tensorflow

    tensorflow.random.set_seed(None)
    try:
        return step_by_step(run, *args)
    finally:
        tensorflow.random.set_seed(0)


def trained(training, validation, epochs, start=START, factor=1, how=step_by_step):
    """Has the student's function train a linear classifier of factor * images, with gradients known in closed form.

    Returns:
        Its weights (64, 10) and biases (10,), and the lists loss and val_loss.
    """
    def run(start, training, validation, epochs, factor):
        layers = [keras.layers.Rescaling(factor), keras.layers.Flatten(), keras.layers.Dense(10)]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        model.set_weights(start)
        history = train(model, training, validation, epochs)
        return *model.get_weights(), *([float(value) for value in history[key]] for key in ("loss", "val_loss"))

    *after, loss, val_loss = probe(how, run, list(start), training, validation, epochs, factor)
    if len(loss) != epochs or len(val_loss) != epochs:
        fail(f"{epochs} epochs were asked for, the history has {len(loss)} losses and {len(val_loss)} validation losses.")
    return after, loss, val_loss


def same_weights(some, others):
    return all(np.mean(np.abs(a - b) < 2e-5) > 0.99 for a, b in zip(some, others, strict=True))


@cache
def one_batch():
    """32 images to train on, and the same to validate, all labelled 0: their loss can only rise."""
    x, y = digits_without_zero(32)
    return (x, y), (x, np.zeros_like(y))


@cache
def four_steps():
    """Steps on a network of 10 * images, between which the gradient changes: Adam's decays matter."""
    return trained(*one_batch(), 4, factor=10)


def adams_four_steps():
    x, y = one_batch()[0]
    return adam(*START, [(10 * x, y)] * 4)


@cache
def one_epoch():
    """An epoch on 65 images, half of which are classified well and half badly, and so in validation.

    Each image is one bright pixel, taken for one of the classes 1 to 9, in rising order, and for class 0 with the same
    probability in all.

    Returns:
        (x, y), and the network's weights before and after; the list loss, and what should be in it; likewise val_loss.
    """
    start = 4 * np.eye(64, 10, dtype="float32"), np.zeros(10, "float32")
    seen_as = 1 + np.arange(65) * 9 // 65
    x = np.eye(64, dtype="float32")[seen_as].reshape(65, 8, 8, 1)
    badly = np.arange(65) % 2
    y, opposite = (np.where(chosen, 1 + seen_as % 9, seen_as) for chosen in (badly, 1 - badly))
    after, loss, val_loss = trained((x, y), (x, opposite), 1, start)
    means = [cross_entropy(logits_of(*weights, x), labels) for weights, labels in ((start, y), (after, opposite))]
    return (x, y), start, after, (loss[0], means[0]), (val_loss[0], means[1])


def first_once_and_second_once():
    """How many of 64 images were in the first batch of one epoch and the second of the other.

    Each image is one pixel, so its row of weights moves when its batch is used, and, by Adam's momentum, after it. How far
    it has moved in the end tells in which of the four steps that was.
    """
    x, y = np.eye(64, dtype="float32").reshape(64, 8, 8, 1), np.arange(64) % 10
    start = np.zeros((64, 10), "float32"), np.zeros(10, "float32")
    (weights, _), _, _ = trained((x, y), (x[:1], y[:1]), 2, start, how=without_a_seed)

    def distance(first, second):
        moment = square = way = 0.0
        for step in (1, 2, 3, 4):
            slope = float(step in (first, second))
            moment, square = 0.9 * moment + 0.1 * slope, 0.999 * square + 0.001 * slope
            way += 3e-3 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * moment / math.sqrt(square or 1)
        return way

    ways = np.array([distance(*steps) for steps in ((1, 3), (2, 4), (1, 4), (2, 3))])
    nearest = np.abs(weights[np.arange(64), y][:, None] - ways).argmin(1)
    return int(np.sum(nearest >= 2))


@check(points=2, hint="SparseCategoricalCrossentropy has to know that it gets logits.")
def minimises_cross_entropy():
    """Training moves the weights down the gradient of the cross-entropy of logits, and "loss" is that cross-entropy."""
    (x, y), _ = one_batch()
    after, loss, _ = four_steps()
    slope, _ = gradients(*START, 10 * x, y)
    steep = np.abs(slope) > 0.2 * np.abs(slope).max()
    downhill = np.sign(START[0] - after[0]) == np.sign(slope)
    if np.mean(downhill[steep]) < 0.95:
        fail("Over a few steps, many weights moved the other way than down the gradient of the cross-entropy.")
    # The loss may be measured during the epoch or after it.
    highest, lowest = (cross_entropy(logits_of(*weights, 10 * x), y) for weights in (START, after))
    if not all(0.999 * lowest <= value <= 1.001 * highest for value in loss):
        fail('The numbers under "loss" are not the cross-entropy of the logits on the training data.')
    reported, mean = one_epoch()[3]
    if not math.isclose(reported, mean, rel_tol=0.15):
        fail('"loss" is not the mean over all images: the last batch may be smaller than the others.')


@check(points=1, hint="Adam with learning rate 3e-3, shuffled batches of 32, every epoch once. How many steps are that, and how far does each go?")
def trains_by_the_recipe():
    """Adam takes one step of 3e-3 per shuffled batch of 32, for as many epochs as were asked for."""
    (x, y), start, after, *_ = one_epoch()
    # Class 0 never occurs, so its bias has the same gradient in each batch: Adam moves it by the learning rate.
    steps = (start[1][0] - after[1][0]) / 3e-3
    if not 2.8 < steps < 3.1:
        fail(f"An epoch of 65 images is three steps; the network moved as far as in {steps:.1f} steps of 3e-3.")
    if same_weights(after, adam(*start, [(x[:32], y[:32]), (x[32:64], y[32:64]), (x[64:], y[64:])])):
        fail("The batches were cut in the order of the data: shuffle the training data.")
    if not 8 < first_once_and_second_once() < 56:  # 32 are expected; with the same batches in both epochs, it is 0 or 64
        fail("The second epoch has the same batches as the first: shuffle anew in each epoch.")
    if not same_weights(four_steps()[0], adams_four_steps()):
        fail("Four epochs of 32 images do not end where four steps of Adam (learning rate 3e-3, Keras' defaults otherwise) lead.")


@check(points=0.5, hint="fit learns from its first two arguments only. Is the validation data among them?")
def keeps_validation_apart():
    """The validation data does not influence the weights, and val_loss is the cross-entropy there."""
    batch, (x, y) = one_batch()
    after, _, val_loss = four_steps()
    if not same_weights(after, adams_four_steps()):  # perhaps only the recipe is another one
        other, _, _ = trained(batch, batch, 4, factor=10)
        if not same_weights(after, other):
            fail("Trained twice on the same data, with other validation data, the network has other weights.")
    if not math.isclose(val_loss[-1], cross_entropy(logits_of(*after, 10 * x), y), rel_tol=1e-3):
        fail("The last val_loss is not the cross-entropy of the trained network's logits on the validation data.")
    if min(np.diff(val_loss)) <= 0:
        fail("The list under val_loss does not follow the epochs: on this validation data it has to rise.")
    reported, mean = one_epoch()[4]
    if not math.isclose(reported, mean, rel_tol=1e-3):
        fail("val_loss is not the mean over all images: the last batch may be smaller than the others.")


@check(points=0.5, hint="Compare the position of the largest logit with the label that was passed in, for all images.")
def measures_accuracy():
    """accuracy() is the share of right answers on the data passed in, for an uncompiled model, too."""
    def run(weights, images, labels):
        layers = [keras.layers.Flatten(), keras.layers.BatchNormalization(epsilon=0), keras.layers.Dense(10)]
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        model.set_weights(weights)
        return float(accuracy(model, images, labels)), model.get_weights(), model.compiled

    # In inference mode, the normalisation does nothing, and the logits are the first ten pixels.
    weights = [np.float32(part) for part in (np.ones(64), np.zeros(64), np.zeros(64), np.ones(64), np.eye(64, 10), np.zeros(10))]
    images = np.random.normal(300, 40, (45, 8, 8, 1)).astype("float32")
    images[:, 0, 0] = 100  # never the largest, but a sigmoid of it is 1, too
    *_, second, best = images.reshape(45, 64)[:, :10].argsort(1).T
    right = np.random.default_rng(1).random(45) < 0.3
    share, after, compiled = probe(step_by_step, run, weights, images, np.where(right, best, second))
    if compiled or not all(np.array_equal(a, b) for a, b in zip(weights, after, strict=True)):
        fail("accuracy() compiled the model or changed its weights; it should only measure.")
    if share > 1.5:
        fail("The accuracy is a share from 0 to 1, not a percentage.")
    if not math.isclose(share, right.mean(), abs_tol=1e-4):
        fail("The number is not the share of images whose largest logit belongs to the label passed in.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Does it learn?

# %% tags=["demo"]
def train_and_test(epochs=14, seed=0):
    """The learner's network on its split: losses, mistakes, accuracy."""
    keras.utils.set_random_seed(seed)
    digits = load_digits()
    try:
        training, validation, test = split_digits(digits.images, digits.target, seed=seed)
        cnn = build_cnn()
        history = train(cnn, training, validation, epochs=epochs)
        share = accuracy(cnn, *test)
        by_chance = accuracy(cnn, test[0], np.random.default_rng(0).permutation(test[1]))
    except NotImplementedError:
        print("This figure is made by your four functions. Write them first.")
        return
    _, axes = plt.subplots(1, 2, figsize=(9, 3), width_ratios=(1.2, 1))
    for key, label in [("loss", "training"), ("val_loss", "validation")]:
        axes[0].plot(range(1, epochs + 1), history[key], label=label)
    axes[0].set(xlabel="epoch", ylabel="cross-entropy (nats)", yscale="log", title="Loss")
    axes[0].legend()
    predicted = cnn.predict(test[0], verbose=0).argmax(1)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (test[1], predicted), 1)
    mistakes = np.ma.masked_array(confusion, np.eye(10, dtype=bool))
    axes[1].imshow(mistakes, cmap="Oranges", vmin=0, vmax=6)
    for row, column in zip(*np.nonzero(confusion), strict=True):
        axes[1].text(column, row, confusion[row, column], ha="center", va="center", fontsize=8, color="0.5" if row == column else "black")
    axes[1].set(xticks=range(10), yticks=range(10), xlabel="predicted", ylabel="true", title="Test digits: correct (grey), confused")
    axes[1].grid(False)
    plt.show()
    print(f"test accuracy: {share:.2f}   on shuffled labels: {by_chance:.2f}")


train_and_test()

# %% [markdown]
# The validation loss is the one that counts. The last number is a check for every
# project: on shuffled labels, an honest evaluation falls to chance, here about one in ten.
#
# **Your turn.** The first figure's curve on sorted data need not end at exactly zero. Why? Guess what the last fifth holds, then run
# `np.bincount(np.sort(load_digits().target)[-360:])`.
#
# <details><summary>Answer</summary>
#
# 180 nines, 174 eights, and six sevens. Of these, training has seen sevens only, so at most six of 360 images can be correct, 1.7 %.
# </details>
