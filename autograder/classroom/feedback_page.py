"""The page that a student gets back: marks, checks and comments first, the notebook behind them.

nbgrader's generate_feedback, formgrader's button and `autograder feedback` make it: nbgrader's
configuration names `FeedbackPage` as the exporter. Marks and comments are the gradebook's; the
checks are those that the grader has left in the executed notebook. Formulas become MathML here, and
the page holds no script and fetches nothing.

What students wrote was cleaned when it was graded; the template engine escapes all else.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import resources as package
from typing import Any

import nbformat
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from math_core import LatexError, LatexToMathML
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbgrader.api import Grade as GradebookEntry
from nbgrader.api import Gradebook
from pygments.formatters import HtmlFormatter
from traitlets import Bool
from traitlets.config import Config

from autograder import tables
from autograder.checks import MIME_TYPE
from autograder.course.cells import (
    Region,
    grade_id,
    is_answer,
    nbgrader_metadata,
    parse_lines,
    section_title,
)
from autograder.results import CheckResult, Outcome

KEY = re.compile('<meta name="autograder-key" content="([0-9a-f]{64})">')
MAX_FORMULA = 2_000  # characters; the converter recurses, and a very deep one would end the process
_MATH = LatexToMathML(fancy_error=False, ignore_unknown_commands=True)


@dataclass(frozen=True)
class Mark:
    """What the gradebook says of one exercise or question.

    Attributes:
        cell: the cell with the mark, by its grade id.
        answer: the cell with the student's answer; the same for a written question.
        score: None as long as a person has not marked it.
        again: whether it was marked for an earlier hand-in, and a person looks again.
    """

    cell: str
    answer: str
    title: str
    score: float | None
    max_score: float
    again: bool
    comments: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = field(default=(), repr=False)

    @property
    def attempted(self) -> bool:
        """Whether any of its checks met an attempt; True if there are no checks."""
        return {check.outcome for check in self.checks} != {Outcome.NOT_ATTEMPTED}

    @property
    def table(self) -> Markup:
        """Its checks, as below the test cell."""
        shown = tables.checks_as_html(self.checks, f"Checks of {self.title}")
        return Markup(shown)


@dataclass(frozen=True)
class Marks:
    """What the gradebook says of one notebook of a student.

    Attributes:
        late: the penalty for late work, in points.
    """

    student: str
    handed_in: datetime | None
    late: float
    exercises: tuple[Mark, ...]

    @property
    def score(self) -> float:
        """Points so far."""
        return max(0.0, sum(mark.score or 0.0 for mark in self.exercises) - self.late)

    @property
    def max_score(self) -> float:
        """Points that could be had where there is a mark."""
        return sum(mark.max_score for mark in self.exercises if mark.score is not None)

    @property
    def to_be_marked(self) -> float:
        """Points that could be had where a person has not marked yet."""
        return sum(mark.max_score for mark in self.exercises if mark.score is None)


def read_marks(
    book: Gradebook, notebook: NotebookNode, name: str, assignment: str, student: str
) -> Marks:
    """The gradebook's marks and comments, with titles and checks from the autograded notebook.

    Raises:
        nbgrader.api.MissingEntry: if the gradebook has no such notebook.
    """
    entry = book.find_submission_notebook(name, assignment, student)
    grades = {grade.name: grade for grade in entry.grades}
    comments = {comment.name: comment.comment for comment in entry.comments if comment.comment}
    marks, title, waiting, answer = [], "", [], ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            title = section_title(cell.source, title)
        identifier = grade_id(cell)
        if identifier is None:
            continue
        if is_answer(cell) or nbgrader_metadata(cell).get("task"):
            answer = identifier
            waiting += [comments[identifier]] if identifier in comments else []
        if identifier in grades:
            found = _mark(grades[identifier], title, cell, answer)
            marks.append(replace(found, comments=tuple(waiting)))
            waiting, answer = [], ""
    titles = [mark.title for mark in marks]
    several = {title for title in titles if titles.count(title) > 1}
    return Marks(
        student,
        entry.assignment.timestamp,
        entry.late_submission_penalty or 0.0,
        tuple(
            replace(mark, title=f"{mark.title} ({mark.cell})") if mark.title in several else mark
            for mark in marks
        ),
    )


def _mark(grade: GradebookEntry, title: str, cell: NotebookNode, answer: str) -> Mark:
    unmarked = grade.manual_score is None and grade.auto_score is None
    return Mark(
        cell=grade.name,
        answer=answer or grade.name,
        title=title or grade.name,
        score=None if unmarked else grade.score,
        max_score=grade.max_score,
        again=not unmarked and grade.manual_score is not None and grade.needs_manual_grade,
        checks=() if is_answer(cell) else tuple(_checks(cell)),
    )


def _checks(cell: NotebookNode) -> list[CheckResult]:
    """The checks that the grader has left in a test cell; none in one that nbgrader has run."""
    for output in cell.get("outputs", []):
        found = output.get("data", {}).get(MIME_TYPE)
        if isinstance(found, Mapping):
            return [CheckResult.from_dict({"code": None, **check}) for check in found["checks"]]
    return []


def key(notebook: NotebookNode, marks: Marks, mark_schemes: bool) -> str:
    """The same as long as the page would be."""
    files = package.files("autograder")
    material = [
        nbformat.writes(notebook),
        repr(marks),
        str(mark_schemes),
        files.joinpath("templates", "feedback.html.j2").read_text(encoding="utf-8"),
        files.joinpath("classroom", "feedback_page.py").read_text(encoding="utf-8"),
    ]
    return hashlib.sha256("\0".join(material).encode("utf-8", "surrogatepass")).hexdigest()


class FeedbackPage(HTMLExporter):
    """Makes the page of an autograded notebook."""

    mark_schemes = Bool(
        False, help="Whether students see the mark schemes of written questions."
    ).tag(config=True)

    def __init__(self, config: Any = None, **kw: Any):
        """With nbconvert's template for the cells alone, where nbgrader names one for a page."""
        own = Config()
        own.merge(config or {})
        own.HTMLExporter.template_name = "basic"
        super().__init__(config=own, **kw)

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        """The page, for a notebook that nbgrader says whose it is.

        Raises:
            nbgrader.api.MissingEntry: if the gradebook has no such notebook.
        """
        who = (resources or {})["nbgrader"]
        with Gradebook(who["db_url"]) as book:
            marks = read_marks(book, nb, who["notebook"], who["assignment"], who["student"])
        name = key(nb, marks, self.mark_schemes)
        for cell in nb.cells:
            if not self.mark_schemes:
                cell.source = _without_mark_scheme(cell.source)
        cells, resources = super().from_notebook_node(nb, resources, **kw)
        environment = Environment(
            loader=PackageLoader("autograder"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["comment"] = _comment
        environment.filters["points"] = lambda points: f"{points:.2f}".rstrip("0").rstrip(".")
        page = environment.get_template("feedback.html.j2").render(
            title=_title(nb) or who["assignment"],
            marks=marks,
            key=name,
            cells=Markup(cells),
            colours=Markup(HtmlFormatter().get_style_defs(".highlight")),
        )
        return page, resources

    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        """Markdown with formulas as MathML."""
        cell = context.get("cell", {})
        renderer = _Renderer(
            escape=False, exclude_anchor_links=True, attachments=cell.get("attachments", {})
        )
        return str(MarkdownWithMath(renderer=renderer).render(source))


class _Renderer(IPythonRenderer):
    """nbconvert's, with MathML where it leaves formulas to a script from the net."""

    def block_math(self, body: str) -> str:
        return _mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        return _mathml(body, block=False)

    def latex_environment(self, name: str, body: str) -> str:
        return _mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)

    def _embed_image_or_attachment(self, src: str) -> str:
        try:
            return str(super()._embed_image_or_attachment(src))
        except InvalidNotebook:  # a picture that the student's notebook has lost
            return ""


def _mathml(formula: str, block: bool) -> str:
    """The formula, or its text if it is none."""
    formula = html.unescape(formula)  # cleaning what students wrote has escaped "<"
    if len(formula) <= MAX_FORMULA:
        try:
            return str(_MATH.convert_with_local_state(formula, displaystyle=block))
        except LatexError:
            pass
    return f"<code>{html.escape(formula)}</code>"


def _comment(text: str) -> Markup:
    """A grader's comment, which may hold Markdown."""
    renderer = _Renderer(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
    return Markup(MarkdownWithMath(renderer=renderer).render(text))


def _title(notebook: NotebookNode) -> str:
    """The notebook's first heading."""
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+)$", texts, re.MULTILINE)
    return found[1].strip() if found else ""


def _without_mark_scheme(source: str) -> str:
    lines = parse_lines(source)
    if not any(line.region is Region.MARK_SCHEME for line in lines):
        return source
    return "\n".join(line.text for line in lines if line.region is not Region.MARK_SCHEME).rstrip()
