# %% [markdown]
# ## 8.5 Where a network looks
#
# A network sorts X-rays of lungs well. Does it look at the lungs, or at a mark which one hospital prints in the corner? A heat map can show it. **Predict:** how fine is a map that is made from the last convolution of a network that halves the picture five times, from 224 to 7?
#
# ### From maps to a heat map
#
# A convolutional layer gives $K$ **maps** $A^k$ of $h \times w$ values, each high *where* its detector finds something. **Grad-CAM** (Selvaraju et al., arXiv:1610.02391) weighs them for class $c$ by the gradient of the logit $f_c$, averaged over all positions:
#
# $$\alpha_k = \frac{1}{h w} \sum_{i, j} \frac{\partial f_c}{\partial A^k_{ij}}, \qquad \text{heat}_{ij} = \max\Big(0, \sum_k \alpha_k A^k_{ij}\Big) .$$
#
# The maximum, taken once, at the end, leaves only places that speak *for* the class.
#
# If the maps are followed by their means and one `Dense` layer, this is **CAM** (Zhou et al., arXiv:1512.04150), and exact: before the maximum, the values add up to the logit, without the bias. In other networks Grad-CAM is a rule of thumb.
#
# The heat map has the size of the *layer*: 7 × 7 above, so one value stands for 32 × 32 pixels. Interpolated, it looks smooth, and is no finer.
#
# ### How to test such a program
#
# With one sign in each picture, a program that explains the predicted class, not the one asked for, would pass. So the pictures here hold **two** signs of different classes, and we ask for each. The weights of `sign_net` are set by hand, one detector for each sign, so we know where it has to look.
#
# ### Exercise 8.5 · Grad-CAM
#
# > **Difficulty** ★★☆☆ · **50 minutes** · **11 points** · Keras 3 on TensorFlow, NumPy
#
# **Write** four functions. With `average=False` the second one weighs each value by its own gradient, without the mean: **HiResCAM** (Draelos and Carin, arXiv:2011.08891).
#
# <details><summary>Hint 1: a model with two outputs</summary>
#
# `keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])` shares its layers with the model, and gives maps and logits. `tf.gather(logits, classes, axis=1, batch_dims=1)` takes logit `classes[i]` from row $i$.
# </details>
#
# <details><summary>Hint 2: what a tape records</summary>
#
# A `tf.GradientTape` records what depends on TensorFlow's variables, and on tensors that it was told to watch: `tape.watch(images)`, where `images` is a tensor, before the model is called with `training=False`. Then `tape.gradient(total, maps)`, with the sum of these logits as `total`, as in 8.4.
# </details>
#
# <details><summary>Hint 3: interpolation</summary>
#
# `keras.ops.image.resize(heat[..., None], size, interpolation="bilinear")`. Where the highest value is 0, divide by 1: `np.where(highest > 0, highest, 1)`.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_gradcam", "locked": true, "schema_version": 3, "solution": false, "task": false}
with lesson.quiet():
    import keras
    import tensorflow as tf

    keras.ops.zeros(1)  # starts TensorFlow here, where its log lines are dropped

SIGNS = {"plus": "010 111 010", "cross": "101 010 101", "ring": "111 101 111", "corner": "100 100 111"}
SIGN_PIXELS = np.array([[[int(pixel) for pixel in row] for row in rows.split()] for rows in SIGNS.values()], "float32")
SIGN_BOX = 4  # a box reaches so many pixels beyond the sign: two of the maps' pixels, for detector, blur and interpolation


def draw_signs(places, size=(24, 32), seed=0) -> tuple[np.ndarray, dict]:
    """A picture with signs on a little noise, and the box around each sign.

    Args:
        places: for each sign its number in SIGNS, and the row and column of its centre.

    Returns:
        (1, height, width, 1) picture, and a dictionary from the number to (top, left, bottom, right); bottom and right are the first that lie outside.
        Near the border a box reaches beyond the picture, so that top or left is negative: cut it off before you give it to share_inside.
    """
    picture, boxes = np.random.default_rng(seed).uniform(0, 0.1, size).astype("float32"), {}
    for sign, row, column in places:
        picture[row - 1 : row + 2, column - 1 : column + 2] += SIGN_PIXELS[sign]
        boxes[sign] = (row - 1 - SIGN_BOX, column - 1 - SIGN_BOX, row + 2 + SIGN_BOX, column + 2 + SIGN_BOX)
    return picture[None, :, :, None], boxes


def build_sign_net(size=(24, 32), dense=None) -> keras.Model:
    """A network with weights set by hand: one detector for each sign, maps half as fine, then a classifier.

    Args:
        dense: None: the mean of each map, and a layer that counts each sign for its class and against the others. Or (height * width / 4 * 4, n_classes): weights of a layer on the flattened maps.
    """
    zero_mean = SIGN_PIXELS - SIGN_PIXELS.mean((1, 2), keepdims=True)
    detectors = zero_mean / np.abs(zero_mean).sum((1, 2), keepdims=True) * 2  # a sign that fits gives 1
    blur = np.einsum("ij,kl->ijkl", np.full((3, 3), 1 / 9), np.eye(4))
    model = keras.Sequential(
        [
            keras.Input((*size, 1)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="detectors"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="maps"),
            keras.layers.GlobalAveragePooling2D() if dense is None else keras.layers.Flatten(),
            keras.layers.Dense(4 if dense is None else dense.shape[1], use_bias=False, name="logits"),
        ]
    )
    dense = 100 * (1.5 * np.eye(4) - 0.5) if dense is None else dense
    model.set_weights([detectors.transpose(1, 2, 0)[:, :, None], np.full(4, -0.7), blur, np.zeros(4), dense])
    return model


sign_net = build_sign_net()

# %% nbgrader={"grade": false, "grade_id": "gradcam", "locked": false, "schema_version": 3, "solution": true, "task": false}
def maps_and_gradients(model: keras.Model, layer: str, images: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:
    """What a layer gives for each image, and the gradient of one logit with respect to that.

    Args:
        model: a Sequential or functional model that gives (N, n_classes) logits and nothing else. It is used as in `predict` (no dropout), and not changed. Its weights may be frozen.
        layer: the name of one of its layers; what that gives has the shape (N, h, w, K). There may be branches before and behind it, but each road from the images to the logits leads through it.
        images: (N, height, width, channels) floats of 32 bits. Not changed.
        classes: N whole numbers, in a list or an array: which logit of each image.

    Returns:
        Two NumPy arrays (N, h, w, K): the maps, and the gradient of logit classes[i] of image i with respect to them.
    """
    ### BEGIN SOLUTION
    both = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    images = tf.convert_to_tensor(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        maps, logits = both(images, training=False)
        chosen = tf.reduce_sum(tf.gather(logits, tf.convert_to_tensor(classes), axis=1, batch_dims=1))
    return maps.numpy(), tape.gradient(chosen, maps).numpy()
    ### END SOLUTION


def grad_cam(maps: np.ndarray, gradients: np.ndarray, average: bool = True) -> np.ndarray:
    """The heat map of each image, as fine as the layer's maps.

    Args:
        maps, gradients: (N, h, w, K), as from maps_and_gradients. Not changed.
        average: True: Grad-CAM; each map is weighted by the mean of its gradient over all positions. False: HiResCAM; each value of a map is weighted by its own gradient.

    Returns:
        (N, h, w): the sum over the K weighted maps, with 0 where it is negative.
    """
    ### BEGIN SOLUTION
    weights = gradients.mean((1, 2), keepdims=True) if average else gradients
    return np.maximum((weights * maps).sum(-1), 0)
    ### END SOLUTION


def upsample(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Heat maps as large as the picture, with 1 as their highest value.

    Args:
        heat: (N, h, w), 0 or more; values from 1e-20 to 1e20 count. Not changed.
        size: (H, W) with H >= h and W >= w, not always multiples of them.

    Returns:
        (N, H, W), floats of 32 or 64 bits: interpolated bilinearly with pixels as areas, as keras.ops.image.resize does (the centre of the first pixel lies at (0.5 h / H, 0.5 w / W)), then each map divided by its own highest
        value. A map that is 0 everywhere stays so.

    >>> upsample(np.array([[[0.0, 3.0]]]), (1, 4)).tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    ### BEGIN SOLUTION
    fine = np.array(keras.ops.image.resize(heat[..., None], size, interpolation="bilinear"))[..., 0]
    highest = fine.max((1, 2), keepdims=True)
    return fine / np.where(highest > 0, highest, 1)
    ### END SOLUTION


def share_inside(heat: np.ndarray, boxes) -> np.ndarray:
    """How much of each heat map lies inside a box.

    Args:
        heat: (N, H, W), 0 or more.
        boxes: N boxes (top, left, bottom, right) that lie inside the map, whole numbers in a list or an array: rows from top to bottom, without the row `bottom`, and columns likewise.

    Returns:
        (N,): the sum inside the box divided by the sum of the map; 0 for a map that is 0 everywhere.

    >>> share_inside(np.ones((1, 4, 5)), [(1, 1, 3, 3)])
    array([0.2])
    """
    ### BEGIN SOLUTION
    shares = np.zeros(len(heat))
    for i, (top, left, bottom, right) in enumerate(boxes):
        total = heat[i].sum()
        if total > 0:
            shares[i] = heat[i, top:bottom, left:right].sum() / total
    return shares
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_gradcam", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=0.75, hint="One model with two outputs, the layer's and the last one's. The logit of the class that is asked for, without softmax, differentiated with respect to the layer's output.")
def gradient_of_a_mean():
    """In `sign_net`, a mean and a Dense layer follow the maps: the gradient of a logit is the class's weight / (12 · 16) everywhere."""
    picture, _ = draw_signs([(0, 8, 8), (2, 14, 24)])
    maps, gradients = (np.asarray(part) for part in probe(lambda picture: maps_and_gradients(build_sign_net(), "maps", picture, [2]), picture))
    assert maps.shape == gradients.shape == (1, 12, 16, 4), f"shapes {maps.shape} and {gradients.shape} instead of (1, 12, 16, 4)"
    assert maps[..., 0].max() > 0.02 and maps[..., 1].max() < 0.02, "the map of the first sign is empty, or that of a sign which is not there is not"
    truth = np.array([-50, -50, 100, -50]) / 192
    assert np.allclose(gradients, truth, atol=1e-5), f"the gradients of the logit of class 2 are {gradients[0, 0, 0].round(3).tolist()} at the first position, not {truth.round(3).tolist()}"


@check(points=0.75, hint="Average: mean over positions, one weight for each map; then the sum over the maps; negative sums become 0 at the very end.")
def maps_by_hand():
    """By hand: two maps with the mean gradients 2 and -1, and the same values weighted one by one."""
    maps = np.array([[[[1.0, 0.0], [2.0, 1.0], [0.0, 3.0]]]])
    gradients = np.array([[[[6.0, 0.0], [0.0, -5.0], [0.0, 2.0]]]])
    for average, truth in ((True, [[[2, 3, 0]]]), (False, [[[6, 0, 6]]])):
        found = np.asarray(grad_cam(maps.copy(), gradients.copy(), average))
        assert found.shape == (1, 1, 3), f"shape {found.shape} instead of (1, 1, 3)"
        assert np.allclose(found, truth), f"with average={average}: {found.tolist()} instead of {truth}"


@check(points=0.75, hint="keras.ops.image.resize wants a last axis for channels. Divide by the highest value of each map at the end.")
def upsampling_by_hand():
    """By hand: two values become four, the highest is 1, and zeros stay zeros."""
    found = np.asarray(upsample(np.array([[[0.0, 8.0]], [[0.0, 0.0]]]), (2, 4)))
    assert found.shape == (2, 2, 4), f"shape {found.shape} instead of (2, 2, 4)"
    assert np.allclose(found, [[[0, 0.25, 0.75, 1]] * 2, [[0] * 4] * 2], atol=1e-6), f"{found.tolist()}"


@check(points=0.75, hint="Rows first: top, left, bottom, right; `bottom` and `right` are outside. Divide by the sum of that map.")
def share_by_hand():
    """By hand: a box with the values 1 and 4 of a map with the sum 20, and a map of zeros."""
    heat = np.array([[[1.0, 2, 3], [4, 4, 6]], [[0, 0, 0], [0, 0, 0]]])
    found = np.asarray(share_inside(heat, [(0, 0, 2, 1), (0, 0, 2, 1)]))
    assert found.shape == (2,) and np.allclose(found, [0.25, 0]), f"{found.tolist()} instead of [0.25, 0]"


### BEGIN HIDDEN TESTS
import functools


def two_networks():
    """The weights of two networks, and pictures. The first: convolution, mean, dense. The second: batch normalisation, convolution, pooling, dropout, flattening, dense, tanh, and a branch around these two, dense."""
    def draw(*shape):
        return np.random.normal(0, 0.5, shape).astype("float32")

    return [draw(3, 2, 2, 5), draw(5), draw(5, 4), draw(4)], [draw(2), draw(2), draw(2), np.abs(draw(2)) + 0.5, draw(2, 3, 2, 6), draw(6), draw(3 * 3 * 6, 7), draw(7), draw(7 + 3 * 3 * 6, 5), draw(5)]


def build_networks(first, second):
    """The two networks in Keras, the second with a layer of its own for each step."""
    layers = keras.layers
    means = keras.Sequential([keras.Input((6, 7, 2)), layers.Conv2D(5, (3, 2), activation="relu", name="maps"), layers.Dropout(0.5), layers.GlobalAveragePooling2D(), layers.Dense(4)])
    start = keras.Input((7, 8, 2))
    pooled = layers.AveragePooling2D((1, 1), name="before")(start)
    values = layers.BatchNormalization(name="normal")(pooled)
    values = layers.Activation("relu", name="late")(layers.Conv2D(6, (2, 3), name="convolution")(values))
    values = layers.MaxPooling2D(2, name="pooled")(values)
    values = layers.Flatten()(layers.Dropout(0.5)(values))
    flat = keras.Model(start, layers.Dense(5)(layers.Concatenate()([layers.Dense(7, "tanh")(values), values])))
    for model, weights in ((means, first), (flat, second)):
        model.set_weights(weights)
        model.compile("sgd", "mse")
    return means, flat


def by_torch(second, images, classes):
    """For each named layer of the second network: maps and gradients, by torch."""
    gamma, beta, mean, variance, kernel, bias, dense, shift, last, end = (torch.tensor(value, dtype=torch.float64) for value in second)
    found = {}
    found["before"] = torch.tensor(images, dtype=torch.float64).requires_grad_()
    found["normal"] = (found["before"] - mean) / torch.sqrt(variance + 1e-3) * gamma + beta
    found["late"] = F.conv2d(found["normal"].permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), bias).relu().permute(0, 2, 3, 1)
    found["pooled"] = F.max_pool2d(found["late"].permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    flat = found["pooled"].flatten(1)
    logits = torch.cat([(flat @ dense + shift).tanh(), flat], 1) @ last + end
    chosen = logits[torch.arange(len(images)), torch.tensor(classes)].sum()
    gradients = torch.autograd.grad(chosen, list(found.values()))
    return {name: (maps.detach().numpy(), slope.numpy()) for (name, maps), slope in zip(found.items(), gradients, strict=True)}, logits.detach().numpy()


@functools.cache
def networks_report():
    """The student's maps and gradients for both networks, and what the oracle says."""
    first, second = two_networks()
    images, small = np.random.normal(0, 1, (5, 7, 8, 2)).astype("float32"), np.random.normal(0, 1, (3, 6, 7, 2)).astype("float32")
    order = np.argsort(by_torch(second, images, [0] * 5)[1], axis=1)
    classes = [int(order[i, 1 + i % 3]) for i in range(5)]  # neither the highest logit nor the lowest
    if len(set(classes)) == 1:
        classes[0] = int(order[0, 2])
    truth = by_torch(second, images, classes)[0]

    def run(first, second, images, small, classes):
        means, flat = build_networks(first, second)
        untouched, optimizers = (means.get_weights(), flat.get_weights()), (means.optimizer, flat.optimizer)
        found = {"means": maps_and_gradients(means, "maps", small, np.array([3, 0, 3]))}
        flat.trainable = False
        for name in ("before", "normal", "late", "pooled"):
            found[name] = maps_and_gradients(flat, name, images, classes)
        one = maps_and_gradients(flat, "late", images[2:3], classes[2:3])
        flat.trainable = True
        found["trainable"] = maps_and_gradients(flat, "late", images, classes)
        kept = all(np.array_equal(a, b) for before, model in zip(untouched, (means, flat), strict=True) for a, b in zip(before, model.get_weights(), strict=True))
        kinds = all(isinstance(part, np.ndarray) for pair in found.values() for part in pair)
        kept = kept and means.optimizer is optimizers[0] and flat.optimizer is optimizers[1]
        return found, one, kept and flat.trainable and [layer.name for layer in flat.layers][1:5] == ["before", "normal", "convolution", "late"], kinds

    return truth, first, small, *probe(run, first, second, images, small, classes)


def same(found, truth):
    """Whether 32 bits explain the difference."""
    return np.shape(found) == np.shape(truth) and np.allclose(found, truth, rtol=0, atol=2e-5 * (1 + np.abs(truth).max()))


@check(points=1, hint="GlobalAveragePooling2D passes a share 1 / (h w) of the class's weight to each position. Maps are the layer's output, after its activation, with no dropout.")
def means_in_closed_form():
    """With a mean and a Dense layer behind the maps, in a Sequential model, maps and gradients are those of the closed form, for each image's own class."""
    _, (kernel, bias, dense, _), small, found, *_ = networks_report()
    maps, gradients = found["means"]
    truth = F.conv2d(torch.tensor(small).permute(0, 3, 1, 2), torch.tensor(kernel).permute(3, 2, 0, 1), torch.tensor(bias)).relu().permute(0, 2, 3, 1).numpy()
    if not same(maps, truth):
        fail("The maps are not what the layer gives.")
    if not same(gradients, np.broadcast_to(dense.T[[3, 0, 3]][:, None, None] / 24, truth.shape)):
        fail("The gradients are wrong.")


@check(points=1.5, hint="Ask for the class that was given, also if it is not the highest. training=False. tape.watch(images), before the model is called, has the tape record layers without trainable weights, too.")
def any_layer_like_torch():
    """For four layers of a functional model with a branch, frozen or not, maps and gradients agree with torch, for classes that are not the highest."""
    truth, _, _, found, one, *_ = networks_report()
    for name, (maps, gradients) in truth.items():
        if not same(found[name][0], maps):
            fail("The maps are wrong in a network with batch normalisation and dropout.")
        if not same(found[name][1], gradients):
            fail("The gradients are wrong in a network with batch normalisation and dropout.")
    if not all(same(found["trainable"][part], truth["late"][part]) for part in (0, 1)):
        fail("Wrong if the weights are trainable.")
    if not all(same(one[part], truth["late"][part][2:3]) for part in (0, 1)):
        fail("Wrong for a single image.")


@check(points=0.5, hint="training=False; build a second model instead of changing the first; .numpy().")
def model_stays_as_it_is():
    """The model's weights, statistics, layers, flags and optimizer are not changed, and the results are NumPy arrays."""
    *_, kept, kinds = networks_report()
    if not kept:
        fail("The model was changed.")
    if not kinds:
        fail("Not all results are NumPy arrays.")


def some_maps():
    """Maps and gradients of both signs; in one image all sums are negative."""
    for n, h, w, k in ((3, 4, 5, 4), (1, 1, 6, 1), (2, 3, 3, 3), (4, 5, 2, 7), (1, 4, 3, 2)):
        maps, gradients = np.random.normal(0.3, 1, (n, h, w, k)) * (100 if n == 2 else 1), np.random.normal(0.2, 1, (n, h, w, k))
        if n == 3:
            maps[1], gradients[1] = np.abs(maps[1]), -np.abs(gradients[1])
        yield maps, gradients


def agree_on_maps(average):
    inputs = list(some_maps())

    def run(inputs, average):
        found = [grad_cam(maps, gradients, average) for maps, gradients in inputs]
        return found, inputs

    found, after = probe(run, [(maps.copy(), gradients.copy()) for maps, gradients in inputs], average)
    for (maps, gradients), heat, kept in zip(inputs, found, after, strict=True):
        if not all(np.array_equal(a, b) for a, b in zip((maps, gradients), kept, strict=True)):
            fail("Maps or gradients were changed.")
        shape = maps.shape[:3]
        truth = np.zeros(shape)
        for i, row, column in np.ndindex(*shape):
            weight = [sum(gradients[i, a, b, k] for a in range(shape[1]) for b in range(shape[2])) / (shape[1] * shape[2]) if average else gradients[i, row, column, k] for k in range(maps.shape[3])]
            truth[i, row, column] = max(0.0, sum(a * b for a, b in zip(weight, maps[i, row, column], strict=True)))
        if np.shape(heat) != shape or not np.allclose(heat, truth, atol=1e-9):
            fail(f"Wrong for maps of shape {maps.shape[1:]}.")


@check(points=1, hint="Mean over positions only, for each image and each map; sum over maps; max(0, ·) of the sum, not of its parts.")
def grad_cam_by_loops():
    """Grad-CAM agrees with loops in plain Python, for maps and gradients of both signs, and where all sums are negative."""
    agree_on_maps(True)


@check(points=0.75, hint="Without the average, gradient and map are multiplied value by value.")
def hirescam_by_loops():
    """With average=False, each value has the weight of its own gradient: loops in plain Python agree."""
    agree_on_maps(False)


@check(points=1.25, hint="Half-pixel centres, the default of keras.ops.image.resize and of torch with align_corners=False. First interpolate, then divide each map by its own highest value, with nothing added.")
def upsampled_like_torch():
    """Heat maps of any size, tiny and huge values and zeros agree with torch's bilinear interpolation, divided by the highest value of each."""
    inputs = [(np.random.uniform(0, 1, (n, h, w)) * scale, size) for n, h, w, size, scale in ((3, 3, 4, (7, 10), 1), (1, 2, 5, (8, 20), 1e-20), (2, 4, 3, (4, 3), 1), (2, 1, 4, (6, 4), 1e19), (1, 5, 5, (12, 8), 1e-6), (2, 3, 2, (5, 6), 0))]
    inputs[0][0][:] *= np.array([1, 0, 50])[:, None, None]
    inputs[2][0][:] += 0.5

    def run(inputs):
        return [upsample(heat, tuple(size)) for heat, size in inputs], inputs

    found, after = probe(run, [(heat.copy(), size) for heat, size in inputs])
    for (heat, size), fine, (kept, _) in zip(inputs, found, after, strict=True):
        if not np.array_equal(heat, kept):
            fail("The heat map was changed.")
        truth = F.interpolate(torch.tensor(heat)[:, None], size=size, mode="bilinear", align_corners=False)[:, 0].numpy()
        highest = truth.max((1, 2), keepdims=True)
        truth = truth / np.where(highest > 0, highest, 1)
        if np.shape(fine) != truth.shape:
            fail(f"A map of {heat.shape[1]} x {heat.shape[2]} does not become {size[0]} x {size[1]}.")
        if not np.allclose(fine, truth, atol=1e-5):
            fail(f"Wrong from {heat.shape[1]} x {heat.shape[2]} to {size[0]} x {size[1]}, with {'a map of zeros among others' if len(heat) == 3 else 'zeros only' if not heat.any() else f'values of about {highest.max():.0e}'}.")


@check(points=1, hint="heat[i, top:bottom, left:right]. No division by zero, and no other number than 0, for a map of zeros.")
def shares_by_mask():
    """Shares of boxes of any size, also at the border, in lists or an array, for one map or several, agree with a sum over a mask."""
    heat = np.random.uniform(0, 1, (5, 6, 9)) ** 4
    heat[3] = 0
    heat[4] *= 1e-15
    boxes = [(0, 0, 6, 9), (2, 5, 3, 9), (1, 0, 6, 4), (0, 0, 3, 3), (2, 3, 5, 5)]
    cases = [(heat, boxes), (heat, np.array(boxes)), (np.random.uniform(0, 1, (1, 7, 7)) ** 4, [(1, 3, 6, 5)]), (np.zeros((2, 4, 4)), [(0, 0, 4, 4), (1, 1, 2, 3)])]
    for (heat, boxes), found in zip(cases, probe(lambda cases: [share_inside(*case) for case in cases], cases), strict=True):
        rows, columns = np.indices(heat.shape[1:])
        truth = [float((one * ((rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))).sum() / (one.sum() or 1)) for one, (top, left, bottom, right) in zip(heat, boxes, strict=True)]
        if np.shape(found) != (len(heat),) or not np.allclose(found, truth, atol=1e-9):
            fail("A share is wrong." if heat.any() else "Wrong where all maps are zeros.")


@check(points=1, hint="If both maps show the same place, the class that was asked for is ignored. If each shows both places, negative sums were kept.")
def finds_the_sign_asked_for():
    """In pictures with two signs, the map for each class lies on its own sign, and at most a fortieth on the other."""
    cases = []
    for first, second in ((0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (3, 1)):
        picture, boxes = draw_signs([(first, np.random.randint(7, 17), 7), (second, np.random.randint(7, 17), 24)], seed=np.random.randint(1000))
        cases.append((picture, [first, second], [boxes[first], boxes[second]]))

    def run(cases):
        net, found = build_sign_net(), []
        for picture, signs, boxes in cases:
            heat = upsample(grad_cam(*maps_and_gradients(net, "maps", np.repeat(picture, 2, 0), signs)), (24, 32))
            found.append((share_inside(heat, boxes), share_inside(heat, boxes[::-1]), heat))
        return found

    for (_, _, boxes), (own, other, heat) in zip(cases, probe(run, cases), strict=True):
        inside = [heat[i, top:bottom, left:right].sum() / heat[i].sum() for i, (top, left, bottom, right) in enumerate(boxes)]
        if min(inside) < 0.95 or np.min(own) < 0.95:
            fail("The map of a class does not lie on its sign.")
        if np.max(other) > 0.025:
            fail("The map of a class lies on the other sign, too.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### Two signs, four questions
#
# A picture holds a plus and a ring. **Predict:** what does the map for *corner* look like, a class that is not there?

# %% tags=["demo", "raises-exception"]
def draw_sign_maps(signs=(0, 2), places=((8, 7), (15, 24)), cut=True) -> None:
    picture, boxes = draw_signs([(sign, *place) for sign, place in zip(signs, places, strict=True)])
    logits = sign_net(picture).numpy()[0]
    maps, gradients = maps_and_gradients(sign_net, "maps", np.repeat(picture, 4, 0), range(4))
    if cut:
        heat = upsample(grad_cam(maps, gradients), picture.shape[1:3])
    else:  # the absolute value in place of the maximum
        heat = upsample(np.abs((gradients.mean((1, 2), keepdims=True) * maps).sum(-1)), picture.shape[1:3])
    _, axes = plt.subplots(1, 5, figsize=(9.4, 2.0))
    axes[0].imshow(picture[0, :, :, 0], cmap="gray_r")
    axes[0].set_title("picture", fontsize=10)
    for name, logit, ax, one in zip(SIGNS, logits, axes[1:], heat, strict=True):
        ax.imshow(one, cmap="Blues", vmin=0, vmax=1)
        ax.set_title(f"{name}: {logit:.2f}", fontsize=10)
        inside = ", ".join(f"{share_inside(one[None], [box])[0]:.2f}" for box in boxes.values())
        ax.set_xlabel(f"inside: {inside}", fontsize=9)
    for ax in axes:
        for top, left, bottom, right in boxes.values():
            ax.add_patch(plt.Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, linestyle="--"))
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
    plt.show()


try:
    draw_sign_maps()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.5.")

# %% [markdown]
# Each class that is there has its map on its own sign (above: the logits; below: the shares inside the two boxes). For the others no sum is positive, and the map is empty. That is an answer: nothing speaks for this class.
#
# **In the libraries.** Keras has no Grad-CAM; captum has `LayerGradCam`. Here is the same network in PyTorch.

# %% tags=["demo", "shown", "raises-exception", "nbval-ignore-output"]
from captum.attr import LayerGradCam


def in_torch(model) -> nn.Module:
    """sign_net, with the same weights."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4, bias=False))
    for parameter, value in zip(net.parameters(), model.get_weights(), strict=True):
        parameter.data = torch.tensor(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T)
    return net


def compare_maps_with_captum() -> None:
    picture, _ = draw_signs([(0, 8, 7), (2, 15, 24)])
    own = grad_cam(*maps_and_gradients(sign_net, "maps", picture, [2]))[0]
    net = in_torch(sign_net)
    theirs = LayerGradCam(net, net[4]).attribute(torch.tensor(picture).permute(0, 3, 1, 2), target=2, relu_attributions=True)[0, 0].detach().numpy()
    print(f"largest difference to captum: {np.abs(own - theirs).max():.1e}, where the largest value is {theirs.max():.2f}")


try:
    compare_maps_with_captum()
except NotImplementedError:
    print("This comparison needs your functions of exercise 8.5.")

# %% [markdown]
# ### Where Grad-CAM is wrong
#
# A second network flattens the same maps, so it can tell places apart: a plus in the left half adds to its logit, and one in the right half takes about 0.6 times as much away. **Predict:** where does Grad-CAM show something, in a picture with two pluses?

# %% tags=["demo", "raises-exception"]
def draw_two_halves(right_half=-0.6) -> None:
    dense = np.zeros((12, 16, 4, 1), "float32")
    dense[:, :8, 0], dense[:, 8:, 0] = 1.0, right_half
    net = build_sign_net(dense=dense.reshape(-1, 1))
    pictures = [draw_signs([(0, 8, 7), (0, 15, 24)])[0], draw_signs([(0, 8, 7)])[0], draw_signs([(0, 15, 24)])[0]]
    both, left, right = (float(net(picture)[0, 0]) for picture in pictures)
    maps, gradients = maps_and_gradients(net, "maps", pictures[0], [0])
    panels = {"picture": pictures[0][0, :, :, 0]}
    for name, average in (("Grad-CAM", True), ("HiResCAM", False)):
        panels[name] = upsample(grad_cam(maps, gradients, average), (24, 32))[0]
    _, axes = plt.subplots(1, 3, figsize=(9.4, 2.5))
    for ax, (name, values) in zip(axes, panels.items(), strict=True):
        ax.imshow(values, cmap="gray_r" if name == "picture" else "Blues", vmin=0, vmax=1)
        ax.axvline(15.5, color="black", linestyle=":", linewidth=1)
        ax.set_title(name)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(False)
    axes[0].set_xlabel(f"logit {both:.2f}; left plus alone {left:.2f}, right one {right:.2f}", fontsize=9)
    plt.show()


try:
    draw_two_halves()
except NotImplementedError:
    print("This figure needs your functions of exercise 8.5.")

# %% [markdown]
# Grad-CAM shows both, the right one as strongly as the left, though it counts *against* the class. The mean gradient is positive, and has forgotten the places. HiResCAM shows the left one only. With one linear layer behind the maps, as here, its values before the maximum add up to the logit (without the bias). With more layers, neither promises that.
#
# A heat map says where, and not what was seen there.
#
# **Change, predict, run.** `draw_two_halves(right_half=-1.5)`. The logit of the picture is negative now. What do the two maps show?
#
# <details><summary>What you should see</summary>
#
# The mean gradient is negative, so Grad-CAM is empty, although the left plus speaks for the class. HiResCAM has not changed.
# </details>
