# Wrong: what lies before the sequence is its first input, not zero
# Fails: layer_agrees_with_conv1d, stack_agrees_with_conv1d, stack_sees_its_window, gradients_agree_with_torch
def lstm_step(x, h, c, weights):
    w_x, w_h, b_x, b_h = weights
    m = h.shape[1]
    sums = x @ w_x.T + h @ w_h.T + b_x + b_h
    i = torch.sigmoid(sums[:, :m])
    f = torch.sigmoid(sums[:, m : 2 * m])
    g = torch.tanh(sums[:, 2 * m : 3 * m])
    o = torch.sigmoid(sums[:, 3 * m :])
    new_c = f * c + i * g
    new_h = o * torch.tanh(new_c)
    return new_h, new_c


def lstm(x, weights, state=None):
    if state is None:
        h = torch.zeros(x.shape[0], weights[3].shape[0] // 4, dtype=x.dtype)
        c = torch.zeros(x.shape[0], weights[3].shape[0] // 4, dtype=x.dtype)
    else:
        h, c = state
    states = []
    for t in range(x.shape[1]):
        h, c = lstm_step(x[:, t], h, c, weights)
        states.append(h)
    return torch.stack(states, dim=1), (h, c)


def causal_conv(x, weight, bias, dilation=1):
    batch, length, d = x.shape
    kernel = weight.shape[2]
    zeros = torch.zeros(batch, (kernel - 1) * dilation, d, dtype=x.dtype)
    padded = torch.cat([x[:, :1].expand_as(zeros), x], dim=1)
    y = bias.expand(batch, length, -1)
    for j in range(kernel):
        start = j * dilation
        y = y + padded[:, start : start + length] @ weight[:, :, j].T
    return y


def causal_stack(x, layers):
    for weight, bias, dilation in layers[:-1]:
        x = F.relu(causal_conv(x, weight, bias, dilation))
    weight, bias, dilation = layers[-1]
    return causal_conv(x, weight, bias, dilation)
