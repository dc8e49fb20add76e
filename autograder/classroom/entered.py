"""What stands in a class's folder already, seen without nbgrader, which takes seconds to import.

`what_is_left` says for each submission whether nothing is left to do, to enter marks that are kept,
or to grade it. It believes neither the record nor the gradebook alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from autograder.classroom.handin import HandIn
from autograder.classroom.marks import Mark, Outline, Roster, open_roster
from autograder.classroom.records import ClassFolder, Record, digest
from autograder.course.database import Unavailable
from autograder.results import Report, Status


class _Standing(Enum):
    """What is left to do for a submission."""

    NOTHING = auto()
    ENTER = auto()
    GRADE = auto()


@dataclass
class Left:
    """What is left to do for a class.

    Attributes:
        to_grade: students.
        to_enter: what is graded; its marks are not in the gradebook.
        done: the reports on the others, by student.
    """

    to_grade: list[str] = field(default_factory=list)
    to_enter: list[Record] = field(default_factory=list)
    done: dict[str, Report] = field(default_factory=dict)


def what_is_left(  # noqa: PLR0913  (what the options of the command leave)
    class_folder: ClassFolder,
    outline: Outline,
    key: str,
    sha256: Callable[[str], str],
    students: Collection[str] = (),
    *,
    gradebook: bool = True,
    force: bool = False,
) -> Left:
    """What is left to do for a class.

    Args:
        key: all that marks depend on besides the submissions.
        sha256: identifies the content of a student's submission.
        students: only these; all if empty.
        gradebook: whether marks have to be in nbgrader's gradebook.
        force: whether to grade what has not changed, too.
    """
    left, chapter = Left(), outline.chapter
    roster = None
    if gradebook:
        with suppress(Unavailable):  # then it is believed to have what the records say
            roster = open_roster(class_folder.gradebook, outline) or Roster()
    for student in class_folder.students(chapter):
        if students and student not in students:
            continue
        record = None if force else class_folder.record(chapter, student)
        if record is not None and record.key != f"{key}/{sha256(student)}":
            record = None
        standing = _standing(record, class_folder, outline, roster, gradebook)
        if record is None or standing is _Standing.GRADE:
            left.to_grade.append(student)
        elif standing is _Standing.ENTER:
            left.to_enter.append(record)
        else:
            left.done[student] = record.report
    return left


def _standing(
    record: Record | None,
    class_folder: ClassFolder,
    outline: Outline,
    roster: Roster | None,
    gradebook: bool,
) -> _Standing:
    """What is left to do for the submission that the record is about.

    Args:
        roster: what the gradebook has; None if it cannot be read.
        gradebook: whether its marks have to be there.
    """
    if record is None or record.report.status is Status.FAILED:
        return _Standing.GRADE
    if not gradebook:
        return _Standing.NOTHING
    report = record.report
    if report.status is Status.REJECTED:
        return _Standing.NOTHING if record.in_gradebook else _Standing.GRADE
    try:
        kept = digest(class_folder.executed(outline, report.student))
    except OSError:
        kept = ""
    if not record.notebook or record.notebook != kept:
        return _Standing.GRADE
    hand_in = HandIn.read(class_folder.submitted / report.student / report.assignment)
    as_entered = (
        record.in_gradebook
        and hand_in.lies_in(class_folder.autograded(report.assignment, report.student))
        and (roster is None or _agree(report, roster.marks.get(report.student)))
    )
    return _Standing.NOTHING if as_entered else _Standing.ENTER


def _agree(report: Report, mark: Mark | None) -> bool:
    """Whether the mark is the report's. What late work costs, only nbgrader can say."""
    return (
        mark is not None
        and mark.has_scores_of(report)
        and not mark.seconds_late
        and not mark.late_penalty
    )
