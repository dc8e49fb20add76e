# Right: rolls and clears what came round; corners aligned; weights from two gamma variables; log-softmax by hand
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    result = []
    for image, d, r in zip(images, down.tolist(), right.tolist(), strict=True):
        h, w = image.shape
        image = torch.roll(image, (d, r), dims=(0, 1))
        if d > 0:
            image[:d] = 0
        elif d < 0:
            image[max(h + d, 0):] = 0
        if r > 0:
            image[:, :r] = 0
        elif r < 0:
            image[:, max(w + r, 0):] = 0
        result.append(image)
    return torch.stack(result)


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    n, h, w = images.shape
    matrix = torch.zeros(n, 2, 3, dtype=images.dtype)
    angle = degrees * math.pi / 180
    matrix[:, 0, 0] = matrix[:, 1, 1] = torch.cos(angle)
    matrix[:, 0, 1] = -torch.sin(angle) * (h - 1) / (w - 1)
    matrix[:, 1, 0] = torch.sin(angle) * (w - 1) / (h - 1)
    grid = F.affine_grid(matrix, [n, 1, h, w], align_corners=True)
    return F.grid_sample(images.unsqueeze(1), grid, mode="bilinear", padding_mode="zeros", align_corners=True).squeeze(1)


def mirror_images(images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    for label in labels:
        if label.item() not in mirror:
            raise ValueError(f"class {label} cannot be mirrored")
    new_labels = labels.clone()
    for old, new in mirror.items():
        new_labels[labels == old] = new
    return torch.fliplr(images.permute(1, 2, 0)).permute(2, 0, 1), new_labels


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
    n = images.size(0)
    if alpha == 0:
        lam = torch.ones(n, dtype=torch.float64)
    else:
        first, second = torch.distributions.Gamma(torch.tensor(alpha, dtype=torch.float64), 1.0).sample((2, n))
        lam = first / (first + second)
    lam = lam.to(images.dtype)
    order = torch.rand(n).argsort()
    mixed = torch.einsum("n,n...->n...", lam, images) + torch.einsum("n,n...->n...", 1 - lam, images[order])
    return mixed, labels[order], lam


def mixup_loss(logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    log_p = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    rows = torch.arange(len(logits))
    return -(lam * log_p[rows, labels] + (1 - lam) * log_p[rows, partners]).mean()
