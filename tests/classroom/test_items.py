"""Item analysis: difficulty, discrimination, wrong approaches, against figures made otherwise."""

from __future__ import annotations

import random
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from autograder.classroom.items import analyse, discrimination
from autograder.classroom.report import write_report
from autograder.classroom.standing import Entry, Standing
from autograder.results import CheckResult, ExerciseResult, Outcome, Report, Status

P, F, N, T = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_ATTEMPTED, Outcome.TIMED_OUT
EXERCISES = {"heads": 3, "fit": 2}  # with so many checks


def entry(
    student: str, *outcomes: Outcome, message: str = "", written: float | None = None
) -> Entry:
    """A submission with these outcomes, of all checks in turn, each worth a point more."""
    left, exercises = list(outcomes), []
    for id, count in EXERCISES.items():
        checks = []
        for index in range(count):
            outcome, most = left.pop(0), index + 1.0
            points = most if outcome is P else 0.0
            said = "" if outcome is P else message
            title = f"{id} {index}"
            checks.append(CheckResult(title, title, index == 0, outcome, points, most, said))
        score = sum(check.points for check in checks)
        exercises.append(ExerciseResult(id, id, score, count * (count + 1) / 2, checks))
    exercises.append(ExerciseResult("claims", "claims", written, 4.0))
    return Entry.of(Report(student, "ch01", Status.GRADED, exercises=exercises))


def a_class(students: int, seed: int = 1) -> list[Entry]:
    chance = random.Random(seed)
    return [
        entry(
            f"s{number}",
            *(chance.choice((P, P, F, N)) for _ in range(5)),
            written=float(chance.randint(0, 4)),
        )
        for number in range(students)
    ]


def test_discrimination_is_the_correlation_with_the_rest() -> None:
    entries = a_class(60)
    scores = np.array([[e.score or 0 for e in entry.shown.exercises] for entry in entries])
    points = np.array(
        [[c.points for e in entry.shown.exercises for c in e.checks] for entry in entries]
    )
    heads, fit, claims = analyse(entries)
    expected = np.corrcoef(scores[:, 0], scores[:, 1])[0, 1]
    assert heads.discrimination.value == pytest.approx(expected)
    assert fit.discrimination.value == pytest.approx(expected)
    both = scores[:, 0] + scores[:, 1]
    assert claims.discrimination.value == pytest.approx(np.corrcoef(scores[:, 2], both)[0, 1])
    checks = [*heads.checks, *fit.checks]
    for index, check in enumerate(checks):
        others = np.delete(points, index, axis=1).sum(axis=1)
        expected = np.corrcoef(points[:, index], others)[0, 1]
        assert check.discrimination.value == pytest.approx(expected)
        assert check.reached == pytest.approx((points[:, index] > 0).mean())


@pytest.mark.parametrize(
    ("points", "rest", "why"),
    [
        ([0, 1] * 4, [1, 2] * 4, "fewer than 10 submissions"),
        ([2.0] * 12, list(range(12)), "all have the same points here"),
        (list(range(12)), [3.0] * 12, "all have the same points in the rest"),
    ],
)
def test_what_is_not_defined_says_why(points: list[float], rest: list[float], why: str) -> None:
    found = discrimination(points, rest)
    assert (found.value, found.why, found.verdict) == (None, why, "")


@pytest.mark.parametrize(("sign", "verdict"), [(1, ""), (-1, "negative")])
def test_what_weak_work_passes_more_often_is_named(sign: int, verdict: str) -> None:
    assert discrimination(list(range(12)), [sign * i for i in range(12)]).verdict == verdict


def test_failures_are_grouped_by_the_checks_that_failed() -> None:
    entries = [
        entry("ada", P, P, P, P, P),
        entry("bo", P, F, F, P, P, message="too wide"),
        entry("cy", P, F, T, P, P, message="too wide"),
        entry("di", P, F, P, P, P),
        entry("ed", N, N, N, P, P),
        Entry.of(Report("flo", "ch01", Status.REJECTED)),
    ]
    heads, fit, claims = analyse(entries)
    assert [(a.checks, a.of, a.message, a.rows) for a in heads.approaches] == [
        (["heads 1", "heads 2"], 3, "too wide", [1, 2]),
        (["heads 1"], 3, "", [3]),
    ]
    middle = heads.checks[1]
    assert (middle.attempted, middle.failed, middle.stopped, middle.rows) == (4, 3, 0, [1, 2, 3])
    assert heads.checks[2].stopped == 1
    assert heads.rows == [1, 2, 3, 4]
    assert (heads.not_attempted, heads.full_marks, fit.approaches) == (1, 1, [])
    assert (claims.scores, claims.checks, claims.waiting) == ([], [], 5)


def test_the_page_has_a_dash_with_the_reason(tmp_path: Path) -> None:
    page = write_report(Standing(a_class(9)), "Chapter", tmp_path).read_text(encoding="utf-8")
    found = re.findall(r'data-label="Discrimination">(.*?)</td>', page, re.DOTALL)
    said = [" ".join(unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in found]
    assert said == ["– fewer than 10 submissions"] * 8
