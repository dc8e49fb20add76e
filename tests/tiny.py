"""A course of one small exercise, without Keras, for tests of everything but the real chapters."""

from __future__ import annotations

import shutil
from pathlib import Path

from sample_class import ROOT

from autograder.course.source import Course

TINY = "ch99_tiny"
SOURCE = """\
# ---
# jupyter:
{header}#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Tiny

# %% nbgrader={{"grade": false, "grade_id": "setup", "locked": true, {rest}}}
import random

import torch

from autograder.checks import Checks, probe

# %% nbgrader={{"grade": false, "grade_id": "scale", "locked": false, {rest_of_solution}}}
def scale(values, width):
    ### BEGIN SOLUTION
    return [value / width**0.5 for value in values]
    ### END SOLUTION

# %% nbgrader={{"grade": true, "grade_id": "test_scale", "locked": true, "points": 2, {rest}}}
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
check.score()
"""
REST = '"schema_version": 3, "task": false, "solution": '
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
    source = folder / "source" / TINY / "tiny.py"
    source.parent.mkdir(parents=True)
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    rest, rest_of_solution = f"{REST}false", f"{REST}true"
    source.write_text(
        SOURCE.format(header=header, rest=rest, rest_of_solution=rest_of_solution, values=values)
    )
    for name, body in RIGHT.items():
        write_answer(folder, name, f"# Right: it is\ndef scale(values, width):\n{body}\n")
    for name, (fails, body) in WRONG.items():
        first = f"# Wrong: it is\n# Fails: {fails}\n"
        write_answer(folder, name, f"{first}def scale(values, width):\n{body}\n")
    return Course(folder)


def write_answer(folder: Path, name: str, text: str) -> Path:
    path = folder / "tests" / "answers" / TINY / "scale" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
