"""Writes docs/validity.md from what `autograder audit --mutants --json` has found.

    python -m autograder.audit.page FOLDER > docs/validity.md

FOLDER holds one JSON file a chapter. No figure in the document is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def as_markdown(audits: list[dict[str, Any]]) -> str:
    """The page.

    Args:
        audits: the JSON form of `audit.Audit`, with mutants, one for each chapter.
    """
    exercises = [exercise for audit in audits for exercise in audit["exercises"]]
    right, accepted, right_gradings, wrong, rejected, wrong_gradings = (
        sum(exercise[key] for exercise in exercises)
        for key in (
            *("right", "right_accepted", "right_gradings"),
            *("wrong", "wrong_rejected", "wrong_gradings"),
        )
    )
    environment = Environment(loader=PackageLoader("autograder"), undefined=StrictUndefined)
    page = environment.get_template("validity.md.j2").render(
        audits=audits,
        rates=[
            ("right answers rejected", right - accepted, right, right_gradings),
            ("wrong answers accepted", wrong - rejected, wrong, wrong_gradings),
        ],
        tried=sum(exercise["mutants"]["tried"] for exercise in exercises),
        stopped=sum(exercise["mutants"]["stopped"] for exercise in exercises),
        killed=sum(exercise["mutants"]["killed"] for exercise in exercises),
        environments=_environments(audits),
        share=lambda part, whole: f"{part / max(whole, 1):.1%}",
    )
    return page.rstrip() + "\n"


def _environments(audits: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The exercises' titles, by the environment in which they were audited, the largest first."""
    found: dict[str, list[str]] = {}
    for audit in audits:
        for exercise in audit["exercises"]:
            found.setdefault(exercise["environment"], []).append(exercise["title"])
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).glob("*.json"))
    print(as_markdown([json.loads(file.read_text(encoding="utf-8")) for file in files]), end="")
