"""Text from outside without what a terminal or a file would obey; imports nothing heavy."""

from __future__ import annotations

import re

# Everything that starts with the escape character, except the colours that tracebacks use.
_ESCAPES = re.compile(
    r"\x1b(?!\[[0-9;]*m)(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|.?)", re.S
)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def clean_text(text: str) -> str:
    """The text without terminal commands, control characters and half characters."""
    text = CONTROL.sub("", _ESCAPES.sub("", text))
    return text.encode("utf-8", "replace").decode()
