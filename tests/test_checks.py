"""The language of test cells: outcomes, messages, points, seeds, and what is shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from autograder.checks import MIME_TYPE, Checks

TRACED = """in user code:

    File "<checks of dropout>", line 155, in None  *
        lambda x: layer(x, training=True)
    File "keras/src/utils/traceback_utils.py", line 122, in error_handler  **
        raise e.with_traceback(filtered_tb) from None

    TypeError: no size
"""  # as TensorFlow words it
HEADER = "from autograder.checks import Checks, fail, forbidden, probe\n"


class Notebook:
    """Runs cells as a kernel does, and keeps what they display."""

    def __init__(self) -> None:
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance()

    def run(self, cell: str) -> tuple[object, list[dict]]:
        with capture_output(stdout=False, stderr=False) as captured:
            result = self.shell.run_cell(cell)
        result.raise_error()
        shown = [output.data for output in captured.outputs if MIME_TYPE in output.data]
        return result.result, shown

    def check(self, student: str, body: str, options: str = "points=1") -> dict:
        """The result of one check, as JSON, of a test cell that holds only this check."""
        self.run(HEADER + student)
        _, shown = self.run(
            "check = Checks(points=1)\n"
            f"@check({options})\n"
            f"def it_works():\n    '''It works.'''\n    {body}\n"
            "check.score()"
        )
        (only,) = shown[0][MIME_TYPE]["checks"]
        return only


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


def test_importing_the_language_is_light() -> None:
    """It is the first import of every chapter."""
    code = (
        "import sys, autograder.checks;"
        "print([m for m in ('torch', 'tensorflow', 'numpy', 'IPython', 'nbgrader', 'matplotlib')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("student", "body", "outcome", "message"),
    [
        ("def f(): return 3", "assert f() == 3", "passed", ""),
        ("def f(): return 3", "assert f() == 4", "failed", "Not true: f() == 4"),
        (
            "def f(): return 3",
            "assert f() == 4, 'three is not four'",
            "failed",
            "three is not four",
        ),
        ("def f(): return 3", "fail('not this')", "failed", "not this"),
        ("def f():\n    raise NotImplementedError", "f()", "not attempted", ""),
        (
            "def f():\n    return undefined_name",
            "f()",
            "error in your code",
            "NameError: name 'undefined_name' is not defined\n"
            "at line 3 of the cell, in f: return undefined_name",
        ),
        (
            "def f():\n    assert False, 'mine'",
            "f()",
            "error in your code",
            "AssertionError: mine\nat line 3 of the cell, in f: assert False, 'mine'",
        ),
        (
            "def f():\n    raise MemoryError('no room')",
            "f()",
            "out of memory",
            "MemoryError: no room\nat line 3 of the cell, in f: raise MemoryError('no room')",
        ),
        (
            f"def f():\n    traced = {TRACED!r}\n    raise TypeError(traced)",
            "f()",
            "error in your code",
            "TypeError: no size\nat line 4 of the cell, in f: raise TypeError(traced)",
        ),
        (
            "pass",
            "f()",
            "error in your code",
            "name 'f' is not defined. Did the exercise's cell run without an error?",
        ),
        (
            "def f(): return None",
            "f().shape",
            "failed",
            "Something is None where a result is needed. Does `f` end with `return`?",
        ),
    ],
)
def test_outcomes(student: str, body: str, outcome: str, message: str, notebook: Notebook) -> None:
    result = notebook.check(student, body)
    assert (result["outcome"], result["message"]) == (outcome, message)
    assert result["points"] == (1 if outcome == "passed" else 0)


@pytest.mark.parametrize(
    ("student", "body", "code"),
    [
        ("def f(): return 3", "assert f() == 3", None),
        ("def f(): return 3", "assert f() == 4", "not_true"),
        ("def f(): return 3", "assert f() == 4, 'three is not four'", None),
        ("def f(): return 3", "fail('Did the exercise cell run?')", None),
        ("def f():\n    raise NotImplementedError", "f()", None),
        ("def f():\n    return undefined_name", "f()", "error_at_line"),
        ("pass", "f()", "name_not_defined"),
        ("def f(): return None", "f().shape", "is_none"),
        ("def f(): return 1", "f().shape", "not_usable"),
        ("def f(): return 1", "raise KeyboardInterrupt", "stopped_during"),
    ],
)
def test_what_the_engine_says_has_a_code_and_what_the_author_says_has_none(
    student: str, body: str, code: str | None, notebook: Notebook
) -> None:
    assert notebook.check(student, body).get("code") == code


def test_not_implemented_by_a_library_is_an_error_and_not_an_unattempted_exercise(
    notebook: Notebook,
) -> None:
    student = (
        "def lib(): exec(compile('raise NotImplementedError', 'lib.py', 'exec'))\n"
        "def f():\n    lib()"
    )
    assert notebook.check(student, "f()")["outcome"] == "error in your code"


CELL = """check = Checks(points=6)
@check(points=1)
def one():
    '''The first property.'''
    assert f(1) == 1
### BEGIN HIDDEN TESTS
@check(points=2, hint="Think of zero.")
def two():
    '''The second property.'''
    assert f(0) == 4321, "secret 4321"
@check(points=1, hint="Think.")
def three():
    '''The third property.'''
    {}[f(1234)]
@check(points=1, hint="Think again.")
def four():
    '''The fourth property.'''
    fail("Zero is special.")
### END HIDDEN TESTS
@check(points=1)
def five():
    '''The fifth property.'''
check.score()"""


def test_every_check_counts_and_a_hidden_one_says_only_what_its_author_wrote(
    notebook: Notebook,
) -> None:
    notebook.run(HEADER + "def f(x): return x")
    score, shown = notebook.run(CELL)
    assert score == 2.0
    assert repr(score) == "2.0"  # nbgrader reads the plain text
    assert score._repr_html_() == "<b>2 of 6 points</b>"
    results = {check["name"]: check for check in shown[0][MIME_TYPE]["checks"]}
    assert [check["hidden"] for check in results.values()] == [False, True, True, True, False]
    assert [check["points"] for check in results.values()] == [1, 0, 0, 0, 1]
    assert results["four"]["message"] == "Zero is special."
    for form in ("text/plain", "text/html"):
        text = shown[0][form]
        assert "4321" not in text
        assert "1234" not in text
        assert "assert" not in text
        assert "The second property." in text
        assert "Think of zero." in text
        assert "Zero is special." in text


def test_the_release_says_what_hidden_checks_still_decide(notebook: Notebook) -> None:
    notebook.run(HEADER + "def f(x): return x")
    start, rest = CELL.split("### BEGIN HIDDEN TESTS")
    score, shown = notebook.run(start + rest.split("### END HIDDEN TESTS")[1])
    assert score == 2.0
    assert "2 of 2 points. Hidden checks decide on 4 more." in shown[0]["text/plain"]


def test_what_students_write_is_escaped_and_cut(notebook: Notebook) -> None:
    student = "def f():\n    print('<b>' * 5000)\n    raise ValueError('<script>alert(1)</script>')"
    notebook.run(HEADER + student)
    _, shown = notebook.run(
        "check = Checks(points=1)\n@check(points=1)\ndef c():\n    '''C.'''\n    f()\ncheck.score()"
    )
    html = shown[0]["text/html"]
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert len(html) < 30_000


@pytest.mark.parametrize(
    "writes",
    [
        "print('to stdout')",
        "print('to stderr', file=sys.stderr)",
        "handler.emit(logging.LogRecord('x', 40, 'f', 1, 'logged', None, None))",
        "os.write(2, b'from a native library')",
    ],
)
def test_nothing_reaches_standard_error(
    writes: str, notebook: Notebook, capfd: pytest.CaptureFixture
) -> None:
    """Stock nbgrader gives no points to a test cell with anything on standard error."""
    student = (
        "import logging, os, sys, warnings\nhandler = logging.StreamHandler()\n"
        f"def f():\n    {writes}\n"
    )
    capfd.readouterr()
    result = notebook.check(student, "f()")
    assert result["outcome"] == "passed"
    assert capfd.readouterr().err == ""
    if "os.write" not in writes:
        assert result["printed"].strip()


def test_the_stop_button_stops_the_checks_and_keeps_the_marks(notebook: Notebook) -> None:
    student = "calls = []\ndef f():\n    calls.append(1)\n    raise KeyboardInterrupt"
    notebook.run(HEADER + student)
    score, shown = notebook.run(
        "check = Checks(points=3)\n"
        "@check(points=1)\ndef a():\n    '''A.'''\n"
        "@check(points=1)\ndef b():\n    '''B.'''\n    f()\n"
        "@check(points=1)\ndef c():\n    '''C.'''\n    f()\n"
        "check.score()"
    )
    assert score == 1.0
    outcomes = [check["outcome"] for check in shown[0][MIME_TYPE]["checks"]]
    assert outcomes == ["passed", "not run", "not run"]
    assert notebook.shell.user_ns["calls"] == [1]


def test_checks_start_from_the_same_random_state_whatever_ran_before(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draws(before: str) -> list:
        notebook.run(HEADER + "import random, numpy as np, torch\n" + before + "\ndrawn = []")
        notebook.run(
            "check = Checks(points=1)\n@check(points=1)\ndef a():\n    '''A.'''\n"
            "    drawn.extend([random.random(), np.random.rand(), torch.rand(1).item()])"
        )
        return notebook.shell.user_ns["drawn"]

    first = draws("pass")
    assert draws("random.random(); np.random.seed(7); torch.rand(5)") == first
    monkeypatch.setenv("AUTOGRADER_SEED", "1")
    second = draws("pass")
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_forbidden_functions_raise_only_inside_the_block(notebook: Notebook) -> None:
    student = "import math\ndef f():\n    return math.sqrt(4)"
    result = notebook.check(student, "\n    with forbidden('math.sqrt'):\n        f()")
    assert result["outcome"] == "error in your code"
    assert "asks you to do without math.sqrt" in result["message"]
    assert notebook.check(student, "assert f() == 2")["outcome"] == "passed"


def test_forbidden_functions_are_found_under_other_names(notebook: Notebook) -> None:
    student = "from math import sqrt as root\ndef f():\n    return root(4)"
    result = notebook.check(student, "\n    with forbidden('math.sqrt'):\n        f()")
    assert "asks you to do without math.sqrt" in result["message"]
    assert notebook.check(student, "assert f() == 2")["outcome"] == "passed"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("assert f()[0] == 1", "`f`"),
        ("a, b = f()", "`f`"),
        ("x = f()\n    assert x + 1 == 2", "`f`"),
        ("g = lambda: float(f())\n    assert probe(g) == 1", "`f`"),
        ("f(), Net()\n    assert Net().forward(1) + 1 == 2", "`Net` or `forward`"),
        (
            "def run():\n        return Net().forward(1)\n    assert probe(run) + 1 == 2",
            "`Net` or `forward`",
        ),
    ],
)
def test_a_forgotten_return_is_suspected_by_name(notebook: Notebook, body: str, named: str) -> None:
    student = "def f():\n    1\nclass Net:\n    def forward(self, x):\n        x"
    message = notebook.check(student, body)["message"]
    said = f"Something is None where a result is needed. Does {named} end with `return`?"
    assert message == said


def test_no_function_is_suspected_of_an_error_that_is_not_about_none(notebook: Notebook) -> None:
    message = notebook.check("def f():\n    return 1", "f()[0]")["message"]
    assert message == "Your answer could not be used (TypeError). 'int' object is not subscriptable"


def _too_many_points() -> None:
    check = Checks(points=1)

    @check(points=2)
    def one() -> None:
        """One."""

    check.score()


@pytest.mark.parametrize(
    ("use", "problem"),
    [
        (lambda: Checks(points=1)(points=1)(lambda: None), "no docstring"),
        (_too_many_points, "worth 2 points, the cell 1"),
    ],
)
def test_authors_mistakes_are_errors(use: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        use()
