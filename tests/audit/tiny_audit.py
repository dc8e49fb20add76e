"""Audits of the tiny course, whole or in part."""

from __future__ import annotations

from collections.abc import Iterable

from tiny import TINY

from autograder.audit.answers import collections, environment
from autograder.audit.audit import Auditing, Target
from autograder.audit.verdict import Audit
from autograder.course.source import Course
from autograder.engine.grade import Limits


def plan(
    course: Course,
    *,
    seeds: int = 1,
    mutants: int = 0,
    answers: Iterable[str] | None = None,
    earlier: Audit | None = None,
) -> Auditing:
    """An audit that is not run yet; of some answers only if they are named."""
    chosen = None if answers is None else frozenset(answers)
    targets = [Target(c, mutants, chosen) for c in collections(course, [TINY])]
    known = {TINY: earlier} if earlier else {}
    return Auditing(targets, Limits(), environment(course), seeds, known)


def run(auditing: Auditing, jobs: int = 2) -> Audit:
    """What it finds out."""
    gradings = sum(step.gradings for step in auditing.run(jobs))
    assert gradings == auditing.total
    return auditing.audits[TINY]


def audit(course: Course, **options: object) -> Audit:
    """Both."""
    return run(plan(course, **options))
