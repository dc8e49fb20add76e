"""What a learner is shown in a notebook: plain text and HTML of the same content.

Pure functions; the tables are drawn in tables.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autograder import tables
from autograder.checks import Checks
from autograder.study.progress import Standing

_TEXT = "max-width:56em;margin:4px 0;color:var(--jp-ui-font-color1)"
_CODE = (
    "white-space:pre;overflow-x:auto;margin:0;padding:8px;color:var(--jp-ui-font-color1);"
    "background:var(--jp-layout-color2,rgba(128,128,128,.12))"
)


@dataclass(frozen=True)
class Shown:
    """Something to display, by MIME type; `text` is its plain text."""

    bundle: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.bundle["text/plain"])


def messages(texts: Sequence[str]) -> Shown:
    """Sentences, each a paragraph."""
    return Shown({"text/plain": _plain(texts), "text/html": _paragraphs(texts)})


def checks(check: Checks, before: Sequence[str], after: Sequence[str]) -> Shown:
    """The table of checks between what has to be said before and after it."""
    bundle = check.bundle()
    text = "\n\n".join(filter(None, [_plain(before), bundle["text/plain"], _plain(after)]))
    page = _paragraphs(before) + bundle["text/html"] + _paragraphs(after)
    return Shown({**bundle, "text/plain": text, "text/html": page})


def hints(
    title: str, every: Sequence[tuple[str, str]], shown: int, only: int | None = None
) -> Shown:
    """The first `shown` hints, or of them the one of that index only."""
    chosen = every[only : only + 1] if only is not None else every[:shown]
    parts = [f"**{heading}** ({title})\n\n{text}" for heading, text in chosen]
    left = len(every) - shown
    parts.append(
        f"*{left} more {'hint' if left == 1 else 'hints'}: run* `%hint` *again.*"
        if left
        else "*These are all the hints.*"
    )
    text = "\n\n".join(parts)
    return Shown({"text/plain": text, "text/markdown": text})


def solution(title: str, reference: str, other: str) -> Shown:
    """The reference solution and, if there is one, another right answer beside it."""
    first, _, rest = other.partition("\n")
    shown = [("The reference solution", reference)]
    if other:
        kind = first.removeprefix("# Right:").strip()
        shown.append((f"Another right answer: {kind}", rest))
    text = "\n\n".join(f"{name}\n\n{code.strip()}" for name, code in shown)
    columns = "".join(
        f'<div style="flex:1 1 30em;min-width:0"><h4>{html.escape(name)}</h4>'
        f'<pre style="{_CODE}" tabindex="0">{html.escape(code.strip())}</pre></div>'
        for name, code in shown
    )
    page = f'<h3>{html.escape(title)}</h3><div style="display:flex;flex-wrap:wrap;gap:1em">'
    return Shown({"text/plain": f"{title}\n\n{text}", "text/html": f"{page}{columns}</div>"})


HEAD = ("exercise", "best", "attempts", "hints", "solution", "solved")


def progress_rows(standings: Sequence[tuple[str, Standing]]) -> list[list[str]]:
    """One row an exercise, under `HEAD`."""
    return [
        [
            title,
            f"{standing.best:g} of {standing.max_score:g}" if standing.attempts else "not tried",
            str(standing.attempts),
            str(standing.hints),
            "seen" if standing.solution_seen else "not seen",
            f"{standing.first_pass.astimezone():%Y-%m-%d}" if standing.first_pass else "not yet",
        ]
        for title, standing in standings
    ]


def progress(standings: Sequence[tuple[str, Standing]], after: Sequence[str]) -> Shown:
    """A table of where the learner stands."""
    solved = sum(standing.solved for _, standing in standings)
    caption = f"Your progress: {solved} of {len(standings)} exercises solved"
    rows = progress_rows(standings)
    text = "\n\n".join(filter(None, [caption, tables.as_text(HEAD, rows), _plain(after)]))
    page = tables.as_html(caption, HEAD, rows) + _paragraphs(after)
    return Shown({"text/plain": text, "text/html": page})


def _plain(texts: Sequence[str]) -> str:
    return "\n".join(filter(None, texts))


def _paragraphs(texts: Sequence[str]) -> str:
    """The texts as paragraphs; what stands between backticks is code."""
    escaped = [html.escape(text) for text in texts if text]
    coded = [re.sub(r"`([^`]+)`", r"<code>\1</code>", text) for text in escaped]
    return "".join(f'<p style="{_TEXT}">{text}</p>' for text in coded)
