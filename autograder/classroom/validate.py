"""Has nbgrader validate chapters as the course wants it; validator.py says how that is.

Every process that reads nbgrader_config.py calls `install`, also one that only wants to know where
the gradebook is: nothing of nbgrader, which takes seconds to import, is imported for it.
"""

from __future__ import annotations

import sys

USERS = ("nbgrader.apps.validateapp", "nbgrader.server_extensions.validate_assignment.handlers")


def install() -> None:
    """Has nbgrader validate chapters with `ChapterValidator`, in this process."""
    # Each of nbgrader's ways to validate reads the configuration when it is there itself.
    if there := [name for name in USERS if name in sys.modules]:
        from autograder.classroom.validator import ChapterValidator

        for name in there:
            vars(sys.modules[name])["Validator"] = ChapterValidator
