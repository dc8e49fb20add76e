"""docs/coverage.md: every topic, broken program and claim has a place in the course."""

from __future__ import annotations

import re

import nbformat
import pytest
from sample_class import ROOT

from autograder.course.build import solved_path
from autograder.course.source import Course

ROW = re.compile(r"^\| ([CP]?\d+) \| (.+?) \| (.*) \|$", re.MULTILINE)
PLACE = re.compile(r'(W?\d+\.\d+)(?:: "(.+?)")?(?:, |$)')


def rows() -> list[tuple[str, str, str]]:
    return ROW.findall((ROOT / "docs" / "coverage.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sections(course: Course) -> dict[str, str]:
    """The text of each section of the solved chapters, by its label."""
    found: dict[str, str] = {}
    for name in course.chapters:
        solved = nbformat.read(solved_path(course, course.assignment(name)), as_version=4)
        label = ""
        for cell in solved.cells:
            if cell.cell_type == "markdown" and (heading := re.match(r"## (\S+)", cell.source)):
                label = heading[1]
            found[label] = found.get(label, "") + cell.source.lower() + "\n"
    return found


def test_all_programs_and_claims_are_listed_once() -> None:
    ids = [id_ for id_, _, _ in rows() if not id_.isdigit()]
    assert ids == [f"C{i}" for i in range(1, 7)] + [f"P{i}" for i in range(1, 41)]


def test_every_chapter_has_topics(course: Course) -> None:
    numbers = {int(id_) for id_, _, _ in rows() if id_.isdigit()}
    assert numbers == set(range(1, len(course.chapters) + 1))


@pytest.mark.parametrize(("id_", "what", "where"), rows(), ids=lambda value: value[:40])
def test_what_is_listed_is_there(id_: str, what: str, where: str, sections: dict[str, str]) -> None:
    """Each place is a section that there is, and has the words that are quoted from it."""
    places = PLACE.findall(where)
    assert places, f"{id_}, {what}: no place"
    assert PLACE.sub("", where) == ""
    for label, words in places:
        assert label in sections, f"{id_}, {what}: there is no section {label}"
        assert words.lower() in sections[label], f"{id_}, {what}: not in {label}: {words}"
