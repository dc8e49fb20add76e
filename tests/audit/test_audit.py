"""Planning and running an audit: what is graded, in what order, and what happens when it fails."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, make_course, write_answer
from tiny_audit import audit, plan, run

from autograder.audit import audit as auditing
from autograder.audit.audit import ALL
from autograder.audit.verdict import Audit
from autograder.course.source import Course
from autograder.engine import grade as grading
from autograder.engine.grade import Graded


def test_a_mutant_that_does_not_end_is_tried_again_and_counted_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    loop = "    while values and width < 0:\n        width = width + 1\n"
    begin = "    ### BEGIN SOLUTION\n"
    text = source.read_text().replace(begin, begin + loop)
    header = "# jupyter:\n#   autograder:\n#     check_seconds: 2\n"
    source.write_text(text.replace("# jupyter:\n", header))
    monkeypatch.setattr("autograder.audit.audit.MUTANT_SECONDS", 1.0)
    (exercise,) = audit(course, mutants=ALL, answers=[]).exercises
    assert exercise.mutants is not None
    assert 0 < exercise.mutants.stopped < exercise.mutants.killed


def test_a_fault_of_the_graders_own_is_tried_again_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path)
    for name in ("grade", "try_out"):
        faults = iter([True, False] + 99 * [True])

        def breaks(*args: object, name: str = name, faults: Iterator[bool] = faults) -> object:
            if next(faults):
                raise OSError("no space left")
            return getattr(grading, name)(*args)

        monkeypatch.setattr(auditing, name, breaks)
    found = run(plan(course), jobs=1)
    complaint = "{} could not be graded: OSError: no space left"
    assert f"scale: {complaint.format('right_loop')}" in found.problems
    for first in ("the reference solution", "the exercise's own cell"):
        assert sum(complaint.format(first) in problem for problem in found.problems) == (
            first == "the exercise's own cell"  # the untouched one was well, its solution was not
        )


def test_only_what_has_changed_is_audited_again(good: tuple[Course, Audit], tmp_path: Path) -> None:
    _, known = good
    course = make_course(tmp_path)
    before = copy.deepcopy(known)
    for mutants in (0, 3, ALL):
        again = plan(course, seeds=3, mutants=mutants, earlier=known)
        assert again.total == 0
        assert run(again) == before
    assert plan(course, seeds=2, earlier=known).total >= 11
    (exercise,) = known.exercises
    assert exercise.mutants is not None
    less = replace(exercise, mutants=replace(exercise.mutants, tried=3))
    few = replace(known, exercises=[less])
    assert plan(course, seeds=3, mutants=3, earlier=few).total == 0
    assert plan(course, seeds=3, mutants=ALL, earlier=few).total > 20
    none = replace(known, exercises=[replace(exercise, mutants=None)])
    assert plan(course, seeds=3, earlier=none).total == 0
    assert plan(course, seeds=3, mutants=1, earlier=none).total >= 12
    broken = replace(known, exercises=[replace(exercise, problems=["it fails"])])
    assert plan(course, seeds=3, earlier=broken).total >= 11
    wrong = "# Right: it is\ndef scale(values, width):\n    return 1\n"
    write_answer(tmp_path, "right_loop", wrong)
    again = plan(course, seeds=3, earlier=known)
    assert again.total >= 11
    assert "right_loop" in run(again).problems[0]


def test_an_audit_of_another_environment_does_not_stand(good: tuple[Course, Audit]) -> None:
    course, known = good
    (exercise,) = known.exercises
    other = replace(known, exercises=[replace(exercise, environment="another")])
    assert plan(course, seeds=3, earlier=known).total == 0
    assert plan(course, seeds=3, earlier=other).total >= 11


def test_an_answer_that_spoils_a_library_spoils_no_other(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    answer = """\
# Wrong: and has a side effect
# Fails: divides_by_the_root
import random
def scale(values, width):
    random.randint = lambda least, most: 0
    return [v / width for v in values]
"""
    write_answer(tmp_path, "wrong_spoiler", answer)
    found = audit(course, seeds=2)
    assert found.problems == []
    assert found.exercises[0].right_accepted == 3
    assert found.exercises[0].wrong_rejected == 7


def test_exercises_share_submissions_and_are_reported_one_by_one(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    text = source.read_text()
    exercise = text[text.index("# %%", text.index("import Checks, probe")) :]
    source.write_text(text + "\n" + exercise.replace("scale", "shift"))
    answers = tmp_path / "tests" / "answers" / TINY
    shutil.copytree(answers / "scale", answers / "shift")
    for path in (answers / "shift").glob("*.py"):
        path.write_text(path.read_text().replace("scale", "shift"))
    (answers / "shift" / "right_map.py").unlink()
    planned = plan(course)
    seen = [
        [exercise.id for exercise in step.audit.exercises]
        for step in planned.run()
        if step.audit is not None
    ]
    found = planned.audits[TINY]
    # Ten submissions (one answer more to the first exercise) and, in one process, for each
    # exercise the untouched cell and the solution.
    assert planned.total == 10 + 2 * 2
    assert seen == [["scale"], ["scale", "shift"]]
    assert found.problems == ["shift: 2 right answers; at least 3 are wanted"]
    assert [e.wrong_rejected for e in found.exercises] == [6, 6]


def test_a_sample_of_mutants(good: tuple[Course, Audit]) -> None:
    course, whole = good
    every = whole.exercises[0].mutants
    sampled = audit(course, mutants=4, answers=[]).exercises[0].mutants
    assert every is not None
    assert sampled is not None
    assert sampled.tried == sampled.killed == 4 < sampled.made == every.made == every.tried


def test_a_wrong_answer_meets_only_the_checks_that_reach_what_is_wrong_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks of `shift`, added to those of `scale`, pass whatever is wrong with `scale`."""
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    shift = "def shift(value):\n    return value + 1\n"
    check = """\
@check(points=1, hint="Which way?")
def adds_one():
    'One is added.'
    assert shift(1) == 2

### BEGIN HIDDEN TESTS
"""
    text = source.read_text().replace('"points": 2', '"points": 3').replace("points=2", "points=3")
    marked = (
        shift.replace("    return", "    ### BEGIN SOLUTION\n    return") + "    ### END SOLUTION\n"
    )
    begin = '# %% nbgrader={"grade": true'
    text = text.replace(begin, f"{marked}\n{begin}")
    source.write_text(text.replace("### BEGIN HIDDEN TESTS\n", check))
    for path in (tmp_path / "tests" / "answers" / TINY / "scale").glob("*.py"):
        path.write_text(f"{path.read_text()}\n{shift}")
    wrong = "# Wrong: the other way\n# Fails: adds_one\n"
    scale = "def scale(values, width):\n    return [value / width**0.5 for value in values]\n"
    write_answer(tmp_path, "wrong_way", wrong + scale + "def shift(value):\n    return value - 1\n")
    ran = []

    def graded(*args: Any) -> Graded:
        *_, checks = args
        ran.append(set(checks["test_scale"]))
        return grading.grade(*args)

    monkeypatch.setattr(auditing, "grade", graded)
    found = audit(course)
    assert found.problems == []
    one, other = {"adds_one"}, {"keeps_the_length", "divides_by_the_root"}
    assert [ran.count(names) for names in (one | other, other, one)] == [4, 6, 1]
    assert {c.name: c.alone for c in found.exercises[0].checks}["adds_one"] == ["wrong_way"]
