"""Enters a graded homework into gradebook and autograded/ as `nbgrader autograde` would.

Its executed notebooks say what nbgrader needs: a cell's outputs make its mark (`determine_grade`).
So marks can be entered by a later run, too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.api import Gradebook as NbgraderGradebook
from nbgrader.utils import compute_checksum, determine_grade, is_grade, is_solution, is_task

from autograder.classroom.gradebook import Gradebook
from autograder.classroom.marks import Outline
from autograder.course.cells import grade_id
from autograder.course.source import Course
from autograder.results import Report


class HomeworkGradebook(Gradebook):
    """For a homework of the teacher's own.

    Args:
        register: makes sure that the gradebook with this URL knows the homework.
    """

    def __init__(
        self, course: Course, outline: Outline, folder: Path, register: Callable[[str], None]
    ):
        super().__init__(course, outline, folder)
        self._make_known = register

    def _register(self, url: str) -> None:
        self._make_known(url)

    def write_notebooks(
        self,
        student: str,
        notebooks: Mapping[str, NotebookNode],
        files: Mapping[str, bytes],
        submitted: Path,
    ) -> dict[str, bytes]:
        """As for a chapter, but what lies there of an earlier submission goes first."""
        folder = self.folder / "autograded" / student / self._outline.chapter
        shutil.rmtree(folder, ignore_errors=True)
        return super().write_notebooks(student, notebooks, files, submitted)

    def _enter_scores(
        self, book: NbgraderGradebook, report: Report, notebooks: Mapping[str, NotebookNode]
    ) -> None:
        name = self._outline.chapter
        for notebook in self._outline.notebooks:
            entry = book.find_submission_notebook(notebook, name, report.student)
            grades = {grade.name: grade for grade in entry.grades}
            comments = {comment.name: comment for comment in entry.comments}
            for grade in grades.values():
                grade.auto_score = None if notebook in notebooks else 0.0
            for cell in notebooks[notebook].cells if notebook in notebooks else []:
                identifier = grade_id(cell)
                if identifier is None:
                    continue
                if is_grade(cell):
                    grades[identifier].auto_score, _ = determine_grade(cell)
                if is_solution(cell) or is_task(cell):
                    same = cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
                    empty = same and not is_task(cell)
                    comments[identifier].auto_comment = "No response." if empty else None
