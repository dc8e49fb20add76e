"""What the outcomes of an audit say about an exercise's tests: records, and pure functions.

A chapter passes its gates if all right answers are accepted and all wrong ones rejected, every
check rejects some wrong answer and an untouched cell, each function that is asked for has a visible
check that some wrong answer to it fails, and of the mutants that are not listed as equivalent at
least `KILLED` are rejected. To be rejected means that a check failed, or met an error
in the answer's code: an answer that was not written, or that the clock or the memory stopped, is a
problem and no rejection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autograder.audit.answers import Answer
from autograder.audit.mutants import Mutant, as_entry
from autograder.course.source import CheckSpec
from autograder.engine.options import Trial
from autograder.results import CheckResult, Code, Outcome

KILLED = 0.95  # share of the mutants
LEAST_RIGHT, LEAST_WRONG = 3, 6
REFERENCE = "the reference solution"  # the name of the answer that is not a collected one


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


Outcomes = dict[str, CheckResult]  # of the checks by name, in one trial


@dataclass
class Attempt:
    """One text of an exercise's cell: what is run with it, and what came out.

    Attributes:
        what: an answer; a mutant; else the name of what is tried for itself.
        trials: in one process, beside the text.
        checks: those that the judge runs under the first seed, for an answer.
        changed: names that it defines otherwise than a right answer, for a wrong one.
        judged: what the judge said, for an answer.
        outcomes: of the trials.
        seconds: that the trials took, if the text had the process to itself.
        fault: of the grader's own: why there is no outcome.
    """

    text: str
    what: Answer | Mutant | str
    trials: Sequence[Trial]
    checks: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    judged: Outcomes | None = None
    outcomes: list[Outcomes] | None = None
    seconds: float = 0.0
    fault: str = ""

    @property
    def is_done(self) -> bool:
        """Whether it was graded, or could not be."""
        unjudged = isinstance(self.what, Answer) and self.judged is None
        return bool(self.fault) or not (unjudged or (self.trials and self.outcomes is None))

    @property
    def name(self) -> str:
        """For people."""
        match self.what:
            case Answer(name=name):
                return name
            case Mutant(difference=difference):
                return difference
            case name:
                return name


@dataclass
class Attempts:
    """All that is tried of an exercise.

    Attributes:
        untouched, solution: the cell as students get it, and the reference solution.
        answers: the reference solution, and then the collected ones.
        asked: names that the cell asks for.
        equivalent: keys of the mutants that are listed so.
        trials: under which each answer has outcomes: the judge's, and then those in one process.
        is_whole: whether all collected answers are there.
    """

    untouched: Attempt
    solution: Attempt
    answers: list[Attempt]
    asked: Sequence[str]
    mutants: list[Attempt]
    equivalent: Collection[tuple[str, str, str]]
    trials: Sequence[Trial]
    is_whole: bool

    @property
    def alone(self) -> list[Attempt]:
        """Those that have a process to themselves."""
        return [self.untouched, self.solution, *self.mutants]

    @property
    def is_done(self) -> bool:
        """Whether all of it was graded, or could not be."""
        return all(attempt.is_done for attempt in [*self.alone, *self.answers])


def lost(results: Outcomes) -> Outcomes:
    """The checks that did not pass."""
    return {name: r for name, r in results.items() if r.outcome is not Outcome.PASSED}


def rejected(results: Outcomes) -> set[str]:
    """The checks that the answer itself made fail."""
    return {n for n, r in results.items() if r.outcome in (Outcome.FAILED, Outcome.ERROR)}


def is_as_expected(answer: Answer, outcomes: Sequence[Outcomes]) -> bool:
    """Whether all trials say of the answer what they should."""
    if answer.right:
        return not any(lost(trial) for trial in outcomes)
    return all(answer.must_fail <= rejected(trial) for trial in outcomes)


def conclude(found: ExerciseAudit, checks: Sequence[CheckSpec], attempts: Attempts) -> None:
    """Fills in what the outcomes say.

    Args:
        found: what is known without them: the numbers of answers, of mutants made, and problems
            of the list of equivalent ones.
        checks: the exercise's.
    """
    by_name = {check.name: CheckAudit(check.name, check.hidden) for check in checks}
    found.checks = list(by_name.values())
    found.seconds = round(attempts.solution.seconds, 2)
    if attempts.is_whole:
        found.problems += _too_few(found)
    for attempt in [
        attempts.untouched,
        *attempts.answers,
        attempts.solution,
        *attempts.mutants,
    ]:
        if attempt.fault:
            found.problems.append(f"{attempt.name} could not be graded: {attempt.fault}")
        elif isinstance(attempt.what, Mutant):
            _conclude_mutant(found, attempt.what, attempt.outcomes or [], attempts.equivalent)
        elif isinstance(attempt.what, Answer) and attempt.judged is not None:
            outcomes = [attempt.judged, *(attempt.outcomes or [])]
            _conclude_answer(found, attempt.what, attempts.trials, outcomes, by_name)
    for result in (attempts.untouched.outcomes or [{}])[0].values():
        if result.outcome is Outcome.PASSED:
            found.problems.append(f"{result.name} passes on the untouched cell")
    if attempts.is_whole:
        found.problems += [
            f"{c.name} rejects no wrong answer" for c in found.checks if not c.rejects
        ]
        found.problems += [
            f"{name}: no visible check of it rejects a wrong answer"
            for name in _unseen(found.checks, attempts)
        ]
    mutants = found.mutants
    if mutants is not None and mutants.killed < KILLED * mutants.tried:
        found.problems.append(
            f"{mutants.killed} of {mutants.tried} mutants rejected, less than {KILLED:.0%}"
        )


def _unseen(checks: Sequence[CheckAudit], attempts: Attempts) -> Iterator[str]:
    """What is asked for, and may be wrong as far as the visible checks of all answers can tell."""
    seen = {name for check in checks if not check.hidden for name in check.rejects}
    told = {n for attempt in attempts.answers if attempt.name in seen for n in attempt.changed}
    return (name for name in attempts.asked if name not in told)


def _too_few(found: ExerciseAudit) -> Iterator[str]:
    kinds = [("right", found.right, LEAST_RIGHT), ("wrong", found.wrong, LEAST_WRONG)]
    for kind, number, least in kinds:
        if number < least:
            yield f"{number} {kind} answers; at least {least} are wanted"


def _conclude_mutant(
    found: ExerciseAudit,
    mutant: Mutant,
    outcomes: Sequence[Outcomes],
    equivalent: Collection[tuple[str, str, str]],
) -> None:
    assert found.mutants is not None
    killed = any(lost(trial) for trial in outcomes)
    if mutant.key in equivalent:
        if killed:
            found.problems.append(f"called equivalent, but rejected: {mutant.difference}")
    elif killed:
        found.mutants.killed += 1
        found.mutants.stopped += not any(rejected(trial) for trial in outcomes)
    else:
        found.mutants.survivors.append(as_entry(mutant))


def _conclude_answer(
    found: ExerciseAudit,
    answer: Answer,
    trials: Sequence[Trial],
    outcomes: Sequence[Outcomes],
    checks: Mapping[str, CheckAudit],
) -> None:
    problems = []
    for trial, results in zip(trials, outcomes, strict=True):
        where = f"{answer.name}, seed {trial.seed}{', 64 bits' if trial.float64 else ''}"
        if answer.right and (reasons := lost(results)):
            words = "; ".join(f"{r.name} {r.outcome}: {r.message}" for r in reasons.values())
            problems.append(f"rejected: {where}: {words}")
        for name in sorted(answer.must_fail - rejected(results)):
            problems.append(f"accepted: {where}: {name} {results[name].outcome}")
    if all(result.code is Code.NAME_NOT_DEFINED for result in outcomes[0].values()):
        problems.append(f"{answer.name}: its cell does not run")
    found.problems += problems
    if answer.right:
        collected = answer.name != REFERENCE
        found.right_accepted += not problems and collected
        found.right_gradings += len(trials) if collected else 0
    else:
        found.wrong_rejected += not problems
        found.wrong_gradings += len(trials)
        # An answer that breaks down in a check says nothing about it unless it was made for it.
        failed = {n for n, r in outcomes[0].items() if r.outcome is Outcome.FAILED}
        rejecting = failed | (rejected(outcomes[0]) & answer.must_fail)
        for name in sorted(rejecting):
            checks[name].rejects.append(answer.name)
            if len(rejecting) == 1:
                checks[name].alone.append(answer.name)
    found.flaky += [f"{answer.name}: {name}" for name in _flaky(trials, outcomes)]


def _flaky(trials: Sequence[Trial], outcomes: Sequence[Outcomes]) -> Iterator[str]:
    """Checks that pass under one seed and fail under another, the type being the same."""
    for float64 in (False, True):
        seen: dict[str, set[bool]] = {}
        for trial, results in zip(trials, outcomes, strict=True):
            if trial.float64 is float64:
                for name, result in results.items():
                    seen.setdefault(name, set()).add(result.outcome is Outcome.PASSED)
        yield from (name for name, passed in seen.items() if len(passed) == 2)
