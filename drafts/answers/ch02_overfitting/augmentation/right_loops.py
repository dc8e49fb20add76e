# Right: loops over images and pixels in NumPy, weights from NumPy, labels as one-hot vectors
def shift_images(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    result = np.zeros(tuple(images.shape), dtype=images.numpy().dtype)
    n, h, w = images.shape
    for i in range(n):
        d, r, image = int(down[i]), int(right[i]), images[i].numpy()
        for row in range(max(d, 0), min(h, h + d)):
            for column in range(max(r, 0), min(w, w + r)):
                result[i, row, column] = image[row - d, column - r]
    return torch.from_numpy(result)


def rotate_images(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    n, h, w = images.shape
    y, x = np.mgrid[:h, :w]
    y, x = y - (h - 1) / 2, x - (w - 1) / 2
    result = []
    for image, angle in zip(images.numpy().astype(np.float64), np.radians(degrees.numpy().astype(np.float64)), strict=True):
        framed = np.pad(image, 1)
        y_from = x * np.sin(angle) + y * np.cos(angle) + (h - 1) / 2 + 1
        x_from = x * np.cos(angle) - y * np.sin(angle) + (w - 1) / 2 + 1
        y_from, x_from = y_from.clip(0, h + 1), x_from.clip(0, w + 1)
        top, left = np.minimum(y_from.astype(int), h), np.minimum(x_from.astype(int), w)
        b, a = y_from - top, x_from - left
        result.append(
            (1 - b) * ((1 - a) * framed[top, left] + a * framed[top, left + 1])
            + b * ((1 - a) * framed[top + 1, left] + a * framed[top + 1, left + 1])
        )
    return torch.tensor(np.stack(result), dtype=images.dtype)


def mirror_images(images: torch.Tensor, labels: torch.Tensor, mirror: dict[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    try:
        new = [mirror[int(label)] for label in labels]
    except KeyError as error:
        raise ValueError(f"the mirror image of class {error} belongs to no class") from None
    return torch.flip(images, dims=[2]), torch.tensor(new, dtype=torch.int64)


class ImageAugmenter(nn.Module):
    def __init__(self, max_shift: int = 1, max_degrees: float = 10.0, noise: float = 0.05):
        super().__init__()
        self.max_shift = max_shift
        self.max_degrees = max_degrees
        self.noise = noise

    def forward(self, images):
        if self.training:
            n = images.shape[0]
            angles = torch.tensor(np.random.uniform(-self.max_degrees, self.max_degrees, n), dtype=images.dtype)
            images = rotate_images(images, angles)
            steps = np.random.randint(-self.max_shift, self.max_shift + 1, size=(n, 2))
            images = shift_images(images, torch.tensor(steps[:, 0]), torch.tensor(steps[:, 1]))
            images = images + torch.tensor(np.random.normal(0, self.noise, tuple(images.shape)), dtype=images.dtype)
        return images


def mixup(images: torch.Tensor, labels: torch.Tensor, alpha: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    n = len(images)
    order = np.random.permutation(n)
    lam = torch.tensor(np.random.beta(alpha, alpha, n) if alpha else np.ones(n), dtype=images.dtype)
    mixed = torch.stack([lam[i] * images[i] + (1 - lam[i]) * images[order[i]] for i in range(n)])
    return mixed, labels[order], lam


def mixup_loss(logits: torch.Tensor, labels: torch.Tensor, partners: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
    n_classes = logits.shape[1]
    soft = lam[:, None] * F.one_hot(labels, n_classes) + (1 - lam[:, None]) * F.one_hot(partners, n_classes)
    return F.cross_entropy(logits, soft)
