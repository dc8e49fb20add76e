"""A mixed class gets the marks that it must get: what `make bench` does with a thousand."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import pytest
from command import grade, gradebook_scores, hand_in
from students import BORROWED, Student, faults, make_class, small_course
from tiny import NOTEBOOK, TINY

from autograder.course.source import Assignment, Course
from autograder.results import Status


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return small_course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def chapter(course: Course) -> Assignment:
    return course.assignment(TINY)


def test_a_class_is_always_the_same_and_each_hundred_has_everything(
    course: Course, chapter: Assignment
) -> None:
    whole = make_class(course, chapter, 200)
    assert whole[:100] == make_class(course, chapter, 100)
    for hundred in (whole[:100], whole[100:]):
        kinds = Counter(student.kind for student in hundred)
        assert kinds == {"right": 40, "wrong": 30, "hostile": 15, "broken": 15}
        what = Counter(student.what for student in hundred if student.what)
        assert len(what) == 30
        assert set(what.values()) == {1}
        assert set(BORROWED) < what.keys()


def test_a_mixed_class_gets_its_marks(
    course: Course, chapter: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(course.root)
    students = make_class(course, chapter, 20)
    hand_in(tmp_path, TINY, NOTEBOOK, {student.name: student.data for student in students})
    code, records = grade(TINY, tmp_path, "--jobs", 2)
    assert code == 0
    assert faults(students, records) == []
    entered = gradebook_scores(TINY, tmp_path)
    for student in students:
        for exercise in student.marks:
            (score,) = (
                e["score"] for e in records[student.name]["exercises"] if e["id"] == exercise
            )
            assert entered[student.name, f"test_{exercise}"] == score


def record(student: Student) -> dict:
    """What the grader must say of a student who gets the most that is possible."""
    exercises = [
        {"id": exercise, "score": mark.most, "checks": ["one"]}
        for exercise, mark in student.marks.items()
    ]
    total = sum(mark.most for mark in student.marks.values()) if exercises else None
    return {"status": student.status, "score": total, "exercises": exercises, "reason": "so"}


def test_a_wrong_mark_is_found(course: Course, chapter: Assignment) -> None:
    students = make_class(course, chapter, 20)
    good = {student.name: record(student) for student in students}
    assert faults(students, good) == []
    graded = next(student for student in students if student.kind == "right")
    rejected = next(student for student in students if student.status is Status.REJECTED)
    name = graded.name

    def found(change: str, **values: object) -> str:
        records = copy.deepcopy(good)
        if change == "mark":
            records[name]["exercises"][0].update(values)
        else:
            records[change].update(values)
        (first, *_) = faults(students, records)
        return first

    exercise, mark = next(iter(graded.marks.items()))
    less = found("mark", score=mark.most - 1)
    assert less == f"{name} (right): {mark.most - 1:g} for {exercise} (right_other), not " + (
        f"{mark.most:g} to {mark.most:g}"
    )
    assert found(name, score=1.0).startswith(f"{name} (right): 1.0 in all, not ")
    assert "failed, not graded" in found(name, status="failed")
    assert "graded, not rejected" in found(rejected.name, status="graded")
    assert "marks for []" in found(name, exercises=[])
    assert faults(students, {**good, "zoe": good[name]}) == ["zoe: nobody handed this in"]
    (none,) = faults(students[:1], {})
    assert none.endswith(": no record")
