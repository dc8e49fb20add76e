"""The records: what became of a check, an exercise and a submission, and why.

`grade` returns a `Report`; the gradebook, the class report and `grade --json` are views of it, and
none of them computes a mark. What the engine has to say travels as a `Remark`, a code with
arguments, and becomes a sentence in `words` only. What a test's author says to the student is text.

This module imports nothing heavy: notebooks load it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from math import isfinite
from types import UnionType
from typing import Any


class Status(StrEnum):
    """What became of a submission as a whole."""

    GRADED = "graded"
    REJECTED = "rejected"  # not something that can be graded; the reasons say why, there is no mark
    FAILED = "failed"  # the grader's own fault; never a mark


class Outcome(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error in your code"
    NOT_ATTEMPTED = "not attempted"
    NOT_RUN = "not run"  # the learner has pressed the stop button
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    KERNEL_DIED = "kernel died"


class Code(StrEnum):
    """All that the engine can say; `words` has the sentence for each."""

    # Why there is no mark.
    LINK = "link"
    ODD_NAME = "odd_name"
    NOTHING_HANDED_IN = "nothing_handed_in"
    NOTEBOOK_MISSING = "notebook_missing"
    SEVERAL_NOTEBOOKS = "several_notebooks"
    NOT_READABLE = "not_readable"
    TOO_LARGE = "too_large"
    TOO_LARGE_WITHOUT_OUTPUTS = "too_large_without_outputs"
    EMPTY = "empty"
    NOT_TEXT = "not_text"
    DAMAGED = "damaged"
    CUT_OFF = "cut_off"
    BAD_NUMBER = "bad_number"
    TOO_DEEP = "too_deep"
    NO_CELLS = "no_cells"
    BAD_FORMAT = "bad_format"
    TOO_MANY_CELLS = "too_many_cells"
    OTHER_NOTEBOOK = "other_notebook"
    BAD_METADATA = "bad_metadata"
    TOO_MANY_FILES = "too_many_files"
    GRADER_FAILED = "grader_failed"
    EARLIER_MARKS_KEPT = "earlier_marks_kept"

    # Why marks are not where they belong.
    NOT_ENTERED = "not_entered"
    NOT_KEPT = "not_kept"

    # What was put right in a notebook before it was run.
    OTHER_NAME = "other_name"
    RECOGNISED = "recognised"
    ANSWER_UNCLEAR = "answer_unclear"
    ANSWER_JOINED = "answer_joined"
    COPY_REMOVED = "copy_removed"
    FILLED_COPY_COUNTS = "filled_copy_counts"
    COPY_KEPT = "copy_kept"
    REORDERED = "reordered"
    ANSWER_MISSING = "answer_missing"
    LOCKED_MISSING = "locked_missing"
    LOCKED_EDITED = "locked_edited"
    TYPE_CHANGED = "type_changed"
    CELL_MISSING = "cell_missing"
    NOTEBOOK_COUNTS_ZERO = "notebook_counts_zero"
    LINKS_LEFT_OUT = "links_left_out"
    MORE_REPAIRS = "more_repairs"

    # What happened to a cell while it ran.
    CELL_TOO_LONG = "cell_too_long"
    CELL_PRINTS_TOO_MUCH = "cell_prints_too_much"
    CELL_NOT_RUN = "cell_not_run"
    CELL_AT_THE_END = "cell_at_the_end"
    CELL_STOPPED = "cell_stopped"
    CHECKS_NOT_FINISHED = "checks_not_finished"
    CALLS_NOT_ANSWERED = "calls_not_answered"

    # Why a check did not pass, where its author did not say so.
    STOPPED_DURING = "stopped_during"
    NAME_NOT_DEFINED = "name_not_defined"
    NOT_TRUE = "not_true"
    IS_NONE = "is_none"
    NOT_USABLE = "not_usable"
    ERROR_AT_LINE = "error_at_line"


@dataclass(frozen=True)
class Remark:
    """One thing that the engine has to say; `words.sentence` says it.

    Attributes:
        cell: the cell that it is about, by its grade id; empty if it is about the whole.
        arguments: what the sentence has to be filled with, by name.
    """

    code: Code
    cell: str = ""
    arguments: Mapping[str, str | int] = field(default_factory=dict)

    @classmethod
    def of(cls, code: Code, cell: str = "", /, **arguments: str | int) -> Remark:
        """The same, with the arguments as keywords."""
        return cls(code, cell, arguments)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Remark:
        """The inverse of `dataclasses.asdict`."""
        return cls(Code(data["code"]), str(data["cell"]), dict(data["arguments"]))


# Of a check, what grades.json leaves out where it is this.
OPTIONAL: Mapping[str, str | None] = {"hint": "", "printed": "", "code": None}


@dataclass
class CheckResult:
    """One check of one submission.

    `message` is what the student may read; where not the check's author wrote it but the engine,
    `code` says what it is about.
    """

    name: str
    title: str
    hidden: bool
    outcome: Outcome
    points: float
    max_points: float
    message: str = ""
    hint: str = ""
    printed: str = ""
    code: Code | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CheckResult:
        """The inverse of `dataclasses.asdict`; what is `OPTIONAL` may be missing."""
        data = {**OPTIONAL, **data}
        _refuse_other_types(data, str, "name", "title", "message", "hint", "printed")
        _refuse_other_types(data, float, "points", "max_points")
        code = data["code"]
        return cls(
            **{
                **data,
                "outcome": Outcome(data["outcome"]),
                "code": None if code is None else Code(code),
            }
        )


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

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ExerciseResult:
        """The inverse of `dataclasses.asdict`."""
        _refuse_other_types(data, str, "id", "title")
        _refuse_other_types(data, float | None, "score")
        _refuse_other_types(data, float, "max_score")
        return cls(**{**data, "checks": [CheckResult.from_dict(check) for check in data["checks"]]})


@dataclass
class Report:
    """One submission of one assignment.

    `score` and `max_score` cover the exercises that are graded by checks; written ones are
    marked in formgrader and counted there. Both are None unless the status is "graded".

    Attributes:
        reasons: why there is no mark.
        notes: what was put right in the notebook, and what happened to its cells.
        judged: whether a process without the student's code decided on the marks. Those of a
            teacher's own homework are made where the student's code runs, which could forge them.
    """

    student: str
    assignment: str
    status: Status
    reasons: list[Remark] = field(default_factory=list)
    score: float | None = None
    max_score: float | None = None
    seconds: float = 0.0
    notes: list[Remark] = field(default_factory=list)
    exercises: list[ExerciseResult] = field(default_factory=list)
    judged: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As it is recorded; `words.as_json` is the form for others, with sentences."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """The inverse of `to_dict`, and of `words.as_json`.

        Raises:
            KeyError, TypeError, ValueError: if another version wrote it, or something else.
        """
        known = {attribute.name: data[attribute.name] for attribute in fields(cls)}
        exercises = [ExerciseResult.from_dict(exercise) for exercise in known["exercises"]]
        remarks = {
            name: [Remark.from_dict(remark) for remark in known[name]]
            for name in ("reasons", "notes")
        }
        status = Status(known["status"])
        _refuse_other_types(known, str, "student", "assignment")
        _refuse_other_types(known, float, "seconds")
        _refuse_other_types(known, float | None, "score", "max_score")
        return cls(**{**known, **remarks, "status": status, "exercises": exercises})


def _refuse_other_types(data: Mapping[str, Any], kind: type | UnionType, *names: str) -> None:
    """Raises a TypeError if one of these values is of another type, or is no finite number."""
    for name in names:
        value = data[name]
        if type(value) is int:  # as JSON may write a whole number
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, float) and not isfinite(value)):
            raise TypeError(f"{name} is {value!r}")
