"""Warm kernels: a fork server that has done the slow imports once.

Importing torch and TensorFlow takes most of the time of grading a small notebook. The fork
server (`python -m autograder.kernels SOCKET`) imports them, uses none of them, and forks an
ipykernel on request in a few hundredths of a second. `WarmProvisioner` plugs it into
jupyter_client, so that everything that speaks to kernels can use it through a kernelspec.

One connection to the server's socket is one kernel: the client sends a line of JSON (command,
folder, environment), the server answers with the process id and, at the end, the exit
status. When the client goes away, the kernel and all of its process group are killed; when the
server's standard input closes, the server ends and every kernel with it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

PRELOADED = (
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "sklearn.datasets",
    "torch",
    "torch.utils.flop_counter",
    "tensorflow",
    "keras",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.models.starcoder2.modeling_starcoder2",
)
START_SECONDS = 120
_PR_SET_PDEATHSIG = 1


# ---------------------------------------------------------------- the server's side


def serve(path: str) -> None:
    """Listens on the Unix socket `path` and forks kernels until standard input closes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # shared pages stay shared in the children
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    _Server(listener).run()


class _Server:
    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.kernels: dict[int, socket.socket] = {}  # by process id
        self.selector = selectors.DefaultSelector()
        self.child_ended, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for source in (listener, sys.stdin, self.child_ended):
            self.selector.register(source, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj is sys.stdin:
                    if not os.read(0, 4096):
                        for pid in self.kernels:
                            _kill_group(pid)
                        return
                elif key.fileobj == self.child_ended:
                    os.read(self.child_ended, 4096)
                    self._reap()
                else:  # a client sends nothing after its request: it went away
                    self._hang_up(key.data)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(10)
        try:
            with connection.makefile("r", encoding="utf-8") as stream:
                request = json.loads(stream.readline())
            ready, own_group = os.pipe()  # closed by the child when it leads its own group
            pid = os.fork()
            if pid == 0:
                self._become_kernel(connection, request, own_group)
            self.kernels[pid] = connection
            os.close(own_group)
            os.read(ready, 1)
            os.close(ready)
            connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, pid)
        except (OSError, ValueError) as error:
            print(f"fork server: {error}", file=sys.stderr)
            if connection in self.kernels.values():
                _kill_group(pid)  # its connection is closed when it is reaped
            else:
                connection.close()

    def _become_kernel(
        self, connection: socket.socket, request: dict[str, Any], own_group: int
    ) -> None:
        """In the child: everything up to ipykernel's main loop; never returns."""
        status = 1
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            os.close(own_group)
            os.close(signal.set_wakeup_fd(-1))
            os.close(self.child_ended)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.selector.close()
            for other in (self.listener, connection, *self.kernels.values()):
                other.close()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["env"])
            tempfile.tempdir = None  # look at TMPDIR again
            _reseed()
            _limit_threads(int(request["env"].get("OMP_NUM_THREADS", "0")))
            _run_ipykernel(request["command"])
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(status)

    def _reap(self) -> None:
        for pid in list(self.kernels):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                connection = self.kernels.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(OSError):
                    connection.sendall(json.dumps({"exit": code}).encode() + b"\n")
                _kill_group(pid)  # what the kernel left behind in its group
                with contextlib.suppress(KeyError, ValueError):  # it hung up before
                    self.selector.unregister(connection)
                connection.close()

    def _hang_up(self, pid: int) -> None:
        if pid in self.kernels:
            _kill_group(pid)
            self.selector.unregister(self.kernels[pid])  # closed when the process is reaped


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _reseed() -> None:
    """Gives a child random numbers of its own: forked generators would all repeat each other."""
    import random

    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    torch.seed()


def _limit_threads(number: int) -> None:
    """Gives this kernel its share of the cores; the libraries read the environment too early."""
    if number > 0:
        import tensorflow as tf
        import torch

        torch.set_num_threads(number)
        tf.config.threading.set_intra_op_parallelism_threads(number)
        tf.config.threading.set_inter_op_parallelism_threads(number)


def _run_ipykernel(command: list[str]) -> None:
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.zmqshell import ZMQInteractiveShell

    # exit() and quit() end a kernel a moment later, in the middle of some other cell.
    ZMQInteractiveShell.ask_exit = lambda self: None
    arguments = command[command.index("ipykernel_launcher") + 1 :]
    sys.argv = [command[0], *arguments]
    if sys.path[0] != "":
        sys.path.insert(0, "")  # as in a kernel started cold: the notebook's folder
    IPKernelApp.launch_instance(arguments)


# ---------------------------------------------------------------- the client's side


class ForkServer:
    """Starts the fork server as a child of this process and asks it for kernels."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="autograder-")
        self.path = str(Path(self._folder) / "fork.sock")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "autograder.kernels", self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Ends the server and all of its kernels."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fork(self, command: list[str], cwd: str, env: dict[str, str]) -> ForkedProcess:
        """A new kernel process.

        Raises:
            OSError: if the server cannot be reached.
        """
        connection = self._connect()
        request = {"command": command, "cwd": cwd, "env": env}
        connection.sendall(json.dumps(request).encode() + b"\n")
        return ForkedProcess(connection)

    def _connect(self) -> socket.socket:
        waited = threading.Event()
        for _ in range(START_SECONDS * 10):
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.path)
                return connection
            except OSError:
                connection.close()
                if self.process.poll() is not None:
                    raise
                waited.wait(0.1)  # still importing
        raise TimeoutError("the fork server did not start")


class ForkedProcess:
    """A kernel forked by the server, with the part of Popen's interface that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._buffer = b""
        self.returncode: int | None = None
        connection.settimeout(30)
        self.pid = int(self._message()["pid"])

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
        """Signals the kernel's process group."""
        if self.poll() is None:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kills the kernel's process group."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks the kernel's process group to end."""
        self.send_signal(signal.SIGTERM)


_server: ForkServer | None = None
_server_lock = threading.Lock()


def fork_server() -> ForkServer:
    """This process's fork server, started on first use and again if it died."""
    global _server  # noqa: PLW0603  (one per process; it lives as long as the process)
    with _server_lock:
        if _server is None or _server.process.poll() is not None:
            if _server is not None:
                _server.close()
            _server = ForkServer()
            atexit.register(_server.close)
        return _server


class WarmProvisioner(LocalProvisioner):
    """Launches kernels by forking; starts them cold, and says so, if that fails."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Forks the kernel that `cmd` describes and returns its connection information."""
        try:
            self.process = fork_server().fork(
                cmd, str(kwargs.get("cwd") or os.getcwd()), kwargs.get("env") or dict(os.environ)
            )
        except OSError as error:
            self.log.warning("no warm kernel (%s); starting a cold one", error)
            return dict(await super().launch_kernel(cmd, **kwargs))
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs.get("cwd")
        return dict(self.connection_info)


def warm_kernel_manager(folder: Path) -> AsyncKernelManager:
    """A manager for one warm kernel, reached through Unix sockets in `folder`, not TCP ports."""
    specs = KernelSpecManager(
        kernel_dirs=[str(Path(__file__).parent / "kernelspecs")], ensure_native_kernel=False
    )
    return AsyncKernelManager(
        kernel_name="autograder-warm",
        kernel_spec_manager=specs,
        transport="ipc",
        connection_file=str(folder / "kernel.json"),
        ip=str(folder / "ipc"),
    )


if __name__ == "__main__":
    serve(sys.argv[1])
