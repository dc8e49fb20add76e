"""What source/ says: courses, chapters, exercises, checks.

A chapter is written once, as jupytext percent text with nbgrader's cell metadata, in
source/chNN_name/name.py. This module reads it and refuses what could not be graded
validly. Builder and grader start from the `Assignment` made here.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import CheckCellMetadata, ClearSolutions, ComputeChecksums, LockCells

import autograder
from autograder.checks import HIDDEN_BEGIN, HIDDEN_END

CODE_STUB = "raise NotImplementedError"
DEFAULTS = {"cell_seconds": 60, "check_seconds": 60, "notebook_seconds": 600, "float64": []}
TEXT_STUB = "*Your answer here.*"
NOTEBOOK_METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


class CourseError(Exception):
    """The course's own source cannot be used; the message says where and what to do."""


@dataclass(frozen=True)
class CheckSpec:
    """A check as its author wrote it."""

    name: str
    title: str
    hidden: bool
    points: float
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: a cell to fill in and, unless a person marks it, the cell that tests it.

    `float64` says whether its checks hold, too, where torch's default type has 64 bits; the audit
    then tries both.
    """

    id: str
    title: str
    points: float
    test_id: str | None
    checks: tuple[CheckSpec, ...]
    float64: bool = False


def nbgrader_metadata(cell: NotebookNode) -> dict[str, object]:
    """The cell's nbgrader metadata, empty if it has none."""
    found = cell.metadata.get("nbgrader")
    return found if isinstance(found, dict) else {}


def grade_id(cell: NotebookNode) -> str | None:
    """The cell's nbgrader id, if it has one."""
    found = nbgrader_metadata(cell).get("grade_id")
    return found if isinstance(found, str) else None


def is_demo(cell: NotebookNode) -> bool:
    """Whether the cell only shows something: no test needs it, so grading skips it."""
    return "demo" in cell.metadata.get("tags", [])


class Assignment:
    """One chapter.

    Attributes:
        name: folder name and nbgrader's assignment id, such as "ch01_concepts".
        notebook_name: file name without ending, such as "concepts".
        cell_seconds, check_seconds: until a cell of a submission, or a check, is interrupted;
            set in the file's header as `autograder: {cell_seconds: N, check_seconds: M}`.
        notebook_seconds: for a whole submission; set there, too.
        float64: ids of the exercises whose checks also hold in 64 bits; set there, too.
        source: the notebook as written, with solutions, hidden tests and mark schemes.
    """

    def __init__(self, path: Path):
        self.path = path
        self.name = path.parent.name
        self.notebook_name = path.stem
        self.text = path.read_text(encoding="utf-8")
        self.source = self._read()
        self._validate()

    def _read(self) -> NotebookNode:
        notebook = jupytext.reads(self.text, fmt="py:percent")
        settings = {**DEFAULTS, **notebook.metadata.get("autograder", {})}
        if unknown := settings.keys() - DEFAULTS.keys():
            raise CourseError(f"{self.path}: the header has unknown settings: {sorted(unknown)}")
        self.cell_seconds = float(settings["cell_seconds"])
        self.check_seconds = float(settings["check_seconds"])
        self.notebook_seconds = float(settings["notebook_seconds"])
        if not isinstance(settings["float64"], list):
            raise CourseError(f"{self.path}: float64 in the header is a list of exercises: [...]")
        self.float64 = frozenset(settings["float64"])
        notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
        notebook.nbformat, notebook.nbformat_minor = 4, 5
        seen: set[str] = set()
        for cell in notebook.cells:
            digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
            cell.id = grade_id(cell) or f"cell-{digest}"
            if cell.id in seen:
                raise self._error(cell, "stands in the chapter twice")
            seen.add(cell.id)
        return notebook

    def _error(self, cell: NotebookNode, problem: str) -> CourseError:
        where = grade_id(cell) or cell.source.strip().splitlines()[0][:60]
        return CourseError(f"{self.name}: cell {where!r} {problem} (in {self.path})")

    def _validate(self) -> None:
        ids = {grade_id(cell) for cell in self.source.cells}
        if unknown := sorted(x for x in self.float64 if f"test_{x}" not in ids):
            raise CourseError(f"{self.path}: float64 in the header names no exercise: {unknown}")
        for cell in self.source.cells:
            data = nbgrader_metadata(cell)
            if cell.cell_type == "code" and not data and not is_demo(cell):
                raise self._error(
                    cell, "is neither locked set-up, exercise, test nor tagged demo: mark it"
                )
            if cell.cell_type != "code" or not data.get("grade"):
                continue
            test_id = str(data["grade_id"])
            if test_id.removeprefix("test_") not in ids or not test_id.startswith("test_"):
                raise self._error(cell, "must be called test_X for an exercise X")
            checks = parse_checks(cell.source)
            for check in checks:
                if not (check.title and check.hint):
                    raise self._error(cell, f"has a check, {check.name}, without title or hint")
            if sum(check.points for check in checks) != data["points"]:
                raise self._error(cell, "has checks whose points do not add up to the cell's")

    def only(self, *exercises: Exercise) -> Assignment:
        """The chapter as far as these exercises need it: no other tests, nothing behind them."""
        part = copy.copy(self)
        for cached in ("exercises", "assigned", "fingerprint"):
            vars(part).pop(cached, None)
        cells = []
        tests = {exercise.test_id for exercise in exercises}
        for cell in self.source.cells:
            is_code = cell.cell_type == "code" and not is_demo(cell)
            if is_code and (grade_id(cell) in tests or not _is_graded(cell)):
                cells.append(cell)
            tests.discard(grade_id(cell))
            if not tests:
                break
        part.source = nbformat.from_dict({**self.source, "cells": cells})
        return part

    @property
    def title(self) -> str:
        """The chapter's title, its first heading."""
        return next(_headings(self.source.cells[0].source))

    @cached_property
    def exercises(self) -> list[Exercise]:
        """The exercises in the order of the notebook."""
        by_id = {grade_id(cell): cell for cell in self.source.cells if grade_id(cell)}
        found, title = [], ""
        for cell in self.source.cells:
            if cell.cell_type == "markdown":
                title = next(reversed(list(_headings(cell.source))), title)
            data = nbgrader_metadata(cell)
            if not data.get("solution"):
                continue
            name = re.sub(r"^Exercise ", "", title).replace(" · ", " ")
            identifier = str(data["grade_id"])
            test = by_id.get(f"test_{identifier}")
            if test is not None:
                points = float(test.metadata.nbgrader.points)
                checks = tuple(parse_checks(test.source))
                float64 = identifier in self.float64
                found.append(Exercise(identifier, name, points, grade_id(test), checks, float64))
            elif data.get("grade"):
                found.append(
                    Exercise(identifier, name, float(cell.metadata.nbgrader.points), None, ())
                )
        return found

    @cached_property
    def assigned(self) -> NotebookNode:
        """The notebook as the grader sees it: no solutions, but hidden tests, and checksums.

        It is what nbgrader's generate_assignment saves in the gradebook.
        """
        notebook = nbformat.from_dict(self.source)
        resources: dict[str, object] = {}
        stubs = {"code_stub": {"python": CODE_STUB}, "text_stub": TEXT_STUB}
        for step in (
            LockCells(),
            ClearSolutions(**stubs),
            CheckCellMetadata(),
            ComputeChecksums(),
        ):
            notebook, resources = step.preprocess(notebook, resources)
        return notebook

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a mark could: with the chapter's text or the package's version."""
        material = f"{autograder.__version__}\0{self.text}"
        return hashlib.sha256(material.encode()).hexdigest()


def _is_graded(cell: NotebookNode) -> bool:
    return bool(nbgrader_metadata(cell).get("grade"))


def _headings(markdown: str) -> Iterator[str]:
    for match in re.finditer(r"^#+ (?!BEGIN |END )(.+)$", markdown, re.MULTILINE):
        yield match[1].strip()


def parse_checks(source: str) -> list[CheckSpec]:
    """The checks that a test cell defines, read without running it."""
    lines = source.splitlines()
    hidden = set()
    inside = False
    for number, line in enumerate(lines, 1):
        inside = (inside or line.strip() == HIDDEN_BEGIN) and line.strip() != HIDDEN_END
        if inside:
            hidden.add(number)
    found = []
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "check":
                options = {key.arg: ast.literal_eval(key.value) for key in call.keywords}
                title = " ".join((ast.get_docstring(node) or "").split())
                found.append(
                    CheckSpec(
                        node.name,
                        title,
                        node.lineno in hidden,
                        float(options["points"]),
                        str(options.get("hint", "")),
                    )
                )
    return found


class Course:
    """A folder with source/, release/ and notebooks/."""

    def __init__(self, root: Path):
        self.root = root

    @classmethod
    def find(cls, start: Path) -> Course:
        """The course that the folder `start` belongs to: the nearest one upwards."""
        for folder in [start.resolve(), *start.resolve().parents]:
            if (folder / "nbgrader_config.py").exists() and (folder / "source").is_dir():
                return cls(folder)
        raise CourseError(
            f"{start} is not inside a course: no folder upwards has nbgrader_config.py and source/"
        )

    @property
    def chapters(self) -> list[str]:
        """Names of all chapters, in order."""
        return sorted(path.parent.name for path in self.root.glob("source/ch[0-9][0-9]_*/*.py"))

    def assignment(self, name: str) -> Assignment:
        """The chapter of that name."""
        files = sorted((self.root / "source" / name).glob("*.py"))
        if len(files) != 1:
            known = ", ".join(self.chapters) or "none"
            raise CourseError(f"there is no chapter {name!r}; there are: {known}")
        return Assignment(files[0])
