"""A class of ten in a small course: each kind of honest work and of bad input, without Keras.

It is to the tests of engine and classroom what the sample class is to the demonstration.
"""

from __future__ import annotations

from pathlib import Path

from nbformat import NotebookNode
from sample_class import as_bytes, fill
from tiny import cell, check, demo, exercise, function, release, write_chapter, written

from autograder.course.source import Assignment, Course, grade_id

SETUP = """\
import math
import random
import statistics as stats

import torch

from autograder.checks import Checks, probe"""
STATISTICS = (
    check("mean_of_two", "assert mean([1.0, 3.0]) == 2.0")
    + check("spread_of_two", "assert spread([1.0, 4.0]) == 3.0")
    + "### BEGIN HIDDEN TESTS\n"
    + check(
        "mean_of_many",
        "values = [random.random() for _ in range(9)]\n"
        "assert abs(mean(values) - stats.fmean(values)) < 1e-9",
        points=2,
    )
    + check("spread_of_negatives", "assert spread([-3.0, -1.0, -2.0]) == 2.0", points=2)
    + "### END HIDDEN TESTS"
)
SCALE = (
    check("keeps_the_shape", "assert scale(torch.ones(2, 3), 4).shape == (2, 3)")
    + "### BEGIN HIDDEN TESTS\n"
    + check(
        "divides_by_the_root",
        "width, values = random.randint(2, 9), torch.rand(2, 3)\n"
        "torch.testing.assert_close(scale(values, width), values / math.sqrt(width))",
        points=3,
        hint="Divide by the square root of the width.",
    )
    + "### END HIDDEN TESTS"
)
FIT = (
    check("starts_at_zero", "assert not fit(torch.ones(3, 2), torch.ones(3), 0).any()")
    + "### BEGIN HIDDEN TESTS\n"
    + check(
        "learns_the_weights",
        "inputs, weights = torch.randn(4000, 20), torch.randn(20)\n"
        "torch.testing.assert_close(fit(inputs, inputs @ weights, 200), weights)",
        points=2,
    )
    + "### END HIDDEN TESTS"
)
# Solutions by exercise: the body of each function, with its arguments.
MEAN = "return sum(values) / len(values)"
SPREAD = "return max(values) - min(values)"
TRAIN = """\
weights = torch.zeros(inputs.shape[1])
for _ in range(steps):
    weights -= 0.1 * inputs.T @ (inputs @ weights - targets) / len(inputs)
return weights"""
CELLS = (
    cell("setup", SETUP),
    demo("drawn = 'a figure that no test needs'"),
    demo("drawn = 'another'"),
    exercise(
        "statistics",
        function("mean", MEAN, "values") + function("spread", SPREAD, "values"),
        STATISTICS,
        6,
    ),
    exercise("scale", function("scale", "return values / width**0.5", "values, width"), SCALE, 4),
    exercise("fit", function("fit", TRAIN, "inputs, targets, steps"), FIT, 3),
    "# %% [markdown]\n# ## W1 Reasons\n",
    written("reasons", "The products of long vectors are large.", 5),
)
HEADER = "#   autograder:\n#     cell_seconds: 8\n"

# What students write. Each answer differs from the solution.
RIGHT = {
    "statistics": (
        "def mean(values):\n    return math.fsum(values) / len(values)\n\n\n"
        "def spread(values):\n    ordered = sorted(values)\n    return ordered[-1] - ordered[0]\n"
    ),
    "scale": "def scale(values, width):\n    return values * width ** -0.5\n",
    "fit": (
        "def fit(inputs, targets, steps):\n"
        "    weights = torch.zeros(inputs.shape[1])\n"
        "    for _ in range(steps):\n"
        "        error = targets - inputs @ weights\n"
        "        weights = weights + 0.1 * (inputs * error[:, None]).mean(0)\n"
        "    return weights\n"
    ),
}
FULL = {"statistics": 6.0, "scale": 4.0, "fit": 3.0}
POINTS = sum(FULL.values())
WRONG = {
    "statistics": RIGHT["statistics"].replace("/ len(values)", "/ 2"),  # right for two
    "scale": "def scale(values, width):\n    return values / width\n",
    "fit": RIGHT["fit"].replace("+ 0.1", "- 0.1"),
}
SCORE_OF_WRONG = {"statistics": 4.0, "scale": 1.0, "fit": 1.0}
WRITTEN = "Because the sums grow with the width."
DEATH = "\n\ndef spread(values):\n    import os\n    os._exit(1)\n"
BROKEN = "def scale(values, width)\n    return values\n"


def make_course(folder: Path) -> Course:
    """The course, in a folder of its own."""
    return write_chapter(folder, *CELLS, header=HEADER)


def students(assignment: Assignment) -> dict[str, bytes]:
    """What each student hands in, by name."""

    def filled(**answers: str) -> NotebookNode:
        return fill(answers, release(assignment))

    loop = "\n\nwhile scale is not None:\n    pass\n"
    flood = "\n\nwhile True:\n    print('training ...' * 100)\n"
    without_tests = filled(**RIGHT)
    without_tests.cells = [
        cell for cell in without_tests.cells if not (grade_id(cell) or "").startswith("test_")
    ]
    notebooks = {
        "ada": filled(**RIGHT, reasons=WRITTEN),
        "chen": filled(**WRONG),
        "emeka": filled(statistics=WRONG["statistics"], scale=BROKEN),
        "freya": release(assignment),  # untouched
        "goran": filled(**{**RIGHT, "scale": RIGHT["scale"] + loop}),
        "hiroko": filled(**{**RIGHT, "statistics": RIGHT["statistics"] + DEATH}),
        "ines": filled(**{**RIGHT, "fit": RIGHT["fit"] + flood}),
        "katya": without_tests,
    }
    return {
        **{name: as_bytes(notebook) for name, notebook in notebooks.items()},
        "jonas": as_bytes(notebooks["ada"])[:3_000],  # the upload broke off
        "luis": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
    }
