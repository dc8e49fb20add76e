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

import hashlib
import html
import io
import linecache
import os
import pkgutil
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Protocol, TypeVar
from unittest import mock

from autograder.lesson import quiet
from autograder.results import CheckResult, Code, Outcome, Remark
from autograder.words import sentence

MIME_TYPE = "application/vnd.autograder.checks+json"
SEED_VARIABLE = "AUTOGRADER_SEED"
HIDDEN_BEGIN, HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
MAX_PRINTED, MAX_MESSAGE = 2_000, 600  # characters

T = TypeVar("T")


class Failed(AssertionError):
    """Raised by `fail`: its text was written for the student and is always shown."""


class Forbidden(RuntimeError):
    """A function was called that the exercise asks the student to do without."""


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
def forbidden(*names: str) -> Iterator[None]:
    """Makes the named functions raise `Forbidden` inside the block.

    Names that the notebook has given to the same functions, as in `from math import sqrt as
    root`, are covered.

    Args:
        names: dotted paths such as "torch.nn.functional.softmax".
    """
    notebook = vars(sys.modules["__main__"])
    with ExitStack() as stack:
        for name in names:
            function, substitute = pkgutil.resolve_name(name), _refusal(name)
            stack.enter_context(mock.patch(name, substitute))
            aliases = {key: substitute for key, value in notebook.items() if value is function}
            stack.enter_context(mock.patch.dict(notebook, aliases))
        yield


def _refusal(name: str) -> Callable[..., None]:
    def refuse(*_: Any, **__: Any) -> None:
        raise Forbidden(f"this exercise asks you to do without {name}")

    return refuse


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
    """

    points: float
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
                _explain(result, Outcome.TIMED_OUT, Remark.of(Code.STOPPED_BEFORE))
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
                _explain(result, Outcome.TIMED_OUT, Remark.of(Code.STOPPED_DURING))
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
        """Displays the table of checks and returns the points earned."""
        score = self.total()
        from IPython.display import display

        display(self.bundle(), raw=True)
        return score

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

    def as_text(self) -> str:
        """The table as plain text, one line a check, explanations indented below it."""
        lines = []
        for result in self.results:
            mark = _MARKS[result.outcome][0]
            points = f"{result.points:g}/{result.max_points:g}"
            lines.append(f"{mark} {points:>5}  {result.title}")
            lines += [f"          {line}" for line in _explanation(result)]
        return "\n".join([*lines, self._footer()])

    def as_html(self) -> str:
        """The table as HTML with inline styles that suit a light and a dark page."""
        rows = []
        for result in self.results:
            mark, colour = _MARKS[result.outcome]
            words = "" if result.outcome is Outcome.PASSED else str(result.outcome)
            details = "".join(
                f'<div style="opacity:.85;margin-top:2px;white-space:pre-wrap">'
                f"{html.escape(line)}</div>"
                for line in _explanation(result, with_outcome=False)
            )
            hidden = ' <span style="opacity:.6">(hidden)</span>' if result.hidden else ""
            rows.append(
                f'<tr style="background:transparent;vertical-align:top">'
                f'<td style="{_CELL}color:{colour};font-weight:bold;white-space:nowrap">'
                f"{mark} {words}</td>"
                f'<td style="{_CELL}width:100%">{html.escape(result.title)}{hidden}{details}</td>'
                f'<td style="{_CELL}text-align:right;white-space:nowrap">'
                f"{result.points:g} / {result.max_points:g}</td></tr>"
            )
        return (
            '<table style="border-collapse:collapse;margin:4px 0;max-width:56em">'
            f"{''.join(rows)}</table>"
        )


_CELL = "text-align:left;padding:4px 10px;border-bottom:1px solid rgba(128,128,128,.3);"
_GREEN, _RED, _AMBER, _GREY = "#2e8b57", "#d1495b", "#c77700", "#808890"
_MARKS = {
    Outcome.PASSED: ("\N{CHECK MARK}", _GREEN),
    Outcome.FAILED: ("\N{BALLOT X}", _RED),
    Outcome.ERROR: ("!", _RED),
    Outcome.NOT_ATTEMPTED: ("\N{EN DASH}", _GREY),
    Outcome.TIMED_OUT: ("\N{BLACK SQUARE}", _AMBER),
    Outcome.OUT_OF_MEMORY: ("\N{BLACK SQUARE}", _AMBER),
    Outcome.KERNEL_DIED: ("\N{BLACK SQUARE}", _AMBER),
}


def _explanation(result: CheckResult, with_outcome: bool = True) -> list[str]:
    lines = []
    if result.outcome is not Outcome.PASSED:
        if with_outcome:
            lines.append(f"{result.outcome}{': ' if result.message else ''}{result.message}")
        elif result.message:
            lines.append(result.message)
        if result.hint and result.outcome in (Outcome.FAILED, Outcome.ERROR):
            lines.append(f"Hint: {result.hint}")
    if result.printed.strip():
        lines.append(f"Printed: {result.printed.strip()}")
    return [part for line in lines for part in line.splitlines()]


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
    text = _clip(str(error).strip(), MAX_MESSAGE)
    if isinstance(error, AssertionError):
        if text or hidden:
            return Outcome.FAILED, "" if hidden else text
        own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == own_file]
        line = (own[-1].line or "").removeprefix("assert ")
        return Outcome.FAILED, Remark.of(Code.NOT_TRUE, line=line)
    # Messages of these two speak of types, never of values.
    if hidden and name not in ("TypeError", "AttributeError"):
        text = ""
    return Outcome.FAILED, Remark.of(Code.NOT_USABLE, type=name, text=text)


def _explain_students_error(
    name: str, text: str, lineno: int, function: str, line: str
) -> tuple[Outcome, Remark | str]:
    if name == "NotImplementedError" and line.startswith("raise NotImplementedError"):
        return Outcome.NOT_ATTEMPTED, ""
    outcome = Outcome.OUT_OF_MEMORY if name == "MemoryError" else Outcome.ERROR
    text = _clip(text, MAX_MESSAGE)
    return outcome, Remark.of(
        Code.ERROR_AT_LINE, type=name, text=text, number=lineno, function=function, line=line
    )
