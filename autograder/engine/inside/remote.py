"""The student's side of a test: answers the judge's calls in the student's kernel.

The grader runs `serve(descriptor)` as if it were a cell, so that calls happen in the main thread,
after the student's cells and with their names. A request is a pickle from the judge, which this
side trusts; a reply is a `wire` message, which the judge does not trust. Everything here is in
the student's hands: it may be replaced, and all that a replacement can do is to give other answers.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import socket
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from autograder.checks import (
    MAX_PRINTED,
    blamed_frame,
    seed_everything,
    suspected_of_none,
    use_float64,
)
from autograder.engine import wire

# Forked kernels find the number of their channel here.
CHANNEL_VARIABLE = "AUTOGRADER_CHANNEL"
# And here, how many characters a cell may print: until they are dropped, and until it is ended.
PRINT_VARIABLE = "AUTOGRADER_PRINT"


def serve() -> None:
    """Answers calls until an empty one comes."""
    channel = socket.socket(fileno=os.dup(int(os.environ[CHANNEL_VARIABLE])))
    with channel:
        while True:
            # An interrupt means the call that runs, never the reading of the next one.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            request = wire.receive_frame(channel)
            if not request:
                return
            reply = _answer(request)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            wire.send_frame(channel, reply)


def look_up(name: str) -> Any:
    """What the student's notebook calls `name`."""
    return vars(sys.modules["__main__"]).get(name, _Missing(name))


class _Missing:
    """Stands for a name that the student has not defined, until somebody uses it."""

    def __init__(self, name: str):
        self._name = name

    def _complain(self) -> None:
        raise NameError(f"name {self._name!r} is not defined")

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self._complain()

    def __getattr__(self, attribute: str) -> None:
        self._complain()


def _answer(request: bytes) -> bytes:
    printed = io.StringIO()
    reply: dict[str, Any] = {}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with redirect_stdout(printed), redirect_stderr(printed):
            start, function, args, kwargs = pickle.loads(request)
            if start is not None:
                seed, float64 = start
                if float64:
                    use_float64(True)
                seed_everything(seed)
            reply["value"] = function(*args, **kwargs)
            reply["printed"] = printed.getvalue()[: MAX_PRINTED + 1]
            return wire.encode(reply)
    except BaseException as error:  # an interrupt and sys.exit() end the call, not the kernel
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return wire.encode(
            {"error": _describe(error), "printed": printed.getvalue()[: MAX_PRINTED + 1]}
        )


def _describe(error: BaseException) -> dict[str, Any]:
    try:
        text = str(error)[:MAX_PRINTED]
    except Exception:
        text = ""
    frame = blamed_frame(error.__traceback__)
    if frame is None and error.__traceback__ and (probe := error.__traceback__.tb_next):
        text = suspected_of_none(error, probe.tb_frame.f_code.co_filename) or text
    where = None if frame is None else (frame.lineno, frame.name, (frame.line or "")[:200])
    return {"type": type(error).__name__[:100], "text": text, "where": where}
