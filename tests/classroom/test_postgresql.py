"""A class whose gradebook is in PostgreSQL, and what must be the same with SQLite.

test_marks.py has more of the life of a class on both. The engine is a stand-in, except where
reports are compared.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import command
import pytest
from command import hand_in, run
from nbgrader.api import Base, Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.preprocessors import AssignLatePenalties
from postgresql import Server
from sample_class import ROOT
from sqlalchemy import select
from stand_in import StandIn, report_of
from tiny import NOTEBOOK
from tiny import TINY as CHAPTER
from tiny_class import students
from traitlets.config import Config

from autograder.classroom import gradebook as writer
from autograder.classroom import machine, recorder
from autograder.classroom.gradebook import ChapterGradebook
from autograder.course import database
from autograder.course.build import make_release
from autograder.course.database import Database
from autograder.course.source import Assignment, Course, CourseError
from autograder.results import Report

PASSWORD = "s3cr@t/word"
DUE, LATE = "2026-03-01 10:00:00 UTC", "2026-03-01 12:00:00 UTC"
ZERO = "c.LateSubmissionPlugin.penalty_method = 'zero'\n"


@dataclass(frozen=True)
class AClass:
    """A class of two in a folder of its own.

    Attributes:
        name: the database's; empty with SQLite.
    """

    folder: Path
    url: str
    name: str = ""

    def configure(self, url: str, more: str = "") -> None:
        text = f"c = get_config()\nc.CourseDirectory.db_url = {url!r}\n{more}"
        (self.folder / "nbgrader_config.py").write_text(text)

    @property
    def book(self) -> Gradebook:
        return Gradebook(self.url)

    def grade(self, *options: object) -> tuple[int, dict[str, dict]]:
        return command.grade(CHAPTER, self.folder, *options)

    def scores(self) -> dict[str, float | None]:
        """Of one exercise, by student."""
        with self.book as book:
            names = [submission.student_id for submission in book.assignment_submissions(CHAPTER)]
            return {name: self._grade(book, name).auto_score for name in sorted(names)}

    def mark(self, student: str, points: float) -> None:
        """As formgrader does."""
        with self.book as book:
            entry = book.find_grade("reasons", "tiny", CHAPTER, student)
            entry.manual_score, entry.needs_manual_grade = points, False
            book.db.commit()

    def everything(self) -> dict[str, list[str]]:
        """All rows of the gradebook, by table."""
        with self.book as book:
            tables = Base.metadata.sorted_tables
            return {t.name: sorted(map(str, book.db.execute(select(t)))) for t in tables}

    @staticmethod
    def _grade(book: Gradebook, student: str) -> object:
        return book.find_grade("test_scale", "tiny", CHAPTER, student)


@pytest.fixture(scope="module")
def known(server: Server, tiny_course: Course, tiny_chapter: Assignment) -> str:
    """The name of a database that knows the chapter."""
    name = server.database()
    make_release(tiny_course, tiny_chapter, server.url(name))
    return name


@pytest.fixture
def a_class(tmp_path: Path, blank: bytes, server: Server, known: str) -> AClass:
    name = server.database(known)
    made = AClass(tmp_path, server.url(name), name)
    made.configure(made.url)
    hand_in(tmp_path, CHAPTER, NOTEBOOK, dict.fromkeys(("ada", "bo"), blank))
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path, blank: bytes) -> AClass:
    if request.param == "postgresql":
        return request.getfixturevalue("a_class")
    made = AClass(tmp_path, f"sqlite:///{tmp_path / 'gradebook.db'}")
    made.configure(made.url)
    hand_in(tmp_path, CHAPTER, NOTEBOOK, dict.fromkeys(("ada", "bo"), blank))
    return made


# ---------------------------------------------------------------- the same as with SQLite


def test_reports_records_and_tables_are_those_of_a_class_with_sqlite(
    a_class: AClass,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_course: Course,
    tiny_chapter: Assignment,
) -> None:
    shutil.rmtree(a_class.folder / "submitted")
    work = students(tiny_chapter)
    work = {name: work[name] for name in ("ada", "chen", "emeka", "freya", "jonas", "katya")}
    other = tmp_path_factory.mktemp("sqlite")
    found = []
    for folder in (a_class.folder, other):
        hand_in(folder, CHAPTER, NOTEBOOK, work)
        with contextlib.chdir(tiny_course.root):
            assert command.grade(CHAPTER, folder, "--jobs", 2)[0] == 0
        records = folder / "reports" / CHAPTER / "records"
        made = {path.name: json.loads(path.read_text()) for path in sorted(records.iterdir())}
        for record in made.values():
            record.pop("notebook")  # digest of what was executed, with its times
            record["report"].pop("seconds")
            for step in record["history"]:
                step.pop("time")
        table = (folder / "reports" / CHAPTER / "grades.csv").read_text()
        found.append(({name: json.dumps(record) for name, record in made.items()}, table))
    assert found[0] == found[1]
    assert not (a_class.folder / "gradebook.db").exists()


def test_from_the_list_of_the_class_to_a_removal(
    a_class: AClass, stand_in: StandIn, server: Server
) -> None:
    submitted = "--submitted", a_class.folder / "submitted"
    with a_class.book as book:
        book.add_student("ada", first_name="Ada", last_name="Lovelace")
        book.update_or_create_assignment(CHAPTER, duedate=DUE)
    assert a_class.grade()[0] == 0
    a_class.mark("ada", 3)
    _, records = a_class.grade()
    assert len(stand_in.graded) == 2  # nothing was graded again
    assert (records["ada"]["mark"]["written"], records["bo"]["mark"]["written"]) == (3, 0)
    assert run("report", CHAPTER, *submitted)[0] == 0
    assert "Ada Lovelace" in (a_class.folder / "reports" / CHAPTER / "index.html").read_text()
    assert "made: 2, unchanged: 0" in run("feedback", CHAPTER, *submitted)[1]
    assert "made: 0, unchanged: 2" in run("feedback", CHAPTER, *submitted)[1]
    code, said = run("student", "extend", "bo", CHAPTER, "--days", 2, *submitted)
    assert (code, "bo: ch99_tiny is due at 2026-03-03 10:00 UTC" in said) == (0, True)
    code, said = run("student", "remove", "ada", "--yes", *submitted)
    assert code == 0
    assert f"in postgresql://postgres@/{a_class.name}" in said
    assert a_class.scores() == {"bo": 4}
    for table in ("student", "submitted_assignment", "submitted_notebook"):
        assert server.sql(f"SELECT count(*) FROM {table}", a_class.name) == "1\n"
    kept = server.sql("SELECT count(*) FROM grade WHERE manual_score = 3", a_class.name)
    assert kept == "0\n"
    assert not (a_class.folder / "gradebook.db").exists()


def test_what_formgrader_asks_for_its_pages(
    a_class: AClass, stand_in: StandIn, tiny_course: Course
) -> None:
    assert a_class.grade()[0] == 0
    config = Config()
    config.CourseDirectory.root = str(tiny_course.root)
    config.CourseDirectory.db_url = a_class.url
    api = NbGraderAPI(config=config)
    (chapter,) = api.get_assignments()
    assert (chapter["name"], chapter["average_score"]) == (CHAPTER, 13)
    assert {student["id"]: student["score"] for student in api.get_students()} == {
        "ada": 13,
        "bo": 13,
    }
    assert [n["average_score"] for n in api.get_notebooks(CHAPTER)] == [13]
    with api.gradebook as book:
        for found in (
            book.submission_dicts(CHAPTER),
            book.notebook_submission_dicts("tiny", CHAPTER),
        ):
            assert [submission["score"] for submission in found] == [13, 13]


# ---------------------------------------------------------------- one transaction a submission


def enter(a_class: AClass, course: Course, chapter: Assignment, report: Report) -> None:
    """What becomes of a graded submission that was handed in late."""
    submitted = a_class.folder / "submitted" / report.student / CHAPTER
    (submitted / "timestamp.txt").write_text(LATE)
    with ChapterGradebook(course, chapter, a_class.folder) as book:
        notebooks = {chapter.notebook_name: chapter.assigned}
        book.enter(report, notebooks, submitted, None, {})


def with_no_points(report: Report) -> Report:
    exercises = [replace(e, score=e.score and 0.0) for e in report.exercises]
    return replace(report, exercises=exercises, score=0.0)


def with_a_penalty(a_class: AClass, course: Course, chapter: Assignment) -> None:
    a_class.configure(a_class.url, ZERO)
    with ChapterGradebook(course, chapter, a_class.folder) as book:
        book.open().update_or_create_assignment(CHAPTER, duedate=DUE)


@pytest.mark.parametrize(
    ("where", "step"),
    [
        (writer, "complete"),
        (writer, "ask_persons"),
        (AssignLatePenalties, "init_plugin"),
    ],
)
def test_a_grader_that_is_killed_leaves_the_old_marks_or_the_new_ones(
    either: AClass, where: object, step: str, tiny_course: Course, tiny_chapter: Assignment
) -> None:
    """nbgrader commits after each of its steps: a student, a submission without marks, marks."""
    with_a_penalty(either, tiny_course, tiny_chapter)
    right = report_of(tiny_chapter, "ada")
    for report in (right, with_no_points(right)):
        before = either.everything()
        child = os.fork()
        if not child:
            try:
                setattr(where, step, lambda *_: os._exit(9))
                enter(either, tiny_course, tiny_chapter, report)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert either.everything() == before
        enter(either, tiny_course, tiny_chapter, report)
        after = either.everything()
        assert after != before
        enter(either, tiny_course, tiny_chapter, report)  # the next run does it again
        assert either.everything() == after


@pytest.mark.parametrize("sort", ["sqlite", "postgresql"])
def test_programs_that_open_a_gradebook_at_once_for_the_first_time(
    sort: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nbgrader's own first opening fails then: a table, a type or a course is there already."""
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    if sort == "postgresql":
        server = request.getfixturevalue("server")
        url = server.url(server.database())
    together, problems = threading.Barrier(4), []

    def version() -> str:
        together.wait(60)  # all have seen that there is none
        return "a version"

    monkeypatch.setattr("nbgrader.api.get_alembic_version", version)

    def make() -> None:
        try:
            Database.at(url).make()
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Gradebook(url) as book:
        book.add_student("ada")
        versions = book.db.connection().exec_driver_sql("SELECT * FROM alembic_version").all()
    assert [tuple(row) for row in versions] == [("a version",)]


# ---------------------------------------------------------------- while formgrader is open


def test_formgrader_that_is_open_sees_new_marks_and_is_in_nobodys_way(
    either: AClass, stand_in: StandIn
) -> None:
    assert either.grade()[0] == 0
    with either.book as formgrader:  # whose transaction stays open after a page
        assert either._grade(formgrader, "ada").auto_score == 4
        either._grade(formgrader, "ada").auto_score = 0
        formgrader.db.commit()
        assert either._grade(formgrader, "ada").auto_score == 0
        assert either.grade()[0] == 0
        assert either._grade(formgrader, "ada").auto_score == 4


def test_marks_that_somebody_is_giving_just_now_are_waited_for(
    a_class: AClass, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert a_class.grade()[0] == 0
    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 0)
    with a_class.book as formgrader:
        a_class._grade(formgrader, "ada").manual_score = 2
        formgrader.db.flush()
        with monkeypatch.context() as patch:
            patch.setattr(database, "LOCK_SECONDS", 0.1)
            code, records = a_class.grade("--force")
        assert code == 1
        assert "not yet in the gradebook" in records["ada"]["reason"]
        assert "lock timeout" in records["ada"]["reason"]
        assert records["bo"]["reason"] == ""
        formgrader.db.commit()
    before = len(stand_in.graded)
    code, records = a_class.grade()
    assert (code, len(stand_in.graded)) == (0, before)
    scale = {e["id"]: e["score"] for e in records["ada"]["exercises"]}["scale"]
    assert scale == 2


def test_who_is_waited_for_long_keeps_nobody_else_waiting(
    a_class: AClass, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert a_class.grade()[0] == 0
    entered = []
    with a_class.book as for_ada, a_class.book as for_bo:
        for book, student in ((for_ada, "ada"), (for_bo, "bo")):
            a_class._grade(book, student).manual_score = 2
            book.db.flush()

        def let_one_go(_: float) -> None:
            record = a_class.folder / "reports" / CHAPTER / "records" / "bo.json"
            entered.append(json.loads(record.read_text())["in_gradebook"])
            (for_ada if len(entered) > 1 else for_bo).db.commit()

        monkeypatch.setattr(recorder, "sleep", let_one_go)
        monkeypatch.setattr(database, "LOCK_SECONDS", 0.1)
        assert a_class.grade("--force")[0] == 0
    assert entered == [False, True]


@pytest.mark.parametrize("isolation", ["none", "full"])
def test_a_submission_that_could_reach_the_gradebook_is_warned_of(
    isolation: str, either: AClass, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    assert either.grade("--isolation", isolation)[0] == 0
    warned = "does not keep submissions from a server on this machine" in caplog.text
    assert warned is (isolation != "full" and bool(either.name))


# ---------------------------------------------------------------- a server that is not there

Wrong = Callable[[Server, AClass], str]
GUARDED = f"guarded:{quote(PASSWORD, safe='')}"
WRONG: dict[str, tuple[Wrong, str]] = {
    "no server": (
        lambda server, made: f"postgresql://{GUARDED}@/{made.name}?host={server.folder}/nowhere",
        "No such file or directory",
    ),
    "another password": (
        lambda server, made: server.url(made.name, "guarded", quote(PASSWORD, safe="")),
        "password authentication failed",
    ),
    "no database": (
        lambda server, made: f"{server.url('nowhere')}&password={quote(PASSWORD)}",
        'database "nowhere" does not exist',
    ),
    "no driver": (
        lambda server, made: server.url(made.name, "postgres", quote(PASSWORD, safe="")),
        "the package psycopg is missing",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def guarded(server: Server) -> None:
    server.sql("CREATE ROLE guarded LOGIN PASSWORD 'another'")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_server_that_cannot_be_used_costs_no_grading_and_the_next_run_enters_the_marks(  # noqa: PLR0913
    wrong: str,
    server: Server,
    a_class: AClass,
    stand_in: StandIn,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_url, problem = WRONG[wrong]
    a_class.configure(make_url(server, a_class))
    submitted = "--submitted", a_class.folder / "submitted"
    with monkeypatch.context() as patch:
        if wrong == "no driver":
            patch.setitem(sys.modules, "psycopg", None)
        code, records = a_class.grade()
        said = [run("grade", CHAPTER, *submitted)[1], run("report", CHAPTER, *submitted)[1]]
        for words in (
            ("feedback", CHAPTER),
            ("student", "remove", "ada", "--yes"),
            ("student", "extend", "ada", CHAPTER, "--days", "1"),
        ):
            failed, output = run(*words, *submitted)
            assert failed != 0
            said.append(output)
    assert code == 1
    assert [record["status"] for record in records.values()] == ["graded"] * 2
    assert all("not yet in the gradebook" in record["reason"] for record in records.values())
    assert problem in records["ada"]["reason"]
    assert "marks are kept" in caplog.text
    files = [
        p for folder in ("reports", "autograded") for p in (a_class.folder / folder).rglob("*")
    ]
    texts = [*said, caplog.text, *(p.read_text() for p in files if p.is_file())]
    for password in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe="")):
        assert [text for text in texts if password in text] == []
    assert "marks by hand are not shown" in "".join(texts)
    assert (a_class.folder / "submitted" / "ada").exists()
    a_class.configure(a_class.url)
    before = len(stand_in.graded)
    code, records = a_class.grade()
    assert (code, len(stand_in.graded)) == (0, before)
    assert [record["reason"] for record in records.values()] == ["", ""]
    assert a_class.scores() == {"ada": 4, "bo": 4}


def test_a_server_that_is_lost_is_asked_again_at_the_end_only(
    server: Server, a_class: AClass, stand_in: StandIn
) -> None:
    """A host that does not answer costs seconds, and there may be a thousand students."""
    ended = []

    def end_connections(student: str) -> None:
        if student == "bo":
            while not a_class.scores():  # ada's marks come first
                pass
            statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            statement += f"'{a_class.name}' AND pid <> pg_backend_pid()"
            ended.append(server.sql(statement))

    stand_in.before = end_connections
    code, records = a_class.grade("--jobs", 1)
    assert ended
    assert code == 0
    assert [record["reason"] for record in records.values()] == ["", ""]
    assert a_class.scores() == {"ada": 4, "bo": 4}


# ---------------------------------------------------------------- what the configuration says


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"'mysql://ada:{PASSWORD}@host/marks'", "not mysql://ada:***@"),
        (f"'mysql://host/marks?password={PASSWORD}'", "not mysql://host/marks"),
        (f"'postgresql//ada:{PASSWORD}'", "is to be sqlite:///PATH or like postgresql://"),
        ("'sqlite://'", "is to be sqlite:///PATH"),
        ("os.environ['DB']", "cannot be read: NameError"),
    ],
)
def test_a_db_url_that_cannot_be_is_refused_in_words(
    line: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.db_url = {line}\n"
    )
    with pytest.raises(CourseError) as refused:
        Database.of(tmp_path)
    assert problem in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert quote(PASSWORD, safe="") not in str(refused.value)


def test_a_db_url_that_cannot_be_ends_every_command_with_a_sentence(
    a_class: AClass, stand_in: StandIn
) -> None:
    a_class.configure(f"mysql://ada:{PASSWORD}@host/marks")
    for words in (
        ("grade", CHAPTER),
        ("grade", CHAPTER, "--no-gradebook"),
        ("report", CHAPTER),
        ("feedback", CHAPTER),
    ):
        code, said = run(*words, "--submitted", a_class.folder / "submitted")
        assert (code, "db_url is to be" in said, PASSWORD in said) == (2, True, False), words


def test_each_class_has_its_own_gradebook(tmp_path: Path) -> None:
    """Another class's folder does not take the course's."""
    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.db_url = 'sqlite:///marks/all.db'\n"
    )
    (tmp_path / "group2").mkdir()
    assert Database.of(tmp_path).path == tmp_path / "marks" / "all.db"
    assert Database.of(tmp_path / "group2").path == tmp_path / "group2" / "gradebook.db"


def test_where_the_gradebook_is_is_known_without_nbgrader() -> None:
    """An unchanged class is seen to in less than nbgrader takes to be imported."""
    code = (
        "import sys; from pathlib import Path\n"
        "from autograder.course.database import Database\n"
        "print(Database.of(Path(sys.argv[1])), 'nbgrader' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{ROOT / 'gradebook.db'} False\n"


def test_the_doctor_finds_a_password_that_a_student_could_read(
    tiny_course: Course, tmp_path: Path
) -> None:
    (tmp_path / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.db_url = 'postgresql://{GUARDED}@host/marks'\n"
    )
    exchange = machine.Exchange(tmp_path / "exchange", "course")
    found = {finding.layer: finding for finding in machine.examine(tmp_path, exchange)}
    finding = found["the password of the gradebook: out of reach"]
    (tmp_path / "nbgrader_config.py").chmod(0o600)
    found = {finding.layer: finding for finding in machine.examine(tmp_path, exchange)}
    assert found["the password of the gradebook: out of reach"].holds
    assert finding.holds or "nbgrader_config.py" in finding.seen
