"""The one folder that a grader shares with its sandboxed processes, and who may delete it.

Next to each folder lies a lock file. Its owner holds a lock on it (flock(2)) for as long as it
lives, in whatever container or process namespace that is; the kernel lets go of it when the owner
dies, however that happens. So a folder whose lock can be taken has no owner any more and is
removed, by whoever makes the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

# Not in /tmp, where a submission may make what it likes: only the grader makes files here.
SHARED = "/var/tmp"
_PREFIX, _LOCK = "autograder-", ".lock"


class SharedFolder:
    """A new folder, this process's until `remove`."""

    def __init__(self) -> None:
        _remove_orphans()
        self._lock, lock = _take_new_lock()
        self._lock_path = lock.resolve()
        self.path = self._lock_path.with_suffix("")
        try:
            self.path.mkdir(mode=0o700)
        except OSError:  # a full disk has no room for a folder, and often has for the lock
            self.remove()
            raise

    def remove(self) -> None:
        """Removes the folder with all that is in it; once is enough, more does no harm."""
        if self._lock >= 0:
            _remove(self._lock_path)
            os.close(self._lock)
            self._lock = -1


def _take_new_lock() -> tuple[int, Path]:
    while True:
        lock, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_LOCK, dir=SHARED)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return lock, Path(name)
        os.close(lock)  # another grader took it for an orphan's before it was locked


def _remove(lock: Path) -> None:
    """Removes the folder first, so that no folder is ever without its lock file."""
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)


def _remove_orphans() -> None:
    """Removes the folders of this user's graders that were killed."""
    for path in Path(SHARED).glob(f"{_PREFIX}*{_LOCK}"):
        with contextlib.suppress(OSError):  # somebody else's, or removed just now
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid == os.getuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused: its owner lives
                    if os.fstat(lock).st_nlink:
                        _remove(path)
            finally:
                os.close(lock)
