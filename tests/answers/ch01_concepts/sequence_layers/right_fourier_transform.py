# Right: the convolution as a product of Fourier transforms; the whole Jacobian is computed, and the last output picked
class Cell:
    """The four gates as modules."""

    def __init__(self, weights):
        self.w, self.u, self.a, self.b = weights

    def __call__(self, x, h, c):
        i, f, g, o = torch.split(F.linear(x, self.w, self.a) + F.linear(h, self.u, self.b), h.shape[1], dim=1)
        c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        return F.sigmoid(o) * F.tanh(c), c


def lstm_step(x, h, c, weights):
    return Cell(weights)(x, h, c)


def lstm(x, weights, state=None):
    cell = Cell(weights)
    if state is None:
        state = [torch.zeros_like(x[:, 0, :1]).repeat(1, cell.u.shape[1])] * 2
    h, c = state
    output = []
    for x_t in torch.split(x, 1, dim=1):
        h, c = cell(x_t.squeeze(1), h, c)
        output.append(h)
    return torch.stack(output, 1), [h, c]


def causal_conv(x, weight, bias, dilation=1):
    length, kernel = x.shape[1], weight.shape[2]
    size = length + (kernel - 1) * dilation
    spread = weight.new_zeros(size, *weight.shape[:2])
    spread = spread.index_put((torch.arange(kernel) * dilation,), weight.flip(2).permute(2, 0, 1))
    product = torch.einsum("btd,tod->bto", torch.fft.rfft(x, n=size, dim=1), torch.fft.rfft(spread, dim=0))
    return torch.fft.irfft(product, n=size, dim=1)[:, :length] + bias


def causal_stack(x, layers):
    if len(layers) == 1:
        return causal_conv(x, *layers[0])
    return causal_stack(F.relu(causal_conv(x, *layers[0])), layers[1:])
