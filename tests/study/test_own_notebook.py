"""`autograder check NOTEBOOK`: a learner's own notebook, graded as a class's are."""

from __future__ import annotations

import json
from pathlib import Path

import command
import nbformat
import pytest
import tiny
from sample_class import fill
from studying import RIGHT, WRONG, make_course

from autograder.course.source import Course
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
    assert "not attempted" in said
    assert "1 of 4 points" in said
    assert json.loads(out.read_text())["score"] == 1
    kept = Progress(folder.parent / "progress.sqlite")
    assert kept.standing(tiny.TINY, "scale").best == 1
    assert kept.standing(tiny.TINY, "twice").attempts == 0
    code, said = command.run("check", folder / "my copy.ipynb")
    assert (code, "3 of 4 points" in said) == (0, True)
    assert kept.standing(tiny.TINY, "scale").solved


def test_a_file_that_is_no_notebook_is_refused_with_the_reason(folder: Path) -> None:
    code, said = command.run("check", folder / "missing.ipynb")
    assert (code, "there is no file" in said) == (2, True)
    (folder / "tiny.ipynb").write_text("{")
    code, said = command.run("check", folder / "tiny.ipynb")
    assert (code, "JSON" in said) == (1, True)
