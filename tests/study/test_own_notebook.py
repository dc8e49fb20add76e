"""`autograder check NOTEBOOK`: a learner's own notebook, graded as a class's are."""

from __future__ import annotations

import json
from pathlib import Path

import command
import nbformat
import pytest
import tiny
from sample_class import ROOT, fill
from studying import RIGHT, WRONG, make_course

from autograder.course.build import make_solved
from autograder.course.source import COMMANDS, Course
from autograder.engine.fork import ForkServer
from autograder.engine.submission import repair
from autograder.study.progress import Progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's folder, with a notebook of which one exercise is solved."""
    work = make_course(tmp_path)
    monkeypatch.chdir(tmp_path)
    release = tiny.release(Course(tmp_path).assignment(tiny.TINY))
    nbformat.write(fill({"scale": WRONG}, release), work / "tiny.ipynb")
    nbformat.write(fill({"scale": RIGHT}, release), work / "my copy.ipynb")
    return work


def test_the_whole_notebook_is_graded_and_progress_kept(folder: Path) -> None:
    out = folder / "out.json"
    code, said = command.run("check", folder / "tiny.ipynb", "--json", out)
    assert code == 0
    assert "9.1 Scale" in said and "9.2 Twice" in said
    assert "Every value is divided by the root of the width. (hidden)" in said
    assert said.count("not attempted") == 1
    assert "not attempted: 9.2 Twice" in said
    assert "tiny.ipynb from its first cell on" in said  # at once, and then how far it is
    assert "exercises: 2 of 2" in said
    assert "1 of 4 points" in said
    assert json.loads(out.read_text())["score"] == 1
    kept = Progress(folder.parent / "progress.sqlite")
    assert kept.standing(tiny.TINY, "scale").best == 1
    assert kept.standing(tiny.TINY, "twice").attempts == 0
    code, said = command.run("check", folder / "my copy.ipynb")
    assert (code, "3 of 4 points" in said) == (0, True)
    assert kept.standing(tiny.TINY, "scale").solved


def test_an_untouched_exercise_is_no_attempt_whatever_its_checks_say(folder: Path) -> None:
    (section,) = folder.parent.parent.glob("source/*/*.py")
    catches = "    try:\n        twice(4)\n    except Exception:\n        fail('It raises.')\n"
    text = section.read_text()
    section.write_text(text.replace("    assert twice(4) == 8\n", catches))
    out = folder / "out.json"
    _, said = command.run("check", folder / "tiny.ipynb", "--json", out)
    _, twice = json.loads(out.read_text())["exercises"]
    assert [check["outcome"] for check in twice["checks"]] == ["failed"]
    assert "not attempted: 9.2 Twice" in said
    assert "It raises." not in said
    kept = Progress(folder.parent / "progress.sqlite")
    assert kept.standing(tiny.TINY, "twice").attempts == 0


def test_a_file_that_is_no_notebook_is_refused_with_the_reason(folder: Path) -> None:
    code, said = command.run("check", folder / "missing.ipynb")
    assert (code, "there is no file" in said) == (2, True)
    (folder / "tiny.ipynb").write_text("{")
    code, said = command.run("check", folder / "tiny.ipynb")
    assert (code, "JSON" in said) == (1, True)


def test_a_grader_that_does_not_answer_is_a_sentence_and_no_attempt(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise ConnectionError("the fork server does not answer: I0000 oneDNN is on.")

    monkeypatch.setattr(ForkServer, "fork", busy)
    code, said = command.run("check", folder / "tiny.ipynb")
    assert not caplog.records  # jupyter_client would show the traceback
    assert code == 1
    assert "tiny.ipynb could not be graded: the fork server does not answer. It is not" in said
    assert "oneDNN" not in said
    kept = Progress(folder.parent / "progress.sqlite")
    assert kept.standing(tiny.TINY, "scale").attempts == 0


@pytest.mark.parametrize("path", sorted(ROOT.glob("release/*/*.ipynb")), ids=lambda p: p.stem)
def test_every_release_loads_the_commands_once(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.metadata.tags for cell in cells if cell.source == COMMANDS] == [["demo", "shown"]]


def test_grading_leaves_the_commands_out_and_solved_notebooks_do_without(folder: Path) -> None:
    assignment = Course(folder.parent.parent).assignment(tiny.TINY)
    submitted = tiny.release(assignment)
    assert COMMANDS in {cell.source for cell in submitted.cells}
    repaired, notes = repair(assignment, submitted)
    assert notes == []
    for notebook in (repaired, make_solved(assignment)):
        assert not any("load_ext" in cell.source for cell in notebook.cells)
