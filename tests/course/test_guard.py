"""What a learner has typed is never erased, wherever it was typed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from tiny import TINY, make_course
from typer.testing import CliRunner

from autograder.cli import app
from autograder.course import build
from autograder.course.cells import grade_id
from autograder.course.guard import refuse_to_erase, typed_in
from autograder.course.source import Course, CourseError
from autograder.study import work

RELEASE, OWN = Path("release", TINY, "tiny.ipynb"), Path("work", TINY, "tiny.ipynb")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Course:
    made = make_course(tmp_path_factory.mktemp("course"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "execute", lambda notebook, _: notebook)
        build.build(made, TINY, log=lambda _: None)
    return made


@pytest.fixture
def tiny(built: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A course with its release; solved notebooks are not executed here."""
    monkeypatch.setattr(build, "execute", lambda notebook, _: notebook)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    return Course(tmp_path)


def commit_all() -> None:
    git("init")
    git("add", ".")
    git("commit", "-m", "a course")


def git(*arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], check=True, capture_output=True)


def edit_source(course: Course, old: str, new: str) -> None:
    (path,) = course.assignment(TINY).sections
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def change(path: Path, how: Callable[[NotebookNode], object]) -> bytes:
    """Changes the notebook as JupyterLab would, and returns its bytes."""
    notebook = nbformat.read(path, as_version=4)
    how(notebook)
    nbformat.write(notebook, path)
    return path.read_bytes()


def answer(notebook: NotebookNode) -> None:
    (cell,) = (cell for cell in notebook.cells if grade_id(cell) == "scale")
    cell.source = "def scale(values, width):\n    return values"


def answer_in_a_new_cell(notebook: NotebookNode) -> None:
    notebook.cells.append(nbformat.v4.new_code_cell("mine = 1"))


def answer_in_the_text(notebook: NotebookNode) -> None:
    notebook.cells[0].source += "\n\nI do not see why."


@pytest.mark.parametrize("typed", [answer, answer_in_a_new_cell, answer_in_the_text])
def test_what_was_typed_is_found(tiny: Course, typed: Callable[[NotebookNode], None]) -> None:
    assert typed_in(RELEASE) == []
    change(RELEASE, typed)
    assert len(typed_in(RELEASE)) == 1


def test_a_build_refuses_to_erase_answers_and_its_advice_works(tiny: Course) -> None:
    commit_all()
    theirs = change(RELEASE, answer)
    result = CliRunner().invoke(app, ["build"], env={"COLUMNS": "1000"})
    assert result.exit_code == 2
    assert RELEASE.read_bytes() == theirs
    (advice,) = (line for line in result.output.splitlines() if "&& mv" in line)
    assert f"{RELEASE} was not replaced: somebody's answers seem to be in it (scale)" in advice
    subprocess.run(advice[advice.index("mkdir") :].strip(" │"), shell=True, check=True)
    assert CliRunner().invoke(app, ["build"]).exit_code == 0
    assert OWN.read_bytes() == theirs
    assert typed_in(RELEASE) == []


def test_a_build_refuses_outside_git_too(tiny: Course) -> None:
    theirs = change(RELEASE, answer)
    assert CliRunner().invoke(app, ["build"]).exit_code == 2
    assert RELEASE.read_bytes() == theirs


def test_an_author_builds_again_and_again(tiny: Course) -> None:
    """What an earlier build wrote is replaced, though git does not have it, and run or not."""
    git("init")
    change(RELEASE, lambda notebook: notebook.cells[1].update(execution_count=1))
    edit_source(tiny, "# # Tiny", "# # Small")
    edit_source(tiny, "def scale(values, width)", "def scale(values, width=1)")
    build.build(tiny, TINY, log=lambda _: None)
    assert "# Small" in RELEASE.read_text()


def test_what_git_has_may_be_replaced(tiny: Course) -> None:
    change(RELEASE, answer)
    with pytest.raises(CourseError, match="was not replaced"):
        refuse_to_erase(tiny.root, tiny.root / RELEASE, "new")
    commit_all()
    refuse_to_erase(tiny.root, tiny.root / RELEASE, "new")


def test_a_release_that_cannot_be_read_is_not_replaced(tiny: Course) -> None:
    RELEASE.write_text(RELEASE.read_text()[:-20])
    with pytest.raises(CourseError, match="cannot be read"):
        refuse_to_erase(tiny.root, tiny.root / RELEASE, "new")


def test_the_advice_never_leads_to_a_file_that_exists(tiny: Course) -> None:
    work.bring(tiny.root, log=lambda _: None)
    change(RELEASE, answer)
    with pytest.raises(CourseError, match=f"mv {RELEASE} {OWN.with_stem('tiny_2')}"):
        refuse_to_erase(tiny.root, tiny.root / RELEASE, "new")
