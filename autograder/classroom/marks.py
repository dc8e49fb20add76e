"""What a mark is: what nbgrader's gradebook has, whoever entered it.

Checks are marked by the engine, written answers by a person in formgrader, who may also change
what the engine gave; nbgrader's plug-in takes something off for late work. All of them write into
the gradebook, so it is the one source of marks. Report, tables and JSON show the `Mark`s that are
read here; the engine's `Report` says what the checks found. Only a class that is graded without a
gradebook has its marks from the reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from autograder.course.cells import grade_id, nbgrader_metadata
from autograder.course.database import Database, Execute
from autograder.results import Report

if TYPE_CHECKING:
    from autograder.course.source import Assignment

SMALL = 1e-9
EPOCH = datetime(1970, 1, 1)  # in SQLite, SQLAlchemy keeps a duration as a time after it

_NAMES = "SELECT id, first_name, last_name FROM student"
_MARKS = """
    SELECT submitted.student_id, submitted.timestamp, submitted.extension, assignment.duedate,
        notebook.id, notebook.late_submission_penalty, source.name, cell.name,
        COALESCE(grade_cells.max_score, task_cells.max_score),
        grade.auto_score, grade.manual_score, grade.extra_credit, grade.needs_manual_grade
    FROM submitted_assignment submitted
    JOIN assignment ON assignment.id = submitted.assignment_id
    JOIN submitted_notebook notebook ON notebook.assignment_id = submitted.id
    JOIN notebook source ON source.id = notebook.notebook_id
    JOIN grade ON grade.notebook_id = notebook.id
    JOIN base_cell cell ON cell.id = grade.cell_id
    LEFT JOIN grade_cells ON grade_cells.id = cell.id
    LEFT JOIN task_cells ON task_cells.id = cell.id
    WHERE assignment.name = :chapter
        AND (CAST(:student AS VARCHAR) IS NULL OR submitted.student_id = :student)
"""


class _Row(NamedTuple):
    """What `_MARKS` selects; times are text in SQLite."""

    student: str
    timestamp: str | datetime | None
    extension: str | timedelta | None
    due: str | datetime | None
    id: str
    late_penalty: float | None
    notebook: str
    cell: str
    max_score: float
    by_checks: float | None
    by_hand: float | None
    extra: float | None
    waiting: bool | int | None


@dataclass(frozen=True)
class Outline:
    """As much of a chapter as its marks and the report need; a chapter takes seconds to read.

    A homework of the teacher's own (homework.py) has one, too.

    Attributes:
        exercises: id, title, and whether a person marks it.
        first_written: what leads formgrader's page to the first written answer; empty if there is
            none.
        notebooks: their names.
        judged: whether a process without the student's code decides on the marks; not in a
            homework, where the cells with points are the exercises: NOTEBOOK/CELL.
    """

    chapter: str
    title: str
    exercises: tuple[tuple[str, str, bool], ...]
    first_written: str
    notebooks: tuple[str, ...]
    judged: bool = True

    @classmethod
    def of(cls, assignment: Assignment) -> Outline:
        """Of a chapter that has been read."""
        exercises = tuple((e.id, e.title, e.test_id is None) for e in assignment.exercises)
        first, notebooks = _first_written(assignment), (assignment.notebook_name,)
        return cls(assignment.name, assignment.title, exercises, first, notebooks)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Outline:
        """The inverse of `dataclasses.asdict`, by way of JSON."""
        exercises = tuple((str(id), str(title), bool(w)) for id, title, w in data["exercises"])
        return cls(
            str(data["chapter"]),
            str(data["title"]),
            exercises,
            str(data["first_written"]),
            tuple(map(str, data["notebooks"])),
            bool(data["judged"]),
        )

    def exercise(self, notebook: str, cell: str) -> str:
        """The id of the exercise that the cell with this grade id gives points for."""
        return cell.removeprefix("test_") if self.judged else f"{notebook}/{cell}"


@dataclass(frozen=True)
class ExerciseMark:
    """The mark of one exercise.

    Attributes:
        by_checks: as the engine gave it; None for a written answer, unless it is empty.
        by_hand: as a person gave it, which then counts; None if nobody did.
        extra: points that a person added.
        waiting: whether a person has to look at it.
    """

    id: str
    title: str
    max_score: float
    written: bool
    by_checks: float | None
    by_hand: float | None = None
    extra: float = 0.0
    waiting: bool = False

    @property
    def score(self) -> float | None:
        """What counts; None if there is no mark yet."""
        given = self.by_checks if self.by_hand is None else self.by_hand
        return None if given is None else given + self.extra

    @property
    def look_again(self) -> bool:
        """Whether a person gave a mark that may not fit any more."""
        if self.by_hand is None:
            return False
        return self.waiting or self.by_hand > self.max_score + SMALL

    @property
    def why_again(self) -> str:
        """What may not fit, e.g. "1.2 Scale: 4 by hand, more than the 1 that the checks give"."""
        given = self.by_hand or 0.0
        said = f"{self.title}: {given:g} by hand"
        if given > self.max_score + SMALL:
            return f"{said}, more than the {self.max_score:g} that there are"
        if self.by_checks is None:
            return f"{said}, for an answer that has changed since"
        if self.written:  # the engine marks an empty answer only
            return f"{said}, but the answer is empty"
        if given > self.by_checks:
            return f"{said}, more than the {self.by_checks:g} that the checks give"
        return f"{said}, but the checks give {self.by_checks:g}"


@dataclass(frozen=True)
class Mark:
    """The mark of one submission.

    Attributes:
        exercises: in the chapter's order.
        late_penalty: what nbgrader's plug-in takes off.
        seconds_late: after the due date, the student's extension included.
        place: where formgrader shows the submission, after the server's address; it leads to the
            first written answer. Empty without a gradebook.
    """

    exercises: tuple[ExerciseMark, ...]
    late_penalty: float = 0.0
    seconds_late: float = 0.0
    place: str = ""

    @classmethod
    def of(cls, report: Report) -> Mark:
        """As the report has it, where there is no gradebook."""
        return cls(
            tuple(
                ExerciseMark(
                    exercise.id,
                    exercise.title,
                    exercise.max_score,
                    exercise.written,
                    exercise.score,
                    waiting=exercise.score is None,
                )
                for exercise in report.exercises
            )
        )

    @property
    def checks(self) -> float:
        """Points for exercises with checks, a person's changes included."""
        return sum(e.score or 0.0 for e in self.exercises if not e.written)

    @property
    def written(self) -> float:
        """Points for written answers."""
        return sum(e.score or 0.0 for e in self.exercises if e.written)

    @property
    def score(self) -> float:
        """All points, less the late penalty: what `nbgrader export` calls the score."""
        return max(0.0, self.checks + self.written - self.late_penalty)

    @property
    def max_score(self) -> float:
        """All points that there are."""
        return sum(exercise.max_score for exercise in self.exercises)

    @property
    def waiting(self) -> list[str]:
        """Ids of the exercises that wait for a person."""
        return [exercise.id for exercise in self.exercises if exercise.waiting]

    def has_scores_of(self, report: Report) -> bool:
        """Whether the checks' scores are those of the report."""
        mine = {e.id: e.by_checks for e in self.exercises}
        theirs = {e.id: e.score for e in report.exercises}
        return mine.keys() == theirs.keys() and all(
            _same(mine[id], score) for id, score in theirs.items()
        )

    def as_json(self) -> dict[str, Any]:
        """For other programs."""
        return {
            "checks": self.checks,
            "written": self.written,
            "late_penalty": self.late_penalty,
            "score": self.score,
            "max_score": self.max_score,
            "waiting": self.waiting,
            "look_again": [
                {"exercise": e.id, "by_hand": e.by_hand, "by_checks": e.by_checks}
                for e in self.exercises
                if e.look_again
            ],
        }


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < SMALL


@dataclass(frozen=True)
class Roster:
    """The class as the gradebook knows it.

    Attributes:
        names: of all students, by id; empty where the gradebook has none.
        marks: of those who have one, by id.
    """

    names: dict[str, str] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)


def open_roster(gradebook: Database, outline: Outline) -> Roster | None:
    """Everybody in the class's gradebook, with their marks; None if it has no gradebook.

    nbgrader, which takes seconds to import, is not needed for that.

    Raises:
        Unavailable: if it cannot be read now.
    """
    with gradebook.reading() as execute:
        if execute is None:
            return None
        # Sorted here: databases have orders of their own.
        rows = sorted((str(student), *rest) for student, *rest in execute(_NAMES, {}))
        names = {student: " ".join(filter(None, rest)) for student, *rest in rows}
        return Roster(names, read_marks(execute, outline))


def read_marks(execute: Execute, outline: Outline, student: str | None = None) -> dict[str, Mark]:
    """The marks for one chapter, by student.

    Students whom nbgrader has entered without grading them, as when it failed, have none.

    Args:
        execute: asks the gradebook.
        student: only this one; all if None.
    """
    asked = {"chapter": outline.chapter, "student": student}
    rows: dict[str, list[_Row]] = {}
    for found in execute(_MARKS, asked):
        row = _Row(*found)
        if row.notebook not in outline.notebooks:
            continue
        rows.setdefault(row.student, []).append(row)
    made = {student: _mark(found, outline) for student, found in rows.items()}
    return {student: mark for student, mark in made.items() if mark is not None}


def _mark(rows: Sequence[_Row], outline: Outline) -> Mark | None:
    by_id = {outline.exercise(row.notebook, row.cell): row for row in rows}
    found = []
    for id, title, written in outline.exercises:
        if (row := by_id.get(id)) is None:
            continue
        found.append(
            ExerciseMark(
                id,
                title,
                row.max_score,
                written,
                row.by_checks,
                row.by_hand,
                row.extra or 0.0,
                bool(row.waiting),
            )
        )
    tested = found
    if outline.judged:  # of a homework, the student may have deleted the cells that test it
        tested = [e for e in found if not e.written] or found
    if all(exercise.score is None for exercise in tested) and any(not e.written for e in found):
        return None
    # What formgrader is to show; databases have orders of their own.
    written_ones = (by_id[e.id] for e in found if e.written)
    first = next(written_ones, min(rows, key=lambda row: outline.notebooks.index(row.notebook)))
    penalties = {row.id: row.late_penalty or 0.0 for row in rows}
    late = 0.0
    if first.timestamp and first.due:
        due = _time(first.due) + _duration(first.extension)
        late = max(0.0, (_time(first.timestamp) - due).total_seconds())
    place = f"formgrader/submissions/{first.id}/{outline.first_written}"
    return Mark(tuple(found), sum(penalties.values()), late, place)


def _time(kept: str | datetime) -> datetime:
    return kept if isinstance(kept, datetime) else datetime.fromisoformat(kept)


def _duration(kept: str | timedelta | None) -> timedelta:
    if kept is None or isinstance(kept, timedelta):
        return kept or timedelta()
    return datetime.fromisoformat(kept) - EPOCH


def _first_written(assignment: Assignment) -> str:
    """What leads formgrader's page to the first written answer; empty if there is none.

    The page scrolls to the field that `index` counts, as its own "next" does. Without its
    scripts, the browser goes to the field's id.
    """
    written = next((e.id for e in assignment.exercises if e.test_id is None), None)
    if written is None:
        return ""
    index = 1  # the link to the next submission
    for cell in assignment.assigned.cells:
        data = nbgrader_metadata(cell)
        if grade_id(cell) == written:
            break
        index += 2 * bool(data.get("grade")) + bool(data.get("solution"))
    return f"?index={index}#{written}"
