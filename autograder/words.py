"""Says in words what the engine says in codes: the only place that has its sentences.

The functions are pure. Feedback, the class report, the command line and the JSON for others use
them; nothing reads a sentence to find out what happened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autograder.results import Code, Remark, Report

SENTENCES = {
    Code.LINK: "the hand-in is a link to another folder",
    Code.ODD_NAME: (
        "the folder's name {problem}, which nbgrader cannot take for a student; rename the folder"
    ),
    Code.NOTHING_HANDED_IN: "{name} was not handed in: the folder is empty",
    Code.NOTEBOOK_MISSING: "{name} was not handed in: the folder holds {found}",
    Code.SEVERAL_NOTEBOOKS: (
        "{name} was not handed in, and which of these is meant is not clear: {found}; "
        "hand in one notebook"
    ),
    Code.NOT_READABLE: "the hand-in could not be read: {problem}",
    Code.TOO_LARGE: "the file is larger than {mebibytes} MiB; clear the outputs and hand in again",
    Code.TOO_LARGE_WITHOUT_OUTPUTS: (
        "the file is larger than {mebibytes} MiB, even without its outputs"
    ),
    Code.EMPTY: "the file is empty",
    Code.NOT_TEXT: "the file is not text, so it is no notebook",
    Code.DAMAGED: "the file is no notebook: its JSON is damaged (line {line})",
    Code.CUT_OFF: "the file is no notebook: its JSON ends in the middle (line {line})",
    Code.BAD_NUMBER: "the file is no notebook: it holds a number that cannot be read",
    Code.TOO_DEEP: "the file is no notebook: its JSON is nested too deeply",
    Code.NO_CELLS: "the file is JSON, but no notebook: it has no cells",
    Code.BAD_FORMAT: "the notebook does not follow the format: {problem}",
    Code.TOO_MANY_CELLS: "the notebook has {cells:,} cells, more than {most:,}",
    Code.OTHER_NOTEBOOK: (
        "this is not the notebook of {chapter}: it has none of the chapter's exercise cells"
    ),
    Code.BAD_METADATA: (
        "nbgrader refuses the notebook, since its metadata are damaged ({problem}); "
        "copy the answers into a new copy of the assignment and hand that in"
    ),
    Code.TOO_MANY_FILES: (
        "the files beside the notebooks are more than {files}, or more than {mebibytes} MiB"
    ),
    Code.GRADER_FAILED: "the grader failed: {error}",
    Code.EARLIER_MARKS_KEPT: "the gradebook keeps the marks of an earlier submission",
    Code.NOT_ENTERED: (
        "graded and kept, but not yet in the gradebook ({problem}); the next run enters it"
    ),
    Code.NOT_KEPT: (
        "graded, but the result could not be written ({problem}); the next run grades it again"
    ),
    Code.OTHER_NAME: "{found} was handed in, the only notebook; it was taken for {name}",
    Code.RECOGNISED: (
        "cells that had lost nbgrader's metadata and were recognised by id, text or place: {count}"
    ),
    Code.ANSWER_UNCLEAR: (
        "which of {count} cells is the answer is not clear; all were run, each in its place"
    ),
    Code.ANSWER_JOINED: "the answer was joined from the {count} cells that stood in its place",
    Code.COPY_REMOVED: "a copy of this locked cell was removed",
    Code.FILLED_COPY_COUNTS: "of two copies, the one that was filled in counts",
    Code.COPY_KEPT: "a second copy was kept as an ordinary cell",
    Code.REORDERED: "cells were put back into the chapter's order",
    Code.ANSWER_MISSING: "the exercise's cell was missing; it counts as not attempted",
    Code.LOCKED_MISSING: "this locked cell was missing and was put back",
    Code.LOCKED_EDITED: "this locked cell was edited and was put back",
    Code.TYPE_CHANGED: "the cell's type was changed back to {type}",
    Code.CELL_MISSING: "this cell is missing, so nbgrader gives it no mark",
    Code.NOTEBOOK_COUNTS_ZERO: "this notebook was not handed in and has no points",
    Code.LINKS_LEFT_OUT: "links were handed in and left out: {found}",
    Code.MORE_REPAIRS: "and {count} repairs more",
    Code.CELL_TOO_LONG: "interrupted after {seconds} s",
    Code.CELL_PRINTS_TOO_MUCH: "interrupted after it had printed {mebibytes} MiB",
    Code.CELL_NOT_RUN: "not run: the time was used up",
    Code.CELL_AT_THE_END: "stopped: the notebook's time was used up",
    Code.CELL_STOPPED: "stopped ({outcome}); the notebook ran without it",
    Code.CHECKS_NOT_FINISHED: "not finished: the time was used up",
    Code.CALLS_NOT_ANSWERED: "not called: the notebook's cells have changed what answers the "
    "grader's calls, so that nothing answers",
    Code.STOPPED_DURING: "Stopped while this check ran.",
    Code.NAME_NOT_DEFINED: "{error}. Did the exercise's cell run without an error?",
    Code.NOT_TRUE: "Not true: {line}",
    Code.IS_NONE: "{text}",
    Code.NOT_USABLE: "Your answer could not be used ({type}). {text}",
    Code.ERROR_AT_LINE: "{type}: {text}\nat line {number} of the cell, in {function}: {line}",
}

NOT_JUDGED = (
    "These marks are not judged from outside: the tests of a homework run in the same process as "
    "the student's code, as nbgrader runs them, so a notebook can forge its own mark."
)


def sentence(remark: Remark) -> str:
    """The remark in words, after the name of the cell that it is about."""
    text = SENTENCES[remark.code].format_map(remark.arguments).strip()
    return f"{remark.cell}: {text}" if remark.cell else text


def reason(report: Report) -> str:
    """Why there is no mark; empty if there is one."""
    return "; ".join(map(sentence, report.reasons))


def notes(report: Report) -> list[str]:
    """What was put right in the notebook, and what happened to its cells."""
    return [sentence(note) for note in report.notes]


def brief_notes(report: Report) -> list[str]:
    """For a table of a class: what is said of many cells is said once."""
    cells: dict[str, list[str]] = {}
    for note in report.notes:
        cells.setdefault(sentence(replace(note, cell="")), []).append(note.cell)
    brief = []
    for text, names in cells.items():
        others = len(names) - 1
        more = f" (and {others} more cell{'s' * (others > 1)})" * bool(others)
        brief.append(f"{names[0]}{more}: {text}" if names[0] else text)
    return brief


def as_json(report: Report) -> dict[str, Any]:
    """The report for other programs: sentences as "reason" and "repairs", and the codes."""
    data = report.to_dict()
    sentences = {"reason": reason(report), "repairs": notes(report)}
    first = ("student", "assignment", "status")
    return {**{key: data[key] for key in first}, **sentences, **data}
