# Right: projections as matrices applied to the row; missing entries filled with masked_fill; the weighted sum through a vector for backward
class SharedTrunkNet(nn.Module):
    def __init__(self, trunk, n_features, n_tasks):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))

    def forward(self, x):
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads], dim=1)


def masked_task_losses(predictions, targets):
    known = ~targets.isnan()
    errors = predictions.masked_fill(~known, 0) - targets.masked_fill(~known, 0)
    counts = known.sum(0)
    return torch.where(counts > 0, errors.square().sum(0) / counts.clamp(1), errors.sum(0))


def task_gradients(losses, parameters):
    rows = []
    for t in range(losses.numel()):
        pick = torch.zeros_like(losses)
        pick[t] = 1
        found = torch.autograd.grad(losses, parameters, pick, retain_graph=True, allow_unused=True)
        rows.append(nn.utils.parameters_to_vector([torch.zeros_like(p) if g is None else g.contiguous() for g, p in zip(found, parameters)]))
    return torch.vstack(rows)


def project_conflicts(gradients):
    n, size = gradients.shape
    result = torch.empty_like(gradients)
    for i in range(n):
        row = gradients[i]
        for j in np.argsort(np.random.rand(n)):
            other = gradients[j]
            if j != i and row.dot(other) < 0:
                row = (torch.eye(size) - torch.outer(other, other) / other.dot(other)) @ row
        result[i] = row
    return result


def multitask_backward(model, losses, weights, surgery=False):
    weights = torch.tensor(weights, dtype=losses.dtype)
    trunk = [p for p in model.trunk.parameters()]
    rows = task_gradients(losses, trunk) * weights[:, None]
    model.zero_grad()
    losses.backward(weights)
    if surgery:
        start = 0
        with torch.no_grad():
            direction = project_conflicts(rows).sum(0)
            for p in trunk:
                if p.grad is not None:
                    p.grad.zero_()
                    p.grad += direction[start : start + p.numel()].view(p.shape)
                start += p.numel()
