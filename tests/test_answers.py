"""The kill matrix: every right answer gets full marks, every wrong one loses its points.

Answers lie in tests/answers/CHAPTER/EXERCISE. The first line of a file says what is right or wrong
about it; the second line of a wrong one names the checks that it must lose. Each submission here
holds one answer to each exercise, and is graded under five seeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest
from sample_class import CHAPTER, ROOT, fill

from autograder.build import exercise_cells
from autograder.checks import Outcome
from autograder.course import Assignment, Course
from autograder.grade import Graded

SEEDS = range(5)
FOLDER = ROOT / "tests" / "answers" / CHAPTER


@dataclass(frozen=True)
class Answer:
    name: str
    right: bool
    must_fail: frozenset[str]
    text: str


def read_answer(path: Path) -> Answer:
    text = path.read_text(encoding="utf-8")
    first, second = text.split("\n", 2)[:2]
    right = path.stem.startswith("right_")
    assert re.match(r"# Right: \w" if right else r"# Wrong: \w", first), f"{path}: first line"
    fails = re.match(r"# Fails: (.+)", second)
    assert right or fails, f"{path}: second line must name the checks that fail"
    names = frozenset(re.split(r",\s*", fails[1].strip())) if fails else frozenset()
    return Answer(path.stem, right, names, text)


def answers_to(exercise: str) -> list[Answer]:
    return [read_answer(path) for path in sorted((FOLDER / exercise).glob("*.py"))]


EXERCISES = sorted(path.name for path in FOLDER.iterdir())
# One submission for each row; the shorter columns end early, and their cells stay untouched.
ROWS = list(zip_longest(*(answers_to(exercise) for exercise in EXERCISES)))


@pytest.mark.parametrize("exercise", EXERCISES)
def test_there_are_enough_answers_and_each_names_real_checks(
    exercise: str, assignment: Assignment
) -> None:
    answers = answers_to(exercise)
    assert sum(answer.right for answer in answers) >= 3
    assert sum(not answer.right for answer in answers) >= 6
    checks = {check.name for e in assignment.exercises if e.id == exercise for check in e.checks}
    for answer in answers:
        assert answer.must_fail <= checks, answer.name


def test_every_check_rejects_some_wrong_answer(
    assignment: Assignment,
) -> None:
    """A check that no wrong answer must lose proves nothing."""
    for exercise in assignment.exercises:
        killed = {name for answer in answers_to(exercise.id) for name in answer.must_fail}
        assert {check.name for check in exercise.checks} <= killed, exercise.id


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "row", ROWS, ids=["+".join(answer.name for answer in row if answer) for row in ROWS]
)
def test_kill_matrix(
    row: tuple[Answer | None, ...],
    seed: int,
    graded: Callable[..., Graded],
    record_property: Callable[[str, object], None],
) -> None:
    answers = {e: answer for e, answer in zip(EXERCISES, row, strict=True) if answer}
    notebook = fill({exercise: answer.text for exercise, answer in answers.items()})
    report = graded(notebook, seed=seed).report
    problems = []
    for exercise in report.exercises:
        answer = answers.get(exercise.id)
        if answer is None:
            continue
        lost = {
            check.name: f"{check.outcome}: {check.message}"
            for check in exercise.checks
            if check.outcome is not Outcome.PASSED
        }
        accepted = answer.right and not lost and exercise.score == exercise.max_score
        rejected = not answer.right and answer.must_fail <= lost.keys()
        if answer.right and not accepted:
            problems.append(f"{exercise.id}/{answer.name} was rejected: {lost}")
        if not answer.right and not rejected:
            passed = sorted(answer.must_fail - lost.keys())
            problems.append(f"{exercise.id}/{answer.name} passed {passed}")
        value = (
            exercise.id,
            int(answer.right),
            int(accepted),
            int(not answer.right),
            int(rejected),
        )
        record_property("kill_matrix", value)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reference_solutions_get_full_marks(
    seed: int, course: Course, assignment: Assignment, graded: Callable[..., Graded]
) -> None:
    report = graded(fill(exercise_cells(course.assignment(CHAPTER))), seed=seed, threads=2).report
    assert report.score == report.max_score == 33
