"""The real chapter: the marks of the sample class, and those that stock nbgrader gives."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from command import grade, gradebook_scores, hand_in
from sample_class import CHAPTER, ROOT, answer, as_bytes, everything, fill, stock_config, students
from tiny import graded

from autograder.course.source import Assignment

NOTEBOOK = "concepts.ipynb"


@pytest.fixture(autouse=True)
def in_the_course(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_sample_class_has_its_marks(tmp_path: Path, assignment: Assignment) -> None:
    """What `make demo` shows."""
    hand_in(tmp_path, CHAPTER, NOTEBOOK, {name: make() for name, make in students().items()})
    code, records = grade(CHAPTER, tmp_path, "--jobs", 2)
    tested = [exercise for exercise in assignment.exercises if exercise.test_id]
    assert code == 0
    assert {name: (r["status"], r["score"]) for name, r in records.items()} == {
        "ada": ("graded", sum(exercise.points for exercise in tested)),
        "bruno": ("graded", 32),
        "chen": ("graded", 22),
        "dilnoza": ("graded", 30.5),
        "emeka": ("graded", 8.75),
        "freya": ("graded", 0),
        "goran": ("graded", 33),
        "hiroko": ("graded", 31.75),  # the two checks that call what kills
        "ines": ("graded", 33),
        "jonas": ("rejected", None),
        "katya": ("graded", 33),
        "luis": ("rejected", None),
    }
    assert records["goran"]["repairs"] == ["attention: interrupted after 25 s"]
    assert "interrupted after it had printed" in records["ines"]["repairs"][0]
    repaired = [note.split(":")[0] for note in records["katya"]["repairs"]]
    assert repaired == [exercise.test_id for exercise in tested]
    (budget,) = (e for e in records["hiroko"]["exercises"] if e["id"] == "budget")
    assert [check["outcome"] for check in budget["checks"]].count("kernel died") == 2


def test_nbgrader_gives_the_same_scores_with_and_without_the_plug_in(
    tmp_path: Path, assignment: Assignment
) -> None:
    """Honest submissions: `autograder grade`, `nbgrader autograde`, stock `nbgrader autograde`.

    Between them, all right; some of each exercise's checks failed; a cell that does not compile;
    and untouched exercises.
    """
    mixed = {
        "budget": answer("budget", "wrong_no_norms"),
        "attention": answer("attention", "wrong_blind_row_is_nan"),
        "digits_cnn": answer("digits_cnn", "wrong_no_validation"),
        "gan": "def loss(real, fake)\n    return 0",
    }
    honest = {"ada": as_bytes(fill(everything())), "mixed": as_bytes(fill(mixed))}
    ours, plugin, stock = (tmp_path / name for name in ("ours", "plugin", "stock"))
    for folder in (ours, plugin, stock):
        hand_in(folder, CHAPTER, NOTEBOOK, honest)
    grade(CHAPTER, ours, "--jobs", 2)
    for folder in (plugin, stock):
        (folder / "source" / CHAPTER).mkdir(parents=True)
        nbformat.write(assignment.source, folder / "source" / CHAPTER / NOTEBOOK)
        # The plug-in reads the chapter's text; nbgrader's configuration keeps it from students.
        shutil.copytree(ROOT / "source", folder / "source", dirs_exist_ok=True)
    shutil.copy(ROOT / "nbgrader_config.py", plugin)
    (stock / "nbgrader_config.py").write_text(stock_config())
    for folder in (plugin, stock):
        for command in ("generate_assignment", "autograde"):
            done = subprocess.run(
                [sys.executable, "-m", "nbgrader", command, CHAPTER],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    scores = gradebook_scores(CHAPTER, ours)
    assert gradebook_scores(CHAPTER, plugin) == scores
    assert gradebook_scores(CHAPTER, stock) == scores
    assert len(scores) == len(assignment.exercises) * len(honest)
    partial = [scores["mixed", f"test_{name}"] for name in ("budget", "attention", "digits_cnn")]
    assert all(partial)


def test_the_same_mark_with_one_thread_and_two(assignment: Assignment) -> None:
    """A network that is trained by Keras."""
    notebook = fill({"digits_cnn": answer("digits_cnn", "right_functional_api")})
    one, two = (graded(assignment, notebook, threads=n).report for n in (1, 2))
    for report in (one, two):
        assert {e.id: e.score for e in report.exercises if e.score} == {"digits_cnn": 10}
