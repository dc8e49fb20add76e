# Right: by a reader who saw the release alone
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Shifts each image by its own whole number of pixels; what comes in from outside is 0."""
    n, height, width = images.shape
    rows = (torch.arange(height) - down[:, None])[:, :, None]  # where each pixel comes from
    columns = (torch.arange(width) - right[:, None])[:, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    moved = images[torch.arange(n)[:, None, None], rows.clamp(0, height - 1), columns.clamp(0, width - 1)]
    return torch.where(inside, moved, 0)


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Rotates each image by its own angle about its centre, counter-clockwise as displayed with row 0 at the top."""
    n, height, width = images.shape
    angle = torch.deg2rad(degrees)
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    first = torch.stack([cos, -sin * height / width, zero], dim=1)
    second = torch.stack([sin * width / height, cos, zero], dim=1)
    grid = F.affine_grid(torch.stack([first, second], dim=1), [n, 1, height, width], align_corners=False)
    return F.grid_sample(images[:, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)[:, 0]


def mirror_images(images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Flips images left to right and gives them the labels of their mirror images."""
    mirrored = []
    for label in labels.tolist():
        if label not in mirror:
            raise ValueError(f"the mirror image of class {label} belongs to no class")
        mirrored.append(mirror[label])
    return images.flip(-1), torch.tensor(mirrored, dtype=torch.int64)


class ImageAugmenter(nn.Module):
    """Rotates images, shifts them and adds noise, at random and in training mode only. Labels are kept."""

    def __init__(self, max_shift: int = 1, max_degrees: float = 10.0, noise: float = 0.05):
        super().__init__()
        self.max_shift, self.max_degrees, self.noise = max_shift, max_degrees, noise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return images
        n = len(images)
        degrees = self.max_degrees * (2 * torch.rand(n, dtype=images.dtype) - 1)
        down, right = torch.randint(-self.max_shift, self.max_shift + 1, (2, n))
        changed = shift_images(rotate_images(images, degrees), down, right)
        return changed + self.noise * torch.randn_like(images)


def mixup(images: torch.Tensor, labels: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mixes each image with a partner from the same batch (Zhang et al., arXiv:1710.09412), with a weight of its own."""
    n = len(images)
    order = torch.randperm(n)
    if alpha == 0:
        lam = torch.ones(n, dtype=images.dtype)
    else:
        lam = torch.distributions.Beta(alpha, alpha).sample((n,)).to(images.dtype)
    weight = lam.view(n, *[1] * (images.ndim - 1))
    return weight * images + (1 - weight) * images[order], labels[order], lam


def mixup_loss(logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of the cross-entropy against the soft labels lam * onehot(labels) + (1 - lam) * onehot(partners)."""
    own = F.cross_entropy(logits, labels, reduction="none")
    other = F.cross_entropy(logits, partners, reduction="none")
    return (lam * own + (1 - lam) * other).mean()
