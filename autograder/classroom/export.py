"""`nbgrader export` without the chapters that nobody has got yet.

The gradebook knows all chapters as soon as they are built, and nbgrader gives everybody 0 for each
that they have not handed in. nbgrader_config.py names the class below.
"""

from __future__ import annotations

from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.exchange.default import Exchange
from nbgrader.plugins import CsvExportPlugin


class ReleasedChapters(CsvExportPlugin):
    """nbgrader's CSV file of the chapters that were released, or that somebody handed in."""

    assignment: list[str]

    def export(self, gradebook: Gradebook) -> None:
        """Writes the file; `--assignment` asks for chapters by name, released or not."""
        if not self.assignment:
            course = self.parent.coursedir.course_id
            outbound = Path(Exchange(parent=self.parent).root, course, "outbound")
            known = {assignment.name: assignment for assignment in gradebook.assignments}
            self.assignment = [
                name
                for name, assignment in known.items()
                # An extension makes a submission without notebooks.
                if any(submission.notebooks for submission in assignment.submissions)
                or (outbound / name).is_dir()
            ]
            if left_out := sorted(known.keys() - set(self.assignment)):
                self.log.info("Not released and not handed in: %s", ", ".join(left_out))
            if not self.assignment:
                self.log.warning("No chapter has been released or handed in yet")
                self.assignment = [""]  # no chapter's name; an empty list stands for all of them
        super().export(gradebook)
