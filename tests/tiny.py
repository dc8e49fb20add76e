"""Small courses without Keras, for tests of everything but the real chapters.

`write_chapter` makes one of any cells; `make_course` makes the one that the audit's tests use, with
its right and wrong answers. The class of students for the tests of engine and classroom is in
tiny_class.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
from engines import engine
from nbformat import NotebookNode
from sample_class import ROOT, as_bytes

from autograder.course.build import make_solved
from autograder.course.cells import grade_id
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine
from autograder.engine.handed_in import Submission
from autograder.engine.options import Graded, Limits
from autograder.sandbox.confine import Isolation

TINY = "ch99_tiny"
NOTEBOOK = "tiny.ipynb"
HEADER = """\
# ---
# jupyter:
{header}#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Tiny
"""


def cell(
    identifier: str, text: str, *, points: int = 0, solution: bool = False, kind: str = ""
) -> str:
    """A cell with nbgrader's metadata: set-up, an exercise, or, if it has points, a test cell."""
    metadata = {
        "grade": points > 0,
        "grade_id": identifier,
        "locked": not solution,
        **({"points": points} if points else {}),
        "schema_version": 3,
        "task": False,
        "solution": solution,
    }
    return f"# %% {kind}nbgrader={json.dumps(metadata)}\n{text.strip()}\n"


def demo(text: str) -> str:
    """A demonstration."""
    return f'# %% tags=["demo"]\n{text}\n'


def written(identifier: str, answer: str, points: int) -> str:
    """The cell for an answer that a person marks."""
    text = f"# ### BEGIN SOLUTION\n# {answer}\n# ### END SOLUTION"
    return cell(identifier, text, points=points, solution=True, kind="[markdown] ")


def function(name: str, body: str, arguments: str = "*args") -> str:
    """A function whose body is the solution."""
    return (
        f"def {name}({arguments}):\n    ### BEGIN SOLUTION\n{_indented(body)}\n"
        "    ### END SOLUTION\n\n\n"
    )


def exercise(name: str, solution: str, tests: str, points: int) -> str:
    """An exercise's cell and its test cell, as an author writes them."""
    tested = f"check = Checks(points={points})\n\n\n{tests.strip()}\n\n\ncheck.score()"
    answer = cell(name, solution, solution=True)
    return f"# %% [markdown]\n# ## Exercise {name}\n\n{answer}\n" + cell(
        f"test_{name}", tested, points=points
    )


def check(name: str, body: str, *, points: int = 1, hint: str = "Think.") -> str:
    """A check."""
    options = f'points={points}, hint="{hint}"'
    return f'@check({options})\ndef {name}():\n    """{name}."""\n{_indented(body)}\n\n\n'


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())


def write_chapter(folder: Path, *cells: str, header: str = "") -> Course:
    """A course whose only chapter has these cells; the header may hold its settings."""
    section = folder / "source" / TINY / "tiny.py"
    section.parent.mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    section.write_text("\n".join([HEADER.format(header=header), *cells]))
    return Course(folder)


def release(assignment: Assignment) -> NotebookNode:
    """What students get."""
    notebook = nbformat.from_dict(assignment.assigned)
    visible = {cell.id: cell.source for cell in make_solved(assignment).cells}
    for cell in notebook.cells:
        if (grade_id(cell) or "").startswith("test_"):
            cell.source = visible[cell.id]
    return notebook


def graded(
    assignment: Assignment,
    submitted: NotebookNode | bytes,
    *,
    isolation: Isolation = Isolation.FULL,
    grader: Engine | None = None,
    **limits: object,
) -> Graded:
    """The submission of a student called "student", graded."""
    data = submitted if isinstance(submitted, bytes) else as_bytes(submitted)
    submission = Submission("student", data)
    return (grader or engine(isolation)).grade(assignment, submission, Limits(**limits))


# ---------------------------------------------------------------- for the audit

SETUP = """\
import random

import torch

from autograder.checks import Checks, probe"""
SCALE = """\
def scale(values, width):
    ### BEGIN SOLUTION
    return [value / width**0.5 for value in values]
    ### END SOLUTION"""
TESTS = """\
check = Checks(points=2)

@check(points=1, hint="One number for each.")
def keeps_the_length():
    'There are as many results as values.'
    assert len(scale([1.0, 2.0], 1)) == 2

### BEGIN HIDDEN TESTS
@check(points=1, hint="Which root?")
def divides_by_the_root():
    'Every value is divided by the root of the width.'
{values}
### END HIDDEN TESTS
check.score()"""
VALUES = """\
    width = random.randint({least}, {most})
    for value, result in zip([1.0, -3.0], scale([1.0, -3.0], width)):
        assert abs(result - value / width**0.5) < 1e-9"""
GOOD = VALUES.format(least=2, most=9)
RIGHT = {
    "right_loop": """\
    found = []
    for value in values:
        found.append(value * width**-0.5)
    return found""",
    "right_map": """\
    import math
    return list(map(lambda value: value / math.sqrt(width), values))""",
    "right_other_names": """\
    root = pow(width, 0.5)
    return [v / root for v in values]""",
}
WRONG = {
    "wrong_no_scale": ("divides_by_the_root", "    return list(values)"),
    "wrong_width": ("divides_by_the_root", "    return [v / width for v in values]"),
    "wrong_times": ("divides_by_the_root", "    return [v * width**0.5 for v in values]"),
    "wrong_one_lost": ("keeps_the_length", "    return [v / width**0.5 for v in values[1:]]"),
    "wrong_one_more": ("keeps_the_length", "    return [v / width**0.5 for v in [*values, 0]]"),
    "wrong_empty": ("keeps_the_length", "    return []"),
}


def make_course(folder: Path, values: str = GOOD, header: str = "") -> Course:
    """A course with one small exercise."""
    course = write_chapter(
        folder,
        cell("setup", SETUP),
        cell("scale", SCALE, solution=True),
        cell("test_scale", TESTS.format(values=values), points=2),
        header=header,
    )
    for name, body in RIGHT.items():
        write_answer(folder, name, f"# Right: it is\ndef scale(values, width):\n{body}\n")
    for name, (fails, body) in WRONG.items():
        first = f"# Wrong: it is\n# Fails: {fails}\n"
        write_answer(folder, name, f"{first}def scale(values, width):\n{body}\n")
    return course


def write_answer(folder: Path, name: str, text: str) -> Path:
    path = folder / "tests" / "answers" / TINY / "scale" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
