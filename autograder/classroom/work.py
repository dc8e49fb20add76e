"""What a class is set: as much as batch.py and recorder.py have to know of it.

A chapter of the course (`Chapter`) is one sort of work, graded by the engine and its judge. A
homework of the teacher's own is the other (homework.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import nbformat
from nbformat import NotebookNode

from autograder.classroom.gradebook import ChapterGradebook, Gradebook
from autograder.classroom.history import answers
from autograder.classroom.marks import Outline
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine
from autograder.engine.handed_in import Submission, read_submission
from autograder.engine.options import Limits
from autograder.results import Report


class GivenUp(Exception):
    """A submission is not graded, and is not tried again; the message says why."""


class NobodyGrades(Exception):
    """There is nobody left to grade submissions; the message says why."""


@dataclass(frozen=True)
class Result:
    """What became of one student's work.

    Attributes:
        notebooks: as executed, by name; none without a mark.
        files: what lies beside them, by relative path.
    """

    report: Report
    notebooks: Mapping[str, NotebookNode] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def packed(self) -> bytes:
        """As JSON: plain data, which another process may send. A chapter's has no files."""
        return json.dumps({"report": self.report.to_dict(), "notebooks": self.notebooks}).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> Result:
        """The inverse of `packed`.

        Raises:
            LookupError, TypeError, ValueError: if it is something else.
        """
        found = json.loads(data)
        notebooks = {str(name): nbformat.from_dict(n) for name, n in found["notebooks"].items()}
        return cls(Report.from_dict(found["report"]), notebooks)


class _HandedIn(Protocol):
    @property
    def sha256(self) -> str:
        """Identifies the content."""
        ...


S = TypeVar("S", bound=_HandedIn)


class Work(Protocol[S]):
    """What a class is set."""

    @property
    def course(self) -> Course:
        """That it belongs to."""
        ...

    @property
    def outline(self) -> Outline:
        """What its marks and the report need."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes whenever it could give another mark."""
        ...

    def read(self, folder: Path, student: str) -> S:
        """What a student has handed in, in a folder laid out as STUDENT/NAME/."""
        ...

    def grade(self, engine: Engine, submission: S, limits: Limits) -> Result:
        """Executes and scores it.

        Raises:
            Exception: whatever is the grader's own fault.
        """
        ...

    def answers(self, notebooks: Mapping[str, NotebookNode]) -> dict[str, str]:
        """Fingerprints of what the student wrote, by exercise."""
        ...

    def gradebook(self, folder: Path) -> Gradebook:
        """Where the marks of the class in this folder go."""
        ...


@dataclass(frozen=True)
class Chapter:
    """A chapter of the course."""

    course: Course
    assignment: Assignment

    @property
    def fingerprint(self) -> str:
        return self.assignment.fingerprint

    @cached_property
    def outline(self) -> Outline:
        return Outline.of(self.assignment)

    def read(self, folder: Path, student: str) -> Submission:
        return read_submission(folder, student, self.assignment.name)

    def grade(self, engine: Engine, submission: Submission, limits: Limits) -> Result:
        graded = engine.grade(self.assignment, submission, limits)
        if graded.notebook is None:
            return Result(graded.report)
        return Result(graded.report, {self.assignment.notebook_name: graded.notebook})

    def answers(self, notebooks: Mapping[str, NotebookNode]) -> dict[str, str]:
        return answers(notebooks[self.assignment.notebook_name])

    def gradebook(self, folder: Path) -> Gradebook:
        return ChapterGradebook(self.course, self.assignment, folder)
