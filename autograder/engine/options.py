"""What is asked of the engine for one submission, and what comes back: plain records."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autograder.results import Report
from autograder.sandbox.confine import Resources

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from autograder.course.source import Assignment

ENGINE_VERSION = 3  # raised when engine or checks could give another mark than before
GRACE_SECONDS = 5  # from an interrupt until what was interrupted is given up


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes:
        cell_seconds, check_seconds: until a cell, or a check, is interrupted; None: as the
            assignment says.
        notebook_seconds: for all cells and checks together, replays included.
        output_bytes: of text that a cell may print; the rest is dropped.
        flood_bytes: of text after which the cell is ended.
        threads: that torch and TensorFlow may use.
        seed: that the checks draw their random numbers from.
        resources: memory, processes and files that it may use.
    """

    cell_seconds: float | None = None
    check_seconds: float | None = None
    notebook_seconds: float | None = None
    output_bytes: int = 2**20
    flood_bytes: int = 16 * 2**20
    threads: int = 1
    seed: int = 0
    resources: Resources = field(default_factory=Resources)

    def for_assignment(self, assignment: Assignment) -> Limits:
        """These limits, with the assignment's seconds where there are none."""
        return replace(
            self,
            cell_seconds=self.cell_seconds or assignment.cell_seconds,
            check_seconds=self.check_seconds or assignment.check_seconds,
            notebook_seconds=self.notebook_seconds or assignment.notebook_seconds,
        )


@dataclass(frozen=True)
class Trial:
    """One execution of the test cells; submissions get just one, with all that is the default here.

    Attributes:
        seed: that the checks draw their random numbers from.
        float64: whether torch makes tensors of 64 bits where no type is given, in this trial and
            all that follow of the same solution.
        checks: names, by test cell; None: all.
        until_failure: whether to stop after the first check that does not pass.
    """

    seed: int = 0
    float64: bool = False
    checks: Mapping[str, Collection[str]] | None = None
    until_failure: bool = False


@dataclass
class Cost:
    """What a submission has cost the class, in things that can be counted.

    Attributes:
        kernels: that were started for it.
        calls: that were made into it.
        deadlines: that have passed.
    """

    kernels: int = 0
    calls: int = 0
    deadlines: int = 0


@dataclass
class Graded:
    """A report, with the executed notebook unless the submission was rejected, and the cost."""

    report: Report
    notebook: NotebookNode | None
    cost: Cost = field(default_factory=Cost)
