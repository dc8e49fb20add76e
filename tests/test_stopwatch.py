"""The stopwatch: time in line for a processor does not count, sleeping does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from autograder import stopwatch
from autograder.stopwatch import TICK, Stopwatch

LOOP = [sys.executable, "-c", "while True: pass"]


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """One of three processes for each processor, all of which compute without end."""
    loops = [subprocess.Popen(LOOP) for _ in range(3 * len(os.sched_getaffinity(0)))]
    yield psutil.Process(loops[0].pid)
    for loop in loops:
        loop.kill()
        loop.wait()


def test_on_a_busy_machine_it_shows_what_the_process_has_had(busy: psutil.Process) -> None:
    watch, before = Stopwatch(busy.pid), sum(busy.cpu_times()[:2])
    while watch.seconds < 1:
        time.sleep(TICK)
        watch.look()
    had = sum(busy.cpu_times()[:2]) - before
    assert had == pytest.approx(watch.seconds, abs=0.3)
    assert watch.idle == 0


def test_it_goes_on_while_a_process_sleeps_or_is_stopped() -> None:
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    watch = Stopwatch(sleeping.pid)
    while watch.idle < 1:
        time.sleep(TICK)
        watch.look()
    assert watch.seconds >= watch.idle
    psutil.Process(sleeping.pid).suspend()
    while watch.idle < 2:
        time.sleep(TICK)
        watch.look()
    sleeping.kill()
    sleeping.wait()


Threads = dict[tuple[int, int], stopwatch._Thread]


class Scene:
    """A machine on which is what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 0.0
        self.threads: Threads = {}
        monkeypatch.setattr(stopwatch.time, "monotonic", lambda: self.now)
        self.reader = stopwatch._Thread(0, 0)
        monkeypatch.setattr(Stopwatch, "_threads", lambda _: dict(self.threads))
        monkeypatch.setattr(Stopwatch, "_this_thread", lambda _: self.reader)
        self.watch = Stopwatch(1)

    def pass_by(self, seconds: float, **shares: tuple[float, float]) -> float:
        """What the stopwatch adds if threads run and wait for these shares of the time."""
        for name, (ran, waited) in shares.items():
            known = self.threads.get((1, hash(name)), stopwatch._Thread(0, 0))
            self.threads[1, hash(name)] = stopwatch._Thread(
                known.ran + ran * seconds, known.waited + waited * seconds
            )
        self.now += seconds
        before = self.watch.seconds
        self.watch.look()
        return self.watch.seconds - before


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


@pytest.mark.parametrize(
    ("shares", "counted"),
    [
        ({"main": (1, 0)}, 1),
        ({"main": (0.1, 0.9)}, 0.1),
        ({"main": (0, 0)}, 1),
        ({"main": (0.1, 0.2)}, 0.8),  # it has slept, too
        ({"main": (0, 0), "worker": (0.1, 0.9)}, 0.1),
        ({f"rank {n}": (0.25, 0.75) for n in range(4)}, 0.25),
        # A crowd stands in its own way.
        ({f"one of many {n}": (0.02, 0.98) for n in range(50)}, 0.25),
        ({}, 1),  # nothing is known of them: the wall clock
    ],
    ids=str,
)
def test_what_counts(scene: Scene, shares: dict[str, tuple[float, float]], counted: float) -> None:
    assert scene.pass_by(0.4, **shares) == pytest.approx(0.4 * counted)


def test_who_stands_in_line_or_is_unknown_is_not_idle(scene: Scene) -> None:
    scene.pass_by(0.3)
    assert scene.watch.idle == 0
    scene.pass_by(0.3, main=(1, 0))
    scene.pass_by(0.3, main=(0, 1))
    assert scene.watch.idle == 0
    scene.pass_by(0.3, main=(0.001, 0.002))
    scene.pass_by(0.3, main=(0, 0))
    assert scene.watch.idle == pytest.approx(0.6, rel=0.01)
    scene.pass_by(0.3, main=(0.02, 0))
    assert scene.watch.idle == 0


def test_the_time_in_which_its_reader_stands_in_line_does_not_count(scene: Scene) -> None:
    scene.pass_by(0.3, main=(1, 0))
    scene.reader = stopwatch._Thread(0, 0.2)
    assert scene.pass_by(0.3, main=(0, 0)) == pytest.approx(0.1)


def test_waiting_that_is_told_late_is_taken_back(scene: Scene) -> None:
    scene.pass_by(0.3, main=(1, 0))
    scene.pass_by(0.3, main=(0, 0))  # in line, but Linux says so when it is over
    scene.pass_by(0.3, main=(0, 2))
    assert scene.watch.seconds == pytest.approx(0.3)


def test_the_time_in_which_nobody_could_look_is_not_counted(scene: Scene) -> None:
    assert scene.pass_by(60, main=(0, 0)) == 2 * TICK
