"""The codec: plain data survive it, and whatever a student's process sends is data or Malformed."""

from __future__ import annotations

import builtins
import collections
import math
import os
import pickle
import socket
import struct
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any

import msgpack
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autograder.engine import wire

fixed = settings(derandomize=True, max_examples=60, deadline=None)


def same(a: object, b: object) -> bool:  # noqa: PLR0911  (one line a type)
    """Equal in value and type, all the way down; NaN equals NaN, 0.0 is not -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        # In order, as dicts are.
        return len(a) == len(b) and all(map(same, a.items(), b.items()))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and {repr(x) for x in a} == {repr(x) for x in b}
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and raw_bytes(a) == raw_bytes(b)
    return bool(a == b)


def raw_bytes(tensor: torch.Tensor) -> list[int]:
    flat = tensor.detach().contiguous().resolve_conj().flatten()
    return flat.view(torch.uint8).tolist() if flat.numel() else []


def there_and_back(value: object) -> Any:
    return wire.decode(wire.encode(value))


# ---------------------------------------------------------------- round trips

text = st.text(st.characters(), max_size=20)  # lone surrogates included
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**600), 2**600)
    | st.floats()
    | st.complex_numbers()
    | text
    | st.binary(max_size=20)
    | st.builds(range, *[st.integers(-(10**5), 10**5)] * 2, st.integers(1, 9))
)
arrays = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="="),
        hnp.unsigned_integer_dtypes(endianness="="),
        hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
        hnp.complex_number_dtypes(endianness="=", sizes=(64, 128)),
        hnp.unicode_string_dtypes(endianness="=", max_len=4),
    ),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=3),
)
keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | st.binary()
plain = st.recursive(
    scalars | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys | st.tuples(keys, keys), inner, max_size=4)
        | st.sets(keys, max_size=4)
    ),
    max_leaves=12,
)


@fixed
@given(plain)
def test_plain_data_come_back_as_they_went(value: object) -> None:
    assert same(there_and_back(value), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        10**4000,
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        complex(math.nan, -0.0),
        "\ud800 \udfff",
        "",
        b"",
        range(5, -5, -3),
        [],
        (),
        {},
        set(),
        {(1, (2, "x")): [{}]},
        [[[[]]]],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_corners_of_plain_data(value: object) -> None:
    assert same(there_and_back(value), value)


def test_subclasses_arrive_as_their_base() -> None:
    point = collections.namedtuple("Point", "x y")

    class Name(str):
        __slots__ = ()

    class Count(int):
        pass

    class Loss(float):
        pass

    counter = collections.Counter("aab")
    sent = [point(1, 2), counter, collections.OrderedDict(a=1), frozenset({1}), bytearray(b"x")]
    sent += [Name("n"), Count(3), Count(2**70), Loss(0.5)]
    expected = [(1, 2), {"a": 2, "b": 1}, {"a": 1}, {1}, b"x", "n", 3, 2**70, 0.5]
    assert same(there_and_back(sent), expected)


@fixed
@given(arrays)
def test_arrays_in_any_layout_arrive_with_their_values(array: np.ndarray) -> None:
    assert same(there_and_back(array.T), np.array(array.T, order="C"))
    swapped = array.astype(array.dtype.newbyteorder("S"))
    assert same(there_and_back(swapped), array)


def test_arrays_that_are_views_read_only_or_subclasses() -> None:
    grid = np.arange(24.0).reshape(4, 6)
    locked = grid.copy()
    locked.flags.writeable = False
    for array in (grid[::2, ::-3], np.asfortranarray(grid), np.broadcast_to(grid[0], (3, 6))):
        assert same(there_and_back(array), np.array(array))
    assert there_and_back(locked).flags.writeable
    assert type(there_and_back(np.ma.masked_array([1, 2], [0, 1]))) is np.ndarray


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1, 1)], ids=str)
def test_shapes_are_kept(shape: tuple[int, ...]) -> None:
    assert same(there_and_back(np.ones(shape)), np.ones(shape))
    assert same(there_and_back(torch.ones(shape)), torch.ones(shape))


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64(0.1),
        np.float32(0.1),
        np.float16(0.1),
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.bool_(True),
        np.complex64(1 - 2j),
        np.str_("é"),
    ],
    ids=lambda scalar: type(scalar).__name__,
)
def test_numpy_scalars_keep_their_type(scalar: np.generic) -> None:
    assert same(there_and_back(scalar), scalar)


TORCH_TYPES = [
    *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.complex32, torch.complex64, torch.complex128),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]


@pytest.mark.parametrize("dtype", TORCH_TYPES, ids=str)
def test_tensors_of_every_type(dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0, 1, 1], [1, 0, 2]], dtype=torch.float32).to(dtype)
    for form in (tensor, tensor.T, tensor[:, 1:], tensor[0, 0], tensor[:0]):
        back = there_and_back(form)
        assert same(back, form.contiguous())
        assert type(back) is torch.Tensor


def test_tensors_with_gradients_parameters_and_lazy_conjugates() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 3))
    hidden = weight * 2
    wave = torch.tensor([1 + 2j])
    for tensor in (weight, hidden, hidden.T):
        back = there_and_back(tensor)
        assert type(back) is torch.Tensor
        assert not back.requires_grad
        assert torch.equal(back, tensor.detach())
    assert torch.equal(there_and_back(wave.conj()), wave.conj())
    assert torch.equal(there_and_back(wave.conj().imag), wave.conj().imag)  # lazily negated


def test_a_decoded_tensor_is_one_that_can_be_written_to() -> None:
    back = there_and_back([torch.zeros(3), np.zeros(3)])
    for array in back:
        array[0] = 3
        assert array.sum() == 3


def test_tensorflows_tensors_and_variables_arrive_as_constants() -> None:
    for value in (tf.constant([[1.5, 2]]), tf.Variable([1, 2]), tf.constant(True), tf.zeros([0])):
        back = there_and_back(value)
        assert isinstance(back, tf.Tensor)
        assert back.dtype == value.dtype
        assert np.array_equal(back.numpy(), value.numpy())


# ---------------------------------------------------------------- what is not plain


def a_function() -> None:
    """For the test below."""


class Thing:
    """For the test below."""

    @property  # what a spiteful object may claim to be
    def __class__(self) -> type:
        return Fraction


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Fraction(1, 2), "fractions.Fraction"),
        (a_function, "builtins.function"),
        ((n for n in range(3)), "builtins.generator"),
        (math, "builtins.module"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (types.SimpleNamespace(a=1), "types.SimpleNamespace"),
        (Thing, "builtins.type"),
        (Thing(), "test_wire.Thing"),
        ({}.keys(), "builtins.dict_keys"),
        (np.array([object()]), "an array of object"),
        (np.zeros(2, [("a", int)]), r"an array of \[\('a'"),
        (np.array(["2020-01-01"], "datetime64[D]"), "an array of datetime64"),
        (np.array([b"x"]), r"an array of \|S1"),
        (np.void(b"x"), "an array of "),
        (torch.eye(2).to_sparse(), "torch.Tensor"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_plain_is_named(value: object, name: str) -> None:
    for wrapped in (value, [1, (value,)], {"x": value}):
        with pytest.raises(wire.NotPlain, match=name):
            wire.encode(wrapped)


@pytest.mark.parametrize("value", [range(10**30), [range(-(2**64), 0)]])
def test_what_the_header_cannot_hold_is_no_surprise(value: object) -> None:
    with pytest.raises((wire.NotPlain, wire.Malformed)):
        wire.encode(value)


def test_depth_is_limited_both_ways() -> None:
    nested: list = []
    for _ in range(wire.MAX_DEPTH):
        nested = [nested]
    assert there_and_back(nested) == nested
    with pytest.raises(wire.Malformed, match="levels deep"):
        wire.encode([nested])
    endless: list = []
    endless.append(endless)
    with pytest.raises(wire.Malformed, match="levels deep"):
        wire.encode(endless)


def test_size_is_limited_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    large = wire.encode(np.zeros(200, np.uint8))
    monkeypatch.setattr(wire, "MAX_BYTES", 100)
    for value in (np.zeros(101, np.uint8), b"x" * 101, ["x" * 60, "y" * 60], torch.zeros(26)):
        with pytest.raises(wire.Malformed, match="more data than a check may return"):
            wire.encode(value)
    assert there_and_back(b"x" * 100) == b"x" * 100
    with pytest.raises(wire.Malformed):
        wire.decode(large)
    monkeypatch.setattr(wire, "MAX_HEADER", 50)
    with pytest.raises(wire.Malformed):
        wire.encode(list(range(100)))
    with pytest.raises(wire.Malformed):
        wire.decode(message(list(range(100))))


# ---------------------------------------------------------------- hostile bytes


def message(header: object, raw: bytes = b"") -> bytes:
    """A message with any header over any bytes."""
    packed = msgpack.packb(header)
    return struct.pack("<I", len(packed)) + packed + raw


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.putenv, ("AUTOGRADER_BOMB", "went off")


class Ran(BaseException):
    """No handler of exceptions may hide it."""


@contextmanager
def watched() -> Iterator[None]:
    """Ends the test if the codec unpickles, evaluates or executes anything."""

    def never(*_: object, **__: object) -> None:
        raise Ran("the codec ran what it was sent")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("loads", "load", "Unpickler"):
            patch.setattr(pickle, name, never)
        for name in ("eval", "exec", "compile"):
            patch.setattr(builtins, name, never)
        for module in (torch, np):
            patch.setattr(module, "load", never)
        yield


def refused(data: bytes) -> None:
    with watched(), pytest.raises(wire.Malformed):
        wire.decode(data)


def decoded_or_refused(data: bytes) -> None:
    with watched(), suppress(wire.Malformed):
        wire.decode(data)


HUGE = 2**62
LIES: dict[str, tuple[object, bytes]] = {
    "offset beyond the end": (["bytes", 9, 1], b"x"),
    "length beyond the end": (["bytes", 0, 2], b"x"),
    "offset and length huge": (["bytes", HUGE, HUGE], b"x"),
    "negative offset": (["bytes", -1, 1], b"x"),
    "negative length": (["bytes", 1, -1], b"x"),
    "offset is true": (["bytes", True, 1], b"xx"),
    "offset is a float": (["bytes", 0.0, 1], b"x"),
    "offset is text": (["bytes", "0", 1], b"x"),
    "length left out": (["bytes", 0], b"x"),
    "a field too many": (["str", 0, 1, 1], b"x"),
    "not utf-8": (["str", 0, 1], b"\xff"),
    "unknown kind": (["pickle", 0, 1], b"x"),
    "kind is a number": ([1, 2], b""),
    "kind is a list": ([["list"], []], b""),
    "empty node": ([], b""),
    "a map": ({"a": 1}, b""),
    "text in the header": ("text", b""),
    "bytes in the header": (b"bytes", b""),
    "items are a number": (["list", 3], b""),
    "items are null": (["set", None], b""),
    "pairs of three": (["dict", [[1, 2, 3]]], b""),
    "unhashable key": (["dict", [[["list", []], 1]]], b""),
    "unhashable item": (["set", [["dict", []]]], b""),
    "array as a key": (["dict", [[["array", "|u1", [1], 0, 1], 1]]], b"x"),
    "complex of text": (["complex", "a", 1], b""),
    "complex of a huge number": (["complex", 10**19, "nan or so"], b""),
    "range by zero": (["range", 0, 1, 0], b""),
    "range of floats": (["range", 0.5, 1, 1], b""),
    "integer of too many digits": (["int", 0, 5000], b"x" * 5000),
    "huge shape": (["array", "|u1", [HUGE], 0, 1], b"x"),
    "shape whose product overflows": (["array", "|u1", [2**32, 2**32], 0, 0], b""),
    "empty shape that is huge": (["array", "|u1", [0, HUGE, HUGE], 0, 0], b""),
    "wrong product": (["array", "<f8", [3], 0, 16], b"x" * 16),
    "negative sizes whose product is right": (["array", "|u1", [-1, -1], 0, 1], b"x"),
    "size of minus one": (["array", "|u1", [-1], 0, 1], b"x"),
    "size is true": (["array", "|u1", [True], 0, 1], b"x"),
    "size is a float": (["array", "|u1", [1.0], 0, 1], b"x"),
    "shape is a number": (["array", "|u1", 1, 0, 1], b"x"),
    "too many dimensions": (["array", "|u1", [1] * 65, 0, 1], b"x"),
    "33 dimensions": (["array", "|u1", [1] * 33, 0, 1], b"x"),
    "scalar of one dimension": (["scalar", "|u1", [1], 0, 1], b"x"),
    "array of objects": (["array", "O", [1], 0, 8], b"x" * 8),
    "array of |O8": (["array", "|O8", [1], 0, 8], b"x" * 8),
    "array of O in a struct": (["array", "i4,O", [1], 0, 12], b"x" * 12),
    "array of raw bytes": (["array", "V8", [1], 0, 8], b"x" * 8),
    "array of a struct": (["array", "i4,i4", [1], 0, 8], b"x" * 8),
    "array of a subarray": (["array", "(2,2)i4", [1], 0, 16], b"x" * 16),
    "array of byte strings": (["array", "S8", [1], 0, 8], b"x" * 8),
    "array of dates": (["array", "M8[s]", [1], 0, 8], b"x" * 8),
    "array of U0": (["array", "U0", [HUGE], 0, 0], b""),
    "dtype as a dict": (["array", {"names": ["a"], "formats": ["O"]}, [1], 0, 8], b"x" * 8),
    "dtype as a list": (["array", [["a", "O"]], [1], 0, 8], b"x" * 8),
    "dtype is null": (["array", None, [1], 0, 1], b"x"),
    "dtype is no type": (["array", "nonsense", [1], 0, 8], b"x" * 8),
    "characters beyond Unicode": (["array", "<U1", [1], 0, 4], b"\xff\xff\xff\x7f"),
    "torch function for a type": (["torch", "load", [1], 0, 8], b"x" * 8),
    "torch module for a type": (["torch", "nn", [1], 0, 8], b"x" * 8),
    "torch dotted name": (["torch", "nn.functional", [1], 0, 8], b"x" * 8),
    "torch dunder": (["torch", "__dict__", [1], 0, 8], b"x" * 8),
    "torch wrong product": (["torch", "float32", [3], 0, 4], b"x" * 4),
    "torch quantised": (["torch", "qint8", [1], 0, 1], b"x"),
    "torch huge and empty": (["torch", "float32", [0, HUGE, HUGE], 0, 0], b""),
    "tensorflow of objects": (["tensorflow", "O", [1], 0, 8], b"x" * 8),
    "tensorflow huge and empty": (["tensorflow", "|u1", [0, HUGE, HUGE], 0, 0], b""),
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_refused(lie: str) -> None:
    header, raw = LIES[lie]
    refused(message(header, raw))
    refused(message(["list", [1, ["dict", [[1, header]]]]], raw))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        struct.pack("<I", 100) + b"x" * 99,
        struct.pack("<I", wire.MAX_HEADER + 1) + bytes(wire.MAX_HEADER + 1),
        struct.pack("<I", 1) + b"\xc1",  # the one byte that MessagePack never uses
        message([None])[:-1],
        struct.pack("<I", 2) + msgpack.packb(1) * 2,  # something behind the header's end
        message(msgpack.ExtType(5, b"x")),
        message(msgpack.Timestamp(1, 2)),
        struct.pack("<I", 5) + b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        struct.pack("<I", 3000) + b"\x91" * 3000,  # nested too deep for MessagePack
        struct.pack("<I", 500) + b"\x91" * 499 + b"\xc0",
        pickle.dumps(Bomb()),
        message(["bytes", 0, 500], pickle.dumps(Bomb())),
    ],
    ids=range(16),
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    refused(data)


def test_pickles_are_never_opened() -> None:
    bomb = pickle.dumps(Bomb())
    refused(bomb)
    assert wire.decode(message(["bytes", 0, len(bomb)], bomb)) == bomb
    for kind in ("pickle", "object", "torch", "array", "scalar"):
        for dtype in ("O", "|O8", "object", "torch.load", "pickle"):
            refused(message([kind, dtype, [1], 0, 8], bomb))
    assert "AUTOGRADER_BOMB" not in os.environ


def test_nesting_is_refused_at_the_same_depth_as_it_is_written() -> None:
    def nested(depth: int) -> object:
        return 1 if depth == 0 else ["list", [nested(depth - 1)]]

    wire.decode(message(nested(wire.MAX_DEPTH)))
    refused(message(nested(wire.MAX_DEPTH + 2)))


def test_the_same_bytes_cannot_be_claimed_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wire, "MAX_BYTES", 1000)
    raw = b"x" * 100
    for claim in (["bytes", 0, 100], ["array", "|u1", [100], 0, 100], ["str", 0, 100]):
        assert len(wire.decode(message(["list", [claim] * 10], raw))) == 10
        refused(message(["list", [claim] * 11], raw))


def test_dicts_and_sets_have_a_limited_size() -> None:
    many = list(range(wire.MAX_HASHED + 1))
    refused(message(["set", many]))
    refused(message(["dict", [[n, n] for n in many]]))
    assert len(wire.decode(message(["set", many[:-1]]))) == wire.MAX_HASHED


def test_a_byte_of_two_is_an_ordinary_true() -> None:
    for header in (["array", "|b1", [2], 0, 2], ["torch", "bool", [2], 0, 2]):
        back = wire.decode(message(header, b"\x02\x00"))
        assert (back == (torch.tensor if header[0] == "torch" else np.array)([True, False])).all()
        assert back.sum() == 1
    assert wire.decode(message(["scalar", "|b1", [], 0, 1], b"\x02")) == np.True_


@fixed
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    decoded_or_refused(data)
    decoded_or_refused(struct.pack("<I", len(data)) + data)
    decoded_or_refused(struct.pack("<I", len(data) // 2) + data)


@fixed
@given(plain, st.data())
def test_damaged_messages_raise_nothing_else(value: object, data: st.DataObject) -> None:
    good = wire.encode(value)
    cut = data.draw(st.integers(0, len(good) - 1))
    decoded_or_refused(good[:cut])
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    decoded_or_refused(bytes(damaged))


numbers = st.integers(-3, 12) | st.sampled_from([HUGE, -HUGE, 2**31, 2**32, 2**63 - 1])
nodes = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(
            st.sampled_from(["list", "tuple", "set", "dict"]),
            st.lists(inner | st.lists(inner, min_size=2, max_size=2), max_size=4),
        )
        | st.tuples(st.sampled_from(["str", "bytes", "int", "complex"]), numbers, numbers)
        | st.tuples(st.just("range"), numbers, numbers, numbers)
        | st.tuples(
            st.sampled_from(["array", "scalar", "torch"]),
            st.sampled_from(["|b1", "<f8", ">i4", "<U1", "O", "V4", "bool", "float16", "qint8"]),
            st.lists(numbers, max_size=3),
            numbers,
            numbers,
        )
    ),
    max_leaves=10,
)


@settings(fixed, max_examples=300)
@given(nodes, st.binary(max_size=12))
def test_random_headers_raise_nothing_else(header: object, raw: bytes) -> None:
    decoded_or_refused(message(header, raw))


# ---------------------------------------------------------------- frames


def test_frames_keep_their_bounds() -> None:
    ours, theirs = socket.socketpair()
    sent = [b"", b"x", bytes(3 * 2**20), b"end"]
    with ours, theirs:
        writer = threading.Thread(target=lambda: [wire.send_frame(ours, part) for part in sent])
        writer.start()
        assert [wire.receive_frame(theirs) for _ in sent] == sent
        writer.join()


@pytest.mark.parametrize("part", [b"", b"\x05", struct.pack("<Q", 5) + b"four"])
def test_a_frame_that_breaks_off_is_the_end(part: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(part)
        with pytest.raises(EOFError):
            wire.receive_frame(theirs)
