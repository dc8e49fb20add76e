"""A student who is removed is gone from everywhere, and the others are not."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from command import hand_in, run
from nbgrader.api import Gradebook
from nbgrader.utils import notebook_hash
from sample_class import as_bytes, fill
from tiny import NOTEBOOK, TINY, release, write_chapter, written
from typer.testing import CliRunner

from autograder import cli
from autograder.classroom.records import ClassFolder, Record
from autograder.course.source import Course
from autograder.results import Report, Status

SECRET = "of ada's hand-in"


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graded class of two with feedback, and an exchange with hand-ins."""
    folder = tmp_path_factory.mktemp("class")
    made = write_chapter(folder, written("reasons", "Because.", points=5))
    notebook = release(made.assignment(TINY))
    for name in ("ada", "ada.b"):
        answer = as_bytes(fill({"reasons": f"I am {name}!"}, notebook))
        hand_in(folder, TINY, NOTEBOOK, {name: answer})
    with contextlib.chdir(folder):
        assert run("grade", TINY)[0] == 0
    exchange = folder / "exchange" / "large-models"
    for name in ("ada", "ada.b"):
        secret = SECRET.replace("ada", name)
        for path, text in (
            (folder / "submitted" / name / TINY / "submission_secret.txt", secret),
            (folder / "feedback" / name / TINY / "tiny.html", name),
            (exchange / "feedback" / f"{hash_of(name)}.html", name),
            (exchange / "inbound" / f"{name}+{TINY}+2026-11-30 10:00:00 UTC+abc" / "t", secret),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        comment = book.find_comment("reasons", "tiny", TINY, "ada")
        comment.manual_comment = "Well done, dear ada!"
        book.db.commit()
    return folder


@pytest.fixture
def course(graded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A copy of it."""
    shutil.copytree(graded, tmp_path / "class")
    with (tmp_path / "class" / "nbgrader_config.py").open("a") as file:
        file.write(f"c.Exchange.root = {str(tmp_path / 'class' / 'exchange')!r}\n")
    monkeypatch.chdir(tmp_path / "class")
    return Course(tmp_path / "class")


def hash_of(student: str) -> str:
    return str(notebook_hash(secret=SECRET.replace("ada", student), notebook_id="tiny"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_will_be_deleted_is_shown_and_nothing_happens_without_a_yes(course: Course) -> None:
    before = contents(course.root)
    result = CliRunner().invoke(cli.app, ["student", "remove", "ada"], input="n\n")
    assert result.exit_code == 1
    for place in ("submitted", "autograded", "feedback"):
        assert f"{course.root / place / 'ada'}\n" in result.output
    for part in ("inbound/ada+", f"{hash_of('ada')}.html", "records/ada.json", "gradebook.db"):
        assert part in result.output
    assert "ada.b" not in result.output
    assert contents(course.root) == before


def test_a_removed_student_is_gone_and_stays_gone(course: Course) -> None:
    """Deleting the folder left marks, records and hand-ins; the next grading brought it back."""
    result = CliRunner().invoke(cli.app, ["student", "remove", "ada"], input="y\n")
    assert result.exit_code == 0, result.output
    everything = contents(course.root)
    names = [path for path in everything for part in path.split("/")[:-1] if part == "ada"]
    assert names == []
    for text in (b"I am ada!", b"dear ada", SECRET.encode()):
        assert [path for path, data in everything.items() if text in data] == []
    assert f"exchange/large-models/feedback/{hash_of('ada')}.html" not in everything
    assert not any("/ada+" in str(path) for path in course.root.rglob("*"))
    report = everything[f"reports/{TINY}/grades.csv"].decode()
    assert [line.split(",")[0] for line in report.splitlines()] == ["student", "ada.b"]
    # The other one is as before, and grading recreates nobody.
    assert f"exchange/large-models/feedback/{hash_of('ada.b')}.html" in everything
    assert run("grade", TINY)[0] == 0
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        assert [student.id for student in book.students] == ["ada.b"]
    assert run("student", "remove", "ada")[0] == 2


def test_removal_waits_for_the_end_of_a_grading(course: Course) -> None:
    """Which writes something of the student after it was looked at what there is."""
    class_folder = ClassFolder(course.root / "submitted")
    holds, waits = threading.Event(), threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "under way" in record.getMessage():
                waits.set()

    def grading() -> None:
        with class_folder.one_grader():
            holds.set()
            assert waits.wait(60)
            class_folder.write_record(Record("key", Report("ada", "other", Status.GRADED)))

    handler, log = Heard(), logging.getLogger("autograder.classroom.records")
    log.addHandler(handler)
    thread = threading.Thread(target=grading)
    thread.start()
    try:
        assert holds.wait(60)
        run("student", "remove", "ada", "--yes")
    finally:
        thread.join()
        log.removeHandler(handler)
    assert waits.is_set()
    assert list(course.root.glob("reports/*/records/ada.json")) == []


def test_who_never_handed_in_leaves_the_report(course: Course) -> None:
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        book.add_student("zoe", last_name="Zimmer")
    run("report", TINY)
    assert "Zimmer" in (course.root / "reports" / TINY / "index.html").read_text()
    assert run("student", "remove", "zoe", "--yes")[0] == 0
    everything = contents(course.root)
    assert [path for path, data in everything.items() if b"zoe" in data or b"Zimmer" in data] == []


def test_the_record_of_a_name_that_no_file_can_have_goes_too(course: Course) -> None:
    name = "n" * 255
    class_folder = ClassFolder(course.root / "submitted")
    class_folder.write_record(Record("key", Report(name, TINY, Status.REJECTED)))
    assert run("student", "remove", name, "--yes")[0] == 0
    assert class_folder.record(TINY, name) is None


def test_what_cannot_be_deleted_is_named_and_the_rest_goes(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder inside a hand-in belongs to the student who made it."""
    real = shutil.rmtree

    def refuse(path: Path, *rest: object, **options: object) -> None:
        if "inbound" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        real(path, *rest, **options)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    result = CliRunner().invoke(cli.app, ["student", "remove", "ada", "--yes"])
    assert result.exit_code == 1
    assert "not deleted" in result.output
    assert "inbound/ada+" in result.output
    assert not (course.root / "submitted" / "ada").exists()


def test_nobody_of_that_name(course: Course) -> None:
    before = contents(course.root)
    for name in ("", ".", "..", "a/b", "../submitted", "zoe"):
        code, output = run("student", "remove", name, "--yes")
        assert code == 2, name
        assert ("there is nothing of" if name == "zoe" else "is no student's name") in output
    assert contents(course.root) == before


def test_a_link_in_a_students_place_is_removed_and_not_followed(
    course: Course, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "kept").touch()
    (course.root / "submitted" / "linked").symlink_to(elsewhere)
    with contextlib.closing(sqlite3.connect(course.root / "gradebook.db")) as book:
        students = book.execute("select count(*) from student").fetchone()
    assert run("student", "remove", "linked", "--yes")[0] == 0
    assert (elsewhere / "kept").exists()
    assert not (course.root / "submitted" / "linked").is_symlink()
    with contextlib.closing(sqlite3.connect(course.root / "gradebook.db")) as book:
        assert book.execute("select count(*) from student").fetchone() == students
