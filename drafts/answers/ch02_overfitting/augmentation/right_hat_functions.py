# Right: shifts and rotates with matrices of weights: a hat function around each source point
def hats(rows, columns, height, width):
    """For each source point, the weights of all pixels."""
    vertical = (1 - (rows[..., None] - torch.arange(height)).abs()).clamp(min=0)
    horizontal = (1 - (columns[..., None] - torch.arange(width)).abs()).clamp(min=0)
    return vertical, horizontal


def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    n, h, w = images.shape
    vertical, horizontal = hats(torch.arange(h) - down[:, None], torch.arange(w) - right[:, None], h, w)
    return vertical.to(images.dtype) @ images @ horizontal.to(images.dtype).mT


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    n, h, w = images.shape
    y = (torch.arange(h, dtype=images.dtype) - (h - 1) / 2)[:, None]
    x = (torch.arange(w, dtype=images.dtype) - (w - 1) / 2)[None, :]
    turn = torch.exp(1j * torch.deg2rad(degrees))[:, None, None] * torch.complex(x.expand(h, w), y.expand(h, w))
    vertical, horizontal = hats(turn.imag + (h - 1) / 2, turn.real + (w - 1) / 2, h, w)
    return torch.einsum("nrcp,nrcq,npq->nrc", vertical, horizontal, images)


def mirror_images(images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    table = torch.full((1 + max([*mirror, *labels.tolist()]),), -1)
    for old, new in mirror.items():
        table[old] = new
    new = table[labels]
    if (new < 0).any():
        raise ValueError("no class for a mirror image")
    return images[:, :, torch.arange(images.shape[2]).flip(0)], new


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
    if alpha == 0:
        return images.clone(), labels.clone(), images.new_ones(len(images))
    lam = torch.distributions.Dirichlet(torch.full((len(images), 2), float(alpha))).sample()[:, 0].to(images.dtype)
    order = torch.randperm(len(images))
    mixed = torch.lerp(images[order].flatten(1), images.flatten(1), lam[:, None]).reshape(images.shape)
    return mixed, labels[order], lam


def mixup_loss(logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    soft = torch.zeros_like(logits)
    soft.scatter_add_(1, labels[:, None], lam[:, None])
    soft.scatter_add_(1, partners[:, None], 1 - lam[:, None])
    return -(soft * F.log_softmax(logits, dim=1)).sum() / len(logits)
