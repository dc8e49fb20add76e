"""Grading on Dask's workers: the same marks as on this machine, and none is lost with a worker.

Workers are processes of their own. Those that are killed, hang or come late have a stand-in for the
engine (test_faults.py), which waits for what the test says.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path

import command
import pytest
from command import hand_in, run
from dask_workers import Workers, wait_until, workers
from distributed import Worker
from sample_class import as_bytes
from test_faults import StandIn
from tiny import NOTEBOOK, release
from tiny import TINY as CHAPTER
from tiny_class import make_course, students

from autograder.classroom import cluster, recorder
from autograder.classroom.cluster import Cluster
from autograder.classroom.work import GivenUp, NobodyGrades, Result
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine

STAND_IN = """
import os, pathlib, signal, time
from dask_workers import wait_until
from test_faults import StandIn
from autograder.engine.fork import ForkServer
from autograder.engine.grade import Engine

here = pathlib.Path({folder!r})
made = StandIn()

def before(student):
    {before}

made.before = before
Engine.grade = lambda _, *arguments: made.grade(*arguments)
ForkServer.start = lambda self: None
Engine.close = lambda self: (here / "closed").touch()
"""
KILL = 'if student == "bo": os.kill(os.getpid(), signal.SIGKILL)'


@pytest.fixture(autouse=True)
def in_the_course(monkeypatch: pytest.MonkeyPatch, tiny_course: Course) -> None:
    monkeypatch.chdir(tiny_course.root)


@pytest.fixture
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with workers(tmp_path_factory.mktemp("workers")) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, tiny_chapter: Assignment) -> Path:
    blank = as_bytes(release(tiny_chapter))
    hand_in(tmp_path, CHAPTER, NOTEBOOK, dict.fromkeys(("ada", "bo", "chen"), blank))
    return tmp_path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 3)
    monkeypatch.setattr(cluster, "SILENCE_SECONDS", 3)


def stand_in(folder: Path, before: str = "pass") -> str:
    return STAND_IN.format(folder=str(folder), before=before)


def grade(folder: Path, there: Workers, *options: object) -> tuple[int, dict[str, dict]]:
    """With stand-ins, which confine nothing."""
    options = ("--scheduler", there.address, "--isolation", "none", "--no-gradebook", *options)
    return command.grade(CHAPTER, folder, *options)


@contextlib.contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Does something else while something runs."""
    failed: list[BaseException] = []

    def do() -> None:
        try:
            action()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert failed == []


# ---------------------------------------------------------------- real engines


def results(folder: Path) -> dict[str, str]:
    """All that a grading leaves in a class's folder but times: records and executed notebooks."""
    found = {}
    for path in folder.glob("reports/*/records/*.json"):
        record = json.loads(path.read_text())
        del record["report"]["seconds"], record["notebook"]  # the latter is of a file with times
        for step in record["history"]:
            del step["time"]
        found[path.name] = json.dumps(record)
    for path in folder.glob("autograded/*/*/*.ipynb"):
        notebook = json.loads(path.read_text())
        for cell in notebook["cells"]:
            cell["metadata"].pop("execution", None)  # when it began and ended
        found[str(path.relative_to(folder))] = json.dumps(notebook)
    return found


def test_reports_are_the_same_on_workers_and_a_killed_worker_changes_nothing(
    tmp_path: Path,
    there: Workers,
    tiny_chapter: Assignment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = students(tiny_chapter)
    made = {name: made[name] for name in ("ada", "chen", "emeka", "hiroko", "jonas", "katya")}
    for place in ("here", "there"):
        hand_in(tmp_path / place, CHAPTER, NOTEBOOK, made)
    there.start("a", "b")
    there.wait_for("a", "b")

    def kill() -> None:
        wait_until(lambda: any("Grade" in key for key in there.at_work().get("a", ())))
        there.kill("a")
        there.start("c")

    with meanwhile(kill):
        code, _ = command.grade(CHAPTER, tmp_path / "there", "--scheduler", there.address)
    assert code == 0
    assert command.grade(CHAPTER, tmp_path / "here", "--jobs", 2)[0] == 0
    assert len(results(tmp_path / "here")) == len(made) + 5
    assert results(tmp_path / "there") == results(tmp_path / "here")

    def refuse(*_: object) -> None:
        raise AssertionError("graded again")

    monkeypatch.setattr(Engine, "grade", refuse)
    assert command.grade(CHAPTER, tmp_path / "there")[0] == 0


# ---------------------------------------------------------------- workers that are lost


def test_what_a_killed_worker_had_to_do_is_done_by_another(
    folder: Path, there: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.start("a", preload=stand_in(folder, '(here / "busy").touch(); time.sleep(600)'))
    there.wait_for("a")

    def kill() -> None:
        wait_until((folder / "busy").exists)
        there.start("b", preload=stand_in(folder))
        there.wait_for("a", "b")
        there.kill("a")

    with meanwhile(kill):
        code, _ = grade(folder, there)
    assert code == 0
    shutil.copytree(folder / "submitted", folder / "here" / "submitted")
    made = StandIn()
    monkeypatch.setattr(Engine, "grade", lambda _, *arguments: made.grade(*arguments))
    options = "--isolation", "none", "--no-gradebook"
    assert command.grade(CHAPTER, folder / "here", *options)[0] == 0
    assert len(results(folder)) == 3
    assert results(folder) == results(folder / "here")


def test_who_kills_two_workers_is_given_up_and_the_others_are_graded(
    folder: Path, there: Workers
) -> None:
    there.start("a", "b", "c", preload=stand_in(folder, KILL))
    there.wait_for("a", "b", "c")
    code, records = grade(folder, there)
    assert code == 1
    assert {name: record["status"] for name, record in records.items()} == {
        "ada": "graded",
        "bo": "failed",
        "chen": "graded",
    }
    assert "2 workers were lost while they graded it: " in records["bo"]["reason"]
    assert len(there.names()) == 1


def test_a_worker_that_comes_late_is_given_work(folder: Path, there: Workers) -> None:
    wait = '(here / "busy").touch(); wait_until((here / "done").exists)'
    there.start("a", preload=stand_in(folder, wait))
    there.wait_for("a")

    def come_late() -> None:
        wait_until((folder / "busy").exists)
        there.start("b", preload=stand_in(folder, '(here / "done").touch()'))

    with meanwhile(come_late):
        code, records = grade(folder, there)
    assert code == 0
    assert {record["status"] for record in records.values()} == {"graded"}


def sleep_on(name: str, number: int) -> int:
    """The number after the next, except on one worker, which does not answer."""
    while str(cluster.this_worker().name) == name:
        time.sleep(1)
    return number + 1


def accept() -> str:
    return ""


def refuse_b() -> str:
    return "it is b" if cluster.this_worker().name == "b" else ""


def leave_a_mark(folder: Path) -> None:
    (folder / f"called-{os.getpid()}").touch()


async def release_nothing(dask_worker: Worker) -> None:
    pass


def test_a_worker_that_does_not_answer_gives_its_work_back(
    there: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    there.start("a", "b")
    there.wait_for("a", "b")
    with Cluster(there.address, accept, release_nothing, 10) as made:
        assert made.submit(operator.add, 1, 1).result() == 2
        wait_until(lambda: made.at_once == 2)  # else b could do everything before a is ready
        futures = [made.submit(sleep_on, "a", number) for number in range(9)]
        assert [future.result() for future in futures] == list(range(1, 10))
    assert "worker a (tcp://" in caplog.text
    assert "no answer in 10 s" in caplog.text


def test_a_call_that_fails_is_no_lost_worker(there: Workers) -> None:
    there.start("a")
    there.wait_for("a")
    with Cluster(there.address, accept, release_nothing, 60) as made:
        with pytest.raises(ZeroDivisionError):
            made.submit(operator.truediv, 1, 0).result()
        with pytest.raises(TypeError, match="serialize"):
            made.submit(operator.add, threading.Lock(), 1).result(60)
        assert made.submit(operator.add, 1, 1).result() == 2


def test_who_waits_for_a_call_that_was_cancelled_hears_of_it_at_the_end(there: Workers) -> None:
    there.start("a")
    there.wait_for("a")
    with Cluster(there.address, accept, release_nothing, 60) as made:
        under_way = made.submit(sleep_on, "a", 1)
        wait_until(under_way.running)
        waiting = made.submit(operator.add, 1, 1)
        assert waiting.cancel()
    assert wait([under_way, waiting], timeout=0).not_done == set()


def test_ctrl_c_keeps_what_is_graded_and_ends_what_workers_do(
    folder: Path, there: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = 'if student != "ada": wait_until((here / "closed").exists)'
    there.start("a", preload=stand_in(folder, wait))
    there.wait_for("a")
    real = recorder.Recorder.__call__

    def interrupt(self: recorder.Recorder, sha256: str, graded: Result) -> None:
        real(self, sha256, graded)
        raise KeyboardInterrupt

    monkeypatch.setattr(recorder.Recorder, "__call__", interrupt)
    where = "--submitted", folder / "submitted", "--isolation", "none", "--no-gradebook"
    code, output = run("grade", CHAPTER, *where, "--scheduler", there.address)
    assert code == 130
    assert "1 of 3 have been graded and are kept" in " ".join(output.split())
    wait_until((folder / "closed").exists)


def test_when_the_scheduler_goes_what_was_graded_is_kept(
    folder: Path, there: Workers, impatient: None
) -> None:
    wait = 'if student != "ada": (here / "busy").touch(); time.sleep(600)'
    there.start("a", preload=stand_in(folder, wait))
    there.wait_for("a")

    def go() -> None:
        wait_until((folder / "busy").exists)
        there.cluster.close()

    with meanwhile(go):
        code, records = grade(folder, there)
    assert code == 1
    assert records["ada"]["status"] == "graded"
    assert "not begun: the connection to the scheduler was lost" in records["chen"]["reason"]


# ---------------------------------------------------------------- workers that are refused


@pytest.mark.parametrize(
    ("preload", "problem"),
    [
        (
            "from autograder.sandbox import doctor\n"
            "doctor.examine = lambda _: [doctor.Finding('no network', False, 'it worked')]",
            "full isolation does not hold there: no network: it worked",
        ),
        (
            "from autograder.classroom import worker\n"
            "worker.installed_versions = lambda names: {**dict.fromkeys(names, '1'), 'torch': '0'}",
            "torch is 0 there and",
        ),
        (
            "from autograder.classroom import worker\nworker.own_code = lambda: 'other'",
            "its copy of this project's code is another than here",
        ),
    ],
)
def test_a_worker_that_would_give_other_marks_is_refused_by_name(  # noqa: PLR0913
    preload: str,
    problem: str,
    folder: Path,
    there: Workers,
    impatient: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    course = make_course(folder / "course")
    (course.root / "requirements.lock").write_text("torch==2\n")
    monkeypatch.chdir(course.root)
    there.start("weak", preload=preload)
    there.wait_for("weak")
    where = "--submitted", folder / "submitted", "--no-gradebook"
    code, output = run("grade", CHAPTER, *where, "--scheduler", there.address)
    assert code == 1
    assert problem in caplog.text
    assert "worker weak (tcp://" in caplog.text
    assert "no worker that can be used" in output
    assert not (folder / "reports" / CHAPTER / "records").exists()


def test_a_refused_worker_gets_nothing_and_another_does_all(there: Workers, tmp_path: Path) -> None:
    there.start("a", "b")
    there.wait_for("a", "b")
    with Cluster(there.address, refuse_b, release_nothing, 60) as made:
        for future in [made.submit(leave_a_mark, tmp_path) for _ in range(9)]:
            future.result()
    assert [path.name for path in tmp_path.iterdir()] == [f"called-{there.processes['a'].pid}"]


def test_without_a_scheduler_there_is_a_sentence(folder: Path, impatient: None) -> None:
    where = "--submitted", folder / "submitted", "--no-gradebook"
    code, output = run("grade", CHAPTER, *where, "--scheduler", "tcp://127.0.0.1:1")
    assert code == 1
    assert "127.0.0.1:1 cannot be reached" in output


def test_a_scheduler_without_workers_is_a_sentence(
    folder: Path, there: Workers, impatient: None
) -> None:
    where = "--submitted", folder / "submitted", "--no-gradebook"
    code, output = run("grade", CHAPTER, *where, "--scheduler", there.address)
    assert code == 1
    assert "has no worker that can be used" in output


def test_what_is_no_address_is_wrong_usage(folder: Path) -> None:
    where = "--submitted", folder / "submitted", "--no-gradebook"
    code, output = run("grade", CHAPTER, *where, "--scheduler", "the cluster")
    assert code == 2
    assert "'the cluster' is no address" in " ".join(output.replace("│", " ").split())


def test_the_executor_gives_up_what_costs_two_workers_and_says_when_none_is_left(
    there: Workers, impatient: None
) -> None:
    there.start("a", "b")
    there.wait_for("a", "b")
    with Cluster(there.address, accept, release_nothing, 60) as made:
        with pytest.raises(GivenUp, match="2 workers were lost"):
            made.submit(os._exit, 1).result()
        with pytest.raises(NobodyGrades, match="no worker"):
            made.submit(operator.add, 1, 1).result()
