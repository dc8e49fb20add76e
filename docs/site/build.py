"""Makes the course as a site, chapters solved and the guides, in the folder that is named.

    .venv/bin/python docs/site/build.py FOLDER

Nothing is executed, nothing is fetched, and a warning is an error: a link that leads nowhere, too.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import main as sphinx_build

from autograder.checks import MIME_TYPE
from autograder.course.build import solved_path
from autograder.course.cells import grade_id, is_answer, is_test
from autograder.course.source import Assignment, Course
from autograder.study.contents import Chapter, read_chapters

HERE = Path(__file__).resolve().parent


def page(solved: NotebookNode, assignment: Assignment) -> NotebookNode:
    """The solved chapter with each exercise as students get it; solutions and tests are folded."""
    assigned = {grade_id(cell): cell for cell in assignment.assigned.cells}
    cells: list[NotebookNode] = []
    for cell in solved.cells:
        task = assigned.get(cell.id)
        if task is not None and is_test(task):
            _fold(cell, "the tests")
        elif task is not None and is_answer(task) and cell.cell_type == "code":
            cells.append(nbformat.v4.new_code_cell(task.source))
            _fold(cell, "the solution")
        elif task is not None and is_answer(task):
            summary = "<details><summary>A model answer</summary>"
            cell.source = f"{summary}\n\n{cell.source}\n\n</details>"
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(MIME_TYPE, None)  # for programs; the table is beside it
        cells.append(cell)
    solved.cells = cells
    return solved


def _fold(cell: NotebookNode, what: str) -> None:
    """Folds the cell's code; its outputs stay."""
    cell.metadata.tags = ["hide-input"]
    cell.metadata.mystnb = {"code_prompt_show": f"Show {what}", "code_prompt_hide": f"Hide {what}"}


def overview(chapters: dict[str, Chapter]) -> str:
    """All exercises with their times and tasks, by chapter, as a page in Markdown.

    Args:
        chapters: by the names of their pages.
    """
    parts = [
        "# All exercises",
        "Times are in minutes, reading included; W means a written question.",
    ]
    for page_name, chapter in chapters.items():
        parts.append(f"## {chapter.title}")
        lines = [
            f"| {round(chapter.minutes / 60)} hours | you will | minutes |",
            "|:---|:---|---:|",
        ]
        for row in chapter.rows:
            heading = f"{row.label} {row.title}"
            place = f"chapters/{page_name}#{heading.replace(' ', '-')}"
            lines.append(f"| [{heading}](<{place}>) | {row.task} | {row.minutes} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def gather(course: Course, folder: Path) -> None:
    """Puts the site's pages into `folder`, as Sphinx reads them."""
    chapters, guides = folder / "chapters", folder / "guides"
    chapters.mkdir(parents=True)
    guides.mkdir()
    shutil.copy(HERE / "index.md", folder)
    for guide in HERE.parent.glob("*.md"):
        shutil.copy(guide, guides)
    contents = {chapter.name: chapter for chapter in read_chapters(course.root)}
    listed = {}
    for name in course.chapters:
        assignment = course.assignment(name)
        path = solved_path(course, assignment)
        listed[path.name] = contents[name]
        solved = nbformat.read(path, as_version=4)
        nbformat.write(page(solved, assignment), chapters / path.name)
    (folder / "exercises.md").write_text(overview(listed), encoding="utf-8")


def build(target: Path) -> int:
    """Makes the site in `target`; what else is there stays. Returns Sphinx's exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        pages, made = Path(scratch, "pages"), Path(scratch, "site")
        gather(Course.find(HERE), pages)
        strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
        folders = ["-c", str(HERE), "-d", f"{scratch}/doctrees", str(pages), str(made)]
        status = sphinx_build([*strict, *folders])
        if status == 0:
            shutil.copytree(made, target, dirs_exist_ok=True)
    return status


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
