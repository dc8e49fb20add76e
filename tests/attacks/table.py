"""Puts the table of attacks into docs/security.md.

    python tests/attacks/table.py

The verdicts on stock nbgrader are those that stock.py has measured (stock.json).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from attacks.attacks import ATTACKS

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- attacks: made by tests/attacks/table.py -->\n", "<!-- end of attacks -->\n"


def table() -> str:
    """All attacks, a table for each group."""
    stock = json.loads((Path(__file__).parent / "stock.json").read_text())
    done = sum(stock[attack.name]["verdict"] != "nothing" for attack in ATTACKS)
    lines = [f"{len(ATTACKS)} attacks; {done} of them do damage to stock nbgrader 0.9.6.\n"]
    for group in dict.fromkeys(attack.group for attack in ATTACKS):
        lines += [
            f"\n### {group.capitalize()}\n",
            "\n| attack | what it does | on stock nbgrader |\n",
        ]
        lines += ["|---|---|---|\n"]
        for attack in ATTACKS:
            if attack.group == group:
                verdict = stock[attack.name]["verdict"]
                lines.append(f"| `{attack.name}` | {attack.goal} | {verdict} |\n")
    return "".join(lines)


def with_table(page: str) -> str:
    """The page with the table that the attacks give now."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
