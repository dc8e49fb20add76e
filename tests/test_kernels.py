"""Warm kernels: they behave like kernels, and nothing of them stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from autograder.kernels import ForkServer, fork_server, warm_kernel_manager

SLEEP = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


def fork(server: ForkServer, folder: Path) -> object:
    command = [*SLEEP[:-1], str(folder / "kernel.json"), "--transport=ipc", f"--ip={folder}/ipc"]
    return server.fork(command, str(folder), dict(os.environ))


def is_gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def run_in_kernel(folder: Path, *cells: str) -> list[str]:
    """What each cell prints, in one warm kernel."""

    async def run() -> list[str]:
        manager = warm_kernel_manager(folder)
        await manager.start_kernel(cwd=str(folder), env={**os.environ, "OMP_NUM_THREADS": "1"})
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
        "import torch; print(torch.get_num_threads())",
        "print(__name__, 'PRELOADED' in globals())",
        "print(os.getppid())",
    )
    assert modules == "True"
    assert folder == str(tmp_path)
    assert threads == "1"
    assert main == "__main__ False"
    assert int(ppid) == fork_server().process.pid


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


def test_the_exit_status_arrives(server: ForkServer, tmp_path: Path) -> None:
    process = fork(server, tmp_path)
    assert process.poll() is None
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert process.poll() == -signal.SIGKILL


def test_a_kernel_dies_when_its_client_goes_away(server: ForkServer, tmp_path: Path) -> None:
    process = fork(server, tmp_path)
    process._connection.close()
    assert is_gone(process.pid)


def test_everything_dies_with_the_server(tmp_path: Path) -> None:
    server = ForkServer()
    process = fork(server, tmp_path)
    server.close()
    assert is_gone(process.pid)
    assert process.poll() == -signal.SIGKILL
    assert not Path(server.path).parent.exists()


def test_a_killed_server_takes_its_kernels_along_and_is_replaced(tmp_path: Path) -> None:
    first = fork_server()
    process = fork(first, tmp_path)
    first.process.kill()
    first.process.wait()
    assert is_gone(process.pid)
    assert run_in_kernel(tmp_path, "print(1 + 1)") == ["2"]
    assert fork_server() is not first


def test_a_kernel_that_cannot_be_forked_starts_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr(ForkServer, "fork", broken)
    assert run_in_kernel(tmp_path, "import sys; print('torch' in sys.modules)") == ["False"]
