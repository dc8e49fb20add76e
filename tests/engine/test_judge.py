"""Test cells in the judge: what crosses over, what the student reads, what a bad call costs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from sample_class import fill
from tiny import TINY, cell, check, demo, exercise, function, graded, release, write_chapter

from autograder.checks import MAX_PRINTED, CheckResult, Outcome
from autograder.course.source import grade_id
from autograder.engine.judge_link import JudgeError
from autograder.engine.options import Graded
from autograder.sandbox.confine import Resources

SETUP = """\
import dataclasses
import time

import numpy as np
import torch

from autograder.checks import Checks, fail, forbidden, probe


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float

    def doubled(self):
        return Point(2 * self.x, 2 * self.y)


def given(x):
    return x + 100


SIZES = [3, 4]
"""


Try = Callable[..., dict[str, CheckResult]]


class Tiny:
    """A course of one chapter in a folder of its own."""

    def __init__(self, root: Path, *exercises: str, demonstration: str = "pass"):
        cells = cell("setup", SETUP), demo(demonstration), *exercises
        self.assignment = write_chapter(root, *cells).assignment(TINY)

    def submission(self, **answers: str) -> NotebookNode:
        """What students get, with these answers."""
        return fill(answers, release(self.assignment))

    def grade(self, submitted: NotebookNode, **limits: Any) -> Graded:
        return graded(self.assignment, submitted, **limits)


def returns(value: str, tests: str, points: int, name: str = "f") -> str:
    """An exercise whose solution only returns that."""
    return exercise(name, function(name, f"return {value}"), tests, points)


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Grades `student` on checks given as bodies by name; the results by name."""

    def run(student: str, *, limits: dict[str, Any] | None = None, **bodies: str) -> dict:
        tests = "".join(check(name, body) for name, body in bodies.items())
        tiny = Tiny(tmp_path, returns("args", tests, len(bodies)))
        report = tiny.grade(tiny.submission(f=student), **(limits or {})).report
        (only,) = report.exercises
        assert only.score == sum(result.points for result in only.checks)
        return {result.name: result for result in only.checks}

    return run


def outcomes(results: dict[str, CheckResult]) -> dict[str, Outcome]:
    return {name: result.outcome for name, result in results.items()}


def assert_passed(results: dict[str, CheckResult]) -> None:
    assert {r.name: (str(r.outcome), r.message) for r in results.values()} == dict.fromkeys(
        results, ("passed", "")
    )


# ---------------------------------------------------------------- what crosses over


def test_calls_return_plain_data(attempt: Try) -> None:
    student = """\
def f(kind, *args, **options):
    return {
        "same": args, "options": options, "numbers": (1, 2.5, 1j, 2**100, True, None),
        "text": "é", "raw": b"x", "set": {1, 2}, "range": range(3),
        "numpy": np.arange(6).reshape(2, 3), "scalar": np.float32(0.5),
        "torch": torch.ones(2, requires_grad=True) * 2,
    }[kind]
"""
    results = attempt(
        student,
        arguments=(
            "point, array, function, options = Point(1, 2), np.ones(3), len, dict(a=[1])\n"
            "sent = f('same', array, [torch.zeros(2)])\n"
            "assert type(sent) is tuple and np.array_equal(sent[0], array)\n"
            "assert torch.equal(sent[1][0], torch.zeros(2))\n"
            "assert f('options', **options) == options"
        ),
        built_in_types=(
            "assert f('numbers') == (1, 2.5, 1j, 2**100, True, None)\n"
            "assert (f('text'), f('raw'), f('set')) == ('é', b'x', {1, 2})\n"
            "assert f('range') == range(3)"
        ),
        arrays=(
            "assert np.array_equal(f('numpy'), np.arange(6).reshape(2, 3))\n"
            "assert type(f('scalar')) is np.float32\n"
            "result = f('torch')\n"
            "assert torch.equal(result, torch.full((2,), 2.0)) and not result.requires_grad"
        ),
    )
    assert_passed(results)


def test_set_up_classes_are_the_students_own_on_the_other_side(attempt: Try) -> None:
    student = """\
def f(point):
    assert type(point) is Point and isinstance(point, Point)
    assert Point(1, 2) == Point(1, 2.0)
    return point.doubled() == Point(2, 4), given is globals()["given"]
"""
    results = attempt(
        student,
        an_instance="assert f(Point(1, 2)) == (True, True)",
        in_a_list=(
            "def all_of(points):\n    return [f(p)[0] for p in points]\n"
            "assert probe(all_of, [Point(1, 2)] * 3) == [True] * 3"
        ),
        set_up_functions_too="assert probe(given, 1) == 101",
        the_class_itself=(
            "def is_it(kind):\n    return kind is Point and isinstance(kind(1, 2), Point)\n"
            "assert probe(is_it, Point)"
        ),
    )
    assert_passed(results)


def test_probes_bring_helpers_closures_lambdas_and_the_students_names(attempt: Try) -> None:
    student = "ONE = 1\n\nclass Net(torch.nn.Linear):\n    pass\n\ndef f(x):\n    return x + ONE\n"
    results = attempt(
        student,
        a_helper=(
            "def helper(x):\n    return 10 * f(x)\n"
            "def through(x):\n    return helper(x) + SIZES[0]\n"
            "assert probe(through, 1) == 23"
        ),
        a_closure_over_the_check=(
            "factor, table = 7, np.arange(3)\n"
            "def scaled():\n    return [factor * f(int(n)) for n in table]\n"
            "assert probe(scaled) == [7, 14, 21]"
        ),
        a_lambda="assert probe(lambda g, x: g(g(x)), f, 1) == 3",
        the_function_itself="assert probe(f, 1) == 2",
        objects_stay_there=(
            "def gradient():\n"
            "    x = torch.tensor(3.0, requires_grad=True)\n"
            "    (f(x) ** 2).backward()\n    return x.grad\n"
            "assert probe(gradient).item() == 8"
        ),
        a_spy=(
            "def counted():\n    with forbidden('torch.exp'):\n        return f(1)\n"
            "assert probe(counted) == 2"
        ),
        names_beside_the_exercises=(
            "import sys\n"
            "def seen():\n"
            "    main = vars(sys.modules['__main__'])\n"
            "    return issubclass(main['Net'], torch.nn.Module) and main['ONE'] == 1\n"
            "assert probe(seen)"
        ),
    )
    assert_passed(results)


def test_what_a_proxy_cannot_do_says_so(attempt: Try) -> None:
    results = attempt(
        "def f(*_):\n    return None\nf.calls = 3\n",
        attribute="assert f.calls == 3",
        through_a_probe="assert probe(lambda: f.calls) == 3",
    )
    assert outcomes(results) == {"attribute": Outcome.FAILED, "through_a_probe": Outcome.PASSED}
    assert "f.calls is in the student's process; a probe can reach it" in (
        results["attribute"].message
    )


# ---------------------------------------------------------------- errors


def test_a_forgotten_return_is_suspected_by_name(attempt: Try) -> None:
    results = attempt(
        "def f(*_):\n    1\n",
        called="assert f(1) + 1 == 2",
        probed="assert probe(lambda: float(f(1))) == 1",
        through_a_helper="def g():\n    return f(1)\nassert probe(g)[0] == 1",
    )
    for result in results.values():
        assert "Does `f` end with `return`?" in result.message


def test_the_students_exceptions_arrive_with_type_text_and_line(attempt: Try) -> None:
    student = """\
class Odd(ValueError):
    pass

def f(kind):
    if kind == "value":
        raise ValueError("not that")
    if kind == "odd":
        raise Odd("odd")
    if kind == "key":
        return {}["lost"]
    if kind == "unicode":
        return b"\\xff".decode()
    return np.ones(2) @ np.ones(3)
"""
    results = attempt(
        student,
        value="f('value')",
        odd="f('odd')",
        key="f('key')",
        unicode="f('unicode')",
        in_numpy="f('numpy')",
        expected="try:\n    f('value')\nexcept ValueError as e:\n    assert str(e) == 'not that'",
        not_expected="try:\n    f('key')\nexcept ValueError:\n    pass",
        in_a_probe="probe(lambda: f('value'))",
    )
    at = "at line {} of the cell, in f: {}"
    assert outcomes(results) == {
        **dict.fromkeys(results, Outcome.ERROR),
        "expected": Outcome.PASSED,
    }
    value = "ValueError: not that\n" + at.format(6, 'raise ValueError("not that")')
    assert results["value"].message == results["in_a_probe"].message == value
    assert results["odd"].message == "Odd: odd\n" + at.format(8, 'raise Odd("odd")')
    key = "KeyError: 'lost'\n" + at.format(10, 'return {}["lost"]')
    assert results["key"].message == results["not_expected"].message == key
    assert results["unicode"].message.startswith("UnicodeDecodeError: 'utf-8' codec")
    assert results["in_numpy"].message.startswith("ValueError: matmul")
    assert results["in_numpy"].message.endswith(at.format(13, "return np.ones(2) @ np.ones(3)"))


def test_a_stub_a_missing_name_and_a_broken_cell(attempt: Try, tmp_path: Path) -> None:
    tests = check("call", "assert f(1)") + check("probed", "assert probe(lambda: f(1))")
    tiny = Tiny(tmp_path, returns("args", tests, 2))
    for source, outcome, message in (
        (None, Outcome.NOT_ATTEMPTED, ""),
        ("g = 1", Outcome.ERROR, "name 'f' is not defined. Did the exercise's cell run"),
        ("def f(x)\n    pass", Outcome.ERROR, "name 'f' is not defined. Did the exercise's cell"),
        ("1 / 0\ndef f(x): pass", Outcome.ERROR, "name 'f' is not defined"),
    ):
        submitted = tiny.submission(**({} if source is None else {"f": source}))
        for result in tiny.grade(submitted).report.exercises[0].checks:
            assert (result.name, result.outcome) == (result.name, outcome)
            assert result.message.startswith(message)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("object()", "a value of type builtins.object"),
        ("(n for n in [1])", "a value of type builtins.generator"),
        ("torch.nn.Linear(1, 1)", "a value of type torch.nn.modules.linear.Linear"),
        ("[Point(1, 2)]", "a value of type __main__.Point"),
        ("np.array([object()])", "an array of object"),
        ("deep", "nested more than"),
        ("set(range(30_000))", "too many items"),
        ("10 ** 20_000", "too many digits"),
    ],
)
def test_a_result_that_is_not_plain_says_what_it_is(value: str, says: str, attempt: Try) -> None:
    student = (
        "deep = []\nfor _ in range(60):\n    deep = [deep]\n"
        f"def f(x):\n    return {value} if x else 7\n"
    )
    results = attempt(student, bad="assert f(1)", good="assert f(0) == 7")
    assert results["bad"].outcome in (Outcome.FAILED, Outcome.ERROR)
    assert says in results["bad"].message
    assert results["good"].outcome is Outcome.PASSED


def test_what_students_code_prints_during_a_check_is_kept_and_cut(attempt: Try) -> None:
    student = (
        "import sys\n"
        "def f(text):\n    print(text)\n    print('and', file=sys.stderr)\n    return len(text)\n"
    )
    results = attempt(
        student,
        twice="assert f('one') == 3\nassert f('two') == 3",
        much="assert f('x' * 100_000) == 100_000",
        before_an_error="f('last words')\nf(3)",
        silent="pass",
    )
    assert results["twice"].printed == "one\nand\ntwo\nand\n"
    assert results["much"].printed == "x" * MAX_PRINTED + " [cut]"
    assert results["before_an_error"].printed.startswith("last words\nand\n3\n")
    assert results["before_an_error"].outcome is Outcome.ERROR
    assert results["silent"].printed == ""


# ---------------------------------------------------------------- what a bad call costs

BAD = """\
import ctypes, os, signal, sys, threading
def f(kind="good"):
    if kind == "exit":
        os._exit(0)
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "sys.exit":
        sys.exit("bye")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "loop":
        while True:
            pass
    if kind == "stubborn":
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
    if kind == "swallow":
        try:
            while True:
                pass
        except KeyboardInterrupt:
            return 7
    if kind == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            pass
    if kind == "huge":
        return bytes(300 * 2**20)
    if kind == "huge list":
        return list(range(3_000_000))
    if kind == "recursion":
        return f("recursion")
    return 7
"""


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("exit", {Outcome.KERNEL_DIED}),
        ("segfault", {Outcome.KERNEL_DIED}),
        ("sys.exit", {Outcome.ERROR}),
        ("interrupt", {Outcome.ERROR, Outcome.TIMED_OUT}),
        ("loop", {Outcome.TIMED_OUT}),
        ("stubborn", {Outcome.TIMED_OUT}),
        ("swallow", {Outcome.TIMED_OUT}),
        ("deaf", {Outcome.TIMED_OUT}),
        ("huge", {Outcome.FAILED, Outcome.ERROR}),
        ("huge list", {Outcome.FAILED, Outcome.ERROR}),
        ("recursion", {Outcome.ERROR}),
    ],
)
def test_a_bad_call_costs_its_check_only(kind: str, outcome: set[Outcome], attempt: Try) -> None:
    stopped = outcome == {Outcome.TIMED_OUT}  # what is not has time, on a busy machine, too
    results = attempt(
        BAD,
        limits={"check_seconds": 4 if stopped else 60},
        before="assert f() == 7",
        bad=f"assert f({kind!r}) == 7",
        after="assert f() == 7",
        probed_after="assert probe(lambda: f()) == 7",
    )
    assert results.pop("bad").outcome in outcome
    assert_passed(results)


def test_several_bad_calls_cost_a_check_each(attempt: Try) -> None:
    results = attempt(
        BAD,
        limits={"check_seconds": 4},
        exits="assert f('exit') == 7",
        loops="assert f('loop') == 7",
        one="assert f() == 7",
        exits_again="assert f('exit') == 7",
        deaf="assert f('deaf') == 7",
        two="assert f() == 7",
    )
    assert outcomes(results) == {
        "exits": Outcome.KERNEL_DIED,
        "loops": Outcome.TIMED_OUT,
        "one": Outcome.PASSED,
        "exits_again": Outcome.KERNEL_DIED,
        "deaf": Outcome.TIMED_OUT,
        "two": Outcome.PASSED,
    }


def test_a_check_cannot_catch_a_lost_call(attempt: Try) -> None:
    body = "try:\n    f('{}')\nexcept Exception:\n    pass\nassert 1 == 1"
    results = attempt(
        BAD, limits={"check_seconds": 4}, dies=body.format("exit"), hangs=body.format("loop")
    )
    assert outcomes(results) == {"dies": Outcome.KERNEL_DIED, "hangs": Outcome.TIMED_OUT}


def test_what_cells_left_behind_is_there_after_a_replay(tmp_path: Path) -> None:
    """Exercises build on each other's names; a kernel that replaces a dead one has them all."""
    first = returns("1", check("dies", "f('exit')") + check("ok", "assert f()"), 2)
    second = returns("f()", check("builds_on_f", "assert g() == 7"), 1, "g")
    tiny = Tiny(tmp_path, first, second)
    report = tiny.grade(tiny.submission(f=BAD, g="def g():\n    return f()")).report
    assert [exercise.score for exercise in report.exercises] == [1, 1]


@pytest.mark.parametrize(
    "hog",
    [
        "kept = []\n    while True:\n        kept.append(bytearray(2**24))",
        "for _ in range(8):\n"
        "        if os.fork() == 0:\n"
        "            kept = [b'x' * 2**26 for _ in range(4)]\n"
        "            signal.pause()\n"
        "    signal.pause()",
    ],
    ids=["one process", "many processes"],
)
def test_a_memory_hog_is_out_of_memory(hog: str, attempt: Try) -> None:
    results = attempt(
        f"import os, signal\ndef g():\n    {hog}\n\ndef f(x):\n    return g() if x else 7\n",
        limits={"check_seconds": 30, "resources": Resources(memory_bytes=2**30)},
        hog="f(1)",
        after="assert f(0) == 7",
    )
    assert outcomes(results) == {"hog": Outcome.OUT_OF_MEMORY, "after": Outcome.PASSED}


def test_memory_that_processes_share_counts_once(attempt: Try) -> None:
    """Process 1 watches over the memory: it looks at least every sixth time that it wakes up."""
    results = attempt(
        "import os, time\n"
        "def rounds():\n"
        "    with open('/proc/1/status') as status:\n"
        "        return int(status.read().split('voluntary_ctxt_switches:')[1].split()[0])\n"
        "def f(x):\n"
        "    kept = b'x' * 2**28\n"
        "    children = [os.fork() for _ in range(2)]  # four processes\n"
        "    begin = rounds()\n"
        "    while rounds() < begin + 10:\n"
        "        time.sleep(0.01)\n"
        "    if 0 in children:\n"
        "        os._exit(0)\n"
        "    return 7\n",
        limits={"check_seconds": 30, "resources": Resources(memory_bytes=2**30)},
        shared="assert f(1) == 7",
    )
    assert outcomes(results) == {"shared": Outcome.PASSED}


def test_a_result_that_never_ends_costs_its_check_only(attempt: Try) -> None:
    """A range is short to send and endless to walk: the judge must not walk it for ever."""
    results = attempt(
        "def f(x):\n    return range(2**62) if x else 7\n",
        walked="assert sum(f(1)) == 3",
        after="assert f(0) == 7",
    )
    assert results["walked"].outcome is not Outcome.PASSED
    assert results["after"].outcome is Outcome.PASSED


def test_a_check_that_thinks_for_ever_is_stopped_alone(attempt: Try) -> None:
    results = attempt(
        "def f(x):\n    return x\n",
        limits={"check_seconds": 4},
        before="assert f(7) == 7",
        thinks="while f(7) == 7:\n    while True:\n        pass",
        ignores_its_end="sum(range(f(7) * 10**14))",
        after="assert f(7) == 7",
    )
    assert outcomes(results) == {
        "before": Outcome.PASSED,
        "thinks": Outcome.TIMED_OUT,
        "ignores_its_end": Outcome.TIMED_OUT,
        "after": Outcome.PASSED,
    }


# ---------------------------------------------------------------- seeds


def test_the_seed_reaches_the_students_process(tmp_path: Path) -> None:
    student = (
        "import random\nrandom.seed(3); torch.manual_seed(3)\n"
        "def f(*_):\n    return [random.random(), np.random.rand(), torch.rand(1).item()]\n"
    )
    tests = check("draws", "print(f())") + check("again", "print(f(), f(1) != f(1))")
    tiny = Tiny(tmp_path, returns("args", tests, 2))

    def drawn(seed: int) -> list[str]:
        report = tiny.grade(tiny.submission(f=student), seed=seed).report
        assert report.score == 2
        return [result.printed for result in report.exercises[0].checks]

    first = drawn(0)
    assert first[1].endswith("True\n")  # a check is seeded once, not before every call
    assert first[0].strip() not in first[1]  # every check has a seed of its own
    assert drawn(0) == first
    other = drawn(1)
    assert not set(re.findall(r"0\.\d+", "".join(first))) & set(
        re.findall(r"0\.\d+", "".join(other))
    )


# ---------------------------------------------------------------- what students see

HIDDEN = """\
@check(points=1, hint="Think.")
def visible():
    \"\"\"The visible property.\"\"\"
    assert f(2) == 2


### BEGIN HIDDEN TESTS
def oracle_4711(x):
    return x + 0.125


@check(points=2, hint="Think harder.")
def hidden():
    \"\"\"The hidden property.\"\"\"
    assert f(81.5) == oracle_4711(81.5), "SECRET_4711"


@check(points=1, hint="Think again.")
def hidden_probe():
    \"\"\"The hidden probe.\"\"\"
    assert probe(lambda: f(4711)) == "SECRET_4711"


### END HIDDEN TESTS"""


def test_the_graded_notebook_shows_results_and_no_hidden_source(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, returns("81.625", HIDDEN, 4))
    done = tiny.grade(tiny.submission(f="def f(x):\n    return x"))
    assert done.report.score == 1
    text = json.dumps(done.notebook)
    for secret in ("4711", "81.5", "81.625", "0.125", "BEGIN HIDDEN", "BEGIN SOLUTION"):
        assert secret not in text
        assert secret not in json.dumps(done.report.to_dict())
    (cell,) = (c for c in done.notebook.cells if grade_id(c) == "test_f")
    assert "def visible():" in cell.source
    assert "def hidden" not in cell.source
    table, score = cell.outputs
    assert table.output_type == "display_data"
    for form in ("text/plain", "text/html"):
        assert "The hidden property." in table.data[form]
        assert "Think harder." in table.data[form]
    assert (score.output_type, score.data["text/plain"]) == ("execute_result", "1.0")
    nbformat.validate(done.notebook)


def test_demonstrations_run_nowhere(tmp_path: Path) -> None:
    tests = check("demo_is_unknown", "assert f() == 'clean'\nassert 'demo' not in globals()")
    tiny = Tiny(tmp_path, returns("'clean'", tests, 1), demonstration="demo = 1\n1 / 0")
    answer = "def f():\n    return 'dirty' if 'demo' in globals() else 'clean'"
    assert tiny.grade(tiny.submission(f=answer)).report.score == 1


def test_one_exercises_test_names_do_not_disturb_the_next(tmp_path: Path) -> None:
    first = returns("1", "g = 5\n" + check("one", "assert f() == 1"), 1)
    second = returns("2", check("two", "assert g() == 2"), 1, "g")
    tiny = Tiny(tmp_path, first, second)
    answers = {"f": "def f():\n    return 1", "g": "def g():\n    return 2"}
    assert tiny.grade(tiny.submission(**answers)).report.score == 2


def test_what_a_test_cell_defines_is_no_set_up(tmp_path: Path) -> None:
    """It was taken for one, sent by name, and missing in the student's process."""
    first = check("uses_it", "assert probe(lambda: helper() + f()) == 11").replace(
        "@check", "def helper():\n    return 10\n\n\n@check", 1
    )
    later = cell("setup_later", "MORE = 1")
    second = check("uses_it_too", "assert probe(lambda: helper() + g()) == 12")
    tiny = Tiny(tmp_path, returns("1", first, 1), later, returns("2", second, 1, "g"))
    answers = {"f": "def f(*args):\n    return 1", "g": "def g(*args):\n    return 2"}
    report = tiny.grade(tiny.submission(**answers)).report
    assert report.score == 2


def test_an_authors_mistake_is_the_graders_fault_and_never_a_mark(tmp_path: Path) -> None:
    tiny = Tiny(tmp_path, returns("1", "1 / 0\n" + check("one", "assert f()"), 1))
    with pytest.raises(JudgeError, match=r"test_f stopped:(.|\n)*ZeroDivisionError"):
        tiny.grade(tiny.submission(f="def f():\n    return 1"))


def test_modules_that_only_the_test_has_imported_come_along(attempt: Try) -> None:
    """Also those that the probe reaches as attributes of a package, at any depth."""
    results = attempt(
        "def f(x):\n    return x",
        is_missing_there="""\
import sys

def loaded():
    return "ctypes.macholib" in sys.modules

assert not probe(loaded)""",
        comes_along="""\
import ctypes.macholib.framework

def name(path):
    return ctypes.macholib.framework.framework_info(path)["name"]

assert probe(name, "P/F.framework/F") == "F.framework/F\"""",
    )
    assert_passed(results)
