"""Counts what a rank sends, call by call, and refuses what an exercise does without.

torch tells a mode of each operation before it runs, those that communicate included, whoever calls
them: the notebook, DDP's hooks in the backward pass, FSDP. torch's own counter (CommDebugMode)
knows numbers of calls only; where the bytes stand among an operation's arguments is in the table
below. Chapters and probes use it inside the function that `run_ranks` runs.

This module imports nothing heavy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from autograder.without import Forbidden


class Call(NamedTuple):
    """One call of a collective or of a point-to-point operation, by one rank.

    Attributes:
        name: "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "reduce",
            "gather", "scatter", "send", "recv" or "barrier", in whatever variant.
        elements: that this rank handed to it to be sent.
        bytes: of these.
        peer: who receives a "send" or is the root; None where there is none.
    """

    name: str
    elements: int
    bytes: int
    peer: int | None


@dataclass
class Traffic:
    """What this rank sent while it was counted, call by call."""

    calls: list[Call] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    @property
    def elements_sent(self) -> int:
        return sum(call.elements for call in self.calls)

    @property
    def bytes_sent(self) -> int:
        return sum(call.bytes for call in self.calls)


@contextmanager
def count_traffic(allowed: Collection[str] | None = None) -> Iterator[Traffic]:
    """Counts what the running rank hands to torch.distributed inside the block.

    That is the payload: the tensor that goes into a `send`, `all_reduce`, `all_gather`,
    `reduce_scatter` or `all_to_all`; the root's for `broadcast` and `scatter`, and nothing for the
    others; for `gather` and `reduce`, each rank's. `recv` and `barrier` send nothing. What DDP,
    FSDP and functional collectives send is counted, too. How many bytes a collective then puts on
    the wire depends on its algorithm: a ring all-reduce of n bytes among N ranks sends
    2 (N - 1) n / N from each.

    Args:
        allowed: names as in `Call`; any other operation raises `Forbidden`.

    >>> def function(rank, world_size):
    ...     with count_traffic() as traffic:
    ...         dist.all_reduce(torch.ones(5))
    ...     return traffic.calls
    >>> run_ranks(function, 2)[0]  # doctest: +SKIP
    [('all_reduce', 5, 20, None)]
    """
    traffic = Traffic()
    with _mode()(traffic, None if allowed is None else frozenset(allowed)):
        yield traffic


class _Operation(NamedTuple):
    """Of an operation: its name in `Call`, and which of its arguments are payload and peer."""

    name: str
    payload: int | None = None
    peer: int | None = None
    group: int | None = None  # where only the root sends


_OPERATIONS = {
    "c10d": {
        "send": _Operation("send", 0, 2),
        "recv_": _Operation("recv"),
        "recv_any_source_": _Operation("recv"),
        "broadcast_": _Operation("broadcast", 0, 2, 1),
        "allreduce_": _Operation("all_reduce", 0),
        "allreduce_coalesced_": _Operation("all_reduce", 0),
        "reduce_": _Operation("reduce", 0, 3),
        # From here on argument 0 is the output.
        "allgather_": _Operation("all_gather", 1),
        "_allgather_base_": _Operation("all_gather", 1),
        "allgather_coalesced_": _Operation("all_gather", 1),
        "allgather_into_tensor_coalesced_": _Operation("all_gather", 1),
        "reduce_scatter_": _Operation("reduce_scatter", 1),
        "_reduce_scatter_base_": _Operation("reduce_scatter", 1),
        "reduce_scatter_tensor_coalesced_": _Operation("reduce_scatter", 1),
        "alltoall_": _Operation("all_to_all", 1),
        "alltoall_base_": _Operation("all_to_all", 1),
        "gather_": _Operation("gather", 1, 3),
        "scatter_": _Operation("scatter", 1, 3),  # the others hand over an empty list
        "barrier": _Operation("barrier"),
        "monitored_barrier_": _Operation("barrier"),
    },
    "_c10d_functional": {
        "all_reduce": _Operation("all_reduce", 0),
        "all_reduce_": _Operation("all_reduce", 0),
        "all_reduce_coalesced": _Operation("all_reduce", 0),
        "all_reduce_coalesced_": _Operation("all_reduce", 0),
        "all_gather_into_tensor": _Operation("all_gather", 0),
        "all_gather_into_tensor_out": _Operation("all_gather", 0),
        "all_gather_into_tensor_coalesced": _Operation("all_gather", 0),
        "reduce_scatter_tensor": _Operation("reduce_scatter", 0),
        "reduce_scatter_tensor_out": _Operation("reduce_scatter", 0),
        "reduce_scatter_tensor_coalesced": _Operation("reduce_scatter", 0),
        "all_to_all_single": _Operation("all_to_all", 0),
        "broadcast": _Operation("broadcast", 0, 1, 2),
        "broadcast_": _Operation("broadcast", 0, 1, 2),
        "isend": _Operation("send", 0, 1),
        "irecv": _Operation("recv"),
    },
}
_SEND_NOTHING = {"wait_tensor", "_wrap_tensor_autograd", "check_for_nan"}


def _call_of(namespace: str, operation: str, args: tuple[Any, ...]) -> Call | None:
    """What an operation of torch sends, if it is one that communicates."""
    if namespace not in _OPERATIONS or operation in _SEND_NOTHING:
        return None
    what = _OPERATIONS[namespace].get(operation)
    if what is None:
        raise NotImplementedError(f"count_traffic does not know {namespace}::{operation}")
    tensors = [] if what.payload is None else _tensors(args[what.payload])
    peer = None if what.peer is None else int(args[what.peer])
    if what.group is not None and _rank_in(args[what.group]) != peer:
        tensors = []
    elements = sum(tensor.numel() for tensor in tensors)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Call(what.name, elements, size, peer)


def _tensors(value: Any) -> list[Any]:
    return (
        [t for item in value for t in _tensors(item)]
        if isinstance(value, (list, tuple))
        else [value]
    )


def _rank_in(group: Any) -> int:
    from torch.distributed import ProcessGroup
    from torch.distributed.distributed_c10d import _resolve_process_group

    found = _resolve_process_group(group) if isinstance(group, str) else ProcessGroup.unbox(group)
    rank: int = found.rank()
    return rank


@functools.cache
def _mode() -> Callable[[Traffic, frozenset[str] | None], AbstractContextManager[Any]]:
    """The class of a mode that torch tells of each operation."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        def __init__(self, traffic: Traffic, allowed: frozenset[str] | None):
            super().__init__()
            self.traffic, self.allowed = traffic, allowed

        def __torch_dispatch__(
            self, function: Any, _: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            namespace, _, operation = function.name().partition("::")
            call = _call_of(namespace, operation.partition(".")[0], args)
            if call is not None:
                if self.allowed is not None and call.name not in self.allowed:
                    raise Forbidden(f"this exercise asks you to do without dist.{call.name}")
                self.traffic.calls.append(call)
            return function(*args, **(kwargs or {}))

    return Counting
