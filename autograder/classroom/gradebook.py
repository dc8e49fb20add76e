"""Writes reports into nbgrader's gradebook and its autograded/ folder.

What is written is what `nbgrader autograde` would have written, so that formgrader, feedback and
export work as usual; marks given by hand are left alone. There is one writer, and each submission
is one transaction: whatever ends it, the gradebook has the old marks or the new ones.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_core.application import JupyterApp
from nbformat import NotebookNode
from nbgrader.api import Assignment as AssignmentEntry
from nbgrader.api import Grade, MissingEntry, SubmittedAssignment, SubmittedNotebook
from nbgrader.api import Gradebook as NbgraderGradebook
from nbgrader.apps.baseapp import NbGrader
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import parse_utc
from sqlalchemy import select, text
from sqlalchemy.exc import SAWarning, SQLAlchemyError
from traitlets.config import Application, Config

from autograder.classroom.extension import complete
from autograder.classroom.handin import HandIn
from autograder.classroom.history import Snapshot, asks_a_person
from autograder.classroom.marks import Mark, Outline, read_marks
from autograder.course.build import make_release, to_json
from autograder.course.cells import grade_id, is_answer, nbgrader_metadata
from autograder.course.database import Database, transaction
from autograder.course.source import Assignment, Course, CourseError
from autograder.engine.submission import is_untouched
from autograder.files import umask_kept
from autograder.results import Report

log = logging.getLogger(f"{__name__}.late")
log.setLevel(logging.ERROR)  # nbgrader warns of each late submission; the report lists them


class Gradebook:
    """The gradebook and the autograded/ folder of one class, for one assignment.

    The gradebook is opened when it is first needed, and made if there is none. What a chapter and
    a homework differ in is left to `ChapterGradebook` and homework_gradebook.py.

    Args:
        course: the course that the assignment belongs to.
        outline: of what was handed out.
        folder: the class's folder; holds submitted/ and autograded/.
    """

    def __init__(self, course: Course, outline: Outline, folder: Path):
        self.folder = folder
        self._course = course
        self._outline = outline
        self._database = Database.of(folder)
        self._opened: NbgraderGradebook | None = None

    def __enter__(self) -> Gradebook:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            self._opened.close()

    def open(self) -> NbgraderGradebook:
        """The gradebook, which is there and knows the assignment.

        Raises:
            Unavailable: if another program holds it, its server cannot be reached, the disk is
                full, or it is no gradebook.
            CourseError: if nbgrader refuses the source.
        """
        with self._database.explained():
            self._database.probe()
            if self._opened is None:
                self._database.make()
                self._register(self._database.url)
                self._opened = NbgraderGradebook(self._database.url)
            return self._opened

    def _register(self, url: str) -> None:
        """Makes sure that the gradebook knows the assignment."""
        raise NotImplementedError

    def _enter_scores(
        self, book: NbgraderGradebook, report: Report, notebooks: Mapping[str, NotebookNode]
    ) -> None:
        """Enters what checks give, and which answers are empty."""
        raise NotImplementedError

    @cached_property
    def _config(self) -> Config:
        return nbgrader_config(self._course.root, self.folder)

    def write_notebooks(
        self,
        student: str,
        notebooks: Mapping[str, NotebookNode],
        files: Mapping[str, bytes],
        submitted: Path,
    ) -> dict[str, bytes]:
        """Writes a graded submission's notebooks, as executed, into autograded/.

        Args:
            files: what lies beside them.
            submitted: the folder STUDENT/CHAPTER that was handed in; see handin.py.

        Returns:
            The notebooks as written, by name.

        Raises:
            OSError: if the disk is full, say.
        """
        written = {name: to_json(notebook).encode() for name, notebook in notebooks.items()}
        folder = self.folder / "autograded" / student / self._outline.chapter
        named = {f"{name}.ipynb": data for name, data in written.items()}
        HandIn.read(submitted).write(folder, {**files, **named})
        return written

    def mark(self, student: str) -> Mark | None:
        """The student's mark now.

        Raises:
            Unavailable: if another program holds the gradebook, say.
        """
        book = self.open()
        with self._database.explained():
            try:
                return find_mark(book, self._outline, student)
            finally:
                book.db.remove()  # no transaction stays open

    def enter(
        self,
        report: Report,
        notebooks: Mapping[str, NotebookNode],
        submitted: Path,
        known: Snapshot | None,
        new_answers: Mapping[str, str],
    ) -> None:
        """Enters the marks of a graded submission, all or none; a second time changes nothing.

        Args:
            report: with status "graded".
            notebooks: as executed, by name.
            submitted: the folder STUDENT/CHAPTER that was handed in; see handin.py.
            known: the mark before, with the answers that it was given for.
            new_answers: the fingerprints of the answers that were graded now.

        Raises:
            Unavailable: if another program holds the gradebook, say.
            CourseError: if the late penalty's plug-in fails.
        """
        book = self.open()
        with self._database.explained(), warnings.catch_warnings(), transaction(book):
            # nbgrader adds its objects in an order that SQLAlchemy warns of; no harm comes of it.
            warnings.simplefilter("ignore", SAWarning)
            name, hand_in = self._outline.chapter, HandIn.read(submitted)
            _hold_grades(book, name, report.student)
            before = find_mark(book, self._outline, report.student)
            book.update_or_create_student(report.student)
            when = {"timestamp": parse_utc(hand_in.date)} if hand_in.date else {}
            book.update_or_create_submission(name, report.student, **when)
            complete(book, name, report.student)
            self._enter_scores(book, report, notebooks)
            ask_persons(book, self._outline, report.student, before, known, new_answers)
            book.db.flush()
            book.db.expire_all()  # sums of scores are the database's
            self._assign_late_penalties(book, report.student, notebooks)

    def _assign_late_penalties(
        self, book: NbgraderGradebook, student: str, notebooks: Collection[str]
    ) -> None:
        """As nbgrader's AssignLatePenalties does, for each notebook that was handed in.

        That opens the gradebook anew, where what this transaction has done is not to be seen yet.
        """
        name = self._outline.chapter
        submission = book.find_submission(name, student)
        is_due = submission.assignment.duedate is not None  # else nbgrader fails at an extension
        seconds = submission.total_seconds_late if is_due else 0
        for notebook in submission.notebooks:
            notebook.late_submission_penalty = None
        if not seconds:
            return
        try:
            penalties = AssignLatePenalties(config=self._config, log=log)
            penalties.init_plugin()
            for notebook in submission.notebooks:
                if notebook.name not in notebooks:
                    continue
                penalty = penalties.plugin_inst.late_submission_penalty(
                    student, notebook.score, seconds
                )
                if penalty is not None:
                    penalty = penalties._check_late_penalty(notebook, penalty)
                    notebook.late_submission_penalty = penalty
        except SQLAlchemyError:
            raise
        except Exception as error:
            raise CourseError(
                f"{student}, {name}: nbgrader's plug-in for late penalties "
                "(AssignLatePenalties in nbgrader's configuration) failed: "
                f"{self._database.masked(repr(error))}"
            ) from error


class ChapterGradebook(Gradebook):
    """For a chapter of the course."""

    def __init__(self, course: Course, assignment: Assignment, folder: Path):
        super().__init__(course, Outline.of(assignment), folder)
        self.assignment = assignment

    def _register(self, url: str) -> None:
        """The chapter as source/ has it now."""
        wanted = {
            grade_id(cell): cell.metadata.nbgrader.checksum
            for cell in self.assignment.assigned.cells
            if grade_id(cell)
        }
        with NbgraderGradebook(url) as book, suppress(MissingEntry):
            notebook = book.find_notebook(self.assignment.notebook_name, self.assignment.name)
            if {cell.name: cell.checksum for cell in notebook.source_cells} == wanted:
                return
        make_release(self._course, self.assignment, url)

    def _enter_scores(
        self, book: NbgraderGradebook, report: Report, notebooks: Mapping[str, NotebookNode]
    ) -> None:
        name, notebook_name = self.assignment.name, self.assignment.notebook_name
        notebook = notebooks[notebook_name]
        scores = {exercise.id: exercise for exercise in report.exercises}
        for cell in notebook.cells:
            data, identifier = nbgrader_metadata(cell), grade_id(cell)
            if identifier is None:
                continue
            key = (identifier, notebook_name, name, report.student)
            if data.get("grade"):
                exercise = self._outline.exercise(notebook_name, identifier)
                book.find_grade(*key).auto_score = scores[exercise].score
            if is_answer(cell):
                untouched = is_untouched(self.assignment, notebook, identifier)
                book.find_comment(*key).auto_comment = "No response." if untouched else None


def find_mark(book: NbgraderGradebook, outline: Outline, student: str) -> Mark | None:
    """The student's mark in a gradebook that nbgrader has opened."""

    def execute(query: str, values: dict[str, Any]) -> Any:
        return book.db.execute(text(query), values)

    return read_marks(execute, outline, student).get(student)


def _hold_grades(book: NbgraderGradebook, chapter: str, student: str) -> None:
    """Waits for who is giving this student marks, and has others wait; SQLite does so anyway."""
    book.db.execute(
        select(Grade.id)
        .join(SubmittedNotebook, SubmittedNotebook.id == Grade.notebook_id)
        .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
        .join(AssignmentEntry, AssignmentEntry.id == SubmittedAssignment.assignment_id)
        .where(AssignmentEntry.name == chapter, SubmittedAssignment.student_id == student)
        .with_for_update(of=Grade)
    ).all()


def ask_persons(  # noqa: PLR0913
    book: NbgraderGradebook,
    outline: Outline,
    student: str,
    before: Mark | None,
    known: Snapshot | None,
    new_answers: Mapping[str, str],
) -> None:
    """Says in the gradebook which exercises a person has to look at, after a grading.

    Whoever calls it commits.

    Args:
        before: the mark before the grading.
        known: the same, with the answers that it was given for.
        new_answers: the fingerprints of the answers that were graded now.
    """
    old = {e.id: e for e in before.exercises} if before is not None else {}
    for notebook in outline.notebooks:
        for grade in book.find_submission_notebook(notebook, outline.chapter, student).grades:
            exercise = outline.exercise(notebook, grade.name)
            same = known is not None and known.same_answer(exercise, new_answers)
            grade.needs_manual_grade = asks_a_person(
                old.get(exercise), grade.manual_score, grade.auto_score, same
            )


def nbgrader_config(*folders: Path) -> Config:
    """nbgrader's configuration as its own commands have it in the last of these folders."""
    app = NbGrader()
    with umask_kept():
        JupyterApp.load_config_file(app)  # the system's and the user's
        for folder in dict.fromkeys(folder.resolve() for folder in folders):
            Application.load_config_file(app, "nbgrader_config", path=str(folder))
    config: Config = app.config
    return config
