"""Writes docs/validity.md from what `autograder audit --mutants --json` has found.

    python -m autograder.validity FOLDER > docs/validity.md

FOLDER holds one JSON file a chapter. No figure in the document is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TEXT = """\
# How valid are the marks?

A grader errs in two ways: it rejects a right answer, or accepts a wrong one. This page says how
often that happened when every collected answer was graded, and how many small mistakes planted in
the reference solutions were noticed. `make audit` makes it; nothing here is typed by hand.

* **Right answers** are written in other ways than the reference solution. Each has to pass
  every check under every seed.
* **Wrong answers** contain one mistake that people make. Each has to lose the checks
  that its author named, under every seed.
* **Mutants** are copies of the reference solution with one change, made by a program: an argument
  exchanged, a term dropped, a dimension or a number changed. Those that compute the same are listed
  by hand, with the reason, in `tests/answers/CHAPTER/EXERCISE/equivalent.toml`, and are not counted.

Answers that have not been collected may fare otherwise. With n answers and no error among them,
the rate of errors on answers of the same kind is below 1 - 0.05^(1/n) with 95 % confidence (Clopper and
Pearson, *Biometrika* 26(4), 1934); that is the bound below. Seeds are not counted as
answers in it. The list of answers is the project's own, not a random sample of students' work.
"""


def bound(number: int) -> str:
    """Upper 95 % confidence bound for a rate, after `number` trials without an event."""
    return f"{1 - 0.05 ** (1 / number):.1%}"


def as_markdown(audits: list[dict[str, Any]]) -> str:
    """The page.

    Args:
        audits: the JSON form of `audit.Audit`, with mutants, one for each chapter.
    """
    parts = [TEXT]
    exercises = [exercise for audit in audits for exercise in audit["exercises"]]
    right, wrong = (sum(e[key] for e in exercises) for key in ("right", "wrong"))
    accepted, rejected = (sum(e[k] for e in exercises) for k in ("right_accepted", "wrong_rejected"))
    tried, killed = (sum(e["mutants"][key] for e in exercises) for key in ("tried", "killed"))
    rows = [
        ("right answers rejected", right - accepted, right, "right_gradings"),
        ("wrong answers accepted", wrong - rejected, wrong, "wrong_gradings"),
    ]
    parts.append("| | errors | answers | gradings | bound on the rate |\n|---|---:|---:|---:|---:|")
    for name, errors, number, gradings in rows:
        limit = bound(number) if not errors else "see below"
        total = sum(e[gradings] for e in exercises)
        parts[-1] += f"\n| {name} | {errors} | {number} | {total} | {limit} |"
    parts.append(f"Mutants: {killed} of {tried} rejected ({killed / tried:.1%}).")
    for audit in audits:
        parts += _chapter(audit)
    return "\n\n".join(parts) + "\n"


def _chapter(audit: dict[str, Any]) -> list[str]:
    table = (
        "| exercise | right answers | wrong answers | seeds | 64 bits | mutants rejected | equivalent "
        "| depends on the seed | seconds |\n|---|---:|---:|---:|---|---:|---:|---:|---:|"
    )
    checks = "| exercise | check | wrong answers rejected | of them by no other check |\n|---|---|---:|---:|"
    survivors = []
    for exercise in audit["exercises"]:
        mutants = exercise["mutants"]
        table += (
            f"\n| {exercise['title']} | {exercise['right_accepted']} of {exercise['right']} accepted "
            f"| {exercise['wrong_rejected']} of {exercise['wrong']} rejected | {audit['seeds']} "
            f"| {'yes' if exercise['float64'] else ''} "
            f"| {mutants['killed']} of {mutants['tried']} ({mutants['killed'] / mutants['tried']:.0%}) "
            f"| {mutants['equivalent']} | {len(exercise['flaky'])} | {exercise['seconds']:.1f} |"
        )
        for check in exercise["checks"]:
            row = f"{len(check['rejects'])} | {len(check['alone'])}"
            checks += f"\n| {exercise['id']} | `{check['name']}` | {row} |"
        survivors += [f"In {exercise['id']}:\n\n```toml\n{s}```" for s in mutants["survivors"]]
    parts = [f"## {audit['title']}", table, f"<details><summary>Check by check</summary>\n\n{checks}\n\n</details>"]
    if survivors:
        text = "\n\n".join(survivors)
        parts.append(f"<details><summary>Mutants that were accepted</summary>\n\n{text}\n\n</details>")
    return parts


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).glob("*.json"))
    print(as_markdown([json.loads(file.read_text(encoding="utf-8")) for file in files]), end="")
