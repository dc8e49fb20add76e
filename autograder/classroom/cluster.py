"""Gives work to Dask's workers, on whatever machines they are: an executor for `batch.py`.

Dask carries calls and results; which worker gets what is decided here, one call at a time for each
worker, so that it is known whose call it was when a worker is lost. A worker that is lost or does
not answer gives its call back, and whoever is free gets it; a call that has cost two workers is
given up. A worker is prepared before its first call, and may be refused. Workers may join at any
time.

What is called is not this module's business. Dask carries arguments and results as pickles, so
grader, scheduler and workers have to trust each other (docs/scale.md).
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import Client, Worker, get_worker
from distributed import Future as Remote
from distributed.scheduler import KilledWorker

from autograder.classroom.work import GivenUp, NobodyGrades

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.5  # between two looks at which workers there are
CONNECT_SECONDS = 20
SILENCE_SECONDS = 60  # a scheduler that has much to do is not lost
PATIENCE_SECONDS = 60  # as long as no worker is there that can be used
PREPARE_SECONDS = 900  # the imports take long where the machine has much else to do
RELEASE_SECONDS = 20
LOSSES = 2  # workers that a call may cost


class Unprepared(Exception):
    """A worker has begun anew: it has to be prepared again."""


@dataclass(eq=False)
class _Call:
    """Something to be done, and who was lost over it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)
    begun: bool = False
    lost: list[str] = field(default_factory=list)


class Cluster(Executor):
    """The workers of a Dask scheduler, one call at a time for each.

    It connects when the first call is submitted, which waits for the first worker.

    Args:
        address: the scheduler's, such as "tcp://host:8786".
        prepare: done by each worker before its first call; says why the worker is refused, or "".
        release: done by each worker at the end, also while a call is under way, which it ends.
        seconds: after which a worker is given up that has not answered.

    Raises:
        ValueError: if that is no address.
    """

    def __init__(
        self,
        address: str,
        prepare: Callable[[], str],
        release: Callable[[Worker], Awaitable[None]],
        seconds: float,
    ):
        if not re.fullmatch(r"((tcp|tls)://)?[^/]+:\d+", address):
            raise ValueError(f"{address!r} is no address of a scheduler, such as tcp://host:8786")
        self.address = address
        self._prepare, self._release, self._seconds = prepare, release, seconds
        self._calls: asyncio.Queue[_Call] = asyncio.Queue()
        self._lock = threading.Lock()
        self._open: set[_Call] = set()
        self._ready: set[str] = set()  # addresses of workers that are prepared
        self._refused: dict[str, str] = {}  # why, by the worker's name
        self._gone = ""  # why there is nobody to do anything
        self._end = asyncio.Event()
        self._begun: Future[None] = Future()  # when the first worker is ready
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def at_once(self) -> int:
        """How many calls can be under way, now."""
        return len(self._ready)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Has a worker call `fn`, by position only.

        The future raises `GivenUp` if that has cost two workers, and `NobodyGrades` if there are no
        workers any more.

        Raises:
            OSError: if the scheduler cannot be reached, or has no worker that can be used.
        """
        if kwargs:
            raise TypeError("arguments are passed by position")
        if self._thread is None:
            self._thread = threading.Thread(target=asyncio.run, args=(self._main(),), daemon=True)
            self._thread.start()
        self._begun.result()
        call = _Call(fn, args)
        with self._lock:
            if self._gone or self._loop is None:
                call.future.set_exception(NobodyGrades(self._gone))
            else:
                self._open.add(call)
                self._loop.call_soon_threadsafe(self._calls.put_nowait, call)
        return call.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Lets go of the workers; whatever they still do comes to an end, too."""
        if self._thread is None or self._loop is None:
            return
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._end.set)
        if wait:
            self._thread.join()

    # ------------------------------------------------------------ in the thread

    async def _main(self) -> None:
        """Connects, and looks which workers there are, until the end."""
        self._loop = asyncio.get_running_loop()
        try:
            client = await Client(
                self.address, asynchronous=True, set_as_default=False, timeout=CONNECT_SECONDS
            )
        except Exception as error:
            self._begun.set_exception(
                OSError(f"the scheduler {self.address} cannot be reached: {error}")
            )
            return
        serving: dict[str, asyncio.Task[None]] = {}
        # A notebook with figures is no mistake of a programmer's.
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})
        try:
            await self._look(client, serving)
        except NobodyGrades as error:
            self._gone = str(error)
        except OSError as error:
            self._gone = f"the connection to the scheduler was lost ({error})"
        finally:
            with self._lock:
                self._gone = self._gone or "stopped"
            if not self._begun.done():
                self._begun.set_exception(OSError(self._gone))
            for call in list(self._open):
                self._finish(call, NobodyGrades(self._gone))
            workers = [address for address in serving if address in self._ready]
            for task in serving.values():
                task.cancel()
            await asyncio.gather(*serving.values(), return_exceptions=True)
            with suppress(Exception):  # who is lost has nothing to let go of
                async with asyncio.timeout(RELEASE_SECONDS):
                    await client.run(self._release, workers=workers, on_error="ignore")
            with suppress(Exception):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await client.close()

    async def _look(self, client: Client, serving: dict[str, asyncio.Task[None]]) -> None:
        """Serves every worker that is there, and no other, until the end.

        Raises:
            OSError: if the scheduler is gone.
            NobodyGrades: if no worker can be used for long.
        """
        served = time.monotonic()
        said = False
        while not self._end.is_set():
            async with asyncio.timeout(SILENCE_SECONDS):
                there = await client.scheduler.ncores()
            lost = [serving.pop(address) for address in serving.keys() - there.keys()]
            for task in lost:
                task.cancel()
            await asyncio.gather(*lost, return_exceptions=True)
            for address in there.keys() - serving.keys():
                serving[address] = asyncio.create_task(self._serve(client, address))
            if any(not task.done() for task in serving.values()):
                served = time.monotonic()
                said = False
            elif time.monotonic() - served >= PATIENCE_SECONDS:
                raise NobodyGrades(self._nobody())
            elif not said:
                said = True
                log.warning("%s; waiting for one, %d s at most", self._nobody(), PATIENCE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._end.wait()

    def _nobody(self) -> str:
        what = f"the scheduler {self.address} has no worker that can be used"
        refused = [f"{name} is refused: {why}" for name, why in self._refused.items()]
        return f"{what} ({'; '.join(refused)})" if refused else what

    async def _serve(self, client: Client, address: str) -> None:
        """Has one worker do calls, until it is lost, which cancels this, or does not answer."""
        name = address
        try:
            while True:
                answer = _on(client, address, _prepare_here, self._prepare)
                async with asyncio.timeout(PREPARE_SECONDS):
                    name, problem = await answer
                name = address if name == address else f"{name} ({address})"
                if problem:
                    self._refused[name] = problem
                    log.warning("worker %s is refused: %s", name, problem)
                    return
                self._ready.add(address)
                if not self._begun.done():
                    self._begun.set_result(None)
                with suppress(Unprepared, KilledWorker):
                    await self._do_calls(client, address, name)
        except TimeoutError:
            log.warning("worker %s is not used: it is not ready after %d s", name, PREPARE_SECONDS)
        except _Silent:
            log.warning("worker %s is given up: no answer in %.0f s", name, self._seconds)
            with suppress(Exception):  # only those with a nanny can be started again
                await client.restart_workers([address], raise_for_error=False)
        except CancelledError:  # Dask's own: the scheduler is gone, which _look says
            pass
        except Exception as error:
            self._refused[name] = f"{type(error).__name__}: {error}"
            log.warning("worker %s is refused: %s", name, self._refused[name])
        finally:
            self._ready.discard(address)

    async def _do_calls(self, client: Client, address: str, name: str) -> None:
        """Has a worker do one call after the other.

        Raises:
            Unprepared, _Silent, KilledWorker, CancelledError: when it cannot go on; what it had to
                do was given back.
        """
        while True:
            call = await self._calls.get()
            if not call.begun and not call.future.set_running_or_notify_cancel():
                self._open.discard(call)
                continue
            call.begun = True
            try:
                async with asyncio.timeout(self._seconds) as limit:
                    result = await _on(client, address, call.function, *call.arguments)
            except (asyncio.CancelledError, KilledWorker, Unprepared):
                self._lost(call, name)
                raise
            except CancelledError:  # Dask's own: the scheduler is gone
                self._calls.put_nowait(call)
                raise
            except Exception as error:
                if limit.expired():
                    self._lost(call, name)
                    raise _Silent from None
                self._finish(call, error)
            else:
                self._finish(call, None, result)

    def _lost(self, call: _Call, name: str) -> None:
        """Gives back what a lost worker had to do, unless that costs too many."""
        if call not in self._open:  # it is the end
            return
        log.warning("worker %s was lost; what it had to do is given to another", name)
        call.lost.append(name)
        if len(call.lost) < LOSSES:
            self._calls.put_nowait(call)
            return
        workers = " and ".join(call.lost)
        self._finish(call, GivenUp(f"{LOSSES} workers were lost while they graded it: {workers}"))

    def _finish(self, call: _Call, error: Exception | None, result: Any = None) -> None:
        self._open.discard(call)
        if not call.begun and not call.future.set_running_or_notify_cancel():
            return  # it was cancelled, and whoever waits for it knows now
        call.begun = True
        with suppress(InvalidStateError):  # it was the end meanwhile
            if error is None:
                call.future.set_result(result)
            else:
                call.future.set_exception(error)


class _Silent(Exception):
    """A worker has not answered in time."""


def _on(client: Client, address: str, function: Callable[..., Any], *arguments: Any) -> Remote[Any]:
    """Has this worker, and no other, call a function."""
    return client.submit(function, *arguments, workers=[address], pure=False)


def _prepare_here(prepare: Callable[[], str]) -> tuple[str, str]:
    """The worker's name, and why it is refused, or ""."""
    return str(this_worker().name), prepare()


def this_worker() -> Worker:
    """The worker that runs this, in a call."""
    return get_worker()
