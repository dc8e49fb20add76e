"""What makes a recorded mark or a published audit be made anew, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TINY, make_course, write_answer

from autograder.audit import answers as audit
from autograder.classroom import batch
from autograder.classroom.batch import grade_class, here
from autograder.classroom.records import ClassFolder
from autograder.classroom.work import Chapter
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine
from autograder.engine.handed_in import Submission
from autograder.engine.options import Graded, Limits
from autograder.results import Report, Status
from autograder.sandbox.confine import Isolation

CHECK = "assert list(probe(scale, [1.0, 2.0, 3.0], 4)) == pytest.approx([0.5, 1.0, 1.5])"
LOCK = "numpy==2.4.0\nnot-installed==1.0\n"


class Setting:
    """A tiny course, one submission, and the number of times that it was graded."""

    def __init__(self, folder: Path):
        self.course = make_course(folder)
        (folder / "requirements.lock").write_text(LOCK)
        self.source = folder / "source" / TINY / "tiny.py"
        self.submitted = folder / "class" / "submitted"
        (self.submitted / "ada" / TINY).mkdir(parents=True)
        (self.submitted / "ada" / TINY / "tiny.ipynb").write_text("{}")
        self.limits = Limits()
        self.isolation = Isolation.FULL
        self.gradings = 0

    def grade(self, assignment: Assignment, submission: Submission, limits: Limits) -> Graded:
        self.gradings += 1
        return Graded(Report(submission.student, assignment.name, Status.GRADED, score=1), None)

    def is_graded_again(self) -> bool:
        before = self.gradings
        course = Course(self.course.root)  # which reads everything afresh
        chapter = Chapter(course, course.assignment(TINY))
        with Engine(self.isolation) as engine:
            engine.grade = self.grade
            members = ClassFolder(self.submitted)
            with here(engine, chapter, self.limits, 1) as pool:
                grade_class(pool, chapter, members, gradebook=False)
        return self.gradings > before

    def edit(self, old: str, new: str) -> None:
        text = self.source.read_text()
        assert old in text
        self.source.write_text(text.replace(old, new))


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    made = Setting(tmp_path)
    assert made.is_graded_again()
    assert not made.is_graded_again()
    return made


def change_the_submission(setting: Setting, _: pytest.MonkeyPatch) -> None:
    (setting.submitted / "ada" / TINY / "tiny.ipynb").write_text("{ }")


def change_a_check(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("Which root?", "What root?")


def show_a_hidden_check(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("### END HIDDEN TESTS\n", "")
    setting.edit("### BEGIN HIDDEN TESTS\n", "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS\n")


def change_what_is_given(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("    ### BEGIN SOLUTION\n", "    pass\n    ### BEGIN SOLUTION\n")


def change_a_deadline(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("# jupyter:\n", "# jupyter:\n#   autograder:\n#     check_seconds: 2\n")


def change_an_option(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.limits = replace(setting.limits, check_seconds=7)


def confine_less(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.isolation = Isolation.PROCESS


def change_the_engine(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ENGINE_VERSION", batch.ENGINE_VERSION + 1)


def change_a_locked_package(_: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Course, "installed", {"numpy": "0.1"})


def change_a_paragraph(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("# # Tiny", "# # Tiny but fine")


def change_a_comment(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("check.score()", "check.score()  # the points")


def change_a_docstring(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.edit("'Every value is divided by the root of the width.'", "'Each is divided.'")


def move_the_section(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.source.rename(setting.source.with_name("00_moved.py"))


def change_the_number_of_threads(setting: Setting, _: pytest.MonkeyPatch) -> None:
    setting.limits = replace(setting.limits, threads=7)


def lock_what_is_not_installed(setting: Setting, _: pytest.MonkeyPatch) -> None:
    (setting.course.root / "requirements.lock").write_text(f"{LOCK}neither==2.0\n")


Change = Callable[[Setting, pytest.MonkeyPatch], None]


@pytest.mark.parametrize(
    "change",
    [
        change_the_submission,
        change_a_check,
        show_a_hidden_check,
        change_what_is_given,
        change_a_deadline,
        change_an_option,
        confine_less,
        change_the_engine,
        change_a_locked_package,
    ],
)
def test_what_can_change_a_mark_has_it_graded_again(
    change: Change, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(setting, monkeypatch)
    assert setting.is_graded_again()


@pytest.mark.parametrize(
    "change",
    [
        change_a_paragraph,
        change_a_comment,
        change_a_docstring,
        move_the_section,
        change_the_number_of_threads,
        lock_what_is_not_installed,
    ],
)
def test_what_cannot_change_a_mark_has_nothing_graded_again(
    change: Change, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(setting, monkeypatch)
    assert not setting.is_graded_again()


def test_the_versions_are_those_that_are_installed(course: Course) -> None:
    import numpy

    assert course.installed["numpy"] == numpy.__version__
    assert course.installed.keys() <= course.lock.keys()


def audit_key(course: Course) -> tuple[str, str]:
    course = Course(course.root)
    chapter = course.assignment(TINY)
    folder = course.root / "tests" / "answers" / TINY / "scale"
    key = audit.fingerprint(chapter, chapter.exercises[0], folder)
    return key, audit.environment(course)


def test_an_audit_is_of_cells_answers_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(tmp_path)
    keys = [audit_key(setting.course)]
    for change in (change_a_paragraph, change_a_comment, move_the_section):
        change(setting, monkeypatch)
        setting.source = next(setting.source.parent.glob("*.py"))
        assert audit_key(setting.course) == keys[0]
    change_a_check(setting, monkeypatch)
    keys.append(audit_key(setting.course))
    write_answer(tmp_path, "right_loop", "# Right: another\n")
    keys.append(audit_key(setting.course))
    equivalent = tmp_path / "tests" / "answers" / TINY / "scale" / "equivalent.toml"
    equivalent.write_text("mutant = []")
    keys.append(audit_key(setting.course))
    setting.edit("# jupyter:\n", "# jupyter:\n#   autograder:\n#     float64: [scale]\n")
    keys.append(audit_key(setting.course))
    monkeypatch.setattr(audit, "AUDIT_VERSION", audit.AUDIT_VERSION + 1)
    keys.append(audit_key(setting.course))
    assert len({key for key, _ in keys}) == len(keys)
    assert len({environment for _, environment in keys}) == 1
    (tmp_path / "requirements.lock").write_text(LOCK.replace("2.4.0", "2.4.1"))
    keys.append(audit_key(setting.course))
    monkeypatch.setattr(audit, "ENGINE_VERSION", audit.ENGINE_VERSION + 1)
    keys.append(audit_key(setting.course))
    assert keys[-1][0] == keys[-2][0] == keys[-3][0]
    assert len({environment for _, environment in keys}) == 3


SECOND = """
# %% nbgrader={"grade": false, "grade_id": "other", "locked": false, "schema_version": 3, "solution": true, "task": false}
def other(values):
    ### BEGIN SOLUTION
    return USED
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "test_other", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=1)


@check(points=1, hint="Which?")
def is_returned():
    "What is asked for is returned."
    assert other([4.0]) is not None


check.score()
"""  # noqa: E501


@pytest.mark.parametrize(("expression", "needs"), [("values", False), ("scale(values, 1)", True)])
def test_an_exercise_has_the_earlier_answers_that_it_uses(
    expression: str, needs: bool, tmp_path: Path
) -> None:
    setting = Setting(tmp_path)
    second = SECOND.replace("USED", expression)
    setting.source.write_text(setting.source.read_text() + second)

    def key() -> str:
        chapter = Course(tmp_path).assignment(TINY)
        return audit.fingerprint(chapter, chapter.exercises[1], tmp_path)

    before = key()
    setting.edit("return [value", "return 0 or [value")
    assert (key() != before) is needs
    setting.edit("Which root?", "What root?")  # another exercise's tests
    assert (key() != before) is needs
