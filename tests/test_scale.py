"""The arithmetic of docs/scale.md is right."""

from __future__ import annotations

import re

from sample_class import ROOT

from autograder.sandbox.confine import Resources

SUBMISSIONS = 100_000


def test_what_follows_from_the_measured_figures_is_what_the_page_says() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \| ([\d.,]+) \|", page, re.MULTILINE)
    numbers = {name: float(number.replace(",", "")) for name, number in rows}
    given = iter(numbers.values())
    cpu, start, memory, written, price, workers = (next(given) for _ in range(6))
    hours = (SUBMISSIONS * cpu + workers * start) / 3600
    limit = Resources().memory_bytes / 2**30
    assert dict(list(numbers.items())[6:]) == {
        "CPU hours": round(hours),
        "money": round(hours * price, 1),
        "GiB of memory on all machines, as it is": round(workers * memory),
        "GiB of memory, if each submission took all that it may (4 GiB more)": round(
            workers * (memory + limit)
        ),
        "minutes, if the workers decide": round(hours / workers * 60),
        "minutes, if the one writer decides": round(SUBMISSIONS / written),
    }
