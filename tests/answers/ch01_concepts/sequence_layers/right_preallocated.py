# Right: results are written into tensors made beforehand; the window is found by sending a change through zeros
def lstm_step(x, h, c, weights):
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    m = c.size(-1)
    gates = torch.addmm(bias_ih + bias_hh, x, weight_ih.t()) + torch.mm(h, weight_hh.t())
    sig = gates.sigmoid()
    new_c = sig[:, m : 2 * m].mul(c).add(sig[:, :m] * gates[:, 2 * m : 3 * m].tanh())
    return sig[:, -m:] * new_c.tanh(), new_c


def lstm(x, weights, state=None):
    batch, length = x.shape[:2]
    m = weights[1].shape[-1]
    states = torch.zeros(batch, length, m, dtype=x.dtype)
    if state is None:
        state = (torch.zeros(batch, m).to(x), torch.zeros(batch, m).to(x))
    h, c = state[0].clone(), state[1].clone()
    for t in range(length):
        h, c = lstm_step(x[:, t, :], h, c, weights)
        states[:, t] = h
    return states, (h, c)


def causal_conv(x, weight, bias, dilation=1):
    batch, length, _ = x.shape
    y = torch.zeros(batch, length, weight.shape[0], dtype=x.dtype)
    y += bias
    for back in range(weight.shape[2]):
        shift = back * dilation
        if shift < length:
            y[:, shift:] += x[:, : length - shift] @ weight[..., -1 - back].mT
    return y


def causal_stack(x, layers):
    for weight, bias, dilation in layers:
        x = causal_conv(x, weight, bias, dilation)
        if weight is not layers[-1][0]:
            x = nn.functional.threshold(x, 0.0, 0.0)
    return x
