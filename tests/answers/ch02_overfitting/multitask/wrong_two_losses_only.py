# Wrong: the weights of exactly two losses are written out
# Fails: trunk_gets_the_weighted_sum, weighs_three_losses, surgery_for_any_number
class SharedTrunkNet(nn.Module):
    def __init__(self, trunk, n_features, n_tasks):
        super().__init__()
        self.heads = nn.ModuleList()
        for _ in range(n_tasks):
            self.heads.append(nn.Linear(n_features, 1))
        self.trunk = trunk

    def forward(self, x):
        features = self.trunk(x)
        predictions = features.new_empty(len(x), len(self.heads))
        for t, head in enumerate(self.heads):
            predictions[:, t] = head(features).squeeze(1)
        return predictions


def masked_task_losses(predictions, targets):
    losses = []
    for p, y in zip(predictions.T, targets.T):
        known = ~torch.isnan(y)
        losses.append(F.mse_loss(p[known], y[known]) if known.any() else 0 * p.sum())
    return torch.stack(losses)


def task_gradients(losses, parameters):
    gradients = torch.zeros(len(losses), sum(p.numel() for p in parameters))
    for t in range(len(losses)):
        start = 0
        for p in parameters:
            (g,) = torch.autograd.grad(losses[t], [p], retain_graph=True, allow_unused=True)
            if g is not None:
                gradients[t, start : start + p.numel()] = g.flatten()
            start += p.numel()
    return gradients


def project_conflicts(gradients):
    rows = []
    for i, g in enumerate(gradients):
        others = [j for j in range(len(gradients)) if j != i]
        np.random.shuffle(others)
        for j in others:
            other = gradients[j]
            if torch.dot(g, other) < 0:
                g = g - torch.dot(g, other) / other.norm() ** 2 * other
        rows.append(g)
    return torch.stack(rows)


def multitask_backward(model, losses, weights, surgery=False):
    parameters = list(model.trunk.parameters())
    first, second = weights[0] * losses[0], weights[1] * losses[1]
    model.zero_grad()
    (first + second).backward(retain_graph=True)
    if surgery:
        total, start = project_conflicts(task_gradients(torch.stack([first, second]), parameters)).sum(0), 0
        for p in parameters:
            p.grad = total[start : start + p.numel()].reshape(p.shape).clone()
            start += p.numel()
