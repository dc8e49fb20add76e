"""Puts functions out of reach while a student's code runs: "write it without the library's own".

`checks.forbidden` is this module's `forbidden`. It runs where the student's code runs: in the
learner's kernel, or in a `probe`. A function has many names, so names alone are not enough:

* A Python function is refused by its code, so under every name and wherever a reference to it is
  kept. A compiled one (LAPACK, a ufunc) is replaced in all loaded modules of its library and
  among the notebook's names; one that was put into a list or a `partial` before is not found.
* An operation of torch is refused by torch itself, which tells two modes of each call: one what
  Python asks for, `torch.ops` included, the other what is computed in the end, also inside
  compiled functions and in the backward pass.

It is made against short cuts, not against an attack: who switches torch's modes off, computes in a
thread of their own or calls a shared library through ctypes gets past it.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any


class Forbidden(RuntimeError):
    """A function was called that the exercise asks the student to do without."""


@contextmanager
def forbidden(*names: str, operations: tuple[str, ...] = ()) -> Iterator[None]:
    """Makes the named functions, and operations of torch, raise `Forbidden` inside the block.

    Args:
        names: dotted paths such as "torch.nn.functional.softmax", "numpy.linalg.lstsq" or
            "sklearn.linear_model.Ridge.fit"; the last part may have wildcards, as in
            "scipy.linalg.lapack.?gels*". What lies in torch is refused as an operation, too:
            "torch.linalg.pinv" covers `torch.ops.aten.linalg_pinv`.
        operations: further operations of torch, by their names in `torch.ops.aten`, wildcards
            allowed; underscores at either end make no difference ("softmax" is `_softmax`, too).

    >>> with forbidden("numpy.linalg.lstsq", operations=("*scaled_dot_product*",)):
    ...     answer = student_function(x)
    """
    named = _resolved(names)
    patterns = {pattern.strip("_") for pattern in operations}
    for parent, attribute in (name.rpartition(".")[::2] for name in named if name[:6] == "torch."):
        patterns |= {attribute.strip("_"), f"{parent.rpartition('.')[2]}_{attribute.strip('_')}"}
    with ExitStack() as stack:
        compiled = {}
        for name, (holder, attribute, original) in named.items():
            inner = inspect.unwrap(getattr(original, "__func__", original))
            if isinstance(inner, FunctionType):
                stack.callback(setattr, inner, "__code__", inner.__code__)
                code = _refusal(name).__code__
                inner.__code__ = code.replace(co_freevars=inner.__code__.co_freevars)
            elif attribute in vars(holder):
                compiled[id(original)] = original, _refusal(name)
                stack.callback(setattr, holder, attribute, vars(holder)[attribute])
                setattr(holder, attribute, _refusal(name))
            else:  # inherited: Tensor has most of its methods from a base class
                stack.callback(delattr, holder, attribute)
                setattr(holder, attribute, _refusal(name))
        notebook = vars(sys.modules["__main__"])
        places = [*_places(names, len(sys.modules)), *((notebook, key) for key in notebook)]
        for namespace, key in places:
            original, substitute = compiled.get(id(namespace.get(key)), (None, None))
            if original is not None:
                stack.callback(namespace.__setitem__, key, original)
                namespace[key] = substitute
        if any(name.startswith("scipy.linalg.lapack.") for name in named):
            # SciPy remembers what it has looked up, before the block or inside it.
            looked_up = sys.modules["scipy.linalg.lapack"].get_lapack_funcs.memo
            looked_up.clear()
            stack.callback(looked_up.clear)
        if patterns and "torch" in sys.modules:
            for mode in _modes():
                stack.enter_context(mode(frozenset(patterns)))
        yield


@functools.cache
def _resolved(names: tuple[str, ...]) -> dict[str, tuple[Any, str, Any]]:
    """For each function named: where it is an attribute, of what name, and the function itself."""
    found = {}
    for name in names:
        parent, _, last = name.rpartition(".")
        holder = pkgutil.resolve_name(parent)
        attributes = fnmatch.filter(dir(holder), last) if set(last) & set("*?[") else [last]
        if not attributes:
            raise AttributeError(f"{parent} has nothing like {last}")
        for attribute in attributes:
            original = getattr(holder, attribute)
            original = getattr(original, "refused", original)  # by an outer block
            found[f"{parent}.{attribute}"] = holder, attribute, original
            _refusal(f"{parent}.{attribute}").refused = original  # type: ignore[attr-defined]
    return found


@functools.cache
def _places(names: tuple[str, ...], _: int) -> list[tuple[dict[str, Any], str]]:
    """Where else in their libraries these compiled functions are kept.

    The second argument is the number of loaded modules: with another one, it looks again. Classes
    are left alone, because elsewhere in its library a class may stand in an `isinstance`.
    """
    originals = {id(o) for _, _, o in _resolved(names).values() if not isinstance(o, type)}
    libraries = {name.partition(".")[0] for name in names}
    return [
        (namespace, key)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in libraries and isinstance(module, ModuleType)
        for namespace in [vars(module)]
        for key, value in list(namespace.items())
        if id(value) in originals
    ]


@functools.cache
def _refusal(name: str) -> Callable[..., None]:
    """A function that raises `Forbidden`; its code works in the place of any other function's."""
    text = f"this exercise asks you to do without {name}"
    namespace: dict[str, Any] = {}
    source = (
        "def refuse(*_, **__):\n"
        "    from autograder.without import Forbidden\n"
        f"    raise Forbidden({text!r})\n"
    )
    exec(source, namespace)
    refuse: Callable[..., None] = namespace["refuse"]
    return refuse


@functools.cache
def _modes() -> list[Callable[[frozenset[str]], AbstractContextManager[Any]]]:
    """Two modes of torch that refuse operations whose names match one of the patterns."""
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    @functools.cache
    def matches(name: str, patterns: frozenset[str]) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    def call(self: Any, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "").partition(".")[0].strip("_")
        if matches(name, self.patterns):
            raise Forbidden(f"this exercise asks you to do without torch's {name}")
        return function(*args, **(kwargs or {}))

    def start(self: Any, patterns: frozenset[str]) -> None:
        super(type(self), self).__init__()
        self.patterns = patterns

    return [
        type("Asked", (TorchFunctionMode,), {"__init__": start, "__torch_function__": call}),
        type("Computed", (TorchDispatchMode,), {"__init__": start, "__torch_dispatch__": call}),
    ]
