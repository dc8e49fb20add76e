"""Tries solutions out beside their tests, in one process: for answers that need not be distrusted.

There is no kernel and no proxy, as in a learner's own notebook. That takes a tenth of a
submission's time. The process is a judge that runs the answers' cells, too (engine/judge_link.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from autograder.course.cells import grade_id, is_answer, is_demo, is_test
from autograder.course.source import Assignment
from autograder.engine.clock import Clock
from autograder.engine.fork import ForkServer
from autograder.engine.judge_link import JudgedCell, JudgeLink, Judging
from autograder.engine.options import Limits, Trial
from autograder.results import CheckResult

Results = dict[str, list[CheckResult]]  # of the checks, by test cell


def try_out(
    server: ForkServer, solved: Sequence[tuple[Assignment, Sequence[Trial]]], limits: Limits
) -> list[list[Results]]:
    """Runs assignments' test cells beside their own solutions, once for each trial.

    Each assignment begins with names of its own, but what a solution does to a library stays done.

    Args:
        server: an engine's.
        limits: the time for all cells and checks is for each trial.

    Raises:
        Exception: whatever is the grader's own fault.
    """
    return asyncio.run(_try_out(server, solved, limits))


async def _try_out(
    server: ForkServer, solved: Sequence[tuple[Assignment, Sequence[Trial]]], limits: Limits
) -> list[list[Results]]:
    link: JudgeLink | None = None
    found = []
    try:
        for assignment, trials in solved:
            full = limits.for_assignment(assignment)
            patient = replace(full, notebook_seconds=(full.notebook_seconds or 0) * len(trials))
            clock, cells = Clock(patient), _cells(assignment)
            judging = Judging(server, limits.threads, clock, cells, names=None, link=link)
            results: list[Results] = [{} for _ in trials]
            try:
                for exercise in assignment.exercises:
                    if exercise.test_id is None:
                        continue
                    for trial, by_test in zip(trials, results, strict=True):
                        checks, _ = await judging.test(exercise, trial, _no_call)
                        by_test[exercise.test_id] = checks
            finally:
                link = judging.link
            found.append(results)
    finally:
        if link is not None:
            link.stop()
    return found


def _cells(assignment: Assignment) -> list[JudgedCell]:
    """Set-up, solutions and tests."""
    return [
        JudgedCell(
            str(grade_id(cell)),
            cell.source,
            is_test(cell),
            is_answer(cell),
        )
        for cell in assignment.source.cells
        if cell.cell_type == "code" and not is_demo(cell)
    ]


async def _no_call(_: bytes) -> bytes:
    raise AssertionError("a judge with the answers has nobody to call")
