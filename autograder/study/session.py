"""One notebook that is open: what `%check`, `%hint`, `%solution` and `%progress` do in its kernel.

It runs in the learner's kernel and asks nobody: it finds the chapter by the notebook's folder or
file, remembers which cells ran, runs an exercise's checks against the notebook's names as they are,
and keeps the progress. It returns what is to be shown; magic.py shows it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from autograder.lesson import work_folder
from autograder.results import CheckResult, Code, Outcome
from autograder.study import show
from autograder.study.chapter import (
    Chapter,
    Exercise,
    NotFound,
    answers_of_another_kind,
    find_chapter,
    find_course,
    read_notebook,
    read_source,
)
from autograder.study.explain import (
    Run,
    Saved,
    bound_names,
    explain,
    is_outdated,
    never_returns,
    used_names,
)
from autograder.study.live import run_checks
from autograder.study.progress import Progress, Standing
from autograder.study.show import Shown

MAX_RUNS = 2_000  # cells that are remembered
T = TypeVar("T")


class Session:
    """What is known of one kernel's notebook.

    Args:
        names: the notebook's names.
        folder: that the notebook lies in.
        progress: default: work/progress.sqlite of the course.
    """

    def __init__(self, names: dict[str, Any], folder: Path, progress: Progress | None = None):
        self.names = names
        self.folder = folder
        self.progress = progress or Progress(work_folder() / "progress.sqlite")
        self.runs: list[Run] = []
        self._asked: set[str] = set()  # exercises of which the solution was asked for once
        self._hints: dict[str, int] = {}  # shown in this kernel, should progress not be kept

    # ------------------------------------------------------------------ which exercise

    def ran(self, source: str, cell_id: str = "", error: str = "", at: float | None = None) -> None:
        """Remembers that a cell ran."""
        if source.strip() and not re.fullmatch(r"\s*(%(?!%).*\s*)+", source):
            self.runs.append(Run(cell_id, source, time.time() if at is None else at, error))
            del self.runs[:-MAX_RUNS]

    def _notebook(self) -> Path | None:
        """The notebook's file, where the front end says it or only one comes into question."""
        for said in (os.environ.get("JPY_SESSION_NAME"), self.names.get("__vsc_ipynb_file__")):
            path = self.folder / Path(str(said or "")).name
            if path.suffix == ".ipynb" and path.is_file():
                return path
        found = [path for path in self.folder.glob("*.ipynb") if not path.name.startswith(".")]
        return found[0] if len(found) == 1 else None

    def chapter(self) -> Chapter:
        """The chapter of this notebook.

        Raises:
            NotFound: if it cannot be told.
        """
        path, course = self._notebook(), find_course(self.folder)
        if course is not None and (source := find_chapter(course, self.folder, path)):
            return read_source(source)
        if path is None:
            raise NotFound(
                "I cannot tell which chapter this notebook belongs to. Keep it in its chapter's "
                "folder, under its own name, and start the kernel again."
            )
        name = self.folder.name if re.match(r"ch\d\d_", self.folder.name) else path.stem
        return read_notebook(path, name)

    def _exercise(self, chapter: Chapter, name: str) -> Exercise:
        """The exercise of that name; without one, the exercise whose cell ran last."""
        if name.strip():
            return chapter.exercise(name)
        for run in reversed(self.runs):
            for exercise in chapter.exercises.values():
                if run.cell_id == exercise.test.id or self._is_of(run, exercise):
                    return exercise
        known = ", ".join(chapter.exercises) or "none"
        raise NotFound(
            "No exercise's cell ran yet. Run one first, or name it behind the command, as in "
            f"`%check {next(iter(chapter.exercises), 'NAME')}`. The exercises are: {known}."
        )

    @staticmethod
    def _is_of(run: Run, exercise: Exercise) -> bool:
        """Whether the cell that ran is the exercise's: by its id, else by what it defines."""
        return run.cell_id == exercise.id or bool(exercise.answer.defines & bound_names(run.source))

    # ------------------------------------------------------------------ the commands

    def check(self, name: str = "") -> Shown:
        """Runs the checks of an exercise; runs no cell of the notebook.

        Raises:
            NotFound: if there is no such exercise.
        """
        chapter = self.chapter()
        exercise = self._exercise(chapter, name)
        if missing := self._missing_setup(chapter, exercise):
            return show.messages([missing])
        run, saved = self._last_run(exercise), self._saved()
        notes = explain(exercise, self.names, self.runs, run, saved)
        if not exercise.answer.defines & self.names.keys() and exercise.answer.defines:
            return show.messages(notes)
        try:
            check = run_checks(exercise.id, exercise.test.source, self.names)
        except KeyboardInterrupt:
            return show.messages([*notes, "Stopped. This was not counted as an attempt."])
        except Exception as error:
            stopped = (
                f"The test cell of {exercise.id} could not run ({type(error).__name__}: {error}). "
                "Did a name of the set-up cells get another value? Restart the kernel, run all "
                "cells above, then check again."
            )
            return show.messages([*notes, stopped])
        if run is not None:
            _clarify(check.results, exercise, run)
        outcomes = {result.outcome for result in check.results}
        if Outcome.NOT_RUN in outcomes:
            after = ["Stopped. This was not counted as an attempt."]
        elif outcomes == {Outcome.NOT_ATTEMPTED}:
            after = [
                "Not attempted yet: replace `raise NotImplementedError` in the cell of "
                f"{exercise.id}, run it, then check again."
            ]
        elif is_outdated(exercise, run, saved):
            after = ["These results are of an older version. They were not counted as an attempt."]
        else:
            after = self._record(chapter, exercise, check.total(), check.results)
        offered = sum(result.max_points for result in check.results)
        if chapter.whole:
            if any(result.hidden for result in check.results):
                after.append(
                    "(hidden): this check is not in your notebook; a class is graded by it, too."
                )
        else:
            after.append(
                "These are the visible checks only; your copy of the course has no hidden ones. "
                f"Hidden checks decide on {check.points - offered:g} more of {check.points:g} "
                "points when you hand in."
            )
        check.caption = f"{exercise.title}: {check.total():g} of {offered:g} points"
        return show.checks(check, notes, after)

    def hint(self, name: str = "") -> Shown:
        """The next hint of the exercise's section; after the last one, all of them."""
        chapter = self.chapter()
        exercise = self._exercise(chapter, name)
        hints = exercise.hints
        if not hints:
            return show.messages([f"There are no hints for {exercise.id}."])
        seen = max(self._standing(chapter, exercise).hints, self._hints.get(exercise.id, 0))
        if seen >= len(hints):
            return show.hints(exercise.title, hints, len(hints))
        self._hints[exercise.id] = seen + 1
        self._kept(lambda: self.progress.hint(chapter.name, exercise.id), seen + 1)
        return show.hints(exercise.title, hints, seen + 1, only=seen)

    def solution(self, name: str = "") -> Shown:
        """The reference solution beside another right answer; asks first, once for an exercise."""
        chapter = self.chapter()
        exercise = self._exercise(chapter, name)
        if not exercise.solution:
            return show.messages(
                ["Your copy of the course has no solutions. Whoever teaches you has them."]
            )
        standing = self._standing(chapter, exercise)
        agreed = standing.solved or standing.solution_seen or exercise.id in self._asked
        if not agreed:
            self._asked.add(exercise.id)
            left = len(exercise.hints) - standing.hints
            hints = f" {left} {'hint is' if left == 1 else 'hints are'} left." if left else ""
            return show.messages(
                [
                    f"This shows a solution of {exercise.title}, and your progress remembers it."
                    f"{hints} To see it, run `%solution {exercise.id}` once more."
                ]
            )
        self._kept(lambda: self.progress.solution(chapter.name, exercise.id), None)
        course = find_course(self.folder)
        others = answers_of_another_kind(course, chapter.name, exercise) if course else []
        return show.solution(exercise.title, exercise.solution, others[0] if others else "")

    def progress_table(self) -> Shown:
        """Where the learner stands in this chapter, and what could be next."""
        chapter = self.chapter()
        standings = [
            (exercise.title, self._standing(chapter, exercise))
            for exercise in chapter.exercises.values()
        ]
        return show.progress(standings, [self._next(chapter, None), self._again(chapter)])

    # ------------------------------------------------------------------ what they need

    def _missing_setup(self, chapter: Chapter, exercise: Exercise) -> str:
        """Which set-up cell has to run before the checks can; empty if all have."""
        needed = used_names(exercise.test.source) - self.names.keys()
        for cell in chapter.cells:
            if cell.is_setup and (names := needed & bound_names(cell.source)):
                first = next((line for line in cell.source.splitlines() if line.strip()), "")
                return (
                    f"`{min(names)}` is missing: a set-up cell has not run, the one that begins "
                    f"with `{first.strip()[:60]}`. Run it, or all cells above the exercise (menu "
                    "Run, Run All Above Selected Cell), then check again."
                )
            if cell.id == exercise.id:
                break
        return ""

    def _last_run(self, exercise: Exercise) -> Run | None:
        return next((run for run in reversed(self.runs) if self._is_of_cell(run, exercise)), None)

    def _saved(self) -> Saved | None:
        path = self._notebook()
        if path is None:
            return None
        try:
            cells = read_notebook(path, "").cells
            return Saved([cell for cell in cells if cell.kind == "code"], path.stat().st_mtime)
        except (NotFound, OSError):
            return None

    def _is_of_cell(self, run: Run, exercise: Exercise) -> bool:
        """Whether the exercise's own cell ran, and not another one that defines its names."""
        if run.cell_id:
            return run.cell_id == exercise.id
        return self._is_of(run, exercise)

    def _record(
        self, chapter: Chapter, exercise: Exercise, score: float, results: list[Any]
    ) -> list[str]:
        """Counts an attempt; returns what to say below the table."""
        offered = sum(result.max_points for result in results)
        self._kept(
            lambda: self.progress.attempt(chapter.name, exercise.id, score, offered, results), None
        )
        standing = self._standing(chapter, exercise)
        said = []
        if standing.attempts:
            said.append(f"Attempt {standing.attempts}. Best: {standing.best:g} of {offered:g}.")
        if score >= offered:
            said.append(
                "All checks pass. Run the rest of the section: its figures may use your answer. "
                f"{self._next(chapter, exercise)}".strip()
            )
        elif (left := len(exercise.hints) - standing.hints) > 0:
            said.append(f"`%hint` shows a hint ({left} left).")
        return said

    def _next(self, chapter: Chapter, done: Exercise | None) -> str:
        """What to do next: the first exercise behind `done` that is not solved, or an old one."""
        order = list(chapter.exercises.values())
        start = order.index(done) + 1 if done else 0
        for exercise in order[start:] + order[:start]:
            if exercise is not done and not self._standing(chapter, exercise).solved:
                return f"Next: {exercise.title} (`%check {exercise.id}`)."
        return "You have solved all exercises of this chapter." if order else ""

    def _again(self, chapter: Chapter) -> str:
        """Proposes an exercise that was solved long ago; empty if there is none."""
        found = self._kept(lambda: self.progress.again(datetime.now()), None)
        if found is None:
            return ""
        known = chapter.exercises if found[0] == chapter.key else {}
        name = known[found[1]].title if found[1] in known else f"{found[1]} (chapter {found[0]})"
        return f"You solved this long ago: {name}. Solve it once more, from nothing, in 15 minutes?"

    def _standing(self, chapter: Chapter, exercise: Exercise) -> Standing:
        return self._kept(lambda: self.progress.standing(chapter.name, exercise.id), Standing())

    def _kept(self, action: Callable[[], T], otherwise: T) -> T:
        """Does something with the progress; if that fails, says so, and the rest goes on."""
        try:
            return action()
        except (sqlite3.Error, OSError) as error:
            print(f"Your progress could not be kept in {self.progress.path}: {error}")
            return otherwise


def _clarify(results: Sequence[CheckResult], exercise: Exercise, run: Run) -> None:
    """Leaves out what would only confuse, as the exercise's cell that ran explains it."""
    if run.source.strip() == exercise.stub.strip():
        for result in results:  # some blame the stub for what it does not return
            result.outcome, result.points, result.message = Outcome.NOT_ATTEMPTED, 0, ""
    elif never := never_returns(run.source, exercise.model):
        names = " and ".join(f"`{name}`" for name in never)
        for result in results:  # a note says what is to be done first
            result.hint = ""
            if result.code is Code.IS_NONE:  # which only supposes what gave it
                result.message = f"No result comes from {names}."
