"""Sees when processes that wait for each other wait for ever: the eyes of `run_ranks`.

Linux only; elsewhere nothing is ever said to be idle.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

IDLE_SECONDS = 2.0  # without any progress, after which waiting ranks are said to wait for ever
IDLE_SHARE = 0.03  # of these, all ranks' processor time together that counts as none


class Idleness:
    """Whether processes do nothing, and for how long: each thread sleeps, and next to none has run.

    A process that waits for the processor, on a busy machine, is awake again and again.
    One that waits for others in torch's store looks there a hundred times a second: that little is
    nothing, also where it is seen once.
    """

    def __init__(self) -> None:
        self._begun: dict[str, float] | None = None
        self._since = time.monotonic()
        self._was_awake = False

    def has_lasted(self, pids: list[int]) -> bool:
        """Whether these have been idle for `IDLE_SECONDS`; to be asked again and again."""
        now = time.monotonic()
        worked = _activity(pids)
        was_awake, self._was_awake = self._was_awake, worked is None
        if worked is None and not was_awake:
            return False
        if (
            worked is None
            or self._begun is None
            or worked.keys() != self._begun.keys()
            or sum(worked.values()) - sum(self._begun.values()) > IDLE_SHARE * IDLE_SECONDS
        ):
            self._begun, self._since = worked, now
        return now - self._since > IDLE_SECONDS


def _activity(pids: list[int]) -> dict[str, float] | None:
    """The threads' processor seconds; None if one is not asleep, or it cannot be known."""
    if sys.platform != "linux":
        return None
    times, ticks = {}, os.sysconf("SC_CLK_TCK")  # a second
    try:
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "S" or (task / "children").read_text().strip():
                    return None
                times[task.name] = (int(fields[11]) + int(fields[12])) / ticks
    except OSError:
        return None
    return times
