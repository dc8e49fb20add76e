"""The code of demonstrations is folded, in what students get and in what people read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from tiny import TINY, make_course

from autograder.course import build
from autograder.course.source import Course

DEMOS = """
# %% tags=["demo"]
plain = [1, 2]
plain[0]

# %% tags=["demo", "raises-exception"]
needs_an_answer = scale([3.0], 4)
needs_an_answer

# %% tags=["demo", "shown"]
worth_reading = 3
worth_reading
"""
FOLDED = {"plain", "needs_an_answer"}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    made = make_course(tmp_path_factory.mktemp("folding"))
    (path,) = made.assignment(TINY).sections
    path.write_text(path.read_text() + DEMOS)
    build.build(made, TINY, log=lambda _: None)
    return made


def code_cells(path: Path) -> list[NotebookNode]:
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def folded(cell: NotebookNode) -> bool:
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
    assert hidden == ("hide-input" in cell.metadata.get("tags", []))
    return bool(hidden)


@pytest.mark.parametrize("path", [f"release/{TINY}/tiny.ipynb", "notebooks/99_tiny.ipynb"])
def test_demonstrations_are_folded_unless_their_code_teaches(course: Course, path: str) -> None:
    cells = code_cells(course.root / path)
    assert len([cell for cell in cells if not cell.source.startswith("%")]) == 6
    assert {cell.source.split()[0] for cell in cells if folded(cell)} == FOLDED


def test_a_folded_cell_is_run_when_built_and_compared_by_nbval(course: Course) -> None:
    path = course.root / "notebooks" / "99_tiny.ipynb"
    results = [cell.outputs[0].data["text/plain"] for cell in code_cells(path)[-3:]]
    assert results == ["1", "[1.5]", "3"]
    notebook = nbformat.read(path, as_version=4)
    next(c for c in notebook.cells if folded(c)).outputs[0].data["text/plain"] = "2"
    spoiled = path.with_stem("spoiled")
    nbformat.write(notebook, spoiled)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    ran = subprocess.run(
        [*command, "--nbval-current-env", str(spoiled)],
        cwd=course.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed, 5 passed" in ran.stdout


def test_solved_notebooks_that_are_not_folded_are_stale(course: Course) -> None:
    path = course.root / "notebooks" / "99_tiny.ipynb"
    before = path.read_text()
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("jupyter", None)
    nbformat.write(notebook, path)
    stale = build.check(course, TINY)
    path.write_text(before)
    assert [line.split()[0] for line in stale] == ["notebooks/99_tiny.ipynb"]
