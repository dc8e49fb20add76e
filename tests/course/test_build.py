"""Source to course: deterministic, without leaks, and honest about what is stale."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml
from sample_class import CHAPTER, ROOT, release
from tiny import TINY, make_course

from autograder.course import build
from autograder.course.cells import grade_id, nbgrader_metadata
from autograder.course.source import Assignment, Course, CourseError

CHAPTERS = Course.find(ROOT).chapters


def copy_of(course: Course, folder: Path) -> Course:
    """A course of its own to spoil, without the solved notebooks' outputs to wait for."""
    for name in ("source", "release", "notebooks", "nbgrader_config.py"):
        path = course.root / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / name)
    return Course(folder)


def edit(course: Course, old: str, new: str) -> None:
    path = next(p for p in course.assignment(CHAPTER).sections if old in p.read_text())
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_is_committed_is_what_source_says(course: Course, chapter: str) -> None:
    assert build.check(course, chapter) == []


def test_the_same_source_gives_the_same_bytes(
    course: Course, assignment: Assignment, tmp_path: Path
) -> None:
    one, two = (
        build.make_release(course, course.assignment(CHAPTER), f"sqlite:///{tmp_path / name}.db")
        for name in ("one", "two")
    )
    assert one == two
    solved = [build.to_json(build.make_solved(course.assignment(CHAPTER))) for _ in range(2)]
    assert solved[0] == solved[1]
    identifiers = [cell.id for cell in assignment.source.cells]
    assert len(set(identifiers)) == len(identifiers)


def test_an_edit_makes_both_files_stale(course: Course, tmp_path: Path) -> None:
    spoiled = copy_of(course, tmp_path)
    assert build.check(spoiled, CHAPTER) == []
    edit(spoiled, "There is no threshold.", "There is none.")
    assert len(build.check(spoiled, CHAPTER)) == 2


def test_an_edited_sentence_executes_nothing(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = copy_of(course, tmp_path)
    path = build.solved_path(spoiled, spoiled.assignment(CHAPTER))
    before = path.read_text()
    executed = []
    monkeypatch.setattr(build, "make_release", lambda *_: "")
    monkeypatch.setattr(build, "execute", lambda notebook, _: executed.append(1) or notebook)
    edit(spoiled, "There is no threshold.", "There is none.")
    build.build(spoiled, CHAPTER, log=lambda _: None)
    assert "There is none." in path.read_text()
    edit(spoiled, "There is none.", "There is no threshold.")
    build.build(spoiled, CHAPTER, log=lambda _: None)
    assert path.read_text() == before
    assert executed == []
    edit(spoiled, "* (2 + 2 + 4 + 4 + 4)", "* 16")
    build.build(spoiled, CHAPTER, log=lambda _: None)
    assert executed == [1]


def test_an_edited_solution_makes_only_the_solved_notebook_stale(
    course: Course, tmp_path: Path
) -> None:
    spoiled = copy_of(course, tmp_path)
    edit(spoiled, "* (2 + 2 + 4 + 4 + 4)", "* 16")
    stale = build.check(spoiled, CHAPTER)
    assert [line.split()[0] for line in stale] == ["notebooks/01_concepts.ipynb"]


def test_a_release_edited_by_hand_is_stale(course: Course, tmp_path: Path) -> None:
    spoiled = copy_of(course, tmp_path)
    path = tmp_path / "release" / CHAPTER / "concepts.ipynb"
    path.write_text(path.read_text().replace("power station", "shed"))
    assert [line.split()[0] for line in build.check(spoiled, CHAPTER)] == [
        f"release/{CHAPTER}/concepts.ipynb"
    ]


def test_a_notebook_that_no_chapter_makes_is_reported(course: Course, tmp_path: Path) -> None:
    spoiled = copy_of(course, tmp_path)
    assert build.orphans(spoiled) == []
    (tmp_path / "release" / "ch00_old").mkdir()
    (tmp_path / "release" / "ch00_old" / "old.ipynb").write_text("{}")
    assert build.orphans(spoiled) == ["release/ch00_old/old.ipynb belongs to no chapter"]


def test_a_solved_notebook_with_an_error_is_stale(course: Course, tmp_path: Path) -> None:
    spoiled = copy_of(course, tmp_path)
    path = tmp_path / "notebooks" / "01_concepts.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.cell_type == "code")
    cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    nbformat.write(notebook, path)
    assert [line.split()[0] for line in build.check(spoiled, CHAPTER)] == [
        "notebooks/01_concepts.ipynb"
    ]


def test_the_release_holds_nothing_but_the_notebook() -> None:
    files = [path.relative_to(ROOT) for path in (ROOT / "release").rglob("*") if path.is_file()]
    assert all(path.suffix == ".ipynb" for path in files)
    assert len(files) == len(CHAPTERS)


def test_no_section_reaches_students_through_nbgraders_release(tmp_path: Path) -> None:
    """nbgrader copies what lies beside the notebook in source/: sections, and whatever else."""
    assignment = make_course(tmp_path).assignment(TINY)
    folder = tmp_path / "source" / TINY
    nbformat.write(assignment.source, folder / "tiny.ipynb")
    for odd in ("figure.png", "answers.toml", ".hidden", "notes", "old/solutions.py", "old/a/b.c"):
        path = folder / odd
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    command = ["nbgrader", "generate_assignment", TINY, "--course-dir", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    released = [path.name for path in (tmp_path / "release").rglob("*") if path.is_file()]
    assert released == ["tiny.ipynb"]


def test_sections_are_joined_in_order_and_named_in_errors(course: Course, tmp_path: Path) -> None:
    spoiled = copy_of(course, tmp_path)
    folder = tmp_path / "source" / CHAPTER
    titles = [cell.source for cell in spoiled.assignment(CHAPTER).source.cells]
    (folder / "02_attention.py").rename(folder / "99_attention.py")
    moved = [cell.source for cell in spoiled.assignment(CHAPTER).source.cells]
    assert moved != titles
    assert sorted(moved) == sorted(titles)
    shutil.copy(folder / "99_attention.py", folder / "98_again.py")
    with pytest.raises(CourseError, match=r"the second time in 99_attention.py .*98_again.py"):
        spoiled.assignment(CHAPTER)
    shutil.copy(folder / "00_introduction.py", folder / "98_again.py")
    with pytest.raises(CourseError, match=r"98_again.py: settings stand in the header of 00_"):
        spoiled.assignment(CHAPTER)


def test_no_line_of_a_solution_or_hidden_test_is_in_the_release(assignment: Assignment) -> None:
    """By content, and independently of the builder's own check: whole regions, line by line."""
    shown = "\n".join(cell.source for cell in release().cells)
    source = "\n".join(cell.source for cell in assignment.source.cells)
    regions = "SOLUTION|HIDDEN TESTS|MARK SCHEME"
    public = re.sub(rf"### BEGIN ({regions})\n.*?### END \1", "", source, flags=re.DOTALL)
    secret_lines = 0
    for cell in assignment.source.cells:
        for region in ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME"):
            parts = cell.source.split(f"### BEGIN {region}\n")[1:]
            for part in parts:
                body = part.split(f"### END {region}")[0]
                assert body.strip() not in shown
                for line in filter(lambda line: len(line) > 40, map(str.strip, body.splitlines())):
                    if line not in public:  # such as a `with` that a visible test has, too
                        secret_lines += 1
                        assert line not in shown, line
    assert secret_lines > 150
    assert "### BEGIN" not in shown
    assert "### END" not in shown


def test_a_solution_that_leaks_into_the_text_stops_the_build(
    course: Course, tmp_path: Path
) -> None:
    spoiled = copy_of(course, tmp_path)
    solution = "return parameter_count(config) * (2 + 2 + 4 + 4 + 4)"
    secret = f"    ### BEGIN SOLUTION\n    {solution}\n    ### END SOLUTION"
    edit(spoiled, secret, f"    {solution}")
    edit(
        spoiled,
        "    ### BEGIN SOLUTION\n    return flops",
        f"    ### BEGIN SOLUTION\n    {solution}\n    return flops",
    )
    notebook = nbformat.from_dict(spoiled.assignment(CHAPTER).assigned)
    leaks = build.find_leaks(course.assignment(CHAPTER), notebook)
    assert solution in leaks


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('@check(points=1, hint="Compare', '@check(points=2, hint="Compare', "do not add up"),
        ('    """GPT-2 small has 124,439,808 parameters."""\n', "", "without title or hint"),
        ('"grade_id": "test_budget"', '"grade_id": "tests_of_budget"', "must be called test_X"),
        ('# %% tags=["demo"]\n# name:', "# %%\n# name:", "neither locked set-up"),
    ],
)
def test_a_source_that_cannot_be_graded_validly_is_refused(
    old: str, new: str, problem: str, course: Course, tmp_path: Path
) -> None:
    spoiled = copy_of(course, tmp_path)
    edit(spoiled, old, new)
    with pytest.raises(CourseError, match=problem):
        spoiled.assignment(CHAPTER)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_test_cells_call_the_students_names_only_inside_checks(
    chapter: str, course: Course
) -> None:
    """Top-level code of a test cell runs outside any check, where an error would cost them all."""
    import ast

    assignment = course.assignment(chapter)
    cells = {grade_id(cell): cell for cell in assignment.source.cells if grade_id(cell)}
    for exercise in assignment.exercises:
        if exercise.test_id is None:
            continue
        answers = {
            node.name
            for node in ast.parse(cells[exercise.id].source).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert answers
        for node in ast.parse(cells[exercise.test_id].source).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                used = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
                assert not used & answers, f"{exercise.test_id}, line {node.lineno}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_solved_notebook_holds_no_hidden_test(chapter: str, course: Course) -> None:
    assignment = course.assignment(chapter)
    solved = nbformat.read(build.solved_path(course, assignment), as_version=4)
    text = "\n".join(cell.source for cell in solved.cells)
    for exercise in assignment.exercises:
        for check in exercise.checks:
            assert (f"def {check.name}(" in text) == (not check.hidden), check.name
    assert not any(nbgrader_metadata(cell) for cell in solved.cells)


def test_the_solved_notebook_keeps_the_tags_that_nbval_reads(tmp_path: Path) -> None:
    course = make_course(tmp_path)
    section = tmp_path / "source" / TINY / "tiny.py"
    tags = '["demo", "nbval-ignore-output", "raises-exception"]'
    section.write_text(f"{section.read_text()}\n# %% tags={tags}\nprint(1)\n")
    *_, cell = build.make_solved(course.assignment(TINY)).cells
    assert cell.metadata.tags == ["demo", "nbval-ignore-output", "hide-input"]


def test_environment_yml_lists_nothing_twice() -> None:
    import tomllib

    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    python = next(item for item in conda if item.startswith("python="))
    assert conda == [python, "pip"]
    version = python.removeprefix("python=")
    assert project["requires-python"] == f">={version},<3.{int(version.split('.')[1]) + 1}"


def test_the_lock_covers_every_dependency() -> None:
    import re
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    normal = [re.sub(r"[-_.]+", "-", re.split(r"[<>=\[]", line)[0]).lower() for line in wanted]
    lock = dict(
        line.split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    assert set(normal) <= {re.sub(r"[-_.]+", "-", name).lower() for name in lock}
    assert lock["torch"] == "2.13.0"
    assert all(re.fullmatch(r"[\w.]+", version) for version in lock.values())


def test_the_oldest_python_admitted_can_install_the_lock(course: Course) -> None:
    """Debian 12 has 3.11.2, where a package that needs 3.11.5 cannot be installed."""
    import tomllib
    from importlib.metadata import distribution

    from packaging.specifiers import SpecifierSet

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].partition(",")[0].removeprefix(">=") + ".0"
    assert len(course.installed) > 100
    needs = {name: distribution(name).metadata.get("Requires-Python") for name in course.installed}
    too_new = {
        name: wanted for name, wanted in needs.items() if oldest not in SpecifierSet(wanted or "")
    }
    assert too_new == {}
    assert course.installed["soupsieve"] == course.lock["soupsieve"]


def test_notebooks_stay_small() -> None:
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert path.stat().st_size < 1_500_000
        notebook = json.loads(path.read_text())
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        images = [output.get("data", {}).get("image/png", "") for output in outputs]
        assert sum(map(bool, images)) > 5
        assert max(map(len, images)) < 250_000  # a figure, as text


def test_notebooks_name_no_folder_of_the_machine_that_built_them() -> None:
    """As a warning does that is printed with the file where it was raised."""
    for path in [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("release/*/*.ipynb")]:
        text = path.read_text("utf-8")
        assert "site-packages" not in text, path.name
        assert str(ROOT) not in text, path.name


def test_the_table_of_a_chapter_has_the_minutes_that_its_exercises_say(course: Course) -> None:
    for name in course.chapters:
        cells = course.assignment(name).source.cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        rows = dict(
            re.findall(r"^\| \[(W?\d+\.\d+)\]\(.*\| (\d+)(?: \+ \d+)? \|$", text, re.MULTILINE)
        )
        said: dict[str, str] = {}
        section = ""
        for line in text.splitlines():
            if heading := re.match(r"##+ (?:Exercise )?(W?\d+\.\d+)\b", line):
                section = heading[1]
            elif minutes := re.search(r"> \*\*Difficulty\*\*.*?\*\*(\d+) minutes\*\*", line):
                said[section] = minutes[1]
        assert len(said) >= 2
        assert {key: rows[key] for key in said} == said, name
