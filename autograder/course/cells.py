"""What a cell is, by its nbgrader metadata, and which of its lines are for whom, by its markers.

This is the package's only parser of `### BEGIN SOLUTION` and its like. Builder, grader and audit
read the same lines as nbgrader does: it takes every line for a marker that holds the words.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from autograder.checks import HIDDEN_BEGIN

if TYPE_CHECKING:  # it takes a while to import, and `%check` does without
    from nbformat import NotebookNode


CODE_STUB = "raise NotImplementedError"  # what students get in place of a solution


class Region(StrEnum):
    """What stands between a pair of markers."""

    SOLUTION = "SOLUTION"
    HIDDEN_TESTS = HIDDEN_BEGIN.removeprefix("### BEGIN ")
    MARK_SCHEME = "MARK SCHEME"


_MARKER = re.compile(f"(BEGIN|END) ({'|'.join(Region)})")


@dataclass(frozen=True)
class Line:
    """One line of a cell.

    Attributes:
        region: that it stands in; a marker stands in its own region.
        is_marker: whether it begins or ends the region.
    """

    text: str
    region: Region | None
    is_marker: bool = False


def parse_lines(source: str) -> list[Line]:
    """The cell's lines.

    Students' cells are read, too, so odd markers raise nothing: a region that is not closed goes
    on to the cell's end. `marker_problem` tells authors.
    """
    found = []
    inside: Region | None = None
    for text in source.splitlines():
        marker = _MARKER.search(text)
        if marker is None:
            found.append(Line(text, inside))
            continue
        region = Region(marker[2])
        if inside is None and marker[1] == "BEGIN":
            inside = region
        elif inside is region and marker[1] == "END":
            inside = None
        found.append(Line(text, region, is_marker=True))
    return found


def marker_problem(source: str) -> str:
    """What is wrong with the cell's markers, as the end of a sentence; empty if nothing is."""
    inside = ""
    for line in parse_lines(source):
        if not line.is_marker:
            continue
        text = line.text.strip()
        if text == f"### BEGIN {line.region}":
            if inside:
                return f"has {text!r} inside the region {inside}, which has not ended"
            inside = str(line.region)
        elif text == f"### END {line.region}":
            if inside != line.region:
                return f"has {text!r} without its BEGIN"
            inside = ""
        else:
            return f"has a line that nbgrader would take for a marker: {text[:60]!r}"
    return f"has no '### END {inside}'" if inside else ""


def section_title(markdown: str, before: str) -> str:
    """The title of the section that a cell with this text stands in or begins, with its number.

    Sections have headings of the second level; deeper ones are parts of them. So an exercise is
    called the same everywhere: "1.2 Attention" in the text, in tables and in reports.

    Args:
        before: the title before the cell.
    """
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)  # "# a comment"
    headings = re.findall(r"^##? +(?:Exercise +)?(.+)$", text, re.MULTILINE)
    return headings[-1].strip().replace(" · ", " ") if headings else before


def notebook_name(chapter: str) -> str:
    """Of the notebook of a chapter: "concepts" of "ch01_concepts"."""
    return chapter.partition("_")[2]


def nbgrader_metadata(cell: NotebookNode) -> dict[str, object]:
    """The cell's nbgrader metadata, empty if it has none."""
    found = cell.metadata.get("nbgrader")
    return found if isinstance(found, dict) else {}


def grade_id(cell: NotebookNode) -> str | None:
    """The cell's nbgrader id, if it has one."""
    found = nbgrader_metadata(cell).get("grade_id")
    return found if isinstance(found, str) else None


def identifier(cell: NotebookNode) -> str:
    """The id of a cell as written: nbgrader's, or one made of its text."""
    return grade_id(cell) or f"cell-{hashlib.sha256(cell.source.encode()).hexdigest()[:12]}"


def is_demo(cell: NotebookNode) -> bool:
    """Whether the cell only shows something: no test needs it, so grading skips it."""
    return "demo" in cell.metadata.get("tags", [])


def fold(cell: NotebookNode) -> None:
    """Hides a demonstration's code, which a click shows, unless it is tagged `shown`.

    JupyterLab goes by the metadata, sites made of notebooks by the tag.
    """
    if is_demo(cell) and "shown" not in cell.metadata.tags:
        cell.metadata.setdefault("jupyter", type(cell.metadata)())["source_hidden"] = True
        cell.metadata.tags = [*cell.metadata.tags, "hide-input"]


def is_answer(cell: NotebookNode) -> bool:
    """Whether the cell is the student's to fill in, with code or with text."""
    return bool(nbgrader_metadata(cell).get("solution"))


def is_test(cell: NotebookNode) -> bool:
    """Whether the cell holds an exercise's checks."""
    return cell.cell_type == "code" and bool(nbgrader_metadata(cell).get("grade"))
