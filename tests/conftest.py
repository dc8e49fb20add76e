"""What all tests share: the course, and a small one with a way to grade an answer."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import absl.logging
import pytest
from nbformat import NotebookNode

from autograder.course.source import Assignment, Course
from autograder.engine.fork import ForkServer
from autograder.engine.grade import Engine
from autograder.engine.options import Graded

sys.path.insert(0, str(Path(__file__).parent))
import postgresql
import tiny
import tiny_class
from sample_class import CHAPTER, ROOT, as_bytes, fill
from stand_in import StandIn

# Commands that tests run by name (nbgrader, jupyter, alembic) are those of this environment.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# Who starts the tests may have these signals ignored (a shell, in the background) or blocked
# (a supervisor), and all children inherit both: a test that stops a command would wait forever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})

# nbgrader configures logging, which closes all handlers that are there, and TensorFlow's (absl)
# closes its stream, too. Where that was pytest's, all later tests of the same worker are errors.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__

UMASK = os.umask(0o022)
os.umask(UMASK)


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Commands for a class change it, and some tests and fixtures run them in this process."""
    os.umask(UMASK)
    yield
    os.umask(UMASK)


@pytest.fixture(scope="session")
def course() -> Course:
    return Course.find(ROOT)


@pytest.fixture(scope="session")
def assignment(course: Course) -> Assignment:
    return course.assignment(CHAPTER)


@pytest.fixture(scope="session")
def server() -> Iterator[postgresql.Server]:
    """PostgreSQL; each test makes databases of its own."""
    programs = postgresql.programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL here; `tools/setup --tests` installs it")
    with postgresql.running(programs) as started:
        yield started


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


@pytest.fixture
def blank(tiny_chapter: Assignment) -> bytes:
    """The small course's chapter as it is handed out."""
    return as_bytes(tiny.release(tiny_chapter))


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tiny_course: Course) -> StandIn:
    """What grades, in the small course's folder, in the place of an engine."""
    made = StandIn()
    monkeypatch.setattr(Engine, "grade", lambda _, *arguments: made.grade(*arguments))
    monkeypatch.setattr(ForkServer, "start", lambda _: None)  # nobody needs it
    monkeypatch.chdir(tiny_course.root)
    return made
