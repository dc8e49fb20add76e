"""The command line answers at once where nothing has to be graded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from command import grade, hand_in
from sample_class import ROOT, as_bytes
from typer.testing import CliRunner

from autograder import terminal
from autograder.cli import app
from autograder.course.source import Assignment, Course

HEAVY = {"jupyter_server", "jupytext", "nbconvert", "nbformat", "nbgrader", "numpy"}
HEAVY |= {"keras", "tensorflow", "torch", "transformers"}
NOTHING = "imported: [], when a fork server started: []"


def imported(arguments: list[str], folder: Path) -> str:
    """The last line that the command says, in a process of its own.

    It is what it has imported in the end, and what when it started each fork server.
    """
    code = (
        "import sys\n"
        f"def imported():\n    return sorted({HEAVY} & sys.modules.keys())\n"
        "servers = []\n"
        "def see(event, details):\n"
        "    if event == 'subprocess.Popen' and 'autograder.engine.inside.server' in details[1]:\n"
        "        servers.append(imported())\n"
        "sys.addaudithook(see)\n"
        "import autograder.__main__\n"
        f"sys.argv = ['autograder', *{arguments}]\n"
        "try:\n    autograder.__main__.main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(f'imported: {imported()}, when a fork server started: {servers}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--help"], ["progress"], ["study", "--help"]])
def test_what_grades_nothing_imports_no_grader(arguments: list[str]) -> None:
    assert imported(arguments, ROOT) == NOTHING


def test_help_begins_with_a_sentence() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    first = next(line for line in said.splitlines()[2:] if line.strip())
    assert first.strip().endswith(".")


def test_study_says_at_once_what_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["study"])
    assert result.exit_code == 2
    assert "is not inside a course" in " ".join(result.output.replace("│", " ").split())
    assert result.output.startswith("Bringing your chapters in work/ up to date")


def test_a_class_in_which_nothing_changed_imports_and_starts_nothing(
    tiny_course: Course, tiny_chapter: Assignment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_course.root)
    blank = as_bytes(tiny.release(tiny_chapter))
    hand_in(tmp_path, tiny.TINY, tiny.NOTEBOOK, {"ada": b"no notebook", "bo": blank})
    code, _ = grade(tiny.TINY, tmp_path)
    assert code == 0
    arguments = ["grade", tiny.TINY, "--submitted", str(tmp_path / "submitted")]
    assert imported(arguments, tiny_course.root) == NOTHING
    # Something new is handed in: the server starts first, then this process imports what it needs.
    hand_in(tmp_path, tiny.TINY, tiny.NOTEBOOK, {"cy": b"no notebook"})
    said = imported(arguments, tiny_course.root)
    assert "nbgrader" in said
    assert said.endswith("when a fork server started: [[]]")


def test_nothing_imports_what_checks_addresses_in_unicode() -> None:
    """It takes longer than all else that grading imports, and no notebook needs it."""
    code = (
        "import sys, autograder.__main__\n"
        "sys.argv = ['autograder', '--help']\n"
        "try:\n    autograder.__main__.main()\n"
        "except SystemExit:\n    import nbformat\n"
        "assert 'jsonschema' in sys.modules\n"
        "assert not sys.modules['rfc3987_syntax']\n"
        "assert 'lark' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_start_does_not_count_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is done after a minute, the others after ten seconds each."""
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    ticker = terminal._Ticker("class")
    ticker.start(10)
    for second in (60.0, 70.0, 80.0):
        now[0] = second
        ticker.advance(None)
    assert capsys.readouterr().err.splitlines() == [
        "class: 1 of 10 graded",
        "class: 2 of 10 graded, 6 a minute, 80 s left",
        "class: 3 of 10 graded, 6 a minute, 70 s left",
    ]
