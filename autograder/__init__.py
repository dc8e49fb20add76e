"""A Jupyter course that grades itself: builder, grader and the API of its test cells."""

from typing import Any

__version__ = "0.1.0"


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext autograder` calls."""
    from autograder.magic import load

    load(shell)
