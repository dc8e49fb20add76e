"""What a student's process may touch: files, network, processes, memory, time.

Two rings. The fork server runs inside bubblewrap: a read-only system without home, course and
gradebook, no network, process ids of its own (`wrap`). Each process that it forks then confines
itself before any student code runs (`confine`): namespaces of its own for processes, network,
mounts and IPC, so that submissions do not see each other and everything that one started dies with
its first process; a user without rights where the grader is root; private /tmp and /dev/shm of
limited size; no capabilities, no new privileges; a Landlock domain; a seccomp filter; resource
limits. `Isolation.PROCESS` is what of this works without bubblewrap and namespaces.
docs/security.md says what is promised.

Sources: namespaces(7), landlock(7), seccomp(2), getrlimit(2), bwrap(1); the kernel's
Documentation/userspace-api/landlock.rst for the numbers below.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
_MOST_SOCKETS = 100  # files in the folder that is shared with the grader
MEMORY_EXCEEDED = 250  # exit status of a submission that used too much memory
FIRST_USER = 61_000  # of those that submissions run as if the grader is root; no accounts there
WORK = "/tmp/work"  # where a confined notebook runs
_SCRATCH = ("/tmp", "/dev/shm")


class Isolation(StrEnum):
    """How much of the sandbox is wanted."""

    FULL = "full"  # bubblewrap, namespaces, Landlock, seccomp, resource limits
    PROCESS = "process"  # Landlock, seccomp and resource limits
    NONE = "none"


class SandboxError(OSError):
    """The sandbox cannot be built here; the message says which layer is missing."""


@dataclass(frozen=True)
class Resources:
    """What one submission may use, besides time.

    Attributes:
        memory_bytes: of all of its processes together.
        processes: and threads, at once.
        file_bytes: of one file.
        scratch_bytes, scratch_files: in /tmp, and again in /dev/shm.
        open_files: of one process.
    """

    memory_bytes: int = 4 * 2**30
    processes: int = 100
    file_bytes: int = 256 * 2**20
    scratch_bytes: int = 256 * 2**20
    scratch_files: int = 10_000
    open_files: int = 256


# ---------------------------------------------------------------- the outer ring


def wrap(command: list[str], folder: Path) -> list[str]:
    """`command` inside bubblewrap, with `folder` as the only place that can be written to.

    Raises:
        SandboxError: if bubblewrap is not installed.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxError("bubblewrap is not installed (on Debian: apt-get install bubblewrap)")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost sandbox\n::1 localhost\n")
    hosts.chmod(0o644)  # also for the users that submissions run as
    # As process 1, so that nothing outlives it.
    arguments = [bwrap, "--as-pid-1", "--unshare-pid", "--unshare-net", "--unshare-ipc"]
    arguments += ["--unshare-uts", "--hostname", "sandbox", "--unshare-cgroup-try"]
    # Root keeps its rights for `confine`, which needs them and drops them; others get a user
    # namespace, in which they have them.
    arguments += ["--cap-add", "ALL"] if os.getuid() == 0 else ["--unshare-user"]
    arguments += ["--ro-bind", "/usr", "/usr"]
    arguments += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(name):
            arguments += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            arguments += ["--ro-bind", name, name]
    arguments += ["--perms", "0755", "--dir", "/etc"]
    for name in (
        "ld.so.cache",
        "localtime",
        "fonts",
        "nsswitch.conf",
        "alternatives",
        "mime.types",
    ):
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    arguments += ["--ro-bind", str(hosts), "/etc/hosts"]
    # An editable install lies in the course's folder: the package comes along, the chapters do not.
    bound = [path for path in _python_folders() if not path.startswith("/usr/")]
    inner = [*bound, str(folder)]
    parents = {str(parent) for path in inner for parent in Path(path).parents}
    for parent in sorted(parents - {"/", "/tmp"}):
        arguments += ["--perms", "0755", "--dir", parent]
    for path in bound:
        arguments += ["--ro-bind", path, path]
    arguments += ["--bind", str(folder), str(folder), "--chdir", "/", "--", *command]
    return arguments


def _python_folders() -> list[str]:
    """Where Python, the environment's packages and this package lie; none inside another.

    A mount inside a mount could not be mounted again in a user namespace: the kernel does not show
    there what it hides.
    """
    prefixes = {sys.base_prefix, sys.prefix, os.path.realpath(sys.prefix)}
    folders = prefixes | {os.path.realpath(p) for p in prefixes} | {str(PACKAGE)}
    return sorted(f for f in folders if not folders & set(map(str, Path(f).parents)))


# ---------------------------------------------------------------- the inner ring


def confine(
    isolation: Isolation,
    folder: str,
    slot: int,
    resources: Resources,
    announce: Callable[[int], object],
) -> str:
    """Confines this freshly forked process, and returns in the one that is to run student code.

    In full isolation the caller's process ends; a small keeper becomes process 1 of a namespace and
    the returning process its child. When that ends, the keeper ends with its status, and with it
    everything that was started.

    Args:
        isolation: full or process.
        folder: the only place outside /tmp where something may be made: the kernel's sockets.
        slot: a number that no other running kernel has.
        announce: called with the process id whose end is the end of all.

    Returns:
        The folder to run the notebook in.

    Raises:
        SandboxError: if a layer cannot be put in place. Nothing then runs.
    """
    _import_seccomp()  # while its library can still be looked for
    user = FIRST_USER + slot if os.getuid() == 0 else os.getuid()
    work = WORK
    if isolation is Isolation.FULL:
        _own_namespaces(announce)
        _own_mounts(folder, resources)
        _fill(work, f"{folder}/work")
        _loopback_up()
    else:
        os.setsid()
        announce(os.getpid())
        work = f"{folder}/work"
        os.makedirs(work, exist_ok=True)
    if os.getuid() == 0 and isolation is Isolation.FULL:
        for path in (*_below(work), folder, *(entry.path for entry in os.scandir(folder))):
            os.chown(path, user, user, follow_symlinks=False)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        _prctl(_PR_SET_DUMPABLE, 1)  # a change of user ends the right to read one's own /proc
        # Processes are counted by user and user namespace: without one, another grader on this
        # machine could use up what this submission may have. Not all systems allow it.
        with contextlib.suppress(SandboxError):
            _own_user_namespace(_CLONE_NEWUSER)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if isolation is Isolation.FULL:
        _keep(resources, folder)
        os.setsid()
    _limit(resources)
    _landlock(folder, isolation)
    _seccomp()
    return work


def _own_namespaces(announce: Callable[[int], object]) -> None:
    wanted = _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS
    if os.getuid() == 0:
        _call("unshare", wanted)
    else:
        _own_user_namespace(wanted | _CLONE_NEWUSER)
    pid = os.fork()
    if pid:
        announce(pid)
        os._exit(0)
    os.setsid()


def _own_user_namespace(wanted: int) -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", wanted)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _own_mounts(folder: str, resources: Resources) -> None:
    """A /proc of this namespace; small private scratch folders; no other kernel's sockets."""
    plain = _MS_NOSUID | _MS_NODEV
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc", plain | _MS_NOEXEC)
    above = os.path.dirname(folder)  # holds other submissions' folders, too
    kept = [path for path in _python_folders() if path.startswith("/tmp/")]
    # The mounts below hide these folders; through open handles they can be mounted again.
    handles = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (*kept, folder)}
    limits = f"size={resources.scratch_bytes},nr_inodes={resources.scratch_files},mode=1777"
    for path in _SCRATCH:
        _mount("tmpfs", path, "tmpfs", plain, limits)
    _mount("tmpfs", above, "tmpfs", plain, "size=64k,mode=0755")
    for path, handle in handles.items():
        os.makedirs(path, exist_ok=True)
        _mount(f"/proc/self/fd/{handle}", path, None, _MS_BIND)
        os.close(handle)


def _fill(work: str, given: str) -> None:
    """Makes the folder to run in, of what the grader has put into `given`, if it has."""
    if os.path.isdir(given):
        # Not left there: the student's process could make sockets in it, which nobody counts.
        shutil.move(given, work)
    else:
        os.mkdir(work)


def _below(folder: str) -> Iterator[str]:
    """The folder and all that is in it."""
    for path, _, files in os.walk(folder):
        yield path
        yield from (os.path.join(path, file) for file in files)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS


def _drop_capabilities() -> None:
    header = struct.pack("Ii", 0x20080522, 0)
    _call("capset", ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def _keep(resources: Resources, folder: str) -> None:
    """Forks; the parent, process 1, watches over memory and reaps until its child ends."""
    child = os.fork()
    if child == 0:
        return
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            os.close(int(descriptor))
    heard = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    next_look = 0.0
    while True:
        what = signal.sigtimedwait(heard, 0.2)
        if what is not None and what.si_signo != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, what.si_signo)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    code = os.waitstatus_to_exitcode(ended[1])
                    os._exit(code if code >= 0 else 128 - code)
        started = time.monotonic()
        if started >= next_look:
            if _hold_more_than(resources.memory_bytes):
                os._exit(MEMORY_EXCEEDED)
            if len(os.listdir(folder)) > _MOST_SOCKETS:
                os._exit(1)
            # A close look costs milliseconds a process. The next one comes after fifty times as
            # long as this one took, so that it is seldom more than a fiftieth of the time.
            next_look = time.monotonic() + min(1, 50 * (time.monotonic() - started))


def _hold_more_than(most: int) -> bool:
    """Whether this namespace's processes hold more bytes than that, shared ones by their share."""
    processes = [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    # First a sum that is quick to read and never too small: shared memory counts in full for each
    # process. Only if that is large, the exact shares are read, which takes long.
    if _sum_up(processes, "status", "RssAnon:", "RssShmem:", "VmSwap:", "VmPTE:") < most // 2:
        return False
    page_tables = _sum_up(processes, "status", "VmPTE:")
    held = _sum_up(processes, "smaps_rollup", "Pss_Anon:", "Pss_Shmem:", "Swap:")
    return page_tables + held > most


def _sum_up(processes: list[str], file: str, *entries: str) -> int:
    """Of all processes, the sum in bytes of the entries of a file in /proc that are in kB."""
    total = 0
    for name in processes:
        with contextlib.suppress(OSError, ValueError):  # it may have ended
            for line in Path(f"/proc/{name}/{file}").read_text().splitlines():
                if line.startswith(entries):
                    total += int(line.split()[1]) * 1024
    return total


def _limit(resources: Resources) -> None:
    # This limit counts private memory of one process. What the warm libraries hold already is
    # added, so that it is not taken from the submission.
    own = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    data = resources.memory_bytes + own
    for what, most in (
        (resource.RLIMIT_DATA, data),
        (resource.RLIMIT_FSIZE, resources.file_bytes),
        (resource.RLIMIT_NPROC, resources.processes),
        (resource.RLIMIT_NOFILE, resources.open_files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 2**16),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_SIGPENDING, 1024),
    ):
        _, hard = resource.getrlimit(what)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing then fails with an OSError


# ---------------------------------------------------------------- Landlock

_FS_EXECUTE, _FS_WRITE_FILE, _FS_READ_FILE, _FS_READ_DIR = 1, 2, 4, 8
_FS_REMOVE_FILE, _FS_MAKE_SOCK, _FS_TRUNCATE, _FS_IOCTL = 1 << 5, 1 << 9, 1 << 14, 1 << 15
_FS_READ = _FS_EXECUTE | _FS_READ_FILE | _FS_READ_DIR
_FS_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights a version knows; 16 since 5
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all architectures


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 if it has none."""
    return max(0, _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _landlock(folder: str, isolation: Isolation) -> None:
    abi = landlock_abi()
    if abi == 0:
        raise SandboxError("the kernel has no Landlock (Linux 5.13 or newer, enabled at boot)")
    every = (1 << _FS_RIGHTS_OF_ABI.get(abi, 16)) - 1
    # Without a network namespace, TCP is refused here (since version 4).
    network = 3 if isolation is Isolation.PROCESS and abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0  # abstract sockets and signals stay inside
    attributes = struct.pack("QQQ", every, network, scoped)[
        : 24 if abi >= 6 else 16 if abi >= 4 else 8
    ]
    ruleset = _call("syscall", _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    device = _FS_WRITE_FILE | _FS_READ_FILE | _FS_TRUNCATE | _FS_IOCTL
    sockets = _FS_MAKE_SOCK | _FS_REMOVE_FILE | _FS_READ
    rules = {folder: sockets | (0 if isolation is Isolation.FULL else every)}
    if isolation is Isolation.FULL:
        rules |= dict.fromkeys(_SCRATCH, every)
    for path in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/proc", "/sys/devices/system"):
        rules[path] = _FS_READ
    rules |= dict.fromkeys(_python_folders(), _FS_READ)
    rules["/dev/pts"] = device | _FS_READ_DIR
    rules["/dev/zero"] = (
        _FS_READ_FILE  # a shared mapping of it could be written to, and no limit counts that
    )
    for name in ("null", "full", "random", "urandom", "tty"):
        rules[f"/dev/{name}"] = device
    for path, allowed in rules.items():
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        # What is not a folder can be read, written and run; other rights are refused for it.
        possible = every if os.path.isdir(path) else device | _FS_EXECUTE
        rule = struct.pack("=Qi", allowed & every & possible, beneath)
        _call("syscall", _ADD_RULE, ruleset, 1, rule, 0)
        os.close(beneath)
    _call("syscall", _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


# ---------------------------------------------------------------- seccomp

_DENIED = (
    # other processes' memory; the kernel's own programs, keys and counters
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "bpf"),
    *("perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    # mounts and namespaces
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at"),
    *("move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"),
    # the machine
    *("reboot", "swapon", "swapoff", "kexec_load", "init_module", "finit_module", "delete_module"),
    *("acct", "quotactl", "settimeofday", "clock_settime", "sethostname", "syslog"),
    # the keeper's share of the time
    *("sched_setattr", "sched_setaffinity", "setpriority", "ioprio_set"),
    # memory that no limit counts
    *("memfd_create", "memfd_secret", "shmget", "msgget", "semget", "mq_open"),
)
_INT = 0xFFFFFFFF  # the part of an argument that the kernel looks at where an int is wanted
_NEW_NAMESPACE = 0x7E020000  # every CLONE_NEW* flag of clone(2)


def _import_seccomp() -> Any:
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise SandboxError(f"{error} (on Debian: apt-get install libseccomp2)") from None
    return pyseccomp


def _seccomp() -> None:
    seccomp = _import_seccomp()
    refused = seccomp.ERRNO(errno.EPERM)
    allowed = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in _DENIED:
        with contextlib.suppress(OSError, ValueError):  # a call that this machine does not have
            allowed.add_rule(refused, name)
    for bit in range(32):
        if _NEW_NAMESPACE >> bit & 1:
            flag = 1 << bit
            allowed.add_rule(refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    # clone3 has its flags in memory, where a filter cannot look. C libraries that are told that it
    # does not exist use clone instead.
    allowed.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    unknown = seccomp.ERRNO(errno.EAFNOSUPPORT)
    ordinary = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
    for family in range(64):  # vsock and the like do not care for network namespaces
        if family not in ordinary:
            allowed.add_rule(unknown, "socket", seccomp.Arg(0, seccomp.MASKED_EQ, _INT, family))
    # Anonymous shared memory that is unmapped is charged to no process: the keeper would miss it.
    shared_anonymous = 0x01 | 0x20
    argument = seccomp.Arg(3, seccomp.MASKED_EQ, shared_anonymous, shared_anonymous)
    allowed.add_rule(refused, "mmap", argument)
    # The keeper runs as the same user, so a submission could take its limits or its share of the
    # processor away. Refused: limits of other processes, and any policy but the ordinary one (0).
    allowed.add_rule(refused, "sched_setscheduler", seccomp.Arg(1, seccomp.NE, 0))
    allowed.add_rule(refused, "prlimit64", seccomp.Arg(0, seccomp.NE, 0))
    allowed.load()


# ---------------------------------------------------------------- libc

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND = 2, 4, 8, 4096
_MS_REC, _MS_PRIVATE = 16384, 1 << 18
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38


def adopt_orphans() -> None:
    """Makes this process the parent of those whose own parent ends (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Has this process killed when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _call(name: str, *arguments: object) -> int:
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise SandboxError(number, f"{name}{arguments!r:.80}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    text = [None if part is None else part.encode() for part in (source, target, kind, data)]
    _call("mount", text[0], text[1], text[2], ctypes.c_ulong(flags), text[3])
