"""What lies beside a notebook that was handed in through nbgrader's exchange.

timestamp.txt says when, and submission_secret.txt is what the exchange names the feedback after,
so that only its student finds it. `generate_feedback` copies both out of autograded/, and
`release_feedback` reads them. The two files come from outside: they are not followed elsewhere,
and what is no date is no date.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autograder.files import write_whole

TIMESTAMP, SECRET = "timestamp.txt", "submission_secret.txt"
NOBODYS = "not through the exchange "  # begins a secret that nobody knows


@dataclass(frozen=True)
class HandIn:
    """When a notebook was handed in, and under which secret; empty if nothing says so.

    Attributes:
        timestamp: as it stands there, be it a date or not.
    """

    timestamp: str
    secret: str

    @classmethod
    def read(cls, folder: Path) -> HandIn:
        """What the files in the folder say."""
        return cls(_text(folder / TIMESTAMP), _text(folder / SECRET))

    @property
    def date(self) -> str:
        """The timestamp, if nbgrader takes it for one."""
        if not self.timestamp:
            return ""
        from nbgrader.utils import parse_utc  # which takes seconds

        try:
            parse_utc(self.timestamp)
        except (ValueError, OverflowError):
            return ""
        return self.timestamp

    @property
    def through_the_exchange(self) -> bool:
        """Whether there is a secret that a student knows."""
        return bool(self.secret) and not self.secret.startswith(NOBODYS)

    def lies_in(self, autograded: Path) -> bool:
        """Whether the folder has all of it; without a secret, any will do."""
        there = HandIn.read(autograded)
        if not there.secret or self.secret not in ("", there.secret):
            return False
        same = there.timestamp == self.timestamp
        return same or there.timestamp == self.date

    def write(self, autograded: Path, others: Mapping[str, str | bytes] | None = None) -> None:
        """Puts the files into the folder, and others with them, by relative path.

        The old secret goes first and the new one comes last: a run that is killed between leaves
        feedback without an address, never a new one under the address of an old hand-in. Whatever
        did not come through the exchange gets a secret that nobody knows, because
        `release_feedback` stops for the whole class where there is none.
        """
        (autograded / SECRET).unlink(missing_ok=True)
        for name, content in (others or {}).items():
            write_whole(autograded / name, content)
        write_whole(autograded / TIMESTAMP, self.date)
        write_whole(autograded / SECRET, self.secret or f"{NOBODYS}{secrets.token_hex(64)}")


def _text(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:
            return stream.read(1000).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
