"""What people have typed in a release notebook, which no build may erase.

Every cell that a build writes can be told from one that was changed later: nbgrader puts a checksum
into its own cells, and the id of every other cell is made of its text. So notebooks of an earlier
build, which authors make many times a day, are replaced, and answers are not.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
from nbgrader.utils import compute_checksum

from autograder.course.cells import grade_id, identifier, nbgrader_metadata
from autograder.course.source import CourseError
from autograder.files import free_path


def refuse_to_erase(root: Path, path: Path, new: str) -> None:
    """Does nothing if the notebook at `path` may be replaced by the text `new`.

    Args:
        root: the course's folder.

    Raises:
        CourseError: if something was typed in it that git does not have, with what to do.
    """
    if not path.exists() or path.read_bytes() == new.encode() or _is_committed(path):
        return
    try:
        typed = typed_in(path)
    except Exception as error:  # nbformat raises whatever its converters run into
        typed = [f"it cannot be read: {error}"[:200]]
    if typed:
        named = ", ".join(typed[:5]) + (", …" if len(typed) > 5 else "")
        here, free = path.relative_to(root), free_path(work_path(root, path)).relative_to(root)
        raise CourseError(
            f"{here} was not replaced: somebody's answers seem to be in it ({named}), and git does "
            f"not have them. Put them where nothing is overwritten, then build again: "
            f"mkdir -p {free.parent} && mv {here} {free}"
        )


def typed_in(path: Path) -> list[str]:
    """Cells of a release notebook that are not as a build wrote them, by id."""
    return [
        grade_id(cell) or f"added or changed cell {number}"
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells, 1)
        if (
            nbgrader_metadata(cell).get("checksum") != compute_checksum(cell)
            if grade_id(cell)
            else cell.get("id") != identifier(cell) and cell.source.strip()
        )
    ]


def work_path(root: Path, release: Path) -> Path:
    """The learner's own copy of a release notebook: work/chNN_name/name.ipynb."""
    return root / "work" / release.parent.name / release.name


def _is_committed(path: Path) -> bool:
    """Whether git has the file as it is."""
    command = ["git", "status", "--porcelain", "--ignored", "--", path.name]
    try:
        status = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
    except FileNotFoundError:  # there is no git here
        return False
    return status.returncode == 0 and not status.stdout
