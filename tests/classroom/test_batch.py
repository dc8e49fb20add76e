"""The command line on a class: gradebook, files, exit codes, parity with stock nbgrader."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import command
import nbformat
import pytest
from command import hand_in, run
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from sample_class import ROOT, as_bytes
from tiny import NOTEBOOK
from tiny import TINY as CHAPTER
from tiny_class import FULL, POINTS, RIGHT, WRITTEN, students
from typer.testing import CliRunner

from autograder import cli
from autograder.checks import MIME_TYPE
from autograder.course.cells import grade_id
from autograder.course.source import Assignment, Course
from autograder.engine.grade import Engine

STATISTICS = {"statistics": RIGHT["statistics"]}
AClass = tuple[Path, int, dict[str, dict]]
Quick = Callable[[Path, str, dict[str, str]], None]


@pytest.fixture
def quick(filled: Callable[[dict[str, str]], NotebookNode]) -> Quick:
    """Puts a student's answers into folder/submitted."""
    return lambda folder, student, answers: hand_in(
        folder, CHAPTER, NOTEBOOK, {student: as_bytes(filled(answers))}
    )


def grade(folder: Path, *options: object) -> tuple[int, dict[str, dict]]:
    return command.grade(CHAPTER, folder, *options)


def gradebook_scores(folder: Path) -> dict[tuple[str, str], float | None]:
    return command.gradebook_scores(CHAPTER, folder)


@pytest.fixture(autouse=True)
def in_the_course(monkeypatch: pytest.MonkeyPatch, tiny_course: Course) -> None:
    monkeypatch.chdir(tiny_course.root)


@pytest.fixture(scope="module")
def a_class(
    tmp_path_factory: pytest.TempPathFactory, tiny_course: Course, tiny_chapter: Assignment
) -> AClass:
    """The whole class, graded once: its folder, the exit code, the records."""
    folder = tmp_path_factory.mktemp("class")
    hand_in(folder, CHAPTER, NOTEBOOK, students(tiny_chapter))
    with contextlib.chdir(tiny_course.root):
        code, records = grade(folder, "--jobs", 2)
    return folder, code, records


def test_every_student_gets_a_record(a_class: AClass) -> None:
    _, code, records = a_class
    assert code == 0
    assert {name: (r["status"], r["score"]) for name, r in records.items()} == {
        "ada": ("graded", POINTS),
        "chen": ("graded", 6),
        "emeka": ("graded", 4),
        "freya": ("graded", 0),
        "goran": ("graded", POINTS),
        "hiroko": ("graded", POINTS - 3),  # the two checks that call what kills
        "ines": ("graded", POINTS),
        "jonas": ("rejected", None),
        "katya": ("graded", POINTS),
        "luis": ("rejected", None),
    }
    assert "ends in the middle" in records["jonas"]["reason"]
    assert "not text" in records["luis"]["reason"]
    assert records["goran"]["repairs"] == ["scale: interrupted after 8 s"]
    assert records["hiroko"]["repairs"] == []
    assert "interrupted after it had printed" in records["ines"]["repairs"][0]
    repaired = [note.split(":")[0] for note in records["katya"]["repairs"]]
    assert repaired == [f"test_{exercise}" for exercise in FULL]
    first = records["hiroko"]["exercises"][0]
    assert [check["outcome"] for check in first["checks"]].count("kernel died") == 2


def test_the_gradebook_agrees_with_the_records(
    a_class: AClass,
) -> None:
    folder, _, records = a_class
    scores = gradebook_scores(folder)
    expected = {
        (student, exercise["id"] if not exercise["checks"] else f"test_{exercise['id']}"): exercise[
            "score"
        ]
        for student, record in records.items()
        for exercise in record["exercises"]
    }
    assert scores == expected
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        assert book.find_submission(CHAPTER, "ada").needs_manual_grade  # the written answer
        assert not book.find_submission(CHAPTER, "freya").needs_manual_grade


def test_autograded_notebooks_are_nbgraders(a_class: AClass) -> None:
    folder, _, records = a_class
    for student, record in records.items():
        path = folder / "autograded" / student / CHAPTER / NOTEBOOK
        assert path.exists() == (record["status"] == "graded")
        if path.exists():
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
            assert path.stat().st_size < 4 * 2**20


def test_nbgrader_writes_feedback_from_them(a_class: AClass, tmp_path: Path) -> None:
    folder, *_ = a_class
    for name in ("autograded", "gradebook.db"):
        source = folder / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_feedback", CHAPTER, "--student=chen"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    page = (tmp_path / "feedback" / "chen" / CHAPTER / "tiny.html").read_text()
    assert "Divide by the square root of the width." in page


def test_the_report_shows_the_class(a_class: AClass) -> None:
    folder, _, records = a_class
    reports = folder / "reports" / CHAPTER
    page = (reports / "index.html").read_text()
    assert all(student in page for student in records)
    with (reports / "grades.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["chen"]["score"] == "6"
    assert rows["luis"]["score"] == ""


def test_a_second_run_grades_nothing_again(
    a_class: AClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, records = a_class

    def refuse(*_: object) -> None:
        raise AssertionError("graded again")

    monkeypatch.setattr(Engine, "grade", refuse)
    assert grade(folder) == (0, records)


def test_only_what_changed_is_graded_again(
    tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(tmp_path, "ada", STATISTICS)
    quick(tmp_path, "bruno", {})
    assert grade(tmp_path)[1]["bruno"]["score"] == 0
    quick(tmp_path, "bruno", STATISTICS)
    seen = []
    real = Engine.grade
    monkeypatch.setattr(
        Engine, "grade", lambda e, a, s, limits: seen.append(s.student) or real(e, a, s, limits)
    )
    records = grade(tmp_path)[1]
    assert seen == ["bruno"]
    assert [records[name]["score"] for name in ("ada", "bruno")] == [6, 6]
    assert gradebook_scores(tmp_path)["bruno", "test_statistics"] == 6
    grade(tmp_path, "--force")
    assert sorted(seen) == ["ada", "bruno", "bruno"]


def test_without_a_gradebook_none_appears_and_a_later_run_fills_it(
    tmp_path: Path, quick: Quick
) -> None:
    quick(tmp_path, "ada", STATISTICS)
    assert grade(tmp_path, "--no-gradebook")[1]["ada"]["score"] == 6
    assert not (tmp_path / "gradebook.db").exists()
    assert not (tmp_path / "autograded").exists()
    grade(tmp_path)
    assert gradebook_scores(tmp_path)["ada", "test_statistics"] == 6


def test_a_gradebook_that_was_made_anew_is_filled_again(tmp_path: Path, quick: Quick) -> None:
    quick(tmp_path, "ada", STATISTICS)
    quick(tmp_path, "bruno", {})
    grade(tmp_path, "--student", "ada")
    (tmp_path / "gradebook.db").unlink()
    grade(tmp_path, "--student", "bruno")
    assert ("ada", "test_statistics") not in gradebook_scores(tmp_path)
    grade(tmp_path)
    assert gradebook_scores(tmp_path)["ada", "test_statistics"] == 6


def test_a_damaged_file_after_a_good_one_is_rejected_and_the_reason_says_what_stands(
    tmp_path: Path,
    quick: Quick,
) -> None:
    quick(tmp_path, "ada", STATISTICS)
    grade(tmp_path)
    (tmp_path / "submitted" / "ada" / CHAPTER / NOTEBOOK).write_text("{")
    record = grade(tmp_path)[1]["ada"]
    assert (record["status"], record["score"]) == ("rejected", 6)  # as the gradebook has it
    assert "keeps the marks of an earlier submission" in record["reason"]
    assert gradebook_scores(tmp_path)["ada", "test_statistics"] == 6


def test_a_damaged_record_is_made_anew(tmp_path: Path, quick: Quick) -> None:
    quick(tmp_path, "ada", STATISTICS)
    grade(tmp_path)
    record = tmp_path / "reports" / CHAPTER / "records" / "ada.json"
    record.write_text(record.read_text()[:100])
    assert grade(tmp_path)[1]["ada"]["score"] == 6


def test_an_empty_timestamp_does_not_cost_the_mark(tmp_path: Path, quick: Quick) -> None:
    quick(tmp_path, "ada", STATISTICS)
    (tmp_path / "submitted" / "ada" / CHAPTER / "timestamp.txt").write_text("")
    assert grade(tmp_path)[1]["ada"]["score"] == 6


def test_a_mark_given_by_hand_survives(tmp_path: Path, quick: Quick) -> None:
    quick(tmp_path, "ada", {"reasons": WRITTEN})
    grade(tmp_path)
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    with Gradebook(url) as book:
        mark = book.find_grade("reasons", "tiny", CHAPTER, "ada")
        mark.manual_score, mark.needs_manual_grade = 3, False
        book.db.commit()
    quick(tmp_path, "ada", {"reasons": WRITTEN, **STATISTICS})
    grade(tmp_path)
    with Gradebook(url) as book:
        mark = book.find_grade("reasons", "tiny", CHAPTER, "ada")
        assert (mark.manual_score, mark.needs_manual_grade) == (3, False)  # the same answer
        assert book.find_submission(CHAPTER, "ada").score == 9


def test_the_graders_own_fault_is_no_mark_and_exit_code_1(
    tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(tmp_path, "ada", STATISTICS)
    quick(tmp_path, "bruno", STATISTICS)
    real, calls = Engine.grade, []

    def faulty(
        engine: Engine, assignment: Assignment, submission: object, limits: object
    ) -> object:
        calls.append(submission.student)
        if submission.student == "bruno":
            raise OSError("no space left on device")
        return real(engine, assignment, submission, limits)

    monkeypatch.setattr(Engine, "grade", faulty)
    code, records = grade(tmp_path)
    assert code == 1
    assert calls.count("bruno") == 2
    assert records["ada"]["score"] == 6
    assert (records["bruno"]["status"], records["bruno"]["score"]) == ("failed", None)
    assert "no space left on device" in records["bruno"]["reason"]
    assert ("bruno", "test_statistics") not in gradebook_scores(tmp_path)
    monkeypatch.setattr(Engine, "grade", real)
    code, records = grade(tmp_path)  # a failure is not kept: the next run tries again
    assert (code, records["bruno"]["score"]) == (0, 6)


def test_only_the_students_asked_for(tmp_path: Path, quick: Quick) -> None:
    for name in ("ada", "bruno"):
        quick(tmp_path, name, {})
    assert list(grade(tmp_path, "--student", "bruno")[1]) == ["bruno"]


def test_a_missing_notebook_is_rejected_and_the_reason_lists_what_is_there(tmp_path: Path) -> None:
    chapter = tmp_path / "submitted" / "ada" / CHAPTER
    chapter.mkdir(parents=True)
    (chapter / "tiny.pdf").write_text("%PDF")
    record = grade(tmp_path)[1]["ada"]
    assert record["status"] == "rejected"
    assert record["reason"] == "tiny.ipynb was not handed in: the folder holds tiny.pdf"
    assert [reason["code"] for reason in record["reasons"]] == ["notebook_missing"]


def test_a_stripped_notebook_with_another_name_and_large_outputs_is_graded(
    tmp_path: Path, filled: Callable[[dict[str, str]], NotebookNode]
) -> None:
    """As a browser downloads it a second time, from a drive that keeps no metadata."""
    notebook = filled(STATISTICS)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("stream", text="x" * 2**21)]
    data = as_bytes(notebook)
    assert len(data) > 10 * 2**20
    hand_in(tmp_path, CHAPTER, NOTEBOOK.replace(".", " (1)."), {"ada": data})
    record = grade(tmp_path)[1]["ada"]
    assert (record["status"], record["score"], record["reason"]) == ("graded", 6, "")
    assert [note["code"] for note in record["notes"]] == ["other_name", "recognised"]
    assert len(record["repairs"]) == 2
    assert gradebook_scores(tmp_path)["ada", "test_statistics"] == 6
    assert (tmp_path / "autograded" / "ada" / CHAPTER / NOTEBOOK).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grade", "ch98_nothing"], "there is no chapter 'ch98_nothing'; there are: ch99_tiny"),
        (["grade", CHAPTER, "--submitted", "nowhere"], "there is no folder nowhere"),
        (["grade", CHAPTER, "--jobs", "0"], "jobs"),
        (["build", "ch98_nothing"], "there is no chapter"),
        (["report", CHAPTER, "--submitted", "nowhere"], "there is no folder"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_a_sentence(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_an_unknown_student_is_wrong_usage(tmp_path: Path, quick: Quick) -> None:
    quick(tmp_path, "ada", {})
    code, output = run("grade", CHAPTER, "--submitted", tmp_path / "submitted", "--student", "zoe")
    assert code == 2
    assert "no submission of ch99_tiny by zoe" in " ".join(output.replace("│", " ").split())


def test_outside_a_course_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, output = run("build")
    assert code == 2
    assert "is not inside a course" in " ".join(output.replace("│", " ").split())


def test_the_autograded_notebook_shows_each_check(
    a_class: AClass,
) -> None:
    folder, _, records = a_class
    path = folder / "autograded" / "chen" / CHAPTER / NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (c for c in notebook.cells if grade_id(c) == "test_scale")
    (table,) = (o for o in cell.outputs if MIME_TYPE in o.get("data", {}))
    shown = table["data"][MIME_TYPE]["checks"]
    (exercise,) = (e for e in records["chen"]["exercises"] if e["id"] == "scale")
    assert shown == [
        {name: value for name, value in check.items() if value is not None}
        for check in exercise["checks"]
    ]


def test_dates_and_links_that_come_with_a_submission_are_not_followed(
    tmp_path: Path, quick: Quick
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the grader's own")
    for name in ("ada", "bruno", "chen"):
        quick(tmp_path, name, STATISTICS)
    submitted = tmp_path / "submitted"
    (submitted / "ada" / CHAPTER / "timestamp.txt").symlink_to(secret)
    (submitted / "bruno" / CHAPTER / "timestamp.txt").write_bytes(b"\xff no date")
    (submitted / "chen" / CHAPTER / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC")
    (submitted / "dilnoza").mkdir()
    (submitted / "dilnoza" / CHAPTER).symlink_to(submitted / "ada" / CHAPTER)
    code, records = grade(tmp_path)
    assert code == 0
    assert {name: record["score"] for name, record in records.items()} == {
        "ada": 6,
        "bruno": 6,
        "chen": 6,
        "dilnoza": None,
    }
    assert "link" in records["dilnoza"]["reason"]
    dates = {
        path.parent.parent.name: path.read_text()
        for path in tmp_path.glob("autograded/*/*/timestamp.txt")
    }
    assert dates == {"ada": "", "bruno": "", "chen": "2026-11-20 10:00:00 UTC"}


def test_a_file_name_that_is_no_text_is_listed_harmlessly(tmp_path: Path, quick: Quick) -> None:
    quick(tmp_path, "ada", STATISTICS)
    chapter = tmp_path / "submitted" / "bruno" / CHAPTER
    chapter.mkdir(parents=True)
    for name in (b"\xff.txt", b"\x1b]0;owned\x07.txt"):
        Path(os.fsdecode(bytes(chapter) + b"/" + name)).touch()
    code, records = grade(tmp_path)
    assert code == 0
    assert records["ada"]["score"] == 6
    assert records["bruno"]["status"] == "rejected"
    assert records["bruno"]["reason"].isprintable()


def test_who_runs_into_a_deadline_is_graded_once(
    tmp_path: Path, quick: Quick, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deadline counts the submission's own time, so there is nothing to be tried again."""
    calls: list[str] = []
    graded_before = Engine.grade

    def counted(
        engine: Engine, assignment: Assignment, submission: object, limits: object
    ) -> object:
        calls.append(submission.student)
        return graded_before(engine, assignment, submission, limits)

    monkeypatch.setattr(Engine, "grade", counted)
    endless = STATISTICS["statistics"] + "\nwhile True:\n    pass\n"
    quick(tmp_path, "ada", {"statistics": endless})
    quick(tmp_path, "bruno", STATISTICS)
    _, records = grade(tmp_path, "--jobs", 2)
    assert sorted(calls) == ["ada", "bruno"]
    assert {name: record["score"] for name, record in records.items()} == {"ada": 6, "bruno": 6}
    assert records["ada"]["repairs"] == ["statistics: interrupted after 8 s"]
