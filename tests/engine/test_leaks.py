"""Sixty submissions in a row leave nothing behind, and memory stays flat.

Processes, descriptors, threads and files are compared exactly, so one submission that leaves one of
them is enough; there are fifteen of each kind. Memory may grow by an eighth of a MiB a submission,
7.5 MiB in all; measured in one run, it grew by 1 MiB, so that sixty tell a leak of that size from
noise as two hundred did.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
from attacks import attacks
from engines import engine

from autograder.course.build import make_release
from autograder.course.source import Course, grade_id
from autograder.engine.fork import ForkServer
from autograder.engine.handed_in import Submission
from autograder.engine.options import Limits
from autograder.results import Status

COURSE = Path(attacks.__file__).parent / "course"
WORK = {
    "honest": attacks.RIGHT["scale"],
    "dies": "import os\nos._exit(1)",
    "leaves a daemon": f"""{attacks.RIGHT["scale"]}
import os, time, socket
held = [socket.socketpair() for _ in range(20)], open('/tmp/left', 'w'), open('/dev/shm/left', 'w')
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)
""",
    "dies when tested": "def scale(x, factor):\n    import os\n    os._exit(1)",
}


@dataclass
class Footprint:
    """What one can count of this process and its fork server."""

    processes: int
    descriptors: int
    servers_descriptors: int
    threads: int
    files: int

    @classmethod
    def take(cls, server: ForkServer) -> Footprint:
        me = psutil.Process()
        below = me.children(recursive=True)
        return cls(
            len(below),
            me.num_fds(),
            max(process.num_fds() for process in below),
            me.num_threads(),
            len(list(server.folder.rglob("*"))),
        )


def memory() -> int:
    """Bytes in memory of this process and of the largest below it, the fork server."""
    me = psutil.Process()
    below = [process.memory_info().rss for process in me.children(recursive=True)]
    return me.memory_info().rss + max(below)


@pytest.mark.parametrize("number", [60])
def test_nothing_is_left_behind(number: int, tmp_path: Path) -> None:
    assignment = Course(COURSE).assignment(attacks.CHAPTER)
    release = make_release(Course(COURSE), assignment, f"sqlite:///{tmp_path}/gradebook.db")
    server = engine().server

    def run(index: int) -> None:
        kind = list(WORK)[index % len(WORK)]
        notebook = nbformat.reads(release, as_version=4)
        for cell in notebook.cells:
            if grade_id(cell) == "scale":
                cell.source = WORK[kind]
        data = nbformat.writes(notebook).encode()
        report = engine().grade(assignment, Submission(kind, data), Limits()).report
        marks = report.exercises[0].score
        assert report.status is Status.GRADED
        assert marks == (5 if kind in ("honest", "leaves a daemon") else 0)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(20)))
        before, memory_before = Footprint.take(server), memory()
        process = server.process
        list(pool.map(run, range(number)))
        after, memory_after = Footprint.take(server), memory()
    assert server.process is process  # it never died
    for name, was, is_now in zip(vars(before), astuple(before), astuple(after), strict=True):
        assert is_now <= was, name
    assert memory_after - memory_before < number * 2**17  # an eighth of a MiB a submission
