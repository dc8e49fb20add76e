"""Speed of `autograder grade` against stock `nbgrader autograde`: the same class in one run.

    python tests/bench/bench.py [SUBMISSIONS]

Both grade the same submissions of chapter 1, made from the collected answers to three of its
exercises (plain Python, PyTorch, Keras): every second one right, the others with a mistake in
each. Ours grades them before and after nbgrader does, in case the machine's speed changes. The
cells' own cost is that of executing them in a bare forked process that has done the imports,
without Jupyter, judge or sandbox. CPU seconds are the whole machine's, which has to be idle
otherwise. Prints a table and writes build/bench.json. Only the ratios mean anything on another
machine.
"""

from __future__ import annotations

import importlib
import io
import json
import linecache
import os
import subprocess
import sys
import tempfile
import threading
import time
import types
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from nbgrader.api import Gradebook
from sample_class import CHAPTER, answer, as_bytes, fill, stock_config

from autograder.course.cells import grade_id
from autograder.course.source import Assignment, Course
from autograder.engine.handed_in import Submission
from autograder.engine.inside.server import PRELOADED
from autograder.engine.submission import parse, repair
from autograder.study.chapter import read_source
from autograder.study.progress import Progress
from autograder.study.session import Session

EXERCISES = ("budget", "attention", "digits_cnn")
WARM_UP = "aaa_untouched"


@dataclass
class Cost:
    """Wall-clock seconds, CPU seconds of all processes together, and the most memory at once."""

    wall: float
    cpu: float
    gib: float = 0.0

    def mean(self, other: Cost) -> Cost:
        return Cost(
            (self.wall + other.wall) / 2, (self.cpu + other.cpu) / 2, max(self.gib, other.gib)
        )


def make_class(number: int) -> dict[str, bytes]:
    """`number` submissions by student, spread over the collected answers."""
    names = {
        exercise: sorted(p.stem for p in (ROOT / "tests/answers" / CHAPTER / exercise).glob("*.py"))
        for exercise in EXERCISES
    }
    made = {}
    for index in range(number):
        chosen = {}
        for exercise, known in names.items():
            kind = "wrong_" if index % 2 else "right_"
            pool = [name for name in known if name.startswith(kind)]
            chosen[exercise] = answer(exercise, pool[index * len(pool) // number])
        made[f"student{index:03}"] = as_bytes(fill(chosen))
    return made


def hand_in(folder: Path, submissions: dict[str, bytes]) -> None:
    for student, data in submissions.items():
        chapter = folder / "submitted" / student / CHAPTER
        chapter.mkdir(parents=True)
        (chapter / "concepts.ipynb").write_bytes(data)


def busy_seconds() -> float:
    """Of all cores; processes that end unseen in a namespace of their own are in it."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def timed(command: list[str], folder: Path) -> Cost:
    """What a command costs, with everything that it starts."""
    cpu, started = busy_seconds(), time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.returncode is None:
            total = 0
            with suppress(psutil.Error):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        total += child.memory_full_info().pss
            peak = max(peak, total)
            time.sleep(2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.wait()
    wall = time.monotonic() - started
    watcher.join()
    if process.returncode:
        sys.exit(f"{command} failed")
    return Cost(wall, busy_seconds() - cpu, peak / 2**30)


def in_one_process(assignment: Assignment, submission: Submission) -> None:
    """Runs all cells of a submission, tests included, in a bare forked process."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    import tensorflow as tf
    import torch

    torch.set_num_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    notebook, _ = repair(assignment, parse(submission))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            name = f"<{cell.id}>"
            linecache.cache[name] = (0, None, cell.source.splitlines(keepends=True), name)
            with redirect_stdout(io.StringIO()), suppress(Exception):
                exec(compile(cell.source, name, "exec"), vars(main))
    os._exit(0)


def cells_own_cpu(assignment: Assignment, submissions: dict[str, bytes]) -> float:
    """CPU seconds of all submissions' cells, tests included, executed and nothing else."""
    for name in PRELOADED:
        importlib.import_module(name)
    before = busy_seconds()
    for student, data in submissions.items():
        in_one_process(assignment, Submission(student, data))
    return busy_seconds() - before


def marks(folder: Path) -> dict[tuple[str, str], float | None]:
    """Scores in a class's gradebook, by student and grade id."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        return {
            (submission.student_id, grade.name): grade.auto_score
            for submission in book.assignment_submissions(CHAPTER)
            if submission.student_id != WARM_UP
            for notebook in submission.notebooks
            for grade in notebook.grades
        }


def main() -> None:
    """Runs both graders and prints the comparison."""
    # nbgrader calls alembic by name
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    assignment = Course(ROOT).assignment(CHAPTER)
    submissions = make_class(number)
    with tempfile.TemporaryDirectory() as scratch:
        ours, stock = Path(scratch, "ours"), Path(scratch, "stock")
        hand_in(stock, submissions)
        hand_in(ours, {WARM_UP: as_bytes(fill({})), **submissions})
        grade = [sys.executable, "-m", "autograder.cli", "grade", CHAPTER, "--jobs", "2"]
        grade += ["--submitted", str(ours / "submitted"), "--force"]
        start = timed([*grade, "--student", WARM_UP], ROOT)
        everybody = [*grade, *(f"--student={name}" for name in submissions)]
        fast = timed(everybody, ROOT)
        source = stock / "source" / CHAPTER
        source.mkdir(parents=True)
        (stock / "nbgrader_config.py").write_text(stock_config())
        nbformat.write(assignment.source, source / "concepts.ipynb")
        nbgrader = [sys.executable, "-m", "nbgrader"]
        quiet = "--log-level=CRITICAL"
        subprocess.run([*nbgrader, "generate_assignment", CHAPTER, quiet], cwd=stock, check=True)
        slow = timed([*nbgrader, "autograde", CHAPTER, quiet], stock)
        fast = fast.mean(timed(everybody, ROOT))
        start = start.mean(timed([*grade, "--student", WARM_UP], ROOT))
        theirs, ours_now = marks(stock), marks(ours)
        differing = [key for key, score in theirs.items() if ours_now[key] != score]
    own = (fast.cpu - start.cpu - cells_own_cpu(assignment, submissions)) / number
    added = added_by_check(assignment)
    print("%check adds to the checks' own time:", end=" ")
    print(", ".join(f"{name} {seconds:.3f} s" for name, seconds in added.items()))
    report(number, slow, fast, start, own)
    print(f"marks that differ: {len(differing)} of {len(theirs)}", *differing)


def added_by_check(assignment: Assignment) -> dict[str, float]:
    """Seconds that `%check` adds to the checks' own time, by exercise; the best of five."""
    added = {}
    chapter, folder = read_source(ROOT / "source" / CHAPTER), ROOT / "release" / CHAPTER
    for name in ("budget", "attention"):
        (exercise,) = (e for e in assignment.exercises if e.id == name)
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        for cell in assignment.only(exercise).source.cells:
            if cell.cell_type == "code" and grade_id(cell) != exercise.test_id:
                exec(compile(cell.source, f"<{cell.id}>", "exec"), vars(main))
        test = chapter.exercises[name].test.source
        code = compile(test.removesuffix("check.score()"), "<test>", "exec")
        with tempfile.TemporaryDirectory() as scratch:
            session = Session(vars(main), folder, Progress(Path(scratch, "progress.sqlite")))
            times: dict[str, list[float]] = {"own": [], "all": []}
            for _ in range(5):
                started = time.perf_counter()
                exec(code, dict(vars(main)))
                times["own"].append(time.perf_counter() - started)
                started = time.perf_counter()
                session.check(name)
                times["all"].append(time.perf_counter() - started)
        added[name] = min(times["all"]) - min(times["own"])
    return added


def report(number: int, slow: Cost, fast: Cost, start: Cost, own: float) -> None:
    steady = fast.wall - start.wall
    print(f"{number} submissions of {CHAPTER}, {os.cpu_count()} cores")
    print(f"{'':36}{'wall s':>8}{'CPU s':>8}{'a minute':>10}{'GiB':>7}")
    for name, cost in {"nbgrader autograde": slow, "autograder grade --jobs 2": fast}.items():
        rate = 60 * number / cost.wall
        print(f"{name:36}{cost.wall:8.1f}{cost.cpu:8.1f}{rate:10.1f}{cost.gib:7.1f}")
    print(f"{'  of it: start and one untouched':36}{start.wall:8.1f}{start.cpu:8.1f}")
    result = {
        "submissions": number,
        "cores": os.cpu_count(),
        "ratio": slow.wall / fast.wall,
        "ratio_without_start": slow.wall / steady,
        "own_cpu_seconds_per_submission": own,
        "stock": vars(slow),
        "autograder": vars(fast),
        "start": vars(start),
    }
    print(f"ratio of submissions a minute: {result['ratio']:.1f}", end=" ")
    print(f"({result['ratio_without_start']:.1f} without the start)")
    print(f"the grader's own CPU, above the cells': {own:.2f} s a submission")
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
