"""Runs an exercise's checks in the learner's own kernel and leaves nothing behind.

The test cell runs against a copy of the notebook's names, so that what it defines stays apart.
Whatever happens, an interrupt included, names, streams and random numbers are afterwards as they
were before.
"""

from __future__ import annotations

import ast
import linecache
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from autograder import checks
from autograder.checks import Checks
from autograder.course.names import parse

_LANGUAGE = ("Checks", "fail", "forbidden", "probe")  # what test cells import of checks


def run_checks(identifier: str, test: str, names: dict[str, Any]) -> Checks:
    """Runs a test cell's checks; nothing is displayed.

    Args:
        identifier: of the exercise.
        test: the test cell's text.
        names: the notebook's; they are as before when this returns.

    Raises:
        KeyboardInterrupt: if it is stopped outside a check; inside one, the results say so.
        Exception: what the test cell raises outside its checks.
    """
    file = f"<checks of {identifier}>"
    code = compile(_without_score(parse(test)), file, "exec")
    namespace = {**names, **{name: getattr(checks, name) for name in _LANGUAGE}}
    linecache.cache[file] = (len(test), None, test.splitlines(keepends=True), file)
    try:
        with _one_interrupt(), _as_before(names):
            exec(code, namespace)
    finally:
        linecache.cache.pop(file, None)
    check = namespace["check"]
    if not isinstance(check, Checks):
        raise TypeError("the test cell's `check` is no Checks object")
    return check


def _without_score(tree: ast.Module) -> ast.Module:
    """The test cell without its last line, `check.score()`, which displays the table."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Expr) and ast.unparse(node) == "check.score()")
    ]
    return tree


@contextmanager
def _as_before(names: dict[str, Any]) -> Iterator[None]:
    """Puts names, streams, random numbers and torch's defaults back."""
    before = dict(names)
    streams = sys.stdout, sys.stderr
    error_stream, error_file = vars(sys.stderr).copy(), os.dup(2)
    put_back = [_random_state(), _torch_state(), _tensorflow_state()]
    try:
        yield
    finally:
        for name in names.keys() - before.keys():
            del names[name]
        names.update(before)
        sys.stdout, sys.stderr = streams
        if "write" not in error_stream:  # what an interrupt may leave of a patch
            vars(sys.stderr).pop("write", None)
        os.dup2(error_file, 2)
        os.close(error_file)
        for action in put_back:
            action()


def _random_state() -> Any:
    """Reads where the generators of Python and NumPy are; returns what puts them back there."""
    state = random.getstate()
    numpy = sys.modules.get("numpy")
    numpys = numpy.random.get_state() if numpy else None

    def put_back() -> None:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(numpys)

    return put_back


def _torch_state() -> Any:
    """The same for torch's generator on the CPU, default type and gradient mode."""
    torch = sys.modules.get("torch")
    if torch is None:
        return lambda: None
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    with_gradients = torch.is_grad_enabled()

    def put_back() -> None:
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(with_gradients)

    return put_back


def _tensorflow_state() -> Any:
    """The same for the global seeds of TensorFlow and Keras, where loaded.

    Neither has a public way to read them, so this uses private names of the locked versions. What
    an operation with a seed of its own has drawn so far starts anew.
    """
    tensorflow, keras = (
        sys.modules.get(name)
        for name in ("tensorflow.python.eager.context", "keras.src.backend.common.global_state")
    )
    if tensorflow is None or keras is None:
        return lambda: None
    context, tracker = tensorflow.context(), keras.GLOBAL_STATE_TRACKER
    of_tensorflow = {name: getattr(context, name, None) for name in ("_seed", "_rng")}
    names = ("global_random_seed", "global_seed_generator")
    of_keras = {name: keras.get_global_attribute(name) for name in names}

    def put_back() -> None:
        vars(context).update(of_tensorflow)
        vars(tracker).update(of_keras)

    return put_back


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """Makes one interrupt of a stop button that is pressed twice, so that none hits the tidying up.

    After a second, the next one counts again: the learner's code may have caught the first.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -1.0

    def interrupted(*_: object) -> None:
        nonlocal last
        if time.monotonic() - last > 1:
            last = time.monotonic()
            raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        with suppress(TypeError):  # the earlier handler was not Python's
            signal.signal(signal.SIGINT, earlier)
