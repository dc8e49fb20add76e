"""What is recorded about submissions: read again, or made anew, and never in memory together."""

from __future__ import annotations

import json
import logging
import weakref
from pathlib import Path

import pytest
from tiny import TINY, make_course

from autograder.classroom import batch
from autograder.classroom.batch import grade_class
from autograder.classroom.records import ClassFolder, Record
from autograder.course.source import Assignment
from autograder.engine.grade import Engine
from autograder.engine.options import Graded, Limits
from autograder.engine.submission import Submission
from autograder.results import Code, Remark, Report, Status
from autograder.sandbox.confine import Isolation

LATE = Remark.of(Code.CELL_TOO_LONG, "scale", seconds=25)


@pytest.fixture
def class_folder(tmp_path: Path) -> ClassFolder:
    for student in ("ada", "bo", "cy", "di", "ed", "flo"):
        chapter = tmp_path / "submitted" / student / TINY
        chapter.mkdir(parents=True)
        (chapter / "tiny.ipynb").write_text(json.dumps({"cells": [], "by": student}))
    return ClassFolder(tmp_path / "submitted")


def test_a_record_is_read_as_it_was_written(class_folder: ClassFolder) -> None:
    record = Record("key", True, Report("ada", TINY, Status.GRADED, score=1.0, notes=[LATE]))
    class_folder.write_record(record)
    assert class_folder.record(TINY, "ada") == record
    assert class_folder.reports(TINY) == [record.report]
    assert class_folder.record(TINY, "bo") is None


def old(record: dict) -> None:
    """As the version before this one wrote it."""
    record["report"]["reason"] = ""
    record["report"]["repairs"] = ["scale: interrupted after 25 s"]
    del record["report"]["reasons"], record["report"]["notes"]


def of_the_future(record: dict) -> None:
    record["report"]["notes"][0]["code"] = "something_new"


def nonsense(record: dict) -> None:
    record["report"]["notes"] = [7]


@pytest.mark.parametrize("spoil", [old, of_the_future, nonsense])
def test_records_of_another_version_are_graded_again(
    spoil: object,
    class_folder: ClassFolder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    course = make_course(tmp_path / "course")
    graded = []

    def grade(assignment: Assignment, submission: Submission, _: Limits) -> Graded:
        graded.append(submission.student)
        report = Report(submission.student, assignment.name, Status.GRADED, score=1, notes=[LATE])
        return Graded(report, None)

    def run() -> list[str]:
        graded.clear()
        chapter = course.assignment(TINY)
        with Engine(Isolation.FULL) as engine:
            engine.grade = grade
            grade_class(engine, course, chapter, class_folder, Limits(), gradebook=False)
        return sorted(graded)

    assert len(run()) == 6
    assert run() == []
    path = tmp_path / "reports" / TINY / "records" / "bo.json"
    record = json.loads(path.read_text())
    spoil(record)
    path.write_text(json.dumps(record))
    with caplog.at_level(logging.WARNING):
        assert [report.student for report in class_folder.reports(TINY)] == [
            *["ada", "cy", "di", "ed", "flo"]
        ]
    assert "bo.json" in caplog.text
    assert run() == ["bo"]
    assert len(class_folder.reports(TINY)) == 6


def test_notebooks_are_in_memory_one_a_grading(
    class_folder: ClassFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path / "course")
    alive: weakref.WeakSet[Submission] = weakref.WeakSet()
    most = []
    read = batch.read_submission

    def watched(folder: Path, student: str, assignment: Assignment) -> Submission:
        submission = read(folder, student, assignment)
        alive.add(submission)
        most.append(len(alive))
        return submission

    def grade(assignment: Assignment, submission: Submission, _: Limits) -> Graded:
        return Graded(Report(submission.student, assignment.name, Status.GRADED, score=1), None)

    monkeypatch.setattr(batch, "read_submission", watched)
    chapter = course.assignment(TINY)
    with Engine(Isolation.FULL) as engine:
        engine.grade = grade
        reports = grade_class(
            engine, course, chapter, class_folder, Limits(), jobs=2, gradebook=False
        )
    assert len(reports) == 6
    assert len(most) == 12
    assert max(most) <= 2
