"""Reads one student's notebook and repairs it against the assignment.

What a student hands in is an opinion about the notebook; the assignment is the fact. The
repaired notebook consists of the assignment's own cells in the assignment's order, with the
student's text in the cells that were theirs to fill in, and with the cells that the
student added, in their place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import compute_checksum

from autograder.course.cells import grade_id, is_answer, is_demo
from autograder.course.source import Assignment
from autograder.engine.handed_in import MAX_FILE_BYTES, Submission
from autograder.engine.recognise import is_of, recognise, visible
from autograder.engine.text import clean_text
from autograder.results import Code, Remark
from autograder.words import sentence

MAX_BYTES = 10 * 2**20  # without outputs and attachments
MAX_CELLS = 2_000
MAX_NOTES = 50
# What is cut out of a large file: values that grading does not read. The key is matched with the
# bracket behind it, any other string as a whole, so that nothing is cut out of a string. A string
# without an end reaches to the end of the file; else each of its quotes would be tried as a start.
_DROPPED = re.compile(
    rb'("(?:outputs|attachments|application/vnd\.jupyter\.widget-state\+json)"\s*:\s*)([\[{])'
    rb'|"(?:[^"\\]++|\\.)*+"?',
    re.DOTALL,
)
_BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
MAX_TOKENS = 2_000_000  # strings and brackets that are looked at in a large file


class Rejected(Exception):
    """The submission is not something that can be graded.

    Attributes:
        remark: tells the student why.
    """

    def __init__(self, code: Code, /, **arguments: str | int):
        self.remark = Remark.of(code, **arguments)
        super().__init__(sentence(self.remark))


def parse(submission: Submission) -> NotebookNode:
    """The submitted notebook.

    Raises:
        Rejected: if it is missing, too large or no notebook.
    """
    if submission.missing:
        raise Rejected(submission.missing.code, **submission.missing.arguments)
    data = submission.data
    if len(data) > MAX_FILE_BYTES:
        raise Rejected(Code.TOO_LARGE, mebibytes=MAX_FILE_BYTES >> 20)
    if len(data) > MAX_BYTES:
        data = _without_outputs(data)
    if len(data) > MAX_BYTES:
        raise Rejected(Code.TOO_LARGE_WITHOUT_OUTPUTS, mebibytes=MAX_BYTES >> 20)
    if not data.strip():
        raise Rejected(Code.EMPTY)
    try:
        text = data.decode("utf-8-sig")
        content = json.loads(text)
    except UnicodeDecodeError:
        raise Rejected(Code.NOT_TEXT) from None
    except json.JSONDecodeError as error:
        whole = text.rstrip().endswith("}")
        raise Rejected(Code.DAMAGED if whole else Code.CUT_OFF, line=error.lineno) from None
    except ValueError:
        raise Rejected(Code.BAD_NUMBER) from None
    except RecursionError:
        raise Rejected(Code.TOO_DEEP) from None
    if not isinstance(content, dict) or not content.keys() & {"cells", "worksheets"}:
        raise Rejected(Code.NO_CELLS)
    try:
        notebook = nbformat.reads(text, as_version=4)
        _forget_outputs(notebook)
        _, notebook = nbformat.validator.normalize(notebook)  # missing and duplicate cell ids
        nbformat.validate(notebook, relax_add_props=True)
    except Exception as error:  # nbformat raises whatever its converters run into
        reason = str(error).strip().splitlines()
        problem = clean_text(reason[0][:200] if reason else repr(error)[:200])
        raise Rejected(Code.BAD_FORMAT, problem=problem) from None
    if len(notebook.cells) > MAX_CELLS:
        raise Rejected(Code.TOO_MANY_CELLS, cells=len(notebook.cells), most=MAX_CELLS)
    return notebook


def _without_outputs(data: bytes) -> bytes:
    """The file with nothing in its outputs, cut out before a parser makes objects of it.

    Raises:
        Rejected: if it has more strings and brackets than an honest notebook.
    """
    kept: list[bytes] = []
    start = position = tokens = 0
    while match := _DROPPED.search(data, position):
        tokens += 1
        position = match.end()
        if match[2]:
            depth = 1
            for token in _BRACKET.finditer(data, position):
                tokens += 1
                first = data[token.start()]
                depth += (first in b"[{") - (first in b"]}")
                if depth == 0 or tokens > MAX_TOKENS:
                    break
            if depth == 0:
                kept += [data[start : match.start(2)], b"[]" if match[2] == b"[" else b"{}"]
                start = position = token.end()
            elif tokens <= MAX_TOKENS:  # the file ends in the middle: let the parser say so
                return b"".join([*kept, data[start:position]])
        if tokens > MAX_TOKENS:
            raise Rejected(Code.TOO_LARGE_WITHOUT_OUTPUTS, mebibytes=MAX_BYTES >> 20)
    return b"".join([*kept, data[start:]])


def _forget_outputs(notebook: NotebookNode) -> None:
    """Drops what grading does not read, and what Jupyter does not mind being odd in."""
    notebook.nbformat_minor = 5
    for index, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"unnamed-{index}")  # before format 4.5 cells had none
        for key in ("outputs", "execution_count", "attachments"):
            cell.pop(key, None)
        cell.setdefault("metadata", NotebookNode())
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)


def repair(  # noqa: PLR0912  (one branch for each thing that students do to notebooks)
    assignment: Assignment, submitted: NotebookNode
) -> tuple[NotebookNode, list[Remark]]:
    """The notebook to execute, and notes on what had to be changed.

    Args:
        assignment: supplies every cell that students may not change.
        submitted: as `parse` returns it; changed.

    Raises:
        Rejected: if it is not this assignment's.
    """
    notes = recognise(assignment, submitted)
    if not is_of(assignment, submitted):
        raise Rejected(Code.OTHER_NOTEBOOK, chapter=assignment.name)
    unclear = {note.cell for note in notes if note.code is Code.ANSWER_UNCLEAR}
    master = {str(grade_id(cell)): cell for cell in assignment.assigned.cells if grade_id(cell)}
    demos = {cell.source for cell in assignment.assigned.cells if is_demo(cell)}

    # What the student wrote, and the assignment's cell that it stands behind.
    answers: dict[str, NotebookNode] = {}
    additions: dict[str | None, list[NotebookNode]] = {}
    order: list[str] = []
    anchor: str | None = None
    for cell in submitted.cells:
        identifier = grade_id(cell) or ""
        if identifier in master and identifier not in answers:
            answers[identifier] = cell
            order.append(identifier)
            anchor = identifier
        elif identifier in master and not is_answer(master[identifier]):
            notes.append(Remark.of(Code.COPY_REMOVED, identifier))
        elif identifier in master and answers[identifier].source == master[identifier].source:
            answers[identifier] = cell
            notes.append(Remark.of(Code.FILLED_COPY_COUNTS, identifier))
        elif cell.source in demos:
            continue
        else:
            if identifier in master:
                notes.append(Remark.of(Code.COPY_KEPT, identifier))
            additions.setdefault(anchor, []).append(_plain(cell))

    expected = [i for i in master if i in answers]
    if order != expected:
        moved = next(a for a, b in zip(order, expected, strict=True) if a != b)
        notes.append(Remark.of(Code.REORDERED, moved))

    cells: list[NotebookNode] = []
    added = list(additions.get(None, []))
    for identifier, own in master.items():
        cell, note = _restored(own, answers.get(identifier))
        if note and identifier not in unclear:
            notes.append(note)
        # A stub that is put back goes before what the student may have written in its place.
        if identifier in answers or not is_answer(own):
            cells += added
            added = []
        cells.append(cell)
        added += additions.get(identifier, [])
    cells += added
    repaired = nbformat.from_dict({**assignment.assigned, "cells": cells})
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES:] = [Remark.of(Code.MORE_REPAIRS, count=len(notes) - MAX_NOTES)]
    for index, cell in enumerate(repaired.cells):
        cell.id = grade_id(cell) or f"student-{index}"
    return repaired, notes


def _plain(cell: NotebookNode) -> NotebookNode:
    """The cell without metadata, which could carry tags such as skip-execution, or outputs."""
    make = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}
    return make.get(cell.cell_type, nbformat.v4.new_markdown_cell)(cell.source)


def _restored(
    own: NotebookNode, submitted: NotebookNode | None
) -> tuple[NotebookNode, Remark | None]:
    """The assignment's cell with the student's answer in it, and what had to be changed."""
    cell, name = nbformat.from_dict(own), str(grade_id(own))
    if submitted is None:
        if is_answer(own):
            return cell, Remark.of(Code.ANSWER_MISSING, name)
        return cell, Remark.of(Code.LOCKED_MISSING, name)
    if is_answer(own):
        cell.source = submitted.source
        if submitted.cell_type != own.cell_type:
            return cell, Remark.of(Code.TYPE_CHANGED, name, type=own.cell_type)
        return cell, None
    same = submitted.cell_type == own.cell_type and visible(own.source) == visible(submitted.source)
    if same or _is_as_released(submitted):
        return cell, None
    return cell, Remark.of(Code.LOCKED_EDITED, name)


def _is_as_released(cell: NotebookNode) -> bool:
    """Whether a locked cell is as its release had it, though the chapter has another one now.

    The release writes a checksum beside each cell. No mark depends on it: a student who makes up
    one is only not told that the cell was put back.
    """
    try:
        return bool(cell.metadata.nbgrader.checksum == compute_checksum(cell))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def is_untouched(assignment: Assignment, notebook: NotebookNode, exercise_id: str) -> bool:
    """Whether the answer to the exercise is still the stub."""

    def text(cells: Iterable[NotebookNode]) -> str:
        return "\n".join(cell.source.strip() for cell in cells if grade_id(cell) == exercise_id)

    return text(assignment.assigned.cells) == text(notebook.cells)
