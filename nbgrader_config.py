"""nbgrader's configuration for this course; `autograder` runs nbgrader with it, too."""

import glob
from pathlib import Path

from autograder.classroom import validate
from autograder.classroom.process import prepare
from autograder.course.source import CODE_STUB, TEXT_STUB

prepare(Path(__file__).parent)
c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.course_id = "large-models"
# source/chNN_name holds a chapter with all solutions. nbgrader copies to students what lies beside
# a notebook there, unless it is to ignore the folder, whose path it writes with the dot. Of a
# homework of your own, in another folder of source/, students get all that lies beside it.
roots = {Path(__file__).parent.absolute(), Path(__file__).parent.resolve()}
c.CourseDirectory.ignore = [
    *(f"{glob.escape(str(root))}/source/./ch[0-9][0-9]_*" for root in sorted(roots)),
    *(".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "[0-9][0-9]_*.py"),
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
    "autograder.classroom.nbgrader_plugin.KeepRecord",
]
# Validate says which visible checks fail, and promises nothing about the hidden ones.
validate.install()
# What students get back: a short page first, the notebook behind it, nothing from the net.
c.GenerateFeedback.exporter_class = "autograder.classroom.feedback_page.FeedbackPage"
# Chapters that nobody has got yet are not in the file, rather than there with zeros.
c.ExportApp.plugin_class = "autograder.classroom.export.ReleasedChapters"
# A class's own settings, which a new version of the course does not touch; there need be none.
load_subconfig("class_config.py", str(Path(__file__).parent))  # noqa: F821  (traitlets defines it)
