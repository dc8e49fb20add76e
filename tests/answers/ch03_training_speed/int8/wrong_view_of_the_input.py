# Wrong: x.view(1, -1) fails for a tensor that is not contiguous in memory
# Fails: affine_ranges
def _shaped(values, x, axis):
    if axis is None:
        return values
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.view(shape)


def quant_params(x: torch.Tensor, bits: int = 8, symmetric: bool = False, axis: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.detach()
    rows = x.view(1, -1) if axis is None else x.movedim(axis, 0).flatten(1)
    if symmetric:
        scale = rows.abs().amax(1) / (2 ** (bits - 1) - 1)
        zero = torch.zeros_like(scale)
    else:
        low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
        scale = (high - low) / (2**bits - 1)
        zero = torch.round(-(2 ** (bits - 1)) - low / scale)
    empty = (rows == 0).all(1)
    scale = torch.where(empty, 1.0, scale)
    zero = torch.where(empty, 0.0, zero).to(torch.int32)
    return (scale[0], zero[0]) if axis is None else (scale, zero)


def quantise(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, bits: int = 8, axis: int | None = None) -> torch.Tensor:
    q = torch.round(x.detach() / _shaped(scale, x, axis)) + _shaped(zero_point, x, axis)
    return q.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)


def dequantise(q: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, axis: int | None = None) -> torch.Tensor:
    return _shaped(scale, q, axis) * (q.float() - _shaped(zero_point, q, axis))


def fake_quantise(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, bits: int = 8, axis: int | None = None) -> torch.Tensor:
    with torch.no_grad():
        value = dequantise(quantise(x, scale, zero_point, bits, axis), scale, zero_point, axis)
        level = torch.round(x / _shaped(scale, x, axis)) + _shaped(zero_point, x, axis)
        mask = (level >= -(2 ** (bits - 1))) & (level <= 2 ** (bits - 1) - 1)
    passed = x * mask
    return passed + (value - passed).detach()
