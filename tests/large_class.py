"""A class of a thousand as records, without grading anything: what the report is made of.

Everybody has an ability, every check a difficulty, and everything else follows from one seed. The
chapter is a real one, so that titles and hints are as long as they are.
"""

from __future__ import annotations

import random
from dataclasses import replace

from sample_class import CHAPTER, ROOT

from autograder.classroom.history import Move, Step
from autograder.classroom.marks import ExerciseMark, Mark
from autograder.classroom.standing import Entry, Standing
from autograder.course.source import Course, Exercise
from autograder.results import (
    CheckResult,
    Code,
    ExerciseResult,
    Outcome,
    Remark,
    Report,
    Status,
)

FIRST = ("Ada", "Bo", "Chen", "Dilek", "Emeka", "Freya", "Goran", "Inès", "Katya", "Mei", "Zoë")
LAST = ("Abe", "Brandt", "Castro", "Dubois", "García", "Huang", "Müller", "Novák", "Okafor", "Sato")
MESSAGES = (
    "Not true: assert_close(found, expected)\nMismatched elements: {} / 64",
    "The result has the shape ({}, 4), and (8, 4) is right.",
    "NameError: name 'weights_{}' is not defined. Did the exercise's cell run without an error?",
    "ValueError: operands could not be broadcast together\nat line {} of the cell, in forward",
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def large_class(students: int, seed: int = 24) -> tuple[Standing, str]:
    """The class's standing, and the chapter's title."""
    chance = random.Random(seed)
    assignment = Course.find(ROOT).assignment(CHAPTER)
    hardness = {
        (e.id, check.name): chance.gauss(-1.6, 0.8)
        for e in assignment.exercises
        for check in e.checks
    }
    entries = []
    for number in range(students):
        student = f"s{number:04d}"
        name = f"{chance.choice(FIRST)} {chance.choice(LAST)}"
        if number == 7:
            name = HOSTILE
        fate = chance.random()
        if fate < 0.02:
            reason = Remark.of(Code.CUT_OFF, "", line=chance.randint(3, 400))
            report = Report(student, CHAPTER, Status.REJECTED, [reason])
            entries.append(replace(Entry.of(report), name=name))
            continue
        ability = chance.gauss(0, 1)
        results = [_result(e, ability, hardness, chance) for e in assignment.exercises]
        entries.append(_entry(student, name, results, chance))
    absent = {f"x{number}": "Nobody Yet" for number in range(students // 50)}
    return Standing(entries, absent), assignment.title


def _result(
    exercise: Exercise,
    ability: float,
    hardness: dict[tuple[str, str], float],
    chance: random.Random,
) -> ExerciseResult:
    if not exercise.checks:
        return ExerciseResult(exercise.id, exercise.title, None, exercise.points)
    attempted = chance.random() < 0.85 + 0.1 * ability
    right = chance.random() < 0.45 + 0.2 * ability
    wrong = chance.randrange(4)  # a few errors are common: the same checks fail for all who make it
    checks = []
    for index, spec in enumerate(exercise.checks):
        outcome = Outcome.PASSED
        fails = (index % 4 == wrong and index > 2) or hardness[exercise.id, spec.name] > ability + 1
        if not attempted:
            outcome = Outcome.NOT_ATTEMPTED
        elif not right and fails:
            outcome = Outcome.FAILED if chance.random() < 0.9 else Outcome.ERROR
            if chance.random() < 0.01:
                outcome = Outcome.TIMED_OUT
        passed = outcome is Outcome.PASSED
        tried = outcome not in (Outcome.PASSED, Outcome.NOT_ATTEMPTED)
        message = MESSAGES[wrong].format(chance.randint(2, 9)) if tried else ""
        points = spec.points if passed else 0.0
        checks.append(
            CheckResult(
                spec.name,
                spec.title,
                spec.hidden,
                outcome,
                points,
                spec.points,
                message,
                "" if passed else spec.hint,
            )
        )
    score = sum(check.points for check in checks)
    return ExerciseResult(exercise.id, exercise.title, score, exercise.points, checks)


def _entry(student: str, name: str, results: list[ExerciseResult], chance: random.Random) -> Entry:
    by_checks = [result for result in results if result.checks]
    score, most = (sum(getattr(r, n) for r in by_checks) for n in ("score", "max_score"))
    notes = []
    if chance.random() < 0.06:
        notes.append(Remark.of(Code.LOCKED_EDITED, "test_attention"))
    if chance.random() < 0.02:
        notes.append(Remark.of(Code.CELL_TOO_LONG, "gan", seconds=60))
    seconds = round(chance.uniform(20, 90), 2)
    report = Report(student, CHAPTER, Status.GRADED, [], score, most, seconds, notes, results)
    marks = []
    for result in results:
        mark = ExerciseMark(
            result.id, result.title, result.max_score, result.written, result.score, waiting=False
        )
        if result.written:
            given = None if chance.random() < 0.3 else float(chance.randint(0, int(mark.max_score)))
            mark = replace(mark, by_hand=given, waiting=given is None)
        marks.append(mark)
    late = 3600.0 * chance.randint(1, 40) if chance.random() < 0.05 else 0.0
    mark = Mark(tuple(marks), 0.0, late, "formgrader/submissions/0123456789abcdef/?index=3#claims")
    history = [Step("2026-11-20T10:00:00.000000+00:00", mark.score, mark.max_score, True)]
    if chance.random() < 0.04:
        move = Move(results[0].id, results[0].title, 1.0, results[0].score, False)
        history.append(
            Step("2026-11-23T10:00:00.000000+00:00", mark.score, mark.max_score, True, [move])
        )
    return Entry(report, mark, tuple(history), name)
