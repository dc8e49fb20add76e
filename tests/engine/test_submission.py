"""What students hand in: repaired against the assignment, or rejected with a reason."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from sample_class import CHAPTER, ROOT, WRITTEN, answer, as_bytes, fill, release

from autograder.course.source import Assignment, grade_id
from autograder.engine.handed_in import (
    MAX_FILE_BYTES,
    Submission,
    find_students,
    read_submission,
)
from autograder.engine.submission import (
    MAX_BYTES,
    Rejected,
    parse,
    repair,
)
from autograder.results import Code
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
        made, notes = repair(assignment, parse(submission))
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
    notebook, notes = repair(assignment, parse(Submission("student", data)))
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
        (b" " * (MAX_BYTES + 1), "larger than 10 MiB, even without"),
        (b" " * (MAX_FILE_BYTES + 1), "larger than 64 MiB"),
        (b'{"cells": [{"outputs": [' + b"[" * MAX_BYTES, "larger than 10 MiB, even without"),
        (b'{"cells": [{"outputs": ["' + b"x" * MAX_BYTES, "ends in the middle"),
        (b'{"cells": "' + b'\\"' * MAX_BYTES, "larger than 10 MiB, even without"),
    ],
    ids=range(16),
)
def test_what_cannot_be_graded_is_rejected_with_a_reason(
    data: bytes, reason: str, assignment: Assignment
) -> None:
    with pytest.raises(Rejected, match=reason):
        repair(assignment, parse(Submission("student", data)))


@pytest.mark.parametrize("value", [None, 7, [], {"grade_id": 3}, {"grade_id": ["setup"]}])
def test_nonsense_in_the_metadata_is_survived(value: object, repaired: Callable) -> None:
    submitted = release()
    content = json.loads(as_bytes(submitted))
    content["cells"][4]["metadata"]["nbgrader"] = value
    notebook = nbformat.from_dict(content)
    for cell in notebook.cells:
        cell.source = "".join(cell.source)
    assert ids(repaired(notebook)[0]) == ids(release())


# Large files


def with_outputs(notebook: NotebookNode, text: str) -> NotebookNode:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            bundle = {"text/html": text, "application/json": {"outputs": [[text], {}]}}
            cell.outputs = [nbformat.v4.new_output("display_data", bundle)]
    return notebook


def test_a_notebook_that_is_large_because_of_its_outputs_is_read_without_them() -> None:
    tricky = 'print("outputs", {"outputs": [1, "]"]})  # "attachments": {'
    notebook = fill({"budget": tricky, "claims_answer": tricky})
    expected = parse(Submission("student", as_bytes(notebook)))
    large = as_bytes(with_outputs(notebook, '[{"\\' * 70_000))
    assert MAX_BYTES < len(large) < MAX_FILE_BYTES
    assert parse(Submission("student", large)) == expected


def test_a_large_picture_in_a_text_cell_is_dropped() -> None:
    notebook = release()
    expected = parse(Submission("student", as_bytes(notebook)))
    notebook.cells[0].attachments = {"photo.png": {"image/png": "A" * MAX_BYTES}}
    assert parse(Submission("student", as_bytes(notebook))) == expected


# Other names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a student called ada hands in."""
    made = tmp_path / "ada" / CHAPTER
    made.mkdir(parents=True)
    return made


def test_the_only_notebook_may_have_another_name(folder: Path) -> None:
    data = as_bytes(release())
    (folder / "concepts (1).ipynb").write_bytes(data)
    (folder / "._concepts (1).ipynb").write_bytes(b"of a file system that is not ours")
    (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC")
    submission = read_submission(folder.parent.parent, "ada", CHAPTER)
    assert submission.data == data
    assert [sentence(note) for note in submission.notes] == [
        "concepts (1).ipynb was handed in, the only notebook; it was taken for concepts.ipynb"
    ]
    named = Submission("ada", data)
    assert submission.sha256 != named.sha256  # the notes on them differ


def test_of_two_notebooks_with_other_names_none_is_taken(folder: Path) -> None:
    for name in ("concepts (1).ipynb", "concepts-final.ipynb"):
        (folder / name).write_bytes(as_bytes(release()))
    submission = read_submission(folder.parent.parent, "ada", CHAPTER)
    with pytest.raises(Rejected, match=r"concepts \(1\).ipynb, concepts-final.ipynb"):
        parse(submission)


def test_beside_the_right_name_others_do_not_matter(folder: Path) -> None:
    (folder / "concepts.ipynb").write_bytes(as_bytes(release()))
    (folder / "draft.ipynb").write_bytes(b"{}")
    submission = read_submission(folder.parent.parent, "ada", CHAPTER)
    assert (submission.data, submission.notes) == (as_bytes(release()), ())


@pytest.mark.parametrize("name", ["concepts.ipynb", "mine.ipynb"])
def test_a_link_is_not_followed(name: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(as_bytes(release()))
    (folder / name).symlink_to(tmp_path / "secret")
    assert read_submission(folder.parent.parent, "ada", CHAPTER).data == b""


def test_who_has_the_chapters_folder_has_handed_in(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bruno" / "ch77_other").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    assert find_students(tmp_path, CHAPTER) == ["ada"]


@pytest.mark.parametrize("strip", [False, True])
def test_another_chapters_notebook_is_rejected(strip: bool, assignment: Assignment) -> None:
    other = nbformat.read(ROOT / "release" / "ch02_overfitting" / "overfitting.ipynb", as_version=4)
    if strip:
        stripped(other)
    with pytest.raises(Rejected) as rejected:
        repair(assignment, parse(Submission("student", as_bytes(other))))
    assert rejected.value.remark.code is Code.OTHER_NOTEBOOK


# Notebooks that have lost nbgrader's metadata

ANSWERS = {
    "budget": answer("budget", "right_per_token_costs"),
    "attention": answer("attention", "right_einsum"),
    "digits_cnn": "def split_digits(\n" + answer("digits_cnn", "right_functional_api"),  # no Python
    "plan_numbers": "def plan_numbers():\n    print(80e9 / 1e12, 'TB')",
    "claims_answer": WRITTEN,
    "scenarios_answer": "None of them.",
}


def stripped(notebook: NotebookNode, ids: bool = True, share: float = 1.0) -> NotebookNode:
    """Without metadata in a share of the cells, as some editors and drives leave a notebook."""
    draw = random.Random(0)
    for number, cell in enumerate(notebook.cells):
        if draw.random() < share:
            cell.metadata = nbformat.from_dict({})
            if not ids:
                cell.id = f"new-{number}"
    return notebook


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("ids", [True, False], ids=["ids kept", "ids rewritten"])
def test_stripped_cells_are_recognised(ids: bool, share: float, repaired: Callable) -> None:
    expected, _ = repaired(fill(ANSWERS))
    notebook, notes = repaired(stripped(fill(ANSWERS), ids, share))
    graded = [cell for cell in notebook.cells if grade_id(cell)]
    assert graded == [cell for cell in expected.cells if grade_id(cell)]
    assert len(notes) == 1
    assert "had lost nbgrader's metadata" in notes[0]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert code == [cell.source for cell in expected.cells if cell.cell_type == "code"]


def test_stripped_cells_of_an_old_format_are_recognised(repaired: Callable) -> None:
    notebook = stripped(fill(ANSWERS))
    notebook.nbformat_minor = 4
    for cell in notebook.cells:
        del cell["id"]
    repaired_notebook, _ = repaired(notebook)
    for identifier, text in ANSWERS.items():
        assert cell_of(repaired_notebook, identifier).source == text


def test_a_stripped_test_cell_that_was_edited_is_put_back(repaired: Callable) -> None:
    notebook = stripped(fill(ANSWERS))
    test = next(cell for cell in notebook.cells if cell.id == "test_budget")
    test.source = "check = 1\n9.0"
    made, notes = repaired(notebook)
    assert "### BEGIN HIDDEN TESTS" in cell_of(made, "test_budget").source
    assert notes[1:] == ["test_budget: this locked cell was edited and was put back"]


def test_copies_of_a_stripped_test_cell_are_removed(repaired: Callable) -> None:
    notebook = stripped(release(), ids=False)
    test = cell_of(release(), "test_budget")
    notebook.cells.append(new_code_cell(test.source))
    made, notes = repaired(notebook)
    assert "test_budget: a copy of this locked cell was removed" in notes
    assert test.source not in [cell.source for cell in made.cells]


def test_of_two_stripped_answers_both_are_run_and_it_is_noted(repaired: Callable) -> None:
    notebook = stripped(fill(ANSWERS), ids=False)
    (index,) = (i for i, c in enumerate(notebook.cells) if c.source == ANSWERS["budget"])
    second = f"{ANSWERS['budget']}\n# once more"
    notebook.cells.insert(index + 1, new_code_cell(second))
    made, notes = repaired(notebook)
    sources = [cell.source for cell in made.cells]
    places = [
        sources.index(text)
        for text in (
            cell_of(made, "budget").source,
            ANSWERS["budget"],
            second,
            cell_of(made, "test_budget").source,
        )
    ]
    assert places == sorted(places)
    assert [note for note in notes if note.startswith("budget: ")] == [
        "budget: which of 2 cells is the answer is not clear; all were run, each in its place"
    ]


def test_all_that_stands_in_a_written_answers_place_is_the_answer(repaired: Callable) -> None:
    notebook = stripped(fill(ANSWERS), ids=False)
    (index,) = (i for i, c in enumerate(notebook.cells) if c.source == WRITTEN)
    notebook.cells.insert(index + 1, new_markdown_cell("And one thing more."))
    made, notes = repaired(notebook)
    assert cell_of(made, "claims_answer").source == f"{WRITTEN}\n\nAnd one thing more."
    assert "claims_answer: the answer was joined from the 2 cells that stood in its place" in notes
    assert "And one thing more." not in [cell.source for cell in made.cells]
