# Wrong: rolls the images: what leaves on one side comes back on the other
# Fails: shifts_without_wraparound, shifts_agree_with_scipy
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.stack([
        torch.tensor(np.roll(image.numpy(), (int(d), int(r)), axis=(0, 1))) for image, d, r in zip(images, down, right, strict=True)
    ])


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    n, height, width = images.shape
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin * height / width, zero, sin * width / height, cos, zero], dim=1).view(n, 2, 3)
    grid = F.affine_grid(matrix, (n, 1, height, width), align_corners=False)
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]


def mirror_images(images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    if not set(labels.tolist()) <= set(mirror):
        raise ValueError("an image of this batch has no label in the mirror")
    return images.flip(-1), torch.tensor([mirror[label] for label in labels.tolist()])


class ImageAugmenter(nn.Module):

    def __init__(self, max_shift: int = 1, max_degrees: float = 10.0, noise: float = 0.05):
        super().__init__()
        self.max_shift, self.max_degrees, self.noise = max_shift, max_degrees, noise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return images
        n = len(images)
        degrees = self.max_degrees * (2 * torch.rand(n, dtype=images.dtype) - 1)
        down, right = torch.randint(-self.max_shift, self.max_shift + 1, (2, n))
        moved = shift_images(rotate_images(images, degrees), down, right)
        return moved + self.noise * torch.randn_like(images)


def mixup(images: torch.Tensor, labels: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n = len(images)
    order = torch.randperm(n)
    lam = torch.distributions.Beta(alpha, alpha).sample((n,)) if alpha > 0 else torch.ones(n)
    lam = lam.to(images.dtype)
    weight = lam.view(n, *[1] * (images.dim() - 1))
    return weight * images + (1 - weight) * images[order], labels[order], lam


def mixup_loss(logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    own = F.cross_entropy(logits, labels, reduction="none")
    other = F.cross_entropy(logits, partners, reduction="none")
    return (lam * own + (1 - lam) * other).mean()
