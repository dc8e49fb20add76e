"""Whole submissions: what honest work gets, and what a bad cell costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from engines import engine
from nbformat.v4 import new_code_cell
from sample_class import answer, fill, release, students

from autograder.course.source import Assignment, grade_id
from autograder.engine.options import Graded
from autograder.results import Code, Outcome, Report, Status

RIGHT = {
    "budget": answer("budget", "right_per_token_costs"),
    "attention": answer("attention", "right_einsum"),
}
FULL = {"budget": 10.0, "attention": 13.0}


def scores(report: Report) -> dict[str, float | None]:
    return {exercise.id: exercise.score for exercise in report.exercises}


def earned(report: Report) -> dict[str, float]:
    return {exercise.id: exercise.score for exercise in report.exercises if exercise.score}


def outcomes(report: Report, exercise_id: str) -> set[Outcome]:
    (exercise,) = (e for e in report.exercises if e.id == exercise_id)
    return {check.outcome for check in exercise.checks}


def test_the_untouched_release_is_not_attempted_throughout(graded: Callable[..., Graded]) -> None:
    report = graded(release()).report
    assert report.status is Status.GRADED
    assert len(report.exercises) > 3
    for exercise in report.exercises:
        assert exercise.score == 0
        assert {check.outcome for check in exercise.checks} <= {Outcome.NOT_ATTEMPTED}


def test_a_written_answer_waits_for_a_person(
    graded: Callable[..., Graded], assignment: Assignment
) -> None:
    report = graded(fill({"claims_answer": "One."})).report
    assert scores(report)["claims_answer"] is None
    automatic = sum(e.points for e in assignment.exercises if e.test_id)
    assert (report.score, report.max_score) == (0, automatic)


def test_exercises_do_not_depend_on_each_other(graded: Callable[..., Graded]) -> None:
    wrong = {"budget": answer("budget", "wrong_no_biases"), "attention": RIGHT["attention"]}
    report = graded(fill(wrong)).report
    assert scores(report)["attention"] == FULL["attention"]
    assert 0 < scores(report)["budget"] < FULL["budget"]


def test_a_syntax_error_costs_its_exercise_only(graded: Callable[..., Graded]) -> None:
    report = graded(fill({**RIGHT, "budget": "def parameter_count(config)\n    return 1"})).report
    assert earned(report) == {"attention": 13}


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
    bad: str, outcome: Outcome, graded: Callable[..., Graded]
) -> None:
    report = graded(fill({**RIGHT, "budget": bad}), cell_seconds=15).report
    assert report.status is Status.GRADED
    assert outcomes(report, "budget") == {outcome}
    assert earned(report) == {"attention": 13}


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
    body: str, outcome: Outcome, graded: Callable[..., Graded]
) -> None:
    late = f"{RIGHT['budget']}\n\ndef gpu_hours(flops, peak, utilisation): {body}\n"
    report = graded(fill({**RIGHT, "budget": late}), check_seconds=10).report
    checks = {check.name: check for check in report.exercises[0].checks}
    lost = {name: check.outcome for name, check in checks.items() if check.points == 0}
    assert lost == {"costs_of_the_toy": outcome, "hours_of_work": outcome}
    assert scores(report)["budget"] == FULL["budget"] - sum(checks[n].max_points for n in lost)
    assert scores(report)["attention"] == FULL["attention"]


def test_endless_output_is_cut_and_costs_its_exercise_only(graded: Callable[..., Graded]) -> None:
    flood = f"{RIGHT['budget']}\nwhile True:\n    print('x' * 1000)\n"
    done = graded(fill({**RIGHT, "budget": flood}), output_bytes=20_000, flood_bytes=10**6)
    assert scores(done.report)["attention"] == FULL["attention"]
    assert scores(done.report)["budget"] == FULL["budget"]  # its definitions came before the flood
    (cell,) = (c for c in done.notebook.cells if grade_id(c) == "budget")
    text = "".join(output.get("text", "") for output in cell.outputs)
    assert len(text) < 25_000
    assert "[cut: a cell may print 20,000 bytes]" in text


def test_the_notebooks_deadline_ends_it(graded: Callable[..., Graded]) -> None:
    notebook = fill(RIGHT)
    loop = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"
    notebook.cells.insert(3, new_code_cell(loop))
    report = graded(notebook, cell_seconds=30, notebook_seconds=3).report
    assert report.status is Status.GRADED
    assert outcomes(report, "attention") == {Outcome.TIMED_OUT}
    assert report.score == 0


def test_the_notebooks_deadline_keeps_the_marks_earned_before_it(
    graded: Callable[..., Graded],
) -> None:
    notebook = fill(RIGHT)
    tested = next(i for i, c in enumerate(notebook.cells) if grade_id(c) == "test_attention")
    notebook.cells.insert(tested + 1, new_code_cell("while True: pass"))
    report = graded(notebook, cell_seconds=60, notebook_seconds=15).report
    assert {k: scores(report)[k] for k in FULL} == FULL
    assert outcomes(report, "digits_cnn") == {Outcome.TIMED_OUT}


def test_sys_exit_costs_only_the_checks_that_meet_it(graded: Callable[..., Graded]) -> None:
    late = f"{RIGHT['budget']}\n\ndef gpu_hours(*_, **__):\n    import sys\n    sys.exit('no')\n"
    report = graded(fill({**RIGHT, "budget": late})).report
    lost = {c.name: c.message for c in report.exercises[0].checks if c.points == 0}
    assert set(lost) == {"costs_of_the_toy", "hours_of_work"}
    assert lost["hours_of_work"].startswith("SystemExit: no")


@pytest.mark.parametrize("call", ["exit()", "quit()"])
def test_exit_in_a_cell_ends_nothing(call: str, graded: Callable[..., Graded]) -> None:
    done = graded(fill({**RIGHT, "budget": f"{RIGHT['budget']}\n{call}"}))
    assert {k: scores(done.report)[k] for k in FULL} == FULL
    assert done.report.notes == []


def test_what_a_submission_prints_on_the_way_is_kept(graded: Callable[..., Graded]) -> None:
    notebook = fill(RIGHT)
    notebook.cells.append(new_code_cell("print('the end', 6 * 7)"))
    done = graded(notebook)
    assert done.notebook.cells[-1].outputs[0].text == "the end 42\n"
    assert {k: scores(done.report)[k] for k in FULL} == FULL


def test_a_submission_cannot_leave_files_where_it_is_graded(
    graded: Callable[..., Graded], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = fill({})
    code = (
        "import os, tempfile\nopen('left.txt', 'w').write('x')\n"
        "print(tempfile.mkstemp()[1])\nprint(os.getcwd())"
    )
    notebook.cells.append(new_code_cell(code))
    temporary, folder = graded(notebook).notebook.cells[-1].outputs[0].text.split()
    assert not Path(temporary).exists()
    assert not Path(folder).exists()
    assert list(tmp_path.iterdir()) == []


def test_the_same_mark_with_one_thread_and_two(graded: Callable[..., Graded]) -> None:
    notebook = fill({"digits_cnn": answer("digits_cnn", "right_functional_api")})
    one, two = (graded(notebook, threads=n).report for n in (1, 2))
    assert scores(one) == scores(two)
    assert scores(one)["digits_cnn"] == 10


def test_a_report_survives_json(graded: Callable[..., Graded]) -> None:
    report = graded(fill({**RIGHT, "claims_answer": "One."})).report
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report


@pytest.mark.parametrize(("student", "code"), [("jonas", Code.CUT_OFF), ("luis", Code.NOT_TEXT)])
def test_bad_files_are_rejected_without_a_mark(
    student: str, code: Code, graded: Callable[..., Graded]
) -> None:
    done = graded(students()[student]())
    assert done.report.status is Status.REJECTED
    assert [remark.code for remark in done.report.reasons] == [code]
    assert done.report.score is None
    assert done.notebook is None


def test_nothing_is_left_running_or_open(graded: Callable[..., Graded]) -> None:
    """Submissions whose kernels die leave no process, no descriptor and no folder behind."""
    server = engine().server

    def footprint() -> tuple[int, int, list[str]]:
        me, served = psutil.Process(), psutil.Process(server.process.pid)
        folders = sorted(path.name for path in server.folder.iterdir())
        return len(served.children(recursive=True)), me.num_fds(), folders

    graded(release())
    before = footprint()
    for _ in range(5):
        graded(fill({"budget": "import os\nos._exit(1)"}))
    processes, descriptors, folders = footprint()
    assert processes == before[0]
    assert descriptors <= before[1] + 3
    assert folders == before[2]


def test_the_first_cell_stays_and_is_run_again_after_a_crash(
    graded: Callable[..., Graded],
) -> None:
    """Calls into the kernel once took the place of the notebook's first cell."""
    notebook = fill({**RIGHT, "budget": f"{RIGHT['budget']}\n\ndef gpu_hours(*_): OS._exit(1)\n"})
    title = notebook.cells[0].source
    notebook.cells.insert(0, new_code_cell("import os as OS\nSCALE = 1"))
    helped = RIGHT["attention"].replace("def attention(", "SCALE\n\ndef attention(", 1)
    next(c for c in notebook.cells if grade_id(c) == "attention").source = helped
    done = graded(notebook)
    assert scores(done.report)["attention"] == FULL["attention"]
    assert [c.source for c in done.notebook.cells[:2]] == ["import os as OS\nSCALE = 1", title]


def test_a_kernel_that_breaks_the_protocol_costs_its_cell_only(
    graded: Callable[..., Graded],
) -> None:
    forged = (
        "\nkernel = get_ipython().kernel\n"
        "kernel.session.send(kernel.iopub_socket, 'stream', {}, parent=kernel.get_parent('shell'))"
    )
    report = graded(fill({**RIGHT, "budget": RIGHT["budget"] + forged})).report
    assert report.status is Status.GRADED
    assert scores(report)["attention"] == FULL["attention"]


def test_a_print_out_of_a_hidden_check_is_not_shown(graded: Callable[..., Graded]) -> None:
    curious = RIGHT["budget"].replace("def gpu_hours(", "def _hours(")
    curious += (
        "\n\ndef gpu_hours(*a, **k):\n    print('inputs', a, k)\n    return _hours(*a, **k)\n"
    )
    report = graded(fill({"budget": curious})).report
    printed = {check.hidden: "" for check in report.exercises[0].checks}
    for check in report.exercises[0].checks:
        printed[check.hidden] += check.printed
    assert "inputs" in printed[False]
    assert printed[True] == ""


def test_a_mark_depends_neither_on_threads_nor_on_load(graded: Callable[..., Graded]) -> None:
    """Twenty times, four at once: more than the machine has cores."""
    mixed = fill(
        {
            "budget": answer("budget", "wrong_no_biases"),
            "attention": answer("attention", "right_batch_times_heads"),
            "digits_cnn": answer("digits_cnn", "right_train_on_batch"),
        }
    )

    def marks(number: int) -> list[tuple[str, Outcome, float, str]]:
        report = graded(mixed, threads=1 + number % 2).report
        return [
            (c.name, c.outcome, c.points, c.message) for e in report.exercises for c in e.checks
        ]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(marks, range(20))
    lost = [name for name, outcome, *_ in first if outcome is Outcome.FAILED]
    assert "counts_gpt2_small" in lost
    assert all(other == first for other in others)
