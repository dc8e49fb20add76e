"""The same engine behind `nbgrader autograde` and formgrader's Autograde button.

nbgrader_config.py puts `SandboxedExecute` in the place of nbgrader's own `Execute`. nbgrader then
reads the marks from the notebook that the engine has executed, as it always does, and `KeepRecord`
writes down what the class report shows.
"""

from __future__ import annotations

import atexit
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from logging import Logger
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import words
from autograder.classroom.batch import key_of
from autograder.classroom.extension import complete
from autograder.classroom.gradebook import ask_persons, find_mark
from autograder.classroom.history import answers
from autograder.classroom.homework import Homework
from autograder.classroom.marks import Mark, Outline
from autograder.classroom.records import ClassFolder, Record
from autograder.classroom.work import Chapter
from autograder.course.build import to_json
from autograder.course.source import Course, CourseError
from autograder.engine.grade import Engine
from autograder.engine.handed_in import read_submission
from autograder.engine.options import Limits
from autograder.engine.submission import Rejected
from autograder.results import Status
from autograder.sandbox import doctor
from autograder.sandbox.confine import SandboxError


class SandboxedExecute(NbGraderPreprocessor):
    """Grades the student's notebook as `autograder grade` does."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """The executed notebook in place of `nb`, which nbgrader has already changed.

        Raises:
            NbGraderException: if the submission is rejected; nbgrader then goes on to the next.
        """
        who = resources["nbgrader"]
        coursedir = self.parent.parent.coursedir
        course = Course.find(Path(coursedir.root))
        submitted = Path(coursedir.format_path(coursedir.submitted_directory, ".", ".")).resolve()
        limits = Limits(threads=os.cpu_count() or 1)
        with Gradebook(who["db_url"]) as book:
            complete(book, who["assignment"], who["student"])
            book.db.commit()
        try:
            if who["assignment"] in course.homework:
                homework = Homework(course, who["assignment"], submitted.parent)
                return self._run(homework, nb, resources, submitted, limits), resources
            assignment = course.assignment(who["assignment"])
        except (CourseError, Rejected) as error:
            raise NbGraderException(f"{who['student']}, {who['assignment']}: {error}") from None
        submission = read_submission(submitted, who["student"], assignment.name)
        chapter = Chapter(course, assignment)
        with Gradebook(who["db_url"]) as book:  # nbgrader is about to change it
            mark = find_mark(book, chapter.outline, who["student"])
        engine = _engine(self.log)
        with ThreadPoolExecutor(1) as pool:  # formgrader calls from inside an event loop
            graded = pool.submit(engine.grade, assignment, submission, limits).result()
        class_folder = ClassFolder(submitted)
        record = class_folder.record(assignment.name, who["student"]) or Record("", graded.report)
        record = record.with_mark(mark)
        key = f"{key_of(engine.isolation, chapter, limits)}/{submission.sha256}"
        record = replace(record, key=key, report=graded.report, in_gradebook=False, notebook="")
        if graded.report.status is not Status.GRADED or graded.notebook is None:
            class_folder.write_record(record)
            raise NbGraderException(
                f"{who['student']}, {who['assignment']}: {words.reason(graded.report)}"
            )
        for note in words.notes(graded.report):
            self.log.info("%s: %s", who["student"], note)
        resources["autograder"] = _Done(chapter.outline, class_folder, mark, record)
        return graded.notebook, resources

    def _run(
        self,
        homework: Homework,
        nb: NotebookNode,
        resources: dict[str, Any],
        submitted: Path,
        limits: Limits,
    ) -> NotebookNode:
        """Runs a notebook of the teacher's own homework, whose marks are nbgrader's to make.

        Raises:
            Rejected, CourseError: if it cannot be graded, or is no fault of the student's.
        """
        who = resources["nbgrader"]
        student = who["student"]
        if homework.files(submitted / student / homework.name)[1]:
            raise NbGraderException(f"{student}, {homework.name}: hand in files, not links")
        files, _ = homework.files(Path(resources["metadata"]["path"]))
        with ThreadPoolExecutor(1) as pool:  # formgrader calls from inside an event loop
            job = pool.submit(
                homework.run, _engine(self.log), student, who["notebook"], nb, files, limits
            )
            for note in job.result():
                self.log.info("%s: %s", student, words.sentence(note))
        return nb


@dataclass(frozen=True)
class _Done:
    """What is known of a submission before nbgrader enters its marks."""

    outline: Outline
    class_folder: ClassFolder
    mark: Mark | None
    record: Record


class KeepRecord(NbGraderPreprocessor):
    """Records what `autograder grade` would have recorded; comes after what enters the marks."""

    def preprocess(
        self, nb: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        """The notebook as it came; the gradebook asks a person only for what has changed."""
        done: _Done | None = resources.pop("autograder", None)
        if done is None:  # nothing of ours has graded it
            return nb, resources
        student, found = done.record.report.student, answers(nb)
        with Gradebook(resources["nbgrader"]["db_url"]) as book:
            known = done.record.snapshot
            ask_persons(book, done.outline, student, done.mark, known, found)
            book.db.commit()
            mark = find_mark(book, done.outline, student)
        assert mark is not None
        digest = hashlib.sha256(to_json(nb).encode()).hexdigest()  # of what nbgrader will write
        record = replace(done.record, notebook=digest).graded(mark, found, entered=True)
        done.class_folder.write_record(record)
        return nb, resources


@cache
def _engine(log: Logger) -> Engine:
    """One for all submissions; nbgrader does not say when it has come to the last."""
    try:
        isolation, warning = doctor.choose()
    except SandboxError as error:
        raise NbGraderException(str(error)) from None
    if warning:
        log.warning(warning)
    engine = Engine(isolation)
    atexit.register(engine.close)
    return engine
