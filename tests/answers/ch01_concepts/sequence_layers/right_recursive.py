# Right: the stack is recursive, the gates are tanh(s / 2) / 2 + 1 / 2
def lstm_step(
    x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, weights: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    i, f, g, o = (x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh).chunk(4, dim=-1)
    i, f, o = (torch.tanh(s / 2) / 2 + 0.5 for s in (i, f, o))
    c = f * c + i * g.tanh()
    return o * c.tanh(), c


def lstm(x, weights, state=None):
    if state is None:
        zero = x.new_zeros(x.shape[0], weights[1].shape[1])
        state = zero, zero.clone()
    h, c = state
    states = x.new_empty(*x.shape[:2], h.shape[1])
    for t in range(x.shape[1]):
        h, c = lstm_step(x[:, t], h, c, weights)
        states[:, t] = h
    return states, (states[:, -1], c)


def causal_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int = 1
) -> torch.Tensor:
    kernel, length = weight.shape[2], x.shape[1]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    output = bias
    for j in range(kernel):
        output = output + padded[:, j * dilation : j * dilation + length] @ weight[:, :, j].T
    return output


def causal_stack(
    x: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor, int]]
) -> torch.Tensor:
    *before, last = layers
    return causal_conv(causal_stack(x, before).relu() if before else x, *last)
