"""The collected answers to an exercise, and what an audit of it depends on.

Answers lie in tests/answers/CHAPTER/EXERCISE/NAME.py, each the text of one exercise cell. The first
line of a file says what is right or wrong about it (`# Right: ...`, `# Wrong: ...`), the second
line of a wrong one names the checks that must reject it (`# Fails: one, another`). Mutants of the
reference solution that compute the same as it are listed beside them, in equivalent.toml.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autograder.course.source import Assignment, Course, CourseError, Exercise
from autograder.engine.options import ENGINE_VERSION

AUDIT_VERSION = 2  # raised when the audit of the same exercise could come out otherwise


@dataclass(frozen=True)
class Answer:
    """One answer to an exercise; a wrong one has to lose the checks `must_fail`."""

    name: str
    right: bool
    must_fail: frozenset[str]
    text: str


@dataclass(frozen=True)
class Collection:
    """An exercise with checks, and the folder of its collected answers."""

    assignment: Assignment
    exercise: Exercise
    folder: Path

    @property
    def name(self) -> str:
        """As in "ch01_concepts/attention"."""
        return f"{self.assignment.name}/{self.exercise.id}"

    @cached_property
    def answers(self) -> list[Answer]:
        """By name; raises CourseError if a file's first lines cannot be used."""
        return read_answers(self.folder, self.exercise)

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever the audit of the exercise might, in the same environment."""
        return fingerprint(self.assignment, self.exercise, self.folder)


def collections(
    course: Course, chapters: Sequence[str], only: Sequence[str] = ()
) -> list[Collection]:
    """The exercises of the chapters that have checks, in order; if named, `only` these.

    Raises:
        CourseError: if there is none, or none of a name.
    """
    found = []
    for chapter in chapters:
        assignment = course.assignment(chapter)
        for exercise in assignment.exercises:
            if exercise.test_id is not None:
                folder = course.root / "tests" / "answers" / chapter / exercise.id
                found.append(Collection(assignment, exercise, folder))
    if not found:
        raise CourseError(f"no exercise of {', '.join(chapters)} has checks")
    known = [collection.exercise.id for collection in found]
    if unknown := set(only) - set(known):
        raise CourseError(
            f"no exercise with checks is called {', '.join(sorted(unknown))}; there are: "
            + ", ".join(known)
        )
    return [collection for collection in found if not only or collection.exercise.id in only]


def read_answers(folder: Path, exercise: Exercise) -> list[Answer]:
    """The collected answers to an exercise, by name.

    Raises:
        CourseError: if a file's first lines cannot be used.
    """
    return [_read_answer(path, exercise) for path in sorted(folder.glob("*.py"))]


def _read_answer(path: Path, exercise: Exercise) -> Answer:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: {error}") from None
    first, second, *_ = [*text.splitlines(), "", ""]
    right = path.stem.startswith("right_")
    if not re.match(r"# Right: \w" if right else r"# Wrong: \w", first):
        raise CourseError(
            f"{path}: the first line must be `# {'Right' if right else 'Wrong'}: ...`"
        )
    if right:
        return Answer(path.stem, True, frozenset(), text)
    fails = re.match(r"# Fails: (.+)", second)
    if not fails:
        raise CourseError(f"{path}: the second line must name the checks that fail: `# Fails: ...`")
    names = frozenset(re.split(r",\s*", fails[1].strip()))
    if unknown := names - {check.name for check in exercise.checks}:
        raise CourseError(f"{path}: {exercise.id} has no check {', '.join(sorted(unknown))}")
    return Answer(path.stem, False, names, text)


def fingerprint(assignment: Assignment, exercise: Exercise, folder: Path) -> str:
    """Changes whenever the audit of the exercise might, in the same environment."""
    material = [f"{AUDIT_VERSION} {exercise.float64}", assignment.only(exercise).fingerprint]
    files = [*sorted(folder.glob("*.py")), folder / "equivalent.toml"]
    material += [path.read_text(encoding="utf-8") for path in files if path.exists()]
    return hashlib.sha256("\0".join(material).encode()).hexdigest()[:16]


def environment(course: Course) -> str:
    """Changes with the engine and with the versions of the locked packages."""
    material = f"{ENGINE_VERSION} {sorted(course.lock.items())}"
    return hashlib.sha256(material.encode()).hexdigest()[:16]
