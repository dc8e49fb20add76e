"""Runs test cells in a trusted process, outside the student's.

Hidden tests, expected values and marks exist here and in the grader, never where student code
runs. The judge runs the assignment's set-up cells and test cells; each name that the student
defines is a `Proxy`, and a call of it, like a `probe`, goes to the student's kernel as a pickle
and comes back as `wire` data, through the grader, which holds the clock. A judge is forked for each
submission. The audit has answers that need not be distrusted: their cells run in the judge itself
(audit/in_process.py), and a call is then just a call.

The grader's frames: one JSON object with the proxies' names, at which all begins afresh; then one
for each cell to run, with the names of checks that an earlier judge has run already. The judge's
begin with a letter (see wire.py). It says of a check what only it can know: the outcome, and what
the student may read about it. Title, hint and points are the chapter's, and the grader knows them.
"""

from __future__ import annotations

import builtins
import functools
import io
import json
import linecache
import os
import signal
import socket
import sys
import traceback
import types
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from typing import Any, TypeVar

import cloudpickle

from autograder import checks
from autograder.checks import CallLost, Checks, StudentError
from autograder.engine import wire
from autograder.engine.inside.remote import look_up
from autograder.engine.wire import BROKEN, CALL, CHECK, DONE, RESULT, CallResult
from autograder.results import CheckResult, Outcome

T = TypeVar("T")

_LOST = {
    CallResult.TIMED_OUT: Outcome.TIMED_OUT,
    CallResult.OUT_OF_MEMORY: Outcome.OUT_OF_MEMORY,
    CallResult.KERNEL_DIED: Outcome.KERNEL_DIED,
}


class Proxy:
    """A name that the student defines: calling it calls the student's function."""

    def __init__(self, name: str, channel: _Channel):
        self._name = name
        self._channel = channel
        self.__module__ = "__main__"  # as the student's own function has it

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._channel.call(self, args, kwargs)

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(
            f"{self._name}.{attribute} is in the student's process; a probe can reach it"
        )


class _Channel:
    """The way to the student's process, through the grader: `checks.judge` in this process."""

    def __init__(self, channel: socket.socket):
        self.socket = channel
        self.by_reference: dict[int, tuple[str, object]] = {}  # set-up objects, by id, with names
        self.done: frozenset[str] = frozenset()  # checks that an earlier judge has run
        self.float64 = False
        self._seed: int | None = None
        self._printed = ""

    def begin(self, check: str, seed: int) -> bool:
        self._seed, self._printed = seed, ""
        if check in self.done:
            return False
        wire.send_frame(self.socket, CHECK + check.encode())
        signal.signal(signal.SIGINT, signal.default_int_handler)  # means that check
        return True

    def end(self, result: CheckResult) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        said = {name: getattr(result, name) for name in wire.SAID_OF_A_CHECK}
        wire.send_frame(self.socket, RESULT + json.dumps(said).encode())

    def printed(self) -> str:
        return self._printed

    def call(
        self,
        function: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> T:
        request = io.BytesIO()
        start = None if self._seed is None else (self._seed, self.float64)
        _Pickler(request, self).dump((start, function, args, kwargs or {}))
        self._seed = None  # only once a check
        wire.send_frame(self.socket, CALL + request.getvalue())
        answer = wire.receive_frame(self.socket)
        kind = CallResult(answer[:1].decode())
        if kind is not CallResult.REPLY:
            raise CallLost(_LOST[kind])
        try:
            reply = wire.decode(answer[1:])
            self._printed += str(reply.get("printed", ""))[: checks.MAX_PRINTED + 1]
            if "error" not in reply:
                value: T = reply["value"]
                return value
            described = reply["error"]
            where = described["where"]
            if where is not None:
                where = (int(where[0]), str(where[1])[:100], str(where[2])[:200])
            error = _student_error(str(described["type"])[:100], str(described["text"]), where)
        except (
            wire.Malformed,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as bad:
            error = _student_error("ValueError", f"its result is not plain data: {bad}", None)
        raise error


class _NoChannel(_Channel):
    """For a judge in whose process the answers are, too: a call is just a call."""

    def call(
        self,
        function: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
    ) -> T:
        return function(*args, **(kwargs or {}))


def _student_error(name: str, text: str, where: tuple[int, str, str] | None) -> StudentError:
    kind: type[StudentError] = StudentError
    builtin = getattr(builtins, name, None)
    if isinstance(builtin, type) and issubclass(builtin, Exception):
        kind = type(name, (StudentError, builtin), {})  # so that a check can expect a ValueError
    try:
        error = kind(text)
    except TypeError:  # UnicodeDecodeError and the like want more
        error = StudentError(text)
    error.type_name, error.where, error.text = name, where, text[: checks.MAX_PRINTED]
    return error


def _imported_submodules(
    code: types.CodeType, dependencies: Iterable[object]
) -> list[types.ModuleType]:
    """Modules that a function reaches as attributes of packages, as in `a.b.f` after `import a`.

    cloudpickle looks through all of `sys.modules` for them, for every function that it sends: with
    torch and TensorFlow loaded, a tenth of a submission's time. This finds the same ones by name.
    """
    found = []
    modules = [module for module in dependencies if isinstance(module, types.ModuleType)]
    packages = [module.__name__ for module in modules if module.__package__]
    for package in packages:  # grows
        for name in code.co_names:
            if (module := sys.modules.get(f"{package}.{name}")) is not None:
                found.append(module)
                packages.append(module.__name__)
    return found


cloudpickle.cloudpickle._find_imported_submodules = _imported_submodules


class _Pickler(cloudpickle.Pickler):
    """Sends proxies and what set-up cells define by name: the student's process has them, too."""

    def __init__(self, file: io.BytesIO, channel: _Channel):
        super().__init__(file)
        self._channel = channel

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Proxy):
            return look_up, (obj._name,)
        if id(obj) in self._channel.by_reference:
            name, _ = self._channel.by_reference[id(obj)]
            return look_up, (name,)
        return super().reducer_override(obj)


def run(channel: socket.socket) -> None:
    """Runs what the grader sends until it closes the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if tensorflow := sys.modules.get("tensorflow"):
        # Optimising TensorFlow's functions pays where they run long. An option that holds for all
        # of them, those that read data sets included, is one set before anything has run.
        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        while True:
            cell = json.loads(wire.receive_frame(channel))
            if "names" in cell:
                names = cell["names"]  # null: the answers run here, too
                way = _NoChannel(channel) if names is None else _Channel(channel)
                checks.judge = way
                checks.use_float64(False)
                proxies = {name: Proxy(name, way) for name in names or ()}
                main = sys.modules["__main__"] = types.ModuleType("__main__")
                vars(main).update(proxies)
                continue
            try:
                way.done = frozenset(cell["done"])
                way.float64 = cell["float64"]
                if way.float64:
                    checks.use_float64(True)
                os.environ[checks.SEED_VARIABLE] = str(cell["seed"])
                before = dict(vars(main))
                with suppress(Exception, SystemExit) if cell["answer"] else nullcontext():
                    _run_cell(cell["id"], cell["source"], vars(main))
                if cell["test"]:
                    if not isinstance(vars(main).pop("check"), Checks):
                        raise TypeError("check is no Checks object")
                    # A test may have used a name that a later exercise defines.
                    vars(main).update(proxies)
                else:
                    _remember(way, before, vars(main))
                wire.send_frame(channel, DONE)
            except Exception:
                wire.send_frame(channel, BROKEN + traceback.format_exc().encode())
    except EOFError:
        return


def _run_cell(identifier: str, source: str, namespace: dict[str, Any]) -> None:
    name = f"<{identifier}>"
    lines = source.splitlines(keepends=True)
    linecache.cache[name] = (len(source), None, lines, name)
    exec(_compiled(source, name), namespace)


_compiled = functools.cache(functools.partial(compile, mode="exec"))  # trials run a cell again


def _remember(channel: _Channel, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Keeps the classes and functions that a set-up cell has defined."""
    for name, value in after.items():
        new = before.get(name) is not value
        if new and isinstance(value, (type, types.FunctionType)) and value.__module__ == "__main__":
            channel.by_reference[id(value)] = name, value
