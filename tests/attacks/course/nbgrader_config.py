"""Configuration of the course that the attacks are aimed at."""

from autograder.course.source import CODE_STUB, TEXT_STUB

c = get_config()  # noqa: F821  (nbgrader defines it)
c.CourseDirectory.course_id = "attacks"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "feedback", "*.py"]
c.ClearSolutions.code_stub = {"python": CODE_STUB}
c.ClearSolutions.text_stub = TEXT_STUB
c.Execute.timeout = 20
