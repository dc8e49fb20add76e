# Wrong: all weights up to the k-th magnitude are removed, with all that are equal to it
# Fails: counts_exactly
def global_mask(weights, share):
    flat = torch.cat([w.detach().abs().flatten() for w in weights])
    k = round(share * len(flat))
    if k == 0:
        return [torch.ones_like(w, dtype=torch.bool) for w in weights]
    limit = flat.sort().values[k - 1]
    return [w.detach().abs() > limit for w in weights]


def masked_step(optimizer, weights, masks):
    optimizer.step()
    with torch.no_grad():
        for w, mask in zip(weights, masks):
            w.mul_(mask)


def shrink_units(first, activation, second):
    with torch.no_grad():
        silent = (first.weight == 0).all(dim=1)
        unheard = (second.weight == 0).all(dim=0)
        keep = ~(silent | unheard)
        b1 = torch.zeros(first.out_features, dtype=first.weight.dtype) if first.bias is None else first.bias.clone()
        b2 = torch.zeros(second.out_features, dtype=second.weight.dtype) if second.bias is None else second.bias.clone()
        says = activation(b1)
        b2 = b2 + second.weight[:, silent] @ says[silent]
        n = int(keep.sum())
        new_first = nn.Linear(first.in_features, n, bias=first.bias is not None, dtype=first.weight.dtype)
        new_second = nn.Linear(n, second.out_features, dtype=second.weight.dtype)
        new_first.weight.copy_(first.weight[keep])
        if first.bias is not None:
            new_first.bias.copy_(first.bias[keep])
        new_second.weight.copy_(second.weight[:, keep])
        new_second.bias.copy_(b2)
    return new_first, new_second
