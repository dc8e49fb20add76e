"""The commands of somebody who studies alone that need no sandbox: `autograder study`,
`autograder progress`.

They work on every platform, so nothing here imports the grader. cli.py has them, too; elsewhere
than on Linux they are all that the command `autograder` has.
"""

from __future__ import annotations

import json
import sys
import webbrowser
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.lesson import work_folder
from autograder.study.chapter import NotFound, chapter_folders, find_course, read_source
from autograder.study.progress import Progress, Standing

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}  # options of another program
WIDTH = 20  # of a bar, in characters

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def _several_commands() -> None:
    """Studying alone. Grading a class, and `autograder check`, need Linux."""


@app.command(context_settings=PASS_ON)
def study(
    context: typer.Context,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address to open.")
    ] = False,
) -> None:
    """Open JupyterLab at the start page, with copies of the chapters of your own, in work/.

    Other options go to JupyterLab, such as --port=8899.
    """
    print("Bringing your chapters in work/ up to date …", flush=True)
    from autograder.study import contents, lab, start, work  # they take a while to import

    try:
        root = contents.find_root(Path.cwd())
    except NotFound as error:
        raise typer.BadParameter(str(error)) from None
    address = lab.running(root / "work")
    if address is not None:
        print(f"JupyterLab is open already: {address}")
        if not no_browser:
            webbrowser.open(address)
        return
    work.bring(root, log=print)
    start.write(root)
    print("Starting JupyterLab; Ctrl-C here ends it …", flush=True)
    options = [*(["--no-browser"] if no_browser else []), *context.args]
    raise typer.Exit(lab.open_lab(root / "work", options))


@app.command()
def progress(
    as_json: Annotated[bool, typer.Option("--json", help="All that is kept, as JSON.")] = False,
) -> None:
    """Show which exercises you have solved."""
    path, course = work_folder() / "progress.sqlite", find_course(Path.cwd().resolve())
    if course is None and not path.exists():
        raise typer.BadParameter("no course and no progress here; change to the course's folder")
    kept = Progress(path)
    if as_json:
        print(json.dumps(kept.export(), indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else 110)
    titles: dict[tuple[str, str], str] = {}
    for folder in chapter_folders(course) if course else []:
        chapter = read_source(folder)
        if not chapter.exercises:
            continue
        standings = {
            exercise.title: kept.standing(chapter.name, exercise.id)
            for exercise in chapter.exercises.values()
        }
        titles |= {(chapter.key, e.id): e.title for e in chapter.exercises.values()}
        console.print(_table(chapter.title, standings), "")
    if course is None:
        console.print(_table("Your progress", _from_records(kept)), "")
    if (again := kept.again(datetime.now())) and (again in titles or course is None):
        name = titles.get(again, again[1])
        print(f"You solved this long ago. Solve it once more, from nothing, in 15 minutes: {name}")


def _from_records(kept: Progress) -> dict[str, Standing]:
    """The standings without the course's source, which has the titles."""
    exercises = kept.export()["exercises"]
    assert isinstance(exercises, list)
    keys = [(one["chapter"], one["exercise"]) for one in exercises]
    return {f"{chapter}: {name}": kept.standing(chapter, name) for chapter, name in keys}


def _table(title: str, standings: dict[str, Standing]) -> Table:
    solved = sum(standing.solved for standing in standings.values())
    share = solved / max(1, len(standings))
    table = Table(box=None, pad_edge=False, title_justify="left", title_style="bold")
    table.title = escape(f"{title}\n{_bar(share)} {solved} of {len(standings)} exercises solved")
    for column in ("exercise", "", "best", "attempts", "hints"):
        table.add_column(column, justify="right" if column in ("attempts", "hints") else "left")
    for name, standing in standings.items():
        share = standing.best / standing.max_score if standing.max_score else 0.0
        best = f"{standing.best:g} of {standing.max_score:g}" if standing.attempts else "not tried"
        state = " (solved)" if standing.solved else ""
        seen = ", solution seen" if standing.solution_seen else ""
        table.add_row(
            escape(name),
            _bar(share),
            best + state,
            str(standing.attempts),
            f"{standing.hints}{seen}",
        )
    return table


def _bar(share: float) -> str:
    """A bar that is full only if all is done."""
    full = int(share * WIDTH)
    return "█" * full + "░" * (WIDTH - full)
