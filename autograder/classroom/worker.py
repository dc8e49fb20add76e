"""What a Dask worker does: it has an engine of its own, and grades submissions of chapters.

A worker needs the package and its locked versions, and no course, gradebook or shared folder: the
chapter comes once, in an `Order`, and submissions come as bytes; reports and executed notebooks go
back as JSON, made here of what the engine found. A worker says itself why it has to be refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from distributed import Worker, WorkerPlugin
from distributed.utils import sync

from autograder import files
from autograder.classroom.batch import Pool, key_of
from autograder.classroom.cluster import Cluster, Unprepared, this_worker
from autograder.classroom.work import Chapter
from autograder.course.source import installed_versions
from autograder.engine.clock import wall_seconds
from autograder.engine.grade import Engine
from autograder.engine.handed_in import Submission
from autograder.engine.options import Limits
from autograder.sandbox import doctor
from autograder.sandbox.confine import Isolation

NAME = "autograder"  # of the plug-in
SLACK_SECONDS = 120  # beside the wall clock's limit of a submission: for the way there and back


def on_workers(
    address: str, work: Chapter, isolation: Isolation, limits: Limits
) -> AbstractContextManager[Pool]:
    """Grades a chapter's submissions on the workers of a Dask scheduler.

    Args:
        address: the scheduler's.
        isolation: which has to hold on each worker.

    Raises:
        ValueError: if that is no address.
    """
    key = key_of(isolation, work, limits)
    order = Order(key, work, limits, isolation, work.course.installed, own_code())
    seconds = wall_seconds(limits.for_assignment(work.assignment)) + SLACK_SECONDS
    cluster = Cluster(address, order, close_engine, seconds)
    return _opened(Pool(key, cluster, Grade(key), lambda: cluster.at_once, cluster.shutdown))


@contextmanager
def _opened(pool: Pool) -> Iterator[Pool]:
    with pool.executor:
        yield pool


@dataclass(frozen=True)
class Order:
    """What a worker has to know before it can grade.

    Attributes:
        key: all that marks depend on besides the submissions.
        installed: the versions that the marks depend on, by package.
        code: the digest of the grader's own code.
    """

    key: str
    chapter: Chapter
    limits: Limits
    isolation: Isolation
    installed: Mapping[str, str]
    code: str

    def __call__(self) -> str:
        """Readies this worker; says why it cannot grade, or nothing."""
        if problem := self._differs() or self._does_not_hold():
            return problem
        _plugin().take(self)
        return ""

    def _differs(self) -> str:
        if own_code() != self.code:
            return "its copy of this project's code is another than here; install the same version"
        there = installed_versions(self.installed)
        other = [
            f"{name} is {there.get(name, 'missing')} there and {version} here"
            for name, version in self.installed.items()
            if there.get(name) != version
        ]
        return "; ".join(other[:3] + [f"and {len(other) - 3} more"] * (len(other) > 3))

    def _does_not_hold(self) -> str:
        if self.isolation is Isolation.NONE:
            return ""
        broken = [finding for finding in doctor.examine(self.isolation) if not finding.holds]
        if not broken:
            return ""
        return f"{self.isolation} isolation does not hold there: {doctor.in_words(broken)}"


@dataclass(frozen=True)
class Grade:
    """The task: grades a submission on a worker that has the order."""

    key: str

    def __call__(self, submission: Submission) -> bytes:
        """The result, packed.

        Raises:
            Unprepared: if this worker does not have the order.
            Exception: whatever is the grader's own fault.
        """
        return _plugin().grade(self.key, submission)


class EnginePlugin(WorkerPlugin):
    """A worker's engine, and the orders that it has."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._orders: dict[str, Order] = {}
        self._lock = threading.Lock()

    def setup(self, worker: Worker) -> None:
        """Knows how many threads a submission may use here."""
        self._threads = worker.state.nthreads

    def teardown(self, worker: Worker) -> None:
        """Closes the engine when the worker ends."""
        self.close()

    def take(self, order: Order) -> None:
        """Starts the engine for an order."""
        self._orders[order.key] = order
        self._running(order.isolation).server.start()

    def grade(self, key: str, submission: Submission) -> bytes:
        """Grades one submission; see `Grade`."""
        order = self._orders.get(key)
        if order is None:
            raise Unprepared
        limits = replace(order.limits, threads=self._threads)
        return order.chapter.grade(self._running(order.isolation), submission, limits).packed()

    def _running(self, isolation: Isolation) -> Engine:
        with self._lock:
            if self._engine is None or self._engine.isolation is not isolation:
                if self._engine is not None:
                    self._engine.close()
                self._engine = Engine(isolation)
            return self._engine

    def close(self) -> None:
        """Ends the engine with whatever it grades; who grades next starts another."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()


def _plugin() -> EnginePlugin:
    """This worker's plug-in, in a call: made if there is none yet."""
    worker = this_worker()
    if NAME not in worker.plugins:
        sync(worker.loop, worker.plugin_add, plugin=EnginePlugin(), name=NAME)
    return cast(EnginePlugin, worker.plugins[NAME])


async def close_engine(dask_worker: Worker) -> None:
    """Closes the worker's engine; Dask runs this beside the worker's calls."""
    plugin = dask_worker.plugins.get(NAME)
    if isinstance(plugin, EnginePlugin):
        await asyncio.to_thread(plugin.close)


def own_code() -> str:
    """The digest of the grader's own code, as it is installed here."""
    root = Path(files.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
