"""The course as a site: built once, read as a browser would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup, Tag
from sample_class import ROOT

from autograder.course.build import solved_path
from autograder.course.cells import is_answer
from autograder.course.source import Assignment, Course
from autograder.study.contents import read_chapters


def test_the_site(tmp_path: Path, course: Course) -> None:
    """One test, because the build takes a while; it ends with an error on any warning."""
    command = [sys.executable, ROOT / "docs" / "site" / "build.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {
        path: BeautifulSoup(path.read_text(), "html.parser") for path in tmp_path.rglob("*.html")
    }
    for name in course.chapters:
        assignment = course.assignment(name)
        solved = solved_path(course, assignment)
        page = pages[tmp_path / "chapters" / f"{solved.stem}.html"]
        assert assignment.title in page.get_text()
        assert_plots_are_shown_and_their_code_is_folded(page)
        assert_solutions_are_folded(page, assignment, solved)
        assert page.select(".math")
    assert_all_exercises_are_listed(pages[tmp_path / "exercises.html"])
    assert "dropout" in (tmp_path / "searchindex.js").read_text()
    places = {path: {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    for path, page in pages.items():
        assert links_to_nowhere(path, page, places) == []
        assert requests_elsewhere(page) == []
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text()), style


def assert_all_exercises_are_listed(page: Tag) -> None:
    """As the releases have them: the label and title, what one does, the minutes."""
    tables = [
        [[cell.get_text() for cell in line.select("td")] for line in table.select("tbody tr")]
        for table in page.select("table")
    ]
    chapters = read_chapters(ROOT)
    assert [h.get_text().rstrip("#¶") for h in page.select("h2")] == [c.title for c in chapters]
    assert [[(row[0], row[2]) for row in table] for table in tables] == [
        [(f"{row.label} {row.title}", str(row.minutes)) for row in c.rows] for c in chapters
    ]


def assert_plots_are_shown_and_their_code_is_folded(page: Tag) -> None:
    plots = page.select("div.cell:has(.cell_output img)")
    folded = [plot for plot in plots if plot.select("details:not([open]) .cell_input")]
    assert len(folded) > 10
    assert len(folded) == len(plots)
    assert not page.select("details .cell_output img")


def assert_solutions_are_folded(page: Tag, assignment: Assignment, solved: Path) -> None:
    """Each exercise is on the page as students get it, and its answer only in a fold."""
    tasks = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in assignment.assigned.cells
        if is_answer(cell)
    }
    answers = [cell for cell in nbformat.read(solved, as_version=4).cells if cell.id in tasks]
    code = {cell.id: cell.source for cell in answers if cell.cell_type == "code"}
    closed = page.select("details:not([open])")
    summaries = [fold.summary.get_text().strip() for fold in closed if fold.summary]
    assert summaries.count("A model answer") == len(answers) - len(code)
    inside = [pre.get_text().strip() for fold in closed for pre in fold.select("pre")]
    outside = [
        pre.get_text().strip() for pre in page.select("pre") if not pre.find_parent("details")
    ]
    assert code
    assert set(code.values()) <= set(inside)
    assert not set(code.values()) & set(outside)
    assert {tasks[name] for name in code} <= set(outside)


def links_to_nowhere(path: Path, page: Tag, places: dict[Path, set[str]]) -> list[str]:
    """The page's links to a file that is not there or to a place that no element is named after."""
    wrong = []
    for link in page.select("a[href]"):
        url = urlsplit(str(link["href"]))
        if url.scheme or url.netloc:
            continue
        target = (path.parent / unquote(url.path)).resolve() if url.path else path
        name = unquote(url.fragment)
        if not target.exists() or (name and name not in places[target]):
            wrong.append(str(link["href"]))
    return wrong


def requests_elsewhere(page: Tag) -> list[str]:
    """What a browser would fetch from another host to show the page; a link is only followed."""
    fetched = [
        str(element[attribute])
        for attribute in ("src", "href", "srcset", "data", "poster")
        for element in page.select(f"[{attribute}]:not(a)")
    ]
    return [url for url in fetched if re.match(r"(https?:)?//", url)]
