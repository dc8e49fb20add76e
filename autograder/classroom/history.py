"""How a submission's marks have moved: what was graded again, by hand or by the engine.

A `Snapshot` is a mark as it stood, with what the checks found and which answers it was for. When
the next one differs, a `Step` says which exercises' marks moved, by which checks, from what to
what. Both lie in the submission's record, so that they go where it goes. The functions are pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autograder.classroom.marks import SMALL, ExerciseMark, Mark
from autograder.course.cells import grade_id, is_answer
from autograder.results import Report

if TYPE_CHECKING:  # which takes a while to import
    from nbformat import NotebookNode

Score = float | None
Check = tuple[str, str, float]  # title, outcome, points


@dataclass(frozen=True)
class Snapshot:
    """A mark as it stood, and what it was given for.

    Attributes:
        scores: what counts, by exercise; None where there is no mark yet.
        by_hand: the exercises whose mark a person gave.
        checks: what became of each check, by exercise and name.
        answers: fingerprints of the answers, by exercise.
        entered: whether it is the gradebook's.
    """

    scores: dict[str, Score]
    by_hand: list[str]
    late_penalty: float
    checks: dict[str, dict[str, Check]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    entered: bool = True

    @classmethod
    def of(cls, mark: Mark, report: Report, answers: dict[str, str], entered: bool) -> Snapshot:
        """The mark now, with what the checks found."""
        checks = {
            exercise.id: {c.name: (c.title, str(c.outcome), c.points) for c in exercise.checks}
            for exercise in report.exercises
        }
        return cls(**_scores(mark), checks=checks, answers=answers, entered=entered)

    @classmethod
    def unknown(cls, mark: Mark) -> Snapshot:
        """A mark of which only the gradebook knows, as stock nbgrader leaves it."""
        return cls(**_scores(mark))

    def now(self, mark: Mark) -> Snapshot:
        """The same work with the mark that the gradebook has now."""
        return replace(self, **_scores(mark))

    def same_answer(self, exercise: str, answers: Mapping[str, str]) -> bool:
        """Whether the gradebook's mark is for this very answer."""
        return self.entered and self.answers.get(exercise) == answers.get(exercise, "")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Snapshot:
        """The inverse of `dataclasses.asdict`."""
        checks = {
            exercise: {name: (str(c[0]), str(c[1]), float(c[2])) for name, c in found.items()}
            for exercise, found in data["checks"].items()
        }
        return cls(**{**data, "checks": checks})


def _scores(mark: Mark) -> dict[str, Any]:
    return {
        "scores": {exercise.id: exercise.score for exercise in mark.exercises},
        "by_hand": [e.id for e in mark.exercises if e.by_hand is not None],
        "late_penalty": mark.late_penalty,
    }


@dataclass(frozen=True)
class Move:
    """How one exercise's mark moved.

    Attributes:
        before, after: points; None: no mark.
        by_hand: whether a person gave the new mark.
        checks: sentences on the checks that moved it.
    """

    exercise: str
    title: str
    before: Score
    after: Score
    by_hand: bool
    checks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        by = "by hand" if self.by_hand else "; ".join(self.checks)
        moved = f"{self.title}: {_points(self.before)} → {_points(self.after)}"
        return f"{moved} ({by})" if by else moved


@dataclass(frozen=True)
class Step:
    """One change of a submission's mark.

    Attributes:
        time: in UTC, as ISO 8601 has it; times sort as text.
        score, max_score: of the submission after it.
        entered: whether it is the gradebook's mark; otherwise it is of a run without gradebook.
        moves: none for the first mark.
        late_penalty: before and after, if it changed.
    """

    time: str
    score: float
    max_score: float
    entered: bool
    moves: list[Move] = field(default_factory=list)
    late_penalty: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Step:
        """The inverse of `dataclasses.asdict`."""
        moves = [Move(**move) for move in data["moves"]]
        penalty = data["late_penalty"]
        return cls(
            **{**data, "moves": moves, "late_penalty": None if penalty is None else tuple(penalty)}
        )

    @property
    def graded_again(self) -> bool:
        """Whether something else than a person's mark moved."""
        return self.late_penalty is not None or any(not move.by_hand for move in self.moves)

    @property
    def changes_a_mark(self) -> bool:
        """Whether something moved that was there before: a first mark by hand does not."""
        return self.late_penalty is not None or any(move.before is not None for move in self.moves)

    def sentences(self) -> list[str]:
        """What moved, in words."""
        said = list(map(str, self.moves))
        if self.late_penalty is not None:
            before, after = map(_points, self.late_penalty)
            said.append(f"late penalty: {before} → {after}")
        return said


def _points(score: Score) -> str:
    return "no mark" if score is None else f"{score:.2f}".rstrip("0").rstrip(".")


def now() -> str:
    """The time for a step."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def step(before: Snapshot | None, after: Snapshot, mark: Mark) -> Step | None:
    """What changed from one snapshot to the next; None if nothing did.

    Args:
        mark: that the second one was made of.
    """
    made = Step(now(), mark.score, mark.max_score, after.entered)
    if before is None:
        return made
    # Marks by hand and penalties are in the gradebook alone: a run without it moves none of them.
    stands = () if after.entered else before.by_hand
    moves = [
        _move(before, after, exercise)
        for exercise in mark.exercises
        if exercise.id not in stands and _differ(before.scores.get(exercise.id), exercise.score)
    ]
    penalty = (before.late_penalty, after.late_penalty)
    changed = penalty if after.entered and _differ(*penalty) else None
    return replace(made, moves=moves, late_penalty=changed) if moves or changed else None


def _differ(one: Score, other: Score) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) > SMALL


def _move(before: Snapshot, after: Snapshot, exercise: ExerciseMark) -> Move:
    id = exercise.id
    by_hand = id in after.by_hand
    checks = [] if by_hand else _checks(before.checks.get(id, {}), after.checks.get(id, {}))
    return Move(id, exercise.title, before.scores.get(id), exercise.score, by_hand, checks)


def _checks(before: Mapping[str, Check], after: Mapping[str, Check]) -> list[str]:
    """Which checks earn other points than before, and why."""
    said = []
    for name in [*after, *(gone for gone in before if gone not in after)]:
        old, new = before.get(name), after.get(name)
        title = f"“{(new or old or ('', '', 0))[0].rstrip('.')}”"
        if old is None and new is not None:
            said.append(f"{title}, a new check, {new[1]}: {_points(new[2])}")
        elif new is None and old is not None:
            said.append(f"{title}, {_points(old[2])} before, is no check any more")
        elif old and new and (old[1] != new[1] or _differ(old[2], new[2])):
            outcome = new[1] if old[1] == new[1] else f"{old[1]} → {new[1]}"
            said.append(f"{title} {outcome}: {_points(old[2])} → {_points(new[2])}")
    return said


def answers(notebook: NotebookNode) -> dict[str, str]:
    """Fingerprints of what the student wrote for each exercise."""
    texts: dict[str, list[str]] = {}
    for cell in notebook.cells:
        if is_answer(cell):
            texts.setdefault(str(grade_id(cell)), []).append(cell.source.strip())
    return {id: fingerprint(text) for id, text in texts.items()}


def fingerprint(texts: list[str]) -> str:
    """Of what stands in cells."""
    return hashlib.sha256(repr(texts).encode()).hexdigest()[:16]


def asks_a_person(old: ExerciseMark | None, by_hand: Score, by_checks: Score, same: bool) -> bool:
    """Whether a person has to look at an exercise after a grading.

    Who has marked an answer is not asked again while it stays the same and its checks say the
    same.

    Args:
        old: the gradebook's mark before.
        by_hand: that a person has given.
        by_checks: that the checks give now.
        same: whether it is known that the answer is the one that was there before.
    """
    if by_checks is not None and by_hand is None:
        return False
    if old is None or not same or _differ(old.by_checks, by_checks):
        return True
    return old.waiting


def extended(
    history: Sequence[Step], before: Snapshot | None, after: Snapshot, mark: Mark
) -> list[Step]:
    """The history with what changed, if anything did."""
    made = step(before, after, mark)
    if made is None or (history and replace(history[-1], time=made.time) == made):
        return list(history)  # the second run without a gradebook says the same
    return [*history, made]
