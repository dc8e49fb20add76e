"""Test cells in one process with the solutions: what a trial asks for, and a fresh beginning."""

from __future__ import annotations

import copy
from pathlib import Path

from tiny import TINY, make_course

from autograder.checks import Outcome
from autograder.engine import grade as grading
from autograder.engine.grade import Limits, Trial


def test_only_what_a_trial_asks_for_is_run(tmp_path: Path) -> None:
    chapter = make_course(tmp_path).assignment(TINY)
    cells = chapter.source.cells
    next(c for c in cells if c.id == "scale").source = "def scale(v, w):\n    return 3"
    one = Trial(checks={"test_scale": {"divides_by_the_root"}})
    trials = [Trial(), one, Trial(until_failure=True)]
    (found,) = grading.try_out([(chapter, trials)], Limits())
    everything, only, first = ({r.name: r.outcome for r in trial["test_scale"]} for trial in found)
    assert set(everything) == {"keeps_the_length", "divides_by_the_root"}
    assert Outcome.TIMED_OUT not in everything.values()
    assert set(only) == {"divides_by_the_root"}
    assert first["divides_by_the_root"] is Outcome.TIMED_OUT  # it was not begun


def test_solutions_in_one_process_begin_afresh(tmp_path: Path) -> None:
    values = """\
    def type_of_a_tensor():
        scale([1.0], 4)
        return str(torch.zeros(1).dtype)
    assert probe(type_of_a_tensor) == 'torch.float32'"""
    chapter = make_course(tmp_path, values).assignment(TINY)
    solved = []
    for name in ("scale", "another", "scale"):
        copied = copy.copy(chapter)
        copied.source = copy.deepcopy(chapter.source)
        cell = next(cell for cell in copied.source.cells if cell.id == "scale")
        cell.source = f"def {name}(v, w): return v"
        solved.append((copied, [Trial(), Trial(1, float64=True)]))
    outcomes = [
        [[r.outcome for r in trial["test_scale"]] for trial in trials]
        for trials in grading.try_out(solved, Limits())
    ]
    fine, in_64_bits = [Outcome.PASSED] * 2, [Outcome.PASSED, Outcome.FAILED]
    assert outcomes[0] == outcomes[2] == [fine, in_64_bits]
    assert Outcome.PASSED not in outcomes[1][0]
