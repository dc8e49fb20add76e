"""`%check` in a learner's kernel finds what the judge finds: every wrong answer to three exercises.

They are one in plain Python, one in PyTorch and one in PyTorch and Keras.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from engines import engine
from IPython.core.interactiveshell import InteractiveShell
from sample_class import ROOT

from autograder.audit.answers import Answer, Collection, collections
from autograder.audit.in_process import try_out
from autograder.checks import MIME_TYPE
from autograder.course.cells import is_demo, is_test
from autograder.course.source import Course
from autograder.engine.options import Limits, Trial
from autograder.results import Outcome
from autograder.study.progress import Progress
from autograder.study.session import Session

EXERCISES = {"budget": "ch01_concepts", "attention": "ch01_concepts", "dropout": "ch02_overfitting"}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_every_wrong_answer_fails_the_same_checks_as_when_it_is_graded(
    exercise: str, tmp_path: Path
) -> None:
    (collection,) = collections(Course(ROOT), [EXERCISES[exercise]], [exercise])
    wrong = [answer for answer in collection.answers if not answer.right]
    judged, seen = when_graded(collection, wrong), in_the_kernel(collection, wrong, tmp_path)
    assert all(judged.values())
    assert {name: seen[name] for name in judged if seen[name] != judged[name]} == {}


def when_graded(collection: Collection, answers: list[Answer]) -> dict[str, set[str]]:
    """The checks that do not pass in the judge's process, by answer."""
    chapter = collection.assignment.only(collection.exercise)
    solved = [
        (chapter.with_solution(collection.exercise, answer.text), [Trial()]) for answer in answers
    ]
    results = try_out(engine().server, solved, Limits())
    return {
        answer.name: {
            check.name
            for check in by_test[str(collection.exercise.test_id)]
            if check.outcome is not Outcome.PASSED
        }
        for answer, (by_test,) in zip(answers, results, strict=True)
    }


def in_the_kernel(
    collection: Collection, answers: list[Answer], folder: Path
) -> dict[str, set[str]]:
    """The checks that do not pass in `%check`, by answer; one kernel for all."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.reset()
    exercise = collection.exercise.id
    for cell in collection.assignment.only(collection.exercise).source.cells:
        if cell.id == exercise:
            break
        if cell.cell_type == "code" and not is_demo(cell) and not is_test(cell):
            shell.run_cell(cell.source).raise_error()
    learners = ROOT / "release" / collection.assignment.name
    session = Session(shell.user_ns, learners, Progress(folder / "progress.sqlite"))
    given = dict(shell.user_ns)
    found = {}
    for answer in answers:
        shell.user_ns.clear()
        shell.user_ns.update(given)
        ran = shell.run_cell(answer.text, cell_id=exercise)
        session.ran(answer.text, exercise, str(ran.error_in_exec or ran.error_before_exec or ""))
        before = set(shell.user_ns)
        shown = session.check(exercise).bundle
        assert set(shell.user_ns) == before
        found[answer.name] = {
            check["name"] for check in shown[MIME_TYPE]["checks"] if check["outcome"] != "passed"
        }
    return found
