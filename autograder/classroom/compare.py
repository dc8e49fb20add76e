"""Two runs of one class side by side: whose mark differs, by how much, and by which checks.

An instructor who has changed a test, or who grades with another version, compares the class as it
stands with a grades.json of before. In each direction it is the difference of what counts; marks by
hand and late penalties are in it. The functions are pure, but for reading the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from autograder.classroom.history import Snapshot, Step, step
from autograder.classroom.marks import SMALL, Mark
from autograder.classroom.report_text import label
from autograder.classroom.standing import Entry
from autograder.course.source import CourseError
from autograder.results import Report


@dataclass(frozen=True)
class Run:
    """One submission in one of the runs; `mark` is None without one."""

    report: Report
    mark: Mark | None


@dataclass(frozen=True)
class Difference:
    """A submission that stands differently.

    Attributes:
        before, after: the score, or what became of the submission if it has none.
        by: how many points it has more now; None if one of the runs has no mark.
        why: what moved, in words.
    """

    student: str
    before: str
    after: str
    by: float | None
    why: list[str]


@dataclass(frozen=True)
class CheckDifference:
    """How many submissions a check treats differently in one way."""

    exercise: str
    check: str
    before: str
    after: str
    students: int


@dataclass(frozen=True)
class Comparison:
    """What differs.

    Attributes:
        both: how many submissions are in both runs.
        means: of the scores of those who have one in both; None if nobody has.
        only_before, only_now: students who are in one run only.
    """

    both: int
    differences: list[Difference]
    checks: list[CheckDifference]
    means: tuple[float, float] | None
    only_before: list[str]
    only_now: list[str]


def read_run(path: Path, chapter: str) -> list[Run]:
    """An earlier run.

    Args:
        path: a grades.json, the folder of a report, or the folder of a class.

    Raises:
        CourseError: if there is no run of this chapter.
    """
    places = [path, path / "grades.json", path / "reports" / chapter / "grades.json"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise CourseError(
            f"there is no grades.json to compare with in {path}; give the file, the folder of a "
            f"report, or a class's folder with reports/{chapter}"
        )
    try:
        data = json.loads(found.read_text(encoding="utf-8"))
        runs = [_run(item) for item in data]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise CourseError(
            f"{found} is not a grades.json that this version can read; make it again there with "
            f"`autograder report {chapter}`"
        ) from None
    if others := sorted({run.report.assignment for run in runs} - {chapter}):
        raise CourseError(f"{found} is about {', '.join(others)}, not about {chapter}")
    return runs


def _run(data: dict[str, object]) -> Run:
    report, mark = Report.from_dict(data), data["mark"]
    if not isinstance(mark, dict):
        return Run(report, None)
    # Who is rejected may have an earlier mark, which counts.
    return Run(report, replace(Mark.of(report), late_penalty=float(mark["late_penalty"])))


def run_of(entry: Entry) -> Run:
    """The submission as it stands."""
    penalty = entry.mark.late_penalty if entry.mark is not None else 0.0
    mark = Mark.of(entry.shown) if entry.mark is not None else None
    return Run(entry.shown, mark and replace(mark, late_penalty=penalty))


def compare(before: Sequence[Run], now: Sequence[Run]) -> Comparison:
    """What differs, by student in the order of the second run."""
    old = {run.report.student: run for run in before}
    new = {run.report.student: run for run in now}
    pairs = [(old[student], run) for student, run in new.items() if student in old]
    scores = [(one.mark.score, two.mark.score) for one, two in pairs if one.mark and two.mark]
    found = [_difference(one, two) for one, two in pairs]
    return Comparison(
        both=len(pairs),
        differences=[difference for difference in found if difference is not None],
        checks=_checks(pairs),
        means=(mean(a for a, _ in scores), mean(b for _, b in scores)) if scores else None,
        only_before=[student for student in old if student not in new],
        only_now=[student for student in new if student not in old],
    )


def _difference(before: Run, after: Run) -> Difference | None:
    one, two = before.mark, after.mark
    said = [_said(run) for run in (before, after)]
    if one is None or two is None:
        if said[0] == said[1]:
            return None
        return Difference(after.report.student, said[0], said[1], None, [])
    moved = _moved(Snapshot.of(one, before.report, {}, True), after, two)
    if moved is None:
        return None
    by = two.score - one.score
    return Difference(after.report.student, said[0], said[1], by, moved.sentences())


def _moved(before: Snapshot, after: Run, mark: Mark) -> Step | None:
    return step(before, Snapshot.of(mark, after.report, {}, True), mark)


def _said(run: Run) -> str:
    return str(run.report.status) if run.mark is None else f"{run.mark.score:g}"


def _checks(pairs: Sequence[tuple[Run, Run]]) -> list[CheckDifference]:
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for one, two in pairs:
        outcomes = {
            (exercise.id, check.name): str(check.outcome)
            for exercise in one.report.exercises
            for check in exercise.checks
        }
        # Where one of the runs knows only the mark, no check has changed.
        if not outcomes:
            continue
        for exercise in two.report.exercises:
            for check in exercise.checks:
                was = outcomes.get((exercise.id, check.name), "no such check")
                if was != check.outcome:
                    name = label(exercise.id, exercise.title)
                    counts[name, check.title, was, str(check.outcome)] += 1
    return [CheckDifference(*names, students) for names, students in counts.most_common()]


def summary(comparison: Comparison) -> str:
    """The comparison in two sentences."""
    changes = [d.by for d in comparison.differences if d.by is not None]
    up, down = sum(by > SMALL for by in changes), sum(by < -SMALL for by in changes)
    said = f"{len(comparison.differences)} of {comparison.both} submissions differ: "
    said += f"{up} have more points, {down} fewer."
    if comparison.means is not None:
        said += " Mean: {:.2f} before, {:.2f} now.".format(*comparison.means)
    return said
