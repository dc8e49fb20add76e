# Right: number by number: loops over units, positions and taps
def lstm_step(x, h, c, weights):
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    m = h.shape[1]
    new_h, new_c = [], []
    for row in range(x.shape[0]):
        hs, cs = [], []
        for unit in range(m):
            s = [bias_ih[block * m + unit] + bias_hh[block * m + unit]
                 + weight_ih[block * m + unit].dot(x[row]) + weight_hh[block * m + unit].dot(h[row]) for block in range(4)]
            cell = s[1].sigmoid() * c[row, unit] + s[0].sigmoid() * s[2].tanh()
            cs.append(cell)
            hs.append(s[3].sigmoid() * cell.tanh())
        new_h.append(torch.stack(hs))
        new_c.append(torch.stack(cs))
    return torch.stack(new_h), torch.stack(new_c)


def lstm(x, weights, state=None):
    m = len(weights[2]) // 4
    h, c = state if state is not None else (x.new_zeros((len(x), m)), x.new_zeros((len(x), m)))
    output = [lstm_step(x[:, 0], h, c, weights)]
    for t in range(1, x.shape[1]):
        output.append(lstm_step(x[:, t], *output[-1], weights))
    return torch.cat([h[:, None] for h, _ in output], 1), output[-1]


def causal_conv(x, weight, bias, dilation=1):
    kernel = weight.shape[-1]
    rows = []
    for sequence in x:
        outputs = []
        for t in range(len(sequence)):
            y = bias
            for back in range(kernel):
                if t - back * dilation >= 0:
                    y = y + weight[:, :, kernel - 1 - back].mv(sequence[t - back * dilation])
            outputs.append(y)
        rows.append(torch.stack(outputs))
    return torch.stack(rows)


def causal_stack(x, layers):
    x = causal_conv(x, *layers[0])
    for layer in layers[1:]:
        x = causal_conv(x.clamp(min=0), *layer)
    return x
