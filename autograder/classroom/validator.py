"""What a student reads when nbgrader validates a chapter: the Validate button, `nbgrader validate`.

nbgrader runs the notebook and prints the source of every cell that does not earn all its points. A
chapter's test cells themselves say, while nbgrader validates, which visible checks fail
(`Checks.score`). This module, in the process that runs nbgrader, leaves the rest out: exercises are
named instead of printed, a written question without an answer is no failure, demonstrations are not
run, and nobody is promised the points that hidden checks decide on.

nbgrader has no setting for it. nbgrader_config.py, which both of nbgrader's ways to validate read
before they begin, calls `validate.install`. Other notebooks than chapters are validated as nbgrader
does it.
"""

from __future__ import annotations

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from nbgrader.utils import compute_checksum, is_locked
from nbgrader.validator import Validator
from traitlets.config import Config

from autograder.course.cells import grade_id, is_answer, is_test, section_title

CELL_SECONDS = 120  # the first cell imports torch and TensorFlow, which takes long on a slow disk
HIDDEN = "Hidden checks, which run when your work is graded, will decide on the other points."


class ChapterValidator(Validator):
    """nbgrader's, and where the notebook is a chapter, about its visible checks only."""

    is_chapter = False
    nothing_failed: NotebookNode | None = None

    def _preprocess(self, nb: NotebookNode) -> NotebookNode:
        self.is_chapter = any(is_test(c) and "check.score()" in c.source for c in nb.cells)
        if not self.is_chapter:
            return super()._preprocess(nb)
        for cell in nb.cells:
            if is_answer(cell):  # or a written answer that is its stub would count as failed
                cell.metadata.nbgrader.pop("checksum", None)
        stock = self.config  # type: ignore[has-type]  # of an untyped base
        ours = Config()
        ours.Execute.update(timeout=CELL_SECONDS, skip_cells_with_tag="demo")
        ours.merge(stock)
        self.config = ours
        try:
            nb = super()._preprocess(nb)
        finally:
            self.config = stock
        _name(nb)
        return nb

    def _get_failed_cells(self, nb: NotebookNode) -> list[NotebookNode]:
        failed: list[NotebookNode] = super()._get_failed_cells(nb)
        if self.is_chapter and not failed:  # "passes all the tests", nbgrader would say
            self.nothing_failed = new_markdown_cell("none: all visible checks pass")
            failed = [self.nothing_failed]
        if self.is_chapter:
            self.last = failed[-1]
        return failed

    def _extract_error(self, cell: NotebookNode) -> str:
        error = "" if cell is self.nothing_failed else str(super()._extract_error(cell))
        if not self.is_chapter or cell is not self.last:
            return error
        return f"{error}\n\n{HIDDEN}".strip()

    def _print_num_failed(self, num_failed: int) -> None:
        if self.is_chapter:
            self.stream.write("Exercises in which visible checks fail:\n")
        else:
            super()._print_num_failed(num_failed)

    def _print_num_changed(self, num_changed: int) -> None:
        if self.is_chapter:
            self.stream.write("Cells of the course that were edited; put their text back:\n")
        else:
            super()._print_num_changed(num_changed)

    def _print_error(self, source: str, error: str) -> None:
        if self.is_chapter:
            own = error.removesuffix(HIDDEN).rstrip()  # the rest is not about this exercise
            lines = [source, *([self._indent(own)] if own else [])]
            self.stream.write("\n" + "\n".join(lines) + "\n")
            if own != error:
                self.stream.write(f"\n{HIDDEN}\n")
        else:
            super()._print_error(source, error)

    def _print_changed(self, source: str) -> None:
        if self.is_chapter:
            self.stream.write(f"\n{source}\n")
        else:
            super()._print_changed(source)


def _name(notebook: NotebookNode) -> None:
    """Puts an exercise's name in the place of each locked cell's text.

    A cell that was edited stays one to nbgrader: its checksum is not that of the name, either.
    """
    title = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            title = section_title(cell.source, title)
        if not is_locked(cell):
            continue
        edited = cell.metadata.nbgrader.get("checksum") not in (None, compute_checksum(cell))
        if not edited:
            cell.metadata.nbgrader.pop("checksum", None)
        name = title or str(grade_id(cell))
        cell.source = f"{name} ({grade_id(cell)})" if edited else name
