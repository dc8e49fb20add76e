"""What a process is like that works on a class, be it `autograder`, nbgrader or formgrader.

nbgrader_config.py calls `prepare`, which nbgrader's own commands and formgrader read, and the
commands of `autograder` do when they open a class's folder.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def prepare(folder: Path) -> None:
    """Readies this process for the class in this folder.

    - nbgrader calls alembic by name when it makes a gradebook: the environment that runs comes onto
      PATH, so that a command that was called by its path finds it, too.
    - What it writes, work and marks, others cannot read, whatever the user's umask says; nor can
      the folder's group, unless that may write there: then several people teach the class.
    """
    here = str(Path(sys.executable).parent)
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PATH")]))
    shared = stat.S_IMODE(folder.stat().st_mode) & stat.S_IWGRP
    os.umask(0o007 if shared else 0o077)
