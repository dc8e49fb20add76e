"""Makes the feedback that is due, and releases it: `autograder feedback`.

A page is due when it would say something else than the one that is there: after grading, after a
mark or a comment by hand. nbgrader makes the pages (generate_feedback, with `FeedbackPage`) and
hands them out (release_feedback), one student at a time: a page that cannot be made holds up no
other.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGrader
from nbgrader.apps.api import NbGraderAPI
from nbgrader.utils import notebook_hash
from traitlets.config import Config

from autograder.classroom.feedback_page import KEY, key, read_marks
from autograder.classroom.handin import HandIn
from autograder.course.database import Database
from autograder.course.source import Course, CourseError


@dataclass
class Given:
    """What became of the feedback of an assignment, by student.

    Attributes:
        made: pages made now.
        current: pages that were as they should be.
        released: handed out now.
        not_collected: whose work did not come through the exchange, so that no page can go back.
        problems: what went wrong, in words.
    """

    made: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    not_collected: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def give_feedback(  # noqa: PLR0913  (the options of the command)
    course: Course,
    assignment: str,
    folder: Path,
    *,
    students: Iterable[str] = (),
    mark_schemes: bool = False,
    on_student: Callable[[str], None] = lambda student: None,
) -> Given:
    """Makes and releases the pages that are due.

    Args:
        course: whose nbgrader_config.py holds.
        assignment: a chapter, or another assignment of the class.
        folder: the class's folder, with autograded/.
        students: only these; all if empty.
        mark_schemes: whether the pages show the mark schemes of written questions.
        on_student: called with each student who has been seen to.

    Raises:
        CourseError: if nothing has been graded, a student has not, or mark schemes would be shown
            while work may still be handed in.
        Unavailable: if the gradebook cannot be read now.
    """
    database = Database.of(folder)
    if not database.exists():
        raise CourseError(f"there is no gradebook {database}: grade {assignment} first")
    config = _configuration(course, folder, database.url)
    config.FeedbackPage.mark_schemes = mark_schemes
    api = NbGraderAPI(config=config)
    given = Given()
    with database.explained(), Gradebook(database.url) as book:
        graded = _graded(book, assignment, folder, mark_schemes)
        wanted = sorted(set(students) or graded)
        if missing := [student for student in wanted if student not in graded]:
            raise CourseError(f"{assignment} of {', '.join(missing)} has not been graded")
        giver = _Giver(api, book, assignment, folder, mark_schemes, given)
        for student in wanted:
            try:
                giver.make(student)
                giver.release(student)
            except Exception as error:
                given.problems[student] = database.masked(f"{type(error).__name__}: {error}")
            on_student(student)
    return given


def _configuration(course: Course, folder: Path, url: str) -> Config:
    """nbgrader's configuration for the class: the machine's, the user's, the course's."""
    with chdir(course.root):
        app = NbGrader()
        app.load_config_file()
    config: Config = app.config
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.db_url = url
    return config


def _graded(book: Gradebook, assignment: str, folder: Path, mark_schemes: bool) -> set[str]:
    """Who has marks and an autograded notebook."""
    try:
        entry = book.find_assignment(assignment)
    except MissingEntry:
        raise CourseError(f"nothing of {assignment} has been graded yet") from None
    now = datetime.now(UTC).replace(tzinfo=None)  # nbgrader's times are UTC and do not say so
    if mark_schemes and entry.duedate is not None and now < entry.duedate:
        raise CourseError(
            f"{assignment} is due {entry.duedate:%Y-%m-%d %H:%M} UTC: no mark schemes before that"
        )
    graded = {
        submission.student_id
        for submission in entry.submissions
        if any((folder / "autograded" / submission.student_id / assignment).glob("*.ipynb"))
    }
    if not graded:  # a due date alone makes an assignment in the gradebook
        raise CourseError(f"nothing of {assignment} has been graded yet")
    return graded


@dataclass(frozen=True)
class _Giver:
    """Gives one student after the other what is due."""

    api: NbGraderAPI
    book: Gradebook
    assignment: str
    folder: Path
    mark_schemes: bool
    given: Given

    def make(self, student: str) -> None:
        """Makes the student's pages, if one of them is due."""
        due = False
        for path in (self.folder / "autograded" / student / self.assignment).glob("*.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            marks = read_marks(self.book, notebook, path.stem, self.assignment, student)
            page = self.folder / "feedback" / student / self.assignment / f"{path.stem}.html"
            due = due or _key_of(page) != key(notebook, marks, self.mark_schemes)
        if not due:
            self.given.current.append(student)
            return
        result = self.api.generate_feedback(self.assignment, glob.escape(student), force=True)
        if not result["success"]:
            raise RuntimeError(_last_line(result))
        self.given.made.append(student)

    def release(self, student: str) -> None:
        """Hands out the student's pages, unless they are handed out already."""
        own = self.folder / "feedback" / student / self.assignment
        if not HandIn.read(own).through_the_exchange:
            self.given.not_collected.append(student)
            return
        if all(_is_released(self.api, own, page) for page in own.glob("*.html")):
            return
        result = self.api.release_feedback(self.assignment, glob.escape(student))
        if not result["success"]:
            raise RuntimeError(f"not released: {_last_line(result)}")
        self.given.released.append(student)


def _key_of(page: Path) -> str:
    """What the page that is there was made of; empty if there is none, or nbgrader's own."""
    try:
        with page.open(encoding="utf-8") as stream:
            found = KEY.search(stream.read(2_000))
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""


def _is_released(api: NbGraderAPI, own: Path, page: Path) -> bool:
    """Whether the exchange has this page; not, where the exchange is no folder."""
    if not api.exchange_root:
        return False
    secret = (own / "submission_secret.txt").read_text()
    name = f"{notebook_hash(secret=secret, notebook_id=page.stem)}.html"
    there = Path(api.exchange_root, api.course_id, "feedback", name)
    return there.is_file() and there.read_bytes() == page.read_bytes()


def _last_line(result: dict[str, str]) -> str:
    """What nbgrader said last."""
    lines = (result.get("log") or result.get("error") or "").strip().splitlines()
    return lines[-1] if lines else "nbgrader gave no reason"
