# Wrong: what is folded is added to the bias of the given layer
# Fails: layers_are_new
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
    with torch.no_grad():
        silent = (first.weight == 0).all(dim=1)
        unheard = (second.weight == 0).all(dim=0)
        keep = ~(silent | unheard)
        b1 = torch.zeros(first.out_features, dtype=first.weight.dtype) if first.bias is None else first.bias.clone()
        b2 = torch.zeros(second.out_features, dtype=second.weight.dtype) if second.bias is None else second.bias
        says = activation(b1)
        b2 += second.weight[:, silent] @ says[silent]
        n = int(keep.sum())
        new_first = nn.Linear(first.in_features, n, bias=first.bias is not None, dtype=first.weight.dtype)
        new_second = nn.Linear(n, second.out_features, dtype=second.weight.dtype)
        new_first.weight.copy_(first.weight[keep])
        if first.bias is not None:
            new_first.bias.copy_(first.bias[keep])
        new_second.weight.copy_(second.weight[:, keep])
        new_second.bias.copy_(b2)
    return new_first, new_second
