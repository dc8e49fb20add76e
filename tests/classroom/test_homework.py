"""A teacher's own homework: the example course of `nbgrader quickstart`, graded by both engines."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import command
import nbformat
import pytest
from command import run
from engines import engine
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.apps.quickstartapp import QuickStartApp
from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import capture_log
from postgresql import Server
from sample_class import ROOT, as_bytes, fill
from tiny import TINY, cell, write_chapter
from traitlets.config import Config, PyFileConfigLoader

from autograder.classroom import homework, nbgrader_plugin, recorder
from autograder.classroom.handin import SECRET, TIMESTAMP
from autograder.course import build
from autograder.course.cells import grade_id, is_answer, is_test
from autograder.course.source import Course, CourseError

PS1 = "ps1"
EQUATION = "problem1/sum_of_squares_equation"
SETTINGS = """
c.IncludeHeaderFooter.header = "source/header.ipynb"
c.LateSubmissionPlugin.penalty_method = "zero"
"""
HIDDEN = """\
assert squares(3) == [1, 4, 9]
### BEGIN HIDDEN TESTS
assert squares(100)[-1] == 10_000
### END HIDDEN TESTS"""
PARTS = """\
points = 2.0 * (squares(2) == [1, 4]) + 1.5 * (sum_of_squares(2) == 5)
points"""
DATA = 'assert open("numbers.txt").read() == "1 2 3"'
RIGHT = {
    "squares": (
        "def squares(n):\n    if n < 1:\n        raise ValueError(n)\n"
        "    return [i * i for i in range(1, n + 1)]"
    ),
    "sum_of_squares": "def sum_of_squares(n):\n    return sum(squares(n))",
    "sum_of_squares_equation": "$\\sum_{i=1}^n i^2$",
    "sum_of_squares_application": "sum_of_squares(3)",
    "part-a": "Fibonacci's numbers.",
}
NO_CHECK = {**RIGHT, "squares": "def squares(n):\n    return [i * i for i in range(1, n + 1)]"}
SMALL = {**RIGHT, "squares": RIGHT["squares"].replace("1, n + 1", "1, min(n, 20) + 1")}
WRONG_SUM = {**RIGHT, "sum_of_squares": "def sum_of_squares(n):\n    return 5 * n"}
LOUD = {**RIGHT, "squares": "import sys\n" + RIGHT["squares"] + "\nprint(1, file=sys.stderr)"}
LOUD_TEST = RIGHT["squares"].replace("return", 'print("?", file=sys.stderr); return')


def config_of(folder: Path) -> Config:
    config = Config(PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config())
    config.CourseDirectory.root = str(folder)
    return config


def nbgraders(converter: type, folder: Path, assignment: str) -> None:
    """Runs what a command of nbgrader runs."""
    config = config_of(folder)
    config.CourseDirectory.assignment_id = assignment
    coursedir = CourseDirectory(config=config)
    done = capture_log(converter(coursedir=coursedir, config=config))
    assert done["success"], done


def example_course(folder: Path, config: str = "") -> Path:
    """What `nbgrader quickstart` makes, with three cells and a file more in its first problem."""
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder.parent):
        # It has the default settings written, and names entered that are not needed here.
        patch.setattr(subprocess, "call", lambda *_, **__: Path("nbgrader_config.py").touch())
        app = QuickStartApp()
        app.initialize([folder.name])
        app.start()
    path = folder / "nbgrader_config.py"
    path.write_text((config or path.read_text()) + SETTINGS)
    problem = folder / "source" / PS1 / "problem1.ipynb"
    notebook = nbformat.read(problem, as_version=4)
    place = next(i for i, c in enumerate(notebook.cells) if grade_id(c) == "sum_of_squares") + 1
    for name, text, points in (("parts", PARTS, 3.5), ("hidden", HIDDEN, 2), ("data", DATA, 1)):
        notebook.cells.insert(place, a_test(name, text, points))
    nbformat.write(notebook, problem)
    (folder / "source" / PS1 / "numbers.txt").write_text("1 2 3")
    nbgraders(GenerateAssignment, folder, PS1)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        book.update_or_create_assignment(PS1, duedate="2026-11-20 12:00:00 UTC")
    return folder


def a_test(name: str, text: str, points: float) -> NotebookNode:
    made = nbformat.v4.new_code_cell(text)
    del made["id"]  # the example's format is older
    made.metadata["nbgrader"] = {
        "grade": True,
        "grade_id": name,
        "locked": True,
        "points": points,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }
    return made


def hand_in(  # noqa: PLR0913  (what students differ in)
    folder: Path,
    student: str,
    answers: Mapping[str, str],
    *,
    change: Callable[[NotebookNode], object] = lambda notebook: None,
    problems: tuple[str, ...] = ("problem1",),
    when: str = "2026-11-20 10:00:00 UTC",
) -> Path:
    """A student's answers in the release that lies in the folder."""
    own = folder / "submitted" / student / PS1
    own.mkdir(parents=True)
    for name in problems:
        notebook = nbformat.read(folder / "release" / PS1 / f"{name}.ipynb", as_version=4)
        fill(dict(answers), notebook)
        change(notebook)
        (own / f"{name}.ipynb").write_bytes(as_bytes(notebook))
    (own / "timestamp.txt").write_text(when)
    return own


def without(identifier: str) -> Callable[[NotebookNode], object]:
    def change(notebook: NotebookNode) -> None:
        notebook.cells = [c for c in notebook.cells if grade_id(c) != identifier]

    return change


def without_tests(notebook: NotebookNode) -> None:
    notebook.cells = [c for c in notebook.cells if not is_test(c) or is_answer(c)]


def hand_in_all(folder: Path) -> None:
    both = ("problem1", "problem2")
    hand_in(folder, "right", RIGHT, problems=both)
    hand_in(folder, "untouched", {}, problems=both)
    hand_in(folder, "partly", {**NO_CHECK, "sum_of_squares": WRONG_SUM["sum_of_squares"]})
    hand_in(folder, "error", {**RIGHT, "squares": "def squares(n)\n    return []"})
    hand_in(folder, "hidden", SMALL)
    edited = {"parts": "3.5", "squares_invalid_input": "assert True"}
    hand_in(folder, "edited", {**NO_CHECK, **edited})
    hand_in(folder, "missing", RIGHT, change=without("squares_invalid_input"))
    hand_in(folder, "emptied", RIGHT, change=without_tests)
    hand_in(folder, "late", RIGHT, when="2026-11-20 18:00:00 UTC")
    hand_in(folder, "stderr", {**LOUD, "squares": "import sys\n" + LOUD_TEST})


def marks(folder: Path) -> dict[str, object]:
    """All that the gradebook has, by student."""
    grade_keys = ("auto_score", "manual_score", "max_score", "needs_manual_grade", "failed_tests")
    found = {}
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        for submission in book.assignment_submissions(PS1):
            of_cells = {
                (notebook.name, grade.name): [getattr(grade, key) for key in grade_keys]
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            comments = {
                (notebook.name, comment.name): comment.auto_comment
                for notebook in submission.notebooks
                for comment in notebook.comments
            }
            penalties = {n.name: n.late_submission_penalty for n in submission.notebooks}
            total = (submission.score, submission.max_score, submission.timestamp)
            found[submission.student_id] = (total, of_cells, comments, penalties)
    return found


OUR_CONFIG = (ROOT / "nbgrader_config.py").read_text()


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example course beside our configuration; nobody has handed in."""
    return example_course(tmp_path_factory.mktemp("homework") / "course", OUR_CONFIG)


@pytest.fixture
def course(handed_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "course"
    shutil.copytree(handed_out, folder, copy_function=shutil.copy2)
    monkeypatch.chdir(folder)
    return folder


def test_the_same_marks_as_from_stock_nbgrader(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbgrader_plugin, "_engine", lambda log: engine())
    stock = example_course(tmp_path / "stock")
    for folder in (course, stock):
        hand_in_all(folder)
    formgrader = tmp_path / "formgrader"
    shutil.copytree(course, formgrader)
    nbgraders(Autograde, stock, PS1)
    expected = marks(stock)
    assert {student: total[0] for student, (total, *_) in expected.items()} == {
        "right": 9.5,
        "untouched": 1,  # for the file that lies beside the notebook
        "partly": 6,
        "error": 1,
        "hidden": 7.5,
        "edited": 8.5,
        "missing": 8.5,
        "emptied": 0,
        "late": 9.5,
        "stderr": 2.5,
    }
    assert expected["late"][3]["problem1"] == 9.5  # its penalty

    code, records = command.grade(PS1, course, "--jobs", 2)
    assert code == 0
    assert marks(course) == expected
    for student, record in records.items():
        _, of_cells, _, _ = expected[student]
        reported = {exercise["id"]: exercise["score"] for exercise in record["exercises"]}
        assert reported.keys() == {"/".join(key) for key in of_cells}
        for (notebook, name), (auto, *_) in of_cells.items():
            assert (reported[f"{notebook}/{name}"] or 0) == (auto or 0), (student, name)
        assert record["judged"] is False

    async def press_the_buttons() -> list[dict]:
        """As formgrader does, which runs in an event loop."""
        config = config_of(formgrader)
        api = NbGraderAPI(CourseDirectory(config=config), config=config)
        return [api.autograde(PS1, student) for student in sorted(expected)]

    for result in asyncio.run(press_the_buttons()):
        assert result["success"], result
    assert marks(formgrader) == expected
    for student in expected:
        for notebook in (stock / "autograded" / student / PS1).iterdir():
            for folder in (course, formgrader):
                assert (folder / "autograded" / student / PS1 / notebook.name).exists()


def test_the_report_says_that_nobody_judged_from_outside(course: Path) -> None:
    hand_in(course, "ada", WRONG_SUM)
    code, output = run("grade", PS1)
    assert code == 0, output
    assert "not judged from outside" in output
    page = course / "reports" / PS1 / "index.html"
    assert "not judged from outside" in page.read_text()
    assert output.splitlines()[-3].split()[:3] == ["ada", "graded", "7/19.5"]
    assert run("grade", PS1)[0] == 0  # nothing has changed
    assert run("report", PS1) == (0, f"{page}\n")
    (record,) = json.loads((page.parent / "grades.json").read_text())
    assert record["judged"] is False
    checks = {c["title"]: c for exercise in record["exercises"] for c in exercise["checks"]}
    assert checks["parts"]["message"] == "2 of 3.5 points"
    assert checks["correct_sum_of_squares"]["message"].startswith("AssertionError")
    assert checks["hidden"]["outcome"] == "passed"


def test_what_students_do_to_their_kernel_costs_only_what_depends_on_it(course: Path) -> None:
    """And what is printed before an error or a number does not hide it."""
    exits = "def sum_of_squares(n):\n    import os\n    os._exit(0)"
    hand_in(course, "exits", {**RIGHT, "sum_of_squares": exits})
    flood = 'print("x" * 3_000_000); '
    loud = WRONG_SUM["sum_of_squares"].replace("return", f"{flood}return")
    hand_in(course, "prints", {**RIGHT, "sum_of_squares": loud})
    spies = "def squares(n):\n    return open({!r}).read()".format(
        str(course / "source" / PS1 / "problem1.ipynb")
    )
    hand_in(course, "spies", {"squares": spies})
    skips = hand_in(course, "skips", {})
    notebook = nbformat.read(skips / "problem1.ipynb", as_version=4)
    for c in notebook.cells:
        c.metadata["tags"] = ["skip-execution"]
    nbformat.write(notebook, skips / "problem1.ipynb")
    code, records = command.grade(PS1, course, "--jobs", 2)
    assert code == 0
    scores = {
        student: {e["id"].removeprefix("problem1/"): e["score"] for e in record["exercises"]}
        for student, record in records.items()
    }
    assert scores["exits"]["correct_squares"] == 1
    assert scores["exits"]["hidden"] == 2
    assert scores["exits"]["correct_sum_of_squares"] == 0
    assert scores["exits"]["parts"] == 0
    assert scores["prints"]["correct_sum_of_squares"] == 0
    assert scores["prints"]["parts"] == 2
    assert records["spies"]["score"] == 1  # for the file that lies beside the notebook
    assert "Error" in records["spies"]["exercises"][0]["checks"][0]["message"]
    assert records["skips"]["score"] == 1
    outcomes = [c["outcome"] for e in records["exits"]["exercises"] for c in e["checks"]]
    assert outcomes.count("kernel died") == 3


def test_bad_hand_ins_stop_nobody(course: Path) -> None:
    good = hand_in(course, "ada", RIGHT)
    (good / "own.txt").write_text("own")
    (good / "secret").symlink_to(course / "gradebook.db")
    (hand_in(course, "cut", {}) / "problem1.ipynb").write_bytes(b'{"cells": [')
    other = hand_in(course, "renamed", RIGHT)
    (other / "problem1.ipynb").rename(other / "mine.ipynb")
    broken = hand_in(course, "broken", RIGHT)
    notebook = nbformat.read(broken / "problem1.ipynb", as_version=4)
    for c in notebook.cells:
        if grade_id(c) == "correct_squares":
            c.metadata.nbgrader["grade"] = False
    nbformat.write(notebook, broken / "problem1.ipynb")
    code, records = command.grade(PS1, course)
    assert code == 0
    assert {name: record["status"] for name, record in records.items()} == {
        "ada": "graded",
        "broken": "rejected",
        "cut": "rejected",
        "renamed": "rejected",
    }
    assert "correct_squares" in records["broken"]["reason"]
    assert records["cut"]["reason"].startswith("problem1.ipynb: ")
    assert "mine.ipynb" in records["renamed"]["reason"]
    assert records["ada"]["repairs"] == [
        "links were handed in and left out: secret",
        "problem2.ipynb: this notebook was not handed in and has no points",
    ]
    files = sorted(path.name for path in (course / "autograded" / "ada" / PS1).iterdir())
    assert files == ["jupyter.png", "numbers.txt", "own.txt", "problem1.ipynb", SECRET, TIMESTAMP]


def test_a_test_cell_that_gives_too_many_points_is_named_and_no_mark(course: Path) -> None:
    twice = {"sum_of_squares": "def sum_of_squares(n):\n    return 5\n\nclass int2(float): pass"}
    more = "def squares(n):\n    class Odd(list):\n        def __eq__(self, other):\n"
    more += "            return 9\n    return Odd()"
    hand_in(course, "ada", {**twice, "squares": more})
    hand_in(course, "bo", RIGHT)
    code, records = command.grade(PS1, course)
    assert code == 1
    assert records["bo"]["status"] == "graded"
    assert records["ada"]["status"] == "failed"
    for part in ("ada", PS1, "problem1.ipynb", "parts", "partial credit"):
        assert part in records["ada"]["reason"]


def test_marks_given_by_hand_stay_and_new_tests_grade_again(course: Path) -> None:
    hand_in(course, "ada", SMALL)
    _, first = command.grade(PS1, course)
    url = f"sqlite:///{course / 'gradebook.db'}"
    with Gradebook(url) as book:
        grade = book.find_grade("sum_of_squares_equation", "problem1", PS1, "ada")
        assert grade.needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = 1, False
        book.db.commit()
    source = course / "source" / PS1 / "problem1.ipynb"
    source.write_text(source.read_text().replace("squares(100)[-1] == 10_000", "squares(9)"))
    os.utime(source, (2e9, 2e9))
    code, same = command.grade(PS1, course)
    # Graded with what was released; the mark by hand counts, and nobody is asked again.
    assert same["ada"]["exercises"][0] == first["ada"]["exercises"][0]
    assert same["ada"]["score"] == first["ada"]["score"] + 1
    assert EQUATION in first["ada"]["mark"]["waiting"]
    assert EQUATION not in same["ada"]["mark"]["waiting"]
    config = config_of(course)
    config.CourseDirectory.assignment_id = PS1
    again = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config, force=True)
    assert capture_log(again)["success"]
    code, new = command.grade(PS1, course)
    assert code == 0
    assert new["ada"]["mark"]["checks"] == first["ada"]["mark"]["checks"] + 2
    with Gradebook(url) as book:
        grade = book.find_grade("sum_of_squares_equation", "problem1", PS1, "ada")
        assert grade.manual_score == 1
        assert not grade.needs_manual_grade


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose notebooks run from now on."""
    seen: list[str] = []
    real = homework.Homework.run

    def run_and_count(self: homework.Homework, engine: object, student: str, *rest: Any) -> Any:
        seen.append(student)
        return real(self, engine, student, *rest)

    monkeypatch.setattr(homework.Homework, "run", run_and_count)
    return seen


def test_what_has_not_changed_is_not_run_again_and_what_is_lost_is_entered(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor while another program writes into the gradebook, whose marks then come later."""
    seen = counted(monkeypatch)
    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 0)
    hand_in(course, "ada", RIGHT, problems=("problem1", "problem2"))
    holder = sqlite3.connect(course / "gradebook.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    code, records = command.grade(PS1, course)
    holder.rollback()
    assert code == 1
    assert records["ada"]["status"] == "graded"
    assert "not yet in the gradebook" in records["ada"]["reason"]
    assert marks(course) == {}
    assert seen == ["ada", "ada"]
    assert command.grade(PS1, course)[0] == 0
    entered = marks(course)
    assert entered["ada"][0][0] == 9.5
    holder.execute("UPDATE grade SET auto_score = 0")
    assert command.grade(PS1, course)[0] == 0
    assert marks(course) == entered
    (course / "submitted" / "ada" / PS1 / "timestamp.txt").write_text("2026-11-20 18:00:00 UTC")
    _, records = command.grade(PS1, course)
    assert records["ada"]["mark"]["late_penalty"] == 9.5
    assert records["ada"]["score"] == 0
    assert seen == ["ada", "ada"]
    (course / "submitted" / "ada" / PS1 / "problem2.ipynb").unlink()
    _, records = command.grade(PS1, course)
    assert seen == ["ada"] * 3
    assert not (course / "autograded" / "ada" / PS1 / "problem2.ipynb").exists()
    assert any("problem2.ipynb" in note for note in records["ada"]["repairs"])
    assert {id.partition("/")[0] for id in records["ada"]["mark"]["waiting"]} == {"problem1"}
    holder.execute("BEGIN EXCLUSIVE")
    code, output = run("grade", PS1)
    holder.rollback()
    holder.close()
    assert code == 1
    assert "cannot be read now (database is locked)" in " ".join(output.split())


def test_feedback_report_and_removal_know_a_homework(course: Path) -> None:
    for student in ("ada", "bo"):
        hand_in(course, student, RIGHT)
    (course / "nbgrader_config.py").write_text(
        (course / "nbgrader_config.py").read_text()
        + f"c.Exchange.root = {str(course / 'exchange')!r}\n"
    )
    assert run("grade", PS1)[0] == 0
    code, output = run("feedback", PS1)
    assert code == 0, output
    assert "made: 2" in output
    page = (course / "feedback" / "ada" / PS1 / "problem1.html").read_text()
    assert "squares" in page
    with (course / "reports" / PS1 / "grades.csv").open() as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["checks"] == "9.5"
    assert rows["ada"]["problem1/hidden"] == "2"
    code, output = run("student", "remove", "ada", "--yes")
    assert code == 0, output
    assert "ada" not in (course / "reports" / PS1 / "grades.csv").read_text()
    assert marks(course).keys() == {"bo"}
    assert not (course / "autograded" / "ada").exists()


def test_a_report_on_what_only_nbgrader_has_graded_says_who_judged(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nbgrader_plugin, "_engine", lambda log: engine())
    hand_in(course, "ada", RIGHT)
    nbgraders(Autograde, course, PS1)
    assert run("report", PS1)[0] == 0
    page = course / "reports" / PS1 / "index.html"
    assert "not judged from outside" in page.read_text()
    (record,) = json.loads((page.parent / "grades.json").read_text())
    assert (record["score"], record["judged"]) == (9.5, False)


def test_without_a_gradebook_nothing_is_written_there(course: Path) -> None:
    hand_in(course, "ada", RIGHT)
    (course / "gradebook.db").unlink()
    code, records = command.grade(PS1, course, "--no-gradebook")
    assert code == 0
    assert records["ada"]["score"] == 9.5
    assert not (course / "gradebook.db").exists()
    assert not (course / "autograded").exists()


def test_a_homework_whose_gradebook_is_on_a_server(
    course: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, seen = server.url(server.database()), counted(monkeypatch)
    with (course / "nbgrader_config.py").open("a") as file:
        file.write(f"c.CourseDirectory.db_url = {url!r}\n")
    (course / "gradebook.db").unlink()
    shutil.rmtree(course / "release")
    nbgraders(GenerateAssignment, course, PS1)
    hand_in(course, "ada", RIGHT)
    for _ in range(2):
        code, records = command.grade(PS1, course)
        assert (code, records["ada"]["score"]) == (0, 9.5)
    assert seen == ["ada"]
    with Gradebook(url) as book:
        assert book.find_submission(PS1, "ada").score == 9.5
    assert not (course / "gradebook.db").exists()


def test_an_unknown_name_and_another_language_are_refused_in_words(course: Path) -> None:
    code, output = run("grade", "ps2", "--submitted", course)
    assert code == 2
    assert "there is no chapter or homework 'ps2'" in " ".join(output.replace("│", "").split())
    assert PS1 in output
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        book.find_notebook("problem2", PS1).kernelspec = '{"name": "ir", "language": "R"}'
        book.db.commit()
    hand_in(course, "ada", RIGHT)
    code, output = run("grade", PS1)
    assert code == 2
    assert "written in R" in " ".join(output.replace("│", "").split())


def test_a_homework_beside_chapters_is_released_with_its_files(
    handed_out: Path, tmp_path: Path
) -> None:
    """And it is no stale file of the build, and nothing of a chapter goes along."""
    beside = write_chapter(tmp_path, cell("setup", "import math"))
    shutil.copytree(handed_out / "source" / PS1, tmp_path / "source" / PS1)
    shutil.copy(handed_out / "source" / "header.ipynb", tmp_path / "source")
    (tmp_path / "source" / PS1 / "helper.py").write_text("x = 1\n")
    (tmp_path / "nbgrader_config.py").write_text(OUR_CONFIG + SETTINGS)
    nbgraders(GenerateAssignment, tmp_path, PS1)
    released = {path.name for path in (tmp_path / "release" / PS1).iterdir()}
    both = {"problem1.ipynb", "problem2.ipynb"}
    assert released == both | {"jupyter.png", "numbers.txt", "helper.py"}
    assert beside.chapters == [TINY]
    assert beside.homework == [PS1]
    with pytest.raises(CourseError, match="'ps1' is a homework, not a chapter"):
        beside.folder(PS1)
    assert build.orphans(Course(tmp_path)) == []
