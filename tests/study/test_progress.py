"""The progress file: what it keeps, what it survives, and `autograder progress`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from studying import make_course
from tiny import TINY
from typer.testing import CliRunner

from autograder.results import CheckResult, Outcome
from autograder.study.commands import app
from autograder.study.progress import LONG_AGO, Progress


def result(hidden: bool = False, outcome: Outcome = Outcome.PASSED) -> CheckResult:
    return CheckResult("one", "One.", hidden, outcome, 1, 1)


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "work" / "progress.sqlite")


def test_reading_makes_no_file(progress: Progress) -> None:
    assert progress.standing("ch01_a", "x").attempts == 0
    assert progress.export()["exercises"] == []
    assert progress.again(datetime.now()) is None
    assert not progress.path.exists()


def test_best_first_pass_hints_and_solution_are_kept(progress: Progress) -> None:
    for score in (1, 3, 2):
        progress.attempt("ch01_a", "x", score, 3, [result()])
    assert [progress.hint("ch01_a", "x"), progress.hint("ch01_a", "x")] == [1, 2]
    progress.solution("ch01_a", "x")
    standing = Progress(progress.path).standing("ch01_a", "x")
    assert (standing.attempts, standing.best, standing.max_score, standing.hints) == (3, 3, 3, 2)
    assert standing.solution_seen and standing.solved
    assert standing.first_pass < standing.last_attempt <= datetime.now(UTC)
    assert progress.standing("ch01_a", "y").attempts == 0


def test_a_renumbered_chapter_keeps_its_progress(progress: Progress) -> None:
    progress.attempt("ch01_concepts", "x", 3, 3, [result()])
    assert progress.standing("ch04_concepts", "x").solved


def test_an_exercise_worth_other_points_after_an_upgrade_keeps_its_share(
    progress: Progress,
) -> None:
    progress.attempt("ch01_a", "x", 4, 4, [result()])
    progress.attempt("ch01_a", "x", 2, 8, [result()])
    assert progress.standing("ch01_a", "x").best == 8


def test_visible_checks_alone_solve_nothing_where_hidden_ones_have_run(progress: Progress) -> None:
    progress.attempt("ch01_a", "x", 3, 3, [result()])
    assert progress.standing("ch01_a", "x").solved
    progress.attempt("ch01_a", "x", 3, 9, [result(), result(hidden=True)])
    standing = progress.standing("ch01_a", "x")
    assert (standing.best, standing.max_score, standing.solved) == (3, 9, False)


def test_an_exercise_solved_long_ago_is_proposed_again(progress: Progress) -> None:
    progress.attempt("ch01_a", "old", 3, 3, [result()])
    progress.attempt("ch01_a", "newer", 3, 3, [result()])
    progress.attempt("ch01_a", "unsolved", 1, 3, [result()])
    now = datetime.now(UTC)
    assert progress.again(now) is None
    assert progress.again(now + LONG_AGO + timedelta(hours=1)) == ("a", "old")
    assert progress.again(datetime.now() + LONG_AGO + timedelta(hours=1)) == ("a", "old")
    progress.attempt("ch01_a", "old", 0, 3, [result()])
    assert progress.again(now + LONG_AGO + timedelta(hours=1)) == ("a", "newer")


def test_two_processes_write_at_once_and_nothing_is_lost(progress: Progress) -> None:
    code = (
        "import sys; from pathlib import Path; from autograder.study.progress import Progress\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(20): Progress(Path(sys.argv[1])).hint('ch01_a', 'x')"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(progress.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0, 0]
    assert progress.standing("ch01_a", "x").hints == 60


@pytest.mark.parametrize("damage", ["no database", "a hole"])
def test_a_file_that_cannot_be_read_is_kept_beside(
    progress: Progress, damage: str, capsys: pytest.CaptureFixture
) -> None:
    progress.attempt("ch01_a", "x", 3, 3, [result()])
    whole = progress.path.read_bytes()
    broken = b"scribbled over" * 99 if damage == "no database" else whole[:100] + b"\xff" * 4000
    progress.path.write_bytes(broken)
    progress.attempt("ch01_a", "x", 1, 3, [result()])
    assert progress.standing("ch01_a", "x").best == 1
    (aside,) = progress.path.parent.glob("progress-unreadable-*.sqlite")
    assert aside.read_bytes() == broken
    said = capsys.readouterr().err
    assert aside.name in said and "could not be read" in said


def test_a_file_that_is_busy_is_not_taken_for_a_broken_one(
    progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress.hint("ch01_a", "x")
    monkeypatch.setattr("autograder.study.progress.SECONDS_TO_WAIT", 0)
    other = sqlite3.connect(progress.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError):
        progress.hint("ch01_a", "x")
    other.execute("ROLLBACK")
    other.close()
    assert [path.name for path in progress.path.parent.iterdir()] == ["progress.sqlite"]
    assert progress.hint("ch01_a", "x") == 2


def test_the_command_shows_chapters_exercises_and_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_course(tmp_path))
    kept = Progress(tmp_path / "work" / "progress.sqlite")
    kept.attempt(TINY, "scale", 3, 3, [result(hidden=True)])
    kept.hint(TINY, "twice")
    shown = CliRunner().invoke(app, ["progress"], catch_exceptions=False).output
    assert "1 of 2 exercises solved" in shown
    assert "9.1 Scale" in shown and "3 of 3 (solved)" in shown
    assert "9.2 Twice" in shown and "not tried" in shown
    assert "█" in shown
    said = CliRunner().invoke(app, ["progress", "--json"], catch_exceptions=False).output
    exercises = {one["exercise"]: one for one in json.loads(said)["exercises"]}
    assert exercises["scale"]["history"][0]["checks"] == {"one": "passed"}
    assert exercises["scale"]["chapter"] == "tiny"
    assert exercises["twice"]["hints"] == 1


def test_the_command_says_where_there_is_no_course(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, ["progress"])
    assert refused.exit_code == 2
    assert "no course and no progress here" in " ".join(refused.output.split())
    assert not list(tmp_path.iterdir())
