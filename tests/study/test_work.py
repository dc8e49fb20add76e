"""work/ is the learner's: copies come, new releases come, and what they typed stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from sample_class import ROOT

from autograder.course.build import to_json
from autograder.study import work

CELLS = {"cell-1": "# One", "sum": "raise NotImplementedError", "test_sum": "assert sum"}
Log = list[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course with one chapter, released and solved."""
    release(tmp_path, CELLS)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_one.ipynb").write_text(as_text(CELLS | {"sum": "solved"}))
    return tmp_path


def as_text(cells: dict[str, str]) -> str:
    notebook = nbformat.v4.new_notebook()
    for key, text in cells.items():
        make = nbformat.v4.new_markdown_cell if "cell" in key else nbformat.v4.new_code_cell
        notebook.cells.append(make(text, id=key))
    return to_json(notebook)


def release(root: Path, cells: dict[str, str]) -> None:
    path = root / "release" / "ch01_one" / "one.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_text(cells))


def bring(root: Path) -> Log:
    said: Log = []
    work.bring(root, said.append)
    return said


def type_in(path: Path, identifier: str, text: str) -> None:
    """As JupyterLab would."""
    notebook = nbformat.read(path, as_version=4)
    cell(notebook, identifier).source = text
    nbformat.write(notebook, path)


def cell(notebook: NotebookNode, identifier: str) -> NotebookNode:
    (found,) = (cell for cell in notebook.cells if cell.id == identifier)
    return found


def texts(root: Path) -> list[str]:
    notebook = nbformat.read(root / "work/ch01_one/one.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells]


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.glob("work/**/*")
        if path.is_file()
    }


def test_copies_come_once_with_the_guide_and_the_solved_notebooks(root: Path) -> None:
    assert bring(root) == [
        "work/ch01_one/one.ipynb is yours now, a copy of release/ch01_one/one.ipynb"
    ]
    assert texts(root) == list(CELLS.values())
    assert "tutor" in (root / "work/AGENTS.md").read_text()
    assert "solved" in (root / "work/solved/01_one.ipynb").read_text()
    before = files(root)
    assert bring(root) == []
    assert files(root) == before


def test_what_is_there_is_never_overwritten(root: Path) -> None:
    bring(root)
    type_in(root / "work/ch01_one/one.ipynb", "sum", "mine")
    before = files(root)
    assert bring(root) == []
    assert files(root) == before


def test_a_new_release_is_merged(root: Path) -> None:
    bring(root)
    type_in(root / "work/ch01_one/one.ipynb", "sum", "mine")
    release(root, CELLS | {"cell-2": "# More", "test_sum": "assert sum(1)"})
    assert bring(root) == [
        "work/ch01_one/one.ipynb has the new release now (2 cells are new); what you typed stays"
    ]
    assert texts(root) == ["# One", "mine", "assert sum(1)", "# More"]
    assert bring(root) == []


def test_where_both_have_changed_the_new_text_lies_beside_and_is_named(root: Path) -> None:
    bring(root)
    type_in(root / "work/ch01_one/one.ipynb", "sum", "mine")
    release(root, CELLS | {"sum": "raise NotImplementedError  # new"})
    conflict, _ = bring(root)
    assert "the cell 'sum' has changed" in conflict
    beside = root / "work/ch01_one/one.sum.new.py"
    assert str(beside.relative_to(root)) in conflict
    assert beside.read_text() == "raise NotImplementedError  # new\n"
    assert texts(root)[1] == "mine"
    beside.write_text("my notes")
    release(root, CELLS | {"sum": "raise NotImplementedError  # newer"})
    assert "work/ch01_one/one.sum.new_2.py" in bring(root)[0]
    assert beside.read_text() == "my notes"


def test_a_chapter_that_has_another_number_moves_with_all_that_is_in_it(root: Path) -> None:
    bring(root)
    type_in(root / "work/ch01_one/one.ipynb", "sum", "mine")
    (root / "work/ch01_one/notes.txt").write_text("notes")
    (root / "release/ch01_one").rename(root / "release/ch02_one")
    assert bring(root) == ["work/ch01_one is work/ch02_one now: the chapter has another number"]
    assert "mine" in (root / "work/ch02_one/one.ipynb").read_text()
    assert (root / "work/ch02_one/notes.txt").exists()
    assert not (root / "work/ch01_one").exists()
    assert bring(root) == []


def test_a_copy_that_cannot_be_read_stays_and_the_release_lies_beside(root: Path) -> None:
    bring(root)
    own = root / "work/ch01_one/one.ipynb"
    own.write_text(own.read_text()[:50])
    before = own.read_bytes()
    release(root, CELLS | {"cell-2": "# More"})
    (line,) = bring(root)
    assert "it cannot be read; the new release is work/ch01_one/one.new.ipynb" in line
    assert own.read_bytes() == before
    assert "# More" in (root / "work/ch01_one/one.new.ipynb").read_text()
    assert bring(root) == []


def test_a_copy_from_before_there_were_records_stays(root: Path) -> None:
    (root / "work/ch01_one").mkdir(parents=True)
    (root / "work/ch01_one/one.ipynb").write_text(as_text(CELLS | {"sum": "mine"}))
    (line,) = bring(root)
    assert "stays as it is" in line
    assert texts(root)[1] == "mine"


def test_solved_notebooks_and_the_guide_are_replaced_unless_changed(root: Path) -> None:
    bring(root)
    newer = as_text(CELLS | {"sum": "solved better"})
    (root / "notebooks/01_one.ipynb").write_text(newer)
    assert bring(root) == []
    assert (root / "work/solved/01_one.ipynb").read_text() == newer
    type_in(root / "work/solved/01_one.ipynb", "sum", "tried something")
    (root / "work/AGENTS.md").write_text("Speak German with me.")
    before = files(root)
    (root / "notebooks/01_one.ipynb").write_text(as_text(CELLS | {"sum": "solved best"}))
    assert bring(root) == ["work/solved/01_one.ipynb stays as it is, since you have changed it"]
    assert files(root) == before


@pytest.mark.parametrize("steps", range(4))
def test_a_run_that_is_stopped_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """A merge that is stopped before any of its writes is finished by the next run."""
    bring(root)
    type_in(root / "work/ch01_one/one.ipynb", "sum", "mine")
    release(root, CELLS | {"sum": "new", "cell-2": "# More", "test_sum": "assert sum(1)"})
    with monkeypatch.context() as patch:
        patch.setattr(work, "write_whole", stopping(work.write_whole, steps))
        if steps < 3:
            with pytest.raises(KeyboardInterrupt):
                bring(root)
        else:
            bring(root)
    bring(root)
    assert texts(root) == ["# One", "mine", "assert sum(1)", "# More"]
    beside = [name for name in files(root) if "new" in name]
    assert beside == ["work/ch01_one/one.sum.new.py"]


def test_make_lab_studies_and_git_ignores_what_is_the_learner_s() -> None:
    # A make that runs the tests would have this one say more than its commands.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    made = subprocess.run(
        ["make", "-n", "lab"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert made.stdout.splitlines()[-1].endswith("/autograder study")
    assert "/work/" in (ROOT / ".gitignore").read_text().splitlines()


def stopping(write: Callable[[Path, str], None], steps: int) -> Callable[[Path, str], None]:
    left = iter(range(steps))

    def some(path: Path, text: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(path, text)

    return some
