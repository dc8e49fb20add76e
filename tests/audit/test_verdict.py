"""The verdict: does the audit notice weak tests, and does it stay quiet about good ones?"""

from __future__ import annotations

import shutil
from pathlib import Path

from engines import engine
from sample_class import CHAPTER
from tiny import GOOD, RIGHT, TINY, VALUES, make_course, write_answer
from tiny_audit import audit

from autograder.audit.answers import collections, environment
from autograder.audit.audit import Auditing, Target
from autograder.audit.verdict import Audit
from autograder.course.source import Course
from autograder.engine.options import Limits


def test_good_tests_pass_every_gate(good: tuple[Course, Audit]) -> None:
    _, found = good
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


def test_a_check_that_needs_luck_is_noticed(tmp_path: Path) -> None:
    found = audit(
        make_course(tmp_path, VALUES.format(least=1, most=2)), seeds=3, answers=["wrong_no_scale"]
    )
    assert any(problem.startswith("scale: accepted: wrong_no_scale") for problem in found.problems)
    assert "wrong_no_scale: divides_by_the_root" in found.exercises[0].flaky


def test_a_check_that_rejects_right_answers_is_noticed(tmp_path: Path) -> None:
    values = GOOD.replace("abs(result - value / width**0.5) < 1e-9", "result == value / width**0.5")
    found = audit(make_course(tmp_path, values), seeds=3, answers=RIGHT)
    assert found.exercises[0].right_accepted < 3
    assert any(p.startswith("scale: rejected: right_loop, seed ") for p in found.problems)


def test_a_check_that_checks_nothing_is_noticed(tmp_path: Path) -> None:
    problems = audit(make_course(tmp_path, "    scale")).problems
    assert "scale: divides_by_the_root passes on the untouched cell" in problems
    assert "scale: divides_by_the_root rejects no wrong answer" in problems


def test_a_function_whose_visible_checks_tell_nothing_is_noticed(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    for path in (tmp_path / "tests" / "answers" / TINY / "scale").glob("wrong_*.py"):
        if "keeps_the_length" in path.read_text():
            path.unlink()
    problems = audit(course).problems
    assert "scale: scale: no visible check of it rejects a wrong answer" in problems


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
    (exercise,) = audit(course, seeds=3, answers=[*RIGHT, "right_but_not_in_64_bits"]).exercises
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
    problems = audit(course, mutants=1, answers=[]).problems
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
    problems = audit(course, mutants=1, answers=[]).problems
    assert any("names 2 mutants, not one" in problem for problem in problems)


def test_a_solution_without_markers_has_no_mutants(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    source.write_text(source.read_text().replace(" SOLUTION", "  SOLUTION"))
    problems = audit(course, mutants=1, answers=[]).problems
    assert "scale: no mutants: has the solution its markers?" in problems


def test_what_was_stopped_or_not_written_is_not_called_rejected(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    fails = "# Wrong: it is\n# Fails: divides_by_the_root\n"
    unwritten = "def scale(values, width):\n    raise NotImplementedError\n"
    write_answer(tmp_path, "wrong_unwritten", fails + unwritten)
    write_answer(tmp_path, "wrong_typo", f"{fails}def scale(values, width)\n    return 1\n")
    death = "def scale(values, width):\n    import os\n    os._exit(1)\n"
    write_answer(tmp_path, "wrong_death", fails + death)
    names = ["wrong_unwritten", "wrong_typo", "wrong_death"]
    found = audit(course, seeds=2, answers=names)
    assert found.exercises[0].wrong_rejected == 0
    for complaint in (
        "scale: wrong_typo: its cell does not run",
        "scale: accepted: wrong_unwritten, seed 0: divides_by_the_root not attempted",
        "scale: accepted: wrong_death, seed 0: divides_by_the_root kernel died",
        "scale: accepted: wrong_death, seed 1: divides_by_the_root kernel died",
    ):
        assert complaint in found.problems


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
    (exercise,) = audit(course, seeds=3, answers=["wrong_in_place"]).exercises
    complaints = [p for p in exercise.problems if "wrong_in_place" in p]
    assert complaints == ["accepted: wrong_in_place, seed 0: divides_by_the_root passed"]
    assert "wrong_in_place: divides_by_the_root" in exercise.flaky


def test_too_few_answers_are_a_problem(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    for name in ("right_loop", "wrong_width"):
        (tmp_path / "tests" / "answers" / TINY / "scale" / f"{name}.py").unlink()
    problems = audit(course).problems
    assert "scale: 2 right answers; at least 3 are wanted" in problems
    assert "scale: 5 wrong answers; at least 6 are wanted" in problems


def test_of_a_part_of_the_answers_no_number_is_wanted(tmp_path: Path) -> None:
    found = audit(make_course(tmp_path), answers=["right_map", "wrong_width", "wrong_empty"])
    (exercise,) = found.exercises
    assert found.problems == []
    assert (exercise.right_accepted, exercise.right) == (1, 1)
    assert (exercise.wrong_rejected, exercise.wrong) == (2, 2)


def test_the_drop_of_the_scale_from_the_checks_of_attention_is_noticed(
    course: Course, tmp_path: Path
) -> None:
    """Key widths of one make the scale invisible; the audit has to see that."""
    for name in ("source", "nbgrader_config.py"):
        path = course.root / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    source = tmp_path / "source" / CHAPTER / "02_attention.py"
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
    weak = Course(tmp_path)
    (attention,) = collections(weak, [CHAPTER], ["attention"])
    auditing = Auditing(engine(), [Target(attention)], Limits(), environment(weak), seeds=1)
    list(auditing.run(2))
    found = auditing.audits[CHAPTER]
    assert any(
        problem.startswith("attention: accepted: wrong_no_scale, seed 0")
        and "agrees_with_torch" in problem
        for problem in found.problems
    )
