# Wrong: subtracts in int8
# Fails: goes_back, numbers_come_back
def along(values, x, axis):
    if axis is None:
        return values
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.view(shape)


def quant_params(x, bits=8, symmetric=False, axis=None):
    x = x.detach()
    rows = x.reshape(1, -1) if axis is None else x.movedim(axis, 0).flatten(1)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    low, high = rows.amin(1).clamp(max=0.0), rows.amax(1).clamp(min=0.0)
    if symmetric:
        scale = torch.maximum(-low, high) / highest
        zero_point = torch.zeros_like(scale)
    else:
        scale = (high - low) / (highest - lowest)
        zero_point = torch.round(lowest - low / scale)
    empty = scale == 0
    scale[empty] = 1.0
    zero_point[empty] = 0.0
    zero_point = zero_point.to(torch.int32)
    if axis is None:
        return scale[0], zero_point[0]
    return scale, zero_point


def quantise(x, scale, zero_point, bits=8, axis=None):
    scale, zero_point = along(scale, x, axis), along(zero_point, x, axis)
    levels = torch.round(x.detach() / scale) + zero_point
    return levels.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)


def dequantise(q, scale, zero_point, axis=None):
    return (q - along(zero_point, q, axis).to(torch.int8)) * along(scale, q, axis)


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, zero_point, bits, axis):
        levels = torch.round(x / along(scale, x, axis)) + along(zero_point, x, axis)
        ctx.save_for_backward((levels >= -(2 ** (bits - 1))) & (levels <= 2 ** (bits - 1) - 1))
        return dequantise(quantise(x, scale, zero_point, bits, axis), scale, zero_point, axis)

    @staticmethod
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        return gradient * mask, None, None, None, None


def fake_quantise(x, scale, zero_point, bits=8, axis=None):
    return StraightThrough.apply(x, scale, zero_point, bits, axis)
