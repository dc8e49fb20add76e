"""A Dask scheduler for tests, and workers that are processes of their own, as on other machines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import LocalCluster

TESTS = Path(__file__).parent


class Workers:
    """A scheduler without workers, and those that are started for it.

    Attributes:
        processes: by name.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.cluster = LocalCluster(
            n_workers=0, processes=True, dashboard_address=":0", host="127.0.0.1"
        )

    @property
    def address(self) -> str:
        return str(self.cluster.scheduler_address)

    def start(self, *names: str, preload: str = "") -> None:
        """Starts workers, and does not wait for them.

        Args:
            preload: code that each runs first.
        """
        for name in names:
            file = self.folder / f"{name}.py"
            file.write_text(preload)
            options = ["--no-nanny", "--no-dashboard", "--nthreads=1", f"--name={name}"]
            self.processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "distributed.cli.dask_worker", self.address),
                    *(*options, f"--preload={file}", "--host=127.0.0.1"),
                ],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS / 'classroom'}"},
                stderr=subprocess.DEVNULL,
            )

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def wait_for(self, *names: str) -> None:
        """Waits until just these have joined."""
        wait_until(lambda: set(self.names()) == set(names))

    def names(self) -> list[str]:
        """Who has joined."""
        return [str(state.name) for state in list(self.cluster.scheduler.workers.values())]

    def at_work(self) -> dict[str, list[str]]:
        """What workers have to do, by their name: the keys of tasks."""
        return {
            str(state.name): [str(task.key) for task in list(state.processing)]
            for state in list(self.cluster.scheduler.workers.values())
        }

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.cluster.close()


@contextmanager
def workers(folder: Path) -> Iterator[Workers]:
    made = Workers(folder)
    try:
        yield made
    finally:
        made.close()


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits, and gives up after minutes."""
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
