"""The life of a class, played with real parts.

nbgrader's exchange, students with accounts of the operating system, JupyterLab and formgrader in
Chromium, and the commands of the guide. What each part does alone is tested elsewhere; here,
whether they fit.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from accounts import Student, open_to_students, teacher, teachers_lab
from command import run
from lab_page import FRONT, Lab, a_browser, open_page
from nbgrader.api import Gradebook
from other_user import ANOTHER, STUDENT, needs_root, open_folder
from playwright.sync_api import Browser, Locator, expect
from sample_class import as_bytes, fill
from tiny import NOTEBOOK, TINY, cell, check, exercise, function, write_chapter, written

from autograder.course import build
from autograder.course.source import Course

pytestmark = needs_root

SCHEME = "Two points for the sum, three for the width."
QUESTION = f"""
# ## W1 Reasons
#
# Why is the sum divided?
#
# ### BEGIN MARK SCHEME
# {SCHEME}
# ### END MARK SCHEME
"""
HINT = "Try a list of another length."
MANY = "assert mean([1.0, 2.0, 6.0]) == 3.0"
MEAN = (
    check("mean_of_two", "assert mean([1.0, 3.0]) == 2.0", hint="Add, then divide.")
    + "### BEGIN HIDDEN TESTS\n"
    + check("mean_of_many", MANY, points=2, hint=HINT)
    + "### END HIDDEN TESTS"
)
CELLS = (
    cell("setup", "from autograder.checks import Checks, probe"),
    exercise("mean", function("mean", "return sum(values) / len(values)", "values"), MEAN, 3),
    cell("question", QUESTION, kind="[markdown] "),
    written("reasons", "Because.", 5),
)
RIGHT = "def mean(values):\n    return sum(values) / len(values)\n"
RIGHT_FOR_TWO = RIGHT.replace("len(values)", "2")
RIGHT_FOR_THREE = RIGHT.replace("len(values)", "min(3, len(values))")
MORE = "assert mean([1.0, 2.0, 6.0, 7.0]) == 4.0"
COMMENT = "Say why the width counts."
PENALTY = """
from nbgrader.plugins import BasePlugin

class OnePoint(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return min(score, 1.0)
"""
LATE = """
import sys
sys.path.insert(0, str(Path(__file__).parent))
c.AssignLatePenalties.plugin_class = "late.OnePoint"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def course(place: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """Built; its teacher, who is there, has a home of their own."""
    for name in ("course", "teacher"):
        (place / name).mkdir()
    monkeypatch.setenv("HOME", str(place / "teacher"))
    made = write_chapter(place / "course", *CELLS)
    with (made.root / "nbgrader_config.py").open("a") as file:
        file.write(f"c.Exchange.root = {str(place / 'exchange')!r}\n")
    monkeypatch.setattr(build, "execute", lambda notebook, _: notebook)
    monkeypatch.chdir(made.root)
    build.build(made, TINY, log=print)
    return made


@pytest.fixture
def students(course: Course, place: Path) -> list[Student]:
    """Two, with accounts, on the list of the class; the chapter is released."""
    python = open_to_students(course, place / "environment")
    made = []
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        for user, first, last in ((STUDENT, "Ada", "Lovelace"), (ANOTHER, "Bo", "Larsen")):
            student = Student.moves_in(user, place / first.lower(), python)
            book.add_student(student.name, first_name=first, last_name=last)
            made.append(student)
    teacher(course, "release_assignment", TINY)
    return made


def hand_in(student: Student, mean: str, reasons: str) -> None:
    """From a terminal, for the first time or again."""
    work = student.home / TINY / NOTEBOOK
    if not work.exists():
        student.does("fetch_assignment", TINY)
    notebook = nbformat.read(work, as_version=4)
    student.write(work, as_bytes(fill({"mean": mean, "reasons": reasons}, notebook)))
    student.does("submit", TINY)


def autograder(*arguments: object) -> str:
    """What a command of the teacher's says."""
    code, said = run(*arguments)
    assert code == 0, said
    return said


def mark_by_hand(course: Course, student: Student, points: float) -> None:
    """As formgrader does."""
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        entry = book.find_grade("reasons", "tiny", TINY, student.name)
        entry.manual_score, entry.needs_manual_grade = points, False
        book.db.commit()


def marks(course: Course) -> dict[str, set[float]]:
    """Each student's mark as the gradebook, the report's tables and nbgrader's export have it."""
    teacher(course, "export")
    reports = course.root / "reports" / TINY
    said: list[tuple[str, float]] = []
    for table, column in (
        (reports / "grades.csv", "student"),
        (course.root / "grades.csv", "student_id"),
    ):
        with table.open(newline="", encoding="utf-8") as file:
            said += [(row[column], float(row["score"])) for row in csv.DictReader(file)]
    records = json.loads((reports / "grades.json").read_text())
    said += [(record["student"], record["score"]) for record in records]
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        for submission in book.assignment_submissions(TINY):
            score = submission.score - submission.late_submission_penalty
            said.append((submission.student_id, score))
    assert len(said) == 4 * len(records)
    return {name: {score for other, score in said if other == name} for name, _ in said}


def pages(student: Student) -> list[str]:
    """The feedback that the student fetches, of each hand-in, oldest first."""
    student.does("fetch_feedback", TINY)
    found = sorted((student.home / TINY / "feedback").glob("*/tiny.html"))
    assert student.can_read(*found) == [str(path) for path in found]
    return [path.read_text() for path in found]


# ---------------------------------------------------------------- in the browser


def open_panel(browser: Browser, address: str) -> tuple[Lab, Locator]:
    """JupyterLab with nbgrader's list of assignments."""
    page = open_page(browser)
    page.goto(address)
    page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
    page.locator(".lm-Menu-itemLabel", has_text="Assignment List").click()
    return Lab(page, []), page.locator("#nbgrader-assignment-list")


def validate(lab: Lab) -> str:
    """What the Validate button says."""
    lab.page.locator(f"{FRONT} .validate-button").click()
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("Validation Results")
    said = dialog.inner_text()
    dialog.get_by_role("button", name="OK").click()
    expect(dialog).to_have_count(0)
    return said


def fetch_solve_and_submit(browser: Browser, address: str) -> None:
    """As a student does it in JupyterLab."""
    lab, panel = open_panel(browser, address)
    panel.get_by_role("button", name="Fetch").click()
    fetched = panel.locator("#fetched_assignments_list")
    fetched.get_by_text(TINY).click()
    fetched.get_by_text("tiny", exact=True).click()
    lab.wait_for_kernel(NOTEBOOK)
    answer = lab.cell("def mean")
    lab.write(answer, RIGHT.replace("sum", "max"))
    said = validate(lab)
    assert "mean_of_two" in said and "Add, then divide." in said
    assert "Checks(" not in said  # nothing of the test cell's source
    lab.write(answer, RIGHT_FOR_TWO)
    said = validate(lab)
    assert "all visible checks pass" in said
    assert "Hidden checks" in said
    question = lab.page.locator(f"{FRONT} .jp-MarkdownCell", has_text="Your answer here")
    question.dblclick()
    lab.write(question, "Because the *sum* grows.")
    lab.page.keyboard.press("Shift+Enter")
    expect(lab.page.locator(f"{FRONT} .jp-MarkdownCell em", has_text="sum")).to_be_visible()
    lab.save()
    lab.show("Assignments")
    fetched.get_by_role("button", name="Submit").click()
    submitted = panel.locator("#submitted_assignments_list")
    expect(submitted.get_by_role("button", name="Fetch Feedback")).to_be_visible()
    lab.page.close()


def mark_in_formgrader(browser: Browser, course: Course, address: str) -> None:
    """From the report to Ada's written answer, which gets points and a comment."""
    page = open_page(browser)
    page.goto(address.replace("127.0.0.1", "localhost"))  # as Jupyter opens it; this logs in
    page.goto((course.root / "reports" / TINY / "index.html").as_uri())
    page.get_by_text("Ada Lovelace").click()
    page.locator(".student", has_text="Ada Lovelace").get_by_text("Mark in formgrader").click()
    expect(page.locator("body")).to_contain_text(SCHEME)
    answer = page.locator(".nbgrader_cell", has_text="Because the sum grows.")
    # What the gradebook has comes later than the page; what is typed before is not kept.
    # (`formgrader.loaded` waits for MathJax, which is not there without a network.)
    page.wait_for_function("formgrader.grades?.loaded && formgrader.comments?.loaded")
    for field, saved_as, text in (("score", "grade", "4"), ("comment", "comment", COMMENT)):
        with page.expect_response(re.compile(f"/formgrader/api/{saved_as}/")) as saved:
            answer.locator(f".{field}").fill(text)
            page.keyboard.press("Tab")
        assert saved.value.ok
    page.close()


def read_feedback(browser: Browser, address: str) -> str:
    """As a student does it in JupyterLab: the text of the page."""
    # A workspace without tabs that JupyterLab brings back, and to the front.
    lab, panel = open_panel(browser, address.replace("/lab?", "/lab/workspaces/later?"))
    submitted = panel.locator("#submitted_assignments_list")
    expect(submitted).to_contain_text("feedback available to fetch")
    submitted.get_by_role("button", name="Fetch Feedback").click()
    submitted.get_by_text("view feedback").click()
    lab.page.locator(".jp-DirListing-item", has_text="tiny.html").dblclick()
    body = lab.page.frame_locator(".jp-HTMLViewer iframe").locator("body")
    expect(body).to_contain_text("points")
    text = body.inner_text()
    lab.page.close()
    return " ".join(text.split())


# ---------------------------------------------------------------- the tests


def test_from_the_release_to_the_feedback(
    course: Course, students: list[Student], place: Path
) -> None:
    """Ada in JupyterLab, Bo at a terminal, the teacher at both."""
    ada, bo = students
    with ada.lab() as her_lab:
        with a_browser() as browser:
            fetch_solve_and_submit(browser, her_lab)
        hand_in(bo, RIGHT, "Only Bo knows.")
        teacher(course, "collect", TINY)
        autograder("grade", TINY)
        with teachers_lab(course, place / "teacher") as address:
            autograder("report", TINY)  # which knows now where formgrader is
            with a_browser() as browser:
                mark_in_formgrader(browser, course, address)
        autograder("report", TINY)
        autograder("feedback", TINY)
        with a_browser() as browser:
            read = read_feedback(browser, her_lab)
    assert marks(course) == {ada.name: {5.0}, bo.name: {3.0}}
    assert "5 of 8 points" in read
    assert "mean 1 / 3 W1 Reasons 4 / 5" in read
    assert f"mean_of_many. (hidden) Hint: {HINT} 0 / 2" in read
    assert COMMENT in read
    (hers,) = (ada.home / TINY / "feedback").glob("*/tiny.html")
    (his,) = pages(bo)
    assert "3 of 3 points so far" in " ".join(his.split())
    for page, other in ((hers.read_text(), "Only Bo knows."), (his, COMMENT)):
        assert other not in page
        assert SCHEME not in page
    exchange = place / "exchange" / "large-models"
    for student, other in ((ada, bo), (bo, ada)):
        assert student.can_read(student.home) != []
        closed = course.root, other.home, exchange / "inbound", exchange / "feedback"
        assert student.can_read(*closed) == []


def test_a_better_answer_late_work_a_corrected_test_and_a_removal(
    course: Course, students: list[Student], place: Path
) -> None:
    ada, bo = students
    (course.root / "late.py").write_text(PENALTY)
    with (course.root / "nbgrader_config.py").open("a") as file:
        file.write(LATE)
    hand_in(ada, RIGHT_FOR_TWO, "I am Ada.")
    hand_in(bo, RIGHT_FOR_THREE, "I am Bo.")
    teacher(course, "collect", TINY)
    autograder("grade", TINY)
    mark_by_hand(course, ada, 4)
    mark_by_hand(course, bo, 5)
    autograder("feedback", TINY)

    # A better answer: a page of its own, and the person who marked is not asked again.
    hand_in(ada, RIGHT, "I am Ada.")
    teacher(course, "collect", TINY, "--update")
    said = autograder("grade", TINY)
    assert f"moved: {ada.name}: mean: 1 → 3" in said
    assert "look again" not in said
    assert "released: 1" in autograder("feedback", TINY)
    first, second = pages(ada)
    assert "5 of 8 points" in first
    assert "7 of 8 points" in second

    # The due date was an hour ago; Bo had two more.
    due = datetime.now(UTC) - timedelta(hours=1)
    teacher(course, "db", "assignment", "add", TINY, f"--duedate={due:%Y-%m-%d %H:%M:%S} UTC")
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        book.grant_extension(TINY, bo.name, hours=2)
    said = autograder("grade", TINY)
    assert f"moved: {ada.name}: late penalty: 0 → 1" in said
    assert f"moved: {bo.name}" not in said
    assert marks(course) == {ada.name: {6.0}, bo.name: {8.0}}

    # A test that was too weak.
    (section,) = course.assignment(TINY).sections
    section.write_text(section.read_text().replace(MANY, MORE))
    build.build(course, TINY, log=print)
    said = autograder("grade", TINY)
    assert f"moved: {bo.name}: mean: 3 → 1 (“mean_of_many” passed → failed: 2 → 0)" in said
    assert f"moved: {ada.name}" not in said
    assert "released: 2" in autograder("feedback", TINY)
    assert "1 point was taken off for late work" in pages(ada)[-1]
    (page,) = pages(bo)
    assert "6 of 8 points" in page

    # Ada leaves.
    assert any(traces(place, course, ada, "I am Ada."))
    autograder("student", "remove", ada.name, "--yes")
    assert traces(place, course, ada, "I am Ada.") == []
    teacher(course, "collect", TINY, "--update")
    autograder("grade", TINY)
    autograder("feedback", TINY)
    assert traces(place, course, ada, "I am Ada.") == []
    assert marks(course) == {bo.name: {6.0}}


def traces(place: Path, course: Course, student: Student, answer: str) -> list[str]:
    """What in the course's folder and the exchange tells of a student."""
    everything = [p for folder in (course.root, place / "exchange") for p in folder.rglob("*")]
    named = [path for path in everything if student.name in path.name.replace("+", " ").split()]
    texts = [path for path in everything if path.is_file() and answer.encode() in path.read_bytes()]
    return [str(path) for path in (*named, *texts)]
