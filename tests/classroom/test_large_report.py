"""The report on a thousand submissions, in a browser: what somebody types, sees and waits for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_page import a_browser
from large_class import HOSTILE, large_class
from playwright.sync_api import Browser, Page, expect

from autograder.classroom.report import write_report
from autograder.classroom.standing import Entry, Standing
from autograder.results import Outcome, Report, Status

STUDENTS = 1000


@pytest.fixture(scope="module")
def standing() -> Standing:
    return large_class(STUDENTS)[0]


@pytest.fixture(scope="module")
def report(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(standing, "Chapter 1", tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def page(report: Path, browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    problems: list[object] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url))
    page.goto(report.as_uri())
    yield page
    assert problems == [report.as_uri()]  # no error, and nothing fetched but the page
    page.close()


def shown(page: Page) -> list[str]:
    """The ids of the students whose rows are not hidden, from top to bottom."""
    rows = page.locator(".student:not([hidden]) .id")
    found: list[str] = rows.evaluate_all("boxes => boxes.map(box => box.firstChild.data)")
    return found


def said(page: Page) -> str:
    return page.get_by_role("status").inner_text()


def test_files_are_small(standing: Standing, report: Path) -> None:
    """The page had 3.9 kB for each submission and grades.json 58."""
    assert report.stat().st_size < 3.6e3 * STUDENTS
    grades = report.with_name("grades.json")
    assert grades.stat().st_size < 34e3 * STUDENTS
    data = json.loads(grades.read_text(encoding="utf-8"))
    assert len(data) == STUDENTS == len(grades.read_text(encoding="utf-8").splitlines()) - 2
    for item, entry in zip(data, standing.entries, strict=True):
        assert Report.from_dict(item) == entry.shown
        assert {"student", "assignment", "status", "reason", "score", "max_score"} <= item.keys()
        assert {"seconds", "repairs", "mark", "history"} <= item.keys()
        for exercise in item["exercises"]:
            assert {"id", "title", "score", "max_score", "checks"} == exercise.keys()
            for check in exercise["checks"]:
                assert {
                    "name",
                    "title",
                    "hidden",
                    "outcome",
                    "points",
                    "max_points",
                    "message",
                } <= (check.keys())


@pytest.mark.parametrize("width", [1280, 800])
def test_the_page_is_neither_long_nor_wide(report: Path, browser: Browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") < 10_000
    assert page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth") == 0
    # Rows and headings are in line.
    for column in (".score", ".strip > :nth-child(3)", ".time"):
        head = {".score": "[data-key=score]", ".time": "[data-key=time]"}.get(
            column, f".head {column}"
        )
        boxes = [page.locator(head).first, page.locator(f".student {column}").first]
        right = [box.evaluate("box => box.getBoundingClientRect().right") for box in boxes]
        assert abs(right[0] - right[1]) < 2
    page.close()


def test_search_finds_names_and_ids(standing: Standing, page: Page) -> None:
    box = page.get_by_role("searchbox", name="Search")
    box.press_sequentially("muller zoe")  # for Zoë Müller
    wanted = [e.report.student for e in standing.entries if e.name == "Zoë Müller"]
    assert wanted and shown(page) == wanted
    assert said(page) == f"{len(wanted)} of 1000 submissions"
    box.fill("s0042")
    assert shown(page) == ["s0042"]
    box.fill("nobody of that name")
    assert shown(page) == []
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("status")).to_have_text("1000 of 1000 submissions")


def test_every_column_sorts(standing: Standing, page: Page) -> None:
    reports = {entry.report.student: entry.shown for entry in standing.entries}
    none = [student for student, report in reports.items() if report.score is None]

    def check(name: str, values: dict[str, float]) -> None:
        for descending in (False, True):
            page.get_by_role("button", name=name, exact=False).first.click()
            found = shown(page)
            figures = [values[student] for student in found[: len(values)]]
            assert figures == sorted(figures, reverse=descending)
            assert len(found) == STUDENTS
            assert set(found[len(values) :]) == reports.keys() - values.keys()
            assert ("descending" if descending else "ascending") in said(page)

    scores = {s: round(r.score, 2) for s, r in reports.items() if r.score is not None}
    assert none
    check("Score", scores)
    assert said(page) == "1000 of 1000 submissions, sorted by Score, descending"
    for index, name in enumerate(("1.1", "1.2")):
        points = {s: r.exercises[index].score or 0.0 for s, r in reports.items() if r.exercises}
        check(f"{name} of", points)
    check("Time", {s: round(r.seconds, 1) for s, r in reports.items()})
    page.get_by_role("button", name="Student").click()
    assert shown(page) == sorted(reports)
    page.get_by_role("button", name="Status").click()
    statuses = [str(reports[student].status) for student in shown(page)]
    assert statuses == sorted(statuses)
    assert page.locator("[aria-pressed=true]").inner_text().startswith("Status")


def test_filters_leave_those_meant(standing: Standing, page: Page) -> None:
    def students(holds: Callable[[Entry], object]) -> list[str]:
        return [entry.report.student for entry in standing.entries if holds(entry)]

    def choose(menu: str, option: str) -> None:
        box = page.get_by_role("combobox", name=menu, exact=True)
        labels = box.locator("option").all_text_contents()
        [label] = [text for text in labels if text.startswith(option)]
        box.select_option(label=label)

    choose("Status", "rejected")
    assert shown(page) == students(lambda entry: entry.report.status is Status.REJECTED)
    page.get_by_role("button", name="Show all").click()
    choose("Flag", "waiting for a mark")
    waiting = students(lambda entry: entry.mark is not None and entry.mark.waiting)
    assert 0 < len(waiting) < STUDENTS and shown(page) == waiting

    wanted = standing.entries[0].report.exercises[1]
    check = wanted.checks[3]

    def fails(entry: Entry) -> bool:
        return any(
            one.outcome not in (Outcome.PASSED, Outcome.NOT_ATTEMPTED)
            for exercise in entry.report.exercises
            for one in exercise.checks
            if (exercise.id, one.name) == (wanted.id, check.name)
        )

    choose("Failed", f"1.2: {check.title}")
    assert shown(page) == [student for student in students(fails) if student in waiting]
    choose("Flag", "with or without")
    assert shown(page) == students(fails)
    page.get_by_role("searchbox").fill(students(fails)[0])
    assert shown(page) == students(fails)[:1]


def test_a_wrong_approach_leads_to_those_who_took_it(page: Page) -> None:
    page.locator(".more summary").first.click()
    approach = page.locator(".approaches > li").first
    count = int(approach.locator("b").first.inner_text())
    named = approach.locator("a").all_inner_texts()
    approach.get_by_role("button", name="show").click()
    assert len(shown(page)) == count > len(named)
    assert shown(page)[: len(named)] == named


def test_a_link_opens_a_row_that_is_filtered_out(page: Page) -> None:
    page.get_by_role("searchbox").fill("s0042")
    link = page.locator(".group a.id").first
    student = link.inner_text()
    link.click()
    row = page.locator("details.student[open]")
    expect(row).to_be_in_viewport()
    assert row.locator(".id").first.inner_text().startswith(student)


def test_a_row_opens_by_keyboard_and_names_its_checks(standing: Standing, page: Page) -> None:
    rows = enumerate(entry.shown for entry in standing.entries)
    number, check = next(
        (index, c)
        for index, report in rows
        for exercise in report.exercises
        for c in exercise.checks
        if c.outcome is Outcome.FAILED
    )
    row = page.locator(f"#s{number}")
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(row.locator(".body li a").first).to_have_text(check.title)
    expect(row.locator(".body li").first).to_contain_text(check.message.split("\n")[0])


def test_a_hostile_name_stays_text(page: Page) -> None:
    page.get_by_role("searchbox").fill("onerror")
    assert shown(page) == ["s0007"]
    row = page.locator("#s7")
    row.locator("summary").click()
    page.get_by_role("button", name="Score").click()
    expect(row.locator(".id .note")).to_have_text(HOSTILE)
    assert page.locator("img").count() == 0
    assert page.title() == "Chapter 1 – class report"


def test_without_scripts_all_is_there(standing: Standing, report: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert not page.get_by_role("searchbox").is_visible()
    assert not page.get_by_role("button", name="show").first.is_visible()
    row = page.locator("details.student").first
    row.locator("summary").click()
    expect(row.locator(".body")).to_be_visible()
    expect(row.locator(".body li").first).to_contain_text("check")
    context.close()
