"""Which checks a wrong answer or a mutant can fail: the audit runs no others of these.

Most of them differ from some right answer in one function. A check that reaches that function
neither by name nor through other functions, be they the answer's, the test cell's or given ones,
runs exactly what it runs with the right answer, and that passes. Where the top level of a cell does
something with the function besides defining names, every check counts as reaching it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autograder.course import Assignment, Exercise, grade_id, is_demo

_LOOSE = ""  # stands for all statements that do not define a name


@dataclass(frozen=True)
class _Code:
    """What a cell's statements make of one name.

    Attributes:
        text: of the statements, equal for equal code whatever its layout.
        uses: all names in them.
    """

    text: str = ""
    uses: frozenset[str] = frozenset()

    def __add__(self, other: _Code) -> _Code:
        return _Code(self.text + other.text, self.uses | other.uses)


class CheckSelection:
    """Knows what an exercise's checks reach.

    Args:
        part: what the exercise needs of the chapter (`Assignment.only`).
        right: right texts of the exercise's cell.
    """

    def __init__(self, part: Assignment, exercise: Exercise, right: Sequence[str]):
        self.every = frozenset(check.name for check in exercise.checks)
        self.given: dict[str, _Code] = {}
        for cell in part.source.cells:
            code = cell.cell_type == "code" and not is_demo(cell)
            if code and grade_id(cell) != exercise.id:
                for name, found in _definitions(cell.source).items():
                    self.given[name] = self.given.get(name, _Code()) + found
        self.right = [_definitions(text) for text in right]

    def reached(self, text: str) -> frozenset[str]:
        """The checks that reach what `text` defines otherwise than the right answer next to it."""
        try:
            answer = _definitions(text)
        except SyntaxError:
            return self.every
        return min((self._reached(answer, right) for right in self.right), key=len)

    def _reached(self, answer: dict[str, _Code], right: dict[str, _Code]) -> frozenset[str]:
        one, other = self.given | answer, self.given | right
        changed = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        uses = [*one.items(), *other.items()]
        while more := {name for name, code in uses if code.uses & changed} - changed:
            changed |= more
        return self.every if _LOOSE in changed else self.every & changed


def _definitions(source: str) -> dict[str, _Code]:
    """A cell's statements, by the names that they define or change."""
    found: dict[str, _Code] = {}
    for statement in ast.parse(source).body:
        for node in ast.walk(statement):  # what has no part in what happens
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
                node.body = node.body[1:]
            if isinstance(node, ast.FunctionDef):
                node.returns = None
            if isinstance(node, ast.arg):
                node.annotation = None
        for name, part in _by_name(statement):
            nodes = ast.walk(part)
            uses = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
            found[name] = found.get(name, _Code()) + _Code(ast.dump(part), uses)
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
        yield _LOOSE, statement
