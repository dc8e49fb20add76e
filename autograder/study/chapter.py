"""A chapter as `%check` needs it: its exercises with their tests, hints and solutions.

It is read from the chapter's source where the learner has the whole course; else, in a class, from
the notebook itself, which has no hidden tests and no solutions. Only the standard library is used:
what reads a chapter for builder and grader (course/source.py) takes longer to import than most
checks take to run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from autograder.course.cells import CODE_STUB, Region, parse_lines, section_title

_HINT = re.compile(
    r"<details><summary>\s*(Hint\b.*?)\s*</summary>(.*?)</details>", re.DOTALL | re.IGNORECASE
)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class NotFound(Exception):
    """There is no such chapter, notebook or exercise; the message says what there is."""


@dataclass(frozen=True)
class Cell:
    """A cell; `id` is nbgrader's, of a cell that is the course's own, or else the notebook's."""

    id: str
    kind: str
    source: str
    courses_own: bool = False
    grade: bool = False
    solution: bool = False

    @property
    def is_setup(self) -> bool:
        """Whether the course gives it, to be run and not changed."""
        return self.kind == "code" and self.courses_own and not (self.grade or self.solution)

    @property
    def defines(self) -> set[str]:
        """The functions and classes at its top, even if Python cannot read it.

        Those that only the solution has are left out: a learner's answer need not have them.
        """
        lines = parse_lines(self.source)
        given = "\n".join(line.text for line in lines if line.region is not Region.SOLUTION)
        return set(re.findall(r"^(?:async +)?(?:def|class) +(\w+)", given, re.MULTILINE))


@dataclass(frozen=True)
class Exercise:
    """An exercise with checks.

    Attributes:
        title: of its section, with the number, as in "1.2 Attention".
        answer: the cell that is the learner's to fill in; with the solution where there is one.
        test: the cell with the checks.
        hints: (title, Markdown text) of each, in order.
    """

    id: str
    title: str
    answer: Cell
    test: Cell
    hints: tuple[tuple[str, str], ...]

    @property
    def solution(self) -> str:
        """The reference solution without its markers; empty where there is none."""
        lines = parse_lines(self.answer.source)
        if not any(line.region is Region.SOLUTION for line in lines):
            return ""
        return "\n".join(line.text for line in lines if not line.is_marker)

    @property
    def model(self) -> str:
        """What says which of the functions return something: the solution, or else the stub."""
        return self.solution or self.answer.source

    @property
    def stub(self) -> str:
        """The answer's cell as students get it; empty where there is no solution to tell."""
        lines = parse_lines(self.answer.source)
        kept = [
            line.text.replace(line.text.strip(), CODE_STUB) if line.is_marker else line.text
            for line in lines
            if line.region is not Region.SOLUTION or (line.is_marker and "BEGIN" in line.text)
        ]
        return "\n".join(kept) if len(kept) < len(lines) else ""


@dataclass(frozen=True)
class Chapter:
    """A chapter.

    Attributes:
        name: of its folder, such as "ch01_concepts".
        cells: in order.
        whole: whether it has hidden tests and solutions: it was read from the course's source.
    """

    name: str
    cells: tuple[Cell, ...]
    whole: bool

    @property
    def key(self) -> str:
        """The name without the number: "concepts"."""
        return _without_number(self.name)

    @property
    def title(self) -> str:
        """The first heading."""
        texts = (cell.source for cell in self.cells if cell.kind == "markdown")
        return next((found[1] for text in texts if (found := _HEADING.search(text))), self.name)

    @cached_property
    def exercises(self) -> dict[str, Exercise]:
        """The exercises with checks, by id, in order."""
        tests = {cell.id: cell for cell in self.cells if cell.kind == "code" and cell.grade}
        found, title, hints = {}, "", []
        for cell in self.cells:
            if cell.kind == "markdown":
                title = section_title(cell.source, title)
                hints += _HINT.findall(cell.source)
            elif (test := tests.get(f"test_{cell.id}")) and cell.solution:
                clean = tuple((" ".join(t.split()), text.strip()) for t, text in hints)
                found[cell.id] = Exercise(cell.id, title, cell, test, clean)
                hints = []
        return found

    def exercise(self, name: str) -> Exercise:
        """The exercise called so: by its id, a name that its cell defines, or its number.

        Raises:
            NotFound: if there is none, or more than one.
        """
        wanted = name.strip().removeprefix("test_")
        if wanted in self.exercises:
            return self.exercises[wanted]
        found = [
            exercise
            for exercise in self.exercises.values()
            if wanted in exercise.answer.defines or exercise.title.split()[0] == wanted
        ]
        if len(found) == 1:
            return found[0]
        known = ", ".join(self.exercises) or "none"
        meant = f" Did you mean `{alike}`?" if (alike := self._alike(wanted)) else ""
        raise NotFound(
            f"This chapter has no exercise {wanted!r}.{meant} Its exercises are: {known}."
        )

    def _alike(self, wanted: str) -> str:
        """The id of the exercise whose id, function or title is almost the name; else empty."""
        names, words = dict[str, str](), dict[str, set[str]]()
        for exercise in self.exercises.values():
            names |= {name.lower(): exercise.id for name in exercise.answer.defines}
            names[exercise.id.lower()] = exercise.id
            for word in re.findall(r"[a-z]{4,}", exercise.title.lower()):
                words.setdefault(word, set()).add(exercise.id)
        names = {word: min(ids) for word, ids in words.items() if len(ids) == 1} | names
        found = get_close_matches(wanted.lower(), names, n=1)
        return names[found[0]] if found else ""


def find_course(start: Path) -> Path | None:
    """The folder of the course that `start` lies in, if the course's source is there."""
    for folder in (start, *start.parents):
        if (folder / "nbgrader_config.py").is_file() and any(folder.glob("source/ch*/*.py")):
            return folder
    return None


def chapter_folders(course: Path) -> list[Path]:
    """The folders of all chapters' sources, in order."""
    return sorted({path.parent for path in course.glob("source/ch[0-9][0-9]_*/*.py")})


def find_chapter(course: Path, folder: Path, notebook: Path | None) -> Path | None:
    """The folder of the source that a learner's notebook belongs to.

    It is known by the notebook's folder, which has the chapter's name, by its own name, or by the
    exercises in it. Numbers of chapters do not matter: they may have changed.
    """
    folders = chapter_folders(course)
    stem = re.sub(r"^\d+_", "", notebook.stem) if notebook else ""
    for name in (_without_number(folder.name), stem):
        for candidate in folders:
            if _without_number(candidate.name) == name:
                return candidate
    if notebook is None:
        return None
    ids = read_notebook(notebook, "").exercises.keys()
    alike = {candidate: len(ids & read_source(candidate).exercises.keys()) for candidate in folders}
    best = max(folders, key=alike.__getitem__, default=None)
    return best if best and alike[best] else None


def _without_number(name: str) -> str:
    return re.sub(r"^ch\d+_", "", name)


def read_source(folder: Path) -> Chapter:
    """The chapter as written: one percent-format file a section."""
    cells: list[Cell] = []
    for path in sorted(folder.glob("*.py")):
        _, *parts = re.split(r"^# %%(.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for head, text in zip(parts[::2], parts[1::2], strict=True):
            found = re.search(r"nbgrader=(\{.*\})", head)
            metadata = json.loads(found[1]) if found else {}
            if "[markdown]" in head:
                kind, source = "markdown", re.sub(r"^# ?", "", text, flags=re.MULTILINE)
            else:
                kind, source = "code", text
            cells.append(_cell(metadata, f"cell-{len(cells)}", kind, source.strip("\n")))
    return Chapter(folder.name, tuple(cells), whole=True)


def read_notebook(path: Path, name: str) -> Chapter:
    """The chapter as a student has it.

    Raises:
        NotFound: if the file cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        cells = [
            _cell(
                cell.get("metadata", {}).get("nbgrader") or {},
                str(cell.get("id", f"cell-{number}")),
                cell["cell_type"],
                "".join(cell["source"]),
            )
            for number, cell in enumerate(content["cells"])
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotFound(f"The notebook {path.name} could not be read: {error}") from None
    return Chapter(name, tuple(cells), whole=False)


def _cell(metadata: dict[str, object], identifier: str, kind: str, source: str) -> Cell:
    return Cell(
        str(metadata.get("grade_id", identifier)),
        kind,
        source,
        bool(metadata),
        bool(metadata.get("grade")),
        bool(metadata.get("solution")),
    )


def answers_of_another_kind(course: Path, chapter: str, exercise: Exercise) -> list[str]:
    """Right answers that were collected for the exercise; the least like the solution first."""
    words = set(re.findall(r"\w+", exercise.solution))

    def likeness(text: str) -> float:
        others = set(re.findall(r"\w+", text))
        return len(words & others) / max(1, len(words | others))

    folder = course / "tests" / "answers" / chapter / exercise.id
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("right_*.py"))]
    return sorted(texts, key=likeness)
