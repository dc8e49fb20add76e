"""Recognises cells that have lost nbgrader's metadata, as some editors and drives take it away.

A cell is known by its id, which in a release is the grade id; else by its text, if that is the
release's; else, if it is an answer, by the functions and classes that it defines or by its place
between two known cells. Nothing is guessed: where several cells could be the answer, all of them
count, and a note says so.
"""

from __future__ import annotations

import re
from collections import Counter

import nbformat
from nbformat import NotebookNode

from autograder.course.cells import Region, grade_id, is_answer, nbgrader_metadata, parse_lines
from autograder.course.source import Assignment
from autograder.results import Code, Remark

Text = tuple[str, ...]


def visible(source: str) -> Text:
    """What of a cell is in the release: neither hidden tests nor mark schemes, nor blank lines."""
    secret = (Region.HIDDEN_TESTS, Region.MARK_SCHEME)
    lines = (line.text.rstrip() for line in parse_lines(source) if line.region not in secret)
    return tuple(line for line in lines if line)


def is_of(assignment: Assignment, submitted: NotebookNode) -> bool:
    """Whether the notebook has any of the assignment's answers and tests.

    Cells of other kinds, such as one that imports, may be the same in two chapters.
    """
    theirs = {grade_id(cell) for cell in submitted.cells}
    return any(
        grade_id(cell) in theirs
        for cell in assignment.assigned.cells
        if is_answer(cell) or nbgrader_metadata(cell).get("grade")
    )


def recognise(assignment: Assignment, submitted: NotebookNode) -> list[Remark]:
    """Gives the cells that it recognises their grade ids back, in place.

    Returns:
        Notes on it; none if no cell of the assignment lacks its metadata.
    """
    recogniser = _Recogniser(assignment, submitted)
    if recogniser.missing:
        recogniser.by_id()
        recogniser.by_text()
        recogniser.by_definitions()
        if is_of(assignment, submitted):  # in another chapter's notebook, a place means nothing
            recogniser.by_place()
    if recogniser.count:
        recogniser.notes.insert(0, Remark.of(Code.RECOGNISED, count=recogniser.count))
    return recogniser.notes


class _Recogniser:
    """One notebook while its cells are recognised.

    Attributes:
        master: the assignment's cells by grade id, in order.
        missing: those of them of which the notebook has no cell yet.
        count: the cells that were recognised.
    """

    def __init__(self, assignment: Assignment, submitted: NotebookNode):
        self.notebook = submitted
        self.master = {str(grade_id(c)): c for c in assignment.assigned.cells if grade_id(c)}
        self.released = {visible(cell.source) for cell in assignment.assigned.cells}
        known = {grade_id(cell) for cell in submitted.cells}
        self.missing = [identifier for identifier in self.master if identifier not in known]
        self.notes: list[Remark] = []
        self.count = 0
        # Computed once a cell: notebooks can be large.
        self.text = {id(cell): visible(cell.source) for cell in submitted.cells}
        self.defines = {id(cell): _defined(cell.source) for cell in submitted.cells}

    def _strangers(self) -> list[NotebookNode]:
        return [cell for cell in self.notebook.cells if grade_id(cell) is None]

    def _own(self) -> list[NotebookNode]:
        """What the student wrote, as far as it is not recognised."""
        known = {*self.released, ()}
        return [cell for cell in self._strangers() if self.text[id(cell)] not in known]

    def _is(self, cell: NotebookNode, identifier: str) -> None:
        cell.metadata["nbgrader"] = {"grade_id": identifier}
        self.count += 1
        if identifier in self.missing:
            self.missing.remove(identifier)

    def by_id(self) -> None:
        """Ids are unique in a notebook that has been read."""
        for cell in self._strangers():
            if cell.id in self.missing:
                self._is(cell, cell.id)

    def by_text(self) -> None:
        """Locked cells with all their copies, and code that nobody has begun to write.

        What stands in the place of a written answer, or of code without a function, is the same in
        many places.
        """
        texts = {identifier: visible(cell.source) for identifier, cell in self.master.items()}
        shared = Counter(texts.values())
        for identifier in list(self.missing):
            text = texts[identifier]
            own = self.master[identifier]
            if shared[text] > 1 or (is_answer(own) and not _defined(own.source)):
                continue
            same = [cell for cell in self._strangers() if self.text[id(cell)] == text]
            for cell in same[:1] if is_answer(own) else same:
                self._is(cell, identifier)

    def by_definitions(self) -> None:
        """Answers that define every function and class that the exercise asks for."""
        for identifier in self._missing_answers("code"):
            wanted = _defined(self.master[identifier].source)
            candidates = [
                cell
                for cell in self._own()
                if cell.cell_type == "code" and wanted and wanted <= self.defines[id(cell)]
            ]
            self._choose(identifier, candidates)

    def by_place(self) -> None:
        """Answers of which only the place is known: between which cells they stand."""
        answers = [i for kind in ("code", "markdown") for i in self._missing_answers(kind)]
        places = {identifier: self._between(identifier) for identifier in answers}
        for identifier in self._missing_answers("code"):
            place = places[identifier]
            asked_for = [i for i in self._missing_answers("code") if places[i] == place]
            if not _defined(self.master[identifier].source) and asked_for == [identifier]:
                self._choose(identifier, place)
        joined_before: dict[int, list[NotebookNode]] = {}  # by the cell that they stand before
        used: set[int] = set()
        for identifier in self._missing_answers("markdown"):
            texts = places[identifier]
            if not texts:
                continue
            if len(texts) > 1:
                self.notes.append(Remark.of(Code.ANSWER_JOINED, identifier, count=len(texts)))
            joined = nbformat.v4.new_markdown_cell("\n\n".join(cell.source for cell in texts))
            self._is(joined, identifier)
            joined_before.setdefault(id(texts[0]), []).append(joined)
            used |= {id(cell) for cell in texts}
        cells = []
        for cell in self.notebook.cells:
            cells += joined_before.get(id(cell), [])
            if id(cell) not in used:
                cells.append(cell)
        self.notebook.cells = cells

    def _missing_answers(self, cell_type: str) -> list[str]:
        cells = {i: self.master[i] for i in self.missing}
        return [i for i, c in cells.items() if is_answer(c) and c.cell_type == cell_type]

    def _choose(self, identifier: str, candidates: list[NotebookNode]) -> None:
        if len(candidates) == 1:
            self._is(candidates[0], identifier)
        elif candidates:
            self.notes.append(Remark.of(Code.ANSWER_UNCLEAR, identifier, count=len(candidates)))

    def _between(self, identifier: str) -> list[NotebookNode]:
        """What could be an answer, between the nearest known cells before and after its place.

        These are the student's own cells or, if there are none, what they were to fill in.
        """
        order = list(self.master)
        place = order.index(identifier)
        where = {grade_id(cell): index for index, cell in enumerate(self.notebook.cells)}
        before = [where[i] for i in order[:place] if i in where]
        after = [where[i] for i in order[place:] if i in where]
        first = before[-1] + 1 if before else 0
        end = after[0] if after else len(self.notebook.cells)
        here = {id(cell) for cell in self.notebook.cells[first:end]}
        cell_type, stub = self.master[identifier].cell_type, visible(self.master[identifier].source)
        own = [c for c in self._own() if (c.cell_type == "code") == (cell_type == "code")]
        blank = [cell for cell in self._strangers() if self.text[id(cell)] == stub]
        return [c for c in own if id(c) in here] or [c for c in blank if id(c) in here][:1]


def _defined(source: str) -> set[str]:
    """The functions and classes that a cell defines, even if Python could not read it."""
    return set(re.findall(r"^(?:async +)?(?:def|class) +(\w+)", source, re.MULTILINE))
