"""The command line: `autograder build`, `autograder grade`, `autograder report`,
`autograder audit`, `autograder doctor`.

Exit codes: 0 all went well (a rejected submission is a result, not a failure), 1 something
failed or is stale, 2 wrong usage. Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from autograder import words
from autograder.audit import answers, tables
from autograder.audit import audit as auditing
from autograder.audit import published as figures
from autograder.classroom import batch
from autograder.classroom.records import ClassFolder
from autograder.classroom.report import write_report
from autograder.course import build as builder
from autograder.course.source import Course, CourseError
from autograder.engine.grade import Engine
from autograder.engine.options import Limits
from autograder.files import write_whole
from autograder.results import Report, Status
from autograder.sandbox import doctor
from autograder.sandbox.confine import Isolation, SandboxError

log = logging.getLogger(__name__)
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__.splitlines()[0])
SECONDS_BETWEEN_LINES = 10
Submitted = Annotated[
    Path | None,
    typer.Option(help="Folder of STUDENT/CHAPTER/NAME.ipynb; default: the course's submitted/."),
]


@contextmanager
def _errors() -> Iterator[None]:
    """Turns errors that the user can mend into a sentence."""
    try:
        yield
    except CourseError as error:
        raise typer.BadParameter(str(error)) from None


@app.command()
def build(
    chapters: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is stale; exit 1 if anything is.")
    ] = False,
) -> None:
    """Make release/ and notebooks/ from source/."""
    with _errors():
        course = Course.find(Path.cwd())
        if check:
            stale = [s for name in chapters or course.chapters for s in builder.check(course, name)]
            stale += builder.orphans(course)
            for line in stale:
                print(f"stale: {line}")
            if stale:
                print("Run `autograder build` and commit what it writes.")
            raise typer.Exit(1 if stale else 0)
        for name in chapters or course.chapters:
            builder.build(course, name, log=print)


@app.command()
def grade(  # noqa: PLR0913  (one parameter an option)
    chapter: str,
    submitted: Submitted = None,
    student: Annotated[
        list[str] | None, typer.Option(help="Only this student; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Submissions at once.")] = os.cpu_count() or 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results there, too.")
    ] = None,
    no_gradebook: Annotated[
        bool, typer.Option("--no-gradebook", help="Leave gradebook.db and autograded/ alone.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Grade again what has not changed.")
    ] = False,
    isolation: Annotated[
        str, typer.Option(help="auto (the strongest that holds here), full, process or none.")
    ] = "auto",
) -> None:
    """Grade submissions of CHAPTER into nbgrader's gradebook, and write the class report."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    with _errors():
        course = Course.find(Path.cwd())
        assignment = course.assignment(chapter)
        class_folder = _class_folder(course, submitted)
        with Engine(_isolation(isolation)) as engine, _progress(assignment.name) as progress:
            reports = batch.grade_class(
                engine,
                course,
                assignment,
                class_folder,
                Limits(threads=max(1, (os.cpu_count() or 1) // jobs)),
                students=student or (),
                jobs=jobs,
                gradebook=not no_gradebook,
                force=force,
                on_total=progress.start,
                on_report=progress.advance,
            )
        missing = sorted(set(student or ()) - {report.student for report in reports})
        if missing:
            raise CourseError(
                f"no submission of {chapter} by {', '.join(missing)} in {class_folder.submitted}"
            )
    if json_file is not None:
        write_whole(json_file, json.dumps([words.as_json(r) for r in reports], indent=1) + "\n")
    page = _write_report(course, chapter, class_folder, None)
    _print_table(reports)
    print(f"Report: {page}")
    if any(report.status is Status.FAILED for report in reports):
        raise typer.Exit(1)


def _isolation(wanted: str) -> Isolation:
    """The isolation asked for, if it holds here."""
    try:
        isolation, missing = doctor.choose(wanted)
    except ValueError:
        raise CourseError("--isolation is auto, full, process or none") from None
    except SandboxError as error:
        advice = "`autograder doctor` says more. For submissions that you trust: --isolation none"
        raise CourseError(f"{error}; {advice}") from None
    if missing:
        log.warning("weaker isolation, without namespaces: %s", missing)
    return isolation


@app.command(name="audit")
def examine_tests(  # noqa: PLR0913  (one parameter an option)
    chapters: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    exercise: Annotated[
        list[str] | None, typer.Option(help="Only this exercise; may be repeated.")
    ] = None,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Try mutants of the reference solutions, too.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Try so many mutants of each solution, not all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Under how many seeds.")] = 5,
    # A judge waits while its kernel computes, and the other way round: with one grading for each
    # core, a tenth of the time is idle.
    jobs: Annotated[int, typer.Option(min=1, help="Gradings at once.")] = 2 * (os.cpu_count() or 1),
    json_path: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Write the results there: NAME.json for one chapter, else a folder that gets a "
            "file for each, CHAPTER.json. Those of exercises that are as they were are kept.",
        ),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            help="Only what differs from the results in this folder (see --json), an eighth of "
            "the rest, which the commit chooses, and a few answers to each exercise whose "
            "results are of another engine or other packages."
        ),
    ] = None,
) -> None:
    """Grade the collected answers to CHAPTERS: are right ones accepted and wrong ones rejected?"""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    with _errors():
        if json_path is not None and (exercise or published):
            raise CourseError("--json writes audits of whole chapters: not with a choice of them")
        course = Course.find(Path.cwd())
        names = list(dict.fromkeys(chapters or course.chapters))
        files: dict[str, Path] = {}
        if json_path is not None:
            files = figures.files(json_path, names)
            if json_path.suffix == ".json":
                if len(names) > 1:
                    raise CourseError("--json takes a folder where there are several chapters")
                files = {names[0]: json_path}
        limits = Limits(threads=max(1, (os.cpu_count() or 1) // jobs))
        environment = answers.environment(course)
        every = answers.collections(course, names, exercise or ())
        number = sample or (auditing.ALL if mutants else 0)
        targets = [auditing.Target(collection, number) for collection in every]
        if published is not None:
            known = figures.read_audits(figures.files(published, names))
            targets = figures.choose(every, known, environment, figures.commit(course.root), number)
            print(figures.explain(targets, len(every)), flush=True)
        earlier = figures.read_audits(files)
        with Engine(_isolation("auto")) as engine, _progress("audit") as progress:
            audit = auditing.Auditing(engine, targets, limits, environment, seeds, earlier)
            progress.start(audit.total)
            for step in audit.run(jobs):
                for _ in range(step.gradings):
                    progress.advance(step)
                if step.audit is not None and files:
                    figures.write_audit(step.audit, files[step.audit.chapter])
    audits = list(audit.audits.values())
    tables.show(audits)
    raise typer.Exit(1 if any(found.problems for found in audits) else 0)


@app.command(name="doctor")
def examine() -> None:
    """Try each layer of the sandbox on this machine and say which hold."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    for isolation in (Isolation.FULL, Isolation.PROCESS):
        table = Table(
            "layer", "", "what was seen", box=None, pad_edge=False, title=f"{isolation} isolation"
        )
        for finding in doctor.examine(isolation):
            holds = "[green]holds[/]" if finding.holds else "[red]does not hold[/]"
            table.add_row(finding.layer, holds, escape(finding.seen))
        console.print(table, "")
    chosen, _ = doctor.best()
    print(f"autograder grade would use: {chosen}")
    raise typer.Exit(0 if chosen is Isolation.FULL else 1)


@app.command()
def report(
    chapter: str,
    submitted: Submitted = None,
    output: Annotated[
        Path | None, typer.Option(help="Default: reports/CHAPTER beside submitted/.")
    ] = None,
) -> None:
    """Write the class report (HTML, CSV, JSON) on what has been graded."""
    with _errors():
        course = Course.find(Path.cwd())
        print(_write_report(course, chapter, _class_folder(course, submitted), output))


def _class_folder(course: Course, submitted: Path | None) -> ClassFolder:
    folder = submitted or course.root / "submitted"
    if not folder.is_dir():
        raise CourseError(
            f"there is no folder {folder}; collect the submissions there as STUDENT/CHAPTER/"
            "NAME.ipynb, or say with --submitted where they are"
        )
    return ClassFolder(folder)


def _write_report(
    course: Course, chapter: str, class_folder: ClassFolder, output: Path | None
) -> Path:
    folder = output or class_folder.folder / "reports" / chapter
    return write_report(class_folder.reports(chapter), course.assignment(chapter).title, folder)


class _Ticker:
    """Progress for logs: a line every ten seconds."""

    def __init__(self, name: str):
        self.name, self.total, self.done = name, 0, 0
        self.started = self.last = time.monotonic()

    def start(self, total: int) -> None:
        self.total = total

    def advance(self, _: object) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self.last = now
            rate = self.done / (now - self.started)
            left = (self.total - self.done) / rate
            print(
                f"{self.name}: {self.done} of {self.total} graded, "
                f"{rate * 60:.0f} a minute, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


class _Bar:
    """Progress for people: a bar with a rate and the time left."""

    def __init__(self, name: str, progress: Progress):
        self.name, self.progress = name, progress
        self.started = time.monotonic()

    def start(self, total: int) -> None:
        self.task = self.progress.add_task(self.name, total=total, rate="")

    def advance(self, _: object) -> None:
        self.progress.advance(self.task)
        done = self.progress.tasks[0].completed
        rate = done / (time.monotonic() - self.started) * 60
        self.progress.update(self.task, rate=f"{rate:.0f} a minute")


@contextmanager
def _progress(name: str) -> Iterator[_Bar | _Ticker]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Ticker(name)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bar(name, progress)


def _print_table(reports: list[Report]) -> None:
    exercises = next((report.exercises for report in reports if report.exercises), [])
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("student", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for exercise in exercises:
        table.add_column(exercise.title.split()[0], justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("notes")
    colours = {Status.GRADED: "green", Status.REJECTED: "yellow", Status.FAILED: "red"}
    for report in reports:
        cells = ["to mark" if e.score is None else f"{e.score:g}" for e in report.exercises]
        total = "" if report.score is None else f"{report.score:g}/{report.max_score:g}"
        notes = "; ".join([words.reason(report)] * bool(report.reasons) + words.notes(report))
        table.add_row(
            escape(report.student),
            f"[{colours[report.status]}]{report.status}[/]",
            *(cells or [""] * len(exercises)),
            total,
            escape(notes),
        )
    width = None if sys.stdout.isatty() else 140
    Console(width=width).print(table)


if __name__ == "__main__":
    app()
