"""The command line: `autograder build`, `autograder grade`, `autograder report`,
`autograder feedback`, `autograder audit`, `autograder doctor`, `autograder study`,
`autograder check`, `autograder progress`.

Exit codes: 0 all went well (a rejected submission is a result, not a failure), 1 something
failed or is stale, 2 wrong usage. Results go to standard output, progress to standard error.

What takes long to import, the grader and nbgrader, is imported by the command that needs it: so
`--help`, `study` and `progress` answer at once.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autograder import terminal, words
from autograder.classroom import commands as class_commands
from autograder.engine.text import clean_text
from autograder.files import write_whole
from autograder.results import Code, Outcome, Report
from autograder.study import chapter as studied
from autograder.study import commands as studying
from autograder.study.progress import Progress as LearnersProgress

if TYPE_CHECKING:
    from autograder.classroom.batch import Pool
    from autograder.classroom.records import ClassFolder
    from autograder.classroom.standing import Entry, Standing
    from autograder.classroom.work import Work
    from autograder.engine.grade import Engine
    from autograder.engine.options import Limits
    from autograder.sandbox.confine import Isolation

log = logging.getLogger(__name__)
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Builds the course, grades a class, and is there for somebody who learns alone.",
)
# These make the exit code 1: something is to be done again.
NOT_DONE = {Code.GRADER_FAILED, Code.NOT_KEPT, Code.NOT_ENTERED}


@app.command()
def build(
    chapters: Annotated[list[str] | None, typer.Argument(help="Default: all.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is stale; exit 1 if anything is.")
    ] = False,
) -> None:
    """Make release/ and notebooks/ from source/."""
    from autograder.course import build as builder
    from autograder.course.source import Course

    with terminal.errors():
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
    submitted: class_commands.Submitted = None,
    student: Annotated[
        list[str] | None, typer.Option(help="Only this student; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Submissions at once.")] = os.cpu_count() or 1,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Grade on the workers of this Dask scheduler, as tcp://host:8786."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results there, too.")
    ] = None,
    no_gradebook: Annotated[
        bool, typer.Option("--no-gradebook", help="Leave gradebook and autograded/ alone.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Grade again what has not changed.")
    ] = False,
    isolation: Annotated[
        str, typer.Option(help="auto (the strongest that holds here), full, process or none.")
    ] = "auto",
) -> None:
    """Grade submissions of CHAPTER into nbgrader's gradebook, and write the class report.

    CHAPTER may also be a homework of your own, an nbgrader assignment in source/.
    """
    from autograder.classroom import history
    from autograder.classroom.marks import Outline
    from autograder.classroom.report import write_report
    from autograder.classroom.standing import read_standing
    from autograder.classroom.unchanged import Known
    from autograder.course.source import Course, CourseError
    from autograder.engine.options import Limits

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    limits = Limits(threads=max(1, (os.cpu_count() or 1) // jobs))
    started = history.now()

    def grade_what_is_left(known: Known | None) -> tuple[list[Report], Outline]:
        certain = force or class_folder.lacks_records(chapter, student or ())
        with _engine(confined, class_folder, begin=certain and scheduler is None) as engine:
            from autograder.classroom import batch, homework  # while the fork server imports, too

            with (
                homework.opened(course, chapter, class_folder.folder) as work,
                _pool(work, engine, limits, jobs, scheduler) as pool,
                terminal.progress(chapter) as progress,
                terminal.what_is_kept(progress),
            ):
                reports = batch.grade_class(
                    pool,
                    work,
                    class_folder,
                    students=student or (),
                    gradebook=not no_gradebook,
                    force=force,
                    on_total=progress.start,
                    on_report=progress.advance,
                )
        if known is not None:
            _try_to_write(known.path, lambda: known.write(pool.key, work.outline))
        return reports, work.outline

    with terminal.errors():
        course = Course.find(Path.cwd())
        if is_chapter := chapter not in course.homework:
            course.folder(chapter)  # which there must be
        if scheduler and not is_chapter:
            raise CourseError(f"{chapter} is a homework, graded on this machine: no --scheduler")
        class_folder, confined = (
            class_commands.class_folder_at(course, submitted),
            _isolation_of_workers(isolation) if scheduler else _isolation(isolation),
        )
        known = Known(course, chapter, class_folder, confined, limits) if is_chapter else None
        found = known.reports(student or (), not no_gradebook) if known and not force else None
        reports, outline = found or grade_what_is_left(known)
        missing = sorted(set(student or ()) - {report.student for report in reports})
        if missing:
            raise CourseError(
                f"no submission of {chapter} by {clean_text(', '.join(missing))} "
                f"in {class_folder.submitted}"
            )
        standing = read_standing(outline, class_folder)
    folder = class_folder.folder / "reports" / chapter
    page = folder / "index.html"
    entries = _entries(standing, reports, gradebook=not no_gradebook)
    text = json.dumps([entry.as_json() for entry in entries], indent=1) + "\n"
    written = json_file is None or _try_to_write(json_file, lambda: write_whole(json_file, text))
    written &= _try_to_write(page, lambda: write_report(standing, outline.title, folder))
    class_commands.print_table(entries)
    class_commands.print_moves(entries, started)
    if not outline.judged:
        print(words.NOT_JUDGED)
    if standing.absent:
        print(f"Not handed in: {clean_text(', '.join(standing.absent))}")
    print(f"Report: {page}")
    open_ends = {reason.code for report in reports for reason in report.reasons} & NOT_DONE
    if open_ends or not written:
        raise typer.Exit(1)


@contextmanager
def _engine(isolation: Isolation, class_folder: ClassFolder, begin: bool) -> Iterator[Engine]:
    """An engine; it is certain to be needed if it shall `begin` to import what students use.

    It warns if the class's gradebook is one that this isolation does not keep submissions from.
    """
    from autograder.engine.grade import Engine
    from autograder.sandbox.confine import Isolation

    if isolation is not Isolation.FULL and class_folder.gradebook.has_socket:
        log.warning(
            "%s isolation does not keep submissions from a server on this machine, as %s is: where "
            "your account is its key, they can give any mark; grade with full isolation",
            isolation,
            class_folder.gradebook,
        )
    with Engine(isolation) as engine:
        if begin:
            engine.server.start()
        yield engine


@contextmanager
def _pool(
    work: Work[Any], engine: Engine, limits: Limits, jobs: int, scheduler: str | None
) -> Iterator[Pool]:
    """Who grades: this machine, or a scheduler's workers."""
    from autograder.classroom import batch
    from autograder.classroom.work import Chapter
    from autograder.course.source import CourseError

    if scheduler is None:
        with batch.here(engine, work, limits, jobs) as pool:
            yield pool
        return
    try:
        from autograder.classroom import worker
    except ImportError:
        raise CourseError(
            "--scheduler needs Dask, which is not installed here: tools/setup installs it"
        ) from None
    assert isinstance(work, Chapter)
    try:
        pools = worker.on_workers(scheduler, work, engine.isolation, limits)
    except ValueError as error:
        raise CourseError(f"--scheduler: {error}") from None
    with pools as pool:
        yield pool


def _isolation_of_workers(wanted: str) -> Isolation:
    """What has to hold on each worker; this machine runs no submission."""
    from autograder.course.source import CourseError
    from autograder.sandbox.confine import Isolation

    try:
        return Isolation.FULL if wanted == "auto" else Isolation(wanted)
    except ValueError:
        raise CourseError("--isolation is auto, full, process or none") from None


def _entries(standing: Standing, reports: Sequence[Report], gradebook: bool) -> list[Entry]:
    """What a run says of the submissions: its reports, with the marks that count.

    Without a gradebook, the marks are those of this run.
    """
    from autograder.classroom.standing import Entry

    known = {entry.report.student: entry for entry in standing.entries}
    entries = []
    for report in reports:
        made = Entry.of(report)
        entry = replace(known.get(report.student, made), report=report)
        entries.append(entry if gradebook else replace(entry, mark=made.mark))
    return entries


def _try_to_write(path: Path, write: Callable[[], object]) -> bool:
    """Whether it could be written; else says why not: the rest has to be said, too."""
    try:
        write()
    except OSError as error:
        log.error("%s cannot be written: %s", path, error.strerror)
        return False
    return True


def _isolation(wanted: str) -> Isolation:
    """The isolation asked for, if it holds here."""
    from autograder.course.source import CourseError
    from autograder.sandbox import doctor
    from autograder.sandbox.confine import SandboxError

    try:
        isolation, warning = doctor.choose(wanted)
    except ValueError:
        raise CourseError("--isolation is auto, full, process or none") from None
    except SandboxError as error:
        advice = "`autograder doctor` says more. For submissions that you trust: --isolation none"
        raise CourseError(f"{error}; {advice}") from None
    if warning:
        log.warning(warning)
    return isolation


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your own copy of a chapter.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results there, too.")
    ] = None,
) -> None:
    """Grade your own NOTEBOOK as a class is graded, from its first cell on, and show the checks."""
    if not notebook.is_file():
        raise typer.BadParameter(f"there is no file {notebook}")
    print(f"Running {notebook} from its first cell on, minutes …", file=sys.stderr, flush=True)
    from autograder.course.source import Course, CourseError
    from autograder.engine.grade import Engine
    from autograder.engine.handed_in import MAX_FILE_BYTES, Submission
    from autograder.engine.options import Limits
    from autograder.engine.submission import is_untouched

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    with terminal.errors():
        course = Course.find(notebook.resolve().parent)
        try:
            folder = studied.find_chapter(course.root, notebook.resolve().parent, notebook)
        except studied.NotFound as error:
            raise CourseError(str(error)) from None
        if folder is None:
            raise CourseError(f"{notebook} belongs to no chapter: {', '.join(course.chapters)}")
        with notebook.open("rb") as stream:
            submission = Submission("you", stream.read(MAX_FILE_BYTES + 1))
        assignment = course.assignment(folder.name)
        with_checks = [exercise for exercise in assignment.exercises if exercise.test_id]
        with Engine(_isolation_for_oneself()) as engine, terminal.progress("exercises") as progress:
            progress.start(len(with_checks))
            limits = Limits(threads=os.cpu_count() or 1)
            try:
                graded = engine.grade(assignment, submission, limits, on_exercise=progress.advance)
            except OSError as error:  # what follows the reason is the fork server's log
                print(
                    f"{notebook} could not be graded: {str(error).partition(': ')[0]}. It is not "
                    "the notebook's fault, and nothing was counted. Perhaps the computer is too "
                    "busy: close what you do not need, and try again."
                )
                raise typer.Exit(1) from None
    report = graded.report
    if json_file is not None:
        write_whole(json_file, json.dumps(words.as_json(report), indent=1) + "\n")
    if report.reasons:
        print(words.reason(report))
        raise typer.Exit(1)
    for note in words.notes(report):
        print(f"note: {note}")
    own = notebook.resolve().is_relative_to(course.root / "work")
    kept = LearnersProgress(course.root / "work" / "progress.sqlite") if own else None
    untouched = []
    for exercise in report.exercises:
        if graded.notebook and is_untouched(assignment, graded.notebook, exercise.id):
            untouched.append(exercise.title)
            continue
        terminal.show_exercise(exercise)
        tried = {result.outcome for result in exercise.checks} - {Outcome.NOT_ATTEMPTED}
        if kept and tried:
            score = exercise.score or 0.0
            kept.attempt(folder.name, exercise.id, score, exercise.max_score, exercise.checks)
    for title in untouched:
        print(f"not attempted: {title}")
    print(f"{report.score:g} of {report.max_score:g} points")


def _isolation_for_oneself() -> Isolation:
    """The strongest isolation that holds here, none if none does: a learner trusts themselves."""
    from autograder.course.source import CourseError
    from autograder.sandbox.confine import Isolation

    try:
        return _isolation("auto")
    except CourseError:
        log.warning("nothing confines your notebook here; `autograder doctor` says why")
        return Isolation.NONE


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
    from autograder.audit import answers, tables
    from autograder.audit import audit as auditing
    from autograder.audit import published as figures
    from autograder.course.source import Course, CourseError
    from autograder.engine.grade import Engine
    from autograder.engine.options import Limits

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    with terminal.errors():
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
        with Engine(_isolation("auto")) as engine, terminal.progress("audit") as progress:
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
def examine(
    class_: Annotated[
        bool,
        typer.Option("--class", help="Say instead what students on this machine could read."),
    ] = False,
) -> None:
    """Try each layer of the sandbox on this machine and say which hold."""
    from autograder.sandbox import doctor
    from autograder.sandbox.confine import Isolation

    if class_:
        raise typer.Exit(0 if _show_exposure() else 1)
    # Else the folder of the trial would stay until the next one begins.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for isolation in (Isolation.FULL, Isolation.PROCESS):
        terminal.print_findings(f"{isolation} isolation", doctor.examine(isolation))
    chosen, _ = doctor.best()
    print(f"autograder grade would use: {chosen}")
    raise typer.Exit(0 if chosen is Isolation.FULL else 1)


def _show_exposure() -> bool:
    """Whether nothing has to be changed before students work on this machine."""
    from autograder.classroom import machine
    from autograder.classroom.exchange import Exchange
    from autograder.course.source import Course

    with terminal.errors():
        course = Course.find(Path.cwd())
    findings = machine.examine(course.root, Exchange.configured(course.root))
    terminal.print_findings("students with an account on this machine", findings)
    return all(finding.holds for finding in findings)


app.command()(class_commands.report)
app.command()(class_commands.feedback)
app.command(context_settings=studying.PASS_ON)(studying.study)
app.command()(studying.progress)
students = typer.Typer(no_args_is_help=True, help="The students of a class.")
app.add_typer(students, name="student")
students.command(name="extend")(class_commands.extend_student)
students.command(name="remove")(class_commands.remove_student)


if __name__ == "__main__":
    app()
