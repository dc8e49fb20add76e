"""What a student reads when nbgrader validates: the button's answer, and `nbgrader validate`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.apps import validateapp
from nbgrader.server_extensions.validate_assignment import handlers
from nbgrader.server_extensions.validate_assignment.handlers import ValidateAssignmentHandler
from nbgrader.validator import Validator
from sample_class import fill
from tiny import TINY, cell, check, demo, exercise, function, write_chapter, written

from autograder.classroom.validator import HIDDEN as HIDDEN_CHECKS
from autograder.course import build
from autograder.course.source import Course

MEAN = (
    check("mean_of_two", "assert mean([1.0, 3.0]) == 2.0", hint="Add, then divide.")
    + "### BEGIN HIDDEN TESTS\n"
    + check("mean_of_many", "assert mean([1.0, 2.0, 6.0]) == 3.0", points=2)
    + "### END HIDDEN TESTS"
)
DOUBLE = (
    check("double_of_one", "assert double(1) == 2")
    + "### BEGIN HIDDEN TESTS\n"
    + check("double_of_text", "assert double('a') == 'aa'")
    + "### END HIDDEN TESTS"
)
CELLS = (
    cell("setup", "from autograder.checks import Checks, probe"),
    demo("raise SystemExit('a demonstration is not run')"),
    exercise("mean", function("mean", "return sum(values) / len(values)", "values"), MEAN, 3),
    exercise("double", function("double", "return 2 * value", "value"), DOUBLE, 2),
    "# %% [markdown]\n# ## W1 Reasons\n",
    written("reasons", "Because.", 5),
)
VISIBLE_PASS = {
    "mean": "def mean(values):\n    return 2.0\n",
    "double": "def double(x): return 2\n",
}
WRONG = {**VISIBLE_PASS, "mean": "def mean(values):\n    return 1.0\n"}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return write_chapter(tmp_path_factory.mktemp("validate"), *CELLS)


@pytest.fixture(scope="module")
def released(course: Course) -> str:
    """What students get, with the checksums of what they get."""
    database = f"sqlite:///{course.root / 'gradebook.db'}"
    return build.make_release(course, course.assignment(TINY), database)


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the configuration changes in nbgrader ends with the test."""
    for module in (validateapp, handlers):
        monkeypatch.setattr(module, "Validator", Validator)


def filled(released: str, answers: dict[str, str]) -> NotebookNode:
    return fill(answers, nbformat.reads(released, as_version=4))


def write(course: Course, notebook: NotebookNode, name: str = "tiny.ipynb") -> Path:
    """A student's notebook, beside the configuration."""
    path = course.root / name
    nbformat.write(notebook, path)
    return path


def press_the_button(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What JupyterLab gets back."""
    monkeypatch.chdir(notebook.parent)
    handler = object.__new__(ValidateAssignmentHandler)
    handler.application = SimpleNamespace(settings={"root_dir": str(notebook.parent)})
    answer = handler.validate_notebook(notebook.name)
    assert answer["success"], answer["value"]
    return answer["value"]


def shown(value: dict) -> str:
    """What JupyterLab puts into its dialog, besides "The following cell failed:"."""
    assert value.keys() == {"failed"}
    return "\n".join(
        line
        for failed in value["failed"]
        for line in (failed["source"], BeautifulSoup(failed["error"], "html.parser").text)
    )


def command(notebook: Path) -> str:
    done = subprocess.run(
        ["nbgrader", "validate", notebook.name],
        check=False,
        cwd=notebook.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_visible_checks_that_pass_are_no_failure_and_no_promise(
    course: Course, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The written question has no answer, and a demonstration would end the kernel."""
    notebook = write(course, filled(released, VISIBLE_PASS))
    assert shown(press_the_button(notebook, monkeypatch)).splitlines() == [
        "none: all visible checks pass",
        HIDDEN_CHECKS,
    ]
    assert command(notebook).splitlines() == [
        "Exercises in which visible checks fail:",
        "",
        "none: all visible checks pass",
        "",
        HIDDEN_CHECKS,  # not indented, as if it were about one exercise
    ]


def test_failing_visible_checks_are_named_and_nothing_else_is_shown(
    course: Course, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = write(course, filled(released, WRONG))
    expected = [
        "mean",
        "✗   0/1  mean_of_two.",
        "failed: Not true: mean([1.0, 3.0]) == 2.0",
        "Hint: Add, then divide.",
        "0 of 1 visible checks pass",
        "",
        HIDDEN_CHECKS,
    ]
    dialog = shown(press_the_button(notebook, monkeypatch))
    assert [line.strip() for line in dialog.splitlines()] == expected
    printed = command(notebook)
    assert [line.strip() for line in printed.splitlines()][2:] == expected
    assert printed.endswith(f"\n\n{HIDDEN_CHECKS}\n")


def test_what_was_not_attempted_is_one_line(
    course: Course, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialog = shown(press_the_button(write(course, filled(released, {})), monkeypatch))
    assert dialog.splitlines() == [
        "mean",
        "not attempted",
        "double",
        "not attempted",
        "",
        HIDDEN_CHECKS,
    ]


def test_an_edited_test_cell_is_named(
    course: Course, released: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = filled(released, VISIBLE_PASS)
    for c in notebook.cells:
        if c.id == "test_mean":
            c.source = c.source.replace("== 2.0", "== mean([1.0, 3.0])")
    value = press_the_button(write(course, notebook), monkeypatch)
    assert value == {"changed": [{"source": "mean (test_mean)"}]}


def test_without_the_courses_configuration_the_verdict_is_the_same(
    course: Course, released: str
) -> None:
    """A student's machine may have no more than nbgrader and this package."""
    notebook = filled(released, WRONG)
    notebook.cells = [c for c in notebook.cells if "SystemExit" not in c.source]
    path = write(course, notebook)
    failed = Validator().validate(str(path))["failed"]
    assert [entry["source"].split("(")[0] for entry in failed] == [
        "check = Checks",
        "*Your answer here.*",
    ]
    assert re.search(r"mean_of_two.*\n.*Not true", failed[0]["raw_error"])


def test_other_notebooks_are_validated_as_nbgrader_does(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = new_code_cell("assert 1 == 2")
    bare.metadata["nbgrader"] = {
        "grade": True,
        "grade_id": "bare",
        "locked": True,
        "points": 1,
        "schema_version": 3,
        "solution": False,
        "task": False,
        "cell_type": "code",
    }
    notebook = write(course, new_notebook(cells=[bare]), "ps1.ipynb")
    value = press_the_button(notebook, monkeypatch)
    assert value["failed"][0]["source"] == "assert 1 == 2"
    assert value == Validator().validate(str(notebook))
