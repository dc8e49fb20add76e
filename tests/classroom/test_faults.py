"""A class is graded while something goes wrong: nothing is lost, and a sentence says what happened.

The engine is a stand-in that gives its marks at once, except where processes are killed.
What goes wrong with PostgreSQL is in test_postgresql.py.
"""

from __future__ import annotations

import csv
import errno
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import command
import pytest
from command import hand_in, run
from stand_in import StandIn
from tiny import NOTEBOOK
from tiny import TINY as CHAPTER

from autograder.classroom import recorder
from autograder.classroom.gradebook import ChapterGradebook
from autograder.classroom.records import ClassFolder
from autograder.classroom.report import NOT_GRADED, NOT_HANDED_IN
from autograder.classroom.work import Result
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine
from autograder.sandbox import shared


@pytest.fixture(scope="module")
def gradebook(
    tmp_path_factory: pytest.TempPathFactory, tiny_course: Course, tiny_chapter: Assignment
) -> Path:
    """One that knows the chapter and nobody: nbgrader takes seconds to make it."""
    folder = tmp_path_factory.mktemp("gradebook")
    with ChapterGradebook(tiny_course, tiny_chapter, folder) as book:
        book.open()
    return folder / "gradebook.db"


@pytest.fixture
def folder(tmp_path: Path, blank: bytes, gradebook: Path) -> Path:
    shutil.copy(gradebook, tmp_path)
    hand_in(tmp_path, CHAPTER, NOTEBOOK, dict.fromkeys(("ada", "bo"), blank))
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two mebibytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk of its own needs root and the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def grade(folder: Path, *options: object) -> tuple[int, dict[str, dict]]:
    return command.grade(CHAPTER, folder, *options)


def scores(folder: Path) -> dict[str, float | None]:
    """What the gradebook has of one exercise, by student."""
    found = command.gradebook_scores(CHAPTER, folder)
    return {student: score for (student, name), score in found.items() if name == "test_scale"}


def change_gradebook(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "gradebook.db") as database:
        database.execute(statement)
    database.close()


def wait_until_entered(folder: Path, student: str) -> None:
    record = folder / "reports" / CHAPTER / "records" / f"{student}.json"
    while not (record.exists() and '"in_gradebook": true' in record.read_text()):
        time.sleep(0.01)


def reports(folder: Path) -> list[str]:
    """Whose work is in the class's report."""
    table = (folder / "reports" / CHAPTER / "grades.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    return [row["student"] for row in rows if row["status"] not in (NOT_HANDED_IN, NOT_GRADED)]


# ---------------------------------------------------------------- names


def test_odd_names_of_folders_cost_nobody_else_anything(
    folder: Path, stand_in: StandIn, blank: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    long, chinese = "n" * 255, "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 84
    odd = {
        os.fsdecode(b"M\xfcller"): "no text in UTF-8",
        ".hidden": "begins with a dot",
        "..b": "begins with a dot",
        "a\x1b]0;owned\x07b": "control characters",
        "new\nline": "control characters",
    }
    hand_in(folder, CHAPTER, NOTEBOOK, dict.fromkeys([*odd, long, chinese], blank))
    code, output = run("grade", CHAPTER, "--submitted", folder / "submitted")
    assert code == 0
    assert not set(output) & set("\x1b\x07")
    assert not set(capfd.readouterr().err) & set("\x1b\x07")
    _, records = grade(folder)
    assert {name: records[name]["status"] for name in records} == {
        **dict.fromkeys(["ada", "bo", long, chinese], "graded"),
        **dict.fromkeys(odd, "rejected"),
    }
    for name, problem in odd.items():
        assert problem in records[name]["reason"]
        assert "rename the folder" in records[name]["reason"]
    assert set(scores(folder)) == {"ada", "bo", long, chinese}
    assert len(reports(folder)) == len(records)
    before = len(stand_in.graded)
    grade(folder)
    assert len(stand_in.graded) == before  # all are recorded


def test_a_folder_that_nobody_may_look_into_is_said(
    folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.is_dir

    def refuse(path: Path) -> bool:
        if path.parent.name == "bo":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_dir", refuse)
    (folder / "submitted" / "bo" / CHAPTER / NOTEBOOK).unlink()
    assert list(grade(folder)[1]) == ["ada", "bo"]


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%41b", "a b&c=d"])
def test_the_gradebook_is_in_the_class_folder_whatever_its_name(
    name: str, tmp_path: Path, stand_in: StandIn, blank: bytes
) -> None:
    folder = tmp_path / name
    hand_in(folder, CHAPTER, NOTEBOOK, {"ada": blank})
    assert grade(folder)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with sqlite3.connect(folder / "gradebook.db") as database:
        found = database.execute("SELECT student_id FROM submitted_assignment").fetchall()
    database.close()
    assert found == [("ada",)]


# ---------------------------------------------------------------- a gradebook that is held


def test_a_gradebook_locked_from_the_start_costs_no_grading(
    folder: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    grade(folder)
    holder = sqlite3.connect(folder / "gradebook.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(recorder, "PATIENCE_SECONDS", 0)
    code, records = grade(folder, "--force")
    assert code == 1
    assert [record["status"] for record in records.values()] == ["graded"] * 2
    assert all("not yet in the gradebook" in record["reason"] for record in records.values())
    assert "locked" in records["ada"]["reason"]
    assert "marks are kept" in caplog.text
    holder.rollback()
    holder.close()
    before = len(stand_in.graded)
    code, records = grade(folder)
    assert (code, len(stand_in.graded)) == (0, before)
    assert [record["reason"] for record in records.values()] == ["", ""]
    assert scores(folder) == {"ada": 4, "bo": 4}


def test_the_end_waits_for_a_locked_gradebook_and_says_so(
    folder: Path,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    grade(folder, "--student", "ada")
    change_gradebook(folder, "UPDATE grade SET auto_score = 0")
    holder = sqlite3.connect(folder / "gradebook.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    def let_go(_: float) -> None:
        assert "waiting for it" in caplog.text
        holder.rollback()

    monkeypatch.setattr(recorder, "sleep", let_go)
    code, records = grade(folder)
    holder.close()
    assert code == 0
    assert [record["reason"] for record in records.values()] == ["", ""]
    assert scores(folder)["bo"] == 4


def test_a_report_that_cannot_read_the_gradebook_says_so(
    folder: Path, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    grade(folder)
    holder = sqlite3.connect(folder / "gradebook.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    code, _ = run("report", CHAPTER, "--submitted", folder / "submitted")
    holder.rollback()
    holder.close()
    assert code == 0
    assert "cannot be read now (database is locked)" in caplog.text
    page = (folder / "reports" / CHAPTER / "index.html").read_text()
    assert "marks by hand are not shown" in page
    assert reports(folder) == ["ada", "bo"]


def test_a_report_during_a_grading_leaves_its_records_alone(
    folder: Path, stand_in: StandIn
) -> None:
    grade(folder)
    change_gradebook(folder, "UPDATE grade SET manual_score = 2")
    record = folder / "reports" / CHAPTER / "records" / "ada.json"
    before = record.read_bytes()
    with ClassFolder(folder / "submitted").one_grader():
        run("report", CHAPTER, "--submitted", folder / "submitted")
        assert record.read_bytes() == before
    run("report", CHAPTER, "--submitted", folder / "submitted")
    assert record.read_bytes() != before


def test_a_file_that_is_no_gradebook_is_said_and_left_alone(
    folder: Path, stand_in: StandIn
) -> None:
    (folder / "gradebook.db").write_text("no database, but somebody's text " * 99)
    code, records = grade(folder)
    assert code == 1
    assert "file is not a database" in records["ada"]["reason"]
    (folder / "gradebook.db").unlink()
    assert grade(folder)[0] == 0
    assert len(stand_in.graded) == 2
    assert scores(folder) == {"ada": 4, "bo": 4}


def test_of_two_gradings_of_one_class_the_second_waits_and_says_so(
    folder: Path, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    first_is_in, second_waits = threading.Event(), threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "under way" in record.getMessage():
                second_waits.set()

    def first() -> None:
        with ClassFolder(folder / "submitted").one_grader():
            first_is_in.set()
            assert second_waits.wait(60)
            assert stand_in.graded == []

    handler = Heard()
    logging.getLogger("autograder.classroom.records").addHandler(handler)
    thread = threading.Thread(target=first)
    thread.start()
    assert first_is_in.wait(60)
    try:
        assert grade(folder)[0] == 0
    finally:
        thread.join()
        logging.getLogger("autograder.classroom.records").removeHandler(handler)
    assert second_waits.is_set()
    assert sorted(stand_in.graded) == ["ada", "bo"]


# ---------------------------------------------------------------- disks


def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_what_was_graded(  # noqa: PLR0913
    small_disk: Path,
    stand_in: StandIn,
    blank: bytes,
    gradebook: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(gradebook, small_disk)
    students = [f"s{number}" for number in range(6)]
    hand_in(small_disk, CHAPTER, NOTEBOOK, dict.fromkeys(students, blank))
    grade(small_disk, "--student", "s0")
    filler = small_disk / "filler"

    really_cancel, cancelled = Future.cancel, threading.Event()

    def cancel(future: Future[object]) -> bool:
        if done := really_cancel(future):
            cancelled.set()
        return done

    def fill(student: str) -> None:
        if student == "s3":  # else all are graded before the first is written
            assert cancelled.wait(60)
        if student != "s2":
            return
        wait_until_entered(small_disk, "s1")
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    stand_in.before = fill
    monkeypatch.setattr(Future, "cancel", cancel)
    code, output = run("grade", CHAPTER, "--submitted", small_disk / "submitted", "--jobs", 1)
    assert code == 1
    assert "No space left on device" in " ".join(output.split()) + caplog.text
    assert len(stand_in.graded) < len(students)
    left = [path for path in small_disk.rglob("*") if path.suffix in (".tmp", "-journal")]
    assert left == []
    filler.unlink()
    stand_in.before = lambda student: None
    stand_in.graded.clear()
    code, records = grade(small_disk)
    assert code == 0
    assert {record["status"] for record in records.values()} == {"graded"}
    assert "s0" not in stand_in.graded
    assert "s1" not in stand_in.graded
    assert scores(small_disk) == dict.fromkeys(students, 4)


def test_what_cannot_be_written_for_one_student_is_no_failure_to_grade(
    folder: Path, stand_in: StandIn
) -> None:
    (folder / "autograded").mkdir()
    (folder / "autograded" / "ada").write_text("a file in the folder's place")
    code, records = grade(folder)
    assert code == 1
    assert {name: record["status"] for name, record in records.items()} == {
        "ada": "graded",
        "bo": "graded",
    }
    assert "could not be written" in records["ada"]["reason"]
    assert records["bo"]["reason"] == ""
    assert stand_in.graded.count("ada") == 1
    (folder / "autograded" / "ada").unlink()
    assert grade(folder)[0] == 0
    assert scores(folder) == {"ada": 4, "bo": 4}


def test_a_results_file_that_cannot_be_written_costs_no_report(
    folder: Path, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "file").touch()
    out = folder / "file" / "marks.json"
    code, output = run("grade", CHAPTER, "--submitted", folder / "submitted", "--json", out)
    assert code == 1
    assert f"{out} cannot be written" in caplog.text
    assert "ada" in output
    assert reports(folder) == ["ada", "bo"]


def test_no_usable_temporary_folder_is_a_sentence(
    folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grading itself does not need the one that nbgrader does; marks are kept and entered later."""
    (folder / "gradebook.db").unlink()

    def refuse() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "gettempdir", refuse)
        patch.setattr(tempfile, "_get_default_tempdir", refuse)
        patch.setattr(tempfile, "tempdir", None)
        code, records = grade(folder)
    assert code == 1
    assert "No usable temporary directory" in records["ada"]["reason"]
    assert grade(folder)[0] == 0
    assert len(stand_in.graded) == 2
    assert scores(folder) == {"ada": 4, "bo": 4}


def test_no_place_for_the_sandbox_is_a_sentence(
    folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "SHARED", str(folder / "nowhere"))
    code, output = run("grade", CHAPTER, "--submitted", folder / "submitted")
    assert code == 1
    assert "No such file or directory" in output
    assert stand_in.graded == []


def test_a_folder_for_the_sandbox_that_cannot_be_made_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shared, "SHARED", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space left"):
        shared.SharedFolder()
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------- what was there before


def spoil_deeply(text: str) -> str:
    return "[" * 100_000


def spoil_a_score(text: str) -> str:
    return text.replace('"max_score": 4', '"max_score": "four"')


def spoil_a_total(text: str) -> str:
    data = json.loads(text)
    data["report"]["score"] = float("nan")
    return json.dumps(data)


def spoil_a_remark(text: str) -> str:
    data = json.loads(text)
    data["report"]["notes"] = [{"code": "cell_too_long", "cell": "", "arguments": {}}]
    return json.dumps(data)


def spoil_the_name(text: str) -> str:
    return text.replace('"student": "bo"', '"student": "ada"')


def spoil_the_text(text: str) -> str:
    return text.replace('"title": "', '"title": 7, "x": "')


@pytest.mark.parametrize(
    "spoil",
    [spoil_deeply, spoil_a_score, spoil_a_total, spoil_a_remark, spoil_the_name, spoil_the_text],
)
def test_a_damaged_record_is_named_by_the_report_and_made_anew(
    spoil: Callable[[str], str],
    folder: Path,
    stand_in: StandIn,
    caplog: pytest.LogCaptureFixture,
) -> None:
    grade(folder)
    path = folder / "reports" / CHAPTER / "records" / "bo.json"
    path.write_text(spoil(path.read_text()))
    code, _ = run("report", CHAPTER, "--submitted", folder / "submitted")
    assert code == 0
    assert reports(folder) == ["ada", "bo"]  # the gradebook still has bo's mark
    assert "bo.json is of another version or damaged" in caplog.text
    stand_in.graded.clear()
    code, records = grade(folder)
    assert (code, stand_in.graded, records["bo"]["score"]) == (0, ["bo"], 13)
    assert reports(folder) == ["ada", "bo"]


def test_a_folder_in_the_place_of_a_record_is_no_crash(folder: Path, stand_in: StandIn) -> None:
    path = folder / "reports" / CHAPTER / "records" / "bo.json"
    path.mkdir(parents=True)
    code, records = grade(folder)
    assert code == 1
    assert "could not be written" in records["bo"]["reason"]
    assert reports(folder) == ["ada"]


def test_what_was_withdrawn_leaves_the_report(folder: Path, stand_in: StandIn) -> None:
    grade(folder)
    shutil.rmtree(folder / "submitted" / "bo" / CHAPTER)
    run("report", CHAPTER, "--submitted", folder / "submitted")
    assert reports(folder) == ["ada"]


def test_a_deleted_or_altered_notebook_is_graded_again(folder: Path, stand_in: StandIn) -> None:
    grade(folder)
    shutil.rmtree(folder / "autograded" / "ada")
    stand_in.graded.clear()
    grade(folder)
    assert stand_in.graded == ["ada"]
    path = folder / "autograded" / "bo" / CHAPTER / NOTEBOOK
    path.write_text(path.read_text().replace("Tiny", "Large"))
    grade(folder)
    assert stand_in.graded == ["ada", "bo"]
    assert "Tiny" in path.read_text()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE grade SET auto_score = 1",
        "DELETE FROM submitted_assignment",
    ],
)
def test_marks_that_the_gradebook_lost_are_entered_again_without_grading(
    statement: str, folder: Path, stand_in: StandIn
) -> None:
    grade(folder)
    change_gradebook(folder, statement)
    if "submitted" in statement:
        change_gradebook(folder, "DELETE FROM submitted_notebook")
        change_gradebook(folder, "DELETE FROM grade")
    stand_in.graded.clear()
    assert grade(folder)[0] == 0
    assert (scores(folder), stand_in.graded) == ({"ada": 4, "bo": 4}, [])


def test_a_later_date_is_entered_without_grading(folder: Path, stand_in: StandIn) -> None:
    date = folder / "submitted" / "ada" / CHAPTER / "timestamp.txt"
    for text in ("2026-11-20 10:00:00 UTC", "2026-11-23 10:00:00 UTC"):
        date.write_text(text)
        grade(folder)
        with sqlite3.connect(folder / "gradebook.db") as database:
            query = "SELECT timestamp FROM submitted_assignment WHERE student_id = 'ada'"
            ((entered,),) = database.execute(query).fetchall()
        database.close()
        assert entered.startswith(text[:19])
        kept = folder / "autograded" / "ada" / CHAPTER / "timestamp.txt"
        assert kept.read_text() == text
    assert stand_in.graded.count("ada") == 1


def test_what_a_killed_run_left_half_written_goes(folder: Path, stand_in: StandIn) -> None:
    grade(folder)
    left = [folder / "reports" / CHAPTER / "records" / ".1.tmp"]
    left += [folder / "autograded" / "ada" / CHAPTER / ".2.tmp"]
    for path in left:
        path.touch()
    grade(folder, "--force")
    assert not any(path.exists() for path in left)


# ---------------------------------------------------------------- interrupts and kills


def test_ctrl_c_says_what_is_kept(
    folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = recorder.Recorder.__call__

    def interrupt(self: recorder.Recorder, sha256: str, graded: Result) -> None:
        real(self, sha256, graded)
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "close", lambda self: None)  # it is all tests'
    with monkeypatch.context() as patch:
        patch.setattr(recorder.Recorder, "__call__", interrupt)
        code, output = run("grade", CHAPTER, "--submitted", folder / "submitted", "--jobs", 1)
    assert code == 130
    assert "1 of 2 have been graded and are kept" in " ".join(output.split())
    kept = stand_in.graded[0]
    stand_in.graded.clear()
    assert grade(folder)[0] == 0
    assert kept not in stand_in.graded
    assert scores(folder) == {"ada": 4, "bo": 4}


RUN = f"""
import sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from autograder import __main__, terminal
from autograder.engine.grade import Engine
from test_faults import StandIn

one_is_done, closed = threading.Event(), threading.Event()
made, advance, close = StandIn(), terminal._Ticker.advance, Engine.close

def counted(ticker, report):
    advance(ticker, report)
    one_is_done.set()

def closing(engine):
    close(engine)
    closed.set()

def before(student):
    if student == "bo":
        one_is_done.wait()
        print("grading bo", flush=True)
        closed.wait()
        raise ConnectionError("closed")

made.before = before
Engine.grade = lambda _, *arguments: made.grade(*arguments)
Engine.close, terminal._Ticker.advance = closing, counted
sys.argv[1:] = ["grade", {CHAPTER!r}, "--submitted", f"{{sys.argv[1]}}/submitted", "--jobs", "1"]
__main__.main()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_ended_goes_on_where_it_stopped(
    number: signal.Signals, folder: Path, stand_in: StandIn
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "grading bo\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    if number is signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130
        assert "1 of 2 have been graded and are kept" in said
        assert "Traceback" not in said
    assert grade(folder)[0] == 0
    assert stand_in.graded == ["bo"]
    assert scores(folder) == {"ada": 4, "bo": 4}
    assert reports(folder) == ["ada", "bo"]


def test_a_doctor_that_was_stopped_leaves_no_folder(tmp_path: Path) -> None:
    begin = f"""
import subprocess, sys
from autograder import __main__
from autograder.sandbox import doctor, shared

def hang(*_, **__):
    print("trying", flush=True)
    sys.stdin.read()

shared.SHARED = {str(tmp_path)!r}
doctor.subprocess.run = hang
sys.argv = ["autograder", "doctor"]
__main__.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", begin],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "trying\n"
    assert list(tmp_path.iterdir())
    process.terminate()
    process.communicate(timeout=300)
    assert process.returncode
    assert list(tmp_path.iterdir()) == []
