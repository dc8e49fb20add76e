"""What all tests share: the course, a way to grade an answer, the kill matrix's summary."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from autograder.course import Assignment, Course
from autograder.grade import Graded, Limits, grade
from autograder.submission import Submission

sys.path.insert(0, str(Path(__file__).parent))
from sample_class import CHAPTER, ROOT, as_bytes

# Commands that tests run by name (nbgrader, jupyter, alembic) are those of this environment.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def course() -> Course:
    return Course.find(ROOT)


@pytest.fixture(scope="session")
def assignment(course: Course) -> Assignment:
    return course.assignment(CHAPTER)


@pytest.fixture(scope="session")
def graded(assignment: Assignment) -> Callable[..., Graded]:
    """Grades a notebook, or bytes, as the submission of a student called "student"."""

    def run(submitted: NotebookNode | bytes, **limits: object) -> Graded:
        data = submitted if isinstance(submitted, bytes) else as_bytes(submitted)
        return grade(assignment, Submission("student", data), Limits(**limits))

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what the kill matrix found: accepted and rejected answers by exercise."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for key, value in report.user_properties:
            if key == "kill_matrix" and report.when == "call":
                exercise, right_total, right_accepted, wrong_total, wrong_rejected = value
                for i, number in enumerate(
                    (right_total, right_accepted, wrong_total, wrong_rejected)
                ):
                    counts[exercise][i] += number
    if counts:
        terminalreporter.section("kill matrix (answers x seeds)")
        for exercise, (right, accepted, wrong, rejected) in sorted(counts.items()):
            terminalreporter.line(
                f"{exercise:12} right answers accepted {accepted} of {right}, "
                f"wrong answers rejected {rejected} of {wrong}"
            )
