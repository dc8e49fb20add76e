"""What a release says about its chapters: titles, exercises, minutes, points.

Read from the notebooks that learners get, so that it is the same with the course's source and
without. The minutes are those of the table in a chapter's introduction, whose header has `exercise`
and `minutes`; each of its rows links to the section that the exercise stands in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.course.cells import grade_id, is_answer, nbgrader_metadata
from autograder.study.chapter import NotFound


@dataclass(frozen=True)
class Row:
    """One line of a chapter's table of exercises.

    Attributes:
        label: such as "1.2" or "W1.1".
        title: of its section, such as "Attention".
        task: what one will do, in Markdown.
        time: such as "45 min", or "45 + 15 min" with a part that is optional.
        minutes: all of them; 0 if the chapter gives none.
        exercise: its id if checks can be run on it, else None.
        points: that it earns in a class; 0 for none.
    """

    label: str
    title: str
    task: str
    time: str
    minutes: int
    exercise: str | None
    points: float


@dataclass(frozen=True)
class Chapter:
    """A released chapter.

    Attributes:
        name: such as "ch01_concepts".
        notebook: such as "concepts.ipynb".
        title: its first heading.
    """

    name: str
    notebook: str
    title: str
    rows: tuple[Row, ...]

    @property
    def minutes(self) -> int:
        """All of it, reading included."""
        return sum(row.minutes for row in self.rows)


def find_root(start: Path) -> Path:
    """The course's folder: the nearest one from `start` upwards that has release/ with chapters.

    Raises:
        NotFound: if there is none.
    """
    for folder in [start.resolve(), *start.resolve().parents]:
        if any(folder.glob("release/ch*/*.ipynb")):
            return folder
    raise NotFound(
        f"{start} is not inside a course: no folder upwards has release/ with chapters in it. "
        "Change to the course's folder and try again"
    )


def read_chapters(root: Path) -> list[Chapter]:
    """The released chapters in order.

    Raises:
        OSError, ValueError: if a release cannot be read; `git checkout release` restores it.
    """
    return [
        _read(path.parent.name, path.name, nbformat.read(path, as_version=4))
        for path in sorted(root.glob("release/ch*/*.ipynb"))
    ]


def _read(name: str, notebook: str, content: NotebookNode) -> Chapter:
    title = next(_headings(content.cells[0].source, "#"), name) if content.cells else name
    sections = list(_sections(content))
    rows = []
    for label, anchor, task, time in _table(content):
        heading, cells = next(
            ((text, cells) for text, cells in sections if text.replace(" ", "-") == anchor),
            (label, []),
        )
        ids = {grade_id(cell) for cell in cells}
        answers = [grade_id(cell) for cell in cells if is_answer(cell)]
        rows.append(
            Row(
                label,
                heading.removeprefix(label).strip(),
                task,
                f"{time} min",
                sum(int(number) for number in re.findall(r"\d+", time)),
                next((answer for answer in answers if f"test_{answer}" in ids), None),
                sum(float(str(nbgrader_metadata(cell).get("points") or 0)) for cell in cells),
            )
        )
    if not rows:  # a chapter without such a table: its exercises by their sections
        rows = [
            Row(*_label(text), "", "", 0, x, 0.0)
            for text, cells in sections
            for cell in cells
            if (x := grade_id(cell)) and is_answer(cell)
        ]
    return Chapter(name, notebook, title, tuple(rows))


def _label(heading: str) -> tuple[str, str]:
    label, _, title = heading.partition(" ")
    return label, title


def _table(content: NotebookNode) -> Iterator[tuple[str, str, str, str]]:
    """Label, anchor, task and minutes from the first table whose header has these columns."""
    header: list[str] = []
    for cell in content.cells:
        if cell.cell_type != "markdown":
            continue
        for line in cell.source.splitlines():
            columns = [text.strip() for text in line.strip().strip("|").split("|")]
            if not line.startswith("|"):
                if header:
                    return
            elif not header:
                header = columns if {"exercise", "minutes"} <= {*columns} else []
            elif link := re.fullmatch(r"\[(.+?)\]\(#(.+)\)", columns[0]):
                cells = dict(zip(header, columns, strict=False))
                yield link[1], link[2], cells.get("you will", ""), cells["minutes"]


def _sections(content: NotebookNode) -> Iterator[tuple[str, list[NotebookNode]]]:
    """The headings of the second level, each with the cells from there to the next."""
    heading = ""
    cells: list[NotebookNode] = []
    for cell in content.cells:
        if cell.cell_type == "markdown":
            for text in _headings(cell.source, "##"):
                yield heading, cells
                heading, cells = text, []
        cells.append(cell)
    yield heading, cells


def _headings(markdown: str, level: str) -> Iterator[str]:
    for line in markdown.splitlines():
        if line.startswith(f"{level} "):
            yield line.removeprefix(level).strip()
