"""The time that a submission has: for everything, and within that for the check that runs.

All deadlines that can decide a mark are counted here, and none on the wall clock: a submission's
seconds are those that its own processes, its kernel and its judge, have worked or slept
(stopwatch.py). So a mark is the same beside six others as on a quiet machine. Where the machine
gives next to nothing for very long, that is the grader's fault and no mark: `MachineTooBusy`.

Nobody has to wait for a process that does nothing. The first time that a submission sleeps through
a deadline, it is waited for, since an honest one may wake up. After that, whoever has slept
for `IDLE_SECONDS` is stopped as if the deadline had passed, and what is left of it counts as spent:
it costs the submission the same, and the class a fraction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from autograder.engine.options import Cost, Limits
from autograder.stopwatch import TICK, Stopwatch

IDLE_SECONDS = 10.0  # far more than ranks sleep while they wait for each other (ranks.py)
# The wall clock's limit: in `notebook_seconds`, and in seconds at the least, since the fork
# server's imports alone may take minutes on a busy machine.
WALL_FACTOR, WALL_SECONDS = 10, 1200.0


class MachineTooBusy(OSError):
    """The machine has not given a submission the time that it may have."""


def wall_seconds(limits: Limits) -> float:
    """After how many seconds, at the wall, the machine is too busy; limits have all seconds."""
    return max(WALL_SECONDS, WALL_FACTOR * (limits.notebook_seconds or 0.0))


class Clock:
    """The time of one submission.

    Args:
        limits: with all seconds filled in.

    Attributes:
        cost: so far.
    """

    def __init__(self, limits: Limits):
        self.watch = Stopwatch()
        self.cost = Cost()
        self._has_slept = False  # through a deadline
        self._check_seconds = limits.check_seconds or 0.0
        self._end = limits.notebook_seconds or 0.0
        self._check_end = 0.0
        self._wall = wall_seconds(limits)
        self._wall_end = time.monotonic() + self._wall

    def _now(self) -> float:
        if self.watch.is_due:
            self.watch.look()
        return self.watch.seconds

    @property
    def left(self) -> float:
        """Seconds for everything that follows."""
        return self._end - self._now()

    @property
    def check_left(self) -> float:
        """Seconds for the check that runs."""
        now = self._now()
        return max(0.0, min(self._check_end, self._end) - now)

    def begin_check(self) -> None:
        """A check begins."""
        self._check_end = self._now() + self._check_seconds

    @contextmanager
    def off_the_checks_account(self) -> Iterator[None]:
        """What happens inside the block takes no time from the check."""
        remaining = self._check_end - self._now()
        try:
            yield
        finally:
            self._check_end = self._now() + remaining

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside the block takes no time: the grader's own work, and its start-up."""
        self.watch.look()
        try:
            yield
        finally:
            self.watch.start()

    async def wait(self, tasks: Collection[asyncio.Future[Any]], seconds: float) -> bool:
        """Waits for the first of these tasks; whether one is done before the seconds are over.

        Raises:
            MachineTooBusy: if the machine gives these seconds to others.
        """
        end = self._now() + seconds
        self.watch.idle = 0.0
        while True:
            left = max(0.0, min(TICK, end - self.watch.seconds))
            ended, _ = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if ended:
                return True
            self.watch.look()
            idle = self.watch.idle
            if self.watch.seconds >= end:
                self._has_slept |= idle >= seconds / 2
                break
            if self._has_slept and idle >= IDLE_SECONDS:
                self.watch.seconds = end
                break
            if time.monotonic() > self._wall_end:
                raise MachineTooBusy(
                    f"in {self._wall:.0f} seconds the machine has given it "
                    f"{self.watch.seconds:.0f} of the {self._end:.0f} that it may have"
                )
        self.cost.deadlines += 1
        return False
