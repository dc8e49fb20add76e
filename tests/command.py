"""`autograder grade` on a class, as the tests of the classroom call it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

from engines import engine
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from autograder import cli


def hand_in(folder: Path, chapter: str, notebook: str, submissions: Mapping[str, bytes]) -> None:
    """Puts students' work into folder/submitted."""
    for student, data in submissions.items():
        path = folder / "submitted" / student / chapter / notebook
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def run(*arguments: object) -> tuple[int, str]:
    """Runs the command in this process, with an engine that is warm already."""
    warm = mock.patch(
        "autograder.engine.grade.Engine", lambda isolation: nullcontext(engine(isolation))
    )
    with warm:
        result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def grade(chapter: str, folder: Path, *options: object) -> tuple[int, dict[str, dict]]:
    """Exit code, and records by student; the course is that of the current folder."""
    out = folder / "out.json"
    where = "--submitted", folder / "submitted", "--json", out
    code, output = run("grade", chapter, *where, *options)
    assert out.exists(), output
    return code, {record["student"]: record for record in json.loads(out.read_text())}


def gradebook_scores(chapter: str, folder: Path) -> dict[tuple[str, str], float | None]:
    """Automatic scores by student and grade id."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        return {
            (submission.student_id, grade.name): grade.auto_score
            for submission in book.assignment_submissions(chapter)
            for notebook in submission.notebooks
            for grade in notebook.grades
        }
