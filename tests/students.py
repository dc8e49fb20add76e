"""A class of any size, with the marks that it must get.

`make_class` makes N students of one chapter from the collected answers to its exercises. Of every
twenty, eight are right, six wrong in places, three hostile and three broken, in an order that looks
random and is always the same; every hundred has each kind of attack and of damage once.

What a mark must be comes from the answers' own first lines: a right answer gets full marks, a wrong
one loses at least the checks that it names there. Whether it loses others, too, is not promised for
the answers to the real chapters: there the mark must only lie between nothing and that, and be the
same wherever the same answer is graded. The small course's answers name all that they lose.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import tiny
import tiny_class
from attacks.attacks import ATTACKS
from nbformat import NotebookNode
from sample_class import as_bytes, fill

from autograder.audit.answers import Answer, collections
from autograder.course.cells import grade_id, is_test
from autograder.course.source import Assignment, Course
from autograder.results import Status

TWENTY = ("right",) * 8 + ("wrong",) * 6 + ("hostile",) * 3 + ("broken",) * 3
UNTOUCHED = "untouched"


@dataclass(frozen=True)
class Mark:
    """What one exercise must get.

    Attributes:
        work: what was handed in for it; the same work must get the same mark in the whole class.
        least, most: points; the same number where the mark is known.
    """

    work: str
    least: float
    most: float


@dataclass(frozen=True)
class Student:
    """One submission.

    Attributes:
        kind: one of `TWENTY`; `what` says which attack or damage it is.
        marks: by exercise, of those that are graded by checks; empty if it must be rejected.
    """

    name: str
    kind: str
    what: str
    data: bytes
    status: Status
    marks: Mapping[str, Mark]


# ------------------------------------------------------------------------------- the small course


def small_course(folder: Path) -> Course:
    """The small course with its answers as files, as a real chapter has them."""
    course = tiny_class.make_course(folder)
    lost = {"statistics": "mean_of_many", "scale": "divides_by_the_root"}
    lost["fit"] = "learns_the_weights"
    for exercise, text in tiny_class.RIGHT.items():
        place = folder / "tests" / "answers" / tiny.TINY / exercise
        place.mkdir(parents=True)
        (place / "right_other.py").write_text(f"# Right: it is\n{text}")
        wrong = f"# Wrong: it is\n# Fails: {lost[exercise]}\n{tiny_class.WRONG[exercise]}"
        (place / "wrong_other.py").write_text(wrong)
    return course


# ------------------------------------------------------------------- hostile: stands in a cell


# Those of tests/attacks that need no name of the course they were written for, do not spoil the
# answers that they come with, and take no more of the machine than honest work.
BORROWED = (
    "torch_assert_close", "checks_call", "checks_sums", "watcher_thread", "input_transformer",
    "run_cell", "own_folder", "environment", "other_submissions", "home_folder", "kill_parent",
    "daemon",
)  # fmt: skip
LOOP = "\n\nwhile True:\n    pass\n"
FLOOD = "\n\nwhile True:\n    print('training ...' * 100)\n"
KILLS, DEATH = "kills its kernel", "\n\nimport os\nos.kill(os.getpid(), 9)\n"


def _attacks() -> dict[str, str]:
    """What stands behind an honest answer, by name."""
    known = {attack.name: attack.text for attack in ATTACKS}
    borrowed = {name: f"\n\n{known[name]}\n" for name in BORROWED}
    return {**borrowed, "loops": LOOP, "floods": FLOOD, KILLS: DEATH}


# --------------------------------------------------------------- broken: what becomes of good work

Damage = Callable[[NotebookNode, str], bytes]  # of the notebook; `str`: an exercise


def _cells(notebook: NotebookNode, keep: Callable[[NotebookNode], bool]) -> bytes:
    notebook.cells = [cell for cell in notebook.cells if keep(cell)]
    return as_bytes(notebook)


def _cell(notebook: NotebookNode, exercise: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if grade_id(cell) == exercise)


def _without_metadata(notebook: NotebookNode, _: str) -> bytes:
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
    return as_bytes(notebook)


def _edited_setup(notebook: NotebookNode, _: str) -> bytes:
    locked = next(c for c in notebook.cells if c.cell_type == "code" and grade_id(c))
    locked.source = "print('my own imports')"
    return as_bytes(notebook)


def _doubled(notebook: NotebookNode, exercise: str) -> bytes:
    cell = _cell(notebook, exercise)
    copy = nbformat.from_dict(cell)
    copy.id = "a-copy"
    notebook.cells.insert(notebook.cells.index(cell), copy)
    return as_bytes(notebook)


def _as_markdown(notebook: NotebookNode, exercise: str) -> bytes:
    place = notebook.cells.index(_cell(notebook, exercise))
    cell = notebook.cells[place]
    text = nbformat.v4.new_markdown_cell(cell.source, metadata=cell.metadata, id=cell.id)
    notebook.cells[place] = text
    return as_bytes(notebook)


def _syntax_error(notebook: NotebookNode, exercise: str) -> bytes:
    _cell(notebook, exercise).source = "def broken(values)\n    return values\n"
    return as_bytes(notebook)


def _conflict(notebook: NotebookNode, _: str) -> bytes:
    lines = as_bytes(notebook).splitlines(keepends=True)
    half = len(lines) // 2
    middle = [b"<<<<<<< HEAD\n", lines[half], b"=======\n", lines[half], b">>>>>>> theirs\n"]
    return b"".join([*lines[:half], *middle, *lines[half + 1 :]])


def _other_notebook(notebook: NotebookNode, _: str) -> bytes:
    return as_bytes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1", id="sum")]))


# Those after which nothing can be graded; those after which all can; those that lose an exercise.
REJECTED: dict[str, Damage] = {
    "cut off": lambda notebook, _: as_bytes(notebook)[: len(as_bytes(notebook)) * 2 // 3],
    "a PDF": lambda notebook, _: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
    "empty": lambda notebook, _: b"",
    "a web page": lambda notebook, _: b"<!DOCTYPE html><title>Please log in</title>",
    "a merge conflict": _conflict,
    "another notebook": _other_notebook,
    "no cells": lambda notebook, _: b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "a list": lambda notebook, _: b"[1, 2, 3]",
}
REPAIRED: dict[str, Damage] = {
    "without metadata": _without_metadata,
    "without tests": lambda notebook, _: _cells(notebook, lambda cell: not is_test(cell)),
    "edited set-up": _edited_setup,
    "an answer twice": _doubled,
    "an answer as text": _as_markdown,
}
LOST: dict[str, Damage] = {
    "an answer deleted": lambda n, exercise: _cells(n, lambda cell: grade_id(cell) != exercise),
    "a syntax error": _syntax_error,
}


# ------------------------------------------------------------------------------------- the class


class _Maker:
    """Makes students of one chapter.

    Args:
        exercises: that they have worked on; the others are untouched.
    """

    def __init__(self, course: Course, assignment: Assignment, exercises: Iterable[str]):
        self.random = random.Random(24)
        self.release = tiny.release(assignment)
        self.answers: dict[str, list[Answer]] = {}
        self.points: dict[str, dict[str, float]] = {}
        self.untouched = [e.id for e in assignment.exercises if e.test_id]
        for collection in collections(course, [assignment.name], list(exercises)):
            exercise = collection.exercise
            self.answers[exercise.id] = collection.answers
            self.points[exercise.id] = {check.name: check.points for check in exercise.checks}
        self.exact = assignment.name == tiny.TINY
        self.taken: dict[str, int] = defaultdict(int)

    def student(self, name: str, kind: str) -> Student:
        """One more of that kind."""
        make = {"right": self._right, "wrong": self._wrong}
        make |= {"hostile": self._hostile, "broken": self._broken}
        what, data, marks = make[kind]()
        status = Status.GRADED if marks else Status.REJECTED
        return Student(name, kind, what, data, status, marks)

    def _next(self, kind: str, names: Iterable[str]) -> str:
        """Takes turns, so that a hundred students have each of the fifteen."""
        names = list(names)
        self.taken[kind] += 1
        return names[(self.taken[kind] - 1) % len(names)]

    def _choose(self, exercise: str, right: bool) -> Answer:
        return self.random.choice([a for a in self.answers[exercise] if a.right is right])

    def _mark(self, exercise: str, answer: Answer | None, beside: str = "") -> Mark:
        """Of an answer; None: none was given. `beside`: what else the notebook has."""
        if answer is None:
            return Mark(UNTOUCHED, 0.0, 0.0)
        points = self.points[exercise]
        most = sum(points.values()) - sum(points[check] for check in answer.must_fail)
        least = most if answer.right or self.exact else 0.0
        return Mark(f"{answer.name}{beside and f' with {beside}'}", least, most)

    def _filled(self, chosen: Mapping[str, str]) -> NotebookNode:
        return fill(dict(chosen), deepcopy(self.release))

    def _marks(self, chosen: Mapping[str, Answer | None], beside: str = "") -> dict[str, Mark]:
        nothing = dict.fromkeys(self.untouched, Mark(UNTOUCHED, 0.0, 0.0))
        return {**nothing, **{e: self._mark(e, a, beside) for e, a in chosen.items()}}

    def _right(self) -> tuple[str, bytes, dict[str, Mark]]:
        chosen = {exercise: self._choose(exercise, True) for exercise in self.answers}
        notebook = self._filled({e: answer.text for e, answer in chosen.items()})
        return "", as_bytes(notebook), self._marks(chosen)

    def _wrong(self) -> tuple[str, bytes, dict[str, Mark]]:
        """Each exercise wrong, right or untouched; one at least is wrong."""
        chosen: dict[str, Answer | None] = {}
        always = self.random.choice(list(self.answers))
        for exercise in self.answers:
            die = "wrong" if exercise == always else self.random.choice(["wrong", "right", ""])
            chosen[exercise] = self._choose(exercise, die == "right") if die else None
        notebook = self._filled({e: answer.text for e, answer in chosen.items() if answer})
        return "", as_bytes(notebook), self._marks(chosen)

    def _hostile(self) -> tuple[str, bytes, dict[str, Mark]]:
        """A wrong answer to the first exercise, and code that gets no more for it."""
        attacks = _attacks()
        what = self._next("hostile", attacks)
        first = next(iter(self.answers))
        answers = {e: self._choose(e, e != first) for e in self.answers}
        texts = {exercise: answer.text for exercise, answer in answers.items()}
        texts[first] += attacks[what]
        chosen: dict[str, Answer | None] = {**answers}
        if what == KILLS:  # its cell is left out
            chosen[first] = None
        return what, as_bytes(self._filled(texts)), self._marks(chosen, what)

    def _broken(self) -> tuple[str, bytes, dict[str, Mark]]:
        """Right answers, and a file that was damaged on its way."""
        damages = {**REJECTED, **REPAIRED, **LOST}
        what = self._next("broken", damages)
        chosen: dict[str, Answer | None] = {e: self._choose(e, True) for e in self.answers}
        first = next(iter(chosen))
        notebook = self._filled({e: answer.text for e, answer in chosen.items() if answer})
        data = damages[what](notebook, first)
        if what in LOST:
            chosen[first] = None
        return what, data, {} if what in REJECTED else self._marks(chosen)


def make_class(
    course: Course, assignment: Assignment, number: int, exercises: Iterable[str] = ()
) -> list[Student]:
    """The class, in the order in which it is graded; the first N of a larger class are the same.

    Args:
        number: of students, at most 9,999.
        exercises: that they have worked on; all if empty.
    """
    maker, order, students = _Maker(course, assignment, exercises), random.Random(7), []
    kinds: list[str] = []
    while len(kinds) < number:
        twenty = list(TWENTY)
        order.shuffle(twenty)
        kinds += twenty
    for index, kind in enumerate(kinds[:number]):
        students.append(maker.student(f"s{index:04}", kind))
    return students


def faults(students: Iterable[Student], records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with the marks of the class, a sentence each.

    Args:
        records: by student, as `autograder grade --json` writes them.
    """
    found: list[str] = []
    same: dict[tuple[str, str], dict[float, str]] = defaultdict(dict)
    names = {student.name for student in students}
    found += [f"{name}: nobody handed this in" for name in sorted(records.keys() - names)]
    for student in students:
        who = f"{student.name} ({student.kind}{student.what and ', '}{student.what})"
        record = records.get(student.name)
        if record is None:
            found.append(f"{who}: no record")
            continue
        if record["status"] != student.status:
            found.append(f"{who}: {record['status']}, not {student.status}: {record['reason']}")
            continue
        scores = {e["id"]: e["score"] for e in record["exercises"] if e["checks"]}
        if scores.keys() != student.marks.keys():
            found.append(f"{who}: marks for {sorted(scores)}, not {sorted(student.marks)}")
            continue
        for exercise, mark in student.marks.items():
            score = scores[exercise]
            if not mark.least <= score <= mark.most:
                wanted = f"{mark.least:g} to {mark.most:g}"
                found.append(f"{who}: {score:g} for {exercise} ({mark.work}), not {wanted}")
            same[exercise, mark.work].setdefault(score, student.name)
        total = sum(scores.values())
        if student.marks and record["score"] != total:
            found.append(f"{who}: {record['score']} in all, not {total}")
    found += [
        f"{exercise}: {work} got {', '.join(f'{s:g} ({who})' for s, who in scores.items())}"
        for (exercise, work), scores in same.items()
        if len(scores) > 1
    ]
    return found
