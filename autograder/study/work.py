"""A learner's own folder, work/: copies of the chapters, and what a newer release brings to them.

What is in work/ is the learner's. A copy is made where there is none; a newer release is merged
into it cell by cell (merge.py); whatever finds no place lies beside it under a name of its own.
work/.release/ keeps what each file was made of. `autograder study` calls this before it opens
JupyterLab. Every file appears whole or not at all, and a run that was stopped is repeated by the
next one.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.files import free_path, write_whole
from autograder.study.merge import merge
from autograder.study.progress import chapter_key

GUIDE = "AGENTS.md"  # what AI assistants read before they help


def bring(root: Path, log: Callable[[str], None]) -> None:
    """Brings work/ to the present release: chapters, solved notebooks, the guide for assistants.

    Args:
        root: the course's folder, which has release/ and notebooks/.
        log: gets a line for each file that has come or changed, and for each that lies beside.

    Raises:
        OSError: if a file cannot be read or written.
    """
    work = root / "work"
    for release in sorted(root.glob("release/ch*/*.ipynb")):
        _renumber(root, release.parent.name, log)
        _bring_chapter(root, release, work / release.parent.name / release.name, log)
    for solved in sorted(root.glob("notebooks/*.ipynb")):
        _bring_solved(work, solved, log)
    _bring_text(work / GUIDE, resources.files(__package__).joinpath(GUIDE).read_text("utf-8"), log)


def began_as(own: Path, work: Path) -> Path:
    """Where work/ keeps what the file `own` was made of."""
    return work / ".release" / own.relative_to(work)


def _renumber(root: Path, name: str, log: Callable[[str], None]) -> None:
    """Moves a chapter that has another number now: its name without the number is the same."""
    work = root / "work"
    for earlier in sorted(work.glob(f"ch*_{chapter_key(name)}")):
        if (work / name).exists() or (root / "release" / earlier.name).exists():
            continue
        base = began_as(earlier, work)
        if base.exists():
            base.rename(base.with_name(name))
        earlier.rename(work / name)
        log(f"work/{earlier.name} is work/{name} now: the chapter has another number")


def _bring_chapter(root: Path, release: Path, own: Path, log: Callable[[str], None]) -> None:
    here, there = own.relative_to(root), release.relative_to(root)
    base, text = began_as(own, root / "work"), release.read_text(encoding="utf-8")
    if not own.exists():
        write_whole(own, text)
        write_whole(base, text)
        log(f"{here} is yours now, a copy of {there}")
        return
    if base.exists() and base.read_text(encoding="utf-8") == text:
        return
    before, theirs = _read(base), _read(own)
    if before is None or theirs is None:
        why = "it cannot be read" if theirs is None else "what it was made of is not known"
        beside = _put_beside(own, "new", release.suffix, text)
        if beside:
            log(
                f"{here} stays as it is, since {why}; the new release is {beside.relative_to(root)}"
            )
        return
    merged = merge(before, nbformat.reads(text, as_version=4), theirs)
    # What lies beside comes first and the record last: who stops this run in between loses nothing.
    for key, cell in merged.beside.items():
        suffix = ".py" if cell.cell_type == "code" else ".md"
        if beside := _put_beside(own, f"{key}.new", suffix, cell.source + "\n"):
            log(
                f"{here}: the cell {key!r} has changed in the new release, and you had changed it, "
                f"too. Yours stays; the new one is {beside.relative_to(root)}"
            )
    write_whole(own, nbformat.writes(merged.notebook) + "\n")
    write_whole(base, text)
    log(f"{here} has the new release now ({_cells(merged.changed)}); what you typed stays")


def _bring_solved(work: Path, solved: Path, log: Callable[[str], None]) -> None:
    """A copy to read of a solved notebook; a newer one replaces it unless somebody typed in it."""
    own = work / "solved" / solved.name
    text = solved.read_text(encoding="utf-8")
    base = began_as(own, work)
    if own.exists() and base.exists():
        before, theirs = _read(base), _read(own)
        if before is None or theirs is None or _sources(before) != _sources(theirs):
            if base.read_text(encoding="utf-8") != text:
                log(f"work/solved/{own.name} stays as it is, since you have changed it")
            return
    elif own.exists():
        return
    if not own.exists() or base.read_text(encoding="utf-8") != text:
        write_whole(own, text)
        write_whole(base, text)


def _bring_text(own: Path, text: str, log: Callable[[str], None]) -> None:
    """Writes a text of ours, and leaves it alone where the learner has changed it."""
    base = began_as(own, own.parent)
    known = base.read_text(encoding="utf-8") if base.exists() else None
    if own.exists() and own.read_text(encoding="utf-8") != known:
        if known != text:
            log(f"work/{own.name} stays as it is, since you have changed it")
            write_whole(base, text)
        return
    if not own.exists() or known != text:
        write_whole(own, text)
        write_whole(base, text)


def _put_beside(own: Path, what: str, suffix: str, text: str) -> Path | None:
    """Writes the text beside the notebook under a free name; None if it lies there already."""
    path = own.with_name(f"{own.stem}.{what}{suffix}")
    earlier = path.parent.glob(f"{glob.escape(path.stem)}*{suffix}")
    if any(other.read_text(encoding="utf-8") == text for other in earlier):
        return None
    path = free_path(path)
    write_whole(path, text)
    return path


def _read(path: Path) -> NotebookNode | None:
    """The notebook; None if there is none, or none that can be read."""
    try:
        notebook = nbformat.read(path, as_version=4)
        return notebook if all("source" in cell for cell in notebook.cells) else None
    except Exception:  # nbformat raises whatever its converters run into
        return None


def _sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def _cells(number: int) -> str:
    return "1 cell is new" if number == 1 else f"{number} cells are new"
