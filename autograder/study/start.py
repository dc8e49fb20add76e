"""The start page, work/START.md: chapters, time, progress, how it works, and the next step.

JupyterLab shows it rendered, in its own theme. `autograder study` writes it, and files.py again
each time that it is opened. Plain Markdown: headings and tables that a screen reader can walk
through, and everything said in words. It is the course's page, not the learner's; should they have
typed in it, their version is kept under another name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from autograder.files import free_path, write_whole
from autograder.study.contents import Chapter, Row, read_chapters
from autograder.study.progress import Progress, Standing, chapter_key
from autograder.study.work import GUIDE, began_as

PAGE = "START.md"
PROGRESS = "progress.sqlite"
SOLVED_AGAIN_MINUTES = 15

Key = tuple[str, str]  # a chapter's name without its number, an exercise's id


def write(root: Path) -> Path:
    """Writes the start page of the course in the folder `root`; returns where it is.

    Raises:
        OSError, ValueError: if a release or the page cannot be read or written.
        sqlite3.Error: if the progress cannot be read.
    """
    work = root / "work"
    page, base = work / PAGE, began_as(work / PAGE, work)
    solved = sorted(path.name for path in work.glob("solved/*.ipynb"))
    text = render(read_chapters(root), Progress(work / PROGRESS), solved, datetime.now(UTC))
    known = base.read_text(encoding="utf-8") if base.exists() else ""
    if page.exists() and (there := page.read_text(encoding="utf-8")) != known:
        if there != text:
            page.rename(free_path(page))
    elif page.exists() and known == text:
        return page
    write_whole(base, text)
    write_whole(page, text)
    return page


def render(
    chapters: Sequence[Chapter], progress: Progress, solved: Sequence[str], now: datetime
) -> str:
    """The page in Markdown; `solved` names the notebooks in work/solved/."""
    standings = {
        (chapter_key(chapter.name), row.exercise): progress.standing(chapter.name, row.exercise)
        for chapter in chapters
        for row in chapter.rows
        if row.exercise
    }
    again = progress.again(now)
    parts = [
        "# Large models: start here",
        _next_step(chapters, standings, again),
        "## Chapters",
        _overview(chapters, standings),
        _how_it_works(),
        _where_things_are(solved),
    ]
    for chapter in chapters:
        parts += [f"## {chapter.title}", _exercises(chapter, standings)]
    return "\n\n".join(parts) + "\n"


def describe(standing: Standing) -> str:
    """Where one stands with an exercise, in words."""
    if not standing.attempts:
        words = ["not started"]
    elif standing.solved:
        words = ["solved"]
    else:
        words = [f"{standing.best:g} of {standing.max_score:g} points"]
    if standing.attempts:
        words.append(_count(standing.attempts, "check"))
    if standing.hints:
        words.append(_count(standing.hints, "hint"))
    if standing.solution_seen:
        words.append("solution seen")
    return ", ".join(words)


def _next_step(
    chapters: Sequence[Chapter], standings: Mapping[Key, Standing], again: Key | None
) -> str:
    """What to do now: what was tried last and is not solved; else the first unsolved exercise
    behind the one that was tried last, as in the notebook, or before it."""
    every = {
        (chapter_key(chapter.name), row.exercise): (chapter, row)
        for chapter in chapters
        for row in chapter.rows
        if row.exercise
    }

    def last_attempt(key: Key) -> datetime:
        return standings[key].last_attempt or datetime.min.replace(tzinfo=UTC)

    begun = [key for key in every if standings[key].last_attempt]
    newest = max(begun, key=last_attempt, default=None)
    behind = list(every).index(newest) + 1 if newest else 0
    order = [*every][behind:] + [*every][:behind]
    open_ones = [key for key in order if not standings[key].solved]
    tried = [key for key in open_ones if standings[key].last_attempt]
    steps = []
    if not open_ones:
        steps.append("**You have solved every exercise.** Well done.")
    elif tried:
        key = max(tried, key=last_attempt)
        link = _link(*every[key])
        steps.append(f"**Next step:** go on with {link} ({describe(standings[key])}).")
    else:
        chapter, row = every[open_ones[0]]
        time = f" ({row.time})" if row.time else ""
        if begun:
            steps.append(f"**Next step:** {_link(chapter, row)}{time}.")
        else:
            opened = f"[{chapter.title}]({_path(chapter)})"
            steps.append(
                f"**Next step:** open {opened} and read to the first exercise, "
                f"{_link(chapter, row)}{time}."
            )
    if again in every:
        steps.append(
            f"**Solved long ago:** solve {_link(*every[again])} once more, from nothing, in "
            f"{SOLVED_AGAIN_MINUTES} minutes. What you still can then is yours."
        )
    return "\n\n".join(steps)


def _overview(chapters: Sequence[Chapter], standings: Mapping[Key, Standing]) -> str:
    lines = ["| chapter | time | solved | points |", "|:---|:---|:---|:---|"]
    for chapter in chapters:
        rows = [row for row in chapter.rows if row.exercise]
        own = [standings[chapter_key(chapter.name), str(row.exercise)] for row in rows]
        solved = sum(standing.solved for standing in own)
        best = sum(standing.best for standing in own)
        most = sum(row.points for row in rows)
        lines.append(
            f"| [{chapter.title}]({_path(chapter)}) | {_hours(chapter.minutes)} | "
            f"{solved} of {_count(len(rows), 'exercise')} | {best:g} of {most:g} |"
        )
    return "\n".join(lines)


def _exercises(chapter: Chapter, standings: Mapping[Key, Standing]) -> str:
    lines = [
        "| exercise | you will | time | points | your progress |",
        "|:---|:---|:---|:---|:---|",
    ]
    for row in chapter.rows:
        if row.exercise:
            state = describe(standings[chapter_key(chapter.name), row.exercise])
        else:
            state = "compare with the solved notebook" if row.points else "not graded"
        points = f"{row.points:g}" if row.points else ""
        lines.append(f"| {_link(chapter, row)} | {row.task} | {row.time} | {points} | {state} |")
    return "\n".join(lines)


def _how_it_works() -> str:
    return """\
Times are for the whole exercise, with reading. The points are those of a class.

## How it works

1. Open a chapter and read. Run a cell with Shift and Enter, from the top down. The table at the
   chapter's top leads to its sections.
2. In an exercise, replace `raise NotImplementedError` with your answer and run the cell.
3. Run `%check` in a new cell (Esc, then B, makes one). It checks the exercise whose cell you ran
   last, and says which properties hold, which do not, and why.
4. If you are stuck, run `%hint`; each time there is one more. `%solution` shows an answer, after it
   has asked you.
5. `%progress` shows how far you are, and so does this page. It is written when you open it: close
   it and open it again, or reload it in the browser, to see the newest state."""


def _where_things_are(solved: Sequence[str]) -> str:
    links = ", ".join(f"[{name}](solved/{quote(name)})" for name in solved)
    notebooks = f"**The solved notebooks**, with all figures: {links}." if solved else ""
    return f"""\
## Where things are

- **Your chapters** are in this folder, `work/`, and they are yours. When a new version of the
  course comes, cells that you have not touched become new, and what you typed stays.
- {notebooks or "There are no solved notebooks here."}
- **Your progress** is in the file `{PROGRESS}` in this folder. Nothing leaves your machine.
- **An AI assistant** that works in this folder should read [{GUIDE}]({GUIDE}). It says: tutor,
  do not write the answer.
- **Dark theme, larger text:** in the menu *Settings*, under *Theme*. At first, the theme is that of
  your system."""


def _link(chapter: Chapter, row: Row) -> str:
    """Opens the chapter, where its table leads on to the section.

    JupyterLab follows a heading's anchor only into a notebook that is open already.
    """
    return f"[{row.label} {row.title}]({_path(chapter)})".replace(" ]", "]")


def _path(chapter: Chapter) -> str:
    return f"{quote(chapter.name)}/{quote(chapter.notebook)}"


def _hours(minutes: int) -> str:
    if not minutes:
        return "not said"
    return f"about {round(minutes / 60)} hours" if minutes >= 90 else f"about {minutes} minutes"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
