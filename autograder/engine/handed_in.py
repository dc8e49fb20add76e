"""Finds and reads what students have handed in: bytes, and what has to be said about the file.

Nothing heavy is imported here: it is all that is needed to see that nothing has changed.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.course.cells import notebook_name
from autograder.engine.text import clean_text
from autograder.results import Code, Remark

MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Submission:
    """What one student handed in for one assignment.

    Attributes:
        data: the notebook's bytes, at most one more than can be graded.
        missing: why there is none.
        notes: what has to be said about the file.
    """

    student: str
    data: bytes
    missing: Remark | None = None
    notes: tuple[Remark, ...] = ()

    @property
    def sha256(self) -> str:
        """Identifies the content, and what is said about the file."""
        digest = hashlib.sha256(self.data)
        if self.missing or self.notes:
            said = repr((self.missing, self.notes))
            digest.update(said.encode("utf-8", "backslashreplace"))
        return digest.hexdigest()


def find_students(folder: Path, chapter: str) -> list[str]:
    """Who handed in, in a folder laid out as STUDENT/CHAPTER/NAME.ipynb.

    A student without the chapter's folder has not. Names of folders that cannot be a student's are
    listed, too; `read_submission` says what is wrong with them.
    """
    return sorted(name for name in os.listdir(folder) if _is_folder(folder / name / chapter))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # that nobody may look into it has to be said: see `read_submission`
        return True


def name_problem(student: str) -> str:
    """Why nbgrader cannot take this for a student's name, as a part of a sentence; or nothing."""
    try:
        student.encode()
    except UnicodeEncodeError:
        return "is no text in UTF-8"
    if student.startswith("."):
        return "begins with a dot"
    if any(unicodedata.category(character) == "Cc" for character in student):
        return "holds control characters"
    return ""


def read_submission(  # noqa: PLR0911  (one for each thing that may lie there)
    folder: Path, student: str, chapter: str
) -> Submission:
    """What one student handed in: NAME.ipynb, or the only notebook that is there."""
    place = folder / student / chapter
    name = f"{notebook_name(chapter)}.ipynb"
    if problem := name_problem(student):
        return Submission(student, b"", Remark.of(Code.ODD_NAME, problem=problem))
    try:
        if place.is_symlink() or place.parent.is_symlink():
            return Submission(student, b"", Remark.of(Code.LINK))
        files = sorted(path.name for path in place.iterdir() if path.is_file())
        notebooks = [
            file
            for file in files
            if file.lower().endswith(".ipynb")
            and not file.startswith(".")
            and not (place / file).is_symlink()
        ]
        notes = []
        if name in notebooks:
            file = name
        elif len(notebooks) == 1:
            (file,) = notebooks
            notes.append(Remark.of(Code.OTHER_NAME, found=_list(notebooks), name=name))
        elif notebooks:
            several = Remark.of(Code.SEVERAL_NOTEBOOKS, name=name, found=_list(notebooks))
            return Submission(student, b"", several)
        elif files:
            missing = Remark.of(Code.NOTEBOOK_MISSING, name=name, found=_list(files))
            return Submission(student, b"", missing)
        else:
            return Submission(student, b"", Remark.of(Code.NOTHING_HANDED_IN, name=name))
        with (place / file).open("rb") as stream:
            return Submission(student, stream.read(MAX_FILE_BYTES + 1), None, tuple(notes))
    except OSError as error:
        problem = error.strerror or str(error)
        return Submission(student, b"", Remark.of(Code.NOT_READABLE, problem=problem))


def _list(files: Sequence[str]) -> str:
    """The first files' names, so that they can be shown."""
    return clean_text(", ".join(files[:5]))[:200] + (", …" if len(files) > 5 else "")
