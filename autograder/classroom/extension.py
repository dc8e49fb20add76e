"""More time for one student: `autograder student extend`.

nbgrader keeps an extension at the student's submission, as a time after the due date; before the
first grading there is no submission. Here, one without notebooks is made then. Whoever asks for
marks does not see it, and cells may still be added to the chapter. `complete` gives it the rest
when it is graded.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from nbgrader.api import (
    Comment,
    Grade,
    Gradebook,
    InvalidEntry,
    MissingEntry,
    SubmittedAssignment,
    SubmittedNotebook,
)

from autograder.classroom.exchange import Exchange
from autograder.classroom.records import ClassFolder
from autograder.course.database import Unavailable, transaction
from autograder.course.source import CourseError
from autograder.engine.handed_in import name_problem

EXAMPLE = "2027-01-17 23:59 Europe/Berlin"


def parse_time(text: str) -> datetime:
    """A time such as `EXAMPLE` in UTC, without saying so, as nbgrader has it; UTC without a zone.

    Raises:
        CourseError: if that is none. nbgrader itself takes a zone that it does not know for UTC.
    """
    day, hour, zone, *more = [*text.split(), "", "", ""]
    try:
        if any(more):
            raise ValueError
        local = datetime.strptime(f"{day} {hour}", "%Y-%m-%d %H:%M")
        return local.replace(tzinfo=ZoneInfo(zone or "UTC")).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, LookupError, OSError, OverflowError):
        raise CourseError(f"{text!r} is not written as in --until {EXAMPLE!r}") from None


def extend(
    class_folder: ClassFolder,
    exchange: Exchange,
    student: str,
    chapter: str,
    more: datetime | timedelta,
) -> tuple[datetime | None, timedelta]:
    """Gives a student more time, in the place of what they were given before.

    Args:
        chapter: or a homework.
        more: until when, in UTC; or for how long after the due date, where zero takes back what
            was given.

    Returns:
        The due date of the others, in UTC, and how much later the student's is.

    Raises:
        CourseError: if nobody knows the student, if there is no due date or the time asked for is
            not later, or if the gradebook cannot be used now.
    """
    database = class_folder.gradebook
    try:
        if not database.exists():
            raise _no_due_date(chapter)
        with database.explained(), Gradebook(database.url) as book, transaction(book):
            is_listed = any(known.id == student for known in book.students)
            if not is_listed and not _has_handed_in(class_folder, exchange, student):
                raise CourseError(f"{student} is not on the class list and has handed in nothing")
            due = _due_date(book, chapter)
            given = _after(due, more, chapter)
            if not is_listed:
                book.add_student(student)
            _submission(book, chapter, student).extension = given or None
            return due, given
    except (Unavailable, InvalidEntry) as error:
        said = database.masked(str(error))
        raise CourseError(f"the gradebook cannot be used now: {said}") from error


def complete(book: Gradebook, chapter: str, student: str) -> None:
    """Gives a submission that an extension has made all that marks are entered into.

    Whoever calls it commits.
    """
    try:
        submission = book.find_submission(chapter, student)
    except MissingEntry:
        return
    if submission.notebooks:
        return
    with book.db.no_autoflush:  # SQLAlchemy warns of what is not whole yet
        for notebook in submission.assignment.notebooks:  # as nbgrader's `add_submission`
            own = SubmittedNotebook(notebook=notebook, assignment=submission)
            for cell in (*notebook.grade_cells, *notebook.task_cells):
                Grade(cell_id=cell.id, notebook=own)
            for cell in (*notebook.solution_cells, *notebook.task_cells):
                Comment(cell_id=cell.id, notebook=own)
            book.db.add(own)
    book.db.flush()


def _due_date(book: Gradebook, chapter: str) -> datetime | None:
    try:
        due: datetime | None = book.find_assignment(chapter).duedate
    except MissingEntry:
        return None
    return due


def _after(due: datetime | None, more: datetime | timedelta, chapter: str) -> timedelta:
    """How long after the due date."""
    if due is None:
        if isinstance(more, datetime) or more:
            raise _no_due_date(chapter)
        return more
    if isinstance(more, timedelta):
        return more
    if more <= due:
        raise CourseError(
            f"{chapter} is due at {due:%Y-%m-%d %H:%M} UTC for everybody, which is no earlier"
        )
    return more - due


def _no_due_date(chapter: str) -> CourseError:
    return CourseError(
        f"{chapter} has no due date, which an extension begins at; "
        f"`nbgrader db assignment add {chapter} --duedate ...` sets one"
    )


def _has_handed_in(class_folder: ClassFolder, exchange: Exchange, student: str) -> bool:
    if name_problem(student):
        return False
    folder = class_folder.submitted
    collected = folder.is_dir() and any(path.name == student for path in folder.iterdir())
    return collected or bool(exchange.submissions(student))


def _submission(book: Gradebook, chapter: str, student: str) -> SubmittedAssignment:
    try:
        return book.find_submission(chapter, student)
    except MissingEntry:
        submission = SubmittedAssignment(
            assignment=book.find_assignment(chapter), student=book.find_student(student)
        )
        book.db.add(submission)
        return submission
