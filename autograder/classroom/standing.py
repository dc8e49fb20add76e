"""How a class stands in one chapter: records and gradebook put together.

The gradebook says what the marks are, the records say why and how they moved, and the folder with
what was handed in says who is missing. Report, tables and JSON are made of this.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir

from autograder import words
from autograder.classroom.history import Step
from autograder.classroom.marks import Mark, Outline, Roster, open_roster
from autograder.classroom.records import ClassFolder
from autograder.course.database import Unavailable
from autograder.results import ExerciseResult, Report, Status

log = logging.getLogger(__name__)
LOCAL_SERVER = "http://localhost:8888/"


@dataclass(frozen=True)
class Entry:
    """One submission.

    Attributes:
        report: what the engine found; without checks if only the gradebook knows the work.
        mark: None if there is none.
        history: how the mark has moved.
        name: the student's, if the gradebook has one.
    """

    report: Report
    mark: Mark | None
    history: tuple[Step, ...] = ()
    name: str = ""

    @classmethod
    def of(cls, report: Report) -> Entry:
        """Where there is no gradebook."""
        return cls(report, Mark.of(report) if report.status is Status.GRADED else None)

    @property
    def shown(self) -> Report:
        """The report with the marks that count, of checks and of written answers."""
        if self.mark is None:
            return self.report
        found = {exercise.id: exercise for exercise in self.report.exercises}
        exercises = [
            ExerciseResult(
                mark.id,
                mark.title,
                mark.score,
                mark.max_score,
                found[mark.id].checks if mark.id in found else [],
            )
            for mark in self.mark.exercises
        ]
        score, most = self.mark.score, self.mark.max_score
        return replace(self.report, exercises=exercises, score=score, max_score=most)

    def as_json(self) -> dict[str, Any]:
        """For other programs: the report with the marks that count, and how they moved."""
        return {
            **words.as_json(self.shown),
            "mark": None if self.mark is None else self.mark.as_json(),
            "history": [{**asdict(step), "changes": step.sentences()} for step in self.history],
        }


@dataclass(frozen=True)
class Standing:
    """The class.

    Attributes:
        entries: by student.
        absent: names of those who have not handed in, by student; only a gradebook knows them.
        ungraded: names of those who have handed in and are not graded yet.
        server: the address of the Jupyter server that has formgrader.
        problem: why the gradebook's marks are not shown.
    """

    entries: list[Entry]
    absent: Mapping[str, str] = field(default_factory=dict)
    ungraded: Mapping[str, str] = field(default_factory=dict)
    server: str = LOCAL_SERVER
    problem: str = ""


def read_standing(outline: Outline, class_folder: ClassFolder) -> Standing:
    """The class now; records of marks that a person has changed are brought up to date.

    Who has taken back what was handed in counts as absent, though the gradebook has a mark.
    """
    problem, roster = "", Roster()
    try:
        roster = open_roster(class_folder.gradebook, outline) or roster
    except Unavailable as error:
        problem = f"The gradebook cannot be read now ({error}): marks by hand are not shown."
        log.warning(problem)
    entries: dict[str, Entry] = {}
    with class_folder.if_nobody_grades() as ours:
        for record in class_folder.records(outline.chapter):
            student = record.report.student
            mark = roster.marks.get(student)
            updated = record.with_mark(mark)
            if ours and updated is not record:
                with suppress(OSError):  # a full disk, say; the next report does it
                    class_folder.write_record(updated)
            entry = Entry.of(record.report)
            entries[student] = replace(
                entry,
                mark=mark or entry.mark,
                history=tuple(updated.history),
                name=roster.names.get(student, ""),
            )
    handed_in = set(class_folder.students(outline.chapter))
    for student, mark in roster.marks.items():
        if student in handed_in and student not in entries:
            report = Report(student, outline.chapter, Status.GRADED, judged=outline.judged)
            entries[student] = Entry(report, mark, name=roster.names.get(student, ""))
        elif student not in handed_in:
            log.warning("%s: there is a mark in the gradebook, but nothing handed in", student)
    others = {student: name for student, name in roster.names.items() if student not in entries}
    return Standing(
        [entry for _, entry in sorted(entries.items())],
        {student: name for student, name in others.items() if student not in handed_in},
        {student: others.get(student, "") for student in sorted(handed_in - entries.keys())},
        _server(class_folder),
        problem,
    )


def _server(class_folder: ClassFolder) -> str:
    """Where formgrader is: on this user's hub, in a server that runs here, or on the usual port."""
    if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
        return prefix
    # As jupyter_server's list_running_servers, which takes a second to import.
    for path in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            server = json.loads(path.read_text(encoding="utf-8"))
            os.kill(server["pid"], 0)  # fails if it has ended
            if class_folder.folder.is_relative_to(server["root_dir"]):
                return str(server["url"])
    return LOCAL_SERVER
