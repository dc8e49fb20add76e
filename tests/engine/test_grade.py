"""Whole submissions: what honest work gets, and what a bad cell costs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from tiny_class import BROKEN, FULL, POINTS, RIGHT, SCORE_OF_WRONG, WRITTEN, WRONG, students

from autograder.checks import Outcome
from autograder.course.source import Assignment, grade_id
from autograder.engine.fork import fork_server
from autograder.engine.grade import Graded
from autograder.results import Report, Status
from autograder.sandbox.confine import Isolation

Grade = Callable[..., Graded]
Fill = Callable[[dict[str, str]], NotebookNode]


def scores(report: Report) -> dict[str, float | None]:
    return {exercise.id: exercise.score for exercise in report.exercises}


def earned(report: Report) -> dict[str, float]:
    return {exercise.id: exercise.score for exercise in report.exercises if exercise.score}


def outcomes(report: Report, exercise_id: str) -> set[Outcome]:
    (exercise,) = (e for e in report.exercises if e.id == exercise_id)
    return {check.outcome for check in exercise.checks}


def test_the_untouched_release_is_not_attempted_throughout(graded: Grade, filled: Fill) -> None:
    report = graded(filled({})).report
    assert report.status is Status.GRADED
    assert len(report.exercises) > 3
    for exercise in report.exercises:
        assert exercise.score == 0
        assert {check.outcome for check in exercise.checks} <= {Outcome.NOT_ATTEMPTED}


def test_a_written_answer_waits_for_a_person(graded: Grade, filled: Fill) -> None:
    report = graded(filled({"reasons": WRITTEN})).report
    assert scores(report)["reasons"] is None
    assert (report.score, report.max_score) == (0, POINTS)


def test_exercises_do_not_depend_on_each_other(graded: Grade, filled: Fill) -> None:
    report = graded(filled({**RIGHT, "statistics": WRONG["statistics"]})).report
    assert earned(report) == {**FULL, "statistics": SCORE_OF_WRONG["statistics"]}


def test_a_syntax_error_costs_its_exercise_only(graded: Grade, filled: Fill) -> None:
    report = graded(filled({**RIGHT, "scale": BROKEN})).report
    assert earned(report) == {"statistics": 6, "fit": 3}


@pytest.mark.parametrize(
    ("bad", "outcome"),
    [
        ("while True:\n    pass", Outcome.ERROR),  # interrupted; the definitions are missing
        ("import os\nos._exit(3)", Outcome.ERROR),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", Outcome.ERROR),
        (
            "while True:\n    try:\n        while True:\n            pass\n"
            "    except KeyboardInterrupt:\n        pass",
            Outcome.ERROR,
        ),
    ],
    ids=["endless loop", "exit", "segmentation fault", "swallowed interrupt"],
)
def test_a_cell_that_hangs_or_kills_costs_its_exercise_only(
    bad: str, outcome: Outcome, graded: Grade, filled: Fill
) -> None:
    report = graded(filled({**RIGHT, "statistics": bad}), cell_seconds=4).report
    assert report.status is Status.GRADED
    assert outcomes(report, "statistics") == {outcome}
    assert earned(report) == {"scale": 4, "fit": 3}


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("import os; os._exit(0)", Outcome.KERNEL_DIED),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Outcome.KERNEL_DIED),
        ("\n    while True: pass", Outcome.TIMED_OUT),
    ],
    ids=["exit", "segmentation fault", "endless loop"],
)
def test_a_function_that_hangs_or_kills_costs_only_the_checks_that_call_it(
    body: str, outcome: Outcome, graded: Grade, filled: Fill
) -> None:
    late = f"{RIGHT['statistics']}\n\ndef spread(values): {body}\n"
    report = graded(filled({**RIGHT, "statistics": late}), check_seconds=4).report
    checks = {check.name: check for check in report.exercises[0].checks}
    lost = {name: check.outcome for name, check in checks.items() if check.points == 0}
    assert lost == {"spread_of_two": outcome, "spread_of_negatives": outcome}
    assert scores(report)["statistics"] == FULL["statistics"] - sum(
        checks[n].max_points for n in lost
    )
    assert scores(report)["scale"] == FULL["scale"]


def test_endless_output_is_cut_and_costs_its_exercise_only(graded: Grade, filled: Fill) -> None:
    flood = f"{RIGHT['statistics']}\nwhile True:\n    print('x' * 1000)\n"
    done = graded(filled({**RIGHT, "statistics": flood}), output_bytes=20_000, flood_bytes=10**6)
    assert scores(done.report)["scale"] == FULL["scale"]
    assert (
        scores(done.report)["statistics"] == FULL["statistics"]
    )  # its definitions came before the flood
    (cell,) = (c for c in done.notebook.cells if grade_id(c) == "statistics")
    text = "".join(output.get("text", "") for output in cell.outputs)
    assert len(text) < 25_000
    assert "[cut: a cell may print 20,000 bytes]" in text


def test_the_notebooks_deadline_ends_it(graded: Grade, filled: Fill) -> None:
    notebook = filled(RIGHT)
    loop = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"
    notebook.cells.insert(3, new_code_cell(loop))
    report = graded(notebook, cell_seconds=30, notebook_seconds=3).report
    assert report.status is Status.GRADED
    assert outcomes(report, "scale") == {Outcome.TIMED_OUT}
    assert report.score == 0


def test_the_notebooks_deadline_keeps_the_marks_earned_before_it(
    graded: Grade,
    filled: Fill,
) -> None:
    notebook = filled(RIGHT)
    tested = next(i for i, c in enumerate(notebook.cells) if grade_id(c) == "test_scale")
    notebook.cells.insert(tested + 1, new_code_cell("while True: pass"))
    report = graded(notebook, cell_seconds=60, notebook_seconds=8).report
    assert earned(report) == {k: v for k, v in FULL.items() if k != "fit"}
    assert outcomes(report, "fit") == {Outcome.TIMED_OUT}


def test_sys_exit_costs_only_the_checks_that_meet_it(graded: Grade, filled: Fill) -> None:
    late = f"{RIGHT['statistics']}\n\ndef spread(*_, **__):\n    import sys\n    sys.exit('no')\n"
    report = graded(filled({**RIGHT, "statistics": late})).report
    lost = {c.name: c.message for c in report.exercises[0].checks if c.points == 0}
    assert set(lost) == {"spread_of_two", "spread_of_negatives"}
    assert lost["spread_of_negatives"].startswith("SystemExit: no")


@pytest.mark.parametrize("call", ["exit()", "quit()"])
def test_exit_in_a_cell_ends_nothing(call: str, graded: Grade, filled: Fill) -> None:
    done = graded(filled({**RIGHT, "statistics": f"{RIGHT['statistics']}\n{call}"}))
    assert earned(done.report) == FULL
    assert done.report.repairs == []


def test_what_a_submission_prints_on_the_way_is_kept(graded: Grade, filled: Fill) -> None:
    notebook = filled(RIGHT)
    notebook.cells.append(new_code_cell("print('the end', 6 * 7)"))
    done = graded(notebook)
    assert done.notebook.cells[-1].outputs[0].text == "the end 42\n"
    assert earned(done.report) == FULL


def test_a_submission_cannot_leave_files_where_it_is_graded(
    graded: Grade, filled: Fill, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = filled({})
    code = (
        "import os, tempfile\nopen('left.txt', 'w').write('x')\n"
        "print(tempfile.mkstemp()[1])\nprint(os.getcwd())"
    )
    notebook.cells.append(new_code_cell(code))
    temporary, folder = graded(notebook).notebook.cells[-1].outputs[0].text.split()
    assert not Path(temporary).exists()
    assert not Path(folder).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_report_survives_json(graded: Grade, filled: Fill) -> None:
    report = graded(filled({**RIGHT, "reasons": WRITTEN})).report
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize("student", ["jonas", "luis"])
def test_bad_files_are_rejected_without_a_mark(
    student: str, graded: Grade, tiny_chapter: Assignment
) -> None:
    done = graded(students(tiny_chapter)[student])
    assert done.report.status is Status.REJECTED
    assert re.search("no notebook", done.report.reason)
    assert done.report.score is None
    assert done.notebook is None


def test_nothing_is_left_running_or_open(graded: Grade, filled: Fill) -> None:
    """Submissions whose kernels die leave no process, no descriptor and no folder behind."""
    server = fork_server(Isolation.FULL)

    def footprint() -> tuple[int, int, list[str]]:
        me, served = psutil.Process(), psutil.Process(server.process.pid)
        folders = sorted(path.name for path in server.folder.iterdir())
        return len(served.children(recursive=True)), me.num_fds(), folders

    graded(filled({}))
    before = footprint()
    for _ in range(5):
        graded(filled({"statistics": "import os\nos._exit(1)"}))
    processes, descriptors, folders = footprint()
    assert processes == before[0]
    assert descriptors <= before[1] + 3
    assert folders == before[2]


def test_the_first_cell_stays_and_is_run_again_after_a_crash(
    graded: Grade,
    filled: Fill,
) -> None:
    """Calls into the kernel once took the place of the notebook's first cell."""
    deadly = f"{RIGHT['statistics']}\n\ndef spread(*_): OS._exit(1)\n"
    needs_the_first_cell = f"SCALE\n{RIGHT['scale']}"
    notebook = filled({**RIGHT, "statistics": deadly, "scale": needs_the_first_cell})
    title = notebook.cells[0].source
    notebook.cells.insert(0, new_code_cell("import os as OS\nSCALE = 1"))
    done = graded(notebook)
    assert scores(done.report)["scale"] == FULL["scale"]
    assert [c.source for c in done.notebook.cells[:2]] == ["import os as OS\nSCALE = 1", title]


def test_a_kernel_that_breaks_the_protocol_costs_its_cell_only(
    graded: Grade,
    filled: Fill,
) -> None:
    forged = (
        "\nkernel = get_ipython().kernel\n"
        "kernel.session.send(kernel.iopub_socket, 'stream', {}, parent=kernel.get_parent('shell'))"
    )
    report = graded(filled({**RIGHT, "statistics": RIGHT["statistics"] + forged})).report
    assert report.status is Status.GRADED
    assert scores(report)["scale"] == FULL["scale"]


def test_a_print_out_of_a_hidden_check_is_not_shown(graded: Grade, filled: Fill) -> None:
    curious = RIGHT["statistics"].replace("def spread(", "def _spread(")
    curious += "\n\ndef spread(*a, **k):\n    print('inputs', a, k)\n    return _spread(*a, **k)\n"
    report = graded(filled({"statistics": curious})).report
    printed = {check.hidden: "" for check in report.exercises[0].checks}
    for check in report.exercises[0].checks:
        printed[check.hidden] += check.printed
    assert "inputs" in printed[False]
    assert printed[True] == ""


def test_a_mark_depends_neither_on_threads_nor_on_load(graded: Grade, filled: Fill) -> None:
    """Twenty times, four at once: more than the machine has cores."""
    mixed = filled({**RIGHT, "statistics": WRONG["statistics"]})

    def marks(number: int) -> list[tuple[str, Outcome, float, str]]:
        report = graded(mixed, threads=1 + number % 2, cell_seconds=25).report
        return [
            (c.name, c.outcome, c.points, c.message) for e in report.exercises for c in e.checks
        ]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(marks, range(20))
    lost = [name for name, outcome, *_ in first if outcome is Outcome.FAILED]
    assert lost == ["mean_of_many"]
    assert all(other == first for other in others)
