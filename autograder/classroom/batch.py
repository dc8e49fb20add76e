"""Grades a whole class: many submissions at once, one after the other into the gradebook.

Each worker is a thread that talks to a kernel of its own; the work is done in the kernels.
A result is recorded as soon as it is there, so that a run that was killed goes on where it
stopped, and a submission that has not changed is not graded again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace

from autograder.classroom.gradebook import Gradebook
from autograder.classroom.records import ClassFolder, Record
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine
from autograder.engine.options import ENGINE_VERSION, Graded, Limits
from autograder.engine.submission import Submission, find_students, read_submission
from autograder.results import Code, Remark, Report, Status

log = logging.getLogger(__name__)


def grade_class(  # noqa: PLR0913  (the options of the command)
    engine: Engine,
    course: Course,
    assignment: Assignment,
    class_folder: ClassFolder,
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
        engine: starts nothing if there is nothing to grade.
        students: only these; all if empty.
        jobs: how many submissions at once.
        gradebook: whether to write marks into nbgrader's gradebook and autograded/.
        force: also grade what has not changed since it was graded.
        on_total, on_report: called with the number of submissions to grade, and with each report.

    Returns:
        The reports on all submissions asked for, by student.
    """
    wanted = set(students)
    handed_in = [
        student
        for student in find_students(class_folder.submitted, assignment)
        if not wanted or student in wanted
    ]
    key = _key(engine, course, assignment, limits)
    done: dict[str, Report] = {}
    with ExitStack() as stack:
        book = None
        if gradebook and handed_in:
            book = stack.enter_context(Gradebook(course, assignment, class_folder.folder))
        record = _Recorder(assignment, class_folder, key, book, done, on_report)

        # A class's notebooks need not be in memory together: each is read when it is looked at.
        def read(student: str) -> Submission:
            return read_submission(class_folder.submitted, student, assignment)

        def work(student: str) -> tuple[str, Graded]:
            submission = read(student)
            return submission.sha256, engine.grade(assignment, submission, limits)

        todo = [s for s in handed_in if force or not record.has(s, read(s).sha256)]
        on_total(len(todo))

        again: list[str] = []
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            futures: dict[Future[tuple[str, Graded]], str] = {
                pool.submit(work, student): student for student in todo
            }
            try:
                for future in as_completed(futures):
                    student = futures.pop(future)
                    try:
                        sha256, graded = future.result()
                        if graded.late and jobs > 1:
                            again.append(student)  # the others may have taken its time
                        else:
                            record(sha256, graded)
                    except Exception as error:
                        log.warning("%s: %r; will be tried again", student, error)
                        again.append(student)
            except BaseException:  # Ctrl-C: do not start what is still waiting
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for student in again:  # once more, alone: the machine may have been short of something
            try:
                record(*work(student))
            except Exception as error:
                log.exception("%s could not be graded", student)
                what = f"{type(error).__name__}: {error}"
                reasons = [Remark.of(Code.GRADER_FAILED, error=what)]
                report = Report(student, assignment.name, Status.FAILED, reasons)
                record("", Graded(report, None))
    return [done[student] for student in handed_in]


@dataclass
class _Recorder:
    """Keeps each result as soon as it is there: gradebook first, so that nothing is lost.

    Attributes:
        key: all that marks depend on besides the submissions.
        done: the reports that are recorded, by student.
    """

    assignment: Assignment
    class_folder: ClassFolder
    key: str
    book: Gradebook | None
    done: dict[str, Report]
    on_report: Callable[[Report], None]

    def __call__(self, sha256: str, graded: Graded) -> None:
        report = graded.report
        name = self.assignment.name
        if self.book is not None and graded.notebook is not None:
            submitted = self.class_folder.submitted / report.student / name
            self.book.write(report, graded.notebook, submitted)
        elif self.book is not None and self.book.has(report.student):
            report.reasons.append(Remark.of(Code.EARLIER_MARKS_KEPT))
        record = Record(f"{self.key}/{sha256}", self.book is not None, report)
        self.class_folder.write_record(record)
        self.done[report.student] = report
        self.on_report(report)

    def has(self, student: str, sha256: str) -> bool:
        """Whether there is a report on this very submission that can be used again."""
        record = self.class_folder.record(self.assignment.name, student)
        if record is None or record.key != f"{self.key}/{sha256}":
            return False
        report = record.report
        entered = (
            self.book is None
            or report.status is Status.REJECTED
            or (record.in_gradebook and self.book.has(student))
        )
        if not entered or report.status is Status.FAILED:
            return False
        self.done[student] = report
        return True


def _key(engine: Engine, course: Course, assignment: Assignment, limits: Limits) -> str:
    """All that a mark depends on besides the submission."""
    settings = replace(limits, threads=1)  # a mark does not depend on the number of threads
    material = [
        ENGINE_VERSION,
        engine.isolation,
        assignment.fingerprint,
        settings,
        course.installed,
    ]
    return hashlib.sha256(" ".join(map(str, material)).encode()).hexdigest()
