# Right: topk of the kept ones, gradients masked as well, torch.where
def global_mask(weights, share):
    flat = torch.cat([w.detach().flatten().abs() for w in weights])
    n = len(flat)
    _, places = torch.topk(flat, n - round(share * n))
    mask = torch.zeros(n, dtype=torch.bool).scatter(0, places, True)
    masks, start = [], 0
    for w in weights:
        masks.append(mask[start : start + w.numel()].view(w.size()).clone())
        start += w.numel()
    return masks


def masked_step(optimizer, weights, masks):
    for w, mask in zip(weights, masks):
        if w.grad is not None:
            w.grad.mul_(mask)
    optimizer.step()
    for w, mask in zip(weights, masks):
        with torch.no_grad():
            w.copy_(torch.where(mask, w, torch.zeros_like(w)))


def shrink_units(first, activation, second):
    w1, w2 = first.weight.detach(), second.weight.detach()
    dead_in, dead_out = w1.abs().amax(1) == 0, w2.abs().amax(0) == 0
    stays = torch.nonzero(~dead_in & ~dead_out).flatten()
    n_in, n_out = first.in_features, second.out_features
    with torch.no_grad():
        # what is said at x = 0 by the silent units only: all others are cut off from the second layer
        at_zero = activation(first(w1.new_zeros(1, n_in)))[0]
        shift = torch.where(dead_in, at_zero, torch.zeros_like(at_zero)) @ w2.T
    a = nn.Linear(n_in, len(stays), bias=first.bias is not None).to(w1.dtype)
    b = nn.Linear(len(stays), n_out).to(w2.dtype)
    state = {"weight": w1[stays]}
    if first.bias is not None:
        state["bias"] = first.bias.detach()[stays]
    a.load_state_dict(state)
    b.load_state_dict({"weight": w2[:, stays], "bias": shift if second.bias is None else second.bias.detach() + shift})
    return a, b
