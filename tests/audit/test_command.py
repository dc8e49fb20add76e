"""The command and the pages: what an author types, and what is printed and written."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import RIGHT, TINY, VALUES, WRONG, make_course
from typer.testing import CliRunner

from autograder.audit import audit as auditing
from autograder.audit import page as validity
from autograder.audit.answers import fingerprint
from autograder.audit.published import read_audit
from autograder.audit.verdict import Audit
from autograder.cli import app
from autograder.course.source import Course, CourseError


def command(course: Course, *arguments: str) -> SimpleNamespace:
    """Runs `autograder audit` in the course's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(course.root)
        result = CliRunner().invoke(app, ["audit", *arguments])
    return SimpleNamespace(code=result.exit_code, printed=result.stdout, error=result.output)


def test_a_check_on_data_that_hides_the_mistake_is_noticed_and_printed(tmp_path: Path) -> None:
    """With a width of one, every power of it is right."""
    course = make_course(tmp_path, VALUES.format(least=1, most=1))
    done = command(course, TINY, "--seeds", "2", "--mutants", "--json", "found.json")
    assert done.code == 1
    assert "FAILS: scale: accepted: wrong_no_scale, seed 0: divides_by_the_root" in done.printed
    assert "mutants rejected, less than 95%" in done.printed
    assert "3 of 6" in done.printed
    found = read_audit(tmp_path / "found.json")
    (exercise,) = found.exercises
    assert exercise.wrong_rejected == 3
    assert exercise.mutants is not None
    (survivor, *_) = [s for s in exercise.mutants.survivors if "return [value / width" in s]
    assert survivor in done.printed
    assert "| 3 of 6 |" in validity.as_markdown([asdict(found)])


def test_a_fault_is_named_although_the_answers_other_gradings_went_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*args: object) -> object:
        raise OSError("no space left")

    monkeypatch.setattr(auditing, "grade", breaks)
    done = command(make_course(tmp_path), TINY, "--seeds", "2")
    assert done.code == 1
    assert "FAILS: scale: wrong_width could not be graded: OSError: no space left" in done.printed


def test_several_chapters_are_audited_at_once_into_a_folder(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    answers = tmp_path / "tests" / "answers" / TINY / "scale"
    for name in [*list(RIGHT)[1:], *list(WRONG)[1:]]:
        (answers / f"{name}.py").unlink()
    shutil.copytree(tmp_path / "source" / TINY, tmp_path / "source" / "ch98_other")
    shutil.copytree(answers.parent, answers.parents[1] / "ch98_other")
    done = command(course, "--seeds", "1", "--json", "figures")
    assert done.code == 1  # there are too few answers
    names = ["ch98_other", TINY]
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == names
    for name in names:
        (exercise,) = read_audit(tmp_path / "figures" / f"{name}.json").exercises
        assert (exercise.right_accepted, exercise.wrong_rejected) == (1, 1)
    assert done.printed.count("FAILS: scale: 1 right answers") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--json", "one.json"], "a folder where there are several chapters"),
        ([TINY, "--exercise", "scale", "--json", "one.json"], "audits of whole chapters"),
        ([TINY, "--published", ".", "--json", "one.json"], "audits of whole chapters"),
        ([TINY, "--exercise", "scales"], "is called scales"),
        (["ch01_none"], "there is no chapter"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    course = make_course(tmp_path)
    shutil.copytree(tmp_path / "source" / TINY, tmp_path / "source" / "ch98_other")
    done = command(course, *arguments)
    assert done.code == 2
    assert complaint in " ".join(done.error.replace("│", " ").split())


def test_what_is_no_audit_is_named(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text("[]")
    with pytest.raises(CourseError, match="delete it"):
        read_audit(tmp_path / "found.json")


def test_only_exercises_that_differ_from_the_published_figures_are_audited(
    good: tuple[Course, Audit], tmp_path: Path
) -> None:
    """Here, outside git, all are; without figures, too."""
    course = make_course(tmp_path)
    arguments = [TINY, "--exercise", "scale", "--seeds", "1", "--published", "figures"]
    first = command(course, *arguments)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / f"{TINY}.json").write_text(json.dumps(asdict(good[1])))
    second = command(course, *arguments)
    assert (first.code, second.code) == (0, 0)
    assert "1 of 1 exercises are audited" in first.printed
    assert f"no figures are published: {TINY}/scale" in first.printed
    assert f"not in git: {TINY}/scale" in second.printed
    assert "6 of 6" in second.printed


def test_the_page_names_the_environments_if_there_are_several(good: tuple[Course, Audit]) -> None:
    one, other = asdict(good[1]), asdict(good[1])
    assert "environment" not in validity.as_markdown([one, other])
    other["exercises"][0] |= {"environment": "another", "title": "9.2 Something"}
    page = validity.as_markdown([one, other])
    assert "The figures are of several environments." in page
    assert "* `another`: 9.2 Something\n" in page


def test_the_published_figures_are_of_these_answers_and_tests(course: Course) -> None:
    """`make audit` makes both; every chapter is there, and nothing has changed since.

    The engine and the packages may have: then `make test` tries some answers to each exercise.
    """
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
