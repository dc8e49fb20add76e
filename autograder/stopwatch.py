"""How long processes have been at work, whatever else the machine has to do.

A deadline on the wall clock falls sooner for a program on a busy machine: the time in which it
stood in line for a processor is counted, too. This clock leaves that time out. It goes on while a
process computes and while it sleeps, as on a machine of its own, and stands still while it is
ready and others run, or while the thread that looks at it, which has to read what the process
says, stands in line itself. Linux tells both for each thread: the time on a processor and the time
in line (/proc/PID/task/TID/schedstat; Documentation/scheduler/sched-stats.rst of the kernel).
Where it does not, or there is no /proc, this is the wall clock.

The engine's deadlines and `ranks.py` use it. Importing it is quick.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

TICK = 0.25  # seconds between two looks
# Who uses as much as this of a processor, or stands in line for it, is not idle.
_IDLE_SHARE = 0.01
# Four ranks at once are honest work: each may run a quarter of the time. A crowd, in which
# everybody stands in line behind the others, does not make its own time stand still.
_CROWD, _HONEST = 9, 4


class Stopwatch:
    """The time of some processes and all that they start.

    Attributes:
        seconds: so far, up to the last look.
        idle: seconds, up to the last look, in which none of them has done anything.
    """

    def __init__(self, *pids: int) -> None:
        self.seconds = 0.0
        self.idle = 0.0
        self._roots = dict.fromkeys(pids, True)
        self._known: dict[tuple[int, int], _Thread] = {}
        self._reader = _Thread(0, 0)
        self._last = 0.0
        self.start()

    def watch(self, pid: int, counted: bool = True) -> None:
        """Until it ends, this process is one of them; not `counted`: only those that it starts."""
        self._roots[pid] = counted

    def start(self) -> None:
        """Goes on from here: what has been since the last look is left out."""
        self._last, self._known, self.idle = time.monotonic(), self._threads(), 0.0
        self._reader = self._this_thread()

    @property
    def is_due(self) -> bool:
        """Whether the last look is long enough ago."""
        return time.monotonic() - self._last >= TICK

    def look(self) -> None:
        """Adds what has passed since the last look."""
        now, threads, reader = time.monotonic(), self._threads(), self._this_thread()
        passed = now - self._last
        nothing = _Thread(0, 0)
        new = [(thread, self._known.get(key, nothing)) for key, thread in threads.items()]
        ran = sum(thread.ran - before.ran for thread, before in new)
        waited = max((thread.waited - before.waited for thread, before in new), default=0.0)
        # The longest in line holds all of them up. Linux counts its waiting when it has come to an
        # end, so that a look may take back what the one before has counted.
        gone_by = passed - max(waited, reader.waited - self._reader.waited)
        if sum(thread.ran - before.ran > _IDLE_SHARE * passed for thread, before in new) >= _CROWD:
            gone_by = max(gone_by, min(passed, ran / _HONEST))
        # Who looks late has been busy itself, or stood in line: that is nobody's time.
        gone_by = min(gone_by, 2 * TICK)
        self.seconds += gone_by
        is_known = any(thread.ran for thread in threads.values())
        is_idle = is_known and ran + waited <= _IDLE_SHARE * passed
        self.idle = self.idle + max(0.0, gone_by) if is_idle else 0.0
        self._last, self._known, self._reader = now, threads, reader

    def _threads(self) -> dict[tuple[int, int], _Thread]:
        found = {}
        self._roots = {pid: c for pid, c in self._roots.items() if os.path.exists(f"/proc/{pid}")}
        for root, counted in self._roots.items():
            for pid, tid in _tree(root):
                if pid != root or counted:
                    with suppress(OSError, ValueError, IndexError):  # it may have ended
                        found[pid, tid] = _Thread.read(f"/proc/{pid}/task/{tid}/schedstat")
        return found

    @staticmethod
    def _this_thread() -> _Thread:
        with suppress(OSError, ValueError, IndexError):
            return _Thread.read("/proc/thread-self/schedstat")
        return _Thread(0, 0)


@dataclass(frozen=True)
class _Thread:
    """Seconds on a processor, and in line for one, since a thread began."""

    ran: float
    waited: float

    @classmethod
    def read(cls, path: str) -> _Thread:
        ran, waited = _read(path).split()[:2]
        return cls(int(ran) / 1e9, int(waited) / 1e9)


def _tree(root: int) -> Iterator[tuple[int, int]]:
    """The threads of a process and its descendants."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            for tid in os.listdir(f"/proc/{pid}/task"):
                yield pid, int(tid)
                with suppress(OSError):
                    children = _read(f"/proc/{pid}/task/{tid}/children").split()
                    waiting += map(int, children)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()
