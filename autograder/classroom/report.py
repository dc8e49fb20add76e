"""The class report: one page, one table and one data file about all submissions of an assignment.

`write_report` turns the `Report`s of a class into index.html for the instructor to read,
grades.csv for a spreadsheet and grades.json for programs. It counts and averages marks and
never changes one. A submission without a mark (rejected or failed) is listed, and left out of
every average. What the page looks like is in templates/report.html.j2; the figures are made here.

Student ids, messages and reasons are hostile text: the template engine escapes all of them, after
`_clean` has taken out what no reader should get, and cells of the CSV cannot become formulas.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import mean, median
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from autograder import words
from autograder.files import write_whole
from autograder.results import CheckResult, ExerciseResult, Outcome, Report, Status

STOPPED = (Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.KERNEL_DIED)
MOST_FAILED = 3
MAX_BINS, MAX_TICKS = 12, 5

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[ -~]?"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069]"  # these reverse the text that follows
)
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # cannot be written as UTF-8
_FORMULA = re.compile(r"\t|\s*[=+\-@]")
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def write_report(reports: Sequence[Report], title: str, output: Path) -> Path:
    """Writes index.html, grades.csv and grades.json about one assignment.

    The same arguments give the same bytes. Each file appears whole or not at all.

    Args:
        reports: one per submission, in the order in which they are to be listed.
        title: the chapter's title, e.g. "Chapter 1 · What large models are made of".
        output: the folder to write to; made if it does not exist.

    Returns:
        The path of index.html.
    """
    files = {
        "grades.json": json.dumps([words.as_json(report) for report in reports], indent=2) + "\n",
        "grades.csv": _csv(reports),
        "index.html": _page(reports, title),
    }
    for name, text in files.items():
        write_whole(output / name, text)
    return output / "index.html"


# Text


def _clean(value: Any) -> Any:
    """Text without terminal sequences, control characters and what UTF-8 cannot hold."""
    if type(value) is not str:  # markup of our own, or a number
        return value
    text = _CONTROLS.sub("", _ESCAPE_SEQUENCES.sub("", value))
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def _number(value: float) -> str:
    """At most two decimals, and none that are zero."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.0%}"


def _label(id: str, title: str) -> str:
    """What heads an exercise's narrow column: its number ("1.3", "W1.1"), or else its id."""
    number = re.search(r"\b[A-Z]?[0-9]+(\.[0-9]+)+\b", title)
    return number[0] if number else id


# The table and the data


def _csv(reports: Sequence[Report]) -> str:
    ids = list(_titles(reports))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    header = ["student", "assignment", "status", "score", "max_score", *ids, "reason"]
    writer.writerow(_cell(name) for name in header)
    for report in reports:
        scores = {exercise.id: exercise.score for exercise in report.exercises}
        row = [report.student, report.assignment, str(report.status), report.score]
        row += [report.max_score, *(scores.get(id) for id in ids), words.reason(report)]
        writer.writerow(_cell(value) for value in row)
    return table.getvalue()


def _cell(value: str | float | None) -> str:
    """A CSV cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return f"{value:.10g}"  # 0.3, not 0.30000000000000004
    text = str(_clean(value))
    return f"'{text}" if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text) else text


def _titles(reports: Iterable[Report]) -> dict[str, str]:
    """The titles of all exercises by id, in the order of their first appearance."""
    return {exercise.id: exercise.title for report in reports for exercise in report.exercises}


# The page


@dataclass
class _Item:
    """One submission on the list of those that need attention."""

    student: int  # index into the reports
    text: str


@dataclass
class _Group:
    heading: str
    explanation: str
    items: list[_Item]


@dataclass
class _Histogram:
    """Counts of scores in bins `step` wide that start at 0; the last one includes its upper end."""

    step: int
    counts: list[int]
    ticks: list[int]  # of the axis of counts, from 0


@dataclass
class _CheckRow:
    """How a check of an exercise went, over all who attempted it."""

    title: str
    hidden: bool
    attempted: int = 0
    failed: int = 0


@dataclass
class _ExerciseRow:
    """How an exercise went. `scores` lacks the written answers that wait for a mark."""

    id: str
    title: str
    written: bool
    submissions: int
    max_score: float
    scores: list[float]
    full_marks: int
    not_attempted: int
    most_failed: list[_CheckRow]


@dataclass
class _Cell:
    """One exercise of one student: `state` is the CSS class, `text` the points."""

    state: str
    text: str
    share: float
    tooltip: str


@dataclass
class _StudentRow:
    report: Report
    reason: str
    notes: list[str]
    cells: list[_Cell]
    problems: list[tuple[ExerciseResult, list[CheckResult]]]  # the checks that did not pass
    keys: list[str | float | None]  # what each column is sorted by


def _page(reports: Sequence[Report], title: str) -> str:
    environment = Environment(
        loader=PackageLoader("autograder"),
        autoescape=True,
        finalize=_clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=_number, percent=_percent)
    environment.tests["not_attempted"] = _not_attempted
    graded = [report for report in reports if report.status is Status.GRADED]
    scores = [report.score for report in graded if report.score is not None]
    max_score = max((report.max_score or 0 for report in graded), default=None)
    titles = _titles(reports)
    exercises = [_exercise_row(id, graded) for id in _titles(graded)]
    return environment.get_template("report.html.j2").render(
        title=title,
        assignments=list(dict.fromkeys(report.assignment for report in reports)),
        reports=reports,
        submissions=len(reports),
        statuses={str(s): sum(report.status is s for report in reports) for s in Status},
        scores=scores,
        median=median(scores) if scores else None,
        mean=mean(scores) if scores else None,
        max_score=max_score,
        written_points=sum(row.max_score for row in exercises if row.written),
        written_answers=sum(row.submissions for row in exercises if row.written),
        waiting=sum(row.submissions - len(row.scores) for row in exercises if row.written),
        attention=_attention(reports),
        histogram=_histogram(scores, max_score) if scores and max_score else None,
        exercises=exercises,
        labels=[(_label(id, text), text) for id, text in titles.items()],
        students=[_student_row(report, list(titles)) for report in reports],
    )


def _attention(reports: Sequence[Report]) -> list[_Group]:
    """Submissions that a person should look at, by what is the matter; no empty groups."""

    def group(heading: str, explanation: str, text: Callable[[Report], str]) -> _Group:
        texts = [text(report) for report in reports]
        items = [_Item(index, text) for index, text in enumerate(texts) if text]
        return _Group(heading, explanation, items)

    def reason(report: Report, status: Status) -> str:
        return (words.reason(report) or "no reason given") if report.status is status else ""

    groups = [
        group(
            "Grading failed",
            "The grader's fault, not the student's: no mark. Grade these again.",
            lambda report: reason(report, Status.FAILED),
        ),
        group(
            "Rejected",
            "Not something that can be graded: no mark until the student hands in again.",
            lambda report: reason(report, Status.REJECTED),
        ),
        group(
            "Repaired or interrupted",
            "Graded after cells were put right or interrupted.",
            lambda report: "\n".join(words.notes(report)),
        ),
        group(
            "Stopped",
            "Checks that ran out of time or memory, or whose kernel died, earned no points.",
            lambda report: "; ".join(filter(None, map(_stopped, report.exercises))),
        ),
    ]
    return [group for group in groups if group.items]


def _stopped(exercise: ExerciseResult) -> str:
    """Which checks of an exercise were stopped by what, e.g. "1.3: timed out (2)"."""
    counts = Counter(check.outcome for check in exercise.checks if check.outcome in STOPPED)
    found = ", ".join(f"{outcome} ({count})" for outcome, count in counts.items())
    return f"{_label(exercise.id, exercise.title)}: {found}" if found else ""


def _histogram(scores: Sequence[float], max_score: float) -> _Histogram:
    step = _round_step(max_score, MAX_BINS)
    counts = [0] * ceil(max_score / step)
    for score in scores:
        counts[min(int(score / step + 1e-9), len(counts) - 1)] += 1
    tick = _round_step(max(counts), MAX_TICKS)
    return _Histogram(step, counts, [i * tick for i in range(ceil(max(counts) / tick) + 1)])


def _round_step(span: float, most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that covers the span in at most `most` steps."""
    scale = 1
    while True:
        for step in (scale, 2 * scale, 5 * scale):
            if step * most >= span:
                return step
        scale *= 10


def _not_attempted(exercise: ExerciseResult) -> bool:
    """Whether none of an exercise's checks met an attempt."""
    outcomes = {check.outcome for check in exercise.checks}
    return outcomes == {Outcome.NOT_ATTEMPTED}


def _full_marks(exercise: ExerciseResult) -> bool:
    return exercise.score is not None and exercise.score >= exercise.max_score - 1e-9


def _exercise_row(id: str, graded: Iterable[Report]) -> _ExerciseRow:
    results = [exercise for report in graded for exercise in report.exercises if exercise.id == id]
    checks: dict[str, _CheckRow] = {}
    for check in (check for exercise in results for check in exercise.checks):
        row = checks.setdefault(check.name, _CheckRow(check.title, check.hidden))
        row.attempted += check.outcome is not Outcome.NOT_ATTEMPTED
        row.failed += check.outcome not in (Outcome.NOT_ATTEMPTED, Outcome.PASSED)
    failed = [row for row in checks.values() if row.failed]
    return _ExerciseRow(
        id=id,
        title=results[0].title,
        written=all(exercise.written for exercise in results),
        submissions=len(results),
        max_score=max(exercise.max_score for exercise in results),
        scores=[exercise.score for exercise in results if exercise.score is not None],
        full_marks=sum(map(_full_marks, results)),
        not_attempted=sum(map(_not_attempted, results)),
        most_failed=sorted(failed, key=lambda row: -row.failed)[:MOST_FAILED],
    )


def _student_row(report: Report, ids: Sequence[str]) -> _StudentRow:
    exercises = {exercise.id: exercise for exercise in report.exercises}
    problems = []
    for exercise in report.exercises:
        checks = [check for check in exercise.checks if check.outcome is not Outcome.PASSED]
        if checks:
            problems.append((exercise, checks))
    scores = [exercises[id].score if id in exercises else None for id in ids]
    return _StudentRow(
        report=report,
        reason=words.reason(report),
        notes=words.notes(report),
        cells=[_exercise_cell(exercises.get(id)) for id in ids],
        problems=problems,
        keys=[report.student, str(report.status), report.score, *scores, report.seconds],
    )


def _exercise_cell(exercise: ExerciseResult | None) -> _Cell:
    if exercise is None:
        return _Cell("absent", "\N{EN DASH}", 0, "not part of this submission")
    if exercise.score is None:
        text = f"\N{EN DASH} / {_number(exercise.max_score)}"
        return _Cell("waiting", text, 0, f"{exercise.title}: waits for a mark")
    text = f"{_number(exercise.score)} / {_number(exercise.max_score)}"
    share = exercise.score / exercise.max_score if exercise.max_score else 0
    if _not_attempted(exercise):
        return _Cell("blank", text, share, f"{exercise.title}: not attempted")
    if stopped := _stopped(exercise):
        return _Cell("stopped", text, share, stopped)
    return _Cell("marked", text, share, exercise.title)
