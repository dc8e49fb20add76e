# %% [markdown]
# ## 2.6 Augmentation and mixup
#
# The best cure for overfitting is more data. **Augmentation** makes some from what there is: an image of a 4, moved
# by one pixel, is another image of a 4, and nobody has to label it. The network is told something that the data
# alone would not tell it: *these differences do not matter*.
#
# So an augmentation is a claim about the world, and the claim can be false. "Flip and rotate for robustness" is advice
# that circulates without its condition. Here are two digits with some popular changes.

# %% tags=["demo"]
from scipy import ndimage
from sklearn.datasets import load_digits


def draw_image(ax, image, caption, color="black"):
    ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    ax.spines[:].set(visible=True, color="0.8")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.set_xlabel(caption, fontsize=9, color=color)


changes = {
    "as it is": lambda image: image,
    "shifted": lambda image: ndimage.shift(image, (0, 1), order=0),
    "np.roll": lambda image: np.roll(image, (2, 3), axis=(0, 1)),
    "rotated 15°": lambda image: ndimage.rotate(image, 15, reshape=False, order=1, mode="grid-constant"),
    "noise": lambda image: image + np.random.default_rng(0).normal(0, 0.15, image.shape),
    "rotated 180°": lambda image: image[::-1, ::-1],
    "mirrored": lambda image: image[:, ::-1],
}
verdicts = [["label 6"] * 2 + ["torn: no digit"] + ["label 6"] * 2 + ["now a 9", "no digit"]]
verdicts.append(["label 4"] * 2 + ["torn: no digit"] + ["label 4"] * 2 + ["no digit"] * 2)
samples, names = load_digits(return_X_y=True)
fig, axes = plt.subplots(2, len(changes), figsize=(9.5, 3.3))
for row, number in enumerate((6, 4)):
    image = samples[names == number][1].reshape(8, 8) / 16
    for ax, (change, apply), verdict in zip(axes[row], changes.items(), verdicts[row], strict=True):
        draw_image(ax, apply(image), verdict, color="C0" if verdict.startswith("label") else "C5")
        if row == 0:
            ax.set_title(change, loc="center", fontsize=10)
plt.show()

# %% [markdown]
# Every change needs a **label policy**, one of four:
#
# | policy | when | examples |
# |---|---|---|
# | keep the label | the change does not touch what the label says | digits: small shifts and rotations, a little noise |
# | change the label | the new image belongs to a known class | mirrored arrows: *left* becomes *right*; a 6 turned by 180° |
# | refuse | the new image belongs to no class, or to an unknown one | digits: flips, rotations of the others by 180° |
# | mix the labels | the new image is made of several | mixup, below |
#
# A flip is harmless for cats and wrong for text. Goodfellow, Bengio and Courville (*Deep Learning*, section 7.4)
# warn of exactly these cases, b and d, 6 and 9. And the robustness is to what was shown, not in general. At the end of
# the section, you will measure both.
#
# Only **training** images are augmented. Validation and test images stand for the data to come, and are left
# alone; nor may changed copies of one image be spread over training and validation, so split first and augment afterwards.
#
# ### Moving pixels
#
# `np.roll` and `torch.roll` shift in a circle: what leaves at the bottom comes back at the top. In an 8 × 8 image, that tears digits
# apart. What comes in from outside has to be background, here 0.
#
# For a rotation, think backwards. To fill the pixel at $(x, y)$, measured from the centre of the image with $x$ to
# the right and $y$ **down**, ask where its content was before the image turned counter-clockwise by $\varphi$:
#
# $$x_s = x\cos\varphi - y\sin\varphi, \qquad y_s = x\sin\varphi + y\cos\varphi .$$
#
# That is seldom the centre of a pixel, so one takes the mean of the four around it, weighted by
# how near they are (**bilinear** interpolation), with zeros for those outside. `F.grid_sample` does so for
# any grid of source points, and `F.affine_grid` makes the grid from a 2 × 3 matrix. Mind their coordinates: both measure in
# half widths and half heights of the image, so that a rotation of an oblong image needs a factor; and whether $\pm1$ is the
# edge or the centre of the outermost pixels is up to `align_corners`, which both have to be told alike.
#
# ### Mixing images
#
# Zhang et al., *mixup: Beyond Empirical Risk Minimization* (arXiv:1710.09412), mix two images and their labels, the latter
# written as one-hot vectors, with a weight drawn at random:
#
# $$\tilde x = \lambda x_i + (1 - \lambda) x_j, \qquad \tilde y = \lambda y_i + (1 - \lambda) y_j, \qquad
# \lambda \sim \mathrm{Beta}(\alpha, \alpha).$$
#
# Nobody takes the result for a real image. It asks the network to pass evenly from one class to the next, rather than
# to be sure of itself everywhere. Small $\alpha$ hardly mixes: most $\lambda$ are near 0 or 1. For ImageNet, the paper found $\alpha$ of 0.1 to
# 0.4 to help, and large ones to underfit (section 3.1).

# %% tags=["demo"]
from scipy.stats import beta

one, other = (samples[names == number][1].reshape(8, 8) / 16 for number in (3, 7))
fig, axes = plt.subplots(1, 5, figsize=(9.5, 2.6), width_ratios=(2.3, 1, 1, 1, 1))
grid = np.linspace(0.005, 0.995, 199)
for alpha, style in ((0.2, "-"), (1, "--"), (4, "-.")):
    axes[0].plot(grid, beta(alpha, alpha).pdf(grid), style, label=rf"$\alpha$ = {alpha}")
axes[0].set(title=r"Density of $\lambda$", xlabel=r"$\lambda$", ylim=(0, 3.6))
axes[0].legend(fontsize=9, loc="upper center")
pictures = {
    "a 3": one,
    "a 7": other,
    "mixup:\n0.6 · 3 + 0.4 · 7": 0.6 * one + 0.4 * other,
    "a λ per pixel:\nno known label": other + np.random.default_rng(1).beta(0.2, 0.2, one.shape) * (one - other),
}
for ax, (caption, image) in zip(axes[1:], pictures.items(), strict=True):
    draw_image(ax, image, caption)
plt.show()

# %% [markdown]
# **One $\lambda$ for what?** In the formula, each pair has its own. The authors' published code (`train.py` of
# facebookresearch/mixup-cifar10) draws one per batch, and the partners by shuffling that batch. Both are mixup;
# **here, each image of the batch gets its own**. One for each pixel is not mixup: two images shuffled into each other pixel by pixel are
# not at $\lambda$ of the way between their labels, whatever $\lambda$ one then writes down.
#
# **What about the loss?** The cross-entropy of a prediction $p$ against soft labels $\tilde y$ is
# $-\sum_c \tilde y_c \log p_c$. It is linear in $\tilde y$, so it can be had from two ordinary ones, with integer labels:
#
# $$\ell(p, \tilde y) = \lambda\,\ell(p, y_i) + (1 - \lambda)\,\ell(p, y_j). $$
#
# This mixes losses. Mixing the *integers* is nonsense: $0.5 \cdot 3 + 0.5 \cdot 7$ is a 5. And this listing, the batch version
# with a vector of $\lambda$ put in, runs without complaint. What is wrong with it?
#
# ```python
# loss = (lam * F.cross_entropy(logits, labels) + (1 - lam) * F.cross_entropy(logits, partners)).mean()
# ```
#
# <details><summary>Compare your diagnosis</summary>
#
# `F.cross_entropy` returns the mean over the batch, one number. So every $\lambda_i$ multiplies the same mean, and only the mean of the
# $\lambda_i$ is left: an image that is nine tenths a 3 is trained as if it were half of each. With one $\lambda$ per batch, it was right.
# </details>

# %% [markdown]
# ### Exercise 2.6 · Augmentation and mixup
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **11 points** · PyTorch
#
# **Given** `DIGIT_MIRROR`, which says which digit the mirror image of a digit is, for those where it is one.
#
# **Write** the five functions and the method below. `scipy.ndimage` is what your results are compared with, so do
# without it; the hidden checks make `shift`, `rotate` and `affine_transform` fail.
# Take random numbers from torch's or NumPy's global generator, and do not seed it: every call has to draw anew.
#
# <details><summary>Hint 1: shifting each image by its own amount</summary>
#
# A loop over the images is fine: roll, then set to zero what came round. Or without a loop: row $r$ of the result was row `r - down`
# before. Index with these numbers, and put zeros where they are out of range. Shifts may be larger than the image.
# </details>
#
# <details><summary>Hint 2: the matrix for affine_grid</summary>
#
# In half widths and half heights, $x = u\,w/2$ and $y = v\,h/2$ (with `align_corners=False`). Put this into the formula for $x_s$ and $y_s$, and
# $\sin\varphi$ gets a factor $h/w$ in the first row and $w/h$ in the second. `grid_sample` wants a channel axis: `images[:, None]`.
# </details>
#
# <details><summary>Hint 3: one number for each image</summary>
#
# `lam * images` aligns $\lambda$ with the *last* axis, and if the batch is as large as the image is wide, nobody complains. Give `lam` the shape
# `(n, 1, 1)`, or whatever the number of axes demands. `F.cross_entropy(..., reduction="none")` returns one loss for each image.
# </details>

# %% nbgrader={"grade": false, "grade_id": "setup_augmentation", "locked": true, "schema_version": 3, "solution": false, "task": false}
DIGIT_MIRROR = {0: 0, 8: 8}  # the mirror images of all others are no digits


# %% nbgrader={"grade": false, "grade_id": "augmentation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Shifts each image by its own whole number of pixels; what comes in from outside is 0.

    Args:
        images: (n, height, width), floating point; not modified.
        down, right: (n,), integers of any size; negative ones shift up and to the left.

    Returns:
        The shifted images, of the same shape and dtype.

    >>> shift_images(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([0]), torch.tensor([1]))
    tensor([[[0., 1., 2.]]])
    """
    ### BEGIN SOLUTION
    n, height, width = images.shape
    rows = torch.arange(height) - down[:, None]  # where each row of the result comes from
    columns = torch.arange(width) - right[:, None]
    seen = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    moved = images[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved * seen
    ### END SOLUTION


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotates each image by its own angle about its centre, counter-clockwise as displayed with row
    0 at the top.

    Bilinear interpolation; pixels outside the image count as 0, also in the interpolation
    (scipy.ndimage.rotate with reshape=False, order=1, mode="grid-constant").

    Args:
        images: (n, height, width), floating point, with height and width above 1; not modified.
        degrees: (n,), of the same dtype as the images, any angles.

    Returns:
        The rotated images, of the same shape and dtype.
    """
    ### BEGIN SOLUTION
    n, height, width = images.shape
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix, (n, 1, height, width), align_corners=False)
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
    ### END SOLUTION


def mirror_images(
    images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Flips images left to right and gives them the labels of their mirror images.

    Args:
        images: (n, height, width); not modified.
        labels: (n,), int64; not modified.
        mirror: says for a class which class its mirror image belongs to. If a class is missing, its
            mirror image belongs to none.

    Returns:
        The flipped images and their labels, int64.

    Raises:
        ValueError: if the mirror image of any of the images belongs to no class.
    """
    ### BEGIN SOLUTION
    if not set(labels.tolist()) <= set(mirror):
        raise ValueError("an image of this batch has no label in the mirror")
    return images.flip(-1), torch.tensor([mirror[label] for label in labels.tolist()])
    ### END SOLUTION


class ImageAugmenter(nn.Module):
    """Rotates images, shifts them and adds noise, at random and in training mode only. Labels are
    kept.

    Args:
        max_shift: in whole pixels, 0 or more.
        max_degrees: 0 or more.
        noise: standard deviation of the noise, 0 or more.
    """

    def __init__(self, max_shift: int = 1, max_degrees: float = 10.0, noise: float = 0.05):
        super().__init__()
        self.max_shift, self.max_degrees, self.noise = max_shift, max_degrees, noise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns images of the same shape (n, height, width) and dtype; the argument is not
        modified.

        In evaluation mode, they are the images as they came. In training mode, each image is first
        rotated, then shifted, and then gets noise. Drawn independently for each image, and anew in
        each call, are the angle, uniform between -max_degrees and max_degrees; the shift down and
        the shift to the right, each uniform on the whole numbers from -max_shift to max_shift, both
        included; and for each pixel its noise, normal with mean 0. Values may leave the range of
        the images: nothing is clipped.
        """
        ### BEGIN SOLUTION
        if not self.training:
            return images
        n = len(images)
        degrees = self.max_degrees * (2 * torch.rand(n, dtype=images.dtype) - 1)
        down, right = torch.randint(-self.max_shift, self.max_shift + 1, (2, n))
        moved = shift_images(rotate_images(images, degrees), down, right)
        return moved + self.noise * torch.randn_like(images)
        ### END SOLUTION


def mixup(
    images: torch.Tensor, labels: torch.Tensor, alpha: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mixes each image with a partner from the same batch (Zhang et al., arXiv:1710.09412), with a
    weight of its own.

    Row i of the result is lam[i] * images[i] + (1 - lam[i]) * images[order[i]], where `order` is a
    random permutation of the batch, each as likely as any other, and lam[i] is drawn from
    Beta(alpha, alpha), independently for each i.

    Args:
        images: (n, ...) with one or more axes after the first, floating point; not modified.
        labels: (n,), int64; not modified.
        alpha: 0, which means that every lam[i] is 1, or 0.05 and more.

    Returns:
        The mixed images, the partners' labels (labels[order]) and lam (n,), the first and the last
        of the images' dtype.
    """
    ### BEGIN SOLUTION
    n = len(images)
    order = torch.randperm(n)
    lam = torch.distributions.Beta(alpha, alpha).sample((n,)) if alpha > 0 else torch.ones(n)
    lam = lam.to(images.dtype)
    weight = lam.view(n, *[1] * (images.dim() - 1))
    return weight * images + (1 - weight) * images[order], labels[order], lam
    ### END SOLUTION


def mixup_loss(
    logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor
) -> torch.Tensor:
    """Mean over the batch of the cross-entropy against the soft labels lam * onehot(labels) + (1 -
    lam) * onehot(partners).

    Args:
        logits: (n, n_classes), up to 1e30 in size; gradients flow back to them.
        labels, partners: (n,), int64.
        lam: (n,), between 0 and 1, of the same dtype as the logits.

    Returns:
        A scalar tensor.
    """
    ### BEGIN SOLUTION
    own = F.cross_entropy(logits, labels, reduction="none")
    other = F.cross_entropy(logits, partners, reduction="none")
    return (lam * own + (1 - lam) * other).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_augmentation", "locked": true, "points": 11, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=11)


@check(points=1, hint="np.roll and torch.roll shift in a circle. What comes in from outside is 0.")
def shifts_without_wraparound():
    """Shifted by one pixel, an image loses a row or a column and gets zeros on the other side."""
    def run(image):
        image = torch.tensor([image])
        return [
            shift_images(image, torch.tensor([down]), torch.tensor([right]))[0] for down, right in [(1, 0), (-1, 0), (0, 1), (0, -1)]
        ]

    shifted = probe(run, [[1.0, 2.0], [3.0, 4.0]])
    for where, found, rows in zip(
        ("down", "up", "right", "left"), shifted, ([[0, 0], [1, 2]], [[3, 4], [0, 0]], [[0, 1], [0, 3]], [[2, 0], [4, 0]]), strict=True
    ):
        assert found.tolist() == rows, f"[[1, 2], [3, 4]] shifted by one pixel, {where}, is {rows}; yours is {found.tolist()}"


@check(points=1, hint="Look up every label before anything is flipped. A class that is not in the dict cannot be flipped.")
def refuses_mirrored_digits():
    """Mirrored arrows change their labels, and digits other than 0 and 8 are refused."""
    def run(images, labels, mirror):
        given, mirror = (images.clone(), labels.clone()), dict(mirror)
        try:
            flipped = mirror_images(images, labels, mirror)
        except ValueError:
            return None
        return *flipped, torch.equal(images, given[0]) and torch.equal(labels, given[1])

    images = torch.randn(5, 3, 4)
    for labels in ([0, 8, 3, 0, 8], [2, 2, 2, 2, 2], [0, 0, 8, 8, 6]):
        if probe(run, images, torch.tensor(labels), DIGIT_MIRROR) is not None:
            fail(f"Labels {labels} with DIGIT_MIRROR = {DIGIT_MIRROR}: no ValueError, although some mirror images are no digits.")
    for labels, mirror in [([0, 8, 8, 0, 8], DIGIT_MIRROR), ([0, 1, 2, 1, 1], {0: 1, 1: 0, 2: 2, 9: 9}), ([1, 2, 3, 3, 0], {0: 0, 1: 2, 2: 3, 3: 1})]:
        found = probe(run, images, torch.tensor(labels), mirror)
        assert found is not None, f"labels {labels}, mirror = {mirror}: a ValueError although all mirror images have a class"
        assert found[0].shape == images.shape and torch.equal(found[0], images[:, :, range(3, -1, -1)]), "the images are not flipped left to right"
        told = [mirror[label] for label in labels]
        assert found[1].tolist() == told, f"labels {labels}, mirror = {mirror}: the new labels are {told}, yours {found[1].tolist()}"
        assert found[1].dtype == torch.int64, f"the labels are {found[1].dtype} instead of torch.int64"
        assert found[2], "the images or labels that were given have been modified"


@check(points=1, hint="lam has the shape (n,): give it axes of length 1 so that it multiplies whole images. The same permutation for images and labels.")
def mixes_pairs():
    """Each mixed image is lam times itself and (1 - lam) times the image whose label is returned."""
    images = torch.rand(6, 6, 6)
    mixed, partners, lam = probe(lambda x: mixup(x, torch.arange(6), 1.0), images)
    assert mixed.shape == images.shape, f"six 6 × 6 images became a tensor of shape {tuple(mixed.shape)}"
    assert lam.shape == (6,), f"lam has the shape {tuple(lam.shape)}; for six images it has six numbers, (6,)"
    assert sorted(partners.tolist()) == list(range(6)), f"the labels were 0, ..., 5; the partners' labels are {partners.tolist()}, which is no permutation of them"
    for i, (j, weight) in enumerate(zip(partners.tolist(), lam.tolist(), strict=True)):
        if not torch.allclose(mixed[i], weight * images[i] + (1 - weight) * images[j], atol=1e-5):
            swapped = torch.allclose(mixed[i], weight * images[j] + (1 - weight) * images[i], atol=1e-5)
            fail(f"Image {i}, with lam = {weight:.3f} and the label of image {j} as partner's label, is not that mixture{': lam and 1 - lam are exchanged' if swapped else ''}.")


### BEGIN HIDDEN TESTS
from scipy import ndimage, special, stats

NDIMAGE = ("scipy.ndimage.shift", "scipy.ndimage.rotate", "scipy.ndimage.affine_transform")
TINY = 1e-8  # a right answer fails a test of a distribution with this probability


def moved_by_student(cases):
    """Results of shift_images or rotate_images, and whether their arguments are still what they were."""
    found = []
    for name, *arguments in cases:
        given = [argument.clone() for argument in arguments]
        with forbidden(*NDIMAGE):
            result = (shift_images if name == "shift" else rotate_images)(*arguments)
        found.append((result.detach(), all(torch.equal(*pair) for pair in zip(given, arguments, strict=True))))
    return found


def compare_with_scipy(cases, oracle, what):
    for (_, images, *amounts), (found, untouched) in zip(cases, probe(moved_by_student, cases), strict=True):
        if not untouched:
            fail("An argument is modified.")
        if found.shape != images.shape or found.dtype != images.dtype:
            fail("The result has not the images' shape and dtype.")
        truth = np.stack([oracle(image.double().numpy(), *(amount[i].item() for amount in amounts)) for i, image in enumerate(images)])
        if not np.allclose(found.numpy(), truth, atol=1e-4):
            first = np.allclose(found.numpy()[0], truth[0], atol=1e-4)
            fail(f"{what} differ from scipy's{', though not the first of the batch' if first else ''}.")


@check(points=1, hint="Each image has its own shift, in rows (down) and columns (right). Shifts may be larger than the image.")
def shifts_agree_with_scipy():
    """Shifts of any size agree with scipy.ndimage.shift, for batches of oblong images."""
    cases = []
    for n, height, width, dtype in [(30, 4, 6, torch.float32), (30, 5, 3, torch.float64), (4, 4, 4, torch.float32), (1, 1, 5, torch.float32)]:
        down, right = torch.randint(-7, 8, (2, n))
        if n == 30:
            down[:4], right[:4] = torch.tensor([1, -2, 100, 0]), torch.tensor([-1, 1, 0, -100])
        cases.append(("shift", 1 + torch.rand(n, height, width, dtype=dtype), down, right))
    compare_with_scipy(cases, lambda image, down, right: ndimage.shift(image, (down, right), order=0, mode="constant"), "Shifted images")


@check(points=1, hint="Oblong images need factors h / w and w / h; align_corners has to be the same in both calls; y points down.")
def rotations_agree_with_scipy():
    """Rotations by any angle agree with scipy.ndimage.rotate, for square and oblong images."""
    cases = []
    for n, height, width, dtype in [(20, 6, 6, torch.float32), (20, 5, 9, torch.float32), (20, 8, 3, torch.float64), (1, 7, 7, torch.float32)]:
        degrees = 30 + 300 * torch.rand(n, dtype=dtype)
        if n == 20:
            degrees[:6] = torch.tensor([90.0, 0.0, 180.0, -90.0, 20.0, -400.0])
        cases.append(("rotate", 1 + torch.rand(n, height, width, dtype=dtype), degrees))
    compare_with_scipy(
        cases, lambda image, angle: ndimage.rotate(image, angle, reshape=False, order=1, mode="grid-constant", cval=0.0), "Rotated images"
    )


@check(points=1, hint="self.training says whether this is training. It is set by train() and eval(), also of a model that the augmenter is part of.")
def augments_training_images_only():
    """In evaluation mode, images come back as they are; in training mode, they change, with and without gradients."""
    def run(images, settings):
        found = []
        for setting in settings:
            augmenter = ImageAugmenter(*setting)
            model = nn.Sequential(augmenter, nn.Flatten())
            given = images.clone()
            model.eval()
            validation = [augmenter(images).clone(), model(images).view(images.shape).clone()]
            model.train()
            training = [augmenter(images).clone()]
            with torch.no_grad():
                training.append(augmenter(images).clone())
                validation.append(model.eval()[0](images).clone())
            found.append((validation, training, torch.equal(given, images), model.training or augmenter.training))
        return found

    images = torch.rand(20, 5, 6, dtype=torch.float64)
    for validation, training, untouched, mode in probe(run, images, [(2, 0.0, 0.0), (0, 30.0, 0.0), (0, 0.0, 0.3), (1, 20.0, 0.1)]):
        if not all(torch.equal(image, images) for image in validation):
            fail("In evaluation mode, the images have changed: validation and test data would be augmented.")
        if any(image.shape != images.shape or torch.allclose(image, images) for image in training):
            fail("In training mode, the images have not changed, or have another shape.")
        if any(image.dtype != images.dtype for image in training):
            fail("The dtype of the images is not kept.")
        if not untouched or mode:
            fail("The images that were given have been modified, or the module's mode has.")


@check(points=2, hint="One angle and two shifts for each image; randint excludes its upper end; first the rotation, then the shift, then the noise.")
def draws_for_each_image():
    """Angles, shifts and noise have the promised distributions, independently for each image and call, in the promised order."""
    def run(cases):
        found = []
        for setting, images in cases:
            augmenter = ImageAugmenter(*setting)
            found.append([augmenter(images).detach(), augmenter(images).detach()])
        return found

    dot = torch.zeros(1, 9, 9)
    dot[0, 4, 4] = 1
    ramp = (torch.arange(9.0) - 4)[None, :, None].expand(1, 9, 9)
    small, large = dot.expand(600, 9, 9).clone(), ramp.expand(600, 9, 9).clone()
    dark = torch.zeros(250, 5, 5)
    shifted, turned, both, noisy = probe(run, [((2, 0.0, 0.0), small), ((0, 40.0, 0.0), large), ((2, 40.0, 0.0), small[:100]), ((3, 30.0, 0.3), dark)])
    if any(torch.equal(*pair) for pair in (shifted, turned, both, noisy)):
        fail("Two calls give the same images: nothing is drawn anew.")

    shifted = torch.cat(shifted)
    if not torch.allclose(shifted[:, 2:7, 2:7].amax((1, 2)), torch.ones(1), atol=1e-3):
        fail("A shift alone is no shift by whole pixels up to max_shift in each direction.")
    counts = np.bincount(shifted[:, 2:7, 2:7].flatten(1).argmax(1).numpy(), minlength=25)
    if stats.chisquare(counts).pvalue < TINY:
        fail("The shifts down and right are not independent for each image and uniform from -max_shift to max_shift, both included.")

    angles = np.degrees(np.arcsin(torch.cat(turned)[:, 4, 5].double().clamp(-1, 1).numpy()))  # the ramp's value one pixel beside the centre
    if stats.kstest(angles, stats.uniform(-40, 80).cdf).pvalue < TINY or np.abs(angles).max() > 40.01:
        fail("The angles are not uniform between -max_degrees and max_degrees, one for each image.")

    if not torch.allclose(torch.cat(both).amax((1, 2)), torch.ones(1), atol=1e-3):
        fail("A dot in the centre is smeared: the rotation comes first, when the dot is still in the centre, and the shift afterwards.")

    noisy = torch.cat(noisy).double().numpy()
    if stats.kstest(noisy.ravel(), stats.norm(0, 0.3).cdf).pvalue < TINY:
        fail("On black images, the result is not normal noise of the given standard deviation: added last, in every pixel, not clipped?")
    if stats.kstest(noisy.mean((1, 2)), stats.norm(0, 0.3 / 5).cdf).pvalue < TINY:
        fail("The noise is not independent for each pixel.")


@check(points=1, hint="The weights are Beta(alpha, alpha) as drawn, one for each image; not only the larger half, and not one for the batch.")
def weights_are_beta():
    """Weights follow Beta(alpha, alpha), independently for each image, and every permutation is as likely."""
    def run(alphas):
        found = [[mixup(torch.zeros(1000, 2), torch.zeros(1000, dtype=torch.int64), alpha)[2].detach() for _ in range(2)] for alpha in alphas]
        return found, [mixup(torch.zeros(3, 2), torch.arange(3), 1.0)[1].tolist() for _ in range(400)]

    alphas = (0.4, 1.0, 3.0)
    weights, orders = probe(run, alphas)
    for alpha, pair in zip(alphas, weights, strict=True):
        if torch.equal(*pair):
            fail("Two calls draw the same weights.")
        drawn = torch.cat(pair).double().numpy()
        if drawn.shape != (2000,):
            fail("There is not one weight for each image.")
        if stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue < TINY:
            fail("The weights do not follow Beta(alpha, alpha), independently for each image.")
    counts = [orders.count(order) for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])]
    if sum(counts) != len(orders) or stats.chisquare(counts).pvalue < TINY:
        fail("The partners are not a random permutation of the batch, each as likely as any other.")


@check(points=1, hint="The number of axes after the first may be any. alpha = 0 means weights of 1; Beta(0, 0) does not exist.")
def mixes_any_batch():
    """Mixing works for batches of any shape and dtype, for alpha = 0 and for one image, and modifies nothing."""
    def run(cases):
        found = []
        for images, labels, alpha in cases:
            given = images.clone(), labels.clone()
            mixed, partners, lam = mixup(images, labels, alpha)
            found.append((mixed.detach(), partners, lam.detach(), torch.equal(images, given[0]) and torch.equal(labels, given[1])))
        return found

    cases = [
        (torch.randn(*shape, dtype=dtype), 10 + torch.randperm(shape[0]), alpha)
        for shape, dtype, alpha in [
            ((5, 3, 4, 2), torch.float32, 0.5), ((7, 6), torch.float32, 1.0), ((4, 4, 4), torch.float64, 2.0),
            ((1, 3, 3), torch.float32, 1.0), ((6, 2, 3), torch.float32, 0.0), ((5, 3), torch.float64, 0.0),
        ]
    ]
    for (images, labels, alpha), (mixed, partners, lam, untouched) in zip(cases, probe(run, cases), strict=True):
        if not untouched:
            fail("The images or labels that were given have been modified.")
        if mixed.shape != images.shape or lam.shape != labels.shape or sorted(partners.tolist()) != sorted(labels.tolist()):
            fail("The results have the wrong shapes, or the partners' labels are no permutation of the labels.")
        if mixed.dtype != images.dtype or lam.dtype != images.dtype or partners.dtype != torch.int64:
            fail("The mixed images and lam have to have the images' dtype, the partners' labels int64.")
        if alpha == 0 and not (torch.equal(lam, torch.ones_like(lam)) and torch.equal(mixed, images)):
            fail("With alpha = 0, the images have to stay as they are, with weights of 1.")
        order = [labels.tolist().index(label) for label in partners.tolist()]
        truth = np.stack([lam[i].item() * images[i].double().numpy() + (1 - lam[i].item()) * images[j].double().numpy() for i, j in enumerate(order)])
        if not np.allclose(mixed.numpy(), truth, atol=1e-5):
            fail("For some shape of the batch, the mixed images are not those of lam and the partners.")


@check(points=1, hint="One loss for each image before lam weighs it (reduction='none'), then the mean.")
def loss_is_soft_cross_entropy():
    """Loss and gradient are those of the cross-entropy against soft labels."""
    def run(cases):
        found = []
        for given, *rest in cases:
            logits = given.clone().requires_grad_()
            loss = mixup_loss(logits, *rest)
            loss.backward()
            found.append((loss.detach(), logits.grad))
        return found

    cases = []
    for n, n_classes, scale in [(7, 4, 2.0), (1, 10, 1.0), (12, 12, 3.0), (6, 5, 1000.0)]:
        labels, partners = torch.randint(0, n_classes - 1, (2, n))  # the last class does not occur
        lam = torch.rand(n)
        if n > 1:
            lam[:2], partners[2] = torch.tensor([0.0, 1.0]), labels[2]
        cases.append((scale * torch.randn(n, n_classes), labels, partners, lam))
    for (logits, labels, partners, lam), (loss, gradient) in zip(cases, probe(run, cases), strict=True):
        onehot, weight = np.eye(logits.shape[1]), lam.double().numpy()[:, None]
        soft = weight * onehot[labels.numpy()] + (1 - weight) * onehot[partners.numpy()]
        truth = -(soft * special.log_softmax(logits.double().numpy(), axis=1)).sum(1).mean()
        if loss.shape != () or not math.isfinite(loss.item()):
            fail("The loss is not one finite number.")
        if not math.isclose(loss.item(), truth, rel_tol=1e-4, abs_tol=1e-5):
            fail("The loss is not the mean cross-entropy against the soft labels.")
        slope = (special.softmax(logits.double().numpy(), axis=1) - soft) / len(labels)
        if gradient is None or not np.allclose(gradient.numpy(), slope, atol=1e-5):
            fail("The gradient is not that of the cross-entropy against the soft labels.")


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ### What your functions make
#
# Above, eight digits; in the middle, the same after `ImageAugmenter`; below, mixed with each other by `mixup`.

# %% tags=["demo", "raises-exception"]
torch.manual_seed(4)
every_image, every_label = torch.tensor(samples / 16).float().view(-1, 8, 8), torch.tensor(names)
batch, batch_labels = every_image[10:18], every_label[10:18]
mixed, partners, lam = mixup(batch, batch_labels, alpha=1.0)
fig, axes = plt.subplots(3, 8, figsize=(9.5, 3.6))
rows = [batch, ImageAugmenter(max_shift=1, max_degrees=15, noise=0.1)(batch), mixed]
for i in range(8):
    captions = [f"{batch_labels[i]}", f"{batch_labels[i]}", f"{lam[i]:.1f} · {batch_labels[i]} + {1 - lam[i]:.1f} · {partners[i]}"]
    for ax, row, caption in zip(axes[:, i], rows, captions, strict=True):
        draw_image(ax, row[i], caption)
plt.show()

# %% [markdown]
# ### Robust to what?
#
# Five networks with one hidden layer learn from the same 200 digits: as they are, augmented, mixed up, with half of the images
# mirrored *and the labels kept*, and with any rotation up to 180°. They are then tested on other digits: unchanged, and changed in
# four ways. One run each, so differences of two hundredths mean nothing.

# %% tags=["demo", "nbval-ignore-output", "raises-exception"]
x_few, y_few, x_rest, y_rest = every_image[:200], every_label[:200], every_image[797:], every_label[797:]


def digits_learnt(seed, augmenter=None, alpha=0.0, p_mirror=0.0):
    """A network trained on 200 digits, with what is done to its training images."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(200):
        images = torch.where(torch.rand(200, 1, 1) < p_mirror, x_few.flip(-1), x_few)  # flipped digits: a mistake, see above
        images = images if augmenter is None else augmenter(images)
        images, partners, lam = mixup(images, y_few, alpha)
        optimizer.zero_grad()
        mixup_loss(net(images), y_few, partners, lam).backward()
        optimizer.step()
    return net


recipes = {
    "nothing": {},
    "shift, rotate ≤ 15°, noise": dict(augmenter=ImageAugmenter(1, 15.0, 0.1)),
    "mixup, α = 0.4": dict(alpha=0.4),
    "flips, labels kept": dict(p_mirror=0.5),
    "rotate ≤ 180°": dict(augmenter=ImageAugmenter(0, 180.0, 0.0)),
}
torch.manual_seed(0)
n_rest = len(x_rest)
sign = torch.randint(0, 2, (n_rest,)) * 2 - 1
tests = {
    "unchanged": x_rest,
    "shifted by 1": shift_images(x_rest, 0 * sign, sign),
    "rotated by 20°": rotate_images(x_rest, 20.0 * sign),
    "noise 0.25": x_rest + 0.25 * torch.randn(x_rest.shape),
    "turned over": rotate_images(x_rest, torch.full((n_rest,), 180.0)),
}
fig, ax = plt.subplots(figsize=(9.5, 3.4))
hatches = ["", "", "//", "..", "xx"]
for place, (name, recipe) in enumerate(recipes.items()):
    net = digits_learnt(seed=0, **recipe)
    with torch.no_grad():
        shares = [(net(images).argmax(1) == y_rest).float().mean().item() for images in tests.values()]
    print(f"{name:28s}", "  ".join(f"{test}: {share:.2f}" for test, share in zip(tests, shares, strict=True)))
    ax.bar(np.arange(5) + 0.16 * (place - 2), shares, width=0.15, label=name, hatch=hatches[place], edgecolor="white", lw=0.5)
ax.set(ylabel="accuracy", ylim=(0, 1), title="Test accuracy after training with different augmentations")
ax.set_xticks(range(5), labels=list(tests))
ax.legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1), title="training images")
ax.grid(axis="x")
plt.show()

# %% [markdown]
# On images like those it has seen, the plain network is the best, or nearly so. Moved by one pixel, they are another world to it: it
# gets more than half of them wrong. Training with shifts repairs that at little cost. Rotations by any angle make the network
# better on digits that are turned over, and worse on upright ones: a small network has to spread what it can do over all angles (that 6 and 9 become alike adds to it). Flips with
# their labels kept teach shapes that do not occur, and cost some accuracy on those that do. Noise of 0.1 in training was no
# protection against noise of 0.25, on the contrary, and mixup made matters somewhat worse here. The gains that its authors report are for
# larger networks and data sets.
#
# So the claim is repaired like this: *augment the training set with changes that keep the label and that you expect at test time,
# and let validation data decide how strong they should be*. For what nobody expected there is no promise.

