"""A new release comes into a learner's notebook; nothing that they typed goes."""

from __future__ import annotations

import random

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.study.merge import Merged, merge


def notebook(*cells: tuple[str, str]) -> NotebookNode:
    """Cells by id and text; an id that begins with "cell-" is that of text, as a build makes it."""
    made = nbformat.v4.new_notebook()
    for key, text in cells:
        if key.startswith("cell-"):
            made.cells.append(nbformat.v4.new_markdown_cell(text, id=key))
        else:
            graded = {"nbgrader": {"grade_id": key}}
            made.cells.append(nbformat.v4.new_code_cell(text, id=key, metadata=graded))
    return made


def own(*cells: tuple[str, str]) -> NotebookNode:
    """The same, as the learner has it: run, and with outputs."""
    made = notebook(*cells)
    for cell in made.cells:
        if not cell.id.startswith("cell-") and cell.id.startswith("mine"):
            del cell.metadata["nbgrader"]
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text=f"of {cell.id}")]
    return made


def texts(merged: Merged) -> list[str]:
    nbformat.validate(merged.notebook)
    return [cell.source for cell in merged.notebook.cells]


BASE = (("cell-1", "Text."), ("setup", "import math"), ("sum", "raise"), ("test_sum", "assert"))


def test_untouched_cells_become_the_new_ones_and_answers_stay() -> None:
    release = notebook(
        ("cell-2", "Better text."),
        BASE[1],
        BASE[2],
        ("cell-new", "More."),
        ("test_sum", "assert 2"),
    )
    merged = merge(notebook(*BASE), release, own(*BASE[:2], ("sum", "my answer"), BASE[3]))
    assert texts(merged) == ["Better text.", "import math", "my answer", "More.", "assert 2"]
    assert merged.changed == 3
    assert not merged.beside
    assert merged.notebook.cells[1].outputs  # this one has not changed


def test_added_cells_stay_behind_the_cell_that_they_stood_behind() -> None:
    release = notebook(("cell-2", "Better text."), BASE[1], ("between", "new"), *BASE[2:])
    theirs = own(
        ("mine0", "top"),
        BASE[0],
        ("mine1", "a"),
        BASE[1],
        ("mine2", "b"),
        ("mine3", "c"),
        *BASE[2:],
    )
    assert texts(merge(notebook(*BASE), release, theirs)) == [
        *("top", "Better text.", "a", "import math", "b", "c", "new", "raise", "assert")
    ]


@pytest.mark.parametrize("identifier", ["sum", "cell-1"])
def test_where_both_have_changed_theirs_stays_and_the_new_one_lies_beside(identifier: str) -> None:
    new = {"sum": ("sum", "raise  # new"), "cell-1": ("cell-2", "Better text.")}[identifier]
    release = notebook(*(new if key == identifier else (key, text) for key, text in BASE))
    theirs = own(*((key, "mine" if key == identifier else text) for key, text in BASE))
    merged = merge(notebook(*BASE), release, theirs)
    assert texts(merged).count("mine") == 1
    assert new[1] not in texts(merged)
    assert {key: cell.source for key, cell in merged.beside.items()} == dict([new])


def test_a_cell_that_both_have_changed_alike_does_not_lie_beside() -> None:
    release = notebook(*BASE[:2], ("sum", "fixed"), BASE[3])
    assert not merge(notebook(*BASE), release, own(*BASE[:2], ("sum", "fixed"), BASE[3])).beside


def test_what_the_release_drops_goes_unless_they_typed_in_it() -> None:
    release = notebook(BASE[1])
    merged = merge(notebook(*BASE), release, own(*BASE[:2], ("sum", "my answer"), BASE[3]))
    assert texts(merged) == ["import math", "my answer"]
    assert "nbgrader" not in merged.notebook.cells[1].metadata


def test_what_they_deleted_stays_deleted() -> None:
    release = notebook(*BASE, ("cell-new", "More."))
    assert texts(merge(notebook(*BASE), release, own(*BASE[1:]))) == [
        *("import math", "raise", "assert", "More.")
    ]


def test_the_release_s_order_comes_with_what_stands_behind_its_cells() -> None:
    release = notebook(BASE[0], BASE[2], BASE[3], BASE[1])
    theirs = own(BASE[0], BASE[1], ("mine", "m"), BASE[2], BASE[3])
    assert texts(merge(notebook(*BASE), release, theirs)) == [
        *("Text.", "raise", "assert", "import math", "m")
    ]


def test_new_points_of_an_answered_cell_come_and_the_answer_stays() -> None:
    release = notebook(*BASE)
    release.cells[2].metadata["nbgrader"]["points"] = 7
    merged = merge(notebook(*BASE), release, own(*BASE[:2], ("sum", "my answer"), BASE[3]))
    assert merged.notebook.cells[2].source == "my answer"
    assert merged.notebook.cells[2].metadata["nbgrader"]["points"] == 7


def test_cells_that_lost_their_ids_are_recognised() -> None:
    theirs = own(*BASE[:2], ("sum", "my answer"), BASE[3])
    for number, cell in enumerate(theirs.cells):
        cell.id = f"other-{number}"
    release = notebook(("cell-2", "Better text."), BASE[1], BASE[2], ("test_sum", "assert 2"))
    assert texts(merge(notebook(*BASE), release, theirs)) == [
        *("Better text.", "import math", "my answer", "assert 2")
    ]


def test_a_copy_of_a_cell_is_theirs() -> None:
    theirs = own(*BASE, ("sum", "second try"))
    release = notebook(*BASE, ("cell-new", "More."))
    assert texts(merge(notebook(*BASE), release, theirs)) == [
        *("Text.", "import math", "raise", "assert", "second try", "More.")
    ]


def test_nothing_typed_is_ever_lost_and_a_second_merge_changes_nothing() -> None:
    """Random releases and random learners."""
    draw = random.Random(0)
    for _ in range(100):
        base = [(f"cell-{n}" if draw.random() < 0.5 else f"e{n}", f"text {n}") for n in range(8)]
        release = [
            (f"{key}x", f"{text} x")
            if key.startswith("cell") and draw.random() < 0.3
            else (key, f"{text} x")
            if draw.random() < 0.3
            else (key, text)
            for key, text in base
            if draw.random() < 0.9
        ]
        if draw.random() < 0.3:
            draw.shuffle(release)
        release += [(f"e{n}", f"new {n}") for n in range(20, 20 + draw.randrange(3))]
        theirs = [
            (key, f"{text} typed") if draw.random() < 0.3 else (key, text)
            for key, text in base
            if draw.random() < 0.9
        ]
        for n in range(draw.randrange(4)):
            theirs.insert(draw.randrange(len(theirs) + 1), (f"mine{n}", f"typed {n}"))
        merged = merge(notebook(*base), notebook(*release), own(*theirs))
        found = texts(merged)
        typed = [text for _, text in theirs if "typed" in text]
        assert sorted(text for text in found if "typed" in text) == sorted(typed)
        shown = {*found, *(cell.source for cell in merged.beside.values())}
        deleted = {key for key, _ in base} - {key for key, _ in theirs}
        for key, text in {*release} - {*base}:
            assert text in shown or key.rstrip("x") in deleted, (base, release, theirs)
        again = merge(notebook(*release), notebook(*release), merged.notebook)
        assert again.notebook.cells == merged.notebook.cells
        assert not again.beside
        # A run that was stopped before it wrote down what the copy is made of now.
        stopped = merge(notebook(*base), notebook(*release), merged.notebook)
        assert texts(stopped) == found
