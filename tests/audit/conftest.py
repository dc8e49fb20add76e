"""What several tests of the audit look at."""

from __future__ import annotations

import pytest
from tiny import make_course
from tiny_audit import audit

from autograder.audit.audit import ALL
from autograder.audit.verdict import Audit
from autograder.course.source import Course


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Audit]:
    """The tiny course and its whole audit. To be changed by nobody."""
    course = make_course(tmp_path_factory.mktemp("good"))
    return course, audit(course, seeds=3, mutants=ALL)
