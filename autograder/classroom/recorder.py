"""Keeps each result as soon as it is there, and enters its marks into the gradebook.

That something cannot be written is never a reason to lose a grading: the executed notebook and the
record are written first, the gradebook comes last. If another program holds the gradebook, grading
goes on, and the marks are entered at the end, or by the next run.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import nbformat
from nbformat import NotebookNode

from autograder.classroom.gradebook import Gradebook
from autograder.classroom.handin import HandIn
from autograder.classroom.marks import Mark
from autograder.classroom.records import ClassFolder, Record, digest
from autograder.classroom.work import Result, Work
from autograder.course.database import Unavailable
from autograder.course.source import CourseError
from autograder.engine.handed_in import name_problem
from autograder.results import Code, Remark, Report, Status

log = logging.getLogger(__name__)
PATIENCE_SECONDS = 60  # at the end, for a gradebook that another program holds
RETRY_SECONDS = 1
# Nothing more can be kept after one of these, whoever's it is.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class Recorder:
    """Records results, one after the other.

    Args:
        work: what the class was set.
        key: all that marks depend on besides the submissions.
        gradebook: whether to write marks into nbgrader's gradebook and autograded/.
        on_report: called with each report.

    Attributes:
        done: the reports that there are, by student.
        broken: why nothing more can be written; empty as long as it can.
    """

    def __init__(
        self,
        work: Work[Any],
        class_folder: ClassFolder,
        key: str,
        gradebook: bool,
        on_report: Callable[[Report], None],
    ):
        self.work = work
        self.chapter = work.outline.chapter
        self.class_folder = class_folder
        self.key = key
        self.on_report = on_report
        self.done: dict[str, Report] = {}
        self.broken = ""
        self._book = work.gradebook(class_folder.folder) if gradebook else None
        self._to_write: list[tuple[str, Result]] = []
        self._to_enter: dict[str, Exception] = {}  # by student, what was the matter
        self._lost: Unavailable | None = None  # why the server cannot be reached, if it cannot

    def __enter__(self) -> Recorder:
        """Opens the gradebook, if it is free, so that what is wrong with the course is said now."""
        if self._book is not None:
            try:
                self._book.open()
            except CourseError:
                raise
            except Exception as error:
                said = "the gradebook cannot be used now (%s); grading goes on, marks are kept"
                log.warning(said, _in_words(error))
                self._note(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._book is not None:
            self._book.__exit__(None, None, None)

    def __call__(self, sha256: str, graded: Result) -> None:
        """Keeps a result; if that is not possible now, `finish` tries again."""
        if self._write(sha256, graded) is not None:
            self._to_write.append((sha256, graded))
        self.done[graded.report.student] = graded.report
        self.on_report(graded.report)

    def enter(self, record: Record) -> None:
        """Enters the marks of an earlier run."""
        self.done[record.report.student] = record.report
        self._enter_kept(record.report.student)

    def finish(self) -> None:
        """Tries again what was not possible, and says in the reports what is not even now."""
        for sha256, graded in self._to_write:
            if (error := self._write(sha256, graded)) is not None:
                remark = Remark.of(Code.NOT_KEPT, problem=_in_words(error))
                graded.report.reasons.append(remark)
        self._wait_for_the_gradebook()
        for student, problem in self._to_enter.items():
            remark = Remark.of(Code.NOT_ENTERED, problem=_in_words(problem))
            self.done[student].reasons.append(remark)

    def _write(self, sha256: str, graded: Result) -> Exception | None:
        """Writes notebooks and record, and enters the marks; what was the matter, if it failed."""
        report, notebooks = graded.report, graded.notebooks
        before = self.class_folder.record(self.chapter, report.student) or Record("", report)
        record = replace(
            before, key=f"{self.key}/{sha256}", report=report, in_gradebook=False, notebook=""
        )
        try:
            if notebooks and self._book is not None:
                submitted = self._submitted(report.student)
                written = self._book.write_notebooks(
                    report.student, notebooks, graded.files, submitted
                )
                record = replace(record, notebook=digest(written))
            elif notebooks:
                answers = self.work.answers(notebooks)
                record = record.graded(Mark.of(report), answers, entered=False)
            self.class_folder.write_record(record)
        except Exception as error:
            log.warning("%s: the result cannot be written: %s", report.student, _in_words(error))
            if isinstance(error, OSError) and error.errno in _DISK:
                self.broken = _in_words(error)
            return error
        if self._book is not None:
            self._enter(self._book, record, notebooks)
        return None

    def _enter(
        self, book: Gradebook, record: Record, notebooks: Mapping[str, NotebookNode]
    ) -> None:
        report = record.report
        try:
            if self._lost is not None:  # each try may take seconds: at the end, or by the next run
                raise self._lost
            mark = None if name_problem(report.student) else book.mark(report.student)
            record = record.with_mark(mark)  # what a person has marked meanwhile
            if notebooks:
                answers = self.work.answers(notebooks)
                submitted = self._submitted(report.student)
                book.enter(report, notebooks, submitted, record.snapshot, answers)
                mark = book.mark(report.student) or Mark.of(report)
                record = record.graded(mark, answers, entered=True)
            elif mark is not None:
                report.reasons.append(Remark.of(Code.EARLIER_MARKS_KEPT))
            self.class_folder.write_record(replace(record, in_gradebook=True))
        except Exception as error:
            self._note(error)
            if report.status is Status.GRADED:  # else there is nothing to enter
                self._to_enter[report.student] = error
        else:
            self._to_enter.pop(report.student, None)

    def _enter_kept(self, student: str) -> None:
        """Enters what a record and autograded/ have, and when it was handed in."""
        record = self.class_folder.record(self.chapter, student)
        assert self._book is not None
        try:
            if record is None:
                raise ValueError("its record has gone")
            folder = self.class_folder.autograded(self.chapter, student)
            kept = self.class_folder.executed(self.work.outline, student)
            if not kept or digest(kept) != record.notebook:
                raise ValueError("its notebook in autograded/ has changed")
            notebooks = {
                name: nbformat.reads(data.decode(), as_version=4) for name, data in kept.items()
            }
            # The same notebook may be handed in again.
            hand_in = HandIn.read(self._submitted(student))
            if not hand_in.lies_in(folder):
                record = replace(record, in_gradebook=False)
                self.class_folder.write_record(record)
                hand_in.write(folder)
        except (OSError, ValueError) as error:
            self._to_enter[student] = error
        else:
            self._enter(self._book, record, notebooks)

    def _submitted(self, student: str) -> Path:
        return self.class_folder.submitted / student / self.chapter

    def _note(self, error: Exception) -> None:
        if isinstance(error, Unavailable) and error.lost:
            self._lost = error

    def _wait_for_the_gradebook(self) -> None:
        said, self._lost = False, None
        end = monotonic() + PATIENCE_SECONDS  # on a server, each try waits for its lock, too
        while self._to_enter:
            for student in list(self._to_enter):
                self._enter_kept(student)
                if _is_locked(self._to_enter.get(student)) and (
                    self.class_folder.gradebook.path is not None  # which is locked as a whole
                    or monotonic() >= end
                ):
                    break
            if not any(map(_is_locked, self._to_enter.values())) or monotonic() >= end:
                break
            if not said:
                said = True
                log.warning(
                    "another program (formgrader, say) holds the gradebook: waiting for it, "
                    "%d s at most …",
                    PATIENCE_SECONDS,
                )
            sleep(RETRY_SECONDS)


def _is_locked(error: Exception | None) -> bool:
    return isinstance(error, Unavailable) and error.locked


def _in_words(error: Exception) -> str:
    """What is the matter, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Unavailable | CourseError | ValueError):
        return str(error).strip().splitlines()[-1]
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]
