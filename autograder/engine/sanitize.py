"""Makes what a submission says safe to look at: in formgrader, in feedback, in a terminal.

A student's outputs, written answers and messages end up in the instructor's browser, where a
script could set marks, and in log files and terminals. HTML goes through a sanitiser (nh3);
other rich output is kept only as text and bitmap images; control characters go, colours stay.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from dataclasses import replace

import nh3
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.engine.text import CONTROL, clean_text
from autograder.results import CheckResult

_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
    ]
)
_SCHEMES = {"http", "https", "mailto"}
_MAX_HTML, _MAX_TAGS = 200_000, 2_000  # of one text; nested tags take quadratic time
# Where Markdown takes an address from: links, images, definitions; and TeX's \\href.
_ADDRESS = re.compile(r"(\]\(\s*<?|^ {0,3}\[[^\]\n]+\]:\s*<?|\\href\s*\{)([^\s)>}]*)", re.MULTILINE)
_IMAGES = ("image/png", "image/jpeg")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def clean_html(source: str) -> str:
    """Markdown or HTML without anything that could run."""
    source = clean_text(source)
    if _is_too_much(source):
        return html.escape(source, quote=False)
    if re.search(r"<[a-zA-Z!/?]", source):
        source = nh3.clean(
            source, tags=set(_TAGS), attributes={"a": {"href"}}, url_schemes=_SCHEMES
        )
    return _ADDRESS.sub(_checked_address, source)


def _is_too_much(source: str) -> bool:
    return len(source) > _MAX_HTML or source.count("<") > _MAX_TAGS


def _checked_address(match: re.Match[str]) -> str:
    address = CONTROL.sub("", html.unescape(match[2]))
    scheme = re.match(r"([^/?#]*?):", address)
    harmless = scheme is None or scheme[1].strip().lower() in _SCHEMES
    return match[0] if harmless else f"{match[1]}#"


def clean_result(result: CheckResult) -> CheckResult:
    """The check's result with a message and a print-out that can be shown."""
    message, printed = (
        clean_text(_COLOUR.sub("", text)) for text in (result.message, result.printed)
    )
    return replace(result, message=message, printed=printed)


def clean_cell(cell: NotebookNode, budget: int) -> int:
    """Cleans a cell in place: a written answer's text, a code cell's outputs.

    Args:
        budget: characters of output that may be kept.

    Returns:
        How many were kept.
    """
    if cell.cell_type != "code":
        cell.source = clean_html(cell.source)
        return 0
    cell.source = clean_text(cell.source)
    cell.execution_count = None
    kept, size = [], 0
    for output in cell.outputs:
        size += len(repr(output))
        if size > budget:
            text = "[cut: the notebook has printed too much]\n"
            kept.append(new_output("stream", name="stdout", text=text))
            break
        if (cleaned := _output(output)) is not None:
            kept.append(cleaned)
    cell.outputs = kept
    return min(size, max(0, budget))


def _output(output: NotebookNode) -> NotebookNode | None:
    if output.output_type == "stream":
        name = "stderr" if output.name == "stderr" else "stdout"
        return new_output("stream", name=name, text=clean_text(output.text))
    if output.output_type == "error":
        output.ename, output.evalue = clean_text(output.ename), clean_text(output.evalue)
        output.traceback = [clean_text(line) for line in output.traceback]
        return output
    data = {}
    for kind, content in output.data.items():
        text = "".join(content) if isinstance(content, list) else content
        if not isinstance(text, str):
            continue
        if kind == "text/plain":
            data[kind] = clean_text(text)
        elif kind in ("text/html", "text/markdown") and not _is_too_much(text):
            data[kind] = clean_html(text)
        elif kind in _IMAGES and _is_base64(text):
            data[kind] = text
    if not data:
        return None
    options = {"execution_count": None} if output.output_type == "execute_result" else {}
    return new_output(output.output_type, data, **options)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
