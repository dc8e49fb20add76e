"""A learner in JupyterLab, through a browser: start page, chapter, restart, a new release."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from lab_page import Lab, a_browser, open_lab, whole
from playwright.sync_api import Browser, Locator, expect

from autograder.course import build
from autograder.course.source import Course
from autograder.results import CheckResult, Outcome
from autograder.tables import checks_as_html

NOTEBOOK = Path("work", tiny.TINY, tiny.NOTEBOOK)
INTRODUCTION = """\
# %% [markdown]
# | exercise | you will | minutes |
# |---|---|---|
# | [9.1](#9.1-Scale) | divide by a root | 10 |

# %% [markdown]
# ## 9.1 Scale
"""
SETUP = "import random\n\nfrom autograder.checks import Checks, probe"
PASSES_THE_VISIBLE_CHECKS = "def scale(values, width):\n    return list(values)"
RIGHT = "def scale(values, width):\n    return [value / width**0.5 for value in values]"


@pytest.fixture  # for each test: see a_browser
def browser() -> Iterator[Browser]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small course, built; its solved notebook is not executed."""
    monkeypatch.setattr(build, "execute", lambda notebook, _: notebook)
    root = tmp_path / "course"
    course = tiny.write_chapter(
        root,
        INTRODUCTION,
        tiny.cell("setup", SETUP),
        tiny.cell("scale", tiny.SCALE, solution=True),
        tiny.cell("test_scale", tiny.TESTS.format(values=tiny.GOOD), points=2),
    )
    build.build(course, tiny.TINY, log=print)
    return root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def texts(root: Path) -> list[str]:
    cells = json.loads((root / NOTEBOOK).read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells]


def change_the_source(root: Path, old: str, new: str) -> None:
    """An author changes the chapter and builds it."""
    course = Course(root)
    (section,) = course.assignment(tiny.TINY).sections
    assert old in section.read_text()
    section.write_text(section.read_text().replace(old, new))
    build.build(course, tiny.TINY, log=print)


def open_chapter(lab: Lab) -> None:
    heading = lab.start_page.get_by_role("heading", name="Large models: start here")
    lab.keep_in_front(  # JupyterLab comes back with the tabs that were open
        "START.md", lambda timeout: expect(heading).to_be_visible(timeout=timeout)
    )
    lab.follow("Tiny", tiny.NOTEBOOK)


def test_a_learner_s_lab_is_a_learner_s_and_leaves_home_alone(
    browser: Browser, root: Path, home: Path
) -> None:
    requests: list[str] = []
    with open_lab(browser, root, home) as lab:
        lab.page.on("request", lambda request: requests.append(request.url))
        open_chapter(lab)
        panels = lab.page.locator(".jp-SideBar .lm-TabBar-tab")
        titles = panels.evaluate_all("tabs => tabs.map(tab => tab.title || tab.dataset.id)")
        assert titles
        for unwanted in ("assignment", "nbgrader", "formgrader", "course", "extension"):
            assert not [title for title in titles if unwanted in title.lower()]
        menus = " ".join(lab.page.locator(".lm-MenuBar-itemLabel").all_inner_texts())
        assert "Nbgrader" not in menus
        expect(lab.page.locator(".Toastify__toast")).to_have_count(0)
        lab.save()
        again = subprocess.run(
            [sys.executable, "-m", "autograder.cli", "study", "--no-browser"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "JupyterLab is open already: http" in again.stdout
    assert {
        re.match(r"\w+://[^:/]+", url)[0]
        for url in requests
        if "blob:" not in url and "data:" not in url
    } <= {"http://127.0.0.1", "ws://127.0.0.1"}
    left = {path.relative_to(home).parts[0] for path in home.rglob("*")}
    assert not left & {".jupyter", ".ipython", ".local", ".npm"}, left


def test_an_instructor_s_lab_is_as_it_was() -> None:
    """The configuration is on a path that only `autograder study` sets."""
    command = ["jupyter", "labextension", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (
        line for line in (listed.stdout + listed.stderr).splitlines() if "@jupyter/nbgrader" in line
    )
    assert "enabled" in line


def test_what_was_typed_is_there_after_a_restart_and_a_new_release(
    browser: Browser, root: Path, home: Path
) -> None:
    with open_lab(browser, root, home) as lab:
        open_chapter(lab)
        answer = lab.cell("def scale")
        lab.write(answer, RIGHT)
        lab.add(answer, "mine = scale([3.0], 9)")
        lab.save()
    assert RIGHT in texts(root)
    change_the_source(
        root, "'There are as many results as values.'", "'As many results as values.'"
    )
    with open_lab(browser, root, home) as lab:
        assert f"{NOTEBOOK} has the new release now" in "".join(lab.said)
        open_chapter(lab)
        for text in ("value / width**0.5", "mine = scale", "As many results"):
            lab.see(text, tiny.NOTEBOOK)
    found = texts(root)
    assert found.index("mine = scale([3.0], 9)") == found.index(RIGHT) + 1


def test_a_new_learner_solves_an_exercise_and_finds_it_again(
    browser: Browser, root: Path, home: Path
) -> None:
    with open_lab(browser, root, home) as lab:
        open_chapter(lab)
        lab.run(lab.cell("import random"))
        lab.run(lab.cell("%load_ext autograder"))
        answer = lab.cell("def scale")
        lab.run(answer)
        check = lab.add(answer, "%check")
        lab.run(check)
        expect(check).to_contain_text("Not attempted yet")

        lab.write(answer, PASSES_THE_VISIBLE_CHECKS)
        lab.run(answer)
        lab.run(check)
        table = check.get_by_role("table")
        expect(row(table, "There are as many results as values.")).to_contain_text("passed")
        hidden = row(table, "Every value is divided by the root of the width.")
        expect(hidden).to_contain_text("failed")
        expect(hidden).to_contain_text("(hidden)")
        expect(hidden).to_contain_text("Hint: Which root?")

        lab.write(answer, RIGHT)
        lab.run(answer)
        lab.run(check)
        expect(row(table, "Every value is divided")).to_contain_text("passed")
        expect(table).to_contain_text("2 of 2 points")
        lab.save()
        lab.page.reload()
        solved_page(lab)
    with open_lab(browser, root, home) as lab:
        solved_page(lab)
        table = lab.cell(whole("%check")).get_by_role("table")
        lab.keep_in_front(
            tiny.NOTEBOOK,
            lambda timeout: expect(table).to_contain_text("2 of 2 points", timeout=timeout),
        )
        assert RIGHT in texts(root)


def test_a_table_of_checks_is_not_cut_off_on_a_narrow_page(browser: Browser) -> None:
    """As narrow as an output is on a page of 800 pixels, beside the list of files."""
    message = (
        "ValueError: no\nat line 8 of the cell, in decode: return b''.join(tokens[i]for(i)in(ids))"
    )
    results = [
        CheckResult(
            "a", f"It is that of {'Gradient' * 6}.staged_predict.", True, outcome, 0, 0.5, message
        )
        for outcome in Outcome
    ]
    page = browser.new_page(viewport={"width": 370, "height": 800})
    page.set_content(f"<body style='margin:0'>{checks_as_html(results, '0 of 4 points')}</body>")
    assert page.locator("table").evaluate("table => table.getBoundingClientRect().width") <= 370
    page.close()


def row(table: Locator, title: str) -> Locator:
    return table.get_by_role("row").filter(has_text=title)


def solved_page(lab: Lab) -> None:
    """The start page says that the exercise is solved, and how often it was checked."""

    def holds(timeout: float) -> None:
        page = lab.start_page
        expect(page).to_contain_text("You have solved every exercise.", timeout=timeout)
        expect(row(page, "9.1 Scale")).to_contain_text("solved, 2 checks", timeout=timeout)

    lab.keep_in_front("START.md", holds)
