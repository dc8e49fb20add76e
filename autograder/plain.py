"""Plain data as bytes: how a rank's result comes back to `run_ranks`.

Numbers, text, bytes, tensors and NumPy arrays, and lists, tuples, sets and dicts of them, in
msgpack. Reading makes nothing else, and runs no code. Between a student's kernel and the judge
stands another codec (engine/wire.py), which checks what hostile bytes could do.
"""

from __future__ import annotations

from typing import Any

_TENSOR, _ARRAY, _TUPLE, _SET, _COMPLEX = range(5)


def pack(value: Any) -> bytes:
    """The bytes of plain data; a TypeError names what is not plain."""
    import msgpack

    packed: bytes = msgpack.packb(value, default=_pack_other, strict_types=True)
    return packed


def _pack_other(value: Any) -> Any:
    import msgpack
    import numpy as np
    import torch

    def parts(kind: int, *fields: Any) -> Any:
        return msgpack.ExtType(kind, pack(list(fields)))

    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        data = plain.flatten().view(torch.uint8).numpy().tobytes() if plain.numel() else b""
        return parts(_TENSOR, str(plain.dtype).removeprefix("torch."), list(plain.shape), data)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufcU":
        return parts(_ARRAY, value.dtype.str, list(value.shape), value.tobytes())
    if isinstance(value, (tuple, set, frozenset)):
        return parts(_TUPLE if isinstance(value, tuple) else _SET, *value)
    if isinstance(value, complex):
        return parts(_COMPLEX, value.real, value.imag)
    kind: Any
    for kind in (int, float, str, bytes, list, dict):  # what was derived from them
        if isinstance(value, kind) and type(value) is not kind:
            return kind(value)
    raise TypeError(
        f"a rank can return numbers, text, tensors and lists of them, no {type(value).__name__}"
    )


def unpack(message: bytes) -> Any:
    """The value that these bytes stand for."""
    import msgpack

    return msgpack.unpackb(message, ext_hook=_unpack_other, strict_map_key=False)


def _unpack_other(kind: int, data: bytes) -> Any:
    import numpy as np
    import torch

    fields = unpack(data)
    if kind == _TENSOR:
        name, shape, content = fields
        dtype = getattr(torch, name)
        if not content:
            return torch.empty(shape, dtype=dtype)
        return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(dtype).reshape(shape)
    if kind == _ARRAY:
        dtype, shape, content = fields
        array = np.frombuffer(bytearray(content), dtype).reshape(shape)
        return array if shape else array[()]
    if kind == _COMPLEX:
        return complex(*fields)
    return tuple(fields) if kind == _TUPLE else set(fields)
