"""Which checks does the audit think that an answer can fail?"""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import TINY, make_course

from autograder.audit.selection import CheckSelection

SETUP = """\
import math
LIMIT = 3
def given(value):
    return helper(value)
"""
RIGHT = """\
def helper(value: float) -> float:
    'What is added.'
    return value + 1
def double(value):
    return 2 * helper(value)
def half(value):
    return value / 2
class Counter:
    count = 0
"""
TESTS = """\
TABLE = [1, 2]
@cache
def doubled():
    return double(1)
@check(points=1, hint="-")
def doubles():
    'Doubles.'
    assert doubled() == 4
@check(points=1, hint="-")
def halves():
    'Halves.'
    assert half(2) == 1 and math.pi > LIMIT
@check(points=1, hint="-")
def counts():
    'Counts.'
    assert probe(lambda: Counter().count) == 0
@check(points=1, hint="-")
def helps():
    'Is of help.'
    assert given(1) == TABLE[1]
"""
EVERY = {"doubles", "halves", "counts", "helps"}


@pytest.fixture
def selection(tmp_path: Path) -> CheckSelection:
    course = make_course(tmp_path)
    source = tmp_path / "source" / TINY / "tiny.py"
    setup, answer, tests = source.read_text().split("# %% nbgrader")[1:]
    first = [part.split("\n", 1)[0] for part in (setup, answer, tests)]
    header = source.read_text().split("# %% nbgrader")[0]
    bodies = (SETUP, RIGHT, TESTS + "check.score()\n")
    cells = [f"# %% nbgrader{line}\n{body}" for line, body in zip(first, bodies, strict=True)]
    source.write_text((header + "\n".join(cells)).replace('"points": 2', '"points": 4'))
    chapter = course.assignment(TINY)
    (exercise,) = chapter.exercises
    other = RIGHT.replace("value / 2", "0.5 * value")
    return CheckSelection(chapter.only(exercise), exercise, [RIGHT, other])


@pytest.mark.parametrize(
    ("before", "after", "reached"),
    [
        ("value / 2", "value / 3", {"halves"}),
        ("count = 0", "count = 1", {"counts"}),
        ("2 * helper(value)", "3 * helper(value)", {"doubles"}),  # through another function
        ("value + 1", "value + 2", {"doubles", "helps"}),  # through a given one, too
        ("value / 2", "value * 0.5", {"halves"}),  # it may be right: who knows?
        ("value / 2", "0.5 * value", set()),  # that is the other right answer
        ("    'What is added.'\n", "", set()),
        ("value: float) -> float", "value)", set()),
        ("def half", "LIMIT = 4\ndef half", {"halves"}),  # a given name, changed
        ("def half", "import math\ndef half", set()),  # a given name, and the same
        ("def half", "import cmath as math\ndef half", {"halves"}),
        ("def half", "TABLE = 3\ndef half", {"helps"}),
        ("def half", "Counter.count = 3\ndef half", {"counts"}),
        ("def half", "other = helper\ndef half", set()),
        ("def half", "print(1)\ndef half", EVERY),  # who knows what that does?
        ("def half", "check = 3\ndef half", EVERY),
        ("def half", "def half(", EVERY),  # does not run
    ],
)
def test_a_change_reaches_the_checks_that_use_what_was_changed(
    selection: CheckSelection, before: str, after: str, reached: set[str]
) -> None:
    assert RIGHT.count(before) == 1
    assert selection.reached(RIGHT.replace(before, after)) == reached


def test_the_solution_itself_reaches_nothing(selection: CheckSelection) -> None:
    assert selection.reached(RIGHT) == set()
