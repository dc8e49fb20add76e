"""nbgrader's configuration for this course; `autograder` runs nbgrader with it, too."""

from autograder.course.source import CODE_STUB, TEXT_STUB

c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.course_id = "large-models"
# source/ holds the chapters as text, with all solutions: it must never be copied to students.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.py"]
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
