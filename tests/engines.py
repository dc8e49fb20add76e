"""Engines for tests: one of each isolation for all of a test process, because they start slowly."""

from __future__ import annotations

import atexit
from functools import cache

from autograder.engine.grade import Engine
from autograder.sandbox.confine import Isolation


@cache
def engine(isolation: Isolation = Isolation.FULL) -> Engine:
    """The engine of that isolation."""
    made = Engine(isolation)
    atexit.register(made.close)
    return made
