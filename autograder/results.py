"""The record of one graded submission: what `grade` returns and everything else reads.

A `Report` is plain data with a JSON form. The gradebook, the class report and `grade --json`
are views of it; none of them computes a mark.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from autograder.checks import CheckResult


class Status(StrEnum):
    """What became of a submission as a whole."""

    GRADED = "graded"
    REJECTED = "rejected"  # not something that can be graded; the reason says why, there is no mark
    FAILED = "failed"  # the grader's own fault; never a mark


@dataclass
class ExerciseResult:
    """One exercise of one submission.

    `score` is None for a written exercise that waits for a person's mark.
    """

    id: str
    title: str
    score: float | None
    max_score: float
    checks: list[CheckResult] = field(default_factory=list)

    @property
    def written(self) -> bool:
        """Whether a person marks it: it has no checks."""
        return not self.checks


@dataclass
class Report:
    """One submission of one assignment.

    `score` and `max_score` cover the exercises that are graded by checks; written ones are
    marked in formgrader and counted there. Both are None unless the status is "graded".
    """

    student: str
    assignment: str
    status: Status
    reason: str = ""
    score: float | None = None
    max_score: float | None = None
    seconds: float = 0.0
    repairs: list[str] = field(default_factory=list)
    exercises: list[ExerciseResult] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """The inverse of `to_dict`."""
        exercises = [
            ExerciseResult(
                **{**exercise, "checks": [CheckResult.from_dict(c) for c in exercise["checks"]]}
            )
            for exercise in data["exercises"]
        ]
        return cls(**{**data, "status": Status(data["status"]), "exercises": exercises})
