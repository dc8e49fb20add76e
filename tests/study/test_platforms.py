"""What a learner uses works where the sandbox does not: on macOS and on Windows, as far as can be
tried on Linux, with the modules blocked that are not there.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from studying import RIGHT, SETUP, WRONG, make_course

MISSING = {
    "darwin": ["pyseccomp"],
    "win32": ["pyseccomp", "fcntl", "resource", "pwd", "grp", "termios", "pty", "posix"],
}
PATH = """\
import sys, subprocess, sqlite3, signal, asyncio, json, tempfile, pathlib
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.capture import capture_output
import sysconfig, zoneinfo, typer.testing, rich.console, rich.table
sysconfig.get_config_vars()  # whose file is named after the platform
shell = InteractiveShell.instance()
missing = {missing}
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nowhere())
for name in missing:
    sys.modules.pop(name, None)
assert not any(name.startswith("autograder") for name in sys.modules)
sys.platform = {platform!r}

import autograder.checks, autograder.lesson, autograder.magic
import autograder.study.progress, autograder.study.session
assert autograder.lesson.corpus()[0]

def run(source, cell_id=None):
    with capture_output(stdout=False, stderr=False) as captured:
        shell.run_cell(source, store_history=True, cell_id=cell_id).raise_error()
    return captured.outputs[-1].data["text/plain"] if captured.outputs else ""

run("%load_ext autograder")
run({setup!r}, "setup")
run({wrong!r}, "scale")
assert "divided by the root of the width. (hidden)" in run("%check")
assert "Hint 1" in run("%hint")
run({right!r}, "scale")
assert "All checks pass" in run("%check")
assert "1 of 2 exercises solved" in run("%progress")
run("%solution")
import autograder.__main__
sys.argv = ["autograder", "progress"]
try:
    autograder.__main__.main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"nbgrader", "jupytext", "nbformat", "torch", "autograder.engine", "autograder.sandbox"}}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""


@pytest.mark.parametrize("platform", MISSING)
def test_the_learners_path_works_without_what_only_linux_has(tmp_path: Path, platform: str) -> None:
    code = PATH.format(
        missing=MISSING[platform], platform=platform, setup=SETUP, wrong=WRONG, right=RIGHT
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=make_course(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 2 exercises solved" in done.stdout


LAB = """
import asyncio, multiprocessing, subprocess, sqlite3, sys, webbrowser
import nbformat
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nowhere())
for name in {missing}:
    sys.modules.pop(name, None)
sys.platform = {platform!r}

from pathlib import Path
from autograder.study import contents, lab, start, work
root = contents.find_root(Path.cwd())
work.bring(root, print)
assert "Next step" in start.write(root).read_text(encoding="utf-8")
assert lab.environment(root / "work", dict())["JUPYTER_CONFIG_DIR"]
"""


@pytest.mark.parametrize("platform", MISSING)
def test_what_opens_the_lab_works_without_what_only_linux_has(
    tmp_path: Path, platform: str
) -> None:
    release = tmp_path / "release" / "ch01_one" / "one.ipynb"
    release.parent.mkdir(parents=True)
    cells = [nbformat.v4.new_markdown_cell("# One\n\n## 1.1 Sums")]
    cells.append(
        nbformat.v4.new_code_cell(metadata={"nbgrader": {"grade_id": "sum", "solution": True}})
    )
    nbformat.write(nbformat.v4.new_notebook(cells=cells), release)
    done = subprocess.run(
        [sys.executable, "-c", LAB.format(missing=MISSING[platform], platform=platform)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "work/ch01_one/one.ipynb is yours now" in done.stdout.replace("\\\\", "/")
