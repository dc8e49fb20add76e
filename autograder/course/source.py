"""What source/ says: courses, chapters, exercises, checks.

A chapter is written once, as jupytext percent text with nbgrader's cell metadata, one file a
section: source/chNN_name/NN_section.py, in the order of their names. This module reads it and
refuses what could not be graded validly. Builder and grader start from the `Assignment` made here.

jupytext and nbgrader take seconds to import: only what reads a chapter does.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import re
import sysconfig
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.course.cells import (
    CODE_STUB,
    Region,
    grade_id,
    identifier,
    is_answer,
    is_demo,
    is_test,
    marker_problem,
    nbgrader_metadata,
    notebook_name,
    parse_lines,
    section_title,
)
from autograder.course.names import LOOSE, Code, definitions, parse, what_happens

if TYPE_CHECKING:
    from nbformat import NotebookNode

DEFAULTS = {
    "cell_seconds": 60,
    "check_seconds": 60,
    "notebook_seconds": 600,
    "float64": [],
    "loopback": False,
}
TEXT_STUB = "*Your answer here.*"
# Stands behind the first set-up cell of every chapter, as a demonstration, which grading skips.
COMMANDS = """\
%load_ext autograder
# Now %check NAME runs the checks of an exercise, and %hint, %solution and %progress work, too."""
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


class Assignment:
    """One chapter.

    Attributes:
        name: folder name and nbgrader's assignment id, such as "ch01_concepts".
        notebook_name: of the notebook that the sections make together, such as "concepts".
        cell_seconds, check_seconds: until a cell of a submission, or a check, is interrupted;
            set in the header of the first section as
            `autograder: {cell_seconds: N, check_seconds: M}`.
        notebook_seconds: for a whole submission; set there, too.
        float64: ids of the exercises whose checks also hold in 64 bits; set there, too.
        loopback: whether its answers connect processes over the loopback device; set there, too.
        source: the notebook as written, with solutions, hidden tests and mark schemes.
    """

    def __init__(self, folder: Path):
        self.name = folder.name
        self.notebook_name = notebook_name(folder.name)
        self.sections = sorted(folder.glob("*.py"))
        self.source = self._read()
        self._validate()

    def _read(self) -> NotebookNode:
        import jupytext
        import nbformat

        texts = {path: path.read_text(encoding="utf-8") for path in self.sections}
        self.text = "".join(texts.values())
        notebook = jupytext.reads(self.text, fmt="py:percent")
        header, *others = self.sections
        for path in others:
            if re.match(r"\s*# ---", texts[path]):
                raise CourseError(f"{path}: settings stand in the header of {header.name}")
        sections = [
            p for p, text in texts.items() for _ in re.finditer("^# %%", text, re.MULTILINE)
        ]
        if len(sections) != len(notebook.cells):
            raise CourseError(f"{header.parent}: sections begin with `# %%` and end with a newline")
        self._section_of: dict[str, Path] = {}  # by the cell's id
        for cell, path in zip(notebook.cells, sections, strict=True):
            cell.id = identifier(cell)
            if cell.id in self._section_of:
                problem = f"stands in the chapter twice, the second time in {path.name}"
                raise self._error(cell, problem)
            self._section_of[cell.id] = path
        _insert_commands(notebook)
        settings = {**DEFAULTS, **notebook.metadata.get("autograder", {})}
        if unknown := settings.keys() - DEFAULTS.keys():
            raise CourseError(f"{header}: the header has unknown settings: {sorted(unknown)}")
        self.cell_seconds = float(settings["cell_seconds"])
        self.check_seconds = float(settings["check_seconds"])
        self.notebook_seconds = float(settings["notebook_seconds"])
        if not isinstance(settings["float64"], list):
            raise CourseError(f"{header}: float64 in the header is a list of exercises: [...]")
        self.float64 = frozenset(settings["float64"])
        self.loopback = bool(settings["loopback"])
        notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
        notebook.nbformat, notebook.nbformat_minor = 4, 5
        return notebook

    def _error(self, cell: NotebookNode, problem: str) -> CourseError:
        where = grade_id(cell) or cell.source.strip().splitlines()[0][:60]
        return CourseError(f"{self.name}: cell {where!r} {problem} ({self._section_of[cell.id]})")

    def _validate(self) -> None:
        ids = {grade_id(cell) for cell in self.source.cells}
        if unknown := sorted(x for x in self.float64 if f"test_{x}" not in ids):
            raise CourseError(
                f"{self.sections[0]}: float64 in the header names no exercise: {unknown}"
            )
        for cell in self.source.cells:
            data = nbgrader_metadata(cell)
            if problem := marker_problem(cell.source):
                raise self._error(cell, problem)
            if cell.cell_type == "code" and not data and not is_demo(cell):
                raise self._error(
                    cell, "is neither locked set-up, exercise, test nor tagged demo: mark it"
                )
            if not is_test(cell):
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
        """The chapter as far as these exercises need it.

        That is without other tests, what stands behind theirs, and answers to earlier exercises
        that nothing in it uses.
        """
        cells = []
        tests = {exercise.test_id for exercise in exercises}
        for cell in self.source.cells:
            is_code = cell.cell_type == "code" and not is_demo(cell)
            if is_code and (grade_id(cell) in tests or not is_test(cell)):
                cells.append(cell)
            tests.discard(grade_id(cell))
            if not tests:
                break
        own = {exercise.id for exercise in exercises}
        earlier = [c for c in cells if is_answer(c) and c.id not in own]
        unused = _unused(earlier, [cell for cell in cells if cell not in earlier])
        return self._with([cell for cell in cells if cell.id not in unused])

    def with_solution(self, exercise: Exercise, text: str) -> Assignment:
        """The chapter with another reference solution in the exercise's cell."""
        solved = {exercise.id: {"source": text}}
        return self._with([{**cell, **solved.get(cell.id, {})} for cell in self.source.cells])

    def _with(self, cells: Sequence[Mapping[str, object]]) -> Assignment:
        """The chapter with these cells instead of its own."""
        import nbformat

        changed = copy.copy(self)
        for cached in ("exercises", "assigned", "fingerprint"):
            vars(changed).pop(cached, None)
        changed.source = nbformat.from_dict({**self.source, "cells": cells})
        return changed

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
                title = section_title(cell.source, title)
            if not is_answer(cell):
                continue
            data = nbgrader_metadata(cell)
            identifier = str(data["grade_id"])
            test = by_id.get(f"test_{identifier}")
            if test is not None:
                points = float(test.metadata.nbgrader.points)
                checks = tuple(parse_checks(test.source))
                float64 = identifier in self.float64
                found.append(Exercise(identifier, title, points, grade_id(test), checks, float64))
            elif data.get("grade"):
                found.append(
                    Exercise(identifier, title, float(cell.metadata.nbgrader.points), None, ())
                )
        return found

    @cached_property
    def assigned(self) -> NotebookNode:
        """The notebook as the grader sees it: no solutions, but hidden tests, and checksums.

        It is what nbgrader's generate_assignment saves in the gradebook.
        """
        import nbformat
        from nbgrader.preprocessors import (
            CheckCellMetadata,
            ClearSolutions,
            ComputeChecksums,
            LockCells,
        )

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
        """Changes whenever the chapter could give another mark; text and comments make none."""
        material = [repr((self.cell_seconds, self.check_seconds, self.notebook_seconds))]
        for cell, assigned in zip(self.source.cells, self.assigned.cells, strict=True):
            data = nbgrader_metadata(cell)
            if cell.cell_type == "code":
                checks = [
                    (check.name, check.hidden)
                    for check in (parse_checks(cell.source) if is_test(cell) else [])
                ]
                code = [_syntax(cell.source), _syntax(assigned.source)]
                material.append(repr([data, checks, is_demo(cell), code]))
            elif data:
                material.append(repr(data))
        return hashlib.sha256("\0".join(material).encode()).hexdigest()


def _insert_commands(notebook: NotebookNode) -> None:
    """Puts the cell with `%load_ext autograder` behind the chapter's first set-up cell."""
    import nbformat

    for index, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code" and nbgrader_metadata(cell):
            new = nbformat.v4.new_code_cell(COMMANDS, metadata={"tags": ["demo", "shown"]})
            new.id = identifier(new)
            notebook.cells.insert(index, new)
            return


def _syntax(source: str) -> str:
    """The same for the same code, whatever its comments, docstrings and layout."""
    try:
        return ast.dump(what_happens(source))
    except SyntaxError:  # a magic command, say
        return source


def _unused(answers: Iterable[NotebookNode], others: Iterable[NotebookNode]) -> set[str]:
    """Ids of the answers of which nothing is used by the other cells, or by answers that are."""
    defined = {cell.id: definitions(cell.source) for cell in answers}
    used: set[str] = set()
    try:
        for cell in others:
            used |= _uses(definitions(cell.source))
    except SyntaxError:  # a magic command, say: who knows what it uses?
        return set()
    while True:
        needed = {i for i, names in defined.items() if LOOSE in names or used & names.keys()}
        if not needed:
            return set(defined)
        for answer in needed:
            used |= _uses(defined.pop(answer))


def _uses(names: dict[str, Code]) -> set[str]:
    return set().union(*(code.uses for code in names.values()))


def _headings(markdown: str) -> Iterator[str]:
    for line in parse_lines(markdown):
        if not line.is_marker and (match := re.match(r"#+ (.+)", line.text)):
            yield match[1].strip()


def parse_checks(source: str) -> list[CheckSpec]:
    """The checks that a test cell defines, read without running it."""
    lines = parse_lines(source)
    found = []
    for node in parse(source).body:
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
                        lines[node.lineno - 1].region is Region.HIDDEN_TESTS,
                        float(options["points"]),
                        str(options.get("hint", "")),
                    )
                )
    return found


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def installed_versions(packages: Collection[str]) -> dict[str, str]:
    """The versions that are installed here of these packages, by their normal names, sorted."""
    found = {}
    for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"):
        name, _, version = path.stem.rpartition("-")
        if _normal(name) in packages:
            found[_normal(name)] = version
    return dict(sorted(found.items()))


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

    @cached_property
    def lock(self) -> dict[str, str]:
        """The versions in requirements.lock by package; empty if the course has no such file."""
        path = self.root / "requirements.lock"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {
            _normal(name): version
            for name, equal, version in (line.partition("==") for line in lines)
            if equal
        }

    @cached_property
    def installed(self) -> dict[str, str]:
        """The versions of the locked packages that are installed here."""
        return installed_versions(self.lock)

    @property
    def chapters(self) -> list[str]:
        """Names of all chapters, in order."""
        return sorted({path.parent.name for path in self.root.glob("source/ch[0-9][0-9]_*/*.py")})

    @property
    def homework(self) -> list[str]:
        """Names of the teacher's own assignments, which lie beside the chapters as notebooks."""
        found = {path.parent.name for path in self.root.glob("source/*/*.ipynb")}
        return sorted(found - set(self.chapters))

    def assignment(self, name: str) -> Assignment:
        """The chapter of that name."""
        return Assignment(self.folder(name))

    def folder(self, name: str) -> Path:
        """The folder of the chapter of that name.

        Raises:
            CourseError: if there is none.
        """
        if name in self.homework:
            raise CourseError(f"{name!r} is a homework, not a chapter: nbgrader's commands make it")
        if name not in self.chapters:
            known = ", ".join([*self.chapters, *self.homework]) or "none"
            kind = "chapter or homework" if self.homework else "chapter"
            raise CourseError(f"there is no {kind} {name!r}; there are: {known}")
        return self.root / "source" / name
