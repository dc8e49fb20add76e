"""What the commands show on the terminal: errors as sentences, tables, progress.

Tables go to standard output, 140 columns wide where that is no terminal; progress goes to standard
error, as a bar for people and as a line every ten seconds for logs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder import tables
from autograder.engine.text import clean_text
from autograder.results import ExerciseResult

if TYPE_CHECKING:
    from rich.progress import Progress

    from autograder.sandbox.doctor import Finding

SECONDS_BETWEEN_LINES = 10


@contextmanager
def errors() -> Iterator[None]:
    """Turns errors that the user can mend into a sentence."""
    from autograder.course.source import CourseError

    try:
        yield
    except CourseError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        where = f"{clean_text(str(error.filename))}: " if error.filename else ""
        print(f"Error: {where}{error.strerror or error}", file=sys.stderr)
        raise typer.Exit(1) from None


def show_exercise(exercise: ExerciseResult) -> None:
    if exercise.written:
        print(f"{exercise.title}: no checks; compare your text with the solved notebook\n")
        return
    print(f"{exercise.title}\n")
    footer = f"{exercise.score:g} of {exercise.max_score:g} points\n"
    print(tables.checks_as_text(exercise.checks, footer))


def print_findings(title: str, findings: Iterable[Finding]) -> None:
    table = Table("layer", "", "what was seen", box=None, pad_edge=False, title=title)
    for finding in findings:
        holds = "[green]holds[/]" if finding.holds else "[red]does not hold[/]"
        table.add_row(finding.layer, holds, escape(finding.seen))
    Console(width=None if sys.stdout.isatty() else 140).print(table, "")


@contextmanager
def what_is_kept(progress: _Bar | _Ticker) -> Iterator[None]:
    """Says after Ctrl-C what has not been for nothing."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            f"Stopped. {progress.done} of {progress.total} have been graded and are kept; "
            "the same command goes on with the rest.",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None


class _Pace:
    """How fast it goes, from the first that is done on: what came before was the start."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def count(self) -> None:
        self.done += 1
        if self.done == 1:
            self.first = time.monotonic()

    @property
    def rate(self) -> float:
        """A second; 0 as long as that cannot be said."""
        passed = time.monotonic() - self.first
        return (self.done - 1) / passed if passed else 0.0


class _Ticker(_Pace):
    """Progress for logs: a line every ten seconds."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.last = time.monotonic()

    def start(self, total: int) -> None:
        self.total = total

    def advance(self, _: object) -> None:
        self.count()
        now = time.monotonic()
        if now - self.last >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self.last = now
            said = f"{self.name}: {self.done} of {self.total} graded"
            if self.rate:
                left = (self.total - self.done) / self.rate
                said += f", {self.rate * 60:.0f} a minute, {left:.0f} s left"
            print(said, file=sys.stderr, flush=True)


class _Bar(_Pace):
    """Progress for people: a bar with a rate and the time left."""

    def __init__(self, name: str, progress: Progress):
        super().__init__()
        self.name, self.progress = name, progress

    def start(self, total: int) -> None:
        self.total = total
        self.task = self.progress.add_task(self.name, total=total, rate="")

    def advance(self, _: object) -> None:
        self.count()
        rate = f"{self.rate * 60:.0f} a minute" if self.rate else ""
        self.progress.update(self.task, advance=1, rate=rate)


@contextmanager
def progress(name: str) -> Iterator[_Bar | _Ticker]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

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
