"""A small course to study, and a notebook of it that runs in an IPython shell of this process."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from autograder.checks import MIME_TYPE
from autograder.study.progress import Progress

SETUP = """\
import math
import random

from autograder.checks import Checks, fail, probe"""
HINTS = """\
# %% [markdown]
# ## Exercise 9.1 · Scale
#
# <details><summary>Hint 1: which root?</summary>
#
# The square root.
# </details>
#
# <details><summary>Hint: which width?</summary>
#
# The one that you are given.
# </details>
"""
STUB = """\
def scale(values, width):
    '''Returns each value divided by the root of the width.'''
"""
SOLUTION = """\
    ### BEGIN SOLUTION
    return [value * inverse_root(width) for value in values]


def inverse_root(width):
    return width**-0.5
    ### END SOLUTION"""
TESTS = """\
check = Checks(points=3)
expected = [0.5, -1.5]

@check(points=1, hint="One number for each.")
def keeps_the_length():
    'There are as many results as values.'
    assert len(scale([1.0, 2.0], 1)) == 2

### BEGIN HIDDEN TESTS
@check(points=2, hint="Which root?")
def divides_by_the_root():
    'Every value is divided by the root of the width.'
    width = random.choice([4, 4])
    assert probe(scale, [1.0, -3.0], width) == expected
### END HIDDEN TESTS
check.score()"""
RIGHT = "def scale(values, width):\n    return [v * width**-0.5 for v in values]"
WRONG = "def scale(values, width):\n    return list(values)"


def make_course(folder: Path) -> Path:
    """The course, with another right answer; returns the folder of the learner's notebook."""
    tiny.write_chapter(
        folder,
        tiny.cell("setup", SETUP),
        HINTS,
        tiny.cell("scale", STUB + SOLUTION, solution=True),
        tiny.cell("test_scale", TESTS, points=3),
        "# %% [markdown]\n# ## Exercise 9.2 · Twice\n",
        tiny.cell(
            "twice",
            "def twice(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
            solution=True,
        ),
        tiny.cell(
            "test_twice",
            "check = Checks(points=1)\n\n"
            "@check(points=1, hint='Two of it.')\ndef doubles():\n    'It doubles.'\n"
            "    assert twice(4) == 8\n\ncheck.score()",
            points=1,
        ),
    )
    tiny.write_answer(folder, "right_by_powers", f"# Right: with a power\n{RIGHT}\n")
    work = folder / "work" / tiny.TINY
    work.mkdir(parents=True)
    return work


class Notebook:
    """A learner's notebook; cells run as JupyterLab runs them, each with its id."""

    def __init__(self, folder: Path) -> None:
        os.chdir(folder)
        self.folder = folder
        InteractiveShell.clear_instance()
        self.shell = InteractiveShell.instance()
        self.shell.reset()
        self.run("%load_ext autograder")

    @property
    def names(self) -> dict[str, Any]:
        return self.shell.user_ns

    @property
    def progress(self) -> Progress:
        return Progress(self.folder.parent / "progress.sqlite")

    def run(self, source: str, cell_id: str | None = None) -> dict[str, Any]:
        """What the cell displays, by MIME type; of several things the last."""
        with capture_output(stdout=False, stderr=False) as captured:
            self.result = self.shell.run_cell(source, store_history=True, cell_id=cell_id)
        return captured.outputs[-1].data if captured.outputs else {}

    def says(self, source: str) -> str:
        """The plain text that the cell displays."""
        return str(self.run(source).get("text/plain", ""))

    def outcomes(self, source: str = "%check") -> dict[str, str]:
        """What became of each check, by name."""
        shown = self.run(source)
        return {check["name"]: check["outcome"] for check in shown[MIME_TYPE]["checks"]}

    def save(self, *cells: tuple[str, str], later: float = 5.0) -> None:
        """Saves a notebook with these cells (id, source), so many seconds after now."""
        answers = ("scale", "twice")
        content = {
            "cells": [
                {
                    "cell_type": "code",
                    "id": identifier,
                    "source": source,
                    "metadata": {
                        "nbgrader": {
                            "grade_id": identifier,
                            "grade": identifier.startswith("test_"),
                            "solution": identifier in answers,
                        }
                    }
                    if identifier.removeprefix("test_") in answers
                    else {},
                }
                for identifier, source in cells
            ]
        }
        path = self.folder / "tiny.ipynb"
        path.write_text(json.dumps(content))
        os.utime(path, (time.time() + later, time.time() + later))


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """A notebook of the small course whose set-up cell has run."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)  # so that it is put back
    opened = Notebook(make_course(tmp_path))
    opened.run(SETUP, "setup")
    return opened
