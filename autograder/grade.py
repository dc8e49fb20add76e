"""Grades one submission: bytes in, a `Report` and the executed notebook out.

`grade` keeps no state, changes no folder and opens no gradebook, so it runs the same in a
thread, in a worker on another machine and in a test. A cell that kills or hangs its kernel
costs what depends on that cell: the notebook is replayed in a new kernel without it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode

from autograder.checks import MIME_TYPE, SEED_VARIABLE, CheckResult, Outcome
from autograder.course import Assignment, Exercise, grade_id, nbgrader_metadata
from autograder.kernels import warm_kernel_manager
from autograder.results import ExerciseResult, Report, Status
from autograder.submission import Rejected, Submission, is_untouched, parse, repair

GRACE_SECONDS = 5
_SILENT = logging.getLogger("autograder.silent")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell_seconds, test_seconds: until a cell, or a test cell, is interrupted; None: as the
            assignment says.
        notebook_seconds: for all cells together, replays included.
        output_bytes: of text that a cell may print; the rest is dropped.
        flood_bytes: of text after which the cell is interrupted.
        threads: that torch and TensorFlow may use.
        seed: that the checks draw their random numbers from.
    """

    cell_seconds: float | None = None
    test_seconds: float | None = None
    notebook_seconds: float = 600
    output_bytes: int = 2**20
    flood_bytes: int = 16 * 2**20
    threads: int = 1
    seed: int = 0


@dataclass
class Graded:
    """A report, with the executed notebook unless the submission was rejected."""

    report: Report
    notebook: NotebookNode | None


def grade(assignment: Assignment, submission: Submission, limits: Limits) -> Graded:
    """Repairs, executes and scores one submission.

    Raises:
        Exception: whatever is the grader's own fault; the submission is then not graded.
    """
    started = time.monotonic()
    report = Report(submission.student, assignment.name, Status.GRADED)
    try:
        notebook, report.repairs = repair(assignment, parse(submission, assignment))
    except Rejected as reason:
        report.status, report.reason = Status.REJECTED, str(reason)
        return Graded(report, None)
    limits = replace(
        limits,
        cell_seconds=limits.cell_seconds or assignment.cell_seconds,
        test_seconds=limits.test_seconds or assignment.test_seconds,
    )
    run = _Run(notebook, limits)
    asyncio.run(run.execute())
    report.repairs += [f"{_name(notebook, index)}: {note}" for index, note in run.notes.items()]
    for exercise in assignment.exercises:
        if exercise.test_id is None:
            untouched = is_untouched(assignment, notebook, exercise.id)
            score, checks = (0.0 if untouched else None), []
        else:
            checks = _check_results(exercise, notebook, run.blamed)
            score = float(sum(check.points for check in checks))
        report.exercises.append(
            ExerciseResult(exercise.id, exercise.title, score, exercise.points, checks)
        )
    by_checks = [exercise for exercise in report.exercises if not exercise.written]
    report.score = sum(exercise.score or 0.0 for exercise in by_checks)
    report.max_score = sum(exercise.max_score for exercise in by_checks)
    report.seconds = round(time.monotonic() - started, 2)
    return Graded(report, notebook)


def _check_results(
    exercise: Exercise, notebook: NotebookNode, blamed: dict[int, Outcome]
) -> list[CheckResult]:
    """The results that the test cell displayed; if it displayed none, why not, for each check."""
    index, cell = next(
        (i, cell) for i, cell in enumerate(notebook.cells) if grade_id(cell) == exercise.test_id
    )
    for output in cell.outputs:
        if MIME_TYPE in output.get("data", {}):
            return [CheckResult.from_dict(c) for c in output["data"][MIME_TYPE]["checks"]]
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if not errors:
        raise RuntimeError(f"{exercise.test_id} ran, but its table of checks did not arrive")
    outcome, message = blamed.get(index, Outcome.ERROR), ""
    if index not in blamed:
        message = f"The test cell stopped with {errors[0].ename}: {errors[0].evalue}"
    return [
        CheckResult(spec.name, spec.title, spec.hidden, outcome, 0, spec.points, message, spec.hint)
        for spec in exercise.checks
    ]


def _name(notebook: NotebookNode, index: int) -> str:
    return grade_id(notebook.cells[index]) or f"added cell {index}"


class _Run:
    """Runs a notebook's code cells in place, again and again until no cell ends the kernel.

    Attributes:
        blamed: what became of the cells that were given up, by index.
        notes: what happened to cells that were stopped, by index.
    """

    def __init__(self, notebook: NotebookNode, limits: Limits):
        self.notebook = notebook
        self.limits = limits
        self.blamed: dict[int, Outcome] = {}
        self.notes: dict[int, str] = {}
        self.deadline = time.monotonic() + limits.notebook_seconds

    async def execute(self) -> None:
        suspects: set[int] = set()
        reached = 0  # cells before this one have the outputs of some attempt
        while (culprit := await self._attempt()) is not None:
            index, outcome = culprit
            if time.monotonic() > self.deadline:
                for later in range(max(index, reached), len(self.notebook.cells)):
                    if self.notebook.cells[later].cell_type == "code":
                        self._give_up(later, Outcome.TIMED_OUT, "not run: the time was used up")
                return
            reached = max(reached, index)
            if outcome is Outcome.KERNEL_DIED and index not in suspects:
                suspects.add(index)  # the machine may have killed it: blamed if it happens again
                continue
            self._give_up(index, outcome, f"stopped ({outcome}); the notebook ran without it")

    def _give_up(self, index: int, outcome: Outcome, note: str) -> None:
        self.blamed[index] = outcome
        self.notes[index] = note
        error = nbformat.v4.new_output(
            "error", ename="Stopped", evalue=str(outcome), traceback=[f"This cell was {note}."]
        )
        self.notebook.cells[index].outputs = [error]

    async def _attempt(self) -> tuple[int, Outcome] | None:
        """One run in one kernel; the cell that ended the kernel and how, if one did."""
        with tempfile.TemporaryDirectory(
            prefix="autograder-",
            ignore_cleanup_errors=True,  # something left running may still write there
        ) as scratch:
            client = _Client(self.notebook, self.limits, Path(scratch))
            work = Path(scratch, "work")
            work.mkdir()
            environment = {
                **_environment(self.limits),
                "TMPDIR": scratch,
                "IPYTHONDIR": f"{scratch}/ipython",  # no start-up files of the grader's user
            }
            await client.async_start_new_kernel(cwd=str(work), env=environment)
            await client.async_start_new_kernel_client()
            try:
                for index, cell in enumerate(self.notebook.cells):
                    if cell.cell_type != "code" or index in self.blamed or not cell.source.strip():
                        continue
                    left = self.deadline - time.monotonic()
                    if left <= 0:
                        return index, Outcome.TIMED_OUT
                    self.notes.pop(index, None)  # of an earlier attempt
                    outcome = await client.run(index, cell, left)
                    if outcome is not None:
                        return index, outcome
                return None
            finally:
                self.notes.update(client.notes)
                await client.stop()


def _environment(limits: Limits) -> dict[str, str]:
    threads = str(limits.threads)
    return {
        **os.environ,
        SEED_VARIABLE: str(limits.seed),
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "NBGRADER_EXECUTION": "autograde",
    }


class _Client(NotebookClient):
    """nbclient with a deadline that holds, output that is cut, and no signal handlers."""

    def __init__(self, notebook: NotebookNode, limits: Limits, folder: Path):
        super().__init__(notebook, km=warm_kernel_manager(folder), allow_errors=True, timeout=None)
        self.log = _SILENT  # what it would log is in the report
        self.limits = limits
        self.raise_on_iopub_timeout = False
        self.iopub_timeout = 30  # seconds for outputs still on their way when a cell has ended
        self.notes: dict[int, str] = {}
        self.printed = 0
        self.flooded = asyncio.Event()

    async def run(self, index: int, cell: NotebookNode, seconds_left: float) -> Outcome | None:
        """Runs one cell; the outcome if the kernel did not survive it.

        Args:
            seconds_left: for this cell and all that follow.
        """
        assert self.km is not None
        self.printed = 0
        self.flooded.clear()
        is_test = nbgrader_metadata(cell).get("grade")
        limit = self.limits.test_seconds if is_test else self.limits.cell_seconds
        seconds = min(limit or seconds_left, seconds_left)
        execution = asyncio.ensure_future(self.async_execute_cell(cell, index))
        flood = asyncio.ensure_future(self.flooded.wait())
        try:
            await asyncio.wait(
                {execution, flood}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not execution.done():
                self.notes[index] = (
                    f"interrupted after it had printed {self.printed >> 20} MiB"
                    if self.flooded.is_set()
                    else f"interrupted after {seconds:.0f} s"
                )
                await self.km.interrupt_kernel()
                await asyncio.wait({execution}, timeout=GRACE_SECONDS)
            if not execution.done():
                return Outcome.TIMED_OUT
            await execution
            return None
        except DeadKernelError:
            return Outcome.KERNEL_DIED
        finally:
            flood.cancel()
            execution.cancel()
            await asyncio.gather(flood, execution, return_exceptions=True)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Lets a message through unless the cell has printed too much already."""
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "error"):
            already, self.printed = self.printed, self.printed + len(repr(msg["content"]))
            if self.printed > self.limits.flood_bytes:
                self.flooded.set()
            # The table of checks comes last, and is what the marks are read from.
            has_checks = MIME_TYPE in msg["content"].get("data", {})
            if self.printed > self.limits.output_bytes and not has_checks:
                if already <= self.limits.output_bytes:
                    text = f"\n[cut: a cell may print {self.limits.output_bytes:,} bytes]\n"
                    cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
                return None
        result: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return result

    async def stop(self) -> None:
        """Kills the kernel and closes the channels."""
        assert self.km is not None
        await self.km.shutdown_kernel(now=True)
        await self.km.cleanup_resources()
        if self.kc is not None:
            self.kc.stop_channels()
