"""An exercise on several ranks, graded in the sandbox: verdicts, and that nothing stays behind."""

from __future__ import annotations

import psutil
import pytest
from engines import engine
from sample_class import fill
from tiny import TINY, cell, check, exercise, function, graded, release, write_chapter

from autograder.audit.in_process import try_out
from autograder.course.source import Assignment
from autograder.engine.options import Limits, Trial
from autograder.results import CheckResult, Outcome
from autograder.sandbox.confine import Isolation, SandboxError

SETUP = """\
import os

import torch
import torch.distributed as dist

from autograder.checks import Checks, probe
from autograder.ranks import run_ranks
from autograder.traffic import count_traffic"""
SOLUTION = "dist.all_reduce(tensor)\nreturn tensor"
CHECKS = (
    check(
        "is_the_sum",
        "def run(rank, world_size):\n"
        "    with count_traffic() as traffic:\n"
        "        return total(torch.tensor([rank + 1.0])), traffic.calls\n"
        "found = probe(lambda: run_ranks(run, 4))\n"
        "assert [value.tolist() for value, _ in found] == [[10.0]] * 4\n"
        "assert {tuple(calls) for _, calls in found} == {(('all_reduce', 1, 4, None),)}",
    )
    + "### BEGIN HIDDEN TESTS\n"
    + check("knows_two", "assert True")
    + "### END HIDDEN TESTS"
)
# Each body, with the outcome of the check and what its message says.
ANSWERS = {
    "right": (SOLUTION, Outcome.PASSED, ""),
    "stub": ("raise NotImplementedError", Outcome.NOT_ATTEMPTED, ""),
    "wrong": ("return tensor", Outcome.FAILED, ""),
    "raises": ("return 1 / 0", Outcome.ERROR, "rank 0: division by zero"),
    "deadlock": (
        "if dist.get_rank() != 1:\n    dist.all_reduce(tensor)\nreturn tensor",
        Outcome.ERROR,
        "rank 0 waits in all_reduce, line 3 of total: dist.all_reduce(tensor)\nrank 1 has returned",
    ),
    "dies": (
        "if dist.get_rank() == 2:\n    os._exit(1)\ndist.all_reduce(tensor)",
        Outcome.FAILED,
        "rank 2 died: it ended with exit status 1",
    ),
    "sizes": (
        "if dist.get_rank() == 0:\n    dist.send(torch.ones(5), 1)\n"
        "if dist.get_rank() == 1:\n    dist.recv(tensor, 0)",
        Outcome.ERROR,
        "rank 1 died: in recv, line 5 of total: dist.recv(tensor, 0)",
    ),
}


@pytest.fixture(scope="module")
def chapter(tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    course = write_chapter(
        tmp_path_factory.mktemp("ranks"),
        cell("setup", SETUP),
        exercise("total", function("total", SOLUTION, "tensor"), CHECKS, 2),
        header="#   autograder:\n#     loopback: true\n",
    )
    return course.assignment(TINY)


def answer(body: str) -> str:
    return "def total(tensor):\n" + "".join(f"    {line}\n" for line in body.splitlines())


@pytest.mark.parametrize("name", ANSWERS)
def test_ranks_of_a_submission_end_with_a_verdict(chapter: Assignment, name: str) -> None:
    body, outcome, says = ANSWERS[name]
    found = graded(chapter, fill({"total": answer(body)}, release(chapter)))
    result = found.report.exercises[0].checks[0]
    assert (result.outcome, result.name) == (outcome, "is_the_sum"), result.message
    assert says in result.message
    started = psutil.Process(engine().server.process.pid).children(recursive=True)
    running = [process for process in started if process.status() != psutil.STATUS_ZOMBIE]
    assert len(running) <= 1  # the server, in its outer wall


def test_where_connections_are_refused_there_is_no_mark(chapter: Assignment) -> None:
    with pytest.raises(SandboxError, match="over TCP"):
        graded(chapter, release(chapter), isolation=Isolation.PROCESS)


def test_in_the_audits_one_process_it_is_the_same(chapter: Assignment) -> None:
    ((results,),) = try_out(engine().server, [(chapter, [Trial()])], Limits())
    assert outcomes(results["test_total"]) == [Outcome.PASSED, Outcome.PASSED]


def outcomes(results: list[CheckResult]) -> list[Outcome]:
    return [result.outcome for result in results]
