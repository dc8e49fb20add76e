"""The fork server, on the grader's side: starts it and asks it for processes.

What the server does, and how the two talk, is in inside/server.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autograder.sandbox import confine as sandbox
from autograder.sandbox.confine import Isolation, Resources
from autograder.sandbox.shared import SharedFolder

START_SECONDS = 600  # the imports take ten, or minutes where the machine has much else to do


class ForkServer:
    """A fork server of one isolation. It starts when it is needed, and again if it died.

    Several threads may use one. Whoever made it closes it.

    Attributes:
        folder: the only folder that the server's processes share with this one.
        process: the server, or the sandbox around it; None until it is started.
    """

    def __init__(self, isolation: Isolation) -> None:
        self.isolation = isolation
        self.process: subprocess.Popen[bytes] | None = None
        self._shared = SharedFolder()
        self.folder = self._shared.path
        self._log = self.folder / "server.log"
        self._control: socket.socket | None = None
        self._closed = False
        self._asked = False
        self._starting = threading.Lock()

    def start(self) -> None:
        """Sees to it that the server runs; its imports take seconds more, in the background.

        Raises:
            SandboxError: if bubblewrap is asked for and missing.
            OSError: if the server was closed.
        """
        self._running()

    def _running(self) -> socket.socket:
        """The control socket of a server that runs."""
        with self._starting:
            if self._closed:
                raise ConnectionError("the fork server was closed")
            if self._control is not None and self.process is not None:
                if self.process.poll() is None:
                    return self._control
                self._control.close()  # what is left of a dead one ends
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs, self._log.open("wb") as log:
                self.process = subprocess.Popen(
                    self._command(theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment(),
                    pass_fds=[theirs.fileno()],
                    umask=0o022,  # its processes are other users; the folder's own mode guards it
                )
            return self._control

    def _command(self, control: int) -> list[str]:
        module = "autograder.engine.inside.server"
        command = [sys.executable, "-m", module, str(control), self.isolation]
        return sandbox.wrap(command, self.folder) if self.isolation is Isolation.FULL else command

    def _environment(self) -> dict[str, str]:
        """What the server may know of this process's environment: nothing that could be secret."""
        if self.isolation is Isolation.NONE:
            return dict(os.environ)
        kept = ("PATH", "LANG", "LC_ALL", "TZ", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        folder = self.folder
        return {**environment, "HOME": str(folder), "MPLCONFIGDIR": str(folder / "matplotlib")}

    def close(self) -> None:
        """Ends the server and all of its processes."""
        with self._starting:
            self._closed = True
            if self._control is not None:
                self._control.close()
            if self.process is not None:
                # It has started nothing, and may have seconds of imports left.
                if not self._asked and self.process.poll() is None:
                    self._kill()
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            self._shared.remove()

    def _kill(self) -> None:
        """Kills the server; the sandbox's own process above it, if there is one, ends then."""
        assert self.process is not None
        below = _children(self.process.pid) if self.isolation is Isolation.FULL else []
        for pid in below or [self.process.pid]:
            with contextlib.suppress(ProcessLookupError):  # it has ended just now
                os.kill(pid, signal.SIGKILL)

    def new_folder(self) -> Path:
        """A folder for one process, where both sides can make sockets.

        Raises:
            ConnectionError: if the server was closed, and its folder with it.
        """
        if self._closed:
            raise ConnectionError("the fork server was closed")
        return Path(tempfile.mkdtemp(prefix="k", dir=self.folder))

    def fork(  # noqa: PLR0913  (what a process needs)
        self,
        kind: str,
        *,
        env: dict[str, str],
        folder: Path,
        cwd: str = "",
        command: list[str] | None = None,
        channel: socket.socket | None = None,
        resources: Resources | None = None,
    ) -> ForkedProcess:
        """A new process, confined.

        Args:
            kind: "kernel" or "judge".
            folder: where it may make sockets; a folder of its own in the server's.
            cwd: where it runs unless it is confined: then in a folder of its own.
            channel: handed over to it, for calls.

        Raises:
            OSError: if the server does not answer or the process cannot be confined.
        """
        control = self._running()
        self._asked = True
        connection, theirs = socket.socketpair()
        request = {
            "kind": kind,
            "command": command,
            "cwd": cwd,
            "env": env,
            "folder": str(folder),
            "resources": asdict(resources or Resources()),
        }
        handed = [theirs.fileno()] + ([channel.fileno()] if channel is not None else [])
        with theirs:
            try:
                socket.send_fds(control, [json.dumps(request).encode()], handed)
            except OSError as error:
                connection.close()
                raise ConnectionError(f"the fork server is gone: {self._last_words()}") from error
        return ForkedProcess(connection, self._last_words)

    def find(self, process: ForkedProcess) -> tuple[int, bool]:
        """The process id, here, of a process of this server's; whether it runs what was asked for.

        It does not in full isolation: there, it is the keeper, and what was asked for its child.
        """
        if self.isolation is not Isolation.FULL or self.process is None:
            return process.pid, True
        with contextlib.suppress(OSError, ValueError, IndexError):  # it may have ended
            for server in _children(self.process.pid):
                for keeper in _children(server):
                    status = Path(f"/proc/{keeper}/status").read_text()
                    numbers = re.findall(r"^NSpid:\s(.*)$", status, re.MULTILINE)[0].split()
                    if int(numbers[1]) == process.pid:  # in the server's namespace
                        return keeper, False
        return 0, False

    def _last_words(self) -> str:
        try:
            return self._log.read_text(errors="replace").strip()[-500:]
        except OSError:
            return ""


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def process_environment(threads: int) -> dict[str, str]:
    """All environment variables of a kernel or judge.

    Args:
        threads: that torch and TensorFlow may use.
    """
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": str(threads),
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "GLOO_SOCKET_IFNAME": "lo",
        "NBGRADER_EXECUTION": "autograde",
    }


class ForkedProcess:
    """A process forked by the server, with the part of Popen's interface that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket, last_words: Callable[[], str]):
        self._connection = connection
        self._last_words = last_words
        self._buffer = b""
        self.returncode: int | None = None
        connection.settimeout(START_SECONDS)
        try:
            answer = self._message()
        except OSError as error:
            connection.close()
            raise ConnectionError(f"the fork server does not answer: {last_words()}") from error
        if "error" in answer:
            connection.close()
            raise sandbox.SandboxError(answer["error"])
        self.pid = int(answer["pid"])  # in the server's namespace

    def _message(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            part = self._connection.recv(4096)
            if not part:
                raise ConnectionResetError("the fork server is gone")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        if self.returncode is None:
            self._connection.settimeout(0)
            self._receive_status()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            self._receive_status()
        return self.returncode

    def _receive_status(self) -> None:
        try:
            self.returncode = int(self._message()["exit"])
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            self.returncode = -signal.SIGKILL  # the server died, and its kernels with it
        self._connection.close()

    def send_signal(self, number: int) -> None:
        """Signals the process and its group."""
        if self.poll() is None:
            self._connection.settimeout(10)
            with contextlib.suppress(OSError):  # it ended just now
                self._connection.sendall(b"%d\n" % number)

    def kill(self) -> None:
        """Kills the kernel's process group."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks the kernel's process group to end."""
        self.send_signal(signal.SIGTERM)
