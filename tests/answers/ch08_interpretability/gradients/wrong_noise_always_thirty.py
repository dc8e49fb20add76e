# Wrong: always 30 samples
# Fails: noise_of_the_given_size, noise_is_drawn_anew
def saliency(model: nn.Module, images: torch.Tensor, classes) -> torch.Tensor:
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        chosen = model(leaf)[torch.arange(len(leaf)), classes]
        return torch.autograd.grad(chosen.sum(), leaf)[0]


def smooth_grad(model: nn.Module, images: torch.Tensor, classes, level: float = 0.15, n_samples: int = 30) -> torch.Tensor:
    flat = images.detach().flatten(1)
    scale = level * (flat.amax(1) - flat.amin(1)).reshape(-1, *[1] * (images.dim() - 1))
    total = torch.zeros_like(images)
    for _ in range(30):
        total += saliency(model, images.detach() + scale * torch.randn_like(images), classes)
    return total / 30


def integrated_gradients(model: nn.Module, images: torch.Tensor, baselines: torch.Tensor, classes, steps: int = 32) -> torch.Tensor:
    images, baselines = images.detach(), baselines.detach()
    total = torch.zeros_like(images)
    for k in range(steps):
        total += saliency(model, baselines + (k + 0.5) / steps * (images - baselines), classes)
    return (images - baselines) * total / steps


def completeness_gap(model: nn.Module, images: torch.Tensor, baselines: torch.Tensor, classes, attributions: torch.Tensor) -> torch.Tensor:
    rows = torch.arange(len(images))
    with torch.no_grad():
        change = model(images)[rows, classes] - model(baselines.expand_as(images))[rows, classes]
        return change - attributions.flatten(1).sum(1)
