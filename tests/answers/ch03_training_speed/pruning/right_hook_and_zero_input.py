# Right: a hook that is removed again; Python sorts the magnitudes; the next bias by asking both networks at x = 0
def global_mask(weights: list[torch.Tensor], share: float) -> list[torch.Tensor]:
    entries = sorted((abs(v), i, j) for i, w in enumerate(weights) for j, v in enumerate(w.detach().reshape(-1).tolist()))
    flags = [[True] * w.numel() for w in weights]
    for _, i, j in entries[: round(share * len(entries))]:
        flags[i][j] = False
    return [torch.tensor(f).reshape(w.shape) for f, w in zip(flags, weights)]


def masked_step(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], masks: list[torch.Tensor]) -> None:
    def zero(*_):
        for w, m in zip(weights, masks):
            w.data.masked_fill_(~m, 0)

    handle = optimizer.register_step_post_hook(zero)
    try:
        optimizer.step()
    finally:
        handle.remove()


@torch.no_grad()
def shrink_units(first: nn.Linear, activation, second: nn.Linear) -> tuple[nn.Linear, nn.Linear]:
    rows = [j for j in range(first.out_features) if first.weight[j].any() and second.weight[:, j].any()]
    a, b = copy.deepcopy(first), copy.deepcopy(second)
    a.weight = nn.Parameter(first.weight[rows])
    if first.bias is not None:
        a.bias = nn.Parameter(first.bias[rows])
    a.out_features = b.in_features = len(rows)
    b.weight = nn.Parameter(second.weight[:, rows])
    nothing = torch.zeros(1, first.in_features, dtype=first.weight.dtype)
    whole = second(activation(first(nothing)))[0]
    part = F.linear(activation(a(nothing)), b.weight)[0]
    b.bias = nn.Parameter(whole - part)
    return a, b
