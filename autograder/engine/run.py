"""Runs one repaired notebook: its cells in a kernel, its test cells in the judge.

This side holds the clock. A cell that kills or hangs its kernel costs that cell only: the notebook
is replayed in a new kernel without it. A check whose call kills or hangs the kernel costs that
check only.

`run` owns the three parts: `Execution` has the student's cells run and replayed, `Judging` (in
judge_link.py) has the test cells judged, and `Calls` carries the judge's calls of one test cell to
the kernel that `Execution` has ready.
"""

from __future__ import annotations

import ast
import asyncio
import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

from autograder.course.cells import grade_id, is_answer, is_demo, is_test
from autograder.course.names import parse
from autograder.course.source import Assignment
from autograder.engine.clock import Clock
from autograder.engine.fork import ForkServer
from autograder.engine.judge_link import JudgedCell, Judging
from autograder.engine.kernel import Kernel
from autograder.engine.options import GRACE_SECONDS, Cost, Limits, Trial
from autograder.engine.wire import CallResult
from autograder.results import CheckResult, Code, Outcome, Remark
from autograder.sandbox.confine import MEMORY_EXCEEDED
from autograder.words import sentence

_NOTHING = pickle.dumps((None, int, (), {}))  # a call as the judge makes them (inside/judge.py)


@dataclass
class Ran:
    """What became of a notebook that was run.

    Attributes:
        results: of the checks, by test cell.
        notes: what happened to cells that were stopped, by index.
    """

    results: dict[str, list[CheckResult]]
    notes: dict[int, Remark]
    cost: Cost


async def run(  # noqa: PLR0913  (what a run is made of)
    server: ForkServer,
    assignment: Assignment,
    notebook: NotebookNode,
    limits: Limits,
    trial: Trial,
    on_exercise: Callable[[str], object],
) -> Ran:
    """Runs the notebook's code cells in place, and judges it.

    Args:
        notebook: as `submission.repair` returns it; gets the cells' outputs.
        limits: with all seconds filled in.
        on_exercise: called with a test cell's id when its checks have run.

    Raises:
        Exception: whatever is the grader's own fault.
    """
    clock = Clock(limits)
    execution = Execution(server, notebook, limits, clock)
    names = _student_names(assignment)
    judging = Judging(server, limits.threads, clock, _judged_cells(assignment), names)
    exercises = {exercise.test_id: exercise for exercise in assignment.exercises}
    results: dict[str, list[CheckResult]] = {}
    try:
        for index, cell in enumerate(notebook.cells):
            if not runs(cell):
                continue
            if is_test(cell):
                calls = Calls(execution, clock, index)
                test_id = str(grade_id(cell))
                found, in_time = await judging.test(exercises[test_id], trial, calls)
                results[test_id] = found
                if not in_time:
                    execution.notes[index] = Remark.of(Code.CHECKS_NOT_FINISHED)
                await calls.finish()
                on_exercise(test_id)
            elif clock.left <= 0:
                execution.give_up(index, Remark.of(Code.CELL_NOT_RUN))
            else:
                await execution.kernel_after(index)
    finally:
        judging.close()
        await execution.drop_kernel()
    return Ran(results, execution.notes, clock.cost)


def runs(cell: NotebookNode) -> bool:
    """Whether there is anything to run in the cell."""
    return cell.cell_type == "code" and bool(cell.source.strip())


def _judged_cells(assignment: Assignment) -> list[JudgedCell]:
    """Set-up and tests, as the instructor wrote them."""
    return [
        JudgedCell(str(grade_id(cell)), cell.source, is_test(cell))
        for cell in assignment.source.cells
        if cell.cell_type == "code" and not is_demo(cell) and not is_answer(cell)
    ]


def _student_names(assignment: Assignment) -> list[str]:
    """What the exercises' cells define, as the reference solutions have it."""
    names = set()
    for cell in assignment.source.cells:
        if cell.cell_type == "code" and is_answer(cell):
            for node in parse(cell.source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    names.add(node.name)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    names.add(node.target.id)
                elif isinstance(node, ast.Assign):
                    names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return sorted(names)


class Execution:
    """The execution of a notebook's cells, in one kernel after another.

    Args:
        tests: whether test cells run here, too, as nbgrader runs them; else the judge has them.
        files: what lies beside the notebook, by relative path.

    Attributes:
        kernel: the one that lives, if one does.
        notes: as in `Ran`.
        broken: whether its cells leave no way to call what they define.
    """

    def __init__(  # noqa: PLR0913  (what an execution is made of)
        self,
        server: ForkServer,
        notebook: NotebookNode,
        limits: Limits,
        clock: Clock,
        *,
        tests: bool = False,
        files: Mapping[str, bytes] | None = None,
    ):
        self._server = server
        self._notebook = notebook
        self._limits = limits
        self._clock = clock
        self._tests = tests
        self._files = files or {}
        self._given_up: set[int] = set()  # cells that are not run any more
        self._suspects: set[int] = set()  # cells during which the kernel died once
        self.kernel: Kernel | None = None
        self.notes: dict[int, Remark] = {}
        self.broken = False

    async def kernel_after(self, last: int) -> Kernel | None:
        """A kernel that has run the cells up to `last`; None if the time is used up."""
        while True:
            if self.kernel is None:
                self._clock.cost.kernels += 1
                with self._clock.stopped():
                    self.kernel = await Kernel.start(
                        self._server, self._notebook, self._limits, self._clock, self._files
                    )
            ended = await self._catch_up(self.kernel, last)
            if ended is None:
                return self.kernel
            index, outcome = ended
            await self.drop_kernel()
            if self._clock.left <= 0:
                self.give_up(index, Remark.of(Code.CELL_AT_THE_END))
                return None
            if outcome is not Outcome.TIMED_OUT and index not in self._suspects:
                self._suspects.add(index)  # the machine may have killed it: blamed if it dies again
                continue
            self.give_up(index, Remark.of(Code.CELL_STOPPED, outcome=str(outcome)))

    async def _catch_up(self, kernel: Kernel, last: int) -> tuple[int, Outcome] | None:
        """Runs what the kernel has not run yet; the cell that ended it and how, if one did."""
        for index in range(kernel.position, last + 1):
            cell = self._notebook.cells[index]
            elsewhere = is_test(cell) and not self._tests
            if runs(cell) and not elsewhere and index not in self._given_up:
                self.notes.pop(index, None)  # of an earlier kernel
                end = await kernel.run(index, cell)
                if end.note is not None:
                    self.notes[index] = end.note
                if end.killed is not None:
                    return index, end.killed
            kernel.position = index + 1
        return None

    def give_up(self, index: int, note: Remark) -> None:
        """Has a cell not run any more, and says so in its output."""
        self._given_up.add(index)
        self.notes[index] = note
        text = sentence(note)
        error = nbformat.v4.new_output(
            "error", ename="Stopped", evalue=text, traceback=[f"This cell was {text}."]
        )
        self._notebook.cells[index].outputs = [error]

    async def drop_kernel(self) -> None:
        """Ends the kernel that lives, if one does."""
        kernel, self.kernel = self.kernel, None
        if kernel is not None:
            await kernel.stop()


class Calls:
    """The judge's calls from one test cell into the student's kernel, each with a deadline.

    Args:
        index: of the test cell; the cells before it have run when the first call is answered.
    """

    def __init__(self, execution: Execution, clock: Clock, index: int):
        self._execution = execution
        self._clock = clock
        self._index = index
        self._kernel: Kernel | None = None  # one that answers calls
        self._serving: asyncio.Task[Outcome | None] | None = None

    async def __call__(self, request: bytes) -> bytes:
        """The frame for the judge: what became of the call, and what it brought."""
        for _ in range(2):
            with self._clock.off_the_checks_account():  # a replay, if one is needed
                ready = await self._ready()
            seconds = self._clock.check_left
            if self._execution.broken:
                break
            if ready is None or seconds <= 0:
                return CallResult.TIMED_OUT.encode()
            kernel, serving = ready
            self._clock.cost.calls += 1
            exchange = asyncio.ensure_future(kernel.exchange(request))
            in_time = await self._clock.wait({exchange, serving}, seconds)
            if not in_time:
                await kernel.interrupt()
                await self._clock.wait({exchange, serving}, GRACE_SECONDS)
            with suppress(OSError, EOFError):
                if exchange.done():
                    reply = exchange.result()
                    if not in_time:
                        return CallResult.TIMED_OUT.encode()
                    return CallResult.REPLY.encode() + reply
            exchange.cancel()
            status = await kernel.exit_status() if in_time else None
            await self._abandon()
            if not in_time:
                return CallResult.TIMED_OUT.encode()
            if status == MEMORY_EXCEEDED:
                return CallResult.OUT_OF_MEMORY.encode()
            # The machine may have killed it: the check is blamed if the kernel dies again.
        return CallResult.KERNEL_DIED.encode()

    async def _ready(self) -> tuple[Kernel, asyncio.Task[Outcome | None]] | None:
        """A kernel that waits for calls, and its waiting; None if there is none."""
        for _ in range(2):  # the machine may have killed the first one
            if self._execution.broken:
                return None
            if self._kernel is not None and self._serving is not None:
                return self._kernel, self._serving
            self._kernel = await self._execution.kernel_after(self._index - 1)
            if self._kernel is None:
                return None
            self._serving = asyncio.ensure_future(self._kernel.serve())
            answer = asyncio.ensure_future(self._kernel.exchange(_NOTHING))
            await self._clock.wait({answer, self._serving}, GRACE_SECONDS)
            if answer.done() and answer.exception() is None:
                return self._kernel, self._serving
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)
            await self._abandon()
        # What answers is our own code, at once, unless the student's cells have replaced it. The
        # next kernel would run the same cells.
        self._execution.broken = True
        self._execution.notes[self._index] = Remark.of(Code.CALLS_NOT_ANSWERED)
        return None

    async def finish(self) -> None:
        """Lets the kernel go on with the notebook."""
        if self._kernel is None or self._serving is None:
            return
        with suppress(OSError, EOFError):
            self._kernel.end_serving()
        await self._clock.wait({self._serving}, GRACE_SECONDS)
        if not self._serving.done() or self._serving.result() is not None:
            await self._abandon()

    async def _abandon(self) -> None:
        """Ends a kernel that does not answer."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        self._kernel = self._serving = None
        await self._execution.drop_kernel()
