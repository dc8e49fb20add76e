"""What crosses the walls between grader, judge and a student's kernel: frames, and data in them.

Every message is a frame. Frames between grader and judge begin with a letter (below). Values go
from a student's kernel to the judge through the codec that fills the rest of this file: data only,
never code.

What comes from a student's process is decoded here and nowhere else. A message is a header
(msgpack: numbers, strings and lists) and a run of raw bytes that the header points into, so that
arrays are not copied through text. Nothing is unpickled or evaluated; sizes, depth, types and
shapes are checked before anything is built.

Plain data are None, bool, int, float, complex, str, bytes, list, tuple, range, dict, set, and
NumPy, torch and TensorFlow arrays. Subclasses arrive as their base: a named tuple as a tuple.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import struct
import sys
from enum import StrEnum
from typing import Any

import msgpack
import numpy as np

MAX_BYTES = 256 * 2**20  # of one message
MAX_HEADER = 8 * 2**20
MAX_DEPTH = 32
MAX_HASHED = 20_000  # items of one dict or set: chosen keys can make a larger one very slow
MAX_RANGE = 10**6
_ARRAY_TYPE = re.compile(r"[<>|=]?[biufcU]\d+")
_TORCH_TYPE = re.compile(
    r"bool|u?int(8|16|32|64)|b?float(16|32|64)|complex(32|64|128)|float8_e\dm\d\w*"
)
_INT_BYTES = 4096


class NotPlain(TypeError):
    """A value that is not plain data; the message names its type."""


class Malformed(ValueError):
    """Bytes that no honest encoder writes, or more than the limits admit."""


# ---------------------------------------------------------------- frames

_LENGTH = struct.Struct("<Q")
_MOST = MAX_BYTES + MAX_HEADER + 2**20  # bytes of a frame that an honest sender may send

# What a frame from the judge begins with: a call into the student's process (the grader answers
# with one frame, a `CallResult` and what it brings), a check that starts, a check's result, the end
# of a cell, or an error in it that is the author's.
CALL, CHECK, RESULT, DONE, BROKEN = b"C", b"K", b"R", b"D", b"B"

SAID_OF_A_CHECK = (
    "name",
    "outcome",
    "message",
    "code",
    "printed",
)  # of its `CheckResult`, in RESULT


class CallResult(StrEnum):
    """What became of a call into the student's process."""

    REPLY = "R"
    TIMED_OUT = "T"
    OUT_OF_MEMORY = "M"
    KERNEL_DIED = "K"


def send_frame(channel: socket.socket, payload: bytes) -> None:
    """Writes a payload behind its length."""
    channel.sendall(_LENGTH.pack(len(payload)))
    channel.sendall(payload)


def receive_frame(channel: socket.socket) -> bytes:
    """Reads one frame's payload.

    Raises:
        EOFError: if the other side is gone.
    """
    (length,) = _LENGTH.unpack(_receive(channel, _LENGTH.size))
    return _receive(channel, length)


def _receive(channel: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = channel.recv(min(length - len(data), 2**20))
        if not part:
            raise EOFError("the other side is gone")
        data += part
    return bytes(data)


def write_frame(writer: asyncio.StreamWriter, payload: bytes) -> None:
    """As `send_frame`, in the grader."""
    writer.write(_LENGTH.pack(len(payload)))
    writer.write(payload)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Reads one frame's payload in the grader, who does not trust the sender.

    Raises:
        EOFError: if the other side is gone, or sends more than any honest one.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > _MOST:
        raise EOFError("a frame that is too large")
    return await reader.readexactly(length)


def _is_short(numbers: range) -> bool:
    """Whether walking through the range takes no more time than a long list would."""
    bounds = max(abs(numbers.start), abs(numbers.stop), abs(numbers.step))
    return bounds < 2**62 and len(numbers) <= MAX_RANGE


# ---------------------------------------------------------------- writing


def encode(value: object) -> bytes:
    """The message for a value.

    Raises:
        NotPlain: if the value or something in it is not plain data.
        Malformed: if it is larger or deeper than the limits admit.
    """
    writer = _Writer()
    header = msgpack.packb(writer.node(value, 0))
    if len(header) > MAX_HEADER or writer.size > MAX_BYTES:
        raise Malformed(f"more data than a check may return ({MAX_BYTES >> 20} MiB)")
    return b"".join([struct.pack("<I", len(header)), header, *writer.parts])


class _Writer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def raw(self, data: bytes) -> list[int]:
        """Where in the run of bytes `data` is put."""
        self.parts.append(data)
        self.size += len(data)
        return [self.size - len(data), len(data)]

    def node(self, value: Any, depth: int) -> Any:  # noqa: PLR0911, PLR0912  (one line a type)
        if depth > MAX_DEPTH:
            raise Malformed(f"nested more than {MAX_DEPTH} levels deep")
        if value is None or value is True or value is False:
            return value
        if isinstance(value, np.generic):
            return ["scalar", *self.array(np.asarray(value))]
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int):
            if -(2**63) <= value < 2**63:
                return int(value)
            size = value.bit_length() // 8 + 1
            return ["int", *self.raw(int(value).to_bytes(size, "little", signed=True))]
        if isinstance(value, complex):
            return ["complex", value.real, value.imag]
        if isinstance(value, str):
            return ["str", *self.raw(str(value).encode("utf-8", "surrogatepass"))]
        if isinstance(value, (bytes, bytearray)):
            return ["bytes", *self.raw(bytes(value))]
        if isinstance(value, range):
            if not _is_short(value):
                raise Malformed("a range of too many numbers")
            return ["range", value.start, value.stop, value.step]
        for kind, name in ((list, "list"), (tuple, "tuple"), (set, "set"), (frozenset, "set")):
            if isinstance(value, kind):
                return [name, [self.node(item, depth + 1) for item in value]]
        if isinstance(value, dict):
            pairs = [[self.node(k, depth + 1), self.node(v, depth + 1)] for k, v in value.items()]
            return ["dict", pairs]
        if isinstance(value, np.ndarray):
            return ["array", *self.array(value)]
        torch, tensorflow = sys.modules.get("torch"), sys.modules.get("tensorflow")
        if torch and isinstance(value, torch.Tensor) and value.layout == torch.strided:
            return self.tensor(value)
        if tensorflow and isinstance(value, (tensorflow.Tensor, tensorflow.Variable)):
            return ["tensorflow", *self.array(np.asarray(value))]
        raise NotPlain(f"a value of type {type(value).__module__}.{type(value).__qualname__}")

    def array(self, value: np.ndarray) -> list[Any]:
        if not _ARRAY_TYPE.fullmatch(value.dtype.str):
            raise NotPlain(f"an array of {value.dtype}")
        data = np.ascontiguousarray(value, value.dtype.newbyteorder("="))
        return [data.dtype.str, list(value.shape), *self.raw(data.tobytes())]

    def tensor(self, value: Any) -> list[Any]:
        import torch

        plain = value.detach().as_subclass(torch.Tensor).cpu().resolve_neg().resolve_conj()
        shape = list(plain.shape)
        try:
            flat = plain.clone(memory_format=torch.contiguous_format).flatten()
            data = flat.view(torch.uint8).numpy().tobytes()
        except (RuntimeError, TypeError):
            raise NotPlain(f"a tensor of {value.dtype}") from None
        name = str(value.dtype).removeprefix("torch.")
        if not _TORCH_TYPE.fullmatch(name):
            raise NotPlain(f"a tensor of {value.dtype}")
        return ["torch", name, shape, *self.raw(data)]


# ---------------------------------------------------------------- reading


def decode(message: bytes) -> Any:
    """The value of a message, made of built-in types, arrays and tensors only.

    Raises:
        Malformed: if the bytes are not such a message.
    """
    if not 4 <= len(message) <= MAX_BYTES + MAX_HEADER + 4:
        raise Malformed("a message of the wrong size")
    (size,) = struct.unpack_from("<I", message)
    if size > MAX_HEADER or 4 + size > len(message):
        raise Malformed("a header of the wrong size")
    view = memoryview(message)
    try:
        header = msgpack.unpackb(view[4 : 4 + size], raw=False, strict_map_key=True)
        return _Reader(view[4 + size :]).value(header, 0)
    except Malformed:
        raise
    except Exception as error:  # msgpack, struct, NumPy and torch raise many kinds
        raise Malformed(f"not a message: {type(error).__name__}") from None


class _Reader:
    def __init__(self, raw: memoryview):
        self._raw = raw
        self._used = 0  # by all nodes together: many may point to the same bytes

    def raw(self, offset: int, length: int) -> memoryview:
        if not (type(offset) is type(length) is int and 0 <= offset <= offset + length):
            raise Malformed("a position that is no position")
        self._used += length
        if offset + length > len(self._raw) or self._used > MAX_BYTES:
            raise Malformed("a position beyond the end")
        return self._raw[offset : offset + length]

    def value(self, node: Any, depth: int) -> Any:  # noqa: PLR0911  (one line a type)
        if node is None or type(node) in (bool, int, float):
            return node
        if type(node) is not list or not node or depth > MAX_DEPTH:
            raise Malformed("a node of no known kind")
        kind, *fields = node
        if kind in ("list", "tuple"):
            (items,) = fields
            values = [self.value(item, depth + 1) for item in items]
            return values if kind == "list" else tuple(values)
        if kind == "set":
            (items,) = fields
            self._check_hashed(items)
            return {self.value(item, depth + 1) for item in items}
        if kind == "dict":
            (items,) = fields
            self._check_hashed(items)
            return {self.value(k, depth + 1): self.value(v, depth + 1) for k, v in items}
        if kind == "str":
            return str(self.raw(*fields), "utf-8", "surrogatepass")
        if kind == "bytes":
            return bytes(self.raw(*fields))
        if kind == "int":
            data = self.raw(*fields)
            if len(data) > _INT_BYTES:
                raise Malformed("an integer with too many digits")
            return int.from_bytes(data, "little", signed=True)
        if kind == "complex":
            real, imaginary = fields
            return complex(float(real), float(imaginary))
        if kind == "range":
            start, stop, step = fields
            if not _is_short(found := range(start, stop, step)):
                raise Malformed("a range of too many numbers")
            return found
        return self.array(kind, *fields)

    def _check_hashed(self, items: Any) -> None:
        if len(items) > MAX_HASHED:
            raise Malformed("a dict or set with too many items")

    def array(self, kind: str, dtype: str, shape: list[int], offset: int, length: int) -> Any:
        if len(shape) > MAX_DEPTH or not all(type(n) is int and n >= 0 for n in shape):
            raise Malformed("an array of no possible shape")
        data = bytearray(self.raw(offset, length))  # a copy that may be written to
        if kind == "torch":
            return _torch_tensor(data, str(dtype), shape)
        if not _ARRAY_TYPE.fullmatch(dtype):
            raise Malformed("an array of a type that is not plain")
        numpy_type = np.dtype(dtype)
        if math.prod(shape) * numpy_type.itemsize != length:
            raise Malformed("an array whose bytes do not fill its shape")
        array: np.ndarray = np.frombuffer(data, numpy_type).reshape(shape)
        if numpy_type.kind == "b":
            # A byte of 2 would be true and unequal to True.
            array = np.asarray(array.view(np.uint8) != 0)
        elif numpy_type.kind == "U" and array.size:
            code_points = np.frombuffer(data, numpy_type.byteorder.replace("|", "=") + "u4")
            if code_points.max(initial=0) > sys.maxunicode:
                raise Malformed("text of characters that do not exist")
        if kind == "array":
            return array
        if kind == "scalar" and not shape:
            return array[()]
        if kind == "tensorflow":
            import tensorflow

            return tensorflow.constant(array)
        raise Malformed("a node of no known kind")


def _torch_tensor(data: bytearray, dtype: str, shape: list[int]) -> Any:
    import torch

    if not (_TORCH_TYPE.fullmatch(dtype) and hasattr(torch, dtype)):
        raise Malformed("a tensor of no known type")
    torch_type = getattr(torch, dtype)
    if math.prod(shape) * torch_type.itemsize != len(data):
        raise Malformed("a tensor whose bytes do not fill its shape")
    if not data:
        return torch.empty(shape, dtype=torch_type)
    flat = torch.frombuffer(data, dtype=torch.uint8)
    return (flat != 0 if torch_type is torch.bool else flat.view(torch_type)).reshape(shape)
