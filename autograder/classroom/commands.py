"""The commands on a class besides `autograder grade`: `autograder report`, `autograder feedback`,
`autograder student extend` and `autograder student remove`, and what `autograder grade` prints.
cli.py has them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder import terminal, words
from autograder.engine.text import clean_text
from autograder.results import Status

if TYPE_CHECKING:
    from autograder.classroom.compare import Comparison
    from autograder.classroom.records import ClassFolder
    from autograder.classroom.similarity import Similarity
    from autograder.classroom.standing import Entry, Standing
    from autograder.course.source import Course

Submitted = Annotated[
    Path | None,
    typer.Option(help="Folder of STUDENT/CHAPTER/NAME.ipynb; default: the course's submitted/."),
]


def report(
    chapter: str,
    submitted: Submitted = None,
    output: Annotated[
        Path | None, typer.Option(help="Default: reports/CHAPTER beside submitted/.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            help="Say also what differs from an earlier run: its grades.json, or the folder of its "
            "report or of its class."
        ),
    ] = None,
    similarity: Annotated[
        Path | None,
        typer.Option(
            help="Write each exercise's code there for JPlag or Dolos, and show what they found."
        ),
    ] = None,
) -> None:
    """Write the class report (HTML, CSV, JSON) on what has been graded."""
    from autograder.classroom import compare as comparing
    from autograder.course.source import Course

    with terminal.errors():
        course = Course.find(Path.cwd())
        class_folder = class_folder_at(course, submitted)
        # Before the report is written, which may be in the same place.
        before = comparing.read_run(compare, chapter) if compare is not None else None
        page, standing = _write_report(course, chapter, class_folder, output, similarity)
        if before is not None:
            now = [comparing.run_of(entry) for entry in standing.entries]
            print_comparison(comparing.compare(before, now))
        print(page)


def feedback(
    chapter: str,
    submitted: Submitted = None,
    student: Annotated[
        list[str] | None, typer.Option(help="Only this student; may be repeated.")
    ] = None,
    mark_schemes: Annotated[
        bool, typer.Option("--mark-schemes", help="Show them, when all work is in.")
    ] = False,
) -> None:
    """Make the feedback on CHAPTER that is due, and release it to the students."""
    from autograder.classroom.feedback import give_feedback
    from autograder.course.source import Course

    with terminal.errors():
        course = Course.find(Path.cwd())
        folder = class_folder_at(course, submitted).folder
        given = give_feedback(
            course,
            chapter,
            folder,
            students=student or (),
            mark_schemes=mark_schemes,
            on_student=lambda name: print(f"{chapter}: {name}", file=sys.stderr),
        )
    counts = len(given.made), len(given.current), len(given.released)
    print("made: {}, unchanged: {}, released: {}".format(*counts))
    if given.not_collected:
        print(
            "not released, since their work did not come through the exchange: "
            f"{', '.join(given.not_collected)}"
        )
    for name, problem in given.problems.items():
        print(f"{name}: {problem}")
    print(f"Pages: {folder / 'feedback'}/STUDENT/{chapter}/")
    if given.problems:
        raise typer.Exit(1)


def extend_student(
    name: Annotated[str, typer.Argument(help="As class list or submitted/ has it.")],
    chapter: str,
    submitted: Submitted = None,
    until: Annotated[
        str | None,
        typer.Option(help='Such as "2027-01-17 23:59 Europe/Berlin"; without a zone, UTC.'),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=0, max=1000, help="After the due date; 0 takes the extension back."),
    ] = None,
) -> None:
    """Give student NAME more time for CHAPTER, instead of what they were given before."""
    from autograder.classroom.exchange import Exchange
    from autograder.classroom.extension import extend, parse_time
    from autograder.course.source import Course, CourseError

    with terminal.errors():
        if (until is None) is (days is None):
            raise CourseError("say either --until or --days")
        course = Course.find(Path.cwd())
        if chapter not in course.homework:
            course.folder(chapter)  # which there must be
        # Nothing need have been collected yet.
        class_folder = class_folder_at(course, submitted, may_lack=submitted is None)
        more = parse_time(until) if until is not None else timedelta(days=days or 0)
        exchange = Exchange.configured(course.root)
        due, given = extend(class_folder, exchange, name, chapter, more)
    if not given:
        print(f"{name}: {chapter}: no extension, as for everybody")
    elif due is not None:
        print(
            f"{name}: {chapter} is due at {due + given:%Y-%m-%d %H:%M} UTC; "
            f"for the others, at {due:%Y-%m-%d %H:%M} UTC"
        )
    print(f"Late penalties follow with the next `autograder grade {chapter}`.")


def remove_student(
    name: Annotated[str, typer.Argument(help="As submitted/ has it.")],
    submitted: Submitted = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all that the class's folder and nbgrader's exchange hold of student NAME."""
    from autograder.classroom.exchange import Exchange
    from autograder.classroom.removal import Traces
    from autograder.course.source import Course, CourseError

    with terminal.errors():
        course = Course.find(Path.cwd())
        class_folder = class_folder_at(course, submitted)
        exchange = Exchange.configured(course.root)
        traces = Traces.find(class_folder, exchange, name)
        if not traces:
            raise CourseError(f"there is nothing of {name} in {class_folder.folder}")
        print(f"To be deleted of {name}:")
        for path in traces.paths:
            print(f"  {path}")
        if traces.marks is not None:
            print(
                f"  in {class_folder.gradebook}: the student, "
                f"marks of {', '.join(traces.marks) or 'nothing'}"
            )
        for chapter in traces.reports:
            print(f"  in reports/{chapter}: the student's lines")
        print("Not found by this: backups, files that --json or an export wrote, copies elsewhere.")
        if not yes:
            typer.confirm("Delete all of it?", abort=True)

        def write_again(chapter: str) -> None:
            _write_report(course, chapter, class_folder, None)

        with class_folder.one_grader():  # which may have written something meanwhile
            problems = Traces.find(class_folder, exchange, name).remove(write_again)
    for problem in problems:
        print(f"not deleted: {problem}", file=sys.stderr)
    print(f"{name} is out of this class." if not problems else "Delete the rest as its owner.")
    raise typer.Exit(1 if problems else 0)


def class_folder_at(course: Course, submitted: Path | None, may_lack: bool = False) -> ClassFolder:
    from autograder.classroom.process import prepare
    from autograder.classroom.records import ClassFolder
    from autograder.course.source import CourseError

    folder = submitted or course.root / "submitted"
    if not may_lack and not folder.is_dir():
        raise CourseError(
            f"there is no folder {folder}; collect the submissions there as STUDENT/CHAPTER/"
            "NAME.ipynb, or say with --submitted where they are"
        )
    class_folder = ClassFolder(folder)
    prepare(class_folder.folder)
    return class_folder


def _write_report(
    course: Course,
    chapter: str,
    class_folder: ClassFolder,
    output: Path | None,
    similarity: Path | None = None,
) -> tuple[Path, Standing]:
    from autograder.classroom import homework
    from autograder.classroom.report import write_report
    from autograder.classroom.standing import read_standing

    folder = output or class_folder.folder / "reports" / chapter
    with homework.opened(course, chapter, class_folder.folder) as work:
        outline = work.outline
    standing = read_standing(outline, class_folder)
    alike = None
    if similarity is not None:
        alike = _similarity(course, chapter, class_folder, standing, similarity)
    return write_report(standing, outline.title, folder, alike), standing


def _similarity(
    course: Course, chapter: str, class_folder: ClassFolder, standing: Standing, folder: Path
) -> Similarity:
    from autograder.classroom.similarity import read_results, write_code
    from autograder.course.source import CourseError

    if chapter in course.homework:
        raise CourseError("--similarity knows the exercises of chapters, not those of a homework")
    assignment = course.assignment(chapter)
    names = {
        entry.report.student: entry.name
        for entry in standing.entries
        if entry.report.status is Status.GRADED
    }
    missing = write_code(folder, assignment, class_folder, names)
    print(f"Code of {len(names) - len(missing)} submissions: {folder}")
    if missing:
        print(
            f"Without code, since autograded/ has no notebook of theirs: "
            f"{clean_text(', '.join(missing))}. `autograder grade {chapter}` makes them."
        )
    return read_results(folder, assignment, names)


def print_comparison(comparison: Comparison) -> None:
    """Says who stands differently, by how much and why, and which checks changed."""
    from autograder.classroom.compare import summary

    console = Console(width=None if sys.stdout.isatty() else 140)
    if comparison.differences:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("student", no_wrap=True)
        for name in ("before", "now", "by"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("what moved")
        for item in comparison.differences:
            table.add_row(
                escape(clean_text(item.student)),
                item.before,
                item.after,
                "" if item.by is None else f"{item.by:+g}",
                escape(clean_text("; ".join(item.why))),
            )
        console.print(table)
    if comparison.checks:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("submissions", justify="right", no_wrap=True)
        for name in ("exercise", "check", "before", "now"):
            table.add_column(name)
        for check in comparison.checks:
            texts = (check.exercise, check.check, check.before, check.after)
            table.add_row(str(check.students), *(escape(clean_text(text)) for text in texts))
        console.print(table)
    print(summary(comparison))
    for heading, students in (
        ("Only before", comparison.only_before),
        ("Only now", comparison.only_now),
    ):
        if students:
            print(f"{heading}: {clean_text(', '.join(students))}")


def print_table(entries: Sequence[Entry]) -> None:
    reports = [entry.shown for entry in entries]
    # A homework's cells have names, which are too long for columns, instead of numbers.
    exercises = next((r.exercises for r in reports if r.exercises and r.judged), [])
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("student", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for exercise in exercises:
        table.add_column(
            (exercise.title.split() or [exercise.id])[0], justify="right", no_wrap=True
        )
    late = any(entry.mark is not None and entry.mark.late_penalty for entry in entries)
    if late:
        table.add_column("late", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("notes")
    colours = {Status.GRADED: "green", Status.REJECTED: "yellow", Status.FAILED: "red"}
    for entry, report in zip(entries, reports, strict=True):
        own = report.exercises if exercises else []
        cells = ["to mark" if e.score is None else f"{e.score:g}" for e in own]
        penalty = f"{0 - entry.mark.late_penalty:g}" if entry.mark is not None else ""
        total = (
            ""
            if None in (report.score, report.max_score)
            else f"{report.score:g}/{report.max_score:g}"
        )
        notes = [words.reason(report)] * bool(report.reasons) + words.brief_notes(report)
        table.add_row(
            escape(clean_text(report.student)),
            f"[{colours[report.status]}]{report.status}[/]",
            *(cells or [""] * len(exercises)),
            *([penalty] * late),
            total,
            escape(clean_text("; ".join(notes))),
        )
    width = None if sys.stdout.isatty() else 140
    Console(width=width).print(table)


def print_moves(entries: Sequence[Entry], started: str) -> None:
    """Says whose mark this run has moved, and whose mark by hand it may have overtaken."""
    for entry in entries:
        student = clean_text(entry.report.student)
        for step in entry.history[1:]:
            if step.time >= started and step.graded_again:
                print(f"moved: {student}: {'; '.join(step.sentences())}")
        for mark in entry.mark.exercises if entry.mark is not None else ():
            if mark.look_again:
                print(f"look again: {student}: {mark.why_again}")
