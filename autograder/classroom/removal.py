"""Takes a student out of a class, for good: `autograder student remove`.

What tells of them lies in many places: what they handed in, here and in nbgrader's exchange, what
grading made of it, feedback, the gradebook, and the reports on the class. `Traces.find` looks for
all of it, so that it can be shown first. `Traces.remove` begins with the exchange: the next
`nbgrader collect` would bring back what lies there.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry

from autograder.classroom.exchange import Exchange
from autograder.classroom.records import ClassFolder
from autograder.course.database import Database, Unavailable, transaction
from autograder.course.source import CourseError


@dataclass(frozen=True)
class Traces:
    """What a class's folder and the exchange hold of one student.

    Attributes:
        paths: folders and files of theirs alone, in the order in which they are to go.
        marks: the chapters that the gradebook has marks for; None if it does not know the student.
        reports: the chapters whose class report tells of them.
    """

    student: str
    class_folder: ClassFolder
    paths: list[Path]
    marks: list[str] | None
    reports: list[str]

    def __bool__(self) -> bool:
        return bool(self.paths or self.reports or self.marks is not None)

    @classmethod
    def find(cls, class_folder: ClassFolder, exchange: Exchange, student: str) -> Traces:
        """Looks everywhere.

        Raises:
            CourseError: if that is no student's name.
            Unavailable: if the gradebook cannot be read now.
        """
        if not student.strip(".") or "/" in student:
            raise CourseError(f"{student!r} is no student's name")
        folder = class_folder.folder
        marks, notebooks = _gradebook(class_folder.gradebook, student)
        work = [class_folder.submitted / student, folder / "autograded" / student]
        work.append(folder / "feedback" / student)
        work = [path for path in work if path.is_symlink() or path.exists()]
        inbound = exchange.submissions(student)
        handed_in = [*inbound, *(c for path in work if path.is_dir() for c in path.iterdir())]
        notebooks |= {path.stem for chapter in handed_in for path in chapter.glob("*.ipynb")}
        reports = folder / "reports"
        records = sorted(
            path
            for path in reports.glob("*/records/*")
            if path == class_folder.record_path(path.parent.parent.name, student)
        )
        named = [p for p in sorted(reports.glob("*/grades.csv")) if _names(student, p)]
        chapters = {path.parent.parent.name for path in records} | {p.parent.name for p in named}
        paths = [*exchange.feedback(handed_in, notebooks), *inbound, *work, *records]
        return cls(student, class_folder, paths, marks, sorted(chapters))

    def remove(self, write_report: Callable[[str], object]) -> list[str]:
        """Deletes everything that was found.

        Args:
            write_report: writes the report on a chapter again, of those who are left.

        Returns:
            What could not be deleted, a sentence each.
        """
        problems = []
        for path in self.paths:
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                problems.append(f"{path}: {error.strerror or error}")
        if self.marks is not None:
            database = self.class_folder.gradebook
            try:
                with database.explained():
                    with Gradebook(database.url) as book, transaction(book):
                        book.remove_student(self.student)
                    database.forget_what_was_deleted()
            except Unavailable as error:
                problems.append(f"marks: {error}")
        for chapter in self.reports:
            try:
                write_report(chapter)
            except (CourseError, OSError) as error:
                problems.append(f"{self.class_folder.folder}/reports/{chapter}: {error}")
        return problems


def _names(student: str, report: Path) -> bool:
    """Whether a class's table lists the student, be it among those who have not handed in."""
    text = report.read_text(encoding="utf-8", errors="replace")
    listed = {row[0] for row in list(csv.reader(text.splitlines()))[1:] if row}
    return bool(listed & {student, f"'{student}"})  # see `_cell` in report.py


def _gradebook(database: Database, student: str) -> tuple[list[str] | None, set[str]]:
    """The chapters with marks, None without the student; and the names of all notebooks."""
    if not database.exists():
        return None, set()
    with database.explained(), Gradebook(database.url) as book:
        notebooks = {notebook.name for a in book.assignments for notebook in a.notebooks}
        try:
            found = book.find_student(student)
        except MissingEntry:
            return None, notebooks
        marked = (s.name for s in found.submissions if s.notebooks)  # others are an extension
        return sorted(marked), notebooks
