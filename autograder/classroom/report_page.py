"""The class report's page: what it shows, figure by figure.

templates/report.html.j2 lays it out, with report.css.j2 for its looks; report.js.j2 searches, sorts
and filters what stands there. Without scripts the page says the same. It is made for a thousand
submissions: a student's row is one line, and what it opens calls checks by their numbers, whose
titles stand once, with the exercise; a script puts them in.

The template engine escapes all text, after `clean` has taken out what no reader should get.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from statistics import mean, median

from jinja2 import Environment, PackageLoader, StrictUndefined

from autograder import words
from autograder.classroom.history import Step
from autograder.classroom.items import LOW, STOPPED, ExerciseItem, analyse, not_attempted
from autograder.classroom.marks import ExerciseMark, Mark
from autograder.classroom.report_text import clean, label, number, percent, shortened, titles
from autograder.classroom.similarity import Similarity
from autograder.classroom.standing import Entry, Standing
from autograder.results import CheckResult, ExerciseResult, Outcome, Report, Status

MOST_FAILED = 3
MOST_APPROACHES, MOST_STUDENTS = 5, 6
MAX_BINS, MAX_TICKS = 12, 5
MAX_MESSAGE = 300  # characters of a check's message that the page shows


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
    flag: str = ""  # what stands in the student's row

    @property
    def rows(self) -> list[int]:
        """Whom it is about."""
        return [item.student for item in self.items]


@dataclass
class _Moved:
    """A submission whose mark has moved: its last step, and the same in words."""

    student: int  # index into the reports
    step: Step
    text: str


@dataclass
class _Histogram:
    """Counts of scores in bins `step` wide that start at 0; the last one includes its upper end."""

    step: int
    counts: list[int]
    ticks: list[int]  # of the axis of counts, from 0


@dataclass
class _Option:
    """One choice of a filter: the submissions that it leaves, as indices into the reports."""

    text: str
    rows: list[int]


@dataclass
class _Filter:
    """One menu above the students; its options are in groups, of which one may have no name."""

    name: str
    everything: str
    groups: list[tuple[str, list[_Option]]]


@dataclass
class _Cell:
    """One exercise of one student: `state` is the CSS class, `text` the points.

    `said` is the state in words, for who cannot see it; `tooltip` what else there is to say.
    """

    state: str
    text: str
    share: float
    said: str = ""
    tooltip: str = ""


@dataclass
class _Problem:
    """Checks of an exercise that did not pass, with the same outcome and message.

    With each check goes where it stands among the exercises: their places, from 0 on, and its own.
    """

    outcome: Outcome
    message: str
    checks: list[tuple[str, CheckResult]]


@dataclass
class _StudentRow:
    report: Report
    name: str
    late: str
    history: list[str]
    link: str  # to the submission in formgrader
    reason: str
    notes: list[str]
    flags: list[str]
    cells: list[_Cell]
    problems: list[tuple[str, list[_Problem]]]  # by exercise
    not_attempted: list[str]  # titles of exercises


def page(standing: Standing, title: str, similarity: Similarity | None = None) -> str:
    """The page as HTML, in one file that fetches nothing."""
    environment = Environment(
        loader=PackageLoader("autograder"),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, percent=percent, shortened=shortened)
    entries = standing.entries
    reports = [entry.shown for entry in entries]
    marked = [entry for entry in entries if entry.mark is not None]
    graded = [entry.shown for entry in marked]
    scores = [report.score for report in graded if report.score is not None]
    max_score = max((report.max_score or 0 for report in graded), default=None)
    columns = _columns(reports)
    exercises = analyse(entries)
    by_hand = [m for entry in marked for m in entry.mark.exercises if m.written]  # type: ignore[union-attr]
    attention = _attention(entries)
    moved = _moved(entries)
    flags = [(group.flag, set(group.rows)) for group in attention if group.flag]
    places = {
        (item.id, check.name): f"{place}-{check.number}"
        for place, item in enumerate(exercises)
        for check in item.checks
    }
    flags.append(("moved", {item.student for item in moved}))
    return environment.get_template("report.html.j2").render(
        title=title,
        assignments=list(dict.fromkeys(report.assignment for report in reports)),
        problem=standing.problem,
        reports=reports,
        not_judged="" if all(report.judged for report in reports) else words.NOT_JUDGED,
        submissions=len(reports),
        statuses={str(s): sum(report.status is s for report in reports) for s in Status},
        scores=scores,
        median=median(scores) if scores else None,
        mean=mean(scores) if scores else None,
        max_score=max_score,
        written_points=sum(row.max_score for row in exercises if row.written),
        written_answers=len(by_hand),
        waiting=sum(mark.waiting for mark in by_hand),
        attention=attention,
        moved=moved,
        missing=[
            (heading, names)
            for heading, names in [
                ("Not handed in", standing.absent),
                ("Handed in, not graded yet", standing.ungraded),
            ]
            if names
        ],
        histogram=_histogram(scores, max_score) if scores and max_score else None,
        exercises=exercises,
        low=LOW,
        stopped=STOPPED,
        most_failed=MOST_FAILED,
        most_approaches=MOST_APPROACHES,
        most_students=MOST_STUDENTS,
        max_message=MAX_MESSAGE,
        similarity=similarity,
        rows_of={report.student: row for row, report in enumerate(reports)},
        columns=columns,
        filters=_filters(entries, attention, moved, exercises),
        students=[
            _student_row(
                entry,
                columns,
                places,
                standing.server,
                [flag for flag, rows in flags if row in rows],
            )
            for row, entry in enumerate(entries)
        ],
    )


@dataclass
class _Column:
    """One exercise above the students: `most` is what nearly all of them could reach."""

    id: str
    label: str
    title: str
    most: float


def _columns(reports: Sequence[Report]) -> list[_Column]:
    points: dict[str, Counter[float]] = {}
    for report in reports:
        for exercise in report.exercises:
            points.setdefault(exercise.id, Counter())[exercise.max_score] += 1
    return [
        _Column(id, label(id, title), title, points[id].most_common(1)[0][0])
        for id, title in titles(reports).items()
    ]


def _attention(entries: Sequence[Entry]) -> list[_Group]:
    """Submissions that a person should look at, by what is the matter; no empty groups."""

    def group(heading: str, explanation: str, flag: str, text: Callable[[Entry], str]) -> _Group:
        texts = [text(entry) for entry in entries]
        items = [_Item(index, text) for index, text in enumerate(texts) if text]
        return _Group(heading, explanation, items, flag)

    def reason(report: Report, status: Status) -> str:
        return (words.reason(report) or "no reason given") if report.status is status else ""

    groups = [
        group(
            "Grading failed",
            "The grader's fault, not the student's: no mark. Grade these again.",
            "",  # the row's status says so
            lambda entry: reason(entry.report, Status.FAILED),
        ),
        group(
            "Rejected",
            "Not something that can be graded: no mark until the student hands in again.",
            "",
            lambda entry: reason(entry.report, Status.REJECTED),
        ),
        group(
            "Marks by hand to look at again",
            "A person gave these marks before the answer or its checks changed; they still count.",
            "look again",
            lambda entry: _look_again(entry.mark),
        ),
        group(
            "Repaired or interrupted",
            "Graded after cells were put right or interrupted.",
            "repaired or interrupted",
            lambda entry: "\n".join(words.brief_notes(entry.report)),
        ),
        group(
            "Stopped",
            "Checks that ran out of time or memory, or whose kernel died, earned no points.",
            "stopped",
            lambda entry: "; ".join(filter(None, map(_stopped, entry.report.exercises))),
        ),
    ]
    return [group for group in groups if group.items]


def _look_again(mark: Mark | None) -> str:
    marks = mark.exercises if mark is not None else ()
    return "\n".join(exercise.why_again for exercise in marks if exercise.look_again)


def _moved(entries: Sequence[Entry]) -> list[_Moved]:
    """Whose mark has moved at last, how, the latest first. A first mark has not moved."""
    found = []
    for index, entry in enumerate(entries):
        steps = zip(entry.history, _steps(entry), strict=True)
        moved = [_Moved(index, step, text) for step, text in steps if step.changes_a_mark]
        found += moved[-1:]
    return sorted(found, key=lambda moved: moved.step.time, reverse=True)


def _steps(entry: Entry) -> list[str]:
    """The marks that the submission has had, oldest first, in words."""
    said = []
    for step in entry.history:
        score = f"{_day(step)}: {number(step.score)} of {number(step.max_score)}"
        if not step.entered:
            score += ", in a run without gradebook"
        said.append("; ".join([score, *step.sentences()]))
    return said


def _day(step: Step) -> str:
    return step.time[:16].replace("T", " ") + " UTC"


def _stopped(exercise: ExerciseResult) -> str:
    """Which checks of an exercise were stopped by what, e.g. "1.3: timed out (2)"."""
    counts = Counter(check.outcome for check in exercise.checks if check.outcome in STOPPED)
    found = ", ".join(f"{outcome} ({count})" for outcome, count in counts.items())
    return f"{label(exercise.id, exercise.title)}: {found}" if found else ""


def _filters(
    entries: Sequence[Entry],
    attention: Sequence[_Group],
    moved: Sequence[_Moved],
    exercises: Sequence[ExerciseItem],
) -> list[_Filter]:
    """The menus above the students, without choices that would leave nobody."""

    def rows(holds: Callable[[Entry], object]) -> list[int]:
        return [row for row, entry in enumerate(entries) if holds(entry)]

    def rows_with(status: Status) -> list[int]:
        return rows(lambda entry: entry.report.status is status)

    statuses = [_Option(str(status), rows_with(status)) for status in Status]
    waits = rows(lambda entry: entry.mark is not None and entry.mark.waiting)
    late = rows(lambda entry: entry.mark is not None and _late(entry.mark))
    flags = [_Option("waiting for a mark", waits)]
    flags += [_Option(group.flag, group.rows) for group in attention if group.flag]
    flags += [_Option("late", late), _Option("mark moved", [item.student for item in moved])]
    failed = []
    for item in exercises:
        name = label(item.id, item.title)
        choices = [_Option(f"{name}: not full marks", item.rows)]
        choices += [_Option(f"{name}: {check.title}", check.rows) for check in item.checks]
        failed.append((item.title, choices))
    made = [
        _Filter("Status", "any status", [("", statuses)]),
        _Filter("Flag", "with or without", [("", flags)]),
        _Filter("Failed", "anything or nothing", failed),
    ]
    for one in made:
        one.groups = [(name, [o for o in options if o.rows]) for name, options in one.groups]
        one.groups = [(name, options) for name, options in one.groups if options]
    return [one for one in made if one.groups]


def _late(mark: Mark) -> bool:
    return bool(mark.seconds_late or mark.late_penalty)


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


def _student_row(
    entry: Entry,
    columns: Sequence[_Column],
    places: Mapping[tuple[str, str], str],
    server: str,
    flags: list[str],
) -> _StudentRow:
    report, mark = entry.shown, entry.mark
    exercises = {exercise.id: exercise for exercise in report.exercises}
    marks = {m.id: m for m in mark.exercises} if mark is not None else {}
    problems, left_out = [], []
    for exercise in report.exercises:
        if not_attempted(exercise, marks.get(exercise.id)):
            left_out.append(exercise.title)
        elif found := _problems(exercise, places):
            problems.append((exercise.title, found))
    late = ""
    if mark is not None and _late(mark):
        late = f"{_duration(mark.seconds_late)} late: {number(-mark.late_penalty)}"
    return _StudentRow(
        report=report,
        name=entry.name,
        late=late,
        history=_steps(entry)[1:] and _steps(entry),
        link=f"{server}{mark.place}" if mark is not None and mark.place else "",
        reason=words.reason(report),
        notes=words.notes(report),
        flags=flags,
        cells=[_exercise_cell(exercises.get(c.id), marks.get(c.id), c.most) for c in columns],
        problems=problems,
        not_attempted=left_out,
    )


def _problems(exercise: ExerciseResult, places: Mapping[tuple[str, str], str]) -> list[_Problem]:
    """Neighbours that say the same become one: after an error, all checks may do so."""
    checks = [check for check in exercise.checks if check.outcome is not Outcome.PASSED]
    groups = groupby(checks, lambda check: (check.outcome, check.message))
    return [
        _Problem(
            outcome,
            shortened(message, MAX_MESSAGE),
            [(places[exercise.id, check.name], check) for check in group],
        )
        for (outcome, message), group in groups
    ]


def _duration(seconds: float) -> str:
    """The largest unit of which there is one, e.g. "3 h"."""
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} s"


def _exercise_cell(
    exercise: ExerciseResult | None, mark: ExerciseMark | None, most: float
) -> _Cell:
    if exercise is None or mark is None:
        return _Cell("absent", "\N{EN DASH}", 0, "not part of this submission")
    points = "\N{EN DASH}" if exercise.score is None else number(exercise.score)
    text = points if exercise.max_score == most else f"{points} / {number(exercise.max_score)}"
    share = (exercise.score or 0) / exercise.max_score if exercise.max_score else 0
    return _Cell(text=text, share=share, **_state(exercise, mark))


def _state(exercise: ExerciseResult, mark: ExerciseMark) -> dict[str, str]:
    if exercise.score is None:
        return {"state": "waiting", "said": "waits for a mark"}
    if mark.waiting:
        return {"state": "waiting", "said": "waits for a look", "tooltip": mark.why_again}
    if not_attempted(exercise, mark):
        return {"state": "blank", "said": "not attempted"}
    if stopped := _stopped(exercise):
        return {"state": "stopped", "said": "stopped", "tooltip": stopped}
    return {"state": "marked", "said": "" if mark.by_hand is None else "by hand"}
