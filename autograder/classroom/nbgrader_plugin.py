"""The same engine behind `nbgrader autograde` and formgrader's Autograde button.

nbgrader_config.py puts `SandboxedExecute` in the place of nbgrader's own `Execute`. nbgrader then
reads the marks from the notebook that the engine has executed, as it always does.
"""

from __future__ import annotations

import atexit
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder import words
from autograder.course.source import Course
from autograder.engine.grade import Engine
from autograder.engine.options import Limits
from autograder.engine.submission import read_submission
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
        assignment = course.assignment(who["assignment"])
        submitted = Path(coursedir.format_path(coursedir.submitted_directory, ".", ".")).resolve()
        submission = read_submission(submitted, who["student"], assignment)
        limits = Limits(threads=os.cpu_count() or 1)
        with ThreadPoolExecutor(1) as pool:  # formgrader calls from inside an event loop
            graded = pool.submit(_engine().grade, assignment, submission, limits).result()
        if graded.report.status is not Status.GRADED or graded.notebook is None:
            raise NbGraderException(
                f"{who['student']}, {who['assignment']}: {words.reason(graded.report)}"
            )
        for note in words.notes(graded.report):
            self.log.info("%s: %s", who["student"], note)
        return graded.notebook, resources


@cache
def _engine() -> Engine:
    """One for all submissions; nbgrader does not say when it has come to the last."""
    try:
        isolation, _ = doctor.choose()
    except SandboxError as error:
        raise NbGraderException(str(error)) from None
    engine = Engine(isolation)
    atexit.register(engine.close)
    return engine
