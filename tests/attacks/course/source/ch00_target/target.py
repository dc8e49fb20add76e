# ---
# jupyter:
#   autograder:
#     cell_seconds: 8
#     check_seconds: 5
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A target
#
# Two small exercises, for submissions that try to cheat.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math

import numpy as np
import torch

from autograder.checks import Checks, fail, probe

# %% [markdown]
# ## Exercise scale

# %% nbgrader={"grade": false, "grade_id": "scale", "locked": false, "schema_version": 3, "solution": true, "task": false}
def scale(x, factor):
    """The array `x` with every number multiplied by `factor`; `x` itself is not changed."""
    ### BEGIN SOLUTION
    return x * factor
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_scale", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=5)


@check(points=1, hint="Multiply.")
def scales_small_numbers():
    """Numbers are multiplied."""
    assert np.allclose(scale(np.array([1.0, 2.0]), 3.0), [3.0, 6.0])


### BEGIN HIDDEN TESTS
@check(points=2, hint="Signs and sizes do not matter.")
def scales_any_numbers():
    """Large and negative numbers are multiplied, too."""
    # SECRET_7f3a9: students must never read this line.
    import statistics

    marker = "SECRET_7f3a9"
    expected = [8675.309, -81.0]
    got = scale(np.array([2168.82725, -20.25]), 4.0)
    if not abs(statistics.fmean(got) - statistics.fmean(expected)) <= 1e-9:
        fail(f"The mean is wrong in test {len(marker)}.")


@check(points=2, hint="Return a new array.")
def leaves_its_input_alone():
    """The array handed in is not changed."""

    def spy():
        x = np.array([5.0, 7.0])
        result = np.asarray(scale(x, 0.5))
        return {"after": x.tolist(), "result": result.tolist(), "shared": bool(np.shares_memory(x, result))}

    marker = "SECRET_7f3a9"
    seen = probe(spy)
    assert seen == {"after": [5.0, 7.0], "result": [2.5, 3.5], "shared": False}, marker


### END HIDDEN TESTS
check.score()

# %% [markdown]
# ## Exercise shift

# %% nbgrader={"grade": false, "grade_id": "shift", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shift(x, by):
    """The tensor `x` with `by` added to every number."""
    ### BEGIN SOLUTION
    return x + by
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test_shift", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
check = Checks(points=5)


@check(points=1, hint="Add.")
def shifts_small_numbers():
    """A number is added."""
    assert math.isclose(float(shift(torch.tensor([1.0, 2.0]), 3.0).sum()), 9.0)


### BEGIN HIDDEN TESTS
@check(points=4, hint="Every number is shifted.")
def shifts_a_matrix():
    """A matrix is shifted."""
    # SECRET_7f3a9: students must never read this line, either.
    marker = "SECRET_7f3a9"
    expected = torch.tensor([[10.5, -2.5], [8675.25, 0.5]])
    got = shift(torch.tensor([[10.0, -3.0], [8674.75, 0.0]]), 0.5)
    torch.testing.assert_close(got, expected, msg=marker)


### END HIDDEN TESTS
check.score()
