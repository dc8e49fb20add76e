# Wrong: 1e-12 is added to the squared length against rows of zeros: small gradients in conflict are hardly projected.
# Fails: projects_two_gradients
class SharedTrunkNet(nn.Module):
    """One trunk for all tasks, and on top of it a linear head for each (hard parameter sharing).

    Args:
        trunk: maps a batch of inputs to features, of shape (batch, n_features).
        n_features: the number of features.
        n_tasks: the number of tasks.

    Attributes:
        trunk: the module that was given, not a copy.
        heads: an nn.ModuleList with one nn.Linear(n_features, 1) for each task.
    """

    def __init__(self, trunk: nn.Module, n_features: int, n_tasks: int):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions of shape (batch, n_tasks): column t is what head t makes of the features. The
        trunk runs only once."""
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads], 1)


def masked_task_losses(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each task over the samples that have its label.

    Args:
        predictions: shape (batch, n_tasks).
        targets: of the same shape, NaN where the label is missing; not modified.

    Returns:
        A tensor of shape (n_tasks,). The loss of a task without labels in the batch is exactly 0.

    The gradient with respect to predictions is exactly 0 where the label is missing. Calling
    backward() on a sum of the losses works in any case, also if the whole batch has no label.

    >>> masked_task_losses(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, torch.nan], [1.0, torch.nan]]))
    tensor([2.5000, 0.0000])
    """
    missing = targets.isnan()
    difference = predictions - torch.where(missing, torch.zeros_like(targets), targets)
    squares = torch.where(missing, torch.zeros_like(difference), difference) ** 2
    return squares.sum(0) / (~missing).sum(0).clamp(min=1)


def task_gradients(losses: torch.Tensor, parameters: list[torch.Tensor]) -> torch.Tensor:
    """The gradient of each task's loss with respect to the same parameters.

    Args:
        losses: shape (n_tasks,), computed from the parameters, as autograd knows.
        parameters: tensors of any shapes.

    Returns:
        A tensor with a row for each task: the gradients with respect to the parameters, in the
        order given, each flattened (as by reshape(-1)), side by side. A parameter that no loss
        depends on has zeros.

    No tensor's .grad is changed. The graph is kept: the losses can be differentiated again
    afterwards.
    """
    rows = []
    for loss in losses:
        parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([part.reshape(-1) for part in parts]))
    return torch.stack(rows)


def project_conflicts(gradients: torch.Tensor) -> torch.Tensor:
    """PCGrad (Yu et al., arXiv:2001.06782, algorithm 1), up to the sum at its end.

    Row i of the result starts as row i of the gradients and meets each other row j of the gradients
    once. Where its dot product with row j, as given, is negative at that moment, its component
    along row j is removed.

    The order in which row i meets the others is random: all orders are equally likely, anew in each
    call. It comes from a global generator: Python's, NumPy's or torch's.

    Args:
        gradients: shape (n_tasks, n_parameters); not modified. Rows may be zero.

    Returns:
        A tensor of the same shape. A row that meets no conflict is as it was.
    """
    result = gradients.clone()
    for i in range(len(gradients)):
        for j in torch.randperm(len(gradients)).tolist():
            dot = result[i] @ gradients[j]
            if i != j and dot < 0:
                result[i] -= dot / (gradients[j] @ gradients[j] + 1e-12) * gradients[j]
    return result


def multitask_backward(
    model: nn.Module, losses: torch.Tensor, weights: list[float], surgery: bool = False
) -> None:
    """Sets .grad of all parameters of the model's trunk and heads; what was in .grad before is
    replaced. Where no loss depends on a parameter, its .grad is zero or None.

    Without surgery, they are the gradients of the sum over t of weights[t] * losses[t]. With
    surgery, so are those of the heads, and the trunk gets the sum of the rows of project_conflicts,
    applied to the gradients of weights[t] * losses[t] with respect to all parameters of the trunk,
    laid side by side as one vector.

    Args:
        model: a module with a trunk and heads like those of SharedTrunkNet, and no other
            parameters. All of the trunk's require gradients.
        losses: shape (n_tasks,), computed with the model.
        weights: a positive number for each task.
        surgery: whether to project.
    """
    weighted = losses * losses.new_tensor(weights)
    parameters = list(model.trunk.parameters())
    if surgery and parameters:
        total = project_conflicts(task_gradients(weighted, parameters)).sum(0)
    for p in model.parameters():
        p.grad = None
    weighted.sum().backward()
    if surgery and parameters:
        for p, part in zip(parameters, total.split([p.numel() for p in parameters]), strict=True):
            p.grad = part.reshape(p.shape).clone()
