"""What a class's folder keeps about submissions: reports/CHAPTER/records/STUDENT.json.

A record holds a report, the key of what it depends on, and how the mark has moved. It is written
as soon as a submission has been graded, so that a run that was killed goes on where it stopped, and
is used again as long as its key is the same. A record that cannot be read counts as none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from autograder import words
from autograder.classroom.history import Snapshot, Step, extended
from autograder.classroom.marks import Mark, Outline
from autograder.course.database import Database
from autograder.engine.handed_in import find_students, name_problem
from autograder.files import write_whole
from autograder.results import Report

log = logging.getLogger(__name__)
MAX_NAME_BYTES = 255  # of a file, in Linux's file systems


@dataclass(frozen=True)
class Record:
    """One submission's report, with what it depends on.

    Attributes:
        key: of the submission, and of all else that its mark depends on.
        report: what the engine found.
        in_gradebook: whether nbgrader's gradebook has what the report says.
        notebook: the digest of the executed notebooks in autograded/; empty if there is none.
        snapshot: the mark, as it was when it was last looked at: the gradebook's, if it has one.
        history: how the mark has moved, oldest first.
    """

    key: str
    report: Report
    in_gradebook: bool = False
    notebook: str = ""
    snapshot: Snapshot | None = None
    history: list[Step] = field(default_factory=list)

    def with_mark(self, mark: Mark | None) -> Record:
        """The record with what moved since, as when a person has given marks; itself if nothing."""
        if mark is None:
            return self
        known = self.snapshot if self.snapshot is not None and self.snapshot.entered else None
        snapshot = known.now(mark) if known is not None else Snapshot.unknown(mark)
        if snapshot == known:
            return self
        history = extended(self.history, known, snapshot, mark)
        return replace(self, snapshot=snapshot, history=history)

    def graded(self, mark: Mark, new_answers: dict[str, str], entered: bool) -> Record:
        """The record when the mark that its report gives stands.

        Args:
            mark: the one that stands now.
            new_answers: fingerprints of what was graded.
            entered: whether the mark is the gradebook's.
        """
        snapshot = Snapshot.of(mark, self.report, new_answers, entered)
        history = extended(self.history, self.snapshot, snapshot, mark)
        # A run without a gradebook says what would move; the mark that counts stays known.
        keeps = self.snapshot is not None and self.snapshot.entered and not entered
        return replace(
            self,
            in_gradebook=entered,
            snapshot=self.snapshot if keeps else snapshot,
            history=history,
        )


@dataclass(frozen=True)
class ClassFolder:
    """A class's folder: submitted/ and what grading makes of it, as nbgrader lays it out."""

    submitted: Path

    @property
    def folder(self) -> Path:
        """Holds submitted/, autograded/ and reports/."""
        return self.submitted.resolve().parent

    @cached_property
    def gradebook(self) -> Database:
        """Where the marks are.

        Raises:
            CourseError: if the configuration cannot be read, or names another sort of database.
        """
        return Database.of(self.folder)

    def students(self, chapter: str) -> list[str]:
        """Who handed in."""
        return find_students(self.submitted, chapter)

    def autograded(self, chapter: str, student: str) -> Path:
        """The folder of the executed notebooks, whether it is there or not."""
        return self.folder / "autograded" / student / chapter

    def executed(self, outline: Outline, student: str) -> dict[str, bytes]:
        """The executed notebooks that are there, by name.

        Raises:
            OSError: if one cannot be read.
        """
        folder = self.autograded(outline.chapter, student)
        paths = {name: folder / f"{name}.ipynb" for name in outline.notebooks}
        return {name: path.read_bytes() for name, path in paths.items() if path.exists()}

    def record(self, chapter: str, student: str) -> Record | None:
        """What is recorded on one submission; None if nothing is, or another version wrote it."""
        record = _read(self.record_path(chapter, student))
        if record is None or (record.report.assignment, record.report.student) != (
            chapter,
            student,
        ):
            return None
        return record

    def lacks_records(self, chapter: str, students: Collection[str]) -> bool:
        """Whether something has been handed in of which nothing is recorded.

        Args:
            students: only theirs; everybody's if empty.
        """
        return any(
            not self.record_path(chapter, student).exists()
            for student in self.students(chapter)
            if not students or student in students
        )

    def write_record(self, record: Record) -> None:
        """Records a report in the place of an earlier one.

        Raises:
            OSError: if the disk is full, say.
        """
        path = self.record_path(record.report.assignment, record.report.student)
        write_whole(path, json.dumps(asdict(record), indent=1))

    def reports(self, chapter: str) -> list[Report]:
        """The recorded reports on what is handed in, by student."""
        return [record.report for record in self.records(chapter)]

    def records(self, chapter: str) -> list[Record]:
        """What is recorded on what is handed in, by student.

        What was handed in once and has been taken away is left out.
        """
        records = []
        for student in self.students(chapter):
            if (record := self.record(chapter, student)) is not None:
                records.append(record)
            elif (path := self.record_path(chapter, student)).exists():
                log.warning("%s is of another version or damaged: grade it again", path)
        return records

    @contextmanager
    def one_grader(self) -> Iterator[None]:
        """Waits until no other grading of this class is under way, and keeps others out.

        The lock is the kernel's (flock(2)): it ends with the process, however that ends.

        Raises:
            OSError: if nothing can be written into the class's folder.
        """
        lock = self._open_lock()
        try:
            if not _taken(lock):
                log.warning("another grading of this class is under way: waiting for its end …")
                fcntl.flock(lock, fcntl.LOCK_EX)
            self._remove_what_was_left()
            yield
        finally:
            os.close(lock)

    @contextmanager
    def if_nobody_grades(self) -> Iterator[bool]:
        """Keeps gradings out, if none is under way, and says whether that is so."""
        try:
            lock = self._open_lock()
        except OSError:  # who cannot write here cannot grade, and has nothing to keep out
            yield False
            return
        try:
            yield _taken(lock)
        finally:
            os.close(lock)

    def _open_lock(self) -> int:
        path = self.folder / "reports" / ".grading.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _remove_what_was_left(self) -> None:
        """Removes what a killed run has not put in its place (see `write_whole`)."""
        for pattern in ("reports/*/records/.*.tmp", "reports/*/.*.tmp", "autograded/*/*/.*.tmp"):
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    path.unlink()

    def record_path(self, chapter: str, student: str) -> Path:
        """The record's place; a digest stands for a name that cannot be a file's."""
        name = f"{student}.json"
        if name_problem(student) or len(name.encode()) > MAX_NAME_BYTES:
            name = f"{hashlib.sha256(os.fsencode(student)).hexdigest()}.json"
        return self.folder / "reports" / chapter / "records" / name


def digest(notebooks: Mapping[str, bytes]) -> str:
    """Identifies notebooks, by name; empty if there are none."""
    if not notebooks:
        return ""
    return hashlib.sha256(b"\0".join(data for _, data in sorted(notebooks.items()))).hexdigest()


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> Record | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        snapshot = data["snapshot"]
        record = Record(
            str(data["key"]),
            Report.from_dict(data["report"]),
            bool(data["in_gradebook"]),
            str(data["notebook"]),
            None if snapshot is None else Snapshot.from_dict(snapshot),
            [Step.from_dict(step) for step in data["history"]],
        )
        words.as_json(record.report)  # which fails if a sentence lacks an argument
    except (OSError, RecursionError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return record
