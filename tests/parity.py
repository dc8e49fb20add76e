"""Do the judge and a notebook's own kernel agree? Every collected answer, both ways.

    python tests/parity.py [SEED]...   (0 to 4 without any)

In the learner's kernel, and under stock nbgrader, test cells run in the student's process. This
executes each notebook that way, in a bare forked process, and by `grade`, and compares the points
of every check. bench/bench.py compares with nbgrader itself, on fewer submissions.
"""

from __future__ import annotations

import importlib
import io
import json
import linecache
import os
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from itertools import zip_longest

from sample_class import CHAPTER, ROOT, as_bytes, fill

from autograder.audit import read_answers
from autograder.checks import SEED_VARIABLE
from autograder.course import Assignment, Course, grade_id
from autograder.grade import Limits, grade
from autograder.kernels import PRELOADED, fork_server
from autograder.sandbox import Isolation
from autograder.submission import Submission, parse, repair

Points = dict[str, dict[str, float]]


def in_one_process(assignment: Assignment, submission: Submission, seed: int) -> Points:
    """Points of each check, by test cell, where the tests run in the student's process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        found = execute(assignment, submission, seed)
        with open(write, "w") as stream:
            json.dump(found, stream)
        os._exit(0)
    os.close(write)
    with open(read) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else {}


def execute(assignment: Assignment, submission: Submission, seed: int) -> Points:
    """Runs all cells here."""
    import tensorflow as tf
    import torch

    os.environ[SEED_VARIABLE] = str(seed)
    torch.set_num_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    notebook, _ = repair(assignment, parse(submission, assignment))
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    found: Points = {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        name = f"<{cell.id}>"
        linecache.cache[name] = (0, None, cell.source.splitlines(keepends=True), name)
        with redirect_stdout(io.StringIO()), suppress(Exception):
            exec(compile(cell.source, name, "exec"), vars(main))
        if (check := vars(main).pop("check", None)) is not None:
            found[str(grade_id(cell))] = {r.name: r.points for r in check.results}
    return found


def main() -> int:
    """Prints every disagreement; how many there were."""
    seeds = [int(seed) for seed in sys.argv[1:]] or range(5)
    assignment = Course(ROOT).assignment(CHAPTER)
    folder = ROOT / "tests" / "answers" / CHAPTER
    exercises = [exercise for exercise in assignment.exercises if exercise.test_id]
    jobs = []
    # One answer to each exercise in a submission; the shorter columns end early.
    for row in zip_longest(*(read_answers(folder / e.id, e) for e in exercises)):
        answers = {e.id: a.text for e, a in zip(exercises, row, strict=True) if a is not None}
        names = [a.name for a in row if a is not None]
        jobs += [(names, seed, Submission("student", as_bytes(fill(answers)))) for seed in seeds]
    fork_server(Isolation.FULL)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        judged = list(
            pool.map(lambda job: grade(assignment, job[2], Limits(seed=job[1])).report, jobs)
        )
    for name in PRELOADED:
        importlib.import_module(name)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        alone = list(pool.map(lambda job: in_one_process(assignment, job[2], job[1]), jobs))
    differences = 0
    for (names, seed, _), report, here in zip(jobs, judged, alone, strict=True):
        there = {f"test_{e.id}": {c.name: c.points for c in e.checks} for e in report.exercises}
        for test, points in here.items():
            for check in points:
                if points[check] != there[test][check]:
                    differences += 1
                    print(names, "seed", seed, check, points[check], "judge:", there[test][check])
    checks = sum(len(e.checks) for report in judged for e in report.exercises)
    print(f"{len(jobs)} submissions, {checks} checks: {differences} differences")
    return differences


if __name__ == "__main__":
    sys.exit(min(main(), 1))
