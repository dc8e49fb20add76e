"""Reading collected answers, and choosing exercises by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import TINY, make_course, write_answer

from autograder.audit.answers import collections, read_answers
from autograder.course.source import CourseError


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("right_x", "def scale(): ...\n", "first line must be `# Right"),
        ("wrong_x", "# Right: no\n", "first line must be `# Wrong"),
        ("wrong_x", "# Wrong: yes\ndef scale(): ...\n", "second line must name the checks"),
        ("wrong_x", "# Wrong: yes\n# Fails: no_such_check\n", "no check no_such_check"),
    ],
)
def test_answers_that_cannot_be_used_are_named(
    name: str, text: str, complaint: str, tmp_path: Path
) -> None:
    course = make_course(tmp_path)
    path = write_answer(tmp_path, name, text)
    (exercise,) = course.assignment(TINY).exercises
    with pytest.raises(CourseError, match=complaint) as error:
        read_answers(path.parent, exercise)
    assert str(path) in str(error.value)


def test_exercises_are_chosen_by_name(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    assert [c.name for c in collections(course, [TINY])] == [f"{TINY}/scale"]
    assert [c.exercise.id for c in collections(course, [TINY], ["scale"])] == ["scale"]
    with pytest.raises(CourseError, match="is called scales; there are: scale"):
        collections(course, [TINY], ["scale", "scales"])
