"""One source of marks: what the gradebook has, however it came there, and what moved it.

Tests with `ON_BOTH` play the same with a gradebook in PostgreSQL.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import command
import nbformat
import pytest
from command import hand_in, run
from engines import engine
from nbconvert import HTMLExporter
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.server_extensions.formgrader.handlers import template_path
from nbgrader.utils import notebook_hash
from postgresql import Server
from sample_class import as_bytes, fill
from tiny import NOTEBOOK, exercise, function, write_chapter, written
from tiny import TINY as CHAPTER
from tiny import cell as a_cell
from tiny import check as a_check
from traitlets.config import Application, Config

from autograder.classroom import nbgrader_plugin
from autograder.classroom.export import ReleasedChapters
from autograder.classroom.marks import Outline, read_marks
from autograder.course.build import make_release
from autograder.course.source import Course

SCALE = "def scale(values, width):\n    return [value / width for value in values]\n"
WRONG = "def scale(values, width):\n    return list(values)\n"
REASONS = "Because the sums grow."
KEEPS = a_check("keeps_the_length", "assert len(scale([1.0, 2.0], 1)) == 2")
DIVIDES = a_check("divides", "assert scale([3.0], 2) == [1.5]", points=2)
DUE, LATE = "2026-03-01 10:00:00 UTC", "2026-03-01 12:00:00 UTC"
ZERO = "c.LateSubmissionPlugin.penalty_method = 'zero'\n"


def make_course(
    folder: Path,
    keeps: str = KEEPS,
    divides: str = DIVIDES,
    points: int = 3,
    more: tuple[str, ...] = (),
) -> Course:
    """A chapter with one exercise and one written answer."""
    shutil.rmtree(folder / "source", ignore_errors=True)
    tests = f"{keeps}### BEGIN HIDDEN TESTS\n{divides}### END HIDDEN TESTS"
    solution = "return [value / width for value in values]"
    return write_chapter(
        folder,
        a_cell("setup", "from autograder.checks import Checks, probe"),
        exercise("scale", function("scale", solution, "values, width"), tests, points),
        "# %% [markdown]\n# ## W1 Reasons\n",
        written("reasons", "Long sums are large.", 5),
        *more,
    )


class AClass:
    """A small class whose folder is the course's own, as the guide has it."""

    def __init__(self, folder: Path, released: str, url: str):
        self.folder = folder
        self.released = released
        self.url = url

    def submit(
        self,
        student: str,
        scale: str = SCALE,
        reasons: str = REASONS,
        time: str = "",
        secret: str = "",
    ) -> None:
        """What `nbgrader collect` leaves."""
        notebook = fill(
            {"scale": scale, "reasons": reasons}, nbformat.reads(self.released, as_version=4)
        )
        shutil.rmtree(self.folder / "submitted" / student / CHAPTER, ignore_errors=True)
        hand_in(self.folder, CHAPTER, NOTEBOOK, {student: as_bytes(notebook)})
        there = self.folder / "submitted" / student / CHAPTER
        for name, text in (("timestamp.txt", time), ("submission_secret.txt", secret)):
            if text:
                (there / name).write_text(text)

    def grade(self, *options: object) -> dict[str, dict]:
        code, records = command.grade(CHAPTER, self.folder, *options)
        assert code == 0
        return records

    def said(self) -> str:
        """What `autograder grade` prints."""
        return run("grade", CHAPTER)[1]

    @property
    def book(self) -> Gradebook:
        return Gradebook(self.url)

    def mark(self, student: str, exercise: str, points: float) -> None:
        """A mark by hand, as formgrader enters it."""
        with self.book as book:
            grade = book.find_grade(exercise, "tiny", CHAPTER, student)
            grade.manual_score, grade.needs_manual_grade = points, False
            book.db.commit()

    def waits(self, student: str, exercise: str) -> bool:
        with self.book as book:
            return book.find_grade(exercise, "tiny", CHAPTER, student).needs_manual_grade

    def due(self, text: str | None = DUE) -> None:
        with self.book as book:
            book.update_or_create_assignment(CHAPTER, duedate=text)

    def report(self) -> str:
        run("report", CHAPTER)
        return (self.folder / "reports" / CHAPTER / "index.html").read_text()

    def table(self) -> dict[str, dict[str, str]]:
        run("report", CHAPTER)
        path = self.folder / "reports" / CHAPTER / "grades.csv"
        with path.open(newline="", encoding="utf-8") as file:
            return {row["student"]: row for row in csv.DictReader(file)}

    def nbgrader(self, **config: dict[str, object]) -> NbGraderAPI:
        """nbgrader's own commands, as the button in formgrader calls them."""
        app = Application()
        app.load_config_file("nbgrader_config", path=str(self.folder))
        made = Config(app.config)
        made.CourseDirectory.root = str(self.folder)
        made.CourseDirectory.course_id = "course"
        made.Exchange.root = str(self.folder / "exchange")
        return NbGraderAPI(config=made)

    def autograde(self, student: str, force: bool = True) -> None:
        done = self.nbgrader().autograde(CHAPTER, student, force=force)
        assert done["success"], done

    def feedback(self) -> None:
        (self.folder / "exchange").mkdir(exist_ok=True)
        (self.folder / "exchange").chmod(0o777)
        for step in ("generate_feedback", "release_feedback"):
            done = getattr(self.nbgrader(), step)(CHAPTER)
            assert done["success"], done

    def released_under(self, secret: str) -> str | None:
        """The page that a student with this secret fetches."""
        name = notebook_hash(secret=secret, notebook_id="tiny")
        path = self.folder / "exchange" / "course" / "feedback" / f"{name}.html"
        return path.read_text() if path.exists() else None


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The course with a gradebook that knows it, and what students get."""
    folder = tmp_path_factory.mktemp("released")
    course = make_course(folder)
    (folder / "submitted").mkdir()
    url = f"sqlite:///{folder / 'gradebook.db'}"
    return folder, make_release(course, course.assignment(CHAPTER), url)


@pytest.fixture(scope="module")
def on_a_server(released: tuple[Path, str], server: Server) -> str:
    """The name of a database in PostgreSQL that knows the course."""
    folder, _ = released
    name = server.database()
    make_release(Course(folder), Course(folder).assignment(CHAPTER), server.url(name))
    return name


ON_BOTH = pytest.mark.parametrize("a_class", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def a_class(
    tmp_path: Path,
    released: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[AClass]:
    monkeypatch.setattr(nbgrader_plugin, "_engine", lambda log: engine())
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    folder, text = released
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    if getattr(request, "param", "sqlite") == "postgresql":
        server = request.getfixturevalue("server")
        url = server.url(server.database(request.getfixturevalue("on_a_server")))
        (tmp_path / "class_config.py").write_text(f"c.CourseDirectory.db_url = {url!r}\n")
        (tmp_path / "gradebook.db").unlink()
    with contextlib.chdir(tmp_path):
        yield AClass(tmp_path, text, url)
    assert (tmp_path / "gradebook.db").exists() == url.startswith("sqlite")


# ---------------------------------------------------------------- feedback of the right work


@ON_BOTH
def test_feedback_of_a_class_is_released_to_whom_it_belongs(a_class: AClass) -> None:
    """release_feedback stopped for all: there was no submission_secret.txt in feedback/."""
    a_class.submit("ada", reasons="I am Ada.", time=DUE, secret="ada's")
    a_class.submit("bo", reasons="I am Bo.", time=DUE, secret="bo's")
    a_class.submit("cy")  # by mail: no time, no secret
    a_class.grade()
    a_class.feedback()
    ada, bo = a_class.released_under("ada's"), a_class.released_under("bo's")
    assert ada
    assert "I am Ada." in ada
    assert bo
    assert "I am Bo." in bo


@pytest.mark.parametrize("first", ["autograder", "nbgrader"])
@pytest.mark.parametrize("second", ["autograder", "nbgrader"])
def test_a_resubmission_never_goes_out_under_the_old_secret(
    first: str, second: str, a_class: AClass
) -> None:
    grade = {"autograder": a_class.grade, "nbgrader": lambda: a_class.autograde("ada", force=False)}
    a_class.submit("ada", WRONG, "My first.", time=DUE, secret="old")
    grade[first]()
    a_class.feedback()
    a_class.submit("ada", SCALE, "My second.", time=LATE, secret="new")
    grade[second]()
    a_class.feedback()
    old, new = a_class.released_under("old"), a_class.released_under("new")
    assert old
    assert "My first." in old
    assert new
    assert "My second." in new


def test_the_same_notebook_handed_in_again_takes_its_new_time_and_secret(a_class: AClass) -> None:
    a_class.submit("ada", time=DUE, secret="old")
    a_class.grade()
    a_class.submit("ada", time=LATE, secret="new")
    a_class.grade()
    a_class.feedback()
    assert a_class.released_under("new")
    assert a_class.released_under("old") is None
    with a_class.book as book:
        assert book.find_submission(CHAPTER, "ada").timestamp == datetime(2026, 3, 1, 12)


# ---------------------------------------------------------------- one source


@ON_BOTH
def test_marks_by_hand_are_in_tables_report_and_json(a_class: AClass) -> None:
    """They said 10/88 and "waiting" while the gradebook had 12/124."""
    a_class.submit("ada")
    first = a_class.grade()["ada"]
    assert (first["score"], first["max_score"], first["mark"]["waiting"]) == (3, 8, ["reasons"])
    a_class.mark("ada", "reasons", 4)
    row = a_class.table()["ada"]
    assert (row["score"], row["max_score"], row["checks"], row["written"]) == ("7", "8", "3", "4")
    assert (row["reasons"], row["waiting"]) == ("4", "0")
    (data,) = json.loads((a_class.folder / "reports" / CHAPTER / "grades.json").read_text())
    assert (data["score"], data["mark"]["written"], data["mark"]["waiting"]) == (7, 4, [])
    assert a_class.grade()["ada"]["score"] == 7
    assert "7/8" in a_class.said()
    assert "no mark → 4 (by hand)" in a_class.report()
    assert "Marks that moved" not in a_class.report()  # all of a class would stand there
    assert "7</b>" in a_class.report()


def test_a_mark_by_hand_on_checks_counts_in_the_report(a_class: AClass) -> None:
    a_class.submit("ada", WRONG)
    a_class.grade()
    a_class.mark("ada", "test_scale", 2.5)
    assert a_class.table()["ada"]["scale"] == "2.5"
    assert a_class.table()["ada"]["score"] == "2.5"


def test_work_that_only_nbgrader_has_graded_appears(a_class: AClass) -> None:
    a_class.submit("ada", WRONG)
    a_class.autograde("ada")
    row = a_class.table()["ada"]
    assert (row["status"], row["score"], row["scale"]) == ("graded", "1", "1")
    page = a_class.report()
    assert "Divides" in page or "divides" in page  # the check that failed
    shutil.rmtree(a_class.folder / "reports")  # as stock nbgrader leaves it: no record
    assert a_class.table()["ada"]["score"] == "1"


def test_what_nbgrader_graded_is_not_graded_again(
    a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_class.submit("ada")
    a_class.autograde("ada")
    monkeypatch.setattr("autograder.engine.grade.Engine.grade", None)
    # The engine's isolation and the limits are a part of the key.
    assert a_class.grade()["ada"]["score"] == 3


@ON_BOTH
def test_the_table_says_what_nbgraders_export_says(a_class: AClass) -> None:
    (a_class.folder / "nbgrader_config.py").open("a").write(ZERO)
    for student, scale, time in (("ada", SCALE, DUE), ("bo", SCALE, LATE), ("cy", WRONG, LATE)):
        a_class.submit(student, scale, time=time)
    a_class.due()
    a_class.grade()
    a_class.mark("bo", "reasons", 4)
    a_class.mark("ada", "test_scale", 1)
    from nbgrader.plugins import CsvExportPlugin

    with a_class.book as book:
        CsvExportPlugin(to=str(a_class.folder / "export.csv")).export(book)
    with (a_class.folder / "export.csv").open(newline="") as file:
        exported = {row["student_id"]: row for row in csv.DictReader(file)}
    table = a_class.table()
    assert {s: float(row["score"]) for s, row in table.items()} == {
        s: float(row["score"]) for s, row in exported.items()
    }
    assert {s: float(row["max_score"]) for s, row in table.items()} == {
        s: float(row["max_score"]) for s, row in exported.items()
    }
    assert {s: float(row["late_penalty"]) for s, row in table.items()} == {
        s: float(row["late_submission_penalty"]) for s, row in exported.items()
    }


@ON_BOTH
def test_scores_that_were_changed_in_the_gradebook_are_graded_again(a_class: AClass) -> None:
    a_class.submit("ada")
    a_class.grade()
    with a_class.book as book:
        book.find_grade("test_scale", "tiny", CHAPTER, "ada").auto_score = 0
        book.db.commit()
    assert a_class.grade()["ada"]["score"] == 3
    shutil.rmtree(a_class.folder / "autograded")
    a_class.grade()
    assert (a_class.folder / "autograded" / "ada" / CHAPTER / NOTEBOOK).exists()


# ---------------------------------------------------------------- late work


@ON_BOTH
def test_late_penalties_are_the_same_by_every_button_and_in_the_report(a_class: AClass) -> None:
    """`autograder grade` took nothing off."""
    (a_class.folder / "nbgrader_config.py").open("a").write(ZERO)
    a_class.due()
    a_class.submit("ada", time=LATE)
    a_class.submit("bo", time=LATE)
    a_class.submit("cy", time=DUE)
    a_class.autograde("bo")
    records = a_class.grade()
    penalties = {student: r["mark"]["late_penalty"] for student, r in records.items()}
    assert penalties == {"ada": 3, "bo": 3, "cy": 0}
    assert records["ada"]["score"] == 0
    assert a_class.table()["ada"]["late_penalty"] == "3"
    assert "2 h late: -3" in a_class.report()
    (line,) = (line for line in a_class.said().splitlines() if line.startswith("cy "))
    assert "-0" not in line
    with a_class.book as book:
        assert book.find_submission(CHAPTER, "ada").late_submission_penalty == 3


def test_a_new_due_date_changes_the_penalty_of_unchanged_work(a_class: AClass) -> None:
    (a_class.folder / "nbgrader_config.py").open("a").write(ZERO)
    a_class.submit("ada", time=LATE)
    assert a_class.grade()["ada"]["score"] == 3
    a_class.due()
    assert "moved: ada: late penalty: 0 → 3" in a_class.said()
    a_class.due(LATE)
    assert a_class.grade()["ada"]["score"] == 3


def extend(*options: str, student: str = "ada", chapter: str = CHAPTER) -> tuple[int, str]:
    code, said = run("student", "extend", student, chapter, *options)
    return code, " ".join(said.replace("│", " ").split())


@ON_BOTH
@pytest.mark.parametrize("how", ["autograder", "nbgrader"])
def test_more_time_before_the_first_grading(how: str, a_class: AClass) -> None:
    """nbgrader said "No such submission", in a traceback."""
    (a_class.folder / "nbgrader_config.py").open("a").write(ZERO)
    a_class.due()
    with a_class.book as book:
        book.add_student("ada")
    (a_class.folder / "submitted").rmdir()  # nothing has been collected
    code, said = extend("--until", "2026-03-01 13:00 Europe/Berlin")
    assert code == 0, said
    assert "is due at 2026-03-01 12:00 UTC; for the others, at 2026-03-01 10:00 UTC" in said
    (a_class.folder / "submitted").mkdir()
    assert a_class.table()["ada"]["status"] == "not handed in"
    for student in ("ada", "bo"):
        a_class.submit(student, time=LATE)
        if how == "nbgrader":
            a_class.autograde(student)
    a_class.grade()
    table = a_class.table()
    assert {name: row["late_penalty"] for name, row in table.items()} == {"ada": "0", "bo": "3"}
    assert "late: " not in a_class.report().partition('id="s0"')[2].partition('id="s1"')[0]
    a_class.mark("ada", "reasons", 4)
    assert a_class.table()["ada"]["score"] == "7"


@ON_BOTH
def test_an_extension_alone_is_no_submission(a_class: AClass) -> None:
    """It would keep the chapter's exercises as they are, and be exported with 0."""
    a_class.due()
    with a_class.book as book:
        book.add_student("ada")
    assert extend("--days", "2")[0] == 0
    with a_class.book as book:
        export = ReleasedChapters(parent=a_class.nbgrader(), to=str(a_class.folder / "export.csv"))
        export.export(book)
    assert (a_class.folder / "export.csv").read_text().count("\n") == 1
    make_course(a_class.folder, more=(written("more", "More.", 2),))
    a_class.submit("ada", time=LATE)
    record = a_class.grade()["ada"]
    assert (record["max_score"], record["mark"]["late_penalty"]) == (10, 0)


@ON_BOTH
def test_more_time_after_grading_and_taken_back(a_class: AClass) -> None:
    (a_class.folder / "nbgrader_config.py").open("a").write(ZERO)
    a_class.due()
    a_class.submit("ada", time=LATE)
    assert a_class.grade()["ada"]["score"] == 0
    for options, score in ((("--days", "1"), 3), (("--days", "0"), 0), (("--days", "2"), 3)):
        assert extend(*options)[0] == 0
        assert a_class.grade()["ada"]["score"] == score
    a_class.due(None)  # nbgrader cannot add the extension to it
    assert a_class.grade("--force")["ada"]["score"] == 3


def test_who_has_handed_in_and_is_on_no_list_gets_more_time(a_class: AClass) -> None:
    a_class.due()
    a_class.submit("ada", time=LATE)
    assert extend("--days", "1")[0] == 0
    with a_class.book as book:
        assert book.find_submission(CHAPTER, "ada").extension.days == 1


def test_an_extension_that_cannot_be_is_refused(a_class: AClass) -> None:
    with a_class.book as book:
        book.add_student("ada")
    assert "has no due date" in extend("--days", "1")[1]
    a_class.due()
    for options, who, what, problem in (
        (("--days", "1"), "zoe", CHAPTER, "is not on the class list and has handed in nothing"),
        (("--days", "1"), "..", CHAPTER, "is not on the class list and has handed in nothing"),
        (("--days", "1"), "ada", "ch98", "there is no chapter 'ch98'"),
        (("--until", "2026-03-01 10:00"), "ada", CHAPTER, "for everybody, which is no earlier"),
        (("--until", "2026-03-02 10:00 Europe/Berlinn"), "ada", CHAPTER, "is not written as in"),
        (("--until", "2026-03-02 10:00 +0100"), "ada", CHAPTER, "is not written as in"),
        (("--until", "2026-03-02"), "ada", CHAPTER, "is not written as in"),
        ((), "ada", CHAPTER, "say either --until or --days"),
        (("--days", "1", "--until", "2026-03-02 10:00"), "ada", CHAPTER, "say either"),
    ):
        code, said = extend(*options, student=who, chapter=what)
        assert (code, problem in said) == (2, True), said
    with a_class.book as book:
        assert [student.id for student in book.students] == ["ada"]
        assert book.assignment_submissions(CHAPTER) == []


def test_a_penalty_of_ones_own_that_fails_is_a_sentence(a_class: AClass) -> None:
    (a_class.folder / "late.py").write_text(
        "from nbgrader.plugins import BasePlugin\n"
        "class Broken(BasePlugin):\n"
        "    def late_submission_penalty(self, student_id, score, total_seconds_late):\n"
        "        return 1 / 0\n"
    )
    config = "import sys\nsys.path.insert(0, str(Path(__file__).parent))\n"
    config += "c.AssignLatePenalties.plugin_class = 'late.Broken'\n"
    (a_class.folder / "nbgrader_config.py").open("a").write(config)
    a_class.due()
    a_class.submit("ada", time=LATE)
    a_class.submit("bo", time=DUE)
    code, records = command.grade(CHAPTER, a_class.folder)
    assert code == 1
    assert "plug-in for late penalties" in records["ada"]["reason"]
    assert records["bo"]["score"] == 3


# ---------------------------------------------------------------- graded again


def test_a_regrade_says_whose_mark_moved_by_which_check(a_class: AClass) -> None:
    a_class.submit("ada")
    a_class.submit("bo", WRONG)
    a_class.grade()
    make_course(a_class.folder, divides=DIVIDES.replace("[1.5]", "[7.5]"))  # a wrong correction
    said = a_class.said()
    assert "moved: ada: scale: 3 → 1 (“divides” passed → failed: 2 → 0)" in said
    assert "moved: bo" not in said
    record = a_class.grade()["ada"]
    assert [step["score"] for step in record["history"]] == [3, 1]
    (move,) = record["history"][1]["moves"]
    assert (move["exercise"], move["before"], move["after"]) == ("scale", 3, 1)
    page = a_class.report()
    assert "Marks that moved" in page
    assert "3 → 1" in page


def test_a_run_without_gradebook_says_what_would_move(a_class: AClass) -> None:
    a_class.submit("ada")
    a_class.grade()
    make_course(a_class.folder, divides=DIVIDES.replace("[1.5]", "[7.5]"))
    code, said = run("grade", CHAPTER, "--no-gradebook")
    assert code == 0
    assert "moved: ada" in said
    assert "1/8" in said
    assert a_class.table()["ada"]["score"] == "3"  # the gradebook's
    assert "moved: ada" in a_class.said()
    assert a_class.table()["ada"]["score"] == "1"


@ON_BOTH
def test_a_run_without_gradebook_moves_no_mark_by_hand_and_no_penalty(a_class: AClass) -> None:
    """It said "late penalty: 3 → 0" and "Reasons: 3 → no mark" of everybody."""
    (a_class.folder / "nbgrader_config.py").open("a").write(ZERO)
    a_class.due()
    a_class.submit("ada", time=LATE)
    assert a_class.grade()["ada"]["score"] == 0
    a_class.mark("ada", "reasons", 3)
    a_class.grade()
    assert "moved" not in run("grade", CHAPTER, "--no-gradebook")[1]


@ON_BOTH
@pytest.mark.parametrize("how", ["autograder", "nbgrader"])
def test_only_answers_that_changed_since_they_were_marked_ask_for_a_person(
    how: str, a_class: AClass
) -> None:
    grade = {"autograder": a_class.grade, "nbgrader": lambda: a_class.autograde("ada")}[how]
    a_class.submit("ada")
    grade()
    a_class.mark("ada", "reasons", 3)
    a_class.submit("ada", WRONG)  # the written answer is the same
    grade()
    assert not a_class.waits("ada", "reasons")
    a_class.submit("ada", WRONG, "Something else.")
    grade()
    assert a_class.waits("ada", "reasons")
    assert "3 by hand, for an answer that has changed since" in a_class.report()
    assert "look again: ada" in a_class.said()
    grade()
    assert a_class.waits("ada", "reasons")  # until somebody has looked
    a_class.mark("ada", "reasons", 2)
    grade()
    assert not a_class.waits("ada", "reasons")
    assert "look again" not in a_class.said()


def test_a_mark_by_hand_above_what_the_new_answer_deserves_is_pointed_out(a_class: AClass) -> None:
    a_class.submit("ada", WRONG)
    a_class.submit("bo")
    a_class.grade()
    a_class.mark("ada", "test_scale", 2)
    a_class.mark("bo", "reasons", 5)
    a_class.grade("--force")
    assert not a_class.waits("ada", "test_scale")  # nothing has changed
    a_class.submit("ada", "def scale(values, width):\n    return []\n")
    a_class.submit("bo", reasons="*Your answer here.*")
    records = a_class.grade()
    assert records["ada"]["mark"]["look_again"] == [
        {"exercise": "scale", "by_hand": 2, "by_checks": 0}
    ]
    assert records["bo"]["mark"]["look_again"] == [
        {"exercise": "reasons", "by_hand": 5, "by_checks": 0}
    ]
    page = a_class.report()
    assert "2 by hand, more than the 0 that the checks give" in page
    assert "5 by hand, but the answer is empty" in page


def test_other_points_of_a_visible_check_accuse_nobody(a_class: AClass) -> None:
    a_class.submit("ada")
    a_class.submit("bo", WRONG)
    a_class.grade()
    a_class.mark("ada", "test_scale", 3)
    make_course(
        a_class.folder,
        keeps=KEEPS.replace("points=1", "points=2"),
        divides=DIVIDES.replace("points=2", "points=4"),
        points=6,
    )
    said = a_class.said()
    assert "edited" not in said
    assert "1 → 2" in said  # bo's
    records = a_class.grade()
    assert records["bo"]["repairs"] == []
    assert (records["bo"]["score"], records["bo"]["max_score"]) == (2, 11)
    notebook = a_class.folder / "submitted" / "bo" / CHAPTER / NOTEBOOK
    text = notebook.read_text()
    assert "assert len(scale" in text
    notebook.write_text(text.replace("assert len(scale", "assert True or len(scale"))
    assert "edited" in "".join(a_class.grade()["bo"]["repairs"])


# ---------------------------------------------------------------- who is missing, and where to mark


@ON_BOTH
def test_those_who_have_not_handed_in_are_listed_with_names(a_class: AClass) -> None:
    with a_class.book as book:
        book.add_student("ada", first_name="Ada", last_name="Lovelace")
        book.add_student("zoe", first_name="Zoe", last_name="<b>Zimmer")
    a_class.submit("ada")
    a_class.submit("bo")
    said = run("grade", CHAPTER, "--student", "ada")[1]
    assert "Not handed in: zoe" in said
    page = a_class.report()
    assert "Not handed in (1)" in page
    assert "Zoe &lt;b&gt;Zimmer" in page
    assert "Handed in, not graded yet (1)" in page
    assert "Ada Lovelace" in page
    table = a_class.table()
    assert (table["zoe"]["status"], table["zoe"]["name"]) == ("not handed in", "Zoe <b>Zimmer")
    assert table["bo"]["status"] == "not graded yet"


def test_the_report_leads_to_the_first_written_answer(a_class: AClass) -> None:
    a_class.submit("ada")
    a_class.grade()
    with a_class.book as book:
        id = book.find_submission_notebook("tiny", CHAPTER, "ada").id
    page = a_class.report()
    (index,) = re.findall(
        rf"http://localhost:8888/formgrader/submissions/{id}/\?index=(\d+)#reasons", page
    )
    # Formgrader's page counts its own fields, and scrolls to that one.
    exporter = HTMLExporter(template_name="formgrade", extra_template_basedirs=[template_path])
    notebook = a_class.folder / "autograded" / "ada" / CHAPTER / NOTEBOOK
    body, _ = exporter.from_filename(str(notebook), resources={"index": 0, "total": 1})
    fields = re.findall(r"<(?:a|input|textarea)[^>]*\btabbable\b[^>]*>", body)
    assert 'id="reasons"' in fields[int(index)]


@pytest.mark.parametrize("order", [1, -1])
def test_the_link_to_formgrader_does_not_depend_on_the_order_of_rows(order: int) -> None:
    """PostgreSQL puts a row that was changed behind the others."""
    exercises = (("a/one", "one", False), ("b/two", "two", False))
    outline = Outline("hw", "Homework", exercises, "", ("a", "b"), judged=False)
    times = (None, None, None)
    rows = [
        ("ada", *times, f"id-of-{name}", None, name, cell, 1.0, 1.0, None, None, False)
        for name, cell in (("a", "one"), ("b", "two"))
    ]
    marks = read_marks(lambda *_: rows[::order], outline)
    assert marks["ada"].place == "formgrader/submissions/id-of-a/"
