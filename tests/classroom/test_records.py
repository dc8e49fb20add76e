"""What is recorded about submissions: read again, or made anew, and never in memory together."""

from __future__ import annotations

import json
import logging
import weakref
from pathlib import Path

import pytest
from engines import engine
from tiny import TINY, make_course

from autograder.classroom import work
from autograder.classroom.batch import AHEAD, grade_class, here
from autograder.classroom.records import ClassFolder, Record
from autograder.classroom.work import Chapter
from autograder.course.source import Assignment
from autograder.engine import handed_in
from autograder.engine.grade import Engine
from autograder.engine.handed_in import Submission
from autograder.engine.options import Graded, Limits
from autograder.results import Code, Remark, Report, Status

LATE = Remark.of(Code.CELL_TOO_LONG, "scale", seconds=25)


@pytest.fixture
def class_folder(tmp_path: Path) -> ClassFolder:
    for student in ("ada", "bo", "cy", "di", "ed", "flo"):
        chapter = tmp_path / "submitted" / student / TINY
        chapter.mkdir(parents=True)
        (chapter / "tiny.ipynb").write_text(json.dumps({"cells": [], "by": student}))
    return ClassFolder(tmp_path / "submitted")


def test_a_record_is_read_as_it_was_written(class_folder: ClassFolder) -> None:
    record = Record("key", Report("ada", TINY, Status.GRADED, score=1.0, notes=[LATE]))
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
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    course = make_course(tmp_path / "course")
    graded = []

    def grade(_: Engine, assignment: Assignment, submission: Submission, limits: Limits) -> Graded:
        graded.append(submission.student)
        report = Report(submission.student, assignment.name, Status.GRADED, score=1, notes=[LATE])
        return Graded(report, None)

    def run() -> list[str]:
        graded.clear()
        chapter = Chapter(course, course.assignment(TINY))
        with here(engine(), chapter, Limits(), 1) as pool:
            grade_class(pool, chapter, class_folder, gradebook=False)
        return sorted(graded)

    monkeypatch.setattr(Engine, "grade", grade)
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


def test_a_class_is_never_in_memory_together(
    class_folder: ClassFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = make_course(tmp_path / "course")
    alive: weakref.WeakSet[Submission] = weakref.WeakSet()
    most = []
    read = handed_in.read_submission

    def watched(folder: Path, student: str, chapter: str) -> Submission:
        submission = read(folder, student, chapter)
        alive.add(submission)
        most.append(len(alive))
        return submission

    def grade(_: Engine, assignment: Assignment, submission: Submission, limits: Limits) -> Graded:
        return Graded(Report(submission.student, assignment.name, Status.GRADED, score=1), None)

    monkeypatch.setattr(work, "read_submission", watched)
    monkeypatch.setattr(Engine, "grade", grade)
    chapter = Chapter(course, course.assignment(TINY))
    with here(engine(), chapter, Limits(), 2) as pool:
        reports = grade_class(pool, chapter, class_folder, gradebook=False)
    assert len(reports) == 6
    assert len(most) == 6
    assert max(most) <= 2 + AHEAD < len(reports)
