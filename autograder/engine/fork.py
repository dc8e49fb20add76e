"""Warm processes: a fork server that has done the slow imports once.

Importing torch and TensorFlow takes most of the time of grading a small notebook. The fork server
imports them, uses none of them, and forks an ipykernel, or a judge, on request in a few hundredths
of a second. It runs inside the sandbox, and each process that it forks confines itself further
(sandbox.py). `WarmProvisioner` plugs it into jupyter_client, so that everything that speaks to
kernels can use it through a kernelspec.

A request is one message on the server's control socket, a line of JSON with a connection and, for
grading, a channel (remote.py, judge.py). The server answers on the connection with the process id
and, at the end, the exit status; the client may ask there for a signal. When the client closes the
connection, everything that the process started is killed; when the control socket closes, the
server ends and every process with it. Nothing listens on a path or a port.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import queue
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import channel_socket_types
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from threadpoolctl import LibController, ThreadpoolController

from autograder.engine.inside.remote import CHANNEL_VARIABLE
from autograder.sandbox import confine as sandbox
from autograder.sandbox.confine import Isolation, Resources

PRELOADED = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.extensions.storemagic",
    "autograder.engine.inside.judge",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "pyseccomp",
    "sklearn.datasets",
    "sklearn.ensemble",
    "sklearn.feature_selection",
    "sklearn.linear_model",
    "sqlite3",
    "torch",
    "torch.utils.flop_counter",
    "tensorflow",
    "tornado.platform.asyncio",
    "keras",
    "transformers.models.bert.modeling_bert",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.models.starcoder2.modeling_starcoder2",
)
START_SECONDS = 120
_HUGE_PAGE, _MADV_COLLAPSE = 2**21, 25
_REQUEST_BYTES = 2**18
_MESSAGE_BYTES, _MESSAGES_WAITING = 64 * 2**20, 16  # of a kernel, on one channel
ThreadPools = list[tuple[LibController, int]]  # and how many threads each takes by itself


# ---------------------------------------------------------------- the server's side


def serve(control: socket.socket, isolation: Isolation) -> None:
    """Forks what is asked for on the control socket, until that closes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # nobody debugs in here
    gc.disable()  # it would take a fifth of the time, and find next to nothing
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # shared pages stay shared in the children
    gc.enable()
    _use_huge_pages()
    _Server(control, isolation).run()


def _use_huge_pages() -> None:
    """Moves this process's memory to huge pages: a fork then copies a shorter page table.

    Half a gigabyte is 130,000 small pages, and to copy their entries takes most of a fork's time
    (45 ms before, 20 ms after, on Linux 6.18). A child that writes gets copies of small pages, as
    ever. Linux before 6.1, or without free huge pages, says no, and all stays as it is
    (man 2 madvise).
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, access, _, _, inode, *_ = line.split()
        if access == "rw-p" and inode == "0":
            start, end = (int(address, 16) // _HUGE_PAGE for address in addresses.split("-"))
            if end > start + 1:
                first, length = (start + 1) * _HUGE_PAGE, (end - start - 1) * _HUGE_PAGE
                libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _MADV_COLLAPSE)


class _Server:
    def __init__(self, control: socket.socket, isolation: Isolation):
        self.control = control
        self.isolation = isolation
        self.connections: dict[int, socket.socket] = {}  # by process id
        self.slots: dict[int, int] = {}  # by process id
        self.selector = selectors.DefaultSelector()
        # Of NumPy, SciPy and scikit-learn, with their numbers of threads. They get one each here:
        # OpenBLAS starts threads in each child whose number is set, and those wait in a busy loop.
        pools = ThreadpoolController().lib_controllers
        self.thread_pools = [(pool, pool.num_threads) for pool in pools]
        for pool in pools:
            pool.set_num_threads(1)
        self.child_ended, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        sandbox.adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the client's to handle
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for source in (control, self.child_ended):
            self.selector.register(source, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.control:
                    if not self._accept():
                        for pid in self.connections:
                            _signal(pid, signal.SIGKILL)
                        return
                elif key.fileobj == self.child_ended:
                    os.read(self.child_ended, 4096)
                    self._reap()
                else:
                    self._hear(key.data)

    def _accept(self) -> bool:
        """Forks one process; False if the client is gone."""
        text, descriptors, _, _ = socket.recv_fds(self.control, _REQUEST_BYTES, 2)
        if not text:
            return False
        connection = socket.socket(fileno=descriptors[0])
        channel = socket.socket(fileno=descriptors[1]) if len(descriptors) > 1 else None
        slot = min(set(range(len(self.slots) + 1)) - set(self.slots.values()))
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            self._become(connection, channel, json.loads(text), slot, tell)
        os.close(tell)
        if channel is not None:
            channel.close()
        with open(told, encoding="utf-8") as stream:  # until the new process is confined
            news = dict(line.split(" ", 1) for line in stream.read().splitlines())
        pid = int(news.get("pid", 0))
        if "ready" not in news:
            self._answer(connection, {"error": news.get("error", "the new process died")})
            connection.close()
            if pid:
                _signal(pid, signal.SIGKILL)
            return True
        self.connections[pid] = connection
        self.slots[pid] = slot
        self._answer(connection, {"pid": pid})
        connection.setblocking(False)
        self.selector.register(connection, selectors.EVENT_READ, pid)
        return True

    @staticmethod
    def _answer(connection: socket.socket, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the client may have gone away
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def _become(
        self,
        connection: socket.socket,
        channel: socket.socket | None,
        request: dict[str, Any],
        slot: int,
        tell: int,
    ) -> None:
        """In the child: everything up to ipykernel's or the judge's main loop; never returns."""
        status = 1
        try:
            os.close(signal.set_wakeup_fd(-1))
            os.close(self.child_ended)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.selector.close()
            for other in (self.control, connection, *self.connections.values()):
                other.close()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2) if request["kind"] == "kernel" else (0, 1):
                os.dup2(nowhere, descriptor)  # the judge's errors go to the server's log
            try:
                work = self._confine(request, slot, tell)
            except Exception as error:
                os.write(tell, f"error {' '.join(str(error).split())}\n".encode())
                raise
            os.write(tell, b"ready now\n")
            os.close(tell)
            _settle(request, work, self.thread_pools)
            if channel is None or request["kind"] == "kernel":
                if channel is not None:
                    os.environ[CHANNEL_VARIABLE] = str(channel.detach())
                _run_ipykernel(request["command"])
            else:
                from autograder.engine.inside import judge

                judge.run(channel)
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _confine(self, request: dict[str, Any], slot: int, tell: int) -> str:
        if self.isolation is not Isolation.FULL:
            sandbox.die_with_parent()
        if self.isolation is Isolation.NONE:
            os.setsid()
            os.write(tell, b"pid %d\n" % os.getpid())
            return ""
        return sandbox.confine(
            self.isolation,
            request["folder"],
            slot,
            Resources(**request["resources"]),
            announce=lambda pid: os.write(tell, b"pid %d\n" % pid),
        )

    def _hear(self, pid: int) -> None:
        """A client asks for signals, or goes away."""
        if pid not in self.connections:
            return
        try:
            text = self.connections[pid].recv(4096)
        except OSError:
            text = b""
        if not text:
            _signal(pid, signal.SIGKILL)
            self.selector.unregister(self.connections[pid])  # closed when the process is reaped
        for line in text.splitlines():
            _signal(pid, int(line))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid not in self.connections:  # a forerunner of a confined process, or an orphan
                continue
            connection = self.connections.pop(pid)
            del self.slots[pid]
            _signal(pid, signal.SIGKILL)  # what is left in its group
            if self.isolation is not Isolation.FULL:
                self._kill_orphans()
            self._answer(connection, {"exit": os.waitstatus_to_exitcode(status)})
            with contextlib.suppress(KeyError, ValueError):  # it hung up before
                self.selector.unregister(connection)
            connection.close()

    def _kill_orphans(self) -> None:
        """Kills what left its kernel's process group and outlived its parents."""
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for pid in map(int, children):
            if pid not in self.connections:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _settle(request: dict[str, Any], work: str, thread_pools: ThreadPools) -> None:
    """Folder, environment, random numbers and threads of a new process."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(work or request["cwd"])
    if work:
        home = str(Path(work).parent)
        os.environ.update(HOME=home, TMPDIR=home, IPYTHONDIR=f"{home}/.ipython")
    tempfile.tempdir = None  # look at TMPDIR again
    _reseed()
    _limit_threads(int(request["env"].get("OMP_NUM_THREADS", "0")), thread_pools)


def _reseed() -> None:
    """Gives a child random numbers of its own: forked generators would all repeat each other."""
    import random

    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    torch.seed()


def _limit_threads(number: int, thread_pools: ThreadPools) -> None:
    """Gives this kernel its share of the cores; the libraries read the environment too early.

    Args:
        number: of threads; 0: as many as the libraries take by themselves.
    """
    for pool, by_itself in thread_pools:
        if pool.num_threads != (number or by_itself):
            pool.set_num_threads(number or by_itself)
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
    """Starts the fork server as a child of this process and asks it for processes.

    Attributes:
        folder: the only folder that the server's processes share with this one.

    Raises:
        SandboxError: if bubblewrap is asked for and missing.
    """

    def __init__(self, isolation: Isolation) -> None:
        self.isolation = isolation
        _remove_orphaned_folders()
        prefix = f"autograder-{os.getpid()}-"
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=sandbox.SHARED)).resolve()
        self._log = self.folder / "server.log"
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "autograder.engine.fork", str(theirs.fileno()), isolation]
        environment = dict(os.environ)
        if isolation is not Isolation.NONE:
            environment = _clean_environment(self.folder)
        if isolation is Isolation.FULL:
            command = sandbox.wrap(command, self.folder)
        with theirs, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def close(self) -> None:
        """Ends the server and all of its processes."""
        self._control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

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
                socket.send_fds(self._control, [json.dumps(request).encode()], handed)
            except OSError as error:
                connection.close()
                raise ConnectionError(f"the fork server is gone: {self._last_words()}") from error
        return ForkedProcess(connection, self._last_words)

    def _last_words(self) -> str:
        try:
            return self._log.read_text(errors="replace").strip()[-500:]
        except OSError:
            return ""


def _remove_orphaned_folders() -> None:
    """Removes the folders of this user's graders that were killed."""
    for path in Path(sandbox.SHARED).glob("autograder-*-*"):
        pid = path.name.split("-")[1]
        with contextlib.suppress(OSError):
            ours = path.lstat().st_uid == os.getuid() and not path.is_symlink()
            if pid.isdigit() and ours and not Path("/proc", pid).exists():
                shutil.rmtree(path, ignore_errors=True)


def _clean_environment(folder: Path) -> dict[str, str]:
    """What a sandboxed process may know of this one's environment: nothing that could be secret."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return {**environment, "HOME": str(folder), "MPLCONFIGDIR": str(folder / "matplotlib")}


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


_servers: dict[Isolation, ForkServer] = {}
_servers_lock = threading.Lock()


def fork_server(isolation: Isolation = Isolation.NONE) -> ForkServer:
    """This process's fork server of that isolation, started on first use and again if it died."""
    with _servers_lock:
        server = _servers.get(isolation)
        if server is None or server.process.poll() is not None:
            if server is not None:
                server.close()
            server = _servers[isolation] = ForkServer(isolation)
            atexit.register(server.close)
        return server


class WarmProvisioner(LocalProvisioner):
    """Launches kernels by forking.

    Without further arguments, as JupyterLab and nbval use it, the kernel is not confined, and
    starts cold, with a warning, if it cannot be forked. The grader passes a `server` and
    what `ForkServer.fork` wants; such a kernel is never started in another way.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Forks the kernel that `cmd` describes and returns its connection information."""
        server = kwargs.pop("server", None)
        try:
            if server is None:
                folder = Path(self.parent.connection_file).parent
                cwd = str(kwargs.get("cwd") or os.getcwd())
                env = kwargs.get("env") or dict(os.environ)
                self.process = fork_server().fork(
                    "kernel", command=cmd, folder=folder, cwd=cwd, env=env
                )
            else:
                self.process = server.fork("kernel", command=cmd, **kwargs)
        except OSError as error:
            if server is not None:
                raise
            self.log.warning("no warm kernel (%s); starting a cold one", error)
            return dict(await super().launch_kernel(cmd, **kwargs))
        self.pid = self.process.pid
        self.cwd = kwargs.get("cwd")
        return dict(self.connection_info)

    async def kill(self, restart: bool = False) -> None:
        """Kills the kernel and waits a moment: Jupyter then looks only every tenth of a second."""
        await super().kill(restart)
        for _ in range(100):
            if await self.poll() is not None:
                break
            await asyncio.sleep(0.005)


class _Client(AsyncKernelClient):
    """A client that a hostile kernel can neither hold nor fill.

    It has no heartbeat, because ending that thread waits for a kernel that may not answer; and it
    takes no message that is larger than any honest one.
    """

    def _create_connected_socket(self, channel: str, identity: bytes | None = None) -> zmq.Socket:
        sock = self.context.socket(channel_socket_types[channel])
        sock.linger = 1000
        sock.setsockopt(zmq.MAXMSGSIZE, _MESSAGE_BYTES)
        sock.rcvhwm = _MESSAGES_WAITING
        if identity:
            sock.identity = identity
        sock.connect(self._make_url(channel))
        return sock

    def start_channels(self, *args: Any, **kwargs: Any) -> None:
        super().start_channels(*args, **{**kwargs, "hb": False})

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Waits until the kernel answers and its outputs arrive.

        The usual client then waits for 0.2 s in which no more outputs come. There is no need:
        nbclient passes over those that it has not asked for.

        Raises:
            RuntimeError: if the kernel dies or does not answer in `timeout` seconds.
        """
        give_up = time.monotonic() + (START_SECONDS if timeout is None else timeout)
        while time.monotonic() < give_up and await self.is_alive():
            self.kernel_info()
            with contextlib.suppress(queue.Empty):
                await self.get_shell_msg(timeout=1)
                await self.get_iopub_msg(timeout=0.2)
                return
        raise RuntimeError("the kernel died or does not answer")


def warm_kernel_manager(folder: Path) -> AsyncKernelManager:
    """A manager for one warm kernel, reached through Unix sockets in `folder`, not TCP ports."""
    specs = KernelSpecManager(
        kernel_dirs=[str(Path(__file__).parents[1] / "kernelspecs")], ensure_native_kernel=False
    )
    return AsyncKernelManager(
        client_factory=_Client,
        kernel_name="autograder-warm",
        kernel_spec_manager=specs,
        transport="ipc",
        connection_file=str(folder / "kernel.json"),
        ip=str(folder / "ipc"),
    )


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), Isolation(sys.argv[2]))
