"""A class on a machine where students have accounts: their environment, and what they do there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab_page import running
from other_user import as_oneself, as_student, python_for_all, words_as

from autograder.course.source import Course
from autograder.sandbox.confine import PACKAGE


def open_to_students(course: Course, environment: Path) -> Path:
    """Does what `tools/setup --class` does, with the packages that are here; returns its Python."""
    subprocess.run([python_for_all(), "-m", "venv", "--without-pip", environment], check=True)
    site = environment / "lib" / "python3.11" / "site-packages"
    (site / "locked.pth").write_text(sysconfig.get_path("purelib"))  # the packages, not the course
    shutil.copytree(PACKAGE, site / "autograder")
    (environment / "share").mkdir(exist_ok=True)
    (environment / "share" / "jupyter").symlink_to(Path(sys.prefix, "share", "jupyter"))
    shutil.copytree(Path(sys.prefix, "etc", "jupyter"), environment / "etc" / "jupyter")
    python = environment / "bin" / "python"
    if as_student(python, "-c", "import nbgrader").returncode:
        pytest.skip("other users cannot read this environment's packages")
    done = as_oneself(python, "-m", "autograder.classroom.machine", course.root)
    assert done.returncode == 0, done.stderr
    return python


def teacher(course: Course, *arguments: object) -> str:
    """What one of nbgrader's commands says in the course's folder."""
    command = [sys.executable, "-m", "nbgrader", *map(str, arguments)]
    done = subprocess.run(command, cwd=course.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@contextmanager
def teachers_lab(course: Course, home: Path) -> Iterator[str]:
    """The address of JupyterLab in the course's folder."""
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--allow-root"]
    with running(command, course.root, {**os.environ, "HOME": str(home)}) as (address, _):
        yield address


@dataclass(frozen=True)
class Student:
    """One with an account, who works in the home folder."""

    user: int
    home: Path
    python: Path

    @classmethod
    def moves_in(cls, user: int, home: Path, python: Path) -> Student:
        """Gets a home that nobody else can look into."""
        home.mkdir(mode=0o700)
        shutil.chown(home, user, user)
        return cls(user, home, python)

    @property
    def name(self) -> str:
        return pwd.getpwuid(self.user).pw_name

    def words(self, *arguments: object) -> list[str]:
        """The command that runs Python as this student, in their home."""
        at_home = ("sh", "-c", 'cd && exec "$@"', "sh")
        return words_as(self.user, f"HOME={self.home}", *at_home, self.python, *arguments)

    def does(self, *arguments: object) -> str:
        """What one of nbgrader's commands says."""
        done = as_oneself(*self.words("-m", "nbgrader", *arguments))
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def lab(self) -> Iterator[str]:
        """The address of this student's JupyterLab."""
        with running(
            self.words("-m", "jupyterlab", "--no-browser", "--port=0"), Path("/")
        ) as there:
            yield there[0]

    def write(self, path: Path, data: bytes) -> None:
        """Saves a file in the home."""
        path.write_bytes(data)
        shutil.chown(path, self.user, self.user)

    def can_read(self, *places: Path) -> list[str]:
        """The files at these places that the student can read."""
        found = as_student("find", *places, "-type", "f", "-readable", user=self.user)
        return found.stdout.splitlines()
