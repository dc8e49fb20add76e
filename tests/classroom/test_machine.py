"""A class on a machine where students have accounts, with a real second user."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from accounts import Student, open_to_students, teacher
from command import run
from nbgrader.api import Gradebook
from nbgrader.utils import notebook_hash
from other_user import STUDENT, as_oneself, as_student, needs_root, open_folder
from sample_class import as_bytes, fill
from tiny import NOTEBOOK, TINY, release, write_chapter, written

from autograder.classroom import machine
from autograder.course.source import Course

PARTS = [f"{part}: out of reach" for part in machine.SECRETS]


@pytest.fixture
def place() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def course(place: Path) -> Course:
    """In a folder that everybody can read, as git and an editable install leave it."""
    (place / "course").mkdir()
    made = write_chapter(place / "course", written("reasons", "Because.", points=5))
    with (made.root / "nbgrader_config.py").open("a") as file:
        file.write(f"c.Exchange.root = {str(place / 'exchange')!r}\n")
    return made


def command(course: Course, *arguments: object) -> tuple[int, str]:
    with contextlib.chdir(course.root):
        return run(*arguments)


def findings(course: Course) -> dict[str, str]:
    """What does not hold, by layer."""
    found = machine.examine(course.root, machine.Exchange.configured(course.root))
    return {finding.layer: finding.seen for finding in found if not finding.holds}


@needs_root
@pytest.mark.parametrize("owners_group", [0, STUDENT])
@pytest.mark.parametrize("folder_mode", [0o700, 0o711, 0o750, 0o755])
def test_what_the_doctor_says_is_what_a_student_can_do(
    folder_mode: int, owners_group: int, place: Path
) -> None:
    for mode in (0o600, 0o640, 0o644):
        file = place / "marks" / f"{mode:o}" / "marks.csv"
        file.parent.mkdir(parents=True)
        file.write_text("ada,12\n")
        file.chmod(mode)
        for path in (file.parent, file):
            shutil.chown(path, 0, owners_group)
        file.parent.chmod(folder_mode)
        shown = machine._opened(file.parent)
        assert bool(shown) == (as_student("cat", file).stdout == "ada,12\n"), (mode, shown)
        assert not shown or str(file) in shown


@needs_root
def test_the_doctor_finds_what_a_student_could_read(course: Course) -> None:
    """The course's folder was open, and so were gradebook and hand-ins in it."""
    work = course.root / "submitted" / "ada" / TINY / NOTEBOOK
    work.parent.mkdir(parents=True)
    for path in (work, course.root / "gradebook.db"):
        path.write_text("{}")
    assert [part for part in PARTS if part in findings(course)] == PARTS
    for part in PARTS:
        said, _, file = findings(course)[part].partition(" can read ")
        assert said == "everybody"
        assert as_student("cat", file).returncode == 0
    code, output = command(course, "doctor", "--class")
    assert code == 1
    assert "everybody can read" in " ".join(output.split())
    course.root.chmod(0o700)
    assert [part for part in PARTS if part in findings(course)] == []
    assert as_student("find", course.root, "-type", "f", "-readable").stdout == ""


def test_a_class_from_set_up_to_removal(course: Course, place: Path) -> None:
    """The exchange with two users; what one student could see; and that who is removed stays so."""
    if as_oneself("id", "-u").stdout != "0\n":
        pytest.skip("only root can be another user")
    python = open_to_students(course, place / "environment")
    package_there = place / "environment/lib/python3.11/site-packages/autograder/__init__.py"
    # Without the teacher's buttons, and with the course and its exchange known.
    student = Student.moves_in(STUDENT, place / "home", python)
    look = (
        "import json, os, autograder\n"
        "from jupyter_core.paths import jupyter_config_path\n"
        "from jupyter_server.extension.config import ExtensionConfigManager\n"
        "from jupyterlab_server.config import get_page_config\n"
        "parts = ExtensionConfigManager(read_config_path=jupyter_config_path())\n"
        "parts = parts.get_jpserver_extensions()\n"
        "def listed(path):\n"
        "    try:\n"
        "        return os.listdir(path)\n"
        "    except PermissionError:\n"
        "        return 'refused'\n"
        f"print(json.dumps([autograder.__file__, listed({str(course.root)!r}),\n"
        "    [name for name, on in parts.items() if on and 'formgrader' in name],\n"
        "    sorted(get_page_config([])['disabledExtensions'])]))\n"
    )
    seen = as_oneself(*student.words("-c", look))
    package, listed, parts, off = json.loads(seen.stdout.splitlines()[-1])
    assert package == str(package_there)
    assert (listed, parts) == ("refused", [])
    assert off == sorted((*machine.TEACHERS_BUTTONS, machine.NEWS))

    handed_out = course.root / "release" / TINY / NOTEBOOK
    handed_out.parent.mkdir(parents=True)
    notebook = release(course.assignment(TINY))
    handed_out.write_bytes(as_bytes(notebook))
    teacher(course, "release_assignment", TINY)
    student.does("fetch_assignment", TINY)
    solved = fill({"reasons": "Mine alone."}, notebook)
    student.write(student.home / TINY / NOTEBOOK, as_bytes(solved))
    student.does("submit", TINY)
    inbound = place / "exchange" / "large-models" / "inbound"
    assert as_student("ls", inbound).returncode != 0
    teacher(course, "collect", TINY)
    assert command(course, "grade", TINY)[0] == 0
    # What a student could read: nothing of the course's, and the doctor agrees.
    assert as_student("find", course.root, "-type", "f", "-readable").stdout == ""
    with contextlib.chdir(course.root):
        doctor = subprocess.run(
            [python, "-m", "autograder", "doctor", "--class"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert doctor.returncode == 0, doctor.stdout
    # The student leaves.
    secret = (course.root / "submitted" / "nobody" / TINY / "submission_secret.txt").read_text()
    feedback = (
        inbound.parent / "feedback" / f"{notebook_hash(secret=secret, notebook_id='tiny')}.html"
    )
    feedback.parent.mkdir(exist_ok=True)
    feedback.write_text("of nobody")
    code, output = command(course, "student", "remove", "nobody", "--yes")
    assert code == 0, output
    for path in (*inbound.iterdir(), feedback, *course.root.rglob("*")):
        assert path.name != "nobody"
        assert not path.name.startswith("nobody")
    assert not feedback.exists()
    assert "Mine alone" not in everything_in(course.root)
    assert "nobody" not in everything_in(course.root / "reports")
    teacher(course, "collect", TINY)
    assert command(course, "grade", TINY)[0] in (0, 2)
    assert not (course.root / "submitted" / "nobody").exists()
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}") as book:
        assert book.students == []


def everything_in(folder: Path) -> str:
    files = (path for path in folder.rglob("*") if path.is_file())
    return "\n".join(path.read_bytes().decode(errors="replace") for path in files)
