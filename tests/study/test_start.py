"""The start page says what there is, how far one is, and what to do next."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sample_class import ROOT

from autograder.course.source import Course
from autograder.results import CheckResult, Outcome
from autograder.study import start
from autograder.study.contents import Chapter, Row, read_chapters
from autograder.study.progress import Progress

ROWS = (
    Row("1.1", "Sums", "add", "20 min", 20, "sum", 5),
    Row("1.2", "Products", "multiply", "45 min, or more", 45, "product", 7),
    Row("1.3", "A picture", "look", "10 min", 10, None, 0),
    Row("W1.1", "Claims", "correct", "30 min", 30, None, 12),
)
CHAPTER = Chapter("ch01_one", "one.ipynb", "Chapter 1 · One", ROWS)
NOW = datetime.now(UTC)


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress.sqlite")


def attempt(progress: Progress, exercise: str, score: float, most: float) -> None:
    outcome = Outcome.PASSED if score == most else Outcome.FAILED
    check = CheckResult("a", "A.", True, outcome, score, most)
    progress.attempt("ch01_one", exercise, score, most, [check])


def page(progress: Progress, now: datetime = NOW) -> str:
    return start.render([CHAPTER], progress, ["01_one.ipynb"], now)


def line(text: str, begins: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(begins))


def test_a_new_learner_sees_where_to_begin(progress: Progress) -> None:
    text = page(progress)
    assert line(text, "**Next step:**") == (
        "**Next step:** open [Chapter 1 · One](ch01_one/one.ipynb) and read to the first exercise, "
        "[1.1 Sums](ch01_one/one.ipynb) (20 min)."
    )
    assert "| about 2 hours | 0 of 2 exercises | 0 of 12 |" in text
    assert text.count("not started") == 2
    assert "[01_one.ipynb](solved/01_one.ipynb)" in text
    assert "[AGENTS.md](AGENTS.md)" in text


def test_it_shows_progress_and_goes_on_with_what_was_tried_last(progress: Progress) -> None:
    attempt(progress, "sum", 2, 5)
    attempt(progress, "product", 4, 7)
    progress.hint("ch01_one", "product")
    text = page(progress)
    assert "go on with [1.2 Products]" in line(text, "**Next step:**")
    assert "| 4 of 7 points, 1 check, 1 hint |" in text
    attempt(progress, "product", 7, 7)
    text = page(progress)
    assert "go on with [1.1 Sums]" in line(text, "**Next step:**")
    assert "| solved, 2 checks, 1 hint |" in text
    assert "1 of 2 exercises | 9 of 12 |" in text
    attempt(progress, "sum", 5, 5)
    assert "You have solved every exercise." in page(progress)


def test_after_an_exercise_comes_the_one_behind_it_and_not_the_first(progress: Progress) -> None:
    attempt(progress, "product", 7, 7)
    other = Row("2.1", "Roots", "extract", "20 min", 20, "root", 5)
    chapters = [CHAPTER, Chapter("ch02_two", "two.ipynb", "Chapter 2 · Two", (other,))]
    text = start.render(chapters, progress, [], NOW)
    assert (
        line(text, "**Next step:**") == "**Next step:** [2.1 Roots](ch02_two/two.ipynb) (20 min)."
    )
    progress.attempt("ch02_two", "root", 5, 5, [])
    text = start.render(chapters, progress, [], NOW)
    assert line(text, "**Next step:**") == "**Next step:** [1.1 Sums](ch01_one/one.ipynb) (20 min)."


def test_what_was_solved_long_ago_is_proposed_once_more(progress: Progress) -> None:
    attempt(progress, "sum", 5, 5)
    assert "Solved long ago" not in page(progress)
    later = page(progress, NOW + timedelta(days=60))
    assert "solve [1.1 Sums]" in line(later, "**Solved long ago:**")


def test_every_exercise_of_the_course_has_its_row_with_minutes_and_points(course: Course) -> None:
    chapters = {chapter.name: chapter for chapter in read_chapters(ROOT)}
    assert chapters.keys() <= {*course.chapters}
    for name, chapter in chapters.items():
        graded = {e.id for e in course.assignment(name).exercises if e.test_id}
        assert {row.exercise for row in chapter.rows if row.exercise} == graded
        assert all(row.points for row in chapter.rows if row.exercise)
        assert all(row.minutes and row.title for row in chapter.rows)
        assert re.match(r"Chapter \d+ · ", chapter.title)


def test_a_page_that_somebody_typed_in_is_kept(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    first = start.write(tmp_path)
    assert start.write(tmp_path) == first
    assert len(list((tmp_path / "work").glob("*.md"))) == 1
    first.write_text("my notes")
    start.write(tmp_path)
    assert "start here" in first.read_text()
    assert first.with_stem("START_2").read_text() == "my notes"
