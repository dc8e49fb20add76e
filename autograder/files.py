"""Writes files so that they appear whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a text file as UTF-8; makes its folder if there is none.

    The text goes into a hidden file beside it, which then takes its place. If that cannot be done,
    the hidden file is removed. If the process is killed, it stays; it ends in ".tmp" and starts
    with a dot, and nothing here looks at such files.

    Raises:
        OSError: if the disk is full, say; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the name
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
