"""Which layers of the sandbox hold on this machine: each one is tried, none assumed.

`examine` starts a small Python process exactly as a submission's is started, lets it try what a
submission must not be able to do, and reports what stopped it. `autograder doctor` prints that;
`autograder grade` uses it to choose how to isolate.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autograder.sandbox import confine as sandbox
from autograder.sandbox.confine import Isolation, Resources, SandboxError
from autograder.sandbox.shared import SharedFolder

_TRIAL = Resources(memory_bytes=2**29, file_bytes=2**22, scratch_bytes=2**23, processes=64)
_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """One layer: whether it holds, and what was seen when it was tried."""

    layer: str
    holds: bool
    seen: str


def examine(isolation: Isolation) -> list[Finding]:
    """Tries every layer of that isolation."""
    shared = SharedFolder()
    folder, own = shared.path, shared.path / "kernel"
    own.mkdir()
    (folder / "other").write_text("another submission's")
    try:
        home = str(Path.home())
        command = [sys.executable, "-m", "autograder.sandbox.doctor", isolation, str(own), home]
        if isolation is Isolation.FULL:
            command = sandbox.wrap(command, folder)
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "SECRET": "of the grader"},
            umask=0o022,  # as the fork server has it
        )
        if not done.stdout.strip():
            last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            return [Finding("start", False, last)]
        found = [Finding(**line) for line in map(json.loads, done.stdout.splitlines())]
        return list({finding.layer: finding for finding in found}.values())  # the last word on each
    except (SandboxError, OSError, subprocess.TimeoutExpired) as error:
        return [Finding("start", False, str(error))]
    finally:
        shared.remove()


def best() -> tuple[Isolation, list[Finding]]:
    """The strongest isolation that holds here, and the findings on what does not.

    NONE means that neither full nor process isolation holds.
    """
    missing: list[Finding] = []
    for isolation in (Isolation.FULL, Isolation.PROCESS):
        broken = [finding for finding in examine(isolation) if not finding.holds]
        if not broken:
            return isolation, missing
        missing += broken
    return Isolation.NONE, missing


def choose(wanted: str = "auto") -> tuple[Isolation, str]:
    """The isolation asked for, and a warning if that is weaker than it could be, or "".

    Args:
        wanted: full, process, none, or auto: the strongest that holds here.

    Raises:
        ValueError: if it is none of these.
        SandboxError: if it does not hold here; with auto, if none but "none" does.
    """
    if wanted == "auto":
        isolation, missing = best()
        if isolation is Isolation.NONE:
            raise SandboxError(f"submissions cannot be confined here ({in_words(missing)})")
        weaker = f"weaker isolation, without namespaces: {in_words(missing)}" if missing else ""
        return isolation, weaker
    isolation = Isolation(wanted)
    broken = [] if isolation is Isolation.NONE else examine(isolation)
    if broken := [finding for finding in broken if not finding.holds]:
        raise SandboxError(f"{isolation} isolation does not hold here: {in_words(broken)}")
    return isolation, ""


def in_words(missing: list[Finding]) -> str:
    """One line about layers that do not hold."""
    return "; ".join(f"{finding.layer}: {finding.seen}" for finding in missing)


# ---------------------------------------------------------------- inside


def _refused(action: Callable[[], object], *numbers: int) -> tuple[bool, str]:
    """Whether the action fails with one of these errors; 0 stands for success."""
    try:
        action()
    except OSError as error:
        return error.errno in numbers, os.strerror(error.errno or 0)
    except MemoryError:
        return errno.ENOMEM in numbers, "out of memory"
    return 0 in numbers, "it worked"


def _claim(holds: bool) -> None:
    """Succeeds, as an attack would, if the claim holds."""
    if not holds:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def _write(path: str, size: int) -> None:
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(bytes(2**20))


def _fork_many() -> None:
    children = []
    try:
        for _ in range(4 * _TRIAL.processes):
            pid = os.fork()
            if pid == 0:
                time.sleep(_SECONDS)
                os._exit(0)
            children.append(pid)
    finally:
        for pid in children:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def _fill_scratch(folder: str) -> None:
    try:
        for number in range(20):
            _write(f"{folder}/fill{number}", 2**21)
    finally:
        for number in range(20):
            with contextlib.suppress(OSError):
                os.unlink(f"{folder}/fill{number}")


def _listen_on_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), 2).close()


def _status(key: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


def _connect_out() -> None:
    socket.create_connection(("192.0.2.1", 80), timeout=2)  # an address for documentation


def _print(finding: Finding) -> None:
    print(json.dumps(vars(finding)), flush=True)


def _try_everything(isolation: Isolation, own: str, home: str, work: str) -> None:
    """Prints a finding for each layer before it is tried, in case that ends here, and after."""
    full = isolation is Isolation.FULL
    unseen = (errno.ENOENT, errno.EACCES, errno.EPERM)
    refused = (errno.EACCES, errno.EPERM)
    beside = str(Path(own).parent)

    def attempt(layer: str, action: Callable[[], object], *numbers: int) -> None:
        _print(Finding(layer, False, "the trial was ended by force"))
        _print(Finding(layer, *_refused(action, *numbers)))

    attempt("the grader's home is out of sight", lambda: os.listdir(home), *unseen)
    attempt("other submissions are out of sight", Path(beside, "other").read_text, *unseen)
    attempt("the system cannot be written to", lambda: _write("/usr/x", 0), errno.EROFS, *refused)
    attempt(
        "Landlock: no files outside the scratch folders",
        lambda: _write(f"{own if full else beside}/file", 0),
        *refused,
    )
    attempt("no network", _connect_out, errno.ENETUNREACH, *refused)
    attempt("seccomp: no sockets around the network", lambda: socket.socket(40), errno.EAFNOSUPPORT)
    attempt("no signals to its guardian", lambda: os.kill(os.getppid(), 0), *refused)
    attempt("no new privileges", lambda: _claim(_status("NoNewPrivs") == "0"), errno.EPERM)
    attempt("no capabilities", lambda: _claim(int(_status("CapEff"), 16) > 0), errno.EPERM)
    attempt(
        "the size of a file is limited",
        lambda: _write(f"{work}/large", 2 * _TRIAL.file_bytes),
        errno.EFBIG,
    )
    attempt(
        "the memory of a process is limited",
        lambda: mmap.mmap(-1, 2 * _TRIAL.memory_bytes, mmap.MAP_PRIVATE).close(),  # untouched
        errno.ENOMEM,
    )
    if full:
        attempt("scratch space is limited", lambda: _fill_scratch(work), errno.ENOSPC)
        attempt("the number of processes is limited", _fork_many, errno.EAGAIN)
        attempt("process ids of its own", lambda: _claim(os.getpid() != 2), errno.EPERM)
        attempt("a user of its own, not root", lambda: _claim(os.getuid() == 0), errno.EPERM)
        attempt("loopback works, for gloo", _listen_on_loopback, 0)


def _main(isolation: Isolation, own: str, home: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.fork() == 0:
        work = sandbox.confine(isolation, own, 0, _TRIAL, lambda pid: None)
        os.chdir(work)
        _try_everything(isolation, own, home, work)
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        while True:  # the keeper is adopted by this process when its forerunner ends
            os.wait()


if __name__ == "__main__":
    sandbox.adopt_orphans()
    _main(Isolation(sys.argv[1]), sys.argv[2], sys.argv[3])
