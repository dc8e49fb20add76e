"""What students hand in: repaired against the assignment, or rejected with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from sample_class import as_bytes, release

from autograder.course.source import Assignment, grade_id
from autograder.engine.submission import MAX_BYTES, Rejected, Submission, parse, repair


def ids(notebook: NotebookNode) -> list[str]:
    return [identifier for cell in notebook.cells if (identifier := grade_id(cell))]


def cell_of(notebook: NotebookNode, identifier: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if grade_id(cell) == identifier)


@pytest.fixture
def submitted(filled: Callable[[dict[str, str]], NotebookNode]) -> NotebookNode:
    """The small course's release, for a test to change."""
    return filled({})


@pytest.fixture
def repaired(tiny_chapter: Assignment) -> Callable[[NotebookNode], tuple[NotebookNode, list[str]]]:
    """Sends a notebook through its file's bytes, as a submission comes, and repairs it."""
    return lambda notebook: repair(
        tiny_chapter, parse(Submission("student", as_bytes(notebook)), tiny_chapter)
    )


def test_an_untouched_release_needs_no_repair(assignment: Assignment) -> None:
    """The real chapter's, as it is committed."""
    submission = Submission("student", as_bytes(release()))
    notebook, notes = repair(assignment, parse(submission, assignment))
    assert notes == []
    assert ids(notebook) == ids(assignment.assigned)
    for cell in notebook.cells:
        if identifier := grade_id(cell):
            assert cell.source == cell_of(assignment.assigned, identifier).source


def test_deleted_test_cells_come_back_with_their_hidden_tests(
    submitted: NotebookNode, repaired: Callable
) -> None:
    submitted.cells = [c for c in submitted.cells if grade_id(c) != "test_scale"]
    notebook, notes = repaired(submitted)
    assert notes == ["test_scale: this locked cell was missing and was put back"]
    assert "### BEGIN HIDDEN TESTS" in cell_of(notebook, "test_scale").source


def test_a_deleted_exercise_counts_as_not_attempted(
    submitted: NotebookNode, repaired: Callable
) -> None:
    submitted.cells = [c for c in submitted.cells if grade_id(c) != "statistics"]
    notebook, notes = repaired(submitted)
    assert notes == ["statistics: the exercise's cell was missing; it counts as not attempted"]
    assert "raise NotImplementedError" in cell_of(notebook, "statistics").source


def test_edited_locked_cells_are_put_back(
    tiny_chapter: Assignment, submitted: NotebookNode, repaired: Callable
) -> None:
    cell_of(submitted, "test_statistics").source = "check = 1\n9.0"
    cell_of(submitted, "test_statistics").metadata.nbgrader.points = 90
    cell_of(submitted, "setup").source += "\nimport os"
    notebook, notes = repaired(submitted)
    assert notes == [
        "setup: this locked cell was edited and was put back",
        "test_statistics: this locked cell was edited and was put back",
    ]
    for name in ("setup", "test_statistics"):
        assert cell_of(notebook, name) == {**cell_of(tiny_chapter.assigned, name)}


def test_moved_cells_are_put_in_order(submitted: NotebookNode, repaired: Callable) -> None:
    submitted.cells.reverse()
    notebook, notes = repaired(submitted)
    assert ids(notebook) == ids(submitted)[::-1]
    assert [note for note in notes if "order" in note] == [
        "reasons: cells were put back into the chapter's order"
    ]


def test_a_second_copy_of_an_exercise_still_runs_before_its_test(
    submitted: NotebookNode, repaired: Callable
) -> None:
    """JupyterLab copies nbgrader's metadata along; parts of the answer may be in the copy."""
    index = submitted.cells.index(cell_of(submitted, "statistics"))
    copy = nbformat.from_dict(cell_of(submitted, "statistics"))
    copy.source, copy.id = "def mean(values): return 1", "copied"
    submitted.cells[index].source = "def spread(values): return 1"
    submitted.cells.insert(index + 1, copy)
    notebook, notes = repaired(submitted)
    assert notes == ["statistics: a second copy was kept as an ordinary cell"]
    sources = [cell.source for cell in notebook.cells]
    assert (
        sources.index(copy.source) == sources.index(cell_of(notebook, "test_statistics").source) - 1
    )


def test_of_two_copies_the_one_that_was_filled_in_counts(
    submitted: NotebookNode, repaired: Callable
) -> None:
    index = submitted.cells.index(cell_of(submitted, "reasons"))
    copy = nbformat.from_dict(cell_of(submitted, "reasons"))
    copy.source, copy.id = "Because.", "copied"
    submitted.cells.insert(index + 1, copy)
    notebook, notes = repaired(submitted)
    assert notes == ["reasons: of two copies, the one that was filled in counts"]
    assert cell_of(notebook, "reasons").source == "Because."


def test_an_answer_written_in_a_new_cell_is_not_overwritten_by_the_stub(
    submitted: NotebookNode,
    repaired: Callable,
) -> None:
    index = submitted.cells.index(cell_of(submitted, "statistics"))
    submitted.cells[index] = new_code_cell("def mean(values): return 1")
    notebook, _ = repaired(submitted)
    sources = [cell.source for cell in notebook.cells]
    stub = sources.index(cell_of(notebook, "statistics").source)
    test = sources.index(cell_of(notebook, "test_statistics").source)
    assert stub < sources.index("def mean(values): return 1") < test


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.update(nbformat_minor=4),
        lambda content: content["cells"][0].update(outputs=[], execution_count=None),
        lambda content: content["cells"][1].pop("outputs"),
        lambda content: content["cells"][1].pop("execution_count"),
        lambda content: content["cells"][1].update(outputs=[{"output_type": "stream"}]),
    ],
    ids=["ids in 4.4", "outputs on text", "no outputs", "no count", "odd stream"],
)
def test_odd_notebooks_that_jupyter_opens_are_accepted(
    spoil: Callable[[dict], None], submitted: NotebookNode, tiny_chapter: Assignment
) -> None:
    content = json.loads(as_bytes(submitted))
    spoil(content)
    data = json.dumps(content).encode()
    notebook, notes = repair(tiny_chapter, parse(Submission("student", data), tiny_chapter))
    assert notes == []
    assert ids(notebook) == ids(tiny_chapter.assigned)


def test_a_copied_test_cell_is_removed(submitted: NotebookNode, repaired: Callable) -> None:
    submitted.cells.append(nbformat.from_dict(cell_of(submitted, "test_statistics")))
    notebook, notes = repaired(submitted)
    assert ids(notebook).count("test_statistics") == 1
    assert "test_statistics: a copy of this locked cell was removed" in notes


def test_added_cells_keep_their_place_but_not_their_metadata(
    submitted: NotebookNode, repaired: Callable
) -> None:
    index = submitted.cells.index(cell_of(submitted, "statistics"))
    tagged = new_code_cell("helper = 1", metadata={"tags": ["skip-execution", "demo"]})
    submitted.cells.insert(index, tagged)
    cell_of(submitted, "statistics").metadata["tags"] = ["skip-execution"]
    notebook, notes = repaired(submitted)
    assert notes == []
    position = [cell.source for cell in notebook.cells].index("helper = 1")
    assert notebook.cells[position].metadata == {}
    assert grade_id(notebook.cells[position + 1]) == "statistics"
    assert "tags" not in cell_of(notebook, "statistics").metadata


def test_demonstrations_are_not_run_but_a_changed_one_is(
    submitted: NotebookNode, repaired: Callable
) -> None:
    demos = [cell for cell in submitted.cells if "demo" in cell.metadata.get("tags", [])]
    demos[0].source = "mine = 1"
    notebook, _ = repaired(submitted)
    sources = {cell.source for cell in notebook.cells if cell.cell_type == "code"}
    assert "mine = 1" in sources
    assert not sources & {cell.source for cell in demos[1:]}


def test_an_exercise_turned_into_text_becomes_code_again(
    submitted: NotebookNode, repaired: Callable
) -> None:
    index = submitted.cells.index(cell_of(submitted, "statistics"))
    metadata = submitted.cells[index].metadata
    submitted.cells[index] = new_markdown_cell("answer = 1", metadata=metadata)
    notebook, notes = repaired(submitted)
    assert notes == ["statistics: the cell's type was changed back to code"]
    cell = cell_of(notebook, "statistics")
    assert (cell.cell_type, cell.source) == ("code", "answer = 1")


def test_cells_without_ids_are_accepted(submitted: NotebookNode, repaired: Callable) -> None:
    """Notebooks written by older programs have format 4.4, without cell ids."""
    submitted.nbformat_minor = 4
    for cell in submitted.cells:
        del cell["id"]
    _, notes = repaired(submitted)
    assert notes == []


def other_notebook() -> bytes:
    return as_bytes(nbformat.v4.new_notebook(cells=[new_code_cell("print(1)")]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "not text"),
        (b"{cells}", "is damaged"),
        (b"[1, 2]", "no cells"),
        (b'{"cells": 3}', "does not follow the format"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}', "format"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"cells": ' + b"9" * 5000 + b"}", "number that cannot be read"),
        (other_notebook(), "none of the chapter's exercise cells"),
        (b" " * (MAX_BYTES + 1), "larger than 10 MiB"),
    ],
)
def test_what_cannot_be_graded_is_rejected_with_a_reason(
    data: bytes, reason: str, tiny_chapter: Assignment
) -> None:
    with pytest.raises(Rejected, match=reason):
        parse(Submission("student", data), tiny_chapter)


@pytest.mark.parametrize("end", [5000, -3])
def test_a_file_that_broke_off_is_rejected(
    end: int, submitted: NotebookNode, tiny_chapter: Assignment
) -> None:
    with pytest.raises(Rejected, match="ends in the middle"):
        parse(Submission("student", as_bytes(submitted)[:end]), tiny_chapter)


@pytest.mark.parametrize("value", [None, 7, [], {"grade_id": 3}, {"grade_id": ["setup"]}])
def test_nonsense_in_the_metadata_is_survived(
    value: object, submitted: NotebookNode, repaired: Callable
) -> None:
    content = json.loads(as_bytes(submitted))
    content["cells"][1]["metadata"]["nbgrader"] = value
    notebook = nbformat.from_dict(content)
    for cell in notebook.cells:
        cell.source = "".join(cell.source)
    assert ids(repaired(notebook)[0]) == ids(submitted)
