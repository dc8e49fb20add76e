"""Whether marks depend on load: one class of twelve, graded again and again on a busy machine.

    python tests/bench/load.py [TIMES]

Grades the small course's class, with two more who sleep and who start processes, one at a time,
two and six at once, each with and without busy loops on all processors beside, and each that many
times (3). Prints a line a run, and every check that did not come out as in the first run; then it
ends with 1. It takes a quarter of an hour on two processors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import tiny
import tiny_class
from command import hand_in
from sample_class import as_bytes, fill

from autograder.classroom.batch import grade_class, here
from autograder.classroom.records import ClassFolder
from autograder.classroom.work import Chapter
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine
from autograder.engine.options import Limits

SLEEPS = """
import time
time.sleep(3)

def spread(values):
    time.sleep(1)
    return max(values) - min(values)
"""
RANKS = """
from autograder.ranks import run_ranks

def spread(values):
    def part(rank, world_size):
        import torch
        import torch.distributed as dist
        most = torch.tensor([max(values), -min(values)])
        dist.all_reduce(most, dist.ReduceOp.MAX)
        return most.sum().item()

    return run_ranks(part, 4)[0]
"""
Marks = dict[str, object]  # what must not change, by student, check or cell


def submissions(assignment: Assignment) -> dict[str, bytes]:
    """The class, by student."""
    with_code = {
        name: {**tiny_class.RIGHT, "statistics": tiny_class.RIGHT["statistics"] + code}
        for name, code in (("noor", SLEEPS), ("olga", RANKS))
    }
    more = {
        name: as_bytes(fill(answers, tiny.release(assignment)))
        for name, answers in with_code.items()
    }
    return {**tiny_class.students(assignment), **more}


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def grade(engine: Engine, course: Course, jobs: int) -> Marks:
    """What one grading of the class says."""
    assignment = course.assignment(tiny.TINY)
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        place = Path(folder)
        hand_in(place, tiny.TINY, tiny.NOTEBOOK, submissions(assignment))
        work = Chapter(course, assignment)
        with here(engine, work, Limits(), jobs) as pool:
            reports = grade_class(pool, work, ClassFolder(place / "submitted"), gradebook=False)
    assert len(reports) == 12
    marks: Marks = {}
    for report in reports:
        marks[report.student] = report.status, report.score
        for note in report.notes:
            marks[f"{report.student}, {note.cell}"] = note.code
        for exercise in report.exercises:
            for check in exercise.checks:
                marks[f"{report.student}, {check.name}"] = check.outcome, check.message
    return marks


def main() -> None:
    """Prints a line a run, and what differs."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    processors = len(os.sched_getaffinity(0))
    first: Marks = {}
    differ = 0
    with tempfile.TemporaryDirectory(prefix="load-") as folder, Engine() as engine:
        course = tiny_class.make_course(Path(folder))
        for loops in (0, 2 * processors):
            for jobs in (1, 2, 6):
                for number in range(times):
                    with busy_loops(loops):
                        marks = grade(engine, course, jobs)
                    first = first or marks
                    other = [
                        f"  {what}: {marks.get(what)}, not {first.get(what)}"
                        for what in sorted(first.keys() | marks.keys())
                        if marks.get(what) != first.get(what)
                    ]
                    differ += bool(other)
                    said = "other marks" if other else "the same marks"
                    run = f"{jobs} at once, {loops} busy loops, run {number + 1}"
                    print("\n".join([f"{run}: {said}", *other]), flush=True)
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
