"""Item analysis: how hard each exercise and check was, and whether it tells strong from weak work.

The instructor reads it to find tests that are wrong and errors that many make. The figures are
those of classical test theory; they are made of the marks that count and of what the checks found,
and change neither. The functions are pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import correlation

from autograder.classroom.marks import SMALL, ExerciseMark
from autograder.classroom.standing import Entry
from autograder.results import CheckResult, ExerciseResult, Outcome

STOPPED = (Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.KERNEL_DIED)
FEWEST = 10  # submissions; a correlation over fewer is noise
LOW = 0.2  # Ebel & Frisbie (1991), chapter 13: items below it are to be rejected or rewritten


@dataclass(frozen=True)
class Discrimination:
    """How well an item tells strong work from weak work.

    Attributes:
        value: from -1 to 1; None if it is not defined.
        why: why it is not; empty if it is.
    """

    value: float | None
    why: str = ""

    @property
    def verdict(self) -> str:
        """What is to be looked at; empty if nothing is."""
        if self.value is None or self.value >= LOW:
            return ""
        return "negative" if self.value < 0 else "low"


def discrimination(points: Sequence[float], rest: Sequence[float]) -> Discrimination:
    """The corrected item-total correlation: Pearson's r of an item's points with the other points.

    The item itself is left out of the total: with it, each item would correlate with itself
    (Henrysson 1963, Psychometrika 28:211; Crocker and Algina 1986, Introduction to Classical and
    Modern Test Theory, chapter 14). For an item that is passed or not, this is the corrected
    point-biserial correlation.

    Args:
        points: for the item, of each submission; nothing attempted counts as 0.
        rest: for all else, of each submission.
    """
    if len(points) < FEWEST:
        return Discrimination(None, f"fewer than {FEWEST} submissions")
    if max(points) - min(points) < SMALL:
        return Discrimination(None, "all have the same points here")
    if max(rest) - min(rest) < SMALL:
        return Discrimination(None, "all have the same points in the rest")
    return Discrimination(correlation(points, rest))


@dataclass
class CheckItem:
    """How a check went.

    Attributes:
        name: as its author gave it.
        number: which of its exercise's it is, from 1 on.
        reached: the share of its points that was reached, over all submissions with a mark.
        attempted, failed, stopped: how many attempted it, how many of them did not pass it, and how
            many of those it had to be stopped for.
        rows: who attempted it and did not pass, as indices into the class.
    """

    name: str
    number: int
    title: str
    hidden: bool
    reached: float | None
    discrimination: Discrimination
    attempted: int
    failed: int
    stopped: int
    rows: list[int]


@dataclass
class Approach:
    """Submissions that fail the very same checks of an exercise: they may share an error.

    Attributes:
        checks: the titles of the checks that did not pass.
        of: how many checks the exercise has.
        message: the one that most of them got.
        rows: indices into the class.
    """

    checks: list[str]
    of: int
    message: str
    rows: list[int]


@dataclass
class ExerciseItem:
    """How an exercise went.

    Attributes:
        scores: without the written answers that have no mark yet.
        rows: who did not get full marks, of those who have a mark, as indices into the class.
        approaches: the most frequent first.
    """

    id: str
    title: str
    written: bool
    waiting: int
    submissions: int
    max_score: float
    scores: list[float]
    full_marks: int
    not_attempted: int
    discrimination: Discrimination
    rows: list[int]
    checks: list[CheckItem] = field(default_factory=list)
    approaches: list[Approach] = field(default_factory=list)

    def most_failed(self, most: int) -> list[CheckItem]:
        """The checks that most of those who attempted them failed."""
        failed = [check for check in self.checks if check.failed]
        return sorted(failed, key=lambda check: -check.failed)[:most]


@dataclass(frozen=True)
class _Seen:
    """One submission's part in an exercise."""

    row: int
    result: ExerciseResult
    mark: ExerciseMark
    others: float  # points of the other exercises with checks
    check_points: float  # of all checks of all exercises


def not_attempted(exercise: ExerciseResult, mark: ExerciseMark | None) -> bool:
    """Whether none of an exercise's checks met an attempt, or a written answer is empty."""
    if mark is not None and mark.written:  # the engine marks an empty answer only
        return mark.by_checks == 0 and mark.by_hand is None
    return {check.outcome for check in exercise.checks} == {Outcome.NOT_ATTEMPTED}


def analyse(entries: Sequence[Entry]) -> list[ExerciseItem]:
    """All exercises, in the order of their first appearance.

    Total is what the exercises with checks gave: written answers may not have been marked yet.
    Submissions without a mark are left out.

    Args:
        entries: the class; `rows` are indices into it.
    """
    seen: dict[str, list[_Seen]] = {}
    for row, entry in enumerate(entries):
        if entry.mark is None:
            continue
        marks = entry.mark.exercises
        total = sum(m.score or 0.0 for m in marks if not m.written)
        results = entry.shown.exercises
        check_points = sum(check.points for result in results for check in result.checks)
        for result, mark in zip(results, marks, strict=True):
            others = total - (0.0 if mark.written else mark.score or 0.0)
            found = _Seen(row, result, mark, others, check_points)
            seen.setdefault(result.id, []).append(found)
    return [_exercise(id, all_seen) for id, all_seen in seen.items()]


def _exercise(id: str, seen: Sequence[_Seen]) -> ExerciseItem:
    marked = [one for one in seen if one.mark.score is not None]
    scores = [one.mark.score or 0.0 for one in marked]
    full = [one.row for one in marked if _full_marks(one.mark)]
    tried = [one for one in seen if not not_attempted(one.result, one.mark)]
    return ExerciseItem(
        id=id,
        title=seen[0].result.title,
        written=all(one.mark.written for one in seen),
        waiting=sum(one.mark.waiting for one in seen),
        submissions=len(seen),
        max_score=max(one.mark.max_score for one in seen),
        scores=scores,
        full_marks=len(full),
        not_attempted=len(seen) - len(tried),
        discrimination=discrimination(scores, [one.others for one in marked]),
        rows=sorted({one.row for one in marked} - set(full)),
        checks=_checks(seen),
        approaches=_approaches(tried),
    )


def _full_marks(mark: ExerciseMark) -> bool:
    return mark.score is not None and mark.score >= mark.max_score - SMALL


def _checks(seen: Iterable[_Seen]) -> list[CheckItem]:
    by_name: dict[str, list[tuple[_Seen, CheckResult]]] = {}
    for one in seen:
        for check in one.result.checks:
            by_name.setdefault(check.name, []).append((one, check))
    return [_check(number, found) for number, found in enumerate(by_name.values(), 1)]


def _check(number: int, found: Sequence[tuple[_Seen, CheckResult]]) -> CheckItem:
    points = [check.points for _, check in found]
    most = sum(check.max_points for _, check in found)
    tried = [(one, c) for one, c in found if c.outcome is not Outcome.NOT_ATTEMPTED]
    failed = [(one, c) for one, c in tried if c.outcome is not Outcome.PASSED]
    rest = [one.check_points - check.points for one, check in found]
    return CheckItem(
        name=found[0][1].name,
        number=number,
        title=found[0][1].title,
        hidden=found[0][1].hidden,
        reached=sum(points) / most if most else None,
        discrimination=discrimination(points, rest),
        attempted=len(tried),
        failed=len(failed),
        stopped=sum(check.outcome in STOPPED for _, check in failed),
        rows=[one.row for one, _ in failed],
    )


def _approaches(tried: Iterable[_Seen]) -> list[Approach]:
    groups: dict[tuple[str, ...], list[_Seen]] = {}
    for one in tried:
        names = tuple(c.name for c in one.result.checks if c.outcome is not Outcome.PASSED)
        if names:
            groups.setdefault(names, []).append(one)
    found = []
    for names, group in groups.items():
        checks = group[0].result.checks
        messages = Counter(
            check.message
            for one in group
            for check in one.result.checks
            if check.name in names and check.message
        )
        [(message, _)] = messages.most_common(1) or [("", 0)]
        titles = [check.title for check in checks if check.name in names]
        found.append(Approach(titles, len(checks), message, [one.row for one in group]))
    return sorted(found, key=lambda approach: -len(approach.rows))
