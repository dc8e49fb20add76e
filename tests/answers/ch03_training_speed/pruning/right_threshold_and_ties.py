# Right: a threshold by kthvalue, with the ties filled up; weights zeroed before and after the step; copies of the layers
def global_mask(weights, share):
    flat = torch.cat([w.detach().abs().reshape(-1) for w in weights])
    k = round(share * flat.numel())
    if k == 0:
        return [torch.ones(w.shape, dtype=torch.bool) for w in weights]
    limit = torch.kthvalue(flat, k).values
    removed = flat < limit
    missing = k - int(removed.sum())
    removed[(flat == limit).nonzero().flatten()[:missing]] = True
    return [(~part).reshape(w.shape) for part, w in zip(removed.split([w.numel() for w in weights]), weights)]


def masked_step(optimizer, weights, masks):
    def clear():
        for w, mask in zip(weights, masks):
            w.data[~mask] = 0

    clear()
    optimizer.step()
    clear()


def shrink_units(first, activation, second):
    a, b = copy.deepcopy(first), copy.deepcopy(second)
    with torch.no_grad():
        if b.bias is None:
            b.bias = nn.Parameter(torch.zeros_like(b.weight[:, 0]))
        silent = first.weight.abs().sum(1) == 0
        start = first.bias if first.bias is not None else torch.zeros_like(first.weight[:, 0])
        b.bias += b.weight @ (activation(start.clone()) * silent)
        keep = ~silent & (second.weight.abs().sum(0) != 0)
        a.weight = nn.Parameter(a.weight[keep])
        if a.bias is not None:
            a.bias = nn.Parameter(a.bias[keep])
        b.weight = nn.Parameter(b.weight[:, keep])
        a.out_features = b.in_features = int(keep.sum())
    return a, b
