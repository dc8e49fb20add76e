"""Makes what a submission says safe to look at: in formgrader, in feedback, in a terminal.

A student's outputs, written answers and messages end up in the instructor's browser, where a
script could set marks, and in log files and terminals. HTML goes through nbconvert's sanitiser
(bleach); other rich output is kept only as text and bitmap images; control characters go, colours
stay.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace

from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode

from autograder.checks import CheckResult

_TAGS = [
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
_HTML = SanitizeHTML(tags=_TAGS, attributes={"a": ["href", "title"], "*": ["title"]})
_IMAGES = ("image/png", "image/jpeg")
# Everything that starts with the escape character, except the colours that tracebacks use.
_ESCAPES = re.compile(
    r"\x1b(?!\[[0-9;]*m)(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|.?)", re.S
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def clean_text(text: str) -> str:
    """The text without terminal commands, control characters and half characters."""
    text = _CONTROL.sub("", _ESCAPES.sub("", text))
    return text.encode("utf-8", "replace").decode()


def clean_html(source: str) -> str:
    """Markdown or HTML without anything that could run."""
    source = clean_text(source)
    return str(_HTML.sanitize_html_tags(source)) if re.search(r"<[a-zA-Z!/?]", source) else source


def clean_result(result: CheckResult) -> CheckResult:
    """The check's result with a message and a print-out that can be shown."""
    message, printed = (
        clean_text(_COLOUR.sub("", text)) for text in (result.message, result.printed)
    )
    return replace(result, message=message, printed=printed)


def clean_cell(cell: NotebookNode) -> None:
    """Cleans a cell in place: a written answer's text, a code cell's outputs."""
    if cell.cell_type == "code":
        cell.source = clean_text(cell.source)
        cell.outputs = [cleaned for o in cell.outputs if (cleaned := _output(o)) is not None]
    else:
        cell.source = clean_html(cell.source)


def _output(output: NotebookNode) -> NotebookNode | None:
    if output.output_type == "stream":
        output.text = clean_text(output.text)
        return output
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
        elif kind in ("text/html", "text/markdown"):
            data[kind] = clean_html(text)
        elif kind in _IMAGES and _is_base64(text):
            data[kind] = text
    if not data:
        return None
    output.data, output.metadata = NotebookNode(data), NotebookNode()
    return output


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
