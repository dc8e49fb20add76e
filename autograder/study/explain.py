"""What a check cannot say: that something around an answer is not as the learner thinks.

A function that never returns anything, a cell that was edited and not run again, a name that comes
from another cell or from one that is gone. Pure functions of texts and of what ran in this kernel;
each returns sentences that name the function and say what to do. Where it is not sure, it says
nothing.
"""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import linecache
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from autograder.course.names import parse
from autograder.study.chapter import Cell, Exercise

Function = ast.FunctionDef | ast.AsyncFunctionDef
_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Run:
    """A cell that ran in this kernel.

    Attributes:
        cell_id: as the front end gives it; empty if it gives none.
        at: when, in seconds since 1970.
        error: what it stopped with; empty if it ran to its end.
    """

    cell_id: str
    source: str
    at: float
    error: str = ""


@dataclass(frozen=True)
class Saved:
    """The notebook's file: its code cells, and when it was saved, in seconds since 1970."""

    cells: Sequence[Cell]
    at: float

    def text(self, cell_id: str) -> str | None:
        """The cell's text, if the file has that cell."""
        return next((cell.source for cell in self.cells if cell.id == cell_id), None)


def tree(source: str) -> ast.Module:
    """The syntax tree of a cell without its magic commands; empty if Python cannot read it."""
    try:
        return parse(re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE))
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def bound_names(source: str) -> set[str]:
    """The names that a cell binds at its top."""
    found = set()
    for statement in tree(source).body:
        if isinstance(statement, _NAMED):
            found.add(statement.name)
            continue
        for node in ast.walk(statement):
            if isinstance(node, _NAMED):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found |= {(a.asname or a.name).partition(".")[0] for a in node.names}
    return found


def used_names(source: str) -> set[str]:
    """The names that a cell needs from elsewhere in the notebook."""

    def used(code: CodeType) -> Iterator[str]:
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                yield instruction.argval
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                yield from used(inner)

    names = set(used(compile(tree(source), "<cell>", "exec")))
    return names - bound_names(source) - vars(builtins).keys()


def never_returns(source: str, model: str) -> list[str]:
    """The functions in `source` that end without a result, where the one in `model` has one.

    Args:
        model: the reference solution or the exercise's stub. A stub's function is expected to
            return something if its annotation or its docstring says so.
    """
    wanted = {name for name, function in _functions(model) if _should_return(function)}
    return [
        name
        for name, function in _functions(source)
        if name in wanted and not _has_result(function) and not _is_stub(function)
    ]


def _functions(source: str) -> Iterator[tuple[str, Function]]:
    """Functions and methods by qualified name."""
    for statement in tree(source).body:
        if isinstance(statement, Function):
            yield statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, Function):
                    yield f"{statement.name}.{inner.name}", inner


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """What is in the function and not in a function or class inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _NAMED | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _has_result(function: Function) -> bool:
    return any(
        isinstance(node, (ast.Yield, ast.YieldFrom))
        or (
            isinstance(node, ast.Return)
            and node.value is not None
            and not (isinstance(node.value, ast.Constant) and node.value.value is None)
        )
        for node in _own_nodes(function)
    )


def _should_return(function: Function) -> bool:
    if not _is_stub(function):
        return _has_result(function)
    if function.returns is not None:
        return not (isinstance(function.returns, ast.Constant) and function.returns.value is None)
    return bool(re.search(r"\b[Rr]eturns?\b", ast.get_docstring(function) or ""))


def _is_stub(function: Function) -> bool:
    """Whether all that it does is to raise an error, such as NotImplementedError."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return bool(body) and isinstance(body[-1], ast.Raise) and len(body) == 1


def explain(
    exercise: Exercise,
    names: Mapping[str, Any],
    runs: Sequence[Run],
    run: Run | None,
    saved: Saved | None,
) -> list[str]:
    """All that is to be said about an exercise.

    Args:
        names: the notebook's.
        runs: all cells that ran, in order.
        run: the last time that the exercise's cell ran; None if that is not known.
        saved: the notebook's file; None if there is none.
    """
    asked_for = sorted(exercise.answer.defines)
    absent = [name for name in asked_for if name not in names]
    said = []
    if run is not None and run.error:
        said.append(
            f"The cell of {exercise.id} stopped with an error ({run.error}). What comes after the "
            "line with the error did not run, so older versions may still be in use. Mend the "
            "line, run the cell again, then check again."
        )
    elif absent:
        said.append(
            f"{_list(absent)} {'is' if len(absent) == 1 else 'are'} not defined. Run the cell of "
            f"{exercise.id} first, without an error, and keep the names that it came with."
        )
    if run is None:
        return said
    if _is_edited(run, exercise.id, saved):
        said.append(
            f"The cell of {exercise.id} was changed after it last ran. The checks saw the old "
            "version. Run the cell, then check again."
        )
    for name in never_returns(run.source, exercise.model):
        said.append(
            f"`{name}` never returns a result: it has no `return` with a value, so it gives None. "
            "Add one, run the cell, then check again."
        )
    if not run.error:
        said += _defined_elsewhere(asked_for, names, run)
    return said + _helpers(run, names, runs, saved)


def is_outdated(exercise: Exercise, run: Run | None, saved: Saved | None) -> bool:
    """Whether the checks see a version of the answer that the learner has left behind."""
    return run is not None and (bool(run.error) or _is_edited(run, exercise.id, saved))


def _is_edited(run: Run, cell_id: str, saved: Saved | None) -> bool:
    """Whether the file, saved after the run, has another text in the cell."""
    text = saved.text(cell_id) if saved and saved.at > run.at else None
    return text is not None and text.strip() != run.source.strip()


def _defined_elsewhere(asked_for: Sequence[str], names: Mapping[str, Any], run: Run) -> list[str]:
    own = bound_names(run.source)
    said = []
    for name in asked_for:
        text = _text_of_its_cell(names.get(name))
        if text is None or name not in own or text.strip() == run.source.strip():
            continue
        first = next((line.strip() for line in text.splitlines() if line.strip()), "")
        said.append(
            f"`{name}` comes from another cell now, one that begins with `{first[:60]}`. The "
            "checks saw that one. Run the exercise's cell again if you mean that one."
        )
    return said


def _text_of_its_cell(value: object) -> str | None:
    """The text of the cell in which a function or a class of the notebook was defined."""
    members = list(vars(value).values()) if isinstance(value, type) else [value]
    for member in members:
        function = inspect.unwrap(member) if callable(member) else member
        code = getattr(function, "__code__", None)
        entry = linecache.cache.get(code.co_filename) if isinstance(code, CodeType) else None
        if entry is not None and len(entry) > 1 and entry[1] is None:  # typed in: no file's time
            return "".join(entry[2])
    return None


def _helpers(
    run: Run, names: Mapping[str, Any], runs: Sequence[Run], saved: Saved | None
) -> list[str]:
    """What is wrong with names that the answer uses and other cells of the learner's define."""
    if saved is None:
        return []
    said = []
    in_file = set().union(*(bound_names(cell.source) for cell in saved.cells))
    for name in sorted(used_names(run.source) & names.keys()):
        made_by = next(
            (other for other in reversed(runs) if name in bound_names(other.source)), None
        )
        if made_by is None or saved.at <= made_by.at:
            continue
        if name not in in_file:
            said.append(
                f"`{name}` is only in the kernel's memory: the cell that made it was changed or "
                "deleted. After a restart, and when your notebook is graded, it is missing. Put "
                "it back, or do without it."
            )
        elif _is_edited(made_by, made_by.cell_id, saved):
            said.append(
                f"The cell that makes `{name}` was changed after it last ran. Run that cell, then "
                "check again."
            )
    return said


def _list(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
