"""A mark depends on a submission's own time, and a submission that only waits costs little."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from tiny_class import FULL, RIGHT

from autograder.engine import clock as clock_module
from autograder.engine.clock import Clock, MachineTooBusy
from autograder.engine.kernel import Kernel
from autograder.engine.options import Graded, Limits
from autograder.results import Code, Report
from autograder.stopwatch import Stopwatch

Grade = Callable[..., Graded]
Fill = Callable[[dict[str, str]], NotebookNode]


@pytest.fixture
def busy_machine(graded: Grade, filled: Fill) -> Iterator[None]:
    """Three processes for each processor that compute without end."""
    graded(filled({}))  # the engine has started
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop) for _ in range(3 * len(os.sched_getaffinity(0)))]
    yield
    for process in loops:
        process.kill()
        process.wait()


def earned(report: Report) -> dict[str, float]:
    return {exercise.id: exercise.score for exercise in report.exercises if exercise.score}


def printed(done: Graded, index: int) -> str:
    return "".join(output.get("text", "") for output in done.notebook.cells[index].outputs)


# ---------------------------------------------------------------- the mark


@pytest.mark.usefixtures("busy_machine")
def test_a_cell_and_a_check_have_their_seconds_on_a_busy_machine(
    graded: Grade, filled: Fill
) -> None:
    """A second of work takes three or four beside the others, and once counted as so many."""
    work = "    import time\n    end = time.process_time() + 1\n"
    work += "    while time.process_time() < end:\n        pass\n"
    slow = f"def work():\n{work}\nwork()\n" + RIGHT["scale"].replace(
        "    return", "    work()\n    return"
    )
    report = graded(filled({**RIGHT, "scale": slow}), cell_seconds=2, check_seconds=2).report
    assert earned(report) == FULL
    assert report.notes == []


def test_a_cell_that_prints_without_end_always_comes_equally_far(
    graded: Grade, filled: Fill
) -> None:
    """When the grader's interrupt comes depends on the machine."""
    notebook = filled(
        {**RIGHT, "scale": RIGHT["scale"] + "\nn = 0\nwhile True:\n    print('x' * 99)\n    n += 1"}
    )
    notebook.cells.append(new_code_cell("print(n)"))
    done = graded(notebook, output_bytes=20_000, flood_bytes=10**6)
    assert earned(done.report) == FULL
    assert printed(done, -1) == "10000\n"
    assert [(note.code, note.cell) for note in done.report.notes] == [
        (Code.CELL_PRINTS_TOO_MUCH, "scale")
    ]
    assert done.cost.deadlines == 0


def test_what_is_printed_elsewhere_is_cut_and_ends_nothing(graded: Grade, filled: Fill) -> None:
    """A thread's or a program's output, more than a cell may print; the cell goes on."""
    text = (
        "import subprocess, sys, threading\n"
        "def flood():\n    for _ in range(20_000):\n        print('x' * 99)\n"
        "thread = threading.Thread(target=flood)\nthread.start()\nthread.join()\n"
        "subprocess.run([sys.executable, '-c', 'print(\"y\" * 2_000_000)'])\n"
        "done = 'to the end'"
    )
    notebook = filled(RIGHT)
    notebook.cells += [new_code_cell(text), new_code_cell("print(done)")]
    done = graded(notebook, output_bytes=20_000, flood_bytes=10**6)
    assert printed(done, -1) == "to the end\n"
    assert len(printed(done, -2)) < 25_000


def test_no_message_is_lost_where_the_grader_reads_slowly(
    graded: Grade, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that a cell has ended was thrown away with others, and the cell was stopped."""
    process_message = Kernel.process_message

    def slowly(kernel: Kernel, msg: dict, *others: object) -> object:
        if msg["msg_type"] == "display_data":
            time.sleep(0.0005)
        return process_message(kernel, msg, *others)

    monkeypatch.setattr(Kernel, "process_message", slowly)
    text = "from IPython.display import display\nfor n in range(4_000):\n    display(n)"
    notebook = filled(RIGHT)
    notebook.cells.append(new_code_cell(text))
    done = graded(notebook, cell_seconds=60)
    assert [list(output.data.values()) for output in done.notebook.cells[-1].outputs] == [
        [str(n)] for n in range(4_000)
    ]
    assert (done.report.notes, done.cost.deadlines) == ([], 0)


# ---------------------------------------------------------------- the cost

BREAKS = {
    "functions of our modules": (
        "from autograder import checks\nfrom autograder.engine import wire\n"
        "from autograder.engine.inside import remote\n"
        "for module in (checks, wire, remote):\n"
        "    for name, value in list(vars(module).items()):\n"
        "        if callable(value):\n"
        "            setattr(module, name, lambda *a, **k: None)\n"
    ),
    "run_cell_async": (
        "shell = get_ipython()\nasync def idle(*a, **k):\n    import asyncio\n"
        "    await asyncio.sleep(1000)\nshell.run_cell_async = idle\n"
    ),
    "input transformer": (
        "get_ipython().input_transformers_cleanup.append(\n"
        "    lambda lines: [] if any('_serve' in line for line in lines) else lines)\n"
    ),
    "answers once": (
        "import time\nfrom autograder.engine.inside import remote\n"
        "answer = remote._answer\nremote._answer = lambda request: ("
        "answer(request) if len(request) < 60 else time.sleep(1000))\n"
    ),
}


@pytest.mark.parametrize("way", BREAKS)
def test_who_breaks_the_channel_loses_what_follows_and_costs_little(
    way: str, graded: Grade, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "IDLE_SECONDS", 1.0)
    notebook = filled({**RIGHT, "scale": BREAKS[way] + RIGHT["scale"]})
    done = graded(notebook, cell_seconds=8, check_seconds=8)
    assert earned(done.report) == {"statistics": FULL["statistics"]}
    assert done.cost.kernels <= 6
    if way != "answers once":
        codes = [note.code for note in done.report.notes]
        assert codes == [Code.CALLS_NOT_ANSWERED]
        assert done.cost.deadlines <= 4


def test_who_sleeps_through_every_call_is_waited_for_once(
    graded: Grade, filled: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who wakes up in time has lost nothing."""
    monkeypatch.setattr(clock_module, "IDLE_SECONDS", 1.0)
    asleep = (
        "\ndef spread(values):\n    import time\n    time.sleep({})\n"
        "    return max(values) - min(values)\n"
    )
    honest = graded(
        filled({**RIGHT, "statistics": RIGHT["statistics"] + asleep.format(2)}), check_seconds=60
    )
    assert earned(honest.report) == FULL
    done = graded(
        filled({**RIGHT, "statistics": RIGHT["statistics"] + asleep.format(1000)}), check_seconds=6
    )
    assert earned(done.report) == {**FULL, "statistics": 3}
    assert done.cost.deadlines == 2


def a_process(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code])


def waits(limits: Limits, pid: int, *seconds: float) -> tuple[list[bool], Clock]:
    """Whether something that never comes has come, time after time."""

    async def wait() -> tuple[list[bool], Clock]:
        clock = Clock(limits)
        clock.watch.watch(pid)
        never = asyncio.get_running_loop().create_future()
        return [await clock.wait({never}, each) for each in seconds], clock

    return asyncio.run(wait())


def test_what_is_not_waited_for_counts_as_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "IDLE_SECONDS", 0.5)
    process = a_process("import time; time.sleep(1000)")
    came, clock = waits(Limits(notebook_seconds=600, check_seconds=60), process.pid, 2, 300)
    process.kill()
    process.wait()
    assert came == [False, False]
    assert clock.left == pytest.approx(298, abs=1)
    assert clock.cost.deadlines == 2


def test_a_machine_that_gives_nothing_is_the_graders_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock_module, "WALL_FACTOR", 0.02)
    monkeypatch.setattr(clock_module, "WALL_SECONDS", 1.0)
    monkeypatch.setattr(Stopwatch, "look", lambda self: None)
    with pytest.raises(MachineTooBusy, match="given it 0 of the 60"):
        waits(Limits(notebook_seconds=60, check_seconds=60), os.getpid(), 60)
