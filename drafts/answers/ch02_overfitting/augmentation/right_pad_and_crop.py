# Right: pads with zeros and cuts out; each image on its own; loss one image after the other
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    n, h, w = images.shape
    result = torch.empty_like(images)
    for i in range(n):
        d = max(-h, min(h, int(down[i])))
        r = max(-w, min(w, int(right[i])))
        padded = F.pad(images[i], (w, w, h, h))
        result[i] = padded[h - d : 2 * h - d, w - r : 2 * w - r]
    return result


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    results = []
    for image, angle in zip(images, degrees.tolist(), strict=True):
        h, w = image.shape
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        matrix = torch.tensor([[[c, -s * h / w, 0.0], [s * w / h, c, 0.0]]], dtype=image.dtype)
        results.append(F.grid_sample(image[None, None], F.affine_grid(matrix, (1, 1, h, w)))[0, 0])
    return torch.stack(results)


def mirror_images(images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    if any(label not in mirror for label in labels.tolist()):
        raise ValueError("refused")
    return images[..., range(images.shape[-1] - 1, -1, -1)], labels.clone().apply_(lambda label: mirror[label])


class ImageAugmenter(nn.Module):
    def __init__(self, max_shift: int = 1, max_degrees: float = 10.0, noise: float = 0.05):
        super().__init__()
        self.max_shift, self.max_degrees, self.noise = max_shift, max_degrees, noise

    def forward(self, images):
        result = images.clone()
        if self.training:
            for i in range(len(images)):
                angle = torch.empty(1, dtype=images.dtype).uniform_(-1, 1) * self.max_degrees
                turned = rotate_images(images[i : i + 1], angle)
                down = torch.randint(2 * self.max_shift + 1, (1,)) - self.max_shift
                right = torch.randint(2 * self.max_shift + 1, (1,)) - self.max_shift
                result[i] = shift_images(turned, down, right)[0]
            result += torch.empty_like(result).normal_() * self.noise
        return result


def mixup(images: torch.Tensor, labels: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n = len(images)
    order = torch.randperm(n).tolist()
    lam = torch.ones(n, dtype=images.dtype)
    if alpha > 0:
        for i in range(n):
            lam[i] = np.random.beta(alpha, alpha)
    mixed = images.clone()
    for i, j in enumerate(order):
        mixed[i] = lam[i] * images[i] + (1 - lam[i]) * images[j]
    return mixed, labels[order], lam


def mixup_loss(logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    total = 0.0
    for row, own, other, weight in zip(logits, labels, partners, lam, strict=True):
        total = total + weight * F.cross_entropy(row, own) + (1 - weight) * F.cross_entropy(row, other)
    return total / len(logits)
