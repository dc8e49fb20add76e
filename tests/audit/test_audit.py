"""The audit: does it notice weak tests, and does it stay quiet about good ones?"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from engines import engine
from sample_class import CHAPTER
from tiny import GOOD, TINY, VALUES, make_course, write_answer
from typer.testing import CliRunner

from autograder.audit import audit as auditing
from autograder.audit import page as validity
from autograder.audit.audit import Audit, audit, fingerprint, read_answers
from autograder.audit.in_process import try_out
from autograder.checks import Outcome
from autograder.cli import app
from autograder.course.source import Assignment, Course, CourseError
from autograder.engine.grade import Engine
from autograder.engine.options import Graded, Limits, Trial


def run(course: Course, **options: object) -> Audit:
    return audit(engine(), course, TINY, limits=Limits(), seeds=3, jobs=2, **options)


def test_good_tests_pass_every_gate(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    found = run(course, mutants=True)
    (exercise,) = found.exercises
    assert found.problems == []
    assert (exercise.right_accepted, exercise.right) == (3, 3)
    assert (exercise.wrong_rejected, exercise.wrong) == (6, 6)
    assert (exercise.right_gradings, exercise.wrong_gradings) == (9, 18)
    assert exercise.flaky == []
    assert exercise.mutants is not None
    assert exercise.mutants.made > 10
    assert exercise.mutants.killed == exercise.mutants.tried, exercise.mutants.survivors
    length, root = exercise.checks
    assert set(root.alone) == {"wrong_no_scale", "wrong_width", "wrong_times"}
    assert "wrong_empty" in length.rejects
    assert exercise.seconds > 0


def test_a_check_on_data_that_hides_the_mistake_is_noticed(tmp_path: Path) -> None:
    """With a width of one, every power of it is right."""
    found = run(make_course(tmp_path, VALUES.format(least=1, most=1)), mutants=True)
    (exercise,) = found.exercises
    assert exercise.wrong_rejected == 3
    assert any("accepted: wrong_no_scale, seed 0: divides_by_the_root" in p for p in found.problems)
    assert any("mutants rejected, less than 95%" in problem for problem in found.problems)
    assert exercise.mutants is not None
    assert any(
        "before = 'return [value / width" in s.replace("'''", "'")
        for s in exercise.mutants.survivors
    )


def test_a_check_that_needs_luck_is_noticed(tmp_path: Path) -> None:
    found = run(make_course(tmp_path, VALUES.format(least=1, most=2)))
    assert any(problem.startswith("scale: accepted: wrong_no_scale") for problem in found.problems)
    assert "wrong_no_scale: divides_by_the_root" in found.exercises[0].flaky


def test_a_check_that_rejects_right_answers_is_noticed(tmp_path: Path) -> None:
    values = GOOD.replace("abs(result - value / width**0.5) < 1e-9", "result == value / width**0.5")
    found = run(make_course(tmp_path, values))
    assert found.exercises[0].right_accepted < 3
    assert any(p.startswith("scale: rejected: right_loop, seed ") for p in found.problems)


def test_a_check_that_checks_nothing_is_noticed(tmp_path: Path) -> None:
    problems = run(make_course(tmp_path, "    scale")).problems
    assert "scale: divides_by_the_root passes on the untouched cell" in problems
    assert "scale: divides_by_the_root rejects no wrong answer" in problems


def test_an_exercise_is_tried_in_64_bits_where_the_chapter_says_so(tmp_path: Path) -> None:
    values = """\
    def run():
        return scale([torch.ones(2)], 4)[0]
    assert torch.equal(probe(run), torch.ones(2) / 2)
    assert probe(run).dtype == torch.get_default_dtype()"""
    header = "#   autograder:\n#     float64: [scale]\n"
    course = make_course(tmp_path, values, header)
    answer = """\
# Right: in 32 bits
def scale(values, width):
    return [torch.as_tensor(v, dtype=torch.float32) / width**0.5 for v in values]
"""
    write_answer(tmp_path, "right_but_not_in_64_bits", answer)
    (exercise,) = run(course).exercises
    assert exercise.right_gradings == 4 * 3 * 2
    assert exercise.right_accepted == 3
    rejected = [p for p in exercise.problems if p.startswith("rejected")]
    assert [", 64 bits: divides_by_the_root" in problem for problem in rejected] == [True] * 3


def test_lists_of_equivalent_mutants_go_stale(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    path = tmp_path / "tests" / "answers" / TINY / "scale" / "equivalent.toml"
    entry = """
[[mutant]]
function = "scale"
before = "return [value / width**0.5 for value in values]"
after = "return [value / {} for value in values]"
reason = "a mistake"
"""
    path.write_text(entry.format("(width)") + entry.format("width**7"))
    problems = run(course, mutants=True).problems
    assert any("names no mutants, not one" in p and "width**7" in p for p in problems)
    assert any("called equivalent, but rejected" in problem for problem in problems)


def test_an_entry_that_fits_two_mutants_is_refused(tmp_path: Path) -> None:
    twice = "    if width:\n        width = width + 0\n    else:\n        width = width + 0\n"
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    begin = "    ### BEGIN SOLUTION\n"
    source.write_text(source.read_text().replace(begin, begin + twice))
    (tmp_path / "tests" / "answers" / TINY / "scale" / "equivalent.toml").write_text("""
[[mutant]]
function = "scale"
before = "width = width + 0"
after = "width = width - 0"
reason = "adding nothing"
""")
    problems = run(course, sampled=1).problems
    assert any("names 2 mutants, not one" in problem for problem in problems)


def test_a_solution_without_markers_has_no_mutants(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    source.write_text(source.read_text().replace(" SOLUTION", "  SOLUTION"))
    problems = run(course, sampled=1).problems
    assert "scale: no mutants: has the solution its markers?" in problems


def test_what_was_stopped_or_not_written_is_not_called_rejected(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    fails = "# Wrong: it is\n# Fails: divides_by_the_root\n"
    unwritten = "def scale(values, width):\n    raise NotImplementedError\n"
    write_answer(tmp_path, "wrong_unwritten", fails + unwritten)
    write_answer(tmp_path, "wrong_typo", f"{fails}def scale(values, width)\n    return 1\n")
    death = "def scale(values, width):\n    import os\n    os._exit(1)\n"
    write_answer(tmp_path, "wrong_death", fails + death)
    found = run(course)
    assert found.exercises[0].wrong_rejected == 6
    for complaint in (
        "scale: wrong_typo: its cell does not run",
        "scale: accepted: wrong_unwritten, seed 0: divides_by_the_root not attempted",
        "scale: accepted: wrong_death, seed 0: divides_by_the_root kernel died",
        "scale: accepted: wrong_death, seed 1: divides_by_the_root kernel died",
    ):
        assert complaint in found.problems


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
    (exercise,) = run(course, mutants=True).exercises
    assert exercise.mutants is not None
    assert 0 < exercise.mutants.stopped < exercise.mutants.killed


def breaking(real: Callable[..., object], faults: Iterator[bool]) -> Callable[..., object]:
    """`real`, with faults where there are to be some."""

    def call(*args: object) -> object:
        if next(faults):
            raise OSError("no space left")
        return real(*args)

    return call


def test_a_fault_of_the_graders_own_is_tried_again_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path)
    for where, name in ((Engine, "grade"), (auditing, "try_out")):
        faults = iter([True, False] + 99 * [True])

        monkeypatch.setattr(where, name, breaking(getattr(where, name), faults))
    found = audit(engine(), course, TINY, limits=Limits(), seeds=1)
    complaint = "{} could not be graded: OSError: no space left"
    assert f"scale: {complaint.format('right_loop')}" in found.problems
    for first in ("the reference solution", "the exercise's own cell"):
        assert sum(complaint.format(first) in problem for problem in found.problems) == (
            first == "the exercise's own cell"  # the untouched one was well, its solution was not
        )


def test_only_what_has_changed_is_audited_again(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    file = tmp_path / "found.json"
    file.write_text(json.dumps(asdict(run(course, sampled=3))))
    totals: list[int] = []

    def again(**options: object) -> Audit:
        options = {"seeds": 3, **options}
        earlier = auditing.read_audit(file)
        return audit(
            engine(),
            course,
            TINY,
            limits=Limits(),
            earlier=earlier,
            on_total=totals.append,
            **options,
        )

    assert asdict(again(sampled=3)) == asdict(again()) == json.loads(file.read_text())
    assert totals == [0, 0]
    more = again(seeds=2), again(mutants=True)
    assert [found.exercises[0].right_gradings for found in more] == [6, 9]
    write_answer(
        tmp_path, "right_loop", "# Right: it is\ndef scale(values, width):\n    return 1\n"
    )
    assert "right_loop" in again().problems[0]
    assert min(totals[2:]) >= 11
    file.write_text("[]")
    with pytest.raises(CourseError, match="delete it"):
        auditing.read_audit(file)


def test_only_what_a_trial_asks_for_is_run(tmp_path: Path) -> None:
    chapter = make_course(tmp_path).assignment(TINY)
    cells = chapter.source.cells
    next(c for c in cells if c.id == "scale").source = "def scale(v, w):\n    return 3"
    one = Trial(checks={"test_scale": {"divides_by_the_root"}})
    trials = [Trial(), one, Trial(until_failure=True)]
    (found,) = try_out(engine().server, [(chapter, trials)], Limits())
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
        for trials in try_out(engine().server, solved, Limits())
    ]
    fine, in_64_bits = [Outcome.PASSED] * 2, [Outcome.PASSED, Outcome.FAILED]
    assert outcomes[0] == outcomes[2] == [fine, in_64_bits]
    assert Outcome.PASSED not in outcomes[1][0]


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
    found = run(course)
    assert found.problems == []
    assert found.exercises[0].right_accepted == 3
    assert found.exercises[0].wrong_rejected == 7


def test_a_test_that_the_judge_and_one_process_disagree_about_is_noticed(tmp_path: Path) -> None:
    """The judge's list is not the student's: a call cannot change it there, but in one process."""
    values = """\
    given = [1.0, -3.0]
    scale(given, 4)
    assert given == [1.0, -3.0]"""
    course = make_course(tmp_path, values)
    answer = """\
# Wrong: changes its argument
# Fails: divides_by_the_root
def scale(values, width):
    values[:] = [v / width**0.5 for v in values]
    return values
"""
    write_answer(tmp_path, "wrong_in_place", answer)
    (exercise,) = run(course).exercises
    complaints = [p for p in exercise.problems if "wrong_in_place" in p]
    assert complaints == ["accepted: wrong_in_place, seed 0: divides_by_the_root passed"]
    assert "wrong_in_place: divides_by_the_root" in exercise.flaky


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
    totals: list[int] = []
    seen: list[list[str]] = []
    found = audit(
        course,
        TINY,
        limits=Limits(),
        seeds=1,
        on_total=totals.append,
        on_exercise=lambda so_far: seen.append([e.id for e in so_far.exercises]),
    )
    # Ten submissions (one answer more to the first exercise) and, in one process, for each
    # exercise the untouched cell and the solution.
    assert totals == [10 + 2 * 2]
    assert seen == [["scale"], ["scale", "shift"]]
    assert found.problems == ["shift: 2 right answers; at least 3 are wanted"]
    assert [e.wrong_rejected for e in found.exercises] == [6, 6]


def test_a_sample_of_mutants(tmp_path: Path) -> None:
    (exercise,) = run(make_course(tmp_path), sampled=4).exercises
    assert exercise.mutants is not None
    assert exercise.mutants.tried == 4 < exercise.mutants.made


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("right_x", "def scale(): ...\n", "first line must be `# Right"),
        ("wrong_x", "# Right: no\n", "first line must be `# Wrong"),
        ("wrong_x", "# Wrong: yes\ndef scale(): ...\n", "second line must name the checks"),
        ("wrong_x", "# Wrong: yes\n# Fails: no_such_check\n", "no check no_such_check"),
    ],
)
def test_answers_that_cannot_be_used_are_named(
    name: str, text: str, complaint: str, tmp_path: Path
) -> None:
    course = make_course(tmp_path)
    path = write_answer(tmp_path, name, text)
    (exercise,) = course.assignment(TINY).exercises
    with pytest.raises(CourseError, match=complaint) as error:
        read_answers(path.parent, exercise)
    assert str(path) in str(error.value)


def test_too_few_answers_are_a_problem(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    for name in ("right_loop", "wrong_width"):
        (tmp_path / "tests" / "answers" / TINY / "scale" / f"{name}.py").unlink()
    problems = run(course).problems
    assert "scale: 2 right answers; at least 3 are wanted" in problems
    assert "scale: 5 wrong answers; at least 6 are wanted" in problems


def test_the_command_prints_tables_and_fails_when_a_gate_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path, VALUES.format(least=1, most=1))
    monkeypatch.chdir(course.root)
    result = CliRunner().invoke(app, ["audit", TINY, "--sample", "3", "--json", "found.json"])
    assert result.exit_code == 1
    assert "FAILS: scale: accepted: wrong_no_scale" in result.stdout
    assert "3 of 6" in result.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["exercises"][0]["wrong_rejected"] == 3
    assert "| 3 of 6 |" in validity.as_markdown([found])


def test_a_fault_is_named_although_the_answers_other_gradings_went_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: object) -> object:
        raise OSError("no space left")

    course = make_course(tmp_path)
    monkeypatch.chdir(course.root)
    monkeypatch.setattr(Engine, "grade", breaks)
    result = CliRunner().invoke(app, ["audit", TINY, "--seeds", "2"])
    assert result.exit_code == 1
    assert "FAILS: scale: wrong_width could not be graded: OSError: no space left" in result.stdout


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
    ran, grade = [], Engine.grade

    def graded(*args: Any) -> Graded:
        *_, checks = args
        ran.append(set(checks["test_scale"]))
        return grade(*args)

    monkeypatch.setattr(Engine, "grade", graded)
    found = audit(engine(), course, TINY, limits=Limits(), seeds=2)
    assert found.problems == []
    one, other = {"adds_one"}, {"keeps_the_length", "divides_by_the_root"}
    assert [ran.count(names) for names in (one | other, other, one)] == [4, 6, 1]
    assert {c.name: c.alone for c in found.exercises[0].checks}["adds_one"] == ["wrong_way"]


def test_the_drop_of_the_scale_from_the_checks_of_attention_is_noticed(
    course: Course, tmp_path: Path
) -> None:
    """Key widths of one make the scale invisible; the audit has to see that."""
    for name in ("source", "nbgrader_config.py"):
        path = course.root / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    source = tmp_path / "source" / CHAPTER / "03_attention.py"
    text = source.read_text()
    weaker = text.replace(
        "[dict(d_k=8, d_v=8, t_q=6), dict(d_k=16, d_v=5, t_q=3), dict(d_k=2, d_v=9, t_q=9)]",
        "[dict(d_k=1)]",
    )
    assert weaker != text
    source.write_text(weaker)
    folder = tmp_path / "tests" / "answers" / CHAPTER / "attention"
    folder.mkdir(parents=True)
    shutil.copy(course.root / "tests/answers" / CHAPTER / "attention" / "wrong_no_scale.py", folder)
    found = audit(engine(), Course(tmp_path), CHAPTER, limits=Limits(), seeds=1, jobs=2)
    assert any(
        problem.startswith("attention: accepted: wrong_no_scale, seed 0")
        and "agrees_with_torch" in problem
        for problem in found.problems
    )


def test_the_published_figures_are_of_these_answers_and_tests(
    course: Course, assignment: Assignment
) -> None:
    """`make audit` makes both; every chapter is there, and nothing has changed since."""
    audits = []
    for name in course.chapters:
        path = course.root / "docs" / "validity" / f"{name}.json"
        audits.append(json.loads(path.read_text(encoding="utf-8")))
        chapter = course.assignment(name)
        known = {e["id"]: e["fingerprint"] for e in audits[-1]["exercises"]}
        for exercise in chapter.exercises:
            if exercise.test_id is not None:
                folder = course.root / "tests" / "answers" / name / exercise.id
                current = fingerprint(chapter, exercise, folder)
                assert known.pop(exercise.id) == current, "run `make audit`"
        assert known == {}
        assert audits[-1]["seeds"] == 5
        for exercise in audits[-1]["exercises"]:
            mutants = exercise["mutants"]
            assert mutants["tried"] + mutants["equivalent"] == mutants["made"]
        assert all(not exercise["problems"] for exercise in audits[-1]["exercises"])
    page = (course.root / "docs" / "validity.md").read_text(encoding="utf-8")
    assert page == validity.as_markdown(audits)
