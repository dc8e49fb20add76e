"""A teacher's own homework: an ordinary nbgrader assignment, source/NAME/*.ipynb.

It is graded as nbgrader grades it, but warm, confined and many at once. What nbgrader defines is
left to nbgrader: what the assignment is (the gradebook knows it since `nbgrader
generate_assignment`), what is put right in a submission, and what a cell's outputs are worth. Ours
are the reading of what was handed in, the kernel (engine/homework.py), the gradebook's writer
(homework_gradebook.py) and the report. Test cells run with the student's code, so nobody judges
them from outside; each report says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.api import Gradebook as NbgraderGradebook
from nbgrader.api import MissingEntry, Notebook
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute, IgnorePattern, LimitOutput
from nbgrader.utils import capture_log, determine_grade, find_all_files, is_solution
from sqlalchemy.exc import SQLAlchemyError
from traitlets.config import Config

from autograder.classroom.gradebook import nbgrader_config
from autograder.classroom.handin import SECRET, TIMESTAMP
from autograder.classroom.history import fingerprint
from autograder.classroom.homework_gradebook import HomeworkGradebook
from autograder.classroom.homework_score import Cell, score
from autograder.classroom.marks import Outline
from autograder.classroom.work import Chapter, Result, Work
from autograder.course.cells import grade_id, is_answer
from autograder.course.database import Database, Unavailable
from autograder.course.source import Course, CourseError
from autograder.engine.grade import Engine
from autograder.engine.handed_in import MAX_FILE_BYTES, Submission, name_problem
from autograder.engine.homework import execute
from autograder.engine.options import Limits
from autograder.engine.recognise import visible
from autograder.engine.submission import Rejected, parse
from autograder.engine.text import clean_text
from autograder.results import Code, Remark, Report, Status

log = logging.getLogger(__name__)
SILENT = logging.getLogger("autograder.silent")
SILENT.setLevel(logging.CRITICAL + 1)  # what nbgrader would log is in the report
MAX_FILES = 1_000  # beside the notebooks
MAX_CELL_SECONDS = 600  # where nbgrader's Execute.timeout sets no limit
CELLS_A_NOTEBOOK = 20  # so many times a cell's seconds are a notebook's


@contextmanager
def opened(course: Course, name: str, folder: Path) -> Iterator[Work[Any]]:
    """The chapter or the homework of that name, for the class in this folder.

    Raises:
        CourseError: if there is none, or nbgrader refuses the source.
        OSError: if it is a homework and the gradebook, which alone knows it, cannot be read now.
    """
    if name in course.homework:
        with Homework(course, name, folder).opened() as homework:
            yield homework
    else:
        yield Chapter(course, course.assignment(name))


@dataclass(frozen=True)
class HandedIn:
    """What one student handed in.

    Attributes:
        notebooks: those of the homework, by name.
        files: what else there was, by relative path.
        missing: why there is nothing to grade.
        notes: what has to be said about the files.
    """

    student: str
    notebooks: Mapping[str, Submission]
    files: Mapping[str, bytes]
    missing: Remark | None = None
    notes: tuple[Remark, ...] = ()

    @property
    def sha256(self) -> str:
        """Identifies the content."""
        digests = {name: found.sha256 for name, found in self.notebooks.items()}
        files = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        said = repr((digests, files, self.missing, self.notes))
        return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()


class Homework:
    """An assignment of the teacher's own.

    Args:
        folder: the class's folder.
    """

    def __init__(self, course: Course, name: str, folder: Path):
        self.course = course
        self.name = name
        self.folder = folder

    @cached_property
    def config(self) -> Config:
        """nbgrader's configuration, for this assignment."""
        config = nbgrader_config(self.course.root, self.folder)
        config.CourseDirectory.root = str(self.course.root)
        config.CourseDirectory.assignment_id = self.name
        return config

    @contextmanager
    def opened(self) -> Iterator[OpenHomework]:
        """The homework as the class's gradebook has it, or as source/ has it if that does not.

        Raises:
            CourseError: if nbgrader refuses the source.
            OSError: if the gradebook cannot be read now.
        """
        self._warn_of_a_newer_source()
        with tempfile.TemporaryDirectory() as scratch:
            # Threads read it while another writes marks: they get a copy, so that nobody waits.
            copy, database = Database.within(Path(scratch)), Database.of(self.folder)
            try:
                database.copy_assignments(copy)
            except Unavailable as error:
                raise OSError(
                    f"the gradebook {database} cannot be read now ({error}), and it alone knows "
                    f"what {self.name} is"
                ) from error
            self.register(copy.url)
            yield OpenHomework(self, copy.url)

    def _warn_of_a_newer_source(self) -> None:
        for source in self.course.root.glob(f"source/{self.name}/*.ipynb"):
            release = self.course.root / "release" / self.name / source.name
            if release.exists() and release.stat().st_mtime < source.stat().st_mtime:
                log.warning(
                    "source/%s/%s is newer than its release; submissions are graded with what "
                    "was released. To use the new one: nbgrader generate_assignment %s --force",
                    *(self.name, source.name, self.name),
                )

    def register(self, url: str) -> None:
        """Makes sure that a gradebook knows the homework: has nbgrader make a release, else.

        Raises:
            CourseError: if nbgrader refuses the source.
        """
        with NbgraderGradebook(url) as book, suppress(MissingEntry):
            if book.find_assignment(self.name).notebooks:
                return
        with tempfile.TemporaryDirectory() as scratch:
            config = self.config.copy()
            config.CourseDirectory.release_directory = scratch
            config.CourseDirectory.db_url = url
            coursedir = CourseDirectory(config=config)
            made = capture_log(GenerateAssignment(coursedir=coursedir, config=config, force=True))
        if not made["success"]:
            raise CourseError(f"{self.name}: nbgrader refuses the source:\n{made['log']}")

    def limits(self, limits: Limits) -> Limits:
        """These limits with nbgrader's seconds for a cell, which the configuration may set."""
        seconds = limits.cell_seconds or Execute(config=self.config).timeout or MAX_CELL_SECONDS
        if seconds < 0:
            seconds = MAX_CELL_SECONDS
        total = limits.notebook_seconds or CELLS_A_NOTEBOOK * seconds
        return replace(limits, cell_seconds=seconds, notebook_seconds=total)

    def files(self, folder: Path, follow: bool = False) -> tuple[dict[str, bytes], list[str]]:
        """What lies beside notebooks in a folder, as far as nbgrader takes it, by relative path.

        Args:
            follow: whether to follow links, as in the teacher's own folder.

        Returns:
            The files, and the links that were not followed.

        Raises:
            Rejected: if it is too much.
        """
        ignored = [*CourseDirectory(config=self.config).ignore, "*.ipynb", TIMESTAMP, SECRET]
        found, links, left = {}, [], MAX_FILE_BYTES
        for path in sorted(find_all_files(str(folder), ignored)):
            name = os.path.relpath(path, folder)
            try:
                flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
                descriptor = os.open(path, flags)
            except OSError:
                if not os.path.islink(path):
                    raise
                links.append(name)
                continue
            with open(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    continue
                found[name] = stream.read(left + 1)
            left -= len(found[name])
            if left < 0 or len(found) > MAX_FILES:
                mebibytes = MAX_FILE_BYTES >> 20
                raise Rejected(Code.TOO_MANY_FILES, mebibytes=mebibytes, files=MAX_FILES)
        return found, links

    def run(  # noqa: PLR0913  (what a notebook's run is made of)
        self,
        engine: Engine,
        student: str,
        name: str,
        notebook: NotebookNode,
        files: Mapping[str, bytes],
        limits: Limits,
    ) -> list[Remark]:
        """Executes one notebook, in place.

        Args:
            name: the notebook's.
            notebook: after nbgrader's sanitize_preprocessors.

        Returns:
            What happened to cells.

        Raises:
            CourseError: if a test cell gives what is no mark.
        """
        notes = execute(engine, notebook, files, self.limits(limits))
        for step in (IgnorePattern, LimitOutput):
            step(config=self.config).preprocess(notebook, {})
        for cell in notebook.cells:
            try:
                if cell.metadata.get("nbgrader", {}).get("grade"):
                    determine_grade(cell)
            except (ValueError, KeyError) as error:
                raise CourseError(
                    f"{student}, {self.name}, {name}.ipynb: the result of the test cell "
                    f"{grade_id(cell)} is no mark: {error}"
                ) from None
        return notes


class OpenHomework:
    """A homework with what a gradebook knows of it.

    Attributes:
        cells: those with points, in the order of the notebooks.
        fingerprint: of all that a mark depends on.
    """

    def __init__(self, homework: Homework, url: str):
        self.homework = homework
        self.course = homework.course
        self.name = homework.name
        self._url = url
        self._sources: dict[tuple[str, str], str] = {}
        with NbgraderGradebook(self._url) as book:
            notebooks = sorted(book.find_assignment(self.name).notebooks, key=lambda n: n.name)
            self.notebooks = [notebook.name for notebook in notebooks]
            self.cells = [cell for notebook in notebooks for cell in self._read(notebook)]
            kernels = [json.loads(notebook.kernelspec or "{}") for notebook in notebooks]
        for name, kernel in zip(self.notebooks, kernels, strict=True):
            language = (kernel or {}).get("language", "python")
            if language != "python":
                raise CourseError(
                    f"{self.name}/{name}.ipynb is written in {language}; only notebooks in Python "
                    "can be graded here"
                )
        exercises = tuple((cell.id, cell.id, not cell.tested) for cell in self.cells)
        self.outline = Outline(
            self.name, self.name, exercises, "", tuple(self.notebooks), judged=False
        )
        source = self.course.root / "source" / self.name
        try:
            self._given, _ = homework.files(source, follow=True)
        except Rejected as error:
            raise CourseError(f"{source}: {error}") from None
        self._kept = Autograde(config=homework.config).exclude_overwriting.get(self.name, [])
        files = map(self.course.root.joinpath, ("nbgrader_config.py", "class_config.py"))
        settings = [path.read_bytes() for path in files if path.exists()]
        material = repr((self._sources, self.cells, self._given, settings))
        self.fingerprint = hashlib.sha256(material.encode("utf-8", "replace")).hexdigest()

    def _read(self, notebook: Notebook) -> Iterator[Cell]:
        graded = {cell.name: cell for cell in (*notebook.grade_cells, *notebook.task_cells)}
        solutions = {cell.name for cell in notebook.solution_cells}
        tasks = {cell.name for cell in notebook.task_cells}
        for source in notebook.source_cells:
            name = source.name
            self._sources[notebook.name, name] = str(source.source)
            if name in graded:
                tested = name not in solutions | tasks and source.cell_type == "code"
                points = float(graded[name].max_score)
                yield Cell(notebook.name, name, points, tested, name in tasks)

    def read(self, folder: Path, student: str) -> HandedIn:
        """What a student handed in, in a folder laid out as STUDENT/NAME/*.ipynb."""
        if problem := name_problem(student):
            return HandedIn(student, {}, {}, Remark.of(Code.ODD_NAME, problem=problem))
        own = folder / student / self.name
        names = [f"{name}.ipynb" for name in self.notebooks]
        try:
            if own.is_symlink() or own.parent.is_symlink():
                return HandedIn(student, {}, {}, Remark.of(Code.LINK))
            found: dict[str, Submission] = {}
            for name in self.notebooks:
                path = own / f"{name}.ipynb"
                if path.is_file() and not path.is_symlink():
                    with path.open("rb") as stream:
                        found[name] = Submission(student, stream.read(MAX_FILE_BYTES + 1))
            if not found:
                there = clean_text(", ".join(sorted(p.name for p in own.iterdir())[:5]))[:200]
                code = Code.NOTEBOOK_MISSING if there else Code.NOTHING_HANDED_IN
                missing = Remark(code, "", {"name": " and ".join(names), "found": there})
                return HandedIn(student, {}, {}, missing)
            files, links = self.homework.files(own)
        except OSError as error:
            problem = error.strerror or str(error)
            return HandedIn(student, {}, {}, Remark.of(Code.NOT_READABLE, problem=problem))
        except Rejected as rejected:
            return HandedIn(student, {}, {}, rejected.remark)
        notes = []
        if links:
            notes.append(Remark.of(Code.LINKS_LEFT_OUT, found=clean_text(", ".join(links[:5]))))
        return HandedIn(student, found, files, None, tuple(notes))

    def grade(self, engine: Engine, submission: HandedIn, limits: Limits) -> Result:
        """Executes and scores one student's notebooks.

        Raises:
            Exception: whatever is the grader's own fault, or the homework's.
        """
        started = time.monotonic()
        student = submission.student
        report = Report(student, self.name, Status.GRADED, judged=False)
        report.notes += submission.notes
        if submission.missing is not None:
            report.status, report.reasons = Status.REJECTED, [submission.missing]
            return Result(report)
        executed: dict[str, NotebookNode] = {}
        files = self._beside(submission.files)
        for name in self.notebooks:
            notes: list[Remark] = []
            if name in submission.notebooks:
                try:
                    notebook = parse(submission.notebooks[name])
                    notebook, notes = self._sanitize(student, name, notebook)
                except Rejected as rejected:
                    reason = replace(rejected.remark, cell=f"{name}.ipynb")
                    report.status, report.reasons = Status.REJECTED, [reason]
                    return Result(report)
                notes += self.homework.run(engine, student, name, notebook, files, limits)
                executed[name] = notebook
            else:
                report.notes.append(Remark.of(Code.NOTEBOOK_COUNTS_ZERO, f"{name}.ipynb"))
            own = [cell for cell in self.cells if cell.notebook == name]
            report.exercises += score(own, executed.get(name), notes)
            report.notes += [replace(note, cell=f"{name}/{note.cell}") for note in notes]
        by_checks = [exercise for exercise in report.exercises if not exercise.written]
        report.score = sum(exercise.score or 0.0 for exercise in by_checks)
        report.max_score = sum(exercise.max_score for exercise in by_checks)
        report.seconds = round(time.monotonic() - started, 2)
        return Result(report, executed, files)

    def _beside(self, handed_in: Mapping[str, bytes]) -> dict[str, bytes]:
        """What lies beside the notebooks when they run: the teacher's files go first.

        A file of the student's in the place of a folder, or the other way round, is left out.
        """
        given = {
            name: data
            for name, data in self._given.items()
            if name not in self._kept or name not in handed_in
        }
        taken = [*given, *(f"{name}.ipynb" for name in self.notebooks), TIMESTAMP, SECRET]

        def is_free(name: str) -> bool:
            return not any(
                f"{name}/".startswith(f"{other}/") or other.startswith(f"{name}/")
                for other in taken
            )

        return {**{name: data for name, data in handed_in.items() if is_free(name)}, **given}

    def _sanitize(
        self, student: str, name: str, notebook: NotebookNode
    ) -> tuple[NotebookNode, list[Remark]]:
        """The notebook after nbgrader's own repairs, and notes on them.

        Raises:
            Rejected: if nbgrader refuses it.
        """
        before = {str(grade_id(cell)): cell.source for cell in notebook.cells if grade_id(cell)}
        config = self.homework.config
        who = {"student": student, "assignment": self.name, "notebook": name, "db_url": self._url}
        resources = {"nbgrader": who}
        try:
            for step in Autograde(config=config, log=SILENT).sanitize_preprocessors:
                notebook, resources = step(config=config, log=SILENT)(notebook, resources)
        except (SQLAlchemyError, OSError, MemoryError):
            raise
        except Exception as error:  # nbgrader raises whatever odd metadata make it run into
            problem = clean_text(str(error) or repr(error))[:200]
            raise Rejected(Code.BAD_METADATA, problem=problem) from None
        notes = []
        for cell in notebook.cells:
            identifier = str(grade_id(cell))
            handed_in = visible(before.get(identifier, cell.source))
            # Of a locked cell nbgrader has put the assignment's own source back.
            is_own = cell.source == self._sources.get((name, identifier))
            if is_own and not is_solution(cell) and handed_in != visible(cell.source):
                notes.append(Remark.of(Code.LOCKED_EDITED, identifier))
        return notebook, notes

    def answers(self, notebooks: Mapping[str, NotebookNode]) -> dict[str, str]:
        """Fingerprints of what the student wrote, by cell with points.

        Of a cell that the student does not fill in, a test or a task, it is the whole notebook.
        """
        found = {}
        for own in self.cells:
            cells = notebooks[own.notebook].cells if own.notebook in notebooks else []
            theirs = [cell for cell in cells if is_answer(cell) or not grade_id(cell)]
            answer = [cell for cell in theirs if grade_id(cell) == own.name]
            found[own.id] = fingerprint([cell.source.strip() for cell in answer or theirs])
        return found

    def gradebook(self, folder: Path) -> HomeworkGradebook:
        """Where the marks of the class in this folder go."""
        return HomeworkGradebook(self.course, self.outline, folder, self.homework.register)
