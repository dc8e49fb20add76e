"""What cells are and which of their lines are whose."""

from __future__ import annotations

from pathlib import Path

import pytest
from nbgrader.preprocessors import ClearHiddenTests, ClearMarkScheme, ClearSolutions
from tiny import TINY, make_course

from autograder.checks import HIDDEN_BEGIN, HIDDEN_END
from autograder.course.cells import Region, marker_problem, parse_lines
from autograder.course.source import CourseError

CELL = f"""\
before = 1
    ### BEGIN SOLUTION
    inside = 2
    ### END SOLUTION
between = 3
{HIDDEN_BEGIN}
hidden = 4
{HIDDEN_END}
after = 5"""


def test_every_line_is_in_its_region() -> None:
    lines = parse_lines(CELL)
    assert [line.text for line in lines] == CELL.splitlines()
    assert [line.region for line in lines] == [
        None,
        *[Region.SOLUTION] * 3,
        None,
        *[Region.HIDDEN_TESTS] * 3,
        None,
    ]
    assert [n for n, line in enumerate(lines) if line.is_marker] == [1, 3, 5, 7]
    assert marker_problem(CELL) == ""


def test_the_markers_are_those_of_nbgrader() -> None:
    solutions, tests, schemes = ClearSolutions(), ClearHiddenTests(), ClearMarkScheme()
    theirs = {
        Region.SOLUTION: (solutions.begin_solution_delimeter, solutions.end_solution_delimeter),
        Region.HIDDEN_TESTS: (tests.begin_test_delimeter, tests.end_test_delimeter),
        Region.MARK_SCHEME: (
            schemes.begin_mark_scheme_delimeter,
            schemes.end_mark_scheme_delimeter,
        ),
    }
    assert theirs == {region: (f"BEGIN {region}", f"END {region}") for region in Region}


def test_a_students_odd_markers_raise_nothing() -> None:
    """As a student may write them: nested, without an end, without a beginning."""
    lines = parse_lines("### END SOLUTION\na\n### BEGIN HIDDEN TESTS\n### BEGIN SOLUTION\nb")
    assert [line.region for line in lines if not line.is_marker] == [None, Region.HIDDEN_TESTS]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    ### END SOLUTION\n", "", "has no '### END SOLUTION'"),
        ("    ### BEGIN SOLUTION\n", "", "has '### END SOLUTION' without its BEGIN"),
        ("### END HIDDEN TESTS\n", "", "has no '### END HIDDEN TESTS'"),
        (
            "    return [",
            "    ### BEGIN HIDDEN TESTS\n    ### END HIDDEN TESTS\n    return [",
            "has '### BEGIN HIDDEN TESTS' inside the region SOLUTION, which has not ended",
        ),
        (
            "    ### BEGIN SOLUTION\n",
            "    ### BEGIN SOLUTION\n    ### BEGIN SOLUTION\n",
            "has '### BEGIN SOLUTION' inside the region SOLUTION, which has not ended",
        ),
        (
            "### END HIDDEN TESTS\n",
            "### END HIDDEN TESTS (of the root)\n",
            "would take for a marker: '### END HIDDEN TESTS (of the root)'",
        ),
        ("# # Tiny\n", "# # Tiny: BEGIN MARK SCHEME\n", "would take for a marker"),
    ],
)
def test_an_author_hears_of_odd_markers_with_section_and_cell(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    course = make_course(tmp_path)
    path = tmp_path / "source" / TINY / "tiny.py"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(CourseError) as caught:
        course.assignment(TINY)
    cell = {"# # ": "# Tiny", "    ": "scale"}.get(old[:4], "test_scale")
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"{TINY}: cell '{cell}")
    assert str(path) in str(caught.value)
