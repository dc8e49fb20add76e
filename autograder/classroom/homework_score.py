"""What nbgrader's rules make of the executed cells of a homework, as a report has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbformat import NotebookNode
from nbgrader.utils import determine_grade

from autograder.course.cells import grade_id
from autograder.engine.homework import decisive
from autograder.engine.sanitize import clean_result
from autograder.results import CheckResult, Code, ExerciseResult, Outcome, Remark
from autograder.words import sentence

MAX_MESSAGE = 500
_STOPPED = (Code.CELL_STOPPED, Code.CELL_TOO_LONG, Code.CELL_NOT_RUN, Code.CELL_AT_THE_END)


@dataclass(frozen=True)
class Cell:
    """A cell with points, as the gradebook knows it.

    `tested` says whether nbgrader makes its mark of the outputs; else a person gives it.
    """

    notebook: str
    name: str
    points: float
    tested: bool
    task: bool

    @property
    def id(self) -> str:
        """Two notebooks may have cells of the same name."""
        return f"{self.notebook}/{self.name}"


def score(
    cells: Sequence[Cell], notebook: NotebookNode | None, notes: list[Remark]
) -> list[ExerciseResult]:
    """The cells' marks as nbgrader makes them; adds a note on each cell that is not there.

    Args:
        notebook: as executed; None if it was not handed in: nbgrader then gives no points.
        notes: what happened to its cells.
    """
    found = {grade_id(cell): cell for cell in (notebook.cells if notebook else [])}
    happened = {note.cell: note for note in notes}
    scored = []
    for own in cells:
        cell, mark = found.get(own.name), None
        if cell is None and notebook is not None:
            notes.append(Remark.of(Code.CELL_MISSING, own.name))
        if notebook is None:
            mark = 0.0
        elif cell is not None and not own.task:
            mark, _ = determine_grade(cell)
        checks = []
        if own.tested:
            outcome, message = _outcome(own, mark or 0, cell, happened.get(own.name))
            points = float(mark or 0)
            result = CheckResult(own.id, own.name, False, outcome, points, own.points, message)
            checks = [clean_result(result)]
        mark = None if mark is None else float(mark)
        scored.append(ExerciseResult(own.id, own.id, mark, own.points, checks))
    return scored


def _outcome(
    own: Cell, score: float, cell: NotebookNode | None, note: Remark | None
) -> tuple[Outcome, str]:
    """What became of a test cell, and why it did not give all points."""
    if cell is None:
        return Outcome.NOT_ATTEMPTED, ""
    if score == own.points:
        return Outcome.PASSED, ""
    if note is not None and note.code in _STOPPED:
        stopped = str(note.arguments.get("outcome", Outcome.TIMED_OUT))
        return Outcome(stopped), sentence(note)
    (output,) = decisive(cell.outputs)
    if output.output_type == "stream":
        return Outcome.FAILED, f"It printed to stderr: {output.text[:MAX_MESSAGE]}"
    if output.output_type == "execute_result":
        return Outcome.FAILED, f"{score:g} of {own.points:g} points"
    message = f"{output.ename}: {output.evalue}"[:MAX_MESSAGE]
    outcomes = {"AssertionError": Outcome.FAILED, "NotImplementedError": Outcome.NOT_ATTEMPTED}
    return outcomes.get(output.ename, Outcome.ERROR), message
