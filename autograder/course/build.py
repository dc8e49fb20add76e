"""Turns source/ into what people open: release/ for students, notebooks/ to read.

The release is made by nbgrader itself, so that its gradebook knows the assignment. The same
source gives the same bytes. A solved notebook remembers the source that it was made from. When that
has changed, it is made again, and executed again only if its code has changed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import capture_log
from PIL import Image
from traitlets.config import Config, PyFileConfigLoader

from autograder.checks import SEED_VARIABLE
from autograder.course.cells import Region, fold, grade_id, parse_lines
from autograder.course.database import Database
from autograder.course.guard import refuse_to_erase
from autograder.course.source import (
    COMMANDS,
    NOTEBOOK_METADATA,
    Assignment,
    Course,
    CourseError,
)
from autograder.files import umask_kept, write_whole

EXECUTION_SECONDS = 900
# Of a cell's tags, those that a solved notebook keeps. The second is for nbval, where the last
# digits of what is printed depend on the processor.
SOLVED_TAGS = ("demo", "hide-input", "nbval-ignore-output")


def to_json(notebook: NotebookNode) -> str:
    """The notebook as text, the same for the same content."""
    return str(nbformat.writes(notebook)).rstrip("\n") + "\n"


def build(course: Course, name: str, log: Callable[[str], None]) -> None:
    """Writes the chapter's source notebook, release and solved notebook."""
    assignment = course.assignment(name)
    release = make_release(course, assignment, Database.of(course.root).url)
    path = release_path(course, assignment)
    refuse_to_erase(course.root, path, release)
    write_whole(path, release)
    log(f"{name}: release/{name}/{assignment.notebook_name}.ipynb")
    solved, fresh = solved_path(course, assignment), make_solved(assignment)
    earlier = nbformat.read(solved, as_version=4) if solved.exists() else None
    if earlier is not None and _is_current(earlier, fresh):
        log(f"{name}: notebooks/{solved.name} is current")
    elif earlier is not None and _take_outputs(fresh, earlier):
        log(f"{name}: notebooks/{solved.name} has new text; its code has not changed")
        write_whole(solved, to_json(fresh))
    else:
        log(f"{name}: executing notebooks/{solved.name} …")
        write_whole(solved, to_json(execute(fresh, course.root)))


def orphans(course: Course) -> list[str]:
    """Notebooks in release/ and notebooks/ that neither a chapter nor a homework makes."""
    made = set()
    for name in course.chapters:
        assignment = course.assignment(name)
        made |= {release_path(course, assignment), solved_path(course, assignment)}
    others = [course.root / "release" / name for name in course.homework]
    found = [p for folder in ("release", "notebooks") for p in course.root.glob(f"{folder}/**/*")]
    return [
        f"{path.relative_to(course.root)} belongs to no chapter"
        for path in sorted(found)
        if path.is_file()
        and path not in made
        and not any(path.is_relative_to(folder) for folder in others)
        and ".ipynb_checkpoints" not in path.parts
        and not (path.name.startswith(".") and path.suffix == ".tmp")  # of a killed write_whole
    ]


def check(course: Course, name: str) -> list[str]:
    """What is stale among the chapter's committed files; empty if nothing is."""
    assignment = course.assignment(name)
    stale = []
    with tempfile.TemporaryDirectory() as scratch:
        release = make_release(course, assignment, Database.within(Path(scratch)).url)
    path = release_path(course, assignment)
    if not path.exists() or path.read_text(encoding="utf-8") != release:
        stale.append(f"release/{name}/{path.name} is not what source/ says")
    solved, fresh = solved_path(course, assignment), make_solved(assignment)
    if not solved.exists() or not _is_current(nbformat.read(solved, as_version=4), fresh):
        stale.append(f"notebooks/{solved.name} is not what source/ says")
    return stale


def solved_path(course: Course, assignment: Assignment) -> Path:
    """notebooks/NN_name.ipynb."""
    number = assignment.name[2:4]
    return course.root / "notebooks" / f"{number}_{assignment.notebook_name}.ipynb"


def release_path(course: Course, assignment: Assignment) -> Path:
    """release/chNN_name/name.ipynb."""
    return course.root / "release" / assignment.name / f"{assignment.notebook_name}.ipynb"


def make_release(course: Course, assignment: Assignment, db_url: str) -> str:
    """The students' notebook as text; saves the assignment in the gradebook at `db_url`.

    Raises:
        CourseError: if nbgrader refuses, or if a solution, a hidden test or a mark scheme
            would reach the students.
        Unavailable: if the gradebook cannot be used now.
    """
    database = Database.at(db_url)
    # The configuration makes the umask private, for the gradebook; the release is for everybody.
    with tempfile.TemporaryDirectory() as scratch, umask_kept():
        source = Path(scratch, "source", assignment.name)
        source.mkdir(parents=True)
        written = nbformat.from_dict(assignment.source)
        for cell in written.cells:
            fold(cell)
        nbformat.write(written, source / f"{assignment.notebook_name}.ipynb")
        loader = PyFileConfigLoader("nbgrader_config.py", path=str(course.root))
        config = Config(loader.load_config())
        database.make()
        config.CourseDirectory.root = scratch
        config.CourseDirectory.db_url = db_url
        config.CourseDirectory.assignment_id = assignment.name
        result = capture_log(
            GenerateAssignment(coursedir=CourseDirectory(config=config), config=config, force=True)
        )
        if not result["success"]:
            said = database.masked(result["log"])
            raise CourseError(f"{assignment.name}: nbgrader refuses the source:\n{said}")
        made = Path(scratch, "release", assignment.name)
        extra = {path.name for path in made.iterdir()} - {f"{assignment.notebook_name}.ipynb"}
        if extra:
            raise CourseError(f"{assignment.name}: unexpected files in the release: {extra}")
        notebook = nbformat.read(made / f"{assignment.notebook_name}.ipynb", as_version=4)
    leaks = find_leaks(assignment, notebook)
    if leaks:
        raise CourseError(f"{assignment.name}: the release would show {leaks[0]!r}")
    return to_json(notebook)


def find_leaks(assignment: Assignment, release: NotebookNode) -> list[str]:
    """Lines of solutions, hidden tests and mark schemes that stand in the release.

    Short lines such as `else:` stand in many places; a line counts if it has fifteen characters or
    more and stands nowhere else in the source.
    """
    written = [line for cell in assignment.source.cells for line in parse_lines(cell.source)]
    released = [line for cell in release.cells for line in parse_lines(cell.source)]
    secret = {line.text.strip() for line in written if line.region and not line.is_marker}
    public = {line.text.strip() for line in written if not line.region}
    shown = {line.text.strip() for line in released}
    markers = [line.text for line in released if line.is_marker]
    return sorted(line for line in (secret - public) & shown if len(line) >= 15) + markers


def make_solved(assignment: Assignment) -> NotebookNode:
    """The notebook with solutions and visible tests, not yet executed."""
    notebook = nbformat.from_dict(assignment.source)
    notebook.cells = [cell for cell in notebook.cells if cell.source != COMMANDS]  # for learners
    for cell in notebook.cells:
        kept = [
            line.text
            for line in parse_lines(cell.source)
            if not line.is_marker and line.region is not Region.HIDDEN_TESTS
        ]
        cell.source = re.sub(r"\n{4,}", "\n\n\n", "\n".join(kept)).strip()
        cell.id = grade_id(cell) or cell.id
        fold(cell)
        tags = [tag for tag in cell.metadata.get("tags", []) if tag in SOLVED_TAGS]
        shown = {"jupyter": cell.metadata.get("jupyter"), "tags": tags}
        cell.metadata = nbformat.from_dict({key: value for key, value in shown.items() if value})
    notebook.metadata["autograder"] = {"source_sha256": _digest(assignment)}
    return notebook


def _digest(assignment: Assignment) -> str:
    return hashlib.sha256(assignment.text.encode()).hexdigest()


def _is_current(solved: NotebookNode, fresh: NotebookNode) -> bool:
    """Whether the solved notebook has the source's cells and has been executed without error."""
    same = solved.metadata.get("autograder") == fresh.metadata["autograder"] and [
        (cell.id, cell.source, cell.metadata) for cell in solved.cells
    ] == [(cell.id, cell.source, cell.metadata) for cell in fresh.cells]
    return same and all(map(_has_run, _code_cells(solved)))


def _take_outputs(fresh: NotebookNode, earlier: NotebookNode) -> bool:
    """Gives the new notebook the outputs of an earlier one; False if its code was not the same."""
    new, old = _code_cells(fresh), _code_cells(earlier)
    if [cell.source for cell in new] != [cell.source for cell in old] or not all(
        map(_has_run, old)
    ):
        return False
    for cell, known in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = known.outputs, known.execution_count
    return True


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _has_run(cell: NotebookNode) -> bool:
    errors = any(output.output_type == "error" for output in cell.outputs)
    return bool(cell.execution_count) and not errors


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook with its outputs, run from cold in `folder`.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        client = NotebookClient(
            notebook,
            # Unix sockets in a folder of our own: nothing to listen on a port.
            km=AsyncKernelManager(transport="ipc", ip=f"{scratch}/kernel"),
            timeout=EXECUTION_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
        )
        # The manager is ours, so it is for us to end the kernel.
        executed: NotebookNode = client.execute(
            env={**os.environ, SEED_VARIABLE: "0"}, cleanup_kc=True
        )
    executed.metadata = nbformat.from_dict({**notebook.metadata, **NOTEBOOK_METADATA})
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _with_a_palette(output.data["image/png"])
    return executed


def _with_a_palette(figure: str) -> str:
    """The same figure in 256 colours, in a third of the bytes; both in base64."""
    image = Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB")
    small = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
