"""Runs a homework's notebook: an ordinary nbgrader assignment, whose tests are bare asserts.

Its test cells run in the student's kernel, with the student's code, as nbgrader runs them; the
judge has no part in it. So a notebook can forge its own mark, and no more: the kernel is warm and
confined as ever, with the same deadlines and replays. Marks are nbgrader's to make of the outputs
(classroom/homework.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from nbformat import NotebookNode
from nbgrader.utils import compute_checksum, is_solution

from autograder.course.cells import grade_id, is_test, nbgrader_metadata
from autograder.engine.clock import Clock
from autograder.engine.grade import NOTEBOOK_BYTES, Engine
from autograder.engine.options import Limits
from autograder.engine.run import Execution, runs
from autograder.engine.sanitize import clean_cell
from autograder.results import Code, Remark

_VERDICT_CHARACTERS = 1_000


def execute(
    engine: Engine, notebook: NotebookNode, files: Mapping[str, bytes], limits: Limits
) -> list[Remark]:
    """Runs all cells of a notebook, in place, and cleans what comes from the student.

    Args:
        notebook: as nbgrader's first steps leave it, with the assignment's own locked cells.
        files: what lies beside it, by relative path.
        limits: with all seconds filled in.

    Returns:
        What happened to cells.

    Raises:
        Exception: whatever is the grader's own fault.
    """
    for cell in notebook.cells:
        if _is_autograded(cell):
            cell.metadata.pop("tags", None)  # skip-execution would be full marks
    happened = asyncio.run(_run(engine, notebook, files, limits))
    left = NOTEBOOK_BYTES
    for cell in notebook.cells:
        left -= _clean(cell, left)
    return [replace(note, cell=_name(notebook, i)) for i, note in sorted(happened.items())]


async def _run(
    engine: Engine, notebook: NotebookNode, files: Mapping[str, bytes], limits: Limits
) -> dict[int, Remark]:
    clock = Clock(limits)
    execution = Execution(engine.server, notebook, limits, clock, tests=True, files=files)
    try:
        for index, cell in enumerate(notebook.cells):
            if not runs(cell):
                continue
            if clock.left <= 0:
                execution.give_up(index, Remark.of(Code.CELL_NOT_RUN))
            else:
                await execution.kernel_after(index)
    finally:
        await execution.drop_kernel()
    return execution.notes


def _is_autograded(cell: NotebookNode) -> bool:
    """Whether nbgrader makes a mark of the cell's outputs."""
    return bool(is_test(cell) and not is_solution(cell))


def _clean(cell: NotebookNode, budget: int) -> int:
    """Cleans a cell in place, so that it shows what the student made of it and has the same mark.

    Returns:
        How many characters of output were kept.
    """
    source, outputs = cell.source, cell.get("outputs", [])
    kept = clean_cell(cell, budget)
    data = nbgrader_metadata(cell)
    if grade_id(cell) and data.get("checksum"):
        given = cell.copy()
        given.source = source
        if compute_checksum(given) == data["checksum"]:
            cell.source = source  # the teacher's own text
    if _is_autograded(cell) and not decisive(cell.outputs):
        verdict = NotebookNode(cell_type="code", source="", outputs=decisive(outputs))
        for output in verdict.outputs:  # it was cut
            if output.output_type == "stream":
                output.text = output.text[:_VERDICT_CHARACTERS]
            elif output.output_type == "error":
                output.traceback = [line[:_VERDICT_CHARACTERS] for line in output.traceback[-5:]]
        kept += clean_cell(verdict, 2**20)
        cell.outputs[:0] = verdict.outputs
    return kept


def decisive(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The output that nbgrader makes a mark of (`determine_grade`), if there is one."""
    for output in outputs:
        is_error = output.output_type == "stream" and output.name == "stderr"
        if is_error or output.output_type in ("error", "execute_result"):
            return [output]
    return []


def _name(notebook: NotebookNode, index: int) -> str:
    return grade_id(notebook.cells[index]) or f"cell {index + 1}"
