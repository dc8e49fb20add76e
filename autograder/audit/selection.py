"""Which checks a wrong answer or a mutant can fail: the audit runs no others of these.

Most of them differ from some right answer in one function. A check that reaches that function
neither by name nor through other functions, be they the answer's, the test cell's or given ones,
runs exactly what it runs with the right answer, and that passes. Where the top level of a cell does
something with the function besides defining names, every check counts as reaching it.
"""

from __future__ import annotations

from collections.abc import Sequence

from autograder.course.cells import grade_id, is_demo
from autograder.course.names import LOOSE, Code, definitions
from autograder.course.source import Assignment, Exercise


class CheckSelection:
    """Knows what an exercise's checks reach.

    Args:
        part: what the exercise needs of the chapter (`Assignment.only`).
        right: right texts of the exercise's cell.
    """

    def __init__(self, part: Assignment, exercise: Exercise, right: Sequence[str]):
        self.every = frozenset(check.name for check in exercise.checks)
        self.given: dict[str, Code] = {}
        for cell in part.source.cells:
            code = cell.cell_type == "code" and not is_demo(cell)
            if code and grade_id(cell) != exercise.id:
                for name, found in definitions(cell.source).items():
                    self.given[name] = self.given.get(name, Code()) + found
        self.right = [definitions(text) for text in right]

    def reached(self, text: str) -> frozenset[str]:
        """The checks that reach what `text` defines otherwise than the right answer next to it."""
        try:
            answer = definitions(text)
        except SyntaxError:
            return self.every
        return min((self._reached(answer, right) for right in self.right), key=len)

    def changed(self, text: str) -> frozenset[str]:
        """The names that `text` defines otherwise than the right answer next to it."""
        try:
            answer = definitions(text)
        except SyntaxError:
            return frozenset()
        return min((frozenset(_different(answer, right)) for right in self.right), key=len)

    def _reached(self, answer: dict[str, Code], right: dict[str, Code]) -> frozenset[str]:
        one, other = self.given | answer, self.given | right
        changed = _different(one, other)
        uses = [*one.items(), *other.items()]
        while more := {name for name, code in uses if code.uses & changed} - changed:
            changed |= more
        return self.every if LOOSE in changed else self.every & changed


def _different(one: dict[str, Code], other: dict[str, Code]) -> set[str]:
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
