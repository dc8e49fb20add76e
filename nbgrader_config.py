"""nbgrader's configuration for this course; `autograder` runs nbgrader with it, too."""

import glob
from pathlib import Path

from autograder.course.source import CODE_STUB, TEXT_STUB

c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.course_id = "large-models"
# source/ holds the chapters with all solutions. nbgrader copies to students what lies beside a
# notebook there, unless it is to ignore the folder, whose path it writes with the dot.
roots = {Path(__file__).parent.absolute(), Path(__file__).parent.resolve()}
c.CourseDirectory.ignore = [
    *(f"{glob.escape(str(root))}/source/./*" for root in sorted(roots)),
    *(".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.py"),
]
c.ClearSolutions.code_stub = {"python": CODE_STUB}
c.ClearSolutions.text_stub = TEXT_STUB
# The mark scheme of a written question stands in its locked text, where graders see it.
c.ClearMarkScheme.enforce_metadata = False
# Submissions are graded in the sandbox, by the judge: `nbgrader autograde`, formgrader's button and
# `autograder grade` give the same marks.
c.Autograde.autograde_preprocessors = [
    "autograder.classroom.nbgrader_plugin.SandboxedExecute",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
