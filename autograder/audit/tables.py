"""Shows audits on a terminal; `page` writes what is published."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from autograder.audit.verdict import Audit


def show(audits: Sequence[Audit]) -> None:
    """Prints two tables, what depends on luck, mutants that were accepted, and what fails."""
    exercises = [exercise for audit in audits for exercise in audit.exercises]
    console = Console(width=None if sys.stdout.isatty() else 140)
    summary = Table(box=None, pad_edge=False, header_style="bold")
    for column in (
        "exercise",
        "right accepted",
        "wrong rejected",
        "mutants rejected",
        "equivalent",
        "flaky",
        "seconds",
    ):
        summary.add_column(column, justify="left" if column == "exercise" else "right")
    checks = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("exercise", "check", "rejects", "alone"):
        checks.add_column(column, justify="right" if column in ("rejects", "alone") else "left")
    for exercise in exercises:
        mutants = exercise.mutants
        summary.add_row(
            exercise.id,
            f"{exercise.right_accepted} of {exercise.right}",
            f"{exercise.wrong_rejected} of {exercise.wrong}",
            f"{mutants.killed} of {mutants.tried}" if mutants else "",
            str(mutants.equivalent) if mutants else "",
            str(len(exercise.flaky)),
            f"{exercise.seconds:.1f}",
        )
        for check in exercise.checks:
            checks.add_row(exercise.id, check.name, str(len(check.rejects)), str(len(check.alone)))
    console.print(summary, "")
    console.print(checks, "")
    for exercise in exercises:
        for answer in exercise.flaky:
            print(f"{exercise.id}: depends on the seed: {answer}")
        for survivor in exercise.mutants.survivors if exercise.mutants else []:
            print(f"\n# a mutant of {exercise.id} that was accepted\n{survivor}")
    for audit in audits:
        for problem in audit.problems:
            print(f"FAILS: {problem}")
