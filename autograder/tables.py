"""How results look: a table as plain text, and one as HTML that everybody can read.

Pure functions of records. They make the table below a test cell, `%check`'s and `%progress`'s in a
notebook, and what the terminal shows. The HTML has a caption and header cells, which screen readers
announce; every outcome is a word, and its colour only repeats it; the text has the page's own
colour, and lines and marks have JupyterLab's, so that it is readable on a light and on a dark page.

This module imports nothing heavy: notebooks load it.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from autograder.results import CheckResult, Code, Outcome

_CELL = (
    "text-align:left;vertical-align:top;padding:4px 10px;font-weight:normal;"
    "border-bottom:1px solid var(--jp-border-color1,rgba(128,128,128,.4));"
)
_TABLE = "border-collapse:collapse;margin:4px 0;max-width:56em;color:var(--jp-ui-font-color1)"
_DETAILS = "margin-top:2px;white-space:pre-wrap"
_CAPTION = "caption-side:top;text-align:left;padding:4px 0;font-weight:bold;color:inherit"
_GREEN, _RED = "var(--jp-success-color1,#2e8b57)", "var(--jp-error-color1,#d1495b)"
_AMBER, _GREY = "var(--jp-warn-color1,#c77700)", "var(--jp-border-color1,#808890)"
_MARKS = {
    Outcome.PASSED: ("\N{CHECK MARK}", _GREEN),
    Outcome.FAILED: ("\N{BALLOT X}", _RED),
    Outcome.ERROR: ("!", _RED),
    Outcome.NOT_ATTEMPTED: ("\N{EN DASH}", _GREY),
    Outcome.NOT_RUN: ("\N{EN DASH}", _GREY),
    Outcome.TIMED_OUT: ("\N{BLACK SQUARE}", _AMBER),
    Outcome.OUT_OF_MEMORY: ("\N{BLACK SQUARE}", _AMBER),
    Outcome.KERNEL_DIED: ("\N{BLACK SQUARE}", _AMBER),
}
_WITHOUT_HINTS = (Code.IS_NONE, Code.NAME_NOT_DEFINED)
_ERRORS = (*_WITHOUT_HINTS, Code.ERROR_AT_LINE, Code.NOT_USABLE)


def checks_as_text(results: Sequence[CheckResult], footer: str) -> str:
    """One line a check, explanations indented below it, and the footer."""
    lines = []
    for result in _explained_once(results):
        mark = _MARKS[result.outcome][0]
        points = f"{result.points:g}/{result.max_points:g}"
        hidden = " (hidden)" if result.hidden else ""
        lines.append(f"{mark} {points:>5}  {result.title}{hidden}")
        lines += [f"          {line}" for line in _explanation(result)]
    return "\n".join([*lines, footer])


def checks_as_html(results: Sequence[CheckResult], caption: str) -> str:
    """A row a check: its outcome, its title with what there is to say, its points."""
    rows = []
    for result in _explained_once(results):
        mark, colour = _MARKS[result.outcome]
        details = "".join(
            f'<div style="{_DETAILS}">{html.escape(line)}</div>'
            for line in _explanation(result, with_outcome=False)
        )
        hidden = " <em>(hidden)</em>" if result.hidden else ""
        # Names and code may break anywhere: a long one would make the table wider than the page.
        wrap = "normal" if " " in result.outcome else "nowrap"
        rows.append(
            '<tr style="background:transparent">'
            f'<td style="{_CELL}border-left:4px solid {colour};white-space:{wrap}">'
            f'<strong><span aria-hidden="true">{mark}</span> {result.outcome}</strong></td>'
            f'<th scope="row" style="{_CELL}width:100%;overflow-wrap:anywhere">'
            f"{html.escape(result.title)}{hidden}{details}</th>"
            f'<td style="{_CELL}text-align:right;white-space:nowrap">'
            f"{result.points:g} / {result.max_points:g}</td></tr>"
        )
    return _table(caption, ("outcome", "property", "points"), rows)


def as_html(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts; the first cell of a row names it."""
    return _table(
        caption,
        head,
        [
            '<tr style="background:transparent">'
            f'<th scope="row" style="{_CELL}">{html.escape(first)}</th>'
            + "".join(f'<td style="{_CELL}">{html.escape(text)}</td>' for text in rest)
            + "</tr>"
            for first, *rest in rows
        ],
    )


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same in columns of plain text."""
    table = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _table(caption: str, head: Sequence[str], rows: Sequence[str]) -> str:
    columns = "".join(
        f'<th scope="col" style="{_CELL}font-weight:bold">{html.escape(name)}</th>' for name in head
    )
    return (
        f'<table style="{_TABLE}"><caption style="{_CAPTION}">{html.escape(caption)}</caption>'
        f'<thead><tr style="background:transparent">{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _explained_once(results: Sequence[CheckResult]) -> list[CheckResult]:
    """The results with each error explained where it is met first.

    What stops many checks has nothing to do with what each of them is about, nor have their hints.
    """
    met = Counter(map(_error, results))
    explained = set()

    def explain(result: CheckResult) -> CheckResult:
        error = _error(result)
        if error is None or (met[error] == 1 and result.code not in _WITHOUT_HINTS):
            return result
        message = "the same error as above" if error in explained else result.message
        explained.add(error)
        return replace(result, message=message, hint="")

    return [explain(result) for result in results]


def _error(result: CheckResult) -> tuple[Code, str, str] | None:
    """What is the same for the same error in the same line, whatever the values in its message."""
    if result.code not in _ERRORS:
        return None
    if result.code is Code.ERROR_AT_LINE:
        return result.code, result.message.partition(":")[0], result.message.rpartition("\n")[2]
    return result.code, result.message, ""


def _explanation(result: CheckResult, with_outcome: bool = True) -> list[str]:
    lines = []
    if result.outcome is not Outcome.PASSED:
        if with_outcome:
            lines.append(f"{result.outcome}{': ' if result.message else ''}{result.message}")
        elif result.message:
            lines.append(result.message)
        if result.hint and result.outcome in (Outcome.FAILED, Outcome.ERROR):
            lines.append(f"Hint: {result.hint}")
    if result.printed.strip():
        lines.append(f"Printed: {result.printed.strip()}")
    return [part for line in lines for part in line.splitlines()]
