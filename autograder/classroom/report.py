"""The class report: one page, one table and one data file about all submissions of an assignment.

`write_report` turns the standing of a class into index.html for the instructor to read,
grades.csv for a spreadsheet and grades.json for programs. It counts and averages marks and
never changes one. A submission without a mark (rejected or failed) is listed, and left out of
every average. So are those who have not handed in. report_page.py makes the page's figures.

Student ids, messages and reasons are hostile text: `clean` takes out what no reader should get,
and cells of the CSV cannot become formulas.
"""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

from autograder import words
from autograder.classroom.report_page import page
from autograder.classroom.report_text import clean, titles
from autograder.classroom.similarity import Similarity
from autograder.classroom.standing import Standing
from autograder.files import write_whole
from autograder.results import OPTIONAL, Outcome

NOT_HANDED_IN, NOT_GRADED = "not handed in", "not graded yet"

_FORMULA = re.compile(r"\t|\s*[=+\-@]")
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def write_report(
    standing: Standing, title: str, output: Path, similarity: Similarity | None = None
) -> Path:
    """Writes index.html, grades.csv and grades.json about one assignment.

    The same arguments give the same bytes. Each file appears whole or not at all.

    Args:
        standing: the class, in the order in which submissions are to be listed.
        title: the chapter's title, e.g. "Chapter 1 · What large models are made of".
        output: the folder to write to; made if it does not exist.
        similarity: what JPlag or Dolos found, to be shown on the page.

    Returns:
        The path of index.html.
    """
    files = {
        "grades.json": _json(standing),
        "grades.csv": _csv(standing),
        "index.html": page(standing, title, similarity),
    }
    for name, text in files.items():
        write_whole(output / name, text)
    return output / "index.html"


def _json(standing: Standing) -> str:
    """A list with one submission a line, as `grade --json` has them, in less room.

    What may be missing of a check is missing where it is empty, and hints where it passed.
    """
    lines = []
    for entry in standing.entries:
        data = entry.as_json()
        for check in (check for exercise in data["exercises"] for check in exercise["checks"]):
            for name in OPTIONAL:
                if not check[name] or (name == "hint" and check["outcome"] == Outcome.PASSED):
                    del check[name]
        lines.append(json.dumps(data, separators=(",", ":")))
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"


def _csv(standing: Standing) -> str:
    """One row a student; a score is what is left after the late penalty."""
    reports = [entry.shown for entry in standing.entries]
    ids = list(titles(reports))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    header = ["student", "name", "assignment", "status", "score", "max_score"]
    header += ["checks", "written", "late_penalty", "waiting", *ids, "reason"]
    writer.writerow(_cell(name) for name in header)
    for entry, report in zip(standing.entries, reports, strict=True):
        mark = entry.mark
        scores = {exercise.id: exercise.score for exercise in report.exercises}
        row: list[str | float | None] = [report.student, entry.name, report.assignment]
        row += [str(report.status)]
        row += [report.score, report.max_score]
        row += [mark.checks, mark.written, mark.late_penalty] if mark else [None] * 3
        row += [len(mark.waiting) if mark else None]
        row += [*(scores.get(id) for id in ids), words.reason(report)]
        writer.writerow(_cell(value) for value in row)
    missing = [(NOT_HANDED_IN, standing.absent), (NOT_GRADED, standing.ungraded)]
    for status, names in missing:
        for student, name in names.items():
            first = [student, name, "", status]
            writer.writerow(_cell(value) for value in first + [""] * (len(header) - len(first)))
    return table.getvalue()


def _cell(value: str | float | None) -> str:
    """A CSV cell; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return f"{value:.10g}"  # 0.3, not 0.30000000000000004
    text = str(clean(value))
    return f"'{text}" if _FORMULA.match(text) and not _PLAIN_NUMBER.fullmatch(text) else text
