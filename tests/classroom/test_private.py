"""nbgrader's commands from a new shell; what a class's folder gets is for its teacher alone."""

from __future__ import annotations

import csv
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import hand_in, run
from nbgrader.api import Gradebook
from sample_class import as_bytes
from tiny import NOTEBOOK, TINY, release, write_chapter, written

from autograder.classroom import nbgrader_plugin
from autograder.classroom.process import prepare
from autograder.course.source import Course
from autograder.sandbox import doctor
from autograder.sandbox.confine import Isolation
from autograder.sandbox.doctor import Finding


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course with one exercise that a person marks, and an exchange of its own."""
    made = write_chapter(tmp_path, written("reasons", "Because.", points=1))
    with (tmp_path / "nbgrader_config.py").open("a") as file:
        file.write(f"c.Exchange.root = {str(tmp_path / 'exchange')!r}\n")
    return made


def from_a_new_shell(folder: Path, *arguments: object) -> None:
    """One of this environment's commands by its path: nothing of the environment is on PATH."""
    program, *rest = map(str, arguments)
    subprocess.run(
        [Path(sys.executable).parent / program, *rest],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]},
        umask=0o022,
        check=True,
        capture_output=True,
    )


def open_to_others(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.stat().st_mode & 0o077)


def test_nbgrader_opens_a_first_gradebook_when_it_is_called_by_its_path(course: Course) -> None:
    """It calls alembic by name: FileNotFoundError, unless the environment had been activated."""
    before = open_to_others(course.root)
    from_a_new_shell(course.root, "nbgrader", "db", "student", "add", "ada")
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        assert [student.id for student in book.students] == ["ada"]
    assert open_to_others(course.root) == before


def test_the_export_leaves_out_what_nobody_has_got(course: Course) -> None:
    """An unreleased chapter is no zero for everybody."""
    prepare(course.root)
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        for chapter in ("ch01_handed_in", "ch02_released", "ch03_later"):
            book.add_assignment(chapter)
        for student in ("ada", "bruno"):
            book.add_student(student)
        book.add_notebook("concepts", "ch01_handed_in")
        book.add_submission("ch01_handed_in", "ada")
    (course.root / "exchange" / "large-models" / "outbound" / "ch02_released").mkdir(parents=True)

    def exported(*options: str) -> set[str]:
        from_a_new_shell(course.root, "nbgrader", "export", *options)
        with (course.root / "grades.csv").open() as file:
            return {row["assignment"] for row in csv.DictReader(file)}

    assert exported() == {"ch01_handed_in", "ch02_released"}
    assert exported("--assignment", "['ch03_later']") == {"ch03_later"}
    ignored = subprocess.run(["git", "check-ignore", "grades.csv"], check=False).returncode
    assert ignored == 0


def test_what_grading_writes_is_for_the_grader_alone(course: Course) -> None:
    """The gradebook and everybody's work were 644, in folders of 755."""
    os.umask(0o022)
    submission = as_bytes(release(course.assignment(TINY)))
    hand_in(course.root, TINY, NOTEBOOK, {"ada": submission})
    before = open_to_others(course.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(course.root)
        code, output = run("grade", TINY, "--json", course.root / "marks.json")
    assert code == 0, output
    made = {path.name for path in course.root.rglob("*")}
    assert {"gradebook.db", "autograded", "grades.csv", "ada.json", "marks.json"} <= made
    assert open_to_others(course.root) == before


@pytest.mark.parametrize(("mode", "mask"), [(0o700, 0o077), (0o755, 0o077), (0o2770, 0o007)])
def test_a_folder_that_several_teach_in_stays_open_to_their_group(
    mode: int, mask: int, tmp_path: Path
) -> None:
    tmp_path.chmod(mode)
    prepare(tmp_path)
    assert os.umask(0) == mask


def test_making_a_release_does_not_close_it(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is for students; making it reads nbgrader_config.py, too."""
    os.umask(0o022)
    monkeypatch.setattr("autograder.course.build.execute", lambda notebook, _: notebook)
    monkeypatch.chdir(course.root)
    assert run("build")[0] == 0
    assert (course.root / "release" / TINY / NOTEBOOK).stat().st_mode & 0o777 == 0o644
    assert (course.root / "gradebook.db").stat().st_mode & 0o777 == 0o600


def test_nbgraders_autograde_warns_of_weaker_isolation_as_the_command_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        doctor, "examine", lambda i: [Finding("walls", i is not Isolation.FULL, "no bubblewrap")]
    )
    nbgrader_plugin._engine.cache_clear()
    try:
        nbgrader_plugin._engine(logging.getLogger("nbgrader")).close()
    finally:
        nbgrader_plugin._engine.cache_clear()
    assert "weaker isolation, without namespaces: walls: no bubblewrap" in caplog.text
