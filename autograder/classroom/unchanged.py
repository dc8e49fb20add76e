"""Sees that a class has nothing to be graded without reading the chapter, which takes seconds.

Of a homework (homework.py), only the gradebook says what it is, so this is about chapters alone.
What marks depend on (`batch.key_of`) is a digest of the chapter as jupytext and nbgrader read it.
It is kept with a digest of the chapter's files, and of all that reads them: as long as these are
the same, it is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

from autograder import course as reading
from autograder.classroom.entered import what_is_left
from autograder.classroom.marks import Outline
from autograder.classroom.records import ClassFolder
from autograder.course.source import Course
from autograder.engine.handed_in import read_submission
from autograder.engine.options import ENGINE_VERSION, Limits
from autograder.files import write_whole
from autograder.results import Report
from autograder.sandbox.confine import Isolation


class Known:
    """What is known of a chapter from an earlier run.

    Args:
        isolation, limits: of this run.

    Attributes:
        path: the file that keeps it.
    """

    def __init__(
        self,
        course: Course,
        chapter: str,
        class_folder: ClassFolder,
        isolation: Isolation,
        limits: Limits,
    ):
        self.class_folder = class_folder
        self.path = class_folder.folder / "reports" / chapter / ".chapter.json"
        files = sorted(course.folder(chapter).glob("*.py"))
        files += sorted(Path(reading.__file__).parent.glob("*.py"))
        digest = hashlib.sha256(
            repr((ENGINE_VERSION, isolation, replace(limits, threads=1), course.installed)).encode()
        )
        for file in files:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        self._of = digest.hexdigest()

    def reports(
        self, students: Collection[str], gradebook: bool
    ) -> tuple[list[Report], Outline] | None:
        """The reports and the chapter's outline, if nothing is left to do; else None."""
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            of, key = str(data["of"]), str(data["key"])
            outline = Outline.from_dict(data["outline"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        if of != self._of:
            return None

        def sha256(student: str) -> str:
            return read_submission(self.class_folder.submitted, student, outline.chapter).sha256

        left = what_is_left(self.class_folder, outline, key, sha256, students, gradebook=gradebook)
        if left.to_grade or left.to_enter:
            return None
        return list(left.done.values()), outline

    def write(self, key: str, outline: Outline) -> None:
        """Remembers the chapter for the next run.

        Raises:
            OSError: if the disk is full, say.
        """
        kept = {"of": self._of, "key": key, "outline": asdict(outline)}
        write_whole(self.path, json.dumps(kept))
