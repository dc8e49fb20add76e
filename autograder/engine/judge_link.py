"""The judge, as the grader sees it: cells go there, results of checks come back.

`JudgeLink` is one judge process. `Judging` has the test cells of one assignment judged, by one
judge after another if need be: a check that cannot be ended takes its judge along, and another goes
on with the next check. Neither knows where the student's code runs: calls into it are handed to
whoever `Judging.test` is told.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.course.source import CheckSpec, Exercise
from autograder.engine import wire
from autograder.engine.clock import Clock
from autograder.engine.fork import ForkedProcess, ForkServer, process_environment
from autograder.engine.options import GRACE_SECONDS, Trial
from autograder.engine.sanitize import clean_result
from autograder.results import CheckResult, Code, Outcome
from autograder.sandbox.confine import MEMORY_EXCEEDED

OnCall = Callable[[bytes], Awaitable[bytes]]  # from a call's request to the frame for the judge


class JudgeError(Exception):
    """A test cell could not be judged: the grader's or the author's fault, never the student's."""


@dataclass(frozen=True)
class JudgedCell:
    """A cell that the judge runs.

    `answer` says that it is an answer, run where the checks are: its errors are not the author's.
    """

    id: str
    source: str
    test: bool = False
    answer: bool = False


@dataclass(frozen=True)
class Lost:
    """The check with which a judge came to its end, and what it counts as if it has no result."""

    check: str
    outcome: Outcome


class JudgeLink:
    """One judge process."""

    def __init__(
        self,
        process: ForkedProcess,
        folder: Path,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ):
        self.process = process
        self._folder = folder
        self._reader = reader
        self._writer = writer
        self._reading: asyncio.Future[bytes] | None = None
        self._has_answers = False

    @classmethod
    async def start(cls, server: ForkServer, threads: int) -> JudgeLink:
        """A judge that waits for the first assignment."""
        folder = server.new_folder()
        ours, theirs = socket.socketpair()
        with theirs:
            process = server.fork(
                "judge",
                env=process_environment(threads),
                folder=folder,
                cwd=str(folder),
                channel=theirs,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, folder, reader, writer)

    def begin(self, names: Sequence[str] | None) -> None:
        """An assignment begins: the judge knows no cell any more.

        Args:
            names: that students define; None: the answers are among the cells that it will run.
        """
        self._has_answers = names is None
        self._send({"names": names})

    def _send(self, message: Mapping[str, object]) -> None:
        wire.write_frame(self._writer, json.dumps(message).encode())

    async def run(  # noqa: PLR0912, PLR0913  (one branch for each thing that a judge does)
        self,
        cell: JudgedCell,
        trial: Trial,
        clock: Clock,
        on_call: OnCall,
        specs: Mapping[str, CheckSpec],
        results: dict[str, CheckResult],
    ) -> Lost | None:
        """Runs one cell and adds its checks' results; those that are there are not run again.

        Args:
            on_call: answers a call into the student's process.
            specs: of the cell's checks, by name.

        Raises:
            JudgeError: if the cell has an error outside its checks.
        """
        self._send(
            {
                **{"id": cell.id, "source": cell.source, "test": cell.test, "answer": cell.answer},
                **{"done": list(results), "seed": trial.seed, "float64": trial.float64},
            }
        )
        check, interrupted = "", False
        clock.begin_check()
        while True:
            # Also when its time is up, the judge may come to the end of the check.
            seconds = GRACE_SECONDS + (0 if interrupted else clock.check_left)
            if not await clock.wait({self._next_frame()}, seconds):
                if not check:
                    raise JudgeError(f"{cell.id}: the judge hangs outside any check")
                if interrupted:
                    return Lost(check, Outcome.TIMED_OUT)
                interrupted = True
                self.process.send_signal(signal.SIGINT)  # ends the check that runs
                continue
            try:
                message, self._reading = self._next_frame().result(), None
            except (OSError, EOFError):
                if not check or not self._has_answers:
                    raise JudgeError(f"{cell.id}: the judge died") from None
                memory = self.process.wait(GRACE_SECONDS) == MEMORY_EXCEEDED
                return Lost(check, Outcome.OUT_OF_MEMORY if memory else Outcome.KERNEL_DIED)
            interrupted = False
            kind, payload = message[:1], message[1:]
            if kind == wire.CHECK:
                check = payload.decode()
                if check not in specs:
                    raise JudgeError(f"{cell.id} ran a check that it does not define: {check}")
                clock.begin_check()
            elif kind == wire.CALL:
                wire.write_frame(self._writer, await on_call(payload))
            elif kind == wire.RESULT:
                said = json.loads(payload)
                spec, outcome = specs[said.pop("name")], Outcome(said.pop("outcome"))
                results[spec.name] = result_of(spec, outcome, **said)
                if trial.until_failure and outcome is not Outcome.PASSED:
                    return Lost(spec.name, outcome)
            elif kind == wire.DONE:
                return None
            else:
                raise JudgeError(f"{cell.id} stopped:\n{payload.decode(errors='replace')}")

    def _next_frame(self) -> asyncio.Future[bytes]:
        """What the judge sends next."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(wire.read_frame(self._reader))
        return self._reading

    def stop(self) -> None:
        """Ends the judge."""
        if self._reading is not None:
            self._reading.cancel()
        self._writer.close()
        self.process.kill()
        self.process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


def result_of(
    spec: CheckSpec,
    outcome: Outcome,
    message: str = "",
    printed: str = "",
    code: str | None = None,
) -> CheckResult:
    """What the chapter and the judge say of one check, together."""
    return CheckResult(
        name=spec.name,
        title=spec.title,
        hidden=spec.hidden,
        outcome=outcome,
        points=spec.points if outcome is Outcome.PASSED else 0,
        max_points=spec.points,
        message=message,
        hint=spec.hint,
        printed=printed,
        code=None if code is None else Code(code),
    )


class Judging:
    """The judging of one assignment's test cells.

    Args:
        cells: set-up, tests and, where the judge is to run them, answers; in order.
        names: that students define; None: the answers are among the cells.
        link: a judge of earlier assignments to begin with.
    """

    def __init__(  # noqa: PLR0913  (what a judge needs)
        self,
        server: ForkServer,
        threads: int,
        clock: Clock,
        cells: Sequence[JudgedCell],
        names: Sequence[str] | None,
        link: JudgeLink | None = None,
    ):
        self._server = server
        self._threads = threads
        self._clock = clock
        self._cells = cells
        self._names = names
        self._begin(link)

    def _begin(self, link: JudgeLink | None) -> None:
        self.link = link
        self._position = 0  # the cells before it have run in this judge
        if link is not None:
            link.begin(self._names)
            self._clock.watch.watch(*self._server.find(link.process))

    async def test(
        self, exercise: Exercise, trial: Trial, on_call: OnCall
    ) -> tuple[list[CheckResult], bool]:
        """The results of an exercise's checks, and whether there was time for all of them.

        Raises:
            JudgeError: if the test cell cannot be judged.
        """
        test_id = str(exercise.test_id)
        specs = {spec.name: spec for spec in exercise.checks}
        wanted = specs.keys() if trial.checks is None else {*trial.checks.get(test_id, ())}
        # What has a result is not run.
        results = {
            name: result_of(spec, Outcome.TIMED_OUT)
            for name, spec in specs.items()
            if name not in wanted
        }
        in_time = False
        while self._clock.left > 0:
            if self.link is None:
                with self._clock.stopped():
                    self._begin(await JudgeLink.start(self._server, self._threads))
            lost = await self._run_to(test_id, trial, on_call, specs, results)
            if lost is not None:
                results.setdefault(lost.check, result_of(specs[lost.check], lost.outcome))
                self.close()  # another judge goes on with the next check
            if lost is None or trial.until_failure:
                in_time = True
                break
        found = {name: result_of(spec, Outcome.TIMED_OUT) for name, spec in specs.items()} | results
        return [clean_result(found[name]) for name in specs if name in wanted], in_time

    async def _run_to(
        self,
        test_id: str,
        trial: Trial,
        on_call: OnCall,
        specs: Mapping[str, CheckSpec],
        results: dict[str, CheckResult],
    ) -> Lost | None:
        """Runs what the judge has not run yet, up to a test cell; no other test cell, though."""
        assert self.link is not None
        (last,) = (index for index, cell in enumerate(self._cells) if cell.id == test_id)
        for cell in [*self._cells[self._position : last], self._cells[last]]:
            if not cell.test or cell.id == test_id:  # others have been run, or ran out of time
                lost = await self.link.run(cell, trial, self._clock, on_call, specs, results)
                if lost is not None:
                    return lost
        self._position = last + 1
        return None

    def close(self) -> None:
        """Ends the judge."""
        if self.link is not None:
            self.link.stop()
            self.link = None
