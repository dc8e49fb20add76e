"""What all tests share: the course, and a way to grade an answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode

from autograder.course.source import Assignment, Course
from autograder.engine.options import Graded, Limits
from autograder.engine.submission import Submission
from autograder.sandbox.confine import Isolation

sys.path.insert(0, str(Path(__file__).parent))
from engines import engine
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

    def run(
        submitted: NotebookNode | bytes, *, isolation: Isolation = Isolation.FULL, **limits: object
    ) -> Graded:
        data = submitted if isinstance(submitted, bytes) else as_bytes(submitted)
        return engine(isolation).grade(assignment, Submission("student", data), Limits(**limits))

    return run
