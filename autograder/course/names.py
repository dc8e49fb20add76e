"""What code defines and uses, by names: which cells and checks a change can reach.

Nothing is run. Python's own syntax tree stands for a text, so that layout, comments and docstrings
make no difference.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from dataclasses import dataclass

LOOSE = ""  # stands for all statements that do not define a name
_PARSING = threading.Lock()


def parse(source: str) -> ast.Module:
    """Python's syntax tree of a text, in one thread at a time.

    Python 3.11 counts the depth of a tree that it makes for all threads together, and raises a
    SystemError if another one has made trees meanwhile (python/cpython#106905).

    Raises:
        SyntaxError: if it is not Python.
    """
    with _PARSING:
        return ast.parse(source)


@dataclass(frozen=True)
class Code:
    """What a cell's statements make of one name.

    Attributes:
        text: of the statements, equal for equal code whatever its layout.
        uses: all names in them.
    """

    text: str = ""
    uses: frozenset[str] = frozenset()

    def __add__(self, other: Code) -> Code:
        return Code(self.text + other.text, self.uses | other.uses)


def what_happens(source: str) -> ast.Module:
    """The syntax tree of a text without docstrings and types, which have no part in what happens.

    Raises:
        SyntaxError: if it is not Python.
    """
    tree = parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body = node.body[1:]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return tree


def definitions(source: str) -> dict[str, Code]:
    """A cell's statements, by the names that they define or change.

    Raises:
        SyntaxError: if the cell is not Python.
    """
    found: dict[str, Code] = {}
    for statement in what_happens(source).body:
        for name, part in _by_name(statement):
            nodes = ast.walk(part)
            uses = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
            found[name] = found.get(name, Code()) + Code(ast.dump(part), uses)
    return found


def _by_name(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    """The names that a statement defines or changes, each with the part of it that does."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        yield statement.name, statement
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        module = statement.module if isinstance(statement, ast.ImportFrom) else None
        for alias in statement.names:
            name = (alias.asname or alias.name).partition(".")[0]
            yield name, ast.ImportFrom(module, [alias], 0) if module else ast.Import([alias])
    elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            for node in ast.walk(target):
                if isinstance(node, ast.Name):
                    yield node.id, statement
    else:
        yield LOOSE, statement
