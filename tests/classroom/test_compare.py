"""`autograder report --compare` and `--similarity`, as an instructor gives them, ungraded."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from command import run
from sample_class import as_bytes, fill
from tiny import NOTEBOOK, cell, check, exercise, function, release, write_chapter
from tiny import TINY as CHAPTER

from autograder.classroom.compare import compare, read_run, run_of
from autograder.classroom.marks import Mark
from autograder.classroom.records import ClassFolder, Record
from autograder.classroom.standing import Entry
from autograder.course.cells import grade_id
from autograder.course.source import Course
from autograder.results import CheckResult, Code, ExerciseResult, Outcome, Remark, Report, Status

P, F = Outcome.PASSED, Outcome.FAILED
ADA = "def mean(values):\n    # mine\n    return sum(values) / len(values)\n"


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A chapter with two exercises; the current folder is the course's."""
    monkeypatch.chdir(tmp_path)
    return write_chapter(
        tmp_path,
        cell("setup", "from autograder.checks import Checks, probe"),
        exercise("mean", function("mean", "return 0", "values"), check("of_two", "pass"), 1),
        exercise(
            "spread", function("spread", "return 0", "values"), check("of_one", "pass", points=2), 2
        ),
    )


def report(student: str, *outcomes: Outcome) -> Report:
    exercises = []
    for id, outcome, points in zip(("mean", "spread"), outcomes, (1.0, 2.0), strict=True):
        earned = points if outcome is P else 0.0
        checks = [CheckResult(f"{id}_check", f"The {id} is right.", True, outcome, earned, points)]
        exercises.append(ExerciseResult(id, id, earned, points, checks))
    score = sum(e.score or 0 for e in exercises)
    return Report(student, CHAPTER, Status.GRADED, [], score, 3.0, 1.0, [], exercises)


def rejected(student: str) -> Report:
    return Report(student, CHAPTER, Status.REJECTED, [Remark.of(Code.EMPTY)])


def record(folder: Path, reports: Iterable[Report]) -> None:
    """As if these were what was found in what students have handed in."""
    for one in reports:
        (folder / "submitted" / one.student / CHAPTER).mkdir(parents=True, exist_ok=True)
        ClassFolder(folder / "submitted").write_record(Record("key", one))


BEFORE = [report("ada", P, P), report("bo", F, P), report("cy", F, F), report("ed", P, P)]
NOW = [report("ada", P, P), report("bo", P, P), report("cy", P, F), rejected("ed")]


@pytest.mark.parametrize("place", ["grades.json", ".", "class"])
def test_compare_says_who_moved_and_by_which_checks(
    course: Course, tmp_path: Path, place: str
) -> None:
    record(tmp_path, [*BEFORE, report("gone", F, F)])
    earlier = tmp_path / "earlier" / "reports" / CHAPTER
    assert run("report", CHAPTER, "--output", earlier)[0] == 0
    (tmp_path / "submitted" / "gone" / CHAPTER).rmdir()
    record(tmp_path, [*NOW, report("new", P, P)])
    other = tmp_path / "earlier" if place == "class" else earlier / place
    code, said = run("report", CHAPTER, "--compare", other)
    lines = [line.split() for line in said.splitlines()]
    assert code == 0
    assert ["bo", "2", "3", "+1"] in [line[:4] for line in lines]
    assert ["cy", "0", "1", "+1"] in [line[:4] for line in lines]
    assert ["ed", "3", "rejected"] in lines
    assert "mean: 0 → 1 (“The mean is right” failed → passed: 0 → 1)" in said
    assert "ada" not in said.split()
    assert ["2", "mean", "The", "mean", "is", "right.", "failed", "passed"] in lines
    assert "3 of 4 submissions differ: 2 have more points, 0 fewer." in said
    assert "Mean: 1.67 before, 2.33 now." in said
    assert "Only before: gone" in said and "Only now: new" in said
    assert (tmp_path / "reports" / CHAPTER / "index.html").exists()


def test_compare_reads_what_it_then_replaces(course: Course, tmp_path: Path) -> None:
    record(tmp_path, BEFORE)
    run("report", CHAPTER)
    record(tmp_path, NOW)
    grades = tmp_path / "reports" / CHAPTER / "grades.json"
    assert "3 of 4 submissions differ" in run("report", CHAPTER, "--compare", grades)[1]
    assert "0 of 4 submissions differ" in run("report", CHAPTER, "--compare", grades)[1]


def test_compare_knows_the_earlier_mark_of_who_is_rejected_now(tmp_path: Path) -> None:
    mark = replace(Mark.of(report("ed", P, F)), late_penalty=0.5)
    entry = Entry(rejected("ed"), mark)
    earlier = tmp_path / "grades.json"
    earlier.write_text(json.dumps([entry.as_json()]))
    (before,) = read_run(earlier, CHAPTER)
    assert compare([before], [run_of(entry)]).differences == []
    moved = replace(entry, mark=replace(mark, late_penalty=0))
    (difference,) = compare([before], [run_of(moved)]).differences
    assert (difference.before, difference.after, difference.by) == ("0.5", "1", 0.5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "there is no grades.json to compare with"),
        ("{", "is not a grades.json that this version can read"),
        ('[{"student": "ada"}]', "is not a grades.json that this version can read"),
        ("[3]", "is not a grades.json that this version can read"),
        ("other chapter", "is about ch98_other, not about ch99_tiny"),
    ],
)
def test_compare_refuses_what_is_no_run(
    course: Course, tmp_path: Path, text: str | None, problem: str
) -> None:
    record(tmp_path, BEFORE)
    other = tmp_path / "other.json"
    if text == "other chapter":
        run("report", CHAPTER)
        text = (tmp_path / "reports" / CHAPTER / "grades.json").read_text()
        text = text.replace(CHAPTER, "ch98_other")
    if text is not None:
        other.write_text(text)
    code, said = run("report", CHAPTER, "--compare", other)
    assert code == 2
    assert problem in " ".join(said.replace("│", " ").split()).replace("- ", "-")


def executed(
    folder: Path, course: Course, student: str, name: str = NOTEBOOK, **answers: str
) -> None:
    """As grading leaves it in autograded/."""
    notebook = fill(answers, release(course.assignment(CHAPTER)))
    test = next(i for i, c in enumerate(notebook.cells) if grade_id(c) == "test_mean")
    added = nbformat.v4.new_code_cell("%matplotlib inline\nhelper = 1\n!ls")
    notebook.cells.insert(test, added)
    path = folder / "autograded" / student / CHAPTER / name
    path.parent.mkdir(parents=True)
    path.write_bytes(as_bytes(notebook))


def test_similarity_writes_code_and_shows_what_was_found(course: Course, tmp_path: Path) -> None:
    record(tmp_path, [report("ada", P, P), report("bo", P, F), report("cy", F, F), rejected("ed")])
    executed(tmp_path, course, "ada", mean=ADA)
    executed(tmp_path, course, "bo", mean=ADA)
    folder = tmp_path / "code"
    stale = folder / "mean" / "submissions" / "left"
    stale.mkdir(parents=True)
    (stale / "mean.py").write_text("old")
    code, said = run("report", CHAPTER, "--similarity", folder)
    assert code == 0
    assert f"Code of 2 submissions: {folder}" in said and "no notebook of theirs: cy." in said
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert files == [
        f"{id}/{name}"
        for id in ("mean", "spread")
        for name in (
            "info.csv",
            f"submissions/ada/{id}.py",
            f"submissions/bo/{id}.py",
            f"template/{id}.py",
        )
    ]
    assert (folder / "mean/submissions/ada/mean.py").read_text() == f"{ADA}\nhelper = 1\n"
    given = (folder / "mean/template/mean.py").read_text()
    assert "def mean(values)" in given and "###" not in given
    assert "helper" not in (folder / "spread/submissions/ada/spread.py").read_text()
    with (folder / "mean/info.csv").open(newline="") as file:
        assert [row["filename"] for row in csv.DictReader(file)] == [
            "submissions/ada/mean.py",
            "submissions/bo/mean.py",
        ]
    page = tmp_path / "reports" / CHAPTER / "index.html"
    assert "no result of JPlag or Dolos there yet" in page.read_text()

    # What JPlag's --csv-export and Dolos's csv format look like.
    (folder / "mean/jplag").mkdir()
    (folder / "mean/jplag/results.csv").write_text(
        "submissionName1,submissionName2,averageSimilarity,maxSimilarity\nada,bo,0.97,0.99\n"
    )
    (folder / "spread/dolos").mkdir()
    (folder / "spread/dolos/pairs.csv").write_text(
        "id,leftFileId,leftFilePath,rightFileId,rightFilePath,similarity,totalOverlap,"
        "longestFragment\n"
        "1,0,submissions/ada/spread.py,1,submissions/bo/spread.py,0.5,9,9\n"
        "2,0,submissions/ada/spread.py,2,template/spread.py,0.9,9,9\n"
    )
    assert run("report", CHAPTER, "--similarity", folder)[0] == 0
    text = page.read_text()
    assert "Similarity is not proof" in text
    assert "JPlag: 1 pairs" in text and "Dolos: 1 pairs" in text
    assert "<b>97%</b>" in text and "<b>50%</b>" in text and "<b>90%</b>" not in text
    run("report", CHAPTER)
    assert "Similar code" not in page.read_text()


@pytest.mark.parametrize("row", ["ada,bo,much,1", "ada,bo,7,1", "ada,bo", "ada"])
def test_a_result_that_is_none_is_refused(course: Course, tmp_path: Path, row: str) -> None:
    record(tmp_path, [report("ada", P, P), report("bo", P, F)])
    path = tmp_path / "code" / "mean" / "jplag" / "results.csv"
    path.parent.mkdir(parents=True)
    path.write_text(f"submissionName1,submissionName2,averageSimilarity,maxSimilarity\n{row}\n")
    code, said = run("report", CHAPTER, "--similarity", tmp_path / "code")
    assert code == 2 and "is not what JPlag writes" in " ".join(said.replace("│", " ").split())


def test_dolos_and_jplag_read_python(course: Course, tmp_path: Path) -> None:
    """What is written has to be code that their parsers take: here Python's own."""
    record(tmp_path, [report("ada", P, P)])
    executed(tmp_path, course, "ada", mean="%%time\n" + ADA + "mean?\n")
    run("report", CHAPTER, "--similarity", tmp_path / "code")
    for path in (tmp_path / "code").rglob("*.py"):
        compile(path.read_text(), path.name, "exec")
