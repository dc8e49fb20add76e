"""What students get back: `autograder feedback`, the page itself, and how it is handed out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import grade, hand_in, run
from lab_page import a_browser
from nbgrader.api import Gradebook
from nbgrader.utils import notebook_hash
from playwright.sync_api import expect
from sample_class import as_bytes, fill
from tiny import (
    NOTEBOOK,
    TINY,
    cell,
    check,
    exercise,
    function,
    release,
    write_chapter,
    written,
)

from autograder.classroom import feedback_page

SECRET_SCHEME = "Two points for the sum, three for the width."
QUESTION = rf"""
# ## W1 Reasons
#
# Why is $\frac{{q \cdot k}}{{\sqrt{{d}}}}$ divided?
#
# ### BEGIN MARK SCHEME
# {SECRET_SCHEME}
# ### END MARK SCHEME
"""
MEAN = (
    check("mean_of_two", "assert mean([1.0, 3.0]) == 2.0")
    + "### BEGIN HIDDEN TESTS\n"
    + check("mean_of_many", "assert mean([1.0, 2.0, 6.0]) == 3.0", points=2, hint="Which length?")
    + "### END HIDDEN TESTS"
)
CELLS = (
    cell("setup", "from autograder.checks import Checks, probe"),
    exercise("mean", function("mean", "return sum(values) / len(values)", "values"), MEAN, 3),
    cell("question", QUESTION, kind="[markdown] "),
    written("reasons", "Because.", 5),
)
RIGHT = "def mean(values):\n    return sum(values) / len(values)\n"
ANSWER = r"The variance of $\sum_i q_i k_i$ is $d$, so it is < 2 only if scaled."
WORK = {
    "ada": {"mean": RIGHT, "reasons": ANSWER},
    "chen": {"mean": RIGHT.replace("len(values)", "2")},
    "freya": {},
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of three that has been collected from an exchange and graded; and the exchange."""
    root = tmp_path_factory.mktemp("feedback")
    course = write_chapter(root, *CELLS)
    (root / "exchange").mkdir(mode=0o777)
    (root / "exchange").chmod(0o777)
    config = root / "nbgrader_config.py"
    config.write_text(f"{config.read_text()}c.Exchange.root = {str(root / 'exchange')!r}\n")
    assignment = course.assignment(TINY)
    work = {who: as_bytes(fill(what, release(assignment))) for who, what in WORK.items()}
    hand_in(root, TINY, NOTEBOOK, work)
    for who in WORK:
        collected = root / "submitted" / who / TINY
        (collected / "timestamp.txt").write_text("2026-11-30 01:15:00.000000 UTC\n")
        (collected / "submission_secret.txt").write_text(f"secret of {who}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        code, _ = grade(TINY, root)
    assert code == 0
    for who in WORK:
        (root / "autograded" / who / TINY / "submission_secret.txt").write_text(f"secret of {who}")
    return root


@pytest.fixture
def folder(graded: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, as no test before has left it: what was marked by hand and given out is undone."""
    monkeypatch.chdir(graded)
    before = (graded / "gradebook.db").read_bytes()
    autograded = {path: path.read_bytes() for path in graded.glob(f"autograded/*/{TINY}/*")}
    yield graded
    (graded / "gradebook.db").write_bytes(before)
    for path, data in autograded.items():
        path.write_bytes(data)


def mark_by_hand(folder: Path, student: str, points: float, comment: str) -> None:
    """As formgrader does."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        entry = book.find_grade("reasons", "tiny", TINY, student)
        entry.manual_score, entry.needs_manual_grade = points, False
        book.find_comment("reasons", "tiny", TINY, student).manual_comment = comment
        book.db.commit()


def fetched(folder: Path, student: str) -> str:
    """What the student finds in the exchange."""
    name = notebook_hash(secret=f"secret of {student}", notebook_id="tiny")
    return (folder / "exchange" / "large-models" / "feedback" / f"{name}.html").read_text()


def page(folder: Path, student: str) -> str:
    return (folder / "feedback" / student / TINY / "tiny.html").read_text()


def short(page: str) -> str:
    """The text before the notebook, as it is read."""
    body = page.partition("<body>")[2].partition("<details")[0]
    return " ".join(re.sub("<[^>]+>", " ", body).split())


def in_one_line(said: str) -> str:
    """What stands in the box around an error."""
    return " ".join(said.replace("│", " ").split())


def test_what_is_due_is_made_and_released_and_nothing_else(folder: Path) -> None:
    code, said = run("feedback", TINY)
    assert code == 0, said
    assert "made: 3, unchanged: 0, released: 3" in said
    assert "to be marked" in short(fetched(folder, "ada"))
    assert "made: 0, unchanged: 3, released: 0" in run("feedback", TINY)[1]

    mark_by_hand(folder, "ada", 4, "Good, but **why** $d$?")
    code, said = run("feedback", TINY)
    assert code == 0, said
    assert "made: 1, unchanged: 2, released: 1" in said
    read = fetched(folder, "ada")
    assert "7 of 8 points" in short(read)
    assert "Good, but <strong>why</strong> <math>" in read
    assert "to be marked" not in read


def test_the_page_says_what_the_gradebook_says(folder: Path) -> None:
    run("feedback", TINY)
    ada, chen, freya = (short(page(folder, who)) for who in WORK)
    assert "3 of 3 points so far" in ada
    assert "5 more points are to be marked by a person" in ada
    assert "W1 Reasons to be marked (5 points)" in ada
    assert "1 of 8 points" in chen  # the written question has no answer
    assert "✗ failed mean_of_many. (hidden) Hint: Which length? 0 / 2" in chen
    assert "✓ passed mean_of_two. 1 / 1" in chen
    assert "W1 Reasons 0 / 5" in chen
    assert "No response." in chen
    assert "0 / 3 mean Not attempted. Your answer" in freya
    for text in (ada, chen, freya):
        assert "Test cell" not in text
        assert "handed in 2026-11-30 01:15 UTC" in text


def test_the_page_fetches_nothing_and_runs_nothing(folder: Path) -> None:
    run("feedback", TINY)
    read = page(folder, "ada")
    for wanted in ("<script", "<link", "@import", "src=", "url("):
        assert wanted not in read
    assert "<mfrac>" in read  # the question's formula
    assert "<munder><mo" in read or "<msub><mo" in read  # the answer's
    assert "bootstrap" not in read and read.count("<style") == 1  # nbgrader's page inside ours
    assert "\\sum" not in read and "\\frac" not in read


def test_the_page_fits_on_a_phone_and_prints_short(folder: Path) -> None:
    run("feedback", TINY)
    with a_browser() as browser:
        phone = browser.new_page(viewport={"width": 400, "height": 800})
        address = (folder / "feedback" / "chen" / TINY / "tiny.html").as_uri()
        phone.goto(address)
        expect(phone.locator("#notebook .cell").first).not_to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") == 400
        title = phone.locator(".overview th a").first
        title.evaluate("link => link.append(' a longer title of an exercise'.repeat(4))")
        lines = """cell => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            return new Set([...range.getClientRects()].map(box => box.bottom)).size;
        }"""
        assert phone.locator(".overview td").first.evaluate(lines) == 1  # "10 / 10" stays whole
        phone.locator("#exercise-test_mean").get_by_text("Your answer").click()
        expect(phone.locator("[id='cell-id=mean']")).to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") == 400
        paper = browser.new_page()
        paper.goto(address)
        paper.emulate_media(media="print")
        expect(paper.get_by_text("mean_of_two").first).to_be_visible()
        expect(paper.locator("summary")).not_to_be_visible()


def test_mark_schemes_are_shown_only_when_asked_for_and_when_all_work_is_in(folder: Path) -> None:
    run("feedback", TINY)
    assert SECRET_SCHEME not in page(folder, "ada")
    assert SECRET_SCHEME not in fetched(folder, "ada")
    assert "made: 3" in run("feedback", TINY, "--mark-schemes")[1]
    assert SECRET_SCHEME in fetched(folder, "ada")
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        due = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=2)
        book.update_or_create_assignment(TINY, duedate=due)
    code, said = run("feedback", TINY, "--mark-schemes")
    assert code == 2
    assert "no mark schemes before that" in in_one_line(said)
    assert "made: 3" in run("feedback", TINY)[1]
    assert SECRET_SCHEME not in fetched(folder, "ada")


def test_nbgraders_own_command_makes_the_same_page(folder: Path) -> None:
    run("feedback", TINY)
    before = page(folder, "chen")
    done = subprocess.run(
        ["nbgrader", "generate_feedback", TINY, "--force", "--student", "chen"],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert page(folder, "chen") == before


def test_one_page_that_cannot_be_made_holds_up_no_other(folder: Path) -> None:
    run("feedback", TINY)
    (folder / "autograded" / "ada" / TINY / NOTEBOOK).write_text("{")
    mark_by_hand(folder, "chen", 1, "A start.")
    code, said = run("feedback", TINY)
    assert code == 1
    assert "made: 1, unchanged: 1, released: 1" in said
    assert "\nada: " in said
    assert "A start." in fetched(folder, "chen")


def test_work_that_did_not_come_through_the_exchange_gets_a_page_and_a_word(folder: Path) -> None:
    (folder / "autograded" / "freya" / TINY / "submission_secret.txt").unlink()
    mark_by_hand(folder, "freya", 0, "Come and see me.")
    code, said = run("feedback", TINY, "--student", "freya")
    assert code == 0, said
    assert "did not come through the exchange: freya" in said
    assert "Come and see me." in page(folder, "freya")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ch98_none",), "nothing of ch98_none has been graded yet"),
        ((TINY, "--student", "nobody"), "nobody has not been graded"),
    ],
)
def test_what_cannot_be_given_is_a_sentence(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, output = run("feedback", *arguments)
    assert code == 2
    assert said in in_one_line(output)


def test_a_chapter_with_nothing_but_a_due_date_has_not_been_graded(folder: Path) -> None:
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        book.update_or_create_assignment("ch97_announced", duedate=datetime.now(UTC))
    code, said = run("feedback", "ch97_announced")
    assert code == 2
    assert "nothing of ch97_announced has been graded yet" in in_one_line(said)


@pytest.mark.parametrize(
    "formula",
    [
        r"\href{javascript:alert(1)}{x}",
        "<script>alert(1)</script>",
        "a & b",
        r"\unheard{of}",
        "{" * 3_000,
        r"\sqrt{" * 50_000 + "}" * 50_000,  # would end the process
    ],
    ids=["link", "script", "stray", "unknown", "open", "deep"],
)
def test_a_formula_that_is_none_is_shown_as_text(formula: str) -> None:
    shown = feedback_page._mathml(formula, block=False)
    assert "<script" not in shown and "href=" not in shown
    assert shown.startswith(("<code>", "<math>"))


def test_a_later_hand_in_of_what_was_marked_says_so(folder: Path) -> None:
    mark_by_hand(folder, "ada", 4, "Good.")
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        book.find_grade("reasons", "tiny", TINY, "ada").needs_manual_grade = True
        book.db.commit()
    run("feedback", TINY)
    assert "a person will look again" in short(page(folder, "ada"))


def test_a_late_penalty_is_shown(folder: Path) -> None:
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        book.find_submission_notebook("tiny", TINY, "ada").late_submission_penalty = 2
        book.db.commit()
    run("feedback", TINY)
    text = short(page(folder, "ada"))
    assert "1 of 3 points so far" in text and "2 points were taken off for late work" in text
