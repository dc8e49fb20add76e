# Wrong: copies of the layers with smaller matrices, but the old in_features and out_features
# Fails: removes_exactly_the_superfluous
def global_mask(weights, share):
    sizes = [w.numel() for w in weights]
    values = torch.cat([w.detach().abs().reshape(-1) for w in weights])
    k = round(share * values.numel())
    keep = torch.ones(values.numel(), dtype=torch.bool)
    keep[torch.argsort(values)[:k]] = False
    return [part.reshape(w.shape) for part, w in zip(torch.split(keep, sizes), weights)]


def masked_step(optimizer, weights, masks):
    optimizer.step()
    with torch.no_grad():
        for w, mask in zip(weights, masks):
            w.mul_(mask)


def shrink_units(first, activation, second):
    a, b = copy.deepcopy(first), copy.deepcopy(second)
    with torch.no_grad():
        if b.bias is None:
            b.bias = nn.Parameter(torch.zeros_like(b.weight[:, 0]))
        silent = (first.weight == 0).all(1)
        start = first.bias if first.bias is not None else torch.zeros_like(first.weight[:, 0])
        b.bias += b.weight[:, silent] @ activation(start.clone())[silent]
        keep = ~silent & (second.weight != 0).any(0)
        a.weight = nn.Parameter(a.weight[keep])
        if a.bias is not None:
            a.bias = nn.Parameter(a.bias[keep])
        b.weight = nn.Parameter(b.weight[:, keep])
    return a, b
