"""README and guides name commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from nbgrader.apps import NbGraderApp
from sample_class import ROOT
from typer.main import get_command

from autograder import cli
from autograder.study.contents import read_chapters

KNOWN = {
    "autograder": set(get_command(cli.app).commands),  # type: ignore[attr-defined]
    "nbgrader": set(NbGraderApp.subcommands),
    "make": set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)),
}
COMMAND = re.compile(rf"^(?:\S*/)?({'|'.join(KNOWN)})\s+([a-z_]+)")


def named(text: str) -> list[tuple[str, str]]:
    """Programs and their commands, in blocks for a console and in the text."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    said = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    said += re.findall(r"`([^`]+)`", prose)
    return [found.groups() for found in map(COMMAND.match, said) if found]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name
)
def test_every_command_that_a_guide_names_exists(page: Path) -> None:
    """README named `nbgrader formgrader`."""
    commands = named(page.read_text(encoding="utf-8"))
    assert [(program, name) for program, name in commands if name not in KNOWN[program]] == []


def test_a_command_that_is_none_is_found() -> None:
    text = "`nbgrader formgrader`\n```console\n$ .venv/bin/autograder grade ch\n$ make\n```\n"
    assert named(text) == [("autograder", "grade"), ("nbgrader", "formgrader")]


def test_the_list_of_chapters_says_what_the_releases_say() -> None:
    """Titles, exercises, written questions and hours, in README's table and in all."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chapters = read_chapters(ROOT)
    graded = [[row for row in chapter.rows if row.exercise] for chapter in chapters]
    written = [
        [row for row in chapter.rows if row.points and not row.exercise] for chapter in chapters
    ]
    assert re.findall(r"^\| (\d · .+?) \| (\d+ \+ \d+) \| (\d+) \|", text, re.MULTILINE) == [
        (
            chapter.title.removeprefix("Chapter "),
            f"{len(exercises)} + {len(questions)}",
            str(round(chapter.minutes / 60)),
        )
        for chapter, exercises, questions in zip(chapters, graded, written, strict=True)
    ]
    sums = (sum(map(len, graded)), sum(map(len, written)))
    assert "{} graded exercises and {} written questions".format(*sums) in text
