# Right: by a reader who saw the release alone
class SharedTrunkNet(nn.Module):
    """One trunk for all tasks, and on top of it a linear head for each (hard parameter sharing)."""

    def __init__(self, trunk: nn.Module, n_features: int, n_tasks: int):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads], dim=1)


def masked_task_losses(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each task over the samples that have its label."""
    missing = targets.isnan()
    filled = torch.where(missing, predictions.detach(), targets)
    counts = (~missing).sum(0).clamp(min=1)
    return ((predictions - filled) ** 2).sum(0) / counts


def task_gradients(losses: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    """The gradient of each task's loss with respect to the same parameters: one row per task."""
    rows = []
    for loss in losses:
        grads = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.reshape(-1) for g in grads]))
    return torch.stack(rows)


def project_conflicts(gradients: torch.Tensor) -> torch.Tensor:
    """PCGrad, up to the sum at its end."""
    result = gradients.clone()
    n = len(gradients)
    for i in range(n):
        for j in torch.randperm(n).tolist():
            if j == i:
                continue
            dot = result[i] @ gradients[j]
            if dot < 0:
                result[i] -= dot / (gradients[j] @ gradients[j]) * gradients[j]
    return result


def multitask_backward(model: nn.Module, losses: torch.Tensor, weights: list[float], surgery: bool = False) -> None:
    """Sets .grad of all parameters of the model's trunk and heads; what was in .grad before is replaced."""
    weighted = losses * torch.tensor(weights, dtype=losses.dtype)
    trunk = list(model.trunk.parameters())
    if surgery:
        total = project_conflicts(task_gradients(weighted, trunk)).sum(0)
    model.zero_grad()
    weighted.sum().backward()
    if surgery:
        for p, piece in zip(trunk, total.split([p.numel() for p in trunk])):
            p.grad = piece.view_as(p).clone()
