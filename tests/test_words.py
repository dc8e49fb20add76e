"""Everything that the engine can say has a sentence, and says it."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import autograder
from autograder.results import Code, Remark, Report, Status
from autograder.words import SENTENCES, as_json, brief_notes, notes, reason, sentence

PACKAGE = Path(autograder.__file__).parent


def said() -> Iterator[tuple[Code, set[str], str]]:
    """The codes that the package's source says, with the names of the arguments, and where."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if not isinstance(call.args[0], (ast.Attribute, ast.IfExp)):
                continue
            for node in ast.walk(call.args[0]):
                if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "Code":
                    given = {str(keyword.arg) for keyword in call.keywords}
                    yield Code[node.attr], given, f"{path.name}:{call.lineno}"


def names(code: Code) -> set[str]:
    """What the code's sentence has to be filled with."""
    return {name for _, name, _, _ in string.Formatter().parse(SENTENCES[code]) if name}


def test_every_code_has_a_sentence_and_is_said_with_what_that_needs() -> None:
    assert set(SENTENCES) == set(Code)
    assert {code for code, _, _ in said()} == set(Code)
    assert [(code, where) for code, given, where in said() if given != names(code)] == []


@pytest.mark.parametrize("code", Code)
def test_every_code_becomes_a_sentence(code: Code) -> None:
    values: dict[str, str | int] = {
        name: 7 if name in ("cells", "most") else f"<{name}>" for name in names(code)
    }
    text = sentence(Remark(code, "budget", values))
    assert text.startswith("budget: ")
    assert "{" not in text
    assert all(str(value) in text for value in values.values())


def test_what_a_student_wrote_is_no_template() -> None:
    hostile = "{problem.__class__} {0} %s"
    assert hostile in sentence(Remark(Code.BAD_FORMAT, hostile, {"problem": hostile}))


def test_a_sentence_that_lacks_its_arguments_is_an_error() -> None:
    with pytest.raises(KeyError):
        sentence(Remark(Code.DAMAGED))


def test_a_report_in_words_and_back() -> None:
    why = [Remark(Code.DAMAGED, "", {"line": 3}), Remark(Code.EARLIER_MARKS_KEPT)]
    report = Report("ada", "ch01", Status.REJECTED, why)
    report.notes = [Remark(Code.LOCKED_EDITED, "setup")]
    expected = (
        "the file is no notebook: its JSON is damaged (line 3); "
        "the gradebook keeps the marks of an earlier submission"
    )
    assert reason(report) == as_json(report)["reason"] == expected
    edited = ["setup: this locked cell was edited and was put back"]
    assert notes(report) == as_json(report)["repairs"] == edited
    assert Report.from_dict(as_json(report)) == Report.from_dict(report.to_dict()) == report


def test_in_a_table_the_same_remark_about_many_cells_is_made_once() -> None:
    report = Report("ada", "ch01", Status.GRADED)
    missing = [Remark(Code.LOCKED_MISSING, cell) for cell in ("test_a", "test_b", "test_c")]
    report.notes = [missing[0], Remark(Code.REORDERED), *missing[1:]]
    assert brief_notes(report) == [
        "test_a (and 2 more cells): this locked cell was missing and was put back",
        "cells were put back into the chapter's order",
    ]
    report.notes = missing[:2]
    assert brief_notes(report)[0].startswith("test_a (and 1 more cell): this")


def test_a_code_of_another_version_is_no_report() -> None:
    data = Report("ada", "ch01", Status.REJECTED, [Remark(Code.EMPTY)]).to_dict()
    data["reasons"][0]["code"] = "from_the_future"
    with pytest.raises(ValueError, match="from_the_future"):
        Report.from_dict(data)
