"""What all tests share: the course, and a small one with a way to grade an answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from nbformat import NotebookNode

from autograder.course.source import Assignment, Course
from autograder.engine.grade import Graded

sys.path.insert(0, str(Path(__file__).parent))
import tiny
import tiny_class
from sample_class import CHAPTER, ROOT, fill

# Commands that tests run by name (nbgrader, jupyter, alembic) are those of this environment.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="session")
def course() -> Course:
    return Course.find(ROOT)


@pytest.fixture(scope="session")
def assignment(course: Course) -> Assignment:
    return course.assignment(CHAPTER)


@pytest.fixture(scope="session")
def tiny_course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return tiny_class.make_course(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_chapter(tiny_course: Course) -> Assignment:
    return tiny_course.assignment(tiny.TINY)


@pytest.fixture(scope="session")
def graded(tiny_chapter: Assignment) -> Callable[..., Graded]:
    """Grades a notebook of the small course, or bytes, as a submission; options are limits."""
    return partial(tiny.graded, tiny_chapter)


@pytest.fixture(scope="session")
def filled(tiny_chapter: Assignment) -> Callable[[dict[str, str]], NotebookNode]:
    """The small course's release with these texts in its cells, by the cells' ids."""
    return lambda answers: fill(answers, tiny.release(tiny_chapter))
