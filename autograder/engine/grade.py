"""Grades one submission: bytes in, a `Report` and the executed notebook out.

`Engine.grade` keeps no state, changes no folder and opens no gradebook. What it needs of the
machine, a fork server (fork.py) and a folder that this shares with the grader, is the engine's,
and the engine is its caller's to close. So it runs the same in a thread, in a worker on another
machine and in a test.

What reads notebooks takes seconds to import: an engine can be made, and its fork server import what
students use, while this process has not got that far. Only `Engine.grade` imports it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from autograder.checks import Checks
from autograder.course.cells import grade_id, is_answer, is_test
from autograder.course.source import Assignment, Exercise
from autograder.engine.fork import ForkServer
from autograder.engine.handed_in import Submission
from autograder.engine.options import Graded, Limits, Trial
from autograder.results import CheckResult, ExerciseResult, Report, Status
from autograder.sandbox.confine import Isolation, SandboxError

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK_BYTES = 8 * 2**20  # of outputs that are kept, all cells together


class Engine:
    """What grading needs of this machine; several threads may grade with one engine.

    Nothing runs before the first submission comes, unless `engine.server.start()` is called.

    Args:
        isolation: how students' processes are confined.
    """

    def __init__(self, isolation: Isolation = Isolation.FULL):
        self.isolation = isolation
        self.server = ForkServer(isolation)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes and removes their folder; nothing can be graded afterwards."""
        self.server.close()

    def grade(
        self,
        assignment: Assignment,
        submission: Submission,
        limits: Limits,
        checks: Mapping[str, Collection[str]] | None = None,
        on_exercise: Callable[[str], object] = lambda _: None,
    ) -> Graded:
        """Repairs, executes and scores one submission.

        Args:
            checks: the names of those to run, by test cell, for the audit; None: all.
            on_exercise: called with the test cell's id when the checks of an exercise have run.

        Raises:
            SandboxError: the chapter needs connections that this isolation refuses.
            Exception: whatever is the grader's own fault; the submission is then not graded.
        """
        from autograder.engine.run import run
        from autograder.engine.submission import Rejected, parse, repair

        if assignment.loopback and self.isolation is Isolation.PROCESS:
            raise SandboxError(
                f"{assignment.name} connects processes with each other over TCP, which process "
                "isolation refuses; full isolation allows it (`autograder doctor` says what lacks)"
            )
        started = time.monotonic()
        report = Report(submission.student, assignment.name, Status.GRADED)
        report.notes += submission.notes
        try:
            notebook, notes = repair(assignment, parse(submission))
        except Rejected as rejected:
            report.status, report.reasons = Status.REJECTED, [rejected.remark]
            return Graded(report, None)
        report.notes += notes
        trial = Trial(limits.seed, checks=checks)
        full = limits.for_assignment(assignment)
        ran = asyncio.run(run(self.server, assignment, notebook, full, trial, on_exercise))
        _clean(notebook)
        report.notes += [replace(note, cell=_name(notebook, i)) for i, note in ran.notes.items()]
        report.exercises = _score(assignment, notebook, ran.results)
        by_checks = [exercise for exercise in report.exercises if not exercise.written]
        report.score = sum(exercise.score or 0.0 for exercise in by_checks)
        report.max_score = sum(exercise.max_score for exercise in by_checks)
        report.seconds = round(time.monotonic() - started, 2)
        return Graded(report, notebook, ran.cost)


def _clean(notebook: NotebookNode) -> None:
    """Cleans and cuts what comes from the student; the rest is the chapter's own."""
    from autograder.engine.sanitize import clean_cell

    left = NOTEBOOK_BYTES
    for cell in notebook.cells:
        if (is_answer(cell) or not grade_id(cell)) and not is_test(cell):
            left -= clean_cell(cell, left)


def _score(
    assignment: Assignment, notebook: NotebookNode, results: Mapping[str, list[CheckResult]]
) -> list[ExerciseResult]:
    """The exercises with their marks; the notebook's test cells get tables of their checks."""
    from autograder.course.build import make_solved
    from autograder.engine.submission import is_untouched

    scored = []
    visible = {cell.id: cell.source for cell in make_solved(assignment).cells}
    for exercise in assignment.exercises:
        if exercise.test_id is None:
            untouched = is_untouched(assignment, notebook, exercise.id)
            score, checks = (0.0 if untouched else None), []
        else:
            checks = results[exercise.test_id]
            score = float(sum(check.points for check in checks))
            _show(exercise, checks, notebook, visible[exercise.test_id])
        scored.append(ExerciseResult(exercise.id, exercise.title, score, exercise.points, checks))
    return scored


def _show(
    exercise: Exercise, results: list[CheckResult], notebook: NotebookNode, visible: str
) -> None:
    """Puts the visible part of the test cell and the table of checks into the notebook."""
    import nbformat

    (cell,) = (cell for cell in notebook.cells if grade_id(cell) == exercise.test_id)
    cell.source = visible
    table = Checks(points=exercise.points)
    table.results = results
    score = table.total()
    cell.outputs = [
        nbformat.v4.new_output("display_data", table.bundle()),
        nbformat.v4.new_output(
            "execute_result",
            {"text/plain": repr(score), "text/html": score._repr_html_()},
            execution_count=None,
        ),
    ]


def _name(notebook: NotebookNode, index: int) -> str:
    return grade_id(notebook.cells[index]) or f"added cell {index}"
