# Right: all gradients in one batched call; unit vectors; one random permutation for all tasks; positive weights after the projection
class SharedTrunkNet(nn.Module):
    def __init__(self, trunk, n_features, n_tasks):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList([nn.Linear(n_features, 1) for _ in range(n_tasks)])

    def forward(self, x):
        weight = torch.cat([head.weight for head in self.heads])
        bias = torch.cat([head.bias for head in self.heads])
        return F.linear(self.trunk(x), weight, bias)


def masked_task_losses(predictions, targets):
    known = torch.isfinite(targets)
    difference = (predictions - targets.nan_to_num(0.0)) * known
    return (difference * difference).sum(0) / torch.maximum(known.sum(0), torch.tensor(1))


def task_gradients(losses, parameters):
    blocks = torch.autograd.grad(losses, parameters, torch.eye(len(losses)), retain_graph=True, is_grads_batched=True, allow_unused=True)
    return torch.cat([torch.zeros(len(losses), p.numel()) if b is None else b.flatten(1) for b, p in zip(blocks, parameters)], 1)


def project_conflicts(gradients):
    units = F.normalize(gradients, dim=1)
    projected = gradients.clone()
    for j in torch.randperm(len(gradients)):
        along = (projected @ units[j]).clamp(max=0)
        along[j] = 0
        projected = projected - along[:, None] * units[j]
    return projected


def multitask_backward(model, losses, weights, surgery=False):
    weights = torch.as_tensor(weights)
    rows = task_gradients(losses, list(model.trunk.parameters()))
    if surgery:
        rows = project_conflicts(rows)
    for p in model.parameters():
        p.grad = None
    (weights @ losses).backward()
    start = 0
    for p in model.trunk.parameters():
        p.grad = (weights @ rows)[start : start + p.numel()].view(p.shape).clone()
        start += p.numel()
