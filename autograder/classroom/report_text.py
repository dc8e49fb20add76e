"""Text and numbers as the class report shows them, in its page and in its table.

Student ids, messages and reasons are hostile text: `clean` takes out what no reader should get.
Escaping is the business of whoever writes the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from autograder.results import Report

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|\x1b[ -~]?"
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u202a-\u202e\u2066-\u2069]"  # these reverse the text that follows
)
_SURROGATES = re.compile(r"[\ud800-\udfff]")  # cannot be written as UTF-8


def clean(value: Any) -> Any:
    """Text without terminal sequences, control characters and what UTF-8 cannot hold."""
    if type(value) is not str:  # markup of our own, or a number
        return value
    text = _CONTROLS.sub("", _ESCAPE_SEQUENCES.sub("", value))
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def number(value: float) -> str:
    """At most two decimals, and none that are zero."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def percent(part: float, whole: float) -> str:
    """A share, without decimals."""
    return f"{part / whole:.0%}"


def shortened(text: str, most: int) -> str:
    """The text, or as much of it as has room."""
    return text if len(text) <= most else f"{text[:most].rstrip()} …"


def label(id: str, title: str) -> str:
    """What heads an exercise's narrow column: its number ("1.3", "W1.1"), or else its id."""
    found = re.search(r"\b[A-Z]?[0-9]+(\.[0-9]+)+\b", title)
    return found[0] if found else id


def titles(reports: Iterable[Report]) -> dict[str, str]:
    """The titles of all exercises by id, in the order of their first appearance."""
    return {exercise.id: exercise.title for report in reports for exercise in report.exercises}
