# Right: affine_grid and grid_sample with align_corners=True, (h-1)/(w-1) as factor; shifts by slices in a loop; angles from NumPy.
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Shifts each image by its own whole number of pixels; what comes in from outside is 0.

    Args:
        images: (n, height, width), float32 or float64; not modified.
        down, right: (n,), integers of any size; negative ones shift up and to the left.

    Returns:
        The shifted images, of the same shape and dtype.

    >>> shift_images(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([0]), torch.tensor([1]))
    tensor([[[0., 1., 2.]]])
    """
    result = torch.zeros_like(images)
    _, h, w = images.shape
    for i, (d, r) in enumerate(zip(down.tolist(), right.tolist())):
        if abs(d) < h and abs(r) < w:
            result[i, max(d, 0) : h + min(d, 0), max(r, 0) : w + min(r, 0)] = images[i, max(-d, 0) : h - max(d, 0), max(-r, 0) : w - max(r, 0)]
    return result


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotates each image by its own angle about its centre, counter-clockwise as displayed with row
    0 at the top.

    Bilinear interpolation; pixels outside the image count as 0, also in the interpolation
    (scipy.ndimage.rotate with reshape=False, order=1, mode="grid-constant").

    Args:
        images: (n, height, width), float32 or float64, with height and width above 1; not
            modified.
        degrees: (n,), of the same dtype as the images, any angles.

    Returns:
        The rotated images, of the same shape and dtype.
    """
    if len(images) == 0:
        return images.clone()
    n, h, w = images.shape
    angle = torch.deg2rad(torch.remainder(degrees, 360).double())
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    theta = torch.stack([cos, -sin * (h - 1) / (w - 1), zero, sin * (w - 1) / (h - 1), cos, zero], 1).view(n, 2, 3)
    grid = F.affine_grid(theta, (n, 1, h, w), align_corners=True)
    return F.grid_sample(images.double()[:, None], grid, align_corners=True)[:, 0].to(images.dtype)


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
    told = labels.tolist()
    for label in told:
        if label not in mirror:
            raise ValueError(f"class {label} has no mirror image")
    return images.flip(-1), torch.tensor([mirror[label] for label in told], dtype=torch.int64)


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
        """Returns images of the same shape (n, height, width) and dtype, float32 or float64; the
        argument is not modified.

        In evaluation mode, they are the images as they came. In training mode, each image is first
        rotated, then shifted, and then gets noise. Drawn independently for each image, and anew in
        each call, are the angle, uniform between -max_degrees and max_degrees; the shift down and
        the shift to the right, each uniform on the whole numbers from -max_shift to max_shift, both
        included; and for each pixel its noise, normal with mean 0. Values may leave the range of
        the images: nothing is clipped.
        """
        if not self.training:
            return images.clone()
        n = len(images)
        images = rotate_images(images, torch.tensor(np.random.uniform(-self.max_degrees, self.max_degrees, n), dtype=images.dtype))
        shifts = torch.from_numpy(np.random.randint(-self.max_shift, self.max_shift + 1, size=(2, n)))
        images = shift_images(images, *shifts)
        return images + torch.from_numpy(np.random.normal(0, self.noise, images.shape)).to(images.dtype)


def mixup(
    images: torch.Tensor, labels: torch.Tensor, alpha: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mixes each image with a partner from the same batch (Zhang et al., arXiv:1710.09412), with a
    weight of its own.

    Row i of the result is lam[i] * images[i] + (1 - lam[i]) * images[order[i]], where `order` is a
    random permutation of the batch, each as likely as any other, and lam[i] is drawn from
    Beta(alpha, alpha), independently for each i.

    Args:
        images: (n, ...) with one or more axes after the first, float32 or float64; not modified.
        labels: (n,), int64; not modified.
        alpha: 0, which means that every lam[i] is 1, or 0.05 and more.

    Returns:
        The mixed images, the partners' labels (labels[order]) and lam (n,), the first and the last
        of the images' dtype.
    """
    n = len(images)
    order = torch.randperm(n)
    lam = np.ones(n) if alpha == 0 else np.random.beta(alpha, alpha, n)
    lam = torch.tensor(lam, dtype=images.dtype)
    weight = lam.view(-1, *[1] * (images.dim() - 1))
    return weight * images + (1 - weight) * images[order], labels[order], lam


def mixup_loss(
    logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor
) -> torch.Tensor:
    """Mean over the batch of the cross-entropy against the soft labels lam * onehot(labels) + (1 -
    lam) * onehot(partners).

    Args:
        logits: (n, n_classes), float32 or float64, up to 1e30 in size; gradients flow back to them.
        labels, partners: (n,), int64.
        lam: (n,), between 0 and 1, of the same dtype as the logits.

    Returns:
        A scalar tensor.
    """
    own = F.cross_entropy(logits, labels, reduction="none")
    other = F.cross_entropy(logits, partners, reduction="none")
    return (lam * own + (1 - lam) * other).mean()
