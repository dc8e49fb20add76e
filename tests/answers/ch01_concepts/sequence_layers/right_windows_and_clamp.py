# Right: windows gathered by index and summed by einsum; ReLU by clamp
def lstm_step(
    x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    i, f, g, o = (x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh).chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def lstm(x, weights, state=None):
    if state is None:
        zero = x.new_zeros(x.shape[0], weights[1].shape[1])
        state = zero, zero.clone()
    h, c = state
    states = []
    sums = x @ weights[0].T + (weights[2] + weights[3])
    for t in range(x.shape[1]):
        i, f, g, o = (sums[:, t] + h @ weights[1].T).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states, dim=1), (h, c)


def causal_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int = 1
) -> torch.Tensor:
    kernel, length = weight.shape[2], x.shape[1]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    taps = torch.arange(length)[:, None] + dilation * torch.arange(kernel)
    return torch.einsum('btkd,odk->bto', padded[:, taps], weight) + bias


def causal_stack(
    x: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor, int]]
) -> torch.Tensor:
    for index, (weight, bias, dilation) in enumerate(layers):
        x = causal_conv(x if index == 0 else x.clamp(min=0), weight, bias, dilation)
    return x
