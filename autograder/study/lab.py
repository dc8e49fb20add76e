"""Opens JupyterLab for somebody who studies alone: `autograder study`, `make lab`.

Its configuration is in jupyter/ beside this file, on a path that only this command sets, and all
that Jupyter writes goes to work/.jupyter/. So somebody's own JupyterLab, or an instructor's with
nbgrader's panels, stays as it is. JupyterLab runs as a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from autograder.study.start import PAGE

CONFIGURATION = Path(__file__).parent / "jupyter"
LEAVE_SECONDS = 20  # for JupyterLab to end its kernels and itself


def environment(work: Path, present: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for JupyterLab, made of the present ones."""
    own = work / ".jupyter"
    more = present.get("JUPYTER_CONFIG_PATH", "")
    return {
        **present,
        "JUPYTER_CONFIG_PATH": os.pathsep.join([str(CONFIGURATION), *([more] if more else [])]),
        "JUPYTER_CONFIG_DIR": str(own),
        "JUPYTER_DATA_DIR": str(own / "data"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "IPYTHONDIR": str(own / "ipython"),
    }


def running(work: Path) -> str | None:
    """The address of a JupyterLab that this command has opened and that still runs, if any."""
    from jupyter_server.serverapp import list_running_servers  # it takes a while to import

    for server in list_running_servers(str(work / ".jupyter" / "runtime")):
        if Path(server["root_dir"]) == work:
            token = f"?token={server['token']}" if server.get("token") else ""
            return f"{server['url']}lab/tree/{PAGE}{token}"
    return None


def open_lab(work: Path, options: Sequence[str]) -> int:
    """Runs JupyterLab at the start page until it is ended; returns its exit code.

    Args:
        work: the learner's folder, an absolute path.
        options: for `jupyter lab`, such as --no-browser.
    """
    command = [sys.executable, "-m", "jupyterlab"]
    command += [f"--ServerApp.root_dir={work}", f"--LabApp.default_url=/lab/tree/{PAGE}", *options]
    process = subprocess.Popen(command, cwd=work, env=environment(work, os.environ))
    # Ctrl-C reaches JupyterLab, too, which asks whether to end.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: _end(process))
    return process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends JupyterLab, also where it hangs: as it may while a kernel starts.

    What it has saved is on the disk, and kernels end with it.
    """
    process.terminate()
    timer = threading.Timer(LEAVE_SECONDS, process.kill)
    timer.daemon = True
    timer.start()
