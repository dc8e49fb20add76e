"""Code read by names."""

from __future__ import annotations

from pathlib import Path

import autograder


def test_trees_are_made_in_one_place_where_threads_take_turns() -> None:
    """Python 3.11 counts the depth of the trees that it makes for all threads together.

    An audit ended with its SystemError (python/cpython#106905). That takes a collection of garbage
    in the middle of a tree, which no test can order.
    """
    files = Path(autograder.__file__).parent.rglob("*.py")
    assert [f.name for f in files if "ast.parse(" in f.read_text()] == ["names.py"]
