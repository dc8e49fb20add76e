"""Reads one student's notebook and repairs it against the assignment.

What a student hands in is an opinion about the notebook; the assignment is the fact. The
repaired notebook consists of the assignment's own cells in the assignment's order, with the
student's text in the cells that were theirs to fill in, and with the cells that the
student added, in their place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.course.source import Assignment, grade_id, is_demo, nbgrader_metadata
from autograder.engine.sanitize import clean_text
from autograder.results import Code, Remark
from autograder.words import sentence

MAX_BYTES = 10 * 2**20
MAX_CELLS = 2_000
MAX_NOTES = 50


class Rejected(Exception):
    """The submission is not something that can be graded.

    Attributes:
        remark: tells the student why.
    """

    def __init__(self, code: Code, /, **arguments: str | int):
        self.remark = Remark.of(code, **arguments)
        super().__init__(sentence(self.remark))


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one assignment: the file's bytes, or why there are none."""

    student: str
    data: bytes
    missing: Remark | None = None

    @property
    def sha256(self) -> str:
        """Identifies the content."""
        missing = repr(self.missing).encode("utf-8", "backslashreplace") if self.missing else b""
        return hashlib.sha256(self.data + missing).hexdigest()


def find_submissions(folder: Path, assignment: Assignment) -> list[Submission]:
    """All submissions of the assignment in a folder laid out as STUDENT/CHAPTER/NAME.ipynb.

    A student without the chapter's folder has not handed in and is not listed.
    """
    students = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return [
        read_submission(folder, student, assignment)
        for student in students
        if (folder / student / assignment.name).is_dir()
    ]


def read_submission(folder: Path, student: str, assignment: Assignment) -> Submission:
    """What one student handed in."""
    chapter = folder / student / assignment.name
    name = f"{assignment.notebook_name}.ipynb"
    file = chapter / name
    try:
        if chapter.is_symlink() or chapter.parent.is_symlink():
            return Submission(student, b"", Remark.of(Code.LINK))
        if file.is_symlink() or not file.is_file():
            others = sorted(path.name for path in chapter.iterdir() if path.is_file())
            known = clean_text(", ".join(others[:5]))[:200] + (", …" if len(others) > 5 else "")
            if not others:
                missing = Remark.of(Code.NOTHING_HANDED_IN, name=name)
            else:
                missing = Remark.of(Code.NOTEBOOK_MISSING, name=name, found=known)
            return Submission(student, b"", missing)
        with file.open("rb") as stream:
            return Submission(student, stream.read(MAX_BYTES + 1))
    except OSError as error:
        problem = error.strerror or str(error)
        return Submission(student, b"", Remark.of(Code.NOT_READABLE, problem=problem))


def parse(submission: Submission, assignment: Assignment) -> NotebookNode:
    """The submitted notebook.

    Raises:
        Rejected: if it is missing, too large, no notebook, or not this assignment's.
    """
    if submission.missing:
        raise Rejected(submission.missing.code, **submission.missing.arguments)
    if len(submission.data) > MAX_BYTES:
        raise Rejected(Code.TOO_LARGE, mebibytes=MAX_BYTES >> 20)
    if not submission.data.strip():
        raise Rejected(Code.EMPTY)
    try:
        text = submission.data.decode("utf-8-sig")
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
    ours = {grade_id(cell) for cell in assignment.assigned.cells} - {None}
    if not ours & {grade_id(cell) for cell in notebook.cells}:
        raise Rejected(Code.OTHER_NOTEBOOK, chapter=assignment.name)
    return notebook


def _forget_outputs(notebook: NotebookNode) -> None:
    """Drops what grading does not read, and what Jupyter does not mind being odd in."""
    notebook.nbformat_minor = 5
    for cell in notebook.cells:
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
        submitted: as `parse` returns it.
    """
    master = {str(grade_id(cell)): cell for cell in assignment.assigned.cells if grade_id(cell)}
    demos = {cell.source for cell in assignment.assigned.cells if is_demo(cell)}
    notes: list[Remark] = []

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
        elif identifier in master and not _is_answer(master[identifier]):
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
        if note:
            notes.append(note)
        # A stub that is put back goes before what the student may have written in its place.
        if identifier in answers or not _is_answer(own):
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


def _is_answer(cell: NotebookNode) -> bool:
    return bool(nbgrader_metadata(cell).get("solution"))


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
        if _is_answer(own):
            return cell, Remark.of(Code.ANSWER_MISSING, name)
        return cell, Remark.of(Code.LOCKED_MISSING, name)
    if _is_answer(own):
        cell.source = submitted.source
        if submitted.cell_type != own.cell_type:
            return cell, Remark.of(Code.TYPE_CHANGED, name, type=own.cell_type)
        return cell, None
    if submitted.cell_type != own.cell_type or _visible(own.source) != _visible(submitted.source):
        return cell, Remark.of(Code.LOCKED_EDITED, name)
    return cell, None


def _visible(source: str) -> list[str]:
    """What of a locked cell is in the release: neither hidden tests nor mark schemes."""
    lines, inside = [], False
    for line in source.splitlines():
        if "BEGIN HIDDEN TESTS" in line or "BEGIN MARK SCHEME" in line:
            inside = True
        if not inside:
            lines.append(line.rstrip())
        if "END HIDDEN TESTS" in line or "END MARK SCHEME" in line:
            inside = False
    return [line for line in lines if line]


def is_untouched(assignment: Assignment, notebook: NotebookNode, exercise_id: str) -> bool:
    """Whether the answer to the exercise is still the stub."""

    def text(cells: Iterable[NotebookNode]) -> str:
        return "\n".join(cell.source.strip() for cell in cells if grade_id(cell) == exercise_id)

    return text(assignment.assigned.cells) == text(notebook.cells)
