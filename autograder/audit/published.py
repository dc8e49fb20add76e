"""Audits as files, and which of the published figures to try again before a change lands.

A published figure holds for as long as the exercise's fingerprint is the same: what differs is
audited again, wholly. So is an eighth of the rest, chosen by the commit: what no fingerprint can
notice (another machine, a change of the engine that its version does not tell) is noticed sooner or
later. Where the engine or the locked packages are not those of the figures, every other exercise is
tried with four answers.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from autograder.audit.answers import Collection
from autograder.audit.audit import Target
from autograder.audit.verdict import Audit
from autograder.course.build import write_whole
from autograder.course.source import CourseError

SHARE = 8  # one of so many is audited although nothing has changed


def read_audit(path: Path) -> Audit:
    """The audit that `write_audit` has written.

    Raises:
        CourseError: if the file is something else.
    """
    try:
        return Audit.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise CourseError(f"{path} is no audit of this version; delete it: {error}") from None


def read_audits(paths: Mapping[str, Path]) -> dict[str, Audit]:
    """The audits that are there; files by chapter."""
    return {chapter: read_audit(path) for chapter, path in paths.items() if path.exists()}


def write_audit(audit: Audit, path: Path) -> None:
    """Writes the file, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(audit), indent=1) + "\n")


def files(folder: Path, chapters: Iterable[str]) -> dict[str, Path]:
    """Where the chapters' audits lie in a folder."""
    return {chapter: folder / f"{chapter}.json" for chapter in chapters}


def commit(folder: Path) -> str | None:
    """The commit that is checked out; None outside git."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def choose(
    collections: Sequence[Collection],
    published: Mapping[str, Audit],
    environment: str,
    commit: str | None,
    mutants: int,
) -> list[Target]:
    """The exercises to audit, in order, each with the reason.

    Args:
        published: by chapter; an exercise that is not in it counts as changed.
        environment: the present one.
        commit: chooses the eighth of what has not changed; None: all of it is audited.
        mutants: how many to try of each exercise that is audited wholly.
    """
    known = {
        f"{audit.chapter}/{exercise.id}": exercise
        for audit in published.values()
        for exercise in audit.exercises
    }
    reasons: dict[str, str] = {}
    same = []
    for collection in collections:
        figures = known.get(collection.name)
        if figures is None:
            reasons[collection.name] = "no figures are published"
        elif figures.fingerprint != collection.fingerprint:
            reasons[collection.name] = "changed since its figures were published"
        else:
            same.append(collection.name)
    if commit is None:
        reasons |= dict.fromkeys(same, "unchanged, but no commit chooses an eighth: not in git")
    else:
        same.sort(key=lambda name: _draw(commit, name))
        drawn = same[: -(-len(same) // SHARE)]
        reasons |= dict.fromkeys(drawn, f"unchanged, in the eighth of commit {commit[:8]}")
    targets = []
    for collection in collections:
        if collection.name in reasons:
            targets.append(Target(collection, mutants, reason=reasons[collection.name]))
        elif known[collection.name].environment != environment:
            reason = "engine or packages changed: the solution and three answers"
            targets.append(Target(collection, answers=_few(collection, commit), reason=reason))
    return targets


def _few(collection: Collection, commit: str | None) -> frozenset[str]:
    """One right answer and two wrong ones."""
    drawn = sorted(collection.answers, key=lambda answer: _draw(commit, answer.name))
    right = [answer.name for answer in drawn if answer.right]
    wrong = [answer.name for answer in drawn if not answer.right]
    return frozenset([*right[:1], *wrong[:2]])


def _draw(commit: str | None, name: str) -> str:
    """As good as random, and the same for the same commit."""
    return hashlib.sha256(f"{commit} {name}".encode()).hexdigest()


def explain(targets: Sequence[Target], total: int) -> str:
    """Which exercises are audited, and why, for people."""
    by_reason = sorted(targets, key=lambda target: target.reason)
    lines = [
        f"  {reason}: {', '.join(target.collection.name for target in group)}"
        for reason, group in groupby(by_reason, key=lambda target: target.reason)
    ]
    return "\n".join([f"{len(targets)} of {total} exercises are audited", *lines])
