"""Writes files so that they appear whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8; makes its folder if there is none.

    It goes into a hidden file beside it, which then takes its place. If that cannot be done, the
    hidden file is removed. If the process is killed, it stays; it ends in ".tmp" and starts
    with a dot, and nothing here looks at such files.

    Raises:
        OSError: if the disk is full, say; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the file's name, which may be as long as a name can be.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the name
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def umask_kept() -> Iterator[None]:
    """What is done inside does not change the umask, as reading nbgrader_config.py does."""
    mask = os.umask(0o077)
    os.umask(mask)
    try:
        yield
    finally:
        os.umask(mask)


def free_path(path: Path) -> Path:
    """The path, or the first like it, with a number, that does not exist."""
    numbered = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
    return next(other for other in chain([path], numbered) if not other.exists())
