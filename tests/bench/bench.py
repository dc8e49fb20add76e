"""Speed of `autograder grade` against stock `nbgrader autograde`: the same class in one run.

    python tests/bench/bench.py [SUBMISSIONS]

Both grade the same submissions of chapter 1, made from the collected answers. Prints a table and
writes build/bench.json. Only the ratios mean anything on another machine.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from sample_class import CHAPTER, answer, as_bytes, fill

from autograder.course import Course

EXERCISES = ("budget", "attention", "digits_cnn")


def hand_in(folder: Path, number: int) -> None:
    """`number` submissions, each with another right answer to each exercise."""
    names = {
        exercise: sorted(
            path.stem for path in (ROOT / "tests/answers" / CHAPTER / exercise).glob("right_*.py")
        )
        for exercise in EXERCISES
    }
    for index in range(number):
        chosen = {e: answer(e, names[e][index % len(names[e])]) for e in EXERCISES}
        chapter = folder / "submitted" / f"student{index:03}" / CHAPTER
        chapter.mkdir(parents=True)
        (chapter / "concepts.ipynb").write_bytes(as_bytes(fill(chosen)))


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall-clock seconds and CPU seconds (children included) of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    """Runs both graders and prints the comparison."""
    # nbgrader calls alembic by name
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    jobs = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        ours, stock = Path(scratch, "ours"), Path(scratch, "stock")
        for folder in (ours, stock):
            hand_in(folder, number)
        source = stock / "source" / CHAPTER
        source.mkdir(parents=True)
        shutil.copy(ROOT / "nbgrader_config.py", stock)
        nbformat.write(Course(ROOT).assignment(CHAPTER).source, source / "concepts.ipynb")
        nbgrader = [sys.executable, "-m", "nbgrader"]
        subprocess.run(
            [*nbgrader, "generate_assignment", CHAPTER, "--log-level=ERROR"], cwd=stock, check=True
        )
        grade = ["autograder", "grade", CHAPTER, "--submitted", str(ours / "submitted")]
        rows = {
            "stock nbgrader autograde": timed(
                [*nbgrader, "autograde", CHAPTER, "--log-level=ERROR"], stock
            ),
            f"autograder grade --jobs {jobs}": timed([*grade, "--jobs", str(jobs)], ROOT),
        }
    print(f"{number} submissions of {CHAPTER}, {jobs} cores")
    print(f"{'':32}{'wall s':>8}{'CPU s':>8}{'a minute':>10}")
    for name, (wall, cpu) in rows.items():
        print(f"{name:32}{wall:8.1f}{cpu:8.1f}{60 * number / wall:10.1f}")
    (slow, _), (fast, _) = rows.values()
    print(f"ratio of submissions a minute: {slow / fast:.2f}")
    result = {"submissions": number, "cores": jobs, "ratio": slow / fast, "seconds": rows}
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
