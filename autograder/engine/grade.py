"""Grades one submission: bytes in, a `Report` and the executed notebook out.

`grade` keeps no state, changes no folder and opens no gradebook, so it runs the same in a
thread, in a worker on another machine and in a test. The student's cells run in a kernel; the
test cells run in a judge, whose calls pass through here to the kernel. This side holds the
clock. A cell that kills or hangs its kernel costs that cell only: the notebook is replayed in a new
kernel without it. A check whose call kills or hangs the kernel costs that check only.
"""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from autograder.checks import Checks
from autograder.course.build import make_solved
from autograder.course.source import (
    Assignment,
    CheckSpec,
    Exercise,
    grade_id,
    is_demo,
    nbgrader_metadata,
)
from autograder.engine import wire
from autograder.engine.fork import ForkedProcess, ForkServer, fork_server, warm_kernel_manager
from autograder.engine.inside import judge as judging
from autograder.engine.inside.judge import Answer
from autograder.engine.sanitize import clean_cell, clean_result
from autograder.engine.submission import Rejected, Submission, is_untouched, parse, repair
from autograder.results import CheckResult, Code, ExerciseResult, Outcome, Remark, Report, Status
from autograder.sandbox.confine import MEMORY_EXCEEDED, Isolation, Resources
from autograder.words import sentence

ENGINE_VERSION = 1  # raised when engine or checks could give another mark than before
GRACE_SECONDS = 5
SERVE = "from autograder.engine.inside.remote import serve as _serve; _serve()"
_MESSAGES = frozenset(
    [
        "stream",
        "display_data",
        "update_display_data",
        "execute_result",
        "error",
        "clear_output",
        "status",
    ]
)
NOTEBOOK_BYTES = 8 * 2**20  # of outputs that are kept, all cells together
_SILENT = logging.getLogger("autograder.silent")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell_seconds, check_seconds: until a cell, or a check, is interrupted; None: as the
            assignment says.
        notebook_seconds: for all cells and checks together, replays included.
        output_bytes: of text that a cell may print; the rest is dropped.
        flood_bytes: of text after which the cell is interrupted.
        threads: that torch and TensorFlow may use.
        seed: that the checks draw their random numbers from.
        isolation: how the student's process is confined.
        resources: memory, processes and files that it may use.
    """

    cell_seconds: float | None = None
    check_seconds: float | None = None
    notebook_seconds: float | None = None
    output_bytes: int = 2**20
    flood_bytes: int = 16 * 2**20
    threads: int = 1
    seed: int = 0
    isolation: Isolation = Isolation.FULL
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True)
class Trial:
    """One execution of the test cells; submissions get just one, with all that is the default here.

    Attributes:
        seed: that the checks draw their random numbers from.
        float64: whether torch makes tensors of 64 bits where no type is given, in this trial and
            all that follow of the same solution.
        checks: names, by test cell; None: all.
        until_failure: whether to stop after the first check that does not pass.
    """

    seed: int = 0
    float64: bool = False
    checks: Mapping[str, Collection[str]] | None = None
    until_failure: bool = False


Results = dict[str, list[CheckResult]]  # of the checks, by test cell


@dataclass
class Graded:
    """A report, with the executed notebook unless the submission was rejected."""

    report: Report
    notebook: NotebookNode | None
    late: bool = False  # whether a deadline passed


class JudgeError(Exception):
    """A test cell could not be judged: the grader's or the author's fault, never the student's."""


def grade(
    assignment: Assignment,
    submission: Submission,
    limits: Limits,
    checks: Mapping[str, Collection[str]] | None = None,
) -> Graded:
    """Repairs, executes and scores one submission.

    Args:
        checks: the names of those to run, by test cell, for the audit; None: all.

    Raises:
        Exception: whatever is the grader's own fault; the submission is then not graded.
    """
    started = time.monotonic()
    report = Report(submission.student, assignment.name, Status.GRADED)
    report.notes += submission.notes
    try:
        notebook, notes = repair(assignment, parse(submission))
    except Rejected as rejected:
        report.status, report.reasons = Status.REJECTED, [rejected.remark]
        return Graded(report, None)
    report.notes += notes
    run = _Run(assignment, notebook, limits, [Trial(limits.seed, checks=checks)])
    asyncio.run(run.execute())
    (results,) = run.results
    left = NOTEBOOK_BYTES
    for cell in notebook.cells:
        if not _is_test(cell) and (nbgrader_metadata(cell).get("solution") or not grade_id(cell)):
            left -= clean_cell(cell, left)
    report.notes += [replace(note, cell=_name(notebook, i)) for i, note in run.notes.items()]
    visible = {cell.id: cell.source for cell in make_solved(assignment).cells}
    for exercise in assignment.exercises:
        if exercise.test_id is None:
            untouched = is_untouched(assignment, notebook, exercise.id)
            score, outcomes = (0.0 if untouched else None), []
        else:
            outcomes = results[exercise.test_id]
            score = float(sum(check.points for check in outcomes))
            _show(exercise, outcomes, notebook, visible[exercise.test_id])
        report.exercises.append(
            ExerciseResult(exercise.id, exercise.title, score, exercise.points, outcomes)
        )
    by_checks = [exercise for exercise in report.exercises if not exercise.written]
    report.score = sum(exercise.score or 0.0 for exercise in by_checks)
    report.max_score = sum(exercise.max_score for exercise in by_checks)
    report.seconds = round(time.monotonic() - started, 2)
    late = run.late or any(
        check.outcome is Outcome.TIMED_OUT for exercise in by_checks for check in exercise.checks
    )
    return Graded(report, notebook, late)


def try_out(
    solved: Sequence[tuple[Assignment, Sequence[Trial]]], limits: Limits
) -> list[list[Results]]:
    """Runs assignments' test cells beside their own solutions, once for each trial.

    All of it happens in one process, without kernel and proxies, as in a learner's own notebook.
    That takes a tenth of a submission's time, and is for solutions that need not be distrusted.
    Each assignment begins with names of its own, but what a solution does to a library stays done.

    Args:
        limits: the time for all cells and checks is for each trial.

    Raises:
        Exception: whatever is the grader's own fault.
    """
    return asyncio.run(_try_out(solved, limits))


async def _try_out(
    solved: Sequence[tuple[Assignment, Sequence[Trial]]], limits: Limits
) -> list[list[Results]]:
    judge: _JudgeProcess | None = None
    found = []
    try:
        for assignment, trials in solved:
            seconds = (limits.notebook_seconds or assignment.notebook_seconds) * len(trials)
            patient = replace(limits, notebook_seconds=seconds)
            run = _Run(assignment, assignment.source, patient, trials, one_process=True)
            if judge is not None:
                judge.begin(run)
            try:
                await run.execute()
            finally:
                judge = run.judge
            found.append(run.results)
    finally:
        if judge is not None:
            judge.stop()
    return found


def _show(
    exercise: Exercise, results: list[CheckResult], notebook: NotebookNode, visible: str
) -> None:
    """Puts the visible part of the test cell and the table of checks into the notebook."""
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


def _is_test(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(nbgrader_metadata(cell).get("grade"))


def _student_names(assignment: Assignment) -> list[str]:
    """What the exercises' cells define, as the reference solutions have it."""
    names = set()
    for cell in assignment.source.cells:
        if cell.cell_type == "code" and nbgrader_metadata(cell).get("solution"):
            for node in ast.parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    names.add(node.name)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    names.add(node.target.id)
                elif isinstance(node, ast.Assign):
                    names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return sorted(names)


class _Run:
    """Runs a notebook's code cells in place, and its test cells in the judge.

    Attributes:
        one_process: whether the judge runs the solutions, too, and there is no kernel.
        results: of each trial.
        notes: what happened to cells that were stopped, by index.
    """

    def __init__(
        self,
        assignment: Assignment,
        notebook: NotebookNode,
        limits: Limits,
        trials: Sequence[Trial],
        one_process: bool = False,
    ):
        self.assignment = assignment
        self.notebook = notebook
        self.one_process = one_process
        self.limits = limits = replace(
            limits,
            cell_seconds=limits.cell_seconds or assignment.cell_seconds,
            check_seconds=limits.check_seconds or assignment.check_seconds,
            notebook_seconds=limits.notebook_seconds or assignment.notebook_seconds,
        )
        self.trials = trials
        self.server = fork_server(limits.isolation)
        self.results: list[Results] = [{} for _ in trials]
        self.notes: dict[int, Remark] = {}
        self.late = False  # whether a cell was stopped by a deadline
        self.given_up: set[int] = set()
        self.suspects: set[int] = set()  # cells during which the kernel died once
        self.deadline = time.monotonic() + (limits.notebook_seconds or 0)
        self.kernel: _Kernel | None = None
        self.judge: _JudgeProcess | None = None

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    async def execute(self) -> None:
        try:
            for index, cell in enumerate(self.notebook.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                if _is_test(cell):
                    calls = _Calls(self, index)
                    for trial, results in zip(self.trials, self.results, strict=True):
                        results[str(grade_id(cell))] = await self._test(index, cell, calls, trial)
                    await calls.finish()
                elif self.one_process:
                    continue
                elif self.left <= 0:
                    self._give_up(index, Remark.of(Code.CELL_NOT_RUN))
                else:
                    await self._kernel_after(index)
        finally:
            if not self.one_process:  # else the next solutions have it, too
                self._drop_judge()
            await self._drop_kernel()

    def _give_up(self, index: int, note: Remark) -> None:
        self.given_up.add(index)
        self.notes[index] = note
        text = sentence(note)
        error = nbformat.v4.new_output(
            "error", ename="Stopped", evalue=text, traceback=[f"This cell was {text}."]
        )
        self.notebook.cells[index].outputs = [error]

    def _drop_judge(self) -> None:
        judge, self.judge = self.judge, None
        if judge is not None:
            judge.stop()

    async def _drop_kernel(self) -> None:
        kernel, self.kernel = self.kernel, None
        if kernel is not None:
            await kernel.stop()

    async def _kernel_after(self, last: int) -> _Kernel | None:
        """A kernel that has run the cells up to `last`; None if the time is used up."""
        while True:
            if self.kernel is None:
                self.kernel = await _Kernel.start(self)
            ended = await self._catch_up(self.kernel, last)
            if ended is None:
                return self.kernel
            index, outcome = ended
            await self._drop_kernel()
            if self.left <= 0:
                self._give_up(index, Remark.of(Code.CELL_AT_THE_END))
                return None
            if outcome is not Outcome.TIMED_OUT and index not in self.suspects:
                self.suspects.add(index)  # the machine may have killed it: blamed if it dies again
                continue
            self._give_up(index, Remark.of(Code.CELL_STOPPED, outcome=str(outcome)))

    async def _catch_up(self, kernel: _Kernel, last: int) -> tuple[int, Outcome] | None:
        """Runs what the kernel has not run yet; the cell that ended it and how, if one did."""
        for index in range(kernel.position, last + 1):
            cell = self.notebook.cells[index]
            skipped = cell.cell_type != "code" or not cell.source.strip() or _is_test(cell)
            if not skipped and index not in self.given_up:
                self.notes.pop(index, None)  # of an earlier kernel
                outcome = await kernel.run(index, cell, self.left)
                self.late |= kernel.overtime
                if outcome is not None:
                    return index, outcome
            kernel.position = index + 1
        return None

    async def _test(
        self, index: int, cell: NotebookNode, calls: _Calls, trial: Trial
    ) -> list[CheckResult]:
        (exercise,) = (e for e in self.assignment.exercises if e.test_id == grade_id(cell))
        test_id = str(exercise.test_id)
        chosen = None if trial.checks is None else trial.checks.get(test_id, ())
        wanted = [s for s in exercise.checks if chosen is None or s.name in chosen]
        results = {spec.name: _not_run(spec) for spec in exercise.checks if spec not in wanted}
        while self.left > 0:
            judge = self.judge or await _JudgeProcess.start(self)
            ended = await judge.run(test_id, calls, results, trial)
            if ended is None:
                break
            name, outcome = ended
            spec = next(spec for spec in exercise.checks if spec.name == name)
            results.setdefault(name, _not_run(spec, outcome))
            self._drop_judge()  # another one goes on with the next check
            if trial.until_failure:
                break
        else:
            self.notes[index] = Remark.of(Code.CHECKS_NOT_FINISHED)
        if extra := results.keys() - {spec.name for spec in exercise.checks}:
            raise JudgeError(f"{test_id} ran checks that it does not define: {extra}")
        return [clean_result(results.get(spec.name) or _not_run(spec)) for spec in wanted]


def _not_run(spec: CheckSpec, outcome: Outcome = Outcome.TIMED_OUT) -> CheckResult:
    """The result of a check that did not come to its end."""
    return CheckResult(spec.name, spec.title, spec.hidden, outcome, 0, spec.points, "", spec.hint)


class _Calls:
    """The judge's calls from one test cell into the student's kernel, each with a deadline."""

    def __init__(self, run: _Run, index: int):
        self.run = run
        self.index = index
        self.serving: asyncio.Task[Outcome | None] | None = None
        self.ends = 0.0

    def begin_check(self) -> None:
        self.ends = time.monotonic() + (self.run.limits.check_seconds or 0)

    def seconds_left(self) -> float:
        """For the check that runs."""
        return max(0.0, min(self.ends - time.monotonic(), self.run.left))

    async def __call__(self, request: bytes) -> bytes:
        """What to answer the judge."""
        for _ in range(2):
            # A replay is not on the check's account.
            remaining = self.ends - time.monotonic()
            kernel = await self._ready()
            self.ends = time.monotonic() + remaining
            if kernel is None or self.serving is None:
                return Answer.TIMED_OUT.encode()
            seconds = self.seconds_left()
            if seconds <= 0:
                return Answer.TIMED_OUT.encode()
            exchange = asyncio.ensure_future(kernel.exchange(request))
            await asyncio.wait(
                {exchange, self.serving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            overtime = not exchange.done() and not self.serving.done()
            if overtime:
                await kernel.interrupt()
                await asyncio.wait(
                    {exchange, self.serving},
                    timeout=GRACE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            with suppress(OSError, EOFError):
                if exchange.done():
                    reply = exchange.result()
                    return Answer.TIMED_OUT.encode() if overtime else Answer.REPLY.encode() + reply
            exchange.cancel()
            status = None if overtime else await kernel.exit_status()
            await self._abandon()
            if overtime:
                return Answer.TIMED_OUT.encode()
            if status == MEMORY_EXCEEDED:
                return Answer.OUT_OF_MEMORY.encode()
            # The machine may have killed it: the check is blamed if the kernel dies again.
        return Answer.KERNEL_DIED.encode()

    async def _ready(self) -> _Kernel | None:
        """A kernel that waits for calls."""
        if self.serving is None:
            kernel = await self.run._kernel_after(self.index - 1)
            if kernel is None:
                return None
            self.serving = asyncio.ensure_future(kernel.serve())
        return self.run.kernel

    async def finish(self) -> None:
        """Lets the kernel go on with the notebook."""
        if self.serving is None or self.run.kernel is None:
            return
        with suppress(OSError, EOFError):
            await asyncio.wait_for(self.run.kernel.exchange(b"", reply=False), GRACE_SECONDS)
        await asyncio.wait({self.serving}, timeout=GRACE_SECONDS)
        if not self.serving.done() or self.serving.result() is not None:
            await self._abandon()

    async def _abandon(self) -> None:
        if self.serving is not None:
            self.serving.cancel()
            await asyncio.gather(self.serving, return_exceptions=True)
            self.serving = None
        await self.run._drop_kernel()


class _JudgeProcess:
    """The judge, as seen from here."""

    def __init__(self, process: ForkedProcess, folder: Path):
        self.process = process
        self.folder = folder

    @classmethod
    async def start(cls, run: _Run) -> _JudgeProcess:
        folder = _new_folder(run.server)
        ours, theirs = socket.socketpair()
        with theirs:
            process = run.server.fork(
                "judge",
                env=_environment(run.limits),
                folder=folder,
                cwd=str(folder),
                channel=theirs,
            )
        judge = cls(process, folder)
        judge.reader, judge.writer = await asyncio.open_unix_connection(sock=ours)
        judge.begin(run)
        return judge

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def begin(self, run: _Run) -> None:
        """Becomes the run's judge, which knows no cell and no name yet."""
        run.judge, self.run_of, self.position = self, run, 0
        names = [] if run.one_process else _student_names(run.assignment)
        self.write(json.dumps({"names": names, "one_process": run.one_process}).encode())

    def write(self, payload: bytes) -> None:
        self.writer.write(struct.pack("<Q", len(payload)))
        self.writer.write(payload)

    async def run(
        self, test_id: str, calls: _Calls, results: dict[str, CheckResult], trial: Trial
    ) -> tuple[str, Outcome] | None:
        """Runs the cells that the judge needs, up to a test cell, and adds its checks' results.

        Returns:
            The check that hangs, kills the judge or ends the trial, with the outcome if it has no
            result: this judge is then of no more use.
        """
        cells = self.run_of.assignment.source.cells
        (last,) = (index for index, cell in enumerate(cells) if grade_id(cell) == test_id)
        for cell in [*cells[self.position : last], cells[last]]:
            data = nbgrader_metadata(cell)
            answer = bool(data.get("solution"))
            if cell.cell_type != "code" or is_demo(cell):
                continue
            if answer and not self.run_of.one_process:
                continue
            identifier = str(data["grade_id"])
            test = bool(data.get("grade"))
            if test and identifier != test_id:
                continue  # it has been run, or its time was used up
            message = {
                "id": identifier,
                "source": cell.source,
                "test": test,
                "answer": answer,
                "known": [asdict(result) for result in results.values()],
                "seed": trial.seed,
                "float64": trial.float64,
            }
            self.write(json.dumps(message).encode())
            if ended := await self._converse(identifier, calls, results, trial):
                return ended
        self.position = last + 1
        return None

    async def _converse(
        self, identifier: str, calls: _Calls, results: dict[str, CheckResult], trial: Trial
    ) -> tuple[str, Outcome] | None:
        """Answers the judge until the cell is done; as `run`, the check at which it is not."""
        check, interrupted = "", False
        calls.begin_check()
        while True:
            # Also when its time is up, the judge may come to the end of the check.
            seconds = GRACE_SECONDS + (0 if interrupted else calls.seconds_left())
            try:
                message = await asyncio.wait_for(_read_frame(self.reader), seconds)
            except TimeoutError:
                if not check:
                    raise JudgeError(f"{identifier}: the judge hangs outside any check") from None
                if interrupted:
                    return check, Outcome.TIMED_OUT
                interrupted = True
                self.process.send_signal(signal.SIGINT)  # ends the check that runs
                continue
            except (OSError, EOFError):
                if not check or not self.run_of.one_process:
                    raise JudgeError(f"{identifier}: the judge died") from None
                memory = self.process.wait(GRACE_SECONDS) == MEMORY_EXCEEDED
                return check, Outcome.OUT_OF_MEMORY if memory else Outcome.KERNEL_DIED
            interrupted = False
            kind, payload = message[:1], message[1:]
            if kind == judging.CHECK:
                check = payload.decode()
                calls.begin_check()
            elif kind == judging.CALL:
                self.write(await calls(payload))
            elif kind == judging.RESULT:
                result = CheckResult.from_dict(json.loads(payload))
                results[result.name] = result
                if trial.until_failure and result.outcome is not Outcome.PASSED:
                    return result.name, result.outcome
            elif kind == judging.DONE:
                return None
            else:
                raise JudgeError(f"{identifier} stopped:\n{payload.decode(errors='replace')}")

    def stop(self) -> None:
        self.writer.close()
        self.process.kill()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    """One frame.

    Raises:
        EOFError: if the other side is gone, or sends more than any honest one.
    """
    (length,) = struct.unpack("<Q", await reader.readexactly(8))
    if length > wire.MAX_BYTES + wire.MAX_HEADER + 2**20:
        raise EOFError("a frame that is too large")
    return await reader.readexactly(length)


def _new_folder(server: ForkServer) -> Path:
    return Path(tempfile.mkdtemp(prefix="k", dir=server.folder))


def _environment(limits: Limits) -> dict[str, str]:
    threads = str(limits.threads)
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "GLOO_SOCKET_IFNAME": "lo",
        "NBGRADER_EXECUTION": "autograde",
    }


class _Kernel(NotebookClient):
    """One warm kernel: nbclient with a deadline that holds, output that is cut, and calls.

    Attributes:
        position: the cells before it have run in this kernel.
    """

    km: AsyncKernelManager | None

    def __init__(self, run: _Run, folder: Path):
        km = warm_kernel_manager(folder)
        # nbclient puts a cell that it has run into its notebook; calls need a place of their own.
        cells = [*run.notebook.cells, nbformat.v4.new_code_cell(SERVE)]
        notebook = NotebookNode({**run.notebook, "cells": cells})
        super().__init__(notebook, km=km, allow_errors=True, timeout=None)
        self.log = _SILENT  # what it would log is in the report
        self.limits = run.limits
        self.notes = run.notes
        self.folder = folder
        self.position = 0
        self.raise_on_iopub_timeout = False
        self.iopub_timeout = 30  # seconds for outputs still on their way when a cell has ended
        self.printed = 0
        self.flooded = asyncio.Event()
        self.overtime = False  # whether a cell has reached a deadline

    @classmethod
    async def start(cls, run: _Run) -> _Kernel:
        folder = _new_folder(run.server)
        work = folder / "work"
        if run.limits.isolation is Isolation.NONE:
            work.mkdir()
        kernel = cls(run, folder)
        ours, theirs = socket.socketpair()
        kernel.reader, kernel.writer = await asyncio.open_unix_connection(sock=ours)
        try:
            with theirs:
                await kernel.async_start_new_kernel(
                    server=run.server,
                    folder=folder,
                    cwd=str(work),
                    env=_environment(run.limits),
                    channel=theirs,
                    resources=run.limits.resources,
                )
            await kernel.async_start_new_kernel_client()
        except BaseException:
            await kernel.stop()
            raise
        return kernel

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def run(self, index: int, cell: NotebookNode, seconds_left: float) -> Outcome | None:
        """Runs one cell; the outcome if the kernel did not survive it.

        Args:
            seconds_left: for this cell and all that follow.
        """
        self.printed = 0
        self.flooded.clear()
        seconds = min(self.limits.cell_seconds or seconds_left, seconds_left)
        execution = asyncio.ensure_future(self.async_execute_cell(cell, index))
        flood = asyncio.ensure_future(self.flooded.wait())
        try:
            await asyncio.wait(
                {execution, flood}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if not execution.done():
                self.overtime |= not self.flooded.is_set()
                self.notes[index] = (
                    Remark.of(Code.CELL_PRINTS_TOO_MUCH, mebibytes=self.printed >> 20)
                    if self.flooded.is_set()
                    else Remark.of(Code.CELL_TOO_LONG, seconds=round(seconds))
                )
                await self.interrupt()
                await asyncio.wait({execution}, timeout=GRACE_SECONDS)
            if not execution.done():
                return Outcome.TIMED_OUT
            await execution
            return None
        except (MemoryError, OSError):
            raise
        except Exception:  # it died, or does not keep to Jupyter's protocol: student code may forge
            memory = await self.exit_status() == MEMORY_EXCEEDED
            return Outcome.OUT_OF_MEMORY if memory else Outcome.KERNEL_DIED
        finally:
            flood.cancel()
            execution.cancel()
            await asyncio.gather(flood, execution, return_exceptions=True)

    async def serve(self) -> Outcome | None:
        """Has the kernel answer calls; ends when it stops doing so."""
        self.printed = 0
        cell = nbformat.v4.new_code_cell(SERVE)
        try:
            await self.async_execute_cell(cell, len(self.nb.cells) - 1, store_history=False)
        except (MemoryError, OSError):
            raise
        except Exception:
            return Outcome.KERNEL_DIED
        return None

    async def exchange(self, request: bytes, reply: bool = True) -> bytes:
        """Sends a call and waits for its reply.

        Raises:
            OSError, EOFError: if the kernel does not keep to the protocol.
        """
        self.writer.write(struct.pack("<Q", len(request)) + request)
        await self.writer.drain()
        return await _read_frame(self.reader) if reply else b""

    async def interrupt(self) -> None:
        """Raises KeyboardInterrupt in what the kernel runs."""
        assert self.km is not None
        await self.km.interrupt_kernel()

    async def exit_status(self) -> int | None:
        """How the kernel's process ended; None if it does not, although it is about to."""
        provisioner = self.km.provisioner if self.km is not None else None
        for _ in range(20):  # the news may take a moment
            if provisioner is None or (status := await provisioner.poll()) is not None:
                break
            await asyncio.sleep(0.1)
        return None if provisioner is None else status

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Lets a message through unless the cell has printed too much already."""
        if msg["msg_type"] not in _MESSAGES:
            return None  # comm_msg and the like would be kept
        if msg["msg_type"] != "status":
            already, self.printed = self.printed, self.printed + len(repr(msg["content"]))
            if self.printed > self.limits.flood_bytes:
                self.flooded.set()
            if self.printed > self.limits.output_bytes:
                if already <= self.limits.output_bytes:
                    text = f"\n[cut: a cell may print {self.limits.output_bytes:,} bytes]\n"
                    cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
                return None
        result: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return result

    async def stop(self) -> None:
        """Kills the kernel and closes the channels."""
        self.writer.close()
        if self.km is not None:  # nbclient drops a manager whose kernel dies at once
            with suppress(RuntimeError):  # it never started
                await self.km.shutdown_kernel(now=True)
            await self.km.cleanup_resources()
        if self.kc is not None:
            self.kc.stop_channels()
        shutil.rmtree(self.folder, ignore_errors=True)
