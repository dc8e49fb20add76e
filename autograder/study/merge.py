"""Merges a changed release into a learner's own copy of it, cell by cell.

Three notebooks take part: what the copy was made of, the new release, and the copy. A cell that the
learner has not touched becomes the new one. What they typed stays; so do cells that they added,
behind the cell that they stood behind. Where both have changed, theirs stays, and the new cell is
handed back beside. The release's cells stand in the release's order. Notebooks in, notebooks out:
work.py has the files.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from nbformat import NotebookNode

from autograder.course.cells import grade_id

Cells = Mapping[str, NotebookNode]


@dataclass
class Merged:
    """A merged notebook.

    Attributes:
        changed: how many of its cells are new, or not as they were.
        beside: cells of the release that the learner's own stand in place of, by id.
    """

    notebook: NotebookNode
    changed: int = 0
    beside: dict[str, NotebookNode] = field(default_factory=dict)


def merge(base: NotebookNode, release: NotebookNode, own: NotebookNode) -> Merged:
    """The learner's notebook `own`, which began as `base`, with what `release` has new."""
    new_ids = _rewritten(base.cells, release.cells)
    old = {new_ids.get(cell.id, cell.id): cell for cell in base.cells}
    new = {cell.id: cell for cell in release.cells}
    theirs = _keyed(copy.deepcopy(own.cells), new_ids, old, new)

    result = Merged(copy.copy(own))
    placed: dict[str, NotebookNode] = {}
    for key, cell in new.items():
        mine, before = theirs.get(key), old.get(key)
        if mine is None:
            if before is None:  # else they deleted it, and deleted it stays
                placed[key] = copy.deepcopy(cell)
                result.changed += 1
        elif _text(mine) != _text(cell) and before is not None and _text(mine) == _text(before):
            placed[key] = copy.deepcopy(cell)
            result.changed += 1
        else:
            placed[key] = mine
            if before is None or before.metadata != cell.metadata:
                mine.metadata.update(copy.deepcopy(cell.metadata))
            if _text(cell) not in (_text(mine), before and _text(before)):
                result.beside[key] = cell

    order = list(placed)
    behind = ""
    for key, mine in theirs.items():
        if key not in placed:
            if key in old and _text(mine) == _text(old[key]):
                continue  # the release has dropped it, and they had not touched it
            if key in old:  # it is theirs alone now
                mine.metadata.pop("nbgrader", None)
            placed[key] = mine
            order.insert(order.index(behind) + 1 if behind else 0, key)
        behind = key
    result.notebook.cells = _with_ids([(key, placed[key]) for key in order], new)
    return result


def _text(cell: NotebookNode) -> tuple[str, str]:
    return cell.cell_type, cell.source


def _rewritten(base: Sequence[NotebookNode], release: Sequence[NotebookNode]) -> dict[str, str]:
    """New ids of cells that have been rewritten, by their old ones.

    The id of a cell that nbgrader does not know is made of its text, so it changes with the text.
    Such cells are recognised by their place: as many new ones as old ones between the same two.
    """
    before, after = [cell.id for cell in base], [cell.id for cell in release]
    found = {}
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "replace" or j - i != m - k:
            continue
        for old, new in zip(base[i:j], release[k:m], strict=True):
            moved = old.id in after or new.id in before
            if old.cell_type == new.cell_type and not (moved or grade_id(old) or grade_id(new)):
                found[old.id] = new.id
    return found


def _keyed(
    cells: Sequence[NotebookNode], new_ids: Mapping[str, str], old: Cells, new: Cells
) -> dict[str, NotebookNode]:
    """The learner's cells by the release's ids; what they added by keys of its own.

    Other programs than JupyterLab may lose a cell's id: nbgrader's and the text tell, then.
    """
    by_text = {_text(cell): key for known in (old, new) for key, cell in known.items()}
    keys: dict[int, str] = {}

    def claim(number: int, key: str) -> None:
        if number not in keys and key not in keys.values() and (key in old or key in new):
            keys[number] = key

    for number, cell in enumerate(cells):
        claim(number, new_ids.get(cell.get("id", ""), cell.get("id", "")))
    for number, cell in enumerate(cells):
        claim(number, grade_id(cell) or "")
        claim(number, by_text.get(_text(cell), ""))
    return {keys.get(number, f" {number}"): cell for number, cell in enumerate(cells)}


def _with_ids(cells: Sequence[tuple[str, NotebookNode]], new: Cells) -> list[NotebookNode]:
    """The cells, each with an id that no other has."""
    taken = set(new)
    for key, cell in cells:
        if key in new:
            cell["id"] = key
        elif not cell.get("id") or cell["id"] in taken:
            cell["id"] = uuid.uuid4().hex[:8]
        taken.add(cell["id"])
    return [cell for _, cell in cells]
