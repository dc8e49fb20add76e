"""The language that test cells are written in.

A test cell makes one `Checks` object, decorates one small function per property with
it, and ends with `check.score()`:

    check = Checks(points=2)

    @check(points=2, hint="Which axis does the softmax run over?")
    def rows_sum_to_one():
        \"\"\"Every row of weights is a probability distribution.\"\"\"
        assert torch.allclose(attention(q, k, v)[1].sum(-1), torch.ones(3))

    check.score()

The function runs as soon as it is decorated, whatever became of the check before it.
Its docstring is the title that the student reads. The cell displays a table (HTML, plain
text and `MIME_TYPE` for programs) and evaluates to the points, which is how nbgrader takes
partial credit. The same cell runs in the learner's kernel, under `nbgrader autograde` and
in `autograder grade`.

Rules for authors:

* A check compares; it does so in its own body. What must happen inside the student's
  process (objects, gradients, training, spies) goes into a function handed to `probe`,
  which returns plain data to compare.
* A hidden check tells the student its title, its hint and what `fail("...")` says. The
  text of a bare `assert` stays hidden, because it would show inputs or expected values.
* Only checks call the student's names; top-level code of a test cell never does.

This module imports nothing heavy: it is the first thing a chapter imports.
"""

from __future__ import annotations

import dis
import hashlib
import io
import linecache
import os
import random
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from types import CodeType, TracebackType
from typing import Any, Protocol, TypeVar
from unittest import mock

from autograder import tables
from autograder.lesson import quiet
from autograder.results import CheckResult, Code, Outcome, Remark
from autograder.without import forbidden  # noqa: F401, for test cells
from autograder.words import sentence

MIME_TYPE = "application/vnd.autograder.checks+json"
SEED_VARIABLE = "AUTOGRADER_SEED"
VALIDATING = ("NBGRADER_EXECUTION", "validate")  # nbgrader's variable, and what it says then
HIDDEN_BEGIN, HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
MAX_PRINTED, MAX_MESSAGE = 2_000, 600  # characters
VALIDATION_WIDTH = 82  # nbgrader indents the lines, and cuts them at 87 characters
SOMETHING_IS_NONE = "Something is None where a result is needed. "

T = TypeVar("T")


class Failed(AssertionError):
    """Raised by `fail`: its text was written for the student and is always shown."""


class VisibleChecksFail(Exception):
    """Raised by a test cell that nbgrader validates: the visible checks that fail, in words."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class StudentError(Exception):
    """An exception in the student's process, as the judge sees it.

    Where the student's exception is a built-in one, what the judge raises is of that type, too.

    Attributes:
        type_name: the exception's class in the student's process.
        where: line number, function and text of the student's line that raised, if one did.
    """

    type_name = "Exception"
    where: tuple[int, str, str] | None = None
    text = ""

    def __str__(self) -> str:
        return self.text


class CallLost(BaseException):
    """A call into the student's process has no answer; `outcome` says why. Not to be caught."""

    def __init__(self, outcome: Outcome):
        super().__init__(str(outcome))
        self.outcome = outcome


class Judge(Protocol):
    """How checks reach the student's code when it lives in another process."""

    def begin(self, check: str, seed: int) -> bool:
        """Says that a check starts; the student's process draws from `seed` from now on.

        Returns:
            Whether to run it: not if its result is known already.
        """

    def end(self, result: CheckResult) -> None:
        """Says that a check has ended."""

    def call(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        """Runs the function in the student's process and returns its plain data."""

    def printed(self) -> str:
        """What the student's code printed since the check began."""


judge: Judge | None = None  # set in the judge's process; None where the student's code runs


def fail(message: str) -> None:
    """Fails the running check with a message that the student may read, hidden or not."""
    raise Failed(message)


def probe(function: Callable[..., T], *args: Any) -> T:
    """Runs `function(*args)` where the student's code lives and returns its plain data.

    Arguments and result are None, bool, int, float, complex, str, bytes, list, tuple, dict,
    set, and NumPy, torch and TensorFlow arrays. In the learner's own kernel, it is a call.
    """
    return function(*args) if judge is None else judge.call(function, args)


@contextmanager
def _captured(printed: io.StringIO) -> Iterator[None]:
    """Collects what Python prints inside the block and drops what native libraries do.

    nbgrader gives no points to a test cell with anything on standard error, so a warning or a
    line that TensorFlow logs must not get there, also not through a logging handler that holds
    on to the stream from before.
    """
    with (
        quiet(),
        mock.patch.object(sys.stderr, "write", printed.write),
        redirect_stdout(printed),
        redirect_stderr(printed),
    ):
        yield


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's, torch's, TensorFlow's and Keras' generators, where loaded."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := sys.modules.get("torch"):
        if torch.accelerator.current_accelerator():
            torch.manual_seed(seed)
        else:  # that would keep the call and its stack, as text, for a device to come: half a ms
            torch.default_generator.manual_seed(seed)
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(seed)


def use_float64(wanted: bool) -> None:
    """Has torch, where loaded, make tensors of 64 bits, or of 32 again, where no type is given."""
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float64 if wanted else torch.float32)


class Score(float):
    """Points as nbgrader reads them (a number in plain text) and people do (a sentence in HTML)."""

    summary = ""

    def _repr_html_(self) -> str:
        return f"<b>{self.summary}</b>"


@dataclass
class Checks:
    """The checks of one test cell.

    Args:
        points: what the whole cell is worth, hidden checks included; equals the points
            in the cell's nbgrader metadata.
        caption: of the table, if not how many points were earned.
    """

    points: float
    caption: str = ""
    results: list[CheckResult] = field(default_factory=list, init=False)
    _stopped: bool = field(default=False, init=False)

    def __call__(
        self, points: float, hint: str = ""
    ) -> Callable[[Callable[[], object]], Callable[[], object]]:
        """Runs the decorated function as a check worth `points`; `hint` is shown if it fails."""

        def run(function: Callable[[], object]) -> Callable[[], object]:
            title = " ".join((function.__doc__ or "").split())
            if not title:
                raise ValueError(f"check {function.__name__} has no docstring: it is its title")
            name = function.__name__
            result = CheckResult(
                name, title, _is_hidden(function), Outcome.PASSED, 0, points, "", hint
            )
            self.results.append(result)
            if self._stopped:
                result.outcome = Outcome.NOT_RUN
                return function
            seed = self.seed_for(name)
            seed_everything(seed)
            if judge is not None and not judge.begin(name, seed):
                return function
            printed = io.StringIO()
            try:
                with _captured(printed):
                    function()
                result.points = points
            except KeyboardInterrupt:  # the stop button means all checks, a deadline this one
                self._stopped = judge is None
                outcome = Outcome.NOT_RUN if self._stopped else Outcome.TIMED_OUT
                _explain(result, outcome, Remark.of(Code.STOPPED_DURING))
            except CallLost as lost:
                result.outcome = lost.outcome
            except (Exception, SystemExit) as error:
                _explain(result, *_judgement(error, function, result.hidden))
            if judge is not None:
                printed.write(judge.printed())
            if judge is None or not result.hidden:  # a print-out may show a hidden check's inputs
                result.printed = _clip(printed.getvalue())
            if judge is not None:
                judge.end(result)
            return function

        return run

    @staticmethod
    def seed_for(name: str) -> int:
        """The seed that the check of that name starts from.

        It depends on the check's name and on one number, the environment variable
        AUTOGRADER_SEED (0 if unset), so that every check can be run under several seeds.
        """
        base = os.environ.get(SEED_VARIABLE, "0")
        return int.from_bytes(hashlib.sha256(f"{base}/{name}".encode()).digest()[:4], "big")

    def score(self) -> Score:
        """Displays the table of checks and returns the points earned.

        When nbgrader validates, hidden checks are not there and their points cannot be earned, yet
        nbgrader calls less than all points a failure: all are returned if the visible ones pass.

        Raises:
            VisibleChecksFail: only when nbgrader validates.
        """
        score = self.total()
        from IPython.display import display

        display(self.bundle(), raw=True)
        variable, validating = VALIDATING
        if judge is not None or os.environ.get(variable) != validating:
            return score
        if any(result.outcome is not Outcome.PASSED for result in self.results):
            raise VisibleChecksFail(self._failures())
        return Score(self.points)

    def total(self) -> Score:
        """The points earned."""
        earned, offered = self._sums()
        if offered > self.points:
            raise ValueError(f"the checks are worth {offered} points, the cell {self.points}")
        score = Score(earned)
        score.summary = self._footer()
        return score

    def bundle(self) -> dict[str, Any]:
        """The table as Jupyter displays it: by MIME type."""
        return {
            "text/plain": self.as_text(),
            "text/html": self.as_html(),
            MIME_TYPE: {
                "points": self.points,
                "checks": [_for_programs(result) for result in self.results],
            },
        }

    def _sums(self) -> tuple[float, float]:
        """Points earned and points that the checks are worth."""
        earned = sum(result.points for result in self.results)
        return earned, sum(result.max_points for result in self.results)

    def _footer(self) -> str:
        earned, offered = self._sums()
        text = f"{earned:g} of {offered:g} points"
        if offered < self.points:
            text += f". Hidden checks decide on {self.points - offered:g} more."
        return text

    def _failures(self) -> str:
        """The checks that do not pass, as lines that nbgrader does not cut."""
        failed = [result for result in self.results if result.outcome is not Outcome.PASSED]
        if all(result.outcome is Outcome.NOT_ATTEMPTED for result in self.results):
            return str(Outcome.NOT_ATTEMPTED)
        footer = f"{len(self.results) - len(failed)} of {len(self.results)} visible checks pass"
        lines = tables.checks_as_text(failed, footer).splitlines()
        wrapped = [textwrap.wrap(x, VALIDATION_WIDTH, subsequent_indent=" " * 10) for x in lines]
        return "\n".join(part for parts in wrapped for part in parts)

    def as_text(self) -> str:
        """The table as plain text."""
        return tables.checks_as_text(self.results, self._footer())

    def as_html(self) -> str:
        """The table as HTML."""
        return tables.checks_as_html(self.results, self.caption or self._footer())


def _for_programs(result: CheckResult) -> dict[str, Any]:
    """The result as JSON has it, with a code only where the engine says something."""
    return {name: value for name, value in asdict(result).items() if value is not None}


def _clip(text: str, limit: int = MAX_PRINTED) -> str:
    return text if len(text) <= limit else text[:limit] + " [cut]"


def _is_hidden(function: Callable[..., object]) -> bool:
    """Whether the function stands between nbgrader's hidden-test markers in its cell."""
    code = function.__code__
    above = linecache.getlines(code.co_filename)[: code.co_firstlineno]
    begins = sum(line.strip() == HIDDEN_BEGIN for line in above)
    return begins > sum(line.strip() == HIDDEN_END for line in above)


def blamed_frame(trace: TracebackType | None, but_not: str = "") -> traceback.FrameSummary | None:
    """The innermost frame whose code was typed into a notebook, outside the file `but_not`."""
    typed_in = []
    for frame in traceback.extract_tb(trace):
        # IPython registers a cell's source in linecache under a name without a file's mtime.
        entry = linecache.cache.get(frame.filename)
        is_cell = entry is not None and len(entry) > 1 and entry[1] is None
        if is_cell and frame.filename != but_not:
            typed_in.append(frame)
    return typed_in[-1] if typed_in else None


def _explain(result: CheckResult, outcome: Outcome, why: Remark | str) -> None:
    result.outcome = outcome
    if isinstance(why, Remark):
        result.code, result.message = why.code, sentence(why)
    else:  # in its author's words
        result.message = why


def _judgement(
    error: Exception | SystemExit, function: Callable[..., object], hidden: bool
) -> tuple[Outcome, Remark | str]:
    """Whose fault an exception in a check is, and what the student may read about it."""
    if isinstance(error, Failed):
        return Outcome.FAILED, str(error)
    own_file = function.__code__.co_filename
    if isinstance(error, StudentError):
        name, where = error.type_name, error.where
    else:
        name = type(error).__name__
        frame = blamed_frame(error.__traceback__, but_not=own_file)
        where = (frame.lineno or 0, frame.name, frame.line or "") if frame else None
    if where is not None:
        return _explain_students_error(name, str(error), *where)
    if name == "NameError":
        return Outcome.ERROR, Remark.of(Code.NAME_NOT_DEFINED, error=str(error))
    text, none = _clip(str(error).strip(), MAX_MESSAGE), suspected_of_none(error, own_file)
    if isinstance(error, AssertionError):
        text = " ".join(filter(None, [text, none]))
        if text or hidden:
            return Outcome.FAILED, "" if hidden else text
        own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == own_file]
        line = (own[-1].line or "").removeprefix("assert ")
        return Outcome.FAILED, Remark.of(Code.NOT_TRUE, line=line)
    if none or text.startswith(SOMETHING_IS_NONE):  # a probe in the student's process says so
        why = Remark.of(Code.IS_NONE, text=none or text)
    else:
        # Messages of these two speak of types, never of values.
        shown = not hidden or name in ("TypeError", "AttributeError")
        why = Remark.of(Code.NOT_USABLE, type=name, text=text if shown else "")
    return Outcome.FAILED, why


def suspected_of_none(error: BaseException, test_file: str) -> str:
    """Which of the student's functions may lack a `return`, if a test met None and complained.

    Args:
        error: what the test raised.
        test_file: where the test's code stands; names defined elsewhere in the notebook are the
            student's.

    Returns:
        What to say instead of the error's text, or nothing. It is the same for every check that
        meets the same None, whatever Python says.
    """
    places = [
        (frame.f_code, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == test_file
    ]
    if "NoneType" not in str(error) or not places:
        return ""
    students = {
        name: value
        for name, value in vars(sys.modules["__main__"]).items()
        if callable(value) and getattr(value, "__module__", "") == "__main__"
    }
    for value in list(students.values()):
        students |= vars(value) if isinstance(value, type) else {}  # methods

    def used(code: CodeType, line: int | None = None) -> list[str]:
        found = [
            i.argval
            for i in dis.get_instructions(code)
            if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_METHOD", "LOAD_ATTR")
            and (line is None or (i.positions and i.positions.lineno == line))
        ]
        for inner in code.co_consts if line is None else ():
            found += used(inner) if isinstance(inner, CodeType) else []
        return found

    def is_the_tests_own(value: object) -> bool:
        return getattr(getattr(value, "__code__", None), "co_filename", "") == test_file

    students = {name: value for name, value in students.items() if not is_the_tests_own(value)}
    for names in (used(*places[-1]), used(places[-1][0]), used(places[0][0])):
        if suspects := [name for name in dict.fromkeys(names) if name in students]:
            named = " or ".join(f"`{name}`" for name in suspects)
            return _clip(f"{SOMETHING_IS_NONE}Does {named} end with `return`?", MAX_MESSAGE)
    return ""


def _explain_students_error(
    name: str, text: str, lineno: int, function: str, line: str
) -> tuple[Outcome, Remark | str]:
    if name == "NotImplementedError" and line.startswith("raise NotImplementedError"):
        return Outcome.NOT_ATTEMPTED, ""
    outcome = Outcome.OUT_OF_MEMORY if name == "MemoryError" else Outcome.ERROR
    if text.startswith("in user code:"):  # TensorFlow tells the way to the error before the error
        text = text.rpartition(f"\n    {name}: ")[2].strip()
    text = _clip(text, MAX_MESSAGE)
    return outcome, Remark.of(
        Code.ERROR_AT_LINE, type=name, text=text, number=lineno, function=function, line=line
    )
