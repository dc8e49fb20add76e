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
from autograder.words import sentence


def ids(notebook: NotebookNode) -> list[str]:
    return [identifier for cell in notebook.cells if (identifier := grade_id(cell))]


def cell_of(notebook: NotebookNode, identifier: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if grade_id(cell) == identifier)


@pytest.fixture
def repaired(assignment: Assignment) -> Callable[[NotebookNode], tuple[NotebookNode, list[str]]]:
    """Sends a notebook through its file's bytes, as a submission comes, and repairs it."""

    def run(notebook: NotebookNode) -> tuple[NotebookNode, list[str]]:
        submission = Submission("student", as_bytes(notebook))
        made, notes = repair(assignment, parse(submission, assignment))
        return made, [sentence(note) for note in notes]

    return run


def test_an_untouched_release_needs_no_repair(assignment: Assignment, repaired: Callable) -> None:
    notebook, notes = repaired(release())
    assert notes == []
    assert ids(notebook) == ids(assignment.assigned)
    for cell in notebook.cells:
        if identifier := grade_id(cell):
            assert cell.source == cell_of(assignment.assigned, identifier).source


def test_deleted_test_cells_come_back_with_their_hidden_tests(repaired: Callable) -> None:
    submitted = release()
    submitted.cells = [c for c in submitted.cells if grade_id(c) != "test_attention"]
    notebook, notes = repaired(submitted)
    assert notes == ["test_attention: this locked cell was missing and was put back"]
    assert "### BEGIN HIDDEN TESTS" in cell_of(notebook, "test_attention").source


def test_a_deleted_exercise_counts_as_not_attempted(repaired: Callable) -> None:
    submitted = release()
    submitted.cells = [c for c in submitted.cells if grade_id(c) != "budget"]
    notebook, notes = repaired(submitted)
    assert notes == ["budget: the exercise's cell was missing; it counts as not attempted"]
    assert "raise NotImplementedError" in cell_of(notebook, "budget").source


def test_edited_locked_cells_are_put_back(assignment: Assignment, repaired: Callable) -> None:
    submitted = release()
    cell_of(submitted, "test_budget").source = "check = 1\n9.0"
    cell_of(submitted, "test_budget").metadata.nbgrader.points = 90
    cell_of(submitted, "setup").source += "\nimport os"
    notebook, notes = repaired(submitted)
    assert notes == [
        "setup: this locked cell was edited and was put back",
        "test_budget: this locked cell was edited and was put back",
    ]
    for name in ("setup", "test_budget"):
        assert cell_of(notebook, name) == {**cell_of(assignment.assigned, name)}


def test_moved_cells_are_put_in_order(repaired: Callable) -> None:
    submitted = release()
    submitted.cells.reverse()
    notebook, notes = repaired(submitted)
    assert ids(notebook) == ids(release())
    assert [note for note in notes if "order" in note] == [
        f"{ids(release())[-1]}: cells were put back into the chapter's order"
    ]


def test_a_second_copy_of_an_exercise_still_runs_before_its_test(repaired: Callable) -> None:
    """JupyterLab copies nbgrader's metadata along; parts of the answer may be in the copy."""
    submitted = release()
    index = submitted.cells.index(cell_of(submitted, "budget"))
    copy = nbformat.from_dict(cell_of(submitted, "budget"))
    copy.source, copy.id = "def parameter_count(config): return 1", "copied"
    submitted.cells[index].source = "def weight_bytes(config, bits): return 1"
    submitted.cells.insert(index + 1, copy)
    notebook, notes = repaired(submitted)
    assert notes == ["budget: a second copy was kept as an ordinary cell"]
    sources = [cell.source for cell in notebook.cells]
    assert sources.index(copy.source) == sources.index(cell_of(notebook, "test_budget").source) - 1


def test_of_two_copies_the_one_that_was_filled_in_counts(repaired: Callable) -> None:
    submitted = release()
    index = submitted.cells.index(cell_of(submitted, "claims_answer"))
    copy = nbformat.from_dict(cell_of(submitted, "claims_answer"))
    copy.source, copy.id = "**Claim 1:** no.", "copied"
    submitted.cells.insert(index + 1, copy)
    notebook, notes = repaired(submitted)
    assert notes == ["claims_answer: of two copies, the one that was filled in counts"]
    assert cell_of(notebook, "claims_answer").source == "**Claim 1:** no."


def test_an_answer_written_in_a_new_cell_is_not_overwritten_by_the_stub(
    repaired: Callable,
) -> None:
    submitted = release()
    index = submitted.cells.index(cell_of(submitted, "budget"))
    submitted.cells[index] = new_code_cell("def parameter_count(config): return 1")
    notebook, _ = repaired(submitted)
    sources = [cell.source for cell in notebook.cells]
    stub = sources.index(cell_of(notebook, "budget").source)
    test = sources.index(cell_of(notebook, "test_budget").source)
    assert stub < sources.index("def parameter_count(config): return 1") < test


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
    spoil: Callable[[dict], None], assignment: Assignment
) -> None:
    content = json.loads(as_bytes(release()))
    spoil(content)
    data = json.dumps(content).encode()
    notebook, notes = repair(assignment, parse(Submission("student", data), assignment))
    assert notes == []
    assert ids(notebook) == ids(assignment.assigned)


def test_a_copied_test_cell_is_removed(repaired: Callable) -> None:
    submitted = release()
    submitted.cells.append(nbformat.from_dict(cell_of(submitted, "test_budget")))
    notebook, notes = repaired(submitted)
    assert ids(notebook).count("test_budget") == 1
    assert "test_budget: a copy of this locked cell was removed" in notes


def test_added_cells_keep_their_place_but_not_their_metadata(repaired: Callable) -> None:
    submitted = release()
    index = submitted.cells.index(cell_of(submitted, "budget"))
    tagged = new_code_cell("helper = 1", metadata={"tags": ["skip-execution", "demo"]})
    submitted.cells.insert(index, tagged)
    cell_of(submitted, "budget").metadata["tags"] = ["skip-execution"]
    notebook, notes = repaired(submitted)
    assert notes == []
    position = [cell.source for cell in notebook.cells].index("helper = 1")
    assert notebook.cells[position].metadata == {}
    assert grade_id(notebook.cells[position + 1]) == "budget"
    assert "tags" not in cell_of(notebook, "budget").metadata


def test_demonstrations_are_not_run_but_a_changed_one_is(repaired: Callable) -> None:
    submitted = release()
    demos = [cell for cell in submitted.cells if "demo" in cell.metadata.get("tags", [])]
    demos[0].source = "mine = 1"
    notebook, _ = repaired(submitted)
    sources = {cell.source for cell in notebook.cells if cell.cell_type == "code"}
    assert "mine = 1" in sources
    assert not sources & {cell.source for cell in demos[1:]}


def test_an_exercise_turned_into_text_becomes_code_again(repaired: Callable) -> None:
    submitted = release()
    index = submitted.cells.index(cell_of(submitted, "budget"))
    metadata = submitted.cells[index].metadata
    submitted.cells[index] = new_markdown_cell("answer = 1", metadata=metadata)
    notebook, notes = repaired(submitted)
    assert notes == ["budget: the cell's type was changed back to code"]
    cell = cell_of(notebook, "budget")
    assert (cell.cell_type, cell.source) == ("code", "answer = 1")


def test_cells_without_ids_are_accepted(repaired: Callable) -> None:
    """Notebooks written by older programs have format 4.4, without cell ids."""
    submitted = release()
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
        (as_bytes(release())[:5000], "ends in the middle"),
        (as_bytes(release())[:-3], "ends in the middle"),
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
    data: bytes, reason: str, assignment: Assignment
) -> None:
    with pytest.raises(Rejected, match=reason):
        parse(Submission("student", data), assignment)


@pytest.mark.parametrize("value", [None, 7, [], {"grade_id": 3}, {"grade_id": ["setup"]}])
def test_nonsense_in_the_metadata_is_survived(value: object, repaired: Callable) -> None:
    submitted = release()
    content = json.loads(as_bytes(submitted))
    content["cells"][4]["metadata"]["nbgrader"] = value
    notebook = nbformat.from_dict(content)
    for cell in notebook.cells:
        cell.source = "".join(cell.source)
    assert ids(repaired(notebook)[0]) == ids(release())
