"""Engines for tests: one of each isolation for all of a test process, because they start slowly."""

from __future__ import annotations

import atexit
from functools import cache

from autograder.engine.grade import Engine
from autograder.sandbox.confine import Isolation


def engine(isolation: Isolation = Isolation.FULL) -> Engine:
    """The engine of that isolation."""
    return _engine(isolation)


@cache  # which takes a default for another argument than the same value given
def _engine(isolation: Isolation) -> Engine:
    made = Engine(isolation)
    atexit.register(made.close)
    return made
