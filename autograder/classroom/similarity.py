"""Hands a class's code to JPlag or Dolos, and reads what they found.

Neither comes with the course: both are the field's tools for this, and the instructor runs them.
`write_code` writes a folder for each exercise, laid out as both of them read it:

    EXERCISE/submissions/STUDENT/EXERCISE.py    what the student wrote, cleaned
    EXERCISE/template/EXERCISE.py               what everybody was given
    EXERCISE/info.csv                           the files, for Dolos, with names

`read_results` looks for EXERCISE/jplag/results.csv (JPlag's `--csv-export`) and
EXERCISE/dolos/pairs.csv (Dolos's `--output-format csv`). That two texts are similar proves nothing:
short exercises have few right answers.

What students wrote is only written down here; nothing reads it as code.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from autograder.classroom.records import ClassFolder
from autograder.course.cells import grade_id, is_demo, is_test, parse_lines
from autograder.course.source import Assignment, CourseError, Exercise

if TYPE_CHECKING:  # which takes a while to import
    from nbformat import NotebookNode

MOST_PAIRS = 10  # of an exercise
# By tool: where its result is, and its columns for the two submissions and for their similarity.
RESULTS = {
    "JPlag": (
        "jplag/results.csv",
        ("submissionName1", "submissionName2", "averageSimilarity"),
    ),
    "Dolos": ("dolos/pairs.csv", ("leftFilePath", "rightFilePath", "similarity")),
}
_MAGIC = re.compile(r"\s*(%{1,2}[A-Za-z]|!|\?)|.*\?\s*$")  # as IPython reads a line's beginning


@dataclass(frozen=True)
class Pair:
    """Two submissions of an exercise; `share` of their code is alike, from 0 to 1."""

    one: str
    other: str
    share: float


@dataclass(frozen=True)
class Found:
    """What a tool found in one exercise.

    Attributes:
        compared: how many pairs it lists.
        usual: the median of their shares.
        pairs: the most similar ones, the most similar first.
    """

    exercise: str
    tool: str
    compared: int
    usual: float
    pairs: list[Pair]


@dataclass(frozen=True)
class Similarity:
    """What was found; empty as long as no tool has been run."""

    found: list[Found]


def write_code(
    folder: Path,
    assignment: Assignment,
    class_folder: ClassFolder,
    names: Mapping[str, str],
) -> list[str]:
    """Writes the code of all exercises that have checks; files of an earlier call go.

    Args:
        folder: made if it does not exist.
        names: of the students whose work is wanted; empty where none is known.

    Returns:
        The students whose work has not been executed, so that there is no code of theirs.
    """
    import nbformat

    notebooks, missing = {}, []
    for student in names:
        path = class_folder.autograded(assignment.name, student)
        path /= f"{assignment.notebook_name}.ipynb"
        if path.is_file():
            notebooks[student] = nbformat.read(path, as_version=4)
        else:
            missing.append(student)
    for exercise in assignment.exercises:
        if exercise.test_id is None:
            continue
        place = folder / exercise.id
        given = _code(assignment.assigned, exercise)
        _write(place / "template" / f"{exercise.id}.py", cleaned(given, given))
        rows = []
        for student, notebook in notebooks.items():
            path = Path("submissions", student, f"{exercise.id}.py")
            _write(place / path, cleaned(_code(notebook, exercise), given))
            rows.append((path, names[student] or student))
        _remove_others(place / "submissions", notebooks)
        with (place / "info.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("filename", "full_name"), *rows])
    return missing


def _code(notebook: NotebookNode, exercise: Exercise) -> str:
    """The answer, with the code cells that the student has added before the exercise's tests."""
    found: list[str] = []
    for cell in notebook.cells:
        name = grade_id(cell)
        if name == exercise.test_id:
            break
        if is_test(cell):
            found = []  # what stood before it belongs to another exercise
        elif cell.cell_type == "code" and name in (None, exercise.id) and not is_demo(cell):
            found.append(cell.source)
    return "\n\n".join(found)


def cleaned(code: str, given: str) -> str:
    """Code without IPython's commands, without markers, and without comments that were given.

    Args:
        given: what everybody was given; its comments go wherever they stand.
    """
    comments = {line.strip() for line in given.splitlines() if line.strip().startswith("#")}
    kept = [
        line.text.rstrip()
        for line in parse_lines(code)
        if not line.is_marker and not _MAGIC.match(line.text) and line.text.strip() not in comments
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n") + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")


def _remove_others(submissions: Path, wanted: Collection[str]) -> None:
    """Takes away the code of those who are not in the class any more, and nothing else."""
    exercise = submissions.parent.name
    for path in submissions.iterdir() if submissions.is_dir() else ():
        if path.name not in wanted and path.is_dir():
            (path / f"{exercise}.py").unlink(missing_ok=True)
            with suppress(OSError):  # something else lies there
                path.rmdir()


def read_results(folder: Path, assignment: Assignment, students: Collection[str]) -> Similarity:
    """What JPlag and Dolos have left there.

    Args:
        students: pairs with somebody else, as the template, are left out.

    Raises:
        CourseError: if a result is not as the tool writes it.
    """
    found = []
    for exercise in assignment.exercises:
        for tool, (place, columns) in RESULTS.items():
            path = folder / exercise.id / place
            if not path.is_file():
                continue
            try:
                with path.open(encoding="utf-8", newline="") as file:
                    pairs = list(_pairs(csv.DictReader(file), columns, students))
            except (LookupError, TypeError, ValueError, AttributeError, csv.Error) as error:
                raise CourseError(
                    f"{path} is not what {tool} writes ({error!r}); run {tool} again as "
                    "docs/instructor.md says, or delete the file"
                ) from None
            if pairs:
                best = nlargest(MOST_PAIRS, pairs, key=lambda pair: pair.share)
                usual = median(pair.share for pair in pairs)
                found.append(Found(exercise.title, tool, len(pairs), usual, best))
    return Similarity(found)


def _pairs(
    rows: csv.DictReader[str], columns: tuple[str, str, str], students: Collection[str]
) -> Iterator[Pair]:
    for row in rows:
        one, other, share = (row[column] for column in columns)
        names = [_student(name, students) for name in (one, other)]
        value = float(share)
        if not 0 <= value <= 1:
            raise ValueError(f"a similarity of {share}")
        if names[0] and names[1]:
            yield Pair(names[0], names[1], value)


def _student(name: str, students: Collection[str]) -> str:
    """Whose submission it is; JPlag names the folder, Dolos the file in it. Empty if nobody's."""
    *folders, last = name.split("/")
    candidates = [last, *folders[-1:]]
    return next((student for student in candidates if student in students), "")
