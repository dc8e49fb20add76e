"""Commands as other users of this machine, such as students with accounts there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STUDENT = 65_534  # nobody
ANOTHER = 1  # daemon, who is everywhere, too: nbgrader asks for the name of who hands in
DEBIANS = Path("/usr/bin/python3.11")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


def as_oneself(*command: object) -> subprocess.CompletedProcess[str]:
    """Runs the command in `/`, with the umask that people have."""
    words = [str(word) for word in command]
    return subprocess.run(words, cwd="/", capture_output=True, text=True, check=False, umask=0o022)


def as_student(*command: object, user: int = STUDENT) -> subprocess.CompletedProcess[str]:
    """Runs the command in `/` as a user without rights, in an environment of their own."""
    return as_oneself(*words_as(user, *command))


def words_as(user: int, *command: object) -> list[str]:
    """The command that runs this one as a user without rights."""
    who = ["--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs"]
    # setpriv itself still has rights when it looks for the command; env has none.
    return [str(word) for word in ("setpriv", *who, "--reset-env", "env", *command)]


@contextmanager
def open_folder(parent: str = "/var/tmp") -> Iterator[Path]:
    """A folder that everybody can look into: pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="a-class-", dir=parent) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def python_for_all() -> Path:
    """A Python of the version that we run on, which a student can run, too."""
    own = Path(sys.base_prefix, "bin", "python3.11")
    for python in (own, DEBIANS):
        if as_student(python, "-c", "").returncode == 0:
            return python
    pytest.skip("there is no Python 3.11 here that other users can run")
