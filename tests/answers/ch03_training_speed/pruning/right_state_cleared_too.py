# Right: stable sort from above; the optimizer forgets what it knows of removed entries, masks multiplied by foreach; functional pieces
def global_mask(weights, share):
    n = sum(w.numel() for w in weights)
    order = torch.sort(torch.cat([-w.detach().abs().ravel() for w in weights]), stable=True).indices
    rank = torch.empty(n, dtype=torch.long)
    rank[order] = torch.arange(n)
    stays = rank < n - round(share * n)
    return [part.unflatten(0, w.shape) if w.dim() else part[0] for part, w in zip(stays.split([w.numel() for w in weights]), weights)]


@torch.no_grad()
def masked_step(optimizer, weights, masks):
    optimizer.step()
    for w, mask in zip(weights, masks):
        for value in optimizer.state[w].values():
            if torch.is_tensor(value) and value.shape == w.shape and value.dim():
                value[~mask] = 0
        torch._foreach_mul_([w], [mask.to(w.dtype)])


def shrink_units(first, activation, second):
    silent = torch.count_nonzero(first.weight.detach(), dim=1) == 0
    keep = [j for j in range(first.out_features) if not silent[j] and second.weight[:, j].detach().ne(0).any()]
    probe_first = copy.deepcopy(first)
    probe_second = copy.deepcopy(second)
    with torch.no_grad():
        probe_second.weight[:, ~silent] = 0
        constant = probe_second(activation(probe_first(torch.zeros(first.in_features, dtype=first.weight.dtype))))
    new_first = nn.Linear(first.in_features, len(keep), bias=first.bias is not None, dtype=first.weight.dtype)
    new_second = nn.Linear(len(keep), second.out_features, dtype=second.weight.dtype)
    new_first.weight.data = first.weight.data[keep].clone()
    if first.bias is not None:
        new_first.bias.data = first.bias.data[keep].clone()
    new_second.weight.data = second.weight.data[:, keep].clone()
    new_second.bias.data = constant
    return new_first, new_second
