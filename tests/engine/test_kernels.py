"""Warm processes: kernels behave like kernels, and nothing of them stays behind."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from autograder.engine.fork import ForkedProcess, ForkServer
from autograder.engine.provisioner import own_server, warm_kernel_manager
from autograder.sandbox.confine import Isolation, SandboxError

channels: list[socket.socket] = []  # kept open: a judge ends when its channel closes


@pytest.fixture(scope="module", params=[Isolation.NONE, Isolation.FULL], ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[ForkServer]:
    server = started(ForkServer(request.param))
    yield server
    server.close()


def fork(server: ForkServer, **options: object) -> ForkedProcess:
    """A process that waits: a judge to which nobody speaks."""
    folder = Path(tempfile.mkdtemp(prefix="k", dir=server.folder))
    ours, theirs = socket.socketpair()
    channels.append(ours)
    env = {"PATH": os.defpath}
    with theirs:
        wanted = {"folder": folder, "cwd": str(folder), "env": env, "channel": theirs, **options}
        return server.fork("judge", **wanted)


def started(server: ForkServer) -> ForkServer:
    """The server, once it has imported everything and has only itself running."""
    process = fork(server)
    process.kill()
    process.wait(10)
    return server


def descendants(server: ForkServer) -> list[psutil.Process]:
    """All processes of the server, wherever their namespace is."""
    return [
        process
        for process in psutil.Process(server.process.pid).children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    ]


def within(seconds: float, happens: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False


def run_in_kernel(folder: Path, *cells: str, threads: str = "1") -> list[str]:
    """What each cell prints, in one warm kernel."""

    async def run() -> list[str]:
        manager = warm_kernel_manager(folder)
        await manager.start_kernel(cwd=str(folder), env={**os.environ, "OMP_NUM_THREADS": threads})
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=60)
            printed = []
            for cell in cells:
                texts: list[str] = []
                await client._async_execute_interactive(
                    cell,
                    output_hook=lambda m, texts=texts: texts.append(m["content"].get("text", "")),
                    timeout=60,
                )
                printed.append("".join(texts).strip())
            return printed
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    return asyncio.run(run())


def test_a_warm_kernel_has_its_imports_folder_and_threads(tmp_path: Path) -> None:
    modules, folder, threads, main, ppid = run_in_kernel(
        tmp_path,
        "import sys; print({'torch', 'keras', 'tensorflow'} <= set(sys.modules))",
        "import os; print(os.getcwd())",
        "import torch\n"
        "from threadpoolctl import threadpool_info\n"
        "print(torch.get_num_threads(), {pool['num_threads'] for pool in threadpool_info()})",
        "print(__name__, 'PRELOADED' in globals())",
        "print(os.getppid())",
    )
    assert modules == "True"
    assert folder == str(tmp_path)
    assert threads == "1 {1}"
    assert main == "__main__ False"
    assert int(ppid) == own_server().process.pid


def test_a_kernel_of_one_thread_has_no_idle_ones_of_a_linear_algebra_library(
    tmp_path: Path,
) -> None:
    (others,) = run_in_kernel(
        tmp_path,
        "import pathlib, threading\n"
        "names = [task.read_text() for task in pathlib.Path('/proc/self/task').glob('*/comm')]\n"
        "others = [name for name in names if not name.startswith('ZMQ')]  # Jupyter's sockets\n"
        "print(len(others) - threading.active_count())",
    )
    assert others == "0"


def test_a_kernel_may_have_several_threads_or_as_many_as_the_libraries_take(tmp_path: Path) -> None:
    count = (
        "import numpy, scipy.linalg, sklearn.cluster, torch\n"
        "from threadpoolctl import threadpool_info\n"
        "print({pool['filepath']: pool['num_threads'] for pool in threadpool_info()})"
    )
    (three,) = run_in_kernel(tmp_path, count, threads="3")
    assert set(ast.literal_eval(three).values()) == {3}
    (unlimited,) = run_in_kernel(tmp_path, count, threads="0")
    cold = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True)
    assert ast.literal_eval(unlimited).items() >= ast.literal_eval(cold.stdout).items()


def test_who_waits_for_a_kernel_that_has_died_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        manager = warm_kernel_manager(tmp_path)
        await manager.start_kernel(cwd=str(tmp_path), env=dict(os.environ))
        client = manager.client()
        client.start_channels()
        try:
            await manager.provisioner.kill()
            with pytest.raises(RuntimeError, match="died or does not answer"):
                await client.wait_for_ready(timeout=60)
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)

    asyncio.run(run())


def test_kernels_do_not_repeat_each_others_random_numbers(tmp_path: Path) -> None:
    draw = (
        "import random, numpy, torch\n"
        "print(random.random(), numpy.random.rand(), torch.rand(1).item())"
    )
    drawn = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        drawn.append(run_in_kernel(tmp_path / name, draw)[0].split())
    assert all(a != b for a, b in zip(*drawn, strict=True))


def test_the_exit_status_arrives(server: ForkServer) -> None:
    process = fork(server)
    assert process.poll() is None
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_a_kernel_dies_when_its_client_goes_away(server: ForkServer) -> None:
    before = set(descendants(server))
    process = fork(server)
    assert set(descendants(server)) - before
    process._connection.close()
    assert within(10, lambda: set(descendants(server)) <= before)


@pytest.mark.parametrize("server", [Isolation.FULL], indirect=True)
def test_a_process_that_cannot_be_confined_is_refused_with_a_reason(server: ForkServer) -> None:
    before = set(descendants(server))
    with pytest.raises(SandboxError, match="No such file"):
        fork(server, folder=server.folder / "no such folder")
    assert within(10, lambda: set(descendants(server)) <= before)
    process = fork(server)  # the server lives
    process.kill()
    process.wait(10)


def test_a_server_serves_many_at_once(server: ForkServer) -> None:
    before = set(descendants(server))
    processes = [fork(server) for _ in range(6)]
    assert len({process.pid for process in processes}) == 6
    for process in processes[::2]:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert all(process.poll() is None for process in processes[1::2])
    for process in processes[1::2]:
        process.kill()
        process.wait(10)
    assert within(10, lambda: set(descendants(server)) <= before)


def test_a_confined_process_learns_nothing_of_the_graders_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOGRADER_TEST_SECRET", "a secret")
    server = started(ForkServer(Isolation.FULL))
    try:
        processes = [psutil.Process(server.process.pid), *descendants(server)]
        for process in processes[1:]:  # the first is bubblewrap, which is the grader's
            assert "AUTOGRADER_TEST_SECRET" not in process.environ()
    finally:
        server.close()


@pytest.mark.parametrize("isolation", [Isolation.NONE, Isolation.FULL], ids=str)
def test_everything_dies_with_the_server(isolation: Isolation) -> None:
    server = ForkServer(isolation)
    process = fork(server)
    alive = descendants(server)
    assert alive
    server.close()
    assert psutil.wait_procs(alive, 10)[1] == []
    assert process.poll() == -signal.SIGKILL
    assert not server.folder.exists()


def test_a_killed_server_takes_its_kernels_along_and_is_replaced(tmp_path: Path) -> None:
    server = own_server()
    process = fork(server)
    first, alive = server.process, descendants(server)
    first.kill()
    first.wait()
    assert psutil.wait_procs(alive, 10)[1] == []
    assert process.wait(10) == -signal.SIGKILL
    assert run_in_kernel(tmp_path, "print(1 + 1)") == ["2"]
    assert server.process is not first


@pytest.mark.parametrize("victim", ["bwrap", "server"])
def test_a_killed_sandbox_leaves_nothing_and_is_replaced(victim: str) -> None:
    server = started(ForkServer(Isolation.FULL))
    module = "autograder.engine.inside.server"
    (python,) = (p for p in descendants(server) if module in p.cmdline()[:3])
    process = fork(server)
    first, alive = server.process, descendants(server)
    (python if victim == "server" else first).kill()
    first.wait(10)
    if victim == "server":
        assert psutil.wait_procs(alive, 10)[1] == []
    server.start()
    assert server.process is not first
    assert psutil.wait_procs(alive, 10)[1] == []
    assert process.wait(10) == -signal.SIGKILL
    started(server)  # the new one forks
    server.close()
    assert not server.folder.exists()


def test_a_server_that_nobody_asked_starts_nothing_and_one_that_was_closed_stays_closed() -> None:
    server = ForkServer(Isolation.FULL)
    assert server.process is None
    server.close()
    server.close()
    with pytest.raises(ConnectionError, match="was closed"):
        server.new_folder()
    with pytest.raises(ConnectionError, match="was closed"):
        server.fork("judge", env={}, folder=Path("/var/tmp"))
    assert server.process is None
    assert not server.folder.exists()


@pytest.mark.parametrize("isolation", [Isolation.FULL, Isolation.PROCESS])
def test_a_server_that_was_started_in_vain_is_killed(isolation: Isolation) -> None:
    server = ForkServer(isolation)
    server.start()
    while isolation is Isolation.FULL and not psutil.Process(server.process.pid).children():
        time.sleep(0.01)
    alive = descendants(server)
    server.close()
    assert psutil.wait_procs(alive, 10)[1] == []
    assert server.process.returncode != 0  # as it would be when its imports have come to their end
    assert not server.folder.exists()


def test_a_kernel_that_cannot_be_forked_starts_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr(ForkServer, "fork", broken)
    assert run_in_kernel(tmp_path, "import sys; print('torch' in sys.modules)") == ["False"]
