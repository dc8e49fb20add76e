"""Writes reports into nbgrader's gradebook and its autograded/ folder.

There is one writer: SQLite does not like more, and the first opening of a gradebook must not
be concurrent. What is written is what `nbgrader autograde` would have written, so that formgrader,
feedback and export work as usual; marks given by hand are left alone.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import TracebackType

from nbformat import NotebookNode
from nbgrader.api import Gradebook as NbgraderGradebook
from nbgrader.api import MissingEntry
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SAWarning

from autograder.course.build import make_release, to_json
from autograder.course.cells import grade_id, is_answer, nbgrader_metadata
from autograder.course.source import Assignment, Course
from autograder.engine.submission import is_untouched
from autograder.files import write_whole
from autograder.results import Report


class Gradebook:
    """The gradebook and the autograded/ folder of one class, for one assignment.

    Args:
        course: the course that the assignment belongs to.
        assignment: what was handed out.
        folder: the class's folder; holds submitted/, autograded/ and gradebook.db.
    """

    def __init__(self, course: Course, assignment: Assignment, folder: Path):
        self.assignment = assignment
        self.folder = folder
        url = f"sqlite:///{folder.resolve() / 'gradebook.db'}"
        self._register(course, url)
        self._book = NbgraderGradebook(url)

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._book.close()

    def _register(self, course: Course, url: str) -> None:
        """Makes sure that the gradebook knows the assignment as source/ has it now."""
        wanted = {
            grade_id(cell): cell.metadata.nbgrader.checksum
            for cell in self.assignment.assigned.cells
            if grade_id(cell)
        }
        if (self.folder / "gradebook.db").exists():
            with NbgraderGradebook(url) as book:
                try:
                    notebook = book.find_notebook(
                        self.assignment.notebook_name, self.assignment.name
                    )
                except MissingEntry:
                    pass
                else:
                    if {c.name: c.checksum for c in notebook.source_cells} == wanted:
                        return
        make_release(course, self.assignment, url)

    def write(self, report: Report, notebook: NotebookNode, submitted: Path) -> None:
        """Enters the marks of a graded submission and writes its autograded notebook.

        Args:
            report: with status "graded".
            notebook: as executed.
            submitted: the folder STUDENT/CHAPTER that was handed in; its timestamp.txt, if any,
                says when.
        """
        with warnings.catch_warnings():
            # nbgrader adds its objects in an order that SQLAlchemy warns of; no harm comes of it.
            warnings.simplefilter("ignore", SAWarning)
            try:
                self._write(report, notebook, submitted)
            except BaseException:
                self._book.db.rollback()
                raise

    def has(self, student: str) -> bool:
        """Whether there are marks of this student."""
        try:
            self._book.find_submission(self.assignment.name, student)
        except MissingEntry:
            return False
        return True

    def _write(self, report: Report, notebook: NotebookNode, submitted: Path) -> None:
        name, notebook_name = self.assignment.name, self.assignment.notebook_name
        autograded = self.folder / "autograded" / report.student / name
        write_whole(autograded / f"{notebook_name}.ipynb", to_json(notebook))
        book = self._book
        book.update_or_create_student(report.student)
        when = {}
        text = _timestamp(submitted)
        if text:
            when["timestamp"] = parse_utc(text)
            write_whole(autograded / "timestamp.txt", text)
        book.update_or_create_submission(name, report.student, **when)
        scores = {exercise.id: exercise for exercise in report.exercises}
        for cell in notebook.cells:
            data, identifier = nbgrader_metadata(cell), grade_id(cell)
            if identifier is None:
                continue
            key = (identifier, notebook_name, name, report.student)
            if data.get("grade"):
                grade = book.find_grade(*key)
                grade.auto_score = scores[identifier.removeprefix("test_")].score
                # A mark given by hand may not fit the new submission: a person looks again.
                by_hand = grade.manual_score is not None or grade.auto_score is None
                grade.needs_manual_grade = by_hand
            if is_answer(cell):
                untouched = is_untouched(self.assignment, notebook, identifier)
                book.find_comment(*key).auto_comment = "No response." if untouched else None
        book.db.commit()


def _timestamp(submitted: Path) -> str:
    """When the submission was handed in, as timestamp.txt beside it says; empty if it does not.

    The file comes from outside: it is not followed elsewhere, and what is no date is no date.
    """
    try:
        descriptor = os.open(
            submitted / "timestamp.txt", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        )
        with open(descriptor, "rb") as stream:
            text = stream.read(100).decode("ascii").strip()
        parse_utc(text)
    except (OSError, ValueError):
        return ""
    return text
