# Wrong: each task's sum is divided by the number of labels of all tasks
# Fails: averages_over_labels, missing_labels_contribute_nothing
class SharedTrunkNet(nn.Module):
    def __init__(self, trunk, n_features, n_tasks):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))

    def forward(self, x):
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads], dim=1)


def masked_task_losses(predictions, targets):
    missing = targets.isnan()
    known = torch.where(missing, predictions.detach(), targets)
    return ((predictions - known) ** 2).sum(0) / (~missing).sum().clamp(min=1)


def task_gradients(losses, parameters):
    rows = []
    for loss in losses:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    return torch.stack(rows)


def project_conflicts(gradients):
    projected = gradients.clone()
    for i in range(len(gradients)):
        for j in torch.randperm(len(gradients)).tolist():
            if j != i:
                dot = projected[i] @ gradients[j]
                if dot < 0:
                    projected[i] -= dot / (gradients[j] @ gradients[j]) * gradients[j]
    return projected


def multitask_backward(model, losses, weights, surgery=False):
    weighted = losses * torch.tensor(weights)
    parameters = list(model.trunk.parameters())
    if surgery:
        direction = project_conflicts(task_gradients(weighted, parameters)).sum(0)
    model.zero_grad()
    weighted.sum().backward()
    if surgery:
        for p, piece in zip(parameters, direction.split([p.numel() for p in parameters])):
            p.grad = piece.view_as(p)
