"""Runs a function on several ranks: the ground of chapter 4.

`run_ranks(function, 4)` forks four processes of the running one, joins them to a process group of
torch.distributed and brings back what each returned, as data. It is what `torchrun` does for a
script, for a function that was just typed into a notebook. Chapters and their checks call it in
the process that has the function: the learner's kernel, or, by a `probe`, the student's.

Processes that wait for each other wait for ever. So the caller watches: where every rank sleeps and
nothing has moved for a few seconds, it asks each for its stack, ends all of them and says who
waits in which line. Whatever happens, no process outlives the call. Importing this is quick.
"""

from __future__ import annotations

import builtins
import datetime
import faulthandler
import functools
import io
import linecache
import os
import re
import selectors
import signal
import struct
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from autograder.idleness import Idleness
from autograder.plain import pack, unpack
from autograder.stopwatch import Stopwatch

MAX_PRINTED = 10_000  # characters of each rank that are shown
_LENGTH = struct.Struct("<Q")
Frame = tuple[str, int, str]  # file, line, function


class RankError(RuntimeError):
    """A rank raised an exception, or has died.

    Where a rank's exception is a built-in one, what `run_ranks` raises is of that type, too.
    """


class Deadlock(RankError):
    """All ranks wait, and nothing can wake them."""


# ---------------------------------------------------------------- running


def run_ranks(
    function: Callable[..., Any], world_size: int, *args: Any, seconds: float = 30
) -> list[Any]:
    """Runs `function(rank, world_size, *args)` in `world_size` processes; returns their results.

    Each process is a copy of this one, made by fork: it has the notebook's names and data, and
    the same state of random numbers. There, torch uses one thread, and the process group is
    ready: `torch.distributed` sends tensors on the processor by gloo, and, where there are at least
    `world_size` GPUs, tensors on GPU number `rank` by NCCL.

    Args:
        function: takes its rank, the number of ranks, and `args`. What it changes stays in its
            process; only what it returns comes back.
        world_size: number of processes.
        seconds: after which all of them are ended; without the time that they stand in line for
            a processor, so that a busy machine does not end them.

    Returns:
        A list; entry i is what rank i returned. That is None, numbers, text, bytes, tensors and
        NumPy arrays, and lists, tuples, sets and dicts of them. What a rank prints is printed at
        the end, in the order of the ranks.

    Raises:
        RankError: a rank raised an exception (it has that type, too) or died. The others are ended.
        Deadlock: all ranks wait, and none has done anything for two seconds. (Linux only;
            elsewhere it takes until the deadline.)
        TimeoutError: the deadline passed. Both name for each rank the line where it waits.

    >>> run_ranks(lambda rank, world_size: f"{rank} of {world_size}", 2)
    ['0 of 2', '1 of 2']
    """
    if not hasattr(os, "fork"):
        raise RuntimeError(
            "Windows cannot copy a running process, so ranks do not run here. Install the Windows "
            "Subsystem for Linux (`wsl --install`), and start JupyterLab there."
        )
    _warm_up()
    with tempfile.TemporaryDirectory(prefix="ranks-") as folder:
        ranks: list[_Rank] = []
        starts, start = os.pipe()
        job = _Job(function, world_size, args, Path(folder), starts, start)
        try:
            for rank in range(world_size):
                ranks.append(_fork(rank, job))
            os.write(start, b"g" * world_size)
            problem = _watch(ranks, seconds)
        finally:
            os.close(start)  # a process that has not started yet ends at this
            os.close(starts)
            for rank_ in ranks:
                rank_.end()
        for rank_ in ranks:
            rank_.show_printed()
    if problem is not None:
        raise problem
    return [rank_.report["value"] for rank_ in ranks if rank_.report is not None]


@functools.cache
def _warm_up() -> None:
    """Imports here, once, what each of the processes would otherwise import again.

    The first mode that looks at torch's operations makes torch import 835 modules.
    """
    import torch
    import torch.distributed.fsdp
    import torch.distributed.tensor
    from torch.utils._python_dispatch import BaseTorchDispatchMode

    with BaseTorchDispatchMode():
        torch.empty(0)


@dataclass
class _Rank:
    """One process, as the caller sees it."""

    number: int
    pid: int
    pipe: int  # where its message comes from
    folder: Path
    received: bytearray = field(default_factory=bytearray)
    report: dict[str, Any] | None = None  # a result or an error
    is_lost: bool = False
    exit_code: int | None = None

    def read(self) -> bool:
        """Takes what has come; whether that is all, because it has reported or is dead."""
        part = os.read(self.pipe, 2**20)
        self.received += part
        size = _LENGTH.size
        if len(self.received) >= size and self.report is None:
            (length,) = _LENGTH.unpack_from(self.received)
            if len(self.received) == size + length:
                self.report = unpack(bytes(self.received[size:]))
        self.is_lost = not part
        return self.is_lost or self.report is not None

    @property
    def error(self) -> dict[str, Any] | None:
        return None if self.report is None else self.report.get("error")

    def printed(self, kind: str) -> str:
        """What it has written to one of its files so far."""
        file = self.folder / f"{kind}.{self.number}"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def reap(self, wait: bool = False) -> bool:
        """Whether it has ended."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def end(self) -> None:
        if not self.reap():
            os.kill(self.pid, signal.SIGKILL)
            self.reap(wait=True)
        os.close(self.pipe)

    def show_printed(self) -> None:
        text = self.printed("out")
        for line in text[:MAX_PRINTED].splitlines():
            print(f"rank {self.number}: {line}")
        if len(text) > MAX_PRINTED:
            print(f"rank {self.number}: [cut]")


def _watch(ranks: list[_Rank], seconds: float) -> Exception | None:
    """Reads what the ranks send until all have reported or one is lost; what is to be raised."""
    idle, watch = Idleness(), Stopwatch(*[rank.pid for rank in ranks])
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(rank.pipe, selectors.EVENT_READ, rank)
        while selector.get_map():
            if _read(selector, 0.1):
                if any(rank.is_lost or rank.error for rank in ranks):
                    return _first_problem(ranks, selector)
            elif idle.has_lasted([rank.pid for rank in ranks if rank.report is None]):
                return _stuck(Deadlock, "every rank waits, and none can go on", ranks)
            elif _is_over(watch, seconds):
                return _stuck(TimeoutError, f"not done after {seconds:g} seconds", ranks)
    return None


def _is_over(watch: Stopwatch, seconds: float) -> bool:
    if watch.is_due:
        watch.look()
    return watch.seconds > seconds


def _read(selector: selectors.BaseSelector, seconds: float) -> bool:
    """Whether something has come from a rank within that time."""
    ready = selector.select(seconds)
    for key, _ in ready:
        if key.data.read():
            selector.unregister(key.data.pipe)
    return bool(ready)


def _first_problem(ranks: list[_Rank], selector: selectors.BaseSelector) -> Exception:
    """The cause, where one rank's death or error brings errors of others with it.

    Ranks that have reported stay alive, so only a death breaks connections: where one is broken,
    a death is to come.
    """
    for patience in (0.05, 1.0):
        until = time.monotonic() + patience
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            _read(selector, left)
        if dead := [rank for rank in ranks if rank.is_lost]:
            return _death(dead[0])
        errors = [(rank, rank.error) for rank in ranks if rank.error]
        causes = [pair for pair in errors if not _BROKEN_CONNECTION.search(pair[1]["text"])]
        if causes:
            break
    rank, error = (causes or errors)[0]
    return _raised(rank.number, error)


_BROKEN_CONNECTION = re.compile(r"Connection (closed|reset) by peer|Broken pipe|Socket closed")


def _death(rank: _Rank) -> Exception:
    rank.reap(wait=True)
    code = rank.exit_code or 0
    how = f"ended with exit status {code}"
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    said = rank.printed("err")
    if mismatch := re.search(r"op\.preamble\.length <= op\.nbytes\. (\d+) vs (\d+)", said):
        how += f": it was sent {mismatch[1]} bytes where it expected at most {mismatch[2]}"
    elif last := [line for line in said.splitlines() if line.startswith("  what():")]:
        how += f": {last[-1].removeprefix('  what():').strip()[:300]}"
    stack = _stack(rank)
    where = f"in {_place(stack)}; " if stack else ""
    error = RankError(f"rank {rank.number} died: {where}it {how}")
    return error.with_traceback(_traceback([f for f in reversed(stack) if _is_own(f)]))


def _raised(number: int, described: dict[str, Any]) -> Exception:
    """The exception of a rank, as if it had been raised here, with its lines."""
    name, builtin = described["type"], getattr(builtins, described["type"], None)
    bases: tuple[type, ...] = (RankError,)
    if isinstance(builtin, type) and issubclass(builtin, Exception):
        bases += (builtin,)
    text = f"rank {number}: {described['text']}"
    try:
        error: Exception = type(name, bases, {})(text)
    except TypeError:  # a UnicodeDecodeError and the like want more
        error = RankError(f"rank {number}: {name}: {described['text']}")
    return error.with_traceback(_traceback([tuple(frame) for frame in described["frames"]]))


def _stuck(kind: type[Exception], what: str, ranks: list[_Rank]) -> Exception:
    """The error that says where each rank is; its own traceback is that of the first one."""
    silent = [rank for rank in ranks if rank.report is None]
    for rank in silent:
        os.kill(rank.pid, signal.SIGUSR1)
    stacks = {rank.number: _stack(rank, patience=1) for rank in silent}
    verb = "waits in" if kind is Deadlock else "is in"
    places = {number: f"{verb} {_place(stack)}" for number, stack in stacks.items()}
    lines = [f"rank {rank.number} {places.get(rank.number, 'has returned')}" for rank in ranks]
    own = [[frame for frame in stack if _is_own(frame)] for stack in stacks.values()]
    deepest = next((frames for frames in own if frames), [])
    error = kind("\n".join([f"{what}.", *lines]))
    return error.with_traceback(_traceback(deepest[::-1]))


def _stack(rank: _Rank, patience: float = 0) -> list[Frame]:
    """What the rank's main thread did when it was asked or crashed, the innermost call first."""
    until = time.monotonic() + patience
    while True:
        text = rank.printed("stack")
        if f" in {_RUN}\n" in text or time.monotonic() >= until:
            break
        time.sleep(0.01)
    sections = text.split("\n\n")  # one a thread; it is the main one that runs the function
    text = next((part for part in sections if f" in {_RUN}" in part), text)
    frames = re.findall(r'^  File "(.*)", line (\d+) in (.*)$', text, re.MULTILINE)
    found = [(file, int(line), name) for file, line, name in frames]
    ours = (_RUN, "_report", "_fork")  # outside of these, the stack is the caller's
    outer = next((i for i, frame in enumerate(found) if frame[2] in ours), len(found))
    return found[:outer]


def _place(stack: list[Frame]) -> str:
    own = next((i for i, frame in enumerate(stack) if _is_own(frame)), None)
    if own is None:
        return stack[0][2] if stack else "its start"
    calls = [name for file, _, name in stack[:own] if file.endswith("distributed_c10d.py")]
    file, line, name = stack[own]
    text = linecache.getline(file, line).strip()
    call = f"{calls[-1]}, " if calls else ""
    return f"{call}line {line} of {name}" + (f": {text}" if text else "")


@functools.cache
def _library_folders() -> tuple[str, ...]:
    folders = {sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.add(str(Path(__file__).parent))
    return tuple(f"{folder}{os.sep}" for folder in folders | set(map(os.path.realpath, folders)))


def _is_own(frame: Frame) -> bool:
    """Whether somebody's own code is meant, not a library's."""
    return not frame[0].startswith((*_library_folders(), "<frozen", "<string>", "msgpack/"))


def _traceback(frames: list[Frame]) -> TracebackType | None:
    """A traceback through these lines, the outermost first, of code that ran elsewhere.

    A frame can only be made by running code: here a `raise` that says of itself to stand in that
    file and line, as Jinja does for its templates. So notebooks show the line, and the grader
    finds it.
    """
    chain: TracebackType | None = None
    for file, line, name in reversed(frames):
        code = compile("\n" * (line - 1) + "raise KeyError", file, "exec")
        try:
            exec(code.replace(co_name=name, co_qualname=name), {})
        except KeyError as error:
            made = error.__traceback__
            assert made is not None and made.tb_next is not None
            inner = made.tb_next
            chain = TracebackType(chain, inner.tb_frame, inner.tb_lasti, inner.tb_lineno)
    return chain


def cache_with_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `functools.cache`, for what the checks of a test cell learn from ranks; keeps errors, too.

    So several checks share one start. A deadlock costs seconds, so after the second one every
    call that is not known yet raises the first at once.
    """
    known: dict[tuple[Any, ...], tuple[Any, Exception | None]] = {}
    stuck: list[Exception] = []

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        if args not in known:
            if len(stuck) > 1:
                raise stuck[0]
            try:
                known[args] = function(*args), None
            except Exception as error:
                known[args] = None, error
                # The judge has a StudentError, with the name of the student's.
                name = getattr(error, "type_name", type(error).__name__)
                stuck.extend([error] if name in (Deadlock.__name__, TimeoutError.__name__) else [])
        value, kept = known[args]
        if kept is not None:
            raise kept
        return value

    return call


# ---------------------------------------------------------------- in the new process

_RUN = "_run_function"


@dataclass(frozen=True)
class _Job:
    """What all ranks get; the last two are the ends of the pipe that says go."""

    function: Callable[..., Any]
    world_size: int
    args: tuple[Any, ...]
    folder: Path
    starts: int
    start: int


def _fork(number: int, job: _Job) -> _Rank:
    mine, theirs = os.pipe()
    caller = os.getpid()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return _Rank(number, pid, mine, job.folder)
    try:
        os.close(job.start)
        os.close(mine)
        _die_with(caller)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller's to handle
        if not os.read(job.starts, 1):  # the caller was interrupted before it knew of this process
            return os._exit(0)
        _redirect(job.folder, number)
        message = _report(number, job)
        with open(theirs, "wb", closefd=False) as stream:
            stream.write(_LENGTH.pack(len(message)) + message)
        # Others may still wait for what this one has sent, so it does not leave before them.
        while True:
            signal.pause()
    finally:
        os._exit(1)


def _die_with(caller: int) -> None:
    """Ends this process when the caller is killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if os.getppid() != caller:
        os._exit(1)


def _redirect(folder: Path, number: int) -> None:
    """What is printed goes to files, what native libraries say to others; so does the stack."""
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(folder / f"{name}.{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    stream = io.TextIOWrapper(os.fdopen(1, "wb", 0, closefd=False), "utf-8", write_through=True)
    sys.stdout = sys.stderr = stream
    stack = open(folder / f"stack.{number}", "wb", 0)  # noqa: SIM115  (open as long as this lives)
    faulthandler.enable(stack)  # of a rank that crashes, be it in a thread of gloo's
    faulthandler.register(signal.SIGUSR1, stack, all_threads=False, chain=False)


def _report(number: int, job: _Job) -> bytes:
    try:
        _join(number, job)
        return pack({"value": _run_function(number, job)})
    except BaseException as error:  # sys.exit() included
        frames = [
            (f.filename, f.lineno or 1, f.name) for f in traceback.extract_tb(error.__traceback__)
        ]
        own = [frame for frame in frames if _is_own(frame)]
        described = {"type": type(error).__name__, "text": str(error)[:2_000], "frames": own}
        return pack({"error": described})


def _run_function(number: int, job: _Job) -> Any:
    return job.function(number, job.world_size, *job.args)


def _join(rank: int, job: _Job) -> None:
    """Joins the process group, through a file; gloo's connections are on the loopback device."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    backend = "gloo"
    if torch.cuda.device_count() >= job.world_size and not torch.cuda._is_in_bad_fork():
        torch.cuda.set_device(rank)
        backend = "cpu:gloo,cuda:nccl"
    store, forever = f"file://{job.folder}/store", datetime.timedelta(days=1)
    dist.init_process_group(backend, store, rank=rank, world_size=job.world_size, timeout=forever)
