"""Grades a whole class: many submissions at once, one after the other into the gradebook.

Each worker is a thread that talks to a kernel of its own; the work is done in the kernels.
A result is recorded as soon as it is there, so that a run that was killed goes on where it
stopped, and a submission that has not changed is not graded again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from autograder.classroom.gradebook import Gradebook
from autograder.course.source import Assignment, Course
from autograder.engine.grade import ENGINE_VERSION, Graded, Limits, grade
from autograder.engine.submission import Submission, find_submissions
from autograder.files import write_whole
from autograder.results import Code, Remark, Report, Status

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Class:
    """A class's folder: submitted/ and what grading makes of it, as nbgrader lays it out."""

    submitted: Path

    @property
    def folder(self) -> Path:
        """Holds submitted/, autograded/, reports/ and gradebook.db."""
        return self.submitted.resolve().parent

    def record_path(self, assignment: str, student: str) -> Path:
        """Where the report on one submission is kept."""
        return self.folder / "reports" / assignment / "records" / f"{student}.json"

    def reports(self, assignment: str) -> list[Report]:
        """All recorded reports on the assignment, by student."""
        records = self.record_path(assignment, "x").parent.glob("*.json")
        return [
            Report.from_dict(json.loads(path.read_text(encoding="utf-8"))["report"])
            for path in sorted(records)
        ]


def grade_class(  # noqa: PLR0913  (the options of the command)
    course: Course,
    assignment: Assignment,
    members: Class,
    limits: Limits,
    *,
    students: Iterable[str] = (),
    jobs: int = 1,
    gradebook: bool = True,
    force: bool = False,
    on_total: Callable[[int], None] = lambda total: None,
    on_report: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Grades the class's submissions and records every result.

    Args:
        students: only these; all if empty.
        jobs: how many submissions at once.
        gradebook: whether to write marks into nbgrader's gradebook and autograded/.
        force: also grade what has not changed since it was graded.
        on_total, on_report: called with the number of submissions to grade, and with each report.

    Returns:
        The reports on all submissions asked for, by student.
    """
    wanted = set(students)
    submissions = [
        submission
        for submission in find_submissions(members.submitted, assignment)
        if not wanted or submission.student in wanted
    ]
    key = _key(course, assignment, limits)
    done: dict[str, Report] = {}
    todo = []
    with ExitStack() as stack:
        book = None
        if gradebook and submissions:
            book = stack.enter_context(Gradebook(course, assignment, members.folder))
        for submission in submissions:
            recorded = None
            if not force:
                recorded = _recorded(members, assignment, key, submission, book)
            if recorded is None:
                todo.append(submission)
            else:
                done[submission.student] = recorded
        on_total(len(todo))
        record = _Recorder(assignment, members, key, book, done, on_report)
        again: list[Submission] = []
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            futures: dict[Future[Graded], Submission] = {
                pool.submit(grade, assignment, submission, limits): submission
                for submission in todo
            }
            try:
                for future in as_completed(futures):
                    submission = futures.pop(future)
                    try:
                        graded = future.result()
                        if graded.late and jobs > 1:
                            again.append(submission)  # the others may have taken its time
                        else:
                            record(submission, graded)
                    except Exception as error:
                        log.warning("%s: %r; will be tried again", submission.student, error)
                        again.append(submission)
            except BaseException:  # Ctrl-C: do not start what is still waiting
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for submission in again:  # once more, alone: the machine may have been short of something
            try:
                record(submission, grade(assignment, submission, limits))
            except Exception as error:
                log.exception("%s could not be graded", submission.student)
                what = f"{type(error).__name__}: {error}"
                reasons = [Remark.of(Code.GRADER_FAILED, error=what)]
                report = Report(submission.student, assignment.name, Status.FAILED, reasons)
                record(submission, Graded(report, None))
    return [done[submission.student] for submission in submissions]


@dataclass
class _Recorder:
    """Keeps each result as soon as it is there: gradebook first, so that nothing is lost."""

    assignment: Assignment
    members: Class
    key: str
    book: Gradebook | None
    done: dict[str, Report]
    on_report: Callable[[Report], None]

    def __call__(self, submission: Submission, graded: Graded) -> None:
        report = graded.report
        name = self.assignment.name
        if self.book is not None and graded.notebook is not None:
            submitted = self.members.submitted / report.student / name
            self.book.write(report, graded.notebook, submitted)
        elif self.book is not None and self.book.has(report.student):
            report.reasons.append(Remark.of(Code.EARLIER_MARKS_KEPT))
        record = {
            "key": f"{self.key}/{submission.sha256}",
            "in_gradebook": self.book is not None,
            "report": report.to_dict(),
        }
        path = self.members.record_path(name, submission.student)
        write_whole(path, json.dumps(record, indent=1))
        self.done[submission.student] = report
        self.on_report(report)


def _key(course: Course, assignment: Assignment, limits: Limits) -> str:
    """All that a mark depends on besides the submission."""
    settings = replace(limits, threads=1)  # a mark does not depend on the number of threads
    material = f"{ENGINE_VERSION} {assignment.fingerprint} {settings} {course.installed}"
    return hashlib.sha256(material.encode()).hexdigest()


def _recorded(
    members: Class,
    assignment: Assignment,
    key: str,
    submission: Submission,
    book: Gradebook | None,
) -> Report | None:
    """The report on this very submission, if there is one that can be used again."""
    path = members.record_path(assignment.name, submission.student)
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] != f"{key}/{submission.sha256}":
            return None
        report = Report.from_dict(record["report"])
    except (ValueError, KeyError, TypeError):  # damaged, or of another version
        return None
    entered = (
        book is None
        or report.status is Status.REJECTED
        or (record["in_gradebook"] and book.has(report.student))
    )
    return report if entered and report.status is not Status.FAILED else None
