"""What a class's folder keeps about submissions: reports/CHAPTER/records/STUDENT.json.

A record holds a report and the key of what it depends on. It is written as soon as a submission
has been graded, so that a run that was killed goes on where it stopped, and is used again as long
as its key is the same. A record that cannot be read counts as none.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from autograder.files import write_whole
from autograder.results import Report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One submission's report, with what it depends on.

    Attributes:
        key: of the submission, and of all else that its mark depends on.
        in_gradebook: whether the report's marks were entered into nbgrader's gradebook.
    """

    key: str
    in_gradebook: bool
    report: Report


@dataclass(frozen=True)
class ClassFolder:
    """A class's folder: submitted/ and what grading makes of it, as nbgrader lays it out."""

    submitted: Path

    @property
    def folder(self) -> Path:
        """Holds submitted/, autograded/, reports/ and gradebook.db."""
        return self.submitted.resolve().parent

    def record(self, chapter: str, student: str) -> Record | None:
        """What is recorded on one submission; None if nothing is, or another version wrote it."""
        return _read(self._path(chapter, student))

    def write_record(self, record: Record) -> None:
        """Records a report in the place of an earlier one."""
        path = self._path(record.report.assignment, record.report.student)
        write_whole(path, json.dumps(asdict(record), indent=1))

    def reports(self, chapter: str) -> list[Report]:
        """All recorded reports on a chapter, by student."""
        reports = []
        for path in sorted(self._path(chapter, "x").parent.glob("[!.]*.json")):
            if (record := _read(path)) is None:
                log.warning("%s is of another version or damaged: grade it again", path)
            else:
                reports.append(record.report)
        return reports

    def _path(self, chapter: str, student: str) -> Path:
        return self.folder / "reports" / chapter / "records" / f"{student}.json"


def _read(path: Path) -> Record | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            str(data["key"]), bool(data["in_gradebook"]), Report.from_dict(data["report"])
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
