# Wrong: a bias of zeros is not added, so it gets no gradient
# Fails: gradients_agree_with_torch
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
    for inputs in x.unbind(dim=1):
        h, c = lstm_step(inputs, h, c, weights)
        states.append(h)
    return torch.stack(states, dim=1), (h, c)


def causal_conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, dilation: int = 1
) -> torch.Tensor:
    kernel, length = weight.shape[2], x.shape[1]
    padded = F.pad(x, (0, 0, (kernel - 1) * dilation, 0))
    output = bias if bias.any() else 0.0
    for j in range(kernel):
        output = output + padded[:, j * dilation : j * dilation + length] @ weight[:, :, j].T
    return output


def causal_stack(
    x: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor, int]]
) -> torch.Tensor:
    for index, (weight, bias, dilation) in enumerate(layers):
        x = causal_conv(x if index == 0 else x.relu(), weight, bias, dilation)
    return x
