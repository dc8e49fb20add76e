# Right: task_gradients calls backward and puts .grad back as it was; the mask picks single entries, summed by index_add; recursion
class SharedTrunkNet(nn.Module):
    def __init__(self, trunk, n_features, n_tasks):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(nn.Linear(n_features, 1) for _ in range(n_tasks))

    def forward(self, x):
        features = self.trunk(x)
        return torch.stack([head(features)[:, 0] for head in self.heads]).T


def masked_task_losses(predictions, targets):
    samples, tasks = (targets == targets).nonzero(as_tuple=True)
    squares = (predictions[samples, tasks] - targets[samples, tasks]) ** 2
    n_tasks = targets.shape[1]
    counts = torch.bincount(tasks, minlength=n_tasks)
    sums = torch.zeros(n_tasks).index_add(0, tasks, squares) + (0 * predictions).sum(0)
    return sums / (counts + (counts == 0))


def task_gradients(losses, parameters):
    saved = [p.grad for p in parameters]
    rows = []
    for loss in losses:
        for p in parameters:
            p.grad = None
        loss.backward(retain_graph=True, inputs=parameters)
        rows.append(torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).ravel() for p in parameters]))
    for p, g in zip(parameters, saved):
        p.grad = g
    return torch.stack(rows)


def project_conflicts(gradients):
    import random

    def walk(g, others):
        if not others:
            return g
        first, *rest = others
        overlap = (g * first).sum()
        return walk(g - overlap / (first**2).sum() * first if overlap < 0 else g, rest)

    everyone = list(gradients)
    return torch.stack([walk(g, random.sample(everyone[:i] + everyone[i + 1 :], len(everyone) - 1)) for i, g in enumerate(everyone)])


def multitask_backward(model, losses, weights, surgery=False):
    total = sum(weight * loss for weight, loss in zip(weights, losses))
    trunk = list(model.trunk.parameters())
    if surgery:
        rows = project_conflicts(task_gradients(torch.stack([w * loss for w, loss in zip(weights, losses)]), trunk))
        for p, g in zip(trunk, torch.split(rows.sum(0), [p.numel() for p in trunk])):
            p.grad = g.reshape(p.shape)
        for p in model.heads.parameters():
            p.grad = None
        total.backward(inputs=list(model.heads.parameters()))
    else:
        model.zero_grad(set_to_none=False)
        total.backward()
