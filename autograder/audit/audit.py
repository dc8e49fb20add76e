"""How good are the tests? Grades every collected answer, and mutants of the solutions.

A right answer has to pass every check under every seed, and in 64 bits, too, where the chapter's
header says that the exercise allows it; a wrong one has to lose the checks that it names (see
`answers`; `verdict` draws the conclusions).

Under the first seed, answers are graded as a student's are: in a sandboxed kernel, by the judge, as
submissions with one answer to each exercise. Under the other seeds, and for mutants, the tests run
in one process with the answer, as in a learner's own notebook: a tenth of the cost, and a test that
says one thing there and another here breaks a gate, too. Whatever comes before an exercise there is
the reference solution. Such a process takes several wrong answers and then a right one. If any has
another result than it should, one may have spoilt a library for the next: each is tried alone.
Under the first seed, a wrong answer meets the checks that reach what is wrong with it (see
`selection`), as a mutant does. A mutant that was stopped is tried again with an honest answer's
time.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest

import nbformat

from autograder.audit.answers import Answer, Collection
from autograder.audit.in_process import try_out
from autograder.audit.mutants import Mutant, make_mutants, read_equivalent, sample
from autograder.audit.selection import CheckSelection
from autograder.audit.verdict import (
    REFERENCE,
    Attempt,
    Attempts,
    Audit,
    ExerciseAudit,
    MutantAudit,
    Outcomes,
    conclude,
    is_as_expected,
    lost,
    rejected,
)
from autograder.course.cells import CODE_STUB, grade_id, is_answer
from autograder.course.names import definitions
from autograder.course.source import Assignment
from autograder.engine.fork import ForkServer
from autograder.engine.grade import Engine
from autograder.engine.handed_in import Submission
from autograder.engine.options import Limits, Trial

ALL = sys.maxsize
OWN_CELL = "the exercise's own cell"
UNWRITTEN = CODE_STUB.removeprefix("raise ")
MUTANT_SECONDS = 20.0  # until a mutant's check is interrupted: honest ones take a few


@dataclass(frozen=True)
class Target:
    """An exercise to audit, and how far.

    Attributes:
        mutants: how many to try, drawn the same each time; `ALL`; or none, 0.
        answers: names of the collected answers to grade; None: all.
        reason: why, in words.
    """

    collection: Collection
    mutants: int = 0
    answers: frozenset[str] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Step:
    """A bit of an audit that is done: some gradings, and what is now known of their chapter.

    Attributes:
        audit: the chapter's exercises that are done, if this step has finished one of them.
    """

    gradings: int
    audit: Audit | None


class Auditing:
    """An audit of exercises of one or several chapters: planned when made, then run.

    Attributes:
        audits: what is known so far, by chapter.
    """

    def __init__(  # noqa: PLR0913  (three are options)
        self,
        engine: Engine,
        targets: Sequence[Target],
        limits: Limits,
        environment: str,
        seeds: int = 5,
        earlier: Mapping[str, Audit] | None = None,
    ):
        """Plans the gradings.

        Args:
            engine: what grades.
            targets: in the order of the chapters.
            limits: for each submission; its seed is the first one.
            environment: of `answers`.
            seeds: how many, from 0, for the answers; mutants meet seed 0.
            earlier: other audits, by chapter. What they found out about an exercise stands if they
                found no problem, tried no less, and nothing has changed since.
        """
        engine.server.start()  # imports while the gradings are planned
        self.engine = engine
        self.limits = limits
        self.audits: dict[str, Audit] = {}
        self.plans: list[_Plan] = []
        for target in targets:
            chapter = target.collection.assignment
            self.audits.setdefault(chapter.name, Audit(chapter.name, chapter.title, seeds, []))
            old = (earlier or {}).get(chapter.name)
            known = old.exercises if old is not None and old.seeds == seeds else []
            same = next((e for e in known if _stands(e, target, environment)), None)
            self.plans.append(_Plan(target, environment, seeds, same))
        self.jobs = [job for chapter in self.audits for job in self._jobs(chapter)]

    @property
    def total(self) -> int:
        """How many gradings there are."""
        return sum(job.gradings for job in self.jobs)

    def run(self, jobs: int = 1) -> Iterator[Step]:
        """Grades, several at once; each step is yielded as it is done.

        Raises:
            CourseError: if the list of equivalent mutants cannot be used.
        """
        yield from self._conclude(0, [plan for plan in self.plans if plan.attempts is None])
        pool = ThreadPoolExecutor(jobs)
        try:
            running = {pool.submit(job.run): job for job in self.jobs}
            for future in as_completed(running):
                future.result()
                job = running[future]
                yield from self._conclude(job.gradings, job.plans)
        finally:
            pool.shutdown(cancel_futures=True)

    def _conclude(self, gradings: int, plans: Sequence[_Plan]) -> Iterator[Step]:
        """One step for what was graded; draws the conclusions for exercises that are done."""
        finished = set()
        for plan in plans:
            if not plan.concluded and (plan.attempts is None or plan.attempts.is_done):
                plan.conclude()
                finished.add(plan.chapter)
        for chapter in sorted(finished):
            done = [p.found for p in self.plans if p.chapter == chapter and p.concluded]
            self.audits[chapter].exercises = done
            yield Step(gradings, self.audits[chapter])
            gradings = 0
        if not finished:
            yield Step(gradings, None)

    def _jobs(self, chapter: str) -> Iterator[_Job]:
        """The longest first, so that no core waits for one of them at the end."""
        plans = [plan for plan in self.plans if plan.chapter == chapter and plan.attempts]
        for plan in plans:
            for batch in plan.batches():
                run = functools.partial(plan.try_out, self.engine.server, batch, self.limits)
                yield _Job(run, [plan], len(batch))
        if plans:
            only = functools.cache(plans[0].assignment.only)  # what it works out serves all rows
            for row in _rows(plans):
                part = functools.partial(only, *(plan.exercise for plan in row))
                run = functools.partial(_grade_row, self.engine, part, row, self.limits)
                yield _Job(run, list(row), 1)
        for plan in plans:
            for attempt in plan.attempts.alone if plan.attempts else []:
                run = functools.partial(plan.try_out, self.engine.server, [attempt], self.limits)
                yield _Job(run, [plan], 1)


@dataclass(frozen=True)
class _Job:
    run: Callable[[], None]
    plans: Sequence[_Plan]  # the exercises that it is about
    gradings: int


def _stands(known: ExerciseAudit, target: Target, environment: str) -> bool:
    """Whether what is known is as much as the target asks for, and of what is there now."""
    if known.id != target.collection.exercise.id or known.problems or target.answers is not None:
        return False
    key = target.collection.fingerprint, environment
    if key != (known.fingerprint, known.environment):
        return False
    mutants = known.mutants
    if mutants is None:
        return target.mutants == 0
    return mutants.tried >= min(target.mutants, mutants.made - mutants.equivalent)


_Row = dict["_Plan", Attempt]  # the exercises' answers in one submission


def _rows(plans: Sequence[_Plan]) -> Iterator[_Row]:
    """Submissions with one answer to each exercise; the last have answers to some only."""
    for row in zip_longest(*(plan.attempts.answers for plan in plans if plan.attempts)):
        pairs = zip(plans, row, strict=True)
        yield {plan: attempt for plan, attempt in pairs if attempt is not None}


def _grade_row(engine: Engine, only: Callable[[], Assignment], row: _Row, limits: Limits) -> None:
    """Grades one submission; a fault of the grader's own is tried once more."""
    part = only()
    texts = {grade_id(cell): cell.source for cell in part.source.cells}
    texts.update({plan.exercise.id: attempt.text for plan, attempt in row.items()})
    notebook = nbformat.from_dict(part.assigned)
    for cell in notebook.cells:
        if is_answer(cell):
            cell.source = texts[grade_id(cell)]
    submission = Submission("audit", nbformat.writes(notebook).encode())
    checks = {str(plan.exercise.test_id): attempt.checks for plan, attempt in row.items()}
    fault = ""
    for _ in range(2):
        try:
            report = engine.grade(part, submission, limits, checks).report
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
            continue
        results = {exercise.id: exercise.checks for exercise in report.exercises}
        for plan, attempt in row.items():
            attempt.judged = {check.name: check for check in results[plan.exercise.id]}
        return
    for attempt in row.values():
        attempt.fault = fault


class _Plan:
    """What is tried of one exercise.

    Attributes:
        found: what the audit says, once it is `concluded`.
        attempts: None if `found` is of an earlier audit.
    """

    def __init__(
        self, target: Target, environment: str, seeds: int, known: ExerciseAudit | None
    ) -> None:
        self.assignment = target.collection.assignment
        self.exercise = target.collection.exercise
        self.chapter = self.assignment.name
        self.concluded = False
        self.attempts: Attempts | None = None
        if known is not None:
            self.found = known
            return
        self.part = self.assignment.only(self.exercise)
        (cell,) = (c for c in self.part.source.cells if grade_id(c) == self.exercise.id)
        self.solution = cell.source
        every = target.collection.answers
        names = target.answers
        chosen = every if names is None else [answer for answer in every if answer.name in names]
        right = sum(answer.right for answer in chosen)
        self.found = ExerciseAudit(
            self.exercise.id,
            self.exercise.title,
            self.exercise.float64,
            target.collection.fingerprint,
            environment,
            right,
            len(chosen) - right,
        )
        (blank,) = (c.source for c in self.part.assigned.cells if grade_id(c) == self.exercise.id)
        types = [False, True] if self.exercise.float64 else [False]
        trials = [Trial(seed, float64) for float64 in types for seed in range(seeds)]
        reference = Answer(REFERENCE, True, frozenset(), self.solution)
        accepted = [answer.text for answer in [reference, *every] if answer.right]
        selection = CheckSelection(self.part, self.exercise, accepted)
        self.attempts = Attempts(
            untouched=Attempt(blank, OWN_CELL, [Trial()]),
            solution=Attempt(self.solution, OWN_CELL, [Trial()]),
            answers=[self._attempt(answer, trials, selection) for answer in [reference, *chosen]],
            asked=[n for n, code in definitions(blank).items() if UNWRITTEN in code.uses],
            mutants=[],
            equivalent=set(),
            trials=trials,
            is_whole=names is None,
        )
        if target.mutants:
            self._plan_mutants(self.attempts, target)

    def _attempt(
        self, answer: Answer, trials: Sequence[Trial], selection: CheckSelection
    ) -> Attempt:
        """The first trial is the judge's, the others are made in one process."""
        if answer.right:
            return Attempt(answer.text, answer, trials[1:], selection.every)
        must_fail = {str(self.exercise.test_id): answer.must_fail}
        others = [replace(trial, checks=must_fail) for trial in trials[1:]]
        checks = answer.must_fail | selection.reached(answer.text)
        return Attempt(answer.text, answer, others, checks, selection.changed(answer.text))

    def _plan_mutants(self, attempts: Attempts, target: Target) -> None:
        """Adds the mutants, or a sample of them, and in any case those listed as equivalent."""
        made = make_mutants(self.solution)
        listed = set(read_equivalent(target.collection.folder / "equivalent.toml"))
        keys = Counter(mutant.key for mutant in made)
        for function, before, after in sorted(listed):
            if (number := keys[function, before, after]) != 1:
                self.found.problems.append(
                    f"equivalent.toml names {number or 'no'} mutants, not one: "
                    f"in {function}, {before!r} -> {after!r}"
                )
        same = [mutant for mutant in made if mutant.key in listed]
        others = sample([mutant for mutant in made if mutant.key not in listed], target.mutants)
        if not others:
            self.found.problems.append("no mutants: has the solution its markers?")
        self.found.mutants = MutantAudit(len(made), len(same), len(others))
        attempts.equivalent = listed
        selection = CheckSelection(self.part, self.exercise, [self.solution])
        for mutant in [*same, *others]:
            reached = {str(self.exercise.test_id): selection.reached(mutant.source)}
            trial = Trial(checks=reached, until_failure=True)
            attempts.mutants.append(Attempt(mutant.source, mutant, [trial]))

    def batches(self) -> list[list[Attempt]]:
        """The answers, in processes that end with a right one each."""
        answers = self.attempts.answers if self.attempts else []
        right, wrong = (
            [a for a in answers if a.trials and isinstance(a.what, Answer) and a.what.right is kind]
            for kind in (True, False)
        )
        return [[*wrong[i :: len(right)], last] for i, last in enumerate(right)]

    def try_out(self, server: ForkServer, batch: list[Attempt], limits: Limits) -> None:
        """Grades in one process, or in one for each if there is any doubt about the results."""
        results: list[list[Outcomes]] = []
        if len(batch) > 1:
            with suppress(Exception):  # who is to blame will be seen
                results = self._outcomes(server, batch, limits)
        pairs = list(zip(batch, results, strict=False))
        if pairs and all(
            isinstance(a.what, Answer) and is_as_expected(a.what, o) for a, o in pairs
        ):
            for attempt, outcomes in pairs:
                attempt.outcomes = outcomes
            return
        for attempt in batch:
            self._try_out_alone(server, attempt, limits)

    def _try_out_alone(self, server: ForkServer, attempt: Attempt, limits: Limits) -> None:
        """Grades in one process; a fault of the grader's own is tried once more."""
        outcomes: list[Outcomes] | None = None
        fault = ""
        is_mutant = isinstance(attempt.what, Mutant)
        short = replace(limits, cell_seconds=MUTANT_SECONDS, check_seconds=MUTANT_SECONDS)
        for chosen in (short if is_mutant else limits, limits):
            started = time.monotonic()
            try:
                (outcomes,) = self._outcomes(server, [attempt], chosen)
            except Exception as error:
                fault = f"{type(error).__name__}: {error}"
                continue
            attempt.seconds = time.monotonic() - started
            if not is_mutant or not lost(outcomes[0]) or rejected(outcomes[0]):
                break
        attempt.outcomes = outcomes
        if outcomes is None:  # a fault of its other gradings stands
            attempt.fault = fault

    def _outcomes(
        self, server: ForkServer, batch: list[Attempt], limits: Limits
    ) -> list[list[Outcomes]]:
        """What one process says of each, by trial."""
        solved = [(self.part.with_solution(self.exercise, a.text), a.trials) for a in batch]
        test_id = str(self.exercise.test_id)
        return [
            [{r.name: r for r in trial[test_id]} for trial in trials]
            for trials in try_out(server, solved, limits)
        ]

    def conclude(self) -> None:
        """Draws the conclusions, once."""
        if self.attempts is not None:
            conclude(self.found, self.exercise.checks, self.attempts)
        self.concluded = True
