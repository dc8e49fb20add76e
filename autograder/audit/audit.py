"""How good are a chapter's tests? Grades every collected answer, and mutants of the solutions.

Answers lie in tests/answers/CHAPTER/EXERCISE/NAME.py, each the text of one exercise cell. The first
line of a file says what is right or wrong about it (`# Right: ...`, `# Wrong: ...`), the second
line of a wrong one names the checks that must reject it (`# Fails: one, another`). A right answer
has to pass every check under every seed, and in 64 bits, too, where the chapter's header says that
the exercise allows it; a wrong one has to lose the checks that it names.

Under the first seed, answers are graded as a student's are: in a sandboxed kernel, by the judge, as
submissions with one answer to each exercise. Under the other seeds, and for mutants, the tests run
in one process with the answer, as in a learner's own notebook: a tenth of the cost, and a test that
says one thing there and another here breaks a gate, too. Whatever comes before an exercise there is
the reference solution. Such a process takes several wrong answers and then a right one. If any has
another result than it should, one may have spoilt a library for the next: each is tried alone.
Under the first seed, a wrong answer meets the checks that reach what is wrong with it (see
`selection`), as a mutant does.

A chapter passes its gates if all right answers are accepted and all wrong ones rejected, every
check rejects some wrong answer and an untouched cell, and of the mutants that are not listed as
equivalent (in equivalent.toml beside the answers) at least `KILLED` are rejected. To be rejected
means that a check failed, or met an error in the answer's code: an answer that was not written, or
that the clock or the memory stopped, is a problem and no rejection. A mutant that was stopped is
tried again with an honest answer's time.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import nbformat

from autograder.audit.in_process import try_out
from autograder.audit.mutants import Mutant, as_entry, make_mutants, read_equivalent, sample
from autograder.audit.selection import CheckSelection
from autograder.course.cells import grade_id, is_answer
from autograder.course.source import Assignment, Course, CourseError, Exercise
from autograder.engine.grade import Engine
from autograder.engine.options import ENGINE_VERSION, Limits, Trial
from autograder.engine.submission import Submission
from autograder.results import CheckResult, Code, Outcome

AUDIT_VERSION = 1  # raised when the audit of the same exercise could come out otherwise
KILLED = 0.95  # share of the mutants
LEAST_RIGHT, LEAST_WRONG = 3, 6
MUTANT_SECONDS = 20.0  # until a mutant's check is interrupted: honest ones take a few


@dataclass(frozen=True)
class Answer:
    """One collected answer to an exercise."""

    name: str
    right: bool
    must_fail: frozenset[str]
    text: str


@dataclass
class CheckAudit:
    """One check, and the wrong answers that it rejects; `alone`: that no other check rejects."""

    name: str
    hidden: bool
    rejects: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)


@dataclass
class MutantAudit:
    """What became of the mutants.

    Attributes:
        made: all of them; `equivalent` are listed so, and not among those `tried`.
        killed: rejected; `stopped` of them by the clock, the memory or their kernel's death.
        survivors: as entries of equivalent.toml would name them.
    """

    made: int
    equivalent: int
    tried: int
    killed: int = 0
    stopped: int = 0
    survivors: list[str] = field(default_factory=list)


@dataclass
class ExerciseAudit:
    """What the audit found out about one exercise.

    Attributes:
        fingerprint: of the cells, the answers, the list of equivalent mutants, and the audit.
        environment: of the engine and the locked packages, when it was audited.
        right_gradings, wrong_gradings: seeds and types together.
        flaky: answers and checks whose outcome depends on the seed.
        seconds: for one grading of the reference solution, its kernel's start included.
        problems: what breaks a gate, in words.
    """

    id: str
    title: str
    float64: bool
    fingerprint: str
    environment: str
    right: int
    wrong: int
    right_accepted: int = 0
    wrong_rejected: int = 0
    right_gradings: int = 0
    wrong_gradings: int = 0
    checks: list[CheckAudit] = field(default_factory=list)
    flaky: list[str] = field(default_factory=list)
    mutants: MutantAudit | None = None
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ExerciseAudit:
        checks = [CheckAudit(**check) for check in data["checks"]]
        mutants = data["mutants"] and MutantAudit(**data["mutants"])
        return cls(**{**data, "checks": checks, "mutants": mutants})


@dataclass
class Audit:
    """The audit of one chapter."""

    chapter: str
    title: str
    seeds: int
    exercises: list[ExerciseAudit]

    @property
    def problems(self) -> list[str]:
        """What breaks a gate, exercise by exercise."""
        return [f"{e.id}: {problem}" for e in self.exercises for problem in e.problems]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Audit:
        exercises = [ExerciseAudit.from_dict(exercise) for exercise in data["exercises"]]
        return cls(**{**data, "exercises": exercises})


def audit(  # noqa: PLR0913  (all but three are options)
    engine: Engine,
    course: Course,
    chapter: str,
    *,
    limits: Limits,
    seeds: int = 5,
    mutants: bool = False,
    sampled: int | None = None,
    jobs: int = 1,
    earlier: Audit | None = None,
    on_total: Callable[[int], object] = lambda total: None,
    on_done: Callable[[object], object] = lambda done: None,
    on_exercise: Callable[[Audit], object] = lambda found: None,
) -> Audit:
    """Audits the chapter's exercises that have checks.

    Args:
        limits: for each submission; its seed is the first one.
        seeds: how many, from 0, for the answers; mutants meet seed 0.
        mutants: whether to make and try them all.
        sampled: how many to try for each exercise instead, drawn the same each time.
        jobs: gradings at once.
        earlier: another audit of the chapter. What it found out about an exercise stands if it
            found no problem, tried no less, and nothing has changed since (see `fingerprint` and
            `environment`).
        on_total, on_done: called with the number of gradings, and after each.
        on_exercise: called whenever an exercise is done, with all that are.
    """
    assignment = course.assignment(chapter)
    engine.server.start()  # imports while the gradings are planned
    exercises = []
    for exercise in assignment.exercises:
        if exercise.test_id is not None:
            folder = course.root / "tests" / "answers" / chapter / exercise.id
            exercises.append(
                _ExerciseAuditor(assignment, exercise, folder, seeds, environment(course))
            )
    if not exercises:
        raise CourseError(f"{chapter} has no exercise with checks")
    if mutants or sampled is not None:
        for auditor in exercises:
            auditor.plan_mutants(sampled)
    if earlier is not None and earlier.seeds == seeds:
        for auditor in exercises:
            auditor.take_over(earlier)
    found: dict[str, ExerciseAudit] = {}
    finishing = threading.Lock()

    def finish(auditor: _ExerciseAuditor) -> None:
        with finishing:
            if auditor.exercise.id not in found and auditor.is_done():
                found[auditor.exercise.id] = auditor.conclude()
                on_exercise(result())

    def result() -> Audit:
        done = [found[a.exercise.id] for a in exercises if a.exercise.id in found]
        return Audit(chapter, assignment.title, seeds, done)

    part_of = functools.cache(assignment.only)  # what it works out serves all rows

    def as_submission(row: _Row) -> None:
        _grade_row(engine, part_of(*(auditor.exercise for auditor in row)), row, limits)
        on_done(row)
        for auditor in row:
            finish(auditor)

    def in_one_process(job: tuple[_ExerciseAuditor, list[_Planned]]) -> None:
        auditor, batch = job
        auditor.try_out(engine, batch, limits)
        for planned in batch:
            on_done(planned)
        finish(auditor)

    rows = _rows(exercises)
    batches = [(auditor, batch) for auditor in exercises for batch in auditor.batches()]
    others = [(e, [planned]) for e in exercises for planned in e.planned if planned.answer is None]
    on_total(len(rows) + sum(len(batch) for _, batch in batches + others))
    for auditor in exercises:
        finish(auditor)  # what an earlier audit has done
    with ThreadPoolExecutor(jobs) as pool:
        for done in (  # the longest first, so that no core waits for one of them at the end
            pool.map(in_one_process, batches),
            pool.map(as_submission, rows),
            pool.map(in_one_process, others),
        ):
            list(done)
    return result()


def read_audit(path: Path) -> Audit:
    """The audit that `autograder audit --json` has written.

    Raises:
        CourseError: if the file is something else.
    """
    try:
        return Audit.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise CourseError(f"{path} is no audit of this version; delete it: {error}") from None


def read_answers(folder: Path, exercise: Exercise) -> list[Answer]:
    """The collected answers to an exercise, by name.

    Raises:
        CourseError: if a file's first lines cannot be used.
    """
    return [_read_answer(path, exercise) for path in sorted(folder.glob("*.py"))]


def _read_answer(path: Path, exercise: Exercise) -> Answer:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CourseError(f"{path}: {error}") from None
    first, second, *_ = [*text.splitlines(), "", ""]
    right = path.stem.startswith("right_")
    if not re.match(r"# Right: \w" if right else r"# Wrong: \w", first):
        raise CourseError(
            f"{path}: the first line must be `# {'Right' if right else 'Wrong'}: ...`"
        )
    if right:
        return Answer(path.stem, True, frozenset(), text)
    fails = re.match(r"# Fails: (.+)", second)
    if not fails:
        raise CourseError(f"{path}: the second line must name the checks that fail: `# Fails: ...`")
    names = frozenset(re.split(r",\s*", fails[1].strip()))
    if unknown := names - {check.name for check in exercise.checks}:
        raise CourseError(f"{path}: {exercise.id} has no check {', '.join(sorted(unknown))}")
    return Answer(path.stem, False, names, text)


def fingerprint(assignment: Assignment, exercise: Exercise, folder: Path) -> str:
    """Changes whenever the audit of the exercise might, in the same environment."""
    material = [f"{AUDIT_VERSION} {exercise.float64}", assignment.only(exercise).fingerprint]
    files = [*sorted(folder.glob("*.py")), folder / "equivalent.toml"]
    material += [path.read_text(encoding="utf-8") for path in files if path.exists()]
    return hashlib.sha256("\0".join(material).encode()).hexdigest()[:16]


def environment(course: Course) -> str:
    """Changes with the engine and with the versions of the locked packages."""
    material = f"{ENGINE_VERSION} {sorted(course.lock.items())}"
    return hashlib.sha256(material.encode()).hexdigest()[:16]


Outcomes = list[dict[str, CheckResult]]  # of the checks by name, for each trial


@dataclass
class _Planned:
    """One text of an exercise's cell to grade, and what came out.

    Attributes:
        trials: in one process.
        checks: those that the judge runs, for an answer.
        judged: what the judge says, for an answer.
    """

    text: str
    trials: Sequence[Trial]
    checks: frozenset[str] = frozenset()
    answer: Answer | None = None
    mutant: Mutant | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    judged: dict[str, CheckResult] | None = None
    outcomes: Outcomes | None = None
    seconds: float = 0.0
    fault: str = ""

    def is_as_expected(self, outcomes: Outcomes) -> bool:
        """Whether all trials say of an answer what they should."""
        assert self.answer is not None
        if self.answer.right:
            return not any(_lost(trial) for trial in outcomes)
        return all(self.answer.must_fail <= _rejected(trial) for trial in outcomes)

    @property
    def is_done(self) -> bool:
        """Whether it was graded, or could not be."""
        missing = (self.answer and self.judged is None) or (self.trials and self.outcomes is None)
        return bool(self.fault) or not missing


_Row = dict["_ExerciseAuditor", _Planned]  # the exercises' answers in one submission


def _rows(exercises: Sequence[_ExerciseAuditor]) -> list[_Row]:
    """Submissions with one answer to each exercise; the last have answers to some only."""
    answers = [[planned for planned in e.planned if planned.answer] for e in exercises]
    return [
        {e: planned for e, planned in zip(exercises, row, strict=True) if planned is not None}
        for row in zip_longest(*answers)
    ]


def _grade_row(engine: Engine, part: Assignment, row: _Row, limits: Limits) -> None:
    """Grades one submission; a fault of the grader's own is tried once more."""
    texts = {grade_id(cell): cell.source for cell in part.source.cells}
    texts.update({auditor.exercise.id: planned.text for auditor, planned in row.items()})
    notebook = nbformat.from_dict(part.assigned)
    for cell in notebook.cells:
        if is_answer(cell):
            cell.source = texts[grade_id(cell)]
    submission = Submission("audit", nbformat.writes(notebook).encode())
    checks = {str(auditor.exercise.test_id): planned.checks for auditor, planned in row.items()}
    fault = ""
    for _ in range(2):
        try:
            report = engine.grade(part, submission, limits, checks).report
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            continue
        results = {exercise.id: exercise.checks for exercise in report.exercises}
        for auditor, planned in row.items():
            planned.judged = {check.name: check for check in results[auditor.exercise.id]}
        return
    for planned in row.values():
        planned.fault = fault


class _ExerciseAuditor:
    """Plans an exercise's gradings and draws the conclusions."""

    def __init__(
        self,
        assignment: Assignment,
        exercise: Exercise,
        folder: Path,
        seeds: int,
        environment: str,
    ):
        self.part = assignment.only(exercise)
        self.exercise = exercise
        self.folder = folder
        self.answers = read_answers(folder, exercise)
        (cell,) = (c for c in self.part.source.cells if grade_id(c) == exercise.id)
        self.solution = cell.source
        right = sum(answer.right for answer in self.answers)
        self.found = ExerciseAudit(
            exercise.id,
            exercise.title,
            exercise.float64,
            fingerprint(assignment, exercise, folder),
            environment,
            right,
            len(self.answers) - right,
        )
        types = [False, True] if exercise.float64 else [False]
        every = [Trial(seed, float64) for float64 in types for seed in range(seeds)]
        self.trials = every
        self.reference = _Planned(self.solution, [Trial()])
        (blank,) = (c.source for c in self.part.assigned.cells if grade_id(c) == exercise.id)
        self.untouched = _Planned(blank, [Trial()])
        self.planned = [self.untouched]
        reference = Answer("the reference solution", True, frozenset(), self.solution)
        answers = [reference, *self.answers]
        accepted = [answer.text for answer in answers if answer.right]
        selection = CheckSelection(self.part, exercise, accepted)
        for answer in answers:
            trials, judged = every[1:], selection.every
            if not answer.right:
                judged = answer.must_fail | selection.reached(answer.text)
                must_fail = {str(exercise.test_id): answer.must_fail}
                trials = [Trial(t.seed, t.float64, must_fail) for t in trials]
            self.planned.append(_Planned(answer.text, trials, judged, answer))
        self.planned.append(self.reference)
        self.equivalent: set[tuple[str, str, str]] = set()

    def plan_mutants(self, sampled: int | None) -> None:
        """Adds the mutants, or a sample of them, and in any case those listed as equivalent."""
        made = make_mutants(self.solution)
        self.equivalent = set(read_equivalent(self.folder / "equivalent.toml"))
        keys = Counter(mutant.key for mutant in made)
        for function, before, after in sorted(self.equivalent):
            if (number := keys[function, before, after]) != 1:
                self.found.problems.append(
                    f"equivalent.toml names {number or 'no'} mutants, not one: "
                    f"in {function}, {before!r} -> {after!r}"
                )
        listed = [mutant for mutant in made if mutant.key in self.equivalent]
        others = [mutant for mutant in made if mutant.key not in self.equivalent]
        if sampled is not None:
            others = sample(others, sampled)
        if not others:
            self.found.problems.append("no mutants: has the solution its markers?")
        self.found.mutants = MutantAudit(len(made), len(listed), len(others))
        tried = [*listed, *others]
        limits = {"cell_seconds": MUTANT_SECONDS, "check_seconds": MUTANT_SECONDS}
        selection = CheckSelection(self.part, self.exercise, [self.solution])
        for mutant in tried:
            reached = {str(self.exercise.test_id): selection.reached(mutant.source)}
            trial = Trial(checks=reached, until_failure=True)
            self.planned.append(_Planned(mutant.source, [trial], mutant=mutant, limits=limits))

    def take_over(self, earlier: Audit) -> None:
        """Plans nothing if the earlier audit has what is asked for."""
        for known in earlier.exercises:
            same = (known.fingerprint, known.environment) == (
                self.found.fingerprint,
                self.found.environment,
            )
            if not same or known.problems:
                continue
            wanted, tried = self.found.mutants, known.mutants
            if wanted is None or (tried is not None and tried.tried == wanted.tried):
                self.found, self.planned = known, []

    def batches(self) -> list[list[_Planned]]:
        """The answers, in processes that end with a right one each."""
        answers = [planned for planned in self.planned if planned.answer and planned.trials]
        right = [planned for planned in answers if planned.answer and planned.answer.right]
        wrong = [planned for planned in answers if planned not in right]
        return [[*wrong[i :: len(right)], last] for i, last in enumerate(right)]

    def try_out(self, engine: Engine, batch: list[_Planned], limits: Limits) -> None:
        """Grades in one process, or in one for each if there is any doubt about the results."""
        found: list[Outcomes] = []
        if len(batch) > 1:
            with suppress(Exception):  # who is to blame will be seen
                found = self._outcomes(engine, batch, limits)
        if found and all(p.is_as_expected(o) for p, o in zip(batch, found, strict=True)):
            for planned, outcomes in zip(batch, found, strict=True):
                planned.outcomes = outcomes
            return
        for planned in batch:
            self._try_out_alone(engine, planned, limits)

    def _try_out_alone(self, engine: Engine, planned: _Planned, limits: Limits) -> None:
        """Grades in one process; a fault of the grader's own is tried once more."""
        outcomes: Outcomes | None = None
        fault = ""
        for chosen in (replace(limits, **planned.limits), limits):
            started = time.monotonic()
            try:
                (outcomes,) = self._outcomes(engine, [planned], chosen)
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
                continue
            planned.seconds = time.monotonic() - started
            if planned.mutant is None or not _lost(outcomes[0]) or _rejected(outcomes[0]):
                break
        planned.outcomes = outcomes
        if outcomes is None:  # a fault of its other gradings stands
            planned.fault = fault

    def _outcomes(self, engine: Engine, batch: list[_Planned], limits: Limits) -> list[Outcomes]:
        """What one process says of each."""
        solved = [(self._with_solution(p.text), p.trials) for p in batch]
        results = try_out(engine.server, solved, limits)
        test_id = str(self.exercise.test_id)
        return [[{r.name: r for r in trial[test_id]} for trial in trials] for trials in results]

    def _with_solution(self, text: str) -> Assignment:
        """The part of the assignment with another solution in the exercise's cell."""
        part = copy.copy(self.part)
        cells = [
            nbformat.from_dict({**cell, "source": text})
            if grade_id(cell) == self.exercise.id
            else cell
            for cell in self.part.source.cells
        ]
        part.source = nbformat.NotebookNode({**self.part.source, "cells": cells})
        return part

    def is_done(self) -> bool:
        """Whether all that was planned has been graded, or could not be."""
        return all(planned.is_done for planned in self.planned)

    def conclude(self) -> ExerciseAudit:
        """What the outcomes say."""
        found = self.found
        if not self.planned:
            return found
        checks = {c.name: CheckAudit(c.name, c.hidden) for c in self.exercise.checks}
        found.checks = list(checks.values())
        found.seconds = round(self.reference.seconds, 2)
        for kind, number, least in [
            ("right", found.right, LEAST_RIGHT),
            ("wrong", found.wrong, LEAST_WRONG),
        ]:
            if number < least:
                found.problems.append(f"{number} {kind} answers; at least {least} are wanted")
        for planned in self.planned:
            if planned.fault:
                found.problems.append(f"{_name(planned)} could not be graded: {planned.fault}")
            elif planned.mutant is not None:
                self._conclude_mutant(planned.mutant, planned.outcomes or [])
            elif planned.answer is not None and planned.judged is not None:
                outcomes = [planned.judged, *(planned.outcomes or [])]
                self._conclude_answer(planned.answer, outcomes, checks)
        for result in (self.untouched.outcomes or [{}])[0].values():
            if result.outcome is Outcome.PASSED:
                found.problems.append(f"{result.name} passes on the untouched cell")
        found.problems += [
            f"{c.name} rejects no wrong answer" for c in found.checks if not c.rejects
        ]
        mutants = found.mutants
        if mutants is not None and mutants.killed < KILLED * mutants.tried:
            found.problems.append(
                f"{mutants.killed} of {mutants.tried} mutants rejected, less than {KILLED:.0%}"
            )
        return found

    def _conclude_mutant(self, mutant: Mutant, outcomes: Outcomes) -> None:
        found = self.found
        assert found.mutants is not None
        killed = any(_lost(trial) for trial in outcomes)
        if mutant.key in self.equivalent:
            if killed:
                found.problems.append(f"called equivalent, but rejected: {mutant.difference}")
        elif killed:
            found.mutants.killed += 1
            found.mutants.stopped += not any(_rejected(trial) for trial in outcomes)
        else:
            found.mutants.survivors.append(as_entry(mutant))

    def _conclude_answer(
        self,
        answer: Answer,
        outcomes: Outcomes,
        checks: dict[str, CheckAudit],
    ) -> None:
        found, trials = self.found, self.trials
        problems = []
        for trial, results in zip(trials, outcomes, strict=True):
            where = f"{answer.name}, seed {trial.seed}{', 64 bits' if trial.float64 else ''}"
            lost = _lost(results)
            if answer.right and lost:
                reasons = "; ".join(f"{r.name} {r.outcome}: {r.message}" for r in lost.values())
                problems.append(f"rejected: {where}: {reasons}")
            for name in sorted(answer.must_fail - _rejected(results)):
                problems.append(f"accepted: {where}: {name} {results[name].outcome}")
        if all(result.code is Code.NAME_NOT_DEFINED for result in outcomes[0].values()):
            problems.append(f"{answer.name}: its cell does not run")
        found.problems += problems
        if answer.right:
            found.right_accepted += not problems and answer in self.answers
            found.right_gradings += len(trials) if answer in self.answers else 0
        else:
            found.wrong_rejected += not problems
            found.wrong_gradings += len(trials)
            # An answer that breaks down in a check says nothing about it unless it was made for it.
            failed = {n for n, r in outcomes[0].items() if r.outcome is Outcome.FAILED}
            rejected = failed | (_rejected(outcomes[0]) & answer.must_fail)
            for name in sorted(rejected):
                checks[name].rejects.append(answer.name)
                if len(rejected) == 1:
                    checks[name].alone.append(answer.name)
        found.flaky += [f"{answer.name}: {name}" for name in _flaky(trials, outcomes)]


def _name(planned: _Planned) -> str:
    if planned.mutant is not None:
        return planned.mutant.difference
    return planned.answer.name if planned.answer else "the exercise's own cell"


def _lost(results: dict[str, CheckResult]) -> dict[str, CheckResult]:
    return {name: r for name, r in results.items() if r.outcome is not Outcome.PASSED}


def _rejected(results: dict[str, CheckResult]) -> set[str]:
    """The checks that the answer itself made fail."""
    return {n for n, r in results.items() if r.outcome in (Outcome.FAILED, Outcome.ERROR)}


def _flaky(trials: Sequence[Trial], outcomes: Outcomes) -> Iterator[str]:
    """Checks that pass under one seed and fail under another, the type being the same."""
    for float64 in (False, True):
        seen: dict[str, set[bool]] = {}
        for trial, results in zip(trials, outcomes, strict=True):
            if trial.float64 is float64:
                for name, result in results.items():
                    seen.setdefault(name, set()).add(result.outcome is Outcome.PASSED)
        yield from (name for name, passed in seen.items() if len(passed) == 2)
