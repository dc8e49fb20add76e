# Wrong: writes into reshape(-1), which is a copy where a weight is not contiguous
# Fails: removed_weights_stay_zero
def global_mask(weights: list[torch.Tensor], share: float) -> list[torch.Tensor]:
    sizes = torch.cat([w.detach().abs().flatten() for w in weights])
    n = len(sizes)
    k = round(share * n)
    keep = torch.ones(n, dtype=torch.bool, device=sizes.device)
    keep[sizes.argsort()[:k]] = False
    parts = keep.split([w.numel() for w in weights])
    return [part.view(w.shape) for part, w in zip(parts, weights)]


def masked_step(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], masks: list[torch.Tensor]) -> None:
    optimizer.step()
    with torch.no_grad():
        for w, m in zip(weights, masks):
            w.data.reshape(-1)[~m.reshape(-1)] = 0


def shrink_units(first: nn.Linear, activation, second: nn.Linear) -> tuple[nn.Linear, nn.Linear]:
    with torch.no_grad():
        no_in = (first.weight == 0).all(1)
        no_out = (second.weight == 0).all(0)
        stay = ~(no_in | no_out)
        k = int(stay.sum())
        kind = {"dtype": first.weight.dtype, "device": first.weight.device}
        new_first = nn.Linear(first.in_features, k, bias=first.bias is not None, **kind)
        new_second = nn.Linear(k, second.out_features, bias=True, **kind)
        new_first.weight.copy_(first.weight[stay])
        if first.bias is None:
            b = torch.zeros(first.out_features, **kind)
        else:
            new_first.bias.copy_(first.bias[stay])
            b = first.bias.detach().clone()
        says = activation(b[no_in])
        new_second.weight.copy_(second.weight[:, stay])
        bias = second.weight[:, no_in] @ says
        if second.bias is not None:
            bias = bias + second.bias
        new_second.bias.copy_(bias)
    return new_first, new_second
