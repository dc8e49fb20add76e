"""What a learner has done so far: attempts, hints, solutions seen, first passes.

One small SQLite file, work/progress.sqlite, written by the learner's own kernels and read by the
start page and `autograder progress`. It holds events, which are only ever added, so two kernels can
write at once and an upgrade has nothing to convert. An exercise is known by its chapter's name
without the number ("concepts") and its id ("attention"): chapters and sections may be renumbered.
Nothing leaves the machine.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from autograder.results import CheckResult

LONG_AGO = timedelta(days=14)  # until a solved exercise is proposed once more
SECONDS_TO_WAIT = 15  # for another kernel that is writing
_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    at TEXT NOT NULL,        -- UTC, ISO 8601
    chapter TEXT NOT NULL,   -- without its number
    exercise TEXT NOT NULL,
    kind TEXT NOT NULL,      -- attempt, hint or solution
    score REAL, max_score REAL,
    hidden INTEGER,          -- whether hidden checks were among those of the attempt
    checks TEXT              -- JSON: what became of each check of the attempt, by name
)"""

T = TypeVar("T")


@dataclass(frozen=True)
class Standing:
    """Where a learner stands with one exercise.

    Attributes:
        best: points of the best attempt, out of `max_score`, the points of the latest one. Attempts
            that saw visible checks only do not count beside others.
        hints: how many were shown.
    """

    attempts: int = 0
    best: float = 0.0
    max_score: float = 0.0
    hints: int = 0
    solution_seen: bool = False
    first_pass: datetime | None = None
    last_attempt: datetime | None = None

    @property
    def solved(self) -> bool:
        """Whether all checks passed once."""
        return self.first_pass is not None


def chapter_key(chapter: str) -> str:
    """A chapter's name without its number: "concepts" for "ch01_concepts"."""
    return re.sub(r"^ch\d+_", "", chapter)


class Progress:
    """A learner's progress in the file at `path`, which is made by the first thing to record.

    A file that is no readable database is kept beside under another name, which is said on
    standard error, and a new one is begun. Every method raises `sqlite3.Error` or OSError if the
    file cannot be used: no right to write, a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def attempt(
        self,
        chapter: str,
        exercise: str,
        score: float,
        max_score: float,
        checks: Sequence[CheckResult],
    ) -> None:
        """Records that the checks of an exercise have run."""
        outcomes = json.dumps({check.name: str(check.outcome) for check in checks})
        hidden = any(check.hidden for check in checks)
        self._add(chapter, exercise, "attempt", score, max_score, hidden, outcomes)

    def hint(self, chapter: str, exercise: str) -> int:
        """Records that one more hint is shown; returns how many have been, this one included."""
        return self._add(chapter, exercise, "hint")

    def solution(self, chapter: str, exercise: str) -> None:
        """Records that the solution is shown."""
        self._add(chapter, exercise, "solution")

    def standing(self, chapter: str, exercise: str) -> Standing:
        """Where the learner stands with the exercise."""
        key = (chapter_key(chapter), exercise)
        return _standing(self._all("WHERE (chapter, exercise) = (?, ?)", key).get(key, []))

    def again(self, now: datetime) -> tuple[str, str] | None:
        """An exercise solved long ago, to be solved once more: its chapter (no number) and id.

        It is the one that has been left alone the longest, two weeks at least.
        """
        left_alone = [
            (standing.last_attempt, key)
            for key, events in self._all().items()
            for standing in [_standing(events)]
            if standing.solved and standing.last_attempt
        ]
        since, key = min(left_alone, default=(now, None))
        return key if key and now.astimezone(UTC) - since.astimezone(UTC) >= LONG_AGO else None

    def export(self) -> dict[str, object]:
        """All that is recorded, as JSON has it; times are UTC in ISO 8601."""
        exercises = []
        for (chapter, exercise), events in self._all().items():
            standing = vars(_standing(events))
            times = {k: v.isoformat() for k, v in standing.items() if isinstance(v, datetime)}
            history = [
                {
                    "at": event["at"],
                    "score": event["score"],
                    "max_score": event["max_score"],
                    "checks": json.loads(event["checks"]),
                }
                for event in events
                if event["kind"] == "attempt"
            ]
            exercises.append(
                {"chapter": chapter, "exercise": exercise, **standing, **times, "history": history}
            )
        return {"version": 1, "exercises": exercises}

    def _add(self, chapter: str, exercise: str, kind: str, *attempt: object) -> int:
        """Adds an event; returns how many of its kind the exercise has now."""
        key = (chapter_key(chapter), exercise, kind)
        values = [*attempt, None, None, None, None][:4]
        now = datetime.now(UTC).isoformat(timespec="microseconds")

        def add(database: sqlite3.Connection) -> int:
            database.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [now, *key, *values]
            )
            (number,) = database.execute(
                "SELECT count(*) FROM events WHERE (chapter, exercise, kind) = (?, ?, ?)", key
            ).fetchone()
            return int(number)

        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self._use(add)

    def _all(
        self, where: str = "", values: tuple[str, ...] = ()
    ) -> dict[tuple[str, str], list[sqlite3.Row]]:
        """All events in order of time, by exercise."""
        if not self.path.exists():
            return {}
        query = f"SELECT * FROM events {where} ORDER BY at"
        found: dict[tuple[str, str], list[sqlite3.Row]] = {}
        for event in self._use(lambda database: database.execute(query, values).fetchall()):
            found.setdefault((event["chapter"], event["exercise"]), []).append(event)
        return found

    def _use(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Does it in one transaction; puts a file aside that cannot be read, and begins anew."""
        try:
            return self._transaction(action)
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # locked, say: the file is good
                raise
            self._put_aside(error)
            return self._transaction(action)

    def _transaction(self, action: Callable[[sqlite3.Connection], T]) -> T:
        with closing(
            sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, isolation_level=None)
        ) as database:
            database.row_factory = sqlite3.Row
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            result = action(database)
            database.execute("COMMIT")
            return result

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(
            f"{self.path.stem}-unreadable-{datetime.now():%Y-%m-%d-%H%M%S%f}{self.path.suffix}"
        )
        with suppress(FileNotFoundError):  # another kernel was faster
            self.path.rename(aside)
            print(
                f"Your progress file could not be read ({error}). It is kept as {aside.name}, "
                "and a new one begins now.",
                file=sys.stderr,
            )


def _standing(events: Sequence[Any]) -> Standing:
    """What the events of one exercise, in order of time, say."""
    kinds = [event["kind"] for event in events]
    attempts = [event for event in events if event["kind"] == "attempt"]
    full = [event for event in attempts if event["hidden"]] or attempts
    passed = [e for e in full if e["max_score"] and e["score"] >= e["max_score"] - 1e-9]
    most = full[-1]["max_score"] if full else 0.0
    share = max((e["score"] / e["max_score"] for e in full if e["max_score"]), default=0.0)
    return Standing(
        attempts=len(attempts),
        best=round(share * most, 6),
        max_score=most,
        hints=kinds.count("hint"),
        solution_seen="solution" in kinds,
        first_pass=datetime.fromisoformat(passed[0]["at"]) if passed else None,
        last_attempt=datetime.fromisoformat(attempts[-1]["at"]) if attempts else None,
    )
