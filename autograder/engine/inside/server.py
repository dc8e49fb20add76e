"""The fork server, on the sandbox's side: one warm process that forks kernels and judges.

Importing torch and TensorFlow takes most of the time of grading a small notebook. This process
imports them, uses none of them, and forks an ipykernel, or a judge, on request in a few hundredths
of a second. It runs inside the outer ring of the sandbox, and each process that it forks confines
itself further (sandbox/confine.py) before anything else happens. engine/fork.py starts it.

A request is one message on the control socket, a line of JSON with a connection and, for grading,
a channel for calls (remote.py, judge.py). The server answers on the connection with the process id
and, at the end, the exit status; the client may ask there for a signal. When the client closes the
connection, everything that the process started is killed; when the control socket closes, the
server ends and every process with it. Nothing listens on a path or a port.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import Any

from threadpoolctl import LibController, ThreadpoolController

from autograder.engine.inside import judge
from autograder.engine.inside.remote import CHANNEL_VARIABLE, PRINT_VARIABLE
from autograder.sandbox import confine as sandbox
from autograder.sandbox.confine import Isolation, Resources

# All of it for every chapter: the set-up cells of each import Keras, and torch._dynamo, which is
# nearly all that torch.distributed.fsdp takes, is needed at an optimiser's first step. Only
# Transformers is for some: a sixth of the seconds.
PRELOADED = (
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.extensions.storemagic",
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
    "torch.distributed.fsdp",
    "torch.distributed.pipelining",
    "torch.distributed.tensor",
    "torch.utils.flop_counter",
    "tensorflow",
    "tornado.platform.asyncio",
    "keras",
    "transformers.models.bert.modeling_bert",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.models.starcoder2.modeling_starcoder2",
)
_HUGE_PAGE, _MADV_COLLAPSE = 2**21, 25
_REQUEST_BYTES = 2**18
ThreadPools = list[tuple[LibController, int]]  # and how many threads each takes by itself


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
                    _limit_printing(*map(int, os.environ.pop(PRINT_VARIABLE).split()))
                    _lose_no_message()
                _run_ipykernel(request["command"])
            else:
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


class PrintsTooMuch(KeyboardInterrupt):
    """Ends a cell that prints without end."""


def _limit_printing(kept: int, most: int) -> None:
    """Cuts what a cell prints, and ends the cell if it prints far too much.

    The grader cuts it, too, but how far a cell has come when the grader's interrupt arrives
    depends on what else the machine does; here it always ends at the same character. And a kernel
    with next to nothing to send has answered soon after. This is in the student's hands: whoever
    takes it away meets the grader's own limit.

    Args:
        kept: characters of a cell's output that are sent.
        most: characters after which the cell is ended.
    """
    from ipykernel.iostream import OutStream

    write = OutStream.write
    printed, cell = 0, ""

    def limited(stream: OutStream, string: str) -> int | None:
        nonlocal printed, cell
        if isinstance(string, str):
            current = stream.parent_header.get("msg_id", "")
            if current != cell:
                printed, cell = 0, current
            before, printed = printed, printed + len(string)
            if printed > most and threading.current_thread() is threading.main_thread():
                raise PrintsTooMuch
            if before < kept:
                write(stream, string[: kept - before])
            return len(string)
        return write(stream, string)

    OutStream.write = limited


def _lose_no_message() -> None:
    """Has the kernel wait for a grader that reads slowly.

    It would throw away what is more than a thousand messages, the one that says that a cell has
    ended among them.
    """
    import zmq
    from ipykernel import kernelapp

    class Patient(kernelapp.IOPubThread):
        def __init__(self, socket: zmq.Socket[bytes], **options: Any):
            socket.setsockopt(zmq.XPUB_NODROP, 1)
            super().__init__(socket, **options)

    kernelapp.IOPubThread = Patient


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


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), Isolation(sys.argv[2]))
