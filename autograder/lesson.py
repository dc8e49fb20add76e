"""What a chapter needs to look right: one style for all figures, and quiet imports.

Chapters call this from their setup cells; the grader does not use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def use_style() -> None:
    """Applies the course's matplotlib style (figures.mplstyle: colour-blind safe, 90 dpi)."""
    import matplotlib.pyplot as plt

    plt.style.use("autograder.figures")


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what native libraries write to standard error inside the block.

    TensorFlow 2.21 logs through absl before its log level can be set, so that its import
    prints four lines about the build that no reader can act on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # for what it logs later
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
