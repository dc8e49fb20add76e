"""What a large class costs, and whether every mark is what it must be.

    python tests/bench/scale.py [--chapter NAME | --small] [--dask NUMBER] [NUMBER ...]

Makes classes of so many (10, 24, 240 and 1,000; see students.py), a fresh one each, grades each
with `autograder grade --jobs 2` and prints: submissions a minute, seconds and CPU seconds a
submission besides the start, the memory of all processes together by tenths of the run, the cost by
hundreds, and whatever is wrong: marks that are not as they must be, in the records or in the
gradebook; processes and files that are left. With any of these it ends with 1. Then the same NUMBER
(100; 0: none) are graded by two Dask workers and by two jobs, and the reports compared; the
workers' memory is not counted.

With --small, it is the small course of the tests, at a second a submission; else a chapter, 1 by
default, of which the students have worked on three exercises. CPU seconds are the whole machine's,
since processes that end in a namespace of their own are in no other account: the machine has to be
idle otherwise, and it is said if it was not. The results are in build/scale.json.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import tiny
from command import gradebook_scores, hand_in
from dask_workers import workers
from sample_class import CHAPTER, as_bytes
from students import Student, faults, make_class, small_course

from autograder.course.source import Assignment, Course
from autograder.results import Report
from autograder.sandbox import confine, shared

EXERCISES = {CHAPTER: ("budget", "attention", "digits_cnn")}  # of others, all
UNTOUCHED = "aaa_untouched"
IDLE = 0.1  # of the processors may be busy before


@dataclass
class Part:
    """A stretch of a run.

    Attributes:
        done: submissions until its end.
        wall, cpu: seconds since the command began.
        mean, peak: GiB of all processes together, since the stretch before.
    """

    done: int
    wall: float
    cpu: float
    mean: float
    peak: float


@dataclass
class Run:
    """One command; seconds."""

    submissions: int
    wall: float = 0.0
    cpu: float = 0.0
    tenths: list[Part] = field(default_factory=list)
    hundreds: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def peak(self) -> float:
        """GiB."""
        return max((part.peak for part in self.tenths), default=0.0)


def busy_seconds() -> float:
    """Of all processors."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


class Watch:
    """Looks at a command while it runs: how far it is and how much memory it has."""

    def __init__(self, process: psutil.Popen, records: Path, run: Run):
        self.process, self.records, self.run = process, records, run
        self.began, self.cpu = time.monotonic(), busy_seconds()
        tenths = [run.submissions * i // 10 for i in range(1, 11)]
        hundreds = [*range(100, run.submissions + 1, 100)]
        self._left = {
            id(run.tenths): (run.tenths, tenths),
            id(run.hundreds): (run.hundreds, hundreds),
        }
        self._seen: dict[int, list[float]] = {key: [] for key in self._left}
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            self._look()
            time.sleep(0.5)

    def _look(self) -> None:
        memory = _memory(self.process)
        done = len(list(self.records.glob("*.json"))) if self.records.is_dir() else 0
        for key, (parts, marks) in self._left.items():
            seen = self._seen[key]
            seen.append(memory)
            while marks and done >= marks[0]:
                wall, cpu = time.monotonic() - self.began, busy_seconds() - self.cpu
                known = seen or [parts[-1].mean]
                mean = sum(known) / len(known)
                parts.append(Part(marks.pop(0), wall, cpu, mean, max(known)))
                seen.clear()

    def end(self) -> None:
        """When the command has ended."""
        self._thread.join()
        self._look()
        self.run.wall = time.monotonic() - self.began
        self.run.cpu = busy_seconds() - self.cpu


def _memory(process: psutil.Popen) -> float:
    """GiB of a process and all below it; what they share counts once."""
    total = 0
    with suppress(psutil.Error):
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                total += each.memory_full_info().pss
    return total / 2**30


class Machine:
    """What is there before a command and should be gone after it."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.before = self._files()
        self.processes = {child.pid for child in psutil.Process().children()}

    def _files(self) -> set[Path]:
        shared_memory = Path("/dev/shm")
        places = [self.scratch, *([shared_memory] if shared_memory.is_dir() else [])]
        return {path for place in places for path in place.iterdir()} | set(_orphans())

    def left(self) -> list[str]:
        """What the command has left, a sentence each."""
        children = psutil.Process().children()  # it adopts orphans
        names = [child.name() for child in children if child.pid not in self.processes]
        files = [str(path) for path in sorted(self._files() - self.before)]
        return [f"left behind: process {n}" for n in names] + [f"left behind: {f}" for f in files]


def _orphans() -> Iterator[Path]:
    """Folders of graders that have ended."""
    for lock in Path(shared.SHARED).glob("autograder-*.lock"):
        with suppress(OSError), lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield lock


def run_grade(course: Course, chapter: str, folder: Path, number: int, *options: str) -> Run:
    """Runs the command on the class in the folder; its records are in folder/out.json."""
    run = Run(number)
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    machine = Machine(scratch)
    command = [sys.executable, "-m", "autograder", "grade", chapter, *options, "--force"]
    command += ["--submitted", str(folder / "submitted"), "--json", str(folder / "out.json")]
    process = psutil.Popen(
        command,
        cwd=course.root,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = Watch(process, folder / "reports" / chapter / "records", run)
    said = process.stderr.read()
    process.wait()
    watch.end()
    if process.returncode:
        run.problems.append(f"the command ended with {process.returncode}: {said[-2000:]}")
    run.problems += machine.left()
    return run


def records_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What the command has written, by student."""
    text = (folder / "out.json").read_text(encoding="utf-8")
    return {record["student"]: record for record in json.loads(text)}


def grade_class(
    course: Course, assignment: Assignment, students: Sequence[Student], *options: str
) -> tuple[Run, dict[str, dict[str, Any]]]:
    """Grades the students in a folder of their own, and checks every mark."""
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        submissions = {student.name: student.data for student in students}
        hand_in(folder, assignment.name, f"{assignment.notebook_name}.ipynb", submissions)
        run = run_grade(course, assignment.name, folder, len(students), *options)
        if not (folder / "out.json").exists():
            return run, {}
        records = records_of(folder)
        run.problems += faults(students, records)
        entered = gradebook_scores(assignment.name, folder)
        for student, record in records.items():
            for exercise in record["exercises"]:
                cell = f"test_{exercise['id']}" if exercise["checks"] else exercise["id"]
                if entered.get((student, cell)) != exercise["score"]:
                    run.problems.append(f"{student}: another mark for {cell} in the gradebook")
    return run, records


def start_of(course: Course, assignment: Assignment) -> Run:
    """The command on one untouched notebook."""
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        blank = as_bytes(tiny.release(assignment))
        notebook = f"{assignment.notebook_name}.ipynb"
        hand_in(Path(name), assignment.name, notebook, {UNTOUCHED: blank})
        return run_grade(course, assignment.name, Path(name), 1, "--jobs", "2")


def against_dask(course: Course, assignment: Assignment, students: Sequence[Student]) -> list[Run]:
    """The same class by two local jobs and by two Dask workers; what differs is a problem."""
    local, theirs = grade_class(course, assignment, students, "--jobs", "2")
    with tempfile.TemporaryDirectory(prefix="dask-") as folder, workers(Path(folder)) as cluster:
        cluster.start("one", "two")
        cluster.wait_for("one", "two")
        far, ours = grade_class(course, assignment, students, "--scheduler", cluster.address)
    both = [_but_times(records) for records in (theirs, ours)]
    for student in sorted(theirs.keys() | ours.keys()):
        if both[0].get(student) != both[1].get(student):
            far.problems.append(f"{student}: another report from a Dask worker")
    return [local, far]


def _but_times(records: Mapping[str, dict[str, Any]]) -> dict[str, Report]:
    """The reports, without the seconds that they took."""
    return {
        student: replace(Report.from_dict(record), seconds=0.0)
        for student, record in records.items()
    }


def show(run: Run, start: Run) -> None:
    """A row of the table."""
    each = (run.wall - start.wall) / run.submissions
    cpu = (run.cpu - start.cpu) / run.submissions
    rate = 60 * run.submissions / run.wall
    print(
        f"{run.submissions:>11,}{run.wall:>9.1f}{rate:>10.1f}{each:>9.2f}{cpu:>9.2f}{run.peak:>7.2f}"
        f"  {' '.join(f'{part.mean:.2f}' for part in run.tenths)}",
        flush=True,
    )
    for problem in run.problems:
        print(f"  {problem}", flush=True)


def show_curve(run: Run) -> None:
    """Seconds and CPU seconds a submission, by hundreds; the start is in the first."""
    costs = []
    before = Part(0, 0.0, 0.0, 0.0, 0.0)
    for part in run.hundreds:
        costs.append((part, (part.wall - before.wall) / 100, (part.cpu - before.cpu) / 100))
        before = part
    longest = max((wall for _, wall, _ in costs), default=1.0)
    print(f"{'until':>11}{'s each':>9}{'CPU s':>9}{'GiB':>7}")
    for part, wall, cpu in costs:
        bar = "█" * round(40 * wall / longest)
        print(f"{part.done:>11,}{wall:>9.2f}{cpu:>9.2f}{part.mean:>7.2f}  {bar}")


def was_idle() -> bool:
    """Whether nobody else computes; says so if somebody does."""
    busy, began = busy_seconds(), time.monotonic()
    time.sleep(3)
    share = (busy_seconds() - busy) / (time.monotonic() - began) / (os.cpu_count() or 1)
    if share > IDLE:
        print(f"The processors are {share:.0%} busy with other work: no time here means anything.")
    return share <= IDLE


def main() -> None:
    """Prints the tables, and ends with 1 if anything is wrong."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("numbers", metavar="NUMBER", type=int, nargs="*")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--chapter", default=CHAPTER)
    which.add_argument("--small", action="store_true")
    parser.add_argument("--dask", metavar="NUMBER", type=int, default=100)
    options = parser.parse_args()
    numbers = options.numbers or [10, 24, 240, 1000]
    confine.adopt_orphans()  # so that a process that is left is below this one
    with tempfile.TemporaryDirectory(prefix="scale-") as scratch:
        course = small_course(Path(scratch)) if options.small else Course(ROOT)
        chapter = tiny.TINY if options.small else options.chapter
        assignment = course.assignment(chapter)
        idle = was_idle()
        largest = max(*numbers, options.dask)
        students = make_class(course, assignment, largest, EXERCISES.get(chapter, ()))
        print(f"{chapter}, {os.cpu_count()} processors")
        head = (
            f"{'submissions':>11}{'wall s':>9}{'a minute':>10}{'s each':>9}{'CPU s':>9}{'GiB':>7}"
        )
        print(f"{head}  GiB by tenths")
        start = start_of(course, assignment)
        show(start, Run(1))
        runs = []
        for number in numbers:
            runs.append(grade_class(course, assignment, students[:number], "--jobs", "2")[0])
            show(runs[-1], start)
        show_curve(runs[-1])
        by_dask: list[Run] = []
        if options.dask:
            by_dask = against_dask(course, assignment, students[: options.dask])
            for run, who in zip(by_dask, ("two jobs", "two Dask workers"), strict=True):
                print(who)
                show(run, start)
    result = {
        "chapter": chapter,
        "processors": os.cpu_count(),
        "idle": idle,
        "start": asdict(start),
        "runs": [asdict(run) for run in runs],
        "two_jobs_and_two_dask_workers": [asdict(run) for run in by_dask],
    }
    path = ROOT / "build" / "scale.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(any(run.problems for run in [start, *runs, *by_dask]))


if __name__ == "__main__":
    main()
