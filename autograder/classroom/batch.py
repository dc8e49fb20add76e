"""Grades a whole class: many submissions at once, one after the other into the gradebook.

Who grades is a `Pool`: any executor, with the task that it does. On this machine it is one of
threads, each of which talks to a kernel of its own; the work is done in the kernels. On others,
cluster.py has it. A result is recorded as soon as it is there, so that a run that was killed goes
on where it stopped, and a submission that has not changed is not graded again.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from autograder.classroom.entered import what_is_left
from autograder.classroom.recorder import Recorder
from autograder.classroom.records import ClassFolder
from autograder.classroom.work import GivenUp, NobodyGrades, Result, Work
from autograder.engine.grade import Engine
from autograder.engine.options import ENGINE_VERSION, Limits
from autograder.results import Code, Remark, Report, Status
from autograder.sandbox.confine import Isolation

log = logging.getLogger(__name__)
# Beside those that are being graded: so nobody waits for the next one to be read, and a class's
# notebooks are never in memory together.
AHEAD = 2
# A signal that comes just before a thread begins to wait does not wake it (Python runs handlers
# between two instructions only): without a limit, a Ctrl-C would be heard when the next is done.
LISTEN_SECONDS = 1


@dataclass(frozen=True)
class Pool:
    """Who grades submissions.

    Attributes:
        key: all that their marks depend on besides the submission (`key_of`).
        executor: where the task is done.
        task: takes what `Work.read` returns; gives a `Result`, or one as bytes (`Result.packed`).
            It can be pickled if the executor is another process.
        at_once: how many submissions can be graded at once, now.
        stop: ends what is being graded, after Ctrl-C.
    """

    key: str
    executor: Executor
    task: Callable[[Any], Result | bytes]
    at_once: Callable[[], int]
    stop: Callable[[], None]


@contextmanager
def here(engine: Engine, work: Work[Any], limits: Limits, jobs: int) -> Iterator[Pool]:
    """Grades on this machine, with one engine, so many submissions at once."""
    with ThreadPoolExecutor(max_workers=jobs) as executor:
        yield Pool(
            key_of(engine.isolation, work, limits),
            executor,
            partial(work.grade, engine, limits=limits),
            lambda: jobs,
            engine.close,
        )


def grade_class(  # noqa: PLR0913  (the options of the command)
    pool: Pool,
    work: Work[Any],
    class_folder: ClassFolder,
    *,
    students: Iterable[str] = (),
    gradebook: bool = True,
    force: bool = False,
    on_total: Callable[[int], None] = lambda total: None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Grades the class's submissions and records every result.

    Args:
        pool: has nothing to do if there is nothing to grade.
        work: what the class was set.
        students: only these; all if empty.
        gradebook: whether to write marks into nbgrader's gradebook and autograded/.
        force: also grade what has not changed since it was graded.
        on_total, on_report: called with the number of submissions to grade, and with each report.

    Returns:
        The reports on all submissions asked for, by student.
    """
    wanted = set(students)

    def sha256(student: str) -> str:
        return str(work.read(class_folder.submitted, student).sha256)

    with ExitStack() as stack:
        stack.enter_context(class_folder.one_grader())
        left = what_is_left(
            class_folder, work.outline, pool.key, sha256, wanted, gradebook=gradebook, force=force
        )
        if not left.to_grade and not left.to_enter:
            return list(left.done.values())
        record = Recorder(work, class_folder, pool.key, gradebook, on_report)
        stack.enter_context(record)
        on_total(len(left.to_grade))
        for known in left.to_enter:
            record.enter(known)
        batch = _Batch(pool, work, class_folder, record)
        try:
            batch.grade(left.to_grade, lambda: pool.at_once() + AHEAD)
            # Once more, alone: the machine may have been short of something.
            batch.grade(batch.again, lambda: 1, last=True)
        except BaseException:  # Ctrl-C: do not start what is still waiting, end what runs
            pool.executor.shutdown(wait=False, cancel_futures=True)
            pool.stop()
            raise
        record.finish()
        for student in batch.not_begun:
            record.done[student] = _failed(student, work, f"not begun: {batch.stopped}")
        done = {**left.done, **record.done}
        return [done[student] for student in sorted(done)]


@dataclass
class _Batch:
    """What becomes of a class's submissions.

    Attributes:
        again: whom to grade once more, since the grader failed.
        not_begun: who has no report, since it would be lost or there was nobody to grade them.
        stopped: why nothing more is begun; empty as long as it is.
    """

    pool: Pool
    work: Work[Any]
    class_folder: ClassFolder
    record: Recorder
    again: list[str] = field(default_factory=list)
    not_begun: list[str] = field(default_factory=list)
    stopped: str = ""

    def grade(self, students: Iterable[str], room: Callable[[], int], last: bool = False) -> None:
        """Grades them, and records what comes.

        Args:
            room: for how many at a time, those included that wait for their turn.
            last: whether a failure is final.
        """
        waiting = deque(students)
        running: dict[Future[Result | bytes], tuple[str, str]] = {}
        while waiting or running:
            while waiting and not self.stopped and len(running) < room():
                student = waiting.popleft()
                future, sha256 = self._begin(student)
                running[future] = student, sha256
            if self.stopped:
                self.not_begun += waiting
                waiting.clear()
                for future in running:
                    future.cancel()
            for future in wait(running, LISTEN_SECONDS, FIRST_COMPLETED).done:
                self._take(future, *running.pop(future), last)

    def _begin(self, student: str) -> tuple[Future[Result | bytes], str]:
        """What will become of a submission, and the digest of what was read."""
        try:
            submission = self.work.read(self.class_folder.submitted, student)
        except Exception as error:
            failed: Future[Result | bytes] = Future()
            failed.set_exception(error)
            return failed, ""
        return self.pool.executor.submit(self.pool.task, submission), submission.sha256

    def _take(self, future: Future[Result | bytes], student: str, sha256: str, last: bool) -> None:
        """Records what became of a submission."""
        try:
            result = future.result()
            self._keep(sha256, result if isinstance(result, Result) else Result.unpacked(result))
        except CancelledError:
            self.not_begun.append(student)
        except NobodyGrades as error:
            self.stopped = self.stopped or str(error)
            self.not_begun.append(student)
        except GivenUp as error:
            log.error("%s could not be graded: %s", student, error)
            self._keep("", Result(_failed(student, self.work, str(error))))
        except Exception as error:
            if last:
                log.error("%s could not be graded", student, exc_info=error)
                what = f"{type(error).__name__}: {error}"
                self._keep("", Result(_failed(student, self.work, what)))
            else:
                log.warning("%s: %r; will be tried again", student, error)
                self.again.append(student)

    def _keep(self, sha256: str, result: Result) -> None:
        self.record(sha256, result)
        self.stopped = self.stopped or self.record.broken  # what would be graded now would be lost


def _failed(student: str, work: Work[Any], what: str) -> Report:
    """A report on the grader's own fault."""
    reasons = [Remark.of(Code.GRADER_FAILED, error=what)]
    outline = work.outline
    return Report(student, outline.chapter, Status.FAILED, reasons, judged=outline.judged)


def key_of(isolation: Isolation, work: Work[Any], limits: Limits) -> str:
    """All that a mark depends on besides the submission."""
    settings = replace(limits, threads=1)  # a mark does not depend on the number of threads
    material = [
        ENGINE_VERSION,
        isolation,
        work.fingerprint,
        settings,
        work.course.installed,
    ]
    return hashlib.sha256(" ".join(map(str, material)).encode()).hexdigest()
