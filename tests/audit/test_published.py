"""Which of the published figures are tried again before a change lands."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import RIGHT, TINY, WRONG, make_course

from autograder.audit.answers import Collection, collections
from autograder.audit.audit import Target
from autograder.audit.published import choose, commit, explain
from autograder.audit.verdict import Audit, ExerciseAudit

NUMBER = 20


@pytest.fixture(scope="module")
def exercises(tmp_path_factory: pytest.TempPathFactory) -> list[Collection]:
    """The tiny exercise under twenty names."""
    (scale,) = collections(make_course(tmp_path_factory.mktemp("tiny")), [TINY])
    made = [replace(scale.exercise, id=f"exercise{i}") for i in range(NUMBER)]
    return [Collection(scale.assignment, exercise, scale.folder) for exercise in made]


def figures(exercises: list[Collection], **changes: str) -> dict[str, Audit]:
    """As published; `changes` are fingerprints of exercises."""
    known = [
        ExerciseAudit(
            c.exercise.id,
            "",
            False,
            changes.get(c.exercise.id, c.fingerprint),
            "now",
            right=3,
            wrong=6,
        )
        for c in exercises
    ]
    return {TINY: Audit(TINY, "", 5, known)}


def chosen(targets: list[Target]) -> dict[str, Target]:
    return {target.collection.exercise.id: target for target in targets}


def test_an_eighth_of_what_has_not_changed_is_chosen_by_the_commit(
    exercises: list[Collection],
) -> None:
    known = figures(exercises)
    times: Counter[str] = Counter()
    for number in range(100):
        targets = choose(exercises, known, "now", f"commit {number}", 10)
        assert targets == choose(exercises, known, "now", f"commit {number}", 10)
        assert len(targets) == 3  # an eighth of twenty, and not less
        assert all((target.mutants, target.answers) == (10, None) for target in targets)
        times.update(chosen(targets).keys())
    assert len(times) == NUMBER
    assert max(times.values()) < 40


def test_what_has_changed_is_audited_whatever_the_commit(exercises: list[Collection]) -> None:
    known = figures(exercises, exercise3="other", exercise11="another")
    del known[TINY].exercises[5]
    for number in range(20):
        found = chosen(choose(exercises, known, "now", f"commit {number}", 10))
        assert {"exercise3", "exercise5", "exercise11"} < found.keys()
        assert len(found) == 3 + 3  # an eighth of the other seventeen
        assert found["exercise3"].answers is None
        assert "changed" in found["exercise3"].reason
        assert "no figures" in found["exercise5"].reason


def test_all_are_audited_without_figures_and_outside_git(exercises: list[Collection]) -> None:
    for targets in (
        choose(exercises, {}, "now", "a commit", 10),
        choose(exercises, figures(exercises), "now", None, 10),
    ):
        assert len(targets) == NUMBER
        assert all(target.answers is None for target in targets)


def test_another_environment_has_four_answers_to_each_exercise_tried(
    exercises: list[Collection],
) -> None:
    known = figures(exercises, exercise3="other")
    targets = choose(exercises, known, "later", "a commit", 10)
    assert [target.collection for target in targets] == exercises
    few = [target for target in targets if target.answers is not None]
    assert len(few) == NUMBER - 1 - 3
    for target in few:  # and the reference solution, always
        assert target.answers is not None
        assert (len(target.answers & RIGHT.keys()), len(target.answers & WRONG.keys())) == (1, 2)
        assert len(target.answers) == 3
        assert target.mutants == 0
    other = choose(exercises, known, "later", "another commit", 10)
    assert {t.answers for t in other if t.answers} != {t.answers for t in few}


def test_what_is_audited_is_said_with_the_reason(exercises: list[Collection]) -> None:
    known = figures(exercises, exercise3="other", exercise4="other")
    lines = explain(choose(exercises, known, "now", "0123456789", 10), NUMBER).splitlines()
    assert lines[0] == "5 of 20 exercises are audited"
    changed = f"  changed since its figures were published: {TINY}/exercise3, {TINY}/exercise4"
    assert changed in lines
    assert any("in the eighth of commit 01234567: " in line for line in lines)


def test_the_commit_is_what_git_says(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "First"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    log = subprocess.check_output(["git", "log", "--format=%H"], cwd=tmp_path, text=True)
    assert commit(tmp_path) == log.strip()
