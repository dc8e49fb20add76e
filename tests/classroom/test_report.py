"""The class report, checked from outside: its three files against figures computed here."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from statistics import mean, median

import pytest
from lab_page import a_browser

from autograder.classroom import report as class_report
from autograder.classroom.standing import Entry, Standing
from autograder.results import (
    CheckResult,
    Code,
    ExerciseResult,
    Outcome,
    Remark,
    Report,
    Status,
)

TITLE = "Chapter 1 · What large models are made of"
P, F, N = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_ATTEMPTED


def check(name: str, outcome: Outcome, message: str = "") -> CheckResult:
    points = 2.0 if outcome is P else 0.0
    return CheckResult(name, f"Title of {name}", name == "late", outcome, points, 2.0, message)


def graded(
    student: str, *outcomes: Outcome, message: str = "", written: float | None = None
) -> Report:
    """A submission with one exercise of three checks and a written one."""
    names = ("early", "middle", "late")
    checks = [check(name, outcome, message) for name, outcome in zip(names, outcomes, strict=True)]
    score = sum(c.points for c in checks)
    exercises = [
        ExerciseResult("test_heads", "Exercise 1.3 · Heads", score, 6.0, checks),
        ExerciseResult("claims", "W1.1 Claims", written, 12.0),
    ]
    return Report(student, "ch01", Status.GRADED, [], score, 6.0, 3.25, [], exercises)


def rejected(student: str, problem: str = "no cells") -> Report:
    reason = Remark(Code.BAD_FORMAT, "", {"problem": problem})
    return Report(student, "ch01", Status.REJECTED, [reason])


CLASS = [
    graded("ada", P, P, P),
    graded("bo", P, F, F, written=7.5),
    graded("cy", P, P, F),
    graded("di", N, N, N),
    rejected("ed"),
    Report("flo", "ch01", Status.FAILED, [Remark(Code.GRADER_FAILED, "", {"error": "no space"})]),
]


def write_report(reports: list[Report], title: str, folder: Path) -> Path:
    """The report of a class that is graded without a gradebook."""
    return class_report.write_report(Standing([Entry.of(r) for r in reports]), title, folder)


def page_of(reports: list[Report], folder: Path) -> str:
    return write_report(reports, TITLE, folder).read_text(encoding="utf-8")


def figure(page: str, name: str) -> str:
    """The text of a headline figure, without markup."""
    found = re.search(rf'data-figure="{name}">(.*?)</(?:dd|b)>', page, re.DOTALL)
    assert found, f"no figure {name}"
    return " ".join(re.sub(r"<[^>]*>", "", found[1]).split())


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "grades.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def words(page: str, start: str, end: str) -> str:
    """What a reader sees between two marks of the page's source."""
    part = page[page.index(start) :]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", part[: part.index(end)])).split())


def test_headline_leaves_submissions_without_a_mark_out_of_the_averages(tmp_path: Path) -> None:
    page = page_of(CLASS, tmp_path)
    scores = [6.0, 2.0 + 7.5, 4.0, 0.0]
    assert figure(page, "submissions") == "6"
    assert [figure(page, str(status)) for status in Status] == ["4", "1", "1"]
    assert figure(page, "median") == f"{median(scores):g} / 18"
    assert figure(page, "mean") == f"{round(mean(scores), 2):g} / 18"
    assert figure(page, "max-score") == "18"
    assert figure(page, "waiting") == "3"


def test_exercise_row_counts_only_attempts(tmp_path: Path) -> None:
    row = words(page_of(CLASS, tmp_path), '<th scope="row">Exercise 1.3', "</tr>")
    assert "3 / 6" in row
    assert "25% 1 of 4 25% 1 of 4" in row  # full marks, not attempted
    late = row.index("67% 2 of 3 Title of late hidden")
    assert late < row.index("33% 1 of 3 Title of middle visible")
    assert "Title of early" not in row


def test_written_exercise_is_marked_by_hand(tmp_path: Path) -> None:
    row = words(page_of(CLASS, tmp_path), '<th scope="row">W1.1', "</tr>")
    assert "7.5 / 12" in row
    assert row.endswith("marked by hand · waiting for a mark: 3 of 4")


def test_attention_lists_what_needs_a_person(tmp_path: Path) -> None:
    stopped = graded("gil", P, Outcome.TIMED_OUT, Outcome.KERNEL_DIED)
    stopped.notes = [Remark(Code.LOCKED_MISSING, "test_heads")]
    part = words(page_of([*CLASS, stopped], tmp_path), "Needs your attention", "</section>")
    assert "Grading failed (1)" in part
    assert "flo the grader failed: no space" in part
    assert "ed the notebook does not follow the format: no cells" in part
    assert "gil test_heads: this locked cell was missing and was put back" in part
    assert "gil 1.3: timed out (1), kernel died (1)" in part
    assert "ada" not in part


def test_student_row_shows_points_and_the_checks_that_failed(tmp_path: Path) -> None:
    page = page_of([graded("bo", P, F, N, message="one row too many")], tmp_path)
    row = words(page, 'id="s0"', "</details>")
    assert "bo graded 2 1.3 2 W1.1 waits for a mark: – 3.2 s" in row
    assert "failed check 2 0/2 one row too many" in row
    assert "not attempted check 3 0/2" in row
    assert "check 1 " not in row
    assert words(page, 'id="c0-2"', "</th>").startswith('id="c0-2"> 2 Title of middle visible')


@pytest.mark.parametrize("place", ["student", "reason", "repair", "message", "title"])
def test_hostile_text_is_only_text(place: str, tmp_path: Path) -> None:
    attack = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    report = graded("ada", F, F, F, message=attack if place == "message" else "")
    if place == "student":
        report.student = attack
    if place == "reason":
        report = rejected("ada", attack)
    if place == "repair":
        report.notes = [Remark(Code.TYPE_CHANGED, attack, {"type": attack})]
    if place == "title":
        report.exercises[0].title = attack
    page = page_of([report], tmp_path)
    assert page.count("<script") == 1  # the page's own
    assert "<img" not in page
    assert attack in unescape(page)


def test_control_characters_and_escapes_are_gone(tmp_path: Path) -> None:
    message = (
        "\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 "
        "nul\x00back\x08 \x1b]open c1\x9b31m \u202egnp.exe\u202c lone\ud800 tab\tnew\nline"
    )
    page = page_of([graded("ada", F, F, F, message=message)], tmp_path)
    assert "red link nulback open c1 gnp.exe lone\ufffd tab\tnew\nline" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)


def test_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = page_of(CLASS, tmp_path)
    assert not re.search(r"(src|href)=[\"'](?!#)|@import|url\(|https?://", page)


def test_csv_has_one_row_per_student(tmp_path: Path) -> None:
    write_report(CLASS, TITLE, tmp_path)
    rows = table_of(tmp_path)
    assert [row["student"] for row in rows] == [report.student for report in CLASS]
    assert list(rows[0]) == [
        *["student", "name", "assignment", "status", "score", "max_score"],
        *["checks", "written", "late_penalty", "waiting", "test_heads", "claims", "reason"],
    ]
    assert rows[1]["checks"] == rows[1]["test_heads"] == "2"
    assert (rows[1]["written"], rows[1]["score"], rows[1]["max_score"]) == ("7.5", "9.5", "18")
    assert rows[1]["claims"] == "7.5"
    assert rows[0]["claims"] == ""
    assert rows[3]["score"] == "0"
    assert rows[4] == dict.fromkeys(rows[4], "") | {
        "student": "ed",
        "assignment": "ch01",
        "status": "rejected",
        "reason": "the notebook does not follow the format: no cells",
    }


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("\x1b[0m=1", "'=1"),
        ("-12.5", "-12.5"),
        ("+49", "+49"),
        ("-12\n=1", "'-12\n=1"),
        ('a=1, "b"\nÜñí 模型', 'a=1, "b"\nÜñí 模型'),
        ("lone \ud800", "lone \ufffd"),
    ],
)
def test_csv_cells_are_never_formulas(text: str, cell: str, tmp_path: Path) -> None:
    report = rejected("ada", text)
    report.student = text
    write_report([report], TITLE, tmp_path)
    [row] = table_of(tmp_path)
    assert row["student"] == cell


def test_csv_numbers_stay_numbers(tmp_path: Path) -> None:
    report = graded("ada", P, P, F)
    report.exercises[0].score = 0.1 + 0.2
    report.exercises[1].score = -0.1  # a person may deduct points
    write_report([report], TITLE, tmp_path)
    [row] = table_of(tmp_path)
    assert (row["score"], row["claims"]) == ("0.2", "-0.1")


def test_json_gives_the_reports_back(tmp_path: Path) -> None:
    reports = [*CLASS, graded("gil", P, F, F, message="\ud800 \x1b[31m 模型")]
    write_report(reports, TITLE, tmp_path)
    data = json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))
    assert [Report.from_dict(item) for item in data] == [Entry.of(r).shown for r in reports]


def test_same_reports_give_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_report(CLASS, TITLE, tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["grades.csv", "grades.json", "index.html"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_programs_get_sentences_and_codes(tmp_path: Path) -> None:
    report = rejected("ed")
    report.notes = [Remark(Code.TYPE_CHANGED, "heads", {"type": "code"})]
    write_report([report], TITLE, tmp_path)
    (data,) = json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))
    assert data["reason"] == "the notebook does not follow the format: no cells"
    assert data["reasons"] == [
        {"code": "bad_format", "cell": "", "arguments": {"problem": "no cells"}}
    ]
    assert data["repairs"] == ["heads: the cell's type was changed back to code"]
    assert data["notes"] == [
        {"code": "type_changed", "cell": "heads", "arguments": {"type": "code"}}
    ]


def test_a_report_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    before = page_of(CLASS, tmp_path)
    broken = graded("ada", P, P, P)
    broken.exercises[0].score = "six"  # type: ignore[assignment]
    with pytest.raises(TypeError):
        write_report([broken], TITLE, tmp_path)
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 3


def test_empty_class_says_so(tmp_path: Path) -> None:
    page = page_of([], tmp_path)
    assert TITLE in page
    assert "There are no submissions." in page
    assert table_of(tmp_path) == []
    assert json.loads((tmp_path / "grades.json").read_text(encoding="utf-8")) == []


def test_class_without_a_mark_has_no_averages(tmp_path: Path) -> None:
    page = page_of([rejected("ed")], tmp_path)
    assert figure(page, "median") == figure(page, "mean") == "–"
    assert "No submission has a score." in page


def test_chapter_of_written_exercises_only(tmp_path: Path) -> None:
    report = graded("ada", P, P, P)
    report.exercises = report.exercises[1:]
    report.score = report.max_score = 0.0
    page = page_of([report], tmp_path)
    assert figure(page, "waiting") == "1"
    assert figure(page, "median") == "0 / 12"


@pytest.mark.parametrize(
    ("max_score", "scores", "counts"),
    [
        (6, [4], {(4, 5): 1}),
        (6, [6] * 9, {(5, 6): 9}),
        (6, [0, 0.1 + 0.2 + 0.7, 5, 6], {(0, 1): 1, (1, 2): 1, (5, 6): 2}),
        (28, [0, 4.9, 5, 28], {(0, 5): 2, (5, 10): 1, (25, 30): 1}),
        (100, [i % 100 for i in range(500)], {(i, i + 10): 50 for i in range(0, 100, 10)}),
    ],
)
def test_histogram_counts_every_score_once(
    max_score: int, scores: list[float], counts: dict[tuple[int, int], int], tmp_path: Path
) -> None:
    reports = [
        Report(
            f"s{i}",
            "ch01",
            Status.GRADED,
            exercises=[ExerciseResult("heads", "Heads", score, max_score, [check("early", P)])],
        )
        for i, score in enumerate(scores)
    ]
    page = page_of(reports, tmp_path)
    bars = re.findall(r"<title>(\d+) to (\d+) points: (\d+)</title>", page)
    assert {(int(low), int(high)): int(count) for low, high, count in bars} == counts


def test_unanswered_written_work_looks_like_unattempted_code(tmp_path: Path) -> None:
    """It looked like an answer that a person had given 0."""
    by_hand = Entry.of(graded("bo", N, N, N, written=0.0))
    assert by_hand.mark is not None
    claims = replace(by_hand.mark.exercises[1], by_checks=None, by_hand=0.0)
    by_hand = replace(by_hand, mark=replace(by_hand.mark, exercises=(claims,)))
    entries = [Entry.of(graded("ada", N, N, N, written=0.0)), by_hand]
    page = class_report.write_report(Standing(entries), TITLE, tmp_path).read_text()
    ada, bo = page.partition('id="s0"')[2].split('id="s1"')
    assert re.findall(r'<b class="(\w+)"><i>([^<]*)</i>', ada) == [
        ("blank", "1.3 not attempted: "),
        ("blank", "W1.1 not attempted: "),
    ]
    assert "Not attempted: Exercise 1.3 · Heads; W1.1 Claims" in words(ada, "", "</details>")
    assert re.findall(r"<b><i>(W1[^<]*)</i>", bo) == ["W1.1 by hand: "]
    row = words(page, '<th scope="row">W1.1', "</tr>")
    assert "– 50% 1 of 2 marked by hand" in row  # full marks, not attempted


def test_the_page_fits_on_a_phone(tmp_path: Path) -> None:
    """Names stood there letter below letter, and the rows were wider than the screen.

    The chart had labels 5 pixels high, and of the table, half the columns were seen.
    """
    entries = [Entry.of(report) for report in CLASS]
    entries[0] = replace(entries[0], name="Augusta Ada King, Countess of Lovelace")
    page = class_report.write_report(Standing(entries), TITLE, tmp_path)
    with a_browser() as browser:
        phone = browser.new_page(viewport={"width": 390, "height": 800})
        phone.goto(page.as_uri())
        assert phone.evaluate("document.documentElement.scrollWidth") == 390
        for name in phone.locator(".student .id").all():
            assert name.evaluate("box => box.clientWidth || box.offsetWidth") > 90
        labels = phone.locator(".distribution text:visible").all()
        boxes = [label.bounding_box() for label in labels]
        assert min(max(box["width"], box["height"]) for box in boxes if box) > 11
        assert len(boxes) > 8
        for cell in phone.locator("table :is(th, td):visible").all():
            box = cell.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
        label = "cell => getComputedStyle(cell, '::before').content"
        assert phone.locator("td:visible").first.evaluate(label) == '"Mean, difficulty"'
        wide = browser.new_page(viewport={"width": 1280, "height": 800})
        wide.goto(page.as_uri())
        assert wide.locator(".distribution > svg:visible").count() == 1
        assert wide.locator(".exercises > thead th:visible").count() == 6
